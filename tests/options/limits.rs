//! `inotifywatch --limits`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{
    Ended, Running, as_nobody, command, inotifywait, inotifywatch, need, need_root, skip, tempdir,
};
use crate::records::{holds_to_the_schema, jq};
use crate::refuses;

fn limits(more: &[&str]) -> Ended {
    let end = Running::start(inotifywatch(Path::new("/"), ["--limits"].iter().chain(more))).finish();
    end.code(0);
    end
}

/// The fields of the row of a process.
fn row(end: &Ended, pid: i32) -> Option<Vec<String>> {
    let words = |line: String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    end.lines().into_iter().map(words).find(|words| words.first() == Some(&pid.to_string()))
}

#[test]
fn a_process_is_listed_with_its_instances_and_watches() {
    let dir = tempdir();
    for name in ["a", "b/c"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let run = Running::ready(inotifywait(dir.path(), ["-m", "-r", "."]));
    let pid = run.pid().as_raw();
    let end = limits(&[]);
    let row = row(&end, pid);
    end.check("a row", row.is_some_and(|row| row[2..] == ["1", "4", "inotifywait"]));
    let lines = end.lines();
    end.check("the head", lines[0].starts_with("limit                   value  used by uid "));
    let values = ["max_user_watches", "max_user_instances", "max_queued_events"];
    for (line, name) in lines[1..].iter().zip(values) {
        let value = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).unwrap();
        end.check(name, line.starts_with(&format!("{name:<22}{:>7}  ", value.trim())));
    }
    end.check("the head of the rows", lines[4..6] == ["", "     pid    uid  instances  watches  command"]);
}

#[test]
fn as_json_it_is_one_object() {
    if !need("jq") {
        return;
    }
    let dir = tempdir();
    let run = Running::ready(inotifywait(dir.path(), ["-m", "."]));
    let end = limits(&["--json"]);
    holds_to_the_schema(&end.stdout, "man/inotifywatch.1", "LIMITS");
    let own = format!(".processes[] | select(.pid == {}) | [.instances, .watches, .command]", run.pid());
    end.check("the process", jq(&["-c", &own], &end.stdout) == b"[1,1,\"inotifywait\"]\n");
}

#[test]
fn a_command_whose_name_is_hard_to_print_is_one_row() {
    let dir = tempdir();
    // The kernel cuts the name after 15 bytes.
    let name = "a\nb \u{1b}[31m";
    // By another process: a descriptor open for writing here is inherited, for a moment, by what another test starts.
    let copied =
        Command::new("cp").arg(crate::common::binary("inotifywait")).arg(dir.path().join(name)).status();
    assert!(copied.unwrap().success());
    fs::create_dir(dir.path().join("d")).unwrap();
    let program = dir.path().join(name);
    let run = Running::ready(command(dir.path(), program.to_str().unwrap(), ["-m", "d"]));
    let end = limits(&[]);
    let row = row(&end, run.pid().as_raw());
    end.check("the row", row.is_some_and(|row| row[4..] == ["a\\nb", "\\033[31m"]));
}

#[test]
fn processes_hidden_from_an_ordinary_user_are_counted() {
    if !need_root() {
        return;
    }
    let dir = tempdir();
    let end = Running::start(as_nobody(dir.path(), "inotifywatch", ["--limits"])).finish();
    end.code(0)
        .check("the head", end.stdout.starts_with(b"limit                   value  used by uid 65534\n"));
    let said = String::from_utf8_lossy(&end.stderr);
    let hidden = said.contains(" processes of other users are hidden; run as root to see them.\n");
    end.check("the count", hidden || said == "1 process of another user is hidden; run as root to see it.\n");
}

/// Starts a program in a user namespace whose limit on watches is 10.
fn limited(script: &str) -> Option<Ended> {
    let lower = format!("echo 10 >/proc/sys/user/max_inotify_watches\n{script}");
    let mut probe = Command::new("unshare");
    let permitted = probe.args(["-Ur", "sh", "-ec", "echo 10 >/proc/sys/user/max_inotify_watches"]).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        skip("user namespaces are not permitted");
        return None;
    }
    let dir = tempdir();
    let mut command = command(dir.path(), "unshare", ["-Ur", "sh", "-ec", &lower, "sh"]);
    command.args(["inotifywait", "inotifywatch"].map(crate::common::binary));
    Some(Running::start(command).finish())
}

#[test]
fn the_lower_limit_of_a_namespace_is_shown_and_how_to_raise_it() {
    let script = "mkdir 1 2 3 4 5 6 7; mkfifo ready
        \"$1\" -qm --ready 3 -r . 3>ready >/dev/null & read -r line <ready
        \"$2\" --limits; kill $!";
    let Some(end) = limited(script) else { return };
    end.code(0);
    let line = end.lines().into_iter().nth(1).unwrap();
    end.check("the limit", line.split_whitespace().eq(["user.max_inotify_watches", "10", "8", "(80%)"]));
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    let advice = "To raise this limit, run as root: sysctl -w user.max_inotify_watches=16\n";
    end.check(advice, said.contains(advice));
    end.check("the end", said.ends_with("Limits of outer user namespaces are not visible here.\n"));
}

#[test]
fn the_daemon_has_its_own_session() {
    for (line, message) in [
        ("--limits -r", "-r and --limits cannot both be specified.\n"),
        ("--limits --ready 1", "--ready and --limits cannot both be specified.\n"),
        ("-t 1 --limits --json", "-t and --limits cannot both be specified.\n"),
        ("--limits --fromfile -", "--fromfile and --limits cannot both be specified.\n"),
        ("--limits .", "--limits and a path cannot both be specified.\n"),
        ("--limits @.", "--limits and a path cannot both be specified.\n"),
    ] {
        refuses("inotifywatch", line, message);
    }
}
