//! What a connection has still to send: bytes, and parts of files and shared bytes between them.
//!
//! Bytes of several responses lie in one buffer, so that pipelined answers leave in one call. A
//! file is not copied: its part is noted with the position in the bytes at which it comes.
//! INVARIANT: positions never decrease from one splice to the next, and none lies before `sent`.

use crate::http::range::Part;
use crate::http::{Representation, SharedBytes};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes, parts of files and shared bytes, in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` have been sent.
    sent: usize,
    splices: VecDeque<Splice>,
}

/// What is sent from somewhere else between the bytes.
#[derive(Debug)]
struct Splice {
    /// The position in `bytes` before which this part is sent.
    at: usize,
    source: Source,
    offset: u64,
    bytes_left: u64,
}

/// Where a splice's bytes are.
#[derive(Debug)]
enum Source {
    File(Arc<Representation>),
    Shared(Rc<dyn SharedBytes>),
}

impl Splice {
    /// What is left of shared bytes.
    fn shared(&self) -> Option<&[u8]> {
        match &self.source {
            Source::File(_) => None,
            Source::Shared(bytes) => {
                let bytes: &[u8] = (**bytes).as_ref();
                Some(&bytes[self.offset as usize..])
            }
        }
    }
}

/// What is to be sent next.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These bytes; `more` follows at once.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// Whether something else follows that is already known.
        more: bool,
    },
    /// A part of a file.
    File {
        /// The file.
        file: &'a Arc<Representation>,
        /// Where the part begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
        /// Whether something else follows.
        more: bool,
    },
}

/// A buffer larger than this is not kept for the next exchange.
const KEPT_BYTES_MAX: usize = 128 * 1024;

impl Output {
    /// Whether everything has been sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.splices.is_empty()
    }

    /// Whether the buffer has grown so much that it should not be kept.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.bytes.capacity() > KEPT_BYTES_MAX
    }

    /// How many bytes are held in memory, those included that have been sent: they are let go
    /// together with the last one. Were they not counted, a client that pipelines and always leaves
    /// something unread could make the buffer grow for ever.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How much memory it owns, bytes.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        self.bytes.capacity() + self.splices.capacity() * size_of::<Splice>()
    }

    /// Whether something is waiting that is not in the buffer.
    #[must_use]
    pub fn has_splice(&self) -> bool {
        !self.splices.is_empty()
    }

    /// The buffer, to append bytes to.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a part of a file: its bytes if they are in memory, else the part itself.
    pub fn push_file(&mut self, file: &Arc<Representation>, part: Part) {
        if let Some(bytes) = file.slice(part) {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.splices.push_back(Splice {
            at: self.bytes.len(),
            source: Source::File(Arc::clone(file)),
            offset: part.first,
            bytes_left: part.len(),
        });
    }

    /// Appends bytes that are not copied.
    pub fn push_shared(&mut self, bytes: &Rc<dyn SharedBytes>) {
        let length = (**bytes).as_ref().len();
        if length > 0 {
            self.splices.push_back(Splice {
                at: self.bytes.len(),
                source: Source::Shared(Rc::clone(bytes)),
                offset: 0,
                bytes_left: length as u64,
            });
        }
    }

    /// How many bytes in memory have not been sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        let shared = self.splices.iter().filter_map(Splice::shared);
        self.bytes.len() - self.sent + shared.map(<[u8]>::len).sum::<usize>()
    }

    /// How many bytes have not been sent, those of files included.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        let splices = self.splices.iter().map(|splice| splice.bytes_left);
        (self.bytes.len() - self.sent) as u64 + splices.sum::<u64>()
    }

    /// Lets go of what has been sent if that is most of the buffer: one to which more is appended
    /// all the time is never empty.
    pub fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            for splice in &mut self.splices {
                splice.at -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// What is to be sent next, or `None` if nothing is.
    #[must_use]
    pub fn piece(&self) -> Option<Piece<'_>> {
        let splice = self.splices.front();
        let end = splice.map_or(self.bytes.len(), |splice| splice.at);
        debug_assert!(self.sent <= end, "a splice was passed over");
        if self.sent < end {
            return Some(Piece::Bytes {
                bytes: &self.bytes[self.sent..end],
                more: splice.is_some(),
            });
        }
        splice.map(|splice| {
            let more = self.splices.len() > 1 || self.sent < self.bytes.len();
            match &splice.source {
                Source::File(file) => Piece::File {
                    file,
                    offset: splice.offset,
                    bytes: splice.bytes_left,
                    more,
                },
                Source::Shared(_) => Piece::Bytes {
                    bytes: splice.shared().unwrap_or_default(),
                    more,
                },
            }
        })
    }

    /// Notes that `count` bytes of the current piece have been sent.
    pub fn advance(&mut self, count: u64) {
        let end = self.splices.front().map_or(self.bytes.len(), |s| s.at);
        if self.sent < end {
            debug_assert!(count <= (end - self.sent) as u64);
            self.sent += count as usize;
        } else if let Some(splice) = self.splices.front_mut() {
            debug_assert!(count <= splice.bytes_left);
            splice.offset += count;
            splice.bytes_left -= count;
            if splice.bytes_left == 0 {
                self.splices.pop_front();
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::MediaType;
    use crate::http::representation::{Content, Identity, Modified};

    fn file(content: Content, bytes: u64) -> Arc<Representation> {
        let modified = Modified {
            unix_secs: 0,
            nanos: 0,
        };
        let identity = Identity {
            device: 0,
            inode: 0,
            bytes,
            modified,
            changed: modified,
        };
        Arc::new(Representation::new(
            identity,
            content,
            MediaType::Known(&"text/plain"),
            None,
            false,
        ))
    }

    #[test]
    fn bytes_and_files_leave_in_order() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let large = file(Content::Descriptor(Arc::new(null.into())), 100);
        let small = file(Content::Memory(Box::from(&b"small"[..])), 5);
        let mut output = Output::default();
        output.bytes_mut().extend_from_slice(b"ab");
        output.push_file(
            &large,
            Part {
                first: 10,
                last: 19,
            },
        );
        output.bytes_mut().extend_from_slice(b"cd");
        output.push_file(&small, Part { first: 1, last: 3 });
        let mut log = String::new();
        while let Some(piece) = output.piece() {
            let count = match piece {
                Piece::Bytes { bytes, more } => {
                    log += &format!("{}{} ", String::from_utf8_lossy(&bytes[..1]), more);
                    1
                }
                Piece::File {
                    offset,
                    bytes,
                    more,
                    ..
                } => {
                    log += &format!("[{offset}+{bytes} {more}] ");
                    bytes.min(6)
                }
            };
            output.advance(count);
        }
        assert_eq!(
            log,
            "atrue btrue [10+10 true] [16+4 true] cfalse dfalse mfalse afalse lfalse "
        );
        assert!(output.is_empty() && output.held_bytes() == 0);
    }
}
