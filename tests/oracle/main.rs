//! Ours against the reference: every case of one table is run with both, each in a fresh
//! directory, and what they print and how they end is compared. What differs on purpose is
//! listed, with its reason, in docs/compatibility.md, which is read here: a difference that is not
//! listed fails, and so does an entry whose case no longer differs.
//!
//! `ORACLE=reference` runs the table against the reference alone, twice, and asks that both runs
//! agree; `ORACLE_PRINT=1` prints what it did. `ORACLE_ONLY=prefix` takes the cases so named.
//! `ORACLE_REFERENCE_DIR` is where the reference is (/usr/bin), `ORACLE_OURS_DIR` where ours is. The reference may also be
//! of version 4, which `make oracle-4` fetches: its differences have a list of their own.
//! Without a reference the test is skipped, as are the cases that mount or log where that is not allowed; in CI
//! that is a failure.

// What cannot be had here makes the test fail, and panicking is how.
#![allow(clippy::unwrap_used)]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod list;
mod ops;
mod run;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cases::fanotify;
use cases::{Case, Program, Text, Tool};
use list::Version;
use run::{Broken, Outcome, contains, is_root};

/// Cases that run at the same time.
const THREADS: usize = 8;
/// Set in the copy of this program that has mounts of its own.
const INSIDE: &str = "ORACLE_INSIDE";

#[test]
fn ours_and_the_reference_agree() {
    let reference = env::var_os("ORACLE_REFERENCE_DIR").unwrap_or("/usr/bin".into());
    let reference = PathBuf::from(reference);
    let mode = env::var("ORACLE").unwrap_or_default();
    let Some(version) = version(&reference) else {
        common::skip(&format!("no reference in {reference:?}"));
        return;
    };
    let own_mounts = env::var_os(INSIDE).is_some();
    if !own_mounts && is_root() && unshare().arg("true").status().is_ok_and(|s| s.success()) {
        // As root everything runs once more in here, in a mount namespace of its own: the mounts of
        // the cases are nobody else's, and none is left behind.
        let inside = unshare()
            .arg(env::current_exe().unwrap())
            .args(["--exact", "ours_and_the_reference_agree", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        println!("{}", String::from_utf8_lossy(&inside.stdout));
        eprintln!("{}", String::from_utf8_lossy(&inside.stderr));
        assert!(inside.status.success(), "see above");
        return;
    }
    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let reference_only = mode == "reference";
    let ours = if reference_only { reference.clone() } else { ours(base.path()) };
    let only = env::var("ORACLE_ONLY").unwrap_or_default();
    let table: Vec<Case> = cases::table()
        .into_iter()
        .filter(|case| case.name.starts_with(&only))
        .filter(|case| own_mounts || !(case.mounts || case.syslog || case.program.fanotify))
        .collect();
    if own_mounts {
        common::mount_tmpfs(Path::new(fanotify::BASE)).unwrap();
    } else {
        common::skip("the cases that mount or log, and fanotify's, need root and a mount namespace");
    }
    let listed = list::read(version);
    let further = list::Further::read();
    let sides = Sides {
        reference: &reference,
        ours: &ours,
        base: base.path(),
        reference_only,
        version,
        listed: &listed,
        further: &further,
    };
    let failures = Mutex::new(Vec::new());
    // What makes namespaces or mounts runs by itself: a namespace made meanwhile keeps a copy
    // of a mount, and so puts off its end.
    let (alone, together): (Vec<&Case>, Vec<&Case>) =
        table.iter().partition(|case| case.mounts || case.syslog);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = together.get(next.fetch_add(1, Ordering::SeqCst)) {
                    check(case, &sides, &failures);
                }
            });
        }
    });
    for case in alone {
        check(case, &sides, &failures);
    }
    let failures = failures.into_inner().unwrap();
    println!("{} cases, {} failed", table.len(), failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
    if own_mounts && only.is_empty() && !reference_only && version == Version::V3 {
        assert_eq!(further.unused(), [""; 0], "lines of docs/compatibility.md that no case prints");
    }
}

/// Names are what the list and the reports speak of.
#[test]
fn names_are_unique_and_the_list_names_cases() {
    let table = cases::table();
    let names: BTreeSet<&str> = table.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), table.len(), "a name occurs twice");
    assert!(table.len() >= 230);
    for (entry, reason) in [Version::V3, Version::V4].into_iter().flat_map(list::read) {
        assert!(!reason.is_empty(), "{entry}: no reason");
        assert!(
            table.iter().any(|case| list::is_match(&entry, &case.name)),
            "docs/compatibility.md lists {entry}, which is no case"
        );
    }
    let listed = list::read(Version::V3);
    for case in &table {
        let is_listed = list::has(&listed, &case.name);
        assert_eq!(
            is_listed,
            case.expect.is_some(),
            "{}: the list and the table disagree on whether it differs",
            case.name
        );
    }
}

struct Sides<'a> {
    reference: &'a Path,
    ours: &'a Path,
    base: &'a Path,
    reference_only: bool,
    version: Version,
    listed: &'a [(String, String)],
    further: &'a list::Further,
}

fn check(case: &Case, sides: &Sides, failures: &Mutex<Vec<String>>) {
    let ours_end = match &case.ours_end {
        Some(end) if !sides.reference_only => end,
        _ => &case.end,
    };
    let (reference, reference_listing) = run::run(case, sides.reference, sides.base, &case.end);
    let (ours, ours_listing) = run::run(case, sides.ours, sides.base, ours_end);
    if env::var_os("ORACLE_PRINT").is_some() {
        println!("{}\n{}", headline(case), show("reference", &reference, ""));
    }
    let listed = !sides.reference_only && list::has(sides.listed, &case.name);
    // What the list allows ours to say besides.
    let ours = match (&reference, ours) {
        (Ok(reference), Ok(mut ours)) if !sides.reference_only => {
            ours.stderr = sides.further.without(&reference.stderr, &ours.stderr);
            ours.syslog = sides.further.without(&reference.syslog, &ours.syslog);
            Ok(ours)
        }
        (_, ours) => ours,
    };
    let verdict = match (&reference, &ours) {
        // 4.x may crash, or wait where it should end.
        (Err(_), Ok(_)) if listed && sides.version == Version::V4 => Ok(()),
        (Err(_), _) => Err("the reference's run broke"),
        (_, Err(_)) => Err("our run broke"),
        (Ok(reference), Ok(ours)) if !listed => match reference == ours {
            true => Ok(()),
            false if sides.reference_only => Err("the reference differs from itself"),
            false => Err("they differ, and docs/compatibility.md does not list it"),
        },
        (Ok(reference), Ok(ours)) if reference == ours => {
            Err("listed in docs/compatibility.md, but they agree: the list has drifted")
        }
        (Ok(_), Ok(_)) if sides.version == Version::V4 => Ok(()),
        (Ok(reference), Ok(ours)) => expected(case, reference, ours),
    };
    if let Err(why) = verdict {
        failures.lock().unwrap().push(format!(
            "{}\n  {why}\n{}{}",
            headline(case),
            show("reference", &reference, &reference_listing),
            show("ours", &ours, &ours_listing),
        ));
    }
}

/// Whether ours does what the case says that it does instead.
fn expected(case: &Case, reference: &Outcome, ours: &Outcome) -> Result<(), &'static str> {
    let Some(expect) = &case.expect else {
        return Err("listed in docs/compatibility.md, but the case does not say what ours does");
    };
    let fits = |text: &Text, reference: &[u8], ours: &[u8]| match text {
        Text::Same => ours == reference,
        Text::Is(bytes) => ours == bytes,
        Text::Has(bytes) => contains(ours, bytes),
    };
    if ours.status != expect.status.unwrap_or(&reference.status) {
        return Err("it differs as listed, but the exit status is not the expected one");
    }
    if !fits(&expect.stdout, &reference.stdout, &ours.stdout) {
        return Err("it differs as listed, but stdout is not the expected one");
    }
    if !fits(&expect.stderr, &reference.stderr, &ours.stderr) {
        return Err("it differs as listed, but stderr is not the expected one");
    }
    let file = |outcome: &Outcome| outcome.outfile.clone().unwrap_or_default().1;
    if !fits(&expect.outfile, &file(reference), &file(ours)) {
        return Err("it differs as listed, but the outfile is not the expected one");
    }
    Ok(())
}

fn headline(case: &Case) -> String {
    let args: Vec<String> = case.args.iter().map(|arg| format!("'{}'", arg.escape_ascii())).collect();
    let mut line = format!("== {}: {} {}", case.name, case.program.name(), args.join(" "));
    if let Some(script) = case.shell {
        line += &format!("\n   by sh -c {script:?}");
    }
    for op in &case.ops {
        if line.len() < 4000 {
            line += &format!("\n   {}", show_op(op));
        }
    }
    if let Some(expect) = &case.expect {
        line += &format!("\n   expected of ours: {}", show_expect(expect));
    }
    line
}

fn show_op(op: &ops::Op) -> String {
    // Names are bytes; as text they can be read.
    let debug = format!("{op:?}");
    let mut text = String::new();
    let mut rest = debug.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        let (list, after) = after.split_once(']').unwrap_or((after, ""));
        let bytes: Vec<u8> = list.split(", ").filter_map(|n| n.parse().ok()).collect();
        text += &format!("{before}\"{}\"", bytes.escape_ascii());
        rest = after;
    }
    text + rest
}

fn show_expect(expect: &cases::Expect) -> String {
    let text = |text: &Text| match text {
        Text::Same => String::from("the same"),
        Text::Is(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Text::Has(bytes) => format!("has \"{}\"", bytes.escape_ascii()),
    };
    format!(
        "status {}, stdout {}, stderr {}, outfile {}",
        expect.status.unwrap_or("the same"),
        text(&expect.stdout),
        text(&expect.stderr),
        text(&expect.outfile)
    )
}

fn show(who: &str, result: &Result<Outcome, Broken>, listing: &str) -> String {
    let (seen, broken) = match result {
        Ok(seen) => (seen, String::new()),
        Err(Broken { why, seen }) => (seen, format!(", broken: {why}")),
    };
    let mut text = format!("  {who}: {}{broken}\n", seen.status);
    let mut part = |name: &str, bytes: &[u8]| {
        for line in bytes.split_inclusive(|&b| b == b'\n').take(400) {
            text += &format!("    {name}| {}\n", line.escape_ascii());
        }
    };
    part("stdout", &seen.stdout);
    part("stderr", &seen.stderr);
    part("syslog", &seen.syslog);
    if let Some((mode, bytes)) = &seen.outfile {
        part("outfile", format!("{mode:o}\n").as_bytes());
        part("outfile", bytes);
    }
    for line in listing.lines().take(60) {
        text += &format!("    listing| {line}\n");
    }
    text
}

/// The version of the reference in a directory, if that is what is there rather than ours under its name.
fn version(dir: &Path) -> Option<Version> {
    let version = |tool: Tool| {
        let output = Command::new(dir.join(tool.name())).arg("-h").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split([' ', '.']).nth(1)?.parse::<u32>().ok()
    };
    match (version(Tool::Wait), version(Tool::Watch)) {
        (Some(3), Some(3)) => Some(Version::V3),
        (Some(4), Some(4)) => Some(Version::V4),
        _ => None,
    }
}

/// A directory with our two programs that every user can reach.
fn ours(base: &Path) -> PathBuf {
    if let Some(dir) = env::var_os("ORACLE_OURS_DIR") {
        return dir.into();
    }
    let dir = base.join("bin");
    fs::create_dir(&dir).unwrap();
    for program in Program::ALL {
        fs::copy(common::binary(program.tool.name()), dir.join(program.name())).unwrap();
    }
    dir
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private"]);
    command
}
