//! Hosts: from what the operator has written to what requests are judged by.
//!
//! Preparing may wait for disks and may fail; it changes nothing, and it may be done by another
//! thread. Committing does neither: sites that are served in the same way as before stay as they are,
//! with their part of the cache, and requests that have begun keep theirs.

use super::{Core, Error, Server};
use crate::config::{Config, PAGE_BYTES_MAX, Rules};
use crate::files::{Settings, Site};
use crate::handler::mime::Types;
use crate::http::Status;
use crate::policy::{ErrorPage, Host, HostName, Hosts, Policy, Trusted};
use crate::sys::file::Kind;
use crate::sys::small_file;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// All hosts of a configuration, ready to be used.
#[derive(Debug)]
pub struct Prepared {
    /// Each once.
    sites: Vec<Arc<Site>>,
    default: Draft,
    named: Vec<Draft>,
    trusted: Trusted,
}

impl Prepared {
    /// How many roots it has open.
    #[must_use]
    pub fn site_count(&self) -> usize {
        self.sites.len()
    }
}

/// A host whose site has no number yet.
#[derive(Debug)]
struct Draft {
    names: Vec<HostName>,
    /// Which of the sites it has.
    site: usize,
    host: Host,
}

/// What is wrong with an error page.
#[derive(Debug)]
pub enum PageFault {
    /// It cannot be read.
    Unreadable(io::Error),
    /// There is none.
    Missing,
    /// It is a directory, or something else without content of its own.
    NotAFile,
    /// It is longer than [`PAGE_BYTES_MAX`].
    TooLong,
    /// It is for a status that is no error.
    NoError(u16),
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Missing => f.write_str("there is none; make it, or name another file"),
            Self::NotAFile => f.write_str("it is no file; name one"),
            Self::TooLong => write!(
                f,
                "it has more than {} KiB; let it refer to what is large",
                PAGE_BYTES_MAX / 1024
            ),
            Self::NoError(status) => {
                write!(f, "{status} is no error; name a status from 400 to 599")
            }
        }
    }
}

/// Opens every root and reads every error page. Changes nothing.
///
/// # Errors
/// The first thing that cannot be had.
pub fn prepare(config: &Config) -> Result<Prepared, Error> {
    let mut sites = Vec::new();
    let mut draft = |names: &[HostName], site: &Settings, rules: &Rules| {
        draft(config, names, site, rules, &mut sites)
    };
    let default = draft(&[], &config.site, &config.rules)?;
    let named = config
        .hosts
        .iter()
        .map(|host| draft(&host.names, &host.site, &host.rules));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    let mut names = named.iter().flat_map(|draft| &draft.names);
    if let Some(twice) = names.find(|name| !seen.insert(*name)) {
        return Err(Error::HostTwice(twice.to_string()));
    }
    Ok(Prepared {
        sites,
        default,
        named,
        trusted: config.clients.trusted(),
    })
}

fn draft(
    config: &Config,
    names: &[HostName],
    settings: &Settings,
    rules: &Rules,
    sites: &mut Vec<Arc<Site>>,
) -> Result<Draft, Error> {
    let known = sites.iter().position(|site| site.settings() == settings);
    let site = match known {
        Some(index) => index,
        None => {
            let site = Site::open(settings.clone());
            let site = site.map_err(|error| Error::Root(settings.root.clone(), error))?;
            sites.push(Arc::new(site));
            sites.len() - 1
        }
    };
    let root = sites[site].root_path();
    let logs = config.access_logs();
    let own_log = logs
        .iter()
        .position(|log| Some(log) == rules.access_log.as_ref());
    let types = Types::new(&settings.mime);
    let pages = rules.error_pages.iter().map(|(status, path)| {
        let path = settings.root.join(path);
        read_page(*status, &path, &types).map_err(|fault| Error::Page(path, fault))
    });
    let host = Host {
        name: names
            .first()
            .map(|name| name.to_string().into())
            .unwrap_or_default(),
        root: root.into(),
        access_log: own_log.and_then(|index| u16::try_from(index).ok()),
        redirects: rules.redirects.clone(),
        fields: rules.fields.clone(),
        error_pages: pages.collect::<Result<_, _>>()?,
        ..Host::default()
    };
    Ok(Draft {
        names: names.to_vec(),
        site,
        host,
    })
}

fn read_page(status: u16, path: &Path, types: &Types) -> Result<ErrorPage, PageFault> {
    let is_error = |status: &Status| status.is_error();
    let status = Status::new(status)
        .filter(is_error)
        .ok_or(PageFault::NoError(status))?;
    let opened = small_file::open_existing(path).map_err(PageFault::Unreadable)?;
    let opened = opened.ok_or(PageFault::Missing)?;
    if opened.meta.kind != Kind::Regular {
        return Err(PageFault::NotAFile);
    }
    let content = small_file::read_whole(opened, PAGE_BYTES_MAX).map_err(PageFault::Unreadable)?;
    let content = content.ok_or(PageFault::TooLong)?;
    let name = path.as_os_str().as_encoded_bytes();
    Ok(ErrorPage {
        status,
        content_type: (*types.of(name)).into(),
        content: content.into(),
    })
}

impl Server {
    /// Judges requests by these hosts from now on.
    pub fn set_hosts(&mut self, prepared: Prepared) {
        self.core.set_hosts(prepared);
    }

    /// How many sites are open, those included that only requests still need which began before their
    /// hosts were replaced.
    #[must_use]
    pub fn site_count(&self) -> usize {
        self.core.handler.files.site_count()
    }
}

impl Core {
    pub(super) fn set_hosts(&mut self, prepared: Prepared) {
        let files = &mut self.handler.files;
        let tickets = files.install(prepared.sites);
        let epoch = self.policy.hosts.default.epoch + 1;
        let finish = |draft: Draft| {
            let ticket = &tickets[draft.site];
            let host = Arc::new(Host {
                site: ticket.site,
                lease: Arc::clone(&ticket.lease),
                epoch,
                ..draft.host
            });
            (draft.names, host)
        };
        let (_, default) = finish(prepared.default);
        let named = prepared.named.into_iter().map(finish);
        let named = named.flat_map(|(names, host)| {
            let with_host = move |name| (name, Arc::clone(&host));
            names.into_iter().map(with_host)
        });
        self.policy = Policy {
            hosts: Hosts::new(default, named),
            trusted: prepared.trusted,
        };
        drop(tickets);
        // What nobody uses just now goes at once.
        files.sweep();
    }
}
