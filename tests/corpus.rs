//! Replays every collected input of every fuzz target through the body of that target.
//!
//! `fuzz/corpus/` holds what reaches all code that the fuzzer knows to reach, `fuzz/regressions/`
//! what once failed. A target without a corpus would pass unseen, so it fails here.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use swiftd::fuzzing::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Runs all inputs in a directory; tells how many there are and which failed.
fn replay(directory: &Path, body: fn(&[u8])) -> (usize, Vec<PathBuf>) {
    let inputs: Vec<_> = names(directory)
        .iter()
        .map(|name| directory.join(name))
        .collect();
    let has_failed = |input: &PathBuf| {
        let bytes = fs::read(input).unwrap();
        panic::catch_unwind(|| body(&bytes)).is_err()
    };
    let failed = inputs.iter().filter(|input| has_failed(input)).cloned();
    (inputs.len(), failed.collect())
}

#[test]
fn every_collected_input_still_passes() {
    let mut failures = Vec::new();
    for (name, body) in TARGETS {
        let (count, failed) = replay(&fuzz().join("corpus").join(name), body);
        assert!(count > 0, "the corpus of {name} is empty");
        failures.extend(failed);
        let regressions = fuzz().join("regressions").join(name);
        if regressions.exists() {
            failures.extend(replay(&regressions, body).1);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_target_has_a_file_and_a_corpus() {
    let targets: BTreeSet<_> = TARGETS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names(&fuzz().join("corpus")), targets);
    let files = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), files);
    let regressions = names(&fuzz().join("regressions"));
    assert!(regressions.is_subset(&targets), "{regressions:?}");
}
