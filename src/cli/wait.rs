//! The options of inotifywait.

use std::ffi::OsString;

use super::options::Tool;
use super::values::Timeout;
use super::{Exit, Line, filter_conflict, interface, interface_conflict, opt_in, settings};
use crate::batch::Settle;
use crate::filter::FileType;
use crate::format;
use crate::messages::Message;
use crate::ready::Receiver;
use crate::source::{Interface, Settings};
use crate::until::Condition;

/// What inotifywait is to do.
#[derive(Debug)]
pub struct WaitOptions {
    /// To be written to stderr before anything else, also with `--quiet` and `--syslog`.
    pub warnings: Message,
    /// To be said while the watches are established: what may surprise in the options.
    pub notes: Message,
    /// What to watch, in order; never empty, and no path is.
    pub paths: Vec<Vec<u8>>,
    /// How to watch it.
    pub settings: Settings,
    /// How long to wait without an event. May be too long to be added to a clock.
    pub timeout: Timeout,
    /// Go into the background; `outfile` is given then.
    pub daemon: bool,
    /// How often `--quiet` was given.
    pub quiet: u8,
    /// Messages go to syslog. Set with `daemon`, too.
    pub syslog: bool,
    /// Where events go instead of stdout. May be empty, which no file's name is.
    pub outfile: Option<Vec<u8>>,
    /// Gather events into batches.
    pub settle: Option<Settle>,
    /// Print an empty record after each batch.
    pub batch_marker: bool,
    /// Print no events, but exit as soon as this is true of the paths.
    pub until: Option<Condition>,
    /// Only events on files of this type.
    pub file_type: Option<FileType>,
    /// What is to hear that the watches are established.
    pub ready: Option<Receiver>,
    /// How an event is printed.
    pub output: Output,
    /// What ends each record.
    pub end: Option<u8>,
}

/// The form of an event's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `%w %,e %f`
    Default,
    /// `--csv`
    Csv,
    /// `--json`
    Json,
    /// `--format`
    Format {
        /// As typed.
        format: Vec<u8>,
        /// `--timefmt`; there if the format holds `%T`.
        timefmt: Option<Vec<u8>>,
    },
}

/// Parses the command line of inotifywait, argv\[0\] included. Reads `--fromfile`, which may be
/// stdin, and the environment's POSIXLY_CORRECT.
///
/// # Errors
///
/// What to print and the status to end with: help, version, the first usage error.
pub fn wait(argv: impl Iterator<Item = OsString>) -> Result<WaitOptions, Exit> {
    let line = Line::parse(Tool::Wait, argv)?;
    let conflict = filter_conflict(&line).or_else(|| conflict(&line)).or_else(|| interface_conflict(&line));
    let conflict = conflict.map(Message::from);
    let conflict = conflict.or_else(|| opt_in::conflict(&line).map(Message::from));
    let conflict = conflict.or_else(|| opt_in::interface_conflict(&line).map(Message::from));
    let conflict = conflict.or_else(|| opt_in::oneshot_conflict(&line).map(Message::from));
    let conflict = conflict.or_else(|| opt_in::until_conflict(&line).map(Message::from));
    let conflict = conflict.or_else(|| name_conflict(&line).map(Message::from));
    let mut warnings = Message::default();
    for id in ["exclude", "excludei"] {
        if line.times(id) > 1 {
            let words = "only the last option will be taken into consideration.";
            warnings = warnings.and(format!("--{id}: {words}"));
        }
    }
    line.judge(conflict, &warnings)?;

    let (paths, settings, notes) = settings(&line, &mut warnings)?;

    let daemon = line.flag("daemon");
    let output = match line.bytes("format") {
        Some(format) => Output::Format { format, timefmt: line.bytes("timefmt") },
        None if line.flag("json") => Output::Json,
        None if line.flag("csv") => Output::Csv,
        None => Output::Default,
    };
    Ok(WaitOptions {
        paths,
        notes,
        settings,
        timeout: line.last("timeout").unwrap_or(Timeout::Never),
        daemon,
        quiet: line.count("quiet"),
        syslog: daemon || line.flag("syslog"),
        outfile: line.bytes("outfile"),
        output,
        end: match (line.flag("no-newline"), line.flag("print0")) {
            (true, _) => None,
            (false, true) => Some(0),
            (false, false) => Some(b'\n'),
        },
        settle: line.last("debounce").map(|quiet| Settle { quiet, most: line.last("max-delay") }),
        batch_marker: line.flag("batch-marker"),
        until: line.last("until"),
        file_type: line.last("type"),
        ready: line.last("ready"),
        warnings,
    })
}

/// What is wrong with a name in braces in `--format`, if anything.
fn name_conflict(line: &Line) -> Option<String> {
    let format = line.bytes("format")?;
    let process = |name| {
        let words = "is in --format string, but none of -F, -S and -M was specified.";
        (interface(line) == Interface::Inotify).then(|| format!("{name} {words}"))
    };
    format::unknown_name(&format).or_else(|| format::process_name(&format).and_then(process))
}

/// What is wrong with the options that go together, if anything.
fn conflict(line: &Line) -> Option<&'static str> {
    let format = line.bytes("format");
    if line.flag("csv") && format.is_some() {
        return Some("-c and --format cannot both be specified.\n");
    }
    let timefmt = line.times("timefmt") > 0;
    match format {
        None if line.flag("no-newline") => {
            return Some("--no-newline cannot be specified without --format.\n");
        }
        None if timefmt => return Some("--timefmt cannot be specified without --format.\n"),
        Some(format) if !timefmt && format::needs_time(&format) => {
            return Some("%T is in --format string, but --timefmt was not specified.\n");
        }
        _ => {}
    }
    if line.flag("daemon") && line.times("outfile") == 0 {
        return Some("-o must be specified with -d.\n");
    }
    None
}
