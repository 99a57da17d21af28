//! Keeping the tree true to the events: what appears, what is renamed, what is gone.

use libc::{
    FAN_RENAME, IN_ALL_EVENTS, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM,
    IN_MOVED_TO, IN_Q_OVERFLOW,
};
use nix::fcntl::OFlag;

use crate::event::{Mask, is_asked};
use crate::fanotify::course::{Course, Place};
use crate::fanotify::joined;
use crate::source::Problem;
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Entry, Handle, RawEvent};
use crate::tree::{Flags, NodeId};

use super::places::REMEMBERED;
use super::{DIRECTORY, Deletion, Filesystems, Ready};

/// The two halves of an exchange, or the end of a directory and its deletion, are queued one behind the other, with less
/// than this between that others do elsewhere.
const NEAR: usize = 16;

impl Filesystems {
    /// What was watched is deleted.
    pub(super) fn end(&mut self, watch: i32) {
        if let Some(node) = self.tree.find(watch) {
            self.tell_of_itself(node, IN_DELETE_SELF);
            self.gone.push_back(watch);
        }
    }

    /// Tells what happened to a watched object itself.
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
        if event.mask & FAN_RENAME != 0 {
            return self.renamed(event, mask & IN_ISDIR);
        }
        let object = event.object;
        if let Some(object) = object.filter(|_| mask & IN_DELETE_SELF != 0) {
            self.brief.remove(object);
        }
        let of_file = |source: &Self| {
            let node = source.known(object?).filter(|node| !source.tree.flags(*node).directory)?;
            Some(source.tree.wd(node))
        };
        let (watch, name) = match event.place {
            Some(entry) => match self.locate(entry.directory) {
                Some(node) if entry.name == b"." => (Some(self.tree.wd(node)), &b""[..]),
                Some(node) => {
                    if mask & IN_CREATE != 0 && mask & IN_ISDIR != 0 {
                        self.appeared(node, entry.name, object);
                    }
                    (Some(self.tree.wd(node)), entry.name)
                }
                None => {
                    self.elsewhere(&entry, mask, object);
                    (of_file(self), &b""[..])
                }
            },
            None => (of_file(self), &b""[..]),
        };
        let Some(watch) = watch else { return };
        // Of a file that is an operand the rest is an event of its directory.
        let mask = if name.is_empty() { mask & !(IN_CREATE | IN_DELETE) } else { mask };
        // What is told as one happened to one object: so it was created first and deleted last.
        let directory = mask & IN_ISDIR;
        let between = mask & !(IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ISDIR);
        if mask & IN_CREATE != 0 {
            self.is_told(object, watch, name);
        }
        for part in [mask & IN_CREATE, between] {
            if part != 0 {
                self.tell(watch, part | directory, 0, name);
            }
        }
        if mask & IN_DELETE != 0 {
            let brief = object.filter(|_| mask & IN_CREATE != 0);
            if let Some(object) = brief.filter(|_| directory == 0) {
                if is_asked(self.settings.events, IN_CREATE) {
                    self.brief.entry(object.into()).or_default().push((watch, name.into()));
                }
            }
            match brief.and_then(|object| self.queue.last_of(object)) {
                Some(last) => {
                    let object = object.map(Box::from);
                    let deletion = Deletion { watch, name: name.into(), directory, object };
                    self.deletions.push((last + 1, deletion));
                }
                None => self.deleted(watch, name, directory, object),
            }
        }
        if mask & IN_DELETE_SELF != 0 {
            match self.tree.find(watch) {
                Some(node) if self.tree.flags(node).news => self.end(watch),
                // It may be told with something earlier, before what happened in it.
                _ => self.dying.push_back((self.queue.queued(), watch)),
            }
        }
    }

    /// It is told that a file came to a place, whatever was told of it there before.
    fn is_told(&mut self, object: Option<&Handle>, watch: i32, name: &[u8]) {
        if let Some(places) = object.and_then(|object| self.brief.get_mut(object)) {
            places.retain(|place| (place.0, &*place.1) != (watch, name));
        }
    }

    /// An entry is gone.
    pub(super) fn deleted(&mut self, watch: i32, name: &[u8], directory: Mask, object: Option<&Handle>) {
        if let Some(object) = object.filter(|_| !self.courses.is_empty()) {
            let place = Some((watch, name.into()));
            self.catch_up(object, &place);
            if self.courses.get(object).is_some_and(|course| course.at == place) {
                self.courses.remove(object);
            }
        }
        // Its own end comes before it is an entry no more.
        let ended = object.and_then(|object| self.watches.get(object).copied());
        if let Some(at) = self.dying.iter().position(|(_, watch)| Some(*watch) == ended) {
            self.dying.remove(at);
            ended.into_iter().for_each(|watch| self.end(watch));
        } else if let Some(node) = ended.and_then(|watch| self.tree.find(watch)).filter(|_| directory != 0) {
            self.tree.change_flags(node, |flags| flags.news = true);
        } else if let Some((parent, object)) = self.tree.find(watch).zip(object).filter(|_| directory != 0) {
            let at = self.ended.iter().position(|ended| **ended == *object);
            // Whoever is in it puts its end off, which then tells no more where it was.
            let flags = Flags { news: at.is_none(), ..DIRECTORY };
            let watch = self.insert(Some(parent), name, object, flags);
            if let Some(at) = at {
                self.ended.remove(at);
                self.end(watch);
            }
        }
        self.tell(watch, IN_DELETE | directory, 0, name);
    }

    /// What is created elsewhere is elsewhere, without a look at it; what is deleted need not be remembered.
    fn elsewhere(&mut self, entry: &Entry, mask: Mask, object: Option<&Handle>) {
        if mask & IN_DELETE_SELF != 0 {
            self.outside.remove(entry.directory);
            if self.ended.len() == NEAR {
                self.ended.pop_front();
            }
            self.ended.push_back(entry.directory.into());
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

    fn renamed(&mut self, event: &RawEvent, directory: Mask) {
        let places = [event.old, event.new].map(|entry| {
            let node = entry.and_then(|entry| self.locate(entry.directory))?;
            Some((self.tree.wd(node), entry?.name))
        });
        let owned = |place: Option<(i32, &[u8])>| place.map(|(watch, name)| (watch, Box::from(name)));
        let again = |source: &Self, object: &Handle| source.queue.is_changing(object);
        let followed =
            event.object.filter(|object| again(self, object) || self.courses.contains_key(*object));
        // With what it changes places comes next, and stood there before.
        let near = self.queue.waiting().take(if self.courses.is_empty() { 0 } else { NEAR });
        let partner = near.filter(|next| next.mask & FAN_RENAME != 0).find(|next| {
            let swapped = next.old == event.new && next.new == event.old && next.pid == event.pid;
            next.object == event.object || swapped
        });
        let partner = partner.and_then(|next| next.object).filter(|partner| Some(*partner) != event.object);
        if let Some(partner) = partner.map(Box::<Handle>::from) {
            self.catch_up(&partner, &owned(places[1]));
        }
        if let Some(object) = followed {
            self.catch_up(object, &owned(places[0]));
        }
        self.tell_rename(event.object, directory, places);
        if let Some(object) = followed {
            let [from, to] = places.map(owned);
            let course = self.courses.entry(object.into()).or_insert_with(|| Course::new(directory));
            course.go(from, to);
            if !again(self, object) {
                self.look_for(object);
            }
        }
        self.renamed_roots(event, directory, places[0].is_none());
    }

    /// Finds the paths of what is ready: something is about to be renamed.
    fn settle(&mut self) {
        while let Some(ready) = self.ready.pop_front() {
            if let Some((watched, mask, ends_wait)) = self.report(&ready) {
                self.settled.push_back((Ready { mask, ..ready }, self.path.clone(), watched, ends_wait));
            }
        }
    }

    /// Tells a rename, by those ends that are within what was asked for.
    fn tell_rename(&mut self, object: Option<&Handle>, directory: Mask, places: [Option<(i32, &[u8])>; 2]) {
        self.settle();
        let [from, to] = places;
        if from.is_some() || to.is_some() {
            self.last_cookie = self.last_cookie.checked_add(1).unwrap_or(1);
        }
        for (place, bit) in [(from, IN_MOVED_FROM), (to, IN_MOVED_TO)] {
            if let Some((watch, name)) = place {
                self.tell(watch, bit | directory, self.last_cookie, name);
            }
        }
        if let Some((watch, name)) = to {
            self.is_told(object, watch, name);
        }
        let known = object.and_then(|object| self.known(object));
        let is_root = known.is_some_and(|node| self.tree.parent(node).is_none());
        if directory != 0 && !is_root {
            if let Some((watch, name)) = to {
                if known.is_none() {
                    // So was what is below it.
                    self.outside.clear();
                }
                if let Some(parent) = self.tree.find(watch) {
                    self.appeared(parent, name, object);
                }
            }
        }
        let known = object.and_then(|object| self.known(object));
        if let Some(node) = known {
            self.tell(self.tree.wd(node), IN_MOVE_SELF | directory, 0, b"");
            if to.is_none() && !is_root {
                self.forget(node);
            }
        }
    }

    /// A root, or what is above one, has another path now.
    fn renamed_roots(&mut self, event: &RawEvent, directory: Mask, from_elsewhere: bool) {
        let known = event.object.and_then(|object| self.known(object));
        let root = known.filter(|node| self.tree.parent(*node).is_none());
        if let Some((node, entry)) = root.zip(event.new) {
            if let Some(path) = self.path_then(entry.directory) {
                self.tree.relink(node, None, &joined(&path, entry.name));
                self.path_of = None;
            }
            if event.object.is_some_and(|object| !self.queue.is_changing(object)) {
                // The last rename that is told may have become one with an earlier one.
                self.is_in_place(node);
            }
        } else if from_elsewhere && directory != 0 {
            self.look_after_roots(event.old.map_or(&b""[..], |entry| entry.name));
        }
    }

    /// An object is at a place. Where renames that were told led elsewhere, the one that brought it here has become one
    /// with an earlier one: that is told again.
    fn catch_up(&mut self, object: &Handle, place: &Place) {
        let Some(course) = self.courses.get_mut(object).filter(|course| course.at != *place) else { return };
        // A directory went some way; a file may have several names.
        if course.step_to(place).is_none() && course.directory == 0 {
            return;
        }
        let (directory, from) = (course.directory, std::mem::replace(&mut course.at, place.clone()));
        self.tell_rename(Some(object), directory, [&from, place].map(borrowed));
        // What stood there before has changed places with it, if it ever went this way.
        let goes = |course: &Course| course.at == *place && course.step_to(&from).is_some();
        let other = self.courses.iter_mut().find(|(other, course)| ***other != *object && goes(course));
        if let Some((other, course)) = other.filter(|_| place.is_some()) {
            course.at = from.clone();
            let (other, directory) = (other.clone(), course.directory);
            self.tell_rename(Some(&other), directory, [place, &from].map(borrowed));
        }
    }

    /// Where an object is; `None` where that is not to be found out.
    fn place_now(&mut self, object: &Handle) -> Option<Place> {
        let course = self.courses.get(object)?;
        let places = std::iter::once(&course.at).chain(course.others());
        let places: Vec<Place> = places.filter(|place| place.is_some()).cloned().collect();
        let found = places.into_iter().find(|place| self.is_at(object, place));
        found.or_else(|| self.is_there(object).then_some(None))
    }

    /// Behind the last rename of an object that is queued: tells the one that is missing, if nothing that is queued can
    /// have come before it.
    fn look_for(&mut self, object: &Handle) {
        if self.courses.get(object).is_some_and(Course::is_doubtful) {
            let place = self.place_now(object);
            self.pull();
            let Some(place) = place.filter(|_| !self.queue.is_changing(object)) else { return };
            let moved = self.courses.get(object).is_some_and(|course| course.at != place);
            let entry = place.as_ref().and_then(|(watch, name)| Some((self.handles.get(watch)?, name)));
            if moved && entry.is_some_and(|(directory, name)| self.queue.changes(directory, name)) {
                return;
            }
            self.catch_up(object, &place);
        }
        self.courses.remove(object);
    }

    /// When all that was read has been told: looks for what may have been told only in part. Whether there is something to
    /// tell.
    pub(super) fn look_again(&mut self) -> bool {
        if !self.queue.is_empty() || self.courses.is_empty() && self.brief.is_empty() {
            return false;
        }
        let objects: Vec<Box<Handle>> = self.courses.keys().cloned().collect();
        let places: Vec<_> = objects.iter().map(|object| self.place_now(object)).collect();
        let mut there = Vec::new();
        let brief = std::mem::take(&mut self.brief).into_iter();
        for (object, (watch, name)) in
            brief.flat_map(|(object, places)| places.into_iter().map(move |place| (object.clone(), place)))
        {
            let Some(node) = self.tree.find(watch) else { continue };
            self.path.clear();
            self.path_of = None;
            self.tree.push_path(node, &mut self.path);
            self.path.extend_from_slice(&name);
            // The path of this moment: what is not there costs no more than this.
            if open_path(&self.path, OFlag::O_NOFOLLOW).is_ok()
                && self.is_at(&object, &Some((watch, name.clone())))
            {
                there.push((object, (watch, name)));
            }
        }
        self.pull();
        let pid = self.pid;
        // Its own looking is told, too.
        if self.queue.waiting().any(|event| event.pid != pid) {
            // It may have been changed since.
            for (object, place) in there {
                self.brief.entry(object).or_default().push(place);
            }
            return false;
        }
        for (object, place) in objects.iter().zip(places) {
            if let Some(place) = place {
                self.catch_up(object, &place);
            }
        }
        self.courses.clear();
        for (_, (watch, name)) in there {
            self.tell(watch, IN_CREATE, 0, &name);
        }
        !self.ready.is_empty() || !self.settled.is_empty()
    }

    /// Renames and deletions may be among what was lost.
    fn overflown(&mut self) {
        let limit = self.group.queue_length();
        self.problems.push_back(Problem::Overflow { limit, recursive: false });
        self.outside.clear();
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

fn borrowed(place: &Place) -> Option<(i32, &[u8])> {
    place.as_ref().map(|(watch, name)| (*watch, &**name))
}
