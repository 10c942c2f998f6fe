//! What the plugins' side has to say, until the server takes it for the log.

use crate::config::Level;
use crate::sys::outside::LEVEL_MAX;
use crate::text;

/// Lines for the log, bounded.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<(Level, String)>,
    dropped_count: u64,
}

/// How many wait for the end of the turn.
const LINES_MAX: usize = 256;

/// How much of a line is kept, bytes.
const LINE_BYTES_MAX: usize = 4096;

impl Lines {
    /// A line of the server's own that an operator wants to know.
    pub(super) fn say(&mut self, line: String) {
        self.put(Level::Notice, line);
    }

    /// One about what may go wrong.
    pub(super) fn warn(&mut self, line: String) {
        self.put(Level::Warning, line);
    }

    /// One about what went wrong.
    pub(super) fn complain(&mut self, line: String) {
        self.put(Level::Error, line);
    }

    fn put(&mut self, level: Level, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push((level, line));
        } else {
            self.dropped_count += 1;
        }
    }

    /// Several of what may go wrong.
    pub(super) fn warn_all(&mut self, lines: Vec<String>) {
        for line in lines {
            self.warn(line);
        }
    }

    /// A line of a plugin, about a request or about none (0). It is one line whatever it holds.
    pub(super) fn add(&mut self, plugin: &str, level: u32, text: &[u8], request: u64) {
        if level > LEVEL_MAX {
            return;
        }
        let (level, prefix) = match level {
            0 => (Level::Error, "error: "),
            1 => (Level::Warning, "warning: "),
            // What a plugin says at all, its author wants to be seen.
            _ => (Level::Notice, ""),
        };
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE_BYTES_MAX)]);
        let text = text::one_line(text.trim_end());
        let request = match request {
            0 => String::new(),
            request => format!(" (request {request:x})"),
        };
        self.put(level, format!("plugin {plugin}: {prefix}{text}{request}"));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes them all.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.take_rated()
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }

    /// The same with what each is worth.
    pub(super) fn take_rated(&mut self) -> Vec<(Level, String)> {
        let mut lines = std::mem::take(&mut self.lines);
        if self.dropped_count > 0 {
            let line = format!("{} lines of plugins dropped", self.dropped_count);
            lines.push((Level::Warning, line));
            self.dropped_count = 0;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_forged() {
        let mut lines = Lines::default();
        lines.add("a", 0, b"x\nswiftd: y\x1b[2J\n", 0x10);
        lines.add("a", 4, b"not said", 0);
        assert_eq!(
            lines.take(),
            ["plugin a: error: x\\nswiftd: y\\u{1b}[2J (request 10)"]
        );
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let mut lines = Lines::default();
        for _ in 0..=LINES_MAX {
            lines.say(String::new());
        }
        assert_eq!(lines.take().last().unwrap(), "1 lines of plugins dropped");
        assert!(lines.take().is_empty());
    }
}
