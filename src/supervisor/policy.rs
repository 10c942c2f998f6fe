//! What follows from a death: restart at once, without a plugin, or after a pause.
//!
//! Pure: a death and the time go in, a decision comes out. INVARIANT: all lists are bounded.

use super::LeftOut;
use crate::sys::crash::Culprit;
use std::collections::VecDeque;
use std::time::Duration;

/// Deaths are counted for so long.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// The death of a plugin by which it is left out.
pub(super) const PLUGIN_DEATHS_MAX: usize = 3;

/// Deaths that no plugin answers for, until each further one is followed by a pause.
const OTHER_DEATHS_MAX: usize = 5;

/// The pause: long enough to leave the machine to others, short enough for a passing cause.
const PAUSE: Duration = Duration::from_secs(1);

/// Deaths that are remembered. What is allowed in a window is fewer.
const DEATHS_MAX: usize = 256;

/// Plugins that are left out at a time; the one that was first is tried again.
const LEFT_OUT_MAX: usize = crate::sys::crash::ENTRIES_MAX;

/// The deaths so far.
#[derive(Debug, Default)]
pub(super) struct Policy {
    deaths: VecDeque<Death>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct Death {
    /// When, milliseconds.
    at: u64,
    /// Who is counted for it.
    plugin: Option<LeftOut>,
}

/// What is to be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// How long the next start has to wait.
    pub(super) pause: Duration,
    /// How many deaths of this kind there were in the window.
    pub(super) count: usize,
    pub(super) cause: Cause,
}

/// Who answers for a death.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A plugin, and it gets another chance.
    Plugin,
    /// A plugin, and it has had its chances.
    LeftOut,
    /// No plugin that could be left out.
    Other,
}

impl Policy {
    /// Those that the next worker does without.
    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Counts a death.
    pub(super) fn on_death(&mut self, culprit: Option<&Culprit>, now: u64) -> Decision {
        let window = WINDOW.as_millis() as u64;
        self.deaths.retain(|death| death.at + window > now);
        // Without a name nothing can be left out. One that is left out already and is named all
        // the same must not restart the worker without pause.
        let plugin = culprit
            .filter(|culprit| !culprit.name.is_empty())
            .map(|culprit| LeftOut {
                name: culprit.name.clone(),
                identity: culprit.identity,
            })
            .filter(|plugin| !self.left_out.contains(plugin));
        if self.deaths.len() == DEATHS_MAX {
            self.deaths.pop_front();
        }
        let alike = self.deaths.iter().filter(|death| death.plugin == plugin);
        let count = alike.count() + 1;
        self.deaths.push_back(Death {
            at: now,
            plugin: plugin.clone(),
        });
        let (cause, pause) = match plugin {
            None if count > OTHER_DEATHS_MAX => (Cause::Other, PAUSE),
            None => (Cause::Other, Duration::ZERO),
            Some(plugin) if count >= PLUGIN_DEATHS_MAX => {
                self.leave_out(plugin);
                (Cause::LeftOut, Duration::ZERO)
            }
            Some(_) => (Cause::Plugin, Duration::ZERO),
        };
        Decision {
            pause,
            count,
            cause,
        }
    }

    fn leave_out(&mut self, plugin: LeftOut) {
        // An older file of the same plugin is of no interest any more.
        self.left_out.retain(|other| other.name != plugin.name);
        if self.left_out.len() == LEFT_OUT_MAX {
            self.left_out.remove(0);
        }
        self.left_out.push(plugin);
    }
}

/// Tells a worker that hangs in a plugin from one that works or sleeps.
#[derive(Debug)]
pub(super) struct HangWatch {
    patience_ms: u64,
    pulse: (u32, u32),
    since: u64,
}

impl HangWatch {
    /// Begins with a worker that has just been started.
    pub(super) fn new(patience: Duration, now: u64) -> Self {
        Self {
            patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
            pulse: (0, 0),
            since: now,
        }
    }

    /// Whether a plugin is at work, and the loop has not turned for longer than it may.
    pub(super) fn is_hung(&mut self, (heartbeat, breadcrumb): (u32, u32), now: u64) -> bool {
        let pulse = (heartbeat, breadcrumb);
        if pulse != self.pulse || breadcrumb == 0 {
            self.pulse = pulse;
            self.since = now;
        }
        now.saturating_sub(self.since) >= self.patience_ms
    }

    /// How often to look: a hang is noticed at most a quarter late.
    pub(super) fn period(&self) -> Duration {
        Duration::from_millis((self.patience_ms / 4).max(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn culprit(name: &str, inode: u64) -> Culprit {
        Culprit {
            slot: 0,
            name: name.into(),
            identity: [1, inode, 0, 0, 0],
            hook: "init",
        }
    }

    fn die(policy: &mut Policy, culprit: &Culprit, now: u64) -> (Cause, usize) {
        let decision = policy.on_death(Some(culprit), now);
        assert_eq!(decision.pause, Duration::ZERO, "{culprit:?} at {now}");
        (decision.cause, decision.count)
    }

    #[test]
    fn the_third_death_within_a_minute_leaves_a_plugin_out() {
        let (mut policy, crashy) = (Policy::default(), culprit("crashy", 1));
        assert_eq!(die(&mut policy, &crashy, 0), (Cause::Plugin, 1));
        assert_eq!(die(&mut policy, &crashy, 30_000), (Cause::Plugin, 2));
        // The first is over.
        assert_eq!(die(&mut policy, &crashy, 60_000), (Cause::Plugin, 2));
        assert!(policy.left_out().is_empty());
        assert_eq!(die(&mut policy, &crashy, 89_999), (Cause::LeftOut, 3));
        assert_eq!(policy.left_out().len(), 1);
        assert_eq!(policy.left_out()[0].name, "crashy");
        assert_eq!(policy.left_out()[0].identity, [1, 1, 0, 0, 0]);
    }

    #[test]
    fn another_plugin_and_another_file_have_their_own_count() {
        let mut policy = Policy::default();
        let (old, new, other) = (culprit("a", 1), culprit("a", 2), culprit("b", 1));
        for count in 1..=2 {
            for culprit in [&old, &new, &other] {
                assert_eq!(die(&mut policy, culprit, 0), (Cause::Plugin, count));
            }
        }
        assert_eq!(die(&mut policy, &old, 1), (Cause::LeftOut, 3));
        assert_eq!(die(&mut policy, &other, 1), (Cause::LeftOut, 3));
        assert_eq!(policy.left_out().len(), 2);
        // The new file takes the old one's place: one row for each name.
        assert_eq!(die(&mut policy, &new, 1), (Cause::LeftOut, 3));
        assert_eq!(policy.left_out().len(), 2);
        assert!(
            policy
                .left_out()
                .iter()
                .all(|out| out.identity != [1, 1, 0, 0, 0] || out.name == "b")
        );
    }

    #[test]
    fn deaths_without_a_plugin_are_slowed_down_and_never_given_up() {
        let mut policy = Policy::default();
        for count in 1..=5 {
            let decision = policy.on_death(None, 0);
            assert_eq!((decision.pause, decision.count), (Duration::ZERO, count));
            assert_eq!(decision.cause, Cause::Other);
        }
        for count in 6..2000 {
            let decision = policy.on_death(None, 1);
            assert_eq!(decision.pause, PAUSE);
            assert_eq!(decision.count, count.min(DEATHS_MAX));
        }
        assert_eq!(policy.on_death(None, 60_001).pause, Duration::ZERO);
    }

    #[test]
    fn who_is_left_out_already_or_has_no_name_is_no_cause() {
        let (mut policy, crashy) = (Policy::default(), culprit("crashy", 1));
        for _ in 0..3 {
            die(&mut policy, &crashy, 0);
        }
        for _ in 0..5 {
            assert_eq!(die(&mut policy, &crashy, 0).0, Cause::Other);
        }
        let decision = policy.on_death(Some(&crashy), 0);
        assert_eq!((decision.cause, decision.pause), (Cause::Other, PAUSE));
        assert_eq!(policy.on_death(Some(&culprit("", 1)), 0).count, 7);
    }

    #[test]
    fn who_is_left_out_is_bounded() {
        let mut policy = Policy::default();
        for number in 0..100 {
            for _ in 0..3 {
                die(
                    &mut policy,
                    &culprit(&format!("p{number}"), 1),
                    number * 60_000,
                );
            }
        }
        assert_eq!(policy.left_out().len(), LEFT_OUT_MAX);
        assert_eq!(policy.left_out()[LEFT_OUT_MAX - 1].name, "p99");
    }

    #[test]
    fn only_a_plugin_that_keeps_the_loop_from_turning_hangs() {
        let mut watch = HangWatch::new(Duration::from_secs(2), 0);
        assert_eq!(watch.period(), Duration::from_millis(500));
        // It sleeps: for ever, and that is well.
        assert!(!watch.is_hung((1, 0), 1_000));
        assert!(!watch.is_hung((1, 0), 1_000_000));
        // A plugin is at work, first in one turn and then in the next.
        assert!(!watch.is_hung((1, 5), 1_000_000));
        assert!(!watch.is_hung((1, 5), 1_001_999));
        assert!(!watch.is_hung((2, 5), 1_002_000));
        assert!(!watch.is_hung((2, 5), 1_003_999));
        assert!(watch.is_hung((2, 5), 1_004_000));
    }
}
