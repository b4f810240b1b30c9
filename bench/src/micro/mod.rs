//! What the micro-benchmarks of operations do: steps, each of so many operations, which fail if those did not
//! happen.
//!
//! `benches/` measures how long they take, [`figures`](crate::figures) how many instructions they are.

mod model;
pub mod null;
mod proactor;

use std::io;

pub use model::Steps;
pub use proactor::{Abroad, Ops, Patience};

/// How many connections there are, each with an operation in a step.
pub const CONNECTIONS: [usize; 3] = [1, 50, 1000];

/// Takes one step, and returns how many operations that were.
type Step = Box<dyn FnMut() -> u64>;

/// A workload by name, for a process that does nothing else.
pub struct MicroRow {
    /// Its name, and what is counted.
    pub name: &'static str,
    start: fn() -> Step,
}

fn receive(connections: usize, patience: Patience) -> Step {
    let mut ops = Ops::new(connections, patience);
    Box::new(move || ops.receive())
}

fn send(connections: usize, patience: Patience) -> Step {
    let mut ops = Ops::new(connections, patience);
    Box::new(move || ops.send())
}

/// What instructions are counted of.
pub const ROWS: &[MicroRow] = &[
    MicroRow {
        name: "model: echo",
        start: || {
            let mut steps = Steps::default();
            Box::new(move || steps.echo())
        },
    },
    MicroRow { name: "null: receive, 1 connection", start: || receive(1, Patience::Endless) },
    MicroRow { name: "null: receive, 50 connections", start: || receive(50, Patience::Endless) },
    MicroRow { name: "null: receive, 1000 connections", start: || receive(1000, Patience::Endless) },
    MicroRow { name: "null: receive with deadline, 1 connection", start: || receive(1, Patience::Deadline) },
    MicroRow {
        name: "null: receive with deadline, 50 connections",
        start: || receive(50, Patience::Deadline),
    },
    MicroRow {
        name: "null: receive with deadline, 1000 connections",
        start: || receive(1000, Patience::Deadline),
    },
    MicroRow { name: "null: send, 1 connection", start: || send(1, Patience::Endless) },
    MicroRow { name: "null: send, 50 connections", start: || send(50, Patience::Endless) },
    MicroRow { name: "null: send, 1000 connections", start: || send(1000, Patience::Endless) },
    MicroRow { name: "null: send with deadline, 1 connection", start: || send(1, Patience::Deadline) },
    MicroRow { name: "null: send with deadline, 50 connections", start: || send(50, Patience::Deadline) },
    MicroRow { name: "null: send with deadline, 1000 connections", start: || send(1000, Patience::Deadline) },
];

/// Does at least so many operations of a row. Returns how many it did.
///
/// # Errors
///
/// When there is no such row.
///
/// # Panics
///
/// When a step does not do what it says.
pub fn run(name: &str, ops_min: u64) -> io::Result<u64> {
    let row = ROWS.iter().find(|row| row.name == name);
    let mut step = (row.ok_or_else(|| io::Error::other(format!("there is no {name}")))?.start)();
    let mut ops = 0;
    while ops < ops_min {
        ops += step();
    }
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_does_what_it_counts() {
        for row in ROWS {
            let ops = run(row.name, 2000).unwrap();
            assert!((2000..3000).contains(&ops), "{}: {ops}", row.name);
        }
        assert!(run("nothing", 1).is_err());
    }

    #[test]
    fn leases_that_are_dropped_by_another_thread_are_returned() {
        let mut abroad = Abroad::new(50);
        assert_eq!((0..100).map(|_| abroad.receive()).sum::<u64>(), 5000);
    }
}
