//! Text that may come from anywhere, made fit for a line: control characters can do nothing in it,
//! so that nobody ends the line, begins another, or orders a terminal about.
//!
//! Pure, and of use to all.

use std::fmt::{self, Write};

/// Takes text and passes it on with its control characters escaped, as `\n` or `\u{1b}`.
pub struct Sieve<'a>(pub &'a mut String);

impl Write for Sieve<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| char.is_control()) {
            self.0.push_str(&rest[..at]);
            self.0.extend(char.escape_default());
            rest = &rest[at + char.len_utf8()..];
        }
        self.0.push_str(rest);
        Ok(())
    }
}

/// What something says of itself, as one line.
#[must_use]
pub fn one_line(what: impl fmt::Display) -> String {
    let mut line = String::new();
    // Writing to memory does not fail; what does not say itself says nothing.
    let _ = write!(Sieve(&mut line), "{what}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else_is() {
        for (text, line) in [
            ("", ""),
            ("plain, \"é\" \\ 日", "plain, \"é\" \\ 日"),
            ("a\nb\r\t\0", "a\\nb\\r\\t\\u{0}"),
            ("\x1b[2J\u{9b}0m\x7f", "\\u{1b}[2J\\u{9b}0m\\u{7f}"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }
}
