//! The reload: watch → look → load → init → hand over → swap → drain → end.
//!
//! It is a state machine that the loop advances by one small step in each turn, so that no step
//! holds a request up for long. Until the swap nothing that runs has noticed anything; the swap is
//! one assignment between two requests. INVARIANT: a failure before the swap takes back all that
//! was made for it.

use super::generation::Generation;
use super::host::Call;
use super::instance::Instance;
use super::library;
pub(super) use super::look::Looked;
use super::look::{Plan, Question, Running, Source};
use super::runtime::Runtime;
use super::watch::{Schedule, Task as Chore};
use crate::config::PluginSettings;
use crate::conn::Why;
use crate::supervisor::LeftOut;
use crate::sys::abi::{self, GO_ON};
use crate::sys::crash::{self, Hook};
use crate::sys::small_file;
use crate::sys::watch::{DirectoryWatch, Heard};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Instant;

/// Everything about replacing generations.
pub(super) struct Reload {
    list: PathBuf,
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

/// A reload between the look and the swap.
struct Attempt {
    plan: Plan,
    number: u64,
    instances: Vec<Rc<Instance>>,
    /// Of `instances`, which are new.
    made: Vec<Rc<Instance>>,
    began: Instant,
}

/// How many generations may be draining before the next reload waits.
const DRAINING_MAX: usize = 4;

/// How much state may be handed over, bytes.
const STATE_BYTES_MAX: usize = 1024 * 1024;

/// When a look that fell into a change is repeated, milliseconds.
const RETRY_MS: u64 = 100;

impl Reload {
    pub(super) fn new(
        list: PathBuf,
        settings: PluginSettings,
        left_out: Vec<LeftOut>,
        now: u64,
    ) -> Self {
        // Before the first look, so that nothing between the two is missed.
        let watch = DirectoryWatch::new(&list).ok();
        let is_watching = watch.as_ref().is_some_and(DirectoryWatch::is_watching);
        let mut schedule = Schedule::new(now, is_watching);
        schedule.handle_identity(now, small_file::identify(&list).unwrap_or_default());
        Self {
            list,
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
        runtime.lines.say_all(looked.warnings);
        let plan = looked.result.map_err(|rejection| rejection.why)?;
        let mut attempt = self.attempt(plan, runtime);
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

    fn do_chores(&mut self, now: u64, runtime: &mut Runtime) {
        while let Some(chore) = self.schedule.take_due(now) {
            match chore {
                Chore::Look => {
                    if self.draining.len() >= DRAINING_MAX {
                        if !std::mem::replace(&mut self.is_waiting, true) {
                            runtime.lines.say(format!(
                                "reload waits: {DRAINING_MAX} generations of plugins are draining"
                            ));
                        }
                        self.schedule.handle_event(now + RETRY_MS);
                        return;
                    }
                    self.is_waiting = false;
                    let question = self.question(runtime);
                    match runtime.jobs.look(Box::new(move || question.look())) {
                        Ok(()) => self.stage = Stage::Looking,
                        Err(error) => runtime
                            .lines
                            .say(format!("cannot look at the plugins: {error}")),
                    }
                    return;
                }
                Chore::Identify => {
                    // One stat of a path that is looked at every few seconds, so in memory.
                    let identity = small_file::identify(&self.list).unwrap_or_default();
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

    fn question(&self, runtime: &Runtime) -> Question {
        let running = runtime.current.instances.iter();
        let running = running.map(|instance| Running {
            name: instance.name.to_string(),
            prepared: instance.library().prepared().clone(),
            values: instance.values.clone(),
        });
        Question {
            list: self.list.clone(),
            settings: self.settings.clone(),
            running: running.collect(),
            left_out: self.left_out.clone(),
            number: runtime.current.number + 1,
        }
    }

    fn handle_looked(&mut self, looked: Looked, now: u64, runtime: &mut Runtime) {
        match looked.result {
            Ok(plan) if is_as_before(&plan, &runtime.current) => {}
            Ok(plan) => {
                runtime.lines.say_all(looked.warnings);
                self.stage = Stage::Loading(self.attempt(plan, runtime));
            }
            Err(rejection) if rejection.is_passing => self.schedule.handle_event(now),
            Err(rejection) => {
                runtime.lines.say_all(looked.warnings);
                reject(&rejection.why, runtime);
            }
        }
    }

    fn attempt(&self, plan: Plan, runtime: &Runtime) -> Attempt {
        Attempt {
            plan,
            number: runtime.current.number + 1,
            instances: Vec::new(),
            made: Vec::new(),
            began: Instant::now(),
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
            runtime.strip(instance, false);
            runtime.timed(instance, Hook::Retire, |call| {
                instance.guest.end(Hook::Retire, call);
            });
            runtime.leave_connections(instance);
            runtime.leaving.push(Rc::clone(instance));
        }
        let replaced = gone.iter().filter(|own| new.find(&own.name).is_some());
        let replaced = replaced.count();
        runtime.lines.say(format!(
            "plugins: generation {number} with {} ({} added, {replaced} replaced, {} kept, {} \
             removed) in {} ms",
            new.instances.len(),
            made.len() - replaced,
            new.instances.len() - made.len(),
            gone.len() - replaced,
            began.elapsed().as_millis()
        ));
        runtime.figures.reloads += 1;
        runtime.figures.rejection = None;
        drop(gone);
        runtime.refresh_trigger();
        self.draining.push((Rc::downgrade(&old), runtime.now));
        Ok(())
    }

    /// Connections whose requests have held an old generation for too long.
    pub(super) fn overdue(&self, now: u64, runtime: &Runtime) -> Vec<crate::conn::Id> {
        let timeout = self.settings.drain_timeout.as_millis();
        let timeout = u64::try_from(timeout).unwrap_or(u64::MAX);
        let is_overdue = |since: u64| now.saturating_sub(since) >= timeout;
        if !self.draining.iter().any(|&(_, since)| is_overdue(since)) {
            return Vec::new();
        }
        let late: Vec<_> = self
            .draining
            .iter()
            .filter(|&&(_, since)| is_overdue(since))
            .filter_map(|(generation, _)| generation.upgrade())
            .collect();
        runtime
            .requests
            .iter()
            .filter(|record| late.iter().any(|old| Rc::ptr_eq(old, &record.generation)))
            .map(|record| record.connection)
            .collect()
    }

    /// When the next generation becomes overdue.
    pub(super) fn overdue_at(&self) -> Option<u64> {
        let timeout = self.settings.drain_timeout.as_millis();
        let timeout = u64::try_from(timeout).unwrap_or(u64::MAX);
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
    runtime.lines.say(format!(
        "reload rejected: {why}; keeping generation {number}"
    ));
    runtime.figures.rejections += 1;
    runtime.figures.rejection = Some(why.to_owned());
}

impl Attempt {
    /// Makes the next instance; false if there are no more.
    fn load_next(&mut self, runtime: &mut Runtime) -> Result<bool, String> {
        let Some(step) = self.plan.steps.get(self.instances.len()) else {
            return Ok(false);
        };
        let prepared = match &step.source {
            Source::Running => {
                let kept = runtime.current.find(&step.name);
                let kept = kept.ok_or("a plugin that ran is gone")?;
                self.instances.push(Rc::clone(kept));
                return Ok(true);
            }
            Source::Copy(prepared) => prepared,
        };
        let slot = runtime.free_slot(&self.made)?;
        crash::set_entry(slot, &step.name, prepared.identity.to_words());
        crash::enter(slot, Hook::Load);
        let library = library::load(std::sync::Arc::clone(prepared), &step.name);
        crash::leave();
        let library = library.map_err(|refusal| format!("{}: {refusal}", step.name))?;
        let instance = Rc::new(Instance::new(
            &step.name,
            library,
            slot,
            std::sync::Arc::clone(&runtime.outside),
            step.values.clone(),
            self.number,
        ));
        self.made.push(Rc::clone(&instance));
        let code = runtime.timed(&instance, Hook::Init, |call| instance.guest.init(call));
        if code != GO_ON {
            // Its cleanup is not called: it has not begun.
            self.made.pop();
            runtime.strip(&instance, true);
            runtime.leaving.push(instance);
            return Err(format!("{}: init failed ({code})", step.name));
        }
        instance.is_begun.set(true);
        self.instances.push(instance);
        Ok(true)
    }

    fn set_defaults(&self, runtime: &mut Runtime) -> Result<(), String> {
        for instance in &self.made {
            let code = runtime.timed(instance, Hook::SetDefault, |call| {
                instance.guest.call(Hook::SetDefault, call)
            });
            if code != GO_ON {
                return Err(format!("{}: set_default failed ({code})", instance.name));
            }
        }
        Ok(())
    }

    /// Old instances save, new ones of the same name restore.
    fn hand_over(&self, old: &Generation, runtime: &mut Runtime) -> Result<(), String> {
        for instance in &self.made {
            let Some(before) = old.find(&instance.name) else {
                continue;
            };
            if instance.guest.plugin().restore.is_none() {
                continue;
            }
            let saved = runtime.timed(before, Hook::Save, |call| {
                before.guest.save(call, STATE_BYTES_MAX)
            });
            let outcome = match saved {
                None => continue,
                Some(Err(code)) => Err(format!("save failed ({code})")),
                Some(Ok(blob)) => {
                    let version = before.guest.plugin().state_version;
                    let code = runtime.timed(instance, Hook::Restore, |call: &mut Call<'_>| {
                        instance.guest.restore(call, version, &blob)
                    });
                    match code {
                        None | Some(GO_ON) => Ok(()),
                        Some(code) => Err(format!("restore failed ({code})")),
                    }
                }
            };
            let Err(why) = outcome else { continue };
            if instance.guest.plugin().flags & abi::flags::STATE_REQUIRED != 0 {
                return Err(format!("{}: {why}, and it needs its state", instance.name));
            }
            runtime.lines.say(format!(
                "plugin {}: {why}; it starts with a fresh state",
                instance.name
            ));
        }
        Ok(())
    }

    /// Undoes what was done, the last thing first.
    fn take_back(self, runtime: &mut Runtime) {
        drop(self.instances);
        for instance in self.made.into_iter().rev() {
            runtime.strip(&instance, true);
            runtime.leaving.push(instance);
        }
    }
}

impl Runtime {
    /// A place in the shared page that nobody has.
    fn free_slot(&self, made: &[Rc<Instance>]) -> Result<u16, String> {
        let is_used = |slot: u16| {
            let all = self
                .current
                .instances
                .iter()
                .chain(&self.leaving)
                .chain(made);
            all.into_iter().any(|own| own.guest.slot() == slot)
        };
        (0..crash::ENTRIES_MAX as u16)
            .find(|&slot| !is_used(slot))
            .ok_or_else(|| "too many plugins are loaded or draining".into())
    }

    /// An instance belongs to the current generation now: its timers and watches start.
    fn go_live(&mut self, instance: &Rc<Instance>) {
        instance.is_live.set(true);
        let own = |resource: &&super::resource::Resource| Rc::ptr_eq(&resource.instance, instance);
        let ids: Vec<u64> = self.resources.iter().filter(own).map(|r| r.id).collect();
        for id in ids {
            self.start_timer(id);
            if let Err(error) = self.start_watch(id) {
                self.lines.say(format!(
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
