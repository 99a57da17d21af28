//! The decoder of what read(2) returns: the input is that.

#![no_main]

#[path = "../../tests/properties/decode.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::holds(bytes));
