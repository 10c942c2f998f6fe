//! Where a redirect leads to: checked when it is read, put together for each request.
//!
//! INVARIANT: a `Location` field made here is ASCII without space, quote, backslash or control
//! byte, whatever the request was. A local one begins with one `/` and no more, since a browser
//! takes `//` for another host.

use swiftd_plugin_rules::parse_path;

/// A place on this server, such as `/new`, or elsewhere, such as `https://other.example/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// All before the fragment, encoded.
    base: String,
    /// Of `base`: scheme and host; 0 on this server.
    origin_bytes: usize,
    /// With its `#`, or empty.
    fragment: String,
}

impl Location {
    /// From a rule.
    ///
    /// # Errors
    /// It is no place; the text says why.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii() && !is_url(byte)) {
            return Err(format!(
                "{text:?} has a byte that a URL has not; write it as '%' and two hexadecimal digits"
            ));
        }
        let mut encoded = Vec::with_capacity(text.len());
        encode(text.as_bytes(), is_url, &mut encoded);
        let encoded = String::from_utf8(encoded).expect("what is encoded is ASCII");
        let (base, fragment) = encoded.split_at(encoded.find('#').unwrap_or(encoded.len()));
        let path_end = base.find('?').unwrap_or(base.len());
        let origin_bytes = origin_bytes(&base[..path_end])?;
        if origin_bytes < path_end {
            parse_path(&base[origin_bytes..path_end])?;
        }
        Ok(Self {
            base: base.to_owned(),
            origin_bytes,
            fragment: fragment.to_owned(),
        })
    }

    /// The decoded path on this server; `None` if it is elsewhere.
    #[must_use]
    pub(crate) fn local_path(&self) -> Option<Vec<u8>> {
        let path = self.base.split('?').next().unwrap_or_default();
        (self.origin_bytes == 0).then(|| parse_path(path).expect("checked by parse"))
    }

    /// Whether there is room for the rest of a path at its end.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        self.fragment.is_empty() && !self.base.contains('?')
    }

    /// Whether it ends with a slash.
    #[must_use]
    pub(crate) fn ends_with_slash(&self) -> bool {
        self.base.ends_with('/')
    }

    /// The field's value for the rest of a decoded path and a query; the query is left out if this
    /// has one of its own.
    #[must_use]
    pub(crate) fn url(&self, rest: &[u8], query: Option<&[u8]>) -> Vec<u8> {
        let mut url = Vec::with_capacity(self.base.len() + rest.len() + 64);
        url.extend_from_slice(self.base.as_bytes());
        encode(rest, is_path, &mut url);
        if let Some(query) = query
            && !self.base.contains('?')
        {
            url.push(b'?');
            encode(query, is_url, &mut url);
        }
        url.extend_from_slice(self.fragment.as_bytes());
        url
    }

    /// Whether `url`, made by [`url`](Self::url), is what was asked for: redirecting there would
    /// never end. Whatever is on this server has been checked when the rules were read.
    #[must_use]
    pub(crate) fn is_itself(&self, url: &[u8], asked: &Asked<'_>) -> bool {
        let (origin, rest) = url.split_at(self.origin_bytes);
        let mut target = Vec::with_capacity(rest.len());
        encode(asked.path, is_path, &mut target);
        if let Some(query) = asked.query {
            target.push(b'?');
            encode(query, is_url, &mut target);
        }
        let same_origin = [asked.scheme, b"://", asked.authority]
            .concat()
            .eq_ignore_ascii_case(origin);
        let rest = rest.split(|&byte| byte == b'#').next().unwrap_or_default();
        same_origin && (rest == target || (rest.is_empty() && target == b"/"))
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a [u8],
    /// Host and port.
    pub(crate) authority: &'a [u8],
    /// Decoded.
    pub(crate) path: &'a [u8],
    /// As it came.
    pub(crate) query: Option<&'a [u8]>,
}

/// The length of `https://host:port`, 0 for a path.
fn origin_bytes(url: &str) -> Result<usize, String> {
    if url.starts_with('/') {
        return Ok(0);
    }
    let Some(rest) = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
    else {
        return Err(format!(
            "{url:?} is no place to go: it must begin with '/', 'http://' or 'https://'"
        ));
    };
    let host = rest.split('/').next().unwrap_or_default();
    let is_host =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(format!("{url:?} has no valid host after '://'"));
    }
    Ok(url.len() - rest.len() + host.len())
}

/// Appends bytes, those that are not kept as `%XX`.
fn encode(bytes: &[u8], is_kept: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if is_kept(byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend([b'%', DIGITS[high], DIGITS[low]]);
        }
    }
}

/// What a decoded path keeps (RFC 3986 §3.3).
fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// What something already encoded may have anywhere (RFC 3986 §2).
fn is_url(byte: u8) -> bool {
    is_path(byte) || b"%?#[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(location: &str, rest: &str, query: Option<&str>) -> String {
        let location = Location::parse(location).unwrap();
        let url = location.url(rest.as_bytes(), query.map(str::as_bytes));
        String::from_utf8(url).unwrap()
    }

    #[test]
    fn rest_and_query_are_appended_and_encoded() {
        for (location, rest, query, expected) in [
            ("/new", "", None, "/new"),
            ("/new", "", Some(""), "/new?"),
            ("/new", "", Some("a=1"), "/new?a=1"),
            ("/new?b=2", "", Some("a=1"), "/new?b=2"),
            ("/new#part", "", Some("a=1"), "/new?a=1#part"),
            (
                "/new/",
                "a b/ä%?#\\\r\n",
                None,
                "/new/a%20b/%C3%A4%25%3F%23%5C%0D%0A",
            ),
            ("/", "\\evil", None, "/%5Cevil"),
            (
                "https://h:81",
                "/x",
                Some("q=%20|\"\r\n\u{1}"),
                "https://h:81/x?q=%20%7C%22%0D%0A%01",
            ),
            ("https://[::1]/a%20ä", "", None, "https://[::1]/a%20%C3%A4"),
        ] {
            assert_eq!(url(location, rest, query), expected, "{location}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "must begin with"),
            ("new", "must begin with"),
            ("ftp://h/", "must begin with"),
            ("javascript:alert(1)", "must begin with"),
            ("//evil.example/", "write one '/'"),
            ("/a/../b", "resolved"),
            ("/a%2", "hexadecimal"),
            ("https://", "host"),
            ("https:///a", "host"),
            ("https://u@h/", "host"),
            ("/a\\b", "hexadecimal"),
            ("/\\evil.example", "hexadecimal"),
            ("/a\"b", "hexadecimal"),
            ("/a\u{1}b", "hexadecimal"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_was_asked_for_is_recognised() {
        let asked = Asked {
            scheme: b"http",
            authority: b"WWW.example",
            path: b"/a b",
            query: Some(b"q"),
        };
        for (location, rest, is_itself) in [
            ("http://www.example/", &b"a b"[..], true),
            ("http://www.example/", b"A b", false),
            ("https://www.example/", b"a b", false),
            ("http://www.example:80/", b"a b", false),
            ("http://www.example/a%20b#part", b"", true),
            ("http://www.example/a%20b?other", b"", false),
            ("/a%20b", b"", false),
        ] {
            let location = Location::parse(location).unwrap();
            let url = location.url(rest, asked.query);
            assert_eq!(location.is_itself(&url, &asked), is_itself, "{location:?}");
        }
        let top = Location::parse("http://www.example").unwrap();
        let asked = Asked {
            path: b"/",
            query: None,
            ..asked
        };
        assert!(top.is_itself(&top.url(b"", None), &asked));
    }
}
