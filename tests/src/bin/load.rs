//! A simple load for an echo server: every connection sends a message, every connection receives it back, and
//! so on, with the bytes checked.
//!
//! ```text
//! cargo run --release -p tests --bin load -- --connect 127.0.0.1:8110 --connections 50 --rounds 1000
//! ```

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::bytes::Bytes;

/// Loads an echo server.
#[derive(Debug, Parser)]
struct Options {
    /// Address of the server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8110")]
    connect: SocketAddr,

    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 50)]
    connections: u32,

    /// Number of messages of each connection
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rounds: u32,

    /// Size of a message in bytes, rounded up to a multiple of 8; at most what the sockets' buffers hold
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    bytes: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(seconds) => {
            let requests = f64::from(options.connections) * f64::from(options.rounds);
            println!("{requests} requests in {seconds:.2} s: {:.0} requests/s", requests / seconds);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<f64> {
    let mut streams = Vec::new();
    for _ in 0..options.connections {
        let stream = TcpStream::connect(options.connect)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut buffer = vec![0; options.bytes.next_multiple_of(8)];
    let start = Instant::now();
    for round in 0..options.rounds {
        for (seed, stream) in (u64::from(round)..).zip(&mut streams) {
            Bytes::new(seed).fill(&mut buffer);
            stream.write_all(&buffer)?;
        }
        for (seed, stream) in (u64::from(round)..).zip(&mut streams) {
            stream.read_exact(&mut buffer)?;
            if !Bytes::new(seed).matches(&buffer) {
                return Err(io::Error::other("the bytes that came back are not those that were sent"));
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
