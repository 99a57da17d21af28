//! fanotify with a mark for each directory or file: what an ordinary user gets, and root without `-r`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::{
    Running, as_nobody, command, deep_directory, fast_tempdir, inotifywait, is_root, need, need_root, skip,
    with_small_cookies, wrapped,
};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

/// A line that shows all.
const LINE: &str = "%w|%f|%e|%c";

/// `inotifywait -F` with arguments, as root if `root`.
fn started(dir: &Path, root: bool, arguments: &[&str]) -> Command {
    let arguments = [&["-F", "--format", LINE], arguments].concat();
    if root { inotifywait(dir, arguments) } else { as_nobody(dir, "inotifywait", arguments) }
}

/// Who there is to run it.
fn users() -> &'static [bool] {
    if is_root() { &[false, true] } else { &[false] }
}

/// Changes of one kind are made when those before were read, so that no two are told as one.
fn step(run: &mut Running, change: impl FnOnce()) {
    run.wait_asleep();
    change();
    run.wait_asleep();
}

fn shell(dir: &Path, script: &str) {
    let output = command(dir, "sh", ["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The lines so far, the directory's own path as `/`.
fn lines(dir: &Path, run: &Running) -> Vec<String> {
    let own = format!("{}/", fs::canonicalize(dir).unwrap().display());
    run.stdout.lines().iter().map(|line| line.replace(&own, "/")).collect()
}

#[test]
fn events_on_a_directory_and_its_entries_are_reported() {
    for &root in users() {
        let dir = fast_tempdir();
        shell(dir.path(), "mkdir -p d/sub/deep; echo > d/f; chmod -R 777 d");
        let mut run = Running::ready(started(dir.path(), root, &["-m", "d"]));
        for change in [
            "cat d/f",
            "ls d/sub/deep d/sub",
            "ls d",
            "mkdir d/n; ls d/n",
            "mv d/sub d/n; ls d/n/sub",
            "mv d/n/sub d/back; ls d/back",
            "mv d/f d/g",
            "chmod 700 d/back; chmod 755 d",
            "rmdir d/n",
        ] {
            step(&mut run, || shell(dir.path(), change));
        }
        let wanted = [
            "/d/|f|ACCESS,CLOSE_NOWRITE,OPEN,CLOSE|0",
            "/d/sub/||ACCESS,CLOSE_NOWRITE,OPEN,CLOSE,ISDIR|0",
            "/d/||ACCESS,CLOSE_NOWRITE,OPEN,CLOSE,ISDIR|0",
            "/d/|n|CREATE,ISDIR|0",
            "/d/n/||ACCESS,CLOSE_NOWRITE,OPEN,CLOSE,ISDIR|0",
            "/d/|sub|MOVED_FROM,ISDIR|1",
            "/d/|back|MOVED_TO,ISDIR|2",
            "/d/back/||ACCESS,CLOSE_NOWRITE,OPEN,CLOSE,ISDIR|0",
            "/d/|f|MOVED_FROM|3",
            "/d/|g|MOVED_TO|3",
            "/d/back/||ATTRIB,ISDIR|0",
            "/d/||ATTRIB,ISDIR|0",
            "/d/|n|DELETE,ISDIR|0",
        ];
        assert_eq!(as_one(with_small_cookies(lines(dir.path(), &run), '|')), wanted);
        run.stop().killed_by(Signal::SIGTERM);
    }
}

/// Lines on one object, one after the other, that are one line when they are read late enough.
fn as_one(lines: Vec<String>) -> Vec<String> {
    const ORDER: [&str; 7] = ["ACCESS", "MODIFY", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "CLOSE", "ISDIR"];
    let mut joined: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split('|').collect();
        let place = format!("{}|{}", fields[0], fields[1]);
        let events: Vec<String> = fields[2].split(',').map(str::to_owned).collect();
        let plain = events.iter().all(|event| ORDER.contains(&&**event));
        match joined.last_mut() {
            Some((before, known)) if *before == place && plain && ORDER.contains(&&*known[0]) => {
                known.extend(events);
            }
            _ => joined.push((place, if plain { events } else { vec![fields[2..].join("|")] })),
        }
    }
    let shown = |(place, events): (String, Vec<String>)| {
        if !ORDER.contains(&&*events[0]) {
            return format!("{place}|{}", events[0]);
        }
        let events = ORDER.iter().filter(|event| events.iter().any(|found| found == *event));
        format!("{place}|{}|0", events.copied().collect::<Vec<_>>().join(","))
    };
    joined.into_iter().map(shown).collect()
}

#[test]
fn new_and_renamed_directories_are_followed() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/a/b o/x; echo > o/f; chmod -R 777 d o");
    let events = "create,delete,move,delete_self,move_self,close_write";
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-r", "-e", events, "d"]));
    for change in [
        "mkdir -p d/n/m",
        "echo > d/n/m/f",
        "mv d/a d/c; echo > d/c/b/f",
        "mv d/c/b d/n; echo > d/n/b/g",
        "mv o/x d",
        "echo > d/x/f",
        "mv d/x o; echo > o/x/g",
        "rmdir d/c; mkdir d/c",
        "echo > d/c/f",
        "mv o/f d",
        "rm -r d/c",
    ] {
        step(&mut run, || shell(dir.path(), change));
    }
    let wanted = [
        "/d/|n|CREATE,ISDIR|0",
        "/d/n/|m|CREATE,ISDIR|0",
        "/d/n/m/|f|CREATE|0",
        "/d/n/m/|f|CLOSE_WRITE,CLOSE|0",
        "/d/|a|MOVED_FROM,ISDIR|1",
        "/d/|c|MOVED_TO,ISDIR|1",
        "/d/c/||MOVE_SELF,ISDIR|0",
        "/d/c/b/|f|CREATE|0",
        "/d/c/b/|f|CLOSE_WRITE,CLOSE|0",
        "/d/c/|b|MOVED_FROM,ISDIR|2",
        "/d/n/|b|MOVED_TO,ISDIR|2",
        "/d/n/b/||MOVE_SELF,ISDIR|0",
        "/d/n/b/|g|CREATE|0",
        "/d/n/b/|g|CLOSE_WRITE,CLOSE|0",
        "/d/|x|MOVED_TO,ISDIR|3",
        "/d/x/|f|CREATE|0",
        "/d/x/|f|CLOSE_WRITE,CLOSE|0",
        "/d/|x|MOVED_FROM,ISDIR|4",
        "/d/x/||MOVE_SELF,ISDIR|0",
        "/d/c/||DELETE_SELF,ISDIR|0",
        "/d/|c|DELETE,ISDIR|0",
        "/d/|c|CREATE,ISDIR|0",
        "/d/c/|f|CREATE|0",
        "/d/c/|f|CLOSE_WRITE,CLOSE|0",
        "/d/|f|MOVED_TO|5",
        "/d/c/|f|DELETE|0",
        "/d/c/||DELETE_SELF,ISDIR|0",
        "/d/|c|DELETE,ISDIR|0",
    ];
    // What is new is told as it was found, or as it was heard.
    let mut found = with_small_cookies(lines(dir.path(), &run), '|');
    found.dedup();
    assert_eq!(found, wanted);
}

#[test]
fn a_file_and_a_link() {
    for &root in users() {
        let dir = fast_tempdir();
        shell(dir.path(), "echo > f; chmod 666 f; mkdir e; chmod 777 e; mv f e; ln -s e/f l");
        let mut run = Running::ready(started(dir.path(), root, &["-m", "l"]));
        for change in ["cat e/f", "chmod 600 e/f", "mv e/f e/g", "chmod 400 e/g", "rm e/g"] {
            step(&mut run, || shell(dir.path(), change));
        }
        // Who may not look for it learns the new name from the next event that tells one.
        let moved = if root { "/e/|g|MOVE_SELF|0" } else { "/e/|f|MOVE_SELF|0" };
        let wanted = [
            "/e/|f|ACCESS,CLOSE_NOWRITE,OPEN,CLOSE|0",
            "/e/|f|ATTRIB|0",
            moved,
            "/e/|g|ATTRIB|0",
            "/e/|g|ATTRIB|0",
            "/e/|g|DELETE_SELF|0",
        ];
        assert_eq!(as_one(lines(dir.path(), &run)), wanted);

        let mut run =
            Running::ready(started(dir.path(), root, &["-m", "-P", "-e", "attrib,delete_self", "l"]));
        step(&mut run, || shell(dir.path(), "rm l"));
        assert_eq!(lines(dir.path(), &run), ["/|l|ATTRIB|0", "/|l|DELETE_SELF|0"]);
    }
}

/// The events of which they are told are not among those that tell where they are.
#[test]
fn subdirectories_are_followed_for_any_requested_event() {
    for &root in users() {
        let dir = fast_tempdir();
        shell(dir.path(), "mkdir -p d/old; chmod -R 777 d");
        let mut run = Running::ready(started(dir.path(), root, &["-m", "-e", "attrib", "d"]));
        step(&mut run, || shell(dir.path(), "chmod 700 d/old; mkdir d/new; chmod 700 d/new"));
        step(&mut run, || shell(dir.path(), "mv d/new d/newer; mv d/old .; mkdir d/new"));
        step(&mut run, || {
            shell(dir.path(), "chmod 755 d/newer; chmod 755 d/new; chmod 755 old; rmdir d/new")
        });
        let wanted = ["/d/old/||ATTRIB,ISDIR|0", "/d/new/||ATTRIB,ISDIR|0", "/d/newer/||ATTRIB,ISDIR|0"];
        let mut told = lines(dir.path(), &run);
        told.dedup();
        assert_eq!(told, [&wanted[..], &["/d/new/||ATTRIB,ISDIR|0"]].concat());
    }
}

/// Also unread, and where a directory above it is renamed, which no event tells.
#[test]
fn an_operand_that_was_renamed_has_its_new_path() {
    if !need_root() {
        return;
    }
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p up/d; echo > up/d/f; echo > up/f; ln up/f up/g");
    let operands = ["up/d", "up/f"];
    let events = ["-e", "create,modify,move_self"];
    let mut run = Running::ready(started(dir.path(), true, &[&["-m"][..], &events, &operands].concat()));
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    shell(dir.path(), "mkdir up/d/1; mv up/d up/e; mkdir up/e/2; echo >> up/f");
    run.signal(Signal::SIGCONT);
    step(&mut run, || ());
    step(&mut run, || shell(dir.path(), "mv up down; mkdir down/e/3; echo >> down/g; rm down/g"));
    step(&mut run, || shell(dir.path(), "mv down/f other; mkdir down/e/4; echo >> other"));
    step(&mut run, || shell(dir.path(), "mv other down/e; echo >> down/e/other"));
    let wanted = [
        "/up/d/|1|CREATE,ISDIR|0",
        "/up/e/||MOVE_SELF,ISDIR|0",
        "/up/e/|2|CREATE,ISDIR|0",
        "/up/|f|MODIFY|0",
        "/down/e/|3|CREATE,ISDIR|0",
        "/down/|g|MODIFY|0",
        "/|other|MOVE_SELF|0",
        "/down/e/|4|CREATE,ISDIR|0",
        "/|other|MODIFY|0",
        "/down/e/|other|MOVE_SELF|0",
        "/down/e/|other|MODIFY|0",
    ];
    assert_eq!(lines(dir.path(), &run), wanted);
}

/// As with inotify. A shell gets there step by step.
#[test]
fn an_operand_longer_than_path_max() {
    use nix::sys::stat::{Mode, mkdirat};
    for (root, options) in [(false, "-rm"), (true, "-m")] {
        if root && !is_root() {
            continue;
        }
        let dir = fast_tempdir();
        fs::create_dir(dir.path().join("d")).unwrap();
        let (deep, innermost) = deep_directory(&dir.path().join("d"), 20);
        let deep = format!("d/{}", String::from_utf8(deep).unwrap());
        shell(dir.path(), "chmod -R 777 d");
        let mut run = Running::ready(started(dir.path(), root, &[options, "-e", "create", &deep]));
        step(&mut run, || mkdirat(&innermost, "one", Mode::S_IRWXU).unwrap());
        assert_eq!(lines(dir.path(), &run), [format!("/{deep}|one|CREATE,ISDIR|0")]);
    }
}

#[test]
fn exclusions_apply_to_absolute_paths() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/a d/b d/c; ln -s d e; chmod -R 777 d");
    let path = fs::canonicalize(dir.path().join("d/b")).unwrap();
    let pattern = format!("^{}$", path.join("x").display());
    let arguments = ["-m", "-r", "-e", "create", "--exclude", &pattern, "e", "@d/a", "@e/c/x"];
    let mut run = Running::ready(started(dir.path(), false, &arguments));
    let files = "echo > d/a/f; echo > d/b/x; echo > d/b/y; echo > d/c/x; echo > d/c/y; echo > d/end";
    step(&mut run, || shell(dir.path(), files));
    assert_eq!(lines(dir.path(), &run), ["/d/b/|y|CREATE|0", "/d/c/|y|CREATE|0", "/d/|end|CREATE|0"]);
}

#[test]
fn its_own_actions_are_not_reported() {
    let dir = fast_tempdir();
    for number in 0..300 {
        fs::create_dir_all(dir.path().join(format!("d/{number}/below"))).unwrap();
    }
    shell(dir.path(), "chmod -R 777 d");
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-r", "d"]));
    run.wait_asleep();
    assert_eq!(lines(dir.path(), &run), [""; 0]);
    // Nor is what it opens to look into what is new.
    step(&mut run, || fs::create_dir(dir.path().join("d/n")).unwrap());
    step(&mut run, || fs::create_dir(dir.path().join("d/n/m")).unwrap());
    let mut found = lines(dir.path(), &run);
    found.dedup();
    assert_eq!(found, ["/d/|n|CREATE,ISDIR|0", "/d/n/|m|CREATE,ISDIR|0"]);
    // With others' doing next to it.
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-o", "d/log", "-e", "modify", "d"]));
    step(&mut run, || shell(dir.path(), "echo > d/f"));
    assert_eq!(fs::read_to_string(dir.path().join("d/log")).unwrap().lines().count(), 1);
}

#[test]
fn only_requested_events_are_reported() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir d; chmod 777 d");
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-r", "-e", "moved_to,modify", "d"]));
    run.signal(Signal::SIGSTOP);
    shell(dir.path(), "echo > d/f; mv d/f d/g; rm d/g; mkdir d/n; rmdir d/n");
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    assert_eq!(lines(dir.path(), &run).len(), 2, "{:?}", lines(dir.path(), &run));
    // For lsdir the kernel tells of any reading.
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-e", "lsdir,open", "d"]));
    shell(dir.path(), "echo > d/f");
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    shell(dir.path(), "cat d/f; ls d");
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    assert_eq!(lines(dir.path(), &run), ["/d/|f|OPEN|0", "/d/|f|OPEN|0", "/d/||ACCESS,OPEN,ISDIR|0"]);
}

/// What is told as one has an order all the same.
#[test]
fn merged_events_are_reported_in_order() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/a; chmod -R 777 d");
    let events = "create,delete,move,close_write,open,delete_self";
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-r", "-e", events, "d"]));
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    let at = |name: &str| dir.path().join("d").join(name);
    // All by this process, as one.
    fs::write(at("f"), "x").unwrap();
    fs::remove_file(at("f")).unwrap();
    fs::create_dir(at("n")).unwrap();
    fs::rename(at("n"), at("m")).unwrap();
    fs::rename(at("m"), at("n")).unwrap();
    fs::remove_dir(at("n")).unwrap();
    for _ in 0..2 {
        fs::rename(at("a"), at("b")).unwrap();
        fs::rename(at("b"), at("a")).unwrap();
    }
    fs::rename(at("a"), at("b")).unwrap();
    fs::write(at("x"), "").unwrap();
    fs::hard_link(at("x"), at("y")).unwrap();
    fs::remove_file(at("x")).unwrap();
    fs::hard_link(at("y"), at("x")).unwrap();
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    step(&mut run, || fs::write(at("b/f"), "").unwrap());
    let mut found = with_small_cookies(lines(dir.path(), &run), '|');
    found.truncate(21);
    let wanted = [
        "/d/|f|CREATE|0",
        "/d/|f|CLOSE_WRITE,OPEN,CLOSE|0",
        "/d/|f|DELETE|0",
        "/d/|n|CREATE,ISDIR|0",
        "/d/|n|MOVED_FROM,ISDIR|1",
        "/d/|m|MOVED_TO,ISDIR|1",
        "/d/|m|MOVED_FROM,ISDIR|2",
        "/d/|n|MOVED_TO,ISDIR|2",
        "/d/|n|DELETE,ISDIR|0",
        "/d/|a|MOVED_FROM,ISDIR|3",
        "/d/|b|MOVED_TO,ISDIR|3",
        "/d/|b|MOVED_FROM,ISDIR|4",
        "/d/|a|MOVED_TO,ISDIR|4",
        "/d/|x|CREATE|0",
        "/d/|x|CLOSE_WRITE,OPEN,CLOSE|0",
        "/d/|x|DELETE|0",
        "/d/|y|CREATE|0",
        // The kernel has made two of five renames, and one of two creations of a file; a look shows what is missing.
        "/d/|a|MOVED_FROM,ISDIR|5",
        "/d/|b|MOVED_TO,ISDIR|5",
        "/d/|x|CREATE|0",
        "/d/b/|f|CREATE|0",
    ];
    assert_eq!(found, wanted);
}

/// A rename that became one with an earlier one is told before something else appears in its place.
#[test]
fn missed_events_are_reported_first() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/one/below d/other; chmod -R 777 d");
    let mut run = Running::ready(started(dir.path(), false, &["-m", "-r", "-e", "create,delete,move", "d"]));
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    let rename = |from: &str, to: &str| {
        fs::rename(dir.path().join("d").join(from), dir.path().join("d").join(to)).unwrap();
    };
    for _ in 0..2 {
        rename("one", "two");
        rename("two", "one");
    }
    // As the third of its kind, and unheard.
    rename("one", "two");
    shell(dir.path(), "mkdir d/one d/one/new; echo > d/two/below/f");
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    step(&mut run, || shell(dir.path(), "echo > d/one/new/g; echo > d/two/below/h"));
    let wanted = [
        "/d/|one|MOVED_FROM,ISDIR|1",
        "/d/|two|MOVED_TO,ISDIR|1",
        "/d/|two|MOVED_FROM,ISDIR|2",
        "/d/|one|MOVED_TO,ISDIR|2",
        "/d/|one|MOVED_FROM,ISDIR|3",
        "/d/|two|MOVED_TO,ISDIR|3",
        "/d/|one|CREATE,ISDIR|0",
        "/d/two/below/|f|CREATE|0",
        "/d/one/|new|CREATE,ISDIR|0",
        "/d/one/new/|g|CREATE|0",
        "/d/two/below/|h|CREATE|0",
    ];
    assert_eq!(with_small_cookies(lines(dir.path(), &run), '|'), wanted);
}

/// An ordinary user cannot ask where another directory is: the file keeps the last path that is known.
#[test]
fn a_file_that_leaves_its_directory_keeps_its_path() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir d other; echo > d/f; chmod -R 777 .");
    let mut running = Running::ready(started(dir.path(), false, &["-m", "-e", "modify", "d/f"]));
    for (change, path) in [
        ("echo > d/f", "d/|f"),
        ("mv d/f d/g; echo > d/g", "d/|g"),
        ("mv d/g other/h; echo > other/h", "d/|g"),
    ] {
        step(&mut running, || shell(dir.path(), change));
        let last = lines(dir.path(), &running).pop().unwrap();
        assert!(last.starts_with(&format!("/{path}|")), "{change}: {last}");
    }
    running.stop();
}

/// The marks on one that is still in use stay for a while, and are looked for again. Another is unmounted before that is due.
#[test]
fn two_unmounts_in_a_row_leave_nothing_to_do() {
    let Some(own) = common::Own::new() else { return };
    for name in ["a", "b", "c"] {
        fs::create_dir(own.path().join(name)).unwrap();
    }
    for _ in 0..20 {
        let (a, b) = (own.path().join("a"), own.path().join("b"));
        common::mount_tmpfs(&a).unwrap();
        common::mount_tmpfs(&b).unwrap();
        let mut running = Running::ready(started(own.path(), true, &["-m", "-e", "unmount", "a", "b", "c"]));
        running.wait_asleep();
        let in_use = fs::File::create(a.join("file")).unwrap();
        umount2(&a, MntFlags::MNT_DETACH).unwrap();
        // The mounts have been looked at.
        running.wait_asleep();
        drop(in_use);
        umount2(&b, MntFlags::empty()).unwrap();
        running.expect("both ends", |lines| lines.len() == 2);
        running.wait_asleep();
        running.stop();
    }
}

#[test]
fn an_unmount_is_reported() {
    if !need_root() || !need("umount") {
        return;
    }
    let dir = fast_tempdir();
    let mount = dir.path().join("m");
    fs::create_dir(&mount).unwrap();
    let mounted = || Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).status().unwrap();
    if !mounted().success() {
        skip("cannot mount");
        return;
    }
    shell(&mount, "mkdir -p d/e; chmod -R 777 .");
    let umount = || assert!(Command::new("umount").arg(&mount).status().unwrap().success());
    let mut once = Running::ready(started(dir.path(), false, &["-r", "-e", "create", "m/d"]));
    let mut asked = Running::ready(started(dir.path(), true, &["-e", "unmount", "m/d"]));
    let mut goes_on = Running::ready(started(dir.path(), false, &["-m", "-r", "-e", "unmount", "m", "."]));
    let mut counted =
        Running::ready(as_nobody(dir.path(), "inotifywatch", ["-F", "-r", "-e", "unmount", "m"]));
    for run in [&mut once, &mut asked, &mut goes_on, &mut counted] {
        run.wait_asleep();
    }
    // It is not busy.
    umount();
    once.finish().code(1).printed("");
    asked.finish().code(0);
    goes_on.expect("three lines", |lines| lines.len() == 3);
    let lines = lines(dir.path(), &goes_on);
    assert!(lines.iter().all(|line| line.ends_with("||UNMOUNT,ISDIR|0")), "{lines:?}");
    goes_on.wait_asleep();
    assert!(!goes_on.has_ended());
    counted.wait_asleep();
    counted.signal(Signal::SIGINT);
    let end = counted.finish();
    end.code(0).check("three", String::from_utf8_lossy(&end.stdout).lines().count() == 4);
    // A change of other mounts is nothing.
    assert!(mounted().success());
    let mut other = Running::ready(started(dir.path(), false, &["-m", "-e", "unmount,create", "."]));
    umount();
    step(&mut other, || shell(dir.path(), "echo > f"));
    assert_eq!(other.stdout.lines().len(), 1);
}

/// Mounted and uncovered directories are watched, those of a directory that is mounted twice also when the first mount is gone.
#[test]
fn mounts_below_the_operand_are_followed() {
    let Some(own) = common::Own::new() else { return };
    let dir = own.path();
    shell(dir, "mkdir -p d/a d/b d/m out; chmod -R 777 .");
    for at in ["d/a", "d/b"] {
        common::mount_bind(&dir.join("out"), &dir.join(at)).unwrap();
    }
    let mut run = Running::ready(started(dir, false, &["-m", "-r", "-e", "create,unmount", "d"]));
    step(&mut run, || fs::write(dir.join("out/1"), "").unwrap());
    // Which comes first depends on the order of the directory.
    let [first, second] = if lines(dir, &run) == ["/d/a/|1|CREATE|0"] { ["a", "b"] } else { ["b", "a"] };
    step(&mut run, || umount2(&dir.join("d").join(first), MntFlags::empty()).unwrap());
    step(&mut run, || shell(dir, &format!("echo >out/2; echo >d/{first}/3")));
    step(&mut run, || common::mount_tmpfs(&dir.join("d/m")).unwrap());
    step(&mut run, || shell(dir, "mkdir -m 777 d/m/sub; echo >d/m/sub/4"));
    step(&mut run, || umount2(&dir.join("d/m"), MntFlags::empty()).unwrap());
    step(&mut run, || shell(dir, "echo >d/m/5"));
    let found = lines(dir, &run);
    let wanted = [
        &format!("/d/{first}/|1|CREATE|0"),
        &format!("/d/{second}/|2|CREATE|0"),
        &format!("/d/{first}/|3|CREATE|0"),
        "/d/m/|sub|CREATE,ISDIR|0",
        "/d/m/sub/|4|CREATE|0",
        "/d/m/||UNMOUNT,ISDIR|0",
        "/d/m/sub/||UNMOUNT,ISDIR|0",
        "/d/m/|5|CREATE|0",
    ];
    if found != wanted {
        run.fail(&format!("wanted:\n{}\ngot:\n{}", wanted.join("\n"), found.join("\n")));
    }
}

fn queue_limit() -> usize {
    fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap().trim().parse().unwrap()
}

#[test]
fn after_an_overflow_the_tree_is_whole() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/stays/below d/goes d/deleted; chmod -R 777 d");
    let arguments = ["-m", "-r", "-e", "create,q_overflow", "d"];
    let mut run = Running::ready(started(dir.path(), false, &arguments));
    run.signal(Signal::SIGSTOP);
    for number in 0..=queue_limit() {
        fs::write(dir.path().join(format!("d/f{number}")), "").unwrap();
    }
    shell(
        dir.path(),
        "mv d/stays d/renamed; mv d/goes gone; rmdir d/deleted; mkdir -p d/deleted d/new/below",
    );
    run.signal(Signal::SIGCONT);
    run.expect_line("||Q_OVERFLOW|0");
    run.wait_asleep();
    let before = run.stdout.lines().len();
    let files = "d/renamed/below/p d/deleted/p d/new/below/p gone/p d/p";
    step(&mut run, || shell(dir.path(), &format!("touch {files}")));
    let wanted = ["/d/renamed/below/", "/d/deleted/", "/d/new/below/", "/d/"];
    assert_eq!(lines(dir.path(), &run)[before..], wanted.map(|path| format!("{path}|p|CREATE|0")));
    let end = run.stop();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    end.check("what to raise", said.contains("/proc/sys/fs/fanotify/max_queued_events"));
}

#[test]
fn a_wait_ends_as_with_inotify() {
    for &root in users() {
        let dir = fast_tempdir();
        shell(dir.path(), "mkdir d; chmod 777 d");
        Running::start(started(dir.path(), root, &["-t", "0.01", "d"])).finish().code(2).printed("");
        let once = Running::ready(started(dir.path(), root, &["-e", "create", "d"]));
        shell(dir.path(), "echo > d/f");
        once.finish().code(0);
        let gone = Running::ready(started(dir.path(), root, &["-e", "create", "d"]));
        shell(dir.path(), "rm -r d");
        gone.finish().code(1).printed("");
    }
}

#[test]
fn a_stalled_reader_gets_everything_and_a_closed_one_ends_it() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir d; chmod 777 d");
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut reader = fs::File::from(reader);
    let mut command = started(dir.path(), false, &["-m", "-e", "create", "d"]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    let count = 2 * queue_limit();
    for batch in 0..20 {
        let range = batch * count / 20..(batch + 1) * count / 20;
        common::create_files(&dir.path().join("d"), "f", range);
        run.wait_asleep();
    }
    let mut found = 0;
    let mut chunk = vec![0; 1 << 20];
    while found < count {
        let length = reader.read(&mut chunk).unwrap();
        found += chunk[..length].iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(found, count);
    run.wait_asleep();
    drop(reader);
    run.finish().killed_by(Signal::SIGPIPE).said("Setting up watches.\nWatches established.\n");
}

/// Starts the rest of its arguments with `max_fanotify_WHAT` at NUMBER.
const LIMITED: &str = r#"echo "$2" > "/proc/sys/user/max_fanotify_$1"; shift 2; exec "$@""#;

fn limited(dir: &Path, what: &str, number: &str, tool: &str, arguments: &[&str]) -> Command {
    let words = ["-Ur", "sh", "-ec", LIMITED, "sh", what, number, common::binary(tool), "-F"];
    let mut limited = command(dir, "unshare", words);
    limited.args(arguments);
    limited
}

#[test]
fn limits_are_named() {
    let mut probe = Command::new("unshare");
    probe.args(["-Ur", "sh", "-ec", LIMITED, "sh", "marks", "3", "true"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        skip("user namespaces are not permitted");
        return;
    }
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/a d/b d/c/d/e");
    let end = Running::start(limited(dir.path(), "marks", "3", "inotifywait", &["-r", "-m", "d"])).finish();
    end.code(1).printed("");
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    end.check("which", said.contains("Failed to watch d; upper limit on fanotify marks reached!\n"));
    end.check("where", said.contains("`/proc/sys/fs/fanotify/max_user_marks'"));
    end.check(
        "how many",
        said.contains(
            "Required marks: 6. To raise the limit, run as root of this user namespace: sysctl -w user.max_fanotify_marks=",
        ),
    );

    let arguments = ["-r", "-m", "-e", "create", "d"];
    let mut run = Running::ready(limited(dir.path(), "marks", "6", "inotifywait", &arguments));
    shell(dir.path(), "mkdir d/n");
    run.expect_message("Couldn't watch new directory ");
    run.expect_message(
        "/d/n/: upper limit on fanotify marks reached (limit: /proc/sys/user/max_fanotify_marks)",
    );
    drop(run);

    let end = Running::start(limited(dir.path(), "groups", "0", "inotifywait", &["d"])).finish();
    end.code(1);
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    end.check("which", said.contains("/proc/sys/fs/fanotify/max_user_groups"));
    end.check("where", said.contains("sysctl -w user.max_fanotify_groups="));
}

#[test]
fn an_operand_that_is_not_there() {
    for &root in users() {
        let dir = fast_tempdir();
        let end = Running::start(started(dir.path(), root, &["-q", "missing"])).finish();
        end.code(1).said("Couldn't watch missing: No such file or directory\n");
    }
}

#[test]
fn a_daemon_watches_with_marks() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir d; chmod 777 d");
    let arguments = ["-d", "-o", "log", "-t", "20", "-e", "create", "d"];
    // The daemon lives on; -t ends it whatever happens.
    Running::start(started(dir.path(), false, &arguments)).finish().code(0);
    shell(dir.path(), "echo > d/f");
    let log = dir.path().join("log");
    assert!(common::wait_until(|| fs::read(&log).is_ok_and(|log| log.ends_with(b"\n"))));
    let line = fs::read_to_string(&log).unwrap();
    assert_eq!(line, format!("{}/|f|CREATE|0\n", fs::canonicalize(dir.path().join("d")).unwrap().display()));
}

#[test]
fn a_link_as_an_operand_is_reported_as_its_target() {
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir d; chmod 777 d");
    symlink("d", dir.path().join("l")).unwrap();
    for arguments in [&["-m", "-r", "-e", "create", "l"][..], &["-m", "-e", "create", "l"]] {
        let mut run = Running::ready(started(dir.path(), false, arguments));
        step(&mut run, || shell(dir.path(), "rm -f d/f; echo > d/f"));
        assert_eq!(lines(dir.path(), &run), ["/d/|f|CREATE|0"]);
    }
}

/// Who may mark a whole file system but not look up what its events name takes a mark for each directory.
#[test]
fn where_no_handle_can_be_looked_up() {
    if !need_root() || !need("setpriv") {
        return;
    }
    let without = "exec setpriv --bounding-set=-dac_read_search \"$@\"";
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/sub");
    let arguments = ["-F", "-m", "-r", "-e", "create", "--format", LINE, "d"];
    let mut run = Running::ready(wrapped(dir.path(), without, "inotifywait", arguments));
    step(&mut run, || shell(dir.path(), "echo > d/sub/f"));
    assert_eq!(lines(dir.path(), &run), ["/d/sub/|f|CREATE|0"]);
    run.stop().killed_by(Signal::SIGTERM);
    let end = Running::start(wrapped(dir.path(), without, "inotifywait", ["-S", "d"])).finish();
    end.code(1);
    end.said(
        "Setting up filesystem watches.\n\
         Couldn't add filesystem watch d: Operation not permitted\n\
         fanotify watch requires admin privileges\n",
    );
}

/// Runs `"$@"` as on a kernel before 5.17: fanotify_init(2) knows no FAN_REPORT_TARGET_FID.
const ON_OLDER_KERNEL: &str = r#"exec python3 -c '
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
def step(code, value, yes=0, no=0): return struct.pack("HBBI", code, yes, no, value)
# seccomp(2): the number of the call, then the low half of its first argument; EINVAL, or it is allowed.
number, flag = {"x86_64": 300, "aarch64": 262}[os.uname().machine], 0x1000
steps = [step(0x20, 0), step(0x15, number, 0, 3), step(0x20, 16), step(0x45, flag, 0, 1),
    step(0x06, 0x50000 | 22), step(0x06, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(steps))
program = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program): sys.exit("no seccomp")
os.execv(sys.argv[1], sys.argv[1:])
' "$@""#;

/// Both halves of a rename are told apart there, and may be read apart, too.
#[test]
fn the_events_of_a_rename_on_an_older_kernel() {
    if !need("python3") {
        return;
    }
    let dir = fast_tempdir();
    shell(dir.path(), "mkdir -p d/a d/z; echo > d/a/f");
    let arguments = ["-F", "-m", "-r", "-e", "create,move,move_self", "--format", LINE, "d"];
    let mut run = Running::ready(wrapped(dir.path(), ON_OLDER_KERNEL, "inotifywait", arguments));
    for number in 0..100 {
        let (from, to) = if number % 2 == 0 { ("a", "z/b") } else { ("z/b", "a") };
        step(&mut run, || shell(dir.path(), &format!("mv d/{from} d/{to}")));
    }
    let found = with_small_cookies(lines(dir.path(), &run), '|');
    let mut wanted = Vec::new();
    for number in 0..100 {
        let [from, to, itself] = match number % 2 {
            0 => ["/d/|a", "/d/z/|b", "/d/z/b/|"],
            _ => ["/d/z/|b", "/d/|a", "/d/a/|"],
        };
        wanted.push(format!("{from}|MOVED_FROM,ISDIR|{}", number + 1));
        wanted.push(format!("{to}|MOVED_TO,ISDIR|{}", number + 1));
        wanted.push(format!("{itself}|MOVE_SELF,ISDIR|0"));
    }
    assert_eq!(found, wanted);
}

#[test]
fn whole_file_systems_take_a_newer_kernel() {
    if !need("python3") {
        return;
    }
    let dir = fast_tempdir();
    for option in ["-S", "-M"] {
        let end = Running::start(wrapped(dir.path(), ON_OLDER_KERNEL, "inotifywait", [option, "."])).finish();
        end.code(1);
        end.said(
            "Couldn't initialize fanotify: -S and -M require kernel 5.17; use -F, which watches each directory\n",
        );
    }
}
