//! When a file was made and changed, by the clock of its file system: statx(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::stat::SFlag;
use nix::time::{ClockId, clock_gettime};

use super::check;
use super::directory::Kind;

/// A moment of the clock by which file systems date their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment {
    /// Since the epoch.
    pub seconds: i64,
    /// Within the second.
    pub nanoseconds: u32,
}

impl Moment {
    /// Now. A file that is changed after this call has no older date: the kernel dates by this clock, which moves on with each
    /// tick of the timer, or by a finer one that is never behind it.
    pub fn now() -> Moment {
        let now =
            clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or((0, 0), |now| (now.tv_sec(), now.tv_nsec()));
        // On some machines the fields are shorter.
        #[allow(clippy::useless_conversion)]
        Moment { seconds: i64::from(now.0), nanoseconds: u32::try_from(now.1).unwrap_or(0) }
    }

    /// Whether a date may be that of a change since then. Some file systems keep whole seconds, FAT every second one.
    pub fn is_since(self, since: Moment) -> bool {
        self >= since || self.nanoseconds == 0 && self.seconds + 1 >= since.seconds
    }
}

/// The dates of a file.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// What it is.
    pub kind: Kind,
    /// Whether something is in it.
    pub is_empty: bool,
    /// When it was made. If the file system does not keep that, not later than its last changes.
    pub born: Moment,
    /// When its contents were changed last, or a date that somebody gave it.
    pub modified: Moment,
    /// When anything of it was changed last.
    pub changed: Moment,
}

impl Times {
    /// Of the file at `path`, without following a link.
    pub fn at(path: &CStr) -> io::Result<Times> {
        Times::read(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW)
    }

    /// Of an open file (O_PATH suffices).
    pub fn of(open: impl AsFd) -> io::Result<Times> {
        Times::read(open.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH)
    }

    /// Of an entry of an open directory, without following a link.
    pub fn of_entry(directory: impl AsFd, name: &CStr) -> io::Result<Times> {
        Times::read(directory.as_fd().as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW)
    }

    fn read(at: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<Times> {
        // `struct statx`, which not every C library declares: 256 bytes, alike on all machines.
        let mut status = [0u64; 32];
        // SAFETY: `path` is NUL-terminated, `status` has room for the kernel's answer, and both outlive the call.
        let result =
            unsafe { libc::syscall(libc::SYS_statx, at, path.as_ptr(), flags, WANTED, status.as_mut_ptr()) };
        check(if result == -1 { -1 } else { 0 })?;
        let bytes: Vec<u8> = status.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(decode(&bytes))
    }
}

/// STATX_BASIC_STATS and STATX_BTIME.
const WANTED: libc::c_uint = 0x7ff | BIRTH;
const BIRTH: libc::c_uint = 0x800;

fn decode(status: &[u8]) -> Times {
    let word = |at: usize| u32::from_ne_bytes([status[at], status[at + 1], status[at + 2], status[at + 3]]);
    let long = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&status[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    let moment = |at: usize| Moment { seconds: long(at) as i64, nanoseconds: word(at + 8) };
    let mode = u16::from_ne_bytes([status[28], status[29]]);
    let kind = match SFlag::from_bits_truncate(mode.into()) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFREG => Kind::File,
        _ => Kind::Other,
    };
    let (born, changed, modified) = (moment(80), moment(96), moment(112));
    let born = if word(0) & BIRTH != 0 { born } else { changed.min(modified) };
    Times { kind, is_empty: long(40) == 0, born, modified, changed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_new_file_is_dated_by_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        let opened = fs::File::open(dir.path()).unwrap();
        let before = Moment::now();
        fs::write(dir.path().join("f"), "text").unwrap();
        let times = Times::of_entry(&opened, c"f").unwrap();
        assert!(times.kind == Kind::File && !times.is_empty);
        assert!(
            times.born.is_since(before) && times.modified.is_since(before) && times.changed.is_since(before)
        );
        let file = fs::File::options().write(true).open(dir.path().join("f")).unwrap();
        file.set_len(0).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(1500)).unwrap();
        let times = Times::of(&file).unwrap();
        assert_eq!(times.modified, Moment { seconds: 1, nanoseconds: 500_000_000 });
        assert!(times.is_empty && times.changed.is_since(before));
        assert!(Times::of_entry(&opened, c"nothing").is_err());
        assert_eq!(Times::at(c"/proc/self").unwrap().kind, Kind::Other);
    }

    #[test]
    fn without_a_date_of_birth_the_older_of_the_others_counts() {
        let mut status = [0; 256];
        status[96] = 7;
        status[112] = 5;
        assert_eq!(decode(&status).born.seconds, 5);
        status[1] = 8;
        assert_eq!(decode(&status).born.seconds, 0);
    }

    #[test]
    fn whole_seconds_may_be_rounded() {
        let at = |seconds, nanoseconds| Moment { seconds, nanoseconds };
        assert!(at(10, 5).is_since(at(10, 5)) && !at(10, 4).is_since(at(10, 5)));
        assert!(at(9, 0).is_since(at(10, 5)) && !at(8, 0).is_since(at(10, 5)));
    }
}
