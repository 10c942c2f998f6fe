//! What a configuration can be told about the machine before anything is touched: whether the
//! directories, files and users that it names are there.

use super::{Config, PAGE_BYTES_MAX};
use crate::sys::accounts;
use std::collections::BTreeSet;
use std::fs;
use std::io;
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
        .for_each(|path| directory("the directory of pid-file", path));
    // And after that.
    directory("temp-dir", &inside(config, &config.temporary));
    for (site, _) in config.sites() {
        directory("root", &inside(config, &site.root));
    }
    for log in config.log_files() {
        let log = inside(config, log);
        parent(&log)
            .iter()
            .for_each(|path| directory("the directory of log", path));
    }
    for (key, path, file) in files(config) {
        if let Err(why) = file {
            missing.insert(format!("{key} {}: {why}", shown(&path)));
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

/// The files that are read, by the keys that name them, and whether they can be.
fn files(config: &Config) -> Vec<(String, PathBuf, Result<(), String>)> {
    let mut files = Vec::new();
    for (site, rules) in config.sites() {
        for (status, page) in &rules.error_pages {
            let (path, hint) = match page.is_absolute() {
                true => (inside(config, page), BENEATH),
                false => (inside(config, &site.root).join(page), ""),
            };
            let found = page_at(&path, hint);
            files.push((format!("error-pages.{status}"), path, found));
        }
    }
    files
}

/// Elsewhere such a path is beneath the root, so it may have been meant.
const BENEATH: &str = " (one that begins without / is beneath the root)";

fn page_at(path: &Path, hint: &str) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| in_words(&error) + hint)?;
    if !found.is_file() {
        return Err("expected a file".into());
    }
    if found.len() > PAGE_BYTES_MAX {
        return Err("expected an error page of at most 64 KiB".into());
    }
    Ok(())
}

fn directory_at(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| in_words(&error))?;
    found
        .is_dir()
        .then_some(())
        .ok_or_else(|| "expected a directory".into())
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is none; make it, or name another".into(),
        _ => error.to_string(),
    }
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
