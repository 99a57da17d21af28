//! One event -> one record: the default line, `--csv`, `--format`.

use std::io::Write;

use crate::event::{Mask, PRINTED};
use crate::source::Event;
use crate::timefmt::{self, TimeFormat};

/// A part of a record: text, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: Vec<u8>,
    field: Field,
}

/// What differs between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
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
    /// At the end of the record.
    Nothing,
}

/// Turns events into records.
pub struct Formatter {
    form: Form,
    time: Option<TimeFormat>,
    /// In seconds since the epoch.
    now: i64,
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
        Formatter { form: Form::Csv, time: None, now: 0, names: Names::default() }
    }

    /// `--format`, with `time` for `%T`.
    pub fn new(format: &[u8], newline: bool, time: Option<TimeFormat>) -> Formatter {
        let mut parts = parse(format);
        // The last one stands for the record's end.
        if let Some(Part { text, .. }) = parts.last_mut().filter(|_| newline) {
            text.push(b'\n');
        }
        Formatter { form: Form::Parts(parts), time, now: timefmt::now(), names: Names::default() }
    }

    /// Takes the time for the records to come: the events that were read together happened just now.
    pub fn set_time(&mut self) {
        if self.time.is_some() {
            self.now = timefmt::now();
        }
    }

    /// Appends the record of an event.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (watched, file) = event.path.split_at(event.watched);
        let parts = match &self.form {
            Form::Parts(parts) => parts,
            Form::Csv => return append_csv(watched, self.names.of(event.mask, b','), file, out),
        };
        // What is common is asked for one by one: a jump by a table is foretold badly.
        for Part { text, field } in parts {
            out.extend_from_slice(text);
            if *field == Field::Watched {
                out.extend_from_slice(watched);
            } else if *field == Field::File {
                out.extend_from_slice(file);
            } else if let Field::Events(separator) = field {
                out.extend_from_slice(self.names.of(event.mask, *separator));
            } else if let (Field::Time, Some(time)) = (field, &mut self.time) {
                time.append(self.now, out);
            } else if *field == Field::Cookie {
                // Writing to memory cannot fail.
                drop(write!(out, "{:x}", event.cookie));
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
    let mut text = Vec::new();
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        let (field, used) = match (byte, after.first(), after.get(1)) {
            (b'%', Some(b'w'), _) => (Ok(Field::Watched), 2),
            (b'%', Some(b'f'), _) => (Ok(Field::File), 2),
            (b'%', Some(b'e'), _) => (Ok(Field::Events(b',')), 2),
            (b'%', Some(b'T'), _) => (Ok(Field::Time), 2),
            (b'%', Some(b'c'), _) => (Ok(Field::Cookie), 2),
            (b'%', Some(b'0'), _) => (Err(0), 2),
            (b'%', Some(b'n'), _) => (Err(b'\n'), 2),
            (b'%', Some(b'%'), _) => (Err(b'%'), 2),
            (b'%', Some(&separator), Some(b'e')) => (Ok(Field::Events(separator)), 3),
            _ => (Err(byte), 1),
        };
        match field {
            Err(byte) => text.push(byte),
            Ok(field) => parts.push(Part { text: std::mem::take(&mut text), field }),
        }
        rest = &rest[used..];
    }
    parts.push(Part { text, field: Field::Nothing });
    parts
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
