//! Files of more than 2 GiB, which also have to work where off_t has 32 bits. CI runs these tests on such a build, too.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{Running, create_files, inotifywait, need_root, tempdir};

/// More than a signed 32-bit number counts.
const SIZE: u64 = 3 << 30;

/// A file of that size. It has no blocks.
fn large(path: &Path) -> File {
    let file = File::create_new(path).unwrap();
    file.set_len(SIZE).unwrap();
    file
}

/// What was appended to a file of that size.
fn appended(path: &Path) -> String {
    let file = File::open(path).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len() - SIZE).unwrap();
    let mut tail = vec![0; length];
    file.read_exact_at(&mut tail, SIZE).unwrap();
    String::from_utf8(tail).unwrap()
}

#[test]
fn a_large_outfile_is_appended_to() {
    let dir = tempdir();
    let outfile = dir.path().join("lines");
    large(&outfile);
    std::fs::create_dir(dir.path().join("d")).unwrap();
    let run = Running::ready(inotifywait(dir.path(), ["-e", "create", "-o", "lines", "d"]));
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(0);
    assert_eq!(appended(&outfile), "d/ CREATE f0\n");
}

#[test]
fn a_large_file_as_stdout_is_appended_to() {
    let dir = tempdir();
    let outfile = dir.path().join("lines");
    large(&outfile);
    std::fs::create_dir(dir.path().join("d")).unwrap();
    let mut command = inotifywait(dir.path(), ["-e", "create", "d"]);
    command.stdout(File::options().append(true).open(&outfile).unwrap());
    let run = Running::ready(command);
    create_files(&dir.path().join("d"), "f", 0..1);
    run.finish().code(0);
    assert_eq!(appended(&outfile), "d/ CREATE f0\n");
}

#[test]
fn a_large_file_is_watched() {
    let dir = tempdir();
    let file = large(&dir.path().join("f"));
    for interface in ["--inotify", "--fanotify"] {
        if interface == "--fanotify" && !need_root() {
            return;
        }
        let line = [interface, "-e", "modify", "--format", "%e", "f"];
        let run = Running::ready(inotifywait(dir.path(), line));
        file.write_all_at(b"x", SIZE - 1).unwrap();
        run.finish().code(0).printed("MODIFY\n");
    }
}
