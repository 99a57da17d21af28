//! Bytes that are added at one end and taken from the other.

use std::ops::Range;

/// So much that was taken is kept, in bytes, and as much room.
const KEEP: usize = 256 * 1024;

/// Records in a row, of which those in front have been taken.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    /// Where the next to take begins.
    head: usize,
    /// How many bytes were taken and forgotten.
    forgotten: u64,
}

impl Backlog {
    /// All the bytes, those of the record taken last among them; to be added to, or to be changed from a
    /// [`mark`](Self::mark) on.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The same, to be read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is left to take.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// What is left to take of the first `end` bytes ever added.
    pub fn until(&self, end: u64) -> &[u8] {
        let end = end.saturating_sub(self.forgotten).min(self.bytes.len() as u64) as usize;
        self.bytes.get(self.head..end).unwrap_or_default()
    }

    /// Takes `size` bytes; they stay at the place that is returned until [`give_back`](Self::give_back).
    pub fn take(&mut self, size: usize) -> Range<usize> {
        let start = self.head;
        self.head += size;
        start..self.head
    }

    /// Whether nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.head == self.bytes.len()
    }

    /// How many bytes were added, ever, before those that are left to take.
    pub fn taken(&self) -> u64 {
        self.forgotten + self.head as u64
    }

    /// How many bytes were added, ever.
    pub fn queued(&self) -> u64 {
        self.forgotten + self.bytes.len() as u64
    }

    /// Where what is left to take begins, a mark like [`mark`](Self::mark).
    pub fn start(&self) -> usize {
        self.head
    }

    /// The end, as an index of [`bytes`](Self::bytes); holds until something is given back.
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was taken, so that what is filled while it is emptied stays small, and a burst's memory is
    /// returned.
    #[inline]
    pub fn give_back(&mut self) {
        if self.head > 0 && (self.is_empty() || self.head > KEEP && self.head > self.bytes.len() / 2) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.forgotten += self.head as u64;
        self.bytes.drain(..self.head);
        self.head = 0;
        self.bytes.shrink_to(KEEP);
    }
}
