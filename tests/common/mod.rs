//! What the tests that run the programs share: a process that is watched while it runs, with a
//! bound on every wait, and that shows all there is to see when something does not come true.

// No test uses all of it; what cannot be had here makes a test fail, and panicking is how.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::PtyMaster;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use tempfile::TempDir;

/// Nothing takes longer than this unless it is broken.
pub const BOUND: Duration = Duration::from_secs(20);
/// Between two looks at something that only a look can tell.
const GLANCE: Duration = Duration::from_millis(2);
/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// Whether `tool`, a command or the absolute path of a file, is there. A test that lacks it returns at once and
/// counts as skipped; in CI it fails.
pub fn need(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An absolute path stays itself when it is joined.
    std::env::split_paths(&path).any(|at| at.join(tool).exists()) || skip(&format!("{tool} is not installed"))
}

/// Says that the running test is skipped; always `false`.
pub fn skip(reason: &str) -> bool {
    let line = format!("SKIPPED: {}: {reason}\n", thread::current().name().unwrap_or("a test"));
    assert!(std::env::var_os("CI").is_none(), "{line}");
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(list) = std::env::var_os("SKIPPED_TESTS") {
        let mut list = fs::File::options().append(true).create(true).open(list).unwrap();
        list.write_all(line.as_bytes()).unwrap();
    }
    false
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    // /proc/self belongs to the effective user.
    fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0)
}

/// Whether the test can be run as root.
pub fn need_root() -> bool {
    is_root() || skip("not root")
}

/// A directory of the test's own, open to every user.
pub fn tempdir() -> TempDir {
    open_to_all(tempfile::tempdir().unwrap())
}

/// The same where files are made fastest, for tests that make thousands.
pub fn fast_tempdir() -> TempDir {
    open_to_all(tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()))
}

/// A file system of the test's own, which only it and what it starts can see: others' are busy, and whoever watches
/// a whole one hears of that, and never sleeps.
pub struct Own(TempDir);

impl Own {
    /// `None`, and a word, where it cannot be had.
    pub fn new() -> Option<Own> {
        if !need_root() {
            return None;
        }
        let dir = fast_tempdir();
        let mounted = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| {
                mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            })
            .and_then(|()| mount_tmpfs(dir.path()));
        let mounted = mounted.map_err(|error| skip(&format!("no tmpfs can be mounted: {error}")));
        mounted.is_ok().then_some(Own(dir))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

/// Mounts an empty file system.
pub fn mount_tmpfs(at: &Path) -> nix::Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>)
}

/// Mounts a directory or file at another place.
pub fn mount_bind(from: &Path, at: &Path) -> nix::Result<()> {
    mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

fn open_to_all(dir: TempDir) -> TempDir {
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

/// How many events the kernel keeps for one that does not read.
pub fn queue_limit() -> usize {
    fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap()
}

/// The programs inherit which signals are ignored: those that nohup(1) and a shell's `&` ignore act by default from now on.
#[allow(unsafe_code)]
fn restore_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: the default action runs no code of ours.
            unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
        }
    });
}

/// The path of one of the two programs.
pub fn binary(tool: &str) -> &'static str {
    restore_signals();
    match tool {
        "inotifywait" => env!("CARGO_BIN_EXE_inotifywait"),
        "inotifywatch" => env!("CARGO_BIN_EXE_inotifywatch"),
        other => panic!("no program {other}"),
    }
}

/// `inotifywait` with arguments, to be started in `dir`.
pub fn inotifywait<A: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    command(dir, binary("inotifywait"), arguments)
}

/// `inotifywatch` with arguments, to be started in `dir`.
pub fn inotifywatch<A: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    command(dir, binary("inotifywatch"), arguments)
}

/// Any program, with nothing on stdin and stdout and stderr collected unless the caller wants it otherwise.
pub fn command<A: AsRef<OsStr>>(
    dir: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env("LC_ALL", "C").env_remove("POSIXLY_CORRECT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `sh -c script`, in which `"$@"` is a program and its arguments.
pub fn wrapped<A: AsRef<OsStr>>(
    dir: &Path,
    script: &str,
    tool: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = command(dir, "sh", ["-c", script, "sh", binary(tool)]);
    command.args(arguments);
    command
}

/// inotifywait under strace(1), ready, and the file in `dir` with its system calls, for [`calls`].
pub fn traced<A: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = A>) -> (Running, PathBuf) {
    let log = dir.join("calls");
    let script = format!("exec strace -D -q -o {} \"$@\"", log.display());
    let mut run = Running::ready(wrapped(dir, &script, "inotifywait", arguments));
    run.wait_asleep();
    (run, log)
}

/// The system calls so far. A debug build asks before each close(2) whether the descriptor is open: that does not count.
pub fn calls(log: &Path) -> Vec<String> {
    lines(&fs::read(log).unwrap()).into_iter().filter(|line| !line.contains("fcntl(")).collect()
}

/// `tool` with arguments as an ordinary user, also where the test is root's. `dir` gets a copy of the
/// program, which may stand where others cannot read.
pub fn as_nobody<A: AsRef<OsStr>>(dir: &Path, tool: &str, arguments: impl IntoIterator<Item = A>) -> Command {
    let copy = dir.join(tool);
    if !copy.exists() {
        // By another process: a descriptor open for writing here is inherited, for a moment, by what another
        // test starts, and then the copy cannot be run (ETXTBSY).
        assert!(Command::new("cp").arg(binary(tool)).arg(&copy).status().unwrap().success());
    }
    let mut command = command(dir, copy.to_str().unwrap(), arguments);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Waits until `done`; `false` when it takes too long.
pub fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > BOUND {
            return false;
        }
        thread::sleep(GLANCE);
    }
    true
}

/// What can be read, and waited for.
trait Stream: Read + AsFd + Send {}

impl<S: Read + AsFd + Send> Stream for S {}

/// A stream's contents so far, read by a thread and by whoever asks for them.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    /// Until it ends.
    stream: Option<Box<dyn Stream>>,
}

impl Taken {
    /// Reads what is there, and no more than a mebibyte: more than a pipe holds.
    fn read(&mut self) {
        let end = self.bytes.len() + (1 << 20);
        let mut chunk = vec![0; 64 * 1024];
        while let Some(stream) = self.stream.as_mut().filter(|_| self.bytes.len() < end) {
            if !waits(stream.as_fd(), PollTimeout::ZERO) {
                break;
            }
            match stream.read(&mut chunk) {
                Ok(length) if length > 0 => self.bytes.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => self.stream = None,
            }
        }
    }
}

/// Whether there is something to read, or the end.
fn waits(stream: BorrowedFd, timeout: PollTimeout) -> bool {
    poll(&mut [PollFd::new(stream, PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
}

impl Collected {
    /// Reads to the end, or until reading fails (EIO: the end of a terminal).
    pub fn from(stream: impl Read + AsFd + Send + 'static) -> Collected {
        let another = stream.as_fd().try_clone_to_owned().unwrap();
        let taken = Taken { stream: Some(Box::new(stream)), ..Taken::default() };
        let collected = Collected(Arc::new(Mutex::new(taken)));
        let ours = collected.clone();
        thread::spawn(move || {
            while ours.is_open() {
                waits(another.as_fd(), PollTimeout::NONE);
                ours.0.lock().unwrap().read();
            }
        });
        collected
    }

    /// All that was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        let mut taken = self.0.lock().unwrap();
        taken.read();
        taken.bytes.clone()
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        self.0.lock().unwrap().stream.is_some()
    }

    /// The whole lines that came so far, without their ends.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.bytes())
    }

    fn contains(&self, part: &str) -> bool {
        contains(&self.bytes(), part.as_bytes())
    }
}

/// A process that runs. It is killed, and its process group with it, when this goes out of scope.
pub struct Running {
    child: Child,
    /// What was started, for a person.
    shown: String,
    dir: PathBuf,
    /// What it printed; empty where the test gave it a stdout of its own.
    pub stdout: Collected,
    /// What it said.
    pub stderr: Collected,
    /// Its stdin, where that is a pipe.
    pub stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts a command, in a process group of its own.
    pub fn start(mut command: Command) -> Running {
        let dir = command.get_current_dir().unwrap_or(Path::new(".")).to_path_buf();
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let mut shown =
            words.map(|word| word.as_bytes().escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
        if shown.len() > 2000 {
            shown = format!("{}…", shown.chars().take(2000).collect::<String>());
        }
        let mut child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        // With it go the test's copies of the descriptors that it was given.
        drop(command);
        let stdout = child.stdout.take().map(Collected::from).unwrap_or_default();
        let stderr = child.stderr.take().map(Collected::from).unwrap_or_default();
        let stdin = child.stdin.take();
        Running { child, shown, dir, stdout, stderr, stdin }
    }

    /// Starts a command and waits until its watches stand.
    #[track_caller]
    pub fn ready(command: Command) -> Running {
        let mut running = Running::start(command);
        running.wait_ready();
        running
    }

    /// Waits until it says that its watches stand.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        const LINES: [&str; 2] = ["Watches established.\n", "now collecting statistics.\n"];
        self.wait("readiness", |run| {
            LINES.iter().any(|line| run.stderr.contains(line) || run.stdout.contains(line))
        });
    }

    /// Waits for a whole line on stdout.
    #[track_caller]
    pub fn expect_line(&mut self, line: &str) {
        self.wait(&format!("the line {line:?}"), |run| run.stdout.lines().iter().any(|found| found == line));
    }

    /// Waits until what was printed so far is as wanted.
    #[track_caller]
    pub fn expect(&mut self, what: &str, mut wanted: impl FnMut(&[String]) -> bool) {
        self.wait(what, |run| wanted(&run.stdout.lines()));
    }

    /// Waits for words on stderr.
    #[track_caller]
    pub fn expect_message(&mut self, part: &str) {
        self.wait(&format!("the message {part:?}"), |run| run.stderr.contains(part));
    }

    /// Waits for anything; its end before that fails the test.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Running) -> bool) {
        let mut ended = false;
        let waited = wait_until(|| {
            // In this order: what it did last counts.
            let over = self.has_ended() && !self.stdout.is_open() && !self.stderr.is_open();
            let good = done(self);
            ended = over && !good;
            good || over
        });
        if ended {
            self.fail(&format!("it ended before {what}"));
        }
        if !waited {
            self.fail(&format!("waited {BOUND:?} for {what} in vain"));
        }
    }

    /// Waits until it sleeps with nothing left to read: events are queued, and a sleeper is woken, before the
    /// call that caused them returns, so who is asleep in poll(2) has read them all. Seen twice, with no switch
    /// between, lest a pause be taken for that.
    #[track_caller]
    pub fn wait_asleep(&mut self) {
        let mut before = None;
        self.wait("its sleep", |run| {
            let now = sleep_of(run.pid());
            let same = now.is_some() && now == before;
            before = now;
            if !same {
                thread::sleep(4 * GLANCE);
            }
            same
        });
    }

    /// How many watches it has, as the kernel counts them.
    pub fn watches(&self) -> usize {
        let infos = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).unwrap().flatten();
        let texts = infos.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        texts.map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
    }

    /// A field of its /proc/PID/status that is in KiB, such as `VmRSS:`.
    pub fn memory(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Stops it for as long as something happens.
    #[track_caller]
    pub fn stopped(&mut self, happens: impl FnOnce()) {
        self.signal(Signal::SIGSTOP);
        let status = format!("/proc/{}/status", self.pid());
        // In lower case where it is traced.
        let is_stopped = |status: String| status.contains("State:\tT") || status.contains("State:\tt");
        let stops = || fs::read_to_string(&status).is_ok_and(is_stopped);
        assert!(wait_until(stops), "it does not stop");
        happens();
        self.signal(Signal::SIGCONT);
    }

    /// Sends a signal to it and all that it started.
    pub fn signal_all(&self, signal: Signal) {
        killpg(self.pid(), signal).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it ends by itself and all who have its streams have closed them.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        drop(self.stdin.take());
        if !wait_until(|| self.has_ended() && !self.stdout.is_open() && !self.stderr.is_open()) {
            self.fail(&format!("waited {BOUND:?} for its end in vain"));
        }
        Ended {
            status: self.child.wait().unwrap(),
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
            shown: self.shown.clone(),
            dir: self.dir.clone(),
        }
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.finish()
    }

    /// Fails the test with all there is to see.
    #[track_caller]
    pub fn fail(&mut self, why: &str) -> ! {
        let status = self.child.try_wait().unwrap();
        let status = status.map_or("still running".to_owned(), |status| status.to_string());
        panic!("{}", report(why, &self.shown, &self.dir, &status, &self.stdout.bytes(), &self.stderr.bytes()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: Vec<u8>,
    shown: String,
    dir: PathBuf,
}

impl Ended {
    /// It exited with this status.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Ended {
        self.check(&format!("exit status {code}"), self.status.code() == Some(code))
    }

    /// It was killed by this signal.
    #[track_caller]
    pub fn killed_by(&self, signal: Signal) -> &Ended {
        self.check(&format!("death by {signal}"), self.status.signal() == Some(signal as i32))
    }

    /// It printed this.
    #[track_caller]
    pub fn printed(&self, text: impl AsRef<[u8]>) -> &Ended {
        let text = text.as_ref();
        self.check(&format!("on stdout {:?}", text.escape_ascii().to_string()), self.stdout == text)
    }

    /// It said this.
    #[track_caller]
    pub fn said(&self, text: impl AsRef<[u8]>) -> &Ended {
        let text = text.as_ref();
        self.check(&format!("on stderr {:?}", text.escape_ascii().to_string()), self.stderr == text)
    }

    /// Its whole lines on stdout.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.stdout)
    }

    /// Fails the test, with all there is to see, unless something holds.
    #[track_caller]
    pub fn check(&self, wanted: &str, holds: bool) -> &Ended {
        let status = self.status.to_string();
        let shown = || report(wanted, &self.shown, &self.dir, &status, &self.stdout, &self.stderr);
        assert!(holds, "wanted: {}", shown());
        self
    }
}

fn report(why: &str, shown: &str, dir: &Path, status: &str, stdout: &[u8], stderr: &[u8]) -> String {
    format!(
        "{why}\ncommand: {shown}\nstatus: {status}\ndirectory {}:\n{}\nstdout:\n{}\nstderr:\n{}\n",
        dir.display(),
        listing(dir),
        some(stdout),
        some(stderr)
    )
}

/// What a person can read of bytes, not all of it where it is much.
fn some(bytes: &[u8]) -> String {
    const MUCH: usize = 8000;
    let skipped = bytes.len().saturating_sub(MUCH);
    let text = String::from_utf8_lossy(&bytes[skipped..]).into_owned();
    if skipped > 0 { format!("[{skipped} bytes before]\n{text}") } else { text }
}

/// Paths below `dir` with their modes.
fn listing(dir: &Path) -> String {
    const MANY: usize = 60;
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(at) = pending.pop().filter(|_| found.len() < MANY) {
        for entry in fs::read_dir(at).into_iter().flatten().flatten().take(MANY) {
            let path = entry.path();
            let mode = entry.metadata().map_or(0, |status| status.mode());
            let name = path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_bytes().escape_ascii();
            found.push(format!("  {mode:06o} {name}"));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            }
        }
    }
    found.sort();
    found.join("\n")
}

/// The number of times that a process has gone to sleep, if it sleeps in poll(2) now, or in select(2) as the
/// reference does.
pub fn sleep_of(pid: Pid) -> Option<u64> {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let number: libc::c_long = call.split(' ').next()?.parse().ok()?;
    // What poll(2) is called after a stop.
    const RESTARTED: libc::c_long = libc::SYS_restart_syscall;
    #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
    let polls = [libc::SYS_poll, libc::SYS_ppoll, libc::SYS_pselect6, RESTARTED];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm")))]
    let polls = [libc::SYS_ppoll, libc::SYS_pselect6, RESTARTED];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if !polls.contains(&number) || !field("State:")?.starts_with('S') {
        return None;
    }
    field("voluntary_ctxt_switches:")?.parse().ok()
}

/// The whole lines of a text.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What follows the last newline is no whole line.
    lines.pop();
    lines.into_iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Whether `part` stands somewhere in `bytes`.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Creates `count` empty files `PREFIX0`, `PREFIX1`, … in `dir`.
pub fn create_files(dir: &Path, prefix: &str, range: std::ops::Range<usize>) {
    for number in range {
        fs::File::create(dir.join(format!("{prefix}{number}"))).unwrap();
    }
}

/// Lets more happen in a directory than the kernel's queue holds, for one who hears of what is created and deleted,
/// and leaves nothing there.
pub fn flood(dir: &Path) {
    for number in 0..=queue_limit() / 2 {
        // No two alike, which would be one for the kernel.
        let path = dir.join(format!("f{}", number % 500));
        fs::File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
    }
}

/// Makes directories of 255 bytes' names one in the other, `depth` of them, whatever the length of the path;
/// returns a name and a descriptor of the innermost.
pub fn deep_directory(top: &Path, depth: usize) -> (Vec<u8>, std::os::fd::OwnedFd) {
    use nix::fcntl::{OFlag, open, openat};
    use nix::sys::stat::{Mode, mkdirat};
    let name = vec![b'n'; 255];
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at = open(top, flags, Mode::empty()).unwrap();
    let mut path = Vec::new();
    for _ in 0..depth {
        mkdirat(&at, &name[..], Mode::S_IRWXU).unwrap();
        at = openat(&at, &name[..], flags, Mode::empty()).unwrap();
        path.extend_from_slice(&name);
        path.push(b'/');
    }
    (path, at)
}

/// A pipe that no other process inherits; the reading end first.
pub fn pipe() -> (fs::File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    (fs::File::from(reader), writer)
}

/// A new terminal: the end that reads what a program prints there, and the one that the program is given.
pub fn terminal() -> (PtyMaster, OwnedFd) {
    // Not openpty(3), whose descriptors are inherited, also by what another test starts.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).unwrap();
    nix::pty::grantpt(&master).unwrap();
    nix::pty::unlockpt(&master).unwrap();
    let name = nix::pty::ptsname_r(&master).unwrap();
    (master, nix::fcntl::open(name.as_str(), flags, Mode::empty()).unwrap())
}

/// Lets two entries of any kind change places.
pub fn exchange(one: &Path, other: &Path) -> nix::Result<()> {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
}

/// A file of the repository.
pub fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A command that is killed, with what it has started, after 30 seconds.
pub fn bounded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "30"]).arg(program);
    command
}

/// Runs a command; returns what it printed and its status, and all of it as text for a message.
pub fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = format!(
        "{command:?}\n{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, text)
}

/// The cookies at the end of lines, numbered in the order in which they come: 1, 2, …
pub fn with_small_cookies(lines: Vec<String>, separator: char) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let number = |line: String| {
        let Some((rest, cookie)) = line.rsplit_once(separator).filter(|(_, cookie)| *cookie != "0") else {
            return line;
        };
        let at = seen.iter().position(|known| known == cookie).unwrap_or_else(|| {
            seen.push(cookie.into());
            seen.len() - 1
        });
        format!("{rest}{separator}{}", at + 1)
    };
    lines.into_iter().map(number).collect()
}
