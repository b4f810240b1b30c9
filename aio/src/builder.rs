//! Building a proactor: limits and pools, checked before anything is made.

use std::num::NonZeroU32;
use std::{fmt, io};

use aio_model::{Limits, PoolSize, Spin, System};
use aio_sys::Os;

use crate::proactor::Proactor;

/// Configures a [`Proactor`]. Every value has a default that suits a server of up to a million connections.
///
/// ```
/// use aio::Proactor;
///
/// # fn main() -> Result<(), aio::BuildError> {
/// let aio: Proactor<()> = Proactor::<()>::builder()
///     .connections_max(10_000)
///     .pool(256, 4096) // at most 256 buffers of 4 KiB are ever lent at once
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `build`"]
pub struct Builder {
    connections_max: u32,
    ops_max: u32,
    lane_ops_max: u32,
    lane_bytes_max: u32,
    turn_events_max: u32,
    turn_attempts_max: u32,
    lane_attempts_max: u32,
    lane_transfer_max: u32,
    pools: Vec<PoolSize>,
    spin: Spin,
}

/// How many buffers the default pool lends at most, and how large they are: 16 MiB if all are lent at once,
/// nothing before the first is.
const POOL_DEFAULT: PoolSize = PoolSize { buffers_max: 1024, buffer_bytes: 16 * 1024 };

/// The largest buffer that a pool lends: more than one system call takes.
const BUFFER_BYTES_MAX: usize = 1 << 30;

/// As many pools as [`PoolId`](aio_model::PoolId) can name.
const POOLS_MAX: usize = 1 << 16;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        impl Default for Builder {
            fn default() -> Builder {
                let Limits { $($name,)* } = Limits::DEFAULT;
                Builder { $($name: $name.get(),)* pools: Vec::new(), spin: Spin::default() }
            }
        }

        impl Builder {
            $(
                $(#[$doc])*
                pub fn $name(mut self, $name: u32) -> Builder {
                    self.$name = $name;
                    self
                }
            )*

            fn limits(&self) -> Result<Limits, BuildError> {
                Ok(Limits {
                    $($name: NonZeroU32::new(self.$name).ok_or(BuildError::Zero(stringify!($name)))?,)*
                })
            }
        }
    };
}

limits! {
    /// Connections and listeners at once; 1,048,576 unless set. At the limit accepting pauses.
    connections_max,
    /// Operations that are queued or whose completion was not taken yet; 2,097,152 unless set. At the limit
    /// submissions are refused.
    ops_max,
    /// Operations queued in one direction of one connection; 65,536 unless set. At the limit submissions are
    /// refused.
    lane_ops_max,
    /// Bytes queued to be sent on one connection; 4,194,304 unless set, and unless
    /// [`set_lane_bytes_max`](Proactor::set_lane_bytes_max) says otherwise for the connection. A send that
    /// would exceed it is refused, unless none is queued: so a peer that reads slowly is noticed, and fills
    /// no memory.
    lane_bytes_max,
    /// Events that one wait takes in; 32 unless set. What is left comes with the next turns. Fewer means that
    /// the first answers of a turn wait for fewer others, more means fewer system calls.
    turn_events_max,
    /// System calls in one turn; 1,024 unless set.
    turn_attempts_max,
    /// System calls for one direction of one connection in one turn; 16 unless set. What is left is done in
    /// the next turn, after the others' share.
    lane_attempts_max,
    /// Bytes for one direction of one connection in one turn, and so for the sends that go out in one call;
    /// 262,144 unless set. At 1 each send goes out by itself.
    lane_transfer_max,
}

impl Builder {
    /// The defaults.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Adds a pool of at most `buffers_max` buffers of `buffer_bytes` each. The first one added is the
    /// default pool; without any, it has 1,024 buffers of 16 KiB. Buffers are made when first needed.
    ///
    /// A buffer larger than the usual message lets a receive find out in one call that nothing is left.
    pub fn pool(mut self, buffers_max: u32, buffer_bytes: usize) -> Builder {
        self.pools.push(PoolSize { buffers_max, buffer_bytes });
        self
    }

    /// Whether a turn that would sleep polls for events a while before; [`Spin::Off`] unless set.
    ///
    /// [`Spin::Adaptive`] is for servers whose peers wait for their answers: a single one is served several
    /// times as fast, and where polling does not pay the proactor finds that out and sleeps.
    pub fn spin(mut self, spin: Spin) -> Builder {
        self.spin = spin;
        self
    }

    /// Makes a proactor on the operating system.
    ///
    /// # Errors
    ///
    /// When a limit or a size is zero, or the operating system gives no readiness queue.
    pub fn build<C>(self) -> Result<Proactor<C, Os>, BuildError> {
        let spin = self.spin;
        let (limits, pools) = self.check()?;
        Ok(Proactor::with(limits, pools, spin, Os::new().map_err(BuildError::System)?))
    }

    /// Makes a proactor on a system of choice: a simulated one, or one that fails on purpose.
    ///
    /// # Errors
    ///
    /// When a limit or a size is zero.
    pub fn build_on<C, S: System>(self, system: S) -> Result<Proactor<C, S>, BuildError> {
        let spin = self.spin;
        let (limits, pools) = self.check()?;
        Ok(Proactor::with(limits, pools, spin, system))
    }

    fn check(self) -> Result<(Limits, Vec<PoolSize>), BuildError> {
        let limits = self.limits()?;
        let pools = if self.pools.is_empty() { vec![POOL_DEFAULT] } else { self.pools };
        for pool in &pools {
            if pool.buffers_max == 0 {
                return Err(BuildError::Zero("pool: buffers_max"));
            }
            if pool.buffer_bytes == 0 {
                return Err(BuildError::Zero("pool: buffer_bytes"));
            }
            if pool.buffer_bytes > BUFFER_BYTES_MAX {
                return Err(BuildError::BufferTooLarge(pool.buffer_bytes));
            }
        }
        if pools.len() > POOLS_MAX {
            return Err(BuildError::TooManyPools(pools.len()));
        }
        Ok((limits, pools))
    }
}

/// Why a proactor can not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit or size that must be at least 1 is 0.
    #[error("`{0}` is 0; it must be at least 1")]
    Zero(&'static str),
    /// A pool's buffers are larger than any system call fills.
    #[error("buffers of {0} bytes; a pool lends at most 2^30 bytes at once")]
    BufferTooLarge(usize),
    /// More pools than there are ids for.
    #[error("{0} pools; at most 65,536 can be told apart")]
    TooManyPools(usize),
    /// The operating system gives no readiness queue.
    #[error("the operating system gives no readiness queue")]
    System(#[source] io::Error),
}

impl From<BuildError> for io::Error {
    fn from(error: BuildError) -> io::Error {
        match error {
            BuildError::System(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidInput, other),
        }
    }
}

/// Why a socket was not adopted. The socket comes back.
#[non_exhaustive]
pub struct AdoptError<T> {
    /// What is wrong.
    pub error: io::Error,
    /// The socket, open as it was, but perhaps non-blocking now.
    pub socket: T,
}

impl<T> fmt::Debug for AdoptError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AdoptError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the socket can not be adopted: {}", self.error)
    }
}

impl<T> std::error::Error for AdoptError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<T> From<AdoptError<T>> for io::Error {
    fn from(error: AdoptError<T>) -> io::Error {
        error.error
    }
}
