//! What was probably meant by a word of the command line that is wrong. Each hint is a line after the reference's own
//! message.

use super::options::Opt;
use super::values;
use crate::event::{EVENTS, EventName};
use crate::messages::Message;

/// Words for events that other programs use.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("access", &["read", "accessed"]),
    ("modify", &["modified", "change", "changed", "changes", "update", "updated", "write", "written"]),
    ("attrib", &["attribute", "attributes", "chmod", "chown", "metadata", "permissions", "touch"]),
    ("close", &["closed"]),
    ("open", &["opened"]),
    ("move", &["rename", "renamed", "mv", "moved"]),
    ("create", &["created", "add", "added", "new", "mkdir"]),
    ("delete", &["deleted", "remove", "removed", "rm", "rmdir", "unlink", "unlinked"]),
    ("unmount", &["umount", "unmounted"]),
    ("q_overflow", &["overflow"]),
    ("all_events", &["all", "any", "*"]),
];

/// How a list of events looks that names this one by another word or with a slip.
pub(super) fn event(name: &[u8]) -> Option<&'static str> {
    let name = plain(&String::from_utf8_lossy(name));
    let synonym = SYNONYMS.iter().find(|(_, words)| words.contains(&name.as_str()));
    if let Some((event, _)) = synonym {
        return Some(event);
    }
    let events = EVENTS.iter().map(|EventName { name, .. }| *name);
    nearest(&name, events.map(|event| (plain(event), event)))
}

/// Without what can be written in several ways: `IN_CLOSE-Write` and `close_write` are alike.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name =
        ["in_", "in-", "fan_", "fan-"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    name.chars().filter(|character| !matches!(character, '_' | '-' | ' ')).collect()
}

/// What a list of events that has `bad` in it should have been.
pub(super) fn events(list: &[u8], bad: &[u8]) -> Option<Message> {
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || b",;|+/&:".contains(byte);
    let names: Vec<&[u8]> = list.split(is_separator).filter(|name| !name.is_empty()).collect();
    let known = names.iter().map(|name| event(name)).collect::<Option<Vec<_>>>();
    if bad.iter().any(is_separator) && names.len() > 1 {
        let list = known.map(|names| format!(" Did you mean '{}'?", names.join(",")));
        return Some(
            format!("Names are separated by commas, without blanks.{}", list.unwrap_or_default()).into(),
        );
    }
    let meant = event(bad).map(|event| format!(" Did you mean '{event}'?")).unwrap_or_default();
    match bad == list {
        true => Some(meant.trim_start().to_owned()).filter(|meant| !meant.is_empty()).map(Message::from),
        // The reference's message shows the whole list.
        false => Some(Message::new(&[b"The invalid name is '", bad, b"'.", meant.as_bytes()])),
    }
}

/// The key for sorting that is most like `key`.
pub(super) fn sort_key(key: &[u8]) -> Option<String> {
    let meant =
        event(key).filter(|meant| *meant.as_bytes() != *key && values::sort_key(meant.as_bytes()).is_ok());
    meant.map(|event| format!("Did you mean '{event}'?"))
}

/// The long option that is most like `word`, which begins with `--` and may end with a value.
pub(super) fn long_option(word: &[u8], options: &[&'static Opt]) -> Option<String> {
    let name = word.strip_prefix(b"--")?.split(|byte| *byte == b'=').next()?;
    let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
    let known = || options.iter().filter(|option| !option.hidden).map(|option| option.long);
    // Options that may not be abbreviated are found all the same.
    let begun = known().find(|long| name.len() > 1 && long.starts_with(&name));
    let option = begun.or_else(|| nearest(&name, known().map(|long| (long.to_owned(), long))))?;
    Some(format!("Did you mean '--{option}'?"))
}

/// A long option that was typed with a single dash: getopt_long(3) takes it for letters.
pub(super) fn single_dash(words: &[Vec<u8>], options: &[&'static Opt]) -> Option<String> {
    let options_end = words.iter().position(|word| word == b"--").unwrap_or(words.len());
    words[..options_end].iter().find_map(|word| {
        let name = word.strip_prefix(b"-")?.split(|byte| *byte == b'=').next()?;
        let option = options.iter().find(|option| !option.hidden && option.long.as_bytes() == name)?;
        Some(format!("Did you mean '--{}'? Long options begin with two dashes.", option.long))
    })
}

/// The option with this letter in the other case.
pub(super) fn short_option(letter: u8, options: &[&'static Opt]) -> Option<String> {
    let other = letter ^ 0x20;
    let exists = letter.is_ascii_alphabetic() && options.iter().any(|option| option.short == Some(other));
    exists.then(|| format!("Did you mean '-{}'?", char::from(other)))
}

/// What a timeout has to be, and what `text` probably means.
pub(super) fn timeout(text: &[u8]) -> String {
    let rule = "The timeout is a number of seconds, such as 5 or 0.5.";
    match seconds(&String::from_utf8_lossy(text)) {
        Some(seconds) => format!("{rule} Did you mean '{seconds}'?"),
        None => rule.to_owned(),
    }
}

/// `5m`, `1.5 h`, `500ms`, `0,5` and `1:30` in seconds.
fn seconds(text: &str) -> Option<String> {
    const UNITS: &[(f64, &[&str])] = &[
        (0.001, &["ms", "msec", "msecs", "millisecond", "milliseconds"]),
        (1.0, &["", "s", "sec", "secs", "second", "seconds"]),
        (60.0, &["m", "min", "mins", "minute", "minutes"]),
        (3600.0, &["h", "hr", "hrs", "hour", "hours"]),
        (86400.0, &["d", "day", "days"]),
    ];
    let text = text.trim().to_ascii_lowercase();
    if ["inf", "infinity", "infinite", "forever", "never", "none"].contains(&text.as_str()) {
        return Some("0".into());
    }
    if let Some((minutes, seconds)) = text.split_once(':') {
        let (minutes, seconds): (u32, u32) = (minutes.parse().ok()?, seconds.parse().ok()?);
        return Some(minutes.checked_mul(60)?.checked_add(seconds)?.to_string());
    }
    let text = text.replacen(',', ".", 1);
    let end = text.find(|byte: char| !(byte.is_ascii_digit() || byte == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (factor, _) = UNITS.iter().find(|(_, names)| names.contains(&unit.trim()))?;
    let value = number.parse::<f64>().ok()? * factor;
    // To the nanosecond, without noughts at the end.
    let shown = format!("{value:.9}");
    Some(shown.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// Of pairs of a form and its meaning, the meaning whose form is most like `word`; none if no form is very like it.
fn nearest(word: &str, forms: impl Iterator<Item = (String, &'static str)>) -> Option<&'static str> {
    let near = forms.filter_map(|(form, meaning)| {
        let distance = distance(word.as_bytes(), form.as_bytes());
        (distance * 3 <= word.len().max(form.len())).then_some((distance, meaning))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, meaning)| meaning)
}

/// How many bytes have to be inserted, deleted, replaced or exchanged with their neighbours to make one of the other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    // The last two rows of the table, and the one that is being made.
    let mut rows = [vec![0; other.len() + 1], (0..=other.len()).collect(), vec![0; other.len() + 1]];
    for at in 1..=one.len() {
        rows[2][0] = at;
        for to in 1..=other.len() {
            let same = one[at - 1] == other[to - 1];
            let mut least =
                (rows[1][to - 1] + usize::from(!same)).min(rows[1][to] + 1).min(rows[2][to - 1] + 1);
            if at > 1 && to > 1 && one[at - 1] == other[to - 2] && one[at - 2] == other[to - 1] {
                least = least.min(rows[0][to - 2] + 1);
            }
            rows[2][to] = least;
        }
        rows.rotate_left(1);
    }
    rows[1][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{Tool, options};

    #[test]
    fn an_event_is_found_by_other_names_and_slips() {
        for (typed, meant) in [
            ("created", "create"),
            ("creat", "create"),
            ("craete", "create"),
            ("close-write", "close_write"),
            ("CloseWrite", "close_write"),
            ("IN_CREATE", "create"),
            ("FAN_MOVED_TO", "moved_to"),
            ("rename", "move"),
            ("moved", "move"),
            ("move_form", "moved_from"),
            ("all", "all_events"),
            ("all-events", "all_events"),
            ("*", "all_events"),
            ("modifed", "modify"),
            ("umount", "unmount"),
        ] {
            assert_eq!(event(typed.as_bytes()), Some(meant), "{typed}");
        }
        for typed in ["foo", "bar", "x", "", "nothing", "\u{e9}"] {
            assert_eq!(event(typed.as_bytes()), None, "{typed}");
        }
    }

    #[test]
    fn every_event_is_its_own_nearest() {
        for EventName { name, .. } in EVENTS {
            assert_eq!(event(name.as_bytes()), Some(*name));
            assert_eq!(event(format!("IN_{name}").to_uppercase().as_bytes()), Some(*name));
        }
        for (event, words) in SYNONYMS {
            assert!(EVENTS.iter().any(|known| known.name == *event), "{event}");
            for word in *words {
                assert!(EVENTS.iter().all(|known| known.name != *word), "{word}");
                assert_eq!(super::event(word.as_bytes()), Some(*event), "{word}");
            }
        }
    }

    #[test]
    fn the_bad_name_of_a_list_is_named() {
        for (list, bad, said) in [
            ("created", "created", Some("Did you mean 'create'?")),
            ("foo", "foo", None),
            ("create,foo", "foo", Some("The invalid name is 'foo'.")),
            ("open,created", "created", Some("The invalid name is 'created'. Did you mean 'create'?")),
            (
                "create delete",
                "create delete",
                Some("Names are separated by commas, without blanks. Did you mean 'create,delete'?"),
            ),
            (
                "create, delete",
                " delete",
                Some("Names are separated by commas, without blanks. Did you mean 'create,delete'?"),
            ),
            ("foo|bar", "foo|bar", Some("Names are separated by commas, without blanks.")),
            (" create", " create", Some("Did you mean 'create'?")),
        ] {
            assert_eq!(events(list.as_bytes(), bad.as_bytes()), said.map(Message::from), "{list}");
        }
    }

    #[test]
    fn an_option_is_found_by_slips() {
        let table: Vec<_> = options(Tool::Wait).collect();
        for (typed, meant) in [
            ("--recusive", Some("recursive")),
            ("--recurisve", Some("recursive")),
            ("--exlude=x", Some("exclude")),
            ("--no_newline", Some("no-newline")),
            ("--Monitor", Some("monitor")),
            ("--out-file", Some("outfile")),
            ("--events", Some("event")),
            ("--moun", Some("mount")),
            ("--versi", Some("version")),
            ("--foo", None),
            ("--", None),
        ] {
            let said = meant.map(|option| format!("Did you mean '--{option}'?"));
            assert_eq!(long_option(typed.as_bytes(), &table), said, "{typed}");
        }
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let said = "Did you mean '--recursive'? Long options begin with two dashes.";
        assert_eq!(single_dash(&words(&["-m", "-recursive", "d"]), &table).as_deref(), Some(said));
        assert_eq!(single_dash(&words(&["-m", "--", "-recursive"]), &table), None);
        assert_eq!(single_dash(&words(&["-m", "-rec", "recursive", "-"]), &table), None);
        assert_eq!(short_option(b'R', &table).as_deref(), Some("Did you mean '-r'?"));
        assert_eq!((short_option(b'x', &table), short_option(b'\x10', &table)), (None, None));
    }

    #[test]
    fn a_timeout_with_a_unit_is_understood() {
        for (typed, meant) in [
            ("5s", "5"),
            ("5m", "300"),
            ("1.5 h", "5400"),
            ("2 days", "172800"),
            ("500ms", "0.5"),
            ("0,5", "0.5"),
            ("1:30", "90"),
            ("forever", "0"),
            ("5S", "5"),
        ] {
            assert_eq!(seconds(typed).as_deref(), Some(meant), "{typed}");
        }
        for typed in ["abc", "", "1x", "0x1", "-", "1,2,3", "1:x", "s"] {
            assert_eq!(seconds(typed), None, "{typed}");
        }
    }
}
