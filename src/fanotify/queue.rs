//! fanotify's events that were read but not yet handled, and what they tell of objects ahead of their turn.

use std::collections::{HashMap, VecDeque};
use std::io;

use libc::{FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME};

use crate::backlog::Backlog;
use crate::sys::fanotify::{Entry, Group, Handle, RawEvent, decoded, overflow};

/// The events in the order in which they happened, in the kernel's form. A place among them is how many bytes were
/// queued before, ever.
#[derive(Debug, Default)]
pub struct Queue {
    events: Backlog,
    /// Objects that are said to be renamed, and directories said to be deleted: the places of those events.
    changing: HashMap<Box<Handle>, VecDeque<u64>>,
    /// Directories whose end is told with their creation: the place of the last event that happened to them or in
    /// them.
    brief: HashMap<Box<Handle>, u64>,
    /// The process and the place of the last rename.
    rename: Option<(i32, u64)>,
    /// Directories that are said to be deleted right behind a rename, in whose way they were: its place. No event
    /// names the entry that they were.
    overwritten: HashMap<Box<Handle>, u64>,
}

impl Queue {
    /// Appends all that the kernel has queued by now; returns the number of bytes.
    pub fn fill(&mut self, group: &Group) -> io::Result<usize> {
        let mark = self.events.mark();
        let length = group.read(self.events.bytes_mut())?;
        let mut at = self.events.queued() - length as u64;
        let mut rest = &self.events.bytes()[mark..];
        while let Some((event, length)) = RawEvent::decode(rest) {
            rest = &rest[length..];
            if let Some(object) = changed(&event) {
                self.changing.entry(object.into()).or_default().push_back(at);
            }
            if !self.brief.is_empty() {
                let places = [event.place, event.old, event.new].into_iter().flatten();
                let renamed = event.object.filter(|_| event.mask & FAN_RENAME != 0);
                for handle in places.map(|entry| entry.directory).chain(renamed) {
                    if let Some(last) = self.brief.get_mut(handle) {
                        *last = at;
                    }
                }
            }
            if event.mask & FAN_CREATE != 0 && changed_directory(&event).is_some() {
                self.brief.extend(event.object.map(|object| (object.into(), at)));
            }
            if event.mask & FAN_RENAME != 0 {
                self.rename = Some((event.pid, at));
            } else if let Some((_, rename)) = self.rename.filter(|(pid, _)| *pid == event.pid) {
                match event.place {
                    Some(Entry { directory, name: b"." }) if event.mask & FAN_DELETE_SELF != 0 => {
                        self.overwritten.insert(directory.into(), rename);
                    }
                    _ => self.rename = None,
                }
            }
            at += length as u64;
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
        if let Some(object) = changed(&decoded) {
            if let Some(places) = self.changing.get_mut(object) {
                places.pop_front();
                if places.is_empty() {
                    self.changing.remove(object);
                }
            }
        }
        event.clear();
        event.extend_from_slice(&self.events.rest()[..length]);
        self.events.take(length);
        if self.events.is_empty() {
            self.overwritten.clear();
        }
        self.events.give_back();
        true
    }

    /// The events, the oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = RawEvent<'_>> {
        decoded(self.events.rest())
    }

    /// Whether it tells of a rename of an object or, if that is a directory, of its deletion.
    pub fn is_changing(&self, object: &Handle) -> bool {
        self.changing.contains_key(object)
    }

    /// Whether it tells of a change of an entry.
    pub fn changes(&self, directory: &Handle, name: &[u8]) -> bool {
        const CHANGE: u64 = FAN_CREATE | FAN_DELETE | FAN_RENAME;
        self.waiting().any(|event| {
            let mut places = [event.place, event.old, event.new].into_iter().flatten();
            event.mask & CHANGE != 0 && places.any(|entry| entry.directory == directory && entry.name == name)
        })
    }

    /// The place of the last event that tells of a rename of an object, or of what happened in a directory, whose creation and
    /// deletion were just taken as one.
    pub fn last_of(&mut self, object: &Handle) -> Option<u64> {
        let renamed = self.changing.get(object).and_then(VecDeque::back).copied();
        self.brief.remove(object).max(renamed).filter(|last| *last >= self.taken())
    }

    /// Where a directory was before the first of the queued events that tell of its rename or deletion.
    pub fn place_of(&self, handle: &Handle) -> Option<(Box<Handle>, Vec<u8>)> {
        let event = |at: u64| {
            let at = usize::try_from(at.checked_sub(self.taken())?).ok()?;
            Some(RawEvent::decode(self.events.rest().get(at..)?)?.0)
        };
        let changed = self.changing.get(handle).and_then(|places| event(*places.front()?));
        let place = match changed {
            Some(changed) => changed.old.or(changed.place),
            None => event(*self.overwritten.get(handle)?)?.new,
        };
        place.map(|entry| (entry.directory.into(), entry.name.to_vec()))
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

/// What an event tells to be renamed; a directory also that it tells to be deleted.
fn changed<'a>(event: &RawEvent<'a>) -> Option<&'a Handle> {
    event.object.filter(|_| event.mask & FAN_RENAME != 0).or(changed_directory(event))
}

/// The directory that an event tells to be renamed or deleted.
fn changed_directory<'a>(event: &RawEvent<'a>) -> Option<&'a Handle> {
    let changes = event.mask & FAN_ONDIR != 0 && event.mask & (FAN_RENAME | FAN_DELETE) != 0;
    event.object.filter(|_| changes)
}
