//! What the reader of an output has not read yet.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::stat::SFlag;

use super::check;
use super::status::Status;

/// The number of bytes that wait in a pipe, or in a stream socket, for the process at its other end; 0 for anything
/// else. For a socket the kernel also counts what it needs to keep them.
pub fn unread(output: BorrowedFd) -> io::Result<usize> {
    let request = match Status::of(output)?.kind() {
        SFlag::S_IFIFO => libc::FIONREAD,
        // SIOCOUTQ of <linux/sockios.h>, which has the number of this.
        SFlag::S_IFSOCK => libc::TIOCOUTQ,
        _ => return Ok(0),
    };
    let mut count: libc::c_int = 0;
    // SAFETY: both requests write one int, to a place that lives longer than the call.
    check(unsafe { libc::ioctl(output.as_raw_fd(), request, &mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn counts(mut writer: impl Write + AsFd, mut reader: impl Read) {
        assert_eq!(unread(writer.as_fd()).unwrap(), 0);
        writer.write_all(b"text").unwrap();
        assert!(unread(writer.as_fd()).unwrap() >= 4);
        reader.read_exact(&mut [0; 3]).unwrap();
        assert!(unread(writer.as_fd()).unwrap() >= 1);
        reader.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(unread(writer.as_fd()).unwrap(), 0);
    }

    #[test]
    fn unread_bytes_of_a_pipe_and_a_socket_are_counted() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        counts(std::fs::File::from(writer), std::fs::File::from(reader));
        let (writer, reader) = UnixStream::pair().unwrap();
        counts(writer, reader);
    }

    #[test]
    fn nothing_is_unread_in_a_file_or_a_device() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        assert_eq!(unread(file.as_fd()).unwrap(), 0);
        let null = std::fs::File::create("/dev/null").unwrap();
        assert_eq!(unread(null.as_fd()).unwrap(), 0);
    }
}
