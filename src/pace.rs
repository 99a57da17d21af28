//! When to read next. To be woken for every few events of a flood costs several times what the events cost, here and in
//! the program that causes them.

use std::ops::Range;
use std::time::Duration;

use crate::source::Event;
use crate::sys::inotify::Wd;
use crate::sys::mask::Mask;

/// After a read of as much as this, in bytes, more is likely to come at once.
const FLOOD: Range<usize> = 256..128 * 1024;
/// So the next read waits for this long. What the kernel queues in it is a small part of what it can.
const PAUSE: Duration = Duration::from_millis(2);

/// How long to wait after a read of so many bytes, if it was part of a flood: in one that is [steady](crate::queue::Queue::is_steady),
/// any read was that brought something.
pub fn pause_after(length: usize, is_steady: bool) -> Option<Duration> {
    let least = if is_steady { 1 } else { FLOOD.start };
    (least..FLOOD.end).contains(&length).then_some(PAUSE)
}

/// The same for a program that counts. If an event is like the one before it, and that is not read yet, the kernel keeps
/// one of them; a pause would merge more of them. So there is none while events repeat. Where they are merged nothing
/// shows, so now and then some reads come without a pause, to see whether they do.
#[derive(Debug)]
pub struct Pace {
    last: Option<Last>,
    /// Whether the last read began with an event like the last one of the read before.
    repeats: bool,
    /// How many reads come without a pause.
    eager: u32,
    /// How many came with one since the last that came without.
    paused: u32,
}

#[derive(Debug)]
struct Last {
    watch: Wd,
    mask: Mask,
    cookie: u32,
    path: Vec<u8>,
    /// It was the last of a read.
    is_over: bool,
}

impl Pace {
    /// Reads without a pause, to see whether events repeat.
    const TRIAL: u32 = 8;
    /// Reads without a pause after events that did.
    const WARY: u32 = 64;
    /// Reads with one between two trials.
    const TRUST: u32 = 64;

    /// To be called for each event that was read.
    pub fn see(&mut self, event: &Event) {
        let Event { watch, path, mask, cookie, .. } = *event;
        let last = self.last.get_or_insert_with(|| Last {
            watch,
            mask: Mask::NONE,
            cookie,
            path: Vec::new(),
            is_over: false,
        });
        if last.is_over {
            let same = (last.watch, last.mask, last.cookie) == (watch, mask, cookie);
            self.repeats = same && last.path == path;
        }
        (last.watch, last.mask, last.cookie, last.is_over) = (watch, mask, cookie, false);
        path.clone_into(&mut last.path);
    }

    /// How long to wait after a read of so many bytes whose events were seen.
    pub fn pause_after(&mut self, length: usize) -> Option<Duration> {
        if let Some(last) = &mut self.last {
            last.is_over = true;
        }
        if std::mem::take(&mut self.repeats) {
            self.eager = Pace::WARY;
        }
        if self.eager > 0 {
            self.eager -= 1;
            return None;
        }
        let pause = pause_after(length, false)?;
        self.paused += 1;
        if self.paused == Pace::TRUST {
            (self.paused, self.eager) = (0, Pace::TRIAL);
        }
        Some(pause)
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { last: None, repeats: false, eager: Pace::TRIAL, paused: 0 }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::sys::mask::{IN_CREATE, IN_DELETE, IN_MODIFY};

    const MUCH: usize = 1000;

    /// Reads of two events each, `count` times; how many of them a pause follows.
    fn reads(pace: &mut Pace, count: u32, first: Mask, second: Mask) -> u32 {
        let see = |pace: &mut Pace, mask| {
            pace.see(&Event {
                watch: Wd(1),
                path: b"d/f",
                watched: 2,
                mask,
                cookie: 0,
                ends_wait: false,
                ends_operand: false,
                pid: None,
            });
        };
        let mut pauses = 0;
        for _ in 0..count {
            see(pace, first);
            see(pace, second);
            pauses += u32::from(pace.pause_after(MUCH).is_some());
        }
        pauses
    }

    #[test]
    fn a_pause_follows_a_read_that_was_part_of_a_flood() {
        for (length, is_steady, pauses) in [
            (0, true, false),
            (1, true, true),
            (FLOOD.start - 1, false, false),
            (FLOOD.start, false, true),
            (FLOOD.end - 1, true, true),
            (FLOOD.end, true, false),
        ] {
            assert_eq!(pause_after(length, is_steady).is_some(), pauses, "{length} {is_steady}");
        }
    }

    #[test]
    fn there_are_pauses_while_events_differ() {
        let mut pace = Pace::default();
        assert_eq!(reads(&mut pace, Pace::TRIAL, IN_CREATE, IN_DELETE), 0);
        assert_eq!(reads(&mut pace, Pace::TRUST, IN_CREATE, IN_DELETE), Pace::TRUST);
        assert_eq!(reads(&mut pace, Pace::TRIAL, IN_CREATE, IN_DELETE), 0);
        assert_eq!(reads(&mut pace, Pace::TRUST, IN_CREATE, IN_DELETE), Pace::TRUST);
        assert_eq!(pace.pause_after(64), None);
    }

    #[test]
    fn there_is_no_pause_while_events_repeat() {
        let mut pace = Pace::default();
        assert_eq!(reads(&mut pace, Pace::TRIAL, IN_CREATE, IN_DELETE), 0);
        assert_eq!(reads(&mut pace, 10, IN_CREATE, IN_DELETE), 10);
        // Modified at the end of one read and at the beginning of the next.
        reads(&mut pace, 1, IN_CREATE, IN_MODIFY);
        assert_eq!(reads(&mut pace, 1, IN_MODIFY, IN_DELETE), 0);
        assert_eq!(reads(&mut pace, Pace::WARY - 1, IN_CREATE, IN_DELETE), 0);
        assert_eq!(reads(&mut pace, 1, IN_CREATE, IN_DELETE), 1);
        assert_eq!(reads(&mut pace, 1000, IN_MODIFY, IN_MODIFY), 1);
    }
}
