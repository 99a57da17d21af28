//! `--fromfile`: the input is the file.

#![no_main]

#[path = "../../tests/properties/fromfile.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|text: &[u8]| property::holds(text));
