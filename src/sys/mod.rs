//! Every system call and every `unsafe` of the program, behind safe functions that give the
//! system's own errors. Nothing here knows what is above it.

use std::io;

pub mod directory;
pub mod fanotify;
pub mod inotify;
pub mod output;
pub mod process;
pub mod regex;
pub mod syslog;
pub mod time;
pub mod words;

/// What a system call that returns -1 on failure came to.
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
