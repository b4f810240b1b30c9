//! tokio: a task for each connection.

use std::io;
use std::net::TcpListener as StdListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::Options;

/// Serves, for ever, on this thread.
pub(super) fn current_thread(listener: StdListener, options: &Options) -> io::Result<()> {
    serve(&Builder::new_current_thread().enable_io().build()?, listener, options)
}

/// Serves, for ever, on two workers.
pub(super) fn multi_thread(listener: StdListener, options: &Options) -> io::Result<()> {
    serve(&Builder::new_multi_thread().worker_threads(2).enable_io().build()?, listener, options)
}

fn serve(runtime: &Runtime, listener: StdListener, options: &Options) -> io::Result<()> {
    let size = options.buffer;
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        // The accepting is a task of its own: what `block_on` runs is not on a worker.
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(echo(stream, size));
            }
        });
        accepting.await?
    })
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
