//! Contents: a request's body as a plugin reads it, and a response's as a plugin makes it.

use super::instance::Instance;
use super::runtime::Releases;
use crate::conn::{Exchange, Point};
use crate::http::body::Framing;
use crate::http::fields::is_token;
use crate::http::range::Part;
use crate::http::representation::{Identity, Modified};
use crate::http::{Body, Content, MediaType, Representation};
use crate::sys::abi::{AGAIN, INVALID, Lent, Rc as Code};
use crate::sys::file::{self, Kind, Moment};
use crate::sys::spool;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// The length of the request's body, once it is complete.
pub(super) fn length(exchange: &Exchange) -> Option<u64> {
    is_complete(exchange).then(|| exchange.body.kept_bytes())
}

/// Whether all of the request's body is there. Before it is read, nothing has been expected yet.
fn is_complete(exchange: &Exchange) -> bool {
    let framing = exchange.request.framing;
    let is_expected = !matches!(framing, Framing::None | Framing::Length(0));
    let is_read = exchange.point >= Point::HandleSubrequest || !is_expected;
    is_read && exchange.body.is_complete()
}

/// Reads of the request's body.
pub(super) fn read(exchange: &Exchange, offset: u64, buffer: &mut [u8]) -> Result<usize, Code> {
    if !is_complete(exchange) {
        return Err(AGAIN);
    }
    if offset >= exchange.body.kept_bytes() {
        return Ok(0);
    }
    if let Some(file) = exchange.body.file() {
        return spool::read_at(file.as_fd(), buffer, offset).map_err(|_| INVALID);
    }
    let bytes = exchange.body.memory().unwrap_or_default();
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| bytes.get(offset..))
        .unwrap_or_default();
    let count = rest.len().min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    Ok(count)
}

/// Whether name and value may stand in a field line (RFC 9110 §5.1, §5.5).
pub(super) fn is_field(name: &[u8], value: &[u8]) -> bool {
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    !name.is_empty() && name.iter().all(|&byte| is_token(byte)) && value.iter().all(is_text)
}

/// The value of a field among complete field lines.
pub(super) fn field<'a>(lines: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let is_meant = line[..colon].eq_ignore_ascii_case(name);
        is_meant.then(|| line[colon + 1..].trim_ascii())
    })
}

/// A part of a regular file. `u64::MAX` bytes stand for the rest.
pub(super) fn of_file(file: OwnedFd, offset: u64, bytes: u64) -> Result<Body, OwnedFd> {
    let meta = match file::meta(file.as_fd()) {
        Ok(meta) if meta.kind == Kind::Regular && offset <= meta.bytes => meta,
        _ => return Err(file),
    };
    let rest = meta.bytes - offset;
    let bytes = if bytes == u64::MAX { rest } else { bytes };
    if bytes > rest {
        return Err(file);
    }
    let identity = Identity {
        device: meta.device,
        inode: meta.inode,
        bytes: meta.bytes,
        modified: modified(meta.modified),
        changed: modified(meta.changed),
    };
    let content = Content::Descriptor(Arc::new(file));
    let file = Representation::new(identity, content, MediaType::Known(&""), None, false);
    let part = bytes.checked_sub(1).map(|last| Part {
        first: offset,
        last: offset + last,
    });
    Ok(Body::File(Arc::new(file), part))
}

fn modified(moment: Moment) -> Modified {
    Modified {
        unix_secs: u64::try_from(moment.unix_secs).unwrap_or(0),
        nanos: moment.nanos,
    }
}

/// Bytes that belong to a plugin. When they have been sent or given up, letting them go is queued.
pub(super) struct Borrowed {
    bytes: Lent,
    instance: Rc<Instance>,
    releases: Releases,
}

impl Borrowed {
    pub(super) fn new(bytes: Lent, instance: &Rc<Instance>, releases: &Releases) -> Self {
        Self {
            bytes,
            instance: Rc::clone(instance),
            releases: Rc::clone(releases),
        }
    }
}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl fmt::Debug for Borrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {:?}", self.as_ref().len(), self.instance)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(release) = self.bytes.take_release() {
            let entry = (Rc::clone(&self.instance), release);
            self.releases.borrow_mut().push_back(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_tokens_and_text() {
        assert!(is_field(b"X-A", b"a b\t\xff") && is_field(b"x", b""));
        for (name, value) in [
            (&b""[..], &b""[..]),
            (b"a b", b""),
            (b"a:", b""),
            (b"a", b"b\r\n"),
            (b"a", b"\0"),
            (b"a", b"\x7f"),
            (b"\xff", b""),
        ] {
            assert!(!is_field(name, value), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn a_field_is_found_without_case() {
        let lines = b"A: 1\r\nContent-Type:  text/plain \r\n";
        assert_eq!(field(lines, b"content-type"), Some(&b"text/plain"[..]));
        assert_eq!(field(lines, b"b"), None);
    }

    #[test]
    fn only_what_a_file_has_can_be_sent() {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
            OwnedFd::from(file)
        };
        assert_eq!(of_file(file(b"0123"), 1, 2).unwrap().bytes(), 2);
        assert_eq!(of_file(file(b"0123"), 1, u64::MAX).unwrap().bytes(), 3);
        assert_eq!(of_file(file(b""), 0, u64::MAX).unwrap().bytes(), 0);
        assert!(of_file(file(b"0123"), 1, 4).is_err());
        assert!(of_file(file(b"0123"), 5, 0).is_err());
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(of_file(reader.into(), 0, 0).is_err(), "a pipe would block");
    }
}
