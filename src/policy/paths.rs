//! What holds for paths: redirects, fields, pages of errors.
//!
//! Paths are decoded and clean when they come here (see `http::target`), so a pattern is compared
//! with what the operator sees on disk, and nobody gets around it by encoding.

use crate::http::{Status, target};
use std::sync::Arc;

/// Which paths are meant: `/a` is that one, `/a/*` all that begin with `/a/`, `*.css` all that end
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This one.
    Exact(Box<[u8]>),
    /// All that begin so.
    Prefix(Box<[u8]>),
    /// All that end so.
    Suffix(Box<[u8]>),
}

impl PathPattern {
    /// The pattern that an operator has written; `None` if it begins with neither `/` nor `*`, or
    /// has a star elsewhere than at one end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let star_count = text.bytes().filter(|&byte| byte == b'*').count();
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            _ if star_count == 0 && text.starts_with('/') => {
                Some(Self::Exact(text.as_bytes().into()))
            }
            (_, Some(start)) if star_count == 1 && start.starts_with('/') => {
                Some(Self::Prefix(start.as_bytes().into()))
            }
            (Some(end), _) if star_count == 1 && !end.is_empty() => {
                Some(Self::Suffix(end.as_bytes().into()))
            }
            _ => None,
        }
    }

    /// Whether a clean path is meant. `*`, which is none, never is.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.rest(path).is_some()
    }

    /// What of a clean path stands behind a prefix, nothing for other patterns; `None` if the path
    /// is not meant.
    #[must_use]
    pub fn rest<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        if !path.starts_with(b"/") {
            return None;
        }
        match self {
            Self::Exact(whole) => (path == &**whole).then_some(&[]),
            Self::Prefix(start) => path.strip_prefix(&**start),
            Self::Suffix(end) => path.ends_with(end).then_some(&[]),
        }
    }
}

/// A path that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// From where.
    pub from: PathPattern,
    /// To where: a path or an absolute URI; behind a prefix pattern, `*` at its end stands for the
    /// rest of the path.
    pub to: Box<[u8]>,
    /// 301, 302, 303, 307 or 308.
    pub status: Status,
}

impl Redirect {
    /// Appends the URI reference for a request: `rest` is what its path has behind the prefix. Its
    /// query is kept, behind one that `to` has, and before a fragment.
    ///
    /// The rest comes from the client and cannot name another host: it never begins an authority
    /// (`//evil`) and never continues one (`https://example.org` followed by `.evil`).
    pub fn locate(&self, rest: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
        let start = out.len();
        let fragment_at = self.to.iter().position(|&byte| byte == b'#');
        let (reference, fragment) = self.to.split_at(fragment_at.unwrap_or(self.to.len()));
        let is_prefix = matches!(self.from, PathPattern::Prefix(_));
        match reference.strip_suffix(b"*").filter(|_| is_prefix) {
            None => target::encode_reference(reference, out),
            Some(base) => {
                target::encode_reference(base, out);
                let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
                let is_open = base.is_empty() || is_bare_authority(base);
                if is_open || (slashes > 0 && !base.ends_with(b"/")) {
                    out.push(b'/');
                }
                target::encode_path(&rest[slashes..], out);
            }
        }
        if let Some(query) = query {
            let has_query = out[start..].contains(&b'?');
            out.push(if has_query { b'&' } else { b'?' });
            target::encode_query(query, out);
        }
        target::encode_reference(fragment, out);
    }
}

/// Whether a reference ends within its authority: `https://example.org`, `//example.org`.
fn is_bare_authority(reference: &[u8]) -> bool {
    let slashes_at = reference.windows(2).position(|two| two == b"//");
    slashes_at.is_some_and(|at| {
        let is_authority = at == 0 || reference[at - 1] == b':';
        let mut rest = reference[at + 2..].iter();
        is_authority && !rest.any(|byte| matches!(byte, b'/' | b'?'))
    })
}

/// Whether a redirect may lead to what an operator has written: a path, or a URI of http or https
/// with a host.
#[must_use]
pub fn is_redirect_target(text: &str) -> bool {
    let text = text.as_bytes();
    if let Some(rest) = text.strip_prefix(b"/") {
        // Browsers take both for the beginning of another host.
        return !matches!(rest.first(), Some(b'/' | b'\\'));
    }
    let schemes = [&b"http://"[..], b"https://"];
    let mut after_scheme = schemes
        .iter()
        .filter_map(|scheme| text.strip_prefix(*scheme));
    after_scheme.next().is_some_and(|rest| {
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'*');
        let end = rest.iter().position(is_end).unwrap_or(rest.len());
        target::is_host_valid(&rest[..end])
    })
}

/// Fields for the responses to some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Which.
    pub paths: PathPattern,
    /// What they get.
    pub fields: Vec<Field>,
}

/// A field that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value; an empty one removes the field.
    pub value: Box<[u8]>,
}

/// A page that is sent with a status instead of ours.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// With which.
    pub status: Status,
    /// Its media type.
    pub content_type: Arc<str>,
    /// Its content, read when the configuration was.
    pub content: Arc<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_has_a_star_at_one_end_or_none() {
        let exact = |text: &str| Some(PathPattern::Exact(text.as_bytes().into()));
        let prefix = |text: &str| Some(PathPattern::Prefix(text.as_bytes().into()));
        let suffix = |text: &str| Some(PathPattern::Suffix(text.as_bytes().into()));
        for (text, wanted) in [
            ("/", exact("/")),
            ("/a b", exact("/a b")),
            ("/*", prefix("/")),
            ("/a/*", prefix("/a/")),
            ("/a*", prefix("/a")),
            ("*.css", suffix(".css")),
            ("*/index.html", suffix("/index.html")),
            ("", None),
            ("*", None),
            ("a", None),
            ("a*", None),
            ("/a*b", None),
            ("/a/**", None),
            ("**", None),
            ("*a*", None),
        ] {
            assert_eq!(PathPattern::parse(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_prefix_or_suffix() {
        for (text, path, rest) in [
            ("/a", "/a", Some("")),
            ("/a", "/a/", None),
            ("/a", "/ab", None),
            ("/A", "/a", None),
            ("/a/*", "/a/", Some("")),
            ("/a/*", "/a/b/c", Some("b/c")),
            ("/a/*", "/a", None),
            ("/a*", "/ab", Some("b")),
            ("/a*", "/a/b", Some("/b")),
            ("/*", "/", Some("")),
            ("/*", "/x", Some("x")),
            ("/*", "*", None),
            ("*.css", "/x.css", Some("")),
            ("*.css", "/x.css/", None),
            ("*.css", "*.css", None),
        ] {
            let found = pattern(text).rest(path.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{text} {path}");
        }
    }

    #[test]
    fn a_redirect_leads_to_a_path_or_a_host() {
        for text in [
            "/",
            "/a?b#c",
            "/new/*",
            "http://example.org",
            "https://example.org*",
            "https://example.org:8443/a/*",
            "https://[::1]?a",
        ] {
            assert!(is_redirect_target(text), "{text}");
        }
        for text in [
            "",
            "*",
            "a",
            "//example.org/",
            "/\\example.org/",
            "ftp://example.org/",
            "https://*",
            "https:///a",
            "https://user@example.org/",
            "javascript:alert(1)",
        ] {
            assert!(!is_redirect_target(text), "{text}");
        }
    }

    #[test]
    fn a_redirect_keeps_rest_and_query_and_stays_where_it_leads() {
        for (from, to, path, query, location) in [
            ("/old", "/new", "/old", None, "/new"),
            ("/old", "/new", "/old", Some("a=1"), "/new?a=1"),
            ("/old", "/new?b=2", "/old", Some("a=1"), "/new?b=2&a=1"),
            ("/old", "/new#f", "/old", Some("a=1"), "/new?a=1#f"),
            ("/old", "/new", "/old", Some(""), "/new?"),
            ("/old", "/new*", "/old", None, "/new*"),
            ("/old/*", "/new/*", "/old/a/b", Some("q"), "/new/a/b?q"),
            ("/old/*", "/new/", "/old/a/b", None, "/new/"),
            ("/old/*", "/new/*", "/old/", None, "/new/"),
            (
                "/old/*",
                "/new/*",
                "/old/a b%ü?",
                None,
                "/new/a%20b%25%C3%BC%3F",
            ),
            (
                "/old/*",
                "/new/*",
                "/old/\r\nX: 1",
                None,
                "/new/%0D%0AX:%201",
            ),
            // The rest never becomes a host.
            ("/old*", "/*", "/old/evil.example/", None, "/evil.example/"),
            (
                "/old*",
                "/*",
                "/old\\evil.example",
                None,
                "/%5Cevil.example",
            ),
            ("/old*", "/new*", "/old/x", None, "/new/x"),
            ("/old*", "/new*", "/oldx", None, "/newx"),
            (
                "/*",
                "https://example.org*",
                "/.evil/",
                None,
                "https://example.org/.evil/",
            ),
            (
                "/*",
                "https://example.org*",
                "/@evil/",
                None,
                "https://example.org/@evil/",
            ),
            (
                "/*",
                "https://example.org/*",
                "/a",
                Some("q"),
                "https://example.org/a?q",
            ),
            (
                "/*",
                "https://example.org:8443*",
                "/1/",
                None,
                "https://example.org:8443/1/",
            ),
            ("/*", "//cdn.example*", "/x", None, "//cdn.example/x"),
            (
                "/o*",
                "https://example.org/a*",
                "/o/x",
                None,
                "https://example.org/a/x",
            ),
            ("/o*", "*", "/ohttps:/evil/", None, "/https:/evil/"),
            ("*.htm", "/gone", "/a.htm", None, "/gone"),
            // What the operator writes is made to follow the grammar.
            (
                "/a",
                "/b c\u{e9}%20\"<",
                "/a",
                None,
                "/b%20c%C3%A9%20%22%3C",
            ),
            ("/a", "/b\r\nX: 1", "/a", None, "/b%0D%0AX:%201"),
            (
                "/a",
                "http://[::1]:80/?x=[1]",
                "/a",
                None,
                "http://[::1]:80/?x=[1]",
            ),
        ] {
            let redirect = Redirect {
                from: pattern(from),
                to: to.as_bytes().into(),
                status: Status::FOUND,
            };
            let rest = redirect.from.rest(path.as_bytes()).unwrap();
            let mut out = Vec::new();
            redirect.locate(rest, query.map(str::as_bytes), &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                location,
                "{from} {to} {path}"
            );
        }
    }
}
