//! Tracing, with a subscriber that counts: each connection has a span for as long as it is open, and none is
//! left behind.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aio::{Accept, Close, ConnId, Connect, Done, Proactor, Recv, Send};
use tests::turns::complete;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What is known of the spans that are open.
#[derive(Default)]
struct Counts {
    spans: Mutex<HashMap<u64, (String, usize)>>,
    /// Spans that were ever opened.
    opened: AtomicUsize,
    entered: AtomicUsize,
    events: AtomicUsize,
}

impl Counts {
    /// The connections that have a span, in order.
    fn open(&self) -> Vec<String> {
        let mut open: Vec<_> = self.spans.lock().unwrap().values().map(|(conn, _)| conn.clone()).collect();
        open.sort();
        open
    }
}

/// Counts, and hears of everything.
struct Counting(Arc<Counts>);

struct Conn(String);

impl Visit for Conn {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "conn" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Counting {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.opened.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        let mut conn = Conn(String::new());
        span.record(&mut conn);
        self.0.spans.lock().unwrap().insert(id, (conn.0, 1));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, span: &Id) {
        assert!(self.0.spans.lock().unwrap().contains_key(&span.into_u64()), "it is open");
        self.0.entered.fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self, _: &Id) {
        self.0.entered.fetch_sub(1, Ordering::Relaxed);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.0.spans.lock().unwrap().get_mut(&span.into_u64()).expect("it is open").1 += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut spans = self.0.spans.lock().unwrap();
        let handles = &mut spans.get_mut(&span.into_u64()).expect("it is open").1;
        *handles -= 1;
        let closes = *handles == 0;
        if closes {
            spans.remove(&span.into_u64());
        }
        closes
    }
}

/// Runs `program` with everything traced, and returns what is left once it is over.
fn traced(program: impl FnOnce(&Counts)) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    tracing::subscriber::with_default(Counting(Arc::clone(&counts)), || program(&counts));
    assert_eq!(counts.open(), [] as [String; 0], "spans that nobody closed");
    assert_eq!(counts.entered.load(Ordering::Relaxed), 0);
    counts
}

fn names(conns: &[ConnId]) -> Vec<String> {
    let mut names: Vec<_> = conns.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn each_connection_has_a_span_until_it_is_closed_however_it_ends() {
    let counts = traced(|counts| {
        let mut aio: Proactor<&str> = Proactor::new().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listener = aio.adopt(socket).unwrap();
        let own = aio.own();
        aio.submit(listener, Accept::many(), "accept").unwrap();
        for close in [Close::now(), Close::flush(), Close::linger(Duration::from_secs(5))] {
            assert_eq!(counts.open(), names(&[listener]));
            aio.submit(own, Connect::to(address), "connect").unwrap();
            let done = complete(&mut aio, 2);
            assert!(done.iter().all(|done| done.result.is_ok()), "{done:?}");
            let conn_of = |done: &aio::Completion<&str>| match done.result {
                Ok(Done::Accepted(conn)) => conn,
                _ => done.conn,
            };
            let (ours, theirs) = (conn_of(&done[0]), conn_of(&done[1]));
            assert_eq!(counts.open(), names(&[listener, ours, theirs]));
            aio.submit(ours, Send::new("hello"), "send").unwrap();
            aio.submit(theirs, Recv::exact(vec![0; 5]), "recv").unwrap();
            complete(&mut aio, 2);
            aio.submit(ours, close, "close").unwrap();
            aio.submit(theirs, Close::linger(Duration::from_secs(5)), "close").unwrap();
            complete(&mut aio, 2);
        }
        aio.cancel_all(listener).unwrap();
        complete(&mut aio, 1);
        aio.close(listener);
        while aio.stats().connections > 0 {
            aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(counts.open(), [] as [String; 0], "before it is dropped");
    });
    assert_eq!(counts.opened.load(Ordering::Relaxed), 1 + 3 * 2, "one each, and none for what was not made");
    assert!(counts.events.load(Ordering::Relaxed) > 20);
}

#[test]
fn what_is_not_made_has_no_span() {
    let counts = traced(|counts| {
        let mut aio: Proactor<&str> = aio::Builder::new().connections_max(2).build().unwrap();
        let own = aio.own();
        // Refused, cancelled, not a socket, and one too many.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        aio.submit(own, Connect::to(nobody), "connect").unwrap();
        assert!(complete(&mut aio, 1)[0].result.is_err());
        let cancelled = aio.submit(own, Connect::to(nobody), "connect").unwrap();
        aio.cancel(cancelled).unwrap();
        assert!(complete(&mut aio, 1)[0].result.is_err());
        drop(aio.adopt(std::os::fd::OwnedFd::from(std::io::pipe().unwrap().0)).unwrap_err());
        // An accept that would block: no peer has connected.
        let listener = aio.adopt(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        aio.submit(listener, Accept::one(), "accept").unwrap();
        aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        let address = aio.local_addr(listener).unwrap().as_internet().unwrap();
        let peer = std::net::TcpStream::connect(address).unwrap();
        let done = complete(&mut aio, 1);
        let Ok(Done::Accepted(conn)) = done[0].result else { panic!("{done:?}") };
        drop(aio.adopt(UnixStream::pair().unwrap().0).unwrap_err());
        assert_eq!(counts.open(), names(&[listener, conn]));
        drop(peer);
    });
    assert_eq!(counts.opened.load(Ordering::Relaxed), 2);
}

#[test]
fn a_proactor_that_is_shut_down_or_dropped_leaves_no_span() {
    for shut_down in [false, true] {
        let counts = traced(|counts| {
            let mut aio: Proactor<usize> = Proactor::new().unwrap();
            let (sockets, _peers): (Vec<_>, Vec<_>) = (0..10).map(|_| UnixStream::pair().unwrap()).unzip();
            for (context, socket) in sockets.into_iter().enumerate() {
                let conn = aio.adopt(socket).unwrap();
                aio.submit(conn, Recv::pooled(), context).unwrap();
            }
            assert_eq!(counts.open().len(), 10);
            if shut_down {
                aio.shut_down();
                complete(&mut aio, 10);
                aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
                assert_eq!(counts.open().len(), aio.stats().connections as usize);
            }
        });
        assert_eq!(counts.opened.load(Ordering::Relaxed), 10);
    }
}
