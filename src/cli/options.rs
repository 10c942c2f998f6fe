//! The options that are no settings of the configuration file, and what is told of those that
//! there are not.

use super::Error;
use crate::config::nearest;
use crate::config::settings::{self, SETTINGS};

/// An option that is no setting.
#[derive(Copy, Clone, Debug)]
pub struct Other {
    /// Behind two hyphens.
    pub long: &'static str,
    /// Behind one.
    pub short: &'static [char],
    /// What its value is; `None`: it takes none.
    pub value: Option<&'static str>,
}

/// All of them.
pub const OTHERS: &[Other] = &[
    other("config", &['c', 'f'], Some("FILE")),
    other("test", &['t'], None),
    other("dump", &['T'], None),
    other("signal", &['s'], Some("ORDER")),
    other("port", &['p'], Some("PORT")),
    other("foreground", &['D'], None),
    other("quiet", &['q'], None),
    other("set", &[], Some("plugin.NAME.KEY=VALUE")),
    other("try-plugin", &[], Some("FILE")),
    other("reload", &[], Some("N")),
    other("check-plugin", &[], Some("FILE")),
    other("init", &[], None),
    other("avoid", &[], Some("FEATURE")),
    other("help", &['h'], None),
    other("version", &['v'], None),
    other("build-options", &['V'], None),
];

const fn other(long: &'static str, short: &'static [char], value: Option<&'static str>) -> Other {
    Other { long, short, value }
}

/// The long name of an option of one letter.
pub(super) fn of_letter(letter: char) -> Result<&'static str, Error> {
    let mut others = OTHERS.iter().filter(|other| other.short.contains(&letter));
    let setting = settings::of_letter(letter).and_then(|setting| setting.option);
    let long = setting.map(|flag| flag.long);
    long.or_else(|| others.next().map(|other| other.long))
        .ok_or_else(|| Error(format!("unknown option -{}", letter.escape_debug())))
}

/// What is told of an option that there is not.
pub(super) fn unknown(name: &str) -> Error {
    let flags = SETTINGS.iter().filter_map(|setting| setting.option);
    let known = flags.map(|flag| flag.long);
    let meant = nearest(name, known.chain(OTHERS.iter().map(|other| other.long)));
    let meant = meant.map_or(String::new(), |option| {
        format!("; did you mean --{option}?")
    });
    Error(format!("unknown option --{}{meant}", name.escape_debug()))
}
