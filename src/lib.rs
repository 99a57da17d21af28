//! Not a public API: the library of the programs inotifywait and inotifywatch, drop-in for those of inotify-tools.
//!
//! The modules stand in the order in which an event travels:
//!
//! ```text
//! kernel -> sys::inotify  -> queue -> watcher (tree) \
//!           sys::fanotify -> fanotify::marks -^       > source -> filter -> (who, batch) -> format (json) -> sink
//!           sys::fanotify -> fanotify::filesystem    /                              \> stats -> (interval)
//! ```

#![warn(clippy::missing_docs_in_private_items)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod cli;
mod event;

#[allow(unsafe_code, clippy::disallowed_methods)]
mod sys;

mod source;

mod backlog;
mod hash;
mod names;
mod queue;
mod tree;
mod watcher;
mod world;

mod fanotify;

mod ere;
mod filter;
mod ignore;

mod batch;
mod format;
mod json;
mod own;
mod sink;
mod timefmt;
mod who;

mod interval;
mod screen;
mod stats;

mod advice;
mod endings;
mod error;
mod escape;
mod limits;
mod messages;
mod pace;
mod ready;
mod setup;
mod until;
mod wait;
mod watch;

pub use wait::main as inotifywait;
pub use watch::main as inotifywatch;

/// For this package's programs, tests, benchmarks and fuzz targets. It changes without notice.
#[doc(hidden)]
pub mod internals {
    pub use crate::batch::{Batch, Settle};
    pub use crate::cli::getopt::lex;
    pub use crate::cli::options;
    pub use crate::cli::targets::Targets;
    pub use crate::ere::Ere;
    pub use crate::event::{ARRIVALS, DEPARTURES, ENTRY, EVENTS, EventName, LSDIR, PRINTED, READING};
    pub use crate::filter::{Filter, Sense};
    pub use crate::format::{Formatter, needs_time, unknown_name};
    pub use crate::ignore::Ignore;
    pub use crate::ignore::git::last_value as git_value;
    pub use crate::ignore::pattern::Patterns;
    pub use crate::limits::{Process, Report, parse as parse_limits};
    pub use crate::names::Names;
    pub use crate::names::files::{Files, Found, Kind};
    pub use crate::queue::Events;
    pub use crate::source::{Event, Interface, Item, Problem, Settings, Source};
    pub use crate::sys::{directory, fanotify, inotify, mask, proc, regex, start, times, unread};
    pub use crate::timefmt::{Clock, TimeFormat};
    pub use crate::watcher::Watcher;
    pub use crate::world::{At, InotifyWorld, World};
}
