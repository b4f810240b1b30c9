//! The timers against a sorted map.

use std::collections::BTreeMap;

use aio_model::Tick;
use aio_model::timers::{TimerId, Timers};

use super::Verdict;

/// Every four bytes arm a timer or a crowd of them, cancel one, or let time pass; the timers do what a sorted
/// map does.
///
/// # Errors
///
/// Where they differ.
pub fn timers(bytes: &[u8]) -> Verdict {
    judge(&mut Timers::new(), bytes)
}

/// What is judged: the timers, or what a test makes of them.
trait Queue {
    fn timers(&mut self) -> &mut Timers<usize>;

    fn arm(&mut self, at: Tick, owner: usize) -> TimerId {
        self.timers().arm(at, owner)
    }

    fn earliest(&mut self) -> Option<Tick> {
        self.timers().earliest()
    }

    fn pop_due(&mut self, now: Tick) -> Option<usize> {
        self.timers().pop_due(now)
    }
}

impl Queue for Timers<usize> {
    fn timers(&mut self) -> &mut Timers<usize> {
        self
    }
}

fn judge(queue: &mut impl Queue, bytes: &[u8]) -> Verdict {
    // By serial number within a tick: of those of one tick, the one armed first comes first.
    let mut naive: BTreeMap<(Tick, usize), TimerId> = BTreeMap::new();
    let mut now = 0;
    let mut serial = 0;
    for step in bytes.chunks_exact(4) {
        // Near, so that many fall into one tick; or a number of up to 2^16, shifted by up to 31 bits.
        let amount = match step[0] {
            0x80.. => u64::from(step[1] % 8),
            _ => u64::from(u16::from_le_bytes([step[1], step[2]])) << (step[3] % 32),
        };
        match step[0] % 4 {
            // A crowd within one slot, more than a list holds: one exactly at its beginning, where digits
            // change.
            0 if step[0] & 0x70 == 0x70 => {
                let unit = 1_u64 << (6 * (1 + step[1] % 4));
                let slot = (now / unit + 1) * unit;
                arm(queue, &mut naive, &mut serial, slot)?;
                for nth in 1..18 + u64::from(step[2] % 16) {
                    arm(queue, &mut naive, &mut serial, slot + nth * (1 + u64::from(step[3])) % unit)?;
                }
            }
            0 | 1 => arm(queue, &mut naive, &mut serial, now + amount)?,
            2 => {
                let nth = usize::from(step[1]) % naive.len().max(1);
                let Some((&key, &timer)) = naive.iter().nth(nth) else { continue };
                naive.remove(&key);
                let owner = queue.timers().cancel(timer);
                ensure!(owner == key.1, "cancelled {}, and {owner} came back", key.1);
            }
            _ => {
                now += amount;
                while let Some(owner) = queue.pop_due(Tick(now)) {
                    let first = naive.pop_first().map(|(key, _)| key);
                    let due = first.is_some_and(|(at, serial)| at.0 <= now && serial == owner);
                    ensure!(due, "at {now} fired {owner}, but {first:?} is the first");
                }
            }
        }
        let first = naive.keys().next().map(|(at, _)| *at);
        let earliest = queue.earliest();
        ensure!(earliest == first, "the earliest is {first:?}, not {earliest:?}");
        let fires_late = step[0] % 4 == 3 && first.is_some_and(|at| at.0 <= now);
        ensure!(!fires_late, "at {now}, {first:?} has not fired");
        let len = queue.timers().len() as usize;
        ensure!(len == naive.len(), "{} timers, not {len}", naive.len());
    }
    Ok(())
}

/// Arms a timer in both.
fn arm(
    queue: &mut impl Queue,
    naive: &mut BTreeMap<(Tick, usize), TimerId>,
    serial: &mut usize,
    tick: u64,
) -> Verdict {
    *serial += 1;
    // What lies past the end of time counts as its end.
    let (at, serial) = (Tick(tick.min((1 << 48) - 1)), *serial);
    let timer = queue.arm(at, serial);
    naive.insert((at, serial), timer);
    let found = queue.timers().get(timer).map(|(at, owner)| (at, *owner));
    ensure!(found == Some((at, serial)), "armed {serial} for {at:?}, found {found:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fuzzing::property::{holds, rejects};

    #[test]
    fn the_timers_do_what_a_sorted_map_does() {
        holds(timers, 600);
    }

    /// Knows the slot of its minimum only, as a timing wheel does.
    struct Wheel(Timers<usize>);

    impl Queue for Wheel {
        fn timers(&mut self) -> &mut Timers<usize> {
            &mut self.0
        }

        fn earliest(&mut self) -> Option<Tick> {
            self.0.earliest().map(|at| Tick(at.0 & !0x3f))
        }
    }

    /// Fires a tick later than it should.
    struct Late(Timers<usize>);

    impl Queue for Late {
        fn timers(&mut self) -> &mut Timers<usize> {
            &mut self.0
        }

        fn pop_due(&mut self, now: Tick) -> Option<usize> {
            self.0.pop_due(Tick(now.0.checked_sub(1)?))
        }
    }

    /// Fires the second of a tick before the first.
    struct Unfair(Timers<usize>);

    impl Queue for Unfair {
        fn timers(&mut self) -> &mut Timers<usize> {
            &mut self.0
        }

        fn pop_due(&mut self, now: Tick) -> Option<usize> {
            let at = self.0.earliest()?;
            let first = self.0.pop_due(now)?;
            if self.0.earliest() == Some(at) {
                self.0.arm(at, first);
                return self.0.pop_due(now);
            }
            Some(first)
        }
    }

    #[test]
    fn wrong_timers_are_rejected() {
        rejects(|bytes| judge(&mut Wheel(Timers::new()), bytes), 600);
        rejects(|bytes| judge(&mut Late(Timers::new()), bytes), 600);
        rejects(|bytes| judge(&mut Unfair(Timers::new()), bytes), 600);
    }
}
