//! `--daemon` and `--syslog` end to end.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, command, create_files, inotifywait, skip, tempdir, terminal, wait_until, wrapped};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// The daemons of one test are known by this variable in their environment.
const MARKER: &str = "INOTIFY_TOOLS_TEST";

/// A directory, and the daemons started from it, which go with it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place::at(tempdir())
    }

    fn at(dir: tempfile::TempDir) -> Place {
        fs::create_dir(dir.path().join("d")).unwrap();
        Place { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn marked(&self, mut command: Command) -> Command {
        command.env(MARKER, self.path());
        command
    }

    /// Starts a daemon; returns it when its parent has ended.
    #[track_caller]
    fn daemon(&self, arguments: &[&str]) -> Pid {
        let end = Running::start(self.marked(inotifywait(self.path(), arguments))).finish();
        end.code(0).printed("");
        let daemons = self.daemons();
        end.check(&format!("one daemon, not {daemons:?}"), daemons.len() == 1);
        daemons[0]
    }

    fn daemons(&self) -> Vec<Pid> {
        let marker = format!("{MARKER}={}\0", self.path().display());
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let environment = |pid: &i32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        numbers
            .filter(|pid| common::contains(&environment(pid), marker.as_bytes()))
            .map(Pid::from_raw)
            .collect()
    }

    #[track_caller]
    fn expect_file(&self, name: &str, text: &str) {
        let read = || fs::read_to_string(self.path().join(name)).unwrap_or_default();
        assert!(wait_until(|| read() == text), "{name} has {:?}, not {text:?}", read());
    }

    #[track_caller]
    fn expect_end(&self, daemon: Pid, signal: Signal) {
        kill(daemon, signal).unwrap();
        assert!(wait_until(|| self.daemons().is_empty()), "{daemon} goes on after {signal}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for daemon in self.daemons() {
            let _ = kill(daemon, Signal::SIGKILL);
        }
    }
}

/// Its directory is `/` then, and the outfile is in the directory that is watched for the name.
#[test]
fn a_name_is_followed_from_the_directory_in_which_it_was_given() {
    let place = Place::new();
    let arguments =
        ["-d", "--follow-name", "-e", "create,close_write,delete_self", "-o", "out", "conf", "e/f", "out"];
    let daemon = place.daemon(&arguments);
    let at = |path: &str| place.path().join(path);
    fs::write(at("conf"), "").unwrap();
    let text = "conf CREATE \nconf CLOSE_WRITE,CLOSE \n";
    place.expect_file("out", text);
    // As logrotate(8) does it.
    fs::rename(at("out"), at("out.1")).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    assert!(wait_until(|| at("out").exists()));
    fs::create_dir(at("e")).unwrap();
    fs::rename(at("conf"), at("e/f")).unwrap();
    place.expect_file("out", "out CREATE \ne/f CREATE \ne/f CLOSE_WRITE,CLOSE \n");
    place.expect_file("out.1", text);
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn the_daemon_command_returns_once_it_watches() {
    let place = Place::new();
    for number in 0..20 {
        // What happens at once after it returned is heard.
        let daemon = place.daemon(&["-d", "-o", "out", "--format", "%f", "-e", "create", "d"]);
        create_files(&place.path().join("d"), &format!("f{number}-"), 0..1);
        let wanted: String = (0..=number).map(|number| format!("f{number}-0\n")).collect();
        place.expect_file("out", &wanted);
        place.expect_end(daemon, Signal::SIGTERM);
    }
}

#[test]
fn a_batch_that_is_open_when_the_file_is_reopened_goes_to_the_new_one() {
    let place = Place::new();
    let settle = ["--debounce", "3600", "--batch-marker"];
    let arguments = ["-d", "-o", "out", "-e", "create", "d"];
    let daemon = place.daemon(&[&settle[..], &arguments].concat());
    create_files(&place.path().join("d"), "f", 0..1);
    fs::rename(place.path().join("out"), place.path().join("old")).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    assert!(wait_until(|| place.path().join("out").exists()), "the new file");
    create_files(&place.path().join("d"), "f", 1..2);
    place.expect_end(daemon, Signal::SIGTERM);
    place.expect_file("out", "d/ CREATE f0\nd/ CREATE f1\n\n");
    place.expect_file("old", "");
}

#[test]
fn the_daemon_leaves_its_directory() {
    let place = Place::new();
    let daemon = place.daemon(&["-d", "-o", "out", "d"]);
    let of = |what: &str| fs::read_link(format!("/proc/{daemon}/{what}")).unwrap();
    assert_eq!(of("cwd"), PathBuf::from("/"));
    for fd in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(of(fd), PathBuf::from("/dev/null"), "{fd}");
    }
    // pid (comm) state ppid pgrp session tty
    let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap();
    let fields: Vec<i32> =
        stat.rsplit(") ").next().unwrap().split(' ').skip(1).take(4).flat_map(str::parse).collect();
    assert_eq!(fields[1..], [daemon.as_raw(), daemon.as_raw(), 0], "process group, session, terminal");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn command_substitution_returns_before_the_daemon_exits() {
    let place = Place::new();
    let script = r#"said=$("$@" 2>&1); echo "status $? said <$said>""#;
    let end = Running::start(place.marked(wrapped(
        place.path(),
        script,
        "inotifywait",
        ["-d", "-r", "-o", "out", "d"],
    )))
    .finish();
    end.code(0);
    let said = String::from_utf8_lossy(&end.stdout).into_owned();
    end.check("status 0", said.starts_with("status 0 "));
    assert_eq!(place.daemons().len(), 1);
}

#[test]
fn relative_paths_below_a_relative_operand() {
    let place = Place::new();
    fs::create_dir(place.path().join("d/s")).unwrap();
    let daemon = place.daemon(&["-d", "-r", "-o", "out", "-e", "create,close_write", "./d"]);
    let made = place.path().join("d/s/new/in it");
    fs::create_dir_all(&made).unwrap();
    place.expect_file("out", "./d/s/ CREATE,ISDIR new\n./d/s/new/ CREATE,ISDIR in it\n");
    fs::write(made.join("f"), "x").unwrap();
    place.expect_file(
        "out",
        "./d/s/ CREATE,ISDIR new\n./d/s/new/ CREATE,ISDIR in it\n./d/s/new/in it/ CREATE f\n\
         ./d/s/new/in it/ CLOSE_WRITE,CLOSE f\n",
    );
    place.expect_end(daemon, Signal::SIGINT);
}

#[test]
fn relative_exclusions_and_the_outfile_inside() {
    let place = Place::new();
    for name in ["d/s", "d/t"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    let daemon = place.daemon(&[
        "-d",
        "-r",
        "-o",
        "d/out",
        "-e",
        "create,modify,delete",
        "--exclude",
        "/x$",
        "@d/t",
        "d",
    ]);
    fs::write(place.path().join("d/t/hidden"), "x").unwrap();
    fs::write(place.path().join("d/s/x"), "x").unwrap();
    fs::write(place.path().join("d/s/f"), "").unwrap();
    place.expect_file("d/out", "d/s/ CREATE f\n");
    fs::remove_file(place.path().join("d/s/f")).unwrap();
    place.expect_file("d/out", "d/s/ CREATE f\nd/s/ DELETE f\n");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn errors_of_the_setup_are_printed_and_no_daemon_remains() {
    let place = Place::new();
    fs::create_dir(place.path().join("dir")).unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["-d", "-o", "out", "nowhere"], "Couldn't watch nowhere: No such file or directory\n"),
        (&["-d", "-o", "out", "d", "nowhere"], "Couldn't watch nowhere: No such file or directory\n"),
        (&["-d", "-o", "out", "-r", "nowhere/d"], "Couldn't watch nowhere/d: No such file or directory\n"),
        (&["-d", "-o", "dir", "d"], "Failed to open output file dir\ndir: Is a directory\n"),
        (&["-d", "d"], "-o must be specified with -d.\n"),
        (&["-d", "-o", "out"], "No files specified to watch!\n"),
    ];
    for (arguments, message) in cases {
        let end = Running::start(place.marked(inotifywait(place.path(), arguments))).finish();
        end.code(1).printed("");
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        end.check(&format!("{message:?}"), said.contains(message));
        end.check("no daemon", place.daemons().is_empty());
    }
}

#[test]
fn a_hang_up_reopens_the_outfile() {
    let place = Place::new();
    let daemon = place.daemon(&["-d", "-o", "out", "-e", "create", "--format", "%f", "d"]);
    let d = place.path().join("d");
    let mut numbers = 0..;
    for rotated in ["out.1", "out.2"] {
        let number = numbers.next().unwrap();
        create_files(&d, "f", number..number + 1);
        place.expect_file("out", &format!("f{number}\n"));
        fs::rename(place.path().join("out"), place.path().join(rotated)).unwrap();
        // Until the signal it goes on in the renamed file.
        create_files(&d, "g", number..number + 1);
        place.expect_file(rotated, &format!("f{number}\ng{number}\n"));
        kill(daemon, Signal::SIGHUP).unwrap();
        assert!(wait_until(|| place.path().join("out").exists()));
        assert_eq!(fs::metadata(place.path().join("out")).unwrap().mode() & 0o7777, 0o600);
    }
    create_files(&d, "h", 0..1);
    place.expect_file("out", "h0\n");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn a_hang_up_that_finds_no_directory_is_survived() {
    let place = Place::new();
    fs::create_dir(place.path().join("log")).unwrap();
    let daemon = place.daemon(&["-d", "-o", "log/out", "-e", "create", "--format", "%f", "d"]);
    fs::rename(place.path().join("log"), place.path().join("old")).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    create_files(&place.path().join("d"), "f", 0..1);
    place.expect_file("old/out", "f0\n");
    fs::create_dir(place.path().join("log")).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    assert!(wait_until(|| place.path().join("log/out").exists()));
    create_files(&place.path().join("d"), "g", 0..1);
    place.expect_file("log/out", "g0\n");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn rotation_inside_the_watched_tree_reports_other_processes_only() {
    let place = Place::new();
    // Not those of reading: this test reads it.
    let daemon =
        place.daemon(&["-d", "-o", "d/out", "-e", "create,modify,close_write,attrib,move,delete", "d"]);
    fs::rename(place.path().join("d/out"), place.path().join("d/out.1")).unwrap();
    place.expect_file("d/out.1", "d/ MOVED_FROM out\nd/ MOVED_TO out.1\n");
    kill(daemon, Signal::SIGHUP).unwrap();
    assert!(wait_until(|| place.path().join("d/out").exists()));
    fs::write(place.path().join("d/f"), "").unwrap();
    let read = || fs::read_to_string(place.path().join("d/out")).unwrap_or_default();
    assert!(wait_until(|| read().contains("CLOSE_WRITE,CLOSE f")), "{}", read());
    // What it did itself: made one, wrote to both, closed the other.
    let text = read();
    assert!(!text.contains(" out"), "{text}");
    place.expect_end(daemon, Signal::SIGTERM);
}

/// Rotates an outfile in the watched directory again and again while files are made there, and has each followed by
/// `rotated`; returns all the lines.
fn rotations(events: &str, rotated: impl Fn(&Path)) -> Vec<String> {
    const ROUNDS: usize = 100;
    let place = Place::at(common::fast_tempdir());
    let d = place.path().join("d");
    let daemon = place.daemon(&["-d", "-o", "d/out", "-e", events, "d"]);
    let out = d.join("out");
    for round in 0..ROUNDS {
        // Its lines of these, and the events of writing them, come while the file is renamed.
        create_files(&d, &format!("f{round}-"), 0..20);
        let _ = fs::rename(&out, d.join(format!("out.{round}")));
        rotated(&out);
        kill(daemon, Signal::SIGHUP).unwrap();
        create_files(&d, &format!("g{round}-"), 0..20);
    }
    create_files(&d, "last", 0..1);
    let text = || {
        let entries = fs::read_dir(&d).unwrap().flatten().map(|entry| entry.path());
        let outfiles = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("out"));
        outfiles.map(|path| fs::read_to_string(path).unwrap()).collect::<String>()
    };
    assert!(wait_until(|| text().contains("CREATE last0\n")), "{}", text());
    place.expect_end(daemon, Signal::SIGTERM);
    let lines: Vec<String> = text().lines().map(str::to_owned).collect();
    assert_eq!(lines.iter().filter(|line| !line.contains(" out")).count(), ROUNDS * 40 + 1);
    lines
}

#[test]
fn its_own_writing_is_no_event_while_the_outfile_is_renamed() {
    let lines = rotations("create,modify", |_| ());
    let own: Vec<&String> = lines.iter().filter(|line| line.contains(" out")).collect();
    assert!(own.is_empty(), "{} of {} lines, such as {:?}", own.len(), lines.len(), &own[..own.len().min(5)]);
    // Another process has made the next one before.
    let create = |out: &Path| drop(fs::File::options().append(true).create(true).open(out).unwrap());
    let lines = rotations("create,modify", create);
    let own: Vec<&String> = lines.iter().filter(|line| line.contains("MODIFY out")).collect();
    assert!(own.is_empty(), "{} of {} lines, such as {:?}", own.len(), lines.len(), &own[..own.len().min(5)]);
}

#[test]
fn writes_to_a_new_file_of_the_outfiles_name_are_reported() {
    let place = Place::new();
    let (d, out) = (place.path().join("d"), place.path().join("d/out"));
    let daemon = place.daemon(&["-d", "-o", "d/out", "-e", "modify", "d"]);
    fs::write(d.join("f"), "x").unwrap();
    place.expect_file("d/out", "d/ MODIFY f\n");
    fs::rename(&out, d.join("out.1")).unwrap();
    fs::write(&out, "x").unwrap();
    place.expect_file("d/out.1", "d/ MODIFY f\nd/ MODIFY out\n");
    // It goes on in the renamed one, and no more comes of that.
    fs::write(d.join("g"), "x").unwrap();
    place.expect_file("d/out.1", "d/ MODIFY f\nd/ MODIFY out\nd/ MODIFY g\n");
    // Also if that one has no name any more, and another file has.
    let mut open = fs::File::open(d.join("out.1")).unwrap();
    fs::remove_file(d.join("out.1")).unwrap();
    fs::File::create(d.join("out.1")).unwrap();
    let mut text = String::new();
    for name in ["h", "i"] {
        fs::write(d.join(name), "x").unwrap();
        let read =
            || open.read_to_string(&mut text).map(|_| text.contains(&format!("MODIFY {name}"))).unwrap();
        assert!(wait_until(read), "{text}");
    }
    assert!(wait_until(|| common::sleep_of(daemon).is_some()));
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "d/ MODIFY f\nd/ MODIFY out\nd/ MODIFY g\nd/ MODIFY h\nd/ MODIFY i\n");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn it_ends_by_timeout_and_by_write_error() {
    let place = Place::new();
    place.daemon(&["-d", "-t", "0.5", "-o", "out", "d"]);
    assert!(wait_until(|| place.daemons().is_empty()), "-t is forgotten");
    // EIO: the terminal's other end is closed.
    let (master, slave) = terminal();
    let terminal = fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
    place.daemon(&["-d", "-o", terminal.to_str().unwrap(), "d"]);
    drop(master);
    // A command that another test starts just now also has the other end, until its execve(2): the
    // first lines may still be taken.
    let mut files = 0..;
    let ended = || {
        let number = files.next().unwrap_or_default();
        create_files(&place.path().join("d"), "f", number..number + 1);
        place.daemons().is_empty()
    };
    assert!(wait_until(ended), "the write error is forgotten");
}

#[test]
fn a_full_disk_delays_the_lines_of_a_daemon() {
    const FILES: usize = 500;
    let place = Place::new();
    let Some(_own_mounts) = common::Own::new() else { return };
    let Some(log) = Log::new(&place) else { return };
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
    let (out, filler) = (disk.join("out"), disk.join("filler"));
    let arguments = ["-d", "-o", out.to_str().unwrap(), "-e", "create", "d"];
    Running::start(log.inotifywait(&place, &arguments)).finish().code(0).said("");
    let daemon = place.daemons()[0];
    // All but one page: the disk is full in the middle of a line.
    let mut file = fs::File::create(&filler).unwrap();
    while file.write(&[0; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    for start in (0..FILES).step_by(100) {
        create_files(&place.path().join("d"), "file-", start..start + 100);
        assert!(wait_until(|| common::sleep_of(daemon).is_some()));
    }
    assert_eq!(log.next().1, "Setting up watches.");
    assert_eq!(log.next().1, "Watches established.");
    let cause = format!("Couldn't write to {}: No space left on device", out.display());
    assert_eq!(log.next().1, cause);
    assert!(log.next().1.starts_with("Up to 256 MiB"));
    assert_eq!(fs::metadata(&out).unwrap().len(), 4096);
    fs::remove_file(filler).unwrap();
    drop(file);
    let lines: String = (0..FILES).map(|number| format!("d/ CREATE file-{number}\n")).collect();
    assert!(
        wait_until(|| fs::read_to_string(&out).unwrap() == lines),
        "{}",
        fs::read_to_string(&out).unwrap()
    );
    place.expect_end(daemon, Signal::SIGTERM);
    assert!(log.is_silent(), "one message");
}

#[test]
fn lines_kept_on_a_full_disk_go_to_the_next_outfile() {
    let place = Place::new();
    let out = place.path().join("out");
    symlink("/dev/full", &out).unwrap();
    let daemon = place.daemon(&["-d", "-o", "out", "-e", "create", "--format", "%f", "d"]);
    create_files(&place.path().join("d"), "f", 0..3);
    assert!(wait_until(|| common::sleep_of(daemon).is_some()), "it ended");
    fs::remove_file(out).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    place.expect_file("out", "f0\nf1\nf2\n");
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn a_full_disk_does_not_stop_a_daemons_clock() {
    let place = Place::new();
    place.daemon(&["-d", "-t", "0.5", "-o", "/dev/full", "-e", "create", "d"]);
    create_files(&place.path().join("d"), "f", 0..1);
    assert!(wait_until(|| place.daemons().is_empty()), "-t is forgotten");
}

#[test]
fn an_outfile_that_becomes_a_fifo_is_read_when_its_reader_comes() {
    let place = Place::new();
    let (d, out) = (place.path().join("d"), place.path().join("out"));
    let daemon = place.daemon(&["-d", "-o", "out", "-e", "create", "--format", "%f", "d"]);
    create_files(&d, "before", 0..1);
    place.expect_file("out", "before0\n");
    fs::rename(&out, place.path().join("out.1")).unwrap();
    mkfifo(&out, Mode::S_IRWXU).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    // Its events are read in the meantime.
    for number in 0..10 {
        create_files(&d, "f", number..number + 1);
        assert!(wait_until(|| common::sleep_of(daemon).is_some()));
    }
    let reader = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&out).unwrap();
    let read = common::Collected::from(reader);
    let lines = || read.lines();
    assert!(wait_until(|| lines().len() == 10), "{:?}", lines());
    assert!(lines().iter().enumerate().all(|(number, line)| *line == format!("f{number}")));
    place.expect_end(daemon, Signal::SIGTERM);
}

#[test]
fn it_closes_the_descriptors_that_it_inherited() {
    let place = Place::new();
    let script = r#"exec 3>lock 7<d 8<>fifo 9>&3; exec "$@""#;
    mkfifo(&place.path().join("fifo"), Mode::S_IRWXU).unwrap();
    // Also where the outfile and an operand are named by them.
    for arguments in [&["-d", "-o", "out", "d"][..], &["-d", "-o", "/dev/fd/8", "/dev/fd/7", "d"]] {
        let mut command = wrapped(place.path(), script, "inotifywait", arguments);
        // Not the end of the caller's own use of d.
        command.args(["-e", "create"]);
        Running::start(place.marked(command)).finish().code(0).printed("");
        let daemon = place.daemons()[0];
        let outfile = place.path().join(if arguments[2] == "out" { "out" } else { "fifo" });
        let own =
            [outfile.to_str().unwrap(), "anon_inode:[signalfd]", "anon_inode:inotify"].map(PathBuf::from);
        let mut open: Vec<PathBuf> = Vec::new();
        // The pipe by which it let the command return is closed a moment later.
        let closed = wait_until(|| {
            let descriptors = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().flatten();
            open = descriptors
                .filter(|entry| entry.file_name().to_str().unwrap().parse::<i32>().unwrap() > 2)
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .collect();
            open.sort();
            open == own
        });
        assert!(closed, "{arguments:?}: {open:?}");
        place.expect_end(daemon, Signal::SIGTERM);
    }
}

/// The rest of the arguments in a mount namespace in which `$1` is /dev: seen by that process alone.
const OWN_DEV: &str =
    r#": > "$1/null"; mount --bind /dev/null "$1/null"; mount --rbind "$1" /dev; shift; exec "$@""#;

/// A system log of the test's own.
struct Log {
    dev: PathBuf,
    socket: UnixDatagram,
}

impl Log {
    /// None where namespaces are not to be had.
    fn new(place: &Place) -> Option<Log> {
        let dev = place.path().join("dev");
        fs::create_dir(&dev).unwrap();
        let socket = UnixDatagram::bind(dev.join("log")).unwrap();
        socket.set_read_timeout(Some(common::BOUND)).unwrap();
        let log = Log { dev, socket };
        let probe = log.command(place, "true", &[]).output();
        let works = probe.is_ok_and(|output| output.status.success());
        (works || skip("mount namespaces are not permitted")).then_some(log)
    }

    fn command(&self, place: &Place, program: &str, arguments: &[&str]) -> Command {
        let flags = if common::is_root() { "-m" } else { "-Urm" };
        let mut command =
            command(place.path(), "unshare", [flags, "--propagation", "private", "sh", "-ec", OWN_DEV, "sh"]);
        command.arg(&self.dev).arg(program).args(arguments);
        place.marked(command)
    }

    fn inotifywait(&self, place: &Place, arguments: &[&str]) -> Command {
        self.command(place, common::binary("inotifywait"), arguments)
    }

    /// The next message: the pid that it names, and its text. Priority and identity are looked at here.
    #[track_caller]
    fn next(&self) -> (i32, String) {
        let mut bytes = [0; 8192];
        let length = self.socket.recv(&mut bytes).unwrap();
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        // <30>Nov 22 20:00:00 inotifywait[123]: text
        let rest = message.strip_prefix("<30>").unwrap_or_else(|| panic!("daemon.info: {message:?}"));
        let (head, text) = rest[16..].split_once(": ").unwrap();
        let pid = head.strip_prefix("inotifywait[").and_then(|head| head.strip_suffix(']'));
        let pid = pid.unwrap_or_else(|| panic!("identity and pid: {message:?}"));
        (pid.parse().unwrap(), text.trim_end_matches('\n').to_owned())
    }

    fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let is_silent = self.socket.recv(&mut [0]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        is_silent
    }
}

#[test]
fn messages_in_the_system_log() {
    let place = Place::new();
    let Some(log) = Log::new(&place) else { return };
    let mut run = Running::start(log.inotifywait(&place, &["-s", "-m", "-r", "-e", "create", "d"]));
    let pid = run.pid().as_raw();
    let setting_up = "Setting up watches.  Beware: since -r was given, this may take a while!";
    assert_eq!(log.next(), (pid, setting_up.to_owned()));
    assert_eq!(log.next(), (pid, "Watches established.".to_owned()));
    create_files(&place.path().join("d"), "f", 0..1);
    run.expect_line("d/ CREATE f0");
    run.stop().said("").printed("d/ CREATE f0\n");
    assert!(log.is_silent());
}

#[test]
fn errors_in_the_system_log_even_when_quiet() {
    let place = Place::new();
    let Some(log) = Log::new(&place) else { return };
    let run = Running::start(log.inotifywait(&place, &["-s", "-q", "nowhere"]));
    let pid = run.pid().as_raw();
    run.finish().code(1).said("").printed("");
    assert_eq!(log.next(), (pid, "Couldn't watch nowhere: No such file or directory".to_owned()));
    assert!(log.is_silent());
}

#[test]
fn an_overflow_in_the_system_log_even_when_quiet() {
    let place = Place::at(common::fast_tempdir());
    let Some(log) = Log::new(&place) else { return };
    let arguments = ["-s", "-q", "-m", "-r", "-e", "create", "--format", "%f", "d"];
    let mut run = Running::start(log.inotifywait(&place, &arguments));
    // What `unshare` and `sh` do first is no sleep in poll(2).
    run.wait_asleep();
    let pid = run.pid().as_raw();
    run.signal(Signal::SIGSTOP);
    common::flood(&place.path().join("d"));
    run.signal(Signal::SIGCONT);
    let (said_by, text) = log.next();
    assert_eq!(said_by, pid);
    assert!(text.starts_with("Events were lost") && text.contains("max_queued_events"), "{text}");
    let (_, text) = log.next();
    assert!(text.starts_with("Deleted files"), "{text}");
    let (_, text) = log.next();
    assert!(text.contains("run as root: sysctl -w fs.inotify.max_queued_events="), "{text}");
    create_files(&place.path().join("d"), "g", 0..1);
    run.expect_line("g0");
    run.stop().said("");
    assert!(log.is_silent());
}

#[test]
fn messages_of_the_daemon_in_the_system_log() {
    let place = Place::new();
    let Some(log) = Log::new(&place) else { return };
    fs::create_dir(place.path().join("log")).unwrap();
    let arguments = ["-d", "-o", "log/out", "-e", "create", "d"];
    Running::start(log.inotifywait(&place, &arguments)).finish().code(0).printed("").said("");
    let daemon = place.daemons()[0];
    assert_eq!(log.next(), (daemon.as_raw(), "Setting up watches.".to_owned()));
    assert_eq!(log.next(), (daemon.as_raw(), "Watches established.".to_owned()));
    // Later errors have no other place.
    fs::rename(place.path().join("log"), place.path().join("old")).unwrap();
    kill(daemon, Signal::SIGHUP).unwrap();
    let outfile = place.path().join("log/out");
    let outfile = outfile.display();
    assert_eq!(log.next(), (daemon.as_raw(), format!("Failed to open output file {outfile}")));
    assert_eq!(log.next(), (daemon.as_raw(), format!("{outfile}: No such file or directory")));
    place.expect_end(daemon, Signal::SIGTERM);
    assert!(log.is_silent());
}

#[test]
fn a_daemon_that_cannot_start_reports_to_the_log_and_stderr() {
    let place = Place::new();
    let Some(log) = Log::new(&place) else { return };
    let end = Running::start(log.inotifywait(&place, &["-d", "-o", "out", "nowhere"])).finish();
    let words = "Couldn't watch nowhere: No such file or directory";
    end.code(1).printed("").said(format!("{words}\n"));
    assert_eq!(log.next().1, "Setting up watches.");
    assert_eq!(log.next().1, words);
    assert!(log.is_silent());
}

#[test]
fn usage_errors_go_to_stderr_and_not_to_the_log() {
    let place = Place::new();
    let Some(log) = Log::new(&place) else { return };
    let end = Running::start(log.inotifywait(&place, &["-s", "-e", "nonsense", "d"])).finish();
    end.code(1).check("a message on stderr", end.stderr.starts_with(b"'nonsense' is not a valid event!"));
    assert!(log.is_silent());
}
