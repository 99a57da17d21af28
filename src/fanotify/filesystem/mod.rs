//! Whole file systems: one mark each, and what happens elsewhere on them dropped.
//!
//! An event names its directory by a handle. Which path that is, is kept in a tree of those directories that events
//! came from: what is below an operand is looked up once, by walking up from the directory until something known
//! is met, and kept true by the events of renames and deletions, which name the renamed directory. Since
//! the file system is watched whole, no directory appears unheard of, and none has to be walked to in advance.
//!
//! The order of the queue is the truth: what is looked up is what is true now, later than the event.
//! So the kernel's queue is read afterwards, and if the directory was renamed or deleted since, the first such event
//! names the place where it was.

mod follow;
mod ignored;
pub(super) mod kernel;
mod locate;
mod mounted;
mod queue;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::{FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME};
use nix::fcntl::OFlag;

use crate::backlog::Position;
use crate::event::{is_asked, kernel_bits, without_unasked};
use crate::fanotify::normalise::Step;
use crate::fanotify::refusal::{self, explained};
use crate::fanotify::{absolute_in_part, is_directory, whole_path_of};
use crate::ignore::git;
use crate::source::{Event, Item, Problem, Scope, Settings, Source};
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Group, Handle, Target, open_handle};
use crate::sys::inotify::Wd;
use crate::sys::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_CLOSE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_OPEN,
    IN_UNMOUNT, Mask,
};
use crate::sys::mounts::{self, Lookout, Mount};
use crate::sys::process;
use crate::tree::{self, NodeId, Tree};

use self::kernel::{Kernel, Marked, file_system, handle_of, top_of_btrfs};
use self::locate::is_elsewhere;
use self::mounted::shown;
use self::queue::Queue;

/// What follows the tree, whatever `-e` says.
const FOLLOW: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR;

/// The events that the kernel reports of a mount (fanotify_mark(2)); it reports the others of a file system only.
const OF_MOUNT: Mask = IN_ACCESS.or(IN_MODIFY).or(IN_OPEN).or(IN_CLOSE);

/// A turn handles at most this many changes before the program looks at the clock.
const LONGEST_TURN: u64 = 50_000;

/// What is known of a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    directory: bool,
    /// An operand.
    initial: bool,
    /// The root of a mount: it stays where that is mounted, whatever becomes of the directory elsewhere.
    mounted: bool,
}

impl tree::State for State {
    fn is_directory(&self) -> bool {
        self.directory
    }
}

const DIRECTORY: State = State { directory: true, initial: false, mounted: false };

/// Something to return from [`Source::next`], in the order in which it happened; with the place of its path in
/// [`Filesystems::paths`].
#[derive(Debug)]
enum Outgoing {
    Event {
        watch: Wd,
        watched: usize,
        mask: Mask,
        cookie: u32,
        cause: i32,
        ends_wait: bool,
        ends_operand: bool,
        path: Range<usize>,
    },
    Retired {
        watch: Wd,
        path: Range<usize>,
    },
    Problem(Problem),
}

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
    /// The directories known to be within what was asked for. Its roots are operands, whose name is their absolute path. The
    /// root of a mount is an entry of the directory that its mount point is in, so it is renamed with that.
    tree: Tree<State>,
    nodes: HashMap<Box<Handle>, NodeId>,
    handles: HashMap<NodeId, Box<Handle>>,
    roots: Vec<NodeId>,
    /// Of each root the mount that it is in, if that is known; and of the root of a mount that mount.
    mounts: Vec<(NodeId, Mount)>,
    /// Mounts that cannot be watched, which was reported.
    refused: Vec<Mount>,
    last_watch: i32,
    /// Directories known to be elsewhere.
    outside: HashSet<Box<Handle>>,
    queue: Queue,
    /// The change that is being handled is one of an entry: the directory was there then.
    was_there: bool,
    turn_until: u64,
    outbox: VecDeque<Outgoing>,
    /// The paths of what is in the outbox.
    paths: Vec<u8>,
    /// Directories in which git's files have been read.
    git_read: HashSet<NodeId>,
    /// The directories that ended last, and whether that was reported: it was not where nothing showed where they were.
    ended: VecDeque<(Box<Handle>, bool)>,
    /// Events were thrown away since the last read.
    lost: bool,
    /// Something was mounted or unmounted; to be looked at when this much of the queue is taken: it happened before. Or it could not be
    /// looked at, and that is tried again then.
    mounts_changed: Option<u64>,
    /// A directory has come in which something may be mounted, or an operand has another path.
    may_have_mounts: bool,
    path: Vec<u8>,
    /// The path of an event: `%w` of the node named here, and the entry's name after it.
    path_of: Option<(NodeId, usize)>,
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
            // A missing operand is reported when its turn comes.
            let Ok((object, path)) = source.open_operand(operand) else { continue };
            if source.mark(&object, &path, mounts::of(&path).as_ref()).is_err() && !demanded {
                return Ok(Err(source.settings));
            }
        }
        let base = source.settings.base.clone();
        source.settings.filter.resolve_paths(|path, follow| absolute_in_part(&base, path, follow));
        Ok(Ok(source))
    }

    /// Opens an operand; returns its absolute path also. `-r` follows a link to a directory, as does a slash after it.
    fn open_operand(&self, operand: &[u8]) -> io::Result<(OwnedFd, Vec<u8>)> {
        let path = process::absolute(&self.settings.base, operand);
        let links = if self.settings.follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        // A link that leads nowhere is an error, as with inotify.
        let target = self.settings.recursive.then(|| open_path(&path, OFlag::empty())).transpose()?;
        let directory = target.filter(|target| is_directory(target).unwrap_or(false));
        let object = directory.map_or_else(|| open_path(&path, links), Ok)?;
        let path = whole_path_of(&object)?;
        Ok((object, path))
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
            nodes: HashMap::new(),
            handles: HashMap::new(),
            roots: Vec::new(),
            mounts: Vec::new(),
            refused: Vec::new(),
            last_watch: 0,
            outside: HashSet::new(),
            queue: Queue::new(process::id()),
            was_there: false,
            turn_until: 0,
            outbox: VecDeque::new(),
            paths: Vec::new(),
            git_read: HashSet::new(),
            ended: VecDeque::new(),
            lost: false,
            mounts_changed: None,
            may_have_mounts: false,
            path: Vec::new(),
            path_of: None,
        }
    }

    /// Marks the file system, or the mount, that an open object is in.
    fn mark(&mut self, object: &OwnedFd, path: &[u8], mount: Option<&Mount>) -> io::Result<Box<Handle>> {
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
        let mut of_mount = Mask::NONE;
        if self.scope == Scope::Mount {
            of_mount = asked & OF_MOUNT;
            if of_mount != Mask::NONE {
                self.kernel.mark(object, Target::Mount, u64::from(of_mount) | FAN_ONDIR).map_err(refused)?;
            }
        }
        // FAN_RENAME reports both ends of a rename, and with them that the object itself was renamed.
        let of_filesystem = asked & !(of_mount | IN_MOVE | IN_MOVE_SELF);
        let git = if self.settings.filter.reads_git() { FAN_CLOSE_WRITE } else { 0 };
        let mask = u64::from(of_filesystem) | FOLLOW | git;
        self.kernel.mark(object, Target::Filesystem, mask).map_err(refused)?;
        self.kernel.add(file_system(&handle), mount, base);
        Ok(handle)
    }

    /// Takes the oldest change of the queue, and reports it; `false` if the turn is over.
    fn take(&mut self) -> bool {
        if self.queue.taken() >= self.turn_until {
            return false;
        }
        let Some(change) = self.queue.take() else { return false };
        match &change.step {
            Step::Rename(rename) => {
                self.cause = rename.process;
                self.renamed(rename);
            }
            Step::Linked(linked) => {
                self.cause = linked.process;
                self.linked(linked);
            }
            Step::Event { .. } => {
                if let Some(event) = change.event() {
                    self.cause = event.pid;
                    self.follow(&event);
                }
            }
        }
        self.cause = 0;
        true
    }

    /// Reports an event of what a node stands for or of an entry of it, if the user asked for it.
    fn report(&mut self, node: NodeId, mask: Mask, cookie: u32, name: &[u8]) {
        let State { directory, initial, .. } = self.tree.state(node);
        let is_asked = is_asked(self.settings.events, mask);
        if is_asked || initial && mask.has(IN_UNMOUNT | IN_DELETE_SELF) {
            // Some bits of a merged event may not have been asked for.
            let asked = without_unasked(self.settings.events, mask);
            let watched = self.set_path(node, directory, name);
            if self.is_reported(node, asked) {
                self.push_event(self.tree.wd(node), watched, asked, cookie, !is_asked);
            }
        }
        if git::is_changed_by(mask, name) {
            self.read_git(node, true);
        }
    }

    /// Makes `self.path` the path of an event; returns the length of `%w` in it.
    fn set_path(&mut self, node: NodeId, is_directory: bool, name: &[u8]) -> usize {
        let watched = match self.path_of {
            Some((known, watched)) if known == node => watched,
            _ => {
                self.path.clear();
                self.tree.push_path(node, &mut self.path);
                self.path_of = Some((node, self.path.len()));
                self.path.len()
            }
        };
        self.path.truncate(watched);
        if is_directory {
            self.path.extend_from_slice(name);
            return watched;
        }
        self.path.iter().rposition(|byte| *byte == b'/').map_or(watched, |slash| slash + 1)
    }

    /// Whether the filters let an event pass whose path is in `self.path`.
    fn is_reported(&mut self, node: NodeId, mask: Mask) -> bool {
        let filter = &self.settings.filter;
        let below_root = || self.tree.way_up(node).last().map_or(0, |root| self.tree.name(root).len()) + 1;
        filter.reports(&self.path, mask.has(IN_ISDIR))
            && !filter.hides_above(&self.path, below_root)
            && !self.is_ignored(node, mask)
    }

    fn push_event(&mut self, watch: Wd, watched: usize, mask: Mask, cookie: u32, ends_wait: bool) {
        let path = keep(&mut self.paths, &self.path);
        let cause = self.cause;
        let ended = self.tree.find(watch).filter(|_| mask.has(IN_UNMOUNT | IN_DELETE_SELF));
        let ends_operand = ended.is_some_and(|node| self.tree.state(node).initial);
        self.outbox.push_back(Outgoing::Event {
            watch,
            watched,
            mask,
            cookie,
            cause,
            ends_wait,
            ends_operand,
            path,
        });
    }

    /// Lets a node go whose object is gone or elsewhere.
    fn retire(&mut self, node: NodeId) {
        let state = self.tree.state(node);
        let path = keep(&mut self.paths, &self.tree.path(node));
        self.outbox.push_back(Outgoing::Retired { watch: self.tree.wd(node), path });
        self.tree.remove(node);
        self.git_read.remove(&node);
        if let Some(ignore) = self.settings.filter.ignore() {
            ignore.forget(node);
        }
        if state.initial || state.mounted {
            self.roots.retain(|root| *root != node);
            self.mounts.retain(|(known, _)| *known != node);
        }
        if let Some(handle) = self.handles.remove(&node) {
            self.nodes.remove(&handle);
        }
    }

    /// Reads what the kernel has queued, and begins a turn.
    pub(super) fn begin_turn(&mut self) -> io::Result<usize> {
        self.lost = false;
        let (outside, nodes) = (&mut self.outside, &self.nodes);
        let length = self.queue.fill(&mut self.kernel, |bytes| is_elsewhere(bytes, outside, nodes))?;
        self.turn_until = self.queue.queued().min(self.queue.taken() + LONGEST_TURN);
        Ok(length)
    }

    /// The next thing to report.
    pub(super) fn next_item(&mut self) -> Option<Item<'_>> {
        while self.outbox.is_empty() {
            self.paths.clear();
            if !self.take() {
                return None;
            }
        }
        Some(match self.outbox.pop_front()? {
            Outgoing::Problem(problem) => Item::Problem(problem),
            Outgoing::Retired { watch, path } => Item::Retired { watch, path: &self.paths[path] },
            Outgoing::Event { watch, watched, mask, cookie, cause, ends_wait, ends_operand, path } => {
                let (pid, path) = (self.limit.is_none().then_some(cause), &self.paths[path]);
                Item::Event(Event { watch, path, watched, mask, cookie, pid, ends_wait, ends_operand })
            }
        })
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
        let root = source.insert(None, path, directory, State { initial: true, ..DIRECTORY });
        source.roots.push(root);
        source
    }

    /// For tests: whether there is nothing left to handle.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Reads what the kernel has queued, while a change is being handled. An error shows again, and is dealt with, at the next
    /// ordinary read.
    fn pull(&mut self) {
        // The change at hand may bring a directory that is elsewhere:
        //
        //     rename /out/d to /tree/d    taken; d is looked for where it was, and that is elsewhere
        //     create d/f                  read during that look
        let _ = self.queue.fill(&mut self.kernel, |_| false);
    }
}

impl Source for Filesystems {
    fn watch(&mut self, operand: &[u8]) -> io::Result<()> {
        let (object, path) = self.open_operand(operand)?;
        let directory = is_directory(&object).unwrap_or(false);
        let mount = mounts::of(&path);
        let handle = self.mark(&object, &path, mount.as_ref())?;
        if self.scope != Scope::Paths {
            let mount = mount.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            let others = if self.scope == Scope::Filesystem { mounts::all()? } else { Vec::new() };
            let others = others.into_iter().filter(|other| other.device == mount.device && !other.is(&mount));
            let mounts: Vec<Mount> = [mount.clone()].into_iter().chain(others).collect();
            self.add_shown(&shown(file_system(&handle), &mounts));
            return Ok(());
        }
        self.add_root(&handle, &path, directory, mount);
        Ok(())
    }

    fn walk(&mut self) -> io::Result<bool> {
        self.survey(false);
        Ok(false)
    }

    fn establish(&mut self) {}

    fn needed(&mut self, operands: &[Vec<u8>]) -> usize {
        operands.len()
    }

    fn watches(&self) -> usize {
        if self.roots.is_empty() { 0 } else { self.kernel.len() }
    }

    fn in_order(&self) -> Vec<Wd> {
        let mut watches: Vec<Wd> = self.tree.nodes().map(|node| self.tree.wd(node)).collect();
        watches.sort_unstable();
        watches
    }

    fn path(&self, watch: Wd) -> Option<Vec<u8>> {
        Some(self.tree.path(self.tree.find(watch)?))
    }

    fn problem(&mut self) -> Option<Problem> {
        let at = self.outbox.iter().position(|out| matches!(out, Outgoing::Problem(_)))?;
        match self.outbox.remove(at) {
            Some(Outgoing::Problem(problem)) => Some(problem),
            _ => None,
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let has_changed = self.kernel.lookout.has_changed();
        let length = self.begin_turn()?;
        if has_changed {
            let until = self.queue.queued();
            self.mounts_changed = Some(self.mounts_changed.map_or(until, |known| known.min(until)));
        }
        let has_changed = self.mounts_changed.take_if(|until| self.queue.taken() >= *until).is_some();
        if std::mem::take(&mut self.may_have_mounts) || has_changed {
            self.survey(has_changed);
        }
        Ok(length)
    }

    fn has_more(&self) -> bool {
        !self.outbox.is_empty()
            || !self.queue.is_empty()
            || self.mounts_changed.is_some_and(|until| self.queue.taken() >= until)
            || self.may_have_mounts
    }

    fn next(&mut self) -> Option<Item<'_>> {
        self.next_item()
    }

    fn tells_processes(&self) -> bool {
        self.limit.is_none()
    }

    fn lose(&mut self) -> bool {
        let thrown_away =
            self.limit.is_none() && self.kernel.read(&mut Vec::new()).is_ok_and(|length| length > 0);
        if thrown_away && !std::mem::replace(&mut self.lost, true) {
            self.queue.push_overflow();
        }
        self.limit.is_none()
    }

    fn begin_own(&mut self) -> Position {
        Position::default()
    }

    fn drop_own(&mut self, _begun: Position, _is_own: &dyn Fn(Mask, &[u8]) -> bool) {}
}

impl AsFd for Filesystems {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.lookout.as_fd()
    }
}

/// Appends a path to others; returns where it is.
fn keep(paths: &mut Vec<u8>, path: &[u8]) -> Range<usize> {
    let start = paths.len();
    paths.extend_from_slice(path);
    start..paths.len()
}
