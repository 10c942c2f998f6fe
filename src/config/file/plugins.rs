//! The tables `[plugin.NAME]`: what plugins are told. Their keys are the plugins' matter.

use super::faults::shown;
use super::reading::{Item, Reading};
use crate::config::settings::words;
use crate::config::{KEY_FORM, NAME_FORM, is_plugin_name, is_value_key};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

impl Reading<'_> {
    pub(super) fn plugin_tables(&mut self, value: &Item<'_>) {
        let DeValue::Table(tables) = value.get_ref() else {
            let found = words(value.get_ref());
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
                let found = words(table.get_ref());
                let name_shown = name.get_ref();
                let text = format!(
                    "plugin.{name_shown}: expected a table [plugin.{name_shown}], found {found}"
                );
                self.refuse(name.span(), text);
                continue;
            };
            self.plugin_values(name.get_ref(), table);
        }
    }

    /// A plugin may have several tables, in as many files; their lines add up.
    fn plugin_values(&mut self, name: &str, table: &DeTable<'_>) {
        self.draft
            .config
            .plugins
            .values
            .entry(name.to_owned())
            .or_default();
        for (key, value) in table {
            let key_shown = shown(key.get_ref());
            if !is_value_key(key.get_ref()) {
                self.refuse(key.span(), format!("plugin.{name}.{key_shown}: {KEY_FORM}"));
                continue;
            }
            if !self.claim(format!("plugin.{name}.{key_shown}"), key.span()) {
                continue;
            }
            match plugin_value(value) {
                Ok(value) => {
                    let values = &mut self.draft.config.plugins.values;
                    let of_plugin = values.entry(name.to_owned()).or_default();
                    of_plugin.insert(key.get_ref().to_string(), value);
                }
                Err((span, what)) => {
                    self.refuse(span, format!("plugin.{name}.{key_shown}: {what}"));
                }
            }
        }
    }
}

/// A plugin's value as text: an array becomes lines.
fn plugin_value(value: &Item<'_>) -> Result<String, (Range<usize>, String)> {
    const FORM: &str =
        "expected a string, an integer, true, false, or an array of strings and integers";
    let refused = |value: &Item<'_>| {
        let found = words(value.get_ref());
        let cure = match value.get_ref() {
            DeValue::Float(_) | DeValue::Datetime(_) => ", which goes in quotes",
            _ => "",
        };
        Err((value.span(), format!("{FORM}, found {found}{cure}")))
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
