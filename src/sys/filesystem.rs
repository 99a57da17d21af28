//! What tells one file system from another: statfs(2). Above all, those whose changes the kernel does not see.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use nix::sys::statfs::{Statfs, fstatfs, statfs};

/// Where the changes come from that inotify and fanotify do not report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// The kernel makes up the contents when they are read.
    Kernel,
    /// Another machine has them: a server, or the host of a virtual machine.
    Machine,
    /// A program behind FUSE has them.
    Program,
}

/// The magic numbers of statfs(2), with names as in /proc/filesystems.
const KNOWN: &[(u32, &str, Unseen)] = &[
    (0x9fa0, "proc", Unseen::Kernel),
    (0x6265_6572, "sysfs", Unseen::Kernel),
    (0x6462_6720, "debugfs", Unseen::Kernel),
    (0x7472_6163, "tracefs", Unseen::Kernel),
    (0x7363_6673, "securityfs", Unseen::Kernel),
    (0x6969, "nfs", Unseen::Machine),
    (0x517b, "smb", Unseen::Machine),
    (0xff53_4d42, "cifs", Unseen::Machine),
    (0xfe53_4d42, "smb2", Unseen::Machine),
    (0x0102_1997, "9p", Unseen::Machine),
    (0x00c3_6400, "ceph", Unseen::Machine),
    (0x5346_414f, "afs", Unseen::Machine),
    (0x6b41_4653, "afs", Unseen::Machine),
    (0x7375_7245, "coda", Unseen::Machine),
    (0x0116_1970, "gfs2", Unseen::Machine),
    (0x7461_636f, "ocfs2", Unseen::Machine),
    (0x0bd0_0bd0, "lustre", Unseen::Machine),
    (0x786f_4256, "vboxsf", Unseen::Machine),
    (0x6573_5546, "fuse", Unseen::Program),
];

/// The type of the file system that holds `path`, and what is not seen there; none if all is seen.
pub fn unseen(path: &[u8]) -> Option<(&'static str, Unseen)> {
    named(magic(&statfs(OsStr::from_bytes(path)).ok()?))
}

/// Whether a pipe has no name: such a one is on a file system of its own.
pub fn is_anonymous_pipe(pipe: impl AsFd) -> bool {
    const PIPEFS_MAGIC: u32 = 0x5049_5045;
    fstatfs(pipe).is_ok_and(|status| magic(&status) == PIPEFS_MAGIC)
}

/// As 32 bits: the type's width and sign depend on the machine.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn magic(status: &Statfs) -> u32 {
    status.filesystem_type().0 as u32
}

fn named(magic: u32) -> Option<(&'static str, Unseen)> {
    KNOWN.iter().find(|(known, ..)| *known == magic).map(|(_, name, unseen)| (*name, *unseen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_anonymous_and_a_fifo_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("fifo");
        nix::unistd::mkfifo(&name, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = std::fs::File::options().read(true).write(true).open(&name).unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        assert!(is_anonymous_pipe(reader) && is_anonymous_pipe(writer) && !is_anonymous_pipe(fifo));
    }

    #[test]
    fn the_file_system_of_a_path_is_known() {
        assert_eq!(unseen(b"/proc/self"), Some(("proc", Unseen::Kernel)));
        assert_eq!(unseen(b"/dev/null"), None);
        assert_eq!(unseen(b"/nowhere"), None);
        // Where C has a negative number.
        let cifs = 0xff53_4d42_u32 as i32;
        assert_eq!(named(i64::from(cifs) as u32), Some(("cifs", Unseen::Machine)));
    }
}
