//! `--format`: the input is a mask, a cookie, and then the format, the watched path and the name, with a NUL,
//! which none of them can hold, after each.

#![no_main]

#[path = "../../tests/properties/format.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((mask, input)) = input.split_first_chunk() else { return };
    let Some((cookie, input)) = input.split_first_chunk() else { return };
    let mut texts = input.split(|byte| *byte == 0);
    let mut text = || texts.next().unwrap_or_default();
    property::holds(text(), text(), text(), u32::from_ne_bytes(*mask), u32::from_ne_bytes(*cookie));
});
