//! How cost grows with the number of directories, drawn as SVG: a panel for each cost, both axes logarithmic.

use std::fmt::Write;

use crate::report::Growth;

const PANEL: (f64, f64) = (300.0, 200.0);
/// The place for the labels of the axes.
const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;
const GAP: f64 = 90.0;

/// What a panel shows: its title, the figures of the reference and ours, and how one is written.
pub type Panel = (&'static str, fn(&Growth) -> [f64; 2], fn(f64) -> String);

/// The drawing, of sizes in ascending order.
pub fn plot(growth: &[Growth], panels: [Panel; 3]) -> String {
    let (width, height) = (LEFT + 3.0 * (PANEL.0 + GAP) - GAP + 30.0, TOP + PANEL.1 + 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"Setup time, memory and the cost of a rename by the number of directories\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for ([at, _], (color, name)) in [[LEFT, 0.0], [LEFT + 170.0, 0.0]].into_iter().zip(SIDES) {
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.0}\" y=\"14\" width=\"14\" height=\"4\" fill=\"{color}\"/>\
             <text x=\"{:.0}\" y=\"21\">{name}</text>",
            at + 20.0
        );
    }
    for (number, panel) in (0u8..).zip(panels) {
        draw(&mut svg, LEFT + f64::from(number) * (PANEL.0 + GAP), growth, &panel);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The color of each side, and its name.
const SIDES: [(&str, &str); 2] = [("#b35c00", "inotify-tools 3.22"), ("#1f5fa8", "this program")];

fn draw(svg: &mut String, left: f64, growth: &[Growth], (title, figures, show): &Panel) {
    let all: Vec<f64> = growth.iter().flat_map(figures).filter(|figure| *figure > 0.0).collect();
    let sizes: Vec<f64> = growth.iter().map(|growth| growth.directories as f64).collect();
    let (Some(xs), Some(ys)) = (decades(&sizes), decades(&all)) else { return };
    let x = |size: f64| left + PANEL.0 * (size.log10() - xs.0) / (xs.1 - xs.0);
    let y = |figure: f64| TOP + PANEL.1 * (1.0 - (figure.log10() - ys.0) / (ys.1 - ys.0));
    let _ =
        writeln!(svg, "<text x=\"{left:.0}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>", TOP - 12.0);
    for exponent in xs.0 as i32..=xs.1 as i32 {
        let at = x(10f64.powi(exponent));
        let label = crate::report::grouped(10u64.pow(exponent as u32));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP:.1}v{:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            PANEL.1,
            TOP + PANEL.1 + 18.0
        );
    }
    for exponent in ys.0 as i32..=ys.1 as i32 {
        let at = y(10f64.powi(exponent));
        let label = show(10f64.powi(exponent)).replace(".00", "");
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.1} {at:.1}h{:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            PANEL.0,
            left - 6.0,
            at + 4.0
        );
    }
    let middle = left + PANEL.0 / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">directories</text>",
        TOP + PANEL.1 + 38.0
    );
    for (side, (color, _)) in SIDES.into_iter().enumerate() {
        let mut line = String::new();
        for (growth, size) in growth.iter().zip(&sizes) {
            let figure = figures(growth)[side];
            if figure > 0.0 {
                let (x, y) = (x(*size), y(figure));
                let _ = write!(line, "{}{x:.1} {y:.1}", if line.is_empty() { "M" } else { "L" });
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
            }
        }
        let _ = writeln!(svg, "<path d=\"{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
    }
}

/// The exponents of the powers of ten around some numbers.
fn decades(numbers: &[f64]) -> Option<(f64, f64)> {
    let least = numbers.iter().copied().reduce(f64::min)?.log10().floor();
    let most = numbers.iter().copied().reduce(f64::max)?.log10().ceil();
    Some((least, if most > least { most } else { least + 1.0 }))
}
