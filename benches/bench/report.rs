//! Medians, and the tables made of them.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::Result;
use crate::measure::{Programs, Samples, Side};
use crate::plot;

/// What was measured so far.
pub struct Report {
    machine: String,
    rows: Vec<Row>,
    notes: Vec<String>,
    growth: Vec<Growth>,
    /// Of the interfaces: what, and the figure of each, ready to print.
    interfaces: Vec<(String, [String; INTERFACES.len()])>,
}

/// The interfaces that the second table compares.
const INTERFACES: [Side; 3] = [Side::Here, Side::Filesystem, Side::Marks];

struct Row {
    what: String,
    samples: Samples<f64>,
    show: fn(f64) -> String,
    goal: Option<f64>,
}

/// Medians in a tree of one size: the reference's, and ours.
pub struct Growth {
    pub directories: usize,
    set_up: [f64; 2],
    memory: [f64; 2],
    rename: [f64; 2],
}

impl Growth {
    /// Of times in nanoseconds and of bytes per watch.
    pub fn new(
        directories: usize,
        set_up: &Samples<f64>,
        memory: &Samples<f64>,
        rename: &Samples<f64>,
    ) -> Growth {
        let both =
            |samples: &Samples<f64>| [median(samples.of(Side::Reference)), median(samples.of(Side::Here))];
        Growth { directories, set_up: both(set_up), memory: both(memory), rename: both(rename) }
    }
}

impl Report {
    /// An empty one, headed by `machine`.
    pub fn new(machine: String) -> Report {
        Report { machine, rows: Vec::new(), notes: Vec::new(), growth: Vec::new(), interfaces: Vec::new() }
    }

    /// Adds a row; `goal` is the greatest ratio to be content with.
    pub fn row(
        &mut self,
        what: impl Into<String>,
        samples: Samples<f64>,
        show: fn(f64) -> String,
        goal: Option<f64>,
    ) {
        self.rows.push(Row { what: what.into(), samples, show, goal });
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds a sentence about the lines that came for a row: the reference loses some in a flood, and does not look everywhere.
    pub fn lines(&mut self, what: &str, samples: &Samples<f64>) {
        let least = |side| samples.of(side).iter().copied().min_by(f64::total_cmp);
        let counts = [(Side::Reference, "reference"), (Side::Here, "here"), (Side::Floor, "floor")]
            .into_iter()
            .filter_map(|(side, name)| Some(format!("{} ({name})", grouped(least(side)? as u64))));
        self.note(format!("{what}: lines: {}", counts.collect::<Vec<_>>().join(", ")));
    }

    /// Adds a sentence about the program that is linked statically, if that was measured.
    pub fn linked(&mut self, what: &str, samples: &Samples<f64>) {
        if let linked @ [_, ..] = samples.of(Side::Static) {
            let (_, shown) = ratio(samples, Side::Static);
            self.note(format!(
                "{what}: linked statically (`make static`) {}: {shown} of the reference's",
                time(median(linked))
            ));
        }
    }

    /// Adds a row to the table of the interfaces.
    pub fn interfaces(&mut self, what: impl Into<String>, samples: &Samples<f64>, show: fn(f64) -> String) {
        let figure = |side| match samples.of(side) {
            [] => "–".into(),
            samples => show(median(samples)),
        };
        self.interfaces.push((what.into(), INTERFACES.map(figure)));
    }

    /// Adds a line to the table of growth.
    pub fn growth(&mut self, growth: Growth) {
        self.growth.push(growth);
    }

    /// How cost grows, drawn.
    pub fn plot(&self) -> String {
        let panels: [plot::Panel; 3] = [
            ("Setup", |growth| growth.set_up, time),
            (
                "Memory after the setup",
                |growth| growth.memory.map(|each| each * growth.directories as f64),
                amount,
            ),
            ("CPU time for a rename", |growth| growth.rename, time),
        ];
        plot::plot(&self.growth, panels)
    }

    /// All of it, in Markdown.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        text.push_str("| what | reference | here | ratio | floor | goal |\n|---|--:|--:|--:|--:|--:|\n");
        for Row { what, samples, show, goal } in &self.rows {
            let value =
                |samples: &[f64]| if samples.is_empty() { "–".into() } else { show(median(samples)) };
            let (reference, here, mut floor) = (
                value(samples.of(Side::Reference)),
                value(samples.of(Side::Here)),
                value(samples.of(Side::Floor)),
            );
            let (ratio, shown) = self::ratio(samples, Side::Here);
            if !samples.of(Side::Reference).is_empty() && !samples.of(Side::Floor).is_empty() {
                let _ = write!(floor, " ({:.2})", self::ratio(samples, Side::Floor).0);
            }
            let goal = goal.map_or("–".to_owned(), |goal| {
                format!("≤ {goal}: {}", if ratio <= goal { "met" } else { "missed" })
            });
            let _ = writeln!(text, "| {what} | {reference} | {here} | {shown} | {floor} | {goal} |");
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "* {note}");
        }
        if !self.growth.is_empty() {
            text.push_str(
                "\n![Setup time, memory and the cost of a rename by the number of directories](setup.svg)\n",
            );
            text.push_str("\nHow cost grows, the reference's first:\n\n");
            text.push_str(
                "| directories | setup | memory per watch | CPU for a rename |\n|--:|--:|--:|--:|\n",
            );
        }
        for Growth { directories, set_up, memory, rename } in &self.growth {
            let both = |show: fn(f64) -> String, [reference, here]: [f64; 2]| {
                format!("{} → {}", show(reference), show(here))
            };
            let directories = grouped(*directories as u64);
            let (set_up, memory, rename) = (both(time, *set_up), both(bytes, *memory), both(time, *rename));
            let _ = writeln!(text, "| {directories} | {set_up} | {memory} | {rename} |");
        }
        if !self.interfaces.is_empty() {
            text.push_str("\nThis program on inotify and on fanotify:\n\n");
            text.push_str("| what | inotify | fanotify, a mark for the file system | fanotify, a mark for each directory |\n");
            text.push_str("|---|--:|--:|--:|\n");
        }
        for (what, figures) in &self.interfaces {
            let _ = writeln!(text, "| {what} | {} |", figures.join(" | "));
        }
        text
    }
}

/// The median of the rounds' ratios of a side to the reference; and with the least and the greatest, to be shown.
fn ratio(samples: &Samples<f64>, side: Side) -> (f64, String) {
    let mut ratios: Vec<f64> = samples
        .of(side)
        .iter()
        .zip(samples.of(Side::Reference))
        .map(|(measured, reference)| measured / reference)
        .collect();
    ratios.sort_by(f64::total_cmp);
    // Of many short measurements the extremes tell nothing.
    let spread = ratios.len() / 20;
    let ratio = median(&ratios);
    match (ratios.get(spread), ratios.iter().nth_back(spread)) {
        (Some(least), Some(most)) => (ratio, format!("**{ratio:.3}** ({least:.3}–{most:.3})")),
        _ => (ratio, "–".into()),
    }
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (1, Some(one)) => *one,
        (_, Some(upper)) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// A time given in nanoseconds, in a unit that suits it.
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        short if short < 10e3 => format!("{} ns", grouped(short.round() as u64)),
        short if short < 1e6 => format!("{:.0} µs", short / 1e3),
        short if short < 1e9 => format!("{:.2} ms", short / 1e6),
        long => format!("{:.2} s", long / 1e9),
    }
}

/// A number of bytes.
pub fn bytes(bytes: f64) -> String {
    format!("{} bytes", grouped(bytes.round() as u64))
}

/// A number of bytes, in a unit that suits it.
fn amount(bytes: f64) -> String {
    match bytes {
        few if few < 1e3 => format!("{few:.0} B"),
        some if some < 1e6 => format!("{:.0} kB", some / 1e3),
        many => format!("{:.0} MB", many / 1e6),
    }
}

/// With a comma between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The machine and the programs, a line each.
pub fn machine(programs: &Programs) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or("of an unknown model", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let file_system = match statfs(programs.dir.path())?.filesystem_type() {
        TMPFS_MAGIC => "tmpfs",
        _ => "a file system other than tmpfs",
    };
    let mut text = String::new();
    writeln!(text, "* CPU: {cpu}, {} of them", thread::available_parallelism()?)?;
    writeln!(text, "* Linux {}, {file_system}", kernel.trim())?;
    writeln!(text, "* load average at the start: {}", load.split(' ').next().unwrap_or_default())?;
    writeln!(text, "* reference: {}", version(&programs.reference)?)?;
    writeln!(text, "* here: {}", version(&programs.here)?)?;
    writeln!(text, "* rounds: {}", programs.rounds)?;
    Ok(text)
}

/// The first line of the help.
fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--help")
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let help = String::from_utf8_lossy(&output.stdout);
    Ok(help.lines().next().unwrap_or_default().to_owned())
}

/// `document` with `text` between its markers.
pub fn replaced(document: &str, text: &str) -> Result<String> {
    const FROM: &str = "<!-- make bench writes from here";
    const TO: &str = "<!-- to here";
    let found = document.split_once(FROM).and_then(|(above, rest)| {
        let (marker, rest) = rest.split_once('\n')?;
        let (_, below) = rest.split_once(TO)?;
        Some(format!("{above}{FROM}{marker}\n\n{text}\n{TO}{below}"))
    });
    found.ok_or_else(|| "the markers are missing in the document".into())
}
