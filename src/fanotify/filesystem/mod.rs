//! Whole file systems: one mark each, and what happens elsewhere on them dropped.
//!
//! An event names its directory by a handle. Which path that is, is kept in a tree of those directories that events
//! came from: what is below an operand is looked up once, by walking up from the directory until something known
//! is met, and kept true by the events that tell of renames and deletions, which name the renamed directory. Since
//! the file system is watched whole, no directory appears unheard of, and none has to be walked to in advance.
//!
//! The order of the queue is the truth: what is looked up is what is true now, later than the event.
//! So the kernel's queue is read afterwards, and where it tells that the directory was renamed or deleted since,
//! the first such event tells where it was.

mod follow;
mod places;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::{
    FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME, IN_ACCESS, IN_ALL_EVENTS, IN_CLOSE,
    IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_OPEN, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use nix::fcntl::OFlag;

use crate::event::{Mask, is_asked, kernel_bits, without_unasked};
use crate::fanotify::course::Course;
use crate::fanotify::mounts::{self, Lookout};
use crate::fanotify::queue::Queue;
use crate::fanotify::refusal::{self, explained};
use crate::fanotify::{absolute_hidden, is_directory, path_of};
use crate::source::{Event, Item, Problem, Scope, Settings, Source};
use crate::sys::directory::{self, open_path};
use crate::sys::fanotify::{Group, Handle, RawEvent, Target, open_handle};
use crate::sys::process;
use crate::tree::{Flags, NodeId, Tree};

use self::places::{file_system, handle_of, top_of_btrfs};

/// What follows the tree, whatever `-e` says.
const FOLLOW: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR;

/// What the kernel tells of a mount (fanotify_mark(2)); the rest it tells of a file system only.
const OF_MOUNT: Mask = IN_ACCESS | IN_MODIFY | IN_OPEN | IN_CLOSE;

/// A turn handles at most this many bytes of events, some 50,000 events, before the program looks at the clock.
const LONGEST_TURN: u64 = 4 << 20;

const DIRECTORY: Flags =
    Flags { directory: true, recursive: true, initial: false, unscanned: false, news: false };

/// The source of events on marks of whole file systems.
#[derive(Debug)]
pub struct Filesystems {
    group: Group,
    lookout: Lookout,
    settings: Settings,
    scope: Scope,
    /// Ours: what this process does is not reported.
    pid: i32,
    /// The process that caused the event that is being handled, else 0.
    cause: i32,
    marked: Vec<Marked>,
    /// The directories known to be within what was asked for. Its roots are operands, and mounts below them; a root's
    /// name is its absolute path. A node that is `unscanned` has to be looked up again before it is trusted.
    tree: Tree,
    watches: HashMap<Box<Handle>, i32>,
    handles: HashMap<i32, Box<Handle>>,
    roots: Vec<i32>,
    /// Mount points that cannot be watched; that was said.
    refused: HashSet<Vec<u8>>,
    last_watch: i32,
    last_cookie: u32,
    /// Directories known to be elsewhere.
    outside: HashSet<Box<Handle>>,
    queue: Queue,
    /// The event at hand.
    event: Vec<u8>,
    /// It is one of an entry: the directory was there then.
    was_there: bool,
    turn_until: u64,
    ready: VecDeque<Ready>,
    /// Those whose paths changed before they could be reported: with the path and what else is reported of each.
    settled: VecDeque<(Ready, Vec<u8>, usize, bool)>,
    /// The names of those that are ready.
    names: Vec<u8>,
    problems: VecDeque<Problem>,
    /// What was deleted, and up to where the queue may tell of it.
    dying: VecDeque<(u64, i32)>,
    /// Deletions that were told with a creation, and up to where the queue tells of what was between.
    deletions: Vec<(u64, Deletion)>,
    /// Objects that were renamed and are told to be renamed again.
    courses: HashMap<Box<Handle>, Course>,
    /// Files whose creation and deletion were told as one, which another creation may have followed, and where that was.
    brief: HashMap<Box<Handle>, Vec<EntryOf>>,
    /// The directories that ended last where nothing showed where they were. Their deletion does, if it was not queued yet.
    ended: VecDeque<Box<Handle>>,
    /// Watches to be forgotten when all that is ready has been reported.
    gone: VecDeque<i32>,
    /// Events were thrown away since the last read.
    lost: bool,
    /// Something was mounted or unmounted; to be looked at when the turn is over.
    mounts_changed: bool,
    reader: directory::Reader,
    path: Vec<u8>,
    /// The path of an event: `%w` of the watch named here, and the entry's name after it.
    path_of: Option<(i32, usize)>,
}

/// The watch of a directory, and a name in it.
type EntryOf = (i32, Box<[u8]>);

/// A file system that has a mark.
#[derive(Debug)]
struct Marked {
    /// Its id, with which its handles begin.
    id: Vec<u8>,
    /// A directory in it.
    base: Vec<u8>,
}

/// The deletion of an entry.
#[derive(Debug)]
struct Deletion {
    watch: i32,
    name: Box<[u8]>,
    directory: Mask,
    object: Option<Box<Handle>>,
}

/// What is to be reported if the user asked for it.
#[derive(Debug)]
struct Ready {
    watch: i32,
    mask: Mask,
    cookie: u32,
    name: Range<usize>,
    /// The process that caused it.
    cause: i32,
}

impl Filesystems {
    /// A group with the marks for all operands. Where the kernel is too old for that, or refuses it, and `-S` or `-M`
    /// did not ask for it, the settings come back. The errors are those of fanotify_init(2), and
    /// [`refusal::too_old_for_filesystems`].
    pub fn new(
        scope: Scope,
        settings: Settings,
        operands: &[Vec<u8>],
    ) -> io::Result<Result<Filesystems, Settings>> {
        let demanded = scope != Scope::Paths;
        if !demanded && !settings.recursive {
            return Ok(Err(settings));
        }
        let group = Group::new()?;
        if !group.tells_renames {
            return if demanded { Err(refusal::too_old_for_filesystems()) } else { Ok(Err(settings)) };
        }
        let mut source = Filesystems {
            lookout: Lookout::new(&[group.as_fd()])?,
            group,
            settings,
            scope,
            pid: std::process::id() as i32,
            cause: 0,
            marked: Vec::new(),
            tree: Tree::default(),
            watches: HashMap::new(),
            handles: HashMap::new(),
            roots: Vec::new(),
            refused: HashSet::new(),
            last_watch: 0,
            last_cookie: 0,
            outside: HashSet::new(),
            queue: Queue::default(),
            event: Vec::new(),
            was_there: false,
            turn_until: 0,
            ready: VecDeque::new(),
            settled: VecDeque::new(),
            names: Vec::new(),
            problems: VecDeque::new(),
            dying: VecDeque::new(),
            deletions: Vec::new(),
            courses: HashMap::new(),
            brief: HashMap::new(),
            ended: VecDeque::new(),
            gone: VecDeque::new(),
            lost: false,
            mounts_changed: false,
            reader: directory::Reader::default(),
            path: Vec::new(),
            path_of: None,
        };
        for operand in operands {
            // What is not there is said when its turn comes.
            let Ok((object, path)) = source.open_operand(operand) else { continue };
            if source.mark(&object, &path).is_err() && !demanded {
                return Ok(Err(source.settings));
            }
        }
        let base = source.settings.base.clone();
        source.settings.filter.resolve_hidden(|path| absolute_hidden(&base, path));
        Ok(Ok(source))
    }

    /// Opens an operand; returns its absolute path, too. `-r` follows a link, as does a slash behind it.
    fn open_operand(&self, operand: &[u8]) -> io::Result<(OwnedFd, Vec<u8>)> {
        let follow = self.settings.follow || self.settings.recursive;
        let links = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        let object = open_path(&process::absolute(&self.settings.base, operand), links)?;
        let path = path_of(&object)?;
        Ok((object, path))
    }

    /// Marks the file system, or the mount, that an open object is in.
    fn mark(&mut self, object: &OwnedFd, path: &[u8]) -> io::Result<Box<Handle>> {
        let refused = |error| explained(error, object);
        let handle = handle_of(object).map_err(refused)?;
        let asked = kernel_bits(self.settings.events) & IN_ALL_EVENTS;
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let base = if is_directory(object).unwrap_or(false) { path } else { &path[..=slash] };
        let within = open_path(base, OFlag::O_DIRECTORY)?;
        if let Err(error) = open_handle(&within, &handle) {
            // A mark may be allowed (CAP_SYS_ADMIN) where no handle can be looked up (CAP_DAC_READ_SEARCH).
            if error.raw_os_error() == Some(libc::EPERM) {
                return Err(error);
            }
        }
        let top = top_of_btrfs(&handle).map(|top| open_handle(&within, &top)).transpose()?;
        let object = top.as_ref().unwrap_or(object);
        let mut of_mount = 0;
        if self.scope == Scope::Mount {
            of_mount = asked & OF_MOUNT;
            if of_mount != 0 {
                self.group.mark(object, Target::Mount, u64::from(of_mount) | FAN_ONDIR).map_err(refused)?;
            }
        }
        // Both halves of a rename are told as one, and with it that the object itself was renamed.
        let of_filesystem = asked & !(of_mount | IN_MOVE | IN_MOVE_SELF);
        let mask = u64::from(of_filesystem) | FOLLOW;
        self.group.mark(object, Target::Filesystem, mask).map_err(refused)?;
        let id = file_system(&handle);
        if !self.marked.iter().any(|marked| marked.id == id) {
            self.marked.push(Marked { id: id.to_vec(), base: base.to_vec() });
        }
        Ok(handle)
    }

    /// Looks at what is mounted: roots that cannot be reached any more are let go, and mounts within what was asked for
    /// become roots.
    fn survey(&mut self) {
        let Ok(mounts) = mounts::all() else { return };
        for watch in self.roots.clone() {
            let Some(node) = self.tree.find(watch) else { continue };
            let path = self.tree.name(node);
            // Another mount may hide it.
            if !mounts.iter().any(|mount| mount.point == path) && !self.is_in_place(node) {
                self.tell_of_itself(node, IN_UNMOUNT);
                self.forget(node);
            }
        }
        let initial = |node: &NodeId| self.tree.flags(*node).initial;
        let nodes = self.roots.iter().filter_map(|watch| self.tree.find(*watch));
        let operands: Vec<Vec<u8>> =
            nodes.filter(initial).map(|node| self.tree.name(node).to_vec()).collect();
        for mount in mounts {
            let within = self.scope == Scope::Paths
                && operands.iter().any(|path| mount.point != *path && mounts::is_below(&mount.point, path));
            if !within || mount.kind == b"autofs" || self.refused.contains(&mount.point) {
                continue;
            }
            let object = open_path(&mount.point, OFlag::O_DIRECTORY);
            match object.and_then(|object| self.mark(&object, &mount.point)) {
                Ok(handle) => self.add_root(&handle, &mount.point, DIRECTORY),
                // A file can be a mount point, and another user's may be closed to us.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT | libc::EACCES)) => {}
                Err(error) => {
                    self.refused.insert(mount.point.clone());
                    let path = mount.point;
                    self.problems.push_back(Problem::Directory { path, error, new: false });
                }
            }
        }
    }

    fn tell(&mut self, watch: i32, mask: Mask, cookie: u32, name: &[u8]) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        let (name, cause) = (start..self.names.len(), self.cause);
        self.ready.push_back(Ready { watch, mask, cookie, name, cause });
    }

    /// Takes the oldest event of the queue, and makes ready what it tells; `false` if the turn is over.
    fn take(&mut self) -> bool {
        if self.queue.taken() >= self.turn_until || !self.queue.take(&mut self.event) {
            return false;
        }
        let bytes = std::mem::take(&mut self.event);
        if let Some((mut event, _)) = RawEvent::decode(&bytes) {
            self.cause = event.pid;
            if event.pid == self.pid {
                // Whoever lets go of a deleted directory last ends it, and that can be a look at it.
                event.mask &= FAN_DELETE_SELF | FAN_ONDIR;
            }
            if event.mask & !FAN_ONDIR != 0 {
                self.follow(&event);
            }
        }
        self.event = bytes;
        self.cause = 0;
        true
    }

    /// Decides whether the user hears of it; if so its path is in `self.path`, and the result is the length of `%w`
    /// and whether it ends a one-shot wait.
    fn report(&mut self, ready: &Ready) -> Option<(usize, Mask, bool)> {
        let events = self.settings.events;
        let mut mask = ready.mask;
        let asked = is_asked(events, mask);
        if mask & IN_Q_OVERFLOW != 0 {
            self.path.clear();
            self.path_of = None;
            return Some((0, mask, !asked));
        }
        let node = self.tree.find(ready.watch)?;
        let flags = self.tree.flags(node);
        let ends = mask & (IN_UNMOUNT | IN_DELETE_SELF) != 0 && flags.initial;
        if !asked && !ends {
            return None;
        }
        // Of events that are told as one some may not have been asked for.
        mask = without_unasked(events, mask);
        let watched = match self.path_of {
            Some((watch, watched)) if watch == ready.watch => watched,
            _ => {
                self.path.clear();
                self.tree.push_path(node, &mut self.path);
                let end =
                    if flags.directory { None } else { self.path.iter().rposition(|byte| *byte == b'/') };
                let watched = end.map_or(self.path.len(), |slash| slash + 1);
                self.path_of = Some((ready.watch, watched)).filter(|_| flags.directory);
                watched
            }
        };
        if flags.directory {
            self.path.truncate(watched);
            self.path.extend_from_slice(&self.names[ready.name.clone()]);
        }
        let filter = &self.settings.filter;
        let below_root = || self.tree.way_up(node).last().map_or(0, |root| self.tree.name(root).len()) + 1;
        let reported =
            filter.reports(&self.path, mask & IN_ISDIR != 0) && !filter.hides_above(&self.path, below_root);
        reported.then_some((watched, mask, !asked))
    }

    /// Reads what the kernel has queued. An error shows again, and is dealt with, at the next ordinary read.
    fn pull(&mut self) {
        let _ = self.queue.fill(&self.group);
    }
}

impl Source for Filesystems {
    fn watch(&mut self, operand: &[u8]) -> io::Result<()> {
        let (object, path) = self.open_operand(operand)?;
        let directory = is_directory(&object).unwrap_or(false);
        let handle = self.mark(&object, &path)?;
        if self.scope != Scope::Paths {
            let mount = mounts::of(&path).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            let mut points = vec![mount.point];
            if self.scope == Scope::Filesystem {
                // By which mount a directory is reached does not matter, but by some one it must be.
                let others = mounts::all()?.into_iter().filter(|other| other.device == mount.device);
                points.extend(others.map(|other| other.point));
            }
            for point in points {
                let Ok(object) = open_path(&point, OFlag::O_DIRECTORY) else { continue };
                self.add_root(&handle_of(&object)?, &point, Flags { initial: true, ..DIRECTORY });
            }
            return Ok(());
        }
        self.add_root(&handle, &path, Flags { directory, initial: true, ..DIRECTORY });
        Ok(())
    }

    fn walk(&mut self) -> io::Result<bool> {
        self.survey();
        Ok(false)
    }

    fn establish(&mut self) {}

    fn needed(&mut self, operands: &[Vec<u8>]) -> usize {
        operands.len()
    }

    fn watches(&self) -> usize {
        self.marked.len()
    }

    fn in_order(&self) -> Vec<i32> {
        let mut watches: Vec<i32> = self.tree.nodes().map(|node| self.tree.wd(node)).collect();
        watches.sort_unstable();
        watches
    }

    fn path(&self, watch: i32) -> Option<Vec<u8>> {
        Some(self.tree.path(self.tree.find(watch)?))
    }

    fn problem(&mut self) -> Option<Problem> {
        self.problems.pop_front()
    }

    fn read(&mut self) -> io::Result<usize> {
        self.lost = false;
        // What happened before an unmount is told before it: it has been queued, and is read now.
        self.mounts_changed |= self.lookout.has_changed();
        let length = self.queue.fill(&self.group)?;
        self.turn_until = self.queue.queued().min(self.queue.taken() + LONGEST_TURN);
        Ok(length)
    }

    fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    fn next(&mut self) -> Option<Item<'_>> {
        loop {
            if let Some(problem) = self.problems.pop_front() {
                return Some(Item::Problem(problem));
            }
            if let Some((ready, path, watched, ends_wait)) = self.settled.pop_front() {
                (self.path, self.path_of) = (path, None);
                let Ready { watch, mask, cookie, cause, .. } = ready;
                let pid = self.group.unlimited.then_some(cause);
                let path = &self.path;
                return Some(Item::Event(Event { watch, path, watched, mask, cookie, pid, ends_wait }));
            }
            if let Some(ready) = self.ready.pop_front() {
                if let Some((watched, mask, ends_wait)) = self.report(&ready) {
                    let Ready { watch, cookie, cause, .. } = ready;
                    let pid = self.group.unlimited.then_some(cause);
                    let path = &self.path;
                    return Some(Item::Event(Event { watch, path, watched, mask, cookie, pid, ends_wait }));
                }
                continue;
            }
            self.names.clear();
            if let Some(watch) = self.gone.pop_front() {
                let Some(node) = self.tree.find(watch) else { continue };
                (self.path, self.path_of) = (self.tree.path(node), None);
                self.tree.remove(node);
                self.roots.retain(|root| *root != watch);
                if let Some(handle) = self.handles.remove(&watch) {
                    self.watches.remove(&handle);
                }
                return Some(Item::Retired { watch, path: &self.path });
            }
            let dead = self.dying.front().filter(|(until, _)| *until <= self.queue.taken()).copied();
            if let Some((_, watch)) = dead {
                self.dying.pop_front();
                self.end(watch);
                continue;
            }
            let taken = self.queue.taken();
            if let Some(due) = self.deletions.iter().position(|(until, _)| *until <= taken) {
                let (_, Deletion { watch, name, directory, object }) = self.deletions.remove(due);
                self.deleted(watch, &name, directory, object.as_deref());
                continue;
            }
            if self.take() || self.look_again() {
                continue;
            }
            if !std::mem::take(&mut self.mounts_changed) {
                return None;
            }
            self.survey();
        }
    }

    fn tells_processes(&self) -> bool {
        self.group.unlimited
    }

    fn lose(&mut self) -> bool {
        self.event.clear();
        if self.group.unlimited && self.group.read(&mut self.event).is_ok_and(|length| length > 0) {
            self.event = Vec::new();
            if !std::mem::replace(&mut self.lost, true) {
                self.queue.push_overflow();
            }
        }
        self.group.unlimited
    }

    fn begin_own(&mut self) -> usize {
        0
    }

    fn drop_own(&mut self, _begun: usize, _is_own: &dyn Fn(Mask, &[u8]) -> bool) {}
}

impl AsFd for Filesystems {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lookout.as_fd()
    }
}
