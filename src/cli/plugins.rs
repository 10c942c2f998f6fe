//! What the command line says about plugins.

use super::{Command, Error, request};
use crate::config::settings::number;
use crate::config::{Config, PluginValue};
use crate::plugin::trial::Depth;
use std::ffi::{OsStr, OsString};
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

    /// One of them.
    pub(super) fn set(&mut self, option: &str, value: OsString) -> Result<(), Error> {
        match option {
            "init" => self.is_begun = true,
            "try-plugin" => self.file = Some(file(option, value)?),
            "check-plugin" => self.checked = Some(file(option, value)?),
            "reload" => self.reload = Some(reload_count(&value)?),
            _ => unreachable!("the table of other options and this one are the same"),
        }
        Ok(())
    }

    pub(super) fn command(
        self,
        arguments: Vec<OsString>,
        config: Config,
    ) -> Result<Command, Error> {
        if let Some((name, depth)) = self.child {
            return Ok(Command::Trial { name, depth });
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

fn reload_count(value: &OsStr) -> Result<u32, Error> {
    let text = value.to_string_lossy();
    let count = number(&text).filter(|count| *count <= RELOADS_MAX.into());
    count.map(|count| count as u32).ok_or_else(|| {
        Error(format!(
            "--reload {text:?}: expected a number from 0 to {RELOADS_MAX}"
        ))
    })
}

/// So often a plugin is loaded anew at most.
const RELOADS_MAX: u32 = 1_000_000;

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

/// How far a child goes that was started to try a library out, if this option says so.
pub(super) fn child_of_trial(option: &str) -> Option<Depth> {
    Depth::ALL
        .into_iter()
        .find(|depth| depth.option() == option)
}
