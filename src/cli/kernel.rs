//! What the command line says about the kernel: what to do without, and what to be locked in by.

use super::Error;
use crate::config::{Config, Mode, Need};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub(super) fn mode(option: &str, value: &OsStr) -> Result<Mode, Error> {
    match value.as_bytes() {
        b"off" => Ok(Mode::Off),
        b"best-effort" => Ok(Mode::BestEffort),
        b"required" => Ok(Mode::Required),
        _ => Err(Error(format!(
            "--{option} {value:?}: expected off, best-effort or required"
        ))),
    }
}

pub(super) fn need(value: &OsStr) -> Result<Need, Error> {
    let text = value.to_string_lossy();
    Need::allow(&text).map_err(|why| Error(format!("--allow {why}")))
}

pub(super) fn avoid(config: &mut Config, value: &OsStr) -> Result<(), Error> {
    let features = &mut config.site.features;
    match value.as_bytes() {
        b"openat2" => features.openat2 = false,
        b"resolve-cached" => features.resolve_cached = false,
        b"nowait" => features.nowait = false,
        b"cachestat" => features.cachestat = false,
        _ => {
            return Err(Error(format!(
                "--avoid {value:?}: expected openat2, resolve-cached, nowait or cachestat"
            )));
        }
    }
    Ok(())
}
