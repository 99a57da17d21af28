//! Recursion: what the reference loses, doubles or calls by a wrong name.

// What cannot be had here makes a test fail, and panicking is how.
#![allow(clippy::unwrap_used)]

mod announcing;
#[path = "../common/mod.rs"]
mod common;
mod lasting;
mod mounts;
mod overflow;
mod pruning;
mod renames;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Running, inotifywait};
use proptest::test_runner::Config as ProptestConfig;

/// Starts `inotifywait -m -r` with `%w%f` lines on the directory `d`, made before, in `dir`.
fn watch(dir: &Path, events: &str, more: &[&str]) -> Running {
    let arguments = ["-m", "-r", "-e", events, "--format", "%w%f", "d"];
    Running::ready(inotifywait(dir, arguments.iter().chain(more)))
}

/// Properties of running programs: each case takes a while, and shrinking takes many. `PROPTEST_CASES` asks for
/// more.
fn few_cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 300,
        max_shrink_time: 30_000,
        ..ProptestConfig::default()
    }
}

/// The lines printed once all that happened before this call is printed.
#[track_caller]
fn quiet(running: &mut Running, dir: &Path) -> Vec<String> {
    fs::create_dir_all(dir.join("d/the-end")).unwrap();
    running.expect_line("d/the-end");
    // What it found out at the end of what was queued comes right behind.
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| line != "d/the-end");
    lines
}

/// Every path below `d`.
fn paths(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![dir.join("d")];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let shown = path.strip_prefix(dir).unwrap().to_str().unwrap();
            if shown != "d/the-end" {
                found.insert(shown.to_owned());
            }
            if entry.file_type().unwrap().is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

fn is_exactly(lines: &[String], expected: &BTreeSet<String>) {
    let mut sorted = lines.to_vec();
    sorted.sort();
    let expected: Vec<String> = expected.iter().cloned().collect();
    let extra: Vec<_> = sorted.iter().filter(|line| expected.binary_search(line).is_err()).collect();
    let missing: Vec<_> = expected.iter().filter(|path| sorted.binary_search(path).is_err()).collect();
    assert!(extra.is_empty() && missing.is_empty(), "extra: {extra:?}\nmissing: {missing:?}");
    assert_eq!(sorted.len(), expected.len(), "some come twice: {sorted:?}");
}

/// What becomes of paths when a directory is renamed.
fn follow_rename(paths: &mut [PathBuf], from: &Path, to: &Path) {
    for path in paths {
        if let Some(now) = moved(path, from, to) {
            *path = now;
        }
    }
}

/// What becomes of paths when two directories change places.
fn follow_exchange(paths: &mut [PathBuf], one: &Path, other: &Path) {
    for path in paths {
        if let Some(now) = moved(path, one, other).or_else(|| moved(path, other, one)) {
            *path = now;
        }
    }
}

fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    // Without a slash at the end where there is nothing to join.
    Some(to.components().chain(rest.components()).collect())
}
