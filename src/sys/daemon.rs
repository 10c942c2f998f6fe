//! Going into the background, and how those who wait in the foreground learn what became of it.
//!
//! The process that was started stays until its grandchild serves or has failed, and ends with the
//! code that it is told. So a script that has started a daemon knows whether it runs.

use super::raw;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, umask, waitpid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Which of the processes this is.
#[derive(Debug)]
pub enum Side {
    /// The one that was started: it has only to wait.
    Foreground(Waiting),
    /// The one that will serve.
    Background(Herald),
}

/// Waits for the daemon.
#[derive(Debug)]
pub struct Waiting {
    messages: OwnedFd,
}

/// Tells who waits, once.
#[derive(Debug)]
pub struct Herald {
    messages: Option<OwnedFd>,
    /// Opened while it can be: in a jail there is none.
    null: OwnedFd,
}

/// What a daemon makes is not written by anybody else.
const UMASK: u32 = 0o022;

/// Goes into the background: a process in a session of its own that is not its leader, so that no
/// terminal that it opens can become its own, in the root directory, so that it holds no file
/// system. Standard streams stay until [`Herald::leave_terminal`]. This must be the only thread.
///
/// # Errors
/// There are too many processes or open files.
pub fn detach() -> io::Result<Side> {
    let (receiver, sender) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(child) = Pid::from_raw(raw::fork()?) {
        drop(sender);
        // It ends at once; what it could not do it says.
        while matches!(waitpid(Some(child), WaitOptions::empty()), Err(Errno::INTR)) {}
        return Ok(Side::Foreground(Waiting { messages: receiver }));
    }
    drop(receiver);
    // From here on this is not the process that was started, so an error is not its to return.
    match leave_session() {
        Ok(Some(null)) => Ok(Side::Background(Herald {
            messages: Some(sender),
            null,
        })),
        Ok(None) => std::process::exit(0),
        Err(error) => {
            let line = format!("swiftd: cannot go into the background: {error}\n");
            super::process::print_error(line.as_bytes());
            std::process::exit(1)
        }
    }
}

/// `None` in the process between.
fn leave_session() -> io::Result<Option<OwnedFd>> {
    setsid()?;
    if raw::fork()? != 0 {
        return Ok(None);
    }
    umask(Mode::from_raw_mode(UMASK));
    rustix::process::chdir("/")?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(Some(rustix::fs::open("/dev/null", flags, Mode::empty())?))
}

impl Waiting {
    /// Waits; returns the exit code that the daemon has told, 0 if it serves, or `None` if it has
    /// ended without a word.
    #[must_use]
    pub fn wait(self) -> Option<u8> {
        let mut code = [0];
        loop {
            match rustix::io::read(&self.messages, &mut code) {
                Ok(1) => return Some(code[0]),
                Err(Errno::INTR) => {}
                _ => return None,
            }
        }
    }
}

impl Herald {
    /// Lets go of the terminal. Standard error becomes `log`, if there is one: what plugins and the
    /// handler of fatal signals write there is not lost.
    ///
    /// # Errors
    /// It cannot be replaced.
    pub fn leave_terminal(&self, log: Option<&OwnedFd>) -> io::Result<()> {
        rustix::stdio::dup2_stdin(&self.null)?;
        rustix::stdio::dup2_stdout(&self.null)?;
        rustix::stdio::dup2_stderr(log.unwrap_or(&self.null).as_fd())?;
        Ok(())
    }

    /// Tells the code that the process in the foreground is to end with: 0 is that all is well.
    /// Only the first word counts.
    pub fn tell(&mut self, code: u8) {
        if let Some(messages) = self.messages.take() {
            // If nobody waits any more, nobody is to be told.
            let _ = rustix::io::write(&messages, &[code]);
        }
    }

    /// Leaves it to another process that has this too.
    pub fn leave(&mut self) {
        self.messages = None;
    }
}
