//! The contract as a whole: every rule has a check that can fail, a test that pins it, and a seeded bug that
//! is found; and the page that says so is up to date.

mod sources;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use sources::{Check, Rule, bugs, canaries, checks, root, rules, tests};

/// The page, and the variable that has it written anew.
const PAGE: &str = "aio-model/docs/rules.md";
const UPDATE: &str = "UPDATE";

const INTRODUCTION: &str = "\
# The rules of the contract

What may be relied on, and how each promise is kept. *Checks of the model* are the invariants that `Model::check`
looks at between any two calls. *Checks from outside* are those of the simulator: its oracle, a second and naive
account of the contract, and the border of its operating system. Each has a canary: a test in which one thing is
broken, and exactly that check says so. *Tests* are named after the rule that they pin. *Seeded bugs* are put back by
`cargo sim bugs`, and must be found from every seed.

This page is generated from the sources: `UPDATE=1 cargo test -p sim --test rules` writes it anew.

| rule | what it promises | checks of the model | checks from outside | tests | seeded bugs |
|---|---|---|---|---|---|
";

fn all_checks() -> Vec<Check> {
    checks(&rules()).unwrap_or_else(|error| panic!("{error}"))
}

/// The names in one cell.
fn cell<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join("<br>")
}

/// The page. A rule that has neither check, or no test, or no bug, is an error.
fn page() -> Result<String, String> {
    let (checks, tests, bugs) = (all_checks(), tests(), bugs());
    let mut page = INTRODUCTION.to_owned();
    for Rule { name: rule, promise } in &rules() {
        let checked = |is_models| {
            let mine = checks.iter().filter(move |check| check.rule == *rule && check.is_models == is_models);
            cell(mine.map(|check| &check.name))
        };
        let prefix = format!("{}_", rule.to_lowercase());
        let pins = cell(tests.iter().filter(|test| test.starts_with(&prefix)));
        let seeded = cell(bugs.iter().filter(|bug| bug.rule == *rule).map(|bug| &bug.name));
        let (of_model, outside) = (checked(true), checked(false));
        for (what, is_missing) in [
            ("check", of_model.is_empty() && outside.is_empty()),
            ("test that pins it", pins.is_empty()),
            ("seeded bug", seeded.is_empty()),
        ] {
            if is_missing {
                return Err(format!("{rule} has no {what}"));
            }
        }
        let row = format!("| **{rule}** | {promise} | {of_model} | {outside} | {pins} | {seeded} |");
        let _ = writeln!(page, "{row}");
    }
    Ok(page)
}

#[test]
fn the_pages_have_every_rule_of_the_contract() {
    let found: Vec<String> = rules().into_iter().map(|rule| rule.name).collect();
    let groups = [("C", 7), ("T", 3), ("B", 4), ("K", 7)];
    let all = groups.iter().flat_map(|(group, count)| (1..=*count).map(move |nth| format!("{group}{nth}")));
    assert_eq!(found, all.collect::<Vec<_>>());
}

#[test]
fn no_two_checks_have_one_name() {
    let mut seen = BTreeSet::new();
    for Check { name, rule, .. } in all_checks() {
        assert!(seen.insert(name.clone()), "{rule}: a second check is called {name:?}");
    }
    assert!(seen.len() > 90, "the checks are found: {}", seen.len());
}

#[test]
fn every_check_has_a_canary() {
    let (checks, canaries) = (all_checks(), canaries());
    let without: Vec<_> = checks.iter().filter(|check| !canaries.contains(&check.name)).collect();
    assert!(without.is_empty(), "nobody has seen these checks fail: {without:?}");
    let known = |name: &String| checks.iter().any(|check| check.name == *name);
    let strays: Vec<_> = canaries.iter().filter(|name| !known(name)).collect();
    assert!(strays.is_empty(), "canaries of no check: {strays:?}");
}

#[test]
fn every_rule_has_a_check_a_test_and_a_bug_and_the_page_says_which() {
    let page = page().unwrap_or_else(|error| panic!("{error}"));
    let path = root().join(PAGE);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "{PAGE} is not up to date: {UPDATE}=1 cargo test -p sim --test rules");
}

#[test]
fn every_test_named_after_a_rule_names_one_that_exists() {
    let rules = rules();
    for test in tests() {
        let rule = test[..2].to_uppercase();
        assert!(rules.iter().any(|known| known.name == rule), "{test}: there is no rule {rule}");
    }
}

#[test]
fn every_seeded_bug_says_which_rule_it_breaks_and_still_applies() {
    let rules = rules();
    for bug in bugs() {
        let is_rule = |rule: &str| rules.iter().any(|known| known.name == rule);
        assert!(is_rule(&bug.rule), "{}: the first line says \"RULE: what is wrong\"", bug.name);
        let prefix = bug.name.split('-').next().unwrap_or_default().to_uppercase();
        assert!(!is_rule(&prefix) || prefix == bug.rule, "{} is about {}", bug.name, bug.rule);
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&bug.path).current_dir(root());
        let output = git.output().expect("git is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} does not apply any more:\n{said}", bug.name);
    }
}
