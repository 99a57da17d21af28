//! What the kernel reports of our own reading of directories: in the setup it is not asked for, later it is dropped, and of a new directory
//! it is reported once, as by the reference.

use super::Task;
use crate::backlog::Position;
use crate::queue::Place;
use crate::sys::inotify::Wd;
use crate::sys::mask::{
    IN_ACCESS, IN_CLOSE_NOWRITE, IN_DONT_FOLLOW, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN,
    Mask,
};
use crate::tree::NodeId;
use crate::watcher::Watcher;
use crate::world::{At, World};

impl<W: World> Watcher<W> {
    /// What a watch asks for while a scan goes on.
    pub(super) fn scan_mask(&self, task: Task) -> Mask {
        match task {
            Task::Setup => self.kernel_mask() & !W::OWN_READING,
            _ => self.kernel_mask(),
        }
    }

    /// Asks for all events of a directory of the setup. It is closed before, which is not to be reported.
    pub(super) fn raise(&mut self, node: NodeId, dir: Option<W::Dir>, task: Task) {
        let (wd, mask) = (self.tree.wd(node), self.kernel_mask());
        if task != Task::Setup || self.scan_mask(task) == mask || wd == Wd::NONE {
            return;
        }
        let is_raised = match dir {
            Some(dir) => self.world.close_inside(dir) && self.watched_at(At::Inside, wd, mask) == Some(wd),
            None => self.change_mask(node, None, mask),
        };
        if !is_raised {
            self.scan.lack_read_events.push(wd);
        }
    }

    /// Changes what the watch of a directory asks for; `false` if the directory is not where it is believed to be.
    pub(super) fn change_mask(&mut self, node: NodeId, above: Option<&W::Dir>, mask: Mask) -> bool {
        let wd = self.tree.wd(node);
        let mask = mask | IN_DONT_FOLLOW.when(self.tree.parent(node).is_some());
        let found = match above {
            Some(above) => {
                let name = self.tree.name(node).to_vec();
                self.watched_at(At::Entry(above, &name), wd, mask)
            }
            None => self.watched_at(At::Path(&self.system_path(node)), wd, mask),
        };
        found == Some(wd)
    }

    /// Asks for all events of the directories of the setup for which that has failed, once their paths are known.
    pub(in crate::watcher) fn raise_late(&mut self) {
        if !std::mem::take(&mut self.scan.is_raise_due) {
            return;
        }
        for wd in std::mem::take(&mut self.scan.lack_read_events) {
            if let Some(node) = self.tree.find(wd) {
                self.raise(node, None, Task::Setup);
            }
        }
    }

    /// Whether the reading of a directory is reported by its watch during a scan.
    pub(super) fn is_reading_reported(&self, task: Task) -> bool {
        self.scan_mask(task).has(W::OWN_READING)
    }

    /// Drops the events of our own reading: at the place where the directory was opened, and wherever that may have been renamed to.
    ///
    /// open `a`; `rename a b`; close it → OPEN a, MOVED_FROM a (1), MOVED_TO b (1), MOVE_SELF of a, CLOSE_NOWRITE b
    pub(super) fn discard_own_reading(
        &mut self,
        node: NodeId,
        place: Option<Place>,
        opened: Option<Wd>,
        since: Position,
    ) {
        // Also in the setup: it was opened before it was known to be the directory whose watch is to ask for less.
        if !self.kernel_mask().has(W::OWN_READING) {
            return;
        }
        // By a path, another may have been opened, which is in another directory than this one.
        let other = opened.and_then(|opened| self.tree.find(opened)).filter(|found| *found != node);
        let other = other.and_then(|other| self.place_now(other, self.queue.start()));
        let place = place.or_else(|| self.place_of(node));
        let mut places: Vec<Place> = place.into_iter().chain(other).collect();
        let (mut renames, mut arrival) = (Vec::new(), None);
        self.queue.drop_since(since, |event| {
            let is_there = places.iter().any(|place| place.is(event.wd, event.name));
            if event.mask.has(IN_MOVED_FROM) && is_there {
                renames.push(event.cookie);
            } else if event.mask.has(IN_MOVED_TO) {
                let place = Place { wd: event.wd, name: event.name.into() };
                match renames.contains(&event.cookie) {
                    true => places.push(place),
                    false => arrival = Some(place),
                }
            } else if event.mask.has(IN_MOVE_SELF) && opened == Some(event.wd) {
                places.extend(arrival.take());
            }
            let is_ours = is_there || event.name.is_empty() && opened == Some(event.wd);
            is_ours && event.mask.has(IN_ISDIR) && event.mask.has(W::OWN_READING)
        });
    }

    /// Reports the reading of a new directory once, on its parent, as the reference does.
    pub(super) fn report_reading(&mut self, node: NodeId, task: Task) {
        // The watch of its parent has ended with its arrival.
        let is_reported = W::OWN_READING != Mask::NONE && task.reports_reading() && !self.is_oneshot();
        for mask in [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE].into_iter().filter(|_| is_reported) {
            self.make_up_entry(node, mask);
        }
    }
}
