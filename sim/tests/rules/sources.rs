//! What the sources of the workspace say: the checks, their canaries, the tests named after rules, the seeded
//! bugs.

use std::fs;
use std::path::{Path, PathBuf};

/// A rule of the contract.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// What it promises, as its page has it.
    pub(crate) promise: String,
}

/// A check, as it is named where it is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) rule: String,
    pub(crate) name: String,
    /// Whether it is one of the model's own, or one of those who watch it.
    pub(crate) is_models: bool,
}

/// A bug that is put back on purpose.
#[derive(Debug)]
pub(crate) struct Bug {
    pub(crate) rule: String,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every rule, in the order of the contract: the items `* **C1 Title.** What it promises.` of its pages.
pub(crate) fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for page in ["completions", "time", "buffers", "connections"] {
        let path = root().join(format!("aio-model/docs/{page}.md"));
        let text = fs::read_to_string(path).expect("the page can be read");
        for item in text.split("\n* **").skip(1) {
            let lines = item.lines().enumerate();
            let lines = lines
                .take_while(|(at, line)| *at == 0 || line.starts_with("  "))
                .map(|(_, line)| line.trim());
            let item = lines.collect::<Vec<_>>().join(" ");
            let (name, promise) = item.split_at(2);
            let promise = promise
                .strip_prefix("** ")
                .map_or_else(|| format!("**{}", promise.trim_start()), str::to_owned);
            rules.push(Rule { name: name.to_owned(), promise });
        }
    }
    rules
}

/// Every check. A rule that stands without a name behind it is a check without one: that is an error.
pub(crate) fn checks(rules: &[Rule]) -> Result<Vec<Check>, String> {
    let mut checks = Vec::new();
    for (folder, is_models) in [("aio-model/src", true), ("sim/src", false)] {
        for (path, text) in sources(folder).into_iter().filter(|(path, _)| !is_canaries(path)) {
            let literals = literals(&text);
            let is_rule = |word: &str| rules.iter().any(|rule| rule.name == word);
            for (at, rule) in literals.iter().enumerate().filter(|(_, (_, word))| is_rule(word)) {
                let (end, rule) = (rule.0 + rule.1.len() + 2, rule.1);
                let next = literals.get(at + 1).filter(|(start, _)| text[end..*start].trim() == ",");
                let Some((_, name)) = next else {
                    return Err(format!("{}: a check of {rule} has no name", path.display()));
                };
                checks.push(Check { rule: rule.to_owned(), name: (*name).to_owned(), is_models });
            }
        }
    }
    checks.sort();
    Ok(checks)
}

/// The checks that have a canary: a call of `canary` with their name.
pub(crate) fn canaries() -> Vec<String> {
    let files = ["aio-model/src", "sim/src"].into_iter().flat_map(sources);
    let files = files.filter(|(path, _)| is_canaries(path));
    let mut names: Vec<String> = files.flat_map(|(_, text)| called_with(&text, "canary(")).collect();
    names.sort();
    names
}

/// The tests whose names begin with a rule.
pub(crate) fn tests() -> Vec<String> {
    let folders = ["aio-model", "aio-sys", "aio", "sim", "tests"];
    let files = folders.into_iter().flat_map(sources);
    let mut tests: Vec<String> = files.flat_map(|(_, text)| functions(&text)).collect();
    tests.retain(|name| {
        let name = name.as_bytes();
        name.len() > 3 && b"cbtk".contains(&name[0]) && name[1].is_ascii_digit() && name[2] == b'_'
    });
    tests.sort();
    tests
}

/// The seeded bugs. The first line of each patch says which rule it breaks, and how.
pub(crate) fn bugs() -> Vec<Bug> {
    let mut paths = Vec::new();
    walk(&root().join("sim/bugs"), "patch", &mut paths);
    paths.sort();
    let bugs = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("it can be read");
        let rule = text.split_once(':').map_or("", |(rule, _)| rule).to_owned();
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        Bug { rule, name, path }
    });
    bugs.collect()
}

fn is_canaries(path: &Path) -> bool {
    path.with_extension("").components().any(|part| part.as_os_str() == "canaries")
}

/// The Rust files below a folder, without the lines that are comments.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    walk(&root().join(folder), "rs", &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("it can be read");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path, lines.join("\n"))
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
}

/// The words in quotes, and where each begins: enough to read names, which have neither quotes nor spaces.
fn literals(text: &str) -> Vec<(usize, &str)> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    let words = quotes.windows(2).map(|pair| (pair[0], &text[pair[0] + 1..pair[1]]));
    let is_name = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
    };
    words.filter(|(_, word)| is_name(word)).collect()
}

/// The literals that come first in calls of a function.
fn called_with(text: &str, call: &str) -> Vec<String> {
    let arguments = text.split(call).skip(1).map(str::trim_start);
    arguments.filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0.to_owned())).collect()
}

/// The names of the functions that are tests.
fn functions(text: &str) -> Vec<String> {
    let tests = text.split("#[test]").skip(1);
    tests.filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('(')?.0.to_owned())).collect()
}
