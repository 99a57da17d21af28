//! Renames: every later path is the real one.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use proptest::prelude::*;

use crate::common::{Running, calls, exchange, fast_tempdir, inotifywait, inotifywatch, need, traced};
use crate::{few_cases, follow_exchange, follow_rename, quiet, watch};

/// Directories of two watched trees by their present paths, and what a watcher has to print.
struct Trees {
    top: PathBuf,
    directories: Vec<PathBuf>,
    expected: Vec<String>,
}

impl Trees {
    /// d and e, six directories in each of them, and six in each of these.
    fn new(top: &Path) -> Trees {
        let mut directories = Vec::new();
        for root in ["d", "e"] {
            directories.push(root.into());
            for outer in NAMES {
                directories.push(format!("{root}/{outer}").into());
                directories.extend(NAMES.map(|inner| format!("{root}/{outer}/{inner}").into()));
            }
        }
        for directory in &directories {
            fs::create_dir(top.join(directory)).unwrap();
        }
        Trees { top: top.to_owned(), directories, expected: Vec::new() }
    }

    /// Renames a directory, perhaps over an empty one. What the kernel refuses does not happen.
    fn rename(&mut self, from: &Path, to: &Path) {
        if is_root(from) || is_root(to) || fs::rename(self.top.join(from), self.top.join(to)).is_err() {
            return;
        }
        self.directories.retain(|directory| directory != to || from == to);
        follow_rename(&mut self.directories, from, to);
    }

    /// Swaps two directories, if neither is in the other.
    fn exchange(&mut self, one: &Path, other: &Path) {
        if is_root(one) || is_root(other) || exchange(&self.top.join(one), &self.top.join(other)).is_err() {
            return;
        }
        follow_exchange(&mut self.directories, one, other);
    }

    /// Makes something happen in a directory, which is left as it was.
    fn touch(&mut self, directory: &Path) {
        let path = directory.join(format!("probe-{}", self.expected.len()));
        fs::write(self.top.join(&path), "").unwrap();
        fs::remove_file(self.top.join(&path)).unwrap();
        self.expected.push(path.to_str().unwrap().to_owned());
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "p", "q", "r"];

fn is_root(path: &Path) -> bool {
    path.components().count() == 1
}

proptest! {
    #![proptest_config(few_cases(10))]

    /// Renames within a tree and from one to the other, over empty directories, back and forth, and exchanges,
    /// each read at once or, the watcher being stopped, long after: every line has the path of its moment.
    #[test]
    fn every_path_is_the_real_one(
        steps in proptest::collection::vec((0u8..8, any::<[prop::sample::Index; 3]>()), 1..2000),
        unread: bool,
    ) {
        let dir = fast_tempdir();
        let mut trees = Trees::new(dir.path());
        let mut running = watch(dir.path(), "create", &["e"]);
        if unread {
            running.signal(Signal::SIGSTOP);
        }
        for (what, [one, other, name]) in &steps {
            let one = one.get(&trees.directories).clone();
            let other = other.get(&trees.directories).clone();
            match what {
                0..3 => trees.rename(&one, &other.join(name.get(&NAMES))),
                3 => trees.rename(&one, &other),
                4 => trees.exchange(&one, &other),
                _ => trees.touch(&one),
            }
        }
        for directory in trees.directories.clone() {
            trees.touch(&directory);
        }
        running.signal(Signal::SIGCONT);
        let lines = quiet(&mut running, dir.path());
        prop_assert_eq!(lines, trees.expected);
        // And d/the-end.
        prop_assert_eq!(running.watches(), trees.directories.len() + 1);
    }
}

#[test]
fn thousands_of_renames_at_once_keep_the_paths_right() {
    const MANY: usize = 2000;
    let dir = fast_tempdir();
    let at = |parent: &str, number: usize| dir.path().join(format!("d/{parent}/{number}"));
    for number in 0..MANY {
        fs::create_dir_all(at("one", number).join("below")).unwrap();
    }
    fs::create_dir(dir.path().join("d/other")).unwrap();
    let mut running = watch(dir.path(), "create", &[]);
    running.signal(Signal::SIGSTOP);
    for number in 0..MANY {
        fs::rename(at("one", number), at("other", MANY - number)).unwrap();
    }
    let mut expected = Vec::new();
    for number in 1..=MANY {
        fs::write(at("other", number).join("below/f"), "").unwrap();
        expected.push(format!("d/other/{number}/below/f"));
    }
    running.signal(Signal::SIGCONT);
    assert_eq!(quiet(&mut running, dir.path()), expected);
    assert_eq!(running.watches(), 3 + 2 * MANY + 1);
}

#[test]
fn a_rename_takes_as_many_system_calls_for_any_subtree() {
    if !need("strace") {
        return;
    }
    let [small, large] = [0, 1000].map(|below| {
        let dir = fast_tempdir();
        let at = |path: &str| dir.path().join("d").join(path);
        fs::create_dir_all(at("a")).unwrap();
        for number in 0..below {
            fs::create_dir_all(at("a").join(format!("{}/{number}", number % 10))).unwrap();
        }
        let (mut run, log) = traced(dir.path(), ["-mr", "-e", "create", "d"]);
        let before = calls(&log).len();
        run.stopped(|| {
            for _ in 0..100 {
                fs::rename(at("a"), at("renamed")).unwrap();
                fs::rename(at("renamed"), at("a")).unwrap();
            }
            fs::write(at("a/end"), "").unwrap();
        });
        run.expect_line("d/a/ CREATE end");
        run.wait_asleep();
        calls(&log).len() - before
    });
    // Not one for each directory below it; the heap may grow at different times.
    assert!(large < small + 100, "{large} system calls, with nothing below {small}");
}

/// Out of the tree, and others out and back again, unread.
#[test]
fn a_directory_that_left_before_it_was_read_is_silent() {
    let dir = fast_tempdir();
    for name in ["d/goes/a/b", "d/wanders/a/b", "d/is-swapped/a", "out/swapped/below"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let at = |path: &str| dir.path().join(path);
    let rename = |from: &str, to: &str| fs::rename(at(from), at(to)).unwrap();
    let mut running = watch(dir.path(), "create,move,attrib", &[]);
    running.signal(Signal::SIGSTOP);
    rename("d/goes", "d/goes-soon");
    rename("d/goes-soon", "out/gone");
    rename("d/wanders", "out/wandered");
    rename("out/wandered", "d/back");
    exchange(&at("d/is-swapped"), &at("out/swapped")).unwrap();
    for left in ["out/gone", "out/gone/a/b", "out/swapped/a"] {
        fs::write(at(left).join("f"), "").unwrap();
    }
    running.signal(Signal::SIGCONT);
    let moves =
        ["d/goes", "d/goes-soon", "d/goes-soon", "d/wanders", "d/back", "d/is-swapped", "d/is-swapped"];
    let mut lines = quiet(&mut running, dir.path());
    lines.sort();
    let mut sorted = moves.map(str::to_owned);
    sorted.sort();
    assert_eq!(lines, sorted);
    // d, back with two below, is-swapped with one, the-end.
    assert_eq!(running.watches(), 1 + 3 + 2 + 1);
    for here in ["d/back/a/b/f", "d/is-swapped/below/f"] {
        fs::write(at(here), "").unwrap();
        running.expect_line(here);
    }
    fs::write(at("out/gone/a/g"), "").unwrap();
    running.wait_asleep();
    let end = running.stop();
    end.check(
        "nothing of what left",
        end.lines().iter().all(|line| !line.contains("goes") || moves.contains(&&**line)),
    );
}

#[test]
fn a_directory_that_moves_in_is_watched_completely() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let all = ["", "/a", "/a/b", "/a/b/c", "/x"];
    for number in 0..20 {
        for below in all {
            fs::create_dir_all(dir.path().join(format!("out/{number}{below}"))).unwrap();
            fs::write(dir.path().join(format!("out/{number}{below}/f")), "").unwrap();
        }
    }
    let mut running = watch(dir.path(), "create,close_write,move", &[]);
    let mut expected = Vec::new();
    for number in 0..20 {
        fs::rename(dir.path().join(format!("out/{number}")), dir.path().join(format!("d/{number}"))).unwrap();
        running.expect_line(&format!("d/{number}"));
        running.wait_asleep();
        expected.push(format!("d/{number}"));
    }
    assert_eq!(quiet(&mut running, dir.path()), expected);
    assert_eq!(running.watches(), 1 + 20 * all.len() + 1);
    for number in 0..20 {
        for below in all {
            let path = format!("d/{number}{below}/g");
            fs::write(dir.path().join(&path), "").unwrap();
            // Created, and closed.
            running.expect(&path, |lines| lines.iter().filter(|line| **line == path).count() == 2);
        }
    }
}

#[test]
fn several_directories_that_move_in_report_only_the_moves() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "create,close_write,move", &[]);
    let mut expected = Vec::new();
    for number in 0..20 {
        fs::create_dir_all(dir.path().join(format!("out/{number}/below"))).unwrap();
        fs::write(dir.path().join(format!("out/{number}/f")), "").unwrap();
        fs::rename(dir.path().join(format!("out/{number}")), dir.path().join(format!("d/{number}"))).unwrap();
        expected.push(format!("d/{number}"));
    }
    assert_eq!(quiet(&mut running, dir.path()), expected);
}

#[test]
fn inotifywatch_stops_counting_in_directories_that_left() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/a/b")).unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    let mut running = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "create", "d"]));
    fs::write(dir.path().join("d/a/b/1"), "").unwrap();
    fs::rename(dir.path().join("d/a"), dir.path().join("out")).unwrap();
    fs::rename(dir.path().join("in"), dir.path().join("d/came")).unwrap();
    running.wait_asleep();
    assert_eq!(running.watches(), 2);
    fs::write(dir.path().join("out/b/2"), "").unwrap();
    fs::write(dir.path().join("d/came/3"), "").unwrap();
    running.wait_asleep();
    running.signal(Signal::SIGINT);
    running
        .finish()
        .code(0)
        .printed("total  create  filename\n1      1       d/a/b/\n1      1       d/came/\n");
}

#[test]
fn paths_stay_correct_after_renames() {
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
    exchange(&at("a3"), &at("x")).unwrap();
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
fn a_directory_that_leaves_is_silent_and_gives_its_watches_back() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/leaves/a/b")).unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let mut running = watch(dir.path(), "create,moved_from,moved_to", &[]);
    assert_eq!(running.watches(), 4);
    fs::rename(dir.path().join("d/leaves"), dir.path().join("elsewhere/left")).unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/leaves"]);
    assert_eq!(running.watches(), 2, "d and d/the-end");
    fs::write(dir.path().join("elsewhere/left/a/b/f"), "").unwrap();
    // And back: watched whole, and only the move is news.
    fs::rename(dir.path().join("elsewhere/left"), dir.path().join("d/back")).unwrap();
    running.expect_line("d/back");
    running.wait_asleep();
    assert_eq!(running.watches(), 5);
    fs::write(dir.path().join("d/back/a/b/g"), "").unwrap();
    running.expect_line("d/back/a/b/g");
    assert_eq!(running.stdout.lines(), ["d/leaves", "d/the-end", "d/back", "d/back/a/b/g"]);
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

/// `d`, and `outside` beside it; the lines are `%e %w%f`.
fn watch_beside_outside(dir: &Path, more: &[&str]) -> Running {
    fs::create_dir(dir.join("outside")).unwrap();
    fs::create_dir_all(dir.join("d")).unwrap();
    let arguments = ["-m", "-r", "-e", "create,delete,move", "--format", "%e %w%f", "d"];
    Running::ready(inotifywait(dir, arguments.iter().chain(more)))
}

/// The same events as those of an exchange are queued, but for the place where the second rename ends.
#[test]
fn a_new_directory_that_replaced_another_is_announced_where_it_is_renamed_to() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join(path);
    let mut running = watch_beside_outside(dir.path(), &[]);
    fs::create_dir(at("outside/empty")).unwrap();
    running.signal(Signal::SIGSTOP);
    fs::rename(at("outside/empty"), at("d/b")).unwrap();
    fs::create_dir(at("d/a")).unwrap();
    fs::write(at("d/a/file"), "").unwrap();
    fs::rename(at("d/a"), at("d/b")).unwrap();
    fs::rename(at("d/b"), at("d/c")).unwrap();
    running.signal(Signal::SIGCONT);
    running.expect_line("CREATE d/c/file");
}

/// It is watched all the time: no event in it is lost.
#[test]
fn a_directory_that_leaves_and_returns_keeps_its_watch() {
    for (away, back) in [("outside/w", "d/w"), ("outside/w", "d/x"), ("d/w.tmp", "d/w")] {
        let dir = fast_tempdir();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("d/w/sub")).unwrap();
        fs::write(at("d/w/old"), "").unwrap();
        let mut running = watch_beside_outside(dir.path(), &["--exclude", "tmp"]);
        running.signal(Signal::SIGSTOP);
        fs::rename(at("d/w"), at(away)).unwrap();
        fs::write(at(away).join("unheard"), "").unwrap();
        fs::rename(at(away), at(back)).unwrap();
        fs::write(at(back).join("file"), "").unwrap();
        fs::write(at(back).join("sub/file"), "").unwrap();
        running.signal(Signal::SIGCONT);
        running.expect_line(&format!("CREATE {back}/sub/file"));
        running.wait_asleep();
        let mut created = running.stdout.lines();
        created.retain(|line| line.starts_with("CREATE"));
        assert_eq!(created, ["file", "sub/file"].map(|file| format!("CREATE {back}/{file}")));
        assert_eq!(running.watches(), 3);
    }
}

/// As of any directory that is moved into the tree, only the move is reported until the directory is found where it was renamed to.
#[test]
fn a_directory_that_returns_and_is_renamed_at_once_is_one_from_elsewhere_until_then() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("d/w")).unwrap();
    let mut running = watch_beside_outside(dir.path(), &[]);
    running.signal(Signal::SIGSTOP);
    fs::rename(at("d/w"), at("outside/w")).unwrap();
    fs::rename(at("outside/w"), at("d/w")).unwrap();
    fs::write(at("d/w/early"), "").unwrap();
    fs::rename(at("d/w"), at("d/x")).unwrap();
    fs::write(at("d/x/late"), "").unwrap();
    running.signal(Signal::SIGCONT);
    running.expect_line("CREATE d/x/late");
    running.wait_asleep();
    let moves = ["MOVED_FROM,ISDIR d/w", "MOVED_TO,ISDIR d/w", "MOVED_FROM,ISDIR d/w", "MOVED_TO,ISDIR d/x"];
    assert_eq!(running.stdout.lines(), [&moves[..], &["CREATE d/x/late"]].concat());
    assert_eq!(running.watches(), 2);
}

/// Its new parent was in it, and left the tree first.
#[test]
fn a_directory_that_left_into_one_from_below_it_returns_with_that() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("d/w/p")).unwrap();
    let mut running = watch_beside_outside(dir.path(), &[]);
    running.signal(Signal::SIGSTOP);
    fs::rename(at("d/w/p"), at("outside/p")).unwrap();
    fs::rename(at("d/w"), at("outside/p/w")).unwrap();
    fs::rename(at("outside/p"), at("d/p")).unwrap();
    running.signal(Signal::SIGCONT);
    running.expect_line("MOVED_TO,ISDIR d/p");
    running.wait_asleep();
    assert_eq!(running.watches(), 3);
    fs::write(at("d/p/w/file"), "").unwrap();
    running.expect_line("CREATE d/p/w/file");
}

/// No DELETE of its name follows, which would end the wait instead.
#[test]
fn a_watched_directory_that_is_replaced_ends_the_wait() {
    let dir = fast_tempdir();
    for name in ["d/a", "d/b"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let running = Running::ready(inotifywait(dir.path(), ["-r", "-e", "delete", "d"]));
    fs::rename(dir.path().join("d/a"), dir.path().join("d/b")).unwrap();
    running.finish().code(1);
    let running = Running::ready(inotifywait(dir.path(), ["-r", "-e", "delete", "d"]));
    fs::remove_dir(dir.path().join("d/b")).unwrap();
    running.finish().code(0);
}

/// Each is renamed into a new directory, and once more there, before anybody can watch that. A file is made before and after, and one leaves.
#[test]
fn directories_that_move_into_new_ones_lose_no_file() {
    const MANY: usize = 500;
    let dir = fast_tempdir();
    let at = |path: String| dir.path().join("d").join(path);
    for number in 0..MANY {
        fs::create_dir_all(at(format!("w{number}"))).unwrap();
    }
    let mut running = watch(dir.path(), "close_write", &[]);
    for number in 0..MANY {
        fs::create_dir(at(format!("n{number}"))).unwrap();
        fs::rename(at(format!("w{number}")), at(format!("n{number}/w"))).unwrap();
        fs::write(at(format!("n{number}/w/f{number}")), "").unwrap();
        fs::rename(at(format!("n{number}/w/f{number}")), at(format!("f{number}"))).unwrap();
        fs::write(at(format!("n{number}/w/g{number}")), "").unwrap();
        fs::rename(at(format!("n{number}/w")), at(format!("n{number}/x"))).unwrap();
    }
    fs::write(at("end".into()), "").unwrap();
    running.expect_line("d/end");
    running.wait_asleep();
    let lines = running.stdout.lines();
    let is_told = |file: &str| lines.iter().any(|line| line.rsplit('/').next() == Some(file));
    let files = (0..MANY).flat_map(|number| [format!("f{number}"), format!("g{number}")]);
    assert_eq!(files.filter(|file| !is_told(file)).collect::<Vec<_>>(), Vec::<String>::new());
}
