//! What the operator sets about clients: how much one of them may have, and whom to believe.

use super::Listen;
use crate::policy::{ForwardedField, Proxy, Trusted};

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
    pub trusted_proxies: Vec<Proxy>,
    /// The field in which they say it.
    pub forwarded_field: ForwardedField,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            connections_max: None,
            requests_per_second: None,
            burst: 50,
            table_entries_max: 4096,
            trusted_proxies: Vec::new(),
            forwarded_field: ForwardedField::default(),
        }
    }
}

impl Clients {
    /// Who is believed, and what is read, as requests are judged by it.
    #[must_use]
    pub fn trusted(&self) -> Trusted {
        Trusted {
            proxies: self.trusted_proxies.as_slice().into(),
            field: self.forwarded_field,
        }
    }

    /// Whether those who may connect to a proxied listener are known. Whoever may, says whose
    /// connection it is, so that everybody may is not to be what is said by saying nothing.
    ///
    /// # Errors
    /// They are not: which listener it is, and how to mend it.
    pub fn check(&self, listen: &[Listen]) -> Result<(), String> {
        let proxied = listen.iter().find(|listen| listen.is_proxied);
        match proxied {
            Some(listen) if self.trusted_proxies.is_empty() => Err(format!(
                "{}: connections begin with the PROXY protocol, but nobody is trusted to say so; \
                 name the proxies in trusted-proxies (--trusted-proxy)",
                listen.address
            )),
            _ => Ok(()),
        }
    }

    /// Whether there is anything that a client could have too much of.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.connections_max.is_some() || self.requests_per_second.is_some()
    }
}
