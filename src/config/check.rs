//! What a configuration can be told about the machine before anything is touched: whether the
//! directories, files and users that it names are there.

use super::{Config, PAGE_BYTES_MAX};
use crate::sys::accounts;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is not as `config` needs it, a line each.
#[must_use]
pub fn surroundings(config: &Config) -> Vec<String> {
    let mut missing = BTreeSet::new();
    let mut directory = |key: &str, path: &Path| {
        if let Err(why) = directory_at(path) {
            missing.insert(format!("{key} {}: {why}", shown(path)));
        }
    };
    // What is opened before the process locks itself in.
    config
        .service
        .chroot
        .iter()
        .for_each(|jail| directory("chroot", jail));
    let pid_file = config.service.pid_file.as_deref();
    pid_file
        .and_then(parent)
        .iter()
        .for_each(|path| directory("pid-file", path));
    // And after that.
    directory("temp-dir", &inside(config, &config.temporary));
    for host in hosts(config) {
        directory("root", &inside(config, host.root));
    }
    for log in config.log_files() {
        let log = inside(config, log);
        parent(&log).iter().for_each(|path| directory("log", path));
    }
    for (path, file) in files(config) {
        if let Err(why) = file {
            missing.insert(format!("{}: {why}", shown(&path)));
        }
    }
    let service = &config.service;
    if let Some(user) = &service.user
        && let Err(error) = accounts::find(user, service.group.as_deref())
    {
        missing.insert(error.to_string());
    }
    missing.into_iter().collect()
}

/// What of a host is on disk.
struct OnDisk<'a> {
    root: &'a Path,
    pages: &'a [(u16, PathBuf)],
}

fn hosts(config: &Config) -> impl Iterator<Item = OnDisk<'_>> {
    let others = config.hosts.iter().map(|host| (&host.site, &host.rules));
    let all = std::iter::once((&config.site, &config.rules)).chain(others);
    all.map(|(site, rules)| OnDisk {
        root: &site.root,
        pages: &rules.error_pages,
    })
}

/// The files that are read, and whether they can be.
fn files(config: &Config) -> Vec<(PathBuf, Result<(), String>)> {
    let mut files = Vec::new();
    let list = config.plugins.file.iter();
    for list in list.filter(|_| !config.plugins.is_optional) {
        let path = inside(config, list);
        let found = fs::metadata(&path).map_err(|error| error.to_string());
        files.push((path, found.map(|_| ())));
    }
    for host in hosts(config) {
        for (_, page) in host.pages {
            let path = match page.is_absolute() {
                true => inside(config, page),
                false => inside(config, host.root).join(page),
            };
            let found = page_at(&path);
            files.push((path, found));
        }
    }
    files
}

fn page_at(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("expected a file".into());
    }
    if found.len() > PAGE_BYTES_MAX {
        return Err("expected an error page of at most 64 KiB".into());
    }
    Ok(())
}

fn directory_at(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    found
        .is_dir()
        .then_some(())
        .ok_or_else(|| "expected a directory".into())
}

/// A path as it is seen from outside of the jail, if there is one.
fn inside(config: &Config, path: &Path) -> PathBuf {
    match &config.service.chroot {
        Some(jail) if !path.starts_with(jail) => jail.join(path.strip_prefix("/").unwrap_or(path)),
        _ => path.to_owned(),
    }
}

/// The directory of a file.
fn parent(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
