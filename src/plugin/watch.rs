//! When to look at the list of plugins: a state machine with the time as argument.
//!
//! It is told what was heard of the file's directory ([`crate::sys::watch`]) and what the path stands
//! for now and then, and tells what is due. It knows no file and no clock; times are milliseconds
//! that never go back. Doing what is due is the caller's, on a helper thread.
//!
//! INVARIANT: whatever was told is followed by a look that is due within [`DELAY_MAX_MS`] of it.

use crate::sys::file::Meta;

/// A look waits until nothing was heard for so long: bursts of one save end within 4 ms, but
/// `install` changes the mode after it has written.
pub const QUIET_MS: u64 = 100;

/// But not longer than this after the first event, for the case that they never end.
pub const DELAY_MAX_MS: u64 = 1000;

/// How often the path is asked what it stands for: a link above the directory that is made to point
/// elsewhere gives no event.
pub const IDENTIFY_EVERY_MS: u64 = 5000;

/// How often a directory that is not there is tried again.
pub const REWATCH_EVERY_MS: u64 = 1000;

/// Puts off a look until events have ended.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Debounce {
    due: Option<u64>,
    /// Until when a look may be put off; means nothing while none is due.
    latest: u64,
}

impl Debounce {
    /// Something was heard.
    pub fn handle_event(&mut self, now: u64) {
        if self.due.is_none() {
            self.latest = now.saturating_add(DELAY_MAX_MS);
        }
        self.due = Some(now.saturating_add(QUIET_MS).min(self.latest));
    }

    /// A look is wanted at once.
    pub fn force(&mut self, now: u64) {
        self.latest = now;
        self.due = Some(now);
    }

    /// When to look.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Whether a look is due now; it is then no longer.
    #[must_use]
    pub fn take_due(&mut self, now: u64) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
        }
        is_due
    }
}

/// What is to be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Read the list and look at the libraries.
    Look,
    /// Ask what the path stands for ([`crate::sys::small_file::identify`]) and tell it to
    /// [`Schedule::handle_identity`].
    Identify,
    /// Watch the directory anew, and tell [`Schedule::handle_rewatched`] if that succeeded.
    Rewatch,
}

/// All times of a watched list: looks, the question what its path stands for, and the attempts to
/// watch a directory that has gone.
#[derive(Clone, Debug)]
pub struct Schedule {
    looks: Debounce,
    identify_at: u64,
    /// While the directory is not watched.
    rewatch_at: Option<u64>,
    /// What the path stood for when it was asked last; `None` before that.
    identity: Option<Option<Meta>>,
}

impl Schedule {
    /// A list whose directory is watched already, or is not.
    #[must_use]
    pub fn new(now: u64, is_watching: bool) -> Self {
        Self {
            looks: Debounce::default(),
            identify_at: now.saturating_add(IDENTIFY_EVERY_MS),
            rewatch_at: (!is_watching).then(|| now.saturating_add(REWATCH_EVERY_MS)),
            identity: None,
        }
    }

    /// Something was heard of the file.
    pub fn handle_event(&mut self, now: u64) {
        self.looks.handle_event(now);
    }

    /// The directory has gone.
    pub fn handle_gone(&mut self, now: u64) {
        self.looks.handle_event(now);
        self.rewatch_at = Some(now.saturating_add(REWATCH_EVERY_MS));
    }

    /// The directory is watched again. Nobody has heard what came before.
    pub fn handle_rewatched(&mut self, now: u64) {
        self.looks.handle_event(now);
        self.rewatch_at = None;
    }

    /// What the path stands for. If that is something else than before, the answer is true: then
    /// the directory may be another one too, and is to be watched anew.
    pub fn handle_identity(&mut self, now: u64, identity: Option<Meta>) -> bool {
        let before = self.identity.replace(identity);
        let has_changed = before.is_some_and(|before| before != identity);
        if has_changed {
            self.looks.handle_event(now);
        }
        has_changed
    }

    /// A look is wanted at once, as by SIGHUP.
    pub fn force(&mut self, now: u64) {
        self.looks.force(now);
    }

    /// When something is to be done. There is always something.
    #[must_use]
    pub fn due(&self) -> u64 {
        let others = [self.looks.due(), self.rewatch_at];
        let earliest = others.into_iter().flatten().min();
        earliest.map_or(self.identify_at, |at| at.min(self.identify_at))
    }

    /// The next thing that is due now. What comes at intervals is due again an interval after
    /// `now`, so nothing piles up while nobody asks.
    #[must_use]
    pub fn take_due(&mut self, now: u64) -> Option<Task> {
        // First the watch, so that what it missed is part of the look.
        if self.rewatch_at.is_some_and(|at| at <= now) {
            self.rewatch_at = Some(now.saturating_add(REWATCH_EVERY_MS));
            return Some(Task::Rewatch);
        }
        if self.looks.take_due(now) {
            return Some(Task::Look);
        }
        if self.identify_at <= now {
            self.identify_at = now.saturating_add(IDENTIFY_EVERY_MS);
            return Some(Task::Identify);
        }
        None
    }
}
