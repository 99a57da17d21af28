//! The two ways to tell another process that this one is ready: a descriptor that it gave us, and systemd's socket.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// An open file that the process inherited, by its number.
#[derive(Debug)]
pub struct Descriptor(OwnedFd);

impl Descriptor {
    /// The one of this number, if it is open for writing. Above stderr the descriptor itself is taken, and is closed
    /// with this. To be called before the process opens descriptors of its own.
    pub fn take(number: i32) -> Option<Descriptor> {
        if number < 0 {
            return None;
        }
        // SAFETY: the borrow ends with this function; a number that is not open is an error of fcntl.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).ok()?);
        if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY || flags.contains(OFlag::O_PATH) {
            return None;
        }
        if number <= libc::STDERR_FILENO {
            return fd.try_clone_to_owned().ok().map(Descriptor);
        }
        // SAFETY: it is open, and nothing else in the process knows of it.
        Some(Descriptor(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// Writes a few bytes, in one call, and closes it. That the reader is gone is an error, and no signal.
    pub fn write(self, bytes: &[u8]) -> io::Result<()> {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: no code of ours runs in a handler.
        let before = unsafe { sigaction(Signal::SIGPIPE, &ignore) }?;
        let written = loop {
            match nix::unistd::write(&self.0, bytes) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => break other,
            }
        };
        // SAFETY: as above; it is the action that was there before.
        unsafe { sigaction(Signal::SIGPIPE, &before) }?;
        Ok(written.map(drop)?)
    }
}

/// Sends a state to the service manager, as sd_notify(3) does. `socket` is a path, or `@` and an abstract name.
pub fn notify(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address).map(drop)
}
