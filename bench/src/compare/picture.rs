//! What a comparison has found, as one page for any browser: medians as dots, the middle half as bars.

use std::fmt::Write;

use super::report::{Found, Report, Row, Speed};
use super::stats::Spread;
use super::table;

/// Where names end, and how wide a chart is.
const NAMES: f64 = 130.0;
const CHART: f64 = 330.0;
const GAP: f64 = 30.0;
const LINE: f64 = 22.0;
const HEAD: f64 = 44.0;

/// A chart: its title, and what it shows of a row.
type Chart = (&'static str, fn(&Speed) -> Spread);

const CHARTS: [Chart; 2] = [
    ("requests per second / baseline's: right is better", |speed| speed.requests_ratio),
    ("server CPU per request / baseline's: left is better", |speed| speed.cpu_ratio),
];

/// The page.
pub fn of(report: &Report) -> String {
    let Report { baseline, rounds, slice_ms, scenarios } = report;
    let mut page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Servers compared</title>\n<style>{STYLE}</style>\n\
         <h1>Servers compared</h1>\n<p>Ratios to <b>{}</b>, taken within a round; {rounds} rounds of slices of {slice_ms} ms. \
         A dot is the median, a bar holds the middle half of the rounds.</p>\n",
        escaped(baseline)
    );
    for found in scenarios {
        let _ = writeln!(page, "<h2>{}</h2>", escaped(&found.scenario));
        page.push_str(&chart_of(found));
    }
    let _ = writeln!(page, "<h2>As text</h2>\n<pre>{}</pre>", escaped(&table::of(report)));
    page
}

const STYLE: &str = "body{font:15px system-ui,sans-serif;max-width:880px;margin:2em auto;color:#222}\
    svg{max-width:100%}text{font:12px system-ui,sans-serif;fill:#222}.title{fill:#666}.grid{stroke:#ddd}\
    .one{stroke:#888}.spread{stroke:#69c;stroke-width:6}.median{fill:#036}.bytes{fill:#69c}pre{overflow:auto;font-size:12px}";

fn chart_of(found: &Found) -> String {
    let height = HEAD + rows(found.rows.len()) * LINE + 6.0;
    let width = NAMES + 2.0 * CHART + GAP;
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">\n");
    for (nth, row) in found.rows.iter().enumerate() {
        let _ = writeln!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", middle(nth) + 4.0, escaped(&row.peer));
    }
    if found.rows.iter().any(|row| row.speed.is_some()) {
        for (nth, (title, value)) in CHARTS.into_iter().enumerate() {
            ratios(&mut svg, &found.rows, NAMES + rows(nth) * (CHART + GAP), title, value);
        }
    } else {
        bytes(&mut svg, &found.rows);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart of ratios, from `left` on, with a line at 1.
fn ratios(svg: &mut String, list: &[Row], left: f64, title: &str, value: fn(&Speed) -> Spread) {
    let spread = |row: &Row| row.speed.as_ref().map(value);
    let shown = || list.iter().filter_map(spread);
    let least = shown().map(|spread| spread.low).fold(0.95, f64::min);
    let most = shown().map(|spread| spread.high).fold(1.05, f64::max);
    let step = step(most - least);
    let (from, to) = ((least / step).floor() * step, (most / step).ceil() * step);
    let x = |ratio: f64| left + (ratio - from) / (to - from) * CHART;
    let bottom = HEAD + rows(list.len()) * LINE;
    let _ = writeln!(svg, "<text class=\"title\" x=\"{left:.1}\" y=\"12\">{title}</text>");
    let mut mark = from;
    while mark < to + step / 2.0 {
        let (at, class) = (x(mark), if (mark - 1.0).abs() < step / 100.0 { "one" } else { "grid" });
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{at:.1}\" y1=\"{HEAD}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\"/>"
        );
        let _ = writeln!(
            svg,
            "<text class=\"title\" x=\"{at:.1}\" y=\"34\" text-anchor=\"middle\">{mark:.2}</text>"
        );
        mark += step;
    }
    for (nth, row) in list.iter().enumerate() {
        let Some(Spread { low, median, high }) = spread(row) else { continue };
        let (y, peer) = (middle(nth), escaped(&row.peer));
        let _ = writeln!(
            svg,
            "<g><title>{peer}: {median:.3} ({low:.3}–{high:.3})</title>\
             <line class=\"spread\" x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\"/>\
             <circle class=\"median\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/></g>",
            x(low),
            x(high),
            x(median)
        );
    }
}

/// Bytes per connection, as bars on a scale of powers of ten: they differ by as much.
fn bytes(svg: &mut String, list: &[Row]) {
    let of = |row: &Row| row.bytes_per_connection.unwrap_or(0.0).max(1.0);
    let most = list.iter().map(of).fold(10.0, f64::max).log10();
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{NAMES}\" y=\"12\">resident bytes per idle connection, on a logarithmic scale: less is better</text>"
    );
    for (nth, row) in list.iter().enumerate() {
        let width = of(row).log10() / most * (2.0 * CHART - 60.0);
        let y = middle(nth);
        let _ = writeln!(
            svg,
            "<rect class=\"bytes\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.0}</text>",
            y - 6.0,
            NAMES + width + 6.0,
            y + 4.0,
            row.bytes_per_connection.unwrap_or(0.0)
        );
    }
}

/// The distance of grid lines: about six of them, at round numbers.
fn step(range: f64) -> f64 {
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        .into_iter()
        .find(|step| range / step <= 6.0)
        .unwrap_or(100.0)
}

fn middle(nth: usize) -> f64 {
    HEAD + (rows(nth) + 0.5) * LINE
}

fn rows(count: usize) -> f64 {
    super::stats::number(count as u64)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: &str, ratio: f64) -> Row {
        let spread = |median| Spread { low: median - 0.02, median, high: median + 0.02 };
        let speed = Speed {
            requests_ratio: spread(1.0 / ratio),
            cpu_ratio: spread(ratio),
            requests: spread(1e5),
            cpu_us: spread(5.0 * ratio),
            p50_us: 80.0,
            p99_us: 90.0,
            p999_us: 99.0,
        };
        Row { peer: peer.to_owned(), speed: Some(speed), bytes_per_connection: None }
    }

    fn page(rows: Vec<Row>) -> String {
        let scenarios = vec![Found { scenario: "50x128".to_owned(), rows }];
        of(&Report { baseline: "loop".to_owned(), rounds: 3, slice_ms: 9, scenarios })
    }

    #[test]
    fn a_page_has_a_dot_with_a_spread_for_each_ratio_and_needs_nothing_else() {
        let page = page(vec![row("loop", 1.0), row("a<b", 1.31)]);
        assert_eq!(page.matches("<circle").count(), 4);
        assert_eq!(page.matches("class=\"spread\"").count(), 4);
        assert!(page.contains("a&lt;b: 1.310 (1.290–1.330)"), "{page}");
        assert_eq!(page.matches("class=\"one\"").count(), 2, "a line at 1 in each chart");
        assert!(!page.contains("http") && !page.contains("a<b"), "{page}");
    }

    #[test]
    fn what_is_dearer_stands_further_to_the_right() {
        let dots = |ratio| {
            let page = page(vec![row("loop", 1.0), row("peer", ratio), row("far", 2.0)]);
            let places = page.split("cx=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok());
            places.collect::<Vec<f64>>()
        };
        let (near, far) = (dots(1.1), dots(1.5));
        // The charts follow each other; of each, the second dot is the peer's.
        assert!(far[1] < near[1] && far[4] > near[4], "{near:?} {far:?}");
    }

    #[test]
    fn grid_lines_are_few_and_round() {
        for (range, expected) in [(0.1, 0.02), (0.3, 0.05), (1.1, 0.2), (7.0, 2.0)] {
            assert!((step(range) - expected).abs() < 1e-9, "{range}");
        }
    }
}
