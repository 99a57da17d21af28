//! Whether a history could have been distinguished from another one.
//!
//! All that a program can know are the events that it reads, and the file system whenever it looks. So if another history has
//! the same events, read at the same moments, and the same file system at each of them, the same lines report both. Where
//! these are right for the other, nobody can expect that they are right for both.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;
use crate::fanotify::simulated::Queued;

/// So many operations are tried for one history.
const PATIENCE: usize = 20_000;

/// A system call, and what could be known then.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Its number.
    pub call: isize,
    pub is_read: bool,
    /// The world after the call before.
    pub before: World,
    pub world: World,
}

/// The search for another history.
struct Doubt<'a, W> {
    stage: &'a Stage<W>,
    moments: &'a [Moment],
    processes: BTreeSet<i32>,
    /// The most operations of the other history.
    longest: usize,
    tried: usize,
    /// States that lead nowhere, by their hash.
    dead: HashSet<u64>,
}

/// Another history that cannot be distinguished from this one, of at most so many operations more, and for which the lines are right.
pub fn other_history<W: Watcher>(stage: &Stage<W>, acts: &[Act], more: usize) -> Option<Vec<Act>> {
    let moments = stage.run(acts, true).moments;
    let start = moments.first().filter(|_| acts[0].call >= 0)?.before.clone();
    if let Some(other) = neighbours(&start, acts).into_iter().find(|other| {
        let found = stage.run(other, true);
        found.faults.is_empty() && are_alike(&found.moments, &moments)
    }) {
        return Some(other);
    }
    let processes: BTreeSet<i32> = acts.iter().map(|act| act.process).collect();
    (0..=more)
        .find_map(|more| {
            let mut doubt = Doubt {
                stage,
                moments: &moments,
                processes: processes.clone(),
                longest: acts.len() + more,
                tried: 0,
                dead: HashSet::new(),
            };
            doubt.search(0, &start, &mut Vec::new()).ok()
        })
        .flatten()
}

impl<W: Watcher> Doubt<'_, W> {
    /// Tries all that may go on before the call of this number; `Err` if nothing leads to the end.
    fn search(&mut self, number: usize, world: &World, acts: &mut Vec<Act>) -> Result<Option<Vec<Act>>, ()> {
        let Some(moment) = self.moments.get(number) else {
            let is_right = self.stage.run(acts, false).faults.is_empty();
            return Ok(is_right.then(|| acts.clone()));
        };
        let mut state = DefaultHasher::new();
        (number, acts.len(), &world.queue).hash(&mut state);
        world.hash_nodes(&mut state);
        let state = state.finish();
        if self.dead.contains(&state) || self.tried > PATIENCE {
            return Err(());
        }
        let mut ends = Err(());
        if world.looks_like(&moment.world) && (!moment.is_read || world.queue == moment.world.queue) {
            let mut next = world.clone();
            if moment.is_read {
                next.take();
            }
            if let Some(after) = self.moments.get(number + 1) {
                next.marked = after.before.marked.clone();
            }
            ends = self.search(number + 1, &next, acts);
        }
        if acts.len() < self.longest {
            for operation in operations(world, true) {
                for process in self.processes.clone() {
                    if let Ok(Some(found)) = ends {
                        return Ok(Some(found));
                    }
                    ends = self.go_on(number, world, &operation, process, acts).or(ends);
                }
            }
        }
        if ends.is_err() {
            self.dead.insert(state);
        }
        ends
    }

    /// Tries one operation, if the events that will be read next can begin with its events.
    fn go_on(
        &mut self,
        number: usize,
        world: &World,
        operation: &Operation,
        process: i32,
        acts: &mut Vec<Act>,
    ) -> Result<Option<Vec<Act>>, ()> {
        self.tried += 1;
        let read = self.moments[number..].iter().find(|moment| moment.is_read).ok_or(())?;
        let (operation, mut next) = after(world, operation.clone(), process).ok_or(())?;
        if !begins(&next.queue, &read.world.queue) {
            return Err(());
        }
        if W::MARKS_ALL {
            next.mark_all(inode_marks::MASK);
        }
        acts.push(Act { operation, process, call: self.moments[number].call });
        let ends = self.search(number, &next, acts);
        acts.pop();
        ends
    }
}

fn are_alike(some: &[Moment], others: &[Moment]) -> bool {
    let alike = |(one, other): (&Moment, &Moment)| {
        let same = one.call == other.call && one.world.looks_like(&other.world);
        same && (!one.is_read || one.world.queue == other.world.queue)
    };
    some.len() == others.len() && some.iter().zip(others).all(alike)
}

/// The histories that differ by an operation that is not done, is done earlier or later, or is done in addition.
fn neighbours(start: &World, acts: &[Act]) -> Vec<Vec<Act>> {
    let mut found = Vec::new();
    for at in 0..acts.len() {
        let mut rest = acts.to_vec();
        let moved = rest.remove(at);
        for to in 0..=rest.len() {
            let calls =
                [to.checked_sub(1).map(|before| rest[before].call), rest.get(to).map(|after| after.call)];
            for call in calls.into_iter().flatten() {
                let mut other = rest.clone();
                other.insert(to, Act { call, ..moved.clone() });
                found.push(other);
            }
        }
        found.push(rest);
    }
    let mut world = start.clone();
    for at in 0..acts.len() {
        for operation in operations(&world, true) {
            let mut other = acts.to_vec();
            other.insert(at, Act { operation, ..acts[at].clone() });
            found.push(other);
        }
        world.act(acts[at].process, &acts[at].operation);
    }
    found.retain(|acts| !acts.is_empty());
    found
}

/// Whether a queue may become this one.
fn begins(queue: &[Queued], whole: &[Queued]) -> bool {
    let may_become = |(event, whole): (&Queued, &Queued)| {
        event.mask & whole.mask == event.mask && Queued { mask: whole.mask, ..event.clone() } == *whole
    };
    queue.len() <= whole.len() && queue.iter().zip(whole).all(may_become)
}
