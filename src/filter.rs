//! Which paths count: `--exclude`, `--include` and their case-insensitive forms, `@path`, what is ignored ([`Ignore`]), and
//! `--type`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::ere::Ere;
use crate::ignore::Ignore;
use crate::source::Event;
use crate::sys::mask::IN_ISDIR;
use crate::tree::{NodeId, State, Tree};

/// What the user does not want to hear of.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pattern: Option<(Rc<Ere>, Sense)>,
    hidden: HashSet<Vec<u8>>,
    ignore: Option<Box<Ignore>>,
}

/// What a match of the pattern means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// `--exclude`, `--excludei`: what matches is dropped.
    Exclude,
    /// `--include`, `--includei`: what does not match is dropped.
    Include,
}

impl Filter {
    /// A filter of at most one pattern, and of the paths given as `@path` but not as operands: what is both is
    /// watched.
    pub fn new(pattern: Option<(Ere, Sense)>, excluded: Vec<Vec<u8>>, operands: &[Vec<u8>]) -> Filter {
        let mut hidden: HashSet<Vec<u8>> = excluded.iter().map(|path| bare(path).to_vec()).collect();
        for operand in operands {
            hidden.remove(bare(operand));
        }
        Filter { pattern: pattern.map(|(ere, sense)| (Rc::new(ere), sense)), hidden, ignore: None }
    }

    /// The same with what is ignored.
    pub fn ignoring(self, ignore: Ignore) -> Filter {
        Filter { ignore: Some(Box::new(ignore)), ..self }
    }

    /// Whether an event is ignored. `path` is that of `node`, perhaps with an entry's name.
    pub fn ignores<S: State>(&self, tree: &Tree<S>, node: NodeId, path: &[u8], directory: bool) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.drops(tree, node, path, directory))
    }

    /// Whether an event of an entry of an operand is ignored. `name` is where its name begins in `path`.
    pub fn ignores_entry(&self, path: &[u8], name: usize, directory: bool) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.drops_entry(path, name, directory))
    }

    /// Whether a directory is ignored, with all below it.
    pub fn ignores_tree<S: State>(&self, tree: &Tree<S>, node: NodeId) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.leaves_out(tree, node))
    }

    /// Whether a directory below an operand is ignored, or one on the way to it, by what is there now.
    pub fn ignores_path(&self, operand: &[u8], directory: &[u8]) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.leaves_out_path(operand, directory))
    }

    /// What is ignored.
    pub fn ignore(&mut self) -> Option<&mut Ignore> {
        self.ignore.as_deref_mut()
    }

    /// Whether a directory that is renamed may be ignored by its new place, or one below it.
    pub fn ignores_by_place(&self) -> bool {
        self.ignore.is_some()
    }

    /// Whether a path is an operand, and more than one path is.
    pub fn is_operand(&self, path: &[u8]) -> bool {
        let operands = self.ignore.as_ref().map(|ignore| &ignore.operands);
        operands.is_some_and(|operands| operands.len() > 1 && operands.contains(bare(path)))
    }

    /// Whether an operand may be within another, and that matters.
    pub fn has_operands_in_others(&self) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.operands.len() > 1)
    }

    /// Whether the files are read in which git keeps patterns.
    pub fn reads_git(&self) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.reads_git())
    }

    /// Whether an event on `path` (`%w%f`) is reported.
    pub fn reports(&self, path: &[u8], directory: bool) -> bool {
        let matching = match &self.pattern {
            None => true,
            Some((ere, Sense::Exclude)) => !ere.is_match(path),
            Some((ere, Sense::Include)) => ere.is_match(path),
        };
        // What happens to an `@` directory itself is its parent's event and stays visible.
        matching && (directory || !self.hides(path))
    }

    /// Whether every path is reported and every directory watched.
    pub fn is_empty(&self) -> bool {
        self.pattern.is_none() && self.hidden.is_empty() && self.ignore.is_none()
    }

    /// What a match of the expression means, if there is one.
    pub fn sense(&self) -> Option<Sense> {
        self.pattern.as_ref().map(|(_, sense)| *sense)
    }

    /// Whether an `--exclude` matches every path there can be.
    pub fn excludes_all(&self) -> bool {
        matches!(&self.pattern, Some((ere, Sense::Exclude)) if ere.matches_all())
    }

    /// Whether `path` was given as `@path`.
    fn hides(&self, path: &[u8]) -> bool {
        !self.hidden.is_empty() && self.hidden.contains(bare(path))
    }

    /// Whether a directory on the way to `path`, with a path longer than `top`, was given as `@path`.
    pub fn hides_above(&self, path: &[u8], top: impl FnOnce() -> usize) -> bool {
        let end = path.len().saturating_sub(1);
        !self.hidden.is_empty()
            && (top()..end).any(|at| path[at] == b'/' && self.hidden.contains(bare(&path[..at])))
    }

    /// Finds operands and paths given as `@path` in each other, however they are spelt: what is both is watched, and
    /// what is below an operand is hidden under the name that events will have, the operand and the way down from it.
    /// `absolute` gives the one form in which they can be compared; it resolves a link in the last place only if it is
    /// told to. An operand that is a link stands for its target, but `@path` hides the link: the target has a path of its
    /// own.
    pub fn locate_hidden(&mut self, operands: &[Vec<u8>], absolute: impl Fn(&[u8], bool) -> Vec<u8>) {
        if self.hidden.is_empty() {
            return;
        }
        let mut tops: HashMap<Vec<u8>, Vec<&[u8]>> = HashMap::new();
        for operand in operands {
            tops.entry(absolute(operand, true)).or_default().push(operand);
        }
        let given: HashSet<Vec<u8>> = operands.iter().map(|operand| absolute(bare(operand), false)).collect();
        let mut named = Vec::new();
        self.hidden.retain(|path| {
            let path = absolute(bare(path), false);
            if tops.contains_key(&path) || given.contains(&path) {
                return false;
            }
            for slash in (0..path.len()).filter(|at| path[*at] == b'/') {
                for operand in tops.get(&path[..slash.max(1)]).into_iter().flatten() {
                    let top = operand.strip_suffix(b"/").unwrap_or(operand);
                    named.push([top, &path[slash..]].concat());
                }
            }
            true
        });
        self.hidden.extend(named);
    }

    /// Makes the paths given as `@path`, and those of operands, absolute, as for
    /// [`locate_hidden`](Filter::locate_hidden).
    pub fn resolve_paths(&mut self, absolute: impl Fn(&[u8], bool) -> Vec<u8>) {
        self.hidden = self.hidden.iter().map(|path| absolute(bare(path), false)).collect();
        if let Some(ignore) = &mut self.ignore {
            ignore.operands = ignore.operands.resolved(|path| absolute(path, true));
        }
    }

    /// Whether a directory that appears at `path` (no `/` at the end) is left alone: an excluded one is, for
    /// that is what the reference does, while `--include` says nothing of directories.
    pub fn refuses_new(&self, path: &[u8]) -> bool {
        matches!(&self.pattern, Some((ere, Sense::Exclude)) if ere.is_match(path))
    }

    /// Whether `directory` (`/` at the end) needs no watch: it was given as `@path`, or nothing below it,
    /// whatever its name, can be reported.
    pub fn leaves_out(&self, directory: &[u8]) -> bool {
        self.hides(directory)
            || matches!(&self.pattern, Some((ere, Sense::Exclude)) if ere.covers_below(directory))
    }
}

/// `--type`: which events are reported, by the type of the file that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// All but directories.
    File,
    /// Directories.
    Directory,
}

impl FileType {
    /// The value of `--type`.
    pub fn parse(text: &[u8]) -> Option<FileType> {
        match text {
            b"file" | b"f" => Some(FileType::File),
            b"dir" | b"d" => Some(FileType::Directory),
            _ => None,
        }
    }

    /// Whether an event is reported. An overflow, which is about no file, always is.
    pub fn reports(self, event: &Event) -> bool {
        // The kernel omits IN_ISDIR where a watched directory itself is renamed or deleted.
        let directory = event.mask.has(IN_ISDIR) || event.path.last() == Some(&b'/');
        event.path.is_empty() || directory == (self == FileType::Directory)
    }
}

/// A path without the slashes at its end; `/` itself stays.
pub fn bare(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte != b'/') {
        Some(last) => &path[..=last],
        None => &path[..path.len().min(1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ignore::pattern::Patterns;
    use crate::sys::inotify::Wd;
    use crate::sys::mask::{IN_CREATE, IN_DELETE_SELF, IN_Q_OVERFLOW};

    fn filter(pattern: Option<(&str, Sense)>, hidden: &[&str]) -> Filter {
        let pattern = pattern.map(|(text, sense)| (Ere::new(text.as_bytes(), false).unwrap(), sense));
        Filter::new(pattern, hidden.iter().map(|path| path.as_bytes().to_vec()).collect(), &[])
    }

    #[test]
    fn a_path_is_bare_without_the_slashes_at_its_end() {
        for (path, expected) in
            [("d", "d"), ("d/", "d"), ("d//", "d"), ("/a/b/", "/a/b"), ("/", "/"), ("///", "/"), ("", "")]
        {
            assert_eq!(bare(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_type_is_named_in_full_or_by_its_first_letter() {
        for (text, file_type) in [
            ("file", Some(FileType::File)),
            ("f", Some(FileType::File)),
            ("dir", Some(FileType::Directory)),
            ("d", Some(FileType::Directory)),
            ("", None),
            ("fi", None),
        ] {
            assert_eq!(FileType::parse(text.as_bytes()), file_type, "{text}");
        }
    }

    #[test]
    fn a_type_selects_the_events_on_it() {
        for (path, mask, of_file, of_directory) in [
            ("d/f", IN_CREATE, true, false),
            ("d/s", IN_CREATE | IN_ISDIR, false, true),
            // A watched directory itself, of which the kernel says no more.
            ("d/", IN_DELETE_SELF, false, true),
            ("", IN_Q_OVERFLOW, true, true),
        ] {
            let path = path.as_bytes();
            let event = Event {
                watch: Wd(1),
                path,
                watched: 0,
                mask,
                cookie: 0,
                pid: None,
                ends_wait: false,
                ends_operand: false,
            };
            assert_eq!(FileType::File.reports(&event), of_file, "{event:?}");
            assert_eq!(FileType::Directory.reports(&event), of_directory, "{event:?}");
        }
    }

    #[test]
    fn a_pattern_selects_paths_and_an_at_path_hides_a_file() {
        let none = filter(None, &[]);
        assert!(none.reports(b"d/x", false) && !none.refuses_new(b"d/x") && !none.leaves_out(b"d/x/"));
        assert!(none.sense().is_none() && !none.excludes_all());
        let exclude = filter(Some(("x", Sense::Exclude)), &["d/hidden"]);
        assert!(
            exclude.reports(b"d/y", false) && !exclude.reports(b"d/x", false) && exclude.refuses_new(b"d/x")
        );
        assert!(
            !exclude.refuses_new(b"d/y")
                && exclude.sense() == Some(Sense::Exclude)
                && !exclude.excludes_all()
        );
        assert!(!exclude.reports(b"d/hidden", false) && exclude.reports(b"d/hidden", true));
        assert!(!exclude.reports(b"d/x", true));
        assert!(
            exclude.leaves_out(b"d/hidden/") && exclude.leaves_out(b"d/x/") && !exclude.leaves_out(b"d/y/")
        );
        let include = filter(Some(("x", Sense::Include)), &[]);
        assert!(
            include.reports(b"d/x", false) && !include.reports(b"d/y", false) && !include.refuses_new(b"d/x")
        );
        assert!(
            include.sense() == Some(Sense::Include)
                && !include.excludes_all()
                && !include.leaves_out(b"d/x/")
        );
        // An empty text has to match, and all that is below.
        assert!(filter(Some(("x*", Sense::Exclude)), &[]).excludes_all());
        assert!(!filter(Some(("^$", Sense::Exclude)), &[]).excludes_all());
        assert!(!filter(Some(("a", Sense::Exclude)), &[]).excludes_all());
        assert!(!filter(Some(("x*", Sense::Include)), &[]).excludes_all());
    }

    #[test]
    fn a_directory_given_as_an_at_path_hides_what_is_below_it_and_below_the_top() {
        let filter = filter(None, &["d/s", "d"]);
        for (path, top, hidden) in [
            ("d/s/f", 0, true),
            ("d/s/f", 1, true),
            // `d` is the top itself, `d/s` not.
            ("d/s/f", 2, true),
            ("d/s/f", 4, false),
            ("d/t/f", 2, false),
            ("d/t/f", 0, true),
            ("d/st/f", 2, false),
            // The entry itself.
            ("d/s", 2, false),
            ("d/s/", 2, false),
        ] {
            assert_eq!(filter.hides_above(path.as_bytes(), || top), hidden, "{path} {top}");
        }
        assert!(!super::Filter::default().hides_above(b"d/s/f", || 0));
    }

    #[test]
    fn at_paths_are_resolved() {
        let mut filter = filter(None, &["d"]);
        filter.resolve_paths(|path, _| [b"/", path].concat());
        assert!(filter.reports(b"d", false) && !filter.reports(b"/d", false));
    }

    #[test]
    fn an_at_path_is_hidden_under_the_names_of_operands() {
        let paths = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
        let absolute = |path: &[u8], follow| match path {
            b"." => b"/home".to_vec(),
            b"link" if follow => b"/home/d".to_vec(),
            b"/" => b"/".to_vec(),
            [b'/', ..] => bare(path).to_vec(),
            _ => [b"/home/", bare(path.strip_prefix(b"./").unwrap_or(path))].concat(),
        };
        for (operands, hidden, names) in [
            (&["."][..], &["d/s"][..], &["./d/s"][..]),
            (&["./d/", "link"], &["/home/d/s/t"], &["./d/s/t", "link/s/t"]),
            (&[".", "d"], &["d/s"], &["./d/s", "d/s"]),
            (&["/"], &["d/s"], &["/home/d/s"]),
            (&["/home"], &["./d/s/"], &["/home/d/s"]),
            (&["d"], &["e", "dx", "."], &[]),
            // What a link leads to has a path of its own.
            (&["."], &["link"], &["./link"]),
            (&["."], &["link/"], &["./link"]),
            // Given, too.
            (&["link"], &["link/"], &[]),
            (&["link"], &["d"], &[]),
            (&[".", "link"], &["link"], &[]),
            (&[".", "link"], &["d"], &[]),
            (&["d", "./d/s"], &["d/s"], &[]),
            (&["d"], &["/home/d"], &[]),
        ] {
            let mut filter = Filter::new(None, paths(hidden), &paths(operands));
            let literal = filter.hidden.clone();
            filter.locate_hidden(&paths(operands), absolute);
            for name in names {
                assert!(!filter.reports(name.as_bytes(), false), "{operands:?} {hidden:?} {name}");
                assert!(filter.leaves_out(format!("{name}/").as_bytes()), "{name}");
            }
            let named = filter.hidden.iter().filter(|name| !literal.contains(*name)).count();
            let new = names.iter().filter(|name| !literal.contains(name.as_bytes())).count();
            assert_eq!(named, new, "{operands:?} {hidden:?}");
            if names.is_empty() {
                assert!(filter.reports(b"d/s", false) && filter.reports(b"./d/s", false), "{operands:?}");
            }
        }
    }

    /// A filter that ignores by `*.o` and `cache/` below these operands.
    fn ignoring(operands: &[&str]) -> Filter {
        let (patterns, invalid) = Patterns::read(b"*.o\ncache/\n");
        assert!(invalid.is_empty());
        let operands: Vec<_> = operands.iter().map(|operand| operand.as_bytes().to_vec()).collect();
        filter(None, &[]).ignoring(Ignore::new(patterns, None, &operands))
    }

    #[test]
    fn a_filter_is_empty_without_pattern_hidden_path_and_ignored_path() {
        assert!(filter(None, &[]).is_empty());
        assert!(!filter(Some(("x", Sense::Exclude)), &[]).is_empty());
        assert!(!filter(None, &["d"]).is_empty());
        assert!(!ignoring(&["d"]).is_empty());
    }

    #[test]
    fn an_operand_is_told_from_an_entry_only_if_there_are_several() {
        for (operands, is_operand) in [(&["a"][..], false), (&["a", "b/"][..], true)] {
            let mut filter = ignoring(operands);
            assert_eq!(filter.is_operand(b"a/"), is_operand, "{operands:?}");
            assert_eq!(filter.has_operands_in_others(), is_operand, "{operands:?}");
            assert!(!filter.is_operand(b"c") && filter.ignores_by_place() && !filter.reads_git());
            assert!(filter.ignore().is_some());
        }
        let mut plain = filter(None, &[]);
        assert!(!plain.is_operand(b"a") && !plain.has_operands_in_others() && !plain.ignores_by_place());
        assert!(!plain.reads_git() && plain.ignore().is_none());
    }

    #[test]
    fn entries_and_directories_are_ignored_by_their_paths() {
        let filter = ignoring(&["d"]);
        for (path, directory, ignored) in
            [("d/x.o", false, true), ("d/x.c", false, false), ("d/cache", true, true)]
        {
            assert_eq!(filter.ignores_entry(path.as_bytes(), 2, directory), ignored, "{path}");
        }
        assert!(filter.ignores_path(b"d", b"d/a/cache/b") && !filter.ignores_path(b"d", b"d/a/b"));
        let plain = super::tests::filter(None, &[]);
        assert!(!plain.ignores_entry(b"d/x.o", 2, false) && !plain.ignores_path(b"d", b"d/cache"));
    }
}
