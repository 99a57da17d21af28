//! From an event to the nodes: what appears, what is renamed, what is gone.

use std::collections::{HashSet, VecDeque};

use super::scan::before::kind_of;
use super::{Coverage, Outgoing, State, Watcher, Work};
use crate::backlog::Position;
use crate::event::{ARRIVALS, ENTRY};
use crate::queue::{Place, Queue, Subject, Taken, is_exchange};
use crate::source::Problem;
use crate::sys::directory::Kind;
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MODIFY,
    IN_MOVE, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_Q_OVERFLOW, IN_UNMOUNT, Mask,
};
use crate::tree::{NodeId, Tree};
use crate::world::{At, World};

/// How many renames are remembered that may have other events to come. Both events of a rename are queued within microseconds, with
/// those of other processes between them at most.
const REMEMBERED: usize = 1024;

/// What happens to the entries of a directory, without what also reading it causes.
const CHANGES: Mask = ENTRY.or(IN_MODIFY).or(IN_ATTRIB).or(IN_CLOSE_WRITE);

/// How many watches are removed before the queue is read again: each leaves an event in it.
const REMOVALS: usize = 512;

/// Renames of which more events may come.
#[derive(Debug, Default)]
pub(super) struct Renames {
    /// Oldest first, as are the replacements.
    departures: VecDeque<Departure>,
    replacements: VecDeque<Replacement>,
    /// Before this position of the queue, a MOVED_TO without a MOVED_FROM may be of what has left a new directory before that was watched.
    pub(super) announce_origin_end: Position,
}

/// A rename that is reported to have left a watched directory, and not yet to have arrived.
#[derive(Debug)]
struct Departure {
    /// The number of the rename.
    cookie: u32,
    /// The place that it leaves.
    from: Place,
    /// The directory that left, if it was one that is known.
    node: Option<NodeId>,
    /// Its watches are removed at the end of the turn, since no MOVED_TO came with its MOVE_SELF.
    was_moved_out: bool,
}

/// A rename that has come to a place, at which a directory was: that is deleted, or its MOVED_FROM comes next, if the two were exchanged.
#[derive(Debug)]
struct Replacement {
    /// The number of the rename.
    cookie: u32,
    /// The place that it left, if that is watched.
    from: Option<Place>,
    /// The place to which it came.
    parent: NodeId,
    name: Box<[u8]>,
    /// The directory that was there; its node keeps this place until it is known where it goes. None if none was known: then only the last
    /// rename is remembered, for the second half of an exchange has the next number.
    replaced: Option<NodeId>,
}

impl Renames {
    fn find(&self, cookie: u32) -> Option<usize> {
        self.departures.iter().rposition(|known| known.cookie == cookie)
    }

    /// Whether a rename has left a watched directory.
    pub(super) fn is_known(&self, cookie: u32) -> bool {
        self.find(cookie).is_some()
    }

    fn take(&mut self, cookie: u32) -> Option<Departure> {
        self.departures.remove(self.find(cookie)?)
    }

    /// It is known where a directory has gone that was leaving. Returns the number of its rename, if the event by which it left was read.
    fn arrive(&mut self, node: NodeId) -> Option<u32> {
        self.replacements.retain(|known| known.replaced != Some(node));
        let at = self.departures.iter().position(|known| known.node == Some(node))?;
        self.departures.remove(at).map(|known| known.cookie)
    }

    /// A directory that has left its place, or was replaced there, has gone to where nothing is watched; `false` of any other.
    fn move_out(&mut self, node: NodeId) -> bool {
        let is_leaving = self.leaving().any(|known| known == node);
        self.replacements.retain(|known| known.replaced != Some(node));
        for known in self.departures.iter_mut().filter(|known| known.node == Some(node)) {
            (known.node, known.was_moved_out) = (None, true);
        }
        is_leaving
    }

    /// The number of the rename that left a place last, of which the other events were dropped.
    pub(super) fn take_dropped(&mut self, from: &Place) -> Option<u32> {
        let is_it = |known: &Departure| known.from == *from && !known.was_moved_out;
        let at = self.departures.iter().rposition(is_it)?;
        self.departures.remove(at).map(|known| known.cookie)
    }

    /// Events were dropped: only the renames go on whose MOVED_TO was not. Of the others the numbers are kept until the comparison ends.
    ///
    /// MOVED_FROM a (1), Q_OVERFLOW, MOVED_TO b (1)
    pub(super) fn drop_unfinished(&mut self, queue: &Queue) {
        self.replacements.clear();
        let arriving = queue.arriving();
        for known in self.departures.iter_mut().filter(|known| !arriving.contains(&known.cookie)) {
            known.node = None;
        }
    }

    /// The comparison after an overflow has ended.
    pub(super) fn forget_unfinished(&mut self, queue: &Queue) {
        let arriving = queue.arriving();
        self.departures.retain(|known| arriving.contains(&known.cookie));
    }

    /// The directories whose renames go on.
    pub(super) fn going_on(&self, queue: &Queue) -> Vec<NodeId> {
        let arriving = queue.arriving();
        let going_on = self.departures.iter().filter(|known| arriving.contains(&known.cookie));
        going_on.filter_map(|known| known.node).collect()
    }

    /// The directories that have left their places, or were replaced there.
    fn leaving(&self) -> impl Iterator<Item = NodeId> + '_ {
        let departed = self.departures.iter().filter_map(|known| known.node);
        departed.chain(self.replacements.iter().filter_map(|known| known.replaced))
    }

    /// Those without a watch of which no queued event says where they go.
    fn take_ended(&mut self, queue: &Queue, tree: &Tree<State>) -> Vec<NodeId> {
        let is_unwatched = |node: &NodeId| tree.wd(*node) == Wd::NONE;
        let mut ended = Vec::new();
        self.departures.retain(|known| {
            let goes_on = known.node.filter(is_unwatched).is_none() || queue.target(known.cookie).is_some();
            ended.extend(known.node.filter(|_| !goes_on));
            goes_on
        });
        self.replacements.retain(|known| {
            let is_changing = || queue.is_changing(tree.wd(known.parent), &known.name);
            let goes_on = known.replaced.filter(is_unwatched).is_none() || is_changing();
            ended.extend(known.replaced.filter(|_| !goes_on));
            goes_on
        });
        ended
    }

    /// Remembers a rename; returns the directory of one that is forgotten for it.
    fn depart(&mut self, departure: Departure) -> Option<NodeId> {
        self.departures.push_back(departure);
        let is_full = self.departures.len() > REMEMBERED;
        is_full.then(|| self.departures.pop_front())??.node
    }

    /// The same of one that has come to a place.
    fn replace(&mut self, replacement: Replacement) -> Option<NodeId> {
        if self.replacements.back().is_some_and(|last| last.replaced.is_none()) {
            self.replacements.pop_back();
        }
        self.replacements.push_back(replacement);
        let is_full = self.replacements.len() > REMEMBERED;
        is_full.then(|| self.replacements.pop_front())??.replaced
    }
}

impl<W: World> Watcher<W> {
    /// Makes the nodes what they are after an event.
    pub(super) fn track(&mut self, taken: &Taken) {
        let Taken { wd, mask, cookie, .. } = *taken;
        if mask.has(IN_Q_OVERFLOW) {
            return self.overflow();
        }
        let Some(node) = self.tree.find(wd) else { return };
        if mask.has(IN_DELETE_SELF | IN_IGNORED) {
            self.note_end(node);
        }
        if let Some(top) = self.retiring_above(node).filter(|_| mask.has(CHANGES)) {
            self.cover(top, Coverage::Retiring { unreported: true });
        }
        if mask.has(IN_UNMOUNT) {
            self.uncover(node);
        }
        if mask.has(IN_IGNORED) {
            self.work.push_back(Work::Retire(node));
        }
        if self.is_of_git(taken) {
            self.work.push_back(Work::ReadGit(node));
        }
        if taken.subject == Subject::Path {
            self.tree.relink(node, None, self.queue.events().name(taken));
            self.path_of = None;
        }
        if !self.tree.state(node).recursive {
            return;
        }
        if mask.has(IN_MOVE_SELF) {
            self.finish_move(node);
        }
        if !mask.has(ENTRY) {
            return;
        }
        if self.tree.state(node).emptying {
            self.report_emptying(node, taken);
        }
        let is_directory = mask.has(IN_ISDIR);
        let has_ended = self.missed.take_ended(wd, self.queue.events().name(taken));
        // What leaves as a file has come since.
        if has_ended && (mask.has(ARRIVALS) || !is_directory) {
            self.report_gone_entry(&Place { wd, name: self.queue.events().name(taken).into() });
        }
        if !is_directory && mask.has(IN_CREATE | IN_DELETE) {
            return;
        }
        let name: Box<[u8]> = self.queue.events().name(taken).into();
        if mask.has(IN_CREATE) {
            self.on_dir_appeared(node, &name, true);
        } else if mask.has(IN_DELETE) {
            self.on_dir_removed(node, &name);
        } else if mask.has(IN_MOVED_FROM) {
            self.begin_move(node, &name, cookie, is_directory);
        } else {
            self.end_move(node, &name, cookie, is_directory);
        }
    }

    /// The first event of the entries of a directory that was found empty: see [`State::emptying`].
    fn report_emptying(&mut self, node: NodeId, taken: &Taken) {
        self.tree.set_state(node, State { emptying: false, ..self.tree.state(node) });
        if !taken.mask.has(IN_DELETE | IN_MOVED_FROM) {
            return;
        }
        let name: Box<[u8]> = self.queue.events().name(taken).into();
        self.announce_gone(node, &name, kind_of(taken.mask));
    }

    /// The queue has overflowed: that is reported first, then the tree is compared with the file system.
    fn overflow(&mut self) {
        let problem = Problem::Overflow { limit: self.world.queue_limit(), rescan: true };
        self.outbox.push_back(Outgoing::Problem(problem));
        // Of several in a row only the last is worth a comparison: before it nothing could be trusted that is found.
        if self.queue.overflows() == 0 {
            self.work.push_back(Work::Rescan);
        }
    }

    /// A directory is an entry of a watched one from now on, and nothing is known of what is in it. With `announce` that is
    /// to be reported.
    pub(super) fn on_dir_appeared(&mut self, parent: NodeId, name: &[u8], announce: bool) {
        if let Some(node) = self.tree.child(parent, name) {
            self.displace(node);
        }
        let node = self.add_pending(parent, name, announce && !self.is_retiring(parent));
        self.work.push_back(Work::Attach(node));
    }

    /// Adds the node of a directory that is to be watched, if that makes sense.
    pub(super) fn add_pending(&mut self, parent: NodeId, name: &[u8], announce: bool) -> NodeId {
        let coverage = Coverage::Pending { announce };
        let initial = !self.is_set_up;
        let state = State { directory: true, recursive: true, initial, coverage, ..State::default() };
        let node = self.tree.insert(Some(parent), name, Wd::NONE, state);
        self.exclude(node);
        node
    }

    /// Decides by the path of a directory that has no watch whether it needs one.
    fn exclude(&mut self, node: NodeId) {
        if self.settings.filter.is_empty() {
            return;
        }
        let mut path = self.tree.path(node);
        if self.settings.filter.leaves_out(&path) {
            return self.cover(node, Coverage::Pruned);
        }
        if self.settings.filter.ignores_tree(&self.tree, node) {
            return self.cover(node, Coverage::Ignored);
        }
        path.pop();
        let is_new = self.coverage(node) == Coverage::Pending { announce: true };
        if is_new && self.settings.filter.refuses_new(&path) {
            self.cover(node, Coverage::Excluded);
        }
    }

    /// Another directory is, or nothing is, where this one was: it is no entry any more.
    fn displace(&mut self, node: NodeId) {
        match self.tree.wd(node) {
            Wd::NONE => self.tree.remove(node),
            // Its IGNORED is still to come.
            _ => {
                self.missed.replace(node);
                self.tree.unplace(node);
            }
        }
    }

    fn on_dir_removed(&mut self, parent: NodeId, name: &[u8]) {
        let Some(node) = self.tree.child(parent, name) else { return };
        self.report_arriving(node);
        self.displace(node);
    }

    /// MOVED_FROM: an entry of a watched directory has left its place, to where the MOVED_TO of the same cookie says.
    fn begin_move(&mut self, parent: NodeId, name: &[u8], cookie: u32, is_directory: bool) {
        let node = if is_directory { self.find_leaving(parent, name, cookie) } else { None };
        if let Some(node) = node {
            self.report_arriving(node);
            // It is there, so it is to be watched where it comes.
            if self.coverage(node) == Coverage::Hidden {
                self.cover(node, Coverage::Pending { announce: false });
            }
            self.tree.unplace(node);
            if self.tree.wd(node) == Wd::NONE && self.tree.child(parent, name).is_none() {
                self.expect_hidden(parent, name);
            }
        }
        let from = Place { wd: self.tree.wd(parent), name: name.into() };
        let forgotten = self.renames.depart(Departure { cookie, from, node, was_moved_out: false });
        self.forget_unwatched(forgotten);
    }

    /// Forgets the directories without a watch that have left their places for good: no event will tell of them. That is certain once all
    /// events of their renames are queued.
    ///
    /// `mkdir a; rename a outside/a` → CREATE a, MOVED_FROM a
    /// `mkdir a; mkdir b; rename a b` → CREATE a, CREATE b, MOVED_FROM a (1), MOVED_TO b (1): there is no other event of the old `b`.
    pub(super) fn forget_departed(&mut self) {
        let is_unwatched = |node: &NodeId| self.tree.wd(*node) == Wd::NONE;
        let mut left = self.renames.leaving().filter(is_unwatched).peekable();
        if left.peek().is_none() {
            return;
        }
        let above: HashSet<NodeId> = left.filter_map(|node| self.tree.parent(node)).collect();
        above.iter().for_each(|above| self.read_changes_of(*above));
        for node in self.renames.take_ended(&self.queue, &self.tree) {
            self.tree.remove(node);
        }
    }

    /// A rename is not remembered any more: a directory without a watch would stay forever.
    fn forget_unwatched(&mut self, node: Option<NodeId>) {
        if let Some(node) = node.filter(|node| self.tree.wd(*node) == Wd::NONE) {
            self.tree.remove(node);
        }
    }

    /// The directory that leaves a place. If another has arrived there, the two may have been exchanged: then the one that was
    /// there leaves only now.
    ///
    /// `exchange x y` → MOVED_FROM x (1), MOVED_TO y (1), MOVE_SELF of x; MOVED_FROM y (2), MOVED_TO x (2), MOVE_SELF of y.
    /// `rename x y; rename y x` has the same events, but both MOVE_SELF are of x. If neither is watched, both count as an exchange.
    fn find_leaving(&mut self, parent: NodeId, name: &[u8], cookie: u32) -> Option<NodeId> {
        let there = self.tree.child(parent, name);
        let leaves = there.and_then(|there| self.leaves(there, parent, name));
        if leaves == Some(true) {
            return there;
        }
        let is_at_place = |known: &Replacement| known.parent == parent && *known.name == *name;
        let at = self.renames.replacements.iter().rposition(is_at_place);
        // What is there leaves if no other could: its MOVE_SELF was dropped.
        let is_certain = leaves.is_none() && at.is_none();
        let there = there.filter(|there| is_certain || self.tree.wd(*there) == Wd::NONE);
        let Some(at) = at else { return there };
        let replaced = self.renames.replacements[at].replaced;
        let leaves = match replaced {
            Some(node) if self.tree.is_removed(node) => false,
            Some(node) if self.tree.wd(node) != Wd::NONE => self.leaves(node, parent, name) == Some(true),
            Some(_) if there.is_none() => true,
            Some(_) => self.is_exchange(at, parent, cookie),
            None => self.is_exchange(at, parent, cookie) && self.is_still_taken(parent, name),
        };
        if !leaves {
            return there;
        }
        self.renames.replacements.remove(at);
        replaced
    }

    /// Whether a rename is the second of an exchange, of which the first has replaced a directory.
    ///
    /// `rename outside/e b; mkdir a; rename a b; rename b c`, all queued → MOVED_FROM a (2), MOVED_TO b (2), MOVED_FROM b (3),
    /// MOVED_TO c (3): what leaves `b` is the directory that was made.
    fn is_exchange(&mut self, at: usize, parent: NodeId, cookie: u32) -> bool {
        self.read_changes_of(parent);
        let (first, to) = (&self.renames.replacements[at], self.queue.target(cookie));
        // `exchange a/a b`, and the watch of `a` was removed again → MOVED_TO b (2), MOVED_FROM b (3); the other halves are of no
        // directory that is known.
        let to = to.filter(|to| self.tree.find(to.wd).is_some());
        is_exchange((first.cookie, first.from.as_ref()), (cookie, to.as_ref()))
    }

    /// Whether there is a directory at a place that one has just left, as far as the events go that were handled.
    ///
    /// `exchange b c/a`, and nobody knows of `c/a` → MOVED_FROM b (1), MOVED_TO c/a (1), MOVED_FROM c/a (2), MOVED_TO b (2)
    /// `rename b c/a; rename c/a b` → the same, but nothing is at `c/a` afterwards.
    fn is_still_taken(&mut self, parent: NodeId, name: &[u8]) -> bool {
        let Some(dir) = self.enter(parent) else { return false };
        let is_taken = self.world.kind(At::Entry(&dir, name)) == Kind::Directory;
        // The event by which it has come may not be queued yet.
        self.world.sync(At::Dir(&dir));
        self.pull();
        let next = self.queue.first_change(self.tree.wd(parent), name);
        next.map_or(is_taken, |next| !next.is_arrival())
    }

    /// Reads the events of what is just being changed in a directory.
    pub(super) fn read_changes_of(&mut self, node: NodeId) {
        if let Some(dir) = self.enter(node) {
            self.world.sync(At::Dir(&dir));
        }
        self.pull();
    }

    /// Whether a watched directory leaves its place by the MOVED_FROM taken last: then its MOVE_SELF comes before the next event by
    /// which the entry changes. All these are queued under the lock of the parent. `None` if that may have been dropped.
    ///
    /// `rename a b` → MOVED_FROM a, MOVED_TO b, [MOVE_SELF is dropped], Q_OVERFLOW
    fn leaves(&mut self, node: NodeId, parent: NodeId, name: &[u8]) -> Option<bool> {
        let (wd, place) = (self.tree.wd(node), self.tree.wd(parent));
        if wd == Wd::NONE {
            return Some(false);
        }
        if !self.queue.self_events_ahead(wd) {
            self.read_changes_of(parent);
        }
        let first = self.queue.concerning(wd, (place, name), self.queue.start()).next();
        match first.map(|event| event.mask) {
            Some(mask) if mask.has(IN_Q_OVERFLOW) => None,
            first => Some(first.is_some_and(|mask| mask.has(IN_MOVE_SELF))),
        }
    }

    /// A directory leaves that could not be watched. Another may be in its place: see [`Coverage::Hidden`]. One that needs no watch is
    /// forgotten, but not in a directory that was moved out: where that returns, its path may be none that is excluded.
    fn expect_hidden(&mut self, parent: NodeId, name: &[u8]) {
        let node = self.add_pending(parent, name, false);
        if self.coverage(node) == (Coverage::Pending { announce: false }) {
            self.cover(node, Coverage::Hidden);
            self.work.push_back(Work::Attach(node));
        } else if !self.is_retiring(parent) {
            self.tree.remove(node);
        }
    }

    /// MOVED_TO: an entry has come to a watched directory.
    fn end_move(&mut self, parent: NodeId, name: &[u8], cookie: u32, is_directory: bool) {
        let departure = self.renames.take(cookie);
        let from = departure.as_ref().map(|departure| departure.from.clone());
        // Of what is in a directory that was moved out nothing is reported, nor of that in one that could not be listed.
        //
        // `mkdir n; rename w n/w; create n/w/f; rename n/w/f f` → CREATE n, MOVED_FROM w, MOVE_SELF of it, [CREATE f, CLOSE_WRITE f, MOVED_FROM f,]
        // MOVED_TO f
        let is_reported = |from: &Place| {
            let above = self.tree.find(from.wd);
            above.is_some_and(|above| !self.is_retiring(above) && self.coverage(above) != Coverage::Unread)
        };
        let is_from_new = !from.as_ref().is_some_and(is_reported) && self.may_be_from_new();
        let replaced = self.leave_place(parent, name);
        if replaced.is_some() || is_directory && from.is_some() {
            let forgotten =
                self.renames.replace(Replacement { cookie, from, parent, name: name.into(), replaced });
            self.forget_unwatched(forgotten);
        }
        if !is_directory {
            if is_from_new {
                self.work.push_back(Work::ReportClosed { wd: self.tree.wd(parent), name: name.into() });
            }
            return;
        }
        // Fanotify reports some renames late: what happened in it until then was not reported.
        let was_moved_out = departure.as_ref().is_some_and(|departure| departure.was_moved_out);
        let node = departure.and_then(|departure| departure.node).filter(|node| !self.tree.is_removed(*node));
        match node {
            Some(node) if !self.tree.is_within(parent, node) => {
                let is_new = self.coverage(node) == (Coverage::Pending { announce: false });
                if is_new && is_from_new && !self.is_retiring(parent) {
                    self.cover(node, Coverage::Pending { announce: true });
                }
                self.relink(node, parent, name);
            }
            Some(node) if self.tree.wd(node) != Wd::NONE => self.relink_into_below(node, parent, name),
            // From elsewhere only the rename is news.
            _ => {
                if was_moved_out {
                    self.retire_all();
                }
                self.on_dir_appeared(parent, name, is_from_new || was_moved_out);
            }
        }
    }

    /// A rename has come to a place: the directory that was there is deleted, or leaves by the MOVED_FROM that is next.
    fn leave_place(&mut self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let there = self.tree.child(parent, name)?;
        // Nobody knows of a directory there: its node only waits for a look.
        if self.coverage(there) == Coverage::Hidden {
            self.tree.remove(there);
            return None;
        }
        self.tree.unplace(there);
        Some(there)
    }

    /// A directory has arrived in one that was below it, and that was moved out before: they change places.
    ///
    /// `rename d/w/p outside/p; rename d/w outside/p/w` → MOVED_FROM w/p, MOVE_SELF of p, MOVED_FROM w, MOVED_TO p/w, MOVE_SELF of w
    fn relink_into_below(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        let top = self.retiring_above(parent);
        if let (Some(top), Some(above)) = (top, self.tree.parent(node)) {
            let old_name = self.tree.name(top).to_vec();
            self.tree.relink(top, above, &old_name);
            self.tree.unplace(top);
        }
        match self.tree.is_within(parent, node) {
            true => self.retire_later(node),
            false => self.relink(node, parent, name),
        }
    }

    /// Whether an entry without a MOVED_FROM may come from a new directory of the tree that was not watched when it left.
    fn may_be_from_new(&self) -> bool {
        let is_new = |node: NodeId| {
            !self.tree.is_removed(node) && self.coverage(node) == (Coverage::Pending { announce: true })
        };
        let is_new = |work: &Work| matches!(work, Work::Attach(node) if is_new(*node));
        self.queue.start() <= self.renames.announce_origin_end
            || self.later.iter().any(is_new)
            || !self.refused.is_empty()
    }

    /// Puts a directory at its new place.
    pub(super) fn relink(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        self.tree.relink(node, parent, name);
        (self.path_of, self.scan.is_raise_due) = (None, true);
        if self.tree.wd(node) == Wd::NONE {
            let was_pruned = self.coverage(node) == Coverage::Pruned;
            self.reconsider(node);
            if was_pruned {
                self.work.push_back(Work::ReportMoved(node));
            }
            return;
        }
        if self.settings.filter.leaves_out(&self.tree.path(node)) {
            return self.prune(node);
        }
        let filter = &self.settings.filter;
        let may_be_pruned = !self.retiring.is_empty() && !filter.is_empty();
        if self.tree.unwatched() > 0 || may_be_pruned || filter.ignores_by_place() {
            for below in self.tree.subtree(node) {
                self.judge_again(below);
            }
        }
    }

    /// The path of a directory without a watch has changed: it may need one now.
    pub(super) fn reconsider(&mut self, node: NodeId) {
        // What was listed here is still expected to arrive, and a directory that may be hidden here still may be.
        let is_expected = matches!(
            self.coverage(node),
            Coverage::Pending { .. } | Coverage::Arriving { .. } | Coverage::Hidden
        );
        if !is_expected {
            self.cover(node, Coverage::Pending { announce: false });
        }
        self.exclude(node);
        if matches!(self.coverage(node), Coverage::Pending { .. }) {
            self.work.push_back(Work::Attach(node));
        }
    }

    /// MOVE_SELF: the rename of a watched directory is complete. If no MOVED_TO came, it is where nothing is watched.
    fn finish_move(&mut self, node: NodeId) {
        // An operand keeps the name that it was given by.
        if self.tree.parent(node).is_none() {
            return;
        }
        let wd = self.tree.wd(node);
        // Only the last of several renames ends where it was listed. Where it was between them nobody knows, and it may have been watched there.
        let passes = |until| {
            let mut is_renamed = false;
            self.queue.events_before(until).any(|RawEvent { wd: of, mask, .. }| {
                is_renamed |= mask.has(IN_MOVE) && mask.has(IN_ISDIR);
                is_renamed && of == wd && mask.has(IN_MOVE_SELF)
            })
        };
        let listed = self.scan.arriving.get(&wd).copied();
        if let Some((there, _)) = listed.filter(|(_, until)| !passes(*until)) {
            self.scan.arriving.remove(&wd);
            let is_unreported = |top: NodeId| self.coverage(top) == Coverage::Retiring { unreported: true };
            let is_unreported = self.retiring_above(node).is_some_and(is_unreported);
            if !is_unreported && self.finish_arrival(node, there) {
                return;
            }
            self.report_arriving(there);
            self.work.push_back(Work::Attach(there));
        }
        if self.renames.move_out(node) {
            self.retire_later(node);
        }
    }

    /// A directory has arrived where it was found before.
    fn finish_arrival(&mut self, node: NodeId, there: NodeId) -> bool {
        let Coverage::Arriving { has_event, .. } = self.coverage(there) else { return false };
        let Some(parent) = self.tree.parent(there).filter(|parent| !self.tree.is_within(*parent, node))
        else {
            return false;
        };
        let cookie = self.renames.arrive(node).unwrap_or(0);
        let name = self.tree.name(there).to_vec();
        self.tree.remove(there);
        if !has_event {
            self.make_up(self.tree.wd(parent), IN_MOVED_TO | IN_ISDIR, cookie, &name);
        }
        self.bring_back(node, parent, &name);
        true
    }

    /// The rename by which a directory was to arrive here is not told: it is reported as created.
    pub(super) fn report_arriving(&mut self, node: NodeId) {
        let Coverage::Arriving { announce, has_event } = self.coverage(node) else { return };
        if announce && !has_event {
            self.make_up_entry(node, IN_CREATE);
        }
        self.cover(node, Coverage::Pending { announce });
    }

    /// The events of a directory are not reported any more: see [`Coverage::Retiring`].
    pub(super) fn retire_later(&mut self, node: NodeId) {
        if !matches!(self.coverage(node), Coverage::Retiring { .. }) {
            self.cover(node, Coverage::Retiring { unreported: false });
            self.retiring.push(node);
        }
    }

    /// The watches of a directory stay that were to be removed.
    pub(super) fn keep(&mut self, node: NodeId) {
        self.retiring.retain(|top| *top != node);
        self.cover(node, Coverage::Watched);
    }

    /// A directory that was moved out is at a place again, and still watched: all that is known of it stays.
    ///
    /// `rename d/w outside/w; rename outside/w d/w; create d/w/f` → MOVED_FROM w (1), MOVE_SELF, MOVED_TO w (2), MOVE_SELF, CREATE f: a
    /// new watch would be too late for the last.
    pub(super) fn bring_back(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        self.keep(node);
        self.relink(node, parent, name);
    }

    /// Removes the watches of the directories that are retiring, those below first. Each leaves an event in the queue. What keeps its place
    /// stays known.
    pub(super) fn retire_all(&mut self) {
        for top in std::mem::take(&mut self.retiring) {
            let place = self.tree.parent(top).filter(|_| self.tree.is_entry(top));
            let place = place.map(|parent| (parent, self.tree.name(top).to_vec()));
            for (number, node) in self.tree.subtree(top).into_iter().rev().enumerate() {
                match self.tree.wd(node) {
                    Wd::NONE => self.tree.remove(node),
                    wd => {
                        self.world.unwatch(wd);
                        self.retire(node);
                    }
                }
                if number % REMOVALS == REMOVALS - 1 {
                    self.pull();
                }
            }
            self.pull();
            if let Some((parent, name)) = place {
                self.on_dir_appeared(parent, &name, false);
            }
        }
    }

    /// A directory was renamed that needed no watch where it was: with a watch it would have had a MOVE_SELF.
    pub(super) fn report_moved(&mut self, node: NodeId) {
        let wd = self.tree.wd(node);
        if wd != Wd::NONE {
            self.make_up(wd, IN_MOVE_SELF, 0, b"");
        }
    }

    /// A file may have come from a new directory that nobody watched: the kernel would have reported there that its writing ended. If
    /// nothing is there any more, it counts as a file.
    ///
    /// `mkdir n; create n/f; rename n/f g; exchange g n` → CREATE n, MOVED_TO g (1), MOVED_FROM g (2), MOVED_TO n (2): the file is not at `g`
    /// any more.
    pub(super) fn report_closed(&mut self, wd: Wd, name: &[u8]) {
        let Some(node) = self.tree.find(wd) else { return };
        let path = self.entry_path(node, name);
        if self.world.kind(At::Path(&path)) != Kind::Other {
            self.make_up(wd, IN_CLOSE_WRITE, 0, name);
        }
    }
}
