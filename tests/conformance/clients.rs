//! Whose connection it is (the PROXY protocol, `X-Forwarded-For`, RFC 7239), and how often he may
//! ask (RFC 6585 §4).

use crate::support::reply::{A, Reply, bad, page};
use crate::support::{assert_sends, get, peer, request};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use swiftd::conn::{Caller, Flow, Hooks, Point};
use swiftd::conn::{Connection, End, Exchange, Gate, Id, NoHooks, Origin, State, Why};
use swiftd::http::Body;
use swiftd::policy::proxy_header::Told;
use swiftd::policy::{ForwardedField, Trusted};
use swiftd::testing::Peer;

/// A connection with these ends, until a proxy tells others.
#[derive(Clone, Default)]
struct Ends(Rc<Cell<(Option<SocketAddr>, Option<SocketAddr>)>>);

impl Ends {
    fn new(peer: &str, local: &str) -> Self {
        let ends = (peer.parse().ok(), local.parse().ok());
        Self(Rc::new(Cell::new(ends)))
    }
}

impl Origin for Ends {
    fn peer(&self) -> Option<SocketAddr> {
        self.0.get().0
    }

    fn local(&self) -> Option<SocketAddr> {
        self.0.get().1
    }

    fn believe(&self, told: Told) {
        self.0.set((told.source, told.destination));
    }
}

/// Answers every request with the client's address.
struct Who;

impl Hooks for Who {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, caller: Caller<'_>) -> Flow {
        if point != Point::UrlRaw {
            return Flow::GoOn;
        }
        let client = exchange.client_address(caller.origin);
        let client = client.map_or("-".to_owned(), |client| client.to_string());
        exchange.response.body = Body::Bytes(client.into_bytes());
        Flow::Finished
    }

    fn handle_reset(&mut self, _: &mut Exchange, _: Why, _: Caller<'_>) {}
}

fn trusted(proxies: &[&str], field: ForwardedField) -> Trusted {
    Trusted {
        proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
        field,
    }
}

/// A connection from an address, 10/8 and Unix sockets being trusted.
fn from<H: Hooks>(address: &str, hooks: H) -> Peer<H> {
    let mut peer = Peer::new(crate::support::site(), hooks, Default::default());
    let local = if address.is_empty() {
        ""
    } else {
        "10.0.0.9:80"
    };
    peer.origin = Box::new(Ends::new(address, local));
    peer.policy.trusted = trusted(&["10.0.0.0/8", "unix"], ForwardedField::XForwardedFor);
    peer
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.rsplit("\r\n").next().unwrap().to_owned()
}

#[test]
fn a_trusted_proxy_tells_the_client_and_others_tell_nothing() {
    for (address, fields, wanted) in [
        (
            "10.0.0.1:5",
            &["X-Forwarded-For: 192.0.2.1, 10.0.0.2"][..],
            "192.0.2.1:0",
        ),
        ("10.0.0.1:5", &["Forwarded: for=192.0.2.1"], "10.0.0.1:5"),
        ("10.0.0.1:5", &["X-Forwarded-For: unknown"], "10.0.0.1:5"),
        ("10.0.0.1:5", &[], "10.0.0.1:5"),
        (
            "192.0.2.7:5",
            &["X-Forwarded-For: 192.0.2.1"],
            "192.0.2.7:5",
        ),
        ("", &["X-Forwarded-For: 192.0.2.1:99"], "192.0.2.1:99"),
        ("", &[], "-"),
    ] {
        let mut peer = from(address, Who);
        // The next request of the same connection is somebody else's.
        for _ in 0..2 {
            peer.receive(get("/", fields).as_bytes());
            assert_eq!(last_line(&peer.send_all()), wanted, "{address} {fields:?}");
        }
        peer.receive(get("/", &[]).as_bytes());
        let own = if address.is_empty() { "-" } else { address };
        assert_eq!(last_line(&peer.send_all()), own);
    }
}

#[test]
fn whoever_has_broken_its_connection_does_not_pass_for_a_unix_socket() {
    let mut peer = from("10.0.0.1:5", Who);
    // What the kernel tells of a connection that was reset.
    peer.origin = Box::new(Ends::new("", "10.0.0.9:80"));
    peer.receive(get("/", &["X-Forwarded-For: 192.0.2.1"]).as_bytes());
    assert_eq!(last_line(&peer.send_all()), "-");
}

// ---- the PROXY protocol -------------------------------------------------------------------

/// A connection of a trusted proxy that begins with a header.
fn proxied<H: Hooks>(hooks: H) -> Peer<H> {
    let mut peer = from("10.0.0.1:5", hooks);
    peer.with(|connection, cx| connection.expect_header(cx.now, cx.limits));
    peer
}

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n";

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family, (rest.len() >> 8) as u8, rest.len() as u8]);
    header.extend(rest);
    header
}

#[test]
fn a_header_tells_the_ends_of_its_connection_however_it_is_split() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80, 4, 0, 0];
    let headers: [(Vec<u8>, &str); 6] = [
        (LINE.into(), "192.0.2.1:4711"),
        (
            "PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".into(),
            "[2001:db8::1]:4711",
        ),
        ("PROXY UNKNOWN\r\n".into(), "10.0.0.1:5"),
        (binary(0x21, 0x11, &v4), "192.0.2.1:4711"),
        (binary(0x21, 0x31, &[b'a'; 216]), "-"),
        (binary(0x20, 0x00, &[]), "10.0.0.1:5"),
    ];
    for (header, wanted) in headers {
        let stream = [&header[..], get("/", &[]).as_bytes()].concat();
        for at in 0..stream.len() {
            let mut peer = proxied(Who);
            peer.receive(&stream[..at]);
            if at < header.len() {
                assert_eq!(peer.state(), State::Connect);
                assert!(peer.connection.wants_input() && peer.ending().is_none());
            }
            peer.receive(&stream[at..]);
            assert_eq!(last_line(&peer.send_all()), wanted, "split at {at}");
            // One header is enough for all requests.
            peer.receive(get("/", &[]).as_bytes());
            assert_eq!(last_line(&peer.send_all()), wanted);
        }
    }
}

#[test]
fn a_client_that_a_header_tells_is_believed_if_it_is_a_proxy_itself() {
    for (line, wanted) in [
        ("PROXY TCP4 10.0.0.7 10.0.0.9 1 80\r\n", "192.0.2.9:0"),
        (LINE, "192.0.2.1:4711"),
        // The proxy's own connection.
        ("PROXY UNKNOWN\r\n", "192.0.2.9:0"),
    ] {
        let mut peer = proxied(Who);
        peer.receive(line.as_bytes());
        peer.receive(get("/", &["X-Forwarded-For: 192.0.2.9"]).as_bytes());
        assert_eq!(last_line(&peer.send_all()), wanted, "{line}");
    }
}

#[test]
fn without_its_header_a_connection_ends_without_a_word() {
    for bytes in [
        &get("/", &[])[..],
        "PROXY TCP4 192.0.2.1\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
    ] {
        let mut peer = proxied(Who);
        peer.receive(bytes.as_bytes());
        assert_eq!(peer.send_all(), b"");
        assert_eq!(peer.ending(), Some(End::Close), "{bytes:?}");
        assert!(peer.connection.lacks_header());
        assert_eq!(peer.connection.held_bytes(), 0);
    }
}

#[test]
fn a_header_where_none_is_expected_is_no_request() {
    let mut peer = from("10.0.0.1:5", NoHooks);
    peer.receive((LINE.to_owned() + &get("/", &[])).as_bytes());
    assert_sends(&mut peer, &[bad()]);
}

#[test]
fn a_header_has_as_long_as_a_head_and_the_request_has_its_own_time() {
    let mut peer = proxied(NoHooks);
    peer.receive(&LINE.as_bytes()[..10]);
    peer.pass(9_999);
    assert_eq!(peer.ending(), None);
    peer.receive(&LINE.as_bytes()[10..20]);
    peer.pass(10_000);
    assert_eq!(
        (peer.send_all(), peer.ending()),
        (Vec::new(), Some(End::Close))
    );
    assert!(peer.connection.lacks_header());

    let mut peer = proxied(NoHooks);
    peer.pass(9_000);
    peer.receive(LINE.as_bytes());
    peer.receive(b"GET /a.txt HTTP/1.1\r\n");
    peer.pass(18_999);
    assert_eq!(peer.send_all(), b"");
    peer.receive(b"Host: h\r\n\r\n");
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn a_proxy_that_only_looks_whether_we_live_is_no_offence() {
    let mut peer = proxied(NoHooks);
    peer.end();
    assert_eq!(peer.ending(), Some(End::Close));
    assert!(!peer.connection.lacks_header());
    // And one that waits at the stop of the server is not waited for.
    let mut peer = proxied(NoHooks);
    peer.is_draining = true;
    peer.with(Connection::handle_stop);
    assert!(peer.ending().is_some());
}

// ---- bounds -------------------------------------------------------------------------------

/// What a gate was asked.
type Asked = Rc<RefCell<Vec<String>>>;

/// Turns every second request away, and whoever is called 192.0.2.66.
struct Strict(Asked);

impl Gate for Strict {
    fn enter(&mut self, _: Id, client: IpAddr, is_exempt: bool, _: u64) -> bool {
        self.0
            .borrow_mut()
            .push(format!("enter {client} {is_exempt}"));
        client != IpAddr::from([192, 0, 2, 66])
    }

    fn admit(&mut self, _: Id, told: Option<IpAddr>, _: u64) -> Result<(), u32> {
        let mut asked = self.0.borrow_mut();
        asked.push(format!("admit {told:?}"));
        if asked.len().is_multiple_of(2) {
            Err(7)
        } else {
            Ok(())
        }
    }
}

fn strict(mut peer: Peer<NoHooks>) -> (Peer<NoHooks>, Asked) {
    let asked = Asked::default();
    peer.gate = Some(Box::new(Strict(Rc::clone(&asked))));
    (peer, asked)
}

fn too_many() -> Reply {
    page("429 Too Many Requests").field("Retry-After: 7")
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back_on_the_same_connection() {
    let (mut peer, asked) = strict(peer());
    for bytes in [1, 1000] {
        let requests = get("/a.txt", &[]).repeat(3);
        for piece in requests.as_bytes().chunks(bytes) {
            peer.receive(piece);
        }
        let (yes, no) = (A.ok(), too_many());
        let replies = [[&yes, &no, &yes], [&no, &yes, &no]];
        let replies = replies[usize::from(bytes > 1)].map(Reply::clone);
        assert_sends(&mut peer, &replies);
        assert_eq!(peer.ending(), None);
    }
    assert_eq!(asked.borrow().len(), 6);
}

#[test]
fn a_body_that_nobody_reads_ends_the_connection_of_who_asks_too_often() {
    for (fields, is_kept) in [
        (&["Content-Length: 5"][..], false),
        (&["Transfer-Encoding: chunked"], false),
        (&["Content-Length: 5", "Expect: 100-continue"], false),
        (&["Content-Length: 0"], true),
    ] {
        let (mut peer, _) = strict(peer());
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[A.ok()]);
        peer.receive(request("POST", "/a.txt", fields).as_bytes());
        let reply = if is_kept {
            too_many()
        } else {
            too_many().linger()
        };
        let end = reply.end;
        assert_sends(&mut peer, &[reply]);
        assert_eq!(peer.ending(), end, "{fields:?}");
    }
    let (mut peer, _) = strict(peer());
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    peer.receive(request("HEAD", "/a.txt", &["Connection: close"]).as_bytes());
    assert_sends(&mut peer, &[too_many().for_head().close()]);
}

#[test]
fn a_request_counts_for_whom_a_proxy_tells() {
    let (mut peer, asked) = strict(from("10.0.0.1:5", NoHooks));
    peer.receive(get("/a.txt", &["X-Forwarded-For: 192.0.2.1"]).as_bytes());
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.receive(b"GET / HTTP/1.1\r\n\r\n");
    // A head that is no request is not counted: its connection ends with it.
    assert_eq!(*asked.borrow(), ["admit Some(192.0.2.1)", "admit None"]);
}

#[test]
fn a_connection_counts_for_whom_its_header_tells() {
    let (mut peer, asked) = strict(proxied(NoHooks));
    peer.receive(LINE.as_bytes());
    assert_eq!((*asked.borrow()).join(" "), "enter 192.0.2.1 false");
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[too_many()]);

    let (mut peer, asked) = strict(proxied(NoHooks));
    peer.receive(b"PROXY TCP4 10.0.0.3 10.0.0.1 1 2\r\n");
    assert_eq!((*asked.borrow()).join(" "), "enter 10.0.0.3 true");

    let (mut peer, asked) = strict(proxied(NoHooks));
    peer.receive(b"PROXY UNKNOWN\r\n");
    assert!(asked.borrow().is_empty() && peer.ending().is_none());

    let (mut peer, _) = strict(proxied(NoHooks));
    let stream = LINE.replace("192.0.2.1", "192.0.2.66") + &get("/a.txt", &[]);
    peer.receive(stream.as_bytes());
    assert_eq!(
        (peer.send_all(), peer.ending()),
        (Vec::new(), Some(End::Close))
    );
    assert!(!peer.connection.lacks_header());
}
