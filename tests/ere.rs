//! Extended regular expressions: the same verdict as the C library's, whatever the pattern.

#![allow(clippy::expect_used)]

#[path = "properties/ere.rs"]
mod property;

use inotify_tools::internals::Ere;
use property::Both;
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

/// Ends of patterns that match at the end of a directory's path, rightly or not.
const ENDS: &[&[u8]] = &[b"", b"/$", b"/\\'", b"/\\B", b"/\\b", b"/\\<", b"/\\>", b".$", b"\\B", b"(/|$)"];

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

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        // PROPTEST_CASES asks for another number.
        cases: std::env::var_os("PROPTEST_CASES").map_or(4_000, |_| default.cases),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matches_as_the_c_library(
        pattern in pattern(),
        ignore_case: bool,
        subjects in vec(subject(), 6),
    ) {
        if let Some(both) = Both::new(&pattern, ignore_case) {
            both.agree_on(&slices(&subjects));
        }
    }

    #[test]
    fn an_expression_that_covers_a_directory_matches_every_path_below(
        start in pattern(),
        end in select(ENDS),
        ignore_case: bool,
        directories in vec(subject(), 3),
        below in vec(subject(), 3),
    ) {
        let pattern = [&start, end].concat();
        if let Some(both) = Both::new(&pattern, ignore_case) {
            both.cover_truly(&slices(&directories), &slices(&below));
        }
    }
}

fn slices(texts: &[Vec<u8>]) -> Vec<&[u8]> {
    texts.iter().map(Vec::as_slice).collect()
}

fn ere(pattern: &str) -> Ere {
    Ere::new(pattern.as_bytes(), false).expect(pattern)
}

#[test]
fn patterns_are_valid_if_the_c_library_accepts_them() {
    for (pattern, matching, other) in [
        ("a)b", "a)b", "ab"),
        ("a()b", "ab", "a"),
        ("^(a||b)$", "", "c"),
        ("^a{,2}$", "aa", "aaa"),
        ("^a**$", "aaa", "ab"),
        ("^a+?$", "", "b"),
        ("^a+?b", "b", "cb"),
        ("a{1\\,2}b", "ab", "b"),
        ("^[]x]+$", "]x", "y"),
        ("^[a\\]+$", "a\\", "]"),
        ("^[[:digit:]]$", "7", "d"),
        ("^[[.-.]]$", "-", "."),
        ("^[[=a=]-]$", "-", "="),
        ("^[+--]$", ",", "*"),
        ("\\.o\\'", "a.o", "a.o~"),
        ("\\`a", "ab", "ba"),
        ("\\<b\\>", "a b", "ab"),
        ("\\ba\\B", "-ab", "a"),
        ("^\\w\\W\\s\\S$", "_-\x0ba", "____"),
        ("^.$", "\n", "\n\n"),
        ("a$", "\na", "a\n"),
        ("(a)\\1", "aa", "ab"),
    ] {
        assert!(ere(pattern).is_match(matching.as_bytes()), "{pattern}");
        assert!(!ere(pattern).is_match(other.as_bytes()), "{pattern}");
    }
    for pattern in ["", "a||b", "()", "a*", "|a", "a|"] {
        assert!(ere(pattern).is_match(b""), "{pattern}");
    }
}

/// As glibc does, although POSIX would not have it.
#[test]
fn quirks_of_the_c_library_are_kept() {
    assert!(ere("a$.").is_match(b"a\n"));
    assert!(ere(".^a").is_match(b"\na"));
    assert!(!ere("a$.").is_match(b"ab"));
    assert!(ere("^(.$){2}").is_match(b"a\n"));
    let folded = |pattern: &[u8]| Ere::new(pattern, true).expect("valid");
    assert!(!folded(br"\q").is_match(b"q"));
    assert!(folded(br"\Q").is_match(b"q"));
    assert!(!folded(b"[+-a]").is_match(b"b"));
    assert!(Ere::new(b"[_-a]", true).is_err());
}

#[test]
fn case_is_ignored_in_letters_ranges_and_classes() {
    for pattern in ["a", "A", "[a-c]", "[[:upper:]]", "[[:lower:]]", "[[.a.]]", "[^b]"] {
        let ere = Ere::new(pattern.as_bytes(), true).expect(pattern);
        assert!(ere.is_match(b"a") && ere.is_match(b"A"), "{pattern}");
        assert_eq!(ere.is_match(b"_"), pattern == "[^b]", "{pattern}");
    }
}

#[test]
fn an_invalid_expression_has_the_message_of_regerror() {
    for (pattern, words) in [
        (&b"("[..], "Unmatched ( or \\("),
        (b"*a", "Invalid preceding regular expression"),
        (b"{", "Invalid preceding regular expression"),
        (b"a{1", "Unmatched \\{"),
        (b"a|*b", "Invalid preceding regular expression"),
        (b"(*b)", "Invalid preceding regular expression"),
        (b"^*", "Invalid preceding regular expression"),
        (b"[z-a]", "Invalid range end"),
        (b"a\\", "Trailing backslash"),
        (b"(a)\\2", "Invalid back reference"),
    ] {
        let error = Ere::new(pattern, false).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(words), "{}", pattern.escape_ascii());
    }
    assert!(Ere::new(b"a\0b", false).is_err());
}

#[test]
fn bounds_and_depth_beyond_the_engine_are_left_to_the_c_library() {
    let many = "a".repeat(32_767);
    assert!(ere("^a{32767}$").is_match(many.as_bytes()));
    assert!(!ere("^a{32767}$").is_match(&many.as_bytes()[1..]));
    assert!(Ere::new(b"a{32768}", false).is_err());
    let wide = ere("^([^a]{100}){300}$");
    assert!(wide.is_match("b".repeat(30_000).as_bytes()));
    assert!(!wide.is_match("b".repeat(29_999).as_bytes()));
}

#[test]
fn any_depth_that_the_c_library_accepts_is_accepted() {
    let nested = |depth| format!("^{}a{}$", "(".repeat(depth), ")".repeat(depth));
    let repeated = |depth| format!("^a{}$", "*".repeat(depth));
    for depth in [1, 19, 20, 21, 25] {
        assert!(ere(&nested(depth)).is_match(b"a"), "{depth}");
        assert!(ere(&repeated(depth)).is_match(b"aa"), "{depth}");
        assert!(!ere(&repeated(depth)).is_match(b"ab"), "{depth}");
    }
}

#[test]
fn a_pattern_covers_a_directory_when_nothing_below_can_undo_the_match() {
    for pattern in [
        "",
        "node_modules",
        "/node_modules/",
        "(^|/)node_modules(/|$)",
        "node_modules/.*",
        r"^\./node_modules",
        r"\bnode_modules\b",
        r"\<node_modules\>",
        "[/]$|[/]",
        "s.",
        r"^\.(/|$)",
        "N?ode_Modules|node_m",
    ] {
        assert!(ere(pattern).covers_below(b"./node_modules/"), "{pattern}");
    }
    for pattern in [
        "node_modules$",
        "node_modules/$",
        "node_modules/\\'",
        r"node_modules/\B",
        "/$",
        "$",
        "node_modules/.",
        r"node_modules/\b",
        r"node_modules/\<",
        r"(node_modules)/|(a)\2",
        "other",
        r"node_modules/\>",
        "\\B$",
    ] {
        assert!(!ere(pattern).covers_below(b"./node_modules/"), "{pattern}");
    }
    assert!(!ere("node").covers_below(b"./node_modules"));
}

#[test]
fn threads_may_share_an_expression() {
    fn shared<T: Send + Sync>() {}
    shared::<Ere>();
}
