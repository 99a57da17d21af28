//! Events that were read from the kernel and wait to be handled, and what can be told ahead from them.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use libc::{
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
};

use crate::event::Mask;
use crate::sys::inotify::{HEADER, Inotify, RawEvent};

/// An event taken from a [`Queue`]; its name stays in the queue until the next one is taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The watch descriptor.
    pub wd: i32,
    /// What happened.
    pub mask: Mask,
    /// The number that the two halves of a rename share.
    pub cookie: u32,
    name: Range<usize>,
}

/// Events in the order in which they happened.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    /// Where the next event to take begins.
    head: usize,
    /// How many bytes were taken and forgotten.
    forgotten: u64,
    /// Directories that are said to come or go, by the watch and name of their place, and how often.
    changing: HashMap<(i32, Box<[u8]>), u32>,
    /// Watches whose own place is said to end, by a rename or a deletion, and how often.
    moving: HashMap<i32, u32>,
}

impl Queue {
    /// Appends all that the kernel has queued by now; returns the number of bytes.
    pub fn fill(&mut self, inotify: &Inotify) -> io::Result<usize> {
        let mut at = self.bytes.len();
        let length = inotify.read(&mut self.bytes)?;
        while let Some((event, size)) = RawEvent::decode(&self.bytes[at..]) {
            at += size;
            if is_change(event.mask) {
                *self.changing.entry((event.wd, event.name.into())).or_default() += 1;
            } else if event.mask & ENDS != 0 {
                *self.moving.entry(event.wd).or_default() += 1;
            }
        }
        Ok(length)
    }

    /// Appends an event of our own making.
    pub fn push(&mut self, event: &RawEvent) {
        event.encode(&mut self.bytes);
    }

    /// Takes the oldest event.
    pub fn take(&mut self) -> Option<Taken> {
        self.give_back();
        let (event, size) = RawEvent::decode(&self.bytes[self.head..])?;
        let name_at = self.head + HEADER;
        let taken = Taken {
            wd: event.wd,
            mask: event.mask,
            cookie: event.cookie,
            name: name_at..name_at + event.name.len(),
        };
        if is_change(taken.mask) {
            count_down(&mut self.changing, &(event.wd, event.name.into()));
        }
        if taken.mask & ENDS != 0 {
            count_down(&mut self.moving, &event.wd);
        }
        self.head += size;
        Some(taken)
    }

    /// The entry's name of the event taken last.
    pub fn name(&self, taken: &Taken) -> &[u8] {
        &self.bytes[taken.name.clone()]
    }

    /// Whether nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.head == self.bytes.len()
    }

    /// Whether a queued event says that the directory `name` of the directory `wd` goes, or that another comes
    /// in its place: a rename over an empty directory tells of no going.
    pub fn changes(&self, wd: i32, name: &[u8]) -> bool {
        !self.changing.is_empty() && self.changing.contains_key(&(wd, name.into()))
    }

    /// Whether a queued event says that the watched directory `wd` itself was renamed or deleted.
    pub fn moves(&self, wd: i32) -> bool {
        self.moving.contains_key(&wd)
    }

    /// Whether [`moves`](Self::moves) is true of any.
    pub fn any_moves(&self) -> bool {
        !self.moving.is_empty()
    }

    /// How many bytes of events had been queued, ever, before those that are left to take.
    pub fn taken(&self) -> u64 {
        self.forgotten + self.head as u64
    }

    /// How many bytes of events have been queued, ever.
    pub fn queued(&self) -> u64 {
        self.forgotten + self.bytes.len() as u64
    }

    /// The beginning of what is left to take, a mark like [`mark`](Self::mark).
    pub fn start(&self) -> usize {
        self.head
    }

    /// The end of the queue, for [`since`](Self::since) and [`drop_since`](Self::drop_since); holds until
    /// the next event is taken.
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// The events from a mark on.
    pub fn since(&self, mark: usize) -> impl Iterator<Item = RawEvent<'_>> {
        let mut rest = &self.bytes[mark..];
        std::iter::from_fn(move || {
            let (event, size) = RawEvent::decode(rest)?;
            rest = &rest[size..];
            Some(event)
        })
    }

    /// Drops those events from a mark on for which `unwanted` says so.
    ///
    /// For kinds of events that [`changes`](Self::changes) and [`moves`](Self::moves) do not tell about.
    pub fn drop_since(&mut self, mark: usize, unwanted: impl Fn(&RawEvent) -> bool) {
        let (mut from, mut to) = (mark, mark);
        while let Some((event, size)) = RawEvent::decode(&self.bytes[from..]) {
            if !unwanted(&event) {
                self.bytes.copy_within(from..from + size, to);
                to += size;
            }
            from += size;
        }
        self.bytes.truncate(to);
    }

    /// Forgets what was taken, so that a queue that is filled while it is emptied stays small, and a
    /// burst's memory is returned.
    fn give_back(&mut self) {
        const KEEP: usize = 256 * 1024;
        if self.is_empty() || self.head > KEEP && self.head > self.bytes.len() / 2 {
            self.forgotten += self.head as u64;
            self.bytes.drain(..self.head);
            self.head = 0;
            self.bytes.shrink_to(KEEP);
        }
    }
}

/// The place of a watched directory ends.
const ENDS: Mask = IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED;

/// Whether a directory comes or goes.
fn is_change(mask: Mask) -> bool {
    mask & IN_ISDIR != 0 && mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) != 0
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
