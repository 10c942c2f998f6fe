//! Where a message begins and ends, and what is not one: the syntax of RFC 9112 §2 to §7.
//!
//! Everything on which a server and a proxy in front of it could disagree is refused here, because
//! such a disagreement is how requests are smuggled (RFC 9112 §11.2). A refusal is answered once,
//! and nothing behind it is looked at: many rows have a second request behind the first, to show
//! which of the two holds.

mod support;

#[path = "framing/bodies.rs"]
mod bodies;
#[path = "framing/heads.rs"]
mod heads;

use support::reply::{Reply, refused};
use swiftd::conn::Limits;

/// The request that stands behind another one, to show whether the connection goes on.
const NEXT: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

fn version() -> Reply {
    refused("505 HTTP Version Not Supported")
}

fn too_large() -> Reply {
    refused("413 Content Too Large")
}

/// Bounds that can be reached by rows that are split at every byte.
fn small() -> Limits {
    let mut limits = Limits::default();
    limits.head.head_bytes_max = 256;
    limits.head.target_bytes_max = 64;
    limits.head.fields_max = 4;
    limits.body.body_bytes_max = 16;
    limits.body.memory_bytes_max = 8;
    limits.body.trailer_bytes_max = 20;
    limits
}
