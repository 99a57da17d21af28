//! Keeping the tree true to the events: what appears, what is renamed, what is gone.

use crate::event::is_asked;
use crate::fanotify::joined;
use crate::fanotify::normalise::{Linked, Rename};
use crate::source::Problem;
use crate::sys::fanotify::{Entry, Handle, RawEvent};
use crate::sys::inotify::Wd;
use crate::sys::mask::{
    IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
    IN_Q_OVERFLOW, Mask,
};
use crate::sys::mounts::{self, Mount};
use crate::tree::NodeId;

use super::kernel::Kernel;
use super::locate::REMEMBERED;
use super::{DIRECTORY, Filesystems, Outgoing, State};

/// So many directories that ended last are remembered: their deletion follows soon.
const ENDED: usize = 16;

impl<K: Kernel> Filesystems<K> {
    /// Reports what happened to a watched object itself.
    pub(super) fn report_itself(&mut self, node: NodeId, mask: Mask) {
        let directory = IN_ISDIR.when(self.tree.state(node).directory);
        self.report(node, mask | directory, 0, b"");
    }

    /// Lets a node go with all below it.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.tree.subtree(node).into_iter().rev().for_each(|node| self.retire(node));
    }

    pub(super) fn follow(&mut self, event: &RawEvent) {
        let mask = event.events() & (IN_ALL_EVENTS | IN_ISDIR | IN_Q_OVERFLOW);
        if mask.has(IN_Q_OVERFLOW) {
            return self.overflown();
        }
        self.was_there = event.place.is_none_or(|entry| entry.name != b".");
        let is_directory = mask.has(IN_ISDIR);
        let found = event.place.and_then(|entry| Some((self.locate(entry.directory)?, entry.name)));
        let Some((node, name)) = found else {
            event.place.into_iter().for_each(|entry| self.elsewhere(&entry, mask, event.object));
            // A file that is an operand.
            let file = event.object.and_then(|object| self.known(object));
            if let Some(file) = file.filter(|file| !self.tree.state(*file).directory) {
                self.follow_itself(file, mask);
            }
            return;
        };
        if name == b"." {
            return self.follow_itself(node, mask & !IN_ISDIR);
        }
        if mask.has(IN_CREATE) && is_directory {
            self.appeared(node, name, event.object);
        }
        if mask.has(IN_DELETE) && is_directory {
            event.object.into_iter().for_each(|object| self.deleted(node, name, object));
        }
        self.report(node, mask, 0, name);
    }

    /// An event of a watched object itself.
    fn follow_itself(&mut self, node: NodeId, mask: Mask) {
        let plain = mask & !(IN_CREATE | IN_DELETE | IN_DELETE_SELF);
        if plain != Mask::NONE {
            self.report_itself(node, plain);
        }
        if mask.has(IN_DELETE_SELF) {
            self.end(node);
        }
    }

    /// A watched object is gone.
    fn end(&mut self, node: NodeId) {
        self.report_itself(node, IN_DELETE_SELF);
        if let Some(handle) = self.handles.get(&node).cloned() {
            self.remember_end(handle, true);
        }
        self.retire(node);
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
        let node = self.insert(Some(parent), name, object, DIRECTORY);
        if ended == Some(false) {
            self.end(node);
        }
    }

    /// What is created elsewhere is elsewhere, without a look at it; what is deleted need not be remembered.
    fn elsewhere(&mut self, entry: &Entry, mask: Mask, object: Option<&Handle>) {
        if mask.has(IN_DELETE_SELF) {
            self.outside.remove(entry.directory);
            self.remember_end(entry.directory.into(), false);
        } else if mask.has(IN_CREATE) && mask.has(IN_ISDIR) {
            // Nobody may have been able to look.
            let is_elsewhere = self.outside.contains(entry.directory) && self.outside.len() < REMEMBERED;
            self.outside.extend(object.filter(|_| is_elsewhere).map(Box::from));
        }
    }

    /// A directory is an entry of one that is known.
    fn appeared(&mut self, parent: NodeId, name: &[u8], object: Option<&Handle>) {
        let Some(object) = object else { return };
        match self.known(object) {
            None => {
                self.insert(Some(parent), name, object, DIRECTORY);
            }
            Some(node) if !self.is_fixed(node) && !self.tree.is_within(parent, node) => {
                self.relink(node, parent, name);
            }
            Some(_) => {}
        }
    }

    /// A file has a name again.
    pub(super) fn linked(&mut self, linked: &Linked) {
        self.was_there = true;
        let (directory, name) = &linked.entry;
        if let Some(node) = self.locate(directory) {
            self.report(node, IN_CREATE, 0, name);
        }
    }

    /// Reports a rename, by those ends that are within what was asked for.
    pub(super) fn renamed(&mut self, rename: &Rename) {
        self.was_there = true;
        let directory = IN_ISDIR.when(rename.is_directory);
        let [old, new] = [&rename.old, &rename.new].map(|place| {
            let (at, name) = place.as_ref()?;
            Some((self.locate(at)?, &**name))
        });
        let object = rename.object.as_deref();
        if rename.is_directory {
            self.meet(old, object);
            self.meet(new, rename.replaced.as_deref());
        }
        for (place, bit) in [(old, IN_MOVED_FROM), (new, IN_MOVED_TO)] {
            // The look for one end may have shown that the other is elsewhere.
            if let Some((node, name)) = place.filter(|(node, _)| !self.tree.is_removed(*node)) {
                self.report(node, bit | directory, rename.cookie, name);
            }
        }
        let known = object.and_then(|object| self.known(object));
        let is_fixed = known.is_some_and(|node| self.is_fixed(node));
        if let Some((parent, name)) = new.filter(|_| rename.is_directory && !is_fixed) {
            if known.is_none() {
                // So was what is below it. Something may be mounted there.
                self.outside.clear();
                self.may_have_mounts = true;
            }
            self.appeared(parent, name, object);
        }
        self.renamed_roots(rename);
        if let Some(node) = object.and_then(|object| self.known(object)) {
            self.report_itself(node, IN_MOVE_SELF);
            if new.is_none() && !is_fixed {
                // What is mounted in it may be mounted elsewhere, too.
                self.may_have_mounts |= self.mounts.iter().any(|(at, _)| self.tree.state(*at).mounted);
                self.forget(node);
            }
        }
    }

    /// A directory is at an entry and will not stay there: events of it follow that do not say where it was.
    fn meet(&mut self, entry: Option<(NodeId, &[u8])>, directory: Option<&Handle>) {
        let Some(((parent, name), directory)) = entry.zip(directory) else { return };
        if self.known(directory).is_none() && !self.tree.is_removed(parent) {
            self.insert(Some(parent), name, directory, DIRECTORY);
        }
    }

    /// Whether a node stays where it is when its directory is renamed: a root has its own path.
    fn is_fixed(&self, node: NodeId) -> bool {
        self.tree.parent(node).is_none() || self.tree.state(node).mounted
    }

    /// A root, or what is above one, has another path now.
    fn renamed_roots(&mut self, rename: &Rename) {
        let known = rename.object.as_ref().and_then(|object| self.known(object));
        let root = known.filter(|node| self.tree.parent(*node).is_none());
        if let Some((node, (directory, name))) = root.zip(rename.new.as_ref()) {
            if let Some(path) = self.path_then(node, directory) {
                self.move_root(node, &joined(&path, name));
            }
        }
        if rename.is_directory {
            self.look_after_roots(rename.old.as_ref().map_or(&b""[..], |(_, name)| name));
        }
    }

    /// Forgets all but the operands and the mounts. A directory is looked up again when something happens in it.
    fn begin_anew(&mut self) {
        let handles = self.handles.iter().map(|(node, handle)| (self.tree.state(*node), handle.clone()));
        let operands: Vec<Box<Handle>> =
            handles.filter(|(state, _)| state.initial).map(|(_, handle)| handle).collect();
        let table = mounts::all().unwrap_or_default();
        let mounts = self.mounts.iter().filter(|(node, _)| self.tree.state(*node).mounted);
        let mounts = mounts.filter_map(|(node, known)| {
            Some((self.handles.get(node)?.clone(), table.iter().find(|mount| mount.is(known))?.clone()))
        });
        let mounts: Vec<(Box<Handle>, Mount)> = mounts.collect();
        for root in self.roots.clone() {
            self.tree.children(root).into_iter().for_each(|below| self.forget(below));
            self.is_in_place(root);
        }
        mounts.into_iter().for_each(|(handle, mount)| self.add_mount(&handle, &mount));
        for operand in operands {
            if let Some(node) = self.locate(&operand) {
                self.tree.set_state(node, State { initial: true, ..self.tree.state(node) });
            }
        }
    }

    /// Renames and deletions may be among what was lost.
    fn overflown(&mut self) {
        let problem = Problem::Overflow { limit: self.limit, rescan: false };
        self.outbox.push_back(Outgoing::Problem(problem));
        self.outside.clear();
        self.begin_anew();
        self.read_git_anew();
        (self.path, self.path_of) = (Vec::new(), None);
        self.push_event(Wd::NONE, 0, IN_Q_OVERFLOW, 0, !is_asked(self.settings.events, IN_Q_OVERFLOW));
    }
}
