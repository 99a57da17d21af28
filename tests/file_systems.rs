//! Setup on the file systems that differ in what a directory's number of links says: that a tree which changes in the meantime is watched
//! whole, and how many system calls a directory takes.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Own, Running, calls, exchange, fast_tempdir, inotifywait, inotifywatch, need, run, traced};
use nix::sys::signal::Signal;

/// How each is mounted on `top`, in a directory of a tmpfs and as root, and the program that makes it.
const FILE_SYSTEMS: [(&str, &str, &str); 5] = [
    ("tmpfs", "sh", ":"),
    (
        "ext4",
        "/usr/sbin/mkfs.ext4",
        "truncate -s 64M image; mkfs.ext4 -q -N 30000 image; mount -o loop image top",
    ),
    ("xfs", "/usr/sbin/mkfs.xfs", "truncate -s 320M image; mkfs.xfs -q image; mount -o loop image top"),
    ("btrfs", "/usr/sbin/mkfs.btrfs", "truncate -s 256M image; mkfs.btrfs -q image; mount -o loop image top"),
    (
        "overlayfs",
        "mount",
        "mkdir base; mount -t tmpfs none base; mkdir base/low base/up base/work; \
         mount -t overlay -o lowerdir=base/low,upperdir=base/up,workdir=base/work none top",
    ),
];

/// A directory with an empty file system of that kind in `top`; `None` where that cannot be had.
fn with_file_system(name: &str) -> Option<Own> {
    let (_, tool, script) = FILE_SYSTEMS.into_iter().find(|(known, _, _)| *known == name)?;
    let own = if need(tool) { Own::new() } else { None }?;
    let mut command = Command::new("sh");
    command.args(["-ec", &format!("mkdir top; {script}")]);
    let (output, text) = run(command.current_dir(own.path()));
    match output.status.success() {
        true => Some(own),
        false => {
            common::skip(&format!("no {name} can be mounted: {text}"));
            None
        }
    }
}

/// Every directory below `top`, relative to it.
fn directories(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![top.to_path_buf()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
        found.push(at.strip_prefix(top).unwrap().to_path_buf());
    }
    found
}

/// How many directories stand in one that holds nothing else.
const MANY: usize = 2_000;

/// Makes, fills, renames, moves and removes directories until told to stop.
fn churn(top: &Path, own: usize, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        // Another thread may have moved it away, or put its own there: every call may fail.
        let outer = top.join(format!("d{}", number * 7 % 40));
        let made = outer.join(format!("new{own}-{}", number % 50));
        let _ = fs::create_dir_all(made.join("a/b"));
        let _ = fs::write(made.join("a/f"), "");
        // In a directory of many a name has been read long before it is watched.
        let one_of_many = top.join(format!("flat/m{}", number * 13 % MANY));
        let _ = fs::remove_dir(&one_of_many);
        let _ = fs::create_dir(top.join(format!("flat/m{}", number * 13 % MANY + number % 2 * MANY)));
        match number % 5 {
            0 => drop(fs::remove_dir_all(&made)),
            1 => drop(fs::rename(&made, top.join(format!("d{}/s{}", number % 40, number % 30)))),
            2 => drop(fs::rename(&outer, top.join(format!("d{}", number * 11 % 40)))),
            3 => drop(exchange(&outer, &top.join(format!("d{}", number * 11 % 40)))),
            _ => drop(fs::remove_dir_all(outer.join(format!("s{}", number % 30)))),
        }
    }
}

/// While others change the tree at full speed, the set-up ends without an error, and then every directory that
/// is there is watched under its true path.
fn set_up_under_churn(tool: &str, dir: &Path, rounds: usize) {
    for round in 0..rounds {
        let dir = dir.join(format!("round{round}"));
        let top = dir.join("top");
        for outer in 0..40 {
            for inner in 0..30 {
                fs::create_dir_all(top.join(format!("d{outer}/s{inner}"))).unwrap();
            }
        }
        for number in 0..MANY {
            fs::create_dir_all(top.join(format!("flat/m{number}"))).unwrap();
        }
        let over = AtomicBool::new(false);
        let mut run = thread::scope(|scope| {
            struct Over<'a>(&'a AtomicBool);
            impl Drop for Over<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }
            let stop = Over(&over);
            let (top, over) = (&top, &over);
            for own in 0..2 {
                scope.spawn(move || churn(top, own, over));
            }
            let command = match tool {
                "inotifywait" => inotifywait(&dir, ["-m", "-r", "-e", "create", "top"]),
                _ => inotifywatch(&dir, ["-r", "-e", "create", "top"]),
            };
            let mut run = Running::start(command);
            run.wait_ready();
            drop(stop);
            run
        });
        run.wait_asleep();
        let all = directories(&top);
        every_inode_is_watched(&run, &top, &all);
        let watched = |path: &Path| match path.as_os_str().is_empty() {
            true => "top/".to_owned(),
            false => format!("top/{}/", path.display()),
        };
        for path in &all {
            fs::write(top.join(path).join("sentinel"), "").unwrap();
        }
        run.wait_asleep();
        let end = match tool {
            "inotifywait" => run.stop(),
            _ => {
                run.signal(Signal::SIGINT);
                run.finish()
            }
        };
        let lines = end.lines();
        let mut wanted: Vec<String> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        if tool == "inotifywait" {
            wanted.extend(all.iter().map(|path| format!("{} CREATE sentinel", watched(path))));
            seen.extend(lines.into_iter().filter(|line| line.ends_with(" sentinel")));
        } else {
            // A row for each, for each of them had an event.
            wanted.extend(all.iter().map(|path| watched(path)));
            let names = lines.iter().skip(1).filter_map(|line| line.rsplit(' ').next());
            seen.extend(names.filter(|name| wanted.iter().any(|wanted| wanted == name)).map(str::to_owned));
        }
        wanted.sort();
        seen.sort();
        let missing: Vec<&String> = wanted.iter().filter(|line| seen.binary_search(line).is_err()).collect();
        let wrong: Vec<&String> = seen.iter().filter(|line| wanted.binary_search(line).is_err()).collect();
        let what = format!("each directory once under its own path; missing {missing:?}, wrong {wrong:?}");
        end.check(&what, seen == wanted);
        // The kernel's queue may have been too short, which is said.
        const USUAL: [&str; 7] = [
            "Setting up",
            "Watches established",
            "Establishing",
            "Finished establishing",
            "Events were lost",
            "Deleted files, and the old names",
            "For a longer queue",
        ];
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        let usual = |line: &str| USUAL.iter().any(|start| line.starts_with(start));
        end.check("no error", said.lines().all(usual));
    }
}

/// The kernel's own list of the watches names the inode of each directory, and no other.
fn every_inode_is_watched(run: &Running, top: &Path, directories: &[PathBuf]) {
    let wanted: BTreeSet<u64> =
        directories.iter().map(|path| fs::metadata(top.join(path)).unwrap().ino()).collect();
    let infos = fs::read_dir(format!("/proc/{}/fdinfo", run.pid())).unwrap().flatten();
    let text: String = infos.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
    let inode = |line: &str| {
        let (_, rest) = line.strip_prefix("inotify wd:")?.split_once("ino:")?;
        u64::from_str_radix(rest.split(' ').next()?, 16).ok()
    };
    let watched: BTreeSet<u64> = text.lines().filter_map(inode).collect();
    let missing: Vec<_> = wanted.difference(&watched).collect();
    let needless: Vec<_> = watched.difference(&wanted).collect();
    assert!(missing.is_empty() && needless.is_empty(), "missing {missing:?}, needless {needless:?}");
}

/// Set up on a file system of that kind.
fn on(name: &str) {
    if let Some(own) = with_file_system(name) {
        set_up_under_churn("inotifywait", &own.path().join("top"), 1);
    }
}

#[test]
fn a_tree_that_changes_on_tmpfs() {
    set_up_under_churn("inotifywait", fast_tempdir().path(), 3);
}

#[test]
fn a_tree_that_changes_is_counted() {
    set_up_under_churn("inotifywatch", fast_tempdir().path(), 3);
}

#[test]
fn a_tree_that_changes_on_ext4() {
    on("ext4");
}

#[test]
fn a_tree_that_changes_on_xfs() {
    on("xfs");
}

#[test]
fn a_tree_that_changes_on_btrfs() {
    on("btrfs");
}

#[test]
fn a_tree_that_changes_on_overlayfs() {
    on("overlayfs");
}

/// The system calls of a setup, from the watch of the operand on.
fn calls_of_setup(top: &Path) -> usize {
    let mut strace = Command::new("strace");
    let log = top.with_extension("log");
    strace.args(["-f", "-o"]).arg(&log).arg(common::binary("inotifywait"));
    strace.args(["-q", "-r", "-e", "all_events", "-t", "0.01"]).arg(top);
    let (output, text) = run(&mut strace);
    assert_eq!(output.status.code(), Some(2), "{text}");
    calls(&log).iter().skip_while(|line| !line.contains("inotify_add_watch")).count()
}

#[test]
fn system_calls_of_a_directory() {
    const COUNT: usize = 200;
    if !need("strace") {
        return;
    }
    // What the status does not tell has to be read: for each that is empty, that has a file, and that has a directory as well.
    for (name, empty, leaf, both) in [
        ("tmpfs", 2, 2, 14),
        ("ext4", 2, 2, 14),
        ("xfs", 2, 2, 14),
        ("btrfs", 3, 9, 26),
        ("overlayfs", 8, 8, 26),
    ] {
        let Some(own) = with_file_system(name) else { continue };
        // With a directory in it, that one and itself are counted: it is read on any file system.
        for (below, file, most) in [("", "", empty), ("", "file", leaf), ("below", "file", both)] {
            let mut counts = [COUNT, 2 * COUNT].map(|count| {
                let top = own.path().join(format!("top/{below}{file}{count}"));
                for number in 0..count {
                    let path = top.join(format!("{number}")).join(below);
                    fs::create_dir_all(&path).unwrap();
                    if !file.is_empty() {
                        fs::write(path.join(file), "").unwrap();
                    }
                }
                calls_of_setup(&top)
            });
            counts.reverse();
            let each = (counts[0] - counts[1]).div_ceil(COUNT);
            eprintln!("{name}, '{below}', '{file}': {each} system calls");
            assert!(each <= most, "{name}, '{below}', '{file}': {each} system calls");
        }
    }
}

/// The system calls for directories that come to a watched one, all before they are looked at.
fn calls_for_arrivals(own: &Path, count: usize, come: fn(&Path, usize)) -> usize {
    let dir = own.join(format!("{count}"));
    let top = dir.join("watched");
    fs::create_dir_all(&top).unwrap();
    let (mut run, log) = traced(&dir, ["-mr", "watched"]);
    let before = calls(&log).len();
    run.stopped(|| come(&top, count));
    run.expect("a line for each", |lines| lines.len() >= count);
    run.wait_asleep();
    calls(&log).len() - before
}

/// Those that come one after the other are watched together: the queue is not read again for each.
#[test]
fn system_calls_of_a_directory_that_arrives() {
    const COUNT: usize = 100;
    let Some(own) = with_file_system("tmpfs").filter(|_| need("strace")) else { return };
    let made = |top: &Path, count: usize| {
        (0..count).for_each(|number| fs::create_dir(top.join(number.to_string())).unwrap());
    };
    let moved = |top: &Path, count: usize| {
        let out = top.with_extension("out");
        fs::create_dir(&out).unwrap();
        for number in 0..count {
            let from = out.join(number.to_string());
            fs::create_dir(&from).unwrap();
            fs::rename(from, top.join(number.to_string())).unwrap();
        }
    };
    for (what, come) in [("made", made as fn(&Path, usize)), ("moved", moved)] {
        let dir = own.path().join("top").join(what);
        fs::create_dir(&dir).unwrap();
        let [few, many] = [COUNT, 2 * COUNT].map(|count| calls_for_arrivals(&dir, count, come));
        // With one more batch of them.
        let each = (many - few) as f64 / COUNT as f64;
        eprintln!("{what}: {each} system calls");
        assert!(each < 2.3, "{what}: {each} system calls");
    }
}
