//! The simulated system is held to the kernel: the same operations have the same events, in the same order.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use inotify_tools::internals::Files;
use inotify_tools::internals::inotify::{Inotify, RawEvent};
use inotify_tools::internals::mask::{
    IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM,
    IN_MOVED_TO, IN_OPEN, Mask,
};

use crate::common::{exchange, fast_tempdir};
use crate::simulated::{Open, Simulated, System};
use crate::{FILE, LEVELS, LINK, Scene};

const EVENTS: Mask = IN_CREATE
    .or(IN_DELETE)
    .or(IN_MOVED_FROM)
    .or(IN_MOVED_TO)
    .or(IN_DELETE_SELF)
    .or(IN_MOVE_SELF)
    .or(IN_OPEN)
    .or(IN_MODIFY)
    .or(IN_CLOSE_WRITE);

/// Does an operation of the simulated system with the kernel.
fn act(top: &Path, operation: &str) {
    let words: Vec<&str> = operation.split(' ').collect();
    let at = |path: &str| top.join(path);
    let write = |mut file: fs::File| file.write_all(b"x");
    match words[..] {
        ["mkdir", path] => fs::create_dir(at(path)),
        ["create", path] => fs::File::create_new(at(path)).and_then(write),
        ["write", path] => fs::OpenOptions::new().append(true).open(at(path)).and_then(write),
        ["symlink", target, path] => symlink(target, at(path)),
        ["unlink", path] => fs::remove_file(at(path)),
        ["rmdir", path] => fs::remove_dir(at(path)),
        ["rename", from, to] => fs::rename(at(from), at(to)),
        ["exchange", one, other] => exchange(&at(one), &at(other)).map_err(Into::into),
        _ => panic!("no operation: {operation}"),
    }
    .unwrap_or_else(|error| panic!("{operation}: {error}"));
}

/// All directories, by their paths.
fn directories(top: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([PathBuf::new()]);
    let mut pending = vec![PathBuf::new()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(top.join(&at)).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                let path = at.join(entry.file_name());
                found.insert(path.clone());
                pending.push(path);
            }
        }
    }
    found
}

fn open(files: &mut Simulated, path: &Path) -> Open {
    path.iter().fold(files.start(false).unwrap(), |at, name| files.open(&at, name.as_bytes()).unwrap())
}

fn decoded(mut bytes: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    let mut cookies: Vec<u32> = Vec::new();
    while let Some((event, size)) = RawEvent::decode(bytes) {
        let known = cookies.iter().position(|cookie| *cookie == event.cookie);
        let cookie = known.unwrap_or(cookies.len());
        if known.is_none() {
            cookies.push(event.cookie);
        }
        let name = String::from_utf8_lossy(event.name);
        events.push(format!("{} {:x} {cookie} {name}", event.wd.0, event.mask.bits()));
        bytes = &bytes[size..];
    }
    events
}

fn compare(scene: &Scene, seed: u64) {
    let dir = fast_tempdir();
    let inotify = Inotify::new().unwrap();
    let mut system = System::new(10_000);
    (system.operand, system.operations) = (scene.operand, scene.operations);
    let mut files = Simulated::new(system);
    let mut state = seed;
    let mut told: Vec<String> = scene.before.iter().map(|operation| operation.to_string()).collect();
    for operation in scene.before {
        act(dir.path(), operation);
        assert!(files.system.borrow_mut().act(operation, false));
    }
    for _ in 0..12 {
        for path in directories(dir.path()) {
            let name = CString::new(dir.path().join(&path).as_os_str().as_bytes()).unwrap();
            let wd = inotify.add_watch(&name, EVENTS).unwrap();
            let at = open(&mut files, &path);
            assert_eq!(files.watch(&at, EVENTS).unwrap(), wd, "{path:?} {told:?}");
        }
        let possible = files.system.borrow().possible();
        if possible.is_empty() {
            return;
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let operation = possible[(state >> 33) as usize % possible.len()];
        told.push(operation.into());
        // The directories were listed.
        inotify.read(&mut Vec::new()).unwrap();
        act(dir.path(), operation);
        files.system.borrow_mut().act(operation, false);
        let (mut real, mut simulated) = (Vec::new(), Vec::new());
        inotify.read(&mut real).unwrap();
        files.read(&mut simulated).unwrap();
        assert_eq!(decoded(&simulated), decoded(&real), "{told:#?}");
    }
}

#[test]
fn the_simulated_system_has_the_events_of_the_kernel() {
    for seed in 0..40 {
        for scene in [FILE, LINK, LEVELS] {
            compare(&scene, seed);
        }
    }
}
