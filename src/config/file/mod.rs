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
                write!(f, "cannot read the configuration file {path}: ")?;
                match error.kind() {
                    io::ErrorKind::NotFound => f.write_str("there is none; name one with -c"),
                    _ => error.fmt(f),
                }
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
        .expect("what does not fit together was refused");
    Ok(())
}

/// Reads files into `draft`, one after the other.
fn read(sources: &[Source], draft: &mut Draft) -> Result<(), Vec<Fault>> {
    let texts: Vec<_> = sources.iter().map(Source::text).collect();
    let mut told: Vec<Fault> = texts
        .iter()
        .filter_map(|text| text.as_ref().err().cloned())
        .collect();
    let texts: Vec<&str> = texts
        .iter()
        .map(|text| text.as_ref().copied().unwrap_or_default())
        .collect();
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
    for (file, ((_, errors), wrong)) in parsed.iter().zip(wrong).enumerate() {
        told.extend(faults::of_file(paths[file], texts[file], errors, wrong));
    }
    if told.is_empty() { Ok(()) } else { Err(told) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String, String)> {
        let mut config = Config::new(PathBuf::new());
        let parsed = parse(text.as_bytes(), &mut config);
        assert_eq!(parsed, Ok(()), "{text}");
        let plugins = config.plugins.values.into_iter();
        plugins
            .flat_map(|(name, values)| {
                let with_name = move |(key, value)| (name.clone(), key, value);
                values.into_iter().map(with_name).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Each fault as `LINE:COLUMN: TEXT`.
    #[track_caller]
    fn faults(text: impl AsRef<[u8]>) -> Vec<String> {
        let mut config = Config::new(PathBuf::new());
        let faults = parse(text.as_ref(), &mut config).expect_err("a faulty file");
        let shown = |Fault {
                         line, column, text, ..
                     }| {
            assert!(!text.contains(|char: char| char.is_control()), "{text:?}");
            format!("{line}:{column}: {text}")
        };
        faults.into_iter().map(shown).collect()
    }

    #[test]
    fn a_plugin_gets_strings_numbers_switches_and_lines() {
        let text = "
            [plugin.a]
            text = \"x = y\\tz\"
            many = \"\"\"
one
two\"\"\"
            raw = 'C:\\n'
            number = 1_000
            hex = 0xff
            negative = -9223372036854775808
            on = true
            lines = [\"x\", 2, 'z',]
            none = []
            empty = \"\"
            [plugin.b_2]
            sharp-key_1 = '\u{fc}'
            [plugin.c]
        ";
        let given = values(text);
        let wanted = [
            ("a", "empty", ""),
            ("a", "hex", "255"),
            ("a", "lines", "x\n2\nz"),
            ("a", "many", "one\ntwo"),
            ("a", "negative", "-9223372036854775808"),
            ("a", "none", ""),
            ("a", "number", "1000"),
            ("a", "on", "true"),
            ("a", "raw", "C:\\n"),
            ("a", "text", "x = y\tz"),
            ("b_2", "sharp-key_1", "\u{fc}"),
        ];
        let wanted = wanted.map(|(name, key, value)| (name.into(), key.into(), value.into()));
        assert_eq!(given, wanted);
    }

    #[test]
    fn the_same_can_be_written_in_other_ways() {
        let wanted = [("a".to_owned(), "k".to_owned(), "1".to_owned())];
        for text in [
            "plugin.a.k = 1",
            "[plugin]\na.k = 1",
            "[plugin]\na = { k = 1 }",
            "plugin = { a = { \"k\" = 1 } }",
            "[plugin.a]\r\nk = 1\r\n",
            "\u{feff}[plugin.a]\nk = 1",
        ] {
            assert_eq!(values(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_list_of_plugins_is_named_by_its_path() {
        let mut config = Config::new(PathBuf::new());
        assert_eq!(
            parse(b"plugins = \"/etc/p.conf\" # here", &mut config),
            Ok(())
        );
        assert_eq!(
            config.plugins.file.as_deref(),
            Some(Path::new("/etc/p.conf"))
        );
        let mut config = Config::new(PathBuf::new());
        assert_eq!(parse(b"", &mut config), Ok(()));
        assert_eq!(config.plugins, Config::new(PathBuf::new()).plugins);
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_cure() {
        for (text, wanted) in [
            (
                "plugin = 1",
                "1:10: plugin: expected tables [plugin.NAME], found an integer",
            ),
            (
                "[[plugin]]",
                "1:1: plugin: expected tables [plugin.NAME], found an array",
            ),
            (
                "[plugin]\na = 1",
                "2:1: plugin.a: expected a table [plugin.a], found an integer",
            ),
            (
                "\n plugins = 3",
                "2:12: plugins: expected an absolute path, as in \"/etc/hosts\", found an integer",
            ),
            (
                "plugins = \"p.conf\"",
                "1:11: plugins \"p.conf\": expected an absolute path, as in",
            ),
            (
                "plugins = \"/a\\u0000\"",
                "1:11: plugins \"/a\\0\": expected an absolute path",
            ),
            (
                "plugin.a.k = 1\nplugins = ['/a']",
                "2:11: plugins: expected an absolute path, as in \"/etc/hosts\", found an array",
            ),
            (
                "pluggins = '/a'",
                "1:1: unknown key pluggins; did you mean plugins?",
            ),
            (
                "[plugn.a]\nk = 1",
                "1:2: unknown table [plugn]; did you mean [plugin]?",
            ),
            ("colour = 1", "1:1: unknown key colour"),
            ("\"a\\nb\" = 1", "1:1: unknown key a\\nb"),
            (
                "[plugin.Dir]\nk = 1",
                "1:9: plugin.Dir: expected a plugin's name",
            ),
            (
                "[plugin.dir-index]",
                "1:9: plugin.dir-index: expected a plugin's name",
            ),
            (
                "[plugin.a]\n\"x y\" = 1",
                "2:1: plugin.a.x y: expected a key of up to 64 letters",
            ),
            ("[plugin.a]\n'' = 1", "2:1: plugin.a.: expected a key"),
            (
                "[plugin.a]\nk = 1.5",
                "2:5: plugin.a.k: expected a string, an integer, true, false, or an array of strings and integers, found a fraction, which goes in quotes",
            ),
            (
                "[plugin.a]\nk = 2026-01-01",
                "found a date, which goes in quotes",
            ),
            (
                "[plugin.a]\nk.l = 1",
                "2:1: plugin.a.k: expected a string, an integer, true, false, or an array of strings and integers, found a table",
            ),
            ("[plugin.a.b]\nk = 1", "1:1: plugin.a.b: expected a string"),
            (
                "[plugin.a]\nk = [1, [2]]",
                "2:9: plugin.a.k: expected a string, an integer, true, false, or an array of strings and integers, found an array",
            ),
            (
                "[plugin.a]\nk = [true]",
                "2:6: plugin.a.k: expected a string",
            ),
            (
                "[plugin.a]\nk = ['a', \"b\\nc\"]",
                "2:11: plugin.a.k: a line break in an array",
            ),
            (
                "[plugin.a]\nk = 9223372036854775808",
                "2:5: plugin.a.k: an integer of more than 64 bits; put it in quotes",
            ),
            // The column counts characters.
            (
                "plugin = { \"\u{fc}\" = 1 }",
                "1:12: plugin.\u{fc}: expected a plugin's name",
            ),
            (
                "plugin = { a = {k = '\u{fc}\u{fc}'}, b = 1 }",
                "1:28: plugin.b: expected a table [plugin.b], found an integer",
            ),
        ] {
            let faults = faults(text);
            assert_eq!(faults.len(), 1, "{text:?}: {faults:#?}");
            assert!(faults[0].contains(wanted), "{text:?}: {faults:#?}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_place() {
        for (text, wanted) in [
            ("plugins = ", "1:11: string values must be quoted"),
            (
                "plugins = /etc/p.conf",
                "1:11: string values must be quoted",
            ),
            ("plugins = \"/etc\n", "1:16: invalid basic string"),
            ("plugins", "1:8: key with no value, expected `=`"),
            ("[plugin.a", "1:10: unclosed table, expected `]`"),
            ("plugin.a.k = 1\nplugin.a.k = 2", "2:10: duplicate key"),
            ("[plugin.a]\n[plugin.a]", "2:9: duplicate key"),
            ("[plugin.a]\nk = tru", "2:5: invalid boolean"),
        ] {
            let faults = faults(text);
            assert!(faults[0].starts_with(wanted), "{text:?}: {faults:#?}");
            assert_eq!(faults.len(), 1, "{text:?}: {faults:#?}");
        }
        let said = faults(b"plugins = '/a'\nx = '\xff'");
        assert_eq!(said, ["2:6: not UTF-8; save the file as UTF-8"]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = "colour = 1\nplugins = p\n[plugin.a]\nk = 1.5\nl = tru\nm = 2.5\n[plugn.b]\n";
        let places: Vec<String> = faults(text)
            .iter()
            .map(|fault| fault.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(places, ["1:1:", "2:11:", "4:5:", "5:5:", "6:5:", "7:2:"]);
    }

    #[test]
    fn behind_a_broken_header_nothing_is_accused() {
        let said = faults("colour = 1\n[plugin.a\nk = 1\nl = 2\n");
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("1:1: unknown key colour"));
        assert!(said[1].starts_with("2:10: unclosed table"));
    }

    #[test]
    fn an_error_is_a_line_for_each_fault_up_to_a_bound() {
        let text: String = (0..50).map(|i| format!("unknown{i} = 1\n")).collect();
        let mut config = Config::new(PathBuf::new());
        let faults = parse(text.as_bytes(), &mut config).expect_err("unknown keys");
        assert_eq!(faults.len(), FAULTS_MAX + 1);
        let faults = faults.into_iter().map(|fault| Fault {
            file: "/etc/x\ny.toml".into(),
            ..fault
        });
        let said = Error::Faults(faults.collect()).to_string();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), FAULTS_MAX + 1);
        assert_eq!(lines[0], "/etc/x\\ny.toml:1:1: unknown key unknown0");
        assert_eq!(lines[FAULTS_MAX], "/etc/x\\ny.toml: and more like these");
    }

    #[test]
    fn the_largest_wrong_file_is_refused_and_no_crash() {
        let lines = |line: &str| line.repeat(BYTES_MAX as usize / line.len());
        for text in [
            format!("plugin.a.k = {}", lines("[")),
            lines("x\n"),
            lines("[[["),
            lines("a=1 "),
            lines("\""),
        ] {
            let faults = faults(text);
            assert!((1..=FAULTS_MAX + 1).contains(&faults.len()));
        }
    }
}
