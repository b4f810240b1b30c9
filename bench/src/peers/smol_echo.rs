//! smol: a task for each connection, on the executor of one thread.

use std::io;
use std::net::TcpStream as StdStream;
use std::rc::Rc;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor};

use super::{ListenAddress, ServeOptions};

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let size = options.buffer;
    let listener = Async::new(listen.open()?)?;
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(echo(stream, size)).detach();
        }
    }))
}

async fn echo(mut stream: Async<StdStream>, size: usize) {
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
