//! `--follow-name`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::sys::signal::{Signal, kill};

use crate::common::{
    Own, Running, as_nobody, exchange, fast_tempdir, flood, inotifywait, mount_bind, mount_tmpfs, tempdir,
};
use crate::refuses;

/// The events that tell where a name leads.
const PLACES: &str = "create,close_write,move_self,delete_self";

fn follow(dir: &Path, words: &str) -> Running {
    let fixed = ["-mq", "--follow-name", "-e", PLACES, "--format", "%w %,e %f"];
    let mut run = Running::start(inotifywait(dir, fixed.into_iter().chain(words.split(' '))));
    run.wait_asleep();
    run
}

/// Something is done, and when all is quiet these are the lines that it has added.
#[track_caller]
fn adds(run: &mut Running, what: &str, does: impl FnOnce(), lines: &[&str]) {
    let before = run.stdout.lines().len();
    does();
    run.wait_asleep();
    run.expect(what, |now| now.len() >= before + lines.len());
    let added: Vec<String> = run.stdout.lines().split_off(before);
    assert_eq!(added, lines, "{what}");
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

/// Makes a link lead elsewhere in one step, as ln -sfn would not.
fn relink(target: &str, link: &Path) {
    let new = link.parent().unwrap().join("new-link");
    symlink(target, &new).unwrap();
    rename(&new, link);
}

#[test]
fn the_example_of_the_manual_prints_its_lines() {
    let dir = tempdir();
    let conf = dir.path().join("conf");
    let run = &mut follow(dir.path(), "conf");
    adds(run, "created", || write(&conf, "1"), &["conf CREATE ", "conf CLOSE_WRITE,CLOSE "]);
    let sed = || {
        write(&dir.path().join("sedXXX"), "2");
        rename(&dir.path().join("sedXXX"), &conf);
    };
    adds(run, "replaced", sed, &["conf CREATE ", "conf CLOSE_WRITE,CLOSE "]);
    let rotate = || {
        rename(&conf, &dir.path().join("conf.1"));
        write(&conf, "3");
    };
    adds(run, "rotated", rotate, &["conf MOVE_SELF ", "conf CREATE ", "conf CLOSE_WRITE,CLOSE "]);
    adds(run, "removed", || fs::remove_file(&conf).unwrap(), &["conf DELETE_SELF "]);
}

/// The same unread, one after the other: the order is the kernel's.
#[test]
fn events_that_are_read_late_are_reported_alike() {
    let dir = tempdir();
    let conf = dir.path().join("conf");
    let run = &mut follow(dir.path(), "conf");
    run.signal(Signal::SIGSTOP);
    write(&conf, "1");
    rename(&conf, &dir.path().join("conf.1"));
    write(&conf, "3");
    fs::remove_file(&conf).unwrap();
    run.signal(Signal::SIGCONT);
    run.wait_asleep();
    assert_eq!(
        run.stdout.lines().join(" | "),
        [
            "conf CREATE ",
            "conf CLOSE_WRITE,CLOSE ",
            "conf MOVE_SELF ",
            "conf CREATE ",
            "conf CLOSE_WRITE,CLOSE ",
            "conf DELETE_SELF ",
        ]
        .join(" | ")
    );
}

#[test]
fn a_configuration_of_kubernetes_is_complete_at_each_switch() {
    let dir = tempdir();
    let etc = dir.path().join("etc");
    for version in ["1", "2", "3"] {
        fs::create_dir_all(etc.join(version)).unwrap();
        write(&etc.join(version).join("app.conf"), version);
    }
    symlink("1", etc.join("..data")).unwrap();
    symlink("..data/app.conf", etc.join("app.conf")).unwrap();
    let arguments = ["-mq", "--follow-name", "-e", "close_write", "etc/app.conf"];
    let mut run = Running::start(inotifywait(dir.path(), arguments));
    run.wait_asleep();
    for (number, version) in ["2", "3"].into_iter().enumerate() {
        relink(version, &etc.join("..data"));
        fs::remove_dir_all(etc.join((number + 1).to_string())).unwrap();
        run.wait_asleep();
        assert_eq!(run.stdout.lines(), vec!["etc/app.conf CLOSE_WRITE,CLOSE "; number + 1]);
    }
    // The directory of each switch before is not watched any more: `.`, etc, 3.
    assert_eq!(run.watches(), 3);
}

#[test]
fn several_missing_levels_are_watched_as_they_appear() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    let run = &mut follow(dir.path(), "a/b/c/conf");
    adds(run, "some levels", || fs::create_dir_all(at("a/b")).unwrap(), &[]);
    let lines = ["a/b/c/conf CREATE ", "a/b/c/conf CLOSE_WRITE,CLOSE "];
    fs::create_dir(at("a/b/c")).unwrap();
    run.wait_asleep();
    adds(run, "the file", || write(&at("a/b/c/conf"), ""), &lines);
    adds(run, "a level leaves", || rename(&at("a/b"), &at("x")), &["a/b/c/conf DELETE_SELF "]);
    adds(run, "and writes there", || write(&at("x/c/conf"), "x"), &[]);
    adds(run, "and comes back", || rename(&at("x"), &at("a/b")), &lines);
    assert_eq!(run.watches(), 4);
    adds(run, "all leave", || fs::remove_dir_all(at("a")).unwrap(), &["a/b/c/conf DELETE_SELF "]);
    assert_eq!(run.watches(), 1);
}

#[test]
fn a_file_is_exchanged_linked_and_replaced() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    let (conf, other) = (at("conf"), at("other"));
    fs::create_dir(at("sub")).unwrap();
    for path in [&conf, &other, &at("sub/far")] {
        write(path, "");
    }
    let run = &mut follow(dir.path(), "conf");
    let came = ["conf CREATE ", "conf CLOSE_WRITE,CLOSE "];
    adds(run, "an exchange", || exchange(&conf, &other).unwrap(), &came);
    adds(run, "one from elsewhere", || exchange(&conf, &at("sub/far")).unwrap(), &came);
    let there_and_back = || {
        rename(&conf, &at("t"));
        rename(&at("t"), &conf);
    };
    let away = ["conf MOVE_SELF ", "conf CREATE ", "conf CLOSE_WRITE,CLOSE "];
    adds(run, "there and back", there_and_back, &away);
    run.signal(Signal::SIGSTOP);
    there_and_back();
    let pid = run.pid();
    adds(run, "there and back, unread", || kill(pid, Signal::SIGCONT).unwrap(), &away);
    adds(run, "removed", || fs::remove_file(&conf).unwrap(), &["conf DELETE_SELF "]);
    adds(run, "a hard link", || fs::hard_link(&other, &conf).unwrap(), &came);
    // Through the other name, so not of this one.
    adds(run, "the other name", || write(&other, "x"), &[]);
    adds(run, "this name", || write(&conf, "x"), &["conf CLOSE_WRITE,CLOSE "]);
    adds(run, "its other name goes", || fs::remove_file(&other).unwrap(), &[]);
    let open = File::open(&conf).unwrap();
    adds(run, "removed while it is open", || fs::remove_file(&conf).unwrap(), &["conf DELETE_SELF "]);
    drop(open);
    adds(run, "a directory", || fs::create_dir(&conf).unwrap(), &["conf/ CREATE,ISDIR "]);
    adds(run, "in it", || write(&conf.join("f"), ""), &["conf/ CREATE f", "conf/ CLOSE_WRITE,CLOSE f"]);
    adds(run, "it moves", || rename(&conf, &at("d")), &["conf/ MOVE_SELF "]);
    adds(run, "in it, elsewhere", || write(&at("d/g"), ""), &[]);
    adds(run, "made again", || fs::create_dir(&conf).unwrap(), &["conf/ CREATE,ISDIR "]);
    adds(run, "removed", || fs::remove_dir(&conf).unwrap(), &["conf/ DELETE_SELF "]);
    adds(run, "a link to it", || symlink("d", &conf).unwrap(), &["conf/ CREATE,ISDIR "]);
    adds(run, "another link", || relink("sub/far", &conf), &came);
    adds(run, "a link to the same", || relink("./sub/far", &conf), &[]);
    adds(run, "a link to nothing", || relink("nothing", &conf), &["conf DELETE_SELF "]);
    adds(run, "a loop", || relink("conf", &conf), &[]);
    adds(run, "no directory", || relink("sub/far/x", &conf), &[]);
    adds(run, "a link to a file", || relink(at("sub/far").to_str().unwrap(), &conf), &came);
    adds(run, "written to", || write(&at("sub/far"), "x"), &["conf CLOSE_WRITE,CLOSE "]);
}

#[test]
fn all_events_of_a_file_are_its_own() {
    let dir = tempdir();
    let conf = dir.path().join("conf");
    write(&conf, "");
    let arguments = ["-mq", "--follow-name", "conf", "."];
    let mut run = Running::start(inotifywait(dir.path(), arguments));
    run.wait_asleep();
    // Not truncated: that would be an event of its own, merged or not.
    File::options().append(true).open(&conf).unwrap().write_all(b"x").unwrap();
    fs::read(&conf).unwrap();
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(&conf).unwrap();
    run.wait_asleep();
    let lines = run.stdout.lines();
    let of = |start: &str| -> Vec<String> {
        lines.iter().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
    };
    let both = ["OPEN", "MODIFY", "CLOSE_WRITE,CLOSE", "OPEN", "ACCESS", "CLOSE_NOWRITE,CLOSE", "ATTRIB"];
    assert_eq!(
        of("conf "),
        both.iter().map(|e| format!("{e} ")).chain(["DELETE_SELF ".into()]).collect::<Vec<_>>()
    );
    assert_eq!(
        of("./ "),
        both.iter().map(|e| format!("{e} conf")).chain(["DELETE conf".into()]).collect::<Vec<_>>()
    );
}

#[test]
fn operands_that_share_an_inode_are_each_reported() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("d")).unwrap();
    write(&at("d/f"), "");
    symlink("d", at("l")).unwrap();
    let run = &mut follow(dir.path(), "d/f l/f d l/");
    let lines = [
        "d/f CLOSE_WRITE,CLOSE ",
        "l/f CLOSE_WRITE,CLOSE ",
        "d/ CLOSE_WRITE,CLOSE f",
        "l/ CLOSE_WRITE,CLOSE f",
    ];
    adds(run, "written", || write(&at("d/f"), "x"), &lines);
}

#[test]
fn an_absent_path_is_named_at_the_start_with_the_reason() {
    let dir = tempdir();
    write(&dir.path().join("file"), "");
    symlink("loop", dir.path().join("loop")).unwrap();
    let run =
        Running::ready(inotifywait(dir.path(), ["-m", "--follow-name", "conf", "loop", "file/x", "file"]));
    run.stop().killed_by(Signal::SIGTERM).printed("").said(
        "Setting up watches.\nWaiting for conf: No such file or directory\n\
         Waiting for loop: Too many levels of symbolic links\nWaiting for file/x: Not a directory\n\
         Watches established.\n",
    );
}

#[test]
fn without_monitor_only_a_requested_event_ends_it() {
    let dir = tempdir();
    let conf = dir.path().join("conf");
    write(&conf, "");
    let mut run = Running::start(inotifywait(dir.path(), ["-q", "--follow-name", "-e", "create", "conf"]));
    run.wait_asleep();
    fs::remove_file(&conf).unwrap();
    run.wait_asleep();
    write(&conf, "");
    run.finish().code(0).printed("conf CREATE \n").said("");
    let run = Running::start(inotifywait(dir.path(), ["-q", "--follow-name", "-t", "0.01", "nowhere"]));
    run.finish().code(2).printed("").said("");
}

#[test]
fn a_link_is_the_object_with_no_dereference() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    symlink("nowhere", at("l")).unwrap();
    let run = &mut follow(dir.path(), "-P l");
    adds(run, "relinked", || relink("else", &at("l")), &["l CREATE "]);
    adds(run, "its target", || write(&at("else"), ""), &[]);
    adds(run, "gone", || fs::remove_file(at("l")).unwrap(), &["l DELETE_SELF "]);
}

#[test]
fn permissions_on_the_way_count_as_absence_until_they_change() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("d")).unwrap();
    write(&at("d/f"), "");
    let mode = |path: &str, mode| fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("d", 0o744);
    let fixed = ["-m", "--follow-name", "-e", PLACES, "d/f"];
    let run = &mut Running::ready(as_nobody(dir.path(), "inotifywait", fixed));
    run.expect_message("Waiting for d/f: Permission denied\n");
    let came = ["d/f CREATE ", "d/f CLOSE_WRITE,CLOSE "];
    adds(run, "may be searched", || mode("d", 0o755), &came);
    adds(run, "may not", || mode("d", 0o744), &["d/f DELETE_SELF "]);
    // Nor may it be watched then.
    adds(run, "may not even be read", || mode("d", 0o700), &[]);
    let run = &mut Running::ready(as_nobody(dir.path(), "inotifywait", fixed));
    adds(run, "may be searched and read", || mode("d", 0o755), &came);
}

#[test]
fn a_directory_that_cannot_be_read_is_named_and_passed() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("d/e")).unwrap();
    write(&at("d/f"), "");
    write(&at("d/e/f"), "");
    let mode = |path: &str, mode| fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("d", 0o711);
    mode("d/e", 0o777);
    mode("d/f", 0o666);
    let fixed = ["-m", "--follow-name", "-e", PLACES, "d/f", "d/e/f"];
    let run = &mut Running::ready(as_nobody(dir.path(), "inotifywait", fixed));
    let message = b"Setting up watches.\nCouldn't watch d/: Permission denied\nWatches established.\n";
    assert_eq!(run.stderr.bytes().escape_ascii().to_string(), message.escape_ascii().to_string());
    adds(run, "a file in it", || write(&at("d/f"), "x"), &["d/f CLOSE_WRITE,CLOSE "]);
    adds(run, "a file below", || write(&at("d/e/f"), "x"), &["d/e/f CLOSE_WRITE,CLOSE "]);
    let replace = || {
        write(&at("d/new"), "");
        mode("d/new", 0o666);
        rename(&at("d/new"), &at("d/f"));
    };
    adds(run, "replaced", replace, &["d/f CREATE ", "d/f CLOSE_WRITE,CLOSE "]);
    adds(run, "written", || write(&at("d/f"), "x"), &["d/f CLOSE_WRITE,CLOSE "]);
    rename(&at("d/f"), &at("d/g"));
    run.wait("its end", |run| run.has_ended());
    run.expect_line("d/f MOVE_SELF ");
    run.expect_message("Couldn't watch d/: Permission denied\n");
    for (quiet, text) in [("-q", ""), ("-m", "Setting up watches.\n")] {
        let fixed = [quiet, "--follow-name", "d/none"];
        let end = Running::start(as_nobody(dir.path(), "inotifywait", fixed)).finish();
        end.code(1).printed("").said(format!("{text}Couldn't watch d/: Permission denied\n"));
    }
}

#[test]
fn a_link_in_a_directory_that_cannot_be_read_is_watched_itself() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("d")).unwrap();
    write(&at("one"), "");
    write(&at("two"), "");
    symlink("../one", at("d/l")).unwrap();
    fs::set_permissions(at("d"), fs::Permissions::from_mode(0o711)).unwrap();
    let fixed = ["-m", "--follow-name", "-e", PLACES, "d/l"];
    let run = &mut Running::ready(as_nobody(dir.path(), "inotifywait", fixed));
    let came = ["d/l CREATE ", "d/l CLOSE_WRITE,CLOSE "];
    adds(run, "relinked", || relink("../two", &at("d/l")), &came);
    adds(run, "written", || write(&at("two"), "x"), &["d/l CLOSE_WRITE,CLOSE "]);
}

#[test]
fn an_overflow_is_reported_and_the_ways_are_resolved_again() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join(path);
    write(&at("gone"), "");
    let fixed = ["-m", "--follow-name", "-e", PLACES, "gone", "new", "a/b"];
    let run = &mut Running::ready(inotifywait(dir.path(), fixed));
    run.signal(Signal::SIGSTOP);
    flood(dir.path());
    fs::remove_file(at("gone")).unwrap();
    write(&at("new"), "");
    fs::create_dir(at("a")).unwrap();
    write(&at("a/b"), "");
    run.signal(Signal::SIGCONT);
    run.expect_message("Events were lost: the kernel's queue was full");
    run.wait_asleep();
    let lines = [
        "gone DELETE_SELF ",
        "new CREATE ",
        "new CLOSE_WRITE,CLOSE ",
        "a/b CREATE ",
        "a/b CLOSE_WRITE,CLOSE ",
    ];
    assert_eq!(run.stdout.lines(), lines);
    adds(run, "as before", || write(&at("a/b"), "x"), &["a/b CLOSE_WRITE,CLOSE "]);
}

#[test]
fn a_mount_on_the_way_leads_elsewhere() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    fs::create_dir(at("m")).unwrap();
    write(&at("m/f"), "");
    let run = &mut follow(own.path(), "m/f");
    adds(run, "mounted", || mount_tmpfs(&at("m")).unwrap(), &["m/f DELETE_SELF "]);
    adds(run, "created there", || write(&at("m/f"), ""), &["m/f CREATE ", "m/f CLOSE_WRITE,CLOSE "]);
    let unmount = || nix::mount::umount2(&at("m"), nix::mount::MntFlags::MNT_DETACH).unwrap();
    adds(run, "unmounted", unmount, &["m/f CREATE ", "m/f CLOSE_WRITE,CLOSE "]);
}

/// As a container has it: the directory is not the one in which the file is changed.
#[test]
fn a_file_that_is_mounted_is_watched_itself() {
    let Some(own) = Own::new() else { return };
    let at = |path: &str| own.path().join(path);
    fs::create_dir(at("etc")).unwrap();
    write(&at("etc/conf"), "");
    write(&at("real"), "");
    mount_bind(&at("real"), &at("etc/conf")).unwrap();
    let run = &mut follow(own.path(), "etc/conf");
    adds(run, "written outside", || write(&at("real"), "x"), &["etc/conf CLOSE_WRITE,CLOSE "]);
    adds(run, "written inside", || write(&at("etc/conf"), "x"), &["etc/conf CLOSE_WRITE,CLOSE "]);
    let came = ["etc/conf CREATE ", "etc/conf CLOSE_WRITE,CLOSE "];
    let unmount = || nix::mount::umount2(&at("etc/conf"), nix::mount::MntFlags::MNT_DETACH).unwrap();
    adds(run, "unmounted", unmount, &came);
}

#[test]
fn with_recursion_a_directory_that_is_created_announces_its_contents() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("t/u")).unwrap();
    write(&at("t/u/f"), "");
    let run = &mut follow(dir.path(), "-r d");
    let make = || {
        fs::create_dir_all(at("x/s")).unwrap();
        rename(&at("x"), &at("d"));
    };
    adds(run, "moved", make, &["d/ CREATE,ISDIR "]);
    adds(run, "below", || fs::create_dir(at("d/s/e")).unwrap(), &["d/s/ CREATE,ISDIR e"]);
    adds(
        run,
        "removed",
        || fs::remove_dir_all(at("d")).unwrap(),
        &["d/s/e/ DELETE_SELF ", "d/s/ DELETE_SELF ", "d/ DELETE_SELF "],
    );
    run.signal(Signal::SIGSTOP);
    fs::create_dir_all(at("d/a")).unwrap();
    write(&at("d/a/f"), "");
    let pid = run.pid();
    let lines = ["d/ CREATE,ISDIR ", "d/ CREATE,ISDIR a", "d/a/ CREATE f", "d/a/ CLOSE_WRITE,CLOSE f"];
    adds(run, "created", || kill(pid, Signal::SIGCONT).unwrap(), &lines);
    adds(run, "a file", || write(&at("d/a/g"), ""), &["d/a/ CREATE g", "d/a/ CLOSE_WRITE,CLOSE g"]);
    adds(run, "it leaves", || rename(&at("d"), &at("old")), &["d/ MOVE_SELF "]);
    adds(run, "and changes", || write(&at("old/a/h"), ""), &[]);
    adds(run, "linked", || symlink("t", at("d")).unwrap(), &["d/ CREATE,ISDIR "]);
    adds(run, "below", || write(&at("t/u/f"), "x"), &["d/u/ CLOSE_WRITE,CLOSE f"]);
}

#[test]
fn other_options_apply_to_followed_names() {
    let dir = tempdir();
    let conf = dir.path().join("conf");
    let arguments = ["-mq", "--follow-name", "--debounce", "0.2", "--batch-marker", "--json", "conf"];
    let mut run = Running::start(inotifywait(dir.path(), arguments));
    run.wait_asleep();
    write(&conf, "x");
    run.expect("a batch", |lines| lines.len() == 2 && lines[1] == "{\"batch\":1}");
    let line = &run.stdout.lines()[0];
    let fields = r#""path":"conf","watched":"conf","name":"","events":["MODIFY","CLOSE_WRITE","OPEN","CREATE","CLOSE"]"#;
    assert!(line.contains(fields), "{line}");
}

#[test]
fn trees_in_each_other_do_not_report_the_setup() {
    let dir = tempdir();
    fs::create_dir_all(dir.path().join("d/e/f")).unwrap();
    let arguments = ["-mq", "--follow-name", "-r", "d", "d/e", "."];
    let mut run = Running::start(inotifywait(dir.path(), arguments));
    run.wait_asleep();
    assert_eq!(run.stdout.lines(), [""; 0]);
    fs::remove_dir(dir.path().join("d/e/f")).unwrap();
    run.wait_asleep();
    let mut lines = run.stdout.lines();
    lines.retain(|line| line.contains(" DELETE,ISDIR f"));
    lines.sort();
    assert_eq!(lines, ["./d/e/ DELETE,ISDIR f", "d/e/ DELETE,ISDIR f", "d/e/ DELETE,ISDIR f"]);
}

#[test]
fn a_tree_is_new_with_the_directories_above() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    let run = &mut follow(dir.path(), "-r a/b/c");
    let lines = ["a/b/c/ CREATE,ISDIR ", "a/b/c/ CREATE,ISDIR d", "a/b/c/d/ CREATE,ISDIR e"];
    adds(run, "made", || fs::create_dir_all(at("a/b/c/d/e")).unwrap(), &lines);
    adds(run, "renamed", || fs::rename(at("a"), at("x")).unwrap(), &["a/b/c/ DELETE_SELF "]);
    adds(run, "back", || fs::rename(at("x"), at("a")).unwrap(), &["a/b/c/ CREATE,ISDIR "]);
    adds(run, "below", || fs::create_dir(at("a/b/c/d/f")).unwrap(), &["a/b/c/d/ CREATE,ISDIR f"]);
}

#[test]
fn a_tree_behind_a_link_is_not_new() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("t/u")).unwrap();
    let run = &mut follow(dir.path(), "-r d/l");
    run.signal(Signal::SIGSTOP);
    fs::create_dir(at("d")).unwrap();
    symlink("../t", at("d/l")).unwrap();
    let pid = run.pid();
    adds(run, "created", || kill(pid, Signal::SIGCONT).unwrap(), &["d/l/ CREATE,ISDIR "]);
}

/// Nobody can say what it was, but its events show it.
#[test]
fn a_file_that_was_there_for_a_moment_is_reported() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    write(&at("t"), "");
    symlink("t", at("conf")).unwrap();
    let run = &mut follow(dir.path(), "conf");
    run.signal(Signal::SIGSTOP);
    fs::remove_file(at("conf")).unwrap();
    write(&at("conf"), "");
    fs::remove_file(at("conf")).unwrap();
    let pid = run.pid();
    let lines = ["conf DELETE_SELF ", "conf CREATE ", "conf CLOSE_WRITE,CLOSE ", "conf DELETE_SELF "];
    adds(run, "for a moment", || kill(pid, Signal::SIGCONT).unwrap(), &lines);
}

#[test]
fn filters_apply_to_the_name_and_to_the_entries_of_a_directory() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    let run = &mut follow(dir.path(), "--ignore *.o --exclude x --type file d conf x");
    adds(run, "a directory", || fs::create_dir(at("d")).unwrap(), &[]);
    adds(run, "an ignored entry", || write(&at("d/a.o"), ""), &[]);
    adds(run, "an excluded entry", || write(&at("d/x"), ""), &[]);
    adds(run, "an entry", || write(&at("d/a.c"), ""), &["d/ CREATE a.c", "d/ CLOSE_WRITE,CLOSE a.c"]);
    adds(run, "an excluded name", || write(&at("x"), ""), &[]);
    adds(run, "a name", || write(&at("conf"), ""), &["conf CREATE ", "conf CLOSE_WRITE,CLOSE "]);
}

/// A directory of its own tells what git ignores in it, also where the name is that of a link, and after it was replaced.
#[test]
fn what_git_ignores_in_a_directory_is_not_reported() {
    let dir = tempdir();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("old/.git/info")).unwrap();
    fs::create_dir(at("new")).unwrap();
    write(&at("old/.git/info/exclude"), "a\n");
    write(&at("old/.gitignore"), "b\n");
    write(&at("new/.gitignore"), "c\n");
    symlink("old", at("link")).unwrap();
    let run = &mut follow(dir.path(), "--gitignore link");
    let touch = |directory: &str, names: [&str; 3]| {
        for name in names {
            write(&at(directory).join(name), "");
        }
    };
    let lines = |name: &str| [format!("link/ CREATE {name}"), format!("link/ CLOSE_WRITE,CLOSE {name}")];
    adds(run, "entries", || touch("old", ["a", "b", "c"]), &lines("c").each_ref().map(String::as_str));
    adds(run, "relinked", || relink("new", &at("link")), &["link/ CREATE,ISDIR "]);
    adds(run, "entries", || touch("new", ["c", "d", ".git"]), &lines("d").each_ref().map(String::as_str));
    adds(run, "edited", || write(&at("new/.gitignore"), "d\n"), &["link/ CLOSE_WRITE,CLOSE .gitignore"]);
    adds(run, "again", || write(&at("new/d"), ""), &[]);
    let lines = ["link/ CREATE e", "link/ CLOSE_WRITE,CLOSE e"];
    adds(run, "entries", || write(&at("new/e"), ""), &lines);
    adds(run, "gone", || fs::remove_file(at("link")).unwrap(), &["link/ DELETE_SELF "]);
}

#[test]
fn directories_in_each_other_do_not_report_that_git_s_files_are_read() {
    let dir = tempdir();
    fs::create_dir_all(dir.path().join("d/e")).unwrap();
    write(&dir.path().join("d/.gitignore"), "x\n");
    write(&dir.path().join("d/e/.gitignore"), "x\n");
    for recursive in ["-I", "-r"] {
        let arguments = ["-mq", "--follow-name", "--gitignore", recursive, "d", "d/e", "."];
        let mut run = Running::start(inotifywait(dir.path(), arguments));
        run.wait_asleep();
        assert_eq!(run.stdout.lines(), [""; 0], "{recursive}");
    }
}

#[test]
fn a_watch_that_ends_with_its_first_event_is_refused() {
    let message = "-e oneshot and --follow-name cannot both be specified.\n";
    for line in ["-e oneshot --follow-name p", "--follow-name -m -e create -e modify,oneshot -r p"] {
        refuses("inotifywait", line, message);
    }
}

#[test]
fn fanotify_and_other_ways_to_watch_are_refused() {
    for option in ["-F", "-S", "-M"] {
        let message = format!("{option} and --follow-name cannot both be specified.\n");
        refuses("inotifywait", &format!("{option} --follow-name p"), &message);
    }
    let dir = tempdir();
    let name = dir.path().join("fsnotifywait");
    symlink(crate::common::binary("inotifywait"), &name).unwrap();
    let start =
        |words: &[&str]| Running::start(crate::common::command(dir.path(), name.to_str().unwrap(), words));
    start(&["--follow-name", "p"])
        .finish()
        .code(1)
        .printed("")
        .said("--follow-name cannot be specified without -I.\n");
    start(&["--follow-name", "-qIt", "0.01", "p"]).finish().code(2).printed("").said("");
}
