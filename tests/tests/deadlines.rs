//! Deadlines that pass before anybody looked: what the kernel had by then still counts, and very many that
//! fall due at once do not make one long turn.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use aio::{Accept, Close, Completion, ConnId, Connect, Done, Instant, OpError, Proactor, Recv, Send, Sleep};
use rustix::process::{Pid, Signal, kill_process};
use socket2::Socket;
use tests::pair::{Family, Peer};
use tests::turns::complete;

const BYTES: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });

/// How long the operations of these tests may take: longer than it takes to get to where time stands still.
const SPAN: Duration = Duration::from_millis(150);

/// A proactor whose last turn asked for events and found none, and a connection to send on: so that its next
/// turn, with a send to make, asks for none.
struct Stopped {
    aio: Proactor<usize>,
    busy: ConnId,
    _peer: Peer,
    until: Instant,
}

/// The context of what keeps a turn busy.
const BUSY: usize = usize::MAX;

impl Stopped {
    fn new() -> Stopped {
        let mut aio: Proactor<usize> = Proactor::<()>::builder().pool(256, 4096).build().unwrap();
        let (ours, peer) = Family::Unix.pair(1, 1).unwrap();
        let busy = aio.adopt(ours).unwrap();
        let until = aio.now() + SPAN;
        Stopped { aio, busy, _peer: peer, until }
    }

    fn adopt(&mut self, socket: Socket) -> ConnId {
        self.aio.adopt(socket).unwrap()
    }

    /// Turns until there is no more to do, for now.
    fn settle(&mut self) {
        let (mut batch, mut quiet) = (Vec::with_capacity(16), 0);
        while quiet < 4 {
            let before = self.aio.stats().counters.attempts;
            self.aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
            let idle = before == self.aio.stats().counters.attempts && !self.aio.is_busy();
            quiet = if idle { quiet + 1 } else { 0 };
        }
        assert!(batch.is_empty(), "nothing is complete yet: {batch:?}");
        assert!(self.aio.now() < self.until, "the machine is too slow for this test");
    }

    /// The thread does nothing until the deadlines have passed; then it takes a turn that does not ask for
    /// events.
    fn wake_up(&mut self) -> Vec<Completion<usize>> {
        while self.aio.now() < self.until + Duration::from_millis(1) {
            thread::sleep(Duration::from_millis(1));
        }
        let waits = self.aio.stats().counters.waits;
        self.aio.submit(self.busy, Send::new("x"), BUSY).unwrap();
        let mut batch = Vec::with_capacity(1024);
        self.aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
        self.aio.check().unwrap();
        assert_eq!(self.aio.stats().counters.waits, waits, "the turn asked for no events");
        batch.retain(|done| done.context != BUSY);
        batch
    }
}

/// The result and the count of each operation, by its context.
fn results(mut batch: Vec<Completion<usize>>) -> Vec<(usize, Result<Done, OpError>, u64)> {
    batch.sort_by_key(|done| done.context);
    batch.into_iter().map(|done| (done.context, done.result, done.bytes)).collect()
}

#[test]
fn t2_a_receive_that_expires_before_anybody_looked_reads_what_came() {
    for family in Family::ALL {
        let mut stopped = Stopped::new();
        let (one, mut first) = family.pair(1, 2).unwrap();
        let (two, mut second) = family.pair(1, 2).unwrap();
        let (three, _silent) = family.pair(1, 2).unwrap();
        let [one, two, three] = [one, two, three].map(|socket| stopped.adopt(socket));
        let until = stopped.until;
        stopped.aio.submit(one, Recv::pooled().deadline(until), 0).unwrap();
        stopped.aio.submit(two, Recv::exact(vec![0; 100]).deadline(until), 1).unwrap();
        stopped.aio.submit(three, Recv::into(vec![0; 10]).deadline(until), 2).unwrap();
        stopped.settle();
        second.say(40);
        // The first part comes in time.
        while stopped.aio.stats().counters.bytes_received < 40 {
            stopped.aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        }
        stopped.settle();
        first.say(7);
        second.say(60);
        let expected = vec![(0, BYTES, 7), (1, BYTES, 100), (2, Err(OpError::Deadline), 0)];
        assert_eq!(results(stopped.wake_up()), expected, "{family:?}");
    }
}

/// One wait takes in 64 events; the others' connections are ready, and nobody says so.
#[test]
fn t2_more_receives_expire_than_one_wait_takes_in() {
    const MANY: usize = 200;
    let mut stopped = Stopped::new();
    let mut peers = Vec::new();
    for context in 0..MANY {
        let (ours, peer) = Family::Unix.pair(1, 2).unwrap();
        let conn = stopped.adopt(ours);
        stopped.aio.submit(conn, Recv::pooled().deadline(stopped.until), context).unwrap();
        peers.push(peer);
    }
    stopped.settle();
    peers.iter_mut().for_each(|peer| peer.say(10));
    while stopped.aio.now() < stopped.until + Duration::from_millis(1) {
        thread::sleep(Duration::from_millis(1));
    }
    let done = complete(&mut stopped.aio, MANY);
    let received = done.iter().filter(|done| done.result == BYTES && done.bytes == 10).count();
    assert_eq!(received, MANY);
}

#[test]
fn t2_a_send_that_expires_before_anybody_looked_sends_what_there_is_room_for() {
    const LEN: usize = 64 << 10;
    for family in Family::ALL {
        let mut stopped = Stopped::new();
        let (ours, mut peer) = family.narrow_pair(4 << 10, 1, 2).unwrap();
        let conn = stopped.adopt(ours);
        let mut bytes = tests::bytes::Bytes::new(2);
        // Fills what there is, until the kernel takes no more.
        stopped.aio.submit(conn, Send::new(bytes.take(LEN)).deadline(stopped.until), 0).unwrap();
        stopped.settle();
        let sent = stopped.aio.stats().counters.bytes_sent;
        assert!(sent > 0 && sent < LEN as u64, "{family:?}: a part of it");
        peer.hear(usize::try_from(sent).unwrap());
        let done = results(stopped.wake_up());
        assert_eq!(done.len(), 1);
        assert!(done[0].2 > sent, "{family:?}: more than the {sent} bytes of before: {done:?}");
    }
}

#[test]
fn t2_an_accept_and_a_connect_that_expire_before_anybody_looked_are_made() {
    let mut stopped = Stopped::new();
    let until = stopped.until;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = stopped.aio.adopt(listener).unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    stopped.aio.submit(listener, Accept::one().deadline(until), 0).unwrap();
    stopped.settle();
    // A turn that asks for no events; so the next one does, before it begins to connect, and the one after
    // that does not.
    let mut batch = Vec::with_capacity(4);
    stopped.aio.submit(stopped.busy, Send::new("x"), BUSY).unwrap();
    stopped.aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
    batch.clear();
    let own = stopped.aio.own();
    let target = elsewhere.local_addr().unwrap();
    stopped.aio.submit(own, Connect::to(target).deadline(until), 1).unwrap();
    stopped.aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
    assert!(batch.is_empty(), "it is under way: {batch:?}");
    let _client = std::net::TcpStream::connect(address).unwrap();
    let results = results(stopped.wake_up());
    assert_eq!(results.len(), 2, "{results:?}");
    assert!(matches!(results[0], (0, Ok(Done::Accepted(_)), 0)), "{results:?}");
    assert_eq!(results[1], (1, Ok(Done::Connected), 0));
}

#[test]
fn k2_a_flush_that_expires_before_anybody_looked_sends_what_there_is_room_for() {
    const LEN: usize = 6 << 10;
    for family in Family::ALL {
        let mut stopped = Stopped::new();
        let (ours, mut peer) = family.narrow_pair(2 << 10, 1, 2).unwrap();
        let conn = stopped.adopt(ours);
        let mut bytes = tests::bytes::Bytes::new(2);
        // Fills what there is, until the kernel takes no more.
        while stopped.aio.stats().queued.send == 0 {
            stopped.aio.submit(conn, Send::new(bytes.take(LEN)), 0).unwrap();
            stopped.aio.turn(&mut Vec::with_capacity(1), Some(Duration::ZERO)).unwrap();
        }
        stopped.aio.submit(conn, Close::flush().deadline(stopped.until), 1).unwrap();
        stopped.settle();
        peer.hear(usize::try_from(stopped.aio.stats().counters.bytes_sent).unwrap());
        let batch = results(stopped.wake_up());
        assert_eq!(batch.first(), Some(&(0, Ok(Done::Sent), LEN as u64)), "{family:?}");
    }
}

/// A server of three connections, in a process of its own. It says its port, and what came of its receives.
#[test]
#[ignore = "only for the test that stops it"]
fn a_server_that_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("\nport {}", listener.local_addr().unwrap().port());
    let mut aio: Proactor<usize> = Proactor::new().unwrap();
    let listener = aio.adopt(listener).unwrap();
    for context in 0..3 {
        aio.submit(listener, Accept::one(), context).unwrap();
    }
    let accepted = complete(&mut aio, 3);
    for done in &accepted {
        let Ok(Done::Accepted(conn)) = done.result else { panic!("{done:?}") };
        aio.submit(conn, Recv::pooled().within(2 * SPAN), done.context).unwrap();
    }
    println!("\nreceiving");
    let received =
        complete(&mut aio, 3).iter().filter(|done| done.result == BYTES && done.bytes == 7).count();
    println!("\nreceived {received}");
}

/// SIGSTOP, and SIGCONT when the deadlines have passed: the wait is interrupted, and reports nothing.
#[test]
fn t2_what_came_while_the_process_was_stopped_is_received() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_server_that_is_stopped", "--exact", "--ignored", "--nocapture"]);
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said = |word: &str| loop {
        let line = lines.next().expect("it goes on to say something");
        if let Some(rest) = line.strip_prefix(word) {
            return rest.trim().to_owned();
        }
    };
    let port: u16 = said("port").parse().unwrap();
    let mut clients = [(); 3].map(|()| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    said("receiving");
    let pid = Pid::from_child(&server);
    kill_process(pid, Signal::STOP).unwrap();
    clients.iter_mut().for_each(|client| client.write_all(b"request").unwrap());
    thread::sleep(2 * SPAN + Duration::from_millis(20));
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(said("received"), "3");
    assert!(server.wait().unwrap().success());
}

/// Neither a long turn, nor one that sleeps although there is more to end; in the order of the deadlines.
#[test]
fn k6_deadlines_that_fall_due_together_end_in_turns_that_are_bounded() {
    const MANY: usize = 300_000;
    let mut aio: Proactor<usize> = Proactor::new().unwrap();
    let (own, until) = (aio.own(), aio.now() + Duration::from_millis(1));
    let most = usize::try_from(aio.limits().turn_attempts_max.get()).unwrap();
    for context in 0..MANY {
        aio.submit(own, Sleep::until(until), context).unwrap();
    }
    let (mut batch, mut next, mut longest) = (Vec::with_capacity(MANY), 0, Duration::ZERO);
    while next < MANY {
        let before = std::time::Instant::now();
        aio.turn(&mut batch, None).unwrap();
        longest = longest.max(before.elapsed());
        assert!(batch.len() <= most, "{} ended in one turn", batch.len());
        for done in batch.drain(..) {
            assert_eq!((done.context, done.result), (next, Ok(Done::Elapsed)));
            next += 1;
        }
    }
    println!("{MANY} in turns of {longest:?} at most");
}

/// Receives with nothing to receive: each costs a call, and a turn makes no more of them than it may.
#[test]
fn k6_receives_that_expire_together_make_no_more_calls_than_a_turn_may() {
    const CONNS: usize = 100;
    const EACH: usize = 5;
    let mut aio: Proactor<usize> = Proactor::<()>::builder().turn_attempts_max(8).build().unwrap();
    let pairs: Vec<_> = (0..CONNS).map(|_| Family::Unix.pair(1, 1).unwrap()).collect();
    let (conns, _peers): (Vec<ConnId>, Vec<Peer>) =
        pairs.into_iter().map(|(ours, peer)| (aio.adopt(ours).unwrap(), peer)).unzip();
    let until = aio.now() + Duration::from_millis(20);
    for round in 0..EACH {
        for (nth, conn) in conns.iter().enumerate() {
            aio.submit(*conn, Recv::pooled().deadline(until), round * CONNS + nth).unwrap();
        }
    }
    let (mut batch, mut next) = (Vec::with_capacity(CONNS * EACH), 0);
    while next < CONNS * EACH {
        let before = aio.stats().counters.attempts;
        aio.turn(&mut batch, None).unwrap();
        let made = aio.stats().counters.attempts - before;
        assert!(made <= 12 && batch.len() <= 8, "{made} calls and {} ends in one turn", batch.len());
        for done in batch.drain(..) {
            assert_eq!((done.context, done.result), (next, Err(OpError::Deadline)));
            next += 1;
        }
    }
}

/// A send that ends with nothing sent was not there: the one behind it goes on, and the stream is whole.
#[test]
fn c5_a_send_that_expires_with_nothing_sent_lets_the_next_one_go() {
    const LEN: usize = 8 << 10;
    for family in Family::ALL {
        let mut stopped = Stopped::new();
        let (ours, mut peer) = family.narrow_pair(4 << 10, 1, 2).unwrap();
        let conn = stopped.adopt(ours);
        let mut bytes = tests::bytes::Bytes::new(2);
        while stopped.aio.stats().queued.send == 0 {
            stopped.aio.submit(conn, Send::new(bytes.take(LEN)), 0).unwrap();
            stopped.aio.turn(&mut Vec::with_capacity(1), Some(Duration::ZERO)).unwrap();
        }
        // Behind one that has no deadline: the first of these is gone before its turn comes, the second is
        // not.
        stopped.aio.submit(conn, Send::new("never sent").deadline(stopped.until), 1).unwrap();
        stopped.aio.submit(conn, Send::new(bytes.take(LEN)), 2).unwrap();
        stopped.settle();
        assert_eq!(results(stopped.wake_up()), [(1, Err(OpError::Deadline), 0)], "{family:?}");
        let reader = thread::spawn(move || peer.hear_all(1 << 10).unwrap());
        let done = results(complete(&mut stopped.aio, 2));
        assert_eq!(done, [(0, Ok(Done::Sent), LEN as u64), (2, Ok(Done::Sent), LEN as u64)], "{family:?}");
        let all = stopped.aio.stats().counters.bytes_sent - 1;
        assert!(stopped.aio.close(conn));
        stopped.aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        assert_eq!(reader.join().unwrap(), all, "{family:?}");
    }
}
