//! From submit to completion, through a proactor on a system that answers at once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use aio::{Buffer, Completion, ConnId, Done, Proactor, Recv, Send};

use super::null::{MESSAGE, Null};

/// It never comes.
const DEADLINE: Duration = Duration::from_secs(600);

/// The size of a buffer to receive into.
const BUFFER: usize = 4096;

/// A wait for the events, the attempts, and as many again.
const TURNS_MAX: usize = 4;

/// What is sent.
const BYTES: [u8; MESSAGE] = [7; MESSAGE];

/// Whether operations have a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// They wait for ever.
    Endless,
    /// They have one, that never comes.
    Deadline,
}

/// A proactor with connections.
pub struct Ops {
    aio: Proactor<usize, Null>,
    conns: Vec<ConnId>,
    batch: Vec<Completion<usize>>,
    patience: Patience,
    /// Of the program, for receives without the pool; empty until the first.
    own: Vec<Buffer>,
}

impl Ops {
    /// With so many connections.
    ///
    /// # Panics
    ///
    /// When they can not be adopted.
    pub fn new(connections: usize, patience: Patience) -> Ops {
        Ops::on(Null::default(), connections, patience)
    }

    fn on(system: Null, connections: usize, patience: Patience) -> Ops {
        let builder = Proactor::<usize>::builder().pool(1024, BUFFER);
        let mut aio = builder.build_on(system).expect("it is sound");
        let conns = (0..connections).map(|_| aio.adopt(()).expect("there is room")).collect();
        Ops { aio, conns, batch: Vec::with_capacity(connections), patience, own: Vec::new() }
    }

    /// Receives a message on each connection into a buffer of the pool, which is dropped.
    ///
    /// # Panics
    ///
    /// When anything else happens.
    pub fn receive(&mut self) -> u64 {
        self.receive_all(Recv::pooled);
        self.batch.clear();
        self.count()
    }

    /// Receives a message on each connection into a buffer of the program's own.
    ///
    /// # Panics
    ///
    /// When anything else happens.
    pub fn receive_own(&mut self) -> u64 {
        let mut own = std::mem::take(&mut self.own);
        own.resize_with(self.conns.len(), || vec![0; BUFFER].into());
        self.receive_all(|| Recv::into(own.pop().expect("there is one for each")));
        own.extend(self.batch.drain(..).map(|done| done.buffer));
        self.own = own;
        self.count()
    }

    /// Sends a message on each connection.
    ///
    /// # Panics
    ///
    /// When anything else happens.
    pub fn send(&mut self) -> u64 {
        let before = self.aio.system().sends;
        for (context, &conn) in self.conns.iter().enumerate() {
            let send = match self.patience {
                Patience::Endless => Send::new(&BYTES[..]),
                Patience::Deadline => Send::new(&BYTES[..]).within(DEADLINE),
            };
            self.aio.submit(conn, send, context).expect("a send is welcome");
        }
        self.complete(Done::Sent);
        assert_eq!(self.aio.system().sends - before, self.count());
        self.batch.clear();
        self.count()
    }

    fn receive_all(&mut self, mut recv: impl FnMut() -> Recv) {
        let before = self.aio.system().receives;
        for (context, &conn) in self.conns.iter().enumerate() {
            let recv = match self.patience {
                Patience::Endless => recv(),
                Patience::Deadline => recv().within(DEADLINE),
            };
            self.aio.submit(conn, recv, context).expect("a receive is welcome");
        }
        self.complete(Done::Received { end_of_stream: false });
        assert_eq!(self.aio.system().receives - before, self.count());
    }

    /// Takes turns until every connection has its completion, few as they are, and looks at each.
    fn complete(&mut self, expected: Done) {
        for _ in 0..TURNS_MAX {
            assert!(self.aio.turn(&mut self.batch, Some(Duration::ZERO)).expect("the system is well"));
            if self.batch.len() == self.conns.len() {
                break;
            }
        }
        assert_eq!(self.batch.len(), self.conns.len(), "each has its completion");
        for done in &self.batch {
            assert_eq!((done.result, done.bytes), (Ok(expected), MESSAGE as u64));
            assert_eq!(done.conn, self.conns[done.context]);
        }
    }

    fn count(&self) -> u64 {
        self.conns.len() as u64
    }
}

/// A proactor whose leases are dropped on another thread.
pub struct Abroad {
    ops: Ops,
    out: Sender<Vec<Buffer>>,
    back: Receiver<Vec<Buffer>>,
    buffers: Vec<Buffer>,
    thread: Option<JoinHandle<()>>,
}

impl Abroad {
    /// With so many connections, and so as many leases that are handed over at once.
    pub fn new(connections: usize) -> Abroad {
        let (out, incoming) = channel::<Vec<Buffer>>();
        let (outgoing, back) = channel();
        let thread = std::thread::spawn(move || {
            for mut buffers in incoming {
                buffers.clear();
                if outgoing.send(buffers).is_err() {
                    return;
                }
            }
        });
        let buffers = Vec::with_capacity(connections);
        Abroad { ops: Ops::new(connections, Patience::Endless), out, back, buffers, thread: Some(thread) }
    }

    /// Receives a message on each connection into a buffer of the pool, and has all of them dropped by the
    /// other thread.
    ///
    /// # Panics
    ///
    /// When anything else happens.
    pub fn receive(&mut self) -> u64 {
        let Abroad { ops, buffers, .. } = self;
        ops.receive_all(Recv::pooled);
        buffers.extend(ops.batch.drain(..).map(|done| done.buffer));
        assert_eq!(ops.aio.stats().leases as usize, buffers.len(), "each is a lease");
        self.out.send(std::mem::take(buffers)).expect("the other thread goes on");
        self.buffers = self.back.recv().expect("the other thread goes on");
        assert_eq!(self.ops.aio.stats().leases, 0, "they are on their way home");
        self.ops.count()
    }
}

impl Drop for Abroad {
    fn drop(&mut self) {
        self.out = channel().0;
        // If it has failed, the step has said so.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "each has its completion")]
    fn receives_that_do_not_happen_are_missed() {
        Ops::on(Null::silent(), 50, Patience::Endless).receive();
    }

    #[test]
    #[should_panic(expected = "Deadline")]
    fn a_deadline_that_comes_is_no_receive() {
        let mut ops = Ops::on(Null::silent(), 50, Patience::Endless);
        for (context, &conn) in ops.conns.iter().enumerate() {
            ops.aio.submit(conn, Recv::pooled().within(Duration::ZERO), context).unwrap();
        }
        ops.complete(Done::Received { end_of_stream: false });
    }
}
