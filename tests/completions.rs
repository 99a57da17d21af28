//! The completions, asked in the shells themselves and held to the tables of options and events.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{binary, bounded, need, run};
use inotify_tools::internals::options::{Kind, Program, Tool, options};
use inotify_tools::internals::{EVENTS, LSDIR};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BASH_COMPLETION: &str = "/usr/share/bash-completion/bash_completion";

fn listed() -> BTreeSet<String> {
    EVENTS.iter().filter(|event| !event.help.is_empty()).map(|event| event.name.to_owned()).collect()
}

/// `total`, and the events that have one column.
fn keys() -> BTreeSet<String> {
    let single =
        EVENTS.iter().filter(|event| !event.help.is_empty() && event.bits.is_single() && event.bits != LSDIR);
    single.map(|event| event.name).chain(["total"]).map(str::to_owned).collect()
}

fn option_names(tool: Tool) -> BTreeSet<String> {
    let visible = options(tool).filter(|option| !option.hidden);
    visible
        .flat_map(|option| {
            let short = option.short.map(|letter| format!("-{}", letter as char));
            [Some(format!("--{}", option.long)), short]
        })
        .flatten()
        .collect()
}

/// A directory with the files `fi le` and `qqq`, and a directory `di r` with a directory `sub` in it.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join("di r/sub")).unwrap();
    for file in ["fi le", "qqq"] {
        std::fs::write(place.path().join(file), "").unwrap();
    }
    place
}

/// What a shell offers at the end of a line, one answer each; and everything, for a message.
type Ask = fn(lines: &[String]) -> (Vec<BTreeSet<String>>, String);

fn sets(answers: &str) -> Vec<BTreeSet<String>> {
    let answers = answers.split("END\n");
    answers.map(|answer| answer.lines().map(str::to_owned).collect()).collect()
}

/// Calls the function as bash would, with COMP_WORDS and so on, which has `=` for a word of its own.
fn ask_bash(lines: &[String]) -> (Vec<BTreeSet<String>>, String) {
    let script = r#"
        for line; do
            tool=${line%% *}
            . "$ROOT/completions/$tool.bash"
            function=$(complete -p "$tool"); function=${function#*-F }
            words=${line//=/ = }
            COMP_WORDS=($words)
            [[ $words == *' ' ]] && COMP_WORDS+=('')
            [[ $line == *= ]] && unset 'COMP_WORDS[-1]'
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            ${function%% *} "$tool" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
            ((${#COMPREPLY[@]})) && printf '%s\n' "${COMPREPLY[@]}"
            echo END
        done"#;
    let place = place();
    let mut command = bounded("bash");
    command.args(["--norc", "-c", script, "bash"]).args(lines).env("ROOT", ROOT).current_dir(place.path());
    let (output, text) = run(&mut command);
    (sets(&String::from_utf8(output.stdout).unwrap()), text)
}

/// Types each line and a tab into an interactive zsh whose `compadd` tells what it gets.
fn ask_zsh(lines: &[String]) -> (Vec<BTreeSet<String>>, String) {
    let place = place();
    let setup = r#"
        compadd() {
            if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
                local -a hits
                builtin compadd -A hits "$@"
                (( $#hits )) && print -rl -- "${(@Q)hits}" >>offered
            fi
            builtin compadd "$@"
        }
        inotifywait() { print END >>offered }
        inotifywatch() { inotifywait }
        fsnotifywait() { inotifywait }
        fsnotifywatch() { inotifywait }
        inotify-rsync() { inotifywait }
        LISTMAX=1000"#;
    let text = zsh(place.path(), setup, lines);
    let offered = std::fs::read_to_string(place.path().join("offered")).unwrap_or_default();
    (sets(&offered), format!("{text}\n--- offered\n{offered}"))
}

fn ask_fish(lines: &[String]) -> (Vec<BTreeSet<String>>, String) {
    let script = r#"
        set -p fish_complete_path $ROOT/completions
        # Nothing is loaded for a command that is not there.
        set -p PATH $ROOT/packaging/sync
        for line in $argv
            complete -C $line | string replace -r '\t.*' ''
            echo END
        end"#;
    let place = place();
    let mut command = bounded("fish");
    command.args(["--no-config", "-c", script]).args(lines).env("ROOT", ROOT).current_dir(place.path());
    let (output, text) = run(command.env("HOME", place.path()));
    (sets(&String::from_utf8(output.stdout).unwrap()), text)
}

/// Types lines, each with a tab at its end, into an interactive shell on a terminal of its own. (script(1)
/// makes the terminal; what is typed before the shell is ready waits in it.)
fn typed(shell: &str, place: &Path, environment: &[(&str, &str)], lines: &[String]) -> String {
    let keys: String = lines.iter().map(|line| format!("{line}\t\n")).collect();
    let input = place.join("keys");
    std::fs::write(&input, format!("{keys}exit\n")).unwrap();
    let mut command: Command = bounded("script");
    command.args(["-qec", shell, "/dev/null"]).current_dir(place).env("HOME", place).env("ROOT", ROOT);
    command.env("ZDOTDIR", place).env("TERM", "vt100").envs(environment.iter().copied());
    run(command.stdin(Stdio::from(std::fs::File::open(input).unwrap()))).1
}

fn zsh(place: &Path, setup: &str, lines: &[String]) -> String {
    let common = "PS1=\nfpath=($ROOT/completions $fpath)\nautoload -Uz compinit\ncompinit -u -D\n";
    std::fs::write(place.join(".zshrc"), format!("{common}{setup}\n")).unwrap();
    typed("zsh -i", place, &[], lines)
}

/// Holds what a shell offers to the tables.
fn holds_to_the_tables(ask: Ask) {
    // What is typed, what of it is not repeated in an answer, and what is expected.
    let mut cases: Vec<(String, String, BTreeSet<String>)> = Vec::new();
    let starting = |names: &BTreeSet<String>, stem: &str| {
        names.iter().filter(|name| name.starts_with(stem)).cloned().collect::<BTreeSet<_>>()
    };
    for program in Program::ALL {
        let (tool, name) = (program.tool, program.name());
        for (before, head, stem) in [
            ("-e ", "", ""),
            ("-re ", "", ""),
            ("--event ", "", ""),
            ("--event=", "--event=", ""),
            ("-e create,", "create,", ""),
            ("-e create,open,", "create,open,", ""),
            ("-ecreate,", "-ecreate,", ""),
            ("--event=create,", "--event=create,", ""),
            ("-e ", "", "clo"),
            ("-e", "-e", "clo"),
            ("-re", "-re", "clo"),
            ("-e", "-e", "no_such_event"),
            ("-e create -e ", "", "d"),
        ] {
            let line = format!("{name} {before}{stem}");
            cases.push((line, head.to_owned(), starting(&listed(), stem)));
        }
        cases.push((format!("{name} -"), String::new(), option_names(tool)));
        cases.push((format!("{name} --"), String::new(), starting(&option_names(tool), "--")));
        for option in options(tool) {
            let Kind::Value(value) = option.kind else { continue };
            // Of alternatives, those in capitals are names of something.
            let alternatives =
                value.split('|').filter(|word| value.contains('|') && **word != word.to_uppercase());
            let words: BTreeSet<String> = alternatives.map(str::to_owned).collect();
            if !matches!(value, "file" | "key" | "event,...") {
                cases.push((format!("{name} --{} ", option.long), String::new(), words.clone()));
                let head = format!("--{}=", option.long);
                cases.push((format!("{name} {head}"), head, words));
            }
        }
    }
    for name in ["inotifywatch", "fsnotifywatch"] {
        for before in ["-a ", "-d ", "-rd ", "--ascending ", "--ascending=", "--descending="] {
            let head = if before.ends_with('=') { before } else { "" };
            cases.push((format!("{name} {before}"), head.to_owned(), keys()));
            cases.push((format!("{name} {before}mov"), head.to_owned(), starting(&keys(), "mov")));
            // A key is one event.
            cases.push((format!("{name} {before}create,m"), head.to_owned(), BTreeSet::new()));
        }
    }
    let lines: Vec<String> = cases.iter().map(|(line, ..)| line.clone()).collect();
    let (answers, text) = ask(&lines);
    assert_eq!(answers.len(), cases.len() + 1, "{text}");
    for ((line, head, expected), answer) in cases.iter().zip(answers) {
        // bash replaces only what is behind the `=`.
        let tails = [&**head, head.rsplit_once('=').map_or("", |(_, tail)| tail)];
        let answer: BTreeSet<String> = answer
            .iter()
            .map(|name| tails.iter().find_map(|tail| name.strip_prefix(tail)).unwrap_or(name).to_owned())
            .collect();
        assert_eq!(&answer, expected, "{line:?}\n{text}");
    }
}

/// The script has no table: its options are those of its help.
#[test]
fn the_options_of_the_script_are_completed() {
    let help =
        bounded(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sync/inotify-rsync")).arg("-h").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let words =
        help.lines().flat_map(|line| line.split([' ', ',']).take_while(|word| !word.contains("SECONDS")));
    let options: BTreeSet<String> = words.filter(|word| word.starts_with("--")).map(str::to_owned).collect();
    assert!(options.len() > 15, "{help}");
    let lines = ["inotify-rsync --".to_owned(), "inotify-rsync --max".to_owned()];
    let asks: [(&str, Ask); 3] = [("bash", ask_bash), ("zsh", ask_zsh), ("fish", ask_fish)];
    for (shell, ask) in asks.into_iter().filter(|(shell, _)| need(shell)) {
        let (answers, text) = ask(&lines);
        assert_eq!(answers.len(), 3, "{shell}: {text}");
        assert_eq!(answers[0], options, "{shell}: {text}");
        assert_eq!(answers[1], ["--max-batch", "--max-delay"].map(str::to_owned).into(), "{shell}: {text}");
    }
}

#[test]
fn bash_offers_the_words_of_the_tables() {
    if need("bash") {
        holds_to_the_tables(ask_bash);
    }
}

#[test]
fn zsh_offers_the_words_of_the_tables() {
    if need("zsh") && need("script") {
        holds_to_the_tables(ask_zsh);
    }
}

#[test]
fn fish_offers_the_words_of_the_tables() {
    if need("fish") {
        holds_to_the_tables(ask_fish);
    }
}

/// What is typed before a tab, and the words that the command gets then.
const TYPED: [(&str, &[&str]); 27] = [
    ("inotifywait -e modi", &["-e", "modify"]),
    ("inotifywait -mqe modi", &["-mqe", "modify"]),
    ("inotifywait -emodi", &["-emodify"]),
    ("inotifywait --event=modi", &["--event=modify"]),
    ("inotifywait --event=create,modi", &["--event=create,modify"]),
    ("inotifywait -ecreate,modi", &["-ecreate,modify"]),
    ("inotifywait --mon", &["--monitor"]),
    ("inotifywait fi", &["fi le"]),
    ("inotifywait -e create fi", &["-e", "create", "fi le"]),
    ("inotifywait -o fi", &["-o", "fi le"]),
    ("inotifywait -ofi", &["-ofi le"]),
    ("inotifywait --fromfile=fi", &["--fromfile=fi le"]),
    ("inotifywait @./fi", &["@./fi le"]),
    ("inotifywait @fi", &["@fi le"]),
    // What is typed behind a directory is in it.
    ("inotifywait -r . @di\tzz", &["-r", ".", "@di r/zz"]),
    ("inotifywait @./di\tsu\tzz", &["@./di r/sub/zz"]),
    ("inotifywait -odi\tsu\tzz", &["-odi r/sub/zz"]),
    ("inotifywait --fromfile=di\tzz", &["--fromfile=di r/zz"]),
    ("inotifywait -- -e fi", &["--", "-e", "fi le"]),
    ("inotifywait --exclude fi", &["--exclude", "fi"]),
    ("inotifywait -e fi", &["-e", "fi"]),
    ("inotifywatch -zd tot", &["-zd", "total"]),
    ("inotifywatch --descending=tot", &["--descending=total"]),
    ("fsnotifywait -e modi", &["-e", "modify"]),
    ("fsnotifywait --mou", &["--mount"]),
    ("fsnotifywait --files", &["--filesystem"]),
    ("fsnotifywatch -zd tot", &["-zd", "total"]),
];

/// For shells of the Bourne kind: the commands note what they get.
const NOTE: &str = "
    inotifywait() { printf '<%s>' \"$@\" >>got; echo >>got; }
    inotifywatch() { inotifywait \"$@\"; }
    fsnotifywait() { inotifywait \"$@\"; }
    fsnotifywatch() { inotifywait \"$@\"; }";

/// What is typed, and what the command gets.
type Typed<'a> = (&'a str, &'a [&'a str]);

fn holds_to_what_was_typed(place: &Path, what: &[Typed], text: &str) {
    let got = std::fs::read_to_string(place.join("got")).unwrap_or_default();
    let expected: String = what.iter().map(|(_, words)| format!("<{}>\n", words.join("><"))).collect();
    assert_eq!(got, expected, "{text}");
}

fn type_into_bash(setup: &str, what: &[Typed]) {
    if !need("bash") || !need("script") {
        return;
    }
    let place = place();
    std::fs::write(place.path().join("rc"), format!("{setup}\n{NOTE}\n")).unwrap();
    let lines: Vec<String> = what.iter().map(|(line, _)| (*line).to_owned()).collect();
    let environment = [("BASH_COMPLETION_USER_DIR", ROOT)];
    let text = typed("bash --noprofile --rcfile rc -i", place.path(), &environment, &lines);
    holds_to_what_was_typed(place.path(), what, &text);
}

#[test]
fn bash_completes_each_kind_of_word() {
    type_into_bash(". \"$ROOT/completions/inotifywatch.bash\"", &TYPED);
}

#[test]
fn bash_completes_words_that_do_not_break_at_equals_and_at() {
    let setup = ". \"$ROOT/completions/inotifywatch.bash\"; COMP_WORDBREAKS=${COMP_WORDBREAKS//[=@]}";
    type_into_bash(setup, &TYPED);
}

#[test]
fn bash_completion_loads_the_file_and_completes() {
    if need(BASH_COMPLETION) {
        type_into_bash(&format!(". {BASH_COMPLETION}"), &TYPED);
    }
}

/// What the first one of a shell loads does for the others, so each is asked in a shell of its own.
#[test]
fn each_name_loads_its_completion() {
    let fish = need("fish");
    let bash = need(BASH_COMPLETION);
    for program in Program::ALL {
        let line = format!("{} --recu", program.name());
        if bash {
            type_into_bash(&format!(". {BASH_COMPLETION}"), &[(&line, &["--recursive"])]);
        }
        if fish {
            let (answers, text) = ask_fish(&[line]);
            assert_eq!(answers[0], BTreeSet::from(["--recursive".to_owned()]), "{text}");
        }
    }
}

#[test]
fn zsh_completes_each_kind_of_word() {
    if need("zsh") && need("script") {
        let place = place();
        let text = zsh(place.path(), NOTE, &TYPED.map(|(line, _)| line.to_owned()));
        holds_to_what_was_typed(place.path(), &TYPED, &text);
    }
}

#[test]
fn fish_completes_files() {
    if !need("fish") {
        return;
    }
    let set = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
    let cases = [
        ("inotifywait fi", set(&["fi le"])),
        ("inotifywait -o fi", set(&["fi le"])),
        ("inotifywatch --fromfile=fi", set(&["--fromfile=fi le"])),
        ("inotifywait @./di", set(&["@./di r/"])),
        ("inotifywait -- -e fi", set(&["fi le"])),
        ("inotifywait -e qqq", set(&[])),
        ("inotifywait --exclude fi", set(&[])),
    ];
    let (answers, text) = ask_fish(&cases.clone().map(|(line, _)| line.to_owned()));
    for ((line, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(&answer, expected, "{line:?}\n{text}");
    }
}

/// The bash-completion package has a completion of its own, which reads `--help`.
#[test]
fn the_completion_of_bash_completion_reads_the_help() {
    const OTHER: &str = "/usr/share/bash-completion/completions/inotifywait";
    if !need(BASH_COMPLETION) || !need(OTHER) {
        return;
    }
    let script = r#"
        . "$1"; . "$2"
        _parse_help "$3"; echo END
        cur= COMPREPLY=()
        _inotifywait_events "$3"
        printf '%s\n' "${COMPREPLY[@]}"; echo END"#;
    let place = place();
    for (tool, name) in [(Tool::Wait, "inotifywait"), (Tool::Watch, "inotifywatch")] {
        let mut command = bounded("bash");
        command.args(["--norc", "-c", script, "bash", BASH_COMPLETION, OTHER, binary(name)]);
        let (output, text) = run(command.current_dir(place.path()));
        let answers = sets(&String::from_utf8(output.stdout).unwrap());
        let long = option_names(tool).into_iter().filter(|name| name.starts_with("--"));
        assert_eq!(answers[0], long.collect(), "{text}");
        assert_eq!(answers[1], listed(), "{text}");
    }
}

#[test]
fn the_bash_files_change_nothing_else() {
    if !need("bash") {
        return;
    }
    let script = r#"
        state() { shopt; complete -p; declare -F; set -o; declare -p COMP_WORDBREAKS; }
        complete -F _other other
        state >before
        . "$ROOT/completions/inotifywatch.bash"
        state >after
        diff before after"#;
    let place = place();
    let mut command = bounded("bash");
    command.args(["--norc", "-c", script]).env("ROOT", ROOT).current_dir(place.path());
    let (output, text) = run(&mut command);
    let changes = String::from_utf8(output.stdout).unwrap();
    let mut changes: Vec<&str> = changes.lines().filter(|line| line.starts_with(['<', '>'])).collect();
    changes.sort_unstable();
    let expected = [
        "> complete -o default -F _inotify_tools fsnotifywait",
        "> complete -o default -F _inotify_tools fsnotifywatch",
        "> complete -o default -F _inotify_tools inotifywait",
        "> complete -o default -F _inotify_tools inotifywatch",
        "> declare -f _inotify_tools",
    ];
    assert_eq!(changes, expected, "{text}");
}
