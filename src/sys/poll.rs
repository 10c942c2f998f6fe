//! Edge-triggered readiness over `polling`.
//!
//! A descriptor is registered once and not modified later. `polling` makes five
//! system calls for each of its waits; waiting on its descriptor makes one, so that is what
//! [`Poll::wait`] does. It follows that nothing here may use `polling`'s own notification.

#![allow(unsafe_code)]

use polling::{Event, PollMode, Poller};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// How many events one wait brings at most. The rest comes with the next wait; the number bounds
/// a turn, and at 12 bytes each the buffer stays in one page.
const EVENTS_MAX: usize = 256;

/// What a socket is registered for.
const SOCKET_INTEREST: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// An epoll instance.
pub struct Poll {
    poller: Arc<Poller>,
    events: Vec<epoll::Event>,
}

/// What has become possible with a descriptor.
#[derive(Copy, Clone, Debug)]
pub struct Readiness {
    /// The key that the descriptor was registered with.
    pub key: usize,
    /// A read would not block: there are bytes, the end of the stream, or an error.
    pub is_readable: bool,
    /// A write would not block.
    pub is_writable: bool,
    /// The peer has shut its sending side: after what it sent comes the end of the stream.
    pub has_peer_ended: bool,
    /// Both directions are shut, or there is an error: nothing can be sent any more.
    pub is_hung_up: bool,
}

impl Poll {
    /// A new instance.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Arc::new(Poller::new()?),
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Registers a socket in both directions. One that is ready already gives an event with the
    /// next wait. `key` must not be `usize::MAX`, which is `polling`'s own. The registration ends
    /// when the descriptor is closed.
    ///
    /// # Errors
    /// See epoll_ctl(2): no memory, or the limit of watches.
    pub fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        self.register(socket, Event::all(key))?;
        // `polling` knows no EPOLLRDHUP. With it a short read says that a socket is empty, which
        // saves one call for each request; without it the end of a stream that came together with
        // the last bytes would be missed.
        let data = epoll::EventData::new_u64(key as u64);
        Ok(epoll::modify(&*self.poller, socket, data, SOCKET_INTEREST)?)
    }

    /// Registers something that is only read from: a listener, a signal, a waker.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_readable(&self, source: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        self.register(source, Event::readable(key))
    }

    /// Something that registers with this instance from elsewhere.
    #[must_use]
    pub fn registrar(&self) -> Registrar {
        Registrar(Arc::clone(&self.poller))
    }

    fn register(&self, source: BorrowedFd<'_>, interest: Event) -> io::Result<()> {
        // SAFETY: `polling` asks that a source is deleted before it is closed, so that it does not
        // keep a dangling number. On Linux, where this runs, it keeps none: the registration lives
        // in the kernel and ends with the last descriptor of the open file (epoll(7)).
        unsafe {
            self.poller
                .add_with_mode(source.as_raw_fd(), interest, PollMode::Edge)
        }
    }

    /// Waits until something is ready, for at most `timeout` (`None`: for ever), and returns how
    /// many events there are. A signal ends the wait early.
    ///
    /// # Errors
    /// The kernel refused, which it does only for arguments that are wrong.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&*self.poller, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The event at `index` of the last wait, or `None` for one of `polling`'s own.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<Readiness> {
        use epoll::EventFlags as Flag;
        let event = self.events[index];
        let flags = event.flags;
        let is_hung_up = flags.intersects(Flag::HUP | Flag::ERR);
        Some(Readiness {
            key: usize::try_from(event.data.u64())
                .ok()
                .filter(|&key| key != usize::MAX)?,
            is_readable: is_hung_up || flags.intersects(Flag::IN | Flag::RDHUP),
            is_writable: is_hung_up || flags.contains(Flag::OUT),
            has_peer_ended: is_hung_up || flags.contains(Flag::RDHUP),
            is_hung_up,
        })
    }
}

/// Registers descriptors of others with a [`Poll`].
#[derive(Clone, Debug)]
pub struct Registrar(Arc<Poller>);

impl Registrar {
    /// Registers a descriptor of a plugin, in edge mode.
    ///
    /// # Errors
    /// It is not open, registered already, or of a kind that is always ready (EPERM).
    pub fn add_raw(&self, fd: RawFd, key: usize, reads: bool, writes: bool) -> io::Result<()> {
        let interest = Event::new(key, reads, writes);
        // SAFETY: as in `Poll::register`; a number that is not open is an error.
        unsafe { self.0.add_with_mode(fd, interest, PollMode::Edge) }
    }

    /// Registers something that is only read from.
    ///
    /// # Errors
    /// As [`Poll::add`].
    pub fn add_readable(&self, source: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        self.add_raw(source.as_raw_fd(), key, true, false)
    }

    /// Ends the registration of a descriptor of a plugin.
    pub fn remove(&self, fd: RawFd) {
        // SAFETY: the number is only handed to the kernel, for the time of this call.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        // One that was closed before has gone from the instance by itself.
        let _ = self.0.delete(source);
    }
}

/// Wakes a [`Poll`] from another thread.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A new waker; its descriptor is to be registered.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Makes the descriptor ready.
    pub fn wake(&self) {
        // It fails only when 2^64 - 2 wakes are pending, and then it is ready anyhow.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unready again.
    pub fn clear(&self) {
        // EAGAIN says that it was unready.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
