//! What a configuration means when the process does not stay where it was started.
//!
//! Outside of a jail are: the pid file, Unix sockets to listen at, the configuration file when it is
//! read first, and the user database. Inside is what is opened later: roots, logs, the list of
//! plugins and they themselves, the directory for temporary files, and the configuration file when
//! it is read again. A path that begins with that of the jail is meant as seen from outside.
//!
//! In the background there is no standard error.

use crate::config::file::STDIN;
use crate::config::{Config, Destination, Service};
use crate::sys::socket::Address;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the paths of a configuration, also of one that is read later, mean what they did at the
/// start.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Where the process was started, if it goes away from there.
    start: Option<PathBuf>,
    jail: Option<PathBuf>,
    is_daemon: bool,
}

impl Ground {
    /// What a configuration makes of this process, which has not moved yet.
    ///
    /// # Errors
    /// The working directory is not there any more.
    pub fn of(service: &Service) -> io::Result<Self> {
        let moves = service.is_daemon || service.chroot.is_some();
        let start = moves.then(std::env::current_dir).transpose()?;
        let jail = service.chroot.as_ref();
        let jail = jail.map(|jail| {
            start
                .iter()
                .fold(jail.clone(), |jail, start| start.join(jail))
        });
        Ok(Self {
            start,
            jail,
            is_daemon: service.is_daemon,
        })
    }

    /// What becomes the root directory.
    #[must_use]
    pub fn jail(&self) -> Option<&Path> {
        self.jail.as_deref()
    }

    /// Makes relative paths absolute, and a daemon's standard error the system's log.
    pub fn settle(&self, config: &mut Config) {
        if self.is_daemon {
            super::logs::leave_stderr(config);
        }
        let Some(start) = &self.start else {
            return;
        };
        let settle = |path: &mut PathBuf| *path = start.join(&*path);
        each_outer(config, settle);
        each_inner(config, settle);
    }

    /// Makes paths what they are in the jail. Those of the pid file and of sockets that are outside stay
    /// what they were called; the server can neither open nor remove them any more.
    pub fn settle_inside(&self, config: &mut Config) {
        let Some(jail) = &self.jail else {
            return;
        };
        let settle = |path: &mut PathBuf| {
            if let Ok(inside) = path.strip_prefix(jail) {
                *path = Path::new("/").join(inside);
            }
        };
        each_outer(config, settle);
        each_inner(config, settle);
    }

    /// A file as this process finds it now: for the configuration, which is read again.
    #[must_use]
    pub fn find(&self, path: &Path) -> PathBuf {
        let path = match &self.start {
            Some(start) => start.join(path),
            None => path.to_owned(),
        };
        match self.jail.as_deref().map(|jail| path.strip_prefix(jail)) {
            Some(Ok(inside)) => Path::new("/").join(inside),
            _ => path,
        }
    }
}

/// The paths that are opened before the jail is entered.
fn each_outer(config: &mut Config, mut change: impl FnMut(&mut PathBuf)) {
    for listen in &mut config.listen {
        if let Address::Unix(path) = &mut listen.address {
            change(path);
        }
    }
    config.service.pid_file.iter_mut().for_each(change);
}

/// The paths that are opened in the jail.
fn each_inner(config: &mut Config, mut change: impl FnMut(&mut PathBuf)) {
    let hosts = config.hosts.iter_mut();
    let hosts = hosts.map(|host| (&mut host.site, &mut host.rules));
    for (site, rules) in hosts.chain([(&mut config.site, &mut config.rules)]) {
        change(&mut site.root);
        if let Some(log) = &mut rules.access_log
            && let Destination::File(path) = &mut log.destination
        {
            change(path);
        }
        for (_, page) in &mut rules.error_pages {
            // Relative ones are beneath the root, wherever that is.
            if page.is_absolute() {
                change(page);
            }
        }
    }
    if let Destination::File(path) = &mut config.logs.error {
        change(path);
    }
    change(&mut config.temporary);
    config.plugins.file.iter_mut().for_each(&mut change);
    let file = config.plugins.config_file.iter_mut();
    file.filter(|path| **path != Path::new(STDIN))
        .for_each(&mut change);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(jail: &str) -> Ground {
        Ground {
            start: Some("/home/me".into()),
            jail: Some(jail.into()),
            is_daemon: true,
        }
    }

    #[test]
    fn a_relative_path_is_that_of_the_start_and_one_below_the_jail_is_inside() {
        let mut config = Config::new("www".into());
        config.listen = vec![Address::Unix("sock".into()).into()];
        config.service.pid_file = Some("/srv/run/pid".into());
        config.rules.error_pages = vec![(404, "404.html".into()), (500, "/srv/500".into())];
        config.logs.error = Destination::File("/var/log/error".into());
        config.temporary = "/srv/tmp".into();
        let ground = ground("/srv");
        ground.settle(&mut config);
        assert_eq!(config.site.root, Path::new("/home/me/www"));
        let socket = Address::Unix("/home/me/sock".into());
        assert_eq!(config.listen[0].address, socket);
        ground.settle_inside(&mut config);
        // Outside, and inside.
        assert_eq!(config.listen[0].address, socket);
        assert_eq!(config.service.pid_file, Some("/run/pid".into()));
        assert_eq!(config.site.root, Path::new("/home/me/www"));
        assert_eq!(config.temporary, Path::new("/tmp"));
        let pages: [(u16, PathBuf); 2] = [(404, "404.html".into()), (500, "/500".into())];
        assert_eq!(config.rules.error_pages, pages);
        assert_eq!(
            config.logs.error,
            Destination::File("/var/log/error".into())
        );
        assert_eq!(ground.find(Path::new("/srv/etc/c")), Path::new("/etc/c"));
        assert_eq!(ground.find(Path::new("c")), Path::new("/home/me/c"));
    }

    #[test]
    fn a_daemon_has_no_standard_error() {
        let mut config = Config::new("www".into());
        ground("/srv").settle(&mut config);
        assert_eq!(config.logs.error, Destination::Syslog);
    }

    #[test]
    fn who_stays_changes_nothing() {
        let ground = Ground::of(&Service::default()).unwrap();
        let mut config = Config::new("www".into());
        ground.settle(&mut config);
        ground.settle_inside(&mut config);
        assert_eq!(config.site.root, Path::new("www"));
        assert_eq!(config.logs.error, Destination::Stderr);
        assert_eq!(ground.find(Path::new("c")), Path::new("c"));
    }
}
