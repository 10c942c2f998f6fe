//! The system's log: datagrams and streams, one that is restarted, one that is not there, one that
//! nobody reads.

use crate::server::{PATIENCE, Server};
use crate::stage::Stage;
use rustix::process::Signal;
use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener};

fn listen(stage: &Stage) -> UnixDatagram {
    let socket = UnixDatagram::bind(stage.path("log")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 65_536];
    let bytes = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..bytes].to_vec()).unwrap()
}

fn destination(stage: &Stage) -> String {
    format!("syslog:{}", stage.path("log").display())
}

/// `<PRI>Mmm dd hh:mm:ss swiftd[PID]: TEXT`, taken apart.
fn parse<'a>(server: &Server, message: &'a str) -> (u32, &'a str) {
    let (priority, rest) = message[1..].split_once('>').unwrap();
    assert_eq!(rest.as_bytes()[3], b' ', "{rest}");
    assert_eq!(&rest[9..10], ":", "{rest}");
    let text = rest[15..].strip_prefix(&format!(" swiftd[{}]: ", server.pid()));
    (
        priority.parse().unwrap(),
        text.unwrap_or_else(|| panic!("{rest}")),
    )
}

#[test]
fn requests_and_errors_are_messages_with_their_worth() {
    let stage = Stage::new();
    let socket = listen(&stage);
    let to = destination(&stage);
    let server = stage.serve(&["--access-log", &to, "--error-log", &to]);
    // What it says of its start.
    loop {
        let message = receive(&socket);
        let (priority, text) = parse(&server, &message);
        assert_eq!(priority, 3 * 8 + 5, "{message}");
        if text.starts_with("serving ") {
            break;
        }
    }
    let mut client = server.connect();
    client.get("/a.txt");
    let message = receive(&socket);
    let (priority, text) = parse(&server, &message);
    assert_eq!(priority, 23 * 8 + 6);
    assert!(
        text.starts_with("127.0.0.1 - - [") && text.contains("GET /a.txt"),
        "{text}"
    );
    assert!(!message.contains('\n'));
    // A message cannot be longer than what a datagram takes.
    client.send(format!(
        "GET /a.txt HTTP/1.1\r\nHost: x\r\nUser-Agent: {0}\r\nReferer: {0}\r\n\r\n",
        "\x7f".repeat(3000).replace('\x7f', "\"")
    ));
    client.response();
    assert_eq!(receive(&socket).len(), 8192);
    // No descriptor is left for another client.
    server.set_files_max(3);
    let other = server.connect();
    let message = receive(&socket);
    let (priority, text) = parse(&server, &message);
    assert_eq!(priority, 3 * 8 + 4);
    assert!(text.starts_with("accept: out of descriptors"), "{text}");
    server.set_files_max(1000);
    drop((client, other));
    server.signal(Signal::TERM);
    server.wait();
}

#[test]
fn a_log_that_is_restarted_is_connected_again() {
    let stage = Stage::new();
    let mut server = stage.serve(&["--access-log", &destination(&stage)]);
    // It is not there yet: that is told once, and the lines wait.
    server.get("/a.txt?0");
    let line = server.next_line().unwrap();
    let wanted = format!(
        "swiftd: cannot write the access log {}: ",
        destination(&stage)
    );
    assert!(line.starts_with(&wanted), "{line}");
    let mut number = 0;
    for _ in 0..3 {
        let socket = listen(&stage);
        assert!(receive(&socket).contains(&format!("/a.txt?{number} ")));
        number += 1;
        server.get(&format!("/a.txt?{number}"));
        assert!(receive(&socket).contains(&format!("/a.txt?{number} ")));
        drop(socket);
        fs::remove_file(stage.path("log")).unwrap();
        number += 1;
        server.get(&format!("/a.txt?{number}"));
    }
    let socket = listen(&stage);
    assert!(receive(&socket).contains(&format!("/a.txt?{number} ")));
    let log = server.finish_with_log(1);
    assert!(
        log.iter().all(|line| !line.contains("access lines")),
        "{log:#?}"
    );
}

#[test]
fn a_stream_works_too() {
    let stage = Stage::new();
    let listener = UnixListener::bind(stage.path("log")).unwrap();
    let server = stage.serve(&["--access-log", &destination(&stage)]);
    let mut client = server.connect();
    client.get("/a.txt?1");
    client.get("/a.txt?2");
    drop(client);
    let (mut stream, _) = listener.accept().unwrap();
    server.finish(1);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let messages = text.split_terminator('\0');
    let messages: Vec<_> = messages.filter(|it| !it.contains("/.nothing")).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].starts_with("<190>") && messages[1].contains("/a.txt?2 "));
}

#[test]
fn a_log_that_nobody_reads_stalls_nobody() {
    const REQUESTS: usize = 1_000;
    let stage = Stage::new();
    let socket = listen(&stage);
    let options = ["--access-log", &destination(&stage), "--log-buffer", "4096"];
    let mut server = stage.serve(&options);
    let mut client = server.connect();
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/a.txt").status, 200);
    }
    let line = server.next_line().unwrap();
    assert!(line.contains("takes no more"), "{line}");
    drop(client);
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success());
    socket.set_nonblocking(true).unwrap();
    let mut received = 0;
    let mut buffer = [0; 8192];
    while socket.recv(&mut buffer).is_ok() {
        received += 1;
    }
    let counts = log.iter().filter_map(|line| {
        let (count, _) = line
            .strip_prefix("swiftd: ")?
            .split_once(" access lines dropped")?;
        count.parse::<usize>().ok()
    });
    assert_eq!(received + counts.sum::<usize>(), REQUESTS, "{log:#?}");
}
