//! What must hold for every connection at every step, checked from outside.

use super::plan::Cause;
use super::stage::Stage;
use super::wire::{LATENCY_MAX, Wire};
use super::world::Settings;
use std::collections::VecDeque;
use swiftd::conn::{Connection, End, Piece, State, Wait};

/// What is remembered of a connection between two checks.
pub struct Watch {
    last_state: State,
    /// When the connection was accepted, or sent something last.
    idle_since: u64,
    /// Since when a head is arriving and nothing is left to be sent.
    head_since: Option<u64>,
    /// Since when a part of a file is being read, a part of a body is being written.
    loading_since: Option<u64>,
    pub writing_since: Option<u64>,
    /// Since when the sending side is shut.
    closing_since: Option<u64>,
    /// The client has ended its side, and the connection knows.
    pub has_ended: bool,
    /// Bytes that moved, with their time.
    sent: VecDeque<(u64, u64)>,
    received: VecDeque<(u64, u64)>,
    /// Bytes from memory that were sent since nothing was left to be sent.
    batch_bytes: usize,
    /// What a response of this client takes in memory at most.
    response_bytes_max: usize,
    /// How a response is being taken and a body is coming.
    sending: Option<Pace>,
    gathering: Option<Pace>,
}

/// How fast the client does what is waited for.
struct Pace {
    since: u64,
    moved: u64,
}

impl Pace {
    /// Goes on, begins or ends.
    fn follow(pace: &mut Option<Self>, is_waiting: bool, now: u64) {
        let old = pace.take().filter(|_| is_waiting);
        *pace = is_waiting.then(|| {
            old.unwrap_or(Self {
                since: now,
                moved: 0,
            })
        });
    }

    /// A client that does not move enough in one window gets no other.
    fn check(pace: Option<&Self>, wait: Wait, settings: &Settings, stage: &Stage) {
        let Some(pace) = pace else {
            return;
        };
        let limits = &settings.limits;
        let windows = 1 + pace.moved / limits.window_bytes(wait);
        let longest = limits.timeout(wait).as_millis() as u64 * windows;
        let slack = stage.jumped + LATENCY_MAX;
        let waited = stage.clock - pace.since;
        assert!(
            waited <= longest + slack,
            "{wait:?}: {waited} ms for {} bytes",
            pace.moved
        );
    }
}

impl Watch {
    pub fn new(now: u64, response_bytes_max: usize) -> Self {
        Self {
            last_state: State::Connect,
            idle_since: now,
            head_since: None,
            loading_since: None,
            writing_since: None,
            closing_since: None,
            has_ended: false,
            sent: VecDeque::new(),
            received: VecDeque::new(),
            batch_bytes: 0,
            response_bytes_max,
            sending: None,
            gathering: None,
        }
    }

    /// Bytes were sent, from memory or from a file; perhaps all that there were.
    pub fn handle_sent(&mut self, bytes: u64, is_memory: bool, is_all: bool, now: u64) {
        self.sent.push_back((now, bytes));
        self.idle_since = now;
        if is_memory {
            self.batch_bytes += bytes as usize;
        }
        if is_all {
            self.batch_bytes = 0;
        }
        if let Some(pace) = &mut self.sending {
            pace.moved += bytes;
        }
    }

    /// Bytes were received.
    pub fn handle_received(&mut self, bytes: u64, now: u64) {
        self.received.push_back((now, bytes));
        if let Some(pace) = &mut self.gathering {
            pace.moved += bytes;
        }
    }

    /// A part of a body goes to the disk.
    pub fn handle_append(&mut self, now: u64) {
        assert!(self.writing_since.is_none(), "two appends at once");
        self.writing_since = Some(now);
        self.gathering = None;
    }

    /// After each call of the connection.
    pub fn check(
        &mut self,
        connection: &Connection,
        settings: &Settings,
        stage: &mut Stage,
        last_byte: u8,
    ) {
        let now = stage.clock;
        let limits = &settings.limits;
        let state = connection.state();
        let piece = connection.piece();
        let is_sending = piece.is_some();
        stage.trace.count(state.name());
        assert!(
            self.last_state != State::Close || state == State::Close,
            "left {}",
            State::Close.name()
        );
        assert!(state != State::Connect || self.last_state == State::Connect);
        self.last_state = state;
        self.check_memory(connection, settings, last_byte);

        let head_since = (state == State::Read && !is_sending).then_some(now);
        self.head_since = head_since.map(|now| self.head_since.unwrap_or(now));
        let loading_since = connection.is_loading().then_some(now);
        self.loading_since = loading_since.map(|now| self.loading_since.unwrap_or(now));
        let closing_since = (state == State::Close && !is_sending).then_some(now);
        self.closing_since = closing_since.map(|now| self.closing_since.unwrap_or(now));
        Pace::follow(&mut self.sending, is_sending, now);
        // What was taken before a load counts after it.
        if let Some(pace) = &mut self.sending
            && connection.is_loading()
        {
            pace.since = now;
        }
        let is_gathering = state == State::ReadPost && !is_sending && self.writing_since.is_none();
        Pace::follow(&mut self.gathering, is_gathering, now);
        if connection.end().is_some_and(|end| end != End::Linger) {
            assert!(!is_sending, "something is left to be sent at the end");
            return;
        }
        let longest = [
            Wait::Idle,
            Wait::Head,
            Wait::Body,
            Wait::Write,
            Wait::Disk,
            Wait::Hook,
            Wait::Linger,
        ]
        .into_iter()
        .map(|wait| limits.timeout(wait).as_millis() as u64)
        .max()
        .expect("there are waits");
        assert!(
            connection.deadline() <= now + longest,
            "no wait is that long"
        );
        Pace::check(self.sending.as_ref(), Wait::Write, settings, stage);
        Pace::check(self.gathering.as_ref(), Wait::Body, settings, stage);
    }

    fn check_memory(&mut self, connection: &Connection, settings: &Settings, last_byte: u8) {
        let limits = &settings.limits;
        let held_bytes = connection.held_bytes();
        // A buffer that grows doubles.
        let rest_bytes_max = 2 * (limits.head.head_bytes_max + settings.read_bytes);
        let output_bytes_max = limits.output_bytes_max + self.response_bytes_max;
        assert!(
            held_bytes <= rest_bytes_max + output_bytes_max,
            "{held_bytes} bytes are held"
        );
        if let Some(Piece::Bytes { bytes, .. }) = connection.piece() {
            let batch_bytes = self.batch_bytes + bytes.len();
            assert!(
                batch_bytes <= output_bytes_max,
                "{batch_bytes} bytes in one batch"
            );
        }
        let is_idle = matches!(connection.state(), State::Connect | State::RequestStart);
        // The first half of an empty line before a request is kept until its second half comes.
        if is_idle && connection.piece().is_none() && last_byte != b'\r' {
            assert_eq!(held_bytes, 0, "an idle connection holds memory");
        }
    }

    /// A deadline has passed: tells what that means, and checks that it was due.
    pub fn judge_deadline(
        &self,
        connection: &Connection,
        client: usize,
        wire: &Wire,
        settings: &Settings,
        stage: &Stage,
        is_queued: bool,
    ) -> Option<Cause> {
        let limits = &settings.limits;
        let due = connection.deadline();
        let timeout = |wait| limits.timeout(wait).as_millis() as u64;
        let moved = |log: &VecDeque<(u64, u64)>, wait| {
            let start = due - timeout(wait);
            let bytes: u64 = log
                .iter()
                .filter(|(time, _)| *time > start)
                .map(|(_, bytes)| bytes)
                .sum();
            assert!(
                bytes < limits.window_bytes(wait),
                "{wait:?} was cut although {bytes} bytes moved"
            );
        };
        assert!(due <= stage.clock, "a deadline fired too early");
        let waits_for_input = match connection.state() {
            State::Connect | State::RequestStart | State::Read | State::Close => true,
            State::ReadPost => self.writing_since.is_none(),
            _ => false,
        };
        let is_in_vain = waits_for_input && self.has_ended && connection.piece().is_none();
        assert!(!is_in_vain, "waited for a client that had ended");
        let party = &stage.parties[client];
        let stream = party.current.map(|number| &stage.plans[number].record);
        let next = stage.plans[party.plans.clone()].get(wire.verifier.answered);
        Some(match connection.state() {
            _ if connection.is_loading() => {
                let since = self.loading_since.expect("it is loading");
                assert_eq!(due, since + timeout(Wait::Disk));
                Cause::Cut("load timed out")
            }
            _ if connection.piece().is_some() => {
                moved(&self.sent, Wait::Write);
                Cause::Cut("write timed out")
            }
            State::Connect | State::RequestStart => {
                assert!(
                    due >= self.idle_since + timeout(Wait::Idle),
                    "idle for too short a time"
                );
                let is_unread = !wire.up.is_empty() && wire.up_since + LATENCY_MAX < stage.clock;
                assert!(
                    !is_unread || is_queued || stage.jumped > 0,
                    "a request was left unread"
                );
                Cause::Cut("idle timed out")
            }
            State::Read => {
                let since = self.head_since.expect("a head is arriving");
                assert_eq!(due, since + timeout(Wait::Head));
                assert!(
                    next.is_some_and(|plan| plan.certain_at > wire.taken),
                    "a head was there"
                );
                Cause::Deadline(408)
            }
            State::ReadPost => match self.writing_since {
                Some(since) => {
                    // What is still being sent is waited for first.
                    assert!(due >= since + timeout(Wait::Disk));
                    Cause::Deadline(503)
                }
                None => {
                    moved(&self.received, Wait::Body);
                    assert!(
                        next.is_some_and(|plan| plan.end > wire.taken),
                        "a body was there"
                    );
                    Cause::Deadline(408)
                }
            },
            State::HandleRequest if stream.is_some_and(|it| it.is_streaming) => {
                let stream = stream.expect("it is one");
                assert!(!stream.is_held_back, "there was room and nobody told");
                assert!(!stream.is_woken, "a hook was woken and not called");
                if stream.is_stream_ended {
                    return None;
                }
                Cause::Cut("hook timed out within its response")
            }
            State::RequestEnd | State::HandleRequest if party.is_hook_waiting => {
                let is_awake = next.is_none_or(|plan| plan.record.is_woken);
                assert!(!is_awake, "a hook was woken and not called");
                Cause::Deadline(504)
            }
            State::RequestEnd | State::HandleRequest => {
                let is_found = next.is_none_or(|plan| plan.record.is_found);
                assert!(!is_found, "a look-up was answered and not used");
                Cause::Deadline(503)
            }
            State::Close => {
                let since = self.closing_since.expect("it is closing");
                assert_eq!(due, since + timeout(Wait::Linger));
                Cause::Cut("linger timed out")
            }
            state => unreachable!("{} waits for nobody", state.name()),
        })
    }
}
