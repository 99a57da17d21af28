//! Times: byte for byte what a C program gets from localtime and strftime.
//!
//! The zone belongs to the process, and must not change under a threaded one. So each zone's times
//! are rendered by a child: this test binary again, running only [`render`].

#![allow(clippy::expect_used)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::SystemTime;

use inotify_tools::internals::{Clock, TimeFormat};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// Reads records "zone NUL seconds NUL format NUL", writes "time NUL" for each. An empty time is
/// told from one that does not fit by the byte in front of the format.
const ORACLE: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(void) {
    static char out[(4 << 20) + 2];
    char *zone = NULL, *seconds = NULL, *format = NULL;
    size_t a = 0, b = 0, c = 0;
    while (getdelim(&zone, &a, 0, stdin) > 0 && getdelim(&seconds, &b, 0, stdin) > 0
           && getdelim(&format, &c, 0, stdin) > 0) {
        setenv("TZ", zone, 1);
        tzset();
        time_t t = strtoll(seconds, NULL, 10);
        struct tm *tm = localtime(&t);
        char *guarded = malloc(strlen(format) + 2);
        strcpy(guarded, "|");
        strcat(guarded, format);
        size_t n = tm ? strftime(out, sizeof out, guarded, tm) : 0;
        if (n > 0)
            fwrite(out + 1, 1, n - 1, stdout);
        putchar(0);
        free(guarded);
    }
    return 0;
}
"#;

/// Letters and digits as abbreviations, with daylight saving and without, north and south, whole
/// and broken hours, files of tzdata and POSIX strings, the system's own and nonsense.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    ":Pacific/Apia",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "<-03>3",
    "<+0530>-5:30",
    "EST5EDT",
    "",
    "No/Such_Zone",
];

/// Around changes of daylight saving, of the year and of the epoch, and far away.
const MOMENTS: &[i64] = &[
    0,
    -1,
    1_743_296_399,
    1_743_296_400,
    1_761_440_400,
    1_735_689_599,
    1_735_689_600,
    1_325_239_200,
    951_782_400,
    -2_208_988_800,
    -5_000_000_000,
    253_402_300_800,
    67_767_976_233_532_799,
    67_767_976_233_619_200,
    i64::MAX,
    i64::MIN,
];

#[derive(Debug, Clone)]
struct Case {
    zone: &'static str,
    seconds: i64,
    format: Vec<u8>,
}

fn conversion() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![3 => Just(String::new()), 1 => "[-_0^#+]{1,2}".prop_map(String::from)];
    let width = prop_oneof![
        4 => Just(String::new()),
        2 => (0..40_u32).prop_map(|width| width.to_string()),
        1 => Just("1000".to_owned()),
    ];
    let modifier = prop_oneof![4 => Just(""), 1 => Just("E"), 1 => Just("O")];
    let letter = prop_oneof![
        8 => select(&b"aAbBcCdDeFgGhHIjklmMnNpPrRsStTuUVwWxXyYzZ+%"[..]),
        1 => 1..=u8::MAX,
    ];
    (flags, width, modifier, letter).prop_map(|(flags, width, modifier, letter)| {
        let mut conversion = format!("%{flags}{width}{modifier}").into_bytes();
        conversion.push(letter);
        conversion
    })
}

fn format() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => conversion(),
        1 => (1..=u8::MAX).prop_map(|byte| vec![byte]),
        1 => select(vec!["%", "%E", "%5", "%_", " ", "ä"]).prop_map(|text| text.into()),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn case() -> impl Strategy<Value = Case> {
    let seconds = prop_oneof![
        2 => select(MOMENTS),
        2 => 1_500_000_000..2_000_000_000_i64,
        1 => -70_000_000_000..300_000_000_000_i64,
        1 => any::<i64>(),
    ];
    (select(ZONES), seconds, format()).prop_map(|(zone, seconds, format)| Case { zone, seconds, format })
}

/// Runs `command` in `zone` with `input` and returns its stdout.
fn run(command: &mut Command, zone: &str, input: Vec<u8>) -> Vec<u8> {
    let mut child =
        command.env("TZ", zone).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
    let mut stdin = child.stdin.take().expect("stdin");
    let writer = thread::spawn(move || stdin.write_all(&input));
    let mut output = Vec::new();
    child.stdout.take().expect("stdout").read_to_end(&mut output).expect("read");
    writer.join().expect("join").expect("write");
    assert!(child.wait().expect("wait").success(), "{command:?}");
    output
}

fn build_oracle(directory: &Path) -> PathBuf {
    let source = directory.join("oracle.c");
    let program = directory.join("oracle");
    std::fs::write(&source, ORACLE).expect("write");
    let status = Command::new("cc").args(["-w", "-o"]).args([&program, &source]).status();
    assert!(status.expect("cc").success());
    program
}

/// The child: reads records "seconds NUL format NUL" from stdin and writes "time NUL" for each
/// into the file that `TIMEFMT_TEST_OUT` names, for stdout is the test harness's.
#[test]
fn render() {
    let Some(file) = std::env::var_os("TIMEFMT_TEST_OUT") else {
        return;
    };
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("read");
    let mut fields = input.split(|byte| *byte == 0);
    let mut out = Vec::new();
    while let (Some(seconds), Some(format)) = (fields.next(), fields.next()) {
        let seconds = std::str::from_utf8(seconds).expect("digits");
        let mut format = TimeFormat::new(format.to_vec());
        format.append(seconds.parse().expect("seconds"), &mut out);
        out.push(0);
    }
    std::fs::write(file, out).expect("write");
}

/// What `TimeFormat` makes of `cases`, all of one zone.
fn ours(directory: &Path, zone: &str, cases: &[&Case]) -> Vec<Vec<u8>> {
    let file = directory.join("ours");
    let mut input = Vec::new();
    for case in cases {
        input.extend(format!("{}\0", case.seconds).into_bytes());
        input.extend(&case.format);
        input.push(0);
    }
    let mut child = Command::new(std::env::current_exe().expect("path"));
    child.args(["--exact", "render"]).env("TIMEFMT_TEST_OUT", &file);
    run(&mut child, zone, input);
    times(&std::fs::read(file).expect("read"))
}

fn times(output: &[u8]) -> Vec<Vec<u8>> {
    let mut times: Vec<Vec<u8>> = output.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(times.pop(), Some(Vec::new()));
    times
}

/// As much of `time` as a reader wants to see.
fn start(time: &[u8]) -> String {
    time[..time.len().min(200)].escape_ascii().to_string()
}

/// Renders all cases both ways and compares.
fn compare(cases: &[Case]) {
    let directory = tempfile::tempdir().expect("tempdir");
    let oracle = build_oracle(directory.path());
    let mut differences = Vec::new();
    for zone in ZONES {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.zone == *zone).collect();
        if cases.is_empty() {
            continue;
        }
        let mut input = Vec::new();
        for case in &cases {
            input.extend(format!("{}\0{}\0", case.zone, case.seconds).into_bytes());
            input.extend(&case.format);
            input.push(0);
        }
        let theirs = times(&run(&mut Command::new(&oracle), "UTC", input));
        let ours = ours(directory.path(), zone, &cases);
        assert_eq!((theirs.len(), ours.len()), (cases.len(), cases.len()));
        for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
            if theirs != ours && differences.len() < 10 {
                differences.push(format!(
                    "{} {} {:?}: expected {:?}, got {:?}",
                    case.zone,
                    case.seconds,
                    case.format.escape_ascii().to_string(),
                    start(theirs),
                    start(ours),
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn random_formats_are_rendered_as_by_strftime() {
    let cases = Config::default().cases.max(20_000);
    let mut runner = TestRunner::default();
    let strategy = case();
    let cases: Vec<Case> =
        (0..cases).map(|_| strategy.new_tree(&mut runner).expect("a case").current()).collect();
    compare(&cases);
}

/// Each conversion by itself, at each moment, in each zone.
#[test]
fn every_conversion_is_rendered_as_by_strftime() {
    let mut cases = Vec::new();
    for letter in 1..=u8::MAX {
        for seconds in MOMENTS {
            for zone in ZONES {
                cases.push(Case { zone, seconds: *seconds, format: vec![b'%', letter] });
            }
        }
    }
    compare(&cases);
}

/// The zones that the tests above rely on differ from each other, that is, tzdata is there.
#[test]
fn zones_have_their_names() {
    let directory = tempfile::tempdir().expect("tempdir");
    let name = |zone, seconds| {
        let case = Case { zone, seconds, format: b"%Z %z".to_vec() };
        String::from_utf8(ours(directory.path(), zone, &[&case]).concat()).expect("ASCII")
    };
    assert_eq!(name("CET-1CEST,M3.5.0,M10.5.0/3", 1_743_296_399), "CET +0100");
    assert_eq!(name("CET-1CEST,M3.5.0,M10.5.0/3", 1_743_296_400), "CEST +0200");
    assert_eq!(name("<-03>3", 0), "-03 -0300");
    if Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        assert_eq!(name("Europe/Berlin", 1_743_296_399), "CET +0100");
        assert_eq!(name("Europe/Berlin", 1_743_296_400), "CEST +0200");
        assert_eq!(name("America/Sao_Paulo", 1_743_296_400), "-03 -0300");
    } else {
        eprintln!("no tzdata: its zones were tried as unknown names only");
    }
}

fn rendered(format: &[u8], seconds: i64) -> Vec<u8> {
    let mut out = b"before ".to_vec();
    TimeFormat::new(format.to_vec()).append(seconds, &mut out);
    assert!(out.starts_with(b"before "));
    out.split_off(b"before ".len())
}

#[test]
fn a_format_may_be_empty_or_unfinished() {
    for format in [&b""[..], b"%", b"%E", b"%_2", b"\xff%"] {
        assert_eq!(rendered(format, 0), format);
    }
}

#[test]
fn a_wide_time_is_whole() {
    assert_eq!(rendered(b"%5000d", 86_400 * 9).len(), 5_000);
    assert_eq!(rendered(b"%4194304d", 0).len(), 4 << 20);
}

#[test]
fn a_time_beyond_the_bound_is_empty() {
    for format in ["%4194305d", "%99999999d", "%2147483647Y", "%99999999999999999999d"] {
        assert_eq!(rendered(format.as_bytes(), 0), b"", "{format}");
    }
}

#[test]
fn each_second_is_rendered_once() {
    let mut format = TimeFormat::new(b"%s".to_vec());
    let mut out = Vec::new();
    for seconds in [7, 7, 8, 7, i64::MIN, 8] {
        format.append(seconds, &mut out);
        out.push(b' ');
    }
    assert_eq!(out, b"7 7 8 7  8 ");
}

#[test]
fn now_is_the_systems_clock() {
    let before = SystemTime::now();
    let now = Clock::new(None).moment();
    assert!((before..=SystemTime::now()).contains(&now));
}
