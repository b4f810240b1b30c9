//! monoio: a task for each connection, the buffer given to each read and write and taken back.

use std::io;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{LegacyDriver, RuntimeBuilder};

use super::{ListenAddress, ServeOptions};

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let size = options.buffer;
    RuntimeBuilder::<LegacyDriver>::new().build()?.block_on(async {
        let listener = TcpListener::from_std(listen.open()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream, size));
        }
    })
}

async fn echo(mut stream: TcpStream, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let count = match read {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let (written, slice) = stream.write_all(filled.slice(..count)).await;
        if written.is_err() {
            return;
        }
        buffer = slice.into_inner();
    }
}
