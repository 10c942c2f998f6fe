//! Who is to learn what became of the start, and by what the server is found afterwards.

use super::notice;
use crate::sys::daemon::Herald;
use crate::sys::pid_file::PidFile;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What the process that was started keeps. A worker has a copy, by which it removes nothing and
/// tells nobody.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    pub(super) pid_file: Option<PidFile>,
    /// Of a daemon.
    pub(super) herald: Option<Herald>,
    /// The error log, if it is a file: a daemon's standard error.
    pub(super) log: Option<OwnedFd>,
}

impl Announcer {
    /// Writes the number of the process by which the server is known.
    pub(super) fn write(&self, main: u32) -> io::Result<()> {
        self.pid_file
            .as_ref()
            .map_or(Ok(()), |file| file.write(main))
    }

    /// A daemon lets go of the terminal.
    pub(super) fn leave_terminal(&mut self) {
        if let Some(herald) = &self.herald
            && let Err(error) = herald.leave_terminal(self.log.as_ref())
        {
            notice(format_args!("the daemon keeps the terminal: {error}"));
        }
        self.log = None;
    }

    /// Tells who waits in the foreground the exit code; the first one counts.
    pub(super) fn tell(&mut self, code: u8) {
        if let Some(mut herald) = self.herald.take() {
            herald.tell(code);
        }
    }

    /// The root directory is another one.
    pub(super) fn enter(&mut self, jail: &Path) {
        if let Some(file) = &mut self.pid_file {
            file.enter(jail);
        }
    }

    /// This is a worker's copy from now on.
    pub(super) fn leave(&mut self) {
        if let Some(file) = &mut self.pid_file {
            file.leave();
        }
        if let Some(herald) = &mut self.herald {
            herald.leave();
        }
    }
}
