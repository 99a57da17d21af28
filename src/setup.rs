//! Setting up the watches, alike in both programs: operand by operand, with what went wrong said and, where
//! somebody looks on, how far it is.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::error::{Error, failing};
use crate::fanotify::absolute_in_part;
use crate::fanotify::filesystem::Filesystems;
use crate::messages::{self, Messages};
use crate::names::Names;
use crate::names::files::InotifyFiles;
use crate::source::{Interface, Problem, Scope, Settings, Source};
use crate::sys::terminal;
use crate::watcher::Watcher;
use crate::world::{InotifyWorld, MarksWorld};

/// A set-up that is over before this needs no word.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the count is renewed.
const RENEWAL: Duration = Duration::from_millis(100);
/// Erases the terminal's line: to its beginning, and clear from there (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// The source that the settings ask for.
pub fn source(mut settings: Settings, operands: &[Vec<u8>]) -> Result<Box<dyn Source>, Error> {
    let interface = settings.interface;
    let base = settings.base.clone();
    settings.filter.locate_hidden(operands, |path, follow| absolute_in_part(&base, path, follow));
    let no_queue = |cause| Error::no_queue(interface, cause);
    if let Interface::Fanotify(scope) = interface {
        match Filesystems::new(scope, settings, operands).map_err(no_queue)? {
            Ok(filesystems) => return Ok(Box::new(filesystems)),
            Err(unused) => settings = unused,
        }
    }
    if settings.by_name {
        return Ok(Box::new(Names::new(InotifyFiles::new().map_err(no_queue)?, settings)));
    }
    Ok(match settings.interface {
        Interface::Inotify => {
            let world = InotifyWorld::new().map_err(no_queue)?;
            let world = if settings.recursive { world.with_mounts() } else { world };
            Box::new(Watcher::new(world, settings))
        }
        Interface::Fanotify(_) => {
            settings.filter.resolve_paths(|path, follow| absolute_in_part(&base, path, follow));
            let world = MarksWorld::new(!settings.recursive).map_err(no_queue)?;
            let world = if settings.recursive { world.with_mounts() } else { world };
            Box::new(Watcher::new(world, settings))
        }
    })
}

/// The time of the set-up.
pub struct SetUp<'a> {
    messages: &'a Messages,
    operands: &'a [Vec<u8>],
    /// No word about directories that cannot be watched, nor about how far it is.
    quiet: bool,
    interface: Interface,
    /// The program's own words for what failed.
    failure: &'static str,
    /// When to show the count, where stderr is a terminal.
    next: Option<Instant>,
    /// The count that is shown now.
    shown: Option<usize>,
}

impl<'a> SetUp<'a> {
    /// Of these operands.
    pub fn new(
        messages: &'a Messages,
        operands: &'a [Vec<u8>],
        quiet: bool,
        interface: Interface,
        failure: &'static str,
    ) -> SetUp<'a> {
        let failure = match interface {
            Interface::Fanotify(Scope::Filesystem) => messages::NO_FILESYSTEM_WATCH,
            Interface::Fanotify(Scope::Mount) => messages::NO_MOUNT_WATCH,
            _ => failure,
        };
        let looked_at = !quiet && messages.go_to_stderr() && terminal::is_terminal(&io::stderr());
        let next = looked_at.then(|| Instant::now() + PATIENCE);
        SetUp { messages, operands, quiet, interface, failure, next, shown: None }
    }

    /// Watches an operand, with `-r` all below it. Before each directory `go_on` is asked: it may have something
    /// to say. Its error ends the set-up, as does an operand that cannot be watched.
    pub fn watch(
        &mut self,
        source: &mut dyn Source,
        operand: &[u8],
        mut go_on: impl FnMut() -> Result<Option<&'static str>, Error>,
    ) -> Result<(), Error> {
        let mut more = source.watch(operand).map(|()| true);
        while let Ok(true) = more {
            let word = go_on().inspect_err(|_| self.erase())?;
            if let Some(word) = word {
                self.erase();
                self.messages.inform(word);
            }
            self.show(source.watches());
            more = source.walk();
        }
        self.erase();
        while let Some(problem) = source.problem() {
            if let Problem::Blocked { path, cause } = problem {
                return Err(failing("Couldn't watch", &path)(cause));
            }
            self.messages.problem(&problem, self.quiet);
        }
        let needed = || source.needed(self.operands);
        more.map(drop).map_err(|cause| Error::operand(self.failure, operand, cause, self.interface, needed))
    }

    fn show(&mut self, directories: usize) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now < next || self.shown == Some(directories) {
            return;
        }
        (self.next, self.shown) = (Some(now + RENEWAL), Some(directories));
        // Where that fails nobody looks on.
        let _ = io::stderr().write_all(format!("{ERASE}{}", messages::watched(directories)).as_bytes());
    }

    fn erase(&mut self) {
        if self.shown.take().is_some() {
            let _ = io::stderr().write_all(ERASE.as_bytes());
        }
    }
}
