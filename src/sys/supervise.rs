//! A process and the child that does its work: forking, waiting, passing signals on.

use super::raw;
use super::signal::{Signal, Signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What a parent listens to: the signals of the operator and the death of its child.
#[derive(Debug)]
pub struct Watch {
    signals: Signals,
    deaths: OwnedFd,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// The one that was there before.
    Parent(Child),
    /// The new one. It dies with its parent, and hears only the signals that the parent passes on.
    Child(Signals),
}

/// A child.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Whether it has been waited for. From then on the number may be somebody else's.
    is_reaped: bool,
}

/// How a process ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit status.
    Exited(i32),
    /// By a signal.
    Killed(i32),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Killed(signal) => match signal_name(signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

impl Watch {
    /// Takes the signals over; to be called before the first thread is started.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        // Whoever started this program may ignore the deaths of children; then none could be
        // waited for.
        raw::reset_action(libc::SIGCHLD)?;
        Ok(Self {
            signals: Signals::new()?,
            deaths: raw::signalfd(&[libc::SIGCHLD])?,
        })
    }

    /// Waits until there is a signal, a child has died or `other` is readable, for at most
    /// `timeout`.
    ///
    /// # Errors
    /// The kernel refused, which it does only for arguments that are wrong.
    pub fn wait(&self, other: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut ready = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.deaths, PollFlags::IN),
            PollFd::new(&other, PollFlags::IN),
        ];
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Whose death it was is asked of the child itself.
        while rustix::io::read(&self.deaths, &mut [0; 128]).is_ok() {}
        Ok(())
    }

    /// The next signal of the operator.
    #[must_use]
    pub fn next_signal(&self) -> Option<Signal> {
        self.signals.next()
    }
}

/// Makes a child. This must be the only thread.
///
/// # Errors
/// There are too many processes, or too little memory.
pub fn fork() -> io::Result<Side> {
    let parent = getpid();
    if let Some(pid) = Pid::from_raw(raw::fork()?) {
        return Ok(Side::Parent(Child {
            pid,
            is_reaped: false,
        }));
    }
    match begin(parent) {
        Ok(signals) => Ok(Side::Child(signals)),
        // The child must not go on as if it were the parent.
        Err(error) => {
            super::process::print_error(format!("swiftd: a worker: {error}\n").as_bytes());
            std::process::exit(1)
        }
    }
}

/// What a child does first.
fn begin(parent: Pid) -> io::Result<Signals> {
    // Not SIGTERM: a plugin that hangs would keep the worker, and with it the listeners.
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if getppid() != Some(parent) {
        return Err(io::Error::other("the supervisor has gone"));
    }
    raw::unblock(&[libc::SIGCHLD])?;
    Signals::from_sender(parent.as_raw_nonzero().get().unsigned_abs())
}

impl Child {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: Signal) {
        let number = rustix::process::Signal::from_named_raw(signal.number());
        self.send(number.expect("all of them have names"));
    }

    /// Ends it at once, whatever it does.
    pub fn kill(&self) {
        self.send(rustix::process::Signal::KILL);
    }

    fn send(&self, signal: rustix::process::Signal) {
        if !self.is_reaped {
            // It is there, perhaps dead, and it is ours.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// How it ended; `None` if it has not, or if that was told before.
    ///
    /// # Errors
    /// It is not a child of this process.
    pub fn try_wait(&mut self) -> io::Result<Option<End>> {
        if self.is_reaped {
            return Ok(None);
        }
        let status = loop {
            match waitpid(Some(self.pid), WaitOptions::NOHANG) {
                Ok(None) => return Ok(None),
                Ok(Some((_, status))) => break status,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        self.is_reaped = true;
        Ok(Some(match status.terminating_signal() {
            Some(signal) => End::Killed(signal),
            None => End::Exited(status.exit_status().unwrap_or(-1)),
        }))
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        for (end, wanted) in [
            (End::Exited(1), "ended with status 1"),
            (End::Killed(libc::SIGSEGV), "killed by signal 11 (SIGSEGV)"),
            (End::Killed(63), "killed by signal 63"),
        ] {
            assert_eq!(end.to_string(), wanted);
        }
    }

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receiver.recv());
        assert!(fork().is_err());
        drop(sender);
        assert!(thread.join().unwrap().is_err());
    }
}
