//! What somebody who tries a plugin out sees of it and asks for: the calls, the reloads, the ends.
//!
//! The one end is in the runtime, the other with whoever drives it. A server has none of this and
//! pays one compare for each call.

use super::instance::Instance;
use super::library::Closed;
use super::runtime::Runtime;
use crate::sys::abi::{self, Rc as Code};
use crate::sys::clock;
use crate::sys::crash::Hook;
use std::cell::{Cell, RefCell};

/// What is known of a plugin that is tried out.
#[derive(Debug, Default)]
pub struct Bench {
    is_tracing: Cell<bool>,
    wants_reload: Cell<bool>,
    generation: Cell<u64>,
    rejection: RefCell<Option<String>>,
    unmapped_count: Cell<u64>,
    resident_count: Cell<u64>,
    stuck: RefCell<Vec<String>>,
}

impl Bench {
    /// Whether each call into the plugin is to be a line of the log.
    pub fn trace(&self, is_wanted: bool) {
        self.is_tracing.set(is_wanted);
    }

    /// Asks for the plugin to be loaded anew, whether its file has changed or not.
    pub fn reload(&self) {
        self.wants_reload.set(true);
    }

    /// The number of the generation that serves; it begins with 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Why a reload came to nothing, if one did.
    #[must_use]
    pub fn rejection(&self) -> Option<String> {
        self.rejection.borrow().clone()
    }

    /// How many old copies have ended, whatever became of them.
    #[must_use]
    pub fn ended_count(&self) -> u64 {
        let stuck = self.stuck.borrow().len() as u64;
        self.unmapped_count.get() + self.resident_count.get() + stuck
    }

    /// How many of them stay mapped because they ask to.
    #[must_use]
    pub fn resident_count(&self) -> u64 {
        self.resident_count.get()
    }

    /// Why those of them that should not be are still mapped.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        self.stuck.borrow().clone()
    }

    // ---- the runtime's end --------------------------------------------------------------------

    pub(super) fn is_tracing(&self) -> bool {
        self.is_tracing.get()
    }

    pub(super) fn wants_reload(&self) -> bool {
        self.wants_reload.get()
    }

    pub(super) fn take_reload(&self) -> bool {
        self.wants_reload.take()
    }

    pub(super) fn handle_swap(&self, generation: u64) {
        self.generation.set(generation);
    }

    pub(super) fn handle_rejection(&self, why: &str) {
        self.rejection.replace(Some(why.to_owned()));
    }

    pub(super) fn handle_end(&self, closed: &Closed) {
        match closed {
            Closed::Unmapped => self.unmapped_count.set(self.unmapped_count.get() + 1),
            Closed::Resident => self.resident_count.set(self.resident_count.get() + 1),
            Closed::Stuck(why) => self.stuck.borrow_mut().push(why.clone()),
        }
    }
}

/// When a call began.
#[derive(Copy, Clone, Debug)]
pub(super) struct Stopwatch {
    began_ms: u64,
    /// On the fine clock, if somebody looks on.
    began_us: Option<u64>,
}

impl Stopwatch {
    pub(super) fn start(is_fine: bool) -> Self {
        Self {
            began_ms: clock::monotonic_ms(),
            began_us: is_fine.then(clock::fine_us),
        }
    }

    /// How long ago that was, milliseconds.
    pub(super) fn ms(self) -> u64 {
        clock::monotonic_ms() - self.began_ms
    }

    /// The line about a call that has just returned, for whoever looks on. `depth` is that of an
    /// inner request.
    pub(super) fn line(self, hook: &str, depth: u8, code: Option<Code>) -> Option<String> {
        let us = clock::fine_us().saturating_sub(self.began_us?);
        let indent = "  ".repeat(depth.into());
        let result = code.map_or(String::new(), |code| format!(" \u{2192} {}", name(code)));
        let (ms, us) = (us / 1000, us % 1000);
        Some(format!("{indent}hook {hook}{result} {ms}.{us:03} ms"))
    }
}

impl Runtime {
    /// Begins to measure a call.
    pub(super) fn stopwatch(&self) -> Stopwatch {
        Stopwatch::start(self.bench.as_ref().is_some_and(|bench| bench.is_tracing()))
    }

    /// Tells of a call for the request with this ticket, or for none, if somebody looks on.
    pub(super) fn trace(
        &mut self,
        watch: Stopwatch,
        instance: &Instance,
        hook: Hook,
        ticket: u32,
        code: Option<Code>,
    ) {
        if self.bench.is_some() && instance.guest.has(hook) {
            let depth = self.requests.get(ticket).map_or(0, |record| record.depth);
            let line = watch.line(hook.name(), depth, code);
            if let Some(line) = line {
                self.lines.say(line);
            }
        }
    }
}

/// What a hook's result is called in the header.
fn name(code: Code) -> String {
    let name = match code {
        abi::GO_ON => "GO_ON",
        abi::FINISHED => "FINISHED",
        abi::COMEBACK => "COMEBACK",
        abi::WAIT_FOR_EVENT => "WAIT_FOR_EVENT",
        abi::WAIT_FOR_FD => "WAIT_FOR_FD",
        abi::ERROR => "ERROR",
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_line_for_whoever_looks_on() {
        assert_eq!(
            Stopwatch::start(false).line("init", 0, Some(abi::GO_ON)),
            None
        );
        let line = Stopwatch::start(true).line("url_raw", 1, Some(7)).unwrap();
        let time = line.strip_prefix("  hook url_raw \u{2192} 7 ").unwrap();
        let ms = time.strip_suffix(" ms").unwrap();
        assert!(ms.parse::<f64>().unwrap() >= 0.0);
        assert_eq!(ms.split_once('.').unwrap().1.len(), 3);
    }

    #[test]
    fn ends_are_counted_by_kind() {
        let bench = Bench::default();
        bench.handle_end(&Closed::Unmapped);
        bench.handle_end(&Closed::Resident);
        bench.handle_end(&Closed::Stuck("a thread".into()));
        assert_eq!((bench.ended_count(), bench.resident_count()), (3, 1));
        assert_eq!(bench.stuck(), ["a thread"]);
        bench.reload();
        assert!(bench.wants_reload() && bench.take_reload() && !bench.wants_reload());
    }
}
