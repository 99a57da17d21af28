//! The judge of a tree that is followed by inode marks: the watcher of [`crate::watcher`] over them, from its setup on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::*;
use crate::fanotify::marks::{State, mark_of};
use crate::fanotify::simulated::{handle, inode};
use crate::source::{Item, Source};
use crate::sys::directory::{Contents, Kind};
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVE, IN_ONLYDIR, IN_OPEN, Mask};
use crate::sys::times::{Moment, Times};
use crate::watcher;
use crate::world::At;

/// What the watcher has to do with the simulated system.
struct Simulated {
    simulation: Rc<RefCell<Simulation>>,
    state: State,
    listed: BTreeSet<Inode>,
    /// Nothing polls it.
    input: io::Stdin,
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl World {
    fn entry_of(&self, at: &At<Inode>) -> Option<Entry> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        match at {
            At::Path(path) => {
                let path = text(path);
                let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
                let name = names.pop()?;
                let above = names.into_iter().try_fold(0, |at, name| self.entry(at, name))?;
                Some((above, name.to_owned()))
            }
            At::Dir(dir) => self.place(**dir),
            At::Entry(dir, name) => Some((**dir, text(name))),
            At::Inside => None,
        }
    }

    /// What is there, or the number of an error.
    fn resolve(&self, at: &At<Inode>) -> Result<Inode, i32> {
        if let At::Dir(dir) = at {
            return Ok(**dir);
        }
        let found = self.entry_of(at).and_then(|(above, name)| self.entry(above, &name));
        found.ok_or(libc::ENOENT)
    }

    fn directory(&self, at: &At<Inode>) -> Result<Inode, i32> {
        let found = self.resolve(at)?;
        if self.is_directory(found) { Ok(found) } else { Err(libc::ENOTDIR) }
    }

    fn kind(&self, inode: Inode) -> Kind {
        if self.is_directory(inode) { Kind::Directory } else { Kind::File }
    }
}

impl Simulated {
    fn call(&self, name: &str) {
        self.simulation.borrow_mut().call(name);
    }

    fn ask<T: PartialEq>(&self, name: &str, look: impl Fn(&World) -> T) -> T {
        self.simulation.borrow_mut().ask(name, look)
    }
}

impl crate::world::World for Simulated {
    type Dir = Inode;

    const OWN_READING: Mask = Mask::NONE;
    const NAMES_ENTRIES: bool = true;

    fn enter(&mut self, at: At<Inode>) -> io::Result<Inode> {
        self.ask("enter", |world| world.directory(&at)).map_err(error)
    }

    fn open(&mut self, at: At<Inode>) -> io::Result<Inode> {
        self.ask("open", |world| world.directory(&at)).map_err(error)
    }

    fn watch(&mut self, at: At<Inode>, mask: Mask) -> io::Result<Wd> {
        self.call("watch");
        let world = &mut self.simulation.borrow_mut().world;
        let found = if mask.has(IN_ONLYDIR) { world.directory(&at) } else { world.resolve(&at) };
        let found = found.map_err(error)?;
        if let Marked::Inodes(marks) = &mut world.marked {
            *marks.entry(found).or_default() |= mark_of(mask, true, false, true);
        }
        Ok(self.state.watch(&handle(found), mask))
    }

    fn unwatch(&mut self, wd: Wd) {
        self.call("unwatch");
        if let Some(watch) = self.state.forget(wd) {
            let (world, inode) = (&mut self.simulation.borrow_mut().world, inode(&watch.handle));
            world.unwatched.insert(inode);
            if !self.listed.contains(&inode) {
                world.unlisted.insert(inode);
            }
        }
    }

    fn list(&mut self, dir: &Inode, each: &mut dyn FnMut(&[u8], Kind)) -> io::Result<()> {
        self.listed.insert(*dir);
        let entries = self.ask("list", |world| {
            let entries = world.entries(*dir).map(|(name, inode)| (name.clone(), world.kind(inode)));
            entries.collect::<Vec<_>>()
        });
        entries.into_iter().for_each(|(name, kind)| each(name.as_bytes(), kind));
        Ok(())
    }

    fn kind(&mut self, at: At<Inode>) -> Kind {
        self.ask("kind", |world| world.resolve(&at).map_or(Kind::Unknown, |inode| world.kind(inode)))
    }

    fn is_directory(&mut self, path: &[u8], _: bool) -> io::Result<bool> {
        Ok(crate::world::World::kind(self, At::Path(path)) == Kind::Directory)
    }

    fn contents(&mut self, at: At<Inode>) -> Contents {
        self.ask("contents", |world| {
            let Ok(dir) = world.directory(&at) else { return Contents::Unknown };
            let kinds: Vec<Kind> = world.entries(dir).map(|(_, below)| world.kind(below)).collect();
            match kinds.contains(&Kind::Directory) {
                true => Contents::Unknown,
                false if kinds.is_empty() => Contents::Nothing,
                false => Contents::NoDirectories,
            }
        })
    }

    fn tells(&mut self, _: &Inode, _: Contents) -> bool {
        true
    }

    /// Without dates: nothing overflows here. But an error says that nothing is there.
    fn times(&mut self, at: At<Inode>) -> io::Result<Times> {
        let never = Moment::default();
        let found = self.ask("times", |world| world.resolve(&at).map(|inode| (inode, world.kind(inode))));
        let (_, kind) = found.map_err(error)?;
        Ok(Times { kind, is_empty: true, born: never, modified: never, changed: never })
    }

    fn now(&mut self) -> Moment {
        Moment::default()
    }

    fn sync(&mut self, _: At<Inode>) {
        self.ask("sync", |_| ());
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        let (mut bytes, before) = (Vec::new(), queue.len());
        queue.append(&mut self.state.take_found());
        self.simulation.borrow_mut().read(&mut bytes);
        self.state.translate(&bytes, queue);
        Ok(queue.len() - before)
    }

    fn is_watched_as(&mut self, at: At<Inode>, _: Mask, wd: Wd, _: impl Fn(Wd) -> bool) -> bool {
        self.ask("is_watched_as", |world| {
            world.directory(&at).is_ok_and(|found| self.state.watch_of(&handle(found)) == Some(wd))
        })
    }

    fn hides_rename(&self, wd: Wd, name: &[u8]) -> bool {
        self.state.hides_rename(wd, name)
    }

    fn find_out(&mut self, path_of: impl Fn(Wd) -> Option<Vec<u8>>) -> bool {
        if !self.state.is_busy() {
            return false;
        }
        let looked = self.state.look(|object, (wd, name)| {
            let path = path_of(*wd)?;
            self.simulation.borrow_mut().ask("is_at", |world| {
                let above = world.directory(&At::Path(&path)).ok()?;
                let is_it = self.state.watch_of(&handle(above)) == Some(*wd);
                let name = String::from_utf8_lossy(name);
                is_it.then(|| world.entry(above, &name) == Some(inode(object)))
            })
        });
        let mut bytes = Vec::new();
        self.simulation.borrow_mut().read(&mut bytes);
        self.state.resolve(looked, &bytes)
    }
}

impl AsFd for Simulated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

impl Watcher for watcher::Watcher<Simulated> {
    fn new(simulation: Rc<RefCell<Simulation>>) -> Self {
        let settings = settings(IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_OPEN);
        let (state, listed, input) = (State::new(false), BTreeSet::new(), io::stdin());
        let world = Simulated { simulation, state, listed, input };
        let mut watcher = watcher::Watcher::new(world, settings);
        watcher.watch(b"/tree").unwrap();
        while watcher.walk().unwrap() {}
        watcher.establish();
        watcher
    }

    fn turn(&mut self, lines: &mut Vec<Line>) {
        self.read().unwrap();
        while let Some(item) = self.next() {
            if let Item::Event(event) = item {
                lines.extend(lines_of(event.mask, event.cookie, &String::from_utf8_lossy(event.path)));
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.has_more()
    }

    fn marked() -> Marked {
        Marked::Inodes(BTreeMap::new())
    }

    /// Whoever looks late into a directory from elsewhere cannot tell what is in it from what came later.
    fn is_strict(world: &World) -> bool {
        let arrived =
            |happened: &&Happened| happened.event == "MOVED_TO" && happened.path.starts_with("/tree/");
        let mut pairs = world.happened.windows(2);
        let is_from_outside = |pair: &[Happened]| {
            Some(&pair[1]).filter(arrived).is_some() && !pair[0].path.starts_with("/tree/")
        };
        !pairs.any(|pair| is_from_outside(pair) && world.is_directory(pair[1].inode))
    }
}

/// Histories that were followed wrongly once.
const FOLLOWED_WRONGLY: [&str; 7] = [
    // During the setup: two directories change places, and neither is watched yet. What is in them was there before.
    "1: mkdir c@-18; exchange a c@-17",
    // During the setup: a look shows where the third rename led, which was merged with the first, before that is known.
    "1: rename a c@-13; rename c a@-13; rename a c@-13",
    // During the setup: what was known before is renamed by way of a directory that has no watch any more, and is not news.
    "1: exchange a/a b@-3; rename a b/a@-3; rename b/a c@-3",
    // A directory and the one that was in it come back beside each other before their watches are removed.
    "1: rename a ~d/a@0; exchange b ~d@0; rename b/a/a b/b@0",
    // A new directory is renamed between its watch and its listing: a file that was moved into it is announced.
    "0: mkdir a@2; rename ~f b@5; rename ~d/a b@8; rename a c@8; rename b c/a@9",
    // A file with several names leaves a new directory before that is watched, and another is made of its name.
    "0: link ~f a@0; rename ~f b@0; rename a ~d/a@0; mkdir a@1; link b a/a@2; rename a/a c@4; link b ~a@5; create a/a@5",
    // A file that may have been renamed again gets a second name, and leaves that one.
    "0: rename ~f a@2; exchange a ~d/a@2; rename a ~d/a@2; rename ~d/a b@2; rename b a@2; link a b@4; rename b ~a@5",
];

#[test]
fn histories_that_the_watcher_followed_wrongly_over_inode_marks() {
    known::<watcher::Watcher<Simulated>>(&KNOWN);
    known::<watcher::Watcher<Simulated>>(&FOLLOWED_WRONGLY);
}

#[test]
fn every_short_history_of_the_watcher_over_inode_marks_is_reported_truly() {
    search::<watcher::Watcher<Simulated>>("watcher over inode marks", [1, 2, 256, 300, 3]);
}

#[test]
fn positions_that_are_left_out_make_no_difference() {
    positions_that_are_left_out::<watcher::Watcher<Simulated>>(16);
}
