//! A site with a server that logs, and what it has logged.

use crate::server::{PATIENCE, Server, pattern};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

/// A site, and a place for logs beside it.
pub(super) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let site = folder.path().join("site");
        fs::create_dir(&site).unwrap();
        fs::write(site.join("a.txt"), "hello").unwrap();
        fs::write(site.join("large.bin"), pattern(8_000_000, 1)).unwrap();
        Self { folder }
    }

    /// A path beside the site.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server of the site.
    pub(super) fn serve(&self, options: &[&str]) -> Server {
        Server::start(&self.path("site"), options)
    }

    /// One that logs requests into the file `access`.
    pub(super) fn serve_logging(&self, options: &[&str]) -> Server {
        let access = self.path("access");
        let log = ["--access-log", access.to_str().unwrap()];
        self.serve(&[&log, options].concat())
    }
}

/// The lines of a file; it ends with a whole one. What [`Server::wait_until_idle`] asks for is left
/// out.
pub(super) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap();
    let text = String::from_utf8(text).expect("lines of text");
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let is_ours = |line: &&str| !line.contains("/.nothing");
    text.lines().filter(is_ours).map(str::to_owned).collect()
}

/// Waits until something is so.
#[track_caller]
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits until a file has so many lines, and returns them.
#[track_caller]
pub(super) fn wait_for_lines(path: &Path, count: usize) -> Vec<String> {
    let is_there = || {
        let text = fs::read(path).unwrap_or_default();
        text.ends_with(b"\n") && text.split(|&byte| byte == b'\n').count() > count
    };
    wait_until(&format!("{count} lines in {}", path.display()), is_there);
    lines(path)
}
