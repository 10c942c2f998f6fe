//! The ids of things that outlive a call, one type each. They are plain numbers that are never
//! used again: a stale one gives [`Error::Gone`](crate::Error::Gone) and nothing worse.

use crate::abi;

mod sealed {
    pub trait Sealed {}
}

/// What [`Host::cancel`](crate::Host::cancel) can end.
///
/// ```
/// # use swiftd_plugin::*;
/// fn stop(host: &Host, timer: TimerId, child: ChildId) {
///     let _ = host.cancel(timer);
///     let _ = host.cancel(child); // kills its process group
/// }
/// ```
pub trait Cancel: sealed::Sealed + Copy {
    /// The number behind the id.
    fn number(self) -> abi::Id;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// It is `Copy`, may be kept and sent, and can be a key:
        ///
        /// ```
        #[doc = concat!("# use swiftd_plugin::", stringify!($name), ";")]
        #[doc = concat!("struct Known(std::collections::BTreeMap<", stringify!($name), ", String>);")]
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) abi::Id);

        impl $name {
            /// The number, for log lines.
            ///
            /// ```
            #[doc = concat!("# use swiftd_plugin::", stringify!($name), ";")]
            #[doc = concat!("fn line(id: ", stringify!($name), ") -> String { id.number().to_string() }")]
            /// ```
            #[must_use]
            pub fn number(self) -> u64 {
                self.0
            }
        }
    )*};
}

ids! {
    /// A request.
    RequestId
    /// A connection.
    ConnectionId
    /// A timer.
    TimerId
    /// A watched descriptor.
    WatchId
    /// A job.
    JobId
    /// A child process.
    ChildId
    /// An inner request.
    SubrequestId
}

macro_rules! cancellable {
    ($($name:ident)*) => {$(
        impl sealed::Sealed for $name {}
        impl Cancel for $name {
            fn number(self) -> abi::Id {
                self.0
            }
        }
    )*};
}

cancellable! { TimerId WatchId JobId ChildId SubrequestId }
