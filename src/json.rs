//! JSON text (RFC 8259), of values that are mostly file names: bytes that need not be UTF-8.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Appends a string. Bytes that are no UTF-8 become `{"bytes":"eP8="}`, in base64, so that nothing is lost and no
/// other name looks like them.
pub fn append_string(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        return append_plain(bytes, out);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => append_text(text, out),
        Err(_) => {
            out.extend_from_slice(b"{\"bytes\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Whether a string stands for itself, as most names do.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// Appends a string that stands for itself.
pub fn append_plain(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// Control characters are escaped, also those that JSON would allow: one could mislead a terminal.
fn append_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut copied = 0;
    for (at, character) in text.char_indices() {
        if !character.is_control() && character != '"' && character != '\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        copied = at + character.len_utf8();
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            // Writing to memory cannot fail.
            _ => drop(write!(out, "\\u{:04x}", u32::from(character))),
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
    out.push(b'"');
}
