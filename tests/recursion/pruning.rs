//! Excluded subtrees: no watches, and no other output than with them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use inotify_tools::internals::Ere;
use nix::sys::signal::Signal;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tempfile::TempDir;

use crate::common::{Running, exchange, fast_tempdir, inotifywait, inotifywatch};
use crate::{few_cases, follow_exchange, follow_rename, moved, paths, quiet, watch};

#[test]
fn excluded_subtrees_need_no_watches() {
    let dir = fast_tempdir();
    for number in 0..200 {
        fs::create_dir_all(dir.path().join(format!("d/a/node_modules/{number}"))).unwrap();
    }
    fs::create_dir_all(dir.path().join("d/a/.git/hooks")).unwrap();
    // The first covers all below; the second matches the directory and nothing in it.
    let running = watch(dir.path(), "create", &["--exclude", "/node_modules/"]);
    assert_eq!(running.watches(), 4);
    let mut running = watch(dir.path(), "create", &["--exclude", "\\.git$"]);
    assert_eq!(running.watches(), 205);
    fs::write(dir.path().join("d/a/.git/hooks/f"), "").unwrap();
    running.expect_line("d/a/.git/hooks/f");
}

#[test]
fn a_rename_can_end_an_exclusion_and_begin_one() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache/a/b")).unwrap();
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/cache/"]);
    assert_eq!(running.watches(), 1);
    fs::rename(at("cache"), at("seen")).unwrap();
    running.expect_line("d/seen");
    running.wait_asleep();
    fs::write(at("seen/a/b/1"), "").unwrap();
    running.expect_line("d/seen/a/b/1");
    fs::rename(at("seen"), at("cache")).unwrap();
    running.expect_line("d/cache");
    running.wait_asleep();
    assert_eq!(running.watches(), 1);
    fs::write(at("cache/a/b/2"), "").unwrap();
    let expected = ["d/seen", "d/seen/a/b/1", "d/cache"];
    assert_eq!(quiet(&mut running, dir.path()), expected);
}

#[test]
fn a_rename_above_can_end_an_exclusion() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/a/cache/b")).unwrap();
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/a/cache/"]);
    assert_eq!(running.watches(), 2);
    fs::rename(dir.path().join("d/a"), dir.path().join("d/other")).unwrap();
    running.expect_line("d/other");
    running.wait_asleep();
    assert_eq!(running.watches(), 4);
    fs::write(dir.path().join("d/other/cache/b/f"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/other", "d/other/cache/b/f"]);
}

#[test]
fn a_rename_out_and_back_can_end_an_exclusion() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/a/cache/b")).unwrap();
    let mut running = watch(dir.path(), "create", &["--exclude", "/a/cache/"]);
    running.signal(Signal::SIGSTOP);
    for (from, to) in [("d/a", "out"), ("out", "d/other")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    running.signal(Signal::SIGCONT);
    running.wait_asleep();
    fs::write(dir.path().join("d/other/cache/b/f"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/other/cache/b/f"]);
}

/// From where all below is excluded to where the directory alone is: as one that was watched all the time.
#[test]
fn a_pruned_directory_whose_new_path_alone_is_excluded_is_watched() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache/a")).unwrap();
    let mut running = watch(dir.path(), "create", &["--exclude", "/cache/|/b$"]);
    fs::rename(dir.path().join("d/cache"), dir.path().join("d/b")).unwrap();
    running.wait_asleep();
    assert_eq!(running.watches(), 3);
    fs::write(dir.path().join("d/b/a/f"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/b/a/f"]);
}

#[test]
fn a_pruned_directory_is_not_announced_after_unread_renames() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache/a")).unwrap();
    fs::write(dir.path().join("d/cache/f"), "").unwrap();
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/cache/"]);
    running.signal(Signal::SIGSTOP);
    for (from, to) in [("cache", "first"), ("first", "second")] {
        fs::rename(dir.path().join("d").join(from), dir.path().join("d").join(to)).unwrap();
    }
    running.signal(Signal::SIGCONT);
    assert_eq!(quiet(&mut running, dir.path()), ["d/first", "d/second"]);
    assert_eq!(running.watches(), 4);
}

/// It was not watched when it was made, for its path was excluded.
#[test]
fn a_new_directory_is_watched_when_a_rename_ends_its_exclusion() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/a")).unwrap();
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/a/c"]);
    fs::create_dir(dir.path().join("d/a/c")).unwrap();
    running.wait_asleep();
    fs::rename(dir.path().join("d/a"), dir.path().join("d/b")).unwrap();
    running.expect_line("d/b");
    running.wait_asleep();
    fs::write(dir.path().join("d/b/c/f"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/b", "d/b/c/f"]);
}

#[test]
fn a_pruned_directory_that_is_excluded_no_more_has_moved_itself() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache")).unwrap();
    let mut running = watch(dir.path(), "move_self,create", &["--exclude", "/cache/"]);
    fs::rename(dir.path().join("d/cache"), dir.path().join("d/seen")).unwrap();
    // As without pruning.
    assert_eq!(quiet(&mut running, dir.path()), ["d/seen/"]);
}

#[test]
fn a_directory_swapped_with_a_pruned_one_is_pruned() {
    let dir = fast_tempdir();
    for path in ["a/b", "a/c", "c/c"] {
        fs::create_dir_all(dir.path().join("d").join(path)).unwrap();
    }
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create", &["--exclude", "/c$|/a/c/"]);
    running.signal(Signal::SIGSTOP);
    exchange(&at("a/b"), &at("a/c")).unwrap();
    // To where a new one would be refused.
    exchange(&at("a/c"), &at("c/c")).unwrap();
    running.signal(Signal::SIGCONT);
    running.wait_asleep();
    fs::write(at("c/c/f"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/c/c/f"]);
}

#[test]
fn inotifywatch_adds_no_watches_in_excluded_subtrees() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/node_modules/a/b")).unwrap();
    fs::create_dir(dir.path().join("d/c")).unwrap();
    let arguments = ["-r", "-e", "create", "--exclude", "/node_modules/", "d"];
    let running = Running::ready(inotifywatch(dir.path(), arguments));
    assert_eq!(running.watches(), 2);
    fs::write(dir.path().join("d/node_modules/a/f"), "").unwrap();
    fs::write(dir.path().join("d/c/f"), "").unwrap();
    running.signal(Signal::SIGINT);
    running.finish().code(0).printed("total  create  filename\n1      1       d/c/\n");
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Parts of patterns: some cover all below what they match, others match the directory alone, or some names in it.
const PARTS: [&str; 18] = [
    "/a/",
    "/b/",
    "/a$",
    "/c$",
    "/a",
    "a/b",
    "b/c/",
    "^d/a/",
    "^d/b",
    "^d/c/a/f",
    "/(a|c)/",
    "[ab]/c/",
    "/a/.*c",
    "/b\\b",
    "/c/\\B",
    "/f$",
    "^d/[^/]*/b/",
    ".*/c/.*",
];

/// Watchers of `d` with a pattern, and others with one that means the same and prunes nothing: what it has besides,
/// an end with more to come, stands in no path and leaves the whole to the C library.
struct Pairs {
    dir: TempDir,
    lines: [Running; 2],
    counts: [Running; 2],
    /// Directories that may not be watched yet, or not at their place.
    fresh: Vec<PathBuf>,
    unread: bool,
    /// The pattern of an exclusion.
    excluded: Option<Ere>,
    /// What happened, for a person.
    done: Vec<String>,
}

impl Pairs {
    fn new(option: &str, pattern: &str, unread: bool) -> Pairs {
        let dir = fast_tempdir();
        for outer in NAMES {
            for inner in NAMES {
                fs::create_dir_all(dir.path().join("d").join(outer).join(inner)).unwrap();
            }
        }
        fs::create_dir(dir.path().join("out")).unwrap();
        let patterns = [pattern.to_owned(), format!("//$/|{pattern}")];
        // Not those of reading, which the one causes for the other, nor those that may be told again when a
        // directory comes from elsewhere.
        let start = |mut command: Command, events: &str, pattern: &String| {
            command.args(["-r", "d", "-e", events, option]).arg(pattern);
            Running::ready(command)
        };
        let lines = patterns.each_ref().map(|pattern| {
            let monitor = inotifywait(dir.path(), ["-m", "--format", "%w%f %e %c"]);
            start(monitor, "delete,move,modify", pattern)
        });
        let counts = patterns
            .each_ref()
            .map(|pattern| start(inotifywatch(dir.path(), [""; 0]), "delete,move,modify", pattern));
        let all = 1 + NAMES.len() + NAMES.len() * NAMES.len();
        assert_eq!((lines[1].watches(), counts[1].watches()), (all, all), "{pattern} is pruned by both");
        let excluded =
            (option != "--include").then(|| Ere::new(pattern.as_bytes(), option == "--excludei").unwrap());
        let mut pairs = Pairs { dir, lines, counts, fresh: Vec::new(), unread, excluded, done: Vec::new() };
        pairs.signal();
        pairs
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Running> {
        self.lines.iter_mut().chain(&mut self.counts)
    }

    /// Stops them, where they are to read late.
    fn signal(&mut self) {
        if self.unread {
            self.all().for_each(|running| running.signal(Signal::SIGSTOP));
        }
    }

    /// Lets them read all that happened, and compares.
    #[track_caller]
    fn compare(&mut self) {
        self.done.push("-- compared".to_owned());
        self.fresh.clear();
        let marker = format!("d/sync-{}", self.done.len());
        fs::write(self.dir.path().join(&marker), "x").unwrap();
        self.all().for_each(|running| running.signal(Signal::SIGCONT));
        self.all().for_each(Running::wait_asleep);
        let last = format!("{marker} MODIFY 0");
        self.lines.iter_mut().for_each(|running| running.expect_line(&last));
        let [pruned, whole] = self.lines.each_ref().map(|running| running.stdout.lines());
        if pruned != whole {
            let differ = pruned.iter().zip(&whole).take_while(|(one, other)| one == other).count();
            let [pruned, whole] = [pruned, whole].map(|lines| lines[differ..].to_vec());
            let done = self.done.join("\n");
            panic!("after {differ} lines of\n{done}\npruned: {pruned:#?}\nnot pruned: {whole:#?}");
        }
        self.signal();
    }

    /// Before something happens in a directory that may be unwatched so far: there chance decides what is seen.
    #[track_caller]
    fn before_in(&mut self, directory: &Path) {
        if self.fresh.iter().any(|fresh| directory.starts_with(fresh)) {
            self.compare();
        }
    }

    #[track_caller]
    fn before_rename(&mut self, from: &Path, to: &Path) {
        self.before_in(from.parent().unwrap());
        self.before_in(to.parent().unwrap());
        // There one that is watched goes on, and one that is not is refused.
        if self.is_refused(to) {
            self.before_in(from);
        }
        // It may seem to come from a new directory that is not watched yet, and all in it to be new.
        let now = |path: &PathBuf| moved(path, from, to).is_some_and(|path| self.is_refused(&path));
        if self.is_unheard(from) && self.directories(from).iter().any(now) {
            self.compare();
        }
    }

    /// Whether a directory that is new at a path is not watched by either, though its contents may be reported, at
    /// once or when it is renamed.
    fn is_refused(&self, path: &Path) -> bool {
        self.excluded.as_ref().is_some_and(|pattern| pattern.is_match(path.as_os_str().as_bytes()))
    }

    /// Whether the one that prunes does not hear of what is renamed from a path.
    fn is_unheard(&self, from: &Path) -> bool {
        let covers = |above: &Path| {
            let above = [above.as_os_str().as_bytes(), b"/"].concat();
            self.excluded.as_ref().is_some_and(|pattern| pattern.covers_below(&above))
        };
        from.starts_with("out") || from.ancestors().skip(1).any(covers)
    }

    /// Whether a directory's rename is for the one that prunes a coming from elsewhere, to where that is refused.
    fn is_lost(&self, from: &Path, to: &Path) -> bool {
        self.is_refused(to) && self.is_unheard(from)
    }

    /// A path, and the directories below it.
    fn directories(&self, top: &Path) -> Vec<PathBuf> {
        let mut found = vec![top.to_owned()];
        let mut read = 0;
        while let Some(path) = found.get(read).cloned() {
            read += 1;
            let entries = fs::read_dir(self.at(&path)).into_iter().flatten().map(Result::unwrap);
            let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
            found.extend(directories.map(|entry| path.join(entry.file_name())));
        }
        found
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.dir.path().join(path)
    }

    /// After a rename: events that are alike but for their cookies are one for the kernel where nothing stands
    /// between them, and what stood there may have happened where only one of two listens.
    fn separate(&mut self, done: String) {
        self.done.push(done);
        fs::write(self.at(Path::new(&format!("d/sync-{}", self.done.len()))), "x").unwrap();
    }

    #[track_caller]
    fn rename(&mut self, from: &Path, to: &Path) {
        self.before_rename(from, to);
        if fs::rename(self.at(from), self.at(to)).is_ok() {
            self.separate(format!("rename {} {}", from.display(), to.display()));
            self.fresh.retain(|fresh| fresh != to);
            follow_rename(&mut self.fresh, from, to);
            self.fresh.extend(self.at(to).is_dir().then(|| to.to_owned()));
            self.fresh.retain(|fresh| !fresh.starts_with("out"));
        }
    }

    #[track_caller]
    fn step(&mut self, number: usize, what: u8, [one, other, name]: &[Index; 3]) {
        let (mut directories, mut files) = (vec![PathBuf::from("d")], Vec::new());
        for path in paths(self.dir.path()).into_iter().map(PathBuf::from) {
            if self.at(&path).is_dir() { directories.push(path) } else { files.push(path) }
        }
        let (one, other) = (one.get(&directories).clone(), other.get(&directories).clone());
        let file = files.get(number % files.len().max(1)).filter(|file| !file.starts_with("d/sync"));
        let new = one.join(name.get(&NAMES));
        let is_top = |path: &Path| path.components().count() == 1;
        match (what, file) {
            (0..4, _) => {
                self.before_in(&one);
                // No two alike, which may be one for the kernel.
                let file = one.join(format!("f{number}"));
                fs::write(self.at(&file), "x").unwrap();
                self.done.push(format!("write {}", file.display()));
            }
            (4, Some(file)) => {
                self.before_in(file.parent().unwrap());
                fs::remove_file(self.at(file)).unwrap();
                self.done.push(format!("unlink {}", file.display()));
            }
            (5, Some(file)) => self.rename(file, &other.join(file.file_name().unwrap())),
            (6 | 7, _) if !self.is_refused(&new) => {
                self.before_in(&one);
                if fs::create_dir(self.at(&new)).is_ok() {
                    self.done.push(format!("mkdir {}", new.display()));
                    self.fresh.push(new);
                }
            }
            (8, _) if !is_top(&one) => {
                // All that is in it goes, too.
                self.compare();
                fs::remove_dir_all(self.at(&one)).unwrap();
                self.done.push(format!("rm -r {}", one.display()));
            }
            (9, _) if !is_top(&one) => self.rename(&one, &PathBuf::from(format!("out/{number}"))),
            (10, _) if !self.is_refused(&new) => {
                if let Some(from) = fs::read_dir(self.at(Path::new("out"))).unwrap().next() {
                    self.rename(&Path::new("out").join(from.unwrap().file_name()), &new);
                }
            }
            (11, _)
                if !is_top(&one)
                    && !is_top(&other)
                    && !self.is_lost(&one, &other)
                    && !self.is_lost(&other, &one) =>
            {
                self.before_rename(&one, &other);
                self.before_rename(&other, &one);
                if exchange(&self.at(&one), &self.at(&other)).is_ok() {
                    self.separate(format!("exchange {} {}", one.display(), other.display()));
                    follow_exchange(&mut self.fresh, &one, &other);
                    self.fresh.extend([one, other]);
                }
            }
            (12, _) => self.probe(number),
            (13.., _) if !is_top(&one) => {
                let to = other.join(new.file_name().unwrap());
                if !self.is_lost(&one, &to) {
                    self.rename(&one, &to);
                }
            }
            _ => {}
        }
    }

    /// Lets something happen in every directory.
    #[track_caller]
    fn probe(&mut self, number: usize) {
        self.compare();
        for path in paths(self.dir.path()).into_iter().filter(|path| self.dir.path().join(path).is_dir()) {
            fs::write(self.dir.path().join(path).join(format!("f-in-each-{number}")), "x").unwrap();
        }
        self.done.push("write in every directory".to_owned());
    }

    /// Compares what was counted, too. Under which name may differ: one that moves to where nothing is watched
    /// keeps the name that it had.
    #[track_caller]
    fn finish(mut self) {
        self.probe(usize::MAX);
        self.compare();
        let done = self.done.join("\n");
        self.all().for_each(|running| running.signal(Signal::SIGCONT));
        let [pruned, whole] = self.counts.map(|running| {
            running.signal(Signal::SIGINT);
            let lines = running.finish().lines();
            let rows = lines.iter().skip(1).map(|line| line.split_whitespace().flat_map(str::parse::<u32>));
            let sums = rows.fold(Vec::new(), |sums: Vec<u32>, row| {
                row.enumerate().map(|(at, count)| count + sums.get(at).unwrap_or(&0)).collect()
            });
            (lines.first().cloned(), sums)
        });
        assert_eq!(pruned, whole, "pruned, not pruned, after\n{done}");
    }
}

proptest! {
    #![proptest_config(few_cases(10))]

    #[test]
    fn without_its_watches_the_output_is_the_same(
        option in select(vec!["--exclude", "--exclude", "--excludei", "--include"]),
        parts in proptest::collection::vec(select(&PARTS[..]), 1..3),
        steps in proptest::collection::vec((0u8..18, any::<[Index; 3]>()), 1..50),
        unread: bool,
    ) {
        let mut pattern = parts.join("|");
        if option == "--include" {
            pattern.push_str("|/sync-");
        }
        let mut pairs = Pairs::new(option, &pattern, unread);
        for (number, (what, chosen)) in steps.iter().enumerate() {
            pairs.step(number, *what, chosen);
        }
        pairs.finish();
    }
}
