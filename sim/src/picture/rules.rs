//! The rules of the contract, each in one sentence: so that a page can say what was broken.

/// The name of a rule, what it is about, and what it promises.
const RULES: &[(&str, &str, &str)] = &[
    (
        "C1",
        "Exactly one",
        "Every accepted operation has exactly one final completion, before its connection's Closed; a \
         refused one has none, and everything comes back at once.",
    ),
    (
        "C2",
        "Nothing is lost",
        "Every completion carries its context, connection, id, buffer, count of bytes and result, on \
         every outcome.",
    ),
    (
        "C3",
        "Order",
        "A lane is first in, first out; only a deadline or a cancel lets an operation end before an \
         earlier one.",
    ),
    (
        "C4",
        "Bytes",
        "Received bytes are a gap-free prefix of what the peer sent; sends of one connection never \
         interleave.",
    ),
    (
        "C5",
        "Taint",
        "A send that ends after part of its bytes taints the lane: nothing is sent behind it until the \
         user resumes or closes.",
    ),
    (
        "C6",
        "Never blocks, never drops",
        "Accepting an operation reserves its completion; limits refuse with Busy; no pattern of use \
         deadlocks, and no wake-up is lost.",
    ),
    ("C7", "Re-entrancy", "Submit, cancel, close and releasing a lease are legal at any time."),
    (
        "T1",
        "Deadlines",
        "An operation ends in the first turn at or after its deadline, and never before it; one without a \
         deadline never times out.",
    ),
    ("T2", "Ties", "In one turn: bytes already moved, then cancel, then deadline."),
    ("T3", "Time", "Time is a value passed in; steps back are clamped, jumps work."),
    (
        "B1",
        "Linear",
        "A buffer is at any moment in exactly one place, and nothing touches it after its completion.",
    ),
    (
        "B2",
        "Pooled receive",
        "A lease is taken only when the lane is readable, and given back when the receive would block; \
         idle connections hold none.",
    ),
    (
        "B3",
        "An empty pool",
        "An empty pool parks the readable connection; the next released lease goes to the longest parked \
         one.",
    ),
    ("B4", "Leases", "A lease can be sent as it is, turned into bytes, or dropped, on any thread."),
    (
        "K1",
        "Identity",
        "An id carries a generation: a stale id or a late event never reaches another connection.",
    ),
    (
        "K2",
        "Close",
        "Close is idempotent; queued operations end with Closed, or are flushed first; the descriptor is \
         closed exactly once.",
    ),
    ("K3", "Half-close", "A shutdown takes effect after the sends queued before it, and receiving goes on."),
    (
        "K4",
        "End of stream",
        "The end is a success with no bytes; errors stick to their lane and reach every queued operation.",
    ),
    (
        "K5",
        "Accept",
        "Accepting resumes by itself after exhaustion, without spinning, and stops at the limit of \
         connections.",
    ),
    (
        "K6",
        "Fairness",
        "Turns are bounded; no lane exceeds its budget, none that is ready is passed over, and no call is \
         made without a reason.",
    ),
    (
        "K7",
        "Errors are values",
        "Nothing that a peer, the kernel or a caller does panics, aborts or hangs the library.",
    ),
];

/// What a rule is about, and what it promises.
pub(crate) fn rule(name: &str) -> (&'static str, &'static str) {
    let found = RULES.iter().find(|(rule, _, _)| *rule == name);
    found.map_or(("", ""), |(_, about, promise)| (about, promise))
}
