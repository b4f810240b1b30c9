//! Ours: what the publisher's receive brings is shared by the sends to all the others; nothing is copied.

use std::io;

use aio::{Accept, Done, Proactor, Recv, Send};

use super::{ListenAddress, ServeOptions};

#[derive(Debug, Clone, Copy)]
enum Ctx {
    Accept,
    /// Of the publisher.
    Read,
    /// Of a subscriber: it notices when it goes.
    Watch,
    Write,
}

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let mut aio = Proactor::<Ctx>::builder().pool(1024, options.buffer).build()?;
    let listener = aio.adopt(listen.open()?)?;
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let mut subscribers = Vec::new();
    let (mut has_publisher, mut batch) = (false, Vec::with_capacity(1024));
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) if has_publisher => {
                    subscribers.push(conn);
                    aio.submit(conn, Recv::pooled(), Ctx::Watch)?;
                }
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    has_publisher = true;
                    aio.submit(conn, Recv::pooled(), Ctx::Read)?;
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    let bytes = done.buffer.into_bytes();
                    for &subscriber in &subscribers {
                        // One that has gone, or is far behind, misses it.
                        drop(aio.submit(subscriber, Send::new(bytes.clone()), Ctx::Write));
                    }
                    aio.submit(done.conn, Recv::pooled(), Ctx::Read)?;
                }
                (Ctx::Watch, Ok(Done::Received { end_of_stream: false })) => {
                    aio.submit(done.conn, Recv::pooled(), Ctx::Watch)?;
                }
                (Ctx::Write, Ok(_)) => {}
                _ => {
                    aio.close(done.conn);
                }
            }
        }
    }
    Ok(())
}
