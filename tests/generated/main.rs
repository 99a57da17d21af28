//! The text that is made from the tables of options and events: the lists in the completions, and in the manual pages the
//! synopsis, the heads of the options and the version; from docs/ the figures in README.md and docs/performance.svg; and
//! from README.md packaging/crates.io.md.
//!
//! Each file is written by hand except for the lines between `generated: NAME` and `end of generated`, and the `.It` and
//! `.Os` lines of a page. `make generate` renews those (GENERATE=1); without it, the test fails where they are not current.

#![allow(clippy::unwrap_used)]

mod bash;
mod fish;
mod manual;
mod plots;
mod readme;
mod zsh;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use inotify_tools::internals::options::{Kind, OPTIONS, Opt, Tool, options};
use inotify_tools::internals::{EVENTS, EventName, LSDIR};

const TOOLS: [Tool; 2] = [Tool::Wait, Tool::Watch];

#[test]
fn generated_text_is_current() {
    let mut stale = String::new();
    for (path, renew) in [
        ("completions/inotifywait.bash", bash::renew as fn(&str) -> String),
        ("completions/_inotifywait", zsh::renew),
        ("completions/inotifywait.fish", fish::renew),
        ("README.md", readme::renew),
        ("packaging/crates.io.md", readme::for_crates),
        ("docs/performance.svg", plots::renew),
        ("man/inotifywait.1", |page| manual::renew(page, Tool::Wait)),
        ("man/inotifywatch.1", |page| manual::renew(page, Tool::Watch)),
        ("man/inotify-rsync.1", manual::with_footer),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = fs::read_to_string(&file).unwrap_or_default();
        let renewed = renew(&text);
        if renewed == text {
        } else if std::env::var_os("GENERATE").is_some() {
            fs::write(&file, renewed).unwrap();
        } else {
            let _ = writeln!(stale, "{path}: {}", first_difference(&text, &renewed));
        }
    }
    assert!(stale.is_empty(), "Run `make generate`.\n{stale}");
}

fn first_difference(old: &str, new: &str) -> String {
    let (number, (old, new)) = old
        .lines()
        .chain([""])
        .zip(new.lines().chain([""]))
        .enumerate()
        .find(|(_, (old, new))| old != new)
        .unwrap();
    format!("line {} is {old:?}, and should be {new:?}", number + 1)
}

/// A file with the lines between `generated: NAME` and `end of generated` replaced.
fn with_lines(text: &str, name: &str, lines: &str) -> String {
    let begin =
        text.find(&format!("generated: {name}\n")).unwrap_or_else(|| panic!("no 'generated: {name}'"));
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = begin + text[begin..].find("end of generated").unwrap();
    let end = text[..end].rfind('\n').unwrap() + 1;
    format!("{}{lines}{}", &text[..begin], &text[end..])
}

/// What the shells offer as the value of an option.
enum Completion {
    Files,
    /// A list with commas.
    Events,
    Key,
    Words(String),
    Nothing,
}

fn completion(value: &str) -> Completion {
    match value {
        "file" => Completion::Files,
        "event,..." => Completion::Events,
        "key" => Completion::Key,
        words if words.contains('|') => {
            let literal = words.split('|').filter(|word| !is_placeholder(word));
            Completion::Words(literal.collect::<Vec<_>>().join(" "))
        }
        _ => Completion::Nothing,
    }
}

/// Whether one of the alternatives of a value, such as `N|systemd`, is not to be typed as it is.
fn is_placeholder(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn value(option: &Opt) -> Option<&'static str> {
    match option.kind {
        Kind::Value(name) => Some(name),
        Kind::Flag | Kind::Refused(_) => None,
    }
}

fn short(option: &Opt) -> Option<String> {
    option.short.map(|letter| format!("-{}", char::from(letter)))
}

/// The names of options as they are typed.
fn names<'a>(options: impl Iterator<Item = &'a Opt>) -> Vec<String> {
    options.flat_map(|option| short(option).into_iter().chain([format!("--{}", option.long)])).collect()
}

/// The options of these tools and of no other that the help shows.
fn options_of_just(tools: &'static [Tool]) -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(move |option| !option.hidden && option.tools == tools)
}

fn listed_events() -> impl Iterator<Item = &'static EventName> {
    EVENTS.iter().filter(|event| !event.help.is_empty())
}

/// Whether inotifywatch has a column for an event, and so can sort by it.
fn has_column(event: &EventName) -> bool {
    event.bits.is_single() && event.bits != LSDIR
}

/// The options that the program refuses together are not offered together by zsh. What is listed here is refused.
const EXCLUSIVE: [&[&str]; 12] = [
    &["inotify", "filesystem"],
    &["inotify", "mount"],
    &["filesystem", "mount"],
    &["exclude", "excludei", "include", "includei"],
    &["csv", "format", "json"],
    &["ascending", "descending"],
    &["print0", "no-newline"],
    &["batch-marker", "no-newline"],
    &["daemon", "ready"],
    &["fanotify", "follow-name"],
    &["filesystem", "follow-name"],
    &["mount", "follow-name"],
];

/// The other options that are exclusive with one.
fn excluded_by(option: &Opt, tool: &[Tool]) -> impl Iterator<Item = &'static Opt> {
    let lists = EXCLUSIVE.iter().filter(|list| list.contains(&option.long));
    let others: Vec<&str> =
        lists.flat_map(|list| list.iter()).copied().filter(|other| *other != option.long).collect();
    let first = tool[0];
    options(first).filter(move |other| others.contains(&other.long))
}

#[test]
fn exclusive_options_are_refused_together() {
    for list in EXCLUSIVE {
        for (at, one) in list.iter().enumerate() {
            for other in &list[at + 1..] {
                let tool = TOOLS.into_iter().find(|tool| {
                    [one, other].into_iter().all(|name| options(*tool).any(|option| option.long == *name))
                });
                refuses(tool.unwrap(), one, other);
            }
        }
    }
}

fn refuses(tool: Tool, one: &str, other: &str) {
    let program = match tool {
        Tool::Wait => env!("CARGO_BIN_EXE_inotifywait"),
        Tool::Watch => env!("CARGO_BIN_EXE_inotifywatch"),
    };
    let words = [one, other].into_iter().flat_map(|name| {
        let option = options(tool).find(|option| option.long == name).unwrap();
        // `1` and `total` are values of every option that the list has.
        let value = value(option).map(|value| if value == "key" { "=total" } else { "=1" });
        [format!("--{name}{}", value.unwrap_or_default())]
    });
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(words)
        .args(["--outfile=o", "--debounce=1"].iter().filter(|_| tool == Tool::Wait))
        .args(["--format=%f"].iter().filter(|_| one == "no-newline" || other == "no-newline"))
        .arg("nowhere")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1)
            && ["both", "once only", "one of"].iter().any(|words| stderr.contains(words)),
        "--{one} --{other}: {stderr}"
    );
}
