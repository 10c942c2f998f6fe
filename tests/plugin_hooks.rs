//! The hooks of real plugins in the real server: each at exactly its moment, and what each result
//! means at each of them.

#[path = "support/guests.rs"]
mod guests;
#[path = "plugin_hooks/instances.rs"]
mod instances;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "plugin_hooks/results.rs"]
mod results;
#[path = "support/server.rs"]
mod server;
#[path = "plugin_hooks/traces.rs"]
mod traces;
