//! The program: read the command line and the configuration file, run the server, map the end to an
//! exit code.

use std::io::Write;
use std::process::ExitCode;
use swiftd::cli::{self, Command, Failure};
use swiftd::config::{self, Config, Order};
use swiftd::control;
use swiftd::plugin::check::check;
use swiftd::plugin::trial;
use swiftd::startup::{self, RUN_TIME, fail, say};
use swiftd::sys::crash;
use swiftd::sys::heir::Heritage;
use swiftd::workbench::Attempt;

fn main() -> ExitCode {
    swiftd::plugin::builtin::end_at_panics();
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
        Command::BuildOptions => print(cli::build_options()),
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
        Command::Trial { name, depth } => ExitCode::from(trial::run(&name, depth)),
        Command::Check { config, is_dump } => check_config(&config, is_dump),
        Command::Send { order, config } => match control::send(order, &config) {
            Ok(text) if order == Order::Log => print(text),
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

/// Says whether the configuration is good, and what it is.
fn check_config(config: &Config, is_dump: bool) -> ExitCode {
    let file = config.plugins.config_file.as_ref().map_or_else(
        || "the command line".to_owned(),
        |file| format!("configuration file {}", file.display()),
    );
    let mut missing = config::check::surroundings(config);
    let plugins = startup::check_plugins(config);
    missing.extend(plugins.faults);
    for line in &plugins.warnings {
        say(&format!("swiftd: warning: {line}"));
    }
    for line in &missing {
        say(&format!("swiftd: {line}"));
    }
    if !missing.is_empty() {
        say(&format!("swiftd: {file}: test failed"));
        return ExitCode::from(Failure::CONFIG);
    }
    if !config.service.is_quiet {
        say(&format!("swiftd: {file}: test is successful"));
    }
    if !is_dump {
        return ExitCode::SUCCESS;
    }
    let mut text = config::dump(config);
    text.push_str("\n# What these limits allow at worst:\n");
    for line in config::memory::worst_case(config).to_string().lines() {
        text.push_str(&format!("# {line}\n"));
    }
    print(text)
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
