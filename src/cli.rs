//! The command line.
//!
//! What a setting is called and what it may be is in [`crate::config::settings`]; here is what only
//! a command line has: which directory, which file, what to do instead of serving.

mod command;
mod help;
mod load;
mod options;
mod plugins;
mod request;

pub use command::Command;
pub use help::{HELP, build_options};
pub use load::{Failure, load, load_at};
pub use options::{OTHERS, Other};

use crate::config::settings::{self, Setting};
use crate::config::{Config, Draft, Order};
use crate::sys::socket::Address;
use lexopt::prelude::*;
use options::unknown;
use plugins::{Trial, child_of_trial, file, plugin_value};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The configuration file of `-t`, `-T` and `-s` if nothing is named.
const DEFAULT_FILE: &str = "/etc/swiftd/swiftd.conf";

/// What is wrong with the command line, and how to mend it.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (swiftd --help lists all options)", self.0)
    }
}

impl std::error::Error for Error {}

/// Reads the command line, the program's name first. A configuration file that it names is not
/// read here: see [`Command::config_file`].
///
/// # Errors
/// An option is unknown or its value is not what it must be.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    parse_over(Draft::default(), args)
}

/// The same, with `draft` instead of the defaults: what the configuration file said.
///
/// # Errors
/// As [`parse`].
pub fn parse_over(
    draft: Draft,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Command, Error> {
    match Line::read(draft, args)? {
        Said::Line(line) => line.command(),
        Said::Command(command) => Ok(command),
    }
}

/// The line that says what is served where.
#[must_use]
pub fn ready_line<'a>(root: &Path, addresses: impl Iterator<Item = &'a Address>) -> String {
    let places: Vec<String> = addresses
        .map(|address| match address {
            Address::Tcp(_) => format!("http://{address}/"),
            Address::Unix(_) => address.to_string(),
        })
        .collect();
    format!(
        "swiftd: serving {} on {}",
        root.display(),
        places.join(", ")
    )
}

/// What a command line says.
enum Said {
    /// This, whatever else is there.
    Command(Command),
    /// All of it counts.
    Line(Box<Line>),
}

/// A command line that is being read.
struct Line {
    draft: Draft,
    arguments: Vec<OsString>,
    root: Option<PathBuf>,
    trial: Trial,
    order: Option<Order>,
    is_dump: Option<bool>,
    /// The lists that it has begun: what the file said of them is forgotten.
    begun: Vec<&'static str>,
}

impl Line {
    fn new(draft: Draft) -> Self {
        Self {
            draft,
            arguments: Vec::new(),
            root: None,
            trial: Trial::default(),
            order: None,
            is_dump: None,
            begun: Vec::new(),
        }
    }

    /// Reads it, the program's name first.
    fn read(draft: Draft, args: impl IntoIterator<Item = OsString>) -> Result<Said, Error> {
        let mut line = Self::new(draft);
        let mut parser = lexopt::Parser::from_iter(args);
        while let Some(arg) = parser.next().map_err(|error| Error(error.to_string()))? {
            let name = match arg {
                Value(argument) => {
                    line.arguments.push(argument);
                    continue;
                }
                Short(letter) => options::of_letter(letter)?.to_owned(),
                Long(name) => name.to_owned(),
            };
            match &*name {
                "help" => return Ok(Said::Command(Command::Help)),
                "version" => return Ok(Said::Command(Command::Version)),
                "build-options" => return Ok(Said::Command(Command::BuildOptions)),
                _ => line.option(&name, &mut parser)?,
            }
        }
        if !line.trial.is_wanted() {
            for argument in std::mem::take(&mut line.arguments) {
                line.set_root(argument)?;
            }
        }
        let is_about_file = line.order.is_some() || line.is_dump.is_some();
        if is_about_file && line.root.is_none() {
            let file = &mut line.draft.config.plugins.config_file;
            file.get_or_insert_with(|| DEFAULT_FILE.into());
        }
        Ok(Said::Line(Box::new(line)))
    }

    /// The configuration file that it is to be read over.
    fn file(&self) -> Option<&Path> {
        let is_child = self.trial.child.is_some();
        let file = self.draft.config.plugins.config_file.as_deref();
        file.filter(|_| !is_child)
    }

    /// An option, whose value is taken from `parser`.
    fn option(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Error> {
        if let Some(depth) = child_of_trial(name) {
            let plugin = parser.value().unwrap_or_default();
            let plugin = plugin.to_string_lossy().into_owned();
            self.trial.child = Some((plugin, depth));
            return Ok(());
        }
        let setting = settings::of_option(name);
        let other = OTHERS.iter().find(|other| other.long == name);
        let is_switch = match (setting.and_then(|setting| setting.option), other) {
            (Some(flag), _) => flag.is_switch,
            (None, Some(other)) => other.value.is_none(),
            (None, None) => return Err(unknown(name)),
        };
        if is_switch && parser.optional_value().is_some() {
            return Err(Error(format!("--{name} takes no value")));
        }
        let value = match is_switch {
            true => "on".into(),
            false => parser
                .value()
                .map_err(|_| Error(format!("--{name} needs a value")))?,
        };
        match setting {
            Some(Setting { key: "root", .. }) => self.set_root(value),
            Some(Setting { key: "user", .. }) => self.set_user(&value),
            Some(setting) => self.set(setting, name, &value),
            None => self.other(name, value),
        }
    }

    /// What is no setting of the file.
    fn other(&mut self, name: &str, value: OsString) -> Result<(), Error> {
        let config = &mut self.draft.config;
        match name {
            "config" => config.plugins.config_file = Some(file(name, value)?),
            "test" => self.is_dump = self.is_dump.or(Some(false)),
            "dump" => self.is_dump = Some(true),
            "signal" => self.order = Some(order(&value)?),
            "foreground" => config.service.is_daemon = false,
            "quiet" => config.service.is_quiet = true,
            "port" => return self.set_port(&value),
            "avoid" => avoid(config, &value)?,
            "set" => config.plugins.override_value(plugin_value(&value)?),
            _ => self.trial.set(name, value)?,
        }
        Ok(())
    }

    fn set(&mut self, setting: &'static Setting, name: &str, value: &OsStr) -> Result<(), Error> {
        let refused = |what: String| Error(format!("--{name}{what}"));
        let plain = setting
            .kind
            .read_text(setting, value, false)
            .map_err(|wrong| refused(wrong.0))?;
        let place = (setting.at)(&mut self.draft);
        if setting.kind.is_list() && !self.begun.contains(&setting.key) {
            self.begun.push(setting.key);
            place.clear();
        }
        place
            .set(plain)
            .map_err(|what| refused(format!(" {:?}: {what}", value.to_string_lossy())))?;
        self.draft.note_said(setting);
        Ok(())
    }

    fn set_root(&mut self, given: OsString) -> Result<(), Error> {
        if let Some(first) = &self.root {
            let (first, second) = (first.display(), Path::new(&given).display());
            return Err(Error(format!(
                "one directory at a time: {first} or {second}?"
            )));
        }
        if given.is_empty() {
            return Err(Error("the directory's name is empty; try: swiftd .".into()));
        }
        self.root = Some(given.into());
        Ok(())
    }

    /// `USER` or `USER:GROUP`.
    fn set_user(&mut self, given: &OsStr) -> Result<(), Error> {
        let text = given.to_string_lossy();
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (&*text, None),
        };
        let set = |line: &mut Self, key, name: &str| {
            let setting = settings::find("", key).expect("there is such a setting");
            line.set(setting, "user", OsStr::new(name))
        };
        set(self, "user", user)?;
        self.draft.config.service.group = None;
        group.map_or(Ok(()), |group| set(self, "group", group))
    }

    fn set_port(&mut self, given: &OsStr) -> Result<(), Error> {
        let text = given.to_string_lossy();
        let port: u16 = text.parse().map_err(|_| {
            Error(format!(
                "--port {text:?}: expected a number from 0 to 65535; for another address use --listen"
            ))
        })?;
        let listen = settings::of_option("listen").expect("there is such a setting");
        self.set(listen, "port", OsStr::new(&format!("127.0.0.1:{port}")))
    }

    /// What is asked for, in all.
    fn command(mut self) -> Result<Command, Error> {
        if let Some(root) = self.root {
            self.draft.set_root(root);
        }
        let config = self.draft.finish().map_err(|unfit| Error(unfit.text))?;
        if self.trial.is_wanted() {
            return self.trial.command(self.arguments, config);
        }
        let config = Box::new(config);
        if let Some(order) = self.order {
            return Ok(Command::Send { order, config });
        }
        if config.site.root.as_os_str().is_empty() && config.plugins.config_file.is_none() {
            return Err(Error("which directory? try: swiftd .".into()));
        }
        Ok(match self.is_dump {
            Some(is_dump) => Command::Check { config, is_dump },
            None => Command::Serve(config),
        })
    }
}

fn order(value: &OsStr) -> Result<Order, Error> {
    let order = value.to_str().and_then(Order::parse);
    order.ok_or_else(|| {
        let names = Order::NAMES.map(|(name, _)| name).join(", ");
        Error(format!("-s {value:?}: expected one of {names}"))
    })
}

fn avoid(config: &mut Config, value: &OsStr) -> Result<(), Error> {
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
