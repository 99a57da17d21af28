//! Changes that were read but not yet handled, and what they say of directories ahead of their turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;

use libc::{FAN_CREATE, FAN_DELETE, FAN_ONDIR, FAN_Q_OVERFLOW};

use crate::fanotify::normalise::{Found, Normaliser, Place, Rename, Step};
use crate::sys::fanotify::{Handle, RawEvent, decoded, overflow};

use super::kernel::{EntryOf, Kernel};

/// How often, after one read, to look where objects are that may have been renamed again.
const LOOKS: usize = 4;

/// The changes in the order in which they happened.
#[derive(Debug)]
pub struct Queue {
    normaliser: Normaliser,
    batches: VecDeque<Batch>,
    /// Directories that are renamed, replaced or deleted: the numbers of those changes.
    changing: HashMap<Box<Handle>, VecDeque<u64>>,
    taken: u64,
    queued: u64,
    cookie: u32,
    /// The cookies of renames of which one end was reported.
    halves: HashMap<u32, u32>,
}

/// What was read together.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    steps: VecDeque<Step>,
}

impl Queue {
    /// Events of process `own` are passed over.
    pub fn new(own: i32) -> Queue {
        Queue {
            normaliser: Normaliser::new(own),
            batches: VecDeque::new(),
            changing: HashMap::new(),
            taken: 0,
            queued: 0,
            cookie: 0,
            halves: HashMap::new(),
        }
    }

    /// Appends all that the kernel has queued by now; returns the number of bytes. Where the events leave open where an
    /// object is, looks.
    pub fn fill(&mut self, kernel: &mut impl Kernel) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let mut length = kernel.read(&mut bytes)?;
        let mut batch = self.normalised(bytes);
        for _ in 0..LOOKS {
            if self.normaliser.is_certain() && self.normaliser.deleted().is_empty() {
                break;
            }
            let (renamed, linked) = self.look(kernel);
            let mut next = Vec::new();
            // An error shows again.
            length += kernel.read(&mut next).unwrap_or(0);
            self.resolve(&mut batch, &next, renamed, linked);
            let next = self.normalised(next);
            self.push(std::mem::replace(&mut batch, next));
        }
        self.push(batch);
        Ok(length)
    }

    fn normalised(&mut self, bytes: Vec<u8>) -> Batch {
        let mut steps = Vec::new();
        self.normaliser.normalise(&bytes, &mut steps);
        Batch { bytes, steps: steps.into() }
    }

    /// Where the objects are that may be elsewhere than reported, and which files are there again.
    fn look(&self, kernel: &mut impl Kernel) -> (Vec<Found>, Vec<(usize, Box<Handle>)>) {
        let mut is_at = |object: &Handle, place: &Place| {
            place.as_ref().is_some_and(|(at, name)| kernel.is_at(object, at, name))
        };
        let found = self.normaliser.doubts().map(|(object, mut places)| {
            (Box::from(object), places.find(|place| is_at(object, place)).cloned())
        });
        let found = found.collect();
        let deleted = self.normaliser.deleted().iter().filter(|(_, object, place)| is_at(object, place));
        (found, deleted.map(|(at, object, _)| (*at, object.clone())).collect())
    }

    /// Completes a batch by what looks have shown, unless events that were queued by then say more of an object.
    fn resolve(
        &mut self,
        batch: &mut Batch,
        next: &[u8],
        mut renamed: Vec<Found>,
        linked: Vec<(usize, Box<Handle>)>,
    ) {
        let mut mentioned: HashSet<&Handle> = HashSet::new();
        for event in decoded(next) {
            mentioned.extend(event.object);
            mentioned.extend(event.place.map(|entry| entry.directory));
        }
        let mut steps = Vec::from(std::mem::take(&mut batch.steps));
        renamed.retain(|(object, _)| !mentioned.contains(&**object));
        self.normaliser.resolve(renamed, &mut steps);
        let linked = linked.into_iter().filter(|(_, object)| !mentioned.contains(&**object));
        steps.extend(linked.map(|(at, _)| Step::Event { at, mask: FAN_CREATE }));
        batch.steps = steps.into();
    }

    fn push(&mut self, mut batch: Batch) {
        for step in &mut batch.steps {
            if let Step::Rename(rename) = step {
                rename.cookie = self.cookie(rename);
            }
        }
        for (number, step) in batch.steps.iter().enumerate() {
            for directory in changed(step, &batch.bytes).into_iter().flatten() {
                self.changing.entry(directory.into()).or_default().push_back(self.queued + number as u64);
            }
        }
        self.queued += batch.steps.len() as u64;
        if !batch.steps.is_empty() {
            self.batches.push_back(batch);
        }
    }

    /// Cookies are numbered in the order of the changes.
    fn cookie(&mut self, rename: &Rename) -> u32 {
        if let Some(cookie) = self.halves.remove(&rename.cookie) {
            return cookie;
        }
        self.cookie = self.cookie.wrapping_add(1).max(1);
        if rename.is_half {
            self.halves.insert(rename.cookie, self.cookie);
        }
        self.cookie
    }

    /// Appends an overflow.
    pub fn push_overflow(&mut self) {
        self.normaliser.forget();
        self.push(Batch { bytes: overflow(), steps: [Step::Event { at: 0, mask: FAN_Q_OVERFLOW }].into() });
    }

    /// Takes the oldest change; an event is copied into `event`.
    pub fn take(&mut self, event: &mut Vec<u8>) -> Option<Step> {
        let batch = self.batches.front_mut()?;
        let step = batch.steps.pop_front()?;
        self.taken += 1;
        for directory in changed(&step, &batch.bytes).into_iter().flatten() {
            if let Some(numbers) = self.changing.get_mut(directory) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.changing.remove(directory);
                }
            }
        }
        if let Step::Event { at, .. } = step {
            let rest = batch.bytes.get(at..).unwrap_or_default();
            event.clear();
            event.extend_from_slice(RawEvent::decode(rest).map_or(&[][..], |(_, length)| &rest[..length]));
        }
        if batch.steps.is_empty() {
            self.batches.pop_front();
        }
        Some(step)
    }

    /// Where a directory was before the first queued change that renames, replaces or deletes it.
    pub fn place_of(&self, directory: &Handle) -> Option<EntryOf> {
        let mut number = (*self.changing.get(directory)?.front()? - self.taken) as usize;
        for Batch { bytes, steps } in &self.batches {
            match steps.get(number) {
                Some(Step::Rename(rename)) => {
                    let renamed = rename.object.as_deref() == Some(directory);
                    let place = if renamed { &rename.old } else { &rename.new };
                    return place.clone().map(|(at, name)| (at, name.into_vec()));
                }
                Some(Step::Event { at, .. }) => {
                    let (event, _) = RawEvent::decode(&bytes[*at..])?;
                    return event.place.map(|entry| (entry.directory.into(), entry.name.to_vec()));
                }
                None => number -= steps.len(),
            }
        }
        None
    }

    /// Whether nothing is left to take, and nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.normaliser.is_certain()
    }

    /// How many changes were taken, ever.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many were queued, ever.
    pub fn queued(&self) -> u64 {
        self.queued
    }
}

/// The directories that are not any more where they were.
fn changed<'a>(step: &'a Step, bytes: &'a [u8]) -> [Option<&'a Handle>; 2] {
    match step {
        Step::Rename(rename) => {
            [rename.object.as_deref().filter(|_| rename.is_directory), rename.replaced.as_deref()]
        }
        Step::Event { at, mask } if mask & FAN_DELETE != 0 && mask & FAN_ONDIR != 0 => {
            let event = bytes.get(*at..).and_then(RawEvent::decode);
            [event.and_then(|(event, _)| event.object), None]
        }
        Step::Event { .. } => [None; 2],
    }
}
