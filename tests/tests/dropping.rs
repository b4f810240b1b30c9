//! Dropping a proactor with everything in flight: no descriptor, context or buffer is left behind, and leases
//! stay whole. The tests count the descriptors of the process, so they take turns.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use aio::{Accept, Close, Completion, ConnId, Done, Operation, Proactor, Recv, Send, Shutdown, Sleep};
use socket2::Socket;
use tests::bytes::Bytes;
use tests::echo::listen;
use tests::pair::{Family, Peer};
use tests::process::descriptors;

const NARROW: usize = 16 * 1024;

type Batch = Vec<Completion<Arc<()>>>;

/// A proactor whose contexts are counted.
struct InFlight {
    aio: Proactor<Arc<()>>,
    counted: Arc<()>,
    peers: Vec<Peer>,
    submitted: usize,
}

impl InFlight {
    fn adopt(&mut self, (ours, peer): (Socket, Peer)) -> ConnId {
        self.peers.push(peer);
        self.aio.adopt(ours).unwrap()
    }

    fn submit(&mut self, conn: ConnId, op: impl Operation<Arc<()>>) {
        self.aio.submit(conn, op, Arc::clone(&self.counted)).unwrap();
        self.submitted += 1;
    }

    fn turns(&mut self, batch: &mut Batch, until: impl Fn(&Proactor<Arc<()>>) -> bool) {
        // Few are enough; a test that hangs must end.
        for _ in 0..100 {
            if until(&self.aio) {
                return;
            }
            self.aio.turn(batch, Some(Duration::from_millis(200))).unwrap();
        }
        panic!("{:?}", self.aio);
    }
}

/// Two leases, and as much as can be under way at once: a sleep, accepts, connections that were accepted and
/// that were adopted, receives that wait for bytes, that hold a part, that wait for a buffer; sends that are
/// cut, wait or are to flush; and completions that nobody took.
fn everything_in_flight(family: Family) -> (InFlight, Batch) {
    let aio = Proactor::<()>::builder().pool(2, 1000).build().unwrap();
    let mut all = InFlight { aio, counted: Arc::new(()), peers: Vec::new(), submitted: 0 };
    let mut leases = Vec::new();
    for seed in 1..=2 {
        let (ours, mut peer) = family.pair(seed, 0).unwrap();
        peer.say(1000);
        let conn = all.adopt((ours, peer));
        all.submit(conn, Recv::pooled());
        let len = leases.len();
        all.turns(&mut leases, |aio| aio.stats().credits == 0);
        assert_eq!(leases.len(), len + 1);
    }
    let parked = all.adopt(family.pair(3, 0).unwrap());
    all.peers[2].say(10);
    all.submit(parked, Recv::pooled());
    let partial = all.adopt(family.pair(4, 0).unwrap());
    all.peers[3].say(10);
    all.submit(partial, Recv::exact(vec![0; 1000]));
    all.submit(partial, Recv::pooled().within(Duration::from_secs(3600)));
    for flush in [false, true] {
        let conn = all.adopt(family.narrow_pair(NARROW, 5, 6).unwrap());
        let mut bytes = Bytes::new(6);
        all.submit(conn, Send::new(bytes.take(500_000)));
        all.submit(conn, Send::new(bytes.take(10)).within(Duration::from_secs(3600)));
        if flush {
            all.submit(conn, Close::flush());
        } else {
            all.submit(conn, Shutdown::write());
        }
    }
    all.submit(all.aio.own(), Sleep::new(Duration::from_secs(3600)));
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = all.aio.adopt(listener).unwrap();
    all.submit(listener, Accept::many());
    let _client = TcpStream::connect(address).unwrap();
    let mut batch = Vec::with_capacity(8);
    all.turns(&mut batch, |aio| {
        let stats = aio.stats().counters;
        (stats.accepted, stats.parked) == (1, 1) && stats.bytes_received == 2010 && stats.bytes_sent > 0
    });
    // A batch without room for more than one of them: the other completions stay where they are.
    let last = all.adopt(family.pair(7, 0).unwrap());
    for _ in 0..4 {
        all.submit(last, Recv::into(vec![0; 8]));
    }
    assert_eq!(all.aio.cancel_all(last), Ok(4));
    let mut one = Vec::with_capacity(1);
    all.aio.turn(&mut one, Some(Duration::ZERO)).unwrap();
    assert_eq!((one.len(), all.aio.stats().completions), (1, 3));
    assert_eq!(all.aio.check(), Ok(()));
    assert_eq!(all.aio.stats().leases, 2, "the two leases");
    (all, leases)
}

static TURNS: Mutex<()> = Mutex::new(());

#[test]
fn a_proactor_dropped_with_everything_in_flight_leaves_nothing_behind() {
    let _turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    for family in Family::ALL {
        let before = descriptors().unwrap();
        let (InFlight { aio, counted, peers, submitted }, mut leases) = everything_in_flight(family);
        let held = descriptors().unwrap();
        assert!(held >= before + 2 * peers.len() + 3, "a queue, a listener and one accepted: {held}");
        assert_eq!(Arc::strong_count(&counted), submitted, "one is not in flight, and one is ours");
        drop(aio);
        assert_eq!(
            Arc::strong_count(&counted),
            1 + leases.len(),
            "the contexts of what had not ended are gone"
        );
        for mut peer in peers {
            let end = peer.hear_all(4096);
            let reset = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            assert!(end.is_ok() || reset, "{family:?}: {end:?}");
        }

        for (done, seed) in leases.iter().zip(1..) {
            assert_eq!(done.result, Ok(Done::Received { end_of_stream: false }));
            assert!(Bytes::new(seed).matches(done.received()) && !done.received().is_empty());
        }
        // One ends as shared bytes on another thread, the other here: there is no home to go to.
        let shared = leases.pop().unwrap().buffer.into_bytes();
        let copy = shared.clone();
        thread::spawn(move || assert!(Bytes::new(2).matches(&shared))).join().unwrap();
        assert!(Bytes::new(2).matches(&copy));
        drop((copy, leases));
        assert_eq!((descriptors().unwrap(), Arc::strong_count(&counted)), (before, 1), "{family:?}");
    }
}

#[test]
fn a_lease_that_outlives_its_proactor_keeps_no_descriptor_open() {
    let _turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors().unwrap();
    let (InFlight { aio, peers, .. }, leases) = everything_in_flight(Family::Unix);
    drop((aio, peers));
    assert_eq!(descriptors().unwrap(), before, "with {} leases", leases.len());
}
