//! `--until`: waits until all paths exist, or none does.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use crate::advice::surprises;
use crate::cli::WaitOptions;
use crate::error::{Error, ExitStatus, failing};
use crate::messages::{self, Message, Messages};
use crate::ready::Ready;
use crate::setup::{self, SetUp};
use crate::source::{Item, Problem, Settings, Source};
use crate::sys::directory;
use crate::sys::mask::Mask;
use crate::sys::process;
use crate::sys::status::Status;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// stat(2) succeeds for every path.
    Exists,
    /// Nothing is at any path.
    Gone,
}

impl Condition {
    /// The value of `--until`.
    pub fn parse(text: &[u8]) -> Option<Condition> {
        match text {
            b"exists" => Some(Condition::Exists),
            b"gone" => Some(Condition::Gone),
            _ => None,
        }
    }

    /// Whether it is true of all paths now. `follow`: a symbolic link counts as its target.
    pub fn holds(self, paths: &[Vec<u8>], follow: bool) -> bool {
        paths.iter().all(|path| self.holds_of(directory::with_path(path, |path| Status::at(path, follow))))
    }

    fn holds_of(self, status: io::Result<Status>) -> bool {
        let error = status.map_err(|error| error.raw_os_error());
        match self {
            Condition::Exists => error.is_ok(),
            Condition::Gone => {
                matches!(error, Err(Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)))
            }
        }
    }
}

/// Waits until a condition is true of the operands; the exit status.
pub fn run(options: WaitOptions, condition: Condition, messages: &mut Messages) -> Result<ExitStatus, Error> {
    let WaitOptions { paths, settings, .. } = options;
    let (quiet, follow) = (options.quiet > 0, settings.follow);
    let ready = options.ready.map(Ready::new).transpose()?;
    if options.syslog {
        *messages = Messages::syslog(c"inotifywait", false);
    }
    let is_true = || condition.holds(&paths, follow);
    if is_true() {
        ready.into_iter().for_each(|ready| ready.give(messages));
        return Ok(ExitStatus::Event);
    }
    let timeout = options.timeout.over(settings.interface)?;
    let interface = settings.interface;
    let notes = if quiet { Message::default() } else { surprises(&settings, &paths) };
    let mut source = setup::source(Settings { events: Mask::NONE, ..settings }, &paths)?;
    if !quiet {
        messages.inform(messages::SETTING_UP);
        messages.inform(options.notes.and(notes));
    }
    // An absent path is waited for only if all are to exist.
    let hushed = quiet || condition == Condition::Gone;
    let mut set_up = SetUp::new(messages, &paths, hushed, interface, "Couldn't watch");
    for operand in &paths {
        if let Err(error) = set_up.watch(&mut *source, operand, || Ok(None)) {
            return if is_true() { Ok(ExitStatus::Event) } else { Err(error) };
        }
    }
    source.establish();
    if !quiet {
        messages.inform(messages::ESTABLISHED);
    }
    ready.into_iter().for_each(|ready| ready.give(messages));
    let deadline = process::deadline(timeout);
    loop {
        let blocked = handle(&mut *source, messages, quiet)?;
        if is_true() {
            return Ok(ExitStatus::Event);
        }
        blocked.map_or(Ok(()), Err)?;
        if process::has_passed(deadline) {
            return Ok(ExitStatus::Timeout);
        }
        let until = if source.has_more() { Some(Instant::now()) } else { deadline };
        process::wait_for(&mut [PollFd::new(source.as_fd(), PollFlags::POLLIN)], until)
            .map_err(failing("Couldn't wait for", b"events"))?;
    }
}

/// Handles what has happened on the ways; an error if one cannot be followed any more.
fn handle(source: &mut dyn Source, messages: &Messages, quiet: bool) -> Result<Option<Error>, Error> {
    let mut blocked = None;
    source.read().map_err(failing("Couldn't read", b"events"))?;
    while let Some(item) = source.next() {
        match item {
            Item::Problem(Problem::Blocked { path, cause }) => {
                blocked = Some(failing("Couldn't watch", &path)(cause));
            }
            Item::Problem(problem) => messages.problem(&problem, quiet),
            Item::Event(_) | Item::Retired { .. } => {}
        }
    }
    Ok(blocked)
}
