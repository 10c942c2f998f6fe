//! A response that is sent while it is made: what its owner has written and the connection has not
//! taken yet.
//!
//! What has been written and not been sent is bounded. Whoever wants to write more is refused, and
//! called again when half of it has left. How the content is framed is not known here.

/// What may be written and not be sent, bytes, over this and the connection's output. Two of these
/// in flight hide the time between a client's acknowledgement and the next call of the owner.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// The same while memory is short: enough to go on, and no more.
const UNSENT_BYTES_SHORT: usize = 4 * 1024;

/// How far a stream has come.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The response is not a stream.
    #[default]
    None,
    /// It is, and its head has not been encoded.
    Started,
    /// Its head has been encoded.
    Sending,
    /// All of it has.
    Sent,
}

/// A response that is sent while it is made.
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    is_ended: bool,
    /// Its content is encoded as chunks.
    is_chunked: bool,
    /// What has been written and not been taken.
    buffer: Vec<u8>,
    /// What the connection has taken and not sent yet, bytes.
    backlog_bytes: usize,
    /// What may be written and not be sent, bytes.
    unsent_bytes_max: usize,
    /// All that was written, bytes.
    written_bytes: u64,
    /// Nobody wants the content: the answer to HEAD, a status without content.
    is_discarding: bool,
    /// A write was refused.
    wants_room: bool,
    /// The owner is called because there is room again; it may clear this when it knows.
    pub has_room_event: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            phase: Phase::None,
            is_ended: false,
            is_chunked: false,
            buffer: Vec::new(),
            backlog_bytes: 0,
            unsent_bytes_max: UNSENT_BYTES_MAX,
            written_bytes: 0,
            is_discarding: false,
            wants_room: false,
            has_room_event: false,
        }
    }
}

impl Stream {
    /// The response is a stream from now on; its status and fields must be set.
    pub fn start(&mut self) {
        if self.phase == Phase::None {
            self.phase = Phase::Started;
        }
    }

    /// Takes what there is room for and tells how much that was; `None` if there is none now. Then
    /// the owner must wait; it is called when there is. A stream that is not open takes nothing.
    pub fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.is_open() || bytes.is_empty() {
            return Some(0);
        }
        if self.is_discarding {
            self.written_bytes += bytes.len() as u64;
            return Some(bytes.len());
        }
        let room = self
            .unsent_bytes_max
            .saturating_sub(self.backlog_bytes + self.buffer.len());
        if room == 0 {
            self.wants_room = true;
            return None;
        }
        let count = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        self.written_bytes += count as u64;
        Some(count)
    }

    /// The response is complete.
    pub fn end(&mut self) {
        self.is_ended |= self.is_started();
    }

    /// Whether the response is a stream.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.phase != Phase::None
    }

    /// Whether it is complete.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether something may be written.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_started() && !self.is_ended
    }

    /// Whether the owner wants to write and has been refused, so that it will be called.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.wants_room
    }

    // ---- the connection's side ------------------------------------------------------------

    /// Whether the client has been told that a response is coming, so that it can only be cut off.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Sent)
    }

    /// Whether the client gets all of it, whatever its owner does now.
    pub(super) fn is_sent(&self) -> bool {
        self.phase == Phase::Sent
    }

    /// The head is being encoded.
    pub(super) fn begin_sending(&mut self, is_chunked: bool) {
        self.phase = Phase::Sending;
        self.is_chunked = is_chunked;
    }

    /// Whether what is taken now is encoded as chunks.
    pub(super) fn is_chunked(&self) -> bool {
        self.is_chunked
    }

    /// What was there has been taken. Tells once whether it is the end.
    pub(super) fn finish_sending(&mut self) -> bool {
        let is_end = self.is_ended && self.phase == Phase::Sending;
        if is_end {
            self.phase = Phase::Sent;
        }
        is_end
    }

    /// How much of what was taken has not been sent, and whether anybody wants the content.
    pub(super) fn set_backlog(&mut self, backlog_bytes: usize, is_discarding: bool) {
        self.backlog_bytes = backlog_bytes;
        self.is_discarding |= is_discarding;
    }

    /// Whether memory is short, so that less is taken.
    pub(super) fn set_short(&mut self, is_short: bool) {
        self.unsent_bytes_max = if is_short {
            UNSENT_BYTES_SHORT
        } else {
            UNSENT_BYTES_MAX
        };
    }

    /// How much memory it owns, bytes.
    pub(super) fn owned_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// How long the content is if nothing more is written.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// How much of the content the connection has taken.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.written_bytes - self.buffer.len() as u64
    }

    /// What was written and has not been taken.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.is_discarding {
            self.buffer.clear();
        }
        &mut self.buffer
    }

    /// Whether the owner is to be called: it wants room, and half of it is there. Says so once.
    pub(super) fn take_room(&mut self, backlog_bytes: usize) -> bool {
        let unsent_bytes = backlog_bytes + self.buffer.len();
        if !self.wants_room || unsent_bytes >= self.unsent_bytes_max / 2 {
            return false;
        }
        self.wants_room = false;
        self.has_room_event = true;
        true
    }

    /// Forgets the stream; a large buffer is not kept.
    pub(super) fn clear(&mut self) {
        if self.is_started() || self.is_discarding {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_sent_is_bounded() {
        let mut stream = Stream::default();
        assert_eq!(stream.write(b"early"), Some(0), "it has not been started");
        stream.start();
        stream.set_backlog(1_000, false);
        let much = vec![b'x'; UNSENT_BYTES_MAX];
        assert_eq!(stream.write(&much), Some(UNSENT_BYTES_MAX - 1_000));
        assert!(!stream.wants_room());
        assert_eq!(stream.write(b"more"), None);
        assert!(
            stream.wants_room() && !stream.take_room(0),
            "it is all still here"
        );
        stream.buffer().clear();
        assert!(!stream.take_room(UNSENT_BYTES_MAX / 2));
        assert!(stream.take_room(UNSENT_BYTES_MAX / 2 - 1) && stream.has_room_event);
        assert!(!stream.take_room(0), "it is told once");
        stream.end();
        assert_eq!(stream.write(b"late"), Some(0));
    }

    #[test]
    fn unwanted_content_is_counted_and_dropped() {
        let mut stream = Stream::default();
        stream.start();
        stream.set_backlog(UNSENT_BYTES_MAX, true);
        let much = vec![b'x'; UNSENT_BYTES_MAX];
        for _ in 0..3 {
            assert_eq!(stream.write(&much), Some(UNSENT_BYTES_MAX));
        }
        assert_eq!(stream.written_bytes(), 3 * UNSENT_BYTES_MAX as u64);
        assert!(stream.buffer().is_empty());
    }
}
