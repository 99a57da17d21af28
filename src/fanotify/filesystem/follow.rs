//! Keeping the tree true to the events: what appears, what is renamed, what is gone.

use libc::{
    IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_Q_OVERFLOW,
};

use crate::event::Mask;
use crate::fanotify::joined;
use crate::fanotify::normalise::Rename;
use crate::source::Problem;
use crate::sys::fanotify::{Entry, Handle, RawEvent};
use crate::tree::NodeId;

use super::kernel::Kernel;
use super::locate::REMEMBERED;
use super::{DIRECTORY, Filesystems, Ready};

/// So many directories that ended last are remembered: their deletion follows soon.
const ENDED: usize = 16;

impl<K: Kernel> Filesystems<K> {
    /// Reports what happened to a watched object itself.
    pub(super) fn tell_of_itself(&mut self, node: NodeId, mask: Mask) {
        let directory = if self.tree.flags(node).directory { IN_ISDIR } else { 0 };
        self.tell(self.tree.wd(node), mask | directory, 0, b"");
    }

    /// Lets a node go with all below it.
    pub(super) fn forget(&mut self, node: NodeId) {
        let below = self.tree.subtree(node);
        self.gone.extend(below.into_iter().rev().map(|node| self.tree.wd(node)).filter(|watch| *watch != -1));
    }

    pub(super) fn follow(&mut self, event: &RawEvent) {
        // The low half is inotify's.
        let mask = event.mask as Mask & (IN_ALL_EVENTS | IN_ISDIR | IN_Q_OVERFLOW);
        if mask & IN_Q_OVERFLOW != 0 {
            return self.overflown();
        }
        self.was_there = event.place.is_none_or(|entry| entry.name != b".");
        let directory = mask & IN_ISDIR;
        let found = event.place.and_then(|entry| Some((self.locate(entry.directory)?, entry.name)));
        let Some((node, name)) = found else {
            event.place.into_iter().for_each(|entry| self.elsewhere(&entry, mask, event.object));
            return self.follow_file(event.object, mask);
        };
        let watch = self.tree.wd(node);
        if name == b"." {
            let plain = mask & !(IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ISDIR);
            if plain != 0 {
                self.tell_of_itself(node, plain);
            }
            if mask & IN_DELETE_SELF != 0 {
                self.end(watch);
            }
            return;
        }
        if mask & IN_CREATE != 0 && directory != 0 {
            self.appeared(node, name, event.object);
        }
        if mask & IN_DELETE != 0 && directory != 0 {
            event.object.into_iter().for_each(|object| self.deleted(node, name, object));
        }
        self.tell(watch, mask, 0, name);
    }

    /// An event of a file that is an operand.
    fn follow_file(&mut self, object: Option<&Handle>, mask: Mask) {
        let node = object.and_then(|object| self.known(object));
        let Some(node) = node.filter(|node| !self.tree.flags(*node).directory) else { return };
        let watch = self.tree.wd(node);
        let plain = mask & !(IN_CREATE | IN_DELETE | IN_DELETE_SELF);
        if plain != 0 {
            self.tell(watch, plain, 0, b"");
        }
        if mask & IN_DELETE_SELF != 0 {
            self.end(watch);
        }
    }

    /// A watched object is gone.
    fn end(&mut self, watch: i32) {
        if let Some(node) = self.tree.find(watch) {
            self.tell_of_itself(node, IN_DELETE_SELF);
            self.gone.push_back(watch);
            if let Some(handle) = self.handles.get(&watch).cloned() {
                self.remember_end(handle, true);
            }
        }
    }

    fn remember_end(&mut self, directory: Box<Handle>, is_reported: bool) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((directory, is_reported));
    }

    /// A directory is deleted. Its own end comes before, or after if somebody has it open.
    fn deleted(&mut self, parent: NodeId, name: &[u8], object: &Handle) {
        let ended = self.ended.iter().position(|(ended, _)| **ended == *object);
        let ended = ended.and_then(|at| self.ended.remove(at)).map(|(_, is_reported)| is_reported);
        if self.known(object).is_some() || ended == Some(true) {
            return;
        }
        // Until it ends no event says any more where it was.
        let watch = self.insert(Some(parent), name, object, DIRECTORY);
        if ended == Some(false) {
            self.end(watch);
        }
    }

    /// What is created elsewhere is elsewhere, without a look at it; what is deleted need not be remembered.
    fn elsewhere(&mut self, entry: &Entry, mask: Mask, object: Option<&Handle>) {
        if mask & IN_DELETE_SELF != 0 {
            self.outside.remove(entry.directory);
            self.remember_end(entry.directory.into(), false);
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
                self.tree.change_flags(node, |flags| flags.unscanned = false);
                self.path_of = None;
            }
            Some(_) => {}
        }
    }

    /// Finds the paths of what is ready: something is about to be renamed.
    fn settle(&mut self) {
        while let Some(ready) = self.ready.pop_front() {
            let reported = self.report(&ready);
            self.follow_git(&ready);
            if let Some((watched, mask, ends_wait)) = reported {
                self.settled.push_back((Ready { mask, ..ready }, self.path.clone(), watched, ends_wait));
            }
        }
    }

    /// Reports a rename, by those ends that are within what was asked for.
    pub(super) fn renamed(&mut self, rename: &Rename) {
        self.was_there = true;
        let directory = if rename.is_directory { IN_ISDIR } else { 0 };
        let [old, new] = [&rename.old, &rename.new].map(|place| {
            let (at, name) = place.as_ref()?;
            let node = self.locate(at)?;
            Some((self.tree.wd(node), &**name))
        });
        self.settle();
        for (place, bit) in [(old, IN_MOVED_FROM), (new, IN_MOVED_TO)] {
            if let Some((watch, name)) = place {
                self.tell(watch, bit | directory, rename.cookie, name);
            }
        }
        let object = rename.object.as_deref();
        let known = object.and_then(|object| self.known(object));
        let is_root = known.is_some_and(|node| self.tree.parent(node).is_none());
        if let Some((watch, name)) = new.filter(|_| rename.is_directory && !is_root) {
            if known.is_none() {
                // So was what is below it.
                self.outside.clear();
            }
            if let Some(parent) = self.tree.find(watch) {
                self.appeared(parent, name, object);
            }
        }
        if let Some(node) = object.and_then(|object| self.known(object)) {
            self.tell_of_itself(node, IN_MOVE_SELF);
            if new.is_none() && !is_root {
                self.forget(node);
            }
        }
        self.renamed_roots(rename, old.is_none());
    }

    /// A root, or what is above one, has another path now.
    fn renamed_roots(&mut self, rename: &Rename, from_elsewhere: bool) {
        let known = rename.object.as_ref().and_then(|object| self.known(object));
        let root = known.filter(|node| self.tree.parent(*node).is_none());
        if let Some((node, (directory, name))) = root.zip(rename.new.as_ref()) {
            if let Some(path) = self.path_then(directory) {
                self.tree.relink(node, None, &joined(&path, name));
                self.path_of = None;
            }
        } else if from_elsewhere && rename.is_directory {
            self.look_after_roots(rename.old.as_ref().map_or(&b""[..], |(_, name)| name));
        }
    }

    /// Renames and deletions may be among what was lost.
    fn overflown(&mut self) {
        self.problems.push_back(Problem::Overflow { limit: self.limit, rescan: false });
        self.outside.clear();
        self.read_git_anew();
        let nodes: Vec<NodeId> = self.tree.nodes().collect();
        for node in nodes {
            if self.tree.parent(node).is_some() {
                self.tree.change_flags(node, |flags| flags.unscanned = true);
            } else {
                self.is_in_place(node);
            }
        }
        self.tell(-1, IN_Q_OVERFLOW, 0, b"");
    }
}
