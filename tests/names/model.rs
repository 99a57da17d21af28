//! The programs and the kernel: processes switch, replace, remove and relink names at random. After each round, when all is quiet, the
//! last lines printed lead to what is there.
//!
//! `NAMES_RUNS`, `NAMES_ROUNDS` and `NAMES_SEED` choose what is run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{Running, exchange, fast_tempdir, inotifywait};

const OPERANDS: [&str; 6] = ["etc/app.conf", "etc/..data", "l/f", "d", "d/e/f", "log"];

/// Everything that is an entry on the way of some operand, and some places beside.
const PLACES: [&str; 15] = [
    "etc",
    "etc/..data",
    "etc/app.conf",
    "etc/1",
    "etc/2",
    "etc/1/app.conf",
    "etc/2/app.conf",
    "l",
    "l/f",
    "d",
    "d/e",
    "d/e/f",
    "log",
    "x",
    "etc/x",
];
const TARGETS: [&str; 8] = ["1", "2", "..data/app.conf", "etc/2", "d/e", "../log", "log", "nowhere"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut state = self.0;
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (state >> 33) as usize % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Does something, if it can be done.
fn act(top: &Path, random: &mut Random) {
    let place = top.join(random.one(&PLACES));
    let other = top.join(random.one(&PLACES));
    let _ = match random.below(12) {
        0 | 1 => fs::create_dir(&place),
        2 | 3 => fs::write(&place, "x"),
        4 => symlink(random.one(&TARGETS), &place),
        5 => fs::remove_file(&place),
        6 if random.below(4) == 0 => fs::remove_dir_all(&place),
        6 => fs::remove_dir(&place),
        7 => {
            let new = top.join(format!("new{}", random.below(1000)));
            fs::write(&new, "x").and_then(|()| fs::rename(&new, &place))
        }
        8 => {
            let new = top.join(format!("link{}", random.below(1000)));
            symlink(random.one(&TARGETS), &new).and_then(|()| fs::rename(&new, &place))
        }
        9 => exchange(&place, &other).map_err(Into::into),
        10 => fs::hard_link(&place, &other),
        _ => fs::rename(&place, &other),
    };
}

/// What is at the operands now.
fn present(top: &Path) -> Vec<Option<u64>> {
    OPERANDS.iter().map(|operand| fs::metadata(top.join(operand)).ok().map(|status| status.ino())).collect()
}

/// The inodes of all directories in which something is looked up, and of the directories that operands lead to.
fn way(top: &Path, operand: &str, needed: &mut BTreeSet<u64>) {
    let mut rest: Vec<String> = operand.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut links) = (PathBuf::from(top), 0);
    while let Some(name) = rest.pop() {
        needed.insert(fs::metadata(&at).unwrap().ino());
        let path = at.join(name);
        let Ok(status) = fs::symlink_metadata(&path) else { return };
        if status.is_symlink() {
            links += 1;
            if links > 40 {
                return;
            }
            let target = fs::read_link(&path).unwrap();
            rest.extend(target.to_str().unwrap().split('/').rev().map(str::to_owned));
        } else if status.is_dir() {
            at = path;
            if rest.is_empty() {
                needed.insert(status.ino());
            }
        } else {
            return;
        }
    }
}

fn watched(run: &Running) -> BTreeSet<u64> {
    let infos = fs::read_dir(format!("/proc/{}/fdinfo", run.pid())).unwrap().flatten();
    let texts: Vec<String> = infos.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("inotify wd:"));
    let inode = |line: &str| line.split(' ').find_map(|word| word.strip_prefix("ino:").map(str::to_owned));
    lines.filter_map(inode).map(|ino| u64::from_str_radix(&ino, 16).unwrap()).collect()
}

/// What the lines of one round say of each operand: whether it leads somewhere, and whether it came to.
fn said(lines: &[String], before: &[bool]) -> Vec<(bool, bool)> {
    let mut known: Vec<(bool, bool)> = before.iter().map(|leads| (*leads, false)).collect();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [path, event, entry] = words[..] else { panic!("{line}") };
        if !entry.is_empty() {
            // In a directory that it leads to.
            continue;
        }
        let at = OPERANDS.iter().position(|operand| path.trim_end_matches('/') == *operand).unwrap();
        if event.starts_with("CREATE") {
            known[at] = (true, true);
        } else {
            assert!(known[at].0, "{line} of nothing: {lines:#?}");
            known[at].0 = !event.contains("_SELF");
        }
    }
    known
}

fn run(seed: u64, rounds: u64) {
    let dir = fast_tempdir();
    let top = dir.path();
    let fixed =
        ["-mq", "--follow-name", "-e", "create,close_write,move_self,delete_self", "--format", "%w %e %f"];
    let mut watcher = Running::start(inotifywait(top, fixed.iter().chain(&OPERANDS)));
    watcher.wait_asleep();
    let (mut inodes, mut leads, mut read) = (present(top), vec![false; OPERANDS.len()], 0);
    for round in 0..rounds {
        thread::scope(|scope| {
            // Alone, or racing with others.
            for process in 0..1 + round % 3 {
                let mut random = Random(seed ^ round << 8 ^ process << 40);
                scope.spawn(move || (0..1 + round % 10).for_each(|_| act(top, &mut random)));
            }
        });
        watcher.wait_asleep();
        let all: Vec<String> = watcher.stdout.lines();
        let lines: Vec<String> = all[read..].to_vec();
        read = all.len();
        let now = present(top);
        let said = said(&lines, &leads);
        leads = said.iter().map(|(leads, _)| *leads).collect();
        let why = || format!("seed {seed}, round {round}: {now:?}, before {inodes:?}, {lines:#?}");
        for (at, operand) in OPERANDS.iter().enumerate() {
            assert_eq!(leads[at], now[at].is_some(), "{operand}, {}", why());
            let is_other = now[at].is_some() && now[at] != inodes[at];
            assert!(!is_other || said[at].1, "{operand} is another, {}", why());
        }
        let mut needed = BTreeSet::new();
        OPERANDS.iter().for_each(|operand| way(top, operand, &mut needed));
        assert_eq!(watched(&watcher), needed, "{}", why());
        inodes = now;
    }
    watcher.stop();
}

#[test]
fn the_printed_lines_agree_with_the_present_objects() {
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let first = setting("NAMES_SEED", fresh);
    for seed in (0..setting("NAMES_RUNS", 3)).map(|number| first.wrapping_add(number)) {
        run(seed, setting("NAMES_ROUNDS", 60));
    }
}
