//! Virtual hosts: which one a request is for.
//!
//! A name is found without allocating: exactly as it is, then by its endings, the longest first.
//! INVARIANT: the names in the tables are as [`normalize`] makes them.

use super::paths::{ErrorPage, FieldRule, Redirect};
use crate::http::Status;
use core::fmt;
use core::net::Ipv6Addr;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// The longest name that a host can have (RFC 1035 §2.3.4, with room for brackets).
const NAME_BYTES_MAX: usize = 255;

/// A name that a host answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostName {
    /// This one, in lower case; an IPv6 address in brackets and in its canonical form.
    Exact(Box<str>),
    /// All names that end so; kept with the dot and without the star, in lower case.
    Suffix(Box<str>),
}

impl HostName {
    /// The name that an operator has written: `example.org`, `*.example.org`, `192.0.2.1`, `[::1]`.
    /// `None` if it is none of these, or names a port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (is_suffix, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut buffer = [0; NAME_BYTES_MAX];
        let normal = str::from_utf8(normalize(name.as_bytes(), &mut buffer)?).ok()?;
        let is_literal = normal.starts_with('[');
        // What was cut off but for the root's dot was a port, or nothing that a name could have.
        if !is_literal && name.len() - normal.len() > usize::from(name.ends_with('.')) {
            return None;
        }
        let is_label = |label: &str| {
            let mut bytes = label.bytes();
            !label.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match (is_suffix, is_literal) {
            (false, true) => name.ends_with(']').then(|| Self::Exact(normal.into())),
            (true, true) => None,
            _ if !normal.split('.').all(is_label) => None,
            (false, false) => Some(Self::Exact(normal.into())),
            // One byte more than the name itself, so that something can stand before it.
            (true, false) if normal.len() + 2 > NAME_BYTES_MAX => None,
            (true, false) => Some(Self::Suffix(format!(".{normal}").into())),
        }
    }
}

impl fmt::Display for HostName {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(name) => write!(f, "*{name}"),
        }
    }
}

/// What holds for one host.
#[derive(Debug, Default)]
pub struct Host {
    /// Its first name, for logs; empty for the default host.
    pub name: Box<str>,
    /// The number of the site that has its files. Hosts that are served in the same way from the same
    /// root share one; no other site ever gets the number.
    pub site: u32,
    /// Keeps the site while somebody needs it: a configuration, or an exchange that began under it.
    pub lease: Arc<()>,
    /// The absolute path of its root.
    pub root: Box<[u8]>,
    /// Which access log its requests go to; `None`: none.
    pub access_log: Option<u16>,
    /// Which configuration it is of: each has a higher number than those before.
    pub epoch: u32,
    /// Where paths lead instead.
    pub redirects: Vec<Redirect>,
    /// Fields that responses get.
    pub fields: Vec<FieldRule>,
    /// Pages instead of ours.
    pub error_pages: Vec<ErrorPage>,
}

impl Host {
    /// Where a path leads instead, with the rest of the path behind a prefix.
    #[must_use]
    pub fn redirect<'a>(&self, path: &'a [u8]) -> Option<(&Redirect, &'a [u8])> {
        let mut redirects = self.redirects.iter();
        redirects.find_map(|redirect| Some((redirect, redirect.from.rest(path)?)))
    }

    /// The page that is sent with a status instead of ours.
    #[must_use]
    pub fn error_page(&self, status: Status) -> Option<&ErrorPage> {
        self.error_pages.iter().find(|page| page.status == status)
    }
}

/// The hosts of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Whoever is asked for by another name, or none.
    pub default: Arc<Host>,
    /// The others; `None` if there are none, so that this is all that a request asks then.
    named: Option<Arc<Names>>,
}

/// Hosts by their names.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<Box<[u8]>, Arc<Host>>,
    suffixes: HashMap<Box<[u8]>, Arc<Host>>,
    /// The longest of the suffixes: what is longer need not be looked for.
    suffix_bytes_max: usize,
}

impl Hosts {
    /// The hosts by their names. Of two with the same name the first has it.
    #[must_use]
    pub fn new(default: Arc<Host>, named: impl IntoIterator<Item = (HostName, Arc<Host>)>) -> Self {
        let mut names = Names::default();
        for (name, host) in named {
            match name {
                HostName::Exact(name) => {
                    names.exact.entry(name.into_boxed_bytes()).or_insert(host);
                }
                HostName::Suffix(name) => {
                    names.suffix_bytes_max = names.suffix_bytes_max.max(name.len());
                    names
                        .suffixes
                        .entry(name.into_boxed_bytes())
                        .or_insert(host);
                }
            }
        }
        let is_empty = names.exact.is_empty() && names.suffixes.is_empty();
        Self {
            default,
            named: (!is_empty).then(|| Arc::new(names)),
        }
    }

    /// The host that an authority names, `uri-host [":" port]` as the head's parser has let it pass;
    /// empty if the request has none.
    #[must_use]
    pub fn find(&self, authority: &[u8]) -> &Arc<Host> {
        match &self.named {
            None => &self.default,
            Some(names) => names.find(authority).unwrap_or(&self.default),
        }
    }
}

impl Names {
    fn find(&self, authority: &[u8]) -> Option<&Arc<Host>> {
        let mut buffer = [0; NAME_BYTES_MAX];
        let name = normalize(authority, &mut buffer)?;
        if let Some(host) = self.exact.get(name) {
            return Some(host);
        }
        // Something stands before the star's dot, so the first byte is none.
        let start = name.len().saturating_sub(self.suffix_bytes_max).max(1);
        let mut dots = (start..name.len()).filter(|&at| name[at] == b'.');
        dots.find_map(|at| self.suffixes.get(&name[at..]))
    }
}

/// The host of an authority as it is kept in the tables: without the port and the dot of the root, in
/// lower case; IPv6 addresses in brackets and as RFC 5952 writes them. `None` if no host of ours can
/// be meant.
fn normalize<'a>(authority: &[u8], buffer: &'a mut [u8; NAME_BYTES_MAX]) -> Option<&'a [u8]> {
    if let [b'[', inner @ ..] = authority {
        let end = inner.iter().position(|&byte| byte == b']')?;
        let address: Ipv6Addr = str::from_utf8(&inner[..end]).ok()?.parse().ok()?;
        let mut rest = &mut buffer[..];
        write!(rest, "[{address}]").ok()?;
        let bytes = NAME_BYTES_MAX - rest.len();
        return Some(&buffer[..bytes]);
    }
    let end = authority.iter().position(|&byte| byte == b':');
    let name = &authority[..end.unwrap_or(authority.len())];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let normal = buffer
        .get_mut(..name.len())
        .filter(|name| !name.is_empty())?;
    normal.copy_from_slice(name);
    normal.make_ascii_lowercase();
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        let named = names.iter().map(|name| {
            let host = Host {
                name: (*name).into(),
                ..Host::default()
            };
            (HostName::parse(name).unwrap(), Arc::new(host))
        });
        Hosts::new(Arc::default(), named.collect::<Vec<_>>())
    }

    #[test]
    fn the_exact_name_wins_then_the_longest_suffix() {
        let hosts = hosts(&[
            "*.example.org",
            "a.example.org",
            "*.b.example.org",
            "192.0.2.1",
            "[2001:db8::1]",
            "*.org",
            "localhost",
        ]);
        for (authority, name) in [
            ("a.example.org", "a.example.org"),
            ("A.Example.ORG", "a.example.org"),
            ("a.example.org:8080", "a.example.org"),
            ("a.example.org:", "a.example.org"),
            ("a.example.org.", "a.example.org"),
            ("a.example.org.:80", "a.example.org"),
            ("a.example.org..", ""),
            ("c.example.org", "*.example.org"),
            ("x.a.example.org", "*.example.org"),
            ("x.y.z.example.org.:1", "*.example.org"),
            ("x.b.example.org", "*.b.example.org"),
            ("b.example.org", "*.example.org"),
            ("example.org", "*.org"),
            (".example.org", "*.org"),
            ("org", ""),
            (".org", ""),
            ("notexample.com", ""),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.2", ""),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:DB8:0:0::1]:8080", "[2001:db8::1]"),
            ("[::1]", ""),
            ("[v1.x]", ""),
            ("[", ""),
            ("LOCALHOST", "localhost"),
            ("local%68ost", ""),
            ("", ""),
            (".", ""),
            (":80", ""),
        ] {
            let found = hosts.find(authority.as_bytes());
            assert_eq!(&*found.name, name, "{authority}");
        }
        let long = format!("{}.example.org", "x.".repeat(200));
        assert_eq!(&*hosts.find(long.as_bytes()).name, "", "no name is so long");
    }

    #[test]
    fn without_names_everything_is_the_default_host() {
        let hosts = Hosts::default();
        for authority in [&b""[..], b"example.org", b"[::1]:80"] {
            assert!(Arc::ptr_eq(hosts.find(authority), &hosts.default));
        }
    }

    #[test]
    fn of_two_hosts_with_one_name_the_first_has_it() {
        let named = ["one", "two"].map(|own| {
            let host = Host {
                name: own.into(),
                ..Host::default()
            };
            (HostName::Exact("x".into()), Arc::new(host))
        });
        assert_eq!(&*Hosts::new(Arc::default(), named).find(b"x").name, "one");
    }

    #[test]
    fn names_are_what_an_operator_writes() {
        let exact = |name: &str| Some(HostName::Exact(name.into()));
        let suffix = |name: &str| Some(HostName::Suffix(name.into()));
        for (text, name) in [
            ("Example.Org", exact("example.org")),
            ("example.org.", exact("example.org")),
            ("a_b-c.1", exact("a_b-c.1")),
            ("*.Example.org", suffix(".example.org")),
            ("*.org", suffix(".org")),
            ("192.0.2.1", exact("192.0.2.1")),
            ("[::1]", exact("[::1]")),
            ("[2001:DB8::0]", exact("[2001:db8::]")),
            ("", None),
            (".", None),
            ("*", None),
            ("*.", None),
            ("*.*.org", None),
            ("a.*.org", None),
            ("*example.org", None),
            ("example.org:80", None),
            ("example.org:", None),
            ("example..org", None),
            (".example.org", None),
            ("example.org..", None),
            ("ex ample.org", None),
            ("exämple.org", None),
            ("::1", None),
            ("[::1]:80", None),
            ("[::1", None),
            ("[example]", None),
            ("*.[::1]", None),
        ] {
            assert_eq!(HostName::parse(text), name, "{text:?}");
            if let Some(name) = name {
                assert_eq!(HostName::parse(&name.to_string()), Some(name));
            }
        }
        assert!(HostName::parse(&"a".repeat(255)).is_some());
        assert!(HostName::parse(&"a".repeat(256)).is_none());
    }
}
