//! docs/performance.svg: the tables of docs/performance.md as a picture.

use std::fmt::Write;

const PAGE: &str = include_str!("../../docs/performance.md");
const WIDTH: f64 = 860.0;
const BAR: f64 = 20.0;
const NAMES: f64 = 360.0;
/// The ratio at the right edge.
const MOST: f64 = 1.6;
const PANEL: f64 = 150.0;
const REFERENCE: &str = "#9aa4b2";
const HERE: &str = "#2f81f7";

pub fn renew(_: &str) -> String {
    let bars = bars();
    let growth = growth();
    let height = bars.1 + growth.1 + 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Cost beside inotify-tools, from the tables below\">\n\
         <style>text{{font:13px sans-serif;fill:#1f2328}}.r{{text-anchor:end}}.m{{text-anchor:middle}}\
         .h{{font-weight:bold}}.g{{fill:#59636e}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         {}<g transform=\"translate(0 {})\">\n{}</g>\n</svg>\n",
        bars.0, bars.1, growth.0
    )
}

/// The cells of the rows of the table with this heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// A bar for each ratio of this program to the reference, and a mark for the goal.
fn bars() -> (String, f64) {
    let title = "Cost, as a part of that of inotify-tools 3.22";
    let mut text = format!("<text class=\"h\" x=\"20\" y=\"28\">{title}</text>\n");
    let mut y = 44.0;
    for row in table("| what | reference | here | ratio") {
        // `**0.262** (0.242–0.298)`, and `≤ 0.25: missed`.
        let Some(ratio) = row[3].split("**").nth(1) else { continue };
        let goal = row.last().and_then(|goal| goal.trim_start_matches("≤ ").split(':').next());
        bar(&mut text, y, row[0], ratio, goal.and_then(|goal| goal.parse().ok()));
        y += BAR + 2.0;
    }
    let (x, below) = (scale(1.0), y + 16.0);
    let _ = writeln!(text, "<path d=\"M{x:.1} 40V{y}\" stroke=\"{REFERENCE}\" stroke-dasharray=\"4 3\"/>");
    let _ = writeln!(text, "<text class=\"m g\" x=\"{x:.1}\" y=\"{below}\">inotify-tools</text>");
    let _ =
        writeln!(text, "<text class=\"g\" x=\"20\" y=\"{below}\">Green: the goal. Less is better.</text>");
    (text, y + 30.0)
}

/// Where a ratio is drawn.
fn scale(ratio: f64) -> f64 {
    NAMES + ratio.min(MOST) / MOST * (WIDTH - NAMES - 60.0)
}

fn bar(text: &mut String, y: f64, name: &str, ratio: &str, goal: Option<f64>) {
    let name = name.replace('`', "");
    let end = scale(ratio.parse().unwrap());
    let _ = writeln!(text, "<text class=\"r\" x=\"{}\" y=\"{}\">{name}</text>", NAMES - 8.0, y + 14.0);
    let _ = writeln!(
        text,
        "<rect x=\"{NAMES}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{HERE}\"/>",
        y + 3.0,
        end - NAMES,
        BAR - 6.0
    );
    let x = goal.map_or(end, scale);
    if goal.is_some() {
        let _ =
            writeln!(text, "<path d=\"M{x:.1} {}v{BAR}\" stroke=\"#1a7f37\" stroke-width=\"2\"/>", y - 1.0);
    }
    let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{}\">{ratio}</text>", end.max(x) + 6.0, y + 14.0);
}

/// How cost grows with the number of directories, on logarithmic scales.
fn growth() -> (String, f64) {
    let rows = table("| directories | set");
    let mut text =
        "<text class=\"h\" x=\"20\" y=\"28\">Growth with the number of directories</text>\n".to_owned();
    for (at, name) in ["Setup", "Memory per watch", "CPU time for a rename"].into_iter().enumerate() {
        // `37.93 ms → 20.30 ms`, the reference's first.
        let pairs: Vec<(&str, [&str; 2])> = rows
            .iter()
            .map(|row| (row[0], row[at + 1].split_once(" → ").map(|(old, new)| [old, new]).unwrap()))
            .collect();
        panel(&mut text, 20.0 + at as f64 * (WIDTH - 40.0) / 3.0, name, &pairs);
    }
    let y = PANEL + 116.0;
    let line = |colour| format!("<tspan fill=\"{colour}\">━</tspan>");
    let legend = format!("{} inotify-tools 3.22  {} here", line(REFERENCE), line(HERE));
    let _ = writeln!(text, "<text x=\"20\" y=\"{y}\">{legend}</text>");
    (text, y)
}

fn panel(text: &mut String, left: f64, name: &str, pairs: &[(&str, [&str; 2])]) {
    let values = || pairs.iter().flat_map(|(_, pair)| pair.map(number));
    let (least, most) = (values().fold(f64::MAX, f64::min).ln(), values().fold(0.0, f64::max).ln());
    let last = pairs.len() - 1;
    let x = |row: usize| left + 62.0 + row as f64 * 125.0 / last as f64;
    let y = |figure: &str| 64.0 + PANEL * (1.0 - (number(figure).ln() - least) / (most - least));
    let _ = writeln!(text, "<text x=\"{left:.0}\" y=\"52\">{name}</text>");
    for (side, colour) in [REFERENCE, HERE].into_iter().enumerate() {
        let points =
            pairs.iter().enumerate().map(|(row, (_, pair))| format!("{:.1} {:.1}", x(row), y(pair[side])));
        let points = points.collect::<Vec<_>>().join("L");
        let _ =
            writeln!(text, "<path d=\"M{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        for (row, class, shift) in [(0, "r", -6.0), (last, "l", 6.0)] {
            let figure = pairs[row].1[side];
            let (x, y) = (x(row) + shift, y(figure) + 4.0);
            let _ = writeln!(text, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{figure}</text>");
        }
    }
    for row in [0, last] {
        let (x, y) = (x(row), PANEL + 92.0);
        let _ = writeln!(text, "<text class=\"m g\" x=\"{x:.1}\" y=\"{y}\">{}</text>", pairs[row].0);
    }
}

/// The number of a figure such as `3.54 s`, in the least unit.
fn number(figure: &str) -> f64 {
    let (number, unit) = figure.split_once(' ').unwrap_or((figure, ""));
    let factor = match unit {
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => 1.0,
    };
    number.replace(',', "").parse::<f64>().unwrap_or_else(|_| panic!("no figure: {figure}")) * factor
}
