//! Beginning and ending a plugin without a server: what `--check-plugin --init` does in its child.
//!
//! The runtime is the real one, so what `init` asks of the host it gets, and what it leaves behind
//! is taken back and told as in a server. Its timers and watches never run: it is not swapped in.

use super::Keys;
use super::bench::Bench;
use super::instance::{Instance, Values};
use super::library::{Closed, Library};
use super::runtime::Runtime;
use crate::sys::abi::GO_ON;
use crate::sys::crash::{self, Hook};
use crate::sys::poll::Poll;
use crate::sys::{clock, threads};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// There is one plugin, so one place in the page that tells who was at work.
const SLOT: u16 = 0;

const KEYS: Keys = Keys {
    outside: 0,
    list: 1,
    resources: 2,
};

/// How often children that were killed are asked for, since nothing tells that they have ended.
const TICK: Duration = Duration::from_millis(20);

/// Runs init, set_default and cleanup, and unmaps the library. What the plugin and the runtime have
/// to say goes to `say`.
///
/// # Errors
/// One of the hooks refuses, or something that a server has is not to be had.
pub(super) fn rehearse(
    library: Library,
    values: Values,
    say: &mut dyn FnMut(&str),
) -> Result<Closed, String> {
    threads::register_own();
    let system = |error| format!("cannot make what a server has: {error}");
    let mut runtime = Runtime::new().map_err(system)?;
    let poll = Poll::new().map_err(system)?;
    poll.add_readable(runtime.outside.waker().as_fd(), KEYS.outside)
        .map_err(system)?;
    runtime.attach(poll.registrar(), KEYS);
    let bench = Rc::new(Bench::default());
    runtime.bench = Some(Rc::clone(&bench));
    let name = library.name().to_owned();
    crash::set_entry(SLOT, &name, library.origin().to_words());
    let outside = Arc::clone(&runtime.outside);
    let instance = Rc::new(Instance::new(&name, library, SLOT, outside, values, 1));
    let begun = begin(&instance, &mut runtime);
    runtime.strip(&instance);
    runtime.leaving.push(instance);
    let closed = end(&mut runtime, poll, &bench).map_err(system);
    for line in runtime.lines.take() {
        say(&line);
    }
    begun?;
    closed
}

fn begin(instance: &Rc<Instance>, runtime: &mut Runtime) -> Result<(), String> {
    let code = runtime.timed(instance, Hook::Init, |call| instance.guest.init(call));
    if code != GO_ON {
        return Err(format!("init failed ({code})"));
    }
    instance.is_begun.set(true);
    let code = runtime.timed(instance, Hook::SetDefault, |call| {
        instance.guest.call(Hook::SetDefault, call)
    });
    if code != GO_ON {
        return Err(format!("set_default failed ({code})"));
    }
    Ok(())
}

/// Turns the loop until the instance has ended; the process has a time limit.
fn end(runtime: &mut Runtime, mut poll: Poll, bench: &Bench) -> io::Result<Closed> {
    loop {
        runtime.advance(clock::monotonic_ms());
        runtime.end_leaving();
        if bench.ended_count() > 0 {
            return Ok(match bench.stuck().pop() {
                Some(why) => Closed::Stuck(why),
                None if bench.resident_count() > 0 => Closed::Resident,
                None => Closed::Unmapped,
            });
        }
        let count = poll.wait(Some(TICK))?;
        for readiness in (0..count).filter_map(|index| poll.event(index)) {
            match readiness.key {
                key if key == KEYS.outside => runtime.handle_outside(),
                _ => runtime.handle_ready(readiness),
            }
        }
    }
}
