//! Where lines go: all kinds of stdout and outfile, slow readers, readers that leave, several writers.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{
    Collected, Running, as_nobody, create_files, deep_directory, fast_tempdir, inotifywait, inotifywatch,
    need_root, pipe, tempdir, terminal, wrapped,
};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

fn make_d(dir: &Path) {
    fs::create_dir(dir.join("d")).unwrap();
}

#[test]
fn a_full_device_ends_it_with_a_message() {
    const WORDS: &str = "No space left on device\n";
    for monitor in [true, false] {
        let dir = tempdir();
        make_d(dir.path());
        let mut arguments = vec!["-e", "create", "d"];
        arguments.extend(monitor.then_some("-m"));
        let mut command = inotifywait(dir.path(), &arguments);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let run = Running::ready(command);
        create_files(&dir.path().join("d"), "f", 0..1);
        let established = "Setting up watches.\nWatches established.\n";
        run.finish().code(1).said(format!("{established}Couldn't write to stdout: {WORDS}"));

        arguments.extend(["-o", "/dev/full"]);
        let run = Running::ready(inotifywait(dir.path(), &arguments));
        create_files(&dir.path().join("d"), "g", 0..1);
        run.finish().code(1).printed("").said(format!("{established}Couldn't write to /dev/full: {WORDS}"));
    }
    let dir = tempdir();
    let mut command = inotifywatch(dir.path(), ["-t", "0", "."]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    let end = run.stop();
    end.code(1)
        .check("the message", end.stderr.ends_with(format!("Couldn't write to stdout: {WORDS}").as_bytes()));
}

#[test]
fn a_full_device_that_nothing_is_written_to_is_no_error() {
    let dir = tempdir();
    make_d(dir.path());
    let mut command = inotifywait(dir.path(), ["-qq", "-e", "create", "d"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut run = Running::start(command);
    run.wait_asleep();
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(0).said("");
}

#[test]
fn with_the_system_log_a_write_error_is_not_on_stderr() {
    let dir = tempdir();
    make_d(dir.path());
    let mut command = inotifywait(dir.path(), ["-s", "-e", "create", "d"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut run = Running::start(command);
    run.wait_asleep();
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(1).said("");
}

#[test]
fn an_outfile_is_private_and_is_appended_to() {
    let dir = tempdir();
    make_d(dir.path());
    let out = dir.path().join("out");
    for round in ["a", "b"] {
        // Whatever the umask leaves.
        let command =
            wrapped(dir.path(), "umask 0; exec \"$@\"", "inotifywait", ["-o", "out", "-e", "create", "d"]);
        let run = Running::ready(command);
        create_files(&dir.path().join("d"), round, 0..1);
        run.finish().code(0).printed("");
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), "d/ CREATE a0\nd/ CREATE b0\n");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
    // The mode of one that is there is left alone.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o644)).unwrap();
    let mut run = Running::start(inotifywait(dir.path(), ["-o", "out", "-qq", "-e", "create", "d"]));
    run.wait_asleep();
    create_files(&dir.path().join("d"), "c", 0..1);
    run.finish().code(0).printed("").said("");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_to_string(&out).unwrap(), "d/ CREATE a0\nd/ CREATE b0\n");
}

#[test]
fn an_outfile_that_cannot_be_opened() {
    let dir = tempdir();
    make_d(dir.path());
    let cases =
        [("d", "Is a directory"), ("nowhere/out", "No such file or directory"), ("f/x", "Not a directory")];
    fs::write(dir.path().join("f"), "").unwrap();
    for (outfile, words) in cases {
        for quiet in ["-q", "-qq"] {
            let end = Running::start(inotifywait(dir.path(), [quiet, "-o", outfile, "d"])).finish();
            end.code(1)
                .printed("")
                .said(format!("Failed to open output file {outfile}\n{outfile}: {words}\n"));
        }
    }
    fs::set_permissions(dir.path().join("f"), fs::Permissions::from_mode(0o400)).unwrap();
    let end = Running::start(as_nobody(dir.path(), "inotifywait", ["-o", "f", "d"])).finish();
    end.code(1).printed("");
    if common::is_root() {
        end.said("Failed to open output file f\nf: Permission denied\n");
    }
}

#[test]
fn it_ends_with_the_reader_of_its_pipe() {
    for arguments in [&["-m", "."][..], &["."], &["-m", "-r", "-t", "100", "."]] {
        let dir = tempdir();
        let (reader, writer) = pipe();
        let mut command = inotifywait(dir.path(), arguments);
        command.stdout(writer);
        let run = Running::ready(command);
        drop(reader);
        run.finish().killed_by(Signal::SIGPIPE);
    }
}

#[test]
fn it_ends_with_the_reader_after_events_too() {
    let dir = tempdir();
    let (mut reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    let mut line = [0; 12];
    reader.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"./ CREATE f0");
    drop(reader);
    // With a backlog as well: 10,000 lines are more than a pipe holds.
    run.wait("its end", Running::has_ended);
    run.finish().killed_by(Signal::SIGPIPE);

    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    create_files(dir.path(), "file-with-a-name", 0..10_000);
    run.wait_asleep();
    drop(reader);
    run.finish().killed_by(Signal::SIGPIPE);
}

#[test]
fn a_reader_that_leaves_an_unused_stdout_does_not_matter() {
    for arguments in [&["-qq", "-e", "create", "."][..], &["-o", "/dev/null", "-e", "create", "."]] {
        let dir = tempdir();
        let (reader, writer) = pipe();
        let mut command = inotifywait(dir.path(), arguments);
        command.stdout(writer);
        let mut run = Running::start(command);
        run.wait_asleep();
        drop(reader);
        run.wait_asleep();
        create_files(dir.path(), "f", 0..1);
        run.finish().code(0);
    }
}

#[test]
fn it_ends_with_the_peer_of_its_socket() {
    let dir = tempdir();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "."]);
    command.stdout(OwnedFd::from(theirs));
    let run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    let mut line = [0; 12];
    ours.set_read_timeout(Some(common::BOUND)).unwrap();
    ours.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"./ CREATE f0");
    drop(ours);
    run.finish().killed_by(Signal::SIGPIPE);
}

#[test]
fn a_socket_whose_reader_stalls_gets_all() {
    const LINES: usize = 10_000;
    let dir = fast_tempdir();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "."]);
    command.stdout(OwnedFd::from(theirs));
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..LINES);
    run.wait_asleep();
    let read = Collected::from(ours);
    run.wait("all lines", |_| read.lines().len() == LINES);
    assert!(read.lines().iter().enumerate().all(|(number, line)| *line == format!("./ CREATE f{number}")));
}

#[test]
fn it_ends_with_its_terminal() {
    let dir = tempdir();
    let (mut master, slave) = terminal();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "."]);
    command.stdout(slave);
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    let mut line = [0; 14];
    master.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"./ CREATE f0\r\n");
    run.wait_asleep();
    drop(master);
    run.finish().killed_by(Signal::SIGPIPE);
}

/// Makes `fifo` in a directory; returns what opens it for reading, without waiting for a writer.
fn fifo(dir: &Path) -> impl Fn() -> File + use<> {
    let path = dir.join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    move || File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap()
}

#[test]
fn the_reader_of_a_named_pipe_may_come_back() {
    let dir = tempdir();
    make_d(dir.path());
    let open_reader = fifo(dir.path());
    let mut reader = open_reader();
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "d"]);
    command.stdout(File::options().write(true).open(dir.path().join("fifo")).unwrap());
    let mut run = Running::ready(command);
    for round in 0..5 {
        let name = format!("f{round}-");
        create_files(&dir.path().join("d"), &name, 0..1);
        let mut line = Vec::new();
        run.wait("the line", |_| {
            let mut some = [0; 100];
            if let Ok(length) = reader.read(&mut some) {
                line.extend_from_slice(&some[..length]);
            }
            line.ends_with(b"\n")
        });
        assert_eq!(line, format!("d/ CREATE {name}0\n").as_bytes());
        drop(reader);
        // It has had the time to take the wrong conclusion.
        run.wait_asleep();
        reader = open_reader();
    }
    run.stop().killed_by(Signal::SIGTERM);
}

#[test]
fn an_outfile_without_a_reader_does_not_stop_the_clock() {
    let dir = tempdir();
    make_d(dir.path());
    let _open_reader = fifo(dir.path());
    let run = Running::ready(inotifywait(dir.path(), ["-t", "0.5", "-o", "fifo", "d"]));
    run.finish().code(2).printed("");
    // Where lines are lost that is an error.
    for arguments in [&["-m", "-t", "0.5"][..], &["-t", "2"]] {
        let mut command = inotifywait(dir.path(), arguments);
        command.args(["-q", "-o", "fifo", "-e", "create", "d"]);
        let mut run = Running::start(command);
        run.wait_asleep();
        create_files(&dir.path().join("d"), arguments[0], 0..1);
        run.finish().code(1).said("Couldn't write to fifo: No such device or address\n");
    }
}

#[test]
fn an_outfile_without_a_reader_keeps_its_lines() {
    const LINES: usize = 10_000;
    let dir = fast_tempdir();
    make_d(dir.path());
    let open_reader = fifo(dir.path());
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-o", "fifo", "-e", "create", "d"]));
    create_files(&dir.path().join("d"), "f", 0..LINES);
    run.wait_asleep();
    let read = Collected::from(open_reader());
    run.wait("all lines", |_| read.lines().len() == LINES);
    assert!(read.lines().iter().enumerate().all(|(number, line)| *line == format!("d/ CREATE f{number}")));
    run.stop().killed_by(Signal::SIGTERM);
    // A one-shot waits until its line was taken.
    let mut run = Running::ready(inotifywait(dir.path(), ["-o", "fifo", "-e", "create", "d"]));
    create_files(&dir.path().join("d"), "one", 0..1);
    run.wait_asleep();
    let read = Collected::from(open_reader());
    run.finish().code(0);
    assert!(common::wait_until(|| read.lines() == ["d/ CREATE one0"]), "{:?}", read.lines());
}

#[test]
fn the_reader_of_an_outfile_that_leaves_is_the_end() {
    let dir = tempdir();
    make_d(dir.path());
    let open_reader = fifo(dir.path());
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-o", "fifo", "-e", "create", "d"]));
    // A writer waits for it: its open(2) returns at once.
    let path = dir.path().join("fifo");
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(File::open(path).unwrap()).read_line(&mut line).unwrap();
        line
    });
    run.wait_asleep();
    create_files(&dir.path().join("d"), "f", 0..1);
    run.wait("the line", |_| reader.is_finished());
    assert_eq!(reader.join().unwrap(), "d/ CREATE f0\n");
    create_files(&dir.path().join("d"), "g", 0..1);
    run.finish().killed_by(Signal::SIGPIPE);
    drop(open_reader);
}

#[test]
fn lines_stand_in_a_file_as_soon_as_they_are_read() {
    for outfile in [false, true] {
        for _ in 0..5 {
            let dir = tempdir();
            make_d(dir.path());
            let out = dir.path().join("out");
            let mut command = inotifywait(dir.path(), ["-m", "-e", "create"]);
            match outfile {
                true => command.args(["-o", "out", "d"]),
                false => command.arg("d").stdout(File::create(&out).unwrap()),
            };
            let mut run = Running::ready(command);
            create_files(&dir.path().join("d"), "f", 0..500);
            run.wait("something in the file", |_| fs::metadata(&out).unwrap().len() > 0);
            run.signal(Signal::SIGKILL);
            run.finish().killed_by(Signal::SIGKILL);
            let text = fs::read_to_string(&out).unwrap();
            assert!(text.ends_with('\n'), "{text}");
            for (number, line) in text.lines().enumerate() {
                assert_eq!(line, format!("d/ CREATE f{number}"));
            }
        }
    }
    // The last event, too, though nothing comes after it.
    let dir = tempdir();
    make_d(dir.path());
    let out = dir.path().join("out");
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "d"]);
    command.stdout(File::create(&out).unwrap());
    let mut run = Running::ready(command);
    create_files(&dir.path().join("d"), "f", 0..1);
    run.wait("the line", |_| fs::read_to_string(&out).unwrap() == "d/ CREATE f0\n");
    run.signal(Signal::SIGKILL);
    run.finish();
    assert_eq!(fs::read_to_string(&out).unwrap(), "d/ CREATE f0\n");
}

/// `STALLED_LINES` asks for more lines than the usual ones, a million say.
#[test]
fn a_reader_that_stalls_gets_all_in_order() {
    /// More than what the program takes for itself while it reads: the queue, and what the allocator keeps.
    const SMALL: usize = 2 << 10;
    // Fewer than the kernel's queue holds.
    const BURST: usize = 8_000;
    let asked = std::env::var("STALLED_LINES").ok().and_then(|lines| lines.parse::<usize>().ok());
    let lines = asked.unwrap_or(120_000).next_multiple_of(BURST);
    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    // As long as lines usually are.
    let format = format!("{}%f %e", "x".repeat(80));
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create,delete", "--format", &format, "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    let burst = |run: &mut Running, start: usize| {
        for number in (start..start + BURST).step_by(2) {
            let path = dir.path().join(number.to_string());
            File::create(&path).unwrap();
            fs::remove_file(path).unwrap();
        }
        run.wait_asleep();
    };
    let before = run.memory("RssAnon:");
    let mut text = 0;
    for start in (0..lines).step_by(BURST) {
        burst(&mut run, start);
        text += (start..start + BURST).step_by(2).map(|number| 2 * number.to_string().len()).sum::<usize>();
    }
    // " CREATE" and " DELETE", and a newline.
    text += lines * (80 + 8);
    let text = text / 1024;
    let stalled = run.memory("RssAnon:");
    assert!(stalled < before + text + text / 10 + SMALL, "{before} KiB, with {text} kept {stalled}");

    let mut reader = BufReader::new(reader).lines();
    let start = "x".repeat(80);
    for number in (0..lines).step_by(2) {
        assert_eq!(reader.next().unwrap().unwrap(), format!("{start}{number} CREATE"));
        assert_eq!(reader.next().unwrap().unwrap(), format!("{start}{number} DELETE"));
    }
    run.wait("the return of the memory", |run| run.memory("RssAnon:") < before + SMALL);
    run.stop().said("Setting up watches.\nWatches established.\n");
}

/// Also as little as malloc(3) would rather keep.
#[test]
fn memory_returns_after_a_stall() {
    const PAIRS: usize = 60_000;
    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", "-r", "-e", "create,delete", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    run.wait_asleep();
    let before = run.memory("RssAnon:");
    for number in 0..PAIRS {
        let file = dir.path().join(format!("file-{number}"));
        File::create(&file).unwrap();
        fs::remove_file(file).unwrap();
        // Fewer than the kernel's queue holds.
        if number % 5_000 == 0 {
            run.wait_asleep();
        }
    }
    // What is made of these stays, above what is kept for the reader.
    for number in 0..200 {
        fs::create_dir(dir.path().join(format!("directory-{number}"))).unwrap();
    }
    run.wait_asleep();
    let kept = run.memory("RssAnon:") - before;
    assert!(kept > 1024, "{kept} KiB");
    let read = Collected::from(reader);
    run.wait("all lines", |_| read.lines().len() == 2 * PAIRS + 200);
    run.wait("the return of the memory", |run| run.memory("RssAnon:") < before + kept / 4);
}

#[test]
fn memory_returns_after_a_burst() {
    let dir = fast_tempdir();
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-o", "/dev/null", "-e", "create", "."]));
    create_files(dir.path(), "first", 0..1_000);
    run.wait_asleep();
    let before = run.memory("RssAnon:");
    // As much as the kernel's queue holds, read at once.
    let events = common::queue_limit().min(16_000);
    run.signal(Signal::SIGSTOP);
    create_files(dir.path(), &"n".repeat(240), 0..events);
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    let text = events * 272 / 1024;
    let after = run.memory("RssAnon:");
    assert!(after < before + text / 4, "{after} KiB after {text}, before {before}");
}

#[test]
fn lines_that_a_slow_reader_has_not_taken_outlast_the_timeout() {
    let dir = tempdir();
    let (mut reader, writer) = pipe();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    nix::unistd::write(&writer, &[b'x'; 4096]).unwrap();
    let mut command = inotifywait(dir.path(), ["-m", "-t", "0.5", "-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    // No test of time: by then it would have ended.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!run.has_ended());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.trim_start_matches('x'), "./ CREATE f0\n");
    run.finish().code(2);
}

#[test]
fn memory_for_a_stalled_reader_is_bounded() {
    const LIMIT: usize = 256 << 20;
    /// How often a name stands in its line: the names make long lines first, short ones then.
    const TIMES: usize = 100;
    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    let format = "%f".repeat(TIMES);
    let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "--format", &format, "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    let long = "n".repeat(245);
    let kept = LIMIT / (TIMES * (long.len() + 4));
    for start in (0..kept).step_by(5_000) {
        create_files(dir.path(), &long, start..kept.min(start + 5_000));
        run.wait_asleep();
    }
    // Somewhere here the bound is reached, and then the kernel's, too.
    let queued = common::queue_limit();
    create_files(dir.path(), "", 0..1000);
    run.wait_asleep();
    create_files(dir.path(), &long, kept..kept + 1000);
    run.wait_asleep();
    create_files(dir.path(), "", 1000..queued + 2000);
    let taken = run.memory("RssAnon:");
    assert!(taken < (LIMIT + LIMIT / 10) / 1024 + (8 << 10), "{taken} KiB");
    assert!(taken > (LIMIT - LIMIT / 10) / 1024, "{taken} KiB");
    // There is room in the kernel's queue when the reader has begun: nothing is lost from then on.
    let mut reader = BufReader::new(reader).lines();
    let mut next = || reader.next().unwrap().unwrap();
    let is_line_of = |line: &str, name: &str| line.len() == TIMES * name.len() && line.starts_with(name);
    let first = (0..kept).map(|number| format!("{long}{number}"));
    let second = (0..1000).map(|number| number.to_string());
    let third = (kept..kept + 1000).map(|number| format!("{long}{number}"));
    for name in first.chain(second).chain(third) {
        let line = next();
        assert!(is_line_of(&line, &name), "{name}: {line}");
    }
    run.expect_message("Events were lost");
    create_files(dir.path(), "after-it", 0..1);
    let mut numbers = 1000..;
    while !is_line_of(&next(), "after-it0") {
        numbers.next();
    }
    let read = numbers.next().unwrap() - 1000;
    assert_eq!(
        read,
        queued + 1000,
        "of those after the bound: what the kernel dropped is reported by its dates"
    );
    let end = run.stop();
    let said = String::from_utf8_lossy(&end.stderr);
    end.check("one word", said.matches("Events were lost").count() == 1);
}

#[test]
fn a_one_shot_waits_for_a_full_pipe() {
    let dir = tempdir();
    let (mut reader, writer) = pipe();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    nix::unistd::write(&writer, &[b'x'; 4096]).unwrap();
    let mut command = inotifywait(dir.path(), ["-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    run.wait_asleep();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.trim_start_matches('x'), "./ CREATE f0\n");
    run.finish().code(0);
}

#[test]
fn writers_on_one_pipe_do_not_mix() {
    const WRITERS: usize = 4;
    const LINES: usize = 2_000;
    let dir = fast_tempdir();
    let (reader, writer) = pipe();
    let mut runs = Vec::new();
    for number in 0..WRITERS {
        let format = format!("{number}:%f");
        let mut command = inotifywait(dir.path(), ["-m", "-e", "create", "--format", &format, "."]);
        command.stdout(writer.try_clone().unwrap());
        runs.push(Running::ready(command));
    }
    drop(writer);
    let prefix = "n".repeat(100);
    create_files(dir.path(), &prefix, 0..LINES);
    runs.iter_mut().for_each(Running::wait_asleep);
    // All of them have far more to say than the pipe holds.
    let read = Collected::from(reader);
    runs[0].wait("all lines", |_| read.lines().len() == WRITERS * LINES);
    let lines = read.lines();
    for number in 0..WRITERS {
        let start = format!("{number}:");
        let mine = lines.iter().filter_map(|line| line.strip_prefix(&start));
        let wanted = (0..LINES).map(|number| format!("{prefix}{number}"));
        assert!(mine.eq(wanted), "lines of writer {number} are mixed, lost or out of order");
    }
}

#[test]
fn its_own_output_causes_no_event() {
    for arguments in [
        &["-m", "-o", "d/s/out", "-r", "d"][..],
        &["-m", "-o", "d/s/out", "d/s"],
        &["-m", "-o", "d/s/out", "d/s/out", "d"],
        &["-m", "-r", "d"],
        &["-m", "d/s"],
        &["-m", "-r", "./d/../d"],
    ] {
        let dir = tempdir();
        fs::create_dir_all(dir.path().join("d/s")).unwrap();
        let out = dir.path().join("d/s/out");
        let file = File::options().append(true).create(true).open(&out).unwrap();
        let mut command = inotifywait(dir.path(), arguments);
        // Not those of reading: this test reads it.
        command.args(["-e", "create,modify,attrib,close_write,move,delete"]);
        // Or else stdout is closed when the test has started it.
        if !arguments.contains(&"-o") {
            command.stdout(file);
        }
        let mut run = Running::ready(command);
        let top = if arguments.contains(&"d/s") { "d/s" } else { "d" };
        for name in ["f", "g", "h"] {
            fs::write(dir.path().join(top).join(name), "").unwrap();
            run.wait("the line", |_| fs::read_to_string(&out).unwrap().contains(&format!("CLOSE {name}")));
        }
        run.wait_asleep();
        let end = run.stop();
        let text = fs::read_to_string(&out).unwrap();
        end.check(&format!("nothing of out in {text}"), !text.contains("out"));
        end.check("two lines a file", text.lines().count() == 6);
    }
}

#[test]
fn its_own_output_causes_no_event_without_proc() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    make_d(dir.path());
    let arguments = ["-m", "-o", "d/out", "-e", "modify", "d"];
    let script = r#"exec unshare -m sh -ec 'mount -t tmpfs none /proc; exec "$@"' sh "$@""#;
    let mut run = Running::ready(wrapped(dir.path(), script, "inotifywait", arguments));
    let out = dir.path().join("d/out");
    for name in ["f", "g"] {
        fs::write(dir.path().join("d").join(name), "x").unwrap();
        run.wait("the line", |_| fs::read_to_string(&out).unwrap().contains(&format!("MODIFY {name}")));
    }
    run.wait_asleep();
    run.stop();
    assert_eq!(fs::read_to_string(&out).unwrap(), "d/ MODIFY f\nd/ MODIFY g\n");
}

#[test]
fn long_lines_arrive_whole() {
    let dir = tempdir();
    let (path, innermost) = deep_directory(dir.path(), 20);
    let wanted = [b"./", &path[..], b" CREATE f\n"].concat();
    assert!(wanted.len() > libc::PIPE_BUF);
    let command = inotifywait(dir.path(), ["-r", "-e", "create", "."]);
    let run = Running::ready(command);
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(&innermost, "f", flags, Mode::S_IRWXU).unwrap();
    run.finish().code(0).printed(&wanted);

    // More of them than a pipe holds, to a reader that is slow.
    let (reader, writer) = pipe();
    let mut command = inotifywait(dir.path(), ["-m", "-r", "-e", "attrib", "--format", "%w%f %w%f", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    for _ in 0..30 {
        for mode in [Mode::S_IRWXU, Mode::S_IRUSR] {
            nix::sys::stat::fchmod(nix::fcntl::openat(&innermost, "f", OFlag::O_RDONLY, mode).unwrap(), mode)
                .unwrap();
        }
        run.wait_asleep();
    }
    let line = [b"./", &path[..], b"f ./", &path[..], b"f\n"].concat();
    let read = Collected::from(reader);
    run.wait("all lines", |_| read.bytes().len() >= 30 * line.len());
    run.wait_asleep();
    let bytes = read.bytes();
    // Some of them may be one for the kernel.
    assert!(bytes.chunks(line.len()).all(|chunk| chunk == line), "{} bytes", bytes.len());
}

#[test]
fn a_closed_stdout_is_as_good_as_none() {
    let dir = tempdir();
    make_d(dir.path());
    let command = wrapped(dir.path(), "exec \"$@\" >&-", "inotifywait", ["-e", "create", "d"]);
    let run = Running::ready(command);
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(0).said("Setting up watches.\nWatches established.\n");
    // Nor does anything get what is not for it when all three are closed.
    let arguments = ["-e", "create", "-o", "out", "d"];
    let mut run = Running::start(wrapped(dir.path(), "exec \"$@\" <&- >&- 2>&-", "inotifywait", arguments));
    run.wait_asleep();
    create_files(&dir.path().join("d"), "g", 0..1);
    run.finish().code(0);
    assert_eq!(fs::read_to_string(dir.path().join("out")).unwrap(), "d/ CREATE g0\n");
}

/// An ordinary user whose stdout is root's: opening it anew is refused there, writing to it is not.
#[test]
fn an_ordinary_user_may_write_where_he_may_not_open() {
    const LINES: usize = 5_000;
    if !need_root() {
        return;
    }
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let d = dir.path().join("d");
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let file = dir.path().join("file");
    let (pipe_reader, pipe_writer) = pipe();
    let mut stall = Vec::new();
    for stdout in [
        OwnedFd::from(File::options().write(true).open(&fifo).unwrap()),
        OwnedFd::from(
            File::options().write(true).create(true).truncate(false).mode(0o600).open(&file).unwrap(),
        ),
        pipe_writer,
    ] {
        let mut command = as_nobody(dir.path(), "inotifywait", ["-m", "-e", "create", "d"]);
        command.stdout(stdout);
        stall.push(Running::ready(command));
    }
    create_files(&d, "name", 0..LINES);
    stall.iter_mut().for_each(Running::wait_asleep);
    let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::empty());
    nix::fcntl::fcntl(&reader, flags).unwrap();
    for read in
        [Collected::from(reader), Collected::from(File::open(&file).unwrap()), Collected::from(pipe_reader)]
    {
        stall[0].wait("all lines", |_| read.lines().len() == LINES);
        let wanted = (0..LINES).map(|number| format!("d/ CREATE name{number}"));
        assert!(read.lines().into_iter().eq(wanted));
    }
}
