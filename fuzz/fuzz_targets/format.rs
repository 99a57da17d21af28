//! `--format`: the input is the masks of two events, a cookie, and then the format, the watched path and the
//! name, with a NUL, which none of them can hold, after each.

#![no_main]

#[path = "../../tests/properties/format.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((numbers, texts)) = input.split_first_chunk::<12>() else { return };
    let number = |at| u32::from_ne_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
    let mut texts = texts.split(|byte| *byte == 0);
    let mut text = || texts.next().unwrap_or_default();
    property::holds(text(), text(), text(), number(0), number(4), number(8));
});
