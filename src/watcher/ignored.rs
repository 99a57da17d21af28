//! What is ignored: directories whose watches end or begin because of where they are, or because the patterns of git change.

use super::{Coverage, Outgoing, Watcher, Work};
use crate::backlog::Position;
use crate::fanotify::absolute_path;
use crate::ignore::git;
use crate::queue::Taken;
use crate::source::Problem;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_ISDIR, Mask};
use crate::tree::NodeId;
use crate::world::{At, World};

impl<W: World> Watcher<W> {
    /// The path of a directory has changed, or the patterns of git have.
    pub(super) fn judge_again(&mut self, node: NodeId) {
        self.unprune(node);
        if self.tree.is_removed(node) || self.is_retiring(node) {
            return;
        }
        if self.tree.wd(node) == Wd::NONE {
            self.reconsider(node);
        } else if self.settings.filter.ignores_tree(&self.tree, node) {
            self.prune(node);
        }
    }

    /// Keeps the watch of a directory that was pruned in this turn, if it is needed again.
    fn unprune(&mut self, node: NodeId) {
        let is_pruned = matches!(self.coverage(node), Coverage::Retiring { .. }) && self.tree.is_entry(node);
        let filter = &self.settings.filter;
        if is_pruned && !filter.leaves_out(&self.tree.path(node)) && !filter.ignores_tree(&self.tree, node) {
            self.keep(node);
        }
    }

    /// A watched directory needs no watch any more, nor does what is below it. It keeps its place until the end of the turn: another
    /// may be exchanged with it.
    pub(super) fn prune(&mut self, node: NodeId) {
        if self.tree.parent(node).is_none() {
            return;
        }
        let is_operand =
            |below: &NodeId| *below != node && self.settings.filter.is_operand(&self.tree.path(*below));
        let operands: Vec<NodeId> = match self.settings.filter.has_operands_in_others() {
            true => self.tree.subtree(node).into_iter().filter(is_operand).collect(),
            false => Vec::new(),
        };
        for operand in operands {
            let path = self.tree.path(operand);
            self.tree.relink(operand, None, &path);
            self.read_git_of_operand(operand);
        }
        self.path_of = None;
        self.retire_later(node);
    }

    /// Whether an event may be one by which the patterns of git change.
    pub(super) fn is_of_git(&self, taken: &Taken) -> bool {
        self.settings.filter.reads_git() && git::is_changed_by(taken.mask, self.queue.events().name(taken))
    }

    /// Reads what git reads in an operand and above it.
    pub(super) fn read_git_of_operand(&mut self, node: NodeId) {
        if !self.settings.filter.reads_git() {
            return;
        }
        let Ok(real) = absolute_path(&self.settings.base, &self.tree.path(node), true) else { return };
        let begin = self.queue.end();
        let tree = &self.tree;
        let bad = self.settings.filter.ignore().map(|ignore| ignore.learn_operand(tree, node, &real));
        self.outbox.extend(bad.into_iter().flatten().map(Problem::Pattern).map(Outgoing::Problem));
        self.pull();
        self.discard_git_reading(begin);
    }

    /// Takes note of what git reads in a watched directory; whether something else is ignored now.
    pub(super) fn learn(&mut self, node: NodeId, files: git::Files) -> bool {
        let tree = &self.tree;
        let Some(ignore) = self.settings.filter.ignore() else { return false };
        let (is_changed, bad) = ignore.learn(tree, node, files);
        self.outbox.extend(bad.into_iter().map(Problem::Pattern).map(Outgoing::Problem));
        is_changed
    }

    /// A directory has no watch any more.
    pub(super) fn forget_git(&mut self, node: NodeId) {
        if let Some(ignore) = self.settings.filter.ignore() {
            ignore.forget(node);
        }
    }

    /// Drops the events of our own reading of git's files.
    pub(super) fn discard_git_reading(&mut self, begin: Position) {
        if W::OWN_READING == Mask::NONE || !self.settings.filter.reads_git() {
            return;
        }
        let tree = &self.tree;
        self.queue.drop_since(begin, |event| {
            let is_reading = event.mask.has(W::OWN_READING) && !event.mask.has(IN_ISDIR);
            // It may be watched itself.
            let own = || tree.find(event.wd).map_or(&b""[..], |node| tree.name(node));
            is_reading && git::is_file(if event.name.is_empty() { own() } else { event.name })
        });
    }

    /// The patterns of git may have changed in a directory: adds and removes watches below it.
    pub(super) fn read_git_again(&mut self, node: NodeId) {
        if !self.look_at_git(node) {
            return;
        }
        for below in self.tree.subtree(node).into_iter().filter(|below| *below != node) {
            match self.coverage(below) {
                // If it is not ignored any more.
                Coverage::Ignored => self.work.push_back(Work::Attach(below)),
                _ if self.tree.wd(below) != Wd::NONE => self.judge_again(below),
                _ => {}
            }
        }
    }

    /// Reads what git reads in a directory that is known; whether something else is ignored now.
    pub(super) fn look_at_git(&mut self, node: NodeId) -> bool {
        if self.tree.wd(node) == Wd::NONE || !self.settings.filter.reads_git() {
            return false;
        }
        let begin = self.queue.end();
        let files = match self.tree.parent(node) {
            None => {
                let path = self.real(&self.tree.path(node)).into_owned();
                self.world.git_files(At::Path(&path))
            }
            Some(_) => match self.enter(node) {
                Some(dir) => self.world.git_files(At::Dir(&dir)),
                None => {
                    self.later.push_back(Work::ReadGit(node));
                    return false;
                }
            },
        };
        self.pull();
        self.discard_git_reading(begin);
        self.learn(node, files)
    }
}
