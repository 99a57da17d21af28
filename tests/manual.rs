//! The manual pages and the help: held to the tables of options and events; the examples are run. tests/generated makes the
//! heads of the options in the pages.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use common::{bounded, file, need, run};
use inotify_tools::internals::EVENTS;
use inotify_tools::internals::options::{Group, Kind, Program, Tool, options};
use regex::Regex;

const TOOLS: [Tool; 2] = [Tool::Wait, Tool::Watch];
/// The page of the script, which is held to the script's own help.
const SYNC: &str = "man/inotify-rsync.1";

fn program(tool: Tool) -> &'static str {
    match tool {
        Tool::Wait => env!("CARGO_BIN_EXE_inotifywait"),
        Tool::Watch => env!("CARGO_BIN_EXE_inotifywatch"),
    }
}

/// Runs a program under one of its names, by a link as `make install` makes it.
fn help(name: Program) -> (Output, String) {
    let place = tempfile::tempdir().unwrap();
    let link = place.path().join(name.name());
    std::os::unix::fs::symlink(program(name.tool), &link).unwrap();
    run(bounded(&link).arg("--help"))
}

fn path(tool: Tool) -> String {
    format!("man/{}.1", tool.name())
}

/// The source of a page's section.
fn section(tool: Tool, name: &str) -> String {
    section_of(&path(tool), name)
}

fn section_of(path: &str, name: &str) -> String {
    let page = file(path);
    let (_, rest) = page.split_once(&format!("\n.Sh {name}\n")).unwrap_or_else(|| panic!("no {name}"));
    rest.split_once("\n.Sh ").map_or(rest, |(section, _)| section).to_owned()
}

/// The names and the value of an option as a page's item or a line of the help shows them: `-x`, `--long`,
/// and whether there is a value.
type Names = (Option<String>, String, bool);

/// The options in the table of a tool.
fn table(tool: Tool) -> BTreeSet<Names> {
    let some = options(tool).filter(|option| !option.hidden);
    some.map(|option| {
        let short = option.short.map(|letter| format!("-{}", letter as char));
        (short, format!("--{}", option.long), matches!(option.kind, Kind::Value(_)))
    })
    .collect()
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// As a set, after making sure that nothing comes twice.
fn unique<T: Ord + std::fmt::Debug>(all: Vec<T>) -> BTreeSet<T> {
    let length = all.len();
    let set = BTreeSet::from_iter(all);
    assert_eq!(set.len(), length, "something is listed twice: {set:?}");
    set
}

#[test]
fn mandoc_accepts_the_pages() {
    if !need("mandoc") {
        return;
    }
    for page in TOOLS.map(path).iter().map(String::as_str).chain([SYNC]) {
        let mut command = bounded("mandoc");
        let (output, text) =
            run(command.args(["-Tlint", "-Wstyle", page]).current_dir(env!("CARGO_MANIFEST_DIR")));
        // The footer has this program instead of a system; which other pages are installed is no matter of the page.
        let complaints = String::from_utf8(output.stdout).unwrap();
        let known = ["operating system explicitly specified", "referenced manual not found"];
        let others = complaints.lines().filter(|line| !known.iter().any(|known| line.contains(known)));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0], "{text}");
    }
}

/// apropos(1) and whatis(1) find a page by its NAME.
#[test]
fn a_page_names_both_programs() {
    for tool in TOOLS {
        let names = Program::ALL.into_iter().filter(|program| program.tool == tool).map(Program::name);
        let named = section(tool, "NAME");
        let named = named
            .lines()
            .filter_map(|line| line.strip_prefix(".Nm "))
            .map(|name| name.trim_end_matches(" ,"));
        assert_eq!(named.collect::<Vec<_>>(), names.clone().collect::<Vec<_>>());
        let synopsis = section(tool, "SYNOPSIS");
        let forms = synopsis.lines().filter_map(|line| line.strip_prefix(".Nm "));
        assert_eq!(forms.collect::<Vec<_>>(), names.collect::<Vec<_>>());
    }
}

#[test]
fn each_name_has_a_page_that_says_the_same() {
    if !need("mandoc") {
        return;
    }
    // Pages are named from the top of the tree of manuals.
    let place = tempfile::tempdir().unwrap();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    std::os::unix::fs::symlink(pages, place.path().join("man1")).unwrap();
    let page = |name: &str| {
        let mut mandoc = bounded("mandoc");
        let (output, text) = run(mandoc.arg(format!("man1/{name}.1")).current_dir(place.path()));
        assert!(output.status.success(), "{text}");
        output.stdout
    };
    for program in Program::ALL {
        let (own, other) = (page(program.name()), page(program.tool.name()));
        assert!(own == other && own.len() > 1000, "{}", String::from_utf8_lossy(&own));
    }
}

/// The options that choose between the interfaces are explained together, each once.
#[test]
fn the_page_explains_fanotify() {
    let item = Regex::new(r"(?m)^\.It Fl (\S) , Fl -(\S+)$").unwrap();
    let text = section(Tool::Wait, "FANOTIFY").replace("\\-", "-");
    let items = item.captures_iter(&text).map(|found| format!("-{} --{}", &found[1], &found[2]));
    assert_eq!(unique(items.collect()), set(["-F --fanotify", "-S --filesystem", "-M --mount"]));
    for tool in TOOLS {
        assert!(section(tool, "FANOTIFY").contains(".Xr fanotify 7"));
    }
}

#[test]
fn a_page_has_the_events_of_the_table_and_no_other() {
    for tool in TOOLS {
        let events = section(tool, "EVENTS");
        let items = events.lines().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
        let expected = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(unique::<&str>(items), expected, "{}", tool.name());
        // Those that the help lists come first.
        let (first, _) = events.split_once("\n.El").unwrap();
        let items = first.lines().filter_map(|line| line.strip_prefix(".It Cm "));
        let listed = EVENTS.iter().filter(|event| !event.help.is_empty()).map(|event| event.name);
        assert_eq!(items.collect::<Vec<_>>(), listed.collect::<Vec<_>>(), "{}", tool.name());
    }
}

#[test]
fn the_page_has_the_letters_of_format() {
    let format = section(Tool::Wait, "FORMAT").replace("\\&", "");
    let items = format.lines().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
    let expected =
        ["%w", "%f", "%e", "% Ns Ar X Ns Cm e", "%T", "%c", "%{pid}", "%{comm}", "%{time}", "%0", "%n", "%%"];
    assert_eq!(unique::<&str>(items), BTreeSet::from(expected));
}

#[test]
fn the_help_has_the_options_and_events_that_are_not_hidden() {
    let line = Regex::new(r"^\t(?:(-\S), |    )(--\S+)( <.+?>)? +\S").unwrap();
    for name in Program::ALL {
        let tool = name.tool;
        let (output, text) = help(name);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.starts_with(&format!("{} ", name.name())), "{text}");
        let groups = Group::ALL.map(|group| {
            let (_, listed) = help.split_once(&format!("\n{}:\n", group.heading())).unwrap();
            listed.split_once("\n\n").unwrap().0
        });
        let found = groups.iter().flat_map(|listed| listed.lines()).map(|option| {
            let found = line.captures(option).unwrap_or_else(|| panic!("{option:?}"));
            (found.get(1).map(|name| name.as_str().to_owned()), found[2].to_owned(), found.get(3).is_some())
        });
        assert_eq!(unique(found.collect()), table(tool), "{text}");
        let (_, listed) = help.split_once("\nEvents:\n").unwrap();
        let found = listed.lines().map(|event| event.split_whitespace().next().unwrap().to_owned());
        let expected = EVENTS.iter().filter(|event| !event.help.is_empty()).map(|event| event.name);
        assert_eq!(unique(found.collect()), set(expected), "{text}");
    }
}

/// An example of a page. The comment before it tells how to run it:
/// `example: SHELL STATUS [mkdir:DIRECTORY] [touch:FILE] [need:TOOL] [timeout:SECONDS] [makes:FILE]`; the last file
/// appears soon, perhaps after the end. `timeout:none` is for a program that exits by itself.
struct Example {
    shell: String,
    status: i32,
    directory: Option<String>,
    file: Option<String>,
    need: Option<String>,
    timeout: String,
    makes: Option<String>,
    script: String,
}

fn examples(tool: Tool) -> Vec<Example> {
    let text = section(tool, "EXAMPLES");
    let blocks = Regex::new(r#"(?s)(?:\n\.\\" example: ([^\n]*))?\n\.Bd -literal[^\n]*\n(.*?)\.Ed"#).unwrap();
    let examples: Vec<_> = blocks
        .captures_iter(&text)
        .map(|block| {
            let marks = block.get(1).unwrap_or_else(|| panic!("no mark: {}", &block[2])).as_str();
            let mark =
                |name: &str| marks.split(' ').find_map(|mark| mark.strip_prefix(name)).map(str::to_owned);
            let mut words = marks.split(' ');
            Example {
                shell: words.next().unwrap().to_owned(),
                status: words.next().unwrap().parse().unwrap(),
                directory: mark("mkdir:"),
                file: mark("touch:"),
                need: mark("need:"),
                timeout: mark("timeout:").unwrap_or_else(|| "0.2".to_owned()),
                makes: mark("makes:"),
                script: plain(&block[2]),
            }
        })
        .collect();
    assert!(!examples.is_empty());
    examples
}

/// The text that a literal block prints.
fn plain(literal: &str) -> String {
    let escapes =
        [("\\-", "-"), ("\\(aq", "'"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\(rs", "\\"), ("\\e", "\\")];
    escapes.iter().fold(literal.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// A page as a terminal shows it, without bold and underlined; and everything, for a message.
fn rendered(path: &str) -> (String, String) {
    let script = "mandoc -Tutf8 \"$1\" | col -bx";
    let mut command = bounded("sh");
    command.args(["-c", script, "sh", path]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (output, text) = run(command.env("LC_ALL", "C.UTF-8"));
    (String::from_utf8(output.stdout).unwrap(), text)
}

#[test]
fn no_macro_is_printed_as_text() {
    if !need("mandoc") || !need("col") {
        return;
    }
    // `No`, `In` and their like are English, too.
    let raw = Regex::new(r"(?m)^.*\b(?:Ar|Cm|Dq|Ev|Fl|Nm|Ns|Oc|Oo|Op|Pa|Pq|Ql|Sq|Sx|Xr)\b.*$").unwrap();
    for path in TOOLS.map(path).iter().map(String::as_str).chain([SYNC]) {
        let (page, _) = rendered(path);
        let found: Vec<&str> = raw.find_iter(&page).map(|line| line.as_str()).collect();
        assert!(found.is_empty(), "{path}: {found:#?}");
    }
    assert!(rendered(&path(Tool::Watch)).0.contains("“No events occurred.”"));
}

#[test]
fn examples_are_printed_so_that_they_can_be_pasted() {
    if !need("mandoc") || !need("col") {
        return;
    }
    for tool in TOOLS {
        let (printed, text) = rendered(&path(tool));
        let printed: BTreeSet<&str> = printed.lines().map(str::trim).collect();
        for example in examples(tool) {
            for line in example.script.lines() {
                assert!(printed.contains(line.trim()), "{line:?}\n{text}");
            }
        }
    }
}

/// Runs each example to its end in a directory of its own. The programs get a timeout from a wrapper in PATH, after
/// their own options, so that it replaces a longer one.
#[test]
fn examples_run() {
    for (tool, example) in
        TOOLS.into_iter().flat_map(|tool| examples(tool).into_iter().map(move |e| (tool, e)))
    {
        if !need(&example.shell) || example.need.as_ref().is_some_and(|tool| !need(tool)) {
            continue;
        }
        let place = tempfile::tempdir().unwrap();
        let [bin, programs] = ["bin", "programs"].map(|name| place.path().join(name));
        fs::create_dir(&bin).unwrap();
        fs::create_dir(&programs).unwrap();
        for name in Program::ALL {
            let (timeout, program) = (&example.timeout, program(name.tool));
            let real = programs.join(name.name());
            std::os::unix::fs::symlink(program, &real).unwrap();
            let option = if timeout == "none" { String::new() } else { format!("-t {timeout}") };
            put_script(&bin.join(name.name()), &format!("exec {} \"$@\" {option}", real.display()));
        }
        put_script(&bin.join("make"), "echo built >src/made");
        if let Some(directory) = &example.directory {
            fs::create_dir(place.path().join(directory)).unwrap();
        }
        if let Some(file) = &example.file {
            fs::write(place.path().join(file), "").unwrap();
        }
        fs::write(place.path().join("example"), &example.script).unwrap();
        let command = || {
            let mut command = bounded(&example.shell);
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
            command.current_dir(place.path()).env("PATH", path).env("HOME", place.path());
            command
        };
        let about = format!("{}(1)\n{}", tool.name(), example.script);
        let (output, text) = run(command().args(["-n", "example"]));
        assert!(output.status.success(), "{about}{text}");
        let (output, text) = run(command().arg("example"));
        assert_eq!(output.status.code(), Some(example.status), "{about}{text}");
        if let Some(file) = &example.makes {
            let script = "until test -e \"$1\"; do sleep 0.02; done";
            let mut command = bounded("sh");
            let (output, text) = run(command.args(["-c", script, "sh", file]).current_dir(place.path()));
            assert!(output.status.success(), "{about}{text}");
        }
        let complaints =
            ["option", "cannot", "not a valid", "No files specified", "No such file", "not found"];
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!complaints.iter().any(|complaint| stderr.contains(complaint)), "{about}{text}");
    }
}

fn put_script(path: &Path, line: &str) {
    fs::write(path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_page_of_the_script_has_the_options_of_its_help() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sync/inotify-rsync");
    let line = Regex::new(r"^  (?:(-\S), |    )(--\S+)( [A-Z]+)?  +\S").unwrap();
    let (output, text) = run(bounded(script).arg("--help"));
    assert!(output.status.success(), "{text}");
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().all(|line| line.len() < 120), "{text}");
    let (_, listed) = help.split_once("\nOptions:\n").unwrap();
    let help = listed.lines().map(|option| {
        let found = line.captures(option).unwrap_or_else(|| panic!("{option:?}"));
        (found.get(1).map(|name| name.as_str().to_owned()), found[2].to_owned(), found.get(3).is_some())
    });
    let help: BTreeSet<Names> = unique(help.collect());
    let item = Regex::new(r"(?m)^\.It (?:Fl ([^ -]) , )?Fl -(\S+)( Ar .+)?$").unwrap();
    let description = section_of(SYNC, "DESCRIPTION").replace("\\-", "-");
    let page = item.captures_iter(&description).map(|found| {
        let short = found.get(1).map(|letter| format!("-{}", letter.as_str()));
        (short, format!("--{}", &found[2]), found.get(3).is_some())
    });
    assert_eq!(unique(page.collect()), help);
    // A setting for each that is not about the program itself.
    let settings = section_of(SYNC, "CONFIGURATION FILE");
    let settings = settings.lines().filter_map(|line| line.strip_prefix(".Ev ")?.split(' ').next());
    let names = help.iter().map(|(_, long, _)| long[2..].to_uppercase().replace('-', "_"));
    let mut expected = set(names.filter(|name| !["HELP", "CONFIG", "VERSION"].contains(&name.as_str())));
    expected.extend(set(["SRC", "DEST"]));
    assert_eq!(set(settings), expected);
}
