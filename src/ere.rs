//! POSIX extended regular expressions on bytes, as glibc reads them in the C locale.
//!
//! Whether a pattern is valid is regcomp's word. A valid one is then put into the words of the
//! regex crate, which is several times faster. Where that would take subtlety (back-references,
//! odd bounds), or where glibc goes its own way, the pattern stays with regexec.

use std::ffi::CString;
use std::fmt;
use std::mem;

use regex::bytes::{Regex, RegexBuilder};

use crate::sys;

/// An extended regular expression.
#[derive(Debug)]
pub struct Ere(Engine);

#[derive(Debug)]
enum Engine {
    /// Translated. `below` is the same with the end assertions never true: see
    /// [`Ere::covers_below`].
    Regex { whole: Regex, below: Regex },
    /// Left to the C library.
    Libc(sys::regex::Regex),
}

/// Why regcomp refused a pattern, in regerror's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl Ere {
    /// Compiles `pattern`, any bytes but NUL.
    pub fn new(pattern: &[u8], ignore_case: bool) -> Result<Ere, Invalid> {
        let text = CString::new(pattern).map_err(|nul| Invalid(nul.to_string()))?;
        let libc = sys::regex::Regex::new(&text, ignore_case).map_err(Invalid)?;
        Ok(Ere(translated(pattern, ignore_case).unwrap_or(Engine::Libc(libc))))
    }

    /// Does the expression match some part of `subject`?
    pub fn is_match(&self, subject: &[u8]) -> bool {
        match &self.0 {
            Engine::Regex { whole, .. } => whole.is_match(subject),
            Engine::Libc(regex) => regex.is_match(subject),
        }
    }

    /// Does the expression match whatever begins with `directory`, which ends in `/`? True only
    /// if that is certain; a pattern that is left to the C library covers nothing.
    ///
    /// It is certain if a part of `directory` matches and goes on matching whatever is appended,
    /// that is, no assertion held only because `directory` ended there. `$`, `\'` and `\B` may
    /// have, and are taken as never true. `\b`, `\<` and `\>` cannot have: they need a word
    /// character on one side, and at the end there is `/` on the one and nothing on the other.
    pub fn covers_below(&self, directory: &[u8]) -> bool {
        match &self.0 {
            Engine::Regex { below, .. } => directory.ends_with(b"/") && below.is_match(directory),
            Engine::Libc(_) => false,
        }
    }

    /// Does the expression match every path there can be? True only if that is certain: it matches the empty text at the
    /// start and goes on, or the end of every path, of which an assertion sees one byte before at most.
    pub fn matches_all(&self) -> bool {
        let Engine::Regex { whole, .. } = &self.0 else { return false };
        let every_end = || {
            let ends = (0..=u8::MAX).flat_map(|last| [[b'a', last], [b'/', last]]);
            ends.into_iter().all(|end| whole.is_match_at(&end, 1))
        };
        self.is_match(b"") && self.covers_below(b"/") || every_end()
    }
}

/// None if the pattern must be left to the C library.
fn translated(pattern: &[u8], ignore_case: bool) -> Option<Engine> {
    let compile = |ends| {
        let regex = Translator::new(pattern, ignore_case, ends).translate()?;
        RegexBuilder::new(&regex).unicode(false).build().ok()
    };
    Some(Engine::Regex { whole: compile(Ends::Hold)?, below: compile(Ends::Never)? })
}

/// What `$`, `\'` and `\B` mean.
#[derive(Clone, Copy)]
enum Ends {
    Hold,
    Never,
}

/// How deep groups and repetitions may nest; deeper ones are left to the C library.
const DEEPEST: usize = 20;

/// The set without members, in regex's syntax.
const NOTHING: &str = r"[^\x00-\xFF]";

/// A member of a bracket expression, which may also be the end of a range or not.
enum Element {
    Byte(u8),
    Class(fn(&u8) -> bool),
}

/// A group that is not closed yet.
struct Group {
    /// Where in `out` it begins.
    start: usize,
    /// How many assertions stood before it.
    assertions: usize,
    /// What may have come before it.
    before: Before,
    /// What may have come before the end of one of its branches.
    branches: Before,
}

/// What may have come before a place in the pattern, by one way or another.
///
/// glibc lets `$` hold in front of a newline that the pattern goes on to match, and `^` behind one
/// that it has matched: `a$.` matches "a\n". So a `$` with a byte to come and a `^` with one gone
/// by are left to it. Repetitions would bring one before the other unseen: see
/// [`Translator::repeat`].
#[derive(Clone, Copy, Default)]
struct Before {
    /// Something that matches a byte.
    atom: bool,
    /// `$` or `\'`.
    end: bool,
}

impl Before {
    fn join(&mut self, other: Before) {
        self.atom |= other.atom;
        self.end |= other.end;
    }
}

/// Reads a pattern that regcomp accepts from the left to the right and writes its equal in
/// regex's syntax. Each step returns None where the pattern must be left to the C library.
///
/// With ignored case glibc turns the pattern and the subject into capitals and compares those,
/// except that a byte after a backslash and the name of a class stay as they are. So does this.
struct Translator<'a> {
    rest: &'a [u8],
    ignore_case: bool,
    ends: Ends,
    out: String,
    /// The open groups, the outermost first.
    groups: Vec<Group>,
    /// What may have come before, by one way or another.
    before: Before,
    /// How many assertions there were.
    assertions: usize,
    /// Where in `out` that begins which a repetition would repeat.
    atom: Option<usize>,
    /// Whether the atom holds assertions.
    asserting: bool,
    /// How many repetitions follow the atom so far.
    repetitions: usize,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a [u8], ignore_case: bool, ends: Ends) -> Translator<'a> {
        Translator {
            rest: pattern,
            ignore_case,
            ends,
            out: String::new(),
            groups: Vec::new(),
            before: Before::default(),
            assertions: 0,
            atom: None,
            asserting: false,
            repetitions: 0,
        }
    }

    fn translate(mut self) -> Option<String> {
        while let Some(byte) = self.next() {
            match byte {
                b'(' => self.open()?,
                b')' if !self.groups.is_empty() => self.close(),
                b'|' => self.branch(),
                b'*' => self.repeat("*")?,
                b'+' => self.repeat("+")?,
                b'?' => self.repeat("?")?,
                b'{' => {
                    let bounds = self.bounds()?;
                    self.repeat(&bounds)?;
                }
                b'^' => self.begin()?,
                b'$' => self.end(),
                b'.' => self.set(|_| true)?,
                b'[' => self.bracket()?,
                b'\\' => self.escape()?,
                _ => {
                    let byte = self.fold(byte);
                    self.set(|other| *other == byte)?;
                }
            }
        }
        self.groups.is_empty().then_some(self.out)
    }

    fn open(&mut self) -> Option<()> {
        self.groups.push(Group {
            start: self.out.len(),
            assertions: self.assertions,
            before: self.before,
            branches: Before::default(),
        });
        self.out.push_str("(?:");
        self.atom = None;
        (self.groups.len() <= DEEPEST).then_some(())
    }

    fn branch(&mut self) {
        self.out.push('|');
        self.atom = None;
        let before = mem::take(&mut self.before);
        if let Some(group) = self.groups.last_mut() {
            group.branches.join(before);
            self.before = group.before;
        }
    }

    fn close(&mut self) {
        self.out.push(')');
        self.atom = None;
        self.repetitions = 0;
        if let Some(group) = self.groups.pop() {
            self.atom = Some(group.start);
            self.asserting = group.assertions < self.assertions;
            self.before.join(group.branches);
        }
    }

    /// Repeats the atom. Enclosed with its earlier repetitions, so that `a+?` is not a lazy `a+`.
    /// With assertions in it, it is left to the C library: in `(.$)*` a byte follows `$`.
    fn repeat(&mut self, operator: &str) -> Option<()> {
        let start = self.atom?;
        if self.asserting {
            return None;
        }
        self.repetitions += 1;
        self.out.insert_str(start, "(?:");
        self.out.push(')');
        self.out.push_str(operator);
        (self.repetitions <= DEEPEST).then_some(())
    }

    /// What stands between `{` and `}`: `m`, `m,`, `,n` or `m,n`.
    fn bounds(&mut self) -> Option<String> {
        let least = self.number();
        let comma = self.eat(b',');
        let most = if comma { self.number() } else { String::new() };
        if !self.eat(b'}') || !comma && least.is_empty() {
            return None;
        }
        let least = if least.is_empty() { "0" } else { &least };
        let comma = if comma { "," } else { "" };
        Some(format!("{{{least}{comma}{most}}}"))
    }

    fn number(&mut self) -> String {
        let mut digits = String::new();
        while let Some(digit) = self.rest.first().filter(|byte| byte.is_ascii_digit()) {
            digits.push(char::from(*digit));
            self.rest = &self.rest[1..];
        }
        digits
    }

    /// Assertions cannot be repeated: regcomp refuses `^*`.
    fn assert(&mut self, assertion: &str) {
        self.assertions += 1;
        self.out.push_str(assertion);
        self.atom = None;
    }

    fn assert_end(&mut self, assertion: &str) {
        match self.ends {
            Ends::Hold => self.assert(assertion),
            Ends::Never => self.assert(NOTHING),
        }
    }

    fn begin(&mut self) -> Option<()> {
        self.assert(r"\A");
        (!self.before.atom).then_some(())
    }

    fn end(&mut self) {
        self.before.end = true;
        self.assert_end(r"\z");
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'1'..=b'9' => return None,
            b'`' => self.begin()?,
            b'\'' => self.end(),
            b'<' => self.assert(r"\b{start}"),
            b'>' => self.assert(r"\b{end}"),
            b'b' => self.assert(r"\b"),
            b'B' => self.assert_end(r"\B"),
            b'w' => self.set(is_word)?,
            b'W' => self.set(|byte| !is_word(byte))?,
            b's' => self.set(is_space)?,
            b'S' => self.set(|byte| !is_space(byte))?,
            byte => self.set(|other| *other == byte)?,
        }
        Some(())
    }

    /// A bracket expression after its `[`. A backslash in it is a byte like others.
    fn bracket(&mut self) -> Option<()> {
        let negated = self.eat(b'^');
        let mut members = [false; 256];
        let mut first = true;
        while first || !self.eat(b']') {
            first = false;
            match self.element()? {
                Element::Class(class) => {
                    for byte in (0..=255).filter(class) {
                        members[usize::from(byte)] = true;
                    }
                }
                Element::Byte(from) => {
                    // A `-` in front of the closing `]` is itself.
                    let range = self.rest.starts_with(b"-") && !self.rest.starts_with(b"-]");
                    let to = if range {
                        self.rest = &self.rest[1..];
                        match self.element()? {
                            Element::Byte(to) => to,
                            Element::Class(_) => return None,
                        }
                    } else {
                        from
                    };
                    members.get_mut(usize::from(from)..=usize::from(to))?.fill(true);
                }
            }
        }
        self.set(|byte| members[usize::from(*byte)] != negated)
    }

    /// A byte, `[.b.]`, `[=b=]` or `[:name:]`.
    fn element(&mut self) -> Option<Element> {
        let byte = self.next()?;
        let kind = match self.rest.first() {
            Some(kind) if byte == b'[' && b".=:".contains(kind) => *kind,
            _ => return Some(Element::Byte(self.fold(byte))),
        };
        self.rest = &self.rest[1..];
        let length = self.rest.windows(2).position(|two| two == [kind, b']'])?;
        let name = &self.rest[..length];
        self.rest = &self.rest[length + 2..];
        match (kind, name) {
            (b':', _) => Some(Element::Class(self.class(name)?)),
            (_, [byte]) => Some(Element::Byte(self.fold(*byte))),
            _ => None,
        }
    }

    fn class(&self, name: &[u8]) -> Option<fn(&u8) -> bool> {
        match name {
            b"upper" | b"lower" if self.ignore_case => class(b"alpha"),
            _ => class(name),
        }
    }

    /// Writes an atom that matches the bytes whose folded form is a member.
    fn set(&mut self, is_member: impl Fn(&u8) -> bool) -> Option<()> {
        if self.before.end {
            return None;
        }
        self.before.atom = true;
        self.atom = Some(self.out.len());
        self.asserting = false;
        self.repetitions = 0;
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=255).filter(|byte| is_member(&self.fold(*byte))) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == byte => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        if ranges.is_empty() {
            self.out.push_str(NOTHING);
            return Some(());
        }
        self.out.push('[');
        for (first, last) in ranges {
            self.out.push_str(&format!(r"\x{first:02X}-\x{last:02X}"));
        }
        self.out.push(']');
        Some(())
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.ignore_case { byte.to_ascii_uppercase() } else { byte }
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}

/// A character class of the C locale, by its name.
pub(crate) fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => is_space,
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// A letter, digit or underscore of the C locale.
fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

/// A space of the C locale, which unlike Rust's include the vertical tab.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_matches_every_path_is_found() {
        let matches_all = |pattern: &str| Ere::new(pattern.as_bytes(), false).unwrap().matches_all();
        for pattern in ["", "x*", "a|", "^", "$", "f?$", ".$", ".", "()", "([a-z]|[^a-z])$", "x{0}"] {
            assert!(matches_all(pattern), "{pattern}");
        }
        for pattern in ["^$", "a$", "/$", "[^/]$", "..$", r"\b", r"\B", r"\>", "(^|/)$", r"(x*)\1"] {
            assert!(!matches_all(pattern), "{pattern}");
        }
    }

    /// Only a translated expression can spare directories, and is fast.
    #[test]
    fn the_usual_expressions_are_translated() {
        for pattern in [
            r"\.swp$",
            "node_modules",
            r"/\.git(/|$)",
            r"^\./(build|target)/",
            "a|b|",
            "",
            "(a|b)+c*d?",
            "a{2}b{1,3}c{2,}d{,2}",
            "[[:digit:]]+[^/]*",
            "[a-z-]",
            "[]x]",
            "[^]x]",
            "[[.a.]][[=b=]]",
            "[a\\]",
            r"\bx\B\<y\>\w\W\s\S",
            "a+?",
            "((a))",
            r"\`a\'",
        ] {
            for ignore_case in [false, true] {
                let ere = Ere::new(pattern.as_bytes(), ignore_case).unwrap();
                assert!(matches!(ere.0, Engine::Regex { .. }), "{pattern}");
            }
        }
    }

    /// What glibc understands in its own way stays with it.
    #[test]
    fn subtle_expressions_are_left_to_the_c_library() {
        let deep = |count: usize| format!("{}a{}", "(".repeat(count), ")".repeat(count));
        let repeated = |count: usize| format!("a{}", "?".repeat(count));
        let subtle =
            [r"(a)\1", "(.$)*", "a$b", "b^", "(a|b$)c", "(^a)+", &deep(DEEPEST + 1), &repeated(DEEPEST + 1)];
        for pattern in subtle {
            let ere = Ere::new(pattern.as_bytes(), false).unwrap();
            assert!(matches!(ere.0, Engine::Libc(_)), "{pattern}");
        }
        for pattern in [deep(DEEPEST), repeated(DEEPEST)] {
            let ere = Ere::new(pattern.as_bytes(), false).unwrap();
            assert!(matches!(ere.0, Engine::Regex { .. }), "{pattern}");
        }
    }
}
