//! What it does besides and for ever: nothing of its own is printed, nothing is held up, nothing is left behind.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::common::{Running, fast_tempdir, inotifywait, inotifywatch, need, wrapped};

/// Directories by the thousand come, are renamed or moved out, and go; in the end there is no more of them than in
/// the beginning. `LEAK_DIRECTORIES` asks for more than the usual number, a million say.
#[test]
fn deleted_directories_leave_nothing() {
    /// So many at a time that their events fit in the kernel's queue.
    const AT_ONCE: usize = 1000;
    let asked = std::env::var("LEAK_DIRECTORIES").ok().and_then(|number| number.parse::<usize>().ok());
    let rounds = asked.unwrap_or(16_000) / AT_ONCE;
    let dir = fast_tempdir();
    for name in ["d", "out"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let started = ["-m", "-r", "-e", "create", "--format", "%f", "d"];
    let mut all = [
        inotifywait(dir.path(), started.iter().chain(&["--include", "nothing"])),
        // They are not watched at all.
        inotifywait(dir.path(), started.iter().chain(&["--exclude", "/x[^/]*/"])),
        inotifywatch(dir.path(), ["-r", "-e", "modify", "d"]),
    ]
    .map(Running::ready);
    let mut first = None;
    for round in 0..rounds {
        // Some that are watched for certain.
        let stay = dir.path().join("d/y");
        (0..AT_ONCE / 4).for_each(|number| fs::create_dir_all(stay.join(number.to_string())).unwrap());
        all.iter_mut().for_each(Running::wait_asleep);
        fs::remove_dir_all(stay).unwrap();
        for number in 0..AT_ONCE {
            let at = |name: &str| dir.path().join(format!("{name}{round}-{number}"));
            match number % 4 {
                // Perhaps watched in the meantime, perhaps not.
                0 => {
                    fs::create_dir(at("d/x")).unwrap();
                    fs::remove_dir(at("d/x")).unwrap();
                }
                1 => {
                    fs::create_dir_all(at("d/x").join("below")).unwrap();
                    fs::remove_dir_all(at("d/x")).unwrap();
                }
                2 => {
                    fs::create_dir(at("d/x")).unwrap();
                    fs::rename(at("d/x"), at("d/x-renamed")).unwrap();
                    fs::remove_dir(at("d/x-renamed")).unwrap();
                }
                _ => {
                    fs::create_dir(at("d/x")).unwrap();
                    fs::rename(at("d/x"), at("out/")).unwrap();
                    fs::remove_dir(at("out/")).unwrap();
                }
            }
        }
        all.iter_mut().for_each(Running::wait_asleep);
        let now = all.each_ref().map(|running| (running.memory("RssAnon:"), running.watches()));
        // What the first rounds took is kept for the next.
        if round == 2 {
            first = Some(now);
        }
        for ((memory, _), (now, watches)) in first.into_iter().flatten().zip(now) {
            assert!(now < memory + (1 << 10), "after {round} rounds {now} KiB, in the beginning {memory}");
            assert_eq!(watches, 1);
        }
    }
    for running in all {
        let end = running.stop();
        let said = String::from_utf8_lossy(&end.stderr);
        end.check("no loss and no error", !said.contains("lost") && !said.contains("Couldn't"));
    }
}

/// Nothing in them is reported, so they need no watch.
#[test]
fn excluded_directories_that_are_renamed_leave_nothing() {
    const ROUNDS: usize = 60_000;
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let arguments = ["-m", "-r", "-e", "delete_self", "--exclude", "tmp", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), arguments));
    let mut first = 0;
    for round in 0..ROUNDS {
        let old = dir.path().join(format!("d/tmp-{round}"));
        fs::create_dir(&old).unwrap();
        fs::rename(old, dir.path().join("d/new")).unwrap();
        fs::remove_dir(dir.path().join("d/new")).unwrap();
        if round % 1000 == 0 {
            running.wait_asleep();
        }
        if round == ROUNDS / 3 {
            first = running.memory("RssAnon:");
        }
    }
    running.wait_asleep();
    let now = running.memory("RssAnon:");
    assert!(now < first + (1 << 10), "after {ROUNDS} rounds {now} KiB, before {first}");
}

/// The lines of a directory that appears and is read.
fn read_once(path: &str, first: &str) -> Vec<String> {
    [first, "OPEN", "ACCESS", "CLOSE_NOWRITE,CLOSE"].map(|event| format!("{path} {event},ISDIR")).into()
}

/// What the setup reads is not reported. What is read of a new directory is, once each and on its parent.
#[test]
fn the_reading_of_a_new_directory_is_reported_once() {
    let dir = fast_tempdir();
    for number in 0..50 {
        fs::create_dir_all(dir.path().join(format!("d/{number}/sub"))).unwrap();
    }
    let events = ["-m", "-r", "-e", "open,access,close,create", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), events));
    fs::create_dir_all(dir.path().join("d/new/sub")).unwrap();
    running.expect_line("d/new/sub CREATE,ISDIR");
    running.wait_asleep();
    assert_eq!(
        running.stdout.lines(),
        [read_once("d/new", "CREATE"), read_once("d/new/sub", "CREATE")].concat()
    );
    // Of a directory that is moved in, only the reading of itself is reported, as by the reference.
    fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
    fs::rename(dir.path().join("outside"), dir.path().join("d/in")).unwrap();
    running.wait_asleep();
    assert_eq!(running.watches(), 1 + 100 + 2 + 2);
    assert_eq!(running.stdout.lines().len(), 2 * 4 + 3);
    assert_eq!(fs::read_dir(dir.path().join("d/in/sub")).unwrap().count(), 0);
    running.expect_line("d/in/sub/ CLOSE_NOWRITE,CLOSE,ISDIR");
    assert_eq!(fs::read_dir(dir.path().join("d/new")).unwrap().count(), 1);
    running.expect_line("d/new/ CLOSE_NOWRITE,CLOSE,ISDIR");
    running.expect_line("d/new ACCESS,ISDIR");
    assert_eq!(fs::read_dir(dir.path().join("d/7")).unwrap().count(), 1);
    running.expect_line("d/7/ OPEN,ISDIR");
}

/// While it reads what is new, every look of another at what is old is told.
#[test]
fn reads_of_other_processes_are_reported() {
    const LOOKS: usize = 2000;
    const NEW: usize = 300;
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/old")).unwrap();
    let events = ["-m", "-r", "-e", "open,access,close_nowrite,create", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), events));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..NEW {
                fs::create_dir_all(dir.path().join(format!("d/{number}/sub"))).unwrap();
            }
        });
        for _ in 0..LOOKS {
            assert_eq!(fs::read_dir(dir.path().join("d/old")).unwrap().count(), 0);
        }
    });
    fs::create_dir(dir.path().join("d/the-end")).unwrap();
    running.expect_line("d/the-end CREATE,ISDIR");
    running.wait_asleep();
    let end = running.stop();
    let lines = end.lines();
    let told = |wanted: &str| lines.iter().filter(|line| *line == wanted).count();
    let looked =
        [told("d/old OPEN,ISDIR"), told("d/old/ OPEN,ISDIR"), told("d/old/ CLOSE_NOWRITE,CLOSE,ISDIR")];
    end.check(&format!("every look, not {looked:?}"), looked == [LOOKS; 3]);
    let others = lines.iter().filter(|line| !line.starts_with("d/old"));
    end.check("of new directories their creation and one reading", others.count() == 4 * (2 * NEW + 1));
}

#[test]
fn inotifywatch_counts_the_reading_of_a_new_directory_once() {
    let dir = fast_tempdir();
    fs::create_dir_all(dir.path().join("d/old/sub")).unwrap();
    let events = ["-r", "-e", "open,access,close_nowrite", "d"];
    let mut running = Running::ready(inotifywatch(dir.path(), events));
    fs::create_dir_all(dir.path().join("d/new/sub")).unwrap();
    running.wait_asleep();
    assert_eq!(running.watches(), 5);
    running.signal(Signal::SIGINT);
    let end = running.finish();
    end.code(0).printed(
        "total  access  close_nowrite  open  filename\n3      1       1              1     d/\n\
         3      1       1              1     d/new/\n",
    );
}

/// While directories come and go without a pause, everything else has its turn.
#[test]
fn steady_change_holds_up_nothing() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let path = dir.path().join(format!("d/{number}"));
                fs::create_dir(&path).unwrap();
                fs::remove_dir(path).unwrap();
            }
        });
        // However the test ends, the thread does.
        let _over = Over(&over);
        let mut printing = Running::ready(inotifywait(dir.path(), ["-m", "-r", "-e", "create", "d"]));
        printing.expect("a line", |lines| !lines.is_empty());
        // With -m an overflow, which may happen here, is no end.
        let timed = ["-m", "-r", "-qq", "-t", "0.2", "-e", "attrib", "d"];
        Running::start(inotifywait(dir.path(), timed)).finish().code(2);
        let counting = Running::ready(inotifywatch(dir.path(), ["-r", "d"]));
        counting.signal(Signal::SIGINT);
        counting.finish().code(0);
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one turn reads is bounded: here each read(2) takes so long that there is more to read than one holds, again and again.
#[test]
fn busy_writers_do_not_delay_the_timeout() {
    const SLOWED: &str = "exec strace -o /dev/null -e trace=read -e inject=read:delay_enter=50000 \"$@\"";
    if !need("strace") {
        return;
    }
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    for (tool, arguments, code) in [
        ("inotifywait", &["-m", "-t", "0.5", "--exclude", "/[0-9]", "d"][..], 2),
        ("inotifywait", &["-m", "-r", "-t", "0.5", "-e", "unmount", "d"], 2),
        ("inotifywatch", &["-t", "0.5", "--exclude", "/[0-9]", "d"], 0),
    ] {
        let running = Running::ready(wrapped(dir.path(), SLOWED, tool, arguments));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..2 {
                let (over, at) = (&over, dir.path().join("d"));
                scope.spawn(move || {
                    for number in (0..50).cycle() {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let path = at.join(format!("{writer}-{number}"));
                        fs::write(&path, "").unwrap();
                        fs::remove_file(path).unwrap();
                    }
                });
            }
            let _over = Over(&over);
            running.finish().code(code).printed("");
        });
    }
}
