//! What a supervisor tells others: the service manager, who waits in the foreground, the log.

use super::announce::Announcer;
use crate::config::{Config, Destination};
use crate::log::Voice;
use crate::supervisor::Outside;
use crate::sys::notify::{self, Notifier};
use std::fmt;

/// The process that was started, while it supervises.
pub(super) struct Parent<'a> {
    pub(super) announcer: &'a mut Announcer,
    pub(super) notifier: &'a Notifier,
    pub(super) main: u32,
    voice: Voice,
    /// Where the lines go once the terminal is left.
    later: Option<Voice>,
}

impl<'a> Parent<'a> {
    pub(super) fn new(
        config: &Config,
        announcer: &'a mut Announcer,
        notifier: &'a Notifier,
    ) -> Self {
        let is_daemon = config.service.is_daemon;
        Self {
            announcer,
            notifier,
            main: std::process::id(),
            voice: Voice::of(&Destination::Stderr),
            later: is_daemon.then(|| Voice::of(&config.logs.error)),
        }
    }
}

impl Outside for Parent<'_> {
    fn hear(&mut self, told: &[u8]) {
        if notify::is_ready(told) {
            self.announcer.leave_terminal();
            self.announcer.tell(0);
            if let Some(voice) = self.later.take() {
                self.voice = voice;
            }
        }
        if notify::is_reopened(told) {
            self.voice.reopen();
        }
        self.notifier.pass_on(told, self.main);
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.voice.error(line);
    }

    fn reopen(&mut self) {
        self.voice.reopen();
    }
}
