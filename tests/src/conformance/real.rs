//! Scripts on real sockets.

mod hosts;
mod others;
mod promises;
mod signals;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use aio::Os;
use aio_model::{ConnId, Direction, Instant, Outcome, Readiness, Syscall, System, SystemErrorKind, Target};
use sim::{KnownReadiness, Side, pattern};
use socket2::Socket;

use crate::conformance::book::{Book, goes_on};
use crate::conformance::caller::{Caller, count};
use crate::conformance::history::{Deed, History, Number, PeerSaw, Seen};
use crate::conformance::script::Script;
use crate::pair::Family;

use hosts::Host;
pub use hosts::Hosts;

/// How long something that has to come may take: for ever, but a script that hangs must end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a wait that sleeps may do so.
const NAP: Duration = Duration::from_millis(1);

/// The most times that a step repeats itself: the narrow buffers are full long before.
const REPEATS_MAX: usize = 400;

/// A connection, both ends.
#[derive(Debug, Default)]
struct Conn {
    id: Option<ConnId>,
    target: Option<Target>,
    peer: Option<Socket>,
    readiness: Option<KnownReadiness>,
    sent: u64,
    received: u64,
    peer_sent: u64,
    peer_received: u64,
}

struct Player<'a> {
    hosts: &'a Hosts,
    script: &'a Script,
    patience: Duration,
    ear: Ear<'a>,
    caller: Caller<Os>,
    conns: Vec<Conn>,
    listener: Option<(ConnId, Host, KnownReadiness)>,
    /// Connections that a host has accepted, and whose other end does not know yet that it is connected.
    early: Vec<(SocketAddr, Socket)>,
    history: History,
}

/// Plays a script.
///
/// # Errors
///
/// When the system gives no more sockets, or a peer can not do what every peer can.
pub fn play(script: &Script, hosts: &Hosts) -> io::Result<History> {
    play_with(script, hosts, PATIENCE, &mut |_| {})
}

/// What events pass on their way, to be tampered with.
pub type Ear<'a> = &'a mut dyn FnMut(&mut Vec<(ConnId, Readiness)>);

/// Plays a script with another patience, and something between the engine and its caller.
///
/// # Errors
///
/// As [`play`].
pub fn play_with(script: &Script, hosts: &Hosts, patience: Duration, ear: Ear<'_>) -> io::Result<History> {
    debug_assert_eq!(script.family, hosts.family);
    if script.signals {
        signals::under_signals(|| play_on(script, hosts, patience, ear))
    } else {
        play_on(script, hosts, patience, ear)
    }
}

fn play_on(script: &Script, hosts: &Hosts, patience: Duration, ear: Ear<'_>) -> io::Result<History> {
    let history = History {
        family: script.family,
        lags: script.narrow || script.nagle,
        deeds: Vec::new(),
        ready: Vec::new(),
        errors: Vec::new(),
        broken: Vec::new(),
    };
    let caller = Caller::new(Os::new()?);
    let mut player = Player {
        hosts,
        script,
        patience,
        ear,
        caller,
        conns: Vec::new(),
        listener: None,
        early: Vec::new(),
        history,
    };
    let mut book = Book::default();
    for step in &script.steps {
        for _ in 0..REPEATS_MAX {
            let Some(deed) = book.deed(step) else { break };
            let seen = player.perform(&deed)?;
            book.note(&deed, &seen);
            let again = goes_on(step, &deed, &seen);
            player.history.deeds.push((deed, seen));
            if !again {
                break;
            }
        }
        player.keep_promises()?;
    }
    player.finish()
}

impl Player<'_> {
    fn perform(&mut self, deed: &Deed) -> io::Result<Seen> {
        Ok(match *deed {
            Deed::Listen | Deed::Unlisten | Deed::PeerConnect(_) | Deed::Adopt(_) => {
                self.arrange(deed)?;
                Seen::Nothing
            }
            Deed::Accept(conn) => Seen::Outcome(self.accept(conn)),
            Deed::Connect { nobody, .. } => Seen::Outcome(self.connect(nobody)?),
            Deed::ConnectAgain(conn) => Seen::Outcome(self.connect_again(conn)?),
            Deed::Recv(conn, ref pieces) => Seen::Outcome(self.recv(conn, pieces)),
            Deed::Discard(conn) => Seen::Outcome(self.discard(conn)),
            Deed::Send(conn, ref pieces) => Seen::Outcome(self.send(conn, pieces)),
            Deed::Poll(conn, direction) => Seen::Outcome(self.poll(conn, direction)),
            Deed::Peek(conn) => Seen::Outcome(self.peek(conn)),
            Deed::Shutdown(conn) => {
                let conn = self.id(conn);
                Seen::Outcome(self.caller.system.perform(Syscall::ShutdownWrite { conn }))
            }
            Deed::Close(conn) => Seen::Outcome(self.close(conn, false)),
            Deed::Abort(conn) => Seen::Outcome(self.close(conn, true)),
            Deed::PeerWrite(conn, bytes) => Seen::Peer(self.peer_write(conn, bytes)),
            Deed::PeerRead(conn, bytes) => Seen::Peer(self.peer_read(conn, bytes)),
            Deed::PeerShutdown(conn) => {
                // Of a connection that is dead already there is nothing to end.
                let _ = self.peer(conn).shutdown(std::net::Shutdown::Write);
                Seen::Nothing
            }
            Deed::PeerClose(conn) => {
                self.conns[conn].peer = None;
                Seen::Nothing
            }
            Deed::PeerReset(conn) => {
                self.peer(conn).set_linger(Some(Duration::ZERO))?;
                self.conns[conn].peer = None;
                Seen::Nothing
            }
            Deed::Wait => Seen::Events(self.wait(Instant::ZERO)),
            Deed::Nap => {
                let until = self.caller.system.now() + NAP;
                Seen::Events(self.wait(until))
            }
            Deed::Stall(millis) => {
                std::thread::sleep(Duration::from_millis(millis));
                Seen::Nothing
            }
            Deed::AskError(conn) => Seen::Error(self.ask_error(conn)?),
            Deed::Block(name) => {
                self.block(name)?;
                Seen::Nothing
            }
        })
    }

    fn id(&self, conn: Number) -> ConnId {
        self.conns[conn].id.expect("it is open")
    }

    fn peer(&mut self, conn: Number) -> &mut Socket {
        self.conns[conn].peer.as_mut().expect("it is open")
    }

    fn host(&self) -> &Host {
        &self.hosts.hosts[usize::from(self.script.narrow)]
    }

    fn welcome(&mut self, from: Option<SocketAddr>) -> io::Result<Socket> {
        self.hosts.hosts[usize::from(self.script.narrow)].accept(from, &mut self.early)
    }

    fn readiness(&self) -> KnownReadiness {
        KnownReadiness::new(self.caller.system.rearm())
    }

    fn arrange(&mut self, deed: &Deed) -> io::Result<()> {
        let narrow = self.script.narrow;
        match deed {
            Deed::Listen => {
                let host = Host::new(self.script.family, narrow)?;
                host.listener.listen(64)?;
                let id = self.caller.open();
                let listener = host.listener.try_clone()?;
                self.adopt(id, listener)?;
                self.listener = Some((id, host, self.readiness()));
            }
            Deed::Unlisten => {
                if let Some((conn, ..)) = self.listener.take() {
                    self.caller.system.perform(Syscall::Close { conn, reset: false });
                }
            }
            Deed::PeerConnect(_) => {
                let (_, host, _) = self.listener.as_ref().expect("there is a listener");
                let peer = self.prepare(host.connect(narrow)?)?;
                self.conns.push(Conn { peer: Some(peer), ..Conn::default() });
            }
            _ => {
                let peer = self.prepare(self.host().connect(narrow)?)?;
                let from = peer.local_addr()?.as_socket();
                let ours = self.welcome(from)?;
                ours.set_nonblocking(true)?;
                let id = self.caller.open();
                let readiness = Some(self.readiness());
                self.adopt(id, ours)?;
                self.conns.push(Conn { id: Some(id), peer: Some(peer), readiness, ..Conn::default() });
            }
        }
        Ok(())
    }

    fn adopt(&mut self, id: ConnId, socket: Socket) -> io::Result<()> {
        let nodelay = !self.script.nagle;
        let socket = aio::Socket::from(socket).nodelay(nodelay);
        self.caller.system.adopt(id, socket).map_err(|(error, _)| io::Error::other(error))
    }

    /// A socket, made a peer's.
    fn prepare(&self, socket: Socket) -> io::Result<Socket> {
        socket.set_nonblocking(true)?;
        if self.script.family.is_tcp() {
            socket.set_tcp_nodelay(!self.script.nagle)?;
        }
        Ok(socket)
    }

    fn accept(&mut self, conn: Number) -> Outcome {
        let id = self.caller.open();
        let readiness = self.readiness();
        let (listener, _, waits) = self.listener.as_mut().expect("there is a listener");
        let outcome = self.caller.system.perform(Syscall::Accept { listener: *listener, conn: id });
        waits.on_outcome(Direction::Receive, usize::MAX, outcome);
        if outcome == Outcome::Done {
            (self.conns[conn].id, self.conns[conn].readiness) = (Some(id), Some(readiness));
        }
        outcome
    }

    fn connect(&mut self, nobody: bool) -> io::Result<Outcome> {
        let host = if nobody { &self.hosts.nobody } else { self.host() };
        let address = host.address.clone();
        let (id, target, outcome) = self.caller.connect(address, !self.script.nagle);
        self.conns.push(Conn { target: Some(target), ..Conn::default() });
        let conn = self.conns.len() - 1;
        if matches!(outcome, Outcome::Done | Outcome::WouldBlock) {
            (self.conns[conn].id, self.conns[conn].readiness) = (Some(id), Some(self.readiness()));
        }
        self.on_connect(conn, outcome)
    }

    fn connect_again(&mut self, conn: Number) -> io::Result<Outcome> {
        let target = self.conns[conn].target.clone().expect("it was connected to");
        let outcome = self.caller.connect_again(self.id(conn), &target);
        if !matches!(outcome, Outcome::Done | Outcome::WouldBlock) {
            self.conns[conn].id = None;
        }
        self.on_connect(conn, outcome)
    }

    fn on_connect(&mut self, conn: Number, outcome: Outcome) -> io::Result<Outcome> {
        if let Some(readiness) = &mut self.conns[conn].readiness {
            readiness.on_outcome(Direction::Send, usize::MAX, outcome);
        }
        if outcome == Outcome::Done {
            let from = match self.script.family {
                Family::Tcp | Family::Tcp6 => self.caller.system.local_addr(self.id(conn))?.as_internet(),
                Family::Unix => None,
            };
            let peer = self.welcome(from)?;
            self.conns[conn].peer = Some(self.prepare(peer)?);
        }
        Ok(outcome)
    }

    fn recv(&mut self, conn: Number, pieces: &[usize]) -> Outcome {
        let (outcome, bytes) = self.caller.recv(self.id(conn), pieces);
        let known = &mut self.conns[conn];
        let wrong = pattern::mismatch(conn as u64, Side::Client, known.received, &bytes);
        known.received += bytes.len() as u64;
        self.note_outcome(conn, Direction::Receive, pieces.iter().sum(), outcome);
        if wrong.is_some() {
            self.broke(format!("{conn} received what was not sent"));
        }
        outcome
    }

    fn discard(&mut self, conn: Number) -> Outcome {
        let outcome = self.caller.system.perform(Syscall::Discard { conn: self.id(conn) });
        self.conns[conn].received += count(outcome) as u64;
        // Nobody says how much that could have been, so no count of bytes is short.
        self.note_outcome(conn, Direction::Receive, 0, outcome);
        outcome
    }

    fn poll(&mut self, conn: Number, direction: Direction) -> Outcome {
        let outcome = self.caller.system.perform(Syscall::Poll { conn: self.id(conn), direction });
        self.note_outcome(conn, direction, 0, outcome);
        outcome
    }

    fn peek(&mut self, conn: Number) -> Outcome {
        let outcome = self.caller.system.perform(Syscall::Peek { conn: self.id(conn) });
        self.note_outcome(conn, Direction::Receive, 0, outcome);
        outcome
    }

    fn send(&mut self, conn: Number, pieces: &[usize]) -> Outcome {
        let mut bytes = vec![0; pieces.iter().sum()];
        pattern::fill(conn as u64, Side::Server, self.conns[conn].sent, &mut bytes);
        let outcome = self.caller.send(self.id(conn), &bytes, pieces);
        self.conns[conn].sent += count(outcome) as u64;
        self.note_outcome(conn, Direction::Send, bytes.len(), outcome);
        outcome
    }

    fn close(&mut self, conn: Number, reset: bool) -> Outcome {
        let conn = self.conns[conn].id.take().expect("it is open");
        self.caller.system.perform(Syscall::Close { conn, reset })
    }

    fn note_outcome(&mut self, conn: Number, direction: Direction, bytes_max: usize, outcome: Outcome) {
        if let Some(readiness) = &mut self.conns[conn].readiness {
            readiness.on_outcome(direction, bytes_max, outcome);
        }
    }

    fn peer_write(&mut self, conn: Number, bytes: usize) -> PeerSaw {
        let mut buffer = vec![0; bytes];
        pattern::fill(conn as u64, Side::Client, self.conns[conn].peer_sent, &mut buffer);
        // Without a SIGPIPE: `write` would raise none either, as the standard library ignores it.
        let saw = saw(self.peer(conn).write(&buffer));
        if let PeerSaw::Bytes(count) = saw {
            self.conns[conn].peer_sent += count as u64;
        }
        saw
    }

    fn peer_read(&mut self, conn: Number, bytes: usize) -> PeerSaw {
        let mut buffer = vec![0; bytes];
        let saw = saw(self.peer(conn).read(&mut buffer));
        if let PeerSaw::Bytes(count) = saw {
            let known = &mut self.conns[conn];
            let wrong = pattern::mismatch(conn as u64, Side::Server, known.peer_received, &buffer[..count]);
            known.peer_received += count as u64;
            if wrong.is_some() {
                self.broke(format!("the peer of {conn} received what was not sent"));
            }
            if count == 0 {
                return PeerSaw::End;
            }
        }
        saw
    }
}

fn saw(result: io::Result<usize>) -> PeerSaw {
    match result {
        Ok(count) => PeerSaw::Bytes(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => PeerSaw::Nothing,
        Err(error) => PeerSaw::Failed(kind(&error)),
    }
}

fn kind(error: &io::Error) -> SystemErrorKind {
    match error.kind() {
        ErrorKind::ConnectionReset => SystemErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe => SystemErrorKind::BrokenPipe,
        ErrorKind::NotConnected => SystemErrorKind::NotConnected,
        _ => SystemErrorKind::Other,
    }
}
