//! Which operand a path is below.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::filter::bare;
use crate::hash::PlaceHasher;

/// The operands, without slashes at the end.
#[derive(Debug, Default, Clone)]
pub struct Operands {
    paths: HashTable<Vec<u8>>,
    hasher: PlaceHasher,
    /// How long they are, the longest first: the path of an event is compared only with those that can be above it.
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
        self.lengths.contains(&path.len()) && self.is_known(path)
    }

    fn is_known(&self, path: &[u8]) -> bool {
        self.paths.find(self.hasher.hash(0, path), |known| known == path).is_some()
    }

    /// Where in a path the part below an operand begins: of several operands above it, the nearest one counts.
    pub fn end_above(&self, path: &[u8]) -> Option<usize> {
        let slashes = |at: usize| path[at..].iter().take_while(|byte| **byte == b'/').count();
        let ends = self.lengths.iter().copied().filter(|length| *length < path.len());
        ends.map(|length| (length, slashes(length))).find_map(|(length, slashes)| {
            let is_root = path[..length] == *b"/";
            ((is_root || slashes > 0) && self.is_known(&path[..length])).then_some(length + slashes)
        })
    }

    /// What `resolve` makes of them.
    pub fn resolved(&self, resolve: impl Fn(&[u8]) -> Vec<u8>) -> Operands {
        self.paths.iter().map(|path| resolve(path)).collect()
    }
}

impl FromIterator<Vec<u8>> for Operands {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(all: I) -> Operands {
        let Operands { mut paths, hasher, mut lengths } = Operands::default();
        for path in all {
            let hash = |path: &Vec<u8>| hasher.hash(0, path);
            lengths.push(path.len());
            if let Entry::Vacant(place) = paths.entry(hash(&path), |known| *known == path, hash) {
                place.insert(path);
            }
        }
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Operands { paths, hasher, lengths }
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
