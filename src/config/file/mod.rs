//! The configuration file and those of `conf.d` beside it: TOML, read into a [`Draft`].
//!
//! Everything that is wrong is told at once, each with its file, line and column, what was expected,
//! and what was probably meant. What there is to be set is in [`super::settings`]. What the command
//! line says is set afterwards and wins.
//!
//! INVARIANT: a `Draft` that a faulty file was read into is not used.

mod faults;
mod plugins;
mod reading;
mod sources;

pub use faults::Fault;
pub use sources::STDIN;

use super::draft::Draft;
use super::{Config, PluginValues};
use faults::FAULTS_MAX;
use reading::Reading;
use sources::Source;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// A file is not longer; the largest that makes sense has some hundred lines.
pub const BYTES_MAX: u64 = 1 << 20;

/// Why a configuration was not taken.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// It is no regular file.
    Special(PathBuf),
    /// It is longer than a configuration can be.
    TooLong(PathBuf),
    /// More files are in `conf.d` than anybody needs.
    TooMany(PathBuf),
    /// This is wrong in them.
    Faults(Vec<Fault>),
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
            Self::TooMany(path) => write!(
                f,
                "{} has more than {} files; put them together",
                shown(path),
                sources::PARTS_MAX
            ),
            Self::Faults(faults) => {
                for (index, fault) in faults.iter().take(FAULTS_MAX).enumerate() {
                    let before = if index == 0 { "" } else { "\n" };
                    write!(f, "{before}{fault}")?;
                }
                if let Some(Fault { file, .. }) = faults.get(FAULTS_MAX) {
                    write!(f, "\n{}: and more like these", shown(file))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}

/// Reads the file at `path` and those of `conf.d` beside it into `draft`, and remembers it there.
/// [`STDIN`] is standard input, and has no `conf.d`.
///
/// # Errors
/// They cannot be read, or something in them is wrong.
pub fn load(path: &Path, draft: &mut Draft) -> Result<(), Error> {
    let sources = sources::read(path)?;
    read(&sources, draft).map_err(Error::Faults)?;
    draft.config.plugins.config_file = Some(path.to_owned());
    Ok(())
}

/// What the file at `path` and those beside it tell plugins now. Of the rest it only matters that
/// it is right.
///
/// # Errors
/// As [`load`].
pub fn reload_values(path: &Path) -> Result<PluginValues, Error> {
    let mut draft = Draft::default();
    load(path, &mut draft)?;
    Ok(draft.config.plugins.values)
}

/// Reads the text of one configuration file into `config`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file, up to a bound.
pub fn parse(bytes: &[u8], config: &mut Config) -> Result<(), Vec<Fault>> {
    let mut draft = Draft::from(config.clone());
    let source = Source {
        path: PathBuf::new(),
        bytes: bytes.to_vec(),
    };
    read(&[source], &mut draft)?;
    *config = draft
        .finish()
        .expect("a budget that is too small was refused");
    Ok(())
}

/// Reads files into `draft`, one after the other.
fn read(sources: &[Source], draft: &mut Draft) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut texts = Vec::with_capacity(sources.len());
    for source in sources {
        let text = source.text();
        texts.push(text.as_ref().copied().unwrap_or(""));
        faults.push(match text {
            Ok(_) => None,
            Err(fault) => Some(fault),
        });
    }
    let parsed: Vec<_> = texts
        .iter()
        .map(|text| DeTable::parse_recoverable(text))
        .collect();
    let paths: Vec<&Path> = sources.iter().map(|source| &*source.path).collect();
    let mut reading = Reading::new(draft, &paths, &texts);
    for (file, (table, _)) in parsed.iter().enumerate() {
        reading.file(file, table.get_ref());
    }
    let wrong = reading.finish();
    let mut told: Vec<Fault> = faults.into_iter().flatten().collect();
    for (file, ((_, errors), wrong)) in parsed.iter().zip(wrong).enumerate() {
        told.extend(faults::of_file(paths[file], texts[file], errors, wrong));
    }
    if told.is_empty() { Ok(()) } else { Err(told) }
}
