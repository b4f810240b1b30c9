//! The gauges over time, drawn: one SVG file that needs nothing else.

use plot::svg::{Point, Svg};

use super::report::{GAUGES, SoakReport};
use super::trend::Trend;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 130.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 84.0;
/// From one panel to the next.
const PITCH: f64 = HEIGHT + 52.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.name{font-weight:600}.small{font-size:11px;\
fill:#666}.end{text-anchor:end}.page{fill:#fff}.frame{fill:#fafafa;stroke:#ddd}.warm{fill:#f0ece0}.line{fill:none;\
stroke:#1f5fa8;stroke-width:1.2}.slope{stroke:#d2691e;stroke-width:1.6;stroke-dasharray:6 4}.bad{fill:#b00020}\
.good{fill:#1a7f37}";

/// The picture of a report.
pub(super) fn draw(report: &SoakReport) -> String {
    let (width, height) = (WIDTH + 2.0 * LEFT, TOP + PITCH * GAUGES.len() as f64);
    let (verdict, class) = if report.pass { ("pass", "name end good") } else { ("fail", "name end bad") };
    let SoakReport { connections, operations, seed, .. } = report;
    let minutes = report.seconds / 60.0;
    let title = format!(
        "Soak: {connections} connections, {minutes:.1} minutes, {operations} operations, seed {seed}"
    );
    let mut svg = Svg::new(width, height);
    svg.style(STYLE);
    svg.title("Soak");
    svg.rect("page", (0.0, 0.0), (width, height));
    svg.text("name", (LEFT, 28.0), &title);
    svg.text(class, (LEFT + WIDTH, 28.0), verdict);
    svg.text(
        "small",
        (LEFT, 48.0),
        "Shaded: warm-up. Dashed: the robust slope (Theil and Sen) of the rest. The last sample was taken when all \
         connections had ended.",
    );
    for (index, ((_, gauge, _), trend)) in GAUGES.iter().zip(&report.trends).enumerate() {
        let points: Vec<_> = report.samples.iter().map(|sample| (sample.seconds, gauge(sample))).collect();
        svg.group("panel", |svg| panel(svg, TOP + PITCH * index as f64, report, &points, trend));
    }
    svg.finish()
}

/// One gauge.
fn panel(svg: &mut Svg, top: f64, report: &SoakReport, points: &[Point], trend: &Trend) {
    let span = points.last().map_or(1.0, |last| last.0).max(report.seconds);
    let high = points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.05;
    let at = |(seconds, value): Point| {
        (LEFT + seconds / span * WIDTH, top + HEIGHT - value.clamp(0.0, high) / high * HEIGHT)
    };
    let middle = f64::midpoint(report.warm_up, report.seconds);
    let value = |seconds: f64| trend.median + trend.robust_slope_per_hour / 3600.0 * (seconds - middle);
    let [from, to] = [report.warm_up, report.seconds].map(|seconds| at((seconds, value(seconds))));
    let Trend { gauge, median, max, slope_per_hour, robust_slope_per_hour, .. } = trend;
    let figures = format!(
        "median {median:.1}, max {max:.1}; per hour {slope_per_hour:+.1} (least squares), \
         {robust_slope_per_hour:+.1} (robust)"
    );
    svg.text("name", (LEFT, top - 8.0), gauge);
    svg.text(if trend.holds() { "small end" } else { "small end bad" }, (LEFT + WIDTH, top - 8.0), &figures);
    svg.rect("frame", (LEFT, top), (WIDTH, HEIGHT));
    svg.rect("warm", (LEFT, top), (from.0 - LEFT, HEIGHT));
    svg.polyline("line", points.iter().map(|point| at(*point)));
    svg.line("slope", from, to);
    svg.text("small", (LEFT + 4.0, top + 12.0), &format!("{high:.0}"));
    svg.text("small", (LEFT, top + HEIGHT + 14.0), "0 s");
    svg.text("small end", (LEFT + WIDTH, top + HEIGHT + 14.0), &format!("{span:.0} s"));
}
