//! Log files of a server that becomes somebody else, and of one that has no terminal.
//!
//! Logs are opened as whom they will be opened after a rotation; here is only seen to it that they are
//! there.

use super::failure;
use crate::cli::Failure;
use crate::config::{Config, Destination};
use crate::log;
use crate::plugin::permissions::{self, Trust};
use crate::sys::append::open_append;
use crate::sys::privileges::{self, Account};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Makes the log files that are not there, as root, where the account may not. Where somebody other
/// than root could change the way to a file, root makes none: a link there could have it made
/// anywhere. The account will make it then.
///
/// # Errors
/// A file cannot be made.
pub(super) fn make(config: &Config, account: &Account) -> Result<(), Failure> {
    let mut paths = config.log_files().filter(|path| is_of_root(path));
    paths.try_for_each(|path| {
        privileges::make_log(path, account).map_err(|error| refused(path, error))
    })
}

/// Whether only root could change the way to a file.
fn is_of_root(path: &Path) -> bool {
    let root = Trust {
        user: 0,
        is_of_root: true,
    };
    let steps = path.parent().map(permissions::walk);
    steps.is_some_and(|steps| steps.is_ok_and(|steps| permissions::judge(root, &steps).is_ok()))
}

/// What becomes a daemon's standard error: the error log, if it is a file.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open_for_stderr(config: &Config) -> Result<Option<OwnedFd>, Failure> {
    let path = of_stderr(config);
    let open = |path: &Path| open_append(path).map_err(|error| refused(path, error));
    path.map(open).transpose()
}

/// The file that a daemon's standard error is.
pub(super) fn of_stderr(config: &Config) -> Option<&Path> {
    match &config.logs.error {
        Destination::File(path) if config.service.is_daemon => Some(path),
        _ => None,
    }
}

/// A daemon has no standard error, so what would go there goes where the system's messages are.
pub(super) fn leave_stderr(config: &mut Config) {
    let hosts = config.hosts.iter_mut().map(|host| &mut host.rules);
    for rules in hosts.chain([&mut config.rules]) {
        if let Some(log) = &mut rules.access_log
            && log.destination == Destination::Stderr
        {
            log.destination = Destination::Syslog;
        }
    }
    if config.logs.error == Destination::Stderr {
        config.logs.error = Destination::Syslog;
    }
}

fn refused(path: &Path, error: io::Error) -> Failure {
    failure(log::Error::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn root_makes_nothing_where_others_could_have_put_a_link() {
        if privileges::effective_user() != 0 {
            eprintln!("skipped, it needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let set_mode = |mode| {
            std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(mode)).unwrap();
        };
        let log = directory.path().join("log");
        set_mode(0o755);
        assert!(is_of_root(&log));
        set_mode(0o775);
        assert!(!is_of_root(&log));
        set_mode(0o755);
        std::os::unix::fs::chown(directory.path(), Some(4321), None).unwrap();
        assert!(!is_of_root(&log));
        assert!(!is_of_root(&directory.path().join("missing/log")));
    }
}
