//! Plugins: native libraries that are loaded beside each other and replaced while the server runs.

pub mod config;
pub mod watch;
