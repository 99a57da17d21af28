//! The batches of `--debounce`: the input is the two times in milliseconds, and then the events, four bytes each.

#![no_main]

#[path = "../../tests/properties/batch.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [quiet, most, events @ ..] = input else { return };
    let events: Vec<[u8; 4]> =
        events.chunks_exact(4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]).collect();
    property::holds(*quiet, *most, &events);
});
