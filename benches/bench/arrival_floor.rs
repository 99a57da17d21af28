//! What directories that arrive cost at least, if nothing in them is to be missed: the floor of those rows, for tmpfs.
//!
//! Those that appear one after the other in the same directory are watched together. Whether one is empty its length tells; any other
//! is read. Files in a new directory are also printed. It has no options, and handles no renames, no errors, and no changes of what it
//! has looked at.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use inotify_tools::internals::READING;
use inotify_tools::internals::directory::{self, Kind, Reader};
use inotify_tools::internals::inotify::{Inotify, RawEvent, Wd};
use inotify_tools::internals::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_ISDIR, IN_MOVED_FROM,
    IN_MOVED_TO, IN_OPEN, Mask,
};
use nix::fcntl::{AtFlags, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstatat;
use nix::unistd::fchdir;

use crate::Result;
use crate::floors::{HANDFUL, PAUSE, line};

/// The length of a directory with nothing in it, on tmpfs.
const EMPTY: libc::off_t = 40;
/// So many are watched together, at most.
const TOGETHER: usize = 128;

struct Floor {
    inotify: Inotify,
    reader: Reader,
    /// Events that were read, from `next` on not yet handled.
    queue: Vec<u8>,
    next: usize,
    /// By watch.
    paths: Vec<Vec<u8>>,
    /// The working directory.
    inside: Option<(Wd, OwnedFd)>,
    text: Vec<u8>,
    /// Lines are printed; else counted.
    prints: bool,
    counted: u64,
}

/// Follows the directories below `top`.
pub fn follow(top: &[u8], prints: bool) -> Result<()> {
    let mut floor = Floor {
        inotify: Inotify::new()?,
        reader: Reader::default(),
        queue: Vec::new(),
        next: 0,
        paths: Vec::new(),
        inside: None,
        text: Vec::new(),
        prints,
        counted: 0,
    };
    let wd = floor.inotify.add_watch(&CString::new(top)?, IN_ALL_EVENTS)?;
    floor.learn(wd, [top, b"/"].concat());
    floor.visit(wd, false)?;
    floor.queue.clear();
    let ready: &[u8] = if prints { b"Watches established.\n" } else { b"now collecting statistics.\n" };
    io::stderr().write_all(ready)?;
    loop {
        floor.turn()?;
    }
}

impl Floor {
    /// Handles what is queued, and waits for more.
    fn turn(&mut self) -> Result<()> {
        self.queue.clear();
        self.next = 0;
        while self.inotify.read(&mut self.queue)? == 0 {
            poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        }
        let mut count = 0;
        // The directories that appeared, in which one they did, and whether they are new.
        let (mut names, mut place) = (Vec::new(), None);
        // The cookie of the last MOVED_FROM.
        let mut left = 0;
        loop {
            let next = RawEvent::decode(&self.queue[self.next..]);
            let appears = next.as_ref().and_then(|(event, _)| {
                // What was renamed in the tree keeps its watch.
                let comes = event.mask.has(IN_CREATE) || event.mask.has(IN_MOVED_TO) && event.cookie != left;
                (event.mask.has(IN_ISDIR) && comes).then_some((event.wd, event.mask.has(IN_CREATE)))
            });
            let is_together = names.len() < TOGETHER && (appears.is_none() || appears == place);
            if !names.is_empty() && (next.is_none() || !is_together) {
                let (wd, is_new) = place.unwrap_or((Wd::NONE, false));
                self.attach(wd, std::mem::take(&mut names), is_new, true)?;
                continue;
            }
            let Some((RawEvent { wd, mask, name, cookie }, size)) = next else { break };
            let name = name.to_vec();
            if mask.has(IN_MOVED_FROM) {
                left = cookie;
            }
            self.line(wd, mask, &name);
            if appears.is_some() {
                place = appears;
                names.push(name);
            }
            self.next += size;
            count += 1;
        }
        io::stdout().write_all(&self.text)?;
        self.text.clear();
        if count > HANDFUL {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn learn(&mut self, wd: Wd, path: Vec<u8>) {
        let wd = wd.0 as usize;
        self.paths.resize(self.paths.len().max(wd + 1), Vec::new());
        self.paths[wd] = path;
    }

    fn line(&mut self, wd: Wd, mask: Mask, name: &[u8]) {
        if !self.prints {
            self.counted += 1;
            return;
        }
        line(&mut self.text, &self.paths, &RawEvent { wd, mask, cookie: 0, name });
    }

    /// Makes a watched directory the working directory, and makes sure that it is that.
    fn go(&mut self, wd: Wd) -> Result<()> {
        if self.inside.as_ref().is_some_and(|(inside, _)| *inside == wd) {
            return Ok(());
        }
        let fd = directory::open_path(&self.paths[wd.0 as usize], OFlag::O_DIRECTORY)?;
        fchdir(&fd)?;
        self.inotify.add_watch(c".", IN_ALL_EVENTS)?;
        self.inside = Some((wd, fd));
        Ok(())
    }

    /// Watches directories in another, and looks into them. What is in one that `is_new` is printed, and so is the reading of
    /// those and of one of which an event told.
    fn attach(&mut self, parent: Wd, names: Vec<Vec<u8>>, is_new: bool, by_event: bool) -> Result<()> {
        self.go(parent)?;
        let mut watched = Vec::with_capacity(names.len());
        for name in names {
            let text = CString::new(name)?;
            // It may be gone by now.
            let Ok(wd) = self.inotify.add_watch(&text, IN_ALL_EVENTS) else { continue };
            let Some((_, fd)) = &self.inside else { continue };
            let Ok(status) = fstatat(fd, text.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let has_more = if is_new { status.st_size != EMPTY } else { status.st_nlink != 2 };
            watched.push((wd, text, has_more));
        }
        if let Some((_, fd)) = &self.inside {
            directory::wait_for_change(fd);
        }
        self.inotify.read(&mut self.queue)?;
        for (wd, name, has_more) in watched {
            let path = [&self.paths[parent.0 as usize], name.as_bytes(), b"/"].concat();
            self.learn(wd, path);
            if is_new || by_event {
                for mask in [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE] {
                    self.line(parent, mask | IN_ISDIR, name.as_bytes());
                }
            }
            if has_more {
                self.visit(wd, is_new)?;
            }
        }
        Ok(())
    }

    /// Reads a directory, and drops the events of that.
    fn visit(&mut self, wd: Wd, is_new: bool) -> Result<()> {
        let mark = self.queue.len();
        let opened = directory::open(&self.paths[wd.0 as usize])?;
        let mut found = Vec::new();
        self.reader.read(&opened, |name, kind| found.push((name.to_vec(), kind)))?;
        drop(opened);
        self.inotify.read(&mut self.queue)?;
        self.drop_reading(mark);
        let mut below = Vec::new();
        for (name, kind) in found {
            let directory = IN_ISDIR.when(kind == Kind::Directory);
            if is_new {
                self.line(wd, IN_CREATE | directory, &name);
            }
            match kind {
                Kind::Directory => below.push(name),
                _ if is_new => self.line(wd, IN_CLOSE_WRITE, &name),
                _ => {}
            }
        }
        if below.is_empty() { Ok(()) } else { self.attach(wd, below, is_new, false) }
    }

    fn drop_reading(&mut self, mark: usize) {
        let (mut from, mut to) = (mark, mark);
        while let Some((_, mask, size)) = RawEvent::peek(&self.queue[from..]) {
            if !mask.has(IN_ISDIR) || !mask.has(READING) {
                self.queue.copy_within(from..from + size, to);
                to += size;
            }
            from += size;
        }
        self.queue.truncate(to);
    }
}
