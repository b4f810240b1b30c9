//! What a party does of its own accord: it connects, takes operations back, changes deadlines, and holds
//! leases.

use std::time::Duration;

use aio::{Address, Buffer, Connect, Deadline, Sleep};

use super::super::chance::Chance;
use super::super::control::SoakPhase;
use super::super::{Sabotage, Side};
use super::{Ctx, HEAD_PATIENCE, Party, TICK};

impl Party {
    /// Holds a lease for a while, or has it dropped on another thread, or drops it here.
    pub(super) fn hold(&mut self, buffer: Buffer) {
        if !matches!(buffer, Buffer::Lease(_)) {
            return;
        }
        if self.sabotage == Some(Sabotage::Leases) && self.chance.one_in(20) {
            self.loot.buffers.push(buffer);
        } else if self.held.len() < self.held_max && self.chance.one_in(2) {
            self.held.push_back(buffer);
        } else if self.chance.one_in(2) {
            self.carry(buffer);
        }
    }

    fn carry(&mut self, buffer: Buffer) {
        // The porter takes whatever comes for as long as this party lives.
        let _ = self.porter.send(buffer);
    }

    pub(super) fn tick(&mut self) {
        let phase = self.control.phase();
        if phase == SoakPhase::Stop {
            self.aio.shut_down();
            return;
        }
        for _ in 0..self.held.len().div_ceil(4) {
            let Some(buffer) = self.held.pop_front() else { break };
            if self.chance.one_in(2) { self.carry(buffer) } else { drop(buffer) }
        }
        if phase == SoakPhase::Run {
            self.connect();
            (0..self.crowd.len().div_ceil(100)).for_each(|_| self.disturb());
        } else {
            self.held.clear();
            self.hurry();
        }
        self.submit(self.aio.own(), Sleep::new(TICK), Ctx::Tick);
        self.control.publish(self.side, self.aio.stats());
    }

    /// Makes some of the connections that are missing.
    fn connect(&mut self) {
        if self.side == Side::Server {
            return;
        }
        let missing = self.target.saturating_sub(self.crowd.len() + self.connecting);
        for _ in 0..missing.min(self.target.div_ceil(10)) {
            let address = if self.chance.one_in(4) {
                Address::from(self.addresses.unix.clone())
            } else {
                Address::from(self.addresses.tcp)
            };
            let connect = Connect::to(address).nodelay(true).within(HEAD_PATIENCE);
            match self.submit(self.aio.own(), connect, Ctx::Connect) {
                Some(_) => self.connecting += 1,
                None => break,
            }
        }
    }

    /// Takes a queued operation back, or gives it another deadline.
    fn disturb(&mut self) {
        let Some((id, conn)) = self.crowd.any(&mut self.chance) else { return };
        let ops = conn.ops;
        // They may have ended in this very turn, which does not matter.
        match self.chance.u64(..4) {
            0 => drop(self.aio.cancel_all(id)),
            1 | 2 => {
                let _ = ops[usize::from(self.chance.one_in(2))].map(|op| self.aio.cancel(op));
            }
            _ => {
                let soon = Deadline::Within(Duration::from_micros(self.chance.size(50_000) as u64));
                let deadline = (!self.chance.one_in(4)).then_some(soon);
                for op in ops.into_iter().flatten() {
                    let _ = self.aio.set_deadline(op, deadline);
                }
            }
        }
    }

    /// Ends every pause.
    fn hurry(&mut self) {
        for place in 0..self.crowd.len() {
            let id = self.crowd.ids()[place];
            let pauses = self.crowd.get_mut(id).map_or([None; 2], |conn| conn.pauses);
            for pause in pauses.into_iter().flatten() {
                let _ = self.aio.cancel(pause);
            }
        }
    }
}
