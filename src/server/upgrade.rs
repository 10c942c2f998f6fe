//! Giving way to a new program without losing a connection.
//!
//! The new program is started beside this one, with the listeners, which both processes share: what
//! waits in their queues is taken by whoever accepts first. Only when the new one says that it
//! serves does this one stop accepting, and then it finishes what it has begun. INVARIANT: until
//! then this server does nothing differently, so a program that does not start changes nothing.

use super::reload::Verdict;
use super::signals::Phase;
use super::{Server, key, special};
use crate::config::{Level, Order};
use crate::sandbox;
use crate::supervisor::NO_UPGRADE;
use crate::sys::heir::{Answer, Estate, Heir, Heritage, Program};
use crate::sys::notify::Notifier;
use crate::sys::privileges;
use crate::sys::socket::{Address, Listener};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use swiftd_timer::Timer;

/// How long a new program may take until it serves, milliseconds: plugins may be slow to begin.
const PATIENCE_MS: u64 = 30_000;

/// What is needed to give way, and the program that is being started.
#[derive(Debug, Default)]
pub(super) struct Upgrading {
    program: Option<Program>,
    heir: Option<(Heir, Timer)>,
}

impl Server {
    /// Says how this program was started, so that a newer one can be started like that.
    pub fn set_program(&mut self, program: Program) {
        self.upgrading.program = Some(program);
    }

    /// Has a new program take over.
    pub(super) fn upgrade(&mut self) {
        self.begin_order(Order::Upgrade);
        // Who asks again hears with the first one what comes of it.
        if self.upgrading.heir.is_some() {
            return;
        }
        if let Err(why) = self.start_heir() {
            self.conclude_upgrade(Err(why));
        }
    }

    fn start_heir(&mut self) -> Result<(), String> {
        let Some(program) = &self.upgrading.program else {
            return Err("how this program was started is not known".into());
        };
        let current = self.reloading.current();
        if matches!(self.phase, Phase::Ends { .. }) {
            return Err("the server is ending".into());
        }
        if current.plugins.is_supervised {
            return Err(NO_UPGRADE.into());
        }
        if let Some(jail) = &current.service.chroot {
            let jail = jail.display();
            return Err(format!(
                "no other program can be seen inside of {jail}; restart instead"
            ));
        }
        let estate = Estate {
            pid_file: self.service.pid_file.as_ref().map(AsFd::as_fd),
            is_dropped: privileges::is_dropped(),
            listeners: self
                .doors
                .iter()
                .map(|door| (door.listener.as_fd(), word(door)))
                .collect(),
            variables: self.service.notifier.variables().to_vec(),
        };
        let path = program.path.display();
        let heir = Heir::start(program, estate).map_err(|error| {
            let mend = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; the user that the server runs as, or its sandbox, may not execute it: restart instead"
                }
                io::ErrorKind::NotFound => "; put the new program there, or its loader is missing",
                _ => "",
            };
            format!("cannot start {path}: {error}{mend}")
        })?;
        let watched = self.poll.add_readable(heir.as_fd(), key::SUCCESSOR);
        let timer = self
            .timers
            .insert(self.core.now + PATIENCE_MS, special::SUCCESSOR);
        self.upgrading.heir = Some((heir, timer));
        watched.map_err(|error| {
            self.disinherit();
            format!("cannot watch the new program: {error}")
        })
    }

    /// The new program has said something, or ended.
    pub(super) fn handle_heir(&mut self) {
        let Some((heir, _)) = &mut self.upgrading.heir else {
            return;
        };
        match heir.listen() {
            Answer::None => {}
            Answer::Failed(why) => {
                self.disinherit();
                let hint = confined(&why).unwrap_or_default();
                self.conclude_upgrade(Err(format!("the new program: {why}{hint}")));
            }
            Answer::Ready(pid) => {
                if let Some((_, timer)) = self.upgrading.heir.take() {
                    self.timers.cancel(timer);
                }
                self.give_way(pid);
            }
        }
    }

    /// The new program has taken too long.
    pub(super) fn handle_heir_late(&mut self) {
        if self.upgrading.heir.is_some() {
            self.disinherit();
            let seconds = PATIENCE_MS / 1_000;
            self.conclude_upgrade(Err(format!(
                "the new program was not ready within {seconds} s and has been killed"
            )));
        }
    }

    /// The end of this server is that of a new program that is not ready, or it would serve when
    /// everybody has been told that nobody does.
    pub(super) fn abandon_heir(&mut self) {
        if self.upgrading.heir.is_some() {
            self.disinherit();
            self.conclude_upgrade(Err("the server is ending".into()));
        }
    }

    /// Ends the new program, and takes back what it may have changed.
    fn disinherit(&mut self) {
        if let Some((mut heir, timer)) = self.upgrading.heir.take() {
            self.timers.cancel(timer);
            heir.end();
        }
        if let Some(file) = &self.service.pid_file
            && let Err(error) = file.write(std::process::id())
        {
            self.log
                .error(format_args!("cannot write the pid file anew: {error}"));
        }
    }

    /// Leaves everything to the new program.
    fn give_way(&mut self, pid: u32) {
        self.service.notifier.main_pid(pid);
        // The end of this process is not the end of the service, and the new one tells the rest.
        self.service.notifier = Notifier::default();
        if let Some(file) = &mut self.service.pid_file {
            file.leave();
        }
        for door in &mut self.doors {
            door.listener.leave_path();
        }
        let count = self.slots.len();
        self.conclude_upgrade(Ok(format!(
            "process {pid} serves now; {count} connections are left to process {}",
            std::process::id()
        )));
        self.fade();
    }

    fn conclude_upgrade(&mut self, verdict: Verdict) {
        match &verdict {
            Ok(line) => self
                .log
                .write(Level::Notice, format_args!("upgraded: {line}")),
            Err(why) => self
                .log
                .error(format_args!("not upgraded, this process serves on: {why}")),
        }
        self.conclude_order(Order::Upgrade, &verdict);
    }
}

/// What to add to what a new program could not do: it does not know that it began in a sandbox.
fn confined(why: &str) -> Option<&'static str> {
    let is_confined = matches!(sandbox::state()?.landlock, sandbox::Part::InForce(_));
    let is_denied = why.contains("Permission denied") && !why.contains("sandbox");
    (is_confined && is_denied).then_some(
        "; it has no more rights than the sandbox of this process: for a new directory restart swiftd",
    )
}

/// What a door is called in the list of what is inherited: as it was asked for, since the port that
/// port 0 has become does not tell.
fn word(door: &super::doors::Door) -> String {
    let owner = if door.listener.is_inherited() {
        'm'
    } else {
        'o'
    };
    match &door.asked.address {
        Address::Tcp(address) => format!("{owner}{address}"),
        // Its path can be asked of the socket.
        Address::Unix(_) => owner.into(),
    }
}

/// A listener that was handed over.
#[derive(Debug)]
pub struct Heirloom {
    /// It.
    pub listener: Listener,
    /// Where a predecessor was asked to listen, if that is not what it is bound to.
    asked: Option<Address>,
}

impl Heirloom {
    /// One of a service manager.
    ///
    /// # Errors
    /// It is no listener; the error says what it should be.
    pub fn given(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::adopt(descriptor)?,
            asked: None,
        })
    }

    /// Those of a predecessor.
    pub fn all_of(heritage: &mut Heritage) -> Vec<Self> {
        let left = |(descriptor, word): (OwnedFd, String)| {
            let mut heirloom = Self::given(descriptor).ok()?;
            if !word.starts_with('m') {
                heirloom.listener.become_own();
            }
            let asked = word.get(1..)?.parse().ok();
            heirloom.asked = asked.map(Address::Tcp);
            Some(heirloom)
        };
        let listeners = std::mem::take(&mut heritage.listeners);
        listeners.into_iter().filter_map(left).collect()
    }

    /// Whether this is what is meant by an address.
    #[must_use]
    pub fn is_at(&self, address: &Address) -> bool {
        match &self.asked {
            Some(asked) => asked == address,
            None => self.listener.address() == address,
        }
    }
}

impl Server {
    /// From now on the paths of the listeners are this server's to remove.
    pub fn take_paths(&mut self) {
        for door in &mut self.doors {
            door.listener.take_path();
        }
    }
}
