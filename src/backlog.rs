//! Bytes that are added at one end and taken from the other.

use std::ops::Range;

/// So much that was taken is kept, in bytes, and as much room.
const KEEP: usize = 256 * 1024;

/// A position in all the bytes that were ever added: how many came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position(u64);

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
    /// All the bytes, those of the record taken last among them; to be added to, or to be changed from the [`index`](Self::index) of a
    /// position on.
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

    /// What is left to take before a position.
    pub fn until(&self, end: Position) -> &[u8] {
        self.bytes.get(self.head..self.index(end)).unwrap_or_default()
    }

    /// What was added from a position on, if it has not been forgotten.
    pub fn since(&self, position: Position) -> &[u8] {
        &self.bytes[self.index(position)..]
    }

    /// Where a position is in [`bytes`](Self::bytes).
    pub fn index(&self, position: Position) -> usize {
        position.0.saturating_sub(self.forgotten).min(self.bytes.len() as u64) as usize
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

    /// Where what is left to take begins.
    pub fn start(&self) -> Position {
        Position(self.forgotten + self.head as u64)
    }

    /// Where what is added next will be.
    pub fn end(&self) -> Position {
        Position(self.forgotten + self.bytes.len() as u64)
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
