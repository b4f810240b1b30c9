//! The server itself: it knows nothing of the operating system, so the simulator can run it as it is.

use std::io;
use std::time::Duration;

use aio::{Accept, ConnId, Done, OpError, Proactor, Recv, Send, System};

/// What an operation was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ctx {
    /// A new connection.
    Accept,
    /// Bytes to echo.
    Read,
    /// Bytes on their way back.
    Write,
    /// The signal to stop.
    Stop,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Receives that brought bytes.
    pub(crate) receives: u64,
    /// Bytes sent back.
    pub(crate) bytes: u64,
}

/// How long the echoes under way may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a peer may take nothing of an echo, if it may be silent for as long as it wants.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Echoes until the proactor is shut down, or until something can be received from `stop`: then the echoes
/// under way are finished, and everything is closed.
///
/// A connection that sends nothing for `timeout` is closed. One that does not take its echo within half of
/// that, or [`SEND_MAX`], is, too: a send has a buffer of the pool, and without a deadline a few peers that
/// never read would keep all of them for ever. It has less time than a receive, as the time of a receive that
/// waits for that buffer runs on.
///
/// # Errors
///
/// When the readiness queue fails, or the first submissions are refused.
pub(crate) fn serve<S: System>(
    aio: &mut Proactor<Ctx, S>,
    listener: ConnId,
    stop: Option<ConnId>,
    timeout: Option<Duration>,
) -> io::Result<Served> {
    let mut served = Served::default();
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    if let Some(stop) = stop {
        aio.submit(stop, Recv::into(vec![0]), Ctx::Stop)?;
    }
    let recv = || timeout.map_or(Recv::pooled(), |timeout| Recv::pooled().within(timeout));
    let send_max = timeout.map_or(SEND_MAX, |timeout| SEND_MAX.min(timeout / 2));
    let mut stopping = false;
    let mut batch = Vec::with_capacity(256);
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            // The connection to close, if there is no going on with it.
            let conn = done.conn;
            let failed = match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    served.connections += 1;
                    aio.submit(conn, recv(), Ctx::Read).is_err().then_some(conn)
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    served.receives += 1;
                    let send = Send::new(done.buffer).within(send_max);
                    aio.submit(conn, send, Ctx::Write).is_err().then_some(conn)
                }
                (Ctx::Write, Ok(_)) => {
                    served.bytes += done.bytes;
                    aio.submit(conn, recv(), Ctx::Read).is_err().then_some(conn)
                }
                (Ctx::Read | Ctx::Write, _) => Some(conn),
                (Ctx::Stop, _) => {
                    stopping = true;
                    None
                }
                // The listener was closed, by us.
                (Ctx::Accept, Err(OpError::Closed(_))) => None,
                // It failed, and nobody new will come.
                (Ctx::Accept, Err(error)) => return Err(error.into()),
                (Ctx::Accept, Ok(_)) => None,
            };
            failed.map(|conn| aio.close(conn));
        }
        if std::mem::take(&mut stopping) {
            aio.shut_down_within(DRAIN);
        }
    }
    Ok(served)
}
