//! Whether the simulated system keeps the promises that its users rely on, under every mixture of faults.
//!
//! The user here is the plainest one that trusts the contract and nothing more: it tries a direction while it
//! is known to be ready (`known_readiness`). If it ever waits for an event that is not owed, the system is
//! wrong. All bytes must come through, in order, to the end.

use std::collections::BTreeMap;

use aio_model::{ConnId, Direction, Outcome, Readiness, Syscall, System};

use crate::world::choice::Choice;
use crate::world::engine::EngineKind;
use crate::world::faults::{Fault, Faults};
use crate::world::known_readiness::KnownReadiness;
use crate::world::net::Net;
use crate::world::pattern;
use crate::world::peer::PeerId;
use crate::world::testing::Rig;

/// What the user knows of one connection.
#[derive(Debug)]
struct Echo {
    peer: PeerId,
    known: KnownReadiness,
    unsent: Vec<u8>,
    received: u64,
    over: bool,
}

/// What is wrong, on purpose: the checks must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The user takes every receive for the last one, also one that filled its buffer.
    PartialReads,
    /// The user takes a short receive for the last one although the end of the stream was hinted at.
    HintsIgnored,
    /// The user forgets that a send was short, and then what it was told of.
    WritesForgotten,
    /// The system loses an event now and then.
    EventsLost,
}

struct User {
    rig: Rig,
    broken: Broken,
    engine: EngineKind,
    echoes: BTreeMap<ConnId, Echo>,
}

impl User {
    fn new(choice: Choice, engine: EngineKind, broken: Broken) -> User {
        let rig = Rig::new(Net::new(choice, Faults::NONE), engine);
        User { rig, broken, engine, echoes: BTreeMap::new() }
    }

    fn on_event(&mut self, conn: ConnId, readiness: Readiness) {
        let plain = |wakes, readiness| if wakes { readiness } else { Readiness::NONE };
        let told = match self.broken {
            Broken::HintsIgnored => {
                plain(readiness.wakes_receive(), Readiness::READABLE)
                    | plain(readiness.wakes_send(), Readiness::WRITABLE)
            }
            Broken::WritesForgotten => plain(readiness.wakes_receive(), Readiness::READABLE),
            _ => readiness,
        };
        if let Some(echo) = self.echoes.get_mut(&conn) {
            echo.known.on_event(told);
        }
    }

    /// Attempts whatever it has reason to.
    fn work(&mut self, conn: ConnId) {
        let echo = self.echoes.get_mut(&conn).expect("it is open");
        if echo.over {
            return;
        }
        if echo.known.is_ready(Direction::Receive) && echo.unsent.is_empty() {
            let mut buffer = [0; 64];
            let size = 1 + self.rig.net.choose(|choice| choice.index(64));
            let outcome = self.rig.os.perform(Syscall::Recv { conn, buffer: &mut buffer[..size] });
            match (self.broken, outcome) {
                (Broken::PartialReads, Outcome::Transferred(count) | Outcome::Partial(count)) => {
                    echo.known.on_outcome(Direction::Receive, size + 1, Outcome::Transferred(count));
                }
                _ => echo.known.on_outcome(Direction::Receive, size, outcome),
            }
            match outcome {
                Outcome::Transferred(0) => echo.over = true,
                Outcome::Transferred(count) | Outcome::Partial(count) => {
                    let peer = echo.peer;
                    let mismatch =
                        pattern::mismatch(peer.serial(), peer.side(), echo.received, &buffer[..count]);
                    assert_eq!(mismatch, None, "{conn} received what was not sent");
                    echo.received += count as u64;
                    echo.unsent.extend(&buffer[..count]);
                }
                Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {}
                Outcome::Failed(_) | Outcome::Refused(_) | Outcome::Done => echo.over = true,
            }
        }
        if echo.known.is_ready(Direction::Send) && !echo.unsent.is_empty() {
            let outcome = self.rig.os.perform(Syscall::Send { conn, bytes: &echo.unsent });
            echo.known.on_outcome(Direction::Send, echo.unsent.len(), outcome);
            match outcome {
                Outcome::Transferred(count) => drop(echo.unsent.drain(..count)),
                Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {}
                Outcome::Failed(_) | Outcome::Refused(_) | Outcome::Done | Outcome::Partial(_) => {
                    echo.over = true;
                }
            }
        }
        self.check(conn);
    }

    /// The invariant: who does not know that it could go on will be told.
    fn check(&self, conn: ConnId) {
        let echo = &self.echoes[&conn];
        let condition = self.rig.net.condition(conn).expect("it is open");
        let directions = [(Direction::Receive, condition.receives()), (Direction::Send, condition.sends())];
        for (direction, is_ready) in directions {
            let known = echo.known.is_ready(direction);
            let fine = known || !is_ready || self.rig.net.edge_debt(conn, direction);
            assert!(fine, "{conn} would wait for ever to {direction:?}: {echo:?}, {condition:?}");
        }
    }

    fn connect(&mut self) {
        let Ok((peer, socket)) = self.rig.net.pair() else { return };
        let conn = self.rig.ids.open();
        if self.rig.os.adopt(conn, socket).is_ok() {
            let known = KnownReadiness::new(self.engine.rearm());
            let echo = Echo { peer, known, unsent: Vec::new(), received: 0, over: false };
            self.echoes.insert(conn, echo);
        }
    }

    /// One step of peers and user.
    fn step(&mut self) {
        let net = self.rig.net.clone();
        let conns: Vec<ConnId> = self.echoes.keys().copied().collect();
        for &conn in &conns {
            let peer = self.echoes[&conn].peer;
            match net.choose(|choice| choice.weighted(&[8, 8, 8, 1, 1, 1])) {
                0 => {}
                1 => _ = net.peer_write_pattern(peer, net.choose(|choice| 1 + choice.index(200))),
                2 => _ = net.peer_read_pattern(peer, net.choose(|choice| 1 + choice.index(200)), peer.side()),
                3 => net.peer_shutdown(peer),
                4 => net.peer_reset(peer),
                _ => net.peer_close(peer),
            }
            self.check(conn);
            self.work(conn);
            if self.echoes[&conn].over && net.choose(|choice| choice.below(2)) == 0 {
                self.rig.close(conn);
                self.echoes.remove(&conn);
            }
        }
        let until = net.now() + std::time::Duration::from_millis(net.choose(|choice| choice.below(20)));
        for (conn, readiness) in self.rig.wait(Some(until)).1 {
            let lost = self.broken == Broken::EventsLost && net.choose(|choice| choice.below(8)) == 1;
            if !lost {
                self.on_event(conn, readiness);
            }
        }
        if self.echoes.len() < 4 {
            self.connect();
        }
    }

    /// After the faults have healed: everything that peers sent comes back to them, without their doing more
    /// than reading.
    fn settle(&mut self) {
        let net = self.rig.net.clone();
        net.heal();
        let mut idle_rounds = 0;
        while idle_rounds < 3 {
            let (before, mut read) = (net.counts(), 0);
            let conns: Vec<ConnId> = self.echoes.keys().copied().collect();
            for conn in conns {
                let peer = self.echoes[&conn].peer;
                read += net.peer_read_pattern(peer, usize::MAX, peer.side());
                self.work(conn);
            }
            for (conn, readiness) in self.rig.wait(Some(net.now())).1 {
                self.on_event(conn, readiness);
            }
            let after = net.counts();
            let idle = read == 0 && (before.calls, before.events) == (after.calls, after.events);
            idle_rounds = if idle { idle_rounds + 1 } else { 0 };
        }
        for (conn, echo) in &self.echoes {
            let state = net.peer_state(echo.peer);
            let done = echo.over || state.closed || state.reset || state.received == state.sent;
            assert!(done, "{conn} is stuck: {echo:?}, {state:?}");
        }
        assert_eq!(net.violations(), []);
    }
}

/// One whole run, as its tape and its fingerprint.
fn run(choice: Choice, engine: EngineKind) -> (Net, Vec<u64>, u64) {
    run_broken(choice, engine, Broken::Nothing)
}

fn run_broken(choice: Choice, engine: EngineKind, broken: Broken) -> (Net, Vec<u64>, u64) {
    let mut user = User::new(choice, engine, broken);
    let net = user.rig.net.clone();
    net.set_faults(net.choose(Faults::swarm));
    for _ in 0..60 {
        user.step();
    }
    user.settle();
    (net.clone(), net.to_tape(), net.fingerprint())
}

#[test]
fn no_mixture_of_faults_makes_the_system_lie() {
    let mut struck = vec![0; Fault::ALL.len()];
    for &engine in EngineKind::ALL {
        for seed in 0..200 {
            let (net, ..) = run(Choice::seeded(seed), engine);
            Fault::ALL.iter().for_each(|&fault| struck[fault as usize] += net.struck(fault));
        }
    }
    // There is no listener in these runs, nobody connects, and nobody but the peers sends FIN.
    let idle: Vec<_> = Fault::ALL.iter().filter(|&&fault| struck[fault as usize] == 0).collect();
    assert_eq!(
        idle,
        [
            &Fault::ShutdownExhausted,
            &Fault::AcceptWouldBlock,
            &Fault::AcceptDescriptors,
            &Fault::AcceptMemory,
            &Fault::AcceptRefused,
            &Fault::AcceptAborted,
            &Fault::AcceptRegister,
            &Fault::ConnectDelayed,
            &Fault::ConnectRefused,
            &Fault::ConnectUnreachable,
            &Fault::ConnectFull,
            &Fault::ConnectSelf,
            &Fault::PoolMemory,
            &Fault::ClonePanics
        ]
    );
}

#[test]
fn the_checks_notice_what_is_broken() {
    let edges = [EngineKind::Epoll, EngineKind::Kqueue].as_slice();
    let canaries = [
        (Broken::PartialReads, edges),
        (Broken::HintsIgnored, edges),
        (Broken::WritesForgotten, EngineKind::ALL),
        (Broken::EventsLost, EngineKind::ALL),
    ];
    for (broken, engines) in canaries {
        for &engine in engines {
            let noticed = (0..60).any(|seed| {
                std::panic::catch_unwind(|| run_broken(Choice::seeded(seed), engine, broken)).is_err()
            });
            assert!(noticed, "{broken:?} went unnoticed with {engine:?}");
        }
    }
}

#[test]
fn a_run_is_a_function_of_its_choices() {
    for &engine in EngineKind::ALL {
        for seed in 0..10 {
            let (_, tape, fingerprint) = run(Choice::seeded(seed), engine);
            assert_eq!(run(Choice::seeded(seed), engine).2, fingerprint, "the seed, again");
            assert_eq!(run(Choice::tape(tape), engine).2, fingerprint, "its tape");
            assert_ne!(run(Choice::seeded(seed + 1000), engine).2, fingerprint, "another seed");
        }
    }
}

#[test]
fn any_bytes_make_a_run() {
    let mut noise = Choice::seeded(9);
    for _ in 0..30 {
        let bytes: Vec<u8> = (0..400).map(|_| u8::try_from(noise.below(256)).unwrap()).collect();
        run(Choice::bytes(bytes), EngineKind::Epoll);
    }
}
