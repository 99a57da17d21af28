//! What holds of the decoder of what fanotify's read(2) returns, whatever it is.

use inotify_tools::internals::fanotify::{Entry, RawEvent};

/// The length of `struct fanotify_event_metadata`, which an event begins with.
const METADATA: usize = 24;

/// Checks it on `bytes`, decoded event by event from the start.
pub fn holds(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((event, size)) = RawEvent::decode(rest) {
        is_what_stands_there(&event, &rest[..size]);
        is_whole(&event, rest, size);
        rest = &rest[size..];
    }
    let whole = rest.len() >= METADATA && rest[4] == libc::FANOTIFY_METADATA_VERSION;
    if whole && (METADATA..=rest.len()).contains(&(word(rest, 0) as usize)) {
        let records = half(rest, 6);
        assert!(records < METADATA || records > word(rest, 0) as usize, "a whole event was refused");
    }
}

/// The fields of `struct fanotify_event_metadata` and, of each kind of record that is known, the last of the event.
fn is_what_stands_there(event: &RawEvent, bytes: &[u8]) {
    assert_eq!(event.mask, u64::from_ne_bytes(bytes[8..16].try_into().expect("eight bytes")));
    assert_eq!(event.pid as u32, word(bytes, 20));
    assert_eq!(bytes.len(), word(bytes, 0) as usize);
    let (mut place, mut old, mut new, mut object) = (None, None, None, None);
    let mut at = half(bytes, 6);
    while at + 4 <= bytes.len() {
        let length = half(bytes, at + 2);
        if length < 4 || at + length > bytes.len() {
            break;
        }
        let record = &bytes[at + 4..at + length];
        match bytes[at] {
            libc::FAN_EVENT_INFO_TYPE_FID => object = split(record).map(|(handle, _)| handle),
            libc::FAN_EVENT_INFO_TYPE_DFID_NAME | libc::FAN_EVENT_INFO_TYPE_DFID => place = entry(record),
            libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => old = entry(record),
            libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => new = entry(record),
            _ => {}
        }
        at += length;
    }
    assert_eq!((event.place, event.old, event.new, event.object), (place, old, new, object));
}

/// `struct fanotify_event_info_fid`: the file system's id, the handle's length and type, the handle, a name up to its NUL.
fn entry(record: &[u8]) -> Option<Entry<'_>> {
    let (directory, name) = split(record)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Entry { directory, name })
}

fn split(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = (record.len() >= 16).then(|| 16 + word(record, 8) as usize)?;
    (end <= record.len()).then(|| record.split_at(end))
}

/// Nothing behind the event decides about it, and with a byte less it is none.
fn is_whole(event: &RawEvent, bytes: &[u8], size: usize) {
    assert_eq!(RawEvent::decode(&bytes[..size]), Some((*event, size)));
    assert_eq!(RawEvent::decode(&bytes[..size - 1]), None);
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn half(bytes: &[u8], at: usize) -> usize {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes")).into()
}
