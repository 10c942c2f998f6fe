//! Whether this server would load a file (`--check-plugin`), or all that a list names (`-t`), and if
//! not, why not.

use super::look::{Question, Wanted};
use super::prepare::{Looked, Prepared, Refusal, open_trusted, own_machine, prepare};
use super::report;
use super::trial::{Depth, hand_over, lines, trial_command, verdict};
use crate::config::{PluginSettings, PluginValues, is_plugin_name};
use crate::sys::child;
use std::path::Path;
use std::process::Command;

/// What was found: one line each, the verdict last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The lines.
    pub text: String,
    /// Whether the server would load it.
    pub is_good: bool,
}

/// Checks a file, as before loading it, and loads it in a child. With `values`, which is what
/// plugins are told, it is also begun and ended there.
#[must_use]
pub fn check(file: &Path, values: Option<&PluginValues>) -> Report {
    let mut text = String::new();
    let mut add = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let result = check_file(file, &mut add).and_then(|(prepared, name)| {
        let mut command = command(&prepared, &name, values)?;
        let (status, said) = child::run(&mut command).map_err(|error| {
            Refusal::new(format_args!("cannot start a process to try it: {error}"))
        })?;
        lines(&said).lines().for_each(&mut add);
        verdict(status, &said)
    });
    match &result {
        Ok(()) => add(&report::line("verdict", "loads on this server", false)),
        Err(refusal) => {
            let what = refusal.to_string();
            // The first line names the file.
            let prefix = format!("{}: ", file.display());
            let what = what.strip_prefix(&prefix).unwrap_or(&what);
            add(&report::line("verdict", &format!("REFUSED: {what}"), false));
        }
    }
    Report {
        text,
        is_good: result.is_ok(),
    }
}

/// What is to be said of a list and of the plugins in it, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What keeps a server from being started with them.
    pub faults: Vec<String>,
    /// What does not.
    pub warnings: Vec<String>,
}

/// Finds out whether a server could be started with the list of plugins: each of them is begun and
/// ended in a child, with its values, unless no child is to load any.
#[must_use]
pub fn check_list(settings: &PluginSettings) -> Survey {
    let Some(list) = &settings.file else {
        let names = settings.values.keys();
        let stranger = |name| format!("values for plugin.{name}, and no list of plugins is named");
        return Survey {
            faults: Vec::new(),
            warnings: names.map(stranger).collect(),
        };
    };
    let question = Question {
        wanted: Wanted::List(super::absolute(list)),
        settings: settings.clone(),
        running: Vec::new(),
        left_out: Vec::new(),
        number: 1,
        is_rehearsal: true,
    };
    question.survey(settings.values.clone())
}

fn command(
    prepared: &Prepared,
    name: &str,
    values: Option<&PluginValues>,
) -> Result<Command, Refusal> {
    let Some(values) = values else {
        return trial_command(prepared, name, Depth::Unload);
    };
    let mut command = trial_command(prepared, name, Depth::Begin)?;
    if let Some(values) = values.get(name) {
        hand_over(&mut command, values);
    }
    Ok(command)
}

fn check_file(file: &Path, add: &mut impl FnMut(&str)) -> Result<(Prepared, String), Refusal> {
    let shown = file.file_name().unwrap_or_default().to_string_lossy();
    let shown = shown.escape_debug().to_string();
    let (opened, _) = open_trusted(file)?;
    let meta = opened.metadata().map_err(Refusal::new)?;
    let name = name_of(file)?;
    let machine = own_machine()?;
    match prepare(&name, file, 0, None) {
        Ok(Looked::New(prepared)) => {
            add(&report::of_file(
                &shown,
                &meta,
                Some(prepared.loadable_bytes),
            ));
            for warning in &prepared.warnings {
                add(&report::line("warning", warning, false));
            }
            for line in report::of_content(&machine, Some(&prepared), None) {
                add(&line);
            }
            Ok((prepared, name))
        }
        Ok(Looked::Same(_)) => Err(Refusal::new("there was nothing before")),
        Err(refusal) => {
            add(&report::of_file(&shown, &meta, None));
            if let Some(end) = refusal.stage() {
                for line in report::of_content(&machine, None, Some(end)) {
                    add(&line);
                }
            }
            Err(refusal)
        }
    }
}

/// What the plugin in a file must be called: `hello` for `hello.so`, and for `libhello.so`, which
/// is how cargo names it before it is installed.
pub(super) fn name_of(file: &Path) -> Result<String, Refusal> {
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let file = file.escape_debug().to_string();
    let stem = file.strip_suffix(".so").unwrap_or(&file);
    let name = stem.strip_prefix("lib").unwrap_or(stem);
    if is_plugin_name(name) {
        return Ok(name.to_owned());
    }
    Err(Refusal::new(format_args!(
        "a plugin cannot be called {name}: install it as NAME.so, a small letter, then up to 30 small letters, digits and _"
    )))
}
