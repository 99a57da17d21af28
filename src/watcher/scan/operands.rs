//! Where a scan begins, and how many watches it needs.

use std::borrow::Cow;
use std::io;

use super::{Frame, Task};
use crate::fanotify::absolute_path;
use crate::sys::directory::Kind;
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_DONT_FOLLOW, IN_MASK_ADD};
use crate::tree::Tree;
use crate::watcher::{State, Watcher};
use crate::world::{At, World};

impl<W: World> Watcher<W> {
    /// Watches an operand. ENOSPC means the limit max_user_watches. With `-r`, the directories below it follow by
    /// [`scan_on`](Self::scan_on); what is in one that is `new` is reported.
    pub(in crate::watcher) fn watch_operand(&mut self, operand: &[u8], new: bool) -> io::Result<()> {
        let task = if new { Task::Arrival { announce: true, by_event: true } } else { Task::Setup };
        let recursive = self.settings.recursive;
        let path = self.real(operand).into_owned();
        let mut directory = match self.world.is_directory(&path, recursive) {
            // Also with -P: where a link leads decides whether there is a tree to watch.
            Err(error) if recursive => return Err(error),
            found => found.unwrap_or(false),
        };
        let mut name = Cow::Borrowed(operand);
        // An operand before may be watched there already, with all events.
        let mut mask = self.kernel_mask() | IN_MASK_ADD;
        if directory && recursive {
            // With the slash a link is followed whatever -P says, as in the reference.
            if operand.last() != Some(&b'/') {
                name.to_mut().push(b'/');
            }
            mask = self.scan_mask(task) | IN_MASK_ADD;
        } else if !self.settings.follow {
            mask |= IN_DONT_FOLLOW;
        }
        let path = self.real(&name).into_owned();
        let mut place = Cow::Borrowed(operand);
        if let Some(found) = self.world.operand_path(&path, !mask.has(IN_DONT_FOLLOW))? {
            directory = self.world.is_directory(&found, false).unwrap_or(false);
            place = found.into();
        }
        let wd = self.world.watch(At::Path(&path), mask)?;
        // The same inode twice is one watch, under its first name.
        if let Some(node) = self.tree.find(wd) {
            self.tree.set_state(node, State { operand: true, ..self.tree.state(node) });
        } else {
            let recursive = directory && recursive;
            let state = State { directory, recursive, initial: true, operand: true, ..State::default() };
            let node = self.tree.insert(None, &place, wd, state);
            if directory {
                self.read_git_of_operand(node);
            }
            if recursive {
                let since = self.queue.end();
                self.scan.stack.push(Frame::Visit { node, above: None, since, task });
            }
        }
        Ok(())
    }

    /// The number of watches that the operands need. Reads the whole tree.
    pub(in crate::watcher) fn count_needed(&mut self, operands: &[Vec<u8>]) -> usize {
        let mut needed = 0;
        for operand in operands {
            needed += 1;
            let state = State { directory: true, recursive: true, initial: true, ..State::default() };
            let (mut tree, mut filter) = (Tree::default(), self.settings.filter.clone());
            let top = tree.insert(None, operand, Wd::NONE, state);
            if let (Some(ignore), Ok(real)) =
                (filter.ignore(), absolute_path(&self.settings.base, operand, true))
            {
                ignore.forget_all();
                ignore.learn_operand(&tree, top, &real);
            }
            let mut pending = vec![top];
            while let Some(node) = pending.pop().filter(|_| self.settings.recursive) {
                let real = self.real(&tree.path(node)).into_owned();
                let Ok(dir) = self.world.open(At::Path(&real)) else { continue };
                let git = (filter.reads_git() && node != top).then(|| self.world.git_files(At::Dir(&dir)));
                if let (Some(ignore), Some(git)) = (filter.ignore(), git) {
                    ignore.learn(&tree, node, git);
                }
                // What cannot be listed has been reported.
                let _ = self.world.list(&dir, &mut |name, kind| {
                    if kind != Kind::Directory {
                        return;
                    }
                    let below = tree.insert(Some(node), name, Wd::NONE, state);
                    if !filter.leaves_out(&tree.path(below)) && !filter.ignores_tree(&tree, below) {
                        needed += 1;
                        pending.push(below);
                    }
                });
            }
        }
        needed
    }
}
