//! Tries every short history of operations on a simulated file system, performed at every position between the system
//! calls of what follows it by fanotify, and judges what is reported.
//!
//! What must hold of each history:
//! 1. the lines replayed in their order are the tree;
//! 2. each line's path was true when its event happened, and no event has two lines. A rename that was merged with another, and that only a
//!    look has shown, may have the path that its directory had then;
//! 3. of the changes that the kernel has merged into one event, at least one has a line;
//! 4. when all is quiet, every directory of the tree is followed, under its real path.
//!
//! An operation before a call that has the same answer and the same effect without it need not be tried: it is tried before the next one.
//!
//! `JUDGE_SHARE=1` tries all histories of the suite's length, and `JUDGE_OPERATIONS=4` longer ones. With `JUDGE_EVERYWHERE=3`, those of three
//! operations are tried at every position. `JUDGE_SHARE=16 JUDGE_PART=3` tries one of sixteen parts, which are numbered from 0.
//! `JUDGE_RANDOM=10000` tries as many longer ones at random (by `JUDGE_SEED`).
//! `JUDGE_HISTORY='0: mkdir a@0; remove a@0'` replays one and shows its story: the operations, each with the number of the system call
//! that it precedes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::marker::PhantomData;
use std::rc::Rc;

use self::doubt::{Moment, other_history};
use super::simulated::{Entry, Happened, Inode, Marked, OUTSIDE, Operation, Random, TREE, World, encode};
use crate::filter::Filter;
use crate::source::{Interface, Scope, Settings};
use crate::sys::mask::{IN_CREATE, IN_DELETE, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO, Mask};

mod doubt;
mod filesystem;
mod inode_marks;
mod watcher_over_marks;

/// What is done before anything is watched. `~d` and `~f` are outside.
const SETUPS: [&[&str]; 2] = [
    &["mkdir ~d", "create ~d/a", "create ~f"],
    &["mkdir a", "mkdir a/a", "create b", "mkdir ~d", "mkdir ~d/a"],
];

/// What a watcher of a tree is asked for.
fn settings(events: Mask) -> Settings {
    Settings {
        events,
        interface: Interface::Fanotify(Scope::Paths),
        recursive: true,
        monitor: true,
        follow: true,
        by_name: false,
        base: Vec::new(),
        filter: Filter::default(),
    }
}

/// More system calls than anything leads to.
const QUIET: isize = 1000;

/// An operation, the process that does it, and the number of the system call of the watcher that it precedes.
#[derive(Debug, Clone)]
struct Act {
    operation: Operation,
    process: i32,
    call: isize,
}

/// The world, and what will still happen in it.
#[derive(Debug)]
struct Simulation {
    world: World,
    acts: Vec<Act>,
    /// How many of them have been done.
    done: usize,
    calls: isize,
    /// What may come after all of them.
    next: Vec<Next>,
    story: Vec<String>,
    /// Whether the story is wanted.
    tells: bool,
    moments: Vec<Moment>,
    /// The world after the last call, if a story is wanted.
    before: Option<World>,
    /// What is watched are all directories of the tree, whatever the watcher asks for.
    marks_all: bool,
}

/// An operation that may come next.
#[derive(Debug)]
struct Next {
    /// Where it leads to.
    world: World,
    /// The calls before which it makes a difference.
    positions: Vec<isize>,
}

impl Simulation {
    /// The watcher is about to make a system call, with whose effect or answer every operation makes a difference.
    fn call(&mut self, name: &str) {
        self.begin_call(name);
        self.pass(|_| true);
    }

    /// The watcher makes a system call that changes nothing.
    fn ask<T: PartialEq>(&mut self, name: &str, look: impl Fn(&World) -> T) -> T {
        self.begin_call(name);
        let answer = look(&self.world);
        self.pass(|world| look(world) != answer);
        answer
    }

    /// A call was made to which an operation may make a difference: if so, it has to be tried after it as well.
    fn pass(&mut self, makes_difference: impl Fn(&World) -> bool) {
        if self.done == self.acts.len() {
            for next in &mut self.next {
                next.positions.extend(makes_difference(&next.world).then_some(self.calls));
            }
        }
    }

    fn begin_call(&mut self, name: &str) {
        self.note();
        while self.acts.get(self.done).is_some_and(|act| act.call <= self.calls) {
            self.act(false);
        }
        if self.tells {
            self.story.push(format!("  call {}: {name}", self.calls));
        }
        if let Some(before) = self.before.take() {
            let (call, world) = (self.calls, self.world.clone());
            self.moments.push(Moment { call, is_read: name == "read", before, world });
        }
        self.calls += 1;
    }

    fn act(&mut self, late: bool) {
        self.note();
        let Act { operation, process, call } = self.acts[self.done].clone();
        self.done += 1;
        if late {
            self.calls = call;
            self.world.unsettled.clear();
        }
        let done = self.world.act(process, &operation);
        if self.tells {
            self.story.push(format!("{operation} (process {process}){}", if done { "" } else { " fails" }));
        }
        if self.marks_all {
            self.world.mark_all(inode_marks::MASK);
        }
    }

    /// Remembers the world before anything happens in it after a call.
    fn note(&mut self) {
        if self.tells && self.calls >= 0 && self.before.is_none() {
            self.before = Some(self.world.clone());
        }
    }

    /// Takes the unread events, in the kernel's form.
    fn read(&mut self, buffer: &mut Vec<u8>) -> usize {
        self.call("read");
        let events = self.world.take();
        if self.tells {
            self.story.extend(events.iter().map(|event| format!("    {event}")));
        }
        let bytes = encode(&events);
        buffer.extend_from_slice(&bytes);
        bytes.len()
    }
}

/// A line that is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    event: &'static str,
    path: String,
    is_directory: bool,
    cookie: u32,
}

const EVENTS: [(Mask, &str); 4] =
    [(IN_CREATE, "CREATE"), (IN_MOVED_FROM, "MOVED_FROM"), (IN_MOVED_TO, "MOVED_TO"), (IN_DELETE, "DELETE")];

/// The lines of an event.
fn lines_of(mask: Mask, cookie: u32, path: &str) -> impl Iterator<Item = Line> {
    let path = path.to_owned();
    EVENTS.into_iter().filter(move |(bit, _)| mask.has(*bit)).map(move |(_, event)| Line {
        event,
        path: path.clone(),
        is_directory: mask.has(IN_ISDIR),
        cookie,
    })
}

/// What follows the world.
trait Watcher {
    fn new(simulation: Rc<RefCell<Simulation>>) -> Self;
    /// Reads, and handles what was read.
    fn turn(&mut self, lines: &mut Vec<Line>);
    /// Whether it has something left to do.
    fn is_busy(&self) -> bool;
    fn marked() -> Marked;
    const MARKS_ALL: bool = false;

    /// Whether the lines must be the tree; else only that all is followed in the end is judged.
    fn is_strict(_: &World) -> bool {
        true
    }
}

/// What came of a history.
struct Outcome {
    faults: Vec<String>,
    /// No event can tell it from another history: see [`is_hidden`].
    is_hidden: bool,
    story: Vec<String>,
    moments: Vec<Moment>,
}

fn start(marked: Marked, setup: &[&str]) -> World {
    let mut world = World::new(marked);
    for text in setup {
        assert!(world.act(1, &Operation::parse(text).unwrap()), "{text}");
    }
    world.queue.clear();
    world.happened.clear();
    world
}

/// Where histories begin.
struct Stage<W> {
    /// The number in [`SETUPS`] of what is done before anything is watched.
    setup: usize,
    world: World,
    tree: BTreeMap<String, bool>,
    /// The number of calls that the watcher makes until it is set up, if nothing happens.
    calls: isize,
    watcher: PhantomData<W>,
}

impl<W: Watcher> Stage<W> {
    fn new(setup: usize) -> Stage<W> {
        let world = start(W::marked(), SETUPS[setup]);
        let tree = real_tree(&world);
        let mut stage = Stage { setup, world, tree, calls: 0, watcher: PhantomData };
        let simulation = Rc::new(RefCell::new(stage.simulation(&[], false)));
        drop(W::new(Rc::clone(&simulation)));
        stage.calls = simulation.borrow().calls;
        stage
    }

    fn simulation(&self, acts: &[Act], tells: bool) -> Simulation {
        Simulation {
            world: self.world.clone(),
            acts: acts.to_vec(),
            done: 0,
            calls: 0,
            next: Vec::new(),
            story: Vec::new(),
            tells,
            moments: Vec::new(),
            before: None,
            marks_all: W::MARKS_ALL,
        }
    }

    /// Sets the watcher up.
    fn begin(&self, mut simulation: Simulation) -> (W, Rc<RefCell<Simulation>>) {
        if W::MARKS_ALL {
            simulation.world.mark_all(inode_marks::MASK);
        }
        let is_in_setup = simulation.acts.first().map_or(!simulation.next.is_empty(), |act| act.call < 0);
        simulation.calls = if is_in_setup { -self.calls } else { -isize::MAX };
        let simulation = Rc::new(RefCell::new(simulation));
        let watcher = W::new(Rc::clone(&simulation));
        {
            let simulation = &mut *simulation.borrow_mut();
            simulation.calls = simulation.calls.max(0);
            if simulation.done == 0 {
                simulation.story.clear();
            }
        }
        (watcher, simulation)
    }

    fn run(&self, acts: &[Act], tells: bool) -> Outcome {
        let (mut watcher, simulation) = self.begin(self.simulation(acts, tells));
        let is_strict = simulation.borrow().done == 0;
        let mut faults = Vec::new();
        let mut lines = Vec::new();
        until_quiet(&mut watcher, &simulation, &mut lines, &mut faults);
        if is_strict && W::is_strict(&simulation.borrow().world) {
            let world = &simulation.borrow().world;
            judge_lines(world, &lines, &mut faults);
            // A line may be of a rename that was merged with an earlier one, or of a later one.
            let replay = |prefers_new| {
                let mut faults = Vec::new();
                let mut picture = Picture { prefers_new, ..Picture::of(self.tree.clone()) };
                lines.iter().for_each(|line| picture.replay(line, world, &mut faults));
                picture.compare(world, &mut faults);
                faults
            };
            let replayed = replay(false);
            if !replayed.is_empty() && !replay(true).is_empty() {
                faults.extend(replayed);
            }
        } else {
            let world = &simulation.borrow().world;
            let untrue = lines.iter().filter(|line| line.event == "CREATE" && !is_new(world, line));
            faults.extend(untrue.map(|Line { path, .. }| format!("CREATE {path}: it was there before")));
        }
        let moments = std::mem::take(&mut simulation.borrow_mut().moments);
        probe(&mut watcher, &simulation, &mut faults);
        let simulation = &mut *simulation.borrow_mut();
        let is_hidden = is_hidden(&simulation.world);
        Outcome { faults, is_hidden, story: std::mem::take(&mut simulation.story), moments }
    }

    /// The positions after `acts` that have to be tried for what leads to each of these worlds.
    fn positions(&self, acts: &[Act], worlds: Vec<World>) -> Vec<Next> {
        let first = acts.last().map_or(-self.calls, |act| act.call);
        let mut simulation = self.simulation(acts, false);
        simulation.next = worlds.into_iter().map(|world| Next { world, positions: vec![first] }).collect();
        let (mut watcher, simulation) = self.begin(simulation);
        if !acts.is_empty() {
            until_quiet(&mut watcher, &simulation, &mut Vec::new(), &mut Vec::new());
        }
        let simulation = &mut *simulation.borrow_mut();
        // More is judged of what begins after the setup, and when all is quiet.
        let last = simulation.calls;
        for next in &mut simulation.next {
            next.positions.push(last);
            next.positions.dedup();
        }
        std::mem::take(&mut simulation.next)
    }
}

/// Whether the event that reports a change also reports another of the same kind.
fn is_merged(world: &World, happened: &Happened) -> bool {
    let is_same =
        |other: &&Happened| (other.reported_by, other.event) == (happened.reported_by, happened.event);
    happened.reported_by.is_some() && world.happened.iter().filter(is_same).count() > 1
}

/// Whether nothing watched a change, or by a watch that was removed, so that its events count for nothing.
fn is_untold(world: &World, happened: &Happened) -> bool {
    happened.reported_by.is_none() || world.unwatched.contains(&happened.entry.0)
}

/// Whether something of the name that a line reports as created was created, or came from or to where nothing was watched.
fn is_new(world: &World, line: &Line) -> bool {
    let name = line.path.rsplit_once('/').map_or("", |(_, name)| name);
    let is_named = |happened: &Happened| happened.entry.1 == name || world.is_directory(happened.inode);
    let is_created = |happened: &Happened| happened.event == "CREATE" && happened.entry.1 == name;
    let is_unseen = |pair: &[Happened]| {
        let is_rename = pair[1].event == "MOVED_TO" && is_named(&pair[1]);
        is_rename && pair.iter().any(|half| is_untold(world, half))
    };
    world.happened.iter().any(is_created) || world.happened.windows(2).any(is_unseen)
}

/// Whether a file with several names had one of them again, or lost it again, by an event that was merged, or whether
/// other operations queue the same events.
fn is_hidden(world: &World) -> bool {
    if world.is_ambiguous {
        return true;
    }
    let (mut reported, mut events) = (BTreeSet::new(), BTreeSet::new());
    world.happened.iter().any(|happened| {
        let Some(number) = happened.reported_by else { return false };
        let is_known = !reported.insert(number) || world.written.contains(&number);
        let is_again = !events.insert((number, happened.event));
        let is_lost_again = || {
            let has_its_end = matches!(world.marked, Marked::Filesystem(_));
            let is_return = |other: &Happened| {
                (other.event, other.inode, &other.entry) == ("MOVED_TO", happened.inode, &happened.entry)
            };
            !has_its_end && happened.event == "DELETE" && world.happened.iter().any(is_return)
        };
        world.linked.contains(&happened.inode)
            && (is_known && (happened.event == "CREATE" || is_lost_again()) || is_again)
    })
}

/// Lets the watcher work until there is nothing left to do for anybody.
fn until_quiet<W: Watcher>(
    watcher: &mut W,
    simulation: &RefCell<Simulation>,
    lines: &mut Vec<Line>,
    faults: &mut Vec<String>,
) {
    for _ in 0..200 {
        let before = lines.len();
        watcher.turn(lines);
        let simulation = &mut *simulation.borrow_mut();
        if simulation.tells {
            for Line { event, path, is_directory, cookie } in &lines[before..] {
                let kind = if *is_directory { ",ISDIR" } else { "" };
                simulation.story.push(format!("      > {path} {event}{kind} {cookie}"));
            }
        }
        if watcher.is_busy() || !simulation.world.queue.is_empty() {
            continue;
        }
        if simulation.done == simulation.acts.len() {
            return;
        }
        simulation.act(true);
    }
    faults.push("it is never quiet".into());
}

/// 2 and 3 of what must hold.
fn judge_lines(world: &World, lines: &[Line], faults: &mut Vec<String>) {
    let mut left: Vec<&Happened> =
        world.happened.iter().filter(|happened| happened.path.starts_with("/tree/")).collect();
    // What was merged into one event happened at one of its paths.
    let mut paths: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for happened in &left {
        if let Some(number) = happened.reported_by.filter(|_| matches!(happened.event, "CREATE" | "DELETE")) {
            paths.entry(number).or_default().push(&happened.path);
        }
    }
    let is_at = |happened: &Happened, path: &str| {
        let merged = happened.reported_by.and_then(|number| paths.get(&number));
        happened.path == path || merged.is_some_and(|paths| paths.contains(&path))
    };
    let mut printed: BTreeSet<(usize, &str)> = BTreeSet::new();
    let mut unprinted: BTreeMap<(usize, &str), &str> = BTreeMap::new();
    // What is in a directory that came from elsewhere, and is announced like a new one.
    let mut announced: BTreeSet<String> = BTreeSet::new();
    for Line { event, path, .. } in lines {
        let is_exact = |happened: &&Happened| happened.event == *event && happened.path == *path;
        let is_reported = |happened: &&Happened| is_exact(happened) && happened.reported_by.is_some();
        let is_next = |happened: &&Happened| {
            let number = happened.reported_by.filter(|_| is_exact(happened));
            number.is_some_and(|number| !printed.contains(&(number, *event)))
        };
        let exact = left.iter().position(is_next).or_else(|| left.iter().position(is_reported));
        let exact = exact.or_else(|| left.iter().position(is_exact));
        let merged = || left.iter().position(|happened| happened.event == *event && is_at(happened, path));
        // What nobody watched yet is announced, under the path that it has then. So is what was reported by a watch that is
        // removed, because its directory had been renamed before it was listed.
        let name = |path: &str| path.rsplit_once('/').map(|(_, name)| name.to_owned());
        let is_announced = |happened: &&Happened| {
            let came = matches!(happened.event, "CREATE" | "MOVED_TO") && is_untold(world, happened);
            came && *event == "CREATE" && name(&happened.path) == name(path)
        };
        // A look has shown it after the directory was renamed.
        let is_found_late = |happened: &&Happened| {
            let (above, name) = &happened.entry;
            let is_merged = happened.event == *event && is_merged(world, happened);
            is_merged && world.path(*above).is_some_and(|above| format!("{above}/{name}") == *path)
        };
        let late = || left.iter().position(is_found_late);
        match exact.or_else(merged).or_else(late).or_else(|| left.iter().position(is_announced)) {
            None if *event == "CREATE" && announced.remove(path) => {}
            None => faults.push(format!("{event} {path}: that never happened, or has a line")),
            Some(at) => {
                let happened = left.remove(at);
                printed.extend(happened.reported_by.map(|number| (number, *event)));
                if *event == "CREATE" && happened.event == "MOVED_TO" {
                    let below = contents(world, happened.inode, &happened.below);
                    announced.extend(below.into_keys().map(|below| format!("{path}{below}")));
                }
            }
        }
    }
    // What happens in a new directory that leaves before it is listed is not reported.
    for happened in left.into_iter().filter(|happened| !world.unlisted.contains(&happened.entry.0)) {
        if let Some(number) = happened.reported_by {
            unprinted.insert((number, happened.event), &happened.path);
        }
    }
    for ((_, event), path) in unprinted.into_iter().filter(|(event, _)| !printed.contains(event)) {
        faults.push(format!("{event} {path}: no line"));
    }
}

/// 4 of what must hold.
fn probe<W: Watcher>(watcher: &mut W, simulation: &RefCell<Simulation>, faults: &mut Vec<String>) {
    let directories: Vec<String> = {
        let world = &simulation.borrow().world;
        let below = world.below(TREE).into_iter().filter(|(inode, _)| world.is_directory(*inode));
        below.filter_map(|(inode, _)| world.path(inode)).chain(["/tree".into()]).collect()
    };
    let wanted: BTreeSet<String> = directories.iter().map(|directory| format!("{directory}/probe")).collect();
    for path in &wanted {
        let path = path.trim_start_matches("/tree/");
        assert!(simulation.borrow_mut().world.act(9, &Operation::Create(path.into())));
    }
    let mut lines = Vec::new();
    until_quiet(watcher, simulation, &mut lines, faults);
    let found: BTreeSet<String> = lines.iter().map(|line| line.path.clone()).collect();
    if lines.len() != wanted.len() || found != wanted {
        faults.push(format!("what happens at {wanted:?} is reported at {found:?}"));
    }
}

/// The tree as the lines show it: paths and whether they are directories.
struct Picture {
    tree: BTreeMap<String, bool>,
    /// What has left and not arrived, by cookie: where it was, and what.
    away: HashMap<u32, (String, BTreeMap<String, bool>)>,
    exchanged: BTreeMap<String, BTreeMap<String, bool>>,
    /// Which arrivals of all that happened had their line.
    arrived: BTreeSet<usize>,
    /// Of several that a line may be of, one whose event had no line yet.
    prefers_new: bool,
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Picture {
    fn of(tree: BTreeMap<String, bool>) -> Picture {
        Picture {
            tree,
            away: HashMap::new(),
            exchanged: BTreeMap::new(),
            arrived: BTreeSet::new(),
            prefers_new: false,
        }
    }

    fn take(&mut self, top: &str) -> BTreeMap<String, bool> {
        let (taken, tree) =
            std::mem::take(&mut self.tree).into_iter().partition(|(path, _)| is_below(path, top));
        self.tree = tree;
        let taken: BTreeMap<String, bool> = taken;
        taken.into_iter().map(|(path, is)| (path[top.len()..].to_owned(), is)).collect()
    }

    fn replay(&mut self, line: &Line, world: &World, faults: &mut Vec<String>) {
        let Line { event, path, is_directory, cookie } = line;
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if above != "/tree" && self.tree.get(above) != Some(&true) {
            faults.push(format!("{event} {path}: {above} is not there in the replay"));
        }
        match *event {
            "CREATE" => {
                if self.tree.insert(path.clone(), *is_directory).is_some() {
                    faults.push(format!("CREATE {path}: it is there in the replay"));
                }
            }
            "DELETE" => {
                if self.take(path).get("") != Some(is_directory) {
                    faults.push(format!("DELETE {path}: it is not there in the replay"));
                }
            }
            "MOVED_FROM" => {
                let tree = self.exchanged.remove(path).unwrap_or_else(|| self.take(path));
                if tree.get("") != Some(is_directory) {
                    faults.push(format!("MOVED_FROM {path}: it is not there in the replay"));
                }
                self.away.insert(*cookie, (path.clone(), tree));
            }
            _ => {
                let there = self.take(path);
                let (from, away) = self.away.remove(cookie).unzip();
                let happened = self.arrival(path, from.as_deref(), *is_directory, world);
                if !there.is_empty() && happened.is_some_and(|happened| happened.exchange) {
                    self.exchanged.insert(path.clone(), there);
                }
                let tree = away.unwrap_or_else(|| {
                    let below = happened.map(|happened| contents(world, happened.inode, &happened.below));
                    let itself = (String::new(), *is_directory);
                    below.unwrap_or_default().into_iter().chain([itself]).collect()
                });
                self.tree.extend(tree.into_iter().map(|(below, is)| (format!("{path}{below}"), is)));
            }
        }
    }

    /// The first arrival of this kind that had no line yet. One that was merged with another rename may come from elsewhere.
    fn arrival<'a>(
        &mut self,
        path: &str,
        from: Option<&str>,
        is_directory: bool,
        world: &'a World,
    ) -> Option<&'a Happened> {
        let is_it = |(number, pair): &(usize, &[Happened])| {
            let arrived = &pair[1];
            let is_same = arrived.event == "MOVED_TO" && arrived.path == path;
            is_same && world.is_directory(arrived.inode) == is_directory && !self.arrived.contains(number)
        };
        let is_from =
            |pair: &[Happened]| Some(&*pair[0].path).filter(|path| path.starts_with("/tree/")) == from;
        let is_new = |pair: &[Happened]| {
            let is_same = |number: &usize| world.happened[number + 1].reported_by == pair[1].reported_by;
            !self.arrived.iter().any(is_same)
        };
        let pairs = world.happened.windows(2).enumerate().filter(is_it);
        let (number, pair) =
            pairs.min_by_key(|(_, pair)| (!is_from(pair), self.prefers_new && !is_new(pair)))?;
        self.arrived.insert(number);
        Some(&pair[1])
    }

    fn compare(&self, world: &World, faults: &mut Vec<String>) {
        let real = real_tree(world);
        for path in real.keys().filter(|path| !self.tree.contains_key(*path)) {
            faults.push(format!("missing {path}"));
        }
        for path in self.tree.keys().filter(|path| !real.contains_key(*path)) {
            faults.push(format!("gone {path}"));
        }
    }
}

/// The paths of what was below a directory.
fn contents(world: &World, top: Inode, below: &[(Inode, Entry)]) -> BTreeMap<String, bool> {
    let mut paths: HashMap<Inode, String> = [(top, String::new())].into();
    let mut tree = BTreeMap::new();
    for (inode, (above, name)) in below {
        let path = format!("{}/{name}", paths[above]);
        tree.insert(path.clone(), world.is_directory(*inode));
        paths.insert(*inode, path);
    }
    tree
}

fn real_tree(world: &World) -> BTreeMap<String, bool> {
    let tree = contents(world, TREE, &world.below(TREE));
    tree.into_iter().map(|(path, is)| (format!("/tree{path}"), is)).collect()
}

/// What takes a rename back.
fn back(operation: &Operation) -> Option<Operation> {
    match operation.clone() {
        Operation::Rename(from, to) => Some(Operation::Rename(to, from)),
        Operation::Exchange(one, other) => Some(Operation::Exchange(one, other)),
        _ => None,
    }
}

/// Whether two operations are of the same object, or one is of what is in that of the other.
fn concerns(one: &Operation, other: &Operation) -> bool {
    let (one, other) = (one.to_string(), other.to_string());
    let is_near = |path| other.split(' ').skip(1).any(|other| is_below(path, other) || is_below(other, path));
    one.split(' ').skip(1).any(is_near)
}

/// Whether an operation succeeds in a world, and where that leads.
fn after(world: &World, operation: Operation, process: i32) -> Option<(Operation, World)> {
    let mut next = world.clone();
    let before = next.happened.len();
    let changes = next.act(process, &operation)
        && (next.happened.len() > before || matches!(operation, Operation::Write(_)));
    changes.then_some((operation, next))
}

/// Every operation that may succeed, up to the names of what was never there.
fn operations(world: &World, everywhere: bool) -> Vec<Operation> {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    const DEEPEST: usize = 3;
    let (mut there, mut free) = (Vec::new(), Vec::new());
    for (top, prefix) in [(TREE, ""), (OUTSIDE, "~")] {
        let below = world.below(top).into_iter().map(|(inode, _)| inode);
        let directories = below.filter(|inode| world.is_directory(*inode)).chain([top]);
        for directory in directories {
            let path = world.path(directory).unwrap_or_default();
            let path =
                path.trim_start_matches("/tree").trim_start_matches("/outside").trim_start_matches('/');
            let path = if path.is_empty() { prefix.to_owned() } else { format!("{prefix}{path}/") };
            there.extend(world.entries(directory).map(|(name, _)| format!("{path}{name}")));
            if path.matches('/').count() >= DEEPEST || !everywhere && top == OUTSIDE && directory != OUTSIDE {
                continue;
            }
            // Of the names that were never there one is as good as another.
            let used = |name: &str| {
                let entry = (directory, name.to_owned());
                world.entry(directory, name).is_some() || world.happened.iter().any(|old| old.entry == entry)
            };
            let unused = NAMES.iter().find(|name| !used(name)).copied();
            let names = NAMES.iter().copied().filter(|name| used(name)).chain(unused);
            free.extend(
                names
                    .filter(|name| world.entry(directory, name).is_none())
                    .map(|name| format!("{path}{name}")),
            );
        }
    }
    let mut found = Vec::new();
    let is_in_tree = |path: &String| everywhere || !path.starts_with('~');
    for path in free.iter().filter(|path| is_in_tree(path)) {
        found.push(Operation::Mkdir(path.clone()));
        found.push(Operation::Create(path.clone()));
    }
    for from in &there {
        if is_in_tree(from) {
            found.push(Operation::Remove(from.clone()));
            found.push(Operation::Write(from.clone()));
        }
        for to in free.iter().chain(&there).filter(|to| is_in_tree(from) || is_in_tree(to)) {
            found.push(Operation::Rename(from.clone(), to.clone()));
            found.push(Operation::Link(from.clone(), to.clone()));
            if from < to {
                found.push(Operation::Exchange(from.clone(), to.clone()));
            }
        }
    }
    found
}

/// A history as text.
fn text(setup: usize, acts: &[Act]) -> String {
    let acts: Vec<String> = acts
        .iter()
        .map(|Act { operation, process, call }| match process {
            1 => format!("{operation}@{call}"),
            _ => format!("{operation}@{call} by {process}"),
        })
        .collect();
    format!("{setup}: {}", acts.join("; "))
}

fn parse<W: Watcher>(text: &str) -> Option<(Stage<W>, Vec<Act>)> {
    let (setup, acts) = text.split_once(": ")?;
    let setup = setup.parse().ok().filter(|setup| *setup < SETUPS.len())?;
    let act = |text: &str| {
        let (operation, when) = text.rsplit_once('@')?;
        let (call, process) = when.split_once(" by ").unwrap_or((when, "1"));
        let operation = Operation::parse(operation)?;
        Some(Act { operation, process: process.trim().parse().ok()?, call: call.trim().parse().ok()? })
    };
    Some((Stage::new(setup), acts.split(';').map(act).collect::<Option<_>>()?))
}

/// When operations are done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Positions {
    /// At every position where that makes a difference.
    Every,
    /// Together with the one before, or when all is quiet.
    TogetherOrQuiet,
    /// All together, at every position.
    Together,
}

/// A search and what it has found.
struct Search {
    positions: Positions,
    /// One of so many histories is tried, and which one.
    share: usize,
    part: usize,
    met: usize,
    /// One of so many threads completes the histories that lack the last operation, and which one does.
    threads: usize,
    thread: usize,
    begun: usize,
    tried: usize,
    /// Those that no event can tell from others.
    hidden: usize,
    /// Histories that failed, by how many operations they have.
    failed: Vec<(Vec<String>, String)>,
}

impl Search {
    fn new(positions: Positions, share: usize) -> Search {
        let part = if share > 1 { number("JUDGE_PART").unwrap_or(0) } else { 0 };
        Search {
            positions,
            share,
            part,
            met: 0,
            threads: 1,
            thread: 0,
            begun: 0,
            tried: 0,
            hidden: 0,
            failed: Vec::new(),
        }
    }

    /// Tries one of `share` histories of exactly so many operations.
    fn try_all<W: Watcher>(positions: Positions, count: usize, share: usize) -> Search {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let try_part = |thread| {
            let mut search = Search { threads, thread, ..Search::new(positions, share) };
            for setup in 0..SETUPS.len() {
                let stage = Stage::<W>::new(setup);
                search.try_after(&stage, &stage.world, &mut Vec::new(), count);
            }
            search
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || try_part(thread))).collect();
            parts.into_iter().fold(Search::new(positions, share), |mut all, part| {
                let part = part.join().unwrap();
                all.tried += part.tried;
                all.hidden += part.hidden;
                all.failed.extend(part.failed);
                all
            })
        })
    }

    /// Tries all histories that go on after `acts`, which lead to `world`, with exactly so many operations.
    fn try_after<W: Watcher>(&mut self, stage: &Stage<W>, world: &World, acts: &mut Vec<Act>, count: usize) {
        if count == 0 {
            self.judge(stage, acts);
            return;
        }
        if count == 1 {
            self.begun += 1;
            if self.begun % self.threads != self.thread {
                return;
            }
        }
        let mut operations = self::operations(world, false);
        // Of the last operations only those that are tried need to be done here.
        operations.retain(|_| {
            self.met += usize::from(count == 1);
            count > 1 || self.met % self.share == self.part
        });
        let next = operations.into_iter().filter_map(|operation| after(world, operation, 1));
        let (operations, worlds): (Vec<_>, Vec<_>) = next.unzip();
        let next = self.positions(stage, acts, worlds);
        for (operation, Next { world, positions }) in operations.into_iter().zip(next) {
            for call in positions {
                acts.push(Act { operation: operation.clone(), process: 1, call });
                self.try_after(stage, &world, acts, count - 1);
                acts.pop();
            }
        }
    }

    /// When to do what leads to each of these worlds.
    fn positions<W: Watcher>(&self, stage: &Stage<W>, acts: &[Act], worlds: Vec<World>) -> Vec<Next> {
        let last = acts.last().map(|act| act.call);
        let positions = match (self.positions, last) {
            (Positions::Every, _) | (Positions::Together, None) => return stage.positions(acts, worlds),
            (Positions::Together, Some(call)) => vec![call],
            (Positions::TogetherOrQuiet, None) => vec![0],
            (Positions::TogetherOrQuiet, Some(call)) => vec![call, call + QUIET],
        };
        let next = worlds.into_iter().map(|world| Next { world, positions: positions.clone() });
        next.collect()
    }

    /// Tries so many histories of four to ten operations by one or two processes, at random positions.
    fn try_at_random<W: Watcher>(&mut self, count: usize, seed: u64) {
        let mut random = Random::new(seed);
        let stages = [0, 1].map(Stage::<W>::new);
        for _ in 0..count {
            let stage = &stages[random.below(SETUPS.len())];
            let mut world = stage.world.clone();
            let mut acts: Vec<Act> = Vec::new();
            let mut call = 0;
            if stage.calls > 0 && random.below(2) == 0 {
                call = random.below(stage.calls as usize) as isize - stage.calls;
            }
            for _ in 0..4 + random.below(7) {
                // Of one object's renames there to and fro, most are merged.
                let back = acts.iter().rev().nth(random.below(3)).and_then(|act| back(&act.operation));
                let back =
                    back.filter(|_| random.below(2) == 0).and_then(|operation| after(&world, operation, 1));
                let mut operations = self::operations(&world, false);
                // Every second of the others goes on with what the one before has changed.
                let last = acts.last().filter(|_| random.below(2) == 0);
                let is_near =
                    |operation: &Operation| last.is_some_and(|last| concerns(operation, &last.operation));
                let is_possible = |operation: &Operation| after(&world, operation.clone(), 1).is_some();
                let near: Vec<_> =
                    operations.iter().filter(|operation| is_near(operation)).cloned().collect();
                if near.iter().any(is_possible) {
                    operations = near;
                }
                let mut any = || after(&world, operations.swap_remove(random.below(operations.len())), 1);
                let (operation, next) =
                    back.unwrap_or_else(|| std::iter::repeat_with(&mut any).flatten().next().unwrap());
                world = next;
                call += [0, 0, 0, 1, 1, 2, 3, QUIET][random.below(8)];
                acts.push(Act { operation, process: 1 + random.below(8) as i32 / 7, call });
            }
            self.judge(stage, &acts);
        }
    }

    fn judge<W: Watcher>(&mut self, stage: &Stage<W>, acts: &[Act]) {
        self.tried += 1;
        let Outcome { faults, is_hidden, .. } = stage.run(acts, false);
        if faults.is_empty() {
            return;
        }
        if is_hidden || other_history(stage, acts, 1).is_some() {
            self.hidden += 1;
        } else {
            self.failed.push((faults, text(stage.setup, acts)));
        }
    }

    /// A history that fails, as short as it can be made.
    fn shortened<W: Watcher>(stage: &Stage<W>, acts: &[Act]) -> Vec<Act> {
        let fails = |acts: &[Act]| {
            let Outcome { faults, is_hidden, .. } = stage.run(acts, false);
            !(acts.is_empty() || faults.is_empty() || is_hidden) && other_history(stage, acts, 1).is_none()
        };
        let mut acts = acts.to_vec();
        loop {
            let mut shorter: Vec<Vec<Act>> = Vec::new();
            for at in 0..acts.len() {
                let mut one = acts.clone();
                one.remove(at);
                shorter.push(one);
            }
            for at in 0..acts.len() {
                let least = if at == 0 { acts[0].call.min(0) } else { acts[at - 1].call };
                let by = acts[at].call - least;
                for by in [by, 1] {
                    let mut earlier = acts.clone();
                    if acts[at].call > least {
                        earlier[at..].iter_mut().for_each(|act| act.call -= by);
                        shorter.push(earlier);
                    }
                }
                if acts[at].process != 1 {
                    let mut one = acts.clone();
                    one[at].process = 1;
                    shorter.push(one);
                }
            }
            match shorter.into_iter().find(|acts| fails(acts)) {
                Some(found) => acts = found,
                None => return acts,
            }
        }
    }

    /// Shows how many were tried, and those that failed; fails with the story of the first.
    fn end<W: Watcher>(&self, name: &str, kind: &str) {
        let Search { tried, hidden, failed, .. } = self;
        println!("{name}: {tried} histories of {kind}, {} fail, {hidden} are not judged", failed.len());
        for (faults, history) in failed.iter().take(number("JUDGE_SHOWN").unwrap_or(5)) {
            let (stage, acts) = parse::<W>(history).unwrap();
            let shortened = text(stage.setup, &Search::shortened(&stage, &acts));
            println!("\nJUDGE_HISTORY='{history}'\n  shorter: '{shortened}'\n  {}", faults.join("\n  "));
        }
        if let Some((_, history)) = failed.iter().min_by_key(|(_, history)| history.matches(';').count()) {
            let (stage, acts) = parse::<W>(history).unwrap();
            let story = stage.run(&acts, true).story;
            panic!("{history}\n{}", story.join("\n"));
        }
    }
}

/// Histories that were reported wrongly once.
const KNOWN: [&str; 15] = [
    // The end of a directory is merged with the opening before its entries are removed.
    "0: mkdir b@0; mkdir b/c@0; mkdir b/c/a@0; open b@0; open b/c@0; open b/c/a@0; remove b/c/a@0; remove b/c@0; remove b@0",
    // The deletion of a file is merged with the writing before both exchanges.
    "1: write b@0; exchange b a@0; exchange b a@0; remove b@0",
    // A third rename is merged with the first; what follows happens at the other path.
    "1: rename a c@0; rename c a@0; rename a c@0; create c/b@1000",
    "1: rename a c@0; rename c a@0; rename a c@0; rename c a@0; rename a c@0; mkdir a@0",
    // A name is used again before the directory whose end is merged comes to be there.
    "0: mkdir a@0; rename a b@0; mkdir a@0; rename a c@0; mkdir a@0; remove a@0; remove b@0",
    // The end of a directory is merged with its creation, at another path than before.
    "1: mkdir a/b@0; rename a c@0; remove c/b@0",
    // A third exchange is merged with the first.
    "1: exchange a b@0; exchange a b@0; exchange a b@0; write a@1000",
    // The end of a directory whose deletion is merged is reported after the one above is deleted.
    "1: mkdir a/b@0; hold a/b@0; remove a/b@0; remove a/a@0; remove a@0; release@0",
    // A rename is merged that leads to an entry where others were made or deleted after the first.
    "1: rename a c@0; rename c a@0; create c@0; remove c@0; rename a c@0",
    "1: exchange a/a b@0; exchange a/a b@0; remove b@0; rename a/a b@0",
    // A file is deleted after a merged rename, and its own end comes first.
    "0: rename ~d/a b@0; rename b ~d/a@0 by 2; rename ~d/a b@0; remove b@1",
    // The creation and the deletion of a link are merged before renames of the file to and from that entry.
    "0: link ~f a@0; remove a@0; rename ~f a@0; rename a ~f@0",
    // A file that is exchanged to and fro has another name since then.
    "0: link ~f a@0; link ~f c@1000; exchange a ~d/a@1000; exchange a ~d/a@1000; rename ~d/a a@1000",
    // A file that may have been renamed again gets a second name, and leaves that one.
    "0: rename ~f a@2; rename a ~f@2; rename ~f b@2; rename b a@2; link a b@4; rename b ~a@5",
    // A file is there again by another link, whose creation is merged with its own.
    "0: create a@0; link a b@0; remove a@0; link b a@0",
];

/// The rules of the translation, each with the shortest history that was found to fail without it over one of the ways.
const RULES: [(&str, &str); 43] = [
    (
        "a deletion ends the name that a link has brought back",
        "0: link ~f a@1; write a@1 by 2; remove a@1; rename ~f a@1",
    ),
    ("a directory is deleted from where it was before the deletion", "1: remove a/a@0; remove a@0"),
    ("a directory that a rename replaces was at the rename's target", "1: remove a/a@0; rename ~d/a a@0"),
    ("a rename replaces one directory", "1: remove a/a@0; rename ~d/a a@0; remove a@0"),
    (
        "a directory whose deletion is reported was not replaced",
        "1: remove a/a@0; rename ~d a/b@0; rename a/b ~d@0; remove a@0",
    ),
    ("a look begins where the object is reported to be", "1: rename a/a ~a@0; rename ~a a/a@0"),
    (
        "what a known directory brings is not elsewhere any more",
        "1: exchange a ~d/a@0; rename a ~d/a/a@0; rename ~d c@0",
    ),
    (
        "one object that is renamed to and fro is not exchanged",
        "0: create a@0; rename a ~d/a@0; rename ~d/a a@1; rename a ~d/a@1; rename ~d/a a@1",
    ),
    (
        "of an exchange, both objects were there before",
        "0: mkdir a@0; rename ~d b@0; rename b ~d@0; rename ~d b@0; exchange a b@0",
    ),
    (
        "an exchange is repeated by both its renames",
        "1: rename ~d a/a@0; exchange a/a/a b@0; exchange a/a/a b@0; exchange a/a/a b@1",
    ),
    (
        "an exchange that is repeated is known to both objects",
        "1: exchange a b@0; exchange a b@0; exchange a b@0; exchange a b@0; exchange a b@0",
    ),
    (
        "an object that is elsewhere by now is not exchanged again",
        "1: write b@3; rename a ~a@3; rename b a@3; exchange a ~a@3; exchange a ~a@3; exchange a ~a@3; exchange a ~a@4; \
         exchange a ~a@7; exchange a ~a@9",
    ),
    (
        "a rename displaces an object that may have left",
        "0: rename ~d/a a@0; rename a b@0; exchange b ~f@0; exchange b ~d@1; exchange b ~d@1; exchange b ~f@1",
    ),
    (
        "an object stays in doubt until the next rename of it",
        "0: rename ~d/a a@0; link a b@0; rename b ~f@1; rename ~f b@1; exchange a ~d@2",
    ),
    (
        "the renames that were read before cannot be repeated",
        "1: exchange a/a ~d/a@0; exchange a/a ~d/a@1; exchange a/a ~d/a@1; exchange a/a ~d/a@1; rename ~d a/a/b@1",
    ),
    (
        "a file that is gone was replaced and has not left",
        "0: rename ~d/a a@0; rename ~f c@0; rename a b@0; rename b a@0; rename c a@0",
    ),
    (
        "a directory that is gone was replaced and has not left",
        "0: mkdir a@0; exchange a ~d@0; exchange a ~d@0; rename ~d a@0",
    ),
    ("a directory was where it is deleted", "1: rename ~d/a c@0; rename c ~d@0; rename ~d c@0; remove c@0"),
    ("a file was where it is deleted", "1: link b a/b@0; exchange a/a b@1; exchange a/a b@1; remove b@1"),
    (
        "a directory ends after the last event in it",
        "1: remove b@0; rename a b@0; mkdir a@0; rename b/a a/a@0; rename a b@0; exchange b ~d@0; rename ~d b/a@0",
    ),
    ("the deletion of a file follows its end", "0: create a@0; remove a@0"),
    (
        "a replaced directory was at the rename's target",
        "0: mkdir c@0; rename c a@0; rename a c@0; rename c a@0; rename ~d a@0",
    ),
    (
        "a replaced file was at the rename's target",
        "0: rename ~d/a a@0; rename a b@0; rename b a@0; rename a b@0; rename ~f b@0",
    ),
    ("half of an exchange replaces nothing", "1: exchange a/a ~d@0; exchange a/a ~d@0; rename a/a ~d@0"),
    (
        "what is gone without a deletion was replaced by a merged rename",
        "1: exchange a ~d@0; exchange a ~d@0; remove a/a@0; rename ~d a@0; mkdir a/a/a@0 by 2",
    ),
    (
        "the first rename that is read next says where the last ones led",
        "0: mkdir a@0; exchange a ~d@0; exchange a ~d@0; exchange a ~d@0; rename ~f a/b@1; exchange a ~d@1",
    ),
    (
        "what has to make room goes to where the other one comes from",
        "1: exchange b ~d/a@0; exchange a ~d/a@0; exchange b ~d/a@0; exchange b ~d/a@0; exchange b ~d/a@0",
    ),
    (
        "an object that is deleted later was not replaced",
        "1: exchange a b@0; exchange b ~d@0; exchange a b@0; exchange a b@0; exchange a b@0; remove b@0",
    ),
    (
        "what has one way only goes there before another comes",
        "1: rename b a/a/a@0; rename a/a/a b@0; rename b a/a/a@0; rename a b@0",
    ),
    (
        "what a look has found elsewhere did not change places",
        "1: exchange a/a ~d/a@0; exchange a/a ~d/a@1; exchange a/a ~d/a@1; rename a/a ~a@1",
    ),
    ("a link that has its own event needs no look", "1: link b a/a/a@0; remove a/a/a@0; link b a/a/a@0 by 2"),
    (
        "where nobody can look, an object is where it is reported to be",
        "1: rename a/a c@0; rename c ~a@0; rename ~a a/a@0; rename a ~a@0",
    ),
    (
        "a file replaces no directory",
        "1: exchange a/a ~d/a@0; exchange a/a ~d@0; rename a/a ~d@0; rename b a/a@0",
    ),
    (
        "a directory is not replaced by what comes from it",
        "1: rename a c@0; rename c a@0; rename a/a c@0; rename ~d/a a@0",
    ),
    (
        "nothing happens between both renames of an exchange",
        "1: rename ~d/a c@0; rename c ~a@0; mkdir c@0; rename ~d c@0",
    ),
    (
        "what leaves to where nothing is watched is not exchanged again",
        "1: exchange b ~d/a@0; exchange b ~d/a@0; rename b ~a@0; rename ~a b@1",
    ),
    (
        "an end that was merged does not stand between a rename and the end of what that replaces",
        "1: rename ~d/a a/b@0; exchange a/b ~d@0; rename a/a a/b@0; remove a/b@0",
    ),
    (
        "what is where nothing is watched was replaced there",
        "1: rename ~d/a a/b@0; exchange a/b ~d@0; rename a/b ~d@0; rename a/a a/b@0",
    ),
    (
        "an object whose end was merged was replaced where it is reported to be",
        "1: exchange a/a ~d@0; exchange a/a ~d@0; rename ~d a/a@0; rename a/a ~a@0",
    ),
    (
        "a file is deleted before the directory that it is in",
        "1: link b a/a/a@0; remove a/a/a@0; remove a/a@0; remove b@0",
    ),
    (
        "an object is replaced where it may have been",
        "1: exchange a ~d/a@0; exchange a ~d/a@0; rename ~d c@0; rename a c/a@0",
    ),
    (
        "a file that is replaced and comes again is deleted after that",
        "0: link ~f a@0; rename ~d/a a@0; rename ~f a@0; remove a@0",
    ),
    (
        "a file that another one may have replaced is looked for",
        "0: rename ~d/a a@0; exchange a ~f@0; rename ~f a@0; rename a ~a@0",
    ),
];

fn known<W: Watcher>(histories: &[&str]) {
    for history in histories {
        let (stage, acts) = parse::<W>(history).unwrap();
        let Outcome { faults, story, .. } = stage.run(&acts, true);
        assert!(faults.is_empty(), "{history}\n{}\n{}", story.join("\n"), faults.join("\n"));
    }
}

/// The histories of [`RULES`], but those that no event tells from others.
fn rules<W: Watcher>() {
    let is_judged = |history: &&str| {
        let (stage, acts) = parse::<W>(history).unwrap();
        !stage.run(&acts, false).is_hidden
    };
    let histories: Vec<&str> =
        RULES.into_iter().map(|(_, history)| history).filter(|history| is_judged(history)).collect();
    assert!(2 * histories.len() > RULES.len());
    known::<W>(&histories);
}

/// Operations at positions that are not tried have the same lines as at the position before that is tried: for all sequences of one
/// operation, and one in `share` of two.
fn positions_that_are_left_out<W: Watcher>(share: usize) {
    let lines = |stage: &Stage<W>, acts: &[Act]| {
        let mut story = stage.run(acts, true).story;
        story.retain(|line| line.starts_with("      > "));
        story
    };
    let try_next = |stage: &Stage<W>, world: &World, acts: &[Act], each: &mut dyn FnMut(&World, Act)| {
        let next = operations(world, false).into_iter().filter_map(|next| after(world, next, 1));
        let (operations, worlds): (Vec<_>, Vec<_>) = next.unzip();
        for (operation, Next { world, positions }) in
            operations.into_iter().zip(stage.positions(acts, worlds))
        {
            let at = |call| Act { operation: operation.clone(), process: 1, call };
            let with = |call| [acts, &[at(call)]].concat();
            for (number, tried) in positions.iter().enumerate() {
                let next = positions.get(number + 1).map_or(tried + 1, |next| *next);
                for call in tried + 1..next {
                    let left_out = with(call);
                    let (found, wanted) = (lines(stage, &left_out), lines(stage, &with(*tried)));
                    assert_eq!(found, wanted, "{}", text(stage.setup, &left_out));
                }
                each(&world, at(*tried));
            }
        }
    };
    let mut met = 0;
    for stage in (0..SETUPS.len()).map(Stage::<W>::new) {
        try_next(&stage, &stage.world, &[], &mut |world, act| {
            met += 1;
            if met % share == 0 {
                try_next(&stage, world, &[act], &mut |_, _| ());
            }
        });
    }
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tries all histories up to a length, and fails with the shortest that do.
///
/// Of longer ones than `everywhere` operations one of `share` is tried, with each operation either together with the one
/// before or when all is quiet; and `random` longer ones.
fn search<W: Watcher>(name: &str, [everywhere, longest, share, random, at_once]: [usize; 5]) {
    if let Ok(history) = std::env::var("JUDGE_HISTORY") {
        let (stage, acts) = parse::<W>(&history).expect("a history");
        let Outcome { faults, story, .. } = stage.run(&acts, true);
        println!("{name}: {history}\n{}\n{}", story.join("\n"), faults.join("\n"));
        assert!(faults.is_empty());
        return;
    }
    let longest = number("JUDGE_OPERATIONS").unwrap_or(longest);
    let everywhere = number("JUDGE_EVERYWHERE").unwrap_or(everywhere);
    for count in 1..=longest {
        let positions = if count <= everywhere { Positions::Every } else { Positions::TogetherOrQuiet };
        let share = if count > 2.min(everywhere) { number("JUDGE_SHARE").unwrap_or(share) } else { 1 };
        let search = Search::try_all::<W>(positions, count, share);
        search.end::<W>(name, &format!("{count} operations"));
    }
    // One process does them without a pause.
    let at_once = number("JUDGE_AT_ONCE").unwrap_or(at_once);
    if at_once > 0 {
        let share = number("JUDGE_SHARE").unwrap_or(share);
        let search = Search::try_all::<W>(Positions::Together, at_once, share);
        search.end::<W>(name, &format!("{at_once} operations at once"));
    }
    let mut search = Search::new(Positions::Every, 1);
    let seed = number("JUDGE_SEED").unwrap_or(1);
    search.try_at_random::<W>(number("JUDGE_RANDOM").unwrap_or(random), seed as u64);
    search.end::<W>(name, "more operations at random");
}
