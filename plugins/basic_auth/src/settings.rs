//! The configuration, checked.

use core::ops::RangeInclusive;
use std::path::PathBuf;

use swiftd_plugin::Host;
use swiftd_plugin_rules::{Prefix, lines};

/// What the operator wants.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The value of WWW-Authenticate.
    pub(crate) challenge: String,
    pub(crate) file: PathBuf,
    paths: Vec<Prefix>,
    /// `None`: all users of the file.
    pub(crate) require: Option<Vec<Vec<u8>>>,
    pub(crate) cache_entries: usize,
    pub(crate) cache_ttl_ms: u64,
    pub(crate) jobs_max: usize,
}

impl Settings {
    /// # Errors
    /// A value is missing or wrong; the text names it.
    pub(crate) fn read(host: &Host) -> Result<Self, String> {
        Ok(Self {
            challenge: challenge(host.config("realm").unwrap_or("restricted"))?,
            file: file(host.config("file"))?,
            paths: paths(host.config("paths").unwrap_or("/"))?,
            require: host.config("require").map(require).transpose()?,
            cache_entries: number(host, "cache", 256, 0..=4096)?,
            cache_ttl_ms: number(host, "cache_ttl", 300, 1..=86_400)? as u64 * 1000,
            jobs_max: number(host, "max_jobs", 8, 1..=64)?,
        })
    }

    /// Whether a path needs a user.
    pub(crate) fn protects(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|prefix| prefix.contains(path))
    }

    /// Whether a user of the file is one of those who may.
    pub(crate) fn admits(&self, user: &[u8]) -> bool {
        self.require
            .as_ref()
            .is_none_or(|users| users.iter().any(|other| other == user))
    }
}

/// RFC 7617 §2.1: UTF-8 is what we take names and passwords for.
fn challenge(realm: &str) -> Result<String, String> {
    if !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(format!(
            "realm: {realm:?}: expected visible ASCII characters and spaces"
        ));
    }
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
}

fn file(value: Option<&str>) -> Result<PathBuf, String> {
    match value.map(str::trim) {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        Some(path) => Err(format!("file: {path:?}: expected an absolute path")),
        None => Err("file: missing; expected the absolute path of a file made by htpasswd".into()),
    }
}

fn paths(value: &str) -> Result<Vec<Prefix>, String> {
    let paths: Vec<Prefix> = lines("paths", value)
        .map(|line| Prefix::parse(line.text()).map_err(|reason| line.error(reason)))
        .collect::<Result<_, _>>()?;
    if paths.is_empty() {
        return Err(
            "paths: empty, so nothing would be protected; expected lines such as /private".into(),
        );
    }
    Ok(paths)
}

fn require(value: &str) -> Result<Vec<Vec<u8>>, String> {
    let users: Vec<Vec<u8>> = lines("require", value)
        .map(|line| line.text().as_bytes().to_vec())
        .collect();
    if users.is_empty() {
        return Err("require: empty, so nobody would be let in; leave it out for all users".into());
    }
    Ok(users)
}

fn number(
    host: &Host,
    key: &str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, String> {
    let Some(text) = host.config(key) else {
        return Ok(default);
    };
    match text.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "{key}: not understood: {text:?}; expected a number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}
