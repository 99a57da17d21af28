//! The comparison of the tree with the file system after an overflow.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
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

    /// Whether events of its own say where a directory has gone that could not be read.
    pub(super) fn has_gone_since(&mut self, node: NodeId) -> bool {
        let Some(parent) = self.tree.parent(node) else { return false };
        self.read_changes_of(parent);
        self.queue.self_events_ahead(self.tree.wd(node))
    }

    /// What was not met is not in the tree any more. If events of its own are queued, these say first where it goes, and all is compared
    /// again at the end of the turn; likewise if a directory is renamed that nobody knows.
    ///
    /// `create a/x; rename a b` → [CREATE x is dropped], Q_OVERFLOW, MOVED_FROM a, MOVED_TO b, MOVE_SELF of it; then b/x is found.
    /// `mkdir a; rename a b; create b/x` → [CREATE a is dropped], Q_OVERFLOW, MOVED_FROM a, MOVED_TO b; then b/x is found.
    pub(super) fn finish_rescan(&mut self) {
        let mut met = std::mem::take(&mut self.scan.met);
        self.renames.end_dropped(&self.queue);
        if self.queue.overflows() > 0 {
            // Nothing could be trusted that was found; the next comparison decides.
            return;
        }
        let (moving, ended) = self.unsettled(&met);
        // The event by which its entry disappears is queued also, or else it was dropped.
        let is_told = |node: &&NodeId| {
            self.place_of(**node).is_some_and(|place| self.queue.changes(place.wd, &place.name))
        };
        met.extend(moving.iter().chain(ended.iter().filter(is_told)));
        let mut gone: Vec<NodeId> = self.tree.nodes().filter(|node| !met.contains(node)).collect();
        gone.sort_by_cached_key(|node| Reverse(self.tree.way_up(*node).count()));
        // Renames come first, so that what is gone is not what has come to its name; then what was found in the place of either.
        let is_rename =
            |out: &Outgoing| matches!(out, Outgoing::Event { report, .. } if report.mask.has(IN_MOVE));
        let (renamed, mut found): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.outbox).into_iter().partition(is_rename);
        self.outbox = renamed;
        self.report_gone(&gone, &moving);
        for node in gone.into_iter().filter(|node| !ended.contains(node)) {
            self.world.unwatch(self.tree.wd(node));
            self.retire(node);
        }
        self.outbox.append(&mut found);
        match moving.is_empty() && !self.is_unknown_renamed() {
            true => self.missed.end(),
            false => (self.turn_end, self.is_turn_over) = (self.queue.events().queued(), false),
        }
    }

    /// Of the directories that were not met, those of which queued events say where they go: those that are renamed, with all that is in
    /// them, and those whose watches have ended. Of what was in the latter, the events may have been dropped.
    fn unsettled(&mut self, met: &HashSet<NodeId>) -> (HashSet<NodeId>, HashSet<NodeId>) {
        let has_own_events = |node: &NodeId| self.queue.self_events_ahead(self.tree.wd(*node));
        let is_unsettled = |node: &NodeId| !met.contains(node) && has_own_events(node);
        let unsettled: Vec<NodeId> = self.tree.nodes().filter(is_unsettled).collect();
        let watches = if unsettled.is_empty() { HashSet::new() } else { self.queue.ended() };
        let is_ended = |node: &NodeId| watches.contains(&self.tree.wd(*node));
        let (ended, renamed): (HashSet<NodeId>, HashSet<NodeId>) =
            unsettled.iter().partition(|node| is_ended(node));
        let moving = renamed.into_iter().flat_map(|node| self.tree.subtree(node)).collect();
        unsettled.into_iter().for_each(|node| self.put_back(node));
        (moving, ended)
    }

    /// A directory is an entry again where it was, unless another one is there.
    fn put_back(&mut self, node: NodeId) {
        let (Some(parent), name) = (self.tree.parent(node), self.tree.name(node).to_vec()) else { return };
        match self.tree.child(parent, &name) {
            // Nobody knows yet what that is.
            Some(there) if self.tree.wd(there) == Wd::NONE => self.tree.remove(there),
            Some(_) => return,
            None => {}
        }
        self.tree.relink(node, parent, &name);
    }

    /// Whether a directory is being renamed that was never watched, and is to be.
    fn is_unknown_renamed(&self) -> bool {
        self.queue.renamed_away().any(|place| {
            let is_known = self.node_at(place).is_some_and(|node| self.tree.wd(node) != Wd::NONE);
            let above = self.tree.find(place.wd).filter(|above| self.tree.state(*above).recursive);
            let path = |above| [&self.tree.path(above), &place.name[..], b"/"].concat();
            !is_known && above.is_some_and(|above| !self.settings.filter.leaves_out(&path(above)))
        })
    }
}
