//! The one table of options. Parsing and help are made from it; the manual pages and the
//! completions are held to it by tests.
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

/// What an option does when it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Is on or off, and takes no value.
    Flag,
    /// Takes a value, which the help calls by this name.
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
    /// What it is for, in one line.
    pub help: &'static str,
    /// The tools that have it.
    pub tools: &'static [Tool],
    /// Accepted, not listed.
    pub hidden: bool,
    /// Never abbreviated. Set for the names that the reference does not have, so that an
    /// abbreviation of one that it has means the same here (`--m` is `--monitor`).
    pub whole: bool,
}

use Kind::{Flag, Refused, Value};

const WAIT: &[Tool] = &[Tool::Wait];
const WATCH: &[Tool] = &[Tool::Watch];
const BOTH: &[Tool] = &[Tool::Wait, Tool::Watch];

const fn option(
    tools: &'static [Tool],
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
    option(BOTH, "h", "help", Flag, "print this help"),
    option(BOTH, "e", "event", Value("event,..."), "only these events; repeatable (default: all)"),
    option(WAIT, "m", "monitor", Flag, "keep listening after the first event"),
    option(WAIT, "q", "quiet", Flag, "suppress status messages; -qq also events"),
    option(WAIT, "t", "timeout", Value("seconds"), "exit with 2 after this long without an event"),
    option(WATCH, "t", "timeout", Value("seconds"), "print the table and exit after this long"),
    option(WATCH, "v", "verbose", Flag, "print each step of the setup"),
    option(WATCH, "z", "zero", Flag, "also print rows and columns of zeros"),
    option(WATCH, "a", "ascending", Value("event"), "sort by this event or 'total', ascending"),
    option(WATCH, "d", "descending", Value("event"), "sort by this event or 'total', descending"),
    hidden(option(WAIT, "f", "filename", FILENAME, "no longer exists")),
    option(BOTH, "r", "recursive", Flag, "also watch all directories below"),
    option(BOTH, "I", "inotify", Flag, "watch with inotify"),
    option(BOTH, "F", "fanotify", Flag, "watch with fanotify"),
    option(BOTH, "S", "filesystem", Flag, "watch whole file systems (fanotify, as root)"),
    whole(option(BOTH, "M", "mount", Flag, "watch whole mounts (fanotify, as root)")),
    option(WAIT, "c", "csv", Flag, "print each event as comma-separated values"),
    option(WAIT, "d", "daemon", Flag, "run in the background; implies -ms, needs -o"),
    option(WAIT, "s", "syslog", Flag, "send messages to syslog instead of stderr"),
    hidden(whole(Opt { id: "syslog", ..option(WAIT, "", "syslogOutput", Flag, "the same as --syslog") })),
    option(BOTH, "P", "no-dereference", Flag, "watch symbolic links, not their targets"),
    option(WAIT, "", "format", Value("format"), "print events in this format; see the manual"),
    option(WAIT, "", "no-newline", Flag, "print no newline after each --format"),
    option(WAIT, "", "timefmt", Value("format"), "strftime(3) format of %T in --format"),
    option(BOTH, "", "fromfile", Value("file"), "read paths from this file ('-': stdin)"),
    option(WAIT, "o", "outfile", Value("file"), "append events to this file"),
    option(BOTH, "", "exclude", Value("regex"), "exclude paths that match; the last one counts"),
    option(BOTH, "", "excludei", Value("regex"), "like --exclude, ignoring case"),
    option(BOTH, "", "include", Value("regex"), "exclude paths that do not match"),
    option(BOTH, "", "includei", Value("regex"), "like --include, ignoring case"),
    whole(option(WAIT, "", "debounce", Value("seconds"), "gather events until none came for this long")),
    whole(option(WAIT, "", "max-delay", Value("seconds"), "print a batch after this long at the latest")),
    whole(option(WAIT, "", "batch-marker", Flag, "print an empty record after each batch")),
    whole(option(BOTH, "", "type", Value("file|dir"), "only events on files, or on directories")),
    whole(option(WAIT, "0", "print0", Flag, "end each record with NUL instead of newline")),
    whole(option(BOTH, "", "json", Flag, "print JSON, one object per line")),
    whole(option(BOTH, "", "ready", Value("N|systemd"), "signal that all watches are established")),
    whole(option(WATCH, "", "interval", Value("seconds"), "print a table each time this has passed")),
    whole(option(WATCH, "", "top", Value("rows"), "print at most this many rows")),
    whole(option(WATCH, "", "limits", Flag, "show inotify's limits and who uses them")),
    whole(option(BOTH, "V", "version", Flag, "print the version")),
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
