//! The whole model under scripts: every call a user can make and every answer a system can give, in any
//! order.

mod answer;
mod draw;
mod ledger;
mod observe;
mod player;
mod promise;
mod request;
mod step;

use super::Verdict;
use player::{Meddle, Player};
use step::FuzzScript;

pub use observe::{Machine, Observed, observe};

/// Plays a script that `arbitrary` makes of the bytes, without the simulator. The model's invariants hold
/// after every step; an accepted operation completes exactly once, with the bytes that went through in all
/// its attempts together, in order; and in the end nothing is left.
///
/// # Errors
///
/// What did not hold, and the script.
pub fn script(bytes: &[u8]) -> Verdict {
    play(|_| 1, bytes)
}

fn play(meddle: Meddle, bytes: &[u8]) -> Verdict {
    let Ok(script) = FuzzScript::from_bytes(bytes) else { return Ok(()) };
    let mut player = Player::new(&script.setup, meddle);
    for (nth, step) in script.steps.iter().enumerate() {
        let blame = |what| format!("{what}\nafter step {nth} of {script:#?}");
        player.step(step).and_then(|()| player.check()).map_err(blame)?;
    }
    player.end().map_err(|what| format!("{what}\nat the end of {script:#?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aio_model::{Buffer, Done};

    use crate::tools::fuzzing::property::{holds, rejects};

    #[test]
    fn the_model_keeps_its_promises_on_any_script() {
        holds(script, 800);
    }

    #[test]
    fn a_model_that_breaks_its_promises_is_rejected() {
        let loses: Meddle = |completion| usize::from(completion.more);
        let repeats: Meddle = |_| 2;
        let miscounts: Meddle = |completion| {
            completion.bytes += u64::from(completion.bytes > 0);
            1
        };
        let misplaces: Meddle = |completion| {
            if let Buffer::Vec(bytes) = &mut completion.buffer {
                bytes.iter_mut().for_each(|byte| *byte ^= 1);
            }
            1
        };
        let flatters: Meddle = |completion| {
            completion.result = completion.result.or(Ok(Done::Sent));
            1
        };
        for broken in [loses, repeats, miscounts, misplaces, flatters] {
            rejects(|bytes| play(broken, bytes), 800);
        }
    }
}
