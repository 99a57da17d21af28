//! Directories: reading entries with their types, and paths of any length.

use std::env;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlink, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::sys::statfs::fstatfs;
use nix::unistd::fchdir;

use super::descriptors::room;
use super::status::Status;

/// What an entry is, as far as the directory itself says (`d_type` of readdir(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, device, FIFO or socket.
    Other,
    /// The file system does not say; or nothing is there any more.
    Unknown,
}

/// Calls `with` with `path` in a form that system calls take, however long it is.
///
/// The directory of a path that does not fit PATH_MAX is opened piece by piece, and `with` gets
/// `/proc/self/fd/N/` and the last component. `EINVAL` where the path contains a NUL.
pub fn with_path<T>(path: &[u8], with: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
    const SHORT: usize = 256;
    let nul = |_| io::Error::from_raw_os_error(libc::EINVAL);
    // An entry's name: there are many, and each memory allocation costs as much as a tenth of a system call.
    if path.len() < SHORT {
        let mut terminated = [0; SHORT];
        terminated[..path.len()].copy_from_slice(path);
        let terminated = CStr::from_bytes_with_nul(&terminated[..=path.len()]);
        return with(terminated.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?);
    }
    if path.len() < libc::PATH_MAX as usize {
        return with(&CString::new(path).map_err(nul)?);
    }
    // A slash at the end belongs to the last component: a link before it is followed.
    let name_end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let name_at = path[..name_end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (above, name) = path.split_at(name_at);
    let directory = open_deep(above)?;
    let link = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    with(&CString::new(link).map_err(nul)?)
}

/// A path to an open directory, wherever it is now.
pub fn through(directory: &OwnedFd) -> CString {
    let mut path = link_to(directory);
    // With `/.` it is the directory itself, also for calls that do not follow links. It holds no NUL.
    path.extend_from_slice(b"/.");
    CString::new(path).unwrap_or_default()
}

/// A path that a call follows to an open object, wherever that is now. If that is a symbolic link, the call gets the link. Without /proc
/// only a directory has such a path.
pub fn link_to(object: &OwnedFd) -> Vec<u8> {
    match Path::new("/proc/self/fd").exists() {
        true => format!("/proc/self/fd/{}", object.as_raw_fd()).into_bytes(),
        false => path_by_entering(object).unwrap_or_default(),
    }
}

/// The number of the mount by which an object was opened; `None` without /proc.
pub fn mount_of(object: &OwnedFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The path of what is open.
pub fn path_of(object: &OwnedFd) -> io::Result<Vec<u8>> {
    match readlink(format!("/proc/self/fd/{}", object.as_raw_fd()).as_str()) {
        // Without /proc, at least a directory's can be had.
        Err(Errno::ENOENT) => path_by_entering(object).map_err(|_| Errno::ENOENT.into()),
        found => Ok(found?.into_vec()),
    }
}

/// Where a symbolic link leads that is open.
pub fn target_of(link: &OwnedFd) -> io::Result<Vec<u8>> {
    Ok(readlinkat(link, "")?.into_vec())
}

/// The path of an open directory, by a look from inside: for where /proc is missing.
pub fn path_by_entering(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let here = open_path(b".", OFlag::O_DIRECTORY)?;
    fchdir(directory)?;
    let path = env::current_dir();
    fchdir(&here)?;
    Ok(path?.into_os_string().into_vec())
}

/// Opens a directory for a [`Reader`].
///
/// A symbolic link in the last component is not followed (ELOOP or ENOTDIR), unless `/` stands behind it.
pub fn open(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    with_path(path, |path| Ok(openat(AT_FDCWD, path, flags, Mode::empty())?))
}

/// Opens (O_PATH) what is at a path, with these flags besides. Nobody who watches it hears of that.
pub fn open_path(path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
    with_path(path, |path| Ok(openat(AT_FDCWD, path, flags, Mode::empty())?))
}

/// Opens the entry of that name in an open directory. No longer path is needed, and none that could lead elsewhere by now.
pub fn open_in(directory: &OwnedFd, name: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    Ok(openat(directory, name, flags | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Reads a regular file, by a path from an open directory on. If it is a symbolic link, ELOOP unless `follow`.
pub fn read_in(directory: &OwnedFd, path: &[u8], follow: bool) -> io::Result<Vec<u8>> {
    let links = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    // A FIFO has no reader to wait for.
    let file = open_in(directory, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | links)?;
    if Status::of(&file)?.kind() != SFlag::S_IFREG {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut text = Vec::new();
    io::Read::read_to_end(&mut fs::File::from(file), &mut text)?;
    Ok(text)
}

/// The working directory of the process, which is lent to one who needs to name entries of another directory.
///
/// The other is not kept in use: whoever borrows the working directory gives it back before the program waits.
#[derive(Debug, Default)]
pub struct WorkingDirectory {
    /// Where the process was started, once that was left; none if it cannot be opened, or if other directories could not be after that.
    home: Option<OwnedFd>,
    /// The number of the directory that the process is in instead.
    away: Option<u64>,
}

impl WorkingDirectory {
    /// Makes an open directory the working directory; `false` where that is not possible. No two directories have one number.
    pub fn is(&mut self, directory: &OwnedFd, number: u64) -> bool {
        if self.away == Some(number) {
            return true;
        }
        if self.home.is_none() {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let home = openat(AT_FDCWD, c".", flags, Mode::empty()).ok();
            // One that is new is opened twice.
            self.home = home.filter(|_| room(2) == 2);
        }
        if self.home.is_none() || fchdir(directory).is_err() {
            return false;
        }
        self.away = Some(number);
        true
    }

    /// Goes back to where the process was started.
    pub fn leave(&mut self) {
        if let (Some(home), Some(_)) = (&self.home, self.away.take()) {
            // It can be left, so it can be entered.
            let _ = fchdir(home);
        }
    }
}

/// What the status of a directory tells of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Anything may be in it.
    Unknown,
    /// Files, at most.
    NoDirectories,
    /// Nothing.
    Nothing,
}

/// What a file system makes of the status of its directories.
#[derive(Debug, PartialEq, Eq)]
struct FileSystem {
    /// In statfs(2).
    magic: u32,
    /// Whether a directory has a link for its name, one for its own `.`, and one for the `..` of each directory in it. On btrfs it
    /// always has one.
    counts_links: bool,
    /// The length of a directory with nothing in it, if each entry adds to that.
    empty: &'static [u64],
}

/// Those of which that is known. What overlayfs shows comes from below and may be anything.
const FILE_SYSTEMS: [FileSystem; 4] = [
    // ext4
    FileSystem { magic: 0xEF53, counts_links: true, empty: &[] },
    // xfs: what an empty directory has is its parent's number, in 4 bytes or 8, and 2 bytes before that. An entry has at least 8.
    FileSystem { magic: 0x5846_5342, counts_links: true, empty: &[6, 10] },
    // tmpfs
    FileSystem { magic: 0x0102_1994, counts_links: true, empty: &[40] },
    // btrfs
    FileSystem { magic: 0x9123_683E, counts_links: false, empty: &[0] },
];

/// The file systems that were met.
#[derive(Debug, Default)]
pub struct FileSystems {
    /// By device number.
    known: Vec<(u64, Option<&'static FileSystem>)>,
    /// That of the directory asked about last, until something on another is met: most trees are on one. If it is another after all,
    /// [`contents`](Self::contents) still tells nothing that is not certain.
    current: Option<&'static FileSystem>,
}

impl FileSystems {
    /// Whether the status of a directory on the file system of an open one may tell so much of its contents.
    pub fn tell(&mut self, directory: &OwnedFd, contents: Contents) -> bool {
        let tells = |found: &FileSystem| match contents {
            Contents::Unknown => true,
            Contents::NoDirectories => found.counts_links,
            Contents::Nothing => !found.empty.is_empty(),
        };
        if !self.current.is_some_and(tells) {
            self.current = self.look_at(directory);
        }
        self.current.is_some_and(tells)
    }

    fn look_at(&mut self, directory: &OwnedFd) -> Option<&'static FileSystem> {
        let (device, _) = Status::of(directory).ok()?.id();
        self.of(device).unwrap_or_else(|| {
            let found = file_system_of(directory);
            self.known.push((device, found));
            found
        })
    }

    fn of(&self, device: u64) -> Option<Option<&'static FileSystem>> {
        self.known.iter().find(|(known, _)| *known == device).map(|(_, found)| *found)
    }

    /// What is certain of the contents of the directory of that name, if [`tell`](Self::tell) was asked on its file system.
    pub fn contents(&mut self, directory: &OwnedFd, name: &[u8]) -> Contents {
        let Ok(status) = with_path(name, |name| Status::of_entry(directory, name)) else {
            return Contents::Unknown;
        };
        // Another file system may be mounted there.
        let (device, _) = status.id();
        let known = self.of(device).flatten();
        if !known.zip(self.current).is_some_and(|(known, current)| std::ptr::eq(known, current)) {
            self.current = None;
        }
        let Some(known) = known.filter(|_| status.kind() == SFlag::S_IFDIR) else { return Contents::Unknown };
        let is_leaf = status.links() == if known.counts_links { 2 } else { 1 };
        match is_leaf {
            true if known.empty.contains(&status.length()) => Contents::Nothing,
            true if known.counts_links => Contents::NoDirectories,
            _ => Contents::Unknown,
        }
    }
}

fn file_system_of(opened: &OwnedFd) -> Option<&'static FileSystem> {
    let magic = fstatfs(opened).ok()?.filesystem_type().0 as u32;
    FILE_SYSTEMS.iter().find(|known| known.magic == magic)
}

/// Opens (O_PATH) a directory whose path is longer than PATH_MAX.
fn open_deep(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut rest = path;
    let mut at: Option<OwnedFd> = None;
    while !rest.is_empty() {
        // As many whole components as fit.
        let piece = match rest.len() < libc::PATH_MAX as usize {
            true => rest,
            false => {
                let end = rest[..libc::PATH_MAX as usize - 1].iter().rposition(|byte| *byte == b'/');
                let end = end.ok_or(io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
                &rest[..=end]
            }
        };
        let opened = match &at {
            None => openat(AT_FDCWD, piece, flags, Mode::empty()),
            Some(fd) => openat(fd, piece, flags, Mode::empty()),
        };
        at = Some(opened?);
        rest = &rest[piece.len()..];
        rest = &rest[rest.iter().take_while(|byte| **byte == b'/').count()..];
    }
    at.ok_or(io::Error::from_raw_os_error(libc::ENOENT))
}

/// Whether a directory is at `path`; a symbolic link counts as what it leads to if `follow`, or if `/` stands
/// behind it.
pub fn is_directory(path: &[u8], follow: bool) -> io::Result<bool> {
    Ok(with_path(path, |path| Status::at(path, follow))?.kind() == SFlag::S_IFDIR)
}

/// The kind of what is at `path`, by lstat(2); [`Kind::Unknown`] where nothing is.
pub fn kind(path: &[u8]) -> Kind {
    kind_of(with_path(path, |path| Status::at(path, false)))
}

/// The kind of an entry of an open directory; [`Kind::Unknown`] where nothing is.
pub fn kind_in(directory: &OwnedFd, name: &[u8]) -> Kind {
    kind_of(with_path(name, |name| Status::of_entry(directory, name)))
}

fn kind_of(status: io::Result<Status>) -> Kind {
    match status.map(|status| status.kind()) {
        Ok(SFlag::S_IFDIR) => Kind::Directory,
        Ok(SFlag::S_IFREG) => Kind::File,
        Ok(_) => Kind::Other,
        Err(_) => Kind::Unknown,
    }
}

/// Waits until whoever is just changing an entry of an open directory (O_PATH will do) is done, and its event queued.
///
/// The kernel does both under the lock of the directory. Looking up a name takes it as well, unless that was looked up before. A name
/// longer than any entry's is never remembered, nor searched for. Unlike reading the directory the lookup makes no event.
pub fn wait_for_change(directory: &OwnedFd) {
    wait_for_change_in(directory, b".");
}

/// The same for the directory of that name in an open one.
pub fn wait_for_change_in(directory: &OwnedFd, name: &[u8]) {
    const TOO_LONG: [u8; NAME_MAX + 2] = {
        let mut name = [b'-'; NAME_MAX + 2];
        name[0] = b'/';
        name
    };
    let mut path = [0; 2 * NAME_MAX + 3];
    let Some(start) = path.get_mut(..name.len()).filter(|_| name.len() <= NAME_MAX) else { return };
    start.copy_from_slice(name);
    path[name.len()..name.len() + TOO_LONG.len()].copy_from_slice(&TOO_LONG);
    let path = CStr::from_bytes_until_nul(&path).unwrap_or_default();
    let _ = fstatat(directory, path, AtFlags::AT_SYMLINK_NOFOLLOW);
}

/// The length of the longest name.
const NAME_MAX: usize = 255;

/// Reads whole directories; one buffer serves them all.
#[derive(Debug, Default)]
pub struct Reader {
    /// Empty until the first is read: many programs read none.
    buffer: Vec<u8>,
}

impl Reader {
    /// [`wait_for_change`] by a directory that was read to its end, which costs less: reading takes the same lock.
    pub fn wait_for_change(&mut self, directory: &OwnedFd) {
        let _ = self.fill(directory);
    }

    /// Calls `entry` with the name and kind of every entry of the directory but `.` and `..`, in the
    /// directory's own order.
    pub fn read(&mut self, directory: &OwnedFd, mut entry: impl FnMut(&[u8], Kind)) -> io::Result<()> {
        loop {
            match self.fill(directory)? {
                0 => return Ok(()),
                length => entries(&self.buffer[..length], &mut entry),
            }
        }
    }

    /// getdents(2): the number of bytes read, 0 at the directory's end.
    fn fill(&mut self, directory: &OwnedFd) -> io::Result<usize> {
        // The size that glibc's readdir(3) uses.
        self.buffer.resize(32 * 1024, 0);
        // SAFETY: the kernel writes at most the given number of bytes into the buffer, which is
        // valid for that many.
        let length = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                self.buffer.as_mut_ptr(),
                self.buffer.len(),
            )
        };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }
}

/// Decodes `struct linux_dirent64` records (getdents(2)): inode and offset, 8 bytes each, the record's
/// length, 2, the type, 1, and the name up to a NUL.
fn entries(mut bytes: &[u8], entry: &mut impl FnMut(&[u8], Kind)) {
    const NAME: usize = 19;
    while bytes.len() > NAME {
        let length = usize::from(u16::from_ne_bytes([bytes[16], bytes[17]]));
        let Some(record) = bytes.get(..length).filter(|record| record.len() > NAME) else { return };
        let name = record[NAME..].split(|byte| *byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            let kind = match record[18] {
                libc::DT_DIR => Kind::Directory,
                libc::DT_REG => Kind::File,
                libc::DT_UNKNOWN => Kind::Unknown,
                _ => Kind::Other,
            };
            entry(name, kind);
        }
        bytes = &bytes[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn reads_every_entry_with_its_kind() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("f", directory.path().join("l")).unwrap();
        let mut found = Vec::new();
        let path = directory.path().as_os_str().as_bytes();
        Reader::default().read(&open(path).unwrap(), |name, kind| found.push((name.to_vec(), kind))).unwrap();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [(b"d", Kind::Directory), (b"f", Kind::File), (b"l", Kind::Other)];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_vec(), kind)));
    }

    #[test]
    fn a_truncated_record_ends_the_list() {
        for length in 0..40 {
            entries(&vec![1; length], &mut |_, _| panic!("made up an entry"));
        }
    }
}
