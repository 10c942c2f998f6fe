//! Keys of the poll that are no connections; theirs begin at [`SLOTS`].

use crate::control::CLIENTS_MAX;

pub(super) const DISK: usize = 0;
pub(super) const SIGNALS: usize = 1;
/// Other threads of plugins.
pub(super) const OUTSIDE: usize = 2;
/// The list of plugins.
pub(super) const PLUGINS: usize = 3;
/// Where orders are taken.
pub(super) const DESK: usize = 4;
/// Those who give them.
pub(super) const CLIENTS: usize = 5;
/// What a new program that is being started says.
pub(super) const SUCCESSOR: usize = CLIENTS + CLIENTS_MAX;
pub(super) const DOORS: usize = SUCCESSOR + 1;
/// There are at most as many listeners as fit between.
pub(super) const SLOTS: usize = 512;
/// What plugins watch. Slot numbers never get that far.
pub(super) const RESOURCES: usize = 1 << 30;
