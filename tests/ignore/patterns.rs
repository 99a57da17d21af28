//! Random patterns: what they match is what git says.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use inotify_tools::internals::{Patterns, git_value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use crate::common::{need, tempdir};

/// What patterns are made of.
const TOKENS: &[&[u8]] = &[
    b"a",
    b"a",
    b"b",
    b"ab",
    b"c",
    b"A",
    b"1",
    b".",
    b"-",
    b" ",
    b"\\ ",
    b"#",
    b"!",
    b"\\",
    b"\\a",
    b"\\*",
    b"\\[",
    b"\\/",
    b"/",
    b"/",
    b"/",
    b"*",
    b"*",
    b"**",
    b"**/",
    b"/**",
    b"/**/",
    b"***",
    b"?",
    b"?",
    b"[",
    b"]",
    b"[a]",
    b"[ab]",
    b"[!a]",
    b"[^a]",
    b"[a-c]",
    b"[c-a]",
    b"[]a]",
    b"[a-]",
    b"[-a]",
    b"[a/b]",
    b"[]-a]",
    b"[\\]a]",
    b"[a\\-c]",
    b"[a-b-c]",
    b"[[:alpha:]]",
    b"[[:digit:]-a]",
    b"[[:space:]]",
    b"[[:punct:]]",
    b"[![:upper:]]",
    b"[[:a]",
    b"[[:foo:]]",
    b"[[::]]",
    b"[[:]]",
    b"[a",
    b"[!",
    b"[]",
    b"[[:alpha:]",
    b"{a,b}",
    b"{",
    b"}",
    b"\xff",
    b"\xc3\xa4",
    b"\t",
    b"\r",
    b"\x0b",
];

/// Names of the tree on which patterns are tried.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"ab",
    b"A",
    b"1",
    b"a ",
    b" ",
    b"#a",
    b"!a",
    b"a.b",
    b"-",
    b"[a]",
    b"a*",
    b"\\",
    b"\\a",
    b"{a,b}",
    b"\xff",
    b"\xc3\xa4",
    b"a]",
    b"\x0b",
    b"\t",
    b"\r",
    b"a\r",
    b"abc",
];

/// A repository with a tree of files and directories; their paths, each with whether it is a directory.
fn repository() -> (TempDir, Vec<(Vec<u8>, bool)>) {
    let dir = tempdir();
    git(dir.path(), &["init", "-q"]);
    let mut paths = Vec::new();
    let mut add = |path: &[u8], directory: bool| {
        let at = dir.path().join(std::ffi::OsStr::from_bytes(path));
        if directory {
            fs::create_dir(&at).unwrap()
        } else {
            fs::write(&at, "").unwrap()
        }
        paths.push((path.to_vec(), directory));
    };
    for (number, name) in NAMES.iter().enumerate() {
        add(name, number % 3 > 0);
    }
    for above in [&b"b"[..], b"ab", b"\xc3\xa4"] {
        for (number, name) in NAMES.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
            add(&[above, b"/", *name].concat(), number % 4 > 0);
        }
    }
    for above in [&b"b/ab"[..], b"ab/ab"] {
        for name in &NAMES[..4] {
            add(&[above, b"/", *name].concat(), name == b"b");
        }
    }
    add(b"ab/ab/b/a", false);
    (dir, paths)
}

pub fn git(dir: &Path, arguments: &[&str]) {
    assert!(command(dir).args(arguments).status().unwrap().success(), "{arguments:?}");
}

/// Without anybody's configuration.
fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", dir);
    command
}

/// The paths that git ignores.
pub fn ignored(dir: &Path, paths: &[(Vec<u8>, bool)]) -> Vec<Vec<u8>> {
    let mut child = command(dir)
        .args(["check-ignore", "--no-index", "-z", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input: Vec<u8> = paths.iter().flat_map(|(path, _)| [b"./", &path[..], b"\0"].concat()).collect();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let mut found: Vec<Vec<u8>> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| path[2..].to_vec())
        .collect();
    found.sort();
    found
}

/// The paths that these patterns ignore: by themselves or by a directory above.
fn ours(patterns: &Patterns, paths: &[(Vec<u8>, bool)]) -> Vec<Vec<u8>> {
    let is_ignored = |(path, directory): &&(Vec<u8>, bool)| {
        let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
        slashes.into_iter().any(|at| patterns.verdict(&path[..at], true) == Some(true))
            || patterns.verdict(path, *directory) == Some(true)
    };
    let mut found: Vec<Vec<u8>> = paths.iter().filter(is_ignored).map(|(path, _)| path.clone()).collect();
    found.sort();
    found
}

fn shown(paths: &[Vec<u8>]) -> Vec<String> {
    paths.iter().map(|path| path.escape_ascii().to_string()).collect()
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    (
        select(vec![&b""[..], b"", b"", b"!", b"/", b"#", b"**/"]),
        vec(select(TOKENS), 1..5),
        select(vec![&b""[..], b"", b"", b"/", b" ", b"\r", b"/**"]),
    )
        .prop_map(|(start, tokens, end)| [start, &tokens.concat(), end].concat())
}

#[test]
fn patterns_match_the_same_paths_as_in_git() {
    if !need("git") {
        return;
    }
    let (dir, paths) = repository();
    let cases = std::env::var("IGNORE_CASES").map_or(300, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(lines in vec(line(), 1..6), last in select(vec![&b""[..], b"\n", b"\r\n"]), mark in 0..8)| {
        let text = [if mark == 0 { &b"\xef\xbb\xbf"[..] } else { b"" }, &lines.join(&b"\n"[..]), last].concat();
        fs::write(dir.path().join(".gitignore"), &text).unwrap();
        let (patterns, _) = Patterns::read(&text);
        prop_assert_eq!(shown(&ours(&patterns, &paths)), shown(&ignored(dir.path(), &paths)), "{}", text.escape_ascii());
    });
}

/// Sections, variables and values of git-config(1).
#[test]
fn a_configuration_has_the_value_that_git_reads() {
    if !need("git") {
        return;
    }
    let dir = tempdir();
    let parts = [
        &b"[core]\n"[..],
        b"[core]",
        b"[CORE]\n",
        b"[other]\n",
        b"[core \"x\"]\n",
        b"excludesFile = a\n",
        b"excludesfile=b c\n",
        b"EXCLUDESFILE =\n",
        b"\texcludesFile = \"d e\" f # g\n",
        b"excludesFile = h \\\n  i\n",
        b"excludesFile = j\\tk\\\\l\n",
        b"other = m\n",
        b"flag\n",
        b"# n\n",
        b"; o\n",
        b"\n",
        b"excludesFile = \" p \"  \n",
        b"excludesFile = q ; r\n",
        b"excludesFile=s",
    ];
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(parts in vec(select(parts.to_vec()), 0..7))| {
        let text = parts.concat();
        fs::write(dir.path().join("config"), &text).unwrap();
        let arguments = ["config", "--file", "config", "-z", "--get", "core.excludesFile"];
        let output = command(dir.path()).args(arguments).output().unwrap();
        // git refuses the whole file otherwise.
        prop_assume!(matches!(output.status.code(), Some(0 | 1)));
        let theirs = output.stdout.strip_suffix(b"\0").map(<[u8]>::to_vec);
        prop_assert_eq!(git_value(&text, b"core", b"excludesfile"), theirs, "{}", text.escape_ascii());
    });
}
