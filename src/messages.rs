//! What the programs say on stderr or in the system log. Scripts match on the reference's words:
//! those are kept to the letter.

use std::ffi::CStr;
use std::io::{self, Write};

use crate::error::{Limit, failed};
use crate::sink::LIMIT;
use crate::source::Problem;
use crate::sys::syslog::Syslog;

/// Set-up begins (inotifywait).
pub const SETTING_UP: &str = "Setting up watches.";
/// The same with `-S`.
pub const SETTING_UP_FILESYSTEMS: &str = "Setting up filesystem watches.";
/// The same with `-M`.
pub const SETTING_UP_MOUNTS: &str = "Setting up mount watches.";
/// The same with `-r`.
pub const SETTING_UP_RECURSIVELY: &str =
    "Setting up watches.  Beware: since -r was given, this may take a while!";
/// Set-up is done (inotifywait): scripts wait for this line.
pub const ESTABLISHED: &str = "Watches established.";
/// What failed where a whole file system is to be watched.
pub const NO_FILESYSTEM_WATCH: &str = "Couldn't add filesystem watch";
/// The same of a mount.
pub const NO_MOUNT_WATCH: &str = "Couldn't add mount watch";
/// Set-up begins (inotifywatch).
pub const ESTABLISHING: &str = "Establishing watches...";
/// Set-up is done (inotifywatch): scripts wait for this line.
pub const COLLECTING: &str = "Finished establishing watches, now collecting statistics.";
/// A signal to end came during the set-up, and is passed over.
pub const STILL_ESTABLISHING: &str =
    "Still establishing watches, nothing has been counted yet.  A second signal ends this at once.";
/// There is no table to print.
pub const NO_EVENTS: &str = "No events occurred.";

/// Where messages go.
#[derive(Debug)]
pub struct Messages {
    log: Option<Syslog>,
    /// Errors go to stderr, too.
    stderr: bool,
}

impl Messages {
    /// To stderr.
    pub fn stderr() -> Messages {
        Messages { log: None, stderr: true }
    }

    /// To the system log; of a program that somebody still waits for (`stderr`), errors go to both.
    pub fn syslog(identity: &'static CStr, stderr: bool) -> Messages {
        Messages { log: Some(Syslog::open(identity)), stderr }
    }

    /// Whether all messages go to stderr.
    pub fn go_to_stderr(&self) -> bool {
        self.log.is_none()
    }

    /// Nobody reads stderr any more.
    pub fn leave_stderr(&mut self) {
        self.stderr = false;
    }

    /// Says how things stand.
    pub fn inform(&self, message: impl AsRef<[u8]>) {
        match &self.log {
            Some(log) => log_lines(log, message.as_ref()),
            None => print(message.as_ref()),
        }
    }

    /// Says what went wrong while the program goes on.
    pub fn problem(&self, what: &Problem, quiet: bool) {
        if let Some(message) = problem(what, quiet) {
            self.error(message);
        }
    }

    /// Says what went wrong.
    pub fn error(&self, message: impl AsRef<[u8]>) {
        if self.stderr {
            print(message.as_ref());
        }
        if let Some(log) = &self.log {
            log_lines(log, message.as_ref());
        }
    }
}

fn log_lines(log: &Syslog, message: &[u8]) {
    message.split(|byte| *byte == b'\n').for_each(|line| log.info(line));
}

fn print(message: &[u8]) {
    // One write for the whole, so that nothing comes between. Who closed stderr does not listen.
    let _ = io::stderr().write_all(&[message, b"\n"].concat());
}

/// How far the set-up is.
pub fn watched(directories: usize) -> String {
    format!("{directories} directories are watched so far")
}

/// What went wrong while the program goes on; `None` where `-q` asks for silence.
fn problem(problem: &Problem, quiet: bool) -> Option<Vec<u8>> {
    match problem {
        Problem::Directory { path, error, new: true } => {
            let mut message = failed("Couldn't watch new directory", path, error);
            if let Some(limit) = Limit::of(error) {
                message.extend_from_slice(format!(" (limit: {})", limit.path()).as_bytes());
            }
            Some(message)
        }
        Problem::Directory { path, error, new: false } => {
            (!quiet).then(|| failed("Couldn't watch", path, error))
        }
        Problem::Overflow { limit, recursive } => {
            let mut message = match limit {
                Some(limit) => {
                    format!("Events were lost: the kernel's queue was full (its length: {limit}).")
                }
                None => format!("Events were lost: {} MiB of them wait to be read.", LIMIT >> 20),
            };
            if *recursive {
                message += "  The directories are walked again.";
            }
            Some(message.into())
        }
    }
}
