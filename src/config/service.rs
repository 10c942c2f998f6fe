//! What the operator sets about the process: whose it is, where it is locked in, how it is found.

use super::need::Need;
use std::path::PathBuf;

/// Whether something is used that not every kernel has.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Off,
    /// As far as the kernel can.
    #[default]
    BestEffort,
    /// Or the server does not start.
    Required,
}

/// What the process locks itself into once it needs no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Only the directories that the configuration names (landlock(7)).
    pub landlock: Mode,
    /// Only the system calls that a server makes (seccomp(2)).
    pub seccomp: Mode,
    /// What is kept beside what the configuration and the plugins need.
    pub allow: Vec<Need>,
    /// Whether the program of the server may be started, for it to be replaced while it runs.
    pub is_upgradable: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            landlock: Mode::default(),
            seccomp: Mode::default(),
            allow: Vec::new(),
            is_upgradable: true,
        }
    }
}

/// What a running server can be told from the command line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration anew.
    Reload,
    /// Open the log files anew.
    Reopen,
    /// Stop at once.
    Stop,
    /// Stop in good order.
    Quit,
    /// Let a new program take over.
    Upgrade,
    /// Print the logs that are kept in memory.
    Log,
}

impl Order {
    /// What `-s` calls them.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("reload", Self::Reload),
        ("reopen", Self::Reopen),
        ("stop", Self::Stop),
        ("quit", Self::Quit),
        ("upgrade", Self::Upgrade),
        ("log", Self::Log),
    ];

    /// The order of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut orders = Self::NAMES.into_iter();
        orders.find_map(|(own, order)| (own == name).then_some(order))
    }

    /// What `-s` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut orders = Self::NAMES.into_iter();
        let found = orders.find_map(|(name, order)| (order == self).then_some(name));
        found.expect("every order has a name")
    }
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Whom it becomes if root has started it.
    pub user: Option<String>,
    /// Which group; else that of the user.
    pub group: Option<String>,
    /// What becomes its root directory.
    pub chroot: Option<PathBuf>,
    /// Where its number is kept, and locked.
    pub pid_file: Option<PathBuf>,
    /// Whether it goes into the background.
    pub is_daemon: bool,
    /// Whether it says nothing when all is well.
    pub is_quiet: bool,
    /// What it locks itself into.
    pub sandbox: Sandbox,
}
