//! What a setting may be: how its value is written in TOML and on the command line, and what is
//! told when it is something else.

use super::{Plain, Setting};
use crate::config::nearest;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;
use toml::de::DeValue;

/// What a setting may be.
#[derive(Copy, Clone, Debug)]
pub enum Kind {
    /// A number of things.
    Count {
        /// At least so many.
        least: u64,
        /// At most so many.
        most: u64,
    },
    /// A number of bytes.
    Bytes {
        /// At least so many.
        least: u64,
        /// At most so many.
        most: u64,
    },
    /// A time in milliseconds.
    Milliseconds {
        /// At most so many.
        most: u64,
    },
    /// A time in seconds: 1 ms to a day.
    Seconds,
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// `true` or `false`; on the command line `on` or `off`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The path of a file.
    File,
    /// The path of a directory.
    Directory,
    /// A text: what it is, as in "the name of a user".
    Text(&'static str),
    /// Texts: what they are.
    List(&'static str),
    /// Addresses to listen at.
    Listen,
    /// A table: what its keys and its values are.
    Map {
        /// A word for the manual.
        key: &'static str,
        /// What the values are.
        value: &'static str,
    },
}

/// The bounds of a time in seconds.
const SECONDS_LEAST: f64 = 0.001;
const SECONDS_MOST: f64 = 86_400.0;

/// What is wrong with a value: it is to be put behind the name of the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl Kind {
    /// Whether a value is one number.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Self::Count { .. } | Self::Bytes { .. } | Self::Milliseconds { .. } | Self::Seconds
        )
    }

    /// Whether a value is several, in an array.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::List(_) | Self::Listen)
    }

    /// What is expected, for a message.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Count { least, most } => format!("expected a number from {least} to {most}"),
            Self::Bytes { least, most } => {
                format!("expected a number of bytes from {least} to {most}, as in 64K")
            }
            Self::Milliseconds { most } => format!("expected milliseconds from 0 to {most}"),
            Self::Seconds => {
                format!("expected seconds from {SECONDS_LEAST} to {SECONDS_MOST}")
            }
            Self::OneOf(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                format!("expected {}", either(&numbers))
            }
            Self::Switch => "expected true or false".into(),
            Self::Word(words) => format!("expected {}", either(words)),
            Self::File => "expected an absolute path, as in \"/etc/hosts\"".into(),
            Self::Directory => "expected an absolute path, as in \"/var/tmp\"".into(),
            Self::Text(what) => format!("expected {what}"),
            Self::List(what) => format!("expected {what}"),
            Self::Listen => LISTEN_FORM.into(),
            Self::Map { key, value } => {
                format!("expected a table of lines {key} = {value}")
            }
        }
    }

    /// A scalar as the configuration file has it.
    pub(crate) fn read(self, setting: &Setting, value: &DeValue<'_>) -> Result<Plain, Wrong> {
        let expected = || setting.expected();
        match (self, value) {
            (_, DeValue::String(text)) => self.read_text(setting, OsStr::new(&**text), true),
            (Self::Switch, DeValue::Boolean(is_on)) => Ok(Plain::Switch(*is_on)),
            (Self::Seconds, DeValue::Float(number)) => {
                let text = number.as_str().replace('_', "");
                seconds(&text)
                    .ok_or_else(|| Wrong(format!(" {}: {}", number.as_str(), expected())))
                    .map(Plain::Time)
            }
            (
                Self::Count { .. }
                | Self::Bytes { .. }
                | Self::Milliseconds { .. }
                | Self::OneOf(_)
                | Self::Seconds,
                DeValue::Integer(number),
            ) => {
                let wrong = || Wrong(format!(" {}: {}", number.as_str(), expected()));
                let value = i64::from_str_radix(number.as_str(), number.radix());
                let value = value.ok().and_then(|value| u64::try_from(value).ok());
                value.and_then(|value| self.number(value)).ok_or_else(wrong)
            }
            (_, other) => {
                let found = super::words(other);
                Err(Wrong(format!(": {}, found {found}", expected())))
            }
        }
    }

    /// A scalar as text: on the command line, or in quotes in the file, where paths are absolute.
    pub(crate) fn read_text(
        self,
        setting: &Setting,
        text: &OsStr,
        is_file: bool,
    ) -> Result<Plain, Wrong> {
        let shown = || text.to_string_lossy();
        let wrong = || Wrong(format!(" {:?}: {}", shown(), setting.expected()));
        if matches!(self, Self::File | Self::Directory) {
            return path(self, text, is_file)
                .map_err(|what| Wrong(format!(" {:?}: {what}", shown())));
        }
        let text = text.to_str().ok_or_else(wrong)?;
        if self.is_number() && setting.is_off(text) {
            return Ok(Plain::Unset);
        }
        let plain = match self {
            Self::Count { .. }
            | Self::Bytes { .. }
            | Self::Milliseconds { .. }
            | Self::OneOf(_) => number(text).and_then(|value| self.number(value)),
            Self::Seconds => seconds(text).map(Plain::Time),
            Self::Switch if is_file => None,
            Self::Switch => match text {
                "on" => Some(Plain::Switch(true)),
                "off" => Some(Plain::Switch(false)),
                _ => return Err(Wrong(format!(" {text:?}: expected on or off"))),
            },
            Self::Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                Some(word) => Some(Plain::Text((*word).to_owned())),
                None => {
                    let meant = nearest(text, words.iter().copied());
                    let meant =
                        meant.map_or(String::new(), |word| format!("; did you mean {word}?"));
                    return Err(Wrong(format!(" {text:?}: {}{meant}", setting.expected())));
                }
            },
            Self::Listen if !is_file && text.ends_with(PROXIED) => {
                Some(Plain::Proxied(text.trim_end_matches(PROXIED).to_owned()))
            }
            Self::Listen if is_file && text.starts_with("unix:") && !text.starts_with("unix:/") => {
                None
            }
            Self::Text(_) | Self::List(_) | Self::Listen => Some(Plain::Text(text.to_owned())),
            Self::File | Self::Directory | Self::Map { .. } => None,
        };
        plain.ok_or_else(wrong)
    }

    /// A number within the bounds.
    fn number(self, value: u64) -> Option<Plain> {
        let within = |least, most| (least..=most).contains(&value);
        match self {
            Self::Count { least, most } | Self::Bytes { least, most } => {
                within(least, most).then_some(Plain::Number(value))
            }
            Self::Milliseconds { most } => {
                within(0, most).then(|| Plain::Time(Duration::from_millis(value)))
            }
            Self::OneOf(numbers) => numbers.contains(&value).then_some(Plain::Number(value)),
            Self::Seconds => {
                within(1, SECONDS_MOST as u64).then(|| Plain::Time(Duration::from_secs(value)))
            }
            _ => None,
        }
    }

    /// A value as TOML that can be read again; `None` if there is none to be shown.
    #[must_use]
    pub fn show(self, plain: &Plain) -> Option<String> {
        Some(match plain {
            Plain::Unset if self.is_number() => quoted("off"),
            Plain::Unset => return None,
            Plain::Number(number) if matches!(self, Self::Bytes { .. }) => bytes(*number),
            Plain::Number(number) if i64::try_from(*number).is_err() => quoted(&number.to_string()),
            Plain::Number(number) => number.to_string(),
            Plain::Time(time) if matches!(self, Self::Milliseconds { .. }) => {
                time.as_millis().to_string()
            }
            Plain::Time(time) => time.as_secs_f64().to_string(),
            Plain::Switch(is_on) => is_on.to_string(),
            Plain::Text(text) => quoted(text),
            Plain::Path(path) if path.as_os_str().is_empty() => return None,
            Plain::Path(path) => quoted(&path.to_string_lossy()),
            Plain::Proxied(address) => {
                format!("{{ address = {}, proxy-protocol = true }}", quoted(address))
            }
            Plain::Entry(key, value) => format!("{} = {}", key_of(key), quoted(value)),
            Plain::List(items) => {
                let items = items.iter().filter_map(|item| self.show(item));
                let items = items.collect::<Vec<_>>().join(", ");
                match self {
                    Self::Map { .. } if items.is_empty() => "{}".into(),
                    Self::Map { .. } => format!("{{ {items} }}"),
                    _ => format!("[{items}]"),
                }
            }
        })
    }
}

/// On the command line, an address whose connections begin with a PROXY header ends so.
const PROXIED: &str = ",proxy";

/// What an address looks like.
pub(crate) const LISTEN_FORM: &str =
    "expected ADDRESS:PORT, as in 0.0.0.0:80, [::]:80 or unix:/run/swiftd.sock";

fn path(kind: Kind, text: &OsStr, is_file: bool) -> Result<Plain, String> {
    let path = Path::new(text);
    let is_bad = text.is_empty() || text.as_encoded_bytes().contains(&0);
    if is_file && (is_bad || !path.is_absolute()) {
        return Err(kind.expected());
    }
    if is_bad {
        let what = if matches!(kind, Kind::File) {
            "file"
        } else {
            "directory"
        };
        return Err(format!("expected a {what}"));
    }
    Ok(Plain::Path(path.into()))
}

/// A number with an optional suffix K, M or G.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes() {
        [digits @ .., b'K' | b'k'] => (digits.len(), 10),
        [digits @ .., b'M' | b'm'] => (digits.len(), 20),
        [digits @ .., b'G' | b'g'] => (digits.len(), 30),
        digits => (digits.len(), 0),
    };
    let digits = &text[..digits];
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_plain)?;
    number.checked_mul(1 << shift)
}

/// A time of 1 ms to a day.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()?;
    let is_within = (SECONDS_LEAST..=SECONDS_MOST).contains(&seconds);
    is_within.then(|| Duration::from_secs_f64(seconds))
}

/// A number of bytes as people write it.
pub(crate) fn amount(bytes: u64) -> String {
    let suffixes = [(30, 'G'), (20, 'M'), (10, 'K')];
    let mut suffixes = suffixes.into_iter();
    let fitting = suffixes.find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    match fitting {
        Some((shift, suffix)) => format!("{}{suffix}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// The same as TOML.
fn bytes(number: u64) -> String {
    let amount = amount(number);
    match amount.parse::<i64>() {
        Ok(_) => amount,
        Err(_) => quoted(&amount),
    }
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            char if char.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(char)));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// A key of TOML: bare if it can be.
pub(crate) fn key_of(key: &str) -> String {
    if crate::config::is_value_key(key) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// `a, b or c`.
fn either<S: AsRef<str>>(words: &[S]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        text.push_str(match index {
            0 => "",
            _ if index + 1 == words.len() => " or ",
            _ => ", ",
        });
        text.push_str(word.as_ref());
    }
    text
}

/// What a value is, in words.
pub(crate) fn words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
