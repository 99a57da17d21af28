//! The values of options: text -> type. Their errors are the reference's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::{Exit, hints};
use crate::error::Error;
use crate::event::{EVENTS, EventName, LSDIR};
use crate::filter::FileType;
use crate::ignore::pattern::Pattern;
use crate::messages::Message;
use crate::ready::Receiver;
use crate::source::Interface;
use crate::sys::mask::{IN_ALL_EVENTS, IN_CLOSE, IN_MOVE, Mask};
use crate::until::Condition;

/// How inotifywatch orders its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Least first.
    pub ascending: bool,
    /// By what.
    pub key: SortKey,
}

/// The column that inotifywatch sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The sum of all columns.
    Total,
    /// The column of this event.
    Event(Mask),
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// 0: forever.
    Never,
    /// A negative number: forever with inotify. With fanotify an error, once all watches are established, as in
    /// inotify-tools 4.x: programs use it to find out whether fanotify works.
    Negative,
    /// This long.
    After(Duration),
}

impl Timeout {
    /// The time to wait for events of an interface, if it is limited.
    ///
    /// # Errors
    ///
    /// It is negative, and the interface fanotify.
    pub fn over(self, interface: Interface) -> Result<Option<Duration>, Error> {
        match (self, interface) {
            (Timeout::Negative, Interface::Fanotify(_)) => Err(Error::NegativeTimeout),
            _ => Ok(self.limit()),
        }
    }

    fn limit(self) -> Option<Duration> {
        match self {
            Timeout::After(time) => Some(time),
            Timeout::Never | Timeout::Negative => None,
        }
    }
}

/// `--timeout`, in seconds.
///
/// A decimal number as strtol(3) takes it (white space and a sign before it, nothing after it),
/// and unlike there with a fraction, if one wants: digits with one decimal point among, before
/// or after them. No exponents, no hexadecimal. What
/// is below a nanosecond is dropped, but makes a positive number at least one nanosecond.
///
/// # Errors
///
/// The reference's messages.
pub fn timeout(text: &[u8]) -> Result<Timeout, Exit> {
    const HINT: &str = "Please specify a long int value.";
    if text.is_empty() {
        let message = Message::from("The provided value is not a valid timeout value.");
        return Err(Exit::usage(message.and(HINT)).hint(Some(hints::timeout(text))));
    }
    let is_space = |b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|b| !is_space(b)).unwrap_or(text.len());
    let (negative, number) = match &text[start..] {
        [b'-', number @ ..] => (true, number),
        [b'+', number @ ..] => (false, number),
        number => (false, number),
    };
    let (whole, rest) = digits(number);
    let Some(seconds) = decimal(whole).filter(|&s| s <= i64::MAX as u64 + u64::from(negative)) else {
        // Judged by the leading digits alone, whatever follows, as strtol does.
        return Err(Exit::usage(
            "Something went wrong with the timeout value you provided.\n\
             Numerical result out of range\n",
        ));
    };
    let (fraction, rest) = match rest {
        [b'.', fraction @ ..] => digits(fraction),
        _ => (&[][..], rest),
    };
    if !rest.is_empty() || whole.len() + fraction.len() == 0 {
        let message = Message::new(&[b"'", text, b"' is not a valid timeout value."]);
        return Err(Exit::usage(message.and(HINT)).hint(Some(hints::timeout(text))));
    }
    if negative {
        return Ok(if seconds == 0 && is_zero(fraction) { Timeout::Never } else { Timeout::Negative });
    }
    let nanoseconds =
        (0..9).fold(0, |n, place| n * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0')));
    let mut timeout = Duration::new(seconds, nanoseconds);
    if timeout.is_zero() && !is_zero(fraction) {
        timeout = Duration::from_nanos(1);
    }
    Ok(if timeout.is_zero() { Timeout::Never } else { Timeout::After(timeout) })
}

fn is_zero(digits: &[u8]) -> bool {
    digits.iter().all(|&digit| digit == b'0')
}

/// A number of seconds as for [`timeout`], but positive.
///
/// # Errors
///
/// A message that says so.
pub fn seconds(text: &[u8]) -> Result<Duration, Exit> {
    let invalid = || Exit::usage(Message::new(&[b"'", text, b"' is not a valid number of seconds."]));
    timeout(text).ok().and_then(Timeout::limit).ok_or_else(invalid)
}

/// `--top`: a positive number.
///
/// # Errors
///
/// A message that says so.
pub fn rows(text: &[u8]) -> Result<usize, Exit> {
    positive(text)
        .ok_or_else(|| Exit::usage(Message::new(&[b"'", text, b"' is not a valid number of rows."])))
}

/// `--max-depth`: a positive number.
///
/// # Errors
///
/// A message that says so.
pub fn depth(text: &[u8]) -> Result<usize, Exit> {
    positive(text).ok_or_else(|| Exit::usage(Message::new(&[b"'", text, b"' is not a valid depth."])))
}

/// `--ignore`: a pattern of gitignore(5); `None` for an empty one.
///
/// # Errors
///
/// A message that it can match nothing.
pub fn pattern(text: &[u8]) -> Result<Option<Pattern>, Exit> {
    Pattern::new(text).map_err(|_| Exit::usage(Message::new(&[b"Error in `ignore' pattern '", text, b"'."])))
}

fn positive(text: &[u8]) -> Option<usize> {
    let (number, rest) = digits(text);
    let number = decimal(number).filter(|number| rest.is_empty() && *number > 0)?;
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}

/// `--type`: `file` or `dir`, or its first letter.
///
/// # Errors
///
/// A message that says so.
pub fn file_type(text: &[u8]) -> Result<FileType, Exit> {
    FileType::parse(text).ok_or_else(|| {
        Exit::usage(Message::new(&[b"'", text, b"' is not a valid type!  Use 'file' or 'dir'."]))
    })
}

/// `--until`: `exists` or `gone`.
///
/// # Errors
///
/// A message that says so.
pub fn condition(text: &[u8]) -> Result<Condition, Exit> {
    Condition::parse(text).ok_or_else(|| {
        Exit::usage(Message::new(&[b"'", text, b"' is not a valid condition!  Use 'exists' or 'gone'."]))
    })
}

/// `--ready`: the number of a descriptor, or `systemd`.
///
/// # Errors
///
/// A message that says so.
pub fn ready(text: &[u8]) -> Result<Receiver, Exit> {
    Receiver::parse(text).ok_or_else(|| {
        Exit::usage(Message::new(&[b"'", text, b"' is not a valid descriptor!  Use a number or 'systemd'."]))
    })
}

/// Splits off the digits at the start.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// The value of a string of digits, 0 for none, if it fits.
fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// `--event`: names separated by commas, in any case of letters. An empty name ends the list and
/// makes it mean nothing (0) as a whole, like an empty list; the names before it must be valid.
///
/// # Errors
///
/// The reference's message about an unknown name, which shows the whole list.
pub fn events(list: &[u8]) -> Result<Mask, Exit> {
    lookup(list).map_err(|name| {
        let help = b"Run with the '--help' option to see a list of events.";
        let message = Message::new(&[b"'", list, b"' is not a valid event!  ", help]);
        Exit::usage(message).hint(hints::events(list, name))
    })
}

/// The events of a list of names, if it is one.
pub fn named_events(list: &[u8]) -> Option<Mask> {
    lookup(list).ok().filter(|events| *events != Mask::NONE)
}

/// What to say of lists of events that an empty name made meaningless.
pub(super) fn emptied<'a>(lists: impl Iterator<Item = &'a OsStr>) -> Message {
    lists
        .map(OsStr::as_bytes)
        .filter(|list| list.iter().any(|byte| *byte != b',') && lookup(list) == Ok(Mask::NONE))
        .fold(Message::default(), |message, list| {
            message.line(&[b"'", list, b"' is ignored as a whole: one of its names is empty."])
        })
}

/// The events of a list, or the first name that is none.
fn lookup(list: &[u8]) -> Result<Mask, &[u8]> {
    let mut mask = Mask::NONE;
    for name in list.split(|&b| b == b',') {
        if name.is_empty() {
            return Ok(Mask::NONE);
        }
        mask |= event(name).ok_or(name)?.bits;
    }
    Ok(mask)
}

fn event(name: &[u8]) -> Option<&'static EventName> {
    EVENTS.iter().find(|event| event.name.as_bytes().eq_ignore_ascii_case(name))
}

/// What several lists of events mean together: their union, or all events if that is empty.
pub(super) fn all_if_none(lists: impl Iterator<Item = Mask>) -> Mask {
    match lists.fold(Mask::NONE, |all, mask| all | mask) {
        Mask::NONE => IN_ALL_EVENTS,
        mask => mask,
    }
}

/// `--ascending` and `--descending`: `total` (or nothing), or one event that has a column.
///
/// # Errors
///
/// The reference's messages. It gives them for `--ascending` only: with `--descending` and a key of several
/// events it prints a single row, but crashes on two.
pub fn sort_key(key: &[u8]) -> Result<SortKey, Exit> {
    if key.eq_ignore_ascii_case(b"total") {
        return Ok(SortKey::Total);
    }
    match event(key).map(|event| event.bits) {
        Some(IN_CLOSE) => {
            Err(Exit::usage("Cannot sort by `close' event; please use `close_write' or `close_nowrite'.\n"))
        }
        Some(IN_MOVE) => {
            Err(Exit::usage("Cannot sort by `move' event; please use `moved_from' or `moved_to'.\n"))
        }
        // There is no column of this name.
        Some(IN_ALL_EVENTS | LSDIR) => Err(invalid_key(key)),
        Some(bits) => Ok(SortKey::Event(bits)),
        None if key.is_empty() => Ok(SortKey::Total),
        None => Err(invalid_key(key)),
    }
}

fn invalid_key(key: &[u8]) -> Exit {
    Exit::usage(Message::new(&[b"'", key, b"' is not a valid key for sorting!"])).hint(hints::sort_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mask::{IN_CREATE, IN_OPEN};
    use proptest::prelude::*;

    fn message<T>(result: Result<T, Exit>) -> Option<String> {
        result.err().map(|exit| exit.to_string())
    }

    fn seconds(text: &str) -> Option<Duration> {
        timeout(text.as_bytes()).unwrap().limit()
    }

    #[test]
    fn a_timeout_is_a_decimal_number() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("+5", 5000),
            (" \t\n5", 5000),
            ("010", 10_000),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5000),
            ("1.0625", 1062),
        ] {
            let timeout = seconds(text).unwrap();
            assert_eq!(timeout.as_millis(), milliseconds, "{text:?}");
        }
        assert_eq!(seconds("0.0000000001"), Some(Duration::from_nanos(1)));
        assert_eq!(
            seconds("9223372036854775807.999999999"),
            Some(Duration::new(i64::MAX as u64, 999_999_999))
        );
    }

    #[test]
    fn zero_and_negative_timeouts_are_none() {
        for text in ["0", "-0", "0.0", "-0.0"] {
            assert_eq!(timeout(text.as_bytes()).unwrap(), Timeout::Never, "{text:?}");
        }
        for text in ["-1", "-0.5", "-9223372036854775808"] {
            assert_eq!(timeout(text.as_bytes()).unwrap(), Timeout::Negative, "{text:?}");
        }
    }

    #[test]
    fn an_invalid_timeout_is_named() {
        for text in [
            " ", "x", "5x", "5 ", "0x10", "1e3", "--1", "+-1", "- 5", "+", "-", ".", "-.", "1.2.3", "1,5",
            "5. ",
        ] {
            let wanted = format!(
                "'{text}' is not a valid timeout value.\nPlease specify a long int value.\n\
                 The timeout is a number of seconds, such as 5 or 0.5."
            );
            let message = message(timeout(text.as_bytes())).unwrap();
            assert!(message.starts_with(&wanted), "{message}");
        }
        assert_eq!(
            message(timeout(b"")).unwrap(),
            "The provided value is not a valid timeout value.\nPlease specify a long int value.\n\
             The timeout is a number of seconds, such as 5 or 0.5.\n"
        );
        for text in [
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "99999999999999999999x",
            "9223372036854775808.5",
        ] {
            let message = message(timeout(text.as_bytes())).unwrap();
            assert!(message.ends_with("\nNumerical result out of range\n"), "{text}");
        }
    }

    #[test]
    fn an_empty_name_in_a_list_of_events_empties_it() {
        assert_eq!(events(b"create,OPEN"), Ok(IN_CREATE | IN_OPEN));
        assert_eq!(events(b"lsdir,create"), Ok(LSDIR | IN_CREATE));
        for list in ["", ",", "create,", ",create", "create,,bogus", ",bogus"] {
            assert_eq!(events(list.as_bytes()), Ok(Mask::NONE), "{list:?}");
        }
        let lists = ["", ",", "create", "create,", ",open", "open,create"].map(OsStr::new);
        assert_eq!(
            emptied(lists.into_iter()).to_bytes(),
            b"'create,' is ignored as a whole: one of its names is empty.\n\
              ',open' is ignored as a whole: one of its names is empty.\n"
        );
        assert_eq!(all_if_none([Mask::NONE, Mask::NONE].into_iter()), IN_ALL_EVENTS);
        assert_eq!(all_if_none([Mask::NONE, IN_OPEN].into_iter()), IN_OPEN);
        assert_eq!(all_if_none([IN_OPEN, IN_CREATE, IN_OPEN].into_iter()), IN_OPEN | IN_CREATE);
    }

    #[test]
    fn an_unknown_event_is_reported_with_its_list() {
        for list in ["bogus", "create,bogus", "bogus,", "create, open", " create", "IN_OPEN"] {
            let wanted = format!(
                "'{list}' is not a valid event!  Run with the '--help' option to see a list of events.\n"
            );
            assert!(message(events(list.as_bytes())).unwrap().starts_with(&wanted), "{list}");
        }
        let raw = events(b"\xff").unwrap_err().stderr.to_bytes();
        assert!(raw.starts_with(b"'\xff' is not"));
    }

    #[test]
    fn sort_keys_are_events_with_a_column() {
        for total in ["Total", ""] {
            assert_eq!(sort_key(total.as_bytes()), Ok(SortKey::Total));
        }
        assert_eq!(sort_key(b"CREATE"), Ok(SortKey::Event(IN_CREATE)));
        assert!(message(sort_key(b"Close")).unwrap().contains("`close_nowrite'"));
        assert!(message(sort_key(b"move")).unwrap().contains("`moved_to'"));
        for key in ["total,", "lsdir", "all_events", "bogus", "create,delete"] {
            assert_eq!(
                message(sort_key(key.as_bytes())),
                Some(format!("'{key}' is not a valid key for sorting!\n"))
            );
        }
        assert!(message(sort_key(b"created")).unwrap().ends_with("\nDid you mean 'create'?\n"));
        assert!(message(sort_key(b"close_writ")).unwrap().ends_with("\nDid you mean 'close_write'?\n"));
    }

    proptest! {
        #[test]
        fn any_value_is_accepted_or_refused(value in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = (timeout(&value), events(&value), sort_key(&value));
        }

        #[test]
        fn a_number_of_seconds_is_read_back(whole in 0..1_000_000u64, nanoseconds in 0..1_000_000_000u32) {
            let expected = Duration::new(whole, nanoseconds);
            let text = format!("{whole}.{nanoseconds:09}");
            prop_assert_eq!(seconds(&text), Some(expected).filter(|d| !d.is_zero()));
        }
    }
}
