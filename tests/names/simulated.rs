//! A simulated operating system for the tracker of names: directories, files and symbolic links, and inotify(7) over them.
//!
//! It has what the tracker depends on: watches by inode, the events of each operation in the kernel's order, cookies, the merging of
//! equal neighbours, and a bounded queue with its overflow. Before each call of the tracker it asks its plan whether another process does
//! something first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use inotify_tools::internals::inotify::{RawEvent, Wd};
use inotify_tools::internals::mask::{
    IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF,
    IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, IN_Q_OVERFLOW, Mask,
};
use inotify_tools::internals::{Files, Found, Kind, Settings, Source};

pub type Ino = usize;

/// The directory in which a path begins.
const TOP: Ino = 0;

#[derive(Debug, Clone, Default, Hash)]
struct Inode {
    /// Of a directory.
    entries: Option<BTreeMap<String, Ino>>,
    /// Of a symbolic link.
    target: Option<String>,
    parent: Ino,
    links: usize,
    /// How many descriptors are open on it.
    open: usize,
    watch: Option<Wd>,
}

/// An event of the kernel's queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Queued {
    wd: Wd,
    mask: Mask,
    cookie: u32,
    name: String,
}

/// One system call of another process before a call of the tracker; with `late` its events are queued a while after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    pub call: usize,
    pub operation: &'static str,
    pub late: bool,
}

/// The state of the simulated system.
#[derive(Default)]
pub struct System {
    inodes: Vec<Inode>,
    watches: BTreeMap<Wd, (Ino, Mask)>,
    newest_wd: i32,
    queue: VecDeque<Queued>,
    queue_limit: usize,
    cookie: u32,
    /// Events of an operation that can be seen already, and the directories that it holds locked.
    unqueued: Vec<Queued>,
    locked: Vec<Ino>,
    pub overflowed: bool,
    /// The tracker sleeps; and whether something was done when it did not.
    pub is_at_rest: bool,
    pub raced: bool,
    /// What the operand led to after each operation.
    pub history: Vec<Option<Ino>>,
    /// How often the object was written to, or created, by its own entry.
    pub written: usize,
    /// How often something came by a rename or a link.
    pub relinked: usize,
    pub operand: &'static str,
    /// The calls of the tracker.
    pub calls: usize,
    /// What the tracker has seen so far: with the state this decides what comes next.
    seen: DefaultHasher,
    pub plan: VecDeque<Step>,
    /// All that can be done, and how many more operations may be.
    pub operations: &'static [&'static str],
    pub left: usize,
    pub is_late: bool,
    /// The points from which on other plans are to be tried.
    pub branches: Vec<Step>,
    pub visited: Rc<RefCell<BTreeSet<(u64, usize)>>>,
    pub is_pruned: bool,
    pub story: Vec<String>,
}

impl System {
    pub fn new(queue_limit: usize) -> System {
        let mut system = System { queue_limit, ..System::default() };
        let entries = Some(BTreeMap::new());
        system.inodes.push(Inode { entries, links: 1, ..Inode::default() });
        system
    }

    /// The inode of a path, and the directory and the name of its last entry. `way` gets each directory in which something is looked up.
    pub fn resolve(
        &self,
        path: &str,
        follow: bool,
        way: &mut BTreeSet<Ino>,
    ) -> Option<(Ino, String, Option<Ino>)> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (TOP, 0);
        loop {
            let name = rest.pop()?;
            let entries = self.inodes[at].entries.as_ref()?;
            way.insert(at);
            let Some(&found) = entries.get(&name) else {
                return rest.is_empty().then_some((at, name, None));
            };
            match &self.inodes[found].target {
                Some(target) if follow || !rest.is_empty() => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                _ if rest.is_empty() => return Some((at, name, Some(found))),
                _ => at = found,
            }
        }
    }

    /// What the operand leads to.
    pub fn object(&self) -> Option<Ino> {
        self.resolve(self.operand, true, &mut BTreeSet::new()).and_then(|(_, _, object)| object)
    }

    /// The inodes that are to be watched, and those that are.
    pub fn watched(&self) -> (BTreeSet<Ino>, BTreeSet<Ino>) {
        let mut way = BTreeSet::new();
        self.resolve(self.operand, true, &mut way);
        way.extend(self.object().filter(|object| self.inodes[*object].entries.is_some()));
        (way, self.watches.values().map(|(ino, _)| *ino).collect())
    }

    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.unqueued.is_empty()
    }

    // Events.

    fn report(&mut self, ino: Ino, name: &str, mask: Mask, cookie: u32) {
        let Some(wd) = self.inodes[ino].watch else { return };
        if (mask & !IN_ISDIR).has(self.watches[&wd].1 | IN_IGNORED) {
            self.unqueued.push(Queued { wd, mask, cookie, name: name.into() });
        }
    }

    /// The operation is over: its events are queued.
    pub fn queue_events(&mut self) {
        self.locked.clear();
        for event in std::mem::take(&mut self.unqueued) {
            self.story.push(format!("        event {event:x?}"));
            let is_repeated = self.queue.back().is_some_and(|last| {
                (last.wd, last.mask, &last.name) == (event.wd, event.mask, &event.name)
                    && !event.mask.has(IN_IGNORED)
            });
            if self.queue.len() >= self.queue_limit {
                self.overflowed = true;
                if self.queue.back().is_none_or(|last| last.mask != IN_Q_OVERFLOW) {
                    self.queue.push_back(Queued {
                        wd: Wd::NONE,
                        mask: IN_Q_OVERFLOW,
                        cookie: 0,
                        name: String::new(),
                    });
                }
            } else if !is_repeated {
                self.queue.push_back(event);
            }
        }
    }

    /// An inode without a name or a descriptor is deleted, and its watch with it.
    fn release(&mut self, ino: Ino) {
        if self.inodes[ino].links > 0 || self.inodes[ino].open > 0 {
            return;
        }
        self.report(ino, "", IN_DELETE_SELF, 0);
        self.report(ino, "", IN_IGNORED, 0);
        if let Some(wd) = self.inodes[ino].watch.take() {
            self.watches.remove(&wd);
        }
    }

    // Operations of another process.

    /// Does an operation, if it can be done.
    pub fn act(&mut self, operation: &str, late: bool) -> bool {
        self.queue_events();
        let done = self.change(operation).is_some();
        if done {
            self.story.push(format!("    {operation}{}", if late { " (late)" } else { "" }));
            let object = self.object();
            self.history.push(object);
            self.relinked += match operation.split(' ').next() {
                Some("rename" | "symlink") => 1,
                Some("exchange") => 2,
                _ => 0,
            };
        }
        if !late {
            self.queue_events();
        }
        done
    }

    fn entries(&mut self, ino: Ino) -> &mut BTreeMap<String, Ino> {
        self.inodes[ino].entries.get_or_insert_with(BTreeMap::new)
    }

    fn directory_bit(&self, ino: Ino) -> Mask {
        IN_ISDIR.when(self.inodes[ino].entries.is_some())
    }

    fn place(&self, path: &str) -> Option<(Ino, String, Option<Ino>)> {
        self.resolve(path, false, &mut BTreeSet::new())
    }

    fn existing(&self, path: &str) -> Option<(Ino, String, Ino)> {
        let (above, name, found) = self.place(path)?;
        Some((above, name, found?))
    }

    fn make(&mut self, path: &str, inode: Inode) -> Option<(Ino, String)> {
        let (above, name, None) = self.place(path)? else { return None };
        self.inodes.push(Inode { links: 1, parent: above, ..inode });
        let ino = self.inodes.len() - 1;
        self.entries(above).insert(name.clone(), ino);
        let mask = IN_CREATE | self.directory_bit(ino);
        self.report(above, &name, mask, 0);
        self.locked = vec![above];
        Some((above, name))
    }

    fn write(&mut self, above: Ino, name: &str) {
        let end = self.resolve(self.operand, true, &mut BTreeSet::new());
        self.written += usize::from(end.is_some_and(|(at, entry, _)| (at, &entry[..]) == (above, name)));
        for mask in [IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE] {
            self.report(above, name, mask, 0);
        }
    }

    fn change(&mut self, operation: &str) -> Option<()> {
        let words: Vec<&str> = operation.split(' ').collect();
        match words[..] {
            ["mkdir", path] => {
                self.make(path, Inode { entries: Some(BTreeMap::new()), ..Inode::default() })?;
            }
            ["create", path] => {
                let (above, name) = self.make(path, Inode::default())?;
                self.write(above, &name);
            }
            ["symlink", target, path] => {
                self.make(path, Inode { target: Some(target.into()), ..Inode::default() })?;
            }
            ["write", path] => {
                let (above, name, found) = self.resolve(path, true, &mut BTreeSet::new())?;
                found.filter(|found| self.inodes[*found].entries.is_none())?;
                self.write(above, &name);
            }
            ["unlink", path] => {
                let (above, name, ino) = self.existing(path)?;
                if self.inodes[ino].entries.is_some() {
                    return None;
                }
                self.entries(above).remove(&name);
                self.inodes[ino].links -= 1;
                self.report(above, &name, IN_DELETE, 0);
                self.locked = vec![above];
            }
            ["rmdir", path] => {
                let (above, name, ino) = self.existing(path)?;
                if !self.inodes[ino].entries.as_ref()?.is_empty() {
                    return None;
                }
                self.entries(above).remove(&name);
                self.inodes[ino].links -= 1;
                self.release(ino);
                self.report(above, &name, IN_DELETE | IN_ISDIR, 0);
                self.locked = vec![above, ino];
            }
            ["rename", from, to] => self.rename(from, to)?,
            ["exchange", one, other] => self.exchange(one, other)?,
            _ => panic!("no operation: {operation}"),
        }
        Some(())
    }

    fn is_within(&self, mut ino: Ino, top: Ino) -> bool {
        while ino != TOP && ino != top {
            ino = self.inodes[ino].parent;
        }
        ino == top
    }

    fn rename(&mut self, from: &str, to: &str) -> Option<()> {
        let (above, name, ino) = self.existing(from)?;
        let (below, new, there) = self.place(to)?;
        let fits = |there: Ino| {
            there != ino
                && self.directory_bit(there) == self.directory_bit(ino)
                && self.inodes[there].entries.as_ref().is_none_or(BTreeMap::is_empty)
        };
        if !there.is_none_or(fits) || self.is_within(below, ino) {
            return None;
        }
        self.entries(above).remove(&name);
        self.entries(below).insert(new.clone(), ino);
        self.inodes[ino].parent = below;
        self.moved(above, &name, below, &new, ino);
        if let Some(there) = there {
            self.inodes[there].links -= 1;
            self.release(there);
        }
        self.locked = vec![above, below];
        Some(())
    }

    fn exchange(&mut self, one: &str, other: &str) -> Option<()> {
        let (above, name, ino) = self.existing(one)?;
        let (below, new, there) = self.existing(other)?;
        if ino == there || self.is_within(below, ino) || self.is_within(above, there) {
            return None;
        }
        self.entries(above).insert(name.clone(), there);
        self.entries(below).insert(new.clone(), ino);
        (self.inodes[ino].parent, self.inodes[there].parent) = (below, above);
        self.moved(above, &name, below, &new, ino);
        self.moved(below, &new, above, &name, there);
        self.locked = vec![above, below];
        Some(())
    }

    fn moved(&mut self, above: Ino, name: &str, below: Ino, new: &str, ino: Ino) {
        self.cookie += 1;
        let (cookie, directory) = (self.cookie, self.directory_bit(ino));
        self.report(above, name, IN_MOVED_FROM | directory, cookie);
        self.report(below, new, IN_MOVED_TO | directory, cookie);
        self.report(ino, "", IN_MOVE_SELF, 0);
    }

    // The plan.

    /// Before each call of the tracker.
    pub fn decide(&mut self) {
        let call = self.calls;
        self.calls += 1;
        let is_at_rest = std::mem::take(&mut self.is_at_rest);
        let mut done = 0;
        while self.plan.front().is_some_and(|step| step.call == call) {
            let Some(step) = self.plan.pop_front() else { break };
            done += 1;
            self.raced |= !is_at_rest || step.late || done > 1;
            assert!(self.act(step.operation, step.late), "{step:?}");
        }
        if !self.plan.is_empty() || self.left == 0 || self.is_pruned {
            return;
        }
        let mut hasher = self.seen.clone();
        (&self.inodes, &self.watches, &self.queue, &self.unqueued).hash(&mut hasher);
        (&self.history, self.written).hash(&mut hasher);
        if !self.visited.borrow_mut().insert((hasher.finish(), self.left)) {
            self.is_pruned = true;
            return;
        }
        for operation in self.possible() {
            self.branches.push(Step { call, operation, late: false });
            if self.is_late {
                self.branches.push(Step { call, operation, late: true });
            }
        }
    }

    /// All operations that can be done now.
    pub fn possible(&self) -> Vec<&'static str> {
        let is_possible = |operation: &&&'static str| {
            let mut tried =
                System { inodes: self.inodes.clone(), operand: self.operand, ..System::default() };
            tried.inodes.iter_mut().for_each(|inode| inode.watch = None);
            tried.change(operation).is_some()
        };
        self.operations.iter().filter(is_possible).copied().collect()
    }

    fn saw(&mut self, what: impl Hash) {
        what.hash(&mut self.seen);
    }
}

/// The simulated system as the tracker sees it.
pub struct Simulated {
    pub system: Rc<RefCell<System>>,
    file: File,
}

/// An open object.
pub struct Open {
    ino: Ino,
    system: Rc<RefCell<System>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut system = self.system.borrow_mut();
        system.inodes[self.ino].open -= 1;
        let waiting = std::mem::take(&mut system.unqueued);
        system.release(self.ino);
        let released = std::mem::replace(&mut system.unqueued, waiting);
        system.unqueued.extend(released);
    }
}

impl Simulated {
    pub fn new(system: System) -> Simulated {
        Simulated { system: Rc::new(RefCell::new(system)), file: File::open("/dev/null").unwrap() }
    }

    fn opened(&self, ino: Ino) -> Open {
        self.system.borrow_mut().inodes[ino].open += 1;
        Open { ino, system: Rc::clone(&self.system) }
    }
}

impl AsFd for Simulated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Files for Simulated {
    type Open = Open;

    fn start(&mut self, _: bool) -> io::Result<Open> {
        Ok(self.opened(TOP))
    }

    fn open(&mut self, directory: &Open, name: &[u8]) -> io::Result<Open> {
        let name = std::str::from_utf8(name).unwrap();
        let mut system = self.system.borrow_mut();
        system.decide();
        let found = system.inodes[directory.ino].entries.as_ref().unwrap().get(name).copied();
        system.story.push(format!("open {name}: {found:?}"));
        system.saw(("open", directory.ino, name, found));
        drop(system);
        found.map(|ino| self.opened(ino)).ok_or(io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn found(&mut self, object: &Open) -> io::Result<Found> {
        let mut system = self.system.borrow_mut();
        system.decide();
        let inode = &system.inodes[object.ino];
        let kind = match (&inode.entries, &inode.target) {
            (Some(_), _) => Kind::Directory,
            (_, Some(_)) => Kind::Link,
            _ => Kind::File,
        };
        let links = inode.links as u64;
        system.saw(("found", object.ino, links));
        Ok(Found { kind, id: (0, object.ino as u64), links })
    }

    fn target(&mut self, link: &Open) -> io::Result<Vec<u8>> {
        Ok(self.system.borrow().inodes[link.ino].target.clone().unwrap().into_bytes())
    }

    fn is_mounted(&mut self, _: &Open, _: &Open) -> bool {
        false
    }

    fn watch(&mut self, object: &Open, mask: Mask) -> io::Result<Wd> {
        let mut system = self.system.borrow_mut();
        system.decide();
        let wd = match system.inodes[object.ino].watch {
            Some(wd) => wd,
            None => {
                system.newest_wd += 1;
                Wd(system.newest_wd)
            }
        };
        system.inodes[object.ino].watch = Some(wd);
        system.watches.entry(wd).or_insert((object.ino, Mask::NONE)).1 |= mask;
        system.story.push(format!("watch {}: {wd}", object.ino));
        system.saw(("watch", object.ino, wd));
        Ok(wd)
    }

    fn unwatch(&mut self, wd: Wd) {
        let mut system = self.system.borrow_mut();
        system.decide();
        system.story.push(format!("unwatch {wd}"));
        system.saw(("unwatch", wd));
        let Some((ino, _)) = system.watches.remove(&wd) else { return };
        system.inodes[ino].watch = None;
        let waiting = std::mem::take(&mut system.unqueued);
        system.unqueued = vec![Queued { wd, mask: IN_IGNORED, cookie: 0, name: String::new() }];
        let locked = std::mem::take(&mut system.locked);
        system.queue_events();
        (system.unqueued, system.locked) = (waiting, locked);
    }

    fn sync(&mut self, directory: &Open) {
        let mut system = self.system.borrow_mut();
        system.decide();
        system.story.push(format!("sync {}", directory.ino));
        system.saw("sync");
        if system.locked.contains(&directory.ino) {
            system.queue_events();
        }
    }

    fn read(&mut self, queue: &mut Vec<u8>) -> io::Result<usize> {
        let mut system = self.system.borrow_mut();
        system.decide();
        let before = queue.len();
        system.saw("read");
        for event in std::mem::take(&mut system.queue) {
            let Queued { wd, mask, cookie, name } = &event;
            RawEvent { wd: *wd, mask: *mask, cookie: *cookie, name: name.as_bytes() }.encode(queue);
            system.saw(event);
        }
        system.story.push(format!("read {}", queue.len() - before));
        Ok(queue.len() - before)
    }

    fn mounts_have_changed(&mut self) -> bool {
        false
    }

    fn tree(&mut self, _: Settings) -> io::Result<Box<dyn Source>> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}
