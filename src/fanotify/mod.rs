//! The sources on fanotify(7).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::{OFlag, readlink};
use nix::sys::stat::{SFlag, fstat};

use crate::sys::{directory, process};

mod course;
pub mod filesystem;
pub mod marks;
pub mod mounts;
pub mod queue;
pub mod refusal;

/// The absolute path of what is at a path, taken from `base` on if it is relative, all links resolved but, unless
/// `follow`, the last.
pub fn absolute_path(base: &[u8], path: &[u8], follow: bool) -> io::Result<Vec<u8>> {
    let links = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    path_of(&directory::open_path(&process::absolute(base, path), links)?)
}

/// The path of what is open.
fn path_of(object: &OwnedFd) -> io::Result<Vec<u8>> {
    Ok(readlink(format!("/proc/self/fd/{}", object.as_raw_fd()).as_str())?.into_vec())
}

/// Whether something that is open is a directory.
fn is_directory(object: &OwnedFd) -> io::Result<bool> {
    Ok(SFlag::from_bits_truncate(fstat(object)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

/// The absolute path of one given as `@path`, which may lead nowhere: then of what is there of it.
pub fn absolute_hidden(base: &[u8], path: &[u8]) -> Vec<u8> {
    absolute_path(base, path, true).unwrap_or_else(|_| {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = path.split_at(slash.map_or(0, |slash| slash + 1));
        let mut found = match above {
            b"" => absolute_path(base, b".", true).unwrap_or_else(|_| base.to_vec()),
            b"/" => Vec::new(),
            _ => absolute_hidden(base, &above[..above.len() - 1]),
        };
        found.push(b'/');
        found.extend_from_slice(name);
        found
    })
}
