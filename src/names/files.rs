//! All that the tracker of names has to do with the operating system, as one trait: the real thing here, a simulated one in the
//! tests, where another process can act before each call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use crate::source::{Settings, Source};
use crate::sys::directory::{self, open_in, open_path};
use crate::sys::inotify::{Inotify, Wd};
use crate::sys::mask::{IN_MASK_ADD, Mask};
use crate::sys::mounts::Lookout;
use crate::sys::status::Status;
use crate::watcher::Watcher;
use crate::world::InotifyWorld;

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A regular file.
    File,
    /// A device, FIFO or socket.
    Other,
}

/// What stat(2) says of an open object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// The device and the inode number.
    pub id: (u64, u64),
    /// The number of its names.
    pub links: u64,
}

/// What the tracker asks of the operating system.
pub trait Files {
    /// An open object (O_PATH), whatever it is renamed to.
    type Open;

    /// The directory in which a path begins: the root, or the working directory.
    fn start(&mut self, is_absolute: bool) -> io::Result<Self::Open>;

    /// Opens an entry of a directory, without following a link. No watch reports that.
    fn open(&mut self, directory: &Self::Open, name: &[u8]) -> io::Result<Self::Open>;

    /// Its kind and identity.
    fn found(&mut self, object: &Self::Open) -> io::Result<Found>;

    /// The target of a symbolic link.
    fn target(&mut self, link: &Self::Open) -> io::Result<Vec<u8>>;

    /// Whether something else than the directory's own entry is mounted there.
    fn is_mounted(&mut self, directory: &Self::Open, entry: &Self::Open) -> bool;

    /// inotify_add_watch(2) with IN_MASK_ADD: the watch descriptor, which is the old one where the inode is watched already.
    fn watch(&mut self, object: &Self::Open, mask: Mask) -> io::Result<Wd>;

    /// inotify_rm_watch(2). A watch that has ended is no error.
    fn unwatch(&mut self, wd: Wd);

    /// Waits until whoever is just changing an entry of the directory has done so, and the event is queued.
    fn sync(&mut self, directory: &Self::Open);

    /// Appends what the kernel has queued, in the form of inotify(7); returns the number of bytes. Never blocks.
    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize>;

    /// Whether what is mounted has changed since this was asked last.
    fn mounts_have_changed(&mut self) -> bool;

    /// A source of the events of whole trees, whose readiness is reported with that of this one.
    fn tree(&mut self, settings: Settings) -> io::Result<Box<dyn Source>>;
}

/// The file system, and inotify(7).
#[derive(Debug)]
pub struct InotifyFiles {
    inotify: Inotify,
    lookout: Lookout,
}

impl InotifyFiles {
    /// Opens an inotify instance. EMFILE means the limit on those, or that on descriptors.
    pub fn new() -> io::Result<InotifyFiles> {
        let inotify = Inotify::new()?;
        let lookout = Lookout::new(&[inotify.as_fd()])?;
        Ok(InotifyFiles { inotify, lookout })
    }
}

impl Files for InotifyFiles {
    type Open = OwnedFd;

    fn start(&mut self, is_absolute: bool) -> io::Result<OwnedFd> {
        open_path(if is_absolute { b"/" } else { b"." }, OFlag::O_DIRECTORY)
    }

    fn open(&mut self, directory: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
        open_in(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW)
    }

    fn found(&mut self, object: &OwnedFd) -> io::Result<Found> {
        let status = Status::of(object)?;
        let kind = match status.kind() {
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFREG => Kind::File,
            _ => Kind::Other,
        };
        Ok(Found { kind, id: status.id(), links: status.links() })
    }

    fn target(&mut self, link: &OwnedFd) -> io::Result<Vec<u8>> {
        directory::target_of(link)
    }

    fn is_mounted(&mut self, directory: &OwnedFd, entry: &OwnedFd) -> bool {
        directory::mount_of(directory) != directory::mount_of(entry)
    }

    fn watch(&mut self, object: &OwnedFd, mask: Mask) -> io::Result<Wd> {
        let path = directory::link_to(object);
        directory::with_path(&path, |path| self.inotify.add_watch(path, mask | IN_MASK_ADD))
    }

    fn unwatch(&mut self, wd: Wd) {
        // EINVAL: the object was deleted, and the watch with it.
        let _ = self.inotify.rm_watch(wd);
    }

    fn sync(&mut self, directory: &OwnedFd) {
        directory::wait_for_change(directory);
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        self.inotify.read(queue)
    }

    fn mounts_have_changed(&mut self) -> bool {
        self.lookout.has_changed()
    }

    fn tree(&mut self, settings: Settings) -> io::Result<Box<dyn Source>> {
        let tree = Watcher::new(InotifyWorld::new()?, settings);
        self.lookout.add(tree.as_fd())?;
        Ok(Box::new(tree))
    }
}

impl AsFd for InotifyFiles {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lookout.as_fd()
    }
}
