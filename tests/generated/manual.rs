//! The synopsis of a manual page, the heads of its options and its version.

use std::fmt::Write;

use inotify_tools::internals::options::{Opt, Program, Tool, options};

use crate::{is_placeholder, value, with_lines};

pub fn renew(page: &str, tool: Tool) -> String {
    let page = with_lines(page, "synopsis", &synopsis(tool));
    let page = with_lines(&page, "extensions", &extensions(tool));
    let page = with_heads(&page, tool);
    with_footer(&page)
}

/// A page with the project's name and version in its footer, and in lines of a proper length.
pub fn with_footer(page: &str) -> String {
    let version = |line: &str| match line.starts_with(".Os") {
        true => format!(".Os \"inotify-tools-rs {}\"\n", env!("CARGO_PKG_VERSION")),
        false => line.to_owned(),
    };
    folded(&page.split_inclusive('\n').map(version).collect::<String>())
}

/// Text in lines of at most 80 bytes, as mandoc asks for. Macros and literal blocks stay as they are.
fn folded(page: &str) -> String {
    let (mut text, mut literal) = (String::new(), false);
    for line in page.lines() {
        literal = line.starts_with(".Bd") || literal && !line.starts_with(".Ed");
        let mut rest = line;
        while !literal && !line.starts_with('.') && rest.len() > 80 {
            let Some(at) = rest[..=80].rfind(' ') else { break };
            let _ = writeln!(text, "{}", &rest[..at]);
            rest = &rest[at + 1..];
        }
        let _ = writeln!(text, "{rest}");
    }
    text
}

fn synopsis(tool: Tool) -> String {
    let mut all: Vec<&Opt> = options(tool).filter(|option| !option.hidden).collect();
    all.sort_by_key(|option| order(option));
    let flags: String = all
        .iter()
        .filter(|option| value(option).is_none())
        .filter_map(|option| option.short)
        .map(char::from)
        .collect();
    let operands = ".Op Ar path ...\n.Op @ Ns Ar path ...\n";
    let mut text = format!(".Nm {}\n.Op Fl {flags}\n", tool.name());
    let (short, long): (Vec<&Opt>, Vec<&Opt>) = all
        .into_iter()
        .filter(|option| option.short.is_none() || value(option).is_some())
        .partition(|option| option.short.is_some());
    for option in short.into_iter().chain(long) {
        let _ = writeln!(text, ".Op Fl {}{}", name(option), argument(option));
    }
    let other = Program { tool, fanotify: true }.name();
    text + operands + &format!(".Nm {other}\n.Op Ar option ...\n") + operands
}

/// The options that inotify-tools 3.22 does not have.
fn extensions(tool: Tool) -> String {
    let mut all: Vec<&Opt> = options(tool).filter(|option| option.whole && !option.hidden).collect();
    all.sort_by_key(|option| order(option));
    let names: Vec<String> = all.into_iter().map(|option| format!(".Fl {}", name(option))).collect();
    format!("{} .\n", names.join(" ,\n"))
}

/// The letter, or the long name after one dash.
fn name(option: &Opt) -> String {
    option.short.map_or_else(|| long_name(option), |letter| char::from(letter).to_string())
}

/// By letter, lower case first, and by name.
fn order(option: &Opt) -> (String, bool) {
    let name = option.short.map_or_else(|| option.long.to_owned(), |letter| char::from(letter).to_string());
    let capital = name.starts_with(|letter: char| letter.is_ascii_uppercase());
    (name.to_ascii_lowercase(), capital)
}

fn long_name(option: &Opt) -> String {
    format!("\\-{}", option.long.replace('-', "\\-"))
}

fn argument(option: &Opt) -> String {
    match value(option) {
        None => String::new(),
        Some("event,...") => " Ar event Ns Op , Ns Ar event ...".to_owned(),
        Some(words) if words.contains('|') => {
            let words = words.split('|').map(|word| match is_placeholder(word) {
                true => format!("Ar {word}"),
                false => format!("Cm {word}"),
            });
            format!(" {}", words.collect::<Vec<_>>().join(" | "))
        }
        Some(value) => format!(" Ar {value}"),
    }
}

fn head(option: &Opt) -> String {
    let short = option.short.map(|letter| format!("Fl {} , ", char::from(letter))).unwrap_or_default();
    format!(".It {short}Fl {}{}\n", long_name(option), argument(option))
}

/// The page with the head of each option in DESCRIPTION as the table has it. One that is missing is put in its place, with
/// its help for a text; one that is no option is an error.
fn with_heads(page: &str, tool: Tool) -> String {
    let begin = page.find(".Sh DESCRIPTION\n").unwrap();
    let end = begin + page[begin + 1..].find("\n.Sh ").unwrap() + 2;
    let mut missing: Vec<&Opt> = options(tool).collect();
    let mut text = String::new();
    for line in page[begin..end].split_inclusive('\n') {
        let Some(long) = line.strip_prefix(".It ").and_then(|line| line.split("Fl \\-").nth(1)) else {
            text += line;
            continue;
        };
        let long = long.split_whitespace().next().unwrap().replace("\\-", "-");
        let at = missing.iter().position(|option| option.long == long);
        let at = at
            .unwrap_or_else(|| panic!("{}(1) has --{long}, which is no option or comes twice", tool.name()));
        text += &head(missing.remove(at));
    }
    for option in missing {
        insert(&mut text, option, tool);
    }
    format!("{}{text}{}", &page[..begin], &page[end..])
}

fn insert(text: &mut String, option: &Opt, tool: Tool) {
    let after = options(tool).filter(|other| !other.hidden && order(other) > order(option));
    let next = after.min_by_key(|other| order(other)).and_then(|other| text.find(&head(other)));
    let at = next.unwrap_or_else(|| text.find("\n.El\n").unwrap() + 1);
    text.insert_str(at, &format!("{}{}.\n", head(option), option.help));
}
