//! The interface that the events of a [`Watcher`](super::Watcher) come from.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::event::Mask;
use crate::fanotify::marks::Marks;
use crate::source::Interface;
use crate::sys::directory;
use crate::sys::inotify::Inotify;

/// inotify(7), or what looks like it.
#[derive(Debug)]
pub(super) enum Kernel {
    Inotify(Inotify),
    Marks(Box<Marks>),
}

impl Kernel {
    /// `recursive`: every directory that is heard of is watched, too.
    pub(super) fn new(interface: Interface, recursive: bool) -> io::Result<Kernel> {
        Ok(match interface {
            Interface::Inotify => Kernel::Inotify(Inotify::new()?),
            Interface::Fanotify(_) => Kernel::Marks(Box::new(Marks::new(!recursive)?)),
        })
    }

    /// Whether this is fanotify: paths are absolute, a file is told of in its directory, what was not asked for may
    /// come with what was, and events of the program's own doing do not come at all.
    pub(super) fn is_fanotify(&self) -> bool {
        matches!(self, Kernel::Marks(_))
    }

    pub(super) fn add_watch(&self, path: &CStr, mask: Mask) -> io::Result<i32> {
        match self {
            Kernel::Inotify(inotify) => inotify.add_watch(path, mask),
            Kernel::Marks(marks) => marks.add_watch(path, mask),
        }
    }

    /// Whether what is at `path` is watched as `wd`, if that can be told without watching it.
    pub(super) fn is_at(&self, path: &[u8], mask: Mask, wd: i32) -> Option<bool> {
        match self {
            Kernel::Inotify(_) => None,
            Kernel::Marks(marks) => {
                Some(directory::with_path(path, |path| Ok(marks.is_at(path, mask, wd))).unwrap_or(false))
            }
        }
    }

    pub(super) fn rm_watch(&self, wd: i32) -> io::Result<()> {
        match self {
            Kernel::Inotify(inotify) => inotify.rm_watch(wd),
            Kernel::Marks(marks) => marks.rm_watch(wd),
        }
    }

    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Kernel::Inotify(inotify) => inotify.read(buffer),
            Kernel::Marks(marks) => marks.read(buffer),
        }
    }

    /// Where the length of its queue is set, if it has one.
    pub(super) fn queue_length(&self) -> Option<&'static str> {
        match self {
            Kernel::Inotify(_) => Some("/proc/sys/fs/inotify/max_queued_events"),
            Kernel::Marks(marks) => marks.queue_length(),
        }
    }

    /// [`Source::lose`](crate::source::Source::lose).
    pub(super) fn lose(&self) -> bool {
        match self {
            Kernel::Inotify(_) => false,
            Kernel::Marks(marks) => marks.lose(),
        }
    }

    /// When the queue is empty: whether there is something to read that only a look could tell. `path_of` gives the path
    /// of a watched directory.
    pub(super) fn find_out(&self, path_of: impl Fn(i32) -> Option<Vec<u8>>) -> bool {
        match self {
            Kernel::Inotify(_) => false,
            Kernel::Marks(marks) => marks.find_out(path_of),
        }
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Kernel::Inotify(inotify) => inotify.as_fd(),
            Kernel::Marks(marks) => marks.as_fd(),
        }
    }
}
