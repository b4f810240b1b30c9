//! The gauges over time, drawn: one SVG file that needs nothing else.

use std::fmt::Write;

use super::report::{GAUGES, SoakReport};
use super::trend::Trend;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 130.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 84.0;
/// From one panel to the next.
const PITCH: f64 = HEIGHT + 52.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.name{font-weight:600}.small{font-size:11px;\
fill:#666}.frame{fill:#fafafa;stroke:#ddd}.warm{fill:#f0ece0}.line{fill:none;stroke:#1f5fa8;stroke-width:1.2}\
.slope{stroke:#d2691e;stroke-width:1.6;stroke-dasharray:6 4}.bad{fill:#b00020}.good{fill:#1a7f37}";

/// The picture of a report.
pub(super) fn draw(report: &SoakReport) -> String {
    let height = TOP + PITCH * GAUGES.len() as f64;
    let width = WIDTH + 2.0 * LEFT;
    let (verdict, class) = if report.pass { ("pass", "good") } else { ("fail", "bad") };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\">\n<title>Soak</title>\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" class=\"name\">Soak: {} connections, {:.1} minutes, {} operations, seed {}: \
         <tspan class=\"{class}\">{verdict}</tspan></text>\n\
         <text x=\"{LEFT}\" y=\"48\" class=\"small\">Shaded: warm-up. Dashed: the robust slope (Theil and Sen) of \
         the rest. The last sample was taken when all connections had ended.</text>\n",
        report.connections,
        report.seconds / 60.0,
        report.operations,
        report.seed,
    );
    for (index, ((_, gauge, _), trend)) in GAUGES.iter().zip(&report.trends).enumerate() {
        let points: Vec<_> = report.samples.iter().map(|sample| (sample.seconds, gauge(sample))).collect();
        panel(&mut svg, TOP + PITCH * index as f64, report, &points, trend);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One gauge.
fn panel(svg: &mut String, top: f64, report: &SoakReport, points: &[(f64, f64)], trend: &Trend) {
    let span = points.last().map_or(1.0, |last| last.0).max(report.seconds);
    let high = points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.05;
    let at = |(seconds, value): (f64, f64)| {
        (LEFT + seconds / span * WIDTH, top + HEIGHT - value.clamp(0.0, high) / high * HEIGHT)
    };
    let line: Vec<_> = points.iter().map(|point| at(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let middle = f64::midpoint(report.warm_up, report.seconds);
    let value = |seconds: f64| trend.median + trend.robust_slope_per_hour / 3600.0 * (seconds - middle);
    let [(x1, y1), (x2, y2)] = [report.warm_up, report.seconds].map(|seconds| at((seconds, value(seconds))));
    let class = if trend.holds() { "small" } else { "small bad" };
    let written = write!(
        svg,
        "<g>\n<text x=\"{LEFT}\" y=\"{:.1}\" class=\"name\">{}</text>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"{class}\">median {:.1}, max {:.1}; per hour \
         {:+.1} (least squares), {:+.1} (robust)</text>\n\
         <rect class=\"frame\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <rect class=\"warm\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>\n\
         <polyline class=\"line\" points=\"{}\"/>\n\
         <line class=\"slope\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" class=\"small\">{:.0}</text>\n\
         <text x=\"{LEFT}\" y=\"{:.1}\" class=\"small\">0 s</text>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"small\">{span:.0} s</text>\n</g>\n",
        top - 8.0,
        trend.gauge,
        LEFT + WIDTH,
        top - 8.0,
        trend.median,
        trend.max,
        trend.slope_per_hour,
        trend.robust_slope_per_hour,
        x1 - LEFT,
        line.join(" "),
        LEFT + 4.0,
        top + 12.0,
        high,
        top + HEIGHT + 14.0,
        LEFT + WIDTH,
        top + HEIGHT + 14.0,
    );
    written.expect("a string takes everything");
}
