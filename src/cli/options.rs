//! The one table of options. Parsing and help are made from it while a program runs; the completions, and the synopsis and
//! the heads of the options in the manual pages, by `make generate`.
//!
//! To add an option: a line here, with the name of its value after [`Value`]; `make generate`; the text below the head that
//! has appeared in the manual page; the option's effect in `wait.rs` or `watch.rs`. An option that is not the reference's is
//! `whole`.
//!
//! Each tool's order is the reference's: the message about an ambiguous abbreviation lists the
//! possibilities in it.

/// One of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `inotifywait`
    Wait,
    /// `inotifywatch`
    Watch,
}

impl Tool {
    /// The name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Wait => "inotifywait",
            Tool::Watch => "inotifywatch",
        }
    }
}

/// A tool under one of its two names, which differ in what they watch with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Whose name it is.
    pub tool: Tool,
    /// It is the name that begins with `fsnotify`: fanotify is the default.
    pub fanotify: bool,
}

impl Program {
    /// The four names.
    pub const ALL: [Program; 4] = [
        Program { tool: Tool::Wait, fanotify: false },
        Program { tool: Tool::Watch, fanotify: false },
        Program { tool: Tool::Wait, fanotify: true },
        Program { tool: Tool::Watch, fanotify: true },
    ];

    /// What `tool` is when it was started as `argv0`: fanotify is the default if the name begins with `fsnotify`, so that a
    /// renamed `fsnotifywait.distrib` is still what it was. Neither a path before the name counts nor the `-` that login(1)
    /// puts there.
    pub fn of(tool: Tool, argv0: &[u8]) -> Program {
        let base = argv0.rsplit(|&b| b == b'/').next().unwrap_or(argv0);
        let base = base.strip_prefix(b"-").unwrap_or(base);
        Program { tool, fanotify: base.starts_with(b"fsnotify") }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match (self.tool, self.fanotify) {
            (tool, false) => tool.name(),
            (Tool::Wait, true) => "fsnotifywait",
            (Tool::Watch, true) => "fsnotifywatch",
        }
    }
}

/// The heading below which the help has an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Which objects are watched, and by which interface.
    Watching,
    /// Which of their events are reported.
    Reporting,
    /// How events, or their counts, are printed.
    Output,
    /// How the program starts, waits and ends.
    Running,
}

impl Group {
    /// All of them, in the order of the help.
    pub const ALL: [Group; 4] = [Group::Watching, Group::Reporting, Group::Output, Group::Running];

    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Watching => "What to watch",
            Group::Reporting => "What to report",
            Group::Output => "Output",
            Group::Running => "Running",
        }
    }
}

/// What an option does when it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Is on or off, and takes no value.
    Flag,
    /// Needs a value, which the help calls by this name. Of several words with `|` between, one is the value; those in
    /// capitals are names of something. A `file` and an `event` are completed as such, a `key` as one to sort by.
    Value(&'static str),
    /// Ends the program with this message and status 1. Takes no value.
    Refused(&'static str),
}

/// An option of one of the tools or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// What the option sets: the long name, or of an alias the long name that it stands for.
    pub id: &'static str,
    /// `-x`, if it has one.
    pub short: Option<u8>,
    /// `--long`
    pub long: &'static str,
    /// Flag, value or refusal.
    pub kind: Kind,
    /// What it is for: an imperative, in one line.
    pub help: &'static str,
    /// Where the help has it.
    pub group: Group,
    /// The tools that have it.
    pub tools: &'static [Tool],
    /// Accepted, not listed.
    pub hidden: bool,
    /// Never abbreviated. Set for the names that the reference does not have, so that an
    /// abbreviation of one that it has means the same here (`--m` is `--monitor`).
    pub whole: bool,
}

use Group::{Output, Reporting, Running, Watching};
use Kind::{Flag, Refused, Value};

const WAIT: &[Tool] = &[Tool::Wait];
const WATCH: &[Tool] = &[Tool::Watch];
const BOTH: &[Tool] = &[Tool::Wait, Tool::Watch];

const fn option(
    tools: &'static [Tool],
    group: Group,
    short: &'static str,
    long: &'static str,
    kind: Kind,
    help: &'static str,
) -> Opt {
    Opt {
        id: long,
        short: short.as_bytes().first().copied(),
        long,
        kind,
        help,
        group,
        tools,
        hidden: false,
        whole: false,
    }
}

const fn hidden(option: Opt) -> Opt {
    Opt { hidden: true, ..option }
}

const fn whole(option: Opt) -> Opt {
    Opt { whole: true, ..option }
}

const FILENAME: Kind = Refused(
    "The '--filename' option no longer exists.  The option it enabled in earlier\n\
     versions of inotifywait is now turned on by default.\n",
);

/// Every option of both tools.
#[rustfmt::skip]
pub const OPTIONS: &[Opt] = &[
    option(BOTH, Running, "h", "help", Flag, "Print this help and exit"),
    option(BOTH, Reporting, "e", "event", Value("event,..."), "Report only these events (default: all)"),
    option(WAIT, Running, "m", "monitor", Flag, "Continue after the first event"),
    option(WAIT, Running, "q", "quiet", Flag, "Suppress status messages; -qq also events"),
    option(WAIT, Running, "t", "timeout", Value("seconds"), "Exit with 2 after this long without an event"),
    option(WATCH, Running, "t", "timeout", Value("seconds"), "Print the table and exit after this long"),
    option(WATCH, Running, "v", "verbose", Flag, "Print each step of the setup"),
    option(WATCH, Output, "z", "zero", Flag, "Also print rows and columns of zeros"),
    option(WATCH, Output, "a", "ascending", Value("key"), "Sort by an event or 'total', least first"),
    option(WATCH, Output, "d", "descending", Value("key"), "Sort by an event or 'total', most first"),
    hidden(option(WAIT, Output, "f", "filename", FILENAME, "No longer exists")),
    option(BOTH, Watching, "r", "recursive", Flag, "Also watch all directories below"),
    option(BOTH, Watching, "I", "inotify", Flag, "Watch with inotify"),
    option(BOTH, Watching, "F", "fanotify", Flag, "Watch with fanotify"),
    option(BOTH, Watching, "S", "filesystem", Flag, "Watch whole file systems (fanotify, as root)"),
    whole(option(BOTH, Watching, "M", "mount", Flag, "Watch whole mounts (fanotify, as root)")),
    option(WAIT, Output, "c", "csv", Flag, "Print each event as comma-separated values"),
    option(WAIT, Running, "d", "daemon", Flag, "Run in the background; implies -ms, needs -o"),
    option(WAIT, Running, "s", "syslog", Flag, "Send messages to syslog instead of stderr"),
    hidden(whole(Opt { id: "syslog", ..option(WAIT, Running, "", "syslogOutput", Flag, "The same as --syslog") })),
    option(BOTH, Watching, "P", "no-dereference", Flag, "Watch symbolic links, not their targets"),
    option(WAIT, Output, "", "format", Value("format"), "Print events in this format; see the manual"),
    option(WAIT, Output, "", "no-newline", Flag, "Print no newline after each event"),
    option(WAIT, Output, "", "timefmt", Value("format"), "Print %T of --format like this: strftime(3)"),
    option(BOTH, Watching, "", "fromfile", Value("file"), "Read paths from this file ('-': stdin)"),
    option(WAIT, Output, "o", "outfile", Value("file"), "Append events to this file"),
    option(BOTH, Reporting, "", "exclude", Value("regex"), "Exclude paths that match; the last one counts"),
    option(BOTH, Reporting, "", "excludei", Value("regex"), "Like --exclude, ignoring case"),
    option(BOTH, Reporting, "", "include", Value("regex"), "Exclude paths that do not match"),
    option(BOTH, Reporting, "", "includei", Value("regex"), "Like --include, ignoring case"),
    whole(option(WAIT, Watching, "", "follow-name", Flag, "Watch names: paths may be absent or replaced")),
    whole(option(WAIT, Running, "", "until", Value("exists|gone"), "Exit as soon as all paths exist, or none does")),
    whole(option(BOTH, Reporting, "", "ignore", Value("glob"), "Ignore paths that match (gitignore syntax)")),
    whole(option(BOTH, Reporting, "", "ignore-file", Value("file"), "Read such patterns from this file")),
    whole(option(BOTH, Reporting, "", "gitignore", Flag, "Ignore what git ignores, and .git")),
    whole(option(BOTH, Reporting, "", "max-depth", Value("N"), "With -r, report at most N levels below a path")),
    whole(option(BOTH, Reporting, "", "type", Value("file|dir"), "Report only events on files, or directories")),
    whole(option(WAIT, Output, "", "debounce", Value("seconds"), "Gather events until none comes for this long")),
    whole(option(WAIT, Output, "", "max-delay", Value("seconds"), "Print a batch after this long at the latest")),
    whole(option(WAIT, Output, "", "batch-marker", Flag, "Print an empty record after each batch")),
    whole(option(WAIT, Output, "0", "print0", Flag, "End each record with NUL instead of newline")),
    whole(option(BOTH, Output, "", "json", Flag, "Print JSON, one object per line")),
    whole(option(WATCH, Output, "", "interval", Value("seconds"), "Also print a table each time this has passed")),
    whole(option(WATCH, Output, "", "top", Value("rows"), "Print at most this many rows")),
    whole(option(WATCH, Running, "", "limits", Flag, "Print inotify's limits and who uses them")),
    whole(option(BOTH, Running, "", "ready", Value("N|systemd"), "Signal that all watches are established")),
    whole(option(BOTH, Running, "V", "version", Flag, "Print the version and exit")),
];

/// The options of `tool`, in the order of the table.
pub fn options(tool: Tool) -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().filter(move |o| o.tools.contains(&tool))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_options_of_a_tool_share_a_name() {
        for tool in [Tool::Wait, Tool::Watch] {
            let mut seen = HashSet::new();
            for option in options(tool) {
                assert!(seen.insert(option.long.to_owned()), "--{}", option.long);
                if let Some(short) = option.short {
                    assert!(seen.insert(format!("-{}", short as char)), "{option:?}");
                }
            }
        }
    }

    /// Else what was an abbreviation would be another option now.
    #[test]
    fn no_name_of_our_own_begins_a_name_of_the_reference() {
        for tool in [Tool::Wait, Tool::Watch] {
            for own in options(tool).filter(|option| option.whole) {
                let begun = options(tool).find(|option| !option.whole && option.long.starts_with(own.long));
                assert_eq!(begun, None, "--{}", own.long);
            }
        }
    }

    #[test]
    fn an_alias_stands_for_an_option_like_it() {
        for tool in [Tool::Wait, Tool::Watch] {
            for option in options(tool) {
                let target = options(tool).find(|o| o.long == option.id);
                assert_eq!(target.map(|o| o.kind), Some(option.kind), "{option:?}");
            }
        }
    }

    #[test]
    fn a_program_is_known_by_its_name() {
        for program in Program::ALL {
            let name = program.name();
            for argv0 in
                ["", "-", "/usr/bin/", "./", "-/bin/", "/bin/-"].map(|front| format!("{front}{name}"))
            {
                assert_eq!(Program::of(program.tool, argv0.as_bytes()), program, "{argv0}");
            }
            // What it is not called is nothing to it.
            for other in ["", "NAME", "fsnotif", "xfsnotifywatch", "fsnotifywait/", "--fsnotifywatch"] {
                let plain = Program { fanotify: false, ..program };
                assert_eq!(Program::of(program.tool, other.as_bytes()), plain, "{other}");
            }
        }
        for name in ["fsnotify", "fsnotifywait.distrib", "/usr/bin/fsnotifywait2", "-fsnotifywatch-4"] {
            for tool in [Tool::Wait, Tool::Watch] {
                assert_eq!(Program::of(tool, name.as_bytes()), Program { tool, fanotify: true }, "{name}");
            }
        }
    }

    #[test]
    fn every_option_has_one_line_of_help() {
        for option in OPTIONS {
            assert!(!option.help.is_empty() && !option.help.contains('\n'));
        }
    }
}
