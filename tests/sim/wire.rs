//! The network between one client and the server: two bounded pipes, and how each can end.
//!
//! Bytes that one side has sent are there at once for the other to read; that they seem to come
//! late and in pieces is made by the readers, and by edges that come later than the bytes.

use super::rng::Rng;
use super::stage::{Event, Stage};
use super::verifier::Verifier;
use std::collections::VecDeque;

/// The sockets of a client and its connection.
pub struct Wire {
    /// From the client to the server.
    pub up: VecDeque<u8>,
    up_max: usize,
    /// From the server to the client.
    pub down: VecDeque<u8>,
    down_max: usize,
    /// The client has ended its sending side.
    pub is_ended: bool,
    /// The client has reset the connection.
    pub is_reset: bool,
    /// The server has ended its sending side.
    pub is_shut: bool,
    /// The server has closed its socket.
    pub is_closed: bool,
    /// How much of the client's stream the server has received, and when the last of it.
    pub taken: usize,
    pub taken_at: u64,
    /// Since when bytes wait for the server.
    pub up_since: u64,
    /// Reads what the server sends.
    pub verifier: Verifier,
    /// The server was told that a write would block.
    is_blocked: bool,
}

/// What an attempt to receive or to send came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Bytes(usize),
    Blocked,
    /// The client has ended its side, or nothing is left of the connection.
    End,
    Gone,
}

/// An edge is seen at most this late, milliseconds.
pub const LATENCY_MAX: u64 = 40;

impl Wire {
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            up: VecDeque::new(),
            up_max: rng.size(50, 3000),
            down: VecDeque::new(),
            down_max: rng.size(50, 4000),
            is_ended: false,
            is_reset: false,
            is_shut: false,
            is_closed: false,
            taken: 0,
            taken_at: 0,
            up_since: 0,
            verifier: Verifier::default(),
            is_blocked: false,
        }
    }

    // ---- the client's side ----------------------------------------------------------------

    /// How many bytes the client can send.
    pub fn up_room(&self) -> usize {
        self.up_max - self.up.len()
    }

    /// The client sends bytes, for which there is room.
    pub fn client_send(&mut self, bytes: &[u8], client: usize, stage: &mut Stage) {
        assert!(bytes.len() <= self.up_room());
        if self.up.is_empty() {
            self.up_since = stage.now;
        }
        self.up.extend(bytes);
        self.edge(Event::Readable(client), stage);
    }

    /// The client ends its sending side.
    pub fn client_end(&mut self, client: usize, stage: &mut Stage) {
        self.is_ended = true;
        self.edge(Event::Readable(client), stage);
    }

    /// The client resets the connection: what was on its way is lost.
    pub fn client_reset(&mut self, client: usize, stage: &mut Stage) {
        self.is_reset = true;
        self.up.clear();
        self.down.clear();
        self.edge(Event::HungUp(client), stage);
    }

    /// The client reads at most `bytes_max`; tells how many.
    pub fn client_receive(&mut self, bytes_max: usize, client: usize, stage: &mut Stage) -> usize {
        let count = bytes_max.min(self.down.len());
        self.down.drain(..count);
        if count > 0 && std::mem::take(&mut self.is_blocked) {
            self.edge(Event::Writable(client), stage);
        }
        count
    }

    fn edge(&mut self, event: Event, stage: &mut Stage) {
        let delay = stage.rng.between(0, LATENCY_MAX);
        stage.after(delay, event);
    }

    // ---- the server's side ----------------------------------------------------------------

    /// The server receives into `buffer`. What has not "arrived" yet announces itself later.
    pub fn receive(&mut self, buffer: &mut [u8], client: usize, stage: &mut Stage) -> Attempt {
        if self.is_reset {
            return Attempt::Gone;
        }
        if self.up.is_empty() {
            return if self.is_ended {
                Attempt::End
            } else {
                Attempt::Blocked
            };
        }
        if stage.rng.one_in(6) {
            stage.note("read would block", client, 0);
            self.up_since = stage.now;
            self.edge(Event::Readable(client), stage);
            return Attempt::Blocked;
        }
        let bytes_max = buffer.len().min(self.up.len());
        let count = if stage.rng.one_in(3) {
            stage.note("short read", client, 0);
            stage.rng.size(1, bytes_max)
        } else {
            bytes_max
        };
        for (to, from) in buffer.iter_mut().zip(self.up.drain(..count)) {
            *to = from;
        }
        if !self.up.is_empty() {
            self.edge(Event::Readable(client), stage);
        }
        self.taken += count;
        self.taken_at = stage.now;
        self.up_since = stage.now;
        Attempt::Bytes(count)
    }

    /// The server sends; tells how much of it the kernel took.
    pub fn send(&mut self, bytes: &[u8], client: usize, stage: &mut Stage) -> Attempt {
        assert!(!self.is_shut, "sent after the end of the sending side");
        if self.is_reset {
            return Attempt::Gone;
        }
        let room = self.down_max - self.down.len();
        if room == 0 {
            stage.note("write blocked", client, 0);
            self.is_blocked = true;
            return Attempt::Blocked;
        }
        if stage.rng.one_in(8) {
            stage.note("write would block", client, 0);
            self.edge(Event::Writable(client), stage);
            return Attempt::Blocked;
        }
        let mut count = bytes.len().min(room);
        if stage.rng.one_in(3) {
            stage.note("short write", client, 0);
            count = stage.rng.size(1, count);
        }
        self.down.extend(&bytes[..count]);
        Attempt::Bytes(count)
    }
}
