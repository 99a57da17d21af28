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
mod ignored;
pub(super) mod kernel;
mod locate;
mod queue;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::{
    FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME, IN_ACCESS,
    IN_ALL_EVENTS, IN_CLOSE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_OPEN,
    IN_Q_OVERFLOW, IN_UNMOUNT,
};
use nix::fcntl::OFlag;

use crate::event::{Mask, is_asked, kernel_bits, without_unasked};
use crate::fanotify::normalise::Step;
use crate::fanotify::refusal::{self, explained};
use crate::fanotify::{absolute_hidden, is_directory, path_of};
use crate::source::{Event, Item, Problem, Scope, Settings, Source};
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Group, Handle, RawEvent, Target, open_handle};
use crate::sys::mounts::{self, Lookout};
use crate::sys::process;
use crate::tree::{Flags, NodeId, Tree};

use self::kernel::{Kernel, Marked, file_system, handle_of, top_of_btrfs};
use self::queue::Queue;

/// What follows the tree, whatever `-e` says.
const FOLLOW: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR;

/// What the kernel tells of a mount (fanotify_mark(2)); the rest it tells of a file system only.
const OF_MOUNT: Mask = IN_ACCESS | IN_MODIFY | IN_OPEN | IN_CLOSE;

/// A turn handles at most this many changes before the program looks at the clock.
const LONGEST_TURN: u64 = 50_000;

const DIRECTORY: Flags =
    Flags { directory: true, recursive: true, initial: false, unscanned: false, news: false };

/// The source of events on marks of whole file systems.
#[derive(Debug)]
pub struct Filesystems<K: Kernel = Marked> {
    kernel: K,
    /// Where the length of the queue is set, if it has one.
    limit: Option<&'static str>,
    settings: Settings,
    scope: Scope,
    /// The process that caused the change that is being handled, else 0.
    cause: i32,
    /// The directories known to be within what was asked for. Its roots are operands, and mounts below them; a root's
    /// name is its absolute path. A node that is `unscanned` has to be looked up again before it is trusted.
    tree: Tree,
    watches: HashMap<Box<Handle>, i32>,
    handles: HashMap<i32, Box<Handle>>,
    roots: Vec<i32>,
    /// Mount points that cannot be watched; that was said.
    refused: HashSet<Vec<u8>>,
    last_watch: i32,
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
    /// Directories in which git's files have been read.
    git_read: HashSet<NodeId>,
    /// The directories that ended last, and whether that was reported: it was not where nothing showed where they were.
    ended: VecDeque<(Box<Handle>, bool)>,
    /// Watches to be forgotten when all that is ready has been reported.
    gone: VecDeque<i32>,
    /// Events were thrown away since the last read.
    lost: bool,
    /// Something was mounted or unmounted; to be looked at when this much of the queue is taken: it happened before.
    mounts_changed: Option<u64>,
    path: Vec<u8>,
    /// The path of an event: `%w` of the watch named here, and the entry's name after it.
    path_of: Option<(i32, usize)>,
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
        let lookout = Lookout::new(&[group.as_fd()])?;
        let mut source = Filesystems {
            limit: group.queue_length(),
            ..Filesystems::with(Marked::new(group, lookout), scope, settings)
        };
        for operand in operands {
            // What is not there is said when its turn comes.
            let Ok((object, path)) = source.open_operand(operand) else { continue };
            if source.mark(&object, &path).is_err() && !demanded {
                return Ok(Err(source.settings));
            }
        }
        let base = source.settings.base.clone();
        source.settings.filter.resolve_paths(|path| absolute_hidden(&base, path));
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
                self.kernel
                    .group
                    .mark(object, Target::Mount, u64::from(of_mount) | FAN_ONDIR)
                    .map_err(refused)?;
            }
        }
        // Both halves of a rename are told as one, and with it that the object itself was renamed.
        let of_filesystem = asked & !(of_mount | IN_MOVE | IN_MOVE_SELF);
        let git = if self.settings.filter.reads_git() { FAN_CLOSE_WRITE } else { 0 };
        let mask = u64::from(of_filesystem) | FOLLOW | git;
        self.kernel.group.mark(object, Target::Filesystem, mask).map_err(refused)?;
        self.kernel.add(file_system(&handle), base);
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
            let filter = &self.settings.filter;
            let is_ignored = || operands.iter().all(|path| filter.ignores_path(path, &mount.point));
            if !within || mount.kind == b"autofs" || is_ignored() || self.refused.contains(&mount.point) {
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
}

impl<K: Kernel> Filesystems<K> {
    fn with(kernel: K, scope: Scope, settings: Settings) -> Filesystems<K> {
        Filesystems {
            kernel,
            limit: None,
            settings,
            scope,
            cause: 0,
            tree: Tree::default(),
            watches: HashMap::new(),
            handles: HashMap::new(),
            roots: Vec::new(),
            refused: HashSet::new(),
            last_watch: 0,
            outside: HashSet::new(),
            queue: Queue::new(process::id()),
            event: Vec::new(),
            was_there: false,
            turn_until: 0,
            ready: VecDeque::new(),
            settled: VecDeque::new(),
            names: Vec::new(),
            problems: VecDeque::new(),
            git_read: HashSet::new(),
            ended: VecDeque::new(),
            gone: VecDeque::new(),
            lost: false,
            mounts_changed: None,
            path: Vec::new(),
            path_of: None,
        }
    }

    fn tell(&mut self, watch: i32, mask: Mask, cookie: u32, name: &[u8]) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        let (name, cause) = (start..self.names.len(), self.cause);
        self.ready.push_back(Ready { watch, mask, cookie, name, cause });
    }

    /// Takes the oldest change of the queue, and makes ready what it reports; `false` if the turn is over.
    fn take(&mut self) -> bool {
        if self.queue.taken() >= self.turn_until {
            return false;
        }
        let mut bytes = std::mem::take(&mut self.event);
        let step = self.queue.take(&mut bytes);
        match &step {
            Some(Step::Rename(rename)) => {
                self.cause = rename.process;
                self.renamed(rename);
            }
            Some(Step::Event { mask, .. }) => {
                if let Some((event, _)) = RawEvent::decode(&bytes) {
                    self.cause = event.pid;
                    self.follow(&RawEvent { mask: *mask, ..event });
                }
            }
            None => {}
        }
        self.event = bytes;
        self.cause = 0;
        step.is_some()
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
        (reported && !self.is_ignored(node, mask)).then_some((watched, mask, !asked))
    }

    /// Reads what the kernel has queued, and begins a turn.
    pub(super) fn begin_turn(&mut self) -> io::Result<usize> {
        self.lost = false;
        let length = self.queue.fill(&mut self.kernel)?;
        self.turn_until = self.queue.queued().min(self.queue.taken() + LONGEST_TURN);
        Ok(length)
    }

    /// The next thing to report.
    pub(super) fn next_item(&mut self) -> Option<Item<'_>> {
        loop {
            if let Some(problem) = self.problems.pop_front() {
                return Some(Item::Problem(problem));
            }
            let reported = match self.settled.pop_front() {
                Some((ready, path, watched, ends_wait)) => {
                    (self.path, self.path_of) = (path, None);
                    Some((ready.mask, ready, watched, ends_wait))
                }
                None => match self.ready.pop_front() {
                    Some(ready) => {
                        let reported = self.report(&ready);
                        self.follow_git(&ready);
                        let Some((watched, mask, ends_wait)) = reported else { continue };
                        Some((mask, ready, watched, ends_wait))
                    }
                    None => None,
                },
            };
            if let Some((mask, Ready { watch, cookie, cause, .. }, watched, ends_wait)) = reported {
                let pid = self.limit.is_none().then_some(cause);
                let path = &self.path;
                return Some(Item::Event(Event { watch, path, watched, mask, cookie, pid, ends_wait }));
            }
            self.names.clear();
            if let Some(watch) = self.gone.pop_front() {
                let Some(node) = self.tree.find(watch) else { continue };
                (self.path, self.path_of) = (self.tree.path(node), None);
                self.tree.remove(node);
                self.git_read.remove(&node);
                if let Some(ignore) = self.settings.filter.ignore() {
                    ignore.forget(node);
                }
                self.roots.retain(|root| *root != watch);
                if let Some(handle) = self.handles.remove(&watch) {
                    self.watches.remove(&handle);
                }
                return Some(Item::Retired { watch, path: &self.path });
            }
            if !self.take() {
                return None;
            }
        }
    }

    /// For tests: follows a directory.
    #[cfg(test)]
    pub(super) fn simulated(
        kernel: K,
        settings: Settings,
        directory: &Handle,
        path: &[u8],
    ) -> Filesystems<K> {
        let mut source = Filesystems::with(kernel, Scope::Paths, settings);
        let root = source.insert(None, path, directory, Flags { initial: true, ..DIRECTORY });
        source.roots.push(root);
        source
    }

    /// For tests: whether there is nothing left to handle.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Reads what the kernel has queued. An error shows again, and is dealt with, at the next ordinary read.
    fn pull(&mut self) {
        let _ = self.queue.fill(&mut self.kernel);
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
        self.kernel.len()
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
        let has_changed = self.kernel.lookout.has_changed();
        let length = self.begin_turn()?;
        if has_changed && self.mounts_changed.is_none() {
            self.mounts_changed = Some(self.queue.queued());
        }
        if self.mounts_changed.is_some_and(|until| self.queue.taken() >= until) {
            self.mounts_changed = None;
            self.survey();
        }
        Ok(length)
    }

    fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.mounts_changed.is_some()
    }

    fn next(&mut self) -> Option<Item<'_>> {
        self.next_item()
    }

    fn tells_processes(&self) -> bool {
        self.limit.is_none()
    }

    fn lose(&mut self) -> bool {
        self.event.clear();
        if self.limit.is_none() && self.kernel.read(&mut self.event).is_ok_and(|length| length > 0) {
            self.event = Vec::new();
            if !std::mem::replace(&mut self.lost, true) {
                self.queue.push_overflow();
            }
        }
        self.limit.is_none()
    }

    fn begin_own(&mut self) -> usize {
        0
    }

    fn drop_own(&mut self, _begun: usize, _is_own: &dyn Fn(Mask, &[u8]) -> bool) {}
}

impl AsFd for Filesystems {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.lookout.as_fd()
    }
}
