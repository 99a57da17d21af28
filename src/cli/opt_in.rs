//! What the options that the reference does not have mean together: the rules about which can be combined.

use super::Line;
use super::options::{Opt, Tool, options};
use crate::sys::mask::{IN_ONESHOT, Mask};

/// A rule about two options, each by its long name.
pub(super) enum Rule {
    /// The two cannot both be specified.
    Not(&'static str, &'static str),
    /// The first cannot be specified without the second.
    Needs(&'static str, &'static str),
}

use Rule::{Needs, Not};

/// The rules of both programs, in the order in which they are checked.
pub(super) const RULES: &[Rule] = &[
    Needs("max-delay", "debounce"),
    Needs("batch-marker", "debounce"),
    Not("batch-marker", "no-newline"),
    Not("fanotify", "follow-name"),
    Not("filesystem", "follow-name"),
    Not("mount", "follow-name"),
    Not("filesystem", "ignore"),
    Not("mount", "ignore"),
    Not("filesystem", "ignore-file"),
    Not("mount", "ignore-file"),
    Not("filesystem", "gitignore"),
    Not("mount", "gitignore"),
    Needs("max-depth", "recursive"),
    Not("filesystem", "max-depth"),
    Not("mount", "max-depth"),
    Not("print0", "no-newline"),
    Not("csv", "json"),
    Not("json", "format"),
    Not("daemon", "ready"),
];

/// The message about the first rule that a command line breaks.
pub(super) fn conflict(line: &Line) -> Option<String> {
    let tool = line.program.tool;
    RULES.iter().find_map(|rule| match rule {
        Not(one, other) if line.is_given(one) && line.is_given(other) => {
            Some(format!("{} and {} cannot both be specified.", shown(tool, one), shown(tool, other)))
        }
        Needs(one, other) if line.is_given(one) && !line.is_given(other) => {
            Some(format!("{} cannot be specified without {}.", shown(tool, one), shown(tool, other)))
        }
        _ => None,
    })
}

/// What is wrong with a command line whose program's name stands for fanotify, which prints the real path of an object and not the
/// name that was given.
pub(super) fn interface_conflict(line: &Line) -> Option<String> {
    let is_fanotify = line.program.fanotify && !line.flag("inotify");
    (line.flag("follow-name") && is_fanotify)
        .then(|| "--follow-name cannot be specified without -I.".to_owned())
}

/// What is wrong with events that end a watch, which is to go with a name from one object to the next.
pub(super) fn oneshot_conflict(line: &Line) -> Option<String> {
    let is_oneshot = line.all::<Mask>("event").any(|mask| mask.has(IN_ONESHOT));
    (line.flag("follow-name") && is_oneshot)
        .then(|| "-e oneshot and --follow-name cannot both be specified.".to_owned())
}

/// What is wrong with a command line that has `--until`, which prints no events.
pub(super) fn until_conflict(line: &Line) -> Option<String> {
    const USED: [&str; 9] =
        ["until", "inotify", "no-dereference", "quiet", "syslog", "timeout", "fromfile", "ready", "help"];
    let is_other = |option: &&Opt| !USED.contains(&option.id) && line.is_given(option.id);
    let tool = line.program.tool;
    let other = options(tool).filter(|_| line.is_given("until")).find(is_other)?;
    Some(format!("{} and --until cannot both be specified.", shown(tool, other.id)))
}

/// What is wrong with a command line that has `--limits`: that and `--json` is all that it may have.
pub(super) fn limits_conflict(line: &Line) -> Option<String> {
    if !line.is_given("limits") {
        return None;
    }
    let tool = line.program.tool;
    let alone = |option: &&Opt| !matches!(option.id, "limits" | "json") && line.is_given(option.id);
    if let Some(option) = options(tool).find(alone) {
        return Some(format!("{} and --limits cannot both be specified.", shown(tool, option.id)));
    }
    line.has_operands().then(|| "--limits and a path cannot both be specified.".to_owned())
}

/// How a message names an option: by its letter, if it has one.
fn shown(tool: Tool, id: &str) -> String {
    match options(tool).find(|option| option.long == id) {
        Some(Opt { short: Some(letter), .. }) => format!("-{}", char::from(*letter)),
        _ => format!("--{id}"),
    }
}
