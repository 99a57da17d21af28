//! What it does besides and for ever: nothing of its own is printed, nothing is held up, nothing is left behind.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::common::{Running, fast_tempdir, inotifywait, inotifywatch};
use crate::{quiet, watch, watches};

#[test]
fn watches_do_not_leak() {
    let dir = fast_tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut running = watch(dir.path(), "moved_to,create", &["--include", "the-end"]);
    for round in 0..20 {
        // So many at a time as the kernel's queue holds.
        for number in 0..1000 {
            let path = dir.path().join(format!("d/{round}-{number}"));
            fs::create_dir(&path).unwrap();
            fs::remove_dir(path).unwrap();
        }
        fs::write(dir.path().join(format!("d/the-end-of-{round}")), "").unwrap();
        running.expect_line(&format!("d/the-end-of-{round}"));
    }
    quiet(&mut running, dir.path());
    assert_eq!(watches(&running), 2);
}

#[test]
fn its_own_walking_prints_nothing_and_that_of_others_does() {
    let dir = fast_tempdir();
    for number in 0..50 {
        fs::create_dir_all(dir.path().join(format!("d/{number}/sub"))).unwrap();
    }
    let events = ["-m", "-r", "-e", "open,access,close,create", "--format", "%w%f %e", "d"];
    let mut running = Running::ready(inotifywait(dir.path(), events));
    fs::create_dir_all(dir.path().join("d/new/sub")).unwrap();
    running.expect_line("d/new/sub CREATE,ISDIR");
    running.wait_asleep();
    assert_eq!(running.stdout.lines(), ["d/new CREATE,ISDIR", "d/new/sub CREATE,ISDIR"]);
    assert_eq!(fs::read_dir(dir.path().join("d/new")).unwrap().count(), 1);
    running.expect_line("d/new/ CLOSE_NOWRITE,CLOSE,ISDIR");
    running.expect_line("d/new ACCESS,ISDIR");
    assert_eq!(fs::read_dir(dir.path().join("d/7")).unwrap().count(), 1);
    running.expect_line("d/7/ OPEN,ISDIR");
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
