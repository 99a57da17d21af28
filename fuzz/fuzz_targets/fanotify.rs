//! The decoder of what fanotify's read(2) returns: the input is that.

#![no_main]

#[path = "../../tests/properties/fanotify.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::holds(bytes));
