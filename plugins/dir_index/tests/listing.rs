//! The plugin against real directories, through the harness: which file answers, what is listed,
//! in which form, and what is never shown.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use dir_index::DirIndex;
use swiftd_plugin::testing::{Answer, Harness, Outgoing};
use tempfile::TempDir;

/// 2026-11-22T14:03:05Z
const NOW_SECS: u64 = 1_795_356_185;

/// A document root below a directory that must not show.
struct Site {
    above: TempDir,
}

impl Site {
    fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        fs::create_dir(above.path().join("root")).unwrap();
        fs::create_dir(above.path().join("outside")).unwrap();
        fs::write(above.path().join("outside/secret.txt"), "secret").unwrap();
        Self { above }
    }

    fn root(&self) -> std::path::PathBuf {
        self.above.path().join("root")
    }

    fn file(&self, name: impl AsRef<[u8]>, bytes: u64) -> &Self {
        let path = self.root().join(OsStr::from_bytes(name.as_ref()));
        File::create(path).unwrap().set_len(bytes).unwrap();
        self
    }

    fn directory(&self, name: impl AsRef<[u8]>) -> &Self {
        fs::create_dir(self.root().join(OsStr::from_bytes(name.as_ref()))).unwrap();
        self
    }

    fn link(&self, name: &str, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.root().join(name)).unwrap();
        self
    }

    /// Dates it, after everything in it has been made.
    fn dated(&self, name: impl AsRef<[u8]>, days_ago: u64) -> &Self {
        let path = self.root().join(OsStr::from_bytes(name.as_ref()));
        let secs = Duration::from_secs(NOW_SECS - days_ago * 86_400);
        let file = File::open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + secs).unwrap();
        self
    }

    fn server(&self) -> Harness<DirIndex> {
        Harness::new().docroot(self.root().to_str().unwrap())
    }

    fn listing(&self) -> Harness<DirIndex> {
        self.server().config("listing", "on")
    }
}

fn json(harness: &mut Harness<DirIndex>, target: &str) -> Answer {
    harness.send(Outgoing::new("GET", target).header("accept", "application/json"))
}

/// The names of a JSON answer, which has one entry a line.
fn names(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{answer}");
    let entries = answer.text().lines().skip(1);
    entries
        .map(|line| {
            line.split("\"name\":\"")
                .nth(1)
                .unwrap()
                .split("\",\"type\"")
                .next()
                .unwrap()
        })
        .collect()
}

/// A page that stays under target/, to be looked at in a browser.
fn keep(name: &str, page: &[u8]) {
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), page).unwrap();
}

fn nasty() -> Site {
    let site = Site::new();
    for name in [
        "photos",
        "100% cotton",
        "a&b",
        "Ünïcødé",
        "日本語のフォルダ",
    ] {
        site.directory(name).dated(name, 3);
    }
    let files: [(&[u8], u64); 21] = [
        (b"file2.txt", 12),
        (b"file10.txt", 1536),
        (b"<img src=x onerror=alert(1)>.html", 0),
        (b"\"double\" 'single' `back`.txt", 77),
        (b"a:b.txt", 4711),
        (b"?sort=name#top.txt", 1 << 20),
        (b"back\\slash", 1),
        (b"new\nline.txt", 2),
        (b"tab\there", 3),
        (b"not utf-8 \xff\xfe.bin", 123_456_789),
        (b"&amp; &lt;entity&gt;.txt", 5),
        (b"   spaces   ", 6),
        (b"image.iso", 5 << 30),
        (b"README", 9000),
        (b"javascript:alert(1)", 8),
        (b"%2e%2e%2f", 9),
        ("evil\u{202e}gpj.exe".as_bytes(), 10),
        ("👩\u{200d}🚀 astronaut.png".as_bytes(), 99_999),
        ("العربية.txt".as_bytes(), 321),
        (b"a-very-long-name-without-any-space-in-it-that-a-narrow-screen-has-to-break-somewhere-0123456789-0123456789-0123456789.tar.gz", 77_777_777),
        (b"-rf", 0),
    ];
    for (at, (name, bytes)) in (0..).zip(files) {
        site.file(name, bytes).dated(name, at * 17);
    }
    site
}

#[test]
fn a_page_can_be_looked_at() {
    let site = nasty();
    let mut harness = site.listing().config("title", "files.example.org");
    keep("root.html", &harness.get("/").body);
    site.directory("photos/2026")
        .directory("photos/2026/A & B \"C\"");
    keep(
        "empty.html",
        &harness.get("/photos/2026/A%20&%20B%20%22C%22/").body,
    );
    for number in 1..=40 {
        site.file(format!("photos/2026/IMG_{number:04}.jpg"), number * 123_457);
    }
    keep(
        "deep.html",
        &harness.get("/photos/2026/?sort=size&order=desc").body,
    );
    let mut harness = site
        .listing()
        .config("max_entries", "12")
        .config("title", "Downloads");
    keep("cut.html", &harness.get("/photos/2026/").body);
}
