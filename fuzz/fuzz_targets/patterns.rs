//! Patterns of gitignore(5): the input is a file of them, a path, and a configuration of git, with a NUL after each.

#![no_main]

#[path = "../../tests/properties/patterns.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut texts = input.split(|byte| *byte == 0);
    let mut next = || texts.next().unwrap_or_default();
    let (file, path, config) = (next(), next(), next());
    property::holds(file, path, config);
});
