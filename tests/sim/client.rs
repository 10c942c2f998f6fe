//! A client: how fast it sends and reads, how far ahead it asks, and how it ends.
//!
//! It knows its stream and the plans in it. Whether what it gets is right is the verifier's affair;
//! the client only needs to know how much of it it has read.

use super::rng::Rng;
use super::stage::{Event, Stage};
use super::wire::{LATENCY_MAX, Wire};

/// One client.
pub struct Client {
    number: usize,
    stream: Vec<u8>,
    sent: usize,
    read: u64,
    /// How many requests it sends before the first of them is answered.
    depth: usize,
    send_max: usize,
    read_max: usize,
    /// The longest pause between two steps, milliseconds.
    pause_max: u64,
    /// What it does, and where in its stream.
    turning_point: Option<(usize, Turn)>,
    /// It does not read any more.
    is_deaf: bool,
    is_stalled: bool,
    /// What it does when it has everything that it asked for.
    farewell: Turn,
    is_patient_since: Option<u64>,
    idle_steps: u32,
}

/// What a client may do instead of going on.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Turn {
    /// It ends its side and reads on.
    End,
    /// It resets the connection.
    Reset,
    /// It sends no more and reads on.
    Stall,
    /// It sends no more and reads no more.
    Freeze,
}

/// How long a client waits for `100 Continue`, milliseconds.
const PATIENCE: u64 = 1500;

impl Client {
    pub fn new(number: usize, stream: Vec<u8>, rng: &mut Rng) -> Self {
        let turning_point = rng.one_in(3).then(|| {
            let turn = rng.pick(&[Turn::End, Turn::End, Turn::Reset, Turn::Stall, Turn::Freeze]);
            (rng.size(0, stream.len()), turn)
        });
        let is_slow = rng.one_in(8);
        Self {
            number,
            stream,
            sent: 0,
            read: 0,
            depth: if rng.one_in(3) { 1 } else { rng.size(1, 20) },
            send_max: if is_slow {
                rng.size(1, 20)
            } else {
                rng.size(20, 4000)
            },
            read_max: if rng.one_in(8) {
                rng.size(1, 20)
            } else {
                rng.size(100, 4000)
            },
            pause_max: if is_slow {
                rng.between(500, 3000)
            } else {
                rng.between(1, 60)
            },
            turning_point,
            is_deaf: false,
            is_stalled: false,
            farewell: rng.pick(&[Turn::End, Turn::End, Turn::End, Turn::Reset, Turn::Stall]),
            is_patient_since: None,
            idle_steps: 0,
        }
    }

    /// One step. Schedules the next one unless the client is done.
    pub fn step(&mut self, wire: &mut Wire, stage: &mut Stage) {
        if wire.is_reset {
            return;
        }
        let moved = self.receive(wire, stage) + self.send(wire, stage);
        self.idle_steps = if moved > 0 { 0 } else { self.idle_steps + 1 };
        if let Some(turn) = self.due_turn(wire) {
            self.turn(turn, wire, stage);
        }
        let is_done = wire.is_closed || wire.is_reset || self.is_deaf;
        // Once nobody moves any more, the server's deadlines are all that is left.
        if !is_done && self.idle_steps < IDLE_STEPS_MAX {
            let stretch = 1 << (self.idle_steps / 4).min(6);
            let pause_max = (self.pause_max * stretch).min(PAUSE_MAX);
            let pause = stage.rng.between(1, pause_max);
            stage.after(pause, Event::Client(self.number));
        }
    }

    fn receive(&mut self, wire: &mut Wire, stage: &mut Stage) -> usize {
        if self.is_deaf {
            return 0;
        }
        let bytes_max = stage.rng.size(1, self.read_max);
        let count = wire.client_receive(bytes_max, self.number, stage);
        self.read += count as u64;
        count
    }

    fn send(&mut self, wire: &mut Wire, stage: &mut Stage) -> usize {
        if wire.is_ended || wire.is_closed {
            return 0;
        }
        let end = self.send_end(wire, stage);
        let room = wire.up_room().min(end.saturating_sub(self.sent));
        if room == 0 {
            return 0;
        }
        let count = stage.rng.size(1, self.send_max).min(room);
        wire.client_send(
            &self.stream[self.sent..self.sent + count],
            self.number,
            stage,
        );
        self.sent += count;
        count
    }

    /// How many responses the client has read.
    fn answered(&self, wire: &Wire) -> usize {
        wire.verifier.ends.partition_point(|&end| end <= self.read)
    }

    /// How far the client may send now.
    fn send_end(&mut self, wire: &Wire, stage: &mut Stage) -> usize {
        let plans = stage.parties[self.number].plans.clone();
        let answered = self.answered(wire);
        let last = plans.start + answered + self.depth - 1;
        let mut end = if last + 1 < plans.end {
            stage.plans[last].end
        } else {
            self.stream.len()
        };
        if let Some((at, _)) = self.turning_point {
            end = end.min(at);
        }
        let holds = |number: &usize| {
            let plan = &stage.plans[*number];
            plan.waits_for_continue && plan.head_end >= self.sent
        };
        let next = plans.clone().find(holds);
        let Some(number) = next.filter(|&number| stage.plans[number].head_end == self.sent) else {
            self.is_patient_since = None;
            return next.map_or(end, |number| end.min(stage.plans[number].head_end));
        };
        let index = number - plans.start;
        let is_told = wire
            .verifier
            .continued
            .is_some_and(|(at, end)| at == index && end <= self.read);
        let since = *self.is_patient_since.get_or_insert(stage.now);
        if is_told || answered > index || stage.now - since > PATIENCE {
            if !is_told && answered == index {
                self.check_silence(number, wire, stage);
            }
            return end;
        }
        end.min(self.sent)
    }

    /// The client has waited in vain for `100 Continue`: the server must have had a reason.
    fn check_silence(&self, number: usize, wire: &Wire, stage: &mut Stage) {
        let plan = &stage.plans[number];
        let is_answerable = wire.verifier.offset == self.read && wire.taken == plan.head_end;
        let is_late = stage.now > wire.taken_at + 2 * LATENCY_MAX + 10;
        let is_suspended = plan.record.is_suspended
            || number.checked_sub(1).is_some_and(|before| {
                // The plugin has something left to do behind its response.
                let record = &stage.plans[before].record;
                record.is_stream_ended && record.resets == 0
            });
        let has_excuse = wire.is_shut
            || wire.verifier.has_closed
            || wire.verifier.is_within_response()
            || stage.parties[self.number].is_cut()
            || stage.jumped > 0
            || is_suspended;
        assert!(
            !is_answerable || !is_late || has_excuse,
            "no 100 for client {} that waits for it",
            self.number
        );
        stage.note("client tired of waiting for 100", self.number, 0);
    }

    fn due_turn(&self, wire: &Wire) -> Option<Turn> {
        if wire.is_ended {
            return None;
        }
        if let Some((at, turn)) = self.turning_point
            && self.sent == at
        {
            return Some(turn);
        }
        // The server has ended its side and there is nothing left to read.
        if (wire.is_shut || wire.is_closed) && wire.down.is_empty() {
            return Some(self.farewell);
        }
        let has_all = self.sent == self.stream.len() && self.read == wire.verifier.offset;
        (has_all && self.idle_steps > 8).then_some(self.farewell)
    }

    fn turn(&mut self, turn: Turn, wire: &mut Wire, stage: &mut Stage) {
        match turn {
            Turn::End => {
                stage.note("client ends its side", self.number, self.sent as u64);
                wire.client_end(self.number, stage);
            }
            Turn::Reset => {
                stage.note("client resets", self.number, self.sent as u64);
                wire.client_reset(self.number, stage);
            }
            Turn::Stall if self.is_stalled => {}
            Turn::Stall => {
                stage.note("client stalls", self.number, self.sent as u64);
                self.is_stalled = true;
            }
            Turn::Freeze => {
                stage.note("client freezes", self.number, self.sent as u64);
                self.is_deaf = true;
            }
        }
    }
}

/// After so many steps in which nothing moved, a client does nothing more.
const IDLE_STEPS_MAX: u32 = 40;

/// The longest pause, milliseconds.
const PAUSE_MAX: u64 = 3000;
