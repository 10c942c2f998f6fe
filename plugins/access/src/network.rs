//! Addresses and networks. An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`) is the IPv4
//! address, in a rule and in a peer: which of the two a listener reports is an accident.

use std::net::{IpAddr, SocketAddr};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// By IP.
    Address(IpAddr),
    /// Over a Unix socket.
    Unix,
}

impl Peer {
    /// From the server's form: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `unix:`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.starts_with(b"unix:") {
            return Some(Self::Unix);
        }
        let address: SocketAddr = core::str::from_utf8(text).ok()?.parse().ok()?;
        Some(Self::Address(address.ip().to_canonical()))
    }
}

/// Whom a rule is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Everybody.
    All,
    /// Unix sockets.
    Unix,
    /// The addresses that are `net` after the mask.
    V4 { net: u32, mask: u32 },
    /// As above.
    V6 { net: u128, mask: u128 },
}

impl Network {
    /// `all`, `unix`, `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// # Errors
    /// It is none of these; the text says why.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::All),
            "unix" => return Ok(Self::Unix),
            _ => {}
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(written) = address.parse::<IpAddr>() else {
            return Err(format!(
                "{text:?} is no network; expected 'all', 'unix', an address such as 192.0.2.1, or \
                 a network such as 192.0.2.0/24 or 2001:db8::/32"
            ));
        };
        let bits_max = if written.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => bits_max,
            Some(bits) => parse_bits(bits, bits_max).ok_or_else(|| {
                format!("{text:?}: after '/' stands a number from 0 to {bits_max}")
            })?,
        };
        Self::new(written, bits).map_err(|net| {
            format!("{text:?} has bits beyond the first {bits}; expected {net}/{bits}")
        })
    }

    /// The error is the address as it must be.
    fn new(written: IpAddr, bits: u32) -> Result<Self, IpAddr> {
        // Fewer bits than the 96 of the mapping are a network of IPv6.
        match (written, written.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) if bits >= 96 => {
                Self::v4(inner.to_bits(), bits - 96).map_err(|net| {
                    let IpAddr::V4(net) = net else { return net };
                    IpAddr::V6(net.to_ipv6_mapped())
                })
            }
            (IpAddr::V4(address), _) => Self::v4(address.to_bits(), bits),
            (IpAddr::V6(address), _) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                let net = address.to_bits() & mask;
                if net == address.to_bits() {
                    Ok(Self::V6 { net, mask })
                } else {
                    Err(IpAddr::V6(net.into()))
                }
            }
        }
    }

    fn v4(address: u32, bits: u32) -> Result<Self, IpAddr> {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let net = address & mask;
        if net == address {
            Ok(Self::V4 { net, mask })
        } else {
            Err(IpAddr::V4(net.into()))
        }
    }

    /// Whether a peer belongs to it.
    pub(crate) fn contains(&self, peer: Peer) -> bool {
        match (*self, peer) {
            (Self::All, _) | (Self::Unix, Peer::Unix) => true,
            (Self::V4 { net, mask }, Peer::Address(IpAddr::V4(address))) => {
                address.to_bits() & mask == net
            }
            (Self::V6 { net, mask }, Peer::Address(IpAddr::V6(address))) => {
                address.to_bits() & mask == net
            }
            _ => false,
        }
    }
}

fn parse_bits(text: &str, bits_max: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bits = text.parse().ok()?;
    (is_number && bits <= bits_max).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_only() {
        for (network, inside, outside) in [
            (
                "all",
                &["192.0.2.1:1", "[2001:db8::1]:1", "unix:"][..],
                &[][..],
            ),
            (
                "unix",
                &["unix:", "unix:/run/a"],
                &["127.0.0.1:1", "[::1]:1"],
            ),
            (
                "192.0.2.7",
                &["192.0.2.7:1", "[::ffff:192.0.2.7]:1"],
                &["192.0.2.8:1", "unix:"],
            ),
            (
                "192.0.2.0/24",
                &["192.0.2.0:1", "192.0.2.255:1"],
                &["192.0.3.0:1", "192.0.1.255:1"],
            ),
            ("192.0.2.128/25", &["192.0.2.128:1"], &["192.0.2.127:1"]),
            (
                "0.0.0.0/0",
                &["1.2.3.4:1", "[::ffff:1.2.3.4]:1"],
                &["[::1]:1", "[2001:db8::1]:1"],
            ),
            (
                "::ffff:192.0.2.0/120",
                &["192.0.2.9:1", "[::ffff:192.0.2.9]:1"],
                &["192.0.3.9:1"],
            ),
            ("::ffff:192.0.2.9", &["192.0.2.9:1"], &["192.0.2.8:1"]),
            (
                "2001:db8::/32",
                &["[2001:db8:ffff::1]:1"],
                &["[2001:db9::]:1", "32.1.13.184:1"],
            ),
            (
                "::1",
                &["[::1]:1"],
                &["[::2]:1", "127.0.0.1:1", "0.0.0.1:1"],
            ),
            (
                "::/0",
                &["[::1]:1", "[fe80::1%2]:1"],
                &["127.0.0.1:1", "unix:"],
            ),
            (
                "fe80::/10",
                &["[fe80::1%2]:1", "[febf::1]:1"],
                &["[fec0::1]:1"],
            ),
        ] {
            let parsed = Network::parse(network).unwrap();
            for (peers, is_inside) in [(inside, true), (outside, false)] {
                for text in peers {
                    let peer = Peer::parse(text.as_bytes()).expect(text);
                    assert_eq!(parsed.contains(peer), is_inside, "{network} {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "is no network"),
            ("localhost", "is no network"),
            ("192.0.2", "is no network"),
            ("192.0.2.01", "is no network"),
            ("192.0.2.1:80", "is no network"),
            ("[::1]", "is no network"),
            ("fe80::1%eth0", "is no network"),
            ("192.0.2.0/33", "from 0 to 32"),
            ("192.0.2.0/", "from 0 to 32"),
            ("192.0.2.0/+8", "from 0 to 32"),
            ("192.0.2.0/255.255.255.0", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("192.0.2.1/24", "expected 192.0.2.0/24"),
            ("192.0.2.1/0", "expected 0.0.0.0/0"),
            ("2001:db8::1/32", "expected 2001:db8::/32"),
            ("::ffff:192.0.2.1/120", "expected ::ffff:192.0.2.0/120"),
        ] {
            let error = Network::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_peer_is_an_address_with_port_or_a_unix_socket() {
        for text in ["", "192.0.2.1", "::1", "[::1]", "host:1", "unix", "\u{e9}"] {
            assert_eq!(Peer::parse(text.as_bytes()), None, "{text}");
        }
    }
}
