//! The command line.

mod command;
mod help;
mod load;
mod plugins;
mod request;

use crate::config::{Config, Order, memory, nearest};
use crate::server::LISTENERS_MAX;
use crate::sys::socket::Address;
pub use command::Command;
pub use help::HELP;
use lexopt::prelude::*;
pub use load::{Failure, load, load_at};
use plugins::{Trial, child_of_trial, file, on_or_off, plugin_value, set_flag};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration file of `-t`, `-T` and `-s` if none is named.
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

/// Every option that can be given, for suggestions.
const OPTIONS: &[&str] = &[
    "root",
    "listen",
    "port",
    "index",
    "temp-dir",
    "head-timeout",
    "body-timeout",
    "idle-timeout",
    "write-timeout",
    "linger-timeout",
    "drain-timeout",
    "disk-timeout",
    "half-close-timeout",
    "memory",
    "buffer-bytes",
    "connections",
    "requests",
    "head-bytes",
    "target-bytes",
    "fields",
    "body-bytes",
    "body-memory",
    "linger-bytes",
    "min-rate",
    "cache-bytes",
    "cache-entries",
    "cache-files",
    "cache-trust",
    "small-file",
    "config",
    "plugins",
    "signal",
    "set",
    "plugin-optional",
    "require-plugin",
    "plugin-drain-timeout",
    "plugin-trial",
    "supervise",
    "try-plugin",
    "reload",
    "plugin-hang",
    "avoid",
    "user",
    "chroot",
    "pid-file",
    "daemon",
    "check-plugin",
    "init",
    "help",
    "version",
];

/// Options that take no value.
const FLAGS: &[&str] = &["plugin-optional", "supervise", "init", "daemon"];

/// Reads the command line, the program's name first. A configuration file that it names is not
/// read here: see [`Command::config_file`].
///
/// # Errors
/// An option is unknown or its value is not what it must be.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    parse_over(Config::new(PathBuf::new()), args)
}

/// The same, with `config` instead of the defaults: what the configuration file said.
///
/// # Errors
/// As [`parse`].
pub fn parse_over(
    mut config: Config,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Command, Error> {
    let mut parser = lexopt::Parser::from_iter(args);
    let mut arguments = Vec::new();
    let mut root = None;
    let mut trial = Trial::default();
    let mut listen = Vec::new();
    let mut index_names = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let mut order = None;
    let mut is_dump = None;
    while let Some(arg) = parser.next().map_err(|error| Error(error.to_string()))? {
        let name = match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('v' | 'V') | Long("version") => return Ok(Command::Version),
            Value(argument) => {
                arguments.push(argument);
                continue;
            }
            Short('t') => {
                is_dump.get_or_insert(false);
                continue;
            }
            Short('T') => {
                is_dump = Some(true);
                continue;
            }
            Short('s') => "signal".to_owned(),
            Short('c' | 'f') => "config".to_owned(),
            Short('r') => "root".to_owned(),
            Short('l') => "listen".to_owned(),
            Short('p') => "port".to_owned(),
            Short(other) => {
                return Err(Error(format!("unknown option -{}", other.escape_debug())));
            }
            Long(name) => name.to_owned(),
        };
        if let Some(depth) = child_of_trial(&name) {
            let plugin = parser.value().unwrap_or_default();
            let plugin = plugin.to_string_lossy().into_owned();
            trial.child = Some((plugin, depth));
            continue;
        }
        said.push(name.clone());
        if !OPTIONS.contains(&name.as_str()) {
            return Err(unknown(&name));
        }
        if FLAGS.contains(&name.as_str()) {
            if parser.optional_value().is_some() {
                return Err(Error(format!("--{name} takes no value")));
            }
            set_flag(&mut config, &mut trial, &name);
            continue;
        }
        let value = parser
            .value()
            .map_err(|_| Error(format!("--{name} needs a value")))?;
        match name.as_str() {
            "root" => set_root(&mut root, value)?,
            "listen" => listen.push(address(&value)?),
            "port" => listen.push(port(&value)?),
            "index" => index_names.push(index_name(&value)?),
            "temp-dir" => config.temporary = value.into(),
            "user" => set_user(&mut config, &value)?,
            "chroot" => config.service.chroot = Some(value.into()),
            "pid-file" => config.service.pid_file = Some(value.into()),
            "check-plugin" => trial.checked = Some(file("check-plugin", value)?),
            "avoid" => avoid(&mut config, &value)?,
            "config" => config.plugins.config_file = Some(file("config", value)?),
            "plugins" => config.plugins.file = Some(file("plugins", value)?),
            "require-plugin" => config.plugins.required.push(plugins::name(&value)?),
            "set" => config.plugins.override_value(plugin_value(&value)?),
            "plugin-trial" => config.plugins.try_load = on_or_off("plugin-trial", &value)?,
            "try-plugin" => trial.file = Some(file("try-plugin", value)?),
            "reload" => trial.set_reload(&value)?,
            "signal" => order = Some(order_of(&value)?),
            _ => set_limit(
                &mut config,
                &name,
                &Given {
                    name: &name,
                    value: &value,
                },
            )?,
        }
    }
    if trial.is_wanted() {
        config.site.root = root.unwrap_or(config.site.root);
        return trial.command(arguments, config);
    }
    for argument in arguments {
        set_root(&mut root, argument)?;
    }
    let is_named = root.is_some() || config.plugins.config_file.is_some();
    config.site.root = root.unwrap_or(config.site.root);
    if (order.is_some() || is_dump.is_some()) && !is_named {
        config.plugins.config_file = Some(DEFAULT_FILE.into());
    }
    if let Some(order) = order {
        let config = Box::new(config);
        return Ok(Command::Send { order, config });
    }
    if config.site.root.as_os_str().is_empty() && config.plugins.config_file.is_none() {
        return Err(Error("which directory? try: swiftd .".into()));
    }
    if listen.len() > LISTENERS_MAX {
        return Err(Error(format!(
            "more than {LISTENERS_MAX} --listen addresses"
        )));
    }
    if !listen.is_empty() {
        config.listen = listen.into_iter().map(Into::into).collect();
    }
    if !index_names.is_empty() {
        config.site.index_names = index_names;
    }
    memory::derive(&mut config, &|name| said.iter().any(|it| it == name)).map_err(Error)?;
    let config = Box::new(config);
    Ok(match is_dump {
        Some(is_dump) => Command::Check { config, is_dump },
        None => Command::Serve(config),
    })
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

fn set_limit(config: &mut Config, name: &str, given: &Given<'_>) -> Result<(), Error> {
    let Config {
        limits,
        turn,
        cache,
        site,
        plugins,
        memory,
        ..
    } = config;
    match name {
        "head-timeout" => limits.head_timeout = given.seconds()?,
        "body-timeout" => limits.body_timeout = given.seconds()?,
        "idle-timeout" => limits.idle_timeout = given.seconds()?,
        "write-timeout" => limits.write_timeout = given.seconds()?,
        "linger-timeout" => limits.linger_timeout = given.seconds()?,
        "half-close-timeout" => limits.half_close_timeout = given.seconds()?,
        "disk-timeout" => limits.disk_timeout = given.seconds()?,
        "plugin-hang" => plugins.hang = Some(given.seconds()?),
        "plugin-drain-timeout" => plugins.drain_timeout = given.seconds()?,
        "drain-timeout" => turn.drain_timeout = given.seconds()?,
        "memory" => *memory = Some(given.number(1, 1 << 40)?),
        "buffer-bytes" => turn.buffer_bytes_max = given.number(65_536, 1 << 40)? as usize,
        "connections" => turn.connections_max = given.number(1, 1 << 23)? as usize,
        "requests" => limits.requests_max = given.number(1, u32::MAX.into())? as u32,
        "head-bytes" => limits.head.head_bytes_max = given.number(256, 65_535)? as usize,
        "target-bytes" => limits.head.target_bytes_max = given.number(16, 65_000)? as usize,
        "fields" => limits.head.fields_max = given.number(4, 128)? as usize,
        "body-bytes" => limits.body.body_bytes_max = given.number(0, u64::MAX)?,
        "body-memory" => limits.body.memory_bytes_max = given.number(0, 1 << 30)? as usize,
        "linger-bytes" => limits.linger_bytes_max = given.number(0, u32::MAX.into())? as u32,
        "min-rate" => limits.rate_min = given.number(0, u32::MAX.into())? as u32,
        "cache-bytes" => cache.bytes_max = given.number(0, 1 << 31)? as usize,
        "cache-entries" => cache.entries_max = given.number(0, 1 << 24)? as usize,
        "cache-files" => cache.descriptors_max = given.number(0, 1 << 20)? as usize,
        "cache-trust" => cache.trust = Duration::from_millis(given.number(0, 3_600_000)?),
        "small-file" => site.small_bytes_max = given.number(0, 1 << 20)? as usize,
        _ => return Err(unknown(name)),
    }
    Ok(())
}

/// An option's value.
struct Given<'a> {
    name: &'a str,
    value: &'a OsStr,
}

impl Given<'_> {
    /// A number with an optional suffix K, M or G.
    fn number(&self, least: u64, most: u64) -> Result<u64, Error> {
        let Self { name, value } = self;
        let text = value.to_string_lossy();
        let (digits, shift) = match text.as_bytes() {
            [digits @ .., b'K' | b'k'] => (digits.len(), 10),
            [digits @ .., b'M' | b'm'] => (digits.len(), 20),
            [digits @ .., b'G' | b'g'] => (digits.len(), 30),
            digits => (digits.len(), 0),
        };
        text[..digits]
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                Error(format!(
                    "--{name} {text:?}: expected a number from {least} to {most}"
                ))
            })
    }

    /// A time of 1 ms to a day.
    fn seconds(&self) -> Result<Duration, Error> {
        let Self { name, value } = self;
        let text = value.to_string_lossy();
        let seconds = text
            .parse::<f64>()
            .ok()
            .filter(|s| (0.001..=86_400.0).contains(s));
        seconds.map(Duration::from_secs_f64).ok_or_else(|| {
            Error(format!(
                "--{name} {text:?}: expected seconds from 0.001 to 86400"
            ))
        })
    }
}

fn set_root(root: &mut Option<PathBuf>, given: OsString) -> Result<(), Error> {
    if let Some(first) = root {
        let (first, second) = (first.display(), Path::new(&given).display());
        return Err(Error(format!(
            "one directory at a time: {first} or {second}?"
        )));
    }
    if given.is_empty() {
        return Err(Error("the directory's name is empty; try: swiftd .".into()));
    }
    *root = Some(given.into());
    Ok(())
}

fn set_user(config: &mut Config, value: &OsStr) -> Result<(), Error> {
    let text = value.to_string_lossy();
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (&*text, None),
    };
    if user.is_empty() || group == Some("") {
        return Err(Error(format!(
            "--user {text:?}: expected USER or USER:GROUP"
        )));
    }
    config.service.user = Some(user.to_owned());
    config.service.group = group.map(str::to_owned);
    Ok(())
}

fn address(value: &OsStr) -> Result<Address, Error> {
    if let Some(path) = value.as_bytes().strip_prefix(b"unix:") {
        if path.is_empty() {
            return Err(Error(
                "--listen unix: needs a path, as in unix:/run/swiftd.sock".into(),
            ));
        }
        return Ok(Address::Unix(OsStr::from_bytes(path).into()));
    }
    let text = value.to_string_lossy();
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    match numeric.as_deref().unwrap_or(&text).parse::<SocketAddr>() {
        Ok(address) => Ok(Address::Tcp(address)),
        Err(_) => Err(Error(format!(
            "--listen {text:?}: expected ADDRESS:PORT, as in 0.0.0.0:80, [::]:80 or unix:/run/swiftd.sock"
        ))),
    }
}

fn port(value: &OsStr) -> Result<Address, Error> {
    let text = value.to_string_lossy();
    let port: u16 = text.parse().map_err(|_| {
        Error(format!(
            "--port {text:?}: expected a number from 0 to 65535; for another address use --listen"
        ))
    })?;
    Ok(Address::Tcp((Ipv4Addr::LOCALHOST, port).into()))
}

fn index_name(value: &OsStr) -> Result<String, Error> {
    let name = value
        .to_str()
        .filter(|name| !name.is_empty() && !name.contains('/'));
    name.map(str::to_owned).ok_or_else(|| {
        Error(format!(
            "--index {value:?}: expected a file name without a slash"
        ))
    })
}

fn order_of(value: &OsStr) -> Result<Order, Error> {
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

fn unknown(name: &str) -> Error {
    let meant = nearest(name, OPTIONS.iter().copied());
    let meant = meant.map_or(String::new(), |option| {
        format!("; did you mean --{option}?")
    });
    Error(format!("unknown option --{}{meant}", name.escape_debug()))
}
