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
        self.latest = self.due.map_or(now, |_| self.latest.min(now));
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
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

    /// What the path stands for as a look at it begins: that is no news afterwards.
    pub fn remember_identity(&mut self, identity: Option<Meta>) {
        self.identity = Some(identity);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::{Kind, Moment};
    use proptest::prelude::*;

    #[derive(Copy, Clone, Debug)]
    enum Step {
        Event,
        Force,
        Ask,
    }

    /// The same as [`Debounce`], by remembering everything since the last look.
    #[derive(Default)]
    struct Model {
        events: Vec<u64>,
        forces: Vec<u64>,
    }

    impl Model {
        fn due(&self) -> Option<u64> {
            let quiet = self.events.last().map(|last| last + QUIET_MS);
            let latest = self.events.first().map(|first| first + DELAY_MAX_MS);
            let forced = self.forces.first().copied();
            [quiet, latest, forced].into_iter().flatten().min()
        }

        fn take_due(&mut self, now: u64) -> bool {
            let is_due = self.due().is_some_and(|due| due <= now);
            if is_due {
                *self = Self::default();
            }
            is_due
        }
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let step = prop_oneof![
            6 => Just(Step::Event),
            1 => Just(Step::Force),
            3 => Just(Step::Ask),
        ];
        let delay = prop_oneof![4 => 0_u64..120, 1 => 0_u64..1500];
        prop::collection::vec((delay, step), 0..60)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_model_that_remembers_everything(steps in steps()) {
            let (mut debounce, mut model) = (Debounce::default(), Model::default());
            let mut now = 5000;
            for (delay, step) in steps {
                now += delay;
                match step {
                    Step::Event => {
                        debounce.handle_event(now);
                        model.events.push(now);
                    }
                    Step::Force => {
                        debounce.force(now);
                        model.forces.push(now);
                    }
                    Step::Ask => prop_assert_eq!(debounce.take_due(now), model.take_due(now)),
                }
                prop_assert_eq!(debounce.due(), model.due());
            }
        }

        #[test]
        fn a_caller_who_asks_when_due_looks_in_time(steps in steps()) {
            let mut schedule = Schedule::new(0, true);
            let mut now = 0;
            let mut unseen: Option<u64> = None;
            for (delay, step) in steps {
                let next = now + delay;
                while schedule.due() <= next {
                    now = schedule.due();
                    let task = schedule.take_due(now);
                    prop_assert!(task.is_some(), "something was due");
                    if task == Some(Task::Look) {
                        let since = unseen.take();
                        prop_assert!(since.is_some_and(|since| now - since <= DELAY_MAX_MS));
                    }
                }
                now = next;
                match step {
                    Step::Event => schedule.handle_event(now),
                    Step::Force => schedule.force(now),
                    Step::Ask => continue,
                }
                unseen.get_or_insert(now);
            }
            prop_assert!(unseen.is_none_or(|since| schedule.due() <= since + DELAY_MAX_MS));
        }
    }

    #[test]
    fn a_look_waits_for_quiet() {
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.handle_event(1000);
        debounce.handle_event(1060);
        assert_eq!(debounce.due(), Some(1160));
        assert!(!debounce.take_due(1159));
        assert!(debounce.take_due(1160));
        assert!(!debounce.take_due(1160), "once");
    }

    #[test]
    fn a_look_does_not_wait_for_ever() {
        let mut debounce = Debounce::default();
        for now in (1000..3000).step_by(50) {
            debounce.handle_event(now);
            if debounce.take_due(now) {
                assert_eq!(now, 2000);
                return;
            }
        }
        panic!("starved");
    }

    #[test]
    fn a_forced_look_is_due_at_once_and_is_not_put_off() {
        let mut debounce = Debounce::default();
        debounce.handle_event(1000);
        debounce.force(1010);
        debounce.handle_event(1020);
        assert_eq!(debounce.due(), Some(1010));
        assert!(debounce.take_due(1020));
        assert_eq!(debounce.due(), None, "it was a look at both events as well");
    }

    fn meta(inode: u64) -> Meta {
        let moment = Moment {
            unix_secs: 1,
            nanos: 2,
        };
        Meta {
            kind: Kind::Regular,
            device: 3,
            inode,
            bytes: 4,
            modified: moment,
            changed: moment,
        }
    }

    #[test]
    fn another_identity_is_a_change_but_the_first_one_is_not() {
        let mut schedule = Schedule::new(0, true);
        assert!(!schedule.handle_identity(10, Some(meta(1))));
        assert!(!schedule.handle_identity(20, Some(meta(1))));
        assert_eq!(schedule.due(), IDENTIFY_EVERY_MS);
        for (now, identity) in [(1000, Some(meta(2))), (2000, None), (3000, Some(meta(2)))] {
            assert!(schedule.handle_identity(now, identity), "{now}");
            assert_eq!(schedule.due(), now + QUIET_MS);
            assert_eq!(schedule.take_due(now + QUIET_MS), Some(Task::Look));
        }
        let mut changed = meta(2);
        changed.changed.nanos += 1;
        assert!(schedule.handle_identity(4000, Some(changed)));
    }

    #[test]
    fn the_identity_is_asked_at_intervals_that_do_not_pile_up() {
        let mut schedule = Schedule::new(0, true);
        assert_eq!(schedule.take_due(4999), None);
        // The caller was away for a minute.
        assert_eq!(schedule.take_due(60_000), Some(Task::Identify));
        assert_eq!(schedule.take_due(60_000), None);
        assert_eq!(schedule.due(), 65_000);
    }

    #[test]
    fn a_directory_that_has_gone_is_tried_each_second_until_it_is_watched() {
        let mut schedule = Schedule::new(0, true);
        schedule.handle_gone(100);
        assert_eq!(
            schedule.take_due(200),
            Some(Task::Look),
            "the file has gone as well"
        );
        assert_eq!(schedule.take_due(1099), None);
        assert_eq!(schedule.take_due(1100), Some(Task::Rewatch));
        assert_eq!(schedule.take_due(1100), None);
        assert_eq!(schedule.take_due(2100), Some(Task::Rewatch));
        schedule.handle_rewatched(2101);
        assert_eq!(schedule.due(), 2201);
        assert_eq!(
            schedule.take_due(2201),
            Some(Task::Look),
            "nobody heard what came before"
        );
        assert_eq!(schedule.take_due(4999), None);

        let mut schedule = Schedule::new(0, false);
        assert_eq!(
            schedule.take_due(1000),
            Some(Task::Rewatch),
            "it was never there"
        );
        schedule.force(1001);
        assert_eq!(schedule.take_due(1001), Some(Task::Look));
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let mut schedule = Schedule::new(u64::MAX, false);
        schedule.handle_event(u64::MAX);
        schedule.handle_gone(u64::MAX);
        let tasks = [Task::Rewatch, Task::Look];
        assert!(
            schedule
                .take_due(u64::MAX)
                .is_some_and(|task| tasks.contains(&task))
        );
    }
}
