//! A server in this thread, turn by turn: what plugins are told of a client, other bounds while
//! connections are open, and the figures.

use crate::server::{Client, PATIENCE};
use crate::{connect_from, site};
use rustix::net::{RecvFlags, recv};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use swiftd::config::{self, Config, Listen};
use swiftd::conn::{Caller, Exchange, Flow, Hooks, Point, Why};
use swiftd::http::Body;
use swiftd::plugin::Extension;
use swiftd::policy::ForwardedField;
use swiftd::server::Server;
use swiftd::sys::socket::Address;

/// Answers with both ends of the connection, or with the figures.
#[derive(Default)]
struct Who {
    figures: Vec<u8>,
    /// All clients so far.
    seen: Rc<RefCell<Vec<String>>>,
}

impl Hooks for Who {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, caller: Caller<'_>) -> Flow {
        if point != Point::UrlRaw {
            return Flow::GoOn;
        }
        let text = |end: Option<SocketAddr>| end.map_or("unix".to_owned(), |end| end.to_string());
        let bytes = match exchange.request.target.slice(&exchange.request.head) {
            b"/figures" => self.figures.clone(),
            _ => {
                let client = text(exchange.client_address(caller.origin));
                self.seen.borrow_mut().push(client.clone());
                format!("{client} {}", text(caller.origin.local())).into_bytes()
            }
        };
        exchange.response.body = Body::Bytes(bytes);
        Flow::Finished
    }

    fn handle_reset(&mut self, _: &mut Exchange, _: Why, _: Caller<'_>) {}
}

impl Extension for Who {
    fn wants_figures(&self) -> bool {
        true
    }

    fn set_figures(&mut self, lines: Vec<u8>) {
        self.figures = lines;
    }
}

fn start(listen: Vec<Listen>, clients: config::Clients) -> Server {
    start_with(listen, clients, Who::default())
}

fn start_with(listen: Vec<Listen>, clients: config::Clients, who: Who) -> Server {
    // The directory is gone when the test has ended; nothing is read from it.
    let root = site();
    let mut config = Config::new(root.path().to_owned());
    config.listen = listen;
    config.clients = clients;
    Server::start(config, Box::new(who), None).unwrap()
}

fn listener(is_proxied: bool) -> Listen {
    Listen {
        address: Address::Tcp(([127, 0, 0, 1], 0).into()),
        is_proxied,
    }
}

fn address(server: &Server) -> SocketAddr {
    match server.addresses().next() {
        Some(Address::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    }
}

/// Turns the server until a client has something to read, or its end.
fn turn_for<S: crate::server::Stream>(server: &mut Server, client: &Client<S>) {
    let start = Instant::now();
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    while recv(&client.stream, &mut [0], flags) == Err(rustix::io::Errno::AGAIN) {
        assert!(start.elapsed() < PATIENCE, "nothing comes");
        server.step().unwrap();
    }
}

/// What the server answers to a request behind `prefix`; `None` if the connection is ended.
fn ask<S: crate::server::Stream>(
    server: &mut Server,
    client: &mut Client<S>,
    target: &str,
    fields: &str,
) -> Option<String> {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    turn_for(server, client);
    match recv(&client.stream, &mut [0], RecvFlags::PEEK) {
        Ok((0, _)) | Err(_) => None,
        Ok(_) => Some(String::from_utf8(client.response().body).unwrap()),
    }
}

fn bounds(connections: Option<u32>, proxies: &[&str]) -> config::Clients {
    config::Clients {
        connections_max: connections,
        trusted_proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
        ..config::Clients::default()
    }
}

#[test]
fn plugins_see_the_client_behind_a_trusted_proxy() {
    let mut server = start(
        vec![listener(false)],
        bounds(None, &["127.0.0.1", "10.0.0.0/8"]),
    );
    let place = address(&server);
    let mut proxy = connect_from(1, place);
    let mut other = connect_from(2, place);
    let fields = "X-Forwarded-For: 192.0.2.66, 192.0.2.1, 10.0.0.7\r\n";
    let own = proxy.stream.local_addr().unwrap();
    let strange = other.stream.local_addr().unwrap();
    for (client, fields, wanted) in [
        (&mut proxy, fields, "192.0.2.1:0".to_owned()),
        (&mut other, fields, strange.to_string()),
    ] {
        let said = ask(&mut server, client, "/", fields).unwrap();
        assert_eq!(said, format!("{wanted} {place}"));
    }
    assert_eq!(
        ask(&mut server, &mut proxy, "/", "").unwrap(),
        format!("{own} {place}")
    );
    // Another list and another field hold from the next request on.
    server.set_clients(&config::Clients {
        forwarded_field: ForwardedField::Forwarded,
        ..bounds(None, &["127.0.0.2"])
    });
    let fields = "Forwarded: for=\"[2001:db8::1]:7\"\r\nX-Forwarded-For: 192.0.2.1\r\n";
    let said = ask(&mut server, &mut proxy, "/", fields).unwrap();
    assert_eq!(said, format!("{own} {place}"));
    let said = ask(&mut server, &mut other, "/", fields).unwrap();
    assert_eq!(said, format!("[2001:db8::1]:7 {place}"));
}

#[test]
fn a_unix_socket_is_trusted_by_its_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("s");
    let listen = Listen::from(Address::Unix(path.clone()));
    let mut server = start(vec![listen], bounds(Some(1), &["127.0.0.1"]));
    // Whoever has no address is not counted.
    let mut clients = [(); 3].map(|()| Client::connect_unix(&path));
    let field = "X-Forwarded-For: 192.0.2.1\r\n";
    for client in &mut clients {
        assert_eq!(ask(&mut server, client, "/", field).unwrap(), "unix unix");
    }
    server.set_clients(&bounds(Some(1), &["unix"]));
    assert_eq!(
        ask(&mut server, &mut clients[0], "/", field).unwrap(),
        "192.0.2.1:0 unix"
    );
}

#[test]
fn whoever_resets_its_connection_does_not_pass_for_a_unix_socket() {
    let who = Who::default();
    let seen = Rc::clone(&who.seen);
    let mut server = start_with(vec![listener(false)], bounds(None, &["unix"]), who);
    let mut client = connect_from(2, address(&server));
    client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    client.reset();
    // What was sent before the reset is still read, but the kernel tells no address any more. It is
    // taken at the latest with the next connection.
    let mut other = connect_from(3, address(&server));
    let own = other.stream.local_addr().unwrap().to_string();
    ask(&mut server, &mut other, "/", "");
    assert!(
        !seen.borrow().contains(&"192.0.2.1:0".to_owned()),
        "{seen:?}"
    );
    assert_eq!(seen.borrow().last(), Some(&own));
}

#[test]
fn plugins_see_both_ends_that_a_header_tells() {
    let mut server = start(vec![listener(true)], bounds(None, &["127.0.0.0/8"]));
    let mut client = connect_from(3, address(&server));
    client.send("PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n");
    for _ in 0..2 {
        let said = ask(&mut server, &mut client, "/", "").unwrap();
        assert_eq!(said, "[2001:db8::1]:4711 [2001:db8::2]:80");
    }
    let mut client = connect_from(3, address(&server));
    client.send("PROXY UNKNOWN\r\n");
    let own = client.stream.local_addr().unwrap();
    let said = ask(&mut server, &mut client, "/", "").unwrap();
    assert_eq!(said, format!("{own} {}", address(&server)));
}

#[test]
fn bounds_that_come_later_count_those_who_are_connected() {
    let mut server = start(vec![listener(false)], bounds(None, &[]));
    let place = address(&server);
    let mut held = [2, 2, 3].map(|last| connect_from(last, place));
    for client in &mut held {
        assert!(ask(&mut server, client, "/", "").is_some());
    }
    server.set_clients(&bounds(Some(2), &[]));
    assert_eq!(ask(&mut server, &mut connect_from(2, place), "/", ""), None);
    let mut third = connect_from(3, place);
    assert!(ask(&mut server, &mut third, "/", "").is_some());
    assert_eq!(ask(&mut server, &mut connect_from(3, place), "/", ""), None);
    // Those who have too many keep what they have.
    server.set_clients(&bounds(Some(1), &[]));
    for client in &mut held {
        assert!(ask(&mut server, client, "/", "").is_some());
    }
    let [first, second, _third] = held;
    drop(first);
    assert_eq!(ask(&mut server, &mut connect_from(2, place), "/", ""), None);
    drop(second);
    let mut again = connect_from(2, place);
    assert!(ask(&mut server, &mut again, "/", "").is_some());
    server.set_clients(&bounds(None, &[]));
    assert!(ask(&mut server, &mut connect_from(2, place), "/", "").is_some());
}

#[test]
fn the_figures_tell_of_clients_and_of_who_was_refused() {
    let clients = config::Clients {
        requests_per_second: Some(1_000_000),
        table_entries_max: 17,
        ..bounds(Some(1), &["127.0.0.9"])
    };
    let mut server = start(vec![listener(false), listener(true)], clients);
    let doors: Vec<SocketAddr> = server
        .addresses()
        .map(|address| address.to_string().parse().unwrap())
        .collect();
    let mut held = [2, 3].map(|last| connect_from(last, doors[0]));
    for client in &mut held {
        assert!(ask(&mut server, client, "/", "").is_some());
    }
    assert_eq!(
        ask(&mut server, &mut connect_from(2, doors[0]), "/", ""),
        None
    );
    assert_eq!(
        ask(&mut server, &mut connect_from(2, doors[1]), "/", ""),
        None
    );
    assert_eq!(
        ask(&mut server, &mut connect_from(9, doors[1]), "/", ""),
        None
    );
    let wanted = [
        "swiftd_clients 2",
        "swiftd_clients_max 17",
        "swiftd_connections_refused_total{why=\"client\"} 1",
        "swiftd_connections_refused_total{why=\"stranger\"} 1",
        "swiftd_connections_refused_total{why=\"header\"} 1",
        "swiftd_requests_refused_total 0",
    ];
    let start = Instant::now();
    loop {
        let figures = ask(&mut server, &mut held[0], "/figures", "").unwrap();
        let missing: Vec<_> = wanted
            .iter()
            .filter(|wanted| !figures.lines().any(|line| line == **wanted))
            .collect();
        if missing.is_empty() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{missing:?} in {figures}");
    }
}
