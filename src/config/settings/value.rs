//! What a setting is kept in, and how it gets there.
//!
//! A [`Kind`](super::Kind) knows how a value is written, a [`Value`] how it is kept; a [`Plain`] is
//! what they tell each other.

use crate::config::draft::{ErrorPages, IndexNames, Mime, Target};
use crate::config::grammar;
use crate::config::logs::{Destination, Format, Level};
use crate::config::service::Mode;
use crate::config::{LISTENERS_MAX, Listen, NAME_FORM, Need, is_plugin_name};
use crate::policy::{Field, ForwardedField, HostName, NetworkError, PathPattern, Proxy};
use std::path::PathBuf;
use std::time::Duration;

/// The value of a setting, whatever it is kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// None.
    Unset,
    /// A number; bytes too.
    Number(u64),
    /// A time.
    Time(Duration),
    /// Whether.
    Switch(bool),
    /// A text or a word.
    Text(String),
    /// A path.
    Path(PathBuf),
    /// An address to listen at whose connections begin with a PROXY header.
    Proxied(String),
    /// A line of a table.
    Entry(String, String),
    /// Several; they are only shown so, and set one by one.
    List(Vec<Plain>),
}

/// Where a setting is kept.
pub trait Value {
    /// Sets it, or adds to it if it is several.
    ///
    /// # Errors
    /// What was expected. The kind of the setting has looked at everything but the inner form of a
    /// text.
    fn set(&mut self, plain: Plain) -> Result<(), String>;

    /// What it is.
    fn get(&self) -> Plain;

    /// If it is several: forgets them.
    fn clear(&mut self) {}

    /// If it is a table: whether a line may be called so.
    ///
    /// # Errors
    /// What was expected.
    fn check_key(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// The kind of the setting and the type of its place do not fit; a test goes through all rows.
fn misfit<T>(plain: Plain) -> Result<T, String> {
    Err(format!("cannot keep {plain:?}"))
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Value for $type {
            fn set(&mut self, plain: Plain) -> Result<(), String> {
                match plain {
                    Plain::Number(number) => {
                        *self = number.try_into().map_err(|_| format!("{number} is too much"))?;
                        Ok(())
                    }
                    other => misfit(other),
                }
            }

            fn get(&self) -> Plain {
                Plain::Number((*self).try_into().unwrap_or(u64::MAX))
            }
        }
    )*};
}

numbers!(u16 u32 u64 usize);

impl<T: Value + Default> Value for Option<T> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        if plain == Plain::Unset {
            *self = None;
            return Ok(());
        }
        // One that is refused leaves no trace, but what comes on top of others keeps them.
        let mut value = self.take().unwrap_or_default();
        let result = value.set(plain);
        *self = Some(value);
        result
    }

    fn get(&self) -> Plain {
        self.as_ref().map_or(Plain::Unset, Value::get)
    }

    fn clear(&mut self) {
        self.insert(T::default()).clear();
    }

    fn check_key(&self, key: &str) -> Result<(), String> {
        T::default().check_key(key)
    }
}

/// More than anybody has asked for of each.
const INDEX_NAMES_MAX: usize = 16;
const PLUGINS_MAX: usize = 64;
const NEEDS_MAX: usize = 64;
const PROXIES_MAX: usize = 1024;
const NAMES_MAX: usize = 1024;
const MIME_MAX: usize = 2048;
const FIELDS_MAX: usize = 64;

/// Words and what they stand for.
type Words<T, const COUNT: usize> = [(&'static str, T); COUNT];

const LEVEL_WORDS: Words<Level, 5> = [
    ("error", Level::Error),
    ("warning", Level::Warning),
    ("notice", Level::Notice),
    ("info", Level::Info),
    ("debug", Level::Debug),
];

const FORMAT_WORDS: Words<Format, 4> = [
    ("common", Format::Common),
    ("combined", Format::Combined),
    ("vcombined", Format::Vcombined),
    ("json", Format::Json),
];

const MODE_WORDS: Words<Mode, 3> = [
    ("best-effort", Mode::BestEffort),
    ("required", Mode::Required),
    ("off", Mode::Off),
];

const FIELD_WORDS: Words<ForwardedField, 2> = [
    ("X-Forwarded-For", ForwardedField::XForwardedFor),
    ("Forwarded", ForwardedField::Forwarded),
];

pub(super) static LEVELS: [&str; 5] = names(&LEVEL_WORDS);
pub(super) static FORMATS: [&str; 4] = names(&FORMAT_WORDS);
pub(super) static FIELDS: [&str; 2] = names(&FIELD_WORDS);
pub(super) static MODES: [&str; 3] = names(&MODE_WORDS);

const fn names<T: Copy, const COUNT: usize>(words: &Words<T, COUNT>) -> [&'static str; COUNT] {
    let mut names = [""; COUNT];
    let mut at = 0;
    while at < COUNT {
        names[at] = words[at].0;
        at += 1;
    }
    names
}

macro_rules! words {
    ($($type:ty: $words:ident)*) => {$(
        impl Value for $type {
            fn set(&mut self, plain: Plain) -> Result<(), String> {
                let Plain::Text(word) = plain else {
                    return misfit(plain);
                };
                let meant = $words.iter().find(|(name, _)| *name == word);
                *self = meant.ok_or_else(|| format!("{word} is unknown"))?.1;
                Ok(())
            }

            fn get(&self) -> Plain {
                let own = $words.iter().find(|(_, own)| own == self);
                Plain::Text(own.map_or("", |(name, _)| name).to_owned())
            }
        }
    )*};
}

words!(Level: LEVEL_WORDS Format: FORMAT_WORDS Mode: MODE_WORDS ForwardedField: FIELD_WORDS);

impl Value for Duration {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        match plain {
            Plain::Time(time) => *self = time,
            other => return misfit(other),
        }
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Time(*self)
    }
}

impl Value for bool {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        match plain {
            Plain::Switch(is_on) => *self = is_on,
            other => return misfit(other),
        }
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Switch(*self)
    }
}

impl Value for PathBuf {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        match plain {
            Plain::Path(path) => *self = path,
            other => return misfit(other),
        }
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Path(self.clone())
    }
}

/// The name of a user or a group: the only single text that is none of the types below.
impl Value for String {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        *self = text(plain, |name| grammar::account(name).map(str::to_owned))?;
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Text(self.clone())
    }
}

impl Value for Destination {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        *self = text(plain, grammar::destination)?;
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Text(grammar::destination_name(self))
    }
}

impl Value for Option<PathPattern> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        *self = Some(text(plain, grammar::path_pattern)?);
        Ok(())
    }

    fn get(&self) -> Plain {
        let pattern = self.as_ref().map(grammar::pattern_text);
        pattern.map_or(Plain::Unset, Plain::Text)
    }
}

impl Value for Target {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        self.0 = text(plain, |to| grammar::redirect_target(to).map(str::to_owned))?;
        Ok(())
    }

    fn get(&self) -> Plain {
        Plain::Text(self.0.clone())
    }
}

impl Value for IndexNames {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(&self.0, INDEX_NAMES_MAX)?;
        let name = text(plain, |name| grammar::file_name(name).map(str::to_owned))?;
        self.0.push(name);
        Ok(())
    }

    fn get(&self) -> Plain {
        list(&self.0, |name| Plain::Text(name.clone()))
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Names of plugins.
impl Value for Vec<String> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, PLUGINS_MAX)?;
        self.push(text(plain, |name| match is_plugin_name(name) {
            true => Ok(name.to_owned()),
            false => Err(NAME_FORM.to_owned()),
        })?);
        Ok(())
    }

    fn get(&self) -> Plain {
        list(self, |name| Plain::Text(name.clone()))
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// What a sandbox keeps.
impl Value for Vec<Need> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, NEEDS_MAX)?;
        self.push(text(plain, Need::allow)?);
        Ok(())
    }

    fn get(&self) -> Plain {
        list(self, |need| Plain::Text(need.to_string()))
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Value for Vec<Listen> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        let is_proxied = matches!(plain, Plain::Proxied(_));
        let address = text(plain, grammar::address)?;
        has_room(self, LISTENERS_MAX)?;
        let is_taken = self.iter().any(|listen| listen.address == address);
        if is_taken && !grammar::is_port_free(&address) {
            return Err("it is there twice".into());
        }
        self.push(Listen {
            address,
            is_proxied,
        });
        Ok(())
    }

    fn get(&self) -> Plain {
        list(self, |listen| match listen.is_proxied {
            false => Plain::Text(listen.address.to_string()),
            true => Plain::Proxied(listen.address.to_string()),
        })
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Value for Vec<Proxy> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, PROXIES_MAX)?;
        let proxy = |text: &str| {
            text.parse()
                .map_err(|error: NetworkError| error.to_string())
        };
        self.push(text(plain, proxy)?);
        Ok(())
    }

    fn get(&self) -> Plain {
        list(self, |proxy| Plain::Text(proxy.to_string()))
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Value for Vec<HostName> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, NAMES_MAX)?;
        let name = text(plain, grammar::host_name)?;
        if self.contains(&name) {
            return Err("it is there twice".into());
        }
        self.push(name);
        Ok(())
    }

    fn get(&self) -> Plain {
        list(self, |name| Plain::Text(grammar::host_text(name)))
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Value for Mime {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(&self.0, MIME_MAX)?;
        let (key, value) = entry(plain)?;
        let suffix = grammar::suffix(&key)?;
        let media_type = grammar::media_type(&value)?.to_owned();
        if self.0.iter().any(|(own, _)| *own == suffix) {
            return Err("the suffix is there twice".into());
        }
        self.0.push((suffix, media_type));
        Ok(())
    }

    fn get(&self) -> Plain {
        let line = |(suffix, media_type): &(String, String)| {
            Plain::Entry(format!(".{suffix}"), media_type.clone())
        };
        list(&self.0, line)
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn check_key(&self, key: &str) -> Result<(), String> {
        grammar::suffix(key).map(|_| ())
    }
}

impl Value for ErrorPages {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        let (key, value) = entry(plain)?;
        let status = grammar::error_status(&key)?;
        let page = grammar::page(&value)?;
        self.0.push((status, page));
        Ok(())
    }

    fn get(&self) -> Plain {
        let line = |(status, page): &(u16, PathBuf)| {
            Plain::Entry(status.to_string(), page.to_string_lossy().into_owned())
        };
        list(&self.0, line)
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn check_key(&self, key: &str) -> Result<(), String> {
        grammar::error_status(key).map(|_| ())
    }
}

impl Value for Vec<Field> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, FIELDS_MAX)?;
        let (key, value) = entry(plain)?;
        let name = grammar::field_name(&key)?;
        let value = grammar::field_value(&value)?;
        let is_same = |own: &Field| own.name.eq_ignore_ascii_case(name.as_bytes());
        if self.iter().any(is_same) {
            return Err("the field is there twice".into());
        }
        self.push(Field {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        });
        Ok(())
    }

    fn get(&self) -> Plain {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        list(self, |Field { name, value }| {
            Plain::Entry(text(name), text(value))
        })
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn check_key(&self, key: &str) -> Result<(), String> {
        grammar::field_name(key).map(|_| ())
    }
}

/// Lists that are searched from one end to the other have a bound.
fn has_room<T>(items: &[T], most: usize) -> Result<(), String> {
    if items.len() < most {
        Ok(())
    } else {
        Err(format!("more than {most} of these"))
    }
}

/// What a text stands for.
fn text<T>(plain: Plain, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    match plain {
        Plain::Text(text) | Plain::Proxied(text) => parse(&text),
        other => misfit(other),
    }
}

fn entry(plain: Plain) -> Result<(String, String), String> {
    match plain {
        Plain::Entry(key, value) => Ok((key, value)),
        other => misfit(other),
    }
}

fn list<T>(items: &[T], plain: impl Fn(&T) -> Plain) -> Plain {
    Plain::List(items.iter().map(plain).collect())
}
