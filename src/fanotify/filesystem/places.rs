//! Where directories are: which path a handle meant when an event happened.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::fanotify::course::Place;
use crate::fanotify::mounts;
use crate::fanotify::{is_deleted, joined, path_of};
use crate::sys::directory::{self, open_path};
use crate::sys::fanotify::{self, Handle, is_mount_root, open_handle};
use crate::tree::{Flags, NodeId};

use super::{DIRECTORY, Filesystems};

/// The type of btrfs's handles (FILEID_BTRFS_WITHOUT_PARENT in the kernel's exportfs.h): the inode's number (8 bytes),
/// the subvolume's (8) and the generation (4).
const BTRFS: [u8; 4] = 0x4du32.to_ne_bytes();

/// The number of the subvolume that all others are in.
const BTRFS_TOP: u64 = 5;

/// How many directories elsewhere are remembered as such; beyond, they are looked up anew. Some 100 bytes each.
pub(super) const REMEMBERED: usize = 1 << 18;

/// A way up longer than this was not one way, but directories that changed places meanwhile.
const DEEPEST: usize = 1 << 14;

/// How often, in milliseconds, to look for what is certain to be told at once.
const PATIENCE: usize = 20;

impl Filesystems {
    /// Adds a root; where its directory is within another one already, that is enough.
    pub(super) fn add_root(&mut self, handle: &Handle, path: &[u8], flags: Flags) {
        let known = if flags.directory { self.locate(handle) } else { self.known(handle) };
        if let Some(node) = known {
            self.tree.change_flags(node, |known| known.initial |= flags.initial);
            return;
        }
        // What was elsewhere may be below it.
        self.outside.clear();
        let watch = self.insert(None, path, handle, flags);
        self.roots.push(watch);
    }

    pub(super) fn insert(
        &mut self,
        parent: Option<NodeId>,
        name: &[u8],
        handle: &Handle,
        flags: Flags,
    ) -> i32 {
        self.last_watch += 1;
        self.tree.insert(parent, name, self.last_watch, flags);
        self.watches.insert(handle.into(), self.last_watch);
        self.handles.insert(self.last_watch, handle.into());
        self.last_watch
    }

    /// Whether a root is at its path, or else at one where it is found. Deleted it stays where it was.
    pub(super) fn is_in_place(&mut self, node: NodeId) -> bool {
        let Some(handle) = self.handles.get(&self.tree.wd(node)).cloned() else { return true };
        let is_at = |path: &[u8]| {
            let object = open_path(path, OFlag::O_NOFOLLOW);
            object.and_then(|object| handle_of(&object)).is_ok_and(|found| found == handle)
        };
        if is_at(self.tree.name(node)) {
            return true;
        }
        let Some(base) = self.base(file_system(&handle)) else { return false };
        let path = match open_handle(&base, &handle) {
            Err(error) => return error.raw_os_error() == Some(libc::ESTALE),
            Ok(object) if is_deleted(&object) => return true,
            Ok(object) => path_of(&object).unwrap_or_default(),
        };
        if !is_at(&path) {
            return false;
        }
        self.tree.relink(node, None, &path);
        self.path_of = None;
        true
    }

    /// A directory of a file system that is marked, opened; `None` where it is not mounted any more.
    pub(super) fn base(&mut self, id: &[u8]) -> Option<OwnedFd> {
        let at = self.marked.iter().position(|marked| marked.id == id)?;
        let opened = |path: &[u8]| {
            let object = open_path(path, OFlag::O_DIRECTORY).ok()?;
            handle_of(&object).is_ok_and(|handle| file_system(&handle) == id).then_some(object)
        };
        if let Some(object) = opened(&self.marked[at].base) {
            return Some(object);
        }
        let found = mounts::all().ok().and_then(|mounts| {
            mounts.into_iter().find_map(|mount| opened(&mount.point).map(|object| (object, mount.point)))
        });
        match found {
            Some((object, base)) => {
                self.marked[at].base = base;
                Some(object)
            }
            None => {
                self.marked.swap_remove(at);
                None
            }
        }
    }

    pub(super) fn known(&self, handle: &Handle) -> Option<NodeId> {
        self.watches.get(handle).and_then(|watch| self.tree.find(*watch))
    }

    /// The node of a directory as the event at hand saw it; `None` if it is elsewhere.
    pub(super) fn locate(&mut self, handle: &Handle) -> Option<NodeId> {
        self.remembered(handle).unwrap_or_else(|| self.find_out(handle.into()))
    }

    /// The same as far as it is known without a look.
    fn remembered(&self, handle: &Handle) -> Option<Option<NodeId>> {
        match self.known(handle) {
            Some(node) => Some(Some(node)).filter(|_| !self.tree.flags(node).unscanned),
            None => self.outside.contains(handle).then_some(None),
        }
    }

    /// Walks up from a directory to one that is known.
    fn find_out(&mut self, handle: Box<Handle>) -> Option<NodeId> {
        let mut way: Vec<(Box<Handle>, Vec<u8>)> = Vec::new();
        let mut at = handle;
        let found = loop {
            if let Some(remembered) = self.remembered(&at) {
                break remembered;
            }
            match self.place_of(&at).filter(|_| way.len() < DEEPEST) {
                Some((parent, name)) => way.push((std::mem::replace(&mut at, parent), name)),
                None => {
                    way.push((at, Vec::new()));
                    break None;
                }
            }
        };
        if found.is_none() && self.outside.len() + way.len() > REMEMBERED {
            self.outside.clear();
        }
        let mut above = found;
        for (handle, name) in way.into_iter().rev() {
            let known = self.known(&handle);
            above = match (above, known) {
                (Some(parent), Some(node)) => {
                    if !self.tree.is_within(parent, node) {
                        self.tree.relink(node, parent, &name);
                    }
                    self.tree.change_flags(node, |flags| flags.unscanned = false);
                    self.path_of = None;
                    known
                }
                (Some(parent), None) => {
                    self.insert(Some(parent), &name, &handle, DIRECTORY);
                    self.known(&handle)
                }
                (None, known) => {
                    if let Some(node) = known {
                        self.forget(node);
                    }
                    self.outside.insert(handle);
                    None
                }
            };
        }
        above
    }

    /// The directory that a directory was in when the event at hand happened, and its name there. `None` for the
    /// root of a file system or mount, and for what is gone without a trace.
    fn place_of(&mut self, handle: &Handle) -> Option<(Box<Handle>, Vec<u8>)> {
        let now = self.present_place(handle);
        self.pull();
        let mut then = self.queue.place_of(handle);
        let stale = now.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESTALE));
        for _ in 0..PATIENCE {
            if then.is_some() || !stale || !self.was_there {
                break;
            }
            // It is gone since: whoever deletes it is about to tell of that.
            let mut fds = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(1u8));
            self.pull();
            then = self.queue.place_of(handle);
        }
        then.or(now.ok().flatten())
    }

    /// The same of this moment. What had been changed by then has been queued when this returns.
    fn present_place(&mut self, handle: &Handle) -> io::Result<Option<(Box<Handle>, Vec<u8>)>> {
        let Some(base) = self.base(file_system(handle)) else { return Ok(None) };
        let object = open_handle(&base, handle)?;
        if is_deleted(&object) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        if is_mount_root(&object) {
            return Ok(None);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let above = openat(&object, c"..", flags, Mode::empty())?;
        let parent = handle_of(&above)?;
        if *parent == *handle {
            return Ok(None);
        }
        let name = match path_of(&object) {
            Ok(path) => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec(),
            // Its path does not fit PATH_MAX.
            Err(_) => self.name_in(&above, handle)?,
        };
        directory::wait_for_change(&above);
        Ok(Some((parent, name)))
    }

    /// The name of a directory in the one it is in, by looking at each.
    fn name_in(&mut self, above: &OwnedFd, handle: &Handle) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut found = None;
        let opened = openat(above, c".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        self.reader.read(&opened, |name, _| {
            let object = openat(above, OsStr::from_bytes(name), flags, Mode::empty());
            if object.is_ok_and(|object| handle_of(&object).is_ok_and(|found| *found == *handle)) {
                found = Some(name.to_vec());
            }
        })?;
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Whether an object is at a place now. What was changed there by then has been queued when this returns.
    pub(super) fn is_at(&mut self, object: &Handle, place: &Place) -> bool {
        let mut look = || {
            let (watch, name) = place.as_ref()?;
            let above = self.handles.get(watch)?.clone();
            let above = open_handle(&self.base(file_system(&above))?, &above).ok()?;
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let found = openat(&above, OsStr::from_bytes(name), flags, Mode::empty());
            directory::wait_for_change(&above);
            Some(*handle_of(&found.ok()?).ok()? == *object)
        };
        look().unwrap_or(false)
    }

    /// Whether an object has not been deleted.
    pub(super) fn is_there(&mut self, object: &Handle) -> bool {
        let base = self.base(file_system(object));
        let object = base.and_then(|base| open_handle(&base, object).ok());
        object.is_some_and(|object| !is_deleted(&object))
    }

    /// Finds those roots again in whose path a directory of this name was renamed.
    pub(super) fn look_after_roots(&mut self, name: &[u8]) {
        for watch in self.roots.clone() {
            let Some(node) = self.tree.find(watch) else { continue };
            if !self.tree.name(node).split(|byte| *byte == b'/').any(|part| part == name) {
                continue;
            }
            let handle = self.handles.get(&watch).cloned();
            match handle.and_then(|handle| self.path_then(&handle)) {
                Some(path) if path != self.tree.name(node) => {
                    self.tree.relink(node, None, &path);
                    self.path_of = None;
                }
                Some(_) => {}
                None => drop(self.is_in_place(node)),
            }
        }
    }

    /// The path that a directory had when the event at hand happened, wherever that is.
    pub(super) fn path_then(&mut self, handle: &Handle) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at: Box<Handle> = handle.into();
        while let Some((parent, name)) = self.place_of(&at).filter(|_| names.len() < DEEPEST) {
            names.push(name);
            at = parent;
        }
        let top = open_handle(&self.base(file_system(&at))?, &at).ok().filter(|top| !is_deleted(top))?;
        let mut path = path_of(&top).ok()?;
        for name in names.into_iter().rev() {
            path = joined(&path, &name);
        }
        Some(path)
    }
}

/// The subvolume that a handle of btrfs is of.
fn subvolume(handle: &Handle) -> Option<u64> {
    let number = handle.get(24..32)?.first_chunk()?;
    (handle[12..16] == BTRFS).then(|| u64::from_ne_bytes(*number))
}

/// The handle of what is open, as the events of a whole file system carry it. Each subvolume of btrfs has an id of its own,
/// in which its number is mixed (statfs(2)); the events have the id of the topmost.
pub(super) fn handle_of(object: &OwnedFd) -> io::Result<Box<Handle>> {
    let mut handle = fanotify::handle_of(object)?;
    if let Some(number) = subvolume(&handle) {
        let mixed = number ^ BTRFS_TOP;
        let high_first = [(mixed >> 32) as u32, mixed as u32].map(u32::to_ne_bytes).concat();
        handle.iter_mut().zip(high_first).for_each(|(byte, mixed)| *byte ^= mixed);
    }
    Ok(handle)
}

/// The handle of the topmost directory of btrfs: only there is the whole of it marked.
pub(super) fn top_of_btrfs(handle: &Handle) -> Option<Box<Handle>> {
    /// The number of the first inode in a subvolume.
    const FIRST: u64 = 256;
    subvolume(handle).filter(|number| *number != BTRFS_TOP)?;
    let own = [&FIRST.to_ne_bytes()[..], &BTRFS_TOP.to_ne_bytes(), &[0; 4]].concat();
    let length = (own.len() as u32).to_ne_bytes();
    Some([file_system(handle), &length, &BTRFS, &own].concat().into())
}

/// The id of the file system that a handle is of.
pub(super) fn file_system(handle: &Handle) -> &[u8] {
    &handle[..handle.len().min(8)]
}
