//! What the plugins with rules have in common: a configuration value of several lines, and paths.
//!
//! A value is read line by line; empty lines and lines that begin with `#` are nothing. What is
//! wrong with a line is said with its key and number. A path is written as in a URL, so a space is
//! `%20` and a `%` is `%25`; it is decoded once, when it is read, and then compared with the decoded
//! path of a request, byte by byte. It must not know swiftd.
//!
//! INVARIANT: a decoded path begins with `/` and has no `//`, no `.` or `..` segment and no control
//! byte, as the server's paths do: another one could never match.

/// A line of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    key: &'a str,
    /// From 1.
    number: usize,
    /// Not empty, without space around it.
    text: &'a str,
}

/// The lines of a value that say something.
pub fn lines<'a>(key: &'a str, value: &'a str) -> impl Iterator<Item = Line<'a>> {
    value
        .lines()
        .enumerate()
        .map(move |(index, line)| Line {
            key,
            number: index + 1,
            text: line.trim(),
        })
        .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
}

impl<'a> Line<'a> {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Its first word and the rest.
    #[must_use]
    pub fn split(&self) -> (&'a str, &'a str) {
        split_word(self.text)
    }

    /// What is wrong with it, for the operator.
    #[must_use]
    pub fn error(&self, reason: impl core::fmt::Display) -> String {
        let Self { key, number, text } = self;
        format!("{key}: line {number}: {text:?}: {reason}")
    }
}

/// The first word and what follows it, both without space around them; empty if there is none.
#[must_use]
pub fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// A path as it is written in a URL, decoded.
///
/// # Errors
/// It could never be the path of a request; the text says why.
pub fn parse_path(text: &str) -> Result<Vec<u8>, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is no path: it must begin with '/'"));
    }
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let Some((byte, after)) = hex_pair(rest) else {
            return Err(format!(
                "{text:?}: '%' needs two hexadecimal digits; write a plain '%' as '%25'"
            ));
        };
        path.push(byte);
        rest = after;
    }
    let reason = if text.contains(['?', '#']) {
        "a path has no query and no fragment; write a '?' in it as '%3F', a '#' as '%23'"
    } else if path.iter().any(u8::is_ascii_control) {
        "a path has no control bytes"
    } else if path.windows(2).any(|two| two == b"//") {
        "a path is compared after '//' has become '/'; write one '/'"
    } else if path
        .split(|&byte| byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
    {
        "a path is compared after '.' and '..' have been resolved; leave them out"
    } else {
        return Ok(path);
    };
    Err(format!("{text:?}: {reason}"))
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = text.split_first_chunk::<2>()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    Some((byte, rest))
}

/// A path and all that is below it. `/a` and `/a/` are the same: `/a` itself and `/a/b`, but not
/// `/ab`. `/` is everything, also the `*` of OPTIONS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Without the slash at its end; empty for `/`.
    path: Vec<u8>,
}

impl Prefix {
    /// Everything.
    pub const ALL: Self = Self { path: Vec::new() };

    /// From a path as [`parse_path`] takes it.
    ///
    /// # Errors
    /// As for [`parse_path`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut path = parse_path(text)?;
        if path.ends_with(b"/") {
            path.pop();
        }
        Ok(Self { path })
    }

    /// Whether a request's path is it or below it.
    #[must_use]
    pub fn contains(&self, path: &[u8]) -> bool {
        self.path.is_empty()
            || path
                .strip_prefix(&self.path[..])
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers() {
        let value = "one  two three \n\n  # four\r\n\tfive\n";
        let lines: Vec<Line> = lines("rules", value).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].split(), ("one", "two three"));
        assert_eq!(lines[1].split(), ("five", ""));
        assert_eq!(lines[1].error("why"), r#"rules: line 4: "five": why"#);
        assert_eq!(split_word(" "), ("", ""));
    }

    #[test]
    fn a_path_is_decoded_once() {
        for (text, path) in [
            ("/", &b"/"[..]),
            ("/a/b", b"/a/b"),
            ("/a/", b"/a/"),
            ("/a%20b%2541", b"/a b%41"),
            ("/%c3%A4", "/ä".as_bytes()),
            ("/ä", "/ä".as_bytes()),
            ("/a%3Fb%23", b"/a?b#"),
            ("/...", b"/..."),
        ] {
            assert_eq!(parse_path(text).unwrap(), path, "{text}");
        }
    }

    #[test]
    fn a_path_that_cannot_match_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "must begin with '/'"),
            ("a", "must begin with '/'"),
            ("%2Fa", "must begin with '/'"),
            ("/%", "two hexadecimal digits"),
            ("/%4", "two hexadecimal digits"),
            ("/%+4", "two hexadecimal digits"),
            ("/a?b", "no query"),
            ("/a#b", "no query"),
            ("/%00", "control"),
            ("/%7f", "control"),
            ("/a//b", "write one '/'"),
            ("/%2F", "write one '/'"),
            ("/a/../b", "resolved"),
            ("/a/%2e", "resolved"),
        ] {
            let error = parse_path(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        for (prefix, inside, outside) in [
            (
                "/a",
                &["/a", "/a/", "/a/b"][..],
                &["/", "/ab", "/b", "*"][..],
            ),
            ("/a/", &["/a", "/a/", "/a/b"], &["/", "/ab"]),
            ("/", &["/", "/a", "*"], &[]),
            ("/a%20b", &["/a b/c"], &["/a%20b"]),
        ] {
            let parsed = Prefix::parse(prefix).unwrap();
            for path in inside {
                assert!(parsed.contains(path.as_bytes()), "{prefix} {path}");
            }
            for path in outside {
                assert!(!parsed.contains(path.as_bytes()), "{prefix} {path}");
            }
        }
        assert_eq!(Prefix::parse("/").unwrap(), Prefix::ALL);
    }
}
