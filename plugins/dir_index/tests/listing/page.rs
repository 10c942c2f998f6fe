//! The page and its JSON: what they look like, and that no name breaks them.

use std::collections::BTreeSet;
use std::fs::{self, File};

use crate::site::{Site, ask, json, keep, linked, names};

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
    let style = include_str!("../../src/style.css");
    let page = page.text().replace(style, "(style.css)\n");
    // What it is now, should it differ, is under target/tmp.
    keep("page.html", page.as_bytes());
    let object = harness.send(json("/a/?sort=date"));
    keep("page.json", &object.body);
    assert_eq!(page, include_str!("page.html"));
    assert_eq!(object.text(), include_str!("page.json"));
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
        assert_eq!(answer.header("vary"), Some("Accept"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    }
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
