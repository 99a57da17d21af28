//! Holds the simulated system to the kernel: the same random operations and calls have the same events, in the same order.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use inotify_tools::internals::inotify::{RawEvent, Wd};
use inotify_tools::internals::mask::{IN_ALL_EVENTS, IN_MOVE, IN_ONLYDIR, Mask};
use inotify_tools::internals::{At, InotifyWorld, World};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::operations::{Operation, possible};
use crate::search::Random;
use crate::simulated::{OPERAND, Simulated, System};

/// An event without what differs from run to run.
type Plain = (i32, Mask, u32, String);

/// Does on the real file system what the simulated one did.
fn act(top: &Path, outside: &Path, moved_out: &mut Vec<String>, operation: &Operation) {
    let at = |path: &str| top.join(path);
    match operation {
        Operation::Mkdir(path) => fs::create_dir(at(path)).unwrap(),
        Operation::Rmdir(path) => fs::remove_dir(at(path)).unwrap(),
        Operation::Create(path) => drop(fs::File::create_new(at(path)).unwrap()),
        Operation::Write(path) => {
            let mut file = fs::File::options().append(true).open(at(path)).unwrap();
            std::io::Write::write_all(&mut file, b"text").unwrap();
        }
        Operation::Unlink(path) => fs::remove_file(at(path)).unwrap(),
        Operation::Link(path, other) => fs::hard_link(at(path), at(other)).unwrap(),
        Operation::Rename(from, to) => fs::rename(at(from), at(to)).unwrap(),
        Operation::Exchange(one, other) => {
            renameat2(AT_FDCWD, &at(one), AT_FDCWD, &at(other), RenameFlags::RENAME_EXCHANGE).unwrap();
        }
        Operation::MoveIn(path) => {
            let name = moved_out.pop().unwrap();
            fs::rename(outside.join(name), at(path)).unwrap();
        }
        Operation::Flood => unreachable!("the simulated system alone is flooded"),
        Operation::MoveOut(path) => {
            let name = format!("out{}", moved_out.len());
            fs::rename(at(path), outside.join(&name)).unwrap();
            moved_out.push(name);
        }
    }
}

/// What is queued. Both events of a rename have a number that counts from 1.
fn events<W: World>(world: &mut W, cookies: &mut HashMap<u32, u32>) -> Vec<Plain> {
    let mut bytes = Vec::new();
    world.read(&mut bytes).unwrap();
    let mut found = Vec::new();
    let mut rest = &bytes[..];
    while let Some((event, size)) = RawEvent::decode(rest) {
        rest = &rest[size..];
        let next = cookies.len() as u32 + 1;
        let cookie = if event.mask.has(IN_MOVE) { *cookies.entry(event.cookie).or_insert(next) } else { 0 };
        found.push((event.wd.0, event.mask, cookie, String::from_utf8(event.name.to_vec()).unwrap()));
    }
    found
}

/// One random call of a watcher.
enum Call {
    Watch(String),
    Unwatch(i32),
    List(String),
    Read,
}

fn call<W: World>(world: &mut W, prefix: &str, call: &Call, cookies: &mut HashMap<u32, u32>) -> Vec<Plain> {
    let path = |path: &str| format!("{prefix}{path}").into_bytes();
    match call {
        Call::Watch(directory) => {
            let wd = world.watch(At::Path(&path(directory)), IN_ALL_EVENTS | IN_ONLYDIR).unwrap();
            vec![(wd.0, Mask::NONE, 0, String::new())]
        }
        Call::Unwatch(wd) => {
            world.unwatch(Wd(*wd));
            Vec::new()
        }
        Call::List(directory) => {
            let opened = world.open(At::Path(&path(directory))).unwrap();
            let mut found = Vec::new();
            world
                .list(&opened, &mut |name, _| {
                    found.push((0, Mask::NONE, 0, String::from_utf8(name.to_vec()).unwrap()))
                })
                .unwrap();
            found.sort_by(|one: &Plain, other| one.3.cmp(&other.3));
            found
        }
        Call::Read => events(world, cookies),
    }
}

#[test]
fn the_simulated_system_behaves_as_the_kernel() {
    let rounds = std::env::var("RULES_ROUNDS").map_or(300, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let dir = crate::common::fast_tempdir();
        let outside = dir.path().join("outside");
        fs::create_dir_all(dir.path().join(OPERAND)).unwrap();
        fs::create_dir_all(outside.join("in0/sub")).unwrap();
        fs::write(outside.join("in0/x"), "").unwrap();
        fs::write(outside.join("in0/sub/y"), "").unwrap();
        let mut moved_out = vec!["in0".to_string()];
        let mut system = System::new(10_000);
        system.prepare_outside();
        let mut simulated = Simulated::new(system);
        let mut real = InotifyWorld::new().unwrap();
        let prefix = format!("{}/", dir.path().display());
        let (mut ours, mut theirs) = (HashMap::new(), HashMap::new());
        let mut story = Vec::new();
        for _ in 0..30 {
            if random.below(2) == 0 {
                let operations = possible(&simulated.system.borrow());
                let operation = &operations[random.below(operations.len())];
                if !simulated.system.borrow_mut().act(operation, false) {
                    continue;
                }
                story.push(operation.to_string());
                act(dir.path(), &outside, &mut moved_out, operation);
                continue;
            }
            let directories: Vec<String> = simulated.system.borrow().directories().into_iter().collect();
            let directory = directories[random.below(directories.len())].clone();
            let next = match random.below(6) {
                0..=2 => Call::Watch(directory),
                3 => Call::Unwatch(1 + random.below(5) as i32),
                4 => Call::List(directory),
                _ => Call::Read,
            };
            story.push(match &next {
                Call::Watch(directory) => format!("    watch {directory}"),
                Call::Unwatch(wd) => format!("    unwatch {wd}"),
                Call::List(directory) => format!("    list {directory}"),
                Call::Read => "    read".into(),
            });
            let wanted = call(&mut real, &prefix, &next, &mut theirs);
            let found = call(&mut simulated, "", &next, &mut ours);
            assert_eq!(found, wanted, "seed {seed}\n{}", story.join("\n"));
        }
        let wanted = events(&mut real, &mut theirs);
        let found = events(&mut simulated, &mut ours);
        assert_eq!(found, wanted, "seed {seed}, at the end\n{}", story.join("\n"));
    }
}
