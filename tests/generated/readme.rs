//! The figures in README.md: from the tables that `make compare` and `make bench` write; and its form for crates.io.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::with_lines;

/// A figure's name, the file and the beginning of its row there, and the command that measures it.
const NUMBERS: [(&str, &str, &str, &str); 4] = [
    (
        "Entries of an unpacked archive that are reported",
        "docs/compatibility.md",
        "`tar x` of 441 entries",
        "compare",
    ),
    (
        "Lines that are printed although the reader sleeps for 4 seconds",
        "docs/compatibility.md",
        "Reader asleep for 4 s,",
        "compare",
    ),
    ("Setup of `-r` with 100,000 directories", "docs/performance.md", "setup, 100,000 directories", "bench"),
    ("CPU time for one line", "docs/performance.md", "CPU per line, flood", "bench"),
];

pub fn renew(text: &str) -> String {
    let mut lines = "| | inotify-tools 3.22 | here | measured by |\n|---|--:|--:|---|\n".to_owned();
    for (name, path, row, command) in NUMBERS {
        let [reference, here] = figures(path, row);
        lines += &format!("| {name} | {reference} | **{here}** | `make {command}` |\n");
    }
    with_lines(text, "numbers -->", &lines)
}

/// README.md as crates.io shows it, where the crate's other files are not: links lead to them at docs.rs, and its first
/// picture, which docs.rs would show as text, is left out.
pub fn for_crates(_: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let picture = Regex::new(r"(?m)^!\[.*\n\n").unwrap().replace(&text, "").into_owned();
    let files = concat!("https://docs.rs/crate/inotify-tools-rs/", env!("CARGO_PKG_VERSION"), "/source/");
    let link = Regex::new(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)").unwrap();
    link.replace_all(&picture, format!("]({files}$1)")).into_owned()
}

/// The figures of the reference and of this program.
fn figures(path: &str, row: &str) -> [String; 2] {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let row = text.lines().find(|line| line.starts_with(&format!("| {row}")));
    let cells: Vec<&str> = row.unwrap_or_else(|| panic!("{path} has no such row")).split(" | ").collect();
    // The first one of several, without the least and the most.
    let figures = [1, 2].map(|cell| {
        let figure = cells[cell].trim_end_matches(" |").split(';').next().unwrap();
        let figure = match (figure.find('('), figure.find(')')) {
            (Some(begin), Some(end)) => format!("{}{}", &figure[..begin], &figure[end + 2..]),
            _ => figure.to_owned(),
        };
        figure.replace(" paths announced", "").replace(" lines came", "")
    });
    in_one_unit(figures)
}

/// Milliseconds beside seconds are written as seconds.
fn in_one_unit([one, other]: [String; 2]) -> [String; 2] {
    let milliseconds = other.strip_suffix(" ms").and_then(|number| number.parse::<f64>().ok());
    match milliseconds.filter(|_| one.ends_with(" s")) {
        Some(number) => [one, format!("{:.2} s", number / 1000.0)],
        None => [one, other],
    }
}
