//! Virtual hosts: whom a request is for (RFC 9112 §3.2 and §3.3), and what each host has of its own.

use super::hooks::{HEAD_POINTS, Script, said};
use crate::support::reply::{A, ONE, Reply, TWO, bad, not_found, page, refused};
use crate::support::{assert_sends, check_under, readable, row, rows, site};
use std::rc::Rc;
use std::sync::Arc;
use swiftd::conn::{Exchange, Flow, Limits, NoHooks, Point};
use swiftd::http::{Body, Status};
use swiftd::policy::{ErrorPage, Host, HostName, Hosts, Policy};
use swiftd::testing::{Peer, root_of};

/// The page of a host for an error.
fn error_page(status: Status, content: &str) -> ErrorPage {
    ErrorPage {
        status,
        content_type: "text/plain; charset=utf-8".into(),
        content: content.as_bytes().into(),
    }
}

/// A host with the files of a site, and with pages of its own.
fn host(site: u32) -> Host {
    let statuses = [
        Status::BAD_REQUEST,
        Status::FORBIDDEN,
        Status::NOT_FOUND,
        Status::METHOD_NOT_ALLOWED,
        Status::REQUEST_TIMEOUT,
        Status::CONTENT_TOO_LARGE,
        Status::RANGE_NOT_SATISFIABLE,
        Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Status::SERVICE_UNAVAILABLE,
    ];
    let pages = statuses.map(|status| error_page(status, &own_text(site, status.code())));
    Host {
        site,
        root: root_of(site).into(),
        error_pages: pages.into(),
        ..Host::default()
    }
}

fn own_text(site: u32, status: u16) -> String {
    format!("host {site} says {status}\n")
}

/// That page as it is sent.
fn own_page(site: u32, status: &'static str) -> Reply {
    let code = status[..3].parse().unwrap();
    let reply = Reply::new(status, "", own_text(site, code).as_bytes());
    let reply = reply.field("X-Content-Type-Options: nosniff");
    reply.field("Content-Type: text/plain; charset=utf-8")
}

/// That page with a field that belongs to the status.
fn own_page_with(site: u32, status: &'static str, line: &str) -> Reply {
    let reply = own_page(site, status).without("Content-Type");
    reply
        .field(line)
        .field("Content-Type: text/plain; charset=utf-8")
}

fn policy() -> Policy {
    let [default, one, two] = [0, 1, 2].map(|site| Arc::new(host(site)));
    let name = |text| HostName::parse(text).unwrap();
    let named = [
        (name("one.example"), Arc::clone(&one)),
        (name("[::1]"), one),
        (name("*.two.example"), two),
    ];
    Policy {
        hosts: Hosts::new(default, named),
        ..Policy::default()
    }
}

fn get(host: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn a_request_is_for_the_host_that_it_names() {
    let table = [
        row("its name", "RFC 9112 §3.2", get("one.example"), ONE.ok()),
        row("no case", "RFC 3986 §3.2.2", get("ONE.Example"), ONE.ok()),
        row(
            "any port",
            "RFC 9110 §7.2",
            get("one.example:8080"),
            ONE.ok(),
        ),
        row(
            "the root's dot",
            "RFC 1034 §3.1",
            get("one.example.:80"),
            ONE.ok(),
        ),
        row(
            "an address",
            "RFC 3986 §3.2.2",
            get("[0:0::1]:80"),
            ONE.ok(),
        ),
        row(
            "an ending",
            "RFC 9112 §3.2",
            get("a.b.two.example"),
            TWO.ok(),
        ),
        row("not of itself", "RFC 9112 §3.2", get("two.example"), A.ok()),
        row(
            "a foreign name",
            "RFC 9112 §3.2",
            get("three.example"),
            A.ok(),
        ),
        row(
            "a longer name",
            "RFC 9112 §3.2",
            get("one.example.org"),
            A.ok(),
        ),
        row(
            "an empty label",
            "RFC 9112 §3.2",
            get(".two.example"),
            A.ok(),
        ),
        row(
            "an encoded name",
            "RFC 9112 §3.2",
            get("%6Fne.example"),
            A.ok(),
        ),
        row(
            "none",
            "RFC 9112 §3.2",
            "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            A.ok().keep_alive(),
        ),
        row(
            "the target's authority before Host",
            "RFC 9112 §3.2.2",
            "GET http://x.two.example:80/a.txt HTTP/1.1\r\nHost: one.example\r\n\r\n",
            TWO.ok(),
        ),
        rows(
            "each request anew",
            "RFC 9112 §9.3",
            [get("one.example"), get("h"), get("x.two.example")].concat(),
            vec![ONE.ok(), A.ok(), TWO.ok()],
        ),
    ];
    check_under(&table, &policy(), &Limits::default(), || NoHooks);
}

#[test]
fn errors_have_the_page_of_the_host() {
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\n{fields}\r\n");
    let not_found_1 = own_page(1, "404 Not Found");
    let table = [
        row(
            "404",
            "RFC 9110 §15.5.5",
            head("GET /no", "Host: one.example\r\n"),
            not_found_1.clone(),
        ),
        row(
            "its head",
            "RFC 9110 §9.3.2",
            head("HEAD /no", "Host: one.example\r\n"),
            not_found_1.clone().for_head(),
        ),
        rows(
            "pipelined with others",
            "RFC 9112 §9.3.2",
            [
                head("GET /no", "Host: one.example\r\n"),
                get("one.example"),
                head("GET /no", "Host: h\r\nConnection: close\r\n"),
            ]
            .concat(),
            vec![not_found_1, ONE.ok(), own_page(0, "404 Not Found").close()],
        ),
        row(
            "405, with its field",
            "RFC 9110 §15.5.6",
            head("PUT /a.txt", "Host: x.two.example\r\n"),
            own_page_with(2, "405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS"),
        ),
        row(
            "416, with its field",
            "RFC 9110 §15.5.17",
            head("GET /a.txt", "Host: one.example\r\nRange: bytes=99-\r\n"),
            own_page_with(1, "416 Range Not Satisfiable", "Content-Range: bytes */4"),
        ),
        row(
            "a target that cannot be decoded",
            "RFC 9110 §15.5.1",
            head("GET /%00", "Host: one.example\r\n"),
            own_page(1, "400 Bad Request").linger(),
        ),
        row(
            "a head that names no host",
            "RFC 9112 §3.2",
            head("GET /a.txt", ""),
            own_page(0, "400 Bad Request").linger(),
        ),
        row(
            "a head that is refused behind its host",
            "RFC 9112 §6.3",
            head(
                "POST /a.txt",
                "Host: one.example\r\nContent-Length: 1, 1\r\n",
            ),
            own_page(1, "400 Bad Request").linger(),
        ),
        row(
            "a head that is too large",
            "RFC 6585 §5",
            head(
                "GET /a.txt",
                &format!("Host: one.example\r\nX: {}\r\n", "x".repeat(600)),
            ),
            own_page(0, "431 Request Header Fields Too Large").linger(),
        ),
        row(
            "no page for the status",
            "RFC 9110 §15.6.2",
            head("BREW /a.txt", "Host: one.example\r\n"),
            page("501 Not Implemented"),
        ),
        row(
            "a redirect to a directory is no error",
            "RFC 9110 §15.4.2",
            head("GET /dir", "Host: x.two.example\r\n"),
            page("301 Moved Permanently").field("Location: /dir/"),
        ),
    ];
    let mut limits = Limits::default();
    limits.head.head_bytes_max = 512;
    check_under(&table, &policy(), &limits, || NoHooks);
}

#[test]
fn a_content_that_is_too_large_has_the_page_of_the_host() {
    let mut limits = Limits::default();
    limits.body.body_bytes_max = 3;
    let request = "POST /x HTTP/1.1\r\nHost: one.example\r\nContent-Length: 4\r\n\r\n";
    let claims = || Script {
        log: Rc::default(),
        answer: |point, _: &mut Exchange| match point {
            Point::SubrequestStart => Flow::Finished,
            _ => Flow::GoOn,
        },
    };
    let reply = own_page(1, "413 Content Too Large").linger();
    let table = [row("413", "RFC 9110 §15.5.14", request, reply)];
    check_under(&table, &policy(), &limits, claims);
}

#[test]
fn a_head_that_is_too_slow_has_the_page_of_the_default_host() {
    let mut peer = Peer::new(site(), NoHooks, Limits::default());
    peer.policy = policy();
    peer.receive(b"GET /a.txt HTTP/1.1\r\nHost: one.exam");
    peer.pass(peer.connection.deadline());
    assert_sends(&mut peer, &[own_page(0, "408 Request Timeout").linger()]);
}

#[test]
fn what_a_plugin_makes_is_never_replaced() {
    for at in HEAD_POINTS.into_iter().chain([Point::HandleSubrequest]) {
        let answer = move |body: Option<&'static [u8]>| {
            move |point, exchange: &mut Exchange| match point {
                _ if point == at => {
                    exchange.response.set_status(Status::NOT_FOUND);
                    if let Some(body) = body {
                        exchange.response.body = Body::Bytes(body.to_vec());
                    }
                    Flow::Finished
                }
                Point::SubrequestStart => Flow::Finished,
                _ => Flow::GoOn,
            }
        };
        let check = |body, reply| {
            let table = [row(
                "a plugin's 404",
                "contract §5",
                get("one.example"),
                reply,
            )];
            check_under(&table, &policy(), &Limits::default(), || Script {
                log: Rc::default(),
                answer: answer(body),
            });
        };
        check(Some(b"made"), Reply::new("404 Not Found", "", b"made"));
        check(Some(b""), Reply::new("404 Not Found", "", b""));
        check(None, own_page(1, "404 Not Found"));
    }
}

#[test]
fn what_a_plugin_chooses_is_relative_to_the_host() {
    // A path beneath the host's own root is one of the host, one beneath another's is not.
    for (physical, reply) in [
        ("/site1/a.txt", ONE.ok()),
        ("/site2/a.txt", own_page(1, "403 Forbidden")),
        ("/site/a.txt", own_page(1, "403 Forbidden")),
    ] {
        let hooks = || Script {
            log: Rc::default(),
            answer: move |point, exchange: &mut Exchange| {
                if point == Point::Physical {
                    exchange.physical = Some(physical.into());
                }
                Flow::GoOn
            },
        };
        let table = [row(physical, "contract §3", get("one.example"), reply)];
        check_under(&table, &policy(), &Limits::default(), hooks);
    }
    for (docroot, host, reply) in [
        ("/site1/", "one.example", ONE.ok()),
        ("/site2", "one.example", TWO.ok()),
        ("/site2", "h", TWO.ok()),
    ] {
        let hooks = || Script {
            log: Rc::default(),
            answer: move |point, exchange: &mut Exchange| {
                if point == Point::Docroot {
                    exchange.docroot = Some(docroot.into());
                }
                Flow::GoOn
            },
        };
        let table = [row(docroot, "contract §3", get(host), reply)];
        check_under(&table, &policy(), &Limits::default(), hooks);
    }
}

/// Hooks that start over a few times, with another target each time.
fn comes_back(point: Point, exchange: &mut Exchange) -> Flow {
    if point == Point::UrlRaw && exchange.comebacks < 3 {
        exchange.set_target(b"http://x.two.example/a.txt").unwrap();
        return Flow::Comeback;
    }
    Flow::GoOn
}

#[test]
fn an_exchange_keeps_the_host_that_it_began_with() {
    let hooks = || Script {
        log: Rc::default(),
        answer: comes_back,
    };
    let table = [row("", "contract §3", get("one.example"), ONE.ok())];
    check_under(&table, &policy(), &Limits::default(), hooks);
}

#[test]
fn a_suspended_exchange_survives_the_end_of_its_configuration() {
    let waits = |at| {
        let mut is_first = true;
        move |point, exchange: &mut Exchange| match point {
            Point::SubrequestStart if at == Point::HandleSubrequest => Flow::Finished,
            _ if point == at && std::mem::take(&mut is_first) => Flow::Wait,
            Point::HandleSubrequest => {
                super::hooks::hello(exchange);
                Flow::Finished
            }
            _ => Flow::GoOn,
        }
    };
    for at in HEAD_POINTS.into_iter().chain([Point::HandleSubrequest]) {
        let hooks = Script {
            log: Rc::default(),
            answer: waits(at),
        };
        let mut peer = Peer::new(site(), hooks, Limits::default());
        peer.policy = policy();
        let one = Arc::downgrade(peer.policy.hosts.find(b"one.example"));
        peer.receive(get("one.example").as_bytes());
        assert_eq!(peer.send_all(), b"");
        peer.policy = swiftd::testing::policy();
        assert!(one.upgrade().is_some(), "the exchange has it");
        peer.with(|connection, cx| connection.handle_resume(cx));
        let own = if at == Point::HandleSubrequest {
            said()
        } else {
            ONE.ok()
        };
        assert_sends(&mut peer, &[own]);
        assert!(one.upgrade().is_none(), "nobody has it");
        // The next one is of the new configuration.
        peer.receive(b"GET /no HTTP/1.1\r\nHost: one.example\r\n\r\n");
        if at != Point::HandleSubrequest {
            assert_sends(&mut peer, &[not_found()]);
        }
    }
}

#[test]
fn without_pages_of_its_own_a_host_has_ours() {
    let table = [
        row(
            "404",
            "RFC 9110 §15.5.5",
            get("h").replace("/a.txt", "/no"),
            not_found(),
        ),
        row("400", "RFC 9112 §3.2", "GET / HTTP/1.1\r\n\r\n", bad()),
        row(
            "505",
            "RFC 9110 §15.6.6",
            "GET / HTTP/2.0\r\n\r\n",
            refused("505 HTTP Version Not Supported"),
        ),
    ];
    let policy = swiftd::testing::policy();
    check_under(&table, &policy, &Limits::default(), || NoHooks);
}

#[test]
fn a_page_is_shared_and_not_copied() {
    let long = Host {
        error_pages: vec![error_page(Status::NOT_FOUND, &"x".repeat(64 * 1024))],
        ..Host::default()
    };
    let mut peer = Peer::new(site(), NoHooks, Limits::default());
    peer.policy.hosts = Hosts::new(Arc::new(long), []);
    peer.receive(b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(peer.connection.held_bytes() < 1_000, "it was copied");
    // A configuration that ends meanwhile does not take it away.
    peer.policy = swiftd::testing::policy();
    let sent = peer.send_all();
    assert!(sent.ends_with(&[b'x'; 64 * 1024]), "{}", readable(&sent));
}
