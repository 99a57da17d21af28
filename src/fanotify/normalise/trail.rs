//! The renames of one object, as far as they were reported.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::sys::fanotify::Handle;

use super::Place;

/// Where an object was renamed to in a batch, and where it is reported to be.
#[derive(Debug, Default)]
pub struct Trail {
    pub is_directory: bool,
    /// The process that renamed it last.
    pub process: i32,
    at: Place,
    /// It was reported to have left this place, by this cookie; where to shows later.
    pub left: Option<(u32, Place)>,
    /// It is a file that has several names: to be found at one says nothing about the others.
    pub has_links: bool,
    /// A rename has replaced it, or may have, of which no event says that.
    pub may_be_replaced: bool,
    /// Where a look has found it.
    pub looked: Option<Place>,
    hops: Vec<Hop>,
    /// Those that begin at a place, by their numbers: there may be thousands.
    ways: HashMap<Place, Vec<usize>>,
    /// The batch that the hops are of.
    pub batch: u64,
    /// How many changes of the batch there were when the last rename was reported.
    pub reported: usize,
}

/// One rename.
#[derive(Debug)]
struct Hop {
    from: Place,
    to: Place,
    /// The object that it changed places with.
    partner: Option<Box<Handle>>,
}

impl Trail {
    pub fn new(is_directory: bool, at: Place) -> Trail {
        Trail { is_directory, at, ..Trail::default() }
    }

    /// Where the object is reported to be.
    pub fn at(&self) -> &Place {
        &self.at
    }

    /// Forgets the renames of other batches than this.
    pub fn keep_only(&mut self, batch: u64) {
        if self.batch != batch {
            self.hops.clear();
            self.ways.clear();
            self.batch = batch;
        }
    }

    /// A rename was reported.
    pub fn go(&mut self, from: &Place, to: &Place) {
        self.at = to.clone();
        self.left = None;
        if !self.ways_from(from).any(|(_, hop)| hop.to == *to) {
            self.ways.entry(from.clone()).or_default().push(self.hops.len());
            self.hops.push(Hop { from: from.clone(), to: to.clone(), partner: None });
        }
    }

    fn ways_from(&self, place: &Place) -> impl Iterator<Item = (usize, &Hop)> {
        let numbers = self.ways.get(place).into_iter().flatten();
        numbers.map(|number| (*number, &self.hops[*number]))
    }

    /// It was reported to have left.
    pub fn leave(&mut self, cookie: u32) {
        self.left = Some((cookie, self.at.take()));
    }

    /// The last rename was half of an exchange.
    pub fn exchanged_with(&mut self, partner: &Handle) {
        let at = &self.at;
        if let Some(hop) = self.hops.iter_mut().rfind(|hop| hop.to == *at) {
            hop.partner = Some(partner.into());
        }
    }

    /// Whether a rename from where it is reported to be may have been repeated, or another object may have replaced it.
    pub fn is_doubtful(&self) -> bool {
        self.may_be_replaced || !self.has_links && self.ways.contains_key(&self.at)
    }

    /// Whether it may have gone to a place by one rename from where it is reported to be.
    pub fn may_go_to(&self, place: &Place) -> bool {
        self.ways_from(&self.at).any(|(_, hop)| hop.to == *place)
    }

    /// Where it has gone if it has left: to the only place that it could by one rename, unless it changed places.
    pub fn only_way(&self) -> Option<&Place> {
        let mut ways = self.ways_from(&self.at);
        let (_, only) = ways.next().filter(|_| ways.next().is_none())?;
        Some(&only.to).filter(|_| only.partner.is_none())
    }

    /// Where it can be: first where it is reported to be.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let others = self.hops.iter().flat_map(|hop| [&hop.from, &hop.to]);
        std::iter::once(&self.at).chain(others.filter(|place| **place != self.at))
    }

    /// The shortest way by renames that can be repeated: where each leads, and with what it changes places.
    pub fn way_to(&self, place: &Place) -> Option<Vec<(Place, Option<Box<Handle>>)>> {
        let start = self.left.as_ref().map_or(&self.at, |(_, from)| from);
        // By which hop each place was reached by first.
        let mut by: Vec<Option<usize>> = vec![None; self.hops.len()];
        let mut queue: VecDeque<(Option<usize>, &Place)> = [(None, start)].into();
        let mut seen = HashSet::from([start]);
        while let Some((hop, at)) = queue.pop_front() {
            if at == place && hop.is_some() {
                let way = std::iter::successors(hop, |hop| by[*hop]);
                let mut way: Vec<_> =
                    way.map(|hop| (self.hops[hop].to.clone(), self.hops[hop].partner.clone())).collect();
                way.reverse();
                return Some(way);
            }
            for (next, found) in self.ways_from(at) {
                if seen.insert(&found.to) {
                    by[next] = hop;
                    queue.push_back((Some(next), &found.to));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Some((b"directory"[..].into(), name.as_bytes().into()))
    }

    fn trail(names: &str) -> Trail {
        let places: Vec<Place> = names.split(' ').map(place).collect();
        let mut trail = Trail::new(false, places[0].clone());
        places.windows(2).for_each(|pair| trail.go(&pair[0], &pair[1]));
        trail
    }

    #[test]
    fn only_an_object_that_came_back_may_have_gone_again() {
        assert!(!trail("a b").is_doubtful());
        assert!(!trail("a b c").is_doubtful());
        assert!(trail("a b c a").is_doubtful());
        assert!(trail("a b c b").is_doubtful());
    }

    #[test]
    fn the_way_repeats_renames() {
        let way = |names: &str, to: &str| {
            let way = trail(names).way_to(&place(to))?;
            Some(way.into_iter().map(|(place, _)| place).collect::<Vec<_>>())
        };
        assert_eq!(way("a b a", "b"), Some(vec![place("b")]));
        assert_eq!(way("a b c a", "c"), Some(vec![place("b"), place("c")]));
        assert_eq!(way("a b c", "a"), None);
    }
}
