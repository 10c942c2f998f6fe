//! Suspended requests of real plugins in the real server: what wakes them, where they go on, and
//! what becomes of them when nothing does.

#[path = "plugin_waiting/ends.rs"]
mod ends;
#[path = "support/guests.rs"]
mod guests;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;
#[path = "plugin_waiting/wakes.rs"]
mod wakes;
