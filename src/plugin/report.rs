//! The lines of a report on a library.

use super::elf::{Entry, Machine, Stage};
use super::library::{Library, Origin};
use super::prepare::Prepared;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use swiftd_plugin::abi::{self, Plugin};

/// A finding; what has been checked ends with `ok`.
pub(super) fn line(label: &str, text: &str, is_checked: bool) -> String {
    if is_checked {
        format!("{label:<10}{text:<67} ok")
    } else {
        format!("{label:<10}{text}").trim_end().to_owned()
    }
}

/// What the file is.
pub(super) fn of_file(name: &str, meta: &Metadata, loadable_bytes: Option<u64>) -> String {
    let loadable = loadable_bytes.map_or(String::new(), |bytes| format!(", loadable {bytes}"));
    let owner = match meta.uid() {
        0 => "root".to_owned(),
        user => user.to_string(),
    };
    let (bytes, mode) = (meta.len(), meta.mode() & 0o7777);
    let text = format!("{name}  {bytes} bytes{loadable}, owner {owner}, mode {mode:04o}");
    line("file", &text, true)
}

/// What the checks of its content found, before `end` if that failed.
pub(super) fn of_content(
    machine: &Machine,
    prepared: Option<&Prepared>,
    end: Option<Stage>,
) -> Vec<String> {
    let needs = match prepared {
        Some(prepared) if prepared.findings.needs.is_empty() => "nothing".to_owned(),
        Some(prepared) => prepared.findings.needs.join(" "),
        None => "only system libraries".to_owned(),
    };
    let declared = prepared.map_or(String::new(), |it| it.findings.declared.join(" "));
    let findings = [
        (
            Stage::Elf,
            "elf",
            format!("{machine} shared object, complete"),
        ),
        (Stage::Stack, "stack", "not executable".to_owned()),
        (Stage::Needs, "needs", needs),
        (
            Stage::Unload,
            "unload",
            "no NODELETE, no unique symbols".to_owned(),
        ),
        (Stage::Declared, "sandbox", declared),
    ];
    let passed = findings
        .iter()
        .filter(|(stage, _, text)| end.is_none_or(|end| *stage < end) && !text.is_empty());
    passed
        .map(|(_, label, text)| line(label, text, true))
        .collect()
}

/// What a loaded library says of itself.
pub(super) fn of_library(library: &Library) -> Vec<String> {
    let plugin = library.descriptor();
    let name = library.name();
    let entry = match library.origin() {
        Origin::Copy(prepared) => match prepared.findings.entry {
            Entry::Constant(_) => "swiftd_plugin_v1".to_owned(),
            Entry::Function => format!("{name}_init"),
        },
        Origin::Builtin(_) => "built in".to_owned(),
    };
    let own = size_of::<Plugin>();
    let flags: Vec<&str> = [
        (abi::flags::RESIDENT, "RESIDENT"),
        (abi::flags::STATE_REQUIRED, "STATE_REQUIRED"),
    ]
    .iter()
    .filter(|(bit, _)| plugin.flags & bit != 0)
    .map(|(_, name)| *name)
    .collect();
    let flags = if flags.is_empty() {
        "none".to_owned()
    } else {
        flags.join(" ")
    };
    let (major, minor) = (plugin.abi_major, plugin.abi_minor);
    vec![
        line(
            "entry",
            &format!("{entry}, struct {} bytes (server {own})", plugin.size),
            true,
        ),
        line(
            "version",
            &format!(
                "needs ABI {major}.{minor}, server has {}.{}",
                abi::MAJOR,
                abi::MINOR
            ),
            true,
        ),
        line(
            "plugin",
            &format!(
                "{name}{}{}, flags {flags}, state version {}",
                if library.version().is_empty() {
                    ""
                } else {
                    " "
                },
                library.version(),
                plugin.state_version
            ),
            false,
        ),
        line("hooks", &hooks(plugin).join(" "), false),
    ]
}

/// The names of the hooks that are implemented.
fn hooks(plugin: &Plugin) -> Vec<&'static str> {
    let all = [
        ("init", plugin.init.is_some()),
        ("set_default", plugin.set_default.is_some()),
        ("cleanup", plugin.cleanup.is_some()),
        ("trigger", plugin.trigger.is_some()),
        ("sighup", plugin.sighup.is_some()),
        ("connection_close", plugin.connection_close.is_some()),
        ("connection_reset", plugin.connection_reset.is_some()),
        ("joblist", plugin.joblist.is_some()),
        ("url_raw", plugin.url_raw.is_some()),
        ("url_clean", plugin.url_clean.is_some()),
        ("docroot", plugin.docroot.is_some()),
        ("physical", plugin.physical.is_some()),
        ("subrequest_start", plugin.subrequest_start.is_some()),
        ("handle_subrequest", plugin.handle_subrequest.is_some()),
        ("subrequest_end", plugin.subrequest_end.is_some()),
        ("save", plugin.save.is_some()),
        ("restore", plugin.restore.is_some()),
        ("retire", plugin.retire.is_some()),
    ];
    all.iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| *name)
        .collect()
}
