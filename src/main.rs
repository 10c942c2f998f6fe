//! The program: read the command line, run the server, map the end to an exit code.

use std::io::Write;
use std::process::ExitCode;
use swiftd::cli::{self, Command};
use swiftd::config::Config;
use swiftd::conn::NoHooks;
use swiftd::server::{Error, Server};
use swiftd::supervisor::{self, Role, Worker};
use swiftd::sys::crash;

/// Something went wrong at run time.
const RUN_TIME: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => return fail(USAGE, &error),
    };
    match command {
        Command::Help => print(cli::HELP),
        Command::Version => print(concat!("swiftd ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(config) => match serve(*config) {
            Ok(code) => ExitCode::from(code),
            Err(error) => fail(RUN_TIME, &error),
        },
    }
}

/// Serves, or has a worker serve. Returns the exit code of this process, whichever it is.
fn serve(config: Config) -> Result<u8, Error> {
    let listeners = Server::bind(&config)?;
    // All of this before the first thread is started: so none of them is interrupted by a signal,
    // and the worker is whole.
    let worker = if config.is_supervised {
        let settings = supervisor::Settings {
            plugin_hang: config.plugin_hang,
            drain_timeout: config.turn.drain_timeout,
        };
        let role = supervisor::run(listeners, settings);
        match role.map_err(|error| Error::System("cannot supervise", error))? {
            Role::Over(code) => return Ok(code),
            Role::Worker(worker) => worker,
        }
    } else {
        Worker::alone(listeners).map_err(|error| Error::System("cannot take signals", error))?
    };
    work(config, worker)?;
    Ok(0)
}

fn work(config: Config, worker: Worker) -> Result<(), Error> {
    crash::install_handler()
        .map_err(|error| Error::System("cannot handle fatal signals", error))?;
    let root = config.site.root.clone();
    let signals = Some(worker.signals);
    let server = Server::start_with(worker.listeners, config, Box::new(NoHooks), signals)?;
    // First, so that whoever acts upon the line finds it so.
    crash::set_ready();
    if worker.is_first {
        say(&cli::ready_line(&root, server.addresses()));
    } else {
        say("swiftd: worker restarted");
    }
    server
        .run()
        .map_err(|error| Error::System("cannot wait for events", error))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was to read it has gone.
        Err(_) => ExitCode::from(RUN_TIME),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    say(&format!("swiftd: {error}"));
    ExitCode::from(code)
}

/// Writes a line to standard error. If whoever was to read it has gone, that is no reason to end,
/// as it would be for `eprintln!`.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
