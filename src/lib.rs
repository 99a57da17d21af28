//! Not a public API: the library of the programs inotifywait and inotifywatch, drop-in for those of inotify-tools.
//!
//! The modules stand in the order in which an event travels:
//!
//! ```text
//! kernel -> sys::inotify  -> queue -> watcher (tree) \
//!           sys::fanotify -> fanotify::marks -^       > source -> filter -> (who, batch) -> format (json) -> sink
//!           sys::fanotify -> fanotify::filesystem    /                              \> stats -> (interval)
//! ```

pub mod cli;
pub mod event;

#[allow(unsafe_code)]
pub mod sys;

pub mod source;

pub mod backlog;
pub mod queue;
pub mod tree;
pub mod watcher;
pub mod world;

pub mod fanotify;

pub mod ere;
pub mod filter;

pub mod batch;
pub mod format;
pub mod json;
pub mod own;
pub mod sink;
pub mod timefmt;
pub mod who;

pub mod interval;
pub mod screen;
pub mod stats;

pub mod advice;
pub mod endings;
pub mod error;
pub mod escape;
pub mod limits;
pub mod messages;
pub mod pace;
pub mod ready;
pub mod setup;
pub mod wait;
pub mod watch;
