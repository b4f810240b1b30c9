//! What a comparison has found, as one page for any browser: medians as dots, the middle half as bars.

use std::fmt::Write;

use plot::svg::{Svg, escaped};

use super::report::{Comparison, Found, ServerRow, Speed};
use super::stats::Spread;
use super::{scenario, table};

/// Where names end, how wide a chart is, where the number beside it ends, and where the next one begins.
const NAMES: f64 = 115.0;
const CHART: f64 = 235.0;
const NUMBER: f64 = 58.0;
const NEXT: f64 = CHART + NUMBER + 32.0;
const WIDTH: f64 = NAMES + 2.0 * NEXT + CHART + NUMBER + 2.0;
const LINE: f64 = 22.0;
const HEAD: f64 = 44.0;

/// A chart: its title, and what it shows of a row.
type Chart = (&'static str, fn(&Speed) -> Spread);

const CHARTS: [Chart; 3] = [
    ("requests per second: right is better", |speed| speed.requests_ratio),
    ("server CPU per request: left is better", |speed| speed.cpu_ratio),
    ("latency, 99th percentile: left is better", |speed| speed.p99_ratio),
];

/// The page.
pub fn of(report: &Comparison) -> String {
    let Comparison { baseline, rounds, slice_ms, scenarios } = report;
    let baseline = escaped(baseline);
    let mut page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Servers compared</title>\n<style>{STYLE}</style>\n\
         <h1>Servers compared</h1>\n<p>Ratios to <b>{baseline}</b>, which is 1, taken within a round of slices of {slice_ms} ms; \
         {rounds} rounds. A dot is the median, and the number beside the chart; a bar holds the middle half of the rounds. \
         Rows are sorted by CPU per request. <span class=\"key ours\">aio</span> is this library, \
         <span class=\"key base\">{baseline}</span> the loop by hand.</p>\n"
    );
    for found in scenarios {
        let about = scenario::find(&found.scenario).map(scenario::LoadScenario::about).unwrap_or_default();
        let _ = writeln!(page, "<h2>{} <small>{}</small></h2>", escaped(&found.scenario), escaped(&about));
        page.push_str(&chart_of(found, &report.baseline));
    }
    let _ = writeln!(page, "<h2>As text</h2>\n<pre>{}</pre>", escaped(&table::of(report)));
    page
}

const STYLE: &str = "body{font:15px system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}\
    h2{margin:1.6em 0 .4em}small{font-weight:normal;font-size:14px;color:#666}svg{width:100%}\
    text{font:12px system-ui,sans-serif;fill:#222}.title{fill:#666}.number{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:#ddd}.one{stroke:#777}\
    .spread{stroke:#9bbbd9;stroke-width:6}.median{fill:#1f4e79}.ours .spread{stroke:#f2b98a}.ours .median{fill:#c2500a}\
    .ours text{fill:#a33f00;font-weight:600}.base .spread{stroke:#bbb}.base .median{fill:#555}.key{font-weight:600}\
    .key.ours{color:#a33f00}.key.base{color:#555}pre{overflow:auto;font-size:12px}";

fn chart_of(found: &Found, baseline: &str) -> String {
    let mut svg = Svg::new(WIDTH, HEAD + rows(found.rows.len()) * LINE + 6.0);
    if found.rows.iter().any(|row| row.speed.is_some()) {
        for (nth, (title, value)) in CHARTS.into_iter().enumerate() {
            let list: Vec<_> = found.rows.iter().map(|row| (row, row.speed.as_ref().map(value))).collect();
            let left = NAMES + rows(nth) * NEXT;
            heading(&mut svg, left, title);
            let shown = list.iter().filter_map(|(_, spread)| *spread);
            let axis = Axis::ratios(left, shown);
            axis.draw(&mut svg, list.len());
            for (nth, (row, spread)) in list.into_iter().enumerate() {
                if let Some(spread) = spread {
                    svg.group(class(row, baseline), |svg| dot(svg, nth, row, spread, &axis));
                }
            }
        }
    } else {
        bytes(&mut svg, &found.rows, baseline);
    }
    for (nth, row) in found.rows.iter().enumerate() {
        svg.group(class(row, baseline), |svg| svg.text("name", (0.0, middle(nth) + 4.0), &row.peer));
    }
    svg.finish()
}

/// Whose row it is.
fn class(row: &ServerRow, baseline: &str) -> &'static str {
    match row.peer.as_str() {
        peer if peer == baseline => "base",
        "aio" => "ours",
        peer if peer.starts_with("aio_") => "ours",
        _ => "other",
    }
}

fn heading(svg: &mut Svg, left: f64, title: &str) {
    svg.text("title", (left, 12.0), title);
}

/// Where values are in a chart.
struct Axis {
    left: f64,
    width: f64,
    from: f64,
    to: f64,
    /// Where its lines are, and what they are called.
    marks: Vec<(f64, String)>,
    /// The line that all is compared with.
    one: f64,
}

impl Axis {
    /// With a line at 1, and everything that is shown.
    fn ratios(left: f64, shown: impl Iterator<Item = Spread> + Clone) -> Axis {
        let least = shown.clone().map(|spread| spread.low).fold(0.95, f64::min);
        let most = shown.map(|spread| spread.high).fold(1.05, f64::max);
        let step = step(most - least);
        let (from, to) = ((least / step).floor() * step, (most / step).ceil() * step);
        let digits = if step < 0.1 { 2 } else { 1 };
        let marks = (0..=20_u8)
            .map(|nth| from + f64::from(nth) * step)
            .take_while(|mark| *mark < to + step / 2.0)
            .map(|mark| (mark, format!("{mark:.digits$}")));
        Axis { left, width: CHART, from, to, marks: marks.collect(), one: 1.0 }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (value - self.from) / (self.to - self.from) * self.width
    }

    fn draw(&self, svg: &mut Svg, count: usize) {
        let bottom = HEAD + rows(count) * LINE;
        for (mark, name) in &self.marks {
            let (at, class) = (self.x(*mark), if (mark - self.one).abs() < 1e-6 { "one" } else { "grid" });
            svg.line(class, (at, HEAD), (at, bottom));
            svg.text("title middle", (at, 34.0), name);
        }
    }
}

/// A ratio with its spread, and in numbers.
fn dot(svg: &mut Svg, nth: usize, row: &ServerRow, spread: Spread, axis: &Axis) {
    let (Spread { low, median, high }, y) = (spread, middle(nth));
    svg.title(&format!("{}: {median:.3} ({low:.3}–{high:.3})", row.peer));
    svg.line("spread", (axis.x(low), y), (axis.x(high), y));
    svg.circle("median", (axis.x(median), y), 4.0);
    svg.text("number", (axis.left + CHART + NUMBER, y + 4.0), &format!("{median:.3}"));
}

/// Bytes per connection, as dots on a scale of powers of ten: they differ by as much.
fn bytes(svg: &mut Svg, list: &[ServerRow], baseline: &str) {
    heading(svg, NAMES, "resident bytes per idle connection, logarithmic: left is better");
    let of = |row: &ServerRow| row.bytes_per_connection.unwrap_or(0.0).max(1.0);
    let most = list.iter().map(of).fold(10.0, f64::max).log10().ceil();
    let marks = (0..=12_u8).map(|power| (f64::from(power), 10_u64.pow(power.into()).to_string()));
    let marks = marks.take_while(|(mark, _)| *mark <= most).collect();
    let axis =
        Axis { left: NAMES, width: WIDTH - NAMES - NUMBER - 30.0, from: 0.0, to: most, marks, one: -1.0 };
    axis.draw(svg, list.len());
    for (nth, row) in list.iter().enumerate() {
        svg.group(class(row, baseline), |svg| {
            let bytes = row.bytes_per_connection.unwrap_or(0.0);
            svg.circle("median", (axis.x(of(row).log10()), middle(nth)), 5.0);
            svg.text("number", (WIDTH - 2.0, middle(nth) + 4.0), &format!("{bytes:.0}"));
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: &str, ratio: f64) -> ServerRow {
        let spread = |median| Spread { low: median - 0.02, median, high: median + 0.02 };
        let speed = Speed {
            requests_ratio: spread(1.0 / ratio),
            cpu_ratio: spread(ratio),
            p99_ratio: spread(ratio * 1.5),
            requests: spread(1e5),
            cpu_us: spread(5.0 * ratio),
            p50_us: 80.0,
            p99_us: 90.0,
            p999_us: 99.0,
        };
        ServerRow { peer: peer.to_owned(), speed: Some(speed), bytes_per_connection: None }
    }

    fn page(rows: Vec<ServerRow>) -> String {
        let scenarios = vec![Found { scenario: "50x128".to_owned(), rows }];
        of(&Comparison { baseline: "loop".to_owned(), rounds: 3, slice_ms: 9, scenarios })
    }

    #[test]
    fn a_page_has_a_dot_with_a_spread_for_each_ratio_and_needs_nothing_else() {
        let page = page(vec![row("loop", 1.0), row("a<b", 1.31)]);
        assert_eq!(page.matches("<circle").count(), 6);
        assert_eq!(page.matches("class=\"spread\"").count(), 6);
        assert!(page.contains("a&lt;b: 1.310 (1.290–1.330)"), "{page}");
        assert_eq!(page.matches("class=\"one\"").count(), 3, "a line at 1 in each chart");
        let namespace = "http://www.w3.org/2000/svg";
        assert!(!page.replace(namespace, "").contains("http") && !page.contains("a<b"), "{page}");
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

    /// From where to where each line of text at one height reaches, if a letter of 12 px is 7 wide, which
    /// most are not.
    fn extents(page: &str, y: &str) -> Vec<(f64, f64)> {
        let svg = page.split("</svg>").next().unwrap();
        let texts = svg.split("<text ").skip(1).filter(|text| text.contains(&format!("y=\"{y}\"")));
        let extent = |text: &str| {
            let x: f64 = text.split("x=\"").nth(1)?.split('"').next()?.parse().ok()?;
            let letters = text.split('>').nth(1)?.split('<').next()?.chars().count();
            let width = rows(letters) * 7.0;
            let left = if text.contains("\"number\"") {
                x - width
            } else if text.contains("title middle") {
                x - width / 2.0
            } else {
                x
            };
            Some((left, left + width))
        };
        texts.map(|text| extent(text).unwrap()).collect()
    }

    fn overlap_or_are_cut(extents: &mut [(f64, f64)]) -> bool {
        extents.sort_by(|a, b| a.0.total_cmp(&b.0));
        let apart = extents.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        !apart || extents.iter().any(|&(left, right)| left < 0.0 || right > WIDTH)
    }

    #[test]
    fn labels_neither_overlap_nor_are_cut() {
        for ratio in [0.97, 1.04, 1.31, 3.2, 12.0] {
            let page = page(vec![row("loop", 1.0), row("name_of_15_sign", ratio)]);
            for (y, count) in [("12.0", 3), ("34.0", 9), (&format!("{:.1}", middle(1) + 4.0), 4)] {
                let mut extents = extents(&page, y);
                assert!(extents.len() >= count, "{y}: {extents:?}");
                assert!(!overlap_or_are_cut(&mut extents), "{ratio} at {y}: {extents:?}");
            }
        }
        assert!(overlap_or_are_cut(&mut [(0.0, 20.0), (19.0, 30.0)]));
        assert!(overlap_or_are_cut(&mut [(0.0, 20.0), (WIDTH - 10.0, WIDTH + 1.0)]));
    }

    #[test]
    fn grid_lines_are_few_and_round() {
        for (range, expected) in [(0.1, 0.02), (0.3, 0.05), (1.1, 0.2), (7.0, 2.0)] {
            assert!((step(range) - expected).abs() < 1e-9, "{range}");
        }
    }
}
