//! Virtual hosts: which one a request is for.

use super::paths::{ErrorPage, FieldRule, Redirect};
use std::sync::Arc;

/// A name that a host answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// This one, in lower case.
    Exact(Box<str>),
    /// All names that end so; kept with the dot and without the star, in lower case.
    Suffix(Box<str>),
}

/// What holds for one host.
#[derive(Debug, Default)]
pub struct Host {
    /// Its number: another one for each host of each configuration.
    pub id: u32,
    /// Its first name, for logs; empty for the default host.
    pub name: Box<str>,
    /// Which access log its requests go to; `None`: none.
    pub access_log: Option<u16>,
    /// Where paths lead instead.
    pub redirects: Vec<Redirect>,
    /// Fields that responses get.
    pub fields: Vec<FieldRule>,
    /// Pages instead of ours.
    pub error_pages: Vec<ErrorPage>,
}

/// The hosts of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Whoever is asked for by another name, or none.
    pub default: Arc<Host>,
    /// The others, by their names.
    pub named: Arc<[(HostName, Arc<Host>)]>,
}
