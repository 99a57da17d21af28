//! What the events that were read together say ahead of their turn.

use std::collections::HashMap;

use libc::{FAN_RENAME, IN_DELETE_SELF, IN_MOVE_SELF};

use crate::event::Mask;
use crate::sys::fanotify::{Entry, Handle, RawEvent, decoded};

/// The number of an event, and from where to where.
pub(super) type Rename<'a> = (usize, Option<Entry<'a>>, Option<Entry<'a>>);
/// What was deleted, whether it is a directory, and the object.
pub(super) type Deletion<'a> = (Entry<'a>, Mask, Option<&'a Handle>);

/// What the events that were read together say of objects, ahead of their turn.
#[derive(Default)]
pub(super) struct Batch<'a> {
    /// Where each object was renamed, by the number of the event.
    pub(super) renames: HashMap<&'a Handle, Vec<Rename<'a>>>,
    /// The last event that says that the object was renamed, of each that has one.
    pub(super) moved: HashMap<&'a Handle, usize>,
    /// Objects that are gone.
    pub(super) gone: Vec<&'a Handle>,
    /// Deletions that belong behind a rename.
    pub(super) deferred: HashMap<usize, Vec<Deletion<'a>>>,
    /// With what the object of a rename changes places, by the number of the event: the next rename is its.
    pub(super) partners: HashMap<usize, &'a Handle>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Batch<'a> {
        let mut batch = Batch::default();
        let mut last: Option<(usize, RawEvent)> = None;
        for (number, event) in decoded(bytes).enumerate() {
            let mask = event.mask as Mask;
            let itself = event.place.filter(|place| place.name == b".").map(|place| place.directory);
            if event.mask & FAN_RENAME != 0 {
                if let Some(object) = event.object {
                    if let Some((number, _)) = last.filter(|(_, first)| is_exchange(first, &event)) {
                        batch.partners.insert(number, object);
                    }
                    last = Some((number, event));
                    batch.renames.entry(object).or_default().push((number, event.old, event.new));
                }
            } else if let Some(object) = itself.or(event.object) {
                if mask & IN_MOVE_SELF != 0 {
                    batch.moved.insert(object, number);
                }
                // The kernel may have found it gone in whatever process, also this one.
                if mask & IN_DELETE_SELF != 0 {
                    batch.gone.push(object);
                }
            }
        }
        batch
    }

    /// Of an object that stood at an entry: the last rename from event `number` on that brought it back there, if one took
    /// it away.
    pub(super) fn last_return(&self, number: usize, entry: Entry, object: Option<&Handle>) -> Option<usize> {
        let renames = self.renames.get(object?)?;
        let mut later = renames.iter().filter(|(at, ..)| *at > number);
        later.clone().find(|(_, old, _)| *old == Some(entry))?;
        later.rfind(|(_, _, new)| *new == Some(entry)).map(|(at, ..)| *at)
    }
}

/// Whether two renames, one after the other, let two objects change places.
fn is_exchange(first: &RawEvent, second: &RawEvent) -> bool {
    let swapped = first.old == second.new && first.new == second.old;
    swapped && first.object != second.object && first.pid == second.pid
}
