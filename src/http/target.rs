//! The request-target: which of the four forms it has, and from its path to the name of a resource.
//!
//! [`parse`] checks the raw bytes and returns ranges into them; nothing is copied or decoded there,
//! so that what a plugin or the log sees is what the peer sent. [`decode_path`] decodes exactly
//! once and resolves dot segments after that, so no second decoding can bring one back.
//! [`encode_path`] is its inverse, for redirects and listings.
//!
//! It must not know the file system, virtual hosts or the Host field.
//!
//! Invariant: a decoded path begins with `/` and has no `//`, no `.` or `..` segment and no control
//! byte. An encoded one never begins with `//`, which a browser would take for another host.

use std::ops::Range;

use super::error::Error;

/// The four forms of a request-target (RFC 9112 §3.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`, the usual one (RFC 9112 §3.2.1).
    Origin,
    /// `http://host/path?query`, as sent to a proxy; a server must accept it (RFC 9112 §3.2.2).
    Absolute,
    /// `*`, the server as a whole; for OPTIONS only (RFC 9112 §3.2.4).
    Asterisk,
    /// `host:port`, for CONNECT only (RFC 9112 §3.2.3).
    Authority,
}

/// A checked request-target, as ranges into its raw bytes (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which form it has.
    pub form: Form,
    /// `uri-host [":" port]` in absolute-form and authority-form.
    pub authority: Option<Range<usize>>,
    /// The path, still encoded. Empty for `http://host` and `http://host?query`, which mean the
    /// path `/` (RFC 9110 §4.2.3), and in the two forms that have none; [`decode_path`] makes `/`
    /// of it.
    pub path: Range<usize>,
    /// The query without its `?`; empty for a `?` at the end.
    pub query: Option<Range<usize>>,
}

/// Checks the request-target of a request with this method (RFC 9112 §3.2).
///
/// Strict as RFC 3986, but for the bytes that browsers send raw; see the table in this file.
pub fn parse(method: &[u8], raw: &[u8]) -> Result<Target, Error> {
    if method == b"CONNECT" {
        return parse_authority_form(raw);
    }
    match raw {
        [b'/', ..] => parse_path_and_query(Form::Origin, None, raw, 0),
        b"*" if method == b"OPTIONS" => Ok(Target {
            form: Form::Asterisk,
            authority: None,
            path: 0..0,
            query: None,
        }),
        _ => parse_absolute_form(raw),
    }
}

/// CONNECT has no default port, so an absent, empty or zero one is refused (RFC 9110 §9.3.6).
fn parse_authority_form(raw: &[u8]) -> Result<Target, Error> {
    if !matches!(host_port(raw), Some(1..)) {
        return Err(Error::TargetInvalid);
    }
    let authority = Some(0..raw.len());
    Ok(Target {
        form: Form::Authority,
        authority,
        path: 0..0,
        query: None,
    })
}

/// Other schemes than http and https are no resources of an origin server (RFC 9110 §4.2).
fn parse_absolute_form(raw: &[u8]) -> Result<Target, Error> {
    let starts_with = |prefix: &[u8]| {
        raw.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let start = if starts_with(b"http://") {
        b"http://".len()
    } else if starts_with(b"https://") {
        b"https://".len()
    } else {
        return Err(Error::TargetInvalid);
    };
    let end = memchr::memchr2(b'/', b'?', &raw[start..]).map_or(raw.len(), |length| start + length);
    // Userinfo is refused with this, since no host has an '@' (RFC 9110 §4.2.4).
    if !is_host_valid(&raw[start..end]) {
        return Err(Error::TargetInvalid);
    }
    parse_path_and_query(Form::Absolute, Some(start..end), raw, end)
}

/// The rest of a target from `start`: a path, and a query if a `?` follows (RFC 3986 §3.3
/// and §3.4).
fn parse_path_and_query(
    form: Form,
    authority: Option<Range<usize>>,
    raw: &[u8],
    start: usize,
) -> Result<Target, Error> {
    let path_end = scan(raw, start, PATH).ok_or(Error::TargetInvalid)?;
    let query = match raw.get(path_end) {
        None => None,
        Some(b'?') if scan(raw, path_end + 1, QUERY) == Some(raw.len()) => {
            Some(path_end + 1..raw.len())
        }
        Some(_) => return Err(Error::TargetInvalid),
    };
    Ok(Target {
        form,
        authority,
        path: start..path_end,
        query,
    })
}

/// The first index from `start` whose byte is not of the class, `raw.len()` if there is none. A `%`
/// belongs to every class that is scanned for, with its two digits; `None` if it lacks them
/// (RFC 3986 §2.1).
fn scan(raw: &[u8], start: usize, class: u8) -> Option<usize> {
    let mut at = start;
    while let Some(&byte) = raw.get(at) {
        if is(byte, class) {
            at += 1;
        } else if byte == b'%' {
            hex_pair(raw, at + 1)?;
            at += 3;
        } else {
            break;
        }
    }
    Some(at)
}

/// Appends the path with percent-encoding undone once, `//` merged and dot segments resolved
/// (RFC 3986 §5.2.4).
///
/// The result begins with `/`, also for an empty path, and keeps a trailing slash; `/a/.` and
/// `/a/..` name directories and get one. A `..` at the root stays at the root. Refused are a
/// malformed `%`, an encoded slash (whether it divides segments is ambiguous), and control bytes,
/// encoded or not: NUL would end a file name early, the others would forge log lines. After an
/// error `out` is as it was.
pub fn decode_path(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if is_clean(raw) {
        out.extend_from_slice(raw);
        return Ok(());
    }
    let root = out.len();
    out.reserve(raw.len() + 1);
    let result = decode_segments(raw, out);
    if result.is_err() {
        out.truncate(root);
    }
    result
}

/// Whether decoding would change nothing. A segment that begins with a dot is left to the slow way.
fn is_clean(raw: &[u8]) -> bool {
    let Some((b'/', rest)) = raw.split_first() else {
        return false;
    };
    let mut previous = b'/';
    rest.iter().all(|&byte| {
        let is_dot_or_slash_after_slash = previous == b'/' && matches!(byte, b'/' | b'.');
        previous = byte;
        is(byte, PLAIN | SLASH) && !is_dot_or_slash_after_slash
    })
}

fn decode_segments(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let root = out.len();
    out.push(b'/');
    // INVARIANT: out[root..segment] is a clean path that ends with '/'; the segment being decoded
    // follows it.
    let mut segment = out.len();
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        let byte = match byte {
            b'/' => {
                end_segment(out, root, segment);
                segment = out.len();
                continue;
            }
            b'%' => {
                let decoded = hex_pair(raw, at).ok_or(Error::TargetInvalid)?;
                at += 2;
                if decoded == b'/' {
                    return Err(Error::TargetInvalid);
                }
                decoded
            }
            _ => byte,
        };
        if byte.is_ascii_control() {
            return Err(Error::TargetInvalid);
        }
        out.push(byte);
    }
    // The last segment is a name without a slash, unless it is a dot segment.
    if matches!(&out[segment..], b"." | b"..") {
        end_segment(out, root, segment);
    }
    Ok(())
}

/// Resolves the segment that a slash ends, so that `out` ends with a slash again.
fn end_segment(out: &mut Vec<u8>, root: usize, segment: usize) {
    match &out[segment..] {
        b"" | b"." => out.truncate(segment),
        b".." => {
            let parent = memchr::memrchr(b'/', &out[root..segment - 1]).unwrap_or(0);
            out.truncate(root + parent + 1);
        }
        _ => out.push(b'/'),
    }
}

/// A path that is decoded already, with `//` merged and dot segments resolved; it begins with `/`.
#[must_use]
pub fn clean_path(path: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(path.len() + 1);
    clean.push(b'/');
    let mut segment = clean.len();
    for &byte in path {
        if byte == b'/' {
            end_segment(&mut clean, 0, segment);
            segment = clean.len();
        } else {
            clean.push(byte);
        }
    }
    if matches!(&clean[segment..], b"." | b"..") {
        end_segment(&mut clean, 0, segment);
    }
    clean
}

/// Appends the path percent-encoded: all but unreserved, sub-delims, `:`, `@` and `/`
/// (RFC 3986 §3.3).
///
/// Slashes at the beginning are merged, so that a redirect to `//evil.example/` cannot leave the
/// site (RFC 3986 §4.2: a reference that begins with two slashes names an authority).
pub fn encode_path(path: &[u8], out: &mut Vec<u8>) {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    let merged = &path[slashes.saturating_sub(1)..];
    encode(merged, |byte| is(byte, KEPT), out);
}

/// Appends a query that [`parse`] let pass, with the bytes encoded that browsers leave raw: what a
/// server sends has to follow the grammar (RFC 3986 §3.4, RFC 9110 §2.2).
pub fn encode_query(query: &[u8], out: &mut Vec<u8>) {
    let is_kept = |byte| is(byte, KEPT) || matches!(byte, b'?' | b'%');
    encode(query, is_kept, out);
}

/// Appends a URI reference that an operator has written, with the bytes encoded that no URI has
/// (RFC 3986 §2); what is encoded already stays.
pub fn encode_reference(reference: &[u8], out: &mut Vec<u8>) {
    let is_kept = |byte| is(byte, KEPT) || matches!(byte, b'?' | b'%' | b'#' | b'[' | b']');
    encode(reference, is_kept, out);
}

fn encode(bytes: &[u8], is_kept: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = bytes;
    out.reserve(rest.len());
    loop {
        let kept = rest
            .iter()
            .position(|&byte| !is_kept(byte))
            .unwrap_or(rest.len());
        out.extend_from_slice(&rest[..kept]);
        let Some((&byte, after)) = rest[kept..].split_first() else {
            break;
        };
        out.extend_from_slice(&[
            b'%',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ]);
        rest = after;
    }
}

/// Whether a value is `uri-host [":" port]` with a host that is not empty (RFC 9110 §7.2
/// and §4.2.1).
pub fn is_host_valid(value: &[u8]) -> bool {
    host_port(value).is_some()
}

/// The port of `uri-host [":" port]`, 0 when it is absent or empty; `None` if either part is
/// malformed.
fn host_port(value: &[u8]) -> Option<u32> {
    let host_end = match value {
        [b'[', inner @ ..] => {
            let length = memchr::memchr(b']', inner)?;
            is_ip_literal(&inner[..length]).then_some(length + 2)?
        }
        // An IPv4 address is also a reg-name (RFC 3986 §3.2.2).
        _ => scan(value, 0, HOST).filter(|&end| end > 0)?,
    };
    match &value[host_end..] {
        [] => Some(0),
        [b':', digits @ ..] => digits.iter().try_fold(0, |port, digit| {
            let port = port * 10 + char::from(*digit).to_digit(10)?;
            (port <= u32::from(u16::MAX)).then_some(port)
        }),
        _ => None,
    }
}

/// What may stand between brackets: IPv6address / IPvFuture (RFC 3986 §3.2.2). Zones are not among
/// it.
fn is_ip_literal(inner: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = inner {
        let version = future
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        return match &future[version..] {
            [b'.', address @ ..] if version > 0 && !address.is_empty() => {
                address.iter().all(|&byte| is(byte, HOST) || byte == b':')
            }
            _ => false,
        };
    }
    std::str::from_utf8(inner).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
}

/// The value of two hexadecimal digits at an index.
fn hex_pair(raw: &[u8], at: usize) -> Option<u8> {
    let digit = |index: usize| char::from(*raw.get(index)?).to_digit(16);
    u8::try_from(digit(at)? << 4 | digit(at + 1)?).ok()
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// May stand in a raw path.
const PATH: u8 = 1;
/// May stand in a raw query.
const QUERY: u8 = 2;
/// May stand in a reg-name.
const HOST: u8 = 4;
/// Stays as it is in an encoded path.
const KEPT: u8 = 8;
/// Means nothing to [`decode_path`] and is copied.
const PLAIN: u8 = 16;

/// Divides segments.
const SLASH: u8 = 32;

/// The classes of every byte, so that a scan is one load and one test a byte.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

/// RFC 3986 §2 and appendix A, then what browsers leave raw against it. The URL standard of the
/// WHATWG encodes in a path (its "path percent-encode set", for special schemes) and in a query
/// fewer bytes than RFC 3986 asks for; refusing those would refuse real links. What browsers do
/// encode (`" < > #`, space, bytes from 0x80; in a query also `'`, which is a sub-delim and allowed
/// anyway) is refused raw.
const fn classes_of(byte: u8) -> u8 {
    match byte {
        // unreserved
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        // sub-delims
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
            PATH | QUERY | HOST | KEPT | PLAIN
        }
        // the rest of pchar
        b':' | b'@' => PATH | QUERY | KEPT | PLAIN,
        b'/' => PATH | QUERY | KEPT | SLASH,
        b'?' => QUERY | PLAIN,
        // Browsers leave these raw in paths and queries; newer ones encode '^' in paths.
        b'[' | b']' | b'|' | b'^' => PATH | QUERY | PLAIN,
        // Browsers leave these raw in queries only; in a path they encode them, and '\' becomes '/'.
        b'{' | b'}' | b'`' | b'\\' => QUERY | PLAIN,
        // Control bytes are refused everywhere; '%' is looked at by each scan itself.
        0..=0x1f | 0x7f | b'%' => 0,
        // Space, '"', '#', '<', '>' and non-ASCII: refused raw, but a file name may have them.
        _ => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A target's parts as text, to write tables: form, authority, path, query.
    type Parts<'a> = (Form, Option<&'a str>, &'a str, Option<&'a str>);

    fn parts<'a>(method: &str, raw: &'a str) -> Option<Parts<'a>> {
        let target = parse(method.as_bytes(), raw.as_bytes()).ok()?;
        let text = |range: Range<usize>| &raw[range];
        Some((
            target.form,
            target.authority.map(text),
            text(target.path),
            target.query.map(text),
        ))
    }

    #[test]
    fn each_form_is_recognised() {
        use Form::{Absolute, Asterisk, Authority, Origin};
        let cases: &[(&str, &str, Parts<'_>)] = &[
            ("GET", "/", (Origin, None, "/", None)),
            (
                "GET",
                "/a/b%20c?x=1&y=/?",
                (Origin, None, "/a/b%20c", Some("x=1&y=/?")),
            ),
            ("GET", "/?", (Origin, None, "/", Some(""))),
            ("GET", "//a", (Origin, None, "//a", None)),
            ("OPTIONS", "/*", (Origin, None, "/*", None)),
            (
                "GET",
                "/[a]|^?{}|\\^`[]",
                (Origin, None, "/[a]|^", Some("{}|\\^`[]")),
            ),
            ("GET", "http://h", (Absolute, Some("h"), "", None)),
            (
                "GET",
                "HTTPS://h:1/p?q",
                (Absolute, Some("h:1"), "/p", Some("q")),
            ),
            (
                "GET",
                "http://h?q/r",
                (Absolute, Some("h"), "", Some("q/r")),
            ),
            (
                "GET",
                "http://[::1]:80/",
                (Absolute, Some("[::1]:80"), "/", None),
            ),
            ("OPTIONS", "*", (Asterisk, None, "", None)),
            ("CONNECT", "h:443", (Authority, Some("h:443"), "", None)),
            (
                "CONNECT",
                "[::1]:443",
                (Authority, Some("[::1]:443"), "", None),
            ),
        ];
        for (method, raw, expected) in cases {
            assert_eq!(
                parts(method, raw).as_ref(),
                Some(expected),
                "{method} {raw}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let cases = [
            (
                "GET",
                "* a ?q http: http:/h/ ftp://h/ http:/// http://?q http://:80/ http://u@h/ http://u:p@h/",
            ),
            (
                "GET",
                "http://h:65536/ http://h:x/ http://[::1/ http://h#f /#f /a#f /?# /% /%4 /%4g /?%z0 /?a%",
            ),
            (
                "GET",
                "/\" /< /> /{ /} /` /\\ /?\" /?< /?> /\u{e9} /?\u{e9} h:80 https:h",
            ),
            ("OPTIONS", "** *? */"),
            (
                "CONNECT",
                "/ * h h: h:0 h:65536 :443 http://h:80/ h:443/ [::1] u@h:1",
            ),
        ];
        for (method, targets) in cases {
            for raw in targets.split(' ') {
                assert_eq!(parts(method, raw), None, "{method} {raw}");
            }
        }
        for raw in ["", "/a b", "/\0", "/\x7f", "/?\t", "/\r\n"] {
            assert_eq!(parts("GET", raw), None, "{raw:?}");
        }
    }

    #[test]
    fn every_byte_is_classified_as_the_grammar_says() {
        const PCHAR: &[u8] = b"-._~!$&'()*+,;=:@/";
        for byte in 0..=u8::MAX {
            let is_pchar = byte.is_ascii_alphanumeric() || PCHAR.contains(&byte);
            assert_eq!(
                is(byte, PATH),
                is_pchar || b"[]|^".contains(&byte),
                "{byte:#x}"
            );
            assert_eq!(
                is(byte, QUERY),
                is_pchar || b"?[]|^{}`\\".contains(&byte),
                "{byte:#x}"
            );
            assert_eq!(
                is(byte, HOST),
                is_pchar && !b":@/".contains(&byte),
                "{byte:#x}"
            );
            assert_eq!(is(byte, KEPT), is_pchar, "{byte:#x}");
            assert_eq!(
                is(byte, PLAIN),
                !byte.is_ascii_control() && !b"%/".contains(&byte),
                "{byte:#x}"
            );
        }
    }

    #[test]
    fn hosts_and_ports() {
        let valid = "h example.org EXAMPLE.org:80 127.0.0.1 127.0.0.1:8080 h: h:0 h:65535 h:00080 a_b~c \
            a%41 !$&'()*+,;= [::1] [::1]:80 [::ffff:1.2.3.4] [v1.a:b] [vF.x]:1 999.999";
        for value in valid.split_whitespace() {
            assert!(is_host_valid(value.as_bytes()), "{value}");
        }
        let invalid = ":80 h:65536 h:-1 h:+1 h:8o h:80:80 ::1 [::1 [] [::g] [::1]80 [fe80::1%25eth0] [v.a] \
            [v1.] [v1] u@h h/ h? h# a,b@ %4 a%zz h\\ h\u{e9} [1.2.3.4] []:80 [::1]] http://h";
        for value in invalid.split_whitespace().chain(["", " h", "h ", "h\t"]) {
            assert!(!is_host_valid(value.as_bytes()), "{value}");
        }
    }

    fn decoded(raw: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"kept".to_vec();
        let result = decode_path(raw, &mut out);
        assert_eq!(&out[..4], b"kept");
        assert!(
            result.is_ok() || out.len() == 4,
            "an error leaves out as it was"
        );
        result.ok().map(|()| out.split_off(4))
    }

    #[test]
    fn paths_are_decoded_once_and_cleaned() {
        let cases = "/ / | /a /a | /a/ /a/ | // / | //a//b// /a/b/ | /. / | /.. / | /./ / | /../ / \
            | /a/. /a/ | /a/.. / | /a/b/.. /a/ | /a/../../b /b | /../../etc/passwd /etc/passwd | /a/./b /a/b \
            | /a//../b /b | /.a /.a | /..a/...  /..a/... | /a. /a. | /%2e%2E/a /a | /%2e/ / | /a/%2e. / \
            | /%252e%252e/ /%2e%2e/ | /%41%5c%3f /A\\? | /a/b/../../../c/ /c/ \
            | /.well-known/x /.well-known/x | a /a | a/../.. / | /%25 /% | /a?b /a?b";
        for case in cases.split('|') {
            let mut words = case.split_whitespace();
            let (raw, expected) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(
                decoded(raw.as_bytes()).as_deref(),
                Some(expected.as_bytes()),
                "{raw}"
            );
        }
        assert_eq!(decoded(b"").as_deref(), Some(b"/".as_slice()));
        assert_eq!(
            decoded(b"/%20%ff\xfe").as_deref(),
            Some(b"/ \xff\xfe".as_slice())
        );
    }

    #[test]
    fn paths_that_cannot_be_named_are_refused() {
        let cases =
            "/%00 /a%2Fb /a%2fb /%2f /%2e%2e%2f /%0a /%0d /%1f /%7f /% /%4 /%4g /a/%g4 /../%";
        for raw in cases.split(' ').chain(["/\0", "/a\n", "/\x7f"]) {
            assert_eq!(decoded(raw.as_bytes()), None, "{raw:?}");
        }
    }

    /// The naive cleaner: all at once into a stack of segments.
    fn decode_naively(raw: &[u8]) -> Option<Vec<u8>> {
        let mut stack = Vec::new();
        let mut is_directory = true;
        for segment in raw.split(|&byte| byte == b'/') {
            let mut name = Vec::new();
            let mut bytes = segment.iter();
            while let Some(&byte) = bytes.next() {
                let byte = if byte == b'%' {
                    let digits = [*bytes.next()?, *bytes.next()?];
                    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
                    let text = std::str::from_utf8(&digits).ok().filter(|_| is_hex)?;
                    u8::from_str_radix(text, 16)
                        .ok()
                        .filter(|&byte| byte != b'/')?
                } else {
                    byte
                };
                name.push(Some(byte).filter(|byte| !byte.is_ascii_control())?);
            }
            is_directory = matches!(name.as_slice(), b"" | b"." | b"..");
            match name.as_slice() {
                b"" | b"." => {}
                b".." => drop(stack.pop()),
                _ => stack.push(name),
            }
        }
        let mut path = b"/".to_vec();
        path.extend(stack.join(&b'/'));
        if is_directory && path.len() > 1 {
            path.push(b'/');
        }
        Some(path)
    }

    /// Paths in which dots, slashes and escapes are frequent.
    fn tricky_path() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", ".", ".", "..", "a", "bc", "%2e", "%2E", "%41", "%", "%2f", "%00", "?",
            "\u{e9}", "%c3", "\\",
        ]);
        prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn decoding_agrees_with_a_stack_of_segments(
            raw in prop_oneof![tricky_path(), prop::collection::vec(any::<u8>(), 0..32)],
        ) {
            let path = decoded(&raw);
            prop_assert_eq!(&path, &decode_naively(&raw));
            if let Some(path) = path {
                prop_assert_eq!(path[0], b'/');
                prop_assert!(!path.windows(2).any(|pair| pair == b"//"));
                prop_assert!(!path.iter().any(u8::is_ascii_control));
                prop_assert!(!path.split(|&b| b == b'/').any(|name| name == b"." || name == b".."));

                let mut encoded = Vec::new();
                encode_path(&path, &mut encoded);
                prop_assert!(!encoded.starts_with(b"//"));
                prop_assert!(parse(b"GET", &encoded).is_ok());
                prop_assert_eq!(decoded(&encoded), Some(path));
            }
        }

        #[test]
        fn encoding_never_names_an_authority(path in prop::collection::vec(
            prop_oneof![Just(b'/'), Just(b'\\'), any::<u8>()], 0..16,
        )) {
            let mut encoded = Vec::new();
            encode_path(&path, &mut encoded);
            prop_assert!(!encoded.starts_with(b"//") && !encoded.contains(&b'\\'));
            prop_assert!(encoded.iter().all(|&byte| is(byte, KEPT) || byte == b'%'));
        }

        #[test]
        fn ranges_put_together_are_the_target(
            raw in "(/|http://|https://|\\*)?[a-c:\\[\\]./?%40#|{@ -]{0,12}",
        ) {
            for method in [b"GET".as_slice(), b"OPTIONS", b"CONNECT"] {
                let Ok(target) = parse(method, raw.as_bytes()) else { continue };
                let mut whole = match target.form {
                    Form::Origin | Form::Authority => String::new(),
                    Form::Absolute => raw[..raw.find("//").unwrap() + 2].to_owned(),
                    Form::Asterisk => "*".to_owned(),
                };
                whole += target.authority.map_or("", |range| &raw[range]);
                whole += &raw[target.path];
                if let Some(query) = target.query {
                    whole += "?";
                    whole += &raw[query];
                }
                prop_assert_eq!(whole, raw.as_str());
            }
        }
    }
}
