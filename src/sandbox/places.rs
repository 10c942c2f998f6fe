//! Which files and directories the configuration needs, and for what.
//!
//! A file that may be replaced while the server runs, by an editor or by rotation, is needed with the
//! directory that it is in: the kernel's rules are about the file that was there.

use super::needs::Kept;
use crate::config::{Config, Rules};
use crate::sys::landlock::Rights;
use crate::sys::socket::Address;
use std::path::{Path, PathBuf};

/// A file or a directory, and what may be done there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) rights: Rights,
}

/// A place that was granted, by its real name.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) path: PathBuf,
    pub(super) rights: Rights,
}

impl Grant {
    pub(super) fn of(path: &Path, rights: Rights) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { path, rights }
    }
}

/// What is written, and what is in it made and removed.
pub(super) const OWN: Rights = Rights::READ
    .and(Rights::WRITE)
    .and(Rights::MAKE_ALL)
    .and(Rights::REMOVE);

/// Where libraries are, and what finds them.
const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
];

/// What the C library and the server read of the system: about this process, the processors, the
/// local time.
const SYSTEM: &[&str] = &[
    "/proc",
    "/sys/devices/system/cpu",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/etc/localtime",
    "/etc/TZ",
    "/usr/share/zoneinfo",
];

/// What a user is looked up in, by the program that takes over.
const ACCOUNTS: &[&str] = &["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

/// What programs need that somebody else has written: others of their kind, and settings.
const PROGRAMS: &[&str] = &[
    "/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
];

/// The roots of all hosts.
pub(super) fn roots(config: &Config) -> Vec<PathBuf> {
    config
        .sites()
        .map(|(site, _)| absolute(&site.root))
        .collect()
}

/// All places, of the configuration and of what is kept beside it. Those that are not there are
/// among them.
pub(super) fn all(config: &Config, directories: &[PathBuf], kept: &Kept) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |path: PathBuf, rights| places.push(Place { path, rights });
    for root in roots(config) {
        add(root, Rights::READ);
    }
    for (_, rules) in config.sites() {
        for (path, rights) in of_rules(rules) {
            add(path, rights);
        }
    }
    for path in config.log_files() {
        let (path, rights) = of_log(path);
        add(path, rights);
    }
    let plugins = &config.plugins;
    for file in plugins.file.iter().chain(&plugins.config_file) {
        add(beside(file), Rights::READ);
    }
    for directory in directories {
        add(directory.clone(), Rights::READ);
    }
    let bodies = Rights::READ.and(Rights::WRITE).and(Rights::MAKE_FILES);
    let bodies = bodies.and(Rights::REMOVE);
    let temporary = absolute(&config.temporary);
    add(temporary, if kept.has_exec() { OWN } else { bodies });
    if let Some(file) = &config.service.pid_file {
        add(above(config, file), Rights::REMOVE);
    }
    for listen in &config.listen {
        if let Address::Unix(path) = &listen.address {
            let sockets = Rights::MAKE_SOCKETS.and(Rights::REMOVE);
            add(above(config, path), sockets);
        }
    }
    add("/dev/null".into(), Rights::READ.and(Rights::WRITE));
    if config.service.user.is_some() {
        for path in ACCOUNTS {
            add(path.into(), Rights::READ);
        }
    }
    for path in SYSTEM.iter().chain(LIBRARIES) {
        add(path.into(), Rights::READ);
    }
    for path in std::env::var_os("LD_LIBRARY_PATH").iter() {
        std::env::split_paths(path).for_each(|path| add(path, Rights::READ));
    }
    of_program(kept, &mut add);
    places.extend(kept.places());
    places
}

/// The server's own program, to be described and, if that is kept, started; and all others if there
/// are plugins that start some.
fn of_program(kept: &Kept, add: &mut impl FnMut(PathBuf, Rights)) {
    let running = Rights::READ.and(Rights::EXECUTE);
    // A new version is put in place of the file, or of a link to it.
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.filter(|path| path.components().count() > 1);
    for program in std::env::current_exe().into_iter().chain(called) {
        if kept.has_own_exec() {
            add(beside(&program), running);
        } else {
            add(absolute(&program), Rights::READ);
        }
    }
    if kept.has_exec() {
        for path in PROGRAMS {
            add(path.into(), running);
        }
        add("/etc".into(), Rights::READ);
        add("/dev/tty".into(), Rights::READ.and(Rights::WRITE));
        add("/dev/full".into(), Rights::READ.and(Rights::WRITE));
        add("/dev/shm".into(), OWN);
    } else if kept.has_own_exec() {
        // The kernel starts the loader first.
        for loader in loaders() {
            add(loader, running);
        }
    }
}

/// The programs that load libraries for programs: whatever is mapped here by such a name.
fn loaders() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_once('/'));
    let mut loaders: Vec<PathBuf> = paths
        .map(|(_, path)| PathBuf::from(format!("/{path}")))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("ld-") || name.starts_with("ld.so") || name == "libc.so"
        })
        .collect();
    loaders.dedup();
    loaders
}

fn of_rules(rules: &Rules) -> Vec<(PathBuf, Rights)> {
    let mut places = Vec::new();
    for (_, page) in &rules.error_pages {
        // Others are beneath the root.
        if page.is_absolute() {
            places.push((beside(page), Rights::READ));
        }
    }
    places
}

/// A log is renamed and made anew, but a pipe or a terminal stays what it is.
fn of_log(path: &Path) -> (PathBuf, Rights) {
    let is_special = path.metadata().is_ok_and(|meta| !meta.is_file());
    if is_special {
        (absolute(path), Rights::READ.and(Rights::WRITE))
    } else {
        (beside(path), Rights::WRITE.and(Rights::MAKE_FILES))
    }
}

/// The directory of what is removed in the end. Its path is meant from outside of the jail.
fn above(config: &Config, path: &Path) -> PathBuf {
    let path = absolute(path);
    let jail = config.service.chroot.as_ref();
    let inside = jail.and_then(|jail| path.strip_prefix(absolute(jail)).ok());
    let path = inside.map_or(path.clone(), |inside| Path::new("/").join(inside));
    path.parent().unwrap_or(&path).to_owned()
}

/// The directory that a file is in; for a link also that of what it leads to would be needed, but
/// what is put in its place is a file or another link. For a file right beneath `/` it is the file
/// itself, or everything would be granted.
pub(super) fn beside(path: &Path) -> PathBuf {
    let path = absolute(path);
    match path.parent() {
        Some(parent) if parent.parent().is_some() => parent.to_owned(),
        _ => path,
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stands_for_its_directory_but_never_for_everything() {
        for (path, wanted) in [("/a/b/c", "/a/b"), ("/a/b", "/a"), ("/a", "/a"), ("/", "/")] {
            assert_eq!(beside(Path::new(path)), Path::new(wanted));
        }
    }

    #[test]
    fn the_loader_of_this_program_is_found() {
        if cfg!(target_feature = "crt-static") {
            return;
        }
        assert!(loaders().iter().all(|path| path.is_file()));
        assert_eq!(loaders().len(), 1);
    }
}
