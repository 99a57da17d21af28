//! The model: random operations on a tree while it is watched; the watcher's lines, replayed in their order,
//! give a picture of the tree, and when all is quiet the picture is the tree.
//!
//! A few runs with fixed seeds and with fresh ones are part of the suite; `make soak` does more. Processes race with
//! each other and with the watcher, so a seed does not fix all of a run.
//!
//! `MODEL_SEED`, `MODEL_RUNS` and `MODEL_STEPS` choose what is run, `MODEL_TOOL` another inotifywait: the
//! reference must fail. `MODEL_PROCESSES` is how many change the tree at once. `MODEL_LINES` names a file for the lines of a run that failed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Own, Running, as_nobody, binary, command, contains, fast_tempdir};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// A small generator of our own, so that a seed means the same run for ever (xorshift64*).
struct Random(u64);

impl Random {
    /// Neighbouring seeds make unlike runs (splitmix64's mixing); zero is no state of xorshift.
    fn new(seed: u64) -> Random {
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Random((state ^ state >> 31).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}

/// Names of directories, and of entries that are created, renamed and removed.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Names of entries that are only ever exchanged with one another: of an exchange, the lines cannot be told
/// from those of two renames over something that is there.
const EXCHANGED: [&str; 2] = ["X", "Y"];
/// What a directory is called that is moved in from outside; it holds what `outside` makes.
const MOVED_IN: &str = "in";

fn directory(random: &mut Random, root: &Path) -> PathBuf {
    let depth = random.below(4);
    (0..depth).fold(root.to_owned(), |path, _| path.join(NAMES[random.below(NAMES.len())]))
}

fn entry(random: &mut Random, root: &Path) -> PathBuf {
    let name = NAMES[random.below(NAMES.len())];
    directory(random, root).join(name)
}

/// A directory outside the tree: `x`, `sub/y`.
fn outside(elsewhere: &Path, number: u64) -> PathBuf {
    let path = elsewhere.join(number.to_string());
    fs::create_dir_all(path.join("sub")).unwrap();
    fs::write(path.join("x"), "").unwrap();
    fs::write(path.join("sub/y"), "").unwrap();
    path
}

/// Which object was moved between which directories by an exchange: each, once.
type Exchanges = HashSet<[u64; 3]>;

/// Whether an exchange is unlike all before. Of those that are alike, by one process and unread, the kernel makes
/// one; what of these a look cannot tell is lost where no watcher remembers files.
fn is_new_exchange(exchanges: &mut Exchanges, one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| fs::symlink_metadata(path).map_or(0, |status| status.ino());
    let places = [one, other, one.parent().unwrap(), other.parent().unwrap()].map(inode);
    let [one, other, above_one, above_other] = places;
    exchanges.insert([one, above_one, above_other]) & exchanges.insert([other, above_other, above_one])
}

/// One operation; whether it succeeds is chance.
fn step(random: &mut Random, root: &Path, elsewhere: &Path, source: Source, exchanges: &mut Exchanges) {
    let path = entry(random, root);
    match random.below(24) {
        0..4 => drop(fs::write(&path, "x")),
        4..8 => drop(fs::create_dir(&path)),
        8 => drop(fs::create_dir_all(entry(random, &path))),
        9..14 => drop(fs::rename(&path, entry(random, root))),
        14 => drop(fs::remove_file(&path)),
        15 => drop(fs::remove_dir(&path)),
        16 => drop(fs::remove_dir_all(&path)),
        17 => {
            let name = entry(random, root);
            // To fanotify the creation of a name that a file had and has again can be one event.
            let unique = name.with_file_name(random.next().to_string());
            drop(fs::hard_link(&path, if source == Source::Inotify { name } else { unique }));
        }
        18 => drop(std::os::unix::fs::symlink("a", &path)),
        19 => {
            let path = directory(random, root).join(EXCHANGED[random.below(2)]);
            match random.below(2) {
                0 => drop(fs::create_dir(path)),
                _ => drop(fs::write(path, "")),
            }
        }
        20 | 21 => {
            let one = directory(random, root).join(EXCHANGED[0]);
            let other = directory(random, root).join(EXCHANGED[1]);
            if source == Source::Inotify || is_new_exchange(exchanges, &one, &other) {
                let _ = renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
            }
        }
        22 => {
            let from = outside(elsewhere, random.next());
            let _ = fs::rename(from, directory(random, root).join(MOVED_IN));
        }
        _ => drop(fs::rename(&path, elsewhere.join(random.next().to_string()))),
    }
}

/// Paths below the root, `/` before each name, and whether they are directories.
type Tree = BTreeMap<Vec<u8>, bool>;

/// What the lines say is there.
#[derive(Default)]
struct Picture {
    tree: Tree,
    /// What was renamed away and has not arrived, by cookie. What stood where one half of an exchange
    /// arrived is kept in the tree, a NUL behind its path, until the other half takes it: it moves with
    /// the directories above.
    away: HashMap<u64, Tree>,
}

impl Picture {
    fn take(&mut self, path: &[u8]) -> Tree {
        let mut below = path.to_vec();
        below.push(b'/');
        let inside = |key: &[u8]| key == path || key.starts_with(&below);
        let keys: Vec<Vec<u8>> = self.tree.keys().filter(|key| inside(key)).cloned().collect();
        keys.into_iter()
            .filter_map(|key| self.tree.remove(&key).map(|is| (key[path.len()..].to_vec(), is)))
            .collect()
    }

    fn put(&mut self, path: &[u8], tree: Tree) {
        for (key, directory) in tree {
            self.tree.insert([path, &key].concat(), directory);
        }
    }

    fn replay(&mut self, line: &Line) {
        let Line { path, cookie, .. } = line;
        let directory = line.events.ends_with(",ISDIR");
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let exchanged = EXCHANGED.iter().any(|other| other.as_bytes() == name);
        match line.change() {
            "CREATE" => drop(self.tree.insert(path.to_vec(), directory)),
            "DELETE" => drop(self.take(path)),
            "MOVED_FROM" => {
                let mut tree = self.take(&[path, &b"\0"[..]].concat());
                if tree.is_empty() {
                    tree = self.take(path);
                }
                self.away.insert(*cookie, tree);
            }
            "MOVED_TO" => {
                let there = self.take(path);
                if exchanged && !there.is_empty() {
                    self.put(&[path, &b"\0"[..]].concat(), there);
                }
                let tree = self.away.remove(cookie).unwrap_or_else(|| {
                    let mut tree = Tree::from([(b"".to_vec(), directory)]);
                    if name == MOVED_IN.as_bytes() {
                        for (path, directory) in [("/x", false), ("/sub", true), ("/sub/y", false)] {
                            tree.insert(path.into(), directory);
                        }
                    }
                    tree
                });
                self.put(path, tree);
            }
            _ => {}
        }
    }
}

/// What is really there.
fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let is_directory = entry.file_type().unwrap().is_dir();
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            tree.insert([b"/", relative].concat(), is_directory);
            if is_directory {
                pending.push(path);
            }
        }
    }
    tree
}

struct Line {
    path: Vec<u8>,
    events: String,
    cookie: u64,
}

/// The events that change a tree.
const CHANGES: [&str; 5] = ["CREATE", "DELETE", "MOVED_FROM", "MOVED_TO", UNREADABLE];
/// For a line that is none; the reference prints some.
const UNREADABLE: &str = "UNREADABLE";

impl Line {
    /// Which event it tells of.
    fn change(&self) -> &str {
        self.events.split(',').next().unwrap_or_default()
    }
}

/// Where the watcher's events come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Inotify,
    /// fanotify as an ordinary user has it: a mark for each directory.
    Marks,
    /// fanotify as root has it: one mark for the file system.
    Filesystems,
}

/// Watches `root`. `events` as `-e` takes them.
fn watch(source: Source, root: &Path, events: &str) -> Running {
    let dir = root.parent().unwrap();
    let tool = std::env::var("MODEL_TOOL").unwrap_or_else(|_| binary("inotifywait").into());
    let mut command = match source {
        Source::Marks => as_nobody(dir, "inotifywait", ["-F"]),
        Source::Inotify => command(dir, &tool, ["-I"]),
        Source::Filesystems => command(dir, &tool, ["-F"]),
    };
    command.args(["-m", "-r", "-e", events, "--format", "%w%f%0%e%0%c%n%0", "--no-newline"]).arg(root);
    Running::ready(command)
}

/// The lines about changes, of all that was printed so far.
fn changes(printed: &[u8], root: &Path) -> Vec<Line> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields: Vec<&[u8]> = printed.split(|byte| *byte == 0).collect();
    let lines = fields.chunks_exact(3).map(|fields| {
        let cookie = u64::from_str_radix(text(fields[2]).trim(), 16).ok();
        match (fields[0].strip_prefix(root.as_os_str().as_bytes()), cookie) {
            (Some(path), Some(cookie)) => Line { path: path.into(), events: text(fields[1]), cookie },
            _ => Line { path: fields[0].into(), events: UNREADABLE.into(), cookie: 0 },
        }
    });
    lines.filter(|line| CHANGES.contains(&line.change())).collect()
}

/// Creates a file there, waits for a line of it, and for the end of all work.
fn finish(run: &mut Running, root: &Path, name: &str) {
    fs::write(root.join(name), "").unwrap();
    let end = [root.join(name).as_os_str().as_bytes(), b"\0CREATE\0"].concat();
    run.wait(name, |run| contains(&run.stdout.bytes(), &end));
    run.wait_asleep();
}

fn run(source: Source, seed: u64, steps: usize) -> Result<(), String> {
    if source != Source::Filesystems {
        return run_in(fast_tempdir().path(), source, seed, steps);
    }
    Own::new().map_or(Ok(()), |own| run_in(own.path(), source, seed, steps))
}

fn run_in(directory: &Path, source: Source, seed: u64, steps: usize) -> Result<(), String> {
    let (root, elsewhere) = (directory.join("tree"), directory.join("elsewhere"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let mut random = Random::new(seed);
    for _ in 0..200 {
        step(&mut random, &root, &elsewhere, Source::Inotify, &mut Exchanges::default());
    }
    let mut picture = Picture { tree: read(&root), ..Picture::default() };
    // With the reading of directories among the events the watcher has its own to tell from others'.
    let events = ["create,delete,move", "create,delete,move,open,access,close"][random.below(2)];
    let mut run = watch(source, &root, events);
    let processes = number("MODEL_PROCESSES").unwrap_or(1 + random.below(3) as u64);
    let worker = |worker| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_lines_replayed_are_the_tree"]).stdout(Stdio::null());
        let seed = seed.wrapping_mul(1000).wrapping_add(worker);
        command.env(WORKER, format!("{seed} {steps} {source:?}")).current_dir(directory).spawn().unwrap()
    };
    let workers: Vec<Child> = (1..=processes).map(worker).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success(), "a worker failed");
    }
    finish(&mut run, &root, "end");

    // All is quiet. What the watcher still has to say comes before what follows: every directory is watched,
    // under its true path.
    let tree = read(&root);
    let directories: Vec<&Vec<u8>> = tree.iter().filter(|(_, is)| **is).map(|(path, _)| path).collect();
    for path in &directories {
        let path = root.join(OsStr::from_bytes(&path[1..]));
        fs::write(path.join("probe"), "").unwrap();
    }
    finish(&mut run, &root, "end-of-probes");
    let (mut lines, mut probed) = (Vec::new(), Vec::new());
    for line in changes(&run.stdout.bytes(), &root) {
        if line.path.ends_with(b"/probe") {
            probed.push(line.path);
        } else {
            picture.replay(&line);
            lines.push(format!("{} {} {:x}", String::from_utf8_lossy(&line.path), line.events, line.cookie));
        }
    }
    picture.tree.remove(&b"/end-of-probes"[..]);

    let mut wrong: Vec<String> = Vec::new();
    let show = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let missing = tree.keys().filter(|path| !picture.tree.contains_key(*path));
    wrong.extend(missing.map(|path| format!("missing {}", show(path))));
    let gone = picture.tree.keys().filter(|path| !path.contains(&0) && !tree.contains_key(*path));
    wrong.extend(gone.map(|path| format!("gone {}", show(path))));
    for path in directories {
        let probe = [path, &b"/probe"[..]].concat();
        match probed.iter().filter(|found| **found == probe).count() {
            1 => {}
            count => wrong.push(format!("{count} probes in {}", show(path))),
        }
    }
    let messages = run.stderr.lines().into_iter().skip_while(|line| line != "Watches established.").skip(1);
    wrong.extend(messages.map(|line| format!("stderr: {line}")));
    wrong.extend(lines.iter().filter(|line| line.contains(UNREADABLE)).cloned());
    if wrong.is_empty() {
        return Ok(());
    }
    if let Some(file) = std::env::var_os("MODEL_LINES") {
        fs::write(file, lines.join("\n")).unwrap();
    }
    wrong.truncate(20);
    Err(format!("MODEL_SEED={seed} MODEL_STEPS={steps} ({processes} processes):\n{}", wrong.join("\n")))
}

/// In the environment of a copy of this program that changes the tree: the seed, the number of steps, and what
/// watches. A process, for what one process does to an entry, unread, fanotify tells as one event.
const WORKER: &str = "MODEL_WORKER";

/// Bursts and pauses: the watcher is behind, and then it is not.
fn work(work: &str) {
    let [seed, steps, source] = work.split(' ').collect::<Vec<_>>()[..] else { panic!("{WORKER}={work}") };
    let mut random = Random::new(seed.parse().unwrap());
    let source = [Source::Inotify, Source::Marks, Source::Filesystems]
        .into_iter()
        .find(|known| format!("{known:?}") == source)
        .unwrap();
    let mut exchanges = Exchanges::default();
    let mut burst = 0;
    for _ in 0..steps.parse().unwrap() {
        if burst == 0 {
            burst = 1 + random.below(100);
            std::thread::sleep(Duration::from_micros(random.below(2000) as u64));
        }
        burst -= 1;
        step(&mut random, Path::new("tree"), Path::new("elsewhere"), source, &mut exchanges);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_lines_replayed_are_the_tree() {
    match std::env::var(WORKER) {
        Ok(what) => work(&what),
        Err(_) => soak(Source::Inotify),
    }
}

#[test]
fn the_lines_of_fanotify_replayed_are_the_tree() {
    soak(Source::Marks);
}

#[test]
fn the_lines_of_whole_file_systems_replayed_are_the_tree() {
    soak(Source::Filesystems);
}

fn soak(source: Source) {
    let steps = number("MODEL_STEPS").unwrap_or(2000) as usize;
    let runs = number("MODEL_RUNS").unwrap_or(4);
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seeds: Vec<u64> = match number("MODEL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=runs / 2).chain((0..runs.div_ceil(2)).map(|run| fresh.wrapping_add(run))).collect(),
    };
    let failed: Vec<String> = seeds.into_iter().filter_map(|seed| run(source, seed, steps).err()).collect();
    assert!(failed.is_empty(), "{} runs failed\n{}", failed.len(), failed.join("\n\n"));
}
