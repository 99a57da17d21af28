//! What ends a program: its exit status, and the error that it reports. An error holds the operand, the cause and
//! the limit that was reached; [`Error::message`] only writes them down.

use std::fs;
use std::io;
use std::process::ExitCode;

use crate::advice;
use crate::messages::Message;
use crate::source::Interface;
use crate::sys::words;

/// The exit status of inotifywait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// An event that was asked for arrived.
    Event = 0,
    /// Another event ended the wait, or an error.
    Other = 1,
    /// `--timeout` passed.
    Timeout = 2,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// An error that ends the program.
#[derive(Debug)]
pub enum Error {
    /// An action on an object failed: `ACTION OBJECT: cause`.
    Failed {
        /// As it is printed: `Couldn't read`.
        action: &'static str,
        /// A path, or a word for the object.
        object: Vec<u8>,
        /// The system's error.
        cause: io::Error,
    },
    /// The `--outfile` cannot be opened.
    Outfile {
        /// As given.
        path: Vec<u8>,
        /// The system's error.
        cause: io::Error,
    },
    /// No inotify instance and no fanotify group can be created.
    NoQueue {
        /// Which of the two.
        interface: Interface,
        /// The system's error.
        cause: io::Error,
    },
    /// An operand cannot be watched.
    Operand {
        /// The program's own words: `Couldn't watch`.
        action: &'static str,
        /// As given.
        operand: Vec<u8>,
        /// The system's error.
        cause: io::Error,
        /// The limit on watches, where that is the cause.
        limit: Option<Box<WatchLimit>>,
        /// What may have been meant.
        advice: Message,
    },
    /// The descriptor that `--ready` names is not open for writing.
    NotWritable(i32),
    /// `--timeout` is negative, which fanotify does not accept.
    NegativeTimeout,
    /// The process that causes an event, which this part of a format shows, is reported to root only.
    NoProcess(&'static str),
    /// A second signal arrived before all watches were established.
    Interrupted,
}

/// A kernel limit on what the watches of a user need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `inotify` or `fanotify`.
    pub interface: &'static str,
    /// The interface's word for what is limited.
    pub things: &'static str,
    /// The name of the file below /proc/sys/fs/INTERFACE.
    pub name: &'static str,
}

/// A limit that the operands exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimit {
    /// Which limit.
    pub limit: Limit,
    /// Its value, where that can be read.
    pub present: Option<usize>,
    /// The number of watches that all operands need.
    pub needed: usize,
}

/// The kernel permits this to the administrator only.
const NEEDS_PRIVILEGES: &str = "fanotify watch requires admin privileges";

/// The error of an action, for an [`io::Error`] to come.
pub fn failing(action: &'static str, object: &[u8]) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Failed { action, object: object.to_vec(), cause }
}

impl Error {
    /// An operand cannot be watched. `needed` counts the watches that all operands need; it is called only where
    /// the limit on them is the cause.
    pub fn operand(
        action: &'static str,
        operand: &[u8],
        cause: io::Error,
        needed: impl FnOnce() -> usize,
    ) -> Error {
        let limit = Limit::of(&cause)
            .map(|limit| Box::new(WatchLimit { limit, present: limit.value(), needed: needed() }));
        let advice = advice::unwatchable(operand, &cause);
        Error::Operand { action, operand: operand.to_vec(), cause, limit, advice }
    }

    /// What to print. Scripts match on the reference's words, which are kept to the letter.
    pub fn message(&self) -> Message {
        match self {
            Error::Failed { action, object, cause } => failed(action, object, cause),
            Error::Outfile { path, cause } => Message::new(&[b"Failed to open output file ", path]).line(&[
                path,
                b": ",
                words::of(cause).as_bytes(),
            ]),
            Error::NoQueue { interface: Interface::Inotify, cause } => no_inotify(cause),
            Error::NoQueue { interface: Interface::Fanotify(_), cause } => no_fanotify(cause),
            Error::Operand { operand, limit: Some(limit), .. } => limit.message(operand),
            Error::Operand { action, operand, cause, limit: None, advice } => {
                let message = failed(action, operand, cause).and(advice.clone());
                // inotify_add_watch(2) never fails with it.
                match cause.raw_os_error() {
                    Some(libc::EPERM) => message.and(NEEDS_PRIVILEGES),
                    _ => message,
                }
            }
            Error::NotWritable(number) => format!("Descriptor {number} is not open for writing.").into(),
            Error::NegativeTimeout => "Negative timeout specified - abort!".into(),
            Error::NoProcess(name) => format!("{name} requires admin privileges").into(),
            Error::Interrupted => "Interrupted before all watches were established.".into(),
        }
    }
}

impl Limit {
    /// The limit that an error says is reached.
    pub fn of(error: &io::Error) -> Option<Limit> {
        match error.raw_os_error() {
            _ if error.kind() != io::ErrorKind::StorageFull => None,
            Some(_) => Some(Limit { interface: "inotify", things: "watches", name: "max_user_watches" }),
            // See fanotify::refusal.
            None => Some(Limit { interface: "fanotify", things: "marks", name: "max_user_marks" }),
        }
    }

    /// The file that holds its value.
    pub fn path(&self) -> String {
        format!("/proc/sys/fs/{}/{}", self.interface, self.name)
    }

    fn value(&self) -> Option<usize> {
        fs::read_to_string(self.path()).ok()?.trim().parse().ok()
    }
}

impl WatchLimit {
    fn message(&self, operand: &[u8]) -> Message {
        let WatchLimit { limit: Limit { interface, things, name }, present, needed } = self;
        let path = self.limit.path();
        let enough = (present.unwrap_or(0) + needed).next_power_of_two();
        let reached = format!("; upper limit on {interface} {things} reached!");
        let message = Message::new(&[b"Failed to watch ", operand, reached.as_bytes()])
            .and(format!("Please increase the amount of {interface} {things} allowed per user via `{path}'."))
            .and(format!(
                "This requires {needed} {things}. To raise the limit, run as root: sysctl -w fs.{interface}.{name}={enough}"
            ));
        if *interface == "inotify" { message.and(WHO) } else { message }
    }
}

/// Where inotify's limits are the cause.
const WHO: &str = "To see which processes use them, run: inotifywatch --limits";

/// `ACTION PATH: the system's words`.
pub fn failed(action: &str, path: &[u8], cause: &io::Error) -> Message {
    Message::new(&[action.as_bytes(), b" ", path, b": ", words::of(cause).as_bytes()])
}

fn no_inotify(cause: &io::Error) -> Message {
    let message = Message::from(format!("Couldn't initialize inotify: {}", words::of(cause)));
    match cause.raw_os_error() {
        Some(libc::EMFILE) => {
            message.and("Try increasing the value of /proc/sys/fs/inotify/max_user_instances").and(WHO)
        }
        _ => message,
    }
}

fn no_fanotify(cause: &io::Error) -> Message {
    let failed = Message::from(format!("Couldn't initialize fanotify: {}", words::of(cause)));
    match cause.raw_os_error() {
        Some(libc::EPERM) => NEEDS_PRIVILEGES.into(),
        Some(libc::EINVAL) => {
            "fanotify support for reporting the events with file names was added in kernel v5.9.".into()
        }
        Some(libc::EMFILE) => failed.and("Try increasing the value of /proc/sys/fs/fanotify/max_user_groups"),
        _ => failed,
    }
}
