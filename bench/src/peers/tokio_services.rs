//! tokio: a broadcast through its channel, and a proxy by its own copying.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{Receiver, Sender, channel};

type Message = Arc<[u8]>;

/// Sends what comes on the first connection to all the others.
pub(super) async fn broadcast(listener: TcpListener, size: usize) -> io::Result<()> {
    // A subscriber that falls further behind loses pieces, and its connection with them.
    let (sender, _) = channel::<Message>(4096);
    let (publisher, _) = listener.accept().await?;
    tokio::spawn(publish(publisher, sender.clone(), size));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(subscribe(stream, sender.subscribe()));
    }
}

async fn publish(mut stream: TcpStream, sender: Sender<Message>, size: usize) {
    let mut buffer = vec![0; size];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        // Without subscribers nobody misses it.
        drop(sender.send(Arc::from(&buffer[..count])));
    }
}

async fn subscribe(mut stream: TcpStream, mut messages: Receiver<Message>) {
    while let Ok(message) = messages.recv().await {
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Connects to the upstream for each connection, and copies both ways.
pub(super) async fn proxy(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass(client, upstream));
    }
}

async fn pass(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
