//! All that the watcher has to do with the operating system, as one trait: the real thing here, a simulated one in
//! the tests, where another process can act before each call.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::fcntl::OFlag;

use crate::event::READING;
use crate::fanotify::absolute_path;
use crate::fanotify::marks::Marks;
use crate::ignore::git;
use crate::sys::descriptors;
use crate::sys::directory::{self, Contents, Kind, WorkingDirectory};
use crate::sys::fanotify::{Located, located};
use crate::sys::inotify::{Inotify, Wd};
use crate::sys::mask::{IN_DONT_FOLLOW, IN_ONLYDIR, Mask};
use crate::sys::mounts::{self, Mount};
use crate::sys::times::{Moment, Times};

/// Where something is.
#[derive(Debug)]
pub enum At<'a, D> {
    /// At a path, of any length.
    Path(&'a [u8]),
    /// The open directory itself.
    Dir(&'a D),
    /// The entry of that name in an open directory.
    Entry(&'a D, &'a [u8]),
    /// The directory that [`World::close_inside`] was called for last.
    Inside,
}

/// What the watcher asks of the operating system. Symbolic links are followed only at the end of a path that has a `/`
/// behind it.
pub trait World {
    /// An open directory, which stays the same whatever it is renamed to.
    type Dir;

    /// The events that the reading of a directory by this process causes, on it and on its parent, if they are reported to it.
    /// inotify reports what a process does to that process, too.
    const OWN_READING: Mask;

    /// A file that is an operand is reported as an entry of its directory: fanotify names entries.
    const NAMES_ENTRIES: bool;

    /// Opens a directory to name its entries by: no watch reports that.
    fn enter(&mut self, at: At<Self::Dir>) -> io::Result<Self::Dir>;

    /// Opens a directory to list it.
    fn open(&mut self, at: At<Self::Dir>) -> io::Result<Self::Dir>;

    /// How many more files can be opened, counted up to `most`.
    fn room(&mut self, most: usize) -> usize {
        most
    }

    /// inotify_add_watch(2): the watch descriptor, which is the old one where the inode is watched already.
    fn watch(&mut self, at: At<Self::Dir>, mask: Mask) -> io::Result<Wd>;

    /// inotify_rm_watch(2). A watch that has ended is no error.
    fn unwatch(&mut self, wd: Wd);

    /// Calls `each` with the name and the kind of every entry but `.` and `..`.
    fn list(&mut self, dir: &Self::Dir, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()>;

    /// What is there now, without following a link; [`Kind::Unknown`] where nothing is.
    fn kind(&mut self, at: At<Self::Dir>) -> Kind;

    /// Whether a directory is at a path; a symbolic link counts as its target if `follow`, or if `/` stands behind it.
    fn is_directory(&mut self, path: &[u8], follow: bool) -> io::Result<bool>;

    /// Whether [`contents`](Self::contents) may tell so much of any entry of an open directory.
    fn tells(&mut self, dir: &Self::Dir, contents: Contents) -> bool;

    /// What is certain of the contents of the directory there, if [`tells`](Self::tells) was asked on its file system. It is not opened,
    /// so no watch reports that.
    fn contents(&mut self, at: At<Self::Dir>) -> Contents;

    /// Closes a directory, and keeps it as [`At::Inside`] until the next call; `false` if that is not possible.
    fn close_inside(&mut self, _dir: Self::Dir) -> bool {
        false
    }

    /// The dates of what is there now, without following a link, by the clock that tells [`now`](Self::now).
    fn times(&mut self, at: At<Self::Dir>) -> io::Result<Times>;

    /// What is changed from now on has no older date.
    fn now(&mut self) -> Moment;

    /// The time, by a clock that nobody sets.
    fn clock(&self) -> Instant {
        Instant::now()
    }

    /// Waits until whoever is just changing an entry of the directory has done so, and the event is queued.
    fn sync(&mut self, at: At<Self::Dir>);

    /// Reads what git reads in a directory.
    fn git_files(&mut self, _at: At<Self::Dir>) -> git::Files {
        git::Files::default()
    }

    /// Appends what the kernel has queued, in the form of inotify(7); returns the number of bytes. Never blocks.
    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize>;

    /// The scan pauses: nothing of the process's is changed any more for its sake.
    fn rest(&mut self) {}

    /// Whether the directory there is the one that is watched as `wd`. `mask` is what that watch asks for from now on: the kernel answers
    /// the question only to one who adds a watch there. If another directory is there, and was not watched, that watch is removed again.
    fn is_watched_as(
        &mut self,
        at: At<Self::Dir>,
        mask: Mask,
        wd: Wd,
        is_known: impl Fn(Wd) -> bool,
    ) -> bool {
        match self.watch(at, mask) {
            Ok(found) if found != wd && !is_known(found) => {
                self.unwatch(found);
                false
            }
            found => found.is_ok_and(|found| found == wd),
        }
    }

    /// The path under which an operand is reported, if that is not the one that was given: absolute, without links but, unless
    /// `follow`, the last. They may be changed after the watch, which stays on what it is on.
    fn operand_path(&mut self, _path: &[u8], _follow: bool) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// The file that sets the length of the event queue, if that has a limit.
    fn queue_limit(&self) -> Option<&'static str> {
        Some("/proc/sys/fs/inotify/max_queued_events")
    }

    /// [`Source::tells_processes`](crate::source::Source::tells_processes).
    fn tells_processes(&self) -> bool {
        false
    }

    /// What is mounted, if that is looked out for.
    fn mounts(&mut self) -> Vec<Mount> {
        Vec::new()
    }

    /// [`Source::lookout`](crate::source::Source::lookout).
    fn lookout(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// [`Source::lose`](crate::source::Source::lose).
    fn lose(&mut self) -> bool {
        false
    }

    /// Whether a look at an entry of a watched directory may show what came there by a rename that the kernel has merged with one
    /// before: no event reports that one, [`find_out`](Self::find_out) does.
    ///
    /// `mv a b; mv b a; mv a b` → MOVED_FROM a, MOVED_TO b, MOVED_FROM b, MOVED_TO a: the directory is at `b`, not at `a`.
    fn hides_rename(&self, _wd: Wd, _name: &[u8]) -> bool {
        false
    }

    /// When the queue is empty: whether there is something to read that only a look could tell. `path_of` gives the path
    /// of a watched directory.
    fn find_out(&mut self, _path_of: impl Fn(Wd) -> Option<Vec<u8>>) -> bool {
        false
    }
}

/// The file system, and inotify(7).
#[derive(Debug)]
pub struct InotifyWorld {
    inotify: Inotify,
    files: Files,
    place: WorkingDirectory,
}

/// The file system, and fanotify(7) with a mark for each directory.
#[derive(Debug)]
pub struct MarksWorld {
    marks: Box<Marks>,
    files: Files,
    /// The open directory in which an entry was marked last, by its number, and its handle.
    above: Option<(u64, Located)>,
}

impl InotifyWorld {
    /// Opens an inotify instance. EMFILE means the limit on those, or that on descriptors.
    pub fn new() -> io::Result<InotifyWorld> {
        Ok(InotifyWorld {
            inotify: Inotify::new()?,
            files: Files::default(),
            place: WorkingDirectory::default(),
        })
    }

    /// The same that looks out for mounts, if it can.
    pub fn with_mounts(self) -> InotifyWorld {
        InotifyWorld { files: self.files.with_mounts(), ..self }
    }
}

impl MarksWorld {
    /// Opens a fanotify group; see [`Marks::new`].
    pub fn new(operands: bool) -> io::Result<MarksWorld> {
        Ok(MarksWorld { marks: Box::new(Marks::new(operands)?), files: Files::default(), above: None })
    }

    /// The same that looks out for mounts, if it can.
    pub fn with_mounts(self) -> MarksWorld {
        MarksWorld { files: self.files.with_mounts(), ..self }
    }

    fn mark_entry(&mut self, dir: &OpenDir, name: &CStr, mask: Mask) -> Option<Wd> {
        let above = match self.above.take() {
            Some((number, above)) if number == dir.number => above,
            _ => located(&dir.fd).ok()?,
        };
        let wd = self.marks.add_entry(&dir.fd, &above, name, mask);
        self.above = Some((dir.number, above));
        wd
    }
}

/// A directory opened by one of the worlds.
#[derive(Debug)]
pub struct OpenDir {
    fd: OwnedFd,
    /// Differs for all that were ever opened, as descriptors do not; but not if one was only opened again.
    number: u64,
    /// It was opened to be listed.
    is_listed: bool,
}

/// What both have in common.
#[derive(Debug, Default)]
struct Files {
    /// How many directories were opened.
    opened: u64,
    reader: directory::Reader,
    systems: directory::FileSystems,
    /// The table of mounts, if that is looked at.
    mounts: Option<File>,
}

impl Files {
    /// The same with the table of mounts, if the system tells of them, and the limit on open files leaves enough for the directories.
    fn with_mounts(self) -> Files {
        // A new directory is opened twice, after the one that it is in and the working directory.
        const DIRECTORIES: usize = 4;
        let mounts = mounts::open().ok().filter(|_| descriptors::room(DIRECTORIES) == DIRECTORIES);
        Files { mounts, ..self }
    }

    fn opened(&mut self, fd: io::Result<OwnedFd>, is_listed: bool) -> io::Result<OpenDir> {
        self.opened += 1;
        Ok(OpenDir { fd: fd?, number: self.opened, is_listed })
    }

    fn list(&mut self, dir: &OwnedFd, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
        self.reader.read(dir, |name, kind| {
            let kind = match kind {
                Kind::Unknown => directory::kind_in(dir, name),
                known => known,
            };
            each(name, kind);
        })
    }
}

/// A path that leads there.
fn path_of(at: At<OpenDir>) -> Vec<u8> {
    match at {
        At::Path(path) => path.into(),
        At::Dir(dir) => directory::through(&dir.fd).into_bytes(),
        At::Entry(dir, name) => [directory::through(&dir.fd).as_bytes(), b"/", name].concat(),
        At::Inside => b".".to_vec(),
    }
}

/// [`path_of`] where that is a path already.
fn with_path<T>(at: At<OpenDir>, with: impl FnOnce(&[u8]) -> T) -> T {
    match at {
        At::Path(path) => with(path),
        other => with(&path_of(other)),
    }
}

/// Opens (O_PATH) what inotify_add_watch(2) would watch; no watch reports that.
fn with_object<T>(
    at: At<OpenDir>,
    mask: Mask,
    with: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> io::Result<T> {
    let mut flags = OFlag::O_PATH;
    flags.set(OFlag::O_NOFOLLOW, mask.has(IN_DONT_FOLLOW));
    flags.set(OFlag::O_DIRECTORY, mask.has(IN_ONLYDIR));
    match at {
        At::Path(path) => with(&directory::open_path(path, flags)?),
        At::Dir(dir) => with(&dir.fd),
        At::Entry(dir, name) => with(&directory::open_in(&dir.fd, name, flags)?),
        At::Inside => with(&directory::open_path(b".", flags)?),
    }
}

macro_rules! files {
    () => {
        type Dir = OpenDir;

        fn enter(&mut self, at: At<OpenDir>) -> io::Result<OpenDir> {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let fd = match at {
                At::Path(path) => {
                    self.rest();
                    directory::open_path(path, flags)
                }
                At::Dir(OpenDir { fd, number, .. }) => {
                    let fd = directory::open_in(fd, b".", flags)?;
                    return Ok(OpenDir { fd, number: *number, is_listed: false });
                }
                At::Entry(dir, name) => directory::open_in(&dir.fd, name, flags),
                At::Inside => directory::open_path(b".", flags),
            };
            self.files.opened(fd, false)
        }

        fn open(&mut self, at: At<OpenDir>) -> io::Result<OpenDir> {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let fd = match at {
                At::Path(path) => {
                    self.rest();
                    directory::open(path)
                }
                At::Dir(dir) => directory::open_in(&dir.fd, b".", flags),
                At::Entry(dir, name) => directory::open_in(&dir.fd, name, flags),
                At::Inside => directory::open(b"."),
            };
            self.files.opened(fd, true)
        }

        fn room(&mut self, most: usize) -> usize {
            descriptors::room(most)
        }

        fn tells(&mut self, dir: &OpenDir, contents: Contents) -> bool {
            self.files.systems.tell(&dir.fd, contents)
        }

        fn contents(&mut self, at: At<OpenDir>) -> Contents {
            match at {
                At::Entry(dir, name) => self.files.systems.contents(&dir.fd, name),
                _ => Contents::Unknown,
            }
        }

        fn list(&mut self, dir: &OpenDir, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
            self.files.list(&dir.fd, each)
        }

        fn kind(&mut self, at: At<OpenDir>) -> Kind {
            self.rest();
            with_path(at, directory::kind)
        }

        fn is_directory(&mut self, path: &[u8], follow: bool) -> io::Result<bool> {
            self.rest();
            directory::is_directory(path, follow)
        }

        fn git_files(&mut self, at: At<OpenDir>) -> git::Files {
            match at {
                At::Path(path) => {
                    self.rest();
                    git::Files::at(path)
                }
                At::Dir(dir) => git::Files::of(&dir.fd, b"."),
                At::Entry(dir, name) => git::Files::of(&dir.fd, name),
                At::Inside => git::Files::at(b"."),
            }
        }

        fn times(&mut self, at: At<OpenDir>) -> io::Result<Times> {
            match at {
                At::Path(path) => {
                    self.rest();
                    directory::with_path(path, Times::at)
                }
                At::Dir(dir) => Times::of(&dir.fd),
                At::Inside => Times::at(c"."),
                At::Entry(dir, name) => directory::with_path(name, |name| Times::of_entry(&dir.fd, name)),
            }
        }

        fn now(&mut self) -> Moment {
            Moment::now()
        }

        fn mounts(&mut self) -> Vec<Mount> {
            self.files.mounts.as_ref().and_then(|table| mounts::all_in(table).ok()).unwrap_or_default()
        }

        fn lookout(&self) -> Option<BorrowedFd<'_>> {
            self.files.mounts.as_ref().map(File::as_fd)
        }

        fn sync(&mut self, at: At<OpenDir>) {
            match at {
                At::Dir(dir) if dir.is_listed => self.files.reader.wait_for_change(&dir.fd),
                At::Dir(dir) => directory::wait_for_change(&dir.fd),
                At::Entry(dir, name) => directory::wait_for_change_in(&dir.fd, name),
                At::Path(_) | At::Inside => {}
            }
        }
    };
}

impl World for InotifyWorld {
    const OWN_READING: Mask = READING;
    const NAMES_ENTRIES: bool = false;

    files!();

    fn watch(&mut self, at: At<OpenDir>, mask: Mask) -> io::Result<Wd> {
        // inotify_add_watch(2) has no form with a directory's descriptor. A name in the working directory is looked up several times
        // faster than a path, or than one by way of /proc/self/fd.
        let name = match at {
            At::Entry(dir, name) if self.place.is(&dir.fd, dir.number) => Some(name),
            At::Dir(dir) if self.place.is(&dir.fd, dir.number) => Some(&b"."[..]),
            At::Inside => Some(&b"."[..]),
            _ => None,
        };
        if let Some(name) = name {
            return directory::with_path(name, |name| self.inotify.add_watch(name, mask));
        }
        self.place.leave();
        with_path(at, |path| directory::with_path(path, |path| self.inotify.add_watch(path, mask)))
    }

    fn close_inside(&mut self, dir: OpenDir) -> bool {
        self.place.is(&dir.fd, dir.number)
    }

    fn rest(&mut self) {
        self.place.leave();
    }

    fn unwatch(&mut self, wd: Wd) {
        // EINVAL: it was deleted meanwhile, and the watch with it.
        let _ = self.inotify.rm_watch(wd);
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        self.inotify.read(queue)
    }
}

impl World for MarksWorld {
    const OWN_READING: Mask = Mask::NONE;
    const NAMES_ENTRIES: bool = true;

    files!();

    fn watch(&mut self, at: At<OpenDir>, mask: Mask) -> io::Result<Wd> {
        if let At::Entry(dir, name) = at {
            let marked = directory::with_path(name, |name| Ok(self.mark_entry(dir, name, mask)));
            if let Ok(Some(wd)) = marked {
                return Ok(wd);
            }
        }
        let is_entry = matches!(at, At::Entry(..));
        with_object(at, mask, |object| self.marks.add_watch(object, mask, is_entry))
    }

    fn unwatch(&mut self, wd: Wd) {
        self.marks.rm_watch(wd);
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        self.marks.read(queue)
    }

    fn is_watched_as(&mut self, at: At<OpenDir>, mask: Mask, wd: Wd, _: impl Fn(Wd) -> bool) -> bool {
        with_object(at, mask, |object| Ok(self.marks.is_watched_as(object, wd))).unwrap_or(false)
    }

    fn operand_path(&mut self, path: &[u8], follow: bool) -> io::Result<Option<Vec<u8>>> {
        absolute_path(b"", path, follow).map(Some)
    }

    fn queue_limit(&self) -> Option<&'static str> {
        self.marks.queue_length()
    }

    fn tells_processes(&self) -> bool {
        // A group without privileges has a limit.
        self.marks.queue_length().is_none()
    }

    fn lose(&mut self) -> bool {
        self.marks.lose()
    }

    fn hides_rename(&self, wd: Wd, name: &[u8]) -> bool {
        self.marks.hides_rename(wd, name)
    }

    fn find_out(&mut self, path_of: impl Fn(Wd) -> Option<Vec<u8>>) -> bool {
        self.marks.find_out(path_of)
    }
}

impl AsFd for InotifyWorld {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsFd for MarksWorld {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.marks.as_fd()
    }
}
