//! Loading a library in a child first, so that a constructor that crashes or hangs takes the child
//! with it and nothing else.
//!
//! The child is the server's own program with a hidden option. It gets the checked copy as its
//! standard input, and tells on its standard error how far it came, in lines that begin with
//! a mark; whatever else is there the plugin has written.

use super::builtin;
use super::instance::Values;
use super::library::{Closed, Library, Origin, enter, load};
use super::prepare::{Prepared, Refusal};
use super::rehearsal::rehearse;
use super::report;
use crate::sys::process;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

/// How long a trial may take, seconds; then the child ends itself.
pub const TRIAL_SECONDS: u32 = 10;

/// How lines of ours begin.
const MARK: &str = "swiftd-trial: ";
/// What is being done, for the case that nothing follows.
const DOING: &str = "doing ";
/// A line of the report.
const LINE: &str = "line ";
/// The end: why not.
const REFUSED: &str = "refused ";
/// The end: all is well.
const GOOD: &str = "good";

/// How far a trial goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Load it, as before a reload.
    Load,
    /// Load it, report, and unmap it.
    Unload,
    /// The same, and begin and end it before it is unmapped.
    Begin,
    /// Load it, begin and end it, as before a start; whether it can be unmapped does not matter.
    Start,
    /// The same with one that is in the program.
    Builtin,
}

impl Depth {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Load,
        Self::Unload,
        Self::Begin,
        Self::Start,
        Self::Builtin,
    ];

    /// The hidden option of the command line.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Load => "trial-load",
            Self::Unload => "trial-unload",
            Self::Begin => "trial-begin",
            Self::Start => "trial-start",
            Self::Builtin => "trial-builtin",
        }
    }
}

/// The command that tries a checked copy; its standard error is a pipe. Whoever runs it reads that
/// to the end, waits for the child, and asks [`verdict`].
///
/// # Errors
/// No descriptor is left.
pub fn trial_command(prepared: &Prepared, name: &str, depth: Depth) -> Result<Command, Refusal> {
    let copy = prepared
        .as_fd()
        .try_clone_to_owned()
        .map_err(Refusal::new)?;
    Ok(own_command(copy.into(), name, depth))
}

/// The command that begins and ends a plugin with its values, for the rest as [`trial_command`].
///
/// # Errors
/// No descriptor is left.
pub(super) fn rehearsal_command(
    origin: &Origin,
    name: &str,
    values: &Values,
) -> Result<Command, Refusal> {
    let mut command = match origin {
        Origin::Copy(prepared) => trial_command(prepared, name, Depth::Start)?,
        Origin::Builtin(_) => own_command(Stdio::null(), name, Depth::Builtin),
    };
    hand_over(&mut command, values);
    Ok(command)
}

fn own_command(input: Stdio, name: &str, depth: Depth) -> Command {
    // Also if the file of the program has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg(format!("--{}", depth.option())).arg(name);
    command
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// How variables begin that hold what the plugin is told. Unlike arguments, others cannot read them.
const VALUE: &str = "swiftd-trial-value:";

/// Tells the child what the plugin is to be told.
pub(super) fn hand_over(command: &mut Command, values: &Values) {
    for (key, value) in values {
        // A variable holds no NUL, a value may.
        let value = value.replace('%', "%25").replace('\0', "%00");
        command.env(format!("{VALUE}{key}"), value);
    }
}

/// What [`hand_over`] has told.
fn taken_over() -> Values {
    let text = |text: OsString| text.into_string().ok();
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let key = text(name)?.strip_prefix(VALUE)?.to_owned();
        let value = text(value)?.replace("%00", "\0").replace("%25", "%");
        Some((key, value))
    });
    variables.collect()
}

/// What a child's end and its standard error say.
///
/// # Errors
/// The library is not to be loaded.
pub fn verdict(status: ExitStatus, said: &[u8]) -> Result<(), Refusal> {
    let said = String::from_utf8_lossy(said);
    let mut doing = "being started";
    let mut is_good = false;
    for line in said.lines().filter_map(|line| line.strip_prefix(MARK)) {
        if let Some(what) = line.strip_prefix(DOING) {
            doing = what;
        } else if let Some(why) = line.strip_prefix(REFUSED) {
            return Err(Refusal::new(why));
        }
        is_good = line == GOOD;
    }
    match (status.signal(), status.code()) {
        (None, Some(0)) if is_good => Ok(()),
        (Some(process::TIMED_OUT), _) => Err(Refusal::new(format_args!(
            "not done after {TRIAL_SECONDS} seconds while {doing}"
        ))),
        (Some(signal), _) => Err(Refusal::new(format_args!(
            "killed by signal {signal} ({}) while {doing}",
            process::signal_name(signal)
        ))),
        (None, code) => Err(Refusal::new(format_args!(
            "it ended the process with code {} while {doing}",
            code.unwrap_or_default()
        ))),
    }
}

/// The lines of the report that the child wrote.
pub(super) fn lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said
        .lines()
        .filter_map(|line| line.strip_prefix(MARK)?.strip_prefix(LINE));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// What the child does: loads the copy that is its standard input. Returns its exit code.
#[must_use]
pub fn run(name: &str, depth: Depth) -> u8 {
    process::expect_the_worst(TRIAL_SECONDS);
    match try_it(name, depth) {
        Ok(()) => {
            tell(GOOD, "");
            0
        }
        Err(why) => {
            tell(REFUSED, &why);
            1
        }
    }
}

fn try_it(name: &str, depth: Depth) -> Result<(), String> {
    if depth == Depth::Builtin {
        let refused = |refusal: Refusal| refusal.to_string();
        let origin = Origin::Builtin(builtin::find(name).map_err(refused)?);
        return start(enter(origin, name).map_err(refused)?, name);
    }
    let copy = std::io::stdin().as_fd().try_clone_to_owned();
    let copy = copy.map_err(|error| format!("no copy was handed over: {error}"))?;
    // Whoever started this knows which file it is, this child does not.
    let words = |refusal: Refusal| {
        let words = refusal.to_string();
        let prefix = format!("{name}.so: ");
        words
            .strip_prefix(&prefix)
            .map(str::to_owned)
            .unwrap_or(words)
    };
    let prepared = Prepared::adopt(File::from(copy), name).map_err(words)?;
    tell(DOING, "being loaded");
    let library = load(Arc::new(prepared), name).map_err(words)?;
    match depth {
        Depth::Load => return Ok(()),
        Depth::Start => return start(library, name),
        Depth::Unload | Depth::Begin | Depth::Builtin => {}
    }
    for line in report::of_library(&library) {
        tell(LINE, &line);
    }
    let closed = if depth == Depth::Begin {
        begin(library)?
    } else {
        tell(DOING, "being unmapped");
        library.close()
    };
    let found = match closed {
        Closed::Unmapped => "nothing of it is left",
        Closed::Resident => "stays, as it wishes",
        Closed::Stuck(why) => return Err(format!("each reload would leave it behind: {why}")),
    };
    tell(LINE, &report::line("unmapped", found, true));
    Ok(())
}

/// A plugin that refuses is to say why in the one line that its operator gets.
fn start(library: Library, name: &str) -> Result<(), String> {
    tell(DOING, "being begun and ended");
    let mut said = Vec::new();
    let result = rehearse(library, taken_over(), &mut |line| {
        said.push(line.to_owned())
    });
    let Err(why) = result else {
        return Ok(());
    };
    let prefix = format!("plugin {name}: ");
    let own: Vec<&str> = said
        .iter()
        .filter_map(|it| it.strip_prefix(&prefix))
        .collect();
    let complaints = own.iter().filter_map(|line| line.strip_prefix("error: "));
    let complaints: Vec<&str> = complaints.collect();
    let reason = match own.last() {
        None => return Err(why),
        Some(last) if complaints.is_empty() => (*last).to_owned(),
        Some(_) => complaints.join("; "),
    };
    Err(format!("{why}: {reason}"))
}

fn begin(library: Library) -> Result<Closed, String> {
    tell(DOING, "being begun and ended");
    let mut log = |line: &str| tell(LINE, &report::line("log", line, false));
    let closed = rehearse(library, taken_over(), &mut log)?;
    let hooks = "init, set_default and cleanup";
    tell(LINE, &report::line("begun", hooks, true));
    Ok(closed)
}

/// Writes a line. If nobody reads, there is nobody to tell.
fn tell(kind: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{MARK}{kind}{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_so_at_its_end_is_good() {
        let said = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("{MARK}{line}\n"));
            format!("noise\n{}", lines.collect::<String>())
        };
        let loading = "doing being loaded";
        for (status, lines, wanted) in [
            (0, &[loading, "good"][..], ""),
            (
                0,
                &[loading],
                "ended the process with code 0 while being loaded",
            ),
            (0, &[], "ended the process with code 0 while being started"),
            (3 << 8, &[loading, "good"], "ended the process with code 3"),
            (1 << 8, &[loading, "refused wrong magic"], "wrong magic"),
            (
                11,
                &[loading],
                "killed by signal 11 (SIGSEGV) while being loaded",
            ),
            (11, &[loading, "good"], "killed by signal 11"),
            (
                14,
                &[loading],
                "not done after 10 seconds while being loaded",
            ),
        ] {
            let verdict = verdict(ExitStatus::from_raw(status), said(lines).as_bytes());
            let line = verdict.map_or_else(|refusal| refusal.to_string(), |()| String::new());
            assert!(
                line.contains(wanted) && line.is_empty() == wanted.is_empty(),
                "{line}"
            );
        }
    }
}
