//! An episode: one life of a model in a simulated world, judged after every step.
//!
//! Chaos, while the workload acts and faults strike; then the faults heal, the peers behave, and everything
//! that can end must; then the model is shut down, and nothing may be left over.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use aio_model::testing::{Shelf, address};
use aio_model::{Config, Instant, Model, System, Turn, TurnStage, Violation};

use crate::judge::context::{Context, OnPurpose};
use crate::judge::observer::{Observer, Scene};
use crate::judge::odd;
use crate::judge::oracle::Oracle;
use crate::judge::plan::Plan;
use crate::judge::probes::Probes;
use crate::judge::watch::Watched;
use crate::judge::workload::{Action, Workload};
use crate::world::choice::{Choice, Odds};
use crate::world::engine::EngineKind;
use crate::world::faults::Fault;
use crate::world::net::Net;
use crate::world::os::SimOs;

/// What an episode is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The readiness engine; `None`: as the choices have it.
    pub engine: Option<EngineKind>,
    /// How many actions there are at most before the faults heal.
    pub actions_max: u64,
    /// Print everything that happens.
    pub verbose: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { engine: None, actions_max: 600, verbose: false }
    }
}

/// What came of an episode.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Steps taken: actions, and the steps of turns.
    pub steps: u64,
    /// The same for two runs that did the same.
    pub fingerprint: u64,
    /// The rule that was broken, if one was.
    pub broken: Option<Violation>,
    /// The choices: a tape that plays the episode again, with the same setup.
    pub tape: Vec<u64>,
    /// Where on the tape each action begins.
    pub actions: Vec<usize>,
    /// What happened, and how often.
    pub probes: Probes,
}

/// An episode under way.
#[derive(Debug)]
pub(crate) struct Episode {
    pub(crate) plan: Plan,
    pub(crate) net: Net,
    pub(crate) os: SimOs,
    pub(crate) model: Model<Context>,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) probes: Probes,
    shelf: Arc<Shelf>,
    steps: u64,
    /// How many choices there were before each action.
    actions: Vec<usize>,
    seen: usize,
    verbose: bool,
    /// Who is told of each step, if anybody wants to know.
    observer: Option<Rc<RefCell<dyn Observer>>>,
}

/// How many turns a world without faults may need for everything to end: a byte a turn, and some.
const TURNS_TO_SETTLE: u32 = 200_000;
const TURNS_TO_DRAIN: u32 = 5_000;

/// How often leases are returned between two steps of a turn, beside what else the user does there.
const INTERLUDE_FETCHES: u32 = 8;

/// Runs an episode.
pub fn run(choice: Choice, setup: Setup) -> Report {
    Episode::new(choice, setup).play()
}

impl Episode {
    pub(crate) fn new(mut choice: Choice, setup: Setup) -> Episode {
        let weights = Action::ALL.iter().map(|action| action.weight());
        let plan = Plan::draw(&mut choice, setup.engine, setup.actions_max, weights);
        let net = Net::new(choice, plan.faults.clone());
        net.set_descriptors_max(plan.descriptors_max);
        net.set_capacity(plan.capacity);
        net.keep_trace(setup.verbose);
        let os = SimOs::new(net.clone(), plan.engine);
        let shelf = Arc::new(Shelf::default());
        let home = shelf.home();
        let config = Config { limits: plan.limits, pools: plan.pools.clone(), realm: 1, rearm: os.rearm() };
        let pools = plan.pools.iter().map(|pool| (pool.buffers_max, pool.buffer_bytes)).collect();
        let mut oracle = Oracle::new(plan.limits, pools, os.rearm());
        let mut model = Model::new(config, &home);
        model.age(plan.used);
        net.set_clock(plan.start);
        oracle.spin = plan.spin;
        model.set_spin(plan.spin);
        let workload = Workload::default();
        let verbose = setup.verbose;
        let (probes, steps, actions, seen, observer) = (Probes::default(), 0, Vec::new(), 0, None);
        let episode = Episode {
            plan,
            net,
            os,
            model,
            oracle,
            workload,
            probes,
            shelf,
            steps,
            actions,
            seen,
            verbose,
            observer,
        };
        episode.note(|| format!("{:#?}", episode.plan));
        episode
    }

    /// Has the observer be told of each step, instead of printing it.
    pub(crate) fn set_observer(&mut self, observer: Rc<RefCell<dyn Observer>>) {
        self.verbose = false;
        self.net.keep_trace(true);
        self.observer = Some(observer);
    }

    /// Lives, and says what came of it.
    pub(crate) fn play(mut self) -> Report {
        self.guard(Episode::live);
        self.end()
    }

    /// Prints what happens, or tells the observer, if anybody wants to know.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            self.net.take_trace().iter().for_each(|entry| println!("      {entry:?}"));
            println!("{:6} {}", self.steps, what());
        } else {
            self.observe(|observer, scene| observer.note(scene, &self.net.take_trace(), &what()));
        }
    }

    /// Tells the observer, if there is one.
    pub(crate) fn observe(&self, tell: impl FnOnce(&mut dyn Observer, &Scene<'_>)) {
        if let Some(observer) = &self.observer {
            let Episode { steps, model, oracle, net, .. } = self;
            let user_leases = self.workload.leases.len();
            tell(&mut *observer.borrow_mut(), &Scene { steps: *steps, model, oracle, net, user_leases });
        }
    }

    /// Takes a panic for a broken rule like any other: its tape is wanted.
    pub(crate) fn guard(&mut self, act: impl FnOnce(&mut Episode)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(self))) {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of a kind unknown");
            self.oracle.breaks("K7", "no-panic", || format!("a panic: {message}"));
            if let Some(observer) = &self.observer {
                observer.borrow_mut().panicked(&self.net.take_trace(), &self.oracle);
            }
        }
    }

    fn live(&mut self) {
        self.chaos();
        self.conclude();
    }

    /// Nothing goes wrong any more: whatever can end does, and nothing is left over.
    pub(crate) fn conclude(&mut self) {
        if self.goes_on() {
            self.settle();
        }
        if self.goes_on() {
            self.shut_down();
        }
    }

    fn goes_on(&self) -> bool {
        self.oracle.broken().is_none()
    }

    fn chaos(&mut self) {
        for at in 0..self.plan.actions {
            if self.plan.shut_down_at == Some(at) {
                self.shut_down_early();
            }
            let (weights, actions) = (&self.plan.weights, &mut self.actions);
            let action = Action::ALL[self.net.choose(|choice| {
                actions.push(choice.draws().len());
                choice.weighted(weights)
            })];
            self.act(action);
            self.step();
            if !self.goes_on() {
                return;
            }
            self.now_and_then();
        }
    }

    /// After every step: the model's own invariants, and what the simulated system was asked.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        if let Err(violation) = self.model.check() {
            let Violation { rule, check, what } = violation;
            self.oracle.breaks(rule, check, || format!("invariant: {what}"));
        }
        let violations = self.net.violations_count();
        if violations > self.seen {
            self.seen = violations;
            if let Some(violation) = self.net.violations().last() {
                let (rule, check) = violation.check();
                self.oracle.breaks(rule, check, || format!("at the border: {violation:?}"));
            }
        }
        self.observe(|observer, scene| observer.step(scene, &self.net.take_trace()));
    }

    /// Takes a turn, for as long as the choices have it.
    pub(crate) fn turn(&mut self) {
        let now = self.net.now();
        let until = self.net.choose(|choice| match choice.below(7) {
            0 | 1 => Some(Instant::ZERO),
            2 => Some(now + std::time::Duration::from_nanos(choice.magnitude(20_000_000_000))),
            3 | 4 => None,
            5 => Some(now + odd::span(choice)),
            _ => Some(odd::boundary(choice, now)),
        });
        self.turn_until(until);
    }

    pub(crate) fn turn_until(&mut self, until: Option<Instant>) {
        self.fetch();
        self.note(|| format!("a turn until {until:?}"));
        self.oracle.on_turn();
        let mut turn = Turn::begin(&mut self.model, until);
        while turn.stage() != TurnStage::Over {
            self.interlude();
            if !self.goes_on() {
                return;
            }
            let stage = turn.stage();
            let (os, oracle, probes) = (&mut self.os, &mut self.oracle, &mut self.probes);
            oracle.on_step();
            if stage == TurnStage::Expire {
                oracle.on_expiry(self.model.outstanding() as usize);
            }
            let mut system = Watched { os, oracle, probes, asked: until };
            Context::set_fragile(self.net.strikes(Fault::ClonePanics));
            self.shelf.refuse_memory(self.net.strikes(Fault::PoolMemory));
            let step = catch_unwind(AssertUnwindSafe(|| turn.step(&mut self.model, &mut system)));
            Context::set_fragile(false);
            for (pool, granted) in self.shelf.take_asked() {
                self.oracle.on_asked(pool, granted);
            }
            match step {
                Ok(goes_on) => drop(goes_on.expect("a simulated wait does not fail")),
                // The user's code panicked, and the user caught it: the turn goes on (C7).
                Err(panic) if panic.is::<OnPurpose>() => {
                    self.oracle.on_panic();
                    self.step();
                    continue;
                }
                Err(panic) => resume_unwind(panic),
            }
            match stage {
                TurnStage::Wait => self.oracle.on_round(self.model.outstanding()),
                TurnStage::Attempt if turn.stage() != stage => self.oracle.on_round_over(),
                _ => {}
            }
            self.oracle.on_expired();
            self.oracle.on_turn_step(self.model.outstanding());
            self.step();
            if !self.goes_on() {
                return;
            }
        }
        self.oracle.on_turn_over();
        self.fetch();
        let leases = self.workload.leases.len();
        self.oracle.on_rest(&self.model, &self.net, leases);
        self.oracle.on_seen_now_and_then(&self.model);
        self.observe(|observer, scene| observer.rest(scene, &self.net.take_trace()));
    }

    /// Between two steps of a turn: the user may do anything, and leases may be returned (C7).
    fn interlude(&mut self) {
        let interludes = self.plan.interludes;
        if !self.net.choose(|choice| choice.chance(interludes)) {
            return;
        }
        let actions = &mut self.actions;
        let mut weights = self.plan.weights.clone();
        weights[0] = INTERLUDE_FETCHES;
        let action = Action::ALL[self.net.choose(|choice| {
            actions.push(choice.draws().len());
            choice.weighted(&weights)
        })];
        match action {
            Action::Turn => self.fetch(),
            Action::SetPool
                if self.plan.shut_down_at.is_some() && self.choose(|choice| choice.below(4)) == 3 =>
            {
                self.shut_down_early();
            }
            _ => self.act(action),
        }
        self.oracle.on_interlude(self.model.outstanding());
        self.oracle.on_seen_now_and_then(&self.model);
        // One in which a rule was broken is the last one, which the caller's step is.
        if self.goes_on() {
            self.step();
        }
    }

    /// Gives the leases back that were dropped.
    fn fetch(&mut self) {
        for buffer in self.shelf.take_all() {
            self.oracle.on_home(address(&buffer));
            self.model.give_back(buffer);
        }
    }

    /// Takes every completion, and drops what came with it.
    pub(crate) fn take_all(&mut self) {
        while self.take().is_some() {}
        self.workload.leases.clear();
    }

    /// Nothing goes wrong any more: everything that can end must.
    fn settle(&mut self) {
        self.note(|| "the faults heal".to_owned());
        self.plan.interludes = Odds::NEVER;
        self.net.heal();
        self.observe(|observer, scene| observer.step(scene, &self.net.take_trace()));
        self.close_listeners();
        self.wake_all();
        self.note(|| "ends every sleep".to_owned());
        for turn in 0..TURNS_TO_SETTLE {
            self.take_all();
            self.end_idle_times();
            if self.oracle.ops() == 0 || !self.goes_on() {
                return;
            }
            self.workload.peers.extend(self.net.take_arrivals());
            for peer in self.workload.peers.clone() {
                self.net.peer_read(peer);
                if turn == 0 || self.net.peer_state(peer).writable > 0 {
                    self.net.peer_shutdown(peer);
                }
            }
            self.observe(|observer, scene| observer.step(scene, &self.net.take_trace()));
            self.turn_until(Some(self.net.now() + std::time::Duration::from_secs(1)));
        }
        self.oracle.on_settled(&self.net);
    }

    pub(crate) fn shut_down(&mut self) {
        self.plan.interludes = Odds::NEVER;
        self.model.shut_down();
        self.note(|| "shuts down".to_owned());
        self.oracle.on_shut_down(None);
        for _ in 0..TURNS_TO_DRAIN {
            self.take_all();
            if self.model.is_drained() || !self.goes_on() {
                break;
            }
            self.turn_until(Some(Instant::ZERO));
        }
        self.take_all();
        self.fetch();
        let left = (self.model.connections(), self.model.ops(), self.model.outstanding());
        let drained = self.model.is_drained();
        if (left, drained) != ((0, 0, 0), true) {
            self.oracle.breaks("B1", "nothing-left", || {
                format!("connections, operations, leases left: {left:?}; drained is {drained}")
            });
        }
        let open = self.net.open_conns();
        if !open.is_empty() {
            self.oracle.breaks("K2", "descriptors-closed", || format!("descriptors left open: {open:?}"));
        }
    }

    fn end(mut self) -> Report {
        for fault in Fault::ALL {
            self.probes.struck(*fault, self.net.struck(*fault));
        }
        if let Some(observer) = self.observer.take() {
            observer.borrow_mut().over(&self.net, &self.oracle);
        }
        self.note(|| format!("the end: {:?}", self.oracle.broken()));
        Report {
            steps: self.steps,
            fingerprint: self.net.fingerprint(),
            broken: self.oracle.broken().cloned(),
            tape: self.net.to_tape(),
            actions: self.actions,
            probes: self.probes,
        }
    }
}
