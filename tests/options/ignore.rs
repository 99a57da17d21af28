//! `--ignore`, `--ignore-file` and `--max-depth`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::refuses;
use crate::common::{Own, Running, as_nobody, create_files, inotifywait, inotifywatch, tempdir};

/// What to be asked for that does not depend on how the directories are read.
const EVENTS: &str = "create,delete,move,move_self,delete_self";

/// A directory with these directories in it.
fn tree(directories: &[&str]) -> TempDir {
    let dir = tempdir();
    create_directories(dir.path(), directories);
    dir
}

fn create_directories(dir: &Path, directories: &[&str]) {
    directories.iter().for_each(|path| fs::create_dir_all(dir.join(path)).unwrap());
}

fn watch(dir: &Path, arguments: &[&str]) -> Running {
    let fixed = ["-mr", "-e", EVENTS];
    Running::ready(inotifywait(dir, fixed.iter().chain(arguments)))
}

/// Waits until that many directories are watched.
#[track_caller]
fn expect_watches(run: &mut Running, count: usize) {
    run.wait(&format!("{count} watches"), |run| run.watches() == count);
}

#[test]
fn ignored_paths_are_neither_reported_nor_watched() {
    let dir = tree(&["src/target/deep", "target/deep", "docs"]);
    let mut run = watch(dir.path(), &["--ignore", "target/", "--ignore", "*.o", "."]);
    assert_eq!(run.watches(), 3);
    create_files(&dir.path().join("target"), "f", 0..1);
    create_files(dir.path(), "a.o", 0..1);
    fs::write(dir.path().join("a.o"), "").unwrap();
    fs::create_dir_all(dir.path().join("docs/target/new")).unwrap();
    fs::write(dir.path().join("docs/target/new/f"), "").unwrap();
    // Only directories are meant.
    fs::write(dir.path().join("docs/new"), "").unwrap();
    fs::remove_dir_all(dir.path().join("target")).unwrap();
    fs::write(dir.path().join("target"), "").unwrap();
    run.wait_asleep();
    assert_eq!(run.watches(), 3);
    run.stop().printed("./ CREATE a.o0\n./docs/ CREATE new\n./ CREATE target\n");
}

#[test]
fn the_last_pattern_that_matches_decides_in_the_order_of_the_command_line() {
    let dir = tree(&[]);
    fs::write(dir.path().join("keep"), "# those\n\n!keep*\n[a\r\n").unwrap();
    for (arguments, printed) in [
        (&["--ignore", "*.o", "--ignore-file", "keep"][..], "./ CREATE keep.o\n./ CREATE x\n"),
        (&["--ignore-file", "keep", "--ignore", "*.o"], "./ CREATE x\n"),
        (&["--ignore-file=keep", "--ignore=*.o", "--ignore-file=keep"], "./ CREATE keep.o\n./ CREATE x\n"),
        (&["--ignore", "*.o", "--ignore", "!keep.o"], "./ CREATE keep.o\n./ CREATE x\n"),
        // Not a comment, and nothing.
        (&["--ignore", "#*", "--ignore", ""], "./ CREATE a.o\n./ CREATE keep.o\n./ CREATE x\n"),
    ] {
        let fixed = ["-m", "-e", "create"];
        let mut run = Running::ready(inotifywait(dir.path(), fixed.iter().chain(arguments).chain(&["."])));
        for name in ["a.o", "keep.o", "#x", "x"] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        run.expect_line("./ CREATE x");
        let end = run.stop();
        let is_said = String::from_utf8_lossy(&end.stderr).matches("keep:4: invalid pattern\n").count();
        let files = arguments.iter().filter(|argument| argument.contains("--ignore-file")).count();
        let comment = if arguments.contains(&"#*") { "" } else { "./ CREATE #x\n" };
        end.check("a message for each bad line", is_said == files);
        end.printed(printed.replace("./ CREATE x\n", &format!("{comment}./ CREATE x\n")));
    }
}

#[test]
fn a_bad_line_is_not_reported_with_q() {
    let dir = tree(&[]);
    fs::write(dir.path().join("f"), "[\n").unwrap();
    let mut run = Running::start(inotifywait(dir.path(), ["-mq", "--ignore-file", "f", "."]));
    run.wait_asleep();
    run.stop().said("");
}

#[test]
fn paths_below_an_ignored_directory_cannot_be_included_again() {
    let dir = tree(&["target/keep", "src"]);
    let mut run = watch(dir.path(), &["--ignore", "target", "--ignore", "!keep", "."]);
    assert_eq!(run.watches(), 2);
    create_files(&dir.path().join("target/keep"), "f", 0..1);
    create_files(&dir.path().join("src"), "f", 0..1);
    run.expect_line("./src/ CREATE f0");
    run.stop().printed("./src/ CREATE f0\n");
}

/// Patterns with a slash are about the way down from each operand, however it is spelt, and an operand is not ignored.
#[test]
fn patterns_are_relative_to_each_operand_which_is_itself_not_ignored() {
    let dir = tree(&["a/gen", "b/gen/gen", "a/b/gen", "gen/x"]);
    let here = dir.path().to_str().unwrap();
    let arguments = ["--ignore", "/gen/", "a/", "./b//", &format!("{here}/gen")];
    let mut run = watch(dir.path(), &arguments);
    // a, a/b, a/b/gen; b; gen, gen/x.
    assert_eq!(run.watches(), 6);
    for path in ["a/gen", "b/gen", "a/b/gen", "gen", "gen/x"] {
        create_files(&dir.path().join(path), "f", 0..1);
    }
    run.expect_line(&format!("{here}/gen/x/ CREATE f0"));
    run.stop().printed(format!("a/b/gen/ CREATE f0\n{here}/gen/ CREATE f0\n{here}/gen/x/ CREATE f0\n"));
}

/// In either order.
#[test]
fn an_operand_within_another_is_not_ignored() {
    for operands in [[".", "./target"], ["./target", "."]] {
        let dir = tree(&["target/x", "target/target"]);
        let mut run = watch(dir.path(), &["--ignore", "target/", operands[0], operands[1]]);
        assert_eq!(run.watches(), 3, "{operands:?}");
        create_files(&dir.path().join("target"), "f", 0..1);
        create_files(&dir.path().join("target/x"), "f", 0..1);
        create_files(&dir.path().join("target/target"), "f", 0..1);
        run.expect_line("./target/x/ CREATE f0");
        run.wait_asleep();
        run.stop().printed("./target/ CREATE f0\n./target/x/ CREATE f0\n");
    }
}

/// The manual's example, and the way back.
#[test]
fn a_rename_to_an_ignored_name_or_from_one_ends_or_begins_the_watches() {
    let dir = tree(&["src/deep"]);
    let mut run = watch(dir.path(), &["--ignore", "target/", "."]);
    fs::create_dir_all(dir.path().join("target/deep")).unwrap();
    create_files(&dir.path().join("target"), "f", 0..1);
    fs::rename(dir.path().join("target"), dir.path().join("out")).unwrap();
    run.expect_line("./ MOVED_TO,ISDIR out");
    expect_watches(&mut run, 5);
    create_files(&dir.path().join("out/deep"), "f", 0..1);
    run.expect_line("./out/deep/ CREATE f0");
    fs::rename(dir.path().join("src"), dir.path().join("target")).unwrap();
    expect_watches(&mut run, 3);
    create_files(&dir.path().join("target/deep"), "f", 0..1);
    run.wait_asleep();
    let printed = "./ MOVED_TO,ISDIR out\n./out/deep/ CREATE f0\n./ MOVED_FROM,ISDIR src\n";
    run.stop().printed(printed);
}

/// By its place, not by its name.
#[test]
fn a_directory_below_a_renamed_one_is_judged_by_its_new_path() {
    let dir = tree(&["a/gen/deep", "b"]);
    let mut run = watch(dir.path(), &["--ignore", "/src/gen", "."]);
    assert_eq!(run.watches(), 5);
    fs::rename(dir.path().join("a"), dir.path().join("src")).unwrap();
    expect_watches(&mut run, 3);
    fs::rename(dir.path().join("src"), dir.path().join("b/src")).unwrap();
    expect_watches(&mut run, 5);
    create_files(&dir.path().join("b/src/gen/deep"), "f", 0..1);
    run.expect_line("./b/src/gen/deep/ CREATE f0");
    run.stop();
}

#[test]
fn a_tree_is_watched_to_the_deepest_level() {
    for (depth, watches, printed) in [
        ("1", 1, "./ CREATE f0\n./ CREATE,ISDIR new\n"),
        ("2", 3, "./ CREATE f0\n./a/ CREATE f0\n./ CREATE,ISDIR new\n./new/ CREATE,ISDIR new\n"),
        (
            "3",
            5,
            "./ CREATE f0\n./a/ CREATE f0\n./a/b/ CREATE f0\n./ CREATE,ISDIR new\n\
             ./new/ CREATE,ISDIR new\n./new/new/ CREATE new\n",
        ),
    ] {
        let dir = tree(&["a/b/c"]);
        let mut run = watch(dir.path(), &["--max-depth", depth, "."]);
        for path in ["", "a", "a/b", "a/b/c"] {
            create_files(&dir.path().join(path), "f", 0..1);
        }
        run.wait_asleep();
        fs::create_dir_all(dir.path().join("new/new")).unwrap();
        fs::write(dir.path().join("new/new/new"), "").unwrap();
        expect_watches(&mut run, watches);
        run.wait_asleep();
        run.stop().printed(printed);
    }
}

#[test]
fn a_move_to_another_level_adds_and_removes_watches() {
    let dir = tree(&["a/b/c/d", "x"]);
    let mut run = watch(dir.path(), &["--max-depth", "3", "."]);
    // The operand, x, a, a/b.
    assert_eq!(run.watches(), 4);
    fs::rename(dir.path().join("a/b"), dir.path().join("b")).unwrap();
    // b/c is at level 2 now.
    expect_watches(&mut run, 5);
    create_files(&dir.path().join("b/c"), "f", 0..1);
    run.expect_line("./b/c/ CREATE f0");
    fs::rename(dir.path().join("b"), dir.path().join("x/b")).unwrap();
    expect_watches(&mut run, 4);
    create_files(&dir.path().join("x/b/c"), "f", 0..1);
    create_files(&dir.path().join("x/b"), "f", 0..1);
    run.expect_line("./x/b/ CREATE f0");
    run.wait_asleep();
    run.stop().printed(
        "./a/ MOVED_FROM,ISDIR b\n./ MOVED_TO,ISDIR b\n./b/ MOVE_SELF \n./b/c/ CREATE f0\n\
         ./ MOVED_FROM,ISDIR b\n./x/ MOVED_TO,ISDIR b\n./x/b/ MOVE_SELF \n./x/b/ CREATE f0\n",
    );
}

#[test]
fn each_operand_has_levels_of_its_own() {
    let dir = tree(&["a/b/c/d"]);
    for operands in [["a", "a/b/c"], ["a/b/c", "a"]] {
        let mut run = watch(dir.path(), &["--max-depth", "1", operands[0], operands[1]]);
        assert_eq!(run.watches(), 2);
        for path in ["a", "a/b", "a/b/c", "a/b/c/d"] {
            create_files(&dir.path().join(path), "f", 0..1);
            fs::remove_file(dir.path().join(path).join("f0")).unwrap();
        }
        run.wait_asleep();
        run.stop().printed("a/ CREATE f0\na/ DELETE f0\na/b/c/ CREATE f0\na/b/c/ DELETE f0\n");
    }
}

#[test]
fn without_r_patterns_select_the_entries_of_a_directory() {
    let dir = tree(&["d", "x"]);
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-e", EVENTS, "--ignore", "x*", "."]));
    create_files(dir.path(), "x", 0..1);
    create_files(dir.path(), "y", 0..1);
    create_files(&dir.path().join("d"), "y", 0..1);
    run.expect_line("./ CREATE y0");
    run.stop().printed("./ CREATE y0\n");
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-e", EVENTS, "--ignore", "x*", "x0"]));
    fs::remove_file(dir.path().join("x0")).unwrap();
    run.expect_line("x0 DELETE_SELF ");
    run.stop().printed("x0 DELETE_SELF \n");
}

#[test]
fn inotifywatch_counts_paths_that_are_not_ignored() {
    let dir = tree(&["target", "src/deep"]);
    let arguments = ["-r", "-e", "create", "--ignore=target", "--max-depth=2", "."];
    let run = Running::ready(inotifywatch(dir.path(), arguments));
    assert_eq!(run.watches(), 2);
    for path in ["", "target", "src", "src/deep"] {
        create_files(&dir.path().join(path), "f", 0..2);
    }
    run.stop().code(0).printed("total  create  filename\n2      2       ./src/\n2      2       ./\n");
}

/// With fanotify, as root and as a user.
#[test]
fn with_fanotify_it_is_the_same() {
    for user in [false, true] {
        let Some(dir) = Own::new() else { return };
        create_directories(dir.path(), &["target/deep", "a/target", "a/b/c"]);
        let here = dir.path().canonicalize().unwrap();
        // Of a directory from elsewhere, only root hears that it was renamed itself.
        let events = "create,delete,move";
        let arguments =
            ["-mrF", "-e", events, "--ignore", "target/", "--ignore", "*.o", "--max-depth", "3", "."];
        let mut run = Running::ready(match user {
            true => as_nobody(dir.path(), "inotifywait", arguments),
            false => inotifywait(dir.path(), arguments),
        });
        for path in ["target", "target/deep", "a/target", "a", "a/b", "a/b/c"] {
            create_files(&dir.path().join(path), "f", 0..1);
            create_files(&dir.path().join(path), "x.o", 0..1);
            fs::write(dir.path().join(path).join("x.o"), "").unwrap();
        }
        run.wait_asleep();
        fs::rename(dir.path().join("target/deep"), dir.path().join("a/deep")).unwrap();
        create_files(&dir.path().join("a/deep"), "g", 0..1);
        run.wait_asleep();
        fs::rename(dir.path().join("a"), dir.path().join("target/a")).unwrap();
        create_files(&dir.path().join("target/a"), "h", 0..1);
        run.wait_asleep();
        let lines: Vec<String> =
            run.stop().lines().iter().map(|line| line.replace(here.to_str().unwrap(), ".")).collect();
        let mut expected = vec![
            "./a/ CREATE f0",
            "./a/ CREATE x.o0",
            "./a/b/ CREATE f0",
            "./a/b/ CREATE x.o0",
            "./a/ MOVED_TO,ISDIR deep",
            "./a/deep/ CREATE g0",
            "./ MOVED_FROM,ISDIR a",
        ];
        if user {
            // It is not watched before it is seen to be there.
            expected.retain(|line| lines.iter().any(|found| found == line) || !line.ends_with("g0"));
        }
        assert_eq!(lines, expected, "user: {user}");
    }
}

#[test]
fn invalid_patterns_depths_and_files_are_refused() {
    for tool in ["inotifywait", "inotifywatch"] {
        for (line, message) in [
            ("--ignore [a p", "Error in `ignore' pattern '[a'.\n"),
            ("--ignore a\\ p", "Error in `ignore' pattern 'a\\'.\n"),
            ("--ignore [[:x:]] p", "Error in `ignore' pattern '[[:x:]]'.\n"),
            ("-r --max-depth 0 p", "'0' is not a valid depth.\n"),
            ("-r --max-depth -1 p", "'-1' is not a valid depth.\n"),
            ("-r --max-depth= p", "'' is not a valid depth.\n"),
            ("-r --max-depth 1.5 p", "'1.5' is not a valid depth.\n"),
            ("--ignore-file /nowhere p", "Couldn't open /nowhere: No such file or directory\n"),
            ("--ignore-file /dev p", "Couldn't open /dev: Is a directory\n"),
            ("--max-depth 1 p", "--max-depth cannot be specified without -r.\n"),
            ("-S --ignore x p", "-S and --ignore cannot both be specified.\n"),
            ("-M --ignore x p", "-M and --ignore cannot both be specified.\n"),
            ("-S --ignore-file x p", "-S and --ignore-file cannot both be specified.\n"),
            ("-M --ignore-file x p", "-M and --ignore-file cannot both be specified.\n"),
            ("-S --gitignore p", "-S and --gitignore cannot both be specified.\n"),
            ("-M --gitignore --max-depth 1 p", "-M and --gitignore cannot both be specified.\n"),
            ("-S -r --max-depth 1 p", "-S and --max-depth cannot both be specified.\n"),
            ("-M -r --max-depth 1 p", "-M and --max-depth cannot both be specified.\n"),
            // In the order of the manual.
            ("-M --max-depth 1 --ignore x p", "-M and --ignore cannot both be specified.\n"),
            ("-S --max-depth 1 p", "--max-depth cannot be specified without -r.\n"),
        ] {
            refuses(tool, line, message);
        }
    }
    refuses(
        "inotifywait",
        "--max-depth 1 --max-delay 1 p",
        "--max-delay cannot be specified without --debounce.\n",
    );
    refuses("inotifywait", "--max-depth 1 --json -c p", "--max-depth cannot be specified without -r.\n");
}
