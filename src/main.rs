//! The program: read the command line and the configuration file, run the server, map the end to an
//! exit code.

use std::io::Write;
use std::process::ExitCode;
use swiftd::cli::{self, Command};
use swiftd::config::Order;
use swiftd::control;
use swiftd::plugin::check::check;
use swiftd::plugin::trial;
use swiftd::startup::{self, RUN_TIME, fail, say};
use swiftd::sys::crash;
use swiftd::sys::heir::Heritage;
use swiftd::workbench::Attempt;

fn main() -> ExitCode {
    let command = match cli::load(std::env::args_os().collect()) {
        Ok(command) => command,
        Err(failure) => {
            if let Some(heritage) = Heritage::take() {
                heritage.report.failed(&failure.message);
            }
            return ExitCode::from(fail(&failure));
        }
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
        Command::Send { order, config } => match control::send(order, &config) {
            Ok(text) if order == Order::Log => print(&text),
            Ok(text) => {
                say(&format!("swiftd: {}", String::from_utf8_lossy(&text)));
                ExitCode::SUCCESS
            }
            Err(why) => {
                say(&format!("swiftd: {why}"));
                ExitCode::from(RUN_TIME)
            }
        },
        Command::Serve(config) => ExitCode::from(startup::serve(*config)),
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

/// Tries a plugin: what it answers goes to standard output, everything else to standard error.
fn try_plugin(attempt: Attempt) -> ExitCode {
    // It names the plugin and the hook if there is no other end.
    if let Err(error) = crash::install_handler() {
        say(&format!("swiftd: cannot handle fatal signals: {error}"));
        return ExitCode::from(RUN_TIME);
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

fn print(text: impl AsRef<[u8]>) -> ExitCode {
    match std::io::stdout().write_all(text.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever was to read it has gone.
        Err(_) => ExitCode::from(RUN_TIME),
    }
}
