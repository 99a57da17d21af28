//! Where directories are: which path a handle meant when an event happened.

use std::collections::{HashMap, HashSet};
use std::io;

use libc::{FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_Q_OVERFLOW, FAN_RENAME};
use nix::fcntl::OFlag;

use crate::fanotify::normalise::OwnedEntry;
use crate::fanotify::{joined, path_of};
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Entry, Handle, decoded, open_handle};
use crate::sys::inotify::Wd;
use crate::sys::mounts::Mount;
use crate::tree::NodeId;

use super::kernel::{Kernel, handle_of, is_shortage};
use super::mounted::mount_now;
use super::{DIRECTORY, Filesystems, State};

/// How many directories elsewhere are remembered as such; beyond, they are looked up again. Some 100 bytes each.
pub(super) const REMEMBERED: usize = 1 << 18;

/// A longer way up was no way, but directories that changed places while it was looked up.
const DEEPEST: usize = 1 << 14;

/// How long, in milliseconds, to wait for an event that is about to be queued.
const PATIENCE: usize = 20;

/// Whether all events that were read happened in directories that are known to be `outside`, and none is a rename: most events of a
/// file system. The directories that were made there are outside also.
pub(super) fn is_elsewhere(
    bytes: &[u8],
    outside: &mut HashSet<Box<Handle>>,
    nodes: &HashMap<Box<Handle>, NodeId>,
) -> bool {
    // Those that are made, or end.
    let mut met: HashSet<&Handle> = HashSet::new();
    let is_elsewhere = decoded(bytes).all(|event| {
        if event.mask & (FAN_RENAME | FAN_Q_OVERFLOW) != 0
            || event.object.is_some_and(|object| nodes.contains_key(object))
        {
            return false;
        }
        let Some(Entry { directory, .. }) = event.place else { return event.object.is_some() };
        let is_outside = outside.contains(directory) || met.contains(directory);
        if event.mask & FAN_ONDIR != 0 && event.mask & (FAN_CREATE | FAN_DELETE) != 0 {
            met.extend(event.object);
        }
        is_outside
    });
    if is_elsewhere && !met.is_empty() {
        for event in decoded(bytes).filter(|event| event.mask & FAN_ONDIR != 0) {
            let made = event.object.filter(|_| event.mask & (FAN_CREATE | FAN_DELETE) == FAN_CREATE);
            outside.extend(made.filter(|_| outside.len() < REMEMBERED).map(Box::from));
            if let Some(gone) = event.itself().filter(|_| event.mask & FAN_DELETE_SELF != 0) {
                outside.remove(gone);
            }
        }
    }
    is_elsewhere
}

impl<K: Kernel> Filesystems<K> {
    /// Adds an operand; where its directory is within another one already, that is enough.
    pub(super) fn add_root(&mut self, handle: &Handle, path: &[u8], directory: bool, mount: Option<Mount>) {
        let known = if directory { self.locate(handle) } else { self.known(handle) };
        if let Some(node) = known {
            return self.tree.set_state(node, State { initial: true, ..self.tree.state(node) });
        }
        // What was elsewhere may be below it.
        self.outside.clear();
        let root = self.insert(None, path, handle, State { directory, initial: true, ..DIRECTORY });
        self.roots.push(root);
        self.mounts.extend(mount.map(|mount| (root, mount)));
    }

    pub(super) fn insert(
        &mut self,
        parent: Option<NodeId>,
        name: &[u8],
        handle: &Handle,
        state: State,
    ) -> NodeId {
        self.last_watch += 1;
        let node = self.tree.insert(parent, name, Wd(self.last_watch), state);
        self.nodes.insert(handle.into(), node);
        self.handles.insert(node, handle.into());
        node
    }

    /// Whether a root is at its path, or else at one where it is found. Deleted it stays where it was.
    pub(super) fn is_in_place(&mut self, node: NodeId) -> bool {
        let Some(handle) = self.handles.get(&node).cloned() else { return true };
        let is_at = |path: &[u8]| {
            let object = open_path(path, OFlag::O_NOFOLLOW);
            object.and_then(|object| handle_of(&object)).is_ok_and(|found| found == handle)
        };
        if is_at(self.tree.name(node)) {
            return true;
        }
        // By its own mount. Something else may be mounted above it.
        if let Some(found) =
            self.mount_of(node).and_then(|mount| open_handle(&mount_now(mount)?.1, &handle).ok())
        {
            if let Some(path) = path_of(&found).ok().filter(|path| is_at(path)) {
                self.move_root(node, &path);
            }
            return true;
        }
        // Or else by any.
        match self.kernel.path(&handle) {
            Err(error) => error.raw_os_error() == Some(libc::ESTALE) || is_shortage(&error),
            Ok(path) => {
                let is_there = self.mount_of(node).is_none() && is_at(&path);
                if is_there {
                    self.move_root(node, &path);
                }
                is_there
            }
        }
    }

    /// A root has another path now.
    pub(super) fn move_root(&mut self, node: NodeId, path: &[u8]) {
        if self.tree.name(node) != path {
            self.tree.relink(node, None, path);
            self.path_of = None;
            self.may_have_mounts = true;
        }
    }

    pub(super) fn known(&self, handle: &Handle) -> Option<NodeId> {
        self.nodes.get(handle).copied()
    }

    /// What is not a root is at another place now.
    pub(super) fn relink(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        self.tree.relink(node, parent, name);
        self.path_of = None;
    }

    /// The node of a directory as the event at hand saw it; `None` if it is elsewhere.
    pub(super) fn locate(&mut self, handle: &Handle) -> Option<NodeId> {
        self.remembered(handle).unwrap_or_else(|| self.find_out(handle.into()))
    }

    /// The same as far as it is known without a look.
    fn remembered(&self, handle: &Handle) -> Option<Option<NodeId>> {
        match self.known(handle) {
            None => self.outside.contains(handle).then_some(None),
            known => Some(known),
        }
    }

    /// Walks up from a directory to one that is known.
    fn find_out(&mut self, handle: Box<Handle>) -> Option<NodeId> {
        let mut way: Vec<OwnedEntry> = Vec::new();
        let mut at = handle;
        let found = loop {
            if let Some(remembered) = self.remembered(&at) {
                break remembered;
            }
            match self.place_of(&at) {
                Ok(Some((parent, name))) if way.len() < DEEPEST => {
                    way.push((std::mem::replace(&mut at, parent), name));
                }
                Ok(_) => {
                    way.push((at.clone(), Box::default()));
                    break None;
                }
                // It may be within all the same: the next event leads to another look.
                Err(_) => return None,
            }
        };
        if found.is_none() && std::mem::take(&mut self.may_have_mounts) && !self.mounts.is_empty() {
            // The way down may be by a mount that nobody has looked at.
            self.survey(false);
            return self.locate(&way.into_iter().next().map_or(at, |(first, _)| first));
        }
        if found.is_none() && self.outside.len() + way.len() > REMEMBERED {
            self.outside.clear();
        }
        let mut above = found;
        for (handle, name) in way.into_iter().rev() {
            above = match (above, self.known(&handle)) {
                // It was met twice, for it was renamed meanwhile.
                (_, Some(known)) => Some(known),
                (Some(parent), None) => Some(self.insert(Some(parent), &name, &handle, DIRECTORY)),
                (None, None) => {
                    self.outside.insert(handle);
                    None
                }
            };
        }
        above
    }

    /// The directory that a directory was in when the event at hand happened, and its name there. `None` for the
    /// root of a file system, or of a mount that is not known, and for what is gone without a trace. An error says that
    /// nobody could look.
    fn place_of(&mut self, handle: &Handle) -> io::Result<Option<OwnedEntry>> {
        let now = self.kernel.place(handle);
        self.pull();
        let mut then = self.queue.place_of(handle);
        let stale = now.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESTALE));
        for _ in 0..PATIENCE {
            if then.is_some() || !stale || !self.was_there {
                break;
            }
            // It was deleted after the event at hand: the event of that is about to be queued.
            self.kernel.wait();
            self.pull();
            then = self.queue.place_of(handle);
        }
        match (then, now) {
            (Some(then), _) => Ok(Some(then)),
            (None, Err(error)) if is_shortage(&error) => Err(error),
            (None, now) => Ok(now.ok().flatten()),
        }
    }

    /// Finds those roots again in whose path a directory of this name was renamed.
    pub(super) fn look_after_roots(&mut self, name: &[u8]) {
        for node in self.roots.clone() {
            if !self.tree.name(node).split(|byte| *byte == b'/').any(|part| part == name) {
                continue;
            }
            let handle = self.handles.get(&node).cloned();
            match handle.and_then(|handle| self.path_then(node, &handle)) {
                Some(path) => self.move_root(node, &path),
                None => drop(self.is_in_place(node)),
            }
        }
    }

    /// The path that a directory had in the mount of a root when the event at hand happened.
    pub(super) fn path_then(&mut self, root: NodeId, directory: &Handle) -> Option<Vec<u8>> {
        let top = match self.mount_of(root) {
            Some(mount) => {
                let (mount, point) = mount_now(mount)?;
                Some((handle_of(&point).ok()?, mount.point))
            }
            None => None,
        };
        let mut names = Vec::new();
        let mut at: Box<Handle> = directory.into();
        let mut path = loop {
            if let Some((_, point)) = top.as_ref().filter(|(top, _)| *top == at) {
                break point.clone();
            }
            match self.place_of(&at).ok()? {
                Some((parent, name)) if names.len() < DEEPEST => {
                    names.push(name);
                    at = parent;
                }
                _ if top.is_some() => return None,
                _ => break self.kernel.path(&at).ok()?,
            }
        };
        for name in names.into_iter().rev() {
            path = joined(&path, &name);
        }
        Some(path)
    }
}
