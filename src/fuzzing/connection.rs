//! A whole connection: operations of a client, a disk, plugins and a clock, in any order that the
//! server's loop could bring.
//!
//! The driver here keeps the rules that `server/drive.rs` keeps: nothing is delivered that the
//! connection does not want, nothing is sent while a part of a file is loaded, and an ended
//! connection is left alone.

use super::script::Script;
use super::{Input, responses, rules};
use crate::conn::{Append, BodyBounds, Connection, End, Hooks, Limits, Piece, State, Why};
use crate::http::Status;
use crate::http::negotiate::Coding;
use crate::http::parse::Bounds;
use crate::policy::Policy;
use crate::testing::{Memory, Peer};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Whether there are plugins, how the client behaves at last, whether there are hosts with rules of
/// their own and whether they are replaced all the time, then operations.
///
/// After each operation the connection holds no more than its bounds allow and waits for a time
/// that comes. In the end it has closed in a bounded time and told every plugin once, and what
/// it has sent is a sequence of responses.
pub fn connection(data: &[u8]) {
    let mut input = Input(data);
    let settings = input.byte();
    let mut run = Run::new(Script::new(settings & 1 != 0));
    let (has_rules, are_replaced) = (settings & 8 != 0, settings & 16 != 0);
    for number in 0..OPERATIONS_MAX {
        if input.is_empty() || run.is_over() {
            break;
        }
        if has_rules && (number == 0 || are_replaced) {
            run.peer.policy = run.policies[number % 2].clone();
        }
        run.operate(&mut input);
        run.settle();
    }
    run.finish(settings & 2 != 0, settings & 4 != 0);
}

/// So many operations in one input; what a longer one would find, a shorter one does too.
const OPERATIONS_MAX: usize = 256;

/// Small bounds, so that short inputs reach them.
pub(super) const LIMITS: Limits = Limits {
    head: Bounds {
        head_bytes_max: 1024,
        target_bytes_max: 128,
        fields_max: 16,
    },
    body: BodyBounds {
        body_bytes_max: 1024,
        memory_bytes_max: 64,
        trailer_bytes_max: 32,
    },
    requests_max: 16,
    output_bytes_max: 2048,
    linger_bytes_max: 1536,
    head_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(20),
    idle_timeout: Duration::from_secs(20),
    write_timeout: Duration::from_secs(20),
    linger_timeout: Duration::from_secs(3),
    disk_timeout: Duration::from_secs(30),
    hook_timeout: Duration::from_secs(30),
    half_close_timeout: Duration::from_secs(5),
    rate_min: 8,
};

/// The longest of those times, milliseconds.
const TIMEOUT_MAX: u64 = 30_000;

/// What one read brings at most.
const READ_BYTES_MAX: usize = 255;

/// The length of the small files; two responses of this size fill the output.
const SMALL_BYTES: usize = 1200;

/// What one response adds to the output at most: a small file and sixteen heads of its parts.
const RESPONSE_BYTES_MAX: usize = SMALL_BYTES + 17 * 160 + 512;

/// What a connection may own: a head and a read (a vector doubles), and the output.
const HELD_BYTES_MAX: usize = 2 * (LIMITS.head.head_bytes_max + READ_BYTES_MAX)
    + LIMITS.output_bytes_max
    + RESPONSE_BYTES_MAX;

/// What a stream may add to that: its bound, as much again that has been sent, and room to spare
/// for the frames of its chunks.
const STREAM_BYTES_MAX: usize = 2 * 64 * 1024 + 4096;

/// What an append to a file holds at most: what fits memory, and what was there when it did not.
const APPEND_BYTES_MAX: usize =
    LIMITS.body.memory_bytes_max + LIMITS.head.head_bytes_max + READ_BYTES_MAX;

/// Requests that an input names by a byte, so that it need not spell them.
const REQUESTS: [&[u8]; 16] = [
    b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD /large HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /directory HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /missing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\nExpect: 100-continue\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"GET /small HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2,10-20,-3\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes=0-0,4000-\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes=100-999\r\n\r\n",
    b"GET /small HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\nAccept-Encoding: gzip\r\n\r\n",
    b"GET /coded.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
];

fn files() -> Memory {
    let bytes = &responses::PATTERN[..SMALL_BYTES];
    let mut files = Memory::default();
    files.add("/small", bytes);
    files.add("/empty", b"");
    files.add("/coded.txt", &bytes[..100]);
    files.add_coded("/coded.txt", Coding::Gzip, &bytes[..50]);
    files.add_large("/large", responses::LARGE_BYTES);
    files.add_directory("/directory");
    files.add_missing("/secret", Status::FORBIDDEN);
    files
}

/// The connection under test and the world around it.
struct Run {
    peer: Peer<Script>,
    policies: [Policy; 2],
    output: Vec<u8>,
    /// Whether the client has shut its sending side.
    has_ended: bool,
    /// The last byte that the client sent.
    last_byte: u8,
    /// What the disk thread is writing.
    append: Option<Append>,
    /// The file that it writes to.
    file: Arc<OwnedFd>,
    /// Whether the connection has wanted to be ended.
    was_ending: bool,
    /// Whether it has lingered, and how many bytes it was sent meanwhile.
    has_lingered: bool,
    lingered_bytes: usize,
    /// Whether the client or a deadline has put an end to it, and whether something was left.
    was_forced: bool,
    is_cut: bool,
}

impl Run {
    fn new(script: Script) -> Self {
        let null = std::fs::File::open("/dev/null").expect("every system has it");
        Self {
            peer: Peer::new(files(), script, LIMITS),
            policies: rules::policies(),
            output: Vec::new(),
            has_ended: false,
            last_byte: 0,
            append: None,
            file: Arc::new(null.into()),
            was_ending: false,
            has_lingered: false,
            lingered_bytes: 0,
            was_forced: false,
            is_cut: false,
        }
    }

    fn is_over(&self) -> bool {
        self.peer.ending().is_some_and(|end| end != End::Linger)
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 20 {
            0 => {
                let count = usize::from(input.byte());
                self.receive(input.take(count));
            }
            1 => self.receive(input.choose(REQUESTS)),
            // A request in two pieces.
            2 => {
                let request = input.choose(REQUESTS);
                let (start, end) = request.split_at(usize::from(input.byte()).min(request.len()));
                self.receive(start);
                self.settle();
                self.receive(end);
            }
            // Several at once.
            3 => {
                let requests = [
                    input.choose(REQUESTS),
                    input.choose(REQUESTS),
                    input.choose(REQUESTS),
                ];
                let pipelined = requests.concat();
                self.receive(&pipelined[..pipelined.len().min(READ_BYTES_MAX)]);
            }
            4 => self.end(),
            5 => self.pass(input.number::<2>()),
            6 => self.pass(
                self.peer
                    .connection
                    .deadline()
                    .saturating_sub(self.peer.now),
            ),
            7 => {
                let bytes_max = input.number::<2>() as usize + 1;
                self.send(bytes_max);
            }
            8 => self.send_all(),
            9 => self.wake(),
            10 => self.peer.handler.files.is_slow = true,
            11 => {
                self.peer.handler.files.is_slow = false;
                self.wake();
            }
            12 => self.peer.handler.files.is_busy ^= true,
            13 => self.peer.hooks.decisions.push_back(input.byte()),
            14 => {
                let decisions = input.number::<4>().to_be_bytes();
                self.peer.hooks.decisions.extend(&decisions[4..]);
            }
            15 => {
                self.peer.is_draining = true;
                self.peer.with(Connection::handle_stop);
            }
            16 => self.appended(true),
            17 => self.appended(false),
            18 => self.load(),
            _ => self.abort(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(READ_BYTES_MAX) {
            if self.is_over() || self.has_ended || !self.peer.connection.wants_input() {
                return;
            }
            if self.has_lingered {
                self.lingered_bytes += bytes.len();
                assert!(self.lingered_bytes <= LIMITS.linger_bytes_max as usize + READ_BYTES_MAX);
            }
            self.last_byte = bytes[bytes.len() - 1];
            self.peer.receive(bytes);
            self.settle();
        }
    }

    fn end(&mut self) {
        if !self.has_ended && self.peer.connection.wants_input() {
            self.has_ended = true;
            self.peer.end();
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        let before = self.peer.connection.deadline();
        let has_more = self.peer.connection.piece().is_some();
        if before <= self.peer.now.saturating_add(milliseconds) {
            self.peer.hooks.is_suspended = false;
        }
        let now = self.peer.now.saturating_add(milliseconds);
        self.peer.pass(now);
        if before <= now && !self.is_over() {
            let after = self.peer.connection.deadline();
            assert!(
                after > now,
                "a deadline that was handled is due again at once"
            );
        }
        if before <= now && self.is_over() {
            self.was_forced = true;
            self.is_cut |= has_more;
        }
    }

    fn send(&mut self, bytes_max: usize) -> bool {
        if self.peer.connection.is_loading() {
            return false;
        }
        let sent = self.peer.send(bytes_max);
        self.output.extend_from_slice(&sent);
        !sent.is_empty()
    }

    fn send_all(&mut self) {
        while self.send(usize::MAX) {
            self.settle();
        }
    }

    fn wake(&mut self) {
        self.peer.handler.files.askers.clear();
        self.peer.hooks.is_suspended = false;
        self.peer.with(Connection::handle_resume);
        self.peer.with(Connection::handle_wake);
    }

    /// The disk thread is done with an append.
    fn appended(&mut self, is_written: bool) {
        if self.append.take().is_some() {
            let file = is_written.then(|| Arc::clone(&self.file));
            self.peer
                .with(|connection, cx| connection.handle_appended(file, cx));
        }
    }

    /// A part of a file must be read first, or has been.
    fn load(&mut self) {
        let is_loading = self.peer.connection.is_loading();
        let is_file = matches!(self.peer.connection.piece(), Some(Piece::File { .. }));
        if is_loading || is_file {
            self.peer
                .with(|connection, cx| connection.handle_loading(!is_loading, cx));
        }
    }

    fn abort(&mut self) {
        self.was_forced = true;
        self.is_cut |= self.peer.connection.piece().is_some();
        self.peer
            .with(|connection, cx| connection.abort(Why::ClientGone, cx));
    }

    /// What the driver does after each call, and what must hold then.
    fn settle(&mut self) {
        let connection = &mut self.peer.connection;
        if let Some(append) = connection.take_append() {
            assert!(
                self.append.is_none(),
                "a connection has one append at a time"
            );
            assert!(append.bytes.len() <= APPEND_BYTES_MAX);
            let end = append.offset + append.bytes.len() as u64;
            assert!(end <= LIMITS.body.body_bytes_max);
            assert_eq!(append.offset == 0, append.file.is_none());
            self.append = Some(append);
        }
        let held_bytes = connection.held_bytes();
        let stream_bytes = if self.peer.hooks.has_streamed {
            STREAM_BYTES_MAX
        } else {
            0
        };
        assert!(held_bytes <= HELD_BYTES_MAX + stream_bytes, "{held_bytes}");
        let is_between = connection.state() == State::RequestStart && connection.piece().is_none();
        // A CR may wait for its LF.
        let is_idle = is_between && self.last_byte != b'\r';
        assert!(!is_idle || held_bytes == 0, "{held_bytes} while idle");
        if self.was_ending {
            assert!(connection.end().is_some(), "it has come back to life");
            assert!(connection.piece().is_none(), "it sends after its end");
        }
        self.was_ending = connection.end().is_some();
        let due = connection.deadline();
        assert!(due <= self.peer.now + TIMEOUT_MAX, "it waits too long");
        if connection.end() == Some(End::Linger) {
            assert_eq!(connection.state(), State::Close);
            self.has_lingered = true;
        }
        assert!(self.peer.hooks.responses.len() <= LIMITS.requests_max as usize);
    }

    /// The client sends no more; it reads the rest, or does not.
    fn finish(mut self, ends: bool, reads: bool) {
        for _ in 0..DEADLINES_MAX {
            if reads {
                self.load_all();
                self.send_all();
            }
            if ends {
                self.end();
                self.settle();
            }
            if reads && !self.is_over() {
                self.appended(true);
                self.settle();
                self.send_all();
            }
            if self.is_over() {
                break;
            }
            self.pass(
                self.peer
                    .connection
                    .deadline()
                    .saturating_sub(self.peer.now),
            );
            if !self.is_over() {
                self.settle();
            }
        }
        assert!(self.is_over(), "still {:?}", self.peer.state());
        assert!(self.peer.connection.piece().is_none());
        self.peer.policy = Policy::default();
        for policy in &self.policies {
            let holders = Arc::strong_count(&policy.hosts.default);
            assert_eq!(holders, 1, "an exchange that is over keeps its host");
        }
        let hooks = &self.peer.hooks;
        assert!(!hooks.is_heard, "an exchange was not reset");
        let is_cut = self.is_cut || hooks.has_cut;
        let count = responses::check(&self.output, &hooks.responses, !is_cut);
        assert!(count <= LIMITS.requests_max as usize);
        // Of a head that is refused no hook hears.
        let heard = hooks.responses.len();
        assert!(hooks.is_empty() || is_cut || count == heard || count == heard + 1);
        // Unless the client expects it, an end without lingering could cost it the response.
        let has_agreed = |last: &responses::Expected| !last.keeps_alive;
        let is_expected =
            self.has_ended || self.was_forced || self.peer.is_draining || hooks.has_cut;
        let is_agreed = is_expected || hooks.responses.last().is_none_or(has_agreed);
        assert!(
            self.has_lingered || is_agreed,
            "it closes without lingering"
        );
    }

    fn load_all(&mut self) {
        if self.peer.connection.is_loading() {
            self.load();
        }
    }
}

/// In so many deadlines a connection with a client that sends nothing comes to its end: one for
/// whatever it waits for, then the error's response, then the lingering, with room to spare.
const DEADLINES_MAX: usize = 8;
