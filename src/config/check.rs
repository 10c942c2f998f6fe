//! What a configuration can be told about the machine before anything is touched: whether the
//! directories, files and users that it names are there.

use super::{Config, Destination};
use crate::sys::accounts;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is not as `config` needs it, a line each.
#[must_use]
pub fn surroundings(config: &Config) -> Vec<String> {
    let mut missing = Vec::new();
    let inside = |path: &Path| inside(config, path);
    let mut directory = |key: &str, path: &Path| {
        if let Err(why) = is_directory(path) {
            missing.push(format!("{key} {path:?}: {why}"));
        }
    };
    if let Some(jail) = &config.service.chroot {
        directory("chroot", jail);
    }
    let roots = config.hosts.iter().map(|host| &host.site.root);
    let roots: BTreeSet<&PathBuf> = roots.chain([&config.site.root]).collect();
    for root in roots {
        directory("root", root);
    }
    directory("temp-dir", &inside(&config.temporary));
    for (key, log) in logs(config) {
        if let Some(parent) = log.parent() {
            directory(key, parent);
        }
    }
    if let Some(parent) = config.service.pid_file.as_deref().and_then(Path::parent) {
        directory("pid-file", parent);
    }
    if let Some(list) = &config.plugins.file
        && !config.plugins.is_optional
        && let Err(error) = fs::metadata(list)
    {
        missing.push(format!("plugins {list:?}: {error}"));
    }
    missing.extend(error_pages(config));
    missing.extend(people(config));
    missing
}
