//! The folders of `sim/src` are layers: none imports from one above it, and the lower ones need little else.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders, from the bottom up, and the crates that each may use beside the standard library.
const LAYERS: [(&str, &[&str]); 4] = [
    ("world", &["aio_model"]),
    ("judge", &["aio_model"]),
    ("check", &["aio_model", "serde", "serde_json"]),
    (
        "tools",
        &["aio_model", "arbitrary", "bytes", "clap", "indicatif", "proptest", "serde", "serde_json", "sim"],
    ),
];

/// What a path may begin with in any of them.
const EVERYWHERE: [&str; 4] = ["crate", "self", "std", "super"];

fn level(name: &str) -> Option<usize> {
    LAYERS.iter().position(|(layer, _)| *layer == name)
}

/// The Rust files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("it is there").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    files.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The text without the lines that are comments.
fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

/// What a path goes on with: one name, or one of each branch of a group in braces.
fn heads(path: &str) -> Vec<String> {
    let name = |path: &str| path.trim_start().chars().take_while(|letter| is_of_a_name(*letter)).collect();
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut branch, mut branches) = (1, String::new(), Vec::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && letter == ',') {
            branches.push(std::mem::take(&mut branch));
        } else {
            branch.push(letter);
        }
        if depth == 0 {
            break;
        }
    }
    branches.iter().filter(|branch| !branch.trim().is_empty()).map(|branch| name(branch)).collect()
}

/// The paths in `code` that begin with this word, without it.
fn paths<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let starts = code.match_indices(word).filter(|(at, _)| !code[..*at].ends_with(is_of_a_name));
    starts.filter_map(move |(at, _)| code[at + word.len()..].trim_start().strip_prefix("::"))
}

/// The names of the crate's root that `text` imports.
fn imports(text: &str) -> Vec<String> {
    let code = code(text);
    let from_root = paths(&code, "crate").flat_map(heads);
    // Climbing up to the root gets there as well; what else a `super` names is within the folder.
    let climbing = paths(&code, "super").flat_map(heads).filter(|name| level(name).is_some());
    from_root.chain(climbing).collect()
}

/// What is wrong with the imports of a file of this folder.
fn wrong(layer: &str, text: &str) -> Vec<String> {
    let own = level(layer).expect("it is one of the folders");
    let code = code(text);
    let uses = code.lines().filter_map(|line| {
        let (before, path) = line.split_once("use ")?;
        let before = before.trim();
        (before.is_empty() || before.starts_with("pub")).then_some(path)
    });
    let crates = uses.filter(|path| path.contains("::")).flat_map(heads);
    // A name that is declared or imported here may begin a path, too: those begin with a capital letter.
    let strangers = crates.filter(|name| {
        let is_crate = name.starts_with(|letter: char| letter.is_ascii_lowercase());
        let known = EVERYWHERE.iter().chain(LAYERS[own].1).any(|known| known == name);
        is_crate && !known && !code.contains(&format!("mod {name}"))
    });
    let strangers = strangers.map(|name| format!("{layer} uses the crate {name}"));
    let against = imports(text).into_iter().filter_map(|name| match level(&name) {
        Some(other) if other <= own => None,
        Some(_) => Some(format!("{layer} imports from {name}, which is above it")),
        None => Some(format!("{layer} imports {name:?} of the root: say which folder it is of")),
    });
    strangers.chain(against).collect()
}

#[test]
fn no_folder_imports_from_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut seen) = (Vec::new(), 0);
    for path in files(&source) {
        let inside = path.strip_prefix(&source).expect("it was found there");
        let layer = inside.iter().next().expect("it has a name").to_string_lossy();
        if layer == "lib.rs" {
            continue;
        }
        assert!(level(&layer).is_some(), "{} is in none of the folders", inside.display());
        let text = fs::read_to_string(&path).expect("it can be read");
        seen += imports(&text).len();
        found.extend(wrong(&layer, &text).into_iter().map(|what| format!("{}: {what}", inside.display())));
    }
    assert!(found.is_empty(), "{} imports are wrong:\n{}", found.len(), found.join("\n"));
    assert!(seen > 200, "the imports are found: {seen}");
}

#[test]
fn an_import_against_the_direction_is_found() {
    for (layer, text) in [
        ("world", "use crate::judge::oracle::Oracle;"),
        ("world", "    pub(crate) use crate::tools::summary::Summary;"),
        ("judge", "use crate::world::net::Net;\nuse crate::check::tape::Tape;"),
        ("judge", "fn f() { crate::check::shrink::shrink() }"),
        ("check", "use crate::{judge::plan::Plan, tools::{bugs, campaign}};"),
        ("check", "use super::super::tools::bugs;"),
        ("world", "use super::super::{world::net, judge};"),
        ("judge", "use crate::Net;"),
        ("world", "use crate::*;"),
        ("world", "use clap::Parser;"),
        ("judge", "use serde::Serialize;"),
        ("check", "use {indicatif::ProgressBar, std::fmt};"),
    ] {
        assert_eq!(wrong(layer, text).len(), 1, "{layer}: {text}");
    }
}

#[test]
fn imports_along_the_direction_are_not() {
    for (layer, text) in [
        ("world", "use aio_model::System;\nuse super::link::Side;\npub use page::write;\nmod page;"),
        ("judge", "use crate::{judge::plan::Plan, world::{net::Net, os}};"),
        ("judge", "// crate::check is above\npub(crate) fn judge() {}"),
        ("check", "use crate::judge::oracle::{Oracle, Task};\nuse serde::Serialize;"),
        ("tools", "use clap::Parser;\nuse sim::check;\nuse Side::{Client, Server};"),
    ] {
        assert_eq!(wrong(layer, text), Vec::<String>::new(), "{layer}: {text}");
    }
}
