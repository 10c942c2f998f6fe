//! The bodies of the fuzz targets, one function each; `fuzz/` has a file of one line for each, and
//! `tests/corpus.rs` runs the collected inputs through the same functions.
//!
//! Hidden from the documentation and not part of the program. A body takes any bytes and panics
//! only if a property does not hold: that a split input gives what the whole one gives, that a
//! value survives encoding and decoding, that something simpler comes to the same result. The
//! first bytes of an input set what is not the peer's to choose; the rest is what the peer sends,
//! as it is, so that corpora and dictionaries stay legible.

mod config;
mod connection;
mod elf;
mod forwarded;
mod message;
mod plugin_config;
mod proxy_header;
mod responses;
mod rules;
mod script;
mod selection;

pub use config::config;
pub use connection::connection;
pub use elf::elf;
pub use forwarded::forwarded;
pub use message::{chunked_body, request_head, target};
pub use plugin_config::plugin_config;
pub use proxy_header::proxy_header;
pub use selection::{conditional, negotiate, range};

/// What a fuzz target is called and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("request_head", request_head),
    ("chunked_body", chunked_body),
    ("target", target),
    ("range", range),
    ("conditional", conditional),
    ("negotiate", negotiate),
    ("connection", connection),
    ("config", config),
    ("plugin_config", plugin_config),
    ("elf", elf),
    ("proxy_header", proxy_header),
    ("forwarded", forwarded),
];

/// Takes an input apart from its start. Where it has ended, zeros come, so that every input means
/// something.
#[derive(Copy, Clone)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    fn number<const BYTES: usize>(&mut self) -> u64 {
        (0..BYTES).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// One of several values, chosen by a byte.
    fn choose<T: Copy, const COUNT: usize>(&mut self, values: [T; COUNT]) -> T {
        values[usize::from(self.byte()) % COUNT]
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The lengths into which an input is split: two of them by turns, so that one byte, a few bytes
/// and almost everything can be mixed.
struct Steps([usize; 2]);

impl Steps {
    fn new(input: &mut Input<'_>) -> Self {
        Self([1, 1].map(|least| least + usize::from(input.byte())))
    }

    /// The pieces of `bytes`, none of them empty.
    fn split<'a>(&self, mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let lengths = self.0.into_iter().cycle();
        lengths.map_while(move |length| {
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            bytes = rest;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
