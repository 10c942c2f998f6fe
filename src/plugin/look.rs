//! The look at the disk: which plugins are listed, which files they are, what is new.
//!
//! It runs on a helper thread, because everything in it may wait for a disk, and it is the part of
//! a reload that takes long: reading, copying and checking libraries, and the trial in a child. It
//! changes nothing; its answer is a [`Plan`] or the reason why there is none.

use super::builtin;
use super::check::Survey;
use super::config::{self, Entry};
use super::instance::Values;
use super::library::{self, Origin, Refusal, prepare};
use super::prepare::open_trusted;
use super::trial::{Depth, rehearsal_command, trial_command, verdict};
use crate::config::{PluginSettings, PluginValues};
use crate::sandbox::{self, Declared};
use crate::supervisor::LeftOut;
use crate::sys::child;
use crate::sys::file::Opened;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the look is to find out, and what there is already.
pub(super) struct Question {
    pub(super) wanted: Wanted,
    pub(super) settings: PluginSettings,
    pub(super) running: Vec<Running>,
    pub(super) left_out: Vec<LeftOut>,
    /// The number of the generation that would follow.
    pub(super) number: u64,
    /// Whether plugins are also begun and ended in the child that loads them.
    pub(super) is_rehearsal: bool,
}

/// Which plugins are to run.
#[derive(Clone)]
pub(super) enum Wanted {
    /// Those that this file lists.
    List(PathBuf),
    /// This one, which is tried out: it is new each time.
    File { name: String, file: PathBuf },
}

/// A plugin that runs.
pub(super) struct Running {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) values: Values,
}

/// What was found.
pub(super) struct Looked {
    pub(super) result: Result<Plan, Rejection>,
    pub(super) warnings: Vec<String>,
}

/// Why nothing is to be changed.
pub(super) struct Rejection {
    pub(super) why: String,
    /// A moment later it may be otherwise: something was just being changed.
    pub(super) is_passing: bool,
}

/// The plugins that are to run, in order.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) left_out: Vec<String>,
}

/// One of them.
pub(super) struct Step {
    pub(super) name: String,
    /// Where it stands, for messages: `FILE:LINE: NAME`, or the name alone.
    pub(super) place: String,
    pub(super) values: Values,
    pub(super) source: Source,
}

/// Where it comes from.
pub(super) enum Source {
    /// It runs already.
    Running,
    /// It is to be loaded from there.
    New(Origin),
}

impl Question {
    /// Looks.
    pub(super) fn look(self) -> Looked {
        let mut warnings = Vec::new();
        let result = self.find(&mut warnings);
        Looked { result, warnings }
    }

    /// Finds all that is wrong, rather than the first thing, with what plugins are to be told.
    pub(super) fn survey(self, values: PluginValues) -> Survey {
        let mut survey = Survey::default();
        let Survey { faults, warnings } = &mut survey;
        let mut values = values;
        let Wanted::List(list) = &self.wanted else {
            return survey;
        };
        let entries = match self.read_list(list, &values, warnings) {
            Ok(entries) => entries,
            Err(rejection) => {
                faults.push(rejection.why);
                return survey;
            }
        };
        faults.extend(self.missing(list, &entries));
        for entry in entries {
            let own = values.remove(&entry.name).unwrap_or_default();
            if let Err(rejection) = self.step(list, &entry, own, warnings) {
                faults.push(rejection.why);
            }
        }
        survey
    }

    fn find(&self, warnings: &mut Vec<String>) -> Result<Plan, Rejection> {
        match &self.wanted {
            Wanted::List(list) => self.find_listed(list, warnings),
            Wanted::File { name, file } => self.find_one(name, file, warnings),
        }
    }

    fn find_one(
        &self,
        name: &str,
        file: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Plan, Rejection> {
        let values = self.settings.reload_values();
        let values = values.map_err(|error| Rejection {
            why: error.to_string(),
            is_passing: false,
        });
        let values = values?.remove(name).unwrap_or_default();
        let prepared = match prepare(name, file, self.number, None) {
            Ok(library::Looked::New(prepared)) => prepared,
            Ok(library::Looked::Same(_)) => unreachable!("there was nothing before"),
            Err(refusal) => return Err(refusal.into()),
        };
        warnings.extend(prepared.warnings.iter().cloned());
        let origin = Origin::Copy(Arc::new(prepared));
        check_needs(name, &origin, &values)?;
        self.try_out(name, &origin, &values)?;
        let source = Source::New(origin);
        let name = name.to_owned();
        Ok(Plan {
            steps: vec![Step {
                place: name.clone(),
                name,
                values,
                source,
            }],
            left_out: Vec::new(),
        })
    }

    fn find_listed(&self, path: &Path, warnings: &mut Vec<String>) -> Result<Plan, Rejection> {
        let values = self.settings.reload_values();
        let mut values = values.map_err(|error| Rejection::lasting(error.to_string()))?;
        let entries = self.read_list(path, &values, warnings)?;
        if let Some(why) = self.missing(path, &entries).next() {
            return Err(Rejection::lasting(why));
        }
        let mut plan = Plan::default();
        for entry in entries {
            let own = values.remove(&entry.name).unwrap_or_default();
            match self.step(path, &entry, own, warnings)? {
                Some(step) => plan.steps.push(step),
                None => plan.left_out.push(entry.name),
            }
        }
        Ok(plan)
    }

    /// What the list says; warns of `values` for others.
    fn read_list(
        &self,
        path: &Path,
        values: &PluginValues,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Entry>, Rejection> {
        let list = path.display();
        let lasting = Rejection::lasting;
        let trust = |path: &Path, _opened: &Opened| {
            let (_file, found) = open_trusted(path).map_err(|refusal| refusal.to_string())?;
            warnings.extend(found);
            Ok(())
        };
        let bytes = match config::read(path, trust) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.running.is_empty() => {
                return Err(lasting(format!("{list}: there is no such file")));
            }
            Ok(None) => {
                return Err(lasting(format!(
                    "{list}: there is no such file; to unload all plugins, leave a comment in it"
                )));
            }
            Err(error) => return Err(lasting(format!("{list}: {error}"))),
        };
        let entries = config::parse(&bytes).map_err(|error| lasting(error.describe(path)))?;
        warn_of_strangers(path, values, &entries, warnings);
        Ok(entries)
    }

    /// What the list lacks.
    fn missing(&self, list: &Path, entries: &[Entry]) -> impl Iterator<Item = String> {
        let required = self.settings.required.iter();
        let is_listed = |name: &str| entries.iter().any(|entry| entry.name == name);
        let list = list.display();
        required
            .filter(move |name| !is_listed(name))
            .map(move |name| {
                format!("{list}: there is no line for {name}, which is one of required-plugins")
            })
    }

    /// One line of the list; `None` if the plugin is left out.
    fn step(
        &self,
        list: &Path,
        entry: &Entry,
        values: BTreeMap<String, String>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Step>, Rejection> {
        let running = self
            .running
            .iter()
            .find(|running| running.name == entry.name && running.values == values)
            .map(|running| &running.origin);
        let source = self.find_source(entry, running);
        let source = source.map_err(|refusal| Rejection::from(refusal).at(list, entry))?;
        if let Source::New(origin) = &source {
            let identity = origin.to_words();
            let is_left_out = |out: &LeftOut| out.name == entry.name && out.identity == identity;
            if self.left_out.iter().any(is_left_out) {
                warnings.push(left_out_line(entry));
                return Ok(None);
            }
            check_needs(&entry.name, origin, &values)
                .map_err(|rejection| rejection.at(list, entry))?;
            if let Origin::Copy(prepared) = origin {
                warnings.extend(prepared.warnings.iter().cloned());
            }
            self.try_out(&entry.name, origin, &values)
                .map_err(|rejection| rejection.at(list, entry))?;
        }
        Ok(Some(Step {
            place: place(list, entry),
            name: entry.name.clone(),
            values,
            source,
        }))
    }

    /// Where a plugin comes from; `running` is where one of its name and values has come from.
    fn find_source(&self, entry: &Entry, running: Option<&Origin>) -> Result<Source, Refusal> {
        let Some(file) = entry.library() else {
            return Ok(match running {
                Some(Origin::Builtin(_)) => Source::Running,
                _ => Source::New(Origin::Builtin(builtin::find(&entry.name)?)),
            });
        };
        let previous = match running {
            Some(Origin::Copy(prepared)) => Some(&**prepared),
            _ => None,
        };
        match prepare(&entry.name, &file, self.number, previous)? {
            library::Looked::Same(_) => Ok(Source::Running),
            library::Looked::New(prepared) => Ok(Source::New(Origin::Copy(Arc::new(prepared)))),
        }
    }

    /// Loads it in a child, so that a constructor that crashes kills nobody else.
    fn try_out(&self, name: &str, origin: &Origin, values: &Values) -> Result<(), Rejection> {
        if !self.settings.try_load {
            return Ok(());
        }
        let command = match origin {
            _ if self.is_rehearsal => rehearsal_command(origin, name, values),
            Origin::Copy(prepared) => trial_command(prepared, name, Depth::Load),
            Origin::Builtin(_) => return Ok(()),
        };
        let tried = command.and_then(|mut command| {
            let (status, said) = child::run(&mut command)
                .map_err(|error| Refusal::new(format!("cannot start a child: {error}")))?;
            verdict(status, &said)
        });
        tried.map_err(Rejection::from)
    }
}

/// What this process has given up it cannot have back.
fn check_needs(name: &str, origin: &Origin, values: &Values) -> Result<(), Rejection> {
    let needs = origin.needs()?;
    let declared = Declared {
        name,
        needs: &needs,
        values,
    };
    match sandbox::state().and_then(|state| state.missing(&declared)) {
        None => Ok(()),
        Some(need) => Err(Refusal::new(format_args!(
            "it needs {need}, which this process has given up: restart swiftd, or allow it in [sandbox]"
        ))
        .into()),
    }
}

fn left_out_line(entry: &Entry) -> String {
    let until = match entry.library() {
        Some(file) => format!("it comes back when {} changes", file.display()),
        None => "it comes back when swiftd is started anew".to_owned(),
    };
    format!(
        "plugin {} is left out: it has killed the server three times in a minute; {until}",
        entry.name
    )
}

fn warn_of_strangers(
    list: &Path,
    values: &PluginValues,
    entries: &[Entry],
    warnings: &mut Vec<String>,
) {
    let list = list.display();
    for name in values.keys() {
        if !entries.iter().any(|entry| entry.name == *name) {
            warnings.push(format!(
                "values for plugin.{name}, which {list} does not list"
            ));
        }
    }
}

fn place(list: &Path, entry: &Entry) -> String {
    format!("{}:{}: {}", list.display(), entry.line, entry.name)
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self {
            why: refusal.to_string(),
            is_passing: refusal.is_passing(),
        }
    }
}

impl Rejection {
    fn lasting(why: String) -> Self {
        Self {
            why,
            is_passing: false,
        }
    }

    /// With the place of the plugin in the list.
    fn at(self, list: &Path, entry: &Entry) -> Self {
        Self {
            why: format!("{}: {}", place(list, entry), self.why),
            ..self
        }
    }
}
