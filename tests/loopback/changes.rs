//! Files that change while they are known, cached, or being sent, with every feature set of the
//! kernel. A response is one version of a file or it is cut short; it is never of two.

use crate::features::with_each;
use crate::server::{Client, PATIENCE, Response, Server, assert_same, pattern};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Asks until the answer is `wanted`; returns how long that took. Each try is a round trip.
fn ask_until(client: &mut Client, target: &str, wanted: impl Fn(&Response) -> bool) -> Duration {
    let start = Instant::now();
    while !wanted(&client.get(target)) {
        assert!(start.elapsed() < PATIENCE, "{target} does not change");
    }
    start.elapsed()
}

/// How long a change may stay unseen, beyond the time of trust, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(10);

/// Begins a download of `/file` that waits for the client after a part.
fn begin(server: &Server) -> (Client, Response, Vec<u8>) {
    let mut client = Client::connect_narrow(server.address(), 16 * 1024);
    client.ask("/file");
    let head = client.head();
    let part = client.bytes(100_000);
    // A round trip: the server has sent all that the sockets take.
    server.get("/nothing");
    (client, head, part)
}

/// Writes into a file at a position; its inode stays, and so does its length.
fn overwrite(path: &Path, position: u64, content: &[u8]) {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let file = options.open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(content, position).unwrap();
    // The clock of the file system may have stood still since the last change (Linux before 6.13).
    file.set_modified(before + Duration::from_secs(1)).unwrap();
}

/// More than the sockets of a narrow client and of the server hold together.
const LARGE_BYTES: usize = 6 * 1024 * 1024;

#[test]
fn a_small_file_is_new_within_the_time_of_trust() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    with_each(root.path(), &["--cache-trust", "100"], 0, |server| {
        let mut client = server.connect();
        fs::write(&path, "first").unwrap();
        ask_until(&mut client, "/file", |response| response.body == b"first");
        fs::write(&path, "again").unwrap();
        let took = ask_until(&mut client, "/file", |response| response.body == b"again");
        assert!(took < SLACK);
        fs::remove_file(&path).unwrap();
        let took = ask_until(&mut client, "/file", |response| response.status == 404);
        assert!(took < SLACK);
    });
}

#[test]
fn a_large_file_that_was_rewritten_is_new_at_once() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let versions = [pattern(100_000, 1), pattern(100_000, 2)];
    let options = ["--cache-trust", "3600000"];
    with_each(root.path(), &options, 1, |server| {
        let mut client = server.connect();
        for version in &versions {
            overwrite(&path, 0, version);
            assert_same(&client.get("/file").body, version);
        }
    });
}

#[test]
fn a_file_that_is_rewritten_while_it_is_sent_is_cut_short() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let old = pattern(LARGE_BYTES, 1);
    with_each(root.path(), &[], 1, |server| {
        fs::write(&path, &old).unwrap();
        let (mut client, head, mut body) = begin(server);
        // The end of the file has not been sent yet.
        let changed = pattern(1_000_000, 2);
        overwrite(&path, (LARGE_BYTES - changed.len()) as u64, &changed);
        body.extend(client.all_there_is());
        assert!(body.len() < head.length(), "an old head before new content");
        assert_same(&body, &old[..body.len()]);
        let response = server.get("/file");
        assert_same(&response.body, &fs::read(&path).unwrap());
        assert_ne!(response.field("ETag"), head.field("ETag"));
    });
}

#[test]
fn a_file_that_is_truncated_while_it_is_sent_is_cut_short() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let old = pattern(LARGE_BYTES, 1);
    with_each(root.path(), &[], 1, |server| {
        fs::write(&path, &old).unwrap();
        let (mut client, head, mut body) = begin(server);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(LARGE_BYTES as u64 - 1)
            .unwrap();
        body.extend(client.all_there_is());
        assert!(body.len() < head.length());
        assert_same(&body, &old[..body.len()]);
        assert_eq!(server.get("/file").length(), LARGE_BYTES - 1);
    });
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_to_its_end() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    // Of different lengths: a tag tells apart what the clock of the file system does, and that
    // may stand still for 10 ms.
    let versions = [pattern(LARGE_BYTES, 1), pattern(LARGE_BYTES + 1, 2)];
    with_each(root.path(), &["--cache-trust", "50"], 1, |server| {
        fs::write(&path, &versions[0]).unwrap();
        let (mut client, head, mut body) = begin(server);
        let new = root.path().join("new");
        fs::write(&new, &versions[1]).unwrap();
        fs::rename(&new, &path).unwrap();
        body.extend(client.bytes(head.length() - body.len()));
        assert_same(&body, &versions[0]);
        let etag = head.field("ETag");
        ask_until(&mut client, "/file", |response| {
            let is_new = response.field("ETag") != etag;
            assert_same(&response.body, &versions[usize::from(is_new)]);
            is_new
        });
    });
}

#[test]
fn every_response_is_of_one_version_while_a_file_is_replaced_again_and_again() {
    let root = TempDir::new().unwrap();
    let (path, new) = (root.path().join("file"), root.path().join("new"));
    // Kept in memory, and sent by descriptor; both have another length each time.
    let version = |number: usize| match number % 2 {
        0 => pattern(5_000 + number, number as u64),
        _ => pattern(300_000 + number, number as u64),
    };
    with_each(root.path(), &["--cache-trust", "1"], 1, |server| {
        let mut client = server.connect();
        for number in 0..40 {
            fs::write(&new, version(number)).unwrap();
            fs::rename(&new, &path).unwrap();
            let body = client.get("/file").body;
            let got = body.len() % 1_000;
            assert!(got <= number);
            assert_same(&body, &version(got));
        }
    });
}

#[test]
fn a_new_file_appears_although_its_absence_was_remembered() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    with_each(root.path(), &["--cache-trust", "100"], 0, |server| {
        let mut client = server.connect();
        assert_eq!(client.get("/file").status, 404);
        fs::write(&path, "new").unwrap();
        let took = ask_until(&mut client, "/file", |response| response.body == b"new");
        assert!(took < SLACK);
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn the_default_time_of_trust_is_short() {
    let root = TempDir::new().unwrap();
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    assert_eq!(client.get("/file").status, 404);
    fs::write(root.path().join("file"), "new").unwrap();
    let took = ask_until(&mut client, "/file", |response| response.body == b"new");
    assert!(took < SLACK);
    drop(client);
    server.finish(0);
}

/// Replaces the site at `path` by one whose `file` holds `content`.
fn replace_site(path: &Path, content: &str) {
    let (new, old) = (path.with_extension("new"), path.with_extension("old"));
    fs::create_dir(&new).unwrap();
    fs::write(new.join("file"), content).unwrap();
    if path.exists() {
        fs::rename(path, &old).unwrap();
    }
    fs::rename(&new, path).unwrap();
}

#[test]
fn a_root_that_is_replaced_is_served_anew() {
    let grounds = TempDir::new().unwrap();
    let site = grounds.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("file"), "first").unwrap();
    with_each(&site, &["--cache-trust", "100"], 0, |server| {
        let mut client = server.connect();
        ask_until(&mut client, "/file", |response| response.body == b"first");
        replace_site(&site, "second");
        let took = ask_until(&mut client, "/file", |response| response.body == b"second");
        assert!(took < SLACK);
        fs::remove_dir_all(site.with_extension("old")).unwrap();
        // While there is none, the one that was is better than nothing.
        fs::rename(&site, site.with_extension("old")).unwrap();
        assert_eq!(client.get("/file").body, b"second");
        replace_site(&site, "first");
        ask_until(&mut client, "/file", |response| response.body == b"first");
        fs::remove_dir_all(site.with_extension("old")).unwrap();
    });
}
