//! What was meant by a regular expression that is not valid, or that looks like something else.

use crate::ere::{Ere, Invalid};
use crate::filter::Sense;
use crate::messages::Message;

/// What to say after the reference's message that a pattern is not valid.
pub(super) fn invalid(pattern: &[u8], sense: Sense, error: &Invalid) -> Message {
    let message = Message::new(&[b"'", pattern, b"': ", error.to_string().as_bytes()]);
    let hint = std::str::from_utf8(pattern).ok().and_then(|pattern| meant(pattern, sense));
    hint.into_iter().fold(message, |message, hint| message.and(hint))
}

/// What to say of a valid pattern that was probably meant as something else.
pub(super) fn suspicious(pattern: &[u8]) -> Option<String> {
    let glob = std::str::from_utf8(pattern).ok()?;
    let is_glob = glob.contains("**") || glob.contains("/*.");
    from_glob(glob).filter(|_| is_glob).map(|ere| not_a_glob(glob, &ere))
}

/// What to say of an expression that is anchored where none of the paths begins, as these are printed.
pub(super) fn unreachable(pattern: &[u8], operands: &[Vec<u8>]) -> Option<Message> {
    let start = literal_start(pattern).to_ascii_lowercase();
    let may_begin = |operand: &Vec<u8>| {
        let operand = operand.to_ascii_lowercase();
        operand.starts_with(&start) || start.starts_with(&operand)
    };
    let first = operands.first().filter(|_| !operands.iter().any(may_begin))?;
    let slash: &[u8] = if first.ends_with(b"/") { b"" } else { b"/" };
    let start: &[u8] = if first == b"/" { b"" } else { b"its operand, such as " };
    Some(Message::new(&[
        b"'",
        pattern,
        b"' matches no path: each path begins with ",
        start,
        b"'",
        first,
        slash,
        b"'.",
    ]))
}

/// The text with which all that matches begins; empty where that is not plain to see.
fn literal_start(pattern: &[u8]) -> Vec<u8> {
    let mut literal = Vec::new();
    let Some(mut rest) = pattern.strip_prefix(b"^").filter(|_| !pattern.contains(&b'|')) else {
        return literal;
    };
    loop {
        rest = match rest {
            // The last byte may be missing, or not be the only one.
            [b'*' | b'?' | b'+' | b'{', ..] => {
                literal.pop();
                return literal;
            }
            [b'\\', byte, rest @ ..] if byte.is_ascii_punctuation() && !b"<>`'".contains(byte) => {
                literal.push(*byte);
                rest
            }
            [byte, rest @ ..] if !b".[]()^$\\".contains(byte) => {
                literal.push(*byte);
                rest
            }
            _ => return literal,
        }
    }
}

fn not_a_glob(glob: &str, ere: &str) -> String {
    format!("'{glob}' is read as a regular expression, not as a glob. For the glob, write '{ere}'.")
}

fn meant(pattern: &str, sense: Sense) -> Option<String> {
    if let Some(ere) = from_globs(pattern) {
        return Some(not_a_glob(pattern, &ere));
    }
    let (before, group) = pattern.split_once("(?")?;
    let rule = "POSIX extended regular expressions have no '(?'";
    let (option, opposite) = match sense {
        Sense::Exclude => ("exclude", "include"),
        Sense::Include => ("include", "exclude"),
    };
    let rest = |kind: &str| group.strip_prefix(kind);
    if let Some(rest) = rest(":") {
        return Some(replaced(rule, &format!("{before}({rest}"), None));
    }
    if let Some(rest) = rest("i)") {
        return Some(replaced(rule, &format!("{before}{rest}"), Some(&format!("--{option}i"))));
    }
    // What a path may not match is what the opposite option takes.
    let negated = rest("!").and_then(inside).map(|inside| inside.trim_start_matches(".*"));
    if let Some(negated) = negated.filter(|_| matches!(before, "" | "^" | "^.*" | ".*")) {
        return Some(replaced(rule, negated, Some(&format!("--{opposite}"))));
    }
    Some(format!("{rule}. --{opposite} is the opposite of --{option}."))
}

/// The rule, and the expression to write if that is valid.
fn replaced(rule: &str, ere: &str, option: Option<&str>) -> String {
    let option = option.map(|option| format!("{option} ")).unwrap_or_default();
    match Ere::new(ere.as_bytes(), false) {
        Ok(_) if !ere.is_empty() => format!("{rule}. Write {option}'{ere}'."),
        _ => format!("{rule}."),
    }
}

/// What stands before the parenthesis that closes a group.
fn inside(rest: &str) -> Option<&str> {
    let mut depth = 0;
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 0 => return Some(&rest[..at]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The expression for a glob, or for a list with globs in it: `*.swp,*.tmp`, `(*.swp|\.git/)`, `*\.txt$`. Parts that are
/// expressions stay what they are.
fn from_globs(list: &str) -> Option<String> {
    let all = |parts: Vec<Option<String>>| Some(parts.into_iter().collect::<Option<Vec<_>>>()?.join("|"));
    let words: Vec<&str> =
        list.split([',', ' ']).filter(|word| !word.is_empty() && !list.contains('{')).collect();
    let globs = || words.iter().map(|word| from_glob(word)).collect();
    if let Some(ere) = all(globs()).filter(|_| words.len() > 1).or_else(|| from_glob(list)) {
        return Some(ere);
    }
    if list.contains("(?") {
        return None;
    }
    let list = list.strip_prefix('(').and_then(|list| list.strip_suffix(')')).unwrap_or(list);
    let is_ere = |part: &str| !part.is_empty() && Ere::new(part.as_bytes(), false).is_ok();
    let bare = |part: &str| {
        let text = part.strip_prefix('^').unwrap_or(part);
        let rest = text.trim_start_matches('*');
        from_glob(text.strip_suffix('$').unwrap_or(text))
            .or(Some(rest.to_owned()).filter(|rest| is_ere(rest)))
    };
    let parts = list.split('|').map(|part| if is_ere(part) { Some(part.to_owned()) } else { bare(part) });
    let ere = all(parts.collect()).filter(|ere| is_ere(ere));
    // Where a group has bars of its own, only the star before it is too much.
    ere.or_else(|| Some(list.strip_prefix('*')?.to_owned()).filter(|rest| is_ere(rest)))
}

/// The expression that matches what a glob matches, anywhere in a tree; none for a text that can be no glob.
pub fn from_glob(glob: &str) -> Option<String> {
    let is_glob = glob.contains(['*', '?']) || glob.contains('{') && glob.contains(',');
    if !is_glob || glob.contains(['\\', '^', '$', '(', ')', '|', '+']) {
        return None;
    }
    // What may come before or after needs no expression.
    let mut rest = glob.trim_start_matches("./");
    let mut ere = String::new();
    match rest.strip_prefix("**/") {
        Some(after) => (rest, ere) = (after, "(^|/)".into()),
        None if rest.starts_with('*') => rest = rest.trim_start_matches('*'),
        None => ere.push_str("(^|/)"),
    }
    let end = match rest {
        _ if rest.ends_with('*') => "",
        _ if glob.starts_with('*') && ere.is_empty() => "$",
        _ => "(/|$)",
    };
    rest = rest.trim_end_matches('*');
    let mut braces = 0;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match character {
            '*' if rest.starts_with("**/") => {
                ere.push_str("(.*/)?");
                length = 3;
            }
            '*' => ere.push_str("[^/]*"),
            '?' => ere.push_str("[^/]"),
            '[' => {
                // As there, but for the sign that negates it.
                length = rest[2.min(rest.len())..].find(']')? + 3;
                ere.push_str(&rest.get(..length)?.replacen("[!", "[^", 1));
            }
            '{' => {
                ere.push('(');
                braces += 1;
            }
            '}' if braces > 0 => {
                ere.push(')');
                braces -= 1;
            }
            ',' if braces > 0 => ere.push('|'),
            '.' | '}' | ']' => ere.extend(['\\', character]),
            _ => ere.push(character),
        }
        rest = &rest[length..];
    }
    ere.push_str(end);
    if ere == "$" {
        ere = ".".into();
    }
    Ere::new(ere.as_bytes(), false).is_ok().then_some(ere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_becomes_an_expression_that_matches_the_same() {
        let cases: [(&str, &str, &[&str], &[&str]); 9] = [
            ("*.swp", r"\.swp$", &["./.a.swp", "d/e/a.swp"], &["a.swpx", "d/swp"]),
            ("*.{js,css}", r"\.(js|css)$", &["./a.js", "d/a.css"], &["a.jsx", "a.html"]),
            ("**/x", "(^|/)x(/|$)", &["x", "./x", "d/e/x", "x/y"], &["xy", "./yx"]),
            (
                "**/node_modules/**",
                "(^|/)node_modules/",
                &["./node_modules/a", "node_modules/"],
                &["node_modulesx/"],
            ),
            (
                "src/*.js",
                r"(^|/)src/[^/]*\.js(/|$)",
                &["src/a.js", "./src/a.js"],
                &["src/d/a.js", "asrc/a.js"],
            ),
            ("src/**/*.js", r"(^|/)src/(.*/)?[^/]*\.js(/|$)", &["src/a.js", "src/d/e/a.js"], &["src/a.jsx"]),
            ("a?c", "(^|/)a[^/]c(/|$)", &["./abc"], &["./ac", "./a/c"]),
            ("*.[!o]", r"\.[^o]$", &["a.c"], &["a.o"]),
            ("*~*", "~", &["a~", "a~1"], &["a"]),
        ];
        for (glob, ere, matching, others) in cases {
            assert_eq!(from_glob(glob).as_deref(), Some(ere), "{glob}");
            let ere = Ere::new(ere.as_bytes(), false).unwrap();
            for path in matching {
                assert!(ere.is_match(path.as_bytes()), "{glob} {path}");
            }
            for path in others {
                assert!(!ere.is_match(path.as_bytes()), "{glob} {path}");
            }
        }
        assert_eq!((from_glob("*"), from_glob("**")), (Some(".".into()), Some(".".into())));
        for text in ["abc", r".*\.swp$", "(a|b", "[", "", "a+*"] {
            assert_eq!(from_glob(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_with_globs_in_it_becomes_one_expression() {
        for (list, ere) in [
            ("*.swp", r"\.swp$"),
            ("*.swp|*.tmp", r"\.swp$|\.tmp$"),
            ("(*.swp|*.tmp)", r"\.swp$|\.tmp$"),
            ("*.swp,*.tmp", r"\.swp$|\.tmp$"),
            ("*.c *.h", r"\.c$|\.h$"),
            (r"\.git/|*.swp", r"\.git/|\.swp$"),
            ("^*.txt$", r"\.txt$"),
            (r"*\.txt$", r"\.txt$"),
            (r"*\.(c|h)$", r"\.(c|h)$"),
            ("*.{c,h}", r"\.(c|h)$"),
        ] {
            assert_eq!(from_globs(list).as_deref(), Some(ere), "{list}");
        }
        for text in ["(", "+x", "(?!a)", "", "[a", r"a\", "|", "*(|"] {
            assert_eq!(from_globs(text), None, "{text}");
        }
    }

    #[test]
    fn perl_syntax_is_named_and_replaced() {
        let rule = "POSIX extended regular expressions have no '(?'";
        for (pattern, sense, said) in [
            ("(?:a|b)c", Sense::Exclude, ". Write '(a|b)c'."),
            ("(?i)a", Sense::Exclude, ". Write --excludei 'a'."),
            ("(?i)a", Sense::Include, ". Write --includei 'a'."),
            (r"^(?!.*\.js$)", Sense::Exclude, r". Write --include '\.js$'."),
            (r"^(?!.*\.(js|ts)$).*$", Sense::Exclude, r". Write --include '\.(js|ts)$'."),
            ("(?!build)", Sense::Include, ". Write --exclude 'build'."),
            ("a(?=b)", Sense::Exclude, ". --include is the opposite of --exclude."),
        ] {
            let wanted = format!("{rule}{said}");
            assert_eq!(meant(pattern, sense).as_deref(), Some(wanted.as_str()), "{pattern}");
        }
        assert_eq!(meant("(", Sense::Exclude), None);
    }

    #[test]
    fn an_anchor_where_no_path_begins_is_found() {
        let operands = [b".".to_vec(), b"d/e".to_vec()];
        for (pattern, found) in [
            ("^main", true),
            (r"^\.git", false),
            ("^./x", false),
            ("^d/e/f", false),
            ("^d", false),
            ("^D/E", false),
            ("^dx", true),
            ("^dx?", false),
            ("^(main)", false),
            ("^main|x", false),
            ("main", false),
            ("^", false),
            ("^/d", true),
            ("^[m]", false),
        ] {
            assert_eq!(unreachable(pattern.as_bytes(), &operands).is_some(), found, "{pattern}");
        }
        let said = unreachable(b"^main", &operands).unwrap().to_bytes();
        assert_eq!(said, b"'^main' matches no path: each path begins with its operand, such as './'.\n");
    }

    #[test]
    fn a_valid_expression_is_suspicious_only_where_it_is_a_glob() {
        for glob in ["src/**/x", "a**", "src/*.js"] {
            assert!(suspicious(glob.as_bytes()).is_some(), "{glob}");
        }
        for ere in [r"/\.git/", ".*", "a*b", "node_modules/*", r"(/*\.o|x)$", "", "\\*\\*"] {
            assert_eq!(suspicious(ere.as_bytes()), None, "{ere}");
        }
    }
}
