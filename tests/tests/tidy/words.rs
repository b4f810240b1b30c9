//! Words that this project made up for things which have a name: the name is to be used. The list is that of
//! the words that were found to make the sources hard to read; it grows when another one is.

use crate::sources::{files, read, root};

/// A word, and what is said instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("belief", "readiness"),
    ("came home", "was returned"),
    ("cargo::", "transfer"),
    ("cargos", "transfers"),
    ("come home", "be returned"),
    ("come_back", "requeue"),
    ("come_home", "return_buffer"),
    ("comes home", "is returned"),
    ("cut_short", "on_close_timeout"),
    ("dial", "connect"),
    ("dialled", "connected to"),
    ("displace", "dequeue"),
    ("door", "address, server"),
    ("hindered", "prevented, on_no_progress"),
    ("honesty", "sim_contract"),
    ("intake", "events per wait"),
    ("make_way", "yield_accept_slot"),
    ("nobody's", "without an owner"),
    ("noun", "operation, request"),
    ("nouns", "operations, requests"),
    ("realm", "proactor_id"),
    ("seat", "registration"),
    ("seats", "registrations"),
    ("short_proves", "short_read_means_drained"),
    ("take_in", "poll_events"),
    ("unopen", "rollback_open"),
    ("vandal", "hostile peer"),
    ("vandals", "hostile peers"),
    ("whoever", "the caller, the peer, anyone who"),
    ("wind up", "close step by step"),
    ("wind_up", "attempt_close_step"),
    ("winding", "lifecycle"),
];

/// How often folders have them today: no more may be added. Lower a number when words have gone, and remove a
/// line that has come to 0.
const TO_MEND: &[(&str, usize)] = &[
    ("aio-model/", 98),
    ("aio/", 8),
    ("bench/", 1),
    ("sim/bugs/", 20),
    ("sim/src/judge/", 2),
    ("sim/src/tools/", 5),
    ("sim/src/world/", 2),
    ("sim/tests/", 11),
    ("ARCHITECTURE.md", 2),
];

fn is_of_a_word(letter: char) -> bool {
    letter.is_alphanumeric()
}

/// The forbidden words of a text, with their lines.
fn forbidden(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for (word, _) in FORBIDDEN {
            let here = line.match_indices(word).filter(|(at, _)| {
                let (before, after) = (&line[..*at], &line[at + word.len()..]);
                !before.ends_with(is_of_a_word) && (word.ends_with(':') || !after.starts_with(is_of_a_word))
            });
            found.extend(here.map(|_| (index + 1, *word)));
        }
    }
    found
}

#[test]
fn things_that_have_a_name_are_called_by_it() {
    let root = root();
    let (mut found, mut known) = (Vec::new(), vec![0; TO_MEND.len()]);
    for path in ["rs", "md", "toml", "patch"].iter().flat_map(|extension| files(&root, extension)) {
        let name = path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
        if name == file!().replace("tests/tests/tests", "tests/tests") || name.ends_with("tidy/words.rs") {
            continue;
        }
        let words = forbidden(&read(&path));
        match TO_MEND.iter().position(|(folder, _)| name.starts_with(folder)) {
            Some(folder) => known[folder] += words.len(),
            None => found.extend(words.iter().map(|(line, word)| {
                let instead =
                    FORBIDDEN.iter().find(|(known, _)| known == word).map_or("", |(_, instead)| instead);
                format!("{name}:{line}: {word:?}; say: {instead}")
            })),
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    for ((folder, count_max), count) in TO_MEND.iter().zip(known) {
        assert!(
            count <= *count_max,
            "{folder}: {count} forbidden words, more than the {count_max} there were"
        );
    }
}

#[test]
fn a_forbidden_word_is_found() {
    for (text, count) in [
        ("Whoever has the nouns", 2),
        ("fn come_home() {}", 1),
        ("use crate::cargo::Cargos;", 2),
        ("cargo test --workspace; unbelief; indoor; pronoun; dialogue; take_into", 0),
        ("a\nthe_realm.realm()", 2),
    ] {
        assert_eq!(forbidden(text).len(), count, "{text}: {:?}", forbidden(text));
    }
    assert_eq!(forbidden("fine\nthe vandal"), [(2, "vandal")]);
}
