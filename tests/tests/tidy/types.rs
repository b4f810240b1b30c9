//! One meaning for each name of a public type, in all crates.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{files, read, root};

/// Names that have several meanings today. None may be added; remove a name that has one meaning left.
const TO_MEND: &[&str] = &[
    "Buffer",
    "Call",
    "Completion",
    "Direction",
    "Done",
    "Family",
    "Manner",
    "Op",
    "Plan",
    "Refused",
    "Request",
    "Socket",
];

/// The crates; what they define outside of these folders is nobody else's concern.
const SOURCES: &[&str] =
    &["aio-model/src", "aio-sys/src", "aio/src", "bench/src", "sim/src", "tests/plot/src", "tests/src"];

/// Files that stand in for another one, and define the same, where a feature is off.
const STAND_INS: &[&str] = &["aio/src/untraced.rs"];

/// The public types that a text defines, also those that are public within their crate only.
fn types(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [visibility, kind, name, ..] = words[..] else { return None };
        let is_type =
            visibility.starts_with("pub") && ["struct", "enum", "trait", "type", "union"].contains(&kind);
        let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
        is_type.then(|| name[..end].to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Names with more than one definition, and where those are.
fn ambiguous(files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut places = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, text) in files {
        for name in types(text) {
            places.entry(name).or_default().insert(path.clone());
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[test]
fn each_name_has_one_meaning() {
    let root = root();
    let files = SOURCES.iter().flat_map(|folder| files(&root.join(folder), "rs"));
    let name = |path: &std::path::Path| {
        path.strip_prefix(&root).expect("it is there").to_string_lossy().into_owned()
    };
    let files = files.map(|path| (name(&path), path)).filter(|(name, _)| !STAND_INS.contains(&name.as_str()));
    let files: Vec<(String, String)> = files.map(|(name, path)| (name, read(&path))).collect();
    let count: usize = files.iter().map(|(_, text)| types(text).len()).sum();
    assert!(count > 300, "the types are found: {count}");
    let mut ambiguous = ambiguous(&files);
    ambiguous.retain(|name, _| !TO_MEND.contains(&name.as_str()));
    assert!(ambiguous.is_empty(), "one name, several types: {ambiguous:#?}");
}

#[test]
fn a_second_meaning_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let found = ambiguous(&[
        file("a", "pub struct Step<T> {\npub enum Kind {}\nstruct Own;"),
        file("b", "    pub(crate) type Step = u8;\nstruct Kind;\nstruct Own;"),
    ]);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["Step"]);
}
