//! The real server on loopback: what only real sockets and real files can show.
//!
//! The rules of HTTP are tested elsewhere, on bytes. Here it is edges and EAGAIN, half-close and
//! reset, descriptors that run out, files that change while they are sent, signals. Each test
//! starts a server of its own and ends it, with a look at what it may have leaked.

#[path = "loopback/changes.rs"]
mod changes;
#[path = "loopback/closing.rs"]
mod closing;
#[path = "loopback/crowd.rs"]
mod crowd;
#[path = "loopback/features.rs"]
mod features;
#[path = "loopback/files.rs"]
mod files;
#[path = "loopback/hooks.rs"]
mod hooks;
#[path = "loopback/hosts.rs"]
mod hosts;
#[path = "loopback/listeners.rs"]
mod listeners;
#[path = "support/server.rs"]
mod server;
#[path = "loopback/serving.rs"]
mod serving;
#[path = "loopback/spool.rs"]
mod spool;
#[path = "support/stopped.rs"]
mod stopped;
#[path = "loopback/stopped_disk.rs"]
mod stopped_disk;
#[path = "loopback/stopping.rs"]
mod stopping;
#[path = "loopback/timeouts.rs"]
mod timeouts;
