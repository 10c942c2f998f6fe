//! What a server is given for its later life: where its configuration comes from, how a newer program
//! is started, where orders are taken, and whom it follows.

use super::{Ground, notice};
use crate::cli;
use crate::config::{Config, PluginSettings, Turn};
use crate::control::Desk;
use crate::server::{Heirloom, Source};
use crate::sys::heir::{Program, Report};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a predecessor has left, as far as nobody has taken it yet.
pub(super) struct Bequest {
    pub(super) heirlooms: Vec<Heirloom>,
    pub(super) pid_file: Option<OwnedFd>,
    pub(super) report: Option<Report>,
}

/// What a server needs for what comes after the start.
pub(super) struct Lifecycle<'a> {
    pub(super) source: Source,
    pub(super) program: Option<Program>,
    pub(super) desk: io::Result<Desk>,
    /// It stays with whoever tells of a failure until there can be none any more.
    pub(super) report: &'a mut Option<Report>,
}

/// Reads the configuration as it was read at the start, from wherever this process is now.
pub(super) fn source(ground: Ground) -> Source {
    Arc::new(move || {
        let arguments = std::env::args_os().collect();
        let command = cli::load_at(arguments, |path| ground.find(path));
        match command.map_err(|failure| failure.message)? {
            cli::Command::Serve(mut config) => {
                ground.settle(&mut config);
                ground.settle_inside(&mut config);
                Ok(*config)
            }
            _ => Err("the command line does not say any more what to serve".into()),
        }
    })
}

/// A worker that follows upon another serves what a reload may have changed meanwhile.
pub(super) fn renew(config: Config, source: &Source) -> Config {
    match source() {
        // The supervisor has bound the listeners, stays, and waits for as long as it was told.
        Ok(fresh) => Config {
            listen: config.listen,
            service: config.service,
            turn: Turn {
                drain_timeout: config.turn.drain_timeout,
                ..fresh.turn
            },
            plugins: PluginSettings {
                is_supervised: config.plugins.is_supervised,
                hang: config.plugins.hang,
                ..fresh.plugins
            },
            ..fresh
        },
        Err(faults) => {
            let first = faults.lines().next().unwrap_or_default();
            notice(format_args!(
                "the worker serves what the first one did: {first}"
            ));
            config
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_worker_that_follows_takes_what_is_not_its_supervisors() {
        let mut first = Config::new("/first".into());
        first.plugins.is_supervised = true;
        first.turn.drain_timeout = Duration::from_secs(3);
        let source: Source = Arc::new(|| {
            let mut fresh = Config::new("/fresh".into());
            fresh.listen.clear();
            fresh.turn.drain_timeout = Duration::from_secs(300);
            fresh.turn.connections_max = 7;
            Ok(fresh)
        });
        let renewed = renew(first.clone(), &source);
        assert_eq!(renewed.site.root.to_str(), Some("/fresh"));
        assert_eq!(renewed.turn.connections_max, 7);
        assert_eq!(renewed.listen, first.listen);
        assert_eq!(renewed.turn.drain_timeout, first.turn.drain_timeout);
        // Otherwise it would give way to a new program, or listen by itself.
        assert!(renewed.plugins.is_supervised);
    }
}
