//! The list of plugins: what is read from its bytes and from its file, and what is said about a
//! faulty one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use swiftd::plugin::config::{self, BYTES_MAX, ENTRIES_MAX, Place, ReadError};
use tempfile::TempDir;

/// Name, directory and line of each entry.
#[track_caller]
fn entries(text: &str) -> Vec<(String, String, u32)> {
    let parsed = config::parse(text.as_bytes());
    let entries = parsed.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let directory = |place: &Place| match place {
        Place::Directory(path) => path.to_str().unwrap().to_owned(),
        Place::Builtin => "in the program".to_owned(),
    };
    entries
        .into_iter()
        .map(|entry| (entry.name, directory(&entry.place), entry.line))
        .collect()
}

#[track_caller]
fn fault(bytes: &[u8]) -> String {
    let error = config::parse(bytes).expect_err("a faulty list");
    let said = error.to_string();
    assert!(!said.contains(|char: char| char.is_control()), "{said:?}");
    said
}

#[test]
fn a_line_names_a_plugin_and_its_directory() {
    for (text, wanted) in [
        ("a:/b/$\n", &[("a", "/b/", 1)][..]),
        ("a:/b/$", &[("a", "/b/", 1)]),
        ("a:/$\n", &[("a", "/", 1)]),
        ("a:builtin/$\n", &[("a", "in the program", 1)]),
        (
            "a:/b/$\nc_1:/d/e/$\n",
            &[("a", "/b/", 1), ("c_1", "/d/e/", 2)],
        ),
        ("# first\n\na:/b/$\n", &[("a", "/b/", 3)]),
        (
            "a:/with blanks and:colon/#1/\u{fc}/$\n",
            &[("a", "/with blanks and:colon/#1/\u{fc}/", 1)],
        ),
        (
            "a:/same/$\nb:/same/$\n",
            &[("a", "/same/", 1), ("b", "/same/", 2)],
        ),
        // 31 letters.
        (
            "abcdefghijklmnopqrstuvwxyz01234:/b/$",
            &[("abcdefghijklmnopqrstuvwxyz01234", "/b/", 1)],
        ),
    ] {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|&(name, directory, line)| (name.to_owned(), directory.to_owned(), line))
            .collect();
        assert_eq!(entries(text), wanted, "{text:?}");
    }
}

#[test]
fn the_library_is_in_the_directory() {
    let list = config::parse(b"hello:/usr/lib/swiftd/$").unwrap();
    let library = list[0].library();
    assert_eq!(
        library.as_deref(),
        Some(Path::new("/usr/lib/swiftd/hello.so"))
    );
}

#[test]
fn a_list_of_comments_and_blanks_is_empty() {
    for text in [
        "# none",
        "#",
        "# none\n",
        "\n",
        " \t\n",
        "\r\n",
        "  # \ttabs \u{fc}\n\n",
        "#a:/b/$",
    ] {
        assert_eq!(entries(text), [], "{text:?}");
    }
}

#[test]
fn blanks_around_a_line_and_foreign_line_ends_do_not_matter() {
    let wanted = [
        ("a".to_owned(), "/b/".to_owned(), 1),
        ("c".to_owned(), "/d/".to_owned(), 2),
    ];
    for text in [
        "a:/b/$\r\nc:/d/$\r\n",
        " a:/b/$ \n\tc:/d/$\t",
        "a:/b/$\r\nc:/d/$\r",
        "a:/b/$ \r\nc:/d/$",
    ] {
        assert_eq!(entries(text), wanted, "{text:?}");
    }
}

#[test]
fn a_faulty_list_is_refused_with_line_and_cure() {
    for (bytes, line, wanted) in [
        (
            &b""[..],
            1,
            "the file is empty: truncated while it is saved? to unload all plugins, leave a comment in it",
        ),
        (
            b"a:/b/$\nc:/d/\n",
            2,
            "no $ at the end: was the file cut off? write NAME:/DIR/$",
        ),
        (b"a", 1, "no $ at the end"),
        (b"# x\n\nhello:/usr/lib", 3, "no $ at the end"),
        (b"a:/b/$ # mine", 1, "something behind the $"),
        (b"a:/b/$c:/d/$", 1, "something behind the $"),
        (b"a:/b$/c/$", 1, "without $ in DIR"),
        (b"a:/b/$$", 1, "something behind the $"),
        (b"hello$", 1, "no colon behind the name"),
        (b"/usr/lib/$", 1, "no colon"),
        (
            b":/b/$",
            1,
            "\"\": expected a plugin's name: a small letter",
        ),
        (b"A:/b/$", 1, "\"A\": expected a plugin's name"),
        (b"1a:/b/$", 1, "expected a plugin's name"),
        (b"_a:/b/$", 1, "expected a plugin's name"),
        (b"a-b:/b/$", 1, "\"a-b\": expected a plugin's name"),
        (b"a :/b/$", 1, "\"a \": expected a plugin's name"),
        (
            b"abcdefghijklmnopqrstuvwxyz012345:/b/$",
            1,
            "expected a plugin's name",
        ),
        (
            "\u{feff}a:/b/$".as_bytes(),
            1,
            "\"\\u{feff}a\": expected a plugin's name",
        ),
        (
            b"a:/b/$\nb:/b/$\na:/c/$",
            3,
            "a is in line 1 already; remove one of them",
        ),
        (
            b"a:b/$",
            1,
            "\"b/\" is no absolute directory; begin it with a slash",
        ),
        (b"a:$", 1, "\"\" is no absolute directory"),
        (b"a: /b/$", 1, "\" /b/\" is no absolute directory"),
        (b"a:./$", 1, "no absolute directory"),
        (b"a:/b$", 1, "no slash between \"/b\" and the $"),
        (b"a:/b/ $", 1, "no slash between \"/b/ \" and the $"),
        (
            b"a:/b/$\n\0\0\0\0",
            2,
            "a control character, \\u{0}; remove it",
        ),
        (b"# \0", 1, "a control character"),
        (b"a:/b\t/$", 1, "a control character, \\u{9}"),
        (b"a:/b/$\rb:/c/$", 1, "a control character, \\u{d}"),
        (b"a:/\x1b[2J/$", 1, "a control character, \\u{1b}"),
        ("a:/\u{85}/$".as_bytes(), 1, "a control character, \\u{85}"),
        (b"# \xfc\na:/b/$", 1, "not UTF-8"),
        (b"a:/b/$\nb:/\xff/$", 2, "not UTF-8; save the file as UTF-8"),
    ] {
        let said = fault(bytes);
        let shown = String::from_utf8_lossy(bytes);
        assert!(
            said.starts_with(&format!("line {line}: ")),
            "{shown:?}: {said}"
        );
        assert!(said.contains(wanted), "{shown:?}: {said}");
    }
}

#[test]
fn an_error_names_the_file_in_one_line() {
    let error = config::parse(b"a:/b/$\nb:c/$").unwrap_err();
    assert_eq!(
        error.describe(Path::new("/etc/pl\nugins.conf")),
        "/etc/pl\\nugins.conf:2: \"c/\" is no absolute directory; begin it with a slash: NAME:/DIR/$"
    );
}

#[test]
fn everything_has_a_bound() {
    let list = |count: usize| -> String { (0..count).map(|i| format!("p{i}:/d/$\n")).collect() };
    assert_eq!(entries(&list(ENTRIES_MAX)).len(), ENTRIES_MAX);
    let said = fault(list(ENTRIES_MAX + 1).as_bytes());
    assert!(said.starts_with("line 65: more than 64 plugins"), "{said}");

    let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert_eq!(entries(&comment(BYTES_MAX)), []);
    assert!(fault(comment(BYTES_MAX + 1).as_bytes()).contains("longer than 65536 bytes"));

    // The path is PATH_MAX without its NUL: slash, letters, slash, "a.so".
    let line = |letters: usize| format!("a:/{}/$", "x".repeat(letters));
    let longest = 4095 - "//a.so".len();
    assert_eq!(entries(&line(longest)).len(), 1);
    assert!(fault(line(longest + 1).as_bytes()).contains("longer than 4095 bytes"));
}

#[test]
fn what_is_cut_off_lists_nothing_that_the_whole_does_not() {
    let whole = "# two\r\nhello:/usr/lib/swiftd/$\r\n\n  # \u{fc}\nb:/usr/lib/$\nhell:/u/$";
    let list = config::parse(whole.as_bytes()).unwrap();
    assert_eq!(list.len(), 3);
    let mut accepted = 0;
    for end in 0..whole.len() {
        if let Ok(cut) = config::parse(&whole.as_bytes()[..end]) {
            assert!(list.starts_with(&cut), "{:?}", &whole[..end]);
            accepted += 1;
        }
    }
    assert!(accepted > 5 && accepted < whole.len() / 2, "{accepted}");
}

#[test]
fn a_file_is_read_once_it_is_trusted() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("plugins.conf");
    let read = |path: &Path| config::read(path, |_, _| Ok(()));
    assert!(
        matches!(read(&path), Ok(None)),
        "a missing file is no error"
    );

    fs::write(&path, "a:/b/$").unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"a:/b/$");
    let link = directory.path().join("link");
    symlink("plugins.conf", &link).unwrap();
    assert_eq!(read(&link).unwrap().unwrap(), b"a:/b/$");

    let refused = config::read(&path, |asked, opened| {
        assert_eq!((asked, opened.meta.bytes), (&*path, 6));
        Err("writable by others; chmod o-w".into())
    });
    let refused = refused.expect_err("the check said no");
    assert!(matches!(refused, ReadError::Untrusted(_)));
    assert_eq!(refused.to_string(), "writable by others; chmod o-w");
}

#[test]
fn what_is_no_small_regular_file_is_not_read() {
    let directory = TempDir::new().unwrap();
    let read = |path: &Path| config::read(path, |_, _| Ok(())).expect_err("no list");
    let said = read(directory.path()).to_string();
    assert!(said.contains("not a regular file"), "{said}");

    // Nobody writes into it: to open it must not wait.
    let fifo = directory.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    assert!(matches!(read(&fifo), ReadError::Special));

    let path = directory.path().join("long");
    fs::write(&path, vec![b'#'; BYTES_MAX + 1]).unwrap();
    assert!(matches!(read(&path), ReadError::TooLong));
    fs::write(&path, vec![b'#'; BYTES_MAX]).unwrap();
    let whole = config::read(&path, |_, _| Ok(())).unwrap().unwrap();
    assert_eq!(whole.len(), BYTES_MAX);

    let circle = directory.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(matches!(read(&circle), ReadError::System(_)));
}
