//! What a user meets first: help, version, and the plainest mistakes.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_match, starts_with};

fn tool(name: &str) -> Command {
    let mut command = Command::cargo_bin(name).unwrap();
    command.timeout(std::time::Duration::from_secs(20));
    command
}

#[test]
fn the_version_has_four_numbers() {
    for name in ["inotifywait", "inotifywatch"] {
        let line = format!(r"^{name} \d+\.\d+\.\d+\.\d+\n$");
        for option in ["--version", "-V"] {
            tool(name).arg(option).assert().code(0).stdout(is_match(&*line).unwrap()).stderr("");
        }
    }
}

#[test]
fn the_help_begins_with_the_version_and_ends_with_the_events() {
    for name in ["inotifywait", "inotifywatch"] {
        let first = format!("{name} {}.0\n", env!("CARGO_PKG_VERSION"));
        for option in ["-h", "--help", "-help", "--he"] {
            let events = is_match("\nEvents:\n(\t[a-z_]+ .*\n)+$").unwrap();
            let help = starts_with(&first).and(events).and(contains("\nExit status:\n"));
            tool(name).arg(option).assert().code(1).stdout(help).stderr("");
        }
    }
}

#[test]
fn a_usage_error_is_never_taken_for_a_timeout() {
    for (name, arguments, words) in [
        ("inotifywait", &[][..], "No files specified to watch!\n"),
        ("inotifywatch", &[], "No files specified to watch!\n"),
        ("inotifywait", &["--no-such-option", "/"], "unrecognized option '--no-such-option'\n"),
        ("inotifywatch", &["-Z", "/"], "invalid option -- 'Z'\n"),
        ("inotifywait", &["-t"], "option requires an argument -- 't'\n"),
        ("inotifywait", &["-t", "soon", "/"], "'soon' is not a valid timeout value.\n"),
        ("inotifywait", &["-e", "nothing", "/"], "'nothing' is not a valid event!"),
        ("inotifywait", &["--exclude", "*", "/"], "Error in `exclude' regular expression.\n"),
        ("inotifywait", &["/no/such/path"], "Couldn't watch /no/such/path: No such file or directory\n"),
        ("inotifywatch", &["/no/such/path"], "Failed to watch /no/such/path: No such file or directory\n"),
    ] {
        tool(name).args(arguments).assert().code(1).stdout("").stderr(contains(words));
    }
}
