//! What fanotify refuses, in words that name the remedy.

use std::io;
use std::os::fd::OwnedFd;

use crate::fanotify::{mounts, path_of};
use crate::sys::words;

/// Adds to an error of fanotify_mark(2) or name_to_handle_at(2) about what is open as `object` what can be done: the
/// limit on marks ([`io::ErrorKind::StorageFull`], without a number of the system's), or a file system that cannot.
/// Other errors stay what they are.
pub fn explained(error: io::Error, object: &OwnedFd) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOSPC) => "upper limit on fanotify marks reached".into(),
        Some(libc::EOPNOTSUPP | libc::ENODEV | libc::EXDEV | libc::EOVERFLOW) => {
            let mount = path_of(object).ok().and_then(|path| mounts::of(&path));
            let kind = mount
                .map_or("of this type".into(), |mount| String::from_utf8_lossy(&mount.kind).into_owned());
            let words = words::of(&error);
            format!("{words}: fanotify cannot watch the file system {kind}; use inotify (-I)")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), why)
}
