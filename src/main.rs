//! The program: read the command line, run the server, map the end to an exit code.

use std::io::Write;
use std::process::ExitCode;
use swiftd::cli::{self, Command};
use swiftd::config::Config;
use swiftd::conn::NoHooks;
use swiftd::plugin::check::check;
use swiftd::plugin::trial;
use swiftd::server::{Error, Server};
use swiftd::sys::signal::Signals;

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
        Command::CheckPlugin(file) => {
            let report = check(&file);
            let printed = print(&report.text);
            if report.is_good {
                printed
            } else {
                ExitCode::from(RUN_TIME)
            }
        }
        Command::Trial(name, depth) => ExitCode::from(trial::run(&name, depth, None)),
        Command::Serve(config) => match serve(*config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(RUN_TIME, &error),
        },
    }
}

fn serve(config: Config) -> Result<(), Error> {
    let root = config.site.root.clone();
    // Before the first thread is started, so that none of them is interrupted.
    let signals = Signals::new().map_err(|error| Error::System("cannot take signals", error))?;
    let server = Server::start(config, Box::new(NoHooks), Some(signals))?;
    say(&cli::ready_line(&root, server.addresses()));
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
