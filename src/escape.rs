//! Control characters made visible, as `ls -b` prints them: `\n`, `\033`. A name may hold any of them, and in a message
//! or on a terminal they would look like another line, or act on the terminal.

use std::borrow::Cow;

use crate::source::Event;

/// `text` with every control character replaced: C0, DEL, and C1 as UTF-8 or as a single byte outside of UTF-8. All
/// other bytes stay, a backslash too.
pub fn escape(text: &[u8]) -> Cow<'_, [u8]> {
    // Within UTF-8, the last of these are parts of other characters, too.
    if !text.iter().any(|byte| matches!(byte, 0..=0x1f | 0x7f..=0x9f)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = Vec::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            push(&mut escaped, bytes, character.is_control());
        }
        for byte in chunk.invalid() {
            push(&mut escaped, &[*byte], matches!(byte, 0x80..=0x9f));
        }
    }
    Cow::Owned(escaped)
}

/// Escapes the path of an event; `shown` is where that is kept.
pub fn escape_names<'a>(event: &mut Event<'a>, shown: &'a mut Vec<u8>) {
    let (watched, file) = event.path.split_at(event.watched);
    let (watched, file) = (escape(watched), escape(file));
    if let (Cow::Borrowed(_), Cow::Borrowed(_)) = (&watched, &file) {
        return;
    }
    event.watched = watched.len();
    *shown = [watched, file].concat();
    event.path = shown;
}

fn push(out: &mut Vec<u8>, bytes: &[u8], control: bool) {
    const LETTERS: &[u8] = b"abtnvfr";
    if !control {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        out.push(b'\\');
        match byte.checked_sub(7).and_then(|at| LETTERS.get(usize::from(at))) {
            Some(letter) => out.push(*letter),
            None => out.extend([6, 3, 0].map(|shift| b'0' + (byte >> shift & 7))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        for (text, shown) in [
            (&b"plain name, \xc3\xa9\xe2\x82\xac"[..], &b"plain name, \xc3\xa9\xe2\x82\xac"[..]),
            (b"a\nb\tc\rd", br"a\nb\tc\rd"),
            (b"\x00\x01\x07\x08\x0b\x0c\x1b[31m\x7f", br"\000\001\a\b\v\f\033[31m\177"),
            // C1: the control sequence introducer, in UTF-8 and alone; but not as a part of another character.
            (b"\xc2\x9b31m", br"\302\23331m"),
            (b"\x9b31m\x85", br"\23331m\205"),
            (b"\xc3\x9b\xe2\x80\x9c", b"\xc3\x9b\xe2\x80\x9c"),
            (b"\xe2\x9b\n", b"\xe2\\233\\n"),
            (b"\xff\xfe\xa0", b"\xff\xfe\xa0"),
            (br"back\slash\n", br"back\slash\n"),
        ] {
            assert_eq!(&escape(text)[..], shown, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let shown = escape(&text);
            prop_assert!(!shown.iter().any(|byte| byte.is_ascii_control()));
            prop_assert!(!String::from_utf8_lossy(&shown).chars().any(char::is_control));
            prop_assert_eq!(&escape(&shown)[..], &shown[..]);
        }
    }
}
