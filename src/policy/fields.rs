//! Fields by path: what the operator wants changed in the responses to some paths.
//!
//! The rules are carried out on whatever response follows, before what plugins want changed, with
//! three exceptions, each for something that would be false otherwise:
//! fields that describe content stay off pages of ours, 304 and multipart responses; fields that
//! allow caching stay off errors, or a cache would keep a 503 as long as the file; and what a plugin
//! that has made the response says of it stays.

use super::Host;
use super::paths::Field;
use crate::http::{Body, Response, Status};

/// Fields that describe the content that goes with them.
const CONTENT_FIELDS: [&str; 5] = [
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-type",
];

/// Fields that say how long something may be kept. The first covers its targeted kin
/// (`CDN-Cache-Control`, RFC 9213).
const CACHE_FIELDS: [&str; 3] = ["cache-control", "expires", "surrogate-control"];

impl Host {
    /// Carries out the rules for a clean path on a response. Where `is_owned`, a plugin has made it.
    pub fn amend(&self, path: &[u8], is_owned: bool, response: &mut Response) {
        let is_owned = is_owned && !response.is_page();
        let wanted = || {
            let rules = self.fields.iter().filter(|rule| rule.paths.matches(path));
            rules.flat_map(|rule| &rule.fields)
        };
        for (index, field) in wanted().enumerate() {
            // The last rule for a name counts.
            let is_overruled = wanted()
                .skip(index + 1)
                .any(|later| later.name.eq_ignore_ascii_case(&field.name));
            if is_overruled
                || !is_fitting(field, response)
                || (is_owned && response.has_field(&field.name))
            {
                continue;
            }
            if field.value.is_empty() {
                response.remove_field(&field.name);
            } else {
                response.set_field(&field.name, &field.value);
            }
        }
    }
}

/// Whether a field says something true of a response.
fn is_fitting(field: &Field, response: &Response) -> bool {
    let is_one_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is_one_of(&CONTENT_FIELDS) {
        // RFC 9110 §15.4.5: a 304 has no such fields but Content-Location, which a rule that names
        // many paths cannot know.
        return !response.is_page()
            && response.status != Status::NOT_MODIFIED
            && !matches!(response.body, Body::Parts(..));
    }
    let is_about_caching = is_one_of(&CACHE_FIELDS) || ends_with(&field.name, b"-cache-control");
    !is_about_caching || !response.status.is_error() || forbids_keeping(&field.value)
}

/// Whether a value is there to keep caches from storing what it goes with.
fn forbids_keeping(value: &[u8]) -> bool {
    let mut directives = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    value.is_empty() || directives.any(|directive| directive.eq_ignore_ascii_case(b"no-store"))
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    let start = name.len().checked_sub(end.len());
    start.is_some_and(|start| name[start..].eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::super::paths::{FieldRule, PathPattern};
    use super::*;

    fn host(rules: &[(&str, &[(&str, &str)])]) -> Host {
        let fields = rules.iter().map(|(paths, fields)| FieldRule {
            paths: PathPattern::parse(paths).unwrap(),
            fields: fields
                .iter()
                .map(|(name, value)| Field {
                    name: name.as_bytes().into(),
                    value: value.as_bytes().into(),
                })
                .collect(),
        });
        Host {
            fields: fields.collect(),
            ..Host::default()
        }
    }

    fn amended(host: &Host, path: &str, is_owned: bool, mut response: Response) -> String {
        host.amend(path.as_bytes(), is_owned, &mut response);
        String::from_utf8(response.fields().to_vec()).unwrap()
    }

    fn own() -> Response {
        let mut response = Response::default();
        response.push_field("X-A", b"own");
        response
    }

    #[test]
    fn the_last_rule_for_a_name_counts() {
        let host = host(&[
            ("/*", &[("X-A", "1"), ("X-B", "1")]),
            ("/b/*", &[("x-a", "2"), ("X-C", "")]),
            ("*.css", &[("X-C", "3"), ("X-B", "")]),
        ]);
        for (path, fields) in [
            ("/", "X-A: 1\r\nX-B: 1\r\n"),
            ("/b/", "X-B: 1\r\nx-a: 2\r\n"),
            ("/b/x.css", "x-a: 2\r\nX-C: 3\r\n"),
            ("*", "X-A: own\r\n"),
        ] {
            assert_eq!(amended(&host, path, false, own()), fields, "{path}");
        }
    }

    #[test]
    fn what_a_plugin_says_of_its_response_stays() {
        let host = host(&[
            ("/*", &[("x-a", "1"), ("X-B", "1")]),
            ("/a", &[("X-B", "2")]),
        ]);
        assert_eq!(amended(&host, "/", true, own()), "X-A: own\r\nX-B: 1\r\n");
        assert_eq!(amended(&host, "/a", true, own()), "X-A: own\r\nX-B: 2\r\n");
        let mut failed = own();
        failed.set_error(Status::BAD_GATEWAY);
        assert!(amended(&host, "/a", true, failed).ends_with("x-a: 1\r\nX-B: 2\r\n"));
    }

    #[test]
    fn errors_are_not_kept_by_caches() {
        let of = |value| {
            host(&[(
                "/*",
                &[("Cache-Control", value), ("CDN-Cache-Control", value)],
            )])
        };
        let both = "Cache-Control: V\r\nCDN-Cache-Control: V\r\n";
        for (value, status, is_sent) in [
            ("max-age=60, immutable", Status::OK, true),
            ("max-age=60, immutable", Status::NOT_MODIFIED, true),
            ("max-age=60, immutable", Status::FOUND, true),
            ("max-age=60, immutable", Status::NOT_FOUND, false),
            ("max-age=60, immutable", Status::SERVICE_UNAVAILABLE, false),
            ("private, No-Store", Status::NOT_FOUND, true),
        ] {
            let mut response = Response::default();
            response.status = status;
            let wanted = if is_sent {
                both.replace('V', value)
            } else {
                String::new()
            };
            assert_eq!(amended(&of(value), "/", false, response), wanted, "{value}");
        }
    }

    #[test]
    fn pages_and_304_are_not_described_as_the_file_is() {
        let host = host(&[(
            "/*",
            &[("Content-Type", "text/x"), ("Content-Security-Policy", "x")],
        )]);
        let policy = "Content-Security-Policy: x\r\n";
        let mut response = Response::default();
        response.push_field("Content-Type", b"text/plain");
        let described = format!("Content-Type: text/x\r\n{policy}");
        assert_eq!(amended(&host, "/", false, response), described);
        let mut response = Response::default();
        response.status = Status::NOT_MODIFIED;
        assert_eq!(amended(&host, "/", false, response), policy);
        let mut response = Response::default();
        response.set_error(Status::NOT_FOUND);
        let fields = amended(&host, "/", false, response);
        assert!(fields.starts_with("Content-Type: text/html"), "{fields}");
        assert!(fields.ends_with(policy), "{fields}");
    }
}
