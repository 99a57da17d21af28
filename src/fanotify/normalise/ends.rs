//! The ends in a batch: of directories that are gone, and of entries that are deleted.

use std::collections::{BTreeMap, HashMap, HashSet};

use libc::{FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_ONDIR, FAN_RENAME};

use crate::sys::fanotify::{Entry, Handle, RawEvent};

use super::Half;

/// An end that was put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due<'a> {
    /// Of a directory: that it is gone, and its deletion, as far as they are in the batch.
    Directory(&'a Handle),
    /// The deletion of another entry, by the number of the event.
    File(usize),
}

/// How a directory ends.
#[derive(Debug, Default)]
struct End<'a> {
    /// The event that says that it is gone.
    gone: Option<usize>,
    /// The event that says that it is deleted.
    deleted: Option<usize>,
    /// The rename that has replaced it.
    replaced: Option<usize>,
    /// The deletion also has its creation, so its position says nothing about the end.
    is_merged: bool,
    entry: Option<Entry<'a>>,
    /// The last event of its renames and of what happened in it.
    last: usize,
    done: bool,
}

/// What ends in a batch, and when that is to be reported.
#[derive(Debug, Default)]
pub struct Ends<'a> {
    directories: HashMap<&'a Handle, End<'a>>,
    /// The ends that are put off because they were merged with a creation, by the entry and the number of the event, with the object.
    merged: HashMap<Entry<'a>, BTreeMap<usize, (Due<'a>, &'a Handle)>>,
    /// The files that are gone, and the events that say so.
    pub gone_files: HashMap<&'a Handle, usize>,
    /// Those of the deletions that were put off which follow another arrival of the file at the entry, after something has replaced it.
    returning: HashSet<usize>,
    after: BTreeMap<usize, Vec<Due<'a>>>,
    /// The directories that renames replaced, by the number of the rename: their end follows it, and no event names the
    /// entry that they were.
    pub replaced: HashMap<usize, &'a Handle>,
    /// The objects that were replaced, and where is not to be seen: the rename was merged with an earlier one, or the end.
    replaced_unseen: HashSet<&'a Handle>,
}

impl<'a> Ends<'a> {
    pub fn of(
        events: &[RawEvent<'a>],
        renames: &HashMap<&'a Handle, Vec<usize>>,
        halves: &HashMap<usize, Half>,
    ) -> Ends<'a> {
        let mut ends = Ends::default();
        ends.collect(events, renames, halves);
        ends.put_off_files(events, renames);
        if !ends.directories.is_empty() {
            ends.find_last(events);
            ends.plan();
        }
        ends
    }

    fn collect(
        &mut self,
        events: &[RawEvent<'a>],
        renames: &HashMap<&'a Handle, Vec<usize>>,
        halves: &HashMap<usize, Half>,
    ) {
        // By process its last event, but of directories themselves.
        let mut last: HashMap<i32, Option<usize>> = HashMap::new();
        for (number, event) in events.iter().enumerate() {
            let is_directory = event.mask & FAN_ONDIR != 0;
            match (event.place, event.object) {
                (Some(Entry { directory, name: b"." }), _) => {
                    if event.mask & FAN_DELETE_SELF != 0 {
                        self.directories.entry(directory).or_default().gone = Some(number);
                        self.replace(directory, number, events, renames, &mut last);
                    }
                    continue;
                }
                (None, Some(file)) if event.mask & FAN_DELETE_SELF != 0 => {
                    self.gone_files.insert(file, number);
                    self.replace(file, number, events, renames, &mut last);
                    continue;
                }
                (Some(entry), Some(object)) if is_directory && event.mask & FAN_DELETE != 0 => {
                    let end = self.directories.entry(object).or_default();
                    end.deleted = Some(number);
                    end.entry = Some(entry);
                    end.is_merged = event.mask & FAN_CREATE != 0;
                    if end.is_merged {
                        self.merged
                            .entry(entry)
                            .or_default()
                            .insert(number, (Due::Directory(object), object));
                    }
                }
                _ => {}
            }
            // One rename replaces one object.
            let is_rename = event.mask & FAN_RENAME != 0 && !halves.contains_key(&number);
            last.insert(event.pid, Some(number).filter(|_| is_rename));
        }
        let deleted = events.iter().filter(|event| event.mask & FAN_DELETE != 0);
        let deleted: HashSet<&Handle> = deleted.filter_map(|event| event.object).collect();
        self.replaced.retain(|_, object| !deleted.contains(object));
        self.replaced_unseen.retain(|object| !deleted.contains(object));
    }

    /// An object is gone: replaced by the last event of the same process, if that is a rename, and the object may have been at its target.
    ///
    /// ```text
    /// mv -T a b; rmdir b                                →  RENAME a b, DELETE_SELF|MOVE_SELF a, DELETE_SELF of what was at b, DELETE b
    /// exchange a ~d/a; exchange a ~d/a; mv ~d c; mv -T a c/a  →  … RENAME ~d c, DELETE_SELF of what was at c/a
    /// ```
    fn replace(
        &mut self,
        object: &'a Handle,
        number: usize,
        events: &[RawEvent<'a>],
        renames: &HashMap<&'a Handle, Vec<usize>>,
        last: &mut HashMap<i32, Option<usize>>,
    ) {
        let event = &events[number];
        let rename = stands_where_it_ends(event).then(|| last.remove(&event.pid)).flatten();
        let comes_to = |at: usize| {
            let own = renames.get(object);
            own.is_none_or(|own| own.iter().any(|own| events[*own].new == events[at].new))
        };
        match rename.flatten().filter(|rename| comes_to(*rename)) {
            Some(rename) => {
                self.replaced.insert(rename, object);
                if let Some(end) = self.directories.get_mut(object) {
                    end.replaced = Some(rename);
                }
            }
            None => drop(self.replaced_unseen.insert(object)),
        }
    }

    /// Whether an object was replaced, but no event says where.
    pub fn is_replaced_unseen(&self, object: &Handle) -> bool {
        self.replaced_unseen.contains(object)
    }

    /// The deletion of a file comes after its last return to that entry, and after its own end if that is reported.
    ///
    /// ```text
    /// touch a; mv a b; mv b a; rm a    →  CREATE|DELETE a, RENAME a b, RENAME b a
    /// echo >>a; mv a b; mv b a; rm a   →  OPEN|MODIFY|CLOSE_WRITE|DELETE a, RENAME a b, RENAME b a
    /// ln b a; mv c a; mv b a; rm a     →  CREATE|DELETE a, RENAME c a, RENAME b a, DELETE_SELF of c, DELETE_SELF of b
    /// ```
    fn put_off_files(&mut self, events: &[RawEvent<'a>], renames: &HashMap<&'a Handle, Vec<usize>>) {
        for (number, event) in events.iter().enumerate() {
            let is_merged = event.mask & FAN_DELETE != 0 && event.mask != FAN_DELETE;
            let Some((entry, object)) = event.place.zip(event.object) else { continue };
            if !is_merged || event.mask & FAN_ONDIR != 0 {
                continue;
            }
            let mut renamed = renames.get(object).into_iter().flatten().copied().filter(|at| *at > number);
            let left = renamed.clone().find(|at| events[*at].old == Some(entry));
            let last_arrival = renamed.rfind(|at| events[*at].new == Some(entry));
            let returned = last_arrival.filter(|at| left.is_some_and(|left| left < *at));
            let gone = self.gone_files.get(object).copied();
            let due = gone.max(returned);
            if gone.is_some() && last_arrival.is_some() {
                self.returning.insert(number);
            }
            // It was in its directory while that was there.
            let due = due.map(|due| self.end_of(entry.directory, events).map_or(due, |end| due.min(end - 1)));
            if let Some(due) = due.filter(|due| *due > number) {
                self.merged.entry(entry).or_default().insert(number, (Due::File(number), object));
                self.after.entry(due).or_default().push(Due::File(number));
            }
        }
    }

    /// The first event after which a directory cannot be where it was, if there is one.
    fn end_of(&self, directory: &Handle, events: &[RawEvent<'a>]) -> Option<usize> {
        let end = self.directories.get(directory)?;
        let deleted = end.deleted.filter(|_| !end.is_merged);
        let gone = end.gone.filter(|gone| stands_where_it_ends(&events[*gone]));
        let replaced = end.replaced.filter(|_| end.deleted.is_none());
        [deleted, gone, replaced].into_iter().flatten().filter(|end| *end > 0).min()
    }

    fn find_last(&mut self, events: &[RawEvent<'a>]) {
        for (number, event) in events.iter().enumerate() {
            let places = [event.place.filter(|entry| entry.name != b"."), event.old, event.new];
            let renamed = event.object.filter(|_| event.mask & FAN_RENAME != 0);
            let mentioned = places.into_iter().flatten().map(|entry| entry.directory).chain(renamed);
            for directory in mentioned {
                if let Some(end) = self.directories.get_mut(directory) {
                    end.last = number;
                }
            }
        }
    }

    /// When each end is due: those of what is in a directory before its own.
    fn plan(&mut self) {
        let mut order: Vec<(Option<usize>, &'a Handle)> =
            self.directories.iter().map(|(directory, end)| (end.deleted, *directory)).collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        for (_, directory) in order {
            let Some(end) = self.directories.get(directory) else { continue };
            let gone = end.gone.unwrap_or(0);
            let mut due = match end.deleted {
                Some(deleted) if !end.is_merged => deleted,
                Some(deleted) => deleted.max(end.last).max(gone),
                None => end.last.max(gone),
            };
            let above = end.entry.filter(|_| end.is_merged).map(|entry| entry.directory);
            if let Some(above) = above.and_then(|above| self.directories.get_mut(above)) {
                match above.deleted.filter(|_| !above.is_merged) {
                    // While a process has it open, its end is not reported, but its deletion is.
                    Some(deleted) => due = due.min(deleted.saturating_sub(1)),
                    None => above.last = above.last.max(due),
                }
            }
            self.after.entry(due).or_default().push(Due::Directory(directory));
        }
    }

    /// What is due after an event.
    pub fn due(&mut self, number: usize) -> Vec<Due<'a>> {
        self.after.remove(&number).unwrap_or_default()
    }

    /// Whether a directory is reported to be gone.
    pub fn is_gone(&self, directory: &Handle) -> bool {
        self.directories.get(directory).is_some_and(|end| end.gone.is_some())
    }

    /// Whether the end of a directory is reported elsewhere than at the position of this event.
    pub fn puts_off_gone(&self, event: &RawEvent) -> bool {
        let Some(Entry { directory, name: b"." }) = event.place else { return false };
        let end = self.directories.get(directory);
        // After its deletion it is reported where it stands.
        end.is_some_and(|end| !end.done)
    }

    /// Whether a deletion is reported by [`take`](Self::take) or [`take_file`](Self::take_file).
    pub fn puts_off_deletion(&self, number: usize, event: &RawEvent) -> bool {
        let Some((entry, object)) = event.place.zip(event.object) else { return false };
        self.directories.get(object).is_some_and(|end| end.deleted == Some(number))
            || self.merged.get(&entry).is_some_and(|merged| merged.contains_key(&number))
    }

    /// An end that was put off at an entry where another object comes now, by this event.
    pub fn at(&self, number: usize, entry: Entry, by: Option<&Handle>) -> Option<Due<'a>> {
        let before = self.merged.get(&entry)?.range(..number);
        let mut others =
            before.filter(|(created, (_, object))| Some(*object) != by && !self.returning.contains(created));
        others.next().map(|(_, (due, _))| *due)
    }

    /// The events of a directory's end, once: that it is gone, if that is not after this event, and its deletion.
    pub fn take(&mut self, directory: &Handle, number: usize) -> Option<(Option<usize>, Option<usize>)> {
        let end = self.directories.get_mut(directory).filter(|end| !end.done)?;
        end.done = true;
        if let Some((entry, deleted)) = end.entry.zip(end.deleted) {
            self.merged.get_mut(&entry).and_then(|merged| merged.remove(&deleted));
        }
        Some((end.gone.filter(|gone| *gone <= number), end.deleted))
    }

    /// Whether the deletion of a file that was put off was still to be reported.
    pub fn take_file(&mut self, number: usize, entry: Entry<'a>) -> bool {
        self.merged.get_mut(&entry).and_then(|merged| merged.remove(&number)).is_some()
    }
}

/// Whether the end of an object that an event reports was not merged with what happened to it before.
pub fn stands_where_it_ends(event: &RawEvent) -> bool {
    event.mask & !FAN_ONDIR == FAN_DELETE_SELF
}
