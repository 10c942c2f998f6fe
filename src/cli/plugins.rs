//! What the command line says about plugins.

use super::{Command, Error, Given, request};
use crate::config::{Config, NAME_FORM, PluginValue, is_plugin_name};
use crate::plugin::trial::Depth;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What `--try-plugin`, `--check-plugin` and their companions say.
#[derive(Default)]
pub(super) struct Trial {
    pub(super) file: Option<PathBuf>,
    pub(super) reload: Option<u32>,
    pub(super) checked: Option<PathBuf>,
    pub(super) is_begun: bool,
    /// This process is a child that tries a plugin.
    pub(super) child: Option<(String, Depth)>,
}

impl Trial {
    /// Whether any of them was given.
    pub(super) fn is_wanted(&self) -> bool {
        self.file.is_some()
            || self.reload.is_some()
            || self.checked.is_some()
            || self.is_begun
            || self.child.is_some()
    }

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
        if let Some((name, depth)) = self.child {
            let settings = Box::new(config.plugins);
            return Ok(Command::Trial {
                name,
                depth,
                settings,
            });
        }
        if self.checked.is_some() || self.is_begun {
            return self.check(&arguments, config);
        }
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
        Ok(Command::TryPlugin {
            file,
            request: request::parse(&request)?,
            reload: self.reload.unwrap_or(0),
            config: Box::new(config),
        })
    }

    fn check(self, arguments: &[OsString], config: Config) -> Result<Command, Error> {
        let file = self
            .checked
            .ok_or_else(|| Error("--init goes with --check-plugin".into()))?;
        if self.file.is_some() || self.reload.is_some() || !arguments.is_empty() {
            return Err(Error(
                "--check-plugin takes one file, --init and --set, and nothing else".into(),
            ));
        }
        Ok(Command::CheckPlugin {
            file,
            is_begun: self.is_begun,
            settings: Box::new(config.plugins),
        })
    }
}

/// Sets what takes no value.
pub(super) fn set_flag(config: &mut Config, trial: &mut Trial, name: &str) {
    match name {
        "init" => trial.is_begun = true,
        "plugin-optional" => config.plugins.is_optional = true,
        "supervise" => config.plugins.is_supervised = true,
        "daemon" => config.service.is_daemon = true,
        _ => unreachable!("the list of flags and this one are the same"),
    }
}

pub(super) fn file(option: &str, value: OsString) -> Result<PathBuf, Error> {
    if value.is_empty() {
        return Err(Error(format!("--{option} \"\": expected a file")));
    }
    Ok(value.into())
}

/// A plugin's name.
pub(super) fn name(value: &OsStr) -> Result<String, Error> {
    let name = value.to_str().filter(|name| is_plugin_name(name));
    name.map(str::to_owned)
        .ok_or_else(|| Error(format!("--require-plugin {value:?}: {NAME_FORM}")))
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
    [Depth::Load, Depth::Unload, Depth::Begin]
        .into_iter()
        .find(|depth| depth.option() == option)
}
