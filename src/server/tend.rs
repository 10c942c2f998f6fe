//! The plugins' part of a turn: what is due, who is resumed, what is to be logged.

use super::Server;

impl Server {
    /// Does what plugins have due. Costs one call where there are none.
    pub(super) fn tend(&mut self) {
        let Some(due) = self.core.hooks.due() else {
            return;
        };
        if due <= self.core.now {
            self.core.hooks.advance(self.core.now);
        }
        for id in self.core.hooks.take_wakes() {
            if let Some(slot) = self.slots.find_mut(id) {
                let cx = &mut self.core.context(id, &slot.socket);
                slot.connection.handle_resume(cx);
                self.enqueue(id.slot);
            } else {
                self.wake_inner(id, true);
            }
        }
        for id in self.core.hooks.take_overdue() {
            if let Some(slot) = self.slots.find_mut(id) {
                let cx = &mut self.core.context(id, &slot.socket);
                slot.connection.handle_drain(cx);
                self.enqueue(id.slot);
            } else {
                self.drain_inner(id);
            }
        }
        self.tend_inner();
        for (level, line) in self.core.hooks.take_lines() {
            self.log.write(level, format_args!("{line}"));
        }
    }
}
