//! Overflows of the kernel's queue, for real: the watcher is stopped while more happens than it holds.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use inotify_tools::internals::times::{Moment, Times};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::common::{
    BOUND, Running, binary, command, exchange, fast_tempdir, flood, inotifywait, inotifywatch, queue_limit,
};
use crate::paths;

/// What happens in the tree `d` while nobody hears of it: directories come, are renamed and leave. Some of them
/// have changed places by `round`.
fn change_unheard(dir: &Path, round: usize) {
    let at = |path: &str| dir.join("d").join(path);
    fs::rename(at(&format!("stays-{round}")), at(&format!("stays-{}", round + 1))).unwrap();
    fs::rename(at("goes"), dir.join(format!("gone-{round}"))).unwrap();
    fs::create_dir_all(at("goes/below")).unwrap();
    fs::remove_dir_all(at("deleted")).unwrap();
    fs::create_dir_all(at("deleted/again")).unwrap();
    exchange(&at("x"), &at("y")).unwrap();
    for number in 0..50 {
        fs::create_dir_all(at(&format!("new-{round}-{number}/below"))).unwrap();
    }
}

/// Lets the queue overflow by what happens in a directory, and something else happen of which the events are dropped.
fn unheard(running: &Running, busy: &Path, happen: impl FnOnce()) {
    running.signal(Signal::SIGSTOP);
    flood(busy);
    happen();
    running.signal(Signal::SIGCONT);
}

fn make_tree(dir: &Path) {
    for name in ["stays-0/below", "goes/below", "deleted/below/it", "x/in-x", "y/in-y/below"] {
        fs::create_dir_all(dir.join("d").join(name)).unwrap();
    }
}

/// `d` and every directory below it.
fn directories(dir: &Path) -> Vec<String> {
    let below = paths(dir).into_iter().filter(|path| dir.join(path).is_dir());
    ["d".to_owned()].into_iter().chain(below).collect()
}

#[test]
fn after_each_overflow_the_tree_is_whole() {
    let dir = fast_tempdir();
    make_tree(dir.path());
    // Also with -q, where the arrival of a probe tells that the watches stand.
    let arguments = ["-q", "-m", "-r", "-e", "create,q_overflow", "--format", "%w%f%e", "d"];
    let mut running = Running::start(inotifywait(dir.path(), arguments));
    running.wait("a probe", |running| {
        let _ = fs::write(dir.path().join("d/probe"), "");
        let _ = fs::remove_file(dir.path().join("d/probe"));
        running.stdout.lines().iter().any(|line| line == "d/probeCREATE")
    });
    for round in 0..2 {
        running.signal(Signal::SIGSTOP);
        flood(&dir.path().join("d"));
        change_unheard(dir.path(), round);
        running.signal(Signal::SIGCONT);
        running.expect("the event", |lines| {
            lines.iter().filter(|line| *line == "Q_OVERFLOW").count() == round + 1
        });
        running.wait_asleep();
        let directories = directories(dir.path());
        assert_eq!(running.watches(), directories.len());
        // It left, and is silent.
        fs::write(dir.path().join(format!("gone-{round}/below/probe-{round}")), "").unwrap();
        let mut wanted = Vec::new();
        for directory in directories {
            let path = format!("{directory}/probe-{round}");
            fs::write(dir.path().join(&path), "").unwrap();
            wanted.push(format!("{path}CREATE"));
        }
        running.expect_line(wanted.last().unwrap());
        let mut probes = running.stdout.lines();
        probes.retain(|line| line.ends_with(&format!("probe-{round}CREATE")));
        assert_eq!(probes, wanted);
    }
    let end = running.stop();
    let said = String::from_utf8_lossy(&end.stderr);
    end.check("two words", said.matches("Events were lost").count() == 2);
    let limit =
        format!("sysctl -w fs.inotify.max_queued_events={}\n", (queue_limit() + 1).next_power_of_two());
    end.check("what to raise, and no more", said.lines().count() == 6 && said.matches(&limit).count() == 2);
}

/// Has the watcher lose events, some of directories among them, and recover.
fn overflow(running: &mut Running, dir: &Path) {
    running.signal(Signal::SIGSTOP);
    flood(&dir.join("d"));
    change_unheard(dir, 0);
    running.signal(Signal::SIGCONT);
    running.expect_message("Events were lost");
    running.wait_asleep();
}

#[test]
fn after_an_overflow_inotifywatch_counts_the_whole_tree() {
    let dir = fast_tempdir();
    make_tree(dir.path());
    let mut running = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "attrib", "d"]));
    overflow(&mut running, dir.path());
    let directories = directories(dir.path());
    assert_eq!(running.watches(), directories.len());
    for directory in &directories {
        fs::write(dir.path().join(directory).join("probe"), "").unwrap();
        let permissions = fs::Permissions::from_mode(0o600);
        fs::set_permissions(dir.path().join(directory).join("probe"), permissions).unwrap();
    }
    running.wait_asleep();
    running.signal(Signal::SIGINT);
    let end = running.finish();
    end.code(0)
        .check("one word", String::from_utf8_lossy(&end.stderr).matches("Events were lost").count() == 1);
    let rows: Vec<String> = end.lines().split_off(1);
    let mut counted: Vec<&str> = rows.iter().filter_map(|row| row.split_whitespace().last()).collect();
    counted.sort();
    let mut wanted: Vec<String> = directories.iter().map(|directory| format!("{directory}/")).collect();
    wanted.sort();
    end.check(&format!("a row each for {wanted:?}"), counted == wanted);
    // A directory that comes, goes or is renamed changes the date of the one that it is in, and no more.
    end.check("of one event", rows.iter().all(|row| row.starts_with("1 ")));
}

/// Its walk reads every directory, which is no news; what others read later is.
#[test]
fn recovery_prints_nothing_of_its_own() {
    let dir = fast_tempdir();
    make_tree(dir.path());
    let arguments = ["-m", "-r", "-e", "open,access,close_nowrite", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    overflow(&mut running, dir.path());
    fs::File::open(dir.path().join("d/goes")).unwrap();
    running.expect_line("d/goes/ CLOSE_NOWRITE,CLOSE,ISDIR");
    // Those of the flood's files are not its own.
    let own = |line: &&String| line.contains("ISDIR") && !line.starts_with("d/goes");
    let lines = running.stdout.lines();
    assert!(!lines.iter().any(|line| own(&line)), "{:?}", lines.iter().find(own));
    assert_eq!(fs::read_dir(dir.path().join("d/new-0-7/below")).unwrap().count(), 0);
    running.expect_line("d/new-0-7/below/ CLOSE_NOWRITE,CLOSE,ISDIR");
    running.expect_line("d/new-0-7/below OPEN,ISDIR");
}

/// What is reported, without the events on directories of which `-e` cannot be silent.
fn reported(running: &Running, event: &str) -> Vec<String> {
    let mut lines = running.stdout.lines();
    lines.retain(|line| {
        line.split(' ').nth(1).is_some_and(|names| names.split(',').any(|name| name == event))
    });
    lines
}

/// More files are made than the queue holds, in a tree and in a single directory. Each has one line of each kind that it
/// should have, and so has all else that happened after the queue was full.
#[test]
fn every_file_that_is_made_during_an_overflow_is_reported_once() {
    let files = queue_limit() / 2;
    for recursive in [true, false] {
        let dir = fast_tempdir();
        let at = |path: &str| dir.path().join("d").join(path);
        fs::create_dir_all(at("gone/below")).unwrap();
        fs::create_dir_all(at("old/sub")).unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        for name in ["appended", "attributes", "untouched", "old/sub/appended"] {
            fs::write(at(name), "text").unwrap();
        }
        wait_for_the_next_tick(&at("old/sub/appended"));
        let events = "create,modify,attrib,close_write,delete,move";
        let arguments = ["-m", "-e", events, "--format", "%w%f %e", "d", if recursive { "-r" } else { "-q" }];
        let mut running = Running::start(inotifywait(dir.path(), arguments));
        running.wait("a probe", |running| {
            let _ = fs::write(at("probe"), "");
            let _ = fs::remove_file(at("probe"));
            running.stdout.lines().iter().any(|line| line == "d/probe CREATE")
        });
        running.wait_asleep();
        let before = running.stdout.lines().len();
        running.signal(Signal::SIGSTOP);
        for number in 0..files {
            fs::write(at(&format!("f{number}")), "text").unwrap();
        }
        fs::create_dir_all(at("new/below")).unwrap();
        fs::write(at("new/below/empty"), "").unwrap();
        for name in ["appended", "old/sub/appended"] {
            let mut file = fs::File::options().append(true).open(at(name)).unwrap();
            std::io::Write::write_all(&mut file, b"more").unwrap();
        }
        fs::set_permissions(at("attributes"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_dir_all(at("gone")).unwrap();
        fs::rename(at("old"), at("renamed")).unwrap();
        fs::write(at("f0"), "more").unwrap();
        running.signal(Signal::SIGCONT);
        running.expect_message("Deleted files");
        running.wait_asleep();
        fs::write(at("last"), "").unwrap();
        running.expect_line("d/last CLOSE_WRITE,CLOSE");
        for event in ["CREATE", "MODIFY", "CLOSE_WRITE"] {
            let mut lines = reported(&running, event);
            lines.retain(|line| line.starts_with("d/f"));
            let count = lines.len();
            lines.sort();
            lines.dedup();
            assert_eq!((lines.len(), count), (files, files), "{event} of each file, once");
        }
        let mut rest = running.stdout.lines().split_off(before);
        rest.retain(|line| !line.starts_with("d/f"));
        let wanted: &[&str] = match recursive {
            true => &[
                "d/old MOVED_FROM,ISDIR",
                "d/renamed MOVED_TO,ISDIR",
                "d/gone/below DELETE,ISDIR",
                "d/gone DELETE,ISDIR",
                "d/appended MODIFY",
                "d/appended CLOSE_WRITE,CLOSE",
                "d/attributes ATTRIB",
                "d/new CREATE,ISDIR",
                "d/new/below CREATE,ISDIR",
                "d/new/below/empty CREATE",
                "d/new/below/empty CLOSE_WRITE,CLOSE",
                "d/renamed/sub/appended MODIFY",
                "d/renamed/sub/appended CLOSE_WRITE,CLOSE",
                "d/last CREATE",
                "d/last CLOSE_WRITE,CLOSE",
            ],
            false => &[
                "d/appended MODIFY",
                "d/appended CLOSE_WRITE,CLOSE",
                "d/attributes ATTRIB",
                "d/new CREATE,ISDIR",
                "d/renamed ATTRIB,ISDIR",
                "d/last CREATE",
                "d/last CLOSE_WRITE,CLOSE",
            ],
        };
        // In which order a directory lists its entries is its own affair.
        assert_eq!(rest[..2] == wanted[..2], recursive, "{rest:#?}");
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(rest), sorted(wanted.iter().map(|line| line.to_string()).collect()));
    }
}

/// Returns when the clock's next tick has come after the date of a file. What was changed within the tick in which it is watched
/// cannot be told from what was changed after.
fn wait_for_the_next_tick(path: &Path) {
    let changed = Times::of(fs::File::open(path).unwrap()).unwrap().changed;
    let begun = Instant::now();
    while Moment::now() <= changed {
        assert!(begun.elapsed() < BOUND, "the clock stands still");
        thread::yield_now();
    }
}

/// All older than any watch that is added now.
fn two_files_and_a_directory() -> TempDir {
    let dir = fast_tempdir();
    fs::write(dir.path().join("f"), "").unwrap();
    fs::write(dir.path().join("untouched"), "").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    wait_for_the_next_tick(&dir.path().join("untouched"));
    dir
}

/// `f` of the two files, and once.
fn only_one_file_is_reported(running: &mut Running) {
    running.expect_line("f MODIFY");
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| !line.starts_with("d/"));
    assert_eq!(lines, ["f MODIFY"]);
}

/// The files of operands that are no directories.
#[test]
fn a_file_that_is_changed_during_an_overflow_is_reported() {
    let dir = two_files_and_a_directory();
    let arguments = ["-m", "-e", "create,delete,modify", "--format", "%w%f %e", "untouched", "f", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    unheard(&running, &dir.path().join("d"), || fs::write(dir.path().join("f"), "text").unwrap());
    only_one_file_is_reported(&mut running);
}

/// The message comes before the comparison begins: some of these are renamed before they are met, some just then, some later.
#[test]
fn directories_that_are_renamed_while_the_tree_is_compared_keep_their_watches() {
    let dir = fast_tempdir();
    let at = |path: String| dir.path().join("d").join(path);
    for number in 0..1000 {
        fs::create_dir_all(at(format!("other/{number}/below"))).unwrap();
    }
    let numbers = 0..200;
    for number in numbers.clone() {
        fs::create_dir_all(at(format!("old-{number}/below/it"))).unwrap();
    }
    let arguments = ["-m", "-r", "-e", "create,delete,move", "--format", "%w%f %e", "d"];
    let mut running = Running::start(inotifywait(dir.path(), arguments));
    running.expect_message("Watches established.");
    unheard(&running, &dir.path().join("d"), || {});
    running.expect_message("Deleted files");
    for number in numbers.clone() {
        fs::rename(at(format!("old-{number}")), at(format!("new-{number}"))).unwrap();
        fs::write(at(format!("new-{number}/below/it/file")), "").unwrap();
    }
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| !line.starts_with("d/f"));
    for number in numbers {
        let file = format!("d/new-{number}/below/it/file CREATE");
        assert_eq!(lines.iter().filter(|line| **line == file).count(), 1, "{file} in {lines:#?}");
    }
    let deleted: Vec<_> = lines.iter().filter(|line| line.ends_with("DELETE,ISDIR")).collect();
    assert!(deleted.is_empty(), "{deleted:#?}");
    running.stop();
}

/// It is watched where it is now, and reported by the path that was given. Nobody can look there.
#[test]
fn an_operand_that_was_renamed_keeps_what_is_below_it_in_an_overflow() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/sub/below")).unwrap();
    let arguments = ["-m", "-r", "-e", "create,delete", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    running.signal(Signal::SIGSTOP);
    fs::rename(dir.path().join("d"), dir.path().join("e")).unwrap();
    flood(&dir.path().join("e/sub"));
    running.signal(Signal::SIGCONT);
    running.expect_message("Deleted files");
    running.wait_asleep();
    fs::write(dir.path().join("e/sub/below/file"), "").unwrap();
    running.expect_line("d/sub/below/file CREATE");
    let lines = running.stdout.lines();
    assert!(!lines.iter().any(|line| line.ends_with("ISDIR")), "{lines:#?}");
    running.stop();
}

/// The first of two renames is dropped, and the second comes while the tree is compared.
#[test]
fn a_directory_that_is_renamed_again_after_an_overflow_has_its_new_path() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join("d").join(path);
    for number in 0..3000 {
        fs::create_dir_all(at(&format!("other/{number}"))).unwrap();
    }
    fs::create_dir_all(at("old/below")).unwrap();
    let arguments = ["-m", "-r", "-e", "create,delete,move", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    unheard(&running, &at(""), || fs::rename(at("old"), at("unheard")).unwrap());
    running.expect_message("Deleted files");
    fs::rename(at("unheard"), at("new")).unwrap();
    for path in ["new/file", "new/below/file"] {
        fs::write(at(path), "").unwrap();
    }
    running.expect_line("d/new/below/file CREATE");
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| line.contains("file CREATE"));
    assert_eq!(lines, ["d/new/file CREATE", "d/new/below/file CREATE"]);
    running.stop();
}

/// By the dates of either nobody could tell: some were made just before the start, and one is old and has come since.
#[test]
fn after_an_overflow_the_directories_are_reported_that_were_not_known() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("outside/old/below")).unwrap();
    wait_for_the_next_tick(&dir.path().join("outside/old/below"));
    fs::create_dir_all(dir.path().join("d/known/below")).unwrap();
    let mut running = Running::ready(inotifywait(
        dir.path(),
        ["-m", "-r", "-e", "create,delete", "--format", "%w%f %e", "d"],
    ));
    unheard(&running, &dir.path().join("d"), || {
        fs::rename(dir.path().join("outside/old"), dir.path().join("d/known/old")).unwrap();
    });
    running.expect_line("d/known/old CREATE,ISDIR");
    fs::write(dir.path().join("d/known/old/below/file"), "").unwrap();
    running.expect_line("d/known/old/below/file CREATE");
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| line.starts_with("d/known"));
    assert_eq!(lines, ["d/known/old CREATE,ISDIR", "d/known/old/below/file CREATE"]);
    running.stop();
}

/// Nothing has been read before it: the program waits until somebody takes what `--ready` writes.
#[test]
fn an_overflow_before_the_first_read_reports_what_has_changed_since_the_start() {
    let dir = two_files_and_a_directory();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let script = "exec 3<>fifo; head -c 65536 /dev/zero >&3; exec \"$@\"";
    let program = binary("inotifywait");
    let arguments =
        ["-m", "--ready", "3", "-e", "create,delete,modify", "--format", "%w%f %e", "untouched", "f", "d"];
    let begin = ["-c", script, "bash", program];
    let mut running = Running::ready(command(dir.path(), "bash", begin.into_iter().chain(arguments)));
    flood(&dir.path().join("d"));
    fs::write(dir.path().join("f"), "text").unwrap();
    fs::File::open(&fifo).unwrap().read_exact(&mut [0; 65536]).unwrap();
    only_one_file_is_reported(&mut running);
}

#[test]
fn an_overflow_ends_a_one_shot_with_a_message() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    for (events, code, line) in [("delete,q_overflow", 0, " Q_OVERFLOW \n"), ("delete", 1, "")] {
        // Recursive, so that creations are queued though they were not asked for.
        let running = Running::ready(inotifywait(dir.path(), ["-r", "-e", events, "d"]));
        running.signal(Signal::SIGSTOP);
        for number in 0..=queue_limit() {
            fs::write(dir.path().join(format!("d/{events}-{number}")), "").unwrap();
        }
        running.signal(Signal::SIGCONT);
        let end = running.finish();
        end.code(code).printed(line);
        let said = String::from_utf8_lossy(&end.stderr);
        end.check("a word", said.matches("Events were lost").count() == 1);
    }
}

/// The MOVED_FROM is the last event that the queue holds.
#[test]
fn both_events_of_a_rename_have_the_same_cookie_if_one_was_dropped() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join("d").join(path);
    fs::create_dir_all(at("a")).unwrap();
    let arguments = ["-m", "-r", "-e", "create,move", "--format", "%c %e %w%f", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    running.signal(Signal::SIGSTOP);
    for number in 1..queue_limit() {
        fs::write(at(&format!("f{number}")), "").unwrap();
    }
    fs::rename(at("a"), at("b")).unwrap();
    running.signal(Signal::SIGCONT);
    running.expect("the end of the rename", |lines| {
        lines.iter().any(|line| line.ends_with(" MOVED_TO,ISDIR d/b"))
    });
    let lines = running.stdout.lines();
    let cookie = |end: &str| {
        let line = lines.iter().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("{end}"));
        line.split(' ').next().unwrap().to_string()
    };
    assert_eq!(cookie(" MOVED_FROM,ISDIR d/a"), cookie(" MOVED_TO,ISDIR d/b"));
}

/// Before the overflow in one case, and in it in the others: what is reported last is what is there.
#[test]
fn directories_that_are_made_again_or_filled_around_an_overflow_are_there() {
    let dir = fast_tempdir();
    let at = |path: &str| dir.path().join(path);
    for path in ["d/again", "d/busy", "d/moves/below", "out/comes"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    fs::write(at("out/old"), "").unwrap();
    wait_for_the_next_tick(&at("out/old"));
    let arguments = ["-m", "-r", "-e", "create,delete,move", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    running.wait_asleep();
    running.signal(Signal::SIGSTOP);
    fs::remove_dir(at("d/again")).unwrap();
    fs::create_dir(at("d/again")).unwrap();
    flood(&at("d/busy"));
    fs::create_dir(at("d/new")).unwrap();
    fs::rename(at("out/comes"), at("d/new/comes")).unwrap();
    fs::rename(at("out/old"), at("d/new/old")).unwrap();
    fs::rename(at("d/moves"), at("d/new/moves")).unwrap();
    running.signal(Signal::SIGCONT);
    running.expect_line("d/new/moves MOVED_TO,ISDIR");
    running.wait_asleep();
    let mut lines = running.stdout.lines();
    lines.retain(|line| !line.starts_with("d/busy/"));
    let first =
        ["d/again DELETE,ISDIR", "d/again CREATE,ISDIR", "d/moves MOVED_FROM,ISDIR", "d/new CREATE,ISDIR"];
    // The others are in the order of the directory.
    let mut last = lines.split_off(first.len().min(lines.len()));
    last.sort_unstable();
    let wanted = ["d/new/comes CREATE,ISDIR", "d/new/moves MOVED_TO,ISDIR", "d/new/old CREATE"];
    if (&lines[..], &last[..]) != (&first.map(String::from)[..], &wanted.map(String::from)[..]) {
        running.fail(&format!("wanted:\n{first:?}\n{wanted:?}\ngot:\n{lines:?}\n{last:?}"));
    }
}
