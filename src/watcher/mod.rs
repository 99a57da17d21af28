//! Follows a tree by inotify's events, and reports them under the paths that were true when they happened.
//!
//! The kernel watches directories, not trees. So the watcher keeps one node for every directory that it knows of, and adds
//! a watch for each directory that appears. Four facts carry it:
//!
//! * **The queue is the truth about entries.** From the moment that a directory is watched, the kernel queues an event for every
//!   entry that appears, disappears or is renamed in it. The nodes are what these events say up to the event that is being
//!   handled (`follow`).
//! * **A look shows the present, the event is in the past.** A directory is watched by its name, and the name may belong to another
//!   one by now. So a new watch counts only if nothing that is queued concerns the name, and the queue is read to the moment of the
//!   look (see [`World::sync`]); or if its own events show that it is the directory that leaves with the next event of the name. Otherwise
//!   the watch is removed again, and the queued event brings the next chance.
//! * **First watch, then list.** Entries that are listed and were there before the watch are announced as the kernel would
//!   have reported them; later ones the kernel reports (`scan`).
//! * **MOVE_SELF ends each rename.** It follows MOVED_FROM and MOVED_TO. If a watched directory has a MOVE_SELF and no MOVED_TO
//!   came, it is where nothing was watched at that time: outside, or in a new directory ([`Coverage::Arriving`]).
//!
//! A **turn** is what one call of [`Source::read`] has brought, until all that follows from it is done. At its end is tried again what could
//! not be done before (`end_turn`): no event of the turn can change it any more.

mod follow;
mod ignored;
mod missed;
mod mounts;
mod refused;
mod scan;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::backlog::Position;
use crate::event::{self, ENTRY, FINAL, is_asked};
use crate::filter::bare;
use crate::ignore::git;
use crate::queue::{Place, Queue, Subject, Taken};
use crate::source::{Event, Item, Problem, Settings, Source};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_ONESHOT, IN_Q_OVERFLOW, Mask,
};
use crate::sys::mounts::Mount;
use crate::sys::process;
use crate::tree::{self, NodeId, Tree};
use crate::world::World;

use self::follow::Renames;
use self::missed::Missed;
use self::refused::Refused;
use self::scan::Scan;

/// How completely a directory is watched. What else may be true of its node, until that is removed:
///
/// | | has a watch | is an entry |
/// |---|---|---|
/// | `Watched`, `Unread` | yes | unless it is being renamed, another has come to its place, it was deleted, or is an operand |
/// | `Retiring` | yes | if it keeps its place |
/// | `Arriving` | no | yes |
/// | all others | no | unless it is being renamed |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Coverage {
    /// It has a watch, and everything that was in it before the watch has its node or its line, or will have once the scan that goes on has
    /// visited it.
    #[default]
    Watched,
    /// It left before it could be listed: its watch has been removed, and what is queued of it is reported.
    ///
    /// `mkdir n`, it is watched; `rename n outside/n` → MOVED_FROM n, MOVE_SELF of it, [it is not at `n`,] IGNORED of it
    Unread,
    /// It is to be watched. With `announce` nobody knows yet what is in it: that is to be reported.
    ///
    /// `mkdir a; rename a b` → CREATE a, MOVED_FROM a, MOVED_TO b: at the CREATE, `a` names nothing any more. The node stays pending,
    /// MOVED_TO takes it to `b`, and there it can be watched.
    Pending { announce: bool },
    /// A watched directory was found here whose MOVE_SELF is still queued: that rename ends here. Its arrival has no event if it was listed;
    /// then the directory is reported as created if it does not arrive, with `announce`. It `has_event` after an overflow, if only that by
    /// which it left was dropped.
    ///
    /// `mkdir new; rename old new/old` → CREATE new, MOVED_FROM old, MOVE_SELF of old: `new` is watched too late for the MOVED_TO.
    /// `rename a k; rename k l` → [MOVED_FROM a, MOVED_TO k are dropped], Q_OVERFLOW, MOVED_FROM k, MOVED_TO l, MOVE_SELF of it
    Arriving { announce: bool, has_event: bool },
    /// Perhaps there is a directory whose arrival the kernel has merged with that of another, which has left: that one had no watch.
    ///
    /// `rename outside/1 a; exchange outside/2 a` → MOVED_TO a (1), MOVED_TO a (2), MOVED_FROM a (3): the two MOVED_TO are one. So the other
    /// MOVED_TO is reported if there is one, and nothing of what is in it is news.
    Hidden,
    /// Nothing in it can be reported, so it needs no watch: `--exclude tmp`, `mkdir tmp`.
    Pruned,
    /// It appeared while its own path was excluded: `--exclude 'tmp$'`, `mkdir tmp`. After `rename tmp a` it is watched.
    Excluded,
    /// It is ignored, or below the deepest level that is reported.
    Ignored,
    /// It could not be watched, which was reported. If the way to it was closed, that is tried again at the end of each turn.
    ///
    /// `chmod 0 d; mkdir d/n`, the latter by root
    Unwatchable { announce: bool },
    /// Its events are not reported, and its watch and those below it are removed at the end of the turn, unless it returns before. It was
    /// moved out, which is to say renamed to where nothing is watched; or it keeps its place, but has an excluded path by now.
    ///
    /// `rename d/w outside/w` → MOVED_FROM w, MOVE_SELF of w: no MOVED_TO came.
    ///
    /// If it returns after something happened in it that was left `unreported`, it is reported as new.
    ///
    /// `mkdir n; rename w n/w; create n/w/f; rename n m; rename m/w m/x` → CREATE n, MOVED_FROM w, MOVE_SELF of it, [CREATE f,] MOVED_FROM n,
    /// MOVED_TO m, MOVE_SELF of w: it is found in `m`
    Retiring { unreported: bool },
}

/// What the watcher knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    directory: bool,
    /// Part of a recursive watch: directories in it are watched, too.
    recursive: bool,
    /// Watched since the setup.
    initial: bool,
    /// An operand, also one that is within another.
    operand: bool,
    /// It was new, and had no entry and no event when it was looked at. If its first event is that an entry leaves it, that was in it.
    ///
    /// `mkdir d; create d/f; unlink d/f; watch d` → the length of `d` tells that it is empty before DELETE f is queued.
    emptying: bool,
    coverage: Coverage,
}

impl tree::State for State {
    fn is_directory(&self) -> bool {
        self.directory
    }
}

/// Something to return from [`Source::next`], in the order in which it happened.
#[derive(Debug)]
enum Outgoing {
    Event { report: Report, path: Vec<u8> },
    Problem(Problem),
    Retired { watch: Wd, path: Vec<u8> },
}

/// An event whose path is elsewhere.
type Report = Event<'static>;

/// The name of an entry that an event is reported of.
enum Name<'a> {
    /// That of the event taken last.
    Of(&'a Taken),
    Is(&'a [u8]),
}

/// What follows from an event, once that has been reported.
#[derive(Debug)]
enum Work {
    /// Watch a directory that is at its place, as far as the events go that were handled.
    Attach(NodeId),
    /// A watch is gone.
    Retire(NodeId),
    /// Report the MOVE_SELF of a directory that had no watch.
    ReportMoved(NodeId),
    /// A file may have come from a directory that nobody watched when it was written there.
    ReportClosed { wd: Wd, name: Box<[u8]> },
    /// Events were lost: the tree is compared with the file system.
    Rescan,
    /// Patterns of git in a directory may be others now.
    ReadGit(NodeId),
}

/// The source of events on inotify, or on fanotify with a mark for each directory or file.
pub struct Watcher<W: World> {
    world: W,
    settings: Settings,
    tree: Tree<State>,
    queue: Queue,
    outbox: VecDeque<Outgoing>,
    work: VecDeque<Work>,
    scan: Scan<W::Dir>,
    renames: Renames,
    /// What could not be done when it was tried: to be tried again at the end of the turn.
    later: VecDeque<Work>,
    /// The directories that are [`Coverage::Retiring`].
    retiring: Vec<NodeId>,
    refused: Refused,
    missed: Missed,
    is_rescan_next: bool,
    /// What was mounted when the table was read last, and whether that has changed.
    mounts: Vec<Mount>,
    have_mounts_changed: bool,
    is_set_up: bool,
    /// What is to be reported is kept until the setup has ended.
    is_following_setup: bool,
    /// Up to here the events that were queued belong to this turn.
    turn_end: Position,
    /// What waits for the end of the turn has been tried.
    is_turn_over: bool,
    /// How often it was found out in this turn where renamed objects are.
    looks: usize,
    /// The path of an event: `%w` of the node named here, and the entry's name after it.
    path: Vec<u8>,
    path_of: Option<(NodeId, usize)>,
}

impl<W: World> Watcher<W> {
    /// A watcher of nothing so far.
    pub fn new(mut world: W, settings: Settings) -> Watcher<W> {
        let missed = Missed::since(world.now());
        Watcher {
            world,
            settings,
            tree: Tree::default(),
            queue: Queue::default(),
            outbox: VecDeque::new(),
            work: VecDeque::new(),
            scan: Scan::default(),
            renames: Renames::default(),
            later: VecDeque::new(),
            retiring: Vec::new(),
            refused: Refused::default(),
            missed,
            is_rescan_next: false,
            mounts: Vec::new(),
            have_mounts_changed: false,
            is_set_up: false,
            is_following_setup: false,
            turn_end: Position::default(),
            is_turn_over: true,
            looks: 0,
            path: Vec::new(),
            path_of: None,
        }
    }

    /// The paths of the directories of which something is kept although they have no watch.
    pub fn unwatched(&self) -> Vec<Vec<u8>> {
        let nodes = self.tree.operands().flat_map(|operand| self.tree.subtree(operand));
        let is_unwatched = |node: &NodeId| self.tree.wd(*node) == Wd::NONE;
        nodes.filter(is_unwatched).map(|node| self.tree.path(node)).collect()
    }

    /// An event as it is reported, if it is. Its path is in `self.path`.
    fn report(&mut self, wd: Wd, mask: Mask, cookie: u32, name: Name) -> Option<Report> {
        let is_requested = is_asked(self.settings.events, mask);
        if !is_requested && !mask.has(FINAL) {
            return None;
        }
        let watched = match mask.has(IN_Q_OVERFLOW) {
            false => self.reported_path(wd, mask, &name, is_requested)?,
            true => {
                (self.path, self.path_of) = (Vec::new(), None);
                0
            }
        };
        // Of events that the kernel reports as one some may not have been requested.
        let mask = event::without_unasked(self.settings.events, mask);
        let pid = self.world.tells_processes().then_some(match name {
            Name::Of(taken) => taken.cause,
            Name::Is(_) => 0,
        });
        let node = self.tree.find(wd).filter(|_| mask.has(FINAL | IN_DELETE_SELF));
        let ends_operand = node.is_some_and(|node| self.tree.state(node).operand);
        Some(Event {
            watch: wd,
            path: b"",
            watched,
            mask,
            cookie,
            pid,
            ends_wait: !is_requested,
            ends_operand,
        })
    }

    /// Makes `self.path` the path of an event, if it is to be reported; returns the length of `%w` in it.
    fn reported_path(&mut self, wd: Wd, mask: Mask, name: &Name, is_requested: bool) -> Option<usize> {
        let node = self.tree.find(wd)?;
        let State { directory, initial, .. } = self.tree.state(node);
        if !is_requested && !initial {
            return None;
        }
        // rmdir d/e      →  DELETE_SELF e, IGNORED e, DELETE d/e; the last ends the wait if it is requested.
        // rename d/a d/e →  MOVED_FROM a, MOVED_TO e, DELETE_SELF e, IGNORED e: no DELETE, and e is no entry any more.
        let deletion_follows = mask.has(IN_IGNORED)
            && !is_requested
            && self.settings.events.has(IN_DELETE)
            && self.tree.is_entry(node);
        // Of a directory that was moved out, its own rename is the last event that is reported.
        if !mask.has(IN_MOVE_SELF) && self.is_retiring(node) {
            if let Name::Of(taken) = name {
                self.missed.leave_untold(wd, self.queue.events().name(taken));
            }
            return None;
        }
        let mut watched = self.set_path(node);
        match name {
            Name::Is(name) => self.path.extend_from_slice(name),
            Name::Of(taken) => {
                self.path.extend_from_slice(self.queue.events().name(taken));
                if taken.subject == Subject::Directory {
                    self.path.push(b'/');
                    watched = self.path.len();
                }
            }
        }
        if deletion_follows && self.settings.filter.reports(bare(&self.path), true) {
            return None;
        }
        let filter = &self.settings.filter;
        let is_directory = mask.has(IN_ISDIR);
        let is_reported = filter.is_empty()
            || filter.reports(&self.path, is_directory)
                && !filter.ignores(&self.tree, node, &self.path, is_directory);
        if W::NAMES_ENTRIES && !directory {
            watched = self.path.iter().rposition(|byte| *byte == b'/').map_or(watched, |slash| slash + 1);
        }
        is_reported.then_some(watched)
    }

    /// Makes `self.path` the path of a node; returns its length.
    fn set_path(&mut self, node: NodeId) -> usize {
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
        watched
    }

    /// Reports an event that the kernel did not queue, after everything that was reported before.
    fn make_up(&mut self, wd: Wd, mask: Mask, cookie: u32, name: &[u8]) {
        let is_last = !mask.has(IN_ISDIR) || self.queue.count_changes(wd, name) == 0;
        self.missed.make_up(&RawEvent { wd, mask, cookie, name }, is_last);
        if let Some(report) = self.report(wd, mask, cookie, Name::Is(name)) {
            self.outbox.push_back(Outgoing::Event { report, path: self.path.clone() });
        }
    }

    /// The same of a directory, on the one above.
    fn make_up_entry(&mut self, node: NodeId, mask: Mask) {
        if let Some(Place { wd, name }) = self.place_of(node) {
            self.make_up(wd, mask | IN_ISDIR, 0, &name);
        }
    }

    /// The directory that is retiring, of which a node is a part.
    fn retiring_above(&self, node: NodeId) -> Option<NodeId> {
        let is_top = |above: &NodeId| matches!(self.coverage(*above), Coverage::Retiring { .. });
        if self.retiring.is_empty() { None } else { self.tree.way_up(node).find(is_top) }
    }

    fn is_retiring(&self, node: NodeId) -> bool {
        self.retiring_above(node).is_some()
    }

    /// The place of which a node is the entry, as far as the events go that were handled; `None` for an operand.
    fn place_of(&self, node: NodeId) -> Option<Place> {
        Some(Place { wd: self.tree.wd(self.tree.parent(node)?), name: self.tree.name(node).into() })
    }

    fn coverage(&self, node: NodeId) -> Coverage {
        self.tree.state(node).coverage
    }

    fn cover(&mut self, node: NodeId, coverage: Coverage) {
        self.tree.set_state(node, State { coverage, ..self.tree.state(node) });
    }

    /// What the kernel is asked for.
    fn kernel_mask(&self) -> Mask {
        let requested = event::kernel_bits(self.settings.events);
        let tracking = match self.is_oneshot() {
            _ if !self.settings.recursive => Mask::NONE,
            false => TRACKING_EVENTS,
            // Any of them uses up a watch: no more of them than the reference asks for.
            true if self.settings.monitor => IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO,
            true => Mask::NONE,
        };
        // What changes the patterns of git.
        let git = git::EVENTS.when(self.settings.filter.reads_git() && !self.is_oneshot());
        requested | tracking | git
    }

    /// Each watch ends with its first event.
    fn is_oneshot(&self) -> bool {
        self.settings.events.has(IN_ONESHOT)
    }

    /// A path as system calls take it.
    fn real<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        process::absolute(&self.settings.base, path)
    }

    /// Reads what the kernel has queued. An error shows again, and is handled, at the next ordinary read.
    fn pull(&mut self) {
        let _ = self.fill();
    }

    fn fill(&mut self) -> io::Result<usize> {
        let (began, end, overflows) = (self.world.now(), self.queue.end(), self.queue.overflows());
        let length = self.queue.fill(|buffer| self.world.read(buffer))?;
        let ended = self.world.now();
        let events = (self.queue.bytes_before(end), self.queue.bytes_since(end));
        self.missed.read(began, ended, events, self.queue.overflows() > overflows);
        Ok(length)
    }

    /// Does one piece of what is left to do between two events; `false` if nothing is. Errors of a scan end the setup only.
    // Out of line: `next` is faster without what is seldom done.
    #[inline(never)]
    fn step(&mut self) -> bool {
        if self.scan_on().unwrap_or(true) {
            return true;
        }
        match self.work.pop_front() {
            Some(Work::Attach(node)) => self.attach(node),
            Some(Work::Retire(node)) => self.retire(node),
            Some(Work::ReportMoved(node)) => self.report_moved(node),
            Some(Work::ReportClosed { wd, name }) => self.report_closed(wd, &name),
            Some(Work::Rescan) => self.rescan(),
            Some(Work::ReadGit(node)) => self.read_git_again(node),
            None => return false,
        }
        true
    }

    /// At the end of a turn, once: tries again what could not be done; `false` if there is nothing to do.
    #[inline(never)]
    fn end_turn(&mut self) -> bool {
        if std::mem::replace(&mut self.is_turn_over, true) {
            return false;
        }
        self.retire_all();
        self.forget_departed();
        if std::mem::take(&mut self.have_mounts_changed) {
            self.check_mounts();
        }
        if self.refused.is_due(|| self.world.clock()) {
            self.try_refused();
        }
        self.raise_late();
        self.check_arriving();
        self.work.append(&mut self.later);
        if self.missed.has_gap() && self.queue.overflows() == 0 {
            self.work.push_back(Work::Rescan);
        }
        true
    }

    /// A directory is to be watched that could not be yet: that is tried again at the end of the turn.
    fn attach_later(&mut self, node: NodeId) {
        self.later.push_back(Work::Attach(node));
    }

    /// Forgets a node whose watch is gone.
    fn retire(&mut self, node: NodeId) {
        let watch = self.tree.wd(node);
        if watch == Wd::NONE {
            return;
        }
        self.outbox.push_back(Outgoing::Retired { watch, path: self.tree.path(node) });
        self.try_refused();
        self.path_of = None;
        for below in self.tree.subtree(node) {
            // mkdir w/p/n; mv w/p outside; rmdir w; mv outside/p p: `p` has its watch, and `n` is to get one.
            let watched = self.tree.way_up(below).find(|above| self.tree.wd(*above) != Wd::NONE);
            if below != node && watched == Some(node) {
                self.tree.remove(below);
            }
        }
        self.tree.remove(node);
        self.forget_git(node);
    }

    /// Whether the turn is over because the tree is compared next, which may take long: what was reported is printed before.
    fn begins_rescan(&mut self) -> bool {
        let is_next = self.scan.is_over() && matches!(self.work.front(), Some(Work::Rescan));
        self.is_rescan_next = is_next && !self.is_rescan_next;
        self.is_rescan_next
    }

    fn take(&mut self) -> Option<Taken> {
        if self.is_taken() { None } else { self.queue.take() }
    }

    /// Whether all events of this turn were taken.
    fn is_taken(&self) -> bool {
        self.queue.start() >= self.turn_end
    }

    /// Whether nothing is left to do but to watch directories that have just appeared, and another appears by the next event: they are
    /// watched together.
    fn gathers(&self) -> bool {
        let is_attach = |work: &Work| matches!(work, Work::Attach(_));
        let waits = (1..scan::AT_ONCE).contains(&self.work.len());
        if !waits || !self.scan.is_over() || self.is_taken() || self.is_oneshot() {
            return false;
        }
        let is_new = |parent, name| self.tree.child(parent, name).is_none();
        self.queue.ahead().next().is_some_and(|RawEvent { wd, mask, name, cookie }| {
            let appears = mask.has(IN_CREATE) || mask.has(IN_MOVED_TO) && self.comes_from_elsewhere(cookie);
            mask.has(IN_ISDIR) && appears && self.tree.find(wd).is_some_and(|parent| is_new(parent, name))
        }) && self.work.iter().all(is_attach)
    }

    /// Whether a rename comes from where nothing is watched, nor will be once the directories are watched that have just appeared:
    /// what is in a new one may leave it before.
    fn comes_from_elsewhere(&self, cookie: u32) -> bool {
        let is_news = |work: &Work| match work {
            Work::Attach(node) => self.coverage(*node) != (Coverage::Pending { announce: false }),
            _ => true,
        };
        !self.renames.is_known(cookie) && !self.work.iter().any(is_news)
    }

    /// [`World::find_out`].
    #[inline(never)]
    fn find_out(&mut self) -> bool {
        let (tree, base) = (&self.tree, &self.settings.base);
        self.queue.events().is_empty()
            && self.world.find_out(|wd| Some(scan::system_path(tree, base, tree.find(wd)?)))
    }
}

impl<W: World + AsFd> Source for Watcher<W> {
    fn watch(&mut self, operand: &[u8]) -> io::Result<()> {
        self.watch_operand(operand, false)
    }

    fn watch_new(&mut self, operand: &[u8]) -> io::Result<()> {
        self.watch_operand(operand, true)
    }

    fn walk(&mut self) -> io::Result<bool> {
        self.scan_on()
    }

    fn establish(&mut self) {
        self.mounts = self.world.mounts();
        self.is_set_up = true;
        if self.settings.recursive {
            self.follow_setup();
        }
    }

    fn needed(&mut self, operands: &[Vec<u8>]) -> usize {
        self.count_needed(operands)
    }

    fn watches(&self) -> usize {
        self.tree.len()
    }

    fn in_order(&self) -> Vec<Wd> {
        // The reference watches a directory after all below it: the reverse of a list that has each node before those
        // below it, and siblings last to first.
        let mut operands: Vec<NodeId> = self.tree.operands().collect();
        operands.sort_by_key(|node| self.tree.wd(*node));
        let nodes = operands.into_iter().flat_map(|operand| self.tree.subtree(operand).into_iter().rev());
        nodes.map(|node| self.tree.wd(node)).filter(|wd| *wd != Wd::NONE).collect()
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
        // The same memory again and again is in the processor's cache.
        self.queue.give_back();
        let length = self.fill()?;
        (self.turn_end, self.is_turn_over, self.looks) = (self.queue.end(), false, 0);
        Ok(length)
    }

    fn is_steady(&self) -> bool {
        // fanotify(7) merges more than equal events.
        !W::NAMES_ENTRIES && self.queue.is_steady()
    }

    fn lookout(&self) -> Option<BorrowedFd<'_>> {
        self.world.lookout()
    }

    fn mounts_changed(&mut self) {
        self.have_mounts_changed = true;
    }

    fn wakes_at(&self) -> Option<Instant> {
        self.refused.next()
    }

    fn has_more(&self) -> bool {
        !self.queue.events().is_empty()
            || !self.retiring.is_empty()
            || !self.outbox.is_empty()
            || self.is_rescan_next
    }

    fn rest(&mut self) {
        if self.missed.keeps_much() && !self.has_more() {
            self.pull();
        }
    }

    fn tells_processes(&self) -> bool {
        self.world.tells_processes()
    }

    fn lose(&mut self) -> bool {
        self.world.lose()
    }

    fn begin_own(&mut self) -> Position {
        self.pull();
        self.queue.end()
    }

    fn drop_own(&mut self, begun: Position, is_own: &dyn Fn(Mask, &[u8]) -> bool) {
        if W::OWN_READING == Mask::NONE {
            return;
        }
        self.pull();
        let tree = &self.tree;
        self.queue.drop_since(begun, |event| {
            let Some(node) = tree.find(event.wd) else { return false };
            let mut path = tree.path(node);
            path.extend_from_slice(event.name);
            is_own(event.mask, &path)
        });
    }

    fn next(&mut self) -> Option<Item<'_>> {
        loop {
            // What the comparison after an overflow finds is put in order at its end.
            let is_kept = self.is_following_setup || self.scan.is_rescan();
            let outgoing = if is_kept { None } else { self.outbox.pop_front() };
            if let Some(outgoing) = outgoing {
                self.world.rest();
                return Some(self.deliver(outgoing));
            }
            if self.begins_rescan() {
                return None;
            }
            // Between most events there is nothing to do.
            if self.work.is_empty() && self.scan.is_over() {
                self.world.rest();
            } else if !self.gathers() && self.step() {
                continue;
            }
            // Used where it is: to move what was just written takes as long as to handle it.
            let taken = self.take();
            let Some(taken) = &taken else {
                if self.find_out() {
                    self.pull();
                    self.looks += 1;
                    if self.looks < LOOKS {
                        self.turn_end = self.queue.end();
                    }
                } else if !self.end_turn() {
                    self.scan.forget_entered();
                    self.world.rest();
                    return None;
                }
                continue;
            };
            self.track(taken);
            let Some(report) = self.report(taken.wd, taken.mask, taken.cookie, Name::Of(taken)) else {
                continue;
            };
            if self.outbox.is_empty() && !self.is_following_setup {
                self.world.rest();
                return Some(self.event(report));
            }
            // What led to it, an overflow above all, is reported first: the event may end the program.
            self.outbox.push_back(Outgoing::Event { report, path: self.path.clone() });
        }
    }
}

impl<W: World + AsFd> Watcher<W> {
    /// Handles what was queued during the setup; what it reports is kept for later. A directory that was renamed meanwhile may have a
    /// watch only then, and from the moment that the watches are said to be established no file in it may be missed.
    fn follow_setup(&mut self) {
        self.is_following_setup = true;
        // An error shows again at the next read.
        if self.read().is_ok() {
            self.next();
        }
        self.is_following_setup = false;
    }
}

impl<W: World> Watcher<W> {
    #[inline(never)]
    fn deliver(&mut self, outgoing: Outgoing) -> Item<'_> {
        match outgoing {
            Outgoing::Problem(problem) => Item::Problem(problem),
            Outgoing::Retired { watch, path } => {
                (self.path, self.path_of) = (path, None);
                Item::Retired { watch, path: &self.path }
            }
            Outgoing::Event { report, path } => {
                (self.path, self.path_of) = (path, None);
                self.event(report)
            }
        }
    }

    /// An event with the path that was made for it.
    fn event(&self, report: Report) -> Item<'_> {
        Item::Event(Event { path: &self.path, ..report })
    }
}

impl<W: World + AsFd> AsFd for Watcher<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.world.as_fd()
    }
}

/// So often it is found out in one turn where renamed objects are: what a busy writer does meanwhile is left to the next turn.
const LOOKS: usize = 16;

/// The events that a recursive watch needs to follow its tree, whatever `-e` says.
const TRACKING_EVENTS: Mask = ENTRY.or(IN_DELETE_SELF).or(IN_MOVE_SELF);
