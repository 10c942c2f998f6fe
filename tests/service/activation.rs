//! Sockets that are handed over.

use super::server::{Client, PATIENCE, Server};
use super::{grounds, is_root, said};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};

/// A parent that hands two descriptors over, as its script says.
fn parent(script: &str, sockets: [OwnedFd; 2], root: &Path, options: &[&str]) -> Command {
    let [first, second] = sockets;
    let mut command = Command::new("sh");
    let rest = "exec \"$0\" \"$@\" 3<&0 4<&1 0</dev/null 1>/dev/null";
    command.arg("-c").arg(format!("{script}; {rest}"));
    command
        .arg(env!("CARGO_BIN_EXE_swiftd"))
        .arg(root)
        .args(options);
    command.stdin(first).stdout(second);
    command
}

const BOTH: &str = "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:local";

fn sockets(directory: &Path) -> (std::net::SocketAddr, std::path::PathBuf, [OwnedFd; 2]) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let path = directory.join("sock");
    let unix = UnixListener::bind(&path).unwrap();
    (address, path, [tcp.into(), unix.into()])
}

#[test]
fn all_sockets_are_served_and_none_is_removed() {
    let (grounds, root) = grounds();
    for options in [&[][..], &["--supervise"]] {
        let (address, path, sockets) = sockets(grounds.path());
        let command = parent(BOTH, sockets, &root, options);
        let server = Server::spawn_as_it_is(command).0;
        // And no other.
        let places = [
            format!("http://{address}/"),
            format!("unix:{}", path.display()),
        ];
        assert_eq!(server.places, places);
        assert_eq!(Client::connect(address).get("/small.txt").body, b"small");
        assert_eq!(Client::connect_unix(&path).get("/small.txt").body, b"small");
        let is_unsaid = |line: &String| line.contains("running as root");
        assert!(server.notices.iter().all(is_unsaid), "{:?}", server.notices);
        server.finish(1);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_configured_address_is_taken_from_them_and_the_rest_is_bound() {
    let (grounds, root) = grounds();
    let (address, path, sockets) = sockets(grounds.path());
    let listen = ["-l", "127.0.0.1:0", "-l", &address.to_string()];
    let server = Server::spawn_as_it_is(parent(BOTH, sockets, &root, &listen)).0;
    let unix = format!("unix:{}", path.display());
    let other = server.address();
    let places = [
        format!("http://{other}/"),
        format!("http://{address}/"),
        unix.clone(),
    ];
    assert_eq!(server.places, places);
    for address in [other, address] {
        assert_eq!(Client::connect(address).get("/small.txt").body, b"small");
    }
    let notice = format!(
        "swiftd: notice: {unix} was handed over by the service manager and is served, but is not configured"
    );
    assert!(server.notices.contains(&notice), "{:?}", server.notices);
    server.finish(1);
}

#[test]
fn what_is_meant_for_another_process_is_ignored() {
    let (grounds, root) = grounds();
    for script in [
        "export LISTEN_PID=1 LISTEN_FDS=2",
        "export LISTEN_FDS=2",
        "export LISTEN_PID=$$",
        "export LISTEN_PID=$$ LISTEN_FDS=0",
    ] {
        let (address, path, sockets) = sockets(grounds.path());
        let command = parent(script, sockets, &root, &["-p", "0"]);
        let server = Server::spawn_as_it_is(command).0;
        assert_eq!(server.places.len(), 1);
        assert_ne!(server.address(), address, "{script}");
        server.finish(0);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    let (grounds, root) = grounds();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = fs::File::open(root.join("small.txt")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    let cases: [(OwnedFd, &str); 4] = [
        (
            peer.into(),
            "it does not listen: a socket unit needs Accept=no",
        ),
        (file.into(), "it is not a socket"),
        (
            udp.into(),
            "it is not a stream socket: ListenStream= makes one",
        ),
        (
            datagrams.into(),
            "it is not a stream socket: ListenStream= makes one",
        ),
    ];
    for (second, wanted) in cases {
        let first = listener.try_clone().unwrap().into();
        let mut command = parent(BOTH, [first, second], &root, &[]);
        let text = said(
            &command
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap(),
            1,
        );
        let begin = "swiftd: the socket that was handed over as descriptor 4 (local): ";
        assert_eq!(text, format!("{begin}{wanted}\n"));
    }
    for (script, wanted) in [
        (
            "export LISTEN_PID=$$ LISTEN_FDS=x",
            "swiftd: LISTEN_FDS=x: expected a number of sockets\n",
        ),
        (
            "export LISTEN_PID=$$ LISTEN_FDS=1000",
            "swiftd: LISTEN_FDS announces a socket as descriptor ",
        ),
    ] {
        let (_, path, sockets) = sockets(grounds.path());
        let mut command = parent(script, sockets, &root, &[]);
        let text = said(
            &command
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap(),
            1,
        );
        assert!(text.starts_with(wanted), "{text}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn root_is_dropped_with_them_too() {
    if !is_root("root_is_dropped_with_them_too") {
        return;
    }
    let (grounds, root) = grounds();
    let (address, path, sockets) = sockets(grounds.path());
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    let command = parent(BOTH, sockets, &root, &["--user", "nobody"]);
    let server = Server::spawn_as_it_is(command).0;
    assert_eq!(Client::connect(address).get("/small.txt").body, b"small");
    // It is the manager's.
    assert_eq!(owner(&path), 0);
    server.finish(1);
}

#[test]
fn the_real_tool_starts_the_server_with_the_first_connection() {
    let tool = "systemd-socket-activate";
    if Command::new(tool).arg("--version").output().is_err() {
        eprintln!("the_real_tool_…: skipped, there is no {tool}");
        return;
    }
    let (grounds, root) = grounds();
    let notify = grounds.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = grounds.path().join("sock");
    let mut command = Command::new(tool);
    command.arg("-l").arg(&path);
    command.arg(format!("--setenv=NOTIFY_SOCKET={}", notify.display()));
    command.arg(env!("CARGO_BIN_EXE_swiftd")).arg(&root);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    // The tool says when it listens.
    let mut said = Vec::new();
    while !said.ends_with(b"\n") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{said:?}");
        said.push(byte[0]);
    }
    assert_eq!(Client::connect_unix(&path).get("/small.txt").body, b"small");
    let mut told = [0; 256];
    let count = manager.recv(&mut told).unwrap();
    let wanted = format!("READY=1\nMAINPID={}", child.id());
    assert_eq!(String::from_utf8_lossy(&told[..count]), wanted);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
