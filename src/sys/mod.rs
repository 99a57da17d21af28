//! Every system call and every `unsafe` of the program, behind safe functions that give the
//! system's own errors. Nothing here knows what is above it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub mod descriptors;
pub mod directory;
pub mod fanotify;
pub mod file;
pub mod filesystem;
pub mod inotify;
pub mod mask;
pub mod mounts;
pub mod output;
pub mod proc;
pub mod process;
pub mod ready;
pub mod regex;
pub mod start;
pub mod status;
pub mod syslog;
pub mod terminal;
pub mod time;
pub mod timer;
pub mod times;
pub mod unread;
pub mod words;

/// What a system call that returns -1 on failure came to.
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The number of bytes that wait to be read: FIONREAD.
fn queued(fd: BorrowedFd) -> io::Result<usize> {
    let mut length: libc::c_int = 0;
    // SAFETY: `length` is writable and outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut length) })?;
    Ok(usize::try_from(length).unwrap_or(0))
}

/// The room for one read(2) of events, in bytes: some 2,000 of inotify's.
const CHUNK: usize = 64 * 1024;

/// Appends the events that a non-blocking descriptor has queued to `buffer`, until `is_last` says so of the bytes of one
/// read(2) and the room that it had. Returns the number of bytes.
fn read_queued(
    fd: BorrowedFd,
    buffer: &mut Vec<u8>,
    mut is_last: impl FnMut(&[u8], usize) -> bool,
) -> io::Result<usize> {
    let before = buffer.len();
    loop {
        buffer.reserve(CHUNK);
        let start = buffer.len();
        let room = &mut buffer.spare_capacity_mut()[..CHUNK];
        // SAFETY: the kernel writes at most `room.len()` bytes, all of which belong to `buffer`.
        let result = unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        let Ok(length) = usize::try_from(result) else {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error if error.kind() != io::ErrorKind::WouldBlock && buffer.len() == before => {
                    return Err(error);
                }
                _ => break,
            }
        };
        let room = room.len();
        // SAFETY: the kernel has written that many bytes behind those that were there.
        unsafe { buffer.set_len(start + length) };
        if is_last(&buffer[start..], room) {
            break;
        }
    }
    Ok(buffer.len() - before)
}
