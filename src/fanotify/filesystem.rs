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

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use libc::{
    FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME, IN_ACCESS, IN_ALL_EVENTS, IN_CLOSE,
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_MOVED_FROM,
    IN_MOVED_TO, IN_OPEN, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::event::{Mask, is_asked, kernel_bits, without_unasked};
use crate::fanotify::course::{Course, Place};
use crate::fanotify::mounts::{self, Lookout};
use crate::fanotify::queue::Queue;
use crate::fanotify::refusal::explained;
use crate::fanotify::{absolute_hidden, path_of};
use crate::source::{Event, Item, Problem, Scope, Settings, Source};
use crate::sys::directory::{self, open_path};
use crate::sys::fanotify::{Entry, Group, Handle, RawEvent, Target, is_mount_root, open_handle};
use crate::sys::{fanotify, process};
use crate::tree::{Flags, NodeId, Tree};

/// What follows the tree, whatever `-e` says.
const FOLLOW: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR;

/// What the kernel tells of a mount (fanotify_mark(2)); the rest it tells of a file system only.
const OF_MOUNT: Mask = IN_ACCESS | IN_MODIFY | IN_OPEN | IN_CLOSE;

/// Where the length of the kernel's queue is set (fanotify(7)).
const QUEUE_LENGTH: &str = "/proc/sys/fs/fanotify/max_queued_events";

/// How many directories elsewhere are remembered as such; beyond, they are looked up anew. Some 100 bytes each.
const REMEMBERED: usize = 1 << 18;

/// A way up longer than this was not one way, but directories that changed places meanwhile.
const DEEPEST: usize = 1 << 14;

/// How often, in milliseconds, to look for what is certain to be told at once.
const PATIENCE: usize = 20;

/// The two halves of an exchange are queued one behind the other, with less than this between that others do elsewhere.
const NEAR: usize = 16;

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
    /// Files whose creation and deletion were told as one, which may have been followed by another creation, by
    /// the number of the directory's watch and their names.
    brief: HashMap<Box<[u8]>, Box<Handle>>,
    /// Watches to be forgotten when all that is ready has been reported.
    gone: VecDeque<i32>,
    /// Events were thrown away since the last read.
    lost: bool,
    reader: directory::Reader,
    path: Vec<u8>,
    /// The path of an event: `%w` of the watch named here, and the entry's name after it.
    path_of: Option<(i32, usize)>,
}

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
}

impl Filesystems {
    /// A group with the marks for all operands. Where the kernel is too old for that, or refuses it, and `-S` or `-M`
    /// did not ask for it, the settings come back. The errors are those of fanotify_init(2).
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
            return if demanded {
                Err(io::Error::from_raw_os_error(libc::EINVAL))
            } else {
                Ok(Err(settings))
            };
        }
        let mut source = Filesystems {
            lookout: Lookout::new(&group)?,
            group,
            settings,
            scope,
            pid: std::process::id() as i32,
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
            gone: VecDeque::new(),
            lost: false,
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
        let base = if is_directory(object) { path } else { &path[..=slash] };
        let top = match top_of_btrfs(&handle) {
            Some(top) => Some(open_handle(&open_path(base, OFlag::O_DIRECTORY)?, &top)?),
            None => None,
        };
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
                let directory = if self.tree.flags(node).directory { IN_ISDIR } else { 0 };
                self.tell(watch, IN_UNMOUNT | directory, 0, b"");
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

    /// Adds a root; where its directory is within another one already, that is enough.
    fn add_root(&mut self, handle: &Handle, path: &[u8], flags: Flags) {
        let known = if flags.directory { self.locate(handle) } else { self.known(handle) };
        if let Some(node) = known {
            self.tree.flags_mut(node).initial |= flags.initial;
            return;
        }
        // What was elsewhere may be below it.
        self.outside.clear();
        let watch = self.insert(None, path, handle, flags);
        self.roots.push(watch);
    }

    fn insert(&mut self, parent: Option<NodeId>, name: &[u8], handle: &Handle, flags: Flags) -> i32 {
        self.last_watch += 1;
        self.tree.insert(parent, name, self.last_watch, flags);
        self.watches.insert(handle.into(), self.last_watch);
        self.handles.insert(self.last_watch, handle.into());
        self.last_watch
    }

    /// Whether a root is at its path, or else at one where it is found. Deleted it stays where it was.
    fn is_in_place(&mut self, node: NodeId) -> bool {
        let Some(handle) = self.handles.get(&self.tree.wd(node)).cloned() else { return true };
        let is_at = |path: &[u8]| {
            let object = open_path(path, OFlag::O_NOFOLLOW);
            object.and_then(|object| handle_of(&object)).is_ok_and(|found| found == handle)
        };
        if is_at(self.tree.name(node)) {
            return true;
        }
        let Some(base) = self.base(file_system(&handle)) else { return false };
        let path = match open_handle(&base, &handle) {
            Err(error) => return error.raw_os_error() == Some(libc::ESTALE),
            Ok(object) if is_deleted(&object) => return true,
            Ok(object) => path_of(&object).unwrap_or_default(),
        };
        if !is_at(&path) {
            return false;
        }
        self.tree.relink(node, None, &path);
        self.path_of = None;
        true
    }

    /// A directory of a file system that is marked, opened; `None` where it is not mounted any more.
    fn base(&mut self, id: &[u8]) -> Option<OwnedFd> {
        let at = self.marked.iter().position(|marked| marked.id == id)?;
        let opened = |path: &[u8]| {
            let object = open_path(path, OFlag::O_DIRECTORY).ok()?;
            handle_of(&object).is_ok_and(|handle| file_system(&handle) == id).then_some(object)
        };
        if let Some(object) = opened(&self.marked[at].base) {
            return Some(object);
        }
        let found = mounts::all().ok().and_then(|mounts| {
            mounts.into_iter().find_map(|mount| opened(&mount.point).map(|object| (object, mount.point)))
        });
        match found {
            Some((object, base)) => {
                self.marked[at].base = base;
                Some(object)
            }
            None => {
                self.marked.swap_remove(at);
                None
            }
        }
    }

    fn known(&self, handle: &Handle) -> Option<NodeId> {
        self.watches.get(handle).and_then(|watch| self.tree.find(*watch))
    }

    /// The node of a directory as the event at hand saw it; `None` if it is elsewhere.
    fn locate(&mut self, handle: &Handle) -> Option<NodeId> {
        match self.known(handle) {
            Some(node) if !self.tree.flags(node).unscanned => Some(node),
            None if self.outside.contains(handle) => None,
            _ => self.find_out(handle.into()),
        }
    }

    /// Walks up from a directory to one that is known.
    fn find_out(&mut self, handle: Box<Handle>) -> Option<NodeId> {
        let mut way: Vec<(Box<Handle>, Vec<u8>)> = Vec::new();
        let mut at = handle;
        let found = loop {
            match self.known(&at) {
                Some(node) if !self.tree.flags(node).unscanned => break Some(node),
                None if self.outside.contains(&at) => break None,
                _ => {}
            }
            match self.place_of(&at).filter(|_| way.len() < DEEPEST) {
                Some((parent, name)) => way.push((std::mem::replace(&mut at, parent), name)),
                None => {
                    way.push((at, Vec::new()));
                    break None;
                }
            }
        };
        if found.is_none() && self.outside.len() + way.len() > REMEMBERED {
            self.outside.clear();
        }
        let mut above = found;
        for (handle, name) in way.into_iter().rev() {
            let known = self.known(&handle);
            above = match (above, known) {
                (Some(parent), Some(node)) => {
                    if !self.tree.is_within(parent, node) {
                        self.tree.relink(node, parent, &name);
                    }
                    self.tree.flags_mut(node).unscanned = false;
                    self.path_of = None;
                    known
                }
                (Some(parent), None) => {
                    self.insert(Some(parent), &name, &handle, DIRECTORY);
                    self.known(&handle)
                }
                (None, known) => {
                    if let Some(node) = known {
                        self.forget(node);
                    }
                    self.outside.insert(handle);
                    None
                }
            };
        }
        above
    }

    /// The directory that a directory was in when the event at hand happened, and its name there. `None` for the
    /// root of a file system or mount, and for what is gone without a trace.
    fn place_of(&mut self, handle: &Handle) -> Option<(Box<Handle>, Vec<u8>)> {
        let now = self.present_place(handle);
        self.pull();
        let mut then = self.queue.place_of(handle);
        let stale = now.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESTALE));
        for _ in 0..PATIENCE {
            if then.is_some() || !stale || !self.was_there {
                break;
            }
            // It is gone since: whoever deletes it is about to tell of that.
            let mut fds = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(1u8));
            self.pull();
            then = self.queue.place_of(handle);
        }
        then.or(now.ok().flatten())
    }

    /// The same of this moment. What had been changed by then has been queued when this returns.
    fn present_place(&mut self, handle: &Handle) -> io::Result<Option<(Box<Handle>, Vec<u8>)>> {
        let Some(base) = self.base(file_system(handle)) else { return Ok(None) };
        let object = open_handle(&base, handle)?;
        if is_deleted(&object) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        if is_mount_root(&object) {
            return Ok(None);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let above = openat(&object, c"..", flags, Mode::empty())?;
        let parent = handle_of(&above)?;
        if *parent == *handle {
            return Ok(None);
        }
        let name = match path_of(&object) {
            Ok(path) => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec(),
            // Its path does not fit PATH_MAX.
            Err(_) => self.name_in(&above, handle)?,
        };
        directory::wait_for_change(&above);
        Ok(Some((parent, name)))
    }

    /// The name of a directory in the one it is in, by looking at each.
    fn name_in(&mut self, above: &OwnedFd, handle: &Handle) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut found = None;
        let opened = openat(above, c".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        self.reader.read(&opened, |name, _| {
            let object = openat(above, OsStr::from_bytes(name), flags, Mode::empty());
            if object.is_ok_and(|object| handle_of(&object).is_ok_and(|found| *found == *handle)) {
                found = Some(name.to_vec());
            }
        })?;
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn tell(&mut self, watch: i32, mask: Mask, cookie: u32, name: &[u8]) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.ready.push_back(Ready { watch, mask, cookie, name: start..self.names.len() });
    }

    /// What was watched is deleted.
    fn end(&mut self, watch: i32) {
        if let Some(node) = self.tree.find(watch) {
            let directory = if self.tree.flags(node).directory { IN_ISDIR } else { 0 };
            self.tell(watch, IN_DELETE_SELF | directory, 0, b"");
            self.gone.push_back(watch);
        }
    }

    /// Lets a node go with all below it.
    fn forget(&mut self, node: NodeId) {
        let below = self.tree.subtree(node);
        self.gone.extend(below.into_iter().rev().map(|node| self.tree.wd(node)).filter(|watch| *watch != -1));
    }

    /// Takes the oldest event of the queue, and makes ready what it tells; `false` if the turn is over.
    fn take(&mut self) -> bool {
        if self.queue.taken() >= self.turn_until || !self.queue.take(&mut self.event) {
            return false;
        }
        let bytes = std::mem::take(&mut self.event);
        if let Some((mut event, _)) = RawEvent::decode(&bytes) {
            if event.pid == self.pid {
                // Whoever lets go of a deleted directory last ends it, and that can be a look at it.
                event.mask &= FAN_DELETE_SELF | FAN_ONDIR;
            }
            if event.mask & !FAN_ONDIR != 0 {
                self.follow(&event);
            }
        }
        self.event = bytes;
        true
    }

    fn follow(&mut self, event: &RawEvent) {
        // The low half is inotify's.
        let mask = event.mask as Mask & (IN_ALL_EVENTS | IN_ISDIR | IN_Q_OVERFLOW);
        if mask & IN_Q_OVERFLOW != 0 {
            return self.overflown();
        }
        self.was_there = event.place.is_none_or(|entry| entry.name != b".");
        if event.mask & FAN_RENAME != 0 {
            return self.renamed(event, mask & IN_ISDIR);
        }
        let object = event.object;
        let of_file = |source: &Self| {
            let node = source.known(object?).filter(|node| !source.tree.flags(*node).directory)?;
            Some(source.tree.wd(node))
        };
        let (watch, name) = match event.place {
            Some(entry) => match self.locate(entry.directory) {
                Some(node) if entry.name == b"." => (Some(self.tree.wd(node)), &b""[..]),
                Some(node) => {
                    if mask & IN_CREATE != 0 && mask & IN_ISDIR != 0 {
                        self.appeared(node, entry.name, object);
                    }
                    (Some(self.tree.wd(node)), entry.name)
                }
                None => {
                    self.elsewhere(&entry, mask, object);
                    (of_file(self), &b""[..])
                }
            },
            None => (of_file(self), &b""[..]),
        };
        let Some(watch) = watch else { return };
        // Of a file that is an operand the rest is an event of its directory.
        let mask = if name.is_empty() { mask & !(IN_CREATE | IN_DELETE) } else { mask };
        // What is told as one happened to one object: so it was created first and deleted last.
        let directory = mask & IN_ISDIR;
        let between = mask & !(IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ISDIR);
        if mask & IN_CREATE != 0 && !self.brief.is_empty() {
            self.brief.remove(&brief_key(watch, name)[..]);
        }
        for part in [mask & IN_CREATE, between] {
            if part != 0 {
                self.tell(watch, part | directory, 0, name);
            }
        }
        if mask & IN_DELETE != 0 {
            let brief = object.filter(|_| mask & IN_CREATE != 0);
            if let Some(object) = brief.filter(|_| directory == 0) {
                if is_asked(self.settings.events, IN_CREATE) {
                    self.brief.insert(brief_key(watch, name), object.into());
                }
            }
            match brief.and_then(|object| self.queue.last_of(object)) {
                Some(last) => {
                    let object = object.map(Box::from);
                    let deletion = Deletion { watch, name: name.into(), directory, object };
                    self.deletions.push((last + 1, deletion));
                }
                None => self.deleted(watch, name, directory, object),
            }
        }
        if mask & IN_DELETE_SELF != 0 {
            match self.tree.find(watch) {
                Some(node) if self.tree.flags(node).news => self.end(watch),
                // It may be told with something earlier, before what happened in it.
                _ => self.dying.push_back((self.queue.queued(), watch)),
            }
        }
    }

    /// An entry is gone.
    fn deleted(&mut self, watch: i32, name: &[u8], directory: Mask, object: Option<&Handle>) {
        if let Some(object) = object.filter(|_| !self.courses.is_empty()) {
            let place = Some((watch, name.into()));
            self.catch_up(object, &place);
            if self.courses.get(object).is_some_and(|course| course.at == place) {
                self.courses.remove(object);
            }
        }
        // Its own end comes before it is an entry no more.
        let ended = object.and_then(|object| self.watches.get(object).copied());
        if let Some(at) = self.dying.iter().position(|(_, watch)| Some(*watch) == ended) {
            self.dying.remove(at);
            ended.into_iter().for_each(|watch| self.end(watch));
        } else if let Some(node) = ended.and_then(|watch| self.tree.find(watch)).filter(|_| directory != 0) {
            self.tree.flags_mut(node).news = true;
        }
        self.tell(watch, IN_DELETE | directory, 0, name);
    }

    /// What is created elsewhere is elsewhere, without a look at it; what is deleted need not be remembered.
    fn elsewhere(&mut self, entry: &Entry, mask: Mask, object: Option<&Handle>) {
        if mask & IN_DELETE_SELF != 0 {
            self.outside.remove(entry.directory);
        } else if mask & IN_CREATE != 0 && mask & IN_ISDIR != 0 && self.outside.len() < REMEMBERED {
            self.outside.extend(object.map(Box::from));
        }
    }

    /// A directory is an entry of one that is known.
    fn appeared(&mut self, parent: NodeId, name: &[u8], object: Option<&Handle>) {
        let Some(object) = object else { return };
        match self.known(object) {
            None => {
                self.insert(Some(parent), name, object, DIRECTORY);
            }
            Some(node) if self.tree.parent(node).is_some() && !self.tree.is_within(parent, node) => {
                self.tree.relink(node, parent, name);
                self.tree.flags_mut(node).unscanned = false;
                self.path_of = None;
            }
            Some(_) => {}
        }
    }

    fn renamed(&mut self, event: &RawEvent, directory: Mask) {
        let places = [event.old, event.new].map(|entry| {
            let node = entry.and_then(|entry| self.locate(entry.directory))?;
            Some((self.tree.wd(node), entry?.name))
        });
        let owned = |place: Option<(i32, &[u8])>| place.map(|(watch, name)| (watch, Box::from(name)));
        let again = |source: &Self, object: &Handle| source.queue.is_changing(object);
        let followed =
            event.object.filter(|object| again(self, object) || self.courses.contains_key(*object));
        // With what it changes places comes next, and stood there before.
        let near = self.queue.waiting().take(if self.courses.is_empty() { 0 } else { NEAR });
        let partner = near.filter(|next| next.mask & FAN_RENAME != 0).find(|next| {
            let swapped = next.old == event.new && next.new == event.old && next.pid == event.pid;
            next.object == event.object || swapped
        });
        let partner = partner.and_then(|next| next.object).filter(|partner| Some(*partner) != event.object);
        if let Some(partner) = partner.map(Box::<Handle>::from) {
            self.catch_up(&partner, &owned(places[1]));
        }
        if let Some(object) = followed {
            self.catch_up(object, &owned(places[0]));
        }
        self.tell_rename(event.object, directory, places);
        if let Some(object) = followed {
            let [from, to] = places.map(owned);
            let course = self.courses.entry(object.into()).or_insert_with(|| Course::new(directory));
            course.go(from, to);
            if !again(self, object) {
                self.look_for(object);
            }
        }
        self.renamed_roots(event, directory, places[0].is_none());
    }

    /// Finds the paths of what is ready: something is about to be renamed.
    fn settle(&mut self) {
        while let Some(ready) = self.ready.pop_front() {
            if let Some((watched, mask, ends_wait)) = self.report(&ready) {
                self.settled.push_back((Ready { mask, ..ready }, self.path.clone(), watched, ends_wait));
            }
        }
    }

    /// Tells a rename, by those ends that are within what was asked for.
    fn tell_rename(&mut self, object: Option<&Handle>, directory: Mask, places: [Option<(i32, &[u8])>; 2]) {
        self.settle();
        let [from, to] = places;
        if from.is_some() || to.is_some() {
            self.last_cookie = self.last_cookie.checked_add(1).unwrap_or(1);
        }
        for (place, bit) in [(from, IN_MOVED_FROM), (to, IN_MOVED_TO)] {
            if let Some((watch, name)) = place {
                self.tell(watch, bit | directory, self.last_cookie, name);
            }
        }
        if let Some((watch, name)) = to.filter(|_| !self.brief.is_empty()) {
            self.brief.remove(&brief_key(watch, name)[..]);
        }
        let known = object.and_then(|object| self.known(object));
        let is_root = known.is_some_and(|node| self.tree.parent(node).is_none());
        if directory != 0 && !is_root {
            if let Some((watch, name)) = to {
                if known.is_none() {
                    // So was what is below it.
                    self.outside.clear();
                }
                if let Some(parent) = self.tree.find(watch) {
                    self.appeared(parent, name, object);
                }
            }
        }
        let known = object.and_then(|object| self.known(object));
        if let Some(node) = known {
            self.tell(self.tree.wd(node), IN_MOVE_SELF | directory, 0, b"");
            if to.is_none() && !is_root {
                self.forget(node);
            }
        }
    }

    /// A root, or what is above one, has another path now.
    fn renamed_roots(&mut self, event: &RawEvent, directory: Mask, from_elsewhere: bool) {
        let known = event.object.and_then(|object| self.known(object));
        let root = known.filter(|node| self.tree.parent(*node).is_none());
        if let Some((node, entry)) = root.zip(event.new) {
            if let Some(mut path) = self.path_then(entry.directory) {
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.name);
                self.tree.relink(node, None, &path);
                self.path_of = None;
            }
            if event.object.is_some_and(|object| !self.queue.is_changing(object)) {
                // The last rename that is told may have become one with an earlier one.
                self.is_in_place(node);
            }
        } else if from_elsewhere && directory != 0 {
            self.look_after_roots(event.old.map_or(&b""[..], |entry| entry.name));
        }
    }

    /// An object is at a place. Where renames that were told led elsewhere, the one that brought it here has become one
    /// with an earlier one: that is told again.
    fn catch_up(&mut self, object: &Handle, place: &Place) {
        let Some(course) = self.courses.get_mut(object).filter(|course| course.at != *place) else { return };
        // A directory went some way; a file may have several names.
        if course.step_to(place).is_none() && course.directory == 0 {
            return;
        }
        let (directory, from) = (course.directory, std::mem::replace(&mut course.at, place.clone()));
        self.tell_rename(Some(object), directory, [&from, place].map(borrowed));
        // What stood there before has changed places with it, if it ever went this way.
        let goes = |course: &Course| course.at == *place && course.step_to(&from).is_some();
        let other = self.courses.iter_mut().find(|(other, course)| ***other != *object && goes(course));
        if let Some((other, course)) = other.filter(|_| place.is_some()) {
            course.at = from.clone();
            let (other, directory) = (other.clone(), course.directory);
            self.tell_rename(Some(&other), directory, [place, &from].map(borrowed));
        }
    }

    /// Whether an object is at a place now. What was changed there by then has been queued when this returns.
    fn is_at(&mut self, object: &Handle, place: &Place) -> bool {
        let mut look = || {
            let (watch, name) = place.as_ref()?;
            let above = self.handles.get(watch)?.clone();
            let above = open_handle(&self.base(file_system(&above))?, &above).ok()?;
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let found = openat(&above, OsStr::from_bytes(name), flags, Mode::empty());
            directory::wait_for_change(&above);
            Some(*handle_of(&found.ok()?).ok()? == *object)
        };
        look().unwrap_or(false)
    }

    /// Whether an object has not been deleted.
    fn is_there(&mut self, object: &Handle) -> bool {
        let base = self.base(file_system(object));
        let object = base.and_then(|base| open_handle(&base, object).ok());
        object.is_some_and(|object| !is_deleted(&object))
    }

    /// Where an object is; `None` where that is not to be found out.
    fn place_now(&mut self, object: &Handle) -> Option<Place> {
        let course = self.courses.get(object)?;
        let places = std::iter::once(&course.at).chain(course.others());
        let places: Vec<Place> = places.filter(|place| place.is_some()).cloned().collect();
        let found = places.into_iter().find(|place| self.is_at(object, place));
        found.or_else(|| self.is_there(object).then_some(None))
    }

    /// Behind the last rename of an object that is queued: tells the one that is missing, if nothing that is queued can
    /// have come before it.
    fn look_for(&mut self, object: &Handle) {
        if self.courses.get(object).is_some_and(Course::is_doubtful) {
            let place = self.place_now(object);
            self.pull();
            let Some(place) = place.filter(|_| !self.queue.is_changing(object)) else { return };
            let moved = self.courses.get(object).is_some_and(|course| course.at != place);
            let entry = place.as_ref().and_then(|(watch, name)| Some((self.handles.get(watch)?, name)));
            if moved && entry.is_some_and(|(directory, name)| self.queue.changes(directory, name)) {
                return;
            }
            self.catch_up(object, &place);
        }
        self.courses.remove(object);
    }

    /// When all that was read has been told: looks for what may have been told only in part. Whether there is something to
    /// tell.
    fn look_again(&mut self) -> bool {
        if !self.queue.is_empty() || self.courses.is_empty() && self.brief.is_empty() {
            return false;
        }
        let objects: Vec<Box<Handle>> = self.courses.keys().cloned().collect();
        let places: Vec<_> = objects.iter().map(|object| self.place_now(object)).collect();
        let mut there = Vec::new();
        for (key, object) in std::mem::take(&mut self.brief) {
            let Some((watch, name)) = key.split_first_chunk() else { continue };
            let watch = i32::from_ne_bytes(*watch);
            let Some(node) = self.tree.find(watch) else { continue };
            self.path.clear();
            self.path_of = None;
            self.tree.push_path(node, &mut self.path);
            self.path.extend_from_slice(name);
            // The path of this moment: what is not there costs no more than this.
            if open_path(&self.path, OFlag::O_NOFOLLOW).is_ok()
                && self.is_at(&object, &Some((watch, name.into())))
            {
                there.push((key, object));
            }
        }
        self.pull();
        let pid = self.pid;
        // Its own looking is told, too.
        if self.queue.waiting().any(|event| event.pid != pid) {
            // It may have been changed since.
            self.brief.extend(there);
            return false;
        }
        for (object, place) in objects.iter().zip(places) {
            if let Some(place) = place {
                self.catch_up(object, &place);
            }
        }
        self.courses.clear();
        for (key, _) in there {
            if let Some((watch, name)) = key.split_first_chunk() {
                self.tell(i32::from_ne_bytes(*watch), IN_CREATE, 0, name);
            }
        }
        !self.ready.is_empty() || !self.settled.is_empty()
    }

    /// Finds those roots again in whose path a directory of this name was renamed.
    fn look_after_roots(&mut self, name: &[u8]) {
        for watch in self.roots.clone() {
            let Some(node) = self.tree.find(watch) else { continue };
            if !self.tree.name(node).split(|byte| *byte == b'/').any(|part| part == name) {
                continue;
            }
            let handle = self.handles.get(&watch).cloned();
            match handle.and_then(|handle| self.path_then(&handle)) {
                Some(path) if path != self.tree.name(node) => {
                    self.tree.relink(node, None, &path);
                    self.path_of = None;
                }
                Some(_) => {}
                None => drop(self.is_in_place(node)),
            }
        }
    }

    /// The path that a directory had when the event at hand happened, wherever that is.
    fn path_then(&mut self, handle: &Handle) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at: Box<Handle> = handle.into();
        while let Some((parent, name)) = self.place_of(&at).filter(|_| names.len() < DEEPEST) {
            names.push(name);
            at = parent;
        }
        let top = open_handle(&self.base(file_system(&at))?, &at).ok().filter(|top| !is_deleted(top))?;
        let mut path = path_of(&top).ok()?;
        for name in names.into_iter().rev() {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
        }
        Some(path)
    }

    /// Renames and deletions may be among what was lost.
    fn overflown(&mut self) {
        let limit = (!self.group.unlimited).then_some(QUEUE_LENGTH);
        self.problems.push_back(Problem::Overflow { limit, recursive: false });
        self.outside.clear();
        let nodes: Vec<NodeId> = self.tree.nodes().collect();
        for node in nodes {
            if self.tree.parent(node).is_some() {
                self.tree.flags_mut(node).unscanned = true;
            } else {
                self.is_in_place(node);
            }
        }
        self.tell(-1, IN_Q_OVERFLOW, 0, b"");
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
        let root = self.tree.way_up(node).last().map_or(0, |root| self.tree.name(root).len());
        let reported =
            filter.reports(&self.path, mask & IN_ISDIR != 0) && !filter.hides_above(&self.path, root + 1);
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
        let directory = is_directory(&object);
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

    fn paths(&self) -> Vec<(i32, Vec<u8>)> {
        let mut nodes: Vec<NodeId> = self.tree.nodes().collect();
        nodes.sort_by_key(|node| self.tree.wd(*node));
        nodes.into_iter().map(|node| (self.tree.wd(node), self.tree.path(node))).collect()
    }

    fn problem(&mut self) -> Option<Problem> {
        self.problems.pop_front()
    }

    fn read(&mut self) -> io::Result<usize> {
        self.lost = false;
        let length = self.queue.fill(&self.group)?;
        if self.lookout.has_changed() {
            self.survey();
        }
        self.turn_until = self.queue.queued();
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
                let Ready { watch, mask, cookie, .. } = ready;
                return Some(Item::Event(Event {
                    watch,
                    path: &self.path,
                    watched,
                    mask,
                    cookie,
                    ends_wait,
                }));
            }
            if let Some(ready) = self.ready.pop_front() {
                if let Some((watched, mask, ends_wait)) = self.report(&ready) {
                    let Ready { watch, cookie, .. } = ready;
                    let path = &self.path;
                    return Some(Item::Event(Event { watch, path, watched, mask, cookie, ends_wait }));
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
            if !self.take() && !self.look_again() {
                return None;
            }
        }
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

/// The key of an entry: its directory's watch and its name.
fn brief_key(watch: i32, name: &[u8]) -> Box<[u8]> {
    [&watch.to_ne_bytes()[..], name].concat().into()
}

fn borrowed(place: &Place) -> Option<(i32, &[u8])> {
    place.as_ref().map(|(watch, name)| (*watch, &**name))
}

/// The type of btrfs's handles (FILEID_BTRFS_WITHOUT_PARENT in the kernel's exportfs.h): the inode's number (8 bytes),
/// the subvolume's (8) and the generation (4).
const BTRFS: [u8; 4] = 0x4du32.to_ne_bytes();
/// The number of the subvolume that all others are in.
const BTRFS_TOP: u64 = 5;

/// The subvolume that a handle of btrfs is of.
fn subvolume(handle: &Handle) -> Option<u64> {
    let number = handle.get(24..32)?.first_chunk()?;
    (handle[12..16] == BTRFS).then(|| u64::from_ne_bytes(*number))
}

/// The handle of what is open, as the events of a whole file system carry it. Each subvolume of btrfs has an id of its own,
/// in which its number is mixed (statfs(2)); the events have the id of the topmost.
fn handle_of(object: &OwnedFd) -> io::Result<Box<Handle>> {
    let mut handle = fanotify::handle_of(object)?;
    if let Some(number) = subvolume(&handle) {
        let mixed = number ^ BTRFS_TOP;
        let high_first = [(mixed >> 32) as u32, mixed as u32].map(u32::to_ne_bytes).concat();
        handle.iter_mut().zip(high_first).for_each(|(byte, mixed)| *byte ^= mixed);
    }
    Ok(handle)
}

/// The handle of the topmost directory of btrfs: only there is the whole of it marked.
fn top_of_btrfs(handle: &Handle) -> Option<Box<Handle>> {
    /// The number of the first inode in a subvolume.
    const FIRST: u64 = 256;
    subvolume(handle).filter(|number| *number != BTRFS_TOP)?;
    let own = [&FIRST.to_ne_bytes()[..], &BTRFS_TOP.to_ne_bytes(), &[0; 4]].concat();
    let length = (own.len() as u32).to_ne_bytes();
    Some([file_system(handle), &length, &BTRFS, &own].concat().into())
}

/// The id of the file system that a handle is of.
fn file_system(handle: &Handle) -> &[u8] {
    &handle[..handle.len().min(8)]
}

fn is_directory(object: &OwnedFd) -> bool {
    let status = fstat(object);
    status.is_ok_and(|status| SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn is_deleted(object: &OwnedFd) -> bool {
    fstat(object).is_ok_and(|status| status.st_nlink == 0)
}
