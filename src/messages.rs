//! What the programs say on stderr or in the system log. Scripts match on the reference's words:
//! those are kept to the letter.

use std::ffi::CStr;
use std::io::{self, Write};

use crate::error::{Limit, Setting, failed};
use crate::escape::escape;
use crate::ignore::BadLine;
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
    "Still establishing watches; nothing has been counted yet.  A second signal exits at once.";
/// There is no table to print.
pub const NO_EVENTS: &str = "No events occurred.";

/// What a program has to say: lines in which control characters are escaped, so that no name or argument can look
/// like a line of its own or act on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message(Vec<Vec<u8>>);

impl Message {
    /// A line of these parts, which may hold any bytes.
    pub fn new(parts: &[&[u8]]) -> Message {
        Message::default().line(parts)
    }

    /// One more line.
    pub fn line(mut self, parts: &[&[u8]]) -> Message {
        self.0.push(escape(&parts.concat()).into_owned());
        self
    }

    /// The lines of another message after these.
    pub fn and(mut self, more: impl Into<Message>) -> Message {
        self.0.extend(more.into().0);
        self
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines, without newlines.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The lines, each with a newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect()
    }

    /// Writes it to stderr at once, so that nothing comes between its lines.
    pub fn print(&self) {
        // If stderr is closed, nobody listens.
        let _ = io::stderr().write_all(&self.to_bytes());
    }
}

/// The program's own words, perhaps several lines.
impl From<&'static str> for Message {
    fn from(text: &'static str) -> Message {
        text.lines().fold(Message::default(), |message, line| message.line(&[line.as_bytes()]))
    }
}

/// A single line: the text may hold a name.
impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::new(&[text.as_bytes()])
    }
}

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
    pub fn inform(&self, message: impl Into<Message>) {
        match &self.log {
            Some(log) => write_to_log(log, &message.into()),
            None => message.into().print(),
        }
    }

    /// Says what went wrong while the program goes on.
    pub fn problem(&self, what: &Problem, quiet: bool) {
        if let Some(message) = problem(what, quiet) {
            self.error(message);
        }
    }

    /// Says what went wrong.
    pub fn error(&self, message: impl Into<Message>) {
        let message = message.into();
        if self.stderr {
            message.print();
        }
        if let Some(log) = &self.log {
            write_to_log(log, &message);
        }
    }
}

fn write_to_log(log: &Syslog, message: &Message) {
    message.0.iter().for_each(|line| log.info(line));
}

/// How far the set-up is.
pub fn watched(directories: usize) -> String {
    format!("Watching {directories} directories...")
}

/// The disk that holds the outfile of a daemon is full.
pub fn no_room(outfile: &[u8], cause: &io::Error) -> Message {
    let advice =
        format!("Up to {} MiB of events are kept, and written as soon as there is space.", LIMIT >> 20);
    failed("Couldn't write to", outfile, cause).line(&[advice.as_bytes()])
}

/// A line of a file is no pattern.
pub fn invalid_pattern(bad: &BadLine) -> Message {
    Message::new(&[&bad.file, b":", bad.number.to_string().as_bytes(), b": invalid pattern"])
}

/// What went wrong while the program goes on; `None` where `-q` asks for silence.
pub fn problem(problem: &Problem, quiet: bool) -> Option<Message> {
    match problem {
        Problem::Directory { path, error, new: true } => {
            Some(Message::new(&[b"Couldn't watch new directory ", path, b": ", limited(error).as_bytes()]))
        }
        Problem::Directory { path, error, new: false } => {
            (!quiet).then(|| Message::new(&[b"Couldn't watch ", path, b": ", limited(error).as_bytes()]))
        }
        Problem::Absent { path, error } => {
            (!quiet).then(|| Message::new(&[b"Waiting for ", path, b": ", words::of(error).as_bytes()]))
        }
        Problem::Blocked { path, cause } => {
            Some(Message::new(&[b"Couldn't watch ", path, b": ", limited(cause).as_bytes()]))
        }
        Problem::Pattern(bad) => (!quiet).then(|| invalid_pattern(bad)),
        Problem::Overflow { limit, rescan } => {
            let mut message = match limit {
                Some(limit) => {
                    format!("Events were lost: the kernel's queue was full (limit: {limit}).")
                }
                None => format!("Events were lost: {} MiB of output have not been read.", LIMIT >> 20),
            };
            if *rescan {
                message += "  Scanning the directories again.";
            }
            let message = Message::from(message);
            let message = match rescan {
                true => message.and("Deleted files, and the old names of renamed ones, cannot be reported."),
                false => message,
            };
            Some(match limit {
                // A queue keeps the length with which it was made.
                Some(limit) => {
                    let command = Setting::at(limit).command(1);
                    message.and(format!("For a longer queue from the next start on, run as root: {command}"))
                }
                None => message.and("The program that reads the events is too slow."),
            })
        }
    }
}

/// The system's words for an error, and the limit that it says is reached.
fn limited(error: &io::Error) -> String {
    let limit = match (Limit::of(error), error.raw_os_error()) {
        (Some(limit), _) => format!(" (limit: {})", limit.setting().path()),
        (None, Some(libc::EMFILE)) => " (limit: ulimit -n)".to_owned(),
        _ => String::new(),
    };
    words::of(error) + &limit
}
