//! Where paths of the configuration begin, when the process does not stay where it was started.
//!
//! Outside of a jail are: the pid file, Unix sockets to listen at, the configuration file when it is
//! read first, and the user database. Inside is what is opened later: roots, logs, the list of
//! plugins and they themselves, the directory for temporary files, and the configuration file when
//! it is read again. A path that begins with that of the jail is meant as seen from outside.

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
        Ok(Self { start, jail })
    }

    /// What becomes the root directory.
    #[must_use]
    pub fn jail(&self) -> Option<&Path> {
        self.jail.as_deref()
    }

    /// Makes relative paths absolute.
    pub fn settle(&self, config: &mut Config) {
        let Some(start) = &self.start else {
            return;
        };
        let settle = |path: &mut PathBuf| *path = start.join(&*path);
        for listen in &mut config.listen {
            if let Address::Unix(path) = &mut listen.address {
                settle(path);
            }
        }
        config.service.pid_file.iter_mut().for_each(settle);
        each_inner(config, settle);
    }

    /// Makes paths what they are in the jail.
    pub fn settle_inside(&self, config: &mut Config) {
        let Some(jail) = &self.jail else {
            return;
        };
        each_inner(config, |path| {
            if let Ok(inside) = path.strip_prefix(jail) {
                *path = Path::new("/").join(inside);
            }
        });
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
        }
    }

    #[test]
    fn a_relative_path_is_that_of_the_start_and_one_below_the_jail_is_inside() {
        let mut config = Config::new("www".into());
        config.listen = vec![Address::Unix("sock".into()).into()];
        config.service.pid_file = Some("pid".into());
        config.rules.error_pages = vec![(404, "404.html".into()), (500, "/srv/500".into())];
        config.logs.error = Destination::File("/var/log/error".into());
        config.temporary = "/srv/tmp".into();
        let ground = ground("/srv");
        ground.settle(&mut config);
        assert_eq!(config.site.root, Path::new("/home/me/www"));
        let socket = Address::Unix("/home/me/sock".into());
        assert_eq!(config.listen[0].address, socket);
        assert_eq!(config.service.pid_file, Some("/home/me/pid".into()));
        ground.settle_inside(&mut config);
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
    fn who_stays_changes_nothing() {
        let ground = Ground::of(&Service::default()).unwrap();
        let mut config = Config::new("www".into());
        ground.settle(&mut config);
        ground.settle_inside(&mut config);
        assert_eq!(config.site.root, Path::new("www"));
        assert_eq!(ground.find(Path::new("c")), Path::new("c"));
    }
}
