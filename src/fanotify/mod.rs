//! Events from fanotify(7).

pub mod marks;
pub mod refusal;
