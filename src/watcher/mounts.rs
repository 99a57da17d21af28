//! Mounts that come and go in a watched tree: another directory is at their place then.
//!
//! ```text
//! mount /dev/x d/m   →  no event; the watch of d/m is on the directory that is covered now
//! umount d/m         →  UNMOUNT and IGNORED of each watch on its file system; the directory d/m is seen again
//! ```
//!
//! The watches of a bind mount stay in effect, and no event says that it is gone. So the table of mounts is read whenever it has changed.

use std::collections::HashSet;

use super::Watcher;
use crate::fanotify::absolute_path;
use crate::sys::inotify::Wd;
use crate::sys::mask::IN_DONT_FOLLOW;
use crate::sys::mounts::Mount;
use crate::tree::NodeId;
use crate::world::{At, World};

impl<W: World> Watcher<W> {
    /// The table of mounts has changed: looks at each place where one has come or gone.
    pub(super) fn check_mounts(&mut self) {
        let now = self.world.mounts();
        let before = std::mem::replace(&mut self.mounts, now.clone());
        let [known, present] = [&before, &now].map(|mounts| mounts.iter().collect::<HashSet<&Mount>>());
        let gone: Vec<&Mount> = before.iter().filter(|mount| !present.contains(mount)).collect();
        let come = now.iter().filter(|mount| !known.contains(mount));
        // The watches on a file system that is gone end with events of their own.
        let lives = |mount: &Mount| now.iter().any(|other| other.device == mount.device);
        let gone_points = gone.iter().map(|mount| (mount.point.clone(), lives(mount)));
        let mut places: Vec<(Vec<u8>, bool)> =
            gone_points.chain(come.map(|mount| (mount.point.clone(), true))).collect();
        places.sort_by_key(|(point, _)| point.len());
        // What a mount showed is one directory with that elsewhere, with one watch: if that went, the other place has none.
        for mount in gone {
            places.extend(now.iter().filter_map(|other| Some((other.shows(mount)?, false))));
        }
        let operands = self.recursive_operands();
        for (point, removes) in places {
            for (operand, real) in &operands {
                if let Some((parent, name)) = self.entry_at(*operand, real, &point) {
                    self.look_at_mount(parent, &name, removes);
                }
            }
        }
    }

    /// A file system is gone: what it covered is seen again, or the next that is mounted there. The table may show neither: its paths
    /// are those from before a rename, and the next mount may have the same number.
    pub(super) fn uncover(&mut self, node: NodeId) {
        let parent = self.tree.parent(node).filter(|_| self.tree.is_entry(node));
        // It may have gone with the one above.
        let parent = parent.filter(|parent| !self.queue.self_events_ahead(self.tree.wd(*parent)));
        if let Some(parent) = parent.filter(|parent| self.enter(*parent).is_some()) {
            let name = self.tree.name(node).to_vec();
            self.look_at_mount(parent, &name, false);
        }
    }

    /// The operands that are watched with all below them, and their absolute paths.
    fn recursive_operands(&self) -> Vec<(NodeId, Vec<u8>)> {
        let operands = self.tree.operands().filter(|node| self.tree.state(*node).recursive);
        let real = |operand| absolute_path(&self.settings.base, &self.tree.path(operand), true).ok();
        operands.filter_map(|operand| Some((operand, real(operand)?))).collect()
    }

    /// The entry below an operand that an absolute path leads to.
    fn entry_at(&self, operand: NodeId, real: &[u8], path: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        let way = path.strip_prefix(real)?;
        let mut names: Vec<&[u8]> = way.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let last = names.pop().filter(|_| real == b"/" || way.first() == Some(&b'/'))?;
        let parent = names.into_iter().try_fold(operand, |node, name| self.tree.child(node, name))?;
        Some((parent, last.to_vec()))
    }

    /// If another directory is at a place than the one that is watched, that is watched instead.
    fn look_at_mount(&mut self, parent: NodeId, name: &[u8], removes: bool) {
        if let Some(node) = self.tree.child(parent, name) {
            let wd = self.tree.wd(node);
            let path = self.system_path(node);
            let mask = self.kernel_mask() | IN_DONT_FOLLOW;
            match wd {
                Wd::NONE => return,
                wd if self.watched_at(At::Path(&path), wd, mask) == Some(wd) => return,
                _ if removes => self.retire_later(node),
                _ => {}
            }
        }
        self.on_dir_appeared(parent, name, false);
    }
}
