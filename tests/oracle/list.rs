//! The differences that docs/compatibility.md lists.

use std::sync::atomic::{AtomicBool, Ordering};

/// The version of inotify-tools that ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.22.6. If ours differs, the case says how.
    V3,
    /// 4.x. That ours differs is listed; what ours does is held to by the comparison with 3.22.6.
    V4,
}

/// `(case or prefix*, reason)` from the rows under the headings for a version: a row is
/// "| `case` | reason |", several cases with commas between. What differs from 3.22.6 differs from 4.x, too, unless the
/// rows for 4.x say otherwise.
pub fn read(version: Version) -> Vec<(String, String)> {
    let headings: &[&str] = match version {
        Version::V3 => &["Differences\n"],
        Version::V4 => &["If you come from 4.x\n", "Differences\n"],
    };
    headings
        .iter()
        .flat_map(|heading| rows(heading))
        .flat_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let reason = cells.get(1).copied().unwrap_or_default().to_owned();
            let names = cells[0].split(',').map(|name| name.trim().trim_matches('`').to_owned());
            names.map(|name| (name, reason.clone())).collect::<Vec<_>>()
        })
        .collect()
}

/// The rows of a table whose first column is code, under this heading.
fn rows(heading: &str) -> impl Iterator<Item = &'static str> {
    let text = include_str!("../../docs/compatibility.md");
    let section = text.split("\n## ").find(|part| part.starts_with(heading));
    section.unwrap_or_default().lines().filter(|line| line.starts_with("| `"))
}

/// The lines that ours may say besides the reference's, under the heading `## Further lines`. `…` stands for any text.
pub struct Further {
    lines: Vec<(&'static str, AtomicBool)>,
}

impl Further {
    pub fn read() -> Further {
        let line = |row: &'static str| row.split('`').nth(1).map(|line| (line, AtomicBool::new(false)));
        Further { lines: rows("Further lines").filter_map(line).collect() }
    }

    /// `ours` without the lines that the list has and the reference has not.
    pub fn without(&self, reference: &[u8], ours: &[u8]) -> Vec<u8> {
        let mut wanted = reference.split_inclusive(|&b| b == b'\n').peekable();
        let mut rest = Vec::new();
        for line in ours.split_inclusive(|&b| b == b'\n') {
            if wanted.next_if_eq(&line).is_some() || !self.has(line) {
                rest.extend_from_slice(line);
            }
        }
        rest
    }

    /// Whether the list has a line, which may have syslog's words before it.
    fn has(&self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        let line = line.split_once("]: ").map_or(line, |(_, line)| line);
        let known = self.lines.iter().find(|(pattern, _)| fits(pattern, line));
        known.inspect(|(_, used)| used.store(true, Ordering::Relaxed)).is_some()
    }

    /// The lines that were never seen.
    pub fn unused(&self) -> Vec<&'static str> {
        self.lines.iter().filter(|(_, used)| !used.load(Ordering::Relaxed)).map(|(line, _)| *line).collect()
    }
}

fn fits(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| fits(rest, &line[at..]))
        }),
    }
}

/// Whether the entry, a name or a prefix with `*`, is about the case. `[fsnotify-]` before it: with fanotify, too.
pub fn is_match(entry: &str, case: &str) -> bool {
    let (entry, case) = match entry.strip_prefix("[fsnotify-]") {
        Some(entry) => (entry, case.strip_prefix("fsnotify-").unwrap_or(case)),
        None => (entry, case),
    };
    match entry.strip_suffix('*') {
        Some(prefix) => case.starts_with(prefix),
        None => case == entry,
    }
}

/// Whether a case is said to differ: its first row counts.
pub fn has(list: &[(String, String)], case: &str) -> bool {
    list.iter()
        .find(|(entry, _)| is_match(entry, case))
        .is_some_and(|(_, reason)| !reason.starts_with("As here."))
}
