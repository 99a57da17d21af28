//! What the programs say about names and arguments that hold control characters, and on which stream.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use common::{
    Collected, Running, as_nobody, command, inotifywait, inotifywatch, need, need_root, pipe, tempdir,
    wait_until,
};

/// A name that forges a line, moves the cursor and rings.
const NAME: &str = "x\nroot logged in\x1b[2K\r\x07\u{9b}1m";
const SHOWN: &str = r"x\nroot logged in\033[2K\r\a\302\2331m";

#[test]
fn a_message_is_one_line_for_any_name() {
    let dir = tempdir();
    for (tool, action) in [("inotifywait", "Couldn't watch"), ("inotifywatch", "Failed to watch")] {
        for arguments in [&["--", NAME][..], &["-r", NAME]] {
            let command = match tool {
                "inotifywait" => inotifywait(dir.path(), arguments),
                _ => inotifywatch(dir.path(), arguments),
            };
            let end = Running::start(command).finish();
            let line = format!("{action} {SHOWN}: No such file or directory");
            end.code(1).printed("").check(&line, said(&end.stderr).lines().any(|said| said == line));
            end.check("no control character", is_plain(&end.stderr));
        }
    }
}

#[test]
fn a_usage_error_is_one_line_for_any_word() {
    let dir = tempdir();
    let [list, pattern, glob, hidden] =
        ["open,x\x1b\x07", "(N", "*x\n\x1b", "@N"].map(|text| text.replace('N', NAME));
    for (arguments, line) in [
        (&["-e", NAME, "."][..], format!("'{SHOWN}' is not a valid event!")),
        (&["-t", NAME, "."], format!("'{SHOWN}' is not a valid timeout value.")),
        (&["--\n\x1b", "."], r"unrecognized option '--\n\033'".to_owned()),
        (&["-\x1b", "."], r"invalid option -- '\033'".to_owned()),
        (&["--fromfile", NAME], format!("Couldn't open {SHOWN}: No such file or directory")),
        (&["-e", &list, "."], r"The invalid name is 'x\033\a'.".to_owned()),
        (&["--exclude", &pattern, "."], format!("'({SHOWN}': Unmatched ")),
        (
            &["--exclude", &glob, "."],
            r"'*x\n\033' is read as a regular expression, not as a glob.".to_owned(),
        ),
        (&[&hidden], format!("'@{SHOWN}' only excludes a path.")),
        (&["-o", "no\n/x", "."], r"Failed to open output file no\n/x".to_owned()),
    ] {
        let end = Running::start(inotifywait(dir.path(), arguments)).finish();
        end.code(1).printed("").check(&line, said(&end.stderr).lines().any(|said| said.contains(&line)));
        end.check("no control character", is_plain(&end.stderr));
    }
}

#[test]
fn an_error_after_the_setup_is_one_line_and_the_event_is_raw() {
    let dir = tempdir();
    let top = dir.path().join("d");
    fs::create_dir(&top).unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = ["-m", "-r", "-e", "create", "d"];
    let mut run = Running::ready(as_nobody(dir.path(), "inotifywait", arguments));
    // Not readable by anyone but root, from the start.
    fs::DirBuilder::new().mode(0o000).create(top.join(NAME)).unwrap();
    run.expect_message(&format!("Couldn't watch new directory d/{SHOWN}/: Permission denied\n"));
    run.expect("the event, whose name is of two lines", |lines| lines.len() == 2);
    let end = run.stop();
    end.printed(format!("d/ CREATE,ISDIR {NAME}\n")).check("no control character", is_plain(&end.stderr));
}

#[test]
fn a_message_in_the_system_log_is_one_line() {
    const LOGGED: &str = ": >dev/null; mount --bind /dev/null dev/null; mount --rbind dev /dev; exec \"$@\"";
    if !need_root() || !need("unshare") {
        return;
    }
    let dir = tempdir();
    fs::create_dir(dir.path().join("dev")).unwrap();
    let log = UnixDatagram::bind(dir.path().join("dev/log")).unwrap();
    log.set_read_timeout(Some(common::BOUND)).unwrap();
    let wrapper =
        ["-m", "--propagation", "private", "sh", "-ec", LOGGED, "sh", common::binary("inotifywait")];
    let mut run = command(dir.path(), "unshare", wrapper);
    run.args(["-s", "-r", "--", NAME]);
    Running::start(run).finish().code(1).said("");
    let mut line = [0; 4096];
    let mut receive = || {
        let length = log.recv(&mut line).unwrap();
        String::from_utf8(line[..length].to_vec()).unwrap()
    };
    assert!(receive().ends_with(": Setting up watches.  Beware: since -r was given, this may take a while!"));
    let second = receive();
    assert!(second.ends_with(&format!(": Couldn't watch {SHOWN}: No such file or directory")), "{second:?}");
    log.set_nonblocking(true).unwrap();
    assert!(log.recv(&mut line).is_err(), "a third message");
}

#[test]
fn each_message_of_the_setup_of_inotifywatch_is_one_line() {
    let dir = tempdir();
    fs::create_dir(dir.path().join(NAME)).unwrap();
    let end = Running::start(inotifywatch(dir.path(), ["-v", "-r", "-t", "0.01", NAME])).finish();
    end.code(0).check("no control character", is_plain(&end.stderr));
    for line in [format!("Setting up watch(es) on {SHOWN}"), format!("OK, {SHOWN} is now being watched.")] {
        end.check(&line, said(&end.stderr).lines().any(|said| said == line));
    }
}

/// As ls does, only on a terminal; JSON escapes names itself.
#[test]
fn names_cannot_control_a_terminal() {
    let name = "x\x1b[2K\r\x07\u{9b}1m\u{e9}\n";
    let shown = r"x\033[2K\r\a\302\2331m\u{e9}\n".replace(r"\u{e9}", "\u{e9}");
    let json = r"x\u001b[2K\u000d\u0007\u009b1m\u{e9}\n".replace(r"\u{e9}", "\u{e9}");
    for (tool, arguments, terminal, pipe) in [
        ("inotifywait", &[][..], format!("d/ CREATE,ISDIR {shown}\r\n"), format!("d/ CREATE,ISDIR {name}\n")),
        (
            "inotifywait",
            &["-c"],
            format!("d/,\"CREATE,ISDIR\",{shown}\r\n"),
            format!("d/,\"CREATE,ISDIR\",\"{name}\"\n"),
        ),
        ("inotifywait", &["--format", "%f %w%n"], format!("{shown} d/\r\n\r\n"), format!("{name} d/\n\n")),
        ("inotifywait", &["--json"], format!("\"name\":\"{json}\""), format!("\"name\":\"{json}\"")),
        (
            "inotifywatch",
            &["-r"],
            format!("1      1       d/{shown}/\r\n"),
            format!("1      1       d/{name}/\n"),
        ),
    ] {
        for (is_terminal, wanted) in [(true, terminal), (false, pipe)] {
            let dir = tempdir();
            fs::create_dir(dir.path().join("d")).unwrap();
            let mut command = command(dir.path(), common::binary(tool), ["-e", "create", "d"]);
            command.args(arguments);
            let (master, slave) = common::terminal();
            if is_terminal {
                command.stdout(slave);
            }
            let mut run = Running::ready(command);
            let printed = if is_terminal { Collected::from(master) } else { run.stdout.clone() };
            fs::create_dir(dir.path().join("d").join(name)).unwrap();
            if tool == "inotifywatch" {
                run.wait_asleep();
                fs::create_dir(dir.path().join("d").join(name).join("f")).unwrap();
                run.wait_asleep();
                run.signal(Signal::SIGINT);
            }
            let end = run.finish();
            assert!(wait_until(|| !printed.is_open()));
            let printed = String::from_utf8(printed.bytes()).unwrap();
            end.code(0).check(&format!("{wanted:?} in {printed:?}"), printed.contains(&wanted));
        }
    }
}

/// Where both go to one pipe, the messages come after the lines of what happened before.
#[test]
fn a_message_comes_after_the_lines_of_what_happened_before_it() {
    let dir = tempdir();
    let (d, file) = (dir.path().join("d"), dir.path().join("file"));
    fs::create_dir(&d).unwrap();
    fs::write(&file, "").unwrap();
    let events = ["-e", "create", "-e", "delete_self"];
    let mut command = as_nobody(dir.path(), "inotifywait", ["-mr", "d", "file"].iter().chain(&events));
    let (reader, writer) = pipe();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut run = Running::start(command);
    run.stdout = Collected::from(reader);
    run.wait_ready();
    run.stopped(|| {
        fs::write(d.join("1"), "").unwrap();
        fs::DirBuilder::new().mode(0o000).create(d.join("closed")).unwrap();
        fs::write(d.join("2"), "").unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(d.join("3"), "").unwrap();
    });
    run.expect_line("d/ CREATE 3");
    let end = run.stop();
    let heads = ["d/ CREATE", "Couldn't watch", "file DELETE_SELF", "'file' is"];
    let lines = end.lines();
    let found: Vec<&str> = lines
        .iter()
        .filter(|line| heads.iter().any(|head| line.starts_with(head)))
        .map(|line| &**line)
        .collect();
    let wanted = [
        "d/ CREATE 1",
        "d/ CREATE,ISDIR closed",
        "Couldn't watch new directory d/closed/: Permission denied",
        "d/ CREATE 2",
        "file DELETE_SELF ",
        "'file' is no longer watched: it was deleted. To see it come back, watch its directory, '.'.",
        "d/ CREATE 3",
    ];
    end.check(&format!("{wanted:?}"), found == wanted);
}

/// Also where it was started with the signal ignored, as Rust's start-up has it on some systems.
#[test]
fn a_closed_pipe_ends_inotifywatch_by_sigpipe() {
    let dir = tempdir();
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let ignoring = "trap '' PIPE; exec \"$@\"";
    let mut command = common::wrapped(dir.path(), ignoring, "inotifywatch", ["-e", "create", "."]);
    command.stdout(writer);
    let mut run = Running::ready(command);
    drop(reader);
    fs::write(dir.path().join("f"), "").unwrap();
    run.wait_asleep();
    run.signal(Signal::SIGINT);
    let end = run.finish();
    let signal = std::os::unix::process::ExitStatusExt::signal(&end.status);
    end.check("its end by SIGPIPE", signal == Some(Signal::SIGPIPE as i32));
}

fn said(stderr: &[u8]) -> String {
    String::from_utf8(stderr.to_vec()).unwrap()
}

/// No control characters but the newlines that end lines, and no line of the name's.
fn is_plain(stderr: &[u8]) -> bool {
    let said = said(stderr);
    !said.lines().any(|line| line.starts_with("root") || line.contains(char::is_control))
}
