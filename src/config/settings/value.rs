//! What a setting is kept in, and how it gets there.
//!
//! A [`Kind`](super::Kind) knows how a value is written, a [`Value`] how it is kept; a [`Plain`] is
//! what they tell each other.

use crate::config::draft::Target;
use crate::config::grammar;
use crate::config::logs::{Destination, Format, Level};
use crate::config::service::Mode;
use crate::policy::{ForwardedField, PathPattern};
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
pub(super) fn misfit<T>(plain: Plain) -> Result<T, String> {
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

/// Words and what they stand for.
type Words<T, const COUNT: usize> = [(&'static str, T); COUNT];

const LEVEL_WORDS: Words<Level, 5> = [
    (Level::Error.name(), Level::Error),
    (Level::Warning.name(), Level::Warning),
    (Level::Notice.name(), Level::Notice),
    (Level::Info.name(), Level::Info),
    (Level::Debug.name(), Level::Debug),
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
        Plain::Text(self.name())
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

/// What a text stands for.
pub(super) fn text<T>(
    plain: Plain,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    match plain {
        Plain::Text(text) | Plain::Proxied(text) => parse(&text),
        other => misfit(other),
    }
}
