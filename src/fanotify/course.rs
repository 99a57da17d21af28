//! The renames of one object, as far as they were told.
//!
//! What an object is renamed by the same process from one place to another, and back, and there again is two events, if
//! nobody reads meanwhile: the third has become one with the first. What comes after shows that it happened, or
//! a look at where the object is.

use crate::event::Mask;
use crate::sys::fanotify::Handle;

/// An entry of a watched directory, by its watch and name; `None` is anywhere else.
pub type Place = Option<(i32, Box<[u8]>)>;

/// The renames of an object.
#[derive(Debug)]
pub struct Course {
    /// Where the object is, as it was told.
    pub at: Place,
    /// With which number its leaving there was told, where something else was found in its place.
    pub left: Option<u32>,
    /// IN_ISDIR if it is a directory.
    pub directory: Mask,
    steps: Vec<Step>,
}

/// From where to where an object was renamed.
#[derive(Debug)]
struct Step {
    from: Place,
    to: Place,
    /// With what it changed places.
    partner: Option<Box<Handle>>,
}

impl Course {
    /// Of an object that has been nowhere so far.
    pub fn new(directory: Mask) -> Course {
        Course { at: None, left: None, directory, steps: Vec::new() }
    }

    /// Another rename was told.
    pub fn go(&mut self, from: Place, to: Place) {
        self.at = to.clone();
        self.left = None;
        match self.steps.iter_mut().find(|step| step.from == from && step.to == to) {
            Some(step) => step.partner = None,
            None => self.steps.push(Step { from, to, partner: None }),
        }
    }

    /// The last rename was one half of an exchange.
    pub fn exchanged_with(&mut self, from: &Place, partner: &Handle) {
        let step = self.steps.iter_mut().find(|step| step.from == *from && step.to == self.at);
        if let Some(step) = step {
            step.partner = Some(partner.into());
        }
    }

    /// Whether it may have gone on from where it is said to be by a rename that was told already.
    pub fn is_doubtful(&self) -> bool {
        self.steps.iter().any(|step| step.from == self.at)
    }

    /// Where it may be if it is not where it is said to be.
    pub fn others(&self) -> impl Iterator<Item = &Place> {
        self.steps.iter().flat_map(|step| [&step.from, &step.to]).filter(|place| **place != self.at)
    }

    /// Whether a rename from where it is said to be led to another place, and what it changed places with by it.
    pub fn step_to(&self, place: &Place) -> Option<Option<Box<Handle>>> {
        let step = self.steps.iter().find(|step| step.from == self.at && step.to == *place)?;
        Some(step.partner.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Some((1, name.as_bytes().into()))
    }

    #[test]
    fn only_who_came_back_may_have_gone_again() {
        let mut course = Course::new(0);
        course.go(place("a"), place("b"));
        assert!(!course.is_doubtful());
        course.go(place("b"), place("c"));
        assert!(!course.is_doubtful());
        course.go(place("c"), place("a"));
        assert!(course.is_doubtful());
        assert_eq!(course.step_to(&place("b")), Some(None));
        assert_eq!(course.step_to(&place("c")), None);
        assert_eq!(course.others().collect::<std::collections::HashSet<_>>().len(), 2);
    }

    #[test]
    fn a_way_back_by_exchange_is_one_again() {
        let mut course = Course::new(0);
        course.go(place("a"), None);
        course.go(None, place("a"));
        course.exchanged_with(&None, b"other");
        course.go(place("a"), None);
        assert_eq!(course.step_to(&place("a")), Some(Some(Box::from(&b"other"[..]))));
    }
}
