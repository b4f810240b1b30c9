//! What differs from system to system is in files called `platform.rs`, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

/// What only one system has, or what tells them apart. Cut in two, or this file would be full of them.
const SIGNS: [(&str, &str); 5] = [
    ("target_", "os"),
    ("target_", "vendor"),
    ("std::os::", "linux"),
    ("std::os::", "macos"),
    ("os::unix::", "linux"),
];

/// Of the library itself.
const CRATES: [&str; 3] = ["aio-model/src", "aio-sys/src", "aio/src"];

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, into);
        } else if name.ends_with(".rs") && name != "platform.rs" {
            into.push(path);
        }
    }
}

/// The lines that are of one system only.
fn particular(source: &str) -> Vec<usize> {
    let signs = SIGNS.map(|(head, tail)| head.to_owned() + tail);
    let lines = source.lines().enumerate();
    let found = lines.filter(|(_, line)| signs.iter().any(|sign| line.contains(sign.as_str())));
    found.map(|(index, _)| index + 1).collect()
}

#[test]
fn only_platform_rs_tells_systems_apart() {
    let (mut files, mut found) = (Vec::new(), Vec::new());
    sources(&workspace(), &mut files);
    for file in &files {
        let source = fs::read_to_string(file).unwrap();
        found.extend(particular(&source).into_iter().map(|line| format!("{}:{line}", file.display())));
    }
    assert!(files.len() > 100, "there are more sources than that");
    assert!(found.is_empty(), "of one system, and not in a platform.rs: {found:#?}");
}

#[test]
fn a_system_of_its_own_would_be_found() {
    let platform = fs::read_to_string(workspace().join("aio-sys/src/platform.rs")).unwrap();
    assert!(particular(&platform).len() > 10, "there they are");
    for (head, tail) in SIGNS {
        assert_eq!(particular(&format!("fine\n    #[cfg({head}{tail} = \"x\")]\nfine")), [2]);
    }
    assert!(particular("/// what the target has; std::os::unix::net").is_empty());
}

#[test]
fn the_library_asks_no_files_of_the_system() {
    for folder in CRATES {
        let mut files = Vec::new();
        sources(&workspace().join(folder), &mut files);
        assert!(files.len() > 3, "{folder}");
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            assert!(!["/proc/", "/sys/", "/dev/"].iter().any(|path| source.contains(path)), "{file:?}");
        }
    }
}
