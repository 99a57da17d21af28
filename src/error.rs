//! What ends a program: its exit status, and the error that it reports. An error holds the operand, the cause and
//! the limit that was reached; [`Error::message`] only writes them down.

use std::io;

use crate::advice;
use crate::messages::Message;
use crate::source::Interface;
use crate::sys::{descriptors, file, words};

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

impl From<ExitStatus> for u8 {
    fn from(status: ExitStatus) -> u8 {
        status as u8
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
        /// The limit that is reached, where that is the cause.
        limit: Option<Box<QueueLimit>>,
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

/// A kernel limit of a user, in all programs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `inotify` or `fanotify`.
    pub interface: &'static str,
    /// The interface's word for what is limited.
    pub things: &'static str,
}

/// A limit's name, as sysctl(8) knows it, and its value, where that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `fs.inotify.max_user_watches`
    pub name: String,
    /// Its value.
    pub value: Option<usize>,
}

/// A limit that the operands exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchLimit {
    /// Which limit.
    pub limit: Limit,
    /// Where to raise it.
    pub setting: Setting,
    /// The number of watches that all operands need.
    pub needed: usize,
}

/// The limit that is reached where no queue can be had (EMFILE).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueLimit {
    /// The open files of this process.
    Files(u64),
    /// The instances or groups of the user.
    Queues(Limit, Setting),
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
        interface: Interface,
        needed: impl FnOnce() -> usize,
    ) -> Error {
        let limit = Limit::of(&cause)
            .map(|limit| Box::new(WatchLimit { limit, setting: limit.setting(), needed: needed() }));
        let mut advice = advice::unwatchable(operand, &cause);
        // From inotify_add_watch(2) it is the word of a system call filter.
        if interface != Interface::Inotify && cause.raw_os_error() == Some(libc::EPERM) {
            advice = advice.and(NEEDS_PRIVILEGES);
        }
        Error::Operand { action, operand: operand.to_vec(), cause, limit, advice }
    }

    /// No inotify instance or fanotify group can be had.
    pub fn no_queue(interface: Interface, cause: io::Error) -> Error {
        // With fanotify, what was opened until it failed is closed again.
        let (queues, files) = match interface {
            Interface::Inotify => (INSTANCES, 1),
            Interface::Fanotify(_) => (GROUPS, 3),
        };
        let limit =
            (cause.raw_os_error() == Some(libc::EMFILE)).then(|| match descriptors::exhausted(files) {
                Some(files) => Box::new(QueueLimit::Files(files)),
                None => Box::new(QueueLimit::Queues(queues, queues.setting())),
            });
        Error::NoQueue { interface, cause, limit }
    }

    /// What to print. Scripts match on the reference's words, which are kept to the letter.
    pub fn message(&self) -> Message {
        match self {
            Error::Failed { action, object, cause } => {
                failed(action, object, cause).and(too_many_files(cause))
            }
            Error::Outfile { path, cause } => Message::new(&[b"Failed to open output file ", path])
                .line(&[path, b": ", words::of(cause).as_bytes()])
                .and(too_many_files(cause)),
            Error::NoQueue { interface, cause, limit } => no_queue(*interface, cause, limit.as_deref()),
            Error::Operand { operand, limit: Some(limit), .. } => limit.message(operand),
            Error::Operand { action, operand, cause, limit: None, advice } => {
                failed(action, operand, cause).and(advice.clone()).and(too_many_files(cause))
            }
            Error::NotWritable(number) => format!("Descriptor {number} is not open for writing.").into(),
            Error::NegativeTimeout => "Negative timeout specified - abort!".into(),
            Error::NoProcess(name) => format!("{name} requires admin privileges").into(),
            Error::Interrupted => "Interrupted before all watches were established.".into(),
        }
    }
}

const WATCHES: Limit = Limit { interface: "inotify", things: "watches" };
const INSTANCES: Limit = Limit { interface: "inotify", things: "instances" };
const MARKS: Limit = Limit { interface: "fanotify", things: "marks" };
const GROUPS: Limit = Limit { interface: "fanotify", things: "groups" };

impl Limit {
    /// The limit that an error says is reached.
    pub fn of(error: &io::Error) -> Option<Limit> {
        match error.raw_os_error() {
            _ if error.kind() != io::ErrorKind::StorageFull => None,
            Some(_) => Some(WATCHES),
            // See fanotify::refusal.
            None => Some(MARKS),
        }
    }

    /// Its name, as sysctl(8) knows it.
    fn name(&self) -> String {
        format!("fs.{}.max_user_{}", self.interface, self.things)
    }

    /// The file that holds its value.
    pub fn path(&self) -> String {
        Setting::path_of(&self.name())
    }

    /// Where to raise it: a user namespace may have a lower limit of its own.
    pub fn setting(&self) -> Setting {
        let system = Setting::read(self.name());
        let namespace = Setting::read(format!("user.max_{}_{}", self.interface, self.things));
        match (system.value, namespace.value) {
            (Some(all), Some(here)) if here < all => namespace,
            _ => system,
        }
    }
}

impl Setting {
    /// The setting of this name.
    pub fn read(name: String) -> Setting {
        let value =
            file::read(Setting::path_of(&name).as_bytes()).ok().and_then(|text| String::from_utf8(text).ok());
        Setting { value: value.and_then(|value| value.trim().parse().ok()), name }
    }

    /// The setting that this file holds.
    pub fn at(path: &str) -> Setting {
        Setting::read(path.trim_start_matches("/proc/sys/").replace('/', "."))
    }

    fn path_of(name: &str) -> String {
        format!("/proc/sys/{}", name.replace('.', "/"))
    }

    /// The file that holds its value.
    pub fn path(&self) -> String {
        Setting::path_of(&self.name)
    }

    /// The command that makes room for so much more.
    pub fn command(&self, more: usize) -> String {
        let enough = self.value.unwrap_or(0).saturating_add(more).next_power_of_two();
        format!("sysctl -w {}={enough}", self.name)
    }

    fn raised_by(&self, more: usize) -> String {
        let root = if self.name.starts_with("user.") { "root of this user namespace" } else { "root" };
        format!("To raise the limit, run as {root}: {}", self.command(more))
    }
}

impl WatchLimit {
    fn message(&self, operand: &[u8]) -> Message {
        let WatchLimit { limit, setting, needed } = self;
        let Limit { interface, things, .. } = limit;
        let path = limit.path();
        let reached = format!("; upper limit on {interface} {things} reached!");
        let message = Message::new(&[b"Failed to watch ", operand, reached.as_bytes()])
            .and(format!("Please increase the amount of {interface} {things} allowed per user via `{path}'."))
            .and(format!("Required {things}: {needed}. {}", setting.raised_by(*needed)));
        if *interface == "inotify" { message.and(WHO) } else { message }
    }
}

/// Where inotify's limits are the cause.
const WHO: &str = "To see which processes use them, run: inotifywatch --limits";

/// `ACTION PATH: the system's words`.
pub fn failed(action: &str, path: &[u8], cause: &io::Error) -> Message {
    Message::new(&[action.as_bytes(), b" ", path, b": ", words::of(cause).as_bytes()])
}

/// Where to look if no more files can be opened.
fn too_many_files(cause: &io::Error) -> Message {
    match cause.raw_os_error() {
        Some(libc::EMFILE) => "The limit on open files is reached. To raise it: ulimit -n".into(),
        _ => Message::default(),
    }
}

fn no_queue(interface: Interface, cause: &io::Error, limit: Option<&QueueLimit>) -> Message {
    let name = if interface == Interface::Inotify { "inotify" } else { "fanotify" };
    let failed = Message::from(format!("Couldn't initialize {name}: {}", words::of(cause)));
    match (limit, cause.raw_os_error()) {
        (Some(QueueLimit::Files(limit)), _) => {
            let enough = limit.saturating_mul(2);
            failed.and(format!("The limit on open files is {limit}. To raise it: ulimit -n {enough}"))
        }
        (Some(QueueLimit::Queues(limit, setting)), _) => {
            let message = failed.and(format!("Try increasing the value of {}", limit.path()));
            let message = match setting.path() == limit.path() {
                true => message,
                false => message.and(setting.raised_by(1)),
            };
            if limit.interface == "inotify" { message.and(WHO) } else { message }
        }
        // Also as root, where the system call filter of a container forbids it.
        (None, Some(libc::EPERM)) if name == "fanotify" => failed.and(NEEDS_PRIVILEGES),
        (None, Some(libc::EINVAL)) if name == "fanotify" => {
            "fanotify support for reporting the events with file names was added in kernel v5.9.".into()
        }
        _ => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Scope;

    fn said(interface: Interface, number: i32) -> String {
        let cause = io::Error::from_raw_os_error(number);
        String::from_utf8(Error::no_queue(interface, cause).message().to_bytes()).unwrap()
    }

    #[test]
    fn an_operand_that_is_refused_shows_the_likely_reason() {
        let said_with = |interface, number| {
            let cause = io::Error::from_raw_os_error(number);
            let unneeded = || unreachable!("no limit is reached");
            let error = Error::operand("Couldn't watch", b"d", cause, interface, unneeded);
            String::from_utf8(error.message().to_bytes()).unwrap()
        };
        assert_eq!(
            said_with(Interface::Fanotify(Scope::Paths), libc::EPERM),
            "Couldn't watch d: Operation not permitted\nfanotify watch requires admin privileges\n"
        );
        let said = |number| said_with(Interface::Inotify, number);
        assert_eq!(said(libc::EPERM), "Couldn't watch d: Operation not permitted\n");
        assert_eq!(said(libc::EACCES), "Couldn't watch d: Permission denied\n");
        assert_eq!(
            said(libc::EMFILE),
            "Couldn't watch d: Too many open files\nThe limit on open files is reached. To raise it: ulimit -n\n"
        );
    }

    /// Also as root, where a filter of system calls forbids it.
    #[test]
    fn a_refusal_is_shown_before_its_likely_reason() {
        let fanotify = Interface::Fanotify(Scope::Paths);
        assert_eq!(
            said(fanotify, libc::EPERM),
            "Couldn't initialize fanotify: Operation not permitted\nfanotify watch requires admin privileges\n"
        );
        assert!(said(fanotify, libc::EINVAL).starts_with("fanotify support for reporting"));
        assert_eq!(said(fanotify, libc::ENOSYS), "Couldn't initialize fanotify: Function not implemented\n");
        assert_eq!(
            said(Interface::Inotify, libc::EPERM),
            "Couldn't initialize inotify: Operation not permitted\n"
        );
    }
}
