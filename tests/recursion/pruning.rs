//! Excluded subtrees: no watches, and no other output than with them.

use std::fs;

use crate::common::fast_tempdir;
use crate::{quiet, watch, watches};

#[test]
fn excluded_subtrees_take_no_watches() {
    let dir = fast_tempdir();
    for number in 0..200 {
        fs::create_dir_all(dir.path().join(format!("d/a/node_modules/{number}"))).unwrap();
    }
    fs::create_dir_all(dir.path().join("d/a/.git/hooks")).unwrap();
    // The first covers all below; the second matches the directory and nothing in it.
    let running = watch(dir.path(), "create", &["--exclude", "/node_modules/"]);
    assert_eq!(watches(&running), 4);
    let mut running = watch(dir.path(), "create", &["--exclude", "\\.git$"]);
    assert_eq!(watches(&running), 205);
    fs::write(dir.path().join("d/a/.git/hooks/f"), "").unwrap();
    running.expect_line("d/a/.git/hooks/f");
}

#[test]
fn a_rename_can_end_an_exclusion_and_begin_one() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/cache/a/b")).unwrap();
    let at = |path: &str| dir.path().join("d").join(path);
    let mut running = watch(dir.path(), "create,moved_to", &["--exclude", "/cache/"]);
    assert_eq!(watches(&running), 1);
    fs::rename(at("cache"), at("seen")).unwrap();
    running.expect_line("d/seen");
    running.wait_asleep();
    fs::write(at("seen/a/b/1"), "").unwrap();
    running.expect_line("d/seen/a/b/1");
    fs::rename(at("seen"), at("cache")).unwrap();
    running.expect_line("d/cache");
    running.wait_asleep();
    assert_eq!(watches(&running), 1);
    fs::write(at("cache/a/b/2"), "").unwrap();
    let expected = ["d/seen", "d/seen/a/b/1", "d/cache"];
    assert_eq!(quiet(&mut running, dir.path()), expected);
}
