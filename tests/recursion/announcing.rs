//! New directories: every path in them is announced, once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::process::Command;

use crate::common::{Running, as_nobody, fast_tempdir, inotifywait, need, need_root, run, tempdir};
use crate::{is_exactly, paths, quiet, watch};

#[test]
fn chains_of_directories_are_announced_once_each() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "create", &[]);
    for chain in 0..100 {
        let path = dir.path().join(format!("d/{chain}/a/b/c/d/e"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("f"), "").unwrap();
        symlink("f", path.join("l")).unwrap();
    }
    is_exactly(&quiet(&mut running, dir.path()), &paths(dir.path()));
}

#[test]
fn an_unpacked_archive_is_announced_once_and_every_file_is_closed() {
    if !need("tar") {
        return;
    }
    let dir = fast_tempdir();
    for directory in 0..20 {
        for below in 0..5 {
            let path = dir.path().join(format!("archive/{directory}/sub-{below}"));
            fs::create_dir_all(&path).unwrap();
            for file in 0..5 {
                fs::write(path.join(file.to_string()), "contents").unwrap();
            }
        }
    }
    let tar = |arguments: &[&str]| {
        let (output, shown) = run(Command::new("tar").args(arguments).current_dir(dir.path()));
        assert!(output.status.success(), "{shown}");
    };
    tar(&["cf", "a.tar", "archive"]);
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut created = watch(dir.path(), "create", &[]);
    let mut closed = watch(dir.path(), "close_write,create", &["--include", "/[0-9]$|the-end"]);
    tar(&["xf", "a.tar", "-C", "d"]);
    is_exactly(&quiet(&mut created, dir.path()), &paths(dir.path()));
    let lines: BTreeSet<String> = quiet(&mut closed, dir.path()).into_iter().collect();
    let files = paths(dir.path()).into_iter().filter(|path| dir.path().join(path).is_file());
    let unclosed: Vec<String> = files.filter(|path| !lines.contains(path)).collect();
    assert!(unclosed.is_empty(), "{unclosed:?}");
}

#[test]
fn a_directory_that_is_filled_and_renamed_at_once_is_told_whole() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "create,moved_to", &[]);
    for round in 0..100 {
        let (tmp, last) = (dir.path().join("d/tmp"), dir.path().join(format!("d/final-{round}")));
        fs::create_dir_all(tmp.join("sub")).unwrap();
        fs::write(tmp.join("sub/f"), "").unwrap();
        fs::rename(tmp, last).unwrap();
    }
    let lines: BTreeSet<String> = quiet(&mut running, dir.path()).into_iter().collect();
    for round in 0..100 {
        assert!(lines.contains(&format!("d/final-{round}")), "{round}: {lines:?}");
        // Under the name that it had when it was found.
        let told = |name: &str| lines.contains(&format!("d/{name}/sub/f"));
        assert!(told("tmp") || told(&format!("final-{round}")), "{round}: {lines:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_watched_is_announced() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let arguments = ["-m", "-r", "-e", "create", "--format", "%w%f", "d"];
    let mut running = Running::ready(as_nobody(dir.path(), "inotifywait", arguments));
    let mut expected = BTreeSet::new();
    for number in 0..50 {
        // The inner one is made before the outer one can be watched, as often as not.
        let outer = dir.path().join(format!("d/{number}"));
        fs::create_dir(&outer).unwrap();
        fs::DirBuilder::new().mode(0o700).create(outer.join("closed")).unwrap();
        expected.insert(format!("d/{number}"));
        expected.insert(format!("d/{number}/closed"));
    }
    is_exactly(&quiet(&mut running, dir.path()), &expected);
    running.expect_message("Couldn't watch new directory d/");
}

#[test]
fn without_monitor_a_new_directory_is_followed_and_its_end_is_nothing() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = Running::ready(inotifywait(dir.path(), ["-r", "-e", "modify", "d"]));
    fs::create_dir(dir.path().join("d/passing")).unwrap();
    running.wait_asleep();
    fs::remove_dir(dir.path().join("d/passing")).unwrap();
    fs::create_dir(dir.path().join("d/n")).unwrap();
    running.wait_asleep();
    fs::write(dir.path().join("d/n/f"), "x").unwrap();
    running.finish().code(0).printed("d/n/ MODIFY f\n");
}
