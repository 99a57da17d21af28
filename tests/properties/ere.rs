//! What holds of extended regular expressions, whatever the pattern.

use std::ffi::CString;

use inotify_tools::internals::Ere;
use inotify_tools::internals::regex;

/// A pattern as the C library and as we have compiled it.
pub struct Both<'a> {
    pattern: &'a [u8],
    theirs: regex::Regex,
    ours: Ere,
}

impl<'a> Both<'a> {
    /// None where both refuse the pattern, and in the same words.
    pub fn new(pattern: &'a [u8], ignore_case: bool) -> Option<Both<'a>> {
        let theirs = regex::Regex::new(&CString::new(pattern).expect("no NUL"), ignore_case);
        let ours = Ere::new(pattern, ignore_case);
        assert_eq!(theirs.as_ref().err().cloned(), ours.as_ref().err().map(ToString::to_string));
        Some(Both { pattern, theirs: theirs.ok()?, ours: ours.ok()? })
    }

    /// The C library's verdict on each subject is ours.
    pub fn agree_on(&self, subjects: &[&[u8]]) {
        for subject in subjects {
            assert_eq!(
                self.theirs.is_match(subject),
                self.ours.is_match(subject),
                "/{}/ on {}",
                self.pattern.escape_ascii(),
                subject.escape_ascii()
            );
        }
    }

    /// What covers one of `directories`, made to end in `/`, matches whatever is below it.
    pub fn cover_truly(&self, directories: &[&[u8]], below: &[&[u8]]) {
        for directory in directories {
            let directory = [directory, &b"/"[..]].concat();
            if !self.ours.covers_below(&directory) {
                continue;
            }
            for below in below {
                let path = [&directory, *below].concat();
                assert!(
                    self.theirs.is_match(&path),
                    "/{}/ on {}",
                    self.pattern.escape_ascii(),
                    path.escape_ascii()
                );
            }
        }
    }
}
