//! `inotifywatch`: count events and print a table.

fn main() {}
