//! Plugins: native libraries that are loaded, called through hooks, and replaced while requests run.
//!
//! | module | what |
//! |---|---|
//! | [`config`], [`watch`] | the list of plugins; when to look at it again |
//! | `look`, [`prepare`], [`needs`], [`permissions`], [`elf`], [`identity`] | what has changed on disk; a checked copy of it |
//! | [`builtin`] | plugins that are a part of the program |
//! | [`library`], `instance`, `generation` | a mapped library; one with its state; an ordered list of them |
//! | `reload`, `attempt` | look → load → init → hand over → swap → drain |
//! | [`trial`], `rehearsal`, [`check`] | loading, beginning and ending one in a child first; all of a list |
//! | `ending` | what becomes of an instance that nobody refers to |
//! | `chain` | the hooks of a request, called at their moments |
//! | `host`, `body` | what a plugin may ask for during a call |
//! | `runtime`, `events` | what there is between calls, and what happens there |
//! | `request`, `resource`, `inner`, `jobs`, `id` | what is waited for, by whom |
//! | `figures`, `lines`, `bench` | what the status page, the log and who tries a plugin are told |
//!
//! INVARIANT: the loop's thread calls plugins, one at a time, and never from inside a host function.

mod attempt;
mod bench;
mod body;
pub mod builtin;
mod chain;
pub mod check;
pub mod config;
pub mod elf;
mod ending;
mod events;
mod figures;
mod generation;
mod host;
mod id;
pub mod identity;
mod inner;
mod instance;
mod jobs;
pub mod library;
mod lines;
mod look;
pub mod needs;
pub mod permissions;
pub mod prepare;
mod rehearsal;
mod reload;
mod report;
mod request;
mod resource;
mod runtime;
pub mod trial;
pub mod watch;

pub use bench::Bench;
pub use inner::InnerRequest;
pub use resource::InnerReply;

use crate::config::{Level, PluginSettings, PluginValues};
use crate::conn::{Caller, Exchange, Flow, Hooks, Id, NoHooks, Point, Why};
use crate::supervisor::LeftOut;
use crate::sys::clock;
use crate::sys::poll::{Poll, Readiness};
use look::Wanted;
use reload::Reload;
use runtime::Runtime;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Keys of the poll that belong to plugins.
#[derive(Copy, Clone, Debug)]
pub struct Keys {
    /// Another thread has something for the loop.
    pub outside: usize,
    /// The list of plugins may have changed.
    pub list: usize,
    /// Watches and children; all keys from here on.
    pub resources: usize,
}

/// Is called on a helper thread with what plugins are to be told, and says what is wrong with that, or
/// with the plugins, a line for each fault. Nothing is changed by it.
pub type Checker = Box<dyn FnOnce(PluginValues) -> Result<(), String> + Send>;

/// Hooks that take part in the loop beside being called for exchanges. All of it may be left out.
pub trait Extension: Hooks {
    /// The loop begins: what it is to be told about is registered.
    ///
    /// # Errors
    /// The poll does not take it.
    fn attach(&mut self, _poll: &Poll, _keys: Keys) -> io::Result<()> {
        Ok(())
    }

    /// One of [`Keys`] is ready.
    fn handle_ready(&mut self, _readiness: Readiness) {}

    /// When [`Self::advance`] is to be called at the latest, milliseconds; 0 is at once.
    fn due(&self) -> Option<u64> {
        None
    }

    /// Does what is due, and one step of a reload.
    fn advance(&mut self, _now: u64) {}

    /// Connections whose suspended request is to be resumed.
    fn take_wakes(&mut self) -> Vec<Id> {
        Vec::new()
    }

    /// Connections whose request has held an old generation for too long.
    fn take_overdue(&mut self) -> Vec<Id> {
        Vec::new()
    }

    /// Inner requests to be started or cancelled.
    fn take_inner(&mut self) -> Vec<InnerRequest> {
        Vec::new()
    }

    /// The connection that carries an inner request; told before its request is.
    fn begin_inner(&mut self, _inner: &InnerRequest, _connection: Id) {}

    /// An inner request was answered, or given up.
    fn handle_inner(&mut self, _id: u64, _reply: InnerReply) {}

    /// Lines for the log.
    fn take_lines(&mut self) -> Vec<(Level, String)> {
        Vec::new()
    }

    /// SIGHUP came; false if it means nothing here.
    fn hang_up(&mut self) -> bool {
        false
    }

    /// Finds out whether what SIGHUP would read could hold; `None` if nothing would be read.
    fn checker(&self) -> Option<Checker> {
        None
    }

    /// Whether somebody wants to know the server's figures.
    fn wants_figures(&self) -> bool {
        false
    }

    /// The server's figures, lines of the Prometheus text format.
    fn set_figures(&mut self, _lines: Vec<u8>) {}

    /// The server ends; no connection is left.
    fn stop(&mut self) {}
}

impl Extension for NoHooks {}

/// The loaded plugins.
pub struct Plugins {
    runtime: Runtime,
    reload: Reload,
}

/// How many suspended requests are resumed in one turn; the rest after the next poll.
const RESUMPTIONS_MAX: usize = 64;

impl Plugins {
    /// Loads the plugins of the list at `list`. `left_out` are those that have killed the server too
    /// often.
    ///
    /// # Errors
    /// What could not be loaded, where it stands, and why; unless plugins are optional.
    pub fn start(
        list: PathBuf,
        settings: PluginSettings,
        left_out: Vec<LeftOut>,
    ) -> Result<Self, String> {
        let mut runtime = runtime()?;
        let is_optional = settings.is_optional;
        let list = Wanted::List(absolute(&list));
        let mut reload = Reload::new(list, settings, left_out, clock::monotonic_ms());
        match reload.start(&mut runtime) {
            Ok(()) => {}
            Err(why) if is_optional => {
                runtime
                    .lines
                    .complain(format!("plugins: {why}; starting without them"));
                reload.see_missing(&mut runtime);
            }
            // What the plugin itself said of it is a part of the reason.
            Err(why) => {
                runtime.end_leaving();
                let mut said = runtime.lines.take();
                said.push(format!("plugins: {why}"));
                return Err(said.join("\n"));
            }
        }
        Ok(Self { runtime, reload })
    }

    /// Loads the one plugin in `file`, to be tried out. What becomes of it is told to `bench`.
    ///
    /// # Errors
    /// It could not be loaded, and why.
    pub fn try_out(
        file: &Path,
        settings: PluginSettings,
        bench: Rc<Bench>,
    ) -> Result<Self, String> {
        let mut runtime = runtime()?;
        runtime.bench = Some(bench);
        let name = check::name_of(file).map_err(|refusal| refusal.to_string())?;
        let file = absolute(file);
        let wanted = Wanted::File { name, file };
        let mut reload = Reload::new(wanted, settings, Vec::new(), clock::monotonic_ms());
        if let Err(why) = reload.start(&mut runtime) {
            runtime.end_leaving();
            // What the plugin itself has said may be the better reason.
            let lines = runtime.lines.take().into_iter();
            return Err(lines.chain([why]).collect::<Vec<_>>().join("\n"));
        }
        Ok(Self { runtime, reload })
    }
}

fn runtime() -> Result<Runtime, String> {
    Runtime::new().map_err(|error| format!("cannot make an eventfd: {error}"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Hooks for Plugins {
    fn is_empty(&self) -> bool {
        self.runtime.current.instances.is_empty()
            && self.runtime.requests.len() == 0
            && self.runtime.kept.is_empty()
            && self.runtime.missing.is_empty()
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, caller: Caller<'_>) -> Flow {
        self.runtime.call(point, exchange, caller)
    }

    fn handle_reset(&mut self, exchange: &mut Exchange, why: Why, caller: Caller<'_>) {
        self.runtime.reset(exchange, why, caller);
    }

    fn handle_close(&mut self, id: Id, why: Why) {
        self.runtime.descents.remove(&id);
        self.runtime.close(id::of_connection(id), why);
    }
}

impl Extension for Plugins {
    fn attach(&mut self, poll: &Poll, keys: Keys) -> io::Result<()> {
        use std::os::fd::AsFd;
        poll.add_readable(self.runtime.outside.waker().as_fd(), keys.outside)?;
        if let Some(list) = self.reload.descriptor() {
            poll.add_readable(list, keys.list)?;
        }
        self.runtime.attach(poll.registrar(), keys);
        Ok(())
    }

    fn handle_ready(&mut self, readiness: Readiness) {
        let keys = self.runtime.keys;
        match readiness.key {
            key if key == keys.outside => self.runtime.handle_outside(),
            // The runtime's own time stands still while it has nothing to do.
            key if key == keys.list => self.reload.handle_heard(clock::monotonic_ms()),
            _ => self.runtime.handle_ready(readiness),
        }
    }

    fn due(&self) -> Option<u64> {
        let is_asked = |bench: &Rc<Bench>| bench.wants_reload();
        if self.runtime.has_work() || self.runtime.bench.as_ref().is_some_and(is_asked) {
            return Some(0);
        }
        let due = self.reload.due(&self.runtime);
        let due = self.runtime.due().map_or(due, |other| other.min(due));
        let overdue = self.reload.overdue_at().unwrap_or(u64::MAX);
        Some(due.min(overdue))
    }

    fn advance(&mut self, now: u64) {
        self.runtime.advance(now);
        if self
            .runtime
            .bench
            .as_ref()
            .is_some_and(|bench| bench.take_reload())
        {
            self.reload.force(now);
        }
        self.reload.advance(now, &mut self.runtime);
        self.runtime.end_leaving();
    }

    fn take_wakes(&mut self) -> Vec<Id> {
        self.runtime.take_wakes(RESUMPTIONS_MAX)
    }

    fn take_overdue(&mut self) -> Vec<Id> {
        self.reload.take_overdue(&self.runtime)
    }

    fn take_inner(&mut self) -> Vec<InnerRequest> {
        self.runtime.inner.drain(..).collect()
    }

    fn begin_inner(&mut self, inner: &InnerRequest, connection: Id) {
        self.runtime.begin_inner(inner, connection);
    }

    fn handle_inner(&mut self, id: u64, reply: InnerReply) {
        self.runtime.handle_inner(id, reply);
    }

    fn take_lines(&mut self) -> Vec<(Level, String)> {
        self.runtime.lines.take_rated()
    }

    fn hang_up(&mut self) -> bool {
        self.reload.force(clock::monotonic_ms());
        self.runtime.call_sighup();
        true
    }

    fn checker(&self) -> Option<Checker> {
        let mut question = self.reload.question(&self.runtime);
        question.is_rehearsal = true;
        Some(Box::new(move |values| {
            let faults = question.survey(values).faults;
            let is_good = faults.is_empty();
            is_good.then_some(()).ok_or_else(|| faults.join("\n"))
        }))
    }

    fn wants_figures(&self) -> bool {
        self.runtime.figures.is_wanted
    }

    fn set_figures(&mut self, lines: Vec<u8>) {
        self.runtime.figures.server = lines;
    }

    fn stop(&mut self) {
        self.reload.stop(&mut self.runtime);
        self.runtime.stop();
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(&self.runtime.current.instances)
            .finish()
    }
}
