//! fanotify's events that were read but not yet handled, and what they tell of directories ahead of their turn.

use std::collections::HashMap;
use std::io;

use libc::{FAN_DELETE, FAN_ONDIR, FAN_RENAME};

use crate::backlog::Backlog;
use crate::sys::fanotify::{Group, Handle, RawEvent, decoded, overflow};

/// The events in the order in which they happened, in the kernel's form.
#[derive(Debug, Default)]
pub struct Queue {
    events: Backlog,
    /// Directories that are said to be renamed or deleted, and how often.
    changing: HashMap<Box<Handle>, u32>,
}

impl Queue {
    /// Appends all that the kernel has queued by now; returns the number of bytes.
    pub fn fill(&mut self, group: &Group) -> io::Result<usize> {
        let mark = self.events.mark();
        let length = group.read(self.events.bytes_mut())?;
        for event in decoded(&self.events.bytes()[mark..]) {
            if let Some(object) = changed_directory(&event) {
                *self.changing.entry(object.into()).or_default() += 1;
            }
        }
        Ok(length)
    }

    /// Appends an event that tells of an overflow.
    pub fn push_overflow(&mut self) {
        self.events.bytes_mut().extend_from_slice(&overflow());
    }

    /// Takes the oldest event, into `event`; `false` if there is none.
    pub fn take(&mut self, event: &mut Vec<u8>) -> bool {
        let Some((decoded, length)) = RawEvent::decode(self.events.rest()) else { return false };
        if let Some(object) = changed_directory(&decoded) {
            if let Some(count) = self.changing.get_mut(object) {
                *count -= 1;
                if *count == 0 {
                    self.changing.remove(object);
                }
            }
        }
        event.clear();
        event.extend_from_slice(&self.events.rest()[..length]);
        self.events.take(length);
        self.events.give_back();
        true
    }

    /// Where a directory was before the first of the queued events that tell of its rename or deletion.
    pub fn place_of(&self, handle: &Handle) -> Option<(Box<Handle>, Vec<u8>)> {
        if !self.changing.contains_key(handle) {
            return None;
        }
        let event = decoded(self.events.rest()).find(|event| changed_directory(event) == Some(handle))?;
        event.old.or(event.place).map(|entry| (entry.directory.into(), entry.name.to_vec()))
    }

    /// Whether nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many bytes of events were queued, ever, before those that are left to take.
    pub fn taken(&self) -> u64 {
        self.events.taken()
    }

    /// How many bytes of events were queued, ever.
    pub fn queued(&self) -> u64 {
        self.events.queued()
    }
}

/// The directory that an event tells to be renamed or deleted.
fn changed_directory<'a>(event: &RawEvent<'a>) -> Option<&'a Handle> {
    let changes = event.mask & FAN_ONDIR != 0 && event.mask & (FAN_RENAME | FAN_DELETE) != 0;
    event.object.filter(|_| changes)
}
