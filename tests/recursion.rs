//! Recursion: what the reference loses, doubles or calls by a wrong name.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Running, as_nobody, fast_tempdir, inotifywait, inotifywatch, need, need_root, run, tempdir};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;

/// Starts `inotifywait -m -r` with `%w%f` lines on the directory `d`, made before, in `dir`.
fn watch(dir: &Path, events: &str, more: &[&str]) -> Running {
    let arguments = ["-m", "-r", "-e", events, "--format", "%w%f", "d"];
    Running::ready(inotifywait(dir, arguments.iter().chain(more)))
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

fn watches(running: &Running) -> usize {
    running.watches()
}

#[test]
fn chains_of_directories_are_announced_once_each() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "create", &[]);
    for chain in 0..100 {
        let path = dir.path().join(format!("d/{chain}/a/b/c/d/e"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("f"), "").unwrap();
        symlink("f", path.join("l")).unwrap();
    }
    is_exactly(&quiet(&mut running, dir.path()), &paths(dir.path()));
}

#[test]
fn an_unpacked_archive_is_announced_once_and_every_file_is_closed() {
    if !need("tar") {
        return;
    }
    let dir = fast_tempdir();
    for directory in 0..20 {
        for below in 0..5 {
            let path = dir.path().join(format!("archive/{directory}/sub-{below}"));
            fs::create_dir_all(&path).unwrap();
            for file in 0..5 {
                fs::write(path.join(file.to_string()), "contents").unwrap();
            }
        }
    }
    let tar = |arguments: &[&str]| {
        let (output, shown) = run(Command::new("tar").args(arguments).current_dir(dir.path()));
        assert!(output.status.success(), "{shown}");
    };
    tar(&["cf", "a.tar", "archive"]);
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut created = watch(dir.path(), "create", &[]);
    let mut closed = watch(dir.path(), "close_write,create", &["--include", "/[0-9]$|the-end"]);
    tar(&["xf", "a.tar", "-C", "d"]);
    is_exactly(&quiet(&mut created, dir.path()), &paths(dir.path()));
    let lines: BTreeSet<String> = quiet(&mut closed, dir.path()).into_iter().collect();
    let files = paths(dir.path()).into_iter().filter(|path| dir.path().join(path).is_file());
    let unclosed: Vec<String> = files.filter(|path| !lines.contains(path)).collect();
    assert!(unclosed.is_empty(), "{unclosed:?}");
}

#[test]
fn a_directory_that_is_filled_and_renamed_at_once_is_told_whole() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "create,moved_to", &[]);
    for round in 0..100 {
        let (tmp, last) = (dir.path().join("d/tmp"), dir.path().join(format!("d/final-{round}")));
        fs::create_dir_all(tmp.join("sub")).unwrap();
        fs::write(tmp.join("sub/f"), "").unwrap();
        fs::rename(tmp, last).unwrap();
    }
    let lines: BTreeSet<String> = quiet(&mut running, dir.path()).into_iter().collect();
    for round in 0..100 {
        assert!(lines.contains(&format!("d/final-{round}")), "{round}: {lines:?}");
        // Under the name that it had when it was found.
        let told = |name: &str| lines.contains(&format!("d/{name}/sub/f"));
        assert!(told("tmp") || told(&format!("final-{round}")), "{round}: {lines:?}");
    }
}

#[test]
fn names_stay_true_through_renames() {
    let dir = fast_tempdir();
    for name in ["a/b/c", "x/y", "over"] {
        fs::create_dir_all(dir.path().join("d").join(name)).unwrap();
    }
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create", &[]);
    let mut expected = Vec::new();
    let mut touch = |path: &str| {
        fs::write(at(path), "").unwrap();
        expected.push(format!("d/{path}"));
    };
    fs::rename(at("a"), at("a2")).unwrap();
    fs::rename(at("a2"), at("a3")).unwrap();
    touch("a3/b/c/1");
    fs::rename(at("a3/b"), at("x/b")).unwrap();
    touch("x/b/c/2");
    renameat2(AT_FDCWD, &at("a3"), AT_FDCWD, &at("x"), RenameFlags::RENAME_EXCHANGE).unwrap();
    touch("a3/b/c/3");
    touch("a3/y/4");
    touch("x/5");
    fs::rename(at("x"), at("x2")).unwrap();
    fs::remove_file(at("x2/5")).unwrap();
    fs::rename(at("over"), at("gone")).unwrap();
    fs::create_dir(at("over")).unwrap();
    expected.push("d/over".into());
    fs::write(at("over/6"), "").unwrap();
    expected.push("d/over/6".into());
    fs::rename(at("x2"), at("gone")).unwrap();
    fs::write(at("gone/7"), "").unwrap();
    expected.push("d/gone/7".into());
    assert_eq!(quiet(&mut running, dir.path()), expected);
}

#[test]
fn a_directory_that_leaves_is_silent_and_gives_its_watches_back() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/leaves/a/b")).unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let mut running = watch(dir.path(), "create,moved_from,moved_to", &[]);
    assert_eq!(watches(&running), 4);
    fs::rename(dir.path().join("d/leaves"), dir.path().join("elsewhere/left")).unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/leaves"]);
    assert_eq!(watches(&running), 2, "d and d/the-end");
    fs::write(dir.path().join("elsewhere/left/a/b/f"), "").unwrap();
    // And back: watched whole, and only the move is news.
    fs::rename(dir.path().join("elsewhere/left"), dir.path().join("d/back")).unwrap();
    running.expect_line("d/back");
    running.wait_asleep();
    assert_eq!(watches(&running), 5);
    fs::write(dir.path().join("d/back/a/b/g"), "").unwrap();
    running.expect_line("d/back/a/b/g");
    assert_eq!(running.stdout.lines(), ["d/leaves", "d/the-end", "d/back", "d/back/a/b/g"]);
}

#[test]
fn watches_do_not_leak() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "moved_to,create", &["--include", "the-end"]);
    for round in 0..20 {
        // So many at a time as the kernel's queue holds.
        for number in 0..1000 {
            let path = dir.path().join(format!("d/{round}-{number}"));
            fs::create_dir(&path).unwrap();
            fs::remove_dir(path).unwrap();
        }
        fs::write(dir.path().join(format!("d/the-end-of-{round}")), "").unwrap();
        running.expect_line(&format!("d/the-end-of-{round}"));
    }
    quiet(&mut running, dir.path());
    assert_eq!(watches(&running), 2);
}

#[test]
fn its_own_walking_prints_nothing_and_that_of_others_does() {
    let dir = fast_tempdir();
    for number in 0..50 {
        fs::create_dir_all(dir.path().join(format!("d/{number}/sub"))).unwrap();
    }
    let events = ["-m", "-r", "-e", "open,access,close,create", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), events));
    fs::create_dir_all(dir.path().join("d/new/sub")).unwrap();
    running.expect_line("d/new/sub CREATE,ISDIR");
    running.wait_asleep();
    assert_eq!(running.stdout.lines(), ["d/new CREATE,ISDIR", "d/new/sub CREATE,ISDIR"]);
    assert_eq!(fs::read_dir(dir.path().join("d/new")).unwrap().count(), 1);
    running.expect_line("d/new/ CLOSE_NOWRITE,CLOSE,ISDIR");
    running.expect_line("d/new ACCESS,ISDIR");
    assert_eq!(fs::read_dir(dir.path().join("d/7")).unwrap().count(), 1);
    running.expect_line("d/7/ OPEN,ISDIR");
}

#[test]
fn excluded_subtrees_take_no_watches() {
    let dir = fast_tempdir();
    for number in 0..200 {
        fs::create_dir_all(dir.path().join(format!("d/a/node_modules/{number}"))).unwrap();
    }
    fs::create_dir_all(dir.path().join("d/a/.git/hooks")).unwrap();
    // The first covers all below; the second matches the directory and nothing in it.
    let running = watch(dir.path(), "create", &["--exclude", "/node_modules/"]);
    assert_eq!(watches(&running), 4);
    let mut running = watch(dir.path(), "create", &["--exclude", "\\.git$"]);
    assert_eq!(watches(&running), 205);
    fs::write(dir.path().join("d/a/.git/hooks/f"), "").unwrap();
    running.expect_line("d/a/.git/hooks/f");
}

#[test]
fn a_rename_can_end_an_exclusion_and_begin_one() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache/a/b")).unwrap();
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/cache/"]);
    assert_eq!(watches(&running), 1);
    fs::rename(at("cache"), at("seen")).unwrap();
    running.expect_line("d/seen");
    running.wait_asleep();
    fs::write(at("seen/a/b/1"), "").unwrap();
    running.expect_line("d/seen/a/b/1");
    fs::rename(at("seen"), at("cache")).unwrap();
    running.expect_line("d/cache");
    running.wait_asleep();
    assert_eq!(watches(&running), 1);
    fs::write(at("cache/a/b/2"), "").unwrap();
    let expected = ["d/seen", "d/seen/a/b/1", "d/cache"];
    assert_eq!(quiet(&mut running, dir.path()), expected);
}

#[test]
fn after_an_overflow_the_tree_is_whole() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/stays/below")).unwrap();
    fs::create_dir_all(dir.path().join("d/goes/below")).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // Also with -q, where the arrival of a probe tells that the watches stand.
    let arguments = ["-q", "-m", "-r", "-e", "create", "--format", "%w%f", "d"];
    let mut running = Running::start(inotifywait(dir.path(), arguments));
    running.wait("a probe", |running| {
        let _ = fs::write(dir.path().join("d/probe"), "");
        let _ = fs::remove_file(dir.path().join("d/probe"));
        running.stdout.lines().iter().any(|line| line == "d/probe")
    });
    running.signal(Signal::SIGSTOP);
    let at = |path: &str| dir.path().join("d").join(path);
    for number in 0..limit {
        fs::write(at(&format!("f{}", number % 500)), "").unwrap();
        fs::remove_file(at(&format!("f{}", number % 500))).unwrap();
    }
    // Nobody hears of these.
    fs::rename(at("stays"), at("renamed")).unwrap();
    fs::rename(at("goes"), dir.path().join("gone")).unwrap();
    for number in 0..50 {
        fs::create_dir_all(at(&format!("new-{number}/below"))).unwrap();
    }
    running.signal(Signal::SIGCONT);
    running.expect_message("max_queued_events");
    quiet(&mut running, dir.path());
    assert_eq!(watches(&running), 1 + 2 + 100 + 1);
    let mut expected: Vec<String> = (0..50).map(|number| format!("d/new-{number}/below/x")).collect();
    expected.push("d/renamed/below/x".into());
    for path in &expected {
        fs::write(dir.path().join(path), "").unwrap();
    }
    fs::write(dir.path().join("gone/below/x"), "").unwrap();
    for path in &expected {
        running.expect_line(path);
    }
    running.wait_asleep();
    assert!(!running.stdout.lines().iter().any(|line| line.contains("goes/below")));
}

#[test]
fn an_overflow_ends_a_one_shot_with_a_word() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for (events, code, line) in [("delete,q_overflow", 0, " Q_OVERFLOW \n"), ("delete", 1, "")] {
        // Recursive, so that creations are queued though they were not asked for.
        let running = Running::ready(inotifywait(dir.path(), ["-r", "-e", events, "d"]));
        running.signal(Signal::SIGSTOP);
        for number in 0..=limit.trim().parse().unwrap() {
            fs::write(dir.path().join(format!("d/{events}-{number}")), "").unwrap();
        }
        running.signal(Signal::SIGCONT);
        let end = running.finish();
        end.code(code).printed(line);
        let said = String::from_utf8_lossy(&end.stderr);
        end.check("a word", said.matches("Events were lost").count() == 1);
    }
}

#[test]
fn moves_between_watched_roots_are_followed() {
    let dir = fast_tempdir();
    for name in ["d/a/below", "e"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let mut running = watch(dir.path(), "create", &["e"]);
    fs::rename(dir.path().join("d/a"), dir.path().join("e/b")).unwrap();
    fs::write(dir.path().join("e/b/below/1"), "").unwrap();
    fs::rename(dir.path().join("e/b"), dir.path().join("d/c")).unwrap();
    fs::write(dir.path().join("d/c/below/2"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["e/b/below/1", "d/c/below/2"]);
}

#[test]
fn without_monitor_a_new_directory_is_followed_and_its_end_is_nothing() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = Running::ready(inotifywait(dir.path(), ["-r", "-e", "modify", "d"]));
    fs::create_dir(dir.path().join("d/passing")).unwrap();
    running.wait_asleep();
    fs::remove_dir(dir.path().join("d/passing")).unwrap();
    fs::create_dir(dir.path().join("d/n")).unwrap();
    running.wait_asleep();
    fs::write(dir.path().join("d/n/f"), "x").unwrap();
    running.finish().code(0).printed("d/n/ MODIFY f\n");
}

#[test]
fn inotifywatch_counts_in_new_directories_and_under_present_names() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/old")).unwrap();
    let mut running = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "modify", "d"]));
    fs::write(dir.path().join("d/old/f"), "x").unwrap();
    fs::rename(dir.path().join("d/old"), dir.path().join("d/present")).unwrap();
    fs::write(dir.path().join("d/present/g"), "x").unwrap();
    fs::create_dir(dir.path().join("d/new")).unwrap();
    running.wait_asleep();
    fs::write(dir.path().join("d/new/f"), "x").unwrap();
    running.wait_asleep();
    running.signal(Signal::SIGINT);
    let expected = "total  modify  filename\n2      2       d/present/\n1      1       d/new/\n";
    running.finish().code(0).printed(expected);
}

#[test]
fn a_directory_that_cannot_be_watched_is_announced() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let arguments = ["-m", "-r", "-e", "create", "--format", "%w%f", "d"];
    let mut running = Running::ready(as_nobody(dir.path(), "inotifywait", arguments));
    let mut expected = BTreeSet::new();
    for number in 0..50 {
        // The inner one is made before the outer one can be watched, as often as not.
        let outer = dir.path().join(format!("d/{number}"));
        fs::create_dir(&outer).unwrap();
        fs::DirBuilder::new().mode(0o700).create(outer.join("closed")).unwrap();
        expected.insert(format!("d/{number}"));
        expected.insert(format!("d/{number}/closed"));
    }
    is_exactly(&quiet(&mut running, dir.path()), &expected);
    running.expect_message("Couldn't watch new directory d/");
}

/// While directories come and go without a pause, everything else has its turn.
#[test]
fn steady_change_holds_up_nothing() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let path = dir.path().join(format!("d/{number}"));
                fs::create_dir(&path).unwrap();
                fs::remove_dir(path).unwrap();
            }
        });
        // However the test ends, the thread does.
        let _over = Over(&over);
        let mut printing = Running::ready(inotifywait(dir.path(), ["-m", "-r", "-e", "create", "d"]));
        printing.expect("a line", |lines| !lines.is_empty());
        // With -m an overflow, which may happen here, is no end.
        let timed = ["-m", "-r", "-qq", "-t", "0.2", "-e", "attrib", "d"];
        Running::start(inotifywait(dir.path(), timed)).finish().code(2);
        let counting = Running::ready(inotifywatch(dir.path(), ["-r", "d"]));
        counting.signal(Signal::SIGINT);
        counting.finish().code(0);
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
