//! The files of the workspace, and the words in them.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists")
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder, in order. Build output and what git keeps for itself are not among them.
pub(crate) fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.map(|entry| entry.expect("a folder can be listed").path()) {
        let name = path.file_name().unwrap_or_default();
        if !path.is_dir() {
            found.push(path);
        } else if name != "target" && name != ".git" {
            found.extend(all_files(&path));
        }
    }
    found.sort();
    found
}

/// Those whose names end so.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = all_files(folder);
    files.retain(|path| path.extension().is_some_and(|end| end == extension));
    files
}

/// What a line says, if it is a comment.
pub(crate) fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    let text = text.strip_prefix(['/', '!']).unwrap_or(text);
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// The text without its lines that are comments.
pub(crate) fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// What follows each occurrence of `word` in a text that is not a part of a longer name.
pub(crate) fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let found = text.match_indices(word).filter(|(at, _)| !text[..*at].ends_with(is_of_a_name));
    found.map(move |(at, _)| &text[at + word.len()..]).filter(|rest| !rest.starts_with(is_of_a_name))
}
