//! Directories that appear: watched first, then read, and what stood in them before is announced.

use std::collections::{HashMap, HashSet};

use libc::{IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_ISDIR, IN_MOVED_FROM, IN_MOVED_TO};

use super::walk::{Added, Listing, READING, is_gone};
use super::{Problem, Watcher};
use crate::event::Mask;
use crate::queue::{ENDS, Place, Taken};
use crate::sys::directory::Kind;
use crate::sys::inotify::RawEvent;
use crate::tree::NodeId;
use crate::world::{At, World};

/// A directory that is to be watched.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) place: Place,
    /// What is in it is news, to be announced.
    pub(super) news: bool,
    /// The kernel's own event tells of the directory itself; else it was found by reading the one above.
    pub(super) told: bool,
}

impl<W: World> Watcher<W> {
    /// A directory appeared: watches it and what is below it. Returns its watch, if that is new.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Option<i32> {
        let (top, is_news) = (arrival.place.clone(), arrival.news);
        let mut new = None;
        let mut pending = vec![arrival];
        while let Some(Arrival { place, news, told }) = pending.pop() {
            let Some(parent) = self.tree.find(place.wd) else { continue };
            let path = self.path_below(parent, &place.name);
            let left_out = self.settings.filter.leaves_out(&path);
            // If it has gone again, or another comes in its place, later events tell of that. If a directory
            // above is about to be renamed, the path leads elsewhere today.
            let has_gone = self.queue.changes(&place);
            let is_moving = self.is_moving(parent);
            let end = self.queue.mark();
            let added = match left_out || has_gone || is_moving {
                true => None,
                false => Some(self.add_directory(parent, &place.name, &path, self.kernel_mask(), false)),
            };
            if let Some(Ok(Added::Known(node))) = added {
                if !self.is_placed(node, &place) || self.has_departed(node) {
                    // What was read here may have left since, and this one have come after it.
                    if !told && self.has_changed(parent, &place) {
                        self.announce(place.wd, &place.name, Kind::Directory);
                    } else {
                        self.sighted(node, place, told, news);
                    }
                    continue;
                }
            }
            if !told && !matches!(added, Some(Ok(Added::Known(node))) if !self.tree.flags(node).unscanned) {
                self.announce(place.wd, &place.name, Kind::Directory);
            }
            match added {
                None if left_out => drop(self.left_out.insert(place)),
                None => self.wait_for(place, news),
                Some(Ok(Added::New(node))) => {
                    if place == top {
                        new = Some(self.tree.wd(node));
                    }
                    // Renames from here were others'.
                    self.forget_moves_from(&place);
                    pending.extend(self.scan(node, news, end));
                }
                Some(Ok(Added::Known(node))) => {
                    if self.tree.flags(node).unscanned {
                        pending.extend(self.scan(node, news, self.queue.start()));
                    }
                }
                Some(Ok(Added::Gone)) => {
                    self.pull();
                    self.wait_for(place, news);
                }
                Some(Err(error)) => self.problems.push_back(Problem::Directory { path, error, new: true }),
            }
        }
        if is_news {
            self.new_until = self.queue.events().queued();
        }
        new
    }

    /// Reads a watched directory that was not read when it was watched, and watches what is below it.
    pub(super) fn scan_below(&mut self, node: NodeId) {
        for arrival in self.scan(node, self.tree.flags(node).news, self.queue.start()) {
            self.arrive(arrival);
        }
    }

    /// Reads a watched directory: announces what stood in it before its watch, if that is news, and
    /// returns the directories in it that the kernel will not announce. `since` is a mark in the queue before
    /// which there is no event of this directory.
    fn scan(&mut self, node: NodeId, news: bool, since: usize) -> Vec<Arrival> {
        let Some(parent) = self.tree.parent(node) else { return Vec::new() };
        let wd = self.tree.wd(node);
        let place = Place { wd: self.tree.wd(parent), name: self.tree.name(node).into() };
        self.pull();
        let mark = self.queue.mark();
        let path = self.system_path(node);
        let (opened, listing) = match self.world.open(At::Path(&path)) {
            Ok(directory) => {
                let listing = self.list_open(&directory, !news);
                (Some(directory), listing)
            }
            Err(error) => (None, Err(error)),
        };
        self.pull();
        let wrong_path = self.is_moving(parent);
        let leaving = self.queue.changes(&place) || self.queue.moves(wd);
        // Perhaps the directory that is watched came here later than it looks, after this one left; or
        // another was read than is watched. The next event of this place, or the rename of this
        // directory, brings us here again.
        let early = leaving && !self.leaves_first(&place, wd);
        let mask = self.kernel_mask();
        let is_gone_now = listing.as_ref().is_err_and(is_gone);
        let doubtful = leaving || is_gone_now || self.tree.flags(node).unscanned;
        let misread = doubtful && !opened.as_ref().is_some_and(|open| self.is_at(At::Dir(open), wd, mask));
        drop(opened);
        if self.kernel_mask() & READING != 0 && W::REPORTS_OWN_ACTIONS {
            // The directory is closed by now: what that caused is queued, too.
            self.pull();
            self.queue.drop_since(mark, |event| {
                let here = event.wd == wd && event.name.is_empty();
                let ours = here || event.wd == place.wd && *event.name == *place.name;
                ours && event.mask & IN_ISDIR != 0 && event.mask & READING != 0
            });
        }
        if wrong_path {
            // It may be another directory that is watched now.
            self.release(node);
            self.wait_for(place, news);
            return Vec::new();
        }
        let flags = self.tree.flags_mut(node);
        (flags.unscanned, flags.news) = (early || misread, news);
        if misread {
            self.late.insert(wd);
        }
        if early {
            return Vec::new();
        }
        let listing = match listing {
            _ if misread => Listing::default(),
            Ok(listing) => listing,
            Err(error) if is_gone(&error) => Listing::default(),
            Err(error) => {
                let path = self.tree.path(node);
                self.problems.push_back(Problem::Directory { path, error, new: true });
                Listing::default()
            }
        };
        self.tell_what_stood(node, news, since, &listing)
    }

    /// Announces what stood in a directory before its watch, if that is news, by what was read and by what is
    /// queued `since`. Returns the directories in it that the kernel will not announce.
    fn tell_what_stood(&mut self, node: NodeId, news: bool, since: usize, listing: &Listing) -> Vec<Arrival> {
        let wd = self.tree.wd(node);
        // An entry stood here before the watch unless the first that the kernel tells of it is its coming. An
        // exchange tells of a coming, too, but what had stood here leaves with the next cookie.
        let mut first: HashMap<Box<[u8]>, (Mask, u32)> = HashMap::new();
        let mut exchanged = HashSet::new();
        for event in self.queue.since(since).filter(|event| event.wd == wd && !event.name.is_empty()) {
            match first.get_mut(event.name) {
                None => drop(first.insert(event.name.into(), (event.mask, event.cookie))),
                Some((mask, cookie))
                    if *mask & IN_MOVED_TO != 0 && event.cookie == cookie.wrapping_add(1) =>
                {
                    *mask = event.mask;
                    exchanged.insert(Box::from(event.name));
                }
                Some(_) => {}
            }
        }
        let mut below = Vec::new();
        for (entry, kind) in listing.iter().filter(|(entry, _)| !exchanged.contains(*entry)) {
            if first.remove(entry).is_some_and(|(mask, _)| is_coming(mask)) {
                continue;
            }
            if kind != Kind::Directory || news && self.refuses(node, entry) {
                self.announce(wd, entry, kind);
            } else {
                below.push(Arrival { place: Place { wd, name: entry.into() }, news, told: !news });
            }
        }
        // And what stood here but has left before it was read. Of what kind it was the kernel tells of
        // directories only; a file that was renamed in its first moments is the common case.
        for (name, (mask, _)) in first.into_iter().filter(|(_, (mask, _))| !is_coming(*mask)) {
            let kind = match mask {
                _ if mask & IN_ISDIR != 0 => Kind::Directory,
                _ if mask & IN_MOVED_FROM != 0 => Kind::File,
                _ => Kind::Other,
            };
            if news {
                self.announce(wd, &name, kind);
            }
            if kind == Kind::Directory {
                self.wait_for(Place { wd, name }, news);
            }
        }
        below
    }

    /// Whether the directory watched as `wd` is the first to leave a place, as far as the queue tells: its own
    /// end there comes before another's coming.
    fn leaves_first(&self, place: &Place, wd: i32) -> bool {
        self.queue
            .since(self.queue.start())
            .find_map(|event| {
                let comes = event.wd == place.wd && *event.name == *place.name && is_coming(event.mask);
                let ends = event.wd == wd && event.mask & ENDS != 0;
                (comes || ends).then_some(ends)
            })
            .unwrap_or(false)
    }

    /// Whether the directory at a place has changed, as far as anybody can see by now.
    fn has_changed(&mut self, parent: NodeId, place: &Place) -> bool {
        if let Ok(parent) = self.world.enter(At::Path(&self.system_path(parent))) {
            self.world.sync(&parent);
        }
        self.pull();
        self.queue.changes(place)
    }

    /// Says what the kernel would have said of an entry, had the watch stood.
    pub(super) fn announce(&mut self, wd: i32, name: &[u8], kind: Kind) {
        let directory = if kind == Kind::Directory { IN_ISDIR } else { 0 };
        self.announced.push(&RawEvent { wd, mask: IN_CREATE | directory, cookie: 0, name });
        if kind == Kind::File {
            self.announced.push(&RawEvent { wd, mask: IN_CLOSE_WRITE, cookie: 0, name });
        }
    }

    /// Of a directory that has not been read yet, an entry may leave of which nobody has told: tells of it
    /// first. `true` where the event itself comes after that, among the announced ones.
    pub(super) fn announce_before(&mut self, taken: &Taken) -> bool {
        let Some(node) = self.tree.find(taken.wd) else { return false };
        let flags = self.tree.flags(node);
        if !(flags.unscanned && flags.news) || taken.mask & (IN_DELETE | IN_MOVED_FROM) == 0 {
            return false;
        }
        let name: Box<[u8]> = self.queue.events().name(taken).into();
        let kind = if taken.mask & IN_ISDIR != 0 { Kind::Directory } else { Kind::Other };
        self.announce(taken.wd, &name, kind);
        let Taken { wd, mask, cookie, .. } = *taken;
        self.announced.push(&RawEvent { wd, mask, cookie, name: &name });
        true
    }

    /// Whether a new directory is not to be watched because its own path is excluded.
    pub(super) fn refuses(&self, parent: NodeId, name: &[u8]) -> bool {
        let path = self.path_below(parent, name);
        self.settings.filter.refuses_new(&path[..path.len() - 1])
    }

    /// The path of an entry that is a directory, `/` at the end.
    pub(super) fn path_below(&self, parent: NodeId, name: &[u8]) -> Vec<u8> {
        let mut path = self.tree.path(parent);
        path.extend_from_slice(name);
        path.push(b'/');
        path
    }
}

/// Whether an event tells that an entry came to be where it is.
fn is_coming(mask: Mask) -> bool {
    mask & (IN_CREATE | IN_MOVED_TO) != 0
}
