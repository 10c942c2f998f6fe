//! What the operator sets about logs.

use super::settings::amount;
use std::path::PathBuf;

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    #[default]
    Off,
    /// Standard error.
    Stderr,
    /// A file, which is appended to.
    File(PathBuf),
    /// The system's log, through /dev/log.
    Syslog,
    /// The system's log, through the socket at this path.
    SyslogAt(PathBuf),
    /// Memory: the last so many bytes.
    Ring(usize),
}

/// What an error line is worth; the names and the order are those of syslog(3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something did not work.
    Error,
    /// Something may not work soon.
    Warning,
    /// Something that an operator wants to know: starts, stops, reloads.
    Notice,
    /// What normally happens.
    Info,
    /// What helps to find a fault.
    Debug,
}

/// How a request is written down.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Common Log Format.
    Common,
    /// That with Referer and User-Agent.
    #[default]
    Combined,
    /// That with host and port before it.
    Vcombined,
    /// An object of JSON a line.
    Json,
}

/// A log of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub destination: Destination,
    /// How.
    pub format: Format,
}

/// The log of everything else, and the bounds of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Where it goes.
    pub error: Destination,
    /// What is not worth less is written.
    pub level: Level,
    /// Lines that wait for the disk thread, bytes a log; what is more is counted and dropped.
    pub buffer_bytes_max: usize,
}

impl Destination {
    /// What it is called in the configuration and in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Off => "off".into(),
            Self::Stderr => "stderr".into(),
            Self::File(path) => path.display().to_string(),
            Self::Syslog => "syslog".into(),
            Self::SyslogAt(path) => format!("syslog:{}", path.display()),
            Self::Ring(bytes) => format!("ram:{}", amount(*bytes as u64)),
        }
    }
}

impl Level {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            error: Destination::Stderr,
            level: Level::Notice,
            // Some hundred requests: what a busy small box has in the time that flash takes to erase
            // a block.
            buffer_bytes_max: 64 * 1024,
        }
    }
}
