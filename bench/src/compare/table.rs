//! What a comparison has found, for a terminal.

use std::fmt::Write;

use super::report::{Comparison, Found, ServerRow, Speed};
use super::stats::Spread;

/// All scenarios, a table each.
pub fn of(report: &Comparison) -> String {
    let mut out = String::new();
    for found in &report.scenarios {
        let _ = write!(out, "\n{}\n{}", found.scenario, one(found, &report.baseline));
    }
    out
}

fn one(found: &Found, baseline: &str) -> String {
    let is_speed = found.rows.iter().any(|row| row.speed.is_some());
    let head: &[&str] = if is_speed {
        &[
            "",
            "requests/s ratio",
            "CPU/request ratio",
            "p99 ratio",
            "requests/s",
            "CPU µs",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
        ]
    } else {
        &["", "bytes per connection"]
    };
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
    lines.extend(found.rows.iter().map(|row| cells(row, baseline)));
    aligned(&lines)
}

fn cells(row: &ServerRow, baseline: &str) -> Vec<String> {
    let mut cells = vec![if row.peer == baseline { format!("{} (=1)", row.peer) } else { row.peer.clone() }];
    if let Some(speed) = &row.speed {
        let Speed { requests_ratio, cpu_ratio, p99_ratio, requests, cpu_us, p50_us, p99_us, p999_us } = speed;
        cells.extend([requests_ratio, cpu_ratio, p99_ratio].map(ratio));
        cells.push(format!("{:.0}", requests.median));
        cells.push(format!("{:.2}", cpu_us.median));
        cells.extend([p50_us, p99_us, p999_us].map(|micros| format!("{micros:.0}")));
    }
    cells.extend(row.bytes_per_connection.map(|bytes| format!("{bytes:.0}")));
    cells
}

/// A median, with the quartiles beside it.
pub fn ratio(spread: &Spread) -> String {
    format!("{:.3} ({:.3}–{:.3})", spread.median, spread.low, spread.high)
}

/// Cells one below the other: names to the left, numbers to the right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ =
                if column == 0 { write!(out, "  {cell:<width$}") } else { write!(out, "  {cell:>width$}") };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_was_found() {
        let spread = |median| Spread { low: median - 0.01, median, high: median + 0.02 };
        let speed = Speed {
            requests_ratio: spread(0.98),
            cpu_ratio: spread(1.04),
            p99_ratio: spread(1.2),
            requests: spread(81_234.0),
            cpu_us: spread(5.5),
            p50_us: 120.0,
            p99_us: 250.0,
            p999_us: 900.0,
        };
        let row = |peer: &str, speed, bytes_per_connection| ServerRow {
            peer: peer.to_owned(),
            speed,
            bytes_per_connection,
        };
        let report = Comparison {
            baseline: "loop".to_owned(),
            rounds: 15,
            slice_ms: 150,
            scenarios: vec![
                Found {
                    scenario: "50x128".to_owned(),
                    rows: vec![row("loop", Some(speed.clone()), None), row("other", Some(speed), None)],
                },
                Found { scenario: "idle".to_owned(), rows: vec![row("other", None, Some(248.4))] },
            ],
        };
        let expected = "
50x128
                requests/s ratio    CPU/request ratio            p99 ratio  requests/s  CPU µs  p50 µs  p99 µs  p99.9 µs
  loop (=1)  0.980 (0.970–1.000)  1.040 (1.030–1.060)  1.200 (1.190–1.220)       81234    5.50     120     250       900
  other      0.980 (0.970–1.000)  1.040 (1.030–1.060)  1.200 (1.190–1.220)       81234    5.50     120     250       900

idle
         bytes per connection
  other                   248
";
        assert_eq!(of(&report), expected);
    }
}
