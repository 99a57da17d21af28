//! What is left out of a tree: `--ignore`, `--ignore-file`, `--gitignore` and `--max-depth`.
//!
//! Unlike an expression of `--exclude`, they are about the way down from an operand. A directory that is ignored has no watch, so
//! that no pattern can take back what is below it. An operand itself is never ignored.

pub mod pattern;

use std::collections::HashSet;

use crate::filter::bare;
use crate::tree::{NodeId, State, Tree};

use self::pattern::Patterns;

/// What is ignored.
#[derive(Debug, Default, Clone)]
pub struct Ignore {
    /// Of `--ignore` and `--ignore-file`, relative to each operand.
    patterns: Patterns,
    /// So many levels below each operand are reported.
    max_depth: Option<usize>,
    /// The operands, as events name them, without slashes at the end.
    pub operands: HashSet<Vec<u8>>,
}

/// Where an entry is.
struct Place<'a> {
    /// The path from the operand.
    below: &'a [u8],
    /// How many levels it is below the operand.
    level: usize,
    directory: bool,
}

impl Ignore {
    /// What these patterns match, and what is deeper than that below an operand.
    pub fn new(patterns: Patterns, max_depth: Option<usize>, operands: &[Vec<u8>]) -> Ignore {
        let operands = operands.iter().map(|operand| bare(operand).to_vec()).collect();
        Ignore { patterns, max_depth, operands }
    }

    /// Whether an event is not reported. `path` is that of the directory `node`, with `/` at the end, and perhaps an entry's name.
    pub fn drops<S: State>(&self, tree: &Tree<S>, node: NodeId, path: &[u8], directory: bool) -> bool {
        let Some(place) = self.place(tree, node, path, directory) else { return false };
        self.max_depth.is_some_and(|most| place.level > most) || self.ignores(&place)
    }

    /// Whether a directory needs no watch.
    pub fn leaves_out<S: State>(&self, tree: &Tree<S>, node: NodeId) -> bool {
        let path = tree.path(node);
        let Some(place) = self.place(tree, node, &path, true) else { return false };
        self.max_depth.is_some_and(|most| place.level >= most) || self.ignores(&place)
    }

    fn ignores(&self, place: &Place) -> bool {
        self.patterns.verdict(place.below, place.directory) == Some(true)
    }

    /// Where a path is; `None` if it is an operand.
    fn place<'a, S: State>(
        &self,
        tree: &Tree<S>,
        node: NodeId,
        path: &'a [u8],
        directory: bool,
    ) -> Option<Place<'a>> {
        let is_itself = path.last() == Some(&b'/');
        let path = bare(path);
        let below = &path[self.operand_end(tree, node, path)?..];
        let level = 1 + below.iter().filter(|byte| **byte == b'/').count();
        Some(Place { below, level, directory: directory || is_itself })
    }

    /// Where in a path the part below the operand begins: of several operands above it, the nearest one counts.
    fn operand_end<S: State>(&self, tree: &Tree<S>, node: NodeId, path: &[u8]) -> Option<usize> {
        if self.operands.contains(path) {
            return None;
        }
        let is_operand =
            |slash: &usize| path[*slash] == b'/' && self.operands.contains(bare(&path[..=*slash]));
        if let Some(slash) = (0..path.len()).rev().find(is_operand) {
            return Some(slash + 1);
        }
        // An operand that was renamed.
        let root = tree.way_up(node).last()?;
        let end = tree.path(root).len();
        (end < path.len()).then_some(end)
    }
}
