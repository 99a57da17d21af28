//! `--gitignore`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::common::{Own, Running, create_files, flood, inotifywait, inotifywatch, need, tempdir};

/// A directory with these files in it, and with those directories whose names end in `/`.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempdir();
    fill(dir.path(), files);
    dir
}

/// The same in this directory.
fn fill(dir: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let at = dir.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
    }
}

/// Without anybody's configuration but that in `home`.
fn command(dir: &Path, home: &Path, arguments: &[&str]) -> Command {
    let mut command = inotifywait(dir, arguments);
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("GIT_CONFIG_GLOBAL");
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn watch(dir: &Path, arguments: &[&str]) -> Running {
    let fixed = ["-mr", "--gitignore", "-e", "create,move,delete,delete_self,move_self"];
    Running::ready(command(dir, Path::new("/nowhere"), &[&fixed, arguments].concat()))
}

/// Waits until that many directories are watched.
#[track_caller]
fn expect_watches(run: &mut Running, count: usize) {
    run.wait(&format!("{count} watches"), |run| run.watches() == count);
}

/// The manual's example.
#[test]
fn paths_that_git_ignores_are_neither_reported_nor_watched() {
    let dir = tree(&[(".git/refs/", ""), (".gitignore", "target/\n"), ("src/target/", "")]);
    let arguments = ["-mqr", "-e", "create,moved_to", "--gitignore", "."];
    let mut run = Running::start(command(dir.path(), Path::new("/nowhere"), &arguments));
    run.wait_asleep();
    assert_eq!(run.watches(), 2);
    fs::create_dir(dir.path().join("target")).unwrap();
    fs::write(dir.path().join("target/x"), "").unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join(".git/index"), "").unwrap();
    fs::rename(dir.path().join("target"), dir.path().join("out")).unwrap();
    expect_watches(&mut run, 3);
    run.wait_asleep();
    run.stop().printed("./ CREATE a\n./ MOVED_TO,ISDIR out\n").said("");
}

/// From the weakest to the strongest; each takes back one name of what the one before ignores.
#[test]
fn the_files_are_read_in_git_s_order() {
    let dir = tree(&[
        ("home/.gitconfig", "[core]\n\texcludesFile = ~/mine\n"),
        ("home/mine", "a\nb\nc\nd\ne\n"),
        ("home/.config/git/ignore", "x\n"),
        ("repo/.git/info/exclude", "!b\n"),
        ("repo/.gitignore", "!c\nb\n"),
        ("repo/sub/.gitignore", "!d\n/deep/g\n"),
        ("repo/sub/top/.gitignore", "!e\nd\n"),
        ("repo/sub/top/deep/", ""),
        ("more", "d\n!d\nf\n"),
    ]);
    let top = dir.path().join("repo/sub/top");
    let printed = |arguments: &[&str]| {
        let fixed = ["-mr", "-e", "create", "--gitignore"];
        let mut run =
            Running::ready(command(&top, &dir.path().join("home"), &[&fixed, arguments, &["."]].concat()));
        for name in ["a", "b", "c", "d", "e", "f", "g", "x", "end"] {
            fs::write(top.join(name), "").unwrap();
            fs::remove_file(top.join(name)).unwrap();
        }
        run.expect_line("./ CREATE end");
        run.stop()
            .lines()
            .iter()
            .map(|line| line.split(' ').next_back().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(printed(&[]), ["c", "e", "f", "g", "x", "end"]);
    assert_eq!(printed(&["--ignore-file=../../../more"]), ["c", "d", "e", "g", "x", "end"]);
}

#[test]
fn the_user_s_file_is_in_the_configuration_s_directory_if_no_other_is_named() {
    for (place, variable) in [("home/.config", None), ("config", Some("config"))] {
        let file = format!("{place}/git/ignore");
        let dir =
            tree(&[(&file, "x\n"), ("home/.gitconfig", "[core]\n[other]\nexcludesfile=y\n"), ("d/", "")]);
        let top = dir.path().join("d");
        let mut command =
            command(&top, &dir.path().join("home"), &["-m", "--gitignore", "-e", "create", "."]);
        if let Some(variable) = variable {
            command.env("XDG_CONFIG_HOME", dir.path().join(variable));
        }
        let mut run = Running::ready(command);
        create_files(&top, "y", 0..1);
        fs::write(top.join("x"), "").unwrap();
        fs::write(top.join("end"), "").unwrap();
        run.expect_line("./ CREATE end");
        run.stop().printed("./ CREATE y0\n./ CREATE end\n");
    }
}

/// A worktree has a file named .git, and info/exclude of the repository that it belongs to.
#[test]
fn a_worktree_has_the_excluded_paths_of_its_repository() {
    if !need("git") {
        return;
    }
    let dir = tempdir();
    let git = |arguments: &str| {
        let mut command = Command::new("git");
        command.current_dir(dir.path()).env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(command.args(arguments.split(' ')).status().unwrap().success(), "{arguments}");
    };
    git("init -q main");
    git("-C main -c user.name=x -c user.email=x commit -q --allow-empty -m x");
    git("-C main worktree add -q ../other");
    fs::write(dir.path().join("main/.git/info/exclude"), "/gen/\n").unwrap();
    fs::create_dir_all(dir.path().join("other/sub/gen")).unwrap();
    fs::create_dir_all(dir.path().join("other/gen")).unwrap();
    let run = watch(dir.path(), &["other"]);
    // other, sub and sub/gen.
    assert_eq!(run.watches(), 3);
    let run = watch(&dir.path().join("other"), &["sub", "gen"]);
    assert_eq!(run.watches(), 3);
}

#[test]
fn a_nested_repository_starts_afresh() {
    let dir = tree(&[
        (".git/info/exclude", "*.tmp\n"),
        (".gitignore", "gen\n*.o\n"),
        ("sub/.git/info/exclude", "own\n"),
        ("sub/gen/", ""),
        ("sub/own/", ""),
        ("gen/.git/", ""),
    ]);
    let mut run = watch(dir.path(), &["."]);
    assert_eq!(run.watches(), 3);
    for name in ["a.o", "a.tmp", "own"] {
        let _ = fs::write(dir.path().join("sub").join(name), "");
        fs::write(dir.path().join(name), "").unwrap();
    }
    run.expect_line("./ CREATE own");
    // It is no repository any more, and then one again.
    fs::rename(dir.path().join("sub/.git"), dir.path().join("sub/gone")).unwrap();
    expect_watches(&mut run, 5);
    fs::rename(dir.path().join("sub/gone"), dir.path().join("sub/.git")).unwrap();
    expect_watches(&mut run, 3);
    run.stop().printed("./sub/ CREATE a.o\n./sub/ CREATE a.tmp\n./ CREATE own\n./sub/ MOVED_TO,ISDIR gone\n./sub/ MOVED_FROM,ISDIR gone\n");
}

/// A submodule has a file named .git; nothing else of it need be a directory.
#[test]
fn a_directory_without_directories_may_be_a_repository_or_have_patterns() {
    let dir = tree(&[
        (".git/modules/sub/info/exclude", "own\n"),
        (".gitignore", "*.o\n"),
        ("sub/.git", "gitdir: ../.git/modules/sub\n"),
        ("leaf/.gitignore", "own\n"),
    ]);
    let mut run = watch(dir.path(), &["."]);
    assert_eq!(run.watches(), 3);
    for directory in ["leaf", "sub"] {
        for name in ["own", "a.o", "end"] {
            fs::write(dir.path().join(directory).join(name), "").unwrap();
        }
    }
    run.expect_line("./sub/ CREATE end");
    run.stop().printed("./leaf/ CREATE end\n./sub/ CREATE a.o\n./sub/ CREATE end\n");
}

#[test]
fn without_a_repository_patterns_count_from_the_operand_down() {
    let dir =
        tree(&[(".gitignore", "/b\na\n"), ("top/.gitignore", "/a\n"), ("top/a/", ""), ("top/b/a/", "")]);
    let run = watch(dir.path(), &["top"]);
    assert_eq!(run.watches(), 3);
}

/// By each way in which editors write files.
#[test]
fn an_edit_of_a_gitignore_adds_and_removes_watches() {
    let dir = tree(&[(".git/", ""), ("d/a/deep/", ""), ("d/b/", ""), ("new", "b\n")]);
    let file = dir.path().join("d/.gitignore");
    let mut run = watch(dir.path(), &["."]);
    assert_eq!(run.watches(), 5);
    fs::write(&file, "/a\n[x\n").unwrap();
    expect_watches(&mut run, 3);
    // Announced is nothing; later events are reported.
    fs::write(dir.path().join("d/a/deep/ignored"), "").unwrap();
    fs::rename(dir.path().join("new"), &file).unwrap();
    expect_watches(&mut run, 4);
    fs::write(dir.path().join("d/a/deep/reported"), "").unwrap();
    run.expect_line("./d/a/deep/ CREATE reported");
    fs::rename(&file, dir.path().join("new")).unwrap();
    expect_watches(&mut run, 5);
    fs::hard_link(dir.path().join("new"), &file).unwrap();
    expect_watches(&mut run, 4);
    fs::remove_file(&file).unwrap();
    expect_watches(&mut run, 5);
    fs::write(dir.path().join("d/b/reported"), "").unwrap();
    run.expect_line("./d/b/ CREATE reported");
    let end = run.stop();
    end.printed(
        "./d/ CREATE .gitignore\n./ MOVED_FROM new\n./d/ MOVED_TO .gitignore\n./d/a/deep/ CREATE reported\n\
         ./d/ MOVED_FROM .gitignore\n./ MOVED_TO new\n./d/ CREATE .gitignore\n./d/ DELETE .gitignore\n\
         ./d/b/ CREATE reported\n",
    );
    let said = String::from_utf8_lossy(&end.stderr).matches("./d/.gitignore:2: invalid pattern\n").count();
    end.check("a message about the bad line", said == 1);
}

/// From the event on.
#[test]
fn an_edit_counts_for_what_happens_after_it() {
    let dir = tree(&[(".git/", "")]);
    let mut run = watch(dir.path(), &["."]);
    run.stopped(|| {
        fs::create_dir(dir.path().join("before")).unwrap();
        fs::write(dir.path().join(".gitignore"), "target\n").unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        fs::write(dir.path().join("target/x"), "").unwrap();
    });
    expect_watches(&mut run, 2);
    run.wait_asleep();
    run.stop().printed("./ CREATE,ISDIR before\n./ CREATE .gitignore\n");
}

/// Those that were asked for are all, and those of the program's own reading are none.
#[test]
fn only_requested_events_are_reported() {
    let dir = tree(&[
        (".git/info/exclude", "x"),
        (".gitignore", "y"),
        ("d/.gitignore", "z"),
        ("e/.gitignore", "z"),
    ]);
    for arguments in [
        &["-mr", "--gitignore", "."][..],
        &["-m", "--gitignore", "d", "e", "."],
        &["-m", "--gitignore", "d/.gitignore", "d"],
    ] {
        let mut run = Running::ready(command(dir.path(), Path::new("/nowhere"), arguments));
        run.wait_asleep();
        run.stop().printed("");
    }
    let arguments = ["-mr", "-e", "open,access,close_nowrite", "--gitignore", "."];
    let mut run = Running::ready(command(dir.path(), Path::new("/nowhere"), &arguments));
    fs::write(dir.path().join("d/.gitignore"), "x").unwrap();
    fs::remove_file(dir.path().join(".gitignore")).unwrap();
    run.wait_asleep();
    run.stop().printed("./d/ OPEN .gitignore\n");
    let arguments = ["-m", "-e", "open,access,close_nowrite", "--gitignore", "d", "d/.gitignore"];
    let mut run = Running::ready(command(dir.path(), Path::new("/nowhere"), &arguments));
    fs::write(dir.path().join("d/.gitignore"), "x").unwrap();
    run.wait_asleep();
    run.stop().printed("d/ OPEN .gitignore\nd/.gitignore OPEN \n");
    let run = Running::ready(inotifywatch(dir.path(), ["-r", "--gitignore", "-e", "modify", "."]));
    fs::write(dir.path().join("d/.gitignore"), "").unwrap();
    fs::write(dir.path().join("d/f"), "1").unwrap();
    run.stop().code(0).printed("total  modify  filename\n2      2       ./d/\n");
}

/// As by git.
#[test]
fn a_gitignore_that_is_no_file_does_not_count() {
    let dir = tree(&[("a/x/", ""), ("b/x/", ""), ("c/.gitignore/x/", ""), ("patterns", "x\n")]);
    symlink("../patterns", dir.path().join("a/.gitignore")).unwrap();
    mkfifo(&dir.path().join("b/.gitignore"), Mode::S_IRWXU).unwrap();
    let run = watch(dir.path(), &["."]);
    // Itself, and two times three.
    assert_eq!(run.watches(), 1 + 2 + 2 + 3);
}

#[test]
fn operands_within_operands_stay_watched() {
    for operands in [[".", "./gen/keep"], ["./gen/keep", "."]] {
        let dir = tree(&[(".git/", ""), ("gen/keep/x/", ""), ("gen/keep/gen/", ""), ("src/", "")]);
        let mut run = watch(dir.path(), &operands);
        assert_eq!(run.watches(), 6);
        fs::write(dir.path().join(".gitignore"), "gen/\n").unwrap();
        // ., src, gen/keep, gen/keep/x; its own gen is ignored by what holds above.
        expect_watches(&mut run, 4);
        fs::write(dir.path().join("gen/keep/x/f"), "").unwrap();
        run.expect_line("./gen/keep/x/ CREATE f");
        run.stop();
    }
}

/// A tracked file is ignored if it matches, and --exclude counts as well.
#[test]
fn other_filters_count_as_well() {
    let dir = tree(&[(".git/", ""), (".gitignore", "*.o\n")]);
    let mut run = watch(dir.path(), &["--exclude", "x", "@./y", "."]);
    for name in ["a.o", "x", "y", "end"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    run.expect_line("./ CREATE end");
    run.stop().printed("./ CREATE end\n");
}

#[test]
fn after_an_overflow_each_gitignore_is_read_again() {
    let dir = tree(&[(".git/", ""), ("a/", ""), ("d/a/", ""), ("d/b/", "")]);
    let mut run = watch(dir.path(), &["."]);
    assert_eq!(run.watches(), 5);
    run.stopped(|| {
        flood(dir.path());
        fs::write(dir.path().join(".gitignore"), "/a\n").unwrap();
        fs::write(dir.path().join("d/.gitignore"), "/b\n").unwrap();
    });
    run.expect_message("Events were lost");
    expect_watches(&mut run, 3);
    run.stopped(|| {
        flood(dir.path());
        fs::remove_file(dir.path().join(".gitignore")).unwrap();
        fs::remove_file(dir.path().join("d/.gitignore")).unwrap();
    });
    expect_watches(&mut run, 5);
    run.stop();
}

/// When its event is handled, the directory is elsewhere.
fn reads_a_gitignore_where_its_directory_is_now(dir: &Path, arguments: &[&str]) {
    fill(dir, &[(".git/", ""), ("patterns", "gen\n"), ("a/b/", ""), ("c/", "")]);
    let mut run = watch(dir, arguments);
    run.stopped(|| {
        fs::rename(dir.join("patterns"), dir.join("a/b/.gitignore")).unwrap();
        fs::rename(dir.join("a"), dir.join("c/a")).unwrap();
    });
    run.expect("the rename", |lines| lines.iter().any(|line| line.contains("/c/ MOVED_TO,ISDIR a")));
    run.wait_asleep();
    for name in ["gen", "end"] {
        fs::write(dir.join("c/a/b").join(name), "").unwrap();
    }
    run.expect("the last line", |lines| lines.iter().any(|line| line.ends_with("/c/a/b/ CREATE end")));
    let end = run.stop();
    end.check("nothing of gen", !end.lines().iter().any(|line| line.ends_with(" gen")));
}

#[test]
fn a_gitignore_is_read_where_its_directory_is_now() {
    reads_a_gitignore_where_its_directory_is_now(tempdir().path(), &["."]);
}

#[test]
fn with_fanotify_a_gitignore_is_read_where_its_directory_is_now() {
    let Some(own) = Own::new() else { return };
    reads_a_gitignore_where_its_directory_is_now(own.path(), &["-F", "."]);
}
