//! What a case does to files, and the doing of it: plain calls of this process, never a shell,
//! which would open files of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::mkfifo;

/// A path below the case's directory, as bytes.
pub type Name = Vec<u8>;

/// One step of a case. Steps that wait are carried out by the run itself, which knows the watcher.
#[derive(Debug, Clone)]
pub enum Op {
    Mkdir(Name),
    /// With mode 0: nobody but root can look inside.
    MkdirClosed(Name),
    /// open(O_CREAT | O_WRONLY) and close.
    Touch(Name),
    /// open(O_CREAT | O_WRONLY), one write, close.
    Write(Name, Vec<u8>),
    Append(Name, Vec<u8>),
    Truncate(Name),
    /// open, one read, close.
    Read(Name),
    /// open, close: so many times, pausing for the watcher so that no queue overflows.
    OpenClose(Name, usize),
    ReadDir(Name),
    Chmod(Name, u32),
    Utime(Name),
    Rename(Name, Name),
    Exchange(Name, Name),
    Unlink(Name),
    Rmdir(Name),
    /// Depth first: what is inside, then the directory.
    RemoveTree(Name),
    Symlink(Name, Name),
    Link(Name, Name),
    Fifo(Name),
    MountTmpfs(Name),
    Umount(Name),
    /// Wait until the watcher watches this file or directory.
    Watched(Name),
    /// Wait until the watcher no longer watches as many inodes as it has roots: this many remain.
    WatchCount(usize),
    /// Wait until these bytes stand in the output this many times.
    Until(usize, Vec<u8>),
    /// Wait until the watcher is asleep with an empty queue.
    Quiet,
    /// Send a signal and go on.
    Signal(i32),
    /// Close our end of its stdout.
    CloseReader,
}

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $f:ident($($arg:ident),*) = $op:ident;)*) => {
        $($(#[$doc])* pub fn $f($($arg: impl AsRef<[u8]>),*) -> Op {
            Op::$op($($arg.as_ref().to_vec()),*)
        })*
    };
}

vocabulary! {
    mkdir(p) = Mkdir;
    mkdir_closed(p) = MkdirClosed;
    touch(p) = Touch;
    write(p, data) = Write;
    append(p, data) = Append;
    truncate(p) = Truncate;
    read(p) = Read;
    readdir(p) = ReadDir;
    utime(p) = Utime;
    rename(from, to) = Rename;
    exchange(a, b) = Exchange;
    unlink(p) = Unlink;
    rmdir(p) = Rmdir;
    remove_tree(p) = RemoveTree;
    ln_s(target, p) = Symlink;
    link(from, to) = Link;
    fifo(p) = Fifo;
    mount(p) = MountTmpfs;
    umount(p) = Umount;
    watched(p) = Watched;
}

pub fn chmod(p: impl AsRef<[u8]>, mode: u32) -> Op {
    Op::Chmod(p.as_ref().to_vec(), mode)
}

pub fn until(times: usize, bytes: impl AsRef<[u8]>) -> Op {
    Op::Until(times, bytes.as_ref().to_vec())
}

/// `name` below `dir`.
pub fn at(dir: &Path, name: &[u8]) -> PathBuf {
    // Not Path::join: it would drop a trailing slash's meaning for an empty name only, but it
    // also takes an absolute name as it is, which a case may want.
    dir.join(std::ffi::OsStr::from_bytes(name))
}

/// Does what needs no watcher. Waiting steps are the caller's.
pub fn perform(dir: &Path, op: &Op) -> io::Result<()> {
    match op {
        Op::Mkdir(p) => fs::create_dir(at(dir, p)),
        Op::MkdirClosed(p) => fs::DirBuilder::new().mode(0o000).create(at(dir, p)),
        Op::Touch(p) => open_for_writing(&at(dir, p)).map(drop),
        Op::Write(p, data) => open_for_writing(&at(dir, p))?.write_all(data),
        Op::Append(p, data) => OpenOptions::new().append(true).open(at(dir, p))?.write_all(data),
        Op::Truncate(p) => OpenOptions::new().write(true).truncate(true).open(at(dir, p)).map(drop),
        Op::Read(p) => {
            let mut byte = [0; 16];
            io::Read::read(&mut File::open(at(dir, p))?, &mut byte).map(drop)
        }
        Op::OpenClose(p, times) => {
            let path = at(dir, p);
            (0..*times).try_for_each(|_| File::open(&path).map(drop))
        }
        Op::ReadDir(p) => fs::read_dir(at(dir, p))?.try_for_each(|entry| entry.map(drop)),
        Op::Chmod(p, mode) => fs::set_permissions(at(dir, p), fs::Permissions::from_mode(*mode)),
        Op::Utime(p) => {
            let then = TimeSpec::new(1_000_000_000, 0);
            let flags = UtimensatFlags::NoFollowSymlink;
            utimensat(AT_FDCWD, &at(dir, p), &then, &then, flags).map_err(io::Error::from)
        }
        Op::Rename(from, to) => fs::rename(at(dir, from), at(dir, to)),
        Op::Exchange(a, b) => {
            let (a, b) = (at(dir, a), at(dir, b));
            renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).map_err(io::Error::from)
        }
        Op::Unlink(p) => fs::remove_file(at(dir, p)),
        Op::Rmdir(p) => fs::remove_dir(at(dir, p)),
        Op::RemoveTree(p) => fs::remove_dir_all(at(dir, p)),
        Op::Symlink(target, p) => symlink(std::ffi::OsStr::from_bytes(target), at(dir, p)),
        Op::Link(from, to) => fs::hard_link(at(dir, from), at(dir, to)),
        Op::Fifo(p) => mkfifo(&at(dir, p), Mode::from_bits_truncate(0o600)).map_err(io::Error::from),
        Op::MountTmpfs(p) => system("mount", &["-t", "tmpfs", "oracle"], &at(dir, p)),
        Op::Umount(p) => system("umount", &[], &at(dir, p)),
        Op::Watched(_) | Op::WatchCount(_) | Op::Until(..) | Op::Quiet | Op::Signal(_) | Op::CloseReader => {
            Ok(())
        }
    }
}

/// Makes, at `path`, every kind of event that a directory reports of an entry, so that whichever
/// was asked for announces the name.
pub fn all_kinds(path: &Path) -> io::Result<()> {
    open_for_writing(path)?.write_all(b".")?;
    io::Read::read(&mut File::open(path)?, &mut [0])?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let mut moved = path.as_os_str().to_owned();
    moved.push("-moved");
    fs::rename(path, &moved)?;
    fs::rename(&moved, path)?;
    fs::remove_file(path)
}

fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

fn system(program: &str, args: &[&str], path: &Path) -> io::Result<()> {
    let output = Command::new(program).args(args).arg(path).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
