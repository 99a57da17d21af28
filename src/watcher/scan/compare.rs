//! The comparison of the tree with the file system after an overflow.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;

use super::before::Listing;
use super::{Above, Frame, Task};
use crate::sys::inotify::Wd;
use crate::sys::mask::IN_MOVE;
use crate::tree::NodeId;
use crate::watcher::{Coverage, Outgoing, State, Watcher, Work};
use crate::world::World;

impl<W: World> Watcher<W> {
    /// After an overflow: compares the tree with the file system, from the operands down.
    pub(in crate::watcher) fn rescan(&mut self) {
        self.remove_moved_out();
        self.scan.arriving.clear();
        self.unread.clear();
        self.refused.clear();
        self.work.retain(|work| !matches!(work, Work::Attach(_)));
        self.scan.stack.push(Frame::FinishRescan);
        let since = self.queue.start();
        for node in self.renames.leaving(&self.queue) {
            self.scan.met.extend(self.tree.subtree(node));
        }
        let operands: Vec<NodeId> =
            self.tree.nodes().filter(|node| self.tree.parent(*node).is_none()).collect();
        for node in operands {
            self.scan.met.insert(node);
            self.look_at_git(node);
            for below in self.tree.subtree(node) {
                if self.tree.wd(below) == Wd::NONE && !self.tree.is_removed(below) {
                    let is_known = self.is_known_unwatched(below);
                    if let Some(place) = self.place_of(below).filter(|_| is_known) {
                        let is_unread = matches!(
                            self.coverage(below),
                            Coverage::Unread { announce: true } | Coverage::Arriving { announce: true }
                        );
                        self.missed.know_unwatched(place, is_unread);
                    }
                    self.tree.remove(below);
                }
            }
            let path = self.real(&self.tree.path(node)).into_owned();
            if !self.world.is_directory(&path, self.settings.follow).unwrap_or(false) {
                self.report_missed_operand(node);
            } else {
                self.scan.stack.push(Frame::Visit { node, above: None, since, task: Task::Rescan });
            }
        }
    }

    /// Compares a directory with what is known of it.
    pub(super) fn compare(
        &mut self,
        node: NodeId,
        listing: Listing,
        entered: Option<Above<W::Dir>>,
        since: usize,
    ) -> io::Result<()> {
        let dir = entered.as_ref().and_then(|entered| entered.dir());
        self.tree.set_state(node, State { emptying: false, ..self.tree.state(node) });
        if self.tree.state(node).recursive {
            let found = self.before_watch(node, listing.clone(), since, Task::Rescan);
            self.add_entries(node, found, entered, Task::Rescan)?;
        }
        if let Some(dir) = dir {
            self.report_missed(node, &listing, &dir);
        }
        Ok(())
    }

    /// What was not met is not in the tree any more.
    pub(super) fn finish_rescan(&mut self) {
        let met = std::mem::take(&mut self.scan.met);
        self.renames.end_dropped(&self.queue);
        if self.queue.overflows() > 0 {
            // Nothing could be trusted that was found; the next comparison decides.
            return;
        }
        let mut gone: Vec<NodeId> = self.tree.nodes().filter(|node| !met.contains(node)).collect();
        gone.sort_by_cached_key(|node| Reverse(self.tree.way_up(*node).count()));
        let is_rename =
            |out: &Outgoing| matches!(out, Outgoing::Event { report, .. } if report.mask.has(IN_MOVE));
        let (renamed, mut found): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.outbox).into_iter().partition(is_rename);
        self.outbox = renamed;
        self.report_gone(&gone);
        for node in gone {
            self.world.unwatch(self.tree.wd(node));
            self.retire(node);
        }
        self.outbox.append(&mut found);
        self.missed.end();
    }
}
