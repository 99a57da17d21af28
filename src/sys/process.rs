//! What a process has and waits for: signals, descriptors, its directory, its parent.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, setsid};

use super::descriptors::room;

/// Lets a write to a closed pipe end the process, as it ends any other program: the standard library's start, or the process
/// that started this one, may have had the signal ignored.
pub fn restore_sigpipe() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { signal::sigaction(Signal::SIGPIPE, &default) };
}

/// Ends the process as a write to a closed pipe would.
pub fn die_of_sigpipe() -> ! {
    restore_sigpipe();
    let _ = signal::raise(Signal::SIGPIPE);
    // Reached only where the signal is blocked: the status that a shell gives to it.
    process::exit(128 + Signal::SIGPIPE as i32)
}

/// Ends the process as a signal that [`Signals`] took would have.
pub fn die_of(signal: Signal) -> ! {
    let _ = signal::raise(signal);
    let _ = SigSet::from(signal).thread_unblock();
    // Reached only where the signal was ignored.
    process::exit(128 + signal as i32)
}

/// Stops the process, as SIGTSTP would have, until it is continued.
pub fn stop() {
    let _ = signal::raise(Signal::SIGSTOP);
}

/// Gives free memory back to the kernel: glibc keeps what lies below a block that is still in use.
pub fn return_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointer is passed, and only free memory is touched.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Signals that are read like a file rather than handled.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Takes the given signals from now on, also those that the process inherited as ignored: a blocked
    /// signal is never thrown away (signal(7)).
    pub fn take(wanted: &[Signal]) -> io::Result<Signals> {
        let set: SigSet = wanted.iter().copied().collect();
        set.thread_block()?;
        // A new directory is opened twice, after the one that it is in.
        const DIRECTORIES: usize = 3;
        if room(1 + DIRECTORIES) <= DIRECTORIES {
            close_stdin();
        }
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal that has arrived, if any. Never blocks.
    pub fn next(&self) -> Option<Signal> {
        let arrived = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(arrived.ssi_signo).ok()?).ok()
    }
}

/// Its descriptor is another file's.
static IS_STDIN_CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard input has been read, or is not needed: its descriptor is for another file.
fn close_stdin() {
    if !IS_STDIN_CLOSED.swap(true, Ordering::Relaxed) {
        // SAFETY: nothing else owns descriptor 0 before it was closed here, and nothing reads from it any more.
        drop(unsafe { OwnedFd::from_raw_fd(libc::STDIN_FILENO) });
    }
}

/// Whether a signal is ignored.
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed, and `action` has room for the answer.
    let known = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: zeroed, it is a valid value, whether or not the call has filled it in.
    known && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How many descriptors are tried where there is no list of those that are open: as many as a process usually may have.
const UNLISTED: RawFd = 1024;

/// The child's half of going into the background.
#[derive(Debug)]
pub struct Background {
    ready: OwnedFd,
}

impl Background {
    /// Forks. Returns in the child only; the parent waits until the child is [`ready`](Self::ready) and ends
    /// with status 0, or with the child's own if the child ends before.
    ///
    /// To be called while the process has one thread.
    pub fn fork() -> io::Result<Background> {
        let (reader, ready) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: the process has one thread, so the child may do anything that the parent may.
        match unsafe { fork() }? {
            ForkResult::Child => {
                setsid()?;
                Ok(Background { ready })
            }
            ForkResult::Parent { child } => {
                drop(ready);
                process::exit(await_child(&reader, child))
            }
        }
    }

    /// Lets go of what ties the process to where it was started, and tells the parent. `null` is [`null_device`].
    pub fn ready(self, null: OwnedFd) -> io::Result<()> {
        chdir("/")?;
        close_inherited();
        if !IS_STDIN_CLOSED.load(Ordering::Relaxed) {
            dup2_stdin(&null)?;
        }
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        nix::unistd::write(&self.ready, b"1")?;
        Ok(())
    }
}

/// The null device, open.
pub fn null_device() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Closes the descriptors above 2 that were open when the program started: a lock, a pipe or a mount of the caller's
/// would stay in use as long as the daemon runs. To be called when nothing is opened through them any more.
fn close_inherited() {
    // Whatever the program opens is closed on exec, and nothing inherited can be. Without /proc the numbers are tried.
    let numbers: Vec<RawFd> = match fs::read_dir("/proc/self/fd") {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
        }
        Err(_) => (0..UNLISTED).collect(),
    };
    for number in numbers.into_iter().filter(|number| *number > libc::STDERR_FILENO) {
        // SAFETY: the descriptor, if it is open, stays open during the call.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no object of the program owns it.
            unsafe { libc::close(number) };
        }
    }
}

fn await_child(reader: &OwnedFd, child: Pid) -> i32 {
    let mut word = [0];
    loop {
        match nix::unistd::read(reader, &mut word) {
            Ok(1) => return 0,
            Err(nix::errno::Errno::EINTR) => continue,
            _ => break,
        }
    }
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, status)) => status,
        _ => 1,
    }
}

/// The id of this process.
pub fn id() -> i32 {
    getpid().as_raw()
}

/// The current directory's path.
pub fn current_directory() -> io::Result<Vec<u8>> {
    Ok(std::env::current_dir()?.into_os_string().into_vec())
}

/// `path`, from `base` on if it is relative; as it is where `base` is empty.
pub fn absolute<'a>(base: &[u8], path: &'a [u8]) -> Cow<'a, [u8]> {
    match base.is_empty() || path.first() == Some(&b'/') {
        true => Cow::Borrowed(path),
        false => Cow::Owned([base, b"/", path].concat()),
    }
}

/// poll(2) until something happens or a deadline has passed.
pub fn wait_for(fds: &mut [PollFd], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up, so as not to wake before the time; poll's longest is 24 days.
                PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(fds, timeout) {
            Ok(0) if !has_passed(deadline) => continue,
            Err(Errno::EINTR) => continue,
            other => return Ok(other.map(drop)?),
        }
    }
}

/// The time so long after now; none where that is never, or too far away to be told.
pub fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Whether a deadline is over; none never is.
pub fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// The earlier of a deadline and the end of a pause that begins now.
pub fn earlier(deadline: Option<Instant>, pause: Duration) -> Option<Instant> {
    let end = Instant::now() + pause;
    Some(deadline.map_or(end, |deadline| deadline.min(end)))
}
