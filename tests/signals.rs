//! Signals and timeouts of both programs.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    BOUND, Ended, Running, create_files, fast_tempdir, inotifywait, inotifywatch, tempdir, wrapped,
};
use nix::sys::signal::Signal;

/// The watches that one user may have.
fn watch_limit() -> usize {
    fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap().trim().parse().unwrap()
}

/// Does something again and again while `during` runs; returns what that gives.
fn meanwhile<T>(mut again: impl FnMut(usize) + Send, during: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when `during` panics.
        let _over = Over(&over);
        let over = &over;
        scope.spawn(move || {
            for number in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                again(number);
            }
        });
        during()
    })
}

#[test]
fn signals_end_inotifywait() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
        for arguments in [&["-m", "."][..], &["-r", "."], &["-m", "-t", "100", "-o", "/dev/null", "."]] {
            let dir = tempdir();
            let mut command = wrapped(dir.path(), "ulimit -c 0; exec \"$@\"", "inotifywait", arguments);
            command.env("RUST_BACKTRACE", "0");
            let run = Running::ready(command);
            run.signal(signal);
            run.finish().killed_by(signal).printed("");
        }
    }
}

#[test]
fn inotifywait_leaves_ignored_signals_ignored() {
    let dir = tempdir();
    let script = "trap '' HUP INT TERM; exec \"$@\"";
    let command = wrapped(dir.path(), script, "inotifywait", ["-m", "-e", "create", "."]);
    let mut run = Running::ready(command);
    for (number, signal) in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().enumerate() {
        run.signal(signal);
        create_files(dir.path(), "f", number..number + 1);
        run.expect_line(&format!("./ CREATE f{number}"));
    }
    run.signal(Signal::SIGKILL);
    run.finish().killed_by(Signal::SIGKILL);
}

#[test]
fn under_nohup_it_survives_a_hang_up() {
    if !common::need("nohup") {
        return;
    }
    let dir = tempdir();
    let mut command = common::command(dir.path(), "nohup", [common::binary("inotifywait")]);
    command.args(["-m", "-e", "create", "."]);
    let mut run = Running::ready(command);
    run.signal(Signal::SIGHUP);
    create_files(dir.path(), "f", 0..1);
    run.expect_line("./ CREATE f0");
    run.stop().killed_by(Signal::SIGTERM);
}

#[test]
fn a_stop_and_a_continuation_lose_nothing() {
    let dir = tempdir();
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-t", "100", "-e", "create", "."]));
    run.signal(Signal::SIGSTOP);
    create_files(dir.path(), "f", 0..100);
    run.signal(Signal::SIGCONT);
    run.expect_line("./ CREATE f99");
    assert_eq!(run.stop().lines().len(), 100);
}

fn times_out(command: std::process::Command, seconds: f64) -> Ended {
    let start = Instant::now();
    let end = Running::start(command).finish();
    let elapsed = start.elapsed();
    end.code(2).check(&format!("{seconds} s, not {elapsed:?}"), elapsed.as_secs_f64() >= seconds);
    end
}

#[test]
fn the_timeout_expires_without_events() {
    let dir = tempdir();
    for arguments in [&["-t", "0.5", "."][..], &["-q", "-t", ".5", "."], &["-m", "-r", "-t0.5", "."]] {
        times_out(inotifywait(dir.path(), arguments), 0.5).printed("");
    }
    times_out(inotifywait(dir.path(), ["-qq", "-t", "1", "."]), 1.0).printed("").said("");
}

#[test]
fn a_monitors_timeout_counts_from_its_last_event() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let dir = tempdir();
    let seconds = TIMEOUT.as_secs().to_string();
    let run = Running::ready(inotifywait(dir.path(), ["-m", "-t", &seconds, "-e", "create", "."]));
    let start = Instant::now();
    let mut last = start;
    for number in 0.. {
        last = Instant::now();
        create_files(dir.path(), "f", number..number + 1);
        if start.elapsed() > TIMEOUT / 2 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let end = run.finish();
    let elapsed = last.elapsed();
    end.code(2).check(&format!("{TIMEOUT:?} after the last event, not {elapsed:?}"), elapsed >= TIMEOUT);
}

#[test]
fn events_that_are_not_printed_do_not_restart_the_clock() {
    for arguments in [
        &["-t", "0.5", "--exclude", "hidden", "."][..],
        &["-t", "0.5", "--include", "shown", "."],
        &["-t", "0.5", "-e", "delete", "."],
        &["-t", "0.5", "-r", "-e", "delete", "."],
        &["-m", "-t", "0.5", "--exclude", "hidden", "."],
        &["-m", "-r", "-t", "0.5", "-e", "delete", "."],
        &["-m", "-r", "-t", "0.5", "@./hidden", "."],
    ] {
        let dir = tempdir();
        let hidden = dir.path().join("hidden");
        let made = AtomicUsize::new(0);
        let file = |number: usize| {
            fs::write(&hidden, number.to_string()).unwrap();
            made.fetch_add(1, Ordering::SeqCst);
            // Not as fast as it can: the clock is what is tried.
            thread::sleep(Duration::from_millis(20));
        };
        let end = meanwhile(file, || Running::start(inotifywait(dir.path(), arguments)).finish());
        end.code(2).printed("");
        assert!(made.load(Ordering::SeqCst) > 5);
    }
}

#[test]
fn events_that_are_printed_nowhere_count() {
    // With an outfile, and with -qq, an event is an event.
    for arguments in [&["-qq", "-t", "15", "."][..], &["-o", "/dev/null", "-t", "15", "."]] {
        let dir = tempdir();
        let mut run = Running::start(inotifywait(dir.path(), arguments));
        run.wait_asleep();
        create_files(dir.path(), "f", 0..1);
        run.finish().code(0).printed("");
    }
}

#[test]
fn zero_and_negative_timeouts_never_expire() {
    for timeout in ["0", "-1", "-0.5", "-100000"] {
        let dir = tempdir();
        let mut run = Running::ready(inotifywait(dir.path(), ["-t", timeout, "-e", "create", "."]));
        run.wait_asleep();
        create_files(dir.path(), "f", 0..1);
        run.finish().code(0).printed("./ CREATE f0\n");
    }
    for timeout in ["0", "-1"] {
        let dir = tempdir();
        let mut run = Running::ready(inotifywatch(dir.path(), ["-t", timeout, "-e", "create", "."]));
        run.wait_asleep();
        create_files(dir.path(), "f", 0..1);
        run.stop().code(0).printed("total  create  filename\n1      1       ./\n");
    }
}

#[test]
fn a_long_timeout_is_no_short_one() {
    // Longer than poll(2) can wait, and than a clock can tell.
    for timeout in ["3000000", "9223372036854775807"] {
        let dir = tempdir();
        let mut run = Running::ready(inotifywait(dir.path(), ["-t", timeout, "-e", "create", "."]));
        run.wait_asleep();
        create_files(dir.path(), "f", 0..1);
        run.finish().code(0);
    }
}

#[test]
fn inotifywatch_ends_with_its_table() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let dir = tempdir();
        let run = Running::ready(inotifywatch(dir.path(), ["-e", "create", "."]));
        create_files(dir.path(), "f", 0..100);
        // What happened before the signal counts.
        run.signal(signal);
        run.finish().code(0).printed("total  create  filename\n100    100     ./\n");
    }
    let dir = tempdir();
    let run = Running::ready(inotifywatch(dir.path(), ["-t", "0.5", "-e", "create", "."]));
    create_files(dir.path(), "f", 0..1);
    run.finish().code(0).printed("total  create  filename\n1      1       ./\n");
    let start = Instant::now();
    let end = Running::start(inotifywatch(dir.path(), ["-t", "0.5", "-z", "."])).finish();
    assert!(start.elapsed() >= Duration::from_millis(500));
    end.code(0).check("no events", end.stderr.ends_with(b"No events occurred.\n"));
}

#[test]
fn inotifywatch_prints_on_sigusr1_and_continues() {
    let dir = tempdir();
    let mut run = Running::ready(inotifywatch(dir.path(), ["-e", "create", "."]));
    run.signal(Signal::SIGUSR1);
    run.expect_message("No events occurred.\n");
    create_files(dir.path(), "f", 0..3);
    run.wait_asleep();
    run.signal(Signal::SIGUSR1);
    run.expect("the first table", |lines| lines.len() == 4);
    create_files(dir.path(), "g", 0..2);
    run.signal(Signal::SIGINT);
    let table = |count: usize| format!("total  create  filename\n{count}      {count}       ./\n");
    let end = run.finish();
    end.code(0).printed(format!("\n{}\n{}", table(3), table(5)));
}

#[test]
fn events_before_the_request_are_in_the_table() {
    let dir = tempdir();
    for round in 0..20 {
        let run = Running::ready(inotifywatch(dir.path(), ["-e", "create", "."]));
        create_files(dir.path(), &format!("f{round}-"), 0..100);
        run.signal(Signal::SIGUSR1);
        run.signal(Signal::SIGTERM);
        let table = "total  create  filename\n100    100     ./\n";
        run.finish().code(0).printed(format!("{table}\n{table}"));
    }
}

/// `outer * 100` directories below `top`, and `top` itself.
fn many_directories(top: &Path, outer: usize) {
    for number in 0..outer {
        let above = top.join(format!("d{number}"));
        fs::create_dir(&above).unwrap();
        for number in 0..99 {
            fs::create_dir(above.join(number.to_string())).unwrap();
        }
    }
}

/// Runs `interrupt` on an inotifywatch that is found in the midst of its set-up, stopped. Should it have been too
/// fast for that, once more.
fn in_set_up(interrupt: impl Fn(&mut Running)) -> Ended {
    // A part of the watches that a user may have: other tests have theirs.
    let hundreds = (watch_limit() / 4).clamp(1_000, 20_000) / 100;
    let dir = fast_tempdir();
    many_directories(dir.path(), hundreds);
    let start = Instant::now();
    while start.elapsed() < BOUND {
        let mut run = Running::start(inotifywatch(dir.path(), ["-r", "-e", "create", "."]));
        run.wait("its beginning", |run| !run.stderr.bytes().is_empty());
        run.signal(Signal::SIGSTOP);
        run.wait("its stop", |run| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", run.pid())).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('T')
        });
        run.signal(Signal::SIGINT);
        run.signal(Signal::SIGCONT);
        run.wait("a word", |run| run.stderr.lines().len() > 1);
        if run.stderr.lines().iter().any(|line| line.contains("now collecting")) {
            continue;
        }
        interrupt(&mut run);
        let end = run.finish();
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        end.check("a warning", said.starts_with("Establishing watches...\nStill establishing watches"));
        return end;
    }
    panic!("the set-up was always over before a signal could come");
}

#[test]
fn inotifywatch_warns_of_a_signal_during_the_setup() {
    // As in the reference it goes on, until the next one.
    let end = in_set_up(|run| {
        run.wait_ready();
        run.wait_asleep();
        run.signal(Signal::SIGINT);
    });
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    end.code(0).printed("");
    end.check("one warning", said.matches("Still").count() == 1);
    end.check("set up", said.ends_with("now collecting statistics.\nNo events occurred.\n"));
}

#[test]
fn inotifywatch_ends_by_a_second_signal_during_the_setup() {
    // The second signal may come after the set-up: then that is another case, and no failure.
    let ended = (0..20).any(|_| {
        let end = in_set_up(|run| run.signal(Signal::SIGINT));
        end.printed("");
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        if said.contains("now collecting") {
            return false;
        }
        end.code(1).check("a message", said.lines().count() == 3);
        true
    });
    assert!(ended, "the set-up was always over before the second signal");
}

#[test]
fn inotifywait_dies_of_a_signal_during_the_setup() {
    let dir = fast_tempdir();
    many_directories(dir.path(), (watch_limit() / 4).clamp(1_000, 10_000) / 100);
    let mut run = Running::start(inotifywait(dir.path(), ["-r", "-m", "."]));
    run.wait("its beginning", |run| !run.stderr.bytes().is_empty());
    run.signal(Signal::SIGINT);
    run.finish().killed_by(Signal::SIGINT);
}
