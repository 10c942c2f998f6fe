//! The configuration file: TOML, read into a [`Config`].
//!
//! Everything that is wrong is told at once, each with its line and column, what was expected, and
//! what was probably meant. [`KEYS`] says what there is; a new setting is a row there and a function
//! that reads it. What the command line says is set afterwards and wins.
//!
//! INVARIANT: a `Config` that a faulty file was read into is not used.

use super::{Config, KEY_FORM, NAME_FORM, PluginValues, is_plugin_name, is_value_key, nearest};
use crate::sys::file::Kind;
use crate::sys::small_file;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file is not longer; the largest that makes sense has some hundred lines.
const BYTES_MAX: u64 = 1 << 20;

/// More than this is not told of one file: behind one slip, dozens of lines may be misread.
const FAULTS_MAX: usize = 20;

/// Why a configuration file was not taken.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// It is no regular file.
    Special(PathBuf),
    /// It is longer than a configuration can be.
    TooLong(PathBuf),
    /// This is wrong in it.
    Faults(PathBuf, Vec<Fault>),
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What is wrong and how to mend it; one line.
    pub text: String,
}

impl fmt::Display for Error {
    /// A line for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| path.to_string_lossy().escape_debug().to_string();
        match self {
            Self::Read(path, error) => {
                let path = shown(path);
                write!(f, "cannot read the configuration file {path}: {error}")
            }
            Self::Special(path) => {
                write!(f, "{} is no regular file; name a TOML file", shown(path))
            }
            Self::TooLong(path) => write!(
                f,
                "{} is longer than {BYTES_MAX} bytes; is it the right file?",
                shown(path)
            ),
            Self::Faults(path, faults) => {
                let path = shown(path);
                for (index, fault) in faults.iter().take(FAULTS_MAX).enumerate() {
                    let Fault { line, column, text } = fault;
                    let before = if index == 0 { "" } else { "\n" };
                    write!(f, "{before}{path}:{line}:{column}: {text}")?;
                }
                match faults.len().saturating_sub(FAULTS_MAX) {
                    0 => Ok(()),
                    more => write!(f, "\n{path}: and {more} more like these"),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

/// Reads the file at `path` into `config`, and remembers it there.
///
/// # Errors
/// It cannot be read, or something in it is wrong.
pub fn load(path: &Path, config: &mut Config) -> Result<(), Error> {
    let bytes = read(path)?;
    parse(&bytes, config).map_err(|faults| Error::Faults(path.to_owned(), faults))?;
    config.plugins.config_file = Some(path.to_owned());
    Ok(())
}

/// What the file at `path` tells plugins now. Of the rest it only matters that it is right.
///
/// # Errors
/// As [`load`].
pub fn reload_values(path: &Path) -> Result<PluginValues, Error> {
    let mut config = Config::new(PathBuf::new());
    load(path, &mut config)?;
    Ok(config.plugins.values)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let of_system = |error| Error::Read(path.to_owned(), error);
    let opened = small_file::open_existing(path)
        .map_err(of_system)?
        .ok_or_else(|| of_system(io::ErrorKind::NotFound.into()))?;
    if opened.meta.kind != Kind::Regular {
        return Err(Error::Special(path.to_owned()));
    }
    let bytes = small_file::read_whole(opened, BYTES_MAX).map_err(of_system)?;
    bytes.ok_or_else(|| Error::TooLong(path.to_owned()))
}

/// Reads the text of a configuration file into `config`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(bytes: &[u8], config: &mut Config) -> Result<(), Vec<Fault>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        vec![fault(
            &text,
            text.len(),
            "not UTF-8; save the file as UTF-8",
        )]
    })?;
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading {
        config,
        faults: Vec::new(),
    };
    reading.top(table.get_ref());
    let mut faults = believable(text, &errors, reading.faults);
    for error in errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        faults.push((at, shown(error.message())));
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort();
    let located = faults.iter().map(|(at, what)| fault(text, *at, what));
    Err(located.collect())
}

/// What was read wrongly because the text before it is no TOML is no fault of its own: a line has
/// one kind of fault, and behind a broken table header or value of several lines nothing is certain.
fn believable(
    text: &str,
    errors: &[toml::de::Error],
    faults: Vec<(usize, String)>,
) -> Vec<(usize, String)> {
    let line_at = |at: usize| {
        let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
        let end = text[at..].find('\n').map_or(text.len(), |more| at + more);
        start..end
    };
    let broken: Vec<Range<usize>> = errors
        .iter()
        .map(|error| line_at(error.span().map_or(text.len(), |span| span.start)))
        .collect();
    let is_confined = |line: &Range<usize>| {
        let line = text[line.clone()].trim_start();
        !line.starts_with('[') && line.contains('=')
    };
    let certain = broken
        .iter()
        .filter(|line| !is_confined(line))
        .map(|line| line.start)
        .min();
    faults
        .into_iter()
        .filter(|(at, _)| certain.is_none_or(|certain| *at < certain))
        .filter(|(at, _)| {
            !broken
                .iter()
                .any(|line| (line.start..=line.end).contains(at))
        })
        .collect()
}

fn fault(text: &str, at: usize, what: &str) -> Fault {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Fault {
        line: count(before.matches('\n').count() + 1),
        column: count(before[line_start..].chars().count() + 1),
        text: what.to_owned(),
    }
}

/// A text of the file in one plain line.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

/// A value with its place.
type Item<'a> = Spanned<DeValue<'a>>;

/// A key at the top of the file, or a table there.
struct Key {
    name: &'static str,
    read: fn(&mut Reading<'_>, &Item<'_>),
}

/// All there are.
const KEYS: &[Key] = &[
    Key {
        name: "plugins",
        read: |reading, value| reading.plugins_file(value),
    },
    Key {
        name: "plugin",
        read: |reading, value| reading.plugin_tables(value),
    },
];

/// A file on its way into a `Config`.
struct Reading<'a> {
    config: &'a mut Config,
    /// What is wrong, and at which byte.
    faults: Vec<(usize, String)>,
}

impl Reading<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            match KEYS.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => (key.read)(self, value),
                None => {
                    let meant = nearest(name.get_ref(), KEYS.iter().map(|key| key.name));
                    let meant = meant.map_or(String::new(), |key| format!("; did you mean {key}?"));
                    let name_shown = shown(name.get_ref());
                    self.refuse(name.span(), format!("unknown key {name_shown}{meant}"));
                }
            }
        }
    }

    fn plugins_file(&mut self, value: &Item<'_>) {
        match value.get_ref() {
            DeValue::String(path) if path.starts_with('/') && !path.contains('\0') => {
                self.config.plugins.file = Some(PathBuf::from(&**path));
            }
            DeValue::String(path) => self.refuse(
                value.span(),
                format!(
                    "plugins {path:?}: expected an absolute path, as in \"/etc/swiftd-plugin.conf\""
                ),
            ),
            other => self.refuse(
                value.span(),
                format!("plugins: expected a path in quotes, found {}", kind(other)),
            ),
        }
    }

    fn plugin_tables(&mut self, value: &Item<'_>) {
        let DeValue::Table(tables) = value.get_ref() else {
            let found = kind(value.get_ref());
            let text = format!("plugin: expected tables [plugin.NAME], found {found}");
            return self.refuse(value.span(), text);
        };
        for (name, table) in tables {
            if !is_plugin_name(name.get_ref()) {
                let text = format!("plugin.{}: {NAME_FORM}", shown(name.get_ref()));
                self.refuse(name.span(), text);
                continue;
            }
            let DeValue::Table(table) = table.get_ref() else {
                let found = kind(table.get_ref());
                let name_shown = name.get_ref();
                let text = format!(
                    "plugin.{name_shown}: expected a table [plugin.{name_shown}], found {found}"
                );
                self.refuse(name.span(), text);
                continue;
            };
            let values = self.plugin_values(name.get_ref(), table);
            let plugins = &mut self.config.plugins;
            plugins.values.insert(name.get_ref().to_string(), values);
        }
    }

    fn plugin_values(&mut self, name: &str, table: &DeTable<'_>) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let key_shown = shown(key.get_ref());
            if !is_value_key(key.get_ref()) {
                self.refuse(key.span(), format!("plugin.{name}.{key_shown}: {KEY_FORM}"));
                continue;
            }
            match plugin_value(value) {
                Ok(value) => {
                    values.insert(key.get_ref().to_string(), value);
                }
                Err((span, what)) => {
                    self.refuse(span, format!("plugin.{name}.{key_shown}: {what}"));
                }
            }
        }
        values
    }

    fn refuse(&mut self, span: Range<usize>, text: String) {
        self.faults.push((span.start, text));
    }
}

/// A plugin's value as text: an array becomes lines.
fn plugin_value(value: &Item<'_>) -> Result<String, (Range<usize>, String)> {
    const FORM: &str =
        "expected a string, an integer, true, false, or an array of strings and integers";
    let refused = |value: &Item<'_>| {
        let found = kind(value.get_ref());
        Err((value.span(), format!("{FORM}, found {found}")))
    };
    match value.get_ref() {
        DeValue::Boolean(is_on) => Ok(is_on.to_string()),
        DeValue::Array(items) => {
            let mut lines = Vec::with_capacity(items.len());
            for item in items {
                match item.get_ref() {
                    DeValue::String(text) if text.contains('\n') => {
                        let text = "a line break in an array, whose items become lines";
                        return Err((item.span(), text.to_owned()));
                    }
                    DeValue::String(_) | DeValue::Integer(_) => lines.push(plugin_value(item)?),
                    _ => return refused(item),
                }
            }
            Ok(lines.join("\n"))
        }
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| {
                (
                    value.span(),
                    "an integer of more than 64 bits; put it in quotes".into(),
                )
            }),
        _ => refused(value),
    }
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction, which goes in quotes",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date, which goes in quotes",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
