//! From directories to watches: the setup, directories that appear, and the comparison after an overflow are one scan, with a stack of
//! directories that are yet to be visited.
//!
//! A visit opens a directory by its name in the open directory above, and makes sure that it is the one that is watched. It lists
//! it, and adds a watch for each directory in it: so no path is looked up that could lead elsewhere by now.

mod attach;
pub(super) mod before;
mod compare;
mod operands;
mod reading;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::rc::Rc;

use self::before::{Before, Listing};
use super::{Coverage, Outgoing, Watcher};
use crate::backlog::Position;
use crate::queue::Place;
use crate::source::Problem;
use crate::sys::directory::{Contents, Kind};
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_MASK_ADD, IN_ONLYDIR, Mask};
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
    pub(super) arriving: HashMap<Wd, (NodeId, Position)>,
    /// Directories that were met since the overflow.
    met: HashSet<NodeId>,
    /// Watches of the setup that still lack the events that reading a directory causes.
    lack_read_events: Vec<Wd>,
    /// Their paths may have changed since that was tried.
    pub(super) is_raise_due: bool,
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
    pub(super) fn forget_entered(&mut self) {
        self.entered = None;
    }
}

/// Something left to do in a scan.
#[derive(Debug)]
enum Frame<D> {
    /// List a watched directory, and watch the directories in it.
    Visit { node: NodeId, above: Option<Above<D>>, since: Position, task: Task },
    /// A watched directory was empty, or has no directories and its files are not reported: report what was in it before, if there may
    /// have been something.
    FindEmpty { node: NodeId, since: Option<Position>, task: Task },
    /// Everything below a directory has been visited.
    Close { dir: Above<D>, task: Task },
    /// Everything has been visited after an overflow.
    FinishRescan,
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

    /// Whether the reading of a directory is reported, as that by the reference is: not below one that was renamed to its place.
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

impl<W: World> Watcher<W> {
    /// Does the next piece of a scan; `false` when none is left.
    ///
    /// An error ends the setup: ENOSPC means the limit max_user_watches, any other that an operand cannot be read. Those of the
    /// directories below are reported as problems.
    pub(super) fn scan_on(&mut self) -> io::Result<bool> {
        match self.scan.stack.pop() {
            Some(Frame::Visit { node, above, since, task }) => self.visit(node, above, since, task)?,
            Some(Frame::FindEmpty { node, since, task }) => self.find_empty(node, since, task)?,
            Some(Frame::Close { dir, task }) => self.close(dir, task),
            Some(Frame::FinishRescan) => self.finish_rescan(),
            None => {
                self.world.rest();
                return Ok(false);
            }
        }
        Ok(true)
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
        if self.watch_of(&dir, wd, self.kernel_mask()) != Some(wd) {
            return None;
        }
        let dir = Rc::new(dir);
        self.scan.entered = Some((wd, Rc::clone(&dir)));
        Some(dir)
    }

    /// Nothing was in a directory after its watch was added: only what has left it since is to be announced.
    fn find_empty(&mut self, node: NodeId, since: Option<Position>, task: Task) -> io::Result<()> {
        if task == Task::Rescan {
            return self.compare(node, Listing::default(), None);
        }
        self.report_reading(node, task);
        match since {
            Some(since) => {
                let before = self.before_watch(node, Listing::default(), since, task);
                self.add_entries(node, before, None, task)
            }
            None => Ok(()),
        }
    }

    /// Whether another directory may be at an entry of a watched one than the events say that were handled.
    fn is_doubtful(&self, wd: Wd, name: &[u8]) -> bool {
        self.queue.is_changing(wd, name) || self.world.hides_rename(wd, name)
    }

    /// The same of the place of a directory.
    fn is_place_doubtful(&self, node: NodeId) -> bool {
        self.place_of(node).is_some_and(|place| self.is_doubtful(place.wd, &place.name))
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
        since: Position,
        task: Task,
    ) -> io::Result<()> {
        let (wd, is_operand) = (self.tree.wd(node), self.tree.parent(node).is_none());
        let (before, dir) = match self.read_where_it_is(node, above.as_ref(), since, task) {
            Ok(read) => {
                self.report_reading(node, task);
                read
            }
            Err(_) if task.is_arrival() && self.has_left(node, since) => {
                // What happened in it until then is reported. It has no listing, so it must not come back with its watch; but what leaves the
                // directories in it is of the tree.
                //
                // `mkdir n; mkdir n/a; create n/a/f`, `n` is watched; `rename n/a/f f; rename n outside/n` → MOVED_TO f, MOVED_FROM n
                self.world.unwatch(wd);
                self.cover(node, Coverage::Unread);
                self.renames.announce_origin_end = self.queue.end();
                let before = self.before_watch(node, Listing::default(), since, task);
                return self.add_entries(node, before, None, task);
            }
            // Events of its own say where it has gone.
            Err(_) if task == Task::Rescan && !is_operand && self.queue.self_events_ahead(wd) => {
                self.scan.met.remove(&node);
                return Ok(());
            }
            Err(error) if is_gone(&error) || self.is_place_doubtful(node) => {
                self.detach(node, task);
                return Ok(());
            }
            Err(error) if task == Task::Setup && is_operand => return Err(error),
            Err(error) => {
                self.report_problem(node, error, task);
                // It is watched nevertheless.
                self.raise(node, None, task);
                self.meet_all(node, task);
                return Ok(());
            }
        };
        let entered = dir.map(|dir| Entered::new(node, above, dir));
        if let Some(dir) = &entered {
            self.scan.stack.push(Frame::Close { dir: Rc::clone(dir), task });
        }
        if task == Task::Rescan {
            return self.compare(node, before.stood, entered);
        }
        self.add_entries(node, before, entered, task)
    }

    /// Opens and lists a directory; a new one that is not where it was, where the events since its watch say that it is by now.
    ///
    /// `mkdir a`, it is watched; `rename a b` → MOVED_FROM a (1), MOVED_TO b (1), MOVE_SELF of it: `b` is listed, as `a`.
    fn read_where_it_is(
        &mut self,
        node: NodeId,
        above: Option<&Above<W::Dir>>,
        since: Position,
        task: Task,
    ) -> io::Result<(Before, Option<Rc<W::Dir>>)> {
        let mut there: Option<(Place, Vec<u8>)> = None;
        let mut tries = 0;
        loop {
            let begin = self.queue.end();
            let mut found = None;
            let (place, path) = there.clone().unzip();
            let read = self.read_dir(node, path.as_deref(), above, since, task, &mut found);
            if self.is_reading_reported(task) {
                self.pull();
            }
            self.discard_own_reading(node, place, found, begin);
            tries += 1;
            let (Err(_), Some(parent)) = (&read, self.tree.parent(node)) else { return read };
            // Why that is so, the events say.
            self.read_changes_of(parent);
            let now = self.place_now(node, since);
            let now = now.and_then(|place| Some((place.clone(), self.path_now(place)?)));
            if !task.is_arrival() || tries == TRIES || now.is_none() || now == there {
                return read;
            }
            there = now;
        }
    }

    /// Where a directory is that has been watched since a position, by the queued events and by what was listed; `None` for an operand, and for
    /// what has been deleted or is where nothing is watched.
    fn place_now(&self, node: NodeId, since: Position) -> Option<Place> {
        let wd = self.tree.wd(node);
        let listed = || self.place_of(self.scan.arriving.get(&wd)?.0);
        let place = self.queue.place_now(wd, self.place_of(node)?, since).or_else(listed)?;
        self.tree.find(place.wd).is_some().then_some(place)
    }

    /// The path of a place for system calls, by the queued events; `None` if it is where nothing is watched.
    fn path_now(&self, place: Place) -> Option<Vec<u8>> {
        let mut above = self.tree.find(place.wd)?;
        let mut names = vec![place.name];
        // No path is longer.
        while self.tree.parent(above).is_some() && names.len() < libc::PATH_MAX as usize {
            let place =
                self.queue.place_now(self.tree.wd(above), self.place_of(above)?, self.queue.start())?;
            above = self.tree.find(place.wd)?;
            names.push(place.name);
        }
        names.reverse();
        Some(self.entry_path(above, &names.join(&b'/')))
    }

    /// Whether a directory has been deleted that has been watched since a position, or is where nothing is watched.
    fn has_left(&self, node: NodeId, since: Position) -> bool {
        self.tree.parent(node).is_some() && self.place_now(node, since).is_none()
    }

    /// Opens and lists a directory, if it is the one that is watched; ENOENT if it is another. If there is more to do in it, it
    /// stays open. What was in it is decided here, by the queue up to the last look at the entries. `found` becomes the watch of the one that
    /// was opened.
    fn read_dir(
        &mut self,
        node: NodeId,
        path: Option<&[u8]>,
        above: Option<&Above<W::Dir>>,
        since: Position,
        task: Task,
        found: &mut Option<Wd>,
    ) -> io::Result<(Before, Option<Rc<W::Dir>>)> {
        let (wd, mask) = (self.tree.wd(node), self.scan_mask(task));
        let is_raised_later = mask != self.kernel_mask();
        let dir = above.and_then(|above| above.dir());
        if is_raised_later && self.is_oneshot() && self.tree.parent(node).is_some() {
            // To be opened would use up its watch.
            let is_lowered = self.change_mask(node, dir.as_deref(), mask);
            if !is_lowered {
                return Err(gone());
            }
        }
        let opened = match (&dir, path) {
            (_, Some(path)) => self.world.open(At::Path(path))?,
            (Some(dir), None) => self.world.open(At::Entry(dir, self.tree.name(node)))?,
            (None, None) => {
                let path = self.system_path(node);
                self.world.open(At::Path(&path))?
            }
        };
        *found = self.watch_of(&opened, wd, mask);
        if *found != Some(wd) {
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
            self.look_again(&mut listing, &opened, wd, since);
        }
        let before = match task {
            Task::Rescan => Before { stood: listing, gone: Listing::default() },
            _ => self.before_watch(node, listing, since, task),
        };
        let is_used = |(_, kind): (&[u8], Kind)| kind == Kind::Directory || task == Task::Rescan;
        let dir = match before.stood.iter().any(is_used) {
            // Closing it now is reported now, and dropped with the events of its reading.
            true if self.is_reading_reported(task) => Some(self.world.enter(At::Dir(&opened))?),
            true => Some(opened),
            false => Some(opened).filter(|_| is_raised_later),
        };
        Ok((before, dir.map(Rc::new)))
    }

    /// Nobody can look into a directory after an overflow: what is below it may be there.
    fn meet_all(&mut self, node: NodeId, task: Task) {
        if task == Task::Rescan {
            self.scan.met.extend(self.tree.subtree(node));
        }
    }

    /// A directory is not where it was watched: it is to be watched again where the next events take it. No event says so of an operand.
    fn detach(&mut self, node: NodeId, task: Task) {
        if self.tree.parent(node).is_none() {
            return self.meet_all(node, task);
        }
        self.world.unwatch(self.tree.wd(node));
        self.tree.set_wd(node, Wd::NONE);
        self.forget_git(node);
        self.cover(node, Coverage::Pending { announce: task.announces() || task == Task::Rescan });
        self.attach_later(node);
    }

    /// Adds nodes and watches for the directories of a listing, and announces what is news.
    fn add_entries(
        &mut self,
        node: NodeId,
        Before { stood, gone }: Before,
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
                let below = self.add_pending(node, name, announce);
                found = Some(below);
                if matches!(self.coverage(below), Coverage::Pending { .. }) {
                    attached.push(below);
                }
            }
            nodes.push(found);
        }
        if let (Some(above), false) = (entered, attached.is_empty()) {
            self.attach_all(&above, &attached, task.below())?;
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
            self.announce_gone(node, name, kind);
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
    fn close(&mut self, entered: Above<W::Dir>, task: Task) {
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
        let wd = self.tree.wd(above.node);
        if self.watch_of(&dir, wd, self.scan_mask(task)) == Some(wd) {
            *above.dir.borrow_mut() = Some(Rc::new(dir));
            self.scan.kept.push_front(Rc::clone(above));
        }
    }

    /// Directories that were listed where a rename was to take a watched one that did not come: they are others.
    pub(super) fn check_arriving(&mut self) {
        let arriving = std::mem::take(&mut self.scan.arriving);
        for (wd, (node, until)) in arriving {
            if self.queue.self_events_ahead(wd) {
                self.scan.arriving.insert(wd, (node, until));
            } else {
                self.report_arriving(node);
                self.attach_later(node);
            }
        }
    }

    /// The watch of the directory there, which should be `wd`; `None` if nothing tells. If no node has it, it is removed again.
    ///
    /// To ask is to change what the watch there asks for: another directory, which is there by now, may have asked for more. While the
    /// kernel replaces a mask, it is empty for a moment, and events are lost. So it is only replaced where it is to ask for less, which
    /// is before the directory is listed.
    pub(super) fn watched_at(&mut self, at: At<W::Dir>, wd: Wd, mask: Mask) -> Option<Wd> {
        let (tree, other) = (&self.tree, Cell::new(None));
        let is_known = |found| {
            other.set(Some(found));
            tree.find(found).is_some()
        };
        let add = IN_MASK_ADD.when(mask.has_all(self.kernel_mask()));
        if self.world.is_watched_as(at, mask | add | IN_ONLYDIR, wd, is_known) {
            return Some(wd);
        }
        if (self.kernel_mask() & !mask).has(W::OWN_READING) {
            self.scan.lack_read_events.extend(other.get());
            self.scan.is_raise_due = true;
        }
        other.get()
    }

    /// The watch of an open directory, which should be `wd`. If that may have ended with an event, nothing can tell.
    fn watch_of(&mut self, dir: &W::Dir, wd: Wd, mask: Mask) -> Option<Wd> {
        if self.is_oneshot() { Some(wd) } else { self.watched_at(At::Dir(dir), wd, mask) }
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
