//! The bounds that a connection keeps: defaults and reasons. All can be set by the operator.

use super::deadline::Wait;
use super::request_body;
use crate::http::parse;
use std::time::Duration;

/// The bounds of every connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bounds on a head.
    pub head: parse::Bounds,
    /// Bounds on a request's body.
    pub body: request_body::Bounds,
    /// Requests on one connection; then it is closed in good order.
    pub requests_max: u32,
    /// Bytes of ready responses that a connection holds before it stops answering pipelined
    /// requests.
    pub output_bytes_max: usize,
    /// What a closing connection drains before it is cut off, bytes.
    pub linger_bytes_max: u32,
    /// From the first byte of a head to its end.
    pub head_timeout: Duration,
    /// A window in which a body must make progress.
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// A window in which a client must take a part of its response.
    pub write_timeout: Duration,
    /// A window in which a client that was refused must go on sending, or end its side.
    pub linger_timeout: Duration,
    /// For a disk that does not answer.
    pub disk_timeout: Duration,
    /// For a suspended hook.
    pub hook_timeout: Duration,
    /// For a suspended hook of a client that has shut its sending side: it may still read, but most
    /// often it has gone, and TCP does not tell before something is sent.
    pub half_close_timeout: Duration,
    /// The slowest average rate at which a body may come and a response may be taken,
    /// bytes per second.
    pub rate_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: parse::Bounds {
                // Browsers send 1 to 4 KiB, single sign-on cookies up to 12; uhttpd and node
                // draw the line at 16 as well.
                head_bytes_max: 16 * 1024,
                target_bytes_max: 8 * 1024,
                fields_max: 100,
            },
            body: request_body::Bounds {
                body_bytes_max: 1024 * 1024,
                memory_bytes_max: 64 * 1024,
                trailer_bytes_max: 4 * 1024,
            },
            requests_max: 100_000,
            // Sixteen answers of 4 KiB: more than a batch of pipelined requests needs.
            output_bytes_max: 64 * 1024,
            // A client that does not read while it sends must be let finish, or it never sees
            // why it was refused.
            linger_bytes_max: 64 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(20),
            linger_timeout: Duration::from_secs(3),
            disk_timeout: Duration::from_secs(30),
            hook_timeout: Duration::from_secs(30),
            // Whoever shuts its side on purpose, such as `nc -N`, has most answers by then.
            half_close_timeout: Duration::from_secs(5),
            // Far below any real link, far above a client that only holds on.
            rate_min: 128,
        }
    }
}

/// What a refused client must send in a window of `linger_timeout` to be let finish: an upload that
/// really goes on does, one that only holds on does not.
const LINGER_WINDOW_BYTES: u64 = 64 * 1024;

impl Limits {
    /// How long one wait may last.
    #[must_use]
    pub fn timeout(&self, wait: Wait) -> Duration {
        match wait {
            Wait::Idle => self.idle_timeout,
            Wait::Head => self.head_timeout,
            Wait::Body => self.body_timeout,
            Wait::Write => self.write_timeout,
            Wait::Disk => self.disk_timeout,
            Wait::Hook => self.hook_timeout,
            Wait::Linger => self.linger_timeout,
        }
    }

    /// How many bytes must move in one window of a wait; a wait that is no window has none that
    /// would do.
    #[must_use]
    pub fn window_bytes(&self, wait: Wait) -> u64 {
        match wait {
            Wait::Body | Wait::Write => {
                // What a window counts to is the most that it can ask for.
                let bytes = self.timeout(wait).as_secs() * u64::from(self.rate_min);
                bytes.clamp(1, u32::MAX.into())
            }
            Wait::Linger => LINGER_WINDOW_BYTES,
            _ => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Deadline;

    #[test]
    fn a_rate_beyond_what_is_counted_can_still_be_kept() {
        let limits = Limits {
            rate_min: u32::MAX,
            ..Limits::default()
        };
        let mut deadline = Deadline::new(Wait::Write, 0, &limits);
        let due = deadline.due();
        for _ in 0..2 {
            deadline.handle_moved(1 << 31, 1_000, &limits);
        }
        assert_eq!(deadline.due(), due + 1_000);
    }
}
