//! Who is let in: clients that have enough are turned away before a slot is spent on them, and so
//! is everybody but trusted proxies where only those may connect.
//!
//! A connection over the bound is reset at once. A response would cost a request's reading, and the
//! client could hold the connection meanwhile; a browser that is refused one waits for another.

use super::Server;
use super::doors::Door;
use crate::config;
use crate::config::Level;
use crate::conn::{Connection, Origin};
use crate::policy::Peer;
use crate::sys::socket::{self, Address};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

/// A connection that has been accepted.
#[derive(Debug)]
pub(super) struct Arrival {
    socket: OwnedFd,
    /// Who it is, where that matters.
    peer: Option<SocketAddr>,
    is_proxied: bool,
    is_unix: bool,
    /// Whether anything but the socket matters.
    is_judged: bool,
}

/// A connection that is one too many for its client, unless one of the others has ended: a client
/// that closes one before it opens the next is heard of in this order, but what the poll has to
/// report is looked at only once a turn. So it is judged again in the next.
#[derive(Debug)]
pub(super) struct Postponed {
    socket: OwnedFd,
    client: IpAddr,
}

impl Door {
    /// Accepts a connection. Who it is costs nothing where it does not matter: where no client
    /// `is_limited` and no proxy is expected.
    pub(super) fn take(&self, is_limited: bool) -> io::Result<Option<Arrival>> {
        let is_judged = self.asked.is_proxied || is_limited;
        let accepted = if is_judged {
            self.listener.accept_from()?
        } else {
            self.listener.accept()?.map(|socket| (socket, None))
        };
        Ok(accepted.map(|(socket, peer)| Arrival {
            socket,
            peer,
            is_proxied: self.asked.is_proxied,
            is_unix: matches!(self.listener.address(), Address::Unix(_)),
            is_judged,
        }))
    }
}

impl Server {
    /// Other bounds hold for clients from now on, and other proxies are trusted. Those who are
    /// connected stay, and count.
    pub fn set_clients(&mut self, bounds: &config::Clients) {
        let core = &mut self.core;
        core.policy.trusted = bounds.trusted();
        let was_limited = core.clients.is_limited();
        core.clients.set_bounds(bounds, core.now);
        if was_limited || !core.clients.is_limited() {
            return;
        }
        for index in self.slots.indices() {
            let Some(slot) = self.slots.get_mut(index) else {
                continue;
            };
            if !slot.connection.awaits_header()
                && let Some(peer) = slot.socket.peer()
                && let Some(place) = core.clients.take_place(peer.ip(), true, core.now)
            {
                core.clients.seat(index, place);
            }
        }
    }

    /// Lets a new connection in, or does not.
    pub(super) fn judge(&mut self, arrival: Arrival) {
        let socket = arrival.socket;
        if !arrival.is_judged {
            return self.admit(socket);
        }
        let address = arrival.peer.map(|peer| peer.ip());
        let peer = match address {
            Some(address) => Peer::Address(address),
            None if arrival.is_unix => Peer::Unix,
            None => Peer::Gone,
        };
        let core = &mut self.core;
        let is_trusted = core.policy.trusted.has(peer);
        let mut connection = Connection::new(core.now, &core.limits);
        let mut place = None;
        if arrival.is_proxied {
            if !is_trusted {
                core.clients.note_stranger(address);
                return socket::reset_on_close(socket.as_fd());
            }
            connection.expect_header(core.now, &core.limits);
        } else if let Peer::Address(client) = peer {
            if !is_trusted && !core.clients.has_room(client, core.now) {
                return self.postponed.push(Postponed { socket, client });
            }
            place = core.clients.take_place(client, is_trusted, core.now);
        }
        self.begin(connection, socket, place);
    }

    /// Lets those in whose others have ended meanwhile, and nobody else.
    pub(super) fn judge_postponed(&mut self) {
        if self.postponed.is_empty() {
            return;
        }
        for Postponed { socket, client } in std::mem::take(&mut self.postponed) {
            let is_full = self.slots.len() >= self.turn.connections_max && !self.make_room();
            let core = &mut self.core;
            let place = core.clients.take_place(client, false, core.now);
            // Without bounds, which may have come to an end meanwhile, there are no places.
            if is_full || (place.is_none() && core.clients.is_limited()) {
                core.clients.give_back(place);
                socket::reset_on_close(socket.as_fd());
                continue;
            }
            let connection = Connection::new(core.now, &core.limits);
            self.begin(connection, socket, place);
        }
    }

    /// A connection ends.
    pub(super) fn leave(&mut self, index: u32) {
        self.core.clients.leave(index);
        if let Some(slot) = self.slots.get_mut(index)
            && slot.connection.lacks_header()
        {
            let proxy = slot.socket.peer().map(|peer| peer.ip());
            self.core.clients.note_no_header(proxy);
        }
    }

    /// Tells the log of those who were refused, now and then.
    pub(super) fn complain_of_clients(&mut self) {
        if let Some(line) = self.core.clients.take_line(self.core.now) {
            self.log.write(Level::Warning, format_args!("{line}"));
        }
    }
}
