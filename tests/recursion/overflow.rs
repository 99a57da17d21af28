//! Overflows of the kernel's queue, for real: the watcher is stopped while more happens than it holds.

use std::fs;

use nix::sys::signal::Signal;

use crate::common::{Running, fast_tempdir, inotifywait};
use crate::{quiet, watches};

#[test]
fn after_an_overflow_the_tree_is_whole() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/stays/below")).unwrap();
    fs::create_dir_all(dir.path().join("d/goes/below")).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // Also with -q, where the arrival of a probe tells that the watches stand.
    let arguments = ["-q", "-m", "-r", "-e", "create", "--format", "%w%f", "d"];
    let mut running = Running::start(inotifywait(dir.path(), arguments));
    running.wait("a probe", |running| {
        let _ = fs::write(dir.path().join("d/probe"), "");
        let _ = fs::remove_file(dir.path().join("d/probe"));
        running.stdout.lines().iter().any(|line| line == "d/probe")
    });
    running.signal(Signal::SIGSTOP);
    let at = |path: &str| dir.path().join("d").join(path);
    for number in 0..limit {
        fs::write(at(&format!("f{}", number % 500)), "").unwrap();
        fs::remove_file(at(&format!("f{}", number % 500))).unwrap();
    }
    // Nobody hears of these.
    fs::rename(at("stays"), at("renamed")).unwrap();
    fs::rename(at("goes"), dir.path().join("gone")).unwrap();
    for number in 0..50 {
        fs::create_dir_all(at(&format!("new-{number}/below"))).unwrap();
    }
    running.signal(Signal::SIGCONT);
    running.expect_message("max_queued_events");
    quiet(&mut running, dir.path());
    assert_eq!(watches(&running), 1 + 2 + 100 + 1);
    let mut expected: Vec<String> = (0..50).map(|number| format!("d/new-{number}/below/x")).collect();
    expected.push("d/renamed/below/x".into());
    for path in &expected {
        fs::write(dir.path().join(path), "").unwrap();
    }
    fs::write(dir.path().join("gone/below/x"), "").unwrap();
    for path in &expected {
        running.expect_line(path);
    }
    running.wait_asleep();
    assert!(!running.stdout.lines().iter().any(|line| line.contains("goes/below")));
}

#[test]
fn an_overflow_ends_a_one_shot_with_a_word() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for (events, code, line) in [("delete,q_overflow", 0, " Q_OVERFLOW \n"), ("delete", 1, "")] {
        // Recursive, so that creations are queued though they were not asked for.
        let running = Running::ready(inotifywait(dir.path(), ["-r", "-e", events, "d"]));
        running.signal(Signal::SIGSTOP);
        for number in 0..=limit.trim().parse().unwrap() {
            fs::write(dir.path().join(format!("d/{events}-{number}")), "").unwrap();
        }
        running.signal(Signal::SIGCONT);
        let end = running.finish();
        end.code(code).printed(line);
        let said = String::from_utf8_lossy(&end.stderr);
        end.check("a word", said.matches("Events were lost").count() == 1);
    }
}
