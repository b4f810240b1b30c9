//! The loop that sends and receives.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, read};
use rustix::net::{SendFlags, send};

use super::{Pattern, Shape, StreamPlace};

/// How long a server may say nothing at all before the load gives up.
const SILENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Four times the largest message: an answer is read in one call whenever it is there.
const BUFFER: usize = 256 * 1024;

/// Connections to one server.
pub struct Load {
    epoll: OwnedFd,
    conns: Vec<EchoConn>,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    pattern: Pattern,
    /// Moves on with every run, so that in the long run every connection is active.
    first: usize,
}

#[derive(Debug)]
struct EchoConn {
    socket: OwnedFd,
    /// Where the next byte to send is, and the next one to come back.
    sent: StreamPlace,
    got: StreamPlace,
    /// What the kernel has not taken yet.
    unsent: usize,
    /// What came of the message that is next to be complete.
    partial: usize,
    /// When the messages under way were sent.
    began: VecDeque<Instant>,
}

/// When to send no more.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After a span of time.
    Span(Duration),
    /// After so many messages of each active connection.
    Messages(usize),
}

/// What a run measured.
#[derive(Debug)]
pub struct LoadTally {
    /// Messages that came back.
    pub requests: u64,
    /// From the first byte sent to the last one that came back.
    pub span: Duration,
    /// From sending a message to its last byte's return, in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Load {
    /// A load without connections.
    ///
    /// # Errors
    ///
    /// When the system gives no epoll descriptor.
    pub fn new() -> io::Result<Load> {
        Ok(Load {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Vec::new(),
            events: Vec::with_capacity(1024),
            buffer: vec![0; BUFFER],
            pattern: Pattern::new(),
            first: 0,
        })
    }

    /// Connects `count` more times, one after the other.
    ///
    /// # Errors
    ///
    /// When a connection can not be made.
    pub fn connect(&mut self, target: SocketAddr, count: usize) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        for _ in 0..count {
            let socket = TcpStream::connect(target)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let nth = self.conns.len();
            let flags = Flags::IN | Flags::OUT | Flags::ET;
            epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(nth as u64), flags)?;
            let start = self.pattern.start(nth);
            self.conns.push(EchoConn {
                socket: socket.into(),
                sent: start,
                got: start,
                unsent: 0,
                partial: 0,
                began: VecDeque::new(),
            });
        }
        Ok(())
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Sends messages and waits for them to come back: all of them, also after the end.
    ///
    /// # Errors
    ///
    /// When other bytes come back than were sent, a connection ends, or nothing happens for a long time.
    pub fn echo(&mut self, shape: Shape, until: Until) -> io::Result<LoadTally> {
        let all = self.conns.len();
        let active = shape.active.min(all);
        let stride = all / active.max(1);
        let first = self.first;
        self.first = (first + 1) % all.max(1);
        self.echo_on((0..active).map(|nth| (first + nth * stride) % all), shape, until)
    }

    /// Lets each connection echo one message, a few at a time: no crowd of them fills a server's memory with
    /// buffers.
    ///
    /// # Errors
    ///
    /// Like [`echo`](Load::echo).
    pub fn greet(&mut self, message: usize) -> io::Result<()> {
        const AT_ONCE: usize = 10;
        let shape = Shape { message, depth: 1, active: AT_ONCE };
        for first in (0..self.conns.len()).step_by(AT_ONCE) {
            let few = first..self.conns.len().min(first + AT_ONCE);
            self.echo_on(few, shape, Until::Messages(1))?;
        }
        Ok(())
    }

    fn echo_on(
        &mut self,
        on: impl ExactSizeIterator<Item = usize>,
        shape: Shape,
        until: Until,
    ) -> io::Result<LoadTally> {
        let active = on.len();
        let mut run = Run::new(until, active);
        let depth = match until {
            Until::Span(_) => shape.depth,
            Until::Messages(count) => shape.depth.min(count),
        };
        for nth in on {
            self.conns[nth].ask(&self.pattern, shape, depth, run.start)?;
        }
        run.under_way = active * depth;
        run.left -= run.under_way;
        while run.under_way > 0 {
            self.wait()?;
            for at in 0..self.events.len() {
                let event = self.events[at];
                let (nth, now) = (index(event), Instant::now());
                let done = self.receive(nth, event.flags, shape.message, now, &mut run)?;
                let more = run.more(done, now);
                self.conns[nth].ask(&self.pattern, shape, more, now)?;
                run.under_way += more;
            }
        }
        Ok(run.tally())
    }

    /// Sends a message on the first connection and waits until it has come on every other one, again and
    /// again.
    ///
    /// # Errors
    ///
    /// Like [`echo`](Load::echo).
    pub fn broadcast(&mut self, shape: Shape, until: Until) -> io::Result<LoadTally> {
        let mut run = Run::new(until, 1);
        // What comes is the publisher's stream.
        let publisher = self.conns[0].sent;
        for conn in &mut self.conns[1..] {
            conn.got = publisher;
        }
        let mut now = run.start;
        while run.more(1, now) > 0 {
            for conn in &mut self.conns[1..] {
                conn.began.push_back(now);
            }
            let began = now;
            self.conns[0].ask(&self.pattern, shape, 1, began)?;
            self.conns[0].began.clear();
            run.under_way = self.conns.len() - 1;
            while run.under_way > 0 {
                self.wait()?;
                for at in 0..self.events.len() {
                    now = Instant::now();
                    let event = self.events[at];
                    let nth = index(event);
                    self.receive(nth, event.flags, shape.message, now, &mut run)?;
                    self.conns[nth].flush(&self.pattern)?;
                }
            }
        }
        Ok(run.tally())
    }

    fn wait(&mut self) -> io::Result<()> {
        self.events.clear();
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&SILENCE)) {
                Ok(0) => return Err(io::Error::other("the server has said nothing for 20 s")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is there, compares it, and returns how many messages are complete.
    fn receive(
        &mut self,
        nth: usize,
        flags: epoll::EventFlags,
        message: usize,
        now: Instant,
        run: &mut Run,
    ) -> io::Result<usize> {
        if flags == epoll::EventFlags::OUT {
            return Ok(0);
        }
        let conn = &mut self.conns[nth];
        let mut complete = 0;
        loop {
            let count = match read(&conn.socket, &mut self.buffer[..]) {
                Ok(0) => return Err(io::Error::other(format!("the server closed connection {nth}"))),
                Ok(count) => count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if !self.pattern.is_at(conn.got, &self.buffer[..count]) {
                return Err(io::Error::other(format!("wrong bytes came back on connection {nth}")));
            }
            conn.got = conn.got.after(count);
            conn.partial += count;
            while conn.partial >= message {
                conn.partial -= message;
                let Some(began) = conn.began.pop_front() else {
                    return Err(io::Error::other(format!("too much came back on connection {nth}")));
                };
                run.latencies.saturating_record(nanos(now - began));
                complete += 1;
            }
            if count < self.buffer.len() {
                break;
            }
        }
        run.requests += complete as u64;
        run.under_way -= complete;
        Ok(complete)
    }
}

impl EchoConn {
    /// Sends `count` more messages, in one call if the kernel takes them.
    fn ask(&mut self, pattern: &Pattern, shape: Shape, count: usize, now: Instant) -> io::Result<()> {
        for _ in 0..count {
            self.began.push_back(now);
        }
        self.unsent += count * shape.message;
        self.flush(pattern)
    }

    fn flush(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.unsent > 0 {
            let piece = pattern.piece(self.sent, self.unsent);
            match send(&self.socket, piece, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.sent = self.sent.after(count);
                    self.unsent -= count;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// No latencies yet: of up to a minute, in nanoseconds, to two digits.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds are sound")
}

/// What is under way.
struct Run {
    start: Instant,
    end: Option<Instant>,
    /// Messages that are still to be sent, if their number is what ends the run.
    left: usize,
    under_way: usize,
    requests: u64,
    latencies: Histogram<u64>,
}

impl Run {
    fn new(until: Until, active: usize) -> Run {
        let start = Instant::now();
        let (end, left) = match until {
            Until::Span(span) => (Some(start + span), usize::MAX),
            Until::Messages(count) => (None, count * active),
        };
        Run { start, end, left, under_way: 0, requests: 0, latencies: latencies() }
    }

    /// How many of the `done` messages are to be followed by another one.
    fn more(&mut self, done: usize, now: Instant) -> usize {
        if self.end.is_some_and(|end| now >= end) {
            return 0;
        }
        let more = done.min(self.left);
        self.left -= more;
        more
    }

    fn tally(self) -> LoadTally {
        LoadTally { requests: self.requests, span: self.start.elapsed(), latencies: self.latencies }
    }
}

fn index(event: epoll::Event) -> usize {
    usize::try_from(event.data.u64()).unwrap_or(usize::MAX)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    /// Serves connections one after the other; `spoil` may change what is sent back.
    fn server(
        connections: usize,
        spoil: impl Fn(usize, &mut Vec<u8>) + Copy + Send + 'static,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let streams: Vec<_> = (0..connections).map(|_| listener.accept().unwrap().0).collect();
            thread::scope(|scope| {
                for mut stream in streams {
                    scope.spawn(move || {
                        let (mut buffer, mut seen) = ([0; 4096], 0);
                        while let Ok(count @ 1..) = stream.read(&mut buffer) {
                            let mut echo = buffer[..count].to_vec();
                            spoil(seen, &mut echo);
                            seen += count;
                            // Who has seen wrong bytes listens no longer.
                            if stream.write_all(&echo).is_err() {
                                break;
                            }
                        }
                    });
                }
            });
        };
        (address, thread::spawn(serve))
    }

    fn echo(
        shape: Shape,
        until: Until,
        spoil: impl Fn(usize, &mut Vec<u8>) + Copy + Send + 'static,
    ) -> io::Result<LoadTally> {
        let (address, serving) = server(shape.active, spoil);
        let mut load = Load::new().unwrap();
        load.connect(address, shape.active).unwrap();
        let tally = load.echo(shape, until);
        drop(load);
        serving.join().unwrap();
        tally
    }

    const SHAPE: Shape = Shape { message: 1000, depth: 3, active: 4 };

    #[test]
    fn every_message_is_counted_once_and_has_a_latency() {
        let tally = echo(SHAPE, Until::Messages(50), |_, _| {}).unwrap();
        assert_eq!((tally.requests, tally.latencies.len()), (200, 200));
        assert!(tally.latencies.min() > 0 && tally.latencies.max() <= nanos(tally.span) * 2, "{tally:?}");
    }

    #[test]
    fn a_run_for_a_span_of_time_lasts_about_so_long() {
        let span = Duration::from_millis(30);
        let tally = echo(SHAPE, Until::Span(span), |_, _| {}).unwrap();
        assert!(tally.requests >= 12 && tally.span >= span, "{tally:?}");
    }

    #[test]
    fn a_wrong_byte_is_seen() {
        let spoil = |seen, echo: &mut Vec<u8>| {
            // The 20,000th byte of each connection.
            if (seen..seen + echo.len()).contains(&20_000) {
                echo[20_000 - seen] ^= 0x40;
            }
        };
        let error = echo(SHAPE, Until::Messages(50), spoil).unwrap_err();
        assert!(error.to_string().contains("wrong bytes came back on connection"), "{error}");
    }

    #[test]
    fn a_byte_too_few_is_seen() {
        let error =
            echo(SHAPE, Until::Messages(50), |seen, echo| echo.truncate(echo.len() - usize::from(seen == 0)));
        assert!(error.unwrap_err().to_string().contains("wrong bytes"));
    }

    #[test]
    fn bytes_that_nobody_sent_are_seen() {
        let shape = Shape { message: 100, depth: 1, active: 1 };
        // Right ones, but too early: the next hundred of the stream.
        let spoil = |seen: usize, echo: &mut Vec<u8>| {
            let pattern = Pattern::new();
            let next = pattern.start(0).after(seen + echo.len());
            echo.extend_from_slice(pattern.piece(next, 100));
        };
        let error = echo(shape, Until::Messages(5), spoil).unwrap_err();
        assert!(error.to_string().contains("too much came back on connection 0"), "{error}");
    }

    #[test]
    fn a_connection_that_ends_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut load = Load::new().unwrap();
        load.connect(listener.local_addr().unwrap(), 1).unwrap();
        drop(listener.accept().unwrap());
        assert!(load.echo(Shape { active: 1, ..SHAPE }, Until::Messages(1)).is_err());
    }
}
