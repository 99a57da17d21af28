//! Every interleaving: the watcher is run again and again, each time with another plan of what another process does before
//! which of its calls.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use inotify_tools::internals::Ere;
use inotify_tools::internals::Watcher;
use inotify_tools::internals::inotify::Wd;
use inotify_tools::internals::mask::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE,
    IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN,
    IN_Q_OVERFLOW, Mask,
};
use inotify_tools::internals::{ARRIVALS, ENTRY, LSDIR, READING};
use inotify_tools::internals::{Filter, Ignore, Patterns, Sense};
use inotify_tools::internals::{Interface, Item, Problem, Settings, Source};

use crate::operations::Operation;
use crate::simulated::{Deed, MetBefore, OPERAND, Queued, Schedule, Simulated, System, names};

/// More calls of the watcher than this for so few operations, and it runs in a circle.
const CALLS: usize = 2000;

/// A small generator of our own, so that a seed means the same run forever (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 16) as usize % bound
    }
}

/// The fingerprints of states; they are well mixed already.
#[derive(Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// States that were met.
#[derive(Default)]
pub struct Visited([Mutex<HashSet<u64, BuildHasherDefault<Identity>>>; 16]);

impl Visited {
    /// Whether a state is new.
    pub fn insert(&self, state: u64) -> bool {
        self.0[(state >> 32) as usize % self.0.len()].lock().unwrap().insert(state)
    }
}

/// An operation of another process, before the call of that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub call: usize,
    pub operation: Operation,
    /// Its events are queued a moment after it can be seen.
    pub late: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{} {}", self.call, if self.late { "+" } else { "" }, self.operation)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Step, String> {
        let (call, operation) =
            text.trim().split_once(' ').ok_or("a call's number and an operation are needed")?;
        let late = call.ends_with('+');
        let call = call.trim_end_matches('+').parse().map_err(|error| format!("{call}: {error}"))?;
        Ok(Step { call, operation: operation.parse()?, late })
    }
}

/// How the watcher is set up, and on what tree.
#[derive(Debug, Clone)]
pub struct Scene {
    pub name: &'static str,
    /// What is there before the watcher starts.
    pub before: &'static [&'static str],
    pub events: Mask,
    pub queue_limit: usize,
    /// Whether the queue may overflow by what happens elsewhere.
    pub has_floods: bool,
    /// Whether the dates of files tell less: the clock is slower.
    pub has_slow_clock: bool,
    /// Whether the status of a directory tells whether something is in it.
    pub tells_contents: bool,
    /// How many calls of the watcher may be between the moment at which something can be seen and that at which its events are queued.
    pub lateness: usize,
    /// `--exclude`.
    pub exclude: Option<&'static str>,
    /// `--max-depth`.
    pub max_depth: Option<usize>,
    /// How many more files the watcher can open, as far as it asks.
    pub room: usize,
    /// The most watches that it may have.
    pub most_watches: usize,
    /// The name of directories that it may not read.
    pub forbidden: Option<&'static str>,
}

/// What a run printed.
#[derive(Debug, Clone)]
struct Line {
    mask: Mask,
    cookie: u32,
    path: String,
    wd: Wd,
    /// What was below the path when the line was printed, if that is a directory: whoever reads it can look.
    below: Option<Vec<(String, bool)>>,
}

/// A run that broke a rule.
pub struct Failure {
    pub why: String,
    pub plan: Vec<Step>,
}

/// What came of a search.
#[derive(Default)]
pub struct Found {
    /// How many plans were tried, and how many of those came to a state that another had come to.
    pub histories: usize,
    pub known: usize,
    /// The first that broke a rule.
    pub failure: Option<Failure>,
}

/// The plans that are yet to be tried.
struct Frontier {
    pending: Vec<Vec<Step>>,
    /// How many are being tried.
    busy: usize,
    found: Found,
}

/// What came of a run.
struct Outcome {
    failure: Option<String>,
    /// The run was ended where another had been before.
    is_known: bool,
    branches: Vec<(usize, Vec<Operation>)>,
    story: Vec<String>,
    done: Vec<Step>,
}

impl Scene {
    fn system(&self) -> System {
        let mut system = System::new(self.queue_limit);
        system.has_floods = self.has_floods;
        system.has_slow_clock = self.has_slow_clock;
        system.tells_contents = self.tells_contents;
        system.lateness = self.lateness;
        system.room = self.room;
        system.most_watches = self.most_watches;
        system.max_depth = self.max_depth.unwrap_or(usize::MAX);
        system.forbidden = self.forbidden;
        system.has_inert_calls = self.lateness == 0 && !system.overflows();
        system.prepare_outside();
        for text in self.before {
            assert!(system.act(&text.parse().unwrap(), false), "{text}");
        }
        system
    }

    fn settings(&self) -> Settings {
        let ere = |text: &str| Ere::new(text.as_bytes(), false).unwrap();
        let pattern = self.exclude.map(|text| (ere(text), Sense::Exclude));
        let filter = Filter::new(pattern, Vec::new(), &[]);
        Settings {
            by_name: false,
            events: self.events,
            interface: Interface::Inotify,
            recursive: true,
            monitor: true,
            follow: true,
            base: Vec::new(),
            filter: match self.max_depth {
                None => filter,
                some => filter.ignoring(Ignore::new(Patterns::default(), some, &[OPERAND.into()])),
            },
        }
    }

    /// Runs the watcher with a plan, until all is quiet.
    fn run(&self, plan: &[Step], left: usize, visited: Option<Arc<Visited>>, story: bool) -> Outcome {
        let schedule =
            Schedule { plan: plan.iter().cloned().collect(), left, visited, ..Schedule::default() };
        self.run_with(schedule, story)
    }

    fn run_with(&self, schedule: Schedule, story: bool) -> Outcome {
        let mut system = self.system();
        system.story = story.then(Vec::new);
        system.schedule = schedule;
        let world = Simulated::new(system);
        let shared = Rc::clone(&world.system);
        let mut lines = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| self.watch(world, &mut lines)));
        let is_known = matches!(&result, Err(panic) if panic.is::<MetBefore>());
        let failure = match result {
            Ok(result) => result.err(),
            Err(_) if is_known => None,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                Some(format!("panic: {}", text.unwrap_or_else(|| "without words".into())))
            }
        };
        let mut system = shared.borrow_mut();
        let branches = std::mem::take(&mut system.schedule.branches);
        let story = system.story.take().unwrap_or_default();
        let done = std::mem::take(&mut system.schedule.done);
        Outcome { failure, is_known, branches, story, done }
    }

    fn watch(&self, world: Simulated, lines: &mut Vec<Line>) -> Result<(), String> {
        let system = Rc::clone(&world.system);
        let mut watcher = Watcher::new(world, self.settings());
        watcher.watch(OPERAND.as_bytes()).map_err(|error| format!("watch: {error}"))?;
        loop {
            match watcher.walk() {
                Ok(true) => {}
                Ok(false) => break,
                // That ends the program.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(format!("walk: {error}")),
            }
        }
        let operations = system.borrow().operations;
        watcher.establish();
        if system.borrow().operations == operations {
            self.check_established(&system.borrow())?;
        }
        system.borrow_mut().establish();
        let mut written = 0;
        loop {
            watcher.read().map_err(|error| format!("read: {error}"))?;
            while let Some(item) = watcher.next() {
                match item {
                    Item::Event(event) if !event.ends_wait => {
                        let path = String::from_utf8(event.path.into()).unwrap();
                        let mut system = system.borrow_mut();
                        let line = Line {
                            mask: event.mask,
                            cookie: event.cookie,
                            path,
                            wd: event.watch,
                            below: None,
                        };
                        if let Some(story) = &mut system.story {
                            story.push(format!("            prints {} {}", line.path, names(line.mask)));
                        }
                        system.reported.insert(line.wd);
                        lines.push(line);
                    }
                    Item::Problem(problem) => {
                        let mut system = system.borrow_mut();
                        note_problem(&mut system, &problem);
                        if let Some(story) = &mut system.story {
                            story.push(format!("            says {problem:?}"));
                        }
                    }
                    _ => {}
                }
            }
            let mut system = system.borrow_mut();
            // Only now are the lines written.
            for line in lines[written..].iter_mut().filter(|line| line.mask.has(IN_MOVED_TO)) {
                let found = system.find(&line.path).filter(|ino| system.is_directory(*ino));
                line.below = found.map(|ino| system.tree_of(ino));
                system.remember(&line.below);
            }
            written = lines.len();
            if system.calls > CALLS {
                return Err("it never comes to rest".into());
            }
            if watcher.has_more() || !system.is_quiet() {
                if watcher.has_more() {
                    continue;
                }
                system.queue_events();
                continue;
            }
            let calls = system.calls;
            let acted = system.decide();
            if acted || system.has_more_to_do() {
                continue;
            }
            debug_assert_eq!(calls, system.calls);
            if watcher.wakes_at().is_none_or(|then| !system.wait_until(then)) {
                break;
            }
        }
        let system = system.borrow();
        let is_strict = !system.began_early
            && !system.overflowed
            // Whoever looks late into a directory from where nothing is watched cannot tell what is in it from what came later.
            && !system.moved_in
            // By the lines one directory came or went where there were two.
            && !system.merged_renames
            && events_tell_all(self.events);
        self.check(&watcher, &system, lines, is_strict)
    }

    /// If nothing happens during [`Source::establish`], all directories are watched after it: the program prints then that the watches are
    /// established, and no file that is made from now on may be missed.
    fn check_established(&self, system: &System) -> Result<(), String> {
        let is_asked = self.lateness == 0 && !system.overflows() && self.most_watches == usize::MAX;
        let watched: BTreeSet<String> = system.watched().into_values().flatten().collect();
        let directories = system.directories();
        let is_due = |path: &&String| !self.leaves_out(path) && system.forbidden_above(path).is_none();
        match directories.difference(&watched).find(is_due).filter(|_| is_asked) {
            Some(missing) => Err(format!("{missing} is not watched when the watches are established")),
            None => Ok(()),
        }
    }

    /// The rules that must hold when all is quiet.
    fn check(
        &self,
        watcher: &Watcher<Simulated>,
        system: &System,
        lines: &[Line],
        is_strict: bool,
    ) -> Result<(), String> {
        let asked = self.events & IN_ALL_EVENTS;
        let covered = check_watches(watcher, system, asked)?;
        self.check_coverage(system, &covered)?;
        self.check_unwatched(watcher, system)?;
        // What was dropped may have renamed directories before what was not.
        if !system.overflowed || system.has_floods && !system.has_dropped_renames() {
            lines.iter().try_for_each(|line| check_line(system, line))?;
        }
        if system.overflowed && self.exclude.is_none() {
            check_missed(system, lines, &covered)?;
        }
        if is_strict && self.exclude.is_none() {
            replay(system, lines, &covered)?;
            check_closed(system, lines, &covered)?;
        }
        let is_known = !system.overflowed || system.has_floods;
        if !system.began_early && is_known && !system.merged_renames && self.exclude.is_none() {
            check_reported(system, lines, self.events)?;
        }
        // In the setup, a directory may be renamed while it is open to where all events are asked for already.
        if system.began_early { Ok(()) } else { check_reading(system, lines, asked, is_strict) }
    }

    /// Exactly the directories are watched that are to be. A directory that cannot be watched was reported.
    fn check_coverage(&self, system: &System, covered: &BTreeSet<String>) -> Result<(), String> {
        for missing in system.directories().difference(covered).filter(|path| !self.leaves_out(path)) {
            if let Some(forbidden) = system.forbidden_above(missing) {
                if !system.reported_forbidden.contains(forbidden) {
                    return Err(format!("{forbidden} cannot be watched, and that was not reported"));
                }
                continue;
            }
            if covered.len() < system.most_watches {
                return Err(format!("{missing} is not watched"));
            }
            if !system.is_limit_reported {
                return Err(format!("{missing} is not watched, and that was not reported"));
            }
        }
        if let Some(needless) = covered.iter().find(|path| self.leaves_out(path)) {
            return Err(format!("{needless} is excluded, and watched"));
        }
        Ok(())
    }

    /// Nothing is kept of a directory that has gone. If something was renamed, one that is to have no watch, or cannot have one, may count as
    /// another that is there no more: by the events of two that have none, a rename there and back is an exchange.
    fn check_unwatched(&self, watcher: &Watcher<Simulated>, system: &System) -> Result<(), String> {
        let is_there = |path: &str| system.find(path).is_some_and(|ino| system.is_directory(ino));
        let kept = watcher.unwatched().into_iter().map(|path| String::from_utf8(path).unwrap());
        let may_be_watched = self.forbidden.is_none() && self.most_watches == usize::MAX;
        let is_asked = |path: &str| {
            system.moved.is_empty() || may_be_watched && !self.leaves_out(path.trim_end_matches('/'))
        };
        match { kept }.find(|path| !is_there(path) && is_asked(path)) {
            Some(path) => Err(format!("{path} has gone, and something is kept of it")),
            None => Ok(()),
        }
    }

    /// Whether a directory is to have no watch, for where it is.
    fn leaves_out(&self, directory: &str) -> bool {
        self.max_depth.is_some_and(|most| is_too_deep(directory, most))
            || self.exclude.is_some() && directory.split('/').any(|part| part == "b")
    }

    /// Tries all plans of up to `depth` operations.
    pub fn search(&self, depth: usize) -> Found {
        let visited = Arc::new(Visited::default());
        let begin = Frontier { pending: vec![Vec::new()], busy: 0, found: Found::default() };
        let frontier = Mutex::new(begin);
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.search_on(depth, &visited, &frontier));
            }
        });
        frontier.into_inner().unwrap().found
    }

    /// Tries plans until none is left.
    fn search_on(&self, depth: usize, visited: &Arc<Visited>, frontier: &Mutex<Frontier>) {
        loop {
            let plan = {
                let mut frontier = frontier.lock().unwrap();
                let Frontier { pending, busy, found } = &mut *frontier;
                match pending.pop() {
                    _ if found.failure.is_some() => return,
                    None if *busy == 0 => return,
                    None => {
                        drop(frontier);
                        std::thread::yield_now();
                        continue;
                    }
                    Some(plan) => {
                        *busy += 1;
                        plan
                    }
                }
            };
            let outcome = self.run(&plan, depth - plan.len(), Some(Arc::clone(visited)), false);
            let mut frontier = frontier.lock().unwrap();
            frontier.busy -= 1;
            frontier.found.histories += 1;
            frontier.found.known += usize::from(outcome.is_known);
            if let Some(why) = outcome.failure {
                frontier.found.failure = Some(Failure { why, plan });
                return;
            }
            for (call, operations) in outcome.branches {
                for operation in operations {
                    let step = Step { call, operation, late: false };
                    if self.lateness > 0 {
                        frontier.pending.push([&plan[..], &[Step { late: true, ..step.clone() }]].concat());
                    }
                    frontier.pending.push([&plan[..], &[step]].concat());
                }
            }
        }
    }

    /// Runs the watcher while as many operations as that are done by chance.
    pub fn try_random(&self, seed: u64, operations: usize) -> Option<Failure> {
        let random = Some((Random::new(seed), operations));
        let pace = if seed % 2 == 0 { 4 } else { 2 };
        let schedule = Schedule { random, pace, ..Schedule::default() };
        let outcome = self.run_with(schedule, false);
        outcome.failure.map(|why| Failure { why, plan: outcome.done })
    }

    /// A plan that breaks a rule, without the steps that it can do without: what follows them then comes up to some calls earlier.
    pub fn shorten(&self, failure: Failure) -> Failure {
        const EARLIER: usize = 12;
        let mut shortest = failure;
        loop {
            let steps = shortest.plan.len();
            let shorter = (0..steps).flat_map(|left_out| (0..=EARLIER).map(move |by| (left_out, by)));
            let shorter = shorter.filter_map(|(left_out, by)| {
                let mut plan = shortest.plan.clone();
                plan.remove(left_out);
                plan[left_out..].iter_mut().for_each(|step| step.call = step.call.saturating_sub(by));
                let is_in_order = plan.windows(2).all(|steps| steps[0].call <= steps[1].call);
                let why = is_in_order.then(|| self.run(&plan, 0, None, false).failure)??;
                Some(Failure { why, plan })
            });
            match { shorter }.next() {
                Some(shorter) => shortest = shorter,
                None => return shortest,
            }
        }
    }

    /// The story of a plan, and what was wrong with it.
    pub fn tell(&self, plan: &[Step]) -> (String, Option<String>) {
        let outcome = self.run(plan, 0, None, true);
        (outcome.story.join("\n"), outcome.failure)
    }
}

/// Each watch is on a directory in the tree, under its real path, and asks for all events. Returns the paths.
fn check_watches(
    watcher: &Watcher<Simulated>,
    system: &System,
    asked: Mask,
) -> Result<BTreeSet<String>, String> {
    let path =
        |wd: &Wd| Some((*wd, String::from_utf8(watcher.path(*wd)?).unwrap().trim_end_matches('/').into()));
    let shown: BTreeMap<Wd, String> = watcher.in_order().iter().filter_map(path).collect();
    let watched = system.watched();
    for (wd, path) in &watched {
        match (path, shown.get(wd)) {
            (Some(path), Some(shown)) if path == shown => {}
            (Some(path), None) => {
                return Err(format!("{path} is watched as {wd}, which the watcher has forgotten"));
            }
            (Some(path), Some(shown)) => return Err(format!("{path} is believed to be {shown}")),
            (None, _) => return Err(format!("watch {wd} is on a directory outside the tree")),
        }
    }
    if let Some((wd, path)) = shown.iter().find(|(wd, _)| !watched.contains_key(wd)) {
        return Err(format!("watch {wd} of {path} does not exist"));
    }
    if let Some(wd) = system.watch_lacking(asked) {
        return Err(format!("the watch of {} does not ask for all events", shown[&wd]));
    }
    // While the kernel replaces what a watch asks for, that is nothing for a moment.
    if system.replaced.iter().any(|mask| mask.has_all(asked)) {
        return Err("a watch was replaced that was to ask for no less, which can lose events".into());
    }
    Ok(watched.into_values().flatten().collect())
}

/// The last name of a path.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a path is that of an entry of one of these directories.
fn is_in(directories: &BTreeSet<String>, path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(above, _)| directories.contains(above))
}

/// Whether a directory is at least so many levels below the operand, where `--max-depth` leaves it without a watch.
pub fn is_too_deep(directory: &str, most: usize) -> bool {
    directory.matches('/').count() >= most
}

/// The paths above one, and itself.
pub fn way_to(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).chain([path])
}

/// The watcher's reading of a directory is reported once if that appeared, on the one above, and never otherwise. Nobody else reads
/// directories.
fn check_reading(system: &System, lines: &[Line], asked: Mask, is_strict: bool) -> Result<(), String> {
    const EACH: [Mask; 3] = [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE];
    let is_reading = |line: &Line| EACH.into_iter().any(|mask| line.mask == mask | IN_ISDIR);
    let reading: Vec<&Line> = lines.iter().filter(|line| is_reading(line)).collect();
    for one in reading.chunks(EACH.len()) {
        let path = &one[0].path;
        let is_whole = one.iter().map(|line| line.mask & !IN_ISDIR).eq(EACH);
        if !is_whole || one.iter().any(|line| line.path != *path) || path.ends_with('/') {
            return Err(format!("the reading of {path} is not reported as that of a directory in another"));
        }
    }
    if !is_strict || !asked.has(IN_OPEN) {
        return Ok(());
    }
    let count = |mask: Mask, is_it: &dyn Fn(&str) -> bool| {
        let is_of_directory = |line: &&Line| line.mask.has(IN_ISDIR) && line.mask.has(mask);
        lines.iter().filter(is_of_directory).filter(|line| is_it(&line.path)).count()
    };
    for Line { path, .. } in reading {
        // What is above may be renamed before the reading.
        let is_of_name = |other: &str| name_of(other) == name_of(path);
        let (readings, arrivals) = (count(IN_OPEN, &is_of_name), count(ARRIVALS, &is_of_name));
        if readings > arrivals {
            return Err(format!(
                "{path}: its reading is reported, {readings} of {arrivals} of that name appeared"
            ));
        }
    }
    let leaves = |path: &str| count(IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO, &|other| other == path) > 0;
    for Line { path, .. } in lines.iter().filter(|line| line.mask == IN_CREATE | IN_ISDIR) {
        let is_due = !way_to(path).any(leaves) && system.find(path).is_some();
        if is_due && count(IN_OPEN, &|other| other == path) == 0 {
            return Err(format!("{path} was made, and its reading is not reported"));
        }
    }
    Ok(())
}

/// Each file that was made has a CLOSE_WRITE, and no path has more of them than arrivals.
fn check_closed(system: &System, lines: &[Line], watched: &BTreeSet<String>) -> Result<(), String> {
    let is_file = |line: &&Line, mask: Mask| line.mask.has(mask) && !line.mask.has(IN_ISDIR);
    let closed: BTreeSet<String> = lines
        .iter()
        .filter(|line| is_file(line, IN_CLOSE_WRITE))
        .map(|line| name_of(&line.path).to_string())
        .collect();
    for (path, is_directory) in system.tree().into_iter().filter(|(path, _)| is_in(watched, path)) {
        let names = system.names_of(&path).filter(|_| !is_directory);
        if names.is_some_and(|names| names.is_disjoint(&closed)) {
            return Err(format!("{path} was made, and no CLOSE_WRITE is reported"));
        }
    }
    // Where the queue can overflow, files are also written.
    for Line { path, .. } in lines.iter().filter(|line| is_file(line, IN_CLOSE_WRITE) && !system.overflows())
    {
        let count =
            |mask: Mask| lines.iter().filter(|line| is_file(line, mask) && line.path == *path).count();
        let (closed, appeared) = (count(IN_CLOSE_WRITE), count(ARRIVALS));
        if closed > appeared {
            return Err(format!(
                "{path} appeared {appeared} times, and CLOSE_WRITE is reported {closed} times"
            ));
        }
    }
    Ok(())
}

/// Each event, and whether all directories above its own are watched and always were. Once they were not, it may count as moved out.
fn with_tracked(system: &System) -> impl Iterator<Item = (&Queued, bool)> {
    let mut untracked = BTreeSet::new();
    // The last rename, and whether it begins where nothing is watched.
    let mut rename = (0, false);
    system.history.iter().map(move |event| {
        let directory = event.path.rsplit_once('/').map_or("", |(above, _)| above);
        let is_in_tree = way_to(directory).next() == Some(OPERAND);
        // A watch that was removed again counts as none.
        let is_above = event
            .tracked_by
            .as_ref()
            .is_some_and(|watches| untracked.is_disjoint(watches) && system.given_up.is_disjoint(watches));
        if event.mask.has(IN_MOVED_FROM) {
            rename = (event.cookie, !is_above);
        } else if event.mask.has(IN_MOVED_TO) && event.cookie != rename.0 {
            rename = (event.cookie, false);
        }
        let is_tracked = is_above && !(event.mask.has(IN_MOVE_SELF) && rename.1);
        if !is_in_tree || !is_tracked || is_too_deep(directory, system.max_depth) {
            untracked.insert(event.wd);
        }
        (event, !untracked.contains(&event.wd))
    })
}

/// Each event of a watched directory has a line, as long as all directories above it are watched.
fn check_reported(system: &System, lines: &[Line], asked: Mask) -> Result<(), String> {
    let are_paths_known = system.overflowed && !system.has_dropped_renames();
    for (event, is_tracked) in with_tracked(system) {
        let is_reading = event.mask.has(IN_ISDIR) && event.mask.has(READING);
        if event.is_dropped
            || !is_tracked
            || is_reading
            || !(event.mask & asked & IN_ALL_EVENTS).has(IN_ALL_EVENTS)
        {
            continue;
        }
        let is_it = |line: &Line| {
            (line.wd, line.mask, line.cookie) == (event.wd, event.mask, event.cookie)
                && name_of(&line.path) == event.name
                && (!are_paths_known || event.name.is_empty() || line.path == event.path)
        };
        if !lines.iter().any(is_it) {
            return Err(format!(
                "{} {} of watch {} is not reported",
                event.path,
                names(event.mask),
                event.wd
            ));
        }
    }
    Ok(())
}

/// What was made or changed has its line in spite of an overflow, unless something was renamed.
fn check_missed(system: &System, lines: &[Line], watched: &BTreeSet<String>) -> Result<(), String> {
    let paths: BTreeSet<&String> = system.deeds.iter().map(|(_, path)| path).collect();
    let is_plain = |path: &str| way_to(path).all(|path| !system.moved.contains(path));
    for path in paths.into_iter().filter(|path| is_plain(path)) {
        let deeds = || system.deeds.iter().filter(|(_, at)| at == path).map(|(deed, _)| *deed);
        let done = |deed: Deed| deeds().filter(|done| *done == deed).count();
        // What was made last is what is there.
        let is_written =
            deeds().rev().take_while(|deed| *deed != Deed::Made).any(|deed| deed == Deed::Written);
        if done(Deed::Early) > 0 {
            continue;
        }
        let told = |mask: Mask| lines.iter().filter(|line| line.path == *path && line.mask.has(mask)).count();
        let (created, modified) = (told(IN_CREATE), told(IN_MODIFY));
        let removed =
            lines.iter().filter(|line| line.path == *path && line.mask == IN_DELETE | IN_ISDIR).count();
        let shown = || format!("{path}: {created} CREATE, {modified} MODIFY, {removed} DELETE,ISDIR");
        let is_there = system.find(path).is_some();
        // A directory is also reported that was there when the watches were established, and that the setup could not read.
        let may_be_before = usize::from(system.before.contains(&(path.clone(), true)));
        if is_there && done(Deed::Made) == 1 && !(1..=1 + may_be_before).contains(&created) {
            return Err(format!("it was made once: {}", shown()));
        }
        if is_there && is_written && (modified == 0 || modified > done(Deed::Written)) {
            return Err(format!("it was written {} times: {}", done(Deed::Written), shown()));
        }
        if !is_there && done(Deed::Removed) == 1 && done(Deed::Made) <= 1 && removed != 1 {
            return Err(format!("it was watched, and removed: {}", shown()));
        }
    }
    let is_made =
        |path: &String| lines.iter().any(|line| line.path == *path && line.mask == IN_CREATE | IN_ISDIR);
    let is_same = |path: &&String| is_plain(path) && !system.deeds.iter().any(|(_, at)| at == *path);
    if let Some(path) = system.watched_before.iter().filter(is_same).find(|path| is_made(path)) {
        return Err(format!(
            "{path} was watched when the watches were established, and is reported as created"
        ));
    }
    if let Some((from, to)) = system.only_rename() {
        let told = |path: &str, mask: Mask| {
            let lines = lines.iter().enumerate();
            let mut told = lines.filter(|(_, line)| line.path == path && line.mask == mask | IN_ISDIR);
            (told.next(), told.next().is_some())
        };
        match (told(from, IN_MOVED_FROM), told(&to, IN_MOVED_TO)) {
            ((Some((left, one)), false), (Some((came, other)), false))
                if left < came && one.cookie == other.cookie => {}
            _ => return Err(format!("{from} was renamed to {to}, and nothing else was renamed")),
        }
    }
    // Where the queue is short, it may overflow within a rename: then two directories may seem to be.
    let is_known = system.has_floods && !system.moved_in;
    // Those of which the event was not dropped, but nobody could know where its directory was.
    let untold: Vec<&Queued> = with_tracked(system)
        .filter(|(event, is_tracked)| !is_tracked && !event.is_dropped && event.mask.has(ARRIVALS))
        .map(|(event, _)| event)
        .collect();
    let untold_names = untold.iter().map(|event| event.name.clone());
    let arrived: BTreeSet<String> = lines
        .iter()
        .filter(|line| line.mask.has(ARRIVALS) && !line.mask.has(IN_ISDIR))
        .map(|line| name_of(&line.path).to_string())
        .chain(untold_names)
        .collect();
    let has_come = |paths: &BTreeSet<String>| {
        let is_arrival = |line: &&Line| line.mask.has(IN_ISDIR) && line.mask.has(ARRIVALS);
        lines
            .iter()
            .filter(is_arrival)
            .any(|line| paths.iter().any(|path| name_of(path) == name_of(&line.path)))
            || untold.iter().any(|event| paths.contains(&event.path))
    };
    for (path, is_directory) in system.tree().into_iter().filter(|(path, _)| is_in(watched, path)) {
        let names = system.names_of(&path).filter(|_| !is_directory && is_known);
        if names.is_some_and(|names| names.is_disjoint(&arrived)) {
            return Err(format!("{path} was made, and is not reported"));
        }
        if system.paths_of_new(&path).is_some_and(|paths| system.has_floods && !has_come(paths)) {
            return Err(format!("{path} has come, and is not reported"));
        }
        let last = |path: &str| lines.iter().rposition(|line| line.path == path && line.mask.has(ENTRY));
        let Some(at) = last(&path).filter(|_| is_directory && is_plain(&path)) else { continue };
        if lines[at].mask.has(IN_DELETE) && (is_known || lines[at].mask.has(IN_ISDIR)) {
            return Err(format!("{path} is reported to be deleted last, and is there"));
        }
        if !is_known {
            continue;
        }
        let is_before =
            |below: &String| last(below).is_some_and(|last| last < at && lines[last].mask.has(ARRIVALS));
        let is_in = |below: &String| below.rsplit_once('/').is_some_and(|(above, _)| above == path);
        let below = || system.tree().into_iter().map(|(below, _)| below).filter(is_in).find(is_before);
        if let Some(below) = below().filter(|_| lines[at].mask.has(IN_CREATE)) {
            return Err(format!("{below} is reported to be there before {path}"));
        }
    }
    let is_end = |line: &&Line| line.mask == IN_DELETE | IN_ISDIR && is_known;
    match lines.iter().filter(is_end).find(|line| system.is_nothing_gone(&line.path)) {
        Some(line) => Err(format!("{} is reported to be deleted, and is in the tree", line.path)),
        None => Ok(()),
    }
}

/// Takes note of a directory that is reported to have no watch.
fn note_problem(system: &mut System, problem: &Problem) {
    let (path, error) = match problem {
        Problem::Directory { path, error, .. } => (path, error),
        Problem::Overflow { .. } => return system.note_overflow(),
        _ => return,
    };
    match error.kind() {
        io::ErrorKind::StorageFull => system.is_limit_reported = true,
        io::ErrorKind::PermissionDenied => {
            let path = String::from_utf8_lossy(path);
            system.reported_forbidden.insert(path.trim_end_matches('/').into());
        }
        _ => {}
    }
}

/// Whether the lines are enough to know what the tree is.
fn events_tell_all(events: Mask) -> bool {
    events.has_all(ENTRY)
}

/// Its path was true when it happened, and it is nothing that the watcher did.
fn check_line(system: &System, line: &Line) -> Result<(), String> {
    let shown = || format!("{} {}", line.path, names(line.mask));
    let is_queued = system
        .history
        .iter()
        .any(|event| (event.wd, event.mask, &event.path) == (line.wd, line.mask, &line.path));
    if is_queued || line.mask.has(IN_Q_OVERFLOW | IN_IGNORED) {
        return Ok(());
    }
    const MADE_UP: Mask = IN_CREATE
        .or(IN_CLOSE_WRITE)
        .or(IN_DELETE)
        .or(IN_MOVED_TO)
        .or(IN_MOVE_SELF)
        .or(IN_OPEN)
        .or(IN_ACCESS)
        .or(IN_CLOSE_NOWRITE);
    // What is announced of a directory is what is in it now, under the path that it has by the events so far: so what is above was
    // there, and the entry may have been made after a rename whose event comes next.
    let path = line.path.trim_end_matches('/');
    let is_known = |above: &str| above == OPERAND || system.paths.contains(above);
    let is_plausible = path.match_indices('/').any(|(at, _)| is_known(&path[..at])) || path == OPERAND;
    // A directory that is renamed into one that is not watched has the path by which it is found, until the events say where it goes
    // next: where it was meanwhile nobody knows. A watch that was removed again counts as none. What is deleted while it is open is nowhere
    // when its end is queued.
    let is_tracked = |event: &Queued| {
        let is_end = event.name.is_empty() && event.mask.has(IN_DELETE_SELF);
        let above = event.tracked_by.as_ref().filter(|_| !is_end);
        above.is_some_and(|watches| system.given_up.is_disjoint(watches))
    };
    let is_untracked = || {
        system.history.iter().any(|event| {
            (event.wd, event.mask, event.cookie) == (line.wd, line.mask, line.cookie)
                && !is_tracked(event)
                && name_of(&event.path) == name_of(&line.path)
        })
    };
    // By the dates of what is met after an overflow.
    let is_found = system.overflowed && line.mask.has(IN_ATTRIB | IN_MODIFY);
    if !is_plausible || !line.mask.has(MADE_UP) && !is_found && !is_untracked() {
        return Err(format!("{} never happened under that path", shown()));
    }
    Ok(())
}

/// What somebody who reads the lines knows.
#[derive(Default)]
struct Reader {
    /// Each path, and what is known of it.
    tree: BTreeMap<String, Known>,
    /// What was moved away and has not arrived yet, by cookie.
    away: BTreeMap<u32, Vec<(String, Known)>>,
    /// What stood where the first half of an exchange arrived, until the second half takes it.
    displaced: BTreeMap<String, Vec<(String, Known)>>,
}

/// What is known of a path.
#[derive(Debug, Clone, Copy)]
struct Known {
    is_directory: bool,
    /// A line said that it came to be; else it was found in a directory that came from elsewhere.
    is_told: bool,
    /// A directory from elsewhere: what was in it is not reported, and where it went before somebody looked they look again.
    is_foreign: bool,
}

impl Reader {
    fn take(&mut self, path: &str) -> Vec<(String, Known)> {
        let below = format!("{path}/");
        let keys: Vec<String> =
            self.tree.keys().filter(|key| *key == path || key.starts_with(&below)).cloned().collect();
        keys.into_iter().map(|key| (key[path.len()..].to_string(), self.tree.remove(&key).unwrap())).collect()
    }

    fn put(&mut self, path: &str, tree: Vec<(String, Known)>) {
        self.tree.extend(tree.into_iter().map(|(below, known)| (format!("{path}{below}"), known)));
    }

    /// A directory that came from elsewhere: what is in it now.
    fn look(&mut self, line: &Line) {
        let is_directory = line.mask.has(IN_ISDIR);
        let known = Known { is_directory, is_told: true, is_foreign: is_directory };
        self.tree.insert(line.path.clone(), known);
        if is_directory {
            self.look_below(&line.path, line);
        }
    }

    /// What was seen in a directory from elsewhere, and no line said.
    fn forget_below(&mut self, path: &str) {
        let inside = format!("{path}/");
        self.tree.retain(|path, known| known.is_told || !path.starts_with(&inside));
    }

    fn look_below(&mut self, path: &str, line: &Line) {
        let inside = format!("{path}/");
        self.forget_below(path);
        for (below, is_directory) in line.below.iter().flatten() {
            let below = format!("{}{below}", line.path);
            if below.starts_with(&inside) {
                let known = Known { is_directory: *is_directory, is_told: false, is_foreign: *is_directory };
                self.tree.entry(below).or_insert(known);
            }
        }
    }

    /// Whether a path is in a directory that came from elsewhere.
    fn is_in_foreign(&self, path: &str) -> bool {
        let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_string());
        std::iter::successors(above(path), |path| above(path))
            .any(|path| self.tree.get(&path).is_some_and(|known| known.is_foreign))
    }

    fn replay(&mut self, line: &Line, system: &System) -> Result<(), String> {
        let Line { path, mask, cookie, .. } = line;
        if path.ends_with('/') {
            return Ok(());
        }
        if mask.has(IN_CREATE) {
            // What is in it is also reported, whatever was seen of it before.
            self.forget_below(path);
            let known = Known { is_directory: mask.has(IN_ISDIR), is_told: true, is_foreign: false };
            if self.tree.insert(path.clone(), known).is_some_and(|known| known.is_told) {
                return Err(format!("the creation of {path} is reported twice"));
            }
        } else if mask.has(IN_DELETE) {
            if self.take(path).is_empty() && !self.is_in_foreign(path) {
                return Err(format!("the deletion of {path} is reported, and its creation was not"));
            }
        } else if mask.has(IN_MOVED_FROM) {
            let mut taken = self.displaced.remove(path).unwrap_or_else(|| self.take(path));
            let is_another = |known: &Known| !known.is_told && known.is_directory != mask.has(IN_ISDIR);
            // Found in a directory from elsewhere after this one had left, or only what is in it was reported.
            let itself = taken.iter().find(|(below, _)| below.is_empty());
            if itself.is_none_or(|(_, known)| is_another(known)) {
                taken.clear();
            }
            if !mask.has(IN_ISDIR) {
                taken.retain(|(below, _)| below.is_empty());
            }
            if !taken.is_empty() {
                self.away.insert(*cookie, taken);
            } else if !self.is_in_foreign(path) {
                return Err(format!("{path} is reported to be moved away, and its creation was not"));
            }
        } else if mask.has(IN_MOVED_TO) {
            let there = self.take(path);
            let is_told = there.iter().any(|(below, known)| below.is_empty() && known.is_told);
            if !there.is_empty() && system.is_exchange(*cookie) {
                self.displaced.insert(path.clone(), there);
            } else if is_told && !system.is_replacement(*cookie) {
                return Err(format!("by the lines {path} was there before the rename to it"));
            }
            match self.away.remove(cookie) {
                Some(moved) => {
                    let is_foreign = |(_, known): &&(String, Known)| known.is_foreign;
                    let foreign: Vec<String> =
                        moved.iter().filter(is_foreign).map(|(below, _)| format!("{path}{below}")).collect();
                    self.put(path, moved);
                    for path in foreign {
                        self.look_below(&path, line);
                    }
                }
                None => self.look(line),
            }
        }
        Ok(())
    }
}

/// The lines, replayed in their order by somebody who looks into directories that come from elsewhere, are the tree.
fn replay(system: &System, lines: &[Line], watched: &BTreeSet<String>) -> Result<(), String> {
    let mut reader = Reader::default();
    for (path, is_directory) in &system.before {
        let known = Known { is_directory: *is_directory, is_told: true, is_foreign: false };
        reader.tree.insert(path.clone(), known);
    }
    for line in lines {
        reader.replay(line, system)?;
    }
    // What is in another directory nobody knows.
    let is_known = |path: &str| is_in(watched, path);
    let real: BTreeMap<String, bool> = system.tree().into_iter().filter(|(path, _)| is_known(path)).collect();
    let told: BTreeMap<&String, bool> = reader
        .tree
        .iter()
        .filter(|(path, _)| is_known(path))
        .map(|(path, known)| (path, known.is_directory))
        .collect();
    if let Some((path, _)) = real.iter().find(|(path, is)| told.get(path) != Some(is)) {
        return Err(format!("{path} is there, and no line says so"));
    }
    if let Some((path, _)) = told.iter().find(|(path, _)| !real.contains_key(**path)) {
        return Err(format!("by the lines {path} is there, and it is not"));
    }
    Ok(())
}

/// Everything that is asked for by default, without what only the watcher's reading causes.
pub const CHANGES: Mask = IN_ALL_EVENTS.without(READING).without(LSDIR);
