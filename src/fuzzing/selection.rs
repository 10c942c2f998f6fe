//! Ranges, preconditions and content codings: what of a file a request selects, if anything.

use super::{Input, responses};
use crate::conn::{Limits, NoHooks};
use crate::http::conditional::{self as conditions, Outcome, Preconditions, Validators};
use crate::http::date;
use crate::http::negotiate::{self as codings, Coding, CodingSet};
use crate::http::range::{self as ranges, Part, Ranges};
use crate::testing::{Memory, Peer, UNIX_SECS};

/// Small enough for a bit for each byte.
const SIZE_MAX: u64 = 255;

/// How many ranges there may be, the size in one byte or in eight, then the value of a Range field.
///
/// For small sizes the parts select what a bitmap selects; for all sizes they are apart, in bounds,
/// and as long in a multipart body as was announced.
pub fn range(data: &[u8]) {
    let mut input = Input(data);
    let parts_max = input.choose([16, 1, 2, 3]);
    let size = match input.byte() {
        // No file is larger than an off_t can tell.
        255 => input.number::<8>() >> 1,
        size => u64::from(size),
    };
    let value = input.rest();
    let parsed = ranges::parse(value, size, parts_max);
    let Ranges::Parts(parts) = &parsed else {
        if size <= SIZE_MAX {
            assert_eq!(Naive::parse(value, size, parts_max).ranges(), parsed);
        }
        return;
    };
    assert!(!parts.is_empty() && parts.len() <= parts_max);
    assert!(
        parts
            .iter()
            .all(|part| part.first <= part.last && part.last < size)
    );
    let mut ascending = parts.clone();
    ascending.sort_unstable_by_key(|part| part.first);
    assert!(
        ascending
            .windows(2)
            .all(|pair| pair[0].last + 1 < pair[1].first)
    );
    if size <= SIZE_MAX {
        assert_eq!(Naive::parse(value, size, parts_max).ranges(), parsed);
    }
    check_multipart(parts, size);
}

/// Writes a multipart body, without the bytes of the file.
fn check_multipart(parts: &[Part], size: u64) {
    let mut around = Vec::new();
    let mut selected = 0;
    for &part in parts {
        ranges::part_head(&mut around, "boundary", "text/plain", part, size);
        let mut value = b"Content-Range: ".to_vec();
        ranges::content_range(&mut value, part, size);
        let expected = format!("Content-Range: bytes {}-{}/{size}", part.first, part.last);
        assert_eq!(value, expected.as_bytes());
        assert!(around.ends_with(format!("\r\n{expected}\r\n\r\n").as_bytes()));
        selected += part.len();
    }
    ranges::closing_line(&mut around, "boundary");
    let announced = ranges::multipart_bytes("boundary", "text/plain", parts, size);
    assert_eq!(announced, around.len() as u64 + selected);
}

/// What a Range field selects, as its specs say and byte by byte.
struct Naive {
    is_ignored: bool,
    /// Not merged, in the order of the client.
    parts: Vec<Part>,
    selected: Vec<bool>,
}

impl Naive {
    fn parse(value: &[u8], size: u64, parts_max: usize) -> Self {
        let text = String::from_utf8_lossy(value);
        let specs: Option<Vec<_>> = text
            .split_at_checked(6)
            .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes="))
            .map(|(_, set)| {
                let blank = |c: char| c.is_ascii_whitespace();
                let specs = set.split(',').map(|spec| spec.trim_matches(blank));
                specs.filter(|spec| !spec.is_empty()).collect()
            });
        let specs = specs.unwrap_or_default();
        let parts: Option<Vec<_>> = specs
            .iter()
            .map(|spec| Self::parse_spec(spec, size))
            .collect();
        let is_ignored = specs.is_empty() || specs.len() > parts_max || parts.is_none();
        let parts: Vec<_> = parts.unwrap_or_default().into_iter().flatten().collect();
        let is_selected = |at| {
            parts
                .iter()
                .any(|part: &Part| (part.first..=part.last).contains(&at))
        };
        let selected = (0..size).map(is_selected).collect();
        Self {
            is_ignored,
            parts,
            selected,
        }
    }

    /// `None` if it is malformed, `Some(None)` if it selects nothing.
    fn parse_spec(spec: &str, size: u64) -> Option<Option<Part>> {
        let (first, last) = spec.split_once('-')?;
        // Longer numbers than these are larger than any size.
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let significant = digits.trim_start_matches('0');
            let is_zero = significant.is_empty();
            is_number.then(|| {
                significant
                    .parse()
                    .unwrap_or(if is_zero { 0 } else { u128::MAX })
            })
        };
        let size = u128::from(size);
        let (first, end) = match (first, last) {
            // All of nothing is no part.
            ("", suffix) if size == 0 && number(suffix)? > 0 => return None,
            ("", suffix) => (size - number(suffix)?.min(size), size),
            (first, "") => (number(first)?, size),
            // Beyond 64 bits all numbers count as the largest.
            (first, last) => {
                let [first, last] = [number(first)?, number(last)?].map(|n| n.min(u64::MAX.into()));
                (first, (last >= first).then_some(last + 1)?.min(size))
            }
        };
        Some((first < end).then(|| Part {
            first: first as u64,
            last: end as u64 - 1,
        }))
    }

    fn ranges(mut self) -> Ranges {
        if self.is_ignored {
            return Ranges::Whole;
        }
        if self.parts.is_empty() {
            return Ranges::Unsatisfiable;
        }
        let mut runs: Vec<Part> = Vec::new();
        for (at, _) in self
            .selected
            .iter()
            .enumerate()
            .filter(|(_, is_selected)| **is_selected)
        {
            let at = at as u64;
            match runs.last_mut() {
                Some(run) if run.last + 1 == at => run.last = at,
                _ => runs.push(Part {
                    first: at,
                    last: at,
                }),
            }
        }
        // The order of the client is kept unless something was merged.
        if runs.len() < self.parts.len() {
            self.parts = runs;
        }
        Ranges::Parts(self.parts)
    }
}

/// Our entity tag, our date, then field values, one a line: If-Match, If-None-Match,
/// If-Modified-Since, If-Unmodified-Since, If-Range.
///
/// HEAD is answered as GET, other methods never with 304, and an If-Range holds only for what is
/// the very same.
pub fn conditional(data: &[u8]) {
    let mut input = Input(data);
    let etag = input.choose([
        Some(b"\"2ebc98a1-0-14\"".as_slice()),
        Some(b"W/\"a\""),
        Some(b"none"),
        None,
    ]);
    let last_modified = input.choose([Some(UNIX_SECS), None, Some(0), Some(u64::MAX)]);
    let validators = Validators {
        etag,
        last_modified,
    };
    let mut lines = input.rest().split(|&byte| byte == b'\n');
    // An empty line is a field that is absent.
    let mut next = || lines.next().filter(|line| !line.is_empty());
    let preconditions = Preconditions {
        if_match: next(),
        if_none_match: next(),
        if_modified_since: next(),
        if_unmodified_since: next(),
    };
    let if_range = next();

    let for_get = conditions::evaluate(&preconditions, &validators, true);
    let for_other = conditions::evaluate(&preconditions, &validators, false);
    match for_other {
        Outcome::NotModified => panic!("only GET and HEAD know 304"),
        Outcome::Failed => assert_ne!(for_get, Outcome::Proceed),
        Outcome::Proceed => assert_ne!(for_get, Outcome::Failed),
    }
    let dates = [
        preconditions.if_modified_since,
        preconditions.if_unmodified_since,
        if_range,
    ];
    for value in dates.into_iter().flatten() {
        if let Some(secs) = date::parse(value) {
            assert_eq!(date::parse(&date::encode(secs)), Some(secs));
        }
    }
    if let Some(value) = if_range {
        let is_tag = etag == Some(value) && value.starts_with(b"\"");
        let is_date = last_modified.is_some() && date::parse(value) == last_modified;
        assert_eq!(
            conditions::if_range_holds(value, &validators),
            is_tag || is_date
        );
    }
    check_head_method(&preconditions);
}

/// Asks a server for the same file with GET and with HEAD.
fn check_head_method(preconditions: &Preconditions<'_>) {
    let fields = [
        ("If-Match", preconditions.if_match),
        ("If-None-Match", preconditions.if_none_match),
        ("If-Modified-Since", preconditions.if_modified_since),
        ("If-Unmodified-Since", preconditions.if_unmodified_since),
    ];
    let [get, head] = ["GET", "HEAD"].map(|method| {
        let mut request = format!("{method} /file HTTP/1.1\r\nHost: h\r\n").into_bytes();
        for (name, value) in fields {
            if let Some(value) = value {
                request.extend_from_slice(name.as_bytes());
                request.extend_from_slice(b": ");
                request.extend_from_slice(value);
                request.extend_from_slice(b"\r\n");
            }
        }
        request.extend_from_slice(b"\r\n");
        let mut files = Memory::default();
        files.add("/file", &responses::PATTERN[..20]);
        let mut peer = Peer::new(files, NoHooks, Limits::default());
        peer.receive(&request);
        peer.send_all()
    });
    let head_bytes = memchr::memmem::find(&get, b"\r\n\r\n").expect("a response has a head") + 4;
    assert_eq!(&get[..head_bytes], head);
    responses::check(&get, &[], true);
}

/// Which codings exist, then the value of an Accept-Encoding field.
///
/// What is chosen exists and is wanted, would be chosen from fewer, and does not depend on case or
/// on what nobody has.
pub fn negotiate(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let value = input.rest();
    let available: CodingSet = Coding::ALL
        .into_iter()
        .filter(|&coding| bits & 1 << coding as u8 != 0)
        .collect();
    let accepted = codings::parse(Some(value));
    let chosen = accepted.choose(available);
    if let Some(coding) = chosen {
        assert!(available.intersection(accepted.wanted()).contains(coding));
    }
    assert_eq!(accepted.choose(CodingSet::EMPTY), None);
    for coding in available.iter() {
        let alone = accepted.choose([coding].into_iter().collect());
        assert!(alone.is_none() || alone == Some(coding));
        match chosen {
            Some(chosen) => assert!(chosen != coding || alone == Some(coding)),
            None => assert_eq!(alone, None),
        }
    }
    assert_eq!(codings::parse(Some(&value.to_ascii_uppercase())), accepted);
    let with_others = [b", deflate;q=1, ;, br;q=2,", value, b", compress, gzip;q=x"].concat();
    assert_eq!(codings::parse(Some(&with_others)), accepted);
    let tie = b", identity;q=0.5, gzip;q=0.5, zstd;q=0.5, br;q=0.5";
    let tied = codings::parse(Some(&[value, tie].concat()));
    assert_eq!(tied.choose(available), available.iter().next());
    let refused = codings::parse(Some(
        &[value, b", br;q=0, zstd;q=0.0, x-gzip;q=0.000"].concat(),
    ));
    assert!(refused.wanted().is_empty() && refused.choose(CodingSet::ALL).is_none());
}
