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
    /// The first error, in getopt_long's words, without the program's name in front. Nothing
    /// behind it was looked at.
    pub error: Option<Vec<u8>>,
}

/// Sorts out `words` (without the program's name). With `posixly_correct` the first operand ends
/// the options.
pub fn lex<'a>(words: &'a [Vec<u8>], options: &[&'static Opt], posixly_correct: bool) -> Lexed<'a> {
    let mut lexed = Lexed::default();
    let mut words = words.iter().map(Vec::as_slice);
    while let Some(word) = words.next() {
        let met = match word {
            b"--" => break,
            [b'-', b'-', long @ ..] => lexed.long(long, &mut words, options),
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
    /// `word` is what follows `--`.
    fn long(
        &mut self,
        word: &'a [u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
        options: &[&'static Opt],
    ) -> Result<(), Vec<u8>> {
        let (name, attached) = match word.iter().position(|&b| b == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let option = find(name, options).map_err(|possibilities| {
            if possibilities.is_empty() {
                return message(&[b"unrecognized option '--", word, b"'"]);
            }
            let mut error = message(&[b"option '--", word, b"' is ambiguous; possibilities:"]);
            for option in possibilities {
                error.extend_from_slice(&message(&[b" '--", option.long.as_bytes(), b"'"]));
            }
            error
        })?;
        let value = match (option.kind, attached) {
            (Kind::Value(_), Some(value)) => Some(value),
            (Kind::Value(_), None) => Some(rest.next().ok_or_else(|| {
                let name = option.long.as_bytes();
                message(&[b"option '--", name, b"' requires an argument"])
            })?),
            (_, None) => None,
            (_, Some(_)) => {
                let name = option.long.as_bytes();
                return Err(message(&[b"option '--", name, b"' doesn't allow an argument"]));
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
    ) -> Result<(), Vec<u8>> {
        for (at, &letter) in cluster.iter().enumerate() {
            let Some(&option) = options.iter().find(|o| o.short == Some(letter)) else {
                return Err(message(&[b"invalid option -- '", &[letter], b"'"]));
            };
            if let Kind::Value(_) = option.kind {
                let attached = Some(&cluster[at + 1..]).filter(|value| !value.is_empty());
                let value = attached
                    .or_else(|| rest.next())
                    .ok_or_else(|| message(&[b"option requires an argument -- '", &[letter], b"'"]))?;
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

fn message(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
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
            Some(error) => Err(String::from_utf8(error).unwrap()),
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
