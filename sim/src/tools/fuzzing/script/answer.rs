//! What the scripted system answers: everything a real one may, and what only a broken one would.

use aio_model::{Outcome, SystemError, SystemErrorKind};
use arbitrary::Arbitrary;

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum ScriptAnswer {
    /// It happened, to all bytes.
    All,
    /// That many bytes, modulo how many were lent.
    Some(u8),
    /// As many, and no sign that there are no more.
    Partial(u8),
    /// The end of the stream.
    Zero,
    WouldBlock,
    Interrupted,
    Exhausted,
    Failed,
    /// At an accept; everything else fails.
    Refused,
    /// More bytes than were lent.
    TooMany,
    /// The answer to another kind of call.
    Wrong,
}

const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const REFUSED: SystemError = SystemError::from_kind(SystemErrorKind::PermissionDenied);
const NO_DESCRIPTOR: SystemError = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
const SHORT: SystemError = SystemError::from_kind(SystemErrorKind::OutOfMemory);

impl ScriptAnswer {
    /// The outcome of a transfer of at most `lent` bytes.
    pub(super) fn to_transfer(self, lent: usize) -> Outcome {
        let some = |count: u8| 1 + usize::from(count) % lent.max(1);
        match self {
            ScriptAnswer::All => Outcome::Transferred(lent),
            ScriptAnswer::Some(count) => Outcome::Transferred(some(count)),
            ScriptAnswer::Partial(count) => Outcome::Partial(some(count)),
            ScriptAnswer::Zero => Outcome::Transferred(0),
            ScriptAnswer::TooMany => Outcome::Transferred(lent + 1),
            ScriptAnswer::Wrong => Outcome::Done,
            other => other.to_hindrance(),
        }
    }

    /// The outcome of a call that happens or does not.
    pub(super) fn to_control(self) -> Outcome {
        match self {
            ScriptAnswer::All | ScriptAnswer::Some(_) | ScriptAnswer::Partial(_) | ScriptAnswer::Zero => {
                Outcome::Done
            }
            ScriptAnswer::TooMany => Outcome::Partial(1),
            ScriptAnswer::Wrong => Outcome::Transferred(1),
            other => other.to_hindrance(),
        }
    }

    /// The outcome of an accept.
    pub(super) fn to_accept(self) -> Outcome {
        match self {
            ScriptAnswer::Refused => Outcome::Refused(REFUSED),
            ScriptAnswer::Exhausted => Outcome::Exhausted(NO_DESCRIPTOR),
            other => other.to_control(),
        }
    }

    fn to_hindrance(self) -> Outcome {
        match self {
            ScriptAnswer::WouldBlock => Outcome::WouldBlock,
            ScriptAnswer::Interrupted => Outcome::Interrupted,
            ScriptAnswer::Exhausted => Outcome::Exhausted(SHORT),
            _ => Outcome::Failed(RESET),
        }
    }
}
