//! The handle on a simulated system: what tests and workloads act through.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use aio_model::{Address, ConnId, Direction, Instant, Kind, Listen, Readiness, SystemError};

use crate::world::choice::{Choice, Draw};
use crate::world::connecting::Answer;
use crate::world::engine::both_sides;
use crate::world::errno::{ECONNREFUSED, EMFILE};
use crate::world::faults::{Fault, Faults};
use crate::world::link::{Condition, Family, Side};
use crate::world::peer::{Act, PeerId, PeerState};
use crate::world::pipe::Capacity;
use crate::world::socket::{Listener, SocketId, What};
use crate::world::state::{Counts, World};
use crate::world::trace::TraceEntry;
use crate::world::wrong_call::WrongCall;

/// A simulated system: network, kernel, clock and all. Clones are handles on the same one.
///
/// The system under test reaches it through a [`SimOs`](crate::world::os::SimOs); the holder of this handle
/// is everything else: the peers, the faults, and the one who looks inside.
#[derive(Clone)]
pub struct Net {
    world: Rc<RefCell<World>>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// A socket that is not adopted yet. It owns its descriptor: dropped, it is closed.
#[derive(Debug)]
pub struct SimSocket {
    net: Net,
    id: SocketId,
}

impl SimSocket {
    /// What names this socket, now and after it was adopted.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it is a stream or a listener.
    pub fn kind(&self) -> Kind {
        self.net.world().socket(self.id).kind()
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut world = self.net.world_mut();
        // Adopted sockets are their poller's to close.
        if world.sockets[self.id.index()].as_ref().is_some_and(|socket| socket.registration.is_none()) {
            world.destroy(self.id);
        }
    }
}

/// The system.
impl Net {
    /// A system in which everything is left to `choice`, and `faults` may strike.
    pub fn new(choice: Choice, faults: Faults) -> Net {
        Net { world: Rc::new(RefCell::new(World::new(choice, faults))) }
    }

    /// A system in which nothing goes wrong, and everything is the simplest way.
    pub fn calm() -> Net {
        Net::new(Choice::simplest(), Faults::NONE)
    }

    pub(crate) fn world(&self) -> Ref<'_, World> {
        self.world.borrow()
    }

    pub(crate) fn world_mut(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// A listener at which up to `backlog_max` connections can wait.
    ///
    /// # Errors
    ///
    /// EMFILE, when no descriptor is left.
    pub fn listen(&self, backlog_max: usize) -> Result<SimSocket, SystemError> {
        let id = self.world_mut().create(What::Listener(Listener::new(backlog_max))).ok_or(EMFILE)?;
        Ok(SimSocket { net: self.clone(), id })
    }

    /// A listener with an address, for all who connect to it; with port 0, on one that is free. A system that
    /// makes one for itself, by [`listen`](aio_model::System::listen), gets the same.
    ///
    /// # Errors
    ///
    /// EMFILE, EADDRINUSE, ENAMETOOLONG, and that the description is not valid.
    pub fn listen_on(&self, listen: &Listen) -> Result<SimSocket, SystemError> {
        let id = self.world_mut().listen(listen)?;
        Ok(SimSocket { net: self.clone(), id })
    }

    /// Removes the path of a Unix socket whose listener was closed. Returns whether there was one.
    pub fn unlink(&self, path: &[u8]) -> bool {
        self.world_mut().addresses.unlink(path)
    }

    /// A connection between a new peer and a new socket.
    ///
    /// # Errors
    ///
    /// EMFILE, when no descriptor is left.
    pub fn pair(&self) -> Result<(PeerId, SimSocket), SystemError> {
        let (peer, id) = self.world_mut().pair().ok_or(EMFILE)?;
        Ok((peer, SimSocket { net: self.clone(), id }))
    }

    /// The buffers of the connections made from now on; `None`: as the faults have it.
    pub fn set_capacity(&self, capacity: Option<Capacity>) {
        self.world_mut().capacity = capacity;
    }

    /// Lets it be as late as that, if it is not later.
    pub(crate) fn set_clock(&self, at: Instant) {
        self.world_mut().clock.advance_to(at);
    }

    /// What the connections made from now on are: TCP's, unless set.
    pub fn set_family(&self, family: Family) {
        self.world_mut().family = family;
    }

    /// How many descriptors there may be at once.
    pub fn set_descriptors_max(&self, count: u32) {
        self.world_mut().descriptors.count_max = count;
    }

    /// How many descriptors are open: sockets that are adopted, and those that are not yet.
    pub fn descriptors(&self) -> u32 {
        self.world().descriptors.count()
    }

    /// What may go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world_mut().dice.faults = faults;
    }

    /// Ends all faults, and makes everything that they hold up happen now: what was sent arrives, and events
    /// that were delayed are ready to be delivered. What peers plan stays planned.
    pub fn heal(&self) {
        self.world_mut().heal();
    }

    /// Makes what is held up on its way from a peer (or, for [`Direction::Receive`], to it, with its answer
    /// to a connect) happen now; in pieces, if the faults have it.
    pub fn hurry(&self, peer: PeerId, direction: Direction) {
        let from = if direction == Direction::Send { peer.end() } else { peer.end().far() };
        self.world_mut().hurry(from);
    }

    /// Draws from the choices of this run, for a workload's own decisions.
    pub fn choose<R>(&self, draw: impl FnOnce(&mut Choice) -> R) -> R {
        draw(&mut self.world_mut().dice.choice)
    }
}

/// The peers.
impl Net {
    /// A new peer connects to a listener, and can write before it is accepted.
    ///
    /// # Errors
    ///
    /// ECONNREFUSED, when nobody listens there, or the backlog is full.
    pub fn connect(&self, listener: SocketId) -> Result<PeerId, SystemError> {
        self.world_mut().connect(listener)
    }

    /// A new peer connects to an address that is listened on.
    ///
    /// # Errors
    ///
    /// ECONNREFUSED, when nobody listens there, or the backlog is full.
    pub fn connect_to(&self, address: impl Into<Address>) -> Result<PeerId, SystemError> {
        let mut world = self.world_mut();
        let listener = world.listener_at(&address.into()).ok_or(ECONNREFUSED)?;
        world.connect(listener)
    }

    /// What comes of connecting to an address from now on.
    pub fn host(&self, address: impl Into<Address>, answer: Answer) {
        self.world_mut().hosts.push((address.into(), answer));
    }

    /// What comes of connecting to an address that nothing was said of: [`Answer::Refuses`], unless set.
    pub fn host_default(&self, answer: Answer) {
        self.world_mut().answer_default = answer;
    }

    /// The peer writes real bytes. Returns how many its kernel took: 0 when there is no room, or no
    /// connection any more.
    pub fn peer_write(&self, peer: PeerId, bytes: &[u8]) -> usize {
        self.world_mut().peer_write(peer, bytes)
    }

    /// The peer writes up to `bytes_max` bytes of its [pattern](crate::world::pattern), on from where it is.
    /// Returns how many its kernel took.
    pub fn peer_write_pattern(&self, peer: PeerId, bytes_max: usize) -> usize {
        self.world_mut().peer_write_pattern(peer, bytes_max)
    }

    /// The peer reads all that has arrived.
    pub fn peer_read(&self, peer: PeerId) -> Vec<u8> {
        self.world_mut().peer_read(peer, usize::MAX, None)
    }

    /// The peer reads up to `bytes_max` bytes and checks that they are what `writer` writes: the other side's
    /// pattern, or its own if it is echoed. Returns how many; a mismatch is a
    /// [violation](WrongCall::WrongByte).
    pub fn peer_read_pattern(&self, peer: PeerId, bytes_max: usize, writer: Side) -> usize {
        self.world_mut().peer_read(peer, bytes_max, Some(writer)).len()
    }

    /// The peer sends FIN.
    pub fn peer_shutdown(&self, peer: PeerId) {
        self.act(Act::ShutdownWrite { peer });
    }

    /// The peer resets the connection.
    pub fn peer_reset(&self, peer: PeerId) {
        self.act(Act::Reset { peer });
    }

    /// The peer closes its socket: a FIN, or a reset if it has not read everything.
    pub fn peer_close(&self, peer: PeerId) {
        self.act(Act::Close { peer });
    }

    /// How the peer sees its connection.
    pub fn peer_state(&self, peer: PeerId) -> PeerState {
        self.world().peer_state(peer)
    }

    /// A peer acts now.
    pub fn act(&self, act: Act) {
        self.world_mut().act(act);
    }

    /// A peer will act after `span`: during a wait, or between two calls.
    pub fn plan(&self, span: Duration, act: Act) {
        let mut world = self.world_mut();
        let at = world.clock.now() + span;
        world.plan(at, act);
    }

    /// The peers that connected by plan, or were connected to, since this was last asked.
    pub fn take_arrivals(&self) -> Vec<PeerId> {
        std::mem::take(&mut self.world_mut().arrivals)
    }
}

/// The inside, for oracles.
impl Net {
    /// The time itself, whatever a faulty clock says.
    pub fn now(&self) -> Instant {
        self.world().clock.now()
    }

    /// When something will happen by itself, if anything will.
    pub fn next_due(&self) -> Option<Instant> {
        self.world().agenda.next()
    }

    /// The peer at the other end of an open stream.
    pub fn peer_of(&self, conn: ConnId) -> Option<PeerId> {
        self.world().find_stream(conn).map(|end| PeerId::new(end.far()))
    }

    /// Whether the peer's end of an open stream has arrived: that it sent all it ever will, and was not cut
    /// off.
    pub fn peer_ended(&self, conn: ConnId) -> bool {
        let world = self.world();
        // A Unix socket that closes has sent all, too.
        world.find_stream(conn).is_some_and(|end| {
            let link = world.link(end);
            link.sent_by(!end.side).has_ended() || (link.family == Family::Unix && link.is_closed(!end.side))
        })
    }

    /// What is the case at an open connection or listener: what its kernel knows, told or not.
    pub fn condition(&self, conn: ConnId) -> Option<Condition> {
        self.world().condition_of(conn)
    }

    /// What an event would say now that speaks of both directions of an open connection or listener.
    pub fn readiness(&self, conn: ConnId) -> Option<Readiness> {
        self.condition(conn).map(|condition| both_sides(condition, [true; 2]))
    }

    /// How many of the bytes that a peer wrote have arrived, and were not received yet, and how many are on
    /// their way.
    pub fn outgoing(&self, peer: PeerId) -> (usize, usize) {
        let world = self.world();
        let pipe = world.link(peer.end()).sent_by(peer.side());
        (pipe.arrived(), pipe.in_flight())
    }

    /// How many of the bytes that were sent to a peer have arrived, and were not read yet, and how many are
    /// on their way.
    pub fn incoming(&self, peer: PeerId) -> (usize, usize) {
        let world = self.world();
        let pipe = world.link(peer.end()).sent_by(!peer.side());
        (pipe.arrived(), pipe.in_flight())
    }

    /// How many bytes the kernel of an open stream has taken from sends, and given to receives, ever.
    pub fn moved(&self, conn: ConnId) -> Option<(u64, u64)> {
        let world = self.world();
        let end = world.find_stream(conn)?;
        let link = world.link(end);
        Some((link.sent_by(end.side).sent(), link.sent_by(!end.side).received()))
    }

    /// Takes the error that waits to be told at an open stream, as another holder of the socket can by
    /// `SO_ERROR`: no call is told of it then.
    pub fn take_error(&self, conn: ConnId) -> Option<SystemError> {
        let mut world = self.world_mut();
        let end = world.find_stream(conn)?;
        world.link_mut(end).take_error(end.side)
    }

    /// Whether an event that wakes this direction of an open connection is owed and not yet delivered.
    ///
    /// If the kernel is [ready](Condition) in a direction, and the system under test believes that it is not,
    /// then this must hold, or it will never learn.
    pub fn edge_debt(&self, conn: ConnId, direction: Direction) -> bool {
        self.world().edge_debt(conn, direction)
    }

    /// Whether a wait has returned only because nothing could ever have ended it, since this was last asked.
    /// A real one would hang until some other process does something.
    pub fn take_slept_for_ever(&self) -> bool {
        let mut world = self.world_mut();
        world.pollers.iter_mut().fold(false, |any, poller| any | std::mem::take(&mut poller.slept_for_ever))
    }

    /// The connections and listeners that are adopted and not closed.
    pub fn open_conns(&self) -> Vec<ConnId> {
        let world = self.world();
        world.pollers.iter().flat_map(|poller| poller.names.open().map(|(conn, _)| conn)).collect()
    }

    /// How often things happened.
    pub fn counts(&self) -> Counts {
        self.world().counts
    }

    /// Whether a fault strikes that is none of the system's.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        self.world_mut().dice.strikes(fault)
    }

    /// How often a fault has struck.
    pub fn struck(&self, fault: Fault) -> u64 {
        self.world().dice.struck(fault)
    }

    /// The rules that the system under test broke, in order.
    pub fn violations(&self) -> Vec<WrongCall> {
        self.world().violations.clone()
    }

    /// How many rules were broken so far.
    pub fn violations_count(&self) -> usize {
        self.world().violations.len()
    }

    /// The choices made so far.
    pub fn draws(&self) -> Vec<Draw> {
        self.world().dice.choice.draws().to_vec()
    }

    /// The tape that plays this run again, with [`Choice::tape`].
    pub fn to_tape(&self) -> Vec<u64> {
        self.world().dice.choice.to_tape()
    }

    /// The next tape in the enumeration of all runs: see [`Choice::successor`].
    pub fn successor(&self) -> Option<Vec<u64>> {
        self.world().dice.choice.successor()
    }

    /// A number that is the same for two runs of one build exactly when, in all likelihood, they did the
    /// same.
    pub fn fingerprint(&self) -> u64 {
        self.world().trace.fingerprint()
    }

    /// The state of everything but chance, as text.
    pub(crate) fn dump(&self) -> String {
        let World { clock, agenda, connections, sockets, descriptors, pollers, .. } = &*self.world();
        format!("{:?}", (clock, agenda, connections, sockets, descriptors, pollers))
    }

    /// Keeps a trace from now on, or stops and throws it away.
    pub fn keep_trace(&self, keep: bool) {
        self.world_mut().trace.keep(keep);
    }

    /// The trace since it was last taken.
    pub fn take_trace(&self) -> Vec<TraceEntry> {
        self.world_mut().trace.take()
    }
}
