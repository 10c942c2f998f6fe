//! The fence: the only code that talks to the kernel.
//!
//! Everything here is a safe function over descriptors and bytes. It owns its descriptors, returns
//! `io::Result`, gives "would block" as a value, and knows nothing of HTTP or of connections.
//! `polling`, `rustix`, `libc` and `libloading` are named here and nowhere else; `unsafe` is in
//! [`poll`], [`dl`], `tls` and `raw`.

pub mod beneath;
pub mod clock;
pub mod dl;
pub mod file;
pub mod memfd;
pub mod poll;
pub mod process;
mod raw;
pub mod signal;
pub mod socket;
pub mod threads;
mod tls;
