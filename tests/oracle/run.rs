//! One run of one case: a fresh directory, the program, the steps, what came out.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cases::{Case, End, Tool, fanotify};
use crate::common::{Collected, mount_tmpfs};
use crate::ops::{self, Op, at};

/// No step of any case takes longer than this unless something is broken.
const BOUND: Duration = Duration::from_secs(20);
/// Between two looks at something that only a look can tell.
const GLANCE: Duration = Duration::from_millis(2);
/// Files opened and closed before the watcher is waited for: far from filling a queue of 16,384.
const BURST: usize = 1000;
/// The marker by which a daemon of ours is found among all processes.
const MARKER: &str = "ORACLE_CASE";
/// `nobody`: what a case that must not be root runs as.
const NOBODY: u32 = 65534;

/// A child that is being made has a copy of every descriptor of ours until it runs its program,
/// and a file closed meanwhile by another thread's case is not closed for the kernel until then:
/// its CLOSE would come late. So files are opened under `read`, children made under `write`.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

/// Makes a child, and waits until it has closed what it has of our descriptors: execve(2) lets a parent go on shortly
/// before that, and gives the process its new name right after.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let _none_open = DESCRIPTORS.write().unwrap();
    let child = command.spawn()?;
    let ours = fs::read("/proc/thread-self/comm")?;
    while fs::read(format!("/proc/{}/comm", child.id())).is_ok_and(|name| name == ours) {
        thread::yield_now();
    }
    Ok(child)
}

/// How many runs had a file system of their own so far: its name.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// `ops::perform`, while no child is being made.
fn perform(dir: &Path, op: &Op) -> io::Result<()> {
    let _none_made = DESCRIPTORS.read().unwrap();
    ops::perform(dir, op)
}

/// `ops::all_kinds`, likewise.
fn all_kinds(path: &Path) -> io::Result<()> {
    let _none_made = DESCRIPTORS.read().unwrap();
    ops::all_kinds(path)
}

/// What a run showed, normalised for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub status: String,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Mode and contents of the file that the case names as its outfile.
    pub outfile: Option<(u32, Vec<u8>)>,
    /// Messages that reached syslog.
    pub syslog: Vec<u8>,
}

/// A run that did not come to its end, or a step that could not be done: with all that was seen.
#[derive(Debug)]
pub struct Broken {
    pub why: String,
    pub seen: Outcome,
}

/// Runs `case` with the program at `program`; `base` is where its directory is made.
/// With `listing` the directory as it was at the end is returned too.
pub fn run(case: &Case, program: &Path, base: &Path, end: &End) -> (Result<Outcome, Broken>, String) {
    let mut dir = tempfile::Builder::new();
    let dir = match case.program.fanotify {
        true => dir
            .prefix(&RUNS.fetch_add(1, Ordering::SeqCst).to_string())
            .rand_bytes(0)
            .tempdir_in(fanotify::BASE),
        false => dir.prefix("case").tempdir_in(base),
    };
    let dir = dir.unwrap();
    let path = dir.path().to_path_buf();
    if case.program.fanotify {
        // A file system of its own: a whole one may be watched, and the others are busy in theirs.
        mount_tmpfs(&path).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let mut run = match Run::start(case, program, &path) {
        Ok(run) => run,
        Err(why) => {
            return (Err(Broken { why, seen: nothing() }), listing(&path));
        }
    };
    let result = run.play(end);
    let status = run.stop(result.is_err());
    let seen = run.outcome(status);
    let listing = listing(&path);
    for process in marked(&path) {
        let _ = kill(process, Signal::SIGKILL);
    }
    unmount_all(&path);
    let result = match result {
        Ok(()) => Ok(seen),
        Err(why) => Err(Broken { why, seen }),
    };
    (result, listing)
}

fn nothing() -> Outcome {
    Outcome {
        status: String::new(),
        stdout: Vec::new(),
        stderr: Vec::new(),
        outfile: None,
        syslog: Vec::new(),
    }
}

struct Run<'a> {
    case: &'a Case,
    dir: PathBuf,
    child: Child,
    stdout: Collected,
    stderr: Collected,
    /// The read end of stdout for a case that closes it: then nobody collects.
    reader: Option<ChildStdout>,
    /// Over fanotify, how long the output was at the end of each step.
    steps: Vec<usize>,
    syslog: Option<UnixDatagram>,
    syslog_seen: Vec<u8>,
    /// Who has the watches: the child, or the daemon it left behind.
    watcher: Pid,
}

impl<'a> Run<'a> {
    fn start(case: &'a Case, program: &Path, dir: &Path) -> Result<Run<'a>, String> {
        for op in &case.setup {
            perform(dir, op).map_err(|e| format!("setup {op:?}: {e}"))?;
        }
        let program = program.join(case.program.name());
        let mut command = match case.shell {
            None => {
                let mut command = Command::new(&program);
                command.arg0(case.argv0);
                command
            }
            Some(script) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script, "sh"]).arg(&program);
                command
            }
        };
        let mut syslog = None;
        if case.syslog {
            // A /dev of its own with our socket as its log, seen by this watcher alone.
            let fake = dir.with_extension("dev");
            fs::create_dir(&fake).map_err(|e| e.to_string())?;
            let socket = UnixDatagram::bind(fake.join("log")).map_err(|e| e.to_string())?;
            socket.set_nonblocking(true).map_err(|e| e.to_string())?;
            syslog = Some(socket);
            command = Command::new("unshare");
            command.args(["-m", "--propagation", "private", "/bin/sh", "-ec"]);
            command.arg(
                ": >\"$1/null\"; mount --bind /dev/null \"$1/null\"; mount --rbind \"$1\" /dev; \
                 shift; exec \"$@\"",
            );
            command.arg("sh").arg(&fake).arg(&program);
        }
        for arg in &case.args {
            command.arg(at(Path::new(""), &replace(arg, b"{DIR}", bytes_of(dir))));
        }
        command
            .current_dir(dir)
            .env_remove("POSIXLY_CORRECT")
            .env_remove("TZ")
            .env("LC_ALL", "C")
            .env(MARKER, dir)
            // For a reference that is a script, which does not learn the name that it was started under.
            .env("ORACLE_ARGV0", case.argv0)
            .envs(case.env.iter().copied())
            .stdin(if case.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if case.nobody && is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut child = spawn(&mut command).map_err(|e| format!("{program:?}: {e}"))?;
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), &case.stdin) {
            pipe.write_all(bytes).map_err(|e| e.to_string())?;
        }
        let stderr = Collected::from(child.stderr.take().ok_or("no stderr")?);
        let reader = child.stdout.take().ok_or("no stdout")?;
        let closes = case.ops.iter().any(|op| matches!(op, Op::CloseReader));
        let (stdout, reader) = match closes {
            true => (Collected::default(), Some(reader)),
            false => (Collected::from(reader), None),
        };
        let watcher = pid_of(&child);
        Ok(Run {
            case,
            dir: dir.to_path_buf(),
            child,
            stdout,
            stderr,
            reader,
            steps: Vec::new(),
            syslog,
            syslog_seen: Vec::new(),
            watcher,
        })
    }

    /// From readiness to the last signal.
    fn play(&mut self, end: &End) -> Result<(), String> {
        if !self.ready(end)? {
            return Ok(());
        }
        for op in &self.case.ops {
            self.step(op)?;
            if self.case.program.fanotify {
                self.quiet()?;
                self.steps.push(self.stdout.bytes().len());
            }
        }
        match end {
            End::Exit => self.wait("its exit", |run| run.ended()),
            End::Retry(op) => {
                // One-shot and quiet: nothing says that it is ready, so the step is done until
                // it is seen.
                self.wait("its exit, the step being repeated", |run| {
                    let _ = perform(&run.dir, op);
                    run.ended()
                })
            }
            End::Sentinel(name) => {
                let path = at(&self.dir, name);
                all_kinds(&path).map_err(|e| format!("sentinel {path:?}: {e}"))?;
                let name = bytes_of(Path::new(path.file_name().unwrap_or_default())).to_vec();
                self.wait("the sentinel", |run| run.ended() || run.printed(1, &name))?;
                self.signal(self.case.signal)
            }
            End::Quiet => {
                self.quiet()?;
                self.signal(self.case.signal)
            }
        }
    }

    /// True when it stands ready; false when it has ended instead.
    fn ready(&mut self, end: &End) -> Result<bool, String> {
        if matches!(end, End::Retry(_)) {
            return Ok(true);
        }
        if self.case.daemon {
            let (out, err) = (self.stdout.clone(), self.stderr.clone());
            self.wait("the parent's exit, and its output's end", |run| {
                run.child.try_wait().is_ok_and(|status| status.is_some()) && !out.is_open() && !err.is_open()
            })?;
            // It was made before its parent left: it is there, or has ended.
            match marked(&self.dir).first() {
                Some(daemon) => self.watcher = *daemon,
                None => return Ok(false),
            }
        }
        if let Some(probe) = &self.case.probe {
            // A new file each time, and none is removed: the reference gives up when a file
            // vanishes under its walk.
            let mut names = (0..).map(|i| [&probe[..], format!("{i}").as_bytes()].concat());
            self.wait("the probe's event", |run| {
                let name = names.next().unwrap_or_default();
                let _ = perform(&run.dir, &Op::Touch(name));
                run.ended() || run.printed(1, b".ready")
            })?;
        } else {
            let line: &[u8] = match self.case.program.tool {
                Tool::Wait => b"Watches established.\n",
                Tool::Watch => b"now collecting statistics.\n",
            };
            self.wait("readiness", |run| {
                run.ended() || contains(&run.stderr.bytes(), line) || contains(&run.stdout.bytes(), line)
            })?;
        }
        Ok(!self.ended())
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Watched(name) => {
                let path = at(&self.dir, name);
                let inode = fs::metadata(&path).map_err(|e| format!("{op:?}: {e}"))?.ino();
                self.wait("a watch", |run| run.ended() || watches(run.watcher).contains(&inode))
            }
            Op::WatchCount(count) => {
                self.wait("a number of watches", |run| run.ended() || watches(run.watcher).len() == *count)
            }
            Op::Until(times, bytes) => self.wait("output", |run| run.ended() || run.printed(*times, bytes)),
            Op::Quiet => self.quiet(),
            Op::Signal(number) => self.signal(Some(*number)),
            Op::CloseReader => {
                // Closed for the kernel, too: a child being made would go on holding it.
                let _none_made = DESCRIPTORS.read().unwrap();
                self.reader = None;
                Ok(())
            }
            Op::OpenClose(name, times) => {
                for start in (0..*times).step_by(BURST) {
                    let some = Op::OpenClose(name.clone(), BURST.min(times - start));
                    perform(&self.dir, &some).map_err(|e| format!("{op:?}: {e}"))?;
                    self.quiet()?;
                }
                Ok(())
            }
            op => perform(&self.dir, op).map_err(|e| format!("{op:?}: {e}")),
        }
    }

    fn signal(&mut self, signal: Option<i32>) -> Result<(), String> {
        if let Some(number) = signal {
            let signal = Signal::try_from(number).map_err(|e| e.to_string())?;
            if !self.ended() {
                let _ = kill(self.watcher, signal);
            }
        }
        Ok(())
    }

    /// Until every thread sleeps in the call in which it waits for events. Events are queued, and
    /// the sleeper woken, before the operation that caused them returns; so whoever is found
    /// asleep in poll after the last operation has read them all. Twice, with no context switch
    /// between, so that a pause of its own, of 2 ms at most, is not taken for that.
    fn quiet(&mut self) -> Result<(), String> {
        let mut before = None;
        self.wait("quiet", |run| {
            if run.ended() {
                return true;
            }
            let now = asleep(run.watcher);
            let same = now.is_some() && now == before;
            before = now;
            if !same {
                thread::sleep(2 * GLANCE);
            }
            same
        })
    }

    fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > BOUND {
                return Err(format!("waited {BOUND:?} for {what} in vain"));
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Whether the watcher has ended.
    fn ended(&mut self) -> bool {
        if self.watcher == pid_of(&self.child) {
            self.child.try_wait().is_ok_and(|status| status.is_some())
        } else {
            !marked(&self.dir).contains(&self.watcher)
        }
    }

    fn printed(&self, times: usize, bytes: &[u8]) -> bool {
        let output = match self.case.outfile {
            Some(file) => fs::read(self.dir.join(file)).unwrap_or_default(),
            None => self.stdout.bytes(),
        };
        count(&output, bytes) >= times
    }

    /// Waits for its end, by force if it is broken, and for all that it wrote.
    fn stop(&mut self, broken: bool) -> Option<ExitStatus> {
        if broken {
            let _ = kill(self.watcher, Signal::SIGKILL);
            let _ = self.child.kill();
        }
        if self.case.daemon {
            let _ = self.wait("the daemon's end", |run| marked(&run.dir).is_empty());
        }
        if self.wait("the end", |run| run.child.try_wait().is_ok_and(|s| s.is_some())).is_err() {
            let _ = self.child.kill();
        }
        self.reader = None;
        let (out, err) = (self.stdout.clone(), self.stderr.clone());
        let _ = self.wait("end of output", |_| !out.is_open() && !err.is_open());
        if let Some(socket) = &self.syslog {
            let mut message = [0; 4096];
            while let Ok(n) = socket.recv(&mut message) {
                self.syslog_seen.extend_from_slice(&message[..n]);
                self.syslog_seen.push(b'\n');
            }
            let _ = fs::remove_dir_all(self.dir.with_extension("dev"));
        }
        self.child.wait().ok()
    }

    fn outcome(&self, status: Option<ExitStatus>) -> Outcome {
        let status = match status.map(|s| (s.code(), s.signal())) {
            Some((Some(code), _)) => format!("exit {code}"),
            Some((_, Some(signal))) => format!("signal {signal}"),
            _ => String::from("unknown"),
        };
        let outfile = self.case.outfile.and_then(|name| {
            let path = self.dir.join(name);
            let mode = fs::metadata(&path).ok()?.mode() & 0o7777;
            Some((mode, self.tidy(&fs::read(&path).ok()?)))
        });
        Outcome {
            status,
            stdout: if self.case.program.fanotify { self.told() } else { self.tidy(&self.stdout.bytes()) },
            stderr: replace(&self.stderr.bytes(), bytes_of(&self.dir), b"{DIR}"),
            outfile,
            syslog: plain_syslog(&self.syslog_seen),
        }
    }

    /// What each step, and what came after the last, was answered with.
    fn told(&self) -> Vec<u8> {
        let output = self.stdout.bytes();
        let ends = self.steps.iter().copied().chain([output.len()]);
        let mut start = 0;
        let steps = ends.map(|end| {
            replace(&output[std::mem::replace(&mut start, end)..end], bytes_of(&self.dir), b"{DIR}")
        });
        fanotify::told(steps, &self.case.args)
    }

    /// The output without what differs from run to run by its nature.
    fn tidy(&self, output: &[u8]) -> Vec<u8> {
        let output = replace(output, bytes_of(&self.dir), b"{DIR}");
        if self.case.help {
            return help_shape(&output);
        }
        let output = if self.case.cookies { number_cookies(&output) } else { output };
        let sentinel = match &self.case.end {
            End::Sentinel(name) => name.rsplit(|&b| b == b'/').next().unwrap_or_default(),
            _ => b"",
        };
        let mut kept: Vec<&[u8]> = Vec::new();
        for record in output.split_inclusive(|&b| b == self.case.separator) {
            let ours = (!sentinel.is_empty() && contains(record, sentinel))
                || (self.case.probe.is_some() && contains(record, b".ready"));
            // The kernel merges an event into an identical last one that is not yet read.
            let repeated = kept.last() == Some(&record);
            if !ours && (!repeated || self.case.program.tool == Tool::Watch) {
                kept.push(record);
            }
        }
        kept.concat()
    }
}

/// Of a help text, what scripts read: the version line, without the version, and the names of
/// the events. The words are each program's own.
fn help_shape(output: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines();
    let mut shape = Vec::new();
    let first = lines.next().unwrap_or_default();
    let numbers: Vec<&str> = first.split([' ', '.']).collect();
    let four = numbers.len() == 5 && numbers[1..].iter().all(|n| n.parse::<u32>().is_ok());
    shape.push(format!("{} {}", numbers[0], if four { "A.B.C.D" } else { first }));
    let mut events = false;
    for line in lines {
        events |= line == "Events:";
        let name = line.strip_prefix('\t').unwrap_or(line);
        if events && !name.starts_with([' ', '\t']) {
            shape.push(name.split([' ', '\t']).next().unwrap_or_default().to_owned());
        }
    }
    shape.join("\n").into_bytes()
}

/// Each line's first field, up to `|`, as the number of its first appearance; 0 stays.
fn number_cookies(output: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(output);
    let mut seen = vec!["0"];
    let mut lines = String::new();
    for line in text.lines() {
        let (cookie, rest) = line.split_once('|').unwrap_or((line, ""));
        if !seen.contains(&cookie) {
            seen.push(cookie);
        }
        let number = seen.iter().position(|known| *known == cookie).unwrap_or_default();
        lines += &format!("cookie {number}|{rest}\n");
    }
    lines.into_bytes()
}

/// syslog's lines without the time and with the pid as `PID`.
fn plain_syslog(messages: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(messages);
    let mut lines = Vec::new();
    // Whether a message ends in a newline is lost in the log.
    for line in text.lines().filter(|line| !line.is_empty()) {
        // <30>Mmm dd hh:mm:ss identity[pid]: message
        let (priority, rest) = line.split_once('>').unwrap_or(("", line));
        let rest = rest.get(16..).unwrap_or(rest);
        let (head, message) = rest.split_once(": ").unwrap_or((rest, ""));
        let (identity, pid) = head.split_once('[').unwrap_or((head, ""));
        let pid = if pid.is_empty() { "" } else { "[PID]" };
        lines.push(format!("{priority}>{identity}{pid}: {message}\n"));
    }
    lines.concat().into_bytes()
}

/// The inodes that a process watches with inotify, from its descriptors' fdinfo.
fn watches(pid: Pid) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Vec::new();
    };
    let texts = descriptors.flatten().map(|entry| fs::read_to_string(entry.path()));
    let inode = |line: &str| {
        let field = line.strip_prefix("inotify wd:")?.split_once(" ino:")?.1;
        u64::from_str_radix(field.split(' ').next()?, 16).ok()
    };
    texts.flatten().flat_map(|text| text.lines().filter_map(inode).collect::<Vec<_>>()).collect()
}

/// The sum of all threads' context switches if each sleeps in a call that waits for events.
fn asleep(pid: Pid) -> Option<u64> {
    let mut switches = 0;
    let waiting_calls = waiting_calls(pid)?;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let of = |name: &str| fs::read_to_string(task.path().join(name)).ok();
        if let Some(call) = of("syscall") {
            let number = call.split(' ').next()?.parse::<libc::c_long>().ok()?;
            if !waiting_calls.contains(&number) {
                return None;
            }
        }
        let status = of("status")?;
        for line in status.lines() {
            if let Some(state) = line.strip_prefix("State:") {
                if !state.trim_start().starts_with('S') {
                    return None;
                }
            }
            if line.contains("ctxt_switches:") {
                switches += line.split_whitespace().last()?.parse::<u64>().ok()?;
            }
        }
    }
    Some(switches)
}

/// The numbers of the calls in which a process waits for events.
fn waiting_calls(pid: Pid) -> Option<Vec<libc::c_long>> {
    // The fifth byte of an ELF file is 1 if the program is a 32-bit one, whose calls have numbers of their own.
    let mut head = [0; 5];
    fs::File::open(format!("/proc/{pid}/exe")).ok()?.read_exact(&mut head).ok()?;
    if cfg!(target_arch = "x86_64") && head[4] == 1 {
        const READ: libc::c_long = 3;
        const POLL_AND_SELECT: [libc::c_long; 6] = [168, 309, 414, 142, 308, 413];
        const EPOLL_WAIT: [libc::c_long; 2] = [256, 319];
        const RT_SIGTIMEDWAIT: [libc::c_long; 2] = [177, 421];
        const FUTEX: [libc::c_long; 2] = [240, 422];
        return Some([&[READ][..], &POLL_AND_SELECT, &EPOLL_WAIT, &RT_SIGTIMEDWAIT, &FUTEX].concat());
    }
    let calls = vec![
        libc::SYS_read,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        libc::SYS_epoll_pwait,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_futex,
    ];
    #[cfg(target_arch = "x86_64")]
    let calls = [calls, vec![libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait]].concat();
    Some(calls)
}

/// The processes that carry this run's marker.
fn marked(dir: &Path) -> Vec<Pid> {
    let marker = [MARKER.as_bytes(), b"=", bytes_of(dir), b"\0"].concat();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| contains(&env, &marker)))
        .map(Pid::from_raw)
        .collect()
}

fn unmount_all(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mount).starts_with(dir) {
            let _ = umount2(mount, MntFlags::MNT_DETACH);
        }
    }
}

/// Every path below `dir`, with its mode: what a failed case left.
fn listing(dir: &Path) -> String {
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let mode = entry.metadata().map_or(0, |m| m.mode());
            let name = entry.path();
            let name = name.strip_prefix(dir).unwrap_or(&name);
            lines.push(format!("{mode:06o} {}", bytes_of(name).escape_ascii()));
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    lines.sort();
    lines.join("\n")
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Whether this process may do what only root may: /proc/self belongs to its effective user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

pub fn bytes_of(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(i) = rest.windows(from.len()).position(|window| window == from) {
        result.extend_from_slice(&rest[..i]);
        result.extend_from_slice(to);
        rest = &rest[i + from.len()..];
    }
    result.extend_from_slice(rest);
    result
}
