//! What fanotify refuses, in words that name the remedy.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys::words;

/// Adds to an error of fanotify_mark(2) or name_to_handle_at(2) about what is open as `object` what can be done: the
/// limit on marks ([`io::ErrorKind::StorageFull`], without a number of the system's), or a file system that cannot.
/// Other errors stay what they are.
pub fn explained(error: io::Error, object: &OwnedFd) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOSPC) => "upper limit on fanotify marks reached".into(),
        Some(libc::EOPNOTSUPP | libc::ENODEV | libc::EXDEV | libc::EOVERFLOW) => {
            let mount = mount_of(object);
            let kind = mount.as_ref().map_or("of this type", |mount| &mount.kind);
            let words = words::of(&error);
            format!("{words}: fanotify cannot watch the file system {kind}; use inotify (-I)")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), why)
}

/// A mount, as /proc/self/mountinfo tells of it; see proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// The file system's device, in the kernel's own form: the minor number in the lower 20 bits.
    pub device: u32,
    /// The file system's type.
    pub kind: String,
}

/// The mount through which something was opened (O_PATH will do).
pub fn mount_of(object: &OwnedFd) -> Option<Mount> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    // The paths in it may be any bytes.
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let line = String::from_utf8_lossy(line);
        if line.split(' ').next() == Some(id) { parsed(&line) } else { None }
    })
}

fn parsed(line: &str) -> Option<Mount> {
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    let device = major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?;
    // Optional fields stand before the dash.
    let kind = line.split(" - ").nth(1)?.split(' ').next()?.to_owned();
    Some(Mount { device, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_mount() {
        let line = "36 35 98:4 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        assert_eq!(parsed(line), Some(Mount { device: 98 << 20 | 4, kind: "ext3".into() }));
        assert_eq!(parsed("36 35 98"), None);
        assert_eq!(parsed(""), None);
    }
}
