//! `swiftd -s ORDER`, and the process that a pid file names.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    unreachable_pub,
    reason = "what others may use is told apart from helpers"
)]

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// What became of an order.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    /// Standard error without `swiftd: ` and the last line feed.
    pub said: String,
    pub output: Vec<u8>,
}

/// Gives the server of a pid file an order.
pub fn order(order: &str, pid_file: &Path) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftd"));
    command.args(["-s", order, "--pid-file"]).arg(pid_file);
    run(command)
}

/// Runs a command that gives an order.
pub fn run(mut command: Command) -> Outcome {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    let said = said.strip_prefix("swiftd: ").unwrap_or(&said);
    Outcome {
        code: status.code(),
        said: said.trim_end().to_owned(),
        output: stdout,
    }
}

/// The number in a pid file.
pub fn pid_in(pid_file: &Path) -> u32 {
    let text = fs::read_to_string(pid_file).unwrap();
    text.trim().parse().expect("a number")
}

/// A process, held so that no other one can be meant. It does not outlive its test.
pub struct Process {
    pub pid: u32,
    handle: OwnedFd,
}

impl Process {
    /// The one of a pid file.
    pub fn of(pid_file: &Path) -> Self {
        let pid = pid_in(pid_file);
        let number = Pid::from_raw(pid.cast_signed()).unwrap();
        let handle = pidfd_open(number, PidfdFlags::empty()).unwrap();
        Self { pid, handle }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.handle, signal).unwrap();
    }

    /// Waits until it is dead; it need not be waited for yet.
    pub fn wait(&self) {
        assert!(self.has_ended(Duration::from_secs(60)), "it lives on");
    }

    /// Whether it is dead.
    pub fn has_ended(&self, patience: Duration) -> bool {
        let mut ready = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut ready, Some(&patience.try_into().unwrap())).unwrap() == 1
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended long ago, unless its test has failed.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}
