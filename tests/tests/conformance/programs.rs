//! Programs: the same operations, peers and stalls on the real system and on the simulated one. Every
//! operation ends alike.
//!
//! Scripts hold the simulator's calls against the kernel's; these hold what becomes of operations: who is
//! told of an error that is told once, and what ends with its deadline when this end did not turn while time
//! and bytes came.

use std::fmt::Debug;
use std::io::Write;
use std::time::Duration;

use aio::{Close, ConnId, Done, OpId, Proactor, Recv, Send, Socket, System};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sim::{Net, PeerId, SimOs};
use tests::conformance::campaign;
use tests::pair::Family;

/// What is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Recv,
    RecvExact,
    Send,
}

/// What the peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Write,
    ShutDown,
    Close,
    Reset,
}

/// A program on one connection.
#[derive(Debug, Clone, Copy)]
struct Program {
    family: Family,
    ops: &'static [Op],
    /// A turn comes before the peer acts: the lanes have tried in vain.
    turned: bool,
    acts: &'static [Act],
    /// The operations have a deadline, and this end does not turn until it has passed.
    stalls: bool,
    /// Somebody else asks for the socket's error before this end turns.
    asked: bool,
}

const OPS: &[&[Op]] = &[
    &[Op::Recv],
    &[Op::RecvExact],
    &[Op::Send],
    &[Op::Recv, Op::Send],
    &[Op::Send, Op::Recv],
    &[Op::RecvExact, Op::Send, Op::Recv],
    &[Op::Send, Op::Send, Op::RecvExact, Op::Recv],
    &[],
];

const ACTS: &[&[Act]] = &[
    &[],
    &[Act::Write],
    &[Act::ShutDown],
    &[Act::Write, Act::ShutDown],
    &[Act::Close],
    &[Act::Write, Act::Close],
    &[Act::Reset],
    &[Act::Write, Act::Reset],
];

const DEADLINE: Duration = Duration::from_millis(1);
const STALL: Duration = Duration::from_millis(3);

/// What is around a proactor.
trait World {
    fn act(&mut self, act: Act);
    fn stall(&mut self);
    fn ask_error(&mut self);
}

/// A peer on a real socket, and a duplicate of ours.
struct Real {
    peer: Option<socket2::Socket>,
    ours: socket2::Socket,
}

impl World for Real {
    fn act(&mut self, act: Act) {
        let Some(peer) = self.peer.as_mut() else { return };
        let shows = match act {
            Act::Write => {
                peer.write_all(b"abc").unwrap();
                PollFlags::IN
            }
            Act::ShutDown => {
                peer.shutdown(std::net::Shutdown::Write).unwrap();
                PollFlags::RDHUP
            }
            Act::Close => {
                self.peer = None;
                PollFlags::RDHUP | PollFlags::HUP
            }
            Act::Reset => {
                peer.set_linger(Some(Duration::ZERO)).unwrap();
                self.peer = None;
                PollFlags::HUP
            }
        };
        // It is on its way through the kernel, and what comes next must not overtake it.
        let mut seen = PollFlags::empty();
        while !seen.intersects(shows) {
            let mut fds = [PollFd::new(&self.ours, PollFlags::IN | PollFlags::RDHUP)];
            poll(&mut fds, Some(&Timespec { tv_sec: 5, tv_nsec: 0 })).unwrap();
            seen = fds[0].revents();
            assert!(!seen.is_empty(), "{act:?} never comes");
        }
    }

    fn stall(&mut self) {
        std::thread::sleep(STALL);
    }

    fn ask_error(&mut self) {
        self.ours.take_error().unwrap();
    }
}

/// A simulated peer, and somebody who can wait.
struct Simulated {
    net: Net,
    peer: PeerId,
    conn: Option<ConnId>,
    other: SimOs,
}

impl World for Simulated {
    fn act(&mut self, act: Act) {
        match act {
            Act::Write => assert_eq!(self.net.peer_write(self.peer, b"abc"), 3),
            Act::ShutDown => self.net.peer_shutdown(self.peer),
            Act::Close => self.net.peer_close(self.peer),
            Act::Reset => self.net.peer_reset(self.peer),
        }
    }

    fn stall(&mut self) {
        let until = self.other.now() + STALL;
        self.other.wait(Some(until), aio_model::Limits::DEFAULT.turn_events_max, |_, _| {}).unwrap();
    }

    fn ask_error(&mut self) {
        self.net.take_error(self.conn.unwrap());
    }
}

/// How each operation ended, in the order in which they were submitted.
type Ends = Vec<(usize, String)>;

struct Player<S: System> {
    aio: Proactor<usize, S>,
    conn: ConnId,
    submitted: usize,
    ends: Ends,
}

impl<S: System<Socket: Debug>> Player<S> {
    fn submit(&mut self, op: Op, within: Option<Duration>) -> Option<OpId> {
        let (conn, context) = (self.conn, self.submitted);
        self.submitted += 1;
        let submitted = match (op, within) {
            (Op::Recv, None) => self.aio.submit(conn, Recv::pooled(), context),
            (Op::Recv, Some(span)) => self.aio.submit(conn, Recv::pooled().within(span), context),
            (Op::RecvExact, None) => self.aio.submit(conn, Recv::exact(vec![0; 8]), context),
            (Op::RecvExact, Some(span)) => {
                self.aio.submit(conn, Recv::exact(vec![0; 8]).within(span), context)
            }
            (Op::Send, None) => self.aio.submit(conn, Send::new("hello"), context),
            (Op::Send, Some(span)) => self.aio.submit(conn, Send::new("hello").within(span), context),
        };
        match submitted {
            Ok(op) => Some(op),
            Err(refused) => {
                self.ends.push((context, format!("refused: {:?}", refused.kind)));
                None
            }
        }
    }

    /// Turns without sleeping, until nothing happens any more.
    fn turn(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            let mut batch = Vec::with_capacity(16);
            self.aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
            self.aio.check().unwrap();
            quiet = if batch.is_empty() { quiet + 1 } else { 0 };
            let ended = batch.into_iter().filter(|done| done.result != Ok(Done::Closed));
            self.ends
                .extend(ended.map(|done| (done.context, format!("{:?} after {}", done.result, done.bytes))));
        }
    }

    fn play(mut self, program: Program, world: &mut dyn World) -> Ends {
        let within = (program.stalls && !program.turned).then_some(DEADLINE);
        let ops: Vec<_> = program.ops.iter().filter_map(|&op| self.submit(op, within)).collect();
        if program.turned {
            self.turn();
        }
        program.acts.iter().for_each(|&act| world.act(act));
        if program.asked {
            world.ask_error();
        }
        if program.stalls {
            // Not before the turn, which takes as long as it takes.
            for op in ops.into_iter().filter(|_| program.turned) {
                // What has ended has no deadline.
                let _ = self.aio.set_deadline(op, Some(aio::Deadline::Within(DEADLINE)));
            }
            world.stall();
        }
        self.turn();
        // Those who come later are told the same by both, too.
        for op in [Op::Recv, Op::Send, Op::Recv] {
            self.submit(op, None);
            self.turn();
        }
        self.aio.submit(self.conn, Close::now(), usize::MAX).unwrap();
        self.turn();
        self.ends.sort();
        self.ends
    }
}

fn on_the_real_system(program: Program) -> Ends {
    let (ours, peer) = program.family.sockets(None).unwrap();
    let mut world = Real { peer: Some(peer), ours: ours.try_clone().unwrap() };
    let mut aio = Proactor::new().unwrap();
    let conn = aio.adopt(Socket::from(ours).nodelay(true)).unwrap();
    Player { aio, conn, submitted: 0, ends: Ends::new() }.play(program, &mut world)
}

fn in_the_simulator(program: Program) -> Ends {
    let net = Net::calm();
    net.set_family(if program.family.is_tcp() { sim::Family::Tcp } else { sim::Family::Unix });
    let engine = campaign::engine().unwrap();
    let (peer, socket) = net.pair().unwrap();
    let mut aio = Proactor::on(SimOs::new(net.clone(), engine)).unwrap();
    let conn = aio.adopt(socket).unwrap();
    let other = SimOs::new(net.clone(), engine);
    let mut world = Simulated { net, peer, conn: Some(conn), other };
    Player { aio, conn, submitted: 0, ends: Ends::new() }.play(program, &mut world)
}

fn programs() -> impl Iterator<Item = Program> {
    let flags = (0..8).map(|bits| [1, 2, 4].map(|bit| bits & bit > 0));
    Family::ALL.into_iter().flat_map(move |family| {
        let flags = flags.clone();
        flags.flat_map(move |[turned, stalls, asked]| {
            ACTS.iter().flat_map(move |&acts| {
                OPS.iter().map(move |&ops| Program { family, ops, turned, acts, stalls, asked })
            })
        })
    })
}

#[test]
fn operations_end_alike_on_both_systems() {
    let mut count = 0;
    for program in programs() {
        // A reset is TCP's.
        if !program.family.is_tcp() && program.acts.contains(&Act::Reset) {
            continue;
        }
        assert_eq!(on_the_real_system(program), in_the_simulator(program), "{program:?}: real, simulated");
        count += 1;
    }
    assert_eq!(count, (8 + 6) * 8 * 8);
}

#[test]
fn what_came_during_a_stall_counts_whatever_the_deadline() {
    for family in Family::ALL {
        for turned in [false, true] {
            let ops = &[Op::Recv];
            let program = Program { family, ops, turned, acts: &[Act::Write], stalls: true, asked: false };
            let ends = on_the_real_system(program);
            assert_eq!(ends[0].1, "Ok(Received { end_of_stream: false }) after 3", "{program:?}");
        }
    }
}

/// The canary: what differs in one thing that matters does not end alike.
#[test]
fn ends_tell_programs_apart() {
    let ops = &[Op::Recv, Op::Send];
    let acts = &[Act::Write, Act::Reset];
    let program = Program { family: Family::Tcp, ops, turned: true, acts, stalls: false, asked: false };
    let ends = on_the_real_system(program);
    let others = [
        Program { asked: true, ..program },
        Program { ops: &[Op::RecvExact, Op::Send], ..program },
        Program { acts: &[Act::Write, Act::ShutDown], ..program },
        Program { acts: &[], stalls: true, ..program },
        Program { acts: &[], ..program },
    ];
    for other in others {
        assert_ne!(ends, in_the_simulator(other), "{other:?}");
    }
}
