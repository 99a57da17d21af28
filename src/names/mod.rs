//! Follows names (`--follow-name`): what a path leads to, now or later, whatever is renamed, replaced or relinked on the way there.
//!
//! A name has a [`Way`]: the entries that were looked up, each in a watched directory. Three rules carry the tracker:
//!
//! * **The queue is the truth about entries.** An event of an entry on the way ends what the name led to, or begins it. Only what an entry
//!   leads to is looked up, and a lookup counts only if nothing that is queued concerns the entry (see [`way`]).
//! * **What the name leads to is reported, not how.** A way that changes but leads to the same inode is no news.
//! * **A file has no watch.** Its directory's watch reports its events by its name: none is lost between creation and watch, and none comes
//!   twice. A directory is watched itself.

pub mod files;
mod way;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use self::files::{Files, Kind};
use self::way::{End, ITSELF, Object, Step, Walk, Way};
use crate::backlog::Position;
use crate::event::{ARRIVALS, DEPARTURES, ENTRY, READING, is_asked};
use crate::ignore::git;
use crate::queue::{Queue, Taken};
use crate::source::{Event, Item, Problem, Settings, Source};
use crate::sys::inotify::Wd;
use crate::sys::mask::{
    IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF,
    IN_MOVED_FROM, IN_MOVED_TO, IN_Q_OVERFLOW, IN_UNMOUNT, Mask,
};

/// The kernel counts all renames. So many may come between the two of an exchange, which takes microseconds.
const AT_ONCE: u32 = 16;

/// A path that was given, and where it leads as far as the events were handled.
#[derive(Default)]
struct Name {
    given: Vec<u8>,
    steps: Vec<Step>,
    object: Option<Object>,
    /// Everything in the directory that it leads to, if that has a source of its own.
    tree: Option<Tree>,
    /// The watches that it needs.
    watches: Vec<Wd>,
    /// The last rename from one entry on the way to another.
    inner_rename: Option<u32>,
}

impl Name {
    /// The step that looks up an entry of a watched directory.
    fn step(&self, dir: Wd, name: &[u8]) -> Option<usize> {
        self.steps.iter().position(|step| step.dir == Some(dir) && step.name == name)
    }

    fn is_directory(&self) -> bool {
        self.object.is_some_and(|object| object.kind == Kind::Directory)
    }

    /// Whether the events of an entry are those of the object.
    fn is_object(&self, step: usize) -> bool {
        step + 1 == self.steps.len()
            && self.steps[step].is_last
            && !self.steps[step].is_link
            && self.object.is_some_and(|object| object.kind != Kind::Directory && object.watch.is_none())
    }

    /// The path by which events name it: with `/` at the end if it is a directory.
    fn path(&self, is_directory: bool) -> Vec<u8> {
        let slash: &[u8] = if is_directory && !self.given.ends_with(b"/") { b"/" } else { b"" };
        [&self.given, slash].concat()
    }
}

/// A directory that is watched as any other operand, with `-r` a tree.
struct Tree {
    source: Box<dyn Source>,
    /// Differs for all trees there ever were.
    number: i32,
    /// Where the events begin that were queued during the setup.
    begun: Position,
    is_set_up: bool,
}

/// What changed a way.
#[derive(Clone, Copy)]
enum Cause {
    Setup,
    /// An entry arrived at this step.
    Arrival(usize, Mask),
    /// Anything else: its permissions, what is mounted, an overflow.
    Other,
}

/// Something to return from [`Source::next`].
enum Outgoing {
    Event { watch: Wd, path: Vec<u8>, watched: usize, mask: Mask, cookie: u32 },
    Problem(Problem),
}

/// The source of the events of names.
pub struct Names<F: Files> {
    files: F,
    settings: Settings,
    names: Vec<Name>,
    /// The names that need a watch.
    users: HashMap<Wd, Vec<usize>>,
    queue: Queue,
    outbox: VecDeque<Outgoing>,
    /// Directories that cannot be watched, of which the user was told.
    reported: HashSet<Vec<u8>>,
    /// How many trees there were.
    trees: i32,
    is_set_up: bool,
    /// Up to here the events that were queued belong to this turn.
    turn_end: Position,
    is_turn_over: bool,
    /// The path of the event returned last.
    path: Vec<u8>,
}

impl<F: Files> Names<F> {
    /// A tracker of nothing so far.
    pub fn new(files: F, settings: Settings) -> Names<F> {
        Names {
            files,
            settings,
            names: Vec::new(),
            users: HashMap::new(),
            queue: Queue::default(),
            outbox: VecDeque::new(),
            reported: HashSet::new(),
            trees: 0,
            is_set_up: false,
            turn_end: Position::default(),
            is_turn_over: true,
            path: Vec::new(),
        }
    }

    /// The device and inode number of what a name leads to, as far as the events were handled: for tests.
    pub fn leads_to(&self, at: usize) -> Option<(u64, u64)> {
        self.names.get(at)?.object?.id
    }

    /// The way of a name now. Its watches are added, and kept if [`adopt`](Self::adopt) takes it.
    fn find(&mut self, at: usize) -> Way {
        let Names { files, queue, settings, .. } = self;
        Walk::find(files, queue, settings, &self.names[at].given)
    }

    // Events.

    fn handle(&mut self, taken: &Taken) {
        let Taken { wd, mask, .. } = *taken;
        if mask.has(IN_Q_OVERFLOW) {
            return self.on_overflow();
        }
        let name = self.queue.events().name(taken).to_vec();
        let Some(users) = self.users.get(&wd).cloned() else { return };
        if mask.has(IN_IGNORED) {
            self.users.remove(&wd);
        }
        for at in users {
            if name.is_empty() {
                self.on_itself(at, wd, mask);
            } else {
                self.on_entry(at, &name, taken);
            }
        }
    }

    fn on_overflow(&mut self) {
        self.outbox.push_back(Outgoing::Problem(Problem::Overflow {
            limit: Some("/proc/sys/fs/inotify/max_queued_events"),
            rescan: false,
        }));
        if is_asked(self.settings.events, IN_Q_OVERFLOW) {
            let (path, mask) = (Vec::new(), IN_Q_OVERFLOW);
            self.outbox.push_back(Outgoing::Event { watch: Wd::NONE, path, watched: 0, mask, cookie: 0 });
        }
        self.find_all();
    }

    /// Resolves each way again.
    fn find_all(&mut self) {
        for at in 0..self.names.len() {
            self.find_again(at, IN_DELETE_SELF);
        }
    }

    /// Resolves a way again. If it leads nowhere any more, this is reported.
    fn find_again(&mut self, at: usize, end: Mask) {
        let way = self.find(at);
        self.adopt(at, way, Cause::Other, end);
    }

    /// An event of a watched object itself.
    fn on_itself(&mut self, at: usize, wd: Wd, mask: Mask) {
        let name = &self.names[at];
        let is_object = name.object.is_some_and(|object| object.watch == Some(wd));
        let is_end = mask.has(IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED);
        if is_object && !is_end && name.tree.is_none() {
            self.report(at, mask, b"", 0);
        }
        if mask.has(ITSELF | IN_IGNORED | IN_UNMOUNT) {
            let is_renamed = is_object && mask.has(IN_MOVE_SELF);
            self.find_again(at, if is_renamed { IN_MOVE_SELF } else { IN_DELETE_SELF });
        }
    }

    /// An event of an entry of a watched directory.
    fn on_entry(&mut self, at: usize, entry: &[u8], taken: &Taken) {
        let Taken { wd, mask, cookie, .. } = *taken;
        let name = &self.names[at];
        let is_content = name.is_directory() && name.object.is_some_and(|object| object.watch == Some(wd));
        if is_content && name.tree.is_none() {
            self.report(at, mask, entry, cookie);
        }
        let Some(step) = self.names[at].step(wd, entry) else { return };
        if mask.has(DEPARTURES) {
            self.on_departure(at, step, taken);
        } else if mask.has(ARRIVALS) {
            self.on_arrival(at, step, mask, cookie);
        } else if self.names[at].is_object(step) {
            self.report(at, mask, b"", 0);
        } else if mask.has(IN_ATTRIB) && (mask.has(IN_ISDIR) || self.names[at].object.is_none()) {
            self.find_again(at, IN_DELETE_SELF);
        }
    }

    /// An entry on the way has left: the name leads nowhere, unless another has come in the same moment.
    fn on_departure(&mut self, at: usize, step: usize, taken: &Taken) {
        let way = self.find(at);
        if taken.mask.has(IN_MOVED_FROM) {
            if way.has_found(step) {
                // `exchange y x` → MOVED_FROM y, MOVED_TO x, MOVED_FROM x, MOVED_TO y: the other one has come before this one leaves.
                return self.adopt(at, way, Cause::Other, IN_DELETE_SELF);
            }
            if self.is_exchange(at, step, taken, &way) || self.is_inner_rename(at, taken) {
                return self.sweep(&way.watches());
            }
        }
        self.sweep(&way.watches());
        let name = &mut self.names[at];
        let is_object = step + 1 == name.steps.len() && name.steps[step].is_last && !name.steps[step].is_link;
        let is_renamed = is_object && taken.mask.has(IN_MOVED_FROM);
        name.steps.truncate(step + 1);
        name.steps[step].is_link = false;
        self.lose(at, if is_renamed { IN_MOVE_SELF } else { IN_DELETE_SELF });
        self.hold(at);
    }

    /// Whether an entry leaves by an exchange, so that another is in its place at once.
    ///
    /// `exchange x y` → MOVED_FROM x (1), MOVED_TO y (1), MOVED_FROM y (2), MOVED_TO x (2). `rename x y; rename y x` is the same to the
    /// kernel, but in between nothing is there, and afterwards the same inode. If `y` is where nothing is watched, only the cookies show it: they are close to
    /// each other.
    fn is_exchange(&self, at: usize, step: usize, taken: &Taken, way: &Way) -> bool {
        let Step { dir: Some(dir), name, .. } = &self.names[at].steps[step] else { return false };
        let ahead = self.queue.ahead().filter(|event| event.mask.has(ENTRY));
        let is_here = |wd: Wd, found: &[u8]| wd == *dir && found == &name[..];
        let Some(next) = ahead.clone().find(|event| is_here(event.wd, event.name)) else { return false };
        if !next.mask.has(IN_MOVED_TO) {
            return false;
        }
        let other = ahead.clone().find(|event| event.mask.has(IN_MOVED_TO) && event.cookie == taken.cookie);
        let origin = ahead.clone().find(|event| event.mask.has(IN_MOVED_FROM) && event.cookie == next.cookie);
        let is_swapped = match (other, origin) {
            (Some(other), Some(origin)) => (other.wd, other.name) == (origin.wd, origin.name),
            (None, None) => next.cookie.wrapping_sub(taken.cookie) <= AT_ONCE,
            _ => false,
        };
        let is_back = match way.end {
            End::Doubt(found) if way.steps.len() == step + 1 => found
                .is_none_or(|found| self.names[at].object.is_some_and(|object| object.id == Some(found.id))),
            _ => false,
        };
        is_swapped && !is_back
    }

    /// Whether an entry on the way is renamed to another place on the way: where the name leads is to be seen then.
    ///
    /// `symlink g f; rename g f` → MOVED_FROM g, MOVED_TO f: `f` has led to the same inode all the time.
    fn is_inner_rename(&mut self, at: usize, taken: &Taken) -> bool {
        let mut ahead = self.queue.ahead();
        let Some(to) = ahead.find(|event| event.mask.has(IN_MOVED_TO) && event.cookie == taken.cookie) else {
            return false;
        };
        let name = &mut self.names[at];
        let is_inner = name.step(to.wd, to.name).is_some();
        if is_inner {
            name.inner_rename = Some(taken.cookie);
        }
        is_inner
    }

    /// An entry on the way has come, perhaps in the place of another.
    fn on_arrival(&mut self, at: usize, step: usize, mask: Mask, cookie: u32) {
        let way = self.find(at);
        if !way.is_in_doubt(step + 1) {
            return self.adopt(at, way, Cause::Arrival(step, mask), IN_DELETE_SELF);
        }
        self.sweep(&way.watches());
        if self.is_swapped_in(at, step, &way) {
            return;
        }
        // It has left already, or its directory has. What it was nobody can say if it may have been a link.
        let name = &mut self.names[at];
        let is_inner = mask.has(IN_MOVED_TO) && name.inner_rename == Some(cookie);
        if !name.steps[step].is_last || name.steps[step].is_link || is_inner {
            return;
        }
        name.steps.truncate(step + 1);
        let kind = if mask.has(IN_ISDIR) { Kind::Directory } else { Kind::File };
        let object = Object { kind, id: None, is_linked: false, watch: None };
        self.lead_to(at, object, mask.has(IN_MOVED_TO), false);
        self.hold(at);
    }

    /// Whether an entry came by an exchange whose other half is still queued: if one event says that it leaves, and yet it is there, that
    /// event is about the other one.
    fn is_swapped_in(&self, at: usize, step: usize, way: &Way) -> bool {
        let Step { dir, name, .. } = &self.names[at].steps[step];
        let ahead = self.queue.ahead();
        let mut ahead =
            ahead.filter(|event| Some(event.wd) == *dir && event.name == &name[..] && event.mask.has(ENTRY));
        let is_leaving = ahead.next().is_some_and(|event| event.mask.has(IN_MOVED_FROM));
        is_leaving
            && ahead.next().is_none()
            && way.steps.len() == step + 1
            && matches!(way.end, End::Doubt(Some(_)))
    }

    // What a name leads to.

    /// Takes a way that was found. If it leads nowhere any more, `end` is reported.
    fn adopt(&mut self, at: usize, way: Way, cause: Cause, end: Mask) {
        for (path, error) in way.unwatchable {
            if self.reported.insert(path.clone()) {
                self.outbox.push_back(Outgoing::Problem(Problem::Directory { path, error, new: false }));
            }
        }
        self.names[at].steps = way.steps;
        match way.end {
            End::Object(object) => self.meet(at, object, cause),
            End::Nowhere(cause) if !is_absence(&cause) => {
                let path = self.names[at].given.clone();
                self.outbox.push_back(Outgoing::Problem(Problem::Blocked { path, cause }));
            }
            End::Nowhere(error) => {
                self.lose(at, end);
                if matches!(cause, Cause::Setup) {
                    let path = self.names[at].given.clone();
                    self.outbox.push_back(Outgoing::Problem(Problem::Absent { path, error }));
                }
            }
            End::Blocked { path, cause } => {
                self.lose(at, end);
                self.outbox.push_back(Outgoing::Problem(Problem::Blocked { path, cause }));
            }
            // The queued event will show what it leads to.
            End::Doubt(_) => {}
        }
        self.hold(at);
    }

    /// The name leads to an object, perhaps the same as before.
    fn meet(&mut self, at: usize, object: Object, cause: Cause) {
        let name = &mut self.names[at];
        if let Some(known) = &mut name.object {
            if known.id == object.id {
                *known = object;
                return;
            }
        }
        let (is_complete, is_new) = match cause {
            Cause::Arrival(step, mask) if mask.has(IN_CREATE) => {
                let is_itself = step + 1 == name.steps.len() && name.steps[step].is_last;
                let is_below = mask.has(IN_ISDIR) && !name.steps[step..].iter().any(|step| step.is_link);
                (!is_itself || name.steps[step].is_link || object.is_linked, is_below)
            }
            _ => (true, false),
        };
        if matches!(cause, Cause::Setup) {
            name.object = Some(object);
        } else {
            self.lead_to(at, object, is_complete, is_new);
        }
    }

    /// The name leads to another object, which is reported. With `is_complete` nobody is about to write to it; with `is_new` everything in
    /// it is as new as it is.
    fn lead_to(&mut self, at: usize, object: Object, is_complete: bool, is_new: bool) {
        let name = &mut self.names[at];
        (name.object, name.tree) = (Some(object), None);
        let is_directory = object.kind == Kind::Directory;
        self.report(at, if is_directory { IN_CREATE | IN_ISDIR } else { IN_CREATE }, b"", 0);
        if is_complete && object.kind == Kind::File {
            self.report(at, IN_CLOSE_WRITE, b"", 0);
        }
        if is_directory && way::has_own_source(&self.settings) && object.id.is_some() {
            if let Err(error) = self.watch_tree(at, is_new) {
                let path = self.names[at].path(true);
                self.outbox.push_back(Outgoing::Problem(Problem::Directory { path, error, new: true }));
            }
        }
    }

    /// The name leads nowhere. If it led to something, this is reported.
    fn lose(&mut self, at: usize, end: Mask) {
        if self.names[at].object.is_some() {
            self.report(at, end, b"", 0);
        }
        let name = &mut self.names[at];
        (name.object, name.tree) = (None, None);
    }

    /// Reports an event of an entry of the directory that a name leads to, or of the object itself.
    fn report(&mut self, at: usize, mask: Mask, entry: &[u8], cookie: u32) {
        let name = &self.names[at];
        if !is_asked(self.settings.events, mask) {
            return;
        }
        let mut path = name.path(name.is_directory());
        let watched = path.len();
        path.extend_from_slice(entry);
        let (filter, is_directory) = (&self.settings.filter, mask.has(IN_ISDIR));
        if filter.reports(&path, is_directory) && !filter.ignores_entry(&path, watched, is_directory) {
            let watch = name.object.and_then(|object| object.watch).unwrap_or(Wd::NONE);
            let mask = mask & (IN_ALL_EVENTS | IN_ISDIR | IN_UNMOUNT);
            self.outbox.push_back(Outgoing::Event { watch, path, watched, mask, cookie });
        }
    }

    // Watches.

    /// Makes the watches of a name those that it needs now.
    fn hold(&mut self, at: usize) {
        let name = &mut self.names[at];
        let needed = way::watches(&name.steps, name.object.and_then(|object| object.watch));
        let before = std::mem::replace(&mut name.watches, needed.clone());
        for wd in &needed {
            let users = self.users.entry(*wd).or_default();
            if !users.contains(&at) {
                users.push(at);
            }
        }
        for wd in before.iter().filter(|wd| !needed.contains(wd)) {
            if let Some(users) = self.users.get_mut(wd) {
                users.retain(|user| *user != at);
            }
        }
        self.sweep(&before);
    }

    /// Removes those watches of some that no name needs.
    fn sweep(&mut self, watches: &[Wd]) {
        for wd in watches {
            if self.users.get(wd).is_none_or(Vec::is_empty) {
                self.users.remove(wd);
                self.files.unwatch(*wd);
            }
        }
    }

    // Trees.

    /// Watches the directory that a name leads to. With `is_new` and `-r` everything in it is reported.
    fn watch_tree(&mut self, at: usize, is_new: bool) -> io::Result<()> {
        // With the slash it is the directory, also if the name is that of a link.
        let path = self.names[at].path(true);
        let mut source = self.files.tree(Settings { by_name: false, ..self.settings.clone() })?;
        let begun = source.begin_own();
        if is_new {
            source.establish();
            source.watch_new(&path)?;
        } else {
            source.watch(&path)?;
            if self.is_set_up {
                while source.walk()? {}
                source.establish();
            }
        }
        self.trees = self.trees.wrapping_add(1);
        let (number, is_set_up) = (self.trees, self.is_set_up);
        self.names[at].tree = Some(Tree { source, number, begun, is_set_up });
        Ok(())
    }

    fn sources(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.names.iter_mut().filter_map(|name| name.tree.as_mut())
    }

    /// Takes what a tree has to report next; `false` if none has anything.
    fn take_from_trees(&mut self) -> bool {
        for name in &mut self.names {
            let root = name.path(true);
            let Some(tree) = &mut name.tree else { continue };
            // The events of a watch have the number of the tree in them: watches of two trees may be alike.
            let distinct = |watch: Wd| Wd(watch.0 ^ tree.number.wrapping_shl(24));
            while let Some(item) = tree.source.next() {
                let outgoing = match item {
                    Item::Problem(problem) => Outgoing::Problem(problem),
                    Item::Retired { .. } => continue,
                    Item::Event(event) => {
                        let is_own_end = event.path == &root[..] && event.mask.has(ITSELF & !IN_ATTRIB);
                        if event.ends_wait || is_own_end || event.mask.has(IN_IGNORED) {
                            continue;
                        }
                        let Event { watch, path, watched, mask, cookie, .. } = event;
                        Outgoing::Event { watch: distinct(watch), path: path.into(), watched, mask, cookie }
                    }
                };
                self.outbox.push_back(outgoing);
                return true;
            }
        }
        false
    }

    /// The next event of this turn.
    fn take(&mut self) -> Option<Taken> {
        if self.queue.start() >= self.turn_end { None } else { self.queue.take() }
    }
}

impl<F: Files + AsFd> Source for Names<F> {
    fn watch(&mut self, operand: &[u8]) -> io::Result<()> {
        self.names.push(Name { given: operand.to_vec(), ..Name::default() });
        let at = self.names.len() - 1;
        let way = self.find(at);
        match way.end {
            End::Blocked { cause, .. } if cause.kind() == io::ErrorKind::StorageFull => return Err(cause),
            End::Nowhere(error) if !is_absence(&error) => return Err(error),
            _ => self.adopt(at, way, Cause::Setup, Mask::NONE),
        }
        if self.names[at].is_directory() && way::has_own_source(&self.settings) {
            self.watch_tree(at, false)?;
        }
        Ok(())
    }

    fn walk(&mut self) -> io::Result<bool> {
        for tree in self.sources().filter(|tree| !tree.is_set_up) {
            if tree.source.walk()? {
                return Ok(true);
            }
            tree.is_set_up = true;
        }
        Ok(false)
    }

    fn establish(&mut self) {
        self.is_set_up = true;
        let reads_git = self.settings.filter.reads_git();
        for tree in self.sources() {
            // Other trees in it were read.
            let is_reading = |mask: Mask, path: &[u8]| {
                let is_read = mask.has(IN_ISDIR) || reads_git && git::is_file(path);
                is_read && mask.has(READING)
            };
            tree.source.drop_own(tree.begun, &is_reading);
            tree.source.establish();
        }
    }

    fn needed(&mut self, operands: &[Vec<u8>]) -> usize {
        let trees: usize = self.sources().map(|tree| tree.source.needed(operands)).sum();
        self.users.len() + trees.max(1)
    }

    fn watches(&self) -> usize {
        let trees = self.names.iter().filter_map(|name| name.tree.as_ref());
        self.users.len() + trees.map(|tree| tree.source.watches()).sum::<usize>()
    }

    fn in_order(&self) -> Vec<Wd> {
        let mut watches: Vec<Wd> = self.users.keys().copied().collect();
        watches.sort_unstable();
        watches
    }

    fn path(&self, watch: Wd) -> Option<Vec<u8>> {
        let is_it = |name: &&Name| name.object.is_some_and(|object| object.watch == Some(watch));
        self.names.iter().find(is_it).map(|name| name.path(name.is_directory()))
    }

    fn problem(&mut self) -> Option<Problem> {
        if let Some(at) = self.outbox.iter().position(|out| matches!(out, Outgoing::Problem(_))) {
            if let Some(Outgoing::Problem(problem)) = self.outbox.remove(at) {
                return Some(problem);
            }
        }
        self.sources().find_map(|tree| tree.source.problem())
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut length = self.queue.fill(|buffer| self.files.read(buffer))?;
        (self.turn_end, self.is_turn_over) = (self.queue.end(), false);
        // Later than the ways: the events of a tree are reported before those that end it.
        for tree in self.sources() {
            length += tree.source.read()?;
        }
        Ok(length)
    }

    fn has_more(&self) -> bool {
        let mut trees = self.names.iter().filter_map(|name| name.tree.as_ref());
        !self.queue.events().is_empty() || trees.any(|tree| tree.source.has_more())
    }

    fn rest(&mut self) {
        self.sources().for_each(|tree| tree.source.rest());
    }

    fn next(&mut self) -> Option<Item<'_>> {
        loop {
            match self.outbox.pop_front() {
                Some(Outgoing::Problem(problem)) => return Some(Item::Problem(problem)),
                Some(Outgoing::Event { watch, path, watched, mask, cookie }) => {
                    self.path = path;
                    let (path, pid) = (&self.path[..], None);
                    return Some(Item::Event(Event {
                        watch,
                        path,
                        watched,
                        mask,
                        cookie,
                        pid,
                        ends_wait: false,
                        ends_operand: false,
                    }));
                }
                None => {}
            }
            if self.take_from_trees() {
                continue;
            }
            if let Some(taken) = self.take() {
                self.handle(&taken);
            } else if std::mem::replace(&mut self.is_turn_over, true) {
                return None;
            } else if self.files.mounts_have_changed() {
                self.find_all();
            }
        }
    }

    fn begin_own(&mut self) -> Position {
        // An error shows again, and is handled, at the next ordinary read.
        let _ = self.queue.fill(|buffer| self.files.read(buffer));
        self.queue.end()
    }

    fn drop_own(&mut self, begun: Position, is_own: &dyn Fn(Mask, &[u8]) -> bool) {
        let _ = self.queue.fill(|buffer| self.files.read(buffer));
        let (names, users) = (&self.names, &self.users);
        self.queue.drop_since(begun, |event| {
            let users = users.get(&event.wd).into_iter().flatten().map(|at| &names[*at]);
            let is_on_way = users.clone().any(|name| name.step(event.wd, event.name).is_some());
            let is_change = is_on_way && event.mask.has(ENTRY);
            let mut paths = users.map(|name| match is_on_way {
                true => name.path(false),
                false => [&name.path(true), event.name].concat(),
            });
            !is_change && paths.any(|path| is_own(event.mask, &path))
        });
    }
}

/// Whether an error means that nothing is there, as far as this process can see, which may change.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP | libc::EACCES | libc::ENOTDIR))
}

impl<F: Files + AsFd> AsFd for Names<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.files.as_fd()
    }
}
