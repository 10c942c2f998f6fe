//! What may be needed of a process that locks itself in: the words of `[sandbox] allow`, and of what
//! plugins declare (docs/PLUGINS.md).

use super::nearest;
use std::fmt;

/// One need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// To start programs of the system.
    Exec,
    /// To connect to others, and to use anything but TCP.
    Network,
    /// Memory that is written and then run.
    Code,
    /// System calls that nobody can list.
    Calls,
    /// A file, or a directory with all that is beneath it.
    Place(Access, String),
}

/// What a place is needed for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read, written, and to have files made and removed in it.
    Write,
    /// To have programs of it started, and be read.
    Exec,
}

/// The words that stand alone.
const WORDS: [(&str, Need); 4] = [
    ("exec", Need::Exec),
    ("network", Need::Network),
    ("code", Need::Code),
    ("calls", Need::Calls),
];

/// The words that begin a place.
const PLACES: [(&str, Access); 3] = [
    ("read", Access::Read),
    ("write", Access::Write),
    ("exec", Access::Exec),
];

/// What [`Need::parse`] wants, for a message.
pub const NEED_FORM: &str =
    "expected exec, network, code, calls, read:PATH, write:PATH or exec:PATH";

impl Need {
    /// Reads a word. `is_place` says which paths are allowed.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(word: &str, is_place: impl Fn(&str) -> bool) -> Result<Self, String> {
        if let Some((_, need)) = WORDS.iter().find(|(name, _)| *name == word) {
            return Ok(need.clone());
        }
        let kind = word.split_once(':');
        let place = kind.and_then(|(kind, path)| {
            let place = PLACES.iter().find(|(name, _)| *name == kind)?;
            Some((place.1, path))
        });
        match place {
            Some((access, path)) if is_place(path) => Ok(Self::Place(access, path.to_owned())),
            Some(_) => Err(format!(
                "{word:?}: the path must be absolute, as in read:/srv/data"
            )),
            None => {
                let names = WORDS.iter().map(|(name, _)| *name);
                let meant = nearest(word, names.chain(["read:", "write:"]));
                let meant = meant.map_or(String::new(), |name| format!("; did you mean {name}?"));
                Err(format!("{word:?}: {NEED_FORM}{meant}"))
            }
        }
    }

    /// As [`Self::parse`], for what an operator allows: paths are absolute.
    ///
    /// # Errors
    /// What was expected.
    pub fn allow(word: &str) -> Result<Self, String> {
        Self::parse(word, |path| path.starts_with('/'))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(access, path) => {
                let kind = PLACES.iter().find(|(_, other)| other == access);
                write!(f, "{}:{path}", kind.map_or("", |(name, _)| name))
            }
            alone => {
                let word = WORDS.iter().find(|(_, other)| other == alone);
                f.write_str(word.map_or("", |(name, _)| name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_alike() {
        for word in [
            "exec",
            "network",
            "code",
            "calls",
            "read:/a b",
            "write:/",
            "exec:/usr/lib/cgi-bin",
        ] {
            assert_eq!(Need::allow(word).unwrap().to_string(), word);
        }
    }

    #[test]
    fn what_is_no_need_is_told_with_what_was_expected() {
        for (word, part) in [
            ("netwrok", "did you mean network?"),
            ("read:data", "must be absolute"),
            ("read:$file", "must be absolute"),
            ("reed:/x", NEED_FORM),
            ("", NEED_FORM),
        ] {
            let error = Need::allow(word).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
