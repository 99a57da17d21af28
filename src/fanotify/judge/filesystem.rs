//! The judge of whole file systems.

use std::io;
use std::os::fd::OwnedFd;

use libc::{FAN_CREATE, FAN_DELETE, FAN_DELETE_SELF, FAN_MODIFY, FAN_ONDIR, FAN_OPEN, FAN_RENAME};

use super::*;
use crate::fanotify::filesystem::Filesystems;
use crate::fanotify::filesystem::kernel::Kernel;
use crate::fanotify::normalise::OwnedEntry;
use crate::fanotify::simulated::{handle, inode};
use crate::source::Item;
use crate::sys::fanotify::{Handle, Target};
use crate::sys::mask::{IN_CREATE, IN_DELETE, IN_MOVE};
use crate::sys::mounts::Mount;

const MASK: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR | FAN_MODIFY | FAN_OPEN;

#[derive(Debug)]
struct Simulated(Rc<RefCell<Simulation>>);

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

impl Kernel for Simulated {
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        Ok(self.0.borrow_mut().read(buffer))
    }

    fn wait(&mut self) {}

    fn mark(&mut self, _: &OwnedFd, _: Target, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn add(&mut self, _: &[u8], _: Option<&Mount>, _: &[u8]) {}

    fn place(&mut self, directory: &Handle) -> io::Result<Option<OwnedEntry>> {
        let directory = inode(directory);
        let place =
            self.0.borrow_mut().ask("place", |world| world.exists(directory).then(|| world.place(directory)));
        let place = place.ok_or_else(stale)?;
        Ok(place.map(|(above, name)| (handle(above), name.into_bytes().into())))
    }

    fn is_at(&mut self, object: &Handle, directory: &Handle, name: &[u8]) -> Option<bool> {
        let name = std::str::from_utf8(name).unwrap();
        let is_at = |world: &World| world.entry(inode(directory), name) == Some(inode(object));
        Some(self.0.borrow_mut().ask("is_at", is_at))
    }

    fn path(&mut self, object: &Handle) -> io::Result<Vec<u8>> {
        let path = self.0.borrow_mut().ask("path", |world| world.path(inode(object)));
        path.map(String::into_bytes).ok_or_else(stale)
    }
}

impl Watcher for Filesystems<Simulated> {
    fn new(simulation: Rc<RefCell<Simulation>>) -> Self {
        let settings = settings(IN_CREATE | IN_DELETE | IN_MOVE);
        Filesystems::simulated(Simulated(simulation), settings, &handle(TREE), b"/tree")
    }

    fn turn(&mut self, lines: &mut Vec<Line>) {
        self.begin_turn().unwrap();
        while let Some(item) = self.next_item() {
            if let Item::Event(event) = item {
                lines.extend(lines_of(event.mask, event.cookie, &String::from_utf8_lossy(event.path)));
            }
        }
    }

    fn is_busy(&self) -> bool {
        !self.is_idle()
    }

    fn marked() -> Marked {
        Marked::Filesystem(MASK)
    }
}

#[test]
fn histories_that_were_reported_wrongly_over_a_file_system() {
    known::<Filesystems<Simulated>>(&KNOWN);
    known::<Filesystems<Simulated>>(&[
        // Something happens in a directory between the reading of its renames and the look at where it is.
        "0: rename ~d b@0; rename b ~d@0; rename ~d b@0; create b/b@1",
        // A file is there again by another link, whose creation is merged with the first one's.
        "0: link ~f a@0; remove a@0; link ~f a@0",
        // A file is made in a directory from elsewhere while its rename is being handled.
        "1: exchange b ~d/a@0; rename ~d/a c@7; rename ~d a/b@7; create a/b/b@14",
        // A directory that is gone is not exchanged any more.
        "1: exchange a/a ~d@0; exchange a/a ~d@0; rename ~d a/a@0; rename a/a ~a@0",
    ]);
}

#[test]
fn the_rules_have_their_histories_over_a_file_system() {
    rules::<Filesystems<Simulated>>();
}

#[test]
fn every_short_history_of_a_file_system_is_reported_truly() {
    search::<Filesystems<Simulated>>("file system", [3, 3, 32, 300, 0]);
}
