//! A document root on disk, the server for it, and what one asks of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dir_index::DirIndex;
use swiftd_plugin::testing::{Answer, Harness, Outgoing};
use tempfile::TempDir;

/// 2026-11-22T14:03:05Z
const NOW_SECS: u64 = 1_795_356_185;

/// A document root below a directory that must not show.
pub(crate) struct Site {
    above: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        fs::create_dir(above.path().join("root")).unwrap();
        fs::create_dir(above.path().join("outside")).unwrap();
        fs::write(above.path().join("outside/secret.txt"), "secret").unwrap();
        Self { above }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.above.path().join("root")
    }

    pub(crate) fn file(&self, name: impl AsRef<[u8]>, bytes: u64) -> &Self {
        let path = self.root().join(OsStr::from_bytes(name.as_ref()));
        File::create(path).unwrap().set_len(bytes).unwrap();
        self
    }

    pub(crate) fn directory(&self, name: impl AsRef<[u8]>) -> &Self {
        fs::create_dir(self.root().join(OsStr::from_bytes(name.as_ref()))).unwrap();
        self
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.root().join(name)).unwrap();
        self
    }

    /// Dates it, after everything in it has been made.
    pub(crate) fn dated(&self, name: impl AsRef<[u8]>, days_ago: u64) -> &Self {
        let path = self.root().join(OsStr::from_bytes(name.as_ref()));
        let secs = Duration::from_secs(NOW_SECS - days_ago * 86_400);
        let file = File::open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + secs).unwrap();
        self
    }

    pub(crate) fn server(&self) -> Harness<DirIndex> {
        Harness::new().docroot(self.root().to_str().unwrap())
    }

    pub(crate) fn listing(&self) -> Harness<DirIndex> {
        self.server().config("listing", "on")
    }
}

pub(crate) fn ask(method: &str, target: &str) -> Outgoing {
    Outgoing::new(method, target)
}

pub(crate) fn json(target: &str) -> Outgoing {
    ask("GET", target).header("accept", "application/json")
}

/// The names in a JSON answer, which has one entry a line.
pub(crate) fn names(answer: &Answer) -> Vec<&str> {
    assert!(answer.is_claimed && answer.status == 200, "{answer}");
    let entries = answer.text().lines().skip(1);
    entries
        .map(|line| {
            let (_, name) = line.split_once("\"name\":\"").unwrap();
            name.split_once("\",\"type\"").unwrap().0
        })
        .collect()
}

/// A page that stays under target/, to be looked at in a browser.
pub(crate) fn keep(name: &str, page: &[u8]) {
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), page).unwrap();
}

/// The page's links outside of its head and its navigation, decoded.
pub(crate) fn linked(page: &str) -> BTreeSet<Vec<u8>> {
    let (_, body) = page.split_once("<tbody>").unwrap();
    let hrefs = body.split("href=\"").skip(1);
    hrefs
        .map(|rest| {
            let (href, _) = rest.split_once('"').unwrap();
            percent_decoded(href)
        })
        .collect()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
