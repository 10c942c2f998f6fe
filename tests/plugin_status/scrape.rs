//! Reads the Prometheus text format, version 0.0.4, and is strict about it: a text with anything
//! wrong is a failed test. What promtool wants beyond the grammar is wanted here, too.

use std::collections::{BTreeMap, BTreeSet};

/// A text that was read.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// By the name with its labels, as they are written.
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads a text.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut scrape = Self {
            samples: BTreeMap::new(),
            kinds: BTreeMap::new(),
        };
        let (mut helped, mut family) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(
                    !words.trim().is_empty() && helped.insert(name.to_owned()),
                    "{line}"
                );
                family = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family, "HELP and TYPE are of one family");
                check_family(name, kind);
                let old = scrape.kinds.insert(name.into(), kind.into());
                assert!(old.is_none(), "a family comes once: {line}");
            } else {
                scrape.add(line, &family);
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn add(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let kind = self
            .kinds
            .get(family)
            .unwrap_or_else(|| panic!("no TYPE before {line}"));
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{line} in {family}"));
        let is_part = ["_bucket", "_sum", "_count"].contains(&suffix);
        assert_eq!(is_part, kind == "histogram", "{line}");
        assert!(is_part || suffix.is_empty(), "{line}");
        check_labels(&series[name.len()..], line);
        let value: f64 = value.parse().unwrap();
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        let old = self.samples.insert(series.to_owned(), value);
        assert!(old.is_none(), "a sample comes once: {line}");
    }

    fn check_histograms(&self) {
        for (name, _) in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let begin = format!("{name}_bucket{{le=\"");
            let buckets = self.samples.iter().filter_map(|(series, count)| {
                let bound = series.strip_prefix(&begin)?.strip_suffix("\"}")?;
                Some((bound.parse::<f64>().unwrap(), *count))
            });
            let mut buckets: Vec<(f64, f64)> = buckets.collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{name}: {buckets:?}"
            );
            let (bound, all) = *buckets.last().unwrap();
            assert_eq!(bound, f64::INFINITY, "{name}");
            assert_eq!(all, self.get(&format!("{name}_count")), "{name}");
            assert!(self.get(&format!("{name}_sum")) >= 0.0, "{name}");
        }
    }

    /// A sample, by its name with its labels.
    #[track_caller]
    pub(crate) fn get(&self, series: &str) -> f64 {
        let found = self.samples.get(series).copied();
        found.unwrap_or_else(|| panic!("no {series} in {:#?}", self.samples))
    }

    /// The sum of all samples that begin like this.
    pub(crate) fn sum(&self, begin: &str) -> f64 {
        let found = self
            .samples
            .iter()
            .filter(|(series, _)| series.starts_with(begin));
        found.map(|(_, value)| value).sum()
    }

    /// The names of all samples, with their labels.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// Nothing that only goes up has gone down since.
    pub(crate) fn assert_follows(&self, before: &Self) {
        for (series, now) in &self.samples {
            let name = series.split('{').next().unwrap();
            let is_gauge = self.kinds.get(name).is_some_and(|kind| kind == "gauge");
            let then = before.samples.get(series).filter(|_| !is_gauge);
            assert!(
                then.is_none_or(|then| then <= now),
                "{series} goes back to {now}"
            );
        }
    }
}

fn is_name(name: &str, others: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || others.contains(char);
    name.chars().all(is_part)
        && !name.starts_with(|char: char| char.is_ascii_digit())
        && !name.is_empty()
}

fn check_family(name: &str, kind: &str) {
    assert!(is_name(name, "_:"), "{name}");
    assert!(
        ["gauge", "counter", "histogram"].contains(&kind),
        "{name} {kind}"
    );
    let is_total = name.ends_with("_total");
    assert_eq!(
        is_total,
        kind == "counter",
        "only counters are totals: {name}"
    );
    for end in ["_bucket", "_sum", "_count", "_gauge", "_histogram"] {
        assert!(!name.ends_with(end), "{name}");
    }
    for unit in ["_ms", "_us", "_kib", "_mib", "_minutes", "_percent"] {
        assert!(
            !format!("{name}_").contains(&format!("{unit}_")),
            "a base unit: {name}"
        );
    }
}

/// `{a="x",b="y"}` or nothing.
fn check_labels(labels: &str, line: &str) {
    if labels.is_empty() {
        return;
    }
    let mut rest = labels.strip_prefix('{').unwrap();
    let mut seen = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(
            is_name(name, "_") && !name.starts_with("__") && seen.insert(name),
            "{line}"
        );
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => {
                    let escaped = chars.next().map(|(_, char)| char);
                    assert!(matches!(escaped, Some('\\' | '"' | 'n')), "{line}");
                }
                Some((at, '"')) => break at,
                Some(_) => {}
                None => panic!("no end of a value: {line}"),
            }
        };
        match &value[end + 1..] {
            "}" => return,
            more => rest = more.strip_prefix(',').unwrap_or_else(|| panic!("{line}")),
        }
    }
}

#[test]
#[should_panic(expected = "a sample comes once")]
fn a_text_with_a_sample_twice_is_wrong() {
    Scrape::parse("# HELP a x\n# TYPE a gauge\na 1\na 2\n");
}

#[test]
#[should_panic(expected = "no TYPE before")]
fn a_text_without_a_type_is_wrong() {
    Scrape::parse("# HELP a x\na 1\n");
}

#[test]
#[should_panic(expected = "t: [(1.0, 2.0), (inf, 1.0)]")]
fn a_histogram_that_does_not_add_up_is_wrong() {
    Scrape::parse(
        "# HELP t x\n# TYPE t histogram\nt_bucket{le=\"1\"} 2\nt_bucket{le=\"+Inf\"} 1\nt_sum 1\nt_count 1\n",
    );
}
