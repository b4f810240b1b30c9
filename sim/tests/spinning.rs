//! When a proactor that polls as long as it pays begins, and when it stops: to the wait and the microsecond,
//! on a system whose waits are scripted.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::testing::nowhere;
use aio_model::{
    Config, ConnId, Instant, Kind, Limits, Model, Outcome, Readiness, Rearm, Spin, Syscall, System,
    SystemError, SystemErrorKind, Wake, turn,
};

const US: Duration = Duration::from_micros(1);
const WINDOW: Duration = Duration::from_micros(50);

/// What a wait is like: how long it takes, the events that it brings, and whether the system sleeps.
type Wait = (Duration, u32, bool);

const ECHO: Wait = (Duration::from_micros(200), 4, true);
const HIT: Wait = (Duration::from_micros(15), 4, false);
const IDLE: Wait = (Duration::from_secs(1), 0, true);
const WAKE: Wait = (Duration::from_micros(15), 0, false);

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// A system that does nothing but wait.
struct Script {
    now: Instant,
    conn: ConnId,
    next: Wait,
    /// How long it was asked to poll.
    spin: Duration,
}

impl System for Script {
    type Socket = ();
    type Waker = Nobody;

    fn rearm(&self) -> Rearm {
        Rearm::OnArrival
    }

    fn waker(&self) -> Nobody {
        Nobody
    }

    fn now(&mut self) -> Instant {
        self.now
    }

    fn kind(&mut self, (): &()) -> Result<Kind, SystemError> {
        Err(SystemError::from_kind(SystemErrorKind::Unsupported))
    }

    fn adopt(&mut self, _: ConnId, (): ()) -> Result<(), (SystemError, ())> {
        Err((SystemError::from_kind(SystemErrorKind::Unsupported), ()))
    }

    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        unreachable!("nothing was submitted that asks for {call:?}")
    }

    fn wait(
        &mut self,
        _: Option<Instant>,
        _: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        let (gap, events, _) = self.next;
        (0..events).for_each(|_| on_ready(self.conn, Readiness::READABLE));
        self.now = self.now + gap;
        Ok(self.now)
    }

    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        self.spin = spin;
        let now = self.wait(until, events_max, on_ready)?;
        Ok((now, self.next.2))
    }
}

struct Story {
    model: Model<()>,
    system: Script,
}

impl Story {
    fn new(spin: Spin) -> Story {
        let config = Config { limits: Limits::DEFAULT, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
        let mut model = Model::new(config, &nowhere());
        model.set_spin(spin);
        let conn = model.open(Kind::Stream).unwrap();
        Story { model, system: Script { now: Instant::ZERO, conn, next: IDLE, spin: Duration::ZERO } }
    }

    /// Has waits like that, one after the other.
    fn waits(&mut self, wait: Wait, count: u32) {
        self.system.next = wait;
        (0..count).for_each(|_| turn(&mut self.model, &mut self.system, None, &mut Vec::new()).unwrap());
    }

    /// For how long it polls in a wait that says nothing about whether that pays; but it ends a streak.
    fn window(&mut self) -> Duration {
        self.waits(WAKE, 1);
        self.system.spin
    }

    /// As many waits in vain as its credit lasts for.
    fn last(&mut self, count: u32) {
        self.waits(IDLE, count - 1);
        assert_eq!(self.window(), WINDOW, "after {} waits in vain", count - 1);
        self.waits(IDLE, 1);
        assert_eq!(self.window(), Duration::ZERO, "after {count} waits in vain");
    }

    /// As many waits as it takes to begin.
    fn begin(&mut self, count: u32) {
        self.waits(ECHO, count - 1);
        assert_eq!(self.window(), Duration::ZERO, "after a streak of {}", count - 1);
        self.waits(ECHO, count);
        assert_eq!(self.window(), WINDOW, "after a streak of {count}");
    }
}

#[test]
fn k6_trials_in_vain_become_rare_and_what_pays_begins_anew() {
    let mut story = Story::new(Spin::Adaptive);
    for streak in [8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
        story.begin(streak);
        story.last(4);
    }
    // Some that paid are not enough: 200 µs, and 10 for each.
    story.begin(1024);
    story.waits(HIT, 29);
    story.last(10);
    story.begin(1024);
    story.waits(HIT, 30);
    // From the least that it takes to twice that, for what was in vain in the end.
    story.last(10);
    story.begin(16);
}

#[test]
fn k6_polling_is_paid_from_what_it_brought() {
    for (hits, waits) in [(0, 4), (1, 5), (5, 5), (6, 6), (29, 10), (1000, 10)] {
        let mut story = Story::new(Spin::Adaptive);
        story.begin(8);
        story.waits(HIT, hits);
        story.last(waits);
    }
    // Neither a sleep nor a crowd is what polling is for.
    for vain in [ECHO, (US, 5, false), (US, 5, true)] {
        let mut story = Story::new(Spin::Adaptive);
        story.begin(8);
        story.waits(vain, 3);
        story.last(1);
    }
    let mut story = Story::new(Spin::Adaptive);
    story.begin(8);
    story.waits(WAKE, 1000);
    story.last(4);
}

#[test]
fn k6_only_waits_that_polling_would_have_spared_begin_it() {
    for other in [IDLE, WAKE, (200 * US, 5, true), (Duration::from_nanos(200_001), 1, true)] {
        let mut story = Story::new(Spin::Adaptive);
        for _ in 0..4 {
            story.waits(ECHO, 7);
            story.waits(other, 1);
            assert_eq!(story.window(), Duration::ZERO, "{other:?}");
        }
        story.begin(8);
    }
}

#[test]
fn k6_what_is_fixed_does_not_learn() {
    for (spin, window) in [(Spin::Off, Duration::ZERO), (Spin::For(7 * US), 7 * US)] {
        let mut story = Story::new(spin);
        for wait in [ECHO, HIT, IDLE, WAKE] {
            for _ in 0..20 {
                assert_eq!(story.window(), window);
                story.waits(wait, 1);
            }
        }
    }
}

/// A system that does not poll says that it slept.
#[test]
fn a_system_need_not_poll() {
    let mut os = sim::SimOs::new(sim::Net::calm(), sim::EngineKind::Epoll);
    let until = os.now() + 5 * US;
    let (now, slept) = os.wait_spinning(Some(until), WINDOW, NonZeroU32::MIN, |_, _| {}).unwrap();
    assert!(slept && now >= until);
}
