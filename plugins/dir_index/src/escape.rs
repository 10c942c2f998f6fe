//! File names as text of HTML, as a relative URL and as a JSON string. A file name is any bytes
//! but NUL and slash; nothing here assumes more.

use std::borrow::Cow;
use std::fmt::Write;

/// A name for people. What is not UTF-8 becomes U+FFFD; control characters become their pictures,
/// so that a line end does not hide; what turns the direction of writing becomes U+FFFD, so that
/// `gpj.exe` cannot look like `exe.jpg`.
pub(crate) fn visible(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    let is_plain = |char| shown(char) == char;
    if text.chars().all(is_plain) {
        text
    } else {
        text.chars().map(shown).collect()
    }
}

fn shown(char: char) -> char {
    match char {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' => '\u{fffd}',
        '\u{2066}'..='\u{2069}' | '\u{61c}' => '\u{fffd}',
        _ => char,
    }
}

/// Appends text for an element's content or a quoted attribute.
pub(crate) fn html(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Appends one segment of a path: all but unreserved bytes (RFC 3986 §2.3) are percent-encoded.
/// That includes the colon, so that `a:b` is never taken for a scheme.
pub(crate) fn url(name: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Appends a JSON string with its quotes (RFC 8259 §7). What is not UTF-8 becomes U+FFFD.
pub(crate) fn json(text: &[u8], out: &mut String) {
    out.push('"');
    for char in String::from_utf8_lossy(text).chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // The last three are white space to JSON and line ends to old JavaScript, or trouble
            // in a terminal.
            '\0'..='\x1f' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// Whether the server would take the name in a request: it refuses control bytes, also encoded.
pub(crate) fn can_be_requested(name: &[u8]) -> bool {
    !name.iter().any(u8::is_ascii_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like file names, from a seed; the nasty ones more often.
    pub(crate) fn name(seed: u64) -> Vec<u8> {
        const NASTY: &[u8] = b"<>&\"'%?#:;\\ \n\r\t\x00\x7f\xc3\xa9\xff+.~{}`";
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 40).unwrap()
        };
        let length = next() % 20;
        (0..length)
            .map(|_| match next() % 3 {
                0 => u8::try_from(next() % 256).unwrap(),
                1 => NASTY[next() % NASTY.len()],
                _ => b'a' + u8::try_from(next() % 26).unwrap(),
            })
            .collect()
    }

    fn percent_decoded(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            } else {
                byte
            });
        }
        decoded
    }

    fn html_decoded(text: &str) -> String {
        let named = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
        ];
        let text = named
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        text.replace("&amp;", "&")
    }

    /// A reader of JSON strings, strict in what it takes.
    fn json_decoded(text: &str) -> String {
        let inner = text.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let mut chars = inner.chars();
        let mut decoded = String::new();
        while let Some(char) = chars.next() {
            assert!(char != '"' && char >= ' ', "{text}");
            if char != '\\' {
                decoded.push(char);
                continue;
            }
            decoded.push(match chars.next().unwrap() {
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                char @ ('"' | '\\') => char,
                char => panic!("\\{char} in {text}"),
            });
        }
        decoded
    }

    #[test]
    fn a_url_gives_the_bytes_back_and_holds_nothing_special() {
        for seed in 0..20_000 {
            let name = name(seed);
            let mut text = String::new();
            url(&name, &mut text);
            assert_eq!(percent_decoded(&text), name, "{text}");
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            assert!(text.bytes().all(is_safe), "{text}");
        }
    }

    #[test]
    fn html_gives_the_text_back_and_holds_nothing_special() {
        for seed in 0..20_000 {
            let bytes = name(seed);
            let text = visible(&bytes);
            let mut escaped = String::new();
            html(&text, &mut escaped);
            assert_eq!(html_decoded(&escaped), text);
            assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
            assert!(!escaped.contains(char::is_control), "{escaped:?}");
            for (at, _) in escaped.match_indices('&') {
                let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
                assert!(
                    entities
                        .iter()
                        .any(|entity| escaped[at..].starts_with(entity))
                );
            }
        }
    }

    #[test]
    fn json_gives_the_text_back() {
        for seed in 0..20_000 {
            let name = name(seed);
            let mut escaped = String::new();
            json(&name, &mut escaped);
            assert_eq!(json_decoded(&escaped), String::from_utf8_lossy(&name));
        }
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible(b"a\nb\x7f"), "a\u{240a}b\u{2421}");
        assert_eq!(visible(b"\xff.txt"), "\u{fffd}.txt");
        assert_eq!(visible("a\u{202e}b".as_bytes()), "a\u{fffd}b");
        assert_eq!(visible("Grüße 日本".as_bytes()), "Grüße 日本");
    }

    #[test]
    fn names_that_mean_something_in_a_url_mean_nothing() {
        for (name, expected) in [
            ("a:b", "a%3Ab"),
            ("?a=1", "%3Fa%3D1"),
            ("#top", "%23top"),
            ("100%", "100%25"),
            ("%2e%2e", "%252e%252e"),
            ("a\\b", "a%5Cb"),
        ] {
            let mut text = String::new();
            url(name.as_bytes(), &mut text);
            assert_eq!(text, expected);
        }
    }
}
