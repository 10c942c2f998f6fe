//! Reloading plugins in the running server: real libraries, real files, real load.
//!
//! Versions of one plugin in C ([`stage`]) tell who answered and log what they are told; the list and
//! the libraries are replaced as editors, packagers and orchestrators do it.

#[path = "plugin_reload/generations.rs"]
mod generations;
#[path = "plugin_reload/libraries.rs"]
mod libraries;
#[path = "plugin_reload/load.rs"]
mod load;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "plugin_reload/rejections.rs"]
mod rejections;
#[path = "plugin_reload/saving.rs"]
mod saving;
#[path = "support/server.rs"]
mod server;
#[path = "plugin_reload/stage.rs"]
mod stage;
#[path = "plugin_reload/state.rs"]
mod state;
