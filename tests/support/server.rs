//! The real program, started on a free port, and clients that talk to it over loopback.
//!
//! Everything waits by reading: the ready line, a response, the end of a stream, the end of the
//! log. The socket timeouts are a fail-safe against a server that hangs, far beyond what a busy
//! machine needs. INVARIANT: only the process that was started here is ever signalled.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    unreachable_pub,
    reason = "what others may use is told apart from helpers"
)]

use rustix::net::sockopt;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// When a test gives up waiting.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How the ready line begins.
const READY: &str = "swiftd: serving ";
/// How lines begin that tell what an operator may want to know.
const NOTICE: &str = "swiftd: notice: ";

/// A running swiftd.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    /// What was said before the ready line.
    pub notices: Vec<String>,
    /// The places of the ready line: `http://127.0.0.1:8080/`, `unix:/path`.
    pub places: Vec<String>,
    descriptors_at_start: usize,
}

/// The program, with its arguments to come.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_swiftd"))
}

impl Server {
    /// Serves `root` on a free port.
    pub fn start(root: &Path, options: &[&str]) -> Self {
        let mut command = program();
        command.arg(root).args(["--port", "0"]).args(options);
        Self::spawn(command)
    }

    /// Serves `root` on a free port with a limit of open files, soft and hard.
    pub fn start_with_files_max(files_max: u32, root: &Path, options: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\"; exec \"$@\""]);
        command.arg(files_max.to_string());
        command.arg(env!("CARGO_BIN_EXE_swiftd")).arg(root);
        command.args(["--port", "0"]).args(options);
        Self::spawn(command)
    }

    /// Runs a command that becomes swiftd, and waits until it serves.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_gated(command).0
    }

    /// The same; the log behind the ready line is read only when the gate has been dropped.
    pub fn spawn_gated(mut command: Command) -> (Self, Gate) {
        command.stdin(Stdio::null());
        Self::spawn_as_it_is(command)
    }

    /// The same with the standard input that the command has.
    pub fn spawn_as_it_is(mut command: Command) -> (Self, Gate) {
        let (stderr, writer) = io::pipe().unwrap();
        let child = command.stderr(writer.try_clone().unwrap());
        let child = child.spawn().unwrap();
        // It holds a copy of the pipe's other end, and only the end of the last one is the end.
        drop(command);
        let (sender, lines) = channel();
        let (opener, gate) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // It is said at each start; who wants to know reads it elsewhere.
                if line.starts_with("swiftd: notice: sandbox: ") {
                    continue;
                }
                let is_ready = line.starts_with(READY);
                if sender.send(line).is_err() {
                    break;
                }
                if is_ready {
                    // This waits until nobody can open the gate any more.
                    let _: Result<(), _> = gate.recv();
                }
            }
        });
        let gate = Gate {
            writer,
            _opener: opener,
        };
        let mut server = Self {
            child,
            lines,
            log: Vec::new(),
            notices: Vec::new(),
            places: Vec::new(),
            descriptors_at_start: 0,
        };
        let mut ready = server.next_line().expect("swiftd ends without serving");
        while ready.starts_with(NOTICE) {
            server.notices.push(ready);
            ready = server.next_line().expect("swiftd ends without serving");
        }
        let (_, places) = ready
            .strip_prefix(READY)
            .and_then(|rest| rest.rsplit_once(" on "))
            .unwrap_or_else(|| panic!("not the ready line: {ready}"));
        server.places = places.split(", ").map(str::to_owned).collect();
        server.log.clear();
        server.descriptors_at_start = server.descriptors();
        (server, gate)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first TCP address.
    pub fn address(&self) -> SocketAddr {
        let place = self.places.iter().find_map(|p| p.strip_prefix("http://"));
        place.unwrap().trim_end_matches('/').parse().unwrap()
    }

    /// A new connection to the first TCP address.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request over a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// How many descriptors the server has open.
    pub fn descriptors(&self) -> usize {
        let list = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        list.unwrap().count()
    }

    /// Processor time of the server so far, in ticks (of 10 ms, everywhere in practice).
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is the name in parentheses; utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// A line of /proc/PID/smaps_rollup, bytes.
    pub fn memory(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().nth(1));
        number.unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Sets the soft limit of open files of the running server.
    pub fn set_files_max(&self, files_max: usize) {
        let current = rustix::process::getrlimit(Resource::Nofile);
        let new = Rlimit {
            current: Some(files_max as u64),
            maximum: current.maximum,
        };
        let pid = Pid::from_child(&self.child);
        rustix::process::prlimit(Some(pid), Resource::Nofile, new).unwrap();
    }

    /// The next line of the log; `None` at its end, which is that of the process.
    pub fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.log.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("swiftd neither says anything nor ends"),
        }
    }

    /// The next line of the log, if it is there already.
    pub fn try_next_line(&mut self) -> Option<String> {
        let line = self.lines.try_recv().ok()?;
        self.log.push(line.clone());
        Some(line)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; returns the status and what was logged since the ready line.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        while self.next_line().is_some() {}
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.log))
    }

    /// Waits until the server has no more descriptors than at the start plus those of `files` that
    /// its cache may hold: it has noticed that all clients are gone and has leaked nothing.
    pub fn wait_until_idle(&self, files: usize) {
        let wanted = self.descriptors_at_start + files;
        let start = std::time::Instant::now();
        while self.descriptors() > wanted {
            assert!(start.elapsed() < PATIENCE, "descriptors leak: {self:?}");
            // A round trip: by then the server has seen everything that came before.
            self.get("/.nothing");
        }
    }

    /// Ends a test whose clients are gone: no descriptor has leaked, nothing was logged, and
    /// SIGTERM ends the server in good order. `files` are those that may be cached.
    pub fn finish(self, files: usize) {
        let log = self.finish_with_log(files);
        assert_eq!(log, [""; 0]);
    }

    /// As [`Self::finish`] where lines in the log are expected; returns them.
    pub fn finish_with_log(self, files: usize) -> Vec<String> {
        self.wait_until_idle(files);
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert!(status.success(), "{status}: {log:?}");
        log
    }
}

/// Holds the log of a server back while it exists.
pub struct Gate {
    writer: PipeWriter,
    _opener: Sender<()>,
}

impl Gate {
    /// Fills the pipe, so that whoever writes a line into the log stops there.
    pub fn shut(&mut self) {
        // A pipe holds as many pages as its size says, and it is empty now.
        let bytes = rustix::pipe::fcntl_setpipe_size(&self.writer, 1).unwrap();
        let mut filling = vec![b'.'; bytes];
        *filling.last_mut().unwrap() = b'\n';
        self.writer.write_all(&filling).unwrap();
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        let links = names.into_iter().flatten().flatten();
        let links: Vec<_> = links
            .map(|entry| std::fs::read_link(entry.path()))
            .collect();
        write!(f, "{:?}, at start {}", links, self.descriptors_at_start)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed; one that did not has waited for the end already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream that can be half closed.
pub trait Stream: Read + Write + AsFd {
    /// Shuts the sending side.
    fn end(&self);
}

impl Stream for TcpStream {
    fn end(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Stream for UnixStream {
    fn end(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// A client with one connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    /// What was received beyond the last response.
    rest: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(this, _)| this.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// What the head promises.
    pub fn length(&self) -> usize {
        let value = self.field("Content-Length");
        value.map_or(0, |value| value.parse().unwrap())
    }
}

impl Client {
    /// Connects over TCP.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::from_stream(stream)
    }

    /// Connects with a receive buffer of about `bytes`, which bounds what the server can have in
    /// flight.
    pub fn connect_narrow(address: SocketAddr, bytes: usize) -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
        let kind = SocketType::STREAM;
        let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&socket, bytes).unwrap();
        connect(&socket, &address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::from_stream(stream)
    }

    /// Closes so that the server gets a reset, whatever was sent or received before.
    pub fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

impl Client<UnixStream> {
    /// Connects to a path.
    pub fn connect_unix(path: impl AsRef<OsStr>) -> Self {
        let stream = UnixStream::connect(path.as_ref()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::from_stream(stream)
    }
}

impl<S: Stream> Client<S> {
    /// A client over an open stream.
    pub fn from_stream(stream: S) -> Self {
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a GET of `target`; the connection is kept.
    pub fn ask(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    }

    /// Shuts the sending side.
    pub fn end(&self) {
        self.stream.end();
    }

    /// GETs `target`.
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(target);
        self.response()
    }

    /// GETs `target` with more fields, each ended by CRLF.
    pub fn get_with(&mut self, target: &str, fields: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        self.response()
    }

    /// The next response with its body.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let length = response.length();
        response.body = self.bytes(length);
        response
    }

    /// The next response's head; its body is still to come, or there is none.
    pub fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.receive() > 0,
                "the stream ends within a head: {:?}",
                String::from_utf8_lossy(&self.rest)
            );
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        Response {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            head,
            body: Vec::new(),
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.rest.len() < count {
            assert!(self.receive() > 0, "the stream ends within a body");
        }
        let rest = self.rest.split_off(count);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Everything up to the end of the stream, which must not be a reset.
    pub fn all(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        std::mem::take(&mut self.rest)
    }

    /// Everything up to the end of the stream, be it in good order or not.
    pub fn all_there_is(&mut self) -> Vec<u8> {
        let result = self.stream.read_to_end(&mut self.rest);
        if let Err(error) = result {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
        std::mem::take(&mut self.rest)
    }

    /// Nothing more comes, and the stream ends in good order.
    pub fn expect_end(&mut self) {
        let all = self.all();
        assert!(all.is_empty(), "{:?}", String::from_utf8_lossy(&all));
    }

    /// Whether nothing can be read just now.
    pub fn is_silent(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.rest.is_empty() && recv(&self.stream, &mut [0], flags).is_err()
    }

    fn receive(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        // A socket with a timeout is interrupted also where nobody handles signals.
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.unwrap(),
            }
        };
        self.rest.extend_from_slice(&buffer[..count]);
        count
    }
}

/// Waits until one of the clients has something to read; returns which. The kernel may hand over
/// what several connections sent in another order than that of sending.
pub fn first_answered(clients: &[Client]) -> usize {
    use rustix::event::{PollFd, PollFlags, poll};
    let entry = |client| PollFd::new(client, PollFlags::IN);
    let mut entries: Vec<_> = clients.iter().map(|client| entry(&client.stream)).collect();
    let patience = PATIENCE.try_into().unwrap();
    let count = poll(&mut entries, Some(&patience)).unwrap();
    assert!(count > 0, "nobody is answered");
    let is_ready = |entry: &PollFd<'_>| !entry.revents().is_empty();
    entries.iter().position(is_ready).unwrap()
}

/// A copy of the program in `directory`, for a user who may not reach the original.
pub fn copy_program(directory: &Path) -> std::path::PathBuf {
    let copy = directory.join("swiftd");
    // Not made by this process: a child that is started meanwhile by another thread would hold it
    // open for writing, and what is being written cannot be run.
    let mut command = Command::new("cp");
    command.arg(env!("CARGO_BIN_EXE_swiftd")).arg(&copy);
    assert!(command.status().unwrap().success());
    copy
}

/// Bytes that differ at every position of a large file, and from those of another `seed`.
pub fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(bytes);
    all
}

/// Whether two long byte strings are equal, told without printing them.
#[track_caller]
pub fn assert_same(got: &[u8], wanted: &[u8]) {
    let first = got.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(
        got == wanted,
        "{} bytes instead of {}, the first difference at {first:?}",
        got.len(),
        wanted.len()
    );
}
