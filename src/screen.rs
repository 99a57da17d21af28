//! A table that is renewed in place on a terminal, on the alternate screen: what was there before comes back at the end.

use std::env;
use std::io::{self, Write};

use crate::messages::Message;
use crate::sys::terminal;

/// To the alternate screen (xterm), and long lines are cut at its edge (DECAWM off), whatever the width of their
/// characters.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?1049l";
/// To the first line (ECMA-48: CUP).
const HOME: &[u8] = b"\x1b[H";
/// Erases the rest of a line (EL), and to the next one.
const NEXT: &[u8] = b"\x1b[K\r\n";
/// Erases the rest of the screen (ED).
const REST: &[u8] = b"\x1b[J";

/// The height of a terminal that does not tell.
const USUAL: usize = 24;

/// Stdout, a terminal. When this is dropped it is as before, and the messages are printed.
#[derive(Debug, Default)]
pub struct Screen {
    /// The last text, to be cut to the height.
    text: Vec<u8>,
    messages: Message,
    /// The first line of the last message.
    last: Vec<u8>,
    entered: bool,
}

impl Screen {
    /// `None` if stdout is no terminal that can be written in place.
    pub fn of_stdout() -> Option<Screen> {
        let able = env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
        (able && terminal::is_terminal(&io::stdout())).then(Screen::default)
    }

    /// Shows as many lines of a text as there is room for.
    pub fn show(&mut self, text: Vec<u8>) -> io::Result<()> {
        self.text = text;
        self.draw()
    }

    /// Shows a message as the last line, until another comes.
    pub fn say(&mut self, message: Message) -> io::Result<()> {
        self.last = message.lines().next().unwrap_or_default().to_vec();
        self.messages = std::mem::take(&mut self.messages).and(message);
        self.draw()
    }

    /// Shows the same again, if anything: the size may have changed.
    pub fn draw(&mut self) -> io::Result<()> {
        if self.text.is_empty() && self.messages.is_empty() {
            return Ok(());
        }
        let height = terminal::height(io::stdout()).unwrap_or(USUAL);
        let last = Some(&self.last[..]).filter(|line| !line.is_empty());
        let enter: &[u8] = if self.entered { b"" } else { ENTER };
        let drawn = [enter, &frame(&self.text, last, height)].concat();
        self.entered = true;
        write(&drawn)
    }

    /// Prints a text on what the terminal showed before.
    pub fn print(&mut self, text: &[u8]) -> io::Result<()> {
        self.leave()?;
        write(text)
    }

    /// Gives the terminal back for a while, until something is shown again.
    pub fn leave(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.entered) { write(LEAVE) } else { Ok(()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.leave();
        if !self.messages.is_empty() {
            self.messages.print();
        }
    }
}

/// What draws the first lines of a text, and a last one, on a screen of this height.
fn frame(text: &[u8], last: Option<&[u8]>, height: usize) -> Vec<u8> {
    let room = height.saturating_sub(usize::from(last.is_some()));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(room);
    let lines: Vec<&[u8]> = lines.chain(last).collect();
    let mut drawn = HOME.to_vec();
    for (at, line) in lines.iter().enumerate() {
        drawn.extend_from_slice(if at == 0 { b"" } else { NEXT });
        drawn.extend_from_slice(line);
    }
    drawn.extend_from_slice(REST);
    drawn
}

fn write(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A line more than there are would scroll.
        #[test]
        fn no_more_lines_are_drawn_than_there_are(
            lines in prop::collection::vec("[a-z]{1,9}", 0..30),
            last in prop::option::of("[a-z]{1,9}"),
            height in 1..40usize,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let drawn = frame(text.as_bytes(), last.as_deref().map(str::as_bytes), height);
            let drawn = String::from_utf8(drawn).unwrap();
            let inner = drawn.strip_prefix("\x1b[H").unwrap().strip_suffix("\x1b[J").unwrap();
            let shown: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split("\x1b[K\r\n").collect() };
            let room = height - usize::from(last.is_some());
            let expected: Vec<&str> =
                lines.iter().take(room).map(String::as_str).chain(last.as_deref()).collect();
            prop_assert!(shown.len() <= height);
            prop_assert_eq!(shown, expected);
        }
    }
}
