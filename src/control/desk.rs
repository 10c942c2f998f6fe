//! The server's end: a few clients at a time, none of which can hold the loop or stay for ever.
//!
//! A client has a deadline while it speaks and while it listens. While the server works on its order
//! it has none: it knows itself how long it waits, and if it goes away, that is noticed.

use super::{FAILED, OK, socket_name};
use crate::config::Order;
use crate::sys::local;
use crate::sys::socket::{self, Received};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many may speak at a time.
pub const CLIENTS_MAX: usize = 4;

/// How long a client may take to say or hear something, milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// An order is a word.
const ORDER_BYTES_MAX: usize = 64;

/// How many are refused in one turn of the loop: anybody may connect, as fast as it can.
const REFUSALS_MAX: usize = 8;

/// Where orders are taken.
#[derive(Debug)]
pub struct Desk {
    listener: OwnedFd,
    /// There may be more who wait, and nobody will say so again.
    has_more: bool,
    clients: [Option<Client>; CLIENTS_MAX],
}

/// What a client has said.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that would concern anybody.
    Nothing,
    /// This.
    Order(Order),
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    state: State,
}

#[derive(Debug)]
enum State {
    Speaks { said: Vec<u8>, until: u64 },
    Waits { order: Order, is_begun: bool },
    Listens { left: Vec<u8>, until: u64 },
}

impl Desk {
    /// Opens the desk of this process. To be called before a worker is forked, so that it is the
    /// process of the pid file whom clients find here.
    ///
    /// # Errors
    /// Somebody else has taken the name, or no descriptor is left.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            listener: local::listen_at(&socket_name(std::process::id()))?,
            has_more: false,
            clients: Default::default(),
        })
    }

    /// Takes a client that waits: its index, and its socket for the poll. `None` if there is none.
    /// One that may not give orders, or finds no place, is told so and forgotten; after some of them
    /// the rest waits until [`Self::expire`] says.
    pub fn accept(&mut self, now: u64) -> Option<(usize, BorrowedFd<'_>)> {
        self.has_more = false;
        for _ in 0..REFUSALS_MAX {
            let socket = local::accept(self.listener.as_fd())?;
            let is_trusted = local::peer(&socket)
                .is_ok_and(|peer| peer.uid == 0 || peer.uid == local::own_user());
            let place = self.clients.iter().position(Option::is_none);
            let refusal = match place {
                _ if !is_trusted => "only root and the server's own user may give orders",
                None => "too many orders at a time",
                Some(index) => {
                    let client = self.clients[index].insert(Client {
                        socket,
                        state: State::Speaks {
                            said: Vec::new(),
                            until: now + PATIENCE_MS,
                        },
                    });
                    return Some((index, client.socket.as_fd()));
                }
            };
            // It is short, so it fits into the socket's buffer.
            let text = format!("{FAILED}{refusal}\n");
            let _ = socket::transmit(socket.as_fd(), text.as_bytes(), false);
        }
        self.has_more = true;
        None
    }

    /// Something has become possible with a client's socket.
    pub fn handle_ready(&mut self, index: usize, now: u64) -> Heard {
        let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else {
            return Heard::Nothing;
        };
        match &mut client.state {
            State::Listens { .. } => self.write(index),
            State::Waits { .. } => {
                // Whatever it has to say now comes too late, but its end is of interest.
                if !matches!(receive(client), Ok(Received::Blocked | Received::Bytes(_))) {
                    self.clients[index] = None;
                }
            }
            State::Speaks { .. } => return self.listen(index, now),
        }
        Heard::Nothing
    }

    fn listen(&mut self, index: usize, now: u64) -> Heard {
        let Some(client) = &mut self.clients[index] else {
            return Heard::Nothing;
        };
        let mut buffer = [0; ORDER_BYTES_MAX];
        let count = match socket::receive(client.socket.as_fd(), &mut buffer) {
            Ok(Received::Bytes(count)) => count,
            Ok(Received::Blocked) => return Heard::Nothing,
            Ok(Received::End) | Err(_) => {
                self.clients[index] = None;
                return Heard::Nothing;
            }
        };
        let State::Speaks { said, .. } = &mut client.state else {
            return Heard::Nothing;
        };
        said.extend_from_slice(&buffer[..count]);
        let Some(end) = said.iter().position(|&byte| byte == b'\n') else {
            if said.len() >= ORDER_BYTES_MAX {
                self.refuse(index, "an order is one word and a line feed", now);
            }
            return Heard::Nothing;
        };
        let name = String::from_utf8_lossy(&said[..end]).into_owned();
        let Some(order) = Order::parse(&name) else {
            let shown = name.escape_debug();
            self.refuse(index, &format!("unknown order {shown:.40}"), now);
            return Heard::Nothing;
        };
        client.state = State::Waits {
            order,
            is_begun: false,
        };
        Heard::Order(order)
    }

    /// From now on the server works on this order.
    pub fn begin(&mut self, wanted: Order) {
        for client in self.clients.iter_mut().flatten() {
            if let State::Waits { order, is_begun } = &mut client.state {
                *is_begun |= *order == wanted;
            }
        }
    }

    /// Answers those whose order was being worked on.
    pub fn conclude(&mut self, wanted: Order, verdict: &Result<String, String>, now: u64) {
        for index in 0..CLIENTS_MAX {
            let state = self.clients[index].as_ref().map(|client| &client.state);
            if let Some(State::Waits { order, is_begun }) = state
                && *is_begun
                && *order == wanted
            {
                self.answer(index, verdict, now);
            }
        }
    }

    /// Answers one.
    pub fn answer(&mut self, index: usize, verdict: &Result<String, String>, now: u64) {
        let text = match verdict {
            Ok(text) => format!("{OK}{text}\n"),
            Err(text) => format!("{FAILED}{text}\n"),
        };
        self.say(index, text.into_bytes(), now);
    }

    /// Answers one with bytes of any length.
    pub fn answer_bytes(&mut self, index: usize, bytes: &[u8], now: u64) {
        self.say(index, [OK.as_bytes(), b"\n", bytes].concat(), now);
    }

    fn refuse(&mut self, index: usize, why: &str, now: u64) {
        self.answer(index, &Err(why.to_owned()), now);
    }

    fn say(&mut self, index: usize, bytes: Vec<u8>, now: u64) {
        if let Some(client) = &mut self.clients[index] {
            client.state = State::Listens {
                left: bytes,
                until: now + PATIENCE_MS,
            };
            self.write(index);
        }
    }

    fn write(&mut self, index: usize) {
        while let Some(client) = &mut self.clients[index]
            && let State::Listens { left, .. } = &mut client.state
        {
            match socket::transmit(client.socket.as_fd(), left, false) {
                Ok(Some(count)) if count < left.len() => {
                    left.drain(..count);
                }
                Ok(None) => return,
                // All of it has left, or the client has.
                Ok(Some(_)) | Err(_) => self.clients[index] = None,
            }
        }
    }

    /// Forgets those who are too slow; returns when to look again.
    pub fn expire(&mut self, now: u64) -> Option<u64> {
        let mut next = self.has_more.then_some(now + 1);
        for place in &mut self.clients {
            let until = match place.as_ref().map(|client| &client.state) {
                Some(State::Speaks { until, .. } | State::Listens { until, .. }) => *until,
                Some(State::Waits { .. }) | None => continue,
            };
            if until <= now {
                *place = None;
            } else {
                next = Some(next.map_or(until, |other: u64| other.min(until)));
            }
        }
        next
    }
}

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Drops what there is to read.
fn receive(client: &Client) -> io::Result<Received> {
    loop {
        match socket::receive(client.socket.as_fd(), &mut [0; ORDER_BYTES_MAX])? {
            Received::Bytes(_) => {}
            other => return Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn a_crowd_is_refused_a_few_at_a_time() {
        let mut desk = Desk::open().unwrap();
        let name = socket_name(std::process::id());
        let connect = || local::connect_to(&name, Duration::from_secs(60)).unwrap();
        let _speakers: Vec<UnixStream> = (0..CLIENTS_MAX).map(|_| connect()).collect();
        let mut crowd: Vec<UnixStream> = (0..REFUSALS_MAX + 2).map(|_| connect()).collect();
        for wanted in 0..CLIENTS_MAX {
            assert_eq!(desk.accept(0).map(|(index, _)| index), Some(wanted));
        }
        assert!(desk.accept(0).is_none());
        assert_eq!(desk.expire(10), Some(11));
        let rest = crowd.split_off(REFUSALS_MAX);
        assert!(rest.iter().all(|last| {
            last.set_nonblocking(true).unwrap();
            let read = { last }.read(&mut [0]);
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        }));
        assert!(desk.accept(0).is_none());
        assert_eq!(desk.expire(10), Some(PATIENCE_MS));
        for mut refused in crowd.into_iter().chain(rest) {
            let mut text = String::new();
            refused.read_to_string(&mut text).unwrap();
            assert_eq!(text, "failed too many orders at a time\n");
        }
    }
}
