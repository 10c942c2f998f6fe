//! What the tables of raw requests and exact responses share.
//!
//! A [`Row`] names a fact, the rule behind it, the bytes that a client sends and the bytes that it
//! must get. [`check`] plays every row whole, split at every byte and byte by byte, with a client
//! that reads at once and with one that reads only when it must: the answer is the same each time.
//! Expected bytes are written out in [`reply`] and never made by the code under test.

// Each test binary uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

pub mod play;
pub mod reply;

use play::Sends;
use reply::Reply;
use swiftd::conn::{End, Hooks, Limits, NoHooks, State};
use swiftd::http::Status;
use swiftd::http::negotiate::Coding;
use swiftd::policy::Policy;
use swiftd::testing::{Memory, Peer, policy};

/// A fact about one connection.
pub struct Row {
    /// What holds, as a sentence.
    pub fact: &'static str,
    /// Where it is written.
    pub rule: &'static str,
    /// What the client sends.
    pub request: Vec<u8>,
    /// What it gets, in this order.
    pub replies: Vec<Reply>,
}

impl Row {
    /// With one more reply behind the others.
    pub fn then(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }
}

/// A row with one reply.
pub fn row(fact: &'static str, rule: &'static str, request: impl AsRef<[u8]>, reply: Reply) -> Row {
    rows(fact, rule, request, vec![reply])
}

/// A row with several replies, or none.
pub fn rows(
    fact: &'static str,
    rule: &'static str,
    request: impl AsRef<[u8]>,
    replies: Vec<Reply>,
) -> Row {
    Row {
        fact,
        rule,
        request: request.as_ref().to_vec(),
        replies,
    }
}

/// A GET over HTTP/1.1 with these further field lines.
pub fn get(target: &str, fields: &[&str]) -> String {
    request("GET", target, fields)
}

/// A request without content over HTTP/1.1.
pub fn request(method: &str, target: &str, fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// Plays rows over [`site`] with the default limits and no plugin.
pub fn check(table: &[Row]) {
    check_with(table, &Limits::default(), || NoHooks);
}

/// Plays rows over [`site`].
///
/// # Panics
/// With all rows that do not hold.
pub fn check_with<H: Hooks>(table: &[Row], limits: &Limits, hooks: impl Fn() -> H) {
    check_under(table, &policy(), limits, hooks);
}

/// Plays rows over [`site`] with what an operator has decided about hosts and paths.
///
/// # Panics
/// With all rows that do not hold.
pub fn check_under<H: Hooks>(
    table: &[Row],
    policy: &Policy,
    limits: &Limits,
    hooks: impl Fn() -> H,
) {
    let mut files = site();
    let mut failures = String::new();
    let make = |files| {
        let mut peer = Peer::new(files, hooks(), limits.clone());
        peer.policy = policy.clone();
        peer
    };
    for row in table {
        files = play_row(row, files, &make, &mut failures);
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Plays one row in every way, until one does not hold; lends `files` to each connection in turn.
fn play_row<H: Hooks>(
    row: &Row,
    mut files: Memory,
    make: &impl Fn(Memory) -> Peer<H>,
    failures: &mut String,
) -> Memory {
    let request = &row.request[..];
    let bytes: Vec<&[u8]> = request.chunks(1).collect();
    let mut ways = Vec::new();
    for sends in [Sends::AtOnce, Sends::WhenStuck, Sends::Few(7)] {
        ways.push((vec![request], sends));
        ways.push((bytes.clone(), sends));
    }
    for at in 1..request.len() {
        let (first, second) = request.split_at(at);
        ways.push((vec![first, second], Sends::AtOnce));
        ways.push((vec![first, second], Sends::WhenStuck));
    }
    for (pieces, sends) in ways {
        let mut peer = make(std::mem::take(&mut files));
        let sent = play::play(&mut peer, &pieces, sends);
        let ending = peer.ending();
        let is_idle = ending.is_some() || peer.state() == State::RequestStart;
        assert!(
            !is_idle || peer.connection.held_bytes() == 0,
            "{}: an idle connection holds no buffer",
            row.fact
        );
        files = peer.handler.files;
        if let Some(failure) = compare(row, &sent, ending) {
            let (count, bytes) = (pieces.len(), pieces[0].len());
            *failures +=
                &format!("\n{failure}\n({count} pieces, first {bytes} bytes, {sends:?})\n");
            break;
        }
    }
    files
}

fn compare(row: &Row, sent: &[u8], ending: Option<End>) -> Option<String> {
    let expected: Vec<u8> = row.replies.iter().flat_map(Reply::bytes).collect();
    let end = row.replies.last().and_then(|reply| reply.end);
    if sent == expected && ending == end {
        return None;
    }
    Some(format!(
        "{} ({})\n--- request\n{}\n--- expected, then {end:?}\n{}\n--- sent, then {ending:?}\n{}",
        row.fact,
        row.rule,
        readable(&row.request),
        readable(&expected),
        readable(sent)
    ))
}

/// Bytes for a person: escaped, one line a line, the middle of long ones left out.
pub fn readable(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string().replace("\\n", "\\n\n");
    let (start, end) = (1500, text.len().saturating_sub(1500));
    if start < end {
        return format!("{}\n[...]\n{}", &text[..start], &text[end..]);
    }
    text
}

/// A connection over [`site`] with the default limits and no plugin.
pub fn peer() -> Peer<NoHooks> {
    peer_with(Limits::default())
}

/// A connection over [`site`] without a plugin.
pub fn peer_with(limits: Limits) -> Peer<NoHooks> {
    Peer::new(site(), NoHooks, limits)
}

/// Asserts what a connection sends until it waits.
#[track_caller]
pub fn assert_sends<H: Hooks>(peer: &mut Peer<H>, replies: &[Reply]) {
    let sent = peer.send_all();
    let expected: Vec<u8> = replies.iter().flat_map(Reply::bytes).collect();
    assert!(
        sent == expected,
        "\n--- expected\n{}\n--- sent\n{}\n",
        readable(&expected),
        readable(&sent)
    );
}

/// The files that all tests are about; [`reply`] has a constant for each that is sent.
pub fn site() -> Memory {
    let mut files = Memory::default();
    files
        .add("/a.txt", reply::A.body)
        .add("/page.html", reply::PAGE.body)
        .add_coded("/page.html", Coding::Br, reply::PAGE_BR.body)
        .add_coded("/page.html", Coding::Zstd, reply::PAGE_ZSTD.body)
        .add_coded("/page.html", Coding::Gzip, reply::PAGE_GZIP.body)
        .add("/style.css", reply::STYLE.body)
        .add_coded("/style.css", Coding::Gzip, reply::STYLE_GZIP.body)
        .add("/photo.png", reply::PHOTO.body)
        .add("/empty.txt", b"")
        .add("/", reply::HOME.body)
        .add("/%41", reply::PERCENT.body)
        .add_large("/large.bin", reply::LARGE_BYTES)
        .add_directory("/dir")
        .add_directory("/dir/<b> & c%")
        .add_directory("/é")
        .add_missing("/denied", Status::FORBIDDEN)
        // What other hosts have under the same name.
        .add("/site1/a.txt", b"one\n")
        .add("/site2/a.txt", b"two\n")
        .add("/site2/assets/style.css", reply::STYLE.body)
        .add_directory("/site2/dir");
    // The order above gives each file its inode number, which the boundary of its parts holds.
    files
}
