//! What fanotify refuses, in words that name the remedy.

use std::io;
use std::os::fd::OwnedFd;

use crate::fanotify::path_of;
use crate::sys::mounts;
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

/// The kernel has fanotify, but reports each end of a rename by an event of its own, and no object of an entry (before Linux
/// 5.17). Enough for a mark for each directory, not for a file system.
pub fn too_old_for_filesystems() -> io::Error {
    let why = "-S and -M require kernel 5.17; use -F, which watches each directory";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained_of_proc(number: i32) -> io::Error {
        let object = std::fs::File::open("/proc").unwrap();
        explained(io::Error::from_raw_os_error(number), &object.into())
    }

    #[test]
    fn the_file_system_and_the_remedy_are_named() {
        for number in [libc::EOPNOTSUPP, libc::ENODEV, libc::EXDEV, libc::EOVERFLOW] {
            let words = explained_of_proc(number).to_string();
            assert!(
                words.ends_with(": fanotify cannot watch the file system proc; use inotify (-I)"),
                "{words}"
            );
        }
        assert_eq!(explained_of_proc(libc::ENOENT).raw_os_error(), Some(libc::ENOENT));
        assert_eq!(explained_of_proc(libc::ENOSPC).kind(), io::ErrorKind::StorageFull);
    }
}
