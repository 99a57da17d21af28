//! What a user meets first: help, version, and the plainest mistakes.

#![allow(clippy::unwrap_used)]

use std::os::unix::process::CommandExt;
use std::process::Command as StdCommand;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_match, starts_with};

fn tool(name: &str) -> Command {
    let mut command = Command::cargo_bin(name).unwrap();
    command.timeout(std::time::Duration::from_secs(20));
    command
}

/// The tool, called by another name.
fn called(name: &str, argv0: &str) -> Command {
    let mut command = StdCommand::new(assert_cmd::cargo::cargo_bin(name));
    command.arg0(argv0);
    let mut command = Command::from_std(command);
    command.timeout(std::time::Duration::from_secs(20));
    command
}

/// Each of the four names, and the tool that has it.
const NAMES: [(&str, &str); 4] = [
    ("inotifywait", "inotifywait"),
    ("inotifywatch", "inotifywatch"),
    ("fsnotifywait", "inotifywait"),
    ("fsnotifywatch", "inotifywatch"),
];

#[test]
fn the_version_has_four_numbers() {
    for (name, of) in NAMES {
        let line = format!(r"^{name} \d+\.\d+\.\d+\.\d+\n$");
        for option in ["--version", "-V"] {
            called(of, name).arg(option).assert().code(0).stdout(is_match(&*line).unwrap()).stderr("");
        }
    }
}

#[test]
fn the_help_begins_with_the_version_and_ends_with_the_events() {
    for (name, of) in NAMES {
        let first = format!("{name} {}.0\n", env!("CARGO_PKG_VERSION"));
        for option in ["-h", "--help", "-help", "--he"] {
            let events = is_match("\nEvents:\n(\t[a-z_]+ .*\n)+$").unwrap();
            let help = starts_with(&first).and(events).and(contains("\nExit status:\n"));
            called(of, name).arg(option).assert().code(1).stdout(help).stderr("");
        }
    }
}

#[test]
fn the_help_has_the_default_of_each_name() {
    for (name, of) in NAMES {
        let default = if name.starts_with('f') { "fanotify" } else { "inotify" };
        let line = format!("--{default} .*[(]the default[)]\n");
        let help = is_match(&*line).unwrap().and(contains("(the default)").count(1));
        let help = help.and(contains("\t-S, --filesystem ")).and(contains("\t-M, --mount "));
        called(of, name).arg("-h").assert().code(1).stdout(help).stderr("");
    }
}

#[test]
fn the_name_follows_the_path() {
    for (argv0, of, first) in [
        ("-fsnotifywait", "inotifywait", "fsnotifywait "),
        ("/usr/local/bin/fsnotifywait", "inotifywait", "fsnotifywait "),
        ("./fsnotifywatch", "inotifywatch", "fsnotifywatch "),
        ("fsnotifywait/inotifywait", "inotifywait", "inotifywait "),
        ("fsnotifywait.distrib", "inotifywait", "fsnotifywait "),
        ("fsnotifywait", "inotifywatch", "fsnotifywatch "),
        ("xfsnotifywait", "inotifywait", "inotifywait "),
        ("", "inotifywait", "inotifywait "),
    ] {
        called(of, argv0).arg("-V").assert().code(0).stdout(starts_with(first)).stderr("");
        // Complaints are by the name as it was typed.
        let complaint = format!("{argv0}: unrecognized option '--zzz'\n");
        called(of, argv0).arg("--zzz").assert().code(1).stdout("").stderr(complaint);
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
        ("inotifywait", &["-SS", "/"], "Multiple --filesystem options given.\n"),
        ("inotifywatch", &["--mount", "-M", "/"], "Multiple --mount options given.\n"),
        ("inotifywait", &["-SM", "/"], "-S and -M cannot both be specified.\n"),
        ("inotifywatch", &["-IS", "/"], "-I and -S cannot both be specified.\n"),
        ("inotifywait", &["/no/such/path"], "Couldn't watch /no/such/path: No such file or directory\n"),
        ("inotifywatch", &["/no/such/path"], "Failed to watch /no/such/path: No such file or directory\n"),
    ] {
        tool(name).args(arguments).assert().code(1).stdout("").stderr(contains(words));
    }
}

#[test]
fn a_negative_timeout_with_fanotify_is_an_error_after_setup() {
    const ABORT: &str = "Negative timeout specified - abort!\n";
    // -S and -M need root.
    let options: &[&str] = if nix::unistd::geteuid().is_root() { &["-F", "-S", "-M"] } else { &["-F"] };
    let directory = tempfile::tempdir().unwrap();
    let mut lines: Vec<(&str, &str)> = options.iter().map(|option| ("", *option)).collect();
    lines.extend([("fsnotify", "-r"), ("/opt/fsnotifywait.distrib", "-m")]);
    for (argv0, option) in lines {
        for (of, established) in [
            ("inotifywait", "Watches established.\n"),
            ("inotifywatch", "Finished establishing watches, now collecting statistics.\n"),
        ] {
            if (of, option) == ("inotifywatch", "-m") {
                continue;
            }
            let argv0 = if argv0.is_empty() { of } else { argv0 };
            let mut command = called(of, argv0);
            let end = format!("{established}{ABORT}");
            command.args(["-t", "-0.5", option]).arg(directory.path());
            command.assert().code(1).stdout("").stderr(predicates::str::ends_with(end));
        }
    }
    let mut quiet = called("inotifywait", "fsnotifywait");
    quiet.args(["-qt-1", "."]).assert().code(1).stdout("").stderr(ABORT);
}
