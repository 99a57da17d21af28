//! What another process does to the tree, as words that can be read and given again.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::simulated::{OPERAND, System};

/// The names of entries.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// How deep below the operand entries are made.
const DEPTH: usize = 3;

/// One system call of another process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Mkdir(String),
    Rmdir(String),
    /// A file is made, opened and closed.
    Create(String),
    /// A file is opened, written to and closed.
    Write(String),
    Unlink(String),
    Link(String, String),
    /// Over what is there, if that can be replaced.
    Rename(String, String),
    Exchange(String, String),
    /// From outside the tree: what was moved out last, or a directory with `x` and `sub/y`.
    MoveIn(String),
    MoveOut(String),
    /// So much happens elsewhere that the queue overflows.
    Flood,
}

impl Operation {
    fn paths(&self) -> Vec<&str> {
        match self {
            Operation::Mkdir(path) | Operation::Rmdir(path) | Operation::Create(path) => vec![path],
            Operation::Write(path) | Operation::Unlink(path) => vec![path],
            Operation::MoveIn(path) | Operation::MoveOut(path) => vec![path],
            Operation::Link(one, other) | Operation::Rename(one, other) => vec![one, other],
            Operation::Exchange(one, other) => vec![one, other],
            Operation::Flood => vec![],
        }
    }

    /// Whether both are of the same object, or one is of what is in that of the other.
    pub fn concerns(&self, other: &Operation) -> bool {
        let is_in = |path: &str, above: &str| Path::new(path).starts_with(above);
        let others = other.paths();
        let is_near = |path: &&str| others.iter().any(|other| is_in(path, other) || is_in(other, path));
        self.paths().iter().any(is_near)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Operation::Mkdir(path) => write!(f, "mkdir {path}"),
            Operation::Rmdir(path) => write!(f, "rmdir {path}"),
            Operation::Create(path) => write!(f, "create {path}"),
            Operation::Write(path) => write!(f, "write {path}"),
            Operation::Unlink(path) => write!(f, "unlink {path}"),
            Operation::Link(path, other) => write!(f, "link {path} {other}"),
            Operation::Rename(from, to) => write!(f, "rename {from} {to}"),
            Operation::Exchange(one, other) => write!(f, "exchange {one} {other}"),
            Operation::MoveIn(path) => write!(f, "movein {path}"),
            Operation::MoveOut(path) => write!(f, "moveout {path}"),
            Operation::Flood => write!(f, "flood"),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Operation, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["mkdir", path] => Operation::Mkdir(path.into()),
            ["rmdir", path] => Operation::Rmdir(path.into()),
            ["create", path] => Operation::Create(path.into()),
            ["write", path] => Operation::Write(path.into()),
            ["unlink", path] => Operation::Unlink(path.into()),
            ["link", path, other] => Operation::Link(path.into(), other.into()),
            ["rename", from, to] => Operation::Rename(from.into(), to.into()),
            ["exchange", one, other] => Operation::Exchange(one.into(), other.into()),
            ["movein", path] => Operation::MoveIn(path.into()),
            ["moveout", path] => Operation::MoveOut(path.into()),
            ["flood"] => Operation::Flood,
            _ => return Err(format!("no operation: {text}")),
        })
    }
}

/// All that could be done now. Of names that were never used in a directory the first stands for all.
pub fn possible(system: &System) -> Vec<Operation> {
    let mut free = Vec::new();
    let mut files = Vec::new();
    let mut directories = Vec::new();
    let mut pending = vec![(OPERAND.to_string(), 0)];
    while let Some((above, depth)) = pending.pop() {
        let Some(ino) = system.find(&above) else { continue };
        let mut is_new = true;
        for name in NAMES {
            let path = format!("{above}/{name}");
            match system.find(&path) {
                Some(found) if system.is_directory(found) => {
                    directories.push((path.clone(), system.entries(found).is_empty()));
                }
                Some(_) => files.push(path.clone()),
                None => {
                    let was_used = system.paths.contains(&path);
                    if was_used || is_new {
                        free.push(path.clone());
                    }
                    is_new &= was_used;
                }
            }
        }
        for (name, below) in system.entries(ino) {
            if system.is_directory(*below) && depth + 1 < DEPTH {
                pending.push((format!("{above}/{name}"), depth + 1));
            }
        }
    }
    let mut found = Vec::new();
    if system.has_floods && !system.overflowed {
        found.push(Operation::Flood);
    }
    for path in &free {
        found.extend([Operation::Mkdir(path.clone()), Operation::Create(path.clone())]);
        found.push(Operation::MoveIn(path.clone()));
        found.extend(files.first().map(|file| Operation::Link(file.clone(), path.clone())));
    }
    if system.overflows() {
        found.extend(files.iter().cloned().map(Operation::Write));
    }
    for file in &files {
        found.extend([Operation::Unlink(file.clone()), Operation::MoveOut(file.clone())]);
        let targets = free.iter().chain(files.iter().filter(|other| *other != file));
        found.extend(targets.map(|to| Operation::Rename(file.clone(), to.clone())));
        found.extend(directories.iter().map(|(other, _)| Operation::Exchange(file.clone(), other.clone())));
        found.extend(
            files
                .iter()
                .filter(|other| *other > file)
                .map(|other| Operation::Exchange(file.clone(), other.clone())),
        );
    }
    for (directory, is_empty) in &directories {
        found.push(Operation::MoveOut(directory.clone()));
        if *is_empty {
            found.push(Operation::Rmdir(directory.clone()));
        }
        let is_elsewhere = |path: &str| path != directory && !path.starts_with(&format!("{directory}/"));
        let replaceable = directories.iter().filter(|(_, is_empty)| *is_empty).map(|(path, _)| path);
        let targets = free.iter().chain(replaceable).filter(|to| is_elsewhere(to));
        found.extend(targets.map(|to| Operation::Rename(directory.clone(), to.clone())));
        let others = directories.iter().filter(|(other, _)| other > directory && is_elsewhere(other));
        found.extend(others.map(|(other, _)| Operation::Exchange(directory.clone(), other.clone())));
    }
    found
}
