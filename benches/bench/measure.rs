//! A watcher that runs, and what it takes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{array, env, thread};

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Result, floors};

/// A user and a group without privileges.
const NOBODY: u32 = 65_534;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The original.
    Reference,
    /// This program.
    Here,
    /// A bare loop of the same system calls.
    Floor,
    /// This program on fanotify, with one mark for the file system.
    Filesystem,
    /// The same with a mark for each directory, as an ordinary user has it.
    Marks,
    /// This program, linked statically.
    Static,
}

impl Side {
    /// How many there are.
    const COUNT: usize = Side::Static as usize + 1;
}

/// The programs, and the place for what they watch.
pub struct Programs {
    /// The original.
    pub reference: PathBuf,
    /// This program.
    pub here: PathBuf,
    /// The same, linked statically, if that was built.
    pub linked: Option<PathBuf>,
    /// This benchmark, which holds the floors.
    floor: PathBuf,
    /// How often everything is measured.
    pub rounds: usize,
    /// The size of what is measured, as a part of the usual one.
    scale: f64,
    /// A directory for all that is made here; it is removed at the end.
    pub dir: TempDir,
}

impl Programs {
    /// As the environment says.
    pub fn from_environment() -> Result<Programs> {
        let path = |name, default: &str| PathBuf::from(env::var_os(name).unwrap_or(default.into()));
        let reference = path("BENCH_REFERENCE", "/usr/bin/inotifywait");
        if !reference.exists() {
            let why = "is not there: install inotify-tools, or set BENCH_REFERENCE";
            return Err(format!("{} {why}", reference.display()).into());
        }
        let rounds = match env::var("ROUNDS") {
            Ok(text) => {
                text.parse().ok().filter(|rounds| *rounds > 0).ok_or("ROUNDS is not a positive number")?
            }
            Err(_) => 3,
        };
        let scale = match env::var("SCALE") {
            Ok(text) => text
                .parse()
                .ok()
                .filter(|scale| *scale > 0.0 && *scale <= 1.0)
                .ok_or("SCALE is not a number from 0 to 1")?,
            Err(_) => 1.0,
        };
        let released = env::var("BENCH_RELEASE").unwrap_or(env!("CARGO_BIN_EXE_inotifywait").to_owned());
        let dir = path("BENCH_DIR", "/dev/shm");
        let dir = tempfile::Builder::new().prefix("inotify-bench.").tempdir_in(dir)?;
        // For whoever is not who runs this.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Programs {
            reference,
            here: path("BENCH_OURS", &released),
            linked: env::var_os("BENCH_STATIC").map(PathBuf::from),
            floor: env::current_exe()?,
            rounds,
            scale,
            dir,
        })
    }

    /// A number of directories or files, by the size that was asked for.
    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(100)
    }

    /// Whether that is the usual one.
    pub fn is_full_size(&self) -> bool {
        self.scale == 1.0
    }

    /// A side's program, with the arguments for an inotifywait or those for a floor.
    pub fn command(&self, side: Side, arguments: &[&str], floor: &[&str]) -> Command {
        let program = match side {
            Side::Reference => &self.reference,
            Side::Here | Side::Filesystem | Side::Marks => &self.here,
            Side::Floor => &self.floor,
            Side::Static => self.linked.as_ref().unwrap_or(&self.here),
        };
        let mut command = Command::new(program);
        match side {
            Side::Floor => command.arg(floors::FLOOR).args(floor),
            Side::Filesystem => command.arg("--fanotify").args(arguments),
            Side::Marks => command.arg("--fanotify").args(arguments).uid(NOBODY).gid(NOBODY),
            Side::Reference | Side::Here | Side::Static => command.args(arguments),
        };
        command.stdin(Stdio::null());
        command
    }

    /// Starts a side's program on `top`, which comes last of its arguments, and waits for its watches.
    pub fn watch(&self, side: Side, top: &Path, arguments: &[&str], floor: &[&str]) -> Result<Watcher> {
        let mut command = self.command(side, arguments, floor);
        command.arg(top);
        Watcher::start(command, top, None)
    }

    /// The same with an `--outfile`.
    pub fn watch_into(&self, side: Side, top: &Path, arguments: &[&str], outfile: &Path) -> Result<Watcher> {
        let mut command = self.command(side, arguments, &[]);
        command.arg("-o").arg(outfile).arg(top);
        Watcher::start(command, top, Some(outfile))
    }

    /// Starts a side's inotifywatch on `top`, and waits for its watches.
    pub fn count(&self, side: Side, top: &Path, arguments: &[&str]) -> Result<Counter> {
        let mut command = match side {
            Side::Floor => self.command(side, &[], &["count"]),
            Side::Reference => Command::new(self.reference.with_file_name("inotifywatch")),
            _ => Command::new(self.here.with_file_name("inotifywatch")),
        };
        if side != Side::Floor {
            command.args(arguments);
        }
        command.arg(top).stdin(Stdio::null());
        let Started { mut child, said, clock, .. } = start(command, "now collecting statistics.\n")?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let lines = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lines);
        thread::spawn(move || count(stdout, &counter, &mpsc::channel().0));
        thread::spawn(move || io::copy(&mut { said }, &mut io::stderr()));
        Ok(Counter { child, clock, lines })
    }

    /// Measures every side in turn, `times` times; every other time backwards.
    pub fn alternate<T>(
        &self,
        what: &str,
        times: usize,
        sides: &[Side],
        mut measure: impl FnMut(Side) -> Result<T>,
    ) -> Result<Samples<T>> {
        let mut samples = Samples(array::from_fn(|_| Vec::new()));
        eprintln!("{what} ...");
        for round in 0..times {
            let mut order = sides.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                let sample = measure(side)?;
                samples.0[side as usize].push(sample);
            }
        }
        Ok(samples)
    }
}

/// What was measured, by side, in the order of the rounds.
pub struct Samples<T>([Vec<T>; Side::COUNT]);

impl<T> Samples<T> {
    /// Those of a side; none where it was not measured.
    pub fn of(&self, side: Side) -> &[T] {
        &self.0[side as usize]
    }

    /// One number of each sample.
    pub fn map(&self, number: impl Fn(&T) -> f64) -> Samples<f64> {
        Samples(self.0.each_ref().map(|samples| samples.iter().map(&number).collect()))
    }

    /// The same without a side.
    pub fn without(mut self, side: Side) -> Samples<T> {
        self.0[side as usize].clear();
        self
    }
}

impl Samples<f64> {
    /// Joins each sample with that of the same round in `other`.
    pub fn zip(&self, other: &Samples<f64>, join: impl Fn(f64, f64) -> f64) -> Samples<f64> {
        Samples(array::from_fn(|side| {
            self.0[side].iter().zip(&other.0[side]).map(|(a, b)| join(*a, *b)).collect()
        }))
    }
}

/// A program that has said that it is ready.
struct Started {
    child: Child,
    said: BufReader<ChildStderr>,
    clock: ClockId,
    set_up: Duration,
}

/// Starts a program and waits until its stderr ends with a line.
fn start(mut command: Command, line: &str) -> Result<Started> {
    // Meanwhile the kernel frees the watches of the one before.
    thread::sleep(Duration::from_millis(50));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let mut said = BufReader::new(child.stderr.take().ok_or("no pipe")?);
    let mut text = String::new();
    while !text.ends_with(line) {
        if said.read_line(&mut text)? == 0 {
            return Err(format!("{command:?} ended: {text}").into());
        }
    }
    let set_up = start.elapsed();
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(child.id())?))?;
    Ok(Started { child, said, clock, set_up })
}

/// An inotifywatch that counts. It is killed when this goes out of scope.
pub struct Counter {
    child: Child,
    clock: ClockId,
    lines: Arc<AtomicU64>,
}

impl Counter {
    /// Asks for the table of all that has happened so far.
    pub fn table(&mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGUSR1)?;
        self.settle()
    }

    /// Waits until it has nothing more to do. That shows in its CPU time alone: the reference's output is buffered.
    pub fn settle(&self) -> Result<()> {
        const LOOKS: usize = 4;
        let (mut before, mut same) = (self.cpu()?, 0);
        while same < LOOKS {
            thread::sleep(Duration::from_millis(50));
            let now = self.cpu()?;
            same = if now == before { same + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// The lines that it has printed.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// The CPU time that it has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.clock.now()?.into())
    }

    /// Its anonymous memory in bytes.
    pub fn anonymous_memory(&self) -> Result<u64> {
        anonymous_memory(&self.child)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that is read while another process appends to it, until it has no name any more.
struct Tail(File);

impl Read for Tail {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(chunk)?;
            if length > 0 || self.0.metadata()?.nlink() == 0 {
                return Ok(length);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn anonymous_memory(child: &Child) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(1024 * line.trim().trim_end_matches(" kB").parse::<u64>()?)
}

/// A watcher whose watches stand and whose output is read and counted. It is killed when this goes out of scope.
pub struct Watcher {
    child: Child,
    clock: ClockId,
    top: PathBuf,
    outfile: Option<PathBuf>,
    lines: Arc<AtomicU64>,
    marks: Receiver<(u64, Instant)>,
    mark: u64,
    /// From its start to `Watches established.`.
    pub set_up: Duration,
}

impl Watcher {
    fn start(command: Command, top: &Path, outfile: Option<&Path>) -> Result<Watcher> {
        let Started { mut child, mut said, clock, set_up } = start(command, "Watches established.\n")?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let (sender, marks) = mpsc::channel();
        let lines = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lines);
        match outfile {
            Some(path) => {
                let tail = Tail(File::open(path)?);
                thread::spawn(move || count(tail, &counter, &sender))
            }
            None => thread::spawn(move || count(stdout, &counter, &sender)),
        };
        // Losses, for one.
        thread::spawn(move || io::copy(&mut said, &mut io::stderr()));
        let (top, outfile) = (top.to_path_buf(), outfile.map(Path::to_path_buf));
        Ok(Watcher { child, clock, top, outfile, lines, marks, mark: 0, set_up })
    }

    /// Waits until it has printed all that happened so far; returns the time from one event, made for this, to
    /// its line.
    pub fn settle(&mut self) -> Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            // A symbolic link's making is one event, and the last one. Where the queue is full it is lost.
            self.mark += 1;
            let path = self.mark_path(self.mark);
            let made = Instant::now();
            symlink("nowhere", path)?;
            let until = made + Duration::from_millis(100);
            loop {
                match self.marks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok((mark, seen)) if mark == self.mark => return Ok(seen - made),
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Err("a watcher ended".into()),
                }
            }
        }
        Err("waited a minute for a line in vain".into())
    }

    fn mark_path(&self, mark: u64) -> PathBuf {
        self.top.join(format!("{MARK}{mark}"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// The CPU time that it has used so far, all its threads together.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.clock.now()?.into())
    }

    /// The lines that it has printed so far for anything but marks.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed).saturating_sub(self.mark)
    }

    /// Its anonymous memory in bytes.
    pub fn anonymous_memory(&self) -> Result<u64> {
        anonymous_memory(&self.child)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for mark in 1..=self.mark {
            let _ = fs::remove_file(self.mark_path(mark));
        }
        if let Some(outfile) = &self.outfile {
            let _ = fs::remove_file(outfile);
        }
    }
}

/// The beginning of a mark's name.
const MARK: &str = "mark-";

/// Reads to the end, counts lines, and tells the number of every mark that was the last line for now.
fn count(mut stdout: impl Read, lines: &AtomicU64, marks: &Sender<(u64, Instant)>) {
    let mut chunk = vec![0; 64 * 1024];
    let mut last: Vec<u8> = Vec::new();
    while let Ok(length @ 1..) = stdout.read(&mut chunk) {
        let seen = Instant::now();
        let chunk = &chunk[..length];
        let ends = chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        lines.fetch_add(ends, Ordering::Relaxed);
        // The last line, whole or not.
        match chunk[..length - 1].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => chunk[end + 1..].clone_into(&mut last),
            None => last.extend_from_slice(chunk),
        }
        if chunk.ends_with(b"\n") {
            if let Some(mark) = mark_in(&last) {
                let _ = marks.send((mark, seen));
            }
            last.clear();
        }
    }
}

fn mark_in(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let number = line.split_once(MARK)?.1;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The CPU time of this thread.
pub fn own_cpu() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}
