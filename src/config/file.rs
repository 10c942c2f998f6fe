//! The configuration file: TOML, read into a [`Config`].
//!
//! Everything that is wrong is told at once, each with its line and column, what was expected, and
//! what was probably meant. `KEYS` says what there is; a new setting is a row there and a function
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
                if faults.len() > FAULTS_MAX {
                    write!(f, "\n{path}: and more like these")?;
                }
                Ok(())
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
/// Everything that is wrong with it, in the order of the file, up to a bound.
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
    let mut broken: Vec<(usize, String)> = errors
        .iter()
        .map(|error| (start(text, error), shown(error.message())))
        .collect();
    // To locate one takes as long as the file is long.
    broken.sort();
    broken.truncate(FAULTS_MAX + 1);
    let mut reading = Reading {
        config,
        faults: Vec::new(),
    };
    reading.top(table.get_ref());
    let mut faults = reading.faults;
    faults.sort();
    faults.truncate(FAULTS_MAX + 1);
    retain_believable(text, &broken, &mut faults);
    faults.extend(broken);
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort();
    faults.truncate(FAULTS_MAX + 1);
    let located = faults.iter().map(|(at, what)| fault(text, *at, what));
    Err(located.collect())
}

/// Where the text is no TOML.
fn start(text: &str, error: &toml::de::Error) -> usize {
    error.span().map_or(text.len(), |span| span.start)
}

/// What was read wrongly because the text before it is no TOML is no fault of its own: a line has
/// one kind of fault, and behind a broken table header or value of several lines nothing is certain.
fn retain_believable(text: &str, broken: &[(usize, String)], faults: &mut Vec<(usize, String)>) {
    for (at, _) in broken {
        let start = text[..*at].rfind('\n').map_or(0, |before| before + 1);
        let end = text[*at..].find('\n').map_or(text.len(), |more| at + more);
        let line = &text[start..end];
        let is_confined = !line.trim_start().starts_with('[') && line.contains('=');
        let doubtful = if is_confined {
            start..=end
        } else {
            start..=text.len()
        };
        faults.retain(|(at, _)| !doubtful.contains(at));
    }
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
        let shown = |Fault { line, column, text }| {
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
                "2:12: plugins: expected a path in quotes, found an integer",
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
                "2:11: plugins: expected a path in quotes, found an array",
            ),
            (
                "pluggins = '/a'",
                "1:1: unknown key pluggins; did you mean plugins?",
            ),
            (
                "[plugn.a]\nk = 1",
                "1:2: unknown key plugn; did you mean plugin?",
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
        let said = Error::Faults("/etc/x\ny.toml".into(), faults).to_string();
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
