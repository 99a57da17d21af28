//! What the reference loses, doubles or calls by a wrong name, and what this program makes of the same: every case is
//! run with both, and the table in docs/compatibility.md is written anew. A report, not a test: nothing is asserted,
//! but every wait has a bound, and what could not be measured says so in its cell.
//!
//! `make compare` runs it. With arguments it runs only the cases whose name contains one of them, and prints the
//! table. `COMPARE_REFERENCE` is where the reference is (/usr/bin), `COMPARE_OURS` where ours is.

#![allow(clippy::unwrap_used)]

mod common;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{BOUND, Running, bounded, command, deep_directory, fast_tempdir, wait_until};
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, openat, renameat2};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use Figure::{Count, Of, Word};

/// Where chance has a part: an odd number, for there is to be a median.
const RUNS: usize = 5;
/// What ends at once ends within this.
const AT_ONCE: Duration = Duration::from_secs(2);
const DOCUMENT: &str = "docs/compatibility.md";
const BEGIN: &str = "<!-- made by `make compare`; changes made by hand are lost -->\n";
const END: &str = "<!-- end of what `make compare` makes -->";

/// The two programs of one side.
struct Side {
    wait: String,
    watch: String,
}

/// Something measured.
enum Figure {
    /// So many of so many things of which none may be missing.
    Of(usize, usize, &'static str),
    /// So many that should not be.
    Count(f64, &'static str),
    Word(String),
}

/// What one run gives; by the first figure runs are sorted.
type Cell = Vec<Figure>;

impl Figure {
    fn value(&self) -> f64 {
        match self {
            Of(value, ..) => *value as f64,
            Count(value, _) => *value,
            Word(_) => 0.0,
        }
    }
}

/// Name, number of runs, measurement.
type Case = (&'static str, usize, fn(&Side) -> Cell);

const CASES: [Case; 28] = [
    ("`tar x` of 441 entries", RUNS, |side| announced(side, archive, unpack, true)),
    ("`mkdir -p`, 100 chains of five", RUNS, |side| announced(side, |_| (), chains, true)),
    ("`cp -a` of 441 entries", RUNS, |side| announced(side, archive, copy, true)),
    ("`git clone`", RUNS, |side| announced(side, repository, clone, false)),
    ("`cargo build`", RUNS, |side| announced(side, package, build, false)),
    ("inotifywatch: `tar x` of 441 entries", RUNS, counted),
    ("Setup while directories are made, renamed and removed", RUNS, set_up),
    ("inotifywatch: setup in the same way", RUNS, set_up_counting),
    ("A directory is renamed, then deleted with all below", RUNS, renamed_and_deleted),
    ("A to B to C, unread", RUNS, |side| {
        renamed(side, true, |d| rename(d, "a", "b").and(rename(d, "b", "c")))
    }),
    ("Two directories swapped (RENAME_EXCHANGE)", RUNS, |side| renamed(side, false, swap)),
    ("Renamed over an empty directory", RUNS, |side| renamed(side, false, |d| rename(d, "a", "empty"))),
    ("Into another watched root, and a part of it back", RUNS, |side| renamed(side, false, there_and_back)),
    ("1,000 directories renamed twice, unread", RUNS, thousands),
    ("A directory is moved out", RUNS, moved_out),
    ("A directory is moved in", RUNS, moved_in),
    ("Overflow, 85 new directories among the events, `-q`", RUNS, overflow),
    ("inotifywatch: an overflow of the same kind", RUNS, overflow_counting),
    ("Reader asleep for 4 s, 120,000 lines", 1, |side| stalled(side, 120_000, 4)),
    ("Reader asleep for 10 s, 1,000,000 lines", 1, |side| stalled(side, 1_000_000, 10)),
    ("Exits at once when the reader of its pipe closes", 1, |side| closed(side, pipe)),
    ("The peer of its socket", 1, |side| closed(side, socket)),
    ("Its terminal", 1, |side| closed(side, terminal)),
    ("OPEN, ACCESS, CLOSE_NOWRITE that nobody else caused, 200 directories", RUNS, |side| {
        own_walk(side, false)
    }),
    ("The same while 200 directories are made", RUNS, |side| own_walk(side, true)),
    ("200 directories in an excluded node_modules, three others", 1, excluded),
    ("A path of 5,120 bytes", 1, deep),
    ("100,000 directories made and removed", 1, leaks),
];

fn main() {
    let only: Vec<String> = env::args().skip(1).collect();
    let built = Path::new(common::binary("inotifywait")).parent().unwrap().to_str().unwrap();
    let ours = env::var("COMPARE_OURS").unwrap_or(built.to_owned());
    let reference = env::var("COMPARE_REFERENCE").unwrap_or("/usr/bin".to_owned());
    let sides = [reference, ours]
        .map(|at| Side { wait: format!("{at}/inotifywait"), watch: format!("{at}/inotifywatch") });
    // A case that fails tells why in its cell.
    set_hook(Box::new(|_| ()));
    let mut table = format!("{}\n\n| case | reference | here |\n|---|---|---|\n", facts(&sides));
    for (name, runs, measure) in CASES {
        if only.is_empty() || only.iter().any(|part| name.contains(part.as_str())) {
            let cells = sides.each_ref().map(|side| cell(side, runs, measure));
            let row = format!("| {name} | {} | {} |\n", cells[0], cells[1]);
            print!("{row}");
            table += &row;
        }
    }
    drop(take_hook());
    if !only.is_empty() || !Path::new(&sides[0].wait).exists() {
        return;
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = fs::read_to_string(&document).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(document, [before, BEGIN, &table, END, after].concat()).unwrap();
}

/// Where it was measured, and what.
fn facts(sides: &[Side; 2]) -> String {
    let version = |side: &Side| {
        let output =
            bounded(&side.wait).arg("--help").output().map(|output| output.stdout).unwrap_or_default();
        let line = String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned();
        line.split(' ').nth(1).map_or("not there".to_owned(), str::to_owned)
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let dir = fast_tempdir();
    let stat = bounded("stat").args(["-f", "-c", "%T"]).arg(dir.path()).output().unwrap().stdout;
    format!(
        "Linux {}, {} CPUs, {}, max_queued_events {}; reference {}, here {}. Where chance has a part: the median of \
         {RUNS} runs, least and most in parentheses.",
        // Without what a distribution adds.
        release.split(['-', '+', '\n']).next().unwrap_or_default(),
        thread::available_parallelism().map_or(0, usize::from),
        String::from_utf8_lossy(&stat).trim(),
        queue_limit(),
        version(&sides[0]),
        version(&sides[1]),
    )
}

fn queue_limit() -> usize {
    fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap()
}

/// What a number of runs gives: the median by the first figure, least and most where they differ.
fn cell(side: &Side, runs: usize, measure: fn(&Side) -> Cell) -> String {
    let mut good: Vec<Cell> = Vec::new();
    let mut failures = BTreeSet::new();
    for _ in 0..runs {
        match catch_unwind(AssertUnwindSafe(|| measure(side))) {
            Ok(cell) => good.push(cell),
            Err(failure) => drop(failures.insert(reason(&*failure))),
        }
    }
    good.sort_by(|one, other| one[0].value().total_cmp(&other[0].value()));
    let median = good.get(good.len() / 2).map_or(&[][..], |cell| cell);
    let figures = median.iter().enumerate().filter_map(|(at, figure)| {
        let all = || good.iter().map(|cell| &cell[at]);
        let (least, most) = all()
            .map(Figure::value)
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let range = match least == most {
            true => shown(least),
            false => format!("{} ({}–{})", shown(figure.value()), shown(least), shown(most)),
        };
        match figure {
            Of(_, of, words) if all().all(|figure| matches!(figure, Of(value, of, _) if value == of)) => {
                Some(format!("all {} {words}", shown(*of as f64)))
            }
            Of(_, of, words) => Some(format!("{range} of {} {words}", shown(*of as f64))),
            // What is no defect is not worth a word, unless it is all there is to say.
            Count(..) if at > 0 && (least, most) == (0.0, 0.0) => None,
            Count(_, words) => Some(format!("{range} {words}")),
            Word(_) => {
                let words = all().filter_map(|figure| match figure {
                    Word(word) => Some(word.as_str()),
                    _ => None,
                });
                Some(words.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" or "))
            }
        }
    });
    let mut parts: Vec<String> = figures.collect();
    if !failures.is_empty() {
        let why = failures.into_iter().collect::<Vec<_>>().join("; ");
        parts.push(format!("{} of {runs} runs not measured: {why}", runs - good.len()));
    }
    parts.join("; ")
}

/// Why a measurement failed, short enough for a cell.
fn reason(failure: &(dyn Any + Send)) -> String {
    let text = failure.downcast_ref::<String>().map(String::as_str);
    let text = text.or(failure.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    // The report of `Running` ends with what was said.
    let said = text.split_once("stderr:\n").map_or("", |(_, said)| said);
    let said = said.lines().find(|line| !line.is_empty() && !line.starts_with("Setting up"));
    let all = [text.lines().next(), said].into_iter().flatten().collect::<Vec<_>>().join(": ");
    all.replace('|', "/").chars().take(120).collect()
}

/// A number as one reads it: 1,000,000.
fn shown(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |rest| ("-", rest));
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    sign.to_owned() + &groups.collect::<Vec<_>>().join(",")
}

/// A directory with the watched tree `d` in it.
struct Watched {
    dir: TempDir,
    run: Running,
    ends: usize,
}

/// A line, once it is taken to pieces.
struct Line {
    cookie: String,
    event: String,
    path: String,
}

impl Watched {
    /// `inotifywait -m -r` on `d`, and whatever else is said, once `prepare` has had the directory of `d`.
    fn new(side: &Side, events: &str, more: &[&str], prepare: impl FnOnce(&Path)) -> Watched {
        let mut it = Watched::start(side, events, more, prepare);
        it.run.wait_ready();
        it
    }

    /// The same without waiting for readiness.
    fn start(side: &Side, events: &str, more: &[&str], prepare: impl FnOnce(&Path)) -> Watched {
        let dir = fast_tempdir();
        fs::create_dir(dir.path().join("d")).unwrap();
        prepare(dir.path());
        let usual = ["-m", "-r", "-e", events, "--format", "%c %e %w%f", "d"];
        let run = Running::start(command(dir.path(), &side.wait, usual.iter().chain(more)));
        Watched { dir, run, ends: 0 }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("d").join(path)
    }

    /// The lines so far, once everything that happened before this call is printed; `create` must be asked for.
    fn quiet(&mut self) -> Vec<Line> {
        self.run.wait_asleep();
        let start = Instant::now();
        loop {
            // The one before it may have been lost.
            self.ends += 1;
            let end = format!(" d/the-end-{}", self.ends);
            fs::write(self.at(&end[3..]), "").unwrap();
            let now = Instant::now();
            while now.elapsed() < Duration::from_millis(300) {
                let lines = self.run.stdout.lines();
                if lines.iter().any(|line| line.ends_with(&end)) {
                    return lines.iter().filter_map(|line| take_apart(line)).collect();
                }
                thread::sleep(Duration::from_millis(2));
            }
            assert!(start.elapsed() < BOUND, "no line for a new file, {BOUND:?} long");
        }
    }

    /// How many of the files now put into each directory are reported under their true path, how many under others.
    fn probe(&mut self) -> Cell {
        let mut expected = BTreeSet::new();
        for top in ["d", "e"] {
            for directory in directories(self.dir.path(), top) {
                fs::write(self.dir.path().join(&directory).join("probe"), "").unwrap();
                expected.insert(format!("{directory}/probe"));
            }
        }
        // Who was stopped hears of the probes together with what happened before.
        self.run.signal(Signal::SIGCONT);
        let lines = self.quiet();
        let all: Vec<&Line> = lines.iter().filter(|line| line.path.ends_with("/probe")).collect();
        let found: BTreeSet<&String> = all.iter().map(|line| &line.path).collect();
        let good = expected.iter().filter(|path| found.contains(path)).count();
        let wrong = all.iter().filter(|line| !expected.contains(&line.path)).count();
        vec![
            Of(good, expected.len(), "directories heard of"),
            Count(wrong as f64, "lines with a wrong path"),
            Count((all.len() - wrong - good) as f64, "lines twice"),
        ]
    }
}

fn take_apart(line: &str) -> Option<Line> {
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    let line = Line { cookie: words.next()?, event: words.next()?, path: words.next()? };
    (!line.path.contains("the-end")).then_some(line)
}

/// Every directory below `top`, itself included, with its path below `dir`; none if there is no `top`.
fn directories(dir: &Path, top: &str) -> Vec<String> {
    let mut found: Vec<String> = dir.join(top).is_dir().then(|| top.to_owned()).into_iter().collect();
    let mut at = 0;
    while at < found.len() {
        let entries = fs::read_dir(dir.join(&found[at])).unwrap().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<_> =
            below.map(|entry| format!("{}/{}", found[at], entry.file_name().to_string_lossy())).collect();
        found.extend(below);
        at += 1;
    }
    found
}

/// Every path below `d`.
fn paths(dir: &Path) -> BTreeSet<String> {
    let entries = directories(dir, "d").into_iter().flat_map(|directory| {
        let entries = fs::read_dir(dir.join(&directory)).unwrap().flatten();
        entries
            .map(|entry| format!("{directory}/{}", entry.file_name().to_string_lossy()))
            .collect::<Vec<_>>()
    });
    entries.filter(|path| !path.contains("the-end")).collect()
}

/// Runs a script, which has a bound, in a directory.
fn sh(dir: &Path, script: &str) {
    let mut command = bounded("sh");
    command.args(["-ec", script]).current_dir(dir).env_remove("CARGO_TARGET_DIR");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", said.lines().last().unwrap_or(script));
}

fn rename(d: &Path, from: &str, to: &str) -> std::io::Result<()> {
    fs::rename(d.join(from), d.join(to))
}

// 1. New directories.

/// `tree` with 440 entries in it, and the archive of it.
fn archive(dir: &Path) {
    for number in 0..40 {
        let path = dir.join(format!("tree/{number}"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..10 {
            fs::write(path.join(file.to_string()), format!("{number} {file}")).unwrap();
        }
    }
    sh(dir, "tar cf tree.tar tree");
}

fn repository(dir: &Path) {
    archive(dir);
    let commit = "git add . && git -c user.name=a -c user.email=a@localhost commit -q -m a";
    sh(&dir.join("tree"), &format!("git init -q && {commit}"));
}

fn package(dir: &Path) {
    let source = dir.join("d/package/src");
    fs::create_dir_all(&source).unwrap();
    fs::write(dir.join("d/package/Cargo.toml"), "[package]\nname = \"a\"\nedition = \"2021\"\n").unwrap();
    fs::write(source.join("main.rs"), "fn main() {}\n").unwrap();
}

fn unpack(dir: &Path) {
    sh(dir, "tar xf tree.tar -C d");
}

fn chains(dir: &Path) {
    sh(dir, "for i in $(seq 100); do mkdir -p d/$i/b/c/d/e; done");
}

fn copy(dir: &Path) {
    sh(dir, "cp -a tree d");
}

fn clone(dir: &Path) {
    sh(dir, "git clone -q tree d/clone");
}

fn build(dir: &Path) {
    sh(dir, "cd d/package && cargo build -q --offline");
}

/// Of the paths that `act` makes and leaves, how many were announced, as lines replayed tell; where each is made
/// `once`, how many more than once, and of how many files the end of writing was told.
fn announced(side: &Side, prepare: fn(&Path), act: fn(&Path), once: bool) -> Cell {
    let mut it = Watched::new(side, "create,move,close_write", &[], prepare);
    let before = paths(it.dir.path());
    act(it.dir.path());
    let lines = it.quiet();
    let all: Vec<String> = paths(it.dir.path()).difference(&before).cloned().collect();
    let (mut known, mut closed, mut created) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    // Renamed away and not arrived yet, by cookie: what is below a directory moves with it.
    let mut away: HashMap<&str, Vec<String>> = HashMap::new();
    for line in &lines {
        let path = line.path.as_str();
        match line.event.split(',').next().unwrap_or_default() {
            "CREATE" => {
                known.insert(path.to_owned());
                *created.entry(path).or_insert(0) += 1;
            }
            "CLOSE_WRITE" => drop(closed.insert(path)),
            "MOVED_FROM" => {
                let tails = known.iter().filter_map(|other| other.strip_prefix(path));
                let tails = tails.filter(|tail| tail.is_empty() || tail.starts_with('/')).map(str::to_owned);
                away.insert(&line.cookie, tails.collect());
            }
            "MOVED_TO" => {
                known.insert(path.to_owned());
                let tails = away.remove(line.cookie.as_str()).unwrap_or_default();
                known.extend(tails.iter().map(|tail| format!("{path}{tail}")));
            }
            _ => {}
        }
    }
    let good = all.iter().filter(|path| known.contains(*path)).count();
    let mut cell = vec![Of(good, all.len(), "paths announced")];
    if once {
        let twice = created.values().filter(|times| **times > 1).count();
        cell.push(Count(twice as f64, "of them twice"));
        let files: Vec<&String> = all.iter().filter(|path| it.dir.path().join(path).is_file()).collect();
        if !files.is_empty() {
            let good = files.iter().filter(|path| closed.contains(path.as_str())).count();
            cell.push(Of(good, files.len(), "files closed"));
        }
    }
    cell
}

/// `inotifywatch -r` on `d`.
fn counting(side: &Side, prepare: impl FnOnce(&Path)) -> (TempDir, Running) {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    prepare(dir.path());
    let run =
        Running::start(command(dir.path(), &side.watch, ["-r", "-e", "create,move,delete,modify", "d"]));
    (dir, run)
}

/// One column of the table that it prints when it is ended now, by name.
fn column(mut run: Running, event: &str) -> BTreeMap<String, usize> {
    run.wait_asleep();
    run.signal(Signal::SIGINT);
    let lines = run.finish().lines();
    let at = lines.first().and_then(|head| head.split_whitespace().position(|word| word == event));
    let row = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.last()?.to_string(), words.get(at?)?.parse().ok()?))
    };
    lines.iter().skip(1).filter_map(row).collect()
}

fn counted(side: &Side) -> Cell {
    let (dir, mut run) = counting(side, archive);
    run.wait_ready();
    unpack(dir.path());
    vec![Of(column(run, "create").values().sum(), 441, "creations counted")]
}

/// How many directories have a row of their own for what is now done in each.
fn rows(dir: &Path, mut run: Running) -> Cell {
    run.wait_asleep();
    let all = directories(dir, "d");
    for directory in &all {
        // The only writing there is.
        fs::write(dir.join(directory).join("probe"), "x").unwrap();
    }
    let rows = column(run, "modify");
    let good = all.iter().filter(|path| rows.get(&format!("{path}/")) == Some(&1)).count();
    let now = rows.iter().filter(|(_, times)| **times > 0).count();
    vec![
        Of(good, all.len(), "directories heard of"),
        Count((now - good) as f64, "rows with a wrong path or number"),
    ]
}

// 2. Setup under churn.

fn wide(dir: &Path) {
    for number in 0..1200 {
        fs::create_dir_all(dir.join(format!("d/{}/{}", number % 40, number / 40))).unwrap();
    }
}

/// Makes, renames and removes directories with two threads until this goes out of scope.
struct Churn(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Churn {
    fn start(dir: &Path) -> Churn {
        wide(dir);
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..2).map(|own| {
            let (d, over) = (dir.join("d"), over.clone());
            thread::spawn(move || {
                for number in (0..).take_while(|_| !over.load(Ordering::SeqCst)) {
                    Churn::step(&d, own, number);
                }
            })
        });
        let threads = threads.collect();
        Churn(over, threads)
    }

    /// Every call may fail: the other thread may have been there.
    fn step(d: &Path, own: usize, number: usize) {
        let outer = d.join(format!("{}", number * 7 % 40));
        let made = outer.join(format!("new{own}-{}", number % 50));
        for path in [&made, &made.join("a"), &made.join("a/b")] {
            let _ = fs::create_dir(path);
        }
        let _ = match number % 4 {
            0 => fs::remove_dir_all(&made),
            1 => fs::rename(&made, d.join(format!("{}/{}", number % 40, number % 30))),
            2 => fs::rename(&outer, d.join(format!("{}", number * 11 % 40))),
            _ => fs::remove_dir_all(outer.join(format!("{}", number % 30))),
        };
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        self.1.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn set_up(side: &Side) -> Cell {
    let mut churn = None;
    let mut it = Watched::new(side, "create,move,delete", &[], |dir| churn = Some(Churn::start(dir)));
    drop(churn);
    it.quiet();
    it.probe()
}

fn set_up_counting(side: &Side) -> Cell {
    let mut churn = None;
    let (dir, mut run) = counting(side, |dir| churn = Some(Churn::start(dir)));
    run.wait_ready();
    drop(churn);
    rows(dir.path(), run)
}

// 3. Renames.

/// 40 times two directories, one in the other.
fn pairs(at: &Path) {
    for number in 0..40 {
        fs::create_dir_all(at.join(format!("{number}/below"))).unwrap();
    }
}

/// Renames in `d`, and then a probe in every directory; `stopped` if nothing is read meanwhile.
fn renamed(side: &Side, stopped: bool, act: fn(&Path) -> io::Result<()>) -> Cell {
    let mut it = Watched::new(side, "create,move,delete", &["e"], |dir| {
        for name in ["a", "other", "empty", "../e"] {
            fs::create_dir(dir.join("d").join(name)).unwrap();
        }
        pairs(&dir.join("d/a"));
        pairs(&dir.join("d/other"));
    });
    if stopped {
        it.run.signal(Signal::SIGSTOP);
    }
    act(&it.at("")).unwrap();
    it.probe()
}

fn there_and_back(d: &Path) -> io::Result<()> {
    rename(d, "a", "../e/b")?;
    rename(d, "../e/b/1", "c")
}

fn swap(d: &Path) -> io::Result<()> {
    let (one, other) = (d.join("a"), d.join("other"));
    Ok(renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE)?)
}

fn thousands(side: &Side) -> Cell {
    let mut it = Watched::new(side, "create,move,delete", &[], |dir| {
        (0..1000).for_each(|number| fs::create_dir_all(dir.join(format!("d/a{number}/below"))).unwrap());
    });
    it.run.signal(Signal::SIGSTOP);
    for number in 0..1000 {
        for (from, to) in [('a', 'b'), ('b', 'c')] {
            rename(&it.at(""), &format!("{from}{number}"), &format!("{to}{number}")).unwrap();
        }
    }
    it.probe()
}

fn renamed_and_deleted(side: &Side) -> Cell {
    let mut it = Watched::new(side, "move,delete,delete_self,create", &[], |dir| {
        fs::create_dir(dir.join("d/old")).unwrap();
        pairs(&dir.join("d/old"));
    });
    rename(&it.at(""), "old", "new").unwrap();
    fs::remove_dir_all(it.at("new")).unwrap();
    let lines = it.quiet();
    let deletions: Vec<_> = lines.iter().filter(|line| line.event.starts_with("DELETE")).collect();
    let wrong = deletions.iter().filter(|line| line.path.starts_with("d/old")).count();
    vec![Of(deletions.len() - wrong, deletions.len(), "lines with the true path")]
}

fn moved_out(side: &Side) -> Cell {
    let mut it = Watched::new(side, "create,move,delete", &[], |dir| {
        fs::create_dir_all(dir.join("d/leaves")).unwrap();
        pairs(&dir.join("d/leaves"));
    });
    rename(&it.at(""), "leaves", "../left").unwrap();
    it.quiet();
    for directory in directories(it.dir.path(), "left") {
        fs::write(it.dir.path().join(directory).join("probe"), "").unwrap();
    }
    let lines = it.quiet();
    let after = lines.iter().filter(|line| line.path.ends_with("probe")).count();
    vec![
        Count(after as f64, "lines afterwards from 81 directories"),
        Count((it.run.watches() - 1) as f64, "of their watches kept"),
    ]
}

fn moved_in(side: &Side) -> Cell {
    let mut it = Watched::new(side, "create,move,delete", &[], |dir| {
        fs::create_dir(dir.join("comes")).unwrap();
        pairs(&dir.join("comes"));
    });
    rename(&it.at(""), "../comes", "came").unwrap();
    it.quiet();
    it.probe()
}

// 4. Overflow.

/// While `run` is stopped, a quarter more happens in `d` than the kernel's queue holds, 85 new directories among it.
fn burst(d: &Path, run: &Running) {
    run.signal(Signal::SIGSTOP);
    let pairs = queue_limit() * 5 / 8;
    for number in 0..pairs {
        let path = d.join(format!("f{}", number % 500));
        File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
        if number % (pairs / 85) == 0 && number / (pairs / 85) < 85 {
            fs::create_dir(d.join(format!("directory-{number}"))).unwrap();
        }
    }
    run.signal(Signal::SIGCONT);
}

/// Whether anything at all was said with -q, or about lost events without.
fn said(run: &Running, part: &str) -> Figure {
    let said = run.stderr.lines().iter().any(|line| line.contains(part));
    Word(if said { "reported on stderr" } else { "nothing on stderr" }.to_owned())
}

fn overflow(side: &Side) -> Cell {
    let mut it = Watched::start(side, "create,move,delete", &["-q"], |_| ());
    it.run.wait_asleep();
    burst(&it.at(""), &it.run);
    it.quiet();
    let mut cell = it.probe();
    cell.push(said(&it.run, ""));
    cell
}

fn overflow_counting(side: &Side) -> Cell {
    let (dir, mut run) = counting(side, |_| ());
    run.wait_ready();
    burst(&dir.path().join("d"), &run);
    run.wait_asleep();
    let said = said(&run, "max_queued_events");
    let mut cell = rows(dir.path(), run);
    cell.push(said);
    cell
}

// 5. Readers.

/// How much more memory `run` takes than `before`, in KiB.
fn growth(run: &Running, field: &str, before: usize) -> f64 {
    run.memory(field) as f64 - before as f64
}

/// Nobody reads for some seconds, in which `wanted` lines are due.
fn stalled(side: &Side, wanted: usize, seconds: u64) -> Cell {
    let dir = fast_tempdir();
    let d = dir.path().join("d");
    fs::create_dir(&d).unwrap();
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut command = command(dir.path(), &side.wait, ["-m", "-r", "-e", "create,delete", "d"]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    run.wait_asleep();
    let before = run.memory("VmRSS:");
    // VmHWM counts from here.
    fs::write(format!("/proc/{}/clear_refs", run.pid()), "5").unwrap();
    let start = Instant::now();
    for number in 0..wanted / 2 {
        let path = d.join(format!("file-{number}"));
        File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
    }
    // Not a wait for anything: the stall itself.
    thread::sleep(Duration::from_secs(seconds).saturating_sub(start.elapsed()));
    let peak = growth(&run, "VmHWM:", before);
    let read = thread::spawn(move || {
        let (mut reader, mut line, mut lines, mut bytes) =
            (BufReader::new(File::from(reader)), Vec::new(), 0, 0);
        while reader.read_until(b'\n', &mut line).unwrap_or(0) > 0 && !line.ends_with(b"the-end\n") {
            (lines, bytes) = (lines + 1, bytes + line.len());
            line.clear();
        }
        (reader, lines, bytes)
    });
    // More than once, for it may be lost.
    let over = wait_until(|| {
        let _ = File::create(d.join("the-end"));
        let _ = fs::remove_file(d.join("the-end"));
        thread::sleep(Duration::from_millis(50));
        read.is_finished()
    });
    assert!(over, "no line for a new file, {BOUND:?} long");
    // As long as there is a reader the program runs.
    let (_reader, lines, bytes) = read.join().unwrap();
    run.wait_asleep();
    let share = peak * 1024.0 / bytes.max(1) as f64;
    vec![
        Of(lines, wanted, "lines came"),
        Count((share * 100.0).round(), "% of their text in memory"),
        Count(growth(&run, "VmRSS:", before), "KiB more afterwards"),
    ]
}

/// The two ends of a connection: what is read from, to be dropped, and what is written to.
type Ends = (OwnedFd, OwnedFd);

fn pipe() -> Ends {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

fn socket() -> Ends {
    let (one, other) = UnixStream::pair().unwrap();
    (one.into(), other.into())
}

fn terminal() -> Ends {
    let (reader, writer) = common::terminal();
    (reader.into(), writer)
}

fn closed(side: &Side, ends: fn() -> Ends) -> Cell {
    let dir = fast_tempdir();
    let (reader, writer) = ends();
    let mut command = command(dir.path(), &side.wait, ["-m", "-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    run.wait_asleep();
    drop(reader);
    let start = Instant::now();
    while !run.has_ended() && start.elapsed() < AT_ONCE {
        thread::sleep(Duration::from_millis(2));
    }
    vec![Word(if run.has_ended() { "yes" } else { "no" }.to_owned())]
}

// 6 to 9.

fn own_walk(side: &Side, new: bool) -> Cell {
    let mut it = Watched::new(side, "open,access,close_nowrite,create", &[], |dir| {
        (0..200)
            .for_each(|number| fs::create_dir_all(dir.join(format!("d/{}/{number}", number % 20))).unwrap());
    });
    if new {
        for number in 0..200 {
            fs::create_dir_all(it.at(&format!("new-{}/{number}", number % 20))).unwrap();
        }
    }
    let own = it.quiet().iter().filter(|line| !line.event.starts_with("CREATE")).count();
    vec![Count(own as f64, "lines")]
}

fn excluded(side: &Side) -> Cell {
    let it = Watched::new(side, "create", &["--exclude", "/node_modules/"], |dir| {
        fs::create_dir_all(dir.join("d/source/below")).unwrap();
        (0..200).for_each(|number| fs::create_dir_all(dir.join(format!("d/node_modules/{number}"))).unwrap());
    });
    vec![Count(it.run.watches() as f64, "watches")]
}

fn deep(side: &Side) -> Cell {
    let mut innermost = None;
    let mut it = Watched::start(side, "create", &[], |dir| {
        innermost = Some(deep_directory(&dir.join("d"), 20));
    });
    let established = "Watches established.";
    it.run.wait("readiness", |run| {
        run.has_ended() || run.stderr.lines().iter().any(|line| line == established)
    });
    if let Some(refusal) = it.run.stderr.lines().pop().filter(|line| line != established) {
        return vec![Word(refusal)];
    }
    let (path, at) = innermost.unwrap();
    openat(&at, "f", OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::S_IRWXU).unwrap();
    let wanted = format!("d/{}f", String::from_utf8(path).unwrap());
    let whole = it.quiet().iter().any(|line| line.path == wanted);
    vec![Word(if whole { "printed whole" } else { "not printed" }.to_owned())]
}

fn leaks(side: &Side) -> Cell {
    let mut it = Watched::new(side, "create,delete", &[], |_| ());
    it.run.wait_asleep();
    let before = it.run.memory("VmRSS:");
    for _ in 0..50 {
        // So few at a time that the queue holds what happens.
        (0..2000).for_each(|number| fs::create_dir(it.at(&number.to_string())).unwrap());
        it.run.wait_asleep();
        (0..2000).for_each(|number| fs::remove_dir(it.at(&number.to_string())).unwrap());
        it.run.wait_asleep();
    }
    vec![
        Count((it.run.watches() - 1) as f64, "watches left"),
        Count(growth(&it.run, "VmRSS:", before), "KiB more memory"),
    ]
}
