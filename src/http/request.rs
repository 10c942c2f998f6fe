//! A request: its head, and ranges into it.
//!
//! The head is kept as the bytes that came, so that a plugin sees what the client sent and so that
//! a request needs no allocation of its own: one `Request` is cleared and filled again for each
//! exchange. What a body consists of is not known here, only how it is framed.

use super::body::Framing;
use super::fields::{Fields, Known, Span};
use super::parse::HEAD_BYTES_MAX;
use super::{Error, target};
use std::borrow::Cow;
use std::ops::Range;

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
        let mut words = self.head.split(|&byte| byte == b' ');
        words.next().unwrap_or_default()
    }

    /// Replaces the target as if it had come in the request line, and returns the head in which the
    /// old one lies: nothing that was borrowed from it has moved. The authority stays unless the
    /// new target names one.
    ///
    /// # Errors
    /// It is no target of this method, or too long; nothing has changed then.
    pub fn set_target(&mut self, target: &[u8]) -> Result<Vec<u8>, Error> {
        let parts = target::parse(self.method_bytes(), target)?;
        // One that was replaced before is dropped, so that a loop of rewrites does not grow.
        let start = self.target.start();
        let is_appended = memchr::memchr(b'\n', &self.head).is_some_and(|end| end < start);
        let is_needed = self.authority.is_some_and(|part| part.start() >= start);
        let kept_bytes = if is_appended && !is_needed {
            start
        } else {
            self.head.len()
        };
        if kept_bytes + target.len() > HEAD_BYTES_MAX {
            return Err(Error::TargetTooLong);
        }
        let span = |part: Range<usize>| Span::new(kept_bytes + part.start..kept_bytes + part.end);
        let authority = parts.authority.map(span);
        let mut head = Vec::with_capacity(kept_bytes + target.len());
        head.extend_from_slice(&self.head[..kept_bytes]);
        head.extend_from_slice(target);
        if let Some(authority) = authority {
            self.authority = Some(authority);
        }
        self.target = span(0..target.len());
        self.raw_path = span(parts.path);
        self.query = parts.query.map(span);
        Ok(std::mem::replace(&mut self.head, head))
    }

    /// Replaces the query and leaves path and target as they are; returns the head that held the
    /// old one.
    ///
    /// # Errors
    /// It cannot be a query, or there is no room for it; nothing has changed then.
    pub fn set_query(&mut self, query: &[u8]) -> Result<Vec<u8>, Error> {
        target::parse(b"GET", &[b"/?", query].concat())?;
        // One that was set before is dropped, so that it does not grow.
        let is_appended =
            |part: &Span| part.start() >= self.target.end() && part.end() == self.head.len();
        let kept_bytes = self.query.filter(is_appended);
        let kept_bytes = kept_bytes.map_or(self.head.len(), Span::start);
        if kept_bytes + query.len() > HEAD_BYTES_MAX {
            return Err(Error::TargetTooLong);
        }
        let mut head = Vec::with_capacity(kept_bytes + query.len());
        head.extend_from_slice(&self.head[..kept_bytes]);
        head.extend_from_slice(query);
        self.query = Some(Span::new(kept_bytes..head.len()));
        Ok(std::mem::replace(&mut self.head, head))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse;
    use crate::http::parse::Bounds;

    fn request(head: &[u8]) -> Request {
        let mut request = Request::default();
        request.head.extend_from_slice(head);
        let bounds = Bounds {
            head_bytes_max: 1000,
            target_bytes_max: 1000,
            fields_max: 10,
        };
        parse::parse(&mut request, &bounds).unwrap();
        request
    }

    #[test]
    fn a_query_is_replaced_beside_its_target() {
        for target in ["/a?b", "/a?", "/a"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut request = request(head.as_bytes());
            for query in [&b"one"[..], b"the=second", b"", b"c"] {
                request.set_query(query).unwrap();
                assert_eq!(request.query_bytes(), Some(query));
                assert_eq!(request.target.slice(&request.head), target.as_bytes());
                assert_eq!(request.raw_path.slice(&request.head), b"/a");
                assert_eq!(
                    request.head.len(),
                    head.len() + query.len(),
                    "it does not grow"
                );
            }
            for query in [&b"a b"[..], b"a\r\n", b"\0", &[b'a'; 70_000]] {
                assert!(request.set_query(query).is_err());
                assert_eq!(request.query_bytes(), Some(&b"c"[..]));
            }
            // A new target brings its own; setting that one leaves the target alone.
            request.set_target(b"/b?d").unwrap();
            assert_eq!(request.query_bytes(), Some(&b"d"[..]));
            request.set_query(b"e").unwrap();
            assert_eq!(request.query_bytes(), Some(&b"e"[..]));
            assert_eq!(request.target.slice(&request.head), b"/b?d");
        }
    }
}
