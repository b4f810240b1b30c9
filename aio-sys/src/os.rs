//! The seam, call by call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use aio_model::{
    Address, ConnId, Direction, Instant, Kind, Listen, Outcome, Readiness, Rearm, SLICES_MAX, Slices,
    SlicesMut, Syscall, System, SystemError, SystemErrorKind, Target,
};
use mio::Interest;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, Shutdown, SocketAddrAny};

use crate::clock::{self, Clock};
use crate::connect::{self, Progress, Refusal};
use crate::engine::Engine;
use crate::errno;
use crate::listen;
use crate::peers::Peers;
use crate::platform;
use crate::socket::Socket;
use crate::table::{Entry, Marks, Proof, Table};
use crate::waker::OsWaker;

/// The operating system: epoll or kqueue by way of mio, and the sockets it was given to look after.
///
/// It belongs to one thread at a time; its [wakers](System::waker) belong to all. Dropping it closes every
/// descriptor it holds.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use aio_model::{System, Wake};
///
/// let mut os = aio_sys::Os::new()?;
/// let waker = os.waker();
/// let other = std::thread::spawn(move || waker.wake());
/// os.wait(None, NonZeroU32::MIN, |conn, readiness| println!("{conn} is {readiness:?}"))?;
/// other.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Implementation
///
/// A connection costs one registration, when it is adopted or accepted. close(2) ends it, if no one else
/// holds the open file: so a connection that was accepted here and whose descriptor nobody has seen needs no
/// call to deregister it, and all others are deregistered first. A process that forks without exec shares
/// them all unseen; the events of its copies are told by their generation, dropped and
/// [counted](Os::stale_events).
#[derive(Debug)]
pub struct Os {
    engine: Engine,
    table: Table,
    peers: Peers,
    clock: Clock,
    stale_events: u64,
}

impl Os {
    /// What a connection takes here: its descriptor, and to whom it belongs.
    pub const CONN_BYTES: usize = Table::ENTRY_BYTES;

    /// The same instant as `at`, on the clock of every `Os` of this process: for deadlines that come from
    /// elsewhere. One before the first `Os` was made counts as [`Instant::ZERO`], which is over, too.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aio_model::Recv;
    /// use aio_sys::Os;
    ///
    /// let end = std::time::Instant::now() + Duration::from_secs(5);
    /// let recv = Recv::pooled().deadline(Os::instant_from_std(end));
    /// assert_eq!(Os::instant_to_std(Os::instant_from_std(end)), Some(end));
    /// # let _ = recv;
    /// ```
    pub fn instant_from_std(at: std::time::Instant) -> Instant {
        clock::from_std(at)
    }

    /// The same instant as `at`, on the clock of `std`; none if that can not count so far.
    pub fn instant_to_std(at: Instant) -> Option<std::time::Instant> {
        clock::to_std(at)
    }

    /// A system with no sockets. All those of a process have one clock: an instant means the same to each of
    /// them.
    ///
    /// # Errors
    ///
    /// When the readiness engine or its waker can not be made: out of descriptors or memory.
    pub fn new() -> io::Result<Os> {
        let (table, peers) = (Table::default(), Peers::default());
        Ok(Os { engine: Engine::new()?, table, peers, clock: Clock::new(), stale_events: 0 })
    }

    /// The descriptor of a connection, to read or set options with (`socket2::SockRef::from(&fd)`) or to
    /// duplicate. `None` if the connection is not known (any more).
    ///
    /// Receiving, sending and shutting down are the model's: doing it here changes what the model relies on.
    pub fn descriptor(&mut self, conn: ConnId) -> Option<BorrowedFd<'_>> {
        let entry = self.table.get_mut(conn)?;
        if !std::mem::replace(&mut entry.shared, true) {
            platform::unbind_receives(entry.fd.as_fd());
        }
        Some(entry.fd.as_fd())
    }

    /// How many events came for connections that were closed before, and were dropped.
    pub fn stale_events(&self) -> u64 {
        self.stale_events
    }

    #[inline]
    fn recv(&mut self, conn: ConnId, buffer: &mut [u8]) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        let (room, proof) = (buffer.len(), entry.proof);
        let received = rustix::net::recv(&entry.fd, buffer, platform::RECV_FLAGS).map(|(_, count)| count);
        self.received(conn, room, proof, received)
    }

    fn recv_vectored(&mut self, conn: ConnId, mut slices: SlicesMut<'_>) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        let (room, proof) = (slices.len(), entry.proof);
        // Most have a header and a body; as with sends.
        let few = &mut std::array::from_fn::<_, FEW, _>(|_| IoSliceMut::new(&mut []));
        let mut many;
        let io_slices = if slices.iter_mut().nth(FEW).is_none() {
            few.as_mut_slice()
        } else {
            many = std::array::from_fn::<_, SLICES_MAX, _>(|_| IoSliceMut::new(&mut []));
            many.as_mut_slice()
        };
        let mut count = 0;
        for (io_slice, slice) in io_slices.iter_mut().zip(slices.iter_mut()) {
            *io_slice = IoSliceMut::new(slice);
            count += 1;
        }
        // Unlike readv(2) it can be told not to wait. Descriptors that the peer has sent along are dropped,
        // as by any receive.
        let mut no_ancillary = RecvAncillaryBuffer::default();
        let slices = &mut io_slices[..count];
        let received = rustix::net::recvmsg(&entry.fd, slices, &mut no_ancillary, platform::RECV_FLAGS);
        let received = received.map(|message| message.bytes);
        self.received(conn, room, proof, received)
    }

    #[inline]
    fn received(
        &mut self,
        conn: ConnId,
        room: usize,
        proof: Proof,
        received: rustix::io::Result<usize>,
    ) -> Outcome {
        match received {
            Ok(count) if (1..room).contains(&count) && proof != Proof::Drained => Outcome::Partial(count),
            Ok(count) => Outcome::Transferred(count),
            Err(errno) => self.blocked(conn, Interest::READABLE, errno::outcome(errno)),
        }
    }

    fn discard(&mut self, conn: ConnId) -> Outcome {
        self.recv(conn, &mut [0; 16 * 1024])
    }

    /// Asks the kernel, which also arms the event of what it says there is none of: a poll(2) that finds no
    /// room to send asks for one as a send does.
    fn poll(&mut self, conn: ConnId, direction: Direction) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        let (flags, interest) = match direction {
            Direction::Receive => (PollFlags::IN | PollFlags::PRI, Interest::READABLE),
            Direction::Send => (PollFlags::OUT, Interest::WRITABLE),
        };
        match rustix::event::poll(&mut [PollFd::new(&entry.fd, flags)], Some(&Timespec::default())) {
            Ok(0) => self.blocked(conn, interest, Outcome::WouldBlock),
            Ok(_) => Outcome::Done,
            Err(errno) => errno::outcome(errno),
        }
    }

    fn peek(&mut self, conn: ConnId) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        let flags = platform::RECV_FLAGS | RecvFlags::PEEK;
        match rustix::net::recv(&entry.fd, &mut [0; 1], flags) {
            Ok((_, count)) => Outcome::Transferred(count),
            Err(errno) => self.blocked(conn, Interest::READABLE, errno::outcome(errno)),
        }
    }

    fn connect(&mut self, conn: ConnId, target: &Target) -> Outcome {
        if let Some(entry) = self.table.get(conn) {
            let progress = connect::finish(entry.fd.as_fd());
            let outcome = self.progress(conn, progress);
            if !matches!(outcome, Outcome::Done | Outcome::WouldBlock) {
                self.close(conn);
            }
            return outcome;
        }
        if !self.table.has_room(conn) {
            return Outcome::Failed(NO_MEMORY);
        }
        let (fd, progress) = match connect::begin(target) {
            Ok(begun) => begun,
            Err(refusal) => return self.progress(conn, Err(refusal)),
        };
        let is_prepared = target.socket().is_some();
        // A socket of ours is TCP; one that was prepared may be MPTCP.
        let tcp = matches!(target.address(), Address::Internet(_))
            && (!is_prepared || platform::is_tcp(fd.as_fd()));
        let entered = self.enter(conn, fd, Kind::Stream, Proof::of_short(platform::TELLS_URGENT && tcp));
        if is_prepared && let Some(entry) = self.table.get_mut(conn) {
            // The maker of the socket may have a clone of it.
            entry.shared = true;
        }
        match entered {
            // An event is due in any case: registering reports the current state.
            Ok(()) if progress == Progress::UnderWay => Outcome::WouldBlock,
            Ok(()) => Outcome::Done,
            Err((error, _closed)) => Outcome::Failed(error),
        }
    }

    fn progress(&mut self, conn: ConnId, progress: Result<Progress, Refusal>) -> Outcome {
        match progress {
            Ok(Progress::Made) => Outcome::Done,
            Ok(Progress::UnderWay) => match self.blocked(conn, Interest::WRITABLE, Outcome::WouldBlock) {
                // Even what would pass is the user's to know here.
                Outcome::Exhausted(error) => Outcome::Failed(error),
                outcome => outcome,
            },
            Err(Refusal::Full(error)) => Outcome::Exhausted(error),
            Err(Refusal::Failed(error)) => Outcome::Failed(error),
        }
    }

    #[inline]
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        let sent = rustix::net::send(&entry.fd, bytes, platform::SEND_FLAGS);
        self.sent(conn, sent)
    }

    fn send_vectored(&mut self, conn: ConnId, slices: Slices<'_>) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        // Most have a header and a body; room for as many as there can be costs more to clear than those to
        // send.
        let few = &mut [IoSlice::new(&[]); FEW];
        let mut many;
        let io_slices = if slices.iter().nth(few.len()).is_none() {
            few.as_mut_slice()
        } else {
            many = [IoSlice::new(&[]); SLICES_MAX];
            many.as_mut_slice()
        };
        let mut count = 0;
        for (io_slice, slice) in io_slices.iter_mut().zip(slices.iter()) {
            *io_slice = IoSlice::new(slice);
            count += 1;
        }
        let mut no_ancillary = SendAncillaryBuffer::default();
        let sent =
            rustix::net::sendmsg(&entry.fd, &io_slices[..count], &mut no_ancillary, platform::SEND_FLAGS);
        self.sent(conn, sent)
    }

    #[inline]
    fn sent(&mut self, conn: ConnId, sent: rustix::io::Result<usize>) -> Outcome {
        match sent {
            Ok(count) => Outcome::Transferred(count),
            Err(errno) if platform::is_passing_send_error(errno) => Outcome::Interrupted,
            Err(errno) => self.blocked(conn, Interest::WRITABLE, errno::outcome(errno)),
        }
    }

    fn accept(&mut self, listener: ConnId, conn: ConnId) -> Outcome {
        // Before there is a descriptor that would have to be closed again.
        if !self.table.has_room(conn) {
            return Outcome::Exhausted(NO_MEMORY);
        }
        let Some(entry) = self.table.get(listener) else {
            return UNKNOWN;
        };
        let (nodelay, proof, keeps_peer) = (entry.marks.nodelay(), entry.proof, entry.marks.keeps_peer());
        let (fd, peer) = match platform::accept(entry.fd.as_fd(), keeps_peer) {
            Ok(accepted) => accepted,
            Err(errno) => return self.blocked(listener, Interest::READABLE, errno::accept_outcome(errno)),
        };
        if nodelay {
            // Fails only if the peer has gone already, which the first receive will tell.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&fd, true);
        }
        match self.enter(conn, fd, Kind::Stream, proof) {
            Ok(()) => {
                if let Some(peer) = peer {
                    self.keep_peer(conn, peer);
                }
                Outcome::Done
            }
            Err((error, fd)) => {
                platform::never_wait_in_close(fd.as_fd());
                match errno::refusal(error) {
                    // It is the connection that can not be watched; the listener goes on, if others can.
                    Outcome::Failed(error) => Outcome::Refused(error),
                    other => other,
                }
            }
        }
    }

    /// Keeps the address that came with the accept. Without memory for that, the system is asked when the
    /// user asks; and of a Unix socket it is known for as long as the descriptor is open.
    fn keep_peer(&mut self, conn: ConnId, peer: SocketAddrAny) {
        let kept = SocketAddr::try_from(peer).is_ok_and(|peer| self.peers.insert(conn.index(), peer));
        if let Some(entry) = self.table.get_mut(conn) {
            entry.marks = Marks::new(false, kept);
        }
    }

    fn shutdown_write(&mut self, conn: ConnId) -> Outcome {
        let Some(entry) = self.table.get(conn) else {
            return UNKNOWN;
        };
        match rustix::net::shutdown(&entry.fd, Shutdown::Write) {
            Ok(()) => Outcome::Done,
            Err(errno) => errno::outcome(errno),
        }
    }

    /// Has the close of a connection reset it: `SO_LINGER` of zero seconds. Unix sockets accept the option
    /// and have no resets; and if somebody else holds the open file, it is their close that resets.
    fn reset_on_close(&self, conn: ConnId) {
        if let Some(entry) = self.table.get(conn) {
            // It fails only for what is no socket any more, which there is nothing to reset of.
            let _ = rustix::net::sockopt::set_socket_linger(&entry.fd, Some(Duration::ZERO));
        }
    }

    fn close(&mut self, conn: ConnId) -> Outcome {
        // The entry's drop is close(2), whose errors mean nothing to anybody: the descriptor is gone either
        // way.
        if let Some(entry) = self.table.remove(conn)
            && (entry.shared || platform::ONE_SHOT)
        {
            self.engine.deregister(&entry.fd);
        }
        Outcome::Done
    }

    #[inline(never)]
    fn perform_rare(&mut self, call: Syscall<'_>) -> Outcome {
        match call {
            Syscall::Recv { conn, buffer } => self.recv(conn, buffer),
            Syscall::RecvVectored { conn, slices } => self.recv_vectored(conn, slices),
            Syscall::Discard { conn } => self.discard(conn),
            Syscall::Poll { conn, direction } => self.poll(conn, direction),
            Syscall::Peek { conn } => self.peek(conn),
            Syscall::Connect { conn, target } => self.connect(conn, target),
            Syscall::Send { conn, bytes } => self.send(conn, bytes),
            Syscall::SendVectored { conn, slices } => self.send_vectored(conn, slices),
            Syscall::Accept { listener, conn } => self.accept(listener, conn),
            Syscall::ShutdownWrite { conn } => self.shutdown_write(conn),
            Syscall::Close { conn, reset } => {
                if reset {
                    self.reset_on_close(conn);
                }
                self.close(conn)
            }
        }
    }

    /// Registers a descriptor and knows it as `conn` from now on. On failure everything is as it was before.
    fn enter(
        &mut self,
        conn: ConnId,
        fd: OwnedFd,
        kind: Kind,
        proof: Proof,
    ) -> Result<(), (SystemError, OwnedFd)> {
        if !self.table.is_vacant(conn) {
            return Err((SystemError::from_kind(SystemErrorKind::InvalidInput), fd));
        }
        if !self.table.has_room(conn) {
            return Err((NO_MEMORY, fd));
        }
        let interest = match kind {
            Kind::Stream => platform::STREAM_INTEREST,
            Kind::Listener => Interest::READABLE,
        };
        if let Err(error) = self.engine.register(&fd, conn.key(), interest) {
            return Err((error, fd));
        }
        let awaited = Some(interest);
        let entry = Entry { conn, fd, shared: false, marks: Marks::default(), proof, awaited };
        self.table.insert(entry);
        Ok(())
    }

    /// Waits for `timeout` at most, and reports events at hand, `events_max` at most. Returns whether there
    /// was any, or a wake.
    fn poll_events(
        &mut self,
        timeout: Option<Duration>,
        events_max: NonZeroU32,
        on_ready: &mut impl FnMut(ConnId, Readiness),
    ) -> Result<bool, SystemError> {
        let Os { engine, table, stale_events, .. } = self;
        engine.wait(timeout, events_max, |token, readiness, urgent| match table.of_event(token) {
            Some(entry) => {
                if urgent {
                    entry.on_urgent();
                }
                if platform::ONE_SHOT {
                    entry.on_event(readiness);
                }
                on_ready(entry.conn, readiness);
            }
            None => *stale_events += 1,
        })
    }

    /// Passes the outcome of an attempt on. If it would have blocked, an event is promised: sees to it.
    fn blocked(&mut self, conn: ConnId, interest: Interest, outcome: Outcome) -> Outcome {
        if outcome != Outcome::WouldBlock {
            return outcome;
        }
        let Some(entry) = self.table.get_mut(conn) else {
            return UNKNOWN;
        };
        let interest = if platform::ONE_SHOT {
            entry.await_event(interest)
        } else if interest.is_readable() && entry.proof == Proof::NotEvenWouldBlock {
            // There may be bytes whose event has been and gone. Registering anew reports what is the case: no
            // more of urgent data, which may be all there is for as long as the peer likes, and of which it
            // is known that there were some.
            platform::STREAM_INTEREST_WITHOUT_URGENT
        } else {
            return outcome;
        };
        match self.engine.rearm(&entry.fd, conn.key(), interest) {
            Ok(()) => Outcome::WouldBlock,
            Err(error) => errno::refusal(error),
        }
    }
}

/// So many slices are sent or received at next to no cost for those that there are not.
const FEW: usize = 8;

/// There is no memory for what is kept of a connection.
const NO_MEMORY: SystemError = SystemError::from_kind(SystemErrorKind::OutOfMemory);

/// The answer to a call on a connection that is not known.
const UNKNOWN: Outcome = Outcome::Failed(UNKNOWN_CONN);

/// A connection is not known.
const UNKNOWN_CONN: SystemError = SystemError::from_kind(SystemErrorKind::InvalidInput);

impl System for Os {
    type Socket = Socket;
    type Waker = OsWaker;

    fn rearm(&self) -> Rearm {
        Engine::REARM
    }

    fn waker(&self) -> OsWaker {
        self.engine.waker().clone()
    }

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn kind(&mut self, socket: &Socket) -> Result<Kind, SystemError> {
        socket.kind()
    }

    fn adopt(&mut self, conn: ConnId, socket: Socket) -> Result<(), (SystemError, Socket)> {
        let prepared = socket.kind().and_then(|kind| {
            socket.prepare(kind)?;
            Ok(kind)
        });
        let kind = match prepared {
            Ok(kind) => kind,
            Err(error) => return Err((error, socket)),
        };
        let nodelay = socket.wants_nodelay();
        let keeps_peer = kind == Kind::Listener && socket.keeps_peer_addr();
        let proof = Proof::of_short(platform::TELLS_URGENT && platform::is_tcp(socket.as_fd()));
        let (fd, options) = socket.into_parts();
        self.enter(conn, fd, kind, proof).map_err(|(error, fd)| (error, Socket::from_parts(fd, options)))?;
        if let Some(entry) = self.table.get_mut(conn) {
            // The maker of the socket may have a clone of it.
            entry.shared = true;
            // A socket that is not TCP refuses the option, and so would what it accepts.
            let nodelay = nodelay && rustix::net::sockopt::set_tcp_nodelay(&entry.fd, true).is_ok();
            entry.marks = Marks::new(nodelay, keeps_peer);
        }
        Ok(())
    }

    fn listen(&mut self, listen: &Listen) -> Result<Socket, SystemError> {
        listen::listen(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        let entry = self.table.get(conn).ok_or(UNKNOWN_CONN)?;
        listen::address(rustix::net::getsockname(&entry.fd).map_err(errno::from_errno)?)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        let entry = self.table.get(conn).ok_or(UNKNOWN_CONN)?;
        if entry.marks.keeps_peer()
            && let Some(peer) = self.peers.get(conn.index())
        {
            return Ok(peer.into());
        }
        match rustix::net::getpeername(&entry.fd) {
            Ok(Some(peer)) => listen::address(peer),
            // Linux has an address for a peer that has none; others have none at all.
            Ok(None) => Ok(Address::unix([])),
            // Darwin's, of a connection that was made and is dead by now.
            Err(Errno::INVAL) => Err(errno::from_errno(Errno::NOTCONN)),
            Err(errno) => Err(errno::from_errno(errno)),
        }
    }

    // Every caller knows which call it makes: inlined, the match disappears.
    #[inline(always)]
    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        match call {
            Syscall::Recv { conn, buffer } => self.recv(conn, buffer),
            Syscall::Send { conn, bytes } => self.send(conn, bytes),
            call => self.perform_rare(call),
        }
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        let timeout = self.clock.timeout(until);
        self.poll_events(timeout, events_max, &mut on_ready)?;
        Ok(self.clock.now())
    }

    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        if !spin.is_zero() {
            let end = self.clock.now() + spin;
            loop {
                let anything = self.poll_events(Some(Duration::ZERO), events_max, &mut on_ready)?;
                let now = self.clock.now();
                if anything || until.is_some_and(|until| until <= now) {
                    return Ok((now, false));
                }
                if end <= now {
                    break;
                }
            }
        }
        self.wait(until, events_max, on_ready).map(|now| (now, true))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use aio_model::testing::Ids;

    use super::*;

    const SOME: NonZeroU32 = NonZeroU32::new(8).unwrap();

    #[test]
    fn an_open_file_that_outlives_its_descriptor_is_not_heard_of() {
        let (mut os, mut ids) = (Os::new().unwrap(), Ids::default());
        let (old, (ours, mut peer)) = (ids.open(), UnixStream::pair().unwrap());
        os.enter(old, ours.into(), Kind::Stream, Proof::Nothing).unwrap();
        // What a fork would do, unseen: the open file outlives its descriptor, and so does its registration.
        let orphan = os.table.get(old).unwrap().fd.try_clone().unwrap();
        os.close(old);

        let (new, (ours, _new_peer)) = (ids.reopen(old), UnixStream::pair().unwrap());
        assert_eq!(new.index(), old.index());
        os.adopt(new, ours.into()).unwrap();
        peer.write_all(b"anyone?").unwrap();
        let mut reported = Vec::new();
        os.wait(None, SOME, |conn, readiness| reported.push((conn, readiness))).unwrap();
        assert_eq!(reported, [(new, Readiness::WRITABLE)]);
        assert_eq!(os.stale_events(), u64::from(platform::WATCHES_FILES));

        let until = os.now() + Duration::from_millis(2);
        assert!(os.wait(Some(until), SOME, |_, _| unreachable!("nothing is new")).unwrap() >= until);
        drop(orphan);
    }
}
