//! What the operator sets about clients: how much one of them may have, and whom to believe.

use crate::policy::Network;

/// Bounds of one client, which is an IPv4 address or an IPv6 network of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Connections at the same time; `None`: as many as there are.
    pub connections_max: Option<u32>,
    /// Requests a second in the long run; `None`: any number.
    pub requests_per_second: Option<u32>,
    /// Requests at once, before the rate counts.
    pub burst: u32,
    /// How many clients are remembered.
    pub table_entries_max: usize,
    /// Proxies that may say on whose behalf they ask.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            connections_max: None,
            requests_per_second: None,
            burst: 50,
            table_entries_max: 4096,
            trusted_proxies: Vec::new(),
        }
    }
}
