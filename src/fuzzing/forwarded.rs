//! The fields in which proxies tell a client.

use super::Input;
use crate::http::{Request, parse};
use crate::policy::{ForwardedField, Trusted};
use core::net::IpAddr;

/// The first byte of the input chooses the field, the second how many proxies have added to it;
/// the rest is the value that a client has sent.
///
/// Whatever the client writes, nothing fails, and behind it a trusted proxy tells the address that
/// it has seen: nobody can forge another one.
pub fn forwarded(input: &[u8]) {
    let mut input = Input(input);
    let field = input.choose([ForwardedField::XForwardedFor, ForwardedField::Forwarded]);
    let proxies = usize::from(input.byte() % 4);
    let value: Vec<u8> = input
        .rest()
        .iter()
        .copied()
        .filter(|&byte| is_text(byte))
        .take(VALUE_BYTES_MAX)
        .collect();
    let trusted = Trusted {
        proxies: ["10.0.0.0/8", "2001:db8:10::/48"]
            .map(|text| text.parse().expect("a network"))
            .into(),
        field,
    };
    let seen: [&str; 4] = ["192.0.2.1", "10.0.0.1", "2001:db8:10::1", "10.0.0.2"];
    let node = |address: &str| match (field, address.contains(':')) {
        (ForwardedField::XForwardedFor, _) => address.to_owned(),
        (ForwardedField::Forwarded, true) => format!("for=\"[{address}]\""),
        (ForwardedField::Forwarded, false) => format!("proto=http;for={address}"),
    };
    // The client is seen by the first proxy, which is seen by the second.
    let mut told = value.clone();
    for address in &seen[..proxies] {
        told.extend_from_slice(b", ");
        told.extend_from_slice(node(address).as_bytes());
    }
    let Some(client) = client(&trusted, &told) else {
        assert_eq!(proxies, 0, "what a proxy tells is read");
        return;
    };
    if proxies > 0 {
        assert_eq!(
            client,
            IpAddr::from([192, 0, 2, 1]),
            "{}",
            told.escape_ascii()
        );
    } else {
        assert_eq!(client, client.to_canonical());
    }
}

/// A longer value does not fit into a head.
const VALUE_BYTES_MAX: usize = 60_000;

/// What a field's value may consist of (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn client(trusted: &Trusted, value: &[u8]) -> Option<IpAddr> {
    let name = trusted.field.name().as_bytes();
    let head = [
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        name,
        b":",
        value,
        b"\r\n\r\n",
    ]
    .concat();
    let mut request = Request {
        head,
        ..Request::default()
    };
    let bounds = parse::Bounds {
        head_bytes_max: parse::HEAD_BYTES_MAX,
        target_bytes_max: 128,
        fields_max: 16,
    };
    parse::parse(&mut request, &bounds).expect("a head like any other");
    trusted.client(&request).map(|client| client.ip())
}
