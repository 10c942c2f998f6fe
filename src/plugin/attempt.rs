//! An attempt to make the next generation: load, init, set_default, hand over; or take all of it back.

use super::generation::Generation;
use super::host::Call;
use super::instance::Instance;
use super::library;
use super::look::{Plan, Source};
use super::runtime::Runtime;
use crate::sys::abi::{self, GO_ON};
use crate::sys::crash::{self, Hook};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A reload between the look and the swap.
pub(super) struct Attempt {
    pub(super) plan: Plan,
    pub(super) number: u64,
    pub(super) instances: Vec<Rc<Instance>>,
    /// Of `instances`, which are new.
    pub(super) made: Vec<Rc<Instance>>,
    pub(super) began: Instant,
}

/// How much state may be handed over, bytes.
const STATE_BYTES_MAX: usize = 1024 * 1024;

impl Attempt {
    /// Nothing has been made yet.
    pub(super) fn new(plan: Plan, number: u64) -> Self {
        Self {
            plan,
            number,
            instances: Vec::new(),
            made: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Makes the next instance; false if there are no more.
    pub(super) fn load_next(&mut self, runtime: &mut Runtime) -> Result<bool, String> {
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
        let library = library::load(Arc::clone(prepared), &step.name);
        crash::leave();
        let library = library.map_err(|refusal| format!("{}: {refusal}", step.place))?;
        let instance = Rc::new(Instance::new(
            &step.name,
            library,
            slot,
            Arc::clone(&runtime.outside),
            step.values.clone(),
            self.number,
        ));
        self.made.push(Rc::clone(&instance));
        let code = runtime.timed(&instance, Hook::Init, |call| instance.guest.init(call));
        if code != GO_ON {
            // Its cleanup is not called: it has not begun.
            self.made.pop();
            runtime.strip(&instance);
            runtime.leaving.push(instance);
            return Err(format!("{}: init failed ({code})", step.place));
        }
        instance.is_begun.set(true);
        self.instances.push(instance);
        Ok(true)
    }

    pub(super) fn set_defaults(&self, runtime: &mut Runtime) -> Result<(), String> {
        for instance in &self.made {
            let code = runtime.timed(instance, Hook::SetDefault, |call| {
                instance.guest.call(Hook::SetDefault, call)
            });
            if code != GO_ON {
                let steps = &self.plan.steps;
                let step = steps.iter().find(|step| *step.name == *instance.name);
                let place = step.map_or(&*instance.name, |step| &step.place);
                return Err(format!("{place}: set_default failed ({code})"));
            }
            // Most often it is a slip.
            let asked = instance.asked.borrow();
            for key in instance.values.keys().filter(|key| !asked.contains(*key)) {
                runtime.lines.warn(format!(
                    "plugin {}: it has not asked for plugin.{}.{key}; is the key spelt right?",
                    instance.name, instance.name
                ));
            }
        }
        Ok(())
    }

    /// Old instances save, new ones of the same name restore.
    pub(super) fn hand_over(&self, old: &Generation, runtime: &mut Runtime) -> Result<(), String> {
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
            runtime.lines.warn(format!(
                "plugin {}: {why}; it starts with a fresh state",
                instance.name
            ));
        }
        Ok(())
    }

    /// Undoes what was done, the last thing first.
    pub(super) fn take_back(self, runtime: &mut Runtime) {
        drop(self.instances);
        for instance in self.made.into_iter().rev() {
            runtime.strip(&instance);
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
            // It is named there until it is unmapped.
            let is_closing = || self.closing.iter().any(|closing| closing.slot() == slot);
            all.into_iter().any(|own| own.guest.slot() == slot) || is_closing()
        };
        (0..crash::ENTRIES_MAX as u16)
            .find(|&slot| !is_used(slot))
            .ok_or_else(|| "too many plugins are loaded or draining".into())
    }
}
