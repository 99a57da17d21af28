//! What an overflow has dropped, found again by the dates of the files.
//!
//! ```text
//! read (now the queue is empty); CREATE a, CREATE b, Q_OVERFLOW, [CREATE c and CREATE d are dropped], read, CREATE e
//! ```
//!
//! What was dropped happened after the last read before the overflow had begun. So an entry with a younger date is reported, unless
//! its event is among those that were read since: before the overflow (`a`, `b`), or after it (`e`). A deleted file has no date, and
//! a file that was renamed does not show its old name: these cannot be found. A watched directory can, for its name is known.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::scan::before::Listing;
use super::{Coverage, Watcher};
use crate::event::{ARRIVALS, DEPARTURES, ENTRY};
use crate::queue::Place;
use crate::sys::directory::Kind;
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_ISDIR, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO,
    IN_Q_OVERFLOW, Mask,
};
use crate::sys::times::{Moment, Times};
use crate::tree::NodeId;
use crate::world::{At, World};

/// What is reported of an entry with a younger date, in this order.
const REPORTED: [Mask; 4] = [IN_CREATE, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE];
/// More bytes than these are not kept while the program waits.
const MUCH: usize = 64 * 1024;
/// So many files are looked at between two reads of the queue.
const LOOKS: usize = 4096;

/// The events that were read since a moment.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// The moment before the last read began.
    read_began: Moment,
    /// The moment after it.
    read_ended: Moment,
    /// No watch was there before this moment.
    start: Moment,
    /// In the kernel's form: the events of that read, of those before within the same tick of the clock, and those made up since.
    recent: Vec<u8>,
    gap: Option<Gap>,
}

/// Events were dropped.
#[derive(Debug, Default)]
struct Gap {
    /// None before this moment.
    since: Moment,
    entries: HashMap<Place, Reported>,
    /// Directories that are watched since the last comparison, and were not announced.
    found: HashSet<NodeId>,
    /// Watched directories that were renamed.
    renamed: HashSet<NodeId>,
    /// Watched directories in whose place another was reported, or that have left it.
    replaced: HashSet<NodeId>,
    /// Directories whose watches have ended, by the watch of the one above, of which the event may have been dropped.
    ended: Names<NodeId>,
    /// Directories that were not watched, likewise, and whether all that is in them is to be reported.
    unwatched: Names<bool>,
}

/// What the events that were not dropped say of an entry.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Reported {
    /// The last changes before the overflow, or those that were made up since.
    before: Changes,
    /// The first after it by which the entry appeared or disappeared.
    after: Option<Mask>,
    /// The last changes that are known, of all events.
    last: Changes,
    /// All events that are reported of it.
    mask: Mask,
}

/// The last events by which an entry appeared or disappeared.
#[derive(Debug, Default, Clone, Copy)]
struct Changes {
    any: Option<Mask>,
    /// While it was a directory.
    of_directory: Option<Mask>,
}

impl Changes {
    fn add(&mut self, mask: Mask) {
        self.any = change(mask).or(self.any);
        self.of_directory = change(mask).filter(|mask| mask.has(IN_ISDIR)).or(self.of_directory);
    }
}

/// An event, if by it an entry appears or disappears.
fn change(mask: Mask) -> Option<Mask> {
    mask.has(ENTRY).then_some(mask)
}

impl Reported {
    fn add(&mut self, mask: Mask) {
        self.mask |= mask;
        self.last.add(mask);
        self.after = self.after.or(change(mask));
    }

    /// An event is reported that the kernel did not queue. Whether it is the last that is known: not if a directory has left, and a file has
    /// come to its place since.
    ///
    /// `rmdir a; create a` → [DELETE,ISDIR a is dropped], CREATE a is read, DELETE,ISDIR a is made up: `a` is there.
    fn make_up(&mut self, mask: Mask, is_last: bool) -> bool {
        let is_file = |last: Mask| last.has(ARRIVALS) && !last.has(IN_ISDIR);
        let is_last = is_last && !(mask.has(DEPARTURES) && self.last.any.is_some_and(is_file));
        self.mask |= mask;
        self.before.add(mask);
        if is_last {
            self.last.add(mask);
        }
        is_last
    }

    /// Events are dropped here.
    fn interrupt(&mut self) {
        (self.before, self.after) = (self.last, None);
    }

    /// Whether a rename is reported to have come there.
    fn has_come(self) -> bool {
        [self.before.any, self.after].into_iter().flatten().any(|mask| mask.has(IN_MOVED_TO))
    }

    /// Whether the end of a directory is reported.
    ///
    /// `rmdir a; create a; unlink a` → [DELETE,ISDIR a and CREATE a are dropped], DELETE a: that of a file.
    /// The same → DELETE,ISDIR a, CREATE a, [DELETE a is dropped]: that of the directory is reported.
    pub(super) fn is_gone(self) -> bool {
        let is_end = |mask: Mask| mask.has(DEPARTURES) && mask.has(IN_ISDIR);
        [self.before.of_directory, self.after].into_iter().flatten().any(is_end)
    }

    /// The events to report of it, by its dates.
    fn missing(self, times: &Times, since: Moment) -> Mask {
        // What comes next is not dropped, and the entry may be another than the one at the time of the overflow.
        if self.after.is_some() {
            return Mask::NONE;
        }
        let is_new = match self.before.any {
            // Or a file where a directory was, by an exchange.
            Some(mask) => mask.has(DEPARTURES) || mask.has(IN_ISDIR) != (times.kind == Kind::Directory),
            None => times.born.is_since(since),
        };
        // Anybody can give a file another date of modification. A rename changes only the other.
        let is_changed = times.changed.is_since(since);
        let is_modified = is_changed && times.modified.is_since(since);
        let is_attrib = is_changed && !is_modified && !self.mask.has(ARRIVALS);
        let mask = match times.kind {
            Kind::Directory if is_new => IN_CREATE | IN_ISDIR,
            // It is modified by the changes of its entries.
            Kind::Directory if is_attrib => IN_ATTRIB | IN_ISDIR,
            Kind::File if is_new || is_modified => {
                let is_made = is_new || self.mask.has(IN_CREATE);
                let created = IN_CREATE.when(is_new);
                let modified = IN_MODIFY.when(!is_made || !times.is_empty);
                created | modified | IN_CLOSE_WRITE
            }
            Kind::Other | Kind::Unknown if is_new => IN_CREATE,
            Kind::File | Kind::Other | Kind::Unknown if is_attrib => IN_ATTRIB,
            _ => Mask::NONE,
        };
        mask & !(self.mask & !IN_CREATE & !IN_ISDIR)
    }
}

impl Missed {
    /// Nothing has been read, and no watch was there before `now`.
    pub(super) fn since(now: Moment) -> Missed {
        Missed { read_began: now, start: now, ..Missed::default() }
    }

    /// `bytes` were read: that began after `began`, and it ended before `ended`. The `waiting` were read before, and have not been handled.
    ///
    /// `rmdir a` → IGNORED of it and DELETE a are read; Q_OVERFLOW is read; now these are handled: DELETE a was not dropped.
    pub(super) fn read(
        &mut self,
        began: Moment,
        ended: Moment,
        (waiting, bytes): (&[u8], &[u8]),
        is_overflow: bool,
    ) {
        if is_overflow && self.gap.is_none() {
            let mut gap = Gap { since: self.read_began, ..Gap::default() };
            gap.add(waiting);
            gap.add(&self.recent);
            self.gap = Some(gap);
        }
        if let Some(gap) = &mut self.gap {
            gap.add(bytes);
        }
        if began != self.read_ended {
            self.recent.clear();
            // In a flood, several reads come within one tick.
            self.recent.shrink_to(MUCH.max(4 * bytes.len()));
        }
        (self.read_began, self.read_ended) = (began, ended);
        self.recent.extend_from_slice(bytes);
    }

    /// Whether the events that are kept are so many that another read is worth its cost, which lets them go.
    pub(super) fn keeps_much(&self) -> bool {
        self.recent.len() > MUCH
    }

    /// An event that the kernel did not queue is reported, before those that are queued; the last of its entry, if no queued one is of a
    /// directory there.
    ///
    /// `rmdir a; mkdir a` → [DELETE a is dropped], CREATE a is read, DELETE a is made up: `a` is there.
    pub(super) fn make_up(&mut self, event: &RawEvent, mut is_last: bool) {
        if let Some(gap) = &mut self.gap {
            is_last = gap.entry(event).make_up(event.mask, is_last);
        }
        if is_last {
            event.encode(&mut self.recent);
        }
    }

    /// An entry is known that was there before: as if this were its last event.
    pub(super) fn know(&mut self, place: Place, event: Mask) {
        if let Some(gap) = &mut self.gap {
            gap.entries.entry(place).or_default().before.add(event);
        }
    }

    /// Whatever the dates of an entry are, it is new, as if another had been deleted there; unless events tell of it.
    fn know_new(&mut self, place: Place, kind: Kind) {
        if let Some(gap) = &mut self.gap {
            let known = gap.entries.entry(place).or_default();
            if known.mask == Mask::NONE {
                known.before.add(IN_DELETE | IN_ISDIR.when(kind == Kind::Directory));
            }
        }
    }

    /// A directory is known, but not watched.
    pub(super) fn know_unwatched(&mut self, place: Place, is_unread: bool) {
        if let Some(gap) = &mut self.gap {
            gap.unwatched.entry(place.wd).or_default().insert(place.name, is_unread);
        }
    }

    /// A directory was found that was not watched, and is not announced.
    pub(super) fn find(&mut self, node: NodeId) {
        if let Some(gap) = &mut self.gap {
            gap.found.insert(node);
        }
    }

    /// Of a directory that was known and not watched: whether nothing was reported yet of what is in it.
    pub(super) fn is_unread(&self, place: &Place) -> Option<bool> {
        self.gap.as_ref()?.unwatched.get(&place.wd)?.get(&place.name).copied()
    }

    /// A watched directory has ended: the deletion of its entry is the next event. If that is not queued, it may be dropped: if the directory
    /// was there before the overflow, or another one comes next.
    ///
    /// `rmdir a; create a` → DELETE_SELF a, IGNORED, [DELETE a is dropped], Q_OVERFLOW, CREATE a
    fn end_watch(&mut self, node: NodeId, place: Place, overflows_next: bool) {
        let Some(gap) = &mut self.gap else { return };
        let after = gap.entries.get(&place).and_then(|known| known.after);
        if overflows_next || !after.is_some_and(|mask| mask.has(ARRIVALS)) {
            gap.ended.entry(place.wd).or_default().insert(place.name, node);
        }
    }

    /// An entry appears or disappears. Whether a directory there has ended before, which is still to be reported if another has come. Its
    /// watch may still be known: IGNORED may have been dropped also.
    ///
    /// `rmdir a; mkdir a` → DELETE_SELF a, [DELETE a is dropped], CREATE a
    pub(super) fn take_ended(&mut self, wd: Wd, name: &[u8]) -> bool {
        let Some(gap) = &mut self.gap else { return false };
        let ended = gap.ended.get_mut(&wd).and_then(|names| names.remove(name));
        gap.replaced.extend(ended);
        ended.is_some()
    }

    /// An event of an entry is not reported, because its directory seems to have left the tree. If that is found again, the entry is new.
    ///
    /// `rename a c; rename c a; create a/f` → [MOVED_FROM a and MOVED_TO c are dropped], MOVED_FROM c, MOVED_TO a, MOVE_SELF of it, CREATE f:
    /// another seems to have come to `a`
    pub(super) fn leave_untold(&mut self, wd: Wd, name: &[u8]) {
        if let Some(gap) = &mut self.gap {
            gap.entries.remove(&Place { wd, name: name.into() });
        }
    }

    /// Another directory has come to the place of one that is watched: of that and of what is below it no end is reported afterwards.
    ///
    /// `rmdir a; mkdir a` → [DELETE_SELF a and DELETE a are dropped], CREATE a, [something is dropped]
    pub(super) fn replace(&mut self, node: NodeId) {
        if let Some(gap) = &mut self.gap {
            gap.replaced.insert(node);
        }
    }

    /// Whether a directory was not watched before, and not announced.
    pub(super) fn is_found(&self, node: NodeId) -> bool {
        self.gap.as_ref().is_some_and(|gap| gap.found.contains(&node))
    }

    fn is_renamed(&self, node: NodeId) -> bool {
        self.gap.as_ref().is_some_and(|gap| gap.renamed.contains(&node))
    }

    /// What the events say of an entry.
    pub(super) fn reported(&self, place: &Place) -> Reported {
        self.gap.as_ref().and_then(|gap| gap.entries.get(place)).copied().unwrap_or_default()
    }

    /// Whether what was dropped is still to be found.
    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// The tree is to be compared once more. What comes to a place or leaves it tells what becomes of the directory without a watch there:
    /// those are returned, and whether nothing was reported yet of what is in them.
    ///
    /// `rename outside/c c; mkdir c/a; rename c b` → `c/a` is found, `c` is not met: `c/a` is reported when `b` is.
    pub(super) fn begin_again(
        &mut self,
        met: &HashSet<NodeId>,
        changes: impl Fn(Wd, &[u8]) -> bool,
    ) -> Vec<(Place, bool)> {
        let Some(gap) = &mut self.gap else { return Vec::new() };
        gap.found.retain(|node| !met.contains(node));
        let mut changing = Vec::new();
        for (wd, names) in &mut gap.unwatched {
            names.retain(|name, is_unread| {
                let is_changing = changes(*wd, name);
                if is_changing {
                    changing.push((Place { wd: *wd, name: name.clone() }, *is_unread));
                }
                !is_changing
            });
        }
        changing
    }

    /// All that was dropped has been found.
    pub(super) fn end(&mut self) {
        self.gap = None;
    }
}

impl Gap {
    fn entry(&mut self, event: &RawEvent) -> &mut Reported {
        self.entries.entry(Place { wd: event.wd, name: event.name.into() }).or_default()
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while let Some((event, size)) = RawEvent::decode(bytes) {
            match event.mask.has(IN_Q_OVERFLOW) {
                true => self.entries.values_mut().for_each(Reported::interrupt),
                false => self.entry(&event).add(event.mask),
            }
            bytes = &bytes[size..];
        }
    }
}

/// Names by the watch of the directory above, with something of each.
type Names<T> = BTreeMap<Wd, BTreeMap<Box<[u8]>, T>>;

fn places<T>(names: Names<T>) -> impl Iterator<Item = Place> {
    let names = names.into_iter().flat_map(|(wd, names)| names.into_keys().map(move |name| (wd, name)));
    names.map(|(wd, name)| Place { wd, name })
}

impl<W: World> Watcher<W> {
    /// Reports the entries of a directory whose events were dropped.
    pub(super) fn report_missed(&mut self, node: NodeId, entries: &Listing, dir: &W::Dir) {
        let is_asked = REPORTED.into_iter().any(|mask| self.settings.events.has(mask));
        let mut found = Vec::with_capacity(entries.len());
        for (number, (name, _)) in entries.iter().enumerate().filter(|_| is_asked) {
            found.push(self.world.times(At::Entry(dir, name)).ok());
            if number % LOOKS == LOOKS - 1 {
                self.pull();
            }
        }
        // The events of what changed their dates until now, and of directories that are not listed because they have just left.
        self.world.sync(At::Dir(dir));
        self.pull();
        let wd = self.tree.wd(node);
        let is_new = self.is_new(node, dir);
        for ((name, _), times) in entries.iter().zip(found) {
            let Some(times) = times else { continue };
            if let Some(there) = self.tree.child(node, name).filter(|there| self.tree.wd(*there) != Wd::NONE)
            {
                // The rename of a directory changes the same date as the change of its attributes.
                if self.missed.is_renamed(there) {
                    continue;
                }
                // All watched directories were there before, whatever their dates: as if their creation were told. One that was not watched
                // before is new, as if it had been deleted in between. But what is in a new one may have come with it: then its dates decide.
                let place = Place { wd, name: name.into() };
                if !self.missed.is_found(there) {
                    self.missed.know(place, IN_CREATE | IN_ISDIR);
                } else if (is_new || !self.missed.is_found(node)) && self.missed.is_unread(&place).is_none() {
                    self.missed.know(place, IN_DELETE | IN_ISDIR);
                }
            } else if is_new {
                self.missed.know_new(Place { wd, name: name.into() }, times.kind);
            }
            self.report_missing(wd, name, &times);
        }
    }

    /// Whether a directory was found that was made since the start: nothing that is in it was reported.
    ///
    /// `mkdir n; rename outside/f n/f` → the dates of f are old
    /// `mkdir n; mkdir n/f`, CREATE n is read; `rename n m` → [MOVED_FROM n, MOVED_TO m are dropped]: n was not watched yet, and f is older than
    /// what was dropped.
    fn is_new(&mut self, node: NodeId, dir: &W::Dir) -> bool {
        let start = self.missed.start;
        self.missed.is_found(node)
            && self.world.times(At::Dir(dir)).is_ok_and(|times| times.born.is_since(start))
    }

    /// The same for a file that is an operand.
    pub(super) fn report_missed_operand(&mut self, node: NodeId) {
        let path = self.system_path(node);
        if let Ok(times) = self.world.times(At::Path(&path)) {
            let wd = self.tree.wd(node);
            self.missed.know(Place { wd, name: Box::default() }, IN_CREATE);
            self.report_missing(wd, b"", &times);
        }
    }

    fn report_missing(&mut self, wd: Wd, name: &[u8], times: &Times) {
        let Some(since) = self.missed.gap.as_ref().map(|gap| gap.since) else { return };
        if self.is_left_to_next(wd, name) {
            return;
        }
        let place = Place { wd, name: name.into() };
        // What is here now has come.
        if self.missed.reported(&place).after.is_none() && self.missed.take_ended(wd, name) {
            self.report_gone_entry(&place);
        }
        let missing = self.missed.reported(&place).missing(times, since);
        for mask in REPORTED.into_iter().filter(|mask| missing.has(*mask)) {
            self.make_up(wd, mask | missing & IN_ISDIR, 0, name);
        }
    }

    /// Whether a directory at a place is what the next comparison has to tell of: there is another overflow, and before that an event is
    /// queued which tells of an earlier directory there.
    ///
    /// `rmdir a; create b; create c; mkdir a`, while the tree is compared → DELETE a, CREATE b, [CREATE c and CREATE a are dropped]; `a` is found
    fn is_left_to_next(&self, wd: Wd, name: &[u8]) -> bool {
        self.queue.overflows() > 0 && self.queue.first_change(wd, name).is_some()
    }

    /// Watched directories are gone. What is below one comes before it.
    pub(super) fn report_gone(&mut self, gone: &[NodeId]) {
        let Some(gap) = &mut self.missed.gap else { return };
        let (ended, unwatched) = (std::mem::take(&mut gap.ended), std::mem::take(&mut gap.unwatched));
        let replaced = std::mem::take(&mut gap.replaced);
        let is_replaced = |node: NodeId| self.tree.way_up(node).any(|above| replaced.contains(&above));
        let is_in_replaced = |place: &Place| self.tree.find(place.wd).is_none_or(is_replaced);
        let unwatched: Vec<_> = places(unwatched).filter(|place| !is_in_replaced(place)).collect();
        let place_of = |node: &NodeId| Some((self.place_of(*node)?, Some(*node)));
        let gone: Vec<_> = gone.iter().filter(|node| !is_replaced(**node)).filter_map(place_of).collect();
        for place in unwatched {
            if self.node_at(&place).is_none() {
                self.report_gone_entry(&place);
            }
        }
        let ended = places(ended);
        for (place, node) in ended.map(|place| (place, None)).chain(gone) {
            let there = self.node_at(&place).filter(|there| Some(*there) != node);
            // Otherwise another watched directory was renamed to its name.
            if there.is_none_or(|there| self.missed.is_found(there)) {
                self.report_gone_entry(&place);
            }
        }
    }

    /// A watched directory has ended. The deletion of its entry may have been dropped, and that of the directories in it that were deleted
    /// before.
    ///
    /// `rmdir a/b; rmdir a` → DELETE_SELF a/b, [DELETE a/b is dropped], DELETE_SELF a, [IGNORED a and DELETE a are dropped]
    pub(super) fn note_end(&mut self, node: NodeId) {
        let (wd, Some(gap)) = (self.tree.wd(node), &mut self.missed.gap) else { return };
        let unwatched = gap.unwatched.remove(&wd).into_iter().flat_map(BTreeMap::into_keys);
        let ended = gap.ended.remove(&wd).into_iter().flat_map(BTreeMap::into_keys);
        let mut names: Vec<_> = unwatched.chain(ended).collect();
        // Those that the next comparison would have taken note of.
        let below = self.tree.children(node).into_iter().filter(|below| self.is_known_unwatched(*below));
        names.extend(below.map(|below| self.tree.name(below).into()));
        for name in names {
            self.report_gone_entry(&Place { wd, name });
        }
        if let Some(place) = self.place_of(node) {
            self.missed.end_watch(node, place, self.queue.overflows() > 0);
        }
    }

    /// Whether a directory without a watch is known to be where it is.
    pub(super) fn is_known_unwatched(&self, node: NodeId) -> bool {
        self.tree.wd(node) == Wd::NONE && self.tree.is_entry(node) && self.coverage(node) != Coverage::Hidden
    }

    /// A watched directory was renamed, from its node's place. Its cookie is known if its MOVED_FROM was not dropped.
    pub(super) fn report_renamed(&mut self, node: NodeId, parent: NodeId, name: &[u8]) {
        let Some(from) = self.place_of(node) else { return };
        let Some(gap) = &mut self.missed.gap else { return };
        let to = Place { wd: self.tree.wd(parent), name: name.into() };
        if from == to {
            return;
        }
        gap.renamed.insert(node);
        let dropped = self.renames.take_dropped(&from);
        // The kernel counts from 1.
        let cookie = dropped.unwrap_or(u32::MAX - gap.renamed.len() as u32);
        if !self.missed.reported(&from).is_gone() {
            self.make_up(from.wd, IN_MOVED_FROM | IN_ISDIR, cookie, &from.name);
        }
        if dropped.is_some() || !self.missed.reported(&to).has_come() {
            self.make_up(to.wd, IN_MOVED_TO | IN_ISDIR, cookie, &to.name);
        }
    }

    pub(super) fn node_at(&self, place: &Place) -> Option<NodeId> {
        self.tree.child(self.tree.find(place.wd)?, &place.name)
    }

    pub(super) fn report_gone_entry(&mut self, place: &Place) {
        if !self.missed.reported(place).is_gone() {
            self.make_up(place.wd, IN_DELETE | IN_ISDIR, 0, &place.name);
        }
    }
}
