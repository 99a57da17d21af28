//! The commands that a widely read tutorial gives, with nothing but the paths changed.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{Running, command, inotifywait, need, tempdir};
use nix::sys::signal::Signal;

/// What a shell does in a directory.
fn shell(dir: &Path, script: &str) {
    assert!(
        Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap().success(),
        "{script}"
    );
}

/// The time in the tutorial's form.
fn now() -> String {
    let date = Command::new("date").arg("+%Y-%m-%d %H:%M:%S").env("TZ", "UTC").output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_events_of_one_file_are_printed() {
    let dir = tempdir();
    fs::write(dir.path().join("file1"), "").unwrap();
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "file1"]));
    shell(dir.path(), "cat file1");
    run.expect_line("file1 CLOSE_NOWRITE,CLOSE ");
    // One command at a time, as by hand: of events that are alike and stand together the kernel makes one.
    shell(dir.path(), "echo hello > file1");
    run.expect_line("file1 CLOSE_WRITE,CLOSE ");
    shell(dir.path(), "chmod 666 file1");
    run.expect_line("file1 ATTRIB ");
    let end = run.stop();
    end.killed_by(Signal::SIGTERM).said("Setting up watches.\nWatches established.\n");
    let mut lines = end.lines();
    lines.dedup();
    // The shell's truncation is told before its opening, as in the tutorial, or after: that is the kernel's.
    if lines.get(2).is_some_and(|line| line == "file1 MODIFY ") {
        lines.remove(2);
    }
    let wanted = ["OPEN", "CLOSE_NOWRITE,CLOSE", "OPEN", "MODIFY", "CLOSE_WRITE,CLOSE", "ATTRIB"];
    let wanted = wanted.map(|events| format!("file1 {events} "));
    end.check(&format!("{wanted:?}"), lines == wanted);
}

#[test]
fn a_directory_with_times_and_a_separator() {
    let dir = tempdir();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let data = data.to_str().unwrap();
    let mut watch = inotifywait(
        dir.path(),
        ["-m", "--timefmt", "%Y-%m-%d %H:%M:%S", "--format=%T %w---%f event: %;e", data],
    );
    watch.env("TZ", "UTC");
    let begin = now();
    let mut run = Running::ready(watch);
    shell(dir.path(), "ls data");
    run.expect("the listing", |lines| lines.iter().any(|line| line.ends_with("CLOSE_NOWRITE;CLOSE;ISDIR")));
    shell(dir.path(), "touch data/file3");
    run.expect("the new file", |lines| lines.iter().any(|line| line.ends_with("CLOSE_WRITE;CLOSE")));
    let end = run.stop();
    let finish = now();
    let mut seen = Vec::new();
    for line in end.lines() {
        let (time, rest) = line.split_at("2022-10-24 17:12:57".len());
        end.check("a time between begin and end", *begin <= *time && *time <= *finish);
        seen.push(rest.to_owned());
    }
    // ls reads a directory until it gets nothing more: how often it is told is its own affair.
    seen.dedup();
    let wanted = [
        format!(" {data}/--- event: OPEN;ISDIR"),
        format!(" {data}/--- event: ACCESS;ISDIR"),
        format!(" {data}/--- event: CLOSE_NOWRITE;CLOSE;ISDIR"),
        format!(" {data}/---file3 event: CREATE"),
        format!(" {data}/---file3 event: OPEN"),
        format!(" {data}/---file3 event: ATTRIB"),
        format!(" {data}/---file3 event: CLOSE_WRITE;CLOSE"),
    ];
    end.check(&format!("{wanted:#?}"), seen == wanted);
}

/// The script, the copying replaced by a line that says what was read.
const SCRIPT: &str = r#"
SRC="$1"
inotifywait -mrq  --exclude=".*\.swp" --timefmt '%Y-%m-%d %H:%M:%S' --format '%T %w %f' -e create,delete,moved_to,close_write,attrib ${SRC} | while read DATE TIME DIR FILE; do
          FILEPATH=${DIR}${FILE}
	  echo "At ${TIME} on ${DATE}, file $FILEPATH was backuped up via rsync"
done
"#;

fn sync_script(shell_name: &str) {
    let dir = tempdir();
    let source = dir.path().join("www");
    fs::create_dir_all(source.join("old")).unwrap();
    let src = format!("{}/", source.display());
    let mut script = command(dir.path(), shell_name, ["-c", SCRIPT, "script", &src]);
    let tools = Path::new(common::binary("inotifywait")).parent().unwrap();
    script.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())).env("TZ", "UTC");
    let begin = now();
    let mut run = Running::start(script);
    // -q says nothing when it is ready: that is when a probe is seen.
    let mut probes = (0..).map(|number| source.join(format!("probe{number}")));
    run.wait("the probe", |run| {
        fs::write(probes.next().unwrap(), "").unwrap();
        run.stdout.lines().iter().any(|line| line.contains("/probe"))
    });
    shell(
        &source,
        "echo x > 'a file'; echo x > .a.swp; echo x > tmp; mv tmp final; chmod 600 final; rm 'a file'
         mkdir new; echo y > new/inside; echo z > old/below; echo > old/.below.swp; rm -r new; echo > last",
    );
    // Its own record, not that of its creation.
    let last = format!("file {src}last was");
    run.expect("the last file, created and closed", |lines| {
        lines.iter().filter(|line| line.contains(&last)).count() == 2
    });
    run.signal_all(Signal::SIGTERM);
    let end = run.finish();
    let finish = now();
    let mut files = Vec::new();
    for line in end.lines() {
        let (time, rest) = line.strip_prefix("At ").and_then(|rest| rest.split_once(" on ")).unwrap();
        let (date, file) = rest.split_once(", file ").unwrap();
        let time = format!("{date} {time}");
        end.check("a time between begin and end", *begin <= *time && time <= finish);
        let file = file.strip_suffix(" was backuped up via rsync").unwrap();
        let file = file.strip_prefix(&src).unwrap();
        if !file.starts_with("probe") {
            files.push(file.to_owned());
        }
    }
    // What happens in `new` before its watch is announced all the same; its deletion may then be seen
    // from both sides, so what is asked of it is that it was heard of, below its own name.
    let (new, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.starts_with("new"));
    let wanted = [
        "a file",
        "a file", // create, close_write
        "tmp",
        "tmp",
        "final",  // create, close_write, moved_to
        "final",  // attrib
        "a file", // delete
        "old/below",
        "old/below",
        "last",
        "last",
    ];
    end.check(&format!("{wanted:?}"), rest == wanted);
    end.check("new and what is in it", new.iter().filter(|file| **file == "new").count() == 2);
    end.check("nothing on stderr", end.stderr.is_empty());
}

#[test]
fn the_sync_script_in_bash() {
    if need("bash") {
        sync_script("bash");
    }
}

#[test]
fn the_sync_script_in_dash() {
    if need("dash") {
        sync_script("dash");
    }
}

#[test]
fn events_are_those_that_the_tutorial_lists() {
    let dir = tempdir();
    let file = dir.path().join("f");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    // `lsdir`: a directory's contents were read.
    let mut run = Running::ready(inotifywait(dir.path(), ["-m", "-e", "lsdir,create", "."]));
    fs::read(&file).unwrap();
    fs::read_dir(dir.path()).unwrap().count();
    run.expect_line("./ ACCESS,ISDIR ");
    fs::write(dir.path().join("g"), "").unwrap();
    run.expect_line("./ CREATE g");
    let mut lines = run.stop().lines();
    lines.dedup();
    assert_eq!(lines, ["./ ACCESS,ISDIR ", "./ CREATE g"]);
}
