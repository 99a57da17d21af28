//! `%{comm}`: the names of the processes that caused events, as far as they can still be found out.
//!
//! A name is looked up in /proc after the event: the process may be gone by then, and its id may even belong to another
//! one. So a lookup counts for one read, and where it fails the last name counts for a while: a process that writes and
//! exits has mostly been seen before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::sys::proc;

/// How long a name counts after the process was seen last.
const MEMORY: Duration = Duration::from_secs(10);

/// The lookup that takes a name from the system: [`of_proc`].
pub type Lookup = fn(i32) -> Option<Vec<u8>>;

/// The names of processes, by a lookup of a name that costs something.
pub struct Names<Look> {
    look: Look,
    known: HashMap<i32, Known>,
    /// The number of reads.
    reads: u64,
    /// The time of the present read, and that at which old names were forgotten last.
    now: Instant,
    cleared: Instant,
}

struct Known {
    name: Option<Vec<u8>>,
    /// The last time that the process was found.
    seen: Instant,
    /// The read of the last lookup.
    read: u64,
}

/// A process's name in /proc, without the newline there.
pub fn of_proc(pid: i32) -> Option<Vec<u8>> {
    let mut name = proc::file_of(pid, "comm").ok()?;
    name.truncate(name.strip_suffix(b"\n").map_or(name.len(), <[u8]>::len));
    Some(name)
}

impl<Look: FnMut(i32) -> Option<Vec<u8>>> Names<Look> {
    /// None is known yet.
    pub fn new(look: Look, now: Instant) -> Names<Look> {
        Names { look, known: HashMap::new(), reads: 0, now, cleared: now }
    }

    /// Events were read just now: from here on, names are looked up again.
    pub fn begin(&mut self, now: Instant) {
        self.reads += 1;
        self.now = now;
        if now.duration_since(self.cleared) > MEMORY {
            self.known.retain(|_, known| now.duration_since(known.seen) <= MEMORY);
            self.cleared = now;
        }
    }

    /// The name of a process; `None` of a process that is gone and was not seen lately, and of none (0).
    pub fn of(&mut self, pid: i32) -> Option<&[u8]> {
        if pid <= 0 {
            return None;
        }
        let (now, read) = (self.now, self.reads);
        let known = self.known.entry(pid).or_insert(Known { name: None, seen: now, read: 0 });
        if known.read != read {
            known.read = read;
            if let Some(name) = (self.look)(pid) {
                known.name = Some(name);
                known.seen = now;
            } else if now.duration_since(known.seen) > MEMORY {
                known.name = None;
            }
        }
        known.name.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is asked for: time passes, processes get names or end, events are read, and one is asked for.
    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Start(i32, u8),
        End(i32),
        Read,
        Ask(i32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..6u64).prop_map(Step::Wait),
            (1..4i32, b'a'..=b'c').prop_map(|(pid, name)| Step::Start(pid, name)),
            (1..4i32).prop_map(Step::End),
            Just(Step::Read),
            (0..4i32).prop_map(Step::Ask),
        ]
    }

    proptest! {
        #[test]
        fn a_name_is_that_of_the_read_or_the_last_one_for_ten_seconds(steps in prop::collection::vec(step(), 0..60)) {
            let begin = Instant::now();
            let running = std::cell::RefCell::new(HashMap::<i32, u8>::new());
            let looks = std::cell::Cell::new(0);
            let look = |pid: i32| {
                looks.set(looks.get() + 1);
                running.borrow().get(&pid).map(|name| vec![*name])
            };
            let mut names = Names::new(look, begin);
            names.begin(begin);
            let mut seconds = 0;
            let mut read_at = 0;
            // What was answered in this read, and the last name that was found, and when.
            let mut answered: HashMap<i32, Option<Vec<u8>>> = HashMap::new();
            let mut found: HashMap<i32, (u8, u64)> = HashMap::new();
            for step in steps {
                match step {
                    Step::Wait(more) => seconds += more,
                    Step::Start(pid, name) => drop(running.borrow_mut().insert(pid, name)),
                    Step::End(pid) => drop(running.borrow_mut().remove(&pid)),
                    Step::Read => {
                        read_at = seconds;
                        names.begin(begin + Duration::from_secs(seconds));
                        answered.clear();
                    }
                    Step::Ask(pid) => {
                        let before = looks.get();
                        let name = names.of(pid).map(<[u8]>::to_vec);
                        if pid == 0 {
                            prop_assert!(name.is_none() && looks.get() == before);
                            continue;
                        }
                        if let Some(answer) = answered.get(&pid) {
                            prop_assert!(*answer == name && looks.get() == before);
                            continue;
                        }
                        prop_assert_eq!(looks.get(), before + 1);
                        let present = running.borrow().get(&pid).copied();
                        if let Some(name) = present {
                            found.insert(pid, (name, read_at));
                        }
                        let known = found.get(&pid).filter(|(_, at)| read_at - at <= 10);
                        prop_assert_eq!(&name, &known.map(|(name, _)| vec![*name]));
                        answered.insert(pid, name);
                    }
                }
            }
        }
    }

    #[test]
    fn processes_that_exited_long_ago_occupy_no_memory() {
        let begin = Instant::now();
        let mut names = Names::new(|pid| (pid < 1000).then(|| b"name".to_vec()), begin);
        names.begin(begin);
        for pid in 1..2000 {
            names.of(pid);
        }
        names.begin(begin + Duration::from_secs(11));
        assert!(names.known.is_empty());
    }

    #[test]
    fn the_name_of_a_process_has_no_newline_at_its_end() {
        let own = of_proc(std::process::id() as i32).unwrap();
        assert!(!own.is_empty() && own.last() != Some(&b'\n'));
        assert_eq!(of_proc(i32::MAX), None);
    }
}
