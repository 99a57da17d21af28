//! fanotify's events in inotify's form: taken apart, put in order, and as far as they were asked for.

use std::io;
use std::os::fd::OwnedFd;

use libc::{
    FAN_Q_OVERFLOW, FAN_RENAME, IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR,
    IN_MOVE, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::event::Mask;
use crate::fanotify::course::{Course, Place};
use crate::fanotify::{joined, path_now, split};
use crate::sys::directory::{self, Kind, Reader};
use crate::sys::fanotify::{self, Entry, Handle, decoded, handle_of};
use crate::sys::inotify::RawEvent;

use super::batch::Batch;
use super::{FsId, ON_DIRECTORY, PLAIN, State, Watch};

impl State {
    /// Tells in inotify's form what was read.
    pub(super) fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let own = std::process::id() as i32;
        // What is read apart did not happen together.
        self.half = None;
        self.reads += 1;
        let mut batch = Batch::of(bytes);
        for object in batch.moved.keys() {
            // It is not there yet when what comes before happened.
            let watch = self.by_handle.get(*object).and_then(|wd| self.watches.get_mut(wd));
            if let Some(operand) = watch.and_then(|watch| watch.operand.as_mut()) {
                operand.seen.0 = self.reads;
            }
        }
        for (number, event) in decoded(bytes).enumerate() {
            self.read += 1;
            self.cause = event.pid;
            if event.mask & FAN_Q_OVERFLOW != 0 {
                self.tell_overflow(out);
            } else if event.pid == own {
                // Its own doing.
            } else if event.mask & FAN_RENAME != 0 {
                self.rename(number, &event, &mut batch, out);
            } else {
                self.other(number, &event, &mut batch, out);
            }
        }
        self.cause = 0;
        for handle in std::mem::take(&mut batch.gone) {
            self.tell_end(handle, out);
        }
        self.courses.retain(|_, course| course.is_doubtful() || course.left.is_some());
        for (handle, renames) in &batch.renames {
            let last = renames.last().map(|(number, ..)| number);
            if last > batch.moved.get(handle) && self.by_handle.contains_key(*handle) {
                self.owed.insert((*handle).into());
            }
        }
    }

    /// Where things are is not known any more.
    pub(super) fn tell_overflow(&mut self, out: &mut Vec<u8>) {
        self.places.clear();
        self.courses.clear();
        RawEvent { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: b"" }.encode(out);
    }

    /// A rename, of which both ends are told as far as they are watched.
    fn rename<'a>(
        &mut self,
        number: usize,
        event: &fanotify::RawEvent<'a>,
        batch: &mut Batch<'a>,
        out: &mut Vec<u8>,
    ) {
        let directory = event.mask as Mask & IN_ISDIR;
        let old = event.old.and_then(|entry| self.watched(entry));
        let new = event.new.and_then(|entry| self.watched(entry));
        let [old, new] = [old, new].map(|entry| entry.map(|(wd, name)| (wd, Box::from(name))));
        let exchanged = self.last.take().filter(|(from, to, object, pid)| {
            let swapped = *from == new && *to == old && event.object != Some(object);
            swapped && *pid == event.pid
        });
        if let Some(object) = event.object {
            let first = exchanged.as_ref().map(|(_, _, first, _)| &**first);
            self.catch_up(object, &old, first, out);
            if let Some(other) = batch.partners.get(&number) {
                self.catch_up(other, &new, Some(object), out);
            }
            self.last = Some((old.clone(), new.clone(), object.into(), event.pid));
        }
        if exchanged.is_none() && !batch.partners.contains_key(&number) {
            self.vacate(&new, event.object, batch, out);
        }
        let cookie = self.next_cookie(exchanged.is_some());
        self.tell_rename(event.object, directory, [&old, &new], cookie, out);
        let Some(object) = event.object else { return };
        let course = self.courses.entry(object.into()).or_insert_with(|| Course::new(directory));
        course.go(old.clone(), new.clone());
        if let Some((.., other, _)) = exchanged {
            course.exchanged_with(&old, &other);
            if let Some(course) = self.courses.get_mut(&other) {
                course.exchanged_with(&new, object);
            }
        }
        for (entry, directory, object) in batch.deferred.remove(&number).into_iter().flatten() {
            self.deletion(entry, directory, object, batch, out);
        }
    }

    /// Half of an exchange has the number that follows the other half's.
    fn next_cookie(&mut self, second: bool) -> u32 {
        self.cookie = self.cookie.wrapping_add(if second { 1 } else { 2 }).max(1);
        self.cookie
    }

    /// Something has come to be at a place. What is said to be there, and may have gone on by a rename that became one with
    /// an earlier one, did so: where to shows later.
    fn vacate(&mut self, place: &Place, by: Option<&Handle>, batch: &Batch, out: &mut Vec<u8>) {
        if place.is_none() {
            return;
        }
        let there = self.courses.iter().find(|(object, course)| {
            let other = Some(&***object) != by && !batch.gone.contains(&&***object);
            other && course.at == *place && course.is_doubtful()
        });
        let Some(object) = there.map(|(object, _)| object.clone()) else { return };
        let cookie = self.next_cookie(false);
        let Some(course) = self.courses.get_mut(&object) else { return };
        (course.at, course.left) = (None, Some(cookie));
        let directory = course.directory;
        self.tell_rename(Some(&object), directory, [place, &None], cookie, out);
    }

    /// A rename, by those ends that are watched.
    fn tell_rename(
        &mut self,
        object: Option<&Handle>,
        directory: Mask,
        [old, new]: [&Place; 2],
        cookie: u32,
        out: &mut Vec<u8>,
    ) {
        for (place, bit) in [(old, IN_MOVED_FROM), (new, IN_MOVED_TO)] {
            if let Some((wd, name)) = place {
                self.tell(RawEvent { wd: *wd, mask: bit | directory, cookie, name }, out);
            }
        }
        let Some(object) = object else { return };
        if let Some(wd) = self.by_handle.get(object).copied() {
            self.look_for(wd, out);
            self.tell(RawEvent { wd, mask: IN_MOVE_SELF, cookie: 0, name: b"" }, out);
        }
        if directory != 0 {
            match new {
                Some((wd, name)) => self.place(object, *wd, name),
                None => drop(self.places.remove(object)),
            }
        }
    }

    /// An object is at a place. Where renames that were told led elsewhere, the one that brought it here has become one with
    /// an earlier one: that is told again; of an exchange both halves, unless the other is of `but`.
    pub(super) fn catch_up(
        &mut self,
        object: &Handle,
        place: &Place,
        but: Option<&Handle>,
        out: &mut Vec<u8>,
    ) {
        let Some(course) = self.courses.get_mut(object).filter(|course| course.at != *place) else { return };
        let partner = match course.step_to(place) {
            Some(partner) => partner,
            // It went some way; a file may have several names.
            None if course.directory != 0 || course.left.is_some() => None,
            None => return,
        };
        let (directory, from) = (course.directory, std::mem::replace(&mut course.at, place.clone()));
        let left = course.left.take();
        let cookie = left.unwrap_or_else(|| self.next_cookie(false));
        self.tell_rename(Some(object), directory, [&from, place], cookie, out);
        if let Some(partner) = partner.filter(|partner| Some(&**partner) != but) {
            let other = self.courses.get_mut(&partner).filter(|course| course.at == *place);
            if let Some(course) = other {
                course.at = from.clone();
                let directory = course.directory;
                let cookie = self.next_cookie(true);
                self.tell_rename(Some(&partner), directory, [place, &from], cookie, out);
            }
        }
    }

    /// Any other event.
    fn other<'a>(
        &mut self,
        number: usize,
        event: &fanotify::RawEvent<'a>,
        batch: &mut Batch<'a>,
        out: &mut Vec<u8>,
    ) {
        let mask = event.mask as Mask;
        let entry = match event.place {
            Some(Entry { directory, name: b"." }) => return self.of_itself(directory, mask, batch, out),
            Some(entry) => self.watched(entry).map(|found| (entry, found)),
            None => None,
        };
        let Some((entry, (wd, name))) = entry else {
            if let Some(object) = event.object {
                if let Some(entry) = event.place {
                    self.look_where(object, entry, out);
                }
                self.of_itself(object, mask & !IN_ISDIR, batch, out);
            }
            return;
        };
        let directory = mask & IN_ISDIR;
        let cookie = self.cookie_of(event);
        if mask & IN_CREATE != 0 && !self.courses.is_empty() {
            self.vacate(&Some((wd, name.into())), event.object, batch, out);
        }
        let mut tell = |state: &mut State, bits: Mask, cookie| {
            if mask & bits != 0 {
                state.tell(RawEvent { wd, mask: mask & bits | directory, cookie, name }, out);
            }
        };
        tell(self, IN_CREATE, 0);
        tell(self, IN_MOVED_TO, cookie);
        if let Some(object) = event.object.filter(|_| directory != 0 && mask & IN_CREATE != 0) {
            self.place(object, wd, name);
        }
        if event.object.is_none() && directory != 0 && mask & (IN_MOVED_FROM | IN_DELETE) != 0 {
            // An older kernel does not tell which it was.
            self.places.retain(|_, (above, known)| *above != wd || **known != *name);
        }
        tell(self, PLAIN, 0);
        tell(self, IN_MOVED_FROM, cookie);
        if mask & IN_DELETE != 0 {
            match batch.last_return(number, entry, event.object).filter(|_| mask & IN_CREATE != 0) {
                Some(rename) => {
                    batch.deferred.entry(rename).or_default().push((entry, directory, event.object));
                }
                None => self.deletion(entry, directory, event.object, batch, out),
            }
        }
    }

    /// The number that a half of a rename is told with, where the kernel tells each in an event of its own.
    fn cookie_of(&mut self, event: &fanotify::RawEvent) -> u32 {
        let mask = event.mask as Mask;
        if mask & IN_MOVE == 0 {
            return 0;
        }
        // The second half follows at once.
        let alike = (event.pid, mask & IN_ISDIR);
        let half = self.half.take().filter(|(number, _, first)| number + 1 == self.read && *first == alike);
        let cookie = half.filter(|_| mask & IN_MOVED_TO != 0).map(|(_, cookie, _)| cookie);
        let cookie = cookie.unwrap_or_else(|| self.next_cookie(false));
        if mask & IN_MOVED_FROM != 0 {
            self.half = Some((self.read, cookie, alike));
        }
        cookie
    }

    fn deletion<'a>(
        &mut self,
        entry: Entry<'a>,
        directory: Mask,
        object: Option<&'a Handle>,
        batch: &mut Batch<'a>,
        out: &mut Vec<u8>,
    ) {
        if let Some(object) = object {
            let place = self.watched(entry).map(|(wd, name)| (wd, Box::from(name)));
            if !self.courses.is_empty() && place.is_some() {
                self.catch_up(object, &place, None, out);
                if self.courses.get(object).is_some_and(|course| course.at == place) {
                    self.courses.remove(object);
                }
            }
            self.places.remove(object);
            // Its own end comes first.
            if let Some(at) = batch.gone.iter().position(|gone| *gone == object) {
                batch.gone.remove(at);
                self.tell_end(object, out);
            }
        }
        if let Some((wd, name)) = self.watched(entry) {
            self.tell(RawEvent { wd, mask: IN_DELETE | directory, cookie: 0, name }, out);
        }
    }

    /// An event that names no entry but what it happened to.
    fn of_itself(&mut self, object: &Handle, mask: Mask, batch: &Batch, out: &mut Vec<u8>) {
        let Some(wd) = self.by_handle.get(object).copied() else {
            let place = self.places.get(object).filter(|(above, _)| self.watches.contains_key(above));
            if let Some((wd, name)) = place.filter(|_| mask & ON_DIRECTORY != 0) {
                let (wd, name) = (*wd, [name, &b"/"[..]].concat());
                self.tell(
                    RawEvent { wd, mask: mask & (ON_DIRECTORY | IN_ISDIR), cookie: 0, name: &name },
                    out,
                );
            }
            return;
        };
        if mask & PLAIN != 0 {
            self.tell(RawEvent { wd, mask: mask & (PLAIN | IN_ISDIR), cookie: 0, name: b"" }, out);
        }
        if mask & IN_MOVE_SELF != 0 {
            self.look_for(wd, out);
        }
        // Of a rename that was told this was told with it.
        if mask & IN_MOVE_SELF != 0 && !batch.renames.contains_key(object) && !self.owed.remove(object) {
            self.tell(RawEvent { wd, mask: IN_MOVE_SELF, cookie: 0, name: b"" }, out);
        }
    }

    /// An object is gone, and its watch with it.
    pub(super) fn tell_end(&mut self, object: &Handle, out: &mut Vec<u8>) {
        if let Some(wd) = self.by_handle.get(object).copied() {
            self.tell(RawEvent { wd, mask: IN_DELETE_SELF, cookie: 0, name: b"" }, out);
            self.end(wd, out);
        }
    }

    /// A file system is not there any more.
    pub(super) fn tell_unmount(&mut self, id: FsId, out: &mut Vec<u8>) {
        self.devices.remove(&id);
        self.places.retain(|handle, _| !handle.starts_with(&id));
        let on_it = self.watches.iter().filter(|(_, watch)| watch.handle.starts_with(&id));
        let mut on_it: Vec<i32> = on_it.map(|(wd, _)| *wd).collect();
        on_it.sort_unstable();
        for wd in on_it {
            let directory = self.watches.get(&wd).map_or(0, Watch::directory);
            RawEvent { wd, mask: IN_UNMOUNT | directory, cookie: 0, name: b"" }.encode(out);
            self.end(wd, out);
        }
    }

    /// Looks where an operand is, and tells if it is elsewhere than before.
    fn look_for(&mut self, wd: i32, out: &mut Vec<u8>) {
        let Some(Watch { handle, operand: Some(operand), .. }) = self.watches.get_mut(&wd) else { return };
        operand.seen.0 = self.reads;
        if let Some(path) = path_now(handle, &operand.path) {
            operand.found_at(path, out, wd);
        }
    }

    /// The same for one that is no directory and is told of as this entry, which it is or was.
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
        if found.is_some() || known != name {
            let path = joined(found.as_deref().unwrap_or(above), name);
            operand.found_at(path, out, wd);
        }
    }

    /// Tells an event as far as it was asked for.
    fn tell(&mut self, event: RawEvent, out: &mut Vec<u8>) {
        let Some(watch) = self.watches.get(&event.wd) else { return };
        let (asked, directory) = (watch.mask, watch.directory());
        let unseen = watch.operand.as_ref().is_some_and(|operand| operand.seen.0 != self.reads);
        let mut mask = event.mask & (asked | IN_ISDIR);
        if mask & IN_ALL_EVENTS != 0 {
            if directory != 0 && unseen {
                self.look_for(event.wd, out);
            }
            // inotify leaves it out of a directory's own MOVE_SELF and DELETE_SELF, fanotify does not.
            if event.name.is_empty() {
                mask |= directory;
            }
            RawEvent { mask, ..event }.encode_caused(self.cause, out);
            if asked & IN_ONESHOT != 0 {
                self.end(event.wd, out);
            }
        }
    }

    /// Ends a watch and tells of it, once.
    fn end(&mut self, wd: i32, out: &mut Vec<u8>) {
        if self.forget(wd).is_some() {
            RawEvent { wd, mask: IN_IGNORED, cookie: 0, name: b"" }.encode(out);
        }
    }

    pub(super) fn forget(&mut self, wd: i32) -> Option<Watch> {
        let watch = self.watches.remove(&wd)?;
        self.by_handle.remove(&watch.handle);
        self.owed.remove(&watch.handle);
        Some(watch)
    }

    fn watched<'a>(&self, entry: Entry<'a>) -> Option<(i32, &'a [u8])> {
        Some((*self.by_handle.get(entry.directory)?, entry.name))
    }

    /// Remembers where a directory is.
    fn place(&mut self, directory: &Handle, wd: i32, name: &[u8]) {
        if self.places.len() >= self.crowd {
            self.places.retain(|_, (above, _)| self.watches.contains_key(above));
            self.crowd = 2 * self.places.len() + 1024;
        }
        self.places.insert(directory.into(), (wd, name.into()));
    }

    /// Remembers the directories that are in a watched one.
    pub(super) fn list(&mut self, wd: i32, object: &OwnedFd) -> io::Result<()> {
        let directory = directory::open(directory::through(object).as_bytes())?;
        let mut found = Vec::new();
        Reader::default().read(&directory, |name, kind| {
            if matches!(kind, Kind::Directory | Kind::Unknown) {
                found.push(Box::<[u8]>::from(name));
            }
        })?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        for name in found {
            // One that is gone will tell.
            if let Ok(below) = openat(&directory, &*name, flags, Mode::empty()) {
                if let Ok(handle) = handle_of(&below) {
                    self.place(&handle, wd, &name);
                }
            }
        }
        Ok(())
    }
}
