//! What was in a directory before its watch: by a list of what is in it now, and by the events since.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::Task;
use crate::backlog::Position;
use crate::event::{DEPARTURES, ENTRY};
use crate::queue::{Change, is_exchange};
use crate::sys::directory::Kind;
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{IN_CLOSE_WRITE, IN_CREATE, IN_ISDIR, IN_MOVE, IN_MOVED_FROM, IN_MOVED_TO, Mask};
use crate::tree::NodeId;
use crate::watcher::Watcher;
use crate::world::{At, World};

/// Entries by their names, and an event of each.
type Firsts<'a> = BTreeMap<&'a [u8], Change>;

/// The entries of a directory.
#[derive(Debug, Default, Clone)]
pub(in crate::watcher) struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, usize, Kind)>,
}

impl Listing {
    pub(in crate::watcher) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::watcher) fn iter(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        self.entries.iter().map(|&(at, length, kind)| (&self.names[at..at + length], kind))
    }

    fn retain(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let names = &self.names;
        self.entries.retain(|&(at, length, _)| keeps(&names[at..at + length]));
    }

    pub(super) fn push(&mut self, name: &[u8], kind: Kind) {
        self.entries.push((self.names.len(), name.len(), kind));
        self.names.extend_from_slice(name);
    }
}

/// What was in a directory before its watch: what is still there, and what has left, if that is news.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) stood: Listing,
    pub(super) gone: Listing,
}

impl<W: World> Watcher<W> {
    /// Leaves out of a listing what was renamed into the directory before it was listed, and back to its old place afterwards; or from
    /// where nothing is watched, and back. The events and the listing are those of an exchange; only nothing is there any more.
    pub(super) fn look_again(&mut self, listing: &mut Listing, dir: &W::Dir, wd: Wd, since: Position) {
        let leaves = |event: RawEvent| event.wd == wd && event.mask.has(IN_MOVED_FROM);
        if !self.queue.events_since(since).any(leaves) {
            return;
        }
        let (_, exchanged) = self.first_events(wd, since);
        let names = listing.iter().map(|(name, _)| name).filter(|name| exchanged.contains_key(name));
        for name in names.map(<[u8]>::to_vec).collect::<Vec<_>>() {
            if self.world.times(At::Entry(dir, &name)).is_err() {
                listing.retain(|other| *other != *name);
            }
            // The event by which it left, or by which another came, may not be queued yet.
            self.world.sync(At::Dir(dir));
            // What left meanwhile was there.
            self.pull();
        }
    }

    /// What was in a directory when its watch was added, by what is in it now and by the events since: what is still there, and
    /// what has left. The first event of an entry decides: if that reports its arrival, it was not there before.
    ///
    /// `create x; watch; create y; unlink x; list` → x is gone, y is listed; CREATE y and DELETE x are queued: x was there.
    pub(super) fn before_watch(&self, node: NodeId, listing: Listing, since: Position, task: Task) -> Before {
        let wd = self.tree.wd(node);
        if !task.announces() {
            return Before { stood: self.stood(wd, listing), gone: Listing::default() };
        }
        let (mut first, mut exchanged) = self.first_events(wd, since);
        if !exchanged.is_empty() {
            listing.iter().for_each(|(name, _)| first.extend(exchanged.remove_entry(name)));
        }
        let Before { mut stood, mut gone } = Before::default();
        for (name, kind) in listing.iter() {
            match first.remove(name) {
                None => stood.push(name, kind),
                Some(first) if first.is_arrival() => {}
                // It has left, and another has come in its place.
                Some(first) if is_another(first, kind) => gone.push(name, kind_of(first.mask)),
                Some(_) => stood.push(name, kind),
            }
        }
        for (name, first) in first.into_iter().filter(|(_, first)| !first.is_arrival()) {
            gone.push(name, kind_of(first.mask));
        }
        Before { stood, gone }
    }

    /// Those directories of a listing that were there before the queued events.
    pub(super) fn stood(&self, wd: Wd, mut listing: Listing) -> Listing {
        listing.retain(|name| self.queue.first_change(wd, name).is_none_or(|first| !first.is_arrival()));
        listing
    }

    /// The first event of each entry of a watched directory; of an exchange that by which the entry leaves. And the events by which
    /// entries leave that were exchanged if they are still there.
    ///
    /// `create n/y; watch n; exchange x n/y` → MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO x (2): `y` was there.
    /// `watch n; rename x n/y; rename n/y n/z` → MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO z (2): it was not.
    /// `watch n; rename x n/y; rename n/y x` → as by the exchange, but no `y` is there afterwards: it was not there before either. If one
    /// of a file and a directory comes and the other leaves, this is an exchange, wherever it came from: that needs no look, which is not
    /// possible in a directory that has gone.
    fn first_events(&self, wd: Wd, since: Position) -> (Firsts<'_>, Firsts<'_>) {
        let (mut first, mut leaving) = (Firsts::new(), Firsts::new());
        // Both places of each rename, made only if one is asked for.
        let ends = OnceCell::new();
        let end = |cookie: u32, half: Mask| {
            let ends: &HashMap<_, _> = ends.get_or_init(|| {
                let renames = self.queue.events_since(since).filter(|event| event.mask.has(IN_MOVE));
                renames.map(|event| ((event.cookie, event.mask & IN_MOVE), (event.wd, event.name))).collect()
            });
            ends.get(&(cookie, half)).copied()
        };
        let is_entry = |event: &RawEvent| event.wd == wd && !event.name.is_empty();
        // By a rename, and nothing has come or left there since; with the event by which the entry left that was exchanged before.
        let mut arrived: HashMap<&[u8], (Change, Option<Change>)> = HashMap::new();
        for event in self.queue.events_since(since).filter(is_entry) {
            let change = Change { mask: event.mask, cookie: event.cookie };
            let left = leaving.remove(event.name);
            if let Some(left) = left.filter(|_| !change.is_arrival()) {
                first.insert(event.name, left);
            }
            let is_first = *first.entry(event.name).or_insert(change) == change;
            if change.mask.has(IN_MOVED_TO) && (is_first || left.is_some()) {
                arrived.insert(event.name, (change, left));
                continue;
            }
            if !change.mask.has(ENTRY) {
                continue;
            }
            let known = arrived.remove(event.name).filter(|_| change.mask.has(IN_MOVED_FROM));
            let Some((known, left)) = known else { continue };
            let left = left.unwrap_or(change);
            // Only one of them is a directory.
            if (known.mask ^ change.mask).has(IN_ISDIR) {
                first.insert(event.name, left);
                continue;
            }
            let (from, to) = (end(known.cookie, IN_MOVED_FROM), end(change.cookie, IN_MOVED_TO));
            if is_exchange((known.cookie, from), (change.cookie, to)) {
                leaving.insert(event.name, left);
            }
        }
        (first, leaving)
    }

    /// Reports what the kernel would have reported of an entry.
    pub(super) fn announce(&mut self, wd: Wd, name: &[u8], kind: Kind) {
        let directory = IN_ISDIR.when(kind == Kind::Directory);
        self.make_up(wd, IN_CREATE | directory, 0, name);
        if kind == Kind::File {
            self.make_up(wd, IN_CLOSE_WRITE, 0, name);
        }
    }

    /// The same of an entry that the next events take away. They also say where a directory goes, of which nobody knows what is in it; and
    /// until then a file may have come from there.
    pub(in crate::watcher) fn announce_gone(&mut self, node: NodeId, name: &[u8], kind: Kind) {
        self.announce(self.tree.wd(node), name, kind);
        if kind == Kind::Directory {
            let below = self.add_pending(node, name, true);
            self.attach_later(below);
        }
    }
}

/// Whether what is listed is not what an event of that entry is of.
fn is_another(event: Change, listed: Kind) -> bool {
    let is_directory = event.mask.has(IN_ISDIR);
    event.mask.has(DEPARTURES) || is_directory != (listed == Kind::Directory)
}

/// What the event of an entry that has left says of it. The kernel says of directories only what they are; a file that is renamed
/// in its first moments is the common case.
pub(in crate::watcher) fn kind_of(mask: Mask) -> Kind {
    match mask {
        _ if mask.has(IN_ISDIR) => Kind::Directory,
        _ if mask.has(IN_MOVED_FROM) => Kind::File,
        _ => Kind::Other,
    }
}
