//! A generation: an immutable, ordered list of instances with their hooks laid out for calling.
//!
//! One flat array holds the hooks of all instances, one range of it for each hook, in the order in
//! which the instances were named. A hook that nobody implements is an empty range: one compare.

use super::instance::Instance;
use crate::sys::crash::Hook;
use crate::sys::guest::Callee;
use std::rc::Rc;

/// An ordered list of instances.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counted from 1; 0 is the empty one of the start.
    pub(super) number: u64,
    pub(super) instances: Vec<Rc<Instance>>,
    entries: Vec<Entry>,
    /// Where in `entries` the hooks of [`CHAINS`] begin, and where the last one ends.
    starts: [u16; CHAINS.len() + 1],
}

/// A hook of one instance.
#[derive(Copy, Clone, Debug)]
pub(super) struct Entry {
    pub(super) callee: Callee,
    /// The instance's place in the generation.
    pub(super) index: u16,
}

/// The hooks that are called one plugin after the other.
const CHAINS: [Hook; 6] = [
    Hook::UrlRaw,
    Hook::UrlClean,
    Hook::Docroot,
    Hook::Physical,
    Hook::SubrequestStart,
    Hook::SubrequestEnd,
];

impl Generation {
    pub(super) fn new(number: u64, instances: Vec<Rc<Instance>>) -> Self {
        let mut entries = Vec::new();
        let mut starts = [0; CHAINS.len() + 1];
        for (place, hook) in CHAINS.into_iter().enumerate() {
            for (index, instance) in instances.iter().enumerate() {
                if let Some(callee) = instance.guest.callee(hook) {
                    entries.push(Entry {
                        callee,
                        index: index as u16,
                    });
                }
            }
            starts[place + 1] = entries.len() as u16;
        }
        Self {
            number,
            instances,
            entries,
            starts,
        }
    }

    /// The hooks of one chain; empty for a hook that is no chain.
    pub(super) fn chain(&self, hook: Hook) -> &[Entry] {
        let place = match hook {
            Hook::UrlRaw => 0,
            Hook::UrlClean => 1,
            Hook::Docroot => 2,
            Hook::Physical => 3,
            Hook::SubrequestStart => 4,
            Hook::SubrequestEnd => 5,
            _ => return &[],
        };
        &self.entries[self.starts[place].into()..self.starts[place + 1].into()]
    }

    /// Whether an instance belongs to it.
    pub(super) fn has(&self, instance: &Rc<Instance>) -> bool {
        self.instances.iter().any(|own| Rc::ptr_eq(own, instance))
    }

    /// The place of an instance.
    pub(super) fn index_of(&self, instance: &Rc<Instance>) -> Option<usize> {
        self.instances
            .iter()
            .position(|own| Rc::ptr_eq(own, instance))
    }

    /// The instance of a name.
    pub(super) fn find(&self, name: &str) -> Option<&Rc<Instance>> {
        self.instances.iter().find(|own| &*own.name == name)
    }
}
