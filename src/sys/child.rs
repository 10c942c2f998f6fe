//! Child processes: started without a shell, watched through a descriptor, killed as a group.
//!
//! Everything that the server has open closes on exec. The signals that the server takes through a
//! descriptor are blocked in all its threads, and a child would inherit that: it is undone.

#![allow(unsafe_code)]

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

/// A process that is to be started.
#[derive(Debug)]
pub struct Spawn {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The environment, `NAME=value`.
    pub envp: Vec<OsString>,
    /// Where, or the server's own directory.
    pub dir: Option<OsString>,
    /// Standard input, output and error.
    pub standard: [Stream; 3],
}

/// One of the three standard streams.
#[derive(Debug)]
pub enum Stream {
    /// A new pipe.
    Pipe,
    /// `/dev/null`.
    Null,
    /// This.
    Given(OwnedFd),
}

/// The other ends of the new pipes; reading and writing them does not block.
pub type Pipes = [Option<OwnedFd>; 3];

/// A process that was started and has not been reaped.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    pidfd: OwnedFd,
}

impl Child {
    /// Starts it, as the leader of a process group of its own.
    ///
    /// # Errors
    /// There is no such program, or no room for one more process or descriptor.
    pub fn start(process: Spawn) -> io::Result<(Self, Pipes)> {
        let Some((program, arguments)) = process.argv.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().process_group(0);
        for variable in &process.envp {
            let bytes = variable.as_bytes();
            if let Some(at) = bytes.iter().position(|&byte| byte == b'=') {
                let (name, value) = (&bytes[..at], &bytes[at + 1..]);
                command.env(
                    std::ffi::OsStr::from_bytes(name),
                    std::ffi::OsStr::from_bytes(value),
                );
            }
        }
        if let Some(dir) = &process.dir {
            command.current_dir(dir);
        }
        // SAFETY: between fork and exec only one system call is made, on memory of its own.
        unsafe { command.pre_exec(super::raw::unblock_all) };
        let mut pipes = [None, None, None];
        for (index, stream) in process.standard.into_iter().enumerate() {
            let stdio = match stream {
                Stream::Null => Stdio::null(),
                Stream::Given(file) => file.into(),
                Stream::Pipe => {
                    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
                    let (its, ours) = if index == 0 {
                        (reader, writer)
                    } else {
                        (writer, reader)
                    };
                    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
                    pipes[index] = Some(ours);
                    its.into()
                }
            };
            match index {
                0 => command.stdin(stdio),
                1 => command.stdout(stdio),
                _ => command.stderr(stdio),
            };
        }
        let mut child = command.spawn()?;
        // Not reaped, so the number cannot be another process's. Linux 5.3 has the call.
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok((Self { child, pidfd }, pipes)),
            Err(errno) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(errno.into())
            }
        }
    }

    /// Reaps it if it has ended: its exit code, or 256 plus the signal that killed it.
    #[must_use]
    pub fn status(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok()??;
        let signal = status.signal().map(|signal| 256 + signal);
        Some(status.code().or(signal).unwrap_or(256))
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// There is no such signal, or the group has gone.
    pub fn kill(&self, signal: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(kill_process_group(Pid::from_child(&self.child), signal)?)
    }

    /// Kills its process group.
    pub fn end(&self) {
        // It fails only when nobody is left.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }
}

/// Starts a command that keeps descriptors, under their numbers, and has no signals blocked.
///
/// # Errors
/// It cannot be started.
pub fn start_keeping(
    command: &mut Command,
    kept: &[BorrowedFd<'_>],
) -> io::Result<std::process::Child> {
    let kept: Vec<i32> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    let prepare = move || {
        super::raw::unblock_all()?;
        kept.iter()
            .try_for_each(|&number| super::raw::keep_across_exec(number))
    };
    // SAFETY: between fork and exec only system calls are made, on memory of its own.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Runs a command that ends by itself, and returns how, with what it wrote to its standard error as
/// far as a pipe holds it. What it leaves behind is killed and not waited for, although it may hold
/// that pipe open.
///
/// # Errors
/// It cannot be started.
pub fn run(command: &mut Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.stderr(Stdio::piped()).process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    // Not reaped yet, so the number is not another group's.
    waitid(
        WaitId::Pid(group),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        fcntl_setfl(&stderr, fcntl_getfl(&stderr)? | OFlags::NONBLOCK)?;
        match stderr.read_to_end(&mut said) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok((status, said))
}

impl AsFd for Child {
    /// Becomes readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn sh(script: &str, standard: [Stream; 3]) -> (Child, Pipes) {
        Child::start(Spawn {
            argv: ["/bin/sh", "-c", script].map(OsString::from).into(),
            envp: vec!["WORD=x=y".into()],
            dir: Some("/".into()),
            standard,
        })
        .unwrap()
    }

    fn ended(mut child: Child) -> i32 {
        poll(&mut [PollFd::new(&child, PollFlags::IN)], None).unwrap();
        child.status().unwrap()
    }

    #[test]
    fn output_comes_through_a_pipe_and_the_code_through_the_descriptor() {
        let (child, [_, output, _]) = sh(
            "echo $WORD; pwd; exit 3",
            [Stream::Null, Stream::Pipe, Stream::Null],
        );
        let output = output.unwrap();
        assert_eq!(ended(child), 3);
        let mut text = String::new();
        std::fs::File::from(output)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "x=y\n/\n");
    }

    #[test]
    fn no_signal_is_blocked_in_a_child() {
        let _blocked = super::super::raw::signalfd(&[libc::SIGTERM]).unwrap();
        let (child, [_, output, _]) = sh(
            "grep SigBlk /proc/self/status",
            [Stream::Null, Stream::Pipe, Stream::Null],
        );
        assert_eq!(ended(child), 0);
        let mut text = String::new();
        let mut output = std::fs::File::from(output.unwrap());
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "SigBlk:\t0000000000000000\n");
    }

    #[test]
    fn the_whole_group_is_killed() {
        let (child, [_, output, _]) = sh(
            "sleep 1000 & echo started; wait",
            [Stream::Null, Stream::Pipe, Stream::Null],
        );
        let output = output.unwrap();
        poll(&mut [PollFd::new(&output, PollFlags::IN)], None).unwrap();
        child.end();
        assert_eq!(ended(child), 256 + 9);
        // The pipe ends only when the last one who could write is gone.
        let mut file = std::fs::File::from(output);
        let mut bytes = [0; 64];
        let mut text = Vec::new();
        loop {
            poll(&mut [PollFd::new(&file, PollFlags::IN)], None).unwrap();
            match file.read(&mut bytes).unwrap() {
                0 => break,
                count => text.extend_from_slice(&bytes[..count]),
            }
        }
        assert_eq!(text, b"started\n");
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        let process = Spawn {
            argv: vec!["/nonexistent".into()],
            envp: Vec::new(),
            dir: None,
            standard: [Stream::Null, Stream::Null, Stream::Null],
        };
        assert!(Child::start(process).is_err());
    }
}
