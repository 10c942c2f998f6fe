//! The program: read the command line and the configuration file, run the server, map the end to an
//! exit code.

use std::error::Error as Reason;
use std::io::Write;
use std::process::ExitCode;
use swiftd::cli::{self, Command};
use swiftd::config::Config;
use swiftd::conn::NoHooks;
use swiftd::plugin::check::check;
use swiftd::plugin::trial;
use swiftd::plugin::{Extension, Plugins};
use swiftd::server::{Error, Server};
use swiftd::supervisor::{self, LeftOut, Role, Worker};
use swiftd::sys::{crash, threads};
use swiftd::workbench::Attempt;

/// Something went wrong at run time.
const RUN_TIME: u8 = 1;

fn main() -> ExitCode {
    let command = match cli::load(std::env::args_os().collect()) {
        Ok(command) => command,
        Err(failure) => return fail(failure.code, &failure),
    };
    match command {
        Command::Help => print(cli::HELP),
        Command::Version => print(concat!("swiftd ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::CheckPlugin {
            file,
            is_begun,
            settings,
        } => {
            let report = check(&file, is_begun.then_some(&settings.values));
            let printed = print(&report.text);
            if report.is_good {
                printed
            } else {
                ExitCode::from(RUN_TIME)
            }
        }
        Command::Trial {
            name,
            depth,
            settings,
        } => ExitCode::from(trial::run(&name, depth, &settings.values)),
        Command::Check { config, .. } => {
            let file = config.plugins.config_file.unwrap_or_default();
            let file = file.display();
            say(&format!(
                "swiftd: configuration file {file}: test is successful"
            ));
            ExitCode::SUCCESS
        }
        Command::Send { order, .. } => {
            say(&format!("swiftd: cannot send {}", order.name()));
            ExitCode::from(RUN_TIME)
        }
        Command::Serve(config) => match serve(*config) {
            Ok(code) => ExitCode::from(code),
            Err(error) => fail(RUN_TIME, &error),
        },
        Command::TryPlugin {
            file,
            request,
            reload,
            config,
        } => try_plugin(Attempt {
            file,
            request,
            reload_count: reload,
            config: *config,
        }),
    }
}

/// Serves, or has a worker serve. Returns the exit code of this process, whichever it is.
fn serve(config: Config) -> Result<u8, Error> {
    let listeners = Server::bind(&config)?;
    // All of this before the first thread is started: so none of them is interrupted by a signal,
    // and the worker is whole.
    let worker = if config.plugins.is_supervised {
        let settings = supervisor::Settings {
            plugin_hang: config.plugins.hang,
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
    let plugins = plugins(&config, worker.left_out, worker.is_first)?;
    let server = Server::start_with(worker.listeners, config, plugins, signals)?;
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

/// The plugins, if a list of them was given.
fn plugins(
    config: &Config,
    left_out: Vec<LeftOut>,
    is_first: bool,
) -> Result<Box<dyn Extension>, Error> {
    let Some(list) = config.plugins.file.clone() else {
        return Ok(Box::new(NoHooks));
    };
    threads::register_own();
    let mut settings = config.plugins.clone();
    settings.is_restarted = !is_first;
    let plugins = Plugins::start(list, &config.site.root, settings, left_out);
    Ok(Box::new(plugins.map_err(Error::Plugins)?))
}

/// Tries a plugin: what it answers goes to standard output, everything else to standard error.
fn try_plugin(attempt: Attempt) -> ExitCode {
    // It names the plugin and the hook if there is no other end.
    if let Err(error) = crash::install_handler() {
        return fail(
            RUN_TIME,
            &Error::System("cannot handle fatal signals", error),
        );
    }
    let (report, is_good) = match attempt.run(&mut std::io::stdout().lock()) {
        Ok(outcome) => (outcome.report, outcome.is_good),
        Err(why) => (why, false),
    };
    for line in report.lines() {
        say(&format!("swiftd: {line}"));
    }
    ExitCode::from(if is_good { 0 } else { RUN_TIME })
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was to read it has gone.
        Err(_) => ExitCode::from(RUN_TIME),
    }
}

fn fail(code: u8, error: &dyn Reason) -> ExitCode {
    // A configuration file may have several faults, each with a line of its own.
    for line in error.to_string().lines() {
        say(&format!("swiftd: {line}"));
    }
    ExitCode::from(code)
}

/// Writes a line to standard error. If whoever was to read it has gone, that is no reason to end,
/// as it would be for `eprintln!`.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
