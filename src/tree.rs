//! The watched tree: which watch is on which path.
//!
//! A node is its parent and its own name; a path is built by walking up. Renaming a directory re-links one node, whatever is
//! below it. A node needs some tens of bytes: nodes refer to each other by 32-bit index, and their names share one buffer.

use std::cell::Cell;

use hashbrown::HashTable;

use crate::hash::{PlaceHasher, hash_of_number};
use crate::sys::inotify::Wd;

/// A node. It names that node only: once the node is removed, it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId {
    index: u32,
    /// Differs for each node that ever was.
    generation: u32,
}

/// No node, where a link has nowhere to go.
const NONE: u32 = u32::MAX;

/// The state that a user of the tree keeps for each node.
pub trait State: Copy + Default {
    /// Whether it is a directory: its path ends in `/`.
    fn is_directory(&self) -> bool;
}

/// Of directories only, of which nothing else is kept.
impl State for () {
    fn is_directory(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone)]
struct Node<S> {
    parent: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    wd: Wd,
    name_at: u32,
    name_length: u32,
    generation: u32,
    /// It was removed and only keeps its name for what is below it.
    is_removed: bool,
    /// It is its parent's entry of that name; else another may be, and this one only keeps its path.
    is_entry: bool,
    state: S,
}

impl<S> Node<S> {
    fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        &names[self.name_at as usize..][..self.name_length as usize]
    }

    fn hash_of_place(&self, names: &[u8], hasher: &PlaceHasher) -> u64 {
        hasher.hash(self.parent, self.name(names))
    }
}

/// All nodes and their places.
#[derive(Debug)]
pub struct Tree<S> {
    nodes: Vec<Node<S>>,
    free: Vec<u32>,
    /// How many were free when their memory was last looked at.
    free_before: usize,
    newest_generation: u32,
    names: Vec<u8>,
    /// Bytes of `names` that no node refers to any more.
    unused_names: usize,
    by_wd: HashTable<u32>,
    /// The node that was found last by its watch: events come in a row for one directory.
    last_found: Cell<u32>,
    /// How many nodes have no watch and were not removed.
    unwatched: usize,
    /// The nodes that are entries, by parent and name.
    by_place: HashTable<u32>,
    hasher: PlaceHasher,
}

impl<S> Default for Tree<S> {
    fn default() -> Tree<S> {
        Tree {
            nodes: Vec::new(),
            free: Vec::new(),
            free_before: 0,
            newest_generation: 0,
            names: Vec::new(),
            unused_names: 0,
            by_wd: HashTable::new(),
            last_found: Cell::new(NONE),
            unwatched: 0,
            by_place: HashTable::new(),
            hasher: PlaceHasher::default(),
        }
    }
}

impl<S: State> Tree<S> {
    /// The node of a watch descriptor.
    pub fn find(&self, wd: Wd) -> Option<NodeId> {
        let last = self.last_found.get();
        if self.nodes.get(last as usize).is_some_and(|node| node.wd == wd && wd != Wd::NONE) {
            return Some(self.id(last));
        }
        let found = self.by_wd.find(hash_of_number(wd), |index| self.at(*index).wd == wd)?;
        self.last_found.set(*found);
        Some(self.id(*found))
    }

    /// The node that is the entry of that name in a directory.
    pub fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.get(parent)?;
        let is_it = |index: &u32| self.at(*index).parent == parent.index && self.name_at(*index) == name;
        let found = self.by_place.find(self.hasher.hash(parent.index, name), is_it)?;
        Some(self.id(*found))
    }

    /// The number of watches.
    pub fn len(&self) -> usize {
        self.by_wd.len()
    }

    /// The number of nodes that have no watch.
    pub fn unwatched(&self) -> usize {
        self.unwatched
    }

    /// Adds a node: an operand, named by its path as given, if `parent` is `None`; else an entry of `parent`. `wd` must be
    /// new, or [`Wd::NONE`].
    pub fn insert(&mut self, parent: Option<NodeId>, name: &[u8], wd: Wd, state: S) -> NodeId {
        let (name_at, name_length) = self.store(name);
        self.newest_generation = self.newest_generation.wrapping_add(1);
        let generation = self.newest_generation;
        let node = Node {
            parent: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            wd: Wd::NONE,
            name_at,
            name_length,
            generation,
            is_removed: false,
            is_entry: false,
            state,
        };
        let index = match self.free.pop() {
            Some(index) => {
                *self.at_mut(index) = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        let id = NodeId { index, generation };
        self.unwatched += 1;
        self.set_wd(id, wd);
        self.link(index, parent.filter(|parent| self.get(*parent).is_some()));
        id
    }

    /// Gives a node a watch, or with [`Wd::NONE`] takes it away.
    pub fn set_wd(&mut self, id: NodeId, wd: Wd) {
        let Some(old) = self.get(id).filter(|node| !node.is_removed).map(|node| node.wd) else { return };
        let Tree { nodes, by_wd, .. } = self;
        if old != Wd::NONE {
            if let Ok(entry) = by_wd.find_entry(hash_of_number(old), |index| *index == id.index) {
                entry.remove();
            }
        }
        nodes[id.index as usize].wd = wd;
        self.unwatched += usize::from(old != Wd::NONE);
        self.unwatched -= usize::from(wd != Wd::NONE);
        if wd != Wd::NONE {
            by_wd.insert_unique(hash_of_number(wd), id.index, |index| {
                hash_of_number(nodes[*index as usize].wd)
            });
        }
        if self.by_wd.capacity() > 1024 && self.by_wd.len() < self.by_wd.capacity() / 4 {
            self.by_wd
                .shrink_to(self.by_wd.len() * 2, |index| hash_of_number(self.nodes[*index as usize].wd));
        }
    }

    /// Moves a node, with all below it, to another place; an operand to another path. What was only kept above it for it goes.
    pub fn relink(&mut self, id: NodeId, parent: impl Into<Option<NodeId>>, name: &[u8]) {
        let Some(&Node { parent: left, name_length: length, .. }) = self.get(id) else { return };
        self.unlink(id.index);
        self.unused_names += length as usize;
        let (name_at, name_length) = self.store(name);
        let node = self.at_mut(id.index);
        (node.name_at, node.name_length) = (name_at, name_length);
        self.link(id.index, parent.into().filter(|parent| self.get(*parent).is_some()));
        self.give_up(left);
        self.tidy();
    }

    /// A node is no entry of its directory any more; it keeps its path until it is re-linked or removed.
    pub fn unplace(&mut self, id: NodeId) {
        if self.get(id).is_some() {
            self.forget_place(id.index);
        }
    }

    /// Removes a node and its watch. Its memory and its name go as soon as nothing is below it, as do those of the removed nodes above
    /// that were only kept for it.
    pub fn remove(&mut self, id: NodeId) {
        if self.get(id).is_none() {
            return;
        }
        self.set_wd(id, Wd::NONE);
        self.forget_place(id.index);
        self.unwatched -= usize::from(!self.at(id.index).is_removed);
        self.at_mut(id.index).is_removed = true;
        self.give_up(id.index);
        self.tidy();
    }

    /// Frees a removed node with nothing below it, and those above that were only kept for it.
    fn give_up(&mut self, mut at: u32) {
        while at != NONE && self.at(at).is_removed && self.at(at).first_child == NONE {
            let Node { parent, name_length, .. } = *self.at(at);
            self.unlink(at);
            self.unused_names += name_length as usize;
            let node = self.at_mut(at);
            (node.name_length, node.generation) = (0, 0);
            self.free.push(at);
            at = parent;
        }
    }

    /// The watch descriptor, or [`Wd::NONE`].
    pub fn wd(&self, id: NodeId) -> Wd {
        self.get(id).map_or(Wd::NONE, |node| node.wd)
    }

    /// Whether it was removed.
    pub fn is_removed(&self, id: NodeId) -> bool {
        self.get(id).is_none_or(|node| node.is_removed)
    }

    /// Whether it is its directory's entry of its name.
    pub fn is_entry(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.is_entry)
    }

    /// The directory above; `None` for an operand.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        let parent = self.get(id)?.parent;
        (parent != NONE).then(|| self.id(parent))
    }

    /// The entry's name in its parent; an operand's path as given.
    pub fn name(&self, id: NodeId) -> &[u8] {
        self.get(id).map_or(b"", |_| self.name_at(id.index))
    }

    /// The state of a node.
    pub fn state(&self, id: NodeId) -> S {
        self.get(id).map_or_else(S::default, |node| node.state)
    }

    /// Changes the state of a node.
    pub fn set_state(&mut self, id: NodeId, state: S) {
        if self.get(id).is_some() {
            self.at_mut(id.index).state = state;
        }
    }

    /// The path: the operand as given and the way down, with `/` at the end for a directory.
    pub fn path(&self, id: NodeId) -> Vec<u8> {
        let mut path = Vec::new();
        self.push_path(id, &mut path);
        path
    }

    /// Appends the path.
    pub fn push_path(&self, id: NodeId, path: &mut Vec<u8>) {
        let is_directory = |id| self.get(id).is_some_and(|node| node.state.is_directory());
        let parts = || self.way_up(id).map(|id| (self.name(id), is_directory(id)));
        let slash = |name: &[u8], is_directory| usize::from(is_directory && name.last() != Some(&b'/'));
        let length: usize = parts().map(|(name, is_directory)| name.len() + slash(name, is_directory)).sum();
        // The way leads up, so the last part is written first; the slashes are there already.
        let mut end = path.len() + length;
        path.resize(end, b'/');
        for (name, is_directory) in parts() {
            end -= slash(name, is_directory);
            path[end - name.len()..end].copy_from_slice(name);
            end -= name.len();
        }
    }

    /// The node, the one above it, and so on up to the operand.
    pub fn way_up(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(id), |id| self.parent(*id))
    }

    /// Whether `id` is `top` or is below it.
    pub fn is_within(&self, id: NodeId, top: NodeId) -> bool {
        self.way_up(id).any(|above| above == top)
    }

    /// The nodes right below a node; the one that was linked last comes first.
    pub fn children(&self, id: NodeId) -> Vec<NodeId> {
        let first = self.get(id).map_or(NONE, |node| node.first_child);
        let next = |index: u32| (index != NONE).then_some(index);
        std::iter::successors(next(first), |index| next(self.at(*index).next))
            .map(|index| self.id(index))
            .collect()
    }

    /// The node and every node below it, each before those below it; of siblings the one that was linked last comes first.
    pub fn subtree(&self, top: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        if self.get(top).is_none() {
            return found;
        }
        let mut at = top.index;
        loop {
            found.push(self.id(at));
            if self.at(at).first_child != NONE {
                at = self.at(at).first_child;
                continue;
            }
            while at != top.index && self.at(at).next == NONE {
                at = self.at(at).parent;
            }
            if at == top.index {
                return found;
            }
            at = self.at(at).next;
        }
    }

    /// The watched operands, in no particular order.
    pub fn operands(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(|node| self.parent(*node).is_none())
    }

    /// Every watched node, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.by_wd.iter().map(|index| self.id(*index))
    }

    fn get(&self, id: NodeId) -> Option<&Node<S>> {
        self.nodes.get(id.index as usize).filter(|node| node.generation == id.generation)
    }

    fn id(&self, index: u32) -> NodeId {
        NodeId { index, generation: self.at(index).generation }
    }

    /// The node of a link inside the tree: those lead to nodes that are there.
    fn at(&self, index: u32) -> &Node<S> {
        &self.nodes[index as usize]
    }

    fn at_mut(&mut self, index: u32) -> &mut Node<S> {
        &mut self.nodes[index as usize]
    }

    fn name_at(&self, index: u32) -> &[u8] {
        self.at(index).name(&self.names)
    }

    fn store(&mut self, name: &[u8]) -> (u32, u32) {
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name);
        (at, name.len() as u32)
    }

    fn link(&mut self, index: u32, parent: Option<NodeId>) {
        let Some(NodeId { index: parent, .. }) = parent else { return };
        let next = std::mem::replace(&mut self.at_mut(parent).first_child, index);
        if next != NONE {
            self.at_mut(next).previous = index;
        }
        let node = self.at_mut(index);
        (node.parent, node.next, node.previous, node.is_entry) = (parent, next, NONE, true);
        let Tree { nodes, names, by_place, hasher, .. } = self;
        let hash_of = |index: &u32| nodes[*index as usize].hash_of_place(names, hasher);
        by_place.insert_unique(hash_of(&index), index, hash_of);
    }

    fn forget_place(&mut self, index: u32) {
        if !self.at(index).is_entry {
            return;
        }
        let hash = self.at(index).hash_of_place(&self.names, &self.hasher);
        if let Ok(entry) = self.by_place.find_entry(hash, |found| *found == index) {
            entry.remove();
        }
        self.at_mut(index).is_entry = false;
    }

    fn unlink(&mut self, index: u32) {
        self.forget_place(index);
        let node = self.at_mut(index);
        let (parent, next, previous) = (node.parent, node.next, node.previous);
        (node.parent, node.next, node.previous) = (NONE, NONE, NONE);
        if previous != NONE {
            self.at_mut(previous).next = next;
        } else if parent != NONE {
            self.at_mut(parent).first_child = next;
        }
        if next != NONE {
            self.at_mut(next).previous = previous;
        }
    }

    /// Gives back what removed nodes left, once that is more than what is in use.
    fn tidy(&mut self) {
        const WORTH_WHILE: usize = 64 * 1024;
        if self.unused_names > WORTH_WHILE && self.unused_names > self.names.len() / 2 {
            let mut names = Vec::with_capacity(self.names.len() - self.unused_names);
            for node in &mut self.nodes {
                let name = node.name(&self.names);
                node.name_at = names.len() as u32;
                names.extend_from_slice(name);
            }
            (self.names, self.unused_names) = (names, 0);
        }
        // Free nodes at the end can go; those between stay and are used again. Looked for each time that twice
        // as many are free.
        self.free_before = self.free_before.min(self.free.len());
        if self.free.len() > 1024 && self.free.len() > self.free_before * 2 {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let used = self.nodes.iter().rposition(|node| node.generation != 0).map_or(0, |last| last + 1);
        self.nodes.truncate(used);
        self.nodes.shrink_to(used * 2);
        self.free.retain(|index| (*index as usize) < used);
        self.free.shrink_to(self.free.len() * 2);
        self.free_before = self.free.len();
        let Tree { nodes, names, by_place, hasher, .. } = self;
        if by_place.capacity() > 1024 && by_place.len() < by_place.capacity() / 4 {
            by_place
                .shrink_to(by_place.len() * 2, |index| nodes[*index as usize].hash_of_place(names, hasher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(tree: &Tree<()>, wd: Wd) -> String {
        String::from_utf8(tree.path(tree.find(wd).unwrap())).unwrap()
    }

    #[test]
    fn a_relinked_node_keeps_its_subtree() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b".", Wd(1), ());
        let a = tree.insert(Some(root), b"a", Wd(2), ());
        let b = tree.insert(Some(root), b"b", Wd(3), ());
        tree.insert(Some(a), b"c", Wd(4), ());
        assert_eq!(path(&tree, Wd(4)), "./a/c/");
        tree.relink(a, b, b"moved");
        assert_eq!(path(&tree, Wd(4)), "./b/moved/c/");
        assert_eq!(tree.subtree(root).len(), 4);
    }

    #[test]
    fn a_removed_directory_keeps_its_name_for_those_below() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"/", Wd(1), ());
        let a = tree.insert(Some(root), b"a", Wd(2), ());
        let b = tree.insert(Some(a), b"b", Wd(3), ());
        tree.remove(a);
        assert_eq!(path(&tree, Wd(3)), "/a/b/");
        assert!(tree.find(Wd(2)).is_none());
        tree.remove(b);
        assert_eq!(tree.subtree(root), [root]);
    }

    #[test]
    fn a_removed_directory_goes_with_the_last_that_leaves_it() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"/", Wd(1), ());
        for wd in (2..10_000).step_by(2) {
            let a = tree.insert(Some(root), b"a", Wd(wd), ());
            let b = tree.insert(Some(a), b"b", Wd(wd + 1), ());
            tree.remove(a);
            tree.relink(b, root, b"c");
            assert_eq!((tree.subtree(root).len(), path(&tree, Wd(wd + 1))), (2, "/c/".to_owned()));
            tree.remove(b);
        }
        assert!(tree.nodes.len() < 10, "{}", tree.nodes.len());
    }

    #[test]
    fn renames_leave_nothing_behind() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", Wd(0), ());
        let id = tree.insert(Some(root), b"first", Wd(1), ());
        for round in 0..100_000 {
            tree.relink(id, root, format!("name-{round}").as_bytes());
        }
        assert_eq!(path(&tree, Wd(1)), "r/name-99999/");
        assert!(tree.names.capacity() < 1 << 18, "{}", tree.names.capacity());
    }

    #[test]
    fn removing_twice_is_removing_once() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", Wd(0), ());
        let id = tree.insert(Some(root), b"a", Wd(1), ());
        tree.remove(id);
        tree.remove(id);
        tree.insert(Some(root), b"b", Wd(2), ());
        tree.insert(Some(root), b"c", Wd(3), ());
        assert_eq!((path(&tree, Wd(2)), path(&tree, Wd(3))), ("r/b/".into(), "r/c/".into()));
    }

    #[test]
    fn churn_leaves_nothing_behind() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", Wd(0), ());
        for round in 0..100_000 {
            let id = tree.insert(Some(root), b"some-directory", Wd(round + 1), ());
            if round % 3 == 0 {
                tree.relink(id, root, b"some-other-name");
            }
            tree.remove(id);
        }
        assert_eq!(tree.len(), 1);
        assert!(tree.nodes.len() < 10 && tree.names.capacity() < 1 << 18, "{tree:?}");
    }

    #[test]
    fn an_id_does_not_outlive_its_node() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", Wd(0), ());
        let ids: Vec<NodeId> =
            (1..5000).map(|wd| tree.insert(Some(root), wd.to_string().as_bytes(), Wd(wd), ())).collect();
        ids.iter().rev().for_each(|id| tree.remove(*id));
        assert!(tree.nodes.len() < 2500, "{}", tree.nodes.len());
        (1..5000).for_each(|wd| {
            tree.insert(Some(root), wd.to_string().as_bytes(), Wd(5000 + wd), ());
        });
        for id in ids {
            tree.remove(id);
            tree.relink(id, root, b"x");
            tree.set_wd(id, Wd(7));
            tree.unplace(id);
            assert_eq!((tree.wd(id), tree.path(id), tree.parent(id)), (Wd::NONE, Vec::new(), None));
            assert!(tree.is_removed(id) && tree.subtree(id).is_empty() && tree.child(id, b"x").is_none());
        }
        assert_eq!(tree.len(), 5000);
    }

    #[test]
    fn an_entry_is_found_by_its_place_alone() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", Wd(0), ());
        let a = tree.insert(Some(root), b"a", Wd(1), ());
        assert_eq!(tree.child(root, b"a"), Some(a));
        tree.unplace(a);
        let other = tree.insert(Some(root), b"a", Wd(2), ());
        assert_eq!((tree.child(root, b"a"), path(&tree, Wd(1))), (Some(other), "r/a/".into()));
        tree.relink(a, other, b"b");
        assert_eq!((tree.child(other, b"b"), path(&tree, Wd(1))), (Some(a), "r/a/b/".into()));
        tree.remove(other);
        assert_eq!((tree.child(root, b"a"), tree.child(other, b"b")), (None, Some(a)));
    }

    proptest::proptest! {
        /// Whatever is inserted, moved and removed, paths are those of a plain model.
        #[test]
        fn behaves_like_a_table_of_paths(steps in proptest::collection::vec((0u8..3, 0usize..40, 0usize..40), 1..200)) {
            let mut tree = Tree::default();
            let root = tree.insert(None, b"r", Wd(0), ());
            let mut model: Vec<(i32, String)> = vec![(0, "r/".into())];
            for (wd, (what, which, other)) in (1..).zip(steps) {
                let (at, above) = model[which % model.len()].clone();
                let node = tree.find(Wd(at)).unwrap();
                match what {
                    0 => {
                        tree.insert(Some(node), wd.to_string().as_bytes(), Wd(wd), ());
                        model.push((wd, format!("{above}{wd}/")));
                    }
                    1 if node != root => {
                        let (target, below) = model[other % model.len()].clone();
                        if !below.starts_with(&above) {
                            tree.relink(node, tree.find(Wd(target)).unwrap(), format!("m{wd}").as_bytes());
                            for (_, path) in &mut model {
                                if let Some(rest) = path.strip_prefix(&above) {
                                    *path = format!("{below}m{wd}/{rest}");
                                }
                            }
                        }
                    }
                    2 if node != root => {
                        for id in tree.subtree(node).into_iter().rev() {
                            tree.remove(id);
                        }
                        model.retain(|(_, path)| !path.starts_with(&above));
                    }
                    _ => {}
                }
                for (wd, expected) in &model {
                    proptest::prop_assert_eq!(&path(&tree, Wd(*wd)), expected);
                }
                proptest::prop_assert_eq!(tree.len(), model.len());
            }
        }
    }
}
