//! Limits of the process and of the machine; its standard error.

use super::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, getrlimit, pidfd_open, pidfd_send_signal, setrlimit,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Raises the soft limit of open descriptors to `wanted`, as far as the hard limit lets it, and
/// returns what it is then.
#[must_use]
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let new = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, new) {
        Ok(()) => raised,
        Err(_) => current,
    }
}

/// Raises the hard limit of open descriptors to `wanted`, as far as root may; the soft one is raised
/// with it when that is needed.
pub fn raise_hard_descriptor_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let new = Rlimit {
            current: limit.current,
            maximum: Some(wanted),
        };
        // Who may not, or has asked for more than the kernel has (fs.nr_open), goes on with less.
        let _ = setrlimit(Resource::Nofile, new);
    }
}

/// Makes this process one that may go wrong: it ends by itself after so many seconds, or when the
/// one that started it does, and leaves no image of its memory.
pub fn expect_the_worst(seconds: u32) {
    super::raw::alarm(seconds);
    // What fails here only makes the end less tidy.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

/// The signal by which [`expect_the_worst`] ends the process.
pub const TIMED_OUT: i32 = libc::SIGALRM;

/// Has this process and its children never get privileges that they do not have now, whatever
/// program they start.
///
/// # Errors
/// The kernel is older than Linux 3.5.
pub fn forbid_new_privileges() -> std::io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// What people call a signal that ends a process.
#[must_use]
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        libc::SIGXCPU => "SIGXCPU",
        _ => "see signal(7)",
    }
}

/// The machine's memory, bytes.
#[must_use]
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(info.mem_unit.into())
}

/// The memory that this process occupies, bytes; `None` where /proc is not to be had.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    // Nothing of this waits for a disk. The second number is that of resident pages (proc(5)).
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether a terminal is attached: one of the standard streams is one, or the process has one that
/// controls it.
#[must_use]
pub fn has_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal()
        || std::io::stdout().is_terminal()
        || std::io::stderr().is_terminal()
        || has_controlling_terminal()
}

/// Asked of /proc, because a sandbox may not leave /dev/tty.
fn has_controlling_terminal() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, in which anything may be; tty_nr is the seventh.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let terminal = fields.split_ascii_whitespace().nth(4);
    terminal.is_some_and(|number| number != "0")
}

/// Another process, held so that its number cannot come to mean one more.
#[derive(Debug)]
pub struct Held {
    pid: u32,
    descriptor: OwnedFd,
}

/// Why a signal could not be sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The process is somebody else's.
    Forbidden,
    /// It has ended.
    Gone,
}

impl Held {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn open(pid: u32) -> io::Result<Self> {
        let number = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            pid,
            descriptor: pidfd_open(number, PidfdFlags::empty())?,
        })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is somebody else's, or has ended.
    pub fn send(&self, signal: Signal) -> Result<(), SendError> {
        let number = rustix::process::Signal::from_named_raw(signal.number());
        let number = number.expect("all of them have names");
        pidfd_send_signal(&self.descriptor, number).map_err(|errno| match errno {
            Errno::PERM => SendError::Forbidden,
            _ => SendError::Gone,
        })
    }

    /// Waits for its end, for at most `patience`. Tells whether it has come.
    #[must_use]
    pub fn has_ended_within(&self, patience: Duration) -> bool {
        let start = std::time::Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            let left = left.try_into().unwrap_or(Timespec::default());
            let mut ready = [PollFd::new(&self.descriptor, PollFlags::IN)];
            match poll(&mut ready, Some(&left)) {
                Err(Errno::INTR) => {}
                result => return result.is_ok_and(|count| count > 0),
            }
        }
    }
}

/// What a pipe that is reported as writable takes without blocking (PIPE_BUF, pipe(7)).
const PIPE_BYTES: usize = 4096;

/// Writes lines to standard error as far as it takes them. A terminal that is stopped or a pipe
/// that nobody reads loses them; it does not hold the thread. Tells how many bytes were written.
pub fn print_error(lines: &[u8]) -> usize {
    let stderr = std::io::stderr();
    let mut written = 0;
    for piece in lines.chunks(PIPE_BYTES) {
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        let count = if is_ready {
            write(&stderr, piece).unwrap_or(0)
        } else {
            0
        };
        written += count;
        if count < piece.len() {
            break;
        }
    }
    written
}
