//! A mark for each directory or file, and their events in inotify's form: what an ordinary user gets of fanotify(7).
//!
//! The watcher follows a tree by them as by inotify's events. Three differences are mended here. The kernel merges an event with
//! an unread one of the same entry by the same process: the bits are taken apart again, in the order that they must have had.
//! A rename is one event, in inotify three. And an event of a directory itself names that directory, also if only the one above it
//! is watched.
//!
//! [`Marks`] has the group and makes the system calls. [`State`] knows which watch is on which object, and turns what was
//! read, by way of the [`Normaliser`], into inotify's form; tests run it on simulated events, too.
//!
//! No descriptor stays open on what is watched: the file system could not be unmounted.

mod inotify_form;

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libc::{FAN_EVENT_ON_CHILD, FAN_ONDIR, FAN_RENAME};
use nix::fcntl::OFlag;

use crate::event::ENTRY;
use crate::fanotify::normalise::{Looked, Normaliser};
use crate::fanotify::{is_directory, path_of, refusal};
use crate::queue::{self, Subject};
use crate::sys::directory::{self, open_path};
use crate::sys::fanotify::{Group, Handle, Located, Target, decoded, handle_in, handle_of};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_ONESHOT, IN_ONLYDIR, IN_OPEN, Mask,
};
use crate::sys::mounts::{self, Lookout};
use crate::sys::process;
use crate::sys::timer::Timer;

/// Events of an object that leave every entry as it is.
const PLAIN: Mask = IN_ACCESS.or(IN_MODIFY).or(IN_ATTRIB).or(IN_CLOSE).or(IN_OPEN);
/// Those of them that a directory in a watched one may have.
const ON_DIRECTORY: Mask = IN_ACCESS.or(IN_ATTRIB).or(IN_CLOSE).or(IN_OPEN);
/// A file system that is not mounted any more may still be in use, or be written: so soon it is looked at again, and
/// then twice as late each time.
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// And so late last.
const LAST_LOOK: Duration = Duration::from_secs(60);
/// How long, in milliseconds, the second half of a rename may be on its way.
const PATIENCE: u8 = 20;
/// A buffer larger than this, in bytes, is given back.
const KEEP: usize = 256 * 1024;

/// An entry of a watched directory.
type WatchedEntry = (Wd, Box<[u8]>);

/// A file system's id: the beginning of its handles.
type FsId = [u8; 8];

/// A fanotify group with inode marks.
#[derive(Debug)]
pub struct Marks {
    group: Group,
    /// Readable when the group or the timer is, or when the mount table has changed.
    lookout: Lookout,
    /// For a look at marks that may be about to go.
    timer: Timer,
    state: State,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Only operands are watched: directories below one are not, but are reported.
    operands: bool,
    watches: HashMap<Wd, Watch>,
    by_handle: HashMap<Rc<Handle>, Wd>,
    /// The watch added last.
    newest: i32,
    /// Where directories are that were heard of and may not be watched: their own events name only them.
    places: HashMap<Box<Handle>, (Wd, Box<[u8]>)>,
    /// At so many of them those of watches that are gone are dropped.
    crowd: usize,
    /// The device of each file system with marks, as the kernel shows it, if that is known.
    devices: HashMap<FsId, Option<u32>>,
    normaliser: Normaliser,
    /// For how long to wait before the next look at whether a file system's marks are gone.
    look_again: Option<Duration>,
    /// Events were thrown away since the last read.
    lost: bool,
    /// The process that caused the event that is being handled, else 0.
    cause: i32,
    /// Events, in inotify's form, that were found out without being read.
    found: Vec<u8>,
    /// On kernels that report the ends of a rename apart: that the event before was of the first.
    half: Option<FirstHalf>,
    /// How often was read.
    reads: u64,
    buffer: Vec<u8>,
}

/// The first half of a rename: its cookie, and what the second has to be alike in.
type FirstHalf = (u32, (i32, Mask));

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) handle: Rc<Handle>,
    /// What was asked for.
    mask: Mask,
    is_directory: bool,
    /// The kernel reports its MOVE_SELF. Of others the directory that they are in is watched, and reports the rename.
    has_move_self: bool,
    /// There may be many that are none.
    operand: Option<Box<Operand>>,
}

/// Where an operand is.
#[derive(Debug)]
struct Operand {
    path: Vec<u8>,
    /// When it was looked at last ([`State::reads`]), and the directory of a file's event then.
    seen: (u64, Box<Handle>),
}

impl Watch {
    fn directory(&self) -> Mask {
        IN_ISDIR.when(self.is_directory)
    }
}

impl Operand {
    /// It has another path.
    fn found_at(&mut self, path: Vec<u8>, out: &mut Vec<u8>, wd: Wd) {
        queue::encode(&RawEvent { wd, mask: Mask::NONE, cookie: 0, name: &path }, Subject::Path, 0, out);
        self.path = path;
    }
}

impl Marks {
    /// A group without marks; [`Group::new`] has the errors. `operands`: only those are watched. Events of directories below one
    /// are reported all the same, and the new path of a renamed operand, if it can be found out: see [`Subject`].
    pub fn new(operands: bool) -> io::Result<Marks> {
        let group = Group::new()?;
        let timer = Timer::new()?;
        let lookout = Lookout::new(&[group.as_fd(), timer.as_fd()])?;
        Ok(Marks { group, lookout, timer, state: State::new(operands) })
    }

    /// Marks what is open (O_PATH will do), as inotify_add_watch(2) does: returns the number of the watch, which is the old one
    /// where the object is watched already. [`refusal::explained`] has the errors that are fanotify's own.
    pub fn add_watch(&mut self, object: &OwnedFd, mask: Mask, is_entry: bool) -> io::Result<Wd> {
        let explained = |error| refusal::explained(error, object);
        let handle = handle_of(object).map_err(explained)?;
        let is_directory = mask.has(IN_ONLYDIR) || is_directory(object)?;
        let state = &mut self.state;
        if let Some(id) = handle.first_chunk() {
            state.devices.entry(*id).or_insert_with(|| device_of(object));
        }
        let is_new = !state.by_handle.contains_key(&*handle);
        // What has none that fits PATH_MAX keeps the one by which it was given.
        let place = || Operand { path: path_of(object).unwrap_or_default(), seen: Default::default() };
        let operand = (state.operands && is_new).then(|| Box::new(place()));
        let has_move_self = !(is_entry && self.group.tells_renames && mask.has(IN_MOVE));
        let mut mark = mark_of(mask, is_directory, state.operands, self.group.tells_renames);
        if !has_move_self {
            mark &= !u64::from(IN_MOVE_SELF);
        }
        let watch = Watch { handle: handle.into(), mask, is_directory, has_move_self, operand };
        let wd = state.add(watch, || self.group.mark(object, Target::Inode, mark)).map_err(explained)?;
        if state.operands && is_directory && mask.has(ON_DIRECTORY) && is_new {
            // Directories in one that cannot be read are not reported.
            let _ = state.list(wd, object);
        }
        Ok(wd)
    }

    /// The same of a directory in a watched one, by its name alone; `None` where that does not do.
    ///
    /// Its handle and its mark may be of two objects. Then the directory above reports another change of the name, and
    /// whoever looks at the queue ends the watch.
    pub fn add_entry(&mut self, dir: &OwnedFd, above: &Located, name: &CStr, mask: Mask) -> Option<Wd> {
        if !mask.has_all(ENTRY) || !self.group.tells_renames {
            return None;
        }
        let handle = handle_in(dir, above, name)?.into();
        let state = &mut self.state;
        // It reports the rename also.
        let mark = mark_of(mask, true, state.operands, true) & !u64::from(IN_MOVE_SELF);
        let watch = Watch { handle, mask, is_directory: true, has_move_self: false, operand: None };
        state.add(watch, || self.group.mark_entry(dir, name, mark)).ok()
    }

    /// Whether what is open is watched as `wd`.
    pub fn is_watched_as(&self, object: &OwnedFd, wd: Wd) -> bool {
        handle_of(object).is_ok_and(|handle| self.state.by_handle.get(&*handle) == Some(&wd))
    }

    /// Ends a watch: nothing is reported of it any more. Its mark ends with its object, because no path is known that leads there.
    pub fn rm_watch(&mut self, wd: Wd) {
        self.state.forget(wd);
    }

    /// Appends what is queued now to `buffer`, in inotify's form; returns the number of bytes. Never blocks.
    pub fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        self.state.lost = false;
        buffer.append(&mut self.state.found);
        let gone = if self.is_time_to_look() { self.unmounted() } else { Vec::new() };
        let mut bytes = std::mem::take(&mut self.state.buffer);
        bytes.clear();
        let read = self.queued(&mut bytes);
        let state = &mut self.state;
        state.translate(&bytes, buffer);
        if bytes.capacity() <= KEEP {
            state.buffer = bytes;
        }
        for id in gone {
            state.report_unmount(id, buffer);
        }
        match read {
            Err(error) if buffer.len() == before => Err(error),
            _ => Ok(buffer.len() - before),
        }
    }

    /// To be called when all events that were read are handled: looks where the objects are of which a rename may have been
    /// merged, and lets [`read`](Self::read) report it; `true` if there is something to read. `path_of`
    /// gives the path of a watched directory, without a slash at its end.
    pub fn find_out(&mut self, path_of: impl Fn(Wd) -> Option<Vec<u8>>) -> bool {
        let is_at = |object: &Handle, (wd, name): &WatchedEntry| {
            let above = open_path(&path_of(*wd)?, OFlag::O_DIRECTORY).ok()?;
            // Whatever has taken its place says nothing of what is in it.
            if !self.is_watched_as(&above, *wd) {
                return None;
            }
            let found = directory::open_in(&above, name, OFlag::O_PATH | OFlag::O_NOFOLLOW);
            // The event of a rename that is being done is queued when this returns.
            directory::wait_for_change(&above);
            Some(found.is_ok_and(|found| handle_of(&found).is_ok_and(|handle| *handle == *object)))
        };
        if self.state.normaliser.is_certain() {
            return false;
        }
        let looked = self.state.look(is_at);
        let mut bytes = Vec::new();
        // An error shows again at the next read.
        let _ = self.queued(&mut bytes);
        self.state.resolve(looked, &bytes)
    }

    /// Whether a look at this entry of a watched directory may show an object that a rename brought there which is not reported yet.
    pub fn hides_rename(&self, wd: Wd, name: &[u8]) -> bool {
        self.state.hides_rename(wd, name)
    }

    /// Where the length of its queue is set, if it has one.
    pub fn queue_length(&self) -> Option<&'static str> {
        self.group.queue_length()
    }

    /// Discards all queued events if the queue has no limit, and lets [`read`](Self::read) report an overflow in their
    /// place; whether it has none.
    pub fn lose(&mut self) -> bool {
        if !self.group.unlimited {
            return false;
        }
        let state = &mut self.state;
        let mut bytes = Vec::new();
        if self.group.read(&mut bytes).is_ok_and(|length| length > 0) {
            let mut found = std::mem::take(&mut state.found);
            if !std::mem::replace(&mut state.lost, true) {
                state.report_overflow(&mut found);
            }
            // Watches do not end unheard.
            for event in decoded(&bytes).filter(|event| event.events().has(IN_DELETE_SELF)) {
                event.itself().into_iter().for_each(|object| state.report_end(object, &mut found));
            }
            state.found = found;
        }
        true
    }

    /// Appends what is queued now; as [`Group::read`]. Where the kernel reports the ends of a rename apart and the first comes
    /// last, waits for the other: it is being queued, unless it happened where nobody watches.
    fn queued(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let length = self.group.read(bytes)?;
        let ends_in_half = |bytes: &[u8]| {
            let last = decoded(bytes).last();
            last.is_some_and(|event| event.events() & IN_MOVE == IN_MOVED_FROM)
        };
        if self.group.tells_renames || !ends_in_half(bytes) {
            return Ok(length);
        }
        self.group.wait(PATIENCE);
        // An error shows again at the next read.
        Ok(length + self.group.read(bytes).unwrap_or(0))
    }

    /// Whether marks may have gone with their file system.
    fn is_time_to_look(&mut self) -> bool {
        let again = self.state.look_again.is_some() && self.timer.has_expired();
        if self.lookout.has_changed() {
            self.state.look_again = Some(FIRST_LOOK);
            return true;
        }
        again
    }

    /// The file systems that have no mark left in the kernel.
    fn unmounted(&mut self) -> Vec<FsId> {
        let mut lost = self.state.devices.clone();
        lost.retain(|_, device| device.is_some());
        let Ok(info) = self.group.fdinfo() else { return Vec::new() };
        // A line for each mark; one of each file system is enough.
        let mut lines = info.lines();
        while !lost.is_empty() {
            let Some(Ok(line)) = lines.next() else { break };
            let device = line.split(' ').find_map(|field| field.strip_prefix("sdev:"));
            if let Some(device) = device.and_then(|device| u32::from_str_radix(device, 16).ok()) {
                lost.retain(|_, known| *known != Some(device));
            }
        }
        self.plan_look(&lost);
        lost.into_keys().collect()
    }

    /// The marks on a file system go some time after it can be seen no more: once it is written, and unless somebody still
    /// uses it. Until then it is looked at again. Those that are `lost` are over.
    fn plan_look(&mut self, lost: &HashMap<FsId, Option<u32>>) {
        let state = &mut self.state;
        let mounted: HashSet<Option<u32>> =
            mounts::all().unwrap_or_default().iter().map(|mount| device_number(&mount.device)).collect();
        let leaves = |(id, device): (&FsId, &Option<u32>)| {
            device.is_some() && !mounted.contains(device) && !lost.contains_key(id)
        };
        let pause = state.look_again.filter(|pause| *pause <= LAST_LOOK);
        state.look_again = pause.filter(|_| state.devices.iter().any(leaves));
        match state.look_again {
            Some(pause) => {
                if self.timer.set(pause).is_ok() {
                    state.look_again = Some(2 * pause);
                }
            }
            // Set before, it would wake the program, and nobody would ask it any more.
            None => drop(self.timer.stop()),
        }
    }
}

impl State {
    pub(super) fn new(operands: bool) -> State {
        State { operands, normaliser: Normaliser::of_marks(process::id()), ..State::default() }
    }

    /// Remembers a watch, or changes what is asked for of one, if `mark` succeeds; returns its number.
    fn add(&mut self, mut watch: Watch, mark: impl FnOnce() -> io::Result<()>) -> io::Result<Wd> {
        watch.mask = watch.mask & (IN_ALL_EVENTS | IN_ONESHOT);
        let known = self.by_handle.get(&watch.handle).copied();
        if let Some((wd, known)) = known.and_then(|wd| Some((wd, self.watches.get_mut(&wd)?))) {
            if known.mask != watch.mask {
                mark()?;
                known.mask = watch.mask;
            }
            return Ok(wd);
        }
        mark()?;
        self.newest += 1;
        let wd = Wd(self.newest);
        self.by_handle.insert(Rc::clone(&watch.handle), wd);
        self.watches.insert(wd, watch);
        Ok(wd)
    }
}

#[cfg(test)]
impl Watch {
    fn simulated(handle: &Handle, mask: Mask) -> Watch {
        Watch { handle: handle.into(), mask, is_directory: true, has_move_self: false, operand: None }
    }
}

#[cfg(test)]
impl State {
    pub(super) fn simulate_watch(&mut self, wd: Wd, handle: &Handle) {
        if self.by_handle.insert(handle.into(), wd).is_none() {
            self.watches.insert(wd, Watch::simulated(handle, IN_ALL_EVENTS));
        }
    }

    /// What is asked for of a directory; returns the number of the watch.
    pub(super) fn watch(&mut self, handle: &Handle, mask: Mask) -> Wd {
        self.add(Watch::simulated(handle, mask), || Ok(())).unwrap_or(Wd(-1))
    }

    pub(super) fn watch_of(&self, handle: &Handle) -> Option<Wd> {
        self.by_handle.get(handle).copied()
    }

    pub(super) fn take_found(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.found)
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.found.is_empty() || !self.normaliser.is_certain()
    }
}

impl State {
    pub(super) fn hides_rename(&self, wd: Wd, name: &[u8]) -> bool {
        self.watches.get(&wd).is_some_and(|watch| self.normaliser.hides(&watch.handle, name))
    }

    /// Where the objects are that may be elsewhere than reported; see [`Normaliser::look`].
    pub(super) fn look(&self, is_at: impl Fn(&Handle, &WatchedEntry) -> Option<bool>) -> Looked {
        self.normaliser.look(|object, (directory, name)| {
            let wd = self.by_handle.get(&**directory)?;
            is_at(object, &(*wd, name.clone()))
        })
    }

    /// Handles what was queued by the time of the look, or else what it has shown; whether there is something to read.
    pub(super) fn resolve(&mut self, looked: Looked, bytes: &[u8]) -> bool {
        let mut found = std::mem::take(&mut self.found);
        if !bytes.is_empty() {
            self.translate(bytes, &mut found);
        }
        // The look was by path: a directory on the way may have been renamed.
        if found.is_empty() {
            let mut steps = Vec::new();
            self.normaliser.resolve(looked, &[], &mut steps);
            self.report_steps(&[], &steps, &mut found);
        }
        self.found = found;
        !self.found.is_empty()
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lookout.as_fd()
    }
}

/// The kernel's mask of a mark.
pub(super) fn mark_of(mask: Mask, is_directory: bool, operand: bool, tells_renames: bool) -> u64 {
    // The end of the object is always reported, as by inotify.
    let mut mark = mask & IN_ALL_EVENTS | IN_DELETE_SELF;
    if operand {
        mark |= IN_MOVE_SELF;
    }
    if !is_directory {
        return u64::from(mark & !ENTRY);
    }
    if operand && mask.has(ON_DIRECTORY) {
        // Events of directories in it name only those: they have to be known.
        mark |= ENTRY;
    }
    let mut more = FAN_ONDIR | FAN_EVENT_ON_CHILD;
    if tells_renames && mark.has(IN_MOVE) {
        mark = mark & !IN_MOVE;
        more |= FAN_RENAME;
    }
    u64::from(mark) | more
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
