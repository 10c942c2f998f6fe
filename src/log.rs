//! Error lines: gathered in a bounded buffer and written by the disk thread, so that a log that
//! cannot be written never holds the loop. Lines beyond the bound are counted, and the count is
//! logged.

use crate::disk::{Disk, Full, Job};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

/// The error log.
#[derive(Debug)]
pub struct Log {
    lines: Vec<u8>,
    dropped_count: u64,
    dropped_total: u64,
    disk: Arc<Disk>,
}

/// How much is gathered before lines are dropped, bytes.
const BYTES_MAX: usize = 16 * 1024;

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(disk: Arc<Disk>) -> Self {
        Self {
            lines: Vec::new(),
            dropped_count: 0,
            dropped_total: 0,
            disk,
        }
    }

    /// Adds a line.
    pub fn error(&mut self, line: fmt::Arguments<'_>) {
        if self.lines.len() >= BYTES_MAX {
            self.dropped_count += 1;
            self.dropped_total += 1;
            return;
        }
        // Writing to memory does not fail.
        let _ = writeln!(self.lines, "swiftd: {line}");
    }

    /// How many lines have found no room so far.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    /// Hands the lines to the disk thread.
    pub fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if self.dropped_count > 0 && self.lines.len() < BYTES_MAX {
            let _ = writeln!(
                self.lines,
                "swiftd: {} log lines dropped",
                self.dropped_count
            );
            self.dropped_count = 0;
        }
        // If it has too much to do, the lines stay for the next turn.
        if let Err(Full(Job::Log(lines))) =
            self.disk.submit(Job::Log(std::mem::take(&mut self.lines)))
        {
            self.lines = lines;
        }
    }
}
