//! Connections and requests of one address.

use crate::server::{Client, PATIENCE, Server};
use crate::{connect_by, connect_from, connect_until_served, is_served, site};
use std::net::Ipv4Addr;
use std::time::Instant;

#[test]
fn one_address_has_no_more_connections_than_it_may() {
    let root = site();
    let server = Server::start(root.path(), &["--client-connections", "2"]);
    let mut held: Vec<Client> = (0..2).map(|_| connect_from(2, server.address())).collect();
    assert!(held.iter_mut().all(|client| is_served(client, b"")));
    for _ in 0..3 {
        assert!(!is_served(&mut connect_from(2, server.address()), b""));
    }
    assert!(
        is_served(&mut connect_from(3, server.address()), b""),
        "another address"
    );
    assert_eq!(held[0].get("/a.txt").status, 200);
    held.pop();
    let _again = connect_until_served(|| connect_from(2, server.address()), b"");
    drop((held, _again));
    let log = server.finish_with_log(0);
    let [line] = &log[..] else {
        panic!("one line for all: {log:?}");
    };
    assert!(
        line.ends_with("client 127.0.0.2 refused: it has as many connections as one may have"),
        "{line}"
    );
}

#[test]
fn whoever_closes_one_before_it_opens_the_next_is_not_refused() {
    let root = site();
    let server = Server::start(root.path(), &["--client-connections", "1"]);
    for _ in 0..500 {
        assert!(is_served(&mut connect_from(2, server.address()), b""));
    }
    server.finish(1);
}

#[test]
fn whichever_way_a_connection_ends_it_is_given_back() {
    let root = site();
    let options = [
        "--client-connections",
        "1",
        "--idle-timeout",
        "0.3",
        "--head-timeout",
        "0.3",
    ];
    let server = Server::start(root.path(), &options);
    let connect = || connect_from(2, server.address());
    let ways: [fn(Client); 7] = [
        drop,
        Client::reset,
        |client| client.end(),
        |mut client| {
            client.send("GET /a.txt HTTP/1.0\r\n\r\n");
            client.all();
        },
        |mut client| {
            client.send("nonsense\r\n\r\n");
            client.all();
        },
        |mut client| {
            client.send("GET /a.txt HTTP/1.1\r\nHo");
            client.all();
        },
        |mut client| client.expect_end(),
    ];
    for _ in 0..3 {
        for end in ways {
            end(connect_until_served(connect, b""));
        }
    }
    // A client that has to wait meanwhile is another.
    drop(connect_until_served(connect, b""));
    server.finish_with_log(0);
}

#[test]
fn one_address_asks_no_more_often_than_it_may() {
    let root = site();
    let server = Server::start(root.path(), &["--client-rate", "1", "--client-burst", "3"]);
    let mut client = connect_from(2, server.address());
    let count = 50;
    let start = Instant::now();
    client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n".repeat(count));
    let responses: Vec<_> = (0..count).map(|_| client.response()).collect();
    let let_in = responses.iter().filter(|it| it.status == 200).count() as u64;
    let most = 3 + start.elapsed().as_secs() + 1;
    assert!((3..=most).contains(&let_in), "{let_in} of {most}");
    assert!(responses[..3].iter().all(|it| it.status == 200));
    for refused in responses.iter().filter(|it| it.status != 200) {
        assert_eq!(refused.status, 429);
        assert_eq!(refused.field("Retry-After"), Some("1"));
        assert_eq!(refused.field("Connection"), None);
    }
    // Another connection of the same address has no more; one of another address has its own.
    assert_eq!(connect_from(2, server.address()).get("/a.txt").status, 429);
    assert_eq!(connect_from(3, server.address()).get("/a.txt").status, 200);
    let start = Instant::now();
    while client.get("/a.txt").status != 200 {
        assert!(start.elapsed() < PATIENCE, "no token comes back");
    }
    drop(client);
    let log = server.finish_with_log(1);
    assert!(
        log[0].contains("client 127.0.0.2 answered by 429: it asks more often than one may"),
        "{log:?}"
    );
}

#[test]
fn a_full_table_forgets_those_who_are_gone_and_holds_on_to_those_who_are_not() {
    let root = site();
    let options = ["--client-connections", "1", "--client-table", "16"];
    let server = Server::start(root.path(), &options);
    let from = |last: u8| connect_by(Ipv4Addr::new(127, 0, 1, last), server.address());
    for last in 1..100 {
        assert!(is_served(&mut from(last), b""));
    }
    let mut held: Vec<Client> = (1..=16)
        .map(|last| connect_until_served(|| from(last), b""))
        .collect();
    // Those who find no place are one client together.
    let mut stranger = connect_until_served(|| from(100), b"");
    assert!(!is_served(&mut from(101), b""));
    assert!(!is_served(&mut from(1), b""), "who is known is still known");
    assert_eq!(stranger.get("/a.txt").status, 200);
    for client in &mut held {
        assert_eq!(client.get("/a.txt").status, 200);
    }
    drop((held, stranger));
    server.finish_with_log(1);
}

#[test]
fn slow_heads_of_one_address_are_few_and_short() {
    let root = site();
    let options = ["--client-connections", "3", "--head-timeout", "1"];
    let server = Server::start(root.path(), &options);
    let mut slow: Vec<Client> = (0..3).map(|_| connect_from(2, server.address())).collect();
    for client in &mut slow {
        client.send("GET /a.txt HTTP/1.1\r\nX: ");
    }
    // The kernel may hand over a later connection first, so it is the server that must have them.
    let start = Instant::now();
    while is_served(&mut connect_from(2, server.address()), b"") {
        assert!(
            start.elapsed() < PATIENCE,
            "three connections are not counted"
        );
    }
    assert_eq!(connect_from(3, server.address()).get("/a.txt").status, 200);
    for client in &mut slow {
        assert_eq!(client.response().status, 408);
        client.expect_end();
    }
    drop(connect_until_served(
        || connect_from(2, server.address()),
        b"",
    ));
    drop(slow);
    server.finish_with_log(1);
}
