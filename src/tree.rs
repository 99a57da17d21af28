//! The watched tree: which watch stands for which path.
//!
//! A node is its parent and its own name; a path is built by walking up. Renaming a directory
//! re-links one node, whatever hangs below it, and a watch takes some tens of bytes: nodes refer to each other
//! by 32-bit index, and their names share one buffer.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A node's place in the tree; may be used again once the node was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

/// No node, where a link has nowhere to go.
const NONE: u32 = u32::MAX;

/// What is known of a node besides its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// A directory: its path ends in `/`.
    pub directory: bool,
    /// Part of a recursive watch: what appears below is watched, too.
    pub recursive: bool,
    /// Watched from the start, not found later.
    pub initial: bool,
    /// Its entries are yet to be read.
    pub unscanned: bool,
    /// What was in it before its watch is news, to be announced.
    pub news: bool,
}

#[derive(Debug, Clone)]
struct Node {
    parent: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    /// The watch descriptor; -1 once the watch is gone, kept while something hangs below.
    wd: i32,
    name_at: u32,
    name_length: u32,
    flags: Flags,
}

/// All watches and their places.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// How many were free when their memory was last looked at.
    free_before: usize,
    names: Vec<u8>,
    /// Bytes of `names` that no node refers to any more.
    unused_names: usize,
    by_wd: HashMap<i32, u32, BuildHasherDefault<WdHasher>>,
}

/// Watch descriptors rise by one: spreading them over the high bits is all a hash needs to do.
#[derive(Debug, Default)]
struct WdHasher(u64);

impl Hasher for WdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32(i32::from(*byte));
        }
    }
    fn write_i32(&mut self, wd: i32) {
        self.0 = (self.0 ^ u64::from(wd as u32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Tree {
    /// The node of a watch descriptor.
    pub fn find(&self, wd: i32) -> Option<NodeId> {
        self.by_wd.get(&wd).copied().map(NodeId)
    }

    /// The number of watches.
    pub fn len(&self) -> usize {
        self.by_wd.len()
    }

    /// Whether there is no watch.
    pub fn is_empty(&self) -> bool {
        self.by_wd.is_empty()
    }

    /// Adds a node: an operand, named by its path as given, where `parent` is `None`; else an entry of
    /// `parent`. `wd` must be new.
    pub fn insert(&mut self, parent: Option<NodeId>, name: &[u8], wd: i32, flags: Flags) -> NodeId {
        let (name_at, name_length) = self.store(name);
        let links = Node {
            parent: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            wd,
            name_at,
            name_length,
            flags,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = links;
                id
            }
            None => {
                self.nodes.push(links);
                self.nodes.len() as u32 - 1
            }
        };
        self.by_wd.insert(wd, id);
        self.link(id, parent);
        NodeId(id)
    }

    /// Moves a node, with all below it, to another place; an operand to another path.
    pub fn relink(&mut self, id: NodeId, parent: impl Into<Option<NodeId>>, name: &[u8]) {
        self.unlink(id.0);
        self.unused_names += self.node(id).name_length as usize;
        let (name_at, name_length) = self.store(name);
        let node = &mut self.nodes[id.0 as usize];
        (node.name_at, node.name_length) = (name_at, name_length);
        self.link(id.0, parent.into());
        self.tidy();
    }

    /// Takes a node's watch away. The node itself goes as soon as nothing hangs below it, as do
    /// the nodes above it that were only kept for it.
    pub fn remove(&mut self, id: NodeId) {
        let wd = std::mem::replace(&mut self.nodes[id.0 as usize].wd, -1);
        if self.by_wd.remove(&wd).is_none() {
            return;
        }
        let mut at = id.0;
        while at != NONE && self.nodes[at as usize].wd == -1 {
            let Node { parent, first_child, name_length, .. } = self.nodes[at as usize];
            if first_child != NONE {
                break;
            }
            self.unlink(at);
            self.unused_names += name_length as usize;
            self.nodes[at as usize].name_length = 0;
            self.free.push(at);
            at = parent;
        }
        self.tidy();
    }

    /// The watch descriptor; -1 where the watch is gone and only something below is left.
    pub fn wd(&self, id: NodeId) -> i32 {
        self.node(id).wd
    }

    /// The directory above; `None` for an operand.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        Some(self.node(id).parent).filter(|parent| *parent != NONE).map(NodeId)
    }

    /// The entry's name in its parent; an operand's path as given.
    pub fn name(&self, id: NodeId) -> &[u8] {
        let node = self.node(id);
        &self.names[node.name_at as usize..][..node.name_length as usize]
    }

    /// What is known of the node.
    pub fn flags(&self, id: NodeId) -> Flags {
        self.node(id).flags
    }

    /// The same, to be changed.
    pub fn flags_mut(&mut self, id: NodeId) -> &mut Flags {
        &mut self.nodes[id.0 as usize].flags
    }

    /// The path: the operand as given and the way down, with `/` at the end for a directory.
    pub fn path(&self, id: NodeId) -> Vec<u8> {
        let mut path = Vec::new();
        self.push_path(id, &mut path);
        path
    }

    /// Appends the path.
    pub fn push_path(&self, id: NodeId, path: &mut Vec<u8>) {
        let way: Vec<NodeId> = self.way_up(id).collect();
        for id in way.into_iter().rev() {
            path.extend_from_slice(self.name(id));
            if self.flags(id).directory && path.last() != Some(&b'/') {
                path.push(b'/');
            }
        }
    }

    /// The node, the one above it, and so on up to the operand.
    pub fn way_up(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(id), |id| self.parent(*id))
    }

    /// Whether `id` is `top` or hangs below it.
    pub fn is_within(&self, id: NodeId, top: NodeId) -> bool {
        self.way_up(id).any(|above| above == top)
    }

    /// The node and every node below it, each before what hangs below it; of siblings the one linked
    /// last comes first.
    pub fn subtree(&self, top: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut at = top.0;
        loop {
            found.push(NodeId(at));
            if self.nodes[at as usize].first_child != NONE {
                at = self.nodes[at as usize].first_child;
                continue;
            }
            while at != top.0 && self.nodes[at as usize].next == NONE {
                at = self.nodes[at as usize].parent;
            }
            if at == top.0 {
                return found;
            }
            at = self.nodes[at as usize].next;
        }
    }

    /// Every watch's node, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.by_wd.values().copied().map(NodeId)
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn store(&mut self, name: &[u8]) -> (u32, u32) {
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name);
        (at, name.len() as u32)
    }

    fn link(&mut self, id: u32, parent: Option<NodeId>) {
        let Some(NodeId(parent)) = parent else { return };
        let next = std::mem::replace(&mut self.nodes[parent as usize].first_child, id);
        if next != NONE {
            self.nodes[next as usize].previous = id;
        }
        let node = &mut self.nodes[id as usize];
        (node.parent, node.next, node.previous) = (parent, next, NONE);
    }

    fn unlink(&mut self, id: u32) {
        let node = &mut self.nodes[id as usize];
        let (parent, next, previous) = (node.parent, node.next, node.previous);
        (node.parent, node.next, node.previous) = (NONE, NONE, NONE);
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        } else if parent != NONE {
            self.nodes[parent as usize].first_child = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// Gives back what removed nodes left behind, once that is more than what is in use.
    fn tidy(&mut self) {
        const WORTH_WHILE: usize = 64 * 1024;
        if self.unused_names > WORTH_WHILE && self.unused_names > self.names.len() / 2 {
            let mut names = Vec::with_capacity(self.names.len() - self.unused_names);
            for node in &mut self.nodes {
                let name = &self.names[node.name_at as usize..][..node.name_length as usize];
                node.name_at = names.len() as u32;
                names.extend_from_slice(name);
            }
            (self.names, self.unused_names) = (names, 0);
        }
        if self.by_wd.capacity() > 1024 && self.by_wd.len() < self.by_wd.capacity() / 4 {
            self.by_wd.shrink_to(self.by_wd.len() * 2);
        }
        // Free nodes at the end can go; those between stay and are used again. Looked for each time that twice
        // as many are free.
        self.free_before = self.free_before.min(self.free.len());
        if self.free.len() > 1024 && self.free.len() > self.free_before * 2 {
            let mut is_free = vec![false; self.nodes.len()];
            for id in &self.free {
                is_free[*id as usize] = true;
            }
            let used = is_free.iter().rposition(|free| !free).map_or(0, |last| last + 1);
            self.nodes.truncate(used);
            self.nodes.shrink_to(used * 2);
            self.free.retain(|id| (*id as usize) < used);
            self.free.shrink_to(self.free.len() * 2);
            self.free_before = self.free.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: Flags =
        Flags { directory: true, recursive: true, initial: true, unscanned: false, news: false };

    fn path(tree: &Tree, wd: i32) -> String {
        String::from_utf8(tree.path(tree.find(wd).unwrap())).unwrap()
    }

    #[test]
    fn a_relinked_node_takes_all_below_along() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b".", 1, DIRECTORY);
        let a = tree.insert(Some(root), b"a", 2, DIRECTORY);
        let b = tree.insert(Some(root), b"b", 3, DIRECTORY);
        tree.insert(Some(a), b"c", 4, DIRECTORY);
        assert_eq!(path(&tree, 4), "./a/c/");
        tree.relink(a, b, b"moved");
        assert_eq!(path(&tree, 4), "./b/moved/c/");
        assert_eq!(tree.subtree(root).len(), 4);
    }

    #[test]
    fn a_removed_directory_keeps_its_name_for_those_below() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"/", 1, DIRECTORY);
        let a = tree.insert(Some(root), b"a", 2, DIRECTORY);
        let b = tree.insert(Some(a), b"b", 3, DIRECTORY);
        tree.remove(a);
        assert_eq!(path(&tree, 3), "/a/b/");
        assert!(tree.find(2).is_none());
        tree.remove(b);
        assert_eq!(tree.subtree(root), [root]);
    }

    #[test]
    fn renames_leave_nothing_behind() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", 0, DIRECTORY);
        let id = tree.insert(Some(root), b"first", 1, DIRECTORY);
        for round in 0..100_000 {
            tree.relink(id, root, format!("name-{round}").as_bytes());
        }
        assert_eq!(path(&tree, 1), "r/name-99999/");
        assert!(tree.names.capacity() < 1 << 18, "{}", tree.names.capacity());
    }

    #[test]
    fn removing_twice_is_removing_once() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", 0, DIRECTORY);
        let id = tree.insert(Some(root), b"a", 1, DIRECTORY);
        tree.remove(id);
        tree.remove(id);
        tree.insert(Some(root), b"b", 2, DIRECTORY);
        tree.insert(Some(root), b"c", 3, DIRECTORY);
        assert_eq!((path(&tree, 2), path(&tree, 3)), ("r/b/".into(), "r/c/".into()));
    }

    #[test]
    fn churn_leaves_nothing_behind() {
        let mut tree = Tree::default();
        let root = tree.insert(None, b"r", 0, DIRECTORY);
        for round in 0..100_000 {
            let id = tree.insert(Some(root), b"some-directory", round + 1, DIRECTORY);
            if round % 3 == 0 {
                tree.relink(id, root, b"some-other-name");
            }
            tree.remove(id);
        }
        assert_eq!(tree.len(), 1);
        assert!(tree.nodes.len() < 10 && tree.names.capacity() < 1 << 18, "{tree:?}");
    }

    proptest::proptest! {
        /// Whatever is inserted, moved and removed, paths are those of a plain model.
        #[test]
        fn behaves_like_a_table_of_paths(steps in proptest::collection::vec((0u8..3, 0usize..40, 0usize..40), 1..200)) {
            let mut tree = Tree::default();
            let root = tree.insert(None, b"r", 0, DIRECTORY);
            let mut model: Vec<(i32, String)> = vec![(0, "r/".into())];
            for (wd, (what, which, other)) in (1..).zip(steps) {
                let (at, above) = model[which % model.len()].clone();
                let node = tree.find(at).unwrap();
                match what {
                    0 => {
                        tree.insert(Some(node), wd.to_string().as_bytes(), wd, DIRECTORY);
                        model.push((wd, format!("{above}{wd}/")));
                    }
                    1 if node != root => {
                        let (target, below) = model[other % model.len()].clone();
                        if !below.starts_with(&above) {
                            tree.relink(node, tree.find(target).unwrap(), format!("m{wd}").as_bytes());
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
                    proptest::prop_assert_eq!(&path(&tree, *wd), expected);
                }
                proptest::prop_assert_eq!(tree.len(), model.len());
            }
        }
    }
}
