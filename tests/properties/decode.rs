//! What holds of the decoder of the kernel's bytes, whatever they are.

use inotify_tools::internals::Events;
use inotify_tools::internals::inotify::{HEADER, RawEvent};

/// Checks it on `bytes`, decoded event by event from the start.
pub fn holds(bytes: &[u8]) {
    let mut rest = bytes;
    let mut queue = Events::default();
    let mut decoded = Vec::new();
    while let Some((event, size)) = RawEvent::decode(rest) {
        is_what_stands_there(&event, rest, size);
        is_whole(&event, &rest[..size]);
        survives_encoding(&event);
        queue.push(&event);
        decoded.push(event);
        rest = &rest[size..];
    }
    assert!(rest.len() < HEADER || rest.len() - HEADER < padded_length(rest), "a whole event was refused");

    for event in decoded {
        let taken = queue.take().expect("what was pushed");
        assert_eq!((taken.wd, taken.mask, taken.cookie), (event.wd, event.mask, event.cookie));
        assert_eq!(queue.name(&taken), event.name);
    }
    assert!(queue.take().is_none() && queue.is_empty());
}

/// The fields of `struct inotify_event` of inotify(7), every bit of them, and a name that ends at its first NUL.
fn is_what_stands_there(event: &RawEvent, bytes: &[u8], size: usize) {
    assert_eq!(event.wd.0 as u32, word(bytes, 0));
    assert_eq!(event.mask.bits(), word(bytes, 4));
    assert_eq!(event.cookie, word(bytes, 8));
    assert_eq!(size, HEADER + padded_length(bytes));
    let padded = &bytes[HEADER..size];
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    assert_eq!(event.name, &padded[..end]);
}

/// Nothing behind the event decides about it, and with a byte less it is none.
fn is_whole(event: &RawEvent, bytes: &[u8]) {
    assert_eq!(RawEvent::decode(bytes), Some((*event, bytes.len())));
    assert_eq!(RawEvent::decode(&bytes[..bytes.len() - 1]), None);
}

fn survives_encoding(event: &RawEvent) {
    let mut encoded = b"before".to_vec();
    event.encode(&mut encoded);
    let encoded = encoded.strip_prefix(b"before").expect("encoding appends");
    assert_eq!(RawEvent::decode(encoded), Some((*event, encoded.len())));
}

fn padded_length(bytes: &[u8]) -> usize {
    word(bytes, 12) as usize
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
