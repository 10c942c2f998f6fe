//! A response before it is bytes: a status, field lines and a body.
//!
//! Framing and connection fields are not set here: `encode` derives them from the body and from
//! what the connection decided, so that a handler or a plugin cannot contradict them.

use super::amendments::{append_lines, has_line};
use super::range::Part;
use super::representation::{Content, Representation};
use super::status::{ERROR_PAGE_TYPE, Status, error_page};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that stay where they are until they are sent, or given up.
pub trait SharedBytes: AsRef<[u8]> + Debug {}

impl<T: AsRef<[u8]> + Debug> SharedBytes for T {}

/// The content of a response.
#[derive(Debug, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Bytes made for this response.
    Bytes(Vec<u8>),
    /// Bytes that are not copied.
    Shared(Rc<dyn SharedBytes>),
    /// A part of a file, possibly all of it; `None` for a file of no bytes.
    File(Arc<Representation>, Option<Part>),
    /// Several parts of a file as multipart/byteranges (RFC 9110 §14.6).
    Parts(Arc<Representation>, Box<[Part]>, String),
}

/// A response that has not been encoded yet.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// Whether a hook has chosen the status.
    pub is_status_set: bool,
    /// Field lines, each ended by CRLF, without framing and connection fields.
    fields: Vec<u8>,
    /// The body.
    pub body: Body,
    /// Whether the body is the page of an error that nobody else has made.
    is_page: bool,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: Status::OK,
            is_status_set: false,
            fields: Vec::new(),
            body: Body::Empty,
            is_page: false,
        }
    }
}

impl Response {
    /// Forgets the response and keeps the memory of its fields.
    pub fn clear(&mut self) {
        self.status = Status::OK;
        self.is_status_set = false;
        self.fields.clear();
        self.body = Body::Empty;
        self.is_page = false;
    }

    /// Chooses the status, which alone makes a response.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
        self.is_status_set = true;
    }

    /// Whether there is something to be sent: a status that was chosen, or a body.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_status_set || !matches!(self.body, Body::Empty)
    }

    /// The field has this value and no other. Neither part may hold CR, LF or NUL.
    pub fn set_field(&mut self, name: &[u8], value: &[u8]) {
        self.remove_field(name);
        self.add_field(name, value);
    }

    /// The field has this value too. Neither part may hold CR, LF or NUL.
    pub fn add_field(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        for part in [name, b": ", value, b"\r\n"] {
            self.fields.extend_from_slice(part);
        }
    }

    /// There is no such field; names compare without case.
    pub fn remove_field(&mut self, name: &[u8]) {
        if !self.has_field(name) {
            return;
        }
        let mut kept = Vec::with_capacity(self.fields.len());
        append_lines(&self.fields, &mut kept, |other| {
            !other.eq_ignore_ascii_case(name)
        });
        self.fields = kept;
    }

    /// Whether there is such a field; names compare without case.
    #[must_use]
    pub fn has_field(&self, name: &[u8]) -> bool {
        has_line(&self.fields, name)
    }

    /// Adds a field line. Neither part may hold CR, LF or NUL.
    pub fn push_field(&mut self, name: &str, value: &[u8]) {
        self.add_field(name.as_bytes(), value);
    }

    /// Adds complete field lines.
    pub fn push_lines(&mut self, lines: &[u8]) {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
        self.fields.extend_from_slice(lines);
    }

    /// Adds a field whose value `write` appends.
    pub fn push_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.fields.extend_from_slice(name.as_bytes());
        self.fields.extend_from_slice(b": ");
        write(&mut self.fields);
        self.fields.extend_from_slice(b"\r\n");
    }

    /// How much memory it owns, bytes. What it shares with others is theirs.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.capacity(),
            Body::Parts(_, parts, boundary) => size_of_val(&**parts) + boundary.capacity(),
            Body::Empty | Body::Shared(_) | Body::File(..) => 0,
        };
        self.fields.capacity() + body
    }

    /// Whether its content lies, or will lie, in memory that is the response's own while it is sent.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        match &self.body {
            Body::Empty | Body::Shared(_) => false,
            Body::Bytes(_) | Body::Parts(..) => true,
            Body::File(file, _) => matches!(file.content, Content::Memory(_)),
        }
    }

    /// The field lines.
    #[must_use]
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// Becomes the page of an error.
    pub fn set_error(&mut self, status: Status) {
        self.clear();
        self.set_page(status);
    }

    /// Gets the page of `status` for its body; fields stay but for those that describe a body.
    pub fn set_page(&mut self, status: Status) {
        let mut page = Vec::with_capacity(320);
        error_page(status, &mut page);
        self.status = status;
        if !self.fields.is_empty() {
            self.remove_field(b"Content-Type");
            self.remove_field(b"X-Content-Type-Options");
        }
        self.push_field("Content-Type", ERROR_PAGE_TYPE.as_bytes());
        self.push_field("X-Content-Type-Options", b"nosniff");
        self.body = Body::Bytes(page);
        self.is_page = true;
    }

    /// Whether the body is the page of [`Self::set_page`].
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.is_page
    }

    /// Gets another page in the place of that one.
    pub fn replace_page(&mut self, content_type: &[u8], page: Rc<dyn SharedBytes>) {
        debug_assert!(self.is_page, "what somebody else has made is not replaced");
        self.set_field(b"Content-Type", content_type);
        self.body = Body::Shared(page);
    }
}

impl Body {
    /// The length of the content, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => AsRef::<[u8]>::as_ref(&**bytes).len() as u64,
            Self::File(_, part) => part.map_or(0, |part| part.len()),
            Self::Parts(file, parts, boundary) => {
                super::range::multipart_bytes(boundary, &file.content_type, parts, file.bytes())
            }
        }
    }
}

impl Representation {
    /// The bytes of `part`, if they are in memory.
    #[must_use]
    pub fn slice(&self, part: Part) -> Option<&[u8]> {
        match &self.content {
            Content::Memory(bytes) => {
                let first = usize::try_from(part.first).ok()?;
                let last = usize::try_from(part.last).ok()?;
                bytes.get(first..=last)
            }
            Content::Descriptor(_) => None,
        }
    }
}
