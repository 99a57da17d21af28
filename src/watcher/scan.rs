//! From directories to watches: the setup, directories that appear, and the comparison after an overflow are one scan, with a stack of
//! directories that are yet to be visited.
//!
//! A visit opens a directory by its name in the open directory above, and makes sure that it is the one that is watched. It lists
//! it, and adds a watch for each directory in it: so no path is looked up that could lead elsewhere by now.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::rc::Rc;

use super::{Coverage, Outgoing, State, Watcher, Work};
use crate::event::{DEPARTURES, ENTRY};
use crate::fanotify::absolute_path;
use crate::ignore::git;
use crate::queue::{Change, Place, is_exchange};
use crate::source::Problem;
use crate::sys::directory::{Contents, Kind};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_ACCESS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DONT_FOLLOW, IN_ISDIR, IN_MASK_ADD, IN_MOVE,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONLYDIR, IN_OPEN, Mask,
};
use crate::sys::process;
use crate::tree::{self, NodeId, Tree};
use crate::world::{At, World};

/// How many directories may be kept open on the way down, if the limit on open files allows it. Deeper down the uppermost are
/// closed, and opened again by `..` on the way back.
const KEPT_OPEN: usize = 24;
/// What else has to be opened at the same time: the directory that is visited, twice, the one before, and what the
/// program opens after the setup.
const ALSO_OPEN: usize = 4;

/// So often a new directory is looked for that is renamed again and again, before it is left to its events.
const TRIES: usize = 4;

/// So many directories that appeared one after the other are watched at once, before the queue is read again.
pub(super) const AT_ONCE: usize = 128;

/// The directories that are being scanned.
#[derive(Debug)]
pub(super) struct Scan<D> {
    /// The last is the next.
    stack: Vec<Frame<D>>,
    /// The directory that was entered last, by its watch.
    entered: Option<(Wd, Rc<D>)>,
    /// Watched directories that were listed where their last MOVE_SELF before that point of the queue takes them.
    pub(super) arriving: HashMap<Wd, (NodeId, u64)>,
    /// Directories that were met since the overflow.
    met: HashSet<NodeId>,
    /// Watches of the setup that still lack the events that reading a directory causes.
    lack_read_events: Vec<Wd>,
    /// Their paths may have changed since that was tried.
    pub(super) is_raise_due: bool,
    /// The watch of the directory that was found last where another was to be.
    other: Option<Wd>,
    /// The directories on the way down that are open, the deepest last.
    kept: VecDeque<Above<D>>,
    /// How many may be, once that was looked up.
    most_kept: Option<usize>,
}

impl<D> Default for Scan<D> {
    fn default() -> Scan<D> {
        Scan {
            stack: Vec::new(),
            entered: None,
            arriving: HashMap::new(),
            met: HashSet::new(),
            lack_read_events: Vec::new(),
            is_raise_due: true,
            other: None,
            kept: VecDeque::new(),
            most_kept: None,
        }
    }
}

impl<D> Scan<D> {
    /// Whether the tree is being compared after an overflow.
    pub(super) fn is_rescan(&self) -> bool {
        matches!(self.stack.first(), Some(Frame::FinishRescan))
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.stack.is_empty()
    }

    /// Keeps nothing open while the program waits: a file system in use cannot be unmounted.
    pub(super) fn rest(&mut self) {
        self.entered = None;
    }
}

/// Something left to do in a scan.
#[derive(Debug)]
enum Frame<D> {
    /// List a watched directory, and watch the directories in it.
    Visit { node: NodeId, above: Option<Above<D>>, since: usize, task: Task },
    /// A watched directory was empty: report what was in it before, if there may have been something.
    FindEmpty { node: NodeId, since: Option<usize>, task: Task },
    /// Everything below a directory has been visited.
    Leave { dir: Above<D>, task: Task },
    /// Everything has been visited after an overflow.
    FinishRescan,
}

/// What was seen of a directory when its watch was added.
struct Seen {
    /// The watch.
    result: io::Result<Wd>,
    /// What is certain of its contents.
    contents: Contents,
    /// There may be something in it that git reads.
    has_git: bool,
}

/// The directory that a directory is in.
type Above<D> = Rc<Entered<D>>;

/// A watched directory whose directories are visited.
#[derive(Debug)]
struct Entered<D> {
    node: NodeId,
    above: Option<Above<D>>,
    /// None while too many are open.
    dir: RefCell<Option<Rc<D>>>,
}

impl<D> Entered<D> {
    fn new(node: NodeId, above: Option<Above<D>>, dir: Rc<D>) -> Above<D> {
        Rc::new(Entered { node, above, dir: RefCell::new(Some(dir)) })
    }

    fn dir(&self) -> Option<Rc<D>> {
        self.dir.borrow().clone()
    }
}

/// A directory, what was seen of it, and what git reads in it.
type Watched = (NodeId, Seen, Option<git::Files>);

/// Why a directory is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Setup,
    /// It appeared. With `announce` its entries are reported. With `by_event` an event reported it; else it was listed.
    Arrival {
        announce: bool,
        by_event: bool,
    },
    Rescan,
}

impl Task {
    fn announces(self) -> bool {
        matches!(self, Task::Arrival { announce: true, .. })
    }

    /// Whether the files in a directory matter, too.
    fn lists_files(self) -> bool {
        self == Task::Rescan || self.announces()
    }

    /// Whether nothing in a directory with such contents needs a watch or a line.
    fn needs_no_visit(self, contents: Contents) -> bool {
        match contents {
            Contents::Unknown => false,
            Contents::NoDirectories => !self.lists_files(),
            Contents::Nothing => true,
        }
    }

    /// Whether the directory has appeared while its tree is watched.
    fn is_arrival(self) -> bool {
        matches!(self, Task::Arrival { .. })
    }

    /// Whether the reading of a directory is reported, as that by the reference is: not below one that arrives.
    fn reports_reading(self) -> bool {
        self.announces() || matches!(self, Task::Arrival { by_event: true, .. })
    }

    /// Why the directories in it are scanned.
    fn below(self) -> Task {
        match self {
            Task::Arrival { announce, .. } => Task::Arrival { announce, by_event: false },
            other => other,
        }
    }
}

/// Entries, and an event of each.
type Firsts<'a> = HashMap<&'a [u8], Change>;

/// The entries of a directory.
#[derive(Debug, Default, Clone)]
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, usize, Kind)>,
}

impl Listing {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        self.entries.iter().map(|&(at, length, kind)| (&self.names[at..at + length], kind))
    }

    fn remove(&mut self, name: &[u8]) {
        let names = &self.names;
        self.entries.retain(|&(at, length, _)| &names[at..at + length] != name);
    }

    fn push(&mut self, name: &[u8], kind: Kind) {
        self.entries.push((self.names.len(), name.len(), kind));
        self.names.extend_from_slice(name);
    }
}

/// What was in a directory before its watch: what is still there, and what has left.
#[derive(Debug, Default)]
struct Found {
    stood: Listing,
    gone: Listing,
}

impl<W: World> Watcher<W> {
    /// Watches an operand. ENOSPC means the limit max_user_watches. With `-r`, the directories below it follow by
    /// [`scan_on`](Self::scan_on); what is in one that is `new` is reported.
    pub(super) fn watch_operand(&mut self, operand: &[u8], new: bool) -> io::Result<()> {
        let task = if new { Task::Arrival { announce: true, by_event: true } } else { Task::Setup };
        let recursive = self.settings.recursive;
        let path = self.real(operand).into_owned();
        let mut directory = match self.world.is_directory(&path, recursive) {
            // Also with -P: where a link leads decides whether there is a tree to watch.
            Err(error) if recursive => return Err(error),
            found => found.unwrap_or(false),
        };
        let mut name = Cow::Borrowed(operand);
        // An operand before may be watched there already, with all events.
        let mut mask = self.kernel_mask() | IN_MASK_ADD;
        if directory && recursive {
            // With the slash a link is followed whatever -P says, as in the reference.
            if operand.last() != Some(&b'/') {
                name.to_mut().push(b'/');
            }
            mask = self.scan_mask(task) | IN_MASK_ADD;
        } else if !self.settings.follow {
            mask |= IN_DONT_FOLLOW;
        }
        let path = self.real(&name).into_owned();
        let mut place = Cow::Borrowed(operand);
        if let Some(found) = self.world.operand_path(&path, !mask.has(IN_DONT_FOLLOW))? {
            directory = self.world.is_directory(&found, false).unwrap_or(false);
            place = found.into();
        }
        let wd = self.world.watch(At::Path(&path), mask)?;
        // The same inode twice is one watch, under its first name.
        if self.tree.find(wd).is_none() {
            let recursive = directory && recursive;
            let state = State { directory, recursive, initial: true, ..State::default() };
            let node = self.tree.insert(None, &place, wd, state);
            if directory {
                self.read_git_of_operand(node);
            }
            if recursive {
                let since = self.queue.mark();
                self.scan.stack.push(Frame::Visit { node, above: None, since, task });
            }
        }
        Ok(())
    }

    /// Does the next piece of a scan; `false` when none is left.
    ///
    /// An error ends the setup: ENOSPC means the limit max_user_watches, any other that an operand cannot be read. Those of the
    /// directories below are reported as problems.
    pub(super) fn scan_on(&mut self) -> io::Result<bool> {
        match self.scan.stack.pop() {
            Some(Frame::Visit { node, above, since, task }) => self.visit(node, above, since, task)?,
            Some(Frame::FindEmpty { node, since, task }) => self.find_empty(node, since, task)?,
            Some(Frame::Leave { dir, task }) => self.leave(dir, task),
            Some(Frame::FinishRescan) => self.finish_rescan(),
            None => {
                self.world.rest();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Watches a directory at its place, unless a queued event says that it is not there any more. With it those that are to be watched
    /// next, if they are in the same directory.
    pub(super) fn attach(&mut self, node: NodeId) {
        let Some((parent, task)) = self.attachable(node) else { return };
        if self.is_doubtful(self.tree.wd(parent), self.tree.name(node)) {
            return self.unread.push(node);
        }
        let Some(dir) = self.enter(parent) else { return self.unread.push(node) };
        let mut nodes = vec![node];
        while let Some(Work::Attach(next)) = self.work.front().filter(|_| nodes.len() < AT_ONCE) {
            let next = *next;
            let is_alike = self.attachable(next) == Some((parent, task)) && !nodes.contains(&next);
            if !is_alike || self.is_doubtful(self.tree.wd(parent), self.tree.name(next)) {
                break;
            }
            self.work.pop_front();
            nodes.push(next);
        }
        let above = Entered::new(parent, None, Rc::clone(&dir));
        // Outside the setup no error ends it.
        let _ = self.attach_all(&above, &dir, &nodes, task);
    }

    /// Where a directory is that is to be watched, and why it is; `None` for others.
    fn attachable(&self, node: NodeId) -> Option<(NodeId, Task)> {
        let (announce, by_event) = match self.coverage(node) {
            Coverage::Unread { announce } => (announce, true),
            Coverage::Hidden => (false, true),
            // Patterns changed, and nothing else.
            Coverage::Ignored if !self.settings.filter.ignores_tree(&self.tree, node) => (false, false),
            _ => return None,
        };
        let parent = self.tree.parent(node).filter(|_| self.tree.is_entry(node))?;
        Some((parent, Task::Arrival { announce, by_event }))
    }

    /// Opens a watched directory; `None` if it is not where the events say that were handled.
    pub(super) fn enter(&mut self, node: NodeId) -> Option<Rc<W::Dir>> {
        let wd = self.tree.wd(node);
        if let Some((entered, dir)) = &self.scan.entered {
            if *entered == wd {
                return Some(Rc::clone(dir));
            }
        }
        self.scan.entered = None;
        let path = self.system_path(node);
        let dir = self.world.enter(At::Path(&path)).ok()?;
        if !self.is_still(&dir, wd, self.kernel_mask()) {
            return None;
        }
        let dir = Rc::new(dir);
        self.scan.entered = Some((wd, Rc::clone(&dir)));
        Some(dir)
    }

    /// Adds watches for directories in an open one, and reads the queue to the moment of that. A watch that may be of another directory, as
    /// the queue says, is removed again.
    ///
    /// `mkdir t; rename t a; mkdir t`, the first CREATE is handled → the watch is on the second `t`; MOVED_FROM t is queued.
    fn attach_all(
        &mut self,
        above: &Above<W::Dir>,
        dir: &W::Dir,
        nodes: &[NodeId],
        task: Task,
    ) -> io::Result<()> {
        let since = self.queue.mark();
        let watched = self.watch_all(dir, nodes, task)?;
        self.world.sync(At::Dir(dir));
        self.pull();
        self.discard_git_reading(since);
        let wd = self.tree.wd(above.node);
        let changed = self.changed_below(wd, since, task);
        self.wait_for_changed(dir, &watched, &changed, task);
        let mut frames = Vec::new();
        for (node, Seen { result, contents, .. }, git) in watched {
            let is_doubtful = self.is_doubtful(wd, self.tree.name(node));
            let found = match result {
                Ok(wd) => self.settle(node, wd, is_doubtful, since, task),
                Err(error) => {
                    self.fail(node, error, is_doubtful, task);
                    None
                }
            };
            let Some(found) = found else { continue };
            match git {
                // The look at it came after the watch.
                Some(_) if is_doubtful => self.unread_git.push(found),
                Some(git) => drop(self.learn(found, git)),
                None => {}
            }
            let task = self.task_for(node, found, task);
            if is_doubtful || !task.needs_no_visit(contents) {
                frames.push(Frame::Visit { node: found, above: Some(above.clone()), since, task });
            } else if task.lists_files() || task.reports_reading() {
                let is_changed = changed.contains(&self.tree.wd(found));
                let emptying = !is_changed && self.expects_leaving(task);
                self.tree.set_state(found, State { emptying, ..self.tree.state(found) });
                frames.push(Frame::FindEmpty { node: found, since: is_changed.then_some(since), task });
            }
        }
        self.scan.stack.extend(frames.into_iter().rev());
        Ok(())
    }

    /// Adds watches for directories in an open one, without a look at the queue.
    fn watch_all(&mut self, dir: &W::Dir, nodes: &[NodeId], task: Task) -> io::Result<Vec<Watched>> {
        let tells_leaves = !task.lists_files() && self.world.tells(dir, Contents::NoDirectories);
        let tells_empty = !tells_leaves && self.world.tells(dir, Contents::Nothing);
        let reads_git = self.settings.filter.reads_git();
        let reads = task == Task::Setup && (!tells_leaves || reads_git) && !self.is_oneshot();
        let mut watched = Vec::with_capacity(nodes.len());
        for node in nodes {
            let seen = match reads && !(tells_empty && self.is_empty(dir, *node)) {
                true => self.watch_and_read(dir, *node),
                false => self.watch_entry(dir, *node, task, tells_empty || tells_leaves),
            };
            if let Err(error) = &seen.result {
                if error.kind() == io::ErrorKind::StorageFull && task == Task::Setup {
                    return seen.result.map(|_| watched);
                }
            }
            let has_git = seen.has_git && reads_git && seen.result.is_ok();
            let git = has_git.then(|| self.world.git_files(At::Entry(dir, self.tree.name(*node))));
            watched.push((*node, seen, git));
        }
        Ok(watched)
    }

    /// The watches of directories in another which have had events since a mark, if what is reported of those that are empty depends on it.
    fn changed_below(&self, wd: Wd, since: usize, task: Task) -> HashSet<Wd> {
        match task == Task::Rescan || task.announces() {
            true => {
                self.queue.events_from(since).map(|event| event.wd).filter(|found| *found != wd).collect()
            }
            false => HashSet::new(),
        }
    }

    /// Whether a new directory is taken for empty although an entry may just be leaving it, of which the event is not queued yet: see
    /// [`State::emptying`]. To wait for that takes longer than all else that a new directory takes.
    fn expects_leaving(&self, task: Task) -> bool {
        task.announces() && !self.scan.is_rescan() && !self.is_oneshot() && !W::NAMES_ENTRIES
    }

    /// If a new directory had events between its watch and the look at it, what has left it is known once nobody is changing it.
    fn wait_for_changed(&mut self, dir: &W::Dir, watched: &[Watched], changed: &HashSet<Wd>, task: Task) {
        if changed.is_empty() || !self.expects_leaving(task) {
            return;
        }
        for (node, Seen { result, contents, .. }, _) in watched {
            if *contents == Contents::Nothing && result.as_ref().is_ok_and(|wd| changed.contains(wd)) {
                self.world.sync(At::Entry(dir, self.tree.name(*node)));
            }
        }
        self.pull();
    }

    /// Nothing was in a directory after its watch was added: only what has left it since is to be announced.
    fn find_empty(&mut self, node: NodeId, since: Option<usize>, task: Task) -> io::Result<()> {
        if task == Task::Rescan {
            return self.compare(node, Listing::default(), None, self.queue.mark());
        }
        self.report_reading(node, task);
        match since {
            Some(since) => {
                let found = self.before_watch(node, Listing::default(), since, task);
                self.add_entries(node, found, None, task)
            }
            None => Ok(()),
        }
    }

    /// Why the directory is visited that was found for a node, which may be known as another.
    fn task_for(&self, node: NodeId, found: NodeId, task: Task) -> Task {
        let is_unread = || self.place_of(node).and_then(|place| self.missed.is_unread(&place));
        match task {
            // It was renamed: what is in it is known.
            _ if found != node => Task::Rescan,
            Task::Rescan if is_unread() == Some(true) => Task::Arrival { announce: true, by_event: true },
            other => other,
        }
    }

    /// Adds a watch for a directory in an open one. `tells` is whether its status may tell of its contents.
    fn watch_entry(&mut self, dir: &W::Dir, node: NodeId, task: Task, tells: bool) -> Seen {
        let name = self.tree.name(node);
        let mask = self.kernel_mask() | IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW;
        let result = self.world.watch(At::Entry(dir, name), mask);
        if result.is_err() || !tells {
            return Seen { result, contents: Contents::Unknown, has_git: true };
        }
        // The watch was first: the events tell of what is made from now on.
        let contents = self.world.contents(At::Entry(dir, name));
        if task.lists_files() && contents == Contents::Nothing && !self.expects_leaving(task) {
            // Those of what has left it before are queued.
            self.world.sync(At::Entry(dir, name));
        }
        Seen { result, contents, has_git: contents != Contents::Nothing }
    }

    fn is_empty(&mut self, dir: &W::Dir, node: NodeId) -> bool {
        self.world.contents(At::Entry(dir, self.tree.name(node))) == Contents::Nothing
    }

    /// The same in the setup where only reading shows what is in it. Most directories have no directory in them: of those its own
    /// reading is not reported, and they need no visit. Nor have most anything of git's, which reading shows at a lower cost than
    /// looking up each name.
    fn watch_and_read(&mut self, dir: &W::Dir, node: NodeId) -> Seen {
        let name = self.tree.name(node);
        // An operand before may be watched there already, with all events.
        let mask = self.scan_mask(Task::Setup) | IN_ONLYDIR;
        let result = self.world.watch(At::Entry(dir, name), mask | IN_DONT_FOLLOW | IN_MASK_ADD);
        let unread = Seen { result, contents: Contents::Unknown, has_git: true };
        let Ok(wd) = unread.result else { return unread };
        if self.tree.find(wd).is_some() {
            return unread;
        }
        let Ok(opened) = self.world.open(At::Entry(dir, name)) else { return unread };
        let (mut has_directories, mut has_git) = (false, false);
        let listed = self.world.list(&opened, &mut |name, kind| {
            has_directories |= kind == Kind::Directory;
            has_git |= git::is_entry(name);
        });
        let is_leaf = listed.is_ok() && !has_directories && self.world.close_inside(opened);
        // Another may have taken its place before it was opened.
        let is_leaf = is_leaf && self.is_watched_as(At::Inside, wd, self.kernel_mask());
        let contents = if is_leaf { Contents::NoDirectories } else { Contents::Unknown };
        Seen { result: Ok(wd), contents, has_git: has_git || listed.is_err() }
    }

    /// Whether another directory may be at an entry of a watched one than the events say that were handled.
    fn is_doubtful(&self, wd: Wd, name: &[u8]) -> bool {
        let is_changed = self.queue.any_changes() && self.queue.changes(wd, name);
        is_changed || self.world.hides_rename(wd, name)
    }

    /// The same of a directory that could not be read: what is at its place may be another.
    fn is_place_doubtful(&mut self, node: NodeId) -> bool {
        let Some(parent) = self.tree.parent(node) else { return false };
        self.read_changes_of(parent);
        self.is_doubtful(self.tree.wd(parent), self.tree.name(node))
    }

    /// A name in a directory is watched as `wd`: returns the node to visit.
    fn settle(
        &mut self,
        node: NodeId,
        wd: Wd,
        is_doubtful: bool,
        since: usize,
        task: Task,
    ) -> Option<NodeId> {
        match self.tree.find(wd) {
            Some(known) => self.meet(node, known, is_doubtful, task),
            None if is_doubtful && !self.is_certain(node, wd, since, task) => {
                self.world.unwatch(wd);
                // That is queued, too. Unread, the ends of many watches overflow the queue, which leads here again.
                self.pull();
                self.postpone(node, task);
                None
            }
            None => {
                self.tree.set_wd(node, wd);
                if self.coverage(node) == Coverage::Hidden {
                    let (above, name) = (self.tree.parent(node)?, self.tree.name(node).to_vec());
                    self.make_up(self.tree.wd(above), IN_MOVED_TO | IN_ISDIR, 0, &name);
                }
                self.cover(node, Coverage::Watched);
                self.refused.begin_again(|| self.world.clock());
                self.try_refused();
                if self.scan.is_rescan() {
                    self.scan.met.insert(node);
                    self.missed.find(node);
                }
                if task.announces() {
                    self.renames.announce_origin_end = self.queue.events().queued();
                }
                Some(node)
            }
        }
    }

    /// Whether a new watch is of the directory that was at its place, although the next of the queued events of the name takes it away.
    fn is_certain(&self, node: NodeId, wd: Wd, since: usize, task: Task) -> bool {
        task.is_arrival() && self.place_of(node).is_some_and(|place| self.queue.goes_next(wd, &place, since))
    }

    /// At the place of a node a directory is found that is watched already, as another node.
    fn meet(&mut self, node: NodeId, known: NodeId, is_doubtful: bool, task: Task) -> Option<NodeId> {
        if is_doubtful {
            self.unread.push(node);
            return None;
        }
        let (parent, name) = (self.tree.parent(node)?, self.tree.name(node).to_vec());
        let wd = self.tree.wd(known);
        let is_above = self.tree.is_within(parent, known);
        if self.scan.is_rescan()
            && !is_above
            && self.tree.parent(known).is_some()
            && self.scan.met.insert(known)
        {
            self.report_renamed(known, parent, &name);
            self.tree.remove(node);
            self.tree.relink(known, parent, &name);
            self.path_of = None;
            return Some(known);
        }
        let is_listed = matches!(task, Task::Arrival { by_event: false, .. });
        let is_moved_out = self.is_moved_out(known);
        if self.tree.parent(known).is_none() && self.tree.path(known) == self.tree.path(node) {
            // An operand that was given before the one that it is in: it is renamed with the rest.
            self.tree.remove(node);
            self.tree.relink(known, parent, &name);
        } else if self.queue.self_events_ahead(wd) && (is_listed || !is_moved_out) {
            self.cover(node, Coverage::Arriving { announce: task.announces() });
            self.scan.arriving.insert(wd, (node, self.queue.events().queued()));
        } else if is_moved_out && (is_above || task.announces())
            || self.tree.way_up(known).any(|above| self.has_left(above, self.queue.start()))
        {
            // It is reported as new once its watches are removed, which is at the end of the turn.
            self.unread.push(node);
        } else {
            // Otherwise a bind mount, or an operand by another path: the same inode is one watch, under its first name.
            self.tree.remove(node);
            if is_moved_out {
                self.bring_back(known, parent, &name);
                self.report_reading(known, task);
            }
        }
        None
    }

    /// A directory could not be watched.
    fn fail(&mut self, node: NodeId, error: io::Error, is_doubtful: bool, task: Task) {
        if is_doubtful {
            return self.postpone(node, task);
        }
        if is_gone(&error) {
            // No event says so: the kernel merges equal neighbours, whatever their cookies.
            self.tree.remove(node);
            return self.try_refused();
        }
        if error.kind() == io::ErrorKind::StorageFull {
            self.announce_later(node, task);
            if !self.refused.add(node, || self.world.clock()) {
                return;
            }
        } else {
            self.cover(node, Coverage::Unwatchable);
            self.try_refused();
        }
        self.report_problem(node, error, task);
    }

    /// A directory is to be watched once the queued events of its name have been handled.
    fn postpone(&mut self, node: NodeId, task: Task) {
        self.announce_later(node, task);
        self.unread.push(node);
    }

    /// A directory gets no watch in the comparison after an overflow. The dates of what is in it are not compared any more once it does:
    /// all of it is news, unless the directory was known before.
    fn announce_later(&mut self, node: NodeId, task: Task) {
        let Some(place) = self.place_of(node).filter(|_| task == Task::Rescan) else { return };
        let announce = self.missed.is_unread(&place).unwrap_or(true);
        self.cover(node, Coverage::Unread { announce });
    }

    /// Tries the next of the directories that got no watch: a watch has ended, or the one before did not need it.
    pub(super) fn try_refused(&mut self) {
        while let Some(node) = self.refused.take() {
            if self.attachable(node).is_some() {
                return self.work.push_back(Work::Attach(node));
            }
        }
    }

    fn report_problem(&mut self, node: NodeId, error: io::Error, task: Task) {
        let problem = Problem::Directory { path: self.tree.path(node), error, new: task != Task::Setup };
        self.outbox.push_back(Outgoing::Problem(problem));
    }

    /// Lists a watched directory, and watches the directories in it.
    fn visit(
        &mut self,
        node: NodeId,
        above: Option<Above<W::Dir>>,
        since: usize,
        task: Task,
    ) -> io::Result<()> {
        let (found, dir) = match self.read_where_it_is(node, above.as_ref(), since, task) {
            Ok(read) => {
                self.report_reading(node, task);
                read
            }
            Err(_) if task.is_arrival() && self.has_left(node, since) => {
                // What happened in it until then is reported. It has no listing, so it must not come back with its watch.
                self.world.unwatch(self.tree.wd(node));
                let found = self.before_watch(node, Listing::default(), since, task);
                return self.add_entries(node, found, None, task);
            }
            Err(error) if is_gone(&error) || self.is_place_doubtful(node) => {
                self.detach(node, task);
                return Ok(());
            }
            Err(error) if task == Task::Setup && self.tree.parent(node).is_none() => return Err(error),
            Err(error) => {
                self.report_problem(node, error, task);
                // It is watched nevertheless.
                self.raise(node, None, task);
                // What is below it may be there.
                self.scan.met.extend(self.tree.subtree(node));
                return Ok(());
            }
        };
        let entered = dir.map(|dir| Entered::new(node, above, dir));
        if let Some(dir) = &entered {
            self.scan.stack.push(Frame::Leave { dir: Rc::clone(dir), task });
        }
        if task == Task::Rescan {
            return self.compare(node, found.stood, entered, since);
        }
        self.add_entries(node, found, entered, task)
    }

    /// Compares a directory with what is known of it.
    fn compare(
        &mut self,
        node: NodeId,
        listing: Listing,
        entered: Option<Above<W::Dir>>,
        since: usize,
    ) -> io::Result<()> {
        let dir = entered.as_ref().and_then(|entered| entered.dir());
        self.tree.set_state(node, State { emptying: false, ..self.tree.state(node) });
        if self.tree.state(node).recursive {
            let found = self.before_watch(node, listing.clone(), since, Task::Rescan);
            self.add_entries(node, found, entered, Task::Rescan)?;
        }
        if let Some(dir) = dir {
            self.report_missed(node, &listing, &dir);
        }
        Ok(())
    }

    /// Opens and lists a directory; a new one that is not where it was, where the events since its watch say that it is by now.
    ///
    /// `mkdir a`, it is watched; `rename a b` → MOVED_FROM a (1), MOVED_TO b (1), MOVE_SELF of it: `b` is listed, as `a`.
    fn read_where_it_is(
        &mut self,
        node: NodeId,
        above: Option<&Above<W::Dir>>,
        since: usize,
        task: Task,
    ) -> io::Result<(Found, Option<Rc<W::Dir>>)> {
        let mut place = None;
        let mut tries = 0;
        loop {
            let mark = self.queue.mark();
            let read = self.read_dir(node, place.as_ref(), above, since, task);
            if self.is_reading_reported(task) {
                self.pull();
            }
            self.discard_own_reading(node, place.clone(), mark);
            tries += 1;
            let parent = self.tree.parent(node).filter(|_| task.is_arrival());
            let (Err(_), Some(parent), true) = (&read, parent, tries < TRIES) else { return read };
            self.read_changes_of(parent);
            let now = self.place_now(node, since);
            if now.is_none() || now == place {
                return read;
            }
            place = now;
        }
    }

    /// Where a directory is that has been watched since a mark, by the queued events and by what was listed; `None` for an operand, and for
    /// what has been deleted or is where nothing is watched.
    fn place_now(&self, node: NodeId, since: usize) -> Option<Place> {
        let wd = self.tree.wd(node);
        let listed = || self.place_of(self.scan.arriving.get(&wd)?.0);
        self.queue.place_now(wd, self.place_of(node)?, since).or_else(listed)
    }

    /// Whether a directory has been deleted that has been watched since a mark, or is where nothing is watched.
    fn has_left(&self, node: NodeId, since: usize) -> bool {
        self.tree.parent(node).is_some() && self.place_now(node, since).is_none()
    }

    /// Opens and lists a directory, if it is the one that is watched; ENOENT if it is another. If there is more to do in it, it
    /// stays open. What was in it is decided here, by the queue up to the last look at the entries.
    fn read_dir(
        &mut self,
        node: NodeId,
        place: Option<&Place>,
        above: Option<&Above<W::Dir>>,
        since: usize,
        task: Task,
    ) -> io::Result<(Found, Option<Rc<W::Dir>>)> {
        let mask = self.scan_mask(task);
        let is_raised_later = mask != self.kernel_mask();
        let dir = above.and_then(|above| above.dir());
        if is_raised_later && self.is_oneshot() && self.tree.parent(node).is_some() {
            // To be opened would use up its watch.
            let is_lowered = self.change_mask(node, dir.as_deref(), mask);
            if !is_lowered {
                return Err(gone());
            }
        }
        let opened = match (&dir, place) {
            (_, Some(place)) => {
                let above = self.tree.find(place.wd).ok_or_else(gone)?;
                self.world.open(At::Path(&self.entry_path(above, &place.name)))?
            }
            (Some(dir), None) => self.world.open(At::Entry(dir, self.tree.name(node)))?,
            (None, None) => {
                let mut path = self.system_path(node);
                if self.tree.parent(node).is_none() && path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                self.world.open(At::Path(&path))?
            }
        };
        if !self.is_still(&opened, self.tree.wd(node), mask) {
            return Err(gone());
        }
        let mut listing = Listing::default();
        let is_needed = |kind| kind == Kind::Directory || task.lists_files();
        self.world.list(&opened, &mut |name, kind| {
            if is_needed(kind) {
                listing.push(name, kind);
            }
        })?;
        self.pull();
        if task.announces() {
            self.look_again(&mut listing, &opened, self.tree.wd(node), since);
        }
        let found = match task {
            Task::Rescan => Found { stood: listing, gone: Listing::default() },
            _ => self.before_watch(node, listing, since, task),
        };
        let is_used = |(_, kind): (&[u8], Kind)| kind == Kind::Directory || task == Task::Rescan;
        let dir = match found.stood.iter().any(is_used) {
            // Closing it now is reported now, and dropped with the events of its reading.
            true if self.is_reading_reported(task) => Some(self.world.enter(At::Dir(&opened))?),
            true => Some(opened),
            false => Some(opened).filter(|_| is_raised_later),
        };
        Ok((found, dir.map(Rc::new)))
    }

    /// Leaves out of a listing what was renamed into the directory before it was listed, and back to its old place afterwards. The
    /// events and the listing are those of an exchange; only nothing is there any more.
    fn look_again(&mut self, listing: &mut Listing, dir: &W::Dir, wd: Wd, since: usize) {
        let leaves = |event: RawEvent| event.wd == wd && event.mask.has(IN_MOVED_FROM);
        if !self.queue.events_from(since).any(leaves) {
            return;
        }
        let (_, exchanged) = self.first_events(wd, since);
        let names = listing.iter().map(|(name, _)| name).filter(|name| exchanged.contains_key(name));
        for name in names.map(<[u8]>::to_vec).collect::<Vec<_>>() {
            if self.world.times(At::Entry(dir, &name)).is_err() {
                listing.remove(&name);
            }
            // What left meanwhile was there.
            self.pull();
        }
    }

    /// Whether the reading of a directory is reported by its watch during a scan.
    fn is_reading_reported(&self, task: Task) -> bool {
        self.scan_mask(task).has(W::OWN_READING)
    }

    /// Drops the events of our own reading: at the place where the directory was opened, and wherever that may have been renamed to.
    ///
    /// open `a`; `rename a b`; close it → OPEN a, MOVED_FROM a (1), MOVED_TO b (1), MOVE_SELF of a, CLOSE_NOWRITE b
    fn discard_own_reading(&mut self, node: NodeId, place: Option<Place>, mark: usize) {
        // Also in the setup: it was opened before it was known to be the directory whose watch is to ask for less.
        if !self.kernel_mask().has(W::OWN_READING) {
            return;
        }
        let opened = self.scan.other.take().unwrap_or_else(|| self.tree.wd(node));
        let mut places: Vec<Place> = place.or_else(|| self.place_of(node)).into_iter().collect();
        let (mut renames, mut arrival) = (Vec::new(), None);
        self.queue.drop_since(mark, |event| {
            let is_there = places.iter().any(|place| place.is(event.wd, event.name));
            if event.mask.has(IN_MOVED_FROM) && is_there {
                renames.push(event.cookie);
            } else if event.mask.has(IN_MOVED_TO) {
                let place = Place { wd: event.wd, name: event.name.into() };
                match renames.contains(&event.cookie) {
                    true => places.push(place),
                    false => arrival = Some(place),
                }
            } else if event.mask.has(IN_MOVE_SELF) && event.wd == opened {
                places.extend(arrival.take());
            }
            let is_ours = is_there || event.name.is_empty() && event.wd == opened;
            is_ours && event.mask.has(IN_ISDIR) && event.mask.has(W::OWN_READING)
        });
    }

    /// Reports the reading of a new directory once, on its parent, as the reference does.
    fn report_reading(&mut self, node: NodeId, task: Task) {
        // The watch of its parent has ended with its arrival.
        let is_reported = W::OWN_READING != Mask::NONE && task.reports_reading() && !self.is_oneshot();
        let Some(above) = self.tree.parent(node).filter(|_| is_reported) else { return };
        let (above, name) = (self.tree.wd(above), self.tree.name(node).to_vec());
        for mask in [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE] {
            self.make_up(above, mask | IN_ISDIR, 0, &name);
        }
    }

    /// A directory is not where it was watched: it is to be watched again where the next events take it.
    fn detach(&mut self, node: NodeId, task: Task) {
        if self.tree.parent(node).is_none() {
            return;
        }
        self.world.unwatch(self.tree.wd(node));
        self.tree.set_wd(node, Wd::NONE);
        self.forget_git(node);
        let coverage = Coverage::Unread { announce: task.announces() || task == Task::Rescan };
        self.tree.set_state(node, State { coverage, emptying: false, ..self.tree.state(node) });
        self.unread.push(node);
    }

    /// Adds nodes and watches for the directories of a listing, and announces what is news.
    fn add_entries(
        &mut self,
        node: NodeId,
        Found { stood, gone }: Found,
        entered: Option<Above<W::Dir>>,
        task: Task,
    ) -> io::Result<()> {
        if task == Task::Rescan {
            // They are entries again when they are met.
            self.tree.children(node).into_iter().for_each(|below| self.tree.unplace(below));
        }
        let announce = task.announces();
        let mut nodes = Vec::new();
        let mut attached = Vec::new();
        for (name, kind) in stood.iter() {
            let mut found = None;
            if kind == Kind::Directory {
                let below = self.add_unread(node, name, announce);
                found = Some(below);
                if matches!(self.coverage(below), Coverage::Unread { .. }) {
                    attached.push(below);
                }
            }
            nodes.push(found);
        }
        if let (Some(above), false) = (entered, attached.is_empty()) {
            if let Some(dir) = above.dir() {
                self.attach_all(&above, &dir, &attached, task.below())?;
            }
            self.keep_open(above);
        }
        let wd = self.tree.wd(node);
        if announce {
            for ((name, kind), node) in stood.iter().zip(nodes) {
                let is_no_news = |node| {
                    self.tree.is_removed(node) || matches!(self.coverage(node), Coverage::Arriving { .. })
                };
                if !node.is_some_and(is_no_news) {
                    self.announce(wd, name, kind);
                }
            }
        }
        for (name, kind) in gone.iter() {
            if announce {
                self.announce(wd, name, kind);
            }
            if kind == Kind::Directory {
                let below = self.add_unread(node, name, announce);
                self.unread.push(below);
            }
        }
        Ok(())
    }

    /// Keeps a directory open for the visits of those in it. If too many are open, the uppermost is closed.
    fn keep_open(&mut self, dir: Above<W::Dir>) {
        let room = || self.world.room(KEPT_OPEN + ALSO_OPEN).saturating_sub(ALSO_OPEN);
        let most = *self.scan.most_kept.get_or_insert_with(room);
        self.scan.kept.push_back(dir);
        if self.scan.kept.len() > most {
            if let Some(uppermost) = self.scan.kept.pop_front() {
                uppermost.dir.take();
            }
        }
    }

    /// Everything below a directory has been visited: closes it, and asks for all its events.
    ///
    /// Those that reading a directory causes were not asked for in the setup while the directories in it were read: the scan would
    /// have filled the queue with its own.
    fn leave(&mut self, entered: Above<W::Dir>, task: Task) {
        if self.scan.kept.back().is_some_and(|last| Rc::ptr_eq(last, &entered)) {
            self.scan.kept.pop_back();
        }
        let Some(dir) = entered.dir.take() else { return self.raise(entered.node, None, task) };
        if let Some(above) = entered.above.as_ref().filter(|above| above.dir.borrow().is_none()) {
            self.open_again(above, &dir, task);
        }
        self.raise(entered.node, Rc::into_inner(dir), task);
    }

    /// Opens a directory that was closed because too many were open, from one in it.
    fn open_again(&mut self, above: &Above<W::Dir>, from: &W::Dir, task: Task) {
        let Ok(dir) = self.world.enter(At::Entry(from, b"..")) else { return };
        // The other may have been moved.
        if self.is_still(&dir, self.tree.wd(above.node), self.scan_mask(task)) {
            *above.dir.borrow_mut() = Some(Rc::new(dir));
            self.scan.kept.push_front(Rc::clone(above));
        }
    }

    /// What was in a directory when its watch was added, by what is in it now and by the events since: what is still there, and
    /// what has left. The first event of an entry decides: if that reports its arrival, it was not there before.
    ///
    /// `create x; watch; create y; unlink x; list` → x is gone, y is listed; CREATE y and DELETE x are queued: x was there.
    fn before_watch(&self, node: NodeId, listing: Listing, since: usize, task: Task) -> Found {
        let wd = self.tree.wd(node);
        if !task.announces() && !self.queue.any_changes() {
            return Found { stood: listing, gone: Listing::default() };
        }
        if !task.announces() {
            // Directories only: the queue has an index of their events.
            let mut stood = Listing::default();
            for (name, kind) in listing.iter() {
                let first = self.queue.first_change(&Place { wd, name: name.into() });
                if first.is_none_or(|first| !first.is_arrival()) {
                    stood.push(name, kind);
                }
            }
            return Found { stood, gone: Listing::default() };
        }
        let (mut first, mut exchanged) = self.first_events(wd, since);
        if !exchanged.is_empty() {
            listing.iter().for_each(|(name, _)| first.extend(exchanged.remove_entry(name)));
        }
        let Found { mut stood, mut gone } = Found::default();
        for (name, kind) in listing.iter() {
            match first.remove(name) {
                None => stood.push(name, kind),
                Some(first) if first.is_arrival() => {}
                // It has left, and another has come in its place.
                Some(first) if is_another(first, kind) => gone.push(name, kind_of(first.mask)),
                Some(_) => stood.push(name, kind),
            }
        }
        for (name, first) in first.into_iter().filter(|(_, first)| !first.is_arrival()) {
            gone.push(name, kind_of(first.mask));
        }
        Found { stood, gone }
    }

    /// The first event of each entry of a watched directory; of an exchange that by which the entry leaves. And the events by which
    /// entries leave that were exchanged if they are still there.
    ///
    /// `create n/y; watch n; exchange x n/y` → MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO x (2): `y` was there.
    /// `watch n; rename x n/y; rename n/y n/z` → MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO z (2): it was not.
    /// `watch n; rename x n/y; rename n/y x` → as by the exchange, but no `y` is there afterwards: it was not there before either. If
    /// a directory has come, and a file leaves, this is an exchange, wherever the directory came from.
    fn first_events(&self, wd: Wd, since: usize) -> (Firsts<'_>, Firsts<'_>) {
        let (mut first, mut leaving) = (Firsts::new(), Firsts::new());
        // Both places of each rename, made only if one is asked for.
        let ends = OnceCell::new();
        let end = |cookie: u32, half: Mask| {
            let ends: &HashMap<_, _> = ends.get_or_init(|| {
                let renames = self.queue.events_from(since).filter(|event| event.mask.has(IN_MOVE));
                renames.map(|event| ((event.cookie, event.mask & IN_MOVE), (event.wd, event.name))).collect()
            });
            ends.get(&(cookie, half)).copied()
        };
        let is_entry = |event: &RawEvent| event.wd == wd && !event.name.is_empty();
        // By a rename, and nothing has come or left there since; with the event by which the entry left that was exchanged before.
        let mut arrived: HashMap<&[u8], (Change, Option<Change>)> = HashMap::new();
        for event in self.queue.events_from(since).filter(is_entry) {
            let change = Change { mask: event.mask, cookie: event.cookie };
            let left = leaving.remove(event.name);
            if let Some(left) = left.filter(|_| !change.is_arrival()) {
                first.insert(event.name, left);
            }
            let is_first = *first.entry(event.name).or_insert(change) == change;
            if change.mask.has(IN_MOVED_TO) && (is_first || left.is_some()) {
                arrived.insert(event.name, (change, left));
                continue;
            }
            if !change.mask.has(ENTRY) {
                continue;
            }
            let known = arrived.remove(event.name).filter(|_| change.mask.has(IN_MOVED_FROM));
            let Some((known, left)) = known else { continue };
            let left = left.unwrap_or(change);
            if (known.mask ^ change.mask).has(IN_ISDIR) {
                first.insert(event.name, left);
                continue;
            }
            // From where nothing is watched, it is rather one entry that comes and goes.
            let from = end(known.cookie, IN_MOVED_FROM);
            let to = from.and_then(|_| end(change.cookie, IN_MOVED_TO));
            if from.is_some() && is_exchange((known.cookie, from), (change.cookie, to)) {
                leaving.insert(event.name, left);
            }
        }
        (first, leaving)
    }

    /// Reports what the kernel would have reported of an entry.
    pub(super) fn announce(&mut self, wd: Wd, name: &[u8], kind: Kind) {
        let directory = IN_ISDIR.when(kind == Kind::Directory);
        self.make_up(wd, IN_CREATE | directory, 0, name);
        if kind == Kind::File {
            self.make_up(wd, IN_CLOSE_WRITE, 0, name);
        }
    }

    /// Asks for all events of a directory of the setup. It is closed before, which is not to be reported.
    fn raise(&mut self, node: NodeId, dir: Option<W::Dir>, task: Task) {
        let (wd, mask) = (self.tree.wd(node), self.kernel_mask());
        if task != Task::Setup || self.scan_mask(task) == mask || wd == Wd::NONE {
            return;
        }
        let is_raised = match dir {
            Some(dir) => self.world.close_inside(dir) && self.is_watched_as(At::Inside, wd, mask),
            None => self.change_mask(node, None, mask),
        };
        if !is_raised {
            self.scan.lack_read_events.push(wd);
        }
    }

    /// Changes what the watch of a directory asks for; `false` if the directory is not where it is believed to be.
    fn change_mask(&mut self, node: NodeId, above: Option<&W::Dir>, mask: Mask) -> bool {
        let wd = self.tree.wd(node);
        match above {
            Some(above) => {
                let name = self.tree.name(node).to_vec();
                self.is_watched_as(At::Entry(above, &name), wd, mask | IN_DONT_FOLLOW)
            }
            None => {
                let path = self.system_path(node);
                let follow = IN_DONT_FOLLOW.when(self.tree.parent(node).is_some());
                self.is_watched_as(At::Path(&path), wd, mask | follow)
            }
        }
    }

    /// The same for those that were renamed meanwhile, once their paths are known.
    pub(super) fn raise_late(&mut self) {
        if !std::mem::take(&mut self.scan.is_raise_due) {
            return;
        }
        for wd in std::mem::take(&mut self.scan.lack_read_events) {
            if let Some(node) = self.tree.find(wd) {
                self.raise(node, None, Task::Setup);
            }
        }
    }

    /// After an overflow: compares the tree with the file system, from the operands down.
    pub(super) fn rescan(&mut self) {
        self.remove_moved_out();
        self.scan.arriving.clear();
        self.unread.clear();
        self.refused.clear();
        self.work.retain(|work| !matches!(work, Work::Attach(_)));
        self.scan.stack.push(Frame::FinishRescan);
        let since = self.queue.start();
        for node in self.renames.leaving(&self.queue) {
            self.scan.met.extend(self.tree.subtree(node));
        }
        let operands: Vec<NodeId> =
            self.tree.nodes().filter(|node| self.tree.parent(*node).is_none()).collect();
        for node in operands {
            self.scan.met.insert(node);
            self.look_at_git(node);
            for below in self.tree.subtree(node) {
                if self.tree.wd(below) == Wd::NONE && !self.tree.is_removed(below) {
                    let is_known = self.is_known_unwatched(below);
                    if let Some(place) = self.place_of(below).filter(|_| is_known) {
                        let is_unread = matches!(
                            self.coverage(below),
                            Coverage::Unread { announce: true } | Coverage::Arriving { announce: true }
                        );
                        self.missed.know_unwatched(place, is_unread);
                    }
                    self.tree.remove(below);
                }
            }
            let path = self.real(&self.tree.path(node)).into_owned();
            if !self.world.is_directory(&path, self.settings.follow).unwrap_or(false) {
                self.report_missed_operand(node);
            } else {
                self.scan.stack.push(Frame::Visit { node, above: None, since, task: Task::Rescan });
            }
        }
    }

    /// What was not met is not in the tree any more.
    fn finish_rescan(&mut self) {
        let met = std::mem::take(&mut self.scan.met);
        self.renames.end_dropped(&self.queue);
        if self.queue.overflows() > 0 {
            // Nothing could be trusted that was found; the next comparison decides.
            return;
        }
        let mut gone: Vec<NodeId> = self.tree.nodes().filter(|node| !met.contains(node)).collect();
        gone.sort_by_cached_key(|node| Reverse(self.tree.way_up(*node).count()));
        let is_rename =
            |out: &Outgoing| matches!(out, Outgoing::Event { report, .. } if report.mask.has(IN_MOVE));
        let (renamed, mut found): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.outbox).into_iter().partition(is_rename);
        self.outbox = renamed;
        self.report_gone(&gone);
        for node in gone {
            self.world.unwatch(self.tree.wd(node));
            self.retire(node);
        }
        self.outbox.append(&mut found);
        self.missed.end();
    }

    /// Directories that were listed where a rename was to take a watched one that did not come: they are others.
    pub(super) fn check_arriving(&mut self) {
        let arriving = std::mem::take(&mut self.scan.arriving);
        for (wd, (node, until)) in arriving {
            if self.queue.self_events_ahead(wd) {
                self.scan.arriving.insert(wd, (node, until));
            } else if matches!(self.coverage(node), Coverage::Arriving { .. }) {
                self.report_arriving(node);
                self.unread.push(node);
            }
        }
    }

    /// The number of watches that the operands need. Reads the whole tree.
    pub(super) fn count_needed(&mut self, operands: &[Vec<u8>]) -> usize {
        let mut needed = 0;
        for operand in operands {
            needed += 1;
            let state = State { directory: true, recursive: true, initial: true, ..State::default() };
            let (mut tree, mut filter) = (Tree::default(), self.settings.filter.clone());
            let top = tree.insert(None, operand, Wd::NONE, state);
            if let (Some(ignore), Ok(real)) =
                (filter.ignore(), absolute_path(&self.settings.base, operand, true))
            {
                ignore.forget_all();
                ignore.learn_operand(&tree, top, &real);
            }
            let mut pending = vec![top];
            while let Some(node) = pending.pop().filter(|_| self.settings.recursive) {
                let real = self.real(&tree.path(node)).into_owned();
                let Ok(dir) = self.world.open(At::Path(&real)) else { continue };
                let git = (filter.reads_git() && node != top).then(|| self.world.git_files(At::Dir(&dir)));
                if let (Some(ignore), Some(git)) = (filter.ignore(), git) {
                    ignore.learn(&tree, node, git);
                }
                // What cannot be listed has been reported.
                let _ = self.world.list(&dir, &mut |name, kind| {
                    if kind != Kind::Directory {
                        return;
                    }
                    let below = tree.insert(Some(node), name, Wd::NONE, state);
                    if !filter.leaves_out(&tree.path(below)) && !filter.ignores_tree(&tree, below) {
                        needed += 1;
                        pending.push(below);
                    }
                });
            }
        }
        needed
    }

    /// What a watch asks for while a scan goes on.
    fn scan_mask(&self, task: Task) -> Mask {
        match task {
            Task::Setup => self.kernel_mask() & !W::OWN_READING,
            _ => self.kernel_mask(),
        }
    }

    /// Whether the directory there is the one watched as `wd`.
    ///
    /// To ask is to change what the watch there asks for: another directory, which is there by now, may have asked for more. While the
    /// kernel replaces a mask, it is empty for a moment, and events are lost. So it is only replaced where it is to ask for less, which
    /// is before the directory is listed.
    pub(super) fn is_watched_as(&mut self, at: At<W::Dir>, wd: Wd, mask: Mask) -> bool {
        let (tree, other) = (&self.tree, Cell::new(None));
        let is_known = |found| {
            other.set(Some(found));
            tree.find(found).is_some()
        };
        let add = IN_MASK_ADD.when(mask.has_all(self.kernel_mask()));
        let is_it = self.world.is_watched_as(at, mask | add | IN_ONLYDIR, wd, is_known);
        self.scan.other = other.get();
        if let Some(other) = self.scan.other.filter(|_| (self.kernel_mask() & !mask).has(W::OWN_READING)) {
            self.scan.lack_read_events.push(other);
            self.scan.is_raise_due = true;
        }
        is_it
    }

    /// Whether an open directory is the one watched as `wd`. If the watch may have ended with an event, nothing can tell.
    fn is_still(&mut self, dir: &W::Dir, wd: Wd, mask: Mask) -> bool {
        self.is_oneshot() || self.is_watched_as(At::Dir(dir), wd, mask)
    }

    /// The path of an entry for system calls.
    pub(super) fn entry_path(&self, node: NodeId, name: &[u8]) -> Vec<u8> {
        self.real(&[&self.tree.path(node), name].concat()).into_owned()
    }

    /// A directory's path for system calls: an operand's ends in `/`, so that a link given as an operand
    /// is followed; any other's does not, so that a link put in its place is not.
    pub(super) fn system_path(&self, node: NodeId) -> Vec<u8> {
        system_path(&self.tree, &self.settings.base, node)
    }
}

/// Whether what is listed is not what an event of that entry is of.
fn is_another(event: Change, listed: Kind) -> bool {
    let is_directory = event.mask.has(IN_ISDIR);
    event.mask.has(DEPARTURES) || is_directory != (listed == Kind::Directory)
}

/// What the event of an entry that has left says of it. The kernel says of directories only what they are; a file that is renamed
/// in its first moments is the common case.
pub(super) fn kind_of(mask: Mask) -> Kind {
    match mask {
        _ if mask.has(IN_ISDIR) => Kind::Directory,
        _ if mask.has(IN_MOVED_FROM) => Kind::File,
        _ => Kind::Other,
    }
}

/// The error for a directory that is not where it was looked for.
fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

/// Whether an error says that the directory is not there any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

/// See [`Watcher::system_path`].
pub(super) fn system_path<S: tree::State>(tree: &Tree<S>, base: &[u8], node: NodeId) -> Vec<u8> {
    let mut path = tree.path(node);
    if tree.parent(node).is_some() {
        path.pop();
    }
    process::absolute(base, &path).into_owned()
}
