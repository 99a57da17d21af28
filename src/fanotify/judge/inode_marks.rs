//! The judge of inode marks: of their events in inotify's form, followed by as simple a watcher as can be.

use libc::{
    FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_EVENT_ON_CHILD, FAN_MODIFY, FAN_MOVE_SELF, FAN_ONDIR,
    FAN_OPEN, FAN_RENAME,
};

use super::*;
use crate::fanotify::marks::State;
use crate::fanotify::simulated::{Queued, handle, inode};
use crate::sys::inotify::{RawEvent, Wd};
use crate::sys::mask::{IN_CREATE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_TO};

/// What a recursive watch asks for.
pub const MASK: u64 = FAN_CREATE
    | FAN_DELETE
    | FAN_DELETE_SELF
    | FAN_MODIFY
    | FAN_OPEN
    | FAN_MOVE_SELF
    | FAN_RENAME
    | FAN_ONDIR
    | FAN_EVENT_ON_CHILD;

/// Follows the tree. The number of a watch is that of its inode.
struct Marks {
    simulation: Rc<RefCell<Simulation>>,
    state: State,
    places: BTreeMap<Inode, Entry>,
    /// The arrival that the next MOVE_SELF belongs to.
    arrival: Option<Entry>,
    /// What was told of [`World::happened`]: each once.
    told: BTreeSet<usize>,
}

impl Marks {
    /// The watches of all directories that are marked, as if they were added at once.
    fn watch(&mut self) {
        let world = &self.simulation.borrow().world;
        let below = world.below(TREE).into_iter().map(|(inode, _)| inode).chain([TREE]);
        for inode in below.filter(|inode| world.is_directory(*inode)) {
            self.state.simulate_watch(Wd(inode as i32), &handle(inode));
        }
        // Those that are gone by now were watched, too.
        for happened in &world.happened {
            let below = happened.below.iter().map(|(inode, _)| *inode).chain([happened.inode]);
            let in_tree = happened.path.starts_with("/tree/");
            for inode in below.filter(|inode| in_tree && world.is_directory(*inode)) {
                self.state.simulate_watch(Wd(inode as i32), &handle(inode));
            }
        }
    }

    /// `None` if it is not in the tree, or where wrong events have made it a part of itself.
    fn path(&self, directory: Inode) -> Option<String> {
        let (mut at, mut path) = (directory, String::new());
        for _ in 0..self.places.len() + 1 {
            if at == TREE {
                return Some(format!("/tree{path}"));
            }
            let (above, name) = self.places.get(&at)?;
            path = format!("/{name}{path}");
            at = *above;
        }
        None
    }

    fn handle(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut rest = bytes;
        while let Some((event, length)) = RawEvent::decode(rest) {
            rest = &rest[length..];
            let name = String::from_utf8_lossy(event.name).into_owned();
            let entry = (event.wd.0 as Inode, name);
            if let Some(above) = self.path(entry.0).filter(|_| !entry.1.is_empty()) {
                lines.extend(lines_of(event.mask, event.cookie, &format!("{above}/{}", entry.1)));
            }
            self.follow(&event, entry);
        }
    }

    fn follow(&mut self, event: &RawEvent, entry: Entry) {
        let arrival = self.arrival.take();
        if event.mask.has(IN_ISDIR) && event.mask.has(IN_CREATE) {
            let world = &self.simulation.borrow().world;
            let created = world.happened.iter().enumerate().find(|(number, happened)| {
                let same = happened.event == "CREATE" && happened.entry == entry;
                same && world.is_directory(happened.inode) && !self.told.contains(number)
            });
            if let Some((number, happened)) = created {
                self.told.insert(number);
                self.places.insert(happened.inode, entry);
            }
        } else if event.mask.has(IN_ISDIR) && event.mask.has(IN_MOVED_TO) {
            self.arrival = Some(entry);
        } else if event.mask.has(IN_MOVE_SELF) {
            self.moved(event.wd.0 as Inode, arrival);
        } else if event.mask.has(IN_DELETE_SELF | IN_IGNORED) {
            self.places.remove(&(event.wd.0 as Inode));
        }
    }

    fn moved(&mut self, directory: Inode, arrival: Option<Entry>) {
        let Some(entry) = arrival else {
            // It left.
            let below: Vec<Inode> =
                self.places.keys().copied().filter(|inode| self.is_within(*inode, directory)).collect();
            for inode in below {
                self.places.remove(&inode);
            }
            return;
        };
        if self.places.insert(directory, entry.clone()).is_none() {
            // From elsewhere, with all that is in it.
            let world = &self.simulation.borrow().world;
            let arrived = |from_elsewhere: bool| {
                world.happened.windows(2).enumerate().find(|(number, pair)| {
                    let same =
                        pair[1].event == "MOVED_TO" && pair[1].inode == directory && pair[1].entry == entry;
                    let is_from_elsewhere = !pair[0].path.starts_with("/tree/");
                    same && is_from_elsewhere == from_elsewhere && !self.told.contains(number)
                })
            };
            // Or it has left unseen before.
            let arrived = arrived(true).or_else(|| arrived(false));
            if let Some((number, pair)) = arrived {
                self.told.insert(number);
                let directories = pair[1].below.iter().filter(|(inode, _)| world.is_directory(*inode));
                self.places.extend(directories.cloned());
            }
        }
    }

    fn is_within(&self, inode: Inode, top: Inode) -> bool {
        let mut way = std::iter::successors(Some(inode), |at| self.places.get(at).map(|(above, _)| *above));
        way.by_ref().take(self.places.len() + 1).any(|at| at == top)
    }
}

impl Watcher for Marks {
    fn new(simulation: Rc<RefCell<Simulation>>) -> Self {
        let places = {
            let world = &simulation.borrow().world;
            let below = world.below(TREE).into_iter();
            below.filter(|(inode, _)| world.is_directory(*inode)).collect()
        };
        let (arrival, told) = (None, BTreeSet::new());
        let mut marks = Marks { simulation, state: State::new(false), places, arrival, told };
        marks.watch();
        marks
    }

    fn turn(&mut self, lines: &mut Vec<Line>) {
        let (mut bytes, mut out) = (Vec::new(), self.state.take_found());
        self.simulation.borrow_mut().read(&mut bytes);
        self.watch();
        self.state.translate(&bytes, &mut out);
        self.handle(&out, lines);
        if !out.is_empty() {
            return;
        }
        bytes.clear();
        let looked = self.state.look(|object, (wd, name)| {
            let path = format!("{}/{}", self.path(wd.0 as Inode)?, String::from_utf8_lossy(name));
            self.simulation.borrow_mut().ask("is_at", |world| {
                let (above, name) = world.split(path.trim_start_matches("/tree/"))?;
                (above == wd.0 as Inode).then(|| world.entry(above, &name) == Some(inode(object)))
            })
        });
        if self.state.is_busy() {
            self.simulation.borrow_mut().read(&mut bytes);
            self.watch();
            self.state.resolve(looked, &bytes);
        }
    }

    fn is_busy(&self) -> bool {
        self.state.is_busy()
    }

    fn marked() -> Marked {
        Marked::Inodes(BTreeMap::new())
    }

    const MARKS_ALL: bool = true;
}

#[test]
fn histories_that_were_reported_wrongly_over_inode_marks() {
    known::<Marks>(&KNOWN);
}

/// The events of a history that nobody reads in between, and what happened in the tree.
fn events_and_changes(history: &str) -> (Vec<Queued>, Vec<(&'static str, String)>) {
    let (stage, acts) = parse::<Marks>(history).unwrap();
    let mut simulation = stage.simulation(&acts, false);
    simulation.world.mark_all(MASK);
    acts.iter().for_each(|_| simulation.act(false));
    let world = &mut simulation.world;
    let happened = world.happened.iter().filter(|happened| happened.path.starts_with("/tree/"));
    let changes = happened.map(|happened| (happened.event, happened.path.clone())).collect();
    (world.take(), changes)
}

#[test]
fn what_no_event_tells_apart() {
    let pairs = [
        // A file is replaced, or it leaves once more by a rename that is merged with the first exchange.
        [
            "0: create a@0; exchange a ~d/a@0; exchange a ~d/a@0; rename ~d/a a@0",
            "0: create a@0; exchange a ~d/a@0; exchange a ~d/a@0; rename a ~b@0; rename ~d/a a@0",
        ],
        // A file has its first name again by another link, or it leaves that once more by a rename that is merged.
        [
            "0: link ~f a@0; rename a ~a@0; rename ~f a@0; rename ~a b@0",
            "0: link ~f a@0; rename a ~a@0; rename ~a a@0; rename a ~a@0; rename ~a b@0",
        ],
        // A file is made in a directory after or before its second return, which is merged with the first.
        [
            "1: rename a ~a@0; rename ~a a@0; rename a ~a@0; rename ~a a@0; create a/b@0",
            "1: rename a ~a@0; rename ~a a@0; rename a ~a@0; create ~a/b@0; rename ~a a@0",
        ],
    ];
    for [one, other] in pairs {
        let [(events, changes), (same, others)] = [one, other].map(events_and_changes);
        assert_eq!(events, same, "{one}\n{other}");
        assert_ne!(changes, others, "{one}\n{other}");
    }
}

#[test]
fn the_rules_have_their_histories_over_inode_marks() {
    rules::<Marks>();
}

#[test]
fn every_short_history_of_inode_marks_is_reported_truly() {
    search::<Marks>("inode marks", [3, 3, 16, 300, 0]);
}
