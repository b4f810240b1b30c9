//! Scripts that get somewhere: steps as likely as they are useful. Bytes alone, however many, hardly ever
//! park a lane.

use super::answer::Answer;
use super::step::{Due, Pick, Setup, Step, Sure, What};
use crate::world::choice::Choice;

fn byte(choice: &mut Choice, bound: u64) -> u8 {
    u8::try_from(choice.below(bound)).unwrap_or(u8::MAX)
}

/// Limits and pools, most of them very small.
pub(super) fn setup(choice: &mut Choice) -> Setup {
    let mut small = |most: u64| byte(choice, most);
    let (connections, ops, lane_ops) = (2 + small(6), 1 + small(23), 1 + small(5));
    let (turn_attempts, lane_attempts) = (small(8), small(4));
    let pools = [(small(2), 8), (small(2), 4)];
    let rearms_on_would_block = small(2) == 1;
    Setup { connections, ops, lane_ops, turn_attempts, lane_attempts, pools, rearms_on_would_block }
}

/// Mostly one of the latest.
fn pick(choice: &mut Choice) -> Pick {
    Pick(if choice.below(4) == 0 { byte(choice, 256) } else { byte(choice, 3) })
}

fn due(choice: &mut Choice) -> Due {
    match choice.below(6) {
        0 => Due::Within(byte(choice, 20)),
        1 => Due::At(u16::from(byte(choice, 200))),
        _ => Due::Never,
    }
}

fn answer(choice: &mut Choice) -> Answer {
    let part = byte(choice, 9);
    match choice.below(17) {
        0..=3 => Answer::All,
        4..=6 => Answer::Some(part),
        7 => Answer::Partial(part),
        8 => Answer::Zero,
        9..=11 => Answer::WouldBlock,
        12 => Answer::Interrupted,
        13 => Answer::Exhausted,
        14 => Answer::Failed,
        15 => Answer::Refused,
        _ => *choice.pick(&[Answer::TooMany, Answer::Wrong]),
    }
}

pub(super) fn step(choice: &mut Choice) -> Step {
    match choice.below(64) {
        0..=19 => Step::Attempt(answer(choice)),
        20..=33 => Step::Submit { conn: pick(choice), what: what(choice), due: due(choice) },
        34..=41 => Step::Event { conn: pick(choice), bits: 1 + byte(choice, 31) },
        42..=46 => Step::Round,
        47..=48 => Step::Time { ms: u16::from(byte(choice, 8)), back: choice.below(8) == 0 },
        49..=50 => Step::Expire,
        51..=53 => Step::Take,
        54..=55 => Step::Open { listener: choice.below(4) == 0, adopted: choice.below(8) > 0 },
        56..=57 => Step::Cancel(pick(choice)),
        58 => Step::CancelAll(pick(choice)),
        59 => Step::SetDeadline { op: pick(choice), due: due(choice) },
        60 => Step::Resume(pick(choice)),
        61 => Step::Drop(pick(choice)),
        62 => Step::GiveBack(pick(choice)),
        _ => match choice.below(8) {
            0 => {
                let flush_ms = (choice.below(2) == 0).then(|| byte(choice, 20));
                Step::ShutDown { flush_ms, sure: Sure::YES }
            }
            _ => Step::Close { conn: pick(choice), sure: Sure::YES },
        },
    }
}

fn what(choice: &mut Choice) -> What {
    let len = byte(choice, 12);
    match choice.below(32) {
        0..=7 => What::RecvPooled(byte(choice, 2)),
        8..=9 => What::Recv(len),
        10..=11 => What::RecvExact(len),
        12 => What::Scatter { lens: [len, 3, 2], exact: choice.below(2) == 0 },
        13..=17 => What::Send { len, skip: 0, cut: 0 },
        18 => What::Gather { lens: [len, 0, 5], skip: 1, cut: 0 },
        19 => What::SendLease(pick(choice)),
        20..=21 => What::AcceptOne,
        22..=24 => What::AcceptMany,
        25..=26 => What::Connect,
        27 => What::Shutdown,
        28 if choice.below(2) == 0 => What::CloseNow,
        28 => What::CloseAbort,
        29 => What::CloseFlush,
        30 => What::CloseLinger(byte(choice, 10)),
        _ => match choice.below(2) {
            0 => What::Sleep,
            _ => What::Post(len),
        },
    }
}
