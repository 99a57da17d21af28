//! `--interval` and `--top`: in a pipe, and in place on a terminal.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use inotify_tools::internals::unread::unread;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;
use tempfile::TempDir;

use crate::common::{
    Collected, Running, binary, bounded, create_files, fast_tempdir, flood, inotifywatch, need, pipe, run,
    tempdir, terminal, wait_until,
};
use crate::records::{holds_to_the_schema, jq};

/// A table without events.
const NOTHING: &str = "total  filename\n\n";

#[test]
fn in_a_pipe_each_interval_is_a_table_and_at_the_end_comes_the_usual_one() {
    let dir = tempdir();
    let mut run = Running::ready(inotifywatch(dir.path(), ["--interval", "0.05", "-e", "create", "."]));
    let text = |run: &Running| String::from_utf8(run.stdout.bytes()).unwrap();
    for round in 0..3 {
        create_files(dir.path(), "f", 2 * round..2 * round + 2);
        let counted = |run: &Running| text(run).matches("create  filename").count() > round;
        run.wait("a table with it", |run| counted(run));
        let length = text(&run).len();
        run.wait("a table of nothing", |run| text(run)[length..].contains(NOTHING));
    }
    let end = run.stop();
    end.code(0);
    let text = String::from_utf8(end.stdout.clone()).unwrap();
    let (tables, last) = text.rsplit_once("\n\n").unwrap();
    end.check("the usual table", last == "total  create  filename\n6      6       ./\n");
    let row = Regex::new(r"^(\d+) +(\d+) +\./$").unwrap();
    let mut sum = 0;
    for table in tables.split("\n\n") {
        let lines: Vec<&str> = table.lines().collect();
        match lines[..] {
            ["total  filename"] => {}
            ["total  create  filename", counts] => {
                let counts = row.captures(counts).unwrap();
                end.check("total", counts[1] == counts[2]);
                sum += counts[1].parse::<usize>().unwrap();
            }
            _ => panic!("{table:?}"),
        }
    }
    end.check("each event once", sum == 6);
}

#[test]
fn json_has_rows_with_the_time_that_they_cover() {
    if !need("jq") {
        return;
    }
    let dir = tempdir();
    let mut run =
        Running::ready(inotifywatch(dir.path(), ["--json", "--interval", "0.05", "-e", "create", "."]));
    create_files(dir.path(), "f", 0..1);
    run.expect("a row", |lines| lines.len() == 1);
    create_files(dir.path(), "f", 1..3);
    let total =
        |line: &String| line.split_once("\"total\":").unwrap().1.split(',').next().unwrap().parse::<u64>();
    run.expect("the next", |lines| lines.iter().map(|line| total(line).unwrap()).sum::<u64>() == 3);
    let end = run.stop();
    end.code(0);
    holds_to_the_schema(&end.stdout, "man/inotifywatch.1", "JSON");
    let sums = jq(&["-sc", "[(.[:-1] | map(.total) | add), .[-1].total]"], &end.stdout);
    end.check("the rows add up to the last one", sums == b"[3,3]\n");
    // An interval that was printed late is followed by a shorter one. Those without events have no rows.
    let times = "all(.seconds > 0) and (.[:-1] | map(.seconds) | add) < .[-1].seconds + 0.00001";
    end.check("times", jq(&["-s", times], &end.stdout) == b"true\n");
}

#[test]
fn a_slow_reader_gets_tables_of_a_longer_time_and_a_second_signal_ends_it() {
    let dir = fast_tempdir();
    (0..1000).for_each(|number| fs::create_dir(dir.path().join(format!("d{number}"))).unwrap());
    let arguments = ["-r", "-z", "--interval", "0.02", "-e", "create", "."];
    let mut command = inotifywatch(dir.path(), arguments);
    let (reader, writer) = pipe();
    command.stdout(writer.try_clone().unwrap());
    let mut run = Running::ready(command);
    assert!(wait_until(|| unread(writer.as_fd()).unwrap() > 50_000), "the pipe is full");
    run.wait_asleep();
    drop(writer);
    // Counted while nothing can be written, in as many intervals as pass meanwhile.
    for number in 0..20 {
        create_files(dir.path(), "f", number..number + 1);
        run.wait_asleep();
    }
    run.signal(Signal::SIGTERM);
    run.wait_asleep();
    assert!(!run.has_ended());
    run.signal(Signal::SIGTERM);
    run.finish().killed_by(Signal::SIGTERM);
    let text = Collected::from(reader);
    assert!(wait_until(|| !text.is_open()));
    assert!(text.bytes().len() < 200_000, "{}", text.bytes().len());
}

#[test]
fn only_the_first_rows_are_printed() {
    let dir = tempdir();
    for (number, name) in ["a", "b", "c", "d"].iter().enumerate() {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("f"), "x".repeat(number)).unwrap();
    }
    let touch =
        |names: &[&str]| names.iter().for_each(|name| create_files(&dir.path().join(name), "g", 0..1));
    for (arguments, rows) in [
        (&["--top", "2"][..], "2      2       d/\n1      1       b/\n"),
        (&["--top=1", "--top=3", "-a", "total"], "1      1       b/\n1      1       c/\n2      2       d/\n"),
        (&["--top", "99999999999999999"], "2      2       d/\n1      1       b/\n1      1       c/\n"),
    ] {
        let fixed = ["-e", "delete", "a", "b", "c", "d"];
        let mut run = Running::ready(inotifywatch(dir.path(), arguments.iter().chain(&fixed)));
        touch(&["b", "c", "d"]);
        create_files(&dir.path().join("d"), "h", 0..1);
        for gone in ["b/g0", "c/g0", "d/g0", "d/h0"] {
            fs::remove_file(dir.path().join(gone)).unwrap();
        }
        run.wait_asleep();
        run.stop().code(0).printed(format!("total  delete  filename\n{rows}"));
    }
}

/// A terminal of tmux(1), whose one window runs a program and then goes on.
struct Tmux {
    dir: TempDir,
}

impl Tmux {
    /// Runs inotifywatch in a directory with eight directories; `None` without tmux.
    fn start(arguments: &str, height: usize) -> Option<Tmux> {
        if !need("tmux") {
            return None;
        }
        let tmux = Tmux { dir: fast_tempdir() };
        (1..9).for_each(|number| fs::create_dir_all(tmux.path().join(format!("work/d{number}"))).unwrap());
        let program = binary("inotifywatch");
        let script =
            format!("echo before; sh -c 'echo $$ >../pid; exec {program} {arguments}'; echo after; cat");
        let size = ["-x", "60", "-y", &height.to_string()];
        let work = tmux.path().join("work");
        let at = ["-c", work.to_str().unwrap()];
        tmux.ask(&[&["new-session", "-d"][..], &size, &at, &[&script]].concat());
        // Or it is past that already.
        tmux.wait("its start", |screen| {
            screen.contains("now collecting statistics.") || screen.contains(" events, ")
        });
        Some(tmux)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.path().join("socket")).args(["-f", "/dev/null"]).args(arguments);
        let (output, text) = run(command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env("SHELL", "/bin/sh"));
        assert!(output.status.success(), "{text}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"]).trim_end().to_owned()
    }

    /// Whether the alternate screen is in use, and long lines go on in the next line.
    fn state(&self) -> (bool, bool) {
        let flags = self.ask(&["display-message", "-p", "#{alternate_on} #{wrap_flag}"]);
        let flags: Vec<bool> = flags.split_whitespace().map(|flag| flag == "1").collect();
        (flags[0], flags[1])
    }

    #[track_caller]
    fn wait(&self, what: &str, mut done: impl FnMut(&str) -> bool) {
        assert!(wait_until(|| done(&self.screen())), "{what}:\n{}", self.screen());
    }

    fn signal(&self, signal: Signal) {
        let pid = fs::read_to_string(self.path().join("pid")).unwrap();
        kill(Pid::from_raw(pid.trim().parse().unwrap()), signal).unwrap();
    }

    fn remove(&self, count: usize) {
        for number in 1..=count {
            let _ = fs::remove_file(self.path().join(format!("work/d{number}/f0")));
        }
    }

    /// A file in each of the first directories.
    fn touch(&self, count: usize) {
        for number in 1..=count {
            create_files(&self.path().join(format!("work/d{number}")), "f", 0..1);
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = bounded("tmux").arg("-S").arg(self.path().join("socket")).arg("kill-server").output();
    }
}

#[test]
fn on_a_terminal_the_table_is_renewed_in_place() {
    let Some(tmux) = Tmux::start("-r -e open,create --interval 0.5 .", 7) else { return };
    let head = Regex::new(r"^[0-9.]+ s: 16 events, \d+/s, 8 paths\ntotal  open  create  filename\n").unwrap();
    let empty = Regex::new(r"^[0-9.]+ s: 0 events, 0/s, 0 paths\ntotal  open  create  filename$").unwrap();
    let mut looks = 0;
    tmux.wait("a table", |screen| {
        // Again and again, because the events of one go may fall into two intervals.
        if looks % 100 == 0 {
            tmux.remove(8);
            tmux.touch(8);
        }
        looks += 1;
        head.is_match(screen)
    });
    assert_eq!(tmux.state(), (true, false));
    tmux.wait("an empty table, with the columns that were there", |screen| empty.is_match(screen));
    tmux.signal(Signal::SIGINT);
    tmux.wait("its end", |screen| screen.contains("after"));
    assert_eq!(tmux.state(), (false, true));
    let last = tmux.ask(&["capture-pane", "-p", "-S", "-"]);
    let wanted = ["before\n", "statistics.\ntotal  open  create  filename\n", "./d8/\n", "/\nafter\n"];
    assert!(wanted.iter().all(|part| last.contains(part)), "{last}");
}

/// Between two tables, so that it is the change of the size that has it drawn again.
#[test]
fn as_many_rows_are_shown_as_fit_also_after_the_size_has_changed() {
    let Some(tmux) = Tmux::start("-r -e create --interval 2 .", 6) else { return };
    let rows = |screen: &str| screen.lines().filter(|line| line.starts_with("1      1       ./d")).count();
    for _ in 0..5 {
        tmux.remove(8);
        tmux.touch(8);
        tmux.wait("four rows", |screen| rows(screen) == 4 && screen.lines().count() == 6);
        for (height, count) in [("9", 7), ("4", 2), ("20", 8), ("6", 4)] {
            tmux.ask(&["resize-window", "-y", height]);
            let drawn = || {
                let screen = tmux.screen();
                (rows(&screen) == count, screen.starts_with("2 s: 0 events"))
            };
            let mut found = drawn();
            assert!(wait_until(|| {
                found = drawn();
                found.0 || found.1
            }));
            if found.1 {
                break;
            }
            if height == "6" {
                return;
            }
        }
        tmux.ask(&["resize-window", "-y", "6"]);
    }
    panic!("not drawn again between two tables:\n{}", tmux.screen());
}

#[test]
fn the_terminal_is_given_back_at_any_end_and_while_it_is_stopped() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP] {
        let Some(tmux) = Tmux::start("-r --interval 0.1 .", 10) else { return };
        tmux.wait("a table", |screen| screen.contains(" 0 events"));
        tmux.signal(signal);
        assert!(wait_until(|| tmux.state() == (false, true)), "{signal}: {:?}", tmux.state());
        if signal == Signal::SIGTSTP {
            tmux.signal(Signal::SIGCONT);
            assert!(wait_until(|| tmux.state() == (true, false)), "{:?}", tmux.state());
            tmux.signal(Signal::SIGTERM);
        }
        tmux.wait("its end", |screen| screen.contains("after"));
    }
}

#[test]
fn a_message_is_the_last_line_and_stays_on_stderr() {
    let Some(tmux) = Tmux::start("-r -e create,delete --interval 0.2 .", 8) else { return };
    tmux.wait("a table", |screen| screen.contains(" 0 events"));
    tmux.signal(Signal::SIGSTOP);
    flood(&tmux.path().join("work/d1"));
    tmux.signal(Signal::SIGCONT);
    tmux.wait("the message", |screen| {
        screen.lines().last().is_some_and(|line| line.starts_with("Events were lost: "))
    });
    tmux.signal(Signal::SIGTERM);
    tmux.wait("its end", |screen| screen.contains("after"));
    let last = tmux.ask(&["capture-pane", "-p", "-S", "-"]);
    assert!(last.contains("statistics.\nEvents were lost: "), "{last}");
}

#[test]
fn the_table_that_a_signal_asks_for_is_printed_beside_the_other() {
    let Some(tmux) = Tmux::start("-r -e create --interval 0.2 .", 12) else { return };
    tmux.touch(1);
    tmux.wait("a table", |screen| screen.contains("total  create"));
    tmux.signal(Signal::SIGUSR1);
    tmux.signal(Signal::SIGTERM);
    tmux.wait("its end", |screen| screen.contains("after"));
    let last = tmux.ask(&["capture-pane", "-p", "-S", "-"]);
    let tables = last.matches("total  create  filename\n1      1       ./d1/\n").count();
    assert_eq!(tables, 2, "{last}");
}

#[test]
fn names_in_events_cannot_control_the_terminal() {
    let Some(tmux) = Tmux::start("-r -e create --interval 0.2 .", 12) else { return };
    fs::create_dir(tmux.path().join("work/\u{1b}[2J\n")).unwrap();
    fs::write(tmux.path().join("work/\u{1b}[2J\n/f"), "").unwrap();
    tmux.wait("the row", |screen| screen.contains("./\\033[2J\\n/"));
}

#[test]
fn on_a_terminal_that_cannot_do_it_each_interval_is_a_table() {
    for term in [Some("dumb"), Some(""), None] {
        let dir = tempdir();
        let (master, slave) = terminal();
        let mut command = inotifywatch(dir.path(), ["--interval", "0.05", "."]);
        command.env_remove("TERM").envs(term.map(|name| ("TERM", name))).stdout(slave);
        let run = Running::ready(command);
        let printed = Collected::from(master);
        let tables = NOTHING.repeat(2).replace('\n', "\r\n");
        assert!(wait_until(|| printed.bytes().len() >= tables.len()), "{term:?}");
        run.stop();
        assert!(printed.bytes().starts_with(tables.as_bytes()), "{term:?} {:?}", printed.lines());
    }
}
