//! What happens in the watched directories: files that come and go, and trees to set up.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat, write};

use crate::Result;

/// The directories that a storm goes on in.
pub const DIRECTORIES: usize = 4;

/// The events of one file: CREATE, OPEN, MODIFY, CLOSE_WRITE, DELETE.
pub const EVENTS_PER_FILE: usize = 5;

/// The files of a burst: their events fit the kernel's queue (16,384).
const BURST: usize = 2_000;

/// The time between two bursts.
const LULL: Duration = Duration::from_millis(60);

/// Short-lived files in [`DIRECTORIES`] directories.
pub struct Storm {
    directories: Vec<OwnedFd>,
}

impl Storm {
    /// Makes the directories in `top` where they are not there yet.
    pub fn new(top: &Path) -> Result<Storm> {
        let directory = |number| {
            let path = top.join(format!("storm{number}"));
            fs::create_dir_all(&path)?;
            Ok(open(&path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
        };
        Ok(Storm { directories: (0..DIRECTORIES).map(directory).collect::<Result<_>>()? })
    }

    /// Creates, writes, closes and deletes files, one after the other.
    pub fn files(&self, count: usize) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        for number in 0..count {
            let name = format!("file{number}");
            let directory = &self.directories[number % DIRECTORIES];
            let file = openat(directory, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            write(&file, b"x")?;
            drop(file);
            unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// As many files in bursts, with a lull after each.
    pub fn bursts(&self, count: usize) -> Result<()> {
        for _ in 0..count / BURST {
            self.files(BURST)?;
            thread::sleep(LULL);
        }
        Ok(())
    }
}

/// Makes a tree of `directories`, `top` among them, each with `files` empty files. Each directory has ten
/// others in it, as far as they go.
pub fn tree(top: &Path, directories: usize, files: usize) -> Result<()> {
    wide_tree(top, directories, files, 10)
}

/// The same with `width` in each.
pub fn wide_tree(top: &Path, directories: usize, files: usize, width: usize) -> Result<()> {
    let mut paths: Vec<PathBuf> = Vec::with_capacity(directories);
    for number in 0..directories {
        let path = match number.checked_sub(1) {
            None => top.to_path_buf(),
            Some(below) => paths[below / width].join(format!("dir{}", below % width)),
        };
        fs::create_dir(&path)?;
        for file in 0..files {
            fs::File::create(path.join(format!("file{file}")))?;
        }
        paths.push(path);
    }
    Ok(())
}

/// Changes the permissions of each directory below `top`, which is an event there and in the directory that it is in. Slowly
/// enough for a watcher to read them.
pub fn touch(top: &Path) -> Result<()> {
    let mut is_leaf = true;
    for entry in fs::read_dir(top)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            is_leaf = false;
            touch(&entry.path())?;
        }
    }
    if !is_leaf {
        thread::sleep(Duration::from_micros(100));
    }
    Ok(fs::set_permissions(top, fs::Permissions::from_mode(0o755))?)
}
