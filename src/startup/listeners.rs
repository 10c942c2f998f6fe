//! Where the server listens: sockets that a service manager has bound, and those that it binds.
//!
//! A socket that was handed over is always used, because a socket unit says so; one whose address is
//! in the configuration too is used instead of binding it, with what is set for it there. What is
//! configured and was not handed over is bound. The address that holds when nothing is said does not
//! when sockets were handed over.

use super::{failure, notice};
use crate::cli::Failure;
use crate::config::LISTENERS_MAX;
use crate::config::{Config, Listen};
use crate::server::{Error, Server};
use crate::sys::activation::Inherited;
use crate::sys::socket::{Address, Listener};
use std::path::PathBuf;

/// Opens all. Afterwards `config.listen` has an entry for each, in the same order.
///
/// # Errors
/// A socket cannot be bound, or what was handed over is none; nothing is left behind.
pub(super) fn open(
    config: &mut Config,
    inherited: Vec<Inherited>,
) -> Result<Vec<Listener>, Failure> {
    if inherited.is_empty() {
        return Server::bind(config).map_err(failure);
    }
    let adopt = |given: Inherited| {
        let label = given.label;
        Listener::adopt(given.descriptor).map_err(|error| {
            failure(format_args!(
                "the socket that was handed over as {label}: {error}"
            ))
        })
    };
    let mut adopted: Vec<Listener> = inherited.into_iter().map(adopt).collect::<Result<_, _>>()?;
    let mut wanted = std::mem::take(&mut config.listen);
    let is_default = wanted == Config::new(PathBuf::new()).listen;
    if is_default && find(&adopted, &wanted[0].address).is_none() {
        wanted.clear();
    }
    let mut listeners = Vec::new();
    for listen in wanted {
        let listener = match find(&adopted, &listen.address) {
            Some(at) => adopted.remove(at),
            None => Listener::bind(&listen.address)
                .map_err(|error| failure(Error::Listen(listen.address.clone(), error)))?,
        };
        listeners.push(listener);
        config.listen.push(listen);
    }
    for listener in adopted {
        let address = listener.address().clone();
        if !is_default {
            notice(format_args!(
                "{address} was handed over by the service manager and is served, but is not configured"
            ));
        }
        config.listen.push(Listen::from(address));
        listeners.push(listener);
    }
    if listeners.len() > LISTENERS_MAX {
        return Err(failure(format_args!(
            "more than {LISTENERS_MAX} addresses to listen on"
        )));
    }
    Ok(listeners)
}

fn find(listeners: &[Listener], address: &Address) -> Option<usize> {
    listeners.iter().position(|it| it.address() == address)
}
