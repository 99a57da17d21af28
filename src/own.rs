//! The events that the program's own writing causes where its output is a file in a watched directory. To report them
//! would be to write again, for ever.
//!
//! An event names the directory and the entry that the open file had when it was written to. It is handled later,
//! when its path may lead elsewhere:
//!
//! ```text
//! write to out; rename("out", "out.1"); another process creates out  ->  MODIFY out, MOVED_FROM out, MOVED_TO out.1, …
//! ```
//!
//! So a path is not looked up: the place of the open file is noted whenever something is written.

use crate::source::Event;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_CLOSE_WRITE, IN_CREATE, IN_MODIFY, IN_OPEN, Mask};
use crate::sys::output::{FileId, Location, Output};
use crate::sys::process::absolute;

/// Where the output is and was.
#[derive(Debug)]
pub struct Own {
    /// Put before the relative paths of events.
    base: Vec<u8>,
    /// Events of writing are asked for.
    modify: bool,
    /// Operands that are the output itself: their events have no name.
    operands: Vec<Vec<u8>>,
    /// Where the output was when this was asked last; `None` where /proc cannot tell.
    present: Option<Location>,
    /// Whether `present` was asked for since the last read.
    is_recent: bool,
    /// Where it was when something was written that may not have been reported yet.
    written: Vec<Location>,
    /// Watches of directories that it was found in: their events may be handled after the directory was renamed.
    directories: Vec<(Wd, FileId)>,
}

/// Where an output was that is closed now, and where one may have been when it was opened.
#[derive(Debug)]
pub struct Reopened {
    closed: Option<Location>,
    opened: [Option<Location>; 2],
}

impl Own {
    /// To be called when the watches are established. `events` are those asked for.
    pub fn new(base: Vec<u8>, events: Mask, operands: &[Vec<u8>], output: Option<&Output>) -> Own {
        let modify = events.has(IN_MODIFY);
        let file = output.and_then(Output::file).filter(|_| modify);
        let is_output = |path: &[u8]| file.is_some_and(|file| file.is_at(&absolute(&base, path)));
        let operands = operands.iter().filter(|operand| is_output(operand)).cloned().collect();
        Own {
            base,
            modify,
            operands,
            present: output.and_then(|output| output.location(None)),
            is_recent: true,
            written: Vec::new(),
            directories: Vec::new(),
        }
    }

    /// To be called before and after something is written.
    pub fn note(&mut self, output: &Output) {
        if !self.modify {
            return;
        }
        self.refresh(output);
        if let Some(present) = self.present.as_ref().filter(|present| self.written.last() != Some(present)) {
            self.written.push(present.clone());
        }
    }

    /// To be called when a read was handled. If it was `all` that was queued, what was written is reported.
    pub fn forget(&mut self, all: bool) {
        self.is_recent = false;
        if all {
            self.written.clear();
        }
    }

    /// Whether an event is one of these. What others write to the output is taken for one, too.
    pub fn caused(&mut self, event: &Event, output: &Output) -> bool {
        let Some(file) = output.file().filter(|_| event.mask.has(IN_MODIFY)) else { return false };
        let (directory, name) = event.path.split_at(event.watched);
        if name.is_empty() {
            return self.operands.iter().any(|operand| operand == directory);
        }
        if self.present.is_none() {
            return file.is_at(&absolute(&self.base, event.path));
        }
        if self.locations().all(|location| location.name != name) {
            return false;
        }
        if !self.is_recent {
            self.refresh(output);
        }
        let Some(directory) = self.directory(event.watch, directory) else { return false };
        self.locations().any(|location| location.is_at(directory, name))
    }

    /// To be called when another output was opened by `path`, and before the former one is closed.
    pub fn reopen(&mut self, former: &Output, output: &Output, path: &[u8]) -> Reopened {
        self.refresh(former);
        let former = self.present.take();
        self.written.extend(former.clone());
        self.refresh(output);
        // It may have been renamed since; where the path is a link, it never had that name.
        Reopened { closed: former, opened: [Location::by_path(path), self.present.clone()] }
    }

    /// Whether an event of those that came in the meantime is one of opening the one and closing the other.
    pub fn caused_reopening(&self, reopened: &Reopened, mask: Mask, path: &[u8]) -> bool {
        let locations = match mask & (IN_CREATE | IN_OPEN | IN_CLOSE_WRITE) {
            Mask::NONE => return false,
            IN_CLOSE_WRITE => std::slice::from_ref(&reopened.closed),
            _ => &reopened.opened,
        };
        let Some(Location { directory, name, .. }) = Location::by_path(&absolute(&self.base, path)) else {
            return false;
        };
        self.operands.iter().any(|operand| operand == path)
            || locations.iter().flatten().any(|location| location.is_at(directory, &name))
    }

    fn refresh(&mut self, output: &Output) {
        self.is_recent = true;
        self.present = output.location(self.present.take());
    }

    fn locations(&self) -> impl Iterator<Item = &Location> {
        self.written.iter().chain(&self.present)
    }

    /// The directory of a watch that has this path.
    fn directory(&mut self, watch: Wd, path: &[u8]) -> Option<FileId> {
        if let Some((_, directory)) = self.directories.iter().find(|(known, _)| *known == watch) {
            return Some(*directory);
        }
        let directory = FileId::at(&absolute(&self.base, path))?;
        if self.locations().any(|location| location.directory == directory) {
            self.directories.push((watch, directory));
        }
        Some(directory)
    }
}
