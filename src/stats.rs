//! inotifywatch's counters and its table.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use libc::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MODIFY,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, IN_UNMOUNT,
};

use crate::cli::{Sort, SortKey};
use crate::escape::escape;
use crate::event::{EVENTS, Mask, kernel_bits};
use crate::json;
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

/// How often each event of [`COLUMNS`] happened.
type Counts = [u64; COLUMNS.len()];

/// The counts of every watch.
#[derive(Debug, Default)]
pub struct Stats {
    /// In the order of watching; a watch that is gone keeps its path here.
    rows: Vec<Row>,
    by_watch: HashMap<i32, usize>,
}

#[derive(Debug, Clone, Default)]
struct Row {
    watch: i32,
    path: Option<Vec<u8>>,
    counts: Counts,
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
    /// Makes a row for a watch that has none, in the order of the calls.
    pub fn add(&mut self, watch: i32) {
        self.row(watch);
    }

    /// Counts an event.
    pub fn count(&mut self, watch: i32, mask: Mask) {
        let row = self.row(watch);
        for (count, bit) in row.counts.iter_mut().zip(COLUMNS) {
            *count += u64::from(mask & bit != 0);
        }
    }

    /// A watch is gone; its row keeps the last path.
    pub fn retire(&mut self, watch: i32, path: &[u8]) {
        if let Some(at) = self.by_watch.remove(&watch) {
            self.rows[at].path = Some(path.to_vec());
        }
    }

    fn row(&mut self, watch: i32) -> &mut Row {
        let at = *self.by_watch.entry(watch).or_insert_with(|| {
            self.rows.push(Row { watch, ..Row::default() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counted() == 0
    }

    /// The events that were counted at least once.
    pub fn counted(&self) -> Mask {
        let bits =
            |row: &Row| COLUMNS.iter().zip(row.counts).filter(|(_, count)| *count > 0).map(|(bit, _)| bit);
        self.rows.iter().flat_map(bits).fold(0, |all, bit| all | bit)
    }

    /// The sum of all counts, and the number of rows that have any.
    pub fn total(&self) -> (u64, usize) {
        let totals = self.rows.iter().map(|row| total(&row.counts)).filter(|total| *total > 0);
        totals.fold((0, 0), |(sum, rows), total| (sum + total, rows + 1))
    }

    /// Puts rows that were made by their first events into the order of watching.
    pub fn sort_by_watch(&mut self) {
        self.rows.sort_by_key(|row| row.watch);
        self.by_watch.clear();
    }

    /// The table. `paths` are the present watches, `time` is how long was counted.
    pub fn table(&self, paths: &HashMap<i32, Vec<u8>>, table: &Table, time: Duration) -> Vec<u8> {
        let rows = self.rows(paths, table);
        if table.json {
            return render_json(&rows, table, time);
        }
        let events = kernel_bits(table.events);
        let columns: Vec<usize> = (0..COLUMNS.len())
            .filter(|at| events & COLUMNS[*at] != 0)
            .filter(|at| {
                table.zero || table.kept & COLUMNS[*at] != 0 || rows.iter().any(|(_, counts)| counts[*at] > 0)
            })
            .collect();
        render(&rows, &columns, table.escaped)
    }

    /// The rows in their order.
    fn rows<'a>(&'a self, paths: &'a HashMap<i32, Vec<u8>>, table: &Table) -> Vec<(&'a [u8], Counts)> {
        let mut rows: Vec<(&[u8], Counts)> = Vec::new();
        let mut by_path: HashMap<&[u8], usize> = HashMap::new();
        for row in &self.rows {
            let Some(path) = row.path.as_ref().or_else(|| paths.get(&row.watch)) else { continue };
            // A directory that was deleted and made again is one row.
            let at = *by_path.entry(path).or_insert_with(|| {
                rows.push((path, Counts::default()));
                rows.len() - 1
            });
            rows[at].1.iter_mut().zip(row.counts).for_each(|(sum, count)| *sum += count);
        }
        rows.retain(|(_, counts)| table.zero || total(counts) > 0);
        let key = |counts: &Counts| match table.sort.key {
            SortKey::Total => total(counts),
            SortKey::Event(event) => {
                COLUMNS.iter().position(|column| *column == event).map_or(0, |column| counts[column])
            }
        };
        // Stable: ties keep the order of watching.
        match table.sort.ascending {
            true => rows.sort_by_key(|(_, counts)| key(counts)),
            false => rows.sort_by_key(|(_, counts)| std::cmp::Reverse(key(counts))),
        }
        rows.truncate(table.top.unwrap_or(usize::MAX));
        rows
    }
}

fn total(counts: &Counts) -> u64 {
    counts.iter().sum()
}

/// Each column is as wide as its header, then come two blanks; a longer number pushes the rest of its row on,
/// as in the reference. The path comes last.
fn render(rows: &[(&[u8], Counts)], columns: &[usize], escaped: bool) -> Vec<u8> {
    let headers: Vec<&str> =
        std::iter::once("total").chain(columns.iter().map(|at| name(COLUMNS[*at]))).collect();
    let mut out = Vec::new();
    for header in &headers {
        out.extend_from_slice(format!("{header}  ").as_bytes());
    }
    out.extend_from_slice(b"filename\n");
    for (path, counts) in rows {
        let numbers = std::iter::once(total(counts)).chain(columns.iter().map(|at| counts[*at]));
        for (number, header) in numbers.zip(&headers) {
            let width = header.len();
            out.extend_from_slice(format!("{number:<width$}  ").as_bytes());
        }
        out.extend_from_slice(&if escaped { escape(path) } else { Cow::Borrowed(*path) });
        out.push(b'\n');
    }
    out
}

/// An object for each row, with the columns that counted something.
fn render_json(rows: &[(&[u8], Counts)], table: &Table, time: Duration) -> Vec<u8> {
    let mut head = b"{\"time\":\"".to_vec();
    timefmt::append_utc(SystemTime::now(), &mut head);
    head.extend_from_slice(format!("\",\"seconds\":{:.6},\"path\":", time.as_secs_f64()).as_bytes());
    let events = kernel_bits(table.events);
    let mut out = Vec::new();
    for (path, counts) in rows {
        out.extend_from_slice(&head);
        json::append_string(path, &mut out);
        let columns = COLUMNS.iter().zip(counts).filter(|(bit, _)| events & *bit != 0);
        let counted = columns.filter(|(_, count)| table.zero || **count > 0);
        let counted: Vec<_> = counted.map(|(bit, count)| format!("\"{}\":{count}", name(*bit))).collect();
        let rest = format!(",\"total\":{},\"events\":{{{}}}}}\n", total(counts), counted.join(","));
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

/// The name that `-e` has for a single event.
fn name(bit: Mask) -> &'static str {
    EVENTS.iter().find(|event| event.bits == bit).map_or("", |event| event.name)
}
