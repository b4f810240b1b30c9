//! Whatever the kernel does the simulator can do: random scripts, scenes that the model relies on, and
//! canaries.
//!
//! Many more scripts: `cargo run --release -p tests --bin conformance`.

mod canaries;
mod lags;
mod others;
mod programs;
mod scenes;

use aio_model::{Outcome, Readiness, SystemErrorKind};
use sim::EngineKind;
use tests::conformance::{
    Case, History, Hosts, Name, Script, Seen, Step, campaign, follow, play, shorten, shrink,
};
use tests::pair::Family;

/// How many scripts of each family; few, as this is a test among others.
const SCRIPTS: u64 = 600;

const END: Readiness = Readiness::READ_CLOSED;

/// The same for everybody, unless the environment says otherwise.
fn first_seed() -> u64 {
    let given = std::env::var("CONFORMANCE_SEED").ok();
    given.map_or(1, |seed| seed.parse().expect("CONFORMANCE_SEED is a number"))
}

fn random_scripts(family: Family) {
    if let Some(lack) = family.lack() {
        eprintln!("skipped: no {family:?} on this host: {lack}");
        return;
    }
    let hosts = Hosts::new(family).unwrap();
    for seed in (0..SCRIPTS).map(|number| first_seed().wrapping_add(number)) {
        let script = Script::of_seed(seed, family);
        if let Some(difference) = Case::run(&script, &hosts).unwrap().difference {
            let (script, case) = shrink(&script, &hosts).unwrap();
            let history = case.map(|case| case.history.to_string());
            panic!(
                "{difference}\n{script:#?}\n{}\nto see it again: cargo run --release -p tests --bin conformance -- \
                 --family {} --seed {seed} --scripts 1",
                history.unwrap_or_default(),
                format!("{family:?}").to_lowercase(),
            );
        }
    }
}

#[test]
fn random_scripts_over_tcp() {
    random_scripts(Family::Tcp);
}

#[test]
fn random_scripts_over_tcp_on_ipv6() {
    random_scripts(Family::Tcp6);
}

#[test]
fn random_scripts_over_unix_sockets() {
    random_scripts(Family::Unix);
}

fn script(family: Family, narrow: bool, steps: &[Step]) -> Script {
    Script { family, narrow, nagle: false, signals: false, steps: steps.to_vec() }
}

/// Plays steps, and has the simulator follow.
fn scene(family: Family, narrow: bool, steps: &[Step]) -> History {
    scene_of(&script(family, narrow, steps))
}

fn scene_of(script: &Script) -> History {
    let history = play(script, &Hosts::new(script.family).unwrap()).unwrap();
    let followed = follow(&history, campaign::engine().unwrap());
    assert_eq!(followed.err(), None, "{history}");
    history
}

/// What the `nth` wait told of the first connection.
fn told(history: &History, nth: usize, name: Name) -> Readiness {
    let waits = history.deeds.iter().filter_map(|(_, seen)| match seen {
        Seen::Events(events) => Some(events),
        _ => None,
    });
    let events = waits.into_iter().nth(nth).expect("there are as many waits");
    let of = events.iter().filter(|(of, _)| *of == name);
    of.fold(Readiness::NONE, |sum, (_, readiness)| sum | *readiness)
}

const FIRST: Name = Name::Conn(0);

/// The answers to the calls of one kind.
fn answers(history: &History, kind: &str) -> Vec<Outcome> {
    let of_kind = history.deeds.iter().filter(|(deed, _)| deed.kind() == kind);
    let outcomes = of_kind.filter_map(|(_, seen)| match seen {
        Seen::Outcome(outcome) => Some(*outcome),
        _ => None,
    });
    outcomes.collect()
}

fn failure(outcome: Outcome) -> Option<SystemErrorKind> {
    match outcome {
        Outcome::Failed(error) => Some(error.kind()),
        _ => None,
    }
}

fn recv(bytes: usize) -> Step {
    Step::Recv { at: 0, pieces: vec![bytes] }
}

fn write(bytes: usize) -> Step {
    Step::PeerWrite { at: 0, bytes }
}

/// Whether the model is told of arrivals, and not only after an attempt that would have blocked.
fn arrivals_are_told() -> bool {
    campaign::engine().unwrap() == EngineKind::Epoll
}

#[test]
fn scripts_are_made_as_short_as_what_is_wrong_with_them() {
    // As if it were wrong to receive after a wait: what the rest of the script does is beside the point.
    let mut long = Script::of_seed(7, Family::Tcp);
    long.steps.extend([write(3), Step::Wait, Step::Shutdown { at: 0 }, recv(8), Step::Wait]);
    let (short, _) = shorten(&long, |script| {
        let waits = script.steps.iter().position(|step| *step == Step::Wait);
        let rest = waits.map_or(&[][..], |waits| &script.steps[waits..]);
        Ok(rest.contains(&recv(8)).then_some(()))
    })
    .unwrap();
    assert_eq!(short.steps, [Step::Wait, recv(8)]);
}
