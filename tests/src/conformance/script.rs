//! Scripts: what both ends of a few connections do, in order, drawn from a seed.

use aio_model::Direction;
use sim::{Choice, Odds};

use crate::pair::Family;

/// One step. A step that makes no sense when its turn comes is left out, so any part of a script is one, too.
/// `at` says which of the connections that it could be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A connected stream is adopted.
    Adopt,
    /// A connection is made to a peer that listens.
    Connect,
    /// A connection is made to where nobody listens.
    ConnectNobody,
    /// A peer connects to the listener; it is made if there is none.
    PeerConnect,
    /// A peer that waits to be accepted goes away.
    PeerVanish {
        /// With a reset instead of an end.
        reset: bool,
    },
    /// A connection is accepted.
    Accept,
    /// The listener is closed, whatever waits in its queue.
    Unlisten,
    /// Bytes are received, into one buffer or several.
    Recv {
        /// Which connection.
        at: usize,
        /// The sizes of the buffers.
        pieces: Vec<usize>,
    },
    /// Bytes are received until there are no more.
    Drain {
        /// Which connection.
        at: usize,
        /// The size of the buffer.
        piece: usize,
    },
    /// What is at hand is thrown away.
    Discard {
        /// Which connection.
        at: usize,
    },
    /// Bytes are sent, from one buffer or several.
    Send {
        /// Which connection.
        at: usize,
        /// The sizes of the buffers.
        pieces: Vec<usize>,
    },
    /// Bytes are sent until there is no room.
    Fill {
        /// Which connection.
        at: usize,
        /// The size of the buffer.
        piece: usize,
    },
    /// The kernel is asked whether a receive or a send would block.
    Poll {
        /// Which connection.
        at: usize,
        /// Which of the two.
        direction: Direction,
    },
    /// A byte is received, and left where it is.
    Peek {
        /// Which connection.
        at: usize,
    },
    /// The end is sent.
    Shutdown {
        /// Which connection.
        at: usize,
    },
    /// The connection is closed.
    Close {
        /// Which connection.
        at: usize,
    },
    /// The connection is closed with a reset.
    Abort {
        /// Which connection.
        at: usize,
    },
    /// The peer writes.
    PeerWrite {
        /// Which peer.
        at: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// The peer writes until there is no room.
    PeerFill {
        /// Which peer.
        at: usize,
    },
    /// The peer reads.
    PeerRead {
        /// Which peer.
        at: usize,
        /// How many bytes at most.
        bytes: usize,
    },
    /// The peer reads until there is nothing more.
    PeerDrain {
        /// Which peer.
        at: usize,
    },
    /// The peer sends the end.
    PeerShutdown {
        /// Which peer.
        at: usize,
    },
    /// The peer closes its socket.
    PeerClose {
        /// Which peer.
        at: usize,
    },
    /// The peer resets the connection; on a Unix socket it closes.
    PeerReset {
        /// Which peer.
        at: usize,
    },
    /// Events are taken.
    Wait,
    /// Events are waited for, for a millisecond at most.
    Nap,
    /// Nothing is done at this end for so long, whatever comes meanwhile.
    Stall {
        /// In milliseconds.
        millis: u64,
    },
    /// Another holder of the socket reads its error, which is reported once.
    AskError {
        /// Which connection.
        at: usize,
    },
    /// Another holder of the socket makes it blocking.
    Block {
        /// Which connection.
        at: usize,
    },
    /// Another holder of the listener makes it blocking.
    BlockListener,
}

/// A script, and the sockets that it is played on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What sockets.
    pub family: Family,
    /// The kernel's buffers are as small as it lets them be.
    pub narrow: bool,
    /// Small packets wait for the acknowledgement of those before.
    pub nagle: bool,
    /// Signals strike all the while.
    pub signals: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

/// The most steps of a script.
const STEPS_MAX: u64 = 30;

impl Script {
    /// The script of a seed.
    pub fn of_seed(seed: u64, family: Family) -> Script {
        let mut choice = Choice::seeded(seed);
        let mut script = Script::draw(&mut choice, family);
        script.signals = choice.chance(Odds::one_in(8));
        for _ in 0..*choice.pick(&[0, 1, 0, 2, 4]) {
            let place = 1 + choice.index(script.steps.len());
            script.steps.splice(place..place, interference(&mut choice));
        }
        script
    }

    /// The same, but nobody interferes: no signals, no stalls, and no sockets that are shared.
    pub fn undisturbed_of_seed(seed: u64, family: Family) -> Script {
        Script::draw(&mut Choice::seeded(seed), family)
    }

    fn draw(choice: &mut Choice, family: Family) -> Script {
        let narrow = choice.chance(Odds::one_in(3));
        let nagle = choice.chance(Odds::one_in(8));
        let count = choice.within(3..=STEPS_MAX);
        let weights: Vec<u32> =
            WEIGHTS.iter().map(|weight| weight * *choice.pick(&[4, 4, 1, 8, 0])).collect();
        let first = choice.pick(&[Step::Adopt, Step::Connect, Step::PeerConnect]).clone();
        let rest = (1..count).map(|_| draw(choice, &weights, narrow));
        let steps = std::iter::once(first).chain(rest).collect();
        Script { family, narrow, nagle, signals: false, steps }
    }
}

/// What others do to this end.
fn interference(choice: &mut Choice) -> Vec<Step> {
    let at = choice.index(4);
    match choice.weighted(&[4, 2, 1, 2, 1, 6, 2]) {
        0 => vec![Step::Nap],
        1 => vec![Step::Stall { millis: choice.within(1..=2) }],
        2 => vec![Step::BlockListener],
        3 => vec![Step::Block { at }],
        4 => vec![Step::AskError { at }],
        5 => told_once(choice, at),
        _ => vec![Step::Abort { at }],
    }
}

/// The peer breaks the connection off, and then this end calls in any order: the first call is told, and the
/// others are not.
fn told_once(choice: &mut Choice, at: usize) -> Vec<Step> {
    let breaks = [Step::PeerReset { at }, Step::PeerClose { at }];
    let mut calls = vec![
        Step::Send { at, pieces: vec![5] },
        Step::Recv { at, pieces: vec![64] },
        Step::AskError { at },
        Step::Discard { at },
        Step::Peek { at },
        Step::Poll { at, direction: Direction::Receive },
        Step::Wait,
    ];
    let mut steps = vec![choice.pick(&breaks).clone()];
    for _ in 0..*choice.pick(&[2, 3, 4]) {
        steps.push(calls.swap_remove(choice.index(calls.len())));
    }
    steps
}

/// How often each step is taken, in the order of [`draw`].
const WEIGHTS: [u32; 24] = [2, 2, 1, 3, 1, 3, 1, 12, 3, 1, 8, 2, 2, 1, 12, 1, 6, 2, 3, 2, 2, 6, 3, 16];

fn draw(choice: &mut Choice, weights: &[u32], narrow: bool) -> Step {
    let kind = choice.weighted(weights);
    let at = choice.index(4);
    match kind {
        0 => Step::Adopt,
        1 => Step::Connect,
        2 => Step::ConnectNobody,
        3 => Step::PeerConnect,
        4 => Step::PeerVanish { reset: choice.below(2) == 1 },
        5 => Step::Accept,
        6 => Step::Unlisten,
        7 => Step::Recv { at, pieces: pieces(choice, narrow) },
        8 => Step::Drain { at, piece: size(choice, narrow) },
        9 => Step::Discard { at },
        10 => Step::Send { at, pieces: pieces(choice, narrow) },
        // Without narrow buffers it takes megabytes to fill one.
        11 if narrow => Step::Fill { at, piece: 1 << choice.within(9..=15) },
        11 => Step::Send { at, pieces: pieces(choice, narrow) },
        12 => Step::Shutdown { at },
        13 => Step::Close { at },
        14 => Step::PeerWrite { at, bytes: size(choice, narrow) },
        15 if narrow => Step::PeerFill { at },
        15 => Step::PeerWrite { at, bytes: size(choice, narrow) },
        16 => Step::PeerRead { at, bytes: size(choice, narrow) },
        17 => Step::PeerDrain { at },
        18 => Step::PeerShutdown { at },
        19 => Step::PeerClose { at },
        20 => Step::PeerReset { at },
        21 => Step::Poll { at, direction: *choice.pick(&[Direction::Receive, Direction::Send]) },
        22 => Step::Peek { at },
        _ => Step::Wait,
    }
}

/// Small ones and large ones alike; now and then more than narrow buffers hold.
fn size(choice: &mut Choice, narrow: bool) -> usize {
    let bytes = choice.magnitude(if narrow { 20_000 } else { 5_000 }).max(1);
    usize::try_from(bytes).unwrap_or(1)
}

fn pieces(choice: &mut Choice, narrow: bool) -> Vec<usize> {
    let count = *choice.pick(&[1, 1, 1, 2, 3, 9]);
    (0..count).map(|_| size(choice, narrow)).collect()
}
