//! A mark for each directory or file, and their events in inotify's form: what an ordinary user gets of fanotify(7).
//!
//! Whoever follows a tree by inotify's events follows it by these. Three things make them differ, and are mended
//! here. Events that nobody has read yet become one with an earlier event on the same entry by the same process,
//! which holds then more bits than one: they are taken apart again in the order that they must have had. A rename is one
//! event, in inotify three. And of a directory's own events there is one that names the directory, whoever watches it
//! or the one above it.
//!
//! No descriptor stays open on what is watched: the file system could not be unmounted.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use libc::{
    FAN_EVENT_ON_CHILD, FAN_ONDIR, FAN_Q_OVERFLOW, FAN_RENAME, IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE,
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_DONT_FOLLOW, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_ONLYDIR, IN_OPEN, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::event::Mask;
use crate::fanotify::course::{Course, Place};
use crate::fanotify::mounts::Lookout;
use crate::fanotify::{is_directory, joined, mounts, path_now, path_of, refusal, split};
use crate::sys::directory::{self, Kind, Reader};
use crate::sys::fanotify::{self, Entry, Group, Handle, Target, decoded, handle_of};
use crate::sys::inotify::RawEvent;

/// What happens to an object and does not change what is where.
const PLAIN: Mask = IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CLOSE | IN_OPEN;
/// Of those, what a directory in a watched one may be told of.
const ON_DIRECTORY: Mask = IN_ACCESS | IN_ATTRIB | IN_CLOSE | IN_OPEN;
/// What only directories tell.
const DIRENT: Mask = IN_CREATE | IN_DELETE | IN_MOVE;
/// A file system that is not mounted any more may still be in use, or be written: so soon it is looked at again, and
/// then twice as late each time.
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// And so late last.
const LAST_LOOK: Duration = Duration::from_secs(60);
/// How long, in milliseconds, the second half of a rename may be on its way.
const PATIENCE: u8 = 20;
/// A buffer larger than this, in bytes, is given back.
const KEEP: usize = 256 * 1024;

/// A file system's id: the beginning of its handles.
type FsId = [u8; 8];

/// A fanotify group with inode marks.
#[derive(Debug)]
pub struct Marks {
    group: Group,
    /// Readable when the group or the timer is, or when the mount table has changed.
    lookout: Lookout,
    /// For a look at marks that may be about to go.
    timer: TimerFd,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is watched are operands: directories below one are not watched, but told of.
    operands: bool,
    watches: HashMap<i32, Watch>,
    by_handle: HashMap<Box<Handle>, i32>,
    /// The watch added last.
    newest: i32,
    /// Where directories are that were heard of and may not be watched: their own events name only them.
    places: HashMap<Box<Handle>, (i32, Box<[u8]>)>,
    /// At so many of them those of watches that are gone are dropped.
    crowd: usize,
    /// The device of each file system with marks, as the kernel shows it, if that is known.
    devices: HashMap<FsId, Option<u32>>,
    /// What the last rename was told by.
    cookie: u32,
    /// The path by which the watch that was added last was found.
    path: CString,
    /// Objects that were renamed.
    courses: HashMap<Box<Handle>, Course>,
    /// The last rename: both ends, the object and the process. An exchange is two, the second undoing the first for another
    /// object.
    last: Option<(Place, Place, Box<Handle>, i32)>,
    /// For how long to wait before the next look at whether a file system's marks are gone.
    look_again: Option<Duration>,
    /// Events were thrown away since the last read.
    lost: bool,
    /// What was found out without being read.
    found: Vec<u8>,
    /// Objects of which a rename was told whose MOVE_SELF has perhaps not been read.
    owed: HashSet<Box<Handle>>,
    /// On kernels that tell the halves of a rename apart: the number of the event that told of the first, its cookie and
    /// what the second has to be alike in.
    half: Option<(u64, u32, (i32, Mask))>,
    /// How many events were read, ever.
    read: u64,
    /// How many times.
    reads: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Watch {
    handle: Box<Handle>,
    /// What was asked for.
    mask: Mask,
    is_directory: bool,
    /// Where an operand is.
    path: Vec<u8>,
    /// When that was looked at last ([`State::reads`]), and which directory a file was then told of in.
    seen: (u64, Box<Handle>),
}

impl Watch {
    fn directory(&self) -> Mask {
        if self.is_directory { IN_ISDIR } else { 0 }
    }

    /// It has another path.
    fn found_at(&mut self, path: Vec<u8>, out: &mut Vec<u8>, wd: i32) {
        RawEvent { wd, mask: 0, cookie: 0, name: &path }.encode(out);
        self.path = path;
    }
}

/// The number of an event, and from where to where.
type Rename<'a> = (usize, Option<Entry<'a>>, Option<Entry<'a>>);
/// What was deleted, whether it is a directory, and the object.
type Deletion<'a> = (Entry<'a>, Mask, Option<&'a Handle>);

/// What the events that were read together say of objects, ahead of their turn.
#[derive(Default)]
struct Batch<'a> {
    /// Where each object was renamed, by the number of the event.
    renames: HashMap<&'a Handle, Vec<Rename<'a>>>,
    /// The last event that says that the object was renamed, of each that has one.
    moved: HashMap<&'a Handle, usize>,
    /// Objects that are gone.
    gone: Vec<&'a Handle>,
    /// Deletions that belong behind a rename.
    deferred: HashMap<usize, Vec<Deletion<'a>>>,
    /// With what the object of a rename changes places, by the number of the event: the next rename is its.
    partners: HashMap<usize, &'a Handle>,
}

impl Marks {
    /// A group without marks; [`Group::new`] has the errors. `operands`: only those are watched. What happens to directories
    /// below one is told all the same, and where one is renamed to, if that can be found out: an event without bits, and
    /// with the path as its name.
    pub fn new(operands: bool) -> io::Result<Marks> {
        let group = Group::new()?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let lookout = Lookout::new(&[group.as_fd(), timer.as_fd()])?;
        let state = RefCell::new(State { operands, ..State::default() });
        Ok(Marks { group, lookout, timer, state })
    }

    /// Marks what is at `path`, as inotify_add_watch(2) does: returns the number of the watch, which is the old one where
    /// the object is watched already. [`refusal::explained`] tells of the errors that are fanotify's own.
    pub fn add_watch(&self, path: &CStr, mask: Mask) -> io::Result<i32> {
        let object = open(path, mask)?;
        let handle = handle_of(&object).map_err(|error| refusal::explained(error, &object))?;
        let is_directory = mask & IN_ONLYDIR != 0 || is_directory(&object)?;
        let state = &mut *self.state.borrow_mut();
        let known = state.by_handle.get(&handle).copied();
        let asked = mask & (IN_ALL_EVENTS | IN_ONESHOT);
        let same = known.is_some_and(|wd| state.watches.get(&wd).is_some_and(|watch| watch.mask == asked));
        if !same {
            let mark = self.mark_of(mask, is_directory, state.operands);
            let marked = self.group.mark(&object, Target::Inode, mark);
            marked.map_err(|error| refusal::explained(error, &object))?;
        }
        if let Some(id) = handle.first_chunk() {
            state.devices.entry(*id).or_insert_with(|| device_of(&object));
        }
        let wd = known.unwrap_or_else(|| {
            state.newest += 1;
            state.by_handle.insert(handle.clone(), state.newest);
            state.path = path.into();
            state.newest
        });
        // What has none that fits PATH_MAX keeps the one by which it was given.
        let path = || if state.operands { path_of(&object).unwrap_or_default() } else { Vec::new() };
        let watch = state.watches.entry(wd);
        let watch = watch.or_insert_with(|| Watch {
            handle,
            mask: 0,
            is_directory,
            path: path(),
            seen: Default::default(),
        });
        watch.mask = asked;
        if state.operands && is_directory && mask & ON_DIRECTORY != 0 && known.is_none() {
            // What cannot be read is not told of.
            let _ = state.list(wd, &object);
        }
        Ok(wd)
    }

    /// Whether what is at `path` is watched as `wd`.
    pub fn is_at(&self, path: &CStr, mask: Mask, wd: i32) -> bool {
        let handle = open(path, mask).and_then(|object| handle_of(&object));
        handle.is_ok_and(|handle| self.state.borrow().by_handle.get(&handle) == Some(&wd))
    }

    /// Ends a watch; EINVAL where there is none. Only of the one that was added last the kernel's mark is removed, too: for
    /// that a path is needed that leads there. Of any other nothing is told any more, and its mark ends with its object.
    pub fn rm_watch(&self, wd: i32) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        let watch = state.forget(wd).ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
        if wd == state.newest {
            let object = open(&state.path, IN_DONT_FOLLOW)?;
            if handle_of(&object)? == watch.handle {
                let mark = self.mark_of(watch.mask, is_directory(&object)?, state.operands);
                self.group.unmark(&object, Target::Inode, mark)?;
            }
        }
        Ok(())
    }

    /// Appends what is queued now to `buffer`, in inotify's form; returns the number of bytes. Never blocks.
    pub fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        let state = &mut *self.state.borrow_mut();
        state.lost = false;
        buffer.append(&mut state.found);
        let gone = if self.is_time_to_look(state) { self.unmounted(state) } else { Vec::new() };
        let mut bytes = std::mem::take(&mut state.buffer);
        bytes.clear();
        let read = self.queued(&mut bytes);
        state.translate(&bytes, buffer);
        if bytes.capacity() <= KEEP {
            state.buffer = bytes;
        }
        for id in gone {
            state.tell_unmount(id, buffer);
        }
        match read {
            Err(error) if buffer.len() == before => Err(error),
            _ => Ok(buffer.len() - before),
        }
    }

    /// When all that was read is known to whoever reads: looks where those objects are of which not every rename may have been
    /// told, and lets [`read`](Self::read) tell what was not; `true` if there is something to read. `path_of`
    /// gives the path of a watched directory, without a slash at its end.
    pub fn find_out(&self, path_of: impl Fn(i32) -> Option<Vec<u8>>) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.courses.is_empty() {
            return false;
        }
        let is_at = |object: &Handle, (wd, name): &(i32, Box<[u8]>)| {
            let Some(above) = path_of(*wd) else { return false };
            let look = |path: &[u8], mask| {
                directory::with_path(path, |path| {
                    let found = open(path, mask)?;
                    Ok((handle_of(&found)?, found))
                })
            };
            let found = look(&[&above, &b"/"[..], name].concat(), IN_DONT_FOLLOW);
            // Who is just about to rename it has told of it when this is over.
            if let Ok((_, above)) = look(&above, IN_ONLYDIR) {
                directory::wait_for_change(&above);
            }
            found.is_ok_and(|(handle, _)| *handle == *object)
        };
        let mut moved = Vec::new();
        for (object, course) in &state.courses {
            if course.at.as_ref().is_none_or(|place| !is_at(object, place)) {
                let here = course.others().flatten().find(|place| is_at(object, place));
                moved.push((object.clone(), here.cloned()));
            }
        }
        let (mut bytes, mut found) = (Vec::new(), std::mem::take(&mut state.found));
        let _ = self.queued(&mut bytes);
        state.translate(&bytes, &mut found);
        if !found.is_empty() {
            // There may have been nothing to see any more.
            state.found = found;
            return true;
        }
        for (object, place) in moved {
            state.catch_up(&object, &place, None, &mut found);
        }
        state.courses.clear();
        state.found = found;
        !state.found.is_empty()
    }

    /// Where the length of its queue is set, if it has one.
    pub fn queue_length(&self) -> Option<&'static str> {
        self.group.queue_length()
    }

    /// Throws away what is queued where the queue has no limit, and lets [`read`](Self::read) tell of an overflow in its
    /// place; whether it has none.
    pub fn lose(&self) -> bool {
        if !self.group.unlimited {
            return false;
        }
        let state = &mut *self.state.borrow_mut();
        let mut bytes = Vec::new();
        if self.group.read(&mut bytes).is_ok_and(|length| length > 0) {
            let mut found = std::mem::take(&mut state.found);
            if !std::mem::replace(&mut state.lost, true) {
                state.tell_overflow(&mut found);
            }
            // Watches do not end unheard.
            for object in Batch::of(&bytes).gone {
                state.tell_end(object, &mut found);
            }
            state.found = found;
        }
        true
    }

    /// Appends what is queued now; as [`Group::read`]. Where the kernel tells the halves of a rename apart and the first comes
    /// last, waits for the other: it is being queued, unless it happened where nobody watches.
    fn queued(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let length = self.group.read(bytes)?;
        let ends_in_half = |bytes: &[u8]| {
            let last = decoded(bytes).last();
            last.is_some_and(|event| event.mask as Mask & IN_MOVE == IN_MOVED_FROM)
        };
        if self.group.tells_renames || !ends_in_half(bytes) {
            return Ok(length);
        }
        let mut fds = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(PATIENCE));
        // An error shows again at the next read.
        Ok(length + self.group.read(bytes).unwrap_or(0))
    }

    /// The kernel's mask of a mark.
    fn mark_of(&self, mask: Mask, is_directory: bool, operand: bool) -> u64 {
        // That the object is gone is always to be heard, as inotify tells of it.
        let mut mark = mask & IN_ALL_EVENTS | IN_DELETE_SELF;
        if operand {
            mark |= IN_MOVE_SELF;
        }
        if !is_directory {
            return u64::from(mark & !DIRENT);
        }
        if operand && mask & ON_DIRECTORY != 0 {
            // Who is told of what happens to the directories in it has to know them.
            mark |= DIRENT;
        }
        let mut more = FAN_ONDIR | FAN_EVENT_ON_CHILD;
        if self.group.tells_renames && mark & IN_MOVE != 0 {
            mark &= !IN_MOVE;
            more |= FAN_RENAME;
        }
        u64::from(mark) | more
    }

    /// Whether marks may have gone with their file system.
    fn is_time_to_look(&self, state: &mut State) -> bool {
        let again = state.look_again.is_some() && self.timer.wait().is_ok();
        if self.lookout.has_changed() {
            state.look_again = Some(FIRST_LOOK);
            return true;
        }
        again
    }

    /// The file systems that have no mark left in the kernel. The marks on one go some time after it can be seen no
    /// more: once it is written, and unless somebody still uses it.
    fn unmounted(&self, state: &mut State) -> Vec<FsId> {
        let mut lost = state.devices.clone();
        lost.retain(|_, device| device.is_some());
        let Ok(info) = File::open(format!("/proc/self/fdinfo/{}", self.group.as_fd().as_raw_fd())) else {
            return Vec::new();
        };
        // A line for each mark; one of each file system is enough.
        let mut lines = BufReader::new(info).lines();
        while !lost.is_empty() {
            let Some(Ok(line)) = lines.next() else { break };
            let device = line.split(' ').find_map(|field| field.strip_prefix("sdev:"));
            if let Some(device) = device.and_then(|device| u32::from_str_radix(device, 16).ok()) {
                lost.retain(|_, known| *known != Some(device));
            }
        }
        let mounted: HashSet<Option<u32>> =
            mounts::all().unwrap_or_default().iter().map(|mount| device_number(&mount.device)).collect();
        let leaves = |(id, device): (&FsId, &Option<u32>)| {
            device.is_some() && !mounted.contains(device) && !lost.contains_key(id)
        };
        let pause = state.look_again.filter(|pause| *pause <= LAST_LOOK);
        state.look_again = pause.filter(|_| state.devices.iter().any(leaves));
        if let Some(pause) = state.look_again {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(pause));
            if self.timer.set(expiration, TimerSetTimeFlags::empty()).is_ok() {
                state.look_again = Some(2 * pause);
            }
        }
        lost.into_keys().collect()
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lookout.as_fd()
    }
}

impl State {
    /// Tells in inotify's form what was read.
    fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let own = std::process::id() as i32;
        // What is read apart did not happen together.
        self.half = None;
        self.reads += 1;
        let mut batch = Batch::of(bytes);
        for object in batch.moved.keys() {
            // It is not there yet when what comes before happened.
            if let Some(watch) = self.by_handle.get(*object).and_then(|wd| self.watches.get_mut(wd)) {
                watch.seen.0 = self.reads;
            }
        }
        for (number, event) in decoded(bytes).enumerate() {
            self.read += 1;
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
    fn tell_overflow(&mut self, out: &mut Vec<u8>) {
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
    fn catch_up(&mut self, object: &Handle, place: &Place, but: Option<&Handle>, out: &mut Vec<u8>) {
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
    fn tell_end(&mut self, object: &Handle, out: &mut Vec<u8>) {
        if let Some(wd) = self.by_handle.get(object).copied() {
            self.tell(RawEvent { wd, mask: IN_DELETE_SELF, cookie: 0, name: b"" }, out);
            self.end(wd, out);
        }
    }

    /// A file system is not there any more.
    fn tell_unmount(&mut self, id: FsId, out: &mut Vec<u8>) {
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
        let Some(watch) = self.watches.get_mut(&wd).filter(|_| self.operands) else { return };
        watch.seen.0 = self.reads;
        if let Some(path) = path_now(&watch.handle, &watch.path) {
            watch.found_at(path, out, wd);
        }
    }

    /// The same for one that is no directory and is told of as this entry, which it is or was.
    fn look_where(&mut self, object: &Handle, Entry { directory, name }: Entry, out: &mut Vec<u8>) {
        let Some(wd) = self.by_handle.get(object).copied().filter(|_| self.operands) else { return };
        let Some(watch) = self.watches.get_mut(&wd).filter(|watch| !watch.is_directory) else { return };
        let (above, known) = split(&watch.path);
        let mut found = None;
        if watch.seen.0 != self.reads || *watch.seen.1 != *directory {
            found = path_now(directory, above);
            watch.seen = (self.reads, directory.into());
        }
        if found.is_some() || known != name {
            let path = joined(found.as_deref().unwrap_or(above), name);
            watch.found_at(path, out, wd);
        }
    }

    /// Tells an event as far as it was asked for.
    fn tell(&mut self, event: RawEvent, out: &mut Vec<u8>) {
        let Some(watch) = self.watches.get(&event.wd) else { return };
        let (asked, directory, seen) = (watch.mask, watch.directory(), watch.seen.0);
        let mut mask = event.mask & (asked | IN_ISDIR);
        if mask & IN_ALL_EVENTS != 0 {
            if directory != 0 && seen != self.reads {
                self.look_for(event.wd, out);
            }
            // inotify leaves it out of a directory's own MOVE_SELF and DELETE_SELF, fanotify does not.
            if event.name.is_empty() {
                mask |= directory;
            }
            RawEvent { mask, ..event }.encode(out);
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

    fn forget(&mut self, wd: i32) -> Option<Watch> {
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
    fn list(&mut self, wd: i32, object: &OwnedFd) -> io::Result<()> {
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

impl<'a> Batch<'a> {
    fn of(bytes: &'a [u8]) -> Batch<'a> {
        let mut batch = Batch::default();
        let mut last: Option<(usize, fanotify::RawEvent)> = None;
        for (number, event) in decoded(bytes).enumerate() {
            let mask = event.mask as Mask;
            let itself = event.place.filter(|place| place.name == b".").map(|place| place.directory);
            if event.mask & FAN_RENAME != 0 {
                if let Some(object) = event.object {
                    if let Some((number, _)) = last.filter(|(_, first)| is_exchange(first, &event)) {
                        batch.partners.insert(number, object);
                    }
                    last = Some((number, event));
                    batch.renames.entry(object).or_default().push((number, event.old, event.new));
                }
            } else if let Some(object) = itself.or(event.object) {
                if mask & IN_MOVE_SELF != 0 {
                    batch.moved.insert(object, number);
                }
                // The kernel may have found it gone in whatever process, also this one.
                if mask & IN_DELETE_SELF != 0 {
                    batch.gone.push(object);
                }
            }
        }
        batch
    }

    /// Of an object that stood at an entry: the last rename from event `number` on that brought it back there, if one took
    /// it away.
    fn last_return(&self, number: usize, entry: Entry, object: Option<&Handle>) -> Option<usize> {
        let renames = self.renames.get(object?)?;
        let mut later = renames.iter().filter(|(at, ..)| *at > number);
        later.clone().find(|(_, old, _)| *old == Some(entry))?;
        later.rfind(|(_, _, new)| *new == Some(entry)).map(|(at, ..)| *at)
    }
}

/// Whether two renames, one after the other, let two objects change places.
fn is_exchange(first: &fanotify::RawEvent, second: &fanotify::RawEvent) -> bool {
    let swapped = first.old == second.new && first.new == second.old;
    swapped && first.object != second.object && first.pid == second.pid
}

/// Opens (O_PATH) what inotify_add_watch(2) would watch; that tells nobody anything.
fn open(path: &CStr, mask: Mask) -> io::Result<OwnedFd> {
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    flags.set(OFlag::O_NOFOLLOW, mask & IN_DONT_FOLLOW != 0);
    flags.set(OFlag::O_DIRECTORY, mask & IN_ONLYDIR != 0);
    Ok(openat(AT_FDCWD, path, flags, Mode::empty())?)
}

/// The device of the file system that something open is in, as the kernel shows it of a mark: twelve bits of the major
/// number, twenty of the minor.
fn device_of(object: &OwnedFd) -> Option<u32> {
    device_number(&mounts::of(&path_of(object).ok()?)?.device)
}

fn device_number(device: &[u8]) -> Option<u32> {
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}
