//! The differences that docs/compatibility.md lists.

/// `(case or prefix*, reason)` from the rows under the heading `## Differences`: a row is
/// "| `case` | reason |", several cases with commas between.
pub fn read() -> Vec<(String, String)> {
    let text = include_str!("../../docs/compatibility.md");
    let section = text.split("\n## ").find(|part| part.starts_with("Differences"));
    let rows = section.unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let reason = cells.get(1).copied().unwrap_or_default().to_owned();
        let names = cells[0].split(',').map(|name| name.trim().trim_matches('`').to_owned());
        names.map(|name| (name, reason.clone())).collect::<Vec<_>>()
    })
    .collect()
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

pub fn has(list: &[(String, String)], case: &str) -> bool {
    list.iter().any(|(entry, _)| is_match(entry, case))
}
