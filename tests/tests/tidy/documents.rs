//! What documents name exists: files, headings, and the programs, tests and options of commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sources::{all_files, comment, files, read, root};

/// The folders of a repository that paths in documents begin with.
const FOLDERS: &[&str] =
    &[".ci/", ".cargo/", "aio/", "aio-model/", "aio-sys/", "bench/", "fuzz/", "sim/", "tests/"];

/// Folders that exist once a tool has run.
const GENERATED: &[&str] = &["fuzz/artifacts", "fuzz/coverage", "sim/tests/proptest-regressions"];

/// What does not exist and is still to be mended, in sources that somebody rewrites: remove a line with its
/// reason.
const TO_MEND: &[&str] = &[];

/// Everything that exists and can be named.
struct Existing {
    /// Files and folders, from the root of the repository.
    paths: BTreeSet<String>,
    /// The headings of each document, as links name them.
    anchors: BTreeMap<String, BTreeSet<String>>,
    packages: BTreeSet<String>,
    /// `test`, `bin`, `example` or `bench`, and a name.
    targets: BTreeSet<(&'static str, String)>,
    /// Options of the programs, by name: `sim`, `aio-bench`, and those of `tests`.
    options: BTreeMap<String, BTreeSet<String>>,
}

/// How a heading is named in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// The headings of a document, without what is in a block of code.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// The options that a program's sources declare, as `--name`.
fn options(sources: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["--help".to_owned()]);
    let mut is_option = false;
    for line in sources.lines().map(str::trim) {
        if line.starts_with("#[arg(") && line.contains("long") {
            is_option = true;
        } else if let Some((name, _)) = line.split_once(": ")
            && is_option
            && !line.starts_with('#')
            && comment(line).is_none()
        {
            let name = name.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            found.insert(format!("--{}", name.replace('_', "-")));
            is_option = false;
        }
    }
    found
}

fn stem(path: &str) -> &str {
    let name = path.strip_suffix("/main.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    name.rsplit('/').next().unwrap_or(name)
}

impl Existing {
    fn new() -> Existing {
        let root = root();
        let mut existing = Existing {
            paths: BTreeSet::new(),
            anchors: BTreeMap::new(),
            packages: BTreeSet::new(),
            targets: BTreeSet::new(),
            options: BTreeMap::new(),
        };
        existing.paths.extend(GENERATED.iter().map(|path| (*path).to_owned()));
        for path in all_files(&root) {
            let path = path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
            let whole = Path::new(&path);
            let folders = whole.ancestors().skip(1).map(|folder| folder.to_string_lossy().into_owned());
            existing.paths.extend(folders.filter(|folder| !folder.is_empty()));
            if path.ends_with(".md") {
                existing.anchors.insert(path.clone(), anchors(&read(&root.join(&path))));
            }
            if let Some(package) = path.strip_suffix("/Cargo.toml") {
                existing.packages.insert(package.to_owned());
            }
            for (kind, folder) in
                [("test", "/tests/"), ("bin", "/src/bin/"), ("example", "/examples/"), ("bench", "/benches/")]
            {
                let Some((_, name)) = path.split_once(folder) else { continue };
                if path.ends_with(".rs") && (!name.contains('/') || name.ends_with("/main.rs")) {
                    existing.targets.insert((kind, stem(&path).to_owned()));
                }
                if kind == "bin" {
                    existing.options.insert(stem(&path).to_owned(), options(&read(&root.join(&path))));
                }
            }
            existing.paths.insert(path);
        }
        for (program, folder) in [("sim", "sim/src/tools"), ("aio-bench", "bench/src")] {
            let sources: String = files(&root.join(folder), "rs").iter().map(|file| read(file)).collect();
            existing.options.insert(program.to_owned(), options(&sources));
        }
        existing
    }

    /// What is wrong with the links and paths of a document.
    fn wrong_links(&self, document: &str, text: &str) -> Vec<String> {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let local = targets.filter(|target| !target.contains("://") && !target.contains("::"));
        let broken = local.filter(|target| {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match (file, folder) {
                ("", _) => document.to_owned(),
                (file, "") => file.to_owned(),
                (file, folder) => format!("{folder}/{file}"),
            };
            let exists = self.paths.contains(path.trim_end_matches('/'));
            let heading_exists = || self.anchors.get(&path).is_some_and(|anchors| anchors.contains(heading));
            !exists || (!heading.is_empty() && !heading_exists())
        });
        broken.map(|target| format!("{document}: no such place: {target}")).collect()
    }

    /// What is wrong with a piece of code: a path or a command.
    fn wrong_code(&self, code: &str) -> Vec<String> {
        let words: Vec<&str> = code.split_whitespace().collect();
        let mut wrong = Vec::new();
        let mut complain = |what: &str| wrong.push(format!("{what} does not exist: {code}"));
        for word in &words {
            let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder));
            let is_pattern = word.contains(['*', '{', '<', '…', '$']) || word.chars().any(char::is_uppercase);
            let path = word.trim_end_matches(['/', ',', ';']);
            if is_path && !is_pattern && !self.paths.contains(path) {
                complain(word);
            }
        }
        let Some(cargo) = words.iter().position(|word| *word == "cargo") else { return wrong };
        let words = &words[cargo + 1..];
        let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let (own, given) = words.split_at(end);
        let mut program = None;
        for pair in own.windows(2) {
            let name = pair[1].to_owned();
            match pair[0] {
                "-p" | "--package" if !self.packages.contains(&name) => complain(pair[1]),
                "--manifest-path" if name.starts_with("bench") => program = Some("aio-bench".to_owned()),
                "--bin" => program = Some(name.clone()),
                _ => {}
            }
            let kind =
                ["test", "bin", "example", "bench"].into_iter().find(|kind| pair[0] == format!("--{kind}"));
            let is_made_up = name.contains('<') || name.chars().any(char::is_uppercase);
            if kind.is_some_and(|kind| !self.targets.contains(&(kind, name)) && !is_made_up) {
                complain(&pair.join(" "));
            }
        }
        let (known, used) = match words.first() {
            Some(&"sim") => (self.options.get("sim"), words),
            Some(&"test") => (None, words),
            _ => (program.and_then(|program| self.options.get(&program)), given),
        };
        if let Some(known) = known {
            let used = used.iter().map(|word| word.trim_start_matches('[').trim_end_matches(']'));
            for word in used.filter(|word| word.len() > 2 && word.starts_with("--")) {
                if !known.contains(word) {
                    complain(word);
                }
            }
        }
        wrong
    }
}

/// The pieces of code in a document: between backticks, and the lines of blocks.
fn code(text: &str) -> Vec<String> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            found.push(line.split(" #").next().unwrap_or_default().trim().to_owned());
        }
    }
    // Inline code may be broken over lines; blocks are cut out first.
    let inline: Vec<&str> = text.split("```").step_by(2).collect();
    for prose in inline {
        let joined = prose.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        found.extend(joined.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
    }
    found
}

/// The documents, and what is written in comments, by path.
fn documents() -> Vec<(String, String)> {
    let root = root();
    let name =
        |path: &Path| path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
    let pages = files(&root, "md").into_iter().map(|path| (name(&path), read(&path)));
    let comments = files(&root, "rs").into_iter().map(|path| {
        let lines =
            read(&path).lines().map(|line| comment(line).unwrap_or_default().to_owned()).collect::<Vec<_>>();
        (name(&path), lines.join("\n"))
    });
    pages.chain(comments).collect()
}

#[test]
fn what_documents_name_exists() {
    let existing = Existing::new();
    let (mut wrong, mut links, mut pieces) = (Vec::new(), 0, 0);
    for (path, text) in documents() {
        if path.ends_with(".md") {
            links += text.matches("](").count();
            wrong.extend(existing.wrong_links(&path, &text));
        }
        for code in code(&text) {
            pieces += 1;
            wrong.extend(existing.wrong_code(&code).into_iter().map(|what| format!("{path}: {what}")));
        }
    }
    wrong.retain(|what| !TO_MEND.contains(&&**what));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(links > 10 && pieces > 1000, "they are found: {links} links, {pieces} pieces of code");
}

#[test]
fn what_does_not_exist_is_found() {
    let existing = Existing::new();
    for (code, wrong) in [
        ("cargo test -p tests --test hostile", 0),
        ("cargo test -p tests --test hostil", 1),
        ("cargo test -p test --test hostile", 1),
        ("cargo run --release -p tests --bin soak -- --minutes 30 --svg soak.svg", 0),
        ("cargo run --release -p tests --bin soak -- --minutes 30 --sgv soak.svg", 1),
        ("cargo run -p tests --bin soaks", 1),
        ("cargo run -p aio --example echo", 0),
        ("cargo run -p aio --example eco", 1),
        ("cargo sim campaign --minutes 60 [--seed 7 --shard 0/4]", 0),
        ("cargo sim campaign --hours 1", 1),
        ("cargo run --manifest-path bench/Cargo.toml -- compare --scenario 50x128", 0),
        ("cargo run --manifest-path bench/Cargo.toml -- compare --scenery 50x128", 1),
        ("cargo bench --manifest-path bench/Cargo.toml --bench pool", 0),
        ("cargo bench --manifest-path bench/Cargo.toml --bench pond", 1),
        ("sim/tests/layers.rs", 0),
        ("sim/tests/layer.rs", 1),
        (".ci/no_std", 0),
        (".ci/nostd", 1),
    ] {
        let found = existing.wrong_code(code);
        assert_eq!(found.len(), wrong, "{code}: {found:?}");
    }
    for (link, wrong) in [
        ("[a](ARCHITECTURE.md#portability)", 0),
        ("[a](ARCHITECTURE.md#portable)", 1),
        ("[a](#fuzzing)", 0),
        ("[a](#buzzing)", 1),
        ("[a](aio-model/docs/rules.md), [b](https://example.org/none)", 0),
        ("[a](aio-model/docs/rule.md)", 1),
    ] {
        let found = existing.wrong_links("CONTRIBUTING.md", link);
        assert_eq!(found.len(), wrong, "{link}: {found:?}");
    }
    assert_eq!(code("a `b c`\n```sh\nd --e # f\n```\n`g\nh`"), ["d --e", "b c", "g h"]);
    assert_eq!(anchors("# A b, c\n```\n# d\n```\n## E"), ["a-b-c", "e"].map(ToOwned::to_owned).into());
}
