//! Which files are served, with every feature set of the kernel: links, hidden files, things that
//! are no files, siblings, odd names.

use crate::features::with_each;
use crate::server::{Client, Server, assert_same, copy_program, pattern, program};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A directory with `site`, the root, and `outside` with something that must never be served.
fn grounds() -> TempDir {
    let grounds = TempDir::new().unwrap();
    for name in ["site/inside/deep", "outside"] {
        fs::create_dir_all(grounds.path().join(name)).unwrap();
    }
    fs::write(grounds.path().join("outside/file"), "OUTSIDE").unwrap();
    fs::write(grounds.path().join("site/inside/file"), "inside").unwrap();
    grounds
}

#[test]
fn links_are_followed_inside_the_root_and_never_out_of_it() {
    let grounds = grounds();
    let root = grounds.path().join("site");
    let outside = grounds.path().join("outside");
    for (target, name) in [
        ("inside/file", "to-file"),
        ("inside", "to-directory"),
        ("../inside/deep/../file", "inside/deep-way"),
        ("to-file", "to-link"),
        ("../outside/file", "out-file"),
        ("../outside", "out-directory"),
        ("../site/inside/file", "out-and-in"),
        ("inside/../../outside/file", "out-after-in"),
        ("/etc/passwd", "absolute"),
        ("loop", "loop"),
        ("nowhere", "dangling"),
        ("/proc/self/root", "magic"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    // Even one that leads to a file of the root is absolute, and so leaves it.
    symlink(root.join("inside/file"), root.join("absolute-inside")).unwrap();
    symlink(&outside, root.join("absolute-directory")).unwrap();
    with_each(&root, &[], 0, |server| {
        let mut client = server.connect();
        for name in ["to-file", "to-directory/file", "inside/deep-way", "to-link"] {
            let response = client.get(&format!("/{name}"));
            assert_eq!((response.status, &response.body[..]), (200, &b"inside"[..]));
        }
        for name in [
            "out-file",
            "out-directory/file",
            "out-directory/",
            "out-directory",
            "out-and-in",
            "out-after-in",
            "absolute",
            "absolute-inside",
            "absolute-directory/file",
            "loop",
            "loop/",
            "dangling",
            "magic/etc/passwd",
            "inside/..%2f..%2foutside/file",
            "%2e%2e/outside/file",
            "inside/file/",
            "inside/file/x",
        ] {
            // One of its own for each, since a 400 ends a connection.
            let response = server.get(&format!("/{name}"));
            assert!(matches!(response.status, 404 | 400), "{name}: {response:?}");
            assert!(!response.body.windows(7).any(|part| part == b"OUTSIDE"));
        }
    });
}

#[test]
fn a_directory_that_becomes_a_link_never_leads_outside() {
    let grounds = grounds();
    let root = grounds.path().join("site");
    let (real, link) = (root.join("swapped"), root.join("other"));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("file"), "inside").unwrap();
    symlink("../outside", &link).unwrap();
    with_each(&root, &["--cache-trust", "0"], 0, |server| {
        let is_over = AtomicBool::new(false);
        let mut inside_count = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            // The swapping ends in any case, also if something below panics.
            let _ends = Ends(&is_over);
            let mut client = server.connect();
            for _ in 0..200 {
                for name in ["swapped", "other"] {
                    let response = client.get(&format!("/{name}/file"));
                    match response.status {
                        200 => assert_eq!(response.body, b"inside"),
                        // Busy: the kernel could not tell because of all the renaming.
                        status => assert!(matches!(status, 404 | 503), "{status}"),
                    }
                    inside_count += usize::from(response.status == 200);
                }
            }
        });
        assert!(inside_count > 0, "nothing was served at all");
    });
}

/// Sets a flag when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_no_file_is_not_found_and_holds_nobody_up() {
    let grounds = grounds();
    let root = grounds.path().join("site");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, root.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    // Another /dev/zero, where we may make one.
    let zero = rustix::fs::makedev(1, 5);
    let device = root.join("device");
    let _ = mknodat(CWD, device, FileType::CharacterDevice, mode, zero);
    fs::create_dir(root.join("index")).unwrap();
    mknodat(CWD, root.join("index/index.html"), FileType::Fifo, mode, 0).unwrap();
    with_each(&root, &[], 0, |server| {
        let mut client = server.connect();
        for name in ["fifo", "socket", "device", "index/", "fifo/", "fifo/x"] {
            assert_eq!(client.get(&format!("/{name}")).status, 404, "{name}");
        }
    });
}

#[test]
fn dot_files_are_hidden_except_what_is_well_known() {
    let root = TempDir::new().unwrap();
    for name in [".git", ".well-known/acme", ".well-known/.hidden", "a/.b"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    for name in [
        ".htpasswd",
        ".git/config",
        ".well-known/acme/token",
        ".well-known/.secret",
        ".well-known/.hidden/file",
        ".well-known.txt",
        "a/.b/c",
        "a/.well-known",
    ] {
        fs::write(root.path().join(name), "content").unwrap();
    }
    with_each(root.path(), &[], 0, |server| {
        let mut client = server.connect();
        assert_eq!(client.get("/.well-known/acme/token").body, b"content");
        for name in [
            ".htpasswd",
            "%2ehtpasswd",
            ".git/config",
            ".git",
            ".well-known/.secret",
            ".well-known/.hidden/file",
            ".well-known.txt",
            "a/.b/c",
            "a/%2eb/c",
            "a/.well-known",
        ] {
            assert_eq!(client.get(&format!("/{name}")).status, 404, "{name}");
        }
    });
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    let grounds = grounds();
    let root = grounds.path().join("site");
    let secret = root.join("secret");
    let (file, directory) = (root.join("file"), root.join("closed"));
    fs::create_dir(&directory).unwrap();
    for path in [&secret, &file, &directory.join("file")] {
        fs::write(path, "content").unwrap();
    }
    let set_mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    set_mode(&secret, 0o000).unwrap();
    set_mode(&directory, 0o000).unwrap();
    // To root everything is readable, so the server runs as somebody else then; its program is
    // copied to where that one can reach it.
    let is_root = rustix::process::getuid().is_root();
    let mut path = program().get_program().to_owned();
    if is_root {
        path = copy_program(grounds.path()).into();
        set_mode(grounds.path(), 0o755).unwrap();
    }
    for set in crate::features::SETS {
        let mut command = Command::new(&path);
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        command.arg(&root).args(["--port", "0"]).args(set);
        let server = Server::spawn(command);
        let mut client = server.connect();
        assert_eq!(client.get("/file").status, 200);
        assert_eq!(client.get("/secret").status, 403);
        assert_eq!(client.get("/closed/file").status, 403);
        drop(client);
        server.finish(0);
    }
    set_mode(&directory, 0o755).unwrap();
}

#[test]
fn a_directory_is_answered_by_its_first_index() {
    let root = TempDir::new().unwrap();
    for name in ["both", "second", "none", "trap/index.html"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("both/index.html"), "first").unwrap();
    fs::write(root.path().join("both/index.txt"), "second").unwrap();
    fs::write(root.path().join("second/index.txt"), "second").unwrap();
    fs::write(root.path().join("trap/index.txt"), "second").unwrap();
    let options = ["--index", "index.html", "--index", "index.txt"];
    with_each(root.path(), &options, 0, |server| {
        let mut client = server.connect();
        for (target, body, content_type) in [
            ("/both/", "first", "text/html"),
            ("/second/", "second", "text/plain"),
            ("/trap/", "second", "text/plain"),
        ] {
            let response = client.get(target);
            assert_eq!(response.body, body.as_bytes(), "{target}");
            let got = response.field("Content-Type").unwrap();
            assert!(got.starts_with(content_type), "{target}: {got}");
        }
        assert_eq!(client.get("/none/").status, 404);
        assert_eq!(client.get("/").status, 404);
        let response = client.get("/both?a=b");
        assert_eq!(response.status, 301);
        assert_eq!(response.field("Location"), Some("/both/?a=b"));
    });
}

#[test]
fn precompressed_siblings_are_sent_to_those_who_take_them() {
    let root = TempDir::new().unwrap();
    let write = |name: &str, content: &[u8], age: u64| {
        let path = root.path().join(name);
        fs::write(&path, content).unwrap();
        let moment = SystemTime::now() - Duration::from_secs(age);
        fs::File::open(&path).unwrap().set_modified(moment).unwrap();
    };
    let large = pattern(300_000, 5);
    write("page.html", b"plain", 100);
    write("page.html.gz", b"gzip", 50);
    write("page.html.br", b"brotli but older", 200);
    write("code.js", &pattern(400_000, 6), 100);
    write("code.js.gz", &large, 100);
    write("photo.png", b"png", 100);
    write("photo.png.gz", b"useless", 50);
    with_each(root.path(), &[], 2, |server| {
        let mut client = server.connect();
        for _again_from_the_cache in 0..2 {
            let response = client.get_with("/page.html", "Accept-Encoding: gzip, br\r\n");
            assert_eq!(response.field("Content-Encoding"), Some("gzip"));
            assert_eq!(response.body, b"gzip");
            let response = client.get_with("/page.html", "Accept-Encoding: br\r\n");
            assert_eq!(response.field("Content-Encoding"), None);
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(response.body, b"plain");
            assert_eq!(client.get("/page.html").body, b"plain");
            let response = client.get_with("/code.js", "Accept-Encoding: gzip\r\n");
            assert_same(&response.body, &large);
            let response = client.get_with("/photo.png", "Accept-Encoding: gzip\r\n");
            assert_eq!(response.body, b"png");
        }
    });
}

#[test]
fn names_are_bytes() {
    let root = TempDir::new().unwrap();
    let names: [&[u8]; 8] = [
        b"\xff\xfe\x80",
        b"with space",
        b"100%",
        b"%41",
        b"what?#",
        b"quo\"te'<>&",
        b"back\\slash",
        "gr\u{fc}\u{df}e \u{1f600}".as_bytes(),
    ];
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let directory = root.path().join(OsStr::from_bytes(b"d\xe9p\xf4t & co"));
    fs::create_dir(&directory).unwrap();
    let longest = "n".repeat(255);
    fs::write(root.path().join(&longest), "long").unwrap();
    with_each(root.path(), &[], 0, |server| {
        let mut client = server.connect();
        let encode = |name: &[u8]| name.iter().map(|byte| format!("%{byte:02x}")).collect();
        for name in names {
            let encoded: String = encode(name);
            let response = client.get(&format!("/{encoded}"));
            assert_eq!((response.status, &response.body[..]), (200, name));
        }
        let encoded: String = encode(directory.file_name().unwrap().as_bytes());
        let response = client.get(&format!("/{encoded}"));
        assert_eq!(response.status, 301);
        assert_eq!(
            response.field("Location"),
            Some("/d%E9p%F4t%20&%20co/"),
            "it can be sent as it is"
        );
        assert_eq!(client.get(&format!("/{longest}")).body, b"long");
        assert_eq!(client.get(&format!("/{longest}n")).status, 404);
        assert_eq!(client.get("/not-there").status, 404);
        // A NUL or a line end in a name is nobody's name.
        for target in ["/a%00", "/a%0a", "/%0d%0aX:"] {
            let mut client: Client = server.connect();
            assert!(matches!(client.get(target).status, 400 | 404));
        }
    });
}
