//! The same table over fanotify: fsnotifywait against the reference's fsnotifywait, as root, each case on a file
//! system of its own.
//!
//! Which events the kernel merges into one, and in which order it then names them, is chance. So the watcher is waited
//! for after every step, and what it told of the step is compared: which events of which entries.

use std::collections::BTreeSet;

use regex::bytes::Regex;

use super::{Case, End, Program, Tool};
use crate::ops::Op;
use crate::run::{contains, replace};

/// What the end of a step is shown as.
const END: &str = "==\n";

/// Where the directories of these cases are made, in the test's own mount namespace: their absolute paths are what
/// --exclude and --include look at, so there is nothing in it that a case looks for.
pub const BASE: &str = "/srv";

/// Those of the cases that ask something of fanotify.
pub fn cases(inotify: &[Case]) -> Vec<Case> {
    let unprivileged = super::once("filesystem-unprivileged", "-S d").nobody();
    inotify.iter().filter(|case| makes_sense(case)).chain([&unprivileged]).map(over_fanotify).collect()
}

/// Left out is what does not go through fanotify, what needs a name space of its own, and what shows by chance: how
/// events were merged, and whether the reference still finds the path of a directory that is being removed.
fn makes_sense(case: &Case) -> bool {
    let elsewhere = ["help-", "proc", "fanotify-", "new-", "outfile-", "format-", "time-", "regex-"];
    let merged = ["event-default-csv", "event-default-format", "csv-own"];
    // A whole file system has one watch.
    let of_watches = ["event-oneshot-recursive-monitor"];
    let removed = ["monitor-r-root-removed", "monitor-r-root-removed-last", "monitor-r-root-removed-create"];
    // A line of which nobody knows whether it is of one event or of several.
    let has = |option: &[u8]| case.args.iter().any(|arg| arg.starts_with(option));
    let several = |op: &Op| {
        matches!(
            op,
            Op::Touch(_) | Op::Write(..) | Op::Append(..) | Op::Truncate(_) | Op::Read(_) | Op::Unlink(_)
        )
    };
    let one_line = !has(b"-m") && !has(b"-e") && !has(b"--ev") && case.ops.iter().any(several);
    (case.program.tool == Tool::Wait || case.name.starts_with("table-usage-"))
        && !(case.nobody || case.mounts || case.syslog || case.daemon || case.shell.is_some())
        && !case.ops.iter().any(|op| matches!(op, Op::CloseReader | Op::Signal(_)))
        && !elsewhere.iter().any(|prefix| case.name.starts_with(prefix))
        && !merged.iter().chain(&of_watches).chain(&removed).any(|name| case.name == *name)
        && !one_line
}

fn over_fanotify(case: &Case) -> Case {
    let program = Program { fanotify: true, ..case.program };
    let mut case =
        Case { name: format!("fsnotify-{}", case.name), program, argv0: program.name(), ..case.clone() };
    if let End::Sentinel(_) = case.end {
        case.end = End::Quiet;
    }
    for op in &mut case.ops {
        if matches!(op, Op::Watched(_) | Op::WatchCount(_)) {
            *op = Op::Quiet;
        }
    }
    differing(case)
}

/// What ours tells of each step, below the case's directory.
type Steps = &'static [&'static [&'static str]];

/// Ours tells something else.
const OTHERWISE: &[(&str, Steps)] = &[
    ("event-attrib-own", &[&["d/ ATTRIB a"], &[], &["d/ ATTRIB b"], &["d/ ATTRIB,ISDIR "]]),
    ("event-move_self-own", &[&[], &["d/ MOVE_SELF b"]]),
    ("event-delete_self-own", &[&[], &[], &["d/ DELETE_SELF b"]]),
    (
        "event-own-default",
        &[
            &["d/ CLOSE_WRITE a", "d/ MODIFY a", "d/ OPEN a"],
            &["d/ ACCESS a", "d/ CLOSE_NOWRITE a", "d/ OPEN a"],
            &["d/ CLOSE_WRITE a", "d/ MODIFY a", "d/ OPEN a"],
            &["d/ ATTRIB a"],
            &["d/ ATTRIB a"],
            &["d/ ATTRIB a"],
            &["d/ ATTRIB a"],
            &["d/ MOVE_SELF b"],
            &["d/ CLOSE_WRITE b", "d/ MODIFY b", "d/ OPEN b"],
            &["d/ ATTRIB b", "d/ DELETE_SELF b"],
        ],
    ),
    ("name-newline-csv", &[&["d/,\"CREATE,ISDIR\",\"a\nb\""]]),
    ("name-newline-only-csv", &[&["d/,\"CREATE,ISDIR\",\"\n\""]]),
    ("name-quote-csv", &[&["d/,\"CREATE,ISDIR\",\"a\"\"b\""]]),
    ("name-comma-csv", &[&["d/,\"CREATE,ISDIR\",\"a,b\""]]),
    ("at-other-spelling", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-other-spelling-2", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-other-spelling-3", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-other-spelling-4", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-other-spelling-5", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-absolute-for-relative", &[&[], &["d/ CREATE n"], &["d/t/ CREATE n"]]),
    ("at-under-dot-without", &[&[], &["d/ CREATE n"]]),
    ("at-hides-file", &[&[], &["d/ MODIFY b"]]),
    ("at-hides-file-recursive", &[&[], &["d/ MODIFY a"]]),
    ("at-created-again", &[&[], &[], &["d/ CREATE,ISDIR s"]]),
    (
        "exclude-recreated",
        &[&["d/s/ DELETE f"], &["d/ DELETE,ISDIR s"], &["d/ CREATE,ISDIR s"], &[], &["d/s/ CREATE x"]],
    ),
    ("include-new-directory", &[&[], &[], &["d/n/ CREATE b"]]),
    ("once-r-subdirectory-removed-default", &[]),
    ("once-file-moved", &[&["d/ MOVE_SELF b"]]),
    ("once-r-new-directory", &[&[], &[], &["d/n/ CLOSE_WRITE f"]]),
    ("monitor-file-moved", &[&["d/ MOVE_SELF b"], &["d/ CLOSE_WRITE b", "d/ MODIFY b", "d/ OPEN b"]]),
    ("monitor-r-moved-out", &[&["d/ MOVED_FROM,ISDIR s"]]),
    ("monitor-r-moved-out-modify", &[]),
    (
        "path-file-link-no-dereference",
        &[&["d/ CLOSE_WRITE a", "d/ MODIFY a", "d/ OPEN a"], &[" MOVE_SELF fl2"]],
    ),
    ("path-link-no-dereference", &[&[], &[" MOVE_SELF l2"], &[" ATTRIB l2", " DELETE_SELF l2"]]),
];

/// Ours takes events, and a link to nowhere, that the reference refuses.
const TAKEN: &[(&str, &str, Steps)] = &[
    ("event-unmount-none", "signal 15", &[]),
    ("event-ignored-none", "signal 15", &[]),
    ("event-q_overflow-none", "signal 15", &[]),
    ("event-oneshot-none", "signal 15", &[]),
    ("event-ignored-own", "signal 15", &[&[], &[], &["d/ IGNORED b"], &[], &[], &["e/ IGNORED "]]),
    (
        "event-delete_self+ignored-own",
        "signal 15",
        &[&[], &[], &["d/ DELETE_SELF b", "d/ IGNORED b"], &[], &[], &["e/ IGNORED "]],
    ),
    ("event-oneshot-modify", "exit 0", &[&["d/ MODIFY a"]]),
    ("event-oneshot-modify-monitor", "signal 15", &[&["d/ MODIFY a"]]),
    ("event-oneshot-recursive", "exit 2", &[]),
    ("event-oneshot-recursive-modify", "exit 0", &[&[], &["d/ MODIFY a"]]),
    ("event-ignored-one-shot", "exit 0", &[&["d/ IGNORED a"]]),
    ("once-unmount-file-deleted", "exit 1", &[]),
    ("monitor-r-subdirectory-removed-ignored", "signal 15", &[]),
    ("path-link-dangling-no-dereference", "signal 15", &[&[" MOVE_SELF y"]]),
];

/// Ours ends when what it watches does, with this status; the reference waits for ever.
const ENDED: &[(&str, &str)] = &[
    ("once-root-removed", "exit 1"),
    ("once-root-removed-default", "exit 0"),
    ("once-root-removed-delete-self", "exit 0"),
    ("once-one-root-of-two-removed", "exit 1"),
    ("once-file-deleted", "exit 1"),
    ("once-file-replaced", "exit 1"),
    ("once-r-root-removed", "exit 1"),
    ("once-r-root-removed-default", "exit 0"),
    ("once-r-root-removed-delete-self", "exit 0"),
    ("once-r-one-root-of-two-removed", "exit 1"),
    ("once-r-file-deleted", "exit 1"),
    ("once-r-delete-self-below", "exit 0"),
];

/// With what it differs in. Where that is in what does not go through fanotify, it is the same as with inotify.
fn differing(mut case: Case) -> Case {
    let name = case.name.strip_prefix("fsnotify-").unwrap_or_default().to_owned();
    if ["usage-", "timeout-", "daemon-"].iter().any(|prefix| name.starts_with(prefix)) {
        return case;
    }
    (case.expect, case.ours_end) = (None, None);
    let ends = case.ops.len() + 1;
    let told = |steps: Steps| {
        let text = |lines: &&[&str]| lines.iter().map(|line| format!("{{DIR}}/{line}\n")).collect::<String>();
        let mut told: Vec<String> = steps.iter().map(text).collect();
        told.resize(ends, String::new());
        told.iter().map(|step| format!("{step}{END}")).collect::<String>()
    };
    if let Some((_, steps)) = OTHERWISE.iter().find(|(other, _)| *other == name) {
        return case.ours_stdout(told(steps));
    }
    if let Some((_, status, steps)) = TAKEN.iter().find(|(taken, ..)| *taken == name) {
        return case.ours_status(status).ours_stderr_has("Watches established.\n").ours_stdout(told(steps));
    }
    if name == "option-timeout-negative" {
        // As 4.x, which may end before a step is taken: there is none. 3.22.6 waits.
        case.ops.clear();
        case.end = End::Quiet;
        let said = "Setting up watches.\nWatches established.\nNegative timeout specified - abort!\n";
        return case.ours_ends(End::Exit).ours_status("exit 1").ours_stderr(said).ours_stdout_has(END);
    }
    if let Some((_, status)) = ENDED.iter().find(|(ended, _)| *ended == name) {
        case.end = End::Quiet;
        return case.ours_ends(End::Exit).ours_status(status);
    }
    case
}

/// What each step's output tells: where the format is the usual one a line for each event of an entry, sorted. Left out
/// is in what the reference differs everywhere: docs/compatibility.md, "What is compared".
pub fn told(steps: impl Iterator<Item = Vec<u8>>, args: &[Vec<u8>]) -> Vec<u8> {
    let usual = !args
        .iter()
        .any(|arg| arg.starts_with(b"--fo") || arg.starts_with(b"-c") || arg.starts_with(b"--cs"));
    let line = Regex::new(r"(?-u)^(?s:(.*?)) ([A-Z_]+(?:,[A-Z_]+)*) (?s:(.*\n))$").unwrap();
    let handle = Regex::new(r"(?-u)\[fid=[0-9a-f.]+;name='(?s:(.*?))'\] \{DIR\}").unwrap();
    let mut told = Vec::new();
    for output in steps {
        let output = without_handles(&handle, &replace(&output, b" (deleted)", b""));
        let lines = output.split_inclusive(|&b| b == b'\n').filter(|line| !contains(line, b".ready"));
        match usual {
            true => told.extend(
                lines.flat_map(|text| events(&line, text)).collect::<BTreeSet<_>>().into_iter().flatten(),
            ),
            false => told.extend(lines.flatten()),
        }
        told.extend_from_slice(END.as_bytes());
    }
    told
}

/// The line once for each event in it.
fn events(pattern: &Regex, line: &[u8]) -> Vec<Vec<u8>> {
    let Some(parts) = pattern.captures(line) else { return vec![line.to_vec()] };
    let names: Vec<&[u8]> = parts[2].split(|&b| b == b',').collect();
    let is_dir = names.contains(&b"ISDIR".as_slice());
    let plain = names.iter().filter(|name| ![b"ISDIR".as_slice(), b"CLOSE"].contains(name));
    let plain = plain.filter(|name| !(is_dir && name.ends_with(b"_SELF")));
    let base: &[u8] = if parts[1].starts_with(b"{DIR}/") { b"" } else { b"{DIR}/" };
    let (mut path, mut name) = ([base, &parts[1]].concat(), parts[3].to_vec());
    if let Some(slash) = path.iter().rposition(|&b| b == b'/').filter(|_| name == b"\n") {
        name = [&path.split_off(slash + 1), &b"\n"[..]].concat();
    }
    plain
        .map(|event| {
            let kind: &[u8] = if is_dir { b",ISDIR" } else { b"" };
            [&path, &b" "[..], event, kind, b" ", &name].concat()
        })
        .collect()
}

/// The output without the lines in which the reference tells the handle of a path that it has not met before:
/// `[fid=...;name='f'] /d/f`.
fn without_handles(pattern: &Regex, output: &[u8]) -> Vec<u8> {
    let (mut rest, mut kept) = (output, Vec::new());
    while let Some(found) = pattern.captures(rest) {
        let name: &[u8] = if &found[1] == b"." { b"" } else { &found[1] };
        let end = [b"/", name, b"\n"].concat();
        let (from, to) = (found.get(0).unwrap().start(), found.get(0).unwrap().end());
        let length = rest[to..].windows(end.len()).position(|part| part == end).unwrap_or(0);
        kept.extend_from_slice(&rest[..from]);
        rest = &rest[to + length + end.len()..];
    }
    [&kept, rest].concat()
}
