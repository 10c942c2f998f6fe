//! Orders to a running server, and its answers: `swiftd -s`.
//!
//! The server listens at an abstract socket named after its process, which is in no file system, so
//! it needs no directory and leaves nothing behind. The protocol is a line each way: the client
//! sends the name of an order, the server answers `ok TEXT` or `failed TEXT` once it knows, and
//! closes; to `log` it answers `ok` and then the bytes of the log. Both ends ask the kernel who the
//! other one is: orders are taken from root and the server's own user, and answers are believed only
//! from the process of the pid file.

mod client;
mod desk;

pub use client::{DEFAULT_PID_FILE, send};
pub use desk::{CLIENTS_MAX, Desk, Heard};

/// Where the server with this number takes orders.
fn socket_name(pid: u32) -> String {
    format!("swiftd.{pid}")
}

/// What an answer begins with if the order was carried out.
const OK: &str = "ok ";

/// What it begins with if not.
const FAILED: &str = "failed ";
