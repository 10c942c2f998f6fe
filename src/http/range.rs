//! Range requests: which bytes of a representation a Range field selects, and the bytes around the
//! parts of a multipart answer (RFC 9110 §14).
//!
//! It must not know files, statuses or If-Range: the caller tells the size, and maps [`Ranges`] to
//! 200, 206 or 416. Whatever is malformed selects everything, as the RFC asks (§14.2), so no error
//! leaves this file.
//!
//! Invariant: the parts are within the size, not empty, and no two of them overlap or touch. A
//! response is thereby never larger than the representation and the heads of a bounded number of
//! parts.

use super::encode::push_number;

/// One part of a representation, both ends included (RFC 9110 §14.1.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// INVARIANT: `first <= last`.
    pub first: u64,
    /// The last byte, which belongs to the part; smaller than the size of the representation.
    pub last: u64,
}

impl Part {
    /// How many bytes the part has; at least one (RFC 9110 §14.1.1).
    #[expect(clippy::len_without_is_empty, reason = "a part is never empty")]
    pub fn len(&self) -> u64 {
        debug_assert!(self.first <= self.last);
        self.last - self.first + 1
    }
}

/// What a Range field selects (RFC 9110 §14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The field is to be ignored: 200.
    Whole,
    /// It is well-formed and selects nothing: 416.
    Unsatisfiable,
    /// It selects these, at least one: 206. They do not overlap or touch each other.
    Parts(Vec<Part>),
}

/// Reads a Range field for a representation of `size` bytes (RFC 9110 §14.1.2).
///
/// More than `parts_max` range-specs are taken for an attack or a mistake, and ignored (§17.15).
/// Parts stay in the order of the client, unless some overlap or touch: then all are merged in
/// ascending order (§15.3.7.2).
pub fn parse(value: &[u8], size: u64, parts_max: usize) -> Ranges {
    let Some(set) = strip_unit(value) else {
        return Ranges::Whole;
    };
    let mut parts = Vec::new();
    let mut spec_count = 0_usize;
    for element in set.split(|&byte| byte == b',') {
        let spec = element.trim_ascii();
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        spec_count += 1;
        if spec_count > parts_max {
            return Ranges::Whole;
        }
        match parse_spec(spec, size) {
            Some(Some(part)) => parts.push(part),
            Some(None) => {}
            None => return Ranges::Whole,
        }
    }
    match parts.len() {
        0 if spec_count == 0 => Ranges::Whole,
        0 => Ranges::Unsatisfiable,
        _ => {
            coalesce(&mut parts);
            Ranges::Parts(parts)
        }
    }
}

/// The range-set behind `bytes=`; no other unit is known (RFC 9110 §14.1).
fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    const UNIT: &[u8] = b"bytes=";
    let (unit, set) = value.split_at_checked(UNIT.len())?;
    unit.eq_ignore_ascii_case(UNIT).then_some(set)
}

/// `first-pos "-" [ last-pos ]` or `"-" suffix-length` (RFC 9110 §14.1.1).
///
/// `None` if malformed, `Some(None)` if it selects nothing of a representation of this size.
fn parse_spec(spec: &[u8], size: u64) -> Option<Option<Part>> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let end = size.checked_sub(1);
    if first.is_empty() {
        let length = parse_position(last)?;
        if length > 0 && size == 0 {
            // It is met by all of nothing (§14.1.2), which no Content-Range can say.
            return None;
        }
        let length = length.min(size);
        // A suffix of no bytes selects nothing (§14.1.2).
        let end = end.filter(|_| length > 0);
        return Some(end.map(|last| Part {
            first: size - length,
            last,
        }));
    }
    let first = parse_position(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        parse_position(last)?
    };
    if last < first {
        return None;
    }
    Some(end.filter(|&end| first <= end).map(|end| Part {
        first,
        last: last.min(end),
    }))
}

/// 1*DIGIT; a number that does not fit is beyond any size, so the largest one does for it.
fn parse_position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// Merges parts that overlap or touch (RFC 9110 §15.3.7.2 allows both), else changes nothing.
fn coalesce(parts: &mut Vec<Part>) {
    // `last` is below the size, so one more fits.
    let is_apart = |a: Part, b: Part| a.last + 1 < b.first;
    // The usual case, one part or several ascending ones, needs no second list.
    if parts.is_sorted_by(|&a, &b| is_apart(a, b)) {
        return;
    }
    let mut merged = parts.clone();
    merged.sort_unstable_by_key(|part| part.first);
    merged.dedup_by(|next, kept| {
        let touches = !is_apart(*kept, *next);
        if touches {
            kept.last = kept.last.max(next.last);
        }
        touches
    });
    if merged.len() < parts.len() {
        *parts = merged;
    }
}

/// Appends the value of Content-Range for a part, `bytes 0-499/1234` (RFC 9110 §14.4).
pub fn content_range(out: &mut Vec<u8>, part: Part, size: u64) {
    debug_assert!(part.first <= part.last && part.last < size);
    out.extend_from_slice(RANGE_UNIT);
    push_number(out, part.first);
    out.push(b'-');
    push_number(out, part.last);
    out.push(b'/');
    push_number(out, size);
}

/// Appends the value of Content-Range for a 416 response, `bytes */1234` (RFC 9110 §14.4).
pub fn content_range_unsatisfied(out: &mut Vec<u8>, size: u64) {
    out.extend_from_slice(RANGE_UNIT);
    out.extend_from_slice(b"*/");
    push_number(out, size);
}

/// Appends what stands before the bytes of a part of `multipart/byteranges` (RFC 9110 §14.6).
///
/// It begins with a line end, which closes the part before it; before the first part it is an empty
/// preamble (RFC 2046 §5.1.1).
pub fn part_head(out: &mut Vec<u8>, boundary: &str, content_type: &str, part: Part, size: u64) {
    out.extend_from_slice(DELIMITER);
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(CONTENT_TYPE);
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(CONTENT_RANGE);
    content_range(out, part, size);
    out.extend_from_slice(HEAD_END);
}

/// Appends what stands behind the last part of `multipart/byteranges` (RFC 2046 §5.1.1).
pub fn closing_line(out: &mut Vec<u8>, boundary: &str) {
    out.extend_from_slice(DELIMITER);
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(CLOSE);
}

/// The Content-Length of a `multipart/byteranges` body: every [`part_head`] with its bytes, and the
/// [`closing_line`] (RFC 9110 §15.3.7.2).
pub fn multipart_bytes(boundary: &str, content_type: &str, parts: &[Part], size: u64) -> u64 {
    let delimiter = DELIMITER.len() + boundary.len();
    let head = delimiter
        + CONTENT_TYPE.len()
        + content_type.len()
        + CONTENT_RANGE.len()
        + RANGE_UNIT.len()
        + b"-/".len()
        + HEAD_END.len();
    let bytes_of = |part: &Part| {
        let digits = digit_count(part.first) + digit_count(part.last) + digit_count(size);
        head as u64 + digits + part.len()
    };
    parts.iter().map(bytes_of).sum::<u64>() + (delimiter + CLOSE.len()) as u64
}

const RANGE_UNIT: &[u8] = b"bytes ";
const DELIMITER: &[u8] = b"\r\n--";
const CONTENT_TYPE: &[u8] = b"\r\nContent-Type: ";
const CONTENT_RANGE: &[u8] = b"\r\nContent-Range: ";
const HEAD_END: &[u8] = b"\r\n\r\n";
const CLOSE: &[u8] = b"--\r\n";

fn digit_count(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(list: &[(u64, u64)]) -> Ranges {
        Ranges::Parts(
            list.iter()
                .map(|&(first, last)| Part { first, last })
                .collect(),
        )
    }

    #[test]
    fn ranges_are_selected() {
        let cases: &[(&str, &[(u64, u64)])] = &[
            ("bytes=0-499", &[(0, 499)]),
            ("bytes=500-999", &[(500, 999)]),
            ("bytes=-500", &[(500, 999)]),
            ("bytes=500-", &[(500, 999)]),
            ("bytes=0-", &[(0, 999)]),
            ("bytes=0-0,-1", &[(0, 0), (999, 999)]),
            ("bytes=999-5000", &[(999, 999)]),
            ("bytes=-5000", &[(0, 999)]),
            ("bytes=0-99999999999999999999999", &[(0, 999)]),
            ("bytes=-99999999999999999999999", &[(0, 999)]),
            ("bytes=007-008", &[(7, 8)]),
            ("BYTES=1-2", &[(1, 2)]),
            ("bytes= 1-2\t, ,,\t5-6 ,", &[(1, 2), (5, 6)]),
            ("bytes=900-,0-9", &[(900, 999), (0, 9)]),
            ("bytes=20-29,0-9,10-19", &[(0, 29)]),
            ("bytes=50-59,0-9,5-19", &[(0, 19), (50, 59)]),
            ("bytes=0-499,500-999", &[(0, 999)]),
            ("bytes=0-9,1000-2000,-0", &[(0, 9)]),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value.as_bytes(), 1000, 4), parts(expected), "{value}");
        }
        assert_eq!(parse(b"bytes=0-", u64::MAX, 1), parts(&[(0, u64::MAX - 1)]));
        assert_eq!(parse(b"bytes=-1", 1, 1), parts(&[(0, 0)]));
    }

    #[test]
    fn malformed_ranges_select_everything() {
        let values = "|bytes|bytes=|bytes=,|bytes= , |bytes =0-1|bytes:0-1|items=0-1|bytes=1|bytes=-|bytes=--1\
            |bytes=2-1|bytes=a-b|bytes=0x1-2|bytes=1-2-3|bytes=1 -2|bytes=1- 2|bytes=+1-2|bytes=0-1;2-3\
            |bytes=0-1,x|bytes=0-1\u{a0}|bytes=0-1,5-4| bytes=0-1|bytes=0-1\u{b}\
            |bytes=0-1,2-3,4-5,6-7,8-9";
        for value in values.split('|') {
            assert_eq!(parse(value.as_bytes(), 1000, 4), Ranges::Whole, "{value}");
            assert_eq!(parse(value.as_bytes(), 0, 4), Ranges::Whole, "{value}");
        }
        assert_eq!(parse(b"bytes=0-1", 1000, 0), Ranges::Whole);
    }

    #[test]
    fn ranges_outside_are_unsatisfiable() {
        for value in [
            "bytes=1000-",
            "bytes=1000-1000,5000-",
            "bytes=-0",
            "bytes=18446744073709551616-",
        ] {
            assert_eq!(
                parse(value.as_bytes(), 1000, 4),
                Ranges::Unsatisfiable,
                "{value}"
            );
        }
        for value in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            assert_eq!(
                parse(value.as_bytes(), 0, 4),
                Ranges::Unsatisfiable,
                "{value}"
            );
        }
        assert_eq!(parse(b"bytes=-1", 0, 4), Ranges::Whole);
    }

    #[test]
    fn content_range_is_exact() {
        let mut out = Vec::new();
        content_range(
            &mut out,
            Part {
                first: 0,
                last: 499,
            },
            1234,
        );
        out.push(b' ');
        content_range_unsatisfied(&mut out, u64::MAX);
        assert_eq!(out, b"bytes 0-499/1234 bytes */18446744073709551615");
    }

    #[test]
    fn multipart_is_exact() {
        let mut out = Vec::new();
        part_head(&mut out, "B", "text/plain", Part { first: 0, last: 0 }, 10);
        out.extend_from_slice(b"a");
        part_head(&mut out, "B", "text/plain", Part { first: 8, last: 9 }, 10);
        out.extend_from_slice(b"yz");
        closing_line(&mut out, "B");
        let expected = "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\na\
            \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\nyz\r\n--B--\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    /// Which bytes the specs select, one flag a byte, and whether each spec selected any.
    fn bitmap(specs: &[(Option<u64>, Option<u64>)], size: u64) -> (Vec<bool>, bool) {
        let mut map = Vec::new();
        for at in 0..size {
            map.push(specs.iter().any(|&spec| match spec {
                (Some(first), last) => first <= at && last.is_none_or(|last| at <= last),
                (None, suffix) => at + suffix.unwrap_or(0) >= size,
            }));
        }
        let is_any = map.contains(&true);
        (map, is_any)
    }

    proptest! {
        #[test]
        fn selected_bytes_are_those_of_a_bitmap(
            size in 0_u64..40,
            specs in prop::collection::vec(
                prop_oneof![
                    (0_u64..45, 0_u64..45).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
                    (0_u64..45).prop_map(|a| (Some(a), None)),
                    (0_u64..45).prop_map(|a| (None, Some(a))),
                ],
                1..6,
            ),
        ) {
            let text = |number: Option<u64>| number.map_or(String::new(), |it| it.to_string());
            let spec = |&(a, b): &_| format!("{}-{}", text(a), text(b));
            let list: Vec<_> = specs.iter().map(spec).collect();
            let (expected, is_any) = bitmap(&specs, size);
            match parse(format!("bytes={}", list.join(", ")).as_bytes(), size, 8) {
                Ranges::Whole => {
                    let is_met_by_nothing = |spec: &_| matches!(spec, (None, Some(1..)));
                    prop_assert!(size == 0 && specs.iter().any(is_met_by_nothing));
                }
                Ranges::Unsatisfiable => prop_assert!(!is_any),
                Ranges::Parts(parts) => {
                    let mut map = vec![false; expected.len()];
                    for part in &parts {
                        prop_assert!(part.first <= part.last && part.last < size);
                        for at in part.first..=part.last {
                            let flag = &mut map[usize::try_from(at).unwrap()];
                            prop_assert!(!*flag, "no byte is sent twice");
                            *flag = true;
                        }
                    }
                    prop_assert_eq!(map, expected);
                    for (index, a) in parts.iter().enumerate() {
                        let touches = |b: &Part| a.last + 1 == b.first || b.last + 1 == a.first;
                        prop_assert!(!parts[index + 1..].iter().any(touches));
                    }
                }
            }
        }

        #[test]
        fn content_length_is_what_is_written(
            size in 1_u64..=u64::MAX / 16,
            ends in prop::collection::vec((any::<u64>(), any::<u64>()), 1..5),
            boundary in "[a-z]{1,8}",
            content_type in "[a-z/]{0,8}",
        ) {
            let parts: Vec<Part> = ends
                .iter()
                .map(|&(a, b)| (a % size, b % size))
                .map(|(a, b)| Part { first: a.min(b), last: a.max(b) })
                .collect();
            let mut out = Vec::new();
            for &part in &parts {
                part_head(&mut out, &boundary, &content_type, part, size);
            }
            closing_line(&mut out, &boundary);
            let data: u64 = parts.iter().map(Part::len).sum();
            prop_assert_eq!(
                multipart_bytes(&boundary, &content_type, &parts, size),
                out.len() as u64 + data
            );
        }

        #[test]
        fn any_bytes_keep_the_invariant(value in "bytes=[0-9, x-]{0,20}", size in any::<u64>()) {
            if let Ranges::Parts(parts) = parse(value.as_bytes(), size, 16) {
                prop_assert!(!parts.is_empty() && parts.len() <= 16);
                prop_assert!(parts.iter().all(|part| part.first <= part.last && part.last < size));
            }
        }
    }
}
