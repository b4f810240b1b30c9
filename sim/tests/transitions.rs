//! The tables of states in the documentation of `aio-model` are what the model does.

use std::fs;
use std::path::Path;

use sim::fuzzing::{Machine, observe};

/// Enough for every transition to be seen many times.
const SCRIPTS: u64 = 2_000;

const BEGIN: &str = "<!-- Generated: UPDATE=1 cargo test -p sim --test transitions -->\n";
const END: &str = "<!-- End of what is generated -->";

const PAGES: &[(&str, &[(&str, Machine)])] = &[
    ("completions", &[("", Machine::Operation)]),
    ("time", &[("", Machine::Deadline)]),
    ("buffers", &[("", Machine::Buffer)]),
    ("connections", &[("### A connection\n\n", Machine::Connection), ("\n### A lane\n\n", Machine::Lane)]),
];

#[test]
fn the_tables_of_states_are_what_the_model_does() {
    let observed = observe(SCRIPTS);
    for (name, machines) in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../aio-model/docs/{name}.md"));
        let page = fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the page says where the tables begin");
        let (_, after) = rest.split_once(END).expect("the page says where they end");
        let tables: String =
            machines.iter().map(|(title, machine)| format!("{title}{}", observed.page(*machine))).collect();
        let expected = format!("{before}{BEGIN}\n{tables}\n{END}{after}");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        assert!(
            page == expected || std::env::var_os("UPDATE").is_some(),
            "{} differs from what the model does:\n{tables}\nif that is right: UPDATE=1 cargo test -p sim --test transitions",
            path.display()
        );
    }
}

/// The comparison can fail: fewer scripts see less.
#[test]
fn what_was_never_seen_is_not_in_a_table() {
    let few = observe(3);
    assert_ne!(few.page(Machine::Lane), observe(300).page(Machine::Lane));
}
