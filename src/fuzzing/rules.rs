//! What operators have decided about hosts and paths while inputs run: two configurations that
//! differ in all that a host has.

use crate::http::Status;
use crate::policy::{
    ErrorPage, Field, FieldRule, Host, HostName, Hosts, PathPattern, Policy, Redirect,
};
use std::sync::Arc;

/// The one with two hosts, and the one with one host that has everything.
pub(super) fn policies() -> [Policy; 2] {
    let plain = Arc::new(Host::default());
    let name = HostName::parse("h").expect("a name");
    let policy = |hosts| Policy {
        hosts,
        ..Policy::default()
    };
    [
        policy(Hosts::new(Arc::new(busy()), [(name, plain)])),
        policy(Hosts::new(Arc::new(busy()), [])),
    ]
}

fn busy() -> Host {
    let paths = |text| PathPattern::parse(text).expect("a pattern");
    let page = |status| ErrorPage {
        status,
        content_type: "text/plain".into(),
        content: b"a page of the host"[..].into(),
    };
    let field = |name: &[u8], value: &[u8]| Field {
        name: name.into(),
        value: value.into(),
    };
    Host {
        redirects: vec![Redirect {
            from: paths("/miss*"),
            to: b"https://h*"[..].into(),
            status: Status::FOUND,
        }],
        fields: vec![
            FieldRule {
                paths: paths("/*"),
                fields: vec![
                    field(b"Cache-Control", b"max-age=1"),
                    field(b"X-Content-Type-Options", b""),
                ],
            },
            FieldRule {
                paths: paths("*.txt"),
                fields: vec![field(b"Content-Type", b"text/x-fuzzed")],
            },
        ],
        error_pages: [
            Status::BAD_REQUEST,
            Status::REQUEST_TIMEOUT,
            Status::METHOD_NOT_ALLOWED,
            Status::SERVICE_UNAVAILABLE,
            Status::NOT_FOUND,
        ]
        .map(page)
        .into(),
        ..Host::default()
    }
}
