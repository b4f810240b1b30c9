//! The soak in its short form, and that it notices what it is there to notice.

use std::process::{Command, Output};

fn soak(arguments: &[&str]) -> Output {
    let soak = Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(["--minutes", "0.1", "--connections", "64", "--seed", "1"])
        .args(arguments)
        .output();
    soak.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_short_soak_passes_and_is_drawn() {
    let folder = std::env::temp_dir().join(format!("aio-soak-short-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (svg, json) = (folder.join("soak.svg"), folder.join("soak.json"));
    let output = soak(&["--svg", svg.to_str().unwrap(), "--json", json.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    let (svg, json) = (std::fs::read_to_string(svg).unwrap(), std::fs::read(json).unwrap());
    std::fs::remove_dir_all(folder).unwrap();

    let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(report["pass"], true);
    let gauges = report["trends"].as_array().unwrap();
    assert_eq!(svg.matches("<polyline").count(), gauges.len());
    // What it is about did happen.
    for (what, least) in [("operations", 1000), ("expired", 10), ("cancelled", 10), ("parked", 10)] {
        assert!(report[what].as_u64() >= Some(least), "{what}: {}", report[what]);
    }
    for what in ["whole", "broken_off", "lost", "garbage", "bytes_verified", "resumed"] {
        let count = |side: &str| report[side][what].as_u64().unwrap();
        assert!(count("server") + count("client") > 0, "{what}: {}", report["server"]);
    }
}

/// A check that can not fail is none: each way to go wrong is noticed by the check that is there for it.
#[test]
fn whatever_the_server_does_wrong_is_noticed() {
    let noticed_by = [
        ("leases", "all connections ended, and both sides came to rest"),
        ("descriptors", "descriptors"),
        ("memory", "resident memory"),
        ("operations", "every operation had exactly one completion"),
        ("bytes", "no byte, result or order was wrong"),
    ];
    std::thread::scope(|scope| {
        for (sabotage, check) in noticed_by {
            scope.spawn(move || {
                let output = soak(&["--sabotage", sabotage]);
                let text = text(&output);
                assert_eq!(output.status.code(), Some(1), "{sabotage}: {text}");
                let failed = |line: &str| line.starts_with("FAILS") || line.ends_with("GROWS");
                assert!(text.lines().any(|line| failed(line) && line.contains(check)), "{sabotage}: {text}");
                assert!(text.contains("verdict: fail") && text.contains("--seed 1"), "{sabotage}: {text}");
            });
        }
    });
}
