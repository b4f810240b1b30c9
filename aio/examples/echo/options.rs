//! The command line.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aio::{Socket, Spin};
use clap::Parser;

use crate::unix::{self, SocketFile};

/// Sends back whatever it receives. Ctrl-C or SIGTERM ends it, after the echoes under way.
#[derive(Debug, Parser)]
#[command(name = "echo", version)]
pub(crate) struct Options {
    /// Where to listen: ADDRESS:PORT, or unix:PATH for a Unix socket
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8110")]
    pub(crate) listen: Listen,

    /// Close a connection that sends nothing for so long, or takes nothing of an echo for half as long; 0 =
    /// one that takes nothing for 30 seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,

    /// The size of a receive buffer
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024, value_parser = at_least_one::<usize>)]
    pub(crate) buffer: usize,

    /// How many receive buffers may be in use at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one::<u32>)]
    pub(crate) buffers: u32,

    /// Whether to poll for events before sleeping: off, adaptive, or for so many microseconds
    #[arg(long, value_name = "off|adaptive|MICROSECONDS", default_value = "off", value_parser = spin)]
    pub(crate) spin: Spin,
}

impl Options {
    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.timeout > 0).then(|| Duration::from_secs(self.timeout))
    }
}

fn at_least_one<T: FromStr + PartialEq + From<u8>>(text: &str) -> Result<T, String>
where
    T::Err: ToString,
{
    let number: T = text.parse().map_err(|error: T::Err| error.to_string())?;
    if number == T::from(0) { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

fn spin(text: &str) -> Result<Spin, String> {
    match text {
        "off" => Ok(Spin::Off),
        "adaptive" => Ok(Spin::Adaptive),
        micros => {
            let micros = micros.parse().map_err(|_| "expected off, adaptive, or a number of microseconds")?;
            Ok(Spin::For(Duration::from_micros(micros)))
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path, as in unix:/tmp/echo.sock".to_owned()),
            Some(path) => Ok(Listen::Unix(path.into())),
            None => text
                .parse()
                .map(Listen::Tcp)
                .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:8110, or unix:PATH".to_owned()),
        }
    }
}

/// A listener, and the file that goes with it.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) file: Option<SocketFile>,
    local: String,
}

impl Listener {
    /// Where it listens, port 0 resolved.
    pub(crate) fn local(&self) -> String {
        self.local.clone()
    }
}

impl Listen {
    pub(crate) fn bind(&self) -> Result<Listener, String> {
        let failed = |error: std::io::Error| format!("can not listen on {}: {error}", self.describe());
        match self {
            Listen::Tcp(address) => {
                let listener = listen_tcp(*address).map_err(failed)?;
                let local = listener.local_addr().map_err(failed)?.to_string();
                Ok(Listener { socket: Socket::from(listener).nodelay(true), file: None, local })
            }
            Listen::Unix(path) => {
                let (listener, file) = unix::listen(path).map_err(failed)?;
                Ok(Listener { socket: listener.into(), file: Some(file), local: self.describe() })
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Listen::Tcp(address) => address.to_string(),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// As `TcpListener::bind`, but with room for more than 128 connections that come in at once.
fn listen_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A server that is restarted may have its port back although old connections linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The most that Linux allows unless told otherwise (`net.core.somaxconn`); a larger value is cut to that.
const BACKLOG: i32 = 4096;
