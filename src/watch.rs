//! inotifywatch: count events and print a table.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use crate::cli::{self, Watch, WatchOptions};
use crate::error::{Error, failing};
use crate::event::kernel_bits;
use crate::limits;
use crate::messages::{self, Message, Messages};
use crate::ready::Ready;
use crate::setup::{self, SetUp};
use crate::source::{Interface, Item, Scope, Settings, Source};
use crate::stats::{Stats, Table};
use crate::sys::process::{self, Signals};

/// The whole program; `arguments` begins with the program's own name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    process::restore_sigpipe();
    let options = match cli::watch(arguments) {
        Ok(Watch::Count(options)) => *options,
        Ok(Watch::Limits { json }) => return limits::main(json),
        Err(exit) => return ExitCode::from(exit.print()),
    };
    options.warnings.print();
    let messages = Messages::stderr();
    match run(options, &messages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(error.message());
            ExitCode::FAILURE
        }
    }
}

/// Counts until a signal or the timeout.
fn run(options: WatchOptions, messages: &Messages) -> Result<(), Error> {
    let ready = options.ready.map(Ready::new).transpose()?;
    let verbose = options.verbose > 0;
    let Settings { interface, recursive, events, .. } = options.settings;
    let mut source = setup::source(options.settings, &options.paths)?;
    let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let signals = Signals::take(&[&ends[..], &[Signal::SIGUSR1]].concat());
    let signals = signals.map_err(failing("Couldn't take", b"signals"))?;
    messages.inform(messages::ESTABLISHING);
    messages.inform(options.notes);
    let mut set_up = SetUp::new(messages, &options.paths, false, interface, "Failed to watch");
    let mut interrupted = false;
    for operand in &options.paths {
        if interface == Interface::Fanotify(Scope::Filesystem) {
            messages.inform(Message::new(&[b"Setting up filesystem watch on ", operand]));
        } else if verbose && recursive {
            messages.inform(Message::new(&[b"Setting up watch(es) on ", operand]));
        }
        set_up.watch(&mut *source, operand, || {
            let Some(signal) = signals.next() else { return Ok(None) };
            if signal != Signal::SIGUSR1 && std::mem::replace(&mut interrupted, true) {
                return Err(Error::Interrupted);
            }
            Ok(interrupted.then_some(messages::STILL_ESTABLISHING))
        })?;
        if verbose && recursive {
            messages.inform(Message::new(&[b"OK, ", operand, b" is now being watched."]));
        }
    }
    source.establish();
    let mut stats = Stats::default();
    for (watch, _) in source.paths() {
        stats.add(watch);
    }
    if verbose {
        messages.inform(format!("Total of {} watches.", source.watches()));
    }
    messages.inform(messages::COLLECTING);
    if let Some(timeout) = options.timeout.filter(|_| verbose) {
        messages.inform(format!("Will listen for events for {} seconds.", timeout.as_secs_f64()));
    }
    if let Some(ready) = ready {
        ready.give(messages);
    }
    let begin = Instant::now();
    let deadline = process::deadline(options.timeout);
    let escaped = io::stdout().is_terminal();
    let table = Table { events, zero: options.zero, sort: options.sort, json: options.json, escaped };
    let counted = kernel_bits(events);
    let (mut over, mut wanted) = (false, false);
    loop {
        source.read().map_err(failing("Couldn't read", b"events"))?;
        while let Some(item) = source.next() {
            match item {
                Item::Event(event) if event.ends_wait => {}
                Item::Event(event) => stats.count(event.watch, event.mask & counted),
                Item::Retired { watch, path } => stats.retire(watch, path),
                Item::Problem(problem) => messages.problem(&problem, false),
            }
        }
        if std::mem::take(&mut wanted) {
            print(&mut stats, &*source, &table, begin, true, messages)?;
        }
        if over {
            return print(&mut stats, &*source, &table, begin, false, messages);
        }
        let mut fds =
            [PollFd::new(source.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let until = if source.has_more() { Some(Instant::now()) } else { deadline };
        process::wait_for(&mut fds, until).map_err(failing("Couldn't wait for", b"events"))?;
        over = process::has_passed(deadline);
        while let Some(signal) = signals.next() {
            // What happened before the signal is in the kernel's queue, and counts.
            match signal {
                Signal::SIGUSR1 => wanted = true,
                _ => over = true,
            }
        }
    }
}

fn print(
    stats: &mut Stats,
    source: &dyn Source,
    table: &Table,
    begin: Instant,
    goes_on: bool,
    messages: &Messages,
) -> Result<(), Error> {
    let paths = source.paths();
    // Directories that appeared have a row, too, also where nothing happened in them.
    paths.iter().for_each(|(watch, _)| stats.add(*watch));
    let paths: HashMap<i32, Vec<u8>> = paths.into_iter().collect();
    let mut text = stats.table(&paths, table, begin.elapsed()).unwrap_or_else(|| {
        messages.inform(messages::NO_EVENTS);
        Vec::new()
    });
    // Every line of JSON is an object.
    if goes_on && !table.json {
        text.push(b'\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(failing("Couldn't write to", b"stdout"))
}
