//! One log: the lines that wait, the batch that is under way, and what was lost.
//!
//! INVARIANT: the lines that wait and those under way are together at most `bytes_max`; a line that
//! finds no room is counted. At most one batch is under way, so a disk that hangs holds no more
//! than that.

use super::ring::Ring;
use super::sink::{Batch, Outcome, Sink, count_lines};
use crate::config::{AccessLog, Destination};
use std::io;
use std::mem;

/// How long lines may wait for others to be written with, milliseconds.
pub(super) const GATHER_MS: u64 = 250;

/// How soon writing is tried again after it failed, milliseconds: a disk that is full or broken does
/// not recover sooner, and a reader that is slow does.
const PAUSE_MS: u64 = 1_000;
const SHORT_PAUSE_MS: u64 = 200;

/// How often the same trouble of a log is told, milliseconds.
const TELL_MS: u64 = 10_000;

/// How often lost lines are told while there is room again, milliseconds.
const TELL_LOSS_MS: u64 = 1_000;

/// The shortest line that is worth trying.
const LINE_BYTES_LEAST: usize = 32;

/// What a channel is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Errors(Destination),
    Requests(AccessLog),
}

impl Purpose {
    pub(super) fn destination(&self) -> &Destination {
        match self {
            Self::Errors(destination) => destination,
            Self::Requests(log) => &log.destination,
        }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Errors(destination) => format!("error log {}", destination.name()),
            Self::Requests(log) => format!("access log {}", log.destination.name()),
        }
    }

    /// What its lines are called in messages.
    pub(super) fn lines_name(&self) -> &'static str {
        match self {
            Self::Errors(_) => "error lines",
            Self::Requests(_) => "access lines",
        }
    }
}

/// Where lines go from here.
#[derive(Debug)]
enum Target {
    Nowhere,
    Ring(Ring),
    /// `None` while a batch is under way.
    Sink(Option<Sink>),
}

/// What the operator is to be told about a log.
#[derive(Debug)]
pub(super) enum News {
    /// Writing fails.
    Fails(io::Error),
    /// It does no longer.
    Works,
    /// So many lines are lost since this was told last.
    Lost(u64),
    /// A file could not be opened anew.
    Kept(super::Error),
    /// A way out that is used no more; closing it may wait for a disk.
    Gone(Sink),
}

/// One log.
#[derive(Debug)]
pub(super) struct Channel {
    /// What it is known by while a batch is under way.
    pub(super) id: u32,
    pub(super) purpose: Purpose,
    target: Target,
    lines: Vec<u8>,
    under_way_bytes: usize,
    under_way_count: u64,
    pub(super) bytes_max: usize,
    /// When the lines are to be written; `u64::MAX`: there are none.
    due: u64,
    /// Not before this, after a failure.
    paused_until: u64,
    /// The operator has been told so.
    is_failing: bool,
    /// The last batch was refused, and not for want of room at the reader's.
    is_broken: bool,
    next_tell: u64,
    dropped_count: u64,
    next_tell_loss: u64,
    pub(super) dropped_total: u64,
    reopens: bool,
    /// The batch that is under way opens the file anew.
    is_reopening: bool,
    /// Why the file could not be opened anew when that was tried last.
    pub(super) kept: Option<String>,
    /// Standard error is this log's file, and goes with it.
    pub(super) has_stderr: bool,
    /// The file is another one, and standard error is not yet.
    moves_stderr: bool,
    /// What takes the place of the sink that is under way.
    successor: Option<Sink>,
}

impl Channel {
    pub(super) fn new(id: u32, purpose: Purpose, sink: Option<Sink>, bytes_max: usize) -> Self {
        let target = match (sink, purpose.destination()) {
            (Some(sink), _) => Target::Sink(Some(sink)),
            (None, Destination::Ring(bytes)) => Target::Ring(Ring::new(*bytes)),
            (None, _) => Target::Nowhere,
        };
        Self {
            id,
            purpose,
            target,
            lines: Vec::new(),
            under_way_bytes: 0,
            under_way_count: 0,
            bytes_max,
            due: u64::MAX,
            paused_until: 0,
            is_failing: false,
            is_broken: false,
            next_tell: 0,
            dropped_count: 0,
            next_tell_loss: 0,
            dropped_total: 0,
            reopens: false,
            is_reopening: false,
            kept: None,
            has_stderr: false,
            moves_stderr: false,
            successor: None,
        }
    }

    /// Whether lines go anywhere.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self.target, Target::Nowhere)
    }

    /// Adds what `push` writes: a line with its end. It is written within `wait_ms`.
    pub(super) fn add(&mut self, now: u64, wait_ms: u64, push: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.target {
            Target::Nowhere => {}
            Target::Ring(ring) => {
                self.lines.clear();
                push(&mut self.lines);
                if !ring.push(&self.lines) {
                    self.lose(1, now);
                }
            }
            Target::Sink(_) => {
                let start = self.lines.len();
                if start + self.under_way_bytes + LINE_BYTES_LEAST > self.bytes_max {
                    return self.lose(1, now);
                }
                push(&mut self.lines);
                if self.lines.len() + self.under_way_bytes > self.bytes_max {
                    self.lines.truncate(start);
                    // It has not been written, so its room is not kept either.
                    self.lines.shrink_to(self.bytes_max);
                    return self.lose(1, now);
                }
                let is_half_full = self.lines.len() >= self.bytes_max / 2;
                let wait_ms = if is_half_full { 0 } else { wait_ms };
                self.due = self.due.min(now + wait_ms);
            }
        }
    }

    fn lose(&mut self, count: u64, now: u64) {
        if self.dropped_count == 0 {
            let pause = if self.has_room() {
                TELL_LOSS_MS
            } else {
                TELL_MS
            };
            self.next_tell_loss = self.next_tell_loss.max(now + pause);
        }
        self.dropped_count += count;
        self.dropped_total += count;
    }

    /// Whether what waits is less than half of what may.
    fn has_room(&self) -> bool {
        self.lines.len() + self.under_way_bytes <= self.bytes_max / 2
    }

    /// When [`Self::take_batch`] or [`Self::take_loss`] has something.
    pub(super) fn due(&self) -> u64 {
        let loss = match self.dropped_count {
            0 => u64::MAX,
            _ => self.next_tell_loss,
        };
        let batch = match self.target {
            Target::Sink(Some(_)) => self.due.max(self.paused_until),
            _ => u64::MAX,
        };
        batch.min(loss)
    }

    /// The lines that are due, with the way out; `is_forced`: all that there are.
    pub(super) fn take_batch(&mut self, now: u64, is_forced: bool) -> Option<Batch> {
        let Target::Sink(sink) = &mut self.target else {
            return None;
        };
        let is_wanted =
            !self.lines.is_empty() || self.reopens || self.moves_stderr || self.successor.is_some();
        let is_due = self.due.max(self.paused_until) <= now;
        let is_tried = is_forced && !self.is_broken;
        if !is_wanted || !(is_due || is_tried) {
            return None;
        }
        let sink = sink.take()?;
        let lines = mem::take(&mut self.lines);
        self.due = u64::MAX;
        self.under_way_bytes = lines.len();
        self.under_way_count = count_lines(&lines);
        let reopens = mem::take(&mut self.reopens);
        self.is_reopening = reopens;
        Some(Batch {
            log: Some(self.id),
            sink,
            lines,
            reopens,
            moves_stderr: mem::take(&mut self.moves_stderr) || (reopens && self.has_stderr),
        })
    }

    /// The lost lines that are to be told now.
    pub(super) fn take_loss(&mut self, now: u64, is_forced: bool) -> Option<News> {
        if self.dropped_count == 0 || (self.next_tell_loss > now && !is_forced) {
            return None;
        }
        let pause = if self.has_room() {
            TELL_LOSS_MS
        } else {
            TELL_MS
        };
        self.next_tell_loss = now + pause;
        Some(News::Lost(mem::take(&mut self.dropped_count)))
    }

    /// What became of a batch.
    pub(super) fn handle(&mut self, outcome: Outcome, now: u64) -> Vec<News> {
        let mut news = Vec::new();
        let Target::Sink(sink) = &mut self.target else {
            return news;
        };
        let mut is_fresh = matches!(outcome.reopened, Some(Ok(())));
        *sink = Some(match self.successor.take() {
            Some(successor) => {
                is_fresh = true;
                news.push(News::Gone(outcome.sink));
                successor
            }
            None => outcome.sink,
        });
        self.moves_stderr |= self.has_stderr && !news.is_empty();
        self.is_reopening = false;
        self.under_way_bytes = 0;
        if !outcome.rest.is_empty() {
            let newer = mem::replace(&mut self.lines, outcome.rest);
            self.lines.extend_from_slice(&newer);
        }
        if outcome.lost_count > 0 {
            self.lose(outcome.lost_count, now);
        }
        self.is_broken = false;
        match outcome.result {
            Err(error) => {
                let is_slow = error.kind() == io::ErrorKind::WouldBlock;
                self.is_broken = !is_slow;
                let pause = if is_slow { SHORT_PAUSE_MS } else { PAUSE_MS };
                self.paused_until = now + pause;
                if now >= self.next_tell {
                    self.next_tell = now + TELL_MS;
                    if !mem::replace(&mut self.is_failing, true) {
                        news.push(News::Fails(error));
                    }
                }
            }
            Ok(()) => {
                self.paused_until = 0;
                if mem::take(&mut self.is_failing) {
                    news.push(News::Works);
                }
            }
        }
        match outcome.reopened {
            Some(Err(error)) => {
                self.kept = Some(kept_line(&error));
                news.push(News::Kept(error));
            }
            Some(Ok(())) => self.kept = None,
            None => {}
        }
        if self.dropped_count > 0 && self.has_room() {
            self.next_tell_loss = self.next_tell_loss.min(now + TELL_LOSS_MS);
        }
        if !self.lines.is_empty() {
            self.due = now;
        }
        if is_fresh || self.reopens {
            self.paused_until = 0;
        }
        if self.reopens || self.moves_stderr {
            self.due = now;
        }
        news
    }

    /// The file is opened anew, behind the lines that wait.
    pub(super) fn reopen(&mut self, now: u64) {
        if matches!(self.target, Target::Sink(_)) {
            self.reopens = true;
            self.kept = None;
            (self.due, self.paused_until) = (now, 0);
        }
    }

    /// Whether the file is yet to be opened anew.
    pub(super) fn is_reopening(&self) -> bool {
        self.reopens || self.is_reopening
    }

    /// Standard error becomes this log's file, as it was that of the log before.
    pub(super) fn take_stderr(&mut self, old: &mut Self, now: u64) {
        self.has_stderr = mem::take(&mut old.has_stderr);
        if self.has_stderr && matches!(&self.target, Target::Sink(Some(sink)) if sink.is_file()) {
            self.moves_stderr = true;
            self.due = now;
        }
    }

    /// Goes on with another way out, behind the lines that wait; what is kept here is taken along.
    pub(super) fn replace(&mut self, sink: Option<Sink>, now: u64) {
        if let Some(sink) = sink {
            self.successor = Some(sink);
            (self.due, self.paused_until) = (now, 0);
        }
    }

    /// The server ends: what was refused before is tried once more.
    pub(super) fn begin_end(&mut self) {
        self.is_broken = false;
    }

    /// Whether lines are under way, or wait and may be taken.
    pub(super) fn is_busy(&self) -> bool {
        match &self.target {
            Target::Sink(None) => true,
            Target::Sink(Some(_)) => !self.lines.is_empty() && !self.is_broken,
            _ => false,
        }
    }

    /// How many lines have not been written.
    pub(super) fn pending_count(&self) -> u64 {
        match &self.target {
            Target::Sink(None) => count_lines(&self.lines) + self.under_way_count,
            Target::Sink(Some(_)) => count_lines(&self.lines),
            _ => 0,
        }
    }

    /// What is left of a log that is closed.
    pub(super) fn into_sink(self) -> Option<Sink> {
        match self.target {
            Target::Sink(sink) => sink,
            _ => None,
        }
    }

    /// The ring, if it is one.
    pub(super) fn ring(&self) -> Option<&Ring> {
        match &self.target {
            Target::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// Takes over the lines of a ring of another size.
    pub(super) fn adopt(&mut self, old: &Self) {
        if let (Target::Ring(ring), Some(old)) = (&mut self.target, old.ring()) {
            ring.adopt(old);
        }
    }
}

/// What is said of a file that could not be opened anew.
pub(super) fn kept_line(error: &super::Error) -> String {
    format!("{error}; what was open before is used on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_leaves_no_memory_behind() {
        let purpose = Purpose::Errors(Destination::Stderr);
        let mut channel = Channel::new(0, purpose, Some(Sink::Stderr), 4096);
        channel.add(0, 0, |out| out.extend_from_slice(b"one\n"));
        channel.add(0, 0, |out| out.resize(64 * 1024, b'x'));
        assert_eq!(
            (&channel.lines[..], channel.dropped_total),
            (&b"one\n"[..], 1)
        );
        assert!(channel.lines.capacity() <= channel.bytes_max);
    }
}
