//! Operands whose watches end: what became of them, and what to do. The reference says nothing, and with `-m` waits on
//! for events that cannot come.

use std::collections::HashSet;

use crate::filter::bare;
use crate::messages::Message;
use crate::source::{Event, Interface, Scope, Settings, Source};
use crate::sys::file;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_DELETE_SELF, IN_IGNORED, IN_ONESHOT, IN_UNMOUNT};
use crate::sys::process::absolute;

/// Which operands are not watched any more.
#[derive(Debug)]
pub struct Endings {
    /// The watches of operands that have ended.
    over: HashSet<Wd>,
    /// Whole file systems are watched, which do not end with an operand.
    is_whole: bool,
    /// A watch ends after its first event.
    oneshot: bool,
    /// Symbolic links were followed.
    follow: bool,
    base: Vec<u8>,
    /// A watch has ended since [`Endings::nothing_left`] was asked.
    ended: bool,
}

impl Endings {
    /// Of what is watched by these settings.
    pub fn new(settings: &Settings) -> Endings {
        let Settings { events, follow, ref base, interface, .. } = *settings;
        Endings {
            over: HashSet::new(),
            is_whole: matches!(interface, Interface::Fanotify(Scope::Filesystem | Scope::Mount)),
            oneshot: events.has(IN_ONESHOT),
            follow,
            base: base.clone(),
            ended: false,
        }
    }

    /// What to say of an event if it is the end of a watch. `goes_on`: not every end is the end of the program.
    pub fn of(&mut self, event: &Event, goes_on: bool) -> Option<Message> {
        if !event.mask.has(IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF) || !goes_on && !event.ends_wait {
            return None;
        }
        self.ended = true;
        let path = bare(event.path);
        let is_operand = !self.is_whole && event.ends_operand && self.over.insert(event.watch);
        if self.oneshot || !is_operand && goes_on {
            return None;
        }
        let is_there = |path: &[u8]| file::exists(&absolute(&self.base, path), self.follow);
        let (what, then): (&[u8], &[u8]) = match event.mask.has(IN_UNMOUNT) {
            true => (b"' is no longer watched: its file system was unmounted.", b""),
            false if !is_operand => (b"' was deleted. To continue after that, use -m.", b""),
            false if is_there(path) => (
                b"' is no longer watched: it was replaced. To see what replaces it, watch its directory, '",
                b"'.",
            ),
            false => (
                b"' is no longer watched: it was deleted. To see it come back, watch its directory, '",
                b"'.",
            ),
        };
        let directory = if then.is_empty() { b"" } else { directory_of(path) };
        Some(Message::new(&[b"'", path, what, directory, then]))
    }

    /// What to say if watches have ended and none is left.
    pub fn nothing_left(&mut self, source: &dyn Source) -> Option<&'static str> {
        let ended = std::mem::take(&mut self.ended);
        (ended && source.watches() == 0).then_some("No watch is left: no more events will be reported.")
    }
}

/// The directory that a path's last name is in.
fn directory_of(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}
