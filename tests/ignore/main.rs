//! `--ignore`, `--ignore-file`, `--gitignore` and `--max-depth`, on random input: the verdicts are git's, and the watches are
//! those of the directories that are not ignored.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod patterns;
mod trees;
