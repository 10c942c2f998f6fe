//! One connection's share of a turn, as in `src/server/drive.rs`, with all that is checked around it.

use super::files;
use super::plan::{Cause, Plan};
use super::server::Core;
use super::stage::Shared;
use super::watch::Watch;
use super::wire::{Attempt, Wire};
use super::world::Settings;
use swiftd::conn::{Connection, Context, End, Id, Piece, State, Why};
use swiftd_timer::Timer;

/// A connection with its socket.
pub struct Slot {
    pub connection: Connection,
    pub client: usize,
    pub timer: Option<Timer>,
    pub is_readable: bool,
    pub is_writable: bool,
    pub is_queued: bool,
    /// The client's end has shown in an edge.
    pub has_peer_ended: bool,
    pub is_loaded: bool,
    /// It was idle when the server was asked to stop.
    pub is_stopped_idle: bool,
    pub watch: Watch,
    pub is_shut: bool,
    /// The last byte that was received.
    last_byte: u8,
    /// Bytes that were received after the end of the sending side.
    lingered_bytes: usize,
}

/// How a share of a turn ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Share {
    Waits,
    IsUnfinished,
    IsOver,
}

/// What the loop lends to a connection that is driven.
pub struct Tools<'a> {
    pub core: &'a mut Core,
    pub stage: &'a Shared,
    pub settings: &'a Settings,
    pub wire: &'a mut Wire,
    pub buffer: &'a mut [u8],
    pub budget: usize,
}

/// What is sent next.
struct Next {
    bytes: Vec<u8>,
    /// Whether they are from memory, not from a file.
    is_memory: bool,
    /// Whether it is the turn of others after them.
    is_share: bool,
    /// Whether nothing is left to be sent after them.
    is_last: bool,
}

/// How much of a file is sent with one call.
const PIECE_BYTES: u64 = 1024;

impl Slot {
    pub fn new(connection: Connection, client: usize, timer: Timer, watch: Watch) -> Self {
        Self {
            connection,
            client,
            timer: Some(timer),
            is_readable: true,
            is_writable: true,
            is_queued: false,
            has_peer_ended: false,
            is_loaded: false,
            is_stopped_idle: false,
            watch,
            is_shut: false,
            last_byte: 0,
            lingered_bytes: 0,
        }
    }

    /// Drives the connection.
    pub fn drive(&mut self, id: Id, tools: &mut Tools<'_>) -> Share {
        loop {
            if let Err(why) = self.send(id, tools) {
                self.abort(
                    why,
                    Why::ClientGone,
                    &mut tools.core.context(id),
                    tools.stage,
                );
            }
            if let Some(append) = self.connection.take_append() {
                self.submit(append, id, tools.stage, tools.settings);
            }
            match self.connection.end() {
                Some(End::Close | End::Reset) => return Share::IsOver,
                Some(End::Linger) if !self.is_shut => self.shut(tools.wire, tools.stage),
                _ => {}
            }
            if tools.budget == 0 {
                return Share::IsUnfinished;
            }
            if !self.is_readable || !self.connection.wants_input() {
                return Share::Waits;
            }
            self.receive(id, tools);
        }
    }

    fn receive(&mut self, id: Id, tools: &mut Tools<'_>) {
        let client = self.client;
        let attempt = {
            let stage = &mut *tools.stage.borrow_mut();
            tools.wire.receive(tools.buffer, client, stage)
        };
        let cx = &mut tools.core.context(id);
        match attempt {
            Attempt::Bytes(count) => {
                tools
                    .stage
                    .borrow_mut()
                    .note("received", client, count as u64);
                self.watch.handle_received(count as u64, cx.now);
                self.last_byte = tools.buffer[count - 1];
                if self.is_shut {
                    self.lingered_bytes += count;
                    let bytes_max = tools.settings.limits.linger_bytes_max as usize;
                    let is_bounded = self.lingered_bytes <= bytes_max + tools.buffer.len();
                    assert!(is_bounded, "lingers for a client that does not stop");
                }
                self.connection.handle_input(&tools.buffer[..count], cx);
                tools.budget = tools.budget.saturating_sub(count);
                // What comes later comes with an edge.
                if count < tools.buffer.len() && !self.has_peer_ended {
                    self.is_readable = false;
                }
            }
            Attempt::Blocked => self.is_readable = false,
            Attempt::End => {
                self.is_readable = false;
                self.watch.has_ended = true;
                self.note_end(tools.wire, tools.stage);
                self.connection.handle_end(cx);
            }
            Attempt::Gone => self.abort("gone on receiving", Why::ClientGone, cx, tools.stage),
        }
        self.check(tools.stage, tools.settings);
    }

    fn send(&mut self, id: Id, tools: &mut Tools<'_>) -> Result<(), &'static str> {
        while self.is_writable && !self.connection.is_loading() && tools.budget > 0 {
            let Some(next) = self.next(id, tools)? else {
                break;
            };
            if next.bytes.is_empty() {
                self.connection
                    .handle_loading(true, &mut tools.core.context(id));
                self.check(tools.stage, tools.settings);
                continue;
            }
            let attempt = {
                let stage = &mut *tools.stage.borrow_mut();
                tools.wire.send(&next.bytes, self.client, stage)
            };
            match attempt {
                Attempt::Bytes(count) => {
                    self.verify(&next, count, tools);
                    self.is_loaded = false;
                    let moved = if next.is_share { usize::MAX } else { count };
                    tools.budget = tools.budget.saturating_sub(moved);
                    self.connection
                        .handle_sent(count as u64, &mut tools.core.context(id));
                    self.check(tools.stage, tools.settings);
                }
                Attempt::Blocked => self.is_writable = false,
                Attempt::Gone | Attempt::End => return Err("gone on sending"),
            }
        }
        Ok(())
    }

    /// What is sent next; none of its bytes if the disk must read them first.
    fn next(&self, id: Id, tools: &Tools<'_>) -> Result<Option<Next>, &'static str> {
        let stage = &mut *tools.stage.borrow_mut();
        let next = match self.connection.piece() {
            None => return Ok(None),
            Some(Piece::Bytes { bytes, more }) => Next {
                bytes: bytes.to_vec(),
                is_memory: true,
                is_share: false,
                is_last: !more,
            },
            Some(Piece::File {
                file,
                offset,
                bytes,
                more,
            }) => {
                let is_cold = !self.is_loaded && stage.rng.one_in(3);
                if is_cold {
                    self.load(id, stage);
                } else if stage.rng.one_in(300) {
                    return Err("file cut short");
                }
                let count = if is_cold { 0 } else { bytes.min(PIECE_BYTES) };
                Next {
                    bytes: files::part(file.identity.inode, offset, count),
                    is_memory: false,
                    is_share: bytes > PIECE_BYTES,
                    is_last: count == bytes && !more,
                }
            }
        };
        Ok(Some(next))
    }

    /// The kernel has taken `count` bytes.
    fn verify(&mut self, next: &Next, count: usize, tools: &mut Tools<'_>) {
        let stage = &mut *tools.stage.borrow_mut();
        let what = if next.is_memory {
            "sent"
        } else {
            "sent from a file"
        };
        stage.note(what, self.client, count as u64);
        let is_all = next.is_last && count == next.bytes.len();
        self.watch
            .handle_sent(count as u64, next.is_memory, is_all, stage.clock);
        let taken = tools.wire.taken;
        let bytes = &next.bytes[..count];
        tools
            .wire
            .verifier
            .handle(bytes, taken, self.client, stage, tools.settings);
    }

    // ---- ends -----------------------------------------------------------------------------

    /// Cuts the connection; nothing may come from it any more.
    pub fn abort(&mut self, what: &'static str, why: Why, cx: &mut Context<'_>, stage: &Shared) {
        stage.borrow_mut().blame(self.client, Cause::Cut(what));
        self.connection.abort(why, cx);
        let is_ended = matches!(self.connection.end(), Some(End::Close | End::Reset));
        assert!(is_ended, "an aborted connection lives on");
        assert!(
            self.connection.piece().is_none(),
            "an aborted connection sends"
        );
        assert_eq!(
            self.connection.held_bytes(),
            0,
            "an aborted connection holds memory"
        );
        assert!(
            !self.connection.wants_input(),
            "an aborted connection reads"
        );
    }

    /// The client's end has come: if it cuts a body short, that may be the answer.
    fn note_end(&self, wire: &Wire, stage: &Shared) {
        let stage = &mut *stage.borrow_mut();
        stage.note("client's end seen", self.client, wire.taken as u64);
        let plans = stage.parties[self.client].plans.clone();
        let is_cut = |plan: &Plan| plan.head_end <= wire.taken && wire.taken < plan.end;
        if stage.plans[plans].iter().any(is_cut) {
            stage.blame(self.client, Cause::EndedInBody);
        }
    }

    fn shut(&mut self, wire: &mut Wire, stage: &Shared) {
        let stage = &mut *stage.borrow_mut();
        stage.note("linger", self.client, 0);
        wire.verifier
            .finish(wire.taken, self.watch.has_ended, self.client, stage);
        self.is_shut = true;
        wire.is_shut = true;
    }

    /// The connection is over. Bytes that are left unread destroy what the client has not read yet,
    /// so there must be a reason for it.
    pub fn close(&self, wire: &mut Wire, settings: &Settings, stage: &Shared) {
        let stage = &mut *stage.borrow_mut();
        stage.note("close", self.client, 0);
        if !self.is_shut {
            wire.verifier
                .finish(wire.taken, self.watch.has_ended, self.client, stage);
        }
        let party = &stage.parties[self.client];
        let answered = party.plans.start..party.plans.start + wire.verifier.answered;
        let answered = &stage.plans[answered];
        let has_asked = answered.iter().any(|plan| plan.asks_to_close);
        let surplus = wire.taken - answered.last().map_or(0, |plan| plan.start);
        let is_flooded = surplus > settings.limits.linger_bytes_max as usize;
        let may_reset = party.is_cut() || self.is_stopped_idle || has_asked || is_flooded;
        assert!(
            may_reset || wire.up.is_empty(),
            "closed although bytes are left to be read"
        );
        if !may_reset && !self.watch.has_ended {
            assert!(
                stage.is_stopping,
                "closed while the client may still be sending"
            );
        }
        if is_flooded && self.is_shut && !self.watch.has_ended {
            stage.note("linger flooded", self.client, 0);
        }
        wire.is_shut = true;
        wire.is_closed = true;
    }

    // ---- checks ---------------------------------------------------------------------------

    /// After each call of the connection.
    pub fn check(&mut self, stage: &Shared, settings: &Settings) {
        let stage = &mut *stage.borrow_mut();
        self.watch
            .check(&self.connection, settings, stage, self.last_byte);
        if self.connection.state() == State::Close {
            self.watch.writing_since = None;
        }
    }

    /// A deadline has passed: notes what that means for the client.
    pub fn judge_deadline(&mut self, wire: &Wire, settings: &Settings, stage: &Shared) {
        let stage = &mut *stage.borrow_mut();
        let cause = self.watch.judge_deadline(
            &self.connection,
            self.client,
            wire,
            settings,
            stage,
            self.is_queued,
        );
        if let Some(cause) = cause {
            stage.blame(self.client, cause);
        }
    }
}
