//! Numbers about the server as text: the Prometheus text format, version 0.0.4.
//!
//! It knows the format and not the numbers. INVARIANT: what is written is one family after the
//! other, each with its HELP and TYPE before its samples, and every value of a label is escaped. That
//! no family comes twice, and no sample either, is up to the caller.

use std::fmt::{Display, Write};

/// What a family's numbers are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up.
    Counter,
    /// Buckets, their sum and their count.
    Histogram,
}

/// The text.
#[derive(Debug, Default)]
pub struct Text(String);

/// One family: what is written next belongs to it.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a family. `name` is a metric's name as it is written; `help` is one line.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        debug_assert!(!help.contains(['\n', '\\']));
        // Writing to memory does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            out: &mut self.0,
            name,
        }
    }

    /// A family that is one number.
    pub fn number(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Lines that somebody else has made, other families.
    pub fn append(&mut self, lines: &str) {
        self.0.push_str(lines);
    }

    /// All of it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

impl Family<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.part("", labels, value);
    }

    /// Adds the samples of a histogram: how many were in each bucket, and the sum of all. The last
    /// bucket has no bound.
    pub fn histogram(&mut self, bounds: &[f64], counts: &[u64], sum: impl Display) {
        debug_assert_eq!(bounds.len() + 1, counts.len());
        let mut below = 0;
        for (index, count) in counts.iter().enumerate() {
            below += count;
            let bound = bounds.get(index);
            let bound = bound.map_or("+Inf".to_owned(), f64::to_string);
            self.part("_bucket", &[("le", &bound)], below);
        }
        self.part("_sum", &[], sum);
        self.part("_count", &[], below);
    }

    fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{begin}{name}=\"");
            escape(value, self.out);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

/// A label's value: the format escapes these three.
fn escape(value: &str, out: &mut String) {
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_the_format_says() {
        let mut text = Text::default();
        text.number("up", Kind::Gauge, "Whether it is up.", 1);
        let mut family = text.family("calls_total", Kind::Counter, "Calls.");
        family.sample(&[("who", "a \"b\"\\\n"), ("n", "1")], 7);
        family.sample(&[("who", "")], 0.5);
        let expected = "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
                        # HELP calls_total Calls.\n# TYPE calls_total counter\n\
                        calls_total{who=\"a \\\"b\\\"\\\\\\n\",n=\"1\"} 7\n\
                        calls_total{who=\"\"} 0.5\n";
        assert_eq!(text.into_bytes(), expected.as_bytes());
    }

    #[test]
    fn buckets_add_up() {
        let mut text = Text::default();
        let mut family = text.family("took_seconds", Kind::Histogram, "How long.");
        family.histogram(&[0.000_05, 10.0], &[1, 2, 4], 0.25);
        let text = String::from_utf8(text.into_bytes()).unwrap();
        let samples: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "took_seconds_bucket{le=\"0.00005\"} 1",
                "took_seconds_bucket{le=\"10\"} 3",
                "took_seconds_bucket{le=\"+Inf\"} 7",
                "took_seconds_sum 0.25",
                "took_seconds_count 7",
            ]
        );
    }
}
