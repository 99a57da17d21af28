//! What holds of patterns of gitignore(5), whatever is in the file. tests/ignore compares their verdicts with git's.

use inotify_tools::internals::{Patterns, git_value};

/// Checks the patterns of a file on a path, and the same file as a configuration of git.
pub fn holds(file: &[u8], path: &[u8], config: &[u8]) {
    let (patterns, invalid) = Patterns::read(file);
    let lines = file.split(|byte| *byte == b'\n').count();
    assert!(invalid.iter().all(|number| (1..=lines).contains(number)));
    assert!(invalid.windows(2).all(|two| two[0] < two[1]));
    for directory in [false, true] {
        let verdict = patterns.verdict(path, directory);
        assert!(verdict.is_none() || !patterns.is_empty());
        // What only lines before and after it decide is decided by the last file.
        let twice = Patterns::read(&[file, b"\n", file].concat()).0;
        assert_eq!(twice.verdict(path, directory), verdict);
        // Nothing is stronger than a pattern for everything at the end.
        let all = Patterns::read(&[file, b"\n!*\n"].concat()).0;
        if !path.is_empty() {
            assert_eq!(all.verdict(path, directory), Some(false));
        }
    }
    let value = git_value(config, b"core", b"excludesfile");
    assert!(value.is_none_or(|value| value.len() <= config.len()));
}
