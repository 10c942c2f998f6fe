//! The logs of the real server: formats that real tools read, lines that nobody can forge, files
//! that are rotated, disks that are full, readers that hang, the system's log, memory.

#[path = "logs/formats.rs"]
mod formats;
#[path = "logs/goaccess.rs"]
mod goaccess;
#[path = "logs/rotation.rs"]
mod rotation;
#[path = "support/server.rs"]
mod server;
#[path = "logs/stage.rs"]
mod stage;
#[path = "support/stopped.rs"]
mod stopped;
#[path = "logs/syslog.rs"]
mod syslog;
#[path = "logs/trouble.rs"]
mod trouble;
