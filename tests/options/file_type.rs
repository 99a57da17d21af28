//! `--type`.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use crate::common::{Own, Running, create_files, fast_tempdir, flood, inotifywait, inotifywatch, tempdir};

/// A file, a link and a directory are made in a directory, which is then renamed and deleted.
fn lines(arguments: &[&str]) -> Vec<String> {
    let dir = tempdir();
    let d = dir.path().join("d");
    fs::create_dir(&d).unwrap();
    let fixed = ["-m", "-e", "create,delete,delete_self,move_self", "d"];
    let mut run = Running::ready(inotifywait(dir.path(), arguments.iter().chain(&fixed)));
    create_files(&d, "f", 0..1);
    symlink("nowhere", d.join("l")).unwrap();
    fs::create_dir(d.join("sub")).unwrap();
    run.wait_asleep();
    fs::rename(&d, dir.path().join("e")).unwrap();
    fs::remove_dir_all(dir.path().join("e")).unwrap();
    run.wait_asleep();
    let mut lines = run.stop().lines();
    lines.sort();
    lines
}

#[test]
fn files_are_all_but_directories() {
    let files = ["d/ CREATE f0", "d/ CREATE l", "d/ DELETE f0", "d/ DELETE l"];
    assert_eq!(lines(&["--type", "file"]), files);
    assert_eq!(lines(&["--type=d", "--type=f"]), files);
}

/// The kernel does not say of the last two that they are about a directory.
#[test]
fn directories_include_a_watched_one_that_is_renamed_or_deleted() {
    let directories = ["d/ CREATE,ISDIR sub", "d/ DELETE,ISDIR sub", "d/ DELETE_SELF ", "d/ MOVE_SELF "];
    assert_eq!(lines(&["--type", "dir"]), directories);
    assert_eq!(lines(&["--type", "d"]), directories);
}

#[test]
fn a_tree_is_followed_for_either_type() {
    let dir = tempdir();
    let mut run =
        Running::ready(inotifywait(dir.path(), ["-m", "-r", "--type", "file", "-e", "create", "."]));
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::rename(dir.path().join("a"), dir.path().join("c")).unwrap();
    run.wait_asleep();
    create_files(&dir.path().join("c/b"), "f", 0..1);
    run.expect_line("./c/b/ CREATE f0");
    run.stop().printed("./c/b/ CREATE f0\n");
}

#[test]
fn one_shot_waits_for_the_right_type_or_the_end_of_the_watch() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let wait = |events: &str| inotifywait(dir.path(), ["-q", "--type", "file", "-e", events, "d"]);
    let mut run = Running::start(wait("create"));
    run.wait_asleep();
    fs::create_dir(dir.path().join("d/sub")).unwrap();
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(0).printed("d/ CREATE f0\n");
    let mut run = Running::start(wait("delete_self"));
    run.wait_asleep();
    fs::remove_dir_all(dir.path().join("d")).unwrap();
    run.finish().code(1).printed("");
}

#[test]
fn an_overflow_is_about_no_file() {
    for name in ["file", "dir"] {
        let dir = fast_tempdir();
        let arguments = ["-m", "--type", name, "-e", "create,delete,q_overflow", "."];
        let mut run = Running::ready(inotifywait(dir.path(), arguments));
        run.signal(Signal::SIGSTOP);
        flood(dir.path());
        run.signal(Signal::SIGCONT);
        run.expect_line(" Q_OVERFLOW ");
        run.stop();
    }
}

#[test]
fn it_counts_only_the_right_type() {
    for (name, table) in [("file", "2      2       ./\n"), ("dir", "1      1       ./\n")] {
        let dir = tempdir();
        let run = Running::ready(inotifywatch(dir.path(), ["--type", name, "-e", "create", "."]));
        create_files(dir.path(), "f", 0..2);
        fs::create_dir(dir.path().join("d")).unwrap();
        run.stop().code(0).printed(format!("total  create  filename\n{table}"));
    }
}

#[test]
fn with_fanotify_it_is_the_same() {
    let Some(dir) = Own::new() else { return };
    let path = |end: &str| format!("{}/{end}", dir.path().canonicalize().unwrap().display());
    for (name, line) in [("file", path(" CREATE f0")), ("dir", path(" CREATE,ISDIR d"))] {
        let mut run = Running::ready(inotifywait(dir.path(), ["-mF", "--type", name, "-e", "create", "."]));
        fs::create_dir(dir.path().join("d")).unwrap();
        create_files(dir.path(), "f", 0..1);
        run.expect_line(&line);
        run.wait_asleep();
        run.stop().printed(format!("{line}\n"));
        fs::remove_dir(dir.path().join("d")).unwrap();
        fs::remove_file(dir.path().join("f0")).unwrap();
    }
}
