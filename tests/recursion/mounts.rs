//! Mounts in a watched tree that come and go. The kernel reports only the end of a file system.

use std::fs;
use std::path::PathBuf;

use nix::mount::umount;
use nix::sys::signal::Signal;

use crate::common::{Own, Running, inotifywait, inotifywatch, mount_bind, mount_tmpfs};

const EVENTS: &str = "create,moved_to,unmount";

/// What it prints of these files, which are made one after the other.
fn made(running: &mut Running, own: &Own, paths: &[&str]) {
    running.wait_asleep();
    for path in paths {
        fs::write(own.path().join(path), "").unwrap();
    }
}

#[test]
fn mounted_and_uncovered_directories_are_watched() {
    let Some(own) = Own::new() else { return };
    fs::create_dir_all(own.path().join("d/m/covered/deep")).unwrap();
    let at = own.path().join("d/m");
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    for round in ["1", "2"] {
        mount_tmpfs(&at).unwrap();
        running.wait_asleep();
        fs::create_dir(at.join(format!("new{round}"))).unwrap();
        made(&mut running, &own, &[&format!("d/m/new{round}/a{round}"), &format!("d/m/b{round}")]);
        running.expect_line(&format!("d/m/b{round} CREATE"));
        umount(&at).unwrap();
        running.expect("the unmount", |lines| {
            let unmounts = lines.iter().filter(|line| *line == "d/m/ UNMOUNT,ISDIR").count();
            unmounts == round.parse::<usize>().unwrap()
        });
        made(&mut running, &own, &[&format!("d/m/c{round}"), &format!("d/m/covered/deep/e{round}")]);
        running.expect_line(&format!("d/m/covered/deep/e{round} CREATE"));
        assert_eq!(running.watches(), 4);
    }
    let mut lines = running.stdout.lines();
    lines.retain(|line| line.ends_with(" CREATE"));
    let wanted = ["1", "2"].map(|round| {
        [
            format!("new{round}/a{round}"),
            format!("b{round}"),
            format!("c{round}"),
            format!("covered/deep/e{round}"),
        ]
        .map(|path| format!("d/m/{path} CREATE"))
    });
    assert_eq!(lines, wanted.concat());
}

/// Its file system is still there when it is gone: no event says so.
#[test]
fn after_a_bind_mount_is_gone_its_events_have_no_path() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    fs::create_dir_all(at("d/bound/covered")).unwrap();
    fs::create_dir_all(at("outside/sub")).unwrap();
    let bind = || {
        mount_bind(&at("outside"), &at("d/bound")).unwrap();
    };
    bind();
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    made(&mut running, &own, &["outside/sub/1", "d/bound/2"]);
    running.expect_line("d/bound/2 CREATE");
    umount(&at("d/bound")).unwrap();
    running.wait("its watches", |running| running.watches() == 3);
    made(&mut running, &own, &["outside/silent", "outside/sub/silent", "d/bound/covered/3"]);
    running.expect_line("d/bound/covered/3 CREATE");
    bind();
    running.wait_asleep();
    made(&mut running, &own, &["outside/sub/4", "d/bound/5"]);
    running.expect_line("d/bound/5 CREATE");
    let wanted = ["sub/1", "2", "covered/3", "sub/4", "5"].map(|path| format!("d/bound/{path} CREATE"));
    assert_eq!(running.stdout.lines(), wanted);
}

/// A bind mount of a directory of the tree is the same directory, under its first path; elsewhere a mount means nothing.
#[test]
fn a_mount_that_is_no_news_changes_nothing() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    fs::create_dir_all(at("d/a/sub")).unwrap();
    fs::create_dir_all(at("d/bound")).unwrap();
    fs::create_dir_all(at("elsewhere")).unwrap();
    let mut running = Running::ready(inotifywatch(own.path(), ["-r", "-e", "create", "d"]));
    mount_bind(&at("d/a"), &at("d/bound")).unwrap();
    mount_tmpfs(&at("elsewhere")).unwrap();
    running.wait("the covered directory's watch", |running| running.watches() == 3);
    made(&mut running, &own, &["d/bound/1", "d/a/sub/2", "elsewhere/3"]);
    umount(&at("d/bound")).unwrap();
    umount(&at("elsewhere")).unwrap();
    running.wait("the watch of what was covered", |running| running.watches() == 4);
    made(&mut running, &own, &["d/bound/4", "d/a/5"]);
    running.wait_asleep();
    running.signal(Signal::SIGINT);
    let end = running.finish();
    let rows: Vec<String> = end.lines().split_off(1);
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split_whitespace().collect()).collect();
    end.check(
        &format!("{rows:?}"),
        rows == [["2", "2", "d/a/"], ["1", "1", "d/a/sub/"], ["1", "1", "d/bound/"]],
    );
}

/// It has one watch, under its first path.
#[test]
fn a_directory_that_is_mounted_twice_is_watched_while_one_mount_is_there() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    for path in ["d/a", "d/b", "outside/sub"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["d/a", "d/b"] {
        mount_bind(&at("outside"), &at(path)).unwrap();
    }
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    made(&mut running, &own, &["outside/sub/1"]);
    running.expect("the file", |lines| lines.len() == 1);
    // Which comes first depends on the order of the directory.
    let [first, second] =
        if running.stdout.lines() == ["d/a/sub/1 CREATE"] { ["d/a", "d/b"] } else { ["d/b", "d/a"] };
    umount(&at(first)).unwrap();
    made(&mut running, &own, &["outside/sub/2"]);
    running.expect_line(&format!("{second}/sub/2 CREATE"));
    umount(&at(second)).unwrap();
    made(&mut running, &own, &["outside/sub/silent"]);
    running.wait_asleep();
    assert_eq!((running.watches(), running.stdout.lines().len()), (3, 2));
}

/// It may be watched under the path of the mount.
#[test]
fn a_directory_that_was_mounted_in_its_own_tree_is_watched_when_the_mount_is_gone() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    for path in ["d/s/k", "d/m"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    mount_bind(&at("d/s"), &at("d/m")).unwrap();
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    running.wait_asleep();
    umount(&at("d/m")).unwrap();
    made(&mut running, &own, &["d/s/k/1", "d/s/2", "d/m/3"]);
    running.expect_line("d/m/3 CREATE");
    assert_eq!(running.stdout.lines(), ["d/s/k/1 CREATE", "d/s/2 CREATE", "d/m/3 CREATE"]);
}

/// A watched tree with a mount in it: where that is, and who watches.
fn mounted_and_watched(own: &Own) -> (PathBuf, Running) {
    let at = own.path().join("d/m");
    fs::create_dir_all(&at).unwrap();
    mount_tmpfs(&at).unwrap();
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    running.wait_asleep();
    (at, running)
}

/// The kernel may give the next mount the number of the one before.
#[test]
fn a_mount_that_follows_another_at_once_is_watched() {
    let Some(own) = Own::new() else { return };
    let (at, mut running) = mounted_and_watched(&own);
    running.stopped(|| {
        umount(&at).unwrap();
        mount_tmpfs(&at).unwrap();
    });
    made(&mut running, &own, &["d/m/1"]);
    running.expect_line("d/m/1 CREATE");
    assert_eq!(running.stdout.lines(), ["d/m/ UNMOUNT,ISDIR", "d/m/1 CREATE"]);
}

/// The table of mounts is read after the events of the unmount.
#[test]
fn what_an_unread_unmount_uncovers_is_watched() {
    let Some(own) = Own::new() else { return };
    let (at, mut running) = mounted_and_watched(&own);
    running.stopped(|| umount(&at).unwrap());
    made(&mut running, &own, &["d/m/1", "d/2"]);
    running.expect_line("d/2 CREATE");
    assert_eq!(running.stdout.lines(), ["d/m/ UNMOUNT,ISDIR", "d/m/1 CREATE", "d/2 CREATE"]);
}

/// The table of mounts does not change when a directory above one is renamed.
#[test]
fn what_an_unmount_uncovers_is_watched_where_it_was_renamed_to() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    fs::create_dir_all(at("d/a/m")).unwrap();
    mount_tmpfs(&at("d/a/m")).unwrap();
    fs::create_dir(at("d/a/m/sub")).unwrap();
    let arguments = ["-m", "-r", "-e", EVENTS, "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(own.path(), arguments));
    fs::rename(at("d/a"), at("d/b")).unwrap();
    running.wait_asleep();
    running.stopped(|| umount(&at("d/b/m")).unwrap());
    running.wait_asleep();
    made(&mut running, &own, &["d/b/m/1", "d/2"]);
    running.expect_line("d/2 CREATE");
    let mut lines = running.stdout.lines();
    lines.retain(|line| line != "d/b/m/sub/ UNMOUNT,ISDIR");
    assert_eq!(lines, ["d/b MOVED_TO,ISDIR", "d/b/m/ UNMOUNT,ISDIR", "d/b/m/1 CREATE", "d/2 CREATE"]);
}
