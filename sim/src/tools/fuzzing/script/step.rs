//! The steps of a script, as `arbitrary` makes them of bytes.

use arbitrary::{Arbitrary, Unstructured};

use super::answer::ScriptAnswer;

#[derive(Debug)]
pub(super) struct FuzzScript {
    pub(super) setup: ScriptSetup,
    pub(super) steps: Vec<ScriptStep>,
}

impl FuzzScript {
    /// As many steps as there are bytes for. (A derived vector asks after each element whether there is
    /// another, and is short unless the bytes were bred for it.)
    pub(super) fn from_bytes(bytes: &[u8]) -> arbitrary::Result<FuzzScript> {
        let mut source = Unstructured::new(bytes);
        let mut script = FuzzScript { setup: ScriptSetup::arbitrary(&mut source)?, steps: vec![] };
        while !source.is_empty() {
            script.steps.push(ScriptStep::arbitrary(&mut source)?);
        }
        Ok(script)
    }
}

/// Limits, all of them small: each is taken modulo what makes sense.
#[derive(Debug, Arbitrary)]
pub(super) struct ScriptSetup {
    pub(super) connections: u8,
    pub(super) ops: u8,
    pub(super) lane_ops: u8,
    pub(super) turn_attempts: u8,
    pub(super) lane_attempts: u8,
    /// How many buffers of how many bytes.
    pub(super) pools: [(u8, u8); 2],
    pub(super) rearms_on_would_block: bool,
}

/// Names one of what there is, or was: an index modulo the number of them.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) struct Pick(pub(super) u8);

/// Makes a step rare that ends much: it is taken only at one value of many.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) struct Sure(u8);

impl Sure {
    pub(super) const YES: Sure = Sure(0);

    pub(super) fn is_sure(self) -> bool {
        self.0 < 16
    }
}

#[derive(Debug, Arbitrary)]
pub(super) enum ScriptStep {
    /// The system makes calls: the answers to the next ones.
    Attempt(ScriptAnswer),
    /// The user submits something.
    Submit {
        conn: Pick,
        what: ScriptOp,
        due: ScriptDue,
    },
    /// An event says something: the lower bits are those of the readiness.
    Event {
        conn: Pick,
        bits: u8,
    },
    /// A turn's attempts begin.
    Round,
    /// A whole turn.
    Turn {
        answers: [ScriptAnswer; 3],
        ms: u8,
    },
    /// Time passes, or seems to go back.
    Time {
        ms: u16,
        back: bool,
    },
    Expire,
    /// The user takes a completion.
    Take,
    /// The system adopts a socket, or fails to.
    Open {
        listener: bool,
        adopted: bool,
    },
    Cancel(Pick),
    CancelAll(Pick),
    SetDeadline {
        op: Pick,
        due: ScriptDue,
    },
    Resume(Pick),
    Close {
        conn: Pick,
        sure: Sure,
    },
    /// The user drops a lease.
    Drop(Pick),
    /// A dropped lease is returned.
    GiveBack(Pick),
    ShutDown {
        flush_ms: Option<u8>,
        sure: Sure,
    },
}

#[derive(Debug, Arbitrary)]
pub(super) enum ScriptOp {
    Recv(u8),
    RecvExact(u8),
    RecvPooled(u8),
    RecvMany(u8),
    /// Into a lease, if there is one.
    RecvLease(Pick),
    /// Into something that can not be written to.
    RecvShared,
    Send {
        len: u8,
        skip: u8,
        cut: u8,
    },
    /// Of several parts.
    Gather {
        lens: [u8; 3],
        skip: u8,
        cut: u8,
    },
    SendLease(Pick),
    AcceptOne,
    AcceptMany,
    Wait {
        sends: bool,
    },
    Shutdown,
    CloseNow,
    CloseAbort,
    CloseFlush,
    CloseLinger(u8),
    /// Into several parts.
    Scatter {
        lens: [u8; 3],
        exact: bool,
    },
    /// On the model's own id.
    Connect,
    /// On a connection, where it does not belong.
    ConnectThere,
    /// On the model's own id.
    Sleep,
    Post(u8),
    /// On a connection, where they do not belong.
    SleepThere,
    PostThere,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum ScriptDue {
    Never,
    Within(u8),
    At(u16),
}
