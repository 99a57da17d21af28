//! fanotify's events as the single changes that the kernel has merged into them.
//!
//! The kernel merges an event with an unread one of the same process, entry and object: the bits are united, at the
//! position of the older one. A second rename of an object between the same entries is not to be seen at all. So the
//! events that were read together, a batch, say less than happened, and some of it out of order:
//!
//! ```text
//! mkdir b; mkdir b/c; rmdir b/c; rmdir b  →  CREATE|DELETE b, CREATE|DELETE b/c, DELETE_SELF c, DELETE_SELF b
//! mv a b; mv b a; mv a b                  →  RENAME a b, RENAME b a
//! ```
//!
//! Two rules undo this. An end comes last: a deletion that was merged with the creation is put after all that happened to
//! the object or in it. And a rename that must have happened, because the object is next seen elsewhere, repeats
//! earlier ones of the batch. Whether the last rename of a batch was repeated shows later: by the next event of the
//! object, by another object at its entry, or by a look at where it is.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use libc::{FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_MOVE_SELF, FAN_ONDIR, FAN_Q_OVERFLOW, FAN_RENAME};

use crate::sys::fanotify::{Entry, Handle, RawEvent, decoded};

mod ends;
mod trail;

use self::ends::{Due, Ends, stands_where_it_ends};
use self::trail::Trail;

/// A directory and a name in it.
pub type OwnedEntry = (Box<Handle>, Box<[u8]>);

/// An entry; `None` is where nothing is watched.
pub type Place = Option<OwnedEntry>;

/// An object, and where it was found, if it was.
pub type Found = (Box<Handle>, Place);

/// One change, or several bits that need no order among them.
#[derive(Debug)]
pub enum Step {
    /// Bits of an event.
    Event {
        /// Where the event begins in the batch.
        at: usize,
        /// The bits, FAN_ONDIR among them.
        mask: u64,
    },
    /// A rename.
    Rename(Box<Rename>),
    /// A file has a name again, by a link whose creation was merged with an earlier one of that name.
    Linked(Box<Linked>),
}

impl Step {
    /// Of bits of an event the event with these, decoded from the batch.
    pub fn event<'a>(&self, batch: &'a [u8]) -> Option<RawEvent<'a>> {
        let Step::Event { at, mask } = *self else { return None };
        let (event, _) = RawEvent::decode(batch.get(at..)?)?;
        Some(RawEvent { mask, ..event })
    }

    /// The object, where it is known.
    fn object<'a>(&'a self, batch: &'a [u8]) -> Option<&'a Handle> {
        match self {
            Step::Rename(rename) => rename.object.as_deref(),
            Step::Linked(linked) => Some(&linked.file),
            Step::Event { .. } => self.event(batch)?.object,
        }
    }

    /// Whether it happened at an entry.
    fn is_at(&self, place: &Place, batch: &[u8]) -> bool {
        match self {
            Step::Rename(rename) => rename.old == *place || rename.new == *place,
            Step::Linked(linked) => place.as_ref() == Some(&linked.entry),
            Step::Event { .. } => self.event(batch).is_some_and(|event| owned(event.place) == *place),
        }
    }
}

/// A rename, or an end of it.
#[derive(Debug, Clone)]
pub struct Rename {
    /// What was renamed; `None` from kernels that do not say.
    pub object: Option<Box<Handle>>,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// The process that did it.
    pub process: i32,
    /// From where.
    pub old: Place,
    /// To where.
    pub new: Place,
    /// The same for both ends, if they come apart; of the second rename of an exchange the number after the first's.
    pub cookie: u32,
    /// The directory that it replaced.
    pub replaced: Option<Box<Handle>>,
}

/// A file at an entry.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The file.
    pub file: Box<Handle>,
    /// One of its names.
    pub entry: OwnedEntry,
    /// The process that made the link.
    pub process: i32,
}

/// What looks have shown.
#[derive(Debug)]
pub struct Looked {
    /// Where the objects are that may be elsewhere than reported.
    pub renamed: Vec<Found>,
    /// The files that are at an entry although they are reported to be deleted there.
    pub linked: Vec<Linked>,
}

/// So many are looked through at each time.
const FEW: usize = 64;

/// Turns events into changes, and remembers what is not certain yet.
#[derive(Debug, Default)]
pub struct Normaliser {
    /// Of events that this process caused only the ends of objects count.
    own: i32,
    /// The end of a file is reported, wherever its directory is. Else it may be over when its last known name is.
    hears_ends: bool,
    /// The objects that may be elsewhere than reported.
    trails: BTreeMap<Box<Handle>, Trail>,
    /// Those of which that may have become certain, or that are gone.
    touched: Vec<Box<Handle>>,
    /// Of each entry that one of them was reported to leave or to come to, all that were: the last to do so is the last.
    visitors: HashMap<OwnedEntry, Vec<Box<Handle>>>,
    /// More entries than this are looked through for what is over.
    enough: usize,
    /// The files whose creation and deletion at an entry were merged, and that are not gone: a link may have brought them back.
    /// With the process that did it.
    deleted: BTreeMap<(OwnedEntry, Box<Handle>), i32>,
    /// The last rename that was read, in the kernel's form, if the next one may be the other half of an exchange.
    last: Vec<u8>,
    cookie: u32,
    /// How many batches were read.
    batches: u64,
}

/// The events that were read together.
struct Batch<'a> {
    events: Vec<RawEvent<'a>>,
    /// Where each begins.
    starts: Vec<usize>,
    ends: Ends<'a>,
    /// How often each object is renamed.
    renames: HashMap<&'a Handle, Vec<usize>>,
    /// The renames that are half of an exchange.
    halves: HashMap<usize, Half<'a>>,
    /// [`Normaliser::last`] after it.
    last: &'a [u8],
    /// The objects of which several entries are named, once that was asked.
    with_names: OnceCell<HashSet<&'a Handle>>,
    out: &'a mut Vec<Step>,
}

/// One of the two renames of an exchange.
#[derive(Debug, Clone, Copy)]
struct Half<'a> {
    is_second: bool,
    /// The object of the other one.
    partner: &'a Handle,
}

impl Normaliser {
    /// For events of entries of marked directories. Of process `own` only ends of objects count.
    pub fn of_marks(own: i32) -> Normaliser {
        Normaliser { own, ..Normaliser::default() }
    }

    /// For those of a whole file system.
    pub fn of_filesystem(own: i32) -> Normaliser {
        Normaliser { hears_ends: true, ..Normaliser::of_marks(own) }
    }

    /// The changes of a batch.
    pub fn normalise(&mut self, bytes: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        self.batches += 1;
        let last = std::mem::take(&mut self.last);
        let mut batch = Batch::new(bytes, &last, self.own, &mut steps);
        if !self.deleted.is_empty() {
            // Their own events say more.
            let mentioned: HashSet<&Handle> = batch.events.iter().filter_map(RawEvent::itself).collect();
            self.deleted.retain(|(_, file), _| !mentioned.contains(&**file));
        }
        self.settle(&mut batch);
        for number in 0..batch.events.len() {
            let event = batch.events[number];
            if event.mask & FAN_Q_OVERFLOW != 0 {
                self.forget();
                batch.emit(number, FAN_Q_OVERFLOW);
            } else if event.pid == self.own {
                self.ends_of(number, &mut batch);
            } else if event.mask & FAN_RENAME != 0 {
                self.rename(number, &mut batch);
            } else {
                self.other(number, &mut batch);
            }
            for due in batch.ends.due(number) {
                self.end(due, number, &mut batch);
            }
        }
        self.end_merged(&mut batch);
        self.drop_certain(&batch);
        self.last = batch.last.to_vec();
        steps
    }

    /// What a batch says of renames that were read before.
    fn settle(&mut self, batch: &mut Batch) {
        if self.trails.is_empty() {
            return;
        }
        for (object, place) in origins(batch.events.iter().copied()) {
            self.repair(object, &place, batch.out);
        }
    }

    /// Drops the trails that end with a batch. There may be many that it does not touch, and many batches.
    fn drop_certain(&mut self, batch: &Batch) {
        let touched = std::mem::take(&mut self.touched);
        let is_uncertain = |trail: &Trail| trail.is_doubtful() || trail.left.is_some();
        for object in touched {
            let trail = self.trails.get(&object);
            if trail.is_some_and(|trail| !is_uncertain(trail) || batch.is_gone(&object)) {
                self.trails.remove(&object);
            }
        }
        if self.visitors.len() > self.enough {
            self.visitors.retain(|_, objects| {
                objects.retain(|object| self.trails.contains_key(object));
                !objects.is_empty()
            });
            self.enough = FEW.max(2 * self.visitors.len());
        }
    }

    /// Where things are is not known any more.
    pub fn forget(&mut self) {
        self.trails.clear();
        self.touched.clear();
        self.visitors.clear();
        self.deleted.clear();
        self.last.clear();
    }

    /// Where the objects are that may be elsewhere than reported, which is looked at first. `is_at` gives `None` where nobody can look,
    /// because the directory is where nothing is watched: an object that is reported to be there counts as found.
    pub fn look(&self, mut is_at: impl FnMut(&Handle, &OwnedEntry) -> Option<bool>) -> Looked {
        let renamed = self.trails.iter().map(|(object, trail)| {
            let mut unseen = None;
            let mut is_there = |entry: &&OwnedEntry| {
                let is_there = is_at(object, entry);
                if is_there.is_none() && trail.at().as_ref() == Some(*entry) {
                    unseen = trail.at().clone();
                }
                is_there == Some(true)
            };
            let found = trail.places().flatten().find(&mut is_there).cloned();
            (object.clone(), found.or(unseen))
        });
        let renamed = renamed.collect();
        let linked = self.deleted.iter().filter(|((entry, file), _)| is_at(file, entry) == Some(true));
        let linked = linked.map(|((entry, file), process)| Linked {
            file: file.clone(),
            entry: entry.clone(),
            process: *process,
        });
        let linked = linked.collect();
        Looked { renamed, linked }
    }

    /// Whether such an object may be at an entry.
    pub fn hides(&self, directory: &Handle, name: &[u8]) -> bool {
        if self.trails.is_empty() {
            return false;
        }
        let entry = (directory.into(), name.into());
        let trails =
            self.visitors.get(&entry).into_iter().flatten().filter_map(|object| self.trails.get(object));
        trails
            .filter(|trail| trail.is_doubtful())
            .any(|trail| trail.places().flatten().any(|at| *at == entry))
    }

    /// Looks have shown where such objects are; `None`: at none of their places. No event that was queued by then may name one
    /// of them. What was repeated is put into the changes of the last batch, `bytes`, after the last rename of the object there,
    /// and after what happened to others where it is.
    pub fn resolve(&mut self, looked: Looked, bytes: &[u8], out: &mut Vec<Step>) {
        let Looked { renamed: found, linked } = looked;
        let position = |trails: &BTreeMap<Box<Handle>, Trail>, (object, place): &Found| {
            let trail = trails.get(object).filter(|trail| trail.batch == self.batches);
            let reported = trail.map_or(out.len(), |trail| trail.reported.min(out.len()));
            let is_other = |step: &Step| {
                place.is_some() && step.is_at(place, bytes) && step.object(bytes) != Some(object)
            };
            out[reported..].iter().rposition(is_other).map_or(reported, |at| reported + at + 1)
        };
        let mut found: Vec<_> =
            found.into_iter().map(|found| (position(&self.trails, &found), found)).collect();
        for (_, (object, place)) in &found {
            if let Some(trail) = self.trails.get_mut(object) {
                trail.looked = Some(place.clone());
            }
        }
        // From behind, so that the positions before stay right. At the same position, what was found comes first: it may have replaced
        // another object.
        found.sort_by_key(|(position, (_, place))| (*position, place.is_some()));
        for (position, (object, place)) in found.into_iter().rev() {
            let mut rest = out.split_off(position);
            self.repair(&object, &place, out);
            if place.is_none() && self.trails.get(&object).is_some_and(|trail| !trail.has_links) {
                self.leave(&object, out);
            }
            out.append(&mut rest);
            self.trails.remove(&object);
        }
        self.deleted.clear();
        out.extend(linked.into_iter().map(|linked| Step::Linked(Box::new(linked))));
    }

    /// Whether the place of every object is certain.
    pub fn is_certain(&self) -> bool {
        self.trails.is_empty() && self.deleted.is_empty()
    }

    /// The cookie of the next rename. Of the second of an exchange it follows the first's; others leave one out.
    pub fn next_cookie(&mut self, is_second: bool) -> u32 {
        self.cookie = self.cookie.wrapping_add(if is_second { 1 } else { 2 }).max(1);
        self.cookie
    }

    fn rename<'a>(&mut self, number: usize, batch: &mut Batch<'a>) {
        let event = batch.events[number];
        let [old, new] = [event.old, event.new].map(owned);
        let is_directory = event.mask & FAN_ONDIR != 0;
        if let Some(object) = event.object {
            self.repair(object, &old, batch.out);
            self.begin_trail(object, &event, &old, batch);
        }
        let half = batch.halves.get(&number).copied();
        let replaced = batch.ends.replaced.get(&number).copied();
        let displaced = match (half, replaced) {
            // It was there before both changed places.
            (Some(Half { partner, is_second: false }), _) => {
                self.repair(partner, &new, batch.out);
                None
            }
            (Some(_), _) => None,
            // It was there before it was replaced.
            (None, Some(replaced)) => {
                self.repair(replaced, &new, batch.out);
                self.trails.remove(replaced);
                None
            }
            (None, None) => self.vacate(event.new, number, batch),
        };
        let object = event.object.map(Box::from);
        let cookie = self.next_cookie(half.is_some_and(|half| half.is_second));
        let replaced = replaced.map(Box::from);
        let (from, to) = (old.clone(), new.clone());
        let rename = Rename { object, is_directory, process: event.pid, old, new, cookie, replaced };
        batch.out.push(Step::Rename(Box::new(rename)));
        let Some(object) = event.object else { return };
        self.comes_back(object, &to);
        self.go(object, &from, &to, batch.out.len());
        if let Some(other) = displaced {
            self.take_place(&other, [&to, &from], batch.out);
            self.exchanged(object, &other);
        }
        if let Some(Half { partner, is_second: true }) = half {
            self.exchanged(object, partner);
        }
    }

    /// Of an object with one rename in a batch, nothing can be repeated; of others the renames are remembered. So is that of a file which
    /// another one may have replaced since: of that no event may say anything.
    ///
    /// ```text
    /// mv ~a c; exchange c ~b; mv ~b c; mv c ~c  →  RENAME to c of the first, RENAME c of the first, RENAME to c of the second
    /// ```
    fn begin_trail(&mut self, object: &Handle, event: &RawEvent, at: &Place, batch: &Batch) {
        let is_directory = event.mask & FAN_ONDIR != 0;
        let is_repeated = batch.renames.get(object).is_some_and(|renames| renames.len() > 1);
        let is_remembered = is_repeated || self.trails.contains_key(object);
        let other = |_: &Handle, trail: &Trail| !trail.is_directory;
        let entry = event.new.filter(|_| !is_directory && !is_remembered && !self.trails.is_empty());
        let may_be_replaced = owned(entry).and_then(|entry| self.may_come(&entry, other)).is_some();
        if is_remembered || may_be_replaced {
            let batches = self.batches;
            self.touched.push(object.into());
            let trail =
                self.trails.entry(object.into()).or_insert_with(|| Trail::new(is_directory, at.clone()));
            // What was read before cannot be repeated any more.
            trail.keep_only(batches);
            trail.has_links |= !is_directory && trail.at().is_some() && trail.at() != at;
            trail.process = event.pid;
            trail.may_be_replaced = may_be_replaced || batch.ends.is_replaced_unseen(object);
        }
    }

    /// A rename was reported, the last of so many changes.
    fn go(&mut self, object: &Handle, old: &Place, new: &Place, reported: usize) {
        let Some(trail) = self.trails.get_mut(object) else { return };
        trail.go(old, new);
        trail.reported = reported;
        self.touched.push(object.into());
        for entry in [old, new].into_iter().flatten() {
            let visitors = self.visitors.entry(entry.clone()).or_default();
            match visitors.iter().position(|visitor| **visitor == *object) {
                Some(known) => visitors[known..].rotate_left(1),
                None => {
                    if visitors.len() > FEW {
                        visitors.retain(|visitor| self.trails.contains_key(visitor));
                    }
                    visitors.push(object.into());
                }
            }
        }
    }

    /// The last renames of two objects were an exchange.
    fn exchanged(&mut self, one: &Handle, other: &Handle) {
        for (object, partner) in [(one, other), (other, one)] {
            if let Some(trail) = self.trails.get_mut(object) {
                trail.exchanged_with(partner);
            }
        }
    }

    /// An object is at a place. If reported renames led elsewhere, some were repeated: reports these, and of an exchange
    /// both renames.
    fn repair(&mut self, object: &Handle, place: &Place, out: &mut Vec<Step>) {
        let may_differ = |trail: &&Trail| trail.at() != place && (!trail.has_links || trail.left.is_some());
        let Some(trail) = self.trails.get(object).filter(may_differ) else { return };
        let of = (trail.is_directory, trail.process);
        let way = match trail.way_to(place) {
            Some(way) => way,
            None if place.is_some() && trail.left.is_some() => vec![(place.clone(), None)],
            // A file may have several names, and a directory may have come with the one that it is in.
            None => return,
        };
        for (to, partner) in way {
            if let Some(other) = to.as_ref().and_then(|entry| self.doubtful_at(entry)) {
                let may_be_replaced = |trail: &Trail| trail.may_be_replaced && trail.is_directory == of.0;
                if self.trails.get(&other).is_some_and(may_be_replaced) {
                    self.trails.remove(&other);
                } else if partner.as_ref() != Some(&other) {
                    self.leave(&other, out);
                }
            }
            let Some(trail) = self.trails.get_mut(object) else { return };
            let at = trail.at().clone();
            let (cookie, old) = trail.left.take().unwrap_or_else(|| (self.next_cookie(false), at.clone()));
            out.push(repeated(object, of, [at, to.clone()], cookie));
            self.go(object, &old, &to, out.len());
            // Where nothing is watched it may as well have gone alone: a look shows what is at the entry.
            if let Some(partner) = partner.filter(|_| to.is_some()) {
                self.take_place(&partner, [&to, &old], out);
            }
        }
    }

    /// The second half of an exchange whose first was reported last, if its object was there.
    fn take_place(&mut self, object: &Handle, [from, to]: [&Place; 2], out: &mut Vec<Step>) {
        let is_there =
            |trail: &&Trail| trail.at() == from && trail.looked.as_ref().is_none_or(|looked| looked == to);
        let Some(trail) = self.trails.get(object).filter(is_there) else { return };
        let of = (trail.is_directory, trail.process);
        let cookie = self.next_cookie(true);
        out.push(repeated(object, of, [from.clone(), to.clone()], cookie));
        self.go(object, from, to, out.len());
    }

    /// Another object comes to an entry: the object that is reported to be there has gone.
    ///
    /// ```text
    /// mkdir a; rmdir a; mkdir a          →  CREATE|DELETE a (first), CREATE a (second): the end of the first is due
    /// mv a b; mv b a; mv a b; touch a    →  RENAME a b, RENAME b a, CREATE a: the first rename was repeated
    /// ```
    ///
    /// Returns the object with which it changes places: of that only one half of the exchange was merged.
    fn vacate<'a>(
        &mut self,
        entry: Option<Entry<'a>>,
        number: usize,
        batch: &mut Batch<'a>,
    ) -> Option<Box<Handle>> {
        let by = batch.events[number].object;
        let entry = entry?;
        while let Some(due) = batch.ends.at(number, entry, by) {
            self.end(due, number, batch);
        }
        if self.trails.is_empty() {
            return None;
        }
        let entry = (entry.directory.into(), entry.name.into());
        match self.doubtful_at(&entry).filter(|object| Some(&**object) != by) {
            Some(object) => self.make_room(object, entry, number, batch),
            None => {
                self.replace_unseen(entry, number, batch);
                None
            }
        }
    }

    /// A rename may replace an object that is reported to be elsewhere: if one is gone that may have come to this entry by a merged
    /// rename.
    fn replace_unseen(&mut self, entry: OwnedEntry, number: usize, batch: &mut Batch) {
        let event = batch.events[number];
        if event.new.is_none() {
            return;
        }
        let is_directory = event.mask & FAN_ONDIR != 0;
        // A directory is replaced only by another, and if nothing is in it: also not by what comes from it.
        let is_replaced = |object: &Handle, trail: &Trail| {
            let is_from_it = event.old.is_some_and(|old| *old.directory == *object);
            let is_alike = trail.is_directory == is_directory && trail.at().is_some();
            is_alike && !is_from_it && batch.ends.is_replaced_unseen(object)
        };
        if let Some(replaced) = self.may_come(&entry, is_replaced) {
            self.repair(&replaced, &Some(entry), batch.out);
            self.trails.remove(&replaced);
        }
    }

    /// An object that may have left its entry has left it, for another one comes. It went to where it is renamed from next, or to
    /// where the other one comes from, or by the only way that it has. Returns it if both change places.
    fn make_room(
        &mut self,
        object: Box<Handle>,
        entry: OwnedEntry,
        number: usize,
        batch: &mut Batch,
    ) -> Option<Box<Handle>> {
        let from = owned(batch.events[number].old);
        let next = batch.next_place(&object, number).filter(|next| next.as_ref() != Some(&entry));
        let trail = self.trails.get(&object)?;
        if next.is_none() && trail.may_be_replaced {
            self.trails.remove(&object);
            return None;
        }
        let is_exchange = from.is_some() && trail.may_go_to(&from);
        let next = next.or_else(|| if is_exchange { Some(from.clone()) } else { trail.only_way().cloned() });
        match next {
            Some(next) if next == from && from.is_some() => return Some(object),
            Some(next) => self.repair(&object, &next, batch.out),
            None => self.leave(&object, batch.out),
        }
        None
    }

    /// The object that is reported to be at an entry and may have left it.
    fn doubtful_at(&self, entry: &OwnedEntry) -> Option<Box<Handle>> {
        let found = self.visitors.get(entry)?.iter().rfind(|object| {
            let trail = self.trails.get(&***object).filter(|trail| trail.at().as_ref() == Some(entry));
            trail.is_some_and(Trail::is_doubtful)
        });
        found.cloned()
    }

    /// Reports that an object has left the entry where it is reported to be. Where to shows later.
    fn leave(&mut self, object: &Handle, out: &mut Vec<Step>) {
        let cookie = self.next_cookie(false);
        let Some(trail) = self.trails.get_mut(object).filter(|trail| trail.at().is_some()) else { return };
        let place = trail.at().clone();
        let of = (trail.is_directory, trail.process);
        trail.leave(cookie);
        trail.reported = out.len() + 1;
        self.touched.push(object.into());
        out.push(repeated(object, of, [place, None], cookie));
    }

    /// Any event but a rename.
    fn other<'a>(&mut self, number: usize, batch: &mut Batch<'a>) {
        let event = batch.events[number];
        let ends = event.mask & (FAN_DELETE | FAN_DELETE_SELF);
        if event.mask & FAN_CREATE != 0 {
            self.vacate(event.place, number, batch);
            event.object.into_iter().for_each(|object| self.comes_back(object, &owned(event.place)));
            match event.object.map(|object| (object, self.trails.get_mut(object))) {
                Some((object, Some(trail))) => {
                    trail.has_links = true;
                    self.touched.push(object.into());
                }
                Some((object, None)) => self.begin_trail(object, &event, &owned(event.place), batch),
                None => {}
            }
            batch.emit(number, FAN_CREATE);
        }
        batch.emit(number, event.mask & !(FAN_CREATE | ends));
        self.ends_of(number, batch);
    }

    /// The ends that an event reports, if they are not put off.
    fn ends_of<'a>(&mut self, number: usize, batch: &mut Batch<'a>) {
        let event = batch.events[number];
        if event.mask & FAN_DELETE_SELF != 0 {
            if let Some(object) = event.itself() {
                self.gone(object, number, batch);
            }
            if !batch.ends.puts_off_gone(&event) {
                batch.emit(number, FAN_DELETE_SELF);
            }
        }
        if event.mask & FAN_DELETE != 0
            && event.pid != self.own
            && !batch.ends.puts_off_deletion(number, &event)
        {
            self.deletion(number, batch);
        }
    }

    /// An object is gone. Where no rename replaced it, an earlier one was repeated.
    fn gone(&mut self, object: &Handle, number: usize, batch: &mut Batch) {
        let event = &batch.events[number];
        if self.trails.is_empty() {
            return;
        }
        self.touched.push(object.into());
        if !stands_where_it_ends(event) || !batch.ends.is_replaced_unseen(object) {
            return;
        }
        let known = self.trails.get(object).map(|trail| trail.at().clone());
        let at = known.unwrap_or_else(|| batch.last_place(object, number));
        let Some(entry) = &at else { return };
        let by = |_: &Handle, trail: &Trail| trail.process == event.pid;
        if let Some(by) = self.may_come(entry, by) {
            self.repair(&by, &at, batch.out);
        }
    }

    /// Objects are gone that are reported to be at an entry, and when that happened the events do not say. By a merged rename another one
    /// has replaced each, or it has left.
    ///
    /// ```text
    /// exchange a ~d; exchange a ~d; mv -T ~d a; mv a ~a  →  RENAME a of the first, DELETE_SELF|MOVE_SELF of it, RENAME to a of the second, RENAME
    ///                                                    a of the second, RENAME to a of the first
    /// ```
    fn end_merged(&mut self, batch: &mut Batch) {
        if self.trails.is_empty() {
            return;
        }
        for number in 0..batch.events.len() {
            let event = batch.events[number];
            let merged = event.itself().filter(|_| event.mask & FAN_DELETE_SELF != 0);
            let Some(object) = merged.filter(|_| !stands_where_it_ends(&event)) else { continue };
            let is_unseen = |trail: &&Trail| trail.is_doubtful() && batch.ends.is_replaced_unseen(object);
            let Some(trail) = self.trails.get(object).filter(is_unseen) else { continue };
            let (is_directory, at) = (trail.is_directory, trail.at().clone());
            let Some(entry) = &at else { continue };
            let by = |_: &Handle, trail: &Trail| trail.is_directory == is_directory;
            match self.may_come(entry, by) {
                Some(by) => {
                    self.trails.remove(object);
                    self.repair(&by, &at, batch.out);
                }
                None => self.leave(object, batch.out),
            }
        }
    }

    /// An object of this kind that may have come to an entry by one more rename.
    fn may_come(&self, entry: &OwnedEntry, is: impl Fn(&Handle, &Trail) -> bool) -> Option<Box<Handle>> {
        let place = Some(entry.clone());
        let mut visitors = self.visitors.get(entry)?.iter();
        let found = visitors.find(|object| {
            let trail = self.trails.get(&***object).filter(|trail| trail.may_go_to(&place));
            trail.is_some_and(|trail| is(object, trail))
        });
        found.cloned()
    }

    /// Reports an end that was put off.
    fn end<'a>(&mut self, due: Due<'a>, now: usize, batch: &mut Batch<'a>) {
        match due {
            Due::File(number) => {
                let entry = batch.events[number].place;
                if entry.is_some_and(|entry| batch.ends.take_file(number, entry)) {
                    self.deletion(number, batch);
                }
            }
            Due::Directory(object) => {
                if let Some((gone, deleted)) = batch.ends.take(object, now) {
                    deleted.into_iter().for_each(|number| self.arrive(number, batch));
                    gone.into_iter().for_each(|number| batch.emit(number, FAN_DELETE_SELF));
                    deleted.into_iter().for_each(|number| batch.emit(number, FAN_DELETE));
                }
            }
        }
    }

    fn deletion<'a>(&mut self, number: usize, batch: &mut Batch<'a>) {
        self.arrive(number, batch);
        batch.emit(number, FAN_DELETE);
        let event = batch.events[number];
        if event.mask & (FAN_CREATE | FAN_ONDIR) == FAN_CREATE {
            // A file without another name that is known is over: most files that come and go are.
            let may_be_there = |object: &&Handle| match self.hears_ends {
                true => !batch.ends.gone_files.contains_key(*object),
                false => batch.has_names(object),
            };
            let linked = event.object.filter(may_be_there).zip(owned(event.place));
            self.deleted.extend(linked.map(|(file, entry)| ((entry, file.into()), event.pid)));
        }
    }

    /// An event reports that an object is at an entry, where it may have been deleted before.
    fn comes_back(&mut self, object: &Handle, place: &Place) {
        if let Some(entry) = place.as_ref().filter(|_| !self.deleted.is_empty()) {
            self.deleted.remove(&(entry.clone(), object.into()));
        }
    }

    /// What is deleted at an entry was there.
    fn arrive<'a>(&mut self, number: usize, batch: &mut Batch<'a>) {
        let event = batch.events[number];
        let Some(object) = event.object.filter(|object| self.trails.contains_key(*object)) else { return };
        let place = owned(event.place);
        self.repair(object, &place, batch.out);
        self.trails.remove(object);
    }
}

impl<'a> Batch<'a> {
    /// `last`: [`Normaliser::last`] before it.
    fn new(bytes: &'a [u8], last: &'a [u8], own: i32, out: &'a mut Vec<Step>) -> Batch<'a> {
        let (mut events, mut starts) = (Vec::new(), Vec::new());
        let mut renames: HashMap<&Handle, Vec<usize>> = HashMap::new();
        let mut halves = HashMap::new();
        // Its number is `None` if it was read before.
        let mut last = RawEvent::decode(last).map(|(first, _)| (None, first, last));
        let mut at = 0;
        while let Some((event, length)) = RawEvent::decode(&bytes[at..]) {
            let number = events.len();
            events.push(event);
            starts.push(at);
            at += length;
            if event.pid == own {
                continue;
            }
            if event.mask & FAN_RENAME == 0 {
                last = last.filter(|(_, first, _)| may_be_within(&event, first));
                continue;
            }
            if let Some(object) = event.object {
                renames.entry(object).or_default().push(number);
            }
            let first = last.take().filter(|(_, first, _)| is_exchange(first, &event));
            match first.and_then(|(first, one, _)| Some((first, one.object?, event.object?))) {
                Some((first, one, other)) => {
                    halves.extend(first.map(|first| (first, Half { is_second: false, partner: other })));
                    halves.insert(number, Half { is_second: true, partner: one });
                }
                None => last = Some((Some(number), event, &bytes[at - length..at])),
            }
        }
        let ends = Ends::of(&events, &renames, &halves);
        let last = last.map_or(&b""[..], |(_, _, bytes)| bytes);
        Batch { events, starts, ends, renames, halves, last, with_names: OnceCell::new(), out }
    }

    /// Appends bits of an event, if there are any.
    fn emit(&mut self, number: usize, bits: u64) {
        let directory = self.events[number].mask & FAN_ONDIR;
        if bits & !FAN_ONDIR != 0 {
            self.out.push(Step::Event { at: self.starts[number], mask: bits | directory });
        }
    }

    /// Whether several entries of an object are named.
    fn has_names(&self, object: &Handle) -> bool {
        let find = || {
            let mut first: HashMap<&Handle, Entry> = HashMap::new();
            let named = self.events.iter().filter_map(|event| event.object.zip(event.place));
            let others = named.filter(|(object, entry)| first.entry(object).or_insert(*entry) != entry);
            others.map(|(object, _)| object).collect()
        };
        self.with_names.get_or_init(find).contains(object)
    }

    /// Where an object was by the last event before this one.
    fn last_place(&self, object: &Handle, number: usize) -> Place {
        let named = self.events[..number].iter().rfind(|event| event.object == Some(object))?;
        owned(named.new.or(named.place))
    }

    /// Where an object is before its next rename after this event.
    fn next_place(&self, object: &Handle, number: usize) -> Option<Place> {
        let renamed = self.renames.get(object)?.iter().find(|at| **at > number)?;
        Some(owned(self.events[*renamed].old))
    }

    /// Whether an object is reported to be gone.
    fn is_gone(&self, object: &Handle) -> bool {
        self.ends.gone_files.contains_key(object) || self.ends.is_gone(object)
    }
}

/// Whether an event may be between both renames of an exchange. What an overflow has dropped nobody knows.
fn may_be_within(event: &RawEvent, first: &RawEvent) -> bool {
    let is_end_of_first = event.mask & FAN_MOVE_SELF != 0 && event.itself() == first.object;
    event.mask & FAN_Q_OVERFLOW == 0 && (event.pid != first.pid || is_end_of_first)
}

/// Whether two renames, one after the other, let two objects change places.
fn is_exchange(first: &RawEvent, second: &RawEvent) -> bool {
    let swapped = first.old == second.new && first.new == second.old;
    swapped && first.object != second.object && first.pid == second.pid
}

fn owned(entry: Option<Entry>) -> Place {
    entry.map(|entry| (entry.directory.into(), entry.name.into()))
}

/// The objects that events happened to: what a look has shown of others was true before these.
pub fn mentioned(bytes: &[u8]) -> HashSet<&Handle> {
    decoded(bytes).filter_map(|event| event.itself()).collect()
}

/// Where each object was before its first event, if that is a rename: there those that were read before have led.
fn origins<'a>(events: impl Iterator<Item = RawEvent<'a>>) -> Vec<(&'a Handle, Place)> {
    let mut met = HashSet::new();
    let first = events.filter(|event| event.mask & (FAN_CREATE | FAN_DELETE | FAN_RENAME) != 0);
    let first =
        first.filter_map(|event| Some((event.object?, event))).filter(|(object, _)| met.insert(*object));
    let renamed = first.filter(|(_, event)| event.mask & FAN_RENAME != 0);
    renamed.map(|(object, event)| (object, owned(event.old))).collect()
}

/// A rename that no event of its own reports.
fn repeated(
    object: &Handle,
    (is_directory, process): (bool, i32),
    [old, new]: [Place; 2],
    cookie: u32,
) -> Step {
    let object = Some(object.into());
    Step::Rename(Box::new(Rename { object, is_directory, process, old, new, cookie, replaced: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanotify::simulated::{Queued, TREE, encode};
    use crate::sys::fanotify::overflow;

    fn rename(object: usize, old: &str, new: &str) -> Vec<u8> {
        let [old, new] = [old, new].map(|name| Some((TREE, name.to_owned())));
        let queued =
            Queued { mask: FAN_RENAME, process: 1, old, new, object: Some(object), ..Queued::default() };
        encode(&[queued])
    }

    /// Whether each rename of these batches is reported as the second half of an exchange.
    fn second_halves(batches: &[Vec<u8>]) -> Vec<bool> {
        let mut normaliser = Normaliser::of_filesystem(9);
        let steps = batches.iter().flat_map(|batch| normaliser.normalise(batch));
        let cookies = steps.filter_map(|step| match step {
            Step::Rename(rename) => Some(rename.cookie),
            _ => None,
        });
        let cookies: Vec<u32> = [0].into_iter().chain(cookies).collect();
        cookies.windows(2).map(|pair| pair[0] + 1 == pair[1]).collect()
    }

    #[test]
    fn an_exchange_has_two_halves_also_if_they_are_read_apart() {
        let [one, other] = [rename(5, "a", "b"), rename(6, "b", "a")];
        assert_eq!(second_halves(&[[&one[..], &other].concat()]), [false, true]);
        assert_eq!(second_halves(&[one.clone(), Vec::new(), other.clone()]), [false, true]);
        assert_eq!(second_halves(&[[overflow(), one.clone()].concat(), other.clone()]), [false, true]);
        assert_eq!(second_halves(&[[one.clone(), overflow()].concat(), other.clone()]), [false, false]);
        // Of the third no half is left to be the other one.
        assert_eq!(second_halves(&[[one, other, rename(7, "a", "b")].concat()]), [false, true, false]);
    }
}
