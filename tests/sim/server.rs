//! The driver: what `src/server` does, over wires instead of sockets and with a disk that is dice.
//!
//! The order is that of `Server::turn` and `Slot::drive`. Where those change, this must follow.

use super::files::Disk;
use super::plugin::Plugin;
use super::slot::{Share, Slot, Tools};
use super::stage::{Event, Shared};
use super::watch::Watch;
use super::wire::Wire;
use super::world::Settings;
use std::collections::VecDeque;
use swiftd::conn::{Connection, Context, Id, Limits, NoJournal, Nowhere, Pool, State, Why};
use swiftd::handler::Static;
use swiftd::http::encode::Stamp;
use swiftd::policy::Policy;
use swiftd_timer::Heap;

/// The server.
pub struct Server {
    core: Core,
    slots: Vec<(u32, Option<Slot>)>,
    free: Vec<u32>,
    ended: Vec<u32>,
    ready: VecDeque<u32>,
    timers: Heap<u64, u32>,
    settings: Settings,
    stage: Shared,
    buffer: Vec<u8>,
}

/// What every connection is lent.
pub struct Core {
    limits: Limits,
    hooks: Plugin,
    handler: Static<Disk>,
    pool: Pool,
    stamp: Stamp,
    now: u64,
    policy: Policy,
    journal: NoJournal,
    is_draining: bool,
}

impl Core {
    pub fn context(&mut self, id: Id) -> Context<'_> {
        Context {
            limits: &self.limits,
            hooks: &mut self.hooks,
            handler: &mut self.handler,
            pool: &mut self.pool,
            stamp: &self.stamp,
            now: self.now,
            id,
            origin: &Nowhere,
            policy: &self.policy,
            journal: &mut self.journal,
            gate: None,
            is_short: false,
            is_draining: self.is_draining,
            keeps_idle: false,
        }
    }
}

impl Server {
    pub fn new(settings: Settings, stage: &Shared) -> Self {
        Self {
            core: Core {
                limits: settings.limits.clone(),
                hooks: Plugin::new(stage.clone(), settings.has_plugin),
                handler: Static {
                    files: Disk::new(stage.clone()),
                },
                pool: Pool::default(),
                stamp: Stamp::new(784_111_777),
                now: 0,
                policy: Policy::default(),
                journal: NoJournal,
                is_draining: false,
            },
            slots: Vec::new(),
            free: Vec::new(),
            ended: Vec::new(),
            ready: VecDeque::new(),
            timers: Heap::new(),
            buffer: vec![0; settings.read_bytes],
            settings,
            stage: stage.clone(),
        }
    }

    /// Sets the clock of this turn.
    pub fn set_clock(&mut self, now: u64) {
        self.core.now = now;
        self.stage.borrow_mut().clock = now;
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.slots.iter().filter(|(_, slot)| slot.is_some()).count()
    }

    /// When the next turn is due; `None` if only an event can cause one.
    pub fn next_time(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(self.core.now);
        }
        self.timers
            .next_deadline()
            .map(|due| due.max(self.core.now) + 1)
    }

    /// The clock of the last turn.
    pub fn now(&self) -> u64 {
        self.core.now
    }

    /// Drives everything that is ready, accepts, then fires timers: a turn after its events.
    pub fn turn(&mut self, wires: &mut [Wire], connecting: &[usize]) {
        self.stage.borrow_mut().now = self.core.now;
        for _ in 0..self.ready.len() {
            if let Some(index) = self.ready.pop_front() {
                self.drive(index, wires);
            }
        }
        for &client in connecting {
            self.accept(client, wires);
        }
        while let Some(index) = self.timers.pop_expired(self.core.now) {
            self.handle_expired(index, wires);
        }
        self.free.append(&mut self.ended);
        self.check_waits();
    }

    /// What must hold when the server goes to sleep.
    fn check_waits(&self) {
        for (_, slot) in &self.slots {
            let Some(slot) = slot.as_ref().filter(|slot| !slot.is_queued) else {
                continue;
            };
            let connection = &slot.connection;
            let due = connection.deadline();
            assert!(due > self.core.now, "a connection waits without a deadline");
            let timer = slot.timer.and_then(|timer| self.timers.deadline(timer));
            assert_eq!(timer, Some(due), "the timer and the connection disagree");
            let is_between = matches!(connection.state(), State::Connect | State::RequestStart);
            let is_idle =
                is_between && connection.piece().is_none() && connection.held_bytes() == 0;
            assert!(
                !is_idle || !self.core.is_draining,
                "an idle connection delays the stop"
            );
        }
    }

    // ---- events ---------------------------------------------------------------------------

    fn accept(&mut self, client: usize, wires: &mut [Wire]) {
        if self.core.is_draining {
            wires[client].is_closed = true;
            return;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[index as usize];
        let connection = Connection::new(self.core.now, &self.core.limits);
        let timer = self.timers.insert(connection.deadline(), index);
        let id = Id {
            slot: index,
            generation: place.0,
        };
        let watch = Watch::new(
            self.core.now,
            self.stage.borrow().response_bytes_max(client),
        );
        place.1 = Some(Slot::new(connection, client, timer, watch));
        self.stage.borrow_mut().parties[client].id = Some(id);
        self.drive(index, wires);
    }

    pub fn handle_event(&mut self, event: Event, wires: &[Wire]) {
        let stage = self.stage.clone();
        match event {
            Event::Readable(client) => self.with_client(client, |slot, _, _| {
                slot.is_readable = true;
                slot.has_peer_ended |= wires[client].is_ended;
            }),
            Event::Writable(client) => self.with_client(client, |slot, _, _| {
                slot.is_writable = true;
            }),
            Event::HungUp(client) => self.with_client(client, |slot, core, id| {
                slot.is_readable = true;
                slot.is_writable = true;
                if !slot.is_shut {
                    slot.abort("hung up", Why::ClientGone, &mut core.context(id), &stage);
                }
            }),
            Event::Found(id, plan) => {
                self.stage.borrow_mut().plans[plan].record.is_found = true;
                self.wake(id);
            }
            Event::Wake(id, plan) => {
                self.stage.borrow_mut().plans[plan].record.is_woken = true;
                self.with(id, |slot, core, id| {
                    slot.connection.handle_resume(&mut core.context(id))
                });
            }
            Event::SpuriousWake(client) => {
                self.with_client(client, |slot, core, id| {
                    slot.connection.handle_resume(&mut core.context(id));
                    slot.connection.handle_wake(&mut core.context(id));
                });
            }
            Event::Loaded(id, is_fine) => self.with(id, |slot, core, id| {
                slot.connection.handle_loading(false, &mut core.context(id));
                slot.is_loaded = true;
                if !is_fine {
                    slot.abort("load failed", Why::Error, &mut core.context(id), &stage);
                }
            }),
            Event::Appended(id, is_fine) => self.with(id, |slot, core, id| {
                slot.handle_appended(is_fine, core, id, &stage);
            }),
            Event::Stop => self.stop(),
            Event::Halt => self.halt(),
            Event::Connect(_) | Event::Client(_) => unreachable!("not the server's"),
        }
    }

    fn wake(&mut self, id: Id) {
        self.with(id, |slot, core, id| {
            slot.connection.handle_wake(&mut core.context(id))
        });
    }

    /// Hands an event of an earlier turn to its connection, if that still exists.
    fn with(&mut self, id: Id, call: impl FnOnce(&mut Slot, &mut Core, Id)) {
        let (generation, slot) = &mut self.slots[id.slot as usize];
        let Some(slot) = slot.as_mut().filter(|_| *generation == id.generation) else {
            self.stage.borrow_mut().trace.count("stale event");
            return;
        };
        call(slot, &mut self.core, id);
        slot.check(&self.stage, &self.settings);
        self.enqueue(id.slot);
    }

    fn with_client(&mut self, client: usize, call: impl FnOnce(&mut Slot, &mut Core, Id)) {
        let id = self.stage.borrow().parties[client].id;
        if let Some(id) = id {
            self.with(id, call);
        }
    }

    fn enqueue(&mut self, index: u32) {
        if let Some(slot) = &mut self.slots[index as usize].1
            && !slot.is_queued
        {
            slot.is_queued = true;
            self.ready.push_back(index);
        }
    }

    /// Idle connections end now, others after their response.
    fn stop(&mut self) {
        self.core.is_draining = true;
        self.stage.borrow_mut().is_stopping = true;
        for index in 0..self.slots.len() as u32 {
            let (generation, slot) = &mut self.slots[index as usize];
            let Some(slot) = slot else {
                continue;
            };
            let id = Id {
                slot: index,
                generation: *generation,
            };
            let was_closing = slot.connection.state() == State::Close;
            slot.connection.handle_stop(&mut self.core.context(id));
            slot.is_stopped_idle = !was_closing && slot.connection.state() == State::Close;
            if slot.is_stopped_idle {
                self.stage
                    .borrow_mut()
                    .note("stopped while idle", slot.client, 0);
            }
            slot.check(&self.stage, &self.settings);
            self.enqueue(index);
        }
    }

    /// The time to stop in good order is over.
    fn halt(&mut self) {
        for index in 0..self.slots.len() as u32 {
            let (generation, slot) = &mut self.slots[index as usize];
            if let Some(slot) = slot {
                let id = Id {
                    slot: index,
                    generation: *generation,
                };
                slot.abort("halted", Why::Stop, &mut self.core.context(id), &self.stage);
                self.enqueue(index);
            }
        }
    }

    fn handle_expired(&mut self, index: u32, wires: &mut [Wire]) {
        let (generation, slot) = &mut self.slots[index as usize];
        let Some(slot) = slot else {
            return;
        };
        let id = Id {
            slot: index,
            generation: *generation,
        };
        slot.judge_deadline(&wires[slot.client], &self.settings, &self.stage);
        slot.connection.handle_deadline(&mut self.core.context(id));
        slot.timer = None;
        slot.check(&self.stage, &self.settings);
        if self.drive(index, wires) != Share::IsOver
            && let Some(slot) = &mut self.slots[index as usize].1
        {
            slot.timer = Some(self.timers.insert(slot.connection.deadline(), index));
        }
    }

    // ---- driving --------------------------------------------------------------------------

    fn drive(&mut self, index: u32, wires: &mut [Wire]) -> Share {
        let (generation, place) = &mut self.slots[index as usize];
        let Some(slot) = place else {
            return Share::IsOver;
        };
        slot.is_queued = false;
        let id = Id {
            slot: index,
            generation: *generation,
        };
        let client = slot.client;
        let share = slot.drive(
            id,
            &mut Tools {
                core: &mut self.core,
                stage: &self.stage,
                settings: &self.settings,
                wire: &mut wires[client],
                buffer: &mut self.buffer,
                budget: self.settings.budget,
            },
        );
        match share {
            Share::IsOver => {
                if let Some(timer) = slot.timer {
                    self.timers.cancel(timer);
                }
                slot.close(&mut wires[client], &self.settings, &self.stage);
                *generation += 1;
                *place = None;
                self.ended.push(index);
                self.stage.borrow_mut().parties[client].id = None;
            }
            Share::Waits | Share::IsUnfinished => {
                if let Some(timer) = slot.timer {
                    self.timers.reschedule(timer, slot.connection.deadline());
                }
                if share == Share::IsUnfinished {
                    self.stage.borrow_mut().note("budget used up", client, 0);
                    self.enqueue(index);
                }
            }
        }
        share
    }
}
