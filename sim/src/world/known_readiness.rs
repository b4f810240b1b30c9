//! Known readiness: what the model would know of each direction, from the answers and events that it got.
//!
//! These are the model's rules in their plainest form, and the only ones that it relies on. A direction that
//! is not known to be ready is not tried again before an event; so if it is ready, one must come. This is
//! held against the simulated system in `sim_contract`, and against the kernel in the conformance tests.

use aio_model::{Direction, Outcome, Readiness, Rearm};

/// What is known of one direction.
#[derive(Debug, Clone, Copy)]
struct Known {
    ready: bool,
    /// More than bytes may be waiting: a short transfer proves nothing.
    end_hinted: bool,
}

/// What is known of a connection or listener.
#[derive(Debug, Clone)]
pub struct KnownReadiness {
    rearm: Rearm,
    lanes: [Known; 2],
}

impl KnownReadiness {
    /// At first: a receive waits for an event, a send is tried at once.
    pub fn new(rearm: Rearm) -> KnownReadiness {
        let lane = |ready| Known { ready, end_hinted: false };
        KnownReadiness { rearm, lanes: [lane(false), lane(true)] }
    }

    /// Whether an attempt in this direction may succeed.
    pub fn is_ready(&self, direction: Direction) -> bool {
        self.lanes[direction as usize].ready
    }

    /// An event came.
    pub fn on_event(&mut self, readiness: Readiness) {
        let wakes = [readiness.wakes_receive(), readiness.wakes_send()];
        for (lane, _) in self.lanes.iter_mut().zip(wakes).filter(|(_, wakes)| *wakes) {
            lane.ready = true;
            lane.end_hinted |= readiness.hints_end();
        }
    }

    /// An attempt was answered that could have moved `bytes_max` bytes.
    pub fn on_outcome(&mut self, direction: Direction, bytes_max: usize, outcome: Outcome) {
        let lane = &mut self.lanes[direction as usize];
        match outcome {
            Outcome::WouldBlock => *lane = Known { ready: false, end_hinted: false },
            // A short transfer proves that there is no more.
            Outcome::Transferred(count) if (1..bytes_max).contains(&count) => {
                lane.ready &= self.rearm == Rearm::OnWouldBlock || lane.end_hinted;
            }
            _ => {}
        }
    }
}
