//! Heads, chunked bodies and targets: what a peer could use to be understood in two ways.

use super::{Input, Steps};
use crate::http::body::Framing;
use crate::http::chunked::{self, Chunked, Decoded};
use crate::http::parse::{self, Bounds, FIELDS_MAX, Scan};
use crate::http::target::{self as request_target, Form};
use crate::http::{Error, Known, Request, Version};

/// The bounds of the server, narrow ones, and the widest.
const BOUNDS: [Bounds; 3] = [
    Bounds {
        head_bytes_max: 16 * 1024,
        target_bytes_max: 8 * 1024,
        fields_max: 100,
    },
    Bounds {
        head_bytes_max: 160,
        target_bytes_max: 16,
        fields_max: 4,
    },
    Bounds {
        head_bytes_max: parse::HEAD_BYTES_MAX,
        target_bytes_max: parse::HEAD_BYTES_MAX,
        fields_max: FIELDS_MAX,
    },
];

/// Bounds, two step lengths, then a head.
///
/// However a head is split, the scan ends in the same way. What is accepted is what `httparse`
/// alone reads in it and nothing more; what is refused although `httparse` accepts it breaks a
/// rule that `httparse` does not know.
pub fn request_head(data: &[u8]) {
    let mut input = Input(data);
    let bounds = input.choose(BOUNDS);
    let steps = Steps::new(&mut input);
    let bytes = input.rest();

    let whole = Scan::default().find_end(bytes, &bounds);
    assert_eq!(whole, find_end_by_steps(bytes, &steps, &bounds), "split");
    let Ok(Some(end)) = whole else { return };
    let head = &bytes[..end];
    assert!(end <= bounds.head_bytes_max);
    assert_eq!(memchr::memmem::find(head, b"\r\n\r\n"), Some(end - 4));

    let mut request = Request::default();
    request.head.extend_from_slice(head);
    let verdict = parse::parse(&mut request, &bounds);
    let mut lines = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut plain = httparse::Request::new(&mut lines);
    let is_plain =
        matches!(plain.parse(head), Ok(httparse::Status::Complete(bytes)) if bytes == end);
    match verdict {
        Ok(()) => {
            assert!(is_plain, "httparse refuses it");
            check_spans(&request, &plain);
            check_rules(&request);
            check_again(request, &bounds);
        }
        Err(error) => assert!(
            !is_plain || is_stricter(error),
            "only httparse accepts it: {error:?}"
        ),
    }
}

fn find_end_by_steps(bytes: &[u8], steps: &Steps, bounds: &Bounds) -> Result<Option<usize>, Error> {
    let mut scan = Scan::default();
    let mut seen = 0;
    for piece in steps.split(bytes) {
        seen += piece.len();
        let found = scan.find_end(&bytes[..seen], bounds)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The rules that we keep and `httparse` leaves to its callers.
fn is_stricter(error: Error) -> bool {
    matches!(
        error,
        Error::TooManyFields
            | Error::TargetTooLong
            | Error::TargetInvalid
            | Error::HostMissing
            | Error::HostRepeated
            | Error::HostInvalid
            | Error::ContentLengthInvalid
            | Error::ContentLengthRepeated
            | Error::ContentLengthWithTransferEncoding
            | Error::TransferEncodingInHttp10
            | Error::TransferEncodingUnknown
            | Error::TransferEncodingRepeated
            | Error::ExpectationFailed
    )
}

/// The request says what `httparse` says, in the same order.
fn check_spans(request: &Request, plain: &httparse::Request<'_, '_>) {
    let head = &request.head[..];
    assert_eq!(
        plain.method.map(str::as_bytes),
        Some(request.method_bytes())
    );
    let target = request.target.slice(head);
    assert_eq!(plain.path.map(str::as_bytes), Some(target));
    assert_eq!(
        plain.version,
        Some(u8::from(request.version == Version::Http11))
    );
    assert_eq!(request.fields.len(), plain.headers.len());
    for (index, line) in plain.headers.iter().enumerate() {
        assert_eq!(
            request.fields.at(index, head),
            Some((line.name.as_bytes(), line.value))
        );
    }
    let raw_path = request.raw_path.slice(head);
    assert!(memchr::memmem::find(target, raw_path).is_some());
    assert!(
        request
            .query_bytes()
            .is_none_or(|query| target.ends_with(query))
    );
}

/// What nobody behind us may see in a head that we accepted.
fn check_rules(request: &Request) {
    let head = &request.head[..];
    for (at, &byte) in head.iter().enumerate() {
        let is_allowed = match byte {
            b'\r' => head.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && head[at - 1] == b'\r',
            b'\t' => true,
            _ => !byte.is_ascii_control(),
        };
        assert!(is_allowed, "{byte:#x} at {at}");
    }
    let values = |name: &[u8]| {
        let lines = (0..request.fields.len()).filter_map(|index| request.fields.at(index, head));
        let named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let joined = values(b"accept-encoding").join(&b", "[..]);
    let combined = request.field(Known::AcceptEncoding).unwrap_or_default();
    assert_eq!(combined, joined);
    let hosts = values(b"host");
    let is_http_11 = request.version == Version::Http11;
    assert!(hosts.len() == 1 || hosts.is_empty() && !is_http_11);
    assert!(hosts.iter().all(|host| !host.is_empty()));
    assert!(!is_http_11 || request.authority.is_some());
    match (
        &values(b"content-length")[..],
        &values(b"transfer-encoding")[..],
    ) {
        ([], []) => assert_eq!(request.framing, Framing::None),
        ([length], []) => {
            assert!(length.iter().all(u8::is_ascii_digit));
            let length = std::str::from_utf8(length)
                .ok()
                .and_then(|l| l.parse().ok());
            assert_eq!(length.map(Framing::Length), Some(request.framing));
        }
        ([], [coding]) => {
            assert!(is_http_11 && coding.eq_ignore_ascii_case(b"chunked"));
            assert_eq!(request.framing, Framing::Chunked);
        }
        fields => panic!("two fields of framing: {fields:?}"),
    }
}

/// An accepted head is accepted again, by a request that has been used, with the same result.
fn check_again(mut request: Request, bounds: &Bounds) {
    let first = format!("{request:?}");
    let head = request.head.clone();
    request.clear();
    request.head.extend_from_slice(&head);
    assert_eq!(parse::parse(&mut request, bounds), Ok(()));
    assert_eq!(format!("{request:?}"), first);
}

/// Bounds, two step lengths, then a body.
///
/// The bytes are decoded as they are, whole, split, and by a decoder that has all lines at once;
/// then they are encoded and decoded.
pub fn chunked_body(data: &[u8]) {
    let mut input = Input(data);
    let body_bytes_max = input.choose([1024 * 1024, 16, u64::MAX, 0]);
    let trailer_bytes_max = input.choose([4096, 16]);
    let steps = Steps::new(&mut input);
    let bytes = input.rest();

    let decoder = || Chunked::new(body_bytes_max, trailer_bytes_max);
    let (whole, verdict) = decode(decoder(), [bytes].into_iter());
    let split = decode(decoder(), steps.split(bytes));
    assert_eq!((&whole, verdict), (&split.0, split.1), "split");
    assert!(whole.len() as u64 <= body_bytes_max && whole.len() <= bytes.len());
    if let Ok(decoded) = verdict {
        assert!(decoded.is_done || decoded.consumed == bytes.len());
        if decoded.is_done {
            let naive = decode_naively(&bytes[..decoded.consumed], trailer_bytes_max);
            assert_eq!(naive.as_deref(), Some(&whole[..]));
        }
    }

    let mut encoded = Vec::new();
    for piece in steps.split(bytes) {
        chunked::encode_chunk_head(piece.len(), &mut encoded);
        encoded.extend_from_slice(piece);
        encoded.extend_from_slice(chunked::CHUNK_END);
    }
    encoded.extend_from_slice(chunked::LAST_CHUNK);
    let done = Decoded {
        consumed: encoded.len(),
        is_done: true,
    };
    encoded.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let exact = Chunked::new(bytes.len() as u64, 0);
    let (again, verdict) = decode(exact, [&encoded[..]].into_iter());
    assert_eq!((&again[..], verdict), (bytes, Ok(done)));
    if let Some(too_few) = (bytes.len() as u64).checked_sub(1) {
        let (_, verdict) = decode(Chunked::new(too_few, 0), [&encoded[..]].into_iter());
        assert_eq!(verdict, Err(Error::BodyTooLarge));
    }
}

/// The data of a body that comes in pieces, and how it ended; `consumed` counts all pieces.
fn decode<'a>(
    mut decoder: Chunked,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, Result<Decoded, Error>) {
    let mut data = Vec::new();
    let mut sum = Decoded {
        consumed: 0,
        is_done: false,
    };
    for piece in pieces {
        match decoder.decode(piece, &mut |bytes| data.extend_from_slice(bytes)) {
            Ok(decoded) => {
                sum.consumed += decoded.consumed;
                sum.is_done = decoded.is_done;
            }
            Err(error) => return (data, Err(error)),
        }
        if sum.is_done {
            break;
        }
    }
    (data, Ok(sum))
}

/// Cuts a complete body at its line ends.
fn decode_naively(mut body: &[u8], trailer_bytes_max: usize) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let line = take_line(&mut body)?;
        let digits = line.split(|byte| !byte.is_ascii_hexdigit()).next()?;
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let (chunk, rest) = body.split_at_checked(usize::try_from(size).ok()?)?;
        data.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n")?;
    }
    let trailer_bytes = body.len().checked_sub(2)?;
    while !take_line(&mut body)?.is_empty() {}
    (body.is_empty() && trailer_bytes <= trailer_bytes_max).then_some(data)
}

/// The next line without its end.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memmem::find(rest, b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

/// A method, then a target.
///
/// The parts of a target put together are the target. A clean path stays clean, by whichever way
/// it is encoded, and leads nowhere else.
pub fn target(data: &[u8]) {
    let mut input = Input(data);
    let method = input.choose([b"GET".as_slice(), b"OPTIONS", b"CONNECT"]);
    let raw = input.rest();
    if request_target::is_host_valid(raw) {
        assert!(
            !raw.is_empty()
                && raw
                    .iter()
                    .all(|&byte| is_uri(byte) && !b"/?@".contains(&byte))
        );
    }
    check_path(raw);
    let Ok(target) = request_target::parse(method, raw) else {
        return;
    };
    assert!(raw.iter().all(|&byte| is_uri(byte)));
    let mut whole = match target.form {
        Form::Origin | Form::Authority => Vec::new(),
        Form::Absolute => raw
            .split_inclusive(|&byte| byte == b'/')
            .take(2)
            .collect::<Vec<_>>()
            .concat(),
        Form::Asterisk => b"*".to_vec(),
    };
    if let Some(authority) = target.authority {
        assert!(request_target::is_host_valid(&raw[authority.clone()]));
        whole.extend_from_slice(&raw[authority]);
    }
    let path = &raw[target.path];
    assert!(path.is_empty() || path[0] == b'/');
    whole.extend_from_slice(path);
    if let Some(query) = target.query {
        whole.push(b'?');
        whole.extend_from_slice(&raw[query]);
    }
    assert_eq!(whole, raw);
    check_path(path);
}

/// No byte that ends a target or a line, or that no target holds.
fn is_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>#".contains(&byte)
}

fn check_path(raw: &[u8]) {
    let decode = |raw: &[u8]| {
        let mut path = b"kept".to_vec();
        let result = request_target::decode_path(raw, &mut path);
        assert!(path.starts_with(b"kept") && (result.is_ok() || path.len() == 4));
        result.map(|()| path.split_off(4))
    };
    let Ok(path) = decode(raw) else { return };
    assert_eq!(path.first(), Some(&b'/'));
    assert!(memchr::memmem::find(&path, b"//").is_none());
    assert!(!path.iter().any(u8::is_ascii_control));
    let mut segments = path.split(|&byte| byte == b'/');
    assert!(!segments.any(|segment| segment == b"." || segment == b".."));
    // What could be left as it was is the same when it is escaped instead.
    let mut escaped = String::new();
    for &byte in raw {
        match byte {
            b'/' | b'%' => escaped.push(char::from(byte)),
            _ if escaped.ends_with('%') || is_half_escaped(&escaped) => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02x}")),
        }
    }
    assert_eq!(decode(escaped.as_bytes()), Ok(path.clone()), "{escaped}");

    let mut encoded = Vec::new();
    request_target::encode_path(&path, &mut encoded);
    assert!(encoded.starts_with(b"/") && !encoded.starts_with(b"//"));
    assert!(request_target::parse(b"GET", &encoded).is_ok_and(|target| target.query.is_none()));
    assert_eq!(decode(&encoded), Ok(path));
}

/// Whether a `%` and one of its two digits are at the end.
fn is_half_escaped(escaped: &str) -> bool {
    let bytes = escaped.as_bytes();
    let percent = bytes.iter().rposition(|&byte| byte == b'%');
    // Every escape before it is complete, so its own two digits follow a `%` that counts.
    percent.is_some_and(|at| bytes.len() - at == 2)
}
