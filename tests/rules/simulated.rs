//! A simulated operating system for the watcher: a small file system, and inotify(7) over it.
//!
//! It has what the rules of the watcher depend on: inodes, directories, watches by inode, the events of each operation in the
//! kernel's order, cookies, the merging of equal neighbours, a bounded queue with its overflow, and the events of the watcher's
//! own reading. tests/rules/kernel.rs holds it to the real kernel.
//!
//! Before each call of the watcher it asks its [`Schedule`] whether another process does something first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use inotify_tools::internals::directory::{Contents, Kind};
use inotify_tools::internals::inotify::{RawEvent, Wd};
use inotify_tools::internals::mask::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED,
    IN_ISDIR, IN_MASK_ADD, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONLYDIR, IN_OPEN,
    IN_Q_OVERFLOW, Mask,
};
use inotify_tools::internals::times::{Moment, Times};
use inotify_tools::internals::{At, READING, World};

use crate::operations::Operation;
use crate::search::{Random, Step, Visited, is_too_deep, way_to};

/// The operand: the watched tree's own directory.
pub const OPERAND: &str = "d";

type Ino = usize;

/// The directory that holds the operand.
const TOP: Ino = 0;
/// A directory that no path leads to: what is moved out of the tree is there.
pub const OUTSIDE: Ino = 1;

#[derive(Debug, Clone, Default, Hash)]
struct Inode {
    is_directory: bool,
    /// A directory that the watcher may not read.
    is_forbidden: bool,
    entries: BTreeMap<String, Ino>,
    /// Of a directory: where it is, or was last.
    parent: Ino,
    name: String,
    links: usize,
    /// How many descriptors are open on it.
    open: usize,
    watch: Option<Wd>,
    /// It has come to a path at which something was before.
    is_replacing: bool,
    /// Of a file that was created in the tree since the watches were established, where the watcher may look, and has no link: all its
    /// names so far.
    names: Option<BTreeSet<String>>,
}

/// The dates of an inode, and whether something was written to it.
#[derive(Debug, Clone, Copy, Default, Hash)]
struct Dates {
    born: Moment,
    modified: Moment,
    changed: Moment,
    is_written: bool,
}

/// What happened to the object at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Before the watches were established, or the directory was watched.
    Early,
    Made,
    Written,
    /// A directory, and it was watched.
    Removed,
}

/// An event of the kernel's queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queued {
    /// The watch descriptor.
    pub wd: Wd,
    /// What happened.
    pub mask: Mask,
    /// The number that both events of a rename share.
    pub cookie: u32,
    /// The entry, empty for the watched object itself.
    pub name: String,
    /// `%w%f` as it was at the moment of the event.
    pub path: String,
    /// The watches of all directories above at that moment: their events say what the path is. None if one had no watch.
    pub tracked_by: Option<BTreeSet<Wd>>,
    /// The queue was full.
    pub is_dropped: bool,
}

/// An event of an operation whose effect can be seen already.
#[derive(Debug, Clone, Hash)]
enum Coming {
    /// Of the watch that the inode has when the event is queued: only then the kernel looks for watches.
    Of { ino: Ino, name: String, mask: Mask, cookie: u32 },
    /// Of a watch that the operation ends.
    Is(Queued),
}

/// The state of the simulated system.
#[derive(Default)]
pub struct System {
    inodes: Vec<Inode>,
    /// By inode.
    dates: Vec<Dates>,
    /// How many operations there were.
    pub operations: usize,
    /// What happened since the watcher started, and where.
    pub deeds: Vec<(Deed, String)>,
    /// By inode, if the queue may overflow: all paths that it has had.
    had: Vec<BTreeSet<String>>,
    /// The watcher has said that the queue has overflowed.
    is_overflow_told: bool,
    /// Those that had no watch then, or were renamed in the setup: nobody knows them again.
    unknown: BTreeSet<Ino>,
    /// Directories that were renamed in the setup, and had no watch when the watches were established.
    missed: BTreeSet<Ino>,
    /// Every path from which or to which something was moved.
    pub moved: BTreeSet<String>,
    watches: BTreeMap<Wd, (Ino, Mask)>,
    /// What was asked for of directories that were watched already, in the place of what their watches asked for.
    pub replaced: Vec<Mask>,
    newest_wd: i32,
    queue: VecDeque<Queued>,
    /// The most events that the queue holds.
    pub queue_limit: usize,
    /// Whether it may overflow by what happens elsewhere.
    pub has_floods: bool,
    /// It has overflowed and was not read since: whatever happens is dropped.
    is_full: bool,
    /// How many more files the watcher can open.
    pub room: usize,
    /// The most watches that it may have.
    pub most_watches: usize,
    /// A directory without a watch was reported, because there are no more.
    pub is_limit_reported: bool,
    /// The name of directories that it may not read.
    pub forbidden: Option<&'static str>,
    /// The paths of such directories that were reported.
    pub reported_forbidden: BTreeSet<String>,
    /// How long it has waited, while nothing happened; and how many operations there were when it waited last.
    waited: Duration,
    waited_after: usize,
    cookie: u32,
    /// Events of an operation that can be seen already but whose events are not queued yet, and the directories that it
    /// holds locked.
    unqueued: Vec<Coming>,
    locked: Vec<Ino>,
    /// After how many calls of the watcher they are queued.
    late_for: usize,
    /// The most that may be.
    pub lateness: usize,
    /// Watches that the watcher has removed from directories in the tree, or before it could know what they are on: they count as not
    /// watched until then.
    pub given_up: BTreeSet<Wd>,
    /// The watches of which something was reported.
    pub reported: BTreeSet<Wd>,
    /// Watches of directories that had come to a path at which something was before, were exchanged, or replaced by a rename.
    replacing: BTreeSet<Wd>,
    /// Everything that was ever queued or dropped, for the checks.
    pub history: Vec<Queued>,
    /// Every path that ever was.
    pub paths: BTreeSet<String>,
    /// Those of what was in directories that were renamed since.
    moved_paths: BTreeSet<String>,
    /// The first cookies of exchanges.
    exchanges: BTreeSet<u32>,
    /// The cookies of renames over an entry.
    replacements: BTreeSet<u32>,
    /// What was in the tree when the watches were established, and the number of the call then.
    pub before: Vec<(String, bool)>,
    pub established: usize,
    /// All that were in it or were watched, and those that were watched.
    inside_before: BTreeSet<Ino>,
    known_before: BTreeSet<Ino>,
    /// The directories that were watched then.
    pub watched_before: BTreeSet<String>,
    /// Two renames were merged: the kernel compares names, and not cookies.
    pub merged_renames: bool,
    /// Some event was dropped.
    pub overflowed: bool,
    /// Whether the status of a directory tells whether something is in it.
    pub tells_contents: bool,
    /// Whether it does not matter if something happens before certain calls or after them: nothing is queued late, and no clock is
    /// looked at.
    pub has_inert_calls: bool,
    /// The call that is about to be made is such a one.
    is_inert: bool,
    /// The watcher's working directory.
    inside: Ino,
    /// The calls of the watcher.
    pub calls: usize,
    /// The inodes of the directories that the watcher has open, by when they were opened.
    opened: BTreeMap<usize, Ino>,
    /// What the watcher has seen so far: with the state this decides what comes next.
    seen: Mixed,
    /// Of what happened, what the checks look at besides.
    remembered: Mixed,
    /// Of all [`paths`](Self::paths), in whatever order they came.
    paths_mixed: u64,
    /// Something was done before the watches were established.
    pub began_early: bool,
    /// A directory was moved to where it is watched, from where it was not.
    pub moved_in: bool,
    /// The ticks of the clock take even longer.
    pub has_slow_clock: bool,
    /// So far below the operand, directories are not watched.
    pub max_depth: usize,
    /// A story of it all, if one is wanted.
    pub story: Option<Vec<String>>,
    pub schedule: Schedule,
}

/// What another process does, and when.
#[derive(Default)]
pub struct Schedule {
    /// The operations that are done, each before the call of that number, and whether its events are queued only after it.
    pub plan: VecDeque<Step>,
    /// How many more may be done.
    pub left: usize,
    /// The points from which on other plans are to be tried: the number of the call, and what could be done before it.
    pub branches: Vec<(usize, Vec<Operation>)>,
    /// States that were met before, in this run or another.
    pub visited: Option<Arc<Visited>>,
    /// The state that this run met last.
    pub newest: Option<u64>,
    /// Instead of a plan: what is done is chance, and how many operations are left.
    pub random: Option<(Random, usize)>,
    /// One of so many times something is done then.
    pub pace: usize,
    /// What was done so by chance.
    pub done: Vec<Step>,
}

/// How a run ends that has come to a state that was met before: whatever follows is tried by the run that met it first.
pub struct MetBefore;

/// Mixes what is written to it into 64 bits; much faster for short values than the hasher of the standard library.
#[derive(Clone, Default)]
pub struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }
    fn write_u64(&mut self, value: u64) {
        let mixed =
            u128::from(self.0.rotate_left(23) ^ value ^ 0x9E37_79B9_7F4A_7C15) * 0xE703_7ED1_A0B4_28DB;
        self.0 = (mixed >> 64) as u64 ^ mixed as u64;
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

fn mixed<T: Hash + ?Sized>(what: &T) -> u64 {
    let mut hasher = Mixed::default();
    what.hash(&mut hasher);
    hasher.finish()
}

impl System {
    /// A system with an empty operand, and a queue of that many events.
    pub fn new(queue_limit: usize) -> System {
        let (most_watches, max_depth) = (usize::MAX, usize::MAX);
        let mut system = System { queue_limit, most_watches, max_depth, ..System::default() };
        for _ in [TOP, OUTSIDE] {
            system.inodes.push(Inode { is_directory: true, open: 1, ..Inode::default() });
            system.dates.push(Dates::default());
        }
        system.make(TOP, OPERAND, true);
        system
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    fn make(&mut self, parent: Ino, name: &str, is_directory: bool) -> Ino {
        let is_forbidden = is_directory && self.forbidden == Some(name);
        self.inodes.push(Inode { is_directory, is_forbidden, ..Inode::default() });
        let ino = self.inodes.len() - 1;
        let now = self.now();
        self.dates.push(Dates { born: now, modified: now, changed: now, is_written: false });
        self.put(parent, name, ino);
        ino
    }

    /// The time, by a clock that is slower than what happens: of its ticks two are short, and each third is long.
    fn now(&self) -> Moment {
        let all = if self.has_slow_clock { 40 } else { 16 };
        let happened = self.calls + self.operations;
        let tick = happened / all * 3 + (happened % all).min(2);
        Moment { seconds: 1_000_000, nanoseconds: 1 + tick as u32 }
    }

    /// Whether the queue may overflow.
    pub fn overflows(&self) -> bool {
        self.queue_limit < 100 || self.has_floods
    }

    /// What is there from the beginning is no deed.
    fn note(&mut self, deed: Deed, path: &str) {
        if self.began_early || self.calls > 0 {
            let deed = if self.established > 0 { deed } else { Deed::Early };
            self.deeds.push((deed, path.into()));
        }
    }

    /// The entries of a directory change, or the names of an inode.
    fn date_entry(&mut self, parent: Ino, ino: Ino) {
        let now = self.now();
        (self.dates[parent].modified, self.dates[parent].changed) = (now, now);
        self.dates[ino].changed = now;
    }

    fn put(&mut self, parent: Ino, name: &str, ino: Ino) {
        self.date_entry(parent, ino);
        self.inodes[parent].entries.insert(name.into(), ino);
        let old =
            self.path(ino).filter(|_| !self.inodes[ino].name.is_empty() && self.inodes[ino].is_directory);
        let inode = &mut self.inodes[ino];
        (inode.parent, inode.name) = (parent, name.into());
        inode.links += 1;
        if let Some(names) = &mut inode.names {
            names.insert(name.into());
        }
        self.note_paths(ino, parent, name);
        if let (Some(old), Some(new)) = (old, self.path(ino)) {
            self.note_moved(&old, &new);
        }
    }

    /// What was in a directory was also at its other paths.
    fn note_moved(&mut self, old: &str, new: &str) {
        let is_in = |path: &&String| path.strip_prefix(old).is_some_and(|below| below.starts_with('/'));
        let inside = self.paths.iter().chain(&self.moved_paths).filter(is_in);
        let inside: Vec<String> = inside.map(|path| format!("{new}{}", &path[old.len()..])).collect();
        for path in inside {
            let known = mixed(&(&path, "moved"));
            if self.moved_paths.insert(path) {
                self.paths_mixed ^= known;
            }
        }
    }

    fn note_paths(&mut self, ino: Ino, parent: Ino, name: &str) {
        if let Some(above) = self.path(parent) {
            let path = format!("{above}/{name}");
            for (below, _) in self.tree_of(ino) {
                self.note_path(format!("{path}{below}"));
            }
            if self.overflows() {
                self.note_had(ino, &path);
            }
            let was_moved = self.moved_paths.contains(&path);
            self.inodes[ino].is_replacing |= !self.note_path(path) || was_moved;
        }
    }

    fn note_had(&mut self, ino: Ino, path: &str) {
        self.had.resize_with(self.inodes.len(), BTreeSet::new);
        self.had[ino].insert(path.into());
        for (name, below) in self.inodes[ino].entries.clone() {
            self.note_had(below, &format!("{path}/{name}"));
        }
    }

    /// The watcher says that the queue has overflowed.
    pub fn note_overflow(&mut self) {
        self.is_overflow_told = true;
        let has_no_watch = |ino: &Ino| self.inodes[*ino].watch.is_none();
        self.unknown.extend((0..self.inodes.len()).filter(has_no_watch));
    }

    /// Whether all directories that have had this path are in the tree, and could be known again; or that have had this name in a directory
    /// that has had the path above, for that may have been renamed since.
    pub fn is_nothing_gone(&self, path: &str) -> bool {
        let Some((above, name)) = path.rsplit_once('/') else { return false };
        let of_above = self.had.iter().filter(|had| had.contains(above));
        let paths: BTreeSet<String> = of_above.flatten().map(|above| format!("{above}/{name}")).collect();
        let has_had = |ino: &Ino| self.inodes[*ino].is_directory && !self.had[*ino].is_disjoint(&paths);
        let mut known = (0..self.had.len()).filter(has_had).peekable();
        known.peek().is_some() && known.all(|ino| self.is_inside(ino) && !self.unknown.contains(&ino))
    }

    /// Whether nothing was there before.
    fn note_path(&mut self, path: String) -> bool {
        let known = mixed(&path);
        let is_new = self.paths.insert(path);
        if is_new {
            self.paths_mixed ^= known;
        }
        is_new
    }

    fn take(&mut self, parent: Ino, name: &str) -> Ino {
        let ino = self.inodes[parent].entries.remove(name).unwrap();
        self.date_entry(parent, ino);
        self.inodes[ino].links -= 1;
        ino
    }

    /// The path of a directory; none where it is not below [`TOP`] and never was.
    pub fn path(&self, ino: Ino) -> Option<String> {
        if ino == TOP || ino == OUTSIDE {
            return None;
        }
        let Inode { parent, name, .. } = &self.inodes[ino];
        match *parent {
            TOP => Some(name.clone()),
            OUTSIDE => Some(format!("outside/{name}")),
            above => Some(format!("{}/{name}", self.path(above)?)),
        }
    }

    /// The paths below the operand, and whether they are directories.
    pub fn tree(&self) -> Vec<(String, bool)> {
        let tree = self.find(OPERAND).map(|ino| self.tree_of(ino)).unwrap_or_default();
        tree.into_iter().map(|(path, is)| (format!("{OPERAND}{path}"), is)).collect()
    }

    /// All names so far of the file at a path, if it was created in the tree since the watches were established.
    pub fn names_of(&self, path: &str) -> Option<&BTreeSet<String>> {
        self.inodes[self.find(path)?].names.as_ref()
    }

    /// All paths so far of the directory at a path, if it has come since the watches were established; and if one was
    /// moved in, then to where all was known.
    pub fn paths_of_new(&self, path: &str) -> Option<&BTreeSet<String>> {
        let ino =
            self.find(path).filter(|ino| self.is_directory(*ino) && !self.inside_before.contains(ino))?;
        let above = self.inodes[ino].parent;
        let is_plain = self.had.get(above).is_some_and(|had| {
            had.iter().flat_map(|path| way_to(path)).all(|path| !self.moved.contains(path))
        });
        let is_known = is_plain && self.known_before.contains(&above) && !self.unknown.contains(&above);
        self.had.get(ino).filter(|_| is_known || !self.moved_in)
    }

    /// The old and the new place of a directory that was renamed, if nothing else was, and all were watched from the start.
    pub fn only_rename(&self) -> Option<(&String, String)> {
        if self.cookie != 1 || self.moved.len() != 2 || self.began_early {
            return None;
        }
        let is_it = |ino: &&Ino| self.is_directory(**ino) && self.had.get(**ino) == Some(&self.moved);
        let mut known = self.known_before.difference(&self.unknown);
        let ino = known.clone().find(is_it)?;
        known.find(|above| **above == self.inodes[*ino].parent)?;
        let to = self.path(*ino).filter(|to| self.moved.contains(to) && self.is_inside(*ino))?;
        let from = self.moved.iter().find(|from| **from != to)?;
        Some((from, to))
    }

    /// Whether a directory is in the watched tree.
    fn is_inside(&self, ino: Ino) -> bool {
        let mut at = ino;
        loop {
            let inode = &self.inodes[at];
            match at {
                TOP => return true,
                OUTSIDE => return false,
                _ if self.inodes[inode.parent].entries.get(&inode.name) != Some(&at) => return false,
                _ => at = inode.parent,
            }
        }
    }

    /// The inode at a path, relative to [`TOP`].
    pub fn find(&self, path: &str) -> Option<Ino> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(TOP, |at, name| self.inodes[at].entries.get(name).copied())
    }

    pub fn is_directory(&self, ino: Ino) -> bool {
        self.inodes[ino].is_directory
    }

    pub fn entries(&self, ino: Ino) -> &BTreeMap<String, Ino> {
        &self.inodes[ino].entries
    }

    /// Everything below a directory: `/` and the path from there, and whether it is a directory.
    pub fn tree_of(&self, ino: Ino) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        for (name, &below) in &self.inodes[ino].entries {
            found.push((format!("/{name}"), self.inodes[below].is_directory));
            found.extend(self.tree_of(below).into_iter().map(|(path, is)| (format!("/{name}{path}"), is)));
        }
        found
    }

    /// The watched inodes, by watch descriptor, with their paths if they are in the tree.
    pub fn watched(&self) -> BTreeMap<Wd, Option<String>> {
        let path = |ino: Ino| self.is_inside(ino).then(|| self.path(ino)).flatten();
        self.watches.iter().map(|(wd, (ino, _))| (*wd, path(*ino))).collect()
    }

    /// A watch that does not ask for all these events.
    pub fn watch_lacking(&self, events: Mask) -> Option<Wd> {
        self.watches.iter().find(|(_, (_, mask))| !mask.has_all(events)).map(|(wd, _)| *wd)
    }

    /// Whether `--max-depth` leaves a directory without a watch.
    fn is_left_out(&self, ino: Ino) -> bool {
        self.path(ino).is_some_and(|path| is_too_deep(&path, self.max_depth))
    }

    /// The first directory on the way to one, or that itself, which the watcher may not read.
    pub fn forbidden_above<'a>(&self, path: &'a str) -> Option<&'a str> {
        way_to(path).find(|path| self.find(path).is_some_and(|ino| self.inodes[ino].is_forbidden))
    }

    /// The path of every directory in the tree, once for each.
    pub fn directories(&self) -> BTreeSet<String> {
        let Some(operand) = self.find(OPERAND) else { return BTreeSet::new() };
        let below = self.tree_of(operand).into_iter().filter(|(_, is)| *is);
        below.map(|(path, _)| format!("{OPERAND}{path}")).chain([OPERAND.into()]).collect()
    }

    /// Whether any watch asks for the events of the watcher's own reading.
    fn reports_reading(&self) -> bool {
        self.watches.values().any(|(_, mask)| mask.has(READING))
    }

    /// Whether a watch is to ask for what it asks for already.
    fn asks_already(&self, ino: Ino, mask: Mask) -> bool {
        let known = self.inodes[ino].watch.map(|wd| self.watches[&wd].1);
        known.is_some_and(|known| known == if mask.has(IN_MASK_ADD) { known | mask } else { mask })
    }

    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.unqueued.is_empty()
    }

    // Events.

    /// The event for those who watch this inode: of itself (an empty name), or of an entry of it.
    fn event(&self, ino: Ino, name: &str, mask: Mask, cookie: u32) -> Option<Queued> {
        let wd = self.inodes[ino].watch?;
        let asked = self.watches[&wd].1 | IN_IGNORED;
        if !(mask & !IN_ISDIR).has(asked) {
            return None;
        }
        let above = self.path(ino).unwrap_or_default();
        let path = if name.is_empty() { format!("{above}/") } else { format!("{above}/{name}") };
        Some(Queued {
            wd,
            mask,
            cookie,
            name: name.into(),
            path,
            tracked_by: self.tracked_by(ino),
            is_dropped: false,
        })
    }

    /// The watches of a directory and of every one above it in the tree, if all are watched. One that is being deleted is still there.
    fn tracked_by(&self, ino: Ino) -> Option<BTreeSet<Wd>> {
        let (mut at, mut watches) = (ino, BTreeSet::new());
        while at != TOP && at != OUTSIDE {
            let Inode { parent, name, watch, links, .. } = &self.inodes[at];
            if *links > 0 && self.inodes[*parent].entries.get(name) != Some(&at) {
                return None;
            }
            watches.insert((*watch)?);
            at = *parent;
        }
        Some(watches)
    }

    /// An event of the operation that is being done.
    fn report(&mut self, ino: Ino, name: &str, mask: Mask, cookie: u32) {
        self.unqueued.push(Coming::Of { ino, name: name.into(), mask, cookie });
    }

    /// What happens to an open directory: its parent hears of it first, then itself.
    fn report_reading(&mut self, ino: Ino, mask: Mask) {
        let (parent, name) = (self.inodes[ino].parent, self.inodes[ino].name.clone());
        if self.inodes[parent].entries.get(&name) == Some(&ino) {
            self.queue_event(self.event(parent, &name, mask | IN_ISDIR, 0));
        }
        self.queue_event(self.event(ino, "", mask | IN_ISDIR, 0));
    }

    /// The operation is over: its events are queued.
    pub fn queue_events(&mut self) {
        (self.locked, self.late_for) = (Vec::new(), 0);
        for coming in std::mem::take(&mut self.unqueued) {
            let event = match coming {
                Coming::Of { ino, name, mask, cookie } => self.event(ino, &name, mask, cookie),
                Coming::Is(event) => Some(event),
            };
            self.queue_event(event);
        }
    }

    fn queue_event(&mut self, event: Option<Queued>) {
        let Some(mut event) = event else { return };
        event.is_dropped = self.is_full || self.queue.len() >= self.queue_limit;
        self.tell(|| {
            format!("        event {}{}", shown(&event), if event.is_dropped { ", dropped" } else { "" })
        });
        event.hash(&mut self.remembered);
        self.history.push(event.clone());
        let is_repeated = self.queue.back().is_some_and(|last| {
            (last.wd, last.mask, &last.name) == (event.wd, event.mask, &event.name)
                && !event.mask.has(IN_IGNORED)
        });
        let is_rename = event.mask.has(IN_MOVED_FROM | IN_MOVED_TO);
        self.merged_renames |= is_repeated && is_rename;
        if event.is_dropped {
            self.overflow();
        } else if !is_repeated {
            self.queue.push_back(event);
        }
    }

    fn overflow(&mut self) {
        self.overflowed = true;
        if self.queue.back().is_none_or(|last| last.mask != IN_Q_OVERFLOW) {
            let (wd, mask) = (Wd::NONE, IN_Q_OVERFLOW);
            self.queue.push_back(Queued {
                wd,
                mask,
                cookie: 0,
                name: String::new(),
                path: String::new(),
                tracked_by: Some(BTreeSet::new()),
                is_dropped: false,
            });
        }
    }

    /// Changes the watcher's working directory, which is in use as if it were open.
    fn stay_inside(&mut self, ino: Ino) {
        self.inodes[ino].open += 1;
        let left = std::mem::replace(&mut self.inside, ino);
        self.close(left);
    }

    /// The watcher does not use an inode any more. Whoever is just changing it does, until the events of that are queued.
    fn close(&mut self, ino: Ino) {
        self.inodes[ino].open -= 1;
        let is_of = |coming: &Coming| matches!(coming, Coming::Of { ino: of, .. } if *of == ino);
        let is_used = self.locked.contains(&ino) || self.unqueued.iter().any(is_of);
        let end = self.release(ino);
        match is_used {
            true => self.unqueued.extend(end.into_iter().map(Coming::Is)),
            false => end.into_iter().for_each(|event| self.queue_event(Some(event))),
        }
    }

    /// A path leads from the directory in which the watcher began.
    fn leave_for(&mut self, at: &At<Dir>) {
        if matches!(at, At::Path(_)) {
            self.stay_inside(TOP);
        }
    }

    /// An inode without a name or a descriptor is deleted, and its watch with it: the events of that.
    fn release(&mut self, ino: Ino) -> Vec<Queued> {
        let inode = &self.inodes[ino];
        if inode.links > 0 || inode.open > 0 {
            return Vec::new();
        }
        let unqueued = std::mem::take(&mut self.unqueued).into_iter();
        let of_watch = |coming| match coming {
            Coming::Of { ino: of, name, mask, cookie } if of == ino => {
                self.event(ino, &name, mask, cookie).map(Coming::Is)
            }
            coming => Some(coming),
        };
        self.unqueued = unqueued.filter_map(of_watch).collect();
        let events = [IN_DELETE_SELF, IN_IGNORED].map(|mask| self.event(ino, "", mask, 0));
        if let Some(wd) = self.inodes[ino].watch.take() {
            self.watches.remove(&wd);
        }
        events.into_iter().flatten().collect()
    }

    // Operations of another process.

    /// Does an operation, if it can be done.
    pub fn act(&mut self, operation: &Operation, late: bool) -> bool {
        self.queue_events();
        self.operations += 1;
        let done = self.change(operation).is_some();
        if !late {
            self.queue_events();
        }
        done
    }

    /// Splits a path into the directory's inode and the name.
    fn place<'a>(&self, path: &'a str) -> Option<(Ino, &'a str)> {
        let (above, name) = path.rsplit_once('/')?;
        let above = self.find(above).filter(|above| self.inodes[*above].is_directory)?;
        Some((above, name))
    }

    fn existing<'a>(&self, path: &'a str) -> Option<(Ino, &'a str, Ino)> {
        let (above, name) = self.place(path)?;
        Some((above, name, *self.inodes[above].entries.get(name)?))
    }

    fn free<'a>(&self, path: &'a str) -> Option<(Ino, &'a str)> {
        self.place(path).filter(|(above, name)| !self.inodes[*above].entries.contains_key(*name))
    }

    fn change(&mut self, operation: &Operation) -> Option<()> {
        match operation {
            Operation::Rename(one, other) | Operation::Exchange(one, other) | Operation::Link(one, other) => {
                self.moved.extend([one.clone(), other.clone()]);
            }
            Operation::MoveIn(path) | Operation::MoveOut(path) => drop(self.moved.insert(path.clone())),
            _ => {}
        }
        match operation {
            Operation::Mkdir(path) => {
                let (above, name) = self.free(path)?;
                let ino = self.make(above, name, true);
                if self.is_in_missed(path) {
                    // As if it had been there.
                    self.inside_before.insert(ino);
                }
                self.note(Deed::Made, path);
                self.report(above, name, IN_CREATE | IN_ISDIR, 0);
                self.locked = vec![above];
            }
            Operation::Create(path) => {
                let (above, name) = self.free(path)?;
                // By its dates it is not known to be new if it is older than the overflow.
                let is_older = self.has_floods && !self.overflowed && self.inodes[above].watch.is_none();
                let is_new = self.established > 0 && !is_older && !self.is_in_missed(path);
                let ino = self.make(above, name, false);
                let is_seen =
                    self.is_inside(above) && self.forbidden_above(path).is_none() && !self.is_left_out(above);
                self.inodes[ino].names = (is_new && is_seen).then(|| [name.into()].into());
                self.note(Deed::Made, path);
                for mask in [IN_CREATE, IN_OPEN, IN_CLOSE_WRITE] {
                    self.report(above, name, mask, 0);
                }
                self.locked = vec![above];
            }
            Operation::Write(path) => {
                let (above, name, ino) =
                    self.existing(path).filter(|(_, _, ino)| !self.inodes[*ino].is_directory)?;
                let now = self.now();
                let dates = &mut self.dates[ino];
                (dates.modified, dates.changed, dates.is_written) = (now, now, true);
                let deed = if self.inodes[above].watch.is_some() { Deed::Written } else { Deed::Early };
                self.note(deed, path);
                for mask in [IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE] {
                    self.report(above, name, mask, 0);
                }
            }
            Operation::Link(path, other) => {
                let (_, _, ino) =
                    self.existing(path).filter(|(_, _, ino)| !self.inodes[*ino].is_directory)?;
                let (above, name) = self.free(other)?;
                // No event says that what was written there is complete.
                self.inodes[ino].names = None;
                self.put(above, name, ino);
                self.report(above, name, IN_CREATE, 0);
                self.locked = vec![above];
            }
            Operation::Unlink(path) => {
                let (above, name, _) =
                    self.existing(path).filter(|(_, _, ino)| !self.inodes[*ino].is_directory)?;
                self.take(above, name);
                self.report(above, name, IN_DELETE, 0);
                self.locked = vec![above];
            }
            Operation::Rmdir(path) => {
                let (above, name, ino) = self.existing(path)?;
                if !self.inodes[ino].is_directory || !self.inodes[ino].entries.is_empty() {
                    return None;
                }
                self.take(above, name);
                let deed = if self.inodes[ino].watch.is_some() { Deed::Removed } else { Deed::Early };
                self.note(deed, path);
                let end = self.release(ino);
                self.unqueued.extend(end.into_iter().map(Coming::Is));
                self.report(above, name, IN_DELETE | IN_ISDIR, 0);
                self.locked = vec![above, ino];
            }
            Operation::Rename(from, to) => self.rename(from, to)?,
            Operation::Exchange(one, other) => self.exchange(one, other)?,
            Operation::MoveIn(path) => {
                let (above, name) = self.free(path)?;
                let newest = self.inodes[OUTSIDE].entries.last_key_value().map(|(name, _)| name.clone())?;
                self.move_to(OUTSIDE, &newest, above, name);
            }
            Operation::MoveOut(path) => {
                let (above, name, _) = self.existing(path)?;
                let number = self.inodes[OUTSIDE].entries.len();
                self.move_to(above, name, OUTSIDE, &format!("out{number}"));
            }
            Operation::Flood => {
                self.tell(|| "        overflow".into());
                self.overflow();
                self.is_full = true;
            }
        }
        Some(())
    }

    fn move_to(&mut self, old: Ino, old_name: &str, new: Ino, new_name: &str) {
        let ino = self.take(old, old_name);
        let overwritten = self.inodes[new].entries.get(new_name).copied();
        if let Some(overwritten) = overwritten {
            self.take(new, new_name);
            self.replacing.extend(self.inodes[overwritten].watch);
        }
        self.put(new, new_name, ino);
        if self.is_left_out(if self.inodes[ino].is_directory { ino } else { new }) {
            self.forget_names(ino);
        }
        self.report_move((old, old_name), (new, new_name), ino, overwritten);
        if let Some(overwritten) = overwritten {
            let end = self.release(overwritten);
            self.unqueued.extend(end.into_iter().map(Coming::Is));
        }
        self.locked = vec![old, new];
    }

    /// What is carried to where nothing is watched comes from elsewhere if it returns.
    fn forget_names(&mut self, ino: Ino) {
        self.inodes[ino].names = None;
        for below in self.inodes[ino].entries.values().copied().collect::<Vec<_>>() {
            self.forget_names(below);
        }
    }

    fn report_move(&mut self, old: (Ino, &str), new: (Ino, &str), ino: Ino, overwritten: Option<Ino>) {
        let directory = IN_ISDIR.when(self.inodes[ino].is_directory);
        let is_unwatched = |(above, name): (Ino, &str)| {
            let lacks_watch = self.most_watches < usize::MAX && self.inodes[above].watch.is_none();
            self.path(above).is_some_and(|above| {
                let is_forbidden = self.forbidden_above(&above).is_some();
                lacks_watch || is_forbidden || is_too_deep(&format!("{above}/{name}"), self.max_depth)
            })
        };
        self.moved_in |= self.inodes[ino].is_directory && is_unwatched(old) && !is_unwatched(new);
        self.cookie += 1;
        self.replacements.extend(overwritten.map(|_| self.cookie));
        self.report(old.0, old.1, IN_MOVED_FROM | directory, self.cookie);
        self.report(new.0, new.1, IN_MOVED_TO | directory, self.cookie);
        if let Some(overwritten) = overwritten {
            self.report(overwritten, "", IN_ATTRIB | IN_ISDIR, 0);
        }
        self.report(ino, "", IN_MOVE_SELF, 0);
    }

    fn is_within(&self, ino: Ino, top: Ino) -> bool {
        let mut at = ino;
        while at != top && at != TOP && at != OUTSIDE {
            at = self.inodes[at].parent;
        }
        at == top
    }

    fn rename(&mut self, from: &str, to: &str) -> Option<()> {
        let (old, old_name, ino) = self.existing(from)?;
        let (new, new_name) = self.place(to)?;
        let is_directory = self.inodes[ino].is_directory;
        if is_directory && self.is_within(new, ino) {
            return None;
        }
        if let Some(&there) = self.inodes[new].entries.get(new_name) {
            let Inode { is_directory: is, entries, .. } = &self.inodes[there];
            // rename(2) of one link over another of the same inode does nothing.
            if there == ino || *is != is_directory || !entries.is_empty() {
                return None;
            }
        }
        self.move_to(old, old_name, new, new_name);
        Some(())
    }

    fn exchange(&mut self, one: &str, other: &str) -> Option<()> {
        let (above_one, name_one, ino_one) = self.existing(one)?;
        let (above_other, name_other, ino_other) = self.existing(other)?;
        let nested = |ino: Ino, above: Ino| self.inodes[ino].is_directory && self.is_within(above, ino);
        if ino_one == ino_other || nested(ino_one, above_other) || nested(ino_other, above_one) {
            return None;
        }
        self.replacing.extend([ino_one, ino_other].iter().filter_map(|ino| self.inodes[*ino].watch));
        self.take(above_one, name_one);
        self.take(above_other, name_other);
        self.put(above_other, name_other, ino_one);
        self.put(above_one, name_one, ino_other);
        self.report_move((above_one, name_one), (above_other, name_other), ino_one, None);
        self.exchanges.insert(self.cookie);
        self.report_move((above_other, name_other), (above_one, name_one), ino_other, None);
        self.locked = vec![above_one, above_other];
        Some(())
    }

    /// Makes a directory outside, with `x` and `sub/y`, to be moved in.
    pub fn prepare_outside(&mut self) {
        let number = self.inodes[OUTSIDE].entries.len();
        let ino = self.make(OUTSIDE, &format!("in{number}"), true);
        self.make(ino, "x", false);
        let below = self.make(ino, "sub", true);
        self.make(below, "y", false);
    }

    // The schedule.

    /// Before a call of the watcher: what another process does first.
    ///
    /// Before a call that is `inert` nothing needs to be tried: it has the same answer and the same effect if that is done after it.
    fn before(&mut self, is_inert: bool, what: impl FnOnce() -> String) {
        self.late_for = self.late_for.saturating_sub(1);
        if self.late_for == 0 {
            self.queue_events();
        }
        self.is_inert = is_inert && self.has_inert_calls;
        self.decide();
        self.is_inert = false;
        self.calls += 1;
        self.saw(self.calls);
        self.tell(|| format!("    {}", what()));
    }

    /// The other process may do something now.
    pub fn decide(&mut self) -> bool {
        let mut has_acted = self.act_by_chance();
        while let Some(step) = self.schedule.plan.front() {
            if step.call != self.calls {
                break;
            }
            let Some(Step { operation, late, .. }) = self.schedule.plan.pop_front() else { break };
            self.act_between_calls(&operation, late);
            has_acted = true;
        }
        if self.schedule.plan.is_empty() && !self.is_inert {
            self.meet();
        }
        has_acted
    }

    fn act_between_calls(&mut self, operation: &Operation, late: bool) {
        self.tell(|| format!("{operation}{}", if late { "   (its events are queued later)" } else { "" }));
        self.began_early |= self.established == 0;
        self.moved_in |= matches!(operation, Operation::MoveIn(_));
        self.act(operation, late);
        self.late_for = if late { self.lateness } else { 0 };
    }

    /// In a search: ends the run if this state was met before. Else notes what could be done now.
    fn meet(&mut self) {
        let Some(visited) = self.schedule.visited.clone() else { return };
        let state = self.fingerprint();
        // At rest and before the read that follows it is the same state.
        if self.schedule.newest.replace(state) == Some(state) {
            return;
        }
        if !visited.insert(state) {
            resume_unwind(Box::new(MetBefore));
        }
        if self.schedule.left > 0 {
            self.schedule.branches.push((self.calls, crate::operations::possible(self)));
        }
    }

    fn act_by_chance(&mut self) -> bool {
        let Some((mut random, left)) = self.schedule.random.take() else { return false };
        let (mut left, mut has_acted) = (left, false);
        while left > 0 && random.below(self.schedule.pace) == 0 {
            let operations = crate::operations::possible(self);
            // Every second one goes on with what the one before has changed.
            let last = self.schedule.done.last().filter(|_| random.below(2) == 0);
            let concerns =
                |operation: &&Operation| last.is_some_and(|last| operation.concerns(&last.operation));
            let near: Vec<&Operation> = operations.iter().filter(concerns).collect();
            let operation = match near.is_empty() {
                true => operations[random.below(operations.len())].clone(),
                false => near[random.below(near.len())].clone(),
            };
            let late = self.lateness > 0 && random.below(4) == 0;
            left -= 1;
            self.act_between_calls(&operation, late);
            has_acted = true;
            self.schedule.done.push(Step { call: self.calls, operation, late });
        }
        self.schedule.random = Some((random, left));
        has_acted
    }

    /// Whether there is more to be done, though perhaps not before this call.
    pub fn has_more_to_do(&self) -> bool {
        !self.schedule.plan.is_empty() || self.schedule.random.as_ref().is_some_and(|(_, left)| *left > 0)
    }

    /// The watcher waits until then, once after an operation; whether it does. Meanwhile another program gives a watch back.
    pub fn wait_until(&mut self, then: Instant) -> bool {
        if std::mem::replace(&mut self.waited_after, self.operations) == self.operations {
            return false;
        }
        let waited = then.saturating_duration_since(*BEGIN);
        self.waited = waited;
        self.most_watches += 1;
        self.tell(|| format!("    waits until {waited:?} have passed"));
        true
    }

    /// The set-up is over.
    pub fn establish(&mut self) {
        self.before = self.tree();
        let is_there = |ino: &Ino| self.is_inside(*ino) || self.inodes[*ino].watch.is_some();
        self.inside_before = (0..self.inodes.len()).filter(is_there).collect();
        self.known_before = self.watches.values().map(|(ino, _)| *ino).collect();
        self.watched_before = self.watched().into_values().flatten().collect();
        self.established = self.calls;
        (&self.before, &self.known_before, &self.watched_before).hash(&mut self.remembered);
        let is_renamed = |ino: &Ino| self.had.get(*ino).is_some_and(|had| had.len() > 1);
        let renamed: Vec<Ino> = (0..self.inodes.len()).filter(is_renamed).collect();
        self.missed.extend(renamed.iter().filter(|ino| self.inodes[**ino].watch.is_none()));
        self.unknown.extend(renamed);
    }

    /// Whether something is in a directory that was renamed in the setup, and had no watch when the watches were established.
    fn is_in_missed(&self, path: &str) -> bool {
        path.match_indices('/')
            .any(|(at, _)| self.find(&path[..at]).is_some_and(|ino| self.missed.contains(&ino)))
    }

    /// Whether events of renames were dropped.
    pub fn has_dropped_renames(&self) -> bool {
        self.history.iter().any(|event| event.is_dropped && event.mask.has(IN_MOVED_FROM | IN_MOVED_TO))
    }

    /// Whether a rename replaced what was there.
    pub fn is_replacement(&self, cookie: u32) -> bool {
        self.replacements.contains(&cookie)
    }

    /// Whether a rename was the first half of an exchange.
    pub fn is_exchange(&self, cookie: u32) -> bool {
        self.exchanges.contains(&cookie)
    }

    /// Of the state, of all that the watcher has seen, and of all that the checks look at: what comes next, and whether it is
    /// right, depends on these alone.
    fn fingerprint(&self) -> u64 {
        let mut hasher = self.seen.clone();
        self.hash_inodes(&mut hasher);
        if self.overflows() {
            self.inodes.hash(&mut hasher);
            self.dates.hash(&mut hasher);
            (self.operations, &self.deeds, &self.moved, &self.had, &self.unknown, &self.missed)
                .hash(&mut hasher);
            self.inside_before.hash(&mut hasher);
        }
        self.queue.hash(&mut hasher);
        self.unqueued.hash(&mut hasher);
        (self.schedule.left, self.late_for, self.cookie).hash(&mut hasher);
        (self.remembered.finish(), self.paths_mixed, &self.exchanges, &self.replacing).hash(&mut hasher);
        (self.began_early, self.moved_in, self.merged_renames, self.overflowed).hash(&mut hasher);
        (self.is_full, self.is_overflow_told).hash(&mut hasher);
        (self.waited, self.most_watches, self.is_limit_reported, &self.reported_forbidden).hash(&mut hasher);
        hasher.finish()
    }

    /// Inodes are numbered by the way on which they are reached: those that are gone do not count.
    fn hash_inodes(&self, hasher: &mut Mixed) {
        let mut numbers = vec![usize::MAX; self.inodes.len()];
        let mut next = 0;
        let open = self.opened.values().chain([&self.inside, &TOP, &OUTSIDE]);
        for ino in self.watches.values().map(|(ino, _)| ino).chain(&self.locked).chain(open) {
            self.hash_inode(*ino, &mut numbers, &mut next, hasher);
        }
        self.watches.iter().for_each(|(wd, (_, mask))| (wd, mask).hash(hasher));
    }

    fn hash_inode(&self, ino: Ino, numbers: &mut [usize], next: &mut usize, hasher: &mut Mixed) {
        hasher.write_usize(numbers[ino]);
        if numbers[ino] != usize::MAX {
            return;
        }
        numbers[ino] = *next;
        *next += 1;
        let Inode {
            is_directory,
            is_forbidden,
            entries,
            parent,
            name,
            links,
            open,
            watch,
            is_replacing,
            names,
        } = &self.inodes[ino];
        (is_directory, is_forbidden, links, open, watch, is_replacing, names, entries.len()).hash(hasher);
        if *is_directory {
            name.hash(hasher);
            self.hash_inode(*parent, numbers, next, hasher);
        }
        for (name, below) in entries {
            name.hash(hasher);
            self.hash_inode(*below, numbers, next, hasher);
        }
    }

    /// Something that the checks look at.
    pub fn remember<T: Hash>(&mut self, what: &T) {
        what.hash(&mut self.remembered);
    }

    fn saw<T: Hash>(&mut self, what: T) {
        what.hash(&mut self.seen);
    }

    fn resolve(&self, at: &At<Dir>) -> io::Result<Ino> {
        let error = |number| Err(io::Error::from_raw_os_error(number));
        let entry = |above: Ino, name: &str| match self.inodes[above].entries.get(name) {
            _ if name == ".." => Ok(self.inodes[above].parent),
            Some(ino) => Ok(*ino),
            None => error(libc::ENOENT),
        };
        match at {
            At::Path(path) => {
                let path = std::str::from_utf8(path).unwrap();
                path.split('/').filter(|name| !name.is_empty()).try_fold(TOP, |at, name| {
                    if !self.inodes[at].is_directory { error(libc::ENOTDIR) } else { entry(at, name) }
                })
            }
            At::Dir(dir) => Ok(dir.ino),
            At::Entry(dir, name) => entry(dir.ino, std::str::from_utf8(name).unwrap()),
            At::Inside => Ok(self.inside),
        }
    }

    /// A directory that is to be read.
    fn resolve_readable(&mut self, at: &At<Dir>) -> io::Result<Ino> {
        let ino = self.resolve_directory(at)?;
        let is_forbidden = self.inodes[ino].is_forbidden;
        self.saw(is_forbidden);
        if is_forbidden { Err(io::Error::from_raw_os_error(libc::EACCES)) } else { Ok(ino) }
    }

    fn resolve_directory(&mut self, at: &At<Dir>) -> io::Result<Ino> {
        let found = self.resolve(at).and_then(|ino| match self.inodes[ino].is_directory {
            true => Ok(ino),
            false => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        });
        // Which inode it is the watcher cannot see.
        self.saw(found.as_ref().map(drop).map_err(io::Error::raw_os_error));
        found
    }
}

/// A step of the story, for those who read it.
fn shown(event: &Queued) -> String {
    let Queued { wd, mask, cookie, name, path, .. } = event;
    let cookie = if *cookie == 0 { String::new() } else { format!(" ({cookie})") };
    format!(
        "{} of watch {wd}{}{name}{cookie}, at {path}",
        names(*mask),
        if name.is_empty() { "" } else { ", entry " }
    )
}

/// The names of an event's bits.
pub fn names(mask: Mask) -> String {
    let named =
        inotify_tools::internals::PRINTED.iter().filter(|(bits, _)| bits.is_single() && mask.has(*bits));
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// The watcher's view of a [`System`].
#[derive(Clone)]
pub struct Simulated {
    pub system: Rc<RefCell<System>>,
    /// Nothing polls it.
    file: Rc<File>,
}

/// When all clocks began.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    static NULL: Rc<File> = Rc::new(File::open("/dev/null").unwrap());
}

impl Simulated {
    pub fn new(system: System) -> Simulated {
        Simulated { system: Rc::new(RefCell::new(system)), file: NULL.with(Rc::clone) }
    }

    /// Where something is, if somebody wants to read the story.
    fn described(&self, at: &At<Dir>) -> String {
        if self.system.borrow().story.is_some() { described(at) } else { String::new() }
    }

    fn call<'a>(&'a self, what: impl FnOnce() -> String) -> std::cell::RefMut<'a, System> {
        self.call_if(false, what)
    }

    fn call_if<'a>(&'a self, is_inert: bool, what: impl FnOnce() -> String) -> std::cell::RefMut<'a, System> {
        let mut system = self.system.borrow_mut();
        system.before(is_inert, what);
        system
    }
}

/// An open directory.
pub struct Dir {
    ino: Ino,
    number: usize,
    /// It was opened to be read: closing it is reported.
    is_reported: bool,
    system: Rc<RefCell<System>>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        let mut system = self.system.borrow_mut();
        system.opened.remove(&self.number);
        if self.is_reported {
            system.report_reading(self.ino, IN_CLOSE_NOWRITE);
        }
        system.close(self.ino);
    }
}

/// Whether that is the operand, which nobody but the watcher does anything to.
fn is_operand(at: &At<Dir>) -> bool {
    matches!(at, At::Path(path) if path.strip_suffix(b"/").unwrap_or(path) == OPERAND.as_bytes())
}

fn described(at: &At<Dir>) -> String {
    match at {
        At::Path(path) => String::from_utf8_lossy(path).into_owned(),
        At::Dir(dir) => {
            format!("the open directory {}", dir.system.borrow().path(dir.ino).unwrap_or_default())
        }
        At::Entry(dir, name) => {
            let above = dir.system.borrow().path(dir.ino).unwrap_or_default();
            format!("{} in the open directory {above}", String::from_utf8_lossy(name))
        }
        At::Inside => "the directory that it is inside".into(),
    }
}

impl Simulated {
    fn open_as(&mut self, at: At<Dir>, is_reported: bool) -> io::Result<Dir> {
        let what = if is_reported { "open" } else { "enter" };
        let text = self.described(&at);
        let is_inert = is_operand(&at) && !(is_reported && self.system.borrow().reports_reading());
        let mut system = self.call_if(is_inert, || format!("{what} {text}"));
        system.leave_for(&at);
        let ino = match is_reported {
            true => system.resolve_readable(&at)?,
            false => system.resolve_directory(&at)?,
        };
        system.inodes[ino].open += 1;
        if is_reported {
            system.report_reading(ino, IN_OPEN);
        }
        let number = system.calls;
        system.opened.insert(number, ino);
        Ok(Dir { ino, number, is_reported, system: Rc::clone(&self.system) })
    }
}

impl World for Simulated {
    type Dir = Dir;

    const OWN_READING: Mask = READING;
    const NAMES_ENTRIES: bool = false;

    fn enter(&mut self, at: At<Dir>) -> io::Result<Dir> {
        self.open_as(at, false)
    }

    fn open(&mut self, at: At<Dir>) -> io::Result<Dir> {
        self.open_as(at, true)
    }

    fn room(&mut self, most: usize) -> usize {
        self.system.borrow().room.min(most)
    }

    fn watch(&mut self, at: At<Dir>, mask: Mask) -> io::Result<Wd> {
        let text = self.described(&at);
        let is_inert = matches!(at, At::Dir(dir) if self.system.borrow().asks_already(dir.ino, mask));
        let mut system = self.call_if(is_inert, || format!("watch {text}"));
        system.leave_for(&at);
        let ino = match mask.has(IN_ONLYDIR) {
            false => system.resolve(&at)?,
            true => system.resolve_readable(&at)?,
        };
        let wd = match system.inodes[ino].watch {
            Some(wd) => wd,
            None if system.watches.len() >= system.most_watches => {
                system.saw(libc::ENOSPC);
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            None => {
                system.newest_wd += 1;
                Wd(system.newest_wd)
            }
        };
        let known = system.watches.get(&wd).map(|(_, mask)| *mask);
        if known.is_some() && !mask.has(IN_MASK_ADD) {
            system.replaced.push(mask);
        }
        let old = known.filter(|_| mask.has(IN_MASK_ADD)).unwrap_or(Mask::NONE);
        system.inodes[ino].watch = Some(wd);
        if system.inodes[ino].is_replacing {
            system.replacing.insert(wd);
        }
        system.watches.insert(wd, (ino, mask | old));
        system.saw(wd);
        Ok(wd)
    }

    fn unwatch(&mut self, wd: Wd) {
        let mut system = self.call(|| format!("unwatch {wd}"));
        let watched = system.watches.get(&wd).map(|(ino, _)| *ino);
        // Nobody could tell which directory it is that has it, if events are late or another was there before; and if the one above has
        // left, none could be found in it.
        let is_below = |ino: Ino| system.inodes[ino].links > 0 && system.inodes[ino].parent != OUTSIDE;
        let is_untold = system.overflowed && !system.is_overflow_told;
        let is_unknown = is_untold
            || system.lateness > 0
            || system.replacing.contains(&wd)
            || watched.is_some_and(is_below);
        let is_given_up =
            is_unknown && !system.reported.contains(&wd) || watched.is_some_and(|ino| system.is_inside(ino));
        if is_given_up {
            system.given_up.insert(wd);
            wd.hash(&mut system.remembered);
        }
        let Some(ino) = watched else { return };
        let event = system.event(ino, "", IN_IGNORED, 0);
        system.queue_event(event);
        system.inodes[ino].watch = None;
        system.watches.remove(&wd);
        let above = system.path(ino);
        system.deeds.retain(|(deed, path)| {
            *deed != Deed::Written || path.rsplit_once('/').map(|(above, _)| above) != above.as_deref()
        });
    }

    fn list(&mut self, dir: &Dir, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
        let mut system = self.call(|| "list it".into());
        // Who lists a directory waits for those who change it.
        if system.locked.contains(&dir.ino) {
            system.queue_events();
        }
        system.report_reading(dir.ino, IN_ACCESS);
        let listed: Vec<(String, bool)> = system.inodes[dir.ino]
            .entries
            .iter()
            .map(|(name, ino)| (name.clone(), system.inodes[*ino].is_directory))
            .collect();
        system.saw(&listed);
        drop(system);
        for (name, is_directory) in &listed {
            each(name.as_bytes(), if *is_directory { Kind::Directory } else { Kind::File });
        }
        let is_inert = !self.system.borrow().reports_reading();
        let mut system = self.call_if(is_inert, || "list it, to the end".into());
        if system.locked.contains(&dir.ino) {
            system.queue_events();
        }
        system.report_reading(dir.ino, IN_ACCESS);
        Ok(())
    }

    fn kind(&mut self, at: At<Dir>) -> Kind {
        let text = self.described(&at);
        let mut system = self.call_if(is_operand(&at), || format!("look at {text}"));
        system.leave_for(&at);
        let kind = match system.resolve(&at) {
            Ok(ino) if system.inodes[ino].is_directory => Kind::Directory,
            Ok(_) => Kind::File,
            Err(_) => Kind::Unknown,
        };
        system.saw((kind == Kind::Directory, kind == Kind::File));
        kind
    }

    fn times(&mut self, at: At<Dir>) -> io::Result<Times> {
        let text = self.described(&at);
        let mut system = self.call(|| format!("look at the dates of {text}"));
        let found = system.resolve(&at);
        let times = found.map(|ino| {
            let kind = if system.inodes[ino].is_directory { Kind::Directory } else { Kind::File };
            let Dates { born, modified, changed, is_written } = system.dates[ino];
            Times { kind, is_empty: !is_written, born, modified, changed }
        });
        system.saw(times.as_ref().map(|times| (times.born, times.modified, times.changed)).map_err(|_| ()));
        times
    }

    fn now(&mut self) -> Moment {
        if self.system.borrow().overflows() {
            return self.call(|| "look at the clock".into()).now();
        }
        self.system.borrow().now()
    }

    fn clock(&self) -> Instant {
        *BEGIN + self.system.borrow().waited
    }

    fn tells(&mut self, _: &Dir, _: Contents) -> bool {
        self.system.borrow().tells_contents
    }

    fn contents(&mut self, at: At<Dir>) -> Contents {
        if !self.system.borrow().tells_contents {
            return Contents::Unknown;
        }
        let text = self.described(&at);
        let mut system = self.call(|| format!("look at the status of {text}"));
        let inode =
            system.resolve(&at).ok().map(|ino| &system.inodes[ino]).filter(|inode| inode.is_directory);
        let contents = match inode.map(|inode| &inode.entries) {
            Some(entries) if entries.is_empty() => Contents::Nothing,
            Some(entries) if !entries.values().any(|below| system.inodes[*below].is_directory) => {
                Contents::NoDirectories
            }
            _ => Contents::Unknown,
        };
        system.saw(format!("{contents:?}"));
        contents
    }

    fn is_directory(&mut self, path: &[u8], _: bool) -> io::Result<bool> {
        Ok(self.kind(At::Path(path)) == Kind::Directory)
    }

    fn close_inside(&mut self, dir: Dir) -> bool {
        self.call(|| "close it and stay inside".into()).stay_inside(dir.ino);
        true
    }

    fn rest(&mut self) {
        self.system.borrow_mut().stay_inside(TOP);
    }

    fn sync(&mut self, at: At<Dir>) {
        let text = self.described(&at);
        let mut system = self.call_if(true, || format!("wait for changes of {text}"));
        if system.resolve(&at).is_ok_and(|ino| system.locked.contains(&ino)) {
            system.queue_events();
        }
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        let mut system = self.call(|| "read events".into());
        let before = queue.len();
        system.is_full = false;
        for Queued { wd, mask, cookie, name, path, .. } in std::mem::take(&mut system.queue) {
            RawEvent { wd, mask, cookie, name: name.as_bytes() }.encode(queue);
            system.saw((wd, mask, cookie, name, path));
        }
        Ok(queue.len() - before)
    }
}

impl AsFd for Simulated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
