//! What is mounted within what was asked for, and by what mount an operand is reached. The table of mounts is read whenever it has changed,
//! and when a directory has come, in which something may be mounted.
//!
//! ```text
//! mount --bind out d/m; umount d/m   →  no event: the table alone tells
//! mv d/a d/b                         →  RENAME a b: what is mounted below a is below b now, and the table has not changed
//! mv out/a d/a                       →  RENAME to a: the mounts below it are within from now on
//! ```

use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;

use crate::fanotify::{is_directory, split};
use crate::source::{Problem, Scope};
use crate::sys::descriptors::room;
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Handle, is_mount_root};
use crate::sys::mask::IN_UNMOUNT;
use crate::sys::mounts::{self, Mount};
use crate::tree::NodeId;

use super::kernel::{Kernel, file_system, handle_of};
use super::{DIRECTORY, Filesystems, Outgoing, State};

/// A mount, the handle of what it shows, and whether that is a directory.
pub(super) type Shown = (Mount, Box<Handle>, bool);

/// So many files a look at what is mounted has open at once, at most.
const OPENED: usize = 8;

impl<K: Kernel> Filesystems<K> {
    /// Looks at what is mounted: mounts within what was asked for are added; and if the table of mounts has changed, what cannot be reached
    /// any more is let go.
    pub(super) fn survey(&mut self, has_changed: bool) {
        if room(OPENED) < OPENED {
            // What cannot be opened now is tried again after the next event.
            self.mounts_changed = Some(self.queue.queued() + 1);
        }
        let Ok(mounts) = mounts::all() else { return };
        if has_changed {
            self.look_after_operands(&mounts);
            self.look_after_mounts(&mounts);
        }
        if self.scope != Scope::Paths {
            return;
        }
        // What is mounted in the place of one that has gone is another.
        self.refused.retain(|refused| mounts.iter().any(|mount| mount.is(refused)));
        let operands: Vec<Vec<u8>> = self.roots.iter().map(|root| self.tree.name(*root).to_vec()).collect();
        let is_within = |mount: &Mount| {
            let is_below = |path: &Vec<u8>| mount.point != *path && mounts::is_below(&mount.point, path);
            mount.kind != b"autofs" && operands.iter().any(is_below)
        };
        // Of those at one point the last hides the others.
        let mut points = HashSet::new();
        let seen = mounts.iter().rev().filter(|mount| is_within(mount) && points.insert(&mount.point));
        let seen: Vec<&Mount> = seen.collect();
        for mount in seen.into_iter().rev() {
            let filter = &self.settings.filter;
            let is_ignored = || operands.iter().all(|path| filter.ignores_path(path, &mount.point));
            if !self.is_known(mount) && !is_ignored() {
                self.watch_mount(mount);
            }
        }
    }

    /// Whether the root of a mount is a node of the tree by that mount.
    fn is_known(&self, mount: &Mount) -> bool {
        let is_root =
            |node: NodeId| self.tree.state(node).mounted || self.tree.name(node) == &mount.point[..];
        self.mounts.iter().any(|(node, known)| known.is(mount) && is_root(*node))
    }

    fn watch_mount(&mut self, mount: &Mount) {
        let object = open_path(&mount.point, OFlag::O_DIRECTORY);
        match object.and_then(|object| self.mark(&object, &mount.point, Some(mount))) {
            Ok(handle) => self.add_mount(&handle, mount),
            // A file can be a mount point, and another user's may be closed to us.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT | libc::EACCES)) => {}
            Err(error) if !self.refused.iter().any(|refused| refused.is(mount)) => {
                self.refused.push(mount.clone());
                let path = mount.point.clone();
                self.outbox.push_back(Outgoing::Problem(Problem::Directory { path, error, new: false }));
            }
            Err(_) => {}
        }
    }

    /// The mount that a root is in, or whose root a node is.
    pub(super) fn mount_of(&self, node: NodeId) -> Option<&Mount> {
        self.mounts.iter().find(|(known, _)| *known == node).map(|(_, mount)| mount)
    }

    /// Adds what is mounted on an entry of a known directory, if it is not within what was asked for already.
    pub(super) fn add_mount(&mut self, handle: &Handle, mount: &Mount) {
        if self.locate(handle).is_some() {
            return;
        }
        let Some((parent, name)) = self.locate_mount(mount) else { return };
        // What was elsewhere may be below it.
        self.outside.clear();
        let node = self.insert(Some(parent), &name, handle, State { mounted: true, ..DIRECTORY });
        self.mounts.push((node, mount.clone()));
    }

    /// The directory in which something is mounted, if it is within what was asked for, and the name there.
    fn locate_mount(&mut self, mount: &Mount) -> Option<(NodeId, Box<[u8]>)> {
        let (above, name) = split(&mount.point);
        let directory = open_path(above, OFlag::O_DIRECTORY).ok()?;
        Some((self.locate(&handle_of(&directory).ok()?)?, name.into()))
    }

    /// What is mounted has changed: lets those operands go that cannot be reached any more.
    pub(super) fn look_after_operands(&mut self, now: &[Mount]) {
        // What other mounts show of a file system that has lost one.
        let mut rest: BTreeMap<Vec<u8>, Vec<Shown>> = BTreeMap::new();
        for node in self.roots.clone() {
            let Some(handle) = self.handles.get(&node).cloned() else { continue };
            let path = self.tree.name(node);
            let own = self.mount_of(node).filter(|mount| mount.point == path);
            let is_gone = own.is_some_and(|mount| {
                !now.iter().any(|other| other.is(mount)) || is_another(mount, &handle, now)
            });
            // Another mount may hide it.
            let is_hidden = || now.iter().any(|mount| mount.point == path);
            if is_gone || !is_hidden() && !self.is_in_place(node) {
                let device = self.mount_of(node).map(|mount| &mount.device);
                let of_device = now.iter().filter(|mount| Some(&mount.device) == device);
                let id = file_system(&handle);
                let rest = rest.entry(id.to_vec()).or_insert_with(|| match self.scope {
                    Scope::Filesystem => shown(id, of_device),
                    Scope::Paths | Scope::Mount => Vec::new(),
                });
                match rest.is_empty() {
                    true => self.unmounted(node),
                    false => self.forget(node),
                }
            }
        }
        rest.into_values().for_each(|rest| self.add_shown(&rest));
    }

    /// Adds the mounts of a file system that is watched whole: by which of them a directory is reached does not matter, but by some one it
    /// must be.
    pub(super) fn add_shown(&mut self, shown: &[Shown]) {
        for (mount, handle, directory) in shown {
            self.add_root(handle, &mount.point, *directory, Some(mount.clone()));
        }
        // Not before: what is no root is looked for by each.
        for (mount, handle, _) in shown {
            self.kernel.add(file_system(handle), Some(mount), &mount.point);
        }
    }

    /// What is mounted has changed: lets those mounts go that are not there any more, and finds those that were moved.
    pub(super) fn look_after_mounts(&mut self, now: &[Mount]) {
        // Those in others first.
        for (node, known) in self.mounts.clone().into_iter().rev() {
            let Some(handle) = self.handles.get(&node).cloned().filter(|_| self.tree.state(node).mounted)
            else {
                continue;
            };
            match now.iter().find(|mount| mount.is(&known)).filter(|mount| !is_another(mount, &handle, now)) {
                None => self.unmounted(node),
                Some(mount) if mount.point != known.point => {
                    self.mounts.retain(|(at, _)| *at != node);
                    match self.locate_mount(mount) {
                        Some((parent, name)) => {
                            self.relink(node, parent, &name);
                            self.mounts.push((node, mount.clone()));
                        }
                        None => self.forget(node),
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What was mounted is not there any more.
    pub(super) fn unmounted(&mut self, node: NodeId) {
        for below in self.tree.subtree(node).into_iter().rev() {
            if below == node || self.tree.state(below).initial {
                self.report_itself(below, IN_UNMOUNT);
            }
        }
        self.forget(node);
    }
}

/// What these mounts show of the file system of that id. Another mount may hide it; and a file can be a mount point.
pub(super) fn shown<'a>(id: &[u8], mounts: impl IntoIterator<Item = &'a Mount>) -> Vec<Shown> {
    let seen = |mount: &Mount| {
        let object = open_path(&mount.point, OFlag::empty()).ok()?;
        let handle = handle_of(&object).ok().filter(|handle| file_system(handle) == id)?;
        Some((mount.clone(), handle, is_directory(&object).ok()?))
    };
    mounts.into_iter().filter_map(seen).collect()
}

/// A mount as it is in the table now, and what is at its place, opened.
pub(super) fn mount_now(mount: &Mount) -> Option<(Mount, OwnedFd)> {
    let mount = mounts::all().ok()?.into_iter().find(|now| now.is(mount))?;
    let object = open_path(&mount.point, OFlag::empty()).ok()?;
    Some((mount, object))
}

/// Whether a mount has the number of one before, but is another: what is at its place, and is no mount that hides it, is not `root`.
fn is_another(mount: &Mount, root: &Handle, now: &[Mount]) -> bool {
    let is_seen = now.iter().rfind(|other| other.point == mount.point).is_some_and(|last| last.is(mount));
    let there = open_path(&mount.point, OFlag::empty()).ok().filter(|there| is_seen && is_mount_root(there));
    there.and_then(|there| handle_of(&there).ok()).is_some_and(|there| *there != *root)
}
