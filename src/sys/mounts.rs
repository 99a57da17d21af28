//! What is mounted where: /proc/self/mountinfo, as proc_pid_mountinfo(5) describes it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::sys::descriptors::room;

/// Where the kernel tells it.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Looks out for changes of what is mounted, besides other descriptors' readiness: fanotify tells of no unmount.
#[derive(Debug)]
pub struct Lookout {
    /// Readable when one of the others is, or after a change.
    epoll: Epoll,
    /// An open mountinfo has an exceptional condition once after each change, which whoever asks first takes away:
    /// so one is for waiting, the other for asking. Without /proc nothing is looked out for.
    files: Option<[File; 2]>,
}

/// How many files can be opened beside those of a [`Lookout`], at least.
const LEFT: usize = 3;

impl Lookout {
    /// Beside the readiness of these.
    pub fn new(others: &[BorrowedFd]) -> io::Result<Lookout> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let open = || Ok::<_, io::Error>([File::open(MOUNTINFO)?, File::open(MOUNTINFO)?]);
        // Without it mounts are missed; without descriptors that are left, everything.
        let files = open().ok().filter(|_| room(LEFT) == LEFT);
        let lookout = Lookout { epoll, files };
        for other in others {
            lookout.add(*other)?;
        }
        if let Some([waiting, _]) = &lookout.files {
            let change = EpollFlags::EPOLLPRI | EpollFlags::EPOLLERR;
            lookout.epoll.add(waiting, EpollEvent::new(change, 0))?;
        }
        Ok(lookout)
    }

    /// Beside the readiness of one more, until that is closed.
    pub fn add(&self, other: BorrowedFd) -> io::Result<()> {
        Ok(self.epoll.add(other, EpollEvent::new(EpollFlags::EPOLLIN, 0))?)
    }

    /// Whether what is mounted has changed since this was asked last.
    pub fn has_changed(&self) -> bool {
        let Some([_, asking]) = &self.files else { return false };
        let mut fds = [PollFd::new(asking.as_fd(), PollFlags::POLLPRI)];
        let found = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        found
            && fds[0].revents().is_some_and(|found| found.intersects(PollFlags::POLLPRI | PollFlags::POLLERR))
    }
}

impl AsFd for Lookout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// The table, opened to wait for its changes.
pub fn open() -> io::Result<File> {
    File::open(MOUNTINFO)
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Its number.
    pub id: Vec<u8>,
    /// The device of its file system, `major:minor`.
    pub device: Vec<u8>,
    /// The directory of its file system that it shows, by its path there.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub point: Vec<u8>,
    /// The file system's type.
    pub kind: Vec<u8>,
}

impl Mount {
    /// Whether both are one mount, wherever it is mounted by now. The number of one that is gone may be given again.
    pub fn is(&self, other: &Mount) -> bool {
        self.id == other.id && self.device == other.device
    }

    /// Where this mount shows the directory that is the root of another one, if it does.
    pub fn shows(&self, other: &Mount) -> Option<Vec<u8>> {
        if self.device != other.device || !is_below(&other.root, &self.root) {
            return None;
        }
        let top = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let point = self.point.strip_suffix(b"/").unwrap_or(&self.point);
        let below = other.root.get(top.len()..)?;
        let path = [point, below.strip_suffix(b"/").unwrap_or(below)].concat();
        Some(if path.is_empty() { b"/".to_vec() } else { path })
    }
}

/// All mounts that this process can see, in the order in which they were mounted.
pub fn all() -> io::Result<Vec<Mount>> {
    all_in(&open()?)
}

/// The same by the table that was opened, as it is now.
pub fn all_in(table: &File) -> io::Result<Vec<Mount>> {
    // What the kernel returns at a time, at most.
    const PAGE: usize = 4096;
    let (mut text, mut length) = (Vec::new(), 0);
    loop {
        text.resize(length + PAGE, 0);
        match table.read_at(&mut text[length..], length as u64)? {
            0 => return Ok(text[..length].split(|byte| *byte == b'\n').filter_map(parse).collect()),
            more => length += more,
        }
    }
}

/// The mount that an absolute path is in, if its directories are what they seem.
pub fn of(path: &[u8]) -> Option<Mount> {
    let mounts = all().ok()?.into_iter().filter(|mount| is_below(path, &mount.point));
    // Of those on one place the last hides the others.
    mounts.max_by_key(|mount| mount.point.len())
}

/// Whether an absolute path is `top` or below it.
pub fn is_below(path: &[u8], top: &[u8]) -> bool {
    let top = top.strip_suffix(b"/").unwrap_or(top);
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let id = words.next()?.to_vec();
    let device = words.nth(1)?.to_vec();
    let root = unescape(words.next()?);
    let point = unescape(words.next()?);
    let kind = unescape(words.skip_while(|word| *word != b"-").nth(1)?);
    Some(Mount { id, device, root, point, kind })
}

/// Undoes the kernel's `\ooo` for spaces, tabs, newlines and backslashes.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = |digits: &[u8; 3]| {
            digits.iter().try_fold(0u32, |value, digit| Some(value * 8 + char::from(*digit).to_digit(8)?))
        };
        let escaped = after.first_chunk::<3>().filter(|_| byte == b'\\').and_then(octal);
        match escaped.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => {
                text.push(value);
                rest = &after[3..];
            }
            None => {
                text.push(byte);
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes_and_optional_fields() {
        let line =
            b"36 35 98:0 /a\\040b /mnt\\134\\040\\012c rw,noatime master:1 shared:2 - ext3 /dev/root rw";
        let mount = Mount {
            id: b"36".to_vec(),
            device: b"98:0".to_vec(),
            root: b"/a b".to_vec(),
            point: b"/mnt\\ \nc".to_vec(),
            kind: b"ext3".to_vec(),
        };
        assert_eq!(parse(line), Some(mount.clone()));
        assert_eq!(parse(b"36 35 98:0 / /mnt rw - xfs x rw").map(|mount| mount.kind), Some(b"xfs".to_vec()));
        for end in 0..line.len() {
            let _ = parse(&line[..end]);
        }
    }

    #[test]
    fn a_mount_shows_what_is_below_its_root() {
        let mount = |root: &str, point: &str| {
            parse(format!("1 2 3:4 {root} {point} rw - xfs x rw").as_bytes()).unwrap()
        };
        let shows = |shown: &Mount, root| shown.shows(&mount(root, "/elsewhere"));
        let whole = mount("/", "/");
        assert_eq!(shows(&whole, "/a/b"), Some(b"/a/b".to_vec()));
        assert_eq!(shows(&mount("/", "/mnt"), "/a"), Some(b"/mnt/a".to_vec()));
        assert_eq!(shows(&mount("/", "/mnt"), "/"), Some(b"/mnt".to_vec()));
        assert_eq!(shows(&mount("/a", "/mnt"), "/a"), Some(b"/mnt".to_vec()));
        assert_eq!(shows(&mount("/a", "/mnt"), "/a/b/c"), Some(b"/mnt/b/c".to_vec()));
        assert_eq!(shows(&mount("/a", "/mnt"), "/ab"), None);
        assert_eq!(shows(&mount("/a/b", "/mnt"), "/a"), None);
    }

    #[test]
    fn below_ends_at_a_slash() {
        assert!(is_below(b"/a/b", b"/a") && is_below(b"/a", b"/a") && is_below(b"/a", b"/"));
        assert!(!is_below(b"/ab", b"/a") && !is_below(b"/", b"/a"));
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(of(b"/").is_some_and(|mount| mount.point == b"/"));
    }
}
