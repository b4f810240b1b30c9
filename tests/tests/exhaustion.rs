//! Out of descriptors, of buffers, of places, and short of memory, on real sockets. The tests lower the
//! limits of this process and measure its memory, so they take turns, in a process of their own. The long
//! form has fifty times as much go through:
//! `LONG=1 cargo test --release -p tests --test exhaustion -- --nocapture`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use aio::{
    Accept, Builder, Close, Completion, ConnId, Connect, Done, Limit, OpError, Proactor, Recv, Send, Sleep,
    SubmitErrorKind, SystemErrorKind,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::bytes::Bytes;
use tests::echo::listen;
use tests::ledger::Ledger;
use tests::pair::Family;
use tests::process::resident_bytes;
use tests::turns::{PATIENCE, complete, turns_for};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    leave_enough();
    alone
}

/// Fifty times as much, if the long form is asked for.
fn scaled(count: usize) -> usize {
    if std::env::var_os("LONG").is_some() { 50 * count } else { count }
}

/// A thousand connections have two thousand ends.
fn leave_enough() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let enough = maximum.map_or(4096, |maximum| maximum.min(4096));
    setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum }).unwrap();
}

/// Lets this process open so many more descriptors, and no more. The limit is on their numbers, so the gaps
/// below are filled with what comes back.
fn leave(count: usize) -> Vec<File> {
    leave_enough();
    let highest = fs::read_dir("/proc/self/fd").unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.to_str().unwrap().parse::<i32>().unwrap()
    });
    let highest = highest.max().unwrap();
    let mut fillers: Vec<File> = Vec::new();
    while fillers.last().is_none_or(|filler| filler.as_raw_fd() < highest) {
        fillers.push(File::open("/dev/null").unwrap());
    }
    let end = u64::try_from(fillers[fillers.len() - 1].as_raw_fd()).unwrap() + 1;
    let current = Some(end + count as u64);
    setrlimit(Resource::Nofile, Rlimit { current, ..getrlimit(Resource::Nofile) }).unwrap();
    fillers
}

fn accepted(done: &[Completion<u32>]) -> Vec<ConnId> {
    let conns = done.iter().map(|done| match done.result {
        Ok(Done::Accepted(conn)) => conn,
        other => panic!("{other:?}"),
    });
    conns.collect()
}

/// Sends something back on a connection whose peer has said it.
fn echo(aio: &mut Proactor<u32>, conn: ConnId, peer: &mut TcpStream) {
    peer.write_all(b"hello").unwrap();
    aio.submit(conn, Recv::exact(vec![0; 5]), 1).unwrap();
    let done = complete(aio, 1).remove(0);
    aio.submit(conn, Send::new(done.buffer), 2).unwrap();
    complete(aio, 1);
    peer.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn accepting_without_descriptors_pauses_serves_the_others_and_goes_on_by_itself() {
    const CALLERS: usize = 30;
    let _alone = alone();
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    let mut peers: Vec<_> = (0..CALLERS).map(|_| TcpStream::connect(address).unwrap()).collect();
    aio.submit(listener, Accept::many(), 0).unwrap();
    let _fillers = leave(10);
    let mut conns = accepted(&complete(&mut aio, 10));
    let before = aio.stats().counters;
    assert_eq!(turns_for(&mut aio, Duration::from_millis(300)).len(), 0);
    let after = aio.stats().counters;
    assert!(after.exhaustions > before.exhaustions, "it does try");
    // After 1, 2, 4, 8 … ms: that is less than ten times in 300 ms.
    assert!(after.attempts - before.attempts <= 10, "{before:?} {after:?}");
    assert!(after.turns - before.turns <= 25, "{before:?} {after:?}");
    for (conn, peer) in conns.iter().zip(&mut peers) {
        echo(&mut aio, *conn, peer);
    }
    // Three descriptors come free, and nobody says so.
    for conn in conns.drain(..3) {
        aio.close(conn);
    }
    conns.extend(accepted(&complete(&mut aio, 3)));
    assert_eq!(turns_for(&mut aio, Duration::from_millis(30)).len(), 0);
    drop(peers.drain(..3));
    conns.extend(accepted(&complete(&mut aio, 3)));
    assert_eq!(turns_for(&mut aio, Duration::from_millis(30)).len(), 0);
    leave_enough();
    let rest = CALLERS - 16;
    conns.extend(accepted(&complete(&mut aio, rest)));
    for (conn, peer) in conns.iter().zip(&mut peers) {
        echo(&mut aio, *conn, peer);
    }
}

#[test]
fn connecting_without_descriptors_fails_and_works_again_once_there_are_some() {
    let _alone = alone();
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let _fillers = leave(4);
    for context in 0..10 {
        aio.submit(aio.own(), Connect::to(address), context).unwrap();
    }
    let done = complete(&mut aio, 10);
    let exhausted = |done: &Completion<u32>| match done.result {
        Err(OpError::System(error)) => error.kind() == SystemErrorKind::DescriptorsExhausted,
        _ => false,
    };
    let made: Vec<_> = done.iter().filter(|done| done.result == Ok(Done::Connected)).collect();
    assert_eq!((made.len(), done.iter().filter(|done| exhausted(done)).count()), (4, 6), "{done:?}");
    aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    assert_eq!((aio.stats().connections, aio.stats().credits), (4, 0), "nothing is left of the others");
    aio.submit(made[0].conn, Close::now(), 1).unwrap();
    complete(&mut aio, 1);
    aio.submit(aio.own(), Connect::to(address), 7).unwrap();
    assert_eq!(complete(&mut aio, 1)[0].result, Ok(Done::Connected));
}

/// Who accepts and who connects want the same descriptors. Every connect ends, and accepting goes on.
#[test]
fn accepting_and_connecting_share_the_last_descriptors() {
    let _alone = alone();
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    aio.submit(listener, Accept::many(), 0).unwrap();
    let _fillers = leave(5);
    let (mut made, mut failed, mut taken) = (0, 0, 0);
    for round in 0..20 {
        aio.submit(aio.own(), Connect::to(address), round + 1).unwrap();
        let mut ended = false;
        let end = aio.now() + PATIENCE;
        while !ended {
            assert!(aio.now() < end, "a connect does not end");
            let mut batch = Vec::new();
            aio.turn(&mut batch, Some(PATIENCE)).unwrap();
            for done in batch {
                match done.result {
                    Ok(Done::Connected) => (made, ended) = (made + 1, true),
                    Ok(Done::Accepted(_)) => taken += 1,
                    Err(OpError::System(error)) => {
                        assert_eq!(error.kind(), SystemErrorKind::DescriptorsExhausted);
                        (failed, ended) = (failed + 1, true);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(made > 0 && failed > 0 && taken > 0 && made + taken <= 5, "{made} {failed} {taken}");
    leave_enough();
    let end = aio.now() + PATIENCE;
    while taken < made {
        assert!(aio.now() < end, "{taken} of {made} are accepted");
        let mut batch = Vec::new();
        aio.turn(&mut batch, Some(PATIENCE)).unwrap();
        taken += batch.len();
    }
}

/// A thousand connections have something to read, and there is one buffer: each gets it when it is its turn,
/// round after round, with one call each and no needless turn.
#[test]
fn a_thousand_connections_share_one_buffer_in_turn() {
    const COUNT: usize = 1000;
    const LEASE: usize = 16;
    let _alone = alone();
    let rounds = scaled(2);
    let mut ledger = Ledger::new(Proactor::<()>::builder().pool(1, LEASE));
    let (mut conns, mut peers) = (Vec::new(), Vec::new());
    let mut lease = None;
    for nth in 0..COUNT {
        let (ours, mut peer) = Family::Unix.pair(nth as u64, 0).unwrap();
        peer.say(rounds * LEASE);
        conns.push(ledger.adopt(ours));
        peers.push(peer);
        ledger.submit(conns[nth], Recv::pooled(), nth);
        if nth == 0 {
            lease = Some(ledger.completion());
        } else {
            ledger.until("its place in line", |ledger| ledger.aio.stats().lanes_parked as usize == nth);
        }
    }
    let before = ledger.aio.stats().counters;
    let mut streams: Vec<_> = (0..COUNT).map(|seed| Bytes::new(seed as u64)).collect();
    for served in 0..rounds * COUNT {
        let nth = served % COUNT;
        let done = lease.take().unwrap_or_else(|| ledger.completion());
        assert_eq!((done.context, done.received().len()), (nth, LEASE), "in line");
        assert!(streams[nth].matches(done.received()));
        assert_eq!(ledger.aio.stats().leases, 1);
        drop(done);
        if served + COUNT < rounds * COUNT {
            ledger.submit(conns[nth], Recv::pooled(), nth);
        }
    }
    let after = ledger.aio.stats().counters;
    let (attempts, turns) = (after.attempts - before.attempts, after.turns - before.turns);
    println!("{} receives: {attempts} attempts, {turns} turns", rounds * COUNT);
    let served = u64::try_from(rounds * COUNT).unwrap();
    assert!(attempts < served, "one for each, of which the first was before: {attempts}");
    assert!(turns <= 2 * served + 10, "{turns} turns for {served}");
    assert_eq!(ledger.aio.stats().leases, 0);
    ledger.finish();
}

#[test]
fn every_limit_at_one_serves_one_after_the_other() {
    const CALLERS: usize = 5;
    const BYTES: usize = 30;
    let _alone = alone();
    let builder = Builder::new()
        .connections_max(2)
        .ops_max(1)
        .lane_ops_max(1)
        .turn_attempts_max(1)
        .lane_attempts_max(1)
        .pool(1, 1);
    let mut aio: Proactor<u32> = builder.build().unwrap();
    let socket = listen().unwrap();
    let address = socket.local_addr().unwrap();
    let callers: Vec<_> =
        (0..CALLERS).map(|seed| thread::spawn(move || call(address, seed as u64))).collect();
    // The listener has one of the places, a single connection the other.
    let listener = aio.adopt(socket).unwrap();
    let mut bytes = 0;
    for _ in 0..CALLERS {
        aio.submit(listener, Accept::one(), 0).unwrap();
        let refused = aio.submit(listener, Accept::one(), 9).unwrap_err();
        assert_eq!((refused.kind, refused.context), (SubmitErrorKind::Busy(Limit::LaneOps), 9));
        let refused = aio.submit(aio.own(), Sleep::new(PATIENCE), 9).unwrap_err();
        assert_eq!((refused.kind, refused.context), (SubmitErrorKind::Busy(Limit::Ops), 9));
        let conn = accepted(&complete(&mut aio, 1))[0];
        loop {
            aio.submit(conn, Recv::pooled(), 1).unwrap();
            let done = complete(&mut aio, 1).remove(0);
            if done.bytes == 0 {
                break;
            }
            aio.submit(conn, Send::new(done.buffer), 2).unwrap();
            bytes += complete(&mut aio, 1)[0].bytes;
        }
        aio.submit(conn, Close::now(), 3).unwrap();
        complete(&mut aio, 1);
    }
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!((bytes, aio.stats().leases, aio.stats().connections), ((CALLERS * BYTES) as u64, 0, 1));

    fn call(address: SocketAddr, seed: u64) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&Bytes::new(seed).take(BYTES)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert!(heard.len() == BYTES && Bytes::new(seed).matches(&heard));
    }
}

/// Allocators keep a little, and the first of everything is bought in bulk.
const SLACK: u64 = 4 << 20;

/// The most that was resident, over what was at the start.
struct Resident {
    start: u64,
    most: u64,
}

impl Resident {
    fn new() -> Resident {
        let start = resident_bytes().unwrap();
        Resident { start, most: start }
    }

    fn sample(&mut self) {
        self.most = self.most.max(resident_bytes().unwrap());
    }

    fn grown(&self) -> u64 {
        self.most - self.start
    }
}

/// Peers never read. Sends are accepted up to the limit, and refused from then on, however often they are
/// tried.
#[test]
fn memory_is_bounded_under_peers_that_never_read() {
    const PEERS: usize = 50;
    static BODY: [u8; 64 * 1024] = [7; 64 * 1024];
    let _alone = alone();
    let mut ledger: Ledger<usize> = Ledger::new(Proactor::<()>::builder().lane_ops_max(4).ops_max(1000));
    let pairs: Vec<_> = (0..PEERS).map(|_| UnixStream::pair().unwrap()).collect();
    let (conns, _peers): (Vec<_>, Vec<_>) =
        pairs.into_iter().map(|(ours, peer)| (ledger.adopt(ours), peer)).unzip();
    let mut resident = Resident::new();
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for round in 0..scaled(2_000) {
        for (nth, conn) in conns.iter().enumerate() {
            match ledger.offer(*conn, Send::new(&BODY[..]), nth) {
                Ok(_) => accepted += 1,
                Err(kind) => {
                    assert_eq!(kind, SubmitErrorKind::Busy(Limit::LaneOps));
                    refused += 1;
                }
            }
        }
        ledger.poll();
        ledger.completions();
        if round % 100 == 0 {
            resident.sample();
        }
    }
    resident.sample();
    let queued = u64::from(ledger.aio.stats().queued.send);
    println!(
        "{accepted} sends accepted, {queued} queued, {refused} refused; {} bytes more",
        resident.grown()
    );
    assert_eq!(queued, 4 * PEERS as u64);
    assert!(refused > 90_000, "{refused}");
    assert!(resident.grown() < SLACK, "{} bytes more", resident.grown());
}

/// Peers never stop sending. What has come is held for a while and let go, and never is there more of it than
/// the pool lends.
#[test]
fn memory_is_bounded_under_peers_that_never_stop_sending() {
    const PEERS: usize = 20;
    const BUFFERS: u32 = 8;
    const BUFFER: usize = 64 * 1024;
    let _alone = alone();
    let bytes = scaled(128 << 20) as u64;
    let mut ledger: Ledger<usize> = Ledger::new(Proactor::<()>::builder().pool(BUFFERS, BUFFER));
    let mut conns = Vec::new();
    let mut floods = Vec::new();
    for nth in 0..PEERS {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        conns.push(ledger.adopt(ours));
        ledger.submit(conns[nth], Recv::pooled(), nth);
        // Until the other end is closed.
        floods.push(thread::spawn(move || while peer.write_all(&[7; 32 * 1024]).is_ok() {}));
    }
    let mut resident = Resident::new();
    let (mut received, mut shares, mut held) = (0, [0_u64; PEERS], std::collections::VecDeque::new());
    while received < bytes {
        let done = ledger.completion();
        assert_eq!(done.result, Ok(Done::Received { end_of_stream: false }));
        received += done.bytes;
        shares[done.context] += done.bytes;
        ledger.submit(done.conn, Recv::pooled(), done.context);
        held.push_back(done.buffer);
        if held.len() >= BUFFERS as usize {
            held.pop_front();
        }
        assert!(ledger.aio.stats().leases <= BUFFERS);
        if received % (1 << 24) < BUFFER as u64 {
            resident.sample();
        }
    }
    resident.sample();
    println!("{received} bytes, in shares of {shares:?}; {} bytes more", resident.grown());
    let pool = u64::from(BUFFERS) * BUFFER as u64;
    assert!(resident.grown() < pool + SLACK, "{} bytes more", resident.grown());
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    drop(held);
    for conn in conns {
        ledger.aio.close(conn);
    }
    ledger.until("the end", |ledger| ledger.aio.stats().connections == 0);
    ledger.completions();
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    ledger.finish();
}

/// The canary of both: a program that keeps all it receives is seen to grow.
#[test]
fn memory_that_is_kept_is_noticed() {
    let _alone = alone();
    let mut resident = Resident::new();
    let mut kept = Vec::new();
    for _ in 0..64 {
        kept.push(Bytes::new(1).take(256 * 1024));
        resident.sample();
    }
    assert!(kept.len() == 64 && resident.grown() > SLACK, "{}", resident.grown());
}
