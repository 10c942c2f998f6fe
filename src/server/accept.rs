//! Accepting: until the kernel has no more, the turn's budget is used up, or there is no room.
//!
//! A listener is edge-triggered like everything else: that it may have more connections is
//! remembered here and forgotten only when accept(2) says so. When descriptors run out or the
//! connection limit is reached, accepting pauses until a connection ends or a timer fires; no new
//! edge would come.

use super::signals::Phase;
use super::{Server, Share, special};
use crate::clients::Place;
use crate::config::Level;
use crate::conn::{Connection, Why};
use crate::sys::socket;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long accepting pauses when no connection ends, milliseconds.
const PAUSE_MS: u64 = 500;

/// For how long an idle connection is not ended for another's sake: a browser that has just got a
/// page asks for its pictures within this.
const SPARED: Duration = Duration::from_secs(2);

/// How often the log says that there is no room, milliseconds.
const COMPLAINT_MS: u64 = 10_000;

impl Server {
    /// Whether a listener may have connections that could be taken now.
    pub(super) fn can_accept(&self) -> bool {
        !self.is_paused && self.phase != Phase::Rests && self.doors.iter().any(|door| door.is_ready)
    }

    /// Takes what fits into this turn.
    pub(super) fn accept(&mut self) {
        self.judge_postponed();
        if self.phase == Phase::Rests {
            return;
        }
        let mut budget = self.turn.accepts_max;
        for index in 0..self.doors.len() {
            while budget > 0 && self.doors[index].is_ready && !self.is_paused {
                if self.slots.len() >= self.turn.connections_max && !self.make_room() {
                    self.pause("the connection limit is reached");
                    return;
                }
                budget -= 1;
                let is_limited = self.core.clients.is_limited();
                match self.doors[index].take(is_limited) {
                    Ok(Some(arrival)) => self.judge(arrival),
                    Ok(None) => self.doors[index].is_ready = false,
                    Err(error) => self.handle_refused(index, &error),
                }
            }
        }
    }

    fn handle_refused(&mut self, index: usize, error: &io::Error) {
        if socket::is_exhausted(error) {
            if self.make_room() {
                return;
            }
            self.pause("accept: out of descriptors or memory");
        } else {
            // Nothing that passes by itself; the next edge will try again.
            self.doors[index].is_ready = false;
            let address = self.doors[index].listener.address();
            self.log.error(format_args!("accept on {address}: {error}"));
        }
    }

    /// A new connection: most have their request with them, so it is driven at once, and those
    /// that are answered and closed by then never cost a registration.
    pub(super) fn admit(&mut self, socket: OwnedFd) {
        let connection = Connection::new(self.core.now, &self.core.limits);
        self.begin(connection, socket, None);
    }

    /// The same for a connection that is known already, in the place that its client has.
    pub(super) fn begin(&mut self, connection: Connection, socket: OwnedFd, place: Option<Place>) {
        let deadline = connection.deadline();
        let index = self.slots.insert(connection, socket);
        if let Some(place) = place {
            self.core.clients.seat(index, place);
        }
        self.tally.accepted_count += 1;
        self.refresh_figures();
        if self.drive(index) == Share::IsOver {
            return;
        }
        let timer = self.timers.insert(deadline, index);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.timer = Some(timer);
            let deadline = slot.connection.deadline();
            self.timers.reschedule(timer, deadline);
        }
    }

    /// Ends a connection that has been idle for a while, so that idle clients do not keep others
    /// out. False if none was found.
    pub(super) fn make_room(&mut self) -> bool {
        let (now, limits) = (self.core.now, &self.core.limits);
        let found = self
            .slots
            .search(|connection| connection.has_idled(SPARED, now, limits));
        let Some(index) = found else {
            return false;
        };
        self.tally.displaced_count += 1;
        if let Some(slot) = self.slots.get_mut(index) {
            let id = slot.id(index);
            slot.connection
                .abort(Why::Done, &mut self.core.context(id, &slot.socket));
            if let Some(timer) = slot.timer {
                self.timers.cancel(timer);
            }
        }
        self.remove(index);
        true
    }

    /// Stops accepting until there is room again.
    fn pause(&mut self, why: &str) {
        self.is_paused = true;
        let resume = self.core.now + PAUSE_MS;
        let is_set = self
            .resume
            .is_some_and(|timer| self.timers.reschedule(timer, resume));
        if !is_set {
            self.resume = Some(self.timers.insert(resume, special::RESUME));
        }
        if self.core.now >= self.next_complaint {
            self.next_complaint = self.core.now + COMPLAINT_MS;
            let count = self.slots.len();
            self.log.write(
                Level::Warning,
                format_args!("{why} ({count} connections); new ones have to wait"),
            );
        }
    }
}
