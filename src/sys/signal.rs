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
    /// SIGUSR1
    User1,
    /// SIGUSR2
    User2,
    /// SIGWINCH
    WindowChange,
}

/// Their numbers.
const SIGNALS: [(i32, Signal); 7] = [
    (libc::SIGTERM, Signal::Terminate),
    (libc::SIGINT, Signal::Interrupt),
    (libc::SIGQUIT, Signal::Quit),
    (libc::SIGHUP, Signal::HangUp),
    (libc::SIGUSR1, Signal::User1),
    (libc::SIGUSR2, Signal::User2),
    (libc::SIGWINCH, Signal::WindowChange),
];

/// The signals that are pending.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    /// Whose signals count; `None` for anybody's.
    sender: Option<u32>,
}

impl Signals {
    /// Takes the signals over for this thread and all that it will start; to be called before the
    /// first thread is.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: super::raw::signalfd(&SIGNALS.map(|(number, _)| number))?,
            sender: None,
        })
    }

    /// The same for a supervised worker: only what the process `sender` passes on counts. Ctrl-C
    /// and a service manager reach all processes of a group, and a worker that heard both them and
    /// its supervisor would take the echo for the second signal, which does not wait for anybody.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn from_sender(sender: u32) -> io::Result<Self> {
        Ok(Self {
            sender: Some(sender),
            ..Self::new()?
        })
    }

    /// The next pending signal.
    #[must_use]
    pub fn next(&self) -> Option<Signal> {
        loop {
            // struct signalfd_siginfo: 128 bytes, of which the first words are the signal's number,
            // an errno, a code, and the sender.
            let mut info = [0_u8; 128];
            let bytes = rustix::io::read(&self.descriptor, &mut info).ok()?;
            let word = |at: usize| {
                info[at..]
                    .first_chunk::<4>()
                    .filter(|_| bytes == info.len())
            };
            let number = i32::from_ne_bytes(*word(0)?);
            let sender = u32::from_ne_bytes(*word(12)?);
            if self.sender.is_none_or(|wanted| wanted == sender) {
                return Signal::from_number(number);
            }
        }
    }
}

impl Signal {
    fn from_number(number: i32) -> Option<Self> {
        let mut known = SIGNALS.iter();
        known.find(|(this, _)| *this == number).map(|row| row.1)
    }

    /// Its number.
    pub(super) fn number(self) -> i32 {
        let mut known = SIGNALS.iter();
        let row = known.find(|(_, signal)| *signal == self);
        row.expect("every signal has a row").0
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
