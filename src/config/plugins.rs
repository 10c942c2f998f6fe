//! What the operator can set about plugins, and the syntax of a plugin's values.
//!
//! Which plugins there are is in a file of its own, because saving that file is what reloads them;
//! see `plugin::config`. Here is where that file lies and what each plugin is told.

use super::file;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// By the name of a plugin: what it is told, by key.
pub type PluginValues = BTreeMap<String, BTreeMap<String, String>>;

/// Everything about plugins that is set outside of the list of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// The list of plugins, watched for changes; `None`: there are no plugins.
    pub file: Option<PathBuf>,
    /// What each plugin is told: the configuration file with `overrides` over it.
    pub values: PluginValues,
    /// What the command line says about plugins' values. It holds for as long as the server runs,
    /// whatever becomes of the configuration file.
    pub overrides: PluginValues,
    /// The configuration file that was read, to read the plugins' values from it again.
    pub config_file: Option<PathBuf>,
    /// Whether the server starts although plugins cannot be loaded.
    pub is_optional: bool,
    /// Plugins without which nothing is served: while one of them does not run, every request is
    /// answered with 503, and a list that does not name it is refused.
    pub required: Vec<String>,
    /// How long requests may go on that began with a plugin that has been replaced.
    pub drain_timeout: Duration,
    /// Whether the server runs under a parent that starts it again.
    pub is_supervised: bool,
    /// How long a plugin may keep a supervised server from anything else; `None` for ever.
    pub hang: Option<Duration>,
    /// Whether a plugin is first loaded by a child process, for the case that loading it crashes.
    pub try_load: bool,
    /// A worker before this one has served with these plugins. Then they are not tried again at the
    /// start, which would be time that clients wait; one that crashes is the supervisor's matter.
    pub is_restarted: bool,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            file: None,
            values: PluginValues::new(),
            overrides: PluginValues::new(),
            config_file: None,
            is_optional: false,
            required: Vec::new(),
            // Longer than any timeout of a connection, so that only a request that a plugin itself
            // keeps open meets it.
            drain_timeout: Duration::from_secs(60),
            is_supervised: false,
            hang: None,
            try_load: true,
            is_restarted: false,
        }
    }
}

impl PluginSettings {
    /// Sets a value as the command line does: it wins over the file, now and later.
    pub fn override_value(&mut self, value: PluginValue) {
        let PluginValue { name, key, value } = value;
        for values in [&mut self.values, &mut self.overrides] {
            let of_plugin = values.entry(name.clone()).or_default();
            of_plugin.insert(key.clone(), value.clone());
        }
    }

    /// The plugins' values as they are now: the configuration file is read again, and what the
    /// command line said stays. It reads a file, so it is for a helper thread.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn reload_values(&self) -> Result<PluginValues, file::Error> {
        let mut values = match &self.config_file {
            Some(path) => file::reload_values(path)?,
            None => PluginValues::new(),
        };
        for (name, overrides) in &self.overrides {
            let of_plugin = values.entry(name.clone()).or_default();
            of_plugin.extend(overrides.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Ok(values)
    }
}

/// One value of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginValue {
    /// The plugin.
    pub name: String,
    /// What it asks for.
    pub key: String,
    /// What it gets.
    pub value: String,
}

impl PluginValue {
    /// Reads `plugin.NAME.KEY=VALUE`. The value is all behind the first `=`, and may be empty.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, value) = text.split_once('=').ok_or(FORM)?;
        let path = path.strip_prefix("plugin.").ok_or(FORM)?;
        let (name, key) = path.split_once('.').ok_or(FORM)?;
        if !is_plugin_name(name) {
            return Err(NAME_FORM);
        }
        if !is_value_key(key) {
            return Err(KEY_FORM);
        }
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

const FORM: &str = "expected plugin.NAME.KEY=VALUE";

/// What [`is_plugin_name`] wants, for a message.
pub const NAME_FORM: &str =
    "expected a plugin's name: a small letter, then up to 30 small letters, digits or _";

/// What [`is_value_key`] wants, for a message.
pub const KEY_FORM: &str = "expected a key of up to 64 letters, digits, _ or -";

/// Whether a plugin can be called so: `[a-z][a-z0-9_]{0,30}`.
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 31
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_inner)
}

/// Whether a plugin's value can be called so: what TOML allows without quotes.
#[must_use]
pub fn is_value_key(key: &str) -> bool {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&key.len()) && key.bytes().all(is_bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_all_behind_the_first_equals_sign() {
        for (text, wanted) in [
            ("plugin.a.k=v", ("a", "k", "v")),
            ("plugin.a_1.Key-2=", ("a_1", "Key-2", "")),
            ("plugin.a.k=x=y.z = \n", ("a", "k", "x=y.z = \n")),
        ] {
            let PluginValue { name, key, value } = PluginValue::parse(text).expect("a value");
            assert_eq!((&*name, &*key, &*value), wanted);
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file_also_when_it_is_read_again() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("swiftd.toml");
        let write = |text: &str| std::fs::write(&path, text).expect("a file");
        write("[plugin.a]\nk = 1\nl = 2\n");
        let mut draft = crate::config::Draft::default();
        file::load(&path, &mut draft).expect("a good file");
        let mut plugins = draft.config.plugins;
        for text in ["plugin.a.k=3", "plugin.b.m=4", "plugin.a.k=5"] {
            plugins.override_value(PluginValue::parse(text).expect("a value"));
        }
        let show = |values: &PluginValues| format!("{values:?}");
        assert_eq!(
            show(&plugins.values),
            r#"{"a": {"k": "5", "l": "2"}, "b": {"m": "4"}}"#
        );

        write("[plugin.a]\nk = 6\n[plugin.c]\nn = 7\n");
        let values = plugins.reload_values().expect("a good file");
        assert_eq!(
            show(&values),
            r#"{"a": {"k": "5"}, "b": {"m": "4"}, "c": {"n": "7"}}"#
        );
        write("[plugin.a\n");
        assert!(plugins.reload_values().is_err());
        std::fs::remove_file(&path).expect("it was there");
        assert!(plugins.reload_values().is_err());
        plugins.config_file = None;
        assert_eq!(
            plugins.reload_values().expect("no file to read"),
            plugins.overrides
        );
    }
}
