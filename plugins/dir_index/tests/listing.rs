//! The plugin against real directories, through the harness: which file answers, what is listed,
//! in which form, and what is never shown.

use std::collections::BTreeSet;
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

fn ask(method: &str, target: &str) -> Outgoing {
    Outgoing::new(method, target)
}

fn json(target: &str) -> Outgoing {
    ask("GET", target).header("accept", "application/json")
}

/// The names in a JSON answer, which has one entry a line.
fn names(answer: &Answer) -> Vec<&str> {
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
    let inner = "/photos/2026/A%20&%20B%20%22C%22/";
    site.directory("photos/2026")
        .directory("photos/2026/A & B \"C\"");
    let empty = harness.get(inner);
    keep("empty.html", &empty.body);
    assert!(empty.text().contains("This directory is empty."));
    for number in 1..=40 {
        site.file(format!("photos/2026/IMG_{number:04}.jpg"), number * 123_457);
    }
    let deep = harness.get("/photos/2026/?sort=size&order=desc");
    keep("deep.html", &deep.body);
    assert!(deep.text().contains("<p>1 directory, 40 files, "));
    let mut harness = site.listing().config("max_entries", "12");
    keep("cut.html", &harness.get("/photos/2026/").body);
}

#[test]
fn the_page_is_as_it_was_seen() {
    let site = Site::new();
    site.directory("a")
        .directory("a/<b> & \"c\"")
        .dated("a/<b> & \"c\"", 1);
    for (name, bytes, days_ago) in [
        (&b"file10.txt"[..], 1536, 2),
        (b"file2.txt", 0, 3),
        (b"a:b?c#d%e.txt", 1_234_567, 4),
        (b"new\nline", 1, 5),
        (b"\xff\xfe", 1, 6),
    ] {
        let path = [b"a/", name].concat();
        site.file(&path, bytes).dated(&path, days_ago);
    }
    let mut harness = site.listing().config("title", "Files & more");
    let page = harness.get("/a/?sort=date");
    let style = include_str!("../src/style.css");
    let page = page.text().replace(style, "(style.css)\n");
    // What it is now, should it differ, is under target/tmp.
    keep("page.html", page.as_bytes());
    let object = harness.send(json("/a/?sort=date"));
    keep("page.json", &object.body);
    assert_eq!(page, include_str!("page.html"));
    assert_eq!(object.text(), include_str!("page.json"));
}

#[test]
fn the_first_index_that_is_a_file_answers() {
    let site = Site::new();
    site.file("index.htm", 1)
        .directory("index.html")
        .directory("a")
        .file("a/index.html", 1)
        .file("a/index.htm", 1);
    let mut harness = site.listing().config("index", "index.html, index.htm");
    for (path, index) in [("/", "index.htm"), ("/a/", "a/index.html")] {
        let answer = harness.get(path);
        assert!(!answer.is_claimed, "{answer}");
        assert_eq!(Path::new(&answer.physical), site.root().join(index));
        assert_eq!(answer.path, path);
    }
}

#[test]
fn without_listing_the_server_answers_for_a_directory() {
    let site = Site::new();
    site.directory("a").file("a/b", 1);
    let answer = site.server().get("/a/");
    assert!(!answer.is_claimed && answer.status == 404, "{answer}");
    assert_eq!(Path::new(&answer.physical), site.root().join("a/"));
}

#[test]
fn what_is_not_a_directory_to_be_seen_is_left_to_the_server() {
    let site = Site::new();
    site.directory("a")
        .directory(".git")
        .directory("a/.svn")
        .directory("a/.svn/b")
        .file("file", 1)
        .link("out", "../outside")
        .link("absolute", site.root().join("a"))
        .link("loop", "loop");
    let mut harness = site.listing();
    let paths = [
        "/a",
        "/file",
        "/file/",
        "/missing/",
        "/.git/",
        "/a/.svn/",
        "/a/.svn/b/",
        "/out/",
        "/absolute/",
        "/loop/",
        "/../outside/",
        "/a/%2e%2e/%2e%2e/outside/",
    ];
    for path in paths {
        let answer = harness.get(path);
        assert!(!answer.is_claimed, "{path}: {answer}");
    }
    for method in ["POST", "OPTIONS", "PUT", "DELETE", "get"] {
        let answer = harness.send(ask(method, "/a/"));
        assert!(!answer.is_claimed, "{method}: {answer}");
    }
}

#[test]
fn an_index_outside_of_the_root_does_not_answer() {
    let site = Site::new();
    site.link("index.html", "../outside/secret.txt")
        .link("index.htm", site.root().join("file"))
        .file("file", 1)
        .link("index.txt", "file");
    let mut harness = site
        .server()
        .config("index", "index.html\nindex.htm\nindex.txt");
    let answer = harness.get("/");
    assert_eq!(Path::new(&answer.physical), site.root().join("index.txt"));
}

#[test]
fn only_what_the_server_would_send_is_listed() {
    let site = Site::new();
    site.directory("d")
        .file("f", 7)
        .file(".hidden", 1)
        .file("old~", 1)
        .file("a.bak", 1)
        .link("to-d", "d")
        .link("to-f", "d/../f")
        .link("twice", "to-f")
        .link("broken", "nowhere")
        .link("out", "../outside/secret.txt")
        .link("out-dir", "../outside")
        .link("there-and-back", "../root/f")
        .link("absolute", site.root().join("f"))
        .link("passwd", "/etc/passwd")
        .link("loop", "loop");
    let _socket = std::os::unix::net::UnixListener::bind(site.root().join("socket")).unwrap();
    let mut harness = site.listing().config("hide", "*~\n*.bak");
    let answer = harness.send(json("/"));
    assert_eq!(names(&answer), ["d", "to-d", "f", "to-f", "twice"]);
    let text = answer.text();
    assert!(text.contains("{\"name\":\"to-d\",\"type\":\"directory\",\"size\":null,"));
    assert!(text.contains("{\"name\":\"twice\",\"type\":\"file\",\"size\":7,"));
    let inside = harness.send(json("/to-d/"));
    assert_eq!(names(&inside), [""; 0]);
}

#[test]
fn the_order_is_chosen_by_the_query() {
    let site = Site::new();
    site.directory("d").dated("d", 9);
    for (name, bytes, days_ago) in [("b2", 30, 2), ("b10", 10, 3), ("a", 20, 1)] {
        site.file(name, bytes).dated(name, days_ago);
    }
    let mut harness = site.listing();
    for (query, expected) in [
        ("", "d a b2 b10"),
        ("?sort=name&order=desc", "d b10 b2 a"),
        ("?sort=size", "d b10 a b2"),
        ("?sort=size&order=desc", "d b2 a b10"),
        ("?sort=date&order=asc", "d b10 b2 a"),
        ("?<script>", "d a b2 b10"),
    ] {
        let answer = harness.send(json(&format!("/{query}")));
        assert_eq!(names(&answer).join(" "), expected, "{query}");
    }
    let page = harness.get("/?sort=size&order=desc");
    let text = page.text();
    assert!(text.contains(
        "<th scope=\"col\" aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\""
    ));
    assert!(text.contains("<th scope=\"col\"><a href=\"?sort=name&amp;order=asc\""));
    assert!(text.contains("<th scope=\"col\"><a href=\"?sort=date&amp;order=desc\""));
}

#[test]
fn fields_say_how_it_may_be_used() {
    let site = Site::new();
    site.directory("a").file("a/b", 1);
    let mut harness = site.listing();
    let answers = [
        (harness.get("/a/"), "text/html; charset=utf-8"),
        (harness.send(json("/a/")), "application/json"),
        (harness.send(ask("HEAD", "/a/")), "text/html; charset=utf-8"),
    ];
    for (answer, content_type) in answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("vary"), Some("accept"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    }
}

/// The page's links outside of its head and its navigation, decoded.
fn linked(page: &str) -> BTreeSet<Vec<u8>> {
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

/// Names of all bytes, from a seed.
fn random_name(state: &mut u64) -> Vec<u8> {
    const NASTY: &[u8] = b"<>&\"'%?#:;\\ \n\t\xc3\xa9\xff";
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state >> 40).unwrap()
    };
    let length = 1 + next() % 12;
    let mut name = vec![b'n'];
    name.extend((0..length).map(|_| match next() % 2 {
        0 => NASTY[next() % NASTY.len()],
        _ => u8::try_from(1 + next() % 255).unwrap(),
    }));
    name.retain(|&byte| byte != b'/');
    name
}

#[test]
fn every_name_is_linked_by_its_bytes_and_breaks_nothing() {
    let site = Site::new();
    let mut state = 0x1234_5678_9abc_def1;
    let names: BTreeSet<Vec<u8>> = (0..500).map(|_| random_name(&mut state)).collect();
    for name in &names {
        site.file(name, 1);
    }
    let page = site.listing().get("/");
    let can_be_requested = |name: &Vec<u8>| !name.iter().any(u8::is_ascii_control);
    let expected: BTreeSet<_> = names
        .iter()
        .filter(|name| can_be_requested(name))
        .cloned()
        .collect();
    assert!(expected.len() > 100 && expected.len() < names.len());
    assert_eq!(linked(page.text()), expected);
    let (_, body) = page.text().split_once("<tbody>").unwrap();
    let body = body
        .replace("<tr><td><a href=\"", "")
        .replace("\"><bdi>", "");
    let body = body.replace(
        "<tr><td><span class=\"off\" title=\"No URL can name this",
        "",
    );
    for rest in body.split('<').skip(1) {
        let tags = [
            "/bdi>",
            "/a>",
            "/span>",
            "/td>",
            "td title=\"1 byte\">",
            "td>",
            "/tr>",
            "time datetime=\"",
            "/time>",
            "/tbody>",
            "/table>",
            "/div>",
            "/main>",
            "/body>",
            "/html>",
        ];
        assert!(tags.iter().any(|tag| rest.starts_with(tag)), "<{rest}");
    }
}

#[test]
fn a_list_is_cut_at_its_bound_and_says_so() {
    let site = Site::new();
    for number in 0..30 {
        site.file(format!("f{number}"), 1);
    }
    let mut harness = site.listing().config("max_entries", "29");
    let answer = harness.send(json("/"));
    assert_eq!(names(&answer).len(), 29);
    assert!(answer.text().contains("\"truncated\":true"));
    assert!(harness.get("/").text().contains("class=\"cut\""));
    let mut harness = site.listing().config("max_entries", "30");
    let answer = harness.send(json("/"));
    assert_eq!(names(&answer).len(), 30);
    assert!(answer.text().contains("\"truncated\":false"));
    assert!(!harness.get("/").text().contains("class=\"cut\""));
}

#[test]
fn fifty_thousand_entries_are_listed() {
    let site = Site::new();
    let first = site.root().join("f0");
    File::create(&first).unwrap();
    for number in 1..50_000 {
        fs::hard_link(&first, site.root().join(format!("f{number}"))).unwrap();
    }
    let answer = site.listing().get("/");
    assert!(answer.text().contains("<p>50,000 files, "));
    assert_eq!(answer.text().matches("<tr><td>").count(), 50_000);
    let (_, last) = answer.text().rsplit_once("<a href=\"").unwrap();
    assert!(last.starts_with("f49999\""), "{last}");
}

#[test]
fn what_was_found_is_believed_for_a_second() {
    let site = Site::new();
    site.file("index.html", 1);
    let index = site.root().join("index.html");
    let mut harness = site.server();
    assert_eq!(Path::new(&harness.get("/").physical), index);
    fs::remove_file(&index).unwrap();
    harness.advance(999);
    assert_eq!(Path::new(&harness.get("/").physical), index);
    harness.advance(1);
    assert_eq!(Path::new(&harness.get("/").physical), site.root().join(""));
}

#[test]
fn the_loop_does_not_wait_for_the_disk() {
    let site = Site::new();
    site.directory("a").file("a/b", 1);
    let mut harness = site.listing().hold_jobs();
    let exchange = harness.start(ask("GET", "/a/"));
    assert!(harness.is_waiting(exchange));
    harness.wake(exchange);
    assert!(harness.is_waiting(exchange));
    harness.run_jobs();
    assert!(harness.is_waiting(exchange));
    harness.run_jobs();
    let answer = harness.finish(exchange);
    assert_eq!(
        linked(answer.text()),
        BTreeSet::from([b"../".to_vec(), b"b".to_vec()])
    );
}

#[test]
fn a_directory_that_becomes_something_else_is_not_found() {
    let swaps: [fn(&Site); 3] = [
        |_| {},
        |site| {
            site.file("a", 1);
        },
        |site| {
            site.link("a", "../outside");
        },
    ];
    for swap in swaps {
        let site = Site::new();
        site.directory("a");
        let mut harness = site.listing().hold_jobs();
        let exchange = harness.start(ask("GET", "/a/"));
        harness.run_jobs();
        fs::remove_dir(site.root().join("a")).unwrap();
        swap(&site);
        harness.run_jobs();
        let answer = harness.finish(exchange);
        assert!(answer.is_claimed && answer.status == 404, "{answer}");
    }
}

#[test]
fn a_client_that_goes_leaves_nothing_behind() {
    let site = Site::new();
    site.directory("a");
    for rounds in 0..3 {
        let mut harness = site.listing().hold_jobs();
        let exchange = harness.start(ask("GET", "/a/"));
        for _ in 0..rounds {
            harness.run_jobs();
        }
        if rounds < 2 {
            assert_eq!(harness.gone(exchange).status, 0);
        } else {
            assert_eq!(harness.finish(exchange).status, 200);
        }
    }
}

#[test]
fn a_value_that_is_not_understood_is_refused() {
    for (key, value, expected) in [
        ("listing", "maybe", "expected on or off"),
        ("max_entries", "0", "expected a number from 1 to 1000000"),
        ("index", "../index.html", "expected file names"),
    ] {
        let error = Harness::<DirIndex>::new()
            .config(key, value)
            .load()
            .unwrap_err();
        let is_clear = error.contains(key) && error.contains(value) && error.contains(expected);
        assert!(is_clear, "{error}");
    }
}
