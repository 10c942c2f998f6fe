//! What the operator sets for a host: its site, its paths, its log.

use super::logs::AccessLog;
use crate::files;
use crate::policy::{FieldRule, HostName, Redirect};
use std::path::PathBuf;

/// What holds for the requests of a host beside its files.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Where its requests are noted; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// Where paths lead instead; the first that fits counts.
    pub redirects: Vec<Redirect>,
    /// Fields that responses get; all that fit count, in this order.
    pub fields: Vec<FieldRule>,
    /// By status: a file that is sent with it. Relative ones are beneath the root.
    pub error_pages: Vec<(u16, PathBuf)>,
}

/// A host beside the default one.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its names, at least one.
    pub names: Vec<HostName>,
    /// Its files.
    pub site: files::Settings,
    /// What holds for its requests.
    pub rules: Rules,
}
