//! What holds of the batches of `--debounce`, whatever comes when.

use std::time::{Duration, Instant, SystemTime};

use inotify_tools::internals::inotify::Wd;
use inotify_tools::internals::mask::{
    IN_CREATE, IN_DELETE, IN_ISDIR, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, Mask,
};
use inotify_tools::internals::{Batch, Event, Settle};

/// The paths of events, each with the length of what is watched.
const PATHS: [(&str, usize); 6] = [("", 0), ("d/", 2), ("d/a", 2), ("d/b", 2), ("d/b/", 4), ("f", 1)];
const MASKS: [Mask; 5] = [IN_CREATE, IN_MODIFY, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO];
const RENAMES: Mask = IN_MOVED_FROM.or(IN_MOVED_TO);

/// An event, this long after the beginning.
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

/// Checks batches of `quiet` milliseconds, and of at most `most` unless that is 0. Each four bytes are an event: the time since the one
/// before, its path, its mask, its cookie.
pub fn holds(quiet: u8, most: u8, events: &[[u8; 4]]) {
    let millis = |number: u8| Duration::from_millis(number.into());
    let settle = Settle { quiet: millis(quiet), most: (most != 0).then(|| millis(most)) };
    let mut at = Duration::ZERO;
    let happened: Vec<Happened> = events
        .iter()
        .map(|[gap, path, mask, cookie]| {
            at += Duration::from_millis(u64::from(gap % 12));
            let (path, watched) = PATHS[usize::from(*path) % PATHS.len()];
            let is_directory = mask & 0x80 != 0;
            let mask = MASKS[usize::from(*mask) % MASKS.len()];
            let cookie = if mask.has(RENAMES) { u32::from(*cookie) } else { 0 };
            let mask = mask | IN_ISDIR.when(is_directory);
            Happened { at, path, watched, mask, cookie }
        })
        .collect();
    assert_eq!(batches(settle, &happened), expected(settle, &happened), "{settle:?} {happened:?}");
    is_held(&happened);
}

fn add(batch: &mut Batch, begin: Instant, event: &Happened) {
    let Happened { at, path, watched, mask, cookie } = *event;
    let pid = i32::try_from(at.as_millis()).ok();
    let event = Event {
        watch: Wd(1),
        path: path.as_bytes(),
        watched,
        mask,
        cookie,
        pid,
        ends_wait: false,
        ends_operand: false,
    };
    let comm = format!("{at:?}");
    batch.add(&event, Some(comm.as_bytes()), SystemTime::UNIX_EPOCH + at, begin + at);
}

fn take(batch: &mut Batch) -> Vec<Printed> {
    let mut printed = Vec::new();
    let count = batch.len();
    batch.take(|event, comm, moment| {
        let path = String::from_utf8(event.path.to_vec()).expect("ASCII");
        let time = moment.duration_since(SystemTime::UNIX_EPOCH).expect("later");
        // All three are the last event's.
        assert_eq!(event.pid, i32::try_from(time.as_millis()).ok());
        assert_eq!(comm, Some(format!("{time:?}").as_bytes()));
        printed.push((path, event.watched, event.mask, event.cookie, time));
    });
    assert!(batch.is_empty() && batch.wake().is_none());
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
    // A batch that is complete as soon as an event has come is printed before the next one of the same moment.
    let is_over = |group: &[&Happened], now: Duration| {
        let (first, last) = (group[0].at, group[group.len() - 1].at);
        let end = settle.most.map_or(last + settle.quiet, |most| (last + settle.quiet).min(first + most));
        last >= end || now > end
    };
    for event in events {
        match groups.last_mut().filter(|group| !is_over(group, event.at)) {
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
        let all = own.iter().fold(Mask::NONE, |all, event| all | event.mask);
        let rename = own.iter().rev().find(|event| event.mask.has(RENAMES));
        let cookie = rename.map_or(0, |rename| rename.cookie);
        (path.to_owned(), own[0].watched, all & !IN_ISDIR | last.mask & IN_ISDIR, cookie, last.at)
    };
    paths.into_iter().map(record).collect()
}

/// A busy reader is looked at ever less often, and the batch grows.
fn is_held(events: &[Happened]) {
    let begin = Instant::now();
    let mut batch = Batch::new(Settle { quiet: Duration::from_millis(1), most: None });
    events.iter().for_each(|event| add(&mut batch, begin, event));
    let Some(mut wake) = batch.wake() else { return assert!(events.is_empty()) };
    for pause in [10, 20, 40, 80, 100, 100, 100, 100, 100].iter().take(events.len() % 10) {
        assert!(!batch.is_due(wake, || true));
        // In between, it is not asked for.
        assert!(!batch.is_due(wake, || panic!("a look that is too early")));
        assert_eq!(batch.wake(), Some(wake + Duration::from_millis(*pause)));
        wake += Duration::from_millis(*pause);
    }
    assert!(batch.is_due(wake, || false));
    let all: Vec<&Happened> = events.iter().collect();
    assert_eq!(take(&mut batch), records(&all), "{events:?}");
}
