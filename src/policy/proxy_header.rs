//! The header that a proxy puts before everything else on a connection: the PROXY protocol,
//! version 1 (a line) and 2 (binary), as haproxy's `doc/proxy-protocol.txt` has it.
//!
//! Whether the peer may be believed is judged elsewhere. INVARIANT: what is decided of the first
//! bytes is decided, whatever follows, so it does not matter in which pieces a header comes; and
//! nothing is waited for beyond the bound of its version.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::{self, FromStr};

/// What the first bytes of a connection are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header of `used` bytes.
    Complete {
        /// Its length.
        used: usize,
        /// What it tells; `None` if the connection is the proxy's own, or the proxy does not know.
        told: Option<Told>,
    },
    /// The start of a header.
    Partial,
    /// No header.
    Invalid,
}

/// The ends of the connection that a proxy has accepted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client; `None` if it came through a Unix socket.
    pub source: Option<SocketAddr>,
    /// What it has connected to.
    pub destination: Option<SocketAddr>,
}

/// Both ends of a connection through a Unix socket.
const UNIX: Told = Told {
    source: None,
    destination: None,
};

/// The longest line of version 1, its end included (§2.1).
const LINE_BYTES_MAX: usize = 107;

const LINE_START: &[u8] = b"PROXY ";

/// How version 2 begins (§2.2): bytes that no protocol for people begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What is before the addresses of version 2.
const FIXED_BYTES: usize = 16;

/// The longest header of version 2: addresses take up to 216 bytes, and 4 KiB are room for what
/// proxies tell beside them (a certificate's name, a network's identity).
pub const BYTES_MAX: usize = 4096;

/// Looks at the first bytes of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    match bytes.first() {
        None => Parsed::Partial,
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn may_begin(bytes: &[u8], start: &[u8]) -> bool {
    let count = bytes.len().min(start.len());
    bytes[..count] == start[..count]
}

// ---- version 1 ----------------------------------------------------------------------------

fn parse_line(bytes: &[u8]) -> Parsed {
    if !may_begin(bytes, LINE_START) {
        return Parsed::Invalid;
    }
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX {
            Parsed::Partial
        } else {
            Parsed::Invalid
        };
    };
    let line = within[..end].strip_suffix(b"\r");
    let words = line.and_then(|line| line.strip_prefix(LINE_START));
    match words.map(told_by_line) {
        Some(Ok(told)) => Parsed::Complete {
            used: end + 1,
            told,
        },
        Some(Err(Malformed)) | None => Parsed::Invalid,
    }
}

/// The words are not what the protocol says.
struct Malformed;

fn told_by_line(words: &[u8]) -> Result<Option<Told>, Malformed> {
    // Whatever else is behind UNKNOWN is to be ignored (§2.1).
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let words = str::from_utf8(words).map_err(|_| Malformed)?;
    let words: [&str; 5] = collect(words.split(' ')).ok_or(Malformed)?;
    let told = match words {
        ["TCP4", ends @ ..] => told_by_words::<Ipv4Addr>(ends),
        ["TCP6", ends @ ..] => told_by_words::<Ipv6Addr>(ends),
        _ => None,
    };
    told.map(Some).ok_or(Malformed)
}

/// Exactly so many parts.
fn collect<'a, const COUNT: usize>(
    mut parts: impl Iterator<Item = &'a str>,
) -> Option<[&'a str; COUNT]> {
    let mut collected = [""; COUNT];
    for place in &mut collected {
        *place = parts.next()?;
    }
    parts.next().is_none().then_some(collected)
}

fn told_by_words<Address: FromStr + Into<IpAddr>>(ends: [&str; 4]) -> Option<Told> {
    let [source, destination, source_port, destination_port] = ends;
    let end = |address: &str, port: &str| {
        let address: Address = address.parse().ok()?;
        Some(socket(address.into(), decimal_port(port)?))
    };
    Some(Told {
        source: Some(end(source, source_port)?),
        destination: Some(end(destination, destination_port)?),
    })
}

/// `0` to `65535`, without leading zeros.
fn decimal_port(text: &str) -> Option<u16> {
    let is_canonical = match text.as_bytes() {
        [first, rest @ ..] => {
            (*first != b'0' || rest.is_empty()) && text.bytes().all(|byte| byte.is_ascii_digit())
        }
        [] => false,
    };
    text.parse().ok().filter(|_| is_canonical)
}

// ---- version 2 ----------------------------------------------------------------------------

fn parse_binary(bytes: &[u8]) -> Parsed {
    if !may_begin(bytes, SIGNATURE) {
        return Parsed::Invalid;
    }
    let after = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let is_told = match after.first() {
        None => return Parsed::Partial,
        // LOCAL: the proxy has connected by itself, to see whether we live. What it says of
        // addresses is to be ignored, whatever it is.
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Parsed::Invalid,
    };
    let Some(&family) = after.get(1) else {
        return Parsed::Partial;
    };
    let addresses_bytes = match family {
        _ if !is_told => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        // Datagrams do not arrive here, and of others nothing is known.
        _ => return Parsed::Invalid,
    };
    let Some(&[high, low]) = after.get(2..4) else {
        return Parsed::Partial;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let used = FIXED_BYTES + length;
    if length < addresses_bytes || used > BYTES_MAX {
        return Parsed::Invalid;
    }
    // Behind the addresses are values that are not needed here (TLV, §2.2.1 ff.).
    let Some(rest) = bytes.get(FIXED_BYTES..used) else {
        return Parsed::Partial;
    };
    let told = match family {
        _ if !is_told => None,
        0x11 => told_by_bytes::<4>(rest),
        0x21 => told_by_bytes::<16>(rest),
        0x31 => Some(UNIX),
        _ => None,
    };
    Parsed::Complete { used, told }
}

/// Source, destination, and their ports, of addresses that are so long. `None` if there are less
/// bytes, which the caller has excluded.
fn told_by_bytes<const BYTES: usize>(bytes: &[u8]) -> Option<Told>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (source, rest) = bytes.split_first_chunk::<BYTES>()?;
    let (destination, rest) = rest.split_first_chunk::<BYTES>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    let end = |address: &[u8; BYTES], port: &[u8; 2]| {
        Some(socket(IpAddr::from(*address), u16::from_be_bytes(*port)))
    };
    Some(Told {
        source: end(source, source_port),
        destination: end(destination, destination_port),
    })
}

fn socket(address: IpAddr, port: u16) -> SocketAddr {
    (address.to_canonical(), port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header tells, and what is left behind it; whole, and split at every byte.
    fn read(bytes: &[u8]) -> String {
        let parsed = parse(bytes);
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Parsed::Partial => {}
                early => assert_eq!(early, parsed, "at {cut} of {bytes:?}"),
            }
        }
        match parsed {
            Parsed::Partial => "partial".to_owned(),
            Parsed::Invalid => "invalid".to_owned(),
            Parsed::Complete { used, told } => {
                let end =
                    |end: Option<SocketAddr>| end.map_or("unix".to_owned(), |a| a.to_string());
                let told = told.map_or("itself".to_owned(), |told| {
                    format!("{} {}", end(told.source), end(told.destination))
                });
                format!("{told} | {}", String::from_utf8_lossy(&bytes[used..]))
            }
        }
    }

    #[test]
    fn lines_are_read() {
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                       ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        let unknown = format!("PROXY UNKNOWN {}\r\nGET", "x".repeat(91));
        assert_eq!((longest.len(), unknown.len()), (104, LINE_BYTES_MAX + 3));
        let told = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        for (line, wanted) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET /",
                "192.0.2.1:4711 192.0.2.2:80 | GET /",
            ),
            (
                "PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n",
                "255.255.255.255:0 0.0.0.0:65535 | ",
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n\r\n",
                "[2001:db8::1]:1 [2001:db8::2]:2 | \r\n",
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
                "192.0.2.1:1 [::1]:2 | ",
            ),
            (longest, &format!("{told} {told} | ")),
            ("PROXY UNKNOWN\r\nGET", "itself | GET"),
            ("PROXY UNKNOWN ffff::1 \x01\u{e4}\r\nGET", "itself | GET"),
            (&unknown, "itself | GET"),
        ] {
            assert_eq!(read(line.as_bytes()), wanted, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 [::1] [::2] 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY\r\n",
            "\r\n\r\n\0\r\nQUIX",
        ] {
            assert_eq!(read(line.as_bytes()), "invalid", "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(read(endless.as_bytes()), "invalid");
        assert_eq!(read(&endless.as_bytes()[..LINE_BYTES_MAX - 1]), "partial");
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
        let rest = parts.concat();
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const V4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        let destination: Ipv6Addr = "2001:db8::2".parse().unwrap();
        [
            &source.octets()[..],
            &destination.octets()[..],
            &[0x12, 0x67, 0, 80],
        ]
        .concat()
    }

    #[test]
    fn binary_headers_are_read() {
        let tlv: &[u8] = &[1, 0, 2, b'h', b'2', 0xff];
        let v6_is = |source| binary(0x21, 0x21, &[&v6(source)]);
        for (header, wanted) in [
            (binary(0x21, 0x11, &[V4]), "192.0.2.1:4711 192.0.2.2:80 | G"),
            (
                binary(0x21, 0x11, &[V4, tlv]),
                "192.0.2.1:4711 192.0.2.2:80 | G",
            ),
            (
                v6_is("2001:db8::1"),
                "[2001:db8::1]:4711 [2001:db8::2]:80 | G",
            ),
            (
                v6_is("::ffff:192.0.2.1"),
                "192.0.2.1:4711 [2001:db8::2]:80 | G",
            ),
            (binary(0x21, 0x31, &[&[b'/'; 216]]), "unix unix | G"),
            (binary(0x21, 0x00, &[]), "itself | G"),
            (binary(0x21, 0x00, &[tlv]), "itself | G"),
            (binary(0x20, 0x00, &[]), "itself | G"),
            // A proxy's own connection, whatever it says of it.
            (binary(0x20, 0x11, &[V4]), "itself | G"),
            (binary(0x20, 0xff, &[b"x"]), "itself | G"),
            (
                binary(0x21, 0x11, &[V4, &[0; BYTES_MAX - 28]]),
                "192.0.2.1:4711 192.0.2.2:80 | G",
            ),
        ] {
            let bytes = [&header[..], b"G"].concat();
            assert_eq!(read(&bytes), wanted, "{header:?}");
            assert_eq!(read(&header[..header.len() - 1]), "partial");
        }
    }

    #[test]
    fn what_is_no_binary_header_is_refused() {
        for header in [
            binary(0x22, 0x11, &[V4]),
            binary(0x11, 0x11, &[V4]),
            binary(0x01, 0x11, &[V4]),
            binary(0x21, 0x12, &[V4]),
            binary(0x21, 0x10, &[V4]),
            binary(0x21, 0x41, &[V4]),
            binary(0x21, 0x11, &[&V4[1..]]),
            binary(0x21, 0x11, &[]),
            binary(0x21, 0x21, &[&v6("::1")[1..]]),
            binary(0x21, 0x31, &[&[0; 215]]),
            binary(0x21, 0x11, &[V4, &[0; BYTES_MAX - 27]]),
            binary(0x20, 0x00, &[&[0; 60_000]]),
        ] {
            assert_eq!(read(&header), "invalid", "{:?}", &header[..16]);
        }
    }
}
