//! What the operator can set: every bound with its default and its reason.
//!
//! The bounds of a connection are in [`Limits`], next to the code that keeps
//! them; this module adds those of the loop and of the files, and puts all of them together. The
//! configuration file is read in [`mod@file`], what concerns plugins is in `plugins`.

pub mod check;
mod clients;
mod draft;
mod dump;
pub mod file;
mod grammar;
mod host;
mod logs;
pub mod memory;
mod need;
mod plugins;
mod service;
pub mod settings;
mod suggest;

pub use clients::Clients;
pub use draft::{Draft, Unfit};
pub use dump::dump;
pub use host::{Host, PAGE_BYTES_MAX, Rules};
pub use logs::{AccessLog, Destination, Format, Level, Logs};
pub use need::{Access, NEED_FORM, Need};
pub use plugins::{
    KEY_FORM, NAME_FORM, PluginSettings, PluginValue, PluginValues, is_plugin_name, is_value_key,
};
pub use service::{Mode, Order, Sandbox, Service};
pub(crate) use suggest::nearest;

use crate::conn::Limits;
use crate::files;
use crate::sys::file::Features;
use crate::sys::process;
use crate::sys::socket::Address;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a server is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// What to serve where no other host is meant.
    pub site: files::Settings,
    /// What holds for its requests.
    pub rules: Rules,
    /// The hosts beside it.
    pub hosts: Vec<Host>,
    /// Bounds of the cache of files.
    pub cache: files::Bounds,
    /// Bounds of a connection.
    pub limits: Limits,
    /// Bounds of the loop.
    pub turn: Turn,
    /// Where bodies of requests are kept that are too large for memory.
    pub temporary: PathBuf,
    /// What concerns plugins.
    pub plugins: PluginSettings,
    /// Logs.
    pub logs: Logs,
    /// How much one client may have.
    pub clients: Clients,
    /// The process.
    pub service: Service,
    /// What the server may have in all, bytes; the bounds are derived from it.
    pub memory: Option<u64>,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub is_proxied: bool,
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        Self {
            address,
            is_proxied: false,
        }
    }
}

/// How many places to listen at there may be.
pub const LISTENERS_MAX: usize = 128;

/// The bounds of the loop.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Connections at the same time; less if the descriptor limit is lower.
    pub connections_max: usize,
    /// Connections that are accepted in one turn.
    pub accepts_max: usize,
    /// Bytes that one connection may move in one turn.
    pub bytes_max: usize,
    /// The one read buffer, bytes.
    pub read_bytes: usize,
    /// Look-ups that may wait for the disk thread; one more is a 503.
    pub disk_jobs_max: usize,
    /// What connections may own together beside their slots, bytes: heads, bodies, responses that
    /// wait to be sent. Over it, requests are answered with 503.
    pub buffer_bytes_max: usize,
    /// How long a stop in good order may take.
    pub drain_timeout: Duration,
}

/// The port of a server that was not told one: free to use without privileges.
const DEFAULT_PORT: u16 = 8080;

/// The cache gets one part in so many of the machine's memory, within bounds: 512 KiB of 32 MB.
/// What it holds is in the page cache as well, so more is not better; it only saves system calls.
const CACHE_SHARE: u64 = 64;
const CACHE_BYTES_LEAST: u64 = 256 * 1024;
const CACHE_BYTES_MOST: u64 = 12 * 1024 * 1024;

impl Default for Turn {
    fn default() -> Self {
        Self {
            // A connection costs about 150 bytes until it is used.
            connections_max: 16_384,
            // Enough to empty the queue under load, few enough that those who are being served
            // do not wait behind new ones.
            accepts_max: 64,
            bytes_max: 512 * 1024,
            read_bytes: 16 * 1024,
            disk_jobs_max: 256,
            buffer_bytes_max: memory::buffer_bytes_default(process::memory_bytes()),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// The defaults for one directory.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let cache_bytes = (process::memory_bytes() / CACHE_SHARE)
            .clamp(CACHE_BYTES_LEAST, CACHE_BYTES_MOST) as usize;
        Self {
            listen: vec![
                Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT))).into(),
            ],
            site: files::Settings {
                root,
                index_names: vec!["index.html".into()],
                // Head and body of such a file leave in one call of one segment group; larger
                // ones are cheaper to send from the page cache than to copy.
                small_bytes_max: 16 * 1024,
                mime: Vec::new(),
                features: Features::ALL,
            },
            rules: Rules::default(),
            hosts: Vec::new(),
            cache: files::Bounds {
                // Bytes are what counts; this bounds the table when entries hold next to nothing.
                entries_max: 8192,
                bytes_max: cache_bytes,
                descriptors_max: 128,
                trust: Duration::from_secs(1),
            },
            limits: Limits::default(),
            turn: Turn::default(),
            temporary: std::env::temp_dir(),
            plugins: PluginSettings::default(),
            logs: Logs::default(),
            clients: Clients::default(),
            service: Service::default(),
            memory: None,
        }
    }
}
