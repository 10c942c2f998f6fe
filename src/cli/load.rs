//! The command line over the configuration file over the defaults.

use super::{Command, Line, Said, parse_over};
use crate::config::file::STDIN;
use crate::config::{self, Config, Draft};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why what was asked for cannot be done: what to say, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// 2 for the command line, 78 for the configuration.
    pub code: u8,
    /// A line for each fault.
    pub message: String,
}

impl Failure {
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The configuration is wrong (EX_CONFIG of sysexits.h).
    pub const CONFIG: u8 = 78;

    fn new(code: u8, error: &dyn fmt::Display) -> Self {
        Self {
            code,
            message: error.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What is asked for, with the program's name as the first argument: the command line over the
/// configuration file that it names over the defaults. A slip in the command line is told first,
/// whatever is in the file. It reads files, so once a server runs it is for a helper thread.
///
/// # Errors
/// The command line is wrong, or a file that it names cannot be read or is wrong.
pub fn load(args: Vec<OsString>) -> Result<Command, Failure> {
    load_at(args, Path::to_owned)
}

/// The same, with the configuration file where `place` says that it is now: a process may have left
/// the directory where it was started.
///
/// # Errors
/// As [`load`].
pub fn load_at(args: Vec<OsString>, place: impl Fn(&Path) -> PathBuf) -> Result<Command, Failure> {
    let is_usage = |error: super::Error| Failure::new(Failure::USAGE, &error);
    let line = match Line::read(Draft::default(), args.iter().cloned()).map_err(is_usage)? {
        Said::Line(line) => line,
        Said::Command(command) => return Ok(command),
    };
    // Nothing else of the file matters, and a faulty one must not keep the server from being told.
    let knows_server = line.order.is_some() && line.draft.config.service.pid_file.is_some();
    let Some(path) = line.file().filter(|_| !knows_server) else {
        return line.command().map_err(is_usage);
    };
    let path = match path == Path::new(STDIN) {
        true => path.to_owned(),
        false => place(path),
    };
    let mut draft = Draft::default();
    if let Err(error) = config::file::load(&path, &mut draft) {
        // The server runs with what the file said before, and its pid file is where it was.
        if line.order.is_none() {
            return Err(Failure::new(Failure::CONFIG, &error));
        }
        if draft.config.service.pid_file.is_none() {
            let message = format!("{error}\nname the server with --pid-file FILE instead");
            return Err(Failure::new(Failure::CONFIG, &message));
        }
    }
    let command = parse_over(draft, args).map_err(is_usage)?;
    let has_root = |config: &Config| !config.site.root.as_os_str().is_empty();
    match &command {
        Command::Serve(config) | Command::Check { config, .. } if !has_root(config) => {
            let path = path.to_string_lossy();
            let message = format!(
                "{}: root is missing; add a line root = \"/var/www/html\" before the first table",
                path.escape_debug()
            );
            Err(Failure::new(Failure::CONFIG, &message))
        }
        _ => Ok(command),
    }
}
