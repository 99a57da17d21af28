//! Directories that got no watch because the limit is reached, which a user has in all programs together.
//!
//! They are tried again when a watch of this program ends, and after a while: another program may have ended, or the limit
//! was raised. The first of them tells whether there is room; the others follow as long as there is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::tree::NodeId;

/// The time to the first attempt. Each that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Refused {
    nodes: VecDeque<NodeId>,
    /// The user knows it.
    is_reported: bool,
    next: Option<(Instant, Duration)>,
}

impl Refused {
    /// There was no watch for a directory. Whether that is to be reported: not again while nothing changes.
    pub(super) fn add(&mut self, node: NodeId, now: impl FnOnce() -> Instant) -> bool {
        self.nodes.push_back(node);
        self.next.get_or_insert_with(|| (now() + FIRST_PAUSE, FIRST_PAUSE));
        !std::mem::replace(&mut self.is_reported, true)
    }

    /// There was a watch for some directory: a new refusal is news. The others are tried soon, even if the next needs no watch any more.
    pub(super) fn begin_again(&mut self, now: impl FnOnce() -> Instant) {
        self.is_reported = false;
        self.next = (!self.nodes.is_empty()).then(|| (now() + FIRST_PAUSE, FIRST_PAUSE));
    }

    /// The next to be tried.
    pub(super) fn take(&mut self) -> Option<NodeId> {
        self.nodes.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Only some are still to be watched. What is refused after all others got a watch, or need none, is news.
    pub(super) fn retain(&mut self, is_left: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node| is_left(*node));
        if self.nodes.is_empty() {
            *self = Refused::default();
        }
    }

    /// When to try again without being asked.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| !self.nodes.is_empty()).map(|(next, _)| next)
    }

    /// Whether that is now; then the next time is later.
    pub(super) fn is_due(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let waits = self.next.as_mut().filter(|_| !self.nodes.is_empty());
        let Some((next, pause)) = waits else { return false };
        let now = now();
        if now < *next {
            return false;
        }
        *pause = LONGEST_PAUSE.min(*pause * 2);
        *next = now + *pause;
        true
    }
}
