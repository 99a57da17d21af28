//! The manners of glibc's getopt_long(3), to the letter.
//!
//! clap has others: it wants UTF-8, knows no abbreviations like these, takes a value that begins
//! with `-` for an option, and words its errors differently. So the words are sorted out here
//! first, and clap gets them in the one shape in which nothing is left to interpret:
//! `--option=value`, `--option`, and the operands after `--`.

use super::options::{Kind, Opt};

/// What was typed, sorted out. The lifetime is that of the words.
#[derive(Debug, Default)]
pub struct Lexed<'a> {
    /// The options with their values, as they were met.
    pub options: Vec<(&'static Opt, Option<&'a [u8]>)>,
    /// Everything else, in order. Incomplete if there is an error.
    pub operands: Vec<&'a [u8]>,
    /// The first error. Nothing after it was looked at.
    pub error: Option<Mistake<'a>>,
}

/// An error of getopt_long(3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake<'a> {
    /// Its words, without the program's name in front.
    pub message: Vec<u8>,
    /// The option that does not exist, where that is the error.
    pub unknown: Option<Unknown<'a>>,
}

/// An option that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown<'a> {
    /// The word, from its `--` on.
    Long(&'a [u8]),
    /// The letter.
    Short(u8),
}

/// Sorts out `words` (without the program's name). With `posixly_correct` the first operand ends
/// the options.
pub fn lex<'a>(words: &'a [Vec<u8>], options: &[&'static Opt], posixly_correct: bool) -> Lexed<'a> {
    let mut lexed = Lexed::default();
    let mut words = words.iter().map(Vec::as_slice);
    while let Some(word) = words.next() {
        let met = match word {
            b"--" => break,
            [b'-', b'-', ..] => lexed.long(word, &mut words, options),
            [b'-', cluster @ ..] if !cluster.is_empty() => lexed.cluster(cluster, &mut words, options),
            operand => {
                lexed.operands.push(operand);
                if posixly_correct {
                    break;
                }
                Ok(())
            }
        };
        if let Err(error) = met {
            lexed.error = Some(error);
            return lexed;
        }
    }
    lexed.operands.extend(words);
    lexed
}

impl<'a> Lexed<'a> {
    /// `whole` begins with `--`.
    fn long(
        &mut self,
        whole: &'a [u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
        options: &[&'static Opt],
    ) -> Result<(), Mistake<'a>> {
        let word = &whole[2..];
        let (name, attached) = match word.iter().position(|&b| b == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let option = find(name, options).map_err(|possibilities| {
            if possibilities.is_empty() {
                let unknown = Some(Unknown::Long(whole));
                return Mistake { unknown, ..Mistake::new(&[b"unrecognized option '", whole, b"'"]) };
            }
            let mut error = Mistake::new(&[b"option '", whole, b"' is ambiguous; possibilities:"]);
            for option in possibilities {
                error.message.extend_from_slice(&[b" '--", option.long.as_bytes(), b"'"].concat());
            }
            error
        })?;
        let value = match (option.kind, attached) {
            (Kind::Value(_), Some(value)) => Some(value),
            (Kind::Value(_), None) => Some(rest.next().ok_or_else(|| {
                let name = option.long.as_bytes();
                Mistake::new(&[b"option '--", name, b"' requires an argument"])
            })?),
            (_, None) => None,
            (_, Some(_)) => {
                let name = option.long.as_bytes();
                return Err(Mistake::new(&[b"option '--", name, b"' doesn't allow an argument"]));
            }
        };
        self.options.push((option, value));
        Ok(())
    }

    /// `cluster` is what follows `-`: flags, at last perhaps an option with its value.
    fn cluster(
        &mut self,
        cluster: &'a [u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
        options: &[&'static Opt],
    ) -> Result<(), Mistake<'a>> {
        for (at, &letter) in cluster.iter().enumerate() {
            let Some(&option) = options.iter().find(|o| o.short == Some(letter)) else {
                let unknown = Some(Unknown::Short(letter));
                return Err(Mistake { unknown, ..Mistake::new(&[b"invalid option -- '", &[letter], b"'"]) });
            };
            if let Kind::Value(_) = option.kind {
                let attached = Some(&cluster[at + 1..]).filter(|value| !value.is_empty());
                let value = attached
                    .or_else(|| rest.next())
                    .ok_or_else(|| Mistake::new(&[b"option requires an argument -- '", &[letter], b"'"]))?;
                self.options.push((option, Some(value)));
                return Ok(());
            }
            self.options.push((option, None));
        }
        Ok(())
    }
}

/// The option of this name, or the only one that begins with it; else all that do.
fn find(name: &[u8], options: &[&'static Opt]) -> Result<&'static Opt, Vec<&'static Opt>> {
    if let Some(exact) = options.iter().find(|o| o.long.as_bytes() == name) {
        return Ok(exact);
    }
    let candidates: Vec<_> =
        options.iter().copied().filter(|o| !o.whole && o.long.as_bytes().starts_with(name)).collect();
    match candidates[..] {
        [only] => Ok(only),
        _ => Err(candidates),
    }
}

impl Mistake<'_> {
    fn new(parts: &[&[u8]]) -> Self {
        Mistake { message: parts.concat(), unknown: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{Tool, options};

    fn names(word: &str) -> Result<Vec<&'static str>, String> {
        let table: Vec<_> = options(Tool::Wait).collect();
        let words = [word.as_bytes().to_vec()];
        let lexed = lex(&words, &table, false);
        match lexed.error {
            Some(error) => Err(String::from_utf8(error.message).unwrap()),
            None => Ok(lexed.options.iter().map(|(option, _)| option.long).collect()),
        }
    }

    #[test]
    fn names_of_our_own_do_not_make_abbreviations_ambiguous() {
        assert_eq!(names("--m"), Ok(vec!["monitor"]));
        assert_eq!(names("--mou"), Err("unrecognized option '--mou'".into()));
        assert_eq!(names("--mount"), Ok(vec!["mount"]));
        assert_eq!(names("--s"), Ok(vec!["syslog"]));
        assert_eq!(names("--v"), Err("unrecognized option '--v'".into()));
        assert_eq!(names("--syslogOutput"), Ok(vec!["syslogOutput"]));
        assert_eq!(names("--version"), Ok(vec!["version"]));
    }
}
