//! Where records are written: stdout, whatever it is, or a file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::isatty;

use super::descriptors::room;
use super::directory;
use super::filesystem::is_anonymous_pipe;
use super::status::Status;

/// POSIX: a write of no more bytes than this to a pipe is not mixed with other writers'.
pub const PIPE_BUF: usize = libc::PIPE_BUF;

/// An open file that takes bytes without ever blocking for a slow reader.
#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    /// The same pipe or terminal opened again.
    own: Option<OwnedFd>,
    manner: Manner,
    /// A reader that closed will not come back: an anonymous pipe, a socket, a terminal.
    final_hangup: bool,
    file: Option<FileId>,
}

/// How to write without blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A regular file never blocks; or the open file is our own and non-blocking.
    Plain,
    /// One call at a time can be made non-blocking.
    Socket,
    /// The open file is shared with others, so its flags are not ours to change. With the first write an open file of our
    /// own takes its place: to open that takes a twentieth of a start.
    Shared,
    /// It is shared, and could not be opened again: ask first, and write no more than a pipe that says yes has room for.
    Ask,
    /// A FIFO that no process has opened for reading yet: a write would be the end by SIGPIPE.
    Unread,
}

impl Output {
    /// Stdout. If it was closed it is /dev/null; see [`start`](crate::sys::start).
    pub fn stdout() -> io::Result<Output> {
        // SAFETY: nothing else closes descriptor 1, and nothing else uses it once records are written.
        Output::shared(unsafe { OwnedFd::from_raw_fd(libc::STDOUT_FILENO) })
    }

    /// Any open file that others may have open, too, as stdout is.
    pub fn shared(shared: OwnedFd) -> io::Result<Output> {
        let status = Status::of(&shared)?;
        let manner = match status.kind() {
            SFlag::S_IFREG => Manner::Plain,
            SFlag::S_IFSOCK => Manner::Socket,
            _ => Manner::Shared,
        };
        let final_hangup = has_final_hangup(&shared, status.kind());
        Ok(Output::new(shared, manner, final_hangup, &status))
    }

    /// A file to append to, created with mode 0600. Never blocks for a FIFO's reader: until it has come,
    /// [`write`](Self::write) fails with ENXIO.
    pub fn append(path: &[u8]) -> io::Result<Output> {
        let path = OsStr::from_bytes(path);
        let (fd, manner) = match open_to_append(path) {
            Err(Errno::ENXIO) => (open_unread(path)?, Manner::Unread),
            opened => (opened?, Manner::Plain),
        };
        let status = Status::of(&fd)?;
        Ok(Output::new(fd, manner, false, &status))
    }

    fn new(fd: OwnedFd, manner: Manner, final_hangup: bool, status: &Status) -> Output {
        let file = (status.kind() == SFlag::S_IFREG).then(|| FileId(status.id()));
        Output { fd, own: None, manner, final_hangup, file }
    }

    /// Opens what is shared again: as an open file of our own it need not block.
    fn open_again(&mut self) {
        // Besides, with -r up to four directories are open at a time.
        if room(5) == 5 {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            self.own = open(link_of(&self.fd).as_str(), flags, Mode::empty()).ok();
        }
        self.manner = if self.own.is_some() { Manner::Plain } else { Manner::Ask };
    }

    /// Writes what can be written at once; returns the number of bytes. `WouldBlock` where that is none, ENXIO
    /// where a FIFO was never open for reading.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.manner {
                Manner::Shared => self.open_again(),
                Manner::Unread if self.has_reader() => self.manner = Manner::Plain,
                _ => {}
            }
            let written = match self.manner {
                Manner::Unread => Err(Errno::ENXIO),
                Manner::Plain => nix::unistd::write(self.as_fd(), bytes),
                Manner::Socket => send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT),
                Manner::Shared | Manner::Ask => {
                    let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut fds, PollTimeout::ZERO) {
                        Ok(0) => Err(Errno::EAGAIN),
                        Ok(_) => nix::unistd::write(&self.fd, &bytes[..bytes.len().min(PIPE_BUF)]),
                        Err(error) => Err(error),
                    }
                }
            };
            match written {
                Err(Errno::EINTR) => continue,
                other => return Ok(other?),
            }
        }
    }

    /// Where the open file is; `known` is where it was. `None` if it is not a regular file, or /proc cannot tell.
    pub fn location(&self, known: Option<Location>) -> Option<Location> {
        let file = self.file?;
        let link = readlink(format!("/proc/self/fd/{}", self.fd.as_raw_fd()).as_str()).ok()?.into_vec();
        if known.as_ref().is_some_and(|known| known.link == link) {
            return known;
        }
        let path = match link.strip_suffix(b" (deleted)") {
            Some(path) if !file.is_at(&link) => path,
            _ => &link,
        };
        let location = Location::by_path(path)?;
        Some(Location { link, ..location })
    }

    /// Whether a process has the pipe open for reading.
    fn has_reader(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        // POLLERR is reported unasked.
        poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }

    /// Whether poll(2) can tell that the reader has closed for good. It does so by POLLERR or POLLHUP.
    pub fn has_final_hangup(&self) -> bool {
        self.final_hangup
    }

    /// Whether it is a terminal, which control characters act on.
    pub fn is_terminal(&self) -> bool {
        isatty(&self.fd).unwrap_or(false)
    }

    /// Which regular file it is, if it is one: then its own writes may be among what is watched.
    pub fn file(&self) -> Option<FileId> {
        self.file
    }
}

/// Without waiting for anything, and without taking a terminal for the process's own.
fn open_to_append(path: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_CLOEXEC;
    // Beyond 2 GiB, also where off_t has 32 bits.
    let flags = flags | OFlag::O_LARGEFILE;
    open(path, flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Opens a FIFO that no process reads. That succeeds while it is open for reading here; then a reader's own open(2)
/// need not wait for a writer.
fn open_unread(path: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // A socket and a device that is not there fail here as before.
    let _reader = open(path, flags, Mode::empty())?;
    open_to_append(path)
}

/// Whether a reader that closed will not come back: that of an anonymous pipe, a socket, a terminal.
fn has_final_hangup(output: &OwnedFd, kind: SFlag) -> bool {
    // A named FIFO's reader may come back.
    match kind {
        SFlag::S_IFREG => false,
        SFlag::S_IFSOCK => true,
        SFlag::S_IFIFO => is_anonymous_pipe(output),
        _ => isatty(output).unwrap_or(false),
    }
}

fn link_of(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId((u64, u64));

impl FileId {
    /// The one at `path`.
    pub fn at(path: &[u8]) -> Option<FileId> {
        let status = directory::with_path(path, |path| Status::at(path, true)).ok()?;
        Some(FileId(status.id()))
    }

    /// Whether it is at `path`.
    pub fn is_at(self, path: &[u8]) -> bool {
        FileId::at(path) == Some(self)
    }
}

/// The place of an open file as its events name it: the directory and the entry, wherever they are, and also where the
/// entry was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// As /proc shows it.
    link: Vec<u8>,
    /// The directory.
    pub directory: FileId,
    /// The entry's name.
    pub name: Vec<u8>,
}

impl Location {
    /// Where this path leads, unless to a link.
    pub fn by_path(path: &[u8]) -> Option<Location> {
        let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = path.split_at(name_at);
        let directory = FileId::at(if directory.is_empty() { b"." } else { directory })?;
        Some(Location { link: path.to_vec(), directory, name: name.to_vec() })
    }

    /// Whether it is this entry of this directory.
    pub fn is_at(&self, directory: FileId, name: &[u8]) -> bool {
        self.directory == directory && self.name == name
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_ref().unwrap_or(&self.fd).as_fd()
    }
}
