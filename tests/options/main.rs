//! The options that inotify-tools 3.22 does not have, through the programs themselves.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod file_type;
mod gitignore;
mod ignore;
mod intervals;
mod limits;
mod names;
mod ready;
mod records;
mod settle;
mod until;
mod who;

use std::path::Path;

use common::{Running, command};

/// A usage error: this message alone, and status 1.
#[track_caller]
fn refuses(tool: &str, line: &str, message: &str) {
    let words = line.split(' ').filter(|word| !word.is_empty());
    Running::start(command(Path::new("/"), common::binary(tool), words))
        .finish()
        .code(1)
        .printed("")
        .said(message);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (line, message) in [
        ("--max-delay 1 p", "--max-delay cannot be specified without --debounce.\n"),
        ("--batch-marker p", "--batch-marker cannot be specified without --debounce.\n"),
        (
            "--debounce 1 --batch-marker --no-newline --format %w p",
            "--batch-marker and --no-newline cannot both be specified.\n",
        ),
        (
            "--batch-marker --max-delay 1 -0 --json -c p",
            "--max-delay cannot be specified without --debounce.\n",
        ),
        ("--debounce 0 p", "'0' is not a valid number of seconds.\n"),
        ("--debounce -1 p", "'-1' is not a valid number of seconds.\n"),
        ("--debounce 1,5 p", "'1,5' is not a valid number of seconds.\n"),
        ("--debounce 1 --max-delay= p", "'' is not a valid number of seconds.\n"),
        ("--type x p", "'x' is not a valid type!  Use 'file' or 'dir'.\n"),
        ("--type DIR p", "'DIR' is not a valid type!  Use 'file' or 'dir'.\n"),
        ("-0 --no-newline --format %w p", "-0 and --no-newline cannot both be specified.\n"),
        ("--json -c p", "-c and --json cannot both be specified.\n"),
        ("--json --format %w p", "--json and --format cannot both be specified.\n"),
        ("--json --format %w -c p", "-c and --format cannot both be specified.\n"),
        ("-0 --no-newline p", "--no-newline cannot be specified without --format.\n"),
        ("-d -o out --ready 1 p", "-d and --ready cannot both be specified.\n"),
        ("--ready x p", "'x' is not a valid descriptor!  Use a number or 'systemd'.\n"),
        ("--ready -1 p", "'-1' is not a valid descriptor!  Use a number or 'systemd'.\n"),
        ("--ready= p", "'' is not a valid descriptor!  Use a number or 'systemd'.\n"),
        ("--ready=99999999999 p", "'99999999999' is not a valid descriptor!  Use a number or 'systemd'.\n"),
        ("--ready 7 p", "Descriptor 7 is not open for writing.\n"),
        (
            "--format %{tiem} p",
            "%{tiem} in --format string is unknown; known are %{comm}, %{pid} and %{time}.\n",
        ),
    ] {
        refuses("inotifywait", line, message);
    }
    for text in ["0", "-1", "x", "1.5", "", " 1", "+1"] {
        let message = format!("'{text}' is not a valid number of rows.\n");
        let end =
            Running::start(command(Path::new("/"), common::binary("inotifywatch"), ["--top", text, "p"]));
        end.finish().code(1).printed("").said(message);
    }
    refuses("inotifywatch", "--interval 0 p", "'0' is not a valid number of seconds.\n");
    refuses("inotifywatch", "--top 1 --limits", "--top and --limits cannot both be specified.\n");
    refuses("inotifywatch", "--ready 7 p", "Descriptor 7 is not open for writing.\n");
}

#[test]
fn no_new_option_is_an_abbreviation() {
    for (tool, line, hint) in [
        ("inotifywait", "--prin", "Did you mean '--print0'?\n"),
        ("inotifywait", "--js", "Did you mean '--json'?\n"),
        ("inotifywatch", "--rea", "Did you mean '--ready'?\n"),
    ] {
        let message = format!("{}: unrecognized option '{line}'\n{hint}", common::binary(tool));
        refuses(tool, line, &message);
    }
}
