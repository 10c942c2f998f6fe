//! One connection's share of a turn: what it wants to send is sent, what it wants to read is read,
//! until the kernel would block, the connection wants nothing more, or its budget is used up.

use super::Core;
use super::slots::Slot;
use crate::conn::{End, Id, Piece, Why};
use crate::disk::{ColdPiece, Disk, Job};
use crate::files;
use crate::http::Content;
use crate::sys::file::{self, Features};
use crate::sys::socket::{self, Received};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// How a share of a turn ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The connection waits for an event or its deadline.
    Waits,
    /// The budget is used up; there is more to do at once.
    IsUnfinished,
    /// The connection is over.
    IsOver,
}

/// How much of a file is sent with one call, and of a longer file in one turn: then it is the turn
/// of others, and what a client reads next is still in the processor's cache. A cold file is
/// brought into memory in the same pieces. Smaller pieces cost up to twice the processor time;
/// docs/PERFORMANCE.md has the figures.
pub(super) const PIECE_BYTES: u64 = 256 * 1024;

/// What the loop lends to a connection that is driven.
pub(super) struct Tools<'a> {
    pub(super) core: &'a mut Core,
    pub(super) disk: &'a Disk,
    /// The one buffer that all sockets are read into.
    pub(super) buffer: &'a mut [u8],
    /// Bytes that may be moved.
    pub(super) budget: usize,
}

/// What one attempt to send came to.
enum Sent {
    Bytes {
        count: u64,
        /// It is the turn of others now.
        ends_share: bool,
    },
    Blocked,
    /// What comes next must be brought into memory.
    Cold(ColdPiece),
}

impl Slot {
    /// Drives the connection.
    pub(super) fn drive(&mut self, id: Id, tools: &mut Tools<'_>) -> Share {
        loop {
            if let Err(_gone) = self.send(id, tools) {
                self.connection
                    .abort(Why::ClientGone, &mut tools.core.context(id, &self.socket));
            }
            if let Some(append) = self.connection.take_append()
                && tools.disk.submit(Job::Append { id, append }).is_err()
            {
                let cx = &mut tools.core.context(id, &self.socket);
                self.connection.handle_appended(None, cx);
            }
            match self.connection.end() {
                Some(End::Close) => return Share::IsOver,
                Some(End::Reset) => {
                    socket::reset_on_close(self.socket.as_fd());
                    return Share::IsOver;
                }
                Some(End::Linger) if !self.is_shut => {
                    socket::shut_sending(self.socket.as_fd());
                    self.is_shut = true;
                }
                _ => {}
            }
            if tools.budget == 0 {
                return Share::IsUnfinished;
            }
            if !self.is_readable || !self.connection.wants_input() {
                return Share::Waits;
            }
            self.receive(id, tools);
        }
    }

    fn receive(&mut self, id: Id, tools: &mut Tools<'_>) {
        match socket::receive(self.socket.as_fd(), tools.buffer) {
            Ok(Received::Bytes(count)) => {
                tools.core.traffic.received_bytes += count as u64;
                // The socket is empty then, and what comes later comes with an edge (epoll(7)). A
                // socket that is not registered yet gives its edge when it is.
                if count < tools.buffer.len() && !self.has_peer_ended {
                    self.is_readable = false;
                }
                let cx = &mut tools.core.context(id, &self.socket);
                self.connection.handle_input(&tools.buffer[..count], cx);
                tools.budget = tools.budget.saturating_sub(count);
            }
            Ok(Received::Blocked) => self.is_readable = false,
            Ok(Received::End) => {
                self.is_readable = false;
                let cx = &mut tools.core.context(id, &self.socket);
                self.connection.handle_end(cx);
            }
            Err(_gone) => {
                let cx = &mut tools.core.context(id, &self.socket);
                self.connection.abort(Why::ClientGone, cx);
            }
        }
    }

    fn send(&mut self, id: Id, tools: &mut Tools<'_>) -> io::Result<()> {
        while self.is_writable && !self.connection.is_loading() && tools.budget > 0 {
            let files = &tools.core.handler.files;
            let features = files.features(self.connection.site());
            let Some(sent) = self.send_piece(features)? else {
                break;
            };
            if let Sent::Bytes { count, .. } = sent {
                tools.core.traffic.sent_bytes += count;
            }
            let cx = &mut tools.core.context(id, &self.socket);
            match sent {
                Sent::Bytes { count, ends_share } => {
                    self.is_loaded = false;
                    let count_here = usize::try_from(count).unwrap_or(usize::MAX);
                    tools.budget = tools.budget.saturating_sub(count_here);
                    if ends_share {
                        tools.budget = 0;
                    }
                    self.connection.handle_sent(count, cx);
                }
                Sent::Blocked => {
                    // By the time there is room the piece may have been dropped from memory.
                    self.is_loaded = false;
                    self.is_writable = false;
                }
                Sent::Cold(piece) => {
                    let piece = Arc::new(piece);
                    let job = Job::Load {
                        id,
                        piece: Arc::downgrade(&piece),
                    };
                    if tools.disk.submit(job).is_err() {
                        return Err(io::ErrorKind::ResourceBusy.into());
                    }
                    self.cold_piece = Some(piece);
                    self.connection.handle_loading(true, cx);
                }
            }
        }
        Ok(())
    }

    /// Tries to send what comes next; `None` if nothing does.
    fn send_piece(&self, features: Features) -> io::Result<Option<Sent>> {
        let socket = self.socket.as_fd();
        let (file, offset, bytes_left) = match self.connection.piece() {
            None => return Ok(None),
            Some(Piece::Bytes { bytes, more }) => {
                return Ok(Some(Sent::of(
                    socket::transmit(socket, bytes, more)?,
                    false,
                )));
            }
            Some(Piece::File {
                file,
                offset,
                bytes,
                ..
            }) => (file, offset, bytes),
        };
        let Content::Descriptor(descriptor) = &file.content else {
            unreachable!("what is in memory is sent as bytes");
        };
        // What was described by the head that has left is all that may follow it.
        if !files::is_sendable(file) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let bytes = bytes_left.min(PIECE_BYTES);
        let is_warm =
            self.is_loaded || file::is_resident(descriptor.as_fd(), offset, bytes, features);
        if !is_warm {
            return Ok(Some(Sent::Cold(ColdPiece {
                file: Arc::clone(descriptor),
                offset,
                bytes,
            })));
        }
        let count = socket::transmit_file(socket, descriptor.as_fd(), offset, bytes as usize)?;
        if count == Some(0) {
            // The file has been cut short; what was promised cannot be sent.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Sent::of(count, bytes_left > PIECE_BYTES)))
    }
}

impl Sent {
    fn of(count: Option<usize>, ends_share: bool) -> Self {
        count.map_or(Self::Blocked, |count| Self::Bytes {
            count: count as u64,
            ends_share,
        })
    }
}
