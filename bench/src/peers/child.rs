//! A server as a process of its own.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;

use super::{ComparedServer, ServeOptions};
use crate::process;

/// A server that runs as a child of this process. Dropped, it ends.
#[derive(Debug)]
pub struct ServerChild {
    child: Child,
    address: SocketAddr,
}

impl ServerChild {
    /// Starts one, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn spawn(
        program: &Path,
        peer: &ComparedServer,
        options: &ServeOptions,
        core: usize,
    ) -> io::Result<ServerChild> {
        let mut command = Command::new(program);
        command.args(arguments(peer, options)).args(["--core", &core.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        // From here on it ends with this value, whatever happens.
        let mut server = ServerChild { child, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        server.address =
            line.trim()
                .strip_prefix("listening on ")
                .and_then(|address| address.parse().ok())
                .ok_or_else(|| io::Error::other(format!("{} does not listen: {line:?}", peer.name)))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU nanoseconds used so far, once it sleeps.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn cpu_settled(&self) -> io::Result<u64> {
        process::cpu_settled(self.child.id())
    }

    /// Bytes of memory of its own.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        process::resident_bytes(self.child.id())
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn arguments(peer: &ComparedServer, options: &ServeOptions) -> Vec<String> {
    let service = options.service.to_possible_value();
    let service = service.as_ref().map_or("echo", |value| value.get_name());
    let mut list = ["serve", "--peer", peer.name, "--service", service].map(str::to_owned).to_vec();
    list.extend(["--buffer".to_owned(), options.buffer.to_string()]);
    if let Some(upstream) = options.upstream {
        list.extend(["--upstream".to_owned(), upstream.to_string()]);
    }
    list
}
