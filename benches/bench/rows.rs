//! The rows of the table, in groups that are measured together.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use crate::Result;
use crate::measure::{Programs, Samples, Side, Watcher, own_cpu};
use crate::report::{Growth, Report, bytes, grouped, median, time};
use crate::storm::{EVENTS_PER_FILE, Storm, touch, tree, wide_tree};

pub const BOTH: [Side; 2] = [Side::Reference, Side::Here];
pub const ALL: [Side; 3] = [Side::Reference, Side::Here, Side::Floor];

/// How the watchers are called: for ever, with all below, all events.
pub const MONITOR: [&str; 2] = ["-m", "-r"];

/// The events of a flood.
const EVENTS: usize = 500_000;

/// CPU per line in a flood, and the time that the flood takes.
pub fn flood(programs: &Programs, report: &mut Report) -> Result<()> {
    let what = "CPU per line, flood";
    let samples = flooded(programs, report, what, &[], 5, Storm::files)?;
    report.row(
        "time of the flood while watched",
        samples.map(|flood| nanoseconds(flood.wall)),
        time,
        Some(0.95),
    );
    report.row("its CPU time while watched", samples.map(|flood| nanoseconds(flood.own_cpu)), time, None);
    Ok(())
}

/// CPU per line where the events come in bursts.
pub fn bursts(programs: &Programs, report: &mut Report) -> Result<()> {
    flooded(programs, report, "CPU per line, bursts of 2,000 files", &[], 5, Storm::bursts).map(drop)
}

/// CPU per line with a format and the time.
pub fn timefmt(programs: &Programs, report: &mut Report) -> Result<()> {
    let options = ["--timefmt", "%Y-%m-%d %H:%M:%S", "--format", "%T %w %f %e"];
    flooded(programs, report, "CPU per line, `--timefmt`, `--format`", &options, 5, Storm::files).map(drop)
}

/// CPU per line with an --exclude, of CREATE, CLOSE_WRITE and DELETE.
pub fn exclude(programs: &Programs, report: &mut Report) -> Result<()> {
    let options = [r"--exclude=\.(swp|swx|tmp)$", "-e", "create,delete,moved_to,close_write,attrib"];
    flooded(programs, report, "CPU per line, `--exclude`, `-e`", &options, 3, Storm::files).map(drop)
}

/// CPU per line in a flood, into an `--outfile` in the watched tree.
pub fn outfile(programs: &Programs, report: &mut Report) -> Result<()> {
    let what = "CPU per line, `-o FILE`";
    let top = programs.dir.path().join("flood");
    let directories = Storm::new(&top)?;
    let outfile = programs.dir.path().join("outfile");
    let samples = programs.alternate(what, programs.rounds, &BOTH, |side| {
        let mut watcher = programs.watch_into(side, &top, &MONITOR, &outfile)?;
        watcher.settle()?;
        let (cpu, lines) = (watcher.cpu()?, watcher.lines());
        directories.files(EVENTS / EVENTS_PER_FILE)?;
        watcher.settle()?;
        Ok(nanoseconds(watcher.cpu()? - cpu) / (watcher.lines() - lines).max(1) as f64)
    })?;
    report.row(what, samples, time, Some(0.35));
    Ok(())
}

/// inotifywatch: CPU per event in a flood; memory of a quiet tree, and a table of many rows.
pub fn counting(programs: &Programs, report: &mut Report) -> Result<()> {
    const ROWS: usize = 50_000;
    let what = "inotifywatch: CPU per event, flood";
    let top = programs.dir.path().join("flood");
    let directories = Storm::new(&top)?;
    let samples = programs.alternate(what, programs.rounds, &BOTH, |side| {
        let counter = programs.count(side, &top, &["-r"])?;
        let cpu = counter.cpu()?;
        directories.files(EVENTS / EVENTS_PER_FILE)?;
        counter.settle()?;
        Ok(nanoseconds(counter.cpu()? - cpu) / EVENTS as f64)
    })?;
    report.row(what, samples, time, Some(0.4));

    let what = "inotifywatch: a table of 50,000 rows";
    let top = programs.dir.path().join("tree");
    tree(&top, ROWS, 0)?;
    let samples = programs.alternate(what, programs.rounds, &BOTH, |side| {
        let mut counter = programs.count(side, &top, &["-r", "-e", "attrib"])?;
        let memory = counter.anonymous_memory()?;
        touch(&top)?;
        counter.settle()?;
        let cpu = counter.cpu()?;
        counter.table()?;
        // What the reference keeps in its buffer is not much.
        if counter.lines() < ROWS as u64 * 9 / 10 {
            return Err(format!("{side:?}: {} lines for {ROWS} rows", counter.lines()).into());
        }
        Ok((nanoseconds(counter.cpu()? - cpu), memory as f64 / ROWS as f64))
    })?;
    report.row(what, samples.map(|(table, _)| *table), time, Some(1.0));
    report.row("its memory per watch before that", samples.map(|(_, memory)| *memory), bytes, Some(0.35));
    Ok(fs::remove_dir_all(top)?)
}

/// What a flood took.
struct Flood {
    /// The watcher's CPU time.
    cpu: Duration,
    lines: u64,
    /// The time from the first file to the last, all of it and that on a CPU.
    wall: Duration,
    own_cpu: Duration,
}

/// Floods the watchers, and adds the row of their CPU time per line. `per_file` lines are expected of a file.
fn flooded(
    programs: &Programs,
    report: &mut Report,
    what: &str,
    options: &[&str],
    per_file: usize,
    storm: fn(&Storm, usize) -> Result<()>,
) -> Result<Samples<Flood>> {
    let files = EVENTS / EVENTS_PER_FILE;
    let top = programs.dir.path().join("flood");
    let directories = Storm::new(&top)?;
    // The floor has one format.
    let sides = if options.is_empty() { &ALL[..] } else { &BOTH[..] };
    let options = [&MONITOR[..], options].concat();
    let samples = programs.alternate(what, programs.rounds, sides, |side| {
        let mut watcher = programs.watch(side, &top, &options, &["events"])?;
        watcher.settle()?;
        let (cpu, lines) = (watcher.cpu()?, watcher.lines());
        let (start, own_start) = (Instant::now(), own_cpu()?);
        storm(&directories, files)?;
        let (wall, own_cpu) = (start.elapsed(), own_cpu()? - own_start);
        watcher.settle()?;
        Ok(Flood { cpu: watcher.cpu()? - cpu, lines: watcher.lines() - lines, wall, own_cpu })
    })?;
    let per_line = |flood: &Flood| nanoseconds(flood.cpu) / flood.lines.max(1) as f64;
    report.row(what, samples.map(per_line), time, Some(0.25));
    report.lines(
        &format!("{what}, of {}", grouped((files * per_file) as u64)),
        &samples.map(|flood| flood.lines as f64),
    );
    Ok(samples)
}

/// The sizes of a tree that show how cost grows.
const GROWING: [usize; 4] = [1_000, 10_000, 30_000, 100_000];

/// Set-up, memory and a rename, in trees of several sizes.
pub fn setup(programs: &Programs, report: &mut Report) -> Result<()> {
    enough(programs)?;
    let top = programs.dir.path().join("one");
    tree(&top, 1, 0)?;
    let alone = programs.alternate("memory, one directory", programs.rounds, &BOTH, |side| {
        programs.watch(side, &top, &MONITOR, &[])?.anonymous_memory()
    })?;
    let alone = alone.map(|memory| *memory as f64);
    for directories in GROWING.map(|directories| programs.scaled(directories)) {
        let top = programs.dir.path().join("tree");
        let what = format!("setup, {} directories with 5 files each", grouped(directories as u64));
        tree(&top, directories, 5)?;
        let samples =
            programs.alternate(&what, programs.rounds, &ALL, |side| established(programs, side, &top))?;
        let set_up = samples.map(|tree| nanoseconds(tree.set_up));
        let memory = samples.map(|tree| tree.memory as f64);
        let memory = memory.zip(&alone, |memory, alone| (memory - alone).max(0.0) / directories as f64);
        let rename = samples.map(|tree| nanoseconds(tree.rename)).without(Side::Floor);
        report.growth(Growth::new(directories, &set_up, &memory, &rename));
        if directories == programs.scaled(GROWING[GROWING.len() - 1]) {
            let many = grouped(directories as u64);
            report.row(what, set_up, time, Some(0.25));
            report.row("its CPU time", samples.map(|tree| nanoseconds(tree.cpu)), time, Some(0.25));
            report.row(format!("anonymous memory per watch, {many} directories"), memory, bytes, Some(0.25));
            report.row(format!("CPU for a rename among {many} directories"), rename, time, Some(0.02));
        }
        fs::remove_dir_all(top)?;
    }
    // Many files, which the reference looks at one by one; and hardly any, where its cost is least.
    for (directories, files, goal) in [(20_000, 40, 0.12), (100_000, 0, 0.35)] {
        let top = programs.dir.path().join("tree");
        let directories = programs.scaled(directories);
        let what = match files {
            0 => format!("setup, {} directories, nearly all of them empty", grouped(directories as u64)),
            _ => format!("setup, {} directories with {files} files each", grouped(directories as u64)),
        };
        wide_tree(&top, directories, files, if files == 0 { 20 } else { 10 })?;
        let samples = programs.alternate(&what, programs.rounds, &ALL, |side| {
            let watcher = programs.watch(side, &top, &MONITOR, &["walk"])?;
            Ok((nanoseconds(watcher.set_up), nanoseconds(watcher.cpu()?)))
        })?;
        report.row(what, samples.map(|(time, _)| *time), time, Some(goal));
        report.row("its CPU time", samples.map(|(_, cpu)| *cpu), time, Some(goal));
        fs::remove_dir_all(top)?;
    }
    Ok(())
}

/// What a tree took.
struct Established {
    set_up: Duration,
    /// The CPU time of the setup.
    cpu: Duration,
    /// Anonymous memory in bytes.
    memory: u64,
    /// The CPU time for one rename.
    rename: Duration,
}

/// Renames are measured this many at a time; it is even, so that the tree is as before.
const RENAMES: u32 = 10;

fn established(programs: &Programs, side: Side, top: &Path) -> Result<Established> {
    let mut watcher = programs.watch(side, top, &MONITOR, &["walk"])?;
    let (set_up, cpu, memory) = (watcher.set_up, watcher.cpu()?, watcher.anonymous_memory()?);
    if side == Side::Floor {
        return Ok(Established { set_up, cpu, memory: 0, rename: Duration::ZERO });
    }
    watcher.settle()?;
    let before = watcher.cpu()?;
    let names = [top.join("dir0"), top.join("renamed")];
    for number in 0..RENAMES as usize {
        fs::rename(&names[number % 2], &names[(number + 1) % 2])?;
        watcher.settle()?;
    }
    Ok(Established { set_up, cpu, memory, rename: (watcher.cpu()? - before) / RENAMES })
}

/// inotify against fanotify: a flood, one elsewhere on the file system, setup, memory, a rename, latency.
pub fn interfaces(programs: &Programs, report: &mut Report) -> Result<()> {
    const SIDES: [Side; 3] = [Side::Here, Side::Filesystem, Side::Marks];
    if !Uid::effective().is_root() {
        eprintln!("interfaces: not measured, which only root can do");
        return Ok(());
    }
    enough(programs)?;
    let (top, elsewhere) = (programs.dir.path().join("flood"), programs.dir.path().join("elsewhere"));
    for (what, storm) in [
        ("CPU for a file made, written and deleted", Storm::new(&top)?),
        ("the same elsewhere on the file system", Storm::new(&elsewhere)?),
    ] {
        let samples = programs.alternate(what, programs.rounds, &SIDES, |side| {
            for_a_file(programs, side, &top, &MONITOR, &storm)
        })?;
        report.interfaces(what, &samples, time);
    }
    fs::remove_dir_all(elsewhere)?;
    let top = programs.dir.path().join("tree");
    let directories = programs.scaled(GROWING[GROWING.len() - 1]);
    let many = grouped(directories as u64);
    tree(&top, directories, 5)?;
    let what = format!("setup, {many} directories with 5 files each");
    let samples =
        programs.alternate(&what, programs.rounds, &SIDES, |side| established(programs, side, &top))?;
    report.interfaces(what, &samples.map(|tree| nanoseconds(tree.set_up)), time);
    report.interfaces("anonymous memory after it", &samples.map(|tree| tree.memory as f64), bytes);
    report.interfaces("CPU for a rename there", &samples.map(|tree| nanoseconds(tree.rename)), time);
    fs::remove_dir_all(top)?;
    report.interfaces("latency of a lone event", &lone_events(programs, "latency", &SIDES)?, time);
    Ok(())
}

/// The CPU time for a file made, written and deleted, to a watcher of `top`.
fn for_a_file(programs: &Programs, side: Side, top: &Path, arguments: &[&str], storm: &Storm) -> Result<f64> {
    let files = EVENTS / EVENTS_PER_FILE;
    let mut watcher = programs.watch(side, top, arguments, &[])?;
    watcher.settle()?;
    let before = watcher.cpu()?;
    storm.files(files)?;
    watcher.settle()?;
    Ok(nanoseconds(watcher.cpu()? - before) / files as f64)
}

/// What the options cost that the original does not have, beside the same program without them.
pub fn options(programs: &Programs, report: &mut Report) -> Result<()> {
    let top = programs.dir.path().join("flood");
    let storm = Storm::new(&top)?;
    let who = ["--format", "%w%f %{pid} %{comm}"];
    for (what, side, more) in [
        ("`--json`", Side::Here, &["--json"][..]),
        ("`--debounce 0.05`", Side::Here, &["--debounce", "0.05"]),
        ("`--ignore '*.o'`", Side::Here, &["--ignore", "*.o"]),
        ("`--gitignore`", Side::Here, &["--gitignore"]),
        ("fanotify, `%{comm}`, for root", Side::Filesystem, &who),
    ] {
        if side == Side::Filesystem && !Uid::effective().is_root() {
            continue;
        }
        let arguments = [&MONITOR[..], more].concat();
        let samples = programs.alternate(what, programs.rounds, &[side], |side| {
            let without = for_a_file(programs, side, &top, &MONITOR, &storm)?;
            Ok((without, for_a_file(programs, side, &top, &arguments, &storm)?))
        })?;
        let middle = |number: fn(&(f64, f64)) -> f64| median(samples.map(number).of(side));
        let (without, with) = (time(middle(|(without, _)| *without)), time(middle(|(_, with)| *with)));
        let ratio = middle(|(without, with)| with / without);
        report.note(format!("{what}: CPU for a file made, written and deleted {with}, without the option {without} ({ratio:.2})"));
    }
    ignored(programs, report)
}

/// A tree with an ignored directory beside it is set up in the time of the tree.
fn ignored(programs: &Programs, report: &mut Report) -> Result<()> {
    let top = programs.dir.path().join("checkout");
    let (rest, many) = (programs.scaled(10_000), programs.scaled(100_000));
    fs::create_dir_all(top.join(".git"))?;
    fs::write(top.join(".gitignore"), "node_modules/\n")?;
    tree(&top.join("src"), rest, 5)?;
    let with = [&MONITOR[..], &["--gitignore"]].concat();
    let cpu = |arguments: &[&str]| {
        let samples = programs.alternate("`--gitignore`", programs.rounds, &[Side::Here], |side| {
            Ok(nanoseconds(programs.watch(side, &top, arguments, &[])?.cpu()?))
        })?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(median(samples.of(Side::Here)))
    };
    let (alone, unread) = (cpu(&with)?, cpu(&MONITOR)?);
    tree(&top.join("node_modules"), many, 0)?;
    let beside = cpu(&with)?;
    fs::remove_dir_all(&top)?;
    let (rest, many) = (grouped(rest as u64), grouped(many as u64));
    report.note(format!(
        "`--gitignore`: CPU for the setup of {rest} directories beside {many} ignored ones {}, without those {} ({:.2}), without the \
         option {}",
        time(beside),
        time(alone),
        beside / alone,
        time(unread)
    ));
    Ok(())
}

/// Whether the machine allows what [`setup`] takes.
fn enough(programs: &Programs) -> Result<()> {
    const WATCHES: u64 = 120_000;
    const INODES: libc::fsfilcnt_t = 1_000_000;
    const LIMIT: &str = "fs.inotify.max_user_watches";
    let watches: u64 = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")?.trim().parse()?;
    if watches < WATCHES {
        let remedy = format!("sudo sysctl -w {LIMIT}={WATCHES}, or choose other ROWS");
        return Err(format!("setup: {LIMIT} is {watches}, and {WATCHES} are needed: {remedy}").into());
    }
    let dir = programs.dir.path();
    let free = statvfs(dir)?.files_available();
    if free < INODES {
        let remedy = "set BENCH_DIR";
        return Err(
            format!("setup: {} has room for {free} files, not {INODES}: {remedy}", dir.display()).into()
        );
    }
    Ok(())
}

/// How many runs or events of a short measurement make a round.
const SHORT: usize = 40;

/// From the start of a process to its end, for the help; and to its readiness.
pub fn start(programs: &Programs, report: &mut Report) -> Result<()> {
    let linked = programs.linked.as_ref().map(|_| Side::Static);
    let what = "start: `--help`";
    let sides: Vec<Side> = ALL.into_iter().chain(linked).collect();
    let samples = programs.alternate(what, SHORT * programs.rounds, &sides, |side| {
        let mut command = programs.command(side, &["--help"], &["nothing"]);
        command.stdout(Stdio::null());
        let start = Instant::now();
        command.status()?;
        Ok(nanoseconds(start.elapsed()))
    })?;
    report.linked(what, &samples);
    report.row(what, samples, time, Some(1.0));
    let what = "start: `-t 1` until the watches are established";
    let top = programs.dir.path().join("start");
    fs::create_dir_all(&top)?;
    let sides: Vec<Side> = BOTH.into_iter().chain(linked).collect();
    let samples = programs.alternate(what, SHORT * programs.rounds, &sides, |side| {
        Ok(nanoseconds(programs.watch(side, &top, &["-t", "1"], &[])?.set_up))
    })?;
    report.linked(what, &samples);
    report.row(what, samples, time, Some(1.0));
    Ok(())
}

/// From a lone event to the reader's having its line.
pub fn latency(programs: &Programs, report: &mut Report) -> Result<()> {
    let what = "latency of a lone event";
    report.row(what, lone_events(programs, what, &ALL)?, time, Some(1.2));
    Ok(())
}

fn lone_events(programs: &Programs, what: &str, sides: &[Side]) -> Result<Samples<f64>> {
    const IDLE: Duration = Duration::from_millis(20);
    let start = |side: &Side| -> Result<(Side, Watcher)> {
        let top = programs.dir.path().join(format!("{side:?}"));
        fs::create_dir_all(&top)?;
        Ok((*side, programs.watch(*side, &top, &MONITOR, &["events"])?))
    };
    let mut watchers = sides.iter().map(start).collect::<Result<Vec<_>>>()?;
    programs.alternate(what, SHORT * programs.rounds, sides, |side| {
        thread::sleep(IDLE);
        let found = watchers.iter_mut().find(|(of, _)| *of == side);
        Ok(nanoseconds(found.ok_or("no such watcher")?.1.settle()?))
    })
}

pub fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}
