//! Keeping the tree true to the events: arrivals, renames, departures.

use std::collections::{HashMap, VecDeque};

use libc::{
    IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_Q_OVERFLOW,
};

use super::Watcher;
use super::arrive::Arrival;
use crate::event::Mask;
use crate::queue::{Place, Taken};
use crate::sys::directory::Kind;
use crate::sys::inotify::RawEvent;
use crate::tree::NodeId;
use crate::world::{At, World};

/// How many renames of directories are remembered.
const MOVES: usize = 4096;

/// How many of them when the queue is empty, and how many events ahead the rest of an exchange is looked for. What
/// belongs together may be read apart, but it is queued within microseconds.
const HALVES: usize = 64;

/// One rename of a directory, as far as its halves have been read.
#[derive(Debug)]
pub(super) struct Move {
    cookie: u32,
    /// `None` if that half was not heard: it came from outside, or from where nobody watched.
    from: Option<Place>,
    to: Option<Place>,
    /// The event of its leaving is still queued.
    queued: bool,
    /// It was left out where it came from: it goes on as one that had been watched.
    left_out: bool,
    /// Nobody has told of its contents, and they are to be told.
    news: bool,
    /// It could not be watched where it came from.
    unwatched: bool,
    /// It came from a directory that nobody hears of any more: its contents have to be told again.
    unheard: bool,
}

/// What only later events will settle.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Renames of directories, oldest first.
    moves: VecDeque<Move>,
    /// Directories that were not found at their place, or whose path is not true yet, and whether what is in
    /// them is news.
    waiting: HashMap<Place, bool>,
    /// Oldest first.
    sightings: Vec<Sighting>,
    /// Renamed to where nobody watches, or so it seems until the queue is empty.
    departed: Vec<Departed>,
    /// The cookies of what was renamed away last, be it a directory or not.
    cookies: VecDeque<u32>,
}

/// A watched directory that was renamed to where nobody watches.
#[derive(Debug)]
struct Departed {
    wd: i32,
    /// Something happened there since that was not reported.
    missed: bool,
}

/// A watched directory was met where the tree does not have it yet: a rename that is still queued took it there.
#[derive(Debug)]
struct Sighting {
    wd: i32,
    place: Place,
    /// What is there is to be announced, should it be another.
    news: bool,
    /// That rename, and any before it, is among the events queued up to here ([`Events::queued`]).
    until: u64,
}

impl<W: World> Watcher<W> {
    /// Keeps the tree true to an event.
    pub(super) fn follow(&mut self, taken: &Taken) {
        if taken.mask & IN_Q_OVERFLOW != 0 {
            self.overflown();
        }
        let Some(node) = self.tree.find(taken.wd) else { return };
        if taken.mask & IN_IGNORED != 0 {
            self.ended = Some(node);
        }
        if taken.mask == 0 {
            // An operand has another path now: see `Marks::new`.
            self.tree.relink(node, None, self.queue.events().name(taken));
            self.path_of = None;
        }
        if !self.tree.flags(node).recursive {
            return;
        }
        if taken.mask & IN_MOVE_SELF != 0 {
            self.moved(node);
        }
        const ENTRY: Mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
        if taken.mask & ENTRY == 0 {
            return;
        }
        if taken.mask & IN_MOVED_FROM != 0 {
            if self.pending.cookies.len() == HALVES {
                self.pending.cookies.pop_front();
            }
            self.pending.cookies.push_back(taken.cookie);
        }
        // Of what comes from elsewhere only the move is news. But a directory of the tree that was not yet watched
        // is such a place, too, and there its contents, and that its writing ended, are.
        let from_new = taken.mask & IN_MOVED_TO != 0
            && self.queue.events().taken() <= self.new_until
            && !self.pending.cookies.contains(&taken.cookie);
        if taken.mask & IN_ISDIR == 0 {
            let name: Box<[u8]> = self.queue.events().name(taken).into();
            if from_new && self.kind(node, &name) == Kind::File {
                let name = &name;
                self.announced.push(&RawEvent { wd: taken.wd, mask: IN_CLOSE_WRITE, cookie: 0, name });
            }
            return;
        }
        let place = Place { wd: taken.wd, name: self.queue.events().name(taken).into() };
        if taken.mask & (IN_CREATE | IN_MOVED_TO) == 0 {
            self.left(node, place, taken);
            return;
        }
        let (mut news, mut left_out, mut unwatched) = (true, false, true);
        if taken.mask & IN_MOVED_TO != 0 {
            // From a place that is watched, yet maybe not watched itself so far: then nobody has told of its
            // contents.
            let known = self.pending.moves.iter_mut().rev().find(|known| known.cookie == taken.cookie);
            let to = Some(place.clone());
            match known {
                Some(known) => {
                    known.to = to;
                    (news, left_out, unwatched) = (known.news, known.left_out, known.unwatched);
                }
                None => {
                    news = from_new;
                    let cookie = taken.cookie;
                    self.remember(Move {
                        cookie,
                        from: None,
                        to,
                        queued: false,
                        left_out,
                        news,
                        unwatched,
                        unheard: true,
                    });
                }
            }
            self.make_room(node, &place, taken.cookie);
        }
        let watched = news && !unwatched;
        if !left_out && !watched && self.refuses(node, &place.name) {
            self.refused.insert(place);
            return;
        }
        let wd = self.come(place, news, unwatched);
        // Had it been watched all the time, the kernel would have told.
        if let Some(wd) = wd.filter(|_| left_out) {
            self.announced.push(&RawEvent { wd, mask: IN_MOVE_SELF, cookie: 0, name: b"" });
        }
    }

    /// A directory came to a place, as an event tells. Returns its watch, if that is new.
    fn come(&mut self, place: Place, news: bool, unwatched: bool) -> Option<i32> {
        let new_until = self.new_until;
        let new = self.arrive(Arrival { place, news, told: true });
        // One that is watched hears of all that leaves it.
        if new.is_none() && !unwatched {
            self.new_until = new_until;
        }
        new
    }

    /// What an entry of a directory is now.
    fn kind(&mut self, parent: NodeId, name: &[u8]) -> Kind {
        let mut path = self.path_below(parent, name);
        path.pop();
        let path = self.real(&path).into_owned();
        self.world.kind(At::Path(&path))
    }

    /// A directory was deleted, or renamed away, from a place.
    fn left(&mut self, node: NodeId, place: Place, taken: &Taken) {
        let cookie = taken.cookie;
        let ahead = self.pending.moves.iter().any(|known| known.queued && known.cookie == cookie);
        if taken.mask & IN_MOVED_FROM == 0 {
            self.forget(&place);
        } else if !ahead {
            self.leave(node, place, cookie, false);
        } else {
            // The one that it was exchanged with came before, and may be found now.
            if !self.queue.changes(&place) {
                if let Some(news) = self.pending.waiting.remove(&place) {
                    self.come(place, news, false);
                }
            }
            let ahead = self.pending.moves.iter_mut().filter(|known| known.cookie == cookie);
            ahead.for_each(|known| known.queued = false);
        }
    }

    /// A directory is renamed away from a place, or is about to be.
    fn leave(&mut self, node: NodeId, place: Place, cookie: u32, queued: bool) {
        let (left_out, refused, waiting) = self.forget(&place);
        let left_out = left_out || waiting == Some(false);
        self.remember(Move {
            cookie,
            from: Some(place),
            to: None,
            queued,
            left_out,
            news: !left_out && !refused,
            unwatched: waiting.is_some(),
            unheard: self.has_departed(node),
        });
    }

    /// Forgets what is known of a directory that is not watched at its place: whether it was left out, whether
    /// it was refused, and if it waits whether its contents are news.
    fn forget(&mut self, place: &Place) -> (bool, bool, Option<bool>) {
        (self.left_out.remove(place), self.refused.remove(place), self.pending.waiting.remove(place))
    }

    /// A directory comes to a place by the rename `cookie`. If that is half of an exchange, the one that stands there
    /// leaves first, though the kernel tells of that afterwards: what is known of a place is true of one.
    fn make_room(&mut self, node: NodeId, place: &Place, cookie: u32) {
        self.pull();
        if let Some(cookie) = self.other_half(place, cookie) {
            self.leave(node, place.clone(), cookie, true);
        }
    }

    /// Of an exchange by which a directory came to a place, the cookie by which the one that stands there leaves:
    /// to where the other came from.
    fn other_half(&self, place: &Place, cookie: u32) -> Option<u32> {
        if !self.queue.changes(place) {
            return None;
        }
        // Where nobody listens, any more or yet, is nowhere.
        let is_heard = |wd: i32| self.tree.find(wd).is_some();
        let came = self.pending.moves.iter().rev().find(|known| known.cookie == cookie);
        let from = came.and_then(|known| known.from.as_ref()).filter(|from| is_heard(from.wd));
        let mut queued = self.queue.since(self.queue.start()).take(HALVES);
        let next = queued.find(|event| (event.wd, event.name) == (place.wd, &*place.name))?;
        let left =
            Some(next.cookie).filter(|_| next.mask & IN_MOVED_FROM != 0 && next.mask & IN_ISDIR != 0)?;
        let to = queued.clone().find(|event| event.mask & IN_MOVED_TO != 0 && event.cookie == left);
        let to = to.filter(|to| is_heard(to.wd)).map(|to| (to.wd, to.name));
        let is_back = to == from.map(|from| (from.wd, &*from.name));
        let stands = |event: RawEvent| {
            event.mask & IN_MOVE_SELF != 0
                && self.tree.find(event.wd).is_some_and(|node| self.is_placed(node, place))
        };
        let is_known = self.left_out.contains(place)
            || self.refused.contains(place)
            || self.pending.waiting.contains_key(place);
        (is_back && (is_known || queued.any(stands))).then_some(left)
    }

    /// Whether the tree has a directory at a place.
    pub(super) fn is_placed(&self, node: NodeId, place: &Place) -> bool {
        let above = self.tree.parent(node).map(|above| self.tree.wd(above));
        above == Some(place.wd) && *self.tree.name(node) == *place.name
    }

    /// Another directory is there now: the renames from there were others'.
    pub(super) fn forget_moves_from(&mut self, place: &Place) {
        self.pending.moves.retain(|known| known.queued || known.from.as_ref() != Some(place));
    }

    fn remember(&mut self, rename: Move) {
        if self.pending.moves.len() == MOVES {
            self.pending.moves.pop_front();
        }
        self.pending.moves.push_back(rename);
    }

    /// A watched directory was itself renamed.
    fn moved(&mut self, node: NodeId) {
        // An operand keeps the name that it was given by.
        let Some(parent) = self.tree.parent(node) else { return };
        let from = Place { wd: self.tree.wd(parent), name: self.tree.name(node).into() };
        let wd = self.tree.wd(node);
        // The newest rename from this very place is the one; an older one was another directory's. With none
        // the tree was ahead of the queue: the directory was found where this rename took it.
        let departed = self.is_departed(wd);
        let is_from = |known: &Move| !departed && known.from.as_ref() == Some(&from);
        let mut at = self.pending.moves.iter().rposition(is_from);
        let came = self.pending.moves.iter().rposition(|known| known.to.as_ref() == Some(&from));
        if let (Some(left), Some(came)) = (at, came) {
            // In an exchange that one was here before this one came.
            if left < came {
                self.pending.moves.remove(came);
                self.pending.moves.remove(left);
                self.look_below(node);
                return;
            }
        }
        // One that had left may have come back by any rename, as may one that was not found where it was watched.
        // After the last of its own it is believed where it is.
        if at.is_none() && (departed || self.tree.flags(node).unscanned) {
            self.pull();
            if !self.queue.moves(wd) {
                let recent = self.pending.moves.len().saturating_sub(HALVES);
                at = (recent..self.pending.moves.len()).rev().find(|at| self.came_by(*at, wd));
            }
        }
        let Some(known) = at.and_then(|at| self.pending.moves.remove(at)) else {
            if let Some(place) = departed.then(|| self.sighting_of(wd)).flatten() {
                self.announce(place.wd, &place.name, Kind::Directory);
                self.retell(node);
                self.relink(node, place);
            } else if !departed {
                self.look_below(node);
            }
            return;
        };
        if known.unheard {
            self.retell(node);
        }
        if let Some(to) = known.to {
            self.relink(node, to);
        } else if let Some(place) = self.sighting_of(wd) {
            // Says what the kernel would have said.
            let (cookie, name) = (known.cookie, &place.name);
            self.announced.push(&RawEvent { wd: place.wd, mask: IN_MOVED_TO | IN_ISDIR, cookie, name });
            self.relink(node, place);
        } else {
            self.pending.departed.push(Departed { wd, missed: false });
        }
    }

    /// Whether a watched directory is where a remembered rename led.
    fn came_by(&mut self, at: usize, wd: i32) -> bool {
        let Some(to) = &self.pending.moves[at].to else { return false };
        let Some(parent) = self.tree.find(to.wd) else { return false };
        let path = self.real(&self.path_below(parent, &to.name)).into_owned();
        self.is_at(At::Path(&path), wd, self.kernel_mask())
    }

    /// Where the rename of a watched directory that is being handled took it, if it was met there.
    fn sighting_of(&mut self, wd: i32) -> Option<Place> {
        let at = self.pending.sightings.iter().position(|sighting| sighting.wd == wd)?;
        let until = self.pending.sightings[at].until;
        let again = |event: RawEvent| event.wd == wd && event.mask & IN_MOVE_SELF != 0;
        if self.queue.moves(wd) && self.queue.until(until).any(again) {
            return None;
        }
        Some(self.pending.sightings.remove(at).place)
    }

    /// A watched directory was met at a place where the tree does not have it: that comes true with its
    /// own MOVE_SELF, unless it had left; then it is back. One that was not found where it was watched may have been
    /// renamed while it was, and no MOVE_SELF tells of that: it is where an event says that one came.
    pub(super) fn sighted(&mut self, node: NodeId, place: Place, told: bool, news: bool) {
        let wd = self.tree.wd(node);
        let moves = self.queue.moves(wd);
        let is_back = match told {
            true => self.is_departed(wd) || self.tree.flags(node).unscanned && !moves,
            false => self.is_departed(wd) && !moves,
        };
        if is_back {
            if !told {
                self.announce(place.wd, &place.name, Kind::Directory);
            }
            // What came by a move from elsewhere has the contents that it left with, unless something was missed.
            if news || !told {
                self.retell(node);
            }
            self.relink(node, place);
        } else if told && self.tree.parent(node).is_some() {
            // Unless the path has led to another: then it is not this one that the event told of.
            self.wait_for(place, news);
        } else if !told {
            self.pull();
            let until = self.queue.events().queued();
            self.pending.sightings.push(Sighting { wd, place, news, until });
        }
    }

    /// Puts a watched directory at its new place.
    fn relink(&mut self, node: NodeId, to: Place) {
        let parent = self.tree.find(to.wd).filter(|parent| !self.tree.is_within(*parent, node));
        let Some(parent) = parent else {
            self.pending.departed.push(Departed { wd: self.tree.wd(node), missed: true });
            return;
        };
        self.forget_moves_from(&to);
        self.pending.waiting.remove(&to);
        let wd = self.tree.wd(node);
        if let Some(at) = self.pending.departed.iter().position(|departed| departed.wd == wd) {
            if self.pending.departed.swap_remove(at).missed {
                self.retell(node);
            }
        }
        self.tree.relink(node, parent, &to.name);
        (self.path_of, self.late_due) = (None, !self.late.is_empty());
        if self.settings.filter.leaves_out(&self.tree.path(node)) {
            self.left_out.insert(to);
            self.release(node);
        } else {
            self.look_below(node);
        }
    }

    /// A watched directory's path has changed: what could not be found below it is tried again.
    fn look_below(&mut self, node: NodeId) {
        let wd = self.tree.wd(node);
        if self.is_moving(node) {
            // Its path is not true for long: the last rename brings us here again, or the end of the queue.
            if self.tree.flags(node).unscanned {
                self.late.insert(wd);
            }
            return;
        }
        if self.tree.flags(node).unscanned {
            self.scan_below(node);
        }
        self.raise();
        for place in self.places_below(node, self.pending.waiting.keys()) {
            if let Some(news) = self.pending.waiting.remove(&place) {
                self.arrive(Arrival { place, news, told: true });
            }
        }
        // What was left out, or refused, because of its path may have another one now.
        for place in self.places_below(node, self.left_out.iter()) {
            self.left_out.remove(&place);
            self.arrive(Arrival { place, news: false, told: true });
        }
        for place in self.places_below(node, self.refused.iter()) {
            let Some(parent) = self.tree.find(place.wd) else { continue };
            if !self.refuses(parent, &place.name) {
                self.refused.remove(&place);
                self.arrive(Arrival { place, news: false, told: true });
            }
        }
    }

    /// Those of some places that are the node's or hang below it.
    fn places_below<'a>(&self, node: NodeId, places: impl Iterator<Item = &'a Place>) -> Vec<Place> {
        let is_below =
            |place: &&Place| self.tree.find(place.wd).is_some_and(|above| self.tree.is_within(above, node));
        places.filter(is_below).cloned().collect()
    }

    /// Has all below announced again as soon as it can be read: what happened there was not reported.
    fn retell(&mut self, top: NodeId) {
        for node in self.tree.subtree(top) {
            let flags = self.tree.flags_mut(node);
            (flags.unscanned, flags.news) = (true, true);
        }
        for place in self.places_below(top, self.pending.waiting.keys()) {
            self.pending.waiting.remove(&place);
        }
    }

    /// Tries again what waited for an event that was handled by now.
    pub(super) fn retry(&mut self) {
        if self.pending.waiting.is_empty() || self.queue.any_moves() {
            return;
        }
        let waiting = std::mem::take(&mut self.pending.waiting);
        for (place, news) in waiting {
            match self.queue.changes(&place) {
                true => self.wait_for(place, news),
                false => drop(self.arrive(Arrival { place, news, told: true })),
            }
        }
    }

    /// When the queue is empty: what waits is tried again, and what left is let go. `true` where that made
    /// something to handle or to report.
    pub(super) fn settle(&mut self) -> bool {
        let old = self.pending.moves.len().saturating_sub(HALVES);
        self.pending.moves.drain(..old);
        let Pending { waiting, departed, sightings, .. } = &self.pending;
        let late = std::mem::take(&mut self.late_due);
        if waiting.is_empty() && departed.is_empty() && sightings.is_empty() && !late {
            return false;
        }
        if late {
            self.read_late();
        }
        for (place, news) in std::mem::take(&mut self.pending.waiting) {
            self.arrive(Arrival { place, news, told: true });
        }
        self.pull();
        if self.queue.events().is_empty() {
            for Departed { wd, .. } in std::mem::take(&mut self.pending.departed) {
                if let Some(node) = self.tree.find(wd) {
                    self.release(node);
                }
            }
            // The rename that was to take one where it was met has not come: the path had led elsewhere, and what was
            // read there is another.
            for Sighting { place, news, .. } in std::mem::take(&mut self.pending.sightings) {
                let parent = self.tree.find(place.wd);
                if parent.is_some_and(|parent| self.kind(parent, &place.name) == Kind::Directory) {
                    self.arrive(Arrival { place, news, told: !news });
                }
            }
            self.pending.sightings.clear();
        }
        !(self.queue.events().is_empty()
            && self.announced.is_empty()
            && self.problems.is_empty()
            && self.retired.is_empty())
    }

    /// Stops watching a directory and all below it.
    pub(super) fn release(&mut self, top: NodeId) {
        for node in self.tree.subtree(top).into_iter().rev() {
            let wd = self.tree.wd(node);
            if wd != -1 {
                self.world.unwatch(wd);
                self.retire(node);
            }
        }
    }

    /// Remembers a directory that cannot be watched at its place now: it is tried again when its path has
    /// changed, and when the queue is empty.
    pub(super) fn wait_for(&mut self, place: Place, news: bool) {
        *self.pending.waiting.entry(place).or_default() |= news;
    }

    fn is_departed(&self, wd: i32) -> bool {
        self.pending.departed.iter().any(|departed| departed.wd == wd)
    }

    /// Whether the node or one above it was renamed to where nobody watches.
    pub(super) fn has_departed(&self, node: NodeId) -> bool {
        !self.pending.departed.is_empty()
            && self.tree.way_up(node).any(|above| self.is_departed(self.tree.wd(above)))
    }

    /// The same of a node of which something is not reported because of that.
    pub(super) fn misses(&mut self, node: NodeId) -> bool {
        let mut misses = false;
        for departed in &mut self.pending.departed {
            if self.tree.find(departed.wd).is_some_and(|top| self.tree.is_within(node, top)) {
                (departed.missed, misses) = (true, true);
            }
        }
        misses
    }

    /// Whether the node's path is not true today: a rename of it or of one above it is still queued, or led
    /// to where nobody watches.
    pub(super) fn is_moving(&self, node: NodeId) -> bool {
        let queued = |above: NodeId| self.queue.moves(self.tree.wd(above));
        self.has_departed(node) || self.queue.any_moves() && self.tree.way_up(node).any(queued)
    }
}
