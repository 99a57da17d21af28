//! Keeping the tree true to the events: arrivals, renames, departures.

use std::collections::HashMap;

use libc::{
    IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_Q_OVERFLOW,
};

use super::walk::{Added, READING, is_gone};
use super::{Problem, Watcher};
use crate::event::Mask;
use crate::queue::Taken;
use crate::sys::directory::Kind;
use crate::sys::inotify::RawEvent;
use crate::tree::NodeId;

/// How many renames of directories are remembered. The two halves of one are microseconds apart, and
/// between them stand only events of other processes.
const MOVES: usize = 4096;

/// An entry of a watched directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) wd: i32,
    pub(super) name: Box<[u8]>,
}

/// One rename of a directory, as far as its halves have been read.
#[derive(Debug)]
pub(super) struct Move {
    cookie: u32,
    from: Place,
    to: Option<Place>,
    /// It was left out where it came from: its contents are no news.
    left_out: bool,
}

/// A directory that is to be watched, and whether what is in it is news.
#[derive(Debug)]
pub(super) struct Arrival {
    place: Place,
    news: bool,
}

impl Watcher {
    /// Keeps the tree true to an event.
    pub(super) fn follow(&mut self, taken: &Taken) {
        if taken.mask & IN_Q_OVERFLOW != 0 {
            self.recover();
        }
        let Some(node) = self.tree.find(taken.wd) else { return };
        if taken.mask & IN_IGNORED != 0 {
            self.ended = Some(node);
        }
        if !self.tree.flags(node).recursive {
            return;
        }
        if taken.mask & IN_MOVE_SELF != 0 {
            self.moved(node);
        }
        const ENTRY: Mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
        if taken.mask & IN_ISDIR == 0 || taken.mask & ENTRY == 0 {
            return;
        }
        let place = Place { wd: taken.wd, name: self.queue.name(taken).into() };
        if taken.mask & (IN_CREATE | IN_MOVED_TO) == 0 {
            self.left(place, taken);
            return;
        }
        let mut news = true;
        if taken.mask & IN_MOVED_TO != 0 {
            // From a place that is watched, yet maybe not watched itself so far: then nobody has told of its
            // contents, unless they were left out on purpose. From elsewhere: only the move is news.
            let known = self.moves.iter_mut().rev().find(|known| known.cookie == taken.cookie);
            news = known.is_some_and(|known| {
                known.to = Some(place.clone());
                !known.left_out
            });
        }
        if !self.refuses(node, &place.name) {
            self.arrive(Arrival { place, news });
        }
    }

    /// A directory was deleted, or renamed away, from a place.
    fn left(&mut self, place: Place, taken: &Taken) {
        self.waiting.retain(|arrival| arrival.place != place);
        let left_out = self.left_out.remove(&place);
        if taken.mask & IN_MOVED_FROM != 0 {
            if self.moves.len() == MOVES {
                self.moves.pop_front();
            }
            self.moves.push_back(Move { cookie: taken.cookie, from: place, to: None, left_out });
        }
    }

    /// A directory appeared: watches it and what is below it.
    fn arrive(&mut self, arrival: Arrival) {
        let mut pending = vec![arrival];
        while let Some(Arrival { place, news }) = pending.pop() {
            let Some(parent) = self.tree.find(place.wd) else { continue };
            let path = self.path_below(parent, &place.name);
            if self.settings.filter.leaves_out(&path) {
                self.left_out.insert(place);
                continue;
            }
            // If it has left again, a later event tells where to.
            if self.queue.leaves(place.wd, &place.name) {
                continue;
            }
            // If a directory above is about to be renamed, the path leads elsewhere today.
            if self.is_moving(parent) {
                self.waiting.push(Arrival { place, news });
                continue;
            }
            let end = self.queue.mark();
            match self.add_directory(parent, &place.name, &path, self.kernel_mask(), false) {
                Ok(Added::New(node)) => pending.extend(self.scan(node, news, end)),
                Ok(Added::Known(node)) => {
                    let here = self.tree.parent(node) == Some(parent) && *self.tree.name(node) == *place.name;
                    if !here {
                        self.sighted(node, place);
                    } else if self.tree.flags(node).unscanned {
                        pending.extend(self.scan(node, news, self.queue.start()));
                    }
                }
                Ok(Added::Gone) => {
                    self.pull();
                    if !self.queue.leaves(place.wd, &place.name) {
                        self.waiting.push(Arrival { place, news });
                    }
                }
                Err(error) => self.problems.push_back(Problem::Directory { path, error, new: true }),
            }
        }
    }

    /// Reads a watched directory: announces what stood in it before its watch, if that is news, and
    /// returns the directories in it that the kernel will not announce. `since` is a mark in the queue before
    /// which there is no event of this directory.
    fn scan(&mut self, node: NodeId, news: bool, since: usize) -> Vec<Arrival> {
        let Some(parent) = self.tree.parent(node) else { return Vec::new() };
        let (wd, above) = (self.tree.wd(node), self.tree.wd(parent));
        let name: Box<[u8]> = self.tree.name(node).into();
        self.pull();
        let mark = self.queue.mark();
        let listing = self.list(&self.system_path(node), !news);
        self.pull();
        if self.kernel_mask() & READING != 0 {
            self.queue.drop_since(mark, |event| {
                let here = event.wd == wd && event.name.is_empty();
                let ours = here || event.wd == above && *event.name == *name;
                ours && event.mask & IN_ISDIR != 0 && event.mask & READING != 0
            });
        }
        // Perhaps another directory was read than the one that is watched: then the next event of
        // this place, or the rename of this directory, brings us here again.
        let unscanned = self.queue.leaves(above, &name) || self.is_moving(node);
        let flags = self.tree.flags_mut(node);
        (flags.unscanned, flags.news) = (unscanned, news);
        if unscanned {
            return Vec::new();
        }
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) if is_gone(&error) => return Vec::new(),
            Err(error) => {
                let path = self.tree.path(node);
                self.problems.push_back(Problem::Directory { path, error, new: true });
                return Vec::new();
            }
        };
        // An entry stood here before the watch unless the first that the kernel tells of it is its coming.
        let mut first: HashMap<Box<[u8]>, Mask> = HashMap::new();
        for event in self.queue.since(since) {
            if event.wd == wd && !event.name.is_empty() && !first.contains_key(event.name) {
                first.insert(event.name.into(), event.mask);
            }
        }
        let mut below = Vec::new();
        for (entry, kind) in listing.iter() {
            if first.remove(entry).is_some_and(is_coming) {
                continue;
            }
            if news {
                self.announce(wd, entry, kind);
            }
            if kind == Kind::Directory && !(news && self.refuses(node, entry)) {
                below.push(Arrival { place: Place { wd, name: entry.into() }, news });
            }
        }
        // And what stood here but has left before it was read. Of what kind it was the kernel tells of
        // directories only; a file that was renamed in its first moments is the common case.
        for (entry, mask) in first.into_iter().filter(|(_, mask)| news && !is_coming(*mask)) {
            let kind = match mask {
                _ if mask & IN_ISDIR != 0 => Kind::Directory,
                _ if mask & IN_MOVED_FROM != 0 => Kind::File,
                _ => Kind::Other,
            };
            self.announce(wd, &entry, kind);
        }
        below
    }

    /// Says what the kernel would have said of an entry, had the watch stood.
    fn announce(&mut self, wd: i32, name: &[u8], kind: Kind) {
        let directory = if kind == Kind::Directory { IN_ISDIR } else { 0 };
        self.announced.push(&RawEvent { wd, mask: IN_CREATE | directory, cookie: 0, name });
        if kind == Kind::File {
            self.announced.push(&RawEvent { wd, mask: IN_CLOSE_WRITE, cookie: 0, name });
        }
    }

    /// A watched directory was itself renamed.
    fn moved(&mut self, node: NodeId) {
        // An operand keeps the name that it was given by.
        let Some(parent) = self.tree.parent(node) else { return };
        let from = Place { wd: self.tree.wd(parent), name: self.tree.name(node).into() };
        // The newest rename from this very place is the one; an older one was another directory's.
        let at = self.moves.iter().rposition(|known| known.from == from);
        let to = at.and_then(|at| self.moves.remove(at)).and_then(|known| known.to);
        match to.or_else(|| self.sightings.remove(&self.tree.wd(node))) {
            Some(to) => self.relink(node, to),
            None => self.departed.push(node),
        }
    }

    /// A watched directory was met at a place where the tree does not have it: that comes true with its
    /// own MOVE_SELF.
    fn sighted(&mut self, node: NodeId, place: Place) {
        match self.departed.iter().position(|departed| *departed == node) {
            Some(at) => {
                self.departed.swap_remove(at);
                self.relink(node, place);
            }
            None => {
                self.sightings.insert(self.tree.wd(node), place);
            }
        }
    }

    /// Puts a watched directory at its new place.
    fn relink(&mut self, node: NodeId, to: Place) {
        let parent = self.tree.find(to.wd).filter(|parent| !self.tree.is_within(*parent, node));
        let Some(parent) = parent else {
            self.departed.push(node);
            return;
        };
        self.tree.relink(node, parent, &to.name);
        self.path_of = None;
        if self.settings.filter.leaves_out(&self.tree.path(node)) {
            self.left_out.insert(to);
            self.release(node);
            return;
        }
        let flags = self.tree.flags(node);
        if flags.unscanned {
            for arrival in self.scan(node, flags.news, self.queue.start()) {
                self.arrive(arrival);
            }
        }
        self.raise();
        for arrival in std::mem::take(&mut self.waiting) {
            self.arrive(arrival);
        }
        // What was left out because of its path may have another one now.
        let below =
            |place: &&Place| self.tree.find(place.wd).is_some_and(|above| self.tree.is_within(above, node));
        let again: Vec<Place> = self.left_out.iter().filter(below).cloned().collect();
        for place in again {
            self.left_out.remove(&place);
            self.arrive(Arrival { place, news: false });
        }
    }

    /// When the queue is empty: what waited for a later event waits no longer. `true` where that made
    /// something to handle or to report.
    pub(super) fn settle(&mut self) -> bool {
        if self.waiting.is_empty() && self.departed.is_empty() && self.sightings.is_empty() {
            return false;
        }
        for arrival in std::mem::take(&mut self.waiting) {
            self.arrive(arrival);
        }
        if self.queue.is_empty() {
            self.waiting.clear();
            self.sightings.clear();
            for node in std::mem::take(&mut self.departed) {
                self.release(node);
            }
        }
        !(self.queue.is_empty()
            && self.announced.is_empty()
            && self.problems.is_empty()
            && self.retired.is_empty())
    }

    /// Stops watching a directory and all below it.
    pub(super) fn release(&mut self, top: NodeId) {
        let (tree, left_out) = (&self.tree, &mut self.left_out);
        left_out.retain(|place| !tree.find(place.wd).is_some_and(|above| tree.is_within(above, top)));
        for node in self.tree.subtree(top).into_iter().rev() {
            let wd = self.tree.wd(node);
            if wd != -1 {
                // EINVAL: it was deleted meanwhile, and the watch with it.
                let _ = self.inotify.rm_watch(wd);
                self.retire(node);
            }
        }
    }

    /// Whether the node or one above it was renamed to where nobody watches.
    pub(super) fn has_departed(&self, node: NodeId) -> bool {
        !self.departed.is_empty() && self.departed.iter().any(|top| self.tree.is_within(node, *top))
    }

    /// Whether a rename of the node or of one above it is still queued.
    fn is_moving(&self, node: NodeId) -> bool {
        self.queue.any_moves() && self.tree.way_up(node).any(|above| self.queue.moves(self.tree.wd(above)))
    }

    /// Whether a new directory is not to be watched because its own path is excluded.
    fn refuses(&self, parent: NodeId, name: &[u8]) -> bool {
        let path = self.path_below(parent, name);
        self.settings.filter.refuses_new(&path[..path.len() - 1])
    }

    /// The path of an entry that is a directory, `/` at the end.
    fn path_below(&self, parent: NodeId, name: &[u8]) -> Vec<u8> {
        let mut path = self.tree.path(parent);
        path.extend_from_slice(name);
        path.push(b'/');
        path
    }
}

/// Whether an event tells that an entry came to be where it is.
fn is_coming(mask: Mask) -> bool {
    mask & (IN_CREATE | IN_MOVED_TO) != 0
}
