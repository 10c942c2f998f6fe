//! Where a request's file is to be looked up: which root, and which path beneath it.
//!
//! A plugin may choose another root, or name a file by its absolute path. Names are compared here
//! and nothing is opened: that a link does not lead out of the root is the business of whoever
//! opens.

use crate::conn::Exchange;
use crate::http::target;
use std::borrow::Cow;

/// A root and a clean path beneath it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// An absolute path; `None` is that of the host's site.
    pub(super) root: Option<Cow<'a, [u8]>>,
    pub(super) path: Cow<'a, [u8]>,
}

impl<'a> Place<'a> {
    /// Where an exchange's file is; `None` if a plugin has named one that is outside of the root.
    pub(super) fn of(exchange: &'a Exchange) -> Option<Self> {
        let path = Cow::Borrowed(&exchange.path[..]);
        if exchange.docroot.is_none() && exchange.physical.is_none() {
            return Some(Self { root: None, path });
        }
        let site_root = clean_root(exchange.site_root());
        let root = exchange.docroot.as_deref().map(clean_root);
        let root = root.filter(|root| *root != site_root);
        let path = match &exchange.physical {
            None => path,
            Some(physical) => beneath(root.as_ref().unwrap_or(&site_root), physical)?.into(),
        };
        let root = root.map(|root| match &root[..] {
            b"" => Cow::Borrowed(&b"/"[..]),
            _ => Cow::Owned(root),
        });
        Some(Self { root, path })
    }
}

/// A root without dot segments and without a slash at its end.
fn clean_root(root: &[u8]) -> Vec<u8> {
    let mut root = target::clean_path(root);
    if root.ends_with(b"/") {
        root.pop();
    }
    root
}

/// The path beneath a clean root that an absolute path names.
fn beneath(root: &[u8], physical: &[u8]) -> Option<Vec<u8>> {
    if !physical.starts_with(b"/") {
        return None;
    }
    let physical = target::clean_path(physical);
    match physical.strip_prefix(root)? {
        b"" => Some(b"/".to_vec()),
        path => path.starts_with(b"/").then(|| path.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Host;
    use std::sync::Arc;

    fn place(docroot: Option<&str>, physical: Option<&str>) -> Option<(Option<String>, String)> {
        let mut exchange = Exchange::default();
        exchange.path.extend_from_slice(b"/a/b");
        exchange.docroot = docroot.map(Into::into);
        exchange.physical = physical.map(Into::into);
        let text = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).unwrap();
        let host = Host {
            root: b"/srv/www"[..].into(),
            ..Host::default()
        };
        exchange.host = Some(Arc::new(host));
        let Place { root, path } = Place::of(&exchange)?;
        Some((root.map(text), text(path)))
    }

    #[test]
    fn a_physical_path_must_lie_in_its_root() {
        let in_site = |path: &str| Some((None, path.to_owned()));
        let in_other = |path: &str| Some((Some("/other".to_owned()), path.to_owned()));
        for (docroot, physical, expected) in [
            (None, None, in_site("/a/b")),
            (None, Some("/srv/www/x"), in_site("/x")),
            (None, Some("/srv/www"), in_site("/")),
            (None, Some("/srv/www/"), in_site("/")),
            (None, Some("/srv/./www//x/"), in_site("/x/")),
            (None, Some("/srv/www/y/../x"), in_site("/x")),
            (None, Some("/srv/www2/x"), None),
            (None, Some("/srv/www/../x"), None),
            (None, Some("/srv/www/../../../etc/passwd"), None),
            (None, Some("srv/www/x"), None),
            (None, Some(""), None),
            (Some("/other"), None, in_other("/a/b")),
            (Some("/other/"), Some("/other/x"), in_other("/x")),
            (Some("/other"), Some("/srv/www/x"), None),
            (Some("/srv/www/"), None, in_site("/a/b")),
            (
                Some("/"),
                Some("/etc/x"),
                Some((Some("/".to_owned()), "/etc/x".to_owned())),
            ),
        ] {
            assert_eq!(
                place(docroot, physical),
                expected,
                "{docroot:?} {physical:?}"
            );
        }
    }
}
