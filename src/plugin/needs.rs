//! What the plugins of a list declare that they need, read before any of them is loaded.

use super::config;
use super::prepare;
use crate::config::{Need, PluginSettings};
use std::path::PathBuf;

/// What one plugin of the list needs.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where its library is.
    pub directory: PathBuf,
    /// What it declares.
    pub needs: Vec<Need>,
}

/// What the plugins of the list need. What cannot be read is left out here: whoever loads it says
/// why.
#[must_use]
pub fn listed(settings: &PluginSettings) -> Vec<Listed> {
    let Some(list) = &settings.file else {
        return Vec::new();
    };
    let bytes = config::read(list, |_, _| Ok(())).ok().flatten();
    let entries = bytes.and_then(|bytes| config::parse(&bytes).ok());
    let listed = entries.into_iter().flatten().map(|entry| Listed {
        needs: prepare::declared(&entry.name, &entry.library()).unwrap_or_default(),
        name: entry.name,
        directory: entry.directory,
    });
    listed.collect()
}
