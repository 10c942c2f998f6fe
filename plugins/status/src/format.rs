//! Numbers and texts for people, safe in HTML.

use std::fmt::Write;

/// What stands for a number that is not known.
const UNKNOWN: &str = "–";

/// Text in which no character means anything to HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Neither is to be seen, and some turn the direction of what follows.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.push('\u{fffd}');
            }
            char if char.is_control() && char != '\n' => safe.push('\u{fffd}'),
            char => safe.push(char),
        }
    }
    safe
}

/// A whole number, its digits in groups of three.
pub(crate) fn count(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 {
        text.push('−');
    }
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number in a second: small ones with decimals.
pub(crate) fn rate(value: f64) -> String {
    if value < 9.995 {
        significant(value, false)
    } else {
        count(value)
    }
}

/// Bytes.
pub(crate) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1023.95 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let number = significant(value, unit == 0);
    format!("{number} {}", units[unit])
}

/// A short time.
pub(crate) fn seconds(value: f64) -> String {
    let (value, unit) = match value {
        value if value < 0.000_999_5 => (value * 1e6, "µs"),
        value if value < 0.999_5 => (value * 1e3, "ms"),
        value => (value, "s"),
    };
    format!("{} {unit}", significant(value, false))
}

/// A long time: its two largest parts.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(value, _)| *value > 0).unwrap_or(3);
    let mut text = String::new();
    for (value, unit) in &parts[first..(first + 2).min(parts.len())] {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to memory does not fail.
        let _ = write!(text, "{space}{value} {unit}");
    }
    text
}

/// A part of 1.
pub(crate) fn percent(part: f64) -> String {
    format!("{} %", significant(part * 100.0, false))
}

/// A number that may be unknown.
pub(crate) fn or_unknown(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or(UNKNOWN.into(), write)
}

/// Up to three digits.
fn significant(value: f64, is_whole: bool) -> String {
    let decimals = match value {
        _ if is_whole => 0,
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_anything_to_html() {
        assert_eq!(
            escape("<a href='x' b=\"y\">&\u{1b}\u{202e}\n"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (count(0.0), count(-1000.0)),
            ("0".into(), "−1\u{202f}000".into())
        );
        assert_eq!(
            (rate(0.0), rate(0.25), rate(9.996)),
            ("0".into(), "0.25".into(), "10".into())
        );
        for (value, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1024.0, "1 KiB"),
            (1_500_000.0, "1.43 MiB"),
            (1023.99 * 1024.0, "1 MiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (value, text) in [
            (0.0, "0 µs"),
            (0.000_05, "50 µs"),
            (0.000_999_9, "1 ms"),
            (0.012_34, "12.3 ms"),
            (2.5, "2.5 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert_eq!((age(0.4), age(61.0)), ("0 s".into(), "1 min 1 s".into()));
        assert_eq!(age(273_600.0), "3 d 4 h");
        assert_eq!(
            (percent(0.0), percent(0.996)),
            ("0 %".into(), "99.6 %".into())
        );
        assert_eq!(or_unknown(None, count), "–");
    }
}
