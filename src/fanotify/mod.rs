//! The source on fanotify(7).

pub mod filesystem;
pub mod mounts;
