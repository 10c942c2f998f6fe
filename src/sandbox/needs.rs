//! What plugins and the operator need beside what the configuration names, and what of it is kept.
//!
//! A plugin declares words ([`Need`]) in its file. A path in them is absolute, or `$KEY` for what the
//! operator has set for this plugin, or `@roots` for the roots of all hosts; something may follow
//! both, as in `$dir/cache`.

use super::places::{self, Place};
use crate::config::{Access, Config, Need};
use crate::sys::landlock::Rights;
use crate::sys::seccomp::Policy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a plugin declares.
#[derive(Copy, Clone, Debug)]
pub struct Declared<'a> {
    /// The plugin.
    pub name: &'a str,
    /// Its needs.
    pub needs: &'a [Need],
    /// What the operator has set for it.
    pub values: &'a BTreeMap<String, String>,
}

/// Whether a plugin can declare a need of this path.
#[must_use]
pub fn is_declared_path(path: &str) -> bool {
    path.starts_with('/')
        || path == ROOTS
        || path.starts_with("@roots/")
        || path.strip_prefix('$').is_some_and(|rest| {
            let (key, _) = rest.split_once('/').unwrap_or((rest, ""));
            crate::config::is_value_key(key)
        })
}

const ROOTS: &str = "@roots";

/// What the process keeps for plugins and as the operator says.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Programs of which nobody knows what they do are started.
    is_exec: bool,
    /// The server's own program is.
    is_own_exec: bool,
    is_network: bool,
    is_code: bool,
    is_calls: bool,
    places: Vec<(Access, PathBuf)>,
    /// Who wants programs started, if it is a plugin.
    pub(super) starter: Option<String>,
}

impl Kept {
    pub(super) fn new(config: &Config, declared: &[Declared<'_>], roots: &[PathBuf]) -> Self {
        let settings = &config.service.sandbox;
        let plugins = &config.plugins;
        // Inside a jail there is no program, and a supervisor is outside of all this.
        let is_replaced = !plugins.is_supervised && config.service.chroot.is_none();
        let is_tried = plugins.file.is_some() && plugins.try_load;
        let mut kept = Self {
            // A plugin is tried in a child that is this program.
            is_own_exec: settings.is_upgradable && is_replaced || is_tried,
            ..Self::default()
        };
        for need in &settings.allow {
            kept.add(need, &BTreeMap::new(), roots);
        }
        for Declared {
            name,
            needs,
            values,
        } in declared
        {
            let had_exec = kept.is_exec;
            for need in *needs {
                kept.add(need, values, roots);
            }
            if kept.is_exec && !had_exec {
                kept.starter = Some((*name).to_owned());
            }
        }
        kept
    }

    fn add(&mut self, need: &Need, values: &BTreeMap<String, String>, roots: &[PathBuf]) {
        match need {
            Need::Exec => self.is_exec = true,
            Need::Network => self.is_network = true,
            Need::Code => self.is_code = true,
            Need::Calls => self.is_calls = true,
            Need::Place(access, path) => {
                self.is_exec |= *access == Access::Exec;
                let paths = resolve(path, values, roots).into_iter();
                self.places.extend(paths.map(|path| (*access, path)));
            }
        }
    }

    /// What the filter of system calls leaves.
    pub(super) fn policy(&self) -> Policy {
        Policy {
            exec: self.is_exec || self.is_own_exec,
            network: self.is_network,
            code: self.is_code,
            // What programs call nobody knows.
            calls: self.is_calls || self.is_exec,
        }
    }

    pub(super) fn has_network(&self) -> bool {
        self.is_network
    }

    pub(super) fn has_exec(&self) -> bool {
        self.is_exec
    }

    pub(super) fn has_own_exec(&self) -> bool {
        self.is_own_exec
    }

    /// Whether a need that is no place is kept.
    pub(super) fn has(&self, need: &Need) -> bool {
        match need {
            Need::Exec => self.is_exec,
            Need::Network => self.is_network,
            Need::Code => self.is_code || self.is_calls || self.is_exec,
            Need::Calls => self.is_calls || self.is_exec,
            Need::Place(..) => true,
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.places.iter().map(|(access, path)| Place {
            path: path.clone(),
            rights: rights(*access),
        })
    }
}

pub(super) fn rights(access: Access) -> Rights {
    match access {
        Access::Read => Rights::READ,
        Access::Exec => Rights::READ.and(Rights::EXECUTE),
        Access::Write => places::OWN,
    }
}

/// The paths that a declared one stands for. A file of the operator's stands for its directory:
/// whoever saves it may put a new one in its place, which is another file for the kernel.
pub(super) fn resolve(
    path: &str,
    values: &BTreeMap<String, String>,
    roots: &[PathBuf],
) -> Vec<PathBuf> {
    if let Some(rest) = path.strip_prefix(ROOTS) {
        let rest = rest.trim_start_matches('/');
        return roots.iter().map(|root| below(root, rest)).collect();
    }
    let Some(rest) = path.strip_prefix('$') else {
        return vec![PathBuf::from(path)];
    };
    let (key, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let lines = values.get(key).map_or("", String::as_str).lines();
    let paths = lines.map(str::trim).filter(|line| line.starts_with('/'));
    paths
        .map(|line| {
            let path = below(Path::new(line), rest);
            if path.is_dir() {
                path
            } else {
                places::beside(&path)
            }
        })
        .collect()
}

fn below(path: &Path, rest: &str) -> PathBuf {
    if rest.is_empty() {
        path.to_owned()
    } else {
        path.join(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_from_values_and_roots() {
        let directory = tempfile::tempdir().unwrap();
        let shown = directory.path().to_str().unwrap();
        let values = BTreeMap::from([
            ("file".to_owned(), format!("{shown}/users")),
            (
                "dirs".to_owned(),
                format!("{shown}\n\n{shown}/a/b\nrelative"),
            ),
        ]);
        let roots = [PathBuf::from("/srv/a"), PathBuf::from("/srv/b")];
        let paths = |path: &str| {
            let found = resolve(path, &values, &roots);
            let found = found.iter().map(|path| path.to_str().unwrap().to_owned());
            found.collect::<Vec<_>>()
        };
        assert_eq!(paths("/x/y"), ["/x/y"]);
        assert_eq!(paths("@roots"), ["/srv/a", "/srv/b"]);
        assert_eq!(paths("@roots/cgi"), ["/srv/a/cgi", "/srv/b/cgi"]);
        assert_eq!(paths("$file"), [shown]);
        assert_eq!(paths("$dirs"), [shown.to_owned(), format!("{shown}/a")]);
        assert_eq!(paths("$missing"), [""; 0]);
    }

    #[test]
    fn programs_are_started_only_if_somebody_starts_some() {
        let mut config = Config::new("/srv".into());
        let policy = |config: &Config, needs: &[Need]| {
            let declared = Declared {
                name: "a",
                needs,
                values: &BTreeMap::new(),
            };
            Kept::new(config, &[declared], &[]).policy()
        };
        // To be replaced while it runs.
        assert!(policy(&config, &[]).exec && !policy(&config, &[]).calls);
        config.service.sandbox.is_upgradable = false;
        assert_eq!(policy(&config, &[]), Policy::default());
        let cgi = Need::Place(Access::Exec, "/cgi".to_owned());
        for need in [Need::Exec, cgi] {
            let policy = policy(&config, &[need]);
            assert!(policy.exec && policy.calls && !policy.network);
        }
        // To try plugins.
        config.plugins.file = Some("/list".into());
        assert!(policy(&config, &[]).exec);
        config.plugins.try_load = false;
        assert!(!policy(&config, &[]).exec);
        // In a jail, and beneath a supervisor, nobody is replaced.
        config.service.sandbox.is_upgradable = true;
        config.plugins.is_supervised = true;
        assert!(!policy(&config, &[]).exec);
    }

    #[test]
    fn only_what_can_be_resolved_can_be_declared() {
        for good in ["/x", "$file", "$dir/cache", "@roots", "@roots/cgi-bin"] {
            assert!(is_declared_path(good), "{good}");
        }
        for bad in ["", "x", "$", "$/x", "$a b", "@root", "@rootsx"] {
            assert!(!is_declared_path(bad), "{bad}");
        }
    }
}
