//! What the programs say on stderr or in the system log. Scripts match on the reference's words:
//! those are kept to the letter.

use std::ffi::CStr;
use std::io::{self, Write};

use crate::sink::LIMIT;
use crate::source::Problem;
use crate::sys::syslog::Syslog;
use crate::sys::words;

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
/// The second one came.
pub const INTERRUPTED: &str = "Interrupted before all watches were established.";
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

/// `WHAT PATH: the system's words`.
pub fn failed(what: &str, path: &[u8], error: &io::Error) -> Vec<u8> {
    [what.as_bytes(), b" ", path, b": ", words::of(error).as_bytes()].concat()
}

/// The same, for an error to come.
pub fn failing(what: &'static str, on: &'static [u8]) -> impl FnOnce(io::Error) -> Vec<u8> {
    move |error| failed(what, on, &error)
}

/// The outfile cannot be opened; the system's words stand in a line of their own.
pub fn no_outfile(path: &[u8], error: &io::Error) -> Vec<u8> {
    [b"Failed to open output file ", path, b"\n", path, b": ", words::of(error).as_bytes()].concat()
}

/// No inotify instance can be had.
pub fn no_inotify(error: &io::Error) -> Vec<u8> {
    let mut message = format!("Couldn't initialize inotify: {}", words::of(error));
    if error.raw_os_error() == Some(libc::EMFILE) {
        message += "\nTry increasing the value of /proc/sys/fs/inotify/max_user_instances";
    }
    message.into()
}

/// The kernel lets only the administrator do that.
const NEEDS_PRIVILEGES: &str = "fanotify watch requires admin privileges";

/// There is no fanotify group.
pub fn no_fanotify(error: &io::Error) -> Vec<u8> {
    match error.raw_os_error() {
        Some(libc::EPERM) => NEEDS_PRIVILEGES.into(),
        Some(libc::EINVAL) => {
            "fanotify support for reporting the events with file names was added in kernel v5.9.".into()
        }
        Some(libc::EMFILE) => format!(
            "Couldn't initialize fanotify: {}\nTry increasing the value of /proc/sys/fs/fanotify/max_user_groups",
            words::of(error)
        )
        .into(),
        _ => format!("Couldn't initialize fanotify: {}", words::of(error)).into(),
    }
}

/// An operand cannot be watched. `what` is the tool's own word for it; `needed` counts the watches that all
/// operands need, and is called where the limit on them is the reason.
pub fn no_watch(what: &str, operand: &[u8], error: &io::Error, needed: impl FnOnce() -> usize) -> Vec<u8> {
    let Some((interface, things, limit)) = limit_of(error) else {
        let mut message = failed(what, operand, error);
        // inotify_add_watch(2) does not know it.
        if error.raw_os_error() == Some(libc::EPERM) {
            message.extend_from_slice(b"\n");
            message.extend_from_slice(NEEDS_PRIVILEGES.as_bytes());
        }
        return message;
    };
    let needed = needed();
    let path = format!("/proc/sys/fs/{interface}/{limit}");
    let present = std::fs::read_to_string(&path).ok().and_then(|limit| limit.trim().parse().ok());
    let enough = (present.unwrap_or(0) + needed).next_power_of_two();
    let advice = format!(
        "; upper limit on {interface} {things} reached!\n\
         Please increase the amount of {interface} {things} allowed per user via `{path}'.\n\
         {needed} {things} are needed; as root: sysctl -w fs.{interface}.{limit}={enough}"
    );
    [b"Failed to watch ", operand, advice.as_bytes()].concat()
}

/// The interface, its word for what is limited and the limit, where an error says that it is reached.
fn limit_of(error: &io::Error) -> Option<(&'static str, &'static str, &'static str)> {
    match error.raw_os_error() {
        _ if error.kind() != io::ErrorKind::StorageFull => None,
        Some(_) => Some(("inotify", "watches", "max_user_watches")),
        // See fanotify::refusal.
        None => Some(("fanotify", "marks", "max_user_marks")),
    }
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
            if let Some((interface, _, limit)) = limit_of(error) {
                message.extend_from_slice(format!(" (limit: /proc/sys/fs/{interface}/{limit})").as_bytes());
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
