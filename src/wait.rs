//! inotifywait: wait for events and print them.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use crate::advice::surprises;
use crate::batch::Batch;
use crate::cli::{self, Output as Form, WaitOptions};
use crate::endings::Endings;
use crate::error::{Error, ExitStatus, failing};
use crate::escape::escape_names;
use crate::filter::FileType;
use crate::format::{self, Formatter};
use crate::messages::{self, Message, Messages};
use crate::own::Own;
use crate::pace::pause_after;
use crate::ready::Ready;
use crate::setup::{self, SetUp};
use crate::sink::Sink;
use crate::source::{Event, Interface, Item, Problem, Scope, Settings, Source};
use crate::sys::output::Output;
use crate::sys::process::{self, Background, Signals};
use crate::sys::unread::unread;
use crate::timefmt::TimeFormat;
use crate::until;
use crate::who::{self, Lookup, Names};

/// How long a queue without a limit may grow between two looks at it, while nothing can be read.
const RESPITE: Duration = Duration::from_millis(50);

/// Between two attempts to write to an outfile of which poll(2) cannot tell when it takes something again.
const RETRY: Duration = Duration::from_millis(100);

/// The whole program; `arguments` begins with the program's own name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    process::restore_sigpipe();
    let options = match cli::wait(arguments) {
        Ok(options) => options,
        Err(exit) => return exit.print(),
    };
    options.warnings.print();
    let mut messages = Messages::stderr();
    let status = run(options, &mut messages).unwrap_or_else(|error| {
        messages.error(error.message());
        ExitStatus::Other
    });
    status.into()
}

/// Runs to the exit status, or to the error that ends the program.
fn run(options: WaitOptions, messages: &mut Messages) -> Result<ExitStatus, Error> {
    if let Some(condition) = options.until {
        return until::run(options, condition, messages);
    }
    let ready = options.ready.map(Ready::new).transpose()?;
    let mut background = None;
    let mut base = Vec::new();
    if options.daemon {
        background = Some(Background::fork().map_err(failing("Couldn't start", b"a daemon"))?);
        base = process::current_directory().map_err(failing("Couldn't find", b"the current directory"))?;
    }
    let output = open_output(&options)?;
    if options.syslog {
        *messages = Messages::syslog(c"inotifywait", options.daemon);
    }
    let quiet = options.quiet > 0;
    let settings = Settings { base: base.clone(), ..options.settings.clone() };
    let endings = (!quiet && !settings.by_name).then(|| Endings::new(&settings));
    let source = set_up(settings, &options, messages)?;
    let signals = signals(options.daemon, options.settle.is_some())?;
    if let Some(background) = background {
        detach(background)?;
        messages.leave_stderr();
    }
    if !quiet {
        messages.inform(messages::ESTABLISHED);
    }
    let timeout = options.timeout.over(options.settings.interface)?;
    if let Some(ready) = ready {
        ready.give(messages);
    }
    let records = Records::new(&options, base.clone(), output, source.tells_processes());
    Wait {
        source,
        endings,
        records,
        signals,
        ending: None,
        outfile: options.outfile.map(|path| process::absolute(&base, &path).into_owned()),
        file_type: options.file_type,
        daemon: options.daemon,
        monitor: options.settings.monitor,
        quiet,
        timeout,
        blocked: None,
        deadline: None,
        pause: None,
        losing: false,
    }
    .run(messages)
}

/// Leaves the terminal, and lets the process that was started exit.
fn detach(background: Background) -> Result<(), Error> {
    let null = process::null_device().map_err(failing("Couldn't open", b"/dev/null"))?;
    background.ready(null).map_err(failing("Couldn't start", b"a daemon"))
}

/// Opens what the records are written to; `None` if that is nothing.
fn open_output(options: &WaitOptions) -> Result<Option<Output>, Error> {
    match &options.outfile {
        Some(path) => open_outfile(path).map(Some),
        None if options.quiet > 1 => Ok(None),
        None => Output::stdout().map(Some).map_err(failing(WRITE, b"stdout")),
    }
}

fn formatter(form: &Form, end: Option<u8>) -> Formatter {
    match form {
        Form::Default => Formatter::standard(end),
        Form::Csv => Formatter::csv(end),
        Form::Json => Formatter::json(end),
        Form::Format { format, timefmt } => Formatter::new(format, end, timefmt.clone().map(TimeFormat::new)),
    }
}

/// Establishes the watches, and says so unless with -q.
fn set_up(settings: Settings, options: &WaitOptions, messages: &Messages) -> Result<Box<dyn Source>, Error> {
    let Settings { interface, recursive, .. } = settings;
    let quiet = options.quiet > 0;
    let notes = if quiet { Message::default() } else { surprises(&settings, &options.paths) };
    let mut source = setup::source(settings, &options.paths)?;
    if let Form::Format { format, .. } = &options.output {
        if let Some(name) = format::process_name(format).filter(|_| !source.tells_processes()) {
            return Err(Error::NoProcess(name));
        }
    }
    if !quiet {
        messages.inform(match interface {
            Interface::Fanotify(Scope::Filesystem) => messages::SETTING_UP_FILESYSTEMS,
            Interface::Fanotify(Scope::Mount) => messages::SETTING_UP_MOUNTS,
            _ if recursive => messages::SETTING_UP_RECURSIVELY,
            _ => messages::SETTING_UP,
        });
        messages.inform(options.notes.clone().and(notes));
    }
    let mut set_up = SetUp::new(messages, &options.paths, quiet, interface, "Couldn't watch");
    for operand in &options.paths {
        set_up.watch(&mut *source, operand, || Ok(None))?;
    }
    source.establish();
    Ok(source)
}

/// Those that are answered to: a daemon's SIGHUP, and those that end the program but have a batch printed before.
fn signals(daemon: bool, batches: bool) -> Result<Option<Signals>, Error> {
    const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let ends = |signal: &Signal| batches && !process::is_ignored(*signal);
    let reopens = |signal: &Signal| daemon && *signal == Signal::SIGHUP;
    let answered: Vec<Signal> = ENDS.into_iter().filter(|signal| ends(signal) || reopens(signal)).collect();
    if answered.is_empty() {
        return Ok(None);
    }
    Signals::take(&answered).map(Some).map_err(failing("Couldn't handle", b"signals"))
}

/// What failed where the lines do not go out.
const WRITE: &str = "Couldn't write to";

fn open_outfile(path: &[u8]) -> Result<Output, Error> {
    Output::append(path).map_err(|cause| Error::Outfile { path: path.to_vec(), cause })
}

/// Makes records of events, and keeps them until they are written.
struct Records {
    /// Where they go; nowhere with -qq.
    sink: Option<Sink>,
    /// Where events gather before, with `--debounce`.
    batch: Option<Batch>,
    /// An empty record follows each batch.
    marker: bool,
    formatter: Formatter,
    /// Those of the processes that cause events, if they are printed.
    names: Option<Names<Lookup>>,
    /// The events of its own writing.
    own: Own,
    /// The path of an event with control characters escaped, for a terminal.
    shown: Option<Vec<u8>>,
}

/// What became of an event.
enum Added {
    /// Nothing: the program caused it itself.
    Nothing,
    /// It was added to a batch.
    Gathered,
    /// It is reported.
    Reported,
}

impl Records {
    /// Makes records for `output`, as the options have them. `base` is what relative paths begin at.
    fn new(options: &WaitOptions, base: Vec<u8>, output: Option<Output>, tells_processes: bool) -> Records {
        // With -qq an outfile is made and stays empty.
        let sink = output.filter(|_| options.quiet < 2).map(Sink::new);
        let is_on_terminal = sink.as_ref().is_some_and(|sink| sink.output().is_terminal());
        let formatter = formatter(&options.output, options.end);
        let shows_comm = formatter.shows_comm() && tells_processes;
        Records {
            batch: options.settle.map(Batch::new),
            marker: options.batch_marker,
            formatter,
            names: shows_comm.then(|| Names::new(who::of_proc as Lookup, Instant::now())),
            own: Own::new(base, options.settings.events, &options.paths, sink.as_ref().map(Sink::output)),
            // Names are escaped in JSON, as JSON has it.
            shown: (is_on_terminal && options.output != Form::Json).then(Vec::new),
            sink,
        }
    }

    /// Before the first event of a read: the time that it has.
    fn begin(&mut self) -> Option<Instant> {
        self.formatter.set_time();
        let now = (self.batch.is_some() || self.names.is_some()).then(Instant::now);
        if let (Some(names), Some(now)) = (&mut self.names, now) {
            names.begin(now);
        }
        now
    }

    /// Adds an event that was read at that time.
    fn add<'a>(&'a mut self, event: &mut Event<'a>, now: Option<Instant>) -> Added {
        let mut comm = None;
        if let Some(names) = &mut self.names {
            comm = names.of(event.pid.unwrap_or(0));
            self.formatter.set_comm(comm);
        }
        if let Some(sink) = &mut self.sink {
            if self.own.caused(event, sink.output()) {
                return Added::Nothing;
            }
            if let Some(shown) = &mut self.shown {
                escape_names(event, shown);
            }
            if self.batch.is_none() {
                sink.add(|record| self.formatter.append(event, record));
            }
        }
        if let (Some(batch), Some(now)) = (&mut self.batch, now) {
            batch.add(event, comm, self.formatter.moment(), now);
            return Added::Gathered;
        }
        Added::Reported
    }

    /// Whether events gather in a batch.
    fn is_gathering(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_empty())
    }
}

/// The state after set-up.
struct Wait {
    source: Box<dyn Source>,
    /// Not with -q.
    endings: Option<Endings>,
    records: Records,
    /// Signals that are answered to.
    signals: Option<Signals>,
    /// The one that ends the program, once all is printed.
    ending: Option<Signal>,
    outfile: Option<Vec<u8>>,
    /// Only events on files of this type.
    file_type: Option<FileType>,
    daemon: bool,
    monitor: bool,
    quiet: bool,
    timeout: Option<Duration>,
    /// Why the outfile takes nothing, where poll(2) cannot tell when it will.
    blocked: Option<io::Error>,
    /// When to give up; a time too far away to be told is never.
    deadline: Option<Instant>,
    /// How long events gather before the next read.
    pause: Option<Duration>,
    /// Nothing is read, but has to be thrown away.
    losing: bool,
}

impl Wait {
    fn run(mut self, messages: &Messages) -> Result<ExitStatus, Error> {
        self.deadline = process::deadline(self.timeout);
        loop {
            // A reader that takes nothing at all: let the kernel's queue fill, whose overflow is reported.
            if self.is_full() {
                self.losing = self.source.lose();
            } else {
                // If this fills the memory, the next turn tells whether there is a queue to empty.
                self.losing = true;
                let length = self.source.read().map_err(failing("Couldn't read", b"events"))?;
                // A process that is gone when its events are read has no name.
                self.pause =
                    pause_after(length, self.source.is_steady()).filter(|_| self.records.names.is_none());
                if let Some(status) = self.report(messages)? {
                    self.write_rest(messages)?;
                    return Ok(status);
                }
                self.records.own.forget(!self.source.has_more());
            }
            if let Some(status) = self.settle() {
                self.write_rest(messages)?;
                return Ok(status);
            }
            if let Some(signal) = self.ending {
                self.write_rest(messages)?;
                process::die_of(signal);
            }
            self.flush(messages)?;
            if process::has_passed(self.deadline) {
                self.write_rest(messages)?;
                return Ok(ExitStatus::Timeout);
            }
            // After a pause there is a read anyway.
            if self.pause.is_none() && !self.is_full() {
                self.source.rest();
            }
            self.sleep()?;
            self.ending = self.answer(messages);
        }
    }

    /// Answers to the signals that have arrived, up to one that ends the program, which is returned.
    fn answer(&mut self, messages: &Messages) -> Option<Signal> {
        while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
            if !self.daemon || signal != Signal::SIGHUP {
                return Some(signal);
            }
            self.reopen(messages);
        }
        None
    }

    /// Prints the batch if it is complete; the exit status, if that ends the program.
    fn settle(&mut self) -> Option<ExitStatus> {
        let batch = self.records.batch.as_mut().filter(|batch| !batch.is_empty())?;
        let kept = self.records.sink.as_ref().map_or(0, Sink::len);
        let is_busy = || {
            let unread = self.records.sink.as_ref().map(|sink| unread(sink.as_fd()));
            self.monitor && (kept > 0 || matches!(unread, Some(Ok(1..))))
        };
        let is_forced = self.ending.is_some() || batch.is_full(kept);
        if !is_forced && !batch.is_due(Instant::now(), is_busy) {
            return None;
        }
        let count = batch.len();
        let formatter = &mut self.records.formatter;
        match &mut self.records.sink {
            Some(sink) => {
                batch.take(|event, comm, moment| {
                    formatter.set_moment(moment);
                    formatter.set_comm(comm);
                    sink.add(|record| formatter.append(event, record));
                });
                if self.records.marker {
                    sink.add(|record| formatter.append_marker(count, record));
                }
            }
            None => batch.take(|_, _, _| {}),
        }
        self.deadline = process::deadline(self.timeout);
        (!self.monitor && self.ending.is_none()).then_some(ExitStatus::Event)
    }

    /// Handles the events that were read; the exit status, if one of them ends the program. A message comes after the lines of what happened
    /// before it, for who reads both: `inotifywait -m d >log 2>&1`.
    fn report(&mut self, messages: &Messages) -> Result<Option<ExitStatus>, Error> {
        let now = self.records.begin();
        loop {
            let mut item = self.source.next();
            // Used where it is: to move what was just written takes longer than most of what follows.
            let event = match item {
                Some(Item::Event(ref mut event)) => event,
                Some(Item::Problem(problem)) => {
                    self.flush(messages)?;
                    messages.problem(&problem, self.quiet);
                    if let Problem::Blocked { .. } = problem {
                        return Ok(Some(ExitStatus::Other));
                    }
                    continue;
                }
                Some(Item::Retired { .. }) => continue,
                None => break,
            };
            let goes_on = self.monitor;
            let message = self.endings.as_mut().and_then(|endings| endings.of(event, goes_on));
            let status = if event.ends_wait {
                (!self.monitor && !self.records.is_gathering()).then_some(ExitStatus::Other)
            } else if self.file_type.is_some_and(|kind| !kind.reports(event)) {
                None
            } else {
                match self.records.add(event, now) {
                    Added::Nothing => None,
                    // --timeout is for the first event of a batch.
                    Added::Gathered => {
                        self.deadline = None;
                        None
                    }
                    Added::Reported if self.monitor => {
                        self.deadline = process::deadline(self.timeout);
                        None
                    }
                    Added::Reported => Some(ExitStatus::Event),
                }
            };
            if let Some(message) = message {
                self.flush(messages)?;
                messages.inform(message);
            }
            if status.is_some() {
                return Ok(status);
            }
        }
        if let Some(message) = self.endings.as_mut().and_then(|endings| endings.nothing_left(&*self.source)) {
            self.flush(messages)?;
            messages.inform(message);
        }
        Ok(None)
    }

    fn is_full(&self) -> bool {
        self.records.sink.as_ref().is_some_and(Sink::is_full)
    }

    /// Writes what the output takes. A daemon outlives a full disk, and nobody need read a FIFO yet: what is not
    /// taken is kept as for a slow reader.
    fn flush(&mut self, messages: &Messages) -> Result<(), Error> {
        let Some(sink) = self.records.sink.as_mut().filter(|sink| !sink.is_empty()) else { return Ok(()) };
        let name = self.outfile.as_deref().unwrap_or(b"stdout");
        self.records.own.note(sink.output());
        let flushed = sink.flush();
        self.records.own.note(sink.output());
        let Err(cause) = flushed else {
            self.blocked = None;
            return Ok(());
        };
        match cause.raw_os_error() {
            Some(libc::ENXIO) if self.outfile.is_some() => {}
            Some(libc::ENOSPC | libc::EDQUOT) if self.daemon => {
                if self.blocked.is_none() {
                    messages.error(messages::no_room(name, &cause));
                }
            }
            _ => return Err(failing(WRITE, name)(cause)),
        }
        self.blocked = Some(cause);
        Ok(())
    }

    /// Writes all that is left, however long the reader takes. One that never came, or room on a disk, is not waited
    /// for any longer than until `--timeout` or the signal that ends the program.
    fn write_rest(&mut self, messages: &Messages) -> Result<(), Error> {
        loop {
            self.flush(messages)?;
            let Some(sink) = self.records.sink.as_ref().filter(|sink| !sink.is_empty()) else {
                return Ok(());
            };
            let mut fds = Vec::with_capacity(2);
            let mut until = None;
            if self.blocked.is_none() {
                fds.push(PollFd::new(sink.as_fd(), PollFlags::POLLOUT));
            } else if self.ending.is_some() || process::has_passed(self.deadline) {
                return self.give_up(messages);
            } else {
                until = process::earlier(self.deadline, RETRY);
            }
            fds.extend(self.signals.as_ref().map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
            wait_for(&mut fds, until)?;
            if let Some(signal) = self.answer(messages) {
                process::die_of(signal);
            }
        }
    }

    /// Ends the program although lines are left.
    fn give_up(&mut self, messages: &Messages) -> Result<(), Error> {
        let Some(cause) = self.blocked.take() else { return Ok(()) };
        let error = failing(WRITE, self.outfile.as_deref().unwrap_or_default())(cause);
        if let Some(signal) = self.ending {
            messages.error(error.message());
            process::die_of(signal);
        }
        Err(error)
    }

    /// Waits until there is something to do, or the time is up.
    fn sleep(&mut self) -> Result<(), Error> {
        let mut fds = Vec::with_capacity(4);
        let mut ends_with_reader = false;
        let mut lookout = None;
        if let Some(sink) = &self.records.sink {
            ends_with_reader = sink.output().has_final_hangup();
            let takes = !sink.is_empty() && self.blocked.is_none();
            let interest = if takes { PollFlags::POLLOUT } else { PollFlags::empty() };
            if ends_with_reader || takes {
                fds.push(PollFd::new(sink.as_fd(), interest));
            }
        }
        let wake = self.records.batch.as_ref().and_then(Batch::wake);
        let mut until = wake.or(self.deadline);
        if self.blocked.is_some() {
            until = process::earlier(until, RETRY);
        }
        let pause = if self.is_full() {
            self.losing.then_some(RESPITE)
        } else if self.source.has_more() {
            Some(Duration::ZERO)
        } else {
            if self.pause.is_none() {
                fds.push(PollFd::new(self.source.as_fd(), PollFlags::POLLIN));
                lookout = self.source.lookout().map(|fd| PollFd::new(fd, PollFlags::POLLPRI));
            }
            until = until.into_iter().chain(self.source.wakes_at()).min();
            self.pause
        };
        if let Some(pause) = pause {
            until = process::earlier(until, pause);
        }
        if let Some(signals) = &self.signals {
            fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        }
        let looks_out = lookout.is_some();
        fds.extend(lookout);
        wait_for(&mut fds, until)?;
        let has_changed = looks_out && fds.last().is_some_and(|last| last.any() == Some(true));
        let closed = PollFlags::POLLERR | PollFlags::POLLHUP;
        if ends_with_reader && fds[0].revents().is_some_and(|found| found.intersects(closed)) {
            process::die_of_sigpipe();
        }
        if has_changed {
            self.source.mounts_changed();
        }
        Ok(())
    }

    /// After a log rotation: goes on in a new file.
    fn reopen(&mut self, messages: &Messages) {
        let (Some(path), Some(sink)) = (&self.outfile, &mut self.records.sink) else { return };
        let begun = self.source.begin_own();
        let new = match open_outfile(path) {
            Ok(new) => new,
            Err(error) => return messages.error(error.message()),
        };
        let reopened = self.records.own.reopen(sink.output(), &new, path);
        sink.redirect(new);
        self.blocked = None;
        self.source.drop_own(begun, &|mask, path| self.records.own.caused_reopening(&reopened, mask, path));
    }
}

fn wait_for(fds: &mut [PollFd], deadline: Option<Instant>) -> Result<(), Error> {
    process::wait_for(fds, deadline).map_err(failing("Couldn't wait for", b"events"))
}
