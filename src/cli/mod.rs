//! What was typed -> validated options.
//!
//! The words go through [`getopt`], which sorts them out as the reference does, then through
//! clap, which turns values into types, both over the one table in [`options`]; [`wait()`] and
//! [`watch()`] then check what options mean together. An error is reported when the reference
//! would report it, so that of several errors a user sees the same one.

pub mod getopt;
mod help;
mod hints;
mod opt_in;
pub mod options;
mod patterns;
pub mod targets;
pub mod values;
mod wait;
mod watch;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::ere::Ere;
use crate::error::failed;
use crate::fanotify::absolute_path;
use crate::filter::{Filter, Sense};
use crate::ignore::pattern::{Pattern, Patterns};
use crate::ignore::{BadLine, Ignore, patterns_of};
use crate::messages::{self, Message};
use crate::source::{Interface, Scope, Settings};
use crate::sys::file;
use getopt::Unknown;
use options::{Kind, Opt, Program, Tool};

pub use patterns::from_glob as glob_as_regex;
use targets::Targets;
use values::all_if_none;
pub use values::named_events as event_list;
pub use values::{Sort, SortKey};
pub use wait::{Output, WaitOptions, wait};
pub use watch::{Watch, WatchOptions, watch};

/// The program ends here, before it watched anything: help, version or a usage error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// The exit status: 0 after `--version`, else 1.
    pub status: u8,
    /// To be written to stdout.
    pub stdout: Vec<u8>,
    /// To be written to stderr, also with `--syslog`.
    pub stderr: Message,
}

impl Exit {
    /// A usage error.
    fn usage(message: impl Into<Message>) -> Exit {
        Exit { status: 1, stdout: Vec::new(), stderr: message.into() }
    }

    /// With more on stderr.
    fn hint(mut self, hint: Option<impl Into<Message>>) -> Exit {
        if let Some(hint) = hint {
            self.stderr = self.stderr.and(hint);
        }
        self
    }

    /// Prints it; returns the exit status.
    pub fn print(&self) -> u8 {
        // If stdout is closed, nobody listens.
        let _ = io::stdout().write_all(&self.stdout);
        self.stderr.print();
        self.status
    }

    fn text(status: u8, stdout: String) -> Exit {
        Exit { status, stdout: stdout.into_bytes(), stderr: Message::default() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.stderr.to_bytes()))
    }
}

impl std::error::Error for Exit {}

/// A command line whose every option is valid by itself.
struct Line {
    program: Program,
    matches: ArgMatches,
    /// getopt_long's complaint about what follows. The reference still checks what it had read
    /// before it gives up.
    broken_off: Option<Message>,
}

impl Line {
    /// # Errors
    ///
    /// Help, version, or the first option that is invalid by itself.
    fn parse(tool: Tool, mut argv: impl Iterator<Item = OsString>) -> Result<Line, Exit> {
        let argv0 = argv.next().map_or_else(|| tool.name().into(), OsString::into_vec);
        let program = Program::of(tool, &argv0);
        let words: Vec<Vec<u8>> = argv.map(OsString::into_vec).collect();
        let table: Vec<&Opt> = options::options(tool).collect();
        let posixly_correct = std::env::var_os("POSIXLY_CORRECT").is_some();
        let mut lexed = getopt::lex(&words, &table, posixly_correct);

        let refusal = first_refusal(&lexed.options);
        if let Some((at, _)) = refusal {
            lexed.options.truncate(at);
        }
        let single_dash = || hints::single_dash(&words, &table);
        let matches = command(tool, &lexed)
            .try_get_matches_from(canonical(&lexed))
            .map_err(|error| exit(program, &error, single_dash))?;
        if let Some((_, message)) = refusal {
            return Err(Exit::usage(message).hint(single_dash()));
        }
        let broken_off = lexed.error.map(|error| {
            let message = Message::new(&[&argv0, b": ", &error.message]);
            let hint = match error.unknown {
                Some(Unknown::Long(word)) => hints::long_option(word, &table),
                Some(Unknown::Short(letter)) => single_dash().or_else(|| hints::short_option(letter, &table)),
                None => None,
            };
            Exit::usage(message).hint(hint).stderr
        });
        Ok(Line { program, matches, broken_off })
    }

    /// Judges the options together: `conflict` ends the program, `warnings` do not; but after a
    /// complaint of getopt's, which comes first, both do.
    fn judge(&self, conflict: Option<Message>, warnings: &Message) -> Result<(), Exit> {
        match (&self.broken_off, conflict) {
            (Some(error), conflict) => {
                Err(Exit::usage(error.clone().and(conflict.unwrap_or_else(|| warnings.clone()))))
            }
            (None, Some(conflict)) => Err(Exit::usage(conflict)),
            (None, None) => Ok(()),
        }
    }

    fn flag(&self, id: &str) -> bool {
        self.count(id) > 0
    }

    fn count(&self, id: &str) -> u8 {
        self.matches.try_get_one(id).ok().flatten().copied().unwrap_or(0)
    }

    /// The values of an option, of the type that its parser makes.
    fn all<T: Clone + Send + Sync + 'static>(&self, id: &str) -> impl DoubleEndedIterator<Item = T> {
        self.matches.try_get_many(id).ok().flatten().unwrap_or_default().cloned()
    }

    fn last<T: Clone + Send + Sync + 'static>(&self, id: &str) -> Option<T> {
        self.all(id).next_back()
    }

    /// The same, each with its place on the command line.
    fn placed<T: Clone + Send + Sync + 'static>(&self, id: &str) -> impl Iterator<Item = (usize, T)> {
        let places = self.matches.try_contains_id(id).is_ok().then(|| self.matches.indices_of(id)).flatten();
        places.into_iter().flatten().zip(self.all(id))
    }

    fn bytes(&self, id: &str) -> Option<Vec<u8>> {
        self.last::<OsString>(id).map(OsString::into_vec)
    }

    fn is_given(&self, id: &str) -> bool {
        self.is_known(id) && self.matches.value_source(id) == Some(ValueSource::CommandLine)
    }

    fn has_operands(&self) -> bool {
        self.all::<OsString>("path").any(|path| !path.is_empty())
    }

    fn times(&self, id: &str) -> usize {
        if self.is_known(id) { self.matches.indices_of(id).map_or(0, |indices| indices.len()) } else { 0 }
    }

    /// Whether clap knows the option: see [`command`].
    fn is_known(&self, id: &str) -> bool {
        self.matches.try_contains_id(id).unwrap_or(false)
    }
}

/// The first option that ends the program because of what it is or of what came before it.
fn first_refusal(options: &[(&'static Opt, Option<&[u8]>)]) -> Option<(usize, &'static str)> {
    let mut ascending = false;
    options.iter().enumerate().find_map(|(at, (option, _))| {
        let again = || options[..at].iter().any(|(before, _)| before.id == option.id);
        let message = match (option.kind, option.id) {
            (Kind::Refused(message), _) => Some(message),
            (_, "outfile") if again() => Some("Multiple --outfile options given.\n"),
            (_, "fromfile") if again() => Some("Multiple --fromfile options given.\n"),
            (_, "filesystem") if again() => Some("Multiple --filesystem options given.\n"),
            (_, "mount") if again() => Some("Multiple --mount options given.\n"),
            // Only -a closes the choice: after -d another -d or an -a may follow.
            (_, "ascending" | "descending") if ascending => Some("Please specify -a or -d once only!\n"),
            (_, "ascending") => {
                ascending = true;
                None
            }
            _ => None,
        };
        message.map(|message| (at, message))
    })
}

/// The shape in which clap gets the words: see [`getopt`].
fn canonical(lexed: &getopt::Lexed) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for (option, value) in &lexed.options {
        let mut word = format!("--{}", option.id).into_bytes();
        if let Some(value) = value {
            word.push(b'=');
            word.extend_from_slice(value);
        }
        words.push(OsString::from_vec(word));
    }
    words.push("--".into());
    words.extend(lexed.operands.iter().map(|operand| OsString::from_vec(operand.to_vec())));
    words
}

/// What clap has to know: of the options only those that are given. To describe them all would take longer than the rest
/// of a short run.
fn command(tool: Tool, lexed: &getopt::Lexed) -> Command {
    let given = |id| lexed.options.iter().any(|(option, _)| option.id == id);
    // The one overrides the other.
    let needed = |id| given(id) || id == "inotify" && given("fanotify");
    Command::new(tool.name())
        .version(env!("CARGO_PKG_VERSION"))
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(
            options::options(tool)
                .filter(|option| option.id == option.long && needed(option.id))
                .map(argument),
        )
        .arg(
            Arg::new("path")
                .action(ArgAction::Append)
                .num_args(0..)
                .last(true)
                .value_parser(OsStringValueParser::new()),
        )
}

fn argument(option: &'static Opt) -> Arg {
    let argument = Arg::new(option.id).long(option.long);
    match (option.kind, option.id) {
        (_, "help") => argument.action(ArgAction::Help),
        (_, "version") => argument.action(ArgAction::Version),
        // Of this one and -I, the last counts.
        (_, "fanotify") => argument.action(ArgAction::Count).overrides_with("inotify"),
        (Kind::Flag | Kind::Refused(_), _) => argument.action(ArgAction::Count),
        (Kind::Value(_), id) => {
            let argument = argument.action(ArgAction::Append).require_equals(true).num_args(1);
            let text = OsStringValueParser::new();
            match id {
                "timeout" => argument.value_parser(text.try_map(|v| values::timeout(v.as_bytes()))),
                "until" => argument.value_parser(text.try_map(|v| values::condition(v.as_bytes()))),
                "type" => argument.value_parser(text.try_map(|v| values::file_type(v.as_bytes()))),
                "top" => argument.value_parser(text.try_map(|v| values::rows(v.as_bytes()))),
                "max-depth" => argument.value_parser(text.try_map(|v| values::depth(v.as_bytes()))),
                "ignore" => argument.value_parser(text.try_map(|v| values::pattern(v.as_bytes()))),
                "debounce" | "max-delay" | "interval" => {
                    argument.value_parser(text.try_map(|v| values::seconds(v.as_bytes())))
                }
                "ready" => argument.value_parser(text.try_map(|v| values::ready(v.as_bytes()))),
                "event" => argument.value_parser(text.try_map(|v| values::events(v.as_bytes()))),
                "ascending" | "descending" => {
                    argument.value_parser(text.try_map(|v| values::sort_key(v.as_bytes())))
                }
                _ => argument.value_parser(text),
            }
        }
    }
}

/// What clap stopped for, in our words.
fn exit(program: Program, error: &clap::Error, hint: impl Fn() -> Option<String>) -> Exit {
    use std::error::Error;
    match error.kind() {
        ErrorKind::DisplayHelp => Exit::text(1, help::help(program)),
        ErrorKind::DisplayVersion => Exit::text(0, help::version(program)),
        _ => match error.source().and_then(|e| e.downcast_ref::<Exit>()) {
            Some(exit) => exit.clone().hint(hint()),
            // Not reached: the canonical words leave clap nothing else to complain about.
            None => Exit::usage(format!("{}: {}\n", program.name(), error.kind())),
        },
    }
}

/// What is wrong with the choice of `--exclude`, `--include` and kin, if anything.
fn filter_conflict(line: &Line) -> Option<&'static str> {
    let given = |id| line.times(id) > 0;
    if given("exclude") && given("excludei") {
        Some("--exclude and --excludei cannot both be specified.\n")
    } else if given("include") && given("includei") {
        Some("--include and --includei cannot both be specified.\n")
    } else if (given("exclude") || given("excludei")) && (given("include") || given("includei")) {
        Some("include and exclude regexp cannot both be specified.\n")
    } else {
        None
    }
}

/// What is wrong with the choice of an interface, if anything.
fn interface_conflict(line: &Line) -> Option<&'static str> {
    match (line.flag("inotify"), line.flag("filesystem"), line.flag("mount")) {
        (_, true, true) => Some("-S and -M cannot both be specified.\n"),
        (true, true, _) => Some("-I and -S cannot both be specified.\n"),
        (true, _, true) => Some("-I and -M cannot both be specified.\n"),
        _ => None,
    }
}

/// What to watch with: what was asked for, or what the program's name stands for. There is no [`interface_conflict`].
fn interface(line: &Line) -> Interface {
    if line.is_given("until") {
        Interface::Inotify
    } else if line.flag("filesystem") {
        Interface::Fanotify(Scope::Filesystem)
    } else if line.flag("mount") {
        Interface::Fanotify(Scope::Mount)
    } else if line.flag("fanotify") || line.program.fanotify && !line.flag("inotify") {
        Interface::Fanotify(Scope::Paths)
    } else {
        Interface::Inotify
    }
}

/// What is to be watched, and how. The filter is the last given of its kind; at most one of the four options is
/// there: see [`filter_conflict`]. The message is what may surprise in them. A warning is added for a `--fromfile` that
/// cannot be opened.
///
/// # Errors
///
/// After the warnings, the message about a pattern that is no regular expression, or that there is nothing to watch.
fn settings(line: &Line, warnings: &mut Message) -> Result<(Vec<Vec<u8>>, Settings, Message), Exit> {
    const FILTERS: [(&str, Sense, bool); 4] = [
        ("exclude", Sense::Exclude, false),
        ("excludei", Sense::Exclude, true),
        ("include", Sense::Include, false),
        ("includei", Sense::Include, true),
    ];
    let (mut pattern, mut given) = (None, Vec::new());
    let mut notes = values::emptied(line.matches.try_get_raw("event").ok().flatten().unwrap_or_default());
    for (id, sense, ignore_case) in FILTERS {
        if let Some(text) = line.bytes(id) {
            let ere = Ere::new(&text, ignore_case).map_err(|error| {
                let message = warnings.clone().and(match sense {
                    Sense::Exclude => "Error in `exclude' regular expression.",
                    Sense::Include => "Error in `include' regular expression.",
                });
                Exit::usage(message).hint(Some(patterns::invalid(&text, sense, &error)))
            })?;
            pattern = Some((ere, sense));
            notes = patterns::suspicious(&text).into_iter().fold(notes, Message::and);
            given = text;
        }
    }
    let targets = Targets::gather(line, warnings)?;
    let interface = interface(line);
    let starts = || starts(interface, &targets.paths, !line.flag("no-dereference"));
    let unreachable = Some(given).filter(|given| !given.is_empty());
    let unreachable = unreachable.and_then(|given| patterns::unreachable(&given, &starts()?));
    notes = unreachable.into_iter().fold(notes, Message::and);
    let mut filter = Filter::new(pattern, targets.excluded, &targets.paths);
    if ["ignore", "ignore-file", "gitignore", "max-depth"].into_iter().any(|id| line.is_given(id)) {
        let (ignore, bad) =
            ignored(line, &targets.paths).map_err(|error| Exit::usage(warnings.clone().and(error)))?;
        notes = bad.iter().map(messages::invalid_pattern).fold(notes, Message::and);
        filter = filter.ignoring(ignore);
    }
    let settings = Settings {
        events: all_if_none(line.all("event")),
        interface,
        recursive: line.flag("recursive"),
        monitor: line.flag("monitor") || line.flag("daemon"),
        follow: !line.flag("no-dereference"),
        by_name: line.flag("follow-name") || line.is_given("until"),
        base: Vec::new(),
        filter,
    };
    Ok((targets.paths, settings, notes))
}

/// The texts with which paths begin: with fanotify all are absolute, and perhaps not known.
fn starts(interface: Interface, operands: &[Vec<u8>], follow: bool) -> Option<Vec<Vec<u8>>> {
    match interface {
        Interface::Inotify => Some(operands.to_vec()),
        Interface::Fanotify(Scope::Paths) => {
            operands.iter().map(|operand| absolute_path(b"", operand, follow).ok()).collect()
        }
        Interface::Fanotify(_) => Some(vec![b"/".to_vec()]),
    }
}

/// What is ignored: the patterns of `--ignore` and `--ignore-file`, in the order in which they were typed, and the rest; and
/// the lines that are no patterns.
///
/// # Errors
///
/// The message about a file that cannot be read.
fn ignored(line: &Line, operands: &[Vec<u8>]) -> Result<(Ignore, Vec<BadLine>), Message> {
    let typed = line.placed::<Option<Pattern>>("ignore").map(|(at, pattern)| (at, Ok(pattern)));
    let files = line.placed::<OsString>("ignore-file").map(|(at, file)| (at, Err(file)));
    let mut all: Vec<_> = typed.chain(files).collect();
    all.sort_by_key(|(at, _)| *at);
    let (mut patterns, mut bad) = (Patterns::default(), Vec::new());
    for (_, one) in all {
        match one {
            Ok(pattern) => patterns.add(pattern),
            Err(file) => {
                let text = file::read(file.as_bytes())
                    .map_err(|error| failed("Couldn't open", file.as_bytes(), &error))?;
                patterns.add(patterns_of(file.as_bytes(), &text, &mut bad));
            }
        }
    }
    let mut ignore = Ignore::new(patterns, line.last("max-depth"), operands);
    if line.flag("gitignore") {
        let (with_git, more) = ignore.with_git();
        ignore = with_git;
        bad.extend(more);
    }
    Ok((ignore, bad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mask::{IN_CREATE, IN_OPEN};
    use std::time::Duration;

    fn wait_for(words: &[&str]) -> Result<WaitOptions, Exit> {
        wait(std::iter::once("NAME").chain(words.iter().copied()).map(OsString::from))
    }

    fn watch_for(words: &[&str]) -> Result<WatchOptions, Exit> {
        watch(std::iter::once("NAME").chain(words.iter().copied()).map(OsString::from)).map(counting)
    }

    fn counting(options: Watch) -> WatchOptions {
        match options {
            Watch::Count(options) => *options,
            Watch::Limits { .. } => panic!("it is to count"),
        }
    }

    #[track_caller]
    fn fails(words: &[&str], stderr: &str) {
        let said = wait_for(words).unwrap_err().stderr.to_bytes();
        assert_eq!(String::from_utf8_lossy(&said), stderr, "{words:?}");
    }

    #[test]
    fn values_reach_the_options_as_they_were_typed() {
        let options = wait_for(&[
            "-r",
            "--form",
            "-%T=",
            "",
            "--timefmt=",
            "p",
            "-qqt",
            " 1",
            "-e",
            "open",
            "-Pe",
            "create",
            "--exclude",
            "--",
            "-t2",
            "--",
            "-x",
            "--",
            "@y",
        ])
        .unwrap();
        assert_eq!(options.paths, [&b"p"[..], b"-x", b"--"]);
        assert_eq!(options.settings.events, IN_OPEN | IN_CREATE);
        assert_eq!(options.timeout, values::Timeout::After(Duration::from_secs(2)));
        assert_eq!(options.quiet, 2);
        assert!(options.settings.recursive && !options.settings.follow);
        assert!(!options.settings.monitor && !options.syslog && !options.daemon);
        let filter = &options.settings.filter;
        assert!(filter.reports(b"a-b", false) && !filter.reports(b"a--b", false));
        assert!(!filter.reports(b"y", false));
        assert_eq!(options.output, Output::Format { format: b"-%T=".to_vec(), timefmt: Some(Vec::new()) });
        assert_eq!(options.end, Some(b'\n'));
        assert!(options.warnings.is_empty());
    }

    #[test]
    fn values_need_not_be_text() {
        let words = [&b"NAME"[..], b"--exclude=\xff", b"-o\xfe=", b"\xfd"];
        let options = wait(words.iter().map(|word| OsString::from_vec(word.to_vec()))).unwrap();
        assert!(!options.settings.filter.reports(b"\xff", false));
        assert_eq!(options.outfile.unwrap(), b"\xfe=");
        assert_eq!(options.paths, [b"\xfd"]);
    }

    #[test]
    fn daemon_implies_monitor_and_syslog() {
        let options = wait_for(&["-do", "out", "p"]).unwrap();
        assert!(options.daemon && options.settings.monitor && options.syslog);
        assert!(wait_for(&["--syslogOutput", "p"]).unwrap().syslog);
    }

    #[test]
    fn the_first_bad_option_is_reported() {
        let bogus = "'x' is not a valid event!  \
                     Run with the '--help' option to see a list of events.\n";
        let zzz = "NAME: unrecognized option '--zzz'\n";
        fails(&["-e", "x", "--zzz"], bogus);
        fails(&["--zzz", "-e", "x"], zzz);
        fails(&["-e", "x", "-h"], bogus);
        fails(&["-o", "a", "-ob", "-e", "x"], "Multiple --outfile options given.\n");
        fails(&["-e", "x", "-o", "a", "-o", "b"], bogus);
        assert!(wait_for(&["-h", "-e", "x"]).unwrap_err().stderr.is_empty());
    }

    #[test]
    fn options_before_getopts_complaint_are_still_held_together() {
        let zzz = "NAME: unrecognized option '--zzz'\n";
        let d = "-o must be specified with -d.\n";
        let last = "--exclude: only the last option will be taken into consideration.\n";
        fails(&["-d", "--zzz"], &format!("{zzz}{d}"));
        fails(&["--zzz", "-d"], zzz);
        fails(&["--exclude=a", "--exclude=b", "--zzz"], &format!("{zzz}{last}"));
        fails(&["--exclude=a", "--exclude=b", "-d", "--zzz"], &format!("{zzz}{d}"));
        fails(&["--exclude=(", "--zzz"], zzz);
        fails(
            &["--exclude=(", "--exclude=("],
            &format!("{last}Error in `exclude' regular expression.\n'(': Unmatched ( or \\(\n"),
        );
        fails(
            &["--excludei=(", "--excludei=a"],
            &format!(
                "{}No files specified to watch!\nUsage: inotifywait [option ...] path [path ...]\n",
                last.replace("--exclude:", "--excludei:")
            ),
        );
    }

    #[test]
    fn an_ascending_key_closes_the_choice() {
        let once = Exit::usage("Please specify -a or -d once only!\n");
        assert_eq!(watch_for(&["-a", "open", "-d", "x", "p"]).unwrap_err(), once);
        let sort = watch_for(&["-d", "open", "-d", "create", "p"]).unwrap().sort;
        assert_eq!((sort.ascending, sort.key), (false, SortKey::Event(IN_CREATE)));
        let sort = watch_for(&["-d", "open", "-a", "create", "p"]).unwrap().sort;
        assert_eq!((sort.ascending, sort.key), (true, SortKey::Event(IN_CREATE)));
        let sort = watch_for(&["p"]).unwrap().sort;
        assert_eq!((sort.ascending, sort.key), (false, SortKey::Total));
        assert!(watch_for(&["-a", "open", "-e", "create", "p"]).is_err());
    }

    #[test]
    fn help_lists_every_option_and_event_that_is_not_hidden() {
        for program in Program::ALL {
            let words = [program.name(), "--help"].map(OsString::from).into_iter();
            let exit = match program.tool {
                Tool::Wait => wait(words).unwrap_err(),
                Tool::Watch => watch(words).unwrap_err(),
            };
            assert_eq!((exit.status, exit.stderr), (1, Message::default()));
            let text = String::from_utf8(exit.stdout).unwrap();
            assert!(text.starts_with(&help::version(program)));
            assert!(text.contains(&format!("Usage: {} ", program.name())));
            for option in options::options(program.tool) {
                let listed = text.contains(&format!("--{} ", option.long));
                assert_eq!(listed, !option.hidden, "{option:?}");
            }
            let events = text.split_once("\nEvents:\n").unwrap().1;
            for (line, event) in events.lines().zip(crate::event::EVENTS) {
                assert!(line.starts_with(&format!("\t{} ", event.name)), "{line}");
            }
        }
    }

    #[test]
    fn the_interface_is_that_of_the_name_unless_another_is_asked_for() {
        const PATHS: Interface = Interface::Fanotify(Scope::Paths);
        const FILESYSTEM: Interface = Interface::Fanotify(Scope::Filesystem);
        const MOUNT: Interface = Interface::Fanotify(Scope::Mount);
        for (line, interface) in [
            ("", None),
            ("-r", None),
            ("-I", Some(Interface::Inotify)),
            ("--inotify", Some(Interface::Inotify)),
            ("-II", Some(Interface::Inotify)),
            ("-F", Some(PATHS)),
            ("--fanotify", Some(PATHS)),
            ("-FF", Some(PATHS)),
            ("-IF", Some(PATHS)),
            ("-FI", Some(Interface::Inotify)),
            ("-FIF", Some(PATHS)),
            ("-IFI", Some(Interface::Inotify)),
            ("-S", Some(FILESYSTEM)),
            ("--filesystem", Some(FILESYSTEM)),
            ("-FS", Some(FILESYSTEM)),
            ("-SF", Some(FILESYSTEM)),
            ("-IFS", Some(FILESYSTEM)),
            ("-rS", Some(FILESYSTEM)),
            ("-M", Some(MOUNT)),
            ("--mount", Some(MOUNT)),
            ("-MF", Some(MOUNT)),
            ("-rM", Some(MOUNT)),
        ] {
            for program in Program::ALL {
                let words = [program.name(), line, "p"].map(OsString::from).into_iter();
                let settings = match program.tool {
                    Tool::Wait => wait(words).unwrap().settings,
                    Tool::Watch => counting(watch(words).unwrap()).settings,
                };
                let default = if program.fanotify { PATHS } else { Interface::Inotify };
                assert_eq!(settings.interface, interface.unwrap_or(default), "{} {line}", program.name());
                assert_eq!(settings.recursive, line.contains('r'));
            }
        }
    }

    #[test]
    fn a_file_system_is_named_once() {
        for (line, message) in [
            ("-SS", "Multiple --filesystem options given.\n"),
            ("-S --filesystem -t x", "Multiple --filesystem options given.\n"),
            ("-MM", "Multiple --mount options given.\n"),
            ("-SM", "-S and -M cannot both be specified.\n"),
            ("-MS", "-S and -M cannot both be specified.\n"),
            ("-MIS", "-S and -M cannot both be specified.\n"),
            ("-IS", "-I and -S cannot both be specified.\n"),
            ("-SI", "-I and -S cannot both be specified.\n"),
            ("-SFI", "-I and -S cannot both be specified.\n"),
            ("-IM", "-I and -M cannot both be specified.\n"),
            ("-MI", "-I and -M cannot both be specified.\n"),
        ] {
            for program in Program::ALL {
                let words =
                    [program.name()].into_iter().chain(line.split(' ')).chain(["p"]).map(OsString::from);
                let exit = match program.tool {
                    Tool::Wait => wait(words).unwrap_err(),
                    Tool::Watch => watch(words).unwrap_err(),
                };
                assert_eq!(exit, Exit::usage(message), "{} {line}", program.name());
            }
        }
    }

    #[test]
    fn version_has_four_numbers_and_status_0() {
        let exit = wait_for(&["-V", "--zzz"]).unwrap_err();
        let expected = format!("inotifywait {}.0\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((exit.status, exit.stdout), (0, expected.into_bytes()));
    }
}
