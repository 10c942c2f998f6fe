//! Signals as a descriptor, so that they come through the loop like everything else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A signal that the server understands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
    /// SIGQUIT
    Quit,
    /// SIGHUP
    HangUp,
}

/// The signals that are pending.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Takes the signals over for this thread and all that it will start; to be called before the
    /// first thread is.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        super::raw::signalfd(&[libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP]).map(Self)
    }

    /// The next pending signal.
    #[must_use]
    pub fn next(&self) -> Option<Signal> {
        // struct signalfd_siginfo: 128 bytes, the number in the first four.
        let mut info = [0_u8; 128];
        let bytes = rustix::io::read(&self.0, &mut info).ok()?;
        let number = info.first_chunk::<4>().filter(|_| bytes == info.len())?;
        match i32::from_ne_bytes(*number) {
            libc::SIGTERM => Some(Signal::Terminate),
            libc::SIGINT => Some(Signal::Interrupt),
            libc::SIGQUIT => Some(Signal::Quit),
            libc::SIGHUP => Some(Signal::HangUp),
            _ => None,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
