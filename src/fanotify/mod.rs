//! The sources on fanotify(7).

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use crate::sys::directory::{open_path, path_by_entering, path_of};
use crate::sys::fanotify::{Handle, handle_of, open_handle};
use crate::sys::process;
use crate::sys::status::Status;

pub mod filesystem;
#[cfg(test)]
mod judge;
pub mod marks;
mod normalise;
pub mod refusal;
#[cfg(test)]
mod simulated;

/// The absolute path of what is at a path, taken from `base` on if it is relative, all links resolved but, unless
/// `follow`, the last.
pub fn absolute_path(base: &[u8], path: &[u8], follow: bool) -> io::Result<Vec<u8>> {
    let links = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    whole_path_of(&open_path(&process::absolute(base, path), links)?)
}

/// The absolute path of what is open. The kernel tells none that does not fit PATH_MAX, but a directory knows the one that it is in.
fn whole_path_of(object: &OwnedFd) -> io::Result<Vec<u8>> {
    path_of(object).or_else(|error| match error.raw_os_error() {
        Some(libc::ENAMETOOLONG) => path_by_entering(object).map_err(|_| error),
        _ => Err(error),
    })
}

/// The path of an entry of a directory.
fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, slash, name].concat()
}

/// An absolute path's directory, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (above, name) = path.split_at(slash.max(1).min(path.len()));
    (above, name.strip_prefix(b"/").unwrap_or(name))
}

/// The path of an object that was at `known` when it was looked at last; `None` where it still is, or where its new path
/// cannot be found out: for that the process has to be allowed to open handles (CAP_DAC_READ_SEARCH).
fn path_now(object: &Handle, known: &[u8]) -> Option<Vec<u8>> {
    if is_at(object, known) {
        return None;
    }
    let mut above =
        std::iter::successors(Some(split(known).0), |path| Some(split(path).0).filter(|above| above != path));
    // In the same mount, if it can be.
    let (within, _) =
        above.find_map(|path| opened(path).filter(|(_, handle)| handle.get(..8) == object.get(..8)))?;
    let found = open_handle(&within, object).ok().filter(|found| !is_deleted(found))?;
    path_of(&found).ok().filter(|path| is_at(object, path))
}

/// Whether an object is at a path.
fn is_at(object: &Handle, path: &[u8]) -> bool {
    opened(path).is_some_and(|(_, handle)| *handle == *object)
}

/// What is at a path, without following a link.
fn opened(path: &[u8]) -> Option<(OwnedFd, Box<Handle>)> {
    let found = open_path(path, OFlag::O_NOFOLLOW).ok()?;
    let handle = handle_of(&found).ok()?;
    Some((found, handle))
}

/// Whether something that is open has been deleted: a directory, or the last name of anything else.
fn is_deleted(object: &OwnedFd) -> bool {
    Status::of(object).is_ok_and(|status| status.is_deleted())
}

/// Whether something that is open is a directory.
fn is_directory(object: &OwnedFd) -> io::Result<bool> {
    Ok(Status::of(object)?.kind() == SFlag::S_IFDIR)
}

/// The absolute path of a path that may lead nowhere: then of what is there of it. The last link is resolved only if
/// `follow`.
pub fn absolute_in_part(base: &[u8], path: &[u8], follow: bool) -> Vec<u8> {
    absolute_path(base, path, follow).unwrap_or_else(|_| {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = path.split_at(slash.map_or(0, |slash| slash + 1));
        let mut found = match above {
            b"" => absolute_path(base, b".", true).unwrap_or_else(|_| base.to_vec()),
            b"/" => Vec::new(),
            _ => absolute_in_part(base, &above[..above.len() - 1], true),
        };
        found.push(b'/');
        found.extend_from_slice(name);
        found
    })
}
