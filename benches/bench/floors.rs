//! The floors: loops of the system calls that the work takes, and nothing else. Each is this executable called
//! again, so that its cost is measured as a program's is.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use inotify_tools::internals::directory::{self, Kind, Reader};
use inotify_tools::internals::inotify::{Inotify, RawEvent};
use nix::errno::Errno;
use nix::libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_MODIFY, IN_OPEN,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Result;

/// The first argument of a call for a floor.
pub const FLOOR: &str = "floor";

/// How long events gather before the next read, when the last one brought more than [`HANDFUL`].
const PAUSE: Duration = Duration::from_millis(2);
const HANDFUL: usize = 8;

/// Runs the floor that the arguments ask for; none where they ask for none.
pub fn called(arguments: &[OsString]) -> Option<Result<()>> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let rest = words.strip_prefix(&[FLOOR.as_bytes()])?;
    Some(match rest {
        [b"nothing"] => Ok(()),
        [b"events", top] => events(top),
        [b"walk", top] => walk(top, 2),
        _ => Err("no such floor".into()),
    })
}

/// Everything but what the walk itself causes.
const QUIET: u32 = IN_ALL_EVENTS & !(IN_ACCESS | IN_OPEN | IN_CLOSE_NOWRITE);

/// Reads, formats (as the default does) and writes whole batches.
fn events(top: &[u8]) -> Result<()> {
    let inotify = Inotify::new()?;
    let mut paths = Vec::new();
    let mut watch = |path: &[u8]| -> Result<()> {
        let wd = usize::try_from(inotify.add_watch(&CString::new(path)?, IN_ALL_EVENTS)?)?;
        paths.resize(wd + 1, Vec::new());
        paths[wd] = [path, b"/"].concat();
        Ok(())
    };
    let mut below = Vec::new();
    let at = directory::open(top)?;
    Reader::default().read(&at, |name, _| below.push([top, b"/", name].concat()))?;
    drop(at);
    watch(top)?;
    below.iter().try_for_each(|path| watch(path))?;
    established()?;

    let mut stdout = io::stdout().lock();
    let (mut buffer, mut text) = (vec![0; 1 << 20], Vec::new());
    loop {
        match nix::unistd::read(&inotify, &mut buffer) {
            Err(Errno::EAGAIN) => {
                poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
            }
            length => {
                let mut bytes = &buffer[..length?];
                let mut count = 0;
                while let Some((event, length)) = RawEvent::decode(bytes) {
                    text.extend_from_slice(paths.get(event.wd as usize).map_or(b"", |path| path.as_slice()));
                    text.extend_from_slice(words(event.mask));
                    text.extend_from_slice(event.name);
                    text.push(b'\n');
                    bytes = &bytes[length..];
                    count += 1;
                }
                // Whole lines go through its buffer untouched.
                stdout.write_all(&text)?;
                text.clear();
                if count > HANDFUL {
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

fn words(mask: u32) -> &'static [u8] {
    match mask {
        IN_CREATE => b" CREATE ",
        IN_OPEN => b" OPEN ",
        IN_MODIFY => b" MODIFY ",
        IN_CLOSE_WRITE => b" CLOSE_WRITE,CLOSE ",
        IN_DELETE => b" DELETE ",
        _ => b" ANOTHER ",
    }
}

/// Directories that are found and not read yet, and the number of threads that may find more.
struct Found {
    paths: Vec<Vec<u8>>,
    busy: usize,
}

/// Watches and reads every directory below `top`, in threads that share what they find.
fn walk(top: &[u8], threads: usize) -> Result<()> {
    let inotify = Inotify::new()?;
    let found = Mutex::new(Found { paths: vec![top.to_vec()], busy: 0 });
    let more = Condvar::new();
    let work = || -> Result<()> {
        let mut reader = Reader::default();
        while let Some(path) = take(&found, &more) {
            let mut below = Vec::new();
            let done = read(&inotify, &mut reader, &path, &mut below);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.paths.append(&mut below);
            found.busy -= 1;
            more.notify_all();
            done?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work()?;
        others.into_iter().try_for_each(|other| other.join().map_err(|_| "a thread ended early")?)
    })?;
    established()?;
    loop {
        thread::park();
    }
}

/// Watches a directory, and appends those in it.
fn read(inotify: &Inotify, reader: &mut Reader, path: &[u8], below: &mut Vec<Vec<u8>>) -> Result<()> {
    inotify.add_watch(&CString::new(path)?, QUIET)?;
    reader.read(&directory::open(path)?, |name, kind| {
        if kind == Kind::Directory {
            below.push([path, b"/", name].concat());
        }
    })?;
    Ok(())
}

/// The next directory; none when there can be no more.
fn take(found: &Mutex<Found>, more: &Condvar) -> Option<Vec<u8>> {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(path) = found.paths.pop() {
            found.busy += 1;
            return Some(path);
        }
        if found.busy == 0 {
            return None;
        }
        found = more.wait(found).unwrap_or_else(PoisonError::into_inner);
    }
}

fn established() -> Result<()> {
    Ok(io::stderr().write_all(b"Watches established.\n")?)
}
