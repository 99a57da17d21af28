//! docs/performance.svg: the ratios in the first table of docs/performance.md as bars.

use std::fmt::Write;

const PAGE: &str = include_str!("../../docs/performance.md");
const WIDTH: f64 = 880.0;
const BAR: f64 = 20.0;
const NAMES: f64 = 390.0;
/// The ratio at the right edge.
const MOST: f64 = 1.6;
const REFERENCE: &str = "#9aa4b2";
const HERE: &str = "#2f81f7";

pub fn renew(_: &str) -> String {
    let (bars, height) = bars();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Cost beside inotify-tools, from the table above\">\n\
         <style>text{{font:13px sans-serif;fill:#1f2328}}.r{{text-anchor:end}}.m{{text-anchor:middle}}\
         .h{{font-weight:bold}}.g{{fill:#59636e}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n{bars}</svg>\n"
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
