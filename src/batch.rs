//! `--debounce`: events gathered into batches, one record for each path. A station between the filter and the format.
//!
//! ```text
//! event, ..., event      (--debounce without one, or --max-delay)      complete -> the records, in order
//!   opens the batch
//! ```
//!
//! A complete batch is held while the reader of the output is busy with earlier records: it grows, instead of many
//! small batches that queue up. Nothing here reads a clock.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::sink::LIMIT;
use crate::source::Event;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO, Mask};

/// The time until a second look at a busy reader. No poll(2) event reports that a pipe is empty.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// It doubles with each look, up to this.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// The memory that a record takes besides its path, in bytes: itself, its place in the index, the allocation.
const OVERHEAD: usize = 200;

/// When a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// After no event for this long.
    pub quiet: Duration,
    /// So long after it was opened, whatever comes.
    pub most: Option<Duration>,
}

/// The events of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    /// The watch of the first event.
    watch: Wd,
    /// `%w%f`
    path: Rc<[u8]>,
    /// The length of `%w` in `path`.
    watched: usize,
    /// All bits, but [`IN_ISDIR`] as in the last event.
    mask: Mask,
    /// That of the last rename.
    cookie: u32,
    /// The time of the last event, its process and that one's name.
    moment: SystemTime,
    pid: Option<i32>,
    comm: Option<Box<[u8]>>,
}

/// The batch that is being gathered.
#[derive(Debug)]
pub struct Batch {
    settle: Settle,
    /// In the order of the first events.
    records: Vec<Record>,
    by_path: HashMap<Rc<[u8]>, usize>,
    /// The memory that they take, in bytes.
    size: usize,
    /// The times of the first event and of the last one, unless the batch is empty.
    span: Option<(Instant, Instant)>,
    /// The next look at a busy reader, and the time between the last one and that.
    look: Option<(Instant, Duration)>,
}

impl Batch {
    /// An empty batch.
    pub fn new(settle: Settle) -> Batch {
        Batch { settle, records: Vec::new(), by_path: HashMap::new(), size: 0, span: None, look: None }
    }

    /// Adds an event that was read at `moment`, which is `now`; `comm` is the name of its process.
    pub fn add(&mut self, event: &Event, comm: Option<&[u8]>, moment: SystemTime, now: Instant) {
        self.span = Some(self.span.map_or((now, now), |(first, _)| (first, now)));
        let renamed = event.mask.has(IN_MOVED_FROM | IN_MOVED_TO);
        if let Some(at) = self.by_path.get(event.path) {
            let record = &mut self.records[*at];
            record.mask = (record.mask & !IN_ISDIR) | event.mask;
            record.moment = moment;
            record.pid = event.pid;
            record.comm = comm.map(Box::from);
            if renamed {
                record.cookie = event.cookie;
            }
            return;
        }
        let path: Rc<[u8]> = event.path.into();
        self.by_path.insert(Rc::clone(&path), self.records.len());
        self.size += path.len() + OVERHEAD;
        let Event { watch, watched, mask, cookie, pid, .. } = *event;
        let comm = comm.map(Box::from);
        self.records.push(Record { watch, path, watched, mask, cookie, moment, pid, comm });
    }

    /// Whether no event has come since the last batch.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number of its records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no more is to be gathered, where `kept` bytes of output wait to be written as well.
    pub fn is_full(&self, kept: usize) -> bool {
        self.size + kept >= LIMIT
    }

    /// Whether it is to be printed now. `is_busy` says whether the reader has not yet read what was printed before.
    pub fn is_due(&mut self, now: Instant, is_busy: impl FnOnce() -> bool) -> bool {
        if self.is_empty() || self.wake().is_none_or(|wake| now < wake) {
            return false;
        }
        if !is_busy() {
            return true;
        }
        let pause = self.look.map_or(FIRST_LOOK, |(_, pause)| LAST_LOOK.min(pause * 2));
        self.look = Some((now + pause, pause));
        false
    }

    /// When to ask again whether it [is due](Self::is_due), if nothing happens before; `None` for never.
    pub fn wake(&self) -> Option<Instant> {
        let (first, last) = self.span?;
        let quiet = last.checked_add(self.settle.quiet);
        let most = self.settle.most.and_then(|most| first.checked_add(most));
        let complete = quiet.into_iter().chain(most).min();
        complete.max(complete.and(self.look.map(|(next, _)| next)))
    }

    /// Empties it: hands out a record for each path, as an event, the name of the process of the last one, and the time
    /// of that.
    pub fn take(&mut self, mut each: impl FnMut(&Event, Option<&[u8]>, SystemTime)) {
        // With it goes the other half of each path's ownership, so that a record's memory is free once it is handed out.
        self.by_path = HashMap::new();
        for Record { watch, path, watched, mask, cookie, moment, pid, comm } in self.records.drain(..) {
            let event = Event {
                watch,
                path: &path,
                watched,
                mask,
                cookie,
                pid,
                ends_wait: false,
                ends_operand: false,
            };
            each(&event, comm.as_deref(), moment);
        }
        *self = Batch::new(self.settle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mask::IN_MODIFY;

    fn add(batch: &mut Batch, path: &str, now: Instant) {
        let (path, mask) = (path.as_bytes(), IN_MODIFY);
        let event = Event {
            watch: Wd(1),
            path,
            watched: 1,
            mask,
            cookie: 0,
            pid: None,
            ends_wait: false,
            ends_operand: false,
        };
        batch.add(&event, None, SystemTime::UNIX_EPOCH, now);
    }

    /// A held batch that goes on growing is printed when it is complete again, not in the midst of a burst.
    #[test]
    fn an_event_extends_a_batch_that_is_held() {
        let begin = Instant::now();
        let millis = Duration::from_millis;
        let mut batch = Batch::new(Settle { quiet: millis(50), most: None });
        add(&mut batch, "f", begin);
        assert!(!batch.is_due(begin + millis(50), || true));
        add(&mut batch, "f", begin + millis(55));
        assert!(!batch.is_due(begin + millis(60), || false));
        assert_eq!(batch.wake(), Some(begin + millis(105)));
        assert!(batch.is_due(begin + millis(105), || false));
    }

    #[test]
    fn timeouts_too_long_for_a_clock_never_expire() {
        let mut batch = Batch::new(Settle { quiet: Duration::MAX, most: Some(Duration::MAX) });
        let begin = Instant::now();
        add(&mut batch, "f", begin);
        assert_eq!(batch.wake(), None);
        assert!(!batch.is_due(begin + Duration::from_secs(1 << 30), || false));
        batch = Batch::new(Settle { quiet: Duration::MAX, most: Some(Duration::from_secs(1)) });
        add(&mut batch, "f", begin);
        assert_eq!(batch.wake(), Some(begin + Duration::from_secs(1)));
    }

    #[test]
    fn the_size_follows_the_paths() {
        let mut batch = Batch::new(Settle { quiet: Duration::from_secs(1), most: None });
        let begin = Instant::now();
        add(&mut batch, "a", begin);
        let one = batch.size;
        add(&mut batch, "a", begin);
        assert_eq!(batch.size, one);
        add(&mut batch, "bb", begin);
        assert_eq!(batch.size, 2 * one + 1);
        let left = LIMIT - batch.size;
        assert!(!batch.is_full(left - 1) && batch.is_full(left));
        batch.take(|_, _, _| {});
        assert_eq!(batch.size, 0);
    }
}
