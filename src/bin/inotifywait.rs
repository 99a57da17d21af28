//! `inotifywait`: wait for events and print them.

fn main() {}
