//! One event -> one record: the default line, `--csv`, `--format`.

use std::io::Write;

use crate::event::{Mask, PRINTED};
use crate::timefmt::{self, TimeFormat};
use crate::watcher::Event;

/// A part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// `%w`
    Watched,
    /// `%f`
    File,
    /// `%e` and `%Xe`, by separator.
    Events(u8),
    /// `%T`
    Time,
    /// `%c`
    Cookie,
}

/// Turns events into records.
pub struct Formatter {
    form: Form,
    time: Option<TimeFormat>,
    names: Names,
}

/// What stands for `%e`, kept for every mask and separator that was met: that is a dozen or so.
#[derive(Default)]
struct Names(Vec<(Mask, u8, Vec<u8>)>);

impl Names {
    fn of(&mut self, mask: Mask, separator: u8) -> &[u8] {
        let known = self.0.iter().position(|known| (known.0, known.1) == (mask, separator));
        let at = known.unwrap_or_else(|| {
            let named = PRINTED.iter().filter(|(bits, _)| mask & bits != 0);
            let names: Vec<&[u8]> = named.map(|(_, name)| name.as_bytes()).collect();
            self.0.push((mask, separator, names.join(&separator)));
            self.0.len() - 1
        });
        &self.0[at].2
    }
}

enum Form {
    Parts(Vec<Part>),
    Csv,
}

impl Formatter {
    /// `%w %,e %f` and a newline.
    pub fn standard() -> Formatter {
        Formatter::new(b"%w %,e %f", true, None)
    }

    /// Comma-separated values: `%w`, `%e`, `%f` and a newline.
    pub fn csv() -> Formatter {
        Formatter { form: Form::Csv, time: None, names: Names::default() }
    }

    /// `--format`, with `time` for `%T`.
    pub fn new(format: &[u8], newline: bool, time: Option<TimeFormat>) -> Formatter {
        let mut parts = parse(format);
        if newline {
            push_text(&mut parts, b"\n");
        }
        Formatter { form: Form::Parts(parts), time, names: Names::default() }
    }

    /// Appends the record of an event.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (watched, file) = event.path.split_at(event.watched);
        let parts = match &self.form {
            Form::Parts(parts) => parts,
            Form::Csv => return append_csv(watched, self.names.of(event.mask, b','), file, out),
        };
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Watched => out.extend_from_slice(watched),
                Part::File => out.extend_from_slice(file),
                Part::Events(separator) => out.extend_from_slice(self.names.of(event.mask, *separator)),
                Part::Time => {
                    if let Some(time) = &mut self.time {
                        time.append(timefmt::now(), out);
                    }
                }
                // Writing to memory cannot fail.
                Part::Cookie => drop(write!(out, "{:x}", event.cookie)),
            }
        }
    }
}

/// Whether a `--format` needs a `--timefmt`: it holds `%T`, anywhere. The reference minds the one in `%%T`, too.
pub fn needs_time(format: &[u8]) -> bool {
    format.windows(2).any(|pair| pair == b"%T")
}

/// The parts of a `--format`. A known letter wins over `%Xe`; what is unknown prints itself.
fn parse(format: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        let (part, used) = match (byte, after.first(), after.get(1)) {
            (b'%', Some(b'w'), _) => (Part::Watched, 2),
            (b'%', Some(b'f'), _) => (Part::File, 2),
            (b'%', Some(b'e'), _) => (Part::Events(b','), 2),
            (b'%', Some(b'T'), _) => (Part::Time, 2),
            (b'%', Some(b'c'), _) => (Part::Cookie, 2),
            (b'%', Some(b'0'), _) => (Part::Text(vec![0]), 2),
            (b'%', Some(b'n'), _) => (Part::Text(vec![b'\n']), 2),
            (b'%', Some(b'%'), _) => (Part::Text(vec![b'%']), 2),
            (b'%', Some(&separator), Some(b'e')) => (Part::Events(separator), 3),
            _ => (Part::Text(vec![byte]), 1),
        };
        match part {
            Part::Text(text) => push_text(&mut parts, &text),
            part => parts.push(part),
        }
        rest = &rest[used..];
    }
    parts
}

fn push_text(parts: &mut Vec<Part>, text: &[u8]) {
    match parts.last_mut() {
        Some(Part::Text(before)) => before.extend_from_slice(text),
        _ => parts.push(Part::Text(text.to_vec())),
    }
}

fn append_csv(watched: &[u8], names: &[u8], file: &[u8], out: &mut Vec<u8>) {
    for (field, after) in [(watched, b','), (names, b','), (file, b'\n')] {
        append_field(field, out);
        out.push(after);
    }
}

/// A field is quoted if it holds a comma, a quote or a newline, or has a space at either end.
fn append_field(field: &[u8], out: &mut Vec<u8>) {
    let special = field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n'));
    if !special && field.first() != Some(&b' ') && field.last() != Some(&b' ') {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
