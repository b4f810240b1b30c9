//! The seeds that are kept beside the fuzz targets, played on stable Rust.

use std::fs;
use std::path::{Path, PathBuf};

use sim::fuzzing::TARGETS;

fn list(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_kept_seeds_hold() {
    for (target, property) in TARGETS {
        // What a campaign left there has other names; there may be very much of it.
        let mut seeds = list(&format!("corpus/{target}"));
        seeds.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")));
        assert!(!seeds.is_empty(), "{target} has seeds to play");
        for seed in seeds {
            let verdict = property(&fs::read(&seed).unwrap());
            assert_eq!(verdict, Ok(()), "{}", seed.display());
        }
    }
}

#[test]
fn every_target_has_a_property_and_every_property_a_target() {
    let sources = list("fuzz_targets");
    let targets: Vec<_> = sources.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(targets, TARGETS.map(|(name, _)| name));
}
