//! What holds of `--fromfile`, whatever the file's bytes are.

use std::io::BufReader;

use inotify_tools::internals::Targets;

/// Checks it on a file of `text`.
pub fn holds(text: &[u8]) {
    // Nothing but NUL and `@` is special: no comments, no quotes, no white space at either end.
    let lines = text.split(|byte| *byte == b'\n');
    let words: Vec<&[u8]> = lines.filter_map(|line| line.split(|byte| *byte == 0).next()).collect();
    let excluded = words.iter().filter_map(|word| word.strip_prefix(b"@"));
    let paths = words.iter().filter(|word| !word.starts_with(b"@")).copied();
    let not_empty = |path: &&[u8]| !path.is_empty();
    let expected = Targets {
        paths: paths.filter(not_empty).map(<[u8]>::to_vec).collect(),
        excluded: excluded.filter(not_empty).map(<[u8]>::to_vec).collect(),
    };
    assert_eq!(read(text, 4096), expected);
    assert_eq!(read(text, 3), expected, "read in small pieces");
    assert_eq!(read(&written(&expected), 4096), expected, "written again");
}

/// The targets of a file, read `room` bytes at a time.
fn read(text: &[u8], room: usize) -> Targets {
    let mut targets = Targets::default();
    targets.add_lines(BufReader::with_capacity(room, text));
    targets
}

/// A file of these targets, with what is ignored.
fn written(targets: &Targets) -> Vec<u8> {
    let line = |start: &[u8], path: &Vec<u8>| [start, path, b"\0ignored\n\n@\n"].concat();
    let excluded = targets.excluded.iter().flat_map(|path| line(b"@", path));
    excluded.chain(targets.paths.iter().flat_map(|path| line(b"", path))).collect()
}
