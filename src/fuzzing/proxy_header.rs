//! What a connection begins with where a proxy's header is expected.

use super::{Input, Steps};
use crate::policy::proxy_header::{BYTES_MAX, Parsed, Told, parse};
use core::net::{IpAddr, SocketAddr};

/// The first two bytes of the input say how the rest is split; the rest is what the peer sends.
///
/// What is decided of some bytes is decided of all that begin with them, and soon enough. A header
/// that was understood is written anew in both versions and understood as the same; and it is what
/// a reader by words, or by positions, makes of it.
pub fn proxy_header(input: &[u8]) {
    let mut input = Input(input);
    let steps = Steps::new(&mut input);
    let stream = input.rest();
    let whole = parse(stream);
    let mut received = 0;
    for piece in steps.split(stream) {
        received += piece.len();
        match parse(&stream[..received]) {
            Parsed::Partial => assert!(received < BYTES_MAX, "this is waited for too long"),
            decided => {
                assert_eq!(decided, whole);
                break;
            }
        }
    }
    let Parsed::Complete { used, told } = whole else {
        return;
    };
    assert!((1..=stream.len().min(BYTES_MAX)).contains(&used));
    assert_eq!(parse(&stream[..used]), whole, "a header is read on its own");
    assert_eq!(parse(&stream[..used - 1]), Parsed::Partial);
    let naive = if stream[0] == b'P' {
        by_words(&stream[..used])
    } else {
        by_positions(&stream[..used])
    };
    assert_eq!(told, naive);
    if let Some(Told {
        source: Some(source),
        destination: Some(destination),
    }) = told
    {
        assert_eq!(source.ip(), source.ip().to_canonical());
        for header in [line(source, destination), binary(source, destination)] {
            let used = header.len();
            assert_eq!(parse(&header), Parsed::Complete { used, told });
        }
    }
}

/// A line of version 1, as one would read it who knows that it is well-formed.
fn by_words(line: &[u8]) -> Option<Told> {
    let line = line.strip_suffix(b"\r\n").expect("a line has an end");
    assert!(line.len() <= 105 && !line.contains(&b'\n'));
    if line.starts_with(b"PROXY UNKNOWN") {
        return None;
    }
    let line = core::str::from_utf8(line).expect("addresses are ASCII");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.join(" "), line);
    let [
        _,
        family,
        source,
        destination,
        source_port,
        destination_port,
    ] = words[..]
    else {
        panic!("six words: {line:?}");
    };
    let end = |address: &str, port: &str| {
        let ip: IpAddr = address.parse().expect("an address");
        assert_eq!(ip.is_ipv4(), family == "TCP4");
        let port: u16 = port.parse().expect("a port");
        Some(SocketAddr::from((ip.to_canonical(), port)))
    };
    Some(Told {
        source: end(source, source_port),
        destination: end(destination, destination_port),
    })
}

/// A header of version 2, likewise.
fn by_positions(header: &[u8]) -> Option<Told> {
    assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(
        usize::from(header[14]) << 8 | usize::from(header[15]),
        header.len() - 16
    );
    let end = |address: &[u8], port: &[u8]| {
        let ip = match address.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(address).expect("four bytes")),
            _ => IpAddr::from(<[u8; 16]>::try_from(address).expect("sixteen bytes")),
        };
        let port = u16::from(port[0]) << 8 | u16::from(port[1]);
        Some(SocketAddr::from((ip.to_canonical(), port)))
    };
    let bytes = &header[16..];
    match (header[12], header[13]) {
        (0x20, _) | (0x21, 0x00) => None,
        (0x21, 0x11) => Some(Told {
            source: end(&bytes[..4], &bytes[8..10]),
            destination: end(&bytes[4..8], &bytes[10..12]),
        }),
        (0x21, 0x21) => Some(Told {
            source: end(&bytes[..16], &bytes[32..34]),
            destination: end(&bytes[16..32], &bytes[34..36]),
        }),
        (0x21, 0x31) => Some(Told {
            source: None,
            destination: None,
        }),
        other => panic!("accepted: {other:?}"),
    }
}

/// Two addresses of one family: those of IPv4 as IPv6 ones, unless both are.
fn alike(source: SocketAddr, destination: SocketAddr) -> (bool, [IpAddr; 2]) {
    let both = [source.ip(), destination.ip()];
    let is_ipv4 = both.iter().all(IpAddr::is_ipv4);
    let widened = both.map(|ip| match ip {
        IpAddr::V4(ip) if !is_ipv4 => ip.to_ipv6_mapped().into(),
        ip => ip,
    });
    (is_ipv4, widened)
}

fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (is_ipv4, [from, to]) = alike(source, destination);
    let family = if is_ipv4 { "TCP4" } else { "TCP6" };
    let ports = format!("{} {}", source.port(), destination.port());
    format!("PROXY {family} {from} {to} {ports}\r\n").into()
}

fn binary(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (is_ipv4, ends) = alike(source, destination);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    header.extend(if is_ipv4 {
        [0x11, 0, 12]
    } else {
        [0x21, 0, 36]
    });
    for end in ends {
        match end {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => header.extend(ip.octets()),
        }
    }
    for port in [source.port(), destination.port()] {
        header.extend(port.to_be_bytes());
    }
    header
}
