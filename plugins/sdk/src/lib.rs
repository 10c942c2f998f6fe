//! Write plugins for the swiftd web server in safe Rust.
//!
//! A plugin is a type, and [`plugin!`] around the hooks that it implements. The whole of one:
//!
//! ```standalone_crate
//! use swiftd_plugin::*;
//! struct Hello { text: String }
//! plugin! {
//!     impl Plugin for Hello {
//!         const NAME: &CStr = c"hello";
//!         fn init(host: &Host) -> Result<Self, String> {
//!             Ok(Hello { text: host.config("text").unwrap_or("hello\n").into() })
//!         }
//!         fn subrequest_start(&mut self, req: &mut Request) -> Flow {
//!             if req.path() == b"/hello" { Flow::Finished } else { Flow::GoOn }
//!         }
//!         fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
//!             req.respond(200, "text/plain", &self.text)
//!         }
//!     }
//! }
//! // And its test, without a server:
//! let answer = testing::Harness::<Hello>::new().config("text", "x").get("/hello");
//! assert_eq!((answer.status, answer.text()), (200, "x"));
//! ```
//!
//! Build it as a `cdylib` with `panic = "unwind"` and install `libNAME.so` as `NAME.so`.
//!
//! # Map
//!
//! | module | what |
//! | --- | --- |
//! | `plugin` | the trait [`Plugin`] and the macro [`plugin!`] |
//! | `entry` | the C functions behind the hooks; the only caller of [`Plugin`]'s methods |
//! | `panics` | a panic is caught, logged and answered |
//! | `host` | [`Host`]: configuration, log, counters |
//! | `request`, `response`, `data` | [`Request`]: what came, what goes, what is kept for it |
//! | `work`, `job`, `spawn` | timers, watches, wakers; jobs; child processes |
//! | `flow`, `id` | small values |
//! | [`abi`] | the C structs |
//! | [`testing`] | a mock server for unit tests |
//!
//! # Rules that the types keep
//!
//! All hooks and callbacks run on the server's loop thread, one at a time, and no host function
//! calls back. That is why they get `&mut self`. A [`Request`] cannot be kept; [`Request::id`] and
//! [`Waker`] can. A hook must not block: use [`Request::job`] or [`Request::watch`] and return a
//! waiting [`Flow`].

pub mod abi;
mod data;
#[doc(hidden)]
pub mod entry;
mod flow;
mod host;
mod id;
mod job;
mod panics;
mod plugin;
mod request;
mod response;
mod spawn;
pub mod testing;
mod work;

pub use core::ffi::CStr;

pub use flow::{Cause, Error, Flags, Flow, Level, Lost, Ready, Result, Why};
pub use host::{Counter, Host, Logger};
pub use id::{Cancel, ChildId, ConnectionId, JobId, RequestId, SubrequestId, TimerId, WatchId};
pub use job::Pending;
#[doc(hidden)]
pub use plugin::Exported;
pub use plugin::Plugin;
pub use request::{Headers, Request, Subresponse};
pub use spawn::{Child, Command, Exit, Stdio};
pub use work::{Waker, Watched};
