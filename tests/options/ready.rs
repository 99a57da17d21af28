//! `--ready`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::{BOUND, Running, command, inotifywait, pipe, tempdir, wrapped};

const TOOLS: [&str; 2] = ["inotifywait", "inotifywatch"];

/// The manual's way: whoever reads the line may act, and is heard.
#[test]
fn the_descriptor_gets_a_newline_once_all_watches_are_established() {
    for tool in TOOLS {
        let dir = tempdir();
        let script = "mkfifo r; { timeout 20 \"$@\" --ready 3 -t 2 -e create . 3>r; echo \"status $?\"; } & \
                      read -r line <r && touch first; echo \"[$line]\"; wait";
        let end = Running::start(wrapped(dir.path(), script, tool, [""; 0])).finish();
        let line = if tool == "inotifywait" { "./ CREATE first" } else { "1      1       ./" };
        end.check(line, end.lines().iter().any(|found| found == line));
        end.check("an empty line", end.lines().iter().any(|found| found == "[]"));
        end.check("the status", end.lines().iter().any(|found| found == "status 0"));
    }
}

#[test]
fn the_descriptor_is_closed_after_the_newline() {
    for tool in TOOLS {
        let dir = tempdir();
        // cat ends with the descriptor, while the program goes on.
        let script = "{ \"$@\" --ready 7 . 7>&1 >/dev/null | od -c; echo end of file; } 2>/dev/null";
        let mut run = Running::start(wrapped(dir.path(), script, tool, ["-r"]));
        run.wait("the newline", |run| run.stdout.lines().iter().any(|line| line == "0000000  \\n"));
        run.signal_all(Signal::SIGTERM);
    }
}

#[test]
fn a_failed_setup_closes_the_descriptor() {
    let dir = tempdir();
    let script = "\"$@\" --ready 3 nowhere 3>&1 >/dev/null 2>/dev/null | od -c; echo end";
    let end = Running::start(wrapped(dir.path(), script, "inotifywait", [""; 0])).finish();
    end.code(0).printed("0000000\nend\n");
}

#[test]
fn stdout_stays_open() {
    let dir = tempdir();
    let script = "\"$@\" --ready 1 -q -e create .";
    let mut run = Running::start(wrapped(dir.path(), script, "inotifywait", [""; 0]));
    run.wait("the newline", |run| run.stdout.bytes() == b"\n");
    std::fs::write(dir.path().join("f"), "").unwrap();
    run.finish().code(0).printed("\n./ CREATE f\n");
}

#[test]
fn a_descriptor_that_is_not_open_for_writing_is_an_error() {
    for tool in TOOLS {
        for redirection in ["7<&-", "7</dev/null"] {
            let script = format!("exec \"$@\" --ready 7 . {redirection}");
            let end = Running::start(wrapped(Path::new("/"), &script, tool, [""; 0])).finish();
            end.code(1).printed("").said("Descriptor 7 is not open for writing.\n");
        }
    }
}

#[test]
fn a_reader_that_is_gone_is_a_message() {
    let dir = tempdir();
    let script = "exec \"$@\" --ready 3 -t 0.01 . 3>&0";
    let mut command = wrapped(dir.path(), script, "inotifywait", [""; 0]);
    let (reader, writer) = pipe();
    drop(reader);
    command.stdin(writer);
    let end = Running::start(command).finish();
    end.code(2);
    end.said("Setting up watches.\nWatches established.\nCouldn't write to descriptor 3: Broken pipe\n");
}

/// A socket of a service manager, and what it gets within the bound.
fn received(socket: &UnixDatagram) -> Vec<u8> {
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn systemd_is_notified_at_a_path_and_at_an_abstract_name() {
    let dir = tempdir();
    let path = dir.path().join("socket");
    let name = format!("inotify-tools-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, variable) in [
        (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
        (UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}")),
    ] {
        for tool in TOOLS {
            let mut command = command(dir.path(), crate::common::binary(tool), ["--ready", "systemd", "."]);
            command.env("NOTIFY_SOCKET", &variable);
            let run = Running::start(command);
            assert_eq!(received(&socket), b"READY=1", "{variable}");
            run.stop();
        }
    }
}

#[test]
fn systemd_is_not_notified_unasked_and_may_be_absent() {
    let dir = tempdir();
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = inotifywait(dir.path(), ["-t", "0.01", "."]);
    command.env("NOTIFY_SOCKET", &path);
    Running::start(command).finish().code(2);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
    let established = "Setting up watches.\nWatches established.\n";
    for (variable, message) in [
        (None, ""),
        (Some(""), ""),
        (Some("/no/such/socket"), "Couldn't notify systemd: No such file or directory\n"),
    ] {
        let mut command = inotifywait(dir.path(), ["--ready", "systemd", "-t", "0.01", "."]);
        command.env_remove("NOTIFY_SOCKET").envs(variable.map(|value| ("NOTIFY_SOCKET", value)));
        Running::start(command).finish().code(2).said(format!("{established}{message}"));
    }
}
