//! What happens in a tree that is watched already: directories that arrive in it, many ways, and a tree of its own for each.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, mkdirat};

use crate::Result;
use crate::measure::{Programs, Side};
use crate::report::{Report, grouped, time};
use crate::rows::{ALL, BOTH, MONITOR, nanoseconds};
use crate::storm::tree;

/// Something done to a watched directory and to another.
type Step = Box<dyn Fn(&Path, &Path) -> Result<()>>;

/// One way in which directories arrive: what stands before, what happens while it is watched, and how that is undone.
struct Arrival {
    what: String,
    goal: f64,
    /// Makes `out`, which is not watched, or adds to `top`, which is.
    prepare: Step,
    happen: Step,
    undo: Step,
}

impl Arrival {
    fn new(
        what: String,
        goal: f64,
        prepare: impl Fn(&Path, &Path) -> Result<()> + 'static,
        happen: impl Fn(&Path, &Path) -> Result<()> + 'static,
        undo: impl Fn(&Path, &Path) -> Result<()> + 'static,
    ) -> Arrival {
        let (prepare, happen, undo) = (Box::new(prepare), Box::new(happen), Box::new(undo));
        Arrival { what, goal, prepare, happen, undo }
    }
}

/// Renames so many directories from one directory into another.
fn rename_each(from: &Path, to: &Path, count: usize) -> Result<()> {
    for number in 0..count {
        let name = number.to_string();
        fs::rename(from.join(&name), to.join(&name))?;
    }
    Ok(())
}

fn directories(top: &Path, count: usize) -> Result<()> {
    fs::create_dir_all(top)?;
    (0..count).try_for_each(|number| Ok(fs::create_dir(top.join(number.to_string()))?))
}

fn remove(path: &Path) -> Result<()> {
    Ok(fs::remove_dir_all(path)?)
}

fn all(programs: &Programs) -> Vec<Arrival> {
    let count = |count: usize| programs.scaled(count);
    let number = |count: usize| grouped(count as u64);
    let (moved, single, copied) = (count(50_000), count(20_000), count(60_000));
    let (chains, below, renames) = (count(10_000), count(100_000), count(300_000));
    vec![
        Arrival::new(
            format!("{} directories moved in by one rename", number(moved)),
            0.6,
            move |_, out| tree(out, moved, 0),
            |top, out| Ok(fs::rename(out, top.join("in"))?),
            |top, out| Ok(fs::rename(top.join("in"), out)?),
        ),
        Arrival::new(
            format!("{} directories moved in one by one", number(single)),
            0.7,
            move |_, out| directories(out, single),
            move |top, out| rename_each(out, top, single),
            move |top, out| rename_each(top, out, single),
        ),
        Arrival::new(
            format!("`cp -a` of {} files in {} directories", number(copied), number(copied / 10)),
            0.6,
            move |_, out| tree(out, copied / 10, 10),
            |top, out| {
                let done = Command::new("cp").arg("-a").arg(out).arg(top.join("in")).status()?;
                if done.success() { Ok(()) } else { Err("cp failed".into()) }
            },
            |top, _| remove(&top.join("in")),
        ),
        Arrival::new(
            format!("{} chains of 4 directories made", number(chains)),
            0.6,
            |_, _| Ok(()),
            move |top, _| {
                (0..chains)
                    .try_for_each(|number| Ok(fs::create_dir_all(top.join(format!("in/{number}/b/c/d")))?))
            },
            |top, _| remove(&top.join("in")),
        ),
        Arrival::new(
            format!("{} directories made in one", number(below)),
            0.5,
            |_, _| Ok(()),
            move |top, _| directories(&top.join("in"), below),
            |top, _| remove(&top.join("in")),
        ),
        Arrival::new(
            format!("{} renames of a directory to new names", number(renames)),
            0.8,
            |top, _| Ok(fs::create_dir(top.join("name0"))?),
            move |top, _| {
                let name = |number: usize| top.join(format!("name{number}"));
                (0..renames).try_for_each(|number| Ok(fs::rename(name(number), name(number + 1))?))
            },
            move |top, _| Ok(fs::rename(top.join(format!("name{renames}")), top.join("name0"))?),
        ),
    ]
}

/// CPU for directories that arrive.
pub fn arrivals(programs: &Programs, report: &mut Report) -> Result<()> {
    for Arrival { what, goal, prepare, happen, undo } in all(programs) {
        let (top, out) = (programs.dir.path().join("top"), programs.dir.path().join("out"));
        fs::create_dir(&top)?;
        prepare(&top, &out)?;
        let what = format!("CPU: {what}");
        let samples = programs.alternate(&what, programs.rounds, &ALL, |side| {
            let mut watcher = programs.watch(side, &top, &MONITOR, &["follow"])?;
            watcher.settle()?;
            let (before, lines) = (watcher.cpu()?, watcher.lines());
            happen(&top, &out)?;
            watcher.settle()?;
            let (cpu, lines) = (watcher.cpu()? - before, watcher.lines() - lines);
            drop(watcher);
            undo(&top, &out)?;
            Ok((nanoseconds(cpu), lines))
        })?;
        report.lines(&what, &samples.map(|(_, lines)| *lines as f64));
        report.row(what, samples.map(|(cpu, _)| *cpu), time, Some(goal));
        remove(&top)?;
        if out.exists() {
            remove(&out)?;
        }
    }
    counted(programs, report)?;
    chain(programs, report)?;
    rescan(programs, report)
}

/// The same for inotifywatch.
fn counted(programs: &Programs, report: &mut Report) -> Result<()> {
    let count = programs.scaled(50_000);
    let top = programs.dir.path().join("top");
    fs::create_dir(&top)?;
    let what = format!("inotifywatch: CPU: {} directories made", grouped(count as u64));
    let samples = programs.alternate(&what, programs.rounds, &ALL, |side| {
        let counter = programs.count(side, &top, &["-r"])?;
        let before = counter.cpu()?;
        tree(&top.join("in"), count, 0)?;
        counter.settle()?;
        let cpu = counter.cpu()? - before;
        drop(counter);
        remove(&top.join("in"))?;
        Ok(nanoseconds(cpu))
    })?;
    report.row(what, samples, time, Some(0.8));
    remove(&top)
}

/// A directory in a directory, and so on; the path of the last is as long as one may be.
fn make_chain(top: &Path, depth: usize) -> Result<()> {
    fs::create_dir(top)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at: OwnedFd = openat(AT_FDCWD, top, flags, Mode::empty())?;
    for _ in 1..depth {
        mkdirat(at.as_fd(), "d", Mode::S_IRWXU)?;
        at = openat(&at, "d", flags, Mode::empty())?;
    }
    Ok(())
}

/// The setup of a chain. A path of the reference may not be longer than PATH_MAX.
fn chain(programs: &Programs, report: &mut Report) -> Result<()> {
    const DEEP: usize = 3_000;
    const REACHED: usize = 1_900;
    for (depth, sides) in [(REACHED, &BOTH[..]), (DEEP, &[Side::Here])] {
        let top = programs.dir.path().join("chain");
        make_chain(&top, depth)?;
        let what = format!("CPU: setup, a chain of {} directories", grouped(depth as u64));
        let samples = programs.alternate(&what, programs.rounds, sides, |side| {
            Ok(nanoseconds(programs.watch(side, &top, &MONITOR, &[])?.cpu()?))
        })?;
        report.row(what, samples, time, if depth == DEEP { None } else { Some(0.25) });
        remove(&top)?;
    }
    Ok(())
}

/// The comparison of the tree with the file system after an overflow, which the reference does not make; beside it, as the floor, the
/// setup of the same tree.
fn rescan(programs: &Programs, report: &mut Report) -> Result<()> {
    let count = programs.scaled(50_000);
    let top: PathBuf = programs.dir.path().join("tree");
    tree(&top, count, 0)?;
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?.trim().parse()?;
    let what = format!("CPU: an overflow, and {} directories compared", grouped(count as u64));
    let samples = programs.alternate(&what, programs.rounds, &[Side::Here, Side::Floor], |side| {
        let mut watcher = programs.watch(Side::Here, &top, &["-m", "-r", "-e", "create"], &[])?;
        if side == Side::Floor {
            return Ok(nanoseconds(watcher.cpu()?));
        }
        watcher.settle()?;
        let before = watcher.cpu()?;
        watcher.signal(Signal::SIGSTOP)?;
        for number in 0..=limit {
            fs::File::create(top.join(format!("file{number}")))?;
        }
        watcher.signal(Signal::SIGCONT)?;
        watcher.settle()?;
        let cpu = watcher.cpu()? - before;
        drop(watcher);
        (0..=limit).try_for_each(|number| fs::remove_file(top.join(format!("file{number}"))))?;
        Ok(nanoseconds(cpu))
    })?;
    report.row(what, samples, time, None);
    remove(&top)
}
