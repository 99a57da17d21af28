//! inotifywait and inotifywatch, drop-in for those of inotify-tools.
//!
//! The modules stand in the order in which an event travels.

#[allow(unsafe_code)]
pub mod sys;

pub mod event;
