//! The limit on open files: RLIMIT_NOFILE of getrlimit(2).

use std::io;
use std::os::fd::AsFd;

/// The limit on open files, if fewer than `files` more can be opened.
pub fn exhausted(files: usize) -> Option<u64> {
    if room(files) == files {
        return None;
    }
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    let result = unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, &mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}

/// How many more files can be opened, counted up to `most`.
pub fn room(most: usize) -> usize {
    let stderr = io::stderr();
    let opened: Vec<_> = (0..most).map_while(|_| stderr.as_fd().try_clone_to_owned().ok()).collect();
    opened.len()
}
