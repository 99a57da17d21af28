//! What holds of `--fromfile`, whatever the file's bytes are.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsRawFd;

use inotify_tools::cli;

/// Checks it on a file of `text`, by what inotifywait's options come to.
pub fn holds(text: &[u8]) {
    let mut paths: Vec<&[u8]> = Vec::new();
    let mut excluded: Vec<&[u8]> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        // Nothing else is special: no comments, no quotes, no white space at either end.
        match line.split(|byte| *byte == 0).next() {
            None | Some([] | [b'@']) => {}
            Some([b'@', path @ ..]) => excluded.push(path),
            Some(path) => paths.push(path),
        }
    }

    let Ok(options) = from(text) else {
        assert!(paths.is_empty());
        return;
    };
    assert_eq!(options.paths, paths);
    assert!(options.warnings.is_empty());
    let filter = &options.settings.filter;
    let directory = |path: &[u8]| [path, b"/"].concat();
    for path in excluded.iter().filter(|path| !paths.iter().any(|other| bare(other) == bare(path))) {
        assert!(filter.leaves_out(&directory(path)));
    }
    for path in &paths {
        assert!(!filter.leaves_out(&directory(path)), "an operand counts for more than an exclusion");
    }

    // Written again in another way, it means the same.
    let lines = |start: &[u8], paths: &[&[u8]]| -> Vec<u8> {
        paths.iter().flat_map(|path| [start, path, b"\0ignored\n\n"].concat()).collect()
    };
    let again = from(&[lines(b"@", &excluded), lines(b"", &paths)].concat()).expect("it was taken before");
    assert_eq!(again.paths, paths);
    for path in excluded.iter().chain(&paths) {
        let path = directory(path);
        assert_eq!(again.settings.filter.leaves_out(&path), filter.leaves_out(&path));
    }
}

fn from(text: &[u8]) -> Result<cli::WaitOptions, cli::Exit> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text).expect("room");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    cli::wait(["inotifywait", "--fromfile", &path].into_iter().map(OsString::from))
}

/// Slashes at its end make no other path.
fn bare(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').unwrap_or(0);
    &path[..=end]
}
