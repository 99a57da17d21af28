//! `-0`, `--json` and `%{time}`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use regex::Regex;

use crate::common::{Ended, Running, file, inotifywait, inotifywatch, need, tempdir};

/// Names that are hard to print.
const NAMES: [&[u8]; 7] =
    [b"plain", b" a b ", b"q\"\\,", b"n\nl", b"\xff\xfe", "ä\u{85}\u{7f}".as_bytes(), b"{}\t"];

fn create(dir: &Path, names: &[&[u8]]) {
    for name in names {
        File::create(dir.join(OsStr::from_bytes(name))).unwrap();
    }
}

/// Creates the hard names and lets inotifywait run until it has printed as many records.
fn records(arguments: &[&str], end: u8) -> Ended {
    let dir = tempdir();
    let fixed = ["-m", "-e", "create"];
    let mut run = Running::ready(inotifywait(dir.path(), fixed.iter().chain(arguments).chain(&["."])));
    create(dir.path(), &NAMES);
    run.wait("all records", |run| {
        run.stdout.bytes().iter().filter(|byte| **byte == end).count() >= NAMES.len()
    });
    run.stop()
}

#[test]
fn with_nul_each_record_ends_in_nul_in_every_form() {
    let joined = |before: &[u8], after: &[u8]| {
        NAMES.iter().flat_map(|name| [before, name, after].concat()).collect::<Vec<u8>>()
    };
    records(&["-0"], 0).printed(joined(b"./ CREATE ", b"\0"));
    records(&["--print0", "--format", "%w%f"], 0).printed(joined(b"./", b"\0"));
    let csv = records(&["-0", "-c"], 0);
    assert!(csv.stdout.starts_with(b"./,CREATE,plain\0./,CREATE,\" a b \"\0"));
    let json = records(&["-0", "--json"], 0);
    assert!(json.stdout.ends_with(b"}\0") && !json.stdout.contains(&b'\n'));
}

/// Runs jq with a filter on a text; returns what it prints.
#[track_caller]
pub fn jq(arguments: &[&str], text: &[u8]) -> Vec<u8> {
    let mut command = Command::new("jq");
    let mut jq = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    jq.stdin.take().unwrap().write_all(text).unwrap();
    let output = jq.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(text));
    output.stdout
}

/// Each line of a text is as a section of a manual page says.
#[track_caller]
pub fn holds_to_the_schema(text: &[u8], page: &str, section: &str) {
    let count = text.iter().filter(|byte| **byte == b'\n').count();
    let checked = jq(&["-c", &schema(page, section)], text);
    assert_eq!(checked, "true\n".repeat(count).as_bytes(), "{}", String::from_utf8_lossy(text));
}

/// The members that a section of a manual page lists, each with its type, as an expression of jq that is true of an
/// object with just these members in this order.
fn schema(page: &str, section: &str) -> String {
    let page = file(page);
    let (_, section) = page.split_once(&format!("\n.Sh {section}\n")).unwrap();
    let (section, _) = section.split_once("\n.Sh ").unwrap();
    let item = Regex::new(r"(?m)^\.It Cm (\w+) Pq (\w+)$").unwrap();
    let members: Vec<(&str, &str)> = item
        .captures_iter(section)
        .map(|found| found.extract::<2>().1)
        .map(|[name, kind]| (name, kind))
        .collect();
    assert!(members.len() > 3, "{section}");
    let names: Vec<String> = members.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let types = members.iter().map(|(name, kind)| {
        let is = match *kind {
            "string" | "boolean" | "number" => format!("type == \"{kind}\""),
            "name" => "type == \"string\" or (keys == [\"bytes\"] and (.bytes | type) == \"string\")".into(),
            "strings" => "type == \"array\" and all(.[]; type == \"string\")".into(),
            "numbers" => "type == \"object\" and all(.[]; type == \"number\" or . == null)".into(),
            "objects" => "type == \"array\" and all(.[]; type == \"object\")".into(),
            "counts" => "type == \"object\" and all(.[]; type == \"number\")".into(),
            other => panic!("an unknown type: {other}"),
        };
        format!(" and (.{name} | {is})")
    });
    format!("keys_unsorted == [{}]{}", names.join(","), types.collect::<String>())
}

#[test]
fn json_has_the_members_of_the_manual() {
    if !need("jq") {
        return;
    }
    let end = records(&["--json"], b'\n');
    end.check(
        "no control characters",
        end.stdout.iter().all(|byte| *byte == b'\n' || !byte.is_ascii_control()),
    );
    end.check("all records", end.lines().len() == NAMES.len());
    holds_to_the_schema(&end.stdout, "man/inotifywait.1", "JSON");

    let dir = tempdir();
    fs::create_dir(dir.path().join("d\n\"")).unwrap();
    let run = Running::ready(inotifywatch(dir.path(), ["--json", "-r", "."]));
    create(&dir.path().join("d\n\""), &NAMES);
    let end = run.stop();
    end.code(0).check("rows", end.lines().len() == 1);
    holds_to_the_schema(&end.stdout, "man/inotifywatch.1", "JSON");
    let row = jq(&["-c", "[.path, .total, .events]"], &end.stdout);
    let counts = r#"{"attrib":0,"close_write":7,"open":7,"create":7}"#.replace("\"attrib\":0,", "");
    end.check("counts", row == format!("[\"./d\\n\\\"/\",21,{counts}]\n").as_bytes());
}

/// The recipe of the manual for names that are no UTF-8.
#[test]
fn names_come_out_of_json_byte_for_byte() {
    if !need("jq") {
        return;
    }
    let end = records(&["--json"], b'\n');
    let text = jq(&["-j", ".name | if type == \"string\" then . + \"\\u0000\" else \"\" end"], &end.stdout);
    let utf8 = NAMES.iter().filter(|name| std::str::from_utf8(name).is_ok());
    assert_eq!(text, utf8.flat_map(|name| [name, &b"\0"[..]].concat()).collect::<Vec<u8>>());
    let base64 = jq(&["-r", "select(.name | type == \"object\") | .name.bytes"], &end.stdout);
    assert_eq!(base64, b"//4=\n");
}

#[test]
fn a_json_record_has_the_values_of_the_other_formats() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut run =
        Running::ready(inotifywait(dir.path(), ["-m", "--json", "-e", "move,isdir,delete_self", "d"]));
    fs::create_dir(dir.path().join("d/a")).unwrap();
    fs::rename(dir.path().join("d/a"), dir.path().join("d/b")).unwrap();
    run.expect("two records", |lines| lines.len() == 2);
    let end = run.stop();
    let cookie = Regex::new(r#""cookie":([1-9][0-9]*)}$"#).unwrap();
    let lines = end.lines();
    let cookies: Vec<&str> =
        lines.iter().map(|line| cookie.captures(line).unwrap().get(1).unwrap().as_str()).collect();
    end.check("one cookie", cookies[0] == cookies[1]);
    let rest = r#","path":"d/b","watched":"d/","name":"b","events":["MOVED_TO"],"isdir":true,"cookie":"#;
    end.check(rest, lines[1].contains(rest));

    // The path of an entry is whole where `%w` has no slash.
    symlink("d", dir.path().join("link")).unwrap();
    let run = Running::ready(inotifywait(dir.path(), ["--json", "-e", "create", "link"]));
    fs::write(dir.path().join("d/n"), "").unwrap();
    let end = run.finish();
    let rest = r#","path":"link/n","watched":"link","name":"n","events":["CREATE"]"#;
    end.code(0).check(rest, end.lines()[0].contains(rest));

    fs::write(dir.path().join("f"), "").unwrap();
    let run = Running::ready(inotifywait(dir.path(), ["--json", "-e", "close", "f"]));
    fs::write(dir.path().join("f"), "").unwrap();
    let end = run.finish();
    let rest =
        r#","path":"f","watched":"f","name":"","events":["CLOSE_WRITE","CLOSE"],"isdir":false,"cookie":0}"#;
    end.code(0).check(rest, end.lines()[0].ends_with(rest));
}

#[test]
fn the_time_is_in_utc_and_has_a_fraction() {
    let dir = tempdir();
    let mut command = inotifywait(dir.path(), ["-e", "create", "--format", "%{time} %f %%{time} %{e}", "."]);
    command.env("TZ", "Asia/Tokyo");
    let run = Running::ready(command);
    let before = SystemTime::now();
    create(dir.path(), &[b"f"]);
    let end = run.finish();
    let line = end.code(0).lines().remove(0);
    let (time, rest) = line.split_once(' ').unwrap();
    end.check("the rest", rest == "f %{time} CREATE}");
    end.check("the form", Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$").unwrap().is_match(time));
    let time: DateTime<Utc> = time.parse().unwrap();
    let since = DateTime::<Utc>::from(before) - chrono::TimeDelta::microseconds(1);
    end.check("the present", time >= since && time <= Utc::now());
}

#[test]
fn a_table_in_json_has_no_empty_lines() {
    let dir = tempdir();
    let mut run = Running::ready(inotifywatch(dir.path(), ["--json", "-z", "-e", "create,unmount", "."]));
    create(dir.path(), &[b"f"]);
    run.wait_asleep();
    run.signal(Signal::SIGUSR1);
    run.expect("a row", |lines| lines.len() == 1);
    let end = run.stop();
    let row = Regex::new(
        r#"^\{"time":"[^"]+Z","seconds":\d+\.\d+,"path":"./","total":1,"events":\{"create":1,"unmount":0\}\}$"#,
    )
    .unwrap();
    end.code(0)
        .check("two rows", end.lines().len() == 2 && end.lines().iter().all(|line| row.is_match(line)));
}

#[test]
fn a_table_of_nothing_is_no_json() {
    let dir = tempdir();
    let end = Running::ready(inotifywatch(dir.path(), ["--json", "."])).stop();
    end.code(0).printed("").check("the message", end.stderr.ends_with(b"No events occurred.\n"));
}
