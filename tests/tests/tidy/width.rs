//! No line of a comment is wider than code may be. A row of a table can not be broken, and is exempt.

use crate::sources::{comment, files, read, root};

/// The most columns, as in `rustfmt.toml`.
const COLUMNS: usize = 110;

/// How many lines are wider today, by folder: no more may be added. These are being rewritten; remove a line
/// when its folder has none left.
const TO_MEND: &[(&str, usize)] = &[];

/// The lines of a text that are too wide.
fn wide(text: &str) -> Vec<usize> {
    let is_wide = |line: &str| {
        let is_row = comment(line).is_some_and(|text| text.starts_with('|'));
        comment(line).is_some() && !is_row && line.chars().count() > COLUMNS
    };
    text.lines().enumerate().filter(|(_, line)| is_wide(line)).map(|(index, _)| index + 1).collect()
}

#[test]
fn comments_are_no_wider_than_code() {
    let root = root();
    let (mut found, mut known) = (Vec::new(), vec![0; TO_MEND.len()]);
    for path in files(&root, "rs") {
        let name = path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
        let lines = wide(&read(&path));
        match TO_MEND.iter().position(|(folder, _)| name.starts_with(folder)) {
            Some(folder) => known[folder] += lines.len(),
            None => found.extend(lines.iter().map(|line| format!("{name}:{line}"))),
        }
    }
    assert!(found.is_empty(), "wider than {COLUMNS} columns: {found:#?}");
    for ((folder, count_max), count) in TO_MEND.iter().zip(known) {
        assert!(
            count <= *count_max,
            "{folder}: {count} lines are too wide, more than the {count_max} there were"
        );
    }
}

#[test]
fn a_wide_comment_is_found() {
    let (fits, wide_one) = ("x".repeat(COLUMNS - 4), "x".repeat(COLUMNS - 3));
    assert_eq!(wide(&format!("/// {fits}\n/// {wide_one}\n//! {wide_one}\n    // {fits}")), [2, 3, 4]);
    assert_eq!(wide(&format!("/// | {wide_one} |\nlet x = \"{wide_one}\";")), Vec::<usize>::new());
    assert!(read(&root().join("rustfmt.toml")).contains(&format!("max_width = {COLUMNS}")));
}
