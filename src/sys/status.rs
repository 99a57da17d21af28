//! The kind and identity of a file: stat(2) with 64-bit numbers on every machine.
//!
//! On a 32-bit machine the plain call fails with EOVERFLOW if a file has more than 2 GiB, or an inode number of more than
//! 32 bits.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::stat::SFlag;

use super::check;

/// The status of a file.
pub struct Status(libc::stat64);

impl Status {
    /// Of the file at `path`; if that is a symbolic link, of the link unless `follow`.
    pub fn at(path: &CStr, follow: bool) -> io::Result<Status> {
        Status::read(libc::AT_FDCWD, path, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
    }

    /// Of an open file (O_PATH suffices).
    pub fn of(open: impl AsFd) -> io::Result<Status> {
        Status::read(open.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH)
    }

    /// Of an entry of an open directory; if that is a symbolic link, of the link.
    pub fn of_entry(directory: impl AsFd, name: &CStr) -> io::Result<Status> {
        Status::read(directory.as_fd().as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW)
    }

    fn read(at: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<Status> {
        // SAFETY: all its fields may be zero; the kernel writes it whole.
        let mut status: libc::stat64 = unsafe { std::mem::zeroed() };
        // SAFETY: `path` is NUL-terminated, `status` is writable, and both outlive the call.
        check(unsafe { libc::fstatat64(at, path.as_ptr(), &mut status, flags) })?;
        Ok(Status(status))
    }

    /// The kind of file: `S_IFREG`, `S_IFDIR` and so on.
    pub fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.0.st_mode) & SFlag::S_IFMT
    }

    /// The number of links: of names, and for a directory what the file system makes of that.
    pub fn links(&self) -> u64 {
        // On some machines that field is shorter.
        #[allow(clippy::unnecessary_cast)]
        let links = self.0.st_nlink as u64;
        links
    }

    /// The length in bytes, and for a directory what the file system makes of that.
    pub fn length(&self) -> u64 {
        self.0.st_size as u64
    }

    /// Whether the file has no name left.
    pub fn is_deleted(&self) -> bool {
        self.links() == 0
    }

    /// The device and the inode number, which identify the file whatever its name.
    pub fn id(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }
}
