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

use libc::{IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO};

use crate::event::Mask;
use crate::sink::LIMIT;
use crate::source::Event;

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
    watch: i32,
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
        let renamed = event.mask & (IN_MOVED_FROM | IN_MOVED_TO) != 0;
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
            let event = Event { watch, path: &path, watched, mask, cookie, pid, ends_wait: false };
            each(&event, comm.as_deref(), moment);
        }
        *self = Batch::new(self.settle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{IN_CREATE, IN_DELETE, IN_MODIFY};
    use proptest::prelude::*;

    /// An event as the tests make it, this long after the beginning.
    #[derive(Debug, Clone)]
    struct Happened {
        at: Duration,
        path: &'static str,
        watched: usize,
        mask: Mask,
        cookie: u32,
    }

    /// A record that was printed: its path, the length of what was watched, mask, cookie, and the time of its last event.
    type Printed = (String, usize, Mask, u32, Duration);

    fn add(batch: &mut Batch, begin: Instant, event: &Happened) {
        let Happened { at, path, watched, mask, cookie } = *event;
        let pid = Some(i32::try_from(at.as_millis()).unwrap());
        let event = Event { watch: 1, path: path.as_bytes(), watched, mask, cookie, pid, ends_wait: false };
        let comm = format!("{at:?}");
        batch.add(&event, Some(comm.as_bytes()), SystemTime::UNIX_EPOCH + at, begin + at);
    }

    fn take(batch: &mut Batch) -> Vec<Printed> {
        let mut printed = Vec::new();
        let count = batch.len();
        batch.take(|event, comm, moment| {
            let path = String::from_utf8(event.path.to_vec()).unwrap();
            let time = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            // All three are the last event's.
            assert_eq!(event.pid, Some(i32::try_from(time.as_millis()).unwrap()));
            assert_eq!(comm, Some(format!("{time:?}").as_bytes()));
            printed.push((path, event.watched, event.mask, event.cookie, time));
        });
        assert!(batch.is_empty() && batch.size == 0 && batch.wake().is_none());
        assert_eq!(printed.len(), count);
        printed
    }

    /// What a program prints that looks at the clock whenever it is to, with a reader that is never busy.
    fn batches(settle: Settle, events: &[Happened]) -> Vec<Vec<Printed>> {
        let begin = Instant::now();
        let mut batch = Batch::new(settle);
        let mut printed = Vec::new();
        for event in events {
            let now = begin + event.at;
            if let Some(wake) = batch.wake().filter(|wake| *wake < now) {
                assert!(!batch.is_due(wake - Duration::from_nanos(1), || false));
                assert!(batch.is_due(wake, || false));
                printed.push(take(&mut batch));
            }
            add(&mut batch, begin, event);
            if batch.is_due(now, || false) {
                printed.push(take(&mut batch));
            }
        }
        printed.extend((!batch.is_empty()).then(|| take(&mut batch)));
        printed
    }

    /// The same by the letter of the manual: an event belongs to the open batch unless that was complete before.
    fn expected(settle: Settle, events: &[Happened]) -> Vec<Vec<Printed>> {
        let mut groups: Vec<Vec<&Happened>> = Vec::new();
        for event in events {
            let open = groups.last_mut().filter(|group| {
                let (first, last) = (group[0].at, group[group.len() - 1].at);
                let is_over = settle.most.is_some_and(|most| last >= first + most || event.at > first + most);
                event.at <= last + settle.quiet && !is_over
            });
            match open {
                Some(group) => group.push(event),
                None => groups.push(vec![event]),
            }
        }
        groups.into_iter().map(|group| records(&group)).collect()
    }

    fn records(group: &[&Happened]) -> Vec<Printed> {
        let mut paths: Vec<&str> = Vec::new();
        group.iter().for_each(|event| {
            if !paths.contains(&event.path) {
                paths.push(event.path);
            }
        });
        let record = |path: &str| {
            let own: Vec<&&Happened> = group.iter().filter(|event| event.path == path).collect();
            let last = own[own.len() - 1];
            let all = own.iter().fold(0, |all, event| all | event.mask);
            let rename = own.iter().rev().find(|event| event.mask & (IN_MOVED_FROM | IN_MOVED_TO) != 0);
            let cookie = rename.map_or(0, |rename| rename.cookie);
            (path.to_owned(), own[0].watched, all & !IN_ISDIR | last.mask & IN_ISDIR, cookie, last.at)
        };
        paths.into_iter().map(record).collect()
    }

    fn happened() -> impl Strategy<Value = Vec<Happened>> {
        let path =
            prop::sample::select(vec![("", 0), ("d/", 2), ("d/a", 2), ("d/b", 2), ("d/b/", 4), ("f", 1)]);
        let mask = prop::sample::select(vec![IN_CREATE, IN_MODIFY, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO]);
        let event = (0..12u64, path, mask, any::<bool>(), 1..9u32);
        prop::collection::vec(event, 0..40).prop_map(|events| {
            let mut at = Duration::ZERO;
            let happened = events.into_iter().map(|(gap, (path, watched), mask, is_dir, cookie)| {
                at += Duration::from_millis(gap);
                let cookie = if mask & (IN_MOVED_FROM | IN_MOVED_TO) != 0 { cookie } else { 0 };
                let mask = if is_dir { mask | IN_ISDIR } else { mask };
                Happened { at, path, watched, mask, cookie }
            });
            happened.collect()
        })
    }

    proptest! {
        #[test]
        fn a_batch_lasts_until_it_is_quiet_or_has_lasted_long_enough(
            events in happened(),
            quiet in 1..10u64,
            most in prop::option::of(1..30u64),
        ) {
            let quiet = Duration::from_millis(quiet);
            let settle = Settle { quiet, most: most.map(Duration::from_millis) };
            prop_assert_eq!(batches(settle, &events), expected(settle, &events));
        }

        #[test]
        fn a_busy_reader_is_looked_at_ever_less_often_and_the_batch_grows(
            events in happened(),
            looks in 0..9usize,
        ) {
            let begin = Instant::now();
            let mut batch = Batch::new(Settle { quiet: Duration::from_millis(1), most: None });
            events.iter().for_each(|event| add(&mut batch, begin, event));
            let Some(mut wake) = batch.wake() else { return Ok(()) };
            for pause in [10, 20, 40, 80, 100, 100, 100, 100, 100].iter().take(looks) {
                prop_assert!(!batch.is_due(wake, || true));
                // In between, it is not asked for.
                prop_assert!(!batch.is_due(wake, || panic!("a look that is too early")));
                prop_assert_eq!(batch.wake(), Some(wake + Duration::from_millis(*pause)));
                wake += Duration::from_millis(*pause);
            }
            prop_assert!(batch.is_due(wake, || false));
            let all: Vec<&Happened> = events.iter().collect();
            prop_assert_eq!(take(&mut batch), records(&all));
        }
    }

    /// A held batch that goes on growing is printed when it is complete again, not in the midst of a burst.
    #[test]
    fn an_event_extends_a_batch_that_is_held() {
        let begin = Instant::now();
        let millis = Duration::from_millis;
        let event = |at| Happened { at: millis(at), path: "f", watched: 1, mask: IN_MODIFY, cookie: 0 };
        let mut batch = Batch::new(Settle { quiet: millis(50), most: None });
        add(&mut batch, begin, &event(0));
        assert!(!batch.is_due(begin + millis(50), || true));
        add(&mut batch, begin, &event(55));
        assert!(!batch.is_due(begin + millis(60), || false));
        assert_eq!(batch.wake(), Some(begin + millis(105)));
        assert!(batch.is_due(begin + millis(105), || false));
    }

    #[test]
    fn timeouts_too_long_for_a_clock_never_expire() {
        let mut batch = Batch::new(Settle { quiet: Duration::MAX, most: Some(Duration::MAX) });
        let begin = Instant::now();
        add(
            &mut batch,
            begin,
            &Happened { at: Duration::ZERO, path: "f", watched: 1, mask: IN_MODIFY, cookie: 0 },
        );
        assert_eq!(batch.wake(), None);
        assert!(!batch.is_due(begin + Duration::from_secs(1 << 30), || false));
        batch = Batch::new(Settle { quiet: Duration::MAX, most: Some(Duration::from_secs(1)) });
        add(
            &mut batch,
            begin,
            &Happened { at: Duration::ZERO, path: "f", watched: 1, mask: IN_MODIFY, cookie: 0 },
        );
        assert_eq!(batch.wake(), Some(begin + Duration::from_secs(1)));
    }

    #[test]
    fn the_size_follows_the_paths() {
        let mut batch = Batch::new(Settle { quiet: Duration::from_secs(1), most: None });
        let begin = Instant::now();
        let event = |path| Happened { at: Duration::ZERO, path, watched: 1, mask: IN_MODIFY, cookie: 0 };
        add(&mut batch, begin, &event("a"));
        let one = batch.size;
        add(&mut batch, begin, &event("a"));
        assert_eq!(batch.size, one);
        add(&mut batch, begin, &event("bb"));
        assert_eq!(batch.size, 2 * one + 1);
        let left = LIMIT - batch.size;
        assert!(!batch.is_full(left - 1) && batch.is_full(left));
    }
}
