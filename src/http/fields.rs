//! Field lines as spans into the head that they came in (RFC 9110 §5).
//!
//! The names that swiftd itself reads are recognised once, while the head is parsed, so that a
//! look-up is a bit test for an absent field and never a comparison of strings. Order is kept,
//! names compare without case, repeated fields stay apart until [`combined`](Fields::combined).
//! INVARIANT: every span lies inside the head of its request.

use std::borrow::Cow;
use std::ops::Range;

/// A run of bytes in a head. Two 16-bit numbers: a head is at most 65,535 bytes long.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    bytes: u16,
}

impl Span {
    /// The span of `part`, which must be a subslice of `whole`.
    #[must_use]
    pub fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        debug_assert!(start + part.len() <= whole.len(), "not a part of the head");
        Self::new(start..start + part.len())
    }

    /// A span from a range of positions, each at most 65,535.
    #[must_use]
    pub fn new(range: Range<usize>) -> Self {
        debug_assert!(range.end <= usize::from(u16::MAX), "a head is bounded");
        Self {
            start: range.start as u16,
            bytes: range.len() as u16,
        }
    }

    /// The bytes of this span in its head.
    #[must_use]
    pub fn slice(self, head: &[u8]) -> &[u8] {
        &head[usize::from(self.start)..][..usize::from(self.bytes)]
    }

    /// Where the span begins in its head.
    #[must_use]
    pub fn start(self) -> usize {
        usize::from(self.start)
    }

    /// Where the bytes end.
    #[must_use]
    pub fn end(self) -> usize {
        usize::from(self.start) + usize::from(self.bytes)
    }
}

macro_rules! known {
    ($($variant:ident $name:literal)*) => {
        /// The field names that swiftd reads itself; all others are [`Known::Other`].
        #[derive(Copy, Clone, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Known { $(#[doc = $name] $variant,)* /// Any other name.
            Other }

        impl Known {
            /// Recognises a name, ignoring its case.
            fn of(name: &[u8]) -> Self {
                $(if name.len() == $name.len() && name.eq_ignore_ascii_case($name.as_bytes()) {
                    return Self::$variant;
                })*
                Self::Other
            }
        }
    };
}

known! {
    Host "host"
    Connection "connection"
    ContentLength "content-length"
    TransferEncoding "transfer-encoding"
    Expect "expect"
    AcceptEncoding "accept-encoding"
    IfMatch "if-match"
    IfNoneMatch "if-none-match"
    IfModifiedSince "if-modified-since"
    IfUnmodifiedSince "if-unmodified-since"
    IfRange "if-range"
    Range "range"
}

impl Known {
    fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// One field line.
#[derive(Copy, Clone, Debug)]
struct Line {
    name: Span,
    value: Span,
    known: Known,
}

/// The field lines of one request, in the order in which they came.
#[derive(Debug, Default)]
pub struct Fields {
    lines: Vec<Line>,
    /// One bit for each [`Known`] name that is present.
    present: u16,
}

impl Fields {
    /// Forgets all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.present = 0;
    }

    /// Adds a line and tells which name it has.
    pub fn push(&mut self, name: Span, value: Span, head: &[u8]) -> Known {
        let known = Known::of(name.slice(head));
        self.present |= known.bit();
        self.lines.push(Line { name, value, known });
        known
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// How much memory the lines own, bytes.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// Whether there is no line at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All values of a known field, in order.
    pub fn all<'a>(&'a self, known: Known, head: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let lines = if self.present & known.bit() == 0 {
            &[][..]
        } else {
            &self.lines
        };
        lines
            .iter()
            .filter(move |line| line.known == known)
            .map(|line| line.value.slice(head))
    }

    /// The value of a known field; repeated lines are joined with commas (RFC 9110 §5.2).
    #[must_use]
    pub fn combined<'a>(&'a self, known: Known, head: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut values = self.all(known, head);
        let mut joined = Cow::Borrowed(values.next()?);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value);
        }
        Some(joined)
    }

    /// The `nth` value of a field by name, ignoring case; for plugins, which may ask for any.
    #[must_use]
    pub fn by_name<'a>(&'a self, name: &[u8], nth: usize, head: &'a [u8]) -> Option<&'a [u8]> {
        self.lines
            .iter()
            .filter(|line| line.name.slice(head).eq_ignore_ascii_case(name))
            .nth(nth)
            .map(|line| line.value.slice(head))
    }

    /// Name and value of the line at `index`.
    #[must_use]
    pub fn at<'a>(&'a self, index: usize, head: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let line = self.lines.get(index)?;
        Some((line.name.slice(head), line.value.slice(head)))
    }
}

/// The elements of a comma-separated list, trimmed of blanks, empty ones left out
/// (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a field of this name frames a message or tells of the connection, so that only `encode`
/// may write it into a response.
#[must_use]
pub fn is_framing(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"upgrade",
    ];
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// `tchar`: what a method and a field name consist of (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(head: &[u8]) -> Fields {
        let mut fields = Fields::default();
        for line in head.split(|&byte| byte == b'\n') {
            if let Some(colon) = line.iter().position(|&byte| byte == b':') {
                let name = Span::of(&line[..colon], head);
                fields.push(name, Span::of(&line[colon + 1..], head), head);
            }
        }
        fields
    }

    #[test]
    fn names_compare_without_case_and_order_is_kept() {
        let head = b"HOST:a\nX-One:1\nif-None-match:\"x\"\nx-one:2\n";
        let fields = fields(head);
        assert_eq!(fields.len(), 4);
        assert_eq!(fields.all(Known::Host, head).next(), Some(&b"a"[..]));
        assert_eq!(fields.by_name(b"X-ONE", 1, head), Some(&b"2"[..]));
        assert_eq!(fields.by_name(b"X-ONE", 2, head), None);
        assert_eq!(fields.at(1, head), Some((&b"X-One"[..], &b"1"[..])));
        assert_eq!(fields.at(4, head), None);
        assert!(fields.all(Known::Range, head).next().is_none());
    }

    #[test]
    fn repeated_lines_are_combined() {
        let head = b"if-match:\"a\"\nif-match:\"b\"\n";
        let value = fields(head)
            .combined(Known::IfMatch, head)
            .map(Cow::into_owned);
        assert_eq!(value.as_deref(), Some(&b"\"a\", \"b\""[..]));
    }

    #[test]
    fn lists_skip_empty_elements() {
        let elements: Vec<_> = list(b" a, ,b ,, c").collect();
        assert_eq!(elements, [b"a", b"b", b"c"]);
    }
}
