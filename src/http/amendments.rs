//! What is to be changed in the fields of whatever response follows.
//!
//! Those who see a request early do not know who will answer it, so they leave orders: set, add or
//! remove a field. The orders are kept as the lines that they make and are carried out when the
//! head is encoded. Names compare without case (RFC 9110 §5.1). Framing is not known here and must
//! not be named: see [`is_framing`](super::fields::is_framing).
//!
//! INVARIANT: no set or remove comes after another order for the same name.

/// Orders for the fields of a response, in the order in which they were given.
#[derive(Debug, Default)]
pub struct Amendments {
    /// One record after the other: kind, the length of the name, that of the line, the line.
    records: Vec<u8>,
}

/// What is to be done.
const ADD: u8 = 0;
const SET: u8 = 1;
const REMOVE: u8 = 2;

/// A kind and two lengths.
const HEAD_BYTES: usize = 9;

/// One order.
struct Record<'a> {
    kind: u8,
    name: &'a [u8],
    /// The field line with its CRLF; the name alone if there is none to be written.
    line: &'a [u8],
}

impl Amendments {
    /// Whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How much memory they own, bytes.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        self.records.capacity()
    }

    /// Forgets all orders and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
    }

    /// The field has this value and no other. Neither part may hold CR, LF or NUL.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.forget(name);
        self.push(SET, name, Some(value));
    }

    /// The field has this value too. Neither part may hold CR, LF or NUL.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.push(ADD, name, Some(value));
    }

    /// There is no such field.
    pub fn remove(&mut self, name: &[u8]) {
        self.forget(name);
        self.push(REMOVE, name, None);
    }

    /// Appends `fields`, which are complete lines, as they are after the orders.
    pub fn apply(&self, fields: &[u8], out: &mut Vec<u8>) {
        append_lines(fields, out, |name| {
            self.records()
                .all(|record| record.kind == ADD || !record.name.eq_ignore_ascii_case(name))
        });
        for record in self.records().filter(|record| record.kind != REMOVE) {
            out.extend_from_slice(record.line);
        }
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = &self.records[..];
        std::iter::from_fn(move || {
            let (record, after) = split_record(rest)?;
            rest = after;
            Some(record)
        })
    }

    fn push(&mut self, kind: u8, name: &[u8], value: Option<&[u8]>) {
        let has_line_end = |part: &[u8]| part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        debug_assert!(!has_line_end(name) && !value.is_some_and(has_line_end));
        let line_bytes = name.len() + value.map_or(0, |value| value.len() + 4);
        self.records.push(kind);
        for length in [name.len(), line_bytes] {
            // A line of 4 GiB would not have fitted into the memory of the one who wrote it.
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.records.extend_from_slice(&length.to_ne_bytes());
        }
        self.records.extend_from_slice(name);
        if let Some(value) = value {
            self.records.extend_from_slice(b": ");
            self.records.extend_from_slice(value);
            self.records.extend_from_slice(b"\r\n");
        }
    }

    /// Drops the earlier orders for a name: the one that follows says all.
    fn forget(&mut self, name: &[u8]) {
        let mut at = 0;
        while let Some((record, rest)) = split_record(&self.records[at..]) {
            let end = self.records.len() - rest.len();
            if record.name.eq_ignore_ascii_case(name) {
                self.records.drain(at..end);
            } else {
                at = end;
            }
        }
    }
}

/// The first record and what follows it.
fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, rest) = records.split_first_chunk::<HEAD_BYTES>()?;
    let [kind, a, b, c, d, e, f, g, h] = *head;
    let name_bytes = u32::from_ne_bytes([a, b, c, d]) as usize;
    let (line, rest) = rest.split_at_checked(u32::from_ne_bytes([e, f, g, h]) as usize)?;
    let name = line.get(..name_bytes)?;
    Some((Record { kind, name, line }, rest))
}

/// Whether one of complete field lines has a name.
pub(super) fn has_line(fields: &[u8], wanted: &[u8]) -> bool {
    let mut lines = fields.split_inclusive(|&byte| byte == b'\n');
    lines.any(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(wanted)
    })
}

/// Appends those of complete field lines whose names are wanted.
pub(super) fn append_lines(fields: &[u8], out: &mut Vec<u8>, is_wanted: impl Fn(&[u8]) -> bool) {
    for line in fields.split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if is_wanted(name) {
            out.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[u8] = b"Content-Type: text/plain\r\nX-A: own\r\nX-B: own\r\nx-a: again\r\n";

    fn applied(order: impl Fn(&mut Amendments)) -> String {
        let mut amendments = Amendments::default();
        order(&mut amendments);
        let mut out = Vec::new();
        amendments.apply(OWN, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn set_replaces_add_keeps_remove_drops() {
        let kept = "Content-Type: text/plain\r\nX-B: own\r\n";
        let own = str::from_utf8(OWN).unwrap();
        assert_eq!(
            applied(|a| a.set(b"X-a", b"1")),
            format!("{kept}X-a: 1\r\n")
        );
        assert_eq!(applied(|a| a.remove(b"x-A")), kept);
        assert_eq!(applied(|a| a.add(b"X-A", b"")), format!("{own}X-A: \r\n"));
        assert_eq!(applied(|_| {}), own);
    }

    #[test]
    fn the_last_order_for_a_name_counts() {
        let kept = "Content-Type: text/plain\r\nX-B: own\r\n";
        let both = applied(|a| {
            a.set(b"X-A", b"1");
            a.add(b"x-a", b"2");
        });
        assert_eq!(both, format!("{kept}X-A: 1\r\nx-a: 2\r\n"));
        let last = applied(|a| {
            a.add(b"X-A", b"1");
            a.add(b"X-C", b"c");
            a.set(b"x-a", b"2");
        });
        assert_eq!(last, format!("{kept}X-C: c\r\nx-a: 2\r\n"));
        let none = applied(|a| {
            a.set(b"X-A", b"1");
            a.add(b"X-A", b"2");
            a.remove(b"x-a");
        });
        assert_eq!(none, kept);
        let anew = applied(|a| {
            a.remove(b"X-A");
            a.add(b"X-A", b"new");
        });
        assert_eq!(anew, format!("{kept}X-A: new\r\n"));
    }

    #[test]
    fn repeated_orders_do_not_grow() {
        let mut amendments = Amendments::default();
        assert!(amendments.is_empty());
        amendments.set(b"X-A", b"0");
        let bytes = amendments.records.len();
        for _ in 0..100 {
            amendments.set(b"x-A", b"1");
        }
        assert_eq!(amendments.records.len(), bytes);
        amendments.clear();
        assert!(amendments.is_empty());
    }
}
