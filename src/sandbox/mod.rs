//! The sandbox: before the first plugin is loaded and the first thread is started, the process gives
//! up what neither the configuration nor a plugin needs.
//!
//! | module | what |
//! |---|---|
//! | `places` | which directories the configuration needs, and for what |
//! | `needs` | what plugins and the operator need beside that |
//! | `state` | what is in force, in words and numbers |
//!
//! It is entered once in the life of a process, for good, by all its threads and children; so what
//! came of it is kept for the whole process ([`state`]).

mod needs;
mod places;
mod state;

pub use needs::{Declared, is_declared_path};
pub use state::{Part, State};

use crate::config::{Config, Mode};
use crate::sys::landlock::{self, Others, Rights, Ruleset};
use crate::sys::{process, seccomp};
use needs::Kept;
use places::{Grant, Place};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static STATE: OnceLock<State> = OnceLock::new();

/// What this process has locked itself into; `None` before it has, and in programs that never do.
#[must_use]
pub fn state() -> Option<&'static State> {
    STATE.get()
}

/// Why the server does not start.
#[derive(Debug)]
pub enum Error {
    /// A part is required that is not to be had.
    Missing(&'static str, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Missing(part, why) = self;
        write!(
            f,
            "{part} is required, and not to be had: {why}; use a kernel that has it, or set {part} of [sandbox] to best-effort"
        )
    }
}

impl std::error::Error for Error {}

/// Locks the process in: to be called when the last privilege has been given up, before the first
/// thread and the first plugin. `directories` are those of plugins, `declared` what they need. With `keeps_abstract`
/// sockets without a file stay in reach.
///
/// # Errors
/// A part is required and not to be had.
pub fn enter(
    config: &Config,
    directories: &[PathBuf],
    declared: &[Declared<'_>],
    keeps_abstract: bool,
) -> Result<&'static State, Error> {
    let settings = &config.service.sandbox;
    let roots = places::roots(config);
    let kept = Kept::new(config, declared, &roots);
    let mut state = State {
        landlock: Part::Off,
        seccomp: Part::Off,
        kept,
        grants: Vec::new(),
        roots,
    };
    if settings.landlock != Mode::Off || settings.seccomp != Mode::Off {
        // Should it fail, so do both parts, and say so.
        let _ = process::forbid_new_privileges();
    }
    if settings.landlock != Mode::Off {
        let places = places::all(config, directories, &state.kept);
        (state.landlock, state.grants) = confine(&places, &state.kept, keeps_abstract);
        demand("landlock", settings.landlock, &state.landlock)?;
    }
    // Last: it may forbid what the other one is made with.
    if settings.seccomp != Mode::Off {
        state.seccomp = filter(&state.kept);
        demand("seccomp", settings.seccomp, &state.seccomp)?;
    }
    Ok(STATE.get_or_init(|| state))
}

fn demand(name: &'static str, mode: Mode, part: &Part) -> Result<(), Error> {
    match part {
        Part::Missing(why) if mode == Mode::Required => Err(Error::Missing(name, why.clone())),
        _ => Ok(()),
    }
}

/// Landlock.
fn confine(places: &[Place], kept: &Kept, keeps_abstract: bool) -> (Part, Vec<Grant>) {
    let missing = |error: &io::Error| (Part::Missing(reason(error)), Vec::new());
    let abi = match landlock::abi() {
        Ok(abi) => abi,
        Err(error) => return missing(&error),
    };
    let others = Others {
        connecting: !kept.has_network(),
        abstract_sockets: !keeps_abstract && !kept.has_network(),
    };
    let mut grants = Vec::new();
    let outcome = Ruleset::new(abi, others).and_then(|ruleset| {
        for Place { path, rights } in places {
            if ruleset.allow(path, *rights)? {
                grants.push(Grant::of(path, *rights));
            }
        }
        ruleset.enforce()
    });
    let does_forbid_connecting = others.connecting && abi >= 4;
    match outcome {
        Ok(()) => {}
        // As narrow as it gets: each program that this one has replaced has added its own rules.
        Err(error) if landlock::is_full(&error) => {}
        Err(error) => return missing(&error),
    }
    let what = if does_forbid_connecting {
        format!("ABI {abi}: files, no TCP to others")
    } else {
        format!("ABI {abi}: files")
    };
    (Part::InForce(what), grants)
}

/// Seccomp.
fn filter(kept: &Kept) -> Part {
    let policy = kept.policy();
    match seccomp::install(policy) {
        Ok(_) if policy.calls => Part::InForce("no dangerous calls".to_owned()),
        Ok(count) if policy.exec => Part::InForce(format!("{count} calls")),
        Ok(count) => Part::InForce(format!("{count} calls, no programs")),
        Err(error) => Part::Missing(reason(&error)),
    }
}

/// Why the kernel refuses, for somebody who can do something about it.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported if error.raw_os_error().is_some() => {
            "this kernel has none, or it is switched off at boot".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}; does a container forbid it?")
        }
        _ => error.to_string(),
    }
}

/// What was to be done with a path that is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To read it.
    Read,
    /// To write it, or to make it, as a log is.
    Write,
    /// To listen there.
    Listen,
}

impl Wish {
    fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::READ,
            Self::Write => Rights::WRITE.and(Rights::MAKE_FILES),
            Self::Listen => Rights::MAKE_SOCKETS,
        }
    }
}

/// What to add to an error about a directory that has taken the place of one that was named: the
/// kernel knows those that are allowed by what they were, and not by their paths.
#[must_use]
pub fn explain_replaced(error: &io::Error) -> &'static str {
    let is_locked = state().is_some_and(|state| matches!(state.landlock, Part::InForce(_)));
    if error.kind() != io::ErrorKind::PermissionDenied || !is_locked {
        return "";
    }
    "; the sandbox allows the directory that was there before: for directories that are exchanged, name the one above them in [sandbox] allow (\"read:/DIRECTORY\")"
}

/// What to add to an error that the sandbox may be the reason of, behind a semicolon; `None` if it
/// is not.
#[must_use]
pub fn explain(error: &io::Error, path: &Path, wish: Wish) -> Option<String> {
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let state = state().filter(|_| is_denied(error))?;
    // Nothing of this keeps anybody from looking a name up.
    if path.canonicalize().is_err_and(|error| is_denied(&error)) {
        return None;
    }
    let is_outside =
        matches!(state.landlock, Part::InForce(_)) && !state.covers(path, wish.rights());
    is_outside.then(|| {
        let word = if wish == Wish::Read { "read" } else { "write" };
        format!(
            "; it is outside of what the sandbox of this process allows: restart swiftd, or name a directory above it in [sandbox] allow (\"{word}:/DIRECTORY\")"
        )
    })
}
