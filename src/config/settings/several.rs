//! Settings that are several values: lists, and tables with lines of their own.
//!
//! They are set one by one, so that each that is wrong is told at its own place.

use super::value::{misfit, text};
use super::{Plain, Value};
use crate::config::draft::{ErrorPages, IndexNames, Mime};
use crate::config::grammar;
use crate::config::{LISTENERS_MAX, Listen, NAME_FORM, Need, is_plugin_name};
use crate::policy::{Field, HostName, NetworkError, Proxy};
use std::path::PathBuf;

/// More than anybody has asked for of each.
const INDEX_NAMES_MAX: usize = 16;
const PLUGINS_MAX: usize = 64;
const NEEDS_MAX: usize = 64;
const PROXIES_MAX: usize = 1024;
const NAMES_MAX: usize = 1024;
const MIME_MAX: usize = 2048;
const FIELDS_MAX: usize = 64;

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

/// What a sandbox leaves.
impl Value for Vec<Need> {
    fn set(&mut self, plain: Plain) -> Result<(), String> {
        has_room(self, NEEDS_MAX)?;
        self.push(text(plain, grammar::need)?);
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

fn entry(plain: Plain) -> Result<(String, String), String> {
    match plain {
        Plain::Entry(key, value) => Ok((key, value)),
        other => misfit(other),
    }
}

fn list<T>(items: &[T], plain: impl Fn(&T) -> Plain) -> Plain {
    Plain::List(items.iter().map(plain).collect())
}
