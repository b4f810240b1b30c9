//! The rules of the contract, and what each promises.

/// Each rule: its name, its title, and what it promises.
pub(crate) const RULES: &[(&str, &str, &str)] = &[
    (
        "C1",
        "Exactly one",
        "An accepted operation has exactly one final completion, before its connection's `Closed`; a refused one has none, and everything is given back.",
    ),
    (
        "C2",
        "Nothing is lost",
        "A completion carries context, connection, operation, buffer, the bytes moved by all attempts together, and the result, on every outcome.",
    ),
    (
        "C3",
        "Order",
        "First in, first out in each lane; only a deadline or a cancel lets an operation end before an earlier one.",
    ),
    (
        "C4",
        "Bytes",
        "Received bytes are a gap-free prefix of what the peer sent; what the kernel got is the reported prefixes of the sends, one after the other.",
    ),
    (
        "C5",
        "Taint",
        "A send that ends after a part of its bytes ends those behind it with `Tainted`, and new ones are refused, until the lane is resumed.",
    ),
    (
        "C6",
        "Never blocks, never drops",
        "Submitting reserves the place of the completion or refuses with `Busy`, and whatever can go on does: no event is lost, nothing deadlocks.",
    ),
    (
        "C7",
        "Re-entrancy",
        "Submit, cancel, close and the release of a lease are legal anywhere, at any time, in the middle of handling completions too.",
    ),
    (
        "T1",
        "Deadlines",
        "What has no deadline never times out; what has one never does so early, and ends in the first turn at or after it, rounded up to the millisecond.",
    ),
    (
        "T2",
        "Ties",
        "In one turn, bytes already moved come first, then a cancel, then the deadline: what is complete is a success.",
    ),
    (
        "T3",
        "Time is a value",
        "Backward steps of the clock count as none; jumps of hours and spans without end work.",
    ),
    (
        "B1",
        "Linear",
        "A buffer is in one place at a time: user, operation, completion or pool; in the end none is lent.",
    ),
    (
        "B2",
        "Pooled receive",
        "A lease is taken only when there is something to read, and given back when there was not: idle connections hold none.",
    ),
    (
        "B3",
        "An empty pool parks",
        "Readable lanes wait in line for a buffer, and a buffer that comes home goes to the one that has waited longest; nobody else waits, nothing spins.",
    ),
    (
        "B4",
        "Leases are the user's",
        "A lease can be sent as it is, turned into `Bytes`, or dropped, on any thread.",
    ),
    (
        "K1",
        "Identity",
        "An id never reaches another connection or operation than the one it was made for: stale calls are refused, stale events dropped.",
    ),
    (
        "K2",
        "Close",
        "Closing ends every operation, flushes first if asked to, and closes the descriptor once, when nothing can touch it any more.",
    ),
    ("K3", "Half-close", "A shutdown takes effect after the sends queued before it; receiving goes on."),
    (
        "K4",
        "End of stream",
        "It is a success with no bytes, but cuts an exact receive short; it and errors are sticky, and reach every operation of their lane.",
    ),
    (
        "K5",
        "Exhaustion",
        "Accepting resumes by itself after the system ran out of something, and stops at the limits, without spinning.",
    ),
    (
        "K6",
        "Fairness",
        "A turn is bounded, and so is each lane's part of it; whoever is ready is served before others are served again.",
    ),
    (
        "K7",
        "Errors are values",
        "No peer, no answer of a kernel and no call of the user's panics, aborts or hangs the library.",
    ),
];
