//! inotifywatch's table: rows, and what they cost.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Running, create_files, fast_tempdir, inotifywatch, tempdir};
use nix::sys::signal::Signal;

/// Makes and removes a directory again and again, fewer times at a stretch than the kernel's queue holds.
fn make_and_remove(run: &mut Running, path: &Path, times: usize) {
    for number in 0..times {
        fs::create_dir(path).unwrap();
        fs::remove_dir(path).unwrap();
        if number % 1_000 == 0 {
            run.wait_asleep();
        }
    }
    run.wait_asleep();
}

#[test]
fn directories_of_one_name_share_its_memory() {
    const TIMES: usize = 20_000;
    /// In KiB; a row for each of them would be more, and what is read at once is less.
    const SMALL: usize = TIMES * 60 / 1024;
    // Where they count something, and where they do not.
    for events in ["all_events", "modify"] {
        let dir = fast_tempdir();
        let path = dir.path().join("name");
        let mut run = Running::ready(inotifywatch(dir.path(), ["-r", "-e", events, "."]));
        make_and_remove(&mut run, &path, 1_000);
        let before = run.memory("RssAnon:");
        make_and_remove(&mut run, &path, TIMES);
        let grown = run.memory("RssAnon:").saturating_sub(before);
        if grown > SMALL {
            run.fail(&format!("{grown} KiB"));
        }
        // Those that are gone before they can be watched have no row.
        fs::create_dir(&path).unwrap();
        run.wait_asleep();
        fs::remove_dir(&path).unwrap();
        run.wait_asleep();
        let end = run.stop();
        end.code(0);
        let rows = end.lines().iter().filter(|line| line.ends_with("./name/")).count();
        end.check("one row or none", rows == usize::from(events == "all_events"));
    }
}

#[test]
fn a_directory_created_again_adds_to_its_row() {
    for order in ["-a", "-d"] {
        let dir = tempdir();
        let path = dir.path().join("name");
        fs::create_dir(&path).unwrap();
        let mut run = Running::ready(inotifywatch(dir.path(), ["-r", "-e", "create", order, "total", "."]));
        for round in 0..3 {
            if round > 0 {
                fs::create_dir(&path).unwrap();
                run.wait_asleep();
            }
            create_files(&path, "f", 0..2);
            // The last one stays.
            if round < 2 {
                fs::remove_dir_all(&path).unwrap();
                run.wait_asleep();
            }
        }
        let rows = ["2      2       ./", "6      6       ./name/"];
        let [first, second] = if order == "-a" { rows } else { [rows[1], rows[0]] };
        run.stop().code(0).printed(format!("total  create  filename\n{first}\n{second}\n"));
    }
}

#[test]
fn equal_rows_keep_the_order_of_watching() {
    let dir = tempdir();
    let names = ["a", "b", "c", "d"];
    names.iter().for_each(|name| fs::create_dir(dir.path().join(name)).unwrap());
    let run = Running::ready(inotifywatch(dir.path(), ["-e", "create,delete_self", "b", "d", "a", "c"]));
    names.iter().for_each(|name| create_files(&dir.path().join(name), "f", 0..1));
    // Nor does it matter that a directory is gone.
    for (gone, left) in [("a", "c"), ("b", "d")] {
        fs::remove_dir_all(dir.path().join(gone)).unwrap();
        create_files(&dir.path().join(left), "g", 0..1);
    }
    let rows = ["2      1       1            b/", "2      2       0            d/"];
    let more = ["2      1       1            a/", "2      2       0            c/"];
    let rows = [rows, more].concat().join("\n");
    run.stop().code(0).printed(format!("total  create  delete_self  filename\n{rows}\n"));
}

#[test]
fn zeros_have_rows_only_with_z() {
    for zero in [true, false] {
        let dir = tempdir();
        for name in ["d/gone", "d/quiet"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut command = inotifywatch(dir.path(), ["-r", "-e", "create", "d"]);
        command.args(zero.then_some("-z"));
        let mut run = Running::ready(command);
        fs::remove_dir(dir.path().join("d/gone")).unwrap();
        fs::create_dir(dir.path().join("d/new")).unwrap();
        run.wait_asleep();
        let end = run.stop();
        end.code(0).check("a row", end.lines().contains(&"1      1       d/".to_owned()));
        for name in ["gone", "quiet", "new"] {
            let row = format!("0      0       d/{name}/");
            end.check(&row, end.lines().contains(&row) == zero);
        }
    }
}

#[test]
fn numbers_wider_than_their_column_push_the_rest_on() {
    let dir = fast_tempdir();
    let mut run = Running::ready(inotifywatch(dir.path(), ["-e", "open,attrib", "."]));
    for start in (0..100_000).step_by(4_000) {
        for number in start..start + 4_000 {
            let name = if number % 2 == 0 { "a" } else { "b" };
            drop(fs::File::options().append(true).create(true).open(dir.path().join(name)).unwrap());
        }
        run.wait_asleep();
    }
    run.stop().code(0).printed("total  open  filename\n100000  100000  ./\n");
}

#[test]
fn a_verbose_one_names_its_operands() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let run = Running::ready(inotifywatch(dir.path(), ["-v", "-r", "d"]));
    run.stop().code(0).said(
        "Establishing watches...\nSetting up watch(es) on d\nOK, d is now being watched.\nTotal of 1 watches.\n\
         Finished establishing watches, now collecting statistics.\nNo events occurred.\n",
    );
    for arguments in [&["-v", "d"][..], &["-r", "d"]] {
        let run = Running::ready(inotifywatch(dir.path(), arguments));
        let end = run.stop();
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        end.check("no operand", !said.contains(" d") && !said.contains("d is"));
    }
}

#[test]
fn it_dies_of_a_reader_that_is_gone() {
    let dir = tempdir();
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let mut command = inotifywatch(dir.path(), ["-e", "create", "."]);
    command.stdout(writer);
    let run = Running::ready(command);
    create_files(dir.path(), "f", 0..1);
    drop(reader);
    run.stop().killed_by(Signal::SIGPIPE);
}
