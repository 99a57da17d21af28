//! The programs on this source: their own doing, their ends, readers that stall or close, and the counts.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::common::{self, Own, Running, command, deep_directory, lines, need, wait_until, wrapped};
use crate::{Space, stopped};

#[test]
fn its_own_writing_is_not_reported() {
    // Those that the test's reading of the file does not cause.
    const EVENTS: &str = "create,modify,close_write,attrib,move,delete";
    let Some(space) = Space::new("mkdir -p d/a") else { return };
    let mut running =
        space.watch(&["-F", "-m", "-r", "-e", EVENTS, "-o", "d/log", "--format", "%w%f %e", "d"]);
    space.does(&running, "for i in 1 2 3; do echo $i >>d/a/f; done");
    let log = space.path().join("d/log");
    let text = || fs::read_to_string(&log).unwrap_or_default();
    running.wait("three", |_| text().matches("CLOSE_WRITE").count() >= 1 && text().contains("CREATE"));
    running.wait_asleep();
    let before = text();
    assert!(!before.contains("log"), "{before}");
    assert!(before.contains("/d/a/f "), "{before}");
    // It looked at what is new, and wrote, and nothing came of that.
    running.wait_asleep();
    assert_eq!(text(), before);
}

/// With all events asked for, nothing is told where nobody but the program looks.
#[test]
fn its_own_lookups_are_not_reported() {
    // Of its own, for others' tests look, too.
    let Some(space) = Space::new("mkdir m; mount -t tmpfs none m; mkdir -p m/a/b/c m/e") else { return };
    let mut running = space.monitor(&["-S", "m/e"]);
    // It has to look where that is.
    space.does_unread(&mut running, ": >m/a/b/c/f");
    space.printed(&mut running, "m", &["m/a/b/c/ CREATE f 0", "m/a/b/c/ CLOSE_WRITE,OPEN,CLOSE f 0"]);
}

/// strace writes a line for each of its system calls to the same file system, so each read(2) finds another event.
#[test]
fn a_busy_writer_does_not_delay_the_timeout() {
    if !need("strace") {
        return;
    }
    let Some(own) = Own::new() else { return };
    let script = "mkdir d; exec strace -f -o log \"$@\"";
    let arguments = ["-F", "-r", "-t", "0.5", "-e", "modify", "d"];
    let running = Running::ready(wrapped(own.path(), script, "inotifywait", arguments));
    running.finish().code(2).printed("");
}

#[test]
fn exit_statuses_are_those_of_inotify() {
    let Some(space) = Space::new("mkdir -p d/a; touch d/f") else { return };
    let running = space.watch(&["-F", "-r", "-e", "create", "--format", "%e %f", "d"]);
    space.does(&running, "rm d/f; touch d/a/1");
    running.finish().code(0).printed("CREATE 1\n");

    let running = space.watch(&["-F", "-r", "-e", "create", "-t", "0.2", "d"]);
    running.finish().code(2).printed("");
    let running = space.watch(&["-F", "-m", "-S", "-e", "unmount", "-t", "0.2", "d"]);
    running.finish().code(2).printed("");

    // Another event that ends the watch.
    let running = space.watch(&["-F", "-r", "-e", "create", "d/a"]);
    space.does(&running, "rm -r d/a");
    running.finish().code(1).printed("");
    let running = space.watch(&["-F", "-r", "-e", "delete_self", "--format", "%w%f %e", "d"]);
    space.does(&running, "rm -f d/f; rmdir d/a; rmdir d");
    let printed = format!("{}/d/a/ DELETE_SELF,ISDIR\n", space.path().display());
    running.finish().code(0).printed(printed);
}

#[test]
fn signals_end_both_programs() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let Some(space) = Space::new("mkdir -p d") else { return };
        let running = space.monitor(&["-r", "d"]);
        running.signal(signal);
        running.finish().killed_by(signal);
    }
}

#[test]
fn a_daemon_with_an_outfile() {
    let Some(space) = Space::new("") else { return };
    let arguments = ["-d", "-F", "-r", "-e", "create", "-o", "d/log", "--format", "%w%f", "d"];
    fs::create_dir(space.path().join("d")).unwrap();
    Running::start(common::inotifywait(space.path(), arguments)).finish().code(0);
    let daemon = || {
        let found = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let here = fs::read_link(entry.path().join("exe")).is_ok();
            here && common::contains(&words, b"d/log") && owns(&entry.path(), space.path())
        });
        found.and_then(|entry| entry.file_name().to_str()?.parse().ok()).map(nix::unistd::Pid::from_raw)
    };
    let pid = daemon().unwrap();
    fs::create_dir(space.path().join("d/sub")).unwrap();
    fs::write(space.path().join("d/sub/f"), "").unwrap();
    let text = || fs::read_to_string(space.path().join("d/log")).unwrap();
    let wanted = format!("{0}/d/sub\n{0}/d/sub/f\n", space.path().display());
    let came = wait_until(|| text() == wanted);
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert!(came, "{}", text());
    assert!(wait_until(|| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists()));
    assert_eq!(text(), wanted);
}

/// Whether a process has a file open below a directory.
fn owns(process: &std::path::Path, dir: &std::path::Path) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.starts_with(dir))
}

#[test]
fn a_reader_that_closes_ends_it() {
    let Some(space) = Space::new("mkdir -p d") else { return };
    let mut command = space.tool("inotifywait", &["-F", "-m", "-r", "d"]);
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    command.stdout(writer);
    let running = Running::ready(command);
    drop(reader);
    running.finish().killed_by(Signal::SIGPIPE);
}

/// Nothing is lost while nobody reads, be it more than inotify's queue holds.
#[test]
fn nothing_is_lost_while_the_reader_stalls() {
    const MANY: usize = 20_000;
    let Some(space) = Space::new("mkdir -p d") else { return };
    let mut tool = space.tool("inotifywait", &["-F", "-m", "-r", "-e", "create", "--format", "%f", "d"]);
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    tool.stdout(writer);
    let mut running = Running::ready(tool);
    let pid = running.pid();
    let seen = format!("/proc/{pid}/root{}/d", space.path().display());
    stopped(&mut running, |_| common::create_files(std::path::Path::new(&seen), "f", 0..MANY / 2));
    common::create_files(std::path::Path::new(&seen), "f", MANY / 2..MANY);
    running.wait_asleep();
    let mut reader = fs::File::from(reader);
    let mut text = Vec::new();
    let last = format!("f{}\n", MANY - 1);
    let mut chunk = vec![0; 65536];
    while !text.ends_with(last.as_bytes()) {
        let length = reader.read(&mut chunk).unwrap();
        assert!(length > 0);
        text.extend_from_slice(&chunk[..length]);
    }
    let wanted: Vec<String> = (0..MANY).map(|number| format!("f{number}")).collect();
    assert_eq!(lines(&text), wanted);
    running.stop();
}

/// While as much waits for the reader as may, events are thrown away, for the queue has no limit. Then it goes on, with
/// the paths of directories that were renamed meanwhile.
#[test]
fn a_reader_that_stalls_for_long_gets_an_overflow_message() {
    const FULL: usize = 256 << 20;
    const TIMES: usize = 400;
    // A mark for the directory alone, and one for the file system.
    for recursive in [&[][..], &["-r"]] {
        let setup = "mkdir -p d/old/sub d/old/m; mount -t tmpfs none d/old/m; mkdir d/old/m/in";
        let Some(space) = Space::new(setup) else { return };
        let format = format!("{}!%w%f", "%f".repeat(TIMES));
        let arguments =
            [&["-F", "-m", "-e", "create,delete_self", "--format", &format, "d"], recursive].concat();
        let mut tool = space.tool("inotifywait", &arguments);
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        tool.stdout(writer);
        let mut running = Running::ready(tool);
        let seen = format!("/proc/{}/root{}/d", running.pid(), space.path().display());
        let name = "n".repeat(200);
        fs::write(format!("{seen}/old/sub/seen"), "").unwrap();
        fs::write(format!("{seen}/old/m/in/seen"), "").unwrap();
        common::create_files(std::path::Path::new(&seen), &name, 0..FULL / (TIMES * name.len()) + 1);
        running.wait("a full memory", |running| running.memory("VmRSS:") > FULL / 1024);
        let look_at_the_queue = |running: &mut Running| {
            let pid = running.pid();
            let mut naps = HashSet::new();
            running.wait("a look at the queue", |_| {
                naps.extend(common::sleep_of(pid));
                naps.len() > 4
            });
        };
        // What is read before nothing more is kept is not lost.
        look_at_the_queue(&mut running);
        fs::rename(format!("{seen}/old"), format!("{seen}/new")).unwrap();
        fs::write(format!("{seen}/lost"), "").unwrap();
        look_at_the_queue(&mut running);
        let mut paths = BufReader::new(fs::File::from(reader)).lines().map_while(Result::ok).map(|line| {
            line.rsplit_once('!')
                .map(|(_, path)| path.rsplit_once("/d/").map_or(String::new(), |(_, path)| path.into()))
        });
        let last: &[&str] = if recursive.is_empty() { &["last"] } else { &["new/sub/last", "new/m/in/last"] };
        let (sender, found) = std::sync::mpsc::channel();
        // The pipe stays open until the program is stopped: it would end with its reader.
        std::thread::spawn(move || {
            let is_found = last.iter().all(|last| paths.any(|path| path.as_deref() == Some(last)));
            sender.send((is_found, paths))
        });
        running.expect_message("Events were lost");
        last.iter().for_each(|last| fs::write(format!("{seen}/{last}"), "").unwrap());
        let (is_found, _open) = found.recv_timeout(common::BOUND).unwrap();
        assert!(is_found, "one of {last:?} has no line");
        running.stop().killed_by(Signal::SIGTERM);
    }
}

#[test]
fn events_are_counted_by_directory() {
    let Some(space) = Space::new("mkdir -p d/a/b d/c out") else { return };
    for name in ["inotifywatch", "fsnotifywatch"] {
        let program = space.path().join(name);
        std::os::unix::fs::symlink(common::binary("inotifywatch"), &program).unwrap();
        let option: &[&str] = if name == "inotifywatch" { &["-F"] } else { &[] };
        let events = ["-r", "-e", "create,delete", "d"];
        let words = option.iter().chain(&events);
        let mut tool = command(space.path(), "unshare", ["-m", program.to_str().unwrap()]);
        tool.args(words).stdin(Stdio::null());
        for path in ["d/a/b", "d/c", "out"] {
            fs::create_dir_all(space.path().join(path)).unwrap();
        }
        let mut running = Running::ready(tool);
        space.does(
            &running,
            "touch d/a/b/1 d/a/b/2 d/c/3; mv d/a d/z; touch d/z/b/4; rm d/z/b/1; rm d/z/b/2 d/z/b/4 d/c/3",
        );
        space.does(&running, "touch out/x; rm out/x; rm -r d/z d/c");
        running.wait_asleep();
        let end = running.stop();
        end.code(0);
        let rows: Vec<Vec<String>> =
            end.lines().iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        let at = |path: &str| format!("{}/{path}", space.path().display());
        let wanted = [
            vec!["total".to_owned(), "create".into(), "delete".into(), "filename".into()],
            vec!["6".into(), "3".into(), "3".into(), at("d/z/b/")],
            vec!["2".into(), "1".into(), "1".into(), at("d/c/")],
            vec!["2".into(), "0".into(), "2".into(), at("d/")],
            vec!["1".into(), "0".into(), "1".into(), at("d/z/")],
        ];
        end.check("the table", rows.len() == wanted.len() && wanted.iter().all(|row| rows.contains(row)));
    }
}

/// Lets a program have so many files besides those that are open now.
fn leave_descriptors(space: &Space, running: &Running, more: u32) {
    let pid = running.pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: HashSet<u32> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let free = (0..).find(|number| !open.contains(number)).unwrap();
    space.does(running, &format!("prlimit -p {pid} --nofile={}:", free + more));
}

fn give_descriptors(space: &Space, running: &Running) {
    space.does(running, &format!("prlimit -p {} --nofile=1000:", running.pid()));
}

/// While no file can be opened, nobody can look where a directory is that is not known. That says nothing of it.
#[test]
fn without_a_descriptor_a_directory_is_not_elsewhere_for_good() {
    if !need("prlimit") {
        return;
    }
    let Some(space) = Space::new("mkdir -p d/a/b") else { return };
    let mut running = space.monitor(&["-r", "-e", "create", "d"]);
    running.wait_asleep();
    leave_descriptors(&space, &running, 0);
    space.does(&running, "touch d/a/b/unseen");
    running.wait_asleep();
    give_descriptors(&space, &running);
    space.does(&running, "touch d/a/b/2");
    space.printed(&mut running, "d", &["d/a/b/ CREATE 2 0"]);
}

/// Nor can what is mounted be looked at.
#[test]
fn without_a_descriptor_a_mount_is_not_missed_for_good() {
    if !need("prlimit") {
        return;
    }
    let Some(space) = Space::new("mkdir -p d/m d/n; mount -t tmpfs none d/n") else { return };
    let mut running = space.monitor(&["-r", "-e", "create,unmount", "d"]);
    running.wait_asleep();
    leave_descriptors(&space, &running, 0);
    space.does(&running, "umount d/n; mount -t tmpfs none d/m; touch d/m/unseen");
    running.wait_asleep();
    give_descriptors(&space, &running);
    space.does(&running, "touch d/1");
    running.wait_asleep();
    space.does(&running, "touch d/m/2");
    space.printed(&mut running, "d", &["d/ CREATE 1 0", "d/n/ UNMOUNT,ISDIR  0", "d/m/ CREATE 2 0"]);
}

/// The name of a directory whose path is longer than PATH_MAX is looked for in the one above, which takes some more.
#[test]
fn with_few_descriptors_a_deep_directory_is_not_elsewhere_for_good() {
    use nix::sys::stat::{Mode, mkdirat};
    if !need("prlimit") {
        return;
    }
    for more in 0..6 {
        let Some(space) = Space::new("") else { return };
        fs::create_dir(space.path().join("d")).unwrap();
        let (deep, innermost) = deep_directory(&space.path().join("d"), 20);
        let deep = String::from_utf8(deep).unwrap();
        let mut running = space.monitor(&["-r", "-e", "create", "d"]);
        running.wait_asleep();
        leave_descriptors(&space, &running, more);
        mkdirat(&innermost, "perhaps", Mode::S_IRWXU).unwrap();
        running.wait_asleep();
        give_descriptors(&space, &running);
        mkdirat(&innermost, "certainly", Mode::S_IRWXU).unwrap();
        running.expect_line(&format!("{}/d/{deep} CREATE,ISDIR certainly 0", space.path().display()));
    }
}
