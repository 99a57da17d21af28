//! `--debounce`, `--max-delay` and `--batch-marker`.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use inotify_tools::internals::unread::unread;
use nix::sys::signal::Signal;

use crate::common::{
    Collected, Running, create_files, fast_tempdir, flood, inotifywait, lines, pipe, tempdir, wait_until,
    wrapped,
};

/// So long that a batch is complete only for another reason.
const NEVER: &str = "--debounce=3600";

/// The manual's example: all of a batch in one go, one record for each path.
#[test]
fn a_batch_has_a_record_for_each_path_in_the_order_of_the_first_events() {
    let dir = tempdir();
    let src = dir.path().join("src");
    fs::create_dir(&src).unwrap();
    let events = "create,close_write,move,delete";
    let mut run =
        Running::ready(inotifywait(dir.path(), ["-mr", NEVER, "--batch-marker", "-e", events, "src"]));
    fs::write(src.join("a"), "1").unwrap();
    fs::write(src.join("b"), "2").unwrap();
    fs::rename(src.join("a"), src.join("c")).unwrap();
    fs::remove_file(src.join("b")).unwrap();
    run.wait_asleep();
    assert_eq!(run.stdout.bytes(), b"");
    let expected = "src/ CLOSE_WRITE,MOVED_FROM,CREATE,CLOSE a\n\
                    src/ CLOSE_WRITE,CREATE,DELETE,CLOSE b\n\
                    src/ MOVED_TO c\n\n";
    run.stop().killed_by(Signal::SIGTERM).printed(expected);
}

#[test]
fn a_batch_is_complete_when_nothing_has_happened_for_a_while() {
    for (arguments, record) in [
        (&[][..], "./ CREATE f\n\n"),
        (&["-0"], "./ CREATE f\0\0"),
        (&["-c"], "./,CREATE,f\n\n"),
        (&["--format", "%f"], "f\n\n"),
    ] {
        let dir = tempdir();
        let fixed = ["-m", "--debounce", "0.01", "--batch-marker", "-e", "create"];
        let mut run = Running::ready(inotifywait(dir.path(), fixed.iter().chain(arguments).chain(&["."])));
        for round in 1..4 {
            File::create(dir.path().join("f")).unwrap();
            fs::remove_file(dir.path().join("f")).unwrap();
            run.wait("the batch", |run| run.stdout.bytes() == record.repeat(round).as_bytes());
        }
        run.stop().printed(record.repeat(3));
    }
}

#[test]
fn the_marker_of_json_counts_the_records() {
    let dir = tempdir();
    let run = Running::ready(inotifywait(dir.path(), ["-m", NEVER, "--batch-marker", "--json", "."]));
    create_files(dir.path(), "f", 0..3);
    let end = run.stop();
    end.check("three records and the marker", end.lines().len() == 4 && end.lines()[3] == "{\"batch\":3}");
}

#[test]
fn a_batch_of_endless_events_is_printed_after_the_longest_delay() {
    let dir = tempdir();
    let arguments = ["-m", NEVER, "--max-delay", "0.05", "--batch-marker", "-e", "create", "."];
    let mut run = Running::ready(inotifywait(dir.path(), arguments));
    let mut number = 0;
    run.wait("two batches", |run| {
        create_files(dir.path(), "f", number..number + 1);
        number += 1;
        run.stdout.lines().iter().filter(|line| line.is_empty()).count() >= 2
    });
    run.stop();
}

/// A log that is written all the time is no reason for a batch not to end, if it is excluded.
#[test]
fn events_that_are_not_reported_neither_open_a_batch_nor_extend_it() {
    for filter in [&["--exclude", "log"][..], &["-e", "create"], &["-r", "@./log"]] {
        let dir = tempdir();
        File::create(dir.path().join("log")).unwrap();
        let fixed = ["-m", "--debounce", "0.2", "--format", "%f", "--batch-marker"];
        let mut run = Running::ready(inotifywait(dir.path(), fixed.iter().chain(filter).chain(&["."])));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    fs::write(dir.path().join("log"), "x").unwrap();
                    thread::yield_now();
                }
            });
            create_files(dir.path(), "f", 0..1);
            let printed = wait_until(|| run.stdout.bytes() == b"f0\n\n" || run.has_ended());
            over.store(true, Ordering::SeqCst);
            assert!(printed, "{filter:?}");
        });
        run.stop().printed("f0\n\n");
    }
}

#[test]
fn without_monitor_a_batch_is_printed_and_the_status_is_0() {
    for (quiet, text) in [("-q", "d/ CREATE f0\nd/ CREATE f1\n\n"), ("-qq", "")] {
        let dir = tempdir();
        fs::create_dir(dir.path().join("d")).unwrap();
        let arguments = [quiet, "--debounce", "0.3", "--batch-marker", "-e", "create", "d"];
        let mut run = Running::start(inotifywait(dir.path(), arguments));
        run.wait_asleep();
        // Seen at once: no pause between the two can be too long.
        run.signal(Signal::SIGSTOP);
        create_files(&dir.path().join("d"), "f", 0..2);
        run.signal(Signal::SIGCONT);
        run.finish().code(0).printed(text).said("");
    }
}

#[test]
fn a_watch_that_ends_is_status_1_unless_a_batch_is_open() {
    for (batch, status, text) in [(false, 1, ""), (true, 0, "d/ CREATE f0\n")] {
        let dir = tempdir();
        let d = dir.path().join("d");
        fs::create_dir(&d).unwrap();
        let mut run =
            Running::start(inotifywait(dir.path(), ["-q", "--debounce", "0.05", "-e", "create", "d"]));
        run.wait_asleep();
        run.signal(Signal::SIGSTOP);
        create_files(&d, "f", 0..usize::from(batch));
        fs::remove_dir_all(&d).unwrap();
        run.signal(Signal::SIGCONT);
        run.finish().code(status).printed(text).said("");
    }
}

#[test]
fn the_timeout_is_for_the_first_event_of_a_batch() {
    let dir = tempdir();
    let fixed = ["-q", "--debounce", "0.01", "-t", "0.05", "-e", "create", "."];
    Running::start(inotifywait(dir.path(), fixed)).finish().code(2).printed("");
    let arguments = ["-m", "--debounce", "2.5", "-t", "1.5", "--batch-marker", "-e", "create", "."];
    let run = Running::ready(inotifywait(dir.path(), arguments));
    create_files(dir.path(), "f", 0..1);
    // Past the timeout, and before the batch is complete.
    thread::sleep(Duration::from_millis(1800));
    create_files(dir.path(), "f", 1..2);
    run.finish().code(2).printed("./ CREATE f0\n./ CREATE f1\n\n");
}

/// The pipe holds one batch, and the next one grows until that is read.
fn holds_a_batch_back(writer: OwnedFd, mut reader: impl Read) {
    let dir = tempdir();
    let arguments = ["-m", "--debounce", "0.01", "--batch-marker", "-e", "create", "--format", "%f", "."];
    let mut command = inotifywait(dir.path(), arguments);
    command.stdout(writer.try_clone().unwrap());
    let waiting = || unread(writer.as_fd()).unwrap();
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    assert!(wait_until(|| waiting() > 0), "the first batch");
    let first = waiting();
    for number in 1..5 {
        create_files(dir.path(), "f", number..number + 1);
        run.wait_asleep();
    }
    assert_eq!(waiting(), first, "the second batch is held");
    let mut text = [0; 4];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"f0\n\n");
    let mut text = [0; 13];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(text.escape_ascii().to_string(), "f1\\nf2\\nf3\\nf4\\n\\n");
}

#[test]
fn a_batch_grows_while_its_reader_is_busy() {
    let (reader, writer) = pipe();
    holds_a_batch_back(writer, reader);
    let (writer, reader) = UnixStream::pair().unwrap();
    holds_a_batch_back(writer.into(), reader);
}

#[test]
fn a_signal_prints_the_open_batch_before_it_ends_the_program() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        for monitor in [&["-m"][..], &[]] {
            let dir = tempdir();
            let fixed = [NEVER, "--batch-marker", "-e", "create", "."];
            let run = Running::ready(inotifywait(dir.path(), monitor.iter().chain(&fixed)));
            create_files(dir.path(), "f", 0..1);
            run.signal(signal);
            run.finish().killed_by(signal).printed("./ CREATE f0\n\n");
        }
        let dir = tempdir();
        let run = Running::ready(inotifywait(dir.path(), ["-m", NEVER, "--batch-marker", "."]));
        run.signal(signal);
        run.finish().killed_by(signal).printed("");
    }
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let dir = tempdir();
    let script = "trap '' HUP INT; exec \"$@\"";
    let arguments = ["-m", NEVER, "-e", "create", "."];
    let mut run = Running::ready(wrapped(dir.path(), script, "inotifywait", arguments));
    create_files(dir.path(), "f", 0..1);
    run.signal(Signal::SIGHUP);
    run.signal(Signal::SIGINT);
    create_files(dir.path(), "f", 1..2);
    run.wait_asleep();
    assert_eq!(run.stdout.bytes(), b"");
    run.stop().killed_by(Signal::SIGTERM).printed("./ CREATE f0\n./ CREATE f1\n");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", NEVER, "-e", "create", "."]);
    command.stdout(writer.try_clone().unwrap());
    let mut run = Running::ready(command);
    // More than the pipe takes.
    create_files(dir.path(), &"n".repeat(200), 0..1000);
    run.wait_asleep();
    run.signal(Signal::SIGTERM);
    assert!(wait_until(|| unread(writer.as_fd()).unwrap() > 50_000), "the pipe is filled");
    run.wait_asleep();
    assert!(!run.has_ended());
    run.signal(Signal::SIGINT);
    run.finish().killed_by(Signal::SIGINT);
    drop(writer);
    let text = Collected::from(reader);
    assert!(wait_until(|| !text.is_open()));
    assert!(text.bytes().len() < 100_000);
}

#[test]
fn a_reader_that_closes_ends_it_at_once() {
    let dir = tempdir();
    let (reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", NEVER, "-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    run.wait_asleep();
    drop(reader);
    run.finish().killed_by(Signal::SIGPIPE);
}

fn overflown(events: &str) -> (Vec<String>, Vec<u8>) {
    let dir = fast_tempdir();
    let mut run =
        Running::ready(inotifywait(dir.path(), ["-m", NEVER, "-e", events, "--format", "%w %e %f", "."]));
    create_files(dir.path(), "first", 0..1);
    run.wait_asleep();
    run.signal(Signal::SIGSTOP);
    flood(dir.path());
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    create_files(dir.path(), "last", 0..1);
    let end = run.stop();
    (end.lines(), end.stderr)
}

#[test]
fn an_overflow_does_not_end_a_batch() {
    let (records, message) = overflown("create,delete,q_overflow");
    let at = |record: &str| records.iter().position(|found| found == record);
    let (first, overflow, last) = (at("./ CREATE first0"), at(" Q_OVERFLOW "), at("./ CREATE last0"));
    assert!(first == Some(0) && overflow > first && last > overflow, "{records:#?}");
    assert!(last == Some(records.len() - 1) && records.len() == 503, "{records:#?}");
    assert!(String::from_utf8_lossy(&message).contains("Events were lost"));
    let (records, message) = overflown("create,delete");
    assert!(records.len() == 502 && String::from_utf8_lossy(&message).contains("Events were lost"));
}

/// Where nothing else is said, `--debounce` writes to files and terminals as it would to a pipe that is read.
#[test]
fn a_file_is_never_busy() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let arguments = ["-m", "--debounce", "0.01", "-e", "create", "-o", "out", "d"];
    let run = Running::ready(inotifywait(dir.path(), arguments));
    for number in 0..3 {
        create_files(&dir.path().join("d"), "f", number..number + 1);
        let text = || fs::read(Path::new(&dir.path().join("out"))).unwrap();
        assert!(wait_until(|| lines(&text()).len() == number + 1));
    }
    run.stop();
}
