//! The kernel's limits on watches and instances, met for real in a user namespace, where they can be
//! lowered for one process alone.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Running, command, flood, skip, tempdir};
use nix::sys::signal::Signal;

/// Starts the rest of its arguments with `max_inotify_WHAT` at NUMBER: WHAT and NUMBER are `$1` and `$2`.
const LIMITED: &str = r#"echo "$2" > "/proc/sys/user/max_inotify_$1"; shift 2; exec "$@""#;

/// The last line of the messages about a limit.
const WHO: &str = "To see which processes use them, run: inotifywatch --limits\n";

/// Whether the limits can be lowered here.
fn need_namespace() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["-Ur", "sh", "-ec", LIMITED, "sh", "watches", "3", "true"]);
    probe.output().is_ok_and(|output| output.status.success()) || skip("user namespaces are not permitted")
}

fn limited(dir: &Path, what: &str, number: usize, tool: &str, arguments: &[&str]) -> Command {
    let number = number.to_string();
    let mut limited =
        command(dir, "unshare", ["-Ur", "sh", "-ec", LIMITED, "sh", what, &number, common::binary(tool)]);
    limited.args(arguments);
    limited
}

/// d with five directories below it.
fn six_directories(dir: &Path) {
    for name in ["a", "b", "c/d/e"] {
        fs::create_dir_all(dir.join("d").join(name)).unwrap();
    }
}

/// The advice in a message: the number of watches needed and the new limit.
fn advice(message: &str) -> Option<(usize, usize)> {
    let line = message.lines().find(|line| line.contains("sysctl -w user.max_inotify_watches="))?;
    let needed = line.split(' ').find_map(|word| word.trim_end_matches('.').parse().ok())?;
    Some((needed, line.rsplit('=').next()?.parse().ok()?))
}

fn too_few_watches(tool: &str, arguments: &[&str], limit: usize, operand: &str, wanted: usize) {
    let dir = tempdir();
    six_directories(dir.path());
    let end = Running::start(limited(dir.path(), "watches", limit, tool, arguments)).finish();
    end.code(1).printed("");
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    let failed = format!("Failed to watch {operand}; upper limit on inotify watches reached!\n");
    end.check(&failed, said.contains(&failed));
    end.check("the name of the limit", said.contains("/proc/sys/fs/inotify/max_user_watches"));
    end.check("once", said.matches("upper limit").count() == 1);
    end.check(WHO, said.ends_with(WHO));
    let advice = advice(&said);
    end.check(&format!("{wanted} watches needed"), advice.is_some_and(|(needed, _)| needed == wanted));
    // Others of the same user need theirs, too. The limit is that of the namespace.
    let enough = |(_, value)| value >= limit + wanted;
    end.check("a limit that suffices", advice.is_some_and(enough));
}

#[test]
fn setup_at_the_limit_on_watches() {
    if need_namespace() {
        too_few_watches("inotifywait", &["-r", "-m", "d"], 3, "d", 6);
        too_few_watches("inotifywait", &["-qq", "-r", "d"], 5, "d", 6);
        // Of several operands the one that failed is named, and all are counted.
        too_few_watches("inotifywait", &["-m", "d/a", "d/b", "d/c", "d"], 2, "d/c", 4);
        // What takes no watch is not counted.
        too_few_watches("inotifywait", &["-r", "--exclude", "/c/", "d"], 2, "d", 3);
        too_few_watches("inotifywatch", &["-r", "d"], 3, "d", 6);
    }
}

#[test]
fn as_many_watches_as_there_may_be() {
    if need_namespace() {
        let dir = tempdir();
        six_directories(dir.path());
        let run = limited(dir.path(), "watches", 6, "inotifywait", &["-r", "-m", "-e", "create", "d"]);
        let mut run = Running::ready(run);
        fs::write(dir.path().join("d/c/d/e/f"), "").unwrap();
        run.expect_line("d/c/d/e/ CREATE f");
        run.stop();
    }
}

#[test]
fn a_new_directory_at_the_limit() {
    if !need_namespace() {
        return;
    }
    for arguments in [&["-r", "-m", "-e", "create", "d"][..], &["-q", "-r", "-m", "-e", "create", "d"]] {
        let dir = tempdir();
        six_directories(dir.path());
        let quiet = arguments[0] == "-q";
        let run = limited(dir.path(), "watches", 7, "inotifywait", arguments);
        let mut run = Running::start(run);
        if quiet {
            run.wait_asleep();
        } else {
            run.wait_ready();
        }
        fs::create_dir(dir.path().join("d/n1")).unwrap();
        fs::create_dir(dir.path().join("d/n2")).unwrap();
        run.expect_message("Couldn't watch new directory d/n2/: No space left on device");
        // The one before it has the last watch, and all others theirs.
        fs::write(dir.path().join("d/n2/unseen"), "").unwrap();
        fs::write(dir.path().join("d/n1/f"), "").unwrap();
        fs::write(dir.path().join("d/a/f"), "").unwrap();
        run.expect_line("d/a/ CREATE f");
        // More of them are no news.
        fs::create_dir(dir.path().join("d/n3")).unwrap();
        run.expect_line("d/ CREATE,ISDIR n3");
        run.wait_asleep();
        // A watch that is given back is used for one that lacks it, and its contents are reported.
        fs::remove_dir(dir.path().join("d/b")).unwrap();
        run.expect_line("d/n2/ CREATE unseen");
        run.wait_asleep();
        fs::write(dir.path().join("d/n2/f"), "").unwrap();
        run.expect_line("d/n2/ CREATE f");
        let end = run.stop();
        end.printed(
            "d/ CREATE,ISDIR n1\nd/ CREATE,ISDIR n2\nd/n1/ CREATE f\nd/a/ CREATE f\nd/ CREATE,ISDIR n3\n\
             d/n2/ CREATE unseen\nd/n2/ CREATE f\n",
        );
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        // The second time after one had got a watch.
        end.check("one message each time", said.matches("new directory").count() <= 2);
        end.check("the limit's name", said.contains("/proc/sys/user/max_inotify_watches"));
    }
}

/// What nobody can look into, because the operand was renamed, is kept through an overflow, and so is what lacks a watch there.
#[test]
fn a_directory_at_the_limit_is_not_forgotten_in_an_overflow() {
    if !need_namespace() {
        return;
    }
    let dir = tempdir();
    six_directories(dir.path());
    let arguments = ["-r", "-m", "-e", "create,delete", "d"];
    let mut run = Running::ready(limited(dir.path(), "watches", 7, "inotifywait", &arguments));
    fs::create_dir(dir.path().join("d/n1")).unwrap();
    fs::create_dir(dir.path().join("d/n2")).unwrap();
    run.expect_message("Couldn't watch new directory d/n2/: No space left on device");
    fs::rename(dir.path().join("d"), dir.path().join("e")).unwrap();
    run.signal(Signal::SIGSTOP);
    flood(&dir.path().join("e/a"));
    run.signal(Signal::SIGCONT);
    run.expect_message("Events were lost");
    run.wait_asleep();
    fs::rename(dir.path().join("e"), dir.path().join("d")).unwrap();
    fs::remove_dir(dir.path().join("d/n1")).unwrap();
    run.expect_line("d/ DELETE,ISDIR n1");
    run.wait("a watch for n2", |run| run.watches() == 7);
    fs::write(dir.path().join("d/n2/f"), "").unwrap();
    run.expect_line("d/n2/ CREATE f");
    run.stop();
}

/// Nothing happens in the tree that could tell that there is room again.
#[test]
fn a_directory_is_watched_some_time_after_the_limit_was_raised() {
    const RAISED: &str = r#"
        echo 7 > /proc/sys/user/max_inotify_watches
        { until [ -e raise ]; do sleep 0.02; done; echo 10 > /proc/sys/user/max_inotify_watches; } >/dev/null 2>&1 &
        exec "$@""#;
    if !need_namespace() {
        return;
    }
    for tool in ["inotifywait", "inotifywatch"] {
        let dir = tempdir();
        six_directories(dir.path());
        let arguments = ["-Ur", "sh", "-ec", RAISED, "sh", common::binary(tool), "-r", "-e", "create", "d"];
        let more = if tool == "inotifywait" { &["-m"][..] } else { &[] };
        let mut run = Running::ready(command(dir.path(), "unshare", arguments.iter().chain(more)));
        for number in 1..=4 {
            fs::create_dir_all(dir.path().join(format!("d/n{number}/sub"))).unwrap();
        }
        run.expect_message("Couldn't watch new directory");
        run.wait_asleep();
        assert_eq!(run.watches(), 7);
        fs::write(dir.path().join("raise"), "").unwrap();
        run.wait("three more", |run| run.watches() == 10);
        // There is not enough for all: that is said again, once.
        run.wait("the message", |run| {
            String::from_utf8_lossy(&run.stderr.bytes()).matches("Couldn't").count() == 2
        });
    }
}

#[test]
fn a_new_directory_at_the_limit_is_counted_without_its_contents() {
    if need_namespace() {
        let dir = tempdir();
        six_directories(dir.path());
        let run = limited(dir.path(), "watches", 6, "inotifywatch", &["-r", "-e", "create", "d"]);
        let mut run = Running::ready(run);
        fs::create_dir(dir.path().join("d/n")).unwrap();
        run.expect_message("Couldn't watch new directory d/n/: No space left on device");
        fs::write(dir.path().join("d/n/unseen"), "").unwrap();
        fs::write(dir.path().join("d/f"), "").unwrap();
        run.wait_asleep();
        run.stop().code(0).printed("total  create  filename\n2      2       d/\n");
    }
}

#[test]
fn the_limit_on_instances_is_named() {
    if need_namespace() {
        let dir = tempdir();
        for tool in ["inotifywait", "inotifywatch"] {
            for arguments in [&["."][..], &["-r", "."]] {
                let end = Running::start(limited(dir.path(), "instances", 0, tool, arguments)).finish();
                end.code(1).printed("");
                let said = String::from_utf8_lossy(&end.stderr).into_owned();
                let message = "Couldn't initialize inotify: Too many open files";
                end.check(message, said.lines().next() == Some(message));
                let limit = "/proc/sys/fs/inotify/max_user_instances";
                end.check("the limit's name", said.lines().any(|line| line.contains(limit)));
                let remedy = "To raise the limit, run as root of this user namespace: sysctl -w user.max_inotify_instances=1";
                end.check(remedy, said.lines().any(|line| line == remedy));
                end.check(WHO, said.ends_with(WHO));
            }
        }
    }
}

/// As many descriptors as the reference needs, which of the others, too, are never more than it has.
#[test]
fn four_descriptors_suffice() {
    let dir = tempdir();
    six_directories(dir.path());
    for (tool, arguments, limit) in [
        ("inotifywait", &["-m", "-e", "create", "d"][..], 4),
        ("inotifywait", &["-m", "-e", "create", "-o", "out", "d"], 5),
        ("inotifywait", &["-m", "-e", "create", "--fromfile", "list"], 5),
        ("inotifywatch", &["-e", "create", "d"], 4),
        ("inotifywait", &["-m", "-r", "-e", "create", "d"], 5),
        ("inotifywait", &["-m", "-r", "-e", "create", "d"], 6),
        ("inotifywait", &["-m", "-r", "-e", "create", "d"], 7),
        ("inotifywatch", &["-r", "-e", "create", "d"], 5),
        ("inotifywait", &["-F", "-m", "-e", "create", "d"], 7),
        // The table of mounts is open only if the directories have enough beside it.
        ("inotifywait", &["-F", "-m", "-e", "create", "d"], 8),
        ("inotifywait", &["-F", "-m", "-e", "create", "d"], 9),
        ("inotifywait", &["-F", "-m", "-e", "create", "d"], 10),
    ] {
        fs::write(dir.path().join("list"), "d\n").unwrap();
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let mut run = Running::ready(common::wrapped(dir.path(), &script, tool, arguments));
        fs::write(dir.path().join("d/f"), "").unwrap();
        run.wait_asleep();
        run.signal(nix::sys::signal::Signal::SIGINT);
        let end = run.finish();
        fs::remove_file(dir.path().join("d/f")).unwrap();
        let printed = match fs::read_to_string(dir.path().join("out")) {
            Ok(printed) => printed,
            Err(_) => String::from_utf8(end.stdout.clone()).unwrap(),
        };
        let _ = fs::remove_file(dir.path().join("out"));
        let wanted = if tool == "inotifywait" { "d/ CREATE f\n" } else { "\n1      1       d/\n" };
        end.check(&format!("{wanted:?} in {printed:?}"), printed.contains(wanted));
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        end.check("no error", !said.contains("Too many open files"));
    }
}

/// The directories that are read need descriptors, too: what is reported does not depend on how many there are.
#[test]
fn with_r_a_low_limit_on_open_files_changes_no_line() {
    for limit in [6, 7, 8, 9, 12] {
        let dir = tempdir();
        six_directories(dir.path());
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let arguments = ["-m", "-r", "d"];
        let mut run = Running::ready(common::wrapped(dir.path(), &script, "inotifywait", arguments));
        fs::write(dir.path().join("d/f"), "x").unwrap();
        fs::create_dir(dir.path().join("d/c/d/n")).unwrap();
        run.wait_asleep();
        fs::write(dir.path().join("d/c/d/n/f"), "").unwrap();
        run.wait_asleep();
        run.signal(nix::sys::signal::Signal::SIGTERM);
        let end = run.finish();
        end.printed(
            "d/ CREATE f\nd/ OPEN f\nd/ MODIFY f\nd/ CLOSE_WRITE,CLOSE f\n\
             d/c/d/ CREATE,ISDIR n\nd/c/d/ OPEN,ISDIR n\nd/c/d/ ACCESS,ISDIR n\nd/c/d/ CLOSE_NOWRITE,CLOSE,ISDIR n\n\
             d/c/d/n/ CREATE f\nd/c/d/n/ OPEN f\nd/c/d/n/ CLOSE_WRITE,CLOSE f\n",
        );
    }
}

/// A lower directory that cannot be read is watched nevertheless; an operand that cannot be read ends the setup.
#[test]
fn an_operand_that_cannot_be_read_for_lack_of_descriptors_is_an_error() {
    let dir = tempdir();
    six_directories(dir.path());
    for (tool, words) in [("inotifywait", "Couldn't watch"), ("inotifywatch", "Failed to watch")] {
        let run = common::wrapped(dir.path(), "ulimit -n 4; exec \"$@\"", tool, ["-r", "d"]);
        let end = Running::start(run).finish();
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        end.code(1).check(words, said.contains(&format!("{words} d: Too many open files\n")));
    }
}

#[test]
fn the_limit_on_open_files_is_named() {
    let dir = tempdir();
    for (interface, arguments) in [
        // The outfile has the last descriptor.
        ("inotify", &["-o", "out", "."][..]),
        ("fanotify", &["-F", "-o", "out", "."]),
        // The group has the last one, and is closed again when no more can be opened.
        ("fanotify", &["-F", "."]),
    ] {
        let run = common::wrapped(dir.path(), "ulimit -n 4; exec \"$@\"", "inotifywait", arguments);
        Running::start(run).finish().code(1).said(format!(
            "Couldn't initialize {interface}: Too many open files\n\
             The limit on open files is 4. To raise it: ulimit -n 8\n"
        ));
    }
}
