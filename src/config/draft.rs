//! A configuration that is being put together: from the file, then from the command line.
//!
//! It differs from a [`Config`] in what a host may leave unsaid. [`Draft::finish`] fills that in,
//! when everybody has spoken, so that an option of the command line is inherited like a line of the
//! file.

use super::logs::{AccessLog, Destination, Format};
use super::settings::Setting;
use super::{Config, Host, Rules, memory};
use crate::files;
use crate::http::Status;
use crate::policy::{Field, FieldRule, HostName, PathPattern, Redirect};
use std::path::PathBuf;

/// A configuration on its way.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What is not of a host. Its `site`, `rules` and `hosts` are made at the end, but for what all
    /// sites have in common.
    pub(crate) config: Config,
    /// The hosts; the first one is the default.
    pub(super) hosts: Vec<HostDraft>,
    /// The one that is being spoken of.
    pub(super) current: usize,
    /// What was said, rather than left at its default.
    said: Vec<&'static Setting>,
}

/// What does not fit to something else that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The name of its setting.
    pub setting: &'static str,
    /// What is wrong and how to mend it.
    pub text: String,
}

/// A host on its way; what it does not say it inherits.
#[derive(Clone, Debug, Default)]
pub(super) struct HostDraft {
    pub(super) names: Vec<HostName>,
    pub(super) root: PathBuf,
    pub(super) index: Option<IndexNames>,
    pub(super) mime: Option<Mime>,
    pub(super) access: Option<Destination>,
    pub(super) format: Option<Format>,
    pub(super) error_pages: Option<ErrorPages>,
    pub(super) redirects: Vec<RedirectDraft>,
    pub(super) field_rules: Option<Vec<FieldRuleDraft>>,
}

/// File names that stand for a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct IndexNames(pub(super) Vec<String>);

/// Media types: suffixes without the dot in lower case, and their type.
#[derive(Clone, Debug, Default)]
pub(super) struct Mime(pub(super) Vec<(String, String)>);

/// Files by status.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorPages(pub(super) Vec<(u16, PathBuf)>);

/// A redirect on its way.
#[derive(Clone, Debug)]
pub(super) struct RedirectDraft {
    pub(super) from: Option<PathPattern>,
    pub(super) to: Target,
    pub(super) status: u16,
}

/// Where a redirect leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Target(pub(super) String);

/// Fields for some paths, on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldRuleDraft {
    pub(super) paths: Option<PathPattern>,
    pub(super) fields: Vec<Field>,
}

impl Default for RedirectDraft {
    fn default() -> Self {
        Self {
            from: None,
            to: Target::default(),
            status: Status::MOVED_PERMANENTLY.code(),
        }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self::from(Config::new(PathBuf::new()))
    }
}

impl From<Config> for Draft {
    /// All that is in force, as if each host had said it.
    fn from(mut config: Config) -> Self {
        let rules = std::mem::take(&mut config.rules);
        let hosts = std::mem::take(&mut config.hosts);
        let default = HostDraft::new(Vec::new(), &config.site, rules);
        let others = hosts
            .into_iter()
            .map(|host| HostDraft::new(host.names, &host.site, host.rules));
        Self {
            hosts: std::iter::once(default).chain(others).collect(),
            config,
            current: 0,
            said: Vec::new(),
        }
    }
}

impl Draft {
    /// The host that is being spoken of.
    pub(super) fn host(&mut self) -> &mut HostDraft {
        &mut self.hosts[self.current]
    }

    /// The redirect that is being spoken of: the last one of the host.
    pub(super) fn redirect(&mut self) -> &mut RedirectDraft {
        let redirects = &mut self.host().redirects;
        if redirects.is_empty() {
            redirects.push(RedirectDraft::default());
        }
        redirects.last_mut().expect("there is one")
    }

    /// The rule about fields that is being spoken of: the last one of the host.
    pub(super) fn field_rule(&mut self) -> &mut FieldRuleDraft {
        let rules = self.host().field_rules.get_or_insert_default();
        if rules.is_empty() {
            rules.push(FieldRuleDraft::default());
        }
        rules.last_mut().expect("there is one")
    }

    /// Begins a host of which is being spoken from now on.
    pub(super) fn begin_host(&mut self) {
        self.current = self.hosts.len();
        self.hosts.push(HostDraft::default());
    }

    /// How many hosts there are, the default one included.
    pub(super) fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// From now on, this one is spoken of.
    pub(super) fn speak_of(&mut self, host: usize) {
        self.current = host;
    }

    /// Goes back to the default host.
    pub(super) fn end_host(&mut self) {
        self.current = 0;
    }

    /// What the default host serves, instead of what it was told.
    pub(crate) fn set_root(&mut self, root: PathBuf) {
        self.hosts[0].root = root;
    }

    /// Remembers that a setting of the server was said.
    pub(crate) fn note_said(&mut self, setting: &'static Setting) {
        self.said.push(setting);
    }

    /// The configuration: hosts inherit what they did not say, and what a budget bounds is bounded.
    ///
    /// # Errors
    /// What was said does not fit together.
    pub fn finish(self) -> Result<Config, Unfit> {
        let Self {
            mut config,
            hosts,
            said,
            ..
        } = self;
        let mut hosts = hosts.into_iter();
        let default = hosts.next().expect("the default host is always there");
        config.hosts = hosts
            .map(|host| {
                let host = host.over(&default);
                Host {
                    site: host.site(&config.site),
                    names: host.names.clone(),
                    rules: host.rules(),
                }
            })
            .collect();
        config.site = default.site(&config.site);
        config.rules = default.rules();
        memory::derive(&mut config, &|name| {
            said.iter().any(|setting| setting.name() == name)
        })
        .map_err(|text| Unfit {
            setting: "memory",
            text,
        })?;
        let reachable = match config.listen.is_empty() {
            true => Err(NO_LISTENER.into()),
            false => config.clients.check(&config.listen),
        };
        reachable.map_err(|text| Unfit {
            setting: "listen",
            text,
        })?;
        Ok(config)
    }
}

const NO_LISTENER: &str =
    "listen: nobody could connect; name an address, as in \"0.0.0.0:80\", or leave the line out";

impl HostDraft {
    fn new(names: Vec<HostName>, site: &files::Settings, rules: Rules) -> Self {
        let (access, format) = match rules.access_log {
            Some(AccessLog {
                destination,
                format,
            }) => (destination, format),
            None => (Destination::Off, Format::default()),
        };
        let redirect = |redirect: Redirect| RedirectDraft {
            from: Some(redirect.from),
            to: Target(String::from_utf8_lossy(&redirect.to).into_owned()),
            status: redirect.status.code(),
        };
        let field_rule = |FieldRule { paths, fields }| FieldRuleDraft {
            paths: Some(paths),
            fields,
        };
        Self {
            names,
            root: site.root.clone(),
            index: Some(IndexNames(site.index_names.clone())),
            mime: Some(Mime(site.mime.clone())),
            access: Some(access),
            format: Some(format),
            error_pages: Some(ErrorPages(rules.error_pages)),
            redirects: rules.redirects.into_iter().map(redirect).collect(),
            field_rules: Some(rules.fields.into_iter().map(field_rule).collect()),
        }
    }

    /// This host with what it does not say from another one.
    fn over(self, default: &Self) -> Self {
        Self {
            root: match self.root.as_os_str().is_empty() {
                true => default.root.clone(),
                false => self.root,
            },
            index: self.index.or_else(|| default.index.clone()),
            mime: self.mime.or_else(|| default.mime.clone()),
            access: self.access.or_else(|| default.access.clone()),
            format: self.format.or(default.format),
            error_pages: self.error_pages.or_else(|| default.error_pages.clone()),
            field_rules: self.field_rules.or_else(|| default.field_rules.clone()),
            names: self.names,
            redirects: self.redirects,
        }
    }

    /// Its files; `common` has what all sites share.
    fn site(&self, common: &files::Settings) -> files::Settings {
        files::Settings {
            root: self.root.clone(),
            index_names: self.index.clone().unwrap_or_default().0,
            mime: self.mime.clone().unwrap_or_default().0,
            ..common.clone()
        }
    }

    fn rules(self) -> Rules {
        let redirect = |redirect: RedirectDraft| {
            Some(Redirect {
                from: redirect.from?,
                to: redirect.to.0.into_bytes().into(),
                status: Status::new(redirect.status)?,
            })
        };
        let field_rule = |rule: FieldRuleDraft| {
            Some(FieldRule {
                paths: rule.paths?,
                fields: rule.fields,
            })
        };
        let destination = self.access.filter(|access| *access != Destination::Off);
        Rules {
            access_log: destination.map(|destination| AccessLog {
                destination,
                format: self.format.unwrap_or_default(),
            }),
            redirects: self.redirects.into_iter().filter_map(redirect).collect(),
            fields: self
                .field_rules
                .unwrap_or_default()
                .into_iter()
                .filter_map(field_rule)
                .collect(),
            error_pages: self.error_pages.unwrap_or_default().0,
        }
    }
}
