//! The system calls that following whole file systems needs.

use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;

use crate::fanotify::normalise::OwnedEntry;
use crate::fanotify::{is_deleted, path_of, split};
use crate::sys::directory::{self, open_path};
use crate::sys::fanotify::{self, BTRFS, Group, Handle, Target, is_mount_root, open_handle, subvolume};
use crate::sys::mounts::{self, Lookout, Mount};

/// The number of the subvolume that all others are in.
const BTRFS_TOP: u64 = 5;

/// What following a file system needs of the kernel. The real one is [`Marked`]; tests have a simulated one.
pub trait Kernel: Debug {
    /// Appends the events that are queued to `buffer`; returns the number of bytes.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize>;

    /// Waits a millisecond for events.
    fn wait(&mut self);

    /// Marks the file system, or the mount, that something open is in: [`Group::mark`].
    fn mark(&mut self, object: &OwnedFd, target: Target, mask: u64) -> io::Result<()>;

    /// A file system is marked, and `path` is a directory in it, by this mount.
    fn add(&mut self, id: &[u8], mount: Option<&Mount>, path: &[u8]);

    /// The directory that a directory is in, and its name there; `None` for the root of a file system or a mount, ESTALE if
    /// it is deleted. The events of changes that this has seen are queued when it returns.
    fn place(&mut self, directory: &Handle) -> io::Result<Option<OwnedEntry>>;

    /// Whether an entry is this object; `None` if nobody can look. The events of changes that this has seen are queued when it returns.
    fn is_at(&mut self, object: &Handle, directory: &Handle, name: &[u8]) -> Option<bool>;

    /// The absolute path of an object; an error if it has none or is deleted (ESTALE).
    fn path(&mut self, object: &Handle) -> io::Result<Vec<u8>>;
}

/// A mount of a file system that has a mark.
#[derive(Debug)]
struct Base {
    /// The file system's id, with which its handles begin.
    id: Vec<u8>,
    /// The mount's number, if that is known.
    mount: Option<Vec<u8>>,
    /// A directory in it.
    path: Vec<u8>,
}

/// A group and the file systems that it has marked.
#[derive(Debug)]
pub struct Marked {
    /// Its fanotify group.
    pub group: Group,
    /// Readable when the group is, or when the mount table has changed.
    pub lookout: Lookout,
    bases: Vec<Base>,
    reader: directory::Reader,
}

impl Marked {
    /// A group that has marked nothing yet.
    pub fn new(group: Group, lookout: Lookout) -> Marked {
        Marked { group, lookout, bases: Vec::new(), reader: directory::Reader::default() }
    }

    /// The number of file systems.
    pub fn len(&self) -> usize {
        let is_first = |at: usize| self.bases[..at].iter().all(|base| base.id != self.bases[at].id);
        (0..self.bases.len()).filter(|at| is_first(*at)).count()
    }

    /// Calls `each` with a directory of a file system that is marked, opened by one of its mounts after the other, until that gives an
    /// answer; ENODEV where it is not mounted any more.
    fn by_mounts<T>(
        &mut self,
        id: &[u8],
        mut each: impl FnMut(&mut Self, OwnedFd) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let opened = |path: &[u8]| match open_path(path, OFlag::O_DIRECTORY) {
            Ok(object) if handle_of(&object).is_ok_and(|handle| file_system(&handle) == id) => {
                Ok(Some(object))
            }
            Err(error) if is_shortage(&error) => Err(error),
            _ => Ok(None),
        };
        let mut at = 0;
        let mut is_mounted = false;
        while let Some(base) = self.bases.get(at) {
            if base.id != id {
                at += 1;
                continue;
            }
            match opened(&base.path)? {
                Some(object) => {
                    is_mounted = true;
                    if let Some(answer) = each(self, object)? {
                        return Ok(Some(answer));
                    }
                    at += 1;
                }
                None => match base
                    .mount
                    .as_ref()
                    .and_then(|mount| point_of(mount))
                    .filter(|now| *now != base.path)
                {
                    // Renamed, with a directory above.
                    Some(now) => self.bases[at].path = now,
                    None => drop(self.bases.remove(at)),
                },
            }
        }
        if is_mounted {
            return Ok(None);
        }
        for mount in mounts::all()? {
            if let Some(object) = opened(&mount.point)? {
                self.add(id, Some(&mount), &mount.point);
                return each(self, object);
            }
        }
        Err(io::Error::from_raw_os_error(libc::ENODEV))
    }

    fn open(&mut self, object: &Handle) -> io::Result<OwnedFd> {
        let opened = self.by_mounts(file_system(object), |_, base| open_handle(&base, object).map(Some))?;
        opened.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// The place of an open directory, as seen by one mount; `None` for its root, and for what is not below that.
    fn place_by(&mut self, object: &OwnedFd, directory: &Handle) -> io::Result<Option<OwnedEntry>> {
        if is_mount_root(object) {
            return Ok(None);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let above = match directory::open_in(object, b"..", flags) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                check_is_there(object)?;
                return Ok(None);
            }
            above => above?,
        };
        let parent = handle_of(&above)?;
        if *parent == *directory {
            return Ok(None);
        }
        let name = match path_of(object) {
            Ok(path) => Ok(split(&path).1.into()),
            // Its path does not fit PATH_MAX.
            Err(_) => self.name_in(&above, directory),
        };
        check_is_there(object)?;
        directory::wait_for_change(&above);
        Ok(Some((parent, name?)))
    }

    /// The name of a directory in the one it is in, by looking at each.
    fn name_in(&mut self, above: &OwnedFd, handle: &Handle) -> io::Result<Box<[u8]>> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut found = Err(io::Error::from_raw_os_error(libc::ENOENT));
        let opened = directory::open_in(above, b".", OFlag::O_RDONLY)?;
        self.reader.read(&opened, |name, _| {
            match directory::open_in(above, name, flags).and_then(|object| handle_of(&object)) {
                Ok(object) if *object == *handle => found = Ok(name.into()),
                Err(error) if found.is_err() && is_shortage(&error) => found = Err(error),
                _ => {}
            }
        })?;
        found
    }
}

impl Kernel for Marked {
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.group.read(buffer)
    }

    fn wait(&mut self) {
        self.group.wait(1);
    }

    fn mark(&mut self, object: &OwnedFd, target: Target, mask: u64) -> io::Result<()> {
        self.group.mark(object, target, mask)
    }

    /// From a bind mount no way leads up to what is above its root, so each mount is needed.
    fn add(&mut self, id: &[u8], mount: Option<&Mount>, path: &[u8]) {
        let mount = mount.map(|mount| mount.id.clone());
        if !self.bases.iter().any(|base| base.id == id && base.mount == mount) {
            self.bases.push(Base { id: id.to_vec(), mount, path: path.to_vec() });
        }
    }

    fn place(&mut self, directory: &Handle) -> io::Result<Option<OwnedEntry>> {
        self.by_mounts(file_system(directory), |kernel, base| {
            kernel.place_by(&open_handle(&base, directory)?, directory)
        })
    }

    fn is_at(&mut self, object: &Handle, directory: &Handle, name: &[u8]) -> Option<bool> {
        let above = match self.open(directory) {
            Err(error) => return Some(false).filter(|_| !is_shortage(&error)),
            Ok(above) => above,
        };
        let found = directory::open_in(&above, name, OFlag::O_PATH | OFlag::O_NOFOLLOW);
        directory::wait_for_change(&above);
        match found {
            Err(error) if is_shortage(&error) => None,
            found => Some(found.is_ok_and(|found| handle_of(&found).is_ok_and(|found| *found == *object))),
        }
    }

    fn path(&mut self, object: &Handle) -> io::Result<Vec<u8>> {
        let opened = self.open(object)?;
        let path = path_of(&opened);
        check_is_there(&opened)?;
        path
    }
}

/// ESTALE if what is open has been deleted: the kernel writes ` (deleted)` behind its path then. So this comes after the look at the path.
fn check_is_there(object: &OwnedFd) -> io::Result<()> {
    match is_deleted(object) {
        true => Err(io::Error::from_raw_os_error(libc::ESTALE)),
        false => Ok(()),
    }
}

/// Where a mount is now, by its number.
fn point_of(number: &[u8]) -> Option<Vec<u8>> {
    Some(mounts::all().ok()?.into_iter().find(|mount| mount.id == number)?.point)
}

/// Whether an error is of the moment, and says nothing of what was looked for.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR))
}

/// The handle of what is open, as the events of a whole file system carry it. Each subvolume of btrfs has an id of its own,
/// in which its number is mixed (statfs(2)); the events have the id of the topmost.
pub fn handle_of(object: &OwnedFd) -> io::Result<Box<Handle>> {
    let mut handle = fanotify::handle_of(object)?;
    if let Some(number) = subvolume(&handle) {
        let mixed = number ^ BTRFS_TOP;
        let high_first = [(mixed >> 32) as u32, mixed as u32].map(u32::to_ne_bytes).concat();
        handle.iter_mut().zip(high_first).for_each(|(byte, mixed)| *byte ^= mixed);
    }
    Ok(handle)
}

/// The handle of the topmost directory of btrfs: only there is the whole of it marked.
pub fn top_of_btrfs(handle: &Handle) -> Option<Box<Handle>> {
    /// The number of the first inode in a subvolume.
    const FIRST: u64 = 256;
    subvolume(handle).filter(|number| *number != BTRFS_TOP)?;
    let own = [&FIRST.to_ne_bytes()[..], &BTRFS_TOP.to_ne_bytes(), &[0; 4]].concat();
    let length = (own.len() as u32).to_ne_bytes();
    Some([file_system(handle), &length, &BTRFS, &own].concat().into())
}

/// The id of the file system that a handle is of.
pub fn file_system(handle: &Handle) -> &[u8] {
    &handle[..handle.len().min(8)]
}
