//! fanotify(7): the group, its marks, the decoder of what read(2) returns, and file handles.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::fchdir;

use crate::sys::mask::Mask;
use crate::sys::{check, queued, read_queued};

/// The length in bytes of `struct fanotify_event_metadata`.
const METADATA: usize = 24;

/// The length in bytes of `struct fanotify_event_info_header`.
const INFO: usize = 4;

/// The length in bytes of what precedes a handle's own bytes: the file system's id (8), the number of those bytes (4)
/// and the handle's type (4); see `struct fanotify_event_info_fid` and open_by_handle_at(2).
const HANDLE: usize = 16;

/// The longest handle's own bytes (MAX_HANDLE_SZ).
const LONGEST_HANDLE: usize = 128;

/// How often one reading takes the events that are queued.
const ROUNDS: usize = 16;

/// What names an object for as long as it exists, on whatever path: the id of its file system and its handle, in
/// the form in which events carry them.
pub type Handle = [u8];

/// One event as the kernel wrote it; unknown records are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawEvent<'a> {
    /// What happened.
    pub mask: u64,
    /// The process that did it; 0 if the group may not know.
    pub pid: i32,
    /// The directory that the entry is in, or that it happened to.
    pub place: Option<Entry<'a>>,
    /// Of a rename, the old place, if that may be known.
    pub old: Option<Entry<'a>>,
    /// Of a rename, the new place, if that may be known.
    pub new: Option<Entry<'a>>,
    /// The object itself.
    pub object: Option<&'a Handle>,
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry<'a> {
    /// The directory.
    pub directory: &'a Handle,
    /// The entry's name; `.` for the directory itself.
    pub name: &'a [u8],
}

impl<'a> RawEvent<'a> {
    /// What of it inotify(7) knows, too: the bits are the same.
    pub fn events(&self) -> Mask {
        Mask::of(self.mask as u32)
    }

    /// The object that it happened to.
    pub fn itself(&self) -> Option<&'a Handle> {
        self.place.filter(|entry| entry.name == b".").map(|entry| entry.directory).or(self.object)
    }

    /// Decodes the first event of `bytes`; returns it and the number of bytes it takes.
    ///
    /// `None` where `bytes` does not hold a whole event of the version that is known. Safe on any input.
    pub fn decode(bytes: &'a [u8]) -> Option<(RawEvent<'a>, usize)> {
        let length = word(bytes, 0)? as usize;
        let event = bytes.get(..length)?;
        let records = usize::from(u16::from_ne_bytes(*event.get(6..)?.first_chunk()?));
        let mask = u64::from_ne_bytes(*event.get(8..)?.first_chunk()?);
        let pid = word(event, 20)? as i32;
        if event[4] != libc::FANOTIFY_METADATA_VERSION || records < METADATA {
            return None;
        }
        let mut decoded = RawEvent { mask, pid, ..RawEvent::default() };
        let mut rest = event.get(records..)?;
        while let Some((header, _)) = rest.split_first_chunk::<INFO>() {
            let length = usize::from(u16::from_ne_bytes([header[2], header[3]]));
            let Some(record) = rest.get(INFO..length) else { break };
            let entry = || {
                let (directory, name) = handle(record)?;
                let name = CStr::from_bytes_until_nul(name).map_or(name, CStr::to_bytes);
                Some(Entry { directory, name })
            };
            match header[0] {
                libc::FAN_EVENT_INFO_TYPE_FID => decoded.object = handle(record).map(|(handle, _)| handle),
                libc::FAN_EVENT_INFO_TYPE_DFID_NAME | libc::FAN_EVENT_INFO_TYPE_DFID => {
                    decoded.place = entry()
                }
                libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => decoded.old = entry(),
                libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => decoded.new = entry(),
                _ => {}
            }
            rest = &rest[length..];
        }
        Some((decoded, length))
    }
}

/// The events of what was read.
pub fn decoded(mut bytes: &[u8]) -> impl Iterator<Item = RawEvent<'_>> {
    std::iter::from_fn(move || {
        let (event, length) = RawEvent::decode(bytes)?;
        bytes = &bytes[length..];
        Some(event)
    })
}

/// The event of a queue overflow, in the kernel's form.
pub fn overflow() -> Vec<u8> {
    let length = METADATA as u32;
    let version = [libc::FANOTIFY_METADATA_VERSION, 0];
    let object_and_process = [(-1i32).to_ne_bytes(), 0i32.to_ne_bytes()].concat();
    let mask = libc::FAN_Q_OVERFLOW.to_ne_bytes();
    [&length.to_ne_bytes()[..], &version, &(METADATA as u16).to_ne_bytes(), &mask, &object_and_process]
        .concat()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Splits a handle off the bytes of a record.
fn handle(record: &[u8]) -> Option<(&Handle, &[u8])> {
    let own = word(record, 8)? as usize;
    record.split_at_checked(HANDLE.checked_add(own)?)
}

/// What a mark is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A file or a directory.
    Inode,
    /// The mount that it is in.
    Mount,
    /// The file system that it is in.
    Filesystem,
}

impl Target {
    fn flag(self) -> libc::c_uint {
        match self {
            Target::Inode => libc::FAN_MARK_INODE,
            Target::Mount => libc::FAN_MARK_MOUNT,
            Target::Filesystem => libc::FAN_MARK_FILESYSTEM,
        }
    }
}

/// A group, fanotify's instance; its descriptor is non-blocking and close-on-exec. Its events have handles and names.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    /// The kernel reports both ends of a rename in one event, and the object of an entry (Linux 5.17).
    pub tells_renames: bool,
    /// The length of its queue, and the number of its marks, have no limit.
    pub unlimited: bool,
}

impl Group {
    /// fanotify_init(2), with all that the kernel has and the process may ask for. EINVAL means a kernel before 5.9,
    /// EPERM one before 5.13 and no privileges, EMFILE the limit max_user_groups, or that on descriptors.
    pub fn new() -> io::Result<Group> {
        const BASE: libc::c_uint =
            libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_REPORT_DFID_NAME;
        const UNLIMITED: libc::c_uint = libc::FAN_UNLIMITED_QUEUE | libc::FAN_UNLIMITED_MARKS;
        let mut result = Err(io::Error::from_raw_os_error(libc::EINVAL));
        for (more, tells_renames, unlimited) in [
            (libc::FAN_REPORT_DFID_NAME_TARGET | UNLIMITED, true, true),
            (libc::FAN_REPORT_DFID_NAME_TARGET, true, false),
            (libc::FAN_REPORT_FID | UNLIMITED, false, true),
            (libc::FAN_REPORT_FID, false, false),
        ] {
            let events = (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC) as libc::c_uint;
            // SAFETY: takes flags only and returns a new descriptor or -1.
            result = check(unsafe { libc::fanotify_init(BASE | more, events) });
            match &result {
                Ok(fd) => {
                    // SAFETY: the descriptor was just returned to us and has no other owner.
                    let fd = unsafe { OwnedFd::from_raw_fd(*fd) };
                    return Ok(Group { fd, tells_renames, unlimited });
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => {}
                Err(_) => break,
            }
        }
        Err(result.err().unwrap_or_else(|| io::Error::from_raw_os_error(libc::EINVAL)))
    }

    /// Where the length of its queue is set (fanotify(7)), if it has one.
    pub fn queue_length(&self) -> Option<&'static str> {
        (!self.unlimited).then_some("/proc/sys/fs/fanotify/max_queued_events")
    }

    /// Adds events to the mark on what is open as `object` (O_PATH will do), or on its mount or file system;
    /// fanotify_mark(2) has the errors. ENOSPC means the limit max_user_marks.
    pub fn mark(&self, object: &OwnedFd, target: Target, mask: u64) -> io::Result<()> {
        let flags = libc::FAN_MARK_ADD | target.flag();
        let mark = |at, path: &CStr| {
            // SAFETY: `path` is NUL-terminated and outlives the call.
            check(unsafe { libc::fanotify_mark(self.fd.as_raw_fd(), flags, mask, at, path.as_ptr()) })
                .map(drop)
        };
        // A directory in itself is found several times faster than by way of /proc, but only by one who may search it.
        mark(object.as_raw_fd(), c".").or_else(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::ENOTDIR) => mark(libc::AT_FDCWD, &link(object)).map_err(|link| {
                // Without /proc.
                if link.raw_os_error() == Some(libc::ENOENT) { error } else { link }
            }),
            _ => Err(error),
        })
    }

    /// Adds events to the mark on a directory that is an entry of an open one.
    pub fn mark_entry(&self, directory: &OwnedFd, name: &CStr, mask: u64) -> io::Result<()> {
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_ONLYDIR | libc::FAN_MARK_DONT_FOLLOW;
        let (group, at) = (self.fd.as_raw_fd(), directory.as_raw_fd());
        // SAFETY: `name` is NUL-terminated and outlives the call.
        check(unsafe { libc::fanotify_mark(group, flags, mask, at, name.as_ptr()) }).map(drop)
    }

    /// The lines of proc_pid_fdinfo(5) about it: one for each mark, after a few others.
    pub fn fdinfo(&self) -> io::Result<BufReader<File>> {
        File::open(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd())).map(BufReader::new)
    }

    /// Waits until there are events, for at most so many milliseconds.
    pub fn wait(&self, milliseconds: u8) {
        let _ = poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds));
    }

    /// Appends the events that are queued now to `buffer`; returns the number of bytes, 0 if none is queued. Never
    /// blocks.
    ///
    /// Bits that were merged into an event before it was read may be of a time after other queued events. So this reads until
    /// the queue is empty; beside a busy writer it never is, and `ROUNDS` are enough.
    pub fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        for _ in 0..ROUNDS {
            let mut wanted = self.queued()?;
            if wanted == 0 {
                break;
            }
            read_queued(self.fd.as_fd(), buffer, |read, _| {
                wanted = wanted.saturating_sub(decoded(read).count());
                wanted == 0 || read.is_empty()
            })?;
        }
        Ok(buffer.len() - before)
    }

    /// The number of events that are queued: FIONREAD counts the fixed part of each.
    fn queued(&self) -> io::Result<usize> {
        Ok(queued(self.fd.as_fd())? / METADATA)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A path that leads to what is open, be it a symbolic link.
fn link(object: &OwnedFd) -> CString {
    // It holds no NUL.
    CString::new(format!("/proc/self/fd/{}", object.as_raw_fd())).unwrap_or_default()
}

/// `struct file_handle` with room for the longest.
#[repr(C)]
struct FileHandle {
    length: u32,
    kind: i32,
    bytes: [u8; LONGEST_HANDLE],
}

/// A handle, and by which mount it was found.
#[derive(Debug)]
pub struct Located {
    /// The handle.
    pub handle: Box<Handle>,
    mount: libc::c_int,
}

/// What is open (O_PATH will do) by its handle, as events carry it: name_to_handle_at(2) and statfs(2). EOPNOTSUPP means a
/// file system without handles.
pub fn located(object: &OwnedFd) -> io::Result<Located> {
    // SAFETY: all its fields may be zero; the kernel writes it whole.
    let mut status: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: `status` is writable and outlives the call.
    check(unsafe { libc::fstatfs64(object.as_raw_fd(), &mut status) })?;
    // SAFETY: `fsid_t` is two 32-bit integers, statfs(2), and any bytes are valid as such.
    let id: [u8; 8] = unsafe { std::mem::transmute(status.f_fsid) };
    encode(object, c"", id)
}

/// The handle of what is open.
pub fn handle_of(object: &OwnedFd) -> io::Result<Box<Handle>> {
    Ok(located(object)?.handle)
}

/// The handle of an entry of an open directory, without a look at its file system: `None` where that may be another than
/// the directory's. A symbolic link is not followed.
pub fn handle_in(directory: &OwnedFd, above: &Located, name: &CStr) -> Option<Box<Handle>> {
    let id = above.handle.first_chunk()?;
    let found = encode(directory, name, *id).ok()?;
    // Each subvolume of btrfs has an id of its own.
    let is_same = found.mount == above.mount && subvolume(&found.handle) == subvolume(&above.handle);
    is_same.then_some(found.handle)
}

fn encode(at: &OwnedFd, name: &CStr, id: [u8; 8]) -> io::Result<Located> {
    let mut handle = FileHandle { length: 0, kind: 0, bytes: [0; LONGEST_HANDLE] };
    let mut mount = 0;
    let empty = if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    let mut encode = |flags| {
        handle.length = LONGEST_HANDLE as u32;
        // SAFETY: the name is NUL-terminated; `handle` has the layout of `struct file_handle` and room for as many
        // bytes as its length says; all outlive the call.
        check(unsafe {
            libc::name_to_handle_at(
                at.as_raw_fd(),
                name.as_ptr(),
                (&raw mut handle).cast(),
                &mut mount,
                empty | flags,
            )
        })
    };
    // A handle that only names is had where one that opens is not; before Linux 6.5 there is no such flag.
    encode(libc::AT_HANDLE_FID).or_else(|_| encode(0))?;
    let own = handle.bytes.get(..handle.length as usize).unwrap_or_default();
    let handle = [&id[..], &handle.length.to_ne_bytes(), &handle.kind.to_ne_bytes(), own].concat().into();
    Ok(Located { handle, mount })
}

/// The type of btrfs's handles (FILEID_BTRFS_WITHOUT_PARENT in the kernel's exportfs.h): the inode's number (8 bytes),
/// the subvolume's (8) and the generation (4).
pub const BTRFS: [u8; 4] = 0x4du32.to_ne_bytes();

/// The number of the subvolume that a handle of btrfs is of.
pub fn subvolume(handle: &Handle) -> Option<u64> {
    let number = handle.get(24..32)?.first_chunk()?;
    (handle[12..16] == BTRFS).then(|| u64::from_ne_bytes(*number))
}

/// Opens (O_PATH) what a handle names, in the file system of the directory `within` (O_PATH will do), through its mount;
/// open_by_handle_at(2). ESTALE means that it is gone, EPERM that CAP_DAC_READ_SEARCH is lacking.
///
/// That requires a descriptor that was opened for reading, which the directory's watches would report, or the current
/// directory: so `within` is the current directory until this returns. No other thread may depend on it.
pub fn open_handle(within: &OwnedFd, handle: &Handle) -> io::Result<OwnedFd> {
    let stale = || io::Error::from_raw_os_error(libc::ESTALE);
    let own = handle.get(HANDLE..).ok_or_else(stale)?;
    let kind = word(handle, 12).ok_or_else(stale)? as i32;
    let mut whole = FileHandle { length: own.len() as u32, kind, bytes: [0; LONGEST_HANDLE] };
    whole.bytes.get_mut(..own.len()).ok_or_else(stale)?.copy_from_slice(own);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let before = openat(AT_FDCWD, c".", flags, Mode::empty())?;
    // Without the permission to search the current directory, nothing could lead back to it.
    fchdir(&before)?;
    fchdir(within)?;
    // SAFETY: `whole` has the layout of `struct file_handle`, holds as many bytes as its length says and outlives
    // the call.
    let opened = check(unsafe {
        libc::open_by_handle_at(
            libc::AT_FDCWD,
            (&raw mut whole).cast(),
            libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC,
        )
    });
    // SAFETY: the descriptor was just returned to us and has no other owner.
    let opened = opened.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    fchdir(&before)?;
    opened
}

/// Whether what is open is the root of the mount through which it was opened (statx(2), Linux 5.8).
pub fn is_mount_root(object: &OwnedFd) -> bool {
    // SAFETY: all its fields may be zero; the kernel writes what it knows.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the empty name is NUL-terminated, `status` is writable, and both outlive the call.
    let result = unsafe {
        libc::statx(object.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_TYPE, &mut status)
    };
    result == 0 && status.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0
}
