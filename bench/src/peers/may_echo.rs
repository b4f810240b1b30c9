//! may: a coroutine with a stack of its own for each connection, written as if it blocked.

use std::io::{self, Read, Write};

use may::net::{TcpListener, TcpStream};
use rustix::net::sockopt::set_tcp_nodelay;

use super::{ListenAddress, ServeOptions};

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let size = options.buffer;
    may::config().set_workers(1);
    // It takes no listener of ours.
    let listener = TcpListener::bind(listen.address)?;
    set_tcp_nodelay(listener.inner(), true)?;
    listen.announce(listener.local_addr()?)?;
    let accepting = may::go!(move || -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            may::go!(move || echo(stream, size));
        }
    });
    accepting.join().unwrap_or_else(|_| Err(io::Error::other("the accepting coroutine has panicked")))
}

fn echo(mut stream: TcpStream, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        }
    }
}
