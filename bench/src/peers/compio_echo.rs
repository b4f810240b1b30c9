//! compio: a task for each connection, the buffer given to each read and write and taken back.

use std::io;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;

use super::{ListenAddress, ServeOptions};

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let size = options.buffer;
    Runtime::new()?.block_on(async {
        let listener = TcpListener::from_std(listen.open()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(echo(stream, size)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, size: usize) {
    let mut buffer = Vec::with_capacity(size);
    loop {
        let BufResult(read, filled) = stream.read(buffer).await;
        let count = match read {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let BufResult(written, slice) = stream.write_all(filled.slice(..count)).await;
        if written.is_err() {
            return;
        }
        buffer = slice.into_inner();
        buffer.clear();
    }
}
