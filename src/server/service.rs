//! What the server keeps for whoever watches over it: a service manager, a script that looks for its
//! number.

use super::{DESCRIPTORS_RESERVED, Server, special};
use crate::config::Config;
use crate::sys::notify::Notifier;
use crate::sys::pid_file::PidFile;

/// What others know the server by. All of it may be left out.
#[derive(Debug, Default)]
pub struct Service {
    /// Tells a service manager.
    pub notifier: Notifier,
    /// Removed when the server has ended; `None` as well if that is its supervisor's.
    pub pid_file: Option<PidFile>,
}

impl Server {
    /// Takes over what others know the server by. From now on it gives signs of life, if they are
    /// wanted.
    pub fn set_service(&mut self, service: Service) {
        self.service = service;
        self.give_sign_of_life();
    }

    /// For what is to be told beside what the server tells itself.
    #[must_use]
    pub fn notifier(&self) -> &Notifier {
        &self.service.notifier
    }

    /// Comes from a turn of the loop and from nowhere else, so a loop that hangs gives none.
    pub(super) fn give_sign_of_life(&mut self) {
        let Some(period) = self.service.notifier.period() else {
            return;
        };
        self.service.notifier.watchdog();
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let at = self.core.now.saturating_add(period_ms.max(1));
        self.timers.insert(at, special::WATCHDOG);
    }

    /// Adds a line about the start to the error log, unless that is standard error.
    pub fn log_notice(&self, line: std::fmt::Arguments<'_>) {
        self.log.notice(line);
    }

    /// Standard error is the error log, and is to go with it when that is opened anew.
    pub fn take_stderr(&self) {
        self.log.take_stderr();
    }

    /// How many descriptors a configuration may need at most.
    #[must_use]
    pub fn descriptors_wanted(config: &Config) -> u64 {
        let roots = 2 * (1 + config.hosts.len());
        let wanted = config.turn.connections_max + config.cache.descriptors_max + roots;
        (wanted + DESCRIPTORS_RESERVED) as u64
    }
}
