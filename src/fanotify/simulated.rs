//! A small file system and fanotify's queue of events on it, as the kernel keeps them: for tests.
//!
//! The kernel merges an event with an unread one of the same process, directory, name and object, if both or none of
//! them is of a directory and both or none is a rename. The bits of the new event are added to the old one, which
//! keeps its position. [`held_to_the_kernel`] compares all of this with the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};

use libc::{
    FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_MODIFY, FAN_MOVE_SELF, FAN_ONDIR, FAN_OPEN, FAN_RENAME,
};

use crate::sys::fanotify::Handle;

mod held_to_the_kernel;

/// An inode: the index of its node.
pub type Inode = usize;

/// The directory that the operations' paths begin in; `~` before a path means [`OUTSIDE`].
pub const TREE: Inode = 1;
/// A directory that is not watched.
pub const OUTSIDE: Inode = 2;

/// What a process does. Paths have no slash at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Mkdir(String),
    Create(String),
    /// rmdir(2) or unlink(2).
    Remove(String),
    Rename(String, String),
    Exchange(String, String),
    Link(String, String),
    /// Changes the size of a file.
    Write(String),
    /// Opens a directory and closes it.
    Open(String),
    /// Opens it, so that its end is not reported.
    Hold(String),
    /// Closes what is held.
    Release,
}

impl Operation {
    pub fn parse(text: &str) -> Option<Operation> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let path = |at: usize| words.get(at).map(|word| (*word).to_owned());
        Some(match *words.first()? {
            "mkdir" => Operation::Mkdir(path(1)?),
            "create" => Operation::Create(path(1)?),
            "remove" => Operation::Remove(path(1)?),
            "rename" => Operation::Rename(path(1)?, path(2)?),
            "exchange" => Operation::Exchange(path(1)?, path(2)?),
            "link" => Operation::Link(path(1)?, path(2)?),
            "write" => Operation::Write(path(1)?),
            "open" => Operation::Open(path(1)?),
            "hold" => Operation::Hold(path(1)?),
            "release" => Operation::Release,
            _ => return None,
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Operation::Mkdir(path) => write!(out, "mkdir {path}"),
            Operation::Create(path) => write!(out, "create {path}"),
            Operation::Remove(path) => write!(out, "remove {path}"),
            Operation::Rename(from, to) => write!(out, "rename {from} {to}"),
            Operation::Exchange(one, other) => write!(out, "exchange {one} {other}"),
            Operation::Link(from, to) => write!(out, "link {from} {to}"),
            Operation::Write(path) => write!(out, "write {path}"),
            Operation::Open(path) => write!(out, "open {path}"),
            Operation::Hold(path) => write!(out, "hold {path}"),
            Operation::Release => write!(out, "release"),
        }
    }
}

/// A generator of numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// A name in a directory.
pub type Entry = (Inode, String);

/// An unread event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Queued {
    pub mask: u64,
    pub process: i32,
    pub place: Option<Entry>,
    pub old: Option<Entry>,
    pub new: Option<Entry>,
    pub object: Option<Inode>,
}

impl fmt::Display for Queued {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let names = [
            (FAN_CREATE, "CREATE"),
            (FAN_DELETE, "DELETE"),
            (FAN_DELETE_SELF, "DELETE_SELF"),
            (FAN_MOVE_SELF, "MOVE_SELF"),
            (FAN_MODIFY, "MODIFY"),
            (FAN_OPEN, "OPEN"),
            (libc::FAN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
            (FAN_RENAME, "RENAME"),
            (FAN_ONDIR, "ONDIR"),
        ];
        let names: Vec<&str> =
            names.iter().filter(|(bit, _)| self.mask & bit != 0).map(|(_, name)| *name).collect();
        write!(out, "{} by process {}", names.join("|"), self.process)?;
        for (what, entry) in [("at", &self.place), ("from", &self.old), ("to", &self.new)] {
            if let Some((directory, name)) = entry {
                write!(out, " {what} inode {directory} {name:?}")?;
            }
        }
        self.object.map_or(Ok(()), |object| write!(out, ": inode {object}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Node {
    is_directory: bool,
    /// Of a directory: what it is in.
    parent: Inode,
    entries: BTreeMap<String, Inode>,
    links: usize,
}

/// What a group has marked.
#[derive(Debug, Clone)]
pub enum Marked {
    /// The whole file system, with this mask.
    Filesystem(u64),
    /// Inodes, each with its mask.
    Inodes(BTreeMap<Inode, u64>),
}

/// One change that happened, with the paths that were true then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Happened {
    /// `CREATE`, `DELETE`, `MOVED_FROM` or `MOVED_TO`.
    pub event: &'static str,
    pub path: String,
    pub entry: Entry,
    pub inode: Inode,
    /// Of what arrives: all that is below it, each by what it is in and its name there.
    pub below: Vec<(Inode, Entry)>,
    /// Of a rename, whether it is half of an exchange.
    pub exchange: bool,
    /// The number of the queued event that reports it, counted from the first ever queued; `None` if none does.
    pub reported_by: Option<usize>,
}

/// The file system and the queue.
#[derive(Debug, Clone)]
pub struct World {
    nodes: Vec<Node>,
    pub marked: Marked,
    /// The unread events.
    pub queue: Vec<Queued>,
    /// How many events were read.
    pub read: usize,
    pub happened: Vec<Happened>,
    /// The files that were linked.
    pub linked: BTreeSet<Inode>,
    held: BTreeSet<Inode>,
    /// The numbers of the events that report a change of size.
    pub written: BTreeSet<usize>,
    /// Other operations would have queued the same events: something happened in a directory before a rename of it that was
    /// merged with an earlier one; or a file was replaced where it had been renamed from before, so it may as well have left by
    /// such a rename again, if its end is not reported. With inode marks also: a file came from where nothing is watched that has another name again from which
    /// it was renamed, and may as well have been renamed again; something happened in a directory after a merged rename.
    pub is_ambiguous: bool,
    /// The directories with such a rename, since all was quiet.
    pub unsettled: BTreeSet<Inode>,
    /// Directories that the watcher stopped watching.
    pub unwatched: BTreeSet<Inode>,
    /// Those of them that it had not listed: it found that another directory was to be watched.
    pub unlisted: BTreeSet<Inode>,
}

impl World {
    /// Two empty directories, [`TREE`] and [`OUTSIDE`].
    pub fn new(marked: Marked) -> World {
        let node = |parent| Node { is_directory: true, parent, entries: BTreeMap::new(), links: 1 };
        let mut nodes = vec![node(0), node(0), node(0)];
        nodes[0].entries = [("tree".into(), TREE), ("outside".into(), OUTSIDE)].into();
        World {
            nodes,
            marked,
            queue: Vec::new(),
            read: 0,
            happened: Vec::new(),
            linked: BTreeSet::new(),
            held: BTreeSet::new(),
            written: BTreeSet::new(),
            is_ambiguous: false,
            unsettled: BTreeSet::new(),
            unwatched: BTreeSet::new(),
            unlisted: BTreeSet::new(),
        }
    }

    /// Takes all unread events.
    pub fn take(&mut self) -> Vec<Queued> {
        self.read += self.queue.len();
        std::mem::take(&mut self.queue)
    }

    pub fn entry(&self, directory: Inode, name: &str) -> Option<Inode> {
        self.nodes[directory].entries.get(name).copied()
    }

    pub fn entries(&self, directory: Inode) -> impl Iterator<Item = (&String, Inode)> {
        self.nodes[directory].entries.iter().map(|(name, inode)| (name, *inode))
    }

    pub fn is_directory(&self, inode: Inode) -> bool {
        self.nodes[inode].is_directory
    }

    pub fn exists(&self, inode: Inode) -> bool {
        self.nodes.get(inode).is_some_and(|node| node.links > 0)
    }

    /// Whether nobody who looks can tell this file system from another.
    pub fn looks_like(&self, other: &World) -> bool {
        let seen = |node: &Node| (node.is_directory, node.links, node.entries.clone());
        self.nodes.iter().map(seen).eq(other.nodes.iter().map(seen))
    }

    /// The same for all worlds that look alike.
    pub fn hash_nodes(&self, state: &mut impl Hasher) {
        self.nodes.iter().for_each(|node| (node.links, &node.entries).hash(state));
    }

    /// Marks every directory of the tree that has no mark.
    pub fn mark_all(&mut self, mask: u64) {
        let below = self.below(TREE).into_iter().map(|(inode, _)| inode);
        let directories: Vec<Inode> = below.filter(|inode| self.is_directory(*inode)).chain([TREE]).collect();
        if let Marked::Inodes(marks) = &mut self.marked {
            for inode in directories {
                marks.entry(inode).or_insert(mask);
            }
        }
    }

    /// The directory that a directory is in, and its name there.
    pub fn place(&self, directory: Inode) -> Option<Entry> {
        self.place_of(directory).map(|(parent, name)| (parent, name.to_owned()))
    }

    fn place_of(&self, directory: Inode) -> Option<(Inode, &str)> {
        let parent = self.nodes[directory].parent;
        let (name, _) = self.entries(parent).find(|(_, inode)| *inode == directory)?;
        Some((parent, name))
    }

    /// The path of a directory from the root of the file system on.
    pub fn path(&self, directory: Inode) -> Option<String> {
        let mut names = Vec::new();
        let mut at = directory;
        while at != 0 {
            let (parent, name) = self.place_of(at)?;
            names.extend([name, "/"]);
            at = parent;
        }
        names.reverse();
        Some(names.concat())
    }

    pub fn is_within(&self, inode: Inode, top: Inode) -> bool {
        let mut at = inode;
        while at != top && at != 0 {
            at = self.nodes[at].parent;
        }
        at == top
    }

    /// The directory and the name of a path.
    pub fn split(&self, path: &str) -> Option<Entry> {
        let (top, path) = path.strip_prefix('~').map_or((TREE, path), |path| (OUTSIDE, path));
        let (above, name) = path.rsplit_once('/').map_or((None, path), |(above, name)| (Some(above), name));
        let mut at = top;
        for name in above.into_iter().flat_map(|above| above.split('/')) {
            at = self.entry(at, name).filter(|inode| self.is_directory(*inode))?;
        }
        Some((at, name.to_owned()))
    }

    /// What is at a path.
    pub fn look_up(&self, path: &str) -> Option<(Entry, Inode)> {
        let (directory, name) = self.split(path)?;
        let inode = self.entry(directory, &name)?;
        Some(((directory, name), inode))
    }

    /// Lets a process do something; whether it succeeds.
    pub fn act(&mut self, process: i32, operation: &Operation) -> bool {
        match operation {
            Operation::Mkdir(path) => self.make(process, path, true),
            Operation::Create(path) => self.make(process, path, false),
            Operation::Remove(path) => self.remove(process, path),
            Operation::Rename(from, to) => self.rename(process, from, to),
            Operation::Exchange(one, other) => self.exchange(process, one, other),
            Operation::Link(from, to) => self.link(process, from, to),
            Operation::Write(path) => {
                let Some((entry, inode)) = self.look_up(path) else { return false };
                if self.is_directory(inode) {
                    return false;
                }
                let number = self.report_entry(process, FAN_MODIFY, &entry, inode);
                self.written.extend(number);
                true
            }
            Operation::Open(path) => {
                let Some((_, inode)) = self.look_up(path).filter(|(_, inode)| self.is_directory(*inode))
                else {
                    return false;
                };
                self.report_self(process, FAN_OPEN, inode);
                self.report_self(process, libc::FAN_CLOSE_NOWRITE, inode);
                true
            }
            Operation::Hold(path) => {
                self.held.extend(self.look_up(path).map(|(_, inode)| inode));
                true
            }
            Operation::Release => {
                let held = std::mem::take(&mut self.held);
                held.into_iter().for_each(|inode| self.end(process, inode));
                true
            }
        }
    }

    fn make(&mut self, process: i32, path: &str, is_directory: bool) -> bool {
        let Some((directory, name)) = self.split(path) else { return false };
        if self.entry(directory, &name).is_some() {
            return false;
        }
        let inode = self.nodes.len();
        self.nodes.push(Node { is_directory, parent: directory, entries: BTreeMap::new(), links: 1 });
        self.nodes[directory].entries.insert(name.clone(), inode);
        let number = self.report_entry(process, FAN_CREATE, &(directory, name.clone()), inode);
        self.record("CREATE", &(directory, name), inode, number);
        true
    }

    fn link(&mut self, process: i32, from: &str, to: &str) -> bool {
        let Some((_, inode)) = self.look_up(from).filter(|(_, inode)| !self.is_directory(*inode)) else {
            return false;
        };
        let Some(entry) = self.split(to).filter(|(at, name)| self.entry(*at, name).is_none()) else {
            return false;
        };
        self.nodes[entry.0].entries.insert(entry.1.clone(), inode);
        self.nodes[inode].links += 1;
        self.linked.insert(inode);
        let number = self.report_entry(process, FAN_CREATE, &entry, inode);
        self.record("CREATE", &entry, inode, number);
        true
    }

    fn remove(&mut self, process: i32, path: &str) -> bool {
        let Some((entry, inode)) = self.look_up(path) else { return false };
        if !self.nodes[inode].entries.is_empty() {
            return false;
        }
        // The object ends before the entry is reported as deleted, unless somebody has it open.
        self.nodes[inode].links -= 1;
        self.end(process, inode);
        let number = self.report_entry(process, FAN_DELETE, &entry, inode);
        self.record("DELETE", &entry, inode, number);
        self.nodes[entry.0].entries.remove(&entry.1);
        true
    }

    /// Reports that an object is gone, if it is.
    fn end(&mut self, process: i32, inode: Inode) {
        if self.nodes[inode].links == 0 && !self.held.contains(&inode) {
            self.report_self(process, FAN_DELETE_SELF, inode);
            if let Marked::Inodes(marks) = &mut self.marked {
                marks.remove(&inode);
            }
        }
    }

    fn rename(&mut self, process: i32, from: &str, to: &str) -> bool {
        let (Some((old, inode)), Some(new)) = (self.look_up(from), self.split(to)) else { return false };
        let is_directory = self.is_directory(inode);
        if is_directory && self.is_within(new.0, inode) {
            return false;
        }
        let target = self.entry(new.0, &new.1);
        if target == Some(inode) {
            return true;
        }
        if let Some(target) = target {
            let replaced = &self.nodes[target];
            if replaced.is_directory != is_directory || !replaced.entries.is_empty() {
                return false;
            }
        }
        self.is_ambiguous |= target.is_some_and(|target| {
            let is_from_here = |happened: &Happened| {
                (happened.event, happened.inode, &happened.entry) == ("MOVED_FROM", target, &new)
            };
            let has_its_end = matches!(self.marked, Marked::Filesystem(_)) && self.nodes[target].links == 1;
            !is_directory && !has_its_end && self.happened.iter().any(is_from_here)
        });
        self.record_move(process, inode, &old, &new, |world| {
            world.nodes[old.0].entries.remove(&old.1);
            world.nodes[new.0].entries.insert(new.1.clone(), inode);
            if is_directory {
                world.nodes[inode].parent = new.0;
            }
        });
        self.report_self(process, FAN_MOVE_SELF, inode);
        if let Some(target) = target {
            self.nodes[target].links -= 1;
            self.end(process, target);
        }
        true
    }

    fn exchange(&mut self, process: i32, one: &str, other: &str) -> bool {
        let (Some((old, inode)), Some((new, partner))) = (self.look_up(one), self.look_up(other)) else {
            return false;
        };
        let within =
            |world: &World, entry: &Entry, top| world.is_directory(top) && world.is_within(entry.0, top);
        if inode == partner || within(self, &new, inode) || within(self, &old, partner) {
            return inode == partner;
        }
        self.record_move(process, inode, &old, &new, |world| {
            world.nodes[old.0].entries.insert(old.1.clone(), partner);
            world.nodes[new.0].entries.insert(new.1.clone(), inode);
            for (inode, at) in [(inode, &new), (partner, &old)] {
                if world.is_directory(inode) {
                    world.nodes[inode].parent = at.0;
                }
            }
        });
        self.report_self(process, FAN_MOVE_SELF, inode);
        self.record_move(process, partner, &new, &old, |_| ());
        self.report_self(process, FAN_MOVE_SELF, partner);
        let halves = self.happened.len() - 4;
        self.happened[halves..].iter_mut().for_each(|happened| happened.exchange = true);
        true
    }

    /// Does a rename and reports it.
    fn record_move(
        &mut self,
        process: i32,
        inode: Inode,
        old: &Entry,
        new: &Entry,
        change: impl FnOnce(&mut World),
    ) {
        let before = self.happened.len();
        self.record("MOVED_FROM", old, inode, None);
        change(self);
        let unread = self.queue.len();
        let number = self.report_rename(process, old, new, inode);
        self.record("MOVED_TO", new, inode, number);
        let is_seen = [self.reports_renames(old.0), self.reports_renames(new.0)];
        for (half, is_seen) in self.happened[before..].iter_mut().zip(is_seen) {
            half.reported_by = number.filter(|_| is_seen);
        }
        if is_seen == [false, true] && !self.is_directory(inode) {
            let left = self.happened.iter().filter(|happened| {
                happened.event == "MOVED_FROM" && happened.inode == inode && happened.reported_by.is_some()
            });
            self.is_ambiguous |= left
                .map(|happened| &happened.entry)
                .any(|entry| entry != new && self.entry(entry.0, &entry.1) == Some(inode));
        }
        let is_merged = number.is_some() && self.queue.len() == unread;
        if is_merged && self.is_directory(inode) {
            let left = self.happened[..before].iter().rposition(|happened| happened.inode == inode);
            let since = left.map_or(before, |left| left + 1);
            self.is_ambiguous |= (since..before).any(|at| self.happened_within(at, inode));
            if let Marked::Inodes(_) = self.marked {
                self.unsettled.insert(inode);
            }
        }
        self.note_unsettled(before);
    }

    /// Whether a change that was reported happened in a directory, or in one that is in it.
    fn happened_within(&self, at: usize, directory: Inode) -> bool {
        let Happened { entry, reported_by, .. } = &self.happened[at];
        reported_by.is_some() && self.is_within(entry.0, directory)
    }

    /// Whether any of the last changes happened in a directory whose rename was merged.
    fn note_unsettled(&mut self, first: usize) {
        let mut last = first..self.happened.len();
        let is_in_any = |at| self.unsettled.iter().any(|directory| self.happened_within(at, *directory));
        self.is_ambiguous |= last.any(is_in_any);
    }

    fn record(&mut self, event: &'static str, entry: &Entry, inode: Inode, reported_by: Option<usize>) {
        let Some(above) = self.path(entry.0) else { return };
        self.happened.push(Happened {
            event,
            path: format!("{above}/{}", entry.1),
            entry: entry.clone(),
            inode,
            below: if event == "MOVED_TO" { self.below(inode) } else { Vec::new() },
            exchange: false,
            reported_by,
        });
        self.note_unsettled(self.happened.len() - 1);
    }

    /// All that is below a directory, each inode after what it is in.
    pub fn below(&self, top: Inode) -> Vec<(Inode, Entry)> {
        let mut found = Vec::new();
        let mut pending = vec![top];
        while let Some(directory) = pending.pop() {
            for (name, inode) in self.entries(directory) {
                found.push((inode, (directory, name.clone())));
                pending.push(inode);
            }
        }
        found
    }

    fn on_directory(&self, inode: Inode) -> u64 {
        if self.is_directory(inode) { FAN_ONDIR } else { 0 }
    }

    fn report_entry(&mut self, process: i32, bit: u64, entry: &Entry, inode: Inode) -> Option<usize> {
        let asked = match &self.marked {
            Marked::Filesystem(mask) => *mask,
            Marked::Inodes(marks) => *marks.get(&entry.0)?,
        };
        if asked & bit == 0 {
            return None;
        }
        let mask = bit | self.on_directory(inode);
        Some(self.queue(Queued {
            mask,
            process,
            place: Some(entry.clone()),
            object: Some(inode),
            ..Queued::default()
        }))
    }

    /// Whether the renames of what is in a directory are reported.
    fn reports_renames(&self, directory: Inode) -> bool {
        match &self.marked {
            Marked::Filesystem(mask) => mask & FAN_RENAME != 0,
            Marked::Inodes(marks) => marks.get(&directory).is_some_and(|mask| mask & FAN_RENAME != 0),
        }
    }

    fn report_rename(&mut self, process: i32, old: &Entry, new: &Entry, inode: Inode) -> Option<usize> {
        let [old, new] =
            [old, new].map(|entry| Some(entry.clone()).filter(|(at, _)| self.reports_renames(*at)));
        if old.is_none() && new.is_none() {
            return None;
        }
        let mask = FAN_RENAME | self.on_directory(inode);
        Some(self.queue(Queued { mask, process, place: None, old, new, object: Some(inode) }))
    }

    fn report_self(&mut self, process: i32, bit: u64, inode: Inode) {
        let asked = match &self.marked {
            Marked::Filesystem(mask) => *mask,
            Marked::Inodes(marks) => {
                let marked = |inode: &Inode| marks.get(inode).copied().unwrap_or(0);
                // FAN_EVENT_ON_CHILD; the event names the directory that is opened all the same.
                let above = marked(&self.nodes[inode].parent) & (FAN_OPEN | libc::FAN_CLOSE_NOWRITE);
                marked(&inode) | above
            }
        };
        if asked & bit != 0 {
            let is_directory = self.is_directory(inode);
            self.queue(Queued {
                mask: bit | self.on_directory(inode),
                process,
                place: is_directory.then(|| (inode, ".".into())),
                object: (!is_directory).then_some(inode),
                ..Queued::default()
            });
        }
    }

    fn queue(&mut self, event: Queued) -> usize {
        let fixed = |event: &Queued| Queued { mask: event.mask & (FAN_ONDIR | FAN_RENAME), ..event.clone() };
        let key = fixed(&event);
        if let Some(at) = self.queue.iter().rposition(|unread| fixed(unread) == key) {
            self.queue[at].mask |= event.mask;
            return self.read + at;
        }
        self.queue.push(event);
        self.read + self.queue.len() - 1
    }
}

/// The handle of an inode, as events carry it.
pub fn handle(inode: Inode) -> Box<Handle> {
    let own = (inode as u32).to_ne_bytes();
    [&[7; 8][..], &(own.len() as u32).to_ne_bytes(), &1u32.to_ne_bytes(), &own].concat().into()
}

/// The inode of a handle.
pub fn inode(handle: &Handle) -> Inode {
    handle.last_chunk().map_or(0, |own| u32::from_ne_bytes(*own)) as Inode
}

/// Events in the kernel's form.
pub fn encode(events: &[Queued]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut records = Vec::new();
    for event in events {
        records.clear();
        let mut record = |kind: u8, inode: Inode, name: Option<&str>| {
            let handle = handle(inode);
            let length = 4 + handle.len() + name.map_or(0, |name| name.len() + 1);
            records.extend_from_slice(&[kind, 0]);
            records.extend_from_slice(&(length as u16).to_ne_bytes());
            records.extend_from_slice(&handle);
            if let Some(name) = name {
                records.extend_from_slice(name.as_bytes());
                records.push(0);
            }
        };
        for (kind, entry) in [
            (libc::FAN_EVENT_INFO_TYPE_DFID_NAME, &event.place),
            (libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, &event.old),
            (libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, &event.new),
        ] {
            if let Some((directory, name)) = entry {
                record(kind, *directory, Some(name));
            }
        }
        if let Some(object) = event.object {
            record(libc::FAN_EVENT_INFO_TYPE_FID, object, None);
        }
        let length = (24 + records.len()) as u32;
        bytes.extend(length.to_ne_bytes());
        bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0]);
        bytes.extend(24u16.to_ne_bytes());
        bytes.extend(event.mask.to_ne_bytes());
        bytes.extend((-1i32).to_ne_bytes());
        bytes.extend(event.process.to_ne_bytes());
        bytes.extend_from_slice(&records);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fanotify::decoded;

    #[test]
    fn encoded_bytes_are_decoded_again() {
        let mut world = World::new(Marked::Filesystem(u64::MAX));
        for text in ["mkdir a", "create b", "rename b a/b", "remove a/b", "open a"] {
            assert!(world.act(1, &Operation::parse(text).unwrap()), "{text}");
        }
        let events = world.take();
        let bytes = encode(&events);
        let decoded: Vec<_> = decoded(&bytes).collect();
        assert_eq!(decoded.len(), events.len());
        for (event, wanted) in decoded.iter().zip(&events) {
            let entry = |entry: Option<crate::sys::fanotify::Entry>| {
                entry.map(|entry| (inode(entry.directory), String::from_utf8(entry.name.into()).unwrap()))
            };
            let found = Queued {
                mask: event.mask,
                process: event.pid,
                place: entry(event.place),
                old: entry(event.old),
                new: entry(event.new),
                object: event.object.map(inode),
            };
            assert_eq!(found, *wanted);
        }
    }
}
