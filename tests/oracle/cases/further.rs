//! Where the reference leaves a user alone, ours adds lines on stderr to the reference's: the cases, and words that are
//! in those lines. With fanotify they are the same.

use super::{Case, Text};

const FURTHER: &[(&str, &[&str])] = &[
    (
        "Usage: ",
        &[
            "usage-none",
            "usage-filesystem-none",
            "usage-fanotify-none",
            "usage-abbreviated-fanotify",
            "usage-fromfile-nowhere",
            "usage-empty-operand",
            "usage-empty-operands",
            "usage-fromfile-empty",
            "usage-fromfile-stdin-empty",
            "table-usage-none",
            "table-usage-abbreviated-filesystem",
        ],
    ),
    ("To watch a file of that name, write './@d'.\nUsage: ", &["usage-only-exclusion"]),
];

/// Gives the cases of the table what is expected of ours.
pub fn expect(cases: &mut [Case]) {
    for (words, names) in FURTHER {
        for case in &mut *cases {
            let name = case.name.strip_prefix("fsnotify-").unwrap_or(&case.name);
            if names.contains(&name) {
                case.expect().stderr = Text::Also(words.as_bytes().to_vec());
            }
        }
    }
}
