//! Inner requests: connections without a socket, whose response is kept for the plugin that asked.
//!
//! They take the same way as all others, so hooks, files and limits apply. They ask in HTTP/1.0:
//! then a response of unknown length ends with its connection and is never in chunks. INVARIANT:
//! the slot number of one is [`FIRST_SLOT`] or more, and no other connection's is.

use super::Server;
use super::drive::PIECE_BYTES;
use crate::conn::{Connection, End, Id, Origin, Piece, Why};
use crate::disk::{ColdPiece, Job};
use crate::files;
use crate::http::Content;
use crate::plugin::{InnerReply, InnerRequest};
use crate::sys::{file, spool};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use swiftd_timer::Timer;

/// Slot numbers of inner requests begin here; connections are fewer.
pub(super) const FIRST_SLOT: u32 = 1 << 23;

/// How long a response may be, its head included: it is kept in memory.
const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// The inner requests that are being answered.
#[derive(Debug, Default)]
pub(super) struct Inners {
    places: Vec<Option<Inner>>,
    /// How many there have been.
    count: u32,
}

#[derive(Debug)]
struct Inner {
    request: u64,
    id: Id,
    connection: Connection,
    origin: Parent,
    reply: Vec<u8>,
    timer: Option<Timer>,
    cold_piece: Option<Arc<ColdPiece>>,
    is_loaded: bool,
}

/// Who is at the ends of the parent's connection.
#[derive(Debug)]
struct Parent {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
}

impl Origin for Parent {
    fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl Inners {
    fn take(&mut self, slot: u32) -> Option<Inner> {
        let place = slot.checked_sub(FIRST_SLOT)? as usize;
        self.places.get_mut(place)?.take()
    }

    fn take_if(&mut self, id: Id) -> Option<Inner> {
        let place = id.slot.checked_sub(FIRST_SLOT)? as usize;
        self.places.get_mut(place)?.take_if(|inner| inner.id == id)
    }

    fn put(&mut self, inner: Inner) {
        let place = (inner.id.slot - FIRST_SLOT) as usize;
        self.places[place] = Some(inner);
    }

    fn find(&self, request: u64) -> Option<Id> {
        let places = self.places.iter().flatten();
        let mut found = places.filter(|inner| inner.request == request);
        found.next().map(|inner| inner.id)
    }

    /// A name for one more.
    fn id(&mut self) -> Id {
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.count = self.count.wrapping_add(1);
        Id {
            slot: FIRST_SLOT + place as u32,
            generation: self.count,
        }
    }
}

impl Server {
    /// Starts and cancels what plugins have asked for.
    pub(super) fn tend_inner(&mut self) {
        for request in self.core.hooks.take_inner() {
            if !request.is_cancelled() {
                self.start_inner(&request);
            } else if let Some(id) = self.inners.find(request.id)
                && let Some(inner) = self.inners.take_if(id)
            {
                self.give_up(inner, Why::ClientGone);
            }
        }
    }

    fn start_inner(&mut self, request: &InnerRequest) {
        let id = self.inners.id();
        self.core.hooks.begin_inner(request, id);
        let mut inner = Inner {
            request: request.id,
            id,
            connection: Connection::new(self.core.now, &self.core.limits),
            origin: Parent {
                peer: request.peer,
                local: request.local,
            },
            reply: Vec::new(),
            timer: None,
            cold_piece: None,
            is_loaded: false,
        };
        let cx = &mut self.core.context(id, &inner.origin);
        inner.connection.handle_input(&request.head, cx);
        self.drive_inner(inner);
    }

    /// The disk, or a plugin, has what an inner request waits for.
    pub(super) fn wake_inner(&mut self, id: Id, is_hook: bool) {
        let Some(mut inner) = self.inners.take_if(id) else {
            return;
        };
        let cx = &mut self.core.context(id, &inner.origin);
        if is_hook {
            inner.connection.handle_resume(cx);
        } else {
            inner.connection.handle_wake(cx);
        }
        self.drive_inner(inner);
    }

    /// The disk has brought a piece of a file into memory, or cannot.
    pub(super) fn handle_inner_loaded(&mut self, id: Id, is_there: bool) {
        let Some(mut inner) = self.inners.take_if(id) else {
            return;
        };
        inner.cold_piece = None;
        inner.is_loaded = true;
        if !is_there {
            return self.give_up(inner, Why::Error);
        }
        let cx = &mut self.core.context(id, &inner.origin);
        inner.connection.handle_loading(false, cx);
        self.drive_inner(inner);
    }

    pub(super) fn handle_inner_deadline(&mut self, slot: u32) {
        let Some(mut inner) = self.inners.take(slot) else {
            return;
        };
        inner.timer = None;
        if inner.connection.has_missed_deadline(self.core.now) {
            let cx = &mut self.core.context(inner.id, &inner.origin);
            inner.connection.handle_deadline(cx);
        }
        self.drive_inner(inner);
    }

    /// An old generation is drained.
    pub(super) fn drain_inner(&mut self, id: Id) {
        if let Some(inner) = self.inners.take_if(id) {
            self.give_up(inner, Why::Drain);
        }
    }

    /// The server ends.
    pub(super) fn stop_inner(&mut self) {
        for place in 0..self.inners.places.len() as u32 {
            if let Some(inner) = self.inners.take(FIRST_SLOT + place) {
                self.give_up(inner, Why::Stop);
            }
        }
    }

    /// Takes what the connection has to send; keeps it if it waits, ends it if it is done.
    fn drive_inner(&mut self, mut inner: Inner) {
        while !inner.connection.is_loading() && inner.connection.piece().is_some() {
            if !self.take_piece(&mut inner) || inner.reply.len() > REPLY_BYTES_MAX {
                return self.give_up(inner, Why::Error);
            }
        }
        match inner.connection.end() {
            Some(End::Close | End::Linger) => {
                let reply = parse(&inner.reply);
                self.finish(inner, reply, Why::Done);
            }
            Some(End::Reset) => self.finish(inner, InnerReply::default(), Why::Error),
            None => {
                let (deadline, slot) = (inner.connection.deadline(), inner.id.slot);
                match inner.timer {
                    Some(timer) => {
                        self.timers.reschedule(timer, deadline);
                    }
                    None => inner.timer = Some(self.timers.insert(deadline, slot)),
                }
                self.inners.put(inner);
            }
        }
    }

    /// Moves one piece to the reply, or has the disk bring it; false if it cannot be had.
    fn take_piece(&mut self, inner: &mut Inner) -> bool {
        let features = self.core.handler.files.features(inner.connection.site());
        let count = match inner.connection.piece() {
            None => return true,
            // What a plugin lends is one piece, however long.
            Some(Piece::Bytes { bytes, .. }) if bytes.len() > REPLY_BYTES_MAX => return false,
            Some(Piece::Bytes { bytes, .. }) => {
                inner.reply.extend_from_slice(bytes);
                bytes.len()
            }
            Some(Piece::File {
                file,
                offset,
                bytes,
                ..
            }) => {
                let Content::Descriptor(descriptor) = &file.content else {
                    unreachable!("what is in memory is sent as bytes");
                };
                if !files::is_sendable(file) {
                    return false;
                }
                let bytes = bytes.min(PIECE_BYTES);
                let is_warm = inner.is_loaded
                    || file::is_resident(descriptor.as_fd(), offset, bytes, features);
                if !is_warm {
                    let piece = Arc::new(ColdPiece {
                        file: Arc::clone(descriptor),
                        offset,
                        bytes,
                    });
                    return self.load_inner(inner, piece);
                }
                inner.is_loaded = false;
                let start = inner.reply.len();
                inner.reply.resize(start + bytes as usize, 0);
                let read = spool::read_at(descriptor.as_fd(), &mut inner.reply[start..], offset);
                match read {
                    Ok(count) if count as u64 == bytes => count,
                    _ => return false,
                }
            }
        };
        let cx = &mut self.core.context(inner.id, &inner.origin);
        inner.connection.handle_sent(count as u64, cx);
        true
    }

    fn load_inner(&mut self, inner: &mut Inner, piece: Arc<ColdPiece>) -> bool {
        let job = Job::Load {
            id: inner.id,
            piece: Arc::downgrade(&piece),
        };
        inner.cold_piece = Some(piece);
        let is_asked = self.disk.submit(job).is_ok();
        let cx = &mut self.core.context(inner.id, &inner.origin);
        inner.connection.handle_loading(is_asked, cx);
        is_asked
    }

    fn give_up(&mut self, mut inner: Inner, why: Why) {
        let cx = &mut self.core.context(inner.id, &inner.origin);
        inner.connection.abort(why, cx);
        self.finish(inner, InnerReply::default(), why);
    }

    fn finish(&mut self, inner: Inner, reply: InnerReply, why: Why) {
        if let Some(timer) = inner.timer {
            self.timers.cancel(timer);
        }
        self.core.hooks.handle_close(inner.id, why);
        self.core.hooks.handle_inner(inner.request, reply);
    }
}

/// A response of our own, taken apart.
fn parse(bytes: &[u8]) -> InnerReply {
    const STATUS: std::ops::Range<usize> = 9..12;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let line_end = bytes.windows(2).position(|two| two == b"\r\n");
    let status = bytes.get(STATUS).and_then(|code| str::from_utf8(code).ok());
    let status = status.and_then(|code| code.parse().ok());
    match (end, line_end, status) {
        (Some(end), Some(line_end), Some(status)) => InnerReply {
            status,
            fields: bytes[line_end.min(end) + 2..end + 2].to_vec(),
            body: bytes[end + 4..].to_vec(),
        },
        _ => InnerReply::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_taken_apart() {
        let reply = parse(b"HTTP/1.1 404 Not Found\r\nA: 1\r\nB: 2\r\n\r\nbody\r\n\r\n");
        assert_eq!(reply.status, 404);
        assert_eq!(reply.fields, b"A: 1\r\nB: 2\r\n");
        assert_eq!(reply.body, b"body\r\n\r\n");
        assert_eq!(parse(b"HTTP/1.1 2").status, 0);
        assert_eq!(parse(b"").status, 0);
    }
}
