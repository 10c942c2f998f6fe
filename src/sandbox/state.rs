//! What a process has locked itself into.

use super::needs::{Declared, Kept, resolve, rights};
use super::places::Grant;
use crate::config::Need;
use crate::figures::{Kind, Text};
use crate::sys::landlock::Rights;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is in force. Displays as the line of the start.
#[derive(Debug)]
pub struct State {
    /// Files and connecting.
    pub landlock: Part,
    /// System calls.
    pub seccomp: Part,
    pub(super) kept: Kept,
    /// What Landlock leaves.
    pub(super) grants: Vec<Grant>,
    pub(super) roots: Vec<PathBuf>,
}

/// One part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Not wanted.
    Off,
    /// Not to be had, because.
    Missing(String),
    /// In force: what it is.
    InForce(String),
}

impl State {
    /// The first need of a plugin that this process cannot fulfil any more.
    #[must_use]
    pub fn missing(&self, declared: &Declared<'_>) -> Option<Need> {
        let needs = declared.needs.iter();
        let mut missing = needs.filter(|need| !self.is_kept(need, declared));
        missing.next().cloned()
    }

    fn is_kept(&self, need: &Need, declared: &Declared<'_>) -> bool {
        let has_filter = matches!(self.seccomp, Part::InForce(_));
        let has_files = matches!(self.landlock, Part::InForce(_));
        match need {
            Need::Place(access, path) if has_files => {
                let paths = resolve(path, declared.values, &self.roots);
                // What is not there is missed by nobody yet.
                paths
                    .iter()
                    .all(|path| !path.exists() || self.covers(path, rights(*access)))
            }
            Need::Place(..) => true,
            Need::Exec | Need::Network => !(has_filter || has_files) || self.kept.has(need),
            Need::Code | Need::Calls => !has_filter || self.kept.has(need),
        }
    }

    /// Whether so much is allowed of a path, or was before its file has gone.
    pub(super) fn covers(&self, path: &Path, wanted: Rights) -> bool {
        // Names can be looked up everywhere; what is not there yet is where its directory is.
        let real = path.canonicalize().or_else(|_| {
            let path = std::path::absolute(path)?;
            path.parent().unwrap_or(&path).canonicalize()
        });
        let Ok(real) = real else {
            return false;
        };
        let mut left = self.grants.iter();
        left.any(|grant| real.starts_with(&grant.path) && grant.rights.has(wanted))
    }

    /// Lines for a status page.
    pub fn describe(&self, text: &mut Text) {
        let mut family = text.family(
            "swiftd_sandbox",
            Kind::Gauge,
            "1 for each part of the sandbox that is in force.",
        );
        for (name, part) in [("landlock", &self.landlock), ("seccomp", &self.seccomp)] {
            let (detail, is_in_force) = match part {
                Part::Off => ("off", 0),
                Part::Missing(why) => (&why[..], 0),
                Part::InForce(what) => (&what[..], 1),
            };
            family.sample(&[("part", name), ("detail", detail)], is_in_force);
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sandbox: ")?;
        if (&self.landlock, &self.seccomp) == (&Part::Off, &Part::Off) {
            return f.write_str("off");
        }
        write!(f, "landlock {}, seccomp {}", self.landlock, self.seccomp)?;
        match &self.kept.starter {
            Some(name) => write!(f, ", programs for plugin {name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Missing(why) => write!(f, "not to be had ({why})"),
            Self::InForce(what) => write!(f, "({what})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;
    use std::collections::BTreeMap;

    fn state(landlock: Part, seccomp: Part) -> State {
        State {
            landlock,
            seccomp,
            kept: Kept::default(),
            grants: Vec::new(),
            roots: Vec::new(),
        }
    }

    fn in_force(what: &str) -> Part {
        Part::InForce(what.to_owned())
    }

    #[test]
    fn the_line_of_the_start_says_what_is_in_force_and_what_is_not() {
        let missing = || Part::Missing("this kernel has none".to_owned());
        let files = || in_force("ABI 7: files");
        for (landlock, seccomp, wanted) in [
            (Part::Off, Part::Off, "sandbox: off"),
            (
                files(),
                in_force("200 calls"),
                "sandbox: landlock (ABI 7: files), seccomp (200 calls)",
            ),
            (
                missing(),
                Part::Off,
                "sandbox: landlock not to be had (this kernel has none), seccomp off",
            ),
        ] {
            assert_eq!(state(landlock, seccomp).to_string(), wanted);
        }
    }

    #[test]
    fn what_was_given_up_is_missing_and_what_was_not_is_not() {
        let inside = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let mut held = state(in_force("files"), in_force("calls"));
        held.grants.push(Grant::of(inside.path(), Rights::READ));
        let place = |access, path: &Path| Need::Place(access, path.to_str().unwrap().to_owned());
        let values = BTreeMap::new();
        let missing = |state: &State, need: Need| {
            let needs = [need];
            let declared = Declared {
                name: "a",
                needs: &needs,
                values: &values,
            };
            state.missing(&declared).is_some()
        };
        let table = [
            (Need::Exec, true),
            (Need::Network, true),
            (Need::Code, true),
            (Need::Calls, true),
            (place(Access::Read, inside.path()), false),
            (place(Access::Read, &inside.path().join("new")), false),
            (place(Access::Write, inside.path()), true),
            (place(Access::Read, outside.path()), true),
            (place(Access::Read, Path::new("/none/at/all")), false),
        ];
        for (need, wanted) in table {
            assert_eq!(missing(&held, need.clone()), wanted, "{need}");
            assert!(!missing(&state(Part::Off, Part::Off), need));
        }
        let filtered = state(Part::Off, in_force("calls"));
        assert!(!missing(&filtered, place(Access::Read, outside.path())));
        assert!(missing(&filtered, Need::Code));
        assert!(!missing(&state(in_force("files"), Part::Off), Need::Code));
    }
}
