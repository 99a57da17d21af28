//! What is left out of a tree: `--ignore`, `--ignore-file`, `--gitignore` and `--max-depth`.
//!
//! Unlike an expression of `--exclude`, they are about the way down from an operand. A directory that is ignored has no watch, so
//! that no pattern can take back what is below it. An operand itself is never ignored.

pub mod git;
mod operands;
pub mod pattern;

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use crate::filter::bare;
use crate::sys::file;
use crate::sys::inotify::Wd;
use crate::tree::{NodeId, State, Tree};

pub use self::operands::Operands;
use self::pattern::Patterns;

/// What is ignored.
#[derive(Debug, Default, Clone)]
pub struct Ignore {
    /// Of `--ignore` and `--ignore-file`, relative to each operand.
    patterns: Patterns,
    /// So many levels below each operand are reported.
    max_depth: Option<usize>,
    /// The operands, as events name them.
    pub operands: Operands,
    /// With `--gitignore`.
    git: Option<Git>,
}

/// What git ignores.
#[derive(Debug, Clone)]
struct Git {
    /// Of the user's file for all repositories.
    user: Rc<Patterns>,
    /// Of the watched directories, those that have patterns.
    directories: HashMap<NodeId, Directory>,
}

/// What git ignores in a directory and below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Directory {
    /// Of its .gitignore.
    patterns: Patterns,
    /// What holds besides those of the directories above in the tree, or in their place.
    base: Option<Base>,
}

/// What is weaker than each .gitignore below a directory: the root of a repository, or an operand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Base {
    is_repository: bool,
    /// From the root of the repository to the directory, with a slash at the end, if it is not empty.
    way: Vec<u8>,
    /// Of each .gitignore on that way, the nearest first; with where its directory ends in the way.
    above: Vec<(usize, Patterns)>,
    /// Of info/exclude.
    exclude: Patterns,
    user: Rc<Patterns>,
}

/// A line of a file that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub file: Vec<u8>,
    /// The line's number.
    pub number: usize,
}

/// Where an entry is.
struct Place<'a> {
    path: &'a [u8],
    /// Where in the path the part below the operand begins.
    below: usize,
    /// The directory that it is in.
    parent: Option<NodeId>,
    directory: bool,
}

impl Ignore {
    /// What these patterns match, and what is deeper than that below an operand.
    pub fn new(patterns: Patterns, max_depth: Option<usize>, operands: &[Vec<u8>]) -> Ignore {
        Ignore { patterns, max_depth, operands: Operands::new(operands), git: None }
    }

    /// The same with what git ignores; and the lines of the user's file that are no patterns.
    pub fn with_git(self) -> (Ignore, Vec<BadLine>) {
        let mut bad = Vec::new();
        let user = git::user_file().map(|file| user_patterns(&file, &mut bad)).unwrap_or_default();
        (Ignore { git: Some(Git { user: user.into(), directories: HashMap::new() }), ..self }, bad)
    }

    /// Whether the files of git are read.
    pub fn reads_git(&self) -> bool {
        self.git.is_some()
    }

    /// Whether an event is not reported. `path` is that of the directory `node`, with `/` at the end, and perhaps an entry's name.
    pub fn drops<S: State>(&self, tree: &Tree<S>, node: NodeId, path: &[u8], directory: bool) -> bool {
        let Some(place) = self.place(tree, node, path, directory) else { return false };
        self.max_depth.is_some_and(|most| place.level() > most) || self.ignores(tree, &place)
    }

    /// Whether `--ignore` or `--ignore-file` drops an event of an entry of an operand. `name` is where its name begins in `path`.
    pub fn drops_entry(&self, path: &[u8], name: usize, directory: bool) -> bool {
        let name = &path[name..];
        !name.is_empty()
            && !self.operands.contains(bare(path))
            && self.patterns.verdict(name, directory) == Some(true)
    }

    /// Whether a directory needs no watch.
    pub fn leaves_out<S: State>(&self, tree: &Tree<S>, node: NodeId) -> bool {
        let path = tree.path(node);
        let Some(place) = self.place(tree, node, &path, true) else { return false };
        self.max_depth.is_some_and(|most| place.level() >= most) || self.ignores(tree, &place)
    }

    /// Whether a directory at an absolute path below an operand needs no watch, or one on the way to it.
    pub fn leaves_out_path(&self, operand: &[u8], directory: &[u8]) -> bool {
        let Some(way) = directory.strip_prefix(bare(operand)) else { return false };
        let mut ignore = self.clone();
        ignore.forget_all();
        let mut tree = Tree::default();
        let mut node = tree.insert(None, operand, Wd::NONE, ());
        ignore.learn_operand(&tree, node, bare(operand));
        way.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).any(|name| {
            node = tree.insert(Some(node), name, Wd::NONE, ());
            let is_left_out = ignore.leaves_out(&tree, node);
            if ignore.reads_git() {
                ignore.learn(&tree, node, git::Files::at(&tree.path(node)));
            }
            is_left_out
        })
    }

    fn ignores<S: State>(&self, tree: &Tree<S>, place: &Place) -> bool {
        let Place { path, below, directory, .. } = *place;
        let verdict = self.patterns.verdict(&path[below..], directory);
        verdict.unwrap_or_else(|| self.git.as_ref().is_some_and(|git| git.ignores(tree, place)))
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
        let below = self.operand_end(tree, node, path)?;
        let parent = if is_itself { tree.parent(node) } else { Some(node) };
        Some(Place { path, below, parent, directory: directory || is_itself })
    }

    /// Where in a path the part below the operand begins: of several operands above it, the nearest one counts.
    fn operand_end<S: State>(&self, tree: &Tree<S>, node: NodeId, path: &[u8]) -> Option<usize> {
        if self.operands.contains(path) {
            return None;
        }
        if let Some(below) = self.operands.end_above(path) {
            return Some(below);
        }
        // An operand that was renamed.
        let root = tree.way_up(node).last()?;
        let end = tree.path(root).len();
        (end < path.len()).then_some(end)
    }

    /// A directory of a tree is read for the first time, or again. Returns whether something else is ignored now, and bad lines.
    pub fn learn<S: State>(
        &mut self,
        tree: &Tree<S>,
        node: NodeId,
        files: git::Files,
    ) -> (bool, Vec<BadLine>) {
        let Some(git) = &mut self.git else { return (false, Vec::new()) };
        let known = git.directories.get(&node);
        if files.is_empty() && known.is_none() && tree.parent(node).is_some() {
            // Most directories.
            return (false, Vec::new());
        }
        let mut bad = Vec::new();
        let mut read =
            |file: &[u8], text: &[u8]| patterns_of(&[&tree.path(node), file].concat(), text, &mut bad);
        let patterns = read(git::GITIGNORE, &files.gitignore.unwrap_or_default());
        let known = known.and_then(|known| known.base.clone());
        let base = match (files.repository, known) {
            (repository, Some(known)) if repository.is_some() == known.is_repository => Some(known),
            (Some(repository), _) => Some(git.base_of(repository, &tree.path(node), &mut bad)),
            (None, _) if tree.parent(node).is_none() => {
                Some(Base { user: Rc::clone(&git.user), ..Base::default() })
            }
            (None, _) => None,
        };
        let new = Directory { patterns, base };
        let old = git.directories.remove(&node).unwrap_or_default();
        let is_changed = new != old;
        if new != Directory::default() {
            git.directories.insert(node, new);
        }
        bad.retain(|_| is_changed);
        (is_changed, bad)
    }

    /// The same of an operand, which is at this absolute path. What holds for it from above is read now and not again.
    pub fn learn_operand<S: State>(&mut self, tree: &Tree<S>, node: NodeId, real: &[u8]) -> Vec<BadLine> {
        let Some(git) = &mut self.git else { return Vec::new() };
        let mut bad = Vec::new();
        let mut files = git::Files::at(real);
        let gitignore = files.gitignore.take();
        let base = git.base_at(real, files.repository, &mut bad);
        git.directories.insert(node, Directory { base: Some(base), ..Directory::default() });
        let is_repository = git.directories[&node].base.as_ref().is_some_and(|base| base.is_repository);
        let repository = is_repository.then(git::Repository::default);
        bad.extend(self.learn(tree, node, git::Files { gitignore, repository }).1);
        bad
    }

    /// A directory is not watched any more.
    pub fn forget(&mut self, node: NodeId) {
        if let Some(git) = &mut self.git {
            git.directories.remove(&node);
        }
    }

    /// The same for another tree, of which nothing is known.
    pub fn forget_all(&mut self) {
        if let Some(git) = &mut self.git {
            git.directories.clear();
        }
    }
}

impl Place<'_> {
    /// How many levels it is below the operand.
    fn level(&self) -> usize {
        1 + self.path[self.below..].iter().filter(|byte| **byte == b'/').count()
    }
}

impl Git {
    fn ignores<S: State>(&self, tree: &Tree<S>, place: &Place) -> bool {
        let Place { path, directory, parent, .. } = *place;
        let mut begin = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        if path[begin..] == *git::GIT {
            return true;
        }
        for node in parent.into_iter().flat_map(|parent| tree.way_up(parent)) {
            let is_root = tree.parent(node).is_none();
            if let Some(Directory { patterns, base }) = self.directories.get(&node) {
                if let Some(verdict) = patterns.verdict(&path[begin..], directory) {
                    return verdict;
                }
                if let Some(base) = base.as_ref().filter(|base| is_root || base.is_repository) {
                    return base.verdict(&path[begin..], directory) == Some(true);
                }
            }
            if is_root {
                break;
            }
            begin -= tree.name(node).len() + 1;
        }
        false
    }

    fn base_of(&self, repository: git::Repository, path: &[u8], bad: &mut Vec<BadLine>) -> Base {
        let user = match repository.user {
            Some(file) => user_patterns(&file, bad).into(),
            None => Rc::clone(&self.user),
        };
        let exclude = patterns_of(&[path, b".git/info/exclude"].concat(), &repository.exclude, bad);
        Base { is_repository: true, exclude, user, ..Base::default() }
    }

    /// What holds in an operand from the directories above it, up to the root of its repository. `here` if it is that itself.
    fn base_at(&self, real: &[u8], here: Option<git::Repository>, bad: &mut Vec<BadLine>) -> Base {
        if let Some(repository) = here {
            return self.base_of(repository, &[real, b"/"].concat(), bad);
        }
        let mut above = Vec::new();
        let slashes = (0..real.len()).rev().filter(|at| real[*at] == b'/' && real.len() > 1);
        for directory in slashes.map(|slash| &real[..=slash]) {
            let files = git::Files::at(directory);
            let file = [directory, git::GITIGNORE].concat();
            above.push((directory.len(), patterns_of(&file, &files.gitignore.unwrap_or_default(), bad)));
            if let Some(repository) = files.repository {
                let root = directory.len();
                above.iter_mut().for_each(|(end, _)| *end -= root);
                above.retain(|(_, patterns)| !patterns.is_empty());
                let way = [&real[root..], b"/"].concat();
                let base = self.base_of(repository, directory, bad);
                return Base { is_repository: false, way, above, ..base };
            }
        }
        bad.clear();
        Base { user: Rc::clone(&self.user), ..Base::default() }
    }
}

impl Base {
    fn verdict(&self, path: &[u8], directory: bool) -> Option<bool> {
        let whole = [&self.way, path].concat();
        let of = |(end, patterns): &(usize, Patterns)| patterns.verdict(&whole[*end..], directory);
        let above = self.above.iter().find_map(of);
        above
            .or_else(|| self.exclude.verdict(&whole, directory))
            .or_else(|| self.user.verdict(&whole, directory))
    }
}

/// The patterns in the text of a file.
pub fn patterns_of(file: &[u8], text: &[u8], bad: &mut Vec<BadLine>) -> Patterns {
    let (patterns, lines) = Patterns::read(text);
    bad.extend(lines.into_iter().map(|number| BadLine { file: file.to_vec(), number }));
    patterns
}

fn user_patterns(file: &Path, bad: &mut Vec<BadLine>) -> Patterns {
    use std::os::unix::ffi::OsStrExt;
    let name = file.as_os_str().as_bytes();
    patterns_of(name, &file::read(name).unwrap_or_default(), bad)
}
