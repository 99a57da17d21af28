//! Changes that were read but not yet handled, and what they say of directories ahead of their turn.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;

use libc::{FAN_DELETE, FAN_ONDIR, FAN_Q_OVERFLOW};

use crate::fanotify::normalise::{Normaliser, OwnedEntry, Step, mentioned};
use crate::sys::fanotify::{Handle, RawEvent, overflow};

use super::kernel::Kernel;

/// How often, after one read, to look where objects are that may have been renamed again.
const LOOKS: usize = 4;

/// A change, with the bytes that its events are decoded from.
#[derive(Debug)]
pub struct Taken {
    /// The change.
    pub step: Step,
    bytes: Rc<Vec<u8>>,
}

/// The changes in the order in which they happened.
#[derive(Debug, Default)]
pub struct Queue {
    normaliser: Normaliser,
    changes: VecDeque<Taken>,
    /// Directories that are renamed, replaced or deleted: the numbers of those changes.
    changing: HashMap<Box<Handle>, VecDeque<u64>>,
    /// How many changes were taken, ever.
    taken: u64,
}

impl Taken {
    /// The event that the change is of, with its bits; `None` of a rename.
    pub fn event(&self) -> Option<RawEvent<'_>> {
        self.step.event(&self.bytes)
    }

    /// The directories that are not any more where they were.
    fn changed(&self) -> [Option<&Handle>; 2] {
        match &self.step {
            Step::Rename(rename) => {
                [rename.object.as_deref().filter(|_| rename.is_directory), rename.replaced.as_deref()]
            }
            Step::Event { mask, .. } if mask & FAN_DELETE != 0 && mask & FAN_ONDIR != 0 => {
                [self.event().and_then(|event| event.object), None]
            }
            Step::Event { .. } | Step::Linked(_) => [None; 2],
        }
    }
}

impl Queue {
    /// Events of process `own` are passed over.
    pub fn new(own: i32) -> Queue {
        Queue { normaliser: Normaliser::of_filesystem(own), ..Queue::default() }
    }

    /// Appends all that the kernel has queued by now; returns the number of bytes. Where the events leave open where an
    /// object is, looks. Of what `says_nothing`, if no change before is still to be handled, nothing is kept.
    pub fn fill(
        &mut self,
        kernel: &mut impl Kernel,
        says_nothing: impl FnOnce(&[u8]) -> bool,
    ) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let mut length = kernel.read(&mut bytes)?;
        if self.is_empty() && says_nothing(&bytes) {
            return Ok(length);
        }
        let mut steps = self.normaliser.normalise(&bytes);
        for _ in 0..LOOKS {
            if self.normaliser.is_certain() {
                break;
            }
            let mut looked = self.normaliser.look(|object, (at, name)| kernel.is_at(object, at, name));
            let mut next = Vec::new();
            // An error shows again.
            length += kernel.read(&mut next).unwrap_or(0);
            // Events that were queued by then say more of the objects that they name.
            let mentioned = mentioned(&next);
            looked.renamed.retain(|(object, _)| !mentioned.contains(&**object));
            looked.linked.retain(|linked| !mentioned.contains(&*linked.file));
            self.normaliser.resolve(looked, &bytes, &mut steps);
            self.push(steps, std::mem::replace(&mut bytes, next));
            steps = self.normaliser.normalise(&bytes);
        }
        self.push(steps, bytes);
        Ok(length)
    }

    fn push(&mut self, steps: Vec<Step>, bytes: Vec<u8>) {
        let bytes = Rc::new(bytes);
        for step in steps {
            let (number, change) = (self.queued(), Taken { step, bytes: Rc::clone(&bytes) });
            for directory in change.changed().into_iter().flatten() {
                self.changing.entry(directory.into()).or_default().push_back(number);
            }
            self.changes.push_back(change);
        }
    }

    /// Appends an overflow.
    pub fn push_overflow(&mut self) {
        self.normaliser.forget();
        self.push(vec![Step::Event { at: 0, mask: FAN_Q_OVERFLOW }], overflow());
    }

    /// Takes the oldest change.
    pub fn take(&mut self) -> Option<Taken> {
        let change = self.changes.pop_front()?;
        self.taken += 1;
        for directory in change.changed().into_iter().flatten() {
            if let Some(numbers) = self.changing.get_mut(directory) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.changing.remove(directory);
                }
            }
        }
        Some(change)
    }

    /// Where a directory was before the first queued change that renames, replaces or deletes it.
    pub fn place_of(&self, directory: &Handle) -> Option<OwnedEntry> {
        let number = *self.changing.get(directory)?.front()? - self.taken;
        let change = self.changes.get(number as usize)?;
        match &change.step {
            Step::Rename(rename) if rename.object.as_deref() == Some(directory) => rename.old.clone(),
            Step::Rename(rename) => rename.new.clone(),
            Step::Event { .. } | Step::Linked(_) => {
                let entry = change.event()?.place?;
                Some((entry.directory.into(), entry.name.into()))
            }
        }
    }

    /// Whether nothing is left to take, and nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.normaliser.is_certain()
    }

    /// How many changes were taken, ever.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many were queued, ever.
    pub fn queued(&self) -> u64 {
        self.taken + self.changes.len() as u64
    }
}
