//! Networks of addresses, and the proxies that are believed.
//!
//! `192.0.2.0/24`, `2001:db8::/32`, or one address. INVARIANT: a [`Network`] has no bit set behind
//! its prefix, so that two that mean the same are the same, and what an operator wrote by mistake
//! (`10.1.2.3/8`) is told and not guessed. An IPv4 address that is written as an IPv6 one
//! (`::ffff:192.0.2.1`) is the IPv4 address everywhere.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A network: an address and how many of its first bits count.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// INVARIANT: at most 32 or 128.
    prefix_bits: u8,
}

/// Why a text names no network. It is shown behind the text.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// There is no address before the slash.
    Address,
    /// Behind the slash is no number, or a larger one than this.
    Prefix(u8),
    /// Bits are set behind the prefix; this network may have been meant.
    HostBits(Network),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => {
                f.write_str("expected an address or a network, as in 192.0.2.0/24 or 2001:db8::/32")
            }
            Self::Prefix(most) => write!(f, "expected 0 to {most} bits behind the slash"),
            Self::HostBits(meant) => {
                write!(
                    f,
                    "the address goes on behind its prefix; did you mean {meant}?"
                )
            }
        }
    }
}

impl core::error::Error for NetworkError {}

/// Bits of an IPv4-mapped IPv6 address before those of the IPv4 address.
const MAPPED_BITS: u8 = 96;

impl Network {
    /// A network from its first address and its prefix.
    ///
    /// # Errors
    /// The prefix is longer than the address, or shorter than what is set of it.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Result<Self, NetworkError> {
        let most = bits_of(address);
        if prefix_bits > most {
            return Err(NetworkError::Prefix(most));
        }
        let canonical = address.to_canonical();
        let (address, prefix_bits) = if canonical == address {
            (address, prefix_bits)
        } else if prefix_bits >= MAPPED_BITS {
            (canonical, prefix_bits - MAPPED_BITS)
        } else {
            // A network around the mapped addresses holds nothing that occurs.
            return Err(NetworkError::Address);
        };
        let network = Self {
            address: first_of(address, prefix_bits),
            prefix_bits,
        };
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits(network))
        }
    }

    /// Whether an address lies in it. No IPv4 address lies in an IPv6 network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && first_of(address, self.prefix_bits) == self.address
    }
}

impl From<IpAddr> for Network {
    /// The network of one address.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix_bits: bits_of(address),
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let Some(prefix) = prefix else {
            return Ok(address.into());
        };
        // Rust's own numbers may have a sign.
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let bits = prefix.parse().ok().filter(|_| is_number);
        Self::new(address, bits.ok_or(NetworkError::Prefix(bits_of(address)))?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == bits_of(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix_bits)
        }
    }
}

/// Who may say on whose behalf he asks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Whoever connects from there.
    Network(Network),
    /// Whoever connects to a Unix socket.
    Unix,
}

impl From<Network> for Proxy {
    fn from(network: Network) -> Self {
        Self::Network(network)
    }
}

impl FromStr for Proxy {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        text.parse().map(Self::Network)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// How many bits an address of this family has.
fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address without what is behind the prefix.
fn first_of(address: IpAddr, prefix_bits: u8) -> IpAddr {
    let bits = u32::from(prefix_bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits));
            Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(bits));
            Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in [
            "192.0.2.0/24",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.1",
            "2001:db8::/32",
            "2001:db8::8000:0/97",
            "::/0",
            "::1",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        for (text, meant) in [
            ("192.0.2.1/32", "192.0.2.1"),
            ("2001:DB8:0::/048", "2001:db8::/48"),
            ("::1/128", "::1"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(network(text).to_string(), meant, "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_why() {
        for (text, wanted) in [
            ("", "expected an address or a network"),
            ("192.0.2", "expected an address or a network"),
            ("192.0.2.0.1", "expected an address or a network"),
            ("example.org", "expected an address or a network"),
            ("192.0.2.0 /24", "expected an address or a network"),
            ("fe80::1%eth0", "expected an address or a network"),
            ("/24", "expected an address or a network"),
            ("::ffff:0:0/90", "expected an address or a network"),
            ("192.0.2.0/", "expected 0 to 32 bits"),
            ("192.0.2.0/33", "expected 0 to 32 bits"),
            ("192.0.2.0/+8", "expected 0 to 32 bits"),
            ("192.0.2.0/999", "expected 0 to 32 bits"),
            ("192.0.2.0/255.255.255.0", "expected 0 to 32 bits"),
            ("2001:db8::/129", "expected 0 to 128 bits"),
            ("192.0.2.1/24", "did you mean 192.0.2.0/24?"),
            ("10.1.2.3/0", "did you mean 0.0.0.0/0?"),
            ("2001:db8::1/64", "did you mean 2001:db8::/64?"),
            ("::ffff:192.0.2.1/120", "did you mean 192.0.2.0/24?"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (of, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.0", "192.0.1.255"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("::1", "::1", "::"),
            ("::ffff:192.0.2.0/120", "192.0.2.9", "::ffff:192.0.3.9"),
        ] {
            assert!(
                network(of).contains(inside.parse().unwrap()),
                "{of} {inside}"
            );
            assert!(
                !network(of).contains(outside.parse().unwrap()),
                "{of} {outside}"
            );
        }
    }

    #[test]
    fn a_unix_socket_is_a_proxy_by_its_name() {
        assert_eq!("unix".parse(), Ok(Proxy::Unix));
        assert_eq!("unix".parse::<Proxy>().unwrap().to_string(), "unix");
        assert_eq!("::1".parse(), Ok(Proxy::Network(network("::1"))));
        assert!("unix:/run/a".parse::<Proxy>().is_err());
    }
}
