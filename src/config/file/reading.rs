//! Files on their way into a [`Draft`]: which table a key is in, and what becomes of its value.

use super::faults::{Wrong, place, shown};
use crate::config::draft::{Draft, FieldRuleDraft, RedirectDraft};
use crate::config::grammar;
use crate::config::nearest;
use crate::config::settings::{self, Kind, LISTEN_FORM, Plain, SECTIONS, Setting, words};
use crate::policy::PathPattern;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

/// A value with its place.
pub(super) type Item<'a> = Spanned<DeValue<'a>>;

/// Where something stands: the file, and the byte in it.
type Place = (usize, usize);

/// Files on their way into a draft.
pub(super) struct Reading<'a> {
    pub(super) draft: &'a mut Draft,
    paths: &'a [&'a Path],
    texts: &'a [&'a str],
    /// The one that is being read.
    file: usize,
    /// What is wrong in each of them.
    faults: Vec<Vec<Wrong>>,
    /// What has been said, and where.
    said: BTreeMap<String, Place>,
}

/// Tables of which there may be several: what makes each of them whole.
const REQUIRED: [(&str, &[&str]); 3] = [
    ("host", &["names"]),
    ("redirect", &["from", "to"]),
    ("header", &["path", "set"]),
];

impl<'a> Reading<'a> {
    pub(super) fn new(draft: &'a mut Draft, paths: &'a [&'a Path], texts: &'a [&'a str]) -> Self {
        Self {
            draft,
            paths,
            texts,
            file: 0,
            faults: vec![Vec::new(); paths.len()],
            said: BTreeMap::new(),
        }
    }

    /// Reads a file.
    pub(super) fn file(&mut self, file: usize, table: &DeTable<'_>) {
        self.file = file;
        for (name, value) in table {
            match &**name.get_ref() {
                "plugin" => self.plugin_tables(value),
                "host" => self.tables("host", value),
                "redirect" | "header" => self.tables(name.get_ref(), value),
                section if is_section(section) => self.section(section, value),
                _ => self.line("", name, value),
            }
        }
    }

    /// What is wrong in each file. What is wrong between two lines is only seen now.
    pub(super) fn finish(mut self) -> Vec<Vec<Wrong>> {
        let limits = &self.draft.config.limits;
        let (memory, bytes) = (
            limits.body.memory_bytes_max as u64,
            limits.body.body_bytes_max,
        );
        let (target, head) = (limits.head.target_bytes_max, limits.head.head_bytes_max);
        if memory > bytes {
            let text = format!(
                "limits.body-memory {memory}: expected not more than body-bytes, which is {bytes}"
            );
            self.refuse_said("limits.body-memory", text);
        }
        if target >= head {
            let text = format!(
                "limits.target-bytes {target}: expected less than head-bytes, which is {head}"
            );
            self.refuse_said("limits.target-bytes", text);
        }
        if let Err(unfit) = self.draft.clone().finish() {
            self.refuse_said(unfit.setting, unfit.text);
        }
        self.faults
    }

    /// A table that there is one of.
    fn section(&mut self, name: &str, value: &Item<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            let found = words(value.get_ref());
            let text = format!("{name}: expected a table [{name}], found {found}");
            return self.refuse(value.span(), text);
        };
        for (key, value) in table {
            self.line(name, key, value);
        }
    }

    /// Tables that there may be several of.
    fn tables(&mut self, name: &str, value: &Item<'_>) {
        let DeValue::Array(tables) = value.get_ref() else {
            let found = words(value.get_ref());
            let text = format!("{name}: expected tables [[{name}]], found {found}");
            return self.refuse(value.span(), text);
        };
        if name == "header" {
            // Also one without anything says that nothing is inherited.
            self.draft.host().field_rules.get_or_insert_default();
        }
        for table in tables {
            let DeValue::Table(lines) = table.get_ref() else {
                let found = words(table.get_ref());
                let text = format!("{name}: expected tables [[{name}]], found {found}");
                self.refuse(table.span(), text);
                continue;
            };
            let (_, required) = REQUIRED
                .into_iter()
                .find(|(own, _)| *own == name)
                .expect("every repeated table is there");
            for key in required.iter().filter(|key| !lines.contains_key(**key)) {
                self.refuse(
                    table.span(),
                    format!("{name}: a line {key} = ... is missing"),
                );
            }
            match name {
                "host" => self.host(lines),
                "redirect" => self.redirect(lines),
                _ => {
                    let rules = self.draft.host().field_rules.get_or_insert_default();
                    rules.push(FieldRuleDraft::default());
                    self.lines(name, lines);
                }
            }
        }
    }

    fn host(&mut self, lines: &DeTable<'_>) {
        self.draft.begin_host();
        for (key, value) in lines {
            match &**key.get_ref() {
                name @ ("redirect" | "header") => self.tables(name, value),
                _ => self.line("host", key, value),
            }
        }
        self.draft.end_host();
    }

    fn redirect(&mut self, lines: &DeTable<'_>) {
        let redirects = &mut self.draft.host().redirects;
        redirects.push(RedirectDraft::default());
        self.lines("redirect", lines);
        let redirect = self.draft.redirect();
        let is_open = redirect.to.0.ends_with('*')
            && !matches!(redirect.from, None | Some(PathPattern::Prefix(_)));
        if let Some(to) = lines.get("to").filter(|_| is_open) {
            let text = "redirect.to: a * at its end needs one at the end of from, as in /old/*";
            self.refuse(to.span(), text.into());
        }
    }

    fn lines(&mut self, section: &str, lines: &DeTable<'_>) {
        for (key, value) in lines {
            self.line(section, key, value);
        }
    }

    /// A line of a table.
    fn line(&mut self, section: &str, key: &Spanned<DeString<'_>>, value: &Item<'_>) {
        let Some(setting) = settings::find(section, key.get_ref()) else {
            let text = unknown(section, key.get_ref(), value.get_ref());
            return self.refuse(key.span(), text);
        };
        let is_single = !matches!(section, "host" | "redirect" | "header");
        let is_map = matches!(setting.kind, Kind::Map { .. });
        let name = match section {
            "host" => format!("host.{}", setting.key),
            _ => setting.name(),
        };
        if is_single && !is_map && !self.claim(name.clone(), key.span()) {
            return;
        }
        if is_single {
            self.draft.note_said(setting);
        }
        match setting.kind {
            Kind::Map { .. } => self.map(setting, &name, is_single, value),
            Kind::List(_) | Kind::Listen => self.list(setting, &name, value),
            kind => {
                let given = kind.read(setting, value.get_ref()).map_err(|wrong| wrong.0);
                let result = given.and_then(|plain| self.set(setting, plain, value));
                if let Err(what) = result {
                    self.refuse(value.span(), format!("{name}{what}"));
                }
            }
        }
    }

    fn set(&mut self, setting: &Setting, plain: Plain, value: &Item<'_>) -> Result<(), String> {
        let result = (setting.at)(self.draft).set(plain);
        result.map_err(|what| match value.get_ref() {
            DeValue::String(text) => format!(" {:?}: {what}", &**text),
            _ => format!(": {what}"),
        })
    }

    /// Several values; a single one needs no brackets.
    fn list(&mut self, setting: &Setting, name: &str, value: &Item<'_>) {
        (setting.at)(self.draft).clear();
        match value.get_ref() {
            DeValue::Array(items) => self.items(setting, name, items),
            DeValue::String(_) => self.item(setting, name, value),
            DeValue::Table(_) if matches!(setting.kind, Kind::Listen) => {
                self.item(setting, name, value);
            }
            other => {
                let text = format!(
                    "{name}: {} in an array, found {}",
                    setting.expected(),
                    words(other)
                );
                self.refuse(value.span(), text);
            }
        }
    }

    fn items(&mut self, setting: &Setting, name: &str, items: &DeArray<'_>) {
        for item in items {
            self.item(setting, name, item);
        }
    }

    fn item(&mut self, setting: &Setting, name: &str, item: &Item<'_>) {
        let plain = match item.get_ref() {
            DeValue::Table(table) if matches!(setting.kind, Kind::Listen) => {
                self.listen(setting, item, table)
            }
            value => match setting.kind.read(setting, value) {
                Ok(plain) => Some(plain),
                Err(wrong) => {
                    self.refuse(item.span(), format!("{name}{}", wrong.0));
                    None
                }
            },
        };
        let Some(plain) = plain else { return };
        if name == "host.names"
            && let DeValue::String(text) = item.get_ref()
            && let Ok(host) = grammar::host_name(text)
        {
            let what = format!("the host name {}", grammar::host_text(&host));
            if !self.claim(what, item.span()) {
                return;
            }
        }
        if let Err(what) = self.set(setting, plain, item) {
            self.refuse(item.span(), format!("{name}{what}"));
        }
    }

    /// `{ address = "...", proxy-protocol = true }`; `None` if that was refused.
    fn listen(&mut self, setting: &Setting, item: &Item<'_>, table: &DeTable<'_>) -> Option<Plain> {
        const KEYS: [&str; 2] = ["address", "proxy-protocol"];
        let mut address = None;
        let mut is_proxied = false;
        for (key, value) in table {
            let refused = match (&**key.get_ref(), value.get_ref()) {
                ("address", DeValue::String(_)) => {
                    match setting.kind.read(setting, value.get_ref()) {
                        Ok(plain) => {
                            address = Some(plain);
                            continue;
                        }
                        Err(wrong) => format!("listen.address{}", wrong.0),
                    }
                }
                ("proxy-protocol", DeValue::Boolean(is_on)) => {
                    is_proxied = *is_on;
                    continue;
                }
                ("address", other) => {
                    format!("listen.address: {LISTEN_FORM}, found {}", words(other))
                }
                ("proxy-protocol", other) => {
                    let found = words(other);
                    format!("listen.proxy-protocol: expected true or false, found {found}")
                }
                (other, _) => {
                    let meant = did_you_mean(nearest(other, KEYS));
                    let text = format!("unknown key {} in listen{meant}", shown(other));
                    self.refuse(key.span(), text);
                    continue;
                }
            };
            self.refuse(value.span(), refused);
        }
        if !table.contains_key("address") {
            self.refuse(item.span(), "listen: a key address = ... is missing".into());
        }
        match address? {
            Plain::Text(address) if is_proxied => Some(Plain::Proxied(address)),
            plain => Some(plain),
        }
    }

    /// A table of lines. At the top, those of all files add up.
    fn map(&mut self, setting: &Setting, name: &str, is_single: bool, value: &Item<'_>) {
        let DeValue::Table(lines) = value.get_ref() else {
            let found = words(value.get_ref());
            let text = format!("{name}: {}, found {found}", setting.expected());
            return self.refuse(value.span(), text);
        };
        let place = (self.file, value.span().start);
        if !is_single || self.said.insert(name.to_owned(), place).is_none() {
            (setting.at)(self.draft).clear();
        }
        for (key, value) in lines {
            let name = format!("{name}.{}", shown(key.get_ref()));
            if let Err(what) = (setting.at)(self.draft).check_key(key.get_ref()) {
                self.refuse(key.span(), format!("{name}: {what}"));
                continue;
            }
            if is_single && !self.claim(name.clone(), key.span()) {
                continue;
            }
            let DeValue::String(text) = value.get_ref() else {
                let found = words(value.get_ref());
                self.refuse(
                    value.span(),
                    format!("{name}: expected a string, found {found}"),
                );
                continue;
            };
            let plain = Plain::Entry(key.get_ref().to_string(), text.to_string());
            if let Err(what) = self.set(setting, plain, value) {
                self.refuse(value.span(), format!("{name}{what}"));
            }
        }
    }

    /// Says that something is said here; `false` if it was before, which is a fault.
    pub(super) fn claim(&mut self, what: String, span: Range<usize>) -> bool {
        if let Some(&(file, at)) = self.said.get(&what) {
            let (line, column) = place(self.texts[file], at);
            let path = shown(&self.paths[file].to_string_lossy());
            let text = format!("{what} is there twice; first in {path}:{line}:{column}");
            self.refuse(span, text);
            return false;
        }
        self.said.insert(what, (self.file, span.start));
        true
    }

    pub(super) fn refuse(&mut self, span: Range<usize>, text: String) {
        self.faults[self.file].push((span.start, text));
    }

    /// Refuses what was said elsewhere, if it was.
    fn refuse_said(&mut self, what: &str, text: String) {
        if let Some(&(file, at)) = self.said.get(what) {
            self.faults[file].push((at, text));
        }
    }
}

/// Whether there is a table of this name that has settings.
fn is_section(name: &str) -> bool {
    let mut sections = SECTIONS.iter();
    sections.any(|section| section.name == name && !name.is_empty() && !section.is_repeated)
}

/// What is told of a key that there is not.
fn unknown(section: &str, key: &str, value: &DeValue<'_>) -> String {
    let key_shown = shown(key);
    if section.is_empty() && matches!(value, DeValue::Table(_)) {
        let known = SECTIONS.iter().map(|section| section.name);
        let known = known.chain(["plugin", "mime", "error-pages"]);
        let meant = nearest(key, known.filter(|name| !name.is_empty()));
        let meant = meant.map_or(String::new(), |name| format!("; did you mean [{name}]?"));
        return format!("unknown table [{key_shown}]{meant}");
    }
    let place = match section {
        "" => String::new(),
        "host" | "redirect" | "header" => format!(" in [[{section}]]"),
        _ => format!(" in [{section}]"),
    };
    // The same word elsewhere is a better guess than another word here.
    let elsewhere = settings::SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .or_else(|| settings::of_option(key));
    let here = || {
        let tables = ["plugin", "redirect", "header", "host"];
        let tables = tables
            .into_iter()
            .filter(|_| matches!(section, "" | "host"));
        nearest(
            key,
            settings::of_section(section)
                .map(|setting| setting.key)
                .chain(tables),
        )
    };
    let meant = match elsewhere {
        Some(Setting {
            section: "", key, ..
        }) => format!("; did you mean {key} at the top of the file?"),
        Some(Setting { section, key, .. }) => format!("; did you mean [{section}] {key}?"),
        None => did_you_mean(here()),
    };
    format!("unknown key {key_shown}{place}{meant}")
}

fn did_you_mean(word: Option<&str>) -> String {
    word.map_or(String::new(), |word| format!("; did you mean {word}?"))
}
