//! What holds of `inotifywatch --limits`, whatever the files of proc(5) contain.

use inotify_tools::internals::{Process, Report, parse_limits as parse};
use regex::bytes::Regex;
use serde_json::Value;

/// Checks the parsers on any text, and a report of processes with that for a name and with these numbers.
pub fn holds(text: &[u8], numbers: &[u32]) {
    let found = |pattern: &str| Regex::new(pattern).expect("valid").find_iter(text).count();
    assert_eq!(parse::watches(text), found("(?m-u)^inotify wd:"));
    if found("(?m-u)^Uid:") == 0 {
        assert_eq!(parse::user(text), None);
    }
    if found(r"(?-u)\A\s*\+?[0-9]+\s*\z") == 0 {
        assert_eq!(parse::limit(text), None);
    }
    let _ = (parse::is_initial(text), parse::is_kernel_thread(text));
    files_are_read_back(text, numbers);
    is_shown(text, numbers);
}

/// What the kernel writes around a name.
fn files_are_read_back(name: &[u8], numbers: &[u32]) {
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
    let flags = number(0);
    let stat = [b"7 (", name, format!(") S 1 7 7 0 -1 {flags} 0 0").as_bytes()].concat();
    assert_eq!(parse::is_kernel_thread(&stat), flags & 0x0020_0000 != 0, "{}", stat.escape_ascii());
    let ids = format!("Uid:\t{}\t{}\t{}\t{}\n", number(1), number(2), number(1), number(1));
    let line: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'\n').collect();
    let status = [b"Name:\t", &line[..], b"\nState:\tS\n", ids.as_bytes()].concat();
    assert_eq!(parse::user(&status), Some(number(2)));
    assert_eq!(parse::limit(format!("{flags}\n").as_bytes()), Some(u64::from(flags)));
}

/// The report has a row for each process and no control character within, and its JSON the same numbers.
fn is_shown(command: &[u8], numbers: &[u32]) {
    let process = |(at, number): (usize, &u32)| Process {
        pid: at as i32,
        user: number >> 16 & 3,
        instances: *number as usize & 0xff,
        watches: *number as usize >> 8 & 0xff,
        command: command.to_vec(),
    };
    let processes: Vec<Process> = numbers.iter().enumerate().map(process).collect();
    let limits =
        [("max_user_watches", Some(100)), ("max_user_instances", Some(0)), ("max_queued_events", None)];
    for own in [0, 2] {
        let report = Report::new(limits, own, processes.clone(), numbers.len(), false);
        let used = |of: fn(&Process) -> usize| {
            let own = processes.iter().filter(|process| process.user == report.user);
            own.map(of).sum::<usize>()
        };
        let (watches, instances) = (used(|process| process.watches), used(|process| process.instances));
        assert_eq!((report.limits[0].used, report.limits[1].used), (Some(watches), Some(instances)));
        assert!(own == 0 || report.user == own);
        assert!(report.processes.is_sorted_by(|one, next| {
            (one.watches, one.instances) > (next.watches, next.instances)
                || (one.watches, one.instances) == (next.watches, next.instances) && one.pid < next.pid
        }));
        let table = report.table();
        let lines: Vec<&[u8]> = table.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(
            lines.len(),
            if numbers.is_empty() { 4 } else { 6 + numbers.len() },
            "{}",
            table.escape_ascii()
        );
        assert!(!lines.concat().iter().any(|byte| *byte != b'\n' && byte.is_ascii_control()));
        let json: Value = serde_json::from_slice(&report.json()).expect("JSON");
        assert_eq!(json["used"]["watches"], watches);
        let shown = json["processes"].as_array().expect("an array");
        assert_eq!(shown.len(), numbers.len());
        for (shown, process) in shown.iter().zip(&report.processes) {
            assert_eq!(
                (&shown["pid"], &shown["uid"], &shown["instances"], &shown["watches"]),
                (
                    &process.pid.into(),
                    &process.user.into(),
                    &process.instances.into(),
                    &process.watches.into()
                )
            );
        }
        let advice = String::from_utf8(report.advice().to_bytes()).expect("ASCII");
        assert_eq!(advice.contains("max_user_watches="), watches >= 80);
        assert!(!advice.contains("max_user_instances="), "of none, no part is used");
        assert_eq!(advice.contains("hidden"), !numbers.is_empty());
    }
}
