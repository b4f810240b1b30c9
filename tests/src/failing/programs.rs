//! The scenarios: what the program does, and what its peers do. Each program does the same with every
//! failure: it closes the connection that had it, and whatever that one was for.

mod early;
mod insisting;
mod proxy;
mod sending;
mod serving;

use aio::{Builder, Proactor};

use super::stage::{Program, Stage};
use crate::pair::Family;

pub use proxy::Proxy;

/// A scenario.
#[derive(Clone, Copy)]
pub struct FailureScenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The limits and pools that it runs with.
    pub builder: fn() -> Builder,
    /// Puts everything on the stage and begins.
    pub begin: fn(&mut Stage) -> Box<dyn Program>,
    /// How many peers may suffer from one failure of one connection.
    pub suffering_max: usize,
}

impl std::fmt::Debug for FailureScenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What a proxy runs with.
pub fn proxy_builder() -> Builder {
    pool()
}

fn pool() -> Builder {
    Proactor::<()>::builder().pool(16, 4096)
}

fn pool_of_one() -> Builder {
    Proactor::<()>::builder().pool(1, 256)
}

/// All of them.
pub const SCENARIOS: &[FailureScenario] = &[
    FailureScenario {
        name: "echo-tcp",
        builder: pool,
        begin: |stage| serving::echo(stage, Family::Tcp),
        suffering_max: 1,
    },
    FailureScenario {
        name: "echo-unix",
        builder: pool,
        begin: |stage| serving::echo(stage, Family::Unix),
        suffering_max: 1,
    },
    FailureScenario { name: "proxy", builder: pool, begin: proxy::begin, suffering_max: 2 },
    FailureScenario { name: "accept-many", builder: pool, begin: serving::greet_many, suffering_max: 1 },
    FailureScenario { name: "accept-one", builder: pool, begin: serving::greet_one, suffering_max: 1 },
    FailureScenario {
        name: "call-tcp",
        builder: pool,
        begin: |stage| sending::call(stage, Family::Tcp),
        suffering_max: 1,
    },
    FailureScenario {
        name: "call-unix",
        builder: pool,
        begin: |stage| sending::call(stage, Family::Unix),
        suffering_max: 1,
    },
    FailureScenario { name: "vectored", builder: pool, begin: sending::parts, suffering_max: 1 },
    FailureScenario { name: "pool-of-one", builder: pool_of_one, begin: serving::share, suffering_max: 1 },
    FailureScenario { name: "waits", builder: pool, begin: serving::wait, suffering_max: 1 },
    FailureScenario { name: "deadlines", builder: pool, begin: early::deadlines, suffering_max: 1 },
    FailureScenario { name: "closes", builder: pool, begin: early::closes, suffering_max: 1 },
    FailureScenario { name: "cancels", builder: pool, begin: early::cancels, suffering_max: 1 },
    FailureScenario { name: "given-up", builder: pool, begin: early::connects, suffering_max: 0 },
    FailureScenario { name: "insists", builder: pool, begin: insisting::begin, suffering_max: 1 },
];

/// Whether a completion says that bytes have come.
fn has_bytes(done: &aio::Completion<usize>) -> bool {
    done.result == Ok(aio::Done::Received { end_of_stream: false })
}

/// Whether a completion says that no more bytes will come.
fn is_end(done: &aio::Completion<usize>) -> bool {
    done.result == Ok(aio::Done::Received { end_of_stream: true })
}
