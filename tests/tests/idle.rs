//! An idle connection holds no buffer, and little memory.

use std::process::Command;

fn figure(report: &str, name: &str) -> u64 {
    let line = report.lines().find_map(|line| line.strip_prefix(name)).expect("the report has the figure");
    line.trim().parse().expect("a number")
}

#[test]
fn idle_connections_hold_no_buffer() {
    let idle =
        Command::new(env!("CARGO_BIN_EXE_idle")).args(["--connections", "2000", "--deadline"]).output();
    let idle = idle.unwrap();
    let report = String::from_utf8(idle.stdout).unwrap();
    assert!(idle.status.success(), "{report}{}", String::from_utf8_lossy(&idle.stderr));
    assert_eq!(figure(&report, "idle connections"), 2000);
    assert_eq!(figure(&report, "pool buffers lent"), 0);
    // A receive buffer of its own would be 16 KiB.
    assert!(figure(&report, "bytes per connection") < 1024, "{report}");
}
