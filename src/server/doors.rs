//! Where the server listens, and how that changes while it runs.
//!
//! A listener that is to stay is never touched: what waits in its queue waits on. New ones are
//! opened before anything is changed, by a helper thread; opening is what can fail. Those that are
//! no longer wanted are emptied before they are closed, so that nobody is turned away who has
//! connected already.

use super::{Error, Server, key};
use crate::config::{Config, Listen};
use crate::sys::poll::Poll;
use crate::sys::socket::{Address, Listener};
use std::fmt;
use std::io;
use std::os::fd::AsFd;

/// A listener and what is known of it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: Listener,
    /// What the configuration says of it. The port may be 0 there.
    pub(super) asked: Listen,
    /// Its key of the poll.
    pub(super) key: usize,
    /// accept(2) may succeed.
    pub(super) is_ready: bool,
}

/// How many connections are taken from a queue before it is closed. More than a backlog need not
/// be.
const LAST_ACCEPTS_MAX: usize = 4096;

/// What is known of a door while it is in use elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    key: usize,
    asked: Listen,
    bound: Address,
    /// A service manager has opened it.
    is_given: bool,
}

/// A door of the configuration to come.
#[derive(Debug)]
pub(super) enum Planned {
    /// One that is there.
    Stays { key: usize, asked: Listen },
    /// One that has been opened for it.
    New { listener: Listener, asked: Listen },
}

/// How many doors a commit has added and taken away.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) added_count: usize,
    pub(super) removed_count: usize,
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    /// One of them is not to be had; nothing is left behind.
    pub fn bind(config: &Config) -> Result<Vec<Listener>, Error> {
        config.listen.iter().map(open).collect()
    }

    /// What [`plan`] must know of the doors.
    pub(super) fn standing(&self) -> Vec<Standing> {
        let of_door = |door: &Door| Standing {
            key: door.key,
            asked: door.asked.clone(),
            bound: door.listener.address().clone(),
            is_given: door.listener.is_inherited(),
        };
        self.doors.iter().map(of_door).collect()
    }

    /// Puts the doors as planned, or leaves all as it was.
    ///
    /// # Errors
    /// The poll does not take a new one.
    pub(super) fn exchange_doors(&mut self, planned: Vec<Planned>) -> Result<Exchange, Error> {
        let used: Vec<usize> = self.doors.iter().map(|door| door.key).collect();
        let mut free = (key::DOORS..key::SLOTS).filter(|key| !used.contains(key));
        let (mut new, mut staying) = (Vec::new(), Vec::new());
        for planned in planned {
            match planned {
                Planned::Stays { key, asked } => staying.push((key, asked)),
                Planned::New { listener, asked } => {
                    let key = free.next().ok_or_else(|| no_key(&asked.address))?;
                    new.push(watch(listener, asked, key, &self.poll)?);
                }
            }
        }
        let mut exchange = Exchange {
            added_count: new.len(),
            removed_count: 0,
        };
        let mut before = std::mem::replace(&mut self.doors, new);
        for (key, asked) in staying {
            let at = before.iter().position(|door| door.key == key);
            let mut door = before.swap_remove(at.expect("doors do not go during a preparation"));
            door.asked = asked;
            self.doors.push(door);
        }
        exchange.removed_count = before.len();
        for door in before {
            self.empty(&door);
        }
        Ok(exchange)
    }

    /// Takes who has connected already to a door that is about to be closed.
    fn empty(&mut self, door: &Door) {
        for _ in 0..LAST_ACCEPTS_MAX {
            if self.slots.len() >= self.turn.connections_max {
                return;
            }
            let Ok(Some(arrival)) = door.take(self.core.clients.is_limited()) else {
                return;
            };
            self.judge(arrival);
        }
    }
}

/// Watches the first listeners. They are those of the configuration, in its order, unless somebody
/// else has chosen them.
pub(super) fn open_doors(
    listeners: Vec<Listener>,
    asked: &[Listen],
    poll: &Poll,
) -> Result<Vec<Door>, Error> {
    let is_asked = listeners.len() == asked.len();
    let open = |(index, listener): (usize, Listener)| {
        let own = || Listen::from(listener.address().clone());
        let asked = asked.get(index).filter(|_| is_asked);
        let asked = asked.cloned().unwrap_or_else(own);
        let key = key::DOORS + index;
        if key >= key::SLOTS {
            return Err(no_key(listener.address()));
        }
        watch(listener, asked, key, poll)
    };
    listeners.into_iter().enumerate().map(open).collect()
}

/// Leaves the doors as they are.
pub(super) fn plan_nothing(standing: Vec<Standing>) -> Vec<Planned> {
    let stays = |Standing { key, asked, .. }| Planned::Stays { key, asked };
    standing.into_iter().map(stays).collect()
}

/// Finds for each address the door that is there, or opens one. What a service manager has opened
/// stays in any case. It may wait for a disk, where a socket is a file.
///
/// # Errors
/// One of them is not to be had; nothing is left behind.
pub(super) fn plan(asked: &[Listen], mut standing: Vec<Standing>) -> Result<Vec<Planned>, Error> {
    let mut stays: Vec<Option<usize>> = vec![None; asked.len()];
    // What was asked for in the same words first: port 0 twice means two ports.
    let same_words = |standing: &Standing, address: &Address| standing.asked.address == *address;
    let same_place = |standing: &Standing, address: &Address| standing.bound == *address;
    for is_same in [&same_words as &dyn Fn(&_, &_) -> bool, &same_place] {
        for (asked, stays) in asked.iter().zip(&mut stays) {
            let found = standing.iter().position(|s| is_same(s, &asked.address));
            if let Some(at) = found.filter(|_| stays.is_none()) {
                *stays = Some(standing.swap_remove(at).key);
            }
        }
    }
    let planned = asked.iter().zip(stays).map(|(asked, key)| match key {
        Some(key) => Ok(Planned::Stays {
            key,
            asked: asked.clone(),
        }),
        None => open(asked)
            .map(|listener| Planned::New {
                listener,
                asked: asked.clone(),
            })
            .map_err(|error| in_the_way(error, &standing)),
    });
    let mut planned: Vec<Planned> = planned.collect::<Result<_, _>>()?;
    standing.retain(|standing| standing.is_given);
    planned.extend(plan_nothing(standing));
    Ok(planned)
}

/// An address may be refused because a door has it that is about to go.
fn in_the_way(error: Error, going: &[Standing]) -> Error {
    let Error::Listen(Address::Tcp(wanted), cause) = &error else {
        return error;
    };
    let overlaps = |standing: &&Standing| match &standing.bound {
        Address::Tcp(bound) => bound.port() == wanted.port() && bound.is_ipv4() == wanted.is_ipv4(),
        Address::Unix(_) => false,
    };
    match going.iter().find(overlaps) {
        Some(other) if cause.kind() == io::ErrorKind::AddrInUse => {
            Error::Overlap(Address::Tcp(*wanted), other.bound.clone())
        }
        _ => error,
    }
}

fn open(listen: &Listen) -> Result<Listener, Error> {
    let address = &listen.address;
    Listener::bind(address).map_err(|error| Error::Listen(address.clone(), error))
}

fn watch(listener: Listener, asked: Listen, key: usize, poll: &Poll) -> Result<Door, Error> {
    poll.add_readable(listener.as_fd(), key)
        .map_err(|error| Error::Listen(listener.address().clone(), error))?;
    Ok(Door {
        listener,
        asked,
        key,
        is_ready: true,
    })
}

fn no_key(address: &Address) -> Error {
    let error = io::Error::other("there are too many listeners");
    Error::Listen(address.clone(), error)
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (added, removed) = (self.added_count, self.removed_count);
        write!(f, "listeners ({added} opened, {removed} closed)")
    }
}
