//! Every setting there is, once: where it is written, what it may be, where it is kept, what it
//! means.
//!
//! From these rows come the reader of the configuration file, the options of the command line,
//! `swiftd -T`, and the tables of the manual. A new setting is a row in one of the files beside
//! this one; `tests/settings.rs` says which pages have to be written anew.
//!
//! The descriptions are no part of the program: [`SETTINGS`] leaves them out, and only what writes
//! the manual looks at [`ROWS`].

mod bounds;
mod hosts;
mod kind;
pub mod pages;
mod server;
mod several;
mod value;

pub use kind::Kind;
pub(crate) use kind::{LISTEN_FORM, amount, key_of, number, quoted, words};
pub use value::{Plain, Value};

use super::draft::Draft;

/// A setting.
#[derive(Copy, Clone, Debug)]
pub struct Setting {
    /// The table that it is in; empty for the top of the file.
    pub section: &'static str,
    /// Its name there.
    pub key: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it may be `"off"`, or left out, which is the same.
    pub is_optional: bool,
    /// Whether a host can have its own; there it is in `[[host]]` itself, whatever `section` says.
    pub is_of_host: bool,
    /// What says the same on the command line.
    pub option: Option<Flag>,
    /// Where it is kept. The same place is written and shown.
    pub at: fn(&mut Draft) -> &mut dyn Value,
}

/// An option of the command line.
#[derive(Copy, Clone, Debug)]
pub struct Flag {
    /// Behind two hyphens.
    pub long: &'static str,
    /// Behind one.
    pub short: Option<char>,
    /// Whether it means `true` and takes no value.
    pub is_switch: bool,
}

/// A setting with what the manual says of it.
#[derive(Copy, Clone, Debug)]
pub struct Row {
    /// The setting.
    pub setting: Setting,
    /// What it is for: one to three sentences.
    pub about: &'static str,
    /// The default in words, where it is no constant.
    pub default: Option<&'static str>,
    /// What it may look like in TOML, where the default would show nothing.
    pub example: Option<&'static str>,
}

/// A table of the file.
#[derive(Copy, Clone, Debug)]
pub struct Section {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// Whether there may be several: `[[name]]`.
    pub is_repeated: bool,
    /// What it is for.
    pub about: &'static str,
}

/// All tables of settings, in the order of the manual. `[plugin.NAME]` is none of them: its keys are
/// the plugin's.
pub const SECTIONS: &[Section] = &[
    section(
        "",
        "What is served, where, and as whom. Keys at the top stand before the first table.",
    ),
    section(
        "limits",
        "What one connection may have. A client that goes over a limit gets the status named here.",
    ),
    section(
        "timeouts",
        "How long swiftd waits, in seconds; fractions are allowed.",
    ),
    section(
        "cache",
        "What is remembered of files so that they need not be looked up again.",
    ),
    section("log", "Where requests and events are written down."),
    section(
        "clients",
        "What one client may have: an IPv4 address or an IPv6 network of 64 bits.",
    ),
    section(
        "sandbox",
        "What the process locks itself into once it has opened what it needs.",
    ),
    repeated(
        "redirect",
        "Paths that lead elsewhere. The first one that fits counts. Those at the top are the default host's; other hosts do not inherit them.",
    ),
    repeated(
        "header",
        "Fields for the responses to some paths. All that fit count, in their order. A host that has none of its own inherits those at the top.",
    ),
    repeated(
        "host",
        "A host beside the default one, which is the top of the file. What a host does not say it inherits from there, redirects excepted; within it, write `[host.mime]`, `[host.error-pages]`, `[[host.redirect]]` and `[[host.header]]`.",
    ),
];

const fn section(name: &'static str, about: &'static str) -> Section {
    Section {
        name,
        is_repeated: false,
        about,
    }
}

const fn repeated(name: &'static str, about: &'static str) -> Section {
    Section {
        name,
        is_repeated: true,
        about,
    }
}

/// All settings, with what the manual says, in the order of the manual.
pub const ROWS: &[&[Row]] = &[
    server::TOP,
    bounds::LIMITS,
    bounds::TIMEOUTS,
    bounds::CACHE,
    server::LOG,
    server::CLIENTS,
    server::SANDBOX,
    hosts::REDIRECT,
    hosts::HEADER,
    hosts::HOST,
];

/// All settings.
pub static SETTINGS: [Setting; COUNT] = without_words();

const COUNT: usize = {
    let (mut count, mut table) = (0, 0);
    while table < ROWS.len() {
        count += ROWS[table].len();
        table += 1;
    }
    count
};

const fn without_words() -> [Setting; COUNT] {
    let mut settings = [ROWS[0][0].setting; COUNT];
    let (mut at, mut table) = (0, 0);
    while table < ROWS.len() {
        let mut row = 0;
        while row < ROWS[table].len() {
            settings[at] = ROWS[table][row].setting;
            at += 1;
            row += 1;
        }
        table += 1;
    }
    settings
}

/// A row with the essentials; what few rows have is added by the methods of [`Row`].
const fn row(
    section: &'static str,
    key: &'static str,
    kind: Kind,
    at: fn(&mut Draft) -> &mut dyn Value,
    about: &'static str,
) -> Row {
    Row {
        setting: Setting {
            section,
            key,
            kind,
            is_optional: false,
            is_of_host: false,
            option: None,
            at,
        },
        about,
        default: None,
        example: None,
    }
}

impl Row {
    /// The command line has it too.
    const fn option(mut self, long: &'static str) -> Self {
        self.setting.option = Some(Flag {
            long,
            short: None,
            is_switch: false,
        });
        self
    }

    /// The same with a letter.
    const fn short(mut self, long: &'static str, short: char) -> Self {
        self.setting.option = Some(Flag {
            long,
            short: Some(short),
            is_switch: false,
        });
        self
    }

    /// The command line can only switch it on.
    const fn switch(mut self, long: &'static str) -> Self {
        self.setting.option = Some(Flag {
            long,
            short: None,
            is_switch: true,
        });
        self
    }

    /// It may be `"off"`.
    const fn optional(mut self) -> Self {
        self.setting.is_optional = true;
        self
    }

    /// A host can have its own.
    const fn of_host(mut self) -> Self {
        self.setting.is_of_host = true;
        self
    }

    const fn default(mut self, words: &'static str) -> Self {
        self.default = Some(words);
        self
    }

    const fn example(mut self, toml: &'static str) -> Self {
        self.example = Some(toml);
        self
    }
}

impl Setting {
    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.section {
            "" => self.key.to_owned(),
            section => format!("{section}.{}", self.key),
        }
    }

    /// What a draft has there.
    pub fn value(&self, draft: &mut Draft) -> Plain {
        (self.at)(draft).get()
    }

    /// What is expected there.
    #[must_use]
    pub fn expected(&self) -> String {
        let off = if self.is_optional && self.kind.is_number() {
            ", or off"
        } else {
            ""
        };
        format!("{}{off}", self.kind.expected())
    }

    /// Whether a text says that it is to be none.
    #[must_use]
    pub fn is_off(&self, text: &str) -> bool {
        self.is_optional && text == "off"
    }
}

/// The setting of this key in a section.
#[must_use]
pub fn find(section: &str, key: &str) -> Option<&'static Setting> {
    of_section(section).find(|setting| setting.key == key)
}

/// The settings of a section; behind those of `host` is what a host can have of its own.
pub fn of_section(section: &str) -> impl Iterator<Item = &'static Setting> {
    let own = SETTINGS.iter().filter(move |it| it.section == section);
    let is_host = section == "host";
    let inherited = SETTINGS.iter().filter(move |it| is_host && it.is_of_host);
    own.chain(inherited)
}

/// The setting of an option.
#[must_use]
pub fn of_option(long: &str) -> Option<&'static Setting> {
    let has = |setting: &&Setting| setting.option.is_some_and(|flag| flag.long == long);
    SETTINGS.iter().find(has)
}

/// The setting of an option of one letter.
#[must_use]
pub fn of_letter(short: char) -> Option<&'static Setting> {
    let has = |setting: &&Setting| setting.option.is_some_and(|flag| flag.short == Some(short));
    SETTINGS.iter().find(has)
}
