//! A server that has reason to be careful: it answers requests of a known size, each of which must have come
//! whole so long after its first byte, and begins like one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use aio::{Accept, Completion, ConnId, Done, Instant, OpError, Proactor, Recv, Send, Socket};
use tests::echo::listen;

/// From one byte of those who trickle to the next: 20 ms, or as long as they are told
/// (`HOSTILE_PACE_MS=1000`).
pub(crate) fn pace() -> Duration {
    let told = std::env::var("HOSTILE_PACE_MS").ok();
    Duration::from_millis(told.map_or(20, |millis| millis.parse().expect("milliseconds")))
}

/// How long a request may take from its first byte: less than it takes to trickle it.
pub(crate) fn request_time() -> Duration {
    10 * pace()
}

/// As long as every request.
pub(crate) const REQUEST_BYTES: usize = 64;

/// What every request begins with.
const GREETING: &[u8] = b"please";

/// The buffers of its pool.
pub(crate) const BUFFERS: u32 = 8;

/// The server, until it is stopped.
pub(crate) struct GuardedServer {
    pub(crate) address: SocketAddr,
    stop: UnixStream,
    thread: JoinHandle<Account>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) accepted: u64,
    pub(crate) answered: u64,
    /// Requests that did not come in time.
    pub(crate) expired: u64,
    /// Those of them that it ended before their time was over.
    pub(crate) early: u64,
    /// By how much the last of a turn was late, at the most.
    pub(crate) late_max: Duration,
    pub(crate) garbage: u64,
    /// Connections that ended otherwise: the peer closed, or reset.
    pub(crate) gone: u64,
    pub(crate) outstanding_max: u32,
    pub(crate) connections_max: u32,
    pub(crate) ops_max: u32,
}

#[derive(Debug, Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
    Stop,
}

/// What has come of a request, and until when the rest must.
#[derive(Default)]
struct Request {
    bytes: Vec<u8>,
    due: Option<Instant>,
}

impl GuardedServer {
    pub(crate) fn open() -> GuardedServer {
        let listener = listen().unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let mut aio = Proactor::<Ctx>::builder().pool(BUFFERS, 4096).build().unwrap();
            let listener = aio.adopt(Socket::from(listener).nodelay(true)).unwrap();
            let stopped = aio.adopt(stopped).unwrap();
            aio.submit(listener, Accept::many(), Ctx::Accept).unwrap();
            aio.submit(stopped, Recv::pooled(), Ctx::Stop).unwrap();
            Keeper { aio, requests: HashMap::new(), account: Account::default() }.serve()
        });
        GuardedServer { address, stop, thread }
    }

    /// Stops it. Nothing of its connections is left.
    pub(crate) fn close(mut self) -> Account {
        self.stop.write_all(&[0]).unwrap();
        let account = self.thread.join().unwrap();
        assert!(account.outstanding_max <= BUFFERS, "{account:?}");
        // An accept, the stop, and one operation for each connection.
        assert!(account.ops_max <= account.connections_max, "{account:?}");
        assert_eq!(account.early, 0, "{account:?}");
        account
    }
}

struct Keeper {
    aio: Proactor<Ctx>,
    requests: HashMap<ConnId, Request>,
    account: Account,
}

impl Keeper {
    fn serve(mut self) -> Account {
        let mut batch = Vec::with_capacity(256);
        while self.aio.turn(&mut batch, None).unwrap() {
            let account = &mut self.account;
            account.outstanding_max = account.outstanding_max.max(self.aio.stats().leases);
            account.connections_max = account.connections_max.max(self.aio.stats().connections);
            // Those that wait to be taken in this batch have been, so each connection has one at the most.
            account.ops_max = account.ops_max.max(self.aio.stats().credits);
            for done in batch.drain(..) {
                self.handle(&done);
            }
        }
        self.aio.check().unwrap();
        assert_eq!(
            (self.aio.stats().credits, self.aio.stats().connections, self.aio.stats().leases),
            (0, 0, 0)
        );
        self.account
    }

    fn handle(&mut self, done: &Completion<Ctx>) {
        match (done.context, done.result) {
            (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                self.account.accepted += 1;
                self.await_request(conn, Request::default());
            }
            (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => self.take(done),
            (Ctx::Read, Err(OpError::Deadline)) => {
                self.account.expired += 1;
                let (due, now) = (self.requests.remove(&done.conn).and_then(|r| r.due), self.aio.now());
                match due {
                    Some(due) if due <= now => {
                        self.account.late_max = self.account.late_max.max(now.saturating_since(due));
                    }
                    _ => self.account.early += 1,
                }
                self.aio.close(done.conn);
            }
            (Ctx::Write, Ok(_)) => {
                self.account.answered += 1;
                self.await_request(done.conn, Request::default());
            }
            (Ctx::Stop, Ok(_)) => self.aio.shut_down(),
            (Ctx::Read | Ctx::Write, _) => {
                self.account.gone += 1;
                self.requests.remove(&done.conn);
                self.aio.close(done.conn);
            }
            (Ctx::Accept | Ctx::Stop, _) => {}
        }
    }

    fn await_request(&mut self, conn: ConnId, request: Request) {
        let recv = Recv::pooled();
        let recv = if let Some(due) = request.due { recv.deadline(due) } else { recv };
        self.aio.submit(conn, recv, Ctx::Read).unwrap();
        self.requests.insert(conn, request);
    }

    /// Takes bytes of a request in.
    fn take(&mut self, done: &Completion<Ctx>) {
        let mut request = self.requests.remove(&done.conn).unwrap_or_default();
        request.bytes.extend_from_slice(done.received());
        let greeted = request.bytes.iter().zip(GREETING).all(|(byte, expected)| byte == expected);
        if !greeted || request.bytes.len() > REQUEST_BYTES {
            self.account.garbage += 1;
            self.aio.close_with(done.conn, 400);
        } else if request.bytes.len() == REQUEST_BYTES {
            self.aio.submit(done.conn, Send::new(request.bytes), Ctx::Write).unwrap();
        } else {
            let due = self.aio.now() + request_time();
            request.due.get_or_insert(due);
            self.await_request(done.conn, request);
        }
    }
}

/// A request, told from others by its number.
pub(crate) fn request(number: u64) -> Vec<u8> {
    let mut request = GREETING.to_vec();
    request.extend(tests::bytes::Bytes::new(number).take(REQUEST_BYTES - GREETING.len()));
    request
}

/// A well-behaved peer: asks so often, is answered each time, and pauses in between.
pub(crate) fn behave(address: SocketAddr, requests: u64) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for number in 0..requests {
            let (request, mut answer) = (request(number), [0; REQUEST_BYTES]);
            stream.write_all(&request).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[..], request);
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

#[test]
fn the_server_answers_those_who_behave() {
    let server = GuardedServer::open();
    let peers: Vec<_> = (0..4).map(|_| behave(server.address, 25)).collect();
    peers.into_iter().for_each(|peer| peer.join().unwrap());
    let account = server.close();
    assert_eq!((account.accepted, account.answered, account.expired), (4, 100, 0), "{account:?}");
}
