//! The error log of a process that has no loop and no threads: a supervisor, once it is in the
//! background.

use super::line::{Clock, DAEMON};
use crate::config::{Destination, Level};
use crate::sys::append::{become_stderr, open_append};
use crate::sys::clock;
use crate::sys::process;
use crate::sys::syslog::{self, Syslog};
use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where the lines of such a process go. Standard error is the error log, if that is a file.
#[derive(Debug)]
pub struct Voice {
    clock: Clock,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stderr,
    File(PathBuf),
    Syslog(Syslog),
}

impl Voice {
    /// One that speaks where the server of this process writes its errors.
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        let target = match destination {
            Destination::File(path) => Target::File(path.clone()),
            Destination::Syslog => Target::Syslog(Syslog::new(Path::new(syslog::PATH))),
            Destination::SyslogAt(path) => Target::Syslog(Syslog::new(path)),
            Destination::Off | Destination::Ring(_) | Destination::Stderr => Target::Stderr,
        };
        Self {
            clock: Clock::new(0, clock::unix_secs()),
            target,
        }
    }

    /// Writes a line about something that did not work. It waits for nobody: what is not taken at once
    /// is lost.
    pub fn error(&mut self, line: fmt::Arguments<'_>) {
        self.clock.set(0, clock::unix_secs());
        let mut out = Vec::new();
        match &mut self.target {
            Target::Syslog(log) => {
                self.clock.push_syslog(&mut out, DAEMON, Level::Error);
                out.extend_from_slice(line.to_string().as_bytes());
                let _ = log.send(&out);
                return;
            }
            Target::File(_) => self.clock.push_stamp(&mut out, Level::Error),
            Target::Stderr => out.extend_from_slice(b"swiftd: "),
        }
        out.extend_from_slice(format!("{line}\n").as_bytes());
        process::print_error(&out);
    }

    /// Opens the file anew; the old one stays if that fails, which the server tells.
    pub fn reopen(&self) {
        if let Target::File(path) = &self.target
            && let Ok(file) = open_append(path)
        {
            let _ = become_stderr(file.as_fd());
        }
    }
}
