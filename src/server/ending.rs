//! The end of a server: connections that are cut off, plugins, the last lines of the logs.

use super::Server;
use crate::conn::{End, Why};
use crate::sys::socket;
use std::os::fd::AsFd;

impl Drop for Server {
    /// Connections that are cut off are told to the plugins.
    fn drop(&mut self) {
        self.abandon_heir();
        for index in self.slots.indices() {
            if let Some(slot) = self.slots.get_mut(index) {
                let id = slot.id(index);
                slot.connection
                    .abort(Why::Stop, &mut self.core.context(id, &slot.socket));
                if slot.connection.end() == Some(End::Reset) {
                    socket::reset_on_close(slot.socket.as_fd());
                }
            }
            self.remove(index);
        }
        self.stop_inner();
        self.core.hooks.stop();
        for (level, line) in self.core.hooks.take_lines() {
            self.log.write(level, format_args!("{line}"));
        }
        self.log.notice(format_args!("stopped"));
        self.log.finish();
    }
}
