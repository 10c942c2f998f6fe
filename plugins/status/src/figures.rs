//! The server's figures, read: samples of the Prometheus text format, found by name.
//!
//! It knows the format and no family. What it cannot read it leaves out, so that a newer server's
//! text is still good for a page.

use std::borrow::Cow;

/// One sample.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) value: f64,
}

/// All samples.
#[derive(Debug, Default)]
pub(crate) struct Figures<'a> {
    /// INVARIANT: sorted by name; those of one name are in the order of the text.
    samples: Vec<Sample<'a>>,
}

impl Sample<'_> {
    /// The value of a label; empty if there is none, which means the same.
    pub(crate) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map_or("", |(_, value)| value)
    }
}

impl<'a> Figures<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut samples: Vec<_> = lines.filter_map(parse_sample).collect();
        samples.sort_by_key(|sample| sample.name);
        Self { samples }
    }

    /// The samples of a name.
    pub(crate) fn all(&self, name: &str) -> &[Sample<'a>] {
        let start = self.samples.partition_point(|sample| sample.name < name);
        let rest = &self.samples[start..];
        &rest[..rest.partition_point(|sample| sample.name == name)]
    }

    /// The number of that name, if there is one.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.all(name).first().map(|sample| sample.value)
    }

    /// The number of that name and label.
    pub(crate) fn labelled(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let mut samples = self.all(name).iter();
        samples
            .find(|sample| sample.label(label) == value)
            .map(|sample| sample.value)
    }

    /// The sum of all samples of a name; `None` if there are none.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let samples = self.all(name);
        (!samples.is_empty()).then(|| samples.iter().map(|sample| sample.value).sum())
    }
}

/// `name{label="value",…} 1.5`, perhaps with a time behind, which is of no interest.
fn parse_sample(line: &str) -> Option<Sample<'_>> {
    let name_end = line.find(['{', ' ', '\t'])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = parse_labels(inner, &mut labels)?;
    }
    let value = rest.split_ascii_whitespace().next()?;
    Some(Sample {
        name,
        labels,
        value: value.parse().ok()?,
    })
}

/// Reads labels up to the closing brace; what follows that.
fn parse_labels<'a>(
    mut rest: &'a str,
    labels: &mut Vec<(&'a str, Cow<'a, str>)>,
) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let end = closing_quote(quoted)?;
        labels.push((name, unescape(&quoted[..end])));
        rest = &quoted[end + 1..];
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.find(|char| {
        let is_end = char == '"' && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        is_end
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_label() {
        let figures = Figures::parse(
            "# HELP b x\n# TYPE b counter\nb{k=\"1\"} 2\nb{k=\"2\",} 3.5 1700000000\na 1\n\nb_x 9\n",
        );
        assert_eq!(figures.number("a"), Some(1.0));
        assert_eq!(figures.labelled("b", "k", "2"), Some(3.5));
        assert_eq!((figures.sum("b"), figures.sum("c")), (Some(5.5), None));
        let order: Vec<_> = figures.all("b").iter().map(|s| s.label("k")).collect();
        assert_eq!(order, ["1", "2"]);
        assert_eq!(figures.all("b")[0].label("other"), "");
    }

    #[test]
    fn escapes_are_undone_and_do_not_end_a_value() {
        let figures = Figures::parse("a{r=\"x \\\"y\\\" }\\\\ \\n,z=\",p=\"q\"} 1\n");
        let sample = &figures.all("a")[0];
        assert_eq!(sample.label("r"), "x \"y\" }\\ \n,z=");
        assert_eq!(sample.label("p"), "q");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for line in [
            "",
            "a",
            "a ",
            "a x",
            "a{ 1",
            "a{b} 1",
            "a{b=\"c} 1",
            "a{b=\"\\\"} 1",
        ] {
            assert!(Figures::parse(line).all("a").is_empty(), "{line}");
        }
        assert_eq!(Figures::parse("a +Inf").number("a"), Some(f64::INFINITY));
    }
}
