//! Events that were read from the kernel but not yet handled, and what can be told ahead from them.

use std::collections::{HashMap, HashSet, VecDeque, hash_map};
use std::io;
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::backlog::{Backlog, Position};
use crate::event::{ARRIVALS, ENTRY};
use crate::hash::PlaceHasher;
use crate::sys::inotify::{HEADER, RawEvent, Wd};
use crate::sys::mask::{
    IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_Q_OVERFLOW, Mask,
};

/// A watched directory itself was renamed or deleted, or its watch ends.
const SELF_EVENTS: Mask = IN_MOVE_SELF.or(IN_DELETE_SELF).or(IN_IGNORED);

/// So many bytes of events are a steady flood.
const STEADY: usize = 16 * 1024;

/// An entry of a watched directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The watch of the directory.
    pub wd: Wd,
    /// The entry's name.
    pub name: Box<[u8]>,
}

impl Place {
    /// Whether it is the entry of that name in the directory that is watched as `wd`.
    pub fn is(&self, wd: Wd, name: &[u8]) -> bool {
        self.wd == wd && *self.name == *name
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The entry of that name in the watched directory; without a name the watched object.
    Entry,
    /// The directory of that name in the watched directory, as one that has no watch of its own.
    Directory,
    /// The watched operand, which has another path now, in place of a name.
    Path,
}

/// Appends an event in the kernel's form. Its subject and the process that caused it follow the name, where the kernel pads it with
/// NULs.
pub fn encode(event: &RawEvent, subject: Subject, process: i32, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    event.encode(bytes);
    bytes.extend_from_slice(&[0, subject as u8]);
    bytes.extend_from_slice(&process.to_ne_bytes());
    let length = (bytes.len() - start - HEADER) as u32;
    bytes[start + HEADER - 4..start + HEADER].copy_from_slice(&length.to_ne_bytes());
}

/// What [`encode`] has written after a name.
fn encoded(after: &[u8]) -> (Subject, i32) {
    const DIRECTORY: u8 = Subject::Directory as u8;
    const PATH: u8 = Subject::Path as u8;
    let [0, subject, a, b, c, d] = *after else { return (Subject::Entry, 0) };
    let subject = match subject {
        DIRECTORY => Subject::Directory,
        PATH => Subject::Path,
        _ => Subject::Entry,
    };
    (subject, i32::from_ne_bytes([a, b, c, d]))
}

/// An event taken from [`Events`]; its name stays there until the next one is taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The watch descriptor.
    pub wd: Wd,
    /// What happened.
    pub mask: Mask,
    /// The number that the two halves of a rename share.
    pub cookie: u32,
    /// What it is about.
    pub subject: Subject,
    /// The process that caused it, if that was queued with it; else 0.
    pub cause: i32,
    name: Range<usize>,
}

/// Events in the order in which they happened, in the kernel's form.
#[derive(Debug, Default)]
pub struct Events(Backlog);

impl Events {
    /// Appends an event.
    pub fn push(&mut self, event: &RawEvent) {
        event.encode(self.0.bytes_mut());
    }

    /// Takes the oldest event.
    pub fn take(&mut self) -> Option<Taken> {
        self.0.give_back();
        let (RawEvent { wd, mask, cookie, name }, size) = RawEvent::decode(self.0.rest())?;
        let length = name.len();
        let whole = self.0.take(size);
        let name = whole.start + HEADER..whole.start + HEADER + length;
        let (subject, cause) = encoded(&self.0.bytes()[name.end..whole.end]);
        Some(Taken { wd, mask, cookie, subject, cause, name })
    }

    /// The entry's name of the event taken last.
    pub fn name(&self, taken: &Taken) -> &[u8] {
        &self.0.bytes()[taken.name.clone()]
    }

    /// Whether nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A queued event by which a directory appears at a place or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub mask: Mask,
    /// The number that both events of a rename share.
    pub cookie: u32,
}

impl Change {
    /// Whether a directory is there afterwards.
    pub fn is_arrival(self) -> bool {
        self.mask.has(ARRIVALS)
    }
}

/// Whether two renames are one exchange: their numbers follow each other, and the second ends at the place that the first left. A
/// place is not known that is not watched.
///
/// `exchange x y` → MOVED_FROM x (1), MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO x (2)
pub fn is_exchange<P: PartialEq>(first: (u32, Option<P>), second: (u32, Option<P>)) -> bool {
    second.0 == first.0.wrapping_add(1) && first.1 == second.1
}

/// A place, and the events by which directories appear there or leave it.
#[derive(Debug)]
struct Changing {
    place: Place,
    first: Change,
    /// Those after it, oldest first. Most have none.
    more: VecDeque<Change>,
}

/// What the kernel has told, and what it tells about directories further on.
#[derive(Debug, Default)]
pub struct Queue {
    events: Events,
    /// The places at which directories appear or which they leave.
    changing: HashTable<Changing>,
    hasher: PlaceHasher,
    /// How many events of [`SELF_EVENTS`] are queued, by watch.
    self_events: HashMap<Wd, u32>,
    /// How many overflows are queued.
    overflows: u32,
    /// The mask of the event that was read last.
    last: Mask,
    /// How many bytes of events came since a change of a directory or two events alike; half as many after a read without any.
    steady: usize,
}

impl Queue {
    /// Appends what `read` appends: all that the kernel has queued by now. Returns the number of bytes.
    pub fn fill(&mut self, read: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>) -> io::Result<usize> {
        let end = self.end();
        let length = read(self.events.0.bytes_mut())?;
        let mut rest = self.events.0.since(end);
        // A pause: what came before it tells less of what comes next.
        if length == 0 {
            self.steady /= 2;
        }
        while let Some((wd, mask, size)) = RawEvent::peek(rest) {
            self.steady = if is_change(mask) || mask == self.last { 0 } else { self.steady + size };
            self.last = mask;
            if is_change(mask) {
                if let Some((RawEvent { name, cookie, .. }, _)) = RawEvent::decode(rest) {
                    add(&mut self.changing, &self.hasher, (wd, name), Change { mask, cookie });
                }
            }
            if mask.has(SELF_EVENTS) {
                *self.self_events.entry(wd).or_default() += 1;
            }
            self.overflows += u32::from(mask.has(IN_Q_OVERFLOW));
            rest = &rest[size..];
        }
        Ok(length)
    }

    /// Whether events have been coming for a while, of which none is lost if they are read later: the kernel merges equal ones, and a
    /// directory is to be watched before anything happens in it.
    pub fn is_steady(&self) -> bool {
        self.steady > STEADY
    }

    /// Takes the oldest event.
    pub fn take(&mut self) -> Option<Taken> {
        let taken = self.events.take()?;
        if is_change(taken.mask) {
            let name = self.events.name(&taken);
            let hash = self.hasher.hash(taken.wd.0 as u32, name);
            if let Ok(mut found) = self.changing.find_entry(hash, |changing| changing.is_at(taken.wd, name)) {
                match found.get_mut().more.pop_front() {
                    Some(next) => found.get_mut().first = next,
                    None => drop(found.remove()),
                }
            }
        }
        if taken.mask.has(SELF_EVENTS) {
            if let hash_map::Entry::Occupied(mut count) = self.self_events.entry(taken.wd) {
                match *count.get() {
                    1 => drop(count.remove()),
                    _ => *count.get_mut() -= 1,
                }
            }
        }
        self.overflows -= u32::from(taken.mask.has(IN_Q_OVERFLOW));
        Some(taken)
    }

    /// Forgets the events that were taken: what is read next need not go behind them.
    pub fn give_back(&mut self) {
        self.events.0.give_back();
    }

    /// The events.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether a queued event says that the directory at a place goes, or that another comes there: a rename
    /// over an empty directory tells of no going. After an overflow any may have.
    pub fn is_changing(&self, wd: Wd, name: &[u8]) -> bool {
        self.overflows > 0 || self.changing_at(wd, name).is_some()
    }

    /// How many queued events say that a directory appears at a place or leaves it.
    pub fn count_changes(&self, wd: Wd, name: &[u8]) -> usize {
        self.changing_at(wd, name).map_or(0, |changing| 1 + changing.more.len())
    }

    /// The first queued event by which a directory appears at a place or leaves it.
    pub fn first_change(&self, wd: Wd, name: &[u8]) -> Option<Change> {
        Some(self.changing_at(wd, name)?.first)
    }

    /// Where a rename ends, if its MOVED_TO is queued.
    pub fn target(&self, cookie: u32) -> Option<Place> {
        self.end_of(cookie, IN_MOVED_TO)
    }

    /// The numbers of the renames of which the MOVED_TO is queued.
    pub fn arriving(&self) -> HashSet<u32> {
        let arriving = self.ahead().filter(|event| event.mask.has(IN_MOVED_TO));
        arriving.map(|event| event.cookie).collect()
    }

    fn end_of(&self, cookie: u32, half: Mask) -> Option<Place> {
        let is_it = |event: &RawEvent| event.mask.has(half) && event.cookie == cookie;
        let RawEvent { wd, name, .. } = self.ahead().find(is_it)?;
        Some(Place { wd, name: name.into() })
    }

    /// The event by which the directory leaves that is at a place now: the first of the place, or the second half of an exchange that
    /// begins with that.
    ///
    /// `exchange x y` → MOVED_FROM x (1), MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO x (2): what is at `y` now leaves by the second.
    pub fn first_to_leave(&self, wd: Wd, name: &[u8]) -> Option<Change> {
        let Changing { first, more, .. } = self.changing_at(wd, name)?;
        if !first.is_arrival() {
            return Some(*first);
        }
        let next = more.front().filter(|next| first.mask.has(IN_MOVED_TO) && next.mask.has(IN_MOVED_FROM))?;
        let to = self.target(next.cookie);
        // Its event may have been taken already.
        let from = self.end_of(first.cookie, IN_MOVED_FROM).or_else(|| to.clone());
        is_exchange((first.cookie, from), (next.cookie, to)).then_some(*next)
    }

    /// Where a watched directory is, that was `here`, by the events from a position on; `None` if that is a place that is not watched, or it has
    /// been deleted. Its MOVE_SELF completes each rename; the events before that may have been taken already.
    pub fn place_now(&self, wd: Wd, here: Place, since: Position) -> Option<Place> {
        let mut place = Some(here);
        if !self.self_events_ahead(wd) {
            return place;
        }
        let (mut rename, mut arrival) = (None, None);
        for RawEvent { wd: of, mask, cookie, name } in self.events_since(since) {
            if of == wd && mask.has(IN_DELETE_SELF) {
                return None;
            } else if of == wd && mask.has(IN_MOVE_SELF) {
                if rename.take().is_some() {
                    place = arrival.take().map(|(wd, name)| Place { wd, name: Box::from(name) });
                }
            } else if mask.has_all(IN_MOVED_FROM | IN_ISDIR) {
                if place.as_ref().is_some_and(|place| place.is(of, name)) {
                    (rename, arrival) = (Some(cookie), None);
                }
            } else if mask.has_all(IN_MOVED_TO | IN_ISDIR) && rename == Some(cookie) {
                arrival = Some((of, name));
            }
        }
        place
    }

    /// Whether a directory was watched at its place after a position, and the first of the queued changes there removes it: its MOVE_SELF
    /// follows the change, or its DELETE_SELF precedes it.
    ///
    /// `mkdir a`, it is watched; `rename a b` → MOVED_FROM a (1), MOVED_TO b (1), MOVE_SELF of it
    /// `mkdir a; rename a b; mkdir a`, it is watched; `rename a c` → MOVED_FROM a (1), MOVED_TO b (1), CREATE a, MOVED_FROM a (2), …
    /// `mkdir a`, it is watched; `rmdir a` → DELETE_SELF of it, DELETE a
    pub fn goes_next(&self, wd: Wd, place: &Place, since: Position) -> bool {
        if self.overflows > 0 || !self.self_events_ahead(wd) {
            return false;
        }
        let concerned = self.concerning(wd, (place.wd, &place.name), since);
        let changes = concerned.clone().filter(|event| is_change(event.mask)).count();
        if changes < self.count_changes(place.wd, &place.name) {
            return false;
        }
        let mut masks = concerned.map(|event| event.mask);
        match masks.next() {
            Some(first) if first.has(IN_MOVED_FROM) => {
                masks.next().is_some_and(|next| next.has(IN_MOVE_SELF))
            }
            first => first.is_some_and(|first| first.has(IN_DELETE_SELF)),
        }
    }

    /// The events from a position on by which a watched directory itself is renamed or deleted, and by which directories appear at a place or
    /// leave it; or which end the watch of the directory that the place is in, after which no event reports it; or that events are dropped.
    pub fn concerning<'a>(
        &'a self,
        wd: Wd,
        (above, name): (Wd, &'a [u8]),
        since: Position,
    ) -> impl Iterator<Item = RawEvent<'a>> + Clone {
        let is_own = move |event: &RawEvent| event.wd == wd && event.mask.has(IN_MOVE_SELF | IN_DELETE_SELF);
        let is_there = move |event: &RawEvent| {
            event.wd == above && (event.name == name && is_change(event.mask) || event.mask.has(IN_IGNORED))
        };
        let is_overflow = |event: &RawEvent| event.mask.has(IN_Q_OVERFLOW);
        self.events_since(since).filter(move |event| is_own(event) || is_there(event) || is_overflow(event))
    }

    fn changing_at(&self, wd: Wd, name: &[u8]) -> Option<&Changing> {
        self.changing.find(self.hasher.hash(wd.0 as u32, name), |changing| changing.is_at(wd, name))
    }

    /// Whether a queued event says that the watched directory `wd` itself was renamed or deleted, or that its watch has ended.
    pub fn self_events_ahead(&self, wd: Wd) -> bool {
        self.self_events.contains_key(&wd)
    }

    /// The watches of which a queued event says that they have ended.
    pub fn ended(&self) -> HashSet<Wd> {
        let is_end = |event: &RawEvent| event.mask.has(IN_DELETE_SELF | IN_IGNORED);
        self.ahead().filter(is_end).map(|event| event.wd).collect()
    }

    /// Where what is left to take begins.
    pub fn start(&self) -> Position {
        self.events.0.start()
    }

    /// Where what is read next will be.
    pub fn end(&self) -> Position {
        self.events.0.end()
    }

    /// How many overflows are queued.
    pub fn overflows(&self) -> u32 {
        self.overflows
    }

    /// The events left to take before a position, in the kernel's form.
    pub fn bytes_before(&self, end: Position) -> &[u8] {
        self.events.0.until(end)
    }

    /// The events from a position on, in the kernel's form.
    pub fn bytes_since(&self, since: Position) -> &[u8] {
        self.events.0.since(since)
    }

    /// The events left to take; the first is taken next.
    pub fn ahead(&self) -> impl Iterator<Item = RawEvent<'_>> + Clone {
        decoded(self.events.0.rest())
    }

    /// The events from a position on.
    pub fn events_since(&self, since: Position) -> impl Iterator<Item = RawEvent<'_>> + Clone {
        decoded(self.bytes_since(since))
    }

    /// The events left to take before a position.
    pub fn events_before(&self, end: Position) -> impl Iterator<Item = RawEvent<'_>> {
        decoded(self.bytes_before(end))
    }

    /// Drops those events from a position on for which `unwanted` says so.
    ///
    /// For kinds of events that [`is_changing`](Self::is_changing) and [`self_events_ahead`](Self::self_events_ahead) do not tell about.
    pub fn drop_since(&mut self, since: Position, mut unwanted: impl FnMut(&RawEvent) -> bool) {
        let begin = self.events.0.index(since);
        let bytes = self.events.0.bytes_mut();
        let (mut from, mut to) = (begin, begin);
        while let Some((event, size)) = RawEvent::decode(&bytes[from..]) {
            if !unwanted(&event) {
                bytes.copy_within(from..from + size, to);
                to += size;
            }
            from += size;
        }
        bytes.truncate(to);
    }
}

impl Changing {
    fn is_at(&self, wd: Wd, name: &[u8]) -> bool {
        self.place.is(wd, name)
    }
}

/// Adds an event to those of a place.
fn add(table: &mut HashTable<Changing>, hasher: &PlaceHasher, (wd, name): (Wd, &[u8]), change: Change) {
    let hash_of = |place: &Place| hasher.hash(place.wd.0 as u32, &place.name);
    let hash = hasher.hash(wd.0 as u32, name);
    match table.entry(hash, |changing| changing.is_at(wd, name), |changing| hash_of(&changing.place)) {
        Entry::Occupied(mut found) => found.get_mut().more.push_back(change),
        Entry::Vacant(vacant) => {
            let place = Place { wd, name: name.into() };
            vacant.insert(Changing { place, first: change, more: VecDeque::new() });
        }
    }
}

fn decoded(mut bytes: &[u8]) -> impl Iterator<Item = RawEvent<'_>> + Clone {
    std::iter::from_fn(move || {
        let (event, size) = RawEvent::decode(bytes)?;
        bytes = &bytes[size..];
        Some(event)
    })
}

/// Whether by an event a directory appears at a place or leaves it.
pub fn is_change(mask: Mask) -> bool {
    mask.has(IN_ISDIR) && mask.has(ENTRY)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::sys::mask::{IN_CLOSE_WRITE, IN_CREATE, IN_MODIFY, IN_OPEN};

    /// Reads events of these masks.
    fn read(queue: &mut Queue, masks: &[Mask]) {
        let events = masks.iter().map(|mask| RawEvent { wd: Wd(1), mask: *mask, cookie: 0, name: b"file" });
        let read = |bytes: &mut Vec<u8>| {
            let before = bytes.len();
            events.for_each(|event| event.encode(bytes));
            Ok(bytes.len() - before)
        };
        queue.fill(read).unwrap();
    }

    #[test]
    fn events_are_steady_that_differ_and_change_no_directory() {
        for (interruption, is_steady) in [
            (&[IN_MODIFY, IN_OPEN | IN_ISDIR][..], true),
            (&[IN_MODIFY, IN_MODIFY], false),
            (&[IN_CREATE | IN_ISDIR], false),
            (&[IN_MOVED_TO | IN_ISDIR], false),
        ] {
            let mut queue = Queue::default();
            for number in 0..STEADY / 20 / 2 + 1 {
                assert!(!queue.is_steady(), "{number}");
                read(&mut queue, &[IN_OPEN, IN_CLOSE_WRITE]);
            }
            assert!(queue.is_steady());
            read(&mut queue, interruption);
            assert_eq!(queue.is_steady(), is_steady, "{interruption:x?}");
        }
    }

    #[test]
    fn lone_events_after_a_flood_are_soon_not_steady() {
        let mut queue = Queue::default();
        read(&mut queue, &[IN_OPEN, IN_CLOSE_WRITE].repeat(STEADY));
        let mut pauses = 0;
        while queue.is_steady() {
            read(&mut queue, &[IN_OPEN]);
            read(&mut queue, &[]);
            pauses += 1;
        }
        assert!((2..10).contains(&pauses), "{pauses}");
    }
}
