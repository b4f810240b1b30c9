//! How long things take at most when a fault draws them out. All of them end, so that a run that stops being
//! disturbed comes to rest.

use std::time::Duration;

/// Of [`latency`](crate::world::faults::Faults::latency).
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(1);
/// How long a kernel waits for an answer to its connect: what Linux takes for six retries.
pub(crate) const SILENCE: Duration = Duration::from_secs(127);
/// Of [`stall`](crate::world::faults::Faults::stall).
pub(crate) const STALL_MAX: Duration = Duration::from_secs(3600);
/// Until bytes or connections that were held back arrive again, and until pressure is off.
pub(crate) const HOLD_MAX: Duration = Duration::from_millis(10);
/// Between two pieces of what was sent at once.
pub(crate) const SEGMENT_GAP_MAX: Duration = Duration::from_millis(1);
/// Of [`event_delayed`](crate::world::faults::Faults::event_delayed).
pub(crate) const EVENT_DELAY_MAX: Duration = Duration::from_secs(1);
/// Of [`wait_late`](crate::world::faults::Faults::wait_late).
pub(crate) const LATE_MAX: Duration = Duration::from_secs(3600);
/// Of [`process_stopped`](crate::world::faults::Faults::process_stopped).
pub(crate) const STOP_MAX: Duration = Duration::from_secs(3600);
/// Of [`clock_ticks`](crate::world::faults::Faults::clock_ticks).
pub(crate) const TICK_MAX: Duration = Duration::from_millis(1);
/// Of [`clock_jumps`](crate::world::faults::Faults::clock_jumps).
pub(crate) const JUMP_MAX: Duration = Duration::from_secs(24 * 3600);
/// Of [`clock_backwards`](crate::world::faults::Faults::clock_backwards).
pub(crate) const BACKWARDS_MAX: Duration = Duration::from_secs(1);
