//! Orders that come from `swiftd -s`: who gave them is kept at the desk until there is a verdict.

use super::reload::Verdict;
use super::{Error, Server, key, special};
use crate::config::Order;
use crate::control::{CLIENTS_MAX, Desk, Heard};
use std::os::fd::AsFd;

/// How long whoever wants the logs opened anew waits for the disk, milliseconds.
const REOPEN_PATIENCE_MS: u64 = 5_000;

impl Server {
    /// Takes orders there from now on.
    ///
    /// # Errors
    /// The poll does not take it.
    pub fn set_desk(&mut self, desk: Desk) -> Result<(), Error> {
        let watched = self.poll.add_readable(desk.as_fd(), key::DESK);
        watched.map_err(|error| Error::System("cannot watch for orders", error))?;
        self.desk = Some(desk);
        Ok(())
    }

    /// Somebody wants to give an order, or has something to say.
    pub(super) fn handle_desk(&mut self, key: usize) {
        let now = self.core.now;
        let Some(desk) = &mut self.desk else {
            return;
        };
        if key == key::DESK {
            while let Some((index, socket)) = desk.accept(now) {
                // One that cannot be watched is forgotten by its deadline.
                let _ = self.poll.add(socket, key::CLIENTS + index);
            }
        } else {
            let index = key - key::CLIENTS;
            if let Heard::Order(order) = desk.handle_ready(index, now) {
                self.obey(index, order);
            }
        }
        self.tend_desk();
    }

    /// Forgets who is too slow, and comes back for whoever is left.
    fn tend_desk(&mut self) {
        if let Some(desk) = &mut self.desk
            && let Some(due) = desk.expire(self.core.now)
        {
            self.timers.insert(due, special::DESK);
        }
    }

    fn obey(&mut self, index: usize, order: Order) {
        match order {
            Order::Reload => {
                self.wake_up();
                self.reload();
            }
            Order::Upgrade => self.upgrade(),
            Order::Reopen => {
                self.begin_order(Order::Reopen);
                self.reopen();
            }
            Order::Log => {
                let text = self.log.ring_text();
                if text.is_empty() {
                    let why = "no log is kept in memory, or nothing is in it yet (access = \"ram:64K\" or error = \"ram:64K\" in [log])";
                    self.answer(index, &Err(why.into()));
                } else if let Some(desk) = &mut self.desk {
                    desk.answer_bytes(index, &text, self.core.now);
                }
            }
            // The supervisor has to know of the end, and it hears only signals.
            Order::Stop | Order::Quit => {
                let why = format!("{} is said by a signal", order.name());
                self.answer(index, &Err(why));
            }
        }
    }

    /// Opens the logs anew, which may wait for a disk. What cannot be opened is told by the log itself,
    /// and to whoever has given the order.
    pub(super) fn reopen(&mut self) {
        self.log.reopen();
        if self.reopen_timer.is_none() {
            let at = self.core.now.saturating_add(REOPEN_PATIENCE_MS);
            self.reopen_timer = Some(self.timers.insert(at, special::REOPEN));
        }
        self.tend_reopen();
    }

    /// Tells what came of it, if that is known.
    pub(super) fn tend_reopen(&mut self) {
        let Some(result) = self.log.take_reopened() else {
            return;
        };
        if let Some(timer) = self.reopen_timer.take() {
            self.timers.cancel(timer);
        }
        if result.is_ok() && self.reloading.current().plugins.is_supervised {
            self.service.notifier.reopened();
        }
        let verdict = result.map(|()| "the logs are opened anew".to_owned());
        self.conclude_order(Order::Reopen, &verdict);
    }

    /// It takes too long. The lines wait in memory, and what comes of it is told to nobody.
    pub(super) fn handle_reopen_late(&mut self) {
        self.reopen_timer = None;
        let why = format!(
            "the disk does not answer: after {} s a log is not opened anew yet; its lines are kept as far as there is room",
            REOPEN_PATIENCE_MS / 1_000
        );
        self.conclude_order(Order::Reopen, &Err(why));
    }

    fn answer(&mut self, index: usize, verdict: &Verdict) {
        if let Some(desk) = &mut self.desk {
            desk.answer(index, verdict, self.core.now);
        }
    }

    /// Work on an order begins: whoever has given it before waits for what comes of it.
    pub(super) fn begin_order(&mut self, order: Order) {
        if let Some(desk) = &mut self.desk {
            desk.begin(order);
        }
    }

    /// Tells them.
    pub(super) fn conclude_order(&mut self, order: Order, verdict: &Verdict) {
        if let Some(desk) = &mut self.desk {
            desk.conclude(order, verdict, self.core.now);
        }
    }
}

const _: () = assert!(key::CLIENTS + CLIENTS_MAX <= key::DOORS);
