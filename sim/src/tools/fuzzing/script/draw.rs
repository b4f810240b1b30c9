//! Scripts that get somewhere: steps as likely as they are useful. Bytes alone, however many, hardly ever
//! park a lane.

use super::answer::ScriptAnswer;
use super::step::{Pick, ScriptDue, ScriptOp, ScriptSetup, ScriptStep, Sure};
use crate::world::choice::Choice;

fn byte(choice: &mut Choice, bound: u64) -> u8 {
    u8::try_from(choice.below(bound)).unwrap_or(u8::MAX)
}

/// Limits and pools, most of them very small.
pub(super) fn setup(choice: &mut Choice) -> ScriptSetup {
    let mut small = |most: u64| byte(choice, most);
    let (connections, ops, lane_ops) = (2 + small(6), 1 + small(23), 1 + small(5));
    let (turn_attempts, lane_attempts) = (small(8), small(4));
    let pools = [(small(2), 8), (small(2), 4)];
    let rearms_on_would_block = small(2) == 1;
    ScriptSetup { connections, ops, lane_ops, turn_attempts, lane_attempts, pools, rearms_on_would_block }
}

/// Mostly one of the latest.
fn pick(choice: &mut Choice) -> Pick {
    Pick(if choice.below(4) == 0 { byte(choice, 256) } else { byte(choice, 3) })
}

fn due(choice: &mut Choice) -> ScriptDue {
    match choice.below(6) {
        0 => ScriptDue::Within(byte(choice, 20)),
        1 => ScriptDue::At(u16::from(byte(choice, 200))),
        _ => ScriptDue::Never,
    }
}

fn answer(choice: &mut Choice) -> ScriptAnswer {
    let part = byte(choice, 9);
    match choice.below(17) {
        0..=3 => ScriptAnswer::All,
        4..=6 => ScriptAnswer::Some(part),
        7 => ScriptAnswer::Partial(part),
        8 => ScriptAnswer::Zero,
        9..=11 => ScriptAnswer::WouldBlock,
        12 => ScriptAnswer::Interrupted,
        13 => ScriptAnswer::Exhausted,
        14 => ScriptAnswer::Failed,
        15 => ScriptAnswer::Refused,
        _ => *choice.pick(&[ScriptAnswer::TooMany, ScriptAnswer::Wrong]),
    }
}

pub(super) fn step(choice: &mut Choice) -> ScriptStep {
    match choice.below(64) {
        0..=19 => ScriptStep::Attempt(answer(choice)),
        20..=33 => ScriptStep::Submit { conn: pick(choice), what: what(choice), due: due(choice) },
        34..=41 => ScriptStep::Event { conn: pick(choice), bits: 1 + byte(choice, 31) },
        42..=46 => ScriptStep::Round,
        47..=48 => ScriptStep::Time { ms: u16::from(byte(choice, 8)), back: choice.below(8) == 0 },
        49..=50 => ScriptStep::Expire,
        51..=53 => ScriptStep::Take,
        54..=55 => ScriptStep::Open { listener: choice.below(4) == 0, adopted: choice.below(8) > 0 },
        56..=57 => ScriptStep::Cancel(pick(choice)),
        58 => ScriptStep::CancelAll(pick(choice)),
        59 => ScriptStep::SetDeadline { op: pick(choice), due: due(choice) },
        60 => ScriptStep::Resume(pick(choice)),
        61 => ScriptStep::Drop(pick(choice)),
        62 => ScriptStep::GiveBack(pick(choice)),
        _ => match choice.below(8) {
            0 => {
                let flush_ms = (choice.below(2) == 0).then(|| byte(choice, 20));
                ScriptStep::ShutDown { flush_ms, sure: Sure::YES }
            }
            _ => ScriptStep::Close { conn: pick(choice), sure: Sure::YES },
        },
    }
}

fn what(choice: &mut Choice) -> ScriptOp {
    let len = byte(choice, 12);
    match choice.below(32) {
        0..=5 => ScriptOp::RecvPooled(byte(choice, 2)),
        6..=7 => ScriptOp::RecvMany(byte(choice, 3)),
        8 => ScriptOp::Recv(len),
        9 => ScriptOp::Wait { sends: choice.below(2) == 0 },
        10..=11 => ScriptOp::RecvExact(len),
        12 => ScriptOp::Scatter { lens: [len, 3, 2], exact: choice.below(2) == 0 },
        13..=17 => ScriptOp::Send { len, skip: 0, cut: 0 },
        18 => ScriptOp::Gather { lens: [len, 0, 5], skip: 1, cut: 0 },
        19 => ScriptOp::SendLease(pick(choice)),
        20..=21 => ScriptOp::AcceptOne,
        22..=24 => ScriptOp::AcceptMany,
        25..=26 => ScriptOp::Connect,
        27 => ScriptOp::Shutdown,
        28 if choice.below(2) == 0 => ScriptOp::CloseNow,
        28 => ScriptOp::CloseAbort,
        29 => ScriptOp::CloseFlush,
        30 => ScriptOp::CloseLinger(byte(choice, 10)),
        _ => match choice.below(2) {
            0 => ScriptOp::Sleep,
            _ => ScriptOp::Post(len),
        },
    }
}
