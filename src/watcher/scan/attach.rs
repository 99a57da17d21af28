//! Watches for directories of which the name is known, and what is certain of them then.

use std::collections::HashSet;
use std::io;

use super::{AT_ONCE, Above, Entered, Frame, Task, is_gone};
use crate::backlog::Position;
use crate::ignore::git;
use crate::sys::directory::{Contents, Kind};
use crate::sys::inotify::Wd;
use crate::sys::mask::{IN_DONT_FOLLOW, IN_MASK_ADD, IN_MOVED_TO, IN_ONLYDIR};
use crate::tree::NodeId;
use crate::watcher::{Coverage, State, Watcher, Work};
use crate::world::{At, World};

/// What was seen of a directory when its watch was added.
struct Seen {
    /// The watch.
    result: io::Result<Wd>,
    /// What is certain of its contents.
    contents: Contents,
    /// There may be something in it that git reads.
    has_git: bool,
}

/// A directory, what was seen of it, and what git reads in it.
type Watched = (NodeId, Seen, Option<git::Files>);

impl<W: World> Watcher<W> {
    /// Watches a directory at its place, unless a queued event says that it is not there any more. With it those that are to be watched
    /// next, if they are in the same directory.
    pub(in crate::watcher) fn attach(&mut self, node: NodeId) {
        let Some((parent, task)) = self.attachable(node) else { return };
        if self.is_doubtful(self.tree.wd(parent), self.tree.name(node)) {
            return self.attach_later(node);
        }
        let Some(dir) = self.enter(parent) else { return self.attach_once_open(node, task) };
        let mut nodes = vec![node];
        while let Some(Work::Attach(next)) = self.work.front().filter(|_| nodes.len() < AT_ONCE) {
            let next = *next;
            let is_alike = self.attachable(next) == Some((parent, task)) && !nodes.contains(&next);
            if !is_alike || self.is_doubtful(self.tree.wd(parent), self.tree.name(next)) {
                break;
            }
            self.work.pop_front();
            nodes.push(next);
        }
        // Outside the setup no error ends it.
        let _ = self.attach_all(&Entered::new(parent, None, dir), &nodes, task);
    }

    /// The directory above one that is to be watched cannot be entered: it is not where it was, or the way to it is closed. The latter ends
    /// without an event of either. It is reported once all events of the turn are handled: the path may be that of another until then.
    ///
    /// `rename a b; mkdir -m 0 a`, by another user → MOVED_FROM a, MOVED_TO b: `a/n` is reached as `b/n`
    fn attach_once_open(&mut self, node: NodeId, task: Task) {
        let path = self.system_path(node);
        let tried = if self.is_turn_over { self.world.times(At::Path(&path)).err() } else { None };
        if let Some(error) = tried.filter(|error| !is_gone(error)) {
            self.report_unwatchable(node, error, task);
        }
        self.attach_later(node);
    }

    /// Where a directory is that is to be watched, and why it is; `None` for others.
    fn attachable(&self, node: NodeId) -> Option<(NodeId, Task)> {
        let (announce, by_event) = match self.coverage(node) {
            Coverage::Pending { announce } | Coverage::Unwatchable { announce } => (announce, true),
            Coverage::Hidden => (false, true),
            // Patterns changed, and nothing else.
            Coverage::Ignored if !self.settings.filter.ignores_tree(&self.tree, node) => (false, false),
            _ => return None,
        };
        let parent = self.tree.parent(node).filter(|_| self.tree.is_entry(node))?;
        Some((parent, Task::Arrival { announce, by_event }))
    }

    /// Adds watches for directories in an open one, and reads the queue to the moment of that. A watch that may be of another directory, as
    /// the queue says, is removed again.
    ///
    /// `mkdir t; rename t a; mkdir t`, the first CREATE is handled → the watch is on the second `t`; MOVED_FROM t is queued.
    pub(super) fn attach_all(
        &mut self,
        above: &Above<W::Dir>,
        nodes: &[NodeId],
        task: Task,
    ) -> io::Result<()> {
        let Some(dir) = above.dir() else { return Ok(()) };
        let since = self.queue.end();
        let watched = self.watch_all(&dir, nodes, task)?;
        self.world.sync(At::Dir(&dir));
        self.pull();
        self.discard_git_reading(since);
        let wd = self.tree.wd(above.node);
        let changed = self.queue.events_since(since).map(|event| event.wd).collect();
        self.wait_for_changed(&dir, &watched, &changed, task);
        let mut frames = Vec::new();
        for (node, Seen { result, contents, .. }, git) in watched {
            let is_doubtful = self.is_doubtful(wd, self.tree.name(node));
            let found = match result {
                Ok(wd) => self.settle(node, wd, is_doubtful, since, task),
                Err(error) => {
                    self.fail(node, error, is_doubtful, task);
                    None
                }
            };
            let Some(found) = found else { continue };
            match git {
                // The look at it came after the watch.
                Some(_) if is_doubtful => self.later.push_back(Work::ReadGit(found)),
                Some(git) => drop(self.learn(found, git)),
                None => {}
            }
            let task = self.task_for(node, found, task);
            if is_doubtful || !task.needs_no_visit(contents) {
                frames.push(Frame::Visit { node: found, above: Some(above.clone()), since, task });
            } else if task.lists_files() || task.reports_reading() {
                let is_changed = changed.contains(&self.tree.wd(found));
                let emptying = !is_changed && self.expects_leaving(task);
                self.tree.set_state(found, State { emptying, ..self.tree.state(found) });
                frames.push(Frame::FindEmpty { node: found, since: is_changed.then_some(since), task });
            }
        }
        self.scan.stack.extend(frames.into_iter().rev());
        Ok(())
    }

    /// Adds watches for directories in an open one, without a look at the queue.
    fn watch_all(&mut self, dir: &W::Dir, nodes: &[NodeId], task: Task) -> io::Result<Vec<Watched>> {
        let tells_no_directories = !task.lists_files() && self.world.tells(dir, Contents::NoDirectories);
        let tells_empty = !tells_no_directories && self.world.tells(dir, Contents::Nothing);
        let reads_git = self.settings.filter.reads_git();
        let reads = task == Task::Setup && (!tells_no_directories || reads_git) && !self.is_oneshot();
        let mut watched = Vec::with_capacity(nodes.len());
        for node in nodes {
            let seen = match reads && !(tells_empty && self.is_empty(dir, *node)) {
                true => self.watch_and_read(dir, *node),
                false => self.watch_entry(dir, *node, task, tells_empty || tells_no_directories),
            };
            if let Err(error) = &seen.result {
                if error.kind() == io::ErrorKind::StorageFull && task == Task::Setup {
                    return seen.result.map(|_| watched);
                }
            }
            let has_git = seen.has_git && reads_git && seen.result.is_ok();
            let git = has_git.then(|| self.world.git_files(At::Entry(dir, self.tree.name(*node))));
            watched.push((*node, seen, git));
        }
        Ok(watched)
    }

    /// Whether a new directory is taken for empty although an entry may just be leaving it, of which the event is not queued yet: see
    /// [`State::emptying`]. To wait for that takes longer than all else that a new directory takes.
    fn expects_leaving(&self, task: Task) -> bool {
        task.announces() && !self.is_oneshot() && !W::NAMES_ENTRIES
    }

    /// If a new directory had events between its watch and the look at it, what has left it is known once nobody is changing it.
    ///
    /// `mkdir n; create n/f; watch n; create n/g; unlink n/g; unlink n/f` → CREATE g, DELETE g; n is empty, but DELETE f is not queued yet.
    fn wait_for_changed(&mut self, dir: &W::Dir, watched: &[Watched], changed: &HashSet<Wd>, task: Task) {
        if !self.expects_leaving(task) {
            return;
        }
        for (node, Seen { result, contents, .. }, _) in watched {
            if *contents == Contents::Nothing && result.as_ref().is_ok_and(|wd| changed.contains(wd)) {
                self.world.sync(At::Entry(dir, self.tree.name(*node)));
                self.pull();
            }
        }
    }

    /// Why the directory is visited that was found for a node, which may be known as another.
    fn task_for(&self, node: NodeId, found: NodeId, task: Task) -> Task {
        let is_unread = || self.place_of(node).and_then(|place| self.missed.is_unread(&place));
        match task {
            // It was renamed: what is in it is known.
            _ if found != node => Task::Rescan,
            Task::Rescan if is_unread() == Some(true) => Task::Arrival { announce: true, by_event: true },
            other => other,
        }
    }

    /// Adds a watch for a directory in an open one. `tells` is whether its status may show what is in it.
    fn watch_entry(&mut self, dir: &W::Dir, node: NodeId, task: Task, tells: bool) -> Seen {
        let name = self.tree.name(node);
        let mask = self.kernel_mask() | IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW;
        let result = self.world.watch(At::Entry(dir, name), mask);
        if result.is_err() || !tells {
            return Seen { result, contents: Contents::Unknown, has_git: true };
        }
        // The watch was first: the events report what is made from now on.
        let contents = self.world.contents(At::Entry(dir, name));
        if task.lists_files() && contents == Contents::Nothing && !self.expects_leaving(task) {
            // Those of what has left it before are queued.
            self.world.sync(At::Entry(dir, name));
        }
        Seen { result, contents, has_git: contents != Contents::Nothing }
    }

    fn is_empty(&mut self, dir: &W::Dir, node: NodeId) -> bool {
        self.world.contents(At::Entry(dir, self.tree.name(node))) == Contents::Nothing
    }

    /// The same in the setup where only reading shows what is in it. Most directories have no directory in them: of those its own
    /// reading is not reported, and they need no visit. Nor have most anything of git's, which reading shows at a lower cost than
    /// looking up each name.
    fn watch_and_read(&mut self, dir: &W::Dir, node: NodeId) -> Seen {
        let name = self.tree.name(node);
        // An operand before may be watched there already, with all events.
        let mask = self.scan_mask(Task::Setup) | IN_ONLYDIR;
        let result = self.world.watch(At::Entry(dir, name), mask | IN_DONT_FOLLOW | IN_MASK_ADD);
        let unknown = Seen { result, contents: Contents::Unknown, has_git: true };
        let Ok(wd) = unknown.result else { return unknown };
        if self.tree.find(wd).is_some() {
            return unknown;
        }
        let Ok(opened) = self.world.open(At::Entry(dir, name)) else { return unknown };
        let (mut has_directories, mut has_git) = (false, false);
        let listed = self.world.list(&opened, &mut |name, kind| {
            has_directories |= kind == Kind::Directory;
            has_git |= git::is_entry(name);
        });
        let is_leaf = listed.is_ok() && !has_directories && self.world.close_inside(opened);
        // Another may have taken its place before it was opened.
        let is_leaf = is_leaf && self.watched_at(At::Inside, wd, self.kernel_mask()) == Some(wd);
        let contents = if is_leaf { Contents::NoDirectories } else { Contents::Unknown };
        Seen { result: Ok(wd), contents, has_git: has_git || listed.is_err() }
    }

    /// A name in a directory is watched as `wd`: returns the node to visit.
    fn settle(
        &mut self,
        node: NodeId,
        wd: Wd,
        is_doubtful: bool,
        since: Position,
        task: Task,
    ) -> Option<NodeId> {
        match self.tree.find(wd) {
            Some(known) => self.meet(node, known, is_doubtful, task),
            None if is_doubtful && !self.is_certain(node, wd, since) => {
                self.world.unwatch(wd);
                // Its IGNORED is queued. Those of many watches, left unread, overflow the queue, and the comparison that follows removes
                // watches here again.
                self.pull();
                self.postpone(node, task);
                None
            }
            None => {
                self.tree.set_wd(node, wd);
                if self.coverage(node) == Coverage::Hidden {
                    self.make_up_entry(node, IN_MOVED_TO);
                }
                let state = self.tree.state(node);
                self.tree.set_state(node, State { coverage: Coverage::Watched, emptying: false, ..state });
                self.refused.begin_again(|| self.world.clock());
                self.try_refused();
                if self.scan.is_rescan() {
                    self.scan.met.insert(node);
                }
                match task.announces() {
                    true => self.renames.announce_origin_end = self.queue.end(),
                    false => self.missed.find(node),
                }
                Some(node)
            }
        }
    }

    /// Whether a new watch is of the directory that was at its place, although the next of the queued events of the name takes it away.
    fn is_certain(&self, node: NodeId, wd: Wd, since: Position) -> bool {
        self.place_of(node).is_some_and(|place| self.queue.goes_next(wd, &place, since))
    }

    /// At the place of a node a directory is found that is watched already, as another node.
    fn meet(&mut self, node: NodeId, known: NodeId, is_doubtful: bool, task: Task) -> Option<NodeId> {
        if is_doubtful {
            self.attach_later(node);
            return None;
        }
        let (parent, name) = (self.tree.parent(node)?, self.tree.name(node).to_vec());
        let wd = self.tree.wd(known);
        let is_above = self.tree.is_within(parent, known);
        let moves_on = self.queue.self_events_ahead(wd);
        if self.scan.is_rescan()
            && !is_above
            && !moves_on
            && self.tree.parent(known).is_some()
            && self.scan.met.insert(known)
        {
            self.report_renamed(known, parent, &name);
            self.tree.remove(node);
            self.tree.relink(known, parent, &name);
            self.path_of = None;
            return Some(known);
        }
        let is_listed = matches!(task, Task::Arrival { by_event: false, .. });
        let is_retiring = self.is_retiring(known);
        if self.tree.parent(known).is_none() && self.tree.path(known) == self.tree.path(node) {
            // An operand that was given before the one that it is in: it is renamed with the rest.
            self.tree.remove(node);
            self.tree.relink(known, parent, &name);
        } else if moves_on && (is_listed || !is_retiring) {
            let has_event = task.is_arrival() && !is_listed;
            self.cover(node, Coverage::Arriving { announce: task.announces(), has_event });
            self.scan.arriving.insert(wd, (node, self.queue.end()));
        } else if is_retiring && (is_above || task.announces())
            || self.tree.way_up(known).any(|above| self.has_left(above, self.queue.start()))
        {
            // It is reported as new once its watches are removed, which is at the end of the turn.
            self.attach_later(node);
        } else {
            // One that returns before its watches are removed. Otherwise a bind mount, or an operand by another path: the same inode is
            // one watch, under its first name.
            self.tree.remove(node);
            if is_retiring {
                self.bring_back(known, parent, &name);
                self.report_reading(known, task);
            }
        }
        None
    }

    /// A directory could not be watched.
    fn fail(&mut self, node: NodeId, error: io::Error, is_doubtful: bool, task: Task) {
        if is_doubtful {
            return self.postpone(node, task);
        }
        if is_gone(&error) {
            // No event of the name is queued any more: a file has come there, or the departure was merged with another, for the kernel
            // merges equal neighbours, whatever their cookies.
            self.tree.remove(node);
            return self.try_refused();
        }
        if error.kind() == io::ErrorKind::StorageFull {
            self.announce_later(node, task);
            if !self.refused.add(node, || self.world.clock()) {
                return;
            }
            return self.report_problem(node, error, task);
        }
        self.try_refused();
        self.report_unwatchable(node, error, task);
    }

    /// A directory cannot be watched, which is reported once.
    fn report_unwatchable(&mut self, node: NodeId, error: io::Error, task: Task) {
        let is_known = matches!(self.coverage(node), Coverage::Unwatchable { .. });
        self.cover(node, Coverage::Unwatchable { announce: task.announces() });
        if !is_known {
            self.report_problem(node, error, task);
        }
    }

    /// A directory is to be watched once the queued events of its name have been handled.
    fn postpone(&mut self, node: NodeId, task: Task) {
        self.announce_later(node, task);
        self.attach_later(node);
    }

    /// A directory gets no watch in the comparison after an overflow. The dates of what is in it are not compared any more once it does:
    /// all of it is news, unless the directory was known before.
    fn announce_later(&mut self, node: NodeId, task: Task) {
        let Some(place) = self.place_of(node).filter(|_| task == Task::Rescan) else { return };
        let announce = self.missed.is_unread(&place).unwrap_or(true);
        self.cover(node, Coverage::Pending { announce });
    }

    /// Tries the next of the directories that got no watch: a watch has ended, or the one before did not need it.
    pub(in crate::watcher) fn try_refused(&mut self) {
        while let Some(node) = self.refused.take() {
            if self.attachable(node).is_some() {
                return self.work.push_back(Work::Attach(node));
            }
        }
    }
}
