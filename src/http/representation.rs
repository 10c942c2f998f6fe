//! A representation (RFC 9110 §3.2): the bytes of a file and the fields that describe them.
//!
//! Made once when a file is opened and then shared, unchanged, by the cache and by all exchanges
//! that send it. A small one holds its bytes and no descriptor; a larger one holds a descriptor,
//! which is carried here and never used: only the driver reads from it.

use super::date;
use super::encode::push_number;
use super::negotiate::Coding;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A media type, as small as a reference to its text. It says what it dereferences to.
#[derive(Clone, Debug)]
pub enum MediaType {
    /// One of the built-in table.
    Known(&'static &'static str),
    /// One that an operator has added.
    Own(Arc<str>),
}

impl Deref for MediaType {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(text) => text,
            Self::Own(text) => text,
        }
    }
}

const _: () = assert!(size_of::<MediaType>() == size_of::<&str>());

/// Where the bytes are.
#[derive(Debug)]
pub enum Content {
    /// In memory, all of them.
    Memory(Box<[u8]>),
    /// Behind a descriptor that the disk thread may share.
    Descriptor(Arc<OwnedFd>),
}

/// When a file was last changed, as far as the kernel can tell.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Modified {
    /// Seconds since 1970; files from before count as of 1970.
    pub unix_secs: u64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// What decides whether two look-ups found the same content.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Last change of the content.
    pub modified: Modified,
    /// Last change of the inode, which a restored modification time does not hide.
    pub changed: Modified,
}

/// One selected representation.
#[derive(Debug)]
pub struct Representation {
    /// Which content this is.
    pub identity: Identity,
    /// The content.
    pub content: Content,
    /// The media type.
    pub content_type: MediaType,
    /// The entity tag, quotes included.
    etag: Box<[u8]>,
    /// The field lines that every response with this representation carries.
    fields: Box<[u8]>,
    /// How many bytes of `fields` are those that a cache needs.
    cache_fields_bytes: u16,
}

impl Representation {
    /// Describes `content`. Where `is_negotiated`, other codings of the same resource may exist
    /// and caches are told so.
    #[must_use]
    pub fn new(
        identity: Identity,
        content: Content,
        content_type: MediaType,
        coding: Option<Coding>,
        is_negotiated: bool,
    ) -> Self {
        let etag = etag(&identity, coding);
        let mut fields = Vec::with_capacity(FIELDS_BYTES);
        fields.extend_from_slice(b"ETag: ");
        fields.extend_from_slice(&etag);
        fields.extend_from_slice(b"\r\nLast-Modified: ");
        fields.extend_from_slice(&date::encode(identity.modified.unix_secs));
        fields.extend_from_slice(b"\r\n");
        if is_negotiated {
            fields.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
        let cache_fields_bytes = fields.len() as u16;
        if let Some(coding) = coding {
            fields.extend_from_slice(b"Content-Encoding: ");
            fields.extend_from_slice(coding.token().as_bytes());
            fields.extend_from_slice(b"\r\n");
        }
        fields.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n");
        Self {
            identity,
            content,
            content_type,
            etag: etag.into(),
            fields: fields.into(),
            cache_fields_bytes,
        }
    }

    /// The length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.identity.bytes
    }

    /// The entity tag, quotes included; strong, since it changes with every change of the file
    /// that the kernel can tell apart (RFC 9110 §8.8.1).
    #[must_use]
    pub fn etag(&self) -> &[u8] {
        &self.etag
    }

    /// The field lines that every response with content of this representation carries.
    #[must_use]
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// Those of the field lines that a cache needs: all that a 304 carries (RFC 9110 §15.4.5).
    #[must_use]
    pub fn cache_fields(&self) -> &[u8] {
        &self.fields[..usize::from(self.cache_fields_bytes)]
    }

    /// About how much memory this holds, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let content = match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Descriptor(_) => 0,
        };
        size_of::<Self>() + self.etag.len() + self.fields.len() + content
    }
}

/// Room for the fields of a plain file without growing.
const FIELDS_BYTES: usize = 224;

/// Time of change, length and inode in hexadecimal. The inode tells two files of the same length
/// apart that took each other's place within one tick of the file system's clock; a coded sibling names its coding, so that no two
/// representations of a resource share a tag even if size and time are equal.
fn etag(identity: &Identity, coding: Option<Coding>) -> Vec<u8> {
    let mut tag = Vec::with_capacity(48);
    tag.push(b'"');
    push_hex(&mut tag, identity.modified.unix_secs);
    tag.push(b'-');
    push_hex(&mut tag, u64::from(identity.modified.nanos));
    tag.push(b'-');
    push_hex(&mut tag, identity.bytes);
    tag.push(b'-');
    push_hex(&mut tag, identity.inode);
    if let Some(coding) = coding {
        tag.push(b'-');
        tag.extend_from_slice(coding.token().as_bytes());
    }
    tag.push(b'"');
    tag
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let value = (number >> (digit * 4)) as usize & 0xf;
        out.push(b"0123456789abcdef"[value]);
    }
}

/// `Content-Length: N`.
pub(crate) fn push_content_length(out: &mut Vec<u8>, bytes: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(nanos: u32, bytes: u64) -> Identity {
        let modified = Modified {
            unix_secs: 784_111_777,
            nanos,
        };
        Identity {
            device: 1,
            inode: 2,
            bytes,
            modified,
            changed: modified,
        }
    }

    fn memory(identity: Identity, coding: Option<Coding>) -> Representation {
        let content = Content::Memory(Box::from(&b"hi"[..]));
        let media_type = MediaType::Known(&"text/plain");
        Representation::new(identity, content, media_type, coding, coding.is_some())
    }

    #[test]
    fn tags_differ_by_time_length_and_coding() {
        let tags = [
            memory(identity(0, 2), None),
            memory(identity(1, 2), None),
            memory(identity(0, 3), None),
            memory(identity(0, 2), Some(Coding::Br)),
        ]
        .map(|representation| representation.etag().to_vec());
        assert_eq!(tags[0], b"\"2ebc98a1-0-2-2\"");
        for (i, tag) in tags.iter().enumerate() {
            assert!(!tags[..i].contains(tag));
        }
    }

    #[test]
    fn fields_describe_the_file() {
        let fields = memory(identity(0, 2), Some(Coding::Gzip)).fields().to_vec();
        assert_eq!(
            String::from_utf8_lossy(&fields),
            "ETag: \"2ebc98a1-0-2-2-gzip\"\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n\
             Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n"
        );
    }
}
