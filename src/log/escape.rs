//! What a peer has sent, made safe for a line of a log.
//!
//! INVARIANT: what comes out has no quote, no backslash but our own, no line end, no control
//! character and no byte that is not valid where it stands; so nobody can forge a line, or a field
//! of one, or order the terminal about that shows it.

/// How much of one value is kept, bytes. Browsers send less.
pub(super) const VALUE_BYTES_MAX: usize = 2048;

/// Stands behind a value that was longer.
pub(super) const CUT: &[u8] = b"...";

/// Appends a value to a line of the Common Log Format: printable ASCII as it is, all else as `\xHH`,
/// which is what nginx writes.
pub(super) fn push_clf(out: &mut Vec<u8>, value: &[u8]) {
    push_each(out, value, is_plain, |out, byte| {
        out.extend_from_slice(b"\\x");
        push_hex(out, byte);
    });
}

/// The same for a value that stands without quotes, so that a blank would end it.
pub(super) fn push_word(out: &mut Vec<u8>, value: &[u8]) {
    let is_part = |byte| is_plain(byte) && byte != b' ';
    push_each(out, value, is_part, |out, byte| {
        out.extend_from_slice(b"\\x");
        push_hex(out, byte);
    });
}

/// Appends a value to a string of JSON (RFC 8259 §7). Text in UTF-8 stays readable; a byte that is
/// not part of any is taken for the character of that number.
pub(super) fn push_json(out: &mut Vec<u8>, value: &[u8]) {
    let (value, is_cut) = bounded(value);
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| !is_plain_char(*char)) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            push_unicode(out, char as u32);
            rest = &rest[at + char.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
        for &byte in chunk.invalid() {
            push_unicode(out, byte.into());
        }
    }
    if is_cut {
        out.extend_from_slice(CUT);
    }
}

fn bounded(value: &[u8]) -> (&[u8], bool) {
    let bytes = value.len().min(VALUE_BYTES_MAX);
    (&value[..bytes], bytes < value.len())
}

fn push_each(
    out: &mut Vec<u8>,
    value: &[u8],
    is_plain: impl Fn(u8) -> bool,
    mut push: impl FnMut(&mut Vec<u8>, u8),
) {
    let (mut rest, is_cut) = bounded(value);
    while let Some(at) = rest.iter().position(|&byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        push(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    if is_cut {
        out.extend_from_slice(CUT);
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Control characters are C0, DEL and C1; the line and paragraph separators end lines for some
/// readers; those that turn the direction of writing make a line look like another.
fn is_plain_char(char: char) -> bool {
    let turns =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !char.is_control() && !turns && char != '"' && char != '\\'
}

/// What is escaped lies in the first plane.
fn push_unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    push_hex(out, (code >> 8) as u8);
    push_hex(out, code as u8);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(push: fn(&mut Vec<u8>, &[u8]), value: &[u8]) -> String {
        let mut out = Vec::new();
        push(&mut out, value);
        String::from_utf8(out).expect("every escape gives text")
    }

    #[test]
    fn values_are_escaped() {
        for (value, clf, json) in [
            (&b""[..], "", ""),
            (b"curl/8.5 (x; y)", "curl/8.5 (x; y)", "curl/8.5 (x; y)"),
            (b"a\"b\\c", "a\\x22b\\x5Cc", "a\\u0022b\\u005Cc"),
            (
                b"a\r\nb\0\x7f",
                "a\\x0D\\x0Ab\\x00\\x7F",
                "a\\u000D\\u000Ab\\u0000\\u007F",
            ),
            (b"\x1b[2J", "\\x1B[2J", "\\u001B[2J"),
            ("é日".as_bytes(), "\\xC3\\xA9\\xE6\\x97\\xA5", "é日"),
            (b"a\xffb\xc3", "a\\xFFb\\xC3", "a\\u00FFb\\u00C3"),
            ("\u{9b}1m".as_bytes(), "\\xC2\\x9B1m", "\\u009B1m"),
            (
                "\u{2028}\u{202e}".as_bytes(),
                "\\xE2\\x80\\xA8\\xE2\\x80\\xAE",
                "\\u2028\\u202E",
            ),
        ] {
            assert_eq!(with(push_clf, value), clf);
            assert_eq!(with(push_json, value), json);
        }
        assert_eq!(with(push_word, b"a b\"c"), "a\\x20b\\x22c");
    }

    #[test]
    fn long_values_are_cut_and_it_shows() {
        let long = vec![b'a'; VALUE_BYTES_MAX + 1];
        for push in [push_clf, push_word, push_json] {
            assert_eq!(with(push, &long[1..]).len(), VALUE_BYTES_MAX);
            let cut = with(push, &long);
            assert_eq!(cut.len(), VALUE_BYTES_MAX + CUT.len());
            assert!(cut.ends_with("a..."));
        }
        // A character that is cut in two is no character.
        let mut long = vec![b'a'; VALUE_BYTES_MAX - 1];
        long.extend_from_slice("é".as_bytes());
        assert!(with(push_json, &long).ends_with("a\\u00C3..."));
    }

    #[test]
    fn nothing_breaks_a_line_or_a_string() {
        let all: Vec<u8> = (0..=255).collect();
        for push in [push_clf, push_word, push_json] {
            let text = with(push, &all);
            assert!(!text.contains(char::is_control) && !text.contains('"'));
        }
    }
}
