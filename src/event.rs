//! The one table of events: name, bits, description.
//!
//! `-e`, `%e`, the help texts, the man pages, the completions and inotifywatch's columns all
//! come from [`EVENTS`] or are held to it by a test. The bits are those of inotify(7).

use crate::sys::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE,
    IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_ONESHOT, IN_OPEN, IN_Q_OVERFLOW, IN_UNMOUNT, Mask,
};

/// An event name that `-e` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName {
    /// As typed after `-e` (in any case).
    pub name: &'static str,
    /// The bits it stands for. `close` and `move` are two events each.
    pub bits: Mask,
    /// What it means, for help and manual; empty for a name that those do not list.
    pub help: &'static str,
}

const fn event(name: &'static str, bits: Mask, help: &'static str) -> EventName {
    EventName { name, bits, help }
}

/// Every name that `-e` takes, in the order in which the help lists them.
pub const EVENTS: &[EventName] = &[
    event("access", IN_ACCESS, "the contents of a file or directory were read"),
    event("modify", IN_MODIFY, "the contents of a file were written or truncated"),
    event("attrib", IN_ATTRIB, "permissions, owner, times, links or xattrs changed"),
    event("close_write", IN_CLOSE_WRITE, "closed after being open for writing"),
    event("close_nowrite", IN_CLOSE_NOWRITE, "closed after being open for reading only"),
    event("close", IN_CLOSE, "closed: close_write and close_nowrite"),
    event("open", IN_OPEN, "a file or directory was opened"),
    event("moved_to", IN_MOVED_TO, "an entry was renamed into a watched directory"),
    event("moved_from", IN_MOVED_FROM, "an entry was renamed out of a watched directory"),
    event("move", IN_MOVE, "renamed in or out: moved_to and moved_from"),
    event("move_self", IN_MOVE_SELF, "the watched file or directory itself was renamed"),
    event("create", IN_CREATE, "an entry was created in a watched directory"),
    event("delete", IN_DELETE, "an entry was deleted from a watched directory"),
    event("delete_self", IN_DELETE_SELF, "the watched file or directory itself was deleted"),
    event("unmount", IN_UNMOUNT, "the file system of a watched path was unmounted"),
    event("lsdir", LSDIR, "a directory was read: access, on directories only"),
    event("ignored", IN_IGNORED, ""),
    event("q_overflow", IN_Q_OVERFLOW, ""),
    event("isdir", IN_ISDIR, ""),
    event("oneshot", IN_ONESHOT, ""),
    event("all_events", IN_ALL_EVENTS, ""),
];

/// `lsdir` is no bit of the kernel's: it asks for [`IN_ACCESS`] and reports it on directories
/// only. The bit is one that inotify(7) leaves unused.
pub const LSDIR: Mask = Mask::of(0x0001_0000);

/// What the kernel is to be asked for, to hear of `events`.
pub fn kernel_bits(events: Mask) -> Mask {
    if events.has(LSDIR) { events & !LSDIR | IN_ACCESS } else { events }
}

/// An entry appears in a directory.
pub const ARRIVALS: Mask = IN_CREATE.or(IN_MOVED_TO);
/// An entry disappears.
pub const DEPARTURES: Mask = IN_DELETE.or(IN_MOVED_FROM);
/// Either of these.
pub const ENTRY: Mask = ARRIVALS.or(DEPARTURES);

/// The events that reading a directory causes, on it and on the directory that it is in.
pub const READING: Mask = IN_OPEN.or(IN_ACCESS).or(IN_CLOSE_NOWRITE);

/// What ends a watch, or tells of losses: never asked of the kernel, always told.
pub const FINAL: Mask = IN_IGNORED.or(IN_UNMOUNT).or(IN_Q_OVERFLOW);

/// Whether `-e` asked for an event of this mask; `events` are those it named.
pub fn is_asked(events: Mask, mask: Mask) -> bool {
    (mask & events).has(IN_ALL_EVENTS | FINAL)
        || mask.has(IN_ISDIR)
            && (events.has(LSDIR) && mask.has(IN_ACCESS)
                // The reference prints these with -r: what it listens for to follow the tree.
                || events.has(IN_ISDIR) && mask.has(IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO))
}

/// What is to be reported of several events that are told as one.
pub fn without_unasked(events: Mask, mask: Mask) -> Mask {
    let lsdir = IN_ACCESS.when(events.has(LSDIR) && mask.has(IN_ISDIR));
    let asked = mask & (events | lsdir) & IN_ALL_EVENTS;
    if asked == Mask::NONE { mask } else { asked | mask & (IN_ISDIR | FINAL) }
}

/// How an event's bits are printed, in the reference's order: CLOSE comes behind either kind of close.
pub const PRINTED: &[(Mask, &str)] = &[
    (IN_ACCESS, "ACCESS"),
    (IN_MODIFY, "MODIFY"),
    (IN_ATTRIB, "ATTRIB"),
    (IN_CLOSE_WRITE, "CLOSE_WRITE"),
    (IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
    (IN_OPEN, "OPEN"),
    (IN_MOVED_FROM, "MOVED_FROM"),
    (IN_MOVED_TO, "MOVED_TO"),
    (IN_CREATE, "CREATE"),
    (IN_DELETE, "DELETE"),
    (IN_DELETE_SELF, "DELETE_SELF"),
    (IN_UNMOUNT, "UNMOUNT"),
    (IN_Q_OVERFLOW, "Q_OVERFLOW"),
    (IN_IGNORED, "IGNORED"),
    (IN_CLOSE, "CLOSE"),
    (IN_MOVE_SELF, "MOVE_SELF"),
    (IN_ISDIR, "ISDIR"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsdir_is_access_on_directories_and_nothing_else() {
        for (mask, asked) in [
            (IN_ACCESS | IN_ISDIR, true),
            (IN_ACCESS, false),
            (IN_CREATE | IN_ISDIR, false),
            (IN_OPEN | IN_ISDIR, false),
            (IN_ISDIR, false),
        ] {
            assert_eq!(is_asked(LSDIR, mask), asked, "{mask:x?}");
        }
        assert_eq!(kernel_bits(LSDIR | IN_OPEN), IN_ACCESS | IN_OPEN);
        assert_eq!(kernel_bits(LSDIR | IN_ACCESS), IN_ACCESS);
        assert_eq!(kernel_bits(IN_OPEN), IN_OPEN);
        assert!(is_asked(LSDIR | IN_CREATE, IN_CREATE | IN_ISDIR) && is_asked(IN_ACCESS, IN_ACCESS));
        assert_eq!(without_unasked(LSDIR, IN_ACCESS | IN_OPEN | IN_ISDIR), IN_ACCESS | IN_ISDIR);
        assert_eq!(without_unasked(LSDIR | IN_OPEN, IN_ACCESS | IN_OPEN), IN_OPEN);
        assert_eq!(without_unasked(IN_OPEN, IN_ACCESS | IN_OPEN | IN_ISDIR), IN_OPEN | IN_ISDIR);
    }

    #[test]
    fn isdir_alone_selects_the_events_that_follow_a_tree() {
        for (mask, asked) in [
            (IN_CREATE | IN_ISDIR, true),
            (IN_MOVED_FROM | IN_ISDIR, true),
            (IN_MOVED_TO | IN_ISDIR, true),
            (IN_DELETE | IN_ISDIR, false),
            (IN_CREATE, false),
        ] {
            assert_eq!(is_asked(IN_ISDIR, mask), asked, "{mask:x?}");
        }
    }

    #[test]
    fn the_end_of_a_watch_is_asked_for_by_its_own_name_only() {
        for bit in [IN_IGNORED, IN_UNMOUNT, IN_Q_OVERFLOW] {
            assert!(is_asked(bit, bit) && !is_asked(IN_ALL_EVENTS, bit), "{bit:x?}");
            assert_eq!(without_unasked(IN_OPEN, IN_OPEN | IN_CLOSE_WRITE | bit), IN_OPEN | bit);
        }
    }
}
