//! `inotifywatch --limits`: the input is the number of processes, a number for each, and then the text of a file.

#![no_main]

#[path = "../../tests/properties/limits.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else { return };
    let Some((numbers, text)) = rest.split_at_checked(usize::from(count % 8) * 4) else { return };
    let numbers: Vec<u32> = numbers
        .chunks_exact(4)
        .map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    property::holds(text, &numbers);
});
