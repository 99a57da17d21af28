//! Whole file systems through fanotify: what `-F -r`, `-S` and `-M` print, for real, as root.
//!
//! The kernel's queue has no limit here, so no test can make it overflow; that of inotify and of an ordinary user's
//! fanotify can.

// What cannot be had here makes a test fail, and panicking is how.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod filesystems;
mod filters;
mod mounts;
mod programs;
mod renames;
mod scopes;
mod story;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Own, Running, command, contains, need, run, wait_until, with_small_cookies};
use nix::sys::signal::Signal;

/// What changes entries, and the directories themselves.
const CHANGES: &str = "create,delete,move,delete_self,move_self";

/// A file system and, with `ready`, a program that runs in a name space of mounts of its own.
struct Space {
    dir: Own,
    /// Done first, as root, by `sh -e` in the directory and the name space.
    setup: String,
}

impl Space {
    /// In which a script has been run; `None` where this needs what is not there.
    fn new(setup: &str) -> Option<Space> {
        let dir = if need("nsenter") { Own::new() } else { None };
        dir.map(|dir| Space { dir, setup: setup.into() })
    }

    /// `inotifywait` with these arguments in there, whose watches stand.
    #[track_caller]
    fn watch(&self, arguments: &[&str]) -> Running {
        Running::ready(self.tool("inotifywait", arguments))
    }

    /// The same with `-m` and lines of `%w %e %f %c`.
    #[track_caller]
    fn monitor(&self, arguments: &[&str]) -> Running {
        self.watch(&[&["-F", "-m", "--format", "%w %e %f %c"], arguments].concat())
    }

    /// A program, to be started in there.
    fn tool(&self, tool: &str, arguments: &[&str]) -> Command {
        let script = format!("{}\nexec \"$@\"", self.setup);
        let mut outer = command(self.path(), "unshare", ["-m", "sh", "-ec", &script, "sh"]);
        outer.arg(common::binary(tool)).args(arguments);
        outer
    }

    /// Whether the setup succeeds, tried by itself.
    fn can_set_up(&self) -> (bool, String) {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &self.setup]).current_dir(self.path());
        let (output, text) = run(&mut command);
        self.clean_up();
        (output.status.success(), text)
    }

    /// Removes what the setup has left in the directory.
    fn clean_up(&self) {
        for entry in fs::read_dir(self.path()).unwrap().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a script where a program is; whether it succeeded.
    fn tries(&self, running: &Running, script: &str) -> (bool, String) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &running.pid().to_string(), "-m", "sh", "-ec"]);
        command.arg(format!("cd '{}'; {script}", self.path().display()));
        let (output, text) = run(&mut command);
        (output.status.success(), text)
    }

    /// Runs a script, which succeeds.
    #[track_caller]
    fn does(&self, running: &Running, script: &str) {
        let (success, text) = self.tries(running, script);
        assert!(success, "{text}");
    }

    /// The same while the program is stopped, so that it finds all of it unread.
    #[track_caller]
    fn does_unread(&self, running: &mut Running, script: &str) {
        stopped(running, |running| self.does(running, script));
    }

    /// What was printed by the time that all that happened before is: the lines, without the way to the directory.
    #[track_caller]
    fn lines(&self, running: &mut Running, watched: &str) -> Vec<String> {
        self.does(running, &format!("mkdir {watched}/the-end"));
        let end = format!("{}/{watched}/ CREATE,ISDIR the-end", self.path().display());
        running.expect("the end", |lines| lines.iter().any(|line| line.starts_with(&end)));
        running.wait_asleep();
        self.does(running, &format!("rmdir {watched}/the-end"));
        running.wait_asleep();
        let prefix = format!("{}/", self.path().display());
        let mut lines = running.stdout.lines();
        lines.retain(|line| !line.contains("/the-end/") && !line.contains(" the-end"));
        let mut lines: Vec<String> =
            lines.iter().map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned()).collect();
        ends_first(&mut lines);
        with_small_cookies(lines, ' ')
    }

    /// These lines were printed, and no others.
    #[track_caller]
    fn printed(&self, running: &mut Running, watched: &str, wanted: &[&str]) {
        let lines = self.lines(running, watched);
        expect_lines(running, &lines, wanted);
        if !contains(&running.stderr.bytes(), b"stablish") || running.stderr.lines().len() > 2 {
            running.fail("it said something");
        }
    }
}

/// These are the lines, and no others.
#[track_caller]
fn expect_lines(running: &mut Running, lines: &[String], wanted: &[&str]) {
    if lines != wanted {
        running.fail(&format!("wanted:\n{}\ngot:\n{}\n", wanted.join("\n"), lines.join("\n")));
    }
}

/// A directory ends before it is an entry no more, unless somebody looks at it just then, be it the program or another
/// test's: then right behind. Puts the end in front.
fn ends_first(lines: &mut [String]) {
    for at in 1..lines.len() {
        let entry = lines[at - 1].replacen(" DELETE,ISDIR ", "", 1);
        let end = format!("{}/ DELETE_SELF,ISDIR  0", entry.trim_end_matches(" 0"));
        if lines[at - 1].contains(" DELETE,ISDIR ") && lines[at] == end {
            lines.swap(at - 1, at);
        }
    }
}

/// Stops a program for as long as something happens.
#[track_caller]
fn stopped(running: &mut Running, happens: impl FnOnce(&Running)) {
    running.signal(Signal::SIGSTOP);
    let status = format!("/proc/{}/status", running.pid());
    let stops = || fs::read_to_string(&status).is_ok_and(|status| status.contains("State:\tT"));
    assert!(wait_until(stops), "it does not stop");
    happens(running);
    running.signal(Signal::SIGCONT);
}
