//! syslog(3).

use std::ffi::{CStr, CString};

/// A connection to the system log, as the facility `daemon` and with the process's pid.
#[derive(Debug)]
pub struct Syslog(());

impl Syslog {
    /// Messages carry `identity`.
    pub fn open(identity: &'static CStr) -> Syslog {
        // SAFETY: the C library keeps the pointer, which is valid for ever.
        unsafe { libc::openlog(identity.as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
        Syslog(())
    }

    /// Sends one message, at the level `info`. A log that cannot be reached is nobody's error.
    pub fn info(&self, message: &[u8]) {
        let until_nul: Vec<u8> = message.iter().copied().take_while(|byte| *byte != 0).collect();
        let Ok(message) = CString::new(until_nul) else { return };
        // SAFETY: both strings end in NUL, and `%s` takes the one that follows.
        unsafe { libc::syslog(libc::LOG_INFO, c"%s".as_ptr(), message.as_ptr()) };
    }
}
