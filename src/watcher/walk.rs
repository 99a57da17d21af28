//! Walking the tree: at the start, and again after a queue overflow.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;

use libc::{IN_ACCESS, IN_CLOSE_NOWRITE, IN_DONT_FOLLOW, IN_ISDIR, IN_MOVE_SELF, IN_ONLYDIR, IN_OPEN};

use super::{Problem, Watcher};
use crate::event::Mask;
use crate::fanotify::absolute_path;
use crate::queue::Place;
use crate::sys::directory::Kind;
use crate::sys::process;
use crate::tree::{Flags, NodeId, Tree};
use crate::world::{At, World};

/// What reading a directory causes on it and on its parent.
pub(super) const READING: Mask = IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE;

/// How many directories are read before the kernel's queue is emptied: it is short, a walk may be long.
const STRETCH: usize = 64;

/// What came of watching an entry of a directory.
pub(super) enum Added {
    New(NodeId),
    /// Watched already, at this place or elsewhere.
    Known(NodeId),
    /// No directory is there now.
    Gone,
}

/// The entries of a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, usize, Kind)>,
}

impl Listing {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        self.entries.iter().map(|&(at, length, kind)| (&self.names[at..at + length], kind))
    }
}

/// Directories of the walk that were read together, and those that were found in them.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    read: Vec<NodeId>,
    added: Vec<NodeId>,
}

/// What is in a directory, and with care the descriptor through which it was read.
struct Read<D> {
    listing: Listing,
    through: Option<D>,
}

impl<W: World> Watcher<W> {
    /// Watches an operand. ENOSPC means the limit max_user_watches. With `-r`, what is below it follows by
    /// [`walk`](Self::walk).
    pub(super) fn watch_operand(&mut self, operand: &[u8]) -> io::Result<()> {
        let recursive = self.settings.recursive;
        let path = self.real(operand).into_owned();
        let mut directory = self.world.is_directory(&path, recursive);
        let mut name = Cow::Borrowed(operand);
        let mut mask = self.kernel_mask();
        if directory && recursive {
            // With the slash a link is followed whatever -P says, as in the reference.
            if operand.last() != Some(&b'/') {
                name.to_mut().push(b'/');
            }
            mask &= !self.raised_later();
        } else if !self.settings.follow {
            mask |= IN_DONT_FOLLOW;
        }
        let mut place = Cow::Borrowed(operand);
        if !W::REPORTS_OWN_ACTIONS {
            // Links in it may be changed after the watch, which stays on what it is on.
            place = absolute_path(&self.settings.base, &name, mask & IN_DONT_FOLLOW == 0)?.into();
            directory = self.world.is_directory(&place, false);
        }
        let path = self.real(&name).into_owned();
        let wd = self.world.watch(At::Path(&path), mask)?;
        // The same inode twice is one watch, under its first name.
        if self.tree.find(wd).is_none() {
            let recursive = directory && recursive;
            let flags = Flags { directory, recursive, initial: true, ..Flags::default() };
            let node = self.tree.insert(None, &place, wd, flags);
            if recursive {
                self.unread.push(node);
            }
        }
        Ok(())
    }

    /// Reads the next directory of the set-up and watches those in it; `false` when none is left.
    ///
    /// ENOSPC means the limit max_user_watches; other errors are no reason to stop. To be called until none
    /// is left; in between the program may look at signals and tell how far it is.
    pub(super) fn walk_on(&mut self) -> io::Result<bool> {
        if self.walked % STRETCH == 0 || self.unread.is_empty() {
            self.end_stretch();
        }
        let Some(node) = self.unread.pop() else { return Ok(false) };
        self.walked += 1;
        self.stretches[1].read.push(node);
        let mask = self.kernel_mask() & !self.raised_later();
        let mut path = self.tree.path(node);
        let read = match self.read_directories(node, self.careful, mask) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(true),
            Err(error) => {
                self.problems.push_back(Problem::Directory { path, error, new: false });
                return Ok(true);
            }
        };
        let watched = path.len();
        for (name, _) in read.listing.iter() {
            path.truncate(watched);
            path.extend_from_slice(name);
            path.push(b'/');
            let wd = self.tree.wd(node);
            if self.settings.filter.leaves_out(&path) {
                self.left_out.insert(Place { wd, name: name.into() });
                continue;
            }
            match self.add_entry(node, name, &path, read.through.as_ref(), mask, true) {
                Ok(Added::New(found)) => {
                    self.unread.push(found);
                    self.stretches[1].added.push(found);
                }
                // An operand that was given before what it is in, by the same path: it is renamed with the rest.
                Ok(Added::Known(found)) if self.is_operand_at(found, node, &path) => {
                    self.tree.relink(found, node, name);
                }
                Ok(Added::Known(found)) if self.careful => {
                    self.sighted(found, Place { wd, name: name.into() }, false, false);
                }
                Ok(Added::Known(_) | Added::Gone) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    return Err(error);
                }
                Err(error) => {
                    let path = path.clone();
                    self.problems.push_back(Problem::Directory { path, error, new: false });
                }
            }
        }
        Ok(true)
    }

    /// Looks whether a directory was renamed while the last ones were read: then a path may have led elsewhere
    /// than it seemed. What they brought is taken back, they are read again, and all from then on with care.
    fn end_stretch(&mut self) {
        let mark = self.queue.mark();
        self.pull();
        let [older, newer] = &mut self.stretches;
        if self.careful || self.queue.since(mark).all(|event| event.mask & IN_MOVE_SELF == 0) {
            // The rename's event may come a moment after it can be seen: the stretch before counts, too.
            *older = std::mem::take(newer);
            return;
        }
        self.careful = true;
        let added: Vec<NodeId> = older.added.drain(..).chain(newer.added.drain(..)).collect();
        let read: Vec<NodeId> = older.read.drain(..).chain(newer.read.drain(..)).collect();
        for node in added.iter().rev() {
            self.world.unwatch(self.tree.wd(*node));
            self.tree.remove(*node);
        }
        let added: HashSet<NodeId> = added.into_iter().collect();
        self.unread.extend(read);
        self.unread.retain(|node| !added.contains(node));
    }

    /// Reads which directories are in one that is watched. With care, not its path but its watch decides that it
    /// is the one; `None` where its path leads elsewhere, or nowhere: then it is read as soon as that is known.
    fn read_directories(
        &mut self,
        node: NodeId,
        careful: bool,
        mask: Mask,
    ) -> io::Result<Option<Read<W::Dir>>> {
        let path = self.system_path(node);
        let read = self.world.open(At::Path(&path)).and_then(|directory| {
            let wd = self.tree.wd(node);
            if careful && !self.is_at(At::Dir(&directory), wd, mask) {
                return Err(io::Error::from_raw_os_error(libc::ENOENT));
            }
            let listing = self.list_open(&directory, true)?;
            Ok(Read { listing, through: careful.then_some(directory) })
        });
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if is_gone(&error) => {
                let flags = self.tree.flags_mut(node);
                (flags.unscanned, flags.news) = (true, false);
                self.late.insert(self.tree.wd(node));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads those directories whose path was not known when they were to be read.
    pub(super) fn read_late(&mut self) {
        for wd in std::mem::take(&mut self.late) {
            let Some(node) = self.tree.find(wd).filter(|node| self.tree.flags(*node).unscanned) else {
                continue;
            };
            self.scan_below(node);
            if self.tree.find(wd).is_some_and(|node| self.tree.flags(node).unscanned) {
                self.late.insert(wd);
            }
        }
    }

    /// The number of watches that the operands need. Reads the whole tree.
    pub(super) fn count_needed(&mut self, operands: &[Vec<u8>]) -> usize {
        let mut needed = 0;
        for operand in operands {
            needed += 1;
            let mut pending = vec![operand.clone()];
            while let Some(mut path) = pending.pop().filter(|_| self.settings.recursive) {
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                let real = self.real(&path).into_owned();
                let Ok(listing) = self.list(&real, true) else { continue };
                for (name, _) in listing.iter() {
                    let below = [&path, name, b"/"].concat();
                    if !self.settings.filter.leaves_out(&below) {
                        needed += 1;
                        pending.push(below);
                    }
                }
            }
        }
        needed
    }

    /// Ends the set-up: from now on all events come that were asked for.
    ///
    /// Those that reading a directory causes were not listened for until here: the walk would have
    /// flooded the queue with its own.
    pub(super) fn end_set_up(&mut self) {
        self.stretches = Default::default();
        if self.raised_later() != 0 {
            let recursive = |node: &NodeId| self.tree.flags(*node).recursive;
            self.unraised = self.tree.nodes().filter(recursive).map(|node| self.tree.wd(node)).collect();
            self.raise();
        }
    }

    /// Asks for all events on the directories of the set-up. One that was renamed meanwhile is not found
    /// under its path, and is tried again when that is known.
    pub(super) fn raise(&mut self) {
        for wd in std::mem::take(&mut self.unraised) {
            let Some(node) = self.tree.find(wd) else { continue };
            let path = self.system_path(node);
            if !self.is_at(At::Path(&path), wd, self.kernel_mask()) {
                self.unraised.push(wd);
            }
        }
    }

    fn is_operand_at(&self, operand: NodeId, above: NodeId, path: &[u8]) -> bool {
        let is_operand = self.tree.parent(operand).is_none();
        is_operand && self.tree.path(operand) == path && !self.tree.is_within(above, operand)
    }

    /// The queue has overflown: that is said first, then the tree is walked again.
    pub(super) fn overflown(&mut self) {
        let recursive = self.tree.nodes().any(|node| self.tree.flags(node).recursive);
        self.problems.push_back(Problem::Overflow { limit: self.world.queue_limit(), recursive });
        self.recovering = recursive;
    }

    /// After a queue overflow: makes the tree what the file system is now.
    pub(super) fn recover(&mut self) {
        self.left_out.clear();
        self.refused.clear();
        let nodes: Vec<NodeId> = self.tree.nodes().collect();
        let mut met = HashSet::new();
        let mut pending = Vec::new();
        for node in &nodes {
            self.tree.flags_mut(*node).unscanned = false;
            if self.tree.parent(*node).is_none() {
                met.insert(*node);
                if self.tree.flags(*node).recursive {
                    pending.push(*node);
                }
            }
        }
        self.pull();
        let mut mark = self.queue.mark();
        for stretch in 1.. {
            let Some(node) = pending.pop() else { break };
            let Ok(Some(read)) = self.read_directories(node, true, self.kernel_mask()) else { continue };
            let mut path = self.tree.path(node);
            let watched = path.len();
            for (name, _) in read.listing.iter() {
                path.truncate(watched);
                path.extend_from_slice(name);
                path.push(b'/');
                if self.settings.filter.leaves_out(&path) {
                    self.left_out.insert(Place { wd: self.tree.wd(node), name: name.into() });
                    continue;
                }
                let found =
                    match self.add_entry(node, name, &path, read.through.as_ref(), self.kernel_mask(), false)
                    {
                        Ok(Added::New(found)) => found,
                        Ok(Added::Known(found)) if !met.contains(&found) => {
                            if !self.tree.is_within(node, found) {
                                self.tree.relink(found, node, name);
                            }
                            found
                        }
                        Ok(_) => continue,
                        Err(error) => {
                            let path = path.clone();
                            self.problems.push_back(Problem::Directory { path, error, new: true });
                            continue;
                        }
                    };
                met.insert(found);
                pending.push(found);
            }
            if stretch % STRETCH == 0 {
                mark = self.pull_without_reading(mark);
            }
        }
        self.pull_without_reading(mark);
        self.path_of = None;
        for node in nodes {
            let wd = self.tree.wd(node);
            if wd != -1 && self.tree.find(wd) == Some(node) && !met.contains(&node) {
                self.release(node);
            }
        }
    }

    /// Reads what the kernel has queued, without what the walk's own reading caused from `mark` on; returns
    /// the next mark.
    pub(super) fn pull_without_reading(&mut self, mark: usize) -> usize {
        self.pull();
        if W::REPORTS_OWN_ACTIONS {
            self.queue.drop_since(mark, |event| event.mask & IN_ISDIR != 0 && event.mask & READING != 0);
        }
        self.queue.mark()
    }

    /// Reads what the kernel has queued. An error shows again, and is dealt with, at the next ordinary read.
    pub(super) fn pull(&mut self) {
        let _ = self.queue.fill(|buffer| self.world.read(buffer));
    }

    /// What a watch of the set-up gets only when all of it stands.
    fn raised_later(&self) -> Mask {
        if W::REPORTS_OWN_ACTIONS { self.kernel_mask() & READING } else { 0 }
    }

    /// Watches the entry `name` of a directory, if it is a directory. `path` is where it is now.
    pub(super) fn add_directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
        mask: Mask,
        initial: bool,
    ) -> io::Result<Added> {
        self.add_entry(parent, name, path, None, mask, initial)
    }

    /// The same, by the open directory if there is one.
    fn add_entry(
        &mut self,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
        through: Option<&W::Dir>,
        mask: Mask,
        initial: bool,
    ) -> io::Result<Added> {
        let path = self.real(path.strip_suffix(b"/").unwrap_or(path)).into_owned();
        let at = through.map_or(At::Path(&path), |directory| At::Entry(directory, name));
        let wd = match self.world.watch(at, mask | IN_ONLYDIR | IN_DONT_FOLLOW) {
            Err(error) if is_gone(&error) => return Ok(Added::Gone),
            other => other?,
        };
        if let Some(node) = self.tree.find(wd) {
            return Ok(Added::Known(node));
        }
        let flags = Flags { directory: true, recursive: true, initial, ..Flags::default() };
        Ok(Added::New(self.tree.insert(Some(parent), name, wd, flags)))
    }

    /// Whether the directory there is the one watched as `wd`.
    pub(super) fn is_at(&mut self, at: At<W::Dir>, wd: i32, mask: Mask) -> bool {
        let mask = match at {
            At::Path(path) => only_directory(path, mask),
            _ => mask | IN_ONLYDIR,
        };
        let tree = &self.tree;
        self.world.is_watched_as(at, mask, wd, |found| tree.find(found).is_some())
    }

    /// A directory's path for system calls: an operand's ends in `/`, so that a link given as an operand
    /// is followed; any other's does not, so that a link put in its place is not.
    pub(super) fn system_path(&self, node: NodeId) -> Vec<u8> {
        system_path(&self.tree, &self.settings.base, node)
    }

    /// The entries of the directory at `path`; all, or the directories only.
    pub(super) fn list(&mut self, path: &[u8], directories_only: bool) -> io::Result<Listing> {
        let directory = self.world.open(At::Path(path))?;
        self.list_open(&directory, directories_only)
    }

    /// The same of a directory that is open already.
    pub(super) fn list_open(&mut self, directory: &W::Dir, directories_only: bool) -> io::Result<Listing> {
        let mut listing = Listing::default();
        self.world.list(directory, &mut |name, kind| {
            if !directories_only || kind == Kind::Directory {
                listing.entries.push((listing.names.len(), name.len(), kind));
                listing.names.extend_from_slice(name);
            }
        })?;
        Ok(listing)
    }
}

/// Whether an error says that the directory is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

/// What to watch a directory at `path` with; only one ending in a slash may be a link to it.
fn only_directory(path: &[u8], mask: Mask) -> Mask {
    match path.last() {
        Some(b'/') => mask | IN_ONLYDIR,
        _ => mask | IN_ONLYDIR | IN_DONT_FOLLOW,
    }
}

/// See [`Watcher::system_path`].
pub(super) fn system_path(tree: &Tree, base: &[u8], node: NodeId) -> Vec<u8> {
    let mut path = tree.path(node);
    if tree.parent(node).is_some() {
        path.pop();
    }
    process::absolute(base, &path).into_owned()
}
