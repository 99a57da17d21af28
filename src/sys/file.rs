//! Files by their paths.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Opens a file to read it.
pub fn open(path: &[u8]) -> io::Result<File> {
    File::open(OsStr::from_bytes(path))
}

/// Where a symbolic link leads.
pub fn target_of(link: &[u8]) -> io::Result<Vec<u8>> {
    Ok(fs::read_link(OsStr::from_bytes(link))?.into_os_string().into_vec())
}

/// Whether something is at a path; a symbolic link counts as its target if `follow`.
pub fn exists(path: &[u8], follow: bool) -> bool {
    let path = OsStr::from_bytes(path);
    if follow { fs::metadata(path).is_ok() } else { fs::symlink_metadata(path).is_ok() }
}

/// What a file contains.
pub fn read(path: &[u8]) -> io::Result<Vec<u8>> {
    fs::read(OsStr::from_bytes(path))
}
