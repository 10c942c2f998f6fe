//! What a request means and what answers it: RFC 9110, RFC 9112 §9 and the plugin contract's hooks,
//! as raw requests and exact responses. Syntax and framing are in `framing.rs`.

mod support;

#[path = "conformance/amendments.rs"]
mod amendments;
#[path = "conformance/clients.rs"]
mod clients;
#[path = "conformance/conditional.rs"]
mod conditional;
#[path = "conformance/deadlines.rs"]
mod deadlines;
#[path = "conformance/files.rs"]
mod files;
#[path = "conformance/hooks.rs"]
mod hooks;
#[path = "conformance/hosts.rs"]
mod hosts;
#[path = "conformance/notes.rs"]
mod notes;
#[path = "conformance/paths.rs"]
mod paths;
#[path = "conformance/persistence.rs"]
mod persistence;
#[path = "conformance/ranges.rs"]
mod ranges;
#[path = "conformance/rewrites.rs"]
mod rewrites;
#[path = "conformance/shortage.rs"]
mod shortage;
#[path = "conformance/streams.rs"]
mod streams;
