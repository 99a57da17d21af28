//! The rules of `--follow-name`, tried on a simulated system in every interleaving: another process acts before any call of the tracker.
//!
//! `NAMES_DEPTH` is the number of operations. A failure prints its history.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod kernel;
mod model;
mod simulated;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use inotify_tools::internals::mask::{
    IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, IN_OPEN, Mask,
};
use inotify_tools::internals::{Filter, Interface, Item, Names, Settings, Source};

use simulated::{Simulated, Step, System};

/// What is there at the start, and what may be done.
struct Scene {
    operand: &'static str,
    before: &'static [&'static str],
    operations: &'static [&'static str],
    queue_limit: usize,
    /// Events may be queued a while after the operation can be seen.
    is_late: bool,
    /// Operations also during the setup.
    is_early: bool,
}

/// The last component alone.
const FILE: Scene = Scene {
    operand: "f",
    before: &["create g"],
    operations: &[
        "create f",
        "write f",
        "unlink f",
        "rename f g",
        "rename g f",
        "exchange f g",
        "exchange g f",
        "symlink g f",
        "create g",
        "mkdir f",
        "rmdir f",
        "mkdir g",
        "write g",
    ],
    queue_limit: 10_000,
    is_late: false,
    is_early: false,
};

/// Kubernetes: a link to a directory that is switched.
const LINK: Scene = Scene {
    operand: "l/f",
    before: &["mkdir 1", "create 1/f", "mkdir 2", "create 2/f", "symlink 1 l", "symlink 2 n"],
    operations: &[
        "rename n l",
        "exchange n l",
        "exchange l n",
        "unlink l",
        "symlink 2 l",
        "unlink 1/f",
        "create 1/f",
        "unlink 2/f",
        "create 2/f",
        "rename 1 3",
        "rename 3 1",
        "symlink 1 n",
        "rename 2/f 1/f",
        "write 2/f",
        "exchange 1 2",
        "symlink ../2/f 1/f",
    ],
    queue_limit: 10_000,
    is_late: false,
    is_early: false,
};

/// Several levels.
const LEVELS: Scene = Scene {
    operand: "d/e/f",
    before: &["mkdir d"],
    operations: &[
        "mkdir d",
        "mkdir d/e",
        "create d/e/f",
        "mkdir d/e/f",
        "unlink d/e/f",
        "rmdir d/e/f",
        "rmdir d/e",
        "rename d x",
        "rename x d",
        "rename d/e x",
        "rename x d/e",
        "create d/e",
        "exchange d x",
        "rename d/e/f d/f",
        "rename d/f d/e/f",
    ],
    queue_limit: 10_000,
    is_late: false,
    is_early: false,
};

/// What a run led to.
struct Outcome {
    failure: Option<String>,
    branches: Vec<Step>,
    story: Vec<String>,
}

impl Scene {
    fn settings() -> Settings {
        Settings {
            by_name: true,
            monitor: true,
            events: IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_OPEN | IN_MODIFY | IN_CLOSE_WRITE,
            interface: Interface::Inotify,
            recursive: false,
            follow: true,
            base: Vec::new(),
            filter: Filter::default(),
        }
    }

    fn run(&self, plan: &[Step], left: usize, visited: &Rc<RefCell<BTreeSet<(u64, usize)>>>) -> Outcome {
        let mut system = System::new(self.queue_limit);
        system.operand = self.operand;
        for operation in self.before {
            assert!(system.act(operation, false), "{operation}");
        }
        system.history.clear();
        (system.written, system.relinked) = (0, 0);
        (system.operations, system.is_late) = (self.operations, self.is_late);
        (system.plan, system.visited) = (plan.iter().cloned().collect(), Rc::clone(visited));
        if self.is_early {
            system.left = left;
        }
        let files = Simulated::new(system);
        let shared = Rc::clone(&files.system);
        let failure = self.follow(files, left).err();
        let mut system = shared.borrow_mut();
        let branches = if failure.is_some() { Vec::new() } else { std::mem::take(&mut system.branches) };
        Outcome { failure, branches, story: std::mem::take(&mut system.story) }
    }

    fn follow(&self, files: Simulated, left: usize) -> Result<(), String> {
        let system = Rc::clone(&files.system);
        let mut names = Names::new(files, Scene::settings());
        names.watch(self.operand.as_bytes()).map_err(|error| error.to_string())?;
        names.establish();
        system.borrow_mut().left = left;
        let mut judge = Judge { leads: names.leads_to(0).is_some(), ..Judge::default() };
        let mut object = names.leads_to(0);
        judge.first = object;
        let mut quiet = 0;
        for _ in 0..1000 {
            let length = names.read().map_err(|error| error.to_string())?;
            let mut lines = 0;
            while let Some(item) = names.next() {
                if let Item::Event(event) = item {
                    judge.line(event.mask, &system)?;
                    lines += 1;
                }
            }
            object = names.leads_to(0);
            if names.has_more() {
                continue;
            }
            let mut now = system.borrow_mut();
            if !now.is_quiet() {
                now.queue_events();
                continue;
            }
            judge.at_rest(&now, object)?;
            // Once more: what is done before that read is done while the tracker sleeps.
            now.is_at_rest = true;
            quiet = if length == 0 && lines == 0 { quiet + 1 } else { 0 };
            if quiet > 1 && (now.plan.is_empty()) {
                return Ok(());
            }
        }
        Err("it never comes to rest".into())
    }

    /// Tries all plans of up to `depth` operations, the shortest first.
    fn try_all(&self, name: &str, depth: usize) {
        let depth = std::env::var("NAMES_DEPTH").map_or(depth, |depth| depth.parse().unwrap());
        let begin = Instant::now();
        let mut runs = 0;
        for depth in 0..=depth {
            let visited = Rc::default();
            let mut pending: Vec<Vec<Step>> = vec![Vec::new()];
            while let Some(plan) = pending.pop() {
                let outcome = self.run(&plan, depth - plan.len(), &visited);
                runs += 1;
                if let Some(why) = outcome.failure {
                    panic!("{name}: {why}\n{plan:?}\n{}", outcome.story.join("\n"));
                }
                pending.extend(outcome.branches.into_iter().map(|step| [&plan[..], &[step]].concat()));
            }
        }
        println!("{name}: {runs} histories of up to {depth} operations, in {:.1?}", begin.elapsed());
    }
}

/// Holds the lines to what was true.
#[derive(Default)]
struct Judge {
    /// As the lines have it.
    leads: bool,
    first: Option<(u64, u64)>,
    comes: usize,
    gone: usize,
    modified: usize,
    closed: usize,
    rested: Option<Option<usize>>,
    comes_at_rest: usize,
}

impl Judge {
    fn line(&mut self, mask: Mask, system: &Rc<RefCell<System>>) -> Result<(), String> {
        system.borrow_mut().story.push(format!("            prints {mask:x?}"));
        if mask.has(IN_CREATE) {
            self.leads = true;
            self.comes += 1;
        } else if !self.leads {
            return Err("an event of nothing".into());
        } else if mask.has(IN_DELETE_SELF | IN_MOVE_SELF) {
            self.leads = false;
            self.gone += 1;
        } else if mask.has(IN_MODIFY) {
            self.modified += 1;
        } else if mask.has(IN_CLOSE_WRITE) {
            self.closed += 1;
        }
        Ok(())
    }

    /// All is quiet.
    fn at_rest(&mut self, system: &System, found: Option<(u64, u64)>) -> Result<(), String> {
        let object = system.object();
        if found != object.map(|ino| (0, ino as u64)) {
            return Err(format!("it leads to {object:?}, and not to {found:?}"));
        }
        if self.leads != object.is_some() {
            return Err(format!("the lines say that it leads somewhere: {}", self.leads));
        }
        let (needed, watched) = system.watched();
        if needed != watched {
            return Err(format!("watched are {watched:?}, and should be {needed:?}"));
        }
        if let Some(rested) = self.rested {
            if object.is_some() && rested != object && self.comes == self.comes_at_rest {
                return Err(format!("another object, without a word: {object:?}"));
            }
        }
        (self.rested, self.comes_at_rest) = (Some(object), self.comes);
        // No more than happened.
        let before = self.first.map(|(_, ino)| ino as usize);
        let all: Vec<Option<usize>> = [before].into_iter().chain(system.history.iter().copied()).collect();
        let changes = |is: &dyn Fn(Option<usize>, Option<usize>) -> bool| {
            all.windows(2).filter(|pair| is(pair[0], pair[1])).count()
        };
        let comes = changes(&|old, new| new.is_some() && new != old);
        let gone = changes(&|old, new| old.is_some() && new.is_none());
        // A file that is created has its real events only.
        if self.closed > system.written + system.relinked && !system.overflowed {
            return Err(format!("{} ends of writing, of {}", self.closed, system.written));
        }
        // After an overflow a way is found before what is queued about it is handled.
        if self.modified > system.written && !system.overflowed {
            return Err(format!("{} writes, of {}", self.modified, system.written));
        }
        // An exchange is two arrivals, and of what has left too soon to be looked at nobody can say that it was a link.
        let most = 2 * system.history.len();
        let is_true = if system.raced {
            self.comes <= most && self.gone <= most
        } else {
            (self.comes, self.gone) == (comes, gone)
        };
        if !is_true {
            return Err(format!(
                "came {} times, of {comes}; left {} times, of {gone}",
                self.comes, self.gone
            ));
        }
        Ok(())
    }
}

#[test]
fn every_interleaving_of_a_file() {
    FILE.try_all("file", 3);
}

#[test]
fn every_interleaving_of_a_link_that_is_switched() {
    LINK.try_all("link", 2);
}

#[test]
fn every_interleaving_of_several_levels() {
    LEVELS.try_all("levels", 3);
}

#[test]
fn every_interleaving_with_events_that_are_queued_late() {
    for (name, scene) in [("file", FILE), ("link", LINK), ("levels", LEVELS)] {
        Scene { is_late: true, ..scene }.try_all(&format!("{name}, late"), 2);
    }
}

#[test]
fn every_interleaving_if_the_queue_overflows() {
    for (name, scene) in [("file", FILE), ("link", LINK), ("levels", LEVELS)] {
        Scene { queue_limit: 2, ..scene }.try_all(&format!("{name}, overflow"), 2);
    }
}

#[test]
fn every_interleaving_with_the_setup() {
    for (name, scene) in [("file", FILE), ("link", LINK), ("levels", LEVELS)] {
        Scene { is_early: true, ..scene }.try_all(&format!("{name}, early"), 2);
    }
}
