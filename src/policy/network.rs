//! Networks of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use core::net::IpAddr;

/// A network: an address and how many of its first bits count.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// At most 32 or 128.
    pub prefix_bits: u8,
}
