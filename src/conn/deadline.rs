//! Which timeout is due while a connection waits.
//!
//! One deadline at a time. A wait that depends on the peer's speed (a body, a response) is a
//! window: within each window a minimum of bytes must move, so that a peer that sends or reads one
//! byte a minute is as slow as one that does nothing.

use super::Limits;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a connection waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wait {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The peer, to take a response.
    Write,
    /// The disk.
    Disk,
    /// A suspended hook.
    Hook,
    /// The peer, to end its side.
    Linger,
}

/// The deadline of the current wait.
#[derive(Copy, Clone, Debug)]
pub struct Deadline {
    /// Milliseconds on the loop's clock.
    due: u64,
    /// Bytes moved in the current window.
    moved: u32,
    /// What was left of a write window, milliseconds, when the disk had to be waited for.
    write_left: Option<NonZeroU32>,
    wait: Wait,
}

impl Deadline {
    /// A wait that begins now.
    #[must_use]
    pub fn new(wait: Wait, now: u64, limits: &Limits) -> Self {
        Self {
            due: now.saturating_add(millis(limits.timeout(wait))),
            moved: 0,
            write_left: None,
            wait,
        }
    }

    /// A hook's own bound on its wait that begins now.
    #[must_use]
    pub fn of_hook(now: u64, wait_ms: u32) -> Self {
        Self {
            due: now.saturating_add(wait_ms.into()),
            moved: 0,
            write_left: None,
            wait: Wait::Hook,
        }
    }

    /// Another wait begins now. A write window is only interrupted by a wait for the disk: what a
    /// client has not taken before, it owes after.
    #[must_use]
    pub fn followed_by(self, wait: Wait, now: u64, limits: &Limits) -> Self {
        let mut next = Self::new(wait, now, limits);
        match (self.wait, wait) {
            (Wait::Write, Wait::Disk) => {
                let left = u32::try_from(self.due.saturating_sub(now)).unwrap_or(u32::MAX);
                next.write_left = NonZeroU32::new(left.max(1));
                next.moved = self.moved;
            }
            (Wait::Disk, Wait::Write) => {
                if let Some(left) = self.write_left {
                    next.due = now.saturating_add(left.get().into());
                    next.moved = self.moved;
                }
            }
            _ => {}
        }
        next
    }

    /// The same, but not after `latest`; and whether that is earlier.
    #[must_use]
    pub fn not_after(self, latest: u64) -> (Self, bool) {
        let due = self.due.min(latest);
        (Self { due, ..self }, due < self.due)
    }

    /// Whether the wait has lasted too long. A write window that ran out counts although the next
    /// part of the file is being brought into memory.
    #[must_use]
    pub fn is_missed(self, now: u64) -> bool {
        let is_spent = self.write_left == Some(NonZeroU32::MIN);
        self.due <= now || (self.wait == Wait::Disk && is_spent)
    }

    /// When the deadline is due, milliseconds.
    #[must_use]
    pub fn due(self) -> u64 {
        self.due
    }

    /// What is waited for.
    #[must_use]
    pub fn wait(self) -> Wait {
        self.wait
    }

    /// Notes that `bytes` moved; a window in which enough moved is followed by a new one.
    pub fn handle_moved(&mut self, bytes: usize, now: u64, limits: &Limits) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.moved = self.moved.saturating_add(bytes);
        if u64::from(self.moved) >= limits.window_bytes(self.wait) {
            *self = Self::new(self.wait, now, limits);
        }
    }
}

/// Whole milliseconds of a duration.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
