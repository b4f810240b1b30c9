//! The page, read back: whatever is drawn is in its data.

use std::path::{Path, PathBuf};

use aio_model::{Limits, System, Violation};
use serde_json::Value;

use super::page::hunks;
use super::record::{record, run_recorded};
use super::rules::rule;
use super::{Recording, STEPS_MAX, write};
use crate::check::tape::{self, Tape};
use crate::judge::episode::{Episode, Report, Setup, run};
use crate::judge::oracle::Oracle;
use crate::world::choice::Choice;

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Leaves a page for the tests that drive it in a browser, and for people.
fn keep(name: &str, page: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from).join("tmp/pages");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name).with_extension("html");
    std::fs::write(&path, page).unwrap();
    path
}

/// A run that an oracle with one limit too small finds fault with, some way into it: it would refuse what the
/// model accepts.
fn failing() -> (Report, Recording) {
    let tries = (0..500).map(|seed| {
        let mut episode = Episode::new(Choice::seeded(seed), Setup::default());
        let ops_max = std::num::NonZeroU32::new(5).unwrap();
        let limits = Limits { ops_max, ..episode.plan.limits };
        let pools = episode.plan.pools.iter().map(|pool| (pool.buffers_max, pool.buffer_bytes)).collect();
        episode.oracle = Oracle::new(limits, pools, episode.os.rearm());
        record(episode, STEPS_MAX)
    });
    let rich = |(report, recording): &(Report, Recording)| {
        let marks = || recording.steps.iter().flat_map(|step| &step.marks);
        let kinds = ["call", "event", "wrote", "read", "wait", "end"];
        let over = report.broken.as_ref().is_some_and(|broken| broken.check == "acceptance-right");
        // The test in the browser filters by connection: one alone would leave it nothing to hide.
        let several =
            data(&write(recording, "", ""))["conns"].as_array().is_some_and(|conns| conns.len() > 1);
        // Not in the middle of a turn, which goes on until its step is over.
        let between_turns = recording.steps.back().is_some_and(|step| step.text.contains("submits"));
        over && several && between_turns && kinds.iter().all(|kind| marks().any(|mark| mark.kind == *kind))
    };
    tries.into_iter().find(rich).expect("an oracle that is wrong finds fault")
}

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is an array"))
}

/// What must be so of any page.
fn judge(data: &Value) {
    let steps = array(data, "steps");
    let dropped = data["dropped"].as_u64().unwrap();
    let last = dropped + steps.len() as u64 - 1;
    for op in array(data, "ops") {
        let at = |key: &str| op[key].as_u64().unwrap_or_else(|| panic!("{op} has its {key}"));
        assert!(at("from") <= at("end") && at("end") <= at("taken") && at("taken") <= last, "{op}");
    }
    // JSON knows no NaN: one would be null.
    assert!(steps.iter().all(|step| step["t"].is_f64() && !step["text"].as_str().unwrap().is_empty()));
    let times: Vec<f64> = steps.iter().map(|step| step["t"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "time goes forward");
    assert!(steps[0]["gauges"].is_object() && steps[0]["model"].is_array(), "the first step says everything");
    let known: Vec<&str> = array(data, "conns").iter().map(|conn| conn["id"].as_str().unwrap()).collect();
    for step in steps {
        for conn in step["conns"].as_object().into_iter().flat_map(|conns| conns.keys()) {
            assert!(known.contains(&conn.as_str()), "{conn} is on the list");
        }
    }
}

#[test]
fn a_page_shows_every_kept_tape() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for path in tape::list(&folder).unwrap() {
        let tape = Tape::load(&path).unwrap();
        let choice = Choice::tape(tape.choices.as_slice());
        let (report, recording) = run_recorded(choice, tape.setup, STEPS_MAX);
        assert_eq!(report.fingerprint, tape.run().fingerprint, "looking changes nothing");
        let name = path.file_stem().unwrap().to_str().unwrap();
        let page = write(&recording, name, "cargo sim replay TAPE");
        let data = data(&page);
        judge(&data);
        assert!(data["broken"].is_null() && data["name"] == name);
        let ends = |step: &Value| step["text"].as_str().unwrap().starts_with("shuts down");
        assert!(array(&data, "steps").iter().any(ends), "{name}: the end of the run is there");
        assert!(array(&data, "ops").iter().all(|op| op["open"].is_null()), "{name}: every operation ends");
        keep(name, &page);
    }
}

#[test]
fn a_page_shows_the_broken_rule_at_its_step() {
    let (report, recording) = failing();
    let page = write(&recording, "an oracle that is wrong", "cargo sim replay TAPE");
    keep("failing", &page);
    let data = data(&page);
    judge(&data);
    let broken = report.broken.unwrap();
    assert_eq!(data["broken"]["rule"], broken.rule);
    assert_eq!(
        (data["broken"]["check"].as_str(), broken.check),
        (Some("acceptance-right"), "acceptance-right")
    );
    assert_eq!(data["broken"]["what"], broken.what.replace(&recording.own.to_string(), "the proactor"));
    assert!(!data["broken"]["promise"].as_str().unwrap().is_empty());
    // The run ends with the step that breaks a rule, and that one submits what the oracle would refuse.
    let at = usize::try_from(data["broken"]["step"].as_u64().unwrap()).unwrap();
    let steps = array(&data, "steps");
    assert_eq!(at, steps.len() - 1);
    assert!(steps[at]["text"].as_str().unwrap().contains("submits"), "{}", steps[at]["text"]);
    let conn = |step: &Value| step["conns"].as_object().is_some_and(|conns| !conns.is_empty());
    assert!(steps.iter().any(conn), "connections come and change");
}

#[test]
fn what_a_page_says_can_not_break_it() {
    let (_, mut recording) = failing();
    let hostile = "</script><script>alert(1)</script><!-- {{data}} {{script}} \u{2028} \" ' &";
    let (at, broken) = recording.broken.clone().unwrap();
    recording.broken = Some((at, Violation { what: hostile.to_owned(), ..broken }));
    recording.steps[0].text = hostile.to_owned();
    let page = write(&recording, hostile, hostile);
    let honest = write(&failing().1, "a name", "a command");
    for tag in ["<script", "</script", "<!--"] {
        assert_eq!(page.matches(tag).count(), honest.matches(tag).count(), "{tag}");
    }
    let data = data(&page);
    for said in [&data["name"], &data["command"], &data["broken"]["what"], &data["steps"][0]["text"]] {
        assert_eq!(said, hostile);
    }
    keep("hostile", &page);
}

#[test]
fn a_long_run_keeps_its_last_steps_and_stays_small() {
    let setup = Setup { actions_max: 20_000, ..Setup::default() };
    let long = |seed: &u64| run(Choice::seeded(*seed), setup).steps > 8_000;
    let runs = (0..200).filter(long).map(|seed| run_recorded(Choice::seeded(seed), setup, STEPS_MAX).1);
    let pages = runs.filter(|recording| recording.dropped > 0).take(2).map(|recording| {
        assert_eq!(recording.steps.len(), STEPS_MAX);
        write(&recording, "a long run", "cargo sim replay TAPE")
    });
    let largest = pages.max_by_key(String::len).expect("some runs are long");
    judge(&data(&largest));
    let path = keep("long", &largest);
    assert!(largest.len() < 10_000_000, "{} bytes: {}", largest.len(), path.display());
}

#[test]
fn hunks_turn_one_text_into_the_other() {
    let texts = ["", "a", "a\nb\nc", "a\nx\nc\nd", "c\nb\na", "x\na\nb\nc\ny\nd\ne", "a\na\nb\nb\na"];
    for (old, new) in texts.iter().flat_map(|old| texts.map(|new| (old, new))) {
        let (mut made, mut rest) = (Vec::new(), old.lines());
        for (keep, out, put) in hunks(old, new) {
            made.extend(rest.by_ref().take(keep));
            rest.by_ref().take(out).for_each(drop);
            made.extend(put);
        }
        made.extend(rest);
        assert_eq!(made, new.lines().collect::<Vec<_>>(), "from {old:?}");
        assert_eq!(hunks(old, new).is_empty(), *old == new);
    }
}

#[test]
fn every_rule_has_a_promise() {
    for (group, count) in [("C", 7), ("T", 3), ("B", 4), ("K", 7)] {
        for name in (1..=count).map(|nth| format!("{group}{nth}")) {
            assert!(rule(&name).1.len() > 30, "{name}: {:?}", rule(&name));
        }
    }
    assert_eq!(rule(&["C", "3"].concat()).0, "Order");
}
