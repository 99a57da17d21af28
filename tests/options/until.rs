//! `--until`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::{Ended, Running, as_nobody, binary, command, inotifywait, tempdir, wrapped};
use crate::refuses;

fn until(dir: &Path, words: &str) -> Running {
    let fixed = ["-q", "--until"];
    Running::start(inotifywait(dir, fixed.into_iter().chain(words.split(' '))))
}

#[track_caller]
fn ends(run: Running, status: i32) -> Ended {
    let end = run.finish();
    end.code(status).printed("").said("");
    end
}

#[test]
fn it_ends_as_soon_as_all_paths_exist() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    let mut run = until(dir.path(), "exists a/b c");
    for path in ["a", "c"] {
        run.wait_asleep();
        fs::create_dir(at(path)).unwrap();
    }
    run.wait_asleep();
    // All at once: one that was there does not count.
    fs::remove_dir(at("c")).unwrap();
    fs::write(at("a/b"), "").unwrap();
    run.wait_asleep();
    symlink("nowhere", at("c")).unwrap();
    run.wait_asleep();
    fs::write(at("nowhere"), "").unwrap();
    ends(run, 0);
    ends(until(dir.path(), "exists a/b c"), 0);
}

#[test]
fn it_ends_as_soon_as_no_path_is_left() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("c"), "").unwrap();
    let mut run = until(dir.path(), "gone a/b c d");
    run.wait_asleep();
    fs::rename(at("a"), at("x")).unwrap();
    run.wait_asleep();
    // A file that is open.
    let open = fs::File::open(at("c")).unwrap();
    fs::remove_file(at("c")).unwrap();
    ends(run, 0);
    drop(open);
    ends(until(dir.path(), "gone a/b c d c/e"), 0);
    symlink("loop", at("loop")).unwrap();
    ends(until(dir.path(), "gone loop"), 0);
    ends(until(dir.path(), "gone -P loop -t 0.01"), 2);
    ends(until(dir.path(), "exists loop -t 0.01"), 2);
    ends(until(dir.path(), "exists loop -P"), 0);
}

#[test]
fn a_path_that_may_not_be_looked_up_neither_exists_nor_is_gone() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/f"), "").unwrap();
    let mode = |mode| fs::set_permissions(at("d"), fs::Permissions::from_mode(mode)).unwrap();
    let start = |words: &[&str]| {
        let fixed = ["-q", "--until"].iter().chain(words);
        Running::start(as_nobody(dir.path(), "inotifywait", fixed))
    };
    mode(0o744);
    ends(start(&["gone", "-t", "0.01", "d/f"]), 2);
    let mut run = start(&["exists", "d/f"]);
    run.wait_asleep();
    mode(0o755);
    ends(run, 0);
    // What appears in a directory that cannot be read is not seen.
    mode(0o711);
    ends(start(&["gone", "d/none"]), 0);
    start(&["exists", "d/none"]).finish().code(1).printed("").said("Couldn't watch d/: Permission denied\n");
    let mut run = start(&["gone", "d/f"]);
    run.wait_asleep();
    fs::remove_file(at("d/f")).unwrap();
    ends(run, 0);
    // Nor is what comes back there.
    fs::create_dir(at("d/e")).unwrap();
    let mut run = start(&["exists", "d/e/f"]);
    run.wait_asleep();
    fs::remove_dir(at("d/e")).unwrap();
    run.finish().code(1).printed("").said("Couldn't watch d/: Permission denied\n");
}

#[test]
fn the_awaited_paths_are_reported() {
    let dir = tempdir();
    fs::write(dir.path().join("there"), "").unwrap();
    for (condition, waiting) in [("exists", "Waiting for conf: No such file or directory\n"), ("gone", "")] {
        let words = ["--until", condition, "-t", "0.01", "conf", "there"];
        let end = Running::start(inotifywait(dir.path(), words)).finish();
        end.code(2).said(format!("Setting up watches.\n{waiting}Watches established.\n"));
    }
    Running::start(inotifywait(dir.path(), ["--until", "exists", "there"])).finish().code(0).said("");
    // Only the kernel changes this.
    let end =
        Running::start(inotifywait(dir.path(), ["--until", "gone", "-t", "0.01", "/proc/self"])).finish();
    end.code(2).said(
        "Setting up watches.\nOn proc ('/proc/self'), changes by the kernel are not reported.\nWatches established.\n",
    );
}

#[test]
fn it_is_ready_when_nothing_can_be_missed() {
    let dir = tempdir();
    let script = "mkfifo r; { timeout 20 \"$@\" -q --until exists --ready 3 f 3>r; echo \"status $?\"; } & \
                  read -r line <r && touch f; wait";
    for _ in 0..2 {
        // The second time it exists already.
        let end = Running::start(wrapped(dir.path(), script, "inotifywait", [""; 0])).finish();
        end.printed("status 0\n");
        let _ = fs::remove_file(dir.path().join("r"));
    }
}

#[test]
fn an_overflow_misses_nothing() {
    let dir = tempdir();
    let mut run = until(dir.path(), "exists f");
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    crate::common::flood(dir.path());
    fs::write(dir.path().join("f"), "").unwrap();
    run.signal(Signal::SIGCONT);
    run.finish().code(0).printed("");
}

#[test]
fn it_uses_inotify_and_no_option_about_events() {
    for (line, message) in [
        ("--until x p", "'x' is not a valid condition!  Use 'exists' or 'gone'.\n"),
        ("--until= p", "'' is not a valid condition!  Use 'exists' or 'gone'.\n"),
        ("-m --until exists p", "-m and --until cannot both be specified.\n"),
        ("--until exists -e open -r p", "-e and --until cannot both be specified.\n"),
        ("--until exists -F p", "-F and --until cannot both be specified.\n"),
        ("--until exists -d -o out p", "-d and --until cannot both be specified.\n"),
        ("--until gone --follow-name p", "--follow-name and --until cannot both be specified.\n"),
        ("--until gone --exclude x p", "--exclude and --until cannot both be specified.\n"),
        ("--until gone -0 p", "-0 and --until cannot both be specified.\n"),
    ] {
        refuses("inotifywait", line, message);
    }
    let dir = tempdir();
    let name = dir.path().join("fsnotifywait");
    symlink(binary("inotifywait"), &name).unwrap();
    for words in [&["-q"][..], &["-qI"], &["-qs"], &["-qq", "-P"]] {
        let fixed = ["--until", "gone", "nowhere"];
        let words = words.iter().chain(&fixed);
        Running::start(command(dir.path(), name.to_str().unwrap(), words)).finish().code(0).printed("");
    }
    fs::write(dir.path().join("list"), "nowhere\n").unwrap();
    ends(until(dir.path(), "gone --fromfile list"), 0);
}
