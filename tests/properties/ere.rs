//! What holds of extended regular expressions, whatever the pattern.

use std::ffi::CString;

use inotify_tools::ere::Ere;
use inotify_tools::sys;

/// The C library's verdicts are ours: on the pattern, and on each subject.
pub fn matches_as_the_c_library(pattern: &[u8], ignore_case: bool, subjects: &[&[u8]]) {
    let theirs = libc(pattern, ignore_case);
    let ours = Ere::new(pattern, ignore_case);
    assert_eq!(theirs.as_ref().err().cloned(), ours.as_ref().err().map(ToString::to_string));
    if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
        for subject in subjects {
            assert_eq!(
                theirs.is_match(subject),
                ours.is_match(subject),
                "/{}/ on {}",
                pattern.escape_ascii(),
                subject.escape_ascii()
            );
        }
    }
}

/// A pattern that covers one of `directories`, made to end in `/`, matches whatever is below it.
pub fn what_covers_a_directory_matches_all_below(
    pattern: &[u8],
    ignore_case: bool,
    directories: &[&[u8]],
    below: &[&[u8]],
) {
    let (Ok(theirs), Ok(ours)) = (libc(pattern, ignore_case), Ere::new(pattern, ignore_case)) else {
        return;
    };
    for directory in directories {
        let directory = [directory, &b"/"[..]].concat();
        if !ours.covers_below(&directory) {
            continue;
        }
        for below in below {
            let path = [&directory, *below].concat();
            assert!(theirs.is_match(&path), "/{}/ on {}", pattern.escape_ascii(), path.escape_ascii());
        }
    }
}

fn libc(pattern: &[u8], ignore_case: bool) -> Result<sys::regex::Regex, String> {
    sys::regex::Regex::new(&CString::new(pattern).expect("no NUL"), ignore_case)
}
