//! The two minor streams of a script: the request's body that goes in, and the complaints that come
//! out. Neither ever blocks, and what a script complains about is bounded.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use swiftd_plugin::{Child, Error, Host, Level, Ready, Request, Stdio, Watched};

/// One read or write; a pipe holds four of them.
pub(crate) const CHUNK_BYTES: usize = 16 << 10;
/// Reads in one turn of the loop: a script that never stops talking is not alone on the server.
pub(crate) const READS_MAX: usize = 16;
/// A longer line of complaint is cut.
const LINE_BYTES_MAX: usize = 1024;
/// Lines of complaint that one request may add to the log.
const LINES_MAX: usize = 100;

/// Where the script reads the body from: nothing, a pipe that [`Feed`] fills, or the file in which
/// the server keeps a large body. That one is unlinked and complete and nobody reads it by its
/// position, so the script may have it as it is, from its beginning.
pub(crate) fn stdin(req: &Request<'_>) -> Stdio {
    if req.body_len().unwrap_or(0) == 0 {
        return Stdio::Null;
    }
    let rewound = req.body_fd().and_then(|fd| {
        let mut file = File::from(fd.try_clone_to_owned().ok()?);
        file.seek(SeekFrom::Start(0)).ok()?;
        Some(file)
    });
    rewound.map_or(Stdio::Pipe, |file| Stdio::Fd(file.into()))
}

/// The body on its way to the script.
pub(crate) struct Feed {
    pipe: Watched<File>,
    /// INVARIANT: sent <= len
    sent: u64,
    len: u64,
}

impl Feed {
    pub(crate) fn new(req: &mut Request<'_>, child: &mut Child) -> Result<Option<Self>, Error> {
        let Some(pipe) = child.stdin.take() else {
            return Ok(None);
        };
        Ok(Some(Self {
            pipe: req.watch_owned(File::from(pipe), Ready::WRITE)?,
            sent: 0,
            len: req.body_len().unwrap_or(0),
        }))
    }

    /// Writes what the pipe takes. Whether something went, and whether this is the end of it: all
    /// is written, or the script does not want more.
    pub(crate) fn advance(&mut self, req: &mut Request<'_>) -> (bool, bool) {
        let before = self.sent;
        let mut chunk = [0; CHUNK_BYTES];
        while self.sent < self.len {
            let read = match req.body_read(self.sent, &mut chunk) {
                Ok(n) if n > 0 => n,
                // The script sees from the length that something is missing.
                _ => return (true, true),
            };
            match self.pipe.get_mut().write(&chunk[..read]) {
                Ok(written) => self.sent += written as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return (self.sent > before, false);
                }
                Err(_) => return (true, true),
            }
        }
        (true, true)
    }
}

/// What the script writes to stderr, as lines of the log.
pub(crate) struct Complaints {
    /// `None` after its end.
    pipe: Option<Watched<File>>,
    /// What to begin each line with.
    name: String,
    line: Vec<u8>,
    lines_left: usize,
}

impl Complaints {
    pub(crate) fn new(
        req: &mut Request<'_>,
        child: &mut Child,
        name: String,
    ) -> Result<Self, Error> {
        let pipe = child.stderr.take().map(File::from);
        Ok(Self {
            pipe: pipe
                .map(|pipe| req.watch_owned(pipe, Ready::READ))
                .transpose()?,
            name,
            line: Vec::new(),
            lines_left: LINES_MAX,
        })
    }

    /// Reads what is there. Whether there may be more.
    pub(crate) fn advance(&mut self, host: &Host) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        for _ in 0..READS_MAX {
            let Some(pipe) = &mut self.pipe else {
                return false;
            };
            match pipe.get_mut().read(&mut chunk) {
                Ok(n) if n > 0 => self.take(host, &chunk[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                _ => self.end(host),
            }
        }
        true
    }

    /// Whatever has no end of line yet is a line.
    pub(crate) fn end(&mut self, host: &Host) {
        self.pipe = None;
        if !self.line.is_empty() {
            self.log_line(host);
        }
    }

    fn take(&mut self, host: &Host, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                self.log_line(host);
            }
        }
    }

    fn log_line(&mut self, host: &Host) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        match self.lines_left {
            0 => return,
            1 => host.log(
                Level::Warning,
                format_args!("{}: (more left out)", self.name),
            ),
            _ => host.log(Level::Warning, format_args!("{}: {line}", self.name)),
        }
        self.lines_left -= 1;
    }
}
