//! Holds `cli::getopt` to the C library's getopt_long(3), over the options of both tools.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use inotify_tools::internals::lex;
use inotify_tools::internals::options::{Kind, Opt, Tool, options};
use proptest::prelude::*;
use tempfile::TempDir;

type Line = (bool, Vec<Vec<u8>>);

/// The oracle, compiled once.
fn oracle() -> &'static Path {
    static ORACLE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = ORACLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("getopt");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/getopt.c");
        let mut cc = Command::new("cc");
        assert!(cc.arg("-o").args([&program, &source]).status().unwrap().success());
        (dir, program)
    });
    program
}

/// The options that the C library can have, too: it abbreviates every name.
fn table(tool: Tool) -> Vec<&'static Opt> {
    options(tool).filter(|option| !option.whole).collect()
}

fn takes_value(option: &Opt) -> bool {
    matches!(option.kind, Kind::Value(_))
}

/// What the C library makes of `lines`, one answer each.
fn theirs(table: &[&Opt], lines: &[Line]) -> Vec<Vec<u8>> {
    let mut letters = String::new();
    for option in table {
        letters.extend(option.short.map(char::from));
        if option.short.is_some() && takes_value(option) {
            letters.push(':');
        }
    }
    let names = table.iter().map(|o| format!("{}{}", if takes_value(o) { ":" } else { "" }, o.long));
    let mut input = Vec::new();
    for (posixly_correct, words) in lines {
        let posixly_correct = if *posixly_correct { "P" } else { "" };
        write!(input, "{}\0{posixly_correct}\0", words.len()).unwrap();
        for word in words {
            input.extend_from_slice(word);
            input.push(0);
        }
    }
    let mut child = Command::new(oracle())
        .arg(letters)
        .args(names)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());

    let mut answers = Vec::new();
    while let Some(end) = output.windows(2).position(|pair| pair == b"\0\0") {
        answers.push(output[..end].to_vec());
        output.drain(..end + 2);
    }
    assert_eq!((answers.len(), output.len()), (lines.len(), 0));
    answers
}

/// What `lex` makes of a line, in the oracle's form.
fn ours(table: &[&'static Opt], (posixly_correct, words): &Line, answer: &[u8]) -> Vec<u8> {
    let lexed = lex(words, table, *posixly_correct);
    let mut text = Vec::new();
    for (option, value) in &lexed.options {
        // The oracle tells the letter from the name; here they are one option.
        let long = format!("--{}", option.long).into_bytes();
        let short = option.short.map(|letter| vec![b'-', letter]);
        let rest = answer.get(text.len()..).unwrap_or_default();
        let short = short.filter(|short| rest.starts_with(short));
        text.extend_from_slice(&short.unwrap_or(long));
        if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(value);
        }
        text.extend_from_slice(b"\n\0");
    }
    for operand in lexed.operands.iter().filter(|_| lexed.error.is_none()) {
        text.extend_from_slice(operand);
        text.extend_from_slice(b"\n\0");
    }
    text.push(b'.');
    if let Some(error) = lexed.error {
        text.extend_from_slice(&[b"NAME: ", &error.message[..], b"\n"].concat());
    }
    text
}

/// A word that means something, or nearly.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(1u8.., 0..4);
    let names: Vec<&[u8]> =
        [Tool::Wait, Tool::Watch].into_iter().flat_map(table).map(|option| option.long.as_bytes()).collect();
    let name = (prop::sample::select(names), 0..16usize)
        .prop_map(|(name, length)| name[..length.min(name.len())].to_vec());
    let long = (name, prop::option::of(bytes())).prop_map(|(name, value)| {
        let value = value.map(|value| [b"=", &value[..]].concat());
        [b"--", &name[..], &value.unwrap_or_default()].concat()
    });
    let cluster = "-[hemqtrIFScdsPoZvzaf=?:;-]{0,4}".prop_map(String::into_bytes);
    prop_oneof![
        4 => long,
        4 => cluster,
        2 => bytes(),
        1 => bytes().prop_map(|tail| [b"--", &tail[..]].concat()),
        1 => Just(b"--".to_vec()),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    (prop::bool::weighted(0.2), prop::collection::vec(word(), 0..6))
}

/// What the words for fanotify are taken for is the same under all names; `--mount`, which the reference does not
/// have, makes nothing ambiguous.
#[test]
fn abbreviations_of_the_interfaces_are_the_references() {
    const WAIT: &str = "'--filename' '--fanotify' '--filesystem' '--format' '--fromfile'";
    const WATCH: &str = "'--fanotify' '--filesystem' '--fromfile'";
    for (tool, word, expected) in [
        (Tool::Wait, "--f", Err(WAIT)),
        (Tool::Watch, "--f", Err(WATCH)),
        (Tool::Wait, "--fa", Ok("fanotify")),
        (Tool::Watch, "--fa", Ok("fanotify")),
        (Tool::Wait, "--fi", Err("'--filename' '--filesystem'")),
        (Tool::Wait, "--file", Err("'--filename' '--filesystem'")),
        (Tool::Watch, "--fi", Ok("filesystem")),
        (Tool::Wait, "--files", Ok("filesystem")),
        (Tool::Wait, "--ino", Ok("inotify")),
        (Tool::Wait, "--in", Err("'--inotify' '--include' '--includei'")),
        (Tool::Wait, "--mo", Ok("monitor")),
        (Tool::Wait, "--mount", Ok("mount")),
        (Tool::Watch, "--mount", Ok("mount")),
    ] {
        let words = [word.as_bytes().to_vec()];
        let table: Vec<_> = options(tool).collect();
        let lexed = lex(&words, &table, false);
        let found = match &lexed.error {
            Some(error) => Err(String::from_utf8(error.message.clone()).unwrap()),
            None => Ok(lexed.options[0].0.long),
        };
        let expected =
            expected.map_err(|names| format!("option '{word}' is ambiguous; possibilities: {names}"));
        assert_eq!(found, expected, "{tool:?} {word}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_are_sorted_out_as_by_getopt_long(lines in prop::collection::vec(line(), 1..200)) {
        for tool in [Tool::Wait, Tool::Watch] {
            let table = table(tool);
            for (line, answer) in lines.iter().zip(theirs(&table, &lines)) {
                let mine = ours(&table, line, &answer);
                prop_assert_eq!(
                    String::from_utf8_lossy(&mine),
                    String::from_utf8_lossy(&answer),
                    "{:?} {:?}", tool, line
                );
            }
        }
    }
}
