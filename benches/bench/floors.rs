//! The floors: loops of the system calls that the work takes, and nothing else. Each is this executable called
//! again, so that its cost is measured as a program's is.

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::Duration;

use inotify_tools::internals::READING;
use inotify_tools::internals::directory::{self, Kind, Reader};
use inotify_tools::internals::inotify::{Inotify, RawEvent};
use inotify_tools::internals::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_ISDIR,
    IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, Mask,
};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstatat;
use nix::unistd::fchdir;

use crate::Result;
use crate::arrival_floor::follow;

/// The first argument of a call for a floor.
pub const FLOOR: &str = "floor";

/// How long events gather before the next read, when the last one brought more than [`HANDFUL`].
pub const PAUSE: Duration = Duration::from_millis(2);
/// See [`PAUSE`].
pub const HANDFUL: usize = 8;

/// Runs the floor that the arguments ask for; none where they ask for none.
pub fn called(arguments: &[OsString]) -> Option<Result<()>> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let rest = words.strip_prefix(&[FLOOR.as_bytes()])?;
    Some(match rest {
        [b"nothing"] => Ok(()),
        [b"events", top] => events(top),
        [b"walk", top] => walk(top, true),
        [b"read", top] => walk(top, false),
        [b"follow", top] => follow(top, true),
        [b"count", top] => follow(top, false),
        _ => Err("no such floor".into()),
    })
}

/// Everything but what the walk itself causes.
const QUIET: Mask = IN_ALL_EVENTS.without(READING);

/// Reads, formats (as the default does) and writes whole batches.
fn events(top: &[u8]) -> Result<()> {
    let inotify = Inotify::new()?;
    let mut paths = Vec::new();
    let mut watch = |path: &[u8]| -> Result<()> {
        let wd = usize::try_from(inotify.add_watch(&CString::new(path)?, IN_ALL_EVENTS)?.0)?;
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
                    line(&mut text, &paths, &event);
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

/// Appends the line of an event; `paths` are by watch.
pub fn line(text: &mut Vec<u8>, paths: &[Vec<u8>], event: &RawEvent) {
    text.extend_from_slice(paths.get(event.wd.0 as usize).map_or(b"", |path| path.as_slice()));
    text.extend_from_slice(words(event.mask));
    text.extend_from_slice(event.name);
    text.push(b'\n');
}

fn words(mask: Mask) -> &'static [u8] {
    let is_directory = mask.has(IN_ISDIR);
    match mask & !IN_ISDIR {
        IN_CREATE if is_directory => b" CREATE,ISDIR ",
        IN_OPEN if is_directory => b" OPEN,ISDIR ",
        IN_ACCESS if is_directory => b" ACCESS,ISDIR ",
        IN_CLOSE_NOWRITE if is_directory => b" CLOSE_NOWRITE,CLOSE,ISDIR ",
        IN_MOVED_FROM if is_directory => b" MOVED_FROM,ISDIR ",
        IN_MOVED_TO if is_directory => b" MOVED_TO,ISDIR ",
        IN_ATTRIB if is_directory => b" ATTRIB,ISDIR ",
        IN_CREATE => b" CREATE ",
        IN_OPEN => b" OPEN ",
        IN_MODIFY => b" MODIFY ",
        IN_ATTRIB => b" ATTRIB ",
        IN_CLOSE_WRITE => b" CLOSE_WRITE,CLOSE ",
        IN_DELETE => b" DELETE ",
        IN_MOVE_SELF => b" MOVE_SELF ",
        _ => b" ANOTHER ",
    }
}

/// Watches every directory below `top` from inside the one that it is in, and reads those that may have directories in them: one of no
/// length has nothing in it on btrfs, and where links are counted, as on tmpfs, one with two links has no directories in it.
fn walk(top: &[u8], counts_links: bool) -> Result<()> {
    let inotify = Inotify::new()?;
    inotify.add_watch(&CString::new(top)?, QUIET)?;
    visit(&inotify, &mut Reader::default(), &directory::open(top)?, counts_links)?;
    established()?;
    loop {
        thread::park();
    }
}

fn visit(inotify: &Inotify, reader: &mut Reader, directory: &OwnedFd, counts_links: bool) -> Result<()> {
    let mut below = Vec::new();
    reader.read(directory, |name, kind| {
        if kind == Kind::Directory {
            below.push(name.to_vec());
        }
    })?;
    fchdir(directory)?;
    let mut inner = Vec::new();
    for name in below {
        let name = CString::new(name)?;
        inotify.add_watch(&name, IN_ALL_EVENTS)?;
        let status = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_leaf = if counts_links { status.st_nlink == 2 } else { status.st_size == 0 };
        if !is_leaf {
            inner.push(name);
        }
    }
    for name in inner {
        let inner = directory::open_in(directory, name.as_bytes(), OFlag::O_DIRECTORY)?;
        visit(inotify, reader, &inner, counts_links)?;
    }
    fchdir(directory)?;
    inotify.add_watch(c".", IN_ALL_EVENTS)?;
    Ok(())
}

fn established() -> Result<()> {
    Ok(io::stderr().write_all(b"Watches established.\n")?)
}
