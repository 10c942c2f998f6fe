//! swiftd: a small, strict HTTP/1.x server for Linux.
//!
//! One thread, one edge-triggered epoll instance, one direction:
//!
//! ```text
//! bytes → http (parse) → conn (state machine) → hooks → handler → http (encode) → bytes
//! ```
//!
//! | module | what | touches |
//! |---|---|---|
//! | [`http`] | messages: bytes to values and back | nothing |
//! | [`policy`] | what the operator has decided about hosts, paths and clients | nothing |
//! | [`conn`] | one connection: the state machine, its deadlines, its hooks | nothing |
//! | [`handler`] | static files: what answers when no plugin did | nothing |
//! | [`files`] | which files there are: the site on disk and the cache | `sys`, `disk` |
//! | [`disk`] | the helper thread for whatever could wait for a disk | `sys` |
//! | [`plugin`] | native libraries beside the server: what is loaded, and when again | `sys` |
//! | [`clients`] | what each client has: connections, requests a second | nothing |
//! | [`server`] | the loop: sockets, timers, signals | `sys` |
//! | [`control`] | orders to a running server, and its answers | `sys` |
//! | [`startup`] | from a configuration to a server: the order of everything before the first turn | `sys` |
//! | [`supervisor`] | the parent that restarts a worker that died | `sys` |
//! | [`sandbox`] | what the process gives up before it serves | `sys` |
//! | [`workbench`] | a plugin tried out: a server that listens nowhere, and its client | `sys` |
//! | [`sys`] | the fence: the only code that talks to the kernel | the kernel |
//! | [`log`] | the error log and the logs of requests: where lines wait, and where they go | `sys`, `disk` |
//! | [`config`], [`cli`] | what the operator sets | nothing |
//! | [`text`] | text made fit for a line | nothing |
//! | [`figures`] | numbers as the text of a status page | nothing |
//!
//! The first four are the core. They get bytes and the time as arguments and give bytes and
//! wishes back, so that they can be split at every byte, fuzzed, and simulated from a seed.

#![deny(unsafe_code)]

pub mod cli;
pub mod clients;
pub mod config;
pub mod conn;
pub mod control;
pub mod disk;
pub mod figures;
pub mod files;
#[doc(hidden)]
pub mod fuzzing;
pub mod handler;
pub mod http;
pub mod log;
pub mod plugin;
pub mod policy;
pub mod sandbox;
pub mod server;
pub mod startup;
pub mod supervisor;
pub mod sys;
#[doc(hidden)]
pub mod testing;
pub mod text;
pub mod workbench;
