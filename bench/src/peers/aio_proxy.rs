//! Ours: the lease that a receive brings is what is sent on the other connection; nothing is copied.

use std::io;

use aio::{Accept, ConnId, Connect, Done, Proactor, Recv, Send};

use super::{ListenAddress, ServeOptions};

/// What an operation is for, and the connection at the other side.
#[derive(Debug, Clone, Copy)]
enum Ctx {
    Accept,
    Connect { client: ConnId },
    Read { to: ConnId },
    Write { from: ConnId },
}

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let upstream = options.upstream()?;
    let mut aio = Proactor::<Ctx>::builder().pool(1024, options.buffer).build()?;
    let listener = aio.adopt(listen.open()?)?;
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let mut batch = Vec::with_capacity(1024);
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            let next = match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(client))) => {
                    let connect = Connect::to(upstream).nodelay(true);
                    aio.submit(aio.own(), connect, Ctx::Connect { client })
                }
                (Ctx::Connect { client }, Ok(Done::Connected)) => aio
                    .submit(client, Recv::pooled(), Ctx::Read { to: done.conn })
                    .and_then(|_| aio.submit(done.conn, Recv::pooled(), Ctx::Read { to: client })),
                (Ctx::Read { to }, Ok(Done::Received { end_of_stream: false })) => {
                    aio.submit(to, Send::new(done.buffer), Ctx::Write { from: done.conn })
                }
                (Ctx::Write { from }, Ok(_)) => aio.submit(from, Recv::pooled(), Ctx::Read { to: done.conn }),
                (context, _) => {
                    close(&mut aio, done.conn, context);
                    continue;
                }
            };
            if next.is_err() {
                close(&mut aio, done.conn, done.context);
            }
        }
    }
    Ok(())
}

/// Closes a connection and the one at the other side.
fn close(aio: &mut Proactor<Ctx>, conn: ConnId, context: Ctx) {
    aio.close(conn);
    match context {
        Ctx::Accept => {}
        Ctx::Connect { client: other } | Ctx::Read { to: other } | Ctx::Write { from: other } => {
            aio.close(other);
        }
    }
}
