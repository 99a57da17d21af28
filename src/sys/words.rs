//! The system's words for an error.

use std::io;

/// strerror(3) of `error`, without the number that Rust appends.
pub fn of(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.replace(&format!(" (os error {code})"), ""),
        None => text,
    }
}
