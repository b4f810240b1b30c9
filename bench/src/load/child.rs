//! The load as a process of its own, told by lines on its standard input what to do; each is answered by a
//! line of JSON.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Load, LoadTally, Shape, Until};
use crate::process::LOAD_CORE;

/// What a load is told to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Order {
    /// Connect so many more times.
    Connect {
        /// Where to.
        target: SocketAddr,
        /// How often.
        count: usize,
    },
    /// Send and receive.
    Echo {
        /// Bytes in a message.
        message: usize,
        /// Messages under way on each active connection.
        depth: usize,
        /// How many connections are active.
        active: usize,
        /// For how long.
        millis: u64,
    },
    /// Let each connection echo once, a few at a time.
    Greet {
        /// Bytes in a message.
        message: usize,
    },
    /// Publish on the first connection, receive on all the others.
    Broadcast {
        /// Bytes in a message.
        message: usize,
        /// For how long.
        millis: u64,
    },
}

/// What became of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LoadAnswer {
    /// Why it could not be done.
    pub error: Option<String>,
    /// Messages that came back.
    pub requests: u64,
    /// From the first byte sent to the last one received.
    pub nanos: u64,
    /// Latencies in nanoseconds, each with how many there were.
    pub latencies: Vec<(u64, u64)>,
}

impl LoadAnswer {
    /// Adds the latencies to those of others.
    pub fn add_to(&self, all: &mut Histogram<u64>) {
        for &(nanos, count) in &self.latencies {
            all.saturating_record_n(nanos, count);
        }
    }
}

impl From<LoadTally> for LoadAnswer {
    fn from(tally: LoadTally) -> LoadAnswer {
        LoadAnswer {
            error: None,
            requests: tally.requests,
            nanos: u64::try_from(tally.span.as_nanos()).unwrap_or(u64::MAX),
            latencies: tally
                .latencies
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect(),
        }
    }
}

/// Does what the lines on standard input say, until they end.
///
/// # Errors
///
/// When they can not be understood, or nobody reads the answers.
pub fn run() -> io::Result<()> {
    let mut load = Load::new()?;
    for line in io::stdin().lines() {
        let order = serde_json::from_str(&line?)?;
        let answer = obey(&mut load, order)
            .unwrap_or_else(|error| LoadAnswer { error: Some(error.to_string()), ..LoadAnswer::default() });
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn obey(load: &mut Load, order: Order) -> io::Result<LoadAnswer> {
    match order {
        Order::Connect { target, count } => {
            load.connect(target, count)?;
            Ok(LoadAnswer::default())
        }
        Order::Echo { message, depth, active, millis } => {
            let until = Until::Span(Duration::from_millis(millis));
            load.echo(Shape { message, depth, active }, until).map(LoadAnswer::from)
        }
        Order::Greet { message } => {
            load.greet(message)?;
            Ok(LoadAnswer::default())
        }
        Order::Broadcast { message, millis } => {
            let shape = Shape { message, depth: 1, active: 1 };
            load.broadcast(shape, Until::Span(Duration::from_millis(millis))).map(LoadAnswer::from)
        }
    }
}

/// A load that runs as a child of this process. Dropped, it ends.
#[derive(Debug)]
pub struct LoadChild {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl LoadChild {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When this program can not be started again.
    pub fn spawn(program: &std::path::Path) -> io::Result<LoadChild> {
        let mut child = Command::new(program)
            .args(["load", "--core", &LOAD_CORE.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without pipes"));
        };
        Ok(LoadChild { child, orders, answers: BufReader::new(answers) })
    }

    /// Gives an order, and waits until it is done.
    ///
    /// # Errors
    ///
    /// What stopped the load.
    pub fn tell(&mut self, order: &Order) -> io::Result<LoadAnswer> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders.write_all(line.as_bytes())?;
        line.clear();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the load has ended"));
        }
        let answer: LoadAnswer = serde_json::from_str(&line)?;
        match answer.error {
            None => Ok(answer),
            Some(error) => Err(io::Error::other(error)),
        }
    }
}

impl Drop for LoadChild {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
