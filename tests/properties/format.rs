//! What holds of records: `--format`, whatever it is, the default and `--csv`, for any event.

use std::sync::LazyLock;

use inotify_tools::event::{Mask, PRINTED};
use inotify_tools::format::{Formatter, needs_time};
use inotify_tools::source::Event;
use inotify_tools::timefmt::TimeFormat;
use regex::bytes::{Captures, Regex};

/// A conversion of `--format`: a letter that means something by itself, or a separator and `e`.
static CONVERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?s-u)%(?:([wfeTc0n%])|(.)e)").expect("valid"));

/// A `--timefmt` that is the same at any time.
const TIME: &[u8] = b"now";

/// Checks it on one format and one event, on `file` in the directory `watched`, and after one with the bits
/// `earlier`.
pub fn holds(format: &[u8], watched: &[u8], file: &[u8], earlier: Mask, mask: Mask, cookie: u32) {
    let path = [watched, file].concat();
    let event = Event { watch: 1, path: &path, watched: watched.len(), mask, cookie, ends_wait: false };
    let record = |mut formatter: Formatter| {
        appended(&mut formatter, &Event { mask: earlier, ..event });
        let record = appended(&mut formatter, &event);
        assert_eq!(appended(&mut formatter, &event), record);
        record
    };

    for time in [None, Some(TIME)] {
        let expected = expand(format, &event, time);
        let formatter =
            |newline| Formatter::new(format, newline, time.map(|format| TimeFormat::new(format.to_vec())));
        assert_eq!(record(formatter(false)), expected);
        assert_eq!(record(formatter(true)), [&expected[..], b"\n"].concat());
    }

    // Without a time is accepted what prints none.
    assert!(needs_time(format) || expand(format, &event, None) == expand(format, &event, Some(TIME)));

    let names = names(mask, b',');
    assert_eq!(record(Formatter::standard()), [watched, b" ", &names, b" ", file, b"\n"].concat());
    let line = record(Formatter::csv());
    assert_eq!(fields(&line), [watched.to_vec(), names, file.to_vec()], "{}", line.escape_ascii());
}

fn appended(formatter: &mut Formatter, event: &Event) -> Vec<u8> {
    let mut out = b"before".to_vec();
    formatter.append(event, &mut out);
    out.strip_prefix(b"before").expect("a record is appended").to_vec()
}

/// `format` with its conversions replaced.
fn expand(format: &[u8], event: &Event, time: Option<&[u8]>) -> Vec<u8> {
    let (watched, file) = event.path.split_at(event.watched);
    let value = |conversion: &Captures| match (conversion.get(1), conversion.get(2)) {
        (Some(letter), _) => match letter.as_bytes() {
            b"w" => watched.to_vec(),
            b"f" => file.to_vec(),
            b"e" => names(event.mask, b','),
            b"T" => time.unwrap_or_default().to_vec(),
            b"c" => format!("{:x}", event.cookie).into_bytes(),
            b"0" => b"\0".to_vec(),
            b"n" => b"\n".to_vec(),
            _ => b"%".to_vec(),
        },
        (None, separator) => names(event.mask, separator.expect("one of the two").as_bytes()[0]),
    };
    CONVERSION.replace_all(format, value).into_owned()
}

fn names(mask: Mask, separator: u8) -> Vec<u8> {
    let names: Vec<&[u8]> =
        PRINTED.iter().filter(|(bits, _)| mask & bits != 0).map(|(_, name)| name.as_bytes()).collect();
    names.join(&separator)
}

/// The fields of a line of comma-separated values (RFC 4180, but a line ends in LF alone).
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = Vec::new();
        if let [b'"', quoted @ ..] = rest {
            rest = quoted;
            loop {
                match rest {
                    [b'"', b'"', after @ ..] => {
                        field.push(b'"');
                        rest = after;
                    }
                    [b'"', after @ ..] => {
                        rest = after;
                        break;
                    }
                    [byte, after @ ..] => {
                        field.push(*byte);
                        rest = after;
                    }
                    [] => panic!("a quote stays open"),
                }
            }
        } else {
            let end = rest.iter().position(|byte| b",\n".contains(byte)).expect("the line ends");
            field.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        match rest {
            [b',', after @ ..] => rest = after,
            [b'\n'] => return fields,
            _ => panic!("something stands behind a field"),
        }
    }
}
