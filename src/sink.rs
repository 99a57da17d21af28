//! Whole records on their way out: written as fast as the reader takes them, kept while it does not.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::output::{Output, PIPE_BUF};

/// The most that is kept for a reader that does not read, in bytes.
const LIMIT: usize = 256 * 1024 * 1024;

/// Records for an [`Output`], in pieces of whole records of no more than PIPE_BUF bytes where they fit,
/// so that several writers on one pipe do not mix.
#[derive(Debug)]
pub struct Sink {
    output: Output,
    pieces: VecDeque<Vec<u8>>,
    /// How much of the first piece was written already.
    written: usize,
    /// What is kept, in bytes.
    length: usize,
}

impl Sink {
    /// An empty sink.
    pub fn new(output: Output) -> Sink {
        Sink { output, pieces: VecDeque::new(), written: 0, length: 0 }
    }

    /// Adds the record that `record` appends to the buffer it gets.
    pub fn add(&mut self, record: impl FnOnce(&mut Vec<u8>)) {
        if self.pieces.is_empty() {
            self.pieces.push_back(Vec::with_capacity(PIPE_BUF));
        }
        let Some(piece) = self.pieces.back_mut() else { return };
        let before = piece.len();
        record(piece);
        self.length += piece.len() - before;
        if piece.len() > PIPE_BUF && before > 0 {
            let mut next = Vec::with_capacity(PIPE_BUF.max(piece.len() - before));
            next.extend_from_slice(&piece[before..]);
            piece.truncate(before);
            self.pieces.push_back(next);
        }
    }

    /// Writes what the output takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(piece) = self.pieces.front() {
            while self.written < piece.len() {
                match self.output.write(&piece[self.written..]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(length) => {
                        self.written += length;
                        self.length -= length;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            self.written = 0;
            self.pieces.pop_front();
        }
        Ok(())
    }

    /// Whether all was written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether nothing more should be added until something was written.
    pub fn is_full(&self) -> bool {
        self.length >= LIMIT
    }

    /// Puts another output in the place of this one, which is closed; what is kept goes there.
    pub fn redirect(&mut self, output: Output) {
        self.output = output;
    }

    /// Where it goes.
    pub fn output(&self) -> &Output {
        &self.output
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}
