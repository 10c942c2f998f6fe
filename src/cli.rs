//! The command line.

mod plugins;
mod request;

use crate::config::{Config, PluginSettings, nearest};
use crate::plugin::trial::Depth;
use crate::server::LISTENERS_MAX;
use crate::sys::socket::Address;
use lexopt::prelude::*;
use plugins::{Trial, child_of_trial, file, on_or_off, plugin_value, set_flag};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the operator asked for.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Try a plugin without a server.
    TryPlugin {
        /// Its library.
        file: PathBuf,
        /// What a client sends it.
        request: Vec<u8>,
        /// How often it is loaded anew between two requests.
        reload: u32,
        /// As for serving; the root is empty if there is to be none.
        config: Box<Config>,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Say whether a plugin can be loaded.
    CheckPlugin {
        /// Its library.
        file: PathBuf,
        /// Whether it is also begun and ended.
        is_begun: bool,
        /// What plugins are told.
        settings: Box<PluginSettings>,
    },
    /// Load the plugin of this name from the standard input; the server's own children do it.
    Trial {
        /// Its name.
        name: String,
        /// How far to go.
        depth: Depth,
        /// What plugins are told.
        settings: Box<PluginSettings>,
    },
}

impl Command {
    /// The configuration file that the command line names. What it says is the ground that
    /// [`parse_over`] builds on.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        match self {
            Self::Serve(config) | Self::TryPlugin { config, .. } => {
                config.plugins.config_file.as_deref()
            }
            Self::CheckPlugin { settings, .. } => settings.config_file.as_deref(),
            Self::Help | Self::Version | Self::Trial { .. } => None,
        }
    }
}

/// What is wrong with the command line, and how to mend it.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (swiftd --help lists all options)", self.0)
    }
}

impl std::error::Error for Error {}

/// The text of `--help`.
pub const HELP: &str = "\
swiftd - a small, strict HTTP/1.x server

Usage: swiftd [OPTION]... DIR

Serves the files in DIR until SIGTERM or SIGQUIT: then it finishes what
it began and ends. SIGINT or a second SIGTERM ends it at once. SIGHUP
makes it read its configuration anew, SIGUSR1 open its logs anew,
SIGUSR2 give way to a new program. SIGWINCH has it accept no more until
SIGHUP, unless there is a terminal.

What and where
  -r, --root DIR             the directory, instead of the argument
  -l, --listen ADDRESS       where to listen; repeatable  [127.0.0.1:8080]
                             IPV4:PORT, [IPV6]:PORT or unix:PATH;
                             port 0 takes a free one
  -p, --port PORT            short for --listen 127.0.0.1:PORT
      --index NAME           stands for a directory; repeatable  [index.html]
      --temp-dir DIR         for large request bodies  [$TMPDIR or /tmp]

Timeouts, seconds
      --head-timeout N       for the head of a request; then 408  [10]
      --body-timeout N       a window of a request body; then 408  [20]
      --idle-timeout N       between two requests  [20]
      --write-timeout N      a window in which part of a response is taken  [20]
      --linger-timeout N     for a refused client to go on, or to end  [3]
      --drain-timeout N      for a stop in good order  [10]
      --disk-timeout N       for a disk that does not answer  [30]
      --half-close-timeout N for a plugin, if the client sends no more  [5]

Limits, bytes (suffixes K, M, G) or numbers
      --connections N        at the same time  [16384, or what ulimit -n allows]
      --requests N           on one connection  [100000]
      --head-bytes N         request line and fields; then 431 [16K, below 64K]
      --target-bytes N       the request-target; then 414  [8K]
      --fields N             field lines; then 431  [100, at most 128]
      --body-bytes N         a request body; then 413  [1M]
      --body-memory N        of it in memory, the rest in a file  [64K]
      --linger-bytes N       of a refused client, read and dropped  [64M]
      --min-rate N           bytes a second of a body and a response  [128]
      --cache-bytes N        memory for small files  [1/64 of all, 256K to 12M]
      --cache-entries N      paths that are remembered  [8192]
      --cache-files N        large files that are kept open  [128]
      --cache-trust N        milliseconds until a path is checked again  [1000]
      --small-file N         kept in memory up to this size  [16K]

Plugins
      --config FILE          TOML: plugins = \"FILE\", tables [plugin.NAME];
                             what is said here wins over it
      --plugins FILE         the list of plugins, read anew when it is saved:
                             lines NAME:/DIR/$, each for /DIR/NAME.so
      --set plugin.NAME.KEY=VALUE
                             what a plugin is told; repeatable
      --plugin-optional      start even if plugins cannot be loaded
      --plugin-drain-timeout N
                             for requests of a plugin that was replaced  [60]
      --plugin-trial on|off  a plugin is loaded by a child first  [on]
      --supervise            a parent restarts the server if it dies and leaves
                             a plugin out that ends it three times in a minute
      --plugin-hang N        and if a plugin does not return in N s  [off]
      --try-plugin FILE REQUEST
                             no server: what a plugin answers to a request, as
                             in 'GET /x HTTP/1.1', and the calls into it; files
                             only with --root
      --reload N             load it anew N times, for --try-plugin, and say
                             what that leaves behind  [0]
      --check-plugin FILE    say whether this server would load FILE, and end
      --init                 also begin and end it, for --check-plugin

Other
      --avoid FEATURE        do without a feature of the kernel; repeatable:
                             openat2, resolve-cached, nowait, cachestat
  -h, --help                 this text
  -v, --version              the version

Exit codes: 0 stopped as asked, 1 run-time error, 2 usage,
78 configuration file.
";

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
    "set",
    "plugin-optional",
    "plugin-drain-timeout",
    "plugin-trial",
    "supervise",
    "try-plugin",
    "reload",
    "plugin-hang",
    "avoid",
    "check-plugin",
    "init",
    "help",
    "version",
];

/// Options that take no value.
const FLAGS: &[&str] = &["plugin-optional", "supervise", "init"];

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
    while let Some(arg) = parser.next().map_err(|error| Error(error.to_string()))? {
        let name = match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('v' | 'V') | Long("version") => return Ok(Command::Version),
            Value(argument) => {
                arguments.push(argument);
                continue;
            }
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
            "check-plugin" => trial.checked = Some(file("check-plugin", value)?),
            "avoid" => avoid(&mut config, &value)?,
            "config" => config.plugins.config_file = Some(file("config", value)?),
            "plugins" => config.plugins.file = Some(file("plugins", value)?),
            "set" => config.plugins.override_value(plugin_value(&value)?),
            "plugin-trial" => config.plugins.try_load = on_or_off("plugin-trial", &value)?,
            "try-plugin" => trial.file = Some(file("try-plugin", value)?),
            "reload" => trial.set_reload(&value)?,
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
    config.site.root = root.unwrap_or(config.site.root);
    if config.site.root.as_os_str().is_empty() {
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
    Ok(Command::Serve(Box::new(config)))
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
