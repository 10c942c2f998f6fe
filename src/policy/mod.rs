//! What the operator has decided about hosts, paths and clients, as values that a request is judged
//! by.
//!
//! Pure: no file, no socket, no clock. A [`Policy`] does not change; a reload makes another one, and
//! an exchange keeps the [`Host`] that it began with.

mod fields;
mod forwarded;
mod host;
mod network;
mod paths;
pub mod proxy_header;

pub use forwarded::{ForwardedField, Peer, Trusted};
pub use host::{Host, HostName, Hosts};
pub use network::{Network, NetworkError, Proxy};
pub use paths::{ErrorPage, Field, FieldRule, PathPattern, Redirect, is_redirect_target};

/// All that holds for requests at the moment.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The hosts.
    pub hosts: Hosts,
    /// Who may say on whose behalf a request comes.
    pub trusted: Trusted,
}
