//! One direction of a connection: two kernel buffers and what lies between them.
//!
//! ```text
//!   send ──▶ [ in flight: up to send_bytes_max ] ──arrive──▶ [ arrived: up to recv_bytes_max ] ──▶ receive
//!                                              ◀─hold_back──
//! ```

use std::collections::VecDeque;

use aio_model::Instant;

/// How many bytes each end's kernel keeps of one direction. At least 1 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Sent, and not yet arrived.
    pub send_bytes_max: usize,
    /// Arrived, and not yet received.
    pub recv_bytes_max: usize,
}

impl Capacity {
    /// 64 KiB at both ends.
    pub const ROOMY: Capacity = Capacity { send_bytes_max: 1 << 16, recv_bytes_max: 1 << 16 };

    /// That many bytes at both ends, but at least 1.
    pub const fn of(bytes: usize) -> Capacity {
        let bytes = if bytes == 0 { 1 } else { bytes };
        Capacity { send_bytes_max: bytes, recv_bytes_max: bytes }
    }
}

/// How far the end of the stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fin {
    NotSent,
    InFlight,
    Arrived,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    capacity: Capacity,
    /// First what has arrived, then what is in flight.
    bytes: VecDeque<u8>,
    arrived: usize,
    fin: Fin,
    /// A send found too little room, and nobody was told of room since: what Linux calls `SOCK_NOSPACE`.
    starved: bool,
    /// The sender's kernel is short of memory and takes nothing, until the next flow.
    pressed: bool,
    /// When what is in flight flows on, if that takes time.
    pub(crate) flow_at: Option<Instant>,
    sent: u64,
    received: u64,
}

impl Pipe {
    pub(crate) fn new(capacity: Capacity) -> Pipe {
        Pipe {
            capacity,
            bytes: VecDeque::new(),
            arrived: 0,
            fin: Fin::NotSent,
            starved: false,
            pressed: false,
            flow_at: None,
            sent: 0,
            received: 0,
        }
    }

    /// Bytes that a receive can take.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived
    }

    /// Bytes on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.bytes.len() - self.arrived
    }

    /// Bytes that a send can place.
    pub(crate) fn room(&self) -> usize {
        if self.pressed { 0 } else { self.capacity.send_bytes_max.saturating_sub(self.in_flight()) }
    }

    /// Whether an engine calls it writable: from a third of the buffer on, as Linux has it, although a send
    /// would find room before.
    pub(crate) fn is_writable(&self) -> bool {
        self.room() > 0 && self.room() >= self.capacity.send_bytes_max / 3
    }

    /// Whether no more bytes will be sent.
    pub(crate) fn is_shut(&self) -> bool {
        self.fin > Fin::NotSent
    }

    /// Whether the receiver knows that no more bytes will come than have arrived.
    pub(crate) fn has_ended(&self) -> bool {
        self.fin == Fin::Arrived
    }

    /// All bytes that sends have placed, ever.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// All bytes that receives have taken, ever.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Places as many of `bytes` as there is room for.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        self.sent += count as u64;
        self.starved |= count < bytes.len();
        count
    }

    /// Takes as much as has arrived and fits into `buffer`.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.arrived);
        let (front, back) = self.bytes.as_slices();
        let (first, second) = buffer[..count].split_at_mut(count.min(front.len()));
        first.copy_from_slice(&front[..first.len()]);
        second.copy_from_slice(&back[..second.len()]);
        self.bytes.drain(..count);
        self.arrived -= count;
        self.received += count as u64;
        count
    }

    /// Ends the stream after what was sent.
    pub(crate) fn shut(&mut self) {
        self.fin = self.fin.max(Fin::InFlight);
    }

    /// Whether a flow would change anything.
    pub(crate) fn can_flow(&self) -> bool {
        let space = self.arrived < self.capacity.recv_bytes_max;
        self.pressed
            || (self.in_flight() > 0 && space)
            || (self.in_flight() == 0 && self.fin == Fin::InFlight)
    }

    /// Lets up to `bytes_max` bytes arrive, as far as the receiver has room, and returns how many did.
    pub(crate) fn arrive(&mut self, bytes_max: usize) -> usize {
        let space = self.capacity.recv_bytes_max.saturating_sub(self.arrived);
        let count = self.in_flight().min(space).min(bytes_max);
        self.arrived += count;
        count
    }

    /// Lets everything arrive, room or not, and returns how many bytes did.
    pub(crate) fn arrive_all(&mut self) -> usize {
        let count = self.in_flight();
        self.arrived += count;
        count
    }

    /// Lets the end of the stream arrive, if nothing is before it, and returns whether it did just now.
    pub(crate) fn arrive_fin(&mut self) -> bool {
        let arrives = self.fin == Fin::InFlight && self.in_flight() == 0;
        if arrives {
            self.fin = Fin::Arrived;
        }
        arrives
    }

    /// Undoes the arrival of the last `count` bytes. Not once the end has arrived, which is in their wake.
    pub(crate) fn hold_back(&mut self, count: usize) {
        debug_assert!(!self.has_ended());
        self.arrived -= count;
    }

    /// Leaves room for only `count` bytes of the next send, and after it for none, until the next flow.
    pub(crate) fn send_pressed(&mut self, bytes: &[u8], count: usize) -> usize {
        let sent = self.send(&bytes[..count]);
        self.pressed = true;
        self.starved = true;
        sent
    }

    /// Somebody asks to be told when there is room.
    pub(crate) fn starve(&mut self) {
        self.starved = true;
    }

    /// Takes the pressure off.
    pub(crate) fn relieve(&mut self) {
        self.pressed = false;
    }

    /// Whether room is owed to be announced: a send had found too little, and now there is enough. Says so
    /// once.
    pub(crate) fn announces_room(&mut self) -> bool {
        let announces = self.starved && self.is_writable();
        if announces {
            self.starved = false;
        }
        announces
    }

    /// Loses what is in flight.
    pub(crate) fn discard_in_flight(&mut self) {
        self.bytes.truncate(self.arrived);
    }

    /// Loses everything.
    pub(crate) fn discard(&mut self) {
        self.bytes = VecDeque::new();
        self.arrived = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(pipe: &mut Pipe, bytes_max: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes_max];
        let count = pipe.receive(&mut buffer);
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn bytes_go_through_in_order_and_within_capacity() {
        let mut pipe = Pipe::new(Capacity { send_bytes_max: 4, recv_bytes_max: 2 });
        assert_eq!(pipe.send(b"abcdef"), 4);
        assert_eq!((pipe.arrived(), pipe.in_flight(), pipe.room()), (0, 4, 0));
        assert_eq!(pipe.arrive(usize::MAX), 2);
        assert_eq!((receive(&mut pipe, 9), pipe.room()), (b"ab".to_vec(), 2));
        assert_eq!(pipe.send(b"ef"), 2);
        assert_eq!((pipe.arrive(1), pipe.arrive(usize::MAX)), (1, 1));
        assert_eq!(receive(&mut pipe, 1), b"c");
        pipe.arrive(usize::MAX);
        assert_eq!(receive(&mut pipe, 9), b"de");
        assert_eq!((pipe.sent(), pipe.received()), (6, 5));
    }

    #[test]
    fn the_end_arrives_after_the_bytes() {
        let mut pipe = Pipe::new(Capacity::of(8));
        pipe.send(b"ab");
        pipe.shut();
        assert!(pipe.is_shut() && !pipe.arrive_fin());
        pipe.arrive(usize::MAX);
        assert!(pipe.arrive_fin() && !pipe.arrive_fin());
        assert!(pipe.has_ended() && !pipe.can_flow());
    }

    #[test]
    fn room_is_announced_once_and_only_to_the_starved() {
        let mut pipe = Pipe::new(Capacity::of(9));
        pipe.send(b"123456789");
        pipe.arrive(usize::MAX);
        assert!(!pipe.announces_room(), "it all fitted");
        assert_eq!(pipe.send(b"123456789x"), 9);
        receive(&mut pipe, 2);
        pipe.arrive(usize::MAX);
        assert!(!pipe.announces_room(), "less than a third is free");
        receive(&mut pipe, 1);
        pipe.arrive(usize::MAX);
        assert!(pipe.announces_room() && !pipe.announces_room());
    }

    #[test]
    fn held_back_bytes_arrive_again() {
        let mut pipe = Pipe::new(Capacity::of(8));
        pipe.send(b"abc");
        pipe.arrive(usize::MAX);
        pipe.hold_back(2);
        assert_eq!(receive(&mut pipe, 9), b"a");
        assert_eq!((receive(&mut pipe, 9).len(), pipe.arrive(usize::MAX)), (0, 2));
        assert_eq!(receive(&mut pipe, 9), b"bc");
    }

    #[test]
    fn pressure_leaves_a_send_short_and_owes_it_an_announcement() {
        let mut pipe = Pipe::new(Capacity::of(8));
        assert_eq!((pipe.send_pressed(b"abc", 1), pipe.room()), (1, 0));
        assert!(!pipe.announces_room() && pipe.can_flow());
        pipe.relieve();
        assert!(pipe.announces_room());
    }
}
