//! The reload: watch → look → load → init → hand over → swap → drain → end.
//!
//! It is a state machine that the loop advances by one small step in each turn, so that no step
//! holds a request up for long. Until the swap nothing that runs has noticed anything; the swap is
//! one assignment between two requests. INVARIANT: a failure before the swap takes back all that
//! was made for it.

use super::attempt::Attempt;
use super::generation::Generation;
use super::instance::Instance;
pub(super) use super::look::Looked;
use super::look::{Plan, Question, Running, Source, Wanted};
use super::resource::{Resource, What};
use super::runtime::Runtime;
use super::watch::{Schedule, Task as Chore};
use crate::config::PluginSettings;
use crate::conn::Why;
use crate::supervisor::LeftOut;
use crate::sys::crash::Hook;
use crate::sys::small_file;
use crate::sys::watch::{DirectoryWatch, Heard};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::{Rc, Weak};

/// Everything about replacing generations.
pub(super) struct Reload {
    wanted: Wanted,
    settings: PluginSettings,
    left_out: Vec<LeftOut>,
    watch: Option<DirectoryWatch>,
    schedule: Schedule,
    stage: Stage,
    /// It was said that the next look waits for draining generations.
    is_waiting: bool,
    /// Old generations that something still refers to, and when they were replaced.
    draining: Vec<(Weak<Generation>, u64)>,
}

/// How far a reload has come.
enum Stage {
    Idle,
    Looking,
    /// Making the instances, one in each turn.
    Loading(Attempt),
}

/// How many generations may be draining before the next reload waits.
const DRAINING_MAX: usize = 4;

/// When requests that still hold an old generation are named again, milliseconds.
const OVERDUE_AGAIN_MS: u64 = 1000;

/// When a look that fell into a change is repeated, milliseconds.
const RETRY_MS: u64 = 100;

impl Reload {
    pub(super) fn new(
        wanted: Wanted,
        settings: PluginSettings,
        left_out: Vec<LeftOut>,
        now: u64,
    ) -> Self {
        // Before the first look, so that nothing between the two is missed.
        let watch = match &wanted {
            Wanted::List(list) => DirectoryWatch::new(list).ok(),
            Wanted::File { .. } => None,
        };
        let is_watching = match &watch {
            Some(watch) => watch.is_watching(),
            // Nothing is to be watched anew.
            None => matches!(wanted, Wanted::File { .. }),
        };
        let mut schedule = Schedule::new(now, is_watching);
        if let Wanted::List(list) = &wanted {
            schedule.handle_identity(now, small_file::identify(list).unwrap_or_default());
        }
        Self {
            wanted,
            settings,
            left_out,
            watch,
            schedule,
            stage: Stage::Idle,
            is_waiting: false,
            draining: Vec::new(),
        }
    }

    /// What becomes readable when the list may have changed.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// The list's directory has something to say.
    pub(super) fn handle_heard(&mut self, now: u64) {
        match self.watch.as_mut().map(DirectoryWatch::drain) {
            Some(Heard::Change) => self.schedule.handle_event(now),
            Some(Heard::Gone) => self.schedule.handle_gone(now),
            Some(Heard::Nothing) | None => {}
        }
    }

    /// A look is wanted at once.
    pub(super) fn force(&mut self, now: u64) {
        self.schedule.force(now);
    }

    /// When [`Self::advance`] is to be called; 0 is at once.
    pub(super) fn due(&self, runtime: &Runtime) -> u64 {
        match self.stage {
            Stage::Idle => self.schedule.due(),
            // The helper thread wakes the loop.
            Stage::Looking if runtime.looked.is_none() => u64::MAX,
            Stage::Looking => 0,
            Stage::Loading(_) => 0,
        }
    }

    /// Does everything at once, at the start of the server.
    ///
    /// # Errors
    /// The list or a plugin in it cannot be used.
    pub(super) fn start(&mut self, runtime: &mut Runtime) -> Result<(), String> {
        let mut question = self.question(runtime);
        question.settings.try_load &= !self.settings.is_restarted;
        let looked = question.look();
        runtime.lines.warn_all(looked.warnings);
        let plan = looked.result.map_err(|rejection| rejection.why)?;
        let mut attempt = Attempt::new(plan, runtime.current.number + 1);
        loop {
            match attempt.load_next(runtime) {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    attempt.take_back(runtime);
                    return Err(why);
                }
            }
        }
        match attempt.set_defaults(runtime) {
            Ok(()) => self.swap(attempt, runtime),
            Err(why) => {
                attempt.take_back(runtime);
                Err(why)
            }
        }
    }

    /// One step.
    pub(super) fn advance(&mut self, now: u64, runtime: &mut Runtime) {
        self.draining
            .retain(|(generation, _)| generation.strong_count() > 0);
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => self.do_chores(now, runtime),
            Stage::Looking => match runtime.looked.take() {
                Some(looked) => self.handle_looked(looked, now, runtime),
                None => self.stage = Stage::Looking,
            },
            Stage::Loading(mut attempt) => match attempt.load_next(runtime) {
                Ok(true) => self.stage = Stage::Loading(attempt),
                Ok(false) => {
                    let result = attempt.set_defaults(runtime);
                    let result = match result {
                        Ok(()) => self.swap(attempt, runtime),
                        Err(why) => {
                            attempt.take_back(runtime);
                            Err(why)
                        }
                    };
                    if let Err(why) = result {
                        reject(&why, runtime);
                    }
                }
                Err(why) => {
                    attempt.take_back(runtime);
                    reject(&why, runtime);
                }
            },
        }
    }

    /// The server ends: what is being made is taken back.
    pub(super) fn stop(&mut self, runtime: &mut Runtime) {
        if let Stage::Loading(attempt) = std::mem::replace(&mut self.stage, Stage::Idle) {
            attempt.take_back(runtime);
        }
    }

    fn do_chores(&mut self, now: u64, runtime: &mut Runtime) {
        while let Some(chore) = self.schedule.take_due(now) {
            match chore {
                Chore::Look => {
                    if self.draining.len() >= DRAINING_MAX {
                        if !std::mem::replace(&mut self.is_waiting, true) {
                            runtime.lines.warn(format!(
                                "reload waits: {DRAINING_MAX} generations of plugins are draining"
                            ));
                        }
                        self.schedule.handle_event(now + RETRY_MS);
                        return;
                    }
                    self.is_waiting = false;
                    if let Wanted::List(list) = &self.wanted {
                        let identity = small_file::identify(list).unwrap_or_default();
                        self.schedule.remember_identity(identity);
                    }
                    let question = self.question(runtime);
                    match runtime.jobs.look(Box::new(move || question.look())) {
                        Ok(()) => self.stage = Stage::Looking,
                        Err(error) => runtime
                            .lines
                            .complain(format!("cannot look at the plugins: {error}")),
                    }
                    return;
                }
                Chore::Identify => {
                    let Wanted::List(list) = &self.wanted else {
                        continue;
                    };
                    // One stat of a path that is looked at every few seconds, so in memory.
                    let identity = small_file::identify(list).unwrap_or_default();
                    if self.schedule.handle_identity(now, identity) {
                        self.watch_anew(now);
                    }
                }
                Chore::Rewatch => self.watch_anew(now),
            }
        }
    }

    fn watch_anew(&mut self, now: u64) {
        if let Some(watch) = &mut self.watch
            && watch.rewatch().is_ok()
        {
            self.schedule.handle_rewatched(now);
        }
    }

    /// What a look is asked now.
    pub(super) fn question(&self, runtime: &Runtime) -> Question {
        let running = runtime.current.instances.iter();
        let running = running.map(|instance| Running {
            name: instance.name.to_string(),
            origin: instance.library().origin(),
            values: instance.values.clone(),
        });
        Question {
            wanted: self.wanted.clone(),
            settings: self.settings.clone(),
            running: running.collect(),
            left_out: self.left_out.clone(),
            number: runtime.current.number + 1,
            is_rehearsal: false,
        }
    }

    fn handle_looked(&mut self, looked: Looked, now: u64, runtime: &mut Runtime) {
        match looked.result {
            Ok(plan) if is_as_before(&plan, &runtime.current) => {
                // What was wrong has been mended, or was struck off the list.
                runtime.left_out = plan.left_out;
                if runtime.figures.rejection.take().is_some() {
                    let number = runtime.current.number;
                    let line =
                        format!("plugins: the list is good again; keeping generation {number}");
                    runtime.lines.say(line);
                }
            }
            Ok(plan) => {
                runtime.lines.warn_all(looked.warnings);
                self.stage = Stage::Loading(Attempt::new(plan, runtime.current.number + 1));
            }
            Err(rejection) if rejection.is_passing => self.schedule.handle_event(now),
            Err(rejection) => {
                runtime.lines.warn_all(looked.warnings);
                reject(&rejection.why, runtime);
            }
        }
    }

    /// Hands states over and makes the new generation the current one.
    fn swap(&mut self, attempt: Attempt, runtime: &mut Runtime) -> Result<(), String> {
        let old = std::rc::Rc::clone(&runtime.current);
        if let Err(why) = attempt.hand_over(&old, runtime) {
            attempt.take_back(runtime);
            return Err(why);
        }
        let Attempt {
            plan,
            number,
            instances,
            made,
            began,
        } = attempt;
        let new = Rc::new(Generation::new(number, instances));
        runtime.current = Rc::clone(&new);
        runtime.left_out = plan.left_out;
        for instance in &made {
            runtime.go_live(instance);
        }
        let gone: Vec<_> = old.instances.iter().filter(|own| !new.has(own)).collect();
        for instance in &gone {
            instance.is_live.set(false);
            runtime.silence(instance);
            runtime.leaving.push(Rc::clone(instance));
            runtime.timed(instance, Hook::Retire, |call| {
                instance.guest.end(Hook::Retire, call);
            });
            runtime.leave_connections(instance);
        }
        let replaced = gone.iter().filter(|own| new.find(&own.name).is_some());
        let replaced = replaced.count();
        let is_told = runtime
            .bench
            .as_ref()
            .is_none_or(|bench| bench.is_tracing());
        if is_told {
            runtime.lines.say(format!(
                "plugins: generation {number} with {} ({} added, {replaced} replaced, {} kept, {} \
             removed) in {} ms",
                new.instances.len(),
                made.len() - replaced,
                new.instances.len() - made.len(),
                gone.len() - replaced,
                began.elapsed().as_millis()
            ));
        }
        if let Some(bench) = &runtime.bench {
            bench.handle_swap(number);
        }
        runtime.figures.reloads += 1;
        self.see_missing(runtime);
        runtime.figures.rejection = None;
        drop(gone);
        runtime.refresh_wanted();
        runtime.refresh_trigger();
        self.draining.push((Rc::downgrade(&old), runtime.now));
        Ok(())
    }

    /// Sees which of the plugins do not run that must.
    pub(super) fn see_missing(&self, runtime: &mut Runtime) {
        let required = self.settings.required.iter();
        let missing = required.filter(|name| runtime.current.find(name).is_none());
        runtime.missing = missing.cloned().collect();
        if !runtime.missing.is_empty() {
            runtime.lines.say(format!(
                "every request is answered with 503 until these required plugins run: {}",
                runtime.missing.join(", ")
            ));
        }
    }

    /// Connections whose requests have held an old generation for too long. Whoever has not let go
    /// of it a little later is named again.
    pub(super) fn take_overdue(&mut self, runtime: &Runtime) -> Vec<crate::conn::Id> {
        let (now, timeout) = (runtime.now, self.drain_ms());
        let mut late = Vec::new();
        for (generation, since) in &mut self.draining {
            if now >= since.saturating_add(timeout) {
                *since = (now + OVERDUE_AGAIN_MS).saturating_sub(timeout);
                late.extend(generation.upgrade());
            }
        }
        if late.is_empty() {
            return Vec::new();
        }
        let is_late = |old: &Rc<Generation>| late.iter().any(|late| Rc::ptr_eq(old, late));
        let requests = runtime.requests.iter();
        requests
            .filter(|record| is_late(&record.generation))
            .map(|record| record.connection)
            .collect()
    }

    fn drain_ms(&self) -> u64 {
        u64::try_from(self.settings.drain_timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// When the next generation becomes overdue.
    pub(super) fn overdue_at(&self) -> Option<u64> {
        let timeout = self.drain_ms();
        let ends = self.draining.iter();
        ends.map(|(_, since)| since.saturating_add(timeout)).min()
    }
}

/// Whether a plan is what runs already.
fn is_as_before(plan: &Plan, current: &Generation) -> bool {
    plan.steps.len() == current.instances.len()
        && plan
            .steps
            .iter()
            .zip(&current.instances)
            .all(|(step, own)| matches!(step.source, Source::Running) && *step.name == *own.name)
}

fn reject(why: &str, runtime: &mut Runtime) {
    let number = runtime.current.number;
    runtime.lines.complain(format!(
        "reload rejected: {why}; keeping generation {number}"
    ));
    if let Some(bench) = &runtime.bench {
        bench.handle_rejection(why);
    }
    runtime.figures.rejections += 1;
    runtime.figures.rejection = Some(why.to_owned());
    runtime.refresh_wanted();
}

impl Runtime {
    /// An instance belongs to the current generation now: its timers and watches start.
    fn go_live(&mut self, instance: &Rc<Instance>) {
        instance.is_live.set(true);
        // Its children run already.
        let own = |resource: &&Resource| {
            Rc::ptr_eq(&resource.instance, instance)
                && matches!(
                    resource.what,
                    What::Timer { timer: None, .. } | What::Watch { is_live: false, .. }
                )
        };
        let ids: Vec<u64> = self.resources.iter().filter(own).map(|r| r.id).collect();
        for id in ids {
            self.start_timer(id);
            if let Err(error) = self.start_watch(id) {
                self.lines.complain(format!(
                    "plugin {}: cannot watch a descriptor: {error}",
                    instance.name
                ));
            }
        }
    }

    /// Idle connections for which an old instance keeps something let go of it at once.
    fn leave_connections(&mut self, instance: &Rc<Instance>) {
        let busy: Vec<u64> = self
            .requests
            .iter()
            .map(|record| super::id::of_connection(record.connection))
            .collect();
        let idle = |kept: &Vec<super::request::Kept>| {
            kept.iter().any(|kept| Rc::ptr_eq(&kept.instance, instance))
        };
        let connections: Vec<u64> = self
            .kept
            .iter()
            .filter(|(connection, kept)| idle(kept) && !busy.contains(connection))
            .map(|(&connection, _)| connection)
            .collect();
        for connection in connections {
            self.leave_connection(connection);
        }
    }

    /// What instances of old generations keep for a connection is let go.
    pub(super) fn leave_connection(&mut self, connection: u64) {
        let current = Rc::clone(&self.current);
        let mut leaving = self.keepers(connection);
        leaving.retain(|own| !current.has(own));
        for instance in &leaving {
            self.close_for(instance, connection, Why::Drain);
        }
        for kept in self.take_kept(connection, |own| !current.has(own)) {
            let release = (kept.instance, kept.datum.into_release());
            self.releases.borrow_mut().push_back(release);
        }
    }
}
