//! Patterns of gitignore(5): from their text to what they match.
//!
//! They are read as git reads them, byte by byte, and tests/ignore compares random patterns with git itself. The crates for this
//! differ from git: `ignore` has alternatives in braces, no classes in brackets, and no lines that are not UTF-8; `gix-glob` 0.24
//! differs in `[[:space:]]`, in `[[:a]` and in lines of tabs, and needs twelve more crates.

use crate::ere;

/// A pattern that matches nothing, whatever the path: it ends within a bracket or after a backslash, or names a class that
/// there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// It began with `!`: what it matches is not ignored.
    takes_back: bool,
    /// It ended with `/`.
    only_directories: bool,
    shape: Shape,
}

/// What a pattern is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// There was no `/` in it: with the last name of a path.
    Name(Name),
    /// With a path from where the pattern belongs: how that begins, and the rest. In git's eyes, a `**` that follows a
    /// literal text is at the beginning, so that `a**/b` matches `ab`.
    Path { start: Box<[u8]>, rest: Box<[Step]> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `**`: any number of names; at the end, one or more.
    Any,
    Name(Name),
}

/// What matches one name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Literal(Box<[u8]>),
    Glob(Box<[Token]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[...]`: the bytes that match.
    Set(Box<Set>),
}

/// A set of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set([bool; 256]);

impl Pattern {
    /// Reads a pattern; `None` if it is empty.
    pub fn new(text: &[u8]) -> Result<Option<Pattern>, Invalid> {
        let (takes_back, text) = stripped(text, text.strip_prefix(b"!"));
        let (only_directories, text) = stripped(text, text.strip_suffix(b"/"));
        if text.is_empty() {
            return Ok(None);
        }
        let shape = match text.contains(&b'/') {
            false => match Parser::new(text).steps()?.pop() {
                Some(Step::Name(name)) => Shape::Name(name),
                _ => Shape::Name(Name::new(vec![Token::Many])),
            },
            true => {
                let text = text.strip_prefix(b"/").unwrap_or(text);
                let literal = text.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(text.len());
                let (start, rest) = text.split_at(literal);
                Shape::Path { start: start.into(), rest: Parser::new(rest).steps()?.into() }
            }
        };
        Ok(Some(Pattern { takes_back, only_directories, shape }))
    }

    fn matches(&self, path: &[u8], name: &[u8], directory: bool) -> bool {
        if self.only_directories && !directory {
            return false;
        }
        match &self.shape {
            Shape::Name(pattern) => pattern.matches(name),
            Shape::Path { start, rest } => {
                path.strip_prefix(&**start).is_some_and(|path| matches_path(rest, path))
            }
        }
    }
}

/// Whether there was something to strip, and what is left.
fn stripped<'a>(text: &'a [u8], rest: Option<&'a [u8]>) -> (bool, &'a [u8]) {
    (rest.is_some(), rest.unwrap_or(text))
}

/// Patterns in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads the lines of a file; returns the numbers of those that are invalid, too.
    ///
    /// A line that begins with `#` is a comment. Spaces at its end, a carriage return there and a byte order mark at the
    /// beginning of the file do not count.
    pub fn read(text: &[u8]) -> (Patterns, Vec<usize>) {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let (mut patterns, mut invalid) = (Patterns::default(), Vec::new());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") {
                continue;
            }
            match Pattern::new(without_spaces(line)) {
                Ok(pattern) => patterns.add(pattern),
                Err(Invalid) => invalid.push(number),
            }
        }
        (patterns, invalid)
    }

    /// Adds what is stronger than those that are there.
    pub fn add(&mut self, patterns: impl IntoIterator<Item = Pattern>) {
        self.0.extend(patterns);
    }

    /// Whether a path, from where the patterns belong, is ignored. The last pattern that matches decides; `None` if
    /// there is none.
    pub fn verdict(&self, path: &[u8], directory: bool) -> Option<bool> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let matching = self.0.iter().rev().find(|pattern| pattern.matches(path, name, directory))?;
        Some(!matching.takes_back)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Patterns {
    type Item = Pattern;
    type IntoIter = std::vec::IntoIter<Pattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A line without the spaces at its end; one after a backslash stays.
fn without_spaces(line: &[u8]) -> &[u8] {
    let (mut at, mut end) = (0, 0);
    while at < line.len() {
        let is_escape = line[at] == b'\\';
        let next = line.len().min(at + 1 + usize::from(is_escape));
        if is_escape || line[at] != b' ' {
            end = next;
        }
        at = next;
    }
    &line[..end]
}

fn matches_path(steps: &[Step], path: &[u8]) -> bool {
    let (mut at, mut rest) = (0, Some(path));
    // What follows the last `**`, and the shortest path that has not been tried with it.
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        match (steps.get(at), rest) {
            (None, None) => return true,
            (Some(Step::Any), Some(_)) if at + 1 == steps.len() => return true,
            (Some(Step::Any), Some(path)) => {
                at += 1;
                retry = Some((at, path));
                continue;
            }
            (Some(Step::Name(name)), Some(path)) => {
                let (first, after) = split_first(path);
                if name.matches(first) {
                    (at, rest) = (at + 1, after);
                    continue;
                }
            }
            _ => {}
        }
        let Some((start, after)) = retry.and_then(|(start, path)| Some((start, split_first(path).1?))) else {
            return false;
        };
        (at, rest, retry) = (start, Some(after), Some((start, after)));
    }
}

/// The first name of a path, and the path after it.
fn split_first(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

impl Name {
    fn new(tokens: Vec<Token>) -> Name {
        let byte = |token: &Token| if let Token::Byte(byte) = token { Some(*byte) } else { None };
        match tokens.iter().map(byte).collect() {
            Some(literal) => Name::Literal(literal),
            None => Name::Glob(tokens.into()),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Name::Literal(literal) => **literal == *name,
            Name::Glob(tokens) => matches_name(tokens, name),
        }
    }
}

fn matches_name(tokens: &[Token], name: &[u8]) -> bool {
    // `*.o` ends most comparisons here.
    if let (Some(Token::Byte(end)), Some(last)) = (tokens.last(), name.last()) {
        if end != last {
            return false;
        }
    }
    let (mut token, mut byte) = (0, 0);
    // What follows the last `*`, and the byte up to which that has been tried.
    let mut retry = None;
    loop {
        match (tokens.get(token), name.get(byte)) {
            (None, None) => return true,
            (Some(Token::Many), _) if token + 1 == tokens.len() => return true,
            (Some(Token::Many), _) => {
                token += 1;
                retry = Some((token, byte));
                continue;
            }
            (Some(expected), Some(found)) if expected.matches(*found) => {
                (token, byte) = (token + 1, byte + 1);
                continue;
            }
            _ => {}
        }
        match retry {
            Some((start, tried)) if tried < name.len() => {
                (token, byte, retry) = (start, tried + 1, Some((start, tried + 1)));
            }
            _ => return false,
        }
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Token::Byte(expected) => *expected == byte,
            Token::One | Token::Many => true,
            Token::Set(set) => set.0[usize::from(byte)],
        }
    }
}

/// Reads a pattern from the left to the right.
struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Parser<'a> {
        Parser { rest: text }
    }

    fn steps(mut self) -> Result<Vec<Step>, Invalid> {
        let mut steps = Vec::new();
        let mut tokens = Vec::new();
        while let Some(byte) = self.next() {
            match byte {
                b'/' => steps.push(Step::Name(Name::new(std::mem::take(&mut tokens)))),
                b'*' => {
                    let stars = 1 + self.rest.iter().take_while(|byte| **byte == b'*').count();
                    self.rest = &self.rest[stars - 1..];
                    if stars == 1 || !tokens.is_empty() || !self.at_separator() {
                        tokens.push(Token::Many);
                        continue;
                    }
                    if self.rest.starts_with(b"\\") {
                        // Before an escaped `/`, at least one name.
                        steps.push(Step::Name(Name::new(vec![Token::Many])));
                    }
                    steps.push(Step::Any);
                    if self.skip_separator() && self.rest.is_empty() {
                        // `**//`: no name is empty.
                        steps.push(Step::Name(Name::new(Vec::new())));
                    }
                    if self.rest.is_empty() {
                        return Ok(steps);
                    }
                }
                b'?' => tokens.push(Token::One),
                b'[' => tokens.push(Token::Set(Box::new(self.set()?))),
                b'\\' => match self.next().ok_or(Invalid)? {
                    b'/' => steps.push(Step::Name(Name::new(std::mem::take(&mut tokens)))),
                    byte => tokens.push(Token::Byte(byte)),
                },
                byte => tokens.push(Token::Byte(byte)),
            }
        }
        steps.push(Step::Name(Name::new(tokens)));
        Ok(steps)
    }

    fn at_separator(&self) -> bool {
        matches!(self.rest, [] | [b'/', ..] | [b'\\', b'/', ..])
    }

    fn skip_separator(&mut self) -> bool {
        let before = self.rest;
        self.rest = before.strip_prefix(b"/").or(before.strip_prefix(b"\\/")).unwrap_or(before);
        self.rest.len() < before.len()
    }

    /// A bracket expression after its `[`.
    fn set(&mut self) -> Result<Set, Invalid> {
        let negated = matches!(self.rest, [b'!' | b'^', ..]);
        self.rest = &self.rest[usize::from(negated)..];
        let mut set = [false; 256];
        // The byte before a `-`, if it can begin a range.
        let mut from: Option<u8> = None;
        let mut is_first = true;
        loop {
            let byte = self.next().ok_or(Invalid)?;
            from = match (byte, from, self.rest) {
                (b']', ..) if !is_first => break,
                (b'-', Some(from), [to, ..]) if *to != b']' => {
                    let to = self.literal()?;
                    set.get_mut(usize::from(from)..=usize::from(to)).unwrap_or_default().fill(true);
                    None
                }
                (b'[', _, [b':', ..]) if self.class(&mut set)? => None,
                (byte, ..) => {
                    let byte = if byte == b'\\' { self.next().ok_or(Invalid)? } else { byte };
                    set[usize::from(byte)] = true;
                    Some(byte)
                }
            };
            is_first = false;
        }
        for member in &mut set {
            *member ^= negated;
        }
        Ok(Set(set))
    }

    /// A class, such as `:digit:]`; `false` if it is none after all.
    fn class(&mut self, set: &mut [bool; 256]) -> Result<bool, Invalid> {
        let end = self.rest.iter().position(|byte| *byte == b']').ok_or(Invalid)?;
        let Some(name) = self.rest[1..end].strip_suffix(b":") else { return Ok(false) };
        let class = match name {
            // Unlike the C locale's.
            b"space" => |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
            _ => ere::class(name).ok_or(Invalid)?,
        };
        (0..=255).filter(class).for_each(|byte| set[usize::from(byte)] = true);
        self.rest = &self.rest[end + 1..];
        Ok(true)
    }

    fn literal(&mut self) -> Result<u8, Invalid> {
        match self.next() {
            Some(b'\\') => self.next(),
            byte => byte,
        }
        .ok_or(Invalid)
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }
}
