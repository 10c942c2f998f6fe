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
use crate::server::{Error, Heirloom};
use crate::sys::activation::Inherited;
use crate::sys::socket::{Address, Listener};
use std::path::PathBuf;

/// Opens all, where possible with what was handed over by a service manager or left by a
/// predecessor. Afterwards `config.listen` has an entry for each, in the same order.
///
/// # Errors
/// A socket cannot be bound, or what was handed over is none; nothing is left behind.
pub(super) fn open(
    config: &mut Config,
    inherited: Vec<Inherited>,
    heirlooms: Vec<Heirloom>,
) -> Result<Vec<Listener>, Failure> {
    let adopt = |given: Inherited| {
        let label = given.label;
        Heirloom::given(given.descriptor).map_err(|error| {
            failure(format_args!(
                "the socket that was handed over as {label}: {error}"
            ))
        })
    };
    let mut adopted: Vec<Heirloom> = inherited.into_iter().map(adopt).collect::<Result<_, _>>()?;
    let is_told = adopted.is_empty();
    adopted.extend(heirlooms);
    let is_given = |heirloom: &Heirloom| heirloom.listener.is_inherited();
    if !adopted.iter().any(is_given) {
        return bind(config, adopted);
    }
    let mut wanted = std::mem::take(&mut config.listen);
    let is_default = wanted == Config::new(PathBuf::new()).listen;
    if is_default && find(&adopted, &wanted[0].address).is_none() {
        wanted.clear();
    }
    let mut listeners = Vec::new();
    for listen in wanted {
        let listener = match find(&adopted, &listen.address) {
            Some(at) => adopted.remove(at).listener,
            None => Listener::bind(&listen.address)
                .map_err(|error| failure(Error::Listen(listen.address.clone(), error)))?,
        };
        listeners.push(listener);
        config.listen.push(listen);
    }
    // Others that a predecessor has left are its own to close.
    for listener in adopted.into_iter().filter(is_given).map(|it| it.listener) {
        let address = listener.address().clone();
        if !is_default && !is_told {
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

/// Binds what is configured, or takes what a predecessor has left of it.
fn bind(config: &Config, mut left: Vec<Heirloom>) -> Result<Vec<Listener>, Failure> {
    let open = |listen: &Listen| match find(&left, &listen.address) {
        Some(at) => Ok(left.remove(at).listener),
        None => Listener::bind(&listen.address)
            .map_err(|error| failure(Error::Listen(listen.address.clone(), error))),
    };
    config.listen.iter().map(open).collect()
}

fn find(listeners: &[Heirloom], address: &Address) -> Option<usize> {
    listeners.iter().position(|it| it.is_at(address))
}
