//! The tools that count see what there is to see. Without them, there is nothing to test.

use std::path::Path;

use aio_bench::figures::lockstep::CANARY;
use aio_bench::figures::tools;
use aio_bench::peers::BASELINE;

const PROGRAM: &str = env!("CARGO_BIN_EXE_aio-bench");

/// Enough to tell one of each from none.
const ROUNDS: tools::Rounds = [2, 6];

/// Whether the tools are there; says so if not.
fn tools_are_there() -> bool {
    let missing = tools::missing();
    if !missing.is_empty() {
        println!("left out: no {}", missing.join(", no "));
    }
    missing.is_empty()
}

#[test]
fn an_allocation_and_a_failing_call_for_each_echo_are_seen() {
    if !tools_are_there() {
        return;
    }
    let program = Path::new(PROGRAM);
    let near = |is: f64, should: f64| assert!((is - should).abs() < 0.001, "{is} instead of {should}");
    near(tools::allocations(program, CANARY, ROUNDS).unwrap(), 1.0);
    near(tools::allocations(program, BASELINE, ROUNDS).unwrap(), 0.0);
    let calls = tools::calls(program, CANARY, ROUNDS).unwrap();
    near(calls["wait4"], 1.0);
    near(calls["failed"], 1.0);
    near(calls["recvfrom"], 1.0);
    near(tools::calls(program, BASELINE, ROUNDS).unwrap()["failed"], 0.0);
}

#[test]
fn instructions_are_the_same_in_every_run_and_differ_between_servers() {
    if !tools_are_there() {
        return;
    }
    let program = Path::new(PROGRAM);
    let by_hand = tools::instructions(program, BASELINE, ROUNDS).unwrap();
    let again = tools::instructions(program, BASELINE, ROUNDS).unwrap();
    let ours = tools::instructions(program, "aio", ROUNDS).unwrap();
    assert!((by_hand - again).abs() < by_hand * 0.01, "{by_hand} {again}");
    assert!(ours > by_hand * 1.05, "a library costs something: {ours} {by_hand}");
}

#[test]
fn a_server_that_can_not_be_run_is_an_error() {
    if tools_are_there() {
        assert!(tools::calls(Path::new(PROGRAM), "nobody", ROUNDS).is_err());
        assert!(tools::instructions(Path::new(PROGRAM), "nobody", ROUNDS).is_err());
    }
}
