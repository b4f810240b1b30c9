//! Events: what the kernel told of must be the case in the simulator, and what the simulator tells of at the
//! end the kernel must have told of.

use aio_model::{ConnId, Direction, Instant, Readiness};
use sim::EngineKind;

use crate::conformance::history::{Name, Number};

use super::{Followed, Follower};

impl Follower<'_> {
    pub(super) fn wait(&mut self, events: &[(Name, Readiness)]) -> Followed {
        for &(name, readiness) in events {
            let id = self.name_to_id(name).ok_or_else(|| format!("an event of {name:?}, which is closed"))?;
            if let Name::Conn(conn) = name {
                self.show(conn, readiness, self.net.readiness(id).unwrap_or_default());
            }
            let said = self.net.readiness(id).unwrap_or_default();
            if !allows(said, readiness, self.engine) {
                return Err(format!("{name:?} is {readiness:?}, in the simulator {said:?}"));
            }
        }
        self.simulate_wait(None);
        for (name, readiness) in events {
            for lane in lanes(*name, *readiness) {
                let told = self.told.entry(lane).or_default();
                told[0] = Some(self.at);
                self.extras.told += 1;
                self.extras.unowed += u64::from(told[1] != Some(self.at));
            }
        }
        Ok(())
    }

    /// Takes note of what the simulator tells of, but for one that does not count.
    pub(super) fn simulate_wait(&mut self, except: Option<Number>) {
        for (id, readiness) in self.caller.events(Instant::ZERO) {
            let Some(name) = self.id_to_name(id).filter(|name| except.map(Name::Conn) != Some(*name)) else {
                continue;
            };
            lanes(name, readiness).for_each(|lane| self.told.entry(lane).or_default()[1] = Some(self.at));
        }
    }

    /// An event shows that something has come: lets it come.
    fn show(&self, conn: Number, readiness: Readiness, said: Readiness) {
        if readiness.intersects(Readiness::ERROR) && !said.intersects(Readiness::ERROR) {
            self.arrive_before_reset(conn);
            self.relieve(conn);
            return;
        }
        if readiness.intersects(Readiness::READABLE) || readiness.hints_end() {
            let (arrived, in_flight) = self.incoming(conn);
            // An end would have been told of, and what a later receive does not find has not come.
            let kept = usize::from(self.conns[conn].ended && !readiness.hints_end());
            let wanted = in_flight.min(self.arrived_max(conn).saturating_sub(arrived));
            let all = kept == 0 && wanted == in_flight;
            self.arrive(conn, if all { usize::MAX } else { wanted.min(in_flight.saturating_sub(kept)) });
        }
        if readiness.intersects(Readiness::WRITABLE) && !said.intersects(Readiness::WRITABLE) {
            self.make_room(conn);
        }
    }

    fn name_to_id(&self, name: Name) -> Option<ConnId> {
        match name {
            Name::Listener => self.listener.map(|(id, _)| id),
            Name::Conn(conn) => self.conns[conn].id,
        }
    }

    fn id_to_name(&self, id: ConnId) -> Option<Name> {
        let listens = self.listener.is_some_and(|(listener, _)| listener == id);
        let conn = self.conns.iter().position(|conn| conn.id == Some(id));
        conn.map(Name::Conn).or(listens.then_some(Name::Listener))
    }

    /// At the end what was on its way comes. An edge that only the simulator has is a difference.
    pub(super) fn rest(&mut self) -> Followed {
        self.steer(&[], &[]);
        for (conn, known) in self.conns.iter().enumerate() {
            // Behind what has arrived, more may wait at the peer's end.
            let readable = self.history.ready.contains(&(Name::Conn(conn), Direction::Receive));
            if !self.history.lags || (readable && self.incoming(conn).0 == 0) {
                self.arrive(conn, usize::MAX);
            }
            // What is on its way to a peer that has closed is going to be a reset, and that would be seen.
            let closed = known.peer.is_some_and(|peer| self.net.peer_state(peer).closed);
            let room = self.history.ready.contains(&(Name::Conn(conn), Direction::Send));
            let through = if closed { self.history.errors.contains(&conn) } else { room };
            known
                .peer
                .filter(|_| through)
                .into_iter()
                .for_each(|peer| self.net.hurry(peer, Direction::Receive));
        }
        self.at = self.history.deeds.len() - 1;
        self.simulate_wait(None);
        for (&(name, direction), &[kernel, simulator]) in &self.told {
            let ready = self.history.ready.contains(&(name, direction));
            if ready && simulator > kernel {
                return Err(format!(
                    "{name:?} is ready to {direction:?}, which the kernel told of after {kernel:?} and the \
                     simulator after {simulator:?}"
                ));
            }
        }
        match self.net.violations().first() {
            Some(violation) => Err(format!("the simulator was misused: {violation:?}")),
            None => Ok(()),
        }
    }
}

/// The directions that an event wakes.
fn lanes(name: Name, readiness: Readiness) -> impl Iterator<Item = (Name, Direction)> {
    let woken = [
        readiness.wakes_receive().then_some((name, Direction::Receive)),
        readiness.wakes_send().then_some((name, Direction::Send)),
    ];
    woken.into_iter().flatten()
}

/// Whether the simulator, of which `said` is the case, can have an event like this: what is over is over, but
/// how much there is to read, or room to write, is the kernel's to know.
fn allows(said: Readiness, readiness: Readiness, engine: EngineKind) -> bool {
    let subset = [Readiness::READABLE, Readiness::WRITABLE];
    let equal = [Readiness::READ_CLOSED, Readiness::WRITE_CLOSED, Readiness::ERROR];
    subset.iter().all(|&bit| !readiness.intersects(bit) || said.intersects(bit))
        && equal.iter().all(|&bit| {
            // A one-shot engine may watch one direction only, and say nothing of the other.
            readiness.intersects(bit) == said.intersects(bit)
                || (engine == EngineKind::Poll && said.intersects(bit) && bit != Readiness::ERROR)
        })
}
