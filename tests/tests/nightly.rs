//! `.ci/nightly` fails when one of its parts fails, and when one has executed nothing.

use std::path::Path;
use std::process::Command;

/// Runs parts of it: whether it succeeded, and what it printed on both streams.
fn nightly(parts: &[&str]) -> (bool, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join(".ci/nightly"))
        .args(parts)
        .env("RESULTS", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("bash is installed");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn it_fails_with_its_parts_and_goes_on_after_one() {
    for (parts, succeeds, expected) in [
        (
            &["canary-passes"][..],
            true,
            vec!["canary-passes     passed", "1 runs, 0 of them broken", "0 failed"],
        ),
        (
            &["canary-fails", "canary-empty", "canary-passes", "canary-absent"],
            false,
            vec![
                "canary-fails      FAILED",
                "1 runs, 1 of them broken",
                "canary-empty      FAILED",
                "canary-passes     passed",
                "canary-absent     left out",
                "4 parts, 2 failed",
            ],
        ),
        (&["no-such-part"], false, vec!["there is no part no-such-part"]),
    ] {
        let (succeeded, printed) = nightly(parts);
        assert_eq!(succeeded, succeeds, "{parts:?}:\n{printed}");
        for part in expected {
            assert!(printed.contains(part), "{part:?} is not in what {parts:?} printed:\n{printed}");
        }
    }
}

#[test]
fn the_list_names_every_long_part() {
    let (_, list) = nightly(&["--list"]);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() >= 15 && names.contains(&"soak"), "{names:?}");
    assert!(!list.contains("canary"), "the canaries are run when they are named, not otherwise: {list}");
}
