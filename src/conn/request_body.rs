//! A request's body: received by its framing, kept in memory, then in an unlinked file.
//!
//! Bytes that nobody wants are counted against the bound and dropped. Bytes that are kept move to
//! the disk thread whenever they reach the memory bound; meanwhile nothing more is received, so
//! that a body never holds more than that bound plus one read. This module decides when; the
//! driver writes.

use crate::http::Error;
use crate::http::body::Framing;
use crate::http::chunked::Chunked;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Bounds on a request's body.
#[derive(Copy, Clone, Debug)]
pub struct Bounds {
    /// The whole body, bytes.
    pub body_bytes_max: u64,
    /// What of it is kept in memory, bytes.
    pub memory_bytes_max: usize,
    /// The trailer section, bytes.
    pub trailer_bytes_max: usize,
}

/// How much of the framing is still to come.
#[derive(Debug)]
enum Progress {
    Length(u64),
    Chunked(Chunked),
}

/// A request's body as far as it has come.
#[derive(Debug)]
pub struct RequestBody {
    progress: Progress,
    is_kept: bool,
    is_complete: bool,
    memory_bytes_max: usize,
    memory: Vec<u8>,
    spool: Spool,
}

/// The file behind a body that is too large for memory.
#[derive(Debug, Default)]
struct Spool {
    file: Option<Arc<OwnedFd>>,
    /// Bytes that are in the file.
    bytes: u64,
    /// Bytes that the disk thread is writing, or 0.
    writing_bytes: usize,
}

/// Bytes that the disk thread is to append.
#[derive(Debug)]
pub struct Append {
    /// The file, or `None` if one is to be made.
    pub file: Option<Arc<OwnedFd>>,
    /// Where in the file.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Default for RequestBody {
    fn default() -> Self {
        Self {
            progress: Progress::Length(0),
            is_kept: false,
            is_complete: true,
            memory_bytes_max: 0,
            memory: Vec::new(),
            spool: Spool::default(),
        }
    }
}

impl RequestBody {
    /// A body that is about to arrive.
    ///
    /// # Errors
    /// Its announced length is over the bound.
    pub fn new(framing: Framing, is_kept: bool, bounds: &Bounds) -> Result<Self, Error> {
        let progress = match framing {
            Framing::None => Progress::Length(0),
            Framing::Length(bytes) if bytes > bounds.body_bytes_max => {
                return Err(Error::BodyTooLarge);
            }
            Framing::Length(bytes) => Progress::Length(bytes),
            Framing::Chunked => Progress::Chunked(Chunked::new(
                bounds.body_bytes_max,
                bounds.trailer_bytes_max,
            )),
        };
        Ok(Self {
            is_complete: matches!(progress, Progress::Length(0)),
            progress,
            is_kept,
            memory_bytes_max: bounds.memory_bytes_max,
            memory: Vec::new(),
            spool: Spool::default(),
        })
    }

    /// Takes what belongs to the body from the start of `input`; tells how many bytes.
    ///
    /// # Errors
    /// The chunked coding is malformed or over a bound.
    pub fn receive(&mut self, input: &[u8]) -> Result<usize, Error> {
        let (memory, is_kept) = (&mut self.memory, self.is_kept);
        let mut keep = |bytes: &[u8]| {
            if is_kept {
                memory.extend_from_slice(bytes);
            }
        };
        match &mut self.progress {
            Progress::Length(bytes_left) => {
                let count =
                    usize::try_from(*bytes_left).map_or(input.len(), |n| n.min(input.len()));
                keep(&input[..count]);
                *bytes_left -= count as u64;
                self.is_complete = *bytes_left == 0;
                Ok(count)
            }
            Progress::Chunked(chunked) => {
                let decoded = chunked.decode(input, &mut keep)?;
                self.is_complete = decoded.is_done;
                Ok(decoded.consumed)
            }
        }
    }

    /// Whether all of it has been received and, if it has a file, is in that file.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete && !self.is_writing() && !self.wants_append()
    }

    /// Whether the disk thread has bytes of it that it has not written yet.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.spool.writing_bytes > 0
    }

    /// Whether bytes must go to the disk before anything else.
    #[must_use]
    pub fn wants_append(&self) -> bool {
        let is_over = self.memory.len() > self.memory_bytes_max;
        let is_rest = self.is_complete && self.spool.file.is_some() && !self.memory.is_empty();
        !self.is_writing() && (is_over || is_rest)
    }

    /// The bytes for the disk thread, if there are any.
    pub fn take_append(&mut self) -> Option<Append> {
        if !self.wants_append() {
            return None;
        }
        self.spool.writing_bytes = self.memory.len();
        Some(Append {
            file: self.spool.file.clone(),
            offset: self.spool.bytes,
            bytes: std::mem::take(&mut self.memory),
        })
    }

    /// The disk thread has written them all to `file`.
    pub fn handle_appended(&mut self, file: Arc<OwnedFd>) {
        self.spool.bytes += self.spool.writing_bytes as u64;
        self.spool.writing_bytes = 0;
        self.spool.file = Some(file);
    }

    /// How much memory it holds, bytes, with what the disk thread has not written yet.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        self.memory.capacity() + self.spool.writing_bytes
    }

    /// Whether its bytes are kept for somebody.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The length of what has been kept, bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.spool.bytes + (self.spool.writing_bytes + self.memory.len()) as u64
    }

    /// The bytes, if all of them are in memory.
    #[must_use]
    pub fn memory(&self) -> Option<&[u8]> {
        self.spool.file.is_none().then_some(&self.memory[..])
    }

    /// The unlinked file that holds them all, if they are not in memory.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<OwnedFd>> {
        self.spool.file.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        body_bytes_max: 100,
        memory_bytes_max: 10,
        trailer_bytes_max: 64,
    };

    fn null() -> Arc<OwnedFd> {
        Arc::new(std::fs::File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn an_announced_length_over_the_bound_is_refused_at_once() {
        let error = RequestBody::new(Framing::Length(101), true, &BOUNDS).unwrap_err();
        assert_eq!(error, Error::BodyTooLarge);
        assert!(RequestBody::new(Framing::Length(100), true, &BOUNDS).is_ok());
    }

    #[test]
    fn a_small_body_stays_in_memory() {
        let mut body = RequestBody::new(Framing::Length(4), true, &BOUNDS).unwrap();
        assert_eq!(body.receive(b"ab"), Ok(2));
        assert!(!body.is_complete());
        assert_eq!(body.receive(b"cdGET"), Ok(2));
        assert!(body.is_complete() && body.file().is_none());
        assert_eq!(body.memory(), Some(&b"abcd"[..]));
    }

    #[test]
    fn a_large_body_goes_to_a_file_piece_by_piece() {
        let mut body = RequestBody::new(Framing::Length(25), true, &BOUNDS).unwrap();
        assert_eq!(body.receive(&[1; 11]), Ok(11));
        let append = body.take_append().unwrap();
        assert_eq!((append.offset, append.bytes.len()), (0, 11));
        assert!(append.file.is_none() && body.is_writing() && body.take_append().is_none());
        body.handle_appended(null());
        assert_eq!(body.receive(&[2; 20]), Ok(14));
        assert!(!body.is_complete(), "the rest is not in the file yet");
        let append = body.take_append().unwrap();
        assert_eq!((append.offset, append.bytes.len()), (11, 14));
        body.handle_appended(append.file.unwrap());
        assert!(body.is_complete() && body.memory().is_none());
        assert_eq!(body.kept_bytes(), 25);
    }

    #[test]
    fn an_unwanted_body_is_counted_and_dropped() {
        let mut body = RequestBody::new(Framing::Chunked, false, &BOUNDS).unwrap();
        assert_eq!(body.receive(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok(13));
        assert!(body.is_complete());
        assert_eq!(body.kept_bytes(), 0);
        let mut body = RequestBody::new(Framing::Chunked, false, &BOUNDS).unwrap();
        assert_eq!(body.receive(b"65\r\n"), Err(Error::BodyTooLarge));
    }
}
