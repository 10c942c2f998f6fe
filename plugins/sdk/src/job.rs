//! Work for a helper thread. The closure and its result cross threads, so both are `Send`; what is
//! to be done with the result stays on the loop's thread.

use core::any::TypeId;
use core::cell::{RefCell, UnsafeCell};
use core::ffi::c_void;
use std::rc::Rc;

use crate::abi::{self, why};
use crate::entry::with_plugin;
use crate::flow::{Lost, Result, check_id};
use crate::host::Raw;
use crate::panics::{guard, within};
use crate::{Host, JobId, Plugin, Request, RequestId};

/// What the helper thread touches, and nothing else of the job.
struct Crossing<W, R> {
    raw: Raw,
    work: UnsafeCell<Option<W>>,
    result: UnsafeCell<Option<R>>,
}

/// A job between its start and its `done`.
struct Job<W, R, D> {
    crossing: Crossing<W, R>,
    host: Host,
    done: D,
}

impl Host {
    /// Runs `work` on a helper thread, then `done` on the loop's thread with what came of it. If it
    /// belongs to a request it wakes it too, and is cancelled with it if it has not begun. `done`
    /// is called in any case, unless the plugin never came to be.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// # struct Users { list: String }
    /// # impl Plugin for Users {
    /// #     const NAME: &CStr = c"users";
    /// #     fn init(_: &Host) -> Result<Self, String> { Err(String::new()) }
    /// # }
    /// fn reread(host: &Host) -> Result<JobId> {
    ///     let work = || std::fs::read_to_string("/etc/users");
    ///     host.job(None, work, |me: &mut Users, text| {
    ///         if let Ok(Ok(text)) = text { me.list = text; }
    ///     })
    /// }
    /// ```
    pub fn job<T, W, R, D>(&self, request: Option<RequestId>, work: W, done: D) -> Result<JobId>
    where
        T: Plugin,
        W: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
        D: FnOnce(&mut T, Result<R, Lost>) + 'static,
    {
        self.check_plugin::<T>()?;
        self.start_job(
            request.map_or(0, |id| id.0),
            work,
            move |host: &Host, result| {
                let state = host.0.instance.get();
                if host.0.plugin == TypeId::of::<T>() && !state.is_null() {
                    // SAFETY: not null, so it is the state of the instance, whose type was checked.
                    let _ = unsafe { with_plugin(state, |_, plugin: &mut T| done(plugin, result)) };
                }
            },
        )
    }

    fn start_job<W, R, D>(&self, request: abi::Id, work: W, done: D) -> Result<JobId>
    where
        W: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
        D: FnOnce(&Host, Result<R, Lost>) + 'static,
    {
        let raw = self.raw()?;
        let job: *mut Job<W, R, D> = Box::into_raw(Box::new(Job {
            crossing: Crossing {
                raw: *raw,
                work: UnsafeCell::new(Some(work)),
                result: UnsafeCell::new(None),
            },
            host: self.clone(),
            done,
        }));
        // SAFETY: the instance is alive; the job lives until `finish`, which comes exactly once.
        let id = unsafe {
            let (work, done) = (run::<W, R, D> as Work, finish::<W, R, D> as Done);
            (raw.table().job)(raw.this, request, Some(work), Some(done), job.cast())
        };
        if id == 0 {
            // SAFETY: made above, and not accepted by the server.
            drop(unsafe { Box::from_raw(job) });
        }
        check_id(id).map(JobId)
    }
}

impl Request<'_> {
    /// Runs `work` on a helper thread and wakes this request when it is over. Keep what this
    /// returns in the request's data.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn handle(req: &mut Request) -> Flow {
    ///     let Some(pending) = req.data::<Pending<String>>() else {
    ///         let work = || std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    ///         let Ok(pending) = req.job(work) else { return Flow::Error };
    ///         return if req.set_data(pending).is_ok() { Flow::WaitForEvent } else { Flow::Error };
    ///     };
    ///     match pending.take() {
    ///         None => Flow::WaitForEvent,
    ///         Some(Ok(uptime)) => req.respond(200, "text/plain", uptime),
    ///         Some(Err(_)) => Flow::Error,
    ///     }
    /// }
    /// ```
    pub fn job<W, R>(&mut self, work: W) -> Result<Pending<R>>
    where
        W: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let slot = Rc::new(RefCell::new(None));
        let to = Rc::clone(&slot);
        let done = move |host: &Host, result| {
            guard(host, || to.replace(Some(result)));
        };
        let id = self.host().start_job(self.id().0, work, done)?;
        Ok(Pending { id, slot })
    }
}

type Work = unsafe extern "C" fn(arg: *mut c_void);
type Done = unsafe extern "C" fn(arg: *mut c_void, why: u32);

/// On a helper thread.
///
/// # Safety
///
/// `arg` is the `Job<W, R, D>` of [`Host::start_job`], and [`finish`] comes later.
unsafe extern "C" fn run<W: FnOnce() -> R, R, D>(arg: *mut c_void) {
    let job = arg.cast::<Job<W, R, D>>();
    // SAFETY: by the condition; the loop's thread leaves this part alone until `finish`.
    let crossing = unsafe { &(*job).crossing };
    // SAFETY: as above.
    let work = unsafe { &mut *crossing.work.get() }.take();
    let result = work.and_then(|work| within(&crossing.raw, work));
    // SAFETY: as above.
    unsafe { *crossing.result.get() = result };
}

/// On the loop's thread.
///
/// # Safety
///
/// `arg` is the `Job<W, R, D>` of [`Host::start_job`]; it ends here.
unsafe extern "C" fn finish<W, R, D: FnOnce(&Host, Result<R, Lost>)>(arg: *mut c_void, why: u32) {
    // SAFETY: by the condition.
    let Job {
        crossing,
        host,
        done,
    } = *unsafe { Box::from_raw(arg.cast::<Job<W, R, D>>()) };
    let result = match crossing.result.into_inner() {
        Some(result) => Ok(result),
        None if why == why::DONE => {
            host.counter("panics").add(1);
            Err(Lost::Panicked)
        }
        None => Err(Lost::Cancelled),
    };
    let work = crossing.work.into_inner();
    within(&crossing.raw, || {
        drop(work);
        done(&host, result);
    });
}

/// A job of a request; see [`Request::job`].
///
/// ```
/// # use swiftd_plugin::*;
/// fn stop(req: &mut Request) {
///     let Some(id) = req.data::<Pending<String>>().map(|pending| pending.id()) else { return };
///     let _ = req.host().cancel(id);
/// }
/// ```
#[derive(Debug)]
pub struct Pending<R> {
    id: JobId,
    slot: Rc<RefCell<Option<Result<R, Lost>>>>,
}

impl<R> Pending<R> {
    /// What came of it, once; `None` while it is not over.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_over(pending: &Pending<u32>) -> bool { pending.take().is_some() }
    /// ```
    #[must_use]
    pub fn take(&self) -> Option<Result<R, Lost>> {
        self.slot.take()
    }

    /// The job.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_mine(pending: &Pending<u32>, cause: Cause) -> bool { cause == Cause::Job(pending.id()) }
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }
}
