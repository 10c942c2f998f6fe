//! An instance: one loaded copy of a plugin with its state.
//!
//! It is shared by the generations that it belongs to and by whatever refers to it: requests,
//! connections' data, timers, jobs, children, lent bytes. When only the runtime's own list is left,
//! it ends.

use super::library::Library;
use crate::sys::guest::Guest;
use crate::sys::outside::Outside;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The values of the main configuration that are meant for one plugin.
pub(super) type Values = BTreeMap<String, String>;

/// One loaded copy of a plugin.
pub(super) struct Instance {
    pub(super) name: Box<str>,
    /// INVARIANT: declared before `library`, so that it is let go first.
    pub(super) guest: Guest,
    library: Library,
    pub(super) values: Values,
    /// Which of them it has asked for.
    pub(super) asked: RefCell<BTreeSet<String>>,
    /// The generation that it was loaded for.
    pub(super) since: u64,
    pub(super) tally: Tally,
    /// Its timers and watches run: it belongs to the current generation.
    pub(super) is_live: Cell<bool>,
    /// Its init has succeeded, so its cleanup is owed.
    pub(super) is_begun: Cell<bool>,
    /// It has asked for the server's figures.
    pub(super) reads_figures: Cell<bool>,
}

/// What an instance has done, for the status page.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: Cell<u64>,
    pub(super) errors: Cell<u64>,
    pub(super) busy_ms: Cell<u64>,
    pub(super) slow_calls: Cell<u64>,
}

impl Tally {
    pub(super) fn add(cell: &Cell<u64>, count: u64) {
        cell.set(cell.get().wrapping_add(count));
    }
}

impl Instance {
    /// An instance whose init has not run.
    pub(super) fn new(
        name: &str,
        library: Library,
        slot: u16,
        outside: Arc<Outside>,
        values: Values,
        since: u64,
    ) -> Self {
        Self {
            name: name.into(),
            guest: Guest::new(*library.descriptor(), name, slot, outside),
            library,
            values,
            asked: RefCell::default(),
            since,
            tally: Tally::default(),
            is_live: Cell::new(false),
            is_begun: Cell::new(false),
            reads_figures: Cell::new(false),
        }
    }

    pub(super) fn library(&self) -> &Library {
        &self.library
    }

    /// Takes it apart: the native side, and the library that remains to be closed.
    pub(super) fn into_parts(self) -> (Guest, Library) {
        (self.guest, self.library)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of generation {}", self.name, self.since)
    }
}
