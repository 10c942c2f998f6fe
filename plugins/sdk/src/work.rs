//! What a plugin waits for: timers, descriptors, and wakes from elsewhere.
//!
//! What belongs to a request wakes it and ends with it. What belongs to the instance has a
//! callback; the callbacks are in a table by id, so that one which has ended cannot be called.

use core::any::TypeId;
use core::ffi::{c_int, c_void};
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use crate::abi;
use crate::entry::with_plugin;
use crate::flow::{Error, Ready, Result, check_id};
use crate::host::{Callback, Gate};
use crate::{Host, Plugin, Request, RequestId, TimerId, WatchId};

impl Request<'_> {
    /// Wakes this request once after a time.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// use std::time::Duration;
    /// fn handle(req: &mut Request) -> Flow {
    ///     if req.woken_by().any(|cause| matches!(cause, Cause::Timer(_))) {
    ///         return req.respond(200, "text/plain", "sorry for the delay\n");
    ///     }
    ///     match req.timer(Duration::from_secs(1)) {
    ///         Ok(_) => Flow::WaitForEvent,
    ///         Err(_) => Flow::Error,
    ///     }
    /// }
    /// ```
    pub fn timer(&mut self, after: Duration) -> Result<TimerId> {
        let raw = self.raw();
        let (id, none) = (self.id().0, core::ptr::null_mut());
        // SAFETY: the instance is alive; without a callback the request is woken.
        let id = unsafe { (raw.table().timer)(raw.this, id, millis(after), 0, None, none) };
        check_id(id).map(TimerId)
    }

    /// Wakes this request when a descriptor becomes ready. Only a change counts: read or write
    /// until it would block, then return [`Flow::WaitForFd`](crate::Flow::WaitForFd).
    /// [`cancel`](Host::cancel) the watch before the descriptor is closed, or use
    /// [`watch_owned`](Self::watch_owned).
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn wait(req: &mut Request, socket: &std::net::TcpStream) -> Flow {
    ///     match req.watch(socket, Ready::READ) {
    ///         Ok(_) => Flow::WaitForFd,
    ///         Err(_) => Flow::Error,
    ///     }
    /// }
    /// ```
    pub fn watch(&mut self, fd: impl AsFd, ready: Ready) -> Result<WatchId> {
        self.host()
            .watch_raw(self.id().0, fd.as_fd().as_raw_fd(), ready, None)
    }

    /// As [`watch`](Self::watch), for a descriptor that is closed with its watch: keep it in the
    /// request's data.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// use std::os::unix::net::UnixStream;
    /// fn connect(req: &mut Request) -> std::io::Result<Flow> {
    ///     let socket = UnixStream::connect("/run/app.sock")?;
    ///     socket.set_nonblocking(true)?;
    ///     let socket = req.watch_owned(socket, Ready::READ | Ready::WRITE).map_err(std::io::Error::other)?;
    ///     Ok(if req.set_data(socket).is_ok() { Flow::WaitForFd } else { Flow::Error })
    /// }
    /// ```
    pub fn watch_owned<F: AsFd>(&mut self, fd: F, ready: Ready) -> Result<Watched<F>> {
        let id = self.watch(&fd, ready)?;
        Ok(Watched {
            fd: Some(fd),
            id,
            host: self.host().clone(),
        })
    }

    /// A handle that wakes this request from any thread. As the server cannot know whether somebody
    /// will, each wait gets the limit given here; after it the client gets a 504.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// use std::time::Duration;
    /// fn handle(req: &mut Request, queue: &std::sync::mpsc::Sender<Waker>) -> Flow {
    ///     let Ok(waker) = req.waker(Duration::from_secs(10)) else { return Flow::Error };
    ///     if queue.send(waker).is_ok() { Flow::WaitForEvent } else { Flow::Error }
    /// }
    /// ```
    pub fn waker(&mut self, limit: Duration) -> Result<Waker> {
        self.set_deadline(limit)?;
        Ok(self.host().waker(self.id()))
    }
}

impl Host {
    /// A callback after a time, once.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// # struct Hello { is_old: bool }
    /// # impl Plugin for Hello {
    /// #     const NAME: &CStr = c"hello";
    /// #     fn init(_: &Host) -> Result<Self, String> { Err(String::new()) }
    /// # }
    /// use std::time::Duration;
    /// fn init(host: &Host) -> Result<TimerId> {
    ///     host.after(Duration::from_secs(60), |me: &mut Hello| me.is_old = true)
    /// }
    /// ```
    pub fn after<T: Plugin>(
        &self,
        after: Duration,
        callback: impl FnOnce(&mut T) + 'static,
    ) -> Result<TimerId> {
        let mut callback = Some(callback);
        self.timer_raw(millis(after), 0, move |plugin: &mut T| {
            if let Some(callback) = callback.take() {
                callback(plugin);
            }
        })
    }

    /// A callback again and again, until it is cancelled or the instance ends.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// # struct Hello { beats: u32 }
    /// # impl Plugin for Hello {
    /// #     const NAME: &CStr = c"hello";
    /// #     fn init(_: &Host) -> Result<Self, String> { Err(String::new()) }
    /// # }
    /// use std::time::Duration;
    /// fn init(host: &Host) -> Result<TimerId> {
    ///     host.every(Duration::from_millis(100), |me: &mut Hello| me.beats += 1)
    /// }
    /// ```
    pub fn every<T: Plugin>(
        &self,
        period: Duration,
        callback: impl FnMut(&mut T) + 'static,
    ) -> Result<TimerId> {
        let ms = millis(period).max(1);
        self.timer_raw(ms, ms, callback)
    }

    /// A callback whenever a descriptor becomes ready. Only a change counts: read until it would
    /// block. Cancel before the descriptor is closed.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// # struct Hello { socket: std::net::UdpSocket }
    /// # impl Plugin for Hello {
    /// #     const NAME: &CStr = c"hello";
    /// #     fn init(_: &Host) -> Result<Self, String> { Err(String::new()) }
    /// # }
    /// fn listen(host: &Host, socket: &std::net::UdpSocket) -> Result<WatchId> {
    ///     host.watch(socket, Ready::READ, |me: &mut Hello, _ready| {
    ///         let mut packet = [0; 1500];
    ///         while me.socket.recv(&mut packet).is_ok() {}
    ///     })
    /// }
    /// ```
    pub fn watch<T: Plugin>(
        &self,
        fd: impl AsFd,
        ready: Ready,
        mut callback: impl FnMut(&mut T, Ready) + 'static,
    ) -> Result<WatchId> {
        self.check_plugin::<T>()?;
        let fire: Fire = fire_watch::<T>;
        let id = self.watch_raw(0, fd.as_fd().as_raw_fd(), ready, Some(fire))?;
        let callback: Callback = Box::new(move |plugin, ready| {
            // SAFETY: `run` passes the plugin, whose type was checked above.
            callback(unsafe { &mut *plugin.cast::<T>() }, Ready(ready));
        });
        self.0.callbacks.borrow_mut().insert(id.0, Some(callback));
        Ok(id)
    }

    /// A handle that wakes a request from any thread; see [`Request::waker`].
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn wake_all(host: &Host, waiting: &mut Vec<RequestId>) {
    ///     for id in waiting.drain(..) { let _ = host.waker(id).wake(); }
    /// }
    /// ```
    #[must_use]
    pub fn waker(&self, request: RequestId) -> Waker {
        Waker {
            gate: self.gate(),
            request,
        }
    }

    pub(crate) fn check_plugin<T: Plugin>(&self) -> Result<()> {
        if self.0.plugin == TypeId::of::<T>() {
            Ok(())
        } else {
            Err(Error::Invalid)
        }
    }

    fn timer_raw<T: Plugin>(
        &self,
        ms: u32,
        repeat: u32,
        mut callback: impl FnMut(&mut T) + 'static,
    ) -> Result<TimerId> {
        self.check_plugin::<T>()?;
        let raw = self.raw()?;
        let arg = self.0.instance.get();
        let is_once = repeat == 0;
        let fire = if is_once {
            fire_once::<T>
        } else {
            fire_timer::<T>
        };
        // SAFETY: the instance is alive and `arg` is its state as long as callbacks may come.
        let id = unsafe { (raw.table().timer)(raw.this, 0, ms, repeat, Some(fire), arg) };
        let id = check_id(id)?;
        let callback: Callback = Box::new(move |plugin, _| {
            // SAFETY: `run` passes the plugin, whose type was checked above.
            callback(unsafe { &mut *plugin.cast::<T>() });
        });
        self.0.callbacks.borrow_mut().insert(id, Some(callback));
        Ok(TimerId(id))
    }

    fn watch_raw(
        &self,
        request: abi::Id,
        fd: c_int,
        ready: Ready,
        fire: Option<Fire>,
    ) -> Result<WatchId> {
        let raw = self.raw()?;
        let arg = self.0.instance.get();
        // SAFETY: the instance is alive and `arg` is its state as long as callbacks may come.
        let id = unsafe { (raw.table().watch)(raw.this, request, fd, ready.0, fire, arg) };
        check_id(id).map(WatchId)
    }
}

type Fire = unsafe extern "C" fn(arg: *mut c_void, abi::Id, ready: u32);

/// # Safety
///
/// As for [`with_plugin`].
unsafe extern "C" fn fire_timer<T: Plugin>(state: *mut c_void, id: abi::Id) {
    // SAFETY: by the condition.
    unsafe { run::<T>(state, id, 0, false) };
}

/// # Safety
///
/// As for [`with_plugin`].
unsafe extern "C" fn fire_once<T: Plugin>(state: *mut c_void, id: abi::Id) {
    // SAFETY: by the condition.
    unsafe { run::<T>(state, id, 0, true) };
}

/// # Safety
///
/// As for [`with_plugin`].
unsafe extern "C" fn fire_watch<T: Plugin>(state: *mut c_void, id: abi::Id, ready: u32) {
    // SAFETY: by the condition.
    unsafe { run::<T>(state, id, ready, false) };
}

/// Runs the callback of an id. It is out of its place meanwhile, so that it may cancel itself.
///
/// # Safety
///
/// As for [`with_plugin`].
unsafe fn run<T: Plugin>(state: *mut c_void, id: abi::Id, ready: u32, is_last: bool) {
    let code = |host: &Host, plugin: &mut T| {
        let callback = host
            .0
            .callbacks
            .borrow_mut()
            .get_mut(&id)
            .and_then(Option::take);
        let Some(mut callback) = callback else { return };
        if is_last {
            host.0.callbacks.borrow_mut().remove(&id);
        }
        callback(core::ptr::from_mut(plugin).cast(), ready);
        let mut callbacks = host.0.callbacks.borrow_mut();
        let leftover = match callbacks.get_mut(&id) {
            Some(place) => place.replace(callback),
            None => Some(callback),
        };
        drop(callbacks);
        // Its captures may themselves cancel something: the table is free again by now.
        drop(leftover);
    };
    // SAFETY: by the condition.
    let _ = unsafe { with_plugin(state, code) };
}

/// A time as the server takes it: whole milliseconds, rather too late than too early.
pub(crate) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// Wakes a request from any thread; see [`Request::waker`].
///
/// ```
/// # use swiftd_plugin::*;
/// fn later(waker: Waker) -> std::thread::JoinHandle<()> {
///     std::thread::spawn(move || { let _ = waker.wake(); })
/// }
/// ```
#[derive(Clone)]
pub struct Waker {
    gate: Arc<Gate>,
    request: RequestId,
}

impl Waker {
    /// Calls the hook that waits, in the next turn of the loop. [`Error::Gone`] if the request or
    /// the plugin's instance has ended.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_there(waker: &Waker) -> bool { waker.wake() != Err(Error::Gone) }
    /// ```
    pub fn wake(&self) -> Result<()> {
        self.gate.wake(self.request.0)
    }

    /// The request that it wakes.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn whose(waker: &Waker) -> RequestId { waker.request() }
    /// ```
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }
}

impl core::fmt::Debug for Waker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Waker").field(&self.request).finish()
    }
}

/// A descriptor with its watch. Dropping it ends the watch, then closes the descriptor.
///
/// ```
/// # use swiftd_plugin::*;
/// use std::{io::Read, net::TcpStream};
/// fn read(socket: &mut Watched<TcpStream>, into: &mut [u8]) -> std::io::Result<usize> {
///     socket.get_mut().read(into)
/// }
/// ```
#[derive(Debug)]
pub struct Watched<F: AsFd> {
    /// `None` after `into_inner`.
    fd: Option<F>,
    id: WatchId,
    host: Host,
}

impl<F: AsFd> Watched<F> {
    /// The descriptor.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn peer(socket: &Watched<std::net::TcpStream>) -> std::io::Result<std::net::SocketAddr> {
    ///     socket.get_ref().peer_addr()
    /// }
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &F {
        self.fd.as_ref().expect("only into_inner takes it")
    }

    /// The descriptor, to be read or written.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn write(socket: &mut Watched<std::net::TcpStream>) -> std::io::Result<usize> {
    ///     std::io::Write::write(socket.get_mut(), b"x")
    /// }
    /// ```
    pub fn get_mut(&mut self) -> &mut F {
        self.fd.as_mut().expect("only into_inner takes it")
    }

    /// The watch.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_mine(socket: &Watched<std::net::TcpStream>, cause: Cause) -> bool {
    ///     cause == Cause::Watch(socket.id())
    /// }
    /// ```
    #[must_use]
    pub fn id(&self) -> WatchId {
        self.id
    }

    /// Ends the watch and gives the descriptor back.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn keep(socket: Watched<std::net::TcpStream>) -> std::net::TcpStream { socket.into_inner() }
    /// ```
    #[must_use]
    pub fn into_inner(mut self) -> F {
        self.fd.take().expect("only into_inner takes it")
    }
}

impl<F: AsFd> AsFd for Watched<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<F: AsFd> Drop for Watched<F> {
    fn drop(&mut self) {
        // It may have ended with its request.
        let _ = self.host.cancel(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::MAX), u32::MAX);
    }
}
