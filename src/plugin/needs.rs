//! What the plugins of a list declare that they need, read before any of them is loaded; and with
//! that, the sandbox.

use super::builtin;
use super::config;
use super::prepare;
use crate::config::{Config, Need, PluginSettings};
use crate::sandbox::{self, Declared, State};
use crate::sys::notify::Notifier;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Locks the process in, but for what the configuration and the listed plugins need: to be called
/// when the last privilege has been given up, before the first thread and the first plugin.
///
/// A program that takes over tells `notifier`'s manager anew, so that one stays in reach.
///
/// # Errors
/// A part of the sandbox is required and not to be had.
pub fn lock_in(config: &Config, notifier: &Notifier) -> Result<&'static State, sandbox::Error> {
    let listed = listed(&config.plugins);
    let none = BTreeMap::new();
    let values = |name| config.plugins.values.get(name).unwrap_or(&none);
    let declared = listed.iter().map(|plugin| Declared {
        name: &plugin.name,
        needs: &plugin.needs,
        values: values(&plugin.name),
    });
    let declared: Vec<_> = declared.collect();
    let directories = listed.iter().filter_map(|plugin| plugin.directory.clone());
    let directories: Vec<_> = directories.collect();
    sandbox::enter(config, &directories, &declared, notifier.is_abstract())
}

/// What one plugin of the list needs.
struct Listed {
    name: String,
    /// Where its library is, if it has one.
    directory: Option<PathBuf>,
    needs: Vec<Need>,
}

/// What the plugins of the list need. What cannot be read is left out here: whoever loads it says
/// why.
fn listed(settings: &PluginSettings) -> Vec<Listed> {
    let Some(list) = &settings.file else {
        return Vec::new();
    };
    let bytes = config::read(list, |_, _| Ok(())).ok().flatten();
    let entries = bytes.and_then(|bytes| config::parse(&bytes).ok());
    let listed = entries.into_iter().flatten().map(|entry| {
        let library = entry.library();
        let needs = match &library {
            Some(file) => prepare::declared(&entry.name, file),
            None => builtin::find(&entry.name).and_then(|builtin| builtin.needs()),
        };
        Listed {
            needs: needs.unwrap_or_default(),
            name: entry.name,
            directory: library.and_then(|file| file.parent().map(Into::into)),
        }
    });
    listed.collect()
}
