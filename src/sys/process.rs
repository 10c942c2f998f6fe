//! Limits of the process and of the machine; its standard error.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::write;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

/// The machine's memory, bytes.
#[must_use]
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(info.mem_unit.into())
}

/// What a pipe that is reported as writable takes without blocking (PIPE_BUF, pipe(7)).
const PIPE_BYTES: usize = 4096;

/// Writes lines to standard error as far as it takes them. A terminal that is stopped or a pipe
/// that nobody reads loses them; it does not hold the thread.
pub fn print_error(lines: &[u8]) {
    let stderr = std::io::stderr();
    for piece in lines.chunks(PIPE_BYTES) {
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        if !is_ready || write(&stderr, piece).is_err() {
            return;
        }
    }
}
