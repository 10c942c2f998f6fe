//! `--try-plugin`: one plugin in a server that listens nowhere, and one request to it.
//!
//! It is the whole server with its loop, because whatever a plugin may wait for (timers,
//! descriptors, jobs, children, inner requests) is waited for there; only the client is not real.
//! It sits at the other end of a pair of sockets, in the same thread: it reads and writes between
//! two turns and never waits.

use crate::config::Config;
use crate::plugin::{Bench, Plugins};
use crate::server::Server;
use crate::sys::footprint::Footprint;
use crate::sys::threads;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is to be tried.
#[derive(Debug)]
pub struct Attempt {
    /// The plugin's library.
    pub file: PathBuf,
    /// What a client sends.
    pub request: Vec<u8>,
    /// How often it is loaded anew, with the same request after each time.
    pub reload_count: u32,
    /// As for a server. A root that is empty is none: then there are no files.
    pub config: Config,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether all went well: answers below 500, and nothing left behind by reloads.
    pub is_good: bool,
    /// What is to be said about it, line by line.
    pub report: String,
}

/// How many reloads come before those that are counted.
const WARM_UP: u32 = 10;
/// Growth is told always, but blamed on the plugin only after so many reloads,
const COUNT_LEAST: u32 = 20;
/// and if it is at least so much for each of them, KiB.
const GROWTH_KIB_MAX: u64 = 1;

impl Attempt {
    /// Loads the plugin, asks it, and copies to `out` what it answers first.
    ///
    /// # Errors
    /// It could not be loaded, or the server could not be started.
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, String> {
        threads::register_own();
        let Self {
            file,
            request,
            reload_count,
            mut config,
        } = self;
        let patience = config.plugins.drain_timeout;
        let empty = if config.site.root.as_os_str().is_empty() {
            let empty = EmptyRoot::new(&config.temporary)?;
            config.site.root.clone_from(&empty.0);
            Some(empty)
        } else {
            None
        };
        let bench = Rc::new(Bench::default());
        bench.trace(true);
        let settings = config.plugins.clone();
        let plugins = Plugins::try_out(&file, settings, Rc::clone(&bench))?;
        let server = Server::start_with(Vec::new(), config, Box::new(plugins), None);
        let mut workbench = Workbench {
            server: server.map_err(|error| error.to_string())?,
            bench,
            request,
            patience,
        };
        // The server has it open, and it stays empty.
        drop(empty);
        let said = |error: io::Error| error.to_string();
        let answer = workbench.ask(Some(out)).map_err(said)?;
        let mut outcome = Outcome {
            is_good: answer.trouble().is_none(),
            report: answer.trouble().unwrap_or_default(),
        };
        if reload_count > 0 {
            workbench.bench.trace(false);
            outcome = workbench.reload(reload_count, outcome).map_err(said)?;
        }
        Ok(outcome)
    }
}

/// A server without listeners, and who asks it.
struct Workbench {
    server: Server,
    bench: Rc<Bench>,
    request: Vec<u8>,
    /// How long an old copy may stay in use.
    patience: Duration,
}

impl Workbench {
    /// Sends the request and takes the answer; copies it to `out` as it comes.
    fn ask(&mut self, mut out: Option<&mut dyn Write>) -> io::Result<Answer> {
        let (mut client, socket) = UnixStream::pair()?;
        client.set_nonblocking(true)?;
        socket.set_nonblocking(true)?;
        let mut answer = Answer {
            is_of_head: self.request.starts_with(b"HEAD "),
            ..Answer::default()
        };
        let request = std::mem::take(&mut self.request);
        let mut unsent = &request[..];
        send(&mut client, &mut unsent);
        self.server.adopt(socket.into());
        let mut buffer = [0; 16 * 1024];
        loop {
            send(&mut client, &mut unsent);
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    answer.add(&buffer[..count]);
                    if let Some(out) = &mut out {
                        out.write_all(&buffer[..count])?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.server.step()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_reset) => break,
            }
        }
        if let Some(out) = &mut out {
            out.flush()?;
        }
        drop(client);
        while self.server.connection_count() > 0 {
            self.server.step()?;
        }
        self.request = request;
        Ok(answer)
    }

    /// Loads the plugin anew again and again, with a request after each time. The first few times
    /// fill what is kept for ever, and count for nothing.
    fn reload(mut self, count: u32, mut outcome: Outcome) -> io::Result<Outcome> {
        let mut before = self.ends()?;
        for number in 1..=WARM_UP + count {
            let trouble = match self.reload_once(number)? {
                Ok(()) => self.ask(None)?.trouble(),
                Err(why) => {
                    outcome.is_good = false;
                    outcome.add(&format!("reload {number}: {why}"));
                    return Ok(outcome);
                }
            };
            if let Some(trouble) = trouble.filter(|_| outcome.is_good) {
                outcome.is_good = false;
                outcome.add(&format!("after reload {number}: {trouble}"));
            }
            if number == WARM_UP {
                before = self.ends()?;
            }
        }
        let after = self.ends()?;
        let stuck = &after.stuck[before.stuck.len()..];
        let resident_count = after.resident_count - before.resident_count;
        let growth = Growth {
            before: before.footprint,
            after: after.footprint,
            count,
        };
        let fate = match (stuck, resident_count) {
            ([], 0) => "all unmapped".to_owned(),
            ([], _) => format!("{resident_count} stay mapped, as it asks"),
            ([why, ..], _) => format!("{} not unmapped: {why}", stuck.len()),
        };
        let kib = growth.kib();
        outcome.add(&format!("{count} reloads: {kib} KiB growth, {fate}"));
        outcome.add(&growth.describe());
        outcome.is_good &= after.stuck.is_empty();
        outcome.is_good &= resident_count > 0 || !growth.is_a_leak();
        Ok(outcome)
    }

    /// What has become of all copies so far.
    fn ends(&self) -> io::Result<Ends> {
        Ok(Ends {
            footprint: Footprint::now()?,
            stuck: self.bench.stuck(),
            resident_count: self.bench.resident_count(),
        })
    }

    /// Loads it anew, and waits until the old copy has ended.
    fn reload_once(&mut self, number: u32) -> io::Result<Result<(), String>> {
        let number = u64::from(number);
        let began = Instant::now();
        self.bench.reload();
        loop {
            if let Some(why) = self.bench.rejection() {
                return Ok(Err(why));
            }
            if self.bench.generation() > number && self.bench.ended_count() >= number {
                return Ok(Ok(()));
            }
            if began.elapsed() >= self.patience {
                let seconds = self.patience.as_secs_f32();
                return Ok(Err(format!(
                    "the old copy is still in use after {seconds} s: a job, a child or a request of it has not ended"
                )));
            }
            self.server.step()?;
        }
    }
}

/// Sends what fits; behind the last byte the client says that nothing more comes.
fn send(client: &mut UnixStream, unsent: &mut &[u8]) {
    while !unsent.is_empty() {
        match client.write(unsent) {
            Ok(count) => *unsent = &unsent[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It was refused before its end; the answer says why.
            Err(_) => *unsent = &[],
        }
        if unsent.is_empty() {
            let _ = client.shutdown(Shutdown::Write);
        }
    }
}

impl Outcome {
    fn add(&mut self, line: &str) {
        if !self.report.is_empty() {
            self.report.push('\n');
        }
        self.report.push_str(line);
    }
}

/// What has become of copies up to a moment.
struct Ends {
    footprint: Footprint,
    stuck: Vec<String>,
    resident_count: u64,
}

/// What reloads have left behind.
struct Growth {
    before: Footprint,
    after: Footprint,
    count: u32,
}

impl Growth {
    fn kib(&self) -> u64 {
        let (before, after) = (self.before.dirty_kib, self.after.dirty_kib);
        after.saturating_sub(before)
    }

    /// Whether it is too much to be the server's own.
    fn is_a_leak(&self) -> bool {
        let count = u64::from(self.count);
        let fds = self.after.descriptor_count;
        let fds = fds.saturating_sub(self.before.descriptor_count) as u64;
        self.count >= COUNT_LEAST && (self.kib() >= count * GROWTH_KIB_MAX || fds >= count)
    }

    fn describe(&self) -> String {
        let Self { before, after, .. } = self;
        format!(
            "{} to {} KiB of memory, {} to {} mappings of copies, {} to {} descriptors",
            before.dirty_kib,
            after.dirty_kib,
            before.mapping_count,
            after.mapping_count,
            before.descriptor_count,
            after.descriptor_count
        )
    }
}

/// What came back, as far as it is judged.
#[derive(Debug, Default)]
struct Answer {
    /// The request was for the head alone.
    is_of_head: bool,
    /// The response's head, and what of the content came with it.
    start: Vec<u8>,
    bytes: u64,
    /// Its last bytes.
    end: Vec<u8>,
}

/// Heads are shorter.
const START_BYTES_MAX: usize = 64 * 1024;
/// How a response in chunks ends.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Answer {
    fn add(&mut self, bytes: &[u8]) {
        let room = START_BYTES_MAX - self.start.len();
        self.start
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.bytes += bytes.len() as u64;
        self.end.extend_from_slice(bytes);
        let old = self.end.len().saturating_sub(LAST_CHUNK.len());
        self.end.drain(..old);
    }

    /// What is wrong with it.
    fn trouble(&self) -> Option<String> {
        let mut start = 0;
        loop {
            let bytes = &self.start[start..];
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Some("no response".into());
            };
            let head = String::from_utf8_lossy(&bytes[..end]);
            let status = head.get(9..12).and_then(|code| code.parse::<u16>().ok());
            start += end + 4;
            match status {
                None => return Some("no response".into()),
                // Another one follows.
                Some(100..200) => {}
                Some(status @ 500..) => return Some(format!("the answer was {status}")),
                Some(204 | 304) => return None,
                Some(_) if self.is_of_head => return None,
                Some(_) => {
                    let bytes = self.bytes - start as u64;
                    return (!self.is_whole(&head, bytes))
                        .then(|| "the response is cut off".into());
                }
            }
        }
    }

    fn is_whole(&self, head: &str, body_bytes: u64) -> bool {
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim())
        };
        match field("content-length") {
            Some(length) => length.parse() == Ok(body_bytes),
            None => field("transfer-encoding").is_none() || self.end == LAST_CHUNK,
        }
    }
}

/// A directory with nothing in it, for as long as it takes to open it.
struct EmptyRoot(PathBuf);

impl EmptyRoot {
    fn new(directory: &Path) -> Result<Self, String> {
        let path = directory.join(format!("swiftd-try-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        // Whatever is wrong with it, it is not in the way.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(response: &[u8]) -> Option<String> {
        let mut answer = Answer::default();
        for byte in response.chunks(1) {
            answer.add(byte);
        }
        answer.trouble()
    }

    #[test]
    fn only_a_whole_answer_below_500_is_good() {
        for (response, wanted) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"[..], ""),
            (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", ""),
            (b"HTTP/1.1 204 No\r\n\r\n", ""),
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "",
            ),
            (b"", "no response"),
            (b"HTTP/1.1 200 OK\r\nContent-Le", "no response"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "no response"),
            (b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "the answer was 502"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "cut off"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
                "cut off",
            ),
        ] {
            let found = trouble(response).unwrap_or_default();
            assert!(found.contains(wanted) && found.is_empty() == wanted.is_empty(), "{found}");
        }
    }

    #[test]
    fn growth_is_blamed_on_nobody_before_it_is_plain() {
        let at = |dirty_kib, descriptor_count| Footprint {
            dirty_kib,
            mapping_count: 5,
            descriptor_count,
        };
        let is_a_leak = |kib: u64, fds: usize, count| {
            let (before, after) = (at(1000, 10), at(1000 + kib, 10 + fds));
            Growth {
                before,
                after,
                count,
            }
            .is_a_leak()
        };
        assert!(!is_a_leak(500, 5, 5));
        assert!(!is_a_leak(89, 89, 90));
        assert!(is_a_leak(90, 0, 90) && is_a_leak(0, 90, 90));
    }
}
