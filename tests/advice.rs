//! What the programs say where a user would otherwise be left alone: after an error that concerns an operand, and while
//! the watches are established. All of it is in further lines, and what is no error is left out with `-q`.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Running, command, tempdir};

/// The lines on stderr but those of the reference's.
fn further(stderr: &[u8]) -> Vec<String> {
    const REFERENCE: [&str; 6] = [
        "Setting up ",
        "Watches established.",
        "Establishing watches...",
        "Finished establishing",
        "Couldn't watch ",
        "Failed to watch ",
    ];
    let said = String::from_utf8(stderr.to_vec()).unwrap();
    let ours = said.lines().filter(|line| !REFERENCE.iter().any(|start| line.starts_with(start)));
    ours.filter(|line| *line != "No events occurred.").map(str::to_owned).collect()
}

/// Runs both programs; what they say besides is `lines`, or nothing with -q where it is no error.
#[track_caller]
fn says(dir: &Path, arguments: &[&str], code: i32, lines: &[&str]) {
    for (tool, code) in [("inotifywait", code), ("inotifywatch", if code == 2 { 0 } else { code })] {
        let end = Running::start(command(dir, common::binary(tool), arguments)).finish();
        let said = further(&end.stderr);
        end.code(code).check(&format!("{lines:?}, not {said:?}"), said == lines);
    }
    let quiet = [&["-q"], arguments].concat();
    let end = Running::start(command(dir, common::binary("inotifywait"), quiet)).finish();
    let wanted = if code == 1 { lines } else { &[] };
    end.code(code).check("errors alone with -q", further(&end.stderr) == wanted);
}

#[test]
fn an_operand_that_does_not_exist_is_explained() {
    let dir = tempdir();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    fs::write(dir.path().join("list"), "d\r\ne\r\n").unwrap();
    let dos = r"The name ends with a carriage return. If the list of paths has DOS line ends, remove them with tr -d '\r'.";
    for (arguments, line) in [
        (
            &["dangling"][..],
            "'dangling' is a symbolic link to 'nowhere', which leads nowhere. To watch the link itself, use -P without -r.",
        ),
        (
            &["loop"],
            "'loop' is a symbolic link to 'loop', which leads nowhere. To watch the link itself, use -P without -r.",
        ),
        (&["-"], "To read paths from standard input, use --fromfile -."),
        (&["--fromfile", "list"], dos),
        (
            &["create", "d"],
            "'create' is an event. A list of events has commas and no blanks: -e modify,create",
        ),
        (
            &["d/*.js"],
            r"'d/*.js' is not expanded. For files that match now or later: --include '(^|/)d/[^/]*\.js(/|$)' d/",
        ),
        (&["~/x"], "'~/x': the shell replaces '~' only where it is not quoted. Use \"$HOME\" instead."),
    ] {
        says(dir.path(), arguments, 1, &[line]);
    }
    for arguments in [&["nowhere"][..], &["list/x"]] {
        says(dir.path(), arguments, 1, &[]);
    }
}

#[test]
fn a_list_that_a_blank_splits_is_explained() {
    let dir = tempdir();
    for tool in ["inotifywait", "inotifywatch"] {
        let arguments = ["-e", "modify,", "create", "."];
        let end = Running::start(command(dir.path(), common::binary(tool), arguments)).finish();
        let lines = [
            "'modify,' is ignored as a whole: one of its names is empty.",
            "'create' is an event. A list of events has commas and no blanks: -e modify,create",
        ];
        end.code(1).check(&format!("{lines:?}"), further(&end.stderr) == lines);
    }
}

#[test]
fn an_expression_that_leaves_nothing_is_noticed() {
    let dir = tempdir();
    fs::create_dir_all(dir.path().join(".config/build/src")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    symlink(".config", dir.path().join("link")).unwrap();
    let all = "No event will be reported: the --exclude expression matches every path, as it does if it is empty or ends with '|'.";
    let excluded = |operand: &str| {
        format!(
            "No event will be reported for {operand}: the --exclude expression is compared with whole paths, and matches that one."
        )
    };
    let not_included = "No event will be reported for 'f': the --include expression is compared with whole paths, and does not match that one.";
    for (arguments, line) in [
        (&["--exclude", "/\\.", "./.config"][..], excluded("'./.config'")),
        (&["--exclude", "^\\.", "."], excluded("'.'")),
        (&["--exclude", "build", ".config/build/src"], excluded("'.config/build/src'")),
        (&["--excludei", "BUILD", "-r", ".config/build/src/"], excluded("'.config/build/src/'")),
        (&["--exclude", "f", "f", "."], excluded("'f'")),
        (
            &["--exclude", "^\\.", ".", "./f", "link", ".config", "./.config", "./link"],
            excluded("'.', './f', '.config' and 2 more"),
        ),
        (&["--exclude", "a|b|", "."], all.to_owned()),
        (&["--exclude", "", "."], all.to_owned()),
        (&["--exclude", "x*", "."], all.to_owned()),
        (&["--exclude", "$", "."], all.to_owned()),
        (&["--include", "\\.js$", "f"], not_included.to_owned()),
        (
            &["--include", "^main", "."],
            "'^main' matches no path: each path begins with its operand, such as './'.".to_owned(),
        ),
        (
            &["-F", "--exclude", "^\\./", "."],
            format!(
                "'^\\./' matches no path: each path begins with its operand, such as '{}/'.",
                dir.path().canonicalize().unwrap().display()
            ),
        ),
        (
            &["--exclude", "src/**", "."],
            "'src/**' is read as a regular expression, not as a glob. For the glob, write '(^|/)src/'."
                .to_owned(),
        ),
    ] {
        says(dir.path(), &[&["-t", "0.01"], arguments].concat(), 2, &[&line]);
    }
    for arguments in [
        &["--exclude", "/\\.git/", "."][..],
        &["--exclude", "^\\./x", "."],
        &["--exclude", "^$", "."],
        &["--exclude", "x$", "."],
        &["--include", "\\.js$", "."],
        &["--include", "", "f"],
        &["--exclude", "g", "f"],
        // Its own events have another path than what is excluded.
        &["-P", "--exclude", "link/", "link"],
    ] {
        says(dir.path(), &[&["-t", "0.01"], arguments].concat(), 2, &[]);
    }
}

#[test]
fn a_file_system_that_changes_unseen_is_named() {
    let dir = tempdir();
    let proc = "On proc ('/proc/sys/kernel'), changes by the kernel are not reported.";
    says(dir.path(), &["-t", "0.01", "/proc/sys/kernel"], 2, &[proc]);
    let both = [
        "On proc ('/proc/sys', '/proc/self/cmdline'), changes by the kernel are not reported.",
        "On sysfs ('/sys'), changes by the kernel are not reported.",
    ];
    let arguments = ["-t", "0.01", "-e", "unmount", "/proc/sys", "/proc/self/cmdline", ".", "/sys"];
    says(dir.path(), &arguments, 2, &both);
}

/// Also where it is mounted below.
#[test]
fn a_file_system_below_that_changes_unseen_is_named() {
    let Some(own) = common::Own::new() else { return };
    for name in ["d/proc", "d/mnt/proc", "d/plain"] {
        fs::create_dir_all(own.path().join(name)).unwrap();
    }
    for name in ["d/proc", "d/mnt/proc"] {
        common::mount_bind(Path::new("/proc/fs"), &own.path().join(name)).unwrap();
    }
    common::mount_tmpfs(&own.path().join("d/plain")).unwrap();
    let said = |paths: &str| format!("On proc ({paths}), changes by the kernel are not reported.");
    let arguments = ["-t", "0.01", "-e", "unmount", "d"];
    says(own.path(), &arguments, 2, &[]);
    says(own.path(), &[&["-r"], &arguments[..]].concat(), 2, &[&said("'d/mnt/proc', 'd/proc'")]);
    says(own.path(), &[&["-r", "--exclude", "/mnt/"], &arguments[..]].concat(), 2, &[&said("'d/proc'")]);
    says(own.path(), &[&["-r", "--exclude", "/proc/"], &arguments[..]].concat(), 2, &[]);
    for name in ["d/proc", "d/mnt/proc", "d/plain"] {
        nix::mount::umount2(&own.path().join(name), nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

const REPLACED: &str =
    "'f' is no longer watched: it was replaced. To see what replaces it, watch its directory, '.'.";
const DELETED: &str =
    "'d' is no longer watched: it was deleted. To see it come back, watch its directory, '.'.";
const NOTHING: &str = "No watch is left: no more events will be reported.";

/// f is replaced as by sed -i.
fn replace(dir: &Path) {
    fs::write(dir.join("new"), "").unwrap();
    fs::rename(dir.join("new"), dir.join("f")).unwrap();
}

#[test]
fn the_end_of_a_wait_is_explained() {
    let dir = tempdir();
    let prepare = || {
        fs::create_dir_all(dir.path().join("d/s")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
    };
    let change = || {
        replace(dir.path());
        fs::remove_dir(dir.path().join("d/s")).unwrap();
        fs::remove_dir(dir.path().join("d")).unwrap();
    };
    let below = "'d/s' was deleted. To continue after that, use -m.";
    for (arguments, line) in [
        (&["-e", "close_write", "f"][..], Some(REPLACED)),
        (&["-e", "close_write", "d"], Some(DELETED)),
        (&["-e", "close_write", "d/"], Some(DELETED)),
        (&["-r", "-e", "close_write", "d"], Some(below)),
        // What was asked for needs no word.
        (&["-e", "delete_self", "f"], None),
        (&["-e", "ignored", "f"], None),
    ] {
        for quiet in [false, true] {
            prepare();
            let mut command = common::inotifywait(dir.path(), arguments);
            let run = match quiet {
                false => Running::ready(command),
                true => {
                    let mut run = Running::start({
                        command.arg("-q");
                        command
                    });
                    run.wait_asleep();
                    run
                }
            };
            change();
            let end = run.finish();
            let wanted: Vec<&str> = line.into_iter().filter(|_| !quiet).collect();
            let said = further(&end.stderr);
            end.code(i32::from(line.is_some())).check(&format!("{wanted:?}"), said == wanted);
        }
    }
}

#[test]
fn the_end_of_the_last_watch_is_reported_with_m() {
    for (tool, arguments) in [
        ("inotifywait", &["-m", "-e", "close_write,delete_self"][..]),
        ("inotifywait", &["-m", "-r", "-e", "modify"]),
        ("inotifywait", &["-m", "-e", "ignored"]),
        ("inotifywait", &["-m", "-q", "-e", "ignored"]),
        ("inotifywatch", &["-r"]),
    ] {
        let dir = tempdir();
        fs::create_dir_all(dir.path().join("d/s")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        let mut command = command(dir.path(), common::binary(tool), arguments);
        command.args(["d", "f"]);
        let mut run = Running::start(command);
        run.wait_asleep();
        replace(dir.path());
        run.wait_asleep();
        fs::remove_dir_all(dir.path().join("d")).unwrap();
        run.wait_asleep();
        let end = run.stop();
        let wanted: &[&str] = if arguments.contains(&"-q") { &[] } else { &[REPLACED, DELETED, NOTHING] };
        end.check(&format!("{wanted:?}"), further(&end.stderr) == wanted);
    }
}

#[test]
fn a_oneshot_watch_ends_without_a_message() {
    let dir = tempdir();
    fs::write(dir.path().join("f"), "").unwrap();
    let mut run = Running::ready(common::inotifywait(dir.path(), ["-m", "-e", "open,oneshot", "f"]));
    fs::File::open(dir.path().join("f")).unwrap();
    run.wait_asleep();
    let end = run.stop();
    end.printed("f OPEN \n").check("only that nothing is left", further(&end.stderr) == [NOTHING]);
}

#[test]
fn an_unmount_is_reported() {
    let Some(own) = common::Own::new() else { return };
    let mounted = own.path().join("d");
    let line = "'d' is no longer watched: its file system was unmounted.";
    for (arguments, lines) in
        [(&["d"][..], &[line][..]), (&["-m", "d"], &[line, NOTHING]), (&["-m", "d", "."], &[line])]
    {
        fs::create_dir_all(&mounted).unwrap();
        common::mount_tmpfs(&mounted).unwrap();
        let mut command = common::inotifywait(own.path(), ["-e", "modify"]);
        command.args(arguments);
        let mut run = Running::ready(command);
        nix::mount::umount(&mounted).unwrap();
        let end = if arguments.len() > 1 {
            run.wait_asleep();
            run.stop()
        } else {
            run.finish()
        };
        end.check(&format!("{lines:?}"), further(&end.stderr) == lines);
    }
}

/// What a script starts in a mount namespace of its own; `"$@"` is inotifywait and the arguments.
fn unshared(dir: &Path, script: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = command(dir, "unshare", ["-m", "--propagation", "private", "sh", "-ec", script, "sh"]);
    command.arg(common::binary("inotifywait")).args(arguments);
    command
}

#[test]
fn a_missing_null_device_is_named() {
    if !common::need_root() || !common::need("unshare") {
        return;
    }
    let dir = tempdir();
    let script = "mount -t tmpfs none /dev; exec \"$@\"";
    let end = Running::start(unshared(dir.path(), script, &["-d", "-o", "out", "."])).finish();
    end.code(1).printed("").said("Couldn't open /dev/null: No such file or directory\n");
}

#[test]
fn without_proc_directories_are_watched_and_other_requests_explained() {
    if !common::need_root() || !common::need("unshare") {
        return;
    }
    let script = "umount -l /proc; exec \"$@\"";
    for options in [&["-r"][..], &["-F"], &["-rF"]] {
        let dir = tempdir();
        fs::create_dir_all(dir.path().join("d/s")).unwrap();
        let arguments = [options, &["-m", "-e", "create,isdir", "d"]].concat();
        let mut run = Running::ready(unshared(dir.path(), script, &arguments));
        let files: &[&str] = if options == ["-F"] { &["f"] } else { &["f", "s/g"] };
        for file in files {
            fs::write(dir.path().join("d").join(file), "").unwrap();
            let name = file.rsplit('/').next().unwrap();
            run.expect("the event", |lines| {
                lines.iter().any(|line| line.ends_with(&format!("/ CREATE {name}")))
            });
        }
        run.stop();
    }
    let dir = tempdir();
    fs::write(dir.path().join("f"), "").unwrap();
    for arguments in [&["-F", "f"][..], &["-S", "."], &["-M", "."]] {
        let end = Running::start(unshared(dir.path(), script, arguments)).finish();
        let line = "/proc is not mounted. fanotify needs it for files, and for -S and -M.\n";
        end.code(1).check(line, common::contains(&end.stderr, line.as_bytes()));
    }
}

/// `while inotifywait -r -e modify,create,delete d; do …; done` goes on after that.
#[test]
fn a_deleted_subdirectory_ends_a_wait_for_deletions() {
    for (arguments, printed, code) in [
        (&["-r", "-e", "modify,create,delete", "d"][..], "d/ DELETE,ISDIR s\n", 0),
        (&["-r", "-e", "delete", "--include", "s$", "d"], "d/ DELETE,ISDIR s\n", 0),
        (&["-r", "-e", "delete_self,delete", "d"], "d/s/ DELETE_SELF \n", 0),
        // As the reference: nothing that was asked for follows.
        (&["-r", "-e", "modify,create", "d"], "", 1),
        (&["-e", "delete", "d/s"], "", 1),
        (&["-r", "-e", "delete", "d/s"], "", 1),
    ] {
        let dir = tempdir();
        fs::create_dir_all(dir.path().join("d/s")).unwrap();
        let run = Running::ready(common::inotifywait(dir.path(), arguments));
        fs::remove_dir(dir.path().join("d/s")).unwrap();
        run.finish().code(code).printed(printed);
    }
}
