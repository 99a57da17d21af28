//! One event -> one record: the default line, `--csv`, `--format`, `--json`.

use std::io::Write;
use std::time::SystemTime;

use crate::event::PRINTED;
use crate::json;
use crate::source::Event;
use crate::sys::mask::{IN_ISDIR, Mask};
use crate::timefmt::{Clock, TimeFormat};

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
    /// `%{time}`
    Utc,
    /// `%{pid}`
    Pid,
    /// `%{comm}`
    Comm,
    /// `%c`
    Cookie,
    /// At the end of the record.
    Nothing,
}

/// The names that `%{...}` takes.
const NAMED: [(&str, Field); 3] = [("comm", Field::Comm), ("pid", Field::Pid), ("time", Field::Utc)];

/// Turns events into records.
pub struct Formatter {
    form: Form,
    /// Ends each record.
    end: Option<u8>,
    clock: Clock,
    /// The name of the process of the records to come, if it is known.
    comm: Option<Vec<u8>>,
    /// Some field shows the time.
    is_timed: bool,
    names: Names,
}

/// What stands for the events of a mask, kept for every mask that was met, and for every part of the record: that is a dozen or so.
#[derive(Default)]
struct Names(Vec<(Mask, usize, Vec<u8>)>);

/// The most masks that are kept.
const MANY: usize = 64;

impl Names {
    /// What `make` makes of the names of the events, for the part of this number.
    fn of(&mut self, mask: Mask, part: usize, make: impl FnOnce(&[&[u8]]) -> Vec<u8>) -> &[u8] {
        let known = self.0.iter().position(|known| (known.0, known.1) == (mask, part));
        let at = known.unwrap_or_else(|| self.add(mask, part, make));
        &self.0[at].2
    }

    #[cold]
    fn add(&mut self, mask: Mask, part: usize, make: impl FnOnce(&[&[u8]]) -> Vec<u8>) -> usize {
        let named = PRINTED.iter().filter(|(bits, _)| mask.has(*bits));
        let names: Vec<&[u8]> = named.map(|(_, name)| name.as_bytes()).collect();
        // Batches bring many more.
        if self.0.len() == MANY {
            self.0.clear();
        }
        self.0.push((mask, part, make(&names)));
        self.0.len() - 1
    }
}

enum Form {
    Parts(Vec<Part>),
    Csv,
    Json,
}

impl Formatter {
    /// `%w %,e %f`
    pub fn standard(end: Option<u8>) -> Formatter {
        Formatter::new(b"%w %,e %f", end, None)
    }

    /// Comma-separated values: `%w`, `%e` and `%f`.
    pub fn csv(end: Option<u8>) -> Formatter {
        Formatter::of(Form::Csv, end, None)
    }

    /// A JSON object.
    pub fn json(end: Option<u8>) -> Formatter {
        Formatter::of(Form::Json, end, None)
    }

    /// `--format`, with `time` for `%T`.
    pub fn new(format: &[u8], end: Option<u8>, time: Option<TimeFormat>) -> Formatter {
        Formatter::of(Form::Parts(parse(format)), end, time)
    }

    fn of(mut form: Form, end: Option<u8>, time: Option<TimeFormat>) -> Formatter {
        let is_timed = match &mut form {
            Form::Parts(parts) => {
                // The last part is for the record's end.
                if let Some(part) = parts.last_mut() {
                    part.text.extend(end);
                }
                parts.iter().any(|part| matches!(part.field, Field::Time | Field::Utc))
            }
            Form::Csv => false,
            Form::Json => true,
        };
        Formatter { form, end, clock: Clock::new(time), comm: None, is_timed, names: Names::default() }
    }

    /// Takes the time for the records to come: the events that were read together happened just now.
    pub fn set_time(&mut self) {
        if self.is_timed {
            self.clock.set(SystemTime::now());
        }
    }

    /// The time of the records to come.
    pub fn moment(&self) -> SystemTime {
        self.clock.moment()
    }

    /// Gives the records to come the time at which their events were read.
    pub fn set_moment(&mut self, moment: SystemTime) {
        self.clock.set(moment);
    }

    /// Whether a record shows the name of a process, if that can be had.
    pub fn shows_comm(&self) -> bool {
        match &self.form {
            Form::Parts(parts) => parts.iter().any(|part| part.field == Field::Comm),
            Form::Csv => false,
            Form::Json => true,
        }
    }

    /// Gives the records to come the name of the process that caused their events.
    pub fn set_comm(&mut self, comm: Option<&[u8]>) {
        match (&mut self.comm, comm) {
            (Some(known), Some(comm)) => comm.clone_into(known),
            (known, comm) => *known = comm.map(<[u8]>::to_vec),
        }
    }

    /// Appends the record of an event.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (watched, file) = event.path.split_at(event.watched);
        let parts = match &self.form {
            Form::Parts(parts) => parts,
            Form::Csv => {
                append_csv(watched, self.names.of(event.mask, 0, |names| names.join(&b',')), file, out);
                return out.extend(self.end);
            }
            Form::Json => {
                self.append_json(event, out);
                return out.extend(self.end);
            }
        };
        for (number, Part { text, field }) in parts.iter().enumerate() {
            if let Field::Events(separator) = field {
                let make = |names: &[&[u8]]| [text, names.join(separator).as_slice()].concat();
                out.extend_from_slice(self.names.of(event.mask, number, make));
                continue;
            }
            match text.as_slice() {
                [] => {}
                // Far quicker than a call to copy it.
                [byte] => out.push(*byte),
                text => out.extend_from_slice(text),
            }
            match field {
                Field::Watched => out.extend_from_slice(watched),
                Field::File => out.extend_from_slice(file),
                Field::Nothing => {}
                field => append_other(*field, event, &mut self.clock, self.comm.as_deref(), out),
            }
        }
    }

    /// Appends the record that follows a batch of `count` records: nothing but the end, or in JSON their number.
    pub fn append_marker(&self, count: usize, out: &mut Vec<u8>) {
        if let Form::Json = self.form {
            // Writing to memory cannot fail.
            drop(write!(out, "{{\"batch\":{count}}}"));
        }
        out.extend(self.end);
    }

    /// The keys are documented in inotifywait(1): others may follow them, none may change.
    fn append_json(&mut self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        self.clock.append_utc(out);
        out.extend_from_slice(b"\",\"path\":");
        let append = if json::is_plain(event.path) { json::append_plain } else { json::append_string };
        let (watched, name) = event.path.split_at(event.watched);
        // A link to a directory, whose `%w` has no slash.
        match name.is_empty() || watched.ends_with(b"/") {
            true => append(event.path, out),
            false => append(&[watched, b"/", name].concat(), out),
        }
        out.extend_from_slice(b",\"watched\":");
        append(watched, out);
        out.extend_from_slice(b",\"name\":");
        append(name, out);
        out.extend_from_slice(b",\"events\":[");
        out.extend_from_slice(self.names.of(event.mask & !IN_ISDIR, 0, quoted));
        out.extend_from_slice(match event.mask.has(IN_ISDIR) {
            false => b"],\"isdir\":false,\"cookie\":",
            true => b"],\"isdir\":true,\"cookie\":",
        });
        match event.cookie {
            // Most events are no renames.
            0 => out.push(b'0'),
            // Writing to memory cannot fail.
            cookie => drop(write!(out, "{cookie}")),
        }
        if let Some(pid) = event.pid {
            append_process(pid, self.comm.as_deref(), out);
        }
        out.push(b'}');
    }
}

/// Names as what is in an array of strings.
fn quoted(names: &[&[u8]]) -> Vec<u8> {
    names.iter().map(|name| [b"\"", *name, b"\""].concat()).collect::<Vec<_>>().join(&b',')
}

/// Appends one of the fields that few records have. With those that most have, it would be a table of jumps, which is foretold badly.
#[inline(never)]
fn append_other(field: Field, event: &Event, clock: &mut Clock, comm: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        Field::Time => clock.append_local(out),
        Field::Utc => clock.append_utc(out),
        // Writing to memory cannot fail.
        Field::Pid => drop(write!(out, "{}", event.pid.unwrap_or(0))),
        Field::Comm => out.extend_from_slice(comm.unwrap_or(b"-")),
        // Writing to memory cannot fail.
        Field::Cookie => drop(write!(out, "{:x}", event.cookie)),
        Field::Watched | Field::File | Field::Events(_) | Field::Nothing => {}
    }
}

/// The members of a JSON object about a process, null where it is not known.
fn append_process(pid: i32, comm: Option<&[u8]>, out: &mut Vec<u8>) {
    match pid {
        0 => out.extend_from_slice(b",\"pid\":null"),
        // Writing to memory cannot fail.
        _ => drop(write!(out, ",\"pid\":{pid}")),
    }
    out.extend_from_slice(b",\"comm\":");
    match comm {
        Some(comm) => json::append_string(comm, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Whether a `--format` needs a `--timefmt`: it holds `%T`, anywhere. The reference minds the one in `%%T`, too.
pub fn needs_time(format: &[u8]) -> bool {
    format.windows(2).any(|pair| pair == b"%T")
}

/// The first `%{...}` of a `--format` that has the form of a name, but is none: a message about it.
pub fn unknown_name(format: &[u8]) -> Option<String> {
    let name = tokens(format).find_map(|token| match token {
        Token::Unknown(name) => Some(String::from_utf8_lossy(name)),
        _ => None,
    })?;
    let mut known: Vec<String> = NAMED.iter().map(|(name, _)| format!("%{{{name}}}")).collect();
    let last = known.pop().unwrap_or_default();
    let known = known.join(", ");
    Some(format!("%{{{name}}} in --format string is unknown; known are {known} and {last}."))
}

/// The first `%{...}` of a `--format` that is about a process.
pub fn process_name(format: &[u8]) -> Option<&'static str> {
    tokens(format).find_map(|token| match token {
        Token::Field(Field::Pid) => Some("%{pid}"),
        Token::Field(Field::Comm) => Some("%{comm}"),
        _ => None,
    })
}

/// The tokens of a `--format`.
fn tokens(mut format: &[u8]) -> impl Iterator<Item = Token<'_>> {
    std::iter::from_fn(move || {
        let (token, used) = (!format.is_empty()).then(|| token(format))?;
        format = &format[used..];
        Some(token)
    })
}

/// What a `--format` begins with.
enum Token<'a> {
    Text(u8),
    Field(Field),
    /// `%{...}` with this for a name.
    Unknown(&'a [u8]),
}

/// The first token of a `--format`, and its length. A known letter wins over `%Xe`, and that over a name.
fn token(format: &[u8]) -> (Token<'_>, usize) {
    let at = |at| format.get(at).copied();
    match (format[0], at(1), at(2)) {
        (b'%', Some(b'w'), _) => (Token::Field(Field::Watched), 2),
        (b'%', Some(b'f'), _) => (Token::Field(Field::File), 2),
        (b'%', Some(b'e'), _) => (Token::Field(Field::Events(b',')), 2),
        (b'%', Some(b'T'), _) => (Token::Field(Field::Time), 2),
        (b'%', Some(b'c'), _) => (Token::Field(Field::Cookie), 2),
        (b'%', Some(b'0'), _) => (Token::Text(0), 2),
        (b'%', Some(b'n'), _) => (Token::Text(b'\n'), 2),
        (b'%', Some(b'%'), _) => (Token::Text(b'%'), 2),
        (b'%', Some(separator), Some(b'e')) => (Token::Field(Field::Events(separator)), 3),
        (b'%', Some(b'{'), Some(b'a'..=b'z')) => name(format).unwrap_or((Token::Text(b'%'), 1)),
        (byte, ..) => (Token::Text(byte), 1),
    }
}

/// A name in braces: lower-case letters and underscores up to the `}`.
fn name(format: &[u8]) -> Option<(Token<'_>, usize)> {
    let name = &format[2..];
    let end = name.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b'_'))?;
    let name = &name[..end];
    let known = NAMED.iter().find(|(known, _)| known.as_bytes() == name);
    let token = known.map_or(Token::Unknown(name), |(_, field)| Token::Field(*field));
    (format[2 + end] == b'}').then_some((token, end + 3))
}

/// The parts of a `--format`. What is unknown prints itself.
fn parse(format: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut rest = format;
    while !rest.is_empty() {
        let (token, used) = token(rest);
        match token {
            Token::Text(byte) => text.push(byte),
            Token::Field(field) => parts.push(Part { text: std::mem::take(&mut text), field }),
            Token::Unknown(_) => text.extend_from_slice(&rest[..used]),
        }
        rest = &rest[used..];
    }
    parts.push(Part { text, field: Field::Nothing });
    parts
}

fn append_csv(watched: &[u8], names: &[u8], file: &[u8], out: &mut Vec<u8>) {
    append_field(watched, out);
    out.push(b',');
    append_field(names, out);
    out.push(b',');
    append_field(file, out);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(format: &str) -> Formatter {
        Formatter::new(format.as_bytes(), Some(b'\n'), None)
    }

    #[test]
    fn a_process_is_shown_by_its_two_names_and_in_json() {
        for (format, comm, process) in [
            ("%w%f", false, None),
            ("%w %{pid}", false, Some("%{pid}")),
            ("%{comm} %{pid}", true, Some("%{comm}")),
            ("%%{comm}", false, None),
            ("%{time}", false, None),
        ] {
            assert_eq!(of(format).shows_comm(), comm, "{format}");
            assert_eq!(process_name(format.as_bytes()), process, "{format}");
        }
        assert!(Formatter::json(None).shows_comm() && !Formatter::csv(None).shows_comm());
    }

    #[test]
    fn a_time_format_is_needed_for_each_percent_t() {
        for (format, is_needed) in
            [("%T", true), ("a %T", true), ("%%T", true), ("T", false), ("%t", false), ("", false)]
        {
            assert_eq!(needs_time(format.as_bytes()), is_needed, "{format}");
        }
    }

    #[test]
    fn the_time_is_taken_only_if_it_is_shown() {
        for (mut formatter, is_timed) in
            [(of("%{time}"), true), (of("%T"), true), (Formatter::json(None), true), (of("%w"), false)]
        {
            formatter.set_moment(SystemTime::UNIX_EPOCH);
            assert_eq!(formatter.moment(), SystemTime::UNIX_EPOCH);
            formatter.set_time();
            assert_eq!(formatter.moment() > SystemTime::UNIX_EPOCH, is_timed);
        }
    }

    #[test]
    fn a_marker_is_the_end_of_a_record_or_a_number() {
        let marker = |formatter: Formatter| {
            let mut out = Vec::new();
            formatter.append_marker(3, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(marker(of("%w")), "\n");
        assert_eq!(marker(Formatter::csv(Some(0))), "\0");
        assert_eq!(marker(Formatter::json(Some(b'\n'))), "{\"batch\":3}\n");
    }

    #[test]
    fn an_unknown_process_is_null() {
        let members = |pid, comm: Option<&[u8]>| {
            let mut out = Vec::new();
            append_process(pid, comm, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(members(7, Some(b"sh")), ",\"pid\":7,\"comm\":\"sh\"");
        assert_eq!(members(0, None), ",\"pid\":null,\"comm\":null");
    }

    #[test]
    fn a_field_of_csv_is_quoted_if_it_needs_that() {
        for (field, quoted) in [
            ("plain", "plain"),
            ("", ""),
            (" a", "\" a\""),
            ("a ", "\"a \""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("a\nb", "\"a\nb\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            let mut out = Vec::new();
            append_field(field.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), quoted);
        }
    }

    #[test]
    fn names_of_more_masks_than_are_kept_stay_right() {
        let mut names = Names::default();
        for mask in (0..200).chain(0..200).map(Mask::of) {
            let expected: Vec<&str> =
                PRINTED.iter().filter(|(bits, _)| mask.has(*bits)).map(|(_, name)| *name).collect();
            assert_eq!(names.of(mask, 0, |names| names.join(&b'|')), expected.join("|").as_bytes());
            let in_json: Vec<String> = expected.iter().map(|name| format!("\"{name}\"")).collect();
            assert_eq!(names.of(mask, 1, quoted), in_json.join(",").as_bytes());
            assert!(names.0.len() <= MANY);
        }
    }
}
