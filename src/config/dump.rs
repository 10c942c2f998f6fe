//! The configuration that is in force, as a configuration file.
//!
//! What is printed, read again, is the same configuration: every setting is said, those that were
//! derived or inherited too. What only the command line has (`--avoid`) cannot be.

use super::Config;
use super::draft::Draft;
use super::settings::{self, Kind, Plain, SECTIONS, Setting, key_of, quoted};
use crate::sys::socket::Address;

/// `config` as TOML.
#[must_use]
pub fn dump(config: &Config) -> String {
    let mut config = config.clone();
    make_absolute(&mut config);
    let mut draft = Draft::from(config.clone());
    let mut out = String::new();
    let tables = SECTIONS.iter().filter(|section| !section.is_repeated);
    for section in tables {
        if !section.name.is_empty() {
            out.push_str(&format!("\n[{}]\n", section.name));
        }
        for setting in settings::of_section(section.name) {
            // At the top, a table without lines says nothing; in a host it says that there are
            // to be none.
            if !matches!(setting.kind, Kind::Map { .. }) {
                line(&mut out, setting, &mut draft);
            }
        }
    }
    maps(&mut out, "", &mut draft);
    for host in 0..draft.host_count() {
        draft.speak_of(host);
        if host > 0 {
            out.push_str("\n[[host]]\n");
            for setting in settings::of_section("host") {
                line(&mut out, setting, &mut draft);
            }
            if draft.host().field_rules.as_ref().is_none_or(Vec::is_empty) {
                out.push_str("header = []\n");
            }
            maps(&mut out, "host.", &mut draft);
        }
        let prefix = if host > 0 { "host." } else { "" };
        repeated(&mut out, prefix, &mut draft);
    }
    for (name, values) in &config.plugins.values {
        out.push_str(&format!("\n[plugin.{name}]\n"));
        for (key, value) in values {
            out.push_str(&format!("{} = {}\n", key_of(key), quoted(value)));
        }
    }
    out
}

/// The command line may have paths that begin where the program was started; a file has not.
fn make_absolute(config: &mut Config) {
    let listen = config.listen.iter_mut();
    let sockets = listen.filter_map(|listen| match &mut listen.address {
        Address::Unix(path) => Some(path),
        Address::Tcp(_) => None,
    });
    let paths = sockets
        .chain([&mut config.site.root, &mut config.temporary])
        .chain(&mut config.plugins.file)
        .chain(&mut config.service.chroot)
        .chain(&mut config.service.pid_file);
    for path in paths {
        if let Ok(absolute) = std::path::absolute(&*path) {
            *path = absolute;
        }
    }
}

/// A line, if the setting has a value and is no table with lines of its own.
fn line(out: &mut String, setting: &Setting, draft: &mut Draft) {
    let plain = setting.value(draft);
    if is_table(setting, &plain) {
        return;
    }
    if let Some(value) = setting.kind.show(&plain) {
        out.push_str(&format!("{} = {value}\n", setting.key));
    }
}

/// The settings of the host that are tables with lines.
fn maps(out: &mut String, prefix: &str, draft: &mut Draft) {
    for setting in settings::of_section("host") {
        let plain = setting.value(draft);
        if !is_table(setting, &plain) {
            continue;
        }
        let Plain::List(lines) = plain else { continue };
        out.push_str(&format!("\n[{prefix}{}]\n", setting.key));
        for line in &lines {
            if let Some(line) = setting.kind.show(line) {
                out.push_str(&format!("{line}\n"));
            }
        }
    }
}

fn is_table(setting: &Setting, plain: &Plain) -> bool {
    let has_lines = matches!(plain, Plain::List(lines) if !lines.is_empty());
    matches!(setting.kind, Kind::Map { .. }) && has_lines
}

/// The redirects and the rules about fields of the host.
fn repeated(out: &mut String, prefix: &str, draft: &mut Draft) {
    let redirects = std::mem::take(&mut draft.host().redirects);
    for redirect in redirects {
        draft.host().redirects = vec![redirect];
        table(out, prefix, "redirect", draft);
    }
    let rules = draft.host().field_rules.take().unwrap_or_default();
    for rule in rules {
        draft.host().field_rules = Some(vec![rule]);
        table(out, prefix, "header", draft);
    }
}

fn table(out: &mut String, prefix: &str, name: &str, draft: &mut Draft) {
    out.push_str(&format!("\n[[{prefix}{name}]]\n"));
    for setting in settings::of_section(name) {
        let value = setting.kind.show(&setting.value(draft));
        let value = value.expect("a redirect and a rule have all their parts");
        out.push_str(&format!("{} = {value}\n", setting.key));
    }
}
