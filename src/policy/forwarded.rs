//! Who a client really is, when its request comes through proxies (RFC 7239, `X-Forwarded-For`).
//!
//! Each proxy adds the address of whoever has asked it to the end of a list. So the list is read
//! from its end, and only as far as the addresses in it are those of proxies that are trusted: the
//! first that is not is the client, whatever stands before it, for the client may have written that
//! itself. INVARIANT: what is told has been told by a trusted proxy, and nothing that a peer sends
//! can make a request fail here.
//!
//! One field is read, the one that the operator names. A proxy that writes one of the two passes on
//! the other as the client has sent it, so whoever reads both believes the client.

use super::network::Proxy;
use crate::http::Request;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;
use std::sync::Arc;

/// The field that trusted proxies write.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`: a list of addresses, which nearly all proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Who is believed, and what is read.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// The proxies; if there is none, no field is looked at.
    pub proxies: Arc<[Proxy]>,
    /// The field.
    pub field: ForwardedField,
}

/// How many elements of a list are looked at: more proxies than this are not in a row, and a head
/// full of trusted addresses is not to cost more than others.
const ELEMENTS_MAX: usize = 32;

/// How long an address with its port may be: `[`, 39 characters, `]`, `:`, a port's five digits,
/// or a name for it that is hidden.
const NODE_BYTES_MAX: usize = 64;

impl ForwardedField {
    /// The field's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

impl Trusted {
    /// Whether nobody is, so that there is nothing to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Whether a peer is believed.
    #[must_use]
    pub fn has(&self, peer: Peer) -> bool {
        self.proxies.iter().any(|proxy| match (proxy, peer) {
            (Proxy::Network(network), Peer::Address(address)) => network.contains(address),
            (Proxy::Unix, Peer::Unix) => true,
            _ => false,
        })
    }

    /// The client that a trusted peer's request tells of; `None` if it tells of none. The port is 0
    /// if it is not told.
    #[must_use]
    pub fn client(&self, request: &Request) -> Option<SocketAddr> {
        let (fields, head) = (&request.fields, &request.head[..]);
        let name = self.field.name().as_bytes();
        let lines = (0..fields.len()).rev();
        let lines = lines.filter_map(|index| fields.at(index, head));
        let values = lines
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        match self.field {
            ForwardedField::XForwardedFor => self.walk(
                values.flat_map(|value| value.rsplit(|&byte| byte == b',')),
                node,
            ),
            ForwardedField::Forwarded => self.walk(values.flat_map(ElementsFromLast), for_node),
        }
    }

    /// Goes through the elements, the last one first, until one is not that of a trusted proxy.
    fn walk<'a>(
        &self,
        elements: impl Iterator<Item = &'a [u8]>,
        parse: impl Fn(&[u8]) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let mut client = None;
        // Empty elements are none (RFC 9110 §5.6.1), but they are counted, as they cost.
        for element in elements.take(ELEMENTS_MAX).map(<[u8]>::trim_ascii) {
            if element.is_empty() {
                continue;
            }
            let Some(address) = parse(element) else {
                break;
            };
            client = Some(address);
            if !self.has(Peer::Address(address.ip())) {
                break;
            }
        }
        client
    }
}

/// Who is at the other end of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// This address.
    Address(IpAddr),
    /// A process on this machine, through a Unix socket.
    Unix,
    /// It has gone, and with it its address.
    Gone,
}

/// The elements of a list in which commas may be quoted, the last one first. What is broken is
/// broken by the client, to the left of what proxies have added, so it must not matter to what is on
/// its right.
struct ElementsFromLast<'a>(&'a [u8]);

impl<'a> IntoIterator for ElementsFromLast<'a> {
    type Item = &'a [u8];
    type IntoIter = RightSplit<'a>;

    fn into_iter(self) -> RightSplit<'a> {
        RightSplit(Some(self.0))
    }
}

/// What is left of such a list.
struct RightSplit<'a>(Option<&'a [u8]>);

impl<'a> Iterator for RightSplit<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let mut is_quoted = false;
        for (at, &byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if is_quoted && is_escaped(&rest[..at]) => {}
                b'"' => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// Whether what follows `before` in a quoted string is escaped: an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The node of an element's `for` parameter: `for=192.0.2.60;proto=http`.
fn for_node(element: &[u8]) -> Option<SocketAddr> {
    let mut found = None;
    let mut rest = element;
    while !rest.is_empty() {
        let equals = rest.iter().position(|&byte| byte == b'=')?;
        let name = rest[..equals].trim_ascii();
        let (value, behind) = split_value(&rest[equals + 1..])?;
        if name.eq_ignore_ascii_case(b"for") {
            // Twice in an element means nothing (RFC 7239 §4).
            if found.replace(value).is_some() {
                return None;
            }
        }
        rest = behind;
    }
    found?.node()
}

/// The value of a parameter.
enum ParameterValue<'a> {
    Token(&'a [u8]),
    /// What is between the quotes.
    Quoted(&'a [u8]),
}

/// Takes a value and the semicolon behind it from the start of `input`.
fn split_value(input: &[u8]) -> Option<(ParameterValue<'_>, &[u8])> {
    let semicolon = |bytes: &[u8]| bytes.iter().position(|&byte| byte == b';');
    let Some(quoted) = input.trim_ascii_start().strip_prefix(b"\"") else {
        let end = semicolon(input).unwrap_or(input.len());
        let value = ParameterValue::Token(input[..end].trim_ascii());
        return Some((value, input.get(end + 1..).unwrap_or_default()));
    };
    let mut is_behind_backslash = false;
    let end = quoted.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_behind_backslash;
        is_behind_backslash = byte == b'\\' && !is_behind_backslash;
        is_end
    })?;
    let behind = &quoted[end + 1..];
    let next = semicolon(behind).unwrap_or(behind.len());
    if !behind[..next].trim_ascii().is_empty() {
        return None;
    }
    let value = ParameterValue::Quoted(&quoted[..end]);
    Some((value, behind.get(next + 1..).unwrap_or_default()))
}

impl ParameterValue<'_> {
    fn node(&self) -> Option<SocketAddr> {
        let quoted = match self {
            Self::Token(bytes) => return node(bytes),
            Self::Quoted(bytes) => *bytes,
        };
        let mut buffer = [0; NODE_BYTES_MAX];
        let mut length = 0;
        let mut bytes = quoted.iter();
        while let Some(&byte) = bytes.next() {
            let byte = if byte == b'\\' { *bytes.next()? } else { byte };
            *buffer.get_mut(length)? = byte;
            length += 1;
        }
        node(&buffer[..length])
    }
}

/// An address with or without its port (RFC 7239 §6). `unknown` and hidden names are no address.
/// Brackets around an IPv6 address are left out by some who write `X-Forwarded-For`.
fn node(bytes: &[u8]) -> Option<SocketAddr> {
    if bytes.len() > NODE_BYTES_MAX {
        return None;
    }
    let text = str::from_utf8(bytes).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = if port.is_empty() {
            0
        } else {
            node_port(port.strip_prefix(':')?)?
        };
        return Some((IpAddr::from(address).to_canonical(), port).into());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), 0).into());
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    Some((address, node_port(port)?).into())
}

/// A port; 0 for a hidden one.
fn node_port(text: &str) -> Option<u16> {
    if text.starts_with('_') {
        return Some(0);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse;

    /// The client, when 10/8, 2001:db8:10::/48 and Unix sockets are trusted.
    fn client(field: ForwardedField, lines: &[&str]) -> String {
        let trusted = Trusted {
            proxies: ["10.0.0.0/8", "2001:db8:10::/48", "unix"]
                .map(|text| text.parse().unwrap())
                .into(),
            field,
        };
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        for line in lines {
            head.extend(format!("{line}\r\n").bytes());
        }
        head.extend(b"\r\n");
        let mut request = Request {
            head,
            ..Request::default()
        };
        let bounds = parse::Bounds {
            head_bytes_max: 60_000,
            target_bytes_max: 100,
            fields_max: 100,
        };
        parse::parse(&mut request, &bounds).unwrap();
        let client = trusted.client(&request);
        client.map_or("-".to_owned(), |client| match client.port() {
            0 => client.ip().to_string(),
            _ => client.to_string(),
        })
    }

    #[test]
    fn x_forwarded_for_is_read_from_its_end() {
        for (value, wanted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
            ("192.0.2.1,10.0.0.2 ,\t10.0.0.1", "192.0.2.1"),
            // What the client has written itself.
            ("192.0.2.66, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
            ("10.0.0.3, 192.0.2.1", "192.0.2.1"),
            // Who asks from within is the client.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // The last that is to be believed, when it goes on with what is not.
            ("192.0.2.1, unknown, 10.0.0.1", "10.0.0.1"),
            ("192.0.2.1, nonsense", "-"),
            ("192.0.2.1, 10.0.0.256", "-"),
            ("unknown", "-"),
            ("", "-"),
            (" , ,", "-"),
            ("192.0.2.1,, 10.0.0.1,", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1:4711"),
            ("192.0.2.1:4711, 10.0.0.1:80", "192.0.2.1:4711"),
            ("192.0.2.1:", "-"),
            ("192.0.2.1:70000", "-"),
            ("192.0.2.1:+80", "-"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "[2001:db8::7]:4711"),
            ("[2001:db8::7]4711", "-"),
            ("[2001:db8::7", "-"),
            ("[192.0.2.1]", "-"),
            ("fe80::1%eth0", "-"),
            ("2001:db8::7, 2001:db8:10::1", "2001:db8::7"),
            ("::ffff:192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("192.0.2.1 10.0.0.1", "-"),
            ("unix", "-"),
            ("for=192.0.2.1", "-"),
            ("010.0.0.1", "-"),
        ] {
            let line = format!("x-forwarded-for: {value}");
            assert_eq!(
                client(ForwardedField::XForwardedFor, &[&line]),
                wanted,
                "{value}"
            );
        }
    }

    #[test]
    fn forwarded_is_read_from_its_end() {
        for (value, wanted) in [
            // The examples of RFC 7239 §4, §6.3 and §7.1.
            ("for=\"_gazonk\"", "-"),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                "[2001:db8:cafe::17]:4711",
            ),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=_hidden, for=_SEVKISEK", "-"),
            ("for=192.0.2.43, for=\"[2001:db8:10::17]\"", "192.0.2.43"),
            // Ours.
            ("for=192.0.2.1,for=10.0.0.2,for=10.0.0.1", "192.0.2.1"),
            ("for=192.0.2.1, for=unknown, for=10.0.0.1", "10.0.0.1"),
            (
                "by=10.0.0.1 ; FOR = \"192.0.2.1:4711\" ; proto=https",
                "192.0.2.1:4711",
            ),
            ("for=\"192.0.2.1:_port\"", "192.0.2.1"),
            ("for=192.0.2.1:4711", "192.0.2.1:4711"),
            ("for=\"192\\.0.2.\\1\"", "192.0.2.1"),
            ("for=\"192.0.2.1\\\"\"", "-"),
            ("for=[2001:db8::1]", "2001:db8::1"),
            ("proto=https", "-"),
            ("for=192.0.2.1;for=192.0.2.2", "-"),
            ("for=\"192.0.2.1\" x", "-"),
            ("for=", "-"),
            ("for", "-"),
            ("192.0.2.1", "-"),
            (";for=192.0.2.1", "-"),
            ("for=192.0.2.1;", "192.0.2.1"),
            ("host=\"a,b;c\\\"d\";for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1, for=10.0.0.1;host=\"a,b\\\\\"", "192.0.2.1"),
            // What a client leaves broken does not reach what is added behind it.
            ("for=\"192.0.2.66, for=192.0.2.1", "192.0.2.1"),
            ("for=\"192.0.2.66, for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("\"\\, for=192.0.2.1, for=\"10.0.0.1\"", "192.0.2.1"),
            ("\\\", for=\"192.0.2.1\"", "192.0.2.1"),
        ] {
            let line = format!("Forwarded: {value}");
            assert_eq!(
                client(ForwardedField::Forwarded, &[&line]),
                wanted,
                "{value}"
            );
        }
    }

    #[test]
    fn lines_of_the_same_name_are_one_list() {
        let lines = [
            "X-Forwarded-For: 192.0.2.66",
            "X-Forwarded-For: 192.0.2.1",
            "x-forwarded-for: 10.0.0.1",
        ];
        assert_eq!(client(ForwardedField::XForwardedFor, &lines), "192.0.2.1");
        let lines = [
            "Forwarded: for=\"",
            "A: b",
            "Forwarded: for=192.0.2.1",
            "forwarded: for=10.0.0.1",
        ];
        assert_eq!(client(ForwardedField::Forwarded, &lines), "192.0.2.1");
    }

    #[test]
    fn only_the_field_that_was_chosen_is_read() {
        let lines = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.2"];
        assert_eq!(client(ForwardedField::XForwardedFor, &lines), "192.0.2.1");
        assert_eq!(client(ForwardedField::Forwarded, &lines), "192.0.2.2");
        assert_eq!(client(ForwardedField::Forwarded, &lines[..1]), "-");
    }

    #[test]
    fn no_more_elements_are_looked_at_than_there_is_a_bound() {
        let list = |proxies: usize| "192.0.2.1".to_owned() + &", 10.0.0.1".repeat(proxies);
        let told = |proxies| {
            client(
                ForwardedField::XForwardedFor,
                &[&format!("X-Forwarded-For: {}", list(proxies))],
            )
        };
        assert_eq!(told(ELEMENTS_MAX - 1), "192.0.2.1");
        assert_eq!(told(ELEMENTS_MAX), "10.0.0.1");
    }

    #[test]
    fn who_has_gone_is_not_believed() {
        let everybody = Trusted {
            proxies: ["0.0.0.0/0", "::/0"]
                .map(|text| text.parse().unwrap())
                .into(),
            field: ForwardedField::default(),
        };
        assert!(everybody.has(Peer::Address([127, 0, 0, 1].into())));
        assert!(!everybody.has(Peer::Gone));
        assert!(!everybody.has(Peer::Unix));
    }
}
