//! The comparison of the tree with the file system after an overflow.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::io;

use super::before::{Before, Listing};
use super::{Above, Frame, Task};
use crate::queue::{Change, Place};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{IN_ISDIR, IN_MOVE, IN_MOVED_FROM, IN_MOVED_TO};
use crate::tree::{NodeId, Tree};
use crate::watcher::{Coverage, Outgoing, State, Watcher};
use crate::world::World;

impl<W: World> Watcher<W> {
    /// After an overflow: compares the tree with the file system, from the operands down.
    pub(in crate::watcher) fn rescan(&mut self) {
        self.retire_all();
        self.scan.stack.push(Frame::FinishRescan);
        let since = self.queue.start();
        for node in self.renames.going_on(&self.queue) {
            self.scan.met.extend(self.tree.subtree(node));
        }
        let operands: Vec<NodeId> = self.tree.operands().collect();
        for node in operands {
            if self.tree.state(node).directory && self.enter(node).is_none() {
                // It is not at its path any more, but it is watched.
                self.scan.met.extend(self.tree.subtree(node));
                continue;
            }
            self.scan.met.insert(node);
            self.look_at_git(node);
            for below in self.tree.subtree(node) {
                if self.tree.wd(below) == Wd::NONE && !self.tree.is_removed(below) {
                    let is_known = self.is_known_unwatched(below);
                    if let Some(place) = self.place_of(below).filter(|_| is_known) {
                        let announce = matches!(
                            self.coverage(below),
                            Coverage::Pending { announce: true }
                                | Coverage::Arriving { announce: true, .. }
                                | Coverage::Unwatchable { announce: true }
                        );
                        self.missed.know_unwatched(place, announce);
                    }
                    self.tree.remove(below);
                }
            }
            match self.tree.state(node).directory {
                true => self.scan.stack.push(Frame::Visit { node, above: None, since, task: Task::Rescan }),
                false => self.report_missed_operand(node),
            }
        }
        self.refused.retain(|node| !self.tree.is_removed(node));
    }

    /// Compares a directory with what is known of it.
    pub(super) fn compare(
        &mut self,
        node: NodeId,
        listing: Listing,
        entered: Option<Above<W::Dir>>,
    ) -> io::Result<()> {
        let dir = entered.as_ref().and_then(|entered| entered.dir());
        self.tree.set_state(node, State { emptying: false, ..self.tree.state(node) });
        if self.tree.state(node).recursive {
            let stood = self.stood(self.tree.wd(node), listing.clone());
            self.add_entries(node, Before { stood, gone: Listing::default() }, entered, Task::Rescan)?;
        }
        if let Some(dir) = dir {
            self.report_missed(node, &listing, &dir);
        }
        Ok(())
    }

    /// What was not met is not in the tree any more. But if queued events rename it, or a directory that nobody knows, these say first where
    /// that goes: then nothing is known to be gone yet, and all is compared again at the end of the turn.
    ///
    /// `create a/x; rename a b` → [CREATE x is dropped], Q_OVERFLOW, MOVED_FROM a, MOVED_TO b, MOVE_SELF of it; then b/x is found.
    /// `mkdir a; rename a b; create b/x` → [CREATE a is dropped], Q_OVERFLOW, MOVED_FROM a, MOVED_TO b; then b/x is found.
    /// `mkdir a; rename w a/w; rename a b` → [CREATE a, MOVED_FROM w are dropped], Q_OVERFLOW, MOVED_FROM a, MOVED_TO b; then w is met.
    pub(super) fn finish_rescan(&mut self) {
        let met = std::mem::take(&mut self.scan.met);
        self.renames.drop_unfinished(&self.queue);
        let unmet: Vec<NodeId> = self.tree.nodes().filter(|node| !met.contains(node)).collect();
        if self.queue.overflows() > 0 {
            // Nothing could be trusted that was found; the next comparison decides.
            return self.compare_again(unmet, &met);
        }
        // These are gone once the events say so.
        let ended = self.queue.ended();
        let is_renamed = |node: &NodeId| {
            let wd = self.tree.wd(*node);
            self.queue.self_events_ahead(wd) && !ended.contains(&wd)
        };
        let is_settled = !unmet.iter().any(is_renamed) && !self.is_unknown_renamed();
        // Renames come first, so that what is gone is not what has come to its name; then what was found in the place of either. But nothing
        // has come to a directory before that is found.
        let is_in_found = |wd| {
            let node = self.tree.find(wd);
            node.is_some_and(|node| self.tree.way_up(node).any(|above| self.missed.is_found(above)))
        };
        let is_rename = |out: &Outgoing| match out {
            Outgoing::Event { report, .. } => {
                report.mask.has(IN_MOVED_FROM) || report.mask.has(IN_MOVED_TO) && !is_in_found(report.watch)
            }
            _ => false,
        };
        let (renamed, mut found): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.outbox).into_iter().partition(is_rename);
        self.outbox = renamed;
        match is_settled {
            true => self.end_comparison(unmet, &ended),
            false => {
                self.compare_again(unmet, &met);
                (self.turn_end, self.is_turn_over) = (self.queue.end(), false);
            }
        }
        self.outbox.append(&mut found);
    }

    /// Reports the directories that were not met, and forgets them; those whose watches have `ended` when the events say so.
    fn end_comparison(&mut self, unmet: Vec<NodeId>, ended: &HashSet<Wd>) {
        let has_ended = |tree: &Tree<State>, node| ended.contains(&tree.wd(node));
        // The event by which its entry disappears is queued also, or else it was dropped.
        let is_told = |node| {
            let place = self.place_of(node).filter(|_| has_ended(&self.tree, node));
            let first = place.and_then(|place| self.queue.first_change(place.wd, &place.name));
            first.is_some_and(|first| !first.is_arrival())
        };
        let mut gone: Vec<NodeId> = unmet.into_iter().filter(|node| !is_told(*node)).collect();
        gone.sort_by_cached_key(|node| Reverse(self.tree.way_up(*node).count()));
        self.report_gone(&gone);
        for node in gone {
            if !has_ended(&self.tree, node) {
                self.world.unwatch(self.tree.wd(node));
                self.retire(node);
            }
        }
        self.renames.forget_unfinished(&self.queue);
        self.missed.end();
    }

    /// Nothing is known to be gone: the gap stays open, and what was not met is where it was. The queued events say what is not, but for
    /// those around another overflow.
    fn compare_again(&mut self, unmet: Vec<NodeId>, met: &HashSet<NodeId>) {
        unmet.into_iter().for_each(|node| self.put_back(node));
        let is_trusted = self.queue.overflows() == 0;
        let changing =
            self.missed.begin_again(met, |wd, name| is_trusted && self.queue.is_changing(wd, name));
        for (place, is_unread) in changing {
            let parent = self.tree.find(place.wd).filter(|_| self.node_at(&place).is_none());
            if let Some(parent) = parent {
                self.add_pending(parent, &place.name, is_unread);
            }
        }
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

    /// Whether a directory is being renamed that nobody knows: it leaves or comes, or another is renamed over it.
    fn is_unknown_renamed(&self) -> bool {
        let renames = || {
            let renames = self.queue.ahead();
            renames.filter(|event| event.mask.has(IN_MOVE) && event.mask.has(IN_ISDIR))
        };
        let is_source =
            |event: &RawEvent| event.mask.has(IN_MOVED_FROM) && self.tree.find(event.wd).is_some();
        let sources: HashSet<u32> = renames().filter(is_source).map(|event| event.cookie).collect();
        let is_followed = |wd| self.tree.find(wd).is_some_and(|above| self.tree.state(above).recursive);
        renames().filter(|event| is_followed(event.wd)).any(|RawEvent { wd, mask, cookie, name }| {
            let place = Place { wd, name: name.into() };
            let is_first = || self.queue.first_change(wd, name) == Some(Change { mask, cookie });
            let is_unknown = || self.node_at(&place).is_none_or(|node| self.tree.wd(node) == Wd::NONE);
            match mask.has(IN_MOVED_TO) {
                // From where it is not known; or to where a directory without a watch is, which is gone then.
                true => !sources.contains(&cookie) || is_first() && self.missed.is_unread(&place).is_some(),
                false => self.queue.first_to_leave(wd, name) == Some(Change { mask, cookie }) && is_unknown(),
            }
        })
    }
}
