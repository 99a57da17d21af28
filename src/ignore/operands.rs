//! Which operand a path is below.

use std::collections::HashSet;

use crate::filter::bare;

/// The operands, without slashes at the end.
#[derive(Debug, Default, Clone)]
pub struct Operands {
    paths: HashSet<Vec<u8>>,
    /// How long they are, the longest first: each path of an event is compared with those only that can be above it.
    lengths: Vec<usize>,
}

impl Operands {
    /// These paths.
    pub fn new(paths: &[Vec<u8>]) -> Operands {
        paths.iter().map(|path| bare(path).to_vec()).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether a path, without slashes at its end, is an operand.
    pub fn contains(&self, path: &[u8]) -> bool {
        self.lengths.contains(&path.len()) && self.paths.contains(path)
    }

    /// Where in a path the part below an operand begins: of several operands above it, the nearest one counts.
    pub fn end_above(&self, path: &[u8]) -> Option<usize> {
        let slashes = |at: usize| path[at..].iter().take_while(|byte| **byte == b'/').count();
        let ends = self.lengths.iter().copied().filter(|length| *length < path.len());
        ends.map(|length| (length, slashes(length))).find_map(|(length, slashes)| {
            let is_root = path[..length] == *b"/";
            ((is_root || slashes > 0) && self.paths.contains(&path[..length])).then_some(length + slashes)
        })
    }

    /// What `resolve` makes of them.
    pub fn resolved(&self, resolve: impl Fn(&[u8]) -> Vec<u8>) -> Operands {
        self.paths.iter().map(|path| resolve(path)).collect()
    }
}

impl FromIterator<Vec<u8>> for Operands {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(paths: I) -> Operands {
        let paths: HashSet<Vec<u8>> = paths.into_iter().collect();
        let mut lengths: Vec<usize> = paths.iter().map(Vec::len).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Operands { paths, lengths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_operand_above_a_path_counts() {
        let operands = Operands::new(&["a/".into(), "./a/b//".into(), "/".into(), "a/c".into()]);
        for (path, is_operand, below) in [
            ("a", true, ""),
            ("a/x", false, "x"),
            ("a//x", false, "x"),
            ("ab/x", false, ""),
            ("a/c", true, "c"),
            ("a/c/x/y", false, "x/y"),
            ("a/cx/y", false, "cx/y"),
            ("./a/b/x", false, "x"),
            ("./a/x", false, ""),
            ("/", true, ""),
            ("/x/y", false, "x/y"),
            ("//x", false, "x"),
            ("", false, ""),
        ] {
            assert_eq!(operands.contains(path.as_bytes()), is_operand, "{path}");
            let end = operands.end_above(path.as_bytes()).unwrap_or(path.len());
            assert_eq!(&path[end..], below, "{path}");
        }
        assert!(Operands::default().is_empty() && operands.len() == 4);
    }
}
