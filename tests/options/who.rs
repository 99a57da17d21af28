//! `%{pid}` and `%{comm}`, and the same in JSON: who caused an event. Only fanotify tells, and only root.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;

use crate::common::{
    Own, Running, as_nobody, binary, command, create_files, inotifywait, need, need_root, tempdir, wrapped,
};
use crate::records::jq;
use crate::refuses;

/// A shell that does what it is told, line by line, until its stdin is closed.
struct Shell(Child);

impl Shell {
    fn in_dir(dir: &Path) -> Shell {
        Shell(Command::new("sh").current_dir(dir).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The name of this process.
fn own_comm() -> String {
    fs::read_to_string("/proc/self/comm").unwrap().trim_end_matches('\n').to_owned()
}

#[test]
fn each_event_has_the_process_that_caused_it() {
    for scope in ["-F", "-Fr", "-S", "-M"] {
        let Some(own) = Own::new() else { return };
        let top = own.path().display();
        let format = "--format=%e %w%f %{pid} %{comm}";
        let arguments =
            ["-m", scope, "-e", "create,move,delete", format, top.to_string().as_str()].map(str::to_owned);
        let mut run = Running::ready(inotifywait(own.path(), &arguments));
        let mut shell = Shell::in_dir(own.path());
        fs::create_dir(own.path().join("d")).unwrap();
        // A thread is no process.
        let path = own.path().join("e");
        let from = own.path().join("d");
        thread::spawn(move || fs::rename(from, path).unwrap()).join().unwrap();
        run.wait_asleep();
        shell.tell(": >f; exec 3<f");
        let (me, other) = (std::process::id(), shell.id());
        run.expect_line(&format!("CREATE {top}/f {other} sh"));
        fs::remove_dir(own.path().join("e")).unwrap();
        let name = own_comm();
        run.expect_line(&format!("DELETE,ISDIR {top}/e {me} {name}"));
        shell.end();
        let events = ["CREATE,ISDIR {top}/d", "MOVED_FROM,ISDIR {top}/d", "MOVED_TO,ISDIR {top}/e"];
        let mut expected: Vec<String> = events
            .iter()
            .map(|event| event.replace("{top}", &top.to_string()) + &format!(" {me} {name}"))
            .collect();
        expected.push(format!("CREATE {top}/f {other} sh"));
        expected.push(format!("DELETE,ISDIR {top}/e {me} {name}"));
        let end = run.stop();
        end.check(&format!("{scope} {expected:#?}"), end.lines() == expected);
    }
}

#[test]
fn json_has_the_process() {
    if !need_root() || !need("jq") {
        return;
    }
    let dir = tempdir();
    let mut run = Running::ready(inotifywait(dir.path(), ["-mF", "--json", "-e", "create", "."]));
    create_files(dir.path(), "f", 0..1);
    run.expect("a record", |lines| lines.len() == 1);
    let end = run.stop();
    let found = jq(&["-c", "[(keys_unsorted | .[-3:]), .pid, .comm]"], &end.stdout);
    let expected = format!("[[\"cookie\",\"pid\",\"comm\"],{},\"{}\"]\n", std::process::id(), own_comm());
    end.check(&expected, found == expected.as_bytes());
}

#[test]
fn a_batch_has_the_last_process_of_each_path() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    let arguments =
        ["-mF", "--debounce", "3600", "-e", "create,attrib", "--format", "%f %e %{pid} %{comm}", "."];
    let mut run = Running::ready(inotifywait(dir.path(), arguments));
    create_files(dir.path(), "f", 0..2);
    run.wait_asleep();
    let mut shell = Shell::in_dir(dir.path());
    shell.tell("touch f1; : >done");
    assert!(crate::common::wait_until(|| dir.path().join("done").exists()));
    run.wait_asleep();
    let end = run.stop();
    let lines = end.lines();
    let me = format!("f0 CREATE {} {}", std::process::id(), own_comm());
    // touch is gone, and may be without a name.
    let other = lines[1].strip_prefix("f1 ATTRIB,CREATE ").and_then(|rest| rest.split_once(' '));
    let is_other = other.is_some_and(|(pid, _)| pid != std::process::id().to_string() && pid != "0");
    end.check(&me, lines[0] == me && is_other);
    shell.end();
}

#[test]
fn a_process_that_is_gone_has_the_name_that_it_had_or_none() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    let arguments = ["-mF", "-e", "create", "--format", "%f %{pid} %{comm}", "."];
    let mut run = Running::ready(inotifywait(dir.path(), arguments));
    let mut known = Shell::in_dir(dir.path());
    let id = known.id();
    known.tell(": >a");
    run.expect_line(&format!("a {id} sh"));
    run.signal(Signal::SIGSTOP);
    known.tell(": >b");
    known.end();
    let mut unknown = Shell::in_dir(dir.path());
    let other = unknown.id();
    unknown.tell(": >c");
    unknown.end();
    run.signal(Signal::SIGCONT);
    run.expect_line(&format!("b {id} sh"));
    run.expect_line(&format!("c {other} -"));
    run.stop();
}

#[test]
fn a_process_that_cannot_be_seen_from_here_is_0() {
    if !need_root() || !need("unshare") {
        return;
    }
    let dir = tempdir();
    let script = "exec unshare --pid --fork --kill-child \"$@\"";
    let arguments = ["-F", "-e", "create", "--format", "%f %{pid} %{comm}", "."];
    let run = Running::ready(wrapped(dir.path(), script, "inotifywait", arguments));
    create_files(dir.path(), "f", 0..1);
    run.finish().code(0).printed("f0 0 -\n");
    let arguments = ["-F", "-e", "create", "--json", "."];
    let run = Running::ready(wrapped(dir.path(), script, "inotifywait", arguments));
    create_files(dir.path(), "f", 1..2);
    let end = run.finish();
    end.code(0).check("null", end.stdout.ends_with(b",\"pid\":null,\"comm\":null}\n"));
}

#[test]
fn without_fanotify_or_without_privileges_it_is_an_error() {
    let words = "is in --format string, but none of -F, -S and -M was specified.\n";
    refuses("inotifywait", "--format %f%{pid}%{comm} p", &format!("%{{pid}} {words}"));
    refuses("inotifywait", "-F -I --format %{comm}%{pid} p", &format!("%{{comm}} {words}"));
    refuses(
        "inotifywait",
        "--format %%{pid} /nowhere",
        "Setting up watches.\nCouldn't watch /nowhere: No such file or directory\n",
    );
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let end =
        Running::start(as_nobody(dir.path(), "inotifywait", ["-F", "--format", "%{pid}", "d"])).finish();
    end.code(1).printed("").said("%{pid} requires admin privileges\n");
    let run = Running::ready(as_nobody(dir.path(), "inotifywait", ["-F", "--json", "-e", "create", "d"]));
    create_files(&dir.path().join("d"), "f", 0..1);
    let end = run.finish();
    end.code(0).check("no process", end.stdout.ends_with(b"\"cookie\":0}\n"));
}

/// The name that the manual's example asks for.
#[test]
fn the_example_of_the_manual() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    let link = dir.path().join("fsnotifywait");
    std::os::unix::fs::symlink(binary("inotifywait"), &link).unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    let arguments = ["-e", "create", "--format", "%w%f %{pid} %{comm}", "etc"];
    let run = Running::ready(command(dir.path(), link.to_str().unwrap(), arguments));
    create_files(&dir.path().join("etc"), "x", 0..1);
    let path = dir.path().canonicalize().unwrap();
    let line = format!("{}/etc/x0 {} {}\n", path.display(), std::process::id(), own_comm());
    run.finish().code(0).printed(line);
}
