//! What the operator has set. A value that is not understood is an error that says key, value and
//! what is expected; nothing is guessed.

use swiftd_plugin::Host;

use crate::glob::Glob;

/// How many index names, or patterns to hide, are tried for each directory, or entry.
const NAMES_MAX: usize = 64;

/// The upper bound of `max_entries`. An entry takes about 400 bytes while its page is made.
const ENTRIES_MAX: usize = 1_000_000;

const ENTRIES_DEFAULT: usize = 100_000;

/// The configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Names that answer for a directory, the best first.
    pub(crate) index_names: Vec<String>,
    /// Whether a directory without an index is listed.
    pub(crate) is_listing: bool,
    /// How many entries of a directory are read.
    pub(crate) entries_max: usize,
    /// What the top of the site is called.
    pub(crate) title: String,
    /// Names that are not listed.
    pub(crate) hide: Vec<Glob>,
}

impl Settings {
    pub(crate) fn read(host: &Host) -> Result<Self, String> {
        Ok(Self {
            index_names: index_names(host.config("index").unwrap_or("index.html"))?,
            is_listing: is_on("listing", host.config("listing").unwrap_or("off"))?,
            entries_max: entries_max(host.config("max_entries"))?,
            title: host.config("title").unwrap_or("Index").trim().to_owned(),
            hide: list("hide", host.config("hide").unwrap_or(""))?
                .map(Glob::new)
                .collect(),
        })
    }
}

/// The values of a list, divided by commas or line ends.
fn list<'a>(key: &str, text: &'a str) -> Result<impl Iterator<Item = &'a str>, String> {
    let items = || {
        let parts = text.split([',', '\n']).map(str::trim);
        parts.filter(|item| !item.is_empty())
    };
    match items().count() {
        0..=NAMES_MAX => Ok(items()),
        count => Err(format!(
            "{key}: {count} values; at most {NAMES_MAX} are expected"
        )),
    }
}

fn index_names(text: &str) -> Result<Vec<String>, String> {
    let check = |name: &str| {
        if name.contains('/') || name.starts_with('.') || name.contains(char::is_control) {
            return Err(format!(
                "index: {name:?}: expected file names such as index.html, without a slash and not \
                 beginning with a dot"
            ));
        }
        Ok(name.to_owned())
    };
    list("index", text)?.map(check).collect()
}

fn is_on(key: &str, text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("{key}: {text:?}: expected on or off")),
    }
}

fn entries_max(text: Option<&str>) -> Result<usize, String> {
    let Some(text) = text else {
        return Ok(ENTRIES_DEFAULT);
    };
    let number = text.trim().parse().ok();
    number
        .filter(|number| (1..=ENTRIES_MAX).contains(number))
        .ok_or_else(|| format!("max_entries: {text:?}: expected a number from 1 to {ENTRIES_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_divided_by_commas_or_lines() {
        let names = index_names("index.html, index.htm\n\ndefault.html").unwrap();
        assert_eq!(names, ["index.html", "index.htm", "default.html"]);
        assert_eq!(index_names(" ").unwrap(), [""; 0]);
    }

    #[test]
    fn an_index_name_is_no_path() {
        for name in ["a/b", "../a", ".htaccess", "a\tb"] {
            let error = index_names(name).unwrap_err();
            assert!(
                error.starts_with("index: ") && error.contains("expected"),
                "{error}"
            );
        }
        assert!(
            index_names(&"a,".repeat(65))
                .unwrap_err()
                .contains("65 values")
        );
    }

    #[test]
    fn a_switch_is_on_or_off() {
        assert_eq!(is_on("listing", "on"), Ok(true));
        assert_eq!(is_on("listing", "false"), Ok(false));
        assert_eq!(
            is_on("listing", "yes"),
            Err("listing: \"yes\": expected on or off".to_owned())
        );
    }

    #[test]
    fn the_number_of_entries_has_bounds() {
        assert_eq!(entries_max(None), Ok(ENTRIES_DEFAULT));
        assert_eq!(entries_max(Some(" 7 ")), Ok(7));
        for text in ["0", "1000001", "-1", "many", ""] {
            let error = entries_max(Some(text)).unwrap_err();
            assert!(error.contains("expected a number"), "{error}");
        }
    }
}
