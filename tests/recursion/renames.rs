//! Renames: every later path is the real one.

use std::fs;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;

use crate::common::{Running, fast_tempdir, inotifywatch};
use crate::{quiet, watch, watches};

#[test]
fn names_stay_true_through_renames() {
    let dir = fast_tempdir();
    for name in ["a/b/c", "x/y", "over"] {
        fs::create_dir_all(dir.path().join("d").join(name)).unwrap();
    }
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create", &[]);
    let mut expected = Vec::new();
    let mut touch = |path: &str| {
        fs::write(at(path), "").unwrap();
        expected.push(format!("d/{path}"));
    };
    fs::rename(at("a"), at("a2")).unwrap();
    fs::rename(at("a2"), at("a3")).unwrap();
    touch("a3/b/c/1");
    fs::rename(at("a3/b"), at("x/b")).unwrap();
    touch("x/b/c/2");
    renameat2(AT_FDCWD, &at("a3"), AT_FDCWD, &at("x"), RenameFlags::RENAME_EXCHANGE).unwrap();
    touch("a3/b/c/3");
    touch("a3/y/4");
    touch("x/5");
    fs::rename(at("x"), at("x2")).unwrap();
    fs::remove_file(at("x2/5")).unwrap();
    fs::rename(at("over"), at("gone")).unwrap();
    fs::create_dir(at("over")).unwrap();
    expected.push("d/over".into());
    fs::write(at("over/6"), "").unwrap();
    expected.push("d/over/6".into());
    fs::rename(at("x2"), at("gone")).unwrap();
    fs::write(at("gone/7"), "").unwrap();
    expected.push("d/gone/7".into());
    assert_eq!(quiet(&mut running, dir.path()), expected);
}

#[test]
fn moves_between_watched_roots_are_followed() {
    let dir = fast_tempdir();
    for name in ["d/a/below", "e"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let mut running = watch(dir.path(), "create", &["e"]);
    fs::rename(dir.path().join("d/a"), dir.path().join("e/b")).unwrap();
    fs::write(dir.path().join("e/b/below/1"), "").unwrap();
    fs::rename(dir.path().join("e/b"), dir.path().join("d/c")).unwrap();
    fs::write(dir.path().join("d/c/below/2"), "").unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["e/b/below/1", "d/c/below/2"]);
}

#[test]
fn a_directory_that_leaves_is_silent_and_gives_its_watches_back() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/leaves/a/b")).unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let mut running = watch(dir.path(), "create,moved_from,moved_to", &[]);
    assert_eq!(watches(&running), 4);
    fs::rename(dir.path().join("d/leaves"), dir.path().join("elsewhere/left")).unwrap();
    assert_eq!(quiet(&mut running, dir.path()), ["d/leaves"]);
    assert_eq!(watches(&running), 2, "d and d/the-end");
    fs::write(dir.path().join("elsewhere/left/a/b/f"), "").unwrap();
    // And back: watched whole, and only the move is news.
    fs::rename(dir.path().join("elsewhere/left"), dir.path().join("d/back")).unwrap();
    running.expect_line("d/back");
    running.wait_asleep();
    assert_eq!(watches(&running), 5);
    fs::write(dir.path().join("d/back/a/b/g"), "").unwrap();
    running.expect_line("d/back/a/b/g");
    assert_eq!(running.stdout.lines(), ["d/leaves", "d/the-end", "d/back", "d/back/a/b/g"]);
}

#[test]
fn inotifywatch_counts_in_new_directories_and_under_present_names() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/old")).unwrap();
    let mut running = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "modify", "d"]));
    fs::write(dir.path().join("d/old/f"), "x").unwrap();
    fs::rename(dir.path().join("d/old"), dir.path().join("d/present")).unwrap();
    fs::write(dir.path().join("d/present/g"), "x").unwrap();
    fs::create_dir(dir.path().join("d/new")).unwrap();
    running.wait_asleep();
    fs::write(dir.path().join("d/new/f"), "x").unwrap();
    running.wait_asleep();
    running.signal(Signal::SIGINT);
    let expected = "total  modify  filename\n2      2       d/present/\n1      1       d/new/\n";
    running.finish().code(0).printed(expected);
}
