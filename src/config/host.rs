//! What the operator sets for a host: its site, its paths, its log.

use super::Config;
use super::logs::{AccessLog, Destination};
use crate::files;
use crate::policy::{FieldRule, HostName, Redirect};
use std::path::{Path, PathBuf};

/// How long an error page may be, bytes: it is kept in memory.
pub const PAGE_BYTES_MAX: u64 = 64 * 1024;

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

impl Config {
    /// What each host has on disk and what holds for it, the default host's first.
    pub fn sites(&self) -> impl Iterator<Item = (&files::Settings, &Rules)> {
        let others = self.hosts.iter().map(|host| (&host.site, &host.rules));
        std::iter::once((&self.site, &self.rules)).chain(others)
    }

    /// The files that are logs, of errors and of requests; one may be named several times.
    pub fn log_files(&self) -> impl Iterator<Item = &Path> {
        let access = self
            .sites()
            .filter_map(|(_, rules)| rules.access_log.as_ref());
        let all = access.map(|log| &log.destination);
        all.chain([&self.logs.error]).filter_map(|log| match log {
            Destination::File(path) => Some(&**path),
            _ => None,
        })
    }

    /// The logs of requests, each once; the default host's is the first. What a host's
    /// `access_log` is, is an index of this.
    #[must_use]
    pub fn access_logs(&self) -> Vec<AccessLog> {
        let mut logs: Vec<AccessLog> = Vec::new();
        for log in self
            .sites()
            .filter_map(|(_, rules)| rules.access_log.as_ref())
            .filter(|log| log.destination != Destination::Off)
        {
            if !logs.contains(log) {
                logs.push(log.clone());
            }
        }
        logs
    }
}
