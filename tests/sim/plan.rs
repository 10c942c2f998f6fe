//! What a client will ask, what the server's surroundings will do about it, and what must come back.
//!
//! A plan is made with its request, before anything runs, and does not depend on timing. Whatever
//! timing adds (a deadline that passed, a client that went away) is a [`Cause`], noted when it
//! happens: a response is right if it is the planned one, or the one that a noted cause asks for.

use swiftd::conn::Point;

/// One request of a client.
pub struct Plan {
    /// Who asks.
    pub client: usize,
    /// Where the request begins in the client's stream.
    pub start: usize,
    /// Where its head ends.
    pub head_end: usize,
    /// Where its body ends.
    pub end: usize,
    /// The planned response cannot come before the server has this much of the stream.
    pub possible_at: usize,
    /// Once the server has this much, the request must be answered even if the client ends.
    pub certain_at: usize,
    pub is_head: bool,
    pub is_http_10: bool,
    /// Whether `100 Continue` may come.
    pub expects_continue: bool,
    /// Whether the client waits for it.
    pub waits_for_continue: bool,
    /// Whether the client itself asked for the end of the connection.
    pub asks_to_close: bool,
    pub expected: Expected,
    pub look_up: LookUpPlan,
    pub act: Act,
    pub suspension: Option<Suspension>,
    pub spool: Spool,
    pub record: Record,
}

/// The response that a request gets if time does not come between.
#[derive(Clone)]
pub struct Expected {
    pub status: u16,
    /// Whether the connection ends with it.
    pub closes: bool,
    pub content: Content,
    /// A field line that must be there.
    pub line: Option<String>,
}

/// The content of a response.
#[derive(Clone)]
pub enum Content {
    /// None, and no Content-Length either.
    Nothing,
    /// The page of an error, whatever it says.
    Page,
    Exactly(Vec<u8>),
    /// The same, perhaps in chunks, perhaps ended by the connection.
    Streamed(Vec<u8>),
    /// Parts of a file, as multipart/byteranges: first and last byte of each.
    Parts(&'static str, Vec<(u64, u64)>),
}

impl Content {
    /// Whether it is sent while it is made.
    pub fn is_streamed(&self) -> bool {
        matches!(self, Self::Streamed(_))
    }

    /// What it takes in memory at most.
    pub fn bytes_max(&self) -> usize {
        match self {
            Self::Exactly(bytes) => bytes.len().max(PAGE_BYTES_MAX),
            // Chunks are rarely shorter than what is written around them.
            Self::Streamed(bytes) => 2 * bytes.len() + PAGE_BYTES_MAX,
            // The parts lie within a file; those of a large one are not in memory.
            Self::Parts(..) => 1500 + PAGE_BYTES_MAX,
            Self::Nothing | Self::Page => PAGE_BYTES_MAX,
        }
    }
}

/// The page of an error, or the heads of two parts.
const PAGE_BYTES_MAX: usize = 500;

/// What the disk does with a look-up.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum LookUpPlan {
    Now,
    /// It answers after so many milliseconds.
    Late(u64),
    Never,
    Busy,
}

/// What the plugin does with a request.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Act {
    Pass,
    /// Claims it and sends the body back.
    Echo,
    /// Claims it and sends so many bytes as they come.
    Stream(usize),
    /// Makes the response at a point.
    Complete(Point),
    /// Fails at a point.
    Fail(Point),
    /// Starts over at a point, again and again.
    Loop(Point),
    /// Changes the path at url_clean and starts over.
    Rewrite,
    /// Claims it, then changes its mind and starts over with another path.
    Abandon,
}

impl Act {
    /// Whether the plugin claims the request.
    pub fn claims(self) -> bool {
        matches!(
            self,
            Self::Echo | Self::Stream(_) | Self::Abandon | Self::Fail(Point::HandleSubrequest)
        )
    }

    /// The last point before the response at which the plugin is called.
    pub fn last_point(self) -> Point {
        match self {
            Self::Complete(point) | Self::Fail(point) | Self::Loop(point) => point,
            Self::Pass | Self::Rewrite => Point::SubrequestStart,
            Self::Echo | Self::Stream(_) | Self::Abandon => Point::HandleSubrequest,
        }
    }
}

/// Where the plugin waits once, and when it is woken: after so many milliseconds or never.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Suspension {
    pub point: Point,
    pub wake_after: Option<u64>,
}

/// What the disk does with a body that is to be kept in a file.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Spool {
    Works,
    Fails,
    Never,
}

/// What has happened to a request.
#[derive(Default)]
pub struct Record {
    pub is_asked: bool,
    pub is_found: bool,
    pub is_suspended: bool,
    pub is_woken: bool,
    pub is_rewritten: bool,
    pub is_seen: bool,
    pub last_point: Option<Point>,
    pub resets: u32,
    /// How much of a stream is written.
    pub written: usize,
    /// The head of a stream is on its way, so that it can only be cut off.
    pub is_streaming: bool,
    /// All of it was written and the plugin has said so.
    pub is_stream_ended: bool,
    /// The last write was refused.
    pub is_held_back: bool,
}

/// What timing or the client brought about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The connection was cut; nothing more is owed to the client.
    Cut(&'static str),
    /// A deadline passed: the last response has this status.
    Deadline(u16),
    /// The client ended its side within a body: the last response may have this status.
    EndedInBody,
}
