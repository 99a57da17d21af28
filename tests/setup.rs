//! Set-up under hard conditions: trees that change under it, paths of any length, operands of any bytes.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{
    Collected, Running, as_nobody, contains, deep_directory, fast_tempdir, inotifywait, inotifywatch,
    need_root, tempdir, terminal,
};
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, mkdirat};

#[test]
fn operands_that_cannot_be_watched() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    let long = "n".repeat(256);
    for (operand, words) in [
        ("nowhere", "No such file or directory"),
        ("dangling", "No such file or directory"),
        ("f/", "Not a directory"),
        ("f/x", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        (&long, "File name too long"),
    ] {
        let hint = match fs::read_link(dir.path().join(operand)) {
            Ok(target) => format!(
                "'{operand}' is a symbolic link to '{}', which leads nowhere. To watch the link itself, use -P without -r.\n",
                target.display()
            ),
            Err(_) => String::new(),
        };
        for arguments in [&["-q"][..], &["-q", "-m", "-r"]] {
            let mut command = inotifywait(dir.path(), arguments);
            command.args(["d", operand]);
            let message = format!("Couldn't watch {operand}: {words}\n{hint}");
            Running::start(command).finish().code(1).printed("").said(message);
        }
        let end = Running::start(inotifywatch(dir.path(), ["-r", "d", operand])).finish();
        let message = format!("Establishing watches...\nFailed to watch {operand}: {words}\n{hint}");
        end.code(1).printed("").said(message);
    }
}

#[test]
fn directories_that_may_not_be_read() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    for name in ["secret/below", "open/closed/below", "open/s"] {
        fs::create_dir_all(dir.path().join("d").join(name)).unwrap();
    }
    for name in ["d/secret", "d/open/closed"] {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let command = as_nobody(dir.path(), "inotifywait", ["-m", "-r", "-e", "create", "d"]);
    let mut run = Running::ready(command);
    fs::write(dir.path().join("d/open/s/f"), "").unwrap();
    run.expect_line("d/open/s/ CREATE f");
    let end = run.stop();
    let mut said: Vec<&str> = std::str::from_utf8(&end.stderr).unwrap().lines().collect();
    said.sort();
    let wanted = [
        "Couldn't watch d/open/closed/: Permission denied",
        "Couldn't watch d/secret/: Permission denied",
        "Setting up watches.  Beware: since -r was given, this may take a while!",
        "Watches established.",
    ];
    end.check(&format!("{wanted:?}"), said == wanted);
    // An operand, though, is needed.
    let end =
        Running::start(as_nobody(dir.path(), "inotifywait", ["-q", "-r", "d/open", "d/secret"])).finish();
    end.code(1).said("Couldn't watch d/secret: Permission denied\n");
}

#[test]
fn an_operand_that_comes_and_goes_is_watched_or_missing() {
    let dir = fast_tempdir();
    let (there, away) = (dir.path().join("d"), dir.path().join("away"));
    for name in ["a", "b", "c"] {
        fs::create_dir_all(there.join(name)).unwrap();
    }
    let over = AtomicBool::new(false);
    let (mut watched, mut missing) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                fs::rename(&there, &away).unwrap();
                fs::rename(&away, &there).unwrap();
            }
        });
        for _ in 0..30 {
            let end =
                Running::start(inotifywait(dir.path(), ["-q", "-r", "-e", "unmount", "-t", "0.01", "d"]))
                    .finish();
            match end.status.code() {
                Some(2) => watched += 1,
                Some(1) if end.stderr == b"Couldn't watch d: No such file or directory\n" => missing += 1,
                _ => {
                    over.store(true, Ordering::SeqCst);
                    end.check("a timeout, or the one message", false);
                }
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(watched + missing, 30);
}

#[test]
fn deeper_than_a_path_may_be() {
    let dir = tempdir();
    let (path, innermost) = deep_directory(dir.path(), 20);
    assert!(path.len() > libc::PATH_MAX as usize);
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-r", "-e", "create,move,delete", "."]));
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    openat(&innermost, "f", flags, Mode::S_IRWXU).unwrap();
    // New, filled before it can be watched, renamed, filled again.
    mkdirat(&innermost, "new", Mode::S_IRWXU).unwrap();
    openat(&innermost, "new/g", flags, Mode::S_IRWXU).unwrap();
    run.wait_asleep();
    renameat(innermost.as_fd(), "new", innermost.as_fd(), "renamed").unwrap();
    run.wait_asleep();
    openat(&innermost, "renamed/h", flags, Mode::S_IRWXU).unwrap();
    run.wait_asleep();
    let below =
        |name: &str, rest: &str| [b"./", &path[..], name.as_bytes(), b" ", rest.as_bytes(), b"\n"].concat();
    let wanted = [
        below("", "CREATE f"),
        below("", "CREATE,ISDIR new"),
        below("new/", "CREATE g"),
        below("", "MOVED_FROM,ISDIR new"),
        below("", "MOVED_TO,ISDIR renamed"),
        below("renamed/", "CREATE h"),
    ];
    let end = run.stop();
    end.said(
        "Setting up watches.  Beware: since -r was given, this may take a while!\nWatches established.\n",
    );
    end.printed(wanted.concat());
}

/// Directories that are made below at once, and renames there and above.
#[test]
fn changes_deeper_than_a_path_may_be() {
    let dir = tempdir();
    let (path, innermost) = deep_directory(dir.path(), 20);
    let arguments = ["-m", "-r", "-e", "create", "--format", "%w%f", "."];
    let mut run = Running::ready(inotifywait(dir.path(), arguments));
    let counting = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "create", "."]));
    let mut wanted = Vec::new();
    let mut make = |top: &[u8], name: &str, directory: bool| {
        match directory {
            true => mkdirat(&innermost, name, Mode::S_IRWXU).unwrap(),
            false => {
                drop(openat(&innermost, name, OFlag::O_CREAT | OFlag::O_CLOEXEC, Mode::S_IRWXU).unwrap())
            }
        }
        wanted.push([b"./", top, b"/", &path[256..], name.as_bytes(), b"\n"].concat());
    };
    let name = &path[..255];
    for chain in ["a", "a/b", "a/b/c"] {
        make(name, chain, true);
    }
    make(name, "a/b/c/f", false);
    run.wait_asleep();
    renameat(innermost.as_fd(), "a/b", innermost.as_fd(), "b").unwrap();
    make(name, "b/c/g", false);
    let top = dir.path().join(std::ffi::OsStr::from_bytes(name));
    fs::rename(top, dir.path().join("short")).unwrap();
    make(b"short", "b/c/h", false);
    make(b"short", "b/new", true);
    make(b"short", "b/new/i", false);
    run.wait_asleep();
    run.stop().printed(wanted.concat());
    counting.signal(Signal::SIGINT);
    let end = counting.finish();
    let row = [b"3      3       ./short/", &path[256..], b"b/c/\n"].concat();
    end.code(0).check("a row of the innermost", common::contains(&end.stdout, &row));
}

#[test]
fn an_operand_longer_than_a_path_may_be() {
    let dir = tempdir();
    let (path, innermost) = deep_directory(dir.path(), 20);
    let operand = OsString::from_vec(path.clone());
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    for (round, arguments) in
        [&["-e", "create"][..], &["-r", "-e", "create"], &["-P", "-e", "create"]].iter().enumerate()
    {
        let mut command = inotifywait(dir.path(), *arguments);
        command.arg(&operand);
        let run = Running::ready(command);
        let name = format!("f{round}");
        openat(&innermost, name.as_str(), flags, Mode::S_IRWXU).unwrap();
        run.finish().code(0).printed([&path[..], b" CREATE ", name.as_bytes(), b"\n"].concat());
    }
}

#[test]
fn a_file_operand_longer_than_a_path_may_be() {
    let dir = tempdir();
    let (path, innermost) = deep_directory(dir.path(), 20);
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    openat(&innermost, "f", flags, Mode::S_IRWXU).unwrap();
    let file = [&path[..], b"f"].concat();
    let mut command = inotifywait(dir.path(), ["-e", "open"]);
    command.arg(OsString::from_vec(file.clone()));
    let run = Running::ready(command);
    openat(&innermost, "f", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    run.finish().code(0).printed([&file[..], b" OPEN \n"].concat());
}

#[test]
fn ten_thousand_operands_from_stdin() {
    // A part of the watches that a user may have: other tests have theirs.
    let limit: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap().trim().parse().unwrap();
    let count = (limit / 4).min(10_000);
    let dir = fast_tempdir();
    common::create_files(dir.path(), "f", 0..count);
    let list: String = (0..count).map(|number| format!("f{number}\n")).collect();
    for tool in ["inotifywait", "inotifywatch"] {
        let arguments = ["--fromfile", "-", "-e", "close_write"];
        let mut command = match tool {
            "inotifywait" => inotifywait(dir.path(), arguments),
            _ => inotifywatch(dir.path(), arguments),
        };
        command.stdin(Stdio::piped());
        let mut run = Running::start(command);
        let mut stdin = run.stdin.take().unwrap();
        stdin.write_all(list.as_bytes()).unwrap();
        drop(stdin);
        run.wait_ready();
        let last = format!("f{}", count - 1);
        fs::write(dir.path().join(&last), "x").unwrap();
        if tool == "inotifywait" {
            run.finish().code(0).printed(format!("{last} CLOSE_WRITE,CLOSE \n"));
        } else {
            run.signal(Signal::SIGINT);
            run.finish()
                .code(0)
                .printed(format!("total  close_write  filename\n1      1            {last}\n"));
        }
    }
}

#[test]
fn operands_of_any_bytes_are_watched() {
    let long = vec![b'l'; 255];
    let long_utf8 = "é".repeat(127).into_bytes();
    let names: [&[u8]; 12] = [
        b"\xff\xfe not utf-8",
        &long,
        &long_utf8,
        b"-m",
        b"--help",
        b"-",
        b"with\nnewline",
        b" blank ",
        b"%w%f%%",
        b"*",
        b"\\",
        b"\x1b[31m",
    ];
    let dir = tempdir();
    for name in names {
        let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&path).unwrap();
    }
    for name in names {
        let operand = std::ffi::OsStr::from_bytes(name);
        let path = dir.path().join(operand);
        for recursive in [false, true] {
            let mut command = inotifywait(dir.path(), ["-e", "create"]);
            command.args(recursive.then_some("-r")).arg("--").arg(operand);
            let run = Running::ready(command);
            fs::write(path.join("f"), "").unwrap();
            run.finish().code(0).printed([name, b"/ CREATE f\n"].concat());
            fs::remove_file(path.join("f")).unwrap();
        }
        let mut command = inotifywatch(dir.path(), ["-e", "create", "--"]);
        command.arg(operand);
        let run = Running::ready(command);
        fs::write(path.join("f"), "").unwrap();
        run.signal(Signal::SIGINT);
        run.finish().code(0).printed([b"total  create  filename\n1      1       ", name, b"/\n"].concat());
    }
    // Below a directory that is watched, all at once, and new ones as well.
    let mut run = Running::ready(inotifywait(
        dir.path(),
        ["-m", "-r", "-e", "create", "--format", "%w%f%0", "--no-newline", "."],
    ));
    let mut wanted = Vec::new();
    for name in names {
        let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(path.join("new")).unwrap();
        run.wait_asleep();
        fs::write(path.join("new/g"), "").unwrap();
        wanted.extend_from_slice(&[b"./", name, b"/new\0./", name, b"/new/g\0"].concat());
    }
    run.wait_asleep();
    run.stop().printed(wanted);
}

/// The second operand's setup must not change what the watch of the first asks for.
#[test]
fn an_operand_within_an_earlier_one_reports_every_event() {
    let dir = tempdir();
    fs::create_dir_all(dir.path().join("d/a/b")).unwrap();
    for operands in [["d", "d/a"], ["d/a", "d"], ["d/a/b", "d/a"], ["d", "d"]] {
        let mut run = Running::ready(inotifywait(
            dir.path(),
            ["-m", "-r", "-e", "open", "--format", "%w|%e|%f"].iter().chain(&operands),
        ));
        fs::File::open(dir.path().join("d/a/b")).unwrap();
        run.expect_line("d/a/|OPEN,ISDIR|b");
        run.expect_line("d/a/b/|OPEN,ISDIR|");
        run.stop();
    }
}

/// With a terminal to look at, a set-up of more than a second tells how far it is, and leaves no trace of that.
#[test]
fn a_long_setup_shows_a_count_on_a_terminal() {
    const WIDE: usize = 200;
    let dir = fast_tempdir();
    for number in 0..WIDE * 50 {
        fs::create_dir_all(dir.path().join(format!("{}/{number}", number % WIDE))).unwrap();
    }
    for (arguments, tries, counts) in
        [(&["-m", "-r", "."][..], 20, true), (&["-m", "-r", "-q", "."], 2, false)]
    {
        // Its set-up takes as long as it was stopped; whether it could be stopped in time is chance.
        let saw = (0..tries).any(|_| {
            let (master, stderr) = terminal();
            let mut command = inotifywait(dir.path(), arguments);
            command.stderr(stderr);
            let mut run = Running::start(command);
            run.wait("its first watch", |run| run.watches() > 0);
            run.signal(Signal::SIGSTOP);
            thread::sleep(Duration::from_millis(1100));
            run.signal(Signal::SIGCONT);
            run.wait_asleep();
            let said = Collected::from(master);
            if counts {
                run.wait("its word", |_| contains(&said.bytes(), b"Watches established.\r\n"));
            }
            run.stop();
            let said = String::from_utf8(said.bytes()).unwrap();
            let rest = said.replacen(
                "Setting up watches.  Beware: since -r was given, this may take a while!\r\n",
                "",
                1,
            );
            match rest.as_str() {
                "" | "Watches established.\r\n" => false,
                rest => {
                    let rest = rest
                        .strip_suffix("\r\x1b[KWatches established.\r\n")
                        .unwrap_or_else(|| panic!("{said:?}"));
                    let mut words = rest.split("\r\x1b[K");
                    assert_eq!(words.next(), Some(""));
                    let counted = words.map(|word| {
                        let count = word.strip_prefix("Watching ").unwrap();
                        let count = count.strip_suffix(" directories...").unwrap();
                        count.parse::<usize>().unwrap()
                    });
                    assert!(counted.is_sorted_by(|one, next| one < next), "{said:?}");
                    true
                }
            }
        });
        assert_eq!(saw, counts, "{arguments:?}");
    }
}
