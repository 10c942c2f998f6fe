//! A request: its head, and ranges into it.
//!
//! The head is kept as the bytes that came, so that a plugin sees what the client sent and so that
//! a request needs no allocation of its own: one `Request` is cleared and filled again for each
//! exchange. What a body consists of is not known here, only how it is framed.

use super::body::Framing;
use super::fields::{Fields, Known, Span};
use std::borrow::Cow;

/// The methods of RFC 9110 §9, PATCH (RFC 5789), and all others as one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// CONNECT
    Connect,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// Recognises a method; methods compare with case (RFC 9110 §9.1).
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The two versions that are served.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// The head as it came, request line and field lines.
    pub head: Vec<u8>,
    /// The method.
    pub method: Method,
    /// The protocol version.
    pub version: Version,
    /// The whole request-target.
    pub target: Span,
    /// The path in the target, still encoded; empty stands for `/` (absolute-form) or `*`.
    pub raw_path: Span,
    /// The query without its question mark.
    pub query: Option<Span>,
    /// The authority that the request is for: from the target, else from Host.
    pub authority: Option<Span>,
    /// The field lines.
    pub fields: Fields,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client lets the connection live on (RFC 9112 §9.3).
    pub keeps_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            method: Method::Get,
            version: Version::Http11,
            target: Span::default(),
            raw_path: Span::default(),
            query: None,
            authority: None,
            fields: Fields::default(),
            framing: Framing::None,
            keeps_alive: true,
            expects_continue: false,
        }
    }
}

impl Request {
    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.fields.clear();
        self.method = Method::Get;
        self.version = Version::Http11;
        self.target = Span::default();
        self.raw_path = Span::default();
        self.query = None;
        self.authority = None;
        self.framing = Framing::None;
        self.keeps_alive = true;
        self.expects_continue = false;
    }

    /// The method's bytes.
    #[must_use]
    pub fn method_bytes(&self) -> &[u8] {
        let line = &self.head[..self.target.start()];
        line.trim_ascii()
    }

    /// The query's bytes.
    #[must_use]
    pub fn query_bytes(&self) -> Option<&[u8]> {
        self.query.map(|span| span.slice(&self.head))
    }

    /// The value of a known field, repeated lines joined.
    #[must_use]
    pub fn field(&self, known: Known) -> Option<Cow<'_, [u8]>> {
        self.fields.combined(known, &self.head)
    }
}
