//! The files in which git keeps patterns, and where they are.

use std::env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::event::ENTRY;
use crate::sys::directory::{open_in, open_path, read_in};
use crate::sys::file;
use crate::sys::mask::{IN_CLOSE_WRITE, Mask};

/// Of a directory in a tree.
pub const GITIGNORE: &[u8] = b".gitignore";
/// The directory of a repository, or a file that names it.
pub const GIT: &[u8] = b".git";

/// The names of all files that are read here, of which nobody else need have read them.
const FILES: [&[u8]; 5] = [GITIGNORE, GIT, b"commondir", b"config", b"exclude"];

/// Whether a path, or a name alone, is that of a file that is read here.
pub fn is_file(path: &[u8]) -> bool {
    FILES.contains(&path.rsplit(|byte| *byte == b'/').next().unwrap_or(path))
}

/// The events by which the patterns of git change. A link(2) only has a CREATE.
pub const EVENTS: Mask = ENTRY.or(IN_CLOSE_WRITE);

/// Whether the patterns of git may be others after an event of an entry of this name.
pub fn is_changed_by(mask: Mask, name: &[u8]) -> bool {
    mask.has(EVENTS) && is_entry(name)
}

/// Whether an entry of this name is one that git reads in each directory.
pub fn is_entry(name: &[u8]) -> bool {
    matches!(name, GITIGNORE | GIT)
}

/// What git reads in a directory.
#[derive(Debug, Default)]
pub struct Files {
    /// Its `.gitignore`.
    pub gitignore: Option<Vec<u8>>,
    /// If it is the root of a repository.
    pub repository: Option<Repository>,
}

/// What a repository has for all its directories.
#[derive(Debug, Default)]
pub struct Repository {
    /// `info/exclude`.
    pub exclude: Vec<u8>,
    /// The user's file, if `config` names one.
    pub user: Option<PathBuf>,
}

impl Files {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gitignore.is_none() && self.repository.is_none()
    }

    /// Those of the directory of that name in an open one; `.` is that itself.
    pub fn of(directory: &OwnedFd, name: &[u8]) -> Files {
        let at = |file| [name, b"/", file].concat();
        Files {
            // As git does, without following a link.
            gitignore: read_in(directory, &at(GITIGNORE), false).ok(),
            repository: Repository::of(directory, name),
        }
    }

    /// Those of the directory at a path.
    pub fn at(path: &[u8]) -> Files {
        open_path(path, OFlag::O_DIRECTORY).map(|directory| Files::of(&directory, b".")).unwrap_or_default()
    }
}

impl Repository {
    fn of(directory: &OwnedFd, name: &[u8]) -> Option<Repository> {
        let enter = |at: &OwnedFd, name: &[u8]| open_in(at, name, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let git = [name, b"/", GIT].concat();
        let own = match enter(directory, &git) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
                // A worktree or a submodule.
                let text = read_in(directory, &git, true).ok()?;
                let place = line(text.strip_prefix(b"gitdir:")?).to_vec();
                enter(&enter(directory, name).ok()?, &place)
            }
            entered => Ok(entered.ok()?),
        };
        // All worktrees of a repository have one of these.
        let common = own.and_then(|own| match read_in(&own, b"commondir", true) {
            Ok(place) => enter(&own, line(&place)),
            Err(_) => Ok(own),
        });
        let Ok(common) = common else { return Some(Repository::default()) };
        let config = read_in(&common, b"config", true).unwrap_or_default();
        Some(Repository {
            exclude: read_in(&common, b"info/exclude", true).unwrap_or_default(),
            user: excludes_file(&config),
        })
    }
}

/// The text without white space around it.
fn line(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// The user's file with patterns for all repositories.
pub fn user_file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").map(PathBuf::from).or(home.as_ref().map(|home| home.join(".config")));
    let mut files = vec![set("GIT_CONFIG_SYSTEM").map_or("/etc/gitconfig".into(), PathBuf::from)];
    if set("GIT_CONFIG_NOSYSTEM").is_some() {
        files.clear();
    }
    match set("GIT_CONFIG_GLOBAL") {
        Some(file) => files.push(file.into()),
        None => {
            files.extend(config.as_ref().map(|config| config.join("git/config")));
            files.extend(home.map(|home| home.join(".gitconfig")));
        }
    }
    let named =
        files.iter().rev().find_map(|file| excludes_file(&file::read(file.as_os_str().as_bytes()).ok()?));
    named.or(config.map(|config| config.join("git/ignore")))
}

/// The last value of core.excludesFile in a git-config(1) file.
fn excludes_file(config: &[u8]) -> Option<PathBuf> {
    let value = last_value(config, b"core", b"excludesfile")?;
    match value.strip_prefix(b"~/") {
        Some(below) => Some(Path::new(&env::var_os("HOME")?).join(std::ffi::OsStr::from_bytes(below))),
        None => Some(OsString::from_vec(value).into()),
    }
}

/// The last value of a variable in a section without subsections. Both names are in small letters.
pub fn last_value(config: &[u8], section: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (mut found, mut is_in) = (None, false);
    let mut rest = config.strip_prefix("\u{feff}".as_bytes()).unwrap_or(config);
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => return found,
            [b'[', header @ ..] => {
                let end = header.iter().position(|byte| matches!(byte, b']' | b'\n')).unwrap_or(header.len());
                is_in = header[..end].eq_ignore_ascii_case(section);
                rest = header.get(end + 1..).unwrap_or_default();
            }
            [b'#' | b';', ..] => rest = after_line(rest),
            _ => {
                let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
                let (key, after) = rest.split_at(end.unwrap_or(rest.len()));
                let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                rest = match &after[blanks..] {
                    [b'=', text @ ..] => {
                        let (value, after) = value(text);
                        if is_in && key.eq_ignore_ascii_case(name) {
                            found = Some(value);
                        }
                        after
                    }
                    after => after_line(after),
                };
            }
        }
    }
}

fn after_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n');
    end.map_or(&[], |end| &text[end + 1..])
}

/// A value after its `=`, and what follows its line.
fn value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut value, mut quoted, mut end) = (Vec::new(), false, 0);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, rest) {
            (b'\n', _) if !quoted => break,
            (b'#' | b';', _) if !quoted => {
                rest = after_line(rest);
                break;
            }
            (b'"', _) => {
                quoted = !quoted;
                end = value.len();
            }
            (b'\\', [b'\n', after @ ..]) => rest = after,
            (b'\\', [escaped, after @ ..]) => {
                value.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'b' => 8,
                    other => *other,
                });
                end = value.len();
                rest = after;
            }
            (byte, _) if byte.is_ascii_whitespace() && !quoted => {
                if !value.is_empty() {
                    value.push(byte);
                }
            }
            (byte, _) => {
                value.push(byte);
                end = value.len();
            }
        }
    }
    value.truncate(end);
    (value, rest)
}
