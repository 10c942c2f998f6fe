//! The supervisor: a parent that holds the listeners and keeps a worker running.
//!
//! It is the process that was started. It forks before there are threads and plugins, so what it
//! holds is small and nothing of a plugin can break it. When the worker dies, the shared page tells
//! whose fault it was ([`crash`]), and the next worker is forked with the same listeners: clients
//! that connect meanwhile wait in the backlog. INVARIANT: there is at most one worker, and this
//! process has one thread.

mod policy;

use crate::sys::clock;
use crate::sys::crash::{self, Culprit, FileIdentity};
use crate::sys::notify::{Hearing, Notifier};
use crate::sys::signal::{Signal, Signals};
use crate::sys::socket::Listener;
use crate::sys::supervise::{Child, End, Side, Watch, fork};
use policy::{Cause, Decision, HangWatch, PLUGIN_DEATHS_MAX, Policy, WINDOW};
use std::fmt;
use std::io;
use std::time::Duration;

/// A plugin that a worker does without, because it has ended too many workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Its file. Another file of the same name may be loaded again.
    pub identity: FileIdentity,
}

/// What a supervisor is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a plugin may keep the loop from turning before the worker is killed; `None` for
    /// ever.
    pub plugin_hang: Option<Duration>,
    /// How long the worker may take to stop in good order.
    pub drain_timeout: Duration,
    /// How often the worker is to give a sign of life, for whoever supervises the supervisor.
    pub sign_of_life: Option<Duration>,
}

/// Whom the supervisor speaks to.
pub trait Outside {
    /// Passes on what a worker tells with its notifier.
    fn hear(&mut self, told: &[u8]);
    /// Writes a line to the log. Nobody who does not read it may hold the supervisor.
    fn log(&mut self, line: fmt::Arguments<'_>);
    /// The operator wants the logs opened anew.
    fn reopen(&mut self);
}

/// Which process this is, and what it has to do.
#[derive(Debug)]
pub enum Role {
    /// A worker: serve, and leave this process with the outcome.
    Worker(Worker),
    /// The supervisor, when all is over: the exit code.
    Over(u8),
}

/// What a worker begins with.
#[derive(Debug)]
pub struct Worker {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// What the operator says.
    pub signals: Signals,
    /// Tells that it serves, and what else is to be told.
    pub notifier: Notifier,
    /// What is not to be loaded.
    pub left_out: Vec<LeftOut>,
    /// No worker has served before, so it is for this one to say what is served where.
    pub is_first: bool,
}

impl Worker {
    /// One that nobody supervises. To be called before the first thread is started.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn alone(listeners: Vec<Listener>, notifier: Notifier) -> io::Result<Self> {
        Ok(Self {
            listeners,
            notifier,
            signals: Signals::new()?,
            left_out: Vec::new(),
            is_first: true,
        })
    }
}

/// Supervises. Like fork(2) it returns in each worker, and in the parent when the last one has
/// ended. To be called before the first thread is started. `outside` is used in the parent only.
///
/// # Errors
/// There is too little of something to begin with.
pub fn run(
    listeners: Vec<Listener>,
    settings: Settings,
    outside: &mut dyn Outside,
) -> io::Result<Role> {
    crash::share()?;
    let supervisor = Supervisor {
        listeners,
        hearing: Hearing::new(settings.sign_of_life)?,
        settings,
        watch: Watch::new()?,
        policy: Policy::default(),
        has_served: false,
        is_stopping: false,
        is_terminating: false,
        start_at: 0,
    };
    supervisor.run(outside)
}

/// How long after its own deadline a worker is killed that was to stop.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// How long after a second signal: ending at once is a matter of milliseconds.
const STOP_AT_ONCE: Duration = Duration::from_secs(1);

/// Why a supervisor does not hand over to a new program: it is what has to stay while workers come
/// and go, and who started it waits for its end.
pub const NO_UPGRADE: &str = "the server runs under --supervise; restart it instead";

/// When a fork is tried again that failed.
const FORK_PAUSE_MS: u64 = 1_000;

struct Supervisor {
    /// Empty once a stop is asked for: then the worker has the last of them.
    listeners: Vec<Listener>,
    settings: Settings,
    watch: Watch,
    hearing: Hearing,
    policy: Policy,
    /// A worker has been ready.
    has_served: bool,
    is_stopping: bool,
    /// It is to end within the drain timeout, as SIGTERM wants it.
    is_terminating: bool,
    /// When the next worker is due, milliseconds.
    start_at: u64,
}

/// A worker that has not been waited for.
struct Running {
    child: Child,
    hang: Option<HangWatch>,
    is_hung: bool,
    /// When it is killed, milliseconds.
    kill_at: Option<u64>,
}

impl Supervisor {
    fn run(mut self, outside: &mut dyn Outside) -> io::Result<Role> {
        let mut running: Option<Running> = None;
        loop {
            let now = clock::monotonic_ms();
            if running.is_none() && now >= self.start_at {
                match self.start(now, outside)? {
                    Start::Child(signals) => return Ok(Role::Worker(self.into_worker(signals))),
                    Start::Parent(started) => running = Some(started),
                    Start::Later => {}
                }
            }
            let patience = self.patience(running.as_ref(), now);
            self.watch.wait(&self.hearing, patience)?;
            let now = clock::monotonic_ms();
            while let Some(told) = self.hearing.next() {
                outside.hear(&told);
            }
            while let Some(signal) = self.watch.next_signal() {
                self.handle_signal(signal, running.as_mut(), now, outside);
            }
            let Some(worker) = &mut running else {
                if self.is_stopping {
                    return Ok(Role::Over(0));
                }
                continue;
            };
            worker.check(now);
            if let Some(end) = worker.child.try_wait()? {
                if let Some(code) = self.handle_end(worker, end, now, outside) {
                    return Ok(Role::Over(code));
                }
                crash::reset();
                running = None;
            }
        }
    }

    fn start(&mut self, now: u64, outside: &mut dyn Outside) -> io::Result<Start> {
        match fork() {
            Ok(Side::Child(signals)) => Ok(Start::Child(signals)),
            Ok(Side::Parent(child)) => {
                let patience = self.settings.plugin_hang;
                Ok(Start::Parent(Running {
                    child,
                    hang: patience.map(|patience| HangWatch::new(patience, now)),
                    is_hung: false,
                    kill_at: None,
                }))
            }
            Err(error) if !self.has_served => Err(error),
            Err(error) => {
                self.start_at = now + FORK_PAUSE_MS;
                outside.log(format_args!("cannot start a worker: {error}"));
                Ok(Start::Later)
            }
        }
    }

    /// The child's part of what was the parent's memory.
    fn into_worker(mut self, signals: Signals) -> Worker {
        for listener in &mut self.listeners {
            listener.leave_path();
        }
        Worker {
            listeners: self.listeners,
            signals,
            notifier: self.hearing.into_notifier(),
            left_out: self.policy.left_out().to_vec(),
            is_first: !self.has_served,
        }
    }

    /// How long there is nothing to do; `None` until something happens.
    fn patience(&self, running: Option<&Running>, now: u64) -> Option<Duration> {
        let until = |at: u64| Duration::from_millis(at.saturating_sub(now));
        let Some(worker) = running else {
            return Some(until(self.start_at));
        };
        let period = worker.hang.as_ref().map(HangWatch::period);
        let kill = worker.kill_at.map(until);
        period.into_iter().chain(kill).min()
    }

    /// Passes a signal on. One that means the end lets go of the listeners first, so that the
    /// worker has the last of them and closing them is closing the door.
    fn handle_signal(
        &mut self,
        signal: Signal,
        running: Option<&mut Running>,
        now: u64,
        outside: &mut dyn Outside,
    ) {
        let patience = match signal {
            Signal::Terminate if self.is_terminating => Some(STOP_AT_ONCE),
            Signal::Terminate => Some(self.settings.drain_timeout + STOP_SLACK),
            Signal::Interrupt => Some(STOP_AT_ONCE),
            // The connections have deadlines, and that of a download may be far away.
            Signal::Quit => None,
            Signal::User2 => return outside.log(format_args!("not upgraded: {NO_UPGRADE}")),
            Signal::HangUp | Signal::User1 | Signal::WindowChange => {
                if signal == Signal::User1 {
                    outside.reopen();
                }
                if let Some(worker) = running {
                    worker.child.signal(signal);
                }
                return;
            }
        };
        self.is_terminating |= signal == Signal::Terminate;
        self.is_stopping = true;
        self.listeners.clear();
        let Some(worker) = running else {
            return;
        };
        worker.child.signal(signal);
        if let Some(patience) = patience {
            let at = now.saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
            worker.kill_at = Some(worker.kill_at.map_or(at, |before| before.min(at)));
        }
    }

    /// Decides what follows from a worker's end: the exit code, or `None` for another worker.
    fn handle_end(
        &mut self,
        worker: &Running,
        end: End,
        now: u64,
        outside: &mut dyn Outside,
    ) -> Option<u8> {
        let culprit = crash::culprit();
        // A plugin that calls exit(3) does not end the server.
        if end == End::Exited(0) && self.is_stopping {
            return Some(0);
        }
        self.has_served |= crash::is_ready();
        // It has said itself why it could not start.
        if !self.has_served && culprit.is_none() && matches!(end, End::Exited(_)) {
            return Some(1);
        }
        let obituary = Obituary {
            pid: worker.child.id(),
            end,
            is_hung: worker.is_hung,
            culprit: culprit.as_ref(),
        };
        if self.is_stopping {
            outside.log(format_args!("{obituary}"));
            return Some(1);
        }
        let decision = self.policy.on_death(culprit.as_ref(), now);
        outside.log(format_args!("{obituary}; {decision}"));
        self.start_at = now + decision.pause.as_millis() as u64;
        None
    }
}

/// What became of an attempt to start a worker.
enum Start {
    Child(Signals),
    Parent(Running),
    Later,
}

impl Running {
    /// Kills the worker if it hangs or does not stop.
    fn check(&mut self, now: u64) {
        let hang = self.hang.as_mut();
        if !self.is_hung && hang.is_some_and(|hang| hang.is_hung(crash::pulse(), now)) {
            self.is_hung = true;
            self.child.kill();
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.child.kill();
        }
    }
}

/// What the log says of a dead worker.
struct Obituary<'a> {
    pid: u32,
    end: End,
    is_hung: bool,
    culprit: Option<&'a Culprit>,
}

impl fmt::Display for Obituary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} ", self.pid)?;
        if self.is_hung {
            write!(f, "hung and was ")?;
        }
        write!(f, "{}", self.end)?;
        match self.culprit {
            None => write!(f, " outside any plugin"),
            Some(Culprit {
                slot, name, hook, ..
            }) if name.is_empty() => write!(f, " in plugin #{slot} hook {hook}"),
            Some(Culprit { name, hook, .. }) => write!(f, " in plugin {name} hook {hook}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, window) = (self.count, WINDOW.as_secs());
        match self.cause {
            Cause::Plugin => write!(
                f,
                "restarting ({count} of {PLUGIN_DEATHS_MAX} within {window} s)"
            ),
            Cause::LeftOut => write!(
                f,
                "restarting without it until its file changes ({count} of {PLUGIN_DEATHS_MAX} within {window} s)"
            ),
            Cause::Other if self.pause.is_zero() => write!(f, "restarting"),
            Cause::Other => write!(
                f,
                "restarting in {} s ({count} times within {window} s)",
                self.pause.as_secs()
            ),
        }
    }
}
