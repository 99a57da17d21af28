//! Which of the kernel's interfaces events come from.

/// The interface that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// inotify(7) (`-I`).
    #[default]
    Inotify,
    /// fanotify(7) (`-F`, `-S`, `-M`).
    Fanotify(Scope),
}

/// How far a fanotify watch reaches from each path that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// As far as one of inotify's: the path, with `-r` all below it.
    Paths,
    /// The whole file system that holds it (`-S`).
    Filesystem,
    /// The whole mount that holds it (`-M`).
    Mount,
}
