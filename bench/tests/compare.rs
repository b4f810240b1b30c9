//! The command, from the shell's side.

use std::process::{Command, Output};

use aio_bench::compare::report::Comparison;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aio-bench")).args(arguments).output().unwrap()
}

#[test]
fn a_short_comparison_has_a_row_for_each_peer_and_writes_what_it_found() {
    let json = std::env::temp_dir().join(format!("aio-bench-{}.json", std::process::id()));
    let html = json.with_extension("html");
    let run = bench(&[
        "compare",
        "--scenario",
        "1x128,50x128x16,proxy",
        "--peers",
        "aio",
        "--rounds",
        "3",
        "--slice",
        "20",
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{run:?}");
    assert!(text.contains("mio_raw (=1)") && text.contains("CPU/request ratio"), "{text}");
    let report: Comparison = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    std::fs::remove_file(&json).unwrap();
    let page = std::fs::read_to_string(&html).unwrap();
    std::fs::remove_file(&html).unwrap();
    assert_eq!(page.matches("<circle").count(), 3 * 2 * 3, "a dot for each ratio");
    assert_eq!(report.scenarios.len(), 3);
    for found in &report.scenarios {
        let mut names: Vec<_> = found.rows.iter().map(|row| row.peer.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["aio", "mio_raw"]);
        for row in &found.rows {
            let speed = row.speed.as_ref().unwrap();
            assert!(speed.requests.median > 100.0 && speed.cpu_us.median > 0.01, "{row:?}");
            assert!(0.0 < speed.p50_us && speed.p50_us <= speed.p99_us && speed.p99_us <= speed.p999_us);
        }
    }
}

#[test]
fn what_does_not_exist_is_named() {
    for (arguments, named) in
        [(["compare", "--scenario", "2x2"], "2x2"), (["compare", "--peers", "nobody"], "nobody")]
    {
        let run = bench(&arguments);
        let text = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && text.contains(named), "{run:?}");
    }
}
