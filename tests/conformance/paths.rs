//! What an operator has decided about paths: where they lead instead, and what fields they get.

use super::hooks::{HEAD_POINTS, Script, and_end, said, script};
use crate::support::reply::{
    A, LARGE, Reply, STYLE, bad, large, moved, not_allowed, not_found, page,
};
use crate::support::{assert_sends, check_under, get, request, row, rows};
use std::rc::Rc;
use std::sync::Arc;
use swiftd::conn::{Exchange, Flow, Limits, NoHooks, Point};
use swiftd::http::{Body, Status};
use swiftd::policy::{Field, FieldRule, Host, Hosts, PathPattern, Policy, Redirect};
use swiftd::testing::ROOT;

fn policy(redirects: &[(&str, &str, Status)], fields: &[(&str, &str, &str)]) -> Policy {
    let paths = |text| PathPattern::parse(text).unwrap();
    let redirects = redirects.iter().map(|&(from, to, status)| Redirect {
        from: paths(from),
        to: to.as_bytes().into(),
        status,
    });
    let fields = fields.iter().map(|&(from, name, value)| FieldRule {
        paths: paths(from),
        fields: vec![Field {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        }],
    });
    let host = Host {
        root: ROOT.into(),
        redirects: redirects.collect(),
        fields: fields.collect(),
        ..Host::default()
    };
    Policy {
        hosts: Hosts::new(Arc::new(host), []),
        ..Policy::default()
    }
}

fn redirects() -> Policy {
    let found = Status::FOUND;
    let rules = [
        ("/old/*", "/new/*", Status::MOVED_PERMANENTLY),
        ("/exact", "/a.txt?from=exact", found),
        ("/a.txt/*", "/loop/*", found),
        (
            "/out*",
            "https://other.example*",
            Status::PERMANENT_REDIRECT,
        ),
        ("/root*", "/*", found),
        ("*.php", "/a.txt", Status::SEE_OTHER),
        ("/dir/*", "/never", found),
    ];
    policy(&rules, &[])
}

fn to(status: &'static str, location: &str) -> Reply {
    page(status).field(&format!("Location: {location}"))
}

fn redirect_rows() -> Vec<crate::support::Row> {
    let rule = "RFC 9110 §15.4";
    let at = |fact, target, reply| row(fact, rule, get(target, &[]), reply);
    let found = |location| to("302 Found", location);
    vec![
        at("the rest is kept", "/old/b/c", moved("/new/b/c")),
        at("nothing is a rest", "/old/", moved("/new/")),
        at("the query is kept", "/old/b?x=1&y", moved("/new/b?x=1&y")),
        at(
            "behind another one",
            "/exact?x",
            found("/a.txt?from=exact&x"),
        ),
        at("a prefix is no whole", "/old", not_found()),
        at(
            "the path is clean before",
            "/x/../%6Fld/./b",
            moved("/new/b"),
        ),
        at(
            "the rest is encoded",
            "/old/%22%20%C3%A9%25",
            moved("/new/%22%20%C3%A9%25"),
        ),
        at("an end", "/x/y.php?z", to("303 See Other", "/a.txt?z")),
        at(
            "another host",
            "/out/b?c",
            to("308 Permanent Redirect", "https://other.example/b?c"),
        ),
        at(
            "never a host of the client's",
            "/out.evil.example/",
            to(
                "308 Permanent Redirect",
                "https://other.example/.evil.example/",
            ),
        ),
        at(
            "no host from slashes",
            "/root//evil.example/",
            found("/evil.example/"),
        ),
        at(
            "nor from encoded ones",
            "/root%5C%5Cevil.example/",
            found("/%5C%5Cevil.example/"),
        ),
        at("no line from anything", "/old/%0D%0AX:1", bad()),
        at("before a directory's slash", "/dir", moved("/dir/")),
        row(
            "HEAD",
            rule,
            request("HEAD", "/old/b", &[]),
            moved("/new/b").for_head(),
        ),
        row(
            "any method",
            rule,
            request("PUT", "/old/b", &[]),
            moved("/new/b"),
        ),
        row(
            "a content is not read",
            rule,
            request("POST", "/old/b", &["Content-Length: 3"]) + "abc",
            moved("/new/b").linger(),
        ),
        row(
            "no path",
            rule,
            request("OPTIONS", "*", &[]),
            crate::support::reply::options(),
        ),
        rows(
            "the connection goes on",
            rule,
            get("/old/b", &[]) + &get("/a.txt", &[]),
            vec![moved("/new/b"), A.ok()],
        ),
    ]
}

#[test]
fn a_path_leads_elsewhere() {
    check_under(&redirect_rows(), &redirects(), &Limits::default(), || {
        NoHooks
    });
}

#[test]
fn a_path_leads_elsewhere_whoever_listens() {
    let hooks = || Script {
        log: Rc::default(),
        answer: |_, _: &mut Exchange| Flow::GoOn,
    };
    check_under(&redirect_rows(), &redirects(), &Limits::default(), hooks);
}

#[test]
fn what_a_plugin_makes_of_the_path_leads_elsewhere() {
    // At the raw target, at the clean path, and by starting over from any point.
    for at in HEAD_POINTS {
        let mut peer = script(move |point, exchange: &mut Exchange| {
            if point != at || exchange.comebacks > 0 {
                return Flow::GoOn;
            }
            exchange.set_path(b"/old/x".to_vec());
            if at > Point::UrlClean {
                Flow::Comeback
            } else {
                Flow::GoOn
            }
        });
        peer.policy = redirects();
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[moved("/new/x")]);
    }
    // And a path that a plugin takes away leads nowhere.
    let mut peer = script(|point, exchange: &mut Exchange| {
        if point == Point::UrlClean {
            exchange.set_path(b"/a.txt".to_vec());
        }
        Flow::GoOn
    });
    peer.policy = redirects();
    peer.receive(get("/old/x", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn a_redirect_comes_before_docroot_and_claims() {
    let mut peer = script(|point, _: &mut Exchange| match point {
        Point::SubrequestStart => Flow::Finished,
        _ => Flow::GoOn,
    });
    peer.policy = redirects();
    peer.receive(get("/old/x", &[]).as_bytes());
    assert_sends(&mut peer, &[moved("/new/x")]);
    let (points, resets) = peer.hooks.take();
    assert_eq!(points, and_end(&[Point::UrlRaw, Point::UrlClean]));
    assert_eq!(resets.len(), 1);
}

#[test]
fn a_plugin_that_answers_earlier_is_not_redirected() {
    for at in [Point::UrlRaw, Point::UrlClean] {
        let mut peer = script(move |point, exchange: &mut Exchange| {
            if point != at {
                return Flow::GoOn;
            }
            super::hooks::hello(exchange);
            Flow::Finished
        });
        peer.policy = redirects();
        peer.receive(get("/old/x", &[]).as_bytes());
        assert_sends(&mut peer, &[said()]);
    }
}

// ---- fields -----------------------------------------------------------------------------------

fn fields() -> Policy {
    let rules = [
        ("/*", "X-Frame-Options", "DENY"),
        ("*.css", "Cache-Control", "max-age=60"),
        ("/a.txt", "Cache-Control", "max-age=31536000, immutable"),
        ("/large.bin", "ETag", ""),
        ("/none/*", "x-frame-options", ""),
        ("/a.txt", "Content-Language", "en"),
    ];
    policy(&[("/old", "/a.txt", Status::FOUND)], &rules)
}

const FRAME: &str = "X-Frame-Options: DENY";
const LONG: &str = "Cache-Control: max-age=31536000, immutable";

#[test]
fn a_path_gets_fields_whatever_follows() {
    let rule = "RFC 9111 §5.2";
    let framed = |reply: Reply| reply.field(FRAME);
    let long = |reply: Reply| framed(reply).field(LONG);
    let english = |reply: Reply| long(reply).field("Content-Language: en");
    let table = [
        row("a file", rule, get("/a.txt", &[]), english(A.ok())),
        row(
            "its head",
            "RFC 9110 §9.3.2",
            request("HEAD", "/a.txt", &[]),
            english(A.ok()).for_head(),
        ),
        row("a query", rule, get("/a.txt?x", &[]), english(A.ok())),
        row(
            "its clean path",
            rule,
            get("/x/../%61.txt", &[]),
            english(A.ok()),
        ),
        row(
            "304 with what a cache needs",
            "RFC 9110 §15.4.5",
            get("/a.txt", &["If-None-Match: *"]),
            long(A.unchanged()),
        ),
        row(
            "a part",
            "RFC 9110 §15.3.7",
            get("/a.txt", &["Range: bytes=0-1"]),
            english(A.part(0, 1)),
        ),
        row(
            "several parts",
            "RFC 9110 §14.6",
            get("/a.txt", &["Range: bytes=0-0,9-9"]),
            long(A.parts(&[(0, 0), (9, 9)])),
        ),
        row(
            "another file",
            rule,
            get("/style.css", &[]),
            framed(STYLE.ok()).field("Cache-Control: max-age=60"),
        ),
        row(
            "a field is removed",
            rule,
            get("/large.bin", &[]),
            framed(LARGE.ok_with(&large())).without("ETag"),
        ),
        row(
            "the last rule counts",
            rule,
            get("/none/x", &[]),
            not_found(),
        ),
        row(
            "no error is kept by a cache",
            "RFC 9111 §3",
            get("/no.css", &[]),
            framed(not_found()),
        ),
        row(
            "405",
            "RFC 9110 §15.5.6",
            request("PUT", "/a.txt", &[]),
            framed(not_allowed()),
        ),
        row(
            "a redirect",
            "RFC 9110 §15.4",
            get("/old", &[]),
            framed(to("302 Found", "/a.txt")),
        ),
        row(
            "no path",
            rule,
            request("OPTIONS", "*", &[]),
            crate::support::reply::options(),
        ),
        row("a path that is none", rule, get("/%00", &[]), bad()),
    ];
    check_under(&table, &fields(), &Limits::default(), || NoHooks);
}

#[test]
fn what_plugins_want_wins() {
    let hooks = || Script {
        log: Rc::default(),
        answer: |point, exchange: &mut Exchange| {
            if point == Point::UrlRaw {
                exchange.amendments.set(b"x-frame-options", b"SAMEORIGIN");
                exchange.amendments.remove(b"Cache-Control");
                exchange.amendments.add(b"Content-Language", b"de");
            }
            Flow::GoOn
        },
    };
    let reply = A
        .ok()
        .field("Content-Language: en")
        .field("x-frame-options: SAMEORIGIN")
        .field("Content-Language: de");
    let table = [row("a file", "contract §4", get("/a.txt", &[]), reply)];
    check_under(&table, &fields(), &Limits::default(), hooks);
}

#[test]
fn what_an_owner_says_of_its_response_stays() {
    for is_stream in [false, true] {
        let hooks = || Script {
            log: Rc::default(),
            answer: move |point, exchange: &mut Exchange| match point {
                Point::SubrequestStart => Flow::Finished,
                Point::HandleSubrequest => {
                    exchange.response.set_field(b"cache-control", b"no-store");
                    if is_stream {
                        exchange.stream.start();
                        assert_eq!(exchange.stream.write(b"hello"), Some(5));
                        exchange.stream.end();
                    } else {
                        exchange.response.body = Body::Bytes(b"hello".to_vec());
                    }
                    Flow::Finished
                }
                _ => Flow::GoOn,
            },
        };
        let reply = said()
            .field("cache-control: no-store")
            .field(FRAME)
            .field("Content-Language: en");
        let table = [row("an owner", "contract §4", get("/a.txt", &[]), reply)];
        check_under(&table, &fields(), &Limits::default(), hooks);
    }
}

#[test]
fn the_path_is_the_one_that_is_served() {
    let hooks = || Script {
        log: Rc::default(),
        answer: |point, exchange: &mut Exchange| {
            if point == Point::SubrequestStart && exchange.comebacks == 0 {
                exchange.set_path(b"/style.css".to_vec());
                return Flow::Comeback;
            }
            Flow::GoOn
        },
    };
    let reply = STYLE.ok().field(FRAME).field("Cache-Control: max-age=60");
    let table = [row("rewritten", "contract §3", get("/a.txt", &[]), reply)];
    check_under(&table, &fields(), &Limits::default(), hooks);
}

#[test]
fn a_failure_of_a_plugin_gets_the_fields_of_its_path() {
    let hooks = || Script {
        log: Rc::default(),
        answer: |point, _: &mut Exchange| match point {
            Point::Physical => Flow::Error,
            _ => Flow::GoOn,
        },
    };
    let reply = page("500 Internal Server Error").field(FRAME).linger();
    let table = [row("500", "contract §5", get("/a.txt", &[]), reply)];
    check_under(&table, &fields(), &Limits::default(), hooks);
}
