//! `--help` and `--version`, from the tables of options and events.

use std::fmt::Write;

use super::options::{Group, Kind, Opt, Program, Tool, options};
use crate::event::EVENTS;

/// The line of `--version`, which is also the first of the help: a name and four numbers, which
/// scripts compare.
pub(super) fn version(program: Program) -> String {
    format!("{} {}.0\n", program.name(), env!("CARGO_PKG_VERSION"))
}

/// The line that shows the form of a command line.
pub(super) fn usage(program: Program) -> String {
    format!("Usage: {} [option ...] path [path ...]", program.name())
}

/// The text of `--help`. Shell completions read it: a tab, then the option or the event.
pub(super) fn help(program: Program) -> String {
    let tool = program.tool;
    let mut text = version(program);
    text.push_str(match tool {
        Tool::Wait => "Wait for events on files and directories, and print them.\n",
        Tool::Watch => "Count events on files and directories, and print a table of the counts.\n",
    });
    let _ = write!(text, "{}\n       @path excludes that path.\n", usage(program));
    let default = if program.fanotify { "fanotify" } else { "inotify" };
    for group in Group::ALL {
        let _ = writeln!(text, "\n{}:", group.heading());
        for option in options(tool).filter(|option| option.group == group && !option.hidden) {
            entry(&mut text, 25, &synopsis(option), option.help);
            if option.id == default {
                text.push_str(" (the default)");
            }
            text.push('\n');
        }
    }
    text.push_str(match tool {
        Tool::Wait => {
            "\nExit status:\n\
             \t0  a requested event occurred\n\
             \t1  another event ended the wait, such as a deletion; or an error\n\
             \t2  no event occurred within the --timeout\n\
             \nExample: print the path of each file that is written or moved into src.\n"
        }
        Tool::Watch => {
            "\nExit status:\n\
             \t0  the table was printed, or no event occurred\n\
             \t1  an error\n\
             \nExample: list the ten busiest directories below src, every two seconds.\n"
        }
    });
    let arguments = match tool {
        Tool::Wait => "-m -r -e close_write,moved_to --format %w%f src",
        Tool::Watch => "-r --interval 2 --top 10 src",
    };
    let name = program.name();
    let _ = write!(text, "\t{name} {arguments}\n\nFor details and more examples, run: man {name}\n");
    // Last, as in inotify-tools 3.22.
    text.push_str("\nEvents:\n");
    for event in EVENTS.iter().filter(|event| !event.help.is_empty()) {
        entry(&mut text, 14, event.name, event.help);
        text.push('\n');
    }
    text
}

fn synopsis(option: &Opt) -> String {
    let mut text = String::from("    ");
    if let Some(letter) = option.short {
        text.clear();
        text.extend(['-', letter.into(), ',', ' ']);
    }
    text.push_str("--");
    text.push_str(option.long);
    if let Kind::Value(value) = option.kind {
        text.extend([" <", value, ">"]);
    }
    text
}

/// Without the formats of the standard library: they would take most of the time that the program takes for its help.
fn entry(text: &mut String, width: usize, term: &str, meaning: &str) {
    text.push('\t');
    text.push_str(term);
    text.extend((term.len()..=width).map(|_| ' '));
    text.push_str(meaning);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terminals have 80 columns, and some break a line that fills them.
    #[test]
    fn no_line_is_wider_than_79_columns() {
        for program in Program::ALL {
            for line in help(program).lines() {
                // A tab is in front only.
                let columns = line.len() + 7 * line.matches('\t').count();
                assert!(line.is_ascii() && columns <= 79, "{columns}: {line:?}");
            }
        }
    }
}
