//! What holds of records: `--format`, whatever it is, the default, `--csv` and `--json`, for any event.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use inotify_tools::internals::Event;
use inotify_tools::internals::PRINTED;
use inotify_tools::internals::TimeFormat;
use inotify_tools::internals::inotify::Wd;
use inotify_tools::internals::mask::{IN_ISDIR, Mask};
use inotify_tools::internals::{Formatter, needs_time, unknown_name};
use regex::bytes::{Captures, Regex};
use serde_json::{Value, json};

/// A conversion of `--format`: a letter that means something by itself, a separator and `e`, or a name.
static CONVERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s-u)%(?:([wfeTc0n%])|(.)e|\{([a-z][a-z_]*)\})").expect("valid"));

/// The names in braces.
const NAMED: [&[u8]; 3] = [b"comm", b"pid", b"time"];

/// The time of the event.
const MOMENT: Duration = Duration::from_nanos(1_795_363_435_123_456_789);
const MOMENT_TEXT: &str = "2026-11-22T16:03:55.123456Z";

/// A `--timefmt` that is the same at any time.
const TIME: &[u8] = b"now";

/// Checks it on one format and one event, on `file` in the directory `watched`, and after one with the bits
/// `earlier`.
pub fn holds(format: &[u8], watched: &[u8], file: &[u8], earlier: u32, mask: u32, cookie: u32) {
    let (earlier, mask) = (Mask::of(earlier), Mask::of(mask));
    let path = [watched, file].concat();
    let pid = Some((cookie >> 8) as i32).filter(|pid| pid % 2 == 0);
    let event = Event {
        watch: Wd(1),
        path: &path,
        watched: watched.len(),
        mask,
        cookie,
        pid,
        ends_wait: false,
        ends_operand: false,
    };
    // As hard to print as any name.
    let comm = pid.filter(|pid| *pid != 0).map(|_| file);
    let record = |mut formatter: Formatter| {
        formatter.set_moment(SystemTime::UNIX_EPOCH);
        formatter.set_comm(Some(b"before"));
        appended(&mut formatter, &Event { mask: earlier, ..event });
        formatter.set_moment(SystemTime::UNIX_EPOCH + MOMENT);
        formatter.set_comm(comm);
        let record = appended(&mut formatter, &event);
        assert_eq!(appended(&mut formatter, &event), record);
        record
    };

    for time in [None, Some(TIME)] {
        let expected = expand(format, &event, comm, time);
        let formatter =
            |end| Formatter::new(format, end, time.map(|format| TimeFormat::new(format.to_vec())));
        assert_eq!(record(formatter(None)), expected);
        assert_eq!(record(formatter(Some(b'\n'))), [&expected[..], b"\n"].concat());
    }
    let names_of =
        |conversion: Captures| conversion.get(3).is_some_and(|name| !NAMED.contains(&name.as_bytes()));
    assert_eq!(unknown_name(format).is_some(), CONVERSION.captures_iter(format).any(names_of));

    // Without a time is accepted what prints none.
    assert!(
        needs_time(format) || expand(format, &event, comm, None) == expand(format, &event, comm, Some(TIME))
    );

    let names = names(mask, b',');
    assert_eq!(record(Formatter::standard(Some(0))), [watched, b" ", &names, b" ", file, b"\0"].concat());
    let line = record(Formatter::csv(Some(b'\n')));
    assert_eq!(fields(&line), [watched.to_vec(), names, file.to_vec()], "{}", line.escape_ascii());
    let line = record(Formatter::json(Some(b'\n')));
    is_json_of(&event, comm, &line);
}

/// One line, without a control character, that a parser reads back.
fn is_json_of(event: &Event, comm: Option<&[u8]>, line: &[u8]) {
    let shown = line.escape_ascii();
    let (end, object) = line.split_last().expect("not empty");
    assert!(*end == b'\n' && !object.iter().any(u8::is_ascii_control), "{shown}");
    let (watched, name) = event.path.split_at(event.watched);
    let names = names(event.mask & !IN_ISDIR, b',');
    let names = std::str::from_utf8(&names).expect("ASCII").split(',').filter(|name| !name.is_empty());
    let slash: &[u8] = if name.is_empty() || watched.ends_with(b"/") { b"" } else { b"/" };
    let mut expected = json!({
        "time": MOMENT_TEXT,
        "path": string(&[watched, slash, name].concat()),
        "watched": string(watched),
        "name": string(name),
        "events": names.collect::<Vec<_>>(),
        "isdir": event.mask.has(IN_ISDIR),
        "cookie": event.cookie,
    });
    if let Some(pid) = event.pid {
        expected["pid"] = if pid == 0 { Value::Null } else { pid.into() };
        expected["comm"] = comm.map_or(Value::Null, string);
    }
    assert_eq!(serde_json::from_slice::<Value>(object).expect("JSON"), expected, "{shown}");
}

/// Bytes that are no UTF-8 are in base64, here written by bits.
fn string(bytes: &[u8]) -> Value {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Value::from(text);
    }
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut text = String::new();
    for six in bits.as_bytes().chunks(6) {
        let six = format!("{:0<6}", String::from_utf8_lossy(six));
        text.push(char::from(DIGITS[usize::from_str_radix(&six, 2).expect("bits")]));
    }
    let padding = text.len().wrapping_neg() % 4;
    text.push_str(&"=".repeat(padding));
    json!({ "bytes": text })
}

fn appended(formatter: &mut Formatter, event: &Event) -> Vec<u8> {
    let mut out = b"before".to_vec();
    formatter.append(event, &mut out);
    out.strip_prefix(b"before").expect("a record is appended").to_vec()
}

/// `format` with its conversions replaced.
fn expand(format: &[u8], event: &Event, comm: Option<&[u8]>, time: Option<&[u8]>) -> Vec<u8> {
    let (watched, file) = event.path.split_at(event.watched);
    let value = |conversion: &Captures| match (conversion.get(1), conversion.get(2)) {
        (None, None) => match &conversion[3] {
            b"time" => MOMENT_TEXT.as_bytes().to_vec(),
            b"pid" => event.pid.unwrap_or(0).to_string().into_bytes(),
            b"comm" => comm.unwrap_or(b"-").to_vec(),
            _ => conversion[0].to_vec(),
        },
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
        PRINTED.iter().filter(|(bits, _)| mask.has(*bits)).map(|(_, name)| name.as_bytes()).collect();
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
