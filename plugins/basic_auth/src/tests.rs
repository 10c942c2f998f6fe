//! The plugin in the mock server.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use swiftd_plugin::testing::*;
use tempfile::TempDir;

/// "open sesame".
const BCRYPT: &str = "$2y$04$5V3K2Ye.v6kM6nMjKkC7xujmLZXbacK8TFSIeqi.CJwIxgIW.5HP6";
/// "open sesame".
const APR1: &str = "$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ.";
/// "".
const EMPTY: &str = "$apr1$a$lsAcX0kKaMIVmrCtUuk5b0";

/// A password file of one's own.
fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    write(&path, text);
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// As `mv` does it.
fn write(path: impl AsRef<Path>, text: &str) {
    let new = path.as_ref().with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

fn harness<T: Exported>(path: &str) -> Harness<T> {
    Harness::new()
        .config("file", path)
        .config("paths", "/private\n/admin")
        .page("/", "home")
        .page("/public", "public")
        .page("/private/x", "secret")
}

fn encode(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for part in text.as_bytes().chunks(3) {
        let bits = part
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
            encoded.push(if at <= part.len() { digit } else { '=' });
        }
    }
    encoded
}

fn get(target: &str, login: &str) -> Outgoing {
    Outgoing::new("GET", target).header("authorization", format!("Basic {}", encode(login)))
}

fn logged<T>(harness: &Harness<T>, text: &str) -> usize {
    harness
        .log()
        .iter()
        .filter(|line| line.contains(text))
        .count()
}

#[test]
fn only_who_has_the_password_gets_in() {
    let (_folder, path) = file(&format!("alice:{BCRYPT}\nbob:{APR1}\nno:{EMPTY}\n"));
    let mut harness = harness::<BasicAuth>(&path);
    for (target, login, status, user) in [
        ("/private/x", "alice:open sesame", 200, Some("alice")),
        ("/private/x", "bob:open sesame", 200, Some("bob")),
        ("/private/x", "no:", 200, Some("no")),
        ("/a/..//%70rivate/x", "bob:open sesame", 200, Some("bob")),
        ("/private/x", "alice:open sesam", 401, None),
        ("/private/x", "alice:", 401, None),
        ("/private/x", "alice", 401, None),
        ("/private/x", "Alice:open sesame", 401, None),
        ("/private/x", "mallory:open sesame", 401, None),
        ("/private", "mallory:", 401, None),
        ("/%70rivate/x", "mallory:", 401, None),
        ("/a/..//private/x", "mallory:", 401, None),
        ("/admin/none", "bob:open sesame", 404, Some("bob")),
        ("/", "mallory:x", 200, None),
        ("/privateer", "mallory:x", 404, None),
    ] {
        let answer = harness.send(get(target, login));
        assert_eq!(answer.status, status, "{target} {login}");
        assert_eq!(answer.user.as_deref(), user, "{target} {login}");
    }
    assert_eq!(harness.counter("refused"), 8);
    assert_eq!(logged(&harness, "open sesam"), 0);
    assert!(logged(&harness, "\"mallory\" from 127.0.0.1:40000 is refused") > 0);
    harness.stop();
}

#[test]
fn a_challenge_is_sent_to_whoever_says_nothing() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path).config("realm", r#"the "work\shop""#);
    let expected = r#"Basic realm="the \"work\\shop\"", charset="UTF-8""#;
    let twice = get("/private/x", "alice:open sesame").header("authorization", "Basic YTpi");
    let bearer = Outgoing::new("GET", "/private/x").header("authorization", "Bearer YTpi");
    for request in [Outgoing::new("GET", "/private/x"), twice, bearer] {
        let answer = harness.send(request);
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some(expected));
        assert!(answer.body.is_empty(), "the page is the server's");
    }
    harness.stop();
}

#[test]
fn require_names_those_who_may() {
    let (_folder, path) = file(&format!("alice:{APR1}\nbob:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path).config("require", "bob\ncarol");
    assert_eq!(harness.send(get("/admin", "bob:open sesame")).status, 404);
    assert_eq!(harness.send(get("/admin", "alice:open sesame")).status, 401);
    assert_eq!(logged(&harness, "there is no user \"carol\""), 1);
    harness.stop();
}

#[test]
fn a_right_password_is_remembered_for_a_time_and_a_wrong_one_never() {
    let (_folder, path) = file(&format!("alice:{BCRYPT}"));
    let mut harness = harness::<BasicAuth>(&path)
        .config("cache_ttl", "10")
        .hold_jobs();
    let right = || get("/private/x", "alice:open sesame");
    let needs_job = |harness: &mut Harness<BasicAuth>, request: Outgoing, status| {
        let exchange = harness.start(request);
        let is_waiting = harness.is_waiting(exchange);
        harness.run_jobs();
        assert_eq!(harness.finish(exchange).status, status);
        is_waiting
    };
    assert!(needs_job(&mut harness, right(), 200));
    assert!(!needs_job(&mut harness, right(), 200));
    harness.advance(9_999);
    assert!(!needs_job(&mut harness, right(), 200));
    harness.advance(1);
    assert!(needs_job(&mut harness, right(), 200));
    for _ in 0..2 {
        assert!(needs_job(
            &mut harness,
            get("/private/x", "alice:wrong"),
            401
        ));
        assert!(needs_job(
            &mut harness,
            get("/private/x", "mallory:open sesame"),
            401
        ));
    }
    harness.stop();
}

#[test]
fn the_hashes_under_way_are_bounded() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path)
        .config("max_jobs", "2")
        .hold_jobs();
    let guess = |n: u32| get("/private/x", &format!("alice:guess {n}"));
    let first = harness.start(guess(1));
    let second = harness.start(guess(2));
    let answer = harness.send(guess(3));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(harness.counter("busy"), 1);
    assert_eq!(harness.get("/public").status, 200);

    // One that nobody waits for any more makes room when its job has ended.
    harness.gone(first);
    harness.run_jobs();
    assert_eq!(harness.finish(second).status, 401);
    let third = harness.start(get("/private/x", "alice:open sesame"));
    assert!(harness.is_waiting(third));
    harness.run_jobs();
    assert_eq!(harness.finish(third).status, 200);
    harness.stop();
}

#[test]
fn a_changed_file_is_read_and_a_broken_one_is_not_used() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path);
    let status = |harness: &mut Harness<BasicAuth>, login: &str| {
        harness.send(get("/private/x", login)).status
    };
    assert_eq!(status(&mut harness, "alice:open sesame"), 200);
    harness.trigger();
    harness.poll();
    assert_eq!(logged(&harness, "is read"), 0);

    write(&path, &format!("alice:{EMPTY}\nbob:{APR1}\n"));
    harness.trigger();
    harness.poll();
    assert_eq!(logged(&harness, "is read, 2 users"), 1);
    assert_eq!(status(&mut harness, "alice:open sesame"), 401);
    assert_eq!(status(&mut harness, "bob:open sesame"), 200);

    write(&path, &format!("bob:{APR1}\ncarol:plain\n"));
    let good = harness.plugin(|plugin| plugin.seen);
    for _ in 0..3 {
        harness.trigger();
        harness.poll();
    }
    let error = "/users:2: user \"carol\": no hash that is known";
    assert_eq!(logged(&harness, error), 1);
    assert_eq!(logged(&harness, "carol:plain"), 0);
    let seen = harness.plugin(|plugin| plugin.seen);
    assert!(
        seen.is_some() && seen != good,
        "a broken file is not read each second"
    );
    assert_eq!(status(&mut harness, "bob:open sesame"), 200);
    harness.sighup();
    harness.poll();
    assert_eq!(logged(&harness, error), 2);

    fs::remove_file(&path).unwrap();
    for _ in 0..3 {
        harness.trigger();
        harness.poll();
    }
    assert_eq!(logged(&harness, "No such file"), 1);
    assert_eq!(status(&mut harness, "bob:open sesame"), 200);

    write(&path, &format!("carol:{APR1}\n"));
    harness.trigger();
    harness.poll();
    assert_eq!(status(&mut harness, "carol:open sesame"), 200);
    assert_eq!(status(&mut harness, "bob:open sesame"), 401);
    harness.stop();
}

#[test]
fn a_password_that_changes_during_the_check_is_no_longer_right() {
    let (_folder, path) = file(&format!("alice:{APR1}\nbob:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path).hold_jobs();
    harness.load().unwrap();
    // The attempts begin with the old users; the job that reads the new ones ends before theirs.
    write(&path, &format!("alice:{EMPTY}\nbob:{APR1}"));
    harness.trigger();
    let alice = harness.start(get("/private/x", "alice:open sesame"));
    let bob = harness.start(get("/private/x", "bob:open sesame"));
    assert!(harness.is_waiting(alice) && harness.is_waiting(bob));
    harness.run_jobs();
    assert_eq!(harness.finish(alice).status, 401);
    assert_eq!(harness.finish(bob).status, 200);
    harness.stop();
}

#[test]
fn a_file_without_users_lets_nobody_in() {
    let (_folder, path) = file("# nobody yet\n");
    let mut harness = harness::<BasicAuth>(&path).hold_jobs();
    assert_eq!(harness.send(get("/private/x", "alice:")).status, 401);
    harness.stop();
}

#[test]
fn equal_attempts_share_one_hash() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let mut harness = harness::<BasicAuth>(&path)
        .config("max_jobs", "1")
        .config("cache", "0")
        .hold_jobs();
    for (login, status) in [
        ("alice:open sesame", 200),
        ("alice:guess", 401),
        ("mallory:guess", 401),
    ] {
        let exchanges = [(); 3].map(|()| harness.start(get("/private/x", login)));
        assert_eq!(harness.send(get("/private/x", "alice:other")).status, 503);
        harness.gone(exchanges[0]);
        harness.run_jobs();
        for exchange in &exchanges[1..] {
            assert_eq!(harness.finish(*exchange).status, status, "{login}");
        }
        assert!(harness.plugin(|plugin| plugin.attempts.is_empty()));
    }
    harness.stop();
}

/// Stands for a plugin that rewrites, behind this one in the order.
struct Rewriting(BasicAuth);

plugin! {
    impl Plugin for Rewriting {
        const NAME: &CStr = c"rewriting";

        /// Alice is remembered.
        fn init(host: &Host) -> Result<Self, String> {
            let mut auth = BasicAuth::init(host)?;
            let attempt = Credentials { user: b"alice".to_vec(), password: b"open sesame".to_vec() };
            let hash = auth.users.find(b"alice").expect("she is in the file").clone();
            auth.cache.insert(auth.cache.key(&attempt, &hash), host.now_ms());
            Ok(Self(auth))
        }

        fn url_clean(&mut self, req: &mut Request) -> Flow {
            let flow = self.0.url_clean(req);
            if flow != Flow::GoOn || req.path() == b"/private/x" {
                return flow;
            }
            // Only what is kept for the request can let it pass once more.
            if req.user().is_some() {
                self.0.cache.clear();
            }
            req.set_path("/private/x").map_or(Flow::Error, |()| Flow::Comeback)
        }
    }
}

#[test]
fn a_rewritten_path_is_protected_and_costs_nothing_more() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let mut harness = harness::<Rewriting>(&path);
    assert_eq!(harness.get("/public").status, 401);
    assert_eq!(harness.get("/private/old").status, 401);
    for target in ["/public", "/private/old"] {
        let answer = harness.send(get(target, "alice:open sesame"));
        assert_eq!(
            (answer.text(), answer.user.as_deref()),
            ("secret", Some("alice"))
        );
    }
    harness.stop();
}

#[test]
fn a_bad_value_is_refused_with_what_was_expected() {
    let (_folder, path) = file(&format!("alice:{APR1}"));
    let (_other, broken) = file("alice:x");
    for (key, value, reason) in [
        (
            "file",
            "users",
            "file: \"users\": expected an absolute path",
        ),
        ("file", "/none/such", "file: /none/such: No such file"),
        ("file", &broken, "/users:1: user \"alice\""),
        ("realm", "a\nb", "visible ASCII"),
        ("realm", "\u{e4}", "visible ASCII"),
        ("paths", "/a\nb", "paths: line 2: \"b\""),
        ("paths", "", "nothing would be protected"),
        ("require", "#", "nobody would be let in"),
        ("cache", "4097", "from 0 to 4096"),
        ("cache_ttl", "0", "from 1 to 86400"),
        ("max_jobs", "many", "max_jobs: not understood: \"many\""),
    ] {
        let mut harness = Harness::<BasicAuth>::new()
            .config("file", &path)
            .config(key, value);
        let error = harness.load().expect_err(key);
        assert!(error.contains(reason), "{error}");
    }
    let error = Harness::<BasicAuth>::new().load().unwrap_err();
    assert!(error.contains("file: missing"), "{error}");
}

#[test]
fn what_weakens_the_file_is_warned_about() {
    let (_folder, path) = file(&format!(
        "alice:{APR1}\nbob:{{SHA}}W8r/fyL/UzygmbNAjq2HbA67qac="
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut harness = harness::<BasicAuth>(&path);
    harness.load().unwrap();
    assert_eq!(logged(&harness, "chmod o-r"), 1);
    assert_eq!(logged(&harness, "1 users with {SHA}"), 1);
    assert_eq!(
        harness.send(get("/private/x", "bob:open sesame")).status,
        200
    );
    harness.stop();
}
