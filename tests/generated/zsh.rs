//! The lists of the completion for zsh.

use std::fmt::Write;

use inotify_tools::internals::options::{Opt, Tool};

use crate::{
    Completion, TOOLS, completion, excluded_by, has_column, listed_events, names, options_of_just, value,
    with_lines,
};

/// They end the program, so nothing goes with them.
const ALONE: [&str; 3] = ["help", "version", "limits"];
/// They mean something each time.
const REPEATED: [&str; 5] = ["event", "quiet", "verbose", "ignore", "ignore-file"];

pub fn renew(text: &str) -> String {
    let text = with_lines(text, "events", &events());
    let text = with_lines(&text, "keys", &keys());
    with_lines(&text, "options", &options())
}

fn events() -> String {
    listed_events().fold(String::new(), |text, event| {
        text + &format!("    {}\n", quoted(&format!("{}:{}", event.name, event.help.replace(':', "\\:"))))
    })
}

fn keys() -> String {
    let without: Vec<&str> =
        listed_events().filter(|event| !has_column(event)).map(|event| event.name).collect();
    format!("      names=('total:the sum of all columns' ${{names:#({}):*}})\n", without.join("|"))
}

fn options() -> String {
    let mut text = "local -a options=(\n".to_owned();
    list(&mut text, "  ", &TOOLS);
    text += "  '*:path:_inotify_tools_paths'\n)\ncase $service in\n";
    let one: [(&str, &'static [Tool]); 2] = [("*watch", &[Tool::Watch]), ("*", &[Tool::Wait])];
    for (pattern, tools) in one {
        let _ = writeln!(text, "  {pattern})\n    options+=(");
        list(&mut text, "      ", tools);
        text += "    )\n    ;;\n";
    }
    text + "esac\n"
}

fn list(text: &mut String, indent: &str, tools: &'static [Tool]) {
    for option in options_of_just(tools) {
        let _ = writeln!(text, "{indent}{}", description(option));
    }
}

/// As _arguments wants it: `'(what is not offered any more)'{names}'[help]:value:completion'`.
fn description(option: &'static Opt) -> String {
    let others = if REPEATED.contains(&option.long) {
        "*".to_owned()
    } else if ALONE.contains(&option.long) {
        "(- *)".to_owned()
    } else {
        // A long name alone is not offered twice anyway.
        let own = option.short.map(|_| option).into_iter();
        let names = names(own.chain(excluded_by(option, option.tools)));
        if names.is_empty() { String::new() } else { format!("({})", names.join(" ")) }
    };
    let value = value(option).map_or(String::new(), |value| {
        let action = match completion(value) {
            Completion::Files => "_files".to_owned(),
            Completion::Events => " _inotify_tools_names events".to_owned(),
            Completion::Key => " _inotify_tools_names keys".to_owned(),
            Completion::Words(words) => format!("({words})"),
            Completion::Nothing => " ".to_owned(),
        };
        format!(":{}:{action}", value.trim_end_matches(",..."))
    });
    let help = option.help.replace(':', "\\:").replace('[', "\\[").replace(']', "\\]");
    let rest = format!("[{help}]{value}");
    let sign = |letter| if value.is_empty() { "" } else { letter };
    match option.short {
        Some(short) => {
            let names = format!("{{-{}{},--{}{}}}", char::from(short), sign("+"), option.long, sign("="));
            format!("'{others}'{names}{}", quoted(&rest))
        }
        None => quoted(&format!("{others}--{}{}{rest}", option.long, sign("="))),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
