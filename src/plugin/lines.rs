//! What the plugins' side has to say, until the server takes it for the log.

use crate::sys::outside::LEVEL_MAX;

/// Lines for the log, bounded.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<String>,
    dropped_count: u64,
}

/// How many wait for the end of the turn.
const LINES_MAX: usize = 256;

/// How much of a line is kept, bytes.
const LINE_BYTES_MAX: usize = 4096;

impl Lines {
    /// A line of the server's own.
    pub(super) fn say(&mut self, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        } else {
            self.dropped_count += 1;
        }
    }

    /// Several.
    pub(super) fn say_all(&mut self, lines: Vec<String>) {
        for line in lines {
            self.say(line);
        }
    }

    /// A line of a plugin, about a request or about none (0). It is one line whatever it holds.
    pub(super) fn add(&mut self, plugin: &str, level: u32, text: &[u8], request: u64) {
        if level > LEVEL_MAX {
            return;
        }
        let level = ["error: ", "warning: ", "", ""]
            .get(level as usize)
            .unwrap_or(&"");
        let text = escaped(&text[..text.len().min(LINE_BYTES_MAX)]);
        let request = match request {
            0 => String::new(),
            request => format!(" (request {request:x})"),
        };
        self.say(format!("plugin {plugin}: {level}{text}{request}"));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes them all.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        if self.dropped_count > 0 {
            lines.push(format!("{} lines of plugins dropped", self.dropped_count));
            self.dropped_count = 0;
        }
        lines
    }
}

/// Text in which control characters can do nothing.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for char in String::from_utf8_lossy(bytes).trim_end().chars() {
        if char.is_control() {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
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
