//! The simulated file system and the real one, with the same operations, queue the same events.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::truncate;

use super::*;
use crate::sys::directory::open_path;
use crate::sys::fanotify::{Group, Target, decoded, handle_of};

/// In the environment of a copy of the test that does what its stdin says.
const WORKER: &str = "SIMULATED_WORKER";

/// A process that does operations in a directory.
struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    fn new(directory: &Path) -> Worker {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "fanotify::simulated::held_to_the_kernel::worker", "--nocapture"]);
        command.env(WORKER, "1").current_dir(directory);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Worker { child, stdin, stdout: BufReader::new(stdout) }
    }

    fn act(&mut self, operation: &Operation) -> bool {
        writeln!(self.stdin, "{operation}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the worker ended");
            if let Some((_, answer)) = line.trim_end().rsplit_once("answer ") {
                return answer == "true";
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn real(path: &str) -> PathBuf {
    path.strip_prefix('~')
        .map_or_else(|| Path::new("tree").join(path), |path| Path::new("outside").join(path))
}

fn act(operation: &Operation) -> bool {
    match operation {
        Operation::Mkdir(path) => fs::create_dir(real(path)).is_ok(),
        Operation::Create(path) => mknod(&real(path), SFlag::S_IFREG, Mode::S_IRWXU, 0).is_ok(),
        Operation::Remove(path) => match fs::symlink_metadata(real(path)) {
            Ok(status) if status.is_dir() => fs::remove_dir(real(path)).is_ok(),
            _ => fs::remove_file(real(path)).is_ok(),
        },
        Operation::Rename(from, to) => fs::rename(real(from), real(to)).is_ok(),
        Operation::Exchange(one, other) => {
            let flags = RenameFlags::RENAME_EXCHANGE;
            renameat2(AT_FDCWD, &real(one), AT_FDCWD, &real(other), flags).is_ok()
        }
        Operation::Link(from, to) => fs::hard_link(real(from), real(to)).is_ok(),
        Operation::Write(path) => {
            let length = fs::metadata(real(path)).map_or(0, |status| status.len());
            truncate(&real(path), length as libc::off_t + 1).is_ok()
        }
        Operation::Open(path) => {
            let path = real(path);
            open_directory(&path).is_some()
        }
        Operation::Hold(_) | Operation::Release => unreachable!("{operation}"),
    }
}

fn open_directory(path: &Path) -> Option<OwnedFd> {
    use nix::fcntl::open;
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()).ok()
}

#[test]
fn worker() {
    if std::env::var_os(WORKER).is_some() {
        for line in std::io::stdin().lines() {
            println!("answer {}", act(&Operation::parse(&line.unwrap()).unwrap()));
        }
    }
}

impl Random {
    fn path(&mut self) -> String {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let names: Vec<&str> = (0..=self.below(3)).map(|_| NAMES[self.below(3)]).collect();
        let outside = if self.below(6) == 0 { "~" } else { "" };
        format!("{outside}{}", names.join("/"))
    }

    fn operation(&mut self) -> Operation {
        match self.below(12) {
            0 | 1 => Operation::Mkdir(self.path()),
            2 => Operation::Create(self.path()),
            3 | 4 => Operation::Remove(self.path()),
            5..8 => Operation::Rename(self.path(), self.path()),
            8 => Operation::Exchange(self.path(), self.path()),
            9 => Operation::Link(self.path(), self.path()),
            10 => Operation::Write(self.path()),
            _ => Operation::Open(self.path()),
        }
    }
}

/// A file system of the test's own.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// `None` where it cannot be had.
    fn new() -> Option<Mounted> {
        let directory = tempfile::tempdir().unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).ok()?;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).ok()?;
        mount(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).ok()?;
        Some(Mounted(directory))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// The real side: the same inodes by their handles.
struct Real {
    group: Group,
    root: PathBuf,
    inodes: HashMap<Box<Handle>, Inode>,
    workers: Vec<Worker>,
}

impl Real {
    fn open(&self, path: &Path) -> OwnedFd {
        open_path(self.root.join(path).as_os_str().as_bytes(), OFlag::O_NOFOLLOW).unwrap()
    }

    fn events(&self) -> Vec<Queued> {
        let mut bytes = Vec::new();
        self.group.read(&mut bytes).unwrap();
        let entry = |entry: Option<crate::sys::fanotify::Entry>| {
            entry
                .map(|entry| (self.inodes[entry.directory], String::from_utf8_lossy(entry.name).into_owned()))
        };
        let process = |pid: i32| {
            let worker = self.workers.iter().position(|worker| worker.child.id() as i32 == pid);
            worker.map_or(-1, |worker| worker as i32 + 1)
        };
        let events = decoded(&bytes).map(|event| Queued {
            mask: event.mask,
            process: process(event.pid),
            place: entry(event.place),
            old: entry(event.old),
            new: entry(event.new),
            object: event.object.map(|object| self.inodes[object]),
        });
        events.collect()
    }
}

const FOLLOWED: u64 = FAN_CREATE | FAN_DELETE | FAN_DELETE_SELF | FAN_RENAME | FAN_ONDIR;
const MORE: u64 = FOLLOWED | FAN_MODIFY | FAN_OPEN | libc::FAN_CLOSE_NOWRITE;

#[test]
fn the_same_operations_queue_the_same_events() {
    let Some(mounted) = Mounted::new() else { return };
    let runs = std::env::var("SIMULATED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(24);
    for run in 0..runs {
        let whole = run % 2 == 0;
        let mask = if run % 4 < 2 { FOLLOWED } else { MORE };
        let mask = if whole { mask } else { mask | FAN_MOVE_SELF };
        compare(mounted.0.path(), 1 + run, whole, mask);
    }
}

fn compare(top: &Path, seed: u64, whole: bool, mask: u64) {
    let root = top.join(seed.to_string());
    fs::create_dir_all(root.join("tree")).unwrap();
    fs::create_dir(root.join("outside")).unwrap();
    let marked = if whole { Marked::Filesystem(mask) } else { Marked::Inodes(BTreeMap::new()) };
    let mut world = World::new(marked);
    let workers = (0..2).map(|_| Worker::new(&root)).collect();
    let group = Group::new().unwrap();
    let mut real = Real { group, root: root.clone(), inodes: HashMap::new(), workers };
    for (path, inode) in [("", 0), ("tree", TREE), ("outside", OUTSIDE)] {
        let object = real.open(Path::new(path));
        real.inodes.insert(handle_of(&object).unwrap(), inode);
        if whole {
            real.group.mark(&object, Target::Filesystem, mask).unwrap();
        }
    }
    let mut random = Random::new(seed);
    let mut story = Vec::new();
    for _ in 0..400 {
        let operation = random.operation();
        let process = random.below(8) / 6;
        let (simulated, done) =
            (world.act(process as i32 + 1, &operation), real.workers[process].act(&operation));
        story.push(format!("{}: {operation} -> {simulated}", process + 1));
        assert_eq!(simulated, done, "seed {seed}: {}", story.join("\n"));
        if let Operation::Mkdir(path) | Operation::Create(path) = &operation {
            if done {
                let (_, inode) = world.look_up(path).unwrap();
                let object = real.open(&super::held_to_the_kernel::real(path));
                real.inodes.insert(handle_of(&object).unwrap(), inode);
            }
        }
        mark_one(&mut world, &real, &mut random, mask);
        if random.below(6) == 0 {
            let (wanted, found) = (real.events(), world.take());
            let show =
                |events: &[Queued]| events.iter().map(|event| format!("  {event}\n")).collect::<String>();
            let told = story.join("\n");
            let (wanted, found) = (show(&wanted), show(&found));
            assert!(wanted == found, "seed {seed}\n{told}\nthe kernel:\n{wanted}simulated:\n{found}");
            story.clear();
        }
    }
}

/// Marks some directory.
fn mark_one(world: &mut World, real: &Real, random: &mut Random, mask: u64) {
    let path = random.path();
    let found = world.look_up(&path).filter(|(_, inode)| world.is_directory(*inode));
    let Marked::Inodes(marks) = &mut world.marked else { return };
    if let Some((_, inode)) = found {
        let mask = mask | libc::FAN_EVENT_ON_CHILD;
        marks.insert(inode, mask);
        real.group.mark(&real.open(&super::held_to_the_kernel::real(&path)), Target::Inode, mask).unwrap();
    }
}
