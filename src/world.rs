//! All that the watcher has to do with the operating system, as one trait: the real thing here, a simulated one in
//! the tests, where another process can act before each call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;

use crate::event::Mask;
use crate::fanotify::marks::Marks;
use crate::sys::directory::{self, Kind};
use crate::sys::inotify::Inotify;

/// Where something is.
#[derive(Debug)]
pub enum At<'a, D> {
    /// At a path, of any length.
    Path(&'a [u8]),
    /// The open directory itself.
    Dir(&'a D),
    /// The entry of that name in an open directory.
    Entry(&'a D, &'a [u8]),
}

/// What the watcher asks of the operating system. Symbolic links are followed only at the end of a path that has a `/`
/// behind it.
pub trait World {
    /// An open directory, which stays the same whatever it is renamed to.
    type Dir;

    /// Whether the reading of a directory by this process is reported to it like that by any other: inotify does.
    const REPORTS_OWN_ACTIONS: bool;

    /// Opens a directory to name its entries by: no watch reports that.
    fn enter(&mut self, at: At<Self::Dir>) -> io::Result<Self::Dir>;

    /// Opens a directory to list it.
    fn open(&mut self, at: At<Self::Dir>) -> io::Result<Self::Dir>;

    /// inotify_add_watch(2): the watch descriptor, which is the old one where the inode is watched already.
    fn watch(&mut self, at: At<Self::Dir>, mask: Mask) -> io::Result<i32>;

    /// inotify_rm_watch(2). A watch that has ended is no error.
    fn unwatch(&mut self, wd: i32);

    /// Calls `each` with the name and the kind of every entry but `.` and `..`.
    fn list(&mut self, dir: &Self::Dir, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()>;

    /// What is there now, without following a link; [`Kind::Other`] where nothing is.
    fn kind(&mut self, at: At<Self::Dir>) -> Kind;

    /// Whether a directory is at a path; a symbolic link counts as its target if `follow`, or if `/` stands behind it.
    fn is_directory(&mut self, path: &[u8], follow: bool) -> bool;

    /// Waits until whoever is just changing an entry of the directory has done so, and the event is queued.
    fn sync(&mut self, dir: &Self::Dir);

    /// Appends what the kernel has queued, in the form of inotify(7); returns the number of bytes. Never blocks.
    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize>;

    /// Whether the directory there is the one that is watched as `wd`. `mask` is what that watch asks for.
    fn is_watched_as(
        &mut self,
        at: At<Self::Dir>,
        mask: Mask,
        wd: i32,
        is_known: impl Fn(i32) -> bool,
    ) -> bool {
        match self.watch(at, mask) {
            Ok(found) if found != wd && !is_known(found) => {
                self.unwatch(found);
                false
            }
            found => found.is_ok_and(|found| found == wd),
        }
    }

    /// The file that sets the length of the event queue, if that has a limit.
    fn queue_limit(&self) -> Option<&'static str> {
        Some("/proc/sys/fs/inotify/max_queued_events")
    }

    /// [`Source::tells_processes`](crate::source::Source::tells_processes).
    fn tells_processes(&self) -> bool {
        false
    }

    /// [`Source::lose`](crate::source::Source::lose).
    fn lose(&mut self) -> bool {
        false
    }

    /// When the queue is empty: whether there is something to read that only a look could tell. `path_of` gives the path
    /// of a watched directory.
    fn find_out(&mut self, _path_of: impl Fn(i32) -> Option<Vec<u8>>) -> bool {
        false
    }
}

/// The file system, and inotify(7).
#[derive(Debug)]
pub struct InotifyWorld {
    inotify: Inotify,
    files: Files,
}

/// The file system, and fanotify(7) with a mark for each directory.
#[derive(Debug)]
pub struct MarksWorld {
    marks: Box<Marks>,
    files: Files,
}

impl InotifyWorld {
    /// Opens an inotify instance. EMFILE means the limit on those, or that on descriptors.
    pub fn new() -> io::Result<InotifyWorld> {
        Ok(InotifyWorld { inotify: Inotify::new()?, files: Files::default() })
    }
}

impl MarksWorld {
    /// Opens a fanotify group; see [`Marks::new`].
    pub fn new(operands: bool) -> io::Result<MarksWorld> {
        Ok(MarksWorld { marks: Box::new(Marks::new(operands)?), files: Files::default() })
    }
}

/// What both have in common.
#[derive(Debug, Default)]
struct Files {
    reader: directory::Reader,
}

impl Files {
    fn list(&mut self, dir: &OwnedFd, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
        self.reader.read(dir, |name, kind| {
            let kind = match kind {
                Kind::Unknown => directory::kind(&path_of(At::Entry(dir, name))),
                known => known,
            };
            each(name, kind);
        })
    }
}

/// A path that leads there.
fn path_of(at: At<OwnedFd>) -> Vec<u8> {
    match at {
        At::Path(path) => path.into(),
        At::Dir(dir) => directory::through(dir).into_bytes(),
        At::Entry(dir, name) => [directory::through(dir).as_bytes(), b"/", name].concat(),
    }
}

/// [`path_of`] where that is a path already.
fn with_path<T>(at: At<OwnedFd>, with: impl FnOnce(&[u8]) -> T) -> T {
    match at {
        At::Path(path) => with(path),
        other => with(&path_of(other)),
    }
}

macro_rules! files {
    () => {
        type Dir = OwnedFd;

        fn enter(&mut self, at: At<OwnedFd>) -> io::Result<OwnedFd> {
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            with_path(at, |path| directory::open_path(path, flags))
        }

        fn open(&mut self, at: At<OwnedFd>) -> io::Result<OwnedFd> {
            with_path(at, directory::open)
        }

        fn list(&mut self, dir: &OwnedFd, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
            self.files.list(dir, each)
        }

        fn kind(&mut self, at: At<OwnedFd>) -> Kind {
            with_path(at, directory::kind)
        }

        fn is_directory(&mut self, path: &[u8], follow: bool) -> bool {
            directory::is_directory(path, follow)
        }

        fn sync(&mut self, dir: &OwnedFd) {
            directory::wait_for_change(dir);
        }
    };
}

impl World for InotifyWorld {
    const REPORTS_OWN_ACTIONS: bool = true;

    files!();

    fn watch(&mut self, at: At<OwnedFd>, mask: Mask) -> io::Result<i32> {
        with_path(at, |path| directory::with_path(path, |path| self.inotify.add_watch(path, mask)))
    }

    fn unwatch(&mut self, wd: i32) {
        // EINVAL: it was deleted meanwhile, and the watch with it.
        let _ = self.inotify.rm_watch(wd);
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        self.inotify.read(queue)
    }
}

impl World for MarksWorld {
    const REPORTS_OWN_ACTIONS: bool = false;

    files!();

    fn watch(&mut self, at: At<OwnedFd>, mask: Mask) -> io::Result<i32> {
        with_path(at, |path| directory::with_path(path, |path| self.marks.add_watch(path, mask)))
    }

    fn unwatch(&mut self, wd: i32) {
        let _ = self.marks.rm_watch(wd);
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        self.marks.read(queue)
    }

    fn is_watched_as(&mut self, at: At<OwnedFd>, mask: Mask, wd: i32, _: impl Fn(i32) -> bool) -> bool {
        let is_at = |path: &[u8]| directory::with_path(path, |path| Ok(self.marks.is_at(path, mask, wd)));
        with_path(at, is_at).unwrap_or(false)
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

    fn find_out(&mut self, path_of: impl Fn(i32) -> Option<Vec<u8>>) -> bool {
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
