//! Every path is the one of its moment, however late the event is read.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::Config as ProptestConfig;

use crate::common::{Own, Running, deep_directory, exchange, inotifywait};
use crate::{CHANGES, Space, stopped};

/// Does a script, at once or unread, and looks for the lines.
#[track_caller]
fn story(setup: &str, watched: &str, script: &str, then: &str, wanted: &[&str]) {
    for unread in [false, true] {
        let Some(space) = Space::new(setup) else { return };
        let mut running = space.monitor(&["-r", "-e", CHANGES, watched]);
        match unread {
            true => space.does_unread(&mut running, script),
            false => space.does(&running, script),
        }
        space.printed(&mut running, then, wanted);
    }
}

#[test]
fn a_chain_of_renames_has_the_path_of_each_moment() {
    story(
        "mkdir d",
        "d",
        "mkdir d/a; touch d/a/x; mv d/a d/b; touch d/b/y; mv d/b d/c; rm d/c/x; rm d/c/y; rmdir d/c; mkdir d/a d/b; mv d/a d/b/; \
         touch d/b/a/z",
        "d",
        &[
            "d/ CREATE,ISDIR a 0",
            "d/a/ CREATE x 0",
            "d/ MOVED_FROM,ISDIR a 1",
            "d/ MOVED_TO,ISDIR b 1",
            "d/b/ MOVE_SELF,ISDIR  0",
            "d/b/ CREATE y 0",
            "d/ MOVED_FROM,ISDIR b 2",
            "d/ MOVED_TO,ISDIR c 2",
            "d/c/ MOVE_SELF,ISDIR  0",
            "d/c/ DELETE x 0",
            "d/c/ DELETE y 0",
            "d/c/ DELETE_SELF,ISDIR  0",
            "d/ DELETE,ISDIR c 0",
            "d/ CREATE,ISDIR a 0",
            "d/ CREATE,ISDIR b 0",
            "d/ MOVED_FROM,ISDIR a 3",
            "d/b/ MOVED_TO,ISDIR a 3",
            "d/b/a/ MOVE_SELF,ISDIR  0",
            "d/b/a/ CREATE z 0",
        ],
    );
}

/// Of directories that were there before, and nothing was heard of yet.
#[test]
fn directories_from_before_the_start_are_renamed() {
    story(
        "mkdir -p d/a/b/c d/e",
        "d",
        "touch d/a/b/c/1; mv d/a/b d/e/f; touch d/e/f/c/2; mv d/e d/a/; touch d/a/e/f/c/3; mv d/a/e/f/c d; touch d/c/4",
        "d",
        &[
            "d/a/b/c/ CREATE 1 0",
            "d/a/ MOVED_FROM,ISDIR b 1",
            "d/e/ MOVED_TO,ISDIR f 1",
            "d/e/f/ MOVE_SELF,ISDIR  0",
            "d/e/f/c/ CREATE 2 0",
            "d/ MOVED_FROM,ISDIR e 2",
            "d/a/ MOVED_TO,ISDIR e 2",
            "d/a/e/ MOVE_SELF,ISDIR  0",
            "d/a/e/f/c/ CREATE 3 0",
            "d/a/e/f/ MOVED_FROM,ISDIR c 3",
            "d/ MOVED_TO,ISDIR c 3",
            "d/c/ MOVE_SELF,ISDIR  0",
            "d/c/ CREATE 4 0",
        ],
    );
}

#[test]
fn a_renamed_operand_has_its_new_path() {
    story(
        "mkdir -p d/k o",
        "d",
        "touch d/k/1; mv d e; touch e/k/2; mv e o/; touch o/e/k/3",
        "o/e",
        &[
            "d/k/ CREATE 1 0",
            "e/ MOVE_SELF,ISDIR  0",
            "e/k/ CREATE 2 0",
            "o/e/ MOVE_SELF,ISDIR  0",
            "o/e/k/ CREATE 3 0",
        ],
    );
}

#[test]
fn a_directory_above_the_operand_is_renamed() {
    story(
        "mkdir -p up/o/d/k other",
        "up/o/d",
        "touch up/o/d/k/1; mv up v; touch v/o/d/k/2; mv v/o other/p; touch other/p/d/k/3",
        "other/p/d",
        &["up/o/d/k/ CREATE 1 0", "v/o/d/k/ CREATE 2 0", "other/p/d/k/ CREATE 3 0"],
    );
}

/// Moved in: from then on heard of. Moved out: silent.
#[test]
fn directories_moved_in_are_reported_and_out_are_silent() {
    story(
        "mkdir -p d out/m/n/l",
        "d",
        "touch out/m/n/0; mv out/m d/m; touch d/m/n/l/1; mv d/m/n out/; touch out/n/l/2; rmdir d/m; mv out/n d/again; \
         touch d/again/l/3; mv d/again/0 out; rm out/0",
        "d",
        &[
            "d/ MOVED_TO,ISDIR m 1",
            "d/m/ MOVE_SELF,ISDIR  0",
            "d/m/n/l/ CREATE 1 0",
            "d/m/ MOVED_FROM,ISDIR n 2",
            "d/m/n/ MOVE_SELF,ISDIR  0",
            "d/m/ DELETE_SELF,ISDIR  0",
            "d/ DELETE,ISDIR m 0",
            "d/ MOVED_TO,ISDIR again 3",
            "d/again/ MOVE_SELF,ISDIR  0",
            "d/again/l/ CREATE 3 0",
            "d/again/ MOVED_FROM 0 4",
        ],
    );
}

#[test]
fn swapped_directories_have_their_new_paths() {
    for unread in [false, true] {
        let Some(space) = Space::new("mkdir -p d/p/q d/r/s out/m") else { return };
        let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
        let at = |path: &str| space.path().join(path);
        let swap = |_: &Running| {
            exchange(&at("d/p"), &at("d/r")).unwrap();
            fs::create_dir(at("d/p/s/1")).unwrap();
            exchange(&at("d/p/s"), &at("out/m")).unwrap();
            fs::create_dir(at("out/m/1/unheard")).unwrap();
            fs::create_dir(at("d/p/s/2")).unwrap();
            fs::create_dir(at("d/r/q/3")).unwrap();
        };
        match unread {
            true => stopped(&mut running, swap),
            false => swap(&running),
        }
        space.printed(
            &mut running,
            "d",
            &[
                "d/ MOVED_FROM,ISDIR p 1",
                "d/ MOVED_TO,ISDIR r 1",
                "d/r/ MOVE_SELF,ISDIR  0",
                "d/ MOVED_FROM,ISDIR r 2",
                "d/ MOVED_TO,ISDIR p 2",
                "d/p/ MOVE_SELF,ISDIR  0",
                "d/p/s/ CREATE,ISDIR 1 0",
                "d/p/ MOVED_FROM,ISDIR s 3",
                "d/p/s/ MOVE_SELF,ISDIR  0",
                "d/p/ MOVED_TO,ISDIR s 4",
                "d/p/s/ MOVE_SELF,ISDIR  0",
                "d/p/s/ CREATE,ISDIR 2 0",
                "d/r/q/ CREATE,ISDIR 3 0",
            ],
        );
    }
}

/// What happened in a directory that another one then took the place of, by one process and unread: no event says which
/// entry it was.
#[test]
fn a_directory_is_replaced_by_a_rename() {
    // Of its own, where no other test looks just when it ends.
    let Some(space) = Space::new("mkdir m; mount -t tmpfs none m; mkdir -p m/d/old m/d/new m/d/x") else {
        return;
    };
    let mut running = space.monitor(&["-r", "-e", "create,move", "m/d"]);
    space.does_unread(
        &mut running,
        "mkdir m/d/old/1; rmdir m/d/old/1; mv -T m/d/new m/d/old; mkdir m/d/old/2",
    );
    space.printed(
        &mut running,
        "m/d",
        &[
            "m/d/old/ CREATE,ISDIR 1 0",
            "m/d/ MOVED_FROM,ISDIR new 1",
            "m/d/ MOVED_TO,ISDIR old 1",
            "m/d/old/ CREATE,ISDIR 2 0",
        ],
    );
}

/// Back and forth and back again by one process, unread, is told by the kernel as back and forth.
#[test]
fn repeated_renames_end_at_the_final_path() {
    let Some(space) = Space::new("mkdir -p d/a d/l; touch d/f d/l/x") else { return };
    let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
    let at = |path: &str| space.path().join(path);
    stopped(&mut running, |_| {
        for (from, to) in [("d/a", "d/b"), ("d/b", "d/a"), ("d/a", "d/b")] {
            fs::rename(at(from), at(to)).unwrap();
        }
        fs::create_dir(at("d/b/1")).unwrap();
        for (from, to) in [("d/f", "d/g"), ("d/g", "d/f"), ("d/f", "d/g")] {
            fs::rename(at(from), at(to)).unwrap();
        }
        fs::hard_link(at("d/l/x"), at("d/l/y")).unwrap();
        fs::remove_file(at("d/l/y")).unwrap();
        fs::hard_link(at("d/l/x"), at("d/l/y")).unwrap();
    });
    space.printed(
        &mut running,
        "d",
        &[
            "d/ MOVED_FROM,ISDIR a 1",
            "d/ MOVED_TO,ISDIR b 1",
            "d/b/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR b 2",
            "d/ MOVED_TO,ISDIR a 2",
            "d/a/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR a 3",
            "d/ MOVED_TO,ISDIR b 3",
            "d/b/ MOVE_SELF,ISDIR  0",
            "d/b/ CREATE,ISDIR 1 0",
            "d/ MOVED_FROM f 4",
            "d/ MOVED_TO g 4",
            "d/ MOVED_FROM g 5",
            "d/ MOVED_TO f 5",
            "d/ MOVED_FROM f 6",
            "d/ MOVED_TO g 6",
            "d/l/ CREATE y 0",
            "d/l/ DELETE y 0",
            "d/l/ CREATE y 0",
        ],
    );
}

#[test]
fn paths_longer_than_path_max() {
    for unread in [false, true] {
        let Some(space) = Space::new("") else { return };
        fs::create_dir(space.path().join("d")).unwrap();
        let (deep, innermost) = deep_directory(&space.path().join("d"), 20);
        let deep = String::from_utf8(deep).unwrap();
        let mut running = space.monitor(&["-r", "-e", CHANGES, "d"]);
        let happens = |_: &Running| {
            use nix::sys::stat::{Mode, mkdirat};
            let rename =
                |from: &str, to: &str| nix::fcntl::renameat(&innermost, from, &innermost, to).unwrap();
            mkdirat(&innermost, "one", Mode::S_IRWXU).unwrap();
            mkdirat(&innermost, "one/a", Mode::S_IRWXU).unwrap();
            rename("one", "two");
            mkdirat(&innermost, "two/b", Mode::S_IRWXU).unwrap();
            let top = "n".repeat(255);
            fs::rename(space.path().join("d").join(&top), space.path().join("d/top")).unwrap();
            mkdirat(&innermost, "two/c", Mode::S_IRWXU).unwrap();
            rename("two/c", "three");
            mkdirat(&innermost, "three/e", Mode::S_IRWXU).unwrap();
        };
        match unread {
            true => stopped(&mut running, happens),
            false => happens(&running),
        }
        let top = "n".repeat(255);
        let now = deep.replacen(&top, "top", 1);
        let wanted = [
            format!("d/{deep} CREATE,ISDIR one 0"),
            format!("d/{deep}one/ CREATE,ISDIR a 0"),
            format!("d/{deep} MOVED_FROM,ISDIR one 1"),
            format!("d/{deep} MOVED_TO,ISDIR two 1"),
            format!("d/{deep}two/ MOVE_SELF,ISDIR  0"),
            format!("d/{deep}two/ CREATE,ISDIR b 0"),
            format!("d/ MOVED_FROM,ISDIR {top} 2"),
            "d/ MOVED_TO,ISDIR top 2".to_owned(),
            "d/top/ MOVE_SELF,ISDIR  0".to_owned(),
            format!("d/{now}two/ CREATE,ISDIR c 0"),
            format!("d/{now}two/ MOVED_FROM,ISDIR c 3"),
            format!("d/{now} MOVED_TO,ISDIR three 3"),
            format!("d/{now}three/ MOVE_SELF,ISDIR  0"),
            format!("d/{now}three/ CREATE,ISDIR e 0"),
        ];
        space.printed(&mut running, "d", &wanted.each_ref().map(String::as_str));
    }
}

/// As with inotify. A shell gets there step by step.
#[test]
fn an_operand_longer_than_path_max() {
    use nix::sys::stat::{Mode, mkdirat};
    let Some(space) = Space::new("mkdir -p e") else { return };
    fs::create_dir(space.path().join("d")).unwrap();
    let (deep, innermost) = deep_directory(&space.path().join("d"), 20);
    let deep = format!("d/{}", String::from_utf8(deep).unwrap());
    let mut running = space.monitor(&["-r", "-e", CHANGES, &deep, "e"]);
    mkdirat(&innermost, "one", Mode::S_IRWXU).unwrap();
    nix::fcntl::renameat(&innermost, "one", &innermost, "two").unwrap();
    mkdirat(&innermost, "two/a", Mode::S_IRWXU).unwrap();
    let wanted = [
        format!("{deep} CREATE,ISDIR one 0"),
        format!("{deep} MOVED_FROM,ISDIR one 1"),
        format!("{deep} MOVED_TO,ISDIR two 1"),
        format!("{deep}two/ MOVE_SELF,ISDIR  0"),
        format!("{deep}two/ CREATE,ISDIR a 0"),
    ];
    space.printed(&mut running, "e", &wanted.each_ref().map(String::as_str));
}

/// Directories below `d`, one of them outside what is watched, and what a watcher has to print.
struct Trees {
    top: PathBuf,
    directories: Vec<PathBuf>,
    expected: Vec<String>,
    /// Each rename, by what takes part in it: the kernel makes one of those that are alike.
    done: HashSet<[u64; 3]>,
    /// The directories in which something happened.
    touched: HashSet<u64>,
}

const NAMES: [&str; 6] = ["a", "b", "c", "p", "q", "r"];

impl Trees {
    fn new(top: &Path) -> Trees {
        let mut directories = vec!["d".into(), "d/out".into()];
        for outer in NAMES {
            for root in ["d", "d/out"] {
                directories.push(format!("{root}/{outer}").into());
                directories.extend(NAMES.map(|inner| format!("{root}/{outer}/{inner}").into()));
            }
        }
        for directory in &directories {
            fs::create_dir(top.join(directory)).unwrap();
        }
        Trees {
            top: top.to_owned(),
            directories,
            expected: Vec::new(),
            done: HashSet::new(),
            touched: HashSet::new(),
        }
    }

    fn inode(&self, path: &Path) -> u64 {
        fs::metadata(self.top.join(path)).map_or(0, |status| status.ino())
    }

    /// Whether this rename is the first of its kind.
    fn is_new(&mut self, from: &Path, to: &Path) -> bool {
        let is_root = |path: &Path| path == Path::new("d") || path == Path::new("d/out");
        let above = |path: &Path| self.inode(path.parent().unwrap());
        !is_root(from) && !is_root(to) && {
            let key = [self.inode(from), above(from), above(to)];
            self.done.insert(key)
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        if self.is_new(from, to) && fs::rename(self.top.join(from), self.top.join(to)).is_ok() {
            self.directories.retain(|directory| directory != to || from == to);
            follow(&mut self.directories, |path| moved(path, from, to));
        }
    }

    fn exchange(&mut self, one: &Path, other: &Path) {
        let new = self.is_new(one, other) & self.is_new(other, one);
        if new && exchange(&self.top.join(one), &self.top.join(other)).is_ok() {
            follow(&mut self.directories, |path| moved(path, one, other).or_else(|| moved(path, other, one)));
        }
    }

    /// Whether nothing has happened in a directory yet.
    fn untouched(&self, directory: &Path) -> bool {
        !self.touched.contains(&self.inode(directory))
    }

    /// Makes something happen in a directory, which is left as it was.
    fn touch(&mut self, directory: &Path) {
        let path = directory.join(format!("probe-{}", self.expected.len()));
        let full = self.top.join(&path);
        self.touched.insert(self.inode(directory));
        fs::write(&full, "").unwrap();
        fs::remove_file(&full).unwrap();
        if directory.starts_with("d/out") {
            return;
        }
        self.expected.push(full.to_str().unwrap().to_owned());
    }
}

fn follow(paths: &mut [PathBuf], now: impl Fn(&Path) -> Option<PathBuf>) {
    for path in paths {
        if let Some(now) = now(path) {
            *path = now;
        }
    }
}

fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(to.components().chain(rest.components()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    /// Renames within what is watched, out of it and into it, over empty directories, and exchanges, each read at once or long after.
    #[test]
    fn every_path_is_the_real_one(
        steps in proptest::collection::vec((0u8..8, any::<[prop::sample::Index; 3]>()), 1..1500),
        unread: bool,
    ) {
        let Some(dir) = Own::new() else { return Ok(()) };
        let mut trees = Trees::new(dir.path());
        let arguments = ["-F", "-r", "-m", "-e", "create", "--format", "%w%f", "--exclude", "/d/out(/|$)", "d"];
        let mut running = Running::ready(inotifywait(dir.path(), arguments));
        let mut happens = |_: &Running| {
            for (what, [one, other, name]) in &steps {
                let one = one.get(&trees.directories).clone();
                let other = other.get(&trees.directories).clone();
                match what {
                    0..3 => trees.rename(&one, &other.join(name.get(&NAMES))),
                    // Over an empty directory only where that is not the last that is heard of it.
                    3 if trees.untouched(&other) => trees.rename(&one, &other),
                    4 => trees.exchange(&one, &other),
                    _ => trees.touch(&one),
                }
            }
            for directory in trees.directories.clone() {
                trees.touch(&directory);
            }
            fs::write(dir.path().join("d/end"), "").unwrap();
        };
        match unread {
            true => stopped(&mut running, happens),
            false => happens(&running),
        }
        let end = dir.path().join("d/end").to_str().unwrap().to_owned();
        running.expect_line(&end);
        let mut lines = running.stdout.lines();
        lines.retain(|line| *line != end);
        prop_assert_eq!(lines, trees.expected);
    }
}

/// Directories in which nothing has happened before: what happens to them is reported all the same.
#[test]
fn unknown_directories_leave_and_are_replaced() {
    let Some(space) = Space::new("mkdir -p d/a d/b d/c/sub d/e d/f out") else { return };
    let mut running = space.monitor(&["-r", "-e", "create,move,move_self,delete_self", "d"]);
    space.does(&running, "mv d/a d/a2; mv d/c out");
    // The kernel reports that a directory is gone by another event than that it was replaced.
    space.does_unread(&mut running, "mv -T d/e d/f; mv -T d/b out/b");
    space.does(&running, "touch out/c/sub/unheard; mv out/c d/g; mv out/b/ d/h");
    space.printed(
        &mut running,
        "d",
        &[
            "d/ MOVED_FROM,ISDIR a 1",
            "d/ MOVED_TO,ISDIR a2 1",
            "d/a2/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR c 2",
            "d/c/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR e 3",
            "d/ MOVED_TO,ISDIR f 3",
            "d/f/ MOVE_SELF,ISDIR  0",
            "d/f/ DELETE_SELF,ISDIR  0",
            "d/ MOVED_FROM,ISDIR b 4",
            "d/b/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_TO,ISDIR g 5",
            "d/g/ MOVE_SELF,ISDIR  0",
            "d/ MOVED_TO,ISDIR h 6",
            "d/h/ MOVE_SELF,ISDIR  0",
        ],
    );
}

/// The message names it as its events do.
#[test]
fn the_end_of_a_renamed_operand_is_explained() {
    let Some(space) = Space::new("mkdir d e; touch f; ln -s f l") else { return };
    let mut running = space.monitor(&["-r", "-P", "-e", "create", "d", "l", "e"]);
    space.does(&running, "mv d d2; rmdir d2");
    let path = space.path().display();
    let end = "is no longer watched: it was deleted. To see it come back, watch its directory";
    running.expect_message(&format!("'{path}/d2' {end}, '{path}'."));
    // A link to something else than a directory is not followed.
    space.does(&running, "rm l");
    running.expect_message(&format!("'{path}/l' {end}, '{path}'."));
    space.does(&running, "rmdir e");
    running.expect_message("No watch is left: no more events will be reported.");
}
