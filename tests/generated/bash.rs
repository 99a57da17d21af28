//! The lists of the completion for bash.

use std::collections::BTreeMap;
use std::fmt::Write;

use inotify_tools::internals::options::{OPTIONS, Opt, Tool};

use crate::{
    Completion, TOOLS, completion, has_column, listed_events, names, options_of_just, short, value,
    with_lines,
};

pub fn renew(text: &str) -> String {
    with_lines(&with_lines(text, "lists", &lists()), "values", &values())
}

fn lists() -> String {
    let mut text = String::new();
    let events: Vec<&str> = listed_events().map(|event| event.name).collect();
    let columns = listed_events().filter(|event| has_column(event)).map(|event| event.name);
    let keys: Vec<&str> = ["total"].into_iter().chain(columns).collect();
    list(&mut text, "    local events='", &events);
    list(&mut text, "    local keys='", &keys);
    list(&mut text, "    local options='", &names(options_of_just(&TOOLS)));
    text += "    case ${1##*/} in\n";
    for (pattern, tool) in [("*watch", &[Tool::Watch]), ("*", &[Tool::Wait])] {
        let both =
            || options_of_just(&TOOLS).chain(options_of_just(tool)).filter(|option| value(option).is_some());
        let letters: String = both().filter_map(|option| option.short).map(char::from).collect();
        let long: Vec<&str> = both().map(|option| option.long).collect();
        let _ = writeln!(text, "        {pattern})\n            letters={letters}");
        list(&mut text, "            valued=' ", &long);
        list(&mut text, "            options+=' ", &names(options_of_just(tool)));
        text += "            ;;\n";
    }
    text + "    esac\n"
}

/// An assignment of words, folded.
fn list(text: &mut String, head: &str, words: &[impl AsRef<str>]) {
    let mut line = head.to_owned();
    for (at, word) in words.iter().map(AsRef::as_ref).enumerate() {
        if line.len() + word.len() > 110 {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(16);
        }
        line += word;
        if at + 1 < words.len() {
            line.push(' ');
        }
    }
    let blank = if head.contains("valued") { " " } else { "" };
    let _ = writeln!(text, "{line}{blank}'");
}

/// A branch for each kind of value.
fn values() -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for option in OPTIONS.iter().filter(|option| !option.hidden) {
        let assignment = match value(option).map(completion) {
            Some(Completion::Files) => "files=1".to_owned(),
            Some(Completion::Events) => "words=$events".to_owned(),
            Some(Completion::Key) => "words=$keys".to_owned(),
            Some(Completion::Words(words)) => format!("words='{words}'"),
            Some(Completion::Nothing) | None => continue,
        };
        let patterns = kinds.entry(assignment).or_default();
        patterns.extend(pattern(option));
    }
    kinds.iter().fold(String::new(), |text, (assignment, patterns)| {
        text + &format!("        {}) {assignment} ;;\n", patterns.join(" | "))
    })
}

fn pattern(option: &Opt) -> impl Iterator<Item = String> {
    short(option).into_iter().chain([format!("--{}", option.long)])
}
