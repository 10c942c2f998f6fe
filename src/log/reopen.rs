//! Files that are opened anew, after they were renamed, and what came of it.

use super::{Book, Log};

/// Whether files are being opened anew.
#[derive(Debug, Default)]
pub(super) enum Reopening {
    #[default]
    Idle,
    /// Some of them are not yet.
    UnderWay,
    /// All of them have been tried; what became of it waits for whoever asks.
    Over(Result<(), String>),
}

impl Log {
    /// Opens all files anew, after they were renamed. What was logged before goes into the old ones.
    /// Logs that only requests of an older configuration still have are not made again.
    /// [`Self::take_reopened`] has what comes of it.
    pub fn reopen(&self) {
        let mut guard = self.0.borrow_mut();
        let book = &mut *guard;
        let now = book.clock.now;
        book.reopening = Reopening::UnderWay;
        book.error.reopen(now);
        let named = book.indices.last().map(|newest| &newest.channels);
        for channel in &mut book.access {
            if named.is_some_and(|named| named.contains(&channel.id)) {
                channel.reopen(now);
            }
        }
        book.flush(false);
        book.tend_reopening();
    }

    /// What became of [`Self::reopen`], once, when all files have been tried: `Err` is the line that
    /// the error log has got.
    #[must_use]
    pub fn take_reopened(&self) -> Option<Result<(), String>> {
        let mut book = self.0.borrow_mut();
        match std::mem::take(&mut book.reopening) {
            Reopening::Over(result) => Some(result),
            other => {
                book.reopening = other;
                None
            }
        }
    }

    /// Standard error is the file of the error log, and becomes what that becomes.
    pub fn take_stderr(&self) {
        self.0.borrow_mut().error.has_stderr = true;
    }
}

impl Book {
    /// Looks whether all files have been tried.
    pub(super) fn tend_reopening(&mut self) {
        let is_waiting = matches!(self.reopening, Reopening::UnderWay);
        if !is_waiting || self.channels().any(|channel| channel.is_reopening()) {
            return;
        }
        let kept: Vec<String> = self.channels().filter_map(|it| it.kept.take()).collect();
        let result = match &*kept {
            [] => {
                self.notice(format_args!("the logs are opened anew"));
                Ok(())
            }
            [line] => Err(line.clone()),
            [line, rest @ ..] => Err(format!("{line}; and {} more", rest.len())),
        };
        self.reopening = Reopening::Over(result);
    }
}
