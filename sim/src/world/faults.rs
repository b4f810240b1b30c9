//! Everything that can go wrong, each with a name and odds of its own.

use crate::world::choice::{Choice, Odds};

macro_rules! faults {
    ($($(#[$doc:meta])* $field:ident $variant:ident,)*) => {
        /// How likely each fault is, at each opportunity for it.
        ///
        /// None of them makes the system lie: whatever a fault takes away comes again, with the event that
        /// the contract of a readiness engine owes for it.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Faults {
            $($(#[$doc])* pub $field: Odds,)*
        }

        /// Names a fault of [`Faults`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $variant,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];
        }

        impl Faults {
            /// Nothing goes wrong.
            pub const NONE: Faults = Faults { $($field: Odds::NEVER,)* };

            /// The odds of a fault.
            pub const fn odds(&self, fault: Fault) -> Odds {
                match fault {
                    $(Fault::$variant => self.$field,)*
                }
            }

            /// Sets the odds of a fault.
            pub const fn set(&mut self, fault: Fault, odds: Odds) {
                match fault {
                    $(Fault::$variant => self.$field = odds,)*
                }
            }
        }
    };
}

faults! {
    /// A receive finds only a part of what has arrived; the rest arrives again.
    recv_short RecvShort,
    /// A receive stops short although more is at hand, and says so; no event follows.
    recv_partial RecvPartial,
    /// A receive finds nothing of what has arrived; it arrives again.
    recv_would_block RecvWouldBlock,
    /// A receive is told EAGAIN at the mark of urgent data, although there are bytes behind it: as by Linux,
    /// while a signal waits. The connection is registered anew, as by `aio-sys`.
    recv_at_mark RecvAtMark,
    /// A receive meets ENOBUFS or ENOMEM.
    recv_exhausted RecvExhausted,
    /// A send finds less room than there was, until the pressure is off.
    send_short SendShort,
    /// A send finds no room, until the pressure is off.
    send_would_block SendWouldBlock,
    /// A send meets ENOBUFS.
    send_exhausted SendExhausted,
    /// A FIN meets ENOBUFS or ENOMEM.
    shutdown_exhausted ShutdownExhausted,
    /// A call is interrupted (EINTR) before it does anything.
    interrupted Interrupted,
    /// The connection that a call is about turns out to have been reset.
    reset Reset,
    /// The connection that a call is about turns out to have timed out (ETIMEDOUT).
    timed_out TimedOut,
    /// An accept finds nobody; they come again.
    accept_would_block AcceptWouldBlock,
    /// An accept finds no free descriptor: EMFILE or ENFILE.
    accept_descriptors AcceptDescriptors,
    /// An accept meets ENOBUFS or ENOMEM.
    accept_memory AcceptMemory,
    /// An accept is refused by a filter: EPERM or ENOSYS.
    accept_refused AcceptRefused,
    /// The connection to be accepted has been aborted (ECONNABORTED).
    accept_aborted AcceptAborted,
    /// The accepted connection can not be registered, and is lost: ENOMEM or ENOSPC.
    accept_register AcceptRegister,
    /// A socket can not be registered: ENOMEM or ENOSPC.
    adopt_refused AdoptRefused,

    /// A connect takes a while to be answered: up to a second.
    connect_delayed ConnectDelayed,
    /// A connect is refused (ECONNREFUSED).
    connect_refused ConnectRefused,
    /// A connect finds no way, or no answer: EHOSTUNREACH or ETIMEDOUT.
    connect_unreachable ConnectUnreachable,
    /// A connect finds the listener's queue full: EAGAIN, and no event when it is not any more.
    connect_full ConnectFull,
    /// A connect ends up at its own socket.
    connect_self ConnectSelf,

    /// What is sent takes a while to arrive: up to a second.
    latency Latency,
    /// What is sent takes very long to arrive: up to an hour.
    stall Stall,
    /// What is sent arrives in pieces.
    segments Segments,
    /// A reset takes along what had arrived and was not yet received.
    reset_discards ResetDiscards,
    /// A connection gets tiny or odd buffers instead of roomy ones.
    odd_buffers OddBuffers,

    /// An event is held up, up to a second.
    event_delayed EventDelayed,
    /// An event comes twice: in one batch, or in this one and the next.
    event_duplicated EventDuplicated,
    /// An event says something of a connection that is not so.
    event_spurious EventSpurious,
    /// An event is about a connection that has been closed.
    event_stale EventStale,
    /// A reset is reported by the write side alone, where the engine has sides.
    event_write_side_alone EventWriteSideAlone,
    /// A batch brings only some of the events at hand; the others stay.
    batch_truncated BatchTruncated,
    /// A batch brings its events in some other order.
    batch_permuted BatchPermuted,

    /// There is no memory for another buffer of a pool.
    pool_memory PoolMemory,

    /// A clone of a context, which is code of the user's, panics; the user catches that, and goes on.
    clone_panics ClonePanics,

    /// A wait returns at once with nothing, whatever is at hand.
    wait_interrupted WaitInterrupted,
    /// The process is stopped while it waits, for up to an hour: time passes, peers act, and the wait then
    /// returns with nothing, whatever is at hand (SIGSTOP and SIGCONT, a machine that sleeps).
    process_stopped ProcessStopped,
    /// A wait returns before anything has happened.
    wait_early WaitEarly,
    /// A wait returns late, by a nanosecond or by an hour.
    wait_late WaitLate,
    /// Time passes while calls are made: up to a millisecond.
    clock_ticks ClockTicks,
    /// Time jumps ahead while a call is made: up to a day.
    clock_jumps ClockJumps,
    /// The clock is read as earlier than it was: up to a second.
    clock_backwards ClockBackwards,
}

impl Faults {
    /// The most that a swarm gives a fault: often, but not so often that nothing else happens.
    pub const HEAVY: Odds = Odds::per_mille(800);

    /// A swarm: some faults on, some off, and how often each strikes is anyone's guess. A mix of everything
    /// all the time finds less: the faults get into each other's way, and what needs the absence of one
    /// never happens. Some runs have no faults at all, and some a single one, heavily.
    pub fn swarm(choice: &mut Choice) -> Faults {
        let mut faults = Faults::NONE;
        match choice.weighted(&[2, 2, 6]) {
            0 => {}
            1 => faults.set(*choice.pick(Fault::ALL), Faults::HEAVY),
            _ => {
                let density = Odds::per_mille(*choice.pick(&[100, 250, 500, 800]));
                for &fault in Fault::ALL {
                    if choice.chance(density) {
                        faults.set(fault, wild(choice));
                    }
                }
            }
        }
        faults
    }

    /// Whether nothing can go wrong.
    pub fn is_none(&self) -> bool {
        *self == Faults::NONE
    }
}

/// Odds from one in two thousand to one in two, every order of magnitude alike.
fn wild(choice: &mut Choice) -> Odds {
    Odds::per_million(500 << choice.below(11))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swarms_differ_and_leave_no_fault_out() {
        let swarms: Vec<Faults> = (0..500).map(|seed| Faults::swarm(&mut Choice::seeded(seed))).collect();
        let active =
            |faults: &Faults| Fault::ALL.iter().filter(|&&fault| faults.odds(fault) > Odds::NEVER).count();
        assert!(swarms.iter().any(Faults::is_none));
        assert!(swarms.iter().any(|faults| active(faults) == 1));
        assert!(swarms.iter().any(|faults| active(faults) > Fault::ALL.len() / 2));
        for &fault in Fault::ALL {
            assert!(swarms.iter().any(|faults| faults.odds(fault) > Odds::NEVER), "{fault:?} is never on");
            assert!(swarms.iter().all(|faults| faults.odds(fault) <= Faults::HEAVY), "{fault:?} is too much");
        }
    }

    #[test]
    fn the_simplest_swarm_is_none() {
        assert!(Faults::swarm(&mut Choice::simplest()).is_none());
    }

    #[test]
    fn odds_are_set_one_by_one() {
        for &fault in Fault::ALL {
            let mut faults = Faults::NONE;
            faults.set(fault, Odds::ALWAYS);
            let on: Vec<_> = Fault::ALL.iter().filter(|&&f| faults.odds(f) == Odds::ALWAYS).collect();
            assert_eq!(on, [&fault]);
        }
    }
}
