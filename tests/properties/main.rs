//! What holds of the decoders, of records, of batches and of `--fromfile`, on a bounded number of random inputs. `make fuzz`
//! checks the same without a bound, `make miri` the decoders in Miri. The tests of patterns are in tests/ere.rs.

#![allow(clippy::expect_used)]

mod batch;
mod decode;
mod fanotify;
mod format;
mod fromfile;
mod limits;
mod patterns;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 30 } else { ProptestConfig::default().cases };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// An event in the kernel's form, with a name, NULs after it and perhaps bytes after these.
fn event() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 12]>(), vec(1u8.., 0..9), 0..9usize, vec(any::<u8>(), 0..3)).prop_map(
        |(numbers, name, nuls, more)| {
            let padded = [name, vec![0; nuls], more].concat();
            let length = (padded.len() as u32).to_ne_bytes();
            [&numbers[..], &length, &padded].concat()
        },
    )
}

/// A record of fanotify's, with a handle and perhaps a name: its type and length, and what has that length.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => select(vec![1u8, 2, 3, 10, 12]), 1 => any::<u8>()];
    let name = weighted(0.7, (vec(1u8.., 0..9), 1..5usize));
    (kind, any::<([u8; 8], [u8; 4])>(), vec(any::<u8>(), 0..12), name).prop_map(
        |(kind, (id, of), handle, name)| {
            let own = (handle.len() as u32).to_ne_bytes();
            let name = name.map_or(Vec::new(), |(name, nuls)| [name, vec![0; nuls]].concat());
            let body = [&id[..], &own, &of, &handle, &name].concat();
            let length = (body.len() as u16 + 4).to_ne_bytes();
            [&[kind, 0][..], &length, &body].concat()
        },
    )
}

/// An event of fanotify's with its records.
fn record_event() -> impl Strategy<Value = Vec<u8>> {
    (any::<([u8; 8], [u8; 8])>(), vec(record(), 0..4)).prop_map(|((mask, rest), records)| {
        let records = records.concat();
        let length = (records.len() as u32 + 24).to_ne_bytes();
        [&length[..], &[3, 0], &24u16.to_ne_bytes(), &mask, &rest, &records].concat()
    })
}

/// Events, perhaps one byte of them changed, perhaps cut short.
fn events(event: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = weighted(0.3, (any::<Index>(), any::<u8>()));
    (vec(event, 0..5), change, weighted(0.3, any::<Index>())).prop_map(|(events, change, cut)| {
        let mut bytes = events.concat();
        if let Some((at, byte)) = change.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(at) = cut {
            bytes.truncate(at.index(bytes.len() + 1));
        }
        bytes
    })
}

/// Bytes that are mostly of those that mean something.
fn text(special: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![4 => select(special), 1 => any::<u8>()], 0..24)
}

/// A `--format`, with names in braces among the rest.
fn format_text() -> impl Strategy<Value = Vec<u8>> {
    let names = ["%{time}", "%{pid}", "%{comm}", "%{tiem}", "%{e}", "%{t_}", "%{time", "%{}"];
    let name = select(names.to_vec()).prop_map(|name| name.as_bytes().to_vec());
    let part = prop_oneof![1 => name, 3 => text(b"%%%%wfeTc0n,; a\n{}_")];
    vec(part, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_decoded(bytes in prop_oneof![4 => events(event()), 1 => vec(any::<u8>(), 0..64)]) {
        decode::holds(&bytes);
    }

    #[test]
    fn any_bytes_of_fanotify_s_are_decoded(
        bytes in prop_oneof![4 => events(record_event()), 1 => vec(any::<u8>(), 0..64)],
    ) {
        fanotify::holds(&bytes);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn any_format_makes_a_record(
        format in format_text(),
        watched in text(b",\" \na/\\\xc3\xa4\xc2\x85\x7f"),
        file in text(b",\" \na\x01"),
        earlier: u32,
        mask: u32,
        cookie: u32,
    ) {
        format::holds(&format, &watched, &file, earlier, mask, cookie);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_batch_lasts_until_it_is_quiet_or_has_lasted_long_enough(
        quiet in 0..10u8,
        most in 0..30u8,
        events in vec(any::<[u8; 4]>(), 0..40),
    ) {
        batch::holds(quiet, most, &events);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn any_file_of_proc_is_read_and_shown(
        text in prop_oneof![
            text(b"inotify wd:Ud\t 0123\n\x1b()"),
            Just(b"inotify wd:1 ino:2 sdev:3\ninotify wd:2\nother inotify wd:\n".to_vec()),
        ],
        numbers in vec(any::<u32>(), 0..6),
    ) {
        limits::holds(&text, &numbers);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn any_file_of_patterns_is_read(
        file in text(b"ab/**/*?[]!^-\\#\n\n\r [[:digit:]]{},"),
        path in text(b"ab/1 \\]\xff"),
        config in text(b"[core]\n\nexcludesFile= \t\\\"#;~/x"),
    ) {
        patterns::holds(&file, &path, &config);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn any_file_of_paths_is_taken_as_it_is(text in text(b"@@@\n\n\n\0ab/# \r")) {
        fromfile::holds(&text);
    }
}
