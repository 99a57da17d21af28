//! The paths to watch: operands and `--fromfile`.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;

use super::{Exit, Line, help};
use crate::error::failed;
use crate::messages::Message;
use crate::sys::file;

/// What to watch and what not to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Never empty, and no path is: those of `--fromfile` first, then the operands, in order.
    pub paths: Vec<Vec<u8>>,
    /// What followed an `@`.
    pub excluded: Vec<Vec<u8>>,
}

impl Targets {
    /// The targets of a command line. A warning is added for a `--fromfile` that cannot be
    /// opened; the operands still count.
    ///
    /// # Errors
    ///
    /// After the warnings, the message that there is nothing to watch.
    pub(super) fn gather(line: &Line, warnings: &mut Message) -> Result<Targets, Exit> {
        let mut targets = Targets::default();
        if let Some(name) = line.bytes("fromfile") {
            if name == b"-" {
                targets.add_lines(io::stdin().lock());
            } else {
                match file::open(&name) {
                    Ok(file) => targets.add_lines(BufReader::new(file)),
                    Err(error) => {
                        *warnings = std::mem::take(warnings).and(failed("Couldn't open", &name, &error));
                    }
                }
            }
        }
        for operand in line.matches.get_many::<OsString>("path").unwrap_or_default() {
            targets.add(operand.clone().into_vec());
        }
        if targets.paths.is_empty() {
            return Err(Exit::usage(warnings.clone().and(targets.nothing()).and(help::usage(line.program))));
        }
        Ok(targets)
    }

    /// The message that there is nothing to watch.
    fn nothing(&self) -> Message {
        let message = Message::from("No files specified to watch!");
        match &self.excluded[..] {
            [] => message,
            [path, ..] => message.line(&[
                b"'@",
                path,
                b"' only excludes a path. To watch a file of that name, write './@",
                path,
                b"'.",
            ]),
        }
    }

    /// An operand: `@path` is an exclusion, an empty one is ignored.
    fn add(&mut self, word: Vec<u8>) {
        match &word[..] {
            [] | [b'@'] => {}
            [b'@', path @ ..] => self.excluded.push(path.to_vec()),
            _ => self.paths.push(word),
        }
    }

    /// Adds those of a `--fromfile`: a path a line, as an operand. No comments, nothing is trimmed; a NUL, which no path can
    /// hold, ends its line's path. What cannot be read (a directory) has no lines, as for the
    /// reference.
    pub fn add_lines(&mut self, mut file: impl BufRead) {
        let mut line = Vec::new();
        while let Ok(1..) = file.read_until(b'\n', &mut line) {
            let end = line.iter().position(|&b| b == b'\n' || b == 0);
            line.truncate(end.unwrap_or(line.len()));
            self.add(std::mem::take(&mut line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Targets {
        let mut targets = Targets::default();
        targets.add_lines(text);
        targets
    }

    #[test]
    fn a_file_of_paths_is_taken_as_it_is() {
        let targets = read(b"a\n\n b \n#c\nd\r\n\xff\n@e\n@\n@@f\n\0g\nh\0i\nj");
        let paths: [&[u8]; 7] = [b"a", b" b ", b"#c", b"d\r", b"\xff", b"h", b"j"];
        let excluded: [&[u8]; 2] = [b"e", b"@f"];
        assert_eq!(targets.paths, paths);
        assert_eq!(targets.excluded, excluded);
    }
}
