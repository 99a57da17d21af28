//! fanotify's changes in inotify's form, as far as they were asked for.

use std::io;
use std::os::fd::OwnedFd;

use libc::FAN_Q_OVERFLOW;
use nix::fcntl::OFlag;

use crate::fanotify::normalise::{Rename, Step};
use crate::fanotify::{is_at, joined, path_now, split};
use crate::queue::{self, Subject};
use crate::sys::directory::{self, Kind, Reader};
use crate::sys::fanotify::{self, Entry, Handle, decoded, handle_of};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE, IN_MOVE_SELF,
    IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT, Mask,
};

use super::{FirstHalf, FsId, ON_DIRECTORY, PLAIN, State, Watch};

impl State {
    /// Appends what was read to `out` in inotify's form.
    pub(in crate::fanotify) fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // The two halves of a rename are read together.
        self.half = None;
        self.reads += 1;
        if self.operands {
            self.expect_moves(bytes);
        }
        let steps = self.normaliser.normalise(bytes);
        self.report_steps(bytes, &steps, out);
    }

    /// Before the MOVE_SELF of an operand its new path is not true yet: no look is needed.
    fn expect_moves(&mut self, bytes: &[u8]) {
        for event in decoded(bytes).filter(|event| event.events().has(IN_MOVE_SELF)) {
            let wd = event.itself().and_then(|object| self.by_handle.get(object));
            let watch = wd.and_then(|wd| self.watches.get_mut(wd));
            if let Some(operand) = watch.and_then(|watch| watch.operand.as_mut()) {
                operand.seen.0 = self.reads;
            }
        }
    }

    pub(super) fn report_steps(&mut self, bytes: &[u8], steps: &[Step], out: &mut Vec<u8>) {
        for step in steps {
            match step {
                Step::Rename(rename) => {
                    self.cause = rename.process;
                    self.report_rename(rename, out);
                }
                Step::Linked(linked) => {
                    self.cause = linked.process;
                    let (directory, name) = &linked.entry;
                    if let Some(wd) = self.by_handle.get(&**directory).copied() {
                        self.report(RawEvent { wd, mask: IN_CREATE, cookie: 0, name }, out);
                    }
                }
                Step::Event { .. } => {
                    if let Some(event) = step.event(bytes) {
                        self.cause = event.pid;
                        self.report_event(&event, out);
                    }
                }
            }
        }
        self.cause = 0;
    }

    /// Where things are is not known any more.
    pub(super) fn report_overflow(&mut self, out: &mut Vec<u8>) {
        self.places.clear();
        self.normaliser.forget();
        RawEvent { wd: Wd::NONE, mask: IN_Q_OVERFLOW, cookie: 0, name: b"" }.encode(out);
    }

    /// A rename, by those ends that are watched: MOVED_FROM, MOVED_TO, and MOVE_SELF of the object.
    fn report_rename(&mut self, rename: &Rename, out: &mut Vec<u8>) {
        let directory = IN_ISDIR.when(rename.is_directory);
        let cookie = rename.cookie;
        let [old, new] = [&rename.old, &rename.new].map(|place| {
            let (directory, name) = place.as_ref()?;
            Some((*self.by_handle.get(&**directory)?, &**name))
        });
        for (place, bit) in [(old, IN_MOVED_FROM), (new, IN_MOVED_TO)] {
            if let Some((wd, name)) = place {
                self.report(RawEvent { wd, mask: bit | directory, cookie, name }, out);
            }
        }
        let Some(object) = &rename.object else { return };
        if let Some(wd) = self.by_handle.get(&**object).copied() {
            self.report_move_self(wd, false, out);
        }
        if rename.is_directory {
            match new {
                Some((wd, name)) => self.place(object, wd, name),
                None => drop(self.places.remove(object)),
            }
        }
    }

    /// Any other event.
    fn report_event(&mut self, event: &fanotify::RawEvent, out: &mut Vec<u8>) {
        let mask = event.events();
        // The second half follows at once.
        let half = self.half.take();
        if event.mask & FAN_Q_OVERFLOW != 0 {
            return self.report_overflow(out);
        }
        match event.place {
            Some(Entry { directory, name: b"." }) => self.report_itself(directory, mask, out),
            Some(entry) if self.by_handle.contains_key(entry.directory) => {
                self.report_entry(entry, event, half, out)
            }
            _ => {
                let Some(object) = event.object else { return };
                if let Some(entry) = event.place {
                    self.look_where(object, entry, out);
                }
                self.report_itself(object, mask & !IN_ISDIR, out);
            }
        }
    }

    /// An event of an entry of a watched directory.
    fn report_entry(
        &mut self,
        entry: Entry,
        event: &fanotify::RawEvent,
        half: Option<FirstHalf>,
        out: &mut Vec<u8>,
    ) {
        let Some(wd) = self.by_handle.get(entry.directory).copied() else { return };
        let (mask, name) = (event.events(), entry.name);
        let directory = mask & IN_ISDIR;
        let cookie = self.cookie_of(event, half);
        if mask.has(IN_ISDIR) {
            match event.object {
                Some(object) if mask.has(IN_CREATE) => self.place(object, wd, name),
                Some(object) if mask.has(IN_DELETE) => drop(self.places.remove(object)),
                None if mask.has(IN_MOVED_FROM | IN_DELETE) => {
                    // An older kernel does not say which it was.
                    self.places.retain(|_, (above, known)| *above != wd || **known != *name);
                }
                _ => {}
            }
        }
        let parts = [IN_CREATE, IN_MOVED_TO, PLAIN, IN_MOVED_FROM, IN_DELETE];
        for bits in parts.into_iter().filter(|bits| mask.has(*bits)) {
            let cookie = if bits.has(IN_MOVE) { cookie } else { 0 };
            self.report(RawEvent { wd, mask: mask & bits | directory, cookie, name }, out);
        }
    }

    /// The cookie of half of a rename, if the kernel reports each half by an event of its own.
    fn cookie_of(&mut self, event: &fanotify::RawEvent, half: Option<FirstHalf>) -> u32 {
        let mask = event.events();
        if !mask.has(IN_MOVE) {
            return 0;
        }
        let alike = (event.pid, mask & IN_ISDIR);
        let half = half.filter(|(_, first)| *first == alike && mask.has(IN_MOVED_TO));
        let cookie = half.map_or_else(|| self.normaliser.next_cookie(false), |(cookie, _)| cookie);
        if mask.has(IN_MOVED_FROM) {
            self.half = Some((cookie, alike));
        }
        cookie
    }

    /// An event that names no entry but the object that it happened to.
    fn report_itself(&mut self, object: &Handle, mask: Mask, out: &mut Vec<u8>) {
        if mask.has(IN_DELETE_SELF) {
            self.report_end(object, out);
        }
        let Some(wd) = self.by_handle.get(object).copied() else {
            let place = self.places.get(object).filter(|(above, _)| self.watches.contains_key(above));
            if let Some((wd, name)) = place.cloned().filter(|_| mask.has(ON_DIRECTORY)) {
                let mask = mask & (ON_DIRECTORY | IN_ISDIR);
                self.report_about(Subject::Directory, RawEvent { wd, mask, cookie: 0, name: &name }, out);
            }
            return;
        };
        if mask.has(PLAIN) {
            self.report(RawEvent { wd, mask: mask & (PLAIN | IN_ISDIR), cookie: 0, name: b"" }, out);
        }
        if mask.has(IN_MOVE_SELF) {
            self.report_move_self(wd, true, out);
        }
    }

    /// MOVE_SELF of a watch, by the kernel's own event of it or by the rename.
    fn report_move_self(&mut self, wd: Wd, by_itself: bool, out: &mut Vec<u8>) {
        if self.watches.get(&wd).is_some_and(|watch| watch.has_move_self == by_itself) {
            self.look_for(wd, out);
            self.report(RawEvent { wd, mask: IN_MOVE_SELF, cookie: 0, name: b"" }, out);
        }
    }

    /// An object is gone, and its watch with it.
    pub(super) fn report_end(&mut self, object: &Handle, out: &mut Vec<u8>) {
        if let Some(wd) = self.by_handle.get(object).copied() {
            self.report(RawEvent { wd, mask: IN_DELETE_SELF, cookie: 0, name: b"" }, out);
            self.end(wd, out);
        }
    }

    /// A file system is not there any more.
    pub(super) fn report_unmount(&mut self, id: FsId, out: &mut Vec<u8>) {
        self.devices.remove(&id);
        self.places.retain(|handle, _| !handle.starts_with(&id));
        let on_it = self.watches.iter().filter(|(_, watch)| watch.handle.starts_with(&id));
        let mut on_it: Vec<Wd> = on_it.map(|(wd, _)| *wd).collect();
        on_it.sort_unstable();
        for wd in on_it {
            let directory = self.watches.get(&wd).map_or(Mask::NONE, Watch::directory);
            RawEvent { wd, mask: IN_UNMOUNT | directory, cookie: 0, name: b"" }.encode(out);
            self.end(wd, out);
        }
    }

    /// Looks where an operand is, and reports another path than before.
    fn look_for(&mut self, wd: Wd, out: &mut Vec<u8>) {
        let Some(Watch { handle, operand: Some(operand), .. }) = self.watches.get_mut(&wd) else { return };
        operand.seen.0 = self.reads;
        if let Some(path) = path_now(handle, &operand.path) {
            operand.found_at(path, out, wd);
        }
    }

    /// The same for a file that is reported as this entry, which it is or was.
    fn look_where(&mut self, object: &Handle, Entry { directory, name }: Entry, out: &mut Vec<u8>) {
        let Some(wd) = self.by_handle.get(object).copied() else { return };
        let Some(watch) = self.watches.get_mut(&wd).filter(|watch| !watch.is_directory) else { return };
        let Some(operand) = &mut watch.operand else { return };
        let (above, known) = split(&operand.path);
        let mut found = None;
        if operand.seen.0 != self.reads || *operand.seen.1 != *directory {
            found = path_now(directory, above);
            operand.seen = (self.reads, directory.into());
        }
        // Without a privilege nobody can say where another directory is: then it keeps its path.
        if found.is_some() || known != name && is_at(directory, above) {
            let path = joined(found.as_deref().unwrap_or(above), name);
            operand.found_at(path, out, wd);
        }
    }

    /// Reports the bits of an event that were asked for.
    fn report(&mut self, event: RawEvent, out: &mut Vec<u8>) {
        self.report_about(Subject::Entry, event, out);
    }

    fn report_about(&mut self, subject: Subject, event: RawEvent, out: &mut Vec<u8>) {
        let Some(watch) = self.watches.get(&event.wd) else { return };
        let (asked, directory) = (watch.mask, watch.directory());
        let unseen = watch.operand.as_ref().is_some_and(|operand| operand.seen.0 != self.reads);
        let mut mask = event.mask & (asked | IN_ISDIR);
        if mask.has(IN_ALL_EVENTS) {
            if directory != Mask::NONE && unseen {
                self.look_for(event.wd, out);
            }
            // inotify leaves it out of a directory's own MOVE_SELF and DELETE_SELF, fanotify does not.
            if event.name.is_empty() {
                mask |= directory;
            }
            queue::encode(&RawEvent { mask, ..event }, subject, self.cause, out);
            if asked.has(IN_ONESHOT) {
                self.end(event.wd, out);
            }
        }
    }

    /// Ends a watch and reports that, once.
    fn end(&mut self, wd: Wd, out: &mut Vec<u8>) {
        if self.forget(wd).is_some() {
            RawEvent { wd, mask: IN_IGNORED, cookie: 0, name: b"" }.encode(out);
        }
    }

    pub(in crate::fanotify) fn forget(&mut self, wd: Wd) -> Option<Watch> {
        let watch = self.watches.remove(&wd)?;
        self.by_handle.remove(&watch.handle);
        Some(watch)
    }

    /// Remembers where a directory is.
    fn place(&mut self, directory: &Handle, wd: Wd, name: &[u8]) {
        if self.places.len() >= self.crowd {
            self.places.retain(|_, (above, _)| self.watches.contains_key(above));
            self.crowd = 2 * self.places.len() + 1024;
        }
        self.places.insert(directory.into(), (wd, name.into()));
    }

    /// Remembers the directories that are in a watched one.
    pub(super) fn list(&mut self, wd: Wd, object: &OwnedFd) -> io::Result<()> {
        let directory = directory::open(directory::through(object).as_bytes())?;
        let mut found = Vec::new();
        Reader::default().read(&directory, |name, kind| {
            if matches!(kind, Kind::Directory | Kind::Unknown) {
                found.push(Box::<[u8]>::from(name));
            }
        })?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        for name in found {
            // If it is gone, its parent reports that.
            if let Ok(below) = directory::open_in(&directory, &name, flags) {
                if let Ok(handle) = handle_of(&below) {
                    self.place(&handle, wd, &name);
                }
            }
        }
        Ok(())
    }
}
