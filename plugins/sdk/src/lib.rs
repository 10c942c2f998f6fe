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
//! `subrequest_start` asks each plugin in turn who will answer; `handle_subrequest` is then called for
//! the one that said [`Flow::Finished`]. [`Plugin`] lists all hooks in their order, each with what it
//! may return.
//!
//! # Building
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! swiftd-plugin = { path = "/the/repository/of/swiftd/plugins/sdk" }
//!
//! [profile.release]
//! opt-level = "z"
//! lto = true
//! codegen-units = 1
//! strip = true
//! ```
//!
//! `cargo build --release` makes `libNAME.so`. Install it as `NAME.so`, ask
//! `swiftd --check-plugin NAME.so`, add the line `NAME:/DIR/$` to the server's list of plugins.
//! `docs/PLUGINS.md` in the repository does this step by step, and shows how to replace a plugin while
//! the server runs. A plugin must not be built with `panic = "abort"`.
//!
//! # What to call
//!
//! | to | call |
//! | --- | --- |
//! | read the request | [`Request::path`], [`method`](Request::method), [`query`](Request::query), [`header`](Request::header), [`peer`](Request::peer), [`read_body`](Request::read_body) |
//! | answer at once | [`Request::respond`], or [`set_status`](Request::set_status), [`set_header`](Request::set_header), [`set_body`](Request::set_body), [`file`](Request::file) |
//! | answer piece by piece | [`Request::start`], [`write`](Request::write), [`end`](Request::end) |
//! | answer with an error and the server's page for it | [`Request::set_status`] and [`Flow::Finished`] |
//! | change a field of whatever is answered | [`Request::set_header`] in a hook before `handle_subrequest` |
//! | rewrite | [`Request::set_path`] and [`Flow::Comeback`] |
//! | be told something by the operator | [`Host::config`], [`Host::config_or`], [`Host::config_list`] |
//! | keep something for a request or a connection | [`Request::set_data`], [`Request::set_connection_data`] |
//! | wait for a time, a descriptor, another thread | [`Request::timer`], [`watch`](Request::watch), [`waker`](Request::waker), then return [`Flow::WaitForEvent`] |
//! | do what blocks or takes long | [`Request::job`], [`Host::job`] |
//! | run a program | [`Request::spawn`] |
//! | ask this server something | [`Request::subrequest`] |
//! | do something now and then | [`Plugin::trigger`], [`Host::every`] |
//! | log, count | [`Host::notice`] and the like, [`Host::counter`] |
//! | refuse to be loaded | an `Err` from [`Plugin::init`] or [`Plugin::set_default`] |
//! | hand state to the next version | [`Plugin::save`], [`Plugin::restore`] |
//! | test all of it | [`testing::Harness`] |
//!
//! [`Request::host`] is the [`Host`] in hooks that have a request; others keep a clone of the one that
//! `init` was given.
//!
//! # Rules that the types keep
//!
//! All hooks and callbacks run on the server's loop thread, one at a time, and no host function
//! calls back. That is why they get `&mut self`. A [`Request`] cannot be kept; [`Request::id`] and
//! [`Waker`] can.
//!
//! One rule they cannot keep: a hook must not block. Nothing else is served until it returns, and the
//! server logs one that takes more than 50 ms.
//!
//! A panic is caught: the client gets 500, the log a line, and the plugin goes on.
//!
//! # Sources
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
