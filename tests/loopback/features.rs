//! The feature sets of the kernel that all tests of files run with.

use crate::server::{Server, program};
use std::path::Path;

/// Options that make the server do without something, as on an older kernel.
pub(crate) const SETS: [&[&str]; 6] = [
    &[],
    &["--avoid", "cachestat"],
    &["--avoid", "nowait"],
    &["--avoid", "resolve-cached"],
    &["--avoid", "openat2"],
    &[
        "--avoid",
        "cachestat",
        "--avoid",
        "nowait",
        "--avoid",
        "resolve-cached",
        "--avoid",
        "openat2",
    ],
];

/// Runs a check against a server of `root` with each feature set, and ends each server. `files`
/// are those that may be cached at the end.
pub(crate) fn with_each(root: &Path, options: &[&str], files: usize, check: impl Fn(&Server)) {
    for set in SETS {
        let server = Server::start(root, &[set, options].concat());
        check(&server);
        server.finish(files);
    }
}

#[test]
fn every_set_is_accepted_and_named_in_the_help() {
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    for option in SETS.concat().iter().filter(|&&option| option != "--avoid") {
        assert!(help.contains(option), "{option}");
    }
}
