//! The rules of the contract, as its page has them: so that a picture can say what was broken.

const PAGE: &str = include_str!("../../../../aio-model/docs/rules.md");

/// What a rule is about, in a word or two if it has a title, and what it promises.
pub(crate) fn rule(name: &str) -> (String, String) {
    let row = PAGE.lines().find_map(|line| line.strip_prefix(&format!("| **{name}** | ")));
    let cell = row.and_then(|row| row.split(" | ").next()).unwrap_or_default();
    let titled = cell.strip_prefix("**").and_then(|cell| cell.split_once("**"));
    let title = titled.map_or("", |(title, _)| title.trim_end_matches('.'));
    (title.to_owned(), cell.replace(['*', '`'], ""))
}
