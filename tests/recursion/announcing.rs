//! New directories: every path in them is announced, once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::{Running, as_nobody, fast_tempdir, inotifywait, need, need_root, run, tempdir};
use crate::{is_exactly, paths, quiet, watch};

/// What the lines of CREATE, DELETE, MOVED_FROM, MOVED_TO and CLOSE_WRITE tell, replayed in their order.
#[derive(Default)]
struct Replay {
    entries: BTreeMap<String, Entry>,
    /// What was renamed away and has not arrived, by cookie, its own path cut off.
    away: HashMap<String, BTreeMap<String, Entry>>,
    /// Lines that cannot be true after those before them.
    wrong: Vec<String>,
}

#[derive(Clone, Copy)]
struct Entry {
    directory: bool,
    closed: bool,
}

impl Replay {
    /// A line of `%e %c %w%f`.
    fn line(&mut self, line: &str) {
        let (events, rest) = line.split_once(' ').unwrap();
        let (cookie, path) = rest.split_once(' ').unwrap();
        let directory = events.ends_with(",ISDIR");
        let stands_in = path.rsplit_once('/').unwrap().0;
        let is_below_one =
            stands_in == "d" || self.entries.get(stands_in).is_some_and(|above| above.directory);
        let true_so_far = match events.split(',').next().unwrap() {
            "CREATE" => self.entries.insert(path.to_owned(), Entry { directory, closed: false }).is_none(),
            "DELETE" => {
                let removed = self.take(path);
                // A directory is deleted when nothing is left in it.
                removed.len() == 1
            }
            "MOVED_FROM" => {
                let taken = self.take(path);
                let was_there = !taken.is_empty();
                self.away.insert(cookie.to_owned(), taken);
                was_there
            }
            "MOVED_TO" => {
                let replaced = self.take(path);
                let unknown = Entry { directory, closed: false };
                let unknown = BTreeMap::from([(String::new(), unknown)]);
                let moved = self.away.remove(cookie).unwrap_or(unknown);
                let arrived = moved.into_iter().map(|(below, entry)| (format!("{path}{below}"), entry));
                self.entries.extend(arrived);
                replaced.len() < 2
            }
            // Also of a file that has no name any more.
            "CLOSE_WRITE" => {
                self.entries.entry(path.to_owned()).and_modify(|entry| entry.closed = true);
                true
            }
            other => panic!("{other} was not asked for"),
        };
        if !(true_so_far && is_below_one) {
            self.wrong.push(line.to_owned());
        }
    }

    fn take(&mut self, path: &str) -> BTreeMap<String, Entry> {
        let below =
            |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let keys: Vec<String> = self.entries.keys().filter(|key| below(key)).cloned().collect();
        let entry =
            |key: String| self.entries.remove(&key).map(|entry| (key[path.len()..].to_owned(), entry));
        keys.into_iter().filter_map(entry).collect()
    }
}

/// Whether each path comes into being one time and stays.
#[derive(PartialEq)]
enum Paths {
    MadeOnce,
    Any,
}

/// Lets `work` fill the new directory `d` while it is watched. Every path that is there at the end was announced,
/// with `-e create` once where that can be said; every file whose writing ended was closed; and the lines,
/// replayed, are the tree.
fn announces(dir: &Path, made: Paths, work: impl FnOnce()) {
    fs::create_dir(dir.join("d")).unwrap();
    let mut appeared = watch(dir, "create,moved_to", &[]);
    let mut created = watch(dir, "create", &[]);
    let mut closed = watch(dir, "close_write", &[]);
    let arguments = ["-m", "-r", "-e", "create,delete,move,close_write", "--format", "%e %c %w%f", "d"];
    let mut all = Running::ready(inotifywait(dir, arguments));
    work();
    let there = paths(dir);
    let appeared: BTreeSet<String> = quiet(&mut appeared, dir).into_iter().collect();
    let silent: Vec<_> = there.iter().filter(|path| !is_announced(path, &appeared)).collect();
    assert!(silent.is_empty(), "not announced: {silent:?}");

    all.expect("the end", |lines| lines.iter().any(|line| line.ends_with(" d/the-end")));
    all.wait_asleep();
    let mut replay = Replay::default();
    let lines = all.stdout.lines();
    lines.iter().filter(|line| !line.ends_with(" d/the-end")).for_each(|line| replay.line(line));
    assert!(replay.wrong.is_empty(), "untrue: {:#?}\nof {lines:#?}", replay.wrong);
    let told: BTreeSet<String> = replay.entries.keys().cloned().collect();
    let wrong: Vec<_> = told.symmetric_difference(&there).collect();
    assert!(wrong.is_empty(), "of the tree or of the lines alone: {wrong:?}");

    // A file of several names is closed under the one by which it was written; one that has a name elsewhere, too,
    // may have been written there. So may rustc's objects, by names that are deleted then.
    let mut files: HashMap<u64, Vec<(u64, &String, bool)>> = HashMap::new();
    for (path, entry) in &replay.entries {
        let status = fs::symlink_metadata(dir.join(path)).unwrap();
        assert_eq!(status.is_dir(), entry.directory, "{path}");
        if status.is_file() && !path.contains("/incremental/") {
            files.entry(status.ino()).or_default().push((status.nlink(), path, entry.closed));
        }
    }
    for names in files.values().filter(|names| names.len() as u64 == names[0].0) {
        assert!(names.iter().any(|(.., closed)| *closed), "not closed: {names:?} of {lines:#?}");
    }

    if made == Paths::MadeOnce {
        is_exactly(&quiet(&mut created, dir), &there);
        fs::write(dir.join("d/the-end/of-all"), "").unwrap();
        closed.expect_line("d/the-end/of-all");
        let lines: BTreeSet<String> = closed.stdout.lines().into_iter().collect();
        let files = replay.entries.iter().filter(|(_, entry)| entry.closed).map(|(path, _)| path);
        let unclosed: Vec<_> = files.filter(|path| !lines.contains(*path)).collect();
        assert!(unclosed.is_empty(), "not closed: {unclosed:?}");
    }
}

/// Whether a path was announced, be it under the one that it had before a directory above was renamed.
fn is_announced(path: &str, appeared: &BTreeSet<String>) -> bool {
    let is_told = |(at, _): (usize, &str)| {
        let (above, below) = path.split_at(at);
        appeared.contains(above) && appeared.iter().any(|other| other.ends_with(below))
    };
    appeared.contains(path) || path.match_indices('/').any(is_told)
}

/// Runs a program that has to succeed.
#[track_caller]
fn done(command: &mut Command) {
    let (output, shown) = run(command);
    assert!(output.status.success(), "{shown}");
}

/// `source` below `dir`: 20 directories, 100 in them, 500 files in these and some links.
fn make_source(dir: &Path) {
    for directory in 0..20 {
        for below in 0..5 {
            let path = dir.join(format!("source/{directory}/sub-{below}"));
            fs::create_dir_all(&path).unwrap();
            for file in 0..5 {
                fs::write(path.join(file.to_string()), "contents").unwrap();
            }
        }
        symlink("sub-0", dir.join(format!("source/{directory}/link"))).unwrap();
    }
}

#[test]
fn chains_of_new_directories_are_announced() {
    let dir = fast_tempdir();
    announces(dir.path(), Paths::MadeOnce, || {
        for chain in 0..100 {
            let path = dir.path().join(format!("d/{chain}/a/b/c/d/e"));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("f"), "").unwrap();
            symlink("f", path.join("l")).unwrap();
        }
    });
}

#[test]
fn an_unpacked_archive_is_announced() {
    if !need("tar") {
        return;
    }
    let dir = fast_tempdir();
    make_source(dir.path());
    let tar = |arguments: &[&str]| done(Command::new("tar").args(arguments).current_dir(dir.path()));
    tar(&["cf", "a.tar", "source"]);
    announces(dir.path(), Paths::MadeOnce, || tar(&["xf", "a.tar", "-C", "d"]));
}

#[test]
fn a_copied_tree_is_announced() {
    let dir = fast_tempdir();
    make_source(dir.path());
    announces(dir.path(), Paths::MadeOnce, || {
        done(Command::new("cp").args(["-a", "source", "d/copy"]).current_dir(dir.path()));
    });
}

#[test]
fn a_cloned_repository_is_announced() {
    if !need("git") {
        return;
    }
    let dir = fast_tempdir();
    make_source(dir.path());
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        // Nobody's configuration but this.
        git.env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").env_remove("XDG_CONFIG_HOME");
        git.args(["-c", "user.name=n", "-c", "user.email=e"]);
        // What is written under a passing name is renamed, not linked and unlinked: so it can be told where it went.
        git.args(["-c", "core.createObject=rename"]);
        done(git.args(arguments).current_dir(dir.path()));
    };
    git(&["init", "-q", "source"]);
    git(&["-C", "source", "add", "."]);
    git(&["-C", "source", "commit", "-qm", "all"]);
    announces(dir.path(), Paths::Any, || {
        // By links, and by writing each object.
        git(&["clone", "-q", "source", "d/linked"]);
        git(&["clone", "-q", "--no-local", "source", "d/packed"]);
    });
}

#[test]
fn a_built_crate_is_announced() {
    let dir = fast_tempdir();
    let crate_dir = dir.path().join("crate");
    fs::create_dir_all(crate_dir.join("src")).unwrap();
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(crate_dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(crate_dir.join("src/lib.rs"), "pub fn one() -> i32 { 1 }").unwrap();
    fs::write(crate_dir.join("src/main.rs"), "fn main() { assert_eq!(small::one(), 1) }").unwrap();
    announces(dir.path(), Paths::Any, || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-q", "--offline"]).current_dir(crate_dir);
        cargo.env("CARGO_TARGET_DIR", dir.path().join("d/target")).env("CARGO_HOME", dir.path().join("home"));
        done(cargo.env_remove("RUSTFLAGS").env_remove("RUSTC_WRAPPER"));
    });
}

#[test]
fn a_directory_filled_and_renamed_at_once_is_reported_completely() {
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

/// Of the directory where it was written nobody could hear.
#[test]
fn a_file_that_leaves_a_new_directory_at_once_is_closed() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/there")).unwrap();
    fs::write(dir.path().join("from-outside"), "x").unwrap();
    let mut running = watch(dir.path(), "close_write", &[]);
    running.signal(Signal::SIGSTOP);
    fs::create_dir(dir.path().join("d/passing")).unwrap();
    fs::write(dir.path().join("d/passing/f"), "x").unwrap();
    fs::rename(dir.path().join("d/passing/f"), dir.path().join("d/there/f")).unwrap();
    fs::remove_dir(dir.path().join("d/passing")).unwrap();
    running.signal(Signal::SIGCONT);
    fs::write(dir.path().join("d/the-end"), "").unwrap();
    running.expect_line("d/the-end");
    assert_eq!(running.stdout.lines(), ["d/there/f", "d/the-end"]);
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

/// What is below a closed directory is reached again once that is open, and is reported then; that it cannot be reached is said once.
#[test]
fn a_directory_that_cannot_be_reached_is_watched_later() {
    if !need_root() {
        return;
    }
    for closed in ["d", "d/above"] {
        let dir = tempdir();
        fs::create_dir_all(dir.path().join("d/above")).unwrap();
        let closed = dir.path().join(closed);
        let arguments = ["-m", "-r", "-e", "create,attrib", "--format", "%w%f", "d"];
        let mut running = Running::ready(as_nobody(dir.path(), "inotifywait", arguments));
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        fs::create_dir(dir.path().join("d/above/new")).unwrap();
        running.expect_message("Couldn't watch new directory d/above/new/: Permission denied\n");
        fs::write(dir.path().join("d/above/new/f"), "").unwrap();
        // Another turn, in which that is tried again.
        fs::write(dir.path().join("d/above/g"), "").unwrap();
        running.expect_line("d/above/g");
        running.wait_asleep();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        running.expect_line("d/above/new/f");
        running.wait_asleep();
        fs::write(dir.path().join("d/above/new/h"), "").unwrap();
        running.expect_line("d/above/new/h");
        ends_with_one_message(running);
    }
}

/// Ends it: it has named one directory that it could not watch, once.
#[track_caller]
fn ends_with_one_message(running: Running) {
    let end = running.stop();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    end.check("one message", said.matches("Couldn't watch").count() == 1);
}

/// Its old path leads into one that is closed when the program looks.
#[test]
fn a_new_directory_that_was_renamed_with_the_one_above_is_not_named() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    fs::create_dir_all(dir.path().join("d/above")).unwrap();
    let arguments = ["-m", "-r", "-e", "create,move", "--format", "%w%f", "d"];
    let mut running = Running::ready(as_nobody(dir.path(), "inotifywait", arguments));
    running.signal(Signal::SIGSTOP);
    fs::create_dir(dir.path().join("d/above/new")).unwrap();
    fs::rename(dir.path().join("d/above"), dir.path().join("d/other")).unwrap();
    fs::DirBuilder::new().mode(0o000).create(dir.path().join("d/above")).unwrap();
    running.signal(Signal::SIGCONT);
    running.expect_message("Couldn't watch new directory d/above/: Permission denied\n");
    running.wait_asleep();
    fs::write(dir.path().join("d/other/new/f"), "").unwrap();
    running.expect_line("d/other/new/f");
    ends_with_one_message(running);
}

#[test]
fn without_monitor_the_deletion_of_a_new_directory_does_not_end_the_wait() {
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
