//! The options of inotifywatch.

use std::ffi::OsString;
use std::time::Duration;

use super::options::Tool;
use super::values::{Sort, SortKey, Timeout, all_if_none};
use super::{Exit, Line, filter_conflict, interface_conflict, opt_in, settings};
use crate::filter::FileType;
use crate::messages::Message;
use crate::ready::Receiver;
use crate::source::Settings;

/// What inotifywatch is to do.
#[derive(Debug)]
pub enum Watch {
    /// Count events.
    Count(Box<WatchOptions>),
    /// `--limits`: show what is used of inotify's limits.
    Limits {
        /// As JSON.
        json: bool,
    },
}

/// What it is to count, and how.
#[derive(Debug)]
pub struct WatchOptions {
    /// To be written to stderr before anything else.
    pub warnings: Message,
    /// To be said while the watches are established: what may surprise in the options.
    pub notes: Message,
    /// What to watch, in order; never empty, and no path is.
    pub paths: Vec<Vec<u8>>,
    /// How to watch it.
    pub settings: Settings,
    /// How long to count. May be too long to be added to a clock.
    pub timeout: Timeout,
    /// How often `--verbose` was given.
    pub verbose: u8,
    /// Print rows and columns of zeros, too.
    pub zero: bool,
    /// The order of rows: by the total, most first, unless told otherwise.
    pub sort: Sort,
    /// Print JSON.
    pub json: bool,
    /// Print a table each time this has passed.
    pub interval: Option<Duration>,
    /// Print at most so many rows.
    pub top: Option<usize>,
    /// Only events on files of this type.
    pub file_type: Option<FileType>,
    /// What is to hear that the watches are established.
    pub ready: Option<Receiver>,
}

/// Parses the command line of inotifywatch, argv\[0\] included. Reads `--fromfile`, which may be
/// stdin, and the environment's POSIXLY_CORRECT.
///
/// # Errors
///
/// What to print and the status to end with: help, version, the first usage error.
pub fn watch(argv: impl Iterator<Item = OsString>) -> Result<Watch, Exit> {
    let line = Line::parse(Tool::Watch, argv)?;
    let events = all_if_none(line.all("event"));
    let sort = sort(&line);
    let conflict = match sort.key {
        SortKey::Event(key) if !events.has(key) => {
            Some("Can't sort by an event which isn't being watched for!\n")
        }
        _ => filter_conflict(&line).or_else(|| interface_conflict(&line)),
    };
    let conflict = conflict.map(Message::from);
    let conflict = conflict.or_else(|| opt_in::conflict(&line).map(Message::from));
    let conflict = conflict.or_else(|| opt_in::limits_conflict(&line).map(Message::from));
    line.judge(conflict, &Message::default())?;
    if line.flag("limits") {
        return Ok(Watch::Limits { json: line.flag("json") });
    }

    let mut warnings = Message::default();
    let (paths, settings, notes) = settings(&line, &mut warnings)?;

    let options = WatchOptions {
        paths,
        notes,
        settings,
        timeout: line.last("timeout").unwrap_or(Timeout::Never),
        verbose: line.count("verbose"),
        zero: line.flag("zero"),
        sort,
        json: line.flag("json"),
        interval: line.last("interval"),
        top: line.last("top"),
        file_type: line.last("type"),
        ready: line.last("ready"),
        warnings,
    };
    Ok(Watch::Count(Box::new(options)))
}

/// An `-a` is always the last of `-a` and `-d`: nothing may follow it.
fn sort(line: &Line) -> Sort {
    let ascending = line.last("ascending");
    Sort {
        ascending: ascending.is_some(),
        key: ascending.or_else(|| line.last("descending")).unwrap_or(SortKey::Total),
    }
}
