//! What is ignored: events of a whole file system arrive, and are dropped here. What git reads in a directory is read when its first
//! event is handled.

use nix::fcntl::OFlag;

use super::kernel::{Kernel, handle_of};
use super::{Filesystems, Outgoing};
use crate::ignore::git;
use crate::source::Problem;
use crate::sys::directory::open_path;
use crate::sys::mask::{IN_ISDIR, Mask};
use crate::tree::NodeId;

impl<K: Kernel> Filesystems<K> {
    /// Whether an event is ignored, whose path is in `self.path`.
    pub(super) fn is_ignored(&mut self, node: NodeId, mask: Mask) -> bool {
        if !self.settings.filter.ignores_by_place() {
            return false;
        }
        let way: Vec<NodeId> = self.tree.way_up(node).collect();
        for above in way.into_iter().rev() {
            if self.settings.filter.ignores_tree(&self.tree, above) {
                return true;
            }
            self.read_git(above, false);
        }
        self.settings.filter.ignores(&self.tree, node, &self.path, mask.has(IN_ISDIR))
    }

    /// After an overflow any of them may have changed.
    pub(super) fn read_git_anew(&mut self) {
        let roots: Vec<NodeId> =
            self.git_read.iter().copied().filter(|node| self.tree.parent(*node).is_none()).collect();
        self.git_read.clear();
        for root in roots {
            self.git_read.insert(root);
            self.read_git(root, true);
        }
    }

    pub(super) fn read_git(&mut self, node: NodeId, again: bool) {
        if !self.settings.filter.reads_git() || !self.tree.state(node).directory {
            return;
        }
        let is_known = !self.git_read.insert(node);
        if is_known && !again {
            return;
        }
        let path = self.tree.path(node);
        // It may be elsewhere by now, where later events take it.
        let directory = open_path(&path, OFlag::O_DIRECTORY);
        let found =
            directory.and_then(|directory| Ok((handle_of(&directory)?, git::Files::of(&directory, b"."))));
        let handle = self.handles.get(&node);
        let Some((_, files)) = found.ok().filter(|(found, _)| Some(found) == handle) else {
            self.git_read.remove(&node);
            return;
        };
        let Some(ignore) = self.settings.filter.ignore() else { return };
        let bad = match self.tree.parent(node) {
            None if !is_known => ignore.learn_operand(&self.tree, node, crate::filter::bare(&path)),
            _ => ignore.learn(&self.tree, node, files).1,
        };
        self.outbox.extend(bad.into_iter().map(|line| Outgoing::Problem(Problem::Pattern(line))));
    }
}
