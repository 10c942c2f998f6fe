//! Being driven by somebody else: connections that no listener has accepted, one turn at a time.

use super::Server;
use std::io;
use std::os::fd::OwnedFd;

impl Server {
    /// Takes a connected socket that does not block, as if a listener had accepted it.
    pub fn adopt(&mut self, socket: OwnedFd) {
        self.core.set_clock();
        self.admit(socket);
    }

    /// One turn: waits until something is to be done, and does it.
    ///
    /// # Errors
    /// The kernel refuses to wait, which it does only if this program is wrong.
    pub fn step(&mut self) -> io::Result<()> {
        self.turn()
    }

    /// How many connections there are.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.slots.len()
    }
}
