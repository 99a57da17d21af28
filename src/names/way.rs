//! The way of a name: every directory and symbolic link that leads to an object, from the beginning of the path to its end.
//!
//! Each directory of the way is watched before the next component is looked up in it. So whatever changes the way after the lookup is
//! queued. What changed it between the watch and the lookup is queued also: then the lookup shows the state after an event that is yet to
//! be handled, and the way ends there in doubt until that is done.

use std::io;

use super::files::{Files, Found, Kind};
use crate::event::{self, ENTRY};
use crate::queue::Queue;
use crate::source::Settings;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_ATTRIB, IN_DELETE_SELF, IN_MOVE_SELF, IN_ONESHOT, Mask};
use crate::sys::process::absolute;

/// What concerns an object itself, and by which it may be found elsewhere, or not at all.
pub(super) const ITSELF: Mask = IN_ATTRIB.or(IN_DELETE_SELF).or(IN_MOVE_SELF);

/// As many symbolic links as path_resolution(7) follows.
const MOST_LINKS: usize = 40;

/// An entry that was looked up in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The watch of the directory, unless that cannot be watched.
    pub dir: Option<Wd>,
    pub name: Vec<u8>,
    /// Nothing follows: what the entry is, if it is no link, is the object.
    pub is_last: bool,
    /// It is a link that was followed.
    pub is_link: bool,
    /// The watch of the entry itself, where the directory cannot be watched.
    pub own: Option<Wd>,
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub kind: Kind,
    /// The device and the inode number; none if it was gone before it could be looked at.
    pub id: Option<(u64, u64)>,
    /// It has other names.
    pub is_linked: bool,
    /// The watch of the object itself: of a directory, and of a file whose directory does not report its events.
    pub watch: Option<Wd>,
}

/// Where a way ends.
#[derive(Debug)]
pub(super) enum End {
    Object(Object),
    /// At the last step, for this reason.
    Nowhere(io::Error),
    /// A queued event concerns the entry of the last step, which is this now.
    Doubt(Option<Found>),
    /// A directory or file of this path cannot be watched, and so the way cannot be followed.
    Blocked {
        path: Vec<u8>,
        cause: io::Error,
    },
}

#[derive(Debug)]
pub(super) struct Way {
    pub steps: Vec<Step>,
    pub end: End,
    /// Directories that cannot be watched, and why.
    pub unwatchable: Vec<(Vec<u8>, io::Error)>,
}

impl Way {
    /// Every watch of it.
    pub fn watches(&self) -> Vec<Wd> {
        let object = match &self.end {
            End::Object(object) => object.watch,
            _ => None,
        };
        watches(&self.steps, object)
    }

    /// Whether there is an entry for sure at a step.
    pub fn has_found(&self, step: usize) -> bool {
        self.steps.len() > step + 1
            || self.steps.len() == step + 1
                && (self.steps[step].is_link || matches!(self.end, End::Object(_) | End::Blocked { .. }))
    }

    /// Whether it is in doubt at one of the first so many steps.
    pub fn is_in_doubt(&self, steps: usize) -> bool {
        matches!(self.end, End::Doubt(_)) && self.steps.len() <= steps
    }
}

/// The watches of steps and an object, each once.
pub(super) fn watches(steps: &[Step], object: Option<Wd>) -> Vec<Wd> {
    let mut watches: Vec<Wd> = steps.iter().flat_map(|step| [step.dir, step.own]).flatten().collect();
    watches.extend(object);
    watches.sort_unstable();
    watches.dedup();
    watches
}

/// What a directory in which the last component is looked up is asked for besides the way: the events of the entry.
fn object_mask(settings: &Settings) -> Mask {
    event::kernel_bits(settings.events) & !IN_ONESHOT
}

/// Whether a directory that a name leads to has a source of its own, which knows what is in it: the tree, or the patterns of git.
pub(super) fn has_own_source(settings: &Settings) -> bool {
    settings.recursive || settings.filter.reads_git()
}

/// Whether a queued event says that an entry of a watched directory appears or leaves.
fn is_changing(queue: &Queue, dir: Wd, name: &[u8]) -> bool {
    queue.ahead().any(|event| event.wd == dir && event.mask.has(ENTRY) && event.name == name)
}

/// The components that a path has, the next one last. A slash at the end is followed by nothing, which is the directory itself.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    if path.ends_with(b"/") {
        names.push(b".".to_vec());
    }
    names.reverse();
    names
}

/// A way that is being found.
pub(super) struct Walk<'a, F: Files> {
    pub files: &'a mut F,
    pub queue: &'a mut Queue,
    pub settings: &'a Settings,
    /// The components that are left, the next one last.
    rest: Vec<Vec<u8>>,
    /// The directory that was reached, as a message names it.
    path: Vec<u8>,
    links: usize,
    way: Way,
}

/// The next place on a way.
enum Next<O> {
    Directory(O),
    End(End),
}

impl<'a, F: Files> Walk<'a, F> {
    /// Finds the way of an operand.
    pub fn find(files: &'a mut F, queue: &'a mut Queue, settings: &'a Settings, operand: &[u8]) -> Way {
        let real = absolute(&settings.base, operand);
        let way = Way { steps: Vec::new(), end: End::Doubt(None), unwatchable: Vec::new() };
        let mut walk = Walk { files, queue, settings, rest: Vec::new(), path: Vec::new(), links: 0, way };
        let end = walk.begin(&real).and_then(|start| walk.go(start)).unwrap_or_else(End::Nowhere);
        Way { end, ..walk.way }
    }

    /// Goes on with a path, from the root if it begins there.
    fn begin(&mut self, path: &[u8]) -> io::Result<F::Open> {
        let is_absolute = path.first() == Some(&b'/');
        self.rest.extend(components(path));
        self.path = if is_absolute { b"/".to_vec() } else { Vec::new() };
        self.files.start(is_absolute)
    }

    fn go(&mut self, mut at: F::Open) -> io::Result<End> {
        while let Some(name) = self.rest.pop() {
            if name == b"." {
                continue;
            }
            match self.step(at, name)? {
                Next::Directory(next) => at = next,
                Next::End(end) => return Ok(end),
            }
        }
        let found = self.files.found(&at)?;
        let asked = object_mask(self.settings).when(!has_own_source(self.settings));
        match self.files.watch(&at, asked | ITSELF) {
            Ok(watch) => Ok(End::Object(object(found, Some(watch)))),
            Err(cause) if cause.kind() == io::ErrorKind::StorageFull => Ok(self.blocked(cause, b"")),
            Err(cause) => Err(cause),
        }
    }

    /// Looks up an entry of a directory.
    fn step(&mut self, at: F::Open, name: Vec<u8>) -> io::Result<Next<F::Open>> {
        let is_last = self.rest.iter().all(|name| name == b".");
        let asked = object_mask(self.settings).when(self.rest.is_empty());
        let watch = match self.files.watch(&at, asked | ENTRY | ITSELF) {
            Err(cause) if cause.kind() == io::ErrorKind::StorageFull => {
                return Ok(Next::End(self.blocked(cause, b"")));
            }
            watch => watch,
        };
        let dir = watch.as_ref().ok().copied();
        self.way.steps.push(Step { dir, name: name.clone(), is_last, is_link: false, own: None });
        let opened = self.files.open(&at, &name);
        self.files.sync(&at);
        // An error shows again, and is handled, at the next ordinary read.
        let _ = self.queue.fill(|buffer| self.files.read(buffer));
        if dir.is_some_and(|dir| is_changing(self.queue, dir, &name)) {
            let found = opened.ok().and_then(|entry| self.files.found(&entry).ok());
            return Ok(Next::End(End::Doubt(found)));
        }
        let entry = match (opened, watch) {
            (Ok(entry), watch) => {
                self.way.unwatchable.extend(watch.err().map(|cause| (self.shown(), cause)));
                entry
            }
            (Err(error), Err(cause)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Next::End(self.blocked(cause, b"")));
            }
            (Err(error), _) => return Err(error),
        };
        let found = self.files.found(&entry)?;
        match found.kind {
            Kind::Link if self.settings.follow || !self.rest.is_empty() => self.link(at, &entry, dir),
            Kind::Directory => {
                self.path.extend_from_slice(&name);
                self.path.push(b'/');
                Ok(Next::Directory(entry))
            }
            _ if !self.rest.is_empty() => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
            _ => Ok(Next::End(self.file(&at, &entry, found, dir))),
        }
    }

    /// Goes on at the target of a link.
    fn link(&mut self, at: F::Open, link: &F::Open, dir: Option<Wd>) -> io::Result<Next<F::Open>> {
        let own = if dir.is_none() { self.files.watch(link, ITSELF).ok() } else { None };
        if let Some(step) = self.way.steps.last_mut() {
            (step.is_link, step.own) = (true, own);
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let target = self.files.target(link)?;
        if target.first() == Some(&b'/') {
            return self.begin(&target).map(Next::Directory);
        }
        self.rest.extend(components(&target));
        Ok(Next::Directory(at))
    }

    /// An object that is no directory. Its events are reported in the directory that it is in, unless something is mounted there.
    fn file(&mut self, at: &F::Open, entry: &F::Open, found: Found, dir: Option<Wd>) -> End {
        if dir.is_some() && !self.files.is_mounted(at, entry) {
            return End::Object(object(found, None));
        }
        match self.files.watch(entry, object_mask(self.settings) | ITSELF) {
            Ok(watch) => End::Object(object(found, Some(watch))),
            Err(cause) => {
                let name = self.way.steps.last().map_or(Vec::new(), |step| step.name.clone());
                self.blocked(cause, &name)
            }
        }
    }

    fn blocked(&self, cause: io::Error, name: &[u8]) -> End {
        let path = if name.is_empty() { self.shown() } else { [&self.path, name].concat() };
        End::Blocked { path, cause }
    }

    /// The directory that was reached, `/` at the end.
    fn shown(&self) -> Vec<u8> {
        if self.path.is_empty() { b"./".to_vec() } else { self.path.clone() }
    }
}

fn object(found: Found, watch: Option<Wd>) -> Object {
    let Found { kind, id, links } = found;
    Object { kind, id: Some(id), is_linked: links > 1, watch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_components_and_a_slash_at_the_end_is_one() {
        let names = |path: &str| {
            let names = components(path.as_bytes()).into_iter().rev();
            names.map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (path, expected) in [
            ("a", "a"),
            ("/a//b", "a b"),
            ("a/", "a ."),
            ("a/.", "a ."),
            ("../a", ".. a"),
            ("/", "."),
            ("", ""),
        ] {
            assert_eq!(names(path), expected, "{path:?}");
        }
    }
}
