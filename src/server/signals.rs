//! What signals mean: the end, at once or in good order, a rest, and orders for other files here.
//!
//! They come through the loop like everything else, so a handler may do whatever the loop does.
//! INVARIANT: `core.is_draining` says that the phase is not [`Phase::Serves`].

use super::{Server, special};
use crate::sys::signal::{Signal, Signals};

/// How often the queues of the listeners are emptied before they are closed. More than a backlog
/// need not be.
const STOP_ACCEPTS_MAX: usize = 64;

/// How far the server is on its way to the end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes and serves connections.
    Serves,
    /// It takes none, and those it has end after their response. It listens still.
    Rests,
    /// It listens no more, and is over with the last connection.
    Ends {
        /// It will not wait for the last one longer than the drain timeout.
        has_deadline: bool,
    },
}

impl Server {
    pub(super) fn handle_signals(&mut self) {
        while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
            self.handle_signal(signal);
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        let is_ending = matches!(self.phase, Phase::Ends { .. });
        match signal {
            Signal::Terminate => self.stop(),
            Signal::Interrupt => self.is_stopped = true,
            Signal::Quit => self.quit(),
            Signal::HangUp if !is_ending => {
                self.wake_up();
                self.reload();
            }
            // A terminal sends it whenever its window changes.
            Signal::WindowChange if !self.has_terminal => self.rest(),
            Signal::User1 => {
                // What went wrong is in the log, as far as there is one.
                self.reopen();
            }
            Signal::User2 => self.upgrade(),
            Signal::HangUp | Signal::WindowChange => {}
        }
    }

    /// Ends in good order, within the drain timeout; asked for a second time, at once.
    pub(super) fn stop(&mut self) {
        if self.phase == (Phase::Ends { has_deadline: true }) {
            self.is_stopped = true;
            return;
        }
        self.quit();
        self.phase = Phase::Ends { has_deadline: true };
        let drain_ms = u64::try_from(self.turn.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        let at = self.core.now.saturating_add(drain_ms);
        self.timers.insert(at, special::STOP);
    }

    /// Ends in good order: no new connections, idle ones end, others after their response. How long
    /// that may take is up to the deadlines of the connections.
    pub(super) fn quit(&mut self) {
        let has_faded = std::mem::take(&mut self.core.keeps_idle);
        let is_first = !matches!(self.phase, Phase::Ends { .. });
        if is_first {
            self.close_doors();
        }
        if is_first || has_faded {
            self.drain();
        }
    }

    /// Ends, as [`Self::quit`] does, but for idle connections: they may make one more request, for
    /// as long as they might have been idle otherwise. Their clients have been promised that, and
    /// would lose a request that they are about to make.
    pub(super) fn fade(&mut self) {
        if !matches!(self.phase, Phase::Ends { .. }) {
            self.close_doors();
            self.core.is_draining = true;
            self.core.keeps_idle = true;
        }
    }

    fn close_doors(&mut self) {
        self.abandon_heir();
        // Who has connected already is not turned away by the end of the listeners.
        self.wake_up();
        for _ in 0..STOP_ACCEPTS_MAX {
            if !self.can_accept() {
                break;
            }
            self.accept();
        }
        self.service.notifier.stopping();
        self.log.notice(format_args!(
            "stopping, with this many connections left: {}",
            self.slots.len()
        ));
        self.doors.clear();
        self.phase = Phase::Ends {
            has_deadline: false,
        };
    }

    /// Takes no connections until further notice. Who connects meanwhile waits in the backlog.
    fn rest(&mut self) {
        if self.phase == Phase::Serves {
            self.phase = Phase::Rests;
            self.drain();
        }
    }

    /// Takes connections again.
    pub(super) fn wake_up(&mut self) {
        if self.phase == Phase::Rests {
            self.phase = Phase::Serves;
            self.core.is_draining = false;
        }
    }

    /// Idle connections end, others after their response.
    fn drain(&mut self) {
        self.core.is_draining = true;
        for index in self.slots.indices() {
            if let Some(slot) = self.slots.get_mut(index) {
                // A request may have come since the last turn; it is answered before the end.
                slot.is_readable = true;
            }
            self.drive(index);
            if let Some(slot) = self.slots.get_mut(index) {
                let id = slot.id(index);
                slot.connection
                    .handle_stop(&mut self.core.context(id, &slot.socket));
                self.enqueue(index);
            }
        }
    }
}
