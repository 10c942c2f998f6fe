//! Clients: how bytes are brought to a connection, and when its answers are taken.

use std::sync::Arc;
use swiftd::conn::{Hooks, State};
use swiftd::testing::Peer;

/// When a client reads.
#[derive(Copy, Clone, Debug)]
pub enum Sends {
    /// Whatever there is, after each piece that it has sent.
    AtOnce,
    /// Only when the connection takes nothing more, and at the end.
    WhenStuck,
    /// At most so many bytes at a time.
    Few(usize),
}

/// Brings `pieces` to the connection as the driver would, honouring its back-pressure, and returns
/// everything that it sent.
pub fn play<H: Hooks>(peer: &mut Peer<H>, pieces: &[&[u8]], sends: Sends) -> Vec<u8> {
    let bytes_max = match sends {
        Sends::Few(bytes) => bytes,
        _ => usize::MAX,
    };
    let mut all = Vec::new();
    for piece in pieces {
        while !peer.connection.wants_input() {
            let sent = peer.send(bytes_max);
            if sent.is_empty() {
                break;
            }
            all.extend(sent);
        }
        if !peer.connection.wants_input() {
            // The connection is over, or waits for something that this client cannot bring.
            break;
        }
        peer.receive(piece);
        spool(peer);
        match sends {
            Sends::AtOnce => all.extend(peer.send_all()),
            Sends::WhenStuck => {}
            Sends::Few(_) => all.extend(peer.send(bytes_max)),
        }
    }
    loop {
        let sent = peer.send(bytes_max);
        if sent.is_empty() {
            return all;
        }
        all.extend(sent);
    }
}

/// Does what the disk thread would: "writes" what the connection wants written. Returns it.
pub fn spool<H: Hooks>(peer: &mut Peer<H>) -> Vec<u8> {
    let mut written = Vec::new();
    while let Some(append) = peer.connection.take_append() {
        assert_eq!(peer.state(), State::ReadPost);
        assert_eq!(append.file.is_none(), append.offset == 0, "one file a body");
        written.extend(append.bytes);
        let null = std::fs::File::open("/dev/null").expect("every system has it");
        peer.with(|connection, cx| {
            connection.handle_appended(Some(Arc::new(null.into())), cx);
        });
    }
    written
}
