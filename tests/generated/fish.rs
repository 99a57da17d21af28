//! The lists of the completion for fish.

use std::fmt::Write;

use inotify_tools::internals::options::{Opt, Tool};

use crate::{Completion, TOOLS, completion, has_column, listed_events, options_of_just, value, with_lines};

pub fn renew(text: &str) -> String {
    let text = with_lines(text, "events", &events());
    let text = with_lines(&text, "keys", &keys());
    with_lines(&text, "options", &options())
}

fn events() -> String {
    let events: Vec<String> =
        listed_events().map(|event| format!("        {}\\t{}", event.name, quoted(event.help))).collect();
    format!("    printf '%s\\n' \\\n{}\n", events.join(" \\\n"))
}

fn keys() -> String {
    let without: Vec<&str> =
        listed_events().filter(|event| !has_column(event)).map(|event| event.name).collect();
    format!("    __inotify_tools_names | string match -rv '^({})\\t'\n", without.join("|"))
}

fn options() -> String {
    let mut text = String::new();
    let one: [(&str, &'static [Tool]); 3] =
        [("both", &TOOLS), ("wait", &[Tool::Wait]), ("watch", &[Tool::Watch])];
    for (commands, tools) in one {
        for option in options_of_just(tools) {
            let _ = writeln!(text, "complete ${commands}{}", description(option));
        }
    }
    text
}

fn description(option: &Opt) -> String {
    let short = option.short.map(|letter| format!(" -s {}", char::from(letter))).unwrap_or_default();
    let value = match value(option).map(completion) {
        None => String::new(),
        Some(Completion::Files) => " -r -F".to_owned(),
        Some(Completion::Events) => " -x -a '(__inotify_tools_events)'".to_owned(),
        Some(Completion::Key) => " -x -a '(__inotify_tools_keys)'".to_owned(),
        Some(Completion::Words(words)) => format!(" -x -a '{words}'"),
        Some(Completion::Nothing) => " -x".to_owned(),
    };
    format!("{short} -l {}{value} -d {}", option.long, quoted(option.help))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
