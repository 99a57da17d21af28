//! From the kernel's events to those that are true of the tree.
//!
//! A recursive watch is kept whole here: directories that appear are watched and what was in them
//! already is announced, renamed ones are re-linked, those that left are let go, and after a queue
//! overflow the tree is walked again.
//!
//! Three rules carry it. Watch first, then read: what a directory held before its watch stood is found by
//! reading it, what comes later is announced by the kernel. The order of the queue is the
//! truth: a path is looked up when an event is handled, which is later than it happened, so before
//! a path is trusted the queue is asked whether it still says something else. And a watched directory's rename
//! is believed from its own MOVE_SELF, which carries its descriptor; names alone can lie.

mod arrive;
mod follow;
mod walk;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libc::{
    IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_Q_OVERFLOW,
};

use crate::event::{self, FINAL, Mask, is_asked};
use crate::fanotify::absolute_hidden;
use crate::queue::{Events, Place, Queue, Taken};
use crate::source::{Event, Item, Problem, Settings, Source};
use crate::sys::process;
use crate::tree::{NodeId, Tree};
use crate::world::World;

use self::follow::Pending;
use self::walk::{Stretch, system_path};

/// The source of events on inotify, or on fanotify with a mark for each directory or file.
#[derive(Debug)]
pub struct Watcher<W> {
    world: W,
    settings: Settings,
    tree: Tree,
    queue: Queue,
    /// Events that the kernel would have sent had the watch stood earlier; they precede `queue`.
    announced: Events,
    problems: VecDeque<Problem>,
    /// Up to here the events that were queued belong to this turn.
    turn_until: u64,
    /// The queue has overflown: the tree is to be walked again.
    recovering: bool,
    /// An event that was handled and waits until the problems were reported.
    held: Option<Taken>,
    retired: VecDeque<(i32, Vec<u8>)>,
    /// Directories of the set-up that are watched and yet to be read.
    unread: Vec<NodeId>,
    /// How many have been read.
    walked: usize,
    /// The last of them.
    stretches: [Stretch; 2],
    /// Directories were renamed during the walk: paths are not to be trusted.
    careful: bool,
    /// Watches of directories that could not be read under the path that they seemed to have.
    late: HashSet<i32>,
    /// Some path has changed since they were tried last.
    late_due: bool,
    /// Watches of the set-up that still lack the events that reading a directory causes.
    unraised: Vec<i32>,
    /// Up to here the events that were queued may come from before some directory was watched
    /// ([`Events::queued`]).
    new_until: u64,
    pending: Pending,
    /// Directories that take no watch, since nothing in them can be reported. Their contents are no news.
    left_out: HashSet<Place>,
    /// New directories that are not watched because their own paths are excluded.
    refused: HashSet<Place>,
    /// The node whose watch ended with the event that was returned last.
    ended: Option<NodeId>,
    /// The path of an event: `%w` of the node named here, and the entry's name after it.
    path: Vec<u8>,
    path_of: Option<(NodeId, usize)>,
}

impl<W: World> Watcher<W> {
    /// Watches nothing so far.
    pub fn new(world: W, mut settings: Settings) -> Watcher<W> {
        if !W::REPORTS_OWN_ACTIONS {
            let base = settings.base.clone();
            settings.filter.resolve_hidden(|path| absolute_hidden(&base, path));
        }
        Watcher {
            world,
            settings,
            tree: Tree::default(),
            queue: Queue::default(),
            announced: Events::default(),
            problems: VecDeque::new(),
            turn_until: 0,
            recovering: false,
            held: None,
            retired: VecDeque::new(),
            unread: Vec::new(),
            walked: 0,
            stretches: Default::default(),
            careful: false,
            late: HashSet::new(),
            late_due: true,
            unraised: Vec::new(),
            new_until: 0,
            pending: Pending::default(),
            left_out: HashSet::new(),
            refused: HashSet::new(),
            ended: None,
            path: Vec::new(),
            path_of: None,
        }
    }

    /// Decides whether the user hears of an event; if so its path is in `self.path`, and the result is the
    /// length of `%w` and whether it ends a one-shot wait.
    fn report(&mut self, taken: &Taken, made_up: bool) -> Option<(usize, bool)> {
        let asked = is_asked(self.settings.events, taken.mask);
        if !asked && taken.mask & FINAL == 0 {
            return None;
        }
        if taken.mask & IN_Q_OVERFLOW != 0 {
            self.path.clear();
            self.path_of = None;
            return Some((0, !asked));
        }
        let node = self.tree.find(taken.wd)?;
        let flags = self.tree.flags(node);
        if !asked && !flags.initial {
            return None;
        }
        // Of a directory that left, its own rename is the last to be heard.
        if taken.mask & IN_MOVE_SELF == 0 && self.misses(node) {
            return None;
        }
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
        let events = if made_up { &self.announced } else { self.queue.events() };
        self.path.extend_from_slice(events.name(taken));
        let reported = self.settings.filter.reports(&self.path, taken.mask & IN_ISDIR != 0);
        let watched = match W::REPORTS_OWN_ACTIONS {
            // A directory below, where it has no watch.
            false if self.path.last() == Some(&b'/') => self.path.len(),
            false if !flags.directory => {
                self.path.iter().rposition(|byte| *byte == b'/').map_or(watched, |slash| slash + 1)
            }
            _ => watched,
        };
        reported.then_some((watched, !asked))
    }

    /// Forgets a node whose watch is gone.
    fn retire(&mut self, node: NodeId) {
        let wd = self.tree.wd(node);
        self.late.remove(&wd);
        self.left_out.retain(|place| place.wd != wd);
        self.refused.retain(|place| place.wd != wd);
        self.retired.push_back((wd, self.tree.path(node)));
        self.tree.remove(node);
        self.path_of = None;
    }

    /// What the kernel is asked for.
    fn kernel_mask(&self) -> Mask {
        let asked = event::kernel_bits(self.settings.events);
        if self.settings.recursive { asked | FOLLOW } else { asked }
    }

    /// [`World::find_out`].
    fn find_out(&mut self) -> bool {
        let (tree, base) = (&self.tree, &self.settings.base);
        self.world.find_out(|wd| Some(system_path(tree, base, tree.find(wd)?)))
    }

    /// A path as system calls take it.
    fn real<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        process::absolute(&self.settings.base, path)
    }
}

impl<W: World + AsFd> Source for Watcher<W> {
    fn watch(&mut self, operand: &[u8]) -> io::Result<()> {
        self.watch_operand(operand)
    }

    fn walk(&mut self) -> io::Result<bool> {
        self.walk_on()
    }

    fn establish(&mut self) {
        self.end_set_up();
    }

    fn needed(&mut self, operands: &[Vec<u8>]) -> usize {
        self.count_needed(operands)
    }

    fn watches(&self) -> usize {
        self.tree.len()
    }

    fn in_order(&self) -> Vec<i32> {
        // The reference watches a directory after all below it; a walk that takes each node before those
        // below it and siblings last to first is that order reversed.
        let mut operands: Vec<NodeId> =
            self.tree.nodes().filter(|node| self.tree.parent(*node).is_none()).collect();
        operands.sort_by_key(|node| self.tree.wd(*node));
        let nodes = operands.into_iter().flat_map(|operand| self.tree.subtree(operand).into_iter().rev());
        nodes.map(|node| self.tree.wd(node)).collect()
    }

    fn path(&self, watch: i32) -> Option<Vec<u8>> {
        Some(self.tree.path(self.tree.find(watch)?))
    }

    fn problem(&mut self) -> Option<Problem> {
        self.problems.pop_front()
    }

    fn read(&mut self) -> io::Result<usize> {
        let length = self.queue.fill(|buffer| self.world.read(buffer))?;
        self.turn_until = self.queue.events().queued();
        Ok(length)
    }

    fn has_more(&self) -> bool {
        !self.queue.events().is_empty()
    }

    fn tells_processes(&self) -> bool {
        self.world.tells_processes()
    }

    fn lose(&mut self) -> bool {
        self.world.lose()
    }

    fn begin_own(&mut self) -> usize {
        self.pull();
        self.queue.mark()
    }

    fn drop_own(&mut self, begun: usize, is_own: &dyn Fn(Mask, &[u8]) -> bool) {
        if !W::REPORTS_OWN_ACTIONS {
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
            if let Some(problem) = self.problems.pop_front() {
                return Some(Item::Problem(problem));
            }
            if std::mem::take(&mut self.recovering) {
                self.pending = Pending::default();
                self.recover();
            }
            let (taken, made_up) = if let Some(taken) = self.held.take() {
                (taken, false)
            } else {
                if let Some(node) = self.ended.take() {
                    self.retire(node);
                }
                if let Some((watch, path)) = self.retired.pop_front() {
                    (self.path, self.path_of) = (path, None);
                    return Some(Item::Retired { watch, path: &self.path });
                }
                if let Some(taken) = self.announced.take() {
                    (taken, true)
                } else if self.has_more() && self.queue.events().taken() >= self.turn_until {
                    self.retry();
                    return None;
                } else if let Some(taken) = self.queue.take() {
                    self.follow(&taken);
                    if self.announce_before(&taken) {
                        continue;
                    }
                    // What it led to, an overflow above all, is said before the event can end the program.
                    if !self.problems.is_empty() {
                        self.held = Some(taken);
                        continue;
                    }
                    (taken, false)
                } else if self.find_out() {
                    self.pull();
                    continue;
                } else if self.settle() {
                    continue;
                } else {
                    return None;
                }
            };
            if let Some((watched, ends_wait)) = self.report(&taken, made_up) {
                let Taken { wd, mut mask, cookie, .. } = taken;
                // Of events that are told as one some may not have been asked for.
                if !W::REPORTS_OWN_ACTIONS {
                    mask = event::without_unasked(self.settings.events, mask);
                }
                let cause = || if made_up { 0 } else { self.queue.events().cause(&taken) };
                let pid = self.world.tells_processes().then(cause);
                let path = &self.path;
                return Some(Item::Event(Event { watch: wd, path, watched, mask, cookie, pid, ends_wait }));
            }
        }
    }
}

impl<W: AsFd> AsFd for Watcher<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.world.as_fd()
    }
}

/// What a recursive watch has to hear of to follow its tree, whatever `-e` says.
const FOLLOW: Mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
