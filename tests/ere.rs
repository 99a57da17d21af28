//! Extended regular expressions: the same verdict as the C library's, whatever the pattern.

use std::ffi::CString;

use inotify_tools::ere::Ere;
use inotify_tools::sys;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes that subjects are made of, and literals of patterns.
const BYTES: &[u8] = b"abAZz/._-19 \n\x80\xff";

/// What a pattern may have besides literals, whole where only a whole makes sense.
const TOKENS: &[&[u8]] = &[
    b"^",
    b"$",
    b".",
    b"*",
    b"+",
    b"?",
    b"{2}",
    b"{0}",
    b"{,2}",
    b"{1,}",
    b"{,}",
    b"{0,1}",
    b"{1,2}",
    b"{2,1}",
    b"{",
    b"}",
    b"(",
    b")",
    b"|",
    b"||",
    b"()",
    b"\\<",
    b"\\>",
    b"\\b",
    b"\\B",
    b"\\w",
    b"\\W",
    b"\\s",
    b"\\S",
    b"\\`",
    b"\\'",
    b"\\",
    b"\\\\",
    b"\\.",
    b"\\a",
    b"\\A",
    b"\\q",
    b"\\/",
    b"\\n",
    b"\\{",
    b"\\}",
    b"\\(",
    b"\\)",
    b"\\|",
    b"\\+",
    b"\\,",
    b"\\1",
    b"\\2",
    b"\\0",
    b"\\\x80",
    b"[",
    b"]",
    b"[^",
    b"[]",
    b"[^]",
    b"[]-a]",
    b"[a-]",
    b"[^-a]",
    b"[--/]",
    b"[a\\]",
    b"[^a\\]",
    b"[[:digit:]]",
    b"[^[:alnum:]_]",
    b"[[:upper:]]",
    b"[[:lower:]-]",
    b"[[:space:][:punct:]]",
    b"[[:alpha:]-z]",
    b"[[:cntrl:]]",
    b"[[:print:]]",
    b"[[:graph:]]",
    b"[[:blank:]]",
    b"[[:xdigit:]]",
    b"[[:word:]]",
    b"[:digit:]",
    b"[[.-.]]",
    b"[[.a.]-z]",
    b"[[.space.]]",
    b"[[..]]",
    b"[[=a=]]",
    b"[[=a=]b]",
    b"[[.].]]",
    b"[[=-=]-a]",
    b"[+--]",
    b"[a-z]",
    b"[A-z]",
    b"[Z-a]",
    b"[+-a]",
    b"[z-a]",
    b"[\x80-\xff]",
    b"[a-\xff]",
    b"[^\x80]",
    b"[^\n]",
    b"[^a-z]",
    b"[^_]",
    b"[.]",
    b"[[.",
    b".]",
    b"[[:",
    b":]",
    b"[[]",
    b"[[a]",
    b"[[.hyphen.]]",
    b"[a-[.z.]]",
    b"[%--]",
    b"[a^]",
];

const OPERATORS: &[&str] = &[
    "*", "+", "?", "{2}", "{,2}", "{0}", "{1,}", "{,}", "{0,1}", "{1,2}", "**", "+?", "*+", "??", "{2}*",
    "?{2}", "{1\\,2}", "{01}", "{0}+",
];

fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![select(BYTES).prop_map(|byte| vec![byte]), select(TOKENS).prop_map(<[u8]>::to_vec),]
}

/// Patterns that are mostly valid: groups are closed, and something stands before an operator.
fn grown() -> impl Strategy<Value = Vec<u8>> {
    token().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            4 => vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => vec(inner.clone(), 2..4).prop_map(|parts| parts.join(&b'|')),
            2 => inner.clone().prop_map(|part| [b"(", &part[..], b")"].concat()),
            2 => (inner, select(OPERATORS))
                .prop_map(|(part, operator)| [&part, operator.as_bytes()].concat()),
        ]
    })
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => grown(),
        2 => vec(token(), 0..8).prop_map(|parts| parts.concat()),
        1 => vec(1..=u8::MAX, 0..8),
    ]
}

fn subject() -> impl Strategy<Value = Vec<u8>> {
    vec(select(BYTES), 0..7)
}

fn libc(pattern: &[u8], ignore_case: bool) -> Result<sys::regex::Regex, String> {
    sys::regex::Regex::new(&CString::new(pattern).expect("no NUL"), ignore_case)
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    config.failure_persistence = None;
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 4_000;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matches_as_the_c_library(
        pattern in pattern(),
        ignore_case: bool,
        subjects in vec(subject(), 6),
    ) {
        let theirs = libc(&pattern, ignore_case);
        let ours = Ere::new(&pattern, ignore_case);
        prop_assert_eq!(
            theirs.as_ref().err().cloned(),
            ours.as_ref().err().map(ToString::to_string)
        );
        if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
            for subject in subjects {
                prop_assert_eq!(
                    theirs.is_match(&subject),
                    ours.is_match(&subject),
                    "/{}/ on {}", pattern.escape_ascii(), subject.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_covers_a_directory_matches_all_below(
        pattern in pattern(),
        ignore_case: bool,
        directories in vec(subject(), 3),
        below in vec(subject(), 3),
    ) {
        if let (Ok(theirs), Ok(ours)) = (libc(&pattern, ignore_case), Ere::new(&pattern, ignore_case)) {
            for directory in directories {
                let directory = [&directory, &b"/"[..]].concat();
                if !ours.covers_below(&directory) {
                    continue;
                }
                for below in &below {
                    let path = [&directory[..], below].concat();
                    prop_assert!(
                        theirs.is_match(&path),
                        "/{}/ on {}", pattern.escape_ascii(), path.escape_ascii()
                    );
                }
            }
        }
    }
}
