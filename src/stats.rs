//! inotifywatch's counters and its table.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hashbrown::HashTable;

use crate::cli::{Sort, SortKey};
use crate::escape::escape;
use crate::event::{EVENTS, kernel_bits};
use crate::hash::hash_of_number;
use crate::json;
use crate::source::Source;
use crate::sys::inotify::Wd;
use crate::sys::mask::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MODIFY,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, IN_UNMOUNT, Mask,
};
use crate::timefmt;

/// The columns, in the reference's order.
const COLUMNS: [Mask; 13] = [
    IN_ACCESS,
    IN_MODIFY,
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CLOSE_NOWRITE,
    IN_OPEN,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_MOVE_SELF,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_UNMOUNT,
];

/// The events that have a column, and by the number of an event's bit where it is in [`COLUMNS`].
const COUNTED: Mask = {
    let (mut all, mut at) = (Mask::NONE, 0);
    while at < COLUMNS.len() {
        all = all.or(COLUMNS[at]);
        at += 1;
    }
    all
};
const COLUMN_OF: [usize; u32::BITS as usize] = {
    let (mut columns, mut at) = ([0; u32::BITS as usize], 0);
    while at < COLUMNS.len() {
        columns[COLUMNS[at].bits().trailing_zeros() as usize] = at;
        at += 1;
    }
    columns
};

/// How often each event of [`COLUMNS`] happened.
type Counts = [u64; COLUMNS.len()];

/// The counts of every watch for which there are any.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// A watch without counts has a row, too, if it is gone: the source knows it no more.
    zero: bool,
    /// The watches of the set-up, sorted, and the position of each in the order of watching.
    order: Rc<[(Wd, u32)]>,
    /// How many rows were made for others.
    others: usize,
    /// The rows of present watches, and where each is.
    present: Vec<(Wd, Row)>,
    by_watch: HashTable<(Wd, usize)>,
    /// The rows of watches that are gone, by their last path. A directory that is made again has the same row.
    by_path: HashMap<Vec<u8>, Row>,
}

#[derive(Debug, Clone, Default)]
struct Row {
    /// Ties keep the order of watching.
    position: usize,
    counts: Counts,
}

impl Row {
    fn add(&mut self, other: &Row) {
        self.position = self.position.min(other.position);
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What the rows are sorted by.
    fn key(&self, key: SortKey) -> u64 {
        match key {
            SortKey::Total => self.total(),
            SortKey::Event(event) => {
                COLUMNS.iter().position(|column| *column == event).map_or(0, |column| self.counts[column])
            }
        }
    }
}

/// How the table is to look.
#[derive(Debug, Clone)]
pub struct Table {
    /// The events asked for.
    pub events: Mask,
    /// Rows and columns of zeros, too.
    pub zero: bool,
    /// The order of the rows.
    pub sort: Sort,
    /// At most so many rows.
    pub top: Option<usize>,
    /// Columns that are there whether or not they counted anything.
    pub kept: Mask,
    /// JSON instead of columns.
    pub json: bool,
    /// For a terminal: control characters in paths are escaped.
    pub escaped: bool,
}

impl Stats {
    /// Of the watches of the set-up, in the order of watching. `zero`: for a table of all watches.
    pub fn new(watches: &[Wd], zero: bool) -> Stats {
        let mut order: Vec<(Wd, u32)> = watches.iter().copied().zip(0..).collect();
        order.sort_unstable();
        Stats { zero, order: order.into(), ..Stats::default() }
    }

    /// Counts an event, if it has a column.
    pub fn count(&mut self, watch: Wd, mask: Mask) {
        let counted = mask & COUNTED;
        if counted == Mask::NONE {
            return;
        }
        let at = match self.row_of(watch) {
            Some(at) => at,
            None => self.add(watch),
        };
        let counts = &mut self.present[at].1.counts;
        counted.positions().for_each(|bit| counts[COLUMN_OF[bit]] += 1);
    }

    /// Where the row of a watch is.
    fn row_of(&self, watch: Wd) -> Option<usize> {
        self.by_watch.find(hash_of_number(watch), |(known, _)| *known == watch).map(|(_, at)| *at)
    }

    fn put_row(&mut self, watch: Wd, at: usize) {
        let hash = |(watch, _): &(Wd, usize)| hash_of_number(*watch);
        let entry = self.by_watch.entry(hash_of_number(watch), |(known, _)| *known == watch, hash);
        entry.insert((watch, at));
    }

    /// A watch is gone; its row keeps the last path.
    pub fn retire(&mut self, watch: Wd, path: &[u8]) {
        let at = match self.row_of(watch) {
            Some(at) => at,
            None if self.zero => self.add(watch),
            None => return,
        };
        if let Ok(found) = self.by_watch.find_entry(hash_of_number(watch), |(known, _)| *known == watch) {
            found.remove();
        }
        let (_, row) = self.present.swap_remove(at);
        if let Some((moved, _)) = self.present.get(at) {
            self.put_row(*moved, at);
        }
        match self.by_path.get_mut(path) {
            Some(same) => same.add(&row),
            None => drop(self.by_path.insert(path.to_vec(), row)),
        }
    }

    /// Makes a row for a watch that has none; returns where it is.
    fn add(&mut self, watch: Wd) -> usize {
        let position = match self.order.binary_search_by_key(&watch, |(watch, _)| *watch) {
            Ok(at) => self.order[at].1 as usize,
            Err(_) => {
                self.others += 1;
                self.order.len() + self.others
            }
        };
        self.present.push((watch, Row { position, ..Row::default() }));
        self.put_row(watch, self.present.len() - 1);
        self.present.len() - 1
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counted() == Mask::NONE
    }

    /// The events that were counted at least once.
    pub fn counted(&self) -> Mask {
        let sums = sums(self.all());
        COLUMNS
            .iter()
            .zip(sums.counts)
            .filter(|(_, count)| *count > 0)
            .fold(Mask::NONE, |all, (bit, _)| all | *bit)
    }

    /// The sum of all counts, and the number of rows that have any.
    pub fn total(&self) -> (u64, usize) {
        (sums(self.all()).total(), self.all().filter(|row| row.total() > 0).count())
    }

    fn all(&self) -> impl Iterator<Item = &Row> {
        self.present.iter().map(|(_, row)| row).chain(self.by_path.values())
    }

    /// Takes what was counted so far.
    pub fn take(&mut self) -> Stats {
        let next = Stats { zero: self.zero, order: Rc::clone(&self.order), ..Stats::default() };
        std::mem::replace(self, next)
    }

    /// The table. `time` is how long was counted.
    pub fn table(&mut self, source: &dyn Source, table: &Table, time: Duration) -> Vec<u8> {
        let rows = self.rows(source);
        let mut sorted = sorted(&rows, table.sort);
        sorted.truncate(table.top.unwrap_or(usize::MAX));
        if table.json {
            return render_json(&sorted, table, time);
        }
        let counted = sums(sorted.iter().map(|(_, row)| row));
        let events = kernel_bits(table.events);
        let columns: Vec<usize> = (0..COLUMNS.len())
            .filter(|at| events.has(COLUMNS[*at]))
            .filter(|at| table.zero || table.kept.has(COLUMNS[*at]) || counted.counts[*at] > 0)
            .collect();
        render(&sorted, &columns, table.escaped)
    }

    /// All paths and their rows.
    fn rows(&mut self, source: &dyn Source) -> Vec<(Vec<u8>, Row)> {
        if self.zero {
            for watch in source.in_order() {
                if self.row_of(watch).is_none() {
                    self.add(watch);
                }
            }
        }
        let mut gone: HashMap<&[u8], &Row> =
            self.by_path.iter().map(|(path, row)| (&path[..], row)).collect();
        let mut rows = Vec::with_capacity(self.present.len() + gone.len());
        for (watch, row) in &self.present {
            let Some(path) = source.path(*watch) else { continue };
            let mut row = row.clone();
            if let Some(same) = gone.remove(&path[..]) {
                row.add(same);
            }
            rows.push((path, row));
        }
        rows.extend(gone.into_iter().map(|(path, row)| (path.to_vec(), row.clone())));
        rows
    }
}

fn sums<'a>(rows: impl Iterator<Item = &'a Row>) -> Row {
    rows.fold(Row::default(), |mut sums, row| {
        sums.add(row);
        sums
    })
}

/// The rows in the order that was asked for.
fn sorted(rows: &[(Vec<u8>, Row)], sort: Sort) -> Vec<&(Vec<u8>, Row)> {
    let key = |row: &Row| if sort.ascending { row.key(sort.key) } else { !row.key(sort.key) };
    let mut keys: Vec<_> = rows.iter().zip(0..).map(|((_, row), at)| (key(row), row.position, at)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, _, at): (u64, usize, usize)| &rows[at]).collect()
}

/// Each column is as wide as its header, then come two blanks; a longer number pushes the rest of its row on,
/// as in the reference. The path comes last.
fn render(rows: &[&(Vec<u8>, Row)], columns: &[usize], escaped: bool) -> Vec<u8> {
    let headers: Vec<&str> =
        std::iter::once("total").chain(columns.iter().map(|at| name(COLUMNS[*at]))).collect();
    let line: usize = headers.iter().map(|header| header.len() + 2).sum();
    let mut out = Vec::with_capacity(rows.iter().map(|(path, _)| line + path.len() + 1).sum());
    for header in &headers {
        out.extend_from_slice(format!("{header}  ").as_bytes());
    }
    out.extend_from_slice(b"filename\n");
    for (path, row) in rows {
        let numbers = std::iter::once(row.total()).chain(columns.iter().map(|at| row.counts[*at]));
        for (number, header) in numbers.zip(&headers) {
            append_number(number, header.len(), &mut out);
            out.extend_from_slice(b"  ");
        }
        out.extend_from_slice(&if escaped { escape(path) } else { Cow::Borrowed(&path[..]) });
        out.push(b'\n');
    }
    out
}

/// Appends a number and as many blanks as `width` asks for. A table has a million numbers: format! would take most of its
/// time.
fn append_number(number: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[start..].reverse();
    let end = out.len().max(start + width);
    out.resize(end, b' ');
}

/// An object for each row, with the columns that counted something.
fn render_json(rows: &[&(Vec<u8>, Row)], table: &Table, time: Duration) -> Vec<u8> {
    let mut head = b"{\"time\":\"".to_vec();
    timefmt::append_utc(SystemTime::now(), &mut head);
    head.extend_from_slice(format!("\",\"seconds\":{:.6},\"path\":", time.as_secs_f64()).as_bytes());
    let events = kernel_bits(table.events);
    let mut out = Vec::new();
    for (path, row) in rows {
        out.extend_from_slice(&head);
        json::append_string(path, &mut out);
        let columns = COLUMNS.iter().zip(row.counts).filter(|(bit, _)| events.has(**bit));
        let counted = columns.filter(|(_, count)| table.zero || *count > 0);
        let counted: Vec<_> = counted.map(|(bit, count)| format!("\"{}\":{count}", name(*bit))).collect();
        let rest = format!(",\"total\":{},\"events\":{{{}}}}}\n", row.total(), counted.join(","));
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

/// The name that `-e` has for a single event.
fn name(bit: Mask) -> &'static str {
    EVENTS.iter().find(|event| event.bits == bit).map_or("", |event| event.name)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use super::*;
    use crate::backlog::Position;
    use crate::source::{Item, Problem};
    use crate::sys::mask::{IN_IGNORED, IN_ISDIR};

    /// A source that knows the paths of its watches, in this order, and nothing else.
    struct Known(&'static [(Wd, &'static str)]);

    impl AsFd for Known {
        fn as_fd(&self) -> BorrowedFd<'_> {
            unimplemented!()
        }
    }

    impl Source for Known {
        fn in_order(&self) -> Vec<Wd> {
            self.0.iter().map(|(watch, _)| *watch).collect()
        }
        fn path(&self, watch: Wd) -> Option<Vec<u8>> {
            let path = self.0.iter().find(|(known, _)| *known == watch);
            path.map(|(_, path)| path.as_bytes().to_vec())
        }
        fn watch(&mut self, _: &[u8]) -> io::Result<()> {
            unimplemented!()
        }
        fn walk(&mut self) -> io::Result<bool> {
            unimplemented!()
        }
        fn establish(&mut self) {}
        fn needed(&mut self, _: &[Vec<u8>]) -> usize {
            unimplemented!()
        }
        fn watches(&self) -> usize {
            self.0.len()
        }
        fn problem(&mut self) -> Option<Problem> {
            None
        }
        fn read(&mut self) -> io::Result<usize> {
            unimplemented!()
        }
        fn has_more(&self) -> bool {
            false
        }
        fn next(&mut self) -> Option<Item<'_>> {
            None
        }
        fn begin_own(&mut self) -> Position {
            Position::default()
        }
        fn drop_own(&mut self, _: Position, _: &dyn Fn(Mask, &[u8]) -> bool) {}
    }

    const THREE: Known = Known(&[(Wd(7), "a/"), (Wd(3), "b/"), (Wd(5), "c/")]);

    fn usual() -> Table {
        Table {
            events: COUNTED,
            zero: false,
            sort: Sort { ascending: false, key: SortKey::Total },
            top: None,
            kept: Mask::NONE,
            json: false,
            escaped: false,
        }
    }

    fn printed(stats: &mut Stats, source: &Known, table: &Table) -> String {
        String::from_utf8(stats.table(source, table, Duration::from_millis(1500))).unwrap()
    }

    /// The paths of the rows, joined.
    fn paths(stats: &mut Stats, source: &Known, table: &Table) -> String {
        let text = printed(stats, source, table);
        let paths: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().next_back()).collect();
        paths.join(" ")
    }

    /// Three creations and a deletion in `b/`, two creations in `c/` and one opening of `a/`.
    fn some() -> Stats {
        let mut stats = Stats::new(&[Wd(7), Wd(3), Wd(5)], false);
        for (watch, mask) in [
            (3, IN_CREATE),
            (3, IN_CREATE | IN_ISDIR),
            (5, IN_CREATE),
            (7, IN_OPEN),
            (5, IN_CREATE),
            (3, IN_CREATE),
            (3, IN_DELETE),
        ] {
            stats.count(Wd(watch), mask);
        }
        stats
    }

    #[test]
    fn each_watch_has_a_row_of_its_counts() {
        assert_eq!(
            printed(&mut some(), &THREE, &usual()),
            "total  open  create  delete  filename\n\
             4      0     3       1       b/\n\
             2      0     2       0       c/\n\
             1      1     0       0       a/\n"
        );
    }

    #[test]
    fn the_bits_of_a_merged_event_count_once_each_and_others_do_not() {
        let mut stats = Stats::new(&[Wd(7), Wd(3), Wd(5)], false);
        stats.count(Wd(3), IN_IGNORED);
        stats.count(Wd(3), IN_ISDIR);
        assert!(stats.is_empty() && stats.counted() == Mask::NONE && stats.total() == (0, 0));
        stats.count(Wd(3), IN_OPEN | IN_CREATE | IN_ISDIR | IN_IGNORED);
        assert!(!stats.is_empty());
        assert_eq!((stats.counted(), stats.total()), (IN_OPEN | IN_CREATE, (2, 1)));
        assert_eq!(some().total(), (7, 3));
        assert_eq!(some().counted(), IN_OPEN | IN_CREATE | IN_DELETE);
    }

    #[test]
    fn new_watches_that_are_gone_keep_the_order_of_their_first_events() {
        let mut stats = Stats::new(&[], false);
        (1..=20).for_each(|watch| stats.count(Wd(watch), IN_CREATE));
        (1..=20).for_each(|watch| stats.retire(Wd(watch), format!("{watch:02}/").as_bytes()));
        let wanted: Vec<String> = (1..=20).map(|watch| format!("{watch:02}/")).collect();
        assert_eq!(paths(&mut stats, &Known(&[]), &usual()), wanted.join(" "));
    }

    #[test]
    fn a_watch_that_is_gone_has_its_row_no_more() {
        let mut stats = Stats::new(&[Wd(7), Wd(3)], false);
        stats.count(Wd(7), IN_CREATE);
        stats.count(Wd(3), IN_CREATE);
        stats.retire(Wd(7), b"a/");
        stats.count(Wd(7), IN_CREATE);
        assert_eq!(stats.total(), (3, 3));
    }

    #[test]
    fn a_watch_without_counts_has_a_row_after_an_interval_too() {
        let mut stats = Stats::new(&[Wd(7)], true);
        stats.count(Wd(7), IN_CREATE);
        assert_eq!(stats.take().total(), (1, 1));
        stats.retire(Wd(7), b"a/");
        assert_eq!(stats.total(), (0, 0));
        assert_eq!(paths(&mut stats, &Known(&[]), &Table { zero: true, ..usual() }), "a/");
    }

    #[test]
    fn rows_are_sorted_and_ties_keep_the_order_of_watching() {
        let sorted =
            |ascending, key| paths(&mut some(), &THREE, &Table { sort: Sort { ascending, key }, ..usual() });
        assert_eq!(sorted(true, SortKey::Total), "a/ c/ b/");
        assert_eq!(sorted(false, SortKey::Event(IN_OPEN)), "a/ b/ c/");
        assert_eq!(sorted(true, SortKey::Event(IN_OPEN)), "b/ c/ a/");
        assert_eq!(sorted(false, SortKey::Event(IN_CREATE)), "b/ c/ a/");
        assert_eq!(sorted(true, SortKey::Event(IN_DELETE)), "a/ c/ b/");
        // No column: all keys are equal.
        assert_eq!(sorted(true, SortKey::Event(IN_IGNORED)), "a/ b/ c/");
    }

    #[test]
    fn watches_added_later_follow_in_the_order_of_their_rows() {
        let known = Known(&[(Wd(7), "a/"), (Wd(2), "x/"), (Wd(9), "y/"), (Wd(1), "z/")]);
        let mut stats = Stats::new(&[Wd(7), Wd(3)], false);
        for watch in [9, 2, 1, 7] {
            stats.count(Wd(watch), IN_OPEN);
        }
        assert_eq!(paths(&mut stats, &known, &usual()), "a/ y/ x/ z/");
    }

    #[test]
    fn a_row_remains_when_its_watch_is_gone_and_joins_the_next_one_of_its_path() {
        let mut stats = some();
        stats.retire(Wd(3), b"b/");
        // Not known, and no row for it without `-z`.
        stats.retire(Wd(99), b"d/");
        stats.count(Wd(5), IN_CREATE);
        stats.count(Wd(7), IN_OPEN);
        stats.count(Wd(8), IN_DELETE);
        let now = Known(&[(Wd(7), "a/"), (Wd(5), "c/"), (Wd(8), "b/")]);
        assert_eq!(
            printed(&mut stats, &now, &usual()),
            "total  open  create  delete  filename\n\
             5      0     3       2       b/\n\
             3      0     3       0       c/\n\
             2      2     0       0       a/\n"
        );
        stats.retire(Wd(8), b"b/");
        stats.retire(Wd(7), b"a/");
        stats.retire(Wd(5), b"c/");
        assert_eq!(
            printed(&mut stats, &Known(&[]), &usual()),
            "total  open  create  delete  filename\n\
             5      0     3       2       b/\n\
             3      0     3       0       c/\n\
             2      2     0       0       a/\n"
        );
        assert_eq!(stats.total(), (10, 3));
    }

    #[test]
    fn with_zero_all_watches_and_columns_are_there() {
        let mut stats = Stats::new(&[Wd(7), Wd(3), Wd(5)], true);
        stats.count(Wd(5), IN_OPEN);
        stats.retire(Wd(3), b"gone/");
        let known = Known(&[(Wd(7), "a/"), (Wd(5), "c/"), (Wd(6), "new/")]);
        let table = Table { zero: true, events: IN_OPEN | IN_CREATE, ..usual() };
        assert_eq!(
            printed(&mut stats, &known, &table),
            "total  open  create  filename\n\
             1      1     0       c/\n\
             0      0     0       a/\n\
             0      0     0       gone/\n\
             0      0     0       new/\n"
        );
    }

    #[test]
    fn the_first_rows_kept_columns_and_escaped_paths_are_as_requested() {
        let table = Table { top: Some(2), kept: IN_ACCESS, events: IN_CREATE | IN_ACCESS, ..usual() };
        assert_eq!(
            printed(&mut some(), &THREE, &table),
            "total  access  create  filename\n\
             4      0       3       b/\n\
             2      0       2       c/\n"
        );
        let known = Known(&[(Wd(1), "a\nb/")]);
        let mut stats = Stats::new(&[Wd(1)], false);
        stats.count(Wd(1), IN_OPEN);
        assert_eq!(
            printed(&mut stats, &known, &Table { escaped: true, ..usual() }),
            "total  open  filename\n1      1     a\\nb/\n"
        );
    }

    #[test]
    fn json_has_an_object_for_each_row() {
        let json = |table: &Table| {
            let text = printed(&mut some(), &THREE, table);
            let lines: Vec<String> = text
                .lines()
                .map(|line| line.split_once(",\"seconds\":").expect("a time comes first").1.to_owned())
                .collect();
            lines.join("\n")
        };
        assert_eq!(
            json(&Table { json: true, ..usual() }),
            "1.500000,\"path\":\"b/\",\"total\":4,\"events\":{\"create\":3,\"delete\":1}}\n\
             1.500000,\"path\":\"c/\",\"total\":2,\"events\":{\"create\":2}}\n\
             1.500000,\"path\":\"a/\",\"total\":1,\"events\":{\"open\":1}}"
        );
        assert_eq!(
            json(&Table { json: true, zero: true, top: Some(1), events: IN_OPEN | IN_DELETE, ..usual() }),
            "1.500000,\"path\":\"b/\",\"total\":4,\"events\":{\"open\":0,\"delete\":1}}"
        );
    }

    #[test]
    fn counts_that_were_taken_are_not_counted_again() {
        let mut stats = some();
        let mut taken = stats.take();
        assert!(stats.is_empty());
        assert_eq!(paths(&mut taken, &THREE, &usual()), "b/ c/ a/");
        stats.count(Wd(3), IN_OPEN);
        stats.count(Wd(7), IN_OPEN);
        assert_eq!(paths(&mut stats, &THREE, &usual()), "a/ b/");
    }

    #[test]
    fn numbers_are_padded_as_by_format() {
        for number in [0, 1, 9, 10, 11, 99, 100, 12_345, u64::MAX] {
            for width in [0, 1, 2, 5, 21] {
                let mut out = b"x".to_vec();
                append_number(number, width, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("x{number:<width$}"));
            }
        }
    }
}
