//! What the command line says about plugins.

use super::{Command, Error, Given};
use crate::config::{Config, PluginValue};
use crate::plugin::trial::Depth;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What `--try-plugin` and its companions say.
#[derive(Default)]
pub(super) struct Trial {
    pub(super) file: Option<PathBuf>,
    pub(super) reload: Option<u32>,
}

impl Trial {
    pub(super) fn set_reload(&mut self, value: &OsStr) -> Result<(), Error> {
        let name = "reload";
        let number = Given { name, value }.number(0, 1_000_000)?;
        self.reload = Some(number as u32);
        Ok(())
    }

    pub(super) fn command(
        self,
        arguments: Vec<OsString>,
        config: Config,
    ) -> Result<Command, Error> {
        let file = self
            .file
            .ok_or_else(|| Error("--reload goes with --try-plugin".into()))?;
        let [request] = <[OsString; 1]>::try_from(arguments).map_err(|arguments| {
            let count = arguments.len();
            Error(format!(
                "--try-plugin needs one request, not {count}, as in: swiftd --try-plugin FILE 'GET / HTTP/1.1'"
            ))
        })?;
        let request = request
            .into_string()
            .map_err(|request| Error(format!("{request:?}: expected a request in UTF-8")))?;
        if request.trim().is_empty() {
            return Err(Error("the request is empty; try: 'GET / HTTP/1.1'".into()));
        }
        Ok(Command::TryPlugin {
            file,
            request,
            reload: self.reload.unwrap_or(0),
            values: config.plugins.values,
            config_file: config.plugins.config_file,
        })
    }
}

pub(super) fn file(option: &str, value: OsString) -> Result<PathBuf, Error> {
    if value.is_empty() {
        return Err(Error(format!("--{option} \"\": expected a file")));
    }
    Ok(value.into())
}

pub(super) fn plugin_value(value: &OsStr) -> Result<PluginValue, Error> {
    let refuse = |what| Error(format!("--set {value:?}: {what}"));
    let text = value.to_str().ok_or_else(|| refuse("expected UTF-8"))?;
    PluginValue::parse(text).map_err(refuse)
}

pub(super) fn on_or_off(option: &str, value: &OsStr) -> Result<bool, Error> {
    match value.as_bytes() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Error(format!("--{option} {value:?}: expected on or off"))),
    }
}

/// How far a child goes that was started to try a library out, if this option says so.
pub(super) fn child_of_trial(option: &str) -> Option<Depth> {
    [Depth::Load, Depth::Unload]
        .into_iter()
        .find(|depth| depth.option() == option)
}
