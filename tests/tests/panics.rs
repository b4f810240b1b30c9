//! Code of the user's that panics, and is caught: it runs before a system call, or after its outcome is
//! recorded, so nothing is lost (C7). On real sockets.

use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aio::{Accept, Completion, Done, Proactor};
use tests::echo::listen;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static FRAGILE: AtomicBool = AtomicBool::new(false);

/// One after the other: what nobody listened to, `tracing` remembers as such, for all threads.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Fragile;

impl Clone for Fragile {
    fn clone(&self) -> Fragile {
        assert!(!FRAGILE.load(Ordering::Relaxed), "on purpose");
        Fragile
    }
}

/// Takes turns until there is a completion; a turn that panics is caught, and counted.
fn first<C: std::fmt::Debug>(
    aio: &mut Proactor<C>,
    heal_after: u32,
    heal: impl Fn(),
) -> (Completion<C>, u32) {
    let (mut batch, mut panics) = (Vec::new(), 0);
    while batch.is_empty() {
        let turn = || aio.turn(&mut batch, Some(Duration::from_secs(5))).unwrap();
        panics += u32::from(catch_unwind(AssertUnwindSafe(turn)).is_err());
        aio.check().unwrap();
        if panics >= heal_after {
            heal();
        }
    }
    (batch.remove(0), panics)
}

#[test]
fn c7_a_context_whose_clone_panics_loses_no_connection() {
    let _alone = ALONE.lock();
    let mut aio: Proactor<Fragile> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    aio.submit(listener, Accept::many(), Fragile).unwrap();
    let peer = TcpStream::connect(address).unwrap();
    FRAGILE.store(true, Ordering::Relaxed);
    let (done, panics) = first(&mut aio, 3, || FRAGILE.store(false, Ordering::Relaxed));
    let Ok(Done::Accepted(conn)) = done.result else { panic!("{done:?}") };
    assert_eq!(panics, 3);
    assert_eq!(
        aio.peer_addr(conn).unwrap().as_internet(),
        Some(peer.local_addr().unwrap()),
        "it is the one that called"
    );
    assert_eq!(aio.stats().connections, 2, "no connection without a name");
}

/// Panics at every event while it is told to; counts the spans that are open, and the warnings.
#[derive(Default)]
struct Listener {
    panics: AtomicBool,
    next: AtomicU32,
    open: AtomicU32,
}

struct Shared(Arc<Listener>);

impl Subscriber for Shared {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "aio"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Id::from_u64(u64::from(self.0.next.fetch_add(1, Ordering::Relaxed)) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let hears = *event.metadata().level() <= Level::TRACE;
        assert!(!(hears && self.0.panics.load(Ordering::Relaxed)), "on purpose");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, _: Id) -> bool {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        true
    }
}

#[test]
fn c7_a_subscriber_that_panics_loses_no_connection_and_its_spans_end() {
    let _alone = ALONE.lock();
    let heard = Arc::new(Listener::default());
    tracing::subscriber::with_default(Shared(Arc::clone(&heard)), || {
        let mut aio: Proactor<u32> = Proactor::new().unwrap();
        let listener = listen().unwrap();
        let address = listener.local_addr().unwrap();
        let listener = aio.adopt(listener).unwrap();
        aio.submit(listener, Accept::many(), 0).unwrap();
        let peer = TcpStream::connect(address).unwrap();
        heard.panics.store(true, Ordering::Relaxed);
        let (done, panics) = first(&mut aio, 1, || heard.panics.store(false, Ordering::Relaxed));
        let Ok(Done::Accepted(conn)) = done.result else { panic!("{done:?}") };
        assert!(panics >= 1);
        assert_eq!(aio.peer_addr(conn).unwrap(), peer.local_addr().unwrap().into());
        assert_eq!(heard.open.load(Ordering::Relaxed), 2, "a span for each");
        aio.close(conn);
        aio.close(listener);
        while aio.stats().connections > 0 {
            aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        }
    });
    assert_eq!(heard.open.load(Ordering::Relaxed), 0, "each ends with its connection");
}
