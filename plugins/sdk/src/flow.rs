//! The small values that cross the border: verdicts, errors, reasons, levels. Each is a Rust enum
//! here and an integer in [`abi`]; the conversions are in this file only.

use core::fmt;
use core::ops::BitOr;

use crate::abi;
use crate::{ChildId, JobId, SubrequestId, TimerId, WatchId};

/// What a hook answers. Which of them are allowed is a matter of the hook; see [`Plugin`](crate::Plugin).
///
/// ```
/// # use swiftd_plugin::*;
/// fn subrequest_start(req: &mut Request) -> Flow {
///     if req.path().starts_with(b"/api/") { Flow::Finished } else { Flow::GoOn }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Flow {
    /// Ask the next plugin.
    GoOn = abi::GO_ON,
    /// The response is complete; in `subrequest_start`: this plugin answers.
    Finished = abi::FINISHED,
    /// Start over with the changed path or target.
    Comeback = abi::COMEBACK,
    /// Call again when a timer, job, child, subrequest, waker or room in the queue wakes the request.
    WaitForEvent = abi::WAIT_FOR_EVENT,
    /// Call again when a watched descriptor is ready.
    WaitForFd = abi::WAIT_FOR_FD,
    /// 500, or the end of the connection if the response has begun.
    Error = abi::ERROR,
}

/// Why a host function did not do it.
///
/// ```
/// # use swiftd_plugin::*;
/// fn handle(req: &mut Request) -> Flow {
///     match req.write(b"more") {
///         Ok(_) => Flow::Finished,
///         Err(Error::Again) => Flow::WaitForEvent,
///         Err(_) => Flow::Error,
///     }
/// }
/// assert_eq!(Error::Limit.to_string(), "a bound is reached");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It failed.
    Failed,
    /// Not now.
    Again,
    /// What the id names has ended.
    Gone,
    /// An argument is not what it must be, or it is not allowed at this point.
    Invalid,
    /// A bound is reached.
    Limit,
    /// This server does not offer it.
    Absent,
}

/// The result of a host function.
///
/// ```
/// fn greet(req: &mut swiftd_plugin::Request) -> swiftd_plugin::Result<()> {
///     req.set_header("x-greeting", "hello")
/// }
/// ```
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    pub(crate) fn from_rc(rc: i64) -> Self {
        match abi::Rc::try_from(rc) {
            Ok(abi::AGAIN) => Self::Again,
            Ok(abi::GONE) => Self::Gone,
            Ok(abi::INVALID) => Self::Invalid,
            Ok(abi::LIMIT) => Self::Limit,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "it failed",
            Self::Again => "not now",
            Self::Gone => "it has ended",
            Self::Invalid => "not allowed",
            Self::Limit => "a bound is reached",
            Self::Absent => "the server does not offer it",
        })
    }
}

impl core::error::Error for Error {}

/// A function that returns only a verdict.
pub(crate) fn check(rc: abi::Rc) -> Result<()> {
    if rc == abi::GO_ON {
        Ok(())
    } else {
        Err(Error::from_rc(rc.into()))
    }
}

/// A function that returns a count or a negative verdict.
pub(crate) fn check_count(count: i64) -> Result<usize> {
    usize::try_from(count).map_err(|_| Error::from_rc(count))
}

/// A function that returns an id, 0 for failure: there is no more of it to have.
pub(crate) fn check_id(id: abi::Id) -> Result<abi::Id> {
    if id == 0 { Err(Error::Limit) } else { Ok(id) }
}

/// Why a request or a connection ended.
///
/// ```
/// # use swiftd_plugin::*;
/// fn connection_reset(req: &mut Request, why: Why) {
///     if why == Why::ClientGone { req.host().debug("nobody waits any more"); }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// In good order.
    Done,
    /// The client went away.
    ClientGone,
    /// A deadline passed.
    Deadline,
    /// Something failed, or a reason that this SDK does not know.
    Error,
    /// The plugin has been replaced and its time is over.
    Drain,
    /// The server stops.
    Stop,
}

impl Why {
    pub(crate) fn from_code(code: u32) -> Self {
        match code {
            abi::why::DONE => Self::Done,
            abi::why::CLIENT_GONE => Self::ClientGone,
            abi::why::DEADLINE => Self::Deadline,
            abi::why::DRAIN => Self::Drain,
            abi::why::STOP => Self::Stop,
            _ => Self::Error,
        }
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Done => abi::why::DONE,
            Self::ClientGone => abi::why::CLIENT_GONE,
            Self::Deadline => abi::why::DEADLINE,
            Self::Error => abi::why::ERROR,
            Self::Drain => abi::why::DRAIN,
            Self::Stop => abi::why::STOP,
        }
    }
}

/// What woke a request; see [`Request::woken_by`](crate::Request::woken_by).
///
/// ```
/// # use swiftd_plugin::*;
/// fn is_late(req: &mut Request) -> bool {
///     req.woken_by().any(|cause| matches!(cause, Cause::Timer(_)))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A timer.
    Timer(TimerId),
    /// A watched descriptor.
    Watch(WatchId),
    /// A job is over.
    Job(JobId),
    /// A child process has ended.
    Child(ChildId),
    /// An inner request is complete.
    Subrequest(SubrequestId),
    /// The send queue has room again.
    Room,
    /// A [`Waker`](crate::Waker), or a cause that this SDK does not know.
    Wake,
}

impl Cause {
    pub(crate) fn from_code(code: u32, id: abi::Id) -> Option<Self> {
        Some(match code {
            abi::cause::NONE => return None,
            abi::cause::TIMER => Self::Timer(TimerId(id)),
            abi::cause::WATCH => Self::Watch(WatchId(id)),
            abi::cause::JOB => Self::Job(JobId(id)),
            abi::cause::CHILD => Self::Child(ChildId(id)),
            abi::cause::SUBREQUEST => Self::Subrequest(SubrequestId(id)),
            abi::cause::ROOM => Self::Room,
            _ => Self::Wake,
        })
    }
}

/// Why a job has no result.
///
/// ```
/// # use swiftd_plugin::*;
/// # struct Sum(u64);
/// # impl Plugin for Sum {
/// #     const NAME: &CStr = c"sum";
/// #     fn init(_: &Host) -> Result<Self, String> { Ok(Sum(0)) }
/// # }
/// fn sum(host: &Host) -> Result<JobId> {
///     host.job(None, || (1..=100).sum::<u64>(), |me: &mut Sum, sum| match sum {
///         Ok(sum) => me.0 = sum,
///         Err(Lost::Cancelled | Lost::Panicked) => me.0 = 0,
///     })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It was cancelled before it began.
    Cancelled,
    /// It panicked; the log says where.
    Panicked,
}

/// How important a log line is.
///
/// ```
/// # use swiftd_plugin::*;
/// fn say(host: &Host) { host.log(Level::Warning, "the table is nearly full"); }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = abi::level::ERROR,
    /// Something may fail.
    Warning = abi::level::WARNING,
    /// Worth knowing.
    Notice = abi::level::NOTICE,
    /// Details.
    Info = abi::level::INFO,
    /// For whoever mends the plugin.
    Debug = abi::level::DEBUG,
}

/// What the server must know of a plugin: [`Plugin::FLAGS`](crate::Plugin::FLAGS).
///
/// ```
/// # use swiftd_plugin::Flags;
/// const FLAGS: Flags = Flags::RESIDENT.with(Flags::STATE_REQUIRED);
/// assert_ne!(FLAGS, Flags::NONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub(crate) u32);

impl Flags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Never unmap the library: it has threads that outlive the instance, or uses `atexit`.
    pub const RESIDENT: Self = Self(abi::flags::RESIDENT);
    /// If `restore` fails, the reload fails.
    pub const STATE_REQUIRED: Self = Self(abi::flags::STATE_REQUIRED);

    /// Both.
    ///
    /// ```
    /// # use swiftd_plugin::Flags;
    /// assert_eq!(Flags::NONE.with(Flags::RESIDENT), Flags::RESIDENT);
    /// ```
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a watched descriptor is, or should be, ready for.
///
/// ```
/// # use swiftd_plugin::Ready;
/// let both = Ready::READ | Ready::WRITE;
/// assert!(both.is_readable() && both.is_writable() && !both.is_hangup());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(pub(crate) u32);

impl Ready {
    /// A read would not block.
    pub const READ: Self = Self(abi::ready::READ);
    /// A write would not block.
    pub const WRITE: Self = Self(abi::ready::WRITE);

    /// Whether a read would not block.
    ///
    /// ```
    /// # use swiftd_plugin::Ready;
    /// assert!(Ready::READ.is_readable());
    /// ```
    #[must_use]
    pub fn is_readable(self) -> bool {
        self.0 & abi::ready::READ != 0
    }

    /// Whether a write would not block.
    ///
    /// ```
    /// # use swiftd_plugin::Ready;
    /// assert!(!Ready::READ.is_writable());
    /// ```
    #[must_use]
    pub fn is_writable(self) -> bool {
        self.0 & abi::ready::WRITE != 0
    }

    /// Whether the other side is gone.
    ///
    /// ```
    /// # use swiftd_plugin::Ready;
    /// assert!(!Ready::WRITE.is_hangup());
    /// ```
    #[must_use]
    pub fn is_hangup(self) -> bool {
        self.0 & abi::ready::HANGUP != 0
    }
}

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_host_functions_become_results() {
        assert_eq!(check(abi::GO_ON), Ok(()));
        assert_eq!(check(abi::LIMIT), Err(Error::Limit));
        assert_eq!(check_count(7), Ok(7));
        assert_eq!(check_count(abi::AGAIN.into()), Err(Error::Again));
        assert_eq!(check_count(i64::MIN), Err(Error::Failed));
        assert_eq!(check_id(0), Err(Error::Limit));
    }

    #[test]
    fn a_reason_is_the_same_after_a_round_trip() {
        for code in 0..6 {
            assert_eq!(Why::from_code(code).code(), code);
        }
        assert_eq!(Why::from_code(99), Why::Error);
    }
}
