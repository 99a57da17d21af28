//! Where events come from: what a source is asked for, what it yields, and which of the kernel's interfaces it
//! stands on. What is downstream knows no more of it than this.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::backlog::Position;
use crate::filter::Filter;
use crate::ignore::BadLine;
use crate::sys::inotify::Wd;
use crate::sys::mask::Mask;

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

/// What the program was asked to watch, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The events to report (`-e`), [`LSDIR`](crate::event::LSDIR) among them.
    pub events: Mask,
    /// `-I`, `-F`, `-S` or `-M`.
    pub interface: Interface,
    /// `-r`.
    pub recursive: bool,
    /// `-m`: the program continues after an event.
    pub monitor: bool,
    /// Follow a symbolic link given as an operand (not `-P`).
    pub follow: bool,
    /// Operands are names, which may come to lead elsewhere or nowhere (`--follow-name`, `--until`).
    pub by_name: bool,
    /// Put before relative paths in system calls; empty while the current directory is the user's.
    pub base: Vec<u8>,
    /// What is not reported.
    pub filter: Filter,
}

/// Something to report, in the order in which it happened.
#[derive(Debug)]
pub enum Item<'a> {
    /// An event that was asked for, or one that ends a watch.
    Event(Event<'a>),
    /// Something to say on stderr.
    Problem(Problem),
    /// A watch is gone; its path was this. Its events have all been reported.
    Retired {
        /// The watch.
        watch: Wd,
        /// Its last path.
        path: &'a [u8],
    },
}

/// An event as the user sees it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The watch, by a number that is never used again in this run.
    pub watch: Wd,
    /// `%w%f`: the watched path and, of an event in a directory, the entry's name.
    pub path: &'a [u8],
    /// The length of `%w` in `path`.
    pub watched: usize,
    /// What happened.
    pub mask: Mask,
    /// The number that the two halves of a rename share, else 0.
    pub cookie: u32,
    /// The process that caused it, 0 if that cannot be seen from here or there is none; `None` where the kernel does not
    /// tell: with inotify, and without privileges.
    pub pid: Option<i32>,
    /// Not asked for, but the watch ended: a one-shot wait is over with status 1.
    pub ends_wait: bool,
    /// It ends the watch of an operand, whatever name that has by now.
    pub ends_operand: bool,
}

/// What went wrong, in most cases without ending the work.
#[derive(Debug)]
pub enum Problem {
    /// A directory could not be watched or read.
    Directory {
        /// Its path, `/` at the end.
        path: Vec<u8>,
        /// Why.
        error: io::Error,
        /// It appeared after the set-up.
        new: bool,
    },
    /// An operand that is followed by its name leads nowhere yet.
    Absent {
        /// As given.
        path: Vec<u8>,
        /// Why.
        error: io::Error,
    },
    /// The way of an operand cannot be followed: that ends the program.
    Blocked {
        /// The directory or file that cannot be watched.
        path: Vec<u8>,
        /// Why.
        cause: io::Error,
    },
    /// A line of a file is no pattern.
    Pattern(BadLine),
    /// Events are lost.
    Overflow {
        /// The kernel's queue was full: where its length is set. `None` where it has no limit, but events wait
        /// for a reader who takes none, and as many do as may.
        limit: Option<&'static str>,
        /// What is there is compared now with what was reported.
        rescan: bool,
    },
}

/// A source of events.
///
/// The set-up: [`watch`](Self::watch) each operand, then [`walk`](Self::walk) until there is nothing left, at the
/// end [`establish`](Self::establish). Then, whenever its descriptor is readable, [`read`](Self::read) and
/// [`next`](Self::next) until that has nothing more.
pub trait Source: AsFd {
    /// Watches an operand, or says why not.
    fn watch(&mut self, operand: &[u8]) -> io::Result<()>;

    /// Watches an operand that has just been created: all that is in it is to be reported.
    fn watch_new(&mut self, operand: &[u8]) -> io::Result<()> {
        self.watch(operand)
    }

    /// Goes on with the set-up of what is below the operands; `false` when there is no more to do.
    ///
    /// ENOSPC means a limit on watches; other errors are no reason to stop. To be called until none
    /// is left; in between the program may look at signals and tell how far it is.
    fn walk(&mut self) -> io::Result<bool>;

    /// Ends the set-up: from now on all events come that were asked for.
    fn establish(&mut self);

    /// The number of watches that the operands need. May read the whole tree.
    fn needed(&mut self, operands: &[Vec<u8>]) -> usize;

    /// The number of watches.
    fn watches(&self) -> usize;

    /// Every watch, in the order in which the reference would have set them up.
    fn in_order(&self) -> Vec<Wd>;

    /// The present path of a watch.
    fn path(&self, watch: Wd) -> Option<Vec<u8>>;

    /// The next of the problems met so far, without handling events; for the time of the set-up.
    fn problem(&mut self) -> Option<Problem>;

    /// Reads what the kernel has queued, and begins a turn: [`next`](Self::next) handles what was read so far and
    /// no more, though it may have to read on meanwhile. Returns how much that is, in bytes. Never blocks.
    fn read(&mut self) -> io::Result<usize>;

    /// Whether events keep coming of which none is lost if they are read a little later.
    fn is_steady(&self) -> bool {
        false
    }

    /// A descriptor with an exceptional condition (POLLPRI) once after each change of what is mounted: then
    /// [`mounts_changed`](Self::mounts_changed), and a turn.
    fn lookout(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Something was mounted or unmounted.
    fn mounts_changed(&mut self) {}

    /// When a turn is to begin at the latest, though nothing can be read.
    fn wakes_at(&self) -> Option<Instant> {
        None
    }

    /// Whether more than this turn's was read.
    fn has_more(&self) -> bool;

    /// The program is about to wait for the next event: lets go of what is only kept until the next read, by reading now.
    fn rest(&mut self) {}

    /// The next thing to report; `None` when the turn is over.
    fn next(&mut self) -> Option<Item<'_>>;

    /// Whether the kernel tells which process caused an event.
    fn tells_processes(&self) -> bool {
        false
    }

    /// For a time when so much waits for the program's reader that nothing more is read here: a queue without
    /// a limit would grow in the kernel for ever, so what is in it is thrown away, and an overflow told in its
    /// place. Whether there is such a queue, and this is to be called again before long.
    fn lose(&mut self) -> bool {
        false
    }

    /// Begins something whose own events are not to be reported; to be handed to [`drop_own`](Self::drop_own).
    fn begin_own(&mut self) -> Position;

    /// Ends it: `is_own` tells which of the events that came meanwhile are its own, by mask and path.
    fn drop_own(&mut self, begun: Position, is_own: &dyn Fn(Mask, &[u8]) -> bool);
}
