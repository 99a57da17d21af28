//! Whole records on their way out: written as fast as the reader takes them, kept while it does not.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::output::{Output, PIPE_BUF};
use crate::sys::process::return_memory;

/// The most that is kept for a reader that does not read, in bytes.
pub const LIMIT: usize = 256 * 1024 * 1024;

/// A backlog of more than this is worth returning to the kernel once it is written, in bytes.
const MUCH: usize = 1024 * 1024;

/// Records for an [`Output`], in pieces of whole records of no more than PIPE_BUF bytes where they fit,
/// so that several writers on one pipe do not mix.
#[derive(Debug)]
pub struct Sink {
    output: Output,
    /// Those that are complete.
    pieces: VecDeque<Vec<u8>>,
    /// The one after them, in which records are made.
    last: Vec<u8>,
    /// How much of the first piece was written already.
    written: usize,
    /// What is kept, in bytes.
    length: usize,
    /// The most that was kept since nothing was.
    most: usize,
}

impl Sink {
    /// An empty sink.
    pub fn new(output: Output) -> Sink {
        Sink { output, pieces: VecDeque::new(), last: Vec::new(), written: 0, length: 0, most: 0 }
    }

    /// Adds the record that `record` appends to the buffer it gets.
    pub fn add(&mut self, record: impl FnOnce(&mut Vec<u8>)) {
        let before = self.last.len();
        record(&mut self.last);
        self.length += self.last.len() - before;
        if self.last.len() > PIPE_BUF && before > 0 {
            // Of just its size: a reader that stalls for long makes many of them.
            self.pieces.push_back(self.last[..before].to_vec());
            self.last.drain(..before);
        }
    }

    /// Writes what the output takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        self.most = self.most.max(self.length);
        while !self.is_empty() {
            let piece = self.pieces.front().unwrap_or(&self.last);
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
            if self.pieces.pop_front().is_none() {
                self.last.clear();
            }
        }
        if self.most > MUCH {
            self.pieces = VecDeque::new();
            return_memory();
        }
        self.most = 0;
        Ok(())
    }

    /// Whether all was written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What is kept, in bytes.
    pub fn len(&self) -> usize {
        self.length
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::Shutdown;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// A sink that writes to a pipe which nobody reads yet.
    fn stalled() -> (std::fs::File, Sink) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let sink = Sink::new(Output::shared(writer).unwrap());
        (OwnedFd::into(reader), sink)
    }

    #[test]
    fn kept_lines_occupy_little_more_than_their_text() {
        let (mut reader, mut sink) = stalled();
        let line = [b'x'; 267];
        for _ in 0..100_000 {
            sink.add(|record| record.extend_from_slice(&line));
            sink.flush().unwrap();
        }
        let held: usize = sink.pieces.iter().map(Vec::capacity).sum();
        assert!(held < sink.length + sink.length / 10, "{held} bytes for {}", sink.length);
        assert!(!sink.is_full());
        let mut read = 0;
        let mut chunk = vec![0; 64 * 1024];
        while !sink.is_empty() {
            read += reader.read(&mut chunk).unwrap();
            sink.flush().unwrap();
        }
        drop(sink);
        read += std::io::copy(&mut reader, &mut std::io::sink()).unwrap() as usize;
        assert_eq!(read, 100_000 * line.len());
    }

    #[test]
    fn the_length_is_that_of_the_unwritten_bytes_up_to_a_limit() {
        let (mut reader, mut sink) = stalled();
        assert_eq!((sink.len(), sink.is_empty(), sink.is_full()), (0, true, false));
        sink.add(|record| record.extend_from_slice(b"one\n"));
        sink.add(|record| record.extend_from_slice(b"three\n"));
        assert_eq!((sink.len(), sink.is_empty()), (10, false));
        sink.flush().unwrap();
        assert_eq!((sink.len(), sink.is_empty()), (0, true));
        sink.length = LIMIT - 1;
        assert!(!sink.is_full());
        sink.length = LIMIT;
        assert!(sink.is_full());
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\nthree\n");
    }

    #[test]
    fn unwritten_records_go_to_a_new_output() {
        let ((_old, mut sink), (new, writer)) = (stalled(), nix::unistd::pipe().unwrap());
        sink.add(|record| record.extend_from_slice(b"kept\n"));
        sink.redirect(Output::shared(writer).unwrap());
        sink.flush().unwrap();
        drop(sink);
        let mut text = String::new();
        std::fs::File::from(new).read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept\n");
    }

    #[test]
    fn an_output_that_fails_is_an_error_and_a_full_one_is_not() {
        // Shut down, a socket fails at once; a pipe only when no child of another test holds its reader any more.
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut sink = Sink::new(Output::shared(writer.into()).unwrap());
        for _ in 0..100_000 {
            sink.add(|record| record.extend_from_slice(b"line\n"));
        }
        sink.flush().unwrap();
        assert!(!sink.is_empty());
        reader.shutdown(Shutdown::Both).unwrap();
        assert_eq!(sink.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn only_a_large_backlog_is_returned_once_it_is_written() {
        for (length, is_returned) in [(MUCH - 1, false), (MUCH, false), (MUCH + 1, true)] {
            let (_reader, mut sink) = stalled();
            sink.pieces.reserve(8);
            sink.most = length;
            sink.flush().unwrap();
            assert_eq!(sink.pieces.capacity() == 0, is_returned, "{length}");
            assert_eq!(sink.most, 0);
        }
    }
}
