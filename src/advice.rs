//! What a user is told about operands: of those that cannot be watched, what may have been meant; of the others, what
//! will not be reported.

use std::io;

use crate::cli::{event_list, glob_as_regex};
use crate::escape::escape;
use crate::fanotify::absolute_path;
use crate::filter::Sense;
use crate::messages::Message;
use crate::source::{Interface, Scope, Settings};
use crate::sys::directory::is_directory;
use crate::sys::file;
use crate::sys::filesystem::{Unseen, unseen};
use crate::sys::mounts;

/// More paths than this in a row are counted.
const SHOWN: usize = 3;

/// What may have been meant by an operand that does not exist; nothing for other errors.
pub fn unwatchable(operand: &[u8], error: &io::Error) -> Message {
    let is_missing = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP));
    if is_missing && file::exists(operand, true) && !file::exists(b"/proc/self", true) {
        return "/proc is not mounted. fanotify needs it for files, and for -S and -M.".into();
    }
    let text = String::from_utf8_lossy(operand);
    if !is_missing {
        Message::default()
    } else if let Ok(target) = file::target_of(operand) {
        Message::new(&[
            b"'",
            operand,
            b"' is a symbolic link to '",
            &target,
            b"', which leads nowhere. To watch the link itself, use -P without -r.",
        ])
    } else if operand == b"-" {
        "To read paths from standard input, use --fromfile -.".into()
    } else if operand.ends_with(b"\r") {
        "The name ends with a carriage return. If the list of paths has DOS line ends, remove them with tr -d '\\r'.".into()
    } else if event_list(operand).is_some() {
        Message::new(&[
            b"'",
            operand,
            b"' is an event. A list of events has commas and no blanks: -e modify,create",
        ])
    } else if text.starts_with("~/") || text == "~" {
        Message::new(&[
            b"'",
            operand,
            b"': the shell replaces '~' only where it is not quoted. Use \"$HOME\" instead.",
        ])
    } else if let Some(regex) = glob_as_regex(&text) {
        let directory =
            operand.iter().rposition(|byte| *byte == b'/').map_or(&b"."[..], |slash| &operand[..=slash]);
        Message::new(&[
            b"'",
            operand,
            b"' is not expanded. For files that match now or later: --include '",
            regex.as_bytes(),
            b"' ",
            directory,
        ])
    } else {
        Message::default()
    }
}

/// What may surprise: operands of which a filter leaves nothing, and file systems of which not all is reported.
pub fn surprises(settings: &Settings, operands: &[Vec<u8>]) -> Message {
    filtered(settings, operands).and(unseen_changes(settings, operands))
}

/// Operands of which nothing can be reported, because of what `--exclude` or `--include` says.
fn filtered(settings: &Settings, operands: &[Vec<u8>]) -> Message {
    let why: &[u8] = match settings.filter.sense() {
        None => return Message::default(),
        Some(Sense::Exclude) => {
            b": the --exclude expression is compared with whole paths, and matches that one."
        }
        Some(Sense::Include) => {
            b": the --include expression is compared with whole paths, and does not match that one."
        }
    };
    if settings.filter.excludes_all() {
        return "No event will be reported: the --exclude expression matches every path, as it does if it is empty or ends \
                with '|'."
            .into();
    }
    let nothing_left = operands.iter().filter(|operand| is_left_out(settings, operand));
    let names: Vec<&[u8]> = nothing_left.map(Vec::as_slice).collect();
    match names[..] {
        [] => Message::default(),
        _ => Message::new(&[b"No event will be reported for ", &list(&names), why]),
    }
}

fn is_left_out(settings: &Settings, operand: &[u8]) -> bool {
    // Whole file systems are another matter.
    if is_whole(settings) {
        return false;
    }
    let Ok(is_directory) = is_directory(operand, settings.follow) else { return false };
    let mut printed = match settings.interface {
        Interface::Inotify => operand.to_vec(),
        Interface::Fanotify(_) => match absolute_path(&settings.base, operand, settings.follow) {
            Ok(path) => path,
            Err(_) => return false,
        },
    };
    if !is_directory {
        return !settings.filter.reports(&printed, false);
    }
    if !printed.ends_with(b"/") {
        printed.push(b'/');
    }
    settings.filter.leaves_out(&printed)
}

fn is_whole(settings: &Settings) -> bool {
    matches!(settings.interface, Interface::Fanotify(Scope::Filesystem | Scope::Mount))
}

/// File systems that hold operands, or with `-r` are mounted below, and change unseen.
fn unseen_changes(settings: &Settings, operands: &[Vec<u8>]) -> Message {
    let mut found: Vec<(&str, Unseen, Vec<Vec<u8>>)> = Vec::new();
    let mut add = |path: Vec<u8>| {
        let Some((name, why)) = unseen(&path) else { return };
        match found.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, _, paths)) => paths.push(path),
            None => found.push((name, why, vec![path])),
        }
    };
    operands.iter().for_each(|operand| add(operand.clone()));
    if settings.recursive && !is_whole(settings) {
        mounts_below(settings, operands).into_iter().for_each(add);
    }
    found.iter().fold(Message::default(), |message, (name, why, paths)| {
        let unseen: &[u8] = match why {
            Unseen::Kernel => b"changes by the kernel",
            Unseen::Machine => b"changes by other machines",
            Unseen::Program => b"changes that bypass this mount",
        };
        let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        message.line(&[b"On ", name.as_bytes(), b" (", &list(&paths), b"), ", unseen, b" are not reported."])
    })
}

/// The mounts that a recursive watch enters, by their paths as they would be printed.
fn mounts_below(settings: &Settings, operands: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let Ok(mounts) = mounts::all() else { return Vec::new() };
    let mut below = Vec::new();
    for operand in operands {
        let Ok(top) = absolute_path(&settings.base, operand, true) else { continue };
        for point in mounts.iter().map(|mount| &mount.point) {
            let rest = point.strip_prefix(top.strip_suffix(b"/").unwrap_or(&top));
            let Some(rest @ [b'/', _, ..]) = rest else { continue };
            let printed = match settings.interface {
                Interface::Inotify => [operand.strip_suffix(b"/").unwrap_or(operand), rest].concat(),
                Interface::Fanotify(_) => point.clone(),
            };
            if !settings.filter.leaves_out(&[&printed, &b"/"[..]].concat())
                && !settings.filter.ignores_path(&top, point)
            {
                below.push(printed);
            }
        }
    }
    below.sort();
    below.dedup();
    below
}

/// `'a', 'b', 'c' and 2 more`
fn list(paths: &[&[u8]]) -> Vec<u8> {
    let quoted: Vec<Vec<u8>> =
        paths.iter().take(SHOWN).map(|path| [b"'", &escape(path)[..], b"'"].concat()).collect();
    let mut list = quoted.join(&b", "[..]);
    if paths.len() > SHOWN {
        list.extend_from_slice(format!(" and {} more", paths.len() - SHOWN).as_bytes());
    }
    list
}
