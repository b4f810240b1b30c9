//! Ours: a pooled receive, then a send of the lease.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use aio::{Accept, Completion, ConnId, Done, Os, Proactor, Recv, Send, Spin, SubmitError};

use aio_model::Model;

use super::{DEADLINE, ListenAddress, ServeOptions, Service, aio_broadcast, aio_proxy};

/// What an operation is for.
#[derive(Debug, Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

/// What there may be beside the plain echo.
#[derive(Debug, Clone, Copy, Default)]
pub struct EchoMode {
    /// The deadline of every receive.
    pub deadline: Option<Duration>,
    /// Whether to poll before sleeping.
    pub spin: Spin,
    /// Whether buffers are dropped, and not given back at once.
    pub drops: bool,
    /// One receive for each connection, which goes on, with so many leases out.
    pub leases_max: Option<u8>,
}

impl EchoMode {
    /// None of it.
    const PLAIN: EchoMode = EchoMode { deadline: None, spin: Spin::Off, drops: false, leases_max: None };
    /// Every receive has a deadline, which never comes.
    pub const DEADLINE: EchoMode = EchoMode { deadline: Some(DEADLINE), ..EchoMode::PLAIN };
    /// Polls before it sleeps, while that pays.
    pub const SPIN: EchoMode = EchoMode { spin: Spin::Adaptive, ..EchoMode::PLAIN };
    /// Drops each buffer, which returns to its pool by itself then.
    pub const DROPS: EchoMode = EchoMode { drops: true, ..EchoMode::PLAIN };
    /// Submits one receive for each connection, which goes on.
    pub const MANY: EchoMode = EchoMode { leases_max: Some(2), ..EchoMode::PLAIN };
}

/// An echo server that is stepped.
#[derive(Debug)]
pub struct AioEcho {
    aio: Proactor<Ctx>,
    batch: Vec<Completion<Ctx>>,
    manner: EchoMode,
}

/// Serves, for ever.
///
/// # Errors
///
/// When epoll fails.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    match options.service {
        Service::Echo => run(AioEcho::new(listen.open()?, options.buffer, EchoMode::default())?),
        Service::Broadcast => aio_broadcast::serve(listen, options),
        Service::Proxy => aio_proxy::serve(listen, options),
    }
}

/// Serves, for ever; every receive has a deadline.
///
/// # Errors
///
/// When epoll fails.
pub(super) fn serve_with_deadlines(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    run(AioEcho::new(listen.open()?, options.buffer, EchoMode::DEADLINE)?)
}

/// Serves, for ever; polls before it sleeps, while that pays.
///
/// # Errors
///
/// When epoll fails.
pub(super) fn serve_spinning(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    run(AioEcho::new(listen.open()?, options.buffer, EchoMode::SPIN)?)
}

fn run(mut echo: AioEcho) -> io::Result<()> {
    while echo.turn(None)? {}
    Ok(())
}

impl AioEcho {
    /// A server on a listener.
    ///
    /// # Errors
    ///
    /// When the system gives no epoll descriptor.
    pub fn new(listener: TcpListener, buffer: usize, manner: EchoMode) -> io::Result<AioEcho> {
        let mut aio = Proactor::<Ctx>::builder().pool(1024, buffer).spin(manner.spin).build()?;
        let listener = aio.adopt(listener)?;
        aio.submit(listener, Accept::many(), Ctx::Accept)?;
        Ok(AioEcho { aio, batch: Vec::with_capacity(1024), manner })
    }

    /// Takes a turn, and handles what it completed.
    ///
    /// # Errors
    ///
    /// When epoll fails.
    #[inline(never)]
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let AioEcho { aio, batch, manner } = self;
        let goes_on = aio.turn(batch, timeout)?;
        for Completion { context, conn, buffer, result, more, .. } in batch.drain(..) {
            let (conn, next) = match (context, result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => (conn, read(aio, conn, manner)),
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    let ended = manner.leases_max.is_some() && !more;
                    let send = aio.submit(conn, Send::new(buffer), Ctx::Write).map(drop);
                    (conn, if ended { send.and_then(|()| read(aio, conn, manner)) } else { send })
                }
                (Ctx::Write, Ok(_)) => {
                    if manner.drops {
                        drop(buffer);
                    } else {
                        aio.give_back(buffer);
                    }
                    if manner.leases_max.is_some() {
                        continue;
                    }
                    (conn, read(aio, conn, manner))
                }
                _ => {
                    aio.close(conn);
                    continue;
                }
            };
            if next.is_err() {
                aio.close(conn);
            }
        }
        Ok(goes_on)
    }
}

fn read(aio: &mut Proactor<Ctx>, conn: ConnId, manner: &EchoMode) -> Result<(), SubmitError<Ctx>> {
    if let Some(leases_max) = manner.leases_max {
        return aio.submit(conn, Recv::many(leases_max), Ctx::Read).map(drop);
    }
    let recv = match manner.deadline {
        Some(span) => Recv::pooled().within(span),
        None => Recv::pooled(),
    };
    aio.submit(conn, recv, Ctx::Read).map(drop)
}

/// What the tables hold for each connection, operation and timer, in bytes.
pub fn layout() -> [(&'static str, usize); 6] {
    let model = Model::<Ctx>::LAYOUT;
    [
        ("bytes of a connection in the model", model.conn_bytes),
        ("bytes of a connection in the system", Os::CONN_BYTES),
        ("bytes of an operation behind another", model.queued_bytes),
        ("bytes of what few connections have", model.extra_bytes),
        ("bytes of a timer", model.timer_bytes),
        ("bytes of a completion in a batch", size_of::<Completion<Ctx>>()),
    ]
}
