//! The model alone: no clock, no mailbox, no system.

use aio_model::testing::nowhere;
use aio_model::{
    Buffer, Config, ConnId, Done, Instant, Kind, Limits, Model, Outcome, PoolSize, Readiness, Rearm, Recv,
    Send,
};

use super::null::MESSAGE;

/// As many connections as a server that is busy has.
const CONNECTIONS: usize = 1000;

/// A model, and one buffer that goes round.
pub struct Steps {
    model: Model<usize>,
    conns: Vec<ConnId>,
    next: usize,
    buffer: Buffer,
}

impl Default for Steps {
    fn default() -> Steps {
        let config = Config {
            limits: Limits::DEFAULT,
            pools: vec![PoolSize { buffers_max: 1, buffer_bytes: 4096 }],
            realm: 1,
            rearm: Rearm::OnArrival,
        };
        let mut model = Model::new(config, &nowhere());
        let conns = (0..CONNECTIONS).map(|_| model.open(Kind::Stream).expect("there is room")).collect();
        Steps { model, conns, next: 0, buffer: vec![0; 4096].into() }
    }
}

impl Steps {
    /// On the next connection: an event, a receive, and a send of what was received; each submitted,
    /// attempted and completed. Returns how many echoes that is.
    ///
    /// # Panics
    ///
    /// When the model does anything else.
    pub fn echo(&mut self) -> u64 {
        let Steps { model, conns, next, buffer } = self;
        *next = (*next + 1) % conns.len();
        let (conn, bytes) = (conns[*next], MESSAGE as u64);
        let recv = Recv::into(std::mem::take(buffer));
        model.submit(conn, recv, *next, || Instant::ZERO).expect("a receive is welcome");
        model.on_ready(conn, Readiness::READABLE);
        model.begin_round();
        assert!(model.attempt(|_| Outcome::Transferred(MESSAGE)), "it receives");
        let done = model.next_completion().expect("it has received");
        assert_eq!(done.result, Ok(Done::Received { end_of_stream: false }));
        assert_eq!((done.conn, done.context, done.bytes), (conn, *next, bytes));

        let send = Send::new(done.buffer).first(MESSAGE);
        model.submit(conn, send, *next, || Instant::ZERO).expect("a send is welcome");
        model.begin_round();
        assert!(model.attempt(|_| Outcome::Transferred(MESSAGE)), "it sends");
        let done = model.next_completion().expect("it has sent");
        assert_eq!(done.result, Ok(Done::Sent));
        assert_eq!((done.conn, done.context, done.bytes), (conn, *next, bytes));
        *buffer = done.buffer;
        1
    }
}
