//! inotify(7): the instance, its watches and the decoder of what read(2) returns.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use memchr::memchr;

use crate::sys::mask::Mask;
use crate::sys::{check, queued, read_queued};

/// The length in bytes of an event's fixed part: `struct inotify_event` without its name.
pub const HEADER: usize = 16;

/// The longest an event can be, in bytes: the fixed part, NAME_MAX and a NUL (inotify(7)).
const LONGEST: usize = HEADER + 255 + 1;

/// A watch descriptor: inotify(7) numbers the watches of an instance from 1, and does not use a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wd(pub i32);

impl Wd {
    /// No watch: an overflow of the queue is reported so.
    pub const NONE: Wd = Wd(-1);
}

impl fmt::Display for Wd {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event as the kernel wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// The watch; [`Wd::NONE`] for a queue overflow.
    pub wd: Wd,
    /// What happened; unknown bits are kept.
    pub mask: Mask,
    /// The number that the two halves of a rename share, else 0.
    pub cookie: u32,
    /// The entry's name without the kernel's NUL padding; empty for the watched object itself.
    pub name: &'a [u8],
}

impl<'a> RawEvent<'a> {
    /// Decodes the first event of `bytes`; returns it and the number of bytes it takes.
    ///
    /// `None` where `bytes` does not hold a whole event. Safe on any input.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Option<(RawEvent<'a>, usize)> {
        let (wd, mask, size) = Self::peek(bytes)?;
        let cookie = u32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let padded = &bytes[HEADER..size];
        let name = memchr(0, padded).map_or(padded, |end| &padded[..end]);
        Some((RawEvent { wd, mask, cookie, name }, size))
    }

    /// What [`decode`](Self::decode) tells but the name: the watch descriptor, the mask and the number of bytes.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Option<(Wd, Mask, usize)> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let padded = rest.get(..usize::try_from(u32::from_ne_bytes(word(12))).ok()?)?;
        let mask = Mask::of(u32::from_ne_bytes(word(4)));
        Some((Wd(i32::from_ne_bytes(word(0))), mask, HEADER + padded.len()))
    }

    /// Appends the event to `bytes` in the kernel's form; [`decode`](Self::decode) undoes it.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.wd.0.to_ne_bytes());
        bytes.extend_from_slice(&self.mask.bits().to_ne_bytes());
        bytes.extend_from_slice(&self.cookie.to_ne_bytes());
        // A directory entry is at most NAME_MAX bytes, far below u32.
        bytes.extend_from_slice(&(self.name.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(self.name);
    }
}

/// An inotify instance; its descriptor is non-blocking and close-on-exec.
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

impl Inotify {
    /// inotify_init1(2). EMFILE means the limit max_user_instances, or that on descriptors.
    pub fn new() -> io::Result<Inotify> {
        // SAFETY: takes flags only and returns a new descriptor or -1.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })?;
        // SAFETY: the descriptor was just returned to us and has no other owner.
        Ok(Inotify { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// inotify_add_watch(2): returns the watch descriptor, which is the old one where the object
    /// is watched already. ENOSPC means the limit max_user_watches.
    pub fn add_watch(&self, path: &CStr, mask: Mask) -> io::Result<Wd> {
        // SAFETY: `path` is NUL-terminated and outlives the call.
        check(unsafe { libc::inotify_add_watch(self.fd.as_raw_fd(), path.as_ptr(), mask.bits()) }).map(Wd)
    }

    /// inotify_rm_watch(2): the kernel queues IN_IGNORED for it.
    pub fn rm_watch(&self, wd: Wd) -> io::Result<()> {
        // SAFETY: takes two integers.
        check(unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), wd.0) }).map(drop)
    }

    /// Appends what is queued now to `buffer`; returns the number of bytes, 0 where nothing was queued. Never
    /// blocks.
    ///
    /// If the first read(2) finds more than it has room for, what is queued then is all that is read besides: a busy writer
    /// could go on for ever.
    pub fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut left = None;
        read_queued(self.fd.as_fd(), buffer, |read, room| {
            // Where another event would have fitted there was none.
            if read.len() + LONGEST <= room {
                return true;
            }
            let rest = match left {
                None => queued(self.fd.as_fd()).unwrap_or(0),
                Some(left) => usize::saturating_sub(left, read.len()),
            };
            left = Some(rest);
            rest == 0
        })
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
