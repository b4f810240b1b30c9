//! tokio: a task for each connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::tokio_services::{broadcast, proxy};
use super::{ListenAddress, ServeOptions, Service};

/// Serves, for ever, on this thread.
pub(super) fn current_thread(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    serve(&Builder::new_current_thread().enable_io().build()?, listen, options)
}

/// Serves, for ever, on two workers.
pub(super) fn multi_thread(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    serve(&Builder::new_multi_thread().worker_threads(2).enable_io().build()?, listen, options)
}

fn serve(runtime: &Runtime, listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let size = options.buffer;
    let listener = listen.open()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        // The accepting is a task of its own: what `block_on` runs is not on a worker.
        let accepting = match options.service {
            Service::Echo => tokio::spawn(accept(listener, size)),
            Service::Broadcast => tokio::spawn(broadcast(listener, size)),
            Service::Proxy => tokio::spawn(proxy(listener, options.upstream()?)),
        };
        accepting.await?
    })
}

async fn accept(listener: TcpListener, size: usize) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, size));
    }
}

async fn echo(mut stream: TcpStream, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
