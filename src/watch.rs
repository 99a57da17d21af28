//! inotifywatch: count events and print a table.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use crate::advice::surprises;
use crate::cli::{self, Watch, WatchOptions};
use crate::endings::Endings;
use crate::error::{Error, failing};
use crate::event::kernel_bits;
use crate::filter::FileType;
use crate::interval::Intervals;
use crate::limits;
use crate::messages::{self, Message, Messages};
use crate::pace::Pace;
use crate::ready::Ready;
use crate::screen::Screen;
use crate::setup::{self, SetUp};
use crate::source::{Interface, Item, Scope, Settings, Source};
use crate::stats::{Stats, Table};
use crate::sys::mask::Mask;
use crate::sys::process::{self, Signals};
use crate::sys::terminal;

/// What failed where the table does not go out.
const WRITE: &str = "Couldn't write to";

/// The whole program; `arguments` begins with the program's own name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    process::restore_sigpipe();
    let options = match cli::watch(arguments) {
        Ok(Watch::Count(options)) => *options,
        Ok(Watch::Limits { json }) => return limits::main(json),
        Err(exit) => return exit.print(),
    };
    options.warnings.print();
    let messages = Messages::stderr();
    match run(options, &messages) {
        Ok(()) => 0,
        Err(error) => {
            messages.error(error.message());
            1
        }
    }
}

/// Counts until a signal or the timeout.
fn run(options: WatchOptions, messages: &Messages) -> Result<(), Error> {
    let ready = options.ready.map(Ready::new).transpose()?;
    let verbose = options.verbose > 0;
    let Settings { interface, events, .. } = options.settings;
    let WatchOptions { zero, sort, top, json, file_type, .. } = options;
    let endings = Endings::new(&options.settings);
    let mut source = setup::source(options.settings.clone(), &options.paths)?;
    let table = Table {
        events,
        zero,
        sort,
        top,
        kept: Mask::NONE,
        json,
        escaped: terminal::is_terminal(&io::stdout()),
    };
    let mut signals = take(&[&ENDS[..], &[WANTS]].concat())?;
    set_up(&mut *source, &options, &mut signals, messages)?;
    let stats = Stats::new(&source.in_order(), zero);
    if verbose {
        messages.inform(format!("Total of {} watches.", source.watches()));
    }
    messages.inform(messages::COLLECTING);
    let timeout = options.timeout.over(interface)?;
    if let Some(timeout) = timeout.filter(|_| verbose) {
        messages.inform(format!("Will listen for events for {} seconds.", timeout.as_secs_f64()));
    }
    if let Some(ready) = ready {
        ready.give(messages);
    }
    let begin = Instant::now();
    let deadline = process::deadline(timeout);
    let intervals = options.interval.map(|period| Intervals::new(period, table.clone(), stats.clone()));
    let intervals = intervals.transpose().map_err(failing(WRITE, b"stdout"))?;
    if intervals.is_some() {
        // On a terminal, these find it in use.
        let more =
            [Signal::SIGTSTP, Signal::SIGQUIT].into_iter().filter(|signal| !process::is_ignored(*signal));
        signals = take(&ENDS.into_iter().chain([WANTS, Signal::SIGWINCH]).chain(more).collect::<Vec<_>>())?;
    }
    let mut count = Count {
        source,
        endings,
        stats,
        table,
        begin,
        intervals,
        file_type,
        messages,
        signals,
        pace: Pace::default(),
        pause: None,
        wanted: false,
    };
    count.until(deadline)?;
    // A terminal is as before when the last table is printed there.
    count.intervals = count.intervals.filter(|intervals| !intervals.is_in_place());
    count.print(false)?;
    count.write_rest()
}

/// Establishes the watches. The first signal that would end the counting has that said; the second ends the program.
fn set_up(
    source: &mut dyn Source,
    options: &WatchOptions,
    signals: &mut Signals,
    messages: &Messages,
) -> Result<(), Error> {
    let Settings { interface, recursive, .. } = options.settings;
    let is_verbose = options.verbose > 0 && recursive;
    messages.inform(messages::ESTABLISHING);
    messages.inform(options.notes.clone().and(surprises(&options.settings, &options.paths)));
    let mut set_up = SetUp::new(messages, &options.paths, false, interface, "Failed to watch");
    let mut interrupted = false;
    for operand in &options.paths {
        if interface == Interface::Fanotify(Scope::Filesystem) {
            messages.inform(Message::new(&[b"Setting up filesystem watch on ", operand]));
        } else if is_verbose {
            messages.inform(Message::new(&[b"Setting up watch(es) on ", operand]));
        }
        set_up.watch(source, operand, || {
            let Some(signal) = signals.next() else { return Ok(None) };
            if signal != WANTS && std::mem::replace(&mut interrupted, true) {
                return Err(Error::Interrupted);
            }
            Ok(interrupted.then_some(messages::STILL_ESTABLISHING))
        })?;
        if is_verbose {
            messages.inform(Message::new(&[b"OK, ", operand, b" is now being watched."]));
        }
    }
    source.establish();
    Ok(())
}

/// Those that end the counting, and the one that asks for the table.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
const WANTS: Signal = Signal::SIGUSR1;

fn take(signals: &[Signal]) -> Result<Signals, Error> {
    Signals::take(signals).map_err(failing("Couldn't handle", b"signals"))
}

fn say(message: Option<Message>, intervals: &mut Option<Intervals>, messages: &Messages) -> io::Result<()> {
    let message = match (message, intervals) {
        (Some(message), Some(intervals)) => intervals.say(message)?,
        (message, _) => message,
    };
    message.into_iter().for_each(|message| messages.error(message));
    Ok(())
}

/// The state after set-up.
struct Count<'a> {
    source: Box<dyn Source>,
    endings: Endings,
    stats: Stats,
    table: Table,
    begin: Instant,
    intervals: Option<Intervals>,
    /// Only events on files of this type.
    file_type: Option<FileType>,
    messages: &'a Messages,
    signals: Signals,
    pace: Pace,
    /// How long events gather before the next read.
    pause: Option<Duration>,
    /// The table is to be printed now.
    wanted: bool,
}

impl Count<'_> {
    /// Counts until a signal or the deadline.
    fn until(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let mut over = false;
        loop {
            // What happened before a signal or the deadline is in the kernel's queue, and counts.
            let length = self.source.read().map_err(failing("Couldn't read", b"events"))?;
            self.count().map_err(failing(WRITE, b"stdout"))?;
            self.pause = self.pace.pause_after(length);
            if let Some(intervals) = &mut self.intervals {
                intervals.tick(Instant::now(), &*self.source).map_err(failing(WRITE, b"stdout"))?;
            }
            if std::mem::take(&mut self.wanted) {
                self.print(true)?;
            }
            if over {
                return Ok(());
            }
            // After a pause there is a read anyway.
            if self.pause.is_none() {
                self.source.rest();
            }
            self.sleep(deadline)?;
            over = process::has_passed(deadline) | self.answer()?;
        }
    }

    /// Counts the events that were read.
    fn count(&mut self) -> io::Result<()> {
        let counted = kernel_bits(self.table.events);
        while let Some(item) = self.source.next() {
            let message = match item {
                Item::Event(event) => {
                    self.pace.see(&event);
                    let mask = event.mask & counted;
                    if !event.ends_wait && self.file_type.is_none_or(|kind| kind.reports(&event)) {
                        self.stats.count(event.watch, mask);
                        if let Some(intervals) = &mut self.intervals {
                            intervals.stats().count(event.watch, mask);
                        }
                    }
                    self.endings.of(&event, true)
                }
                Item::Retired { watch, path } => {
                    self.stats.retire(watch, path);
                    if let Some(intervals) = &mut self.intervals {
                        intervals.stats().retire(watch, path);
                    }
                    None
                }
                Item::Problem(problem) => messages::problem(&problem, false),
            };
            say(message, &mut self.intervals, self.messages)?;
        }
        let message = self.endings.nothing_left(&*self.source).map(Message::from);
        say(message, &mut self.intervals, self.messages)
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let unwritten = self.intervals.as_ref().and_then(Intervals::unwritten);
        fds.extend(unwritten.map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        let mut lookout = None;
        let next = self.intervals.as_ref().and_then(Intervals::next);
        let mut until = deadline.into_iter().chain(next).chain(self.source.wakes_at()).min();
        if self.source.has_more() {
            until = Some(Instant::now());
        } else if let Some(pause) = self.pause {
            until = process::earlier(until, pause);
        } else {
            fds.push(PollFd::new(self.source.as_fd(), PollFlags::POLLIN));
            lookout = self.source.lookout().map(|fd| PollFd::new(fd, PollFlags::POLLPRI));
        }
        let looks_out = lookout.is_some();
        fds.extend(lookout);
        process::wait_for(&mut fds, until).map_err(failing("Couldn't wait for", b"events"))?;
        if looks_out && fds.last().is_some_and(|last| last.any() == Some(true)) {
            self.source.mounts_changed();
        }
        Ok(())
    }

    /// Answers to the signals that have arrived; whether one of them ends the counting.
    fn answer(&mut self) -> Result<bool, Error> {
        let mut over = false;
        while let Some(signal) = self.signals.next() {
            let screen = self.intervals.as_mut().and_then(Intervals::screen);
            match signal {
                WANTS => self.wanted = true,
                Signal::SIGWINCH => {
                    screen.map_or(Ok(()), Screen::draw).map_err(failing(WRITE, b"stdout"))?;
                }
                Signal::SIGTSTP => {
                    screen.map_or(Ok(()), Screen::leave).map_err(failing(WRITE, b"stdout"))?;
                    process::stop();
                    let screen = self.intervals.as_mut().and_then(Intervals::screen);
                    screen.map_or(Ok(()), Screen::draw).map_err(failing(WRITE, b"stdout"))?;
                }
                Signal::SIGQUIT => {
                    self.intervals = None;
                    process::die_of(signal);
                }
                _ => over = true,
            }
        }
        Ok(over)
    }

    fn print(&mut self, goes_on: bool) -> Result<(), Error> {
        if let Some(screen) = self.intervals.as_mut().and_then(Intervals::screen) {
            screen.leave().map_err(failing(WRITE, b"stdout"))?;
        }
        let mut text = Vec::new();
        if self.stats.is_empty() {
            self.messages.inform(messages::NO_EVENTS);
        } else {
            text = self.stats.table(&*self.source, &self.table, self.begin.elapsed());
        }
        // Every line of JSON is an object.
        if goes_on && !self.table.json {
            text.push(b'\n');
        }
        match &mut self.intervals {
            Some(intervals) => intervals.print(&text).map_err(failing(WRITE, b"stdout"))?,
            None => {
                let mut out = io::stdout().lock();
                out.write_all(&text).and_then(|()| out.flush()).map_err(failing(WRITE, b"stdout"))?;
            }
        }
        Ok(())
    }

    /// Writes what is left of the tables, however long the reader takes; a signal ends the program at once.
    fn write_rest(&mut self) -> Result<(), Error> {
        while let Some(fd) = self.intervals.as_ref().and_then(Intervals::unwritten) {
            let mut fds =
                [PollFd::new(fd, PollFlags::POLLOUT), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            process::wait_for(&mut fds, None).map_err(failing("Couldn't wait for", b"the reader"))?;
            let ends = |signal: &Signal| ENDS.contains(signal) || *signal == Signal::SIGQUIT;
            if let Some(signal) = self.signals.next().filter(ends) {
                process::die_of(signal);
            }
            if let Some(intervals) = &mut self.intervals {
                intervals.print(b"").map_err(failing(WRITE, b"stdout"))?;
            }
        }
        Ok(())
    }
}
