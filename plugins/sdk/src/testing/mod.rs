//! A mock server for tests: it drives the hooks of a plugin through the same C functions as the
//! server does, in the test's own process and without a socket.
//!
//! Time stands still until the test moves it ([`Harness::advance`]) or [`Harness::finish`] has
//! nothing else to wait for. Jobs run at once, or when the test says so. Descriptors and child
//! processes are real. The test fails if the plugin answers what is not allowed in a hook, waits for
//! what cannot come, uses a request after its hook, closes a descriptor before its watch ends, or
//! leaves a timer, a watch, a child or a descriptor behind at its end.
//!
//! | file | what |
//! | --- | --- |
//! | `message` | what a test sends and gets back |
//! | `chain` | one request's way through the hooks |
//! | `turn` | the loop |
//! | `table`, `waits` | the host table |
//! | `world` | the state behind it |
//! | `kernel` | epoll and signals |

mod chain;
mod kernel;
mod message;
mod table;
mod turn;
mod waits;
mod world;

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;

use self::chain::Runner;
use self::world::{Data, World};
pub use message::{Answer, Connection, Exchange, Outgoing};

use crate::abi;
use crate::flow::Why;
use crate::{Exported, panics};

/// A server with one plugin. `T` is the plugin, or `()` for a descriptor made elsewhere.
///
/// ```standalone_crate
/// use swiftd_plugin::*;
/// use swiftd_plugin::testing::*;
/// use std::time::Duration;
/// struct Slow;
/// plugin! {
///     impl Plugin for Slow {
///         const NAME: &CStr = c"slow";
///         fn init(_host: &Host) -> Result<Self, String> { Ok(Slow) }
///         fn subrequest_start(&mut self, _req: &mut Request) -> Flow { Flow::Finished }
///         fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
///             if req.woken_by().next().is_some() {
///                 return req.respond(200, "text/plain", "at last\n");
///             }
///             if req.timer(Duration::from_secs(1)).is_err() { return Flow::Error; }
///             Flow::WaitForEvent
///         }
///     }
/// }
/// let mut harness = Harness::<Slow>::new();
/// let exchange = harness.start(Outgoing::new("GET", "/"));
/// harness.advance(999);
/// assert!(harness.is_waiting(exchange));
/// harness.advance(1);
/// assert_eq!(harness.finish(exchange).text(), "at last\n");
/// ```
pub struct Harness<T> {
    runner: Runner,
    is_loaded: bool,
    plugin: PhantomData<*const T>,
}

impl<T> core::fmt::Debug for Harness<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Harness")
            .field("is_loaded", &self.is_loaded)
            .finish_non_exhaustive()
    }
}

impl<T: Exported> Harness<T> {
    /// A server with this plugin. It is loaded with the first request, or by
    /// [`load`](Self::load).
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().config("key", "value") }
    /// ```
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        panics::expect_tests();
        Self::with(T::DESCRIPTOR)
    }

    /// Looks into the plugin's state, loading it if need be.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// # use swiftd_plugin::Exported;
    /// fn state<T: Exported + Clone>(harness: &mut Harness<T>) -> T {
    ///     harness.plugin(|plugin| plugin.clone())
    /// }
    /// ```
    pub fn plugin<R>(&mut self, look: impl FnOnce(&mut T) -> R) -> R {
        self.need();
        // SAFETY: init made the state for this type, and no hook runs meanwhile.
        let instance = unsafe { crate::entry::Instance::<T>::from_state(self.runner.state) };
        // SAFETY: as above.
        look(unsafe { instance.plugin() })
    }
}

impl Harness<()> {
    /// A server with a plugin that is known by its descriptor only, such as one in C.
    ///
    /// # Safety
    ///
    /// The descriptor is what it says it is, and its code keeps to the contract.
    ///
    /// ```
    /// # use swiftd_plugin::{abi, testing::Harness};
    /// # use core::ffi::CStr;
    /// fn name(descriptor: &abi::Plugin) -> Harness<()> {
    ///     // SAFETY: it was found under the name `swiftd_plugin_v1` in a library of ours.
    ///     unsafe { Harness::of(descriptor) }
    /// }
    /// ```
    #[must_use]
    pub unsafe fn of(descriptor: &abi::Plugin) -> Self {
        Self::with(*descriptor)
    }
}

impl<T> Harness<T> {
    fn with(plugin: abi::Plugin) -> Self {
        assert_eq!(
            plugin.magic,
            abi::MAGIC,
            "a descriptor begins with its magic number"
        );
        assert_eq!(
            (plugin.abi_major, plugin.abi_minor),
            (abi::MAJOR, abi::MINOR)
        );
        assert_eq!(plugin.size as usize, size_of::<abi::Plugin>());
        assert_eq!(
            plugin.flags & !abi::flags::KNOWN,
            0,
            "a flag that is not known"
        );
        assert!(!plugin.name.is_null(), "a plugin has a name");
        let runner = Runner {
            world: World::new(),
            plugin,
            state: core::ptr::null_mut(),
        };
        Self {
            runner,
            is_loaded: false,
            plugin: PhantomData,
        }
    }

    fn world(&self) -> &World {
        &self.runner.world
    }

    /// A value of the configuration. An array is given as lines.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().config("hosts", "a\nb") }
    /// ```
    #[must_use]
    pub fn config(self, key: &str, value: &str) -> Self {
        assert!(!self.is_loaded, "configuration comes before the plugin");
        self.world()
            .lock()
            .config
            .insert(key.to_owned(), value.into());
        self
    }

    /// The document root; `/srv/www` without it. Nothing is looked up there.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().docroot("/tmp/site") }
    /// ```
    #[must_use]
    pub fn docroot(self, docroot: &str) -> Self {
        self.world().lock().docroot = docroot.to_owned();
        self
    }

    /// What the server answers for a path that the plugin leaves to it, also inside subrequests.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().page("/foot.html", "<hr>") }
    /// ```
    #[must_use]
    pub fn page(self, path: &str, body: impl AsRef<[u8]>) -> Self {
        self.world()
            .lock()
            .pages
            .insert(path.to_owned(), body.as_ref().to_vec());
        self
    }

    /// What it answers for all other paths; 404 without it.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().unclaimed(200, "a file") }
    /// ```
    #[must_use]
    pub fn unclaimed(self, status: u16, body: impl AsRef<[u8]>) -> Self {
        self.world().lock().unclaimed = (status, body.as_ref().to_vec());
        self
    }

    /// What the server tells about itself from now on, lines of the Prometheus text format; the
    /// plugin's own counters follow. `swiftd_up 1` without it.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn busy<T>(harness: &mut Harness<T>) { harness.set_status("swiftd_uptime_seconds 7\n"); }
    /// ```
    pub fn set_status(&mut self, lines: &str) {
        self.world().lock().status = lines.to_owned();
    }

    /// Jobs wait for [`run_jobs`](Self::run_jobs).
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().hold_jobs() }
    /// ```
    #[must_use]
    pub fn hold_jobs(self) -> Self {
        self.world().lock().holds_jobs = true;
        self
    }

    /// The bound of the send queue, bytes.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// # use swiftd_plugin::Exported;
    /// fn server<T: Exported>() -> Harness<T> { Harness::new().send_queue(16) }
    /// ```
    #[must_use]
    pub fn send_queue(self, bytes: usize) -> Self {
        assert!(bytes > 0, "a queue has room for something");
        self.world().lock().send_queue = bytes;
        self
    }

    /// Whether clients stop reading, so that the send queue stays full.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn freeze<T>(harness: &mut Harness<T>) { harness.stall(true); }
    /// ```
    pub fn stall(&mut self, is_stalled: bool) {
        self.world().lock().is_stalled = is_stalled;
        self.settle();
    }

    /// `init` and `set_default`, as at start-up. The error is what the plugin logged.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn refused<T>(mut harness: Harness<T>) { assert!(harness.load().is_err()); }
    /// ```
    pub fn load(&mut self) -> Result<(), String> {
        if self.is_loaded {
            return Ok(());
        }
        table::set_clock(Some(&self.runner.world.clock));
        let Some(init) = self.runner.plugin.init else {
            return Err("there is no init".into());
        };
        let this = (&raw const *self.runner.world).cast_mut().cast();
        let mut state = core::ptr::null_mut();
        // SAFETY: table and world live until cleanup has returned; the state may be written.
        let mut rc = unsafe { init(&raw const table::TABLE, this, &mut state) };
        if rc == abi::GO_ON {
            (self.runner.state, self.is_loaded) = (state, true);
            if let Some(hook) = self.runner.plugin.set_default {
                // SAFETY: the state is the plugin's.
                rc = unsafe { hook(state) };
            }
        } else {
            // What a plugin that failed has made is the server's to take back.
            let _ = self.world().end_all_of(0);
        }
        self.fail_on_faults();
        if rc == abi::GO_ON {
            return Ok(());
        }
        Err(self.log().join("\n"))
    }

    fn need(&mut self) {
        table::set_clock(Some(&self.runner.world.clock));
        if let Err(reason) = self.load() {
            panic!("the plugin does not load: {reason}");
        }
    }

    fn settle(&mut self) {
        self.need();
        self.runner.settle();
        self.fail_on_faults();
    }

    fn fail_on_faults(&self) {
        let faults = core::mem::take(&mut self.world().lock().faults);
        assert!(
            faults.is_empty(),
            "the plugin breaks the contract: {}",
            faults.join("; ")
        );
    }

    /// GET, to the end.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn is_there<T>(harness: &mut Harness<T>) -> bool { harness.get("/x").status == 200 }
    /// ```
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(Outgoing::new("GET", target))
    }

    /// Any request, to the end.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn post<T>(harness: &mut Harness<T>) -> Answer {
    ///     harness.send(Outgoing::new("POST", "/x").body("content"))
    /// }
    /// ```
    pub fn send(&mut self, request: Outgoing) -> Answer {
        let exchange = self.start(request);
        self.finish(exchange)
    }

    /// Begins a request and goes as far as possible without anything happening.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn waits<T>(harness: &mut Harness<T>) -> bool {
    ///     let exchange = harness.start(Outgoing::new("GET", "/slow"));
    ///     harness.is_waiting(exchange)
    /// }
    /// ```
    pub fn start(&mut self, request: Outgoing) -> Exchange {
        self.need();
        let kept = request.connection.map(Connection);
        let Connection(connection) = kept.unwrap_or_else(|| self.connection());
        let mut state = self.world().lock();
        assert!(
            state.connections.contains_key(&connection),
            "the connection is closed"
        );
        let id = state.new_id();
        let flow = chain::begin(&state, self.world(), request, connection, 0);
        state.flows.insert(id, flow);
        drop(state);
        self.runner.run(id);
        self.settle();
        Exchange(id)
    }

    /// Goes on until the request is over. What comes from outside is waited for, some seconds; then
    /// the clock jumps to the next timer or deadline.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn end<T>(harness: &mut Harness<T>, exchange: Exchange) -> u16 {
    ///     harness.finish(exchange).status
    /// }
    /// ```
    pub fn finish(&mut self, exchange: Exchange) -> Answer {
        self.need();
        self.runner.drive(exchange.0);
        self.fail_on_faults();
        let answer = self.world().lock().answers.remove(&exchange.0);
        answer.expect("a request is finished once")
    }

    /// Whether the request is suspended.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn check<T>(harness: &Harness<T>, exchange: Exchange) { assert!(harness.is_waiting(exchange)); }
    /// ```
    #[must_use]
    pub fn is_waiting(&self, exchange: Exchange) -> bool {
        self.world()
            .lock()
            .flows
            .get(&exchange.0)
            .is_some_and(|flow| flow.is_waiting)
    }

    /// What the plugin has written of a response so far.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn check<T>(harness: &Harness<T>, exchange: Exchange) {
    ///     assert_eq!(harness.written(exchange), b"first part");
    /// }
    /// ```
    #[must_use]
    pub fn written(&self, exchange: Exchange) -> Vec<u8> {
        let state = self.world().lock();
        let flow = state.flows.get(&exchange.0);
        flow.and_then(|flow| flow.response.body.clone())
            .unwrap_or_default()
    }

    /// Time passes: timers and deadlines that it reaches come in their order.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn wait<T>(harness: &mut Harness<T>) { harness.advance(1_000); }
    /// ```
    pub fn advance(&mut self, ms: u64) {
        self.settle();
        let until = self.world().now() + ms;
        loop {
            let next = self
                .world()
                .lock()
                .timers
                .values()
                .map(|timer| timer.at)
                .min();
            let now = self.world().now();
            match next.filter(|at| *at <= until) {
                Some(at) => self.runner.advance_clock(at.max(now)),
                None => break,
            }
            self.settle();
        }
        self.runner.advance_clock(until);
        self.settle();
    }

    /// Descriptors that are ready and children that have ended are told, without waiting for any.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn turn<T>(harness: &mut Harness<T>) { harness.poll(); }
    /// ```
    pub fn poll(&mut self) {
        self.settle();
    }

    /// Runs the jobs that are held.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn work<T>(harness: &mut Harness<T>) { harness.run_jobs(); }
    /// ```
    pub fn run_jobs(&mut self) {
        self.need();
        self.runner.run_jobs(true);
        self.settle();
    }

    /// Wakes a request, as a spurious wake does.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn nudge<T>(harness: &mut Harness<T>, exchange: Exchange) { harness.wake(exchange); }
    /// ```
    pub fn wake(&mut self, exchange: Exchange) {
        self.world().lock().wake(exchange.0, abi::cause::WAKE, 0);
        self.settle();
    }

    /// The client goes away. What it would not have got is in the answer all the same.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn leave<T>(harness: &mut Harness<T>, exchange: Exchange) -> Answer { harness.gone(exchange) }
    /// ```
    pub fn gone(&mut self, exchange: Exchange) -> Answer {
        self.need();
        self.runner.end(exchange.0, Why::ClientGone);
        self.finish(exchange)
    }

    /// A connection for several requests.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn get<T>(harness: &mut Harness<T>) -> Answer {
    ///     let connection = harness.connection();
    ///     harness.send(Outgoing::new("GET", "/").on(connection))
    /// }
    /// ```
    pub fn connection(&mut self) -> Connection {
        let mut state = self.world().lock();
        let id = state.new_id();
        state.connections.insert(id, Data::NONE);
        Connection(id)
    }

    /// The connection ends.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// fn end<T>(harness: &mut Harness<T>, connection: Connection) { harness.close(connection); }
    /// ```
    pub fn close(&mut self, connection: Connection) {
        self.need();
        self.runner.close(connection.0, Why::Done);
        self.settle();
    }

    /// One second has passed for the plugin: `trigger`. The clock stays.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn tick<T>(harness: &mut Harness<T>) { harness.trigger(); }
    /// ```
    pub fn trigger(&mut self) {
        self.on_instance(self.runner.plugin.trigger);
    }

    /// SIGHUP.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn hang_up<T>(harness: &mut Harness<T>) { harness.sighup(); }
    /// ```
    pub fn sighup(&mut self) {
        self.on_instance(self.runner.plugin.sighup);
    }

    fn on_instance(&mut self, hook: Option<abi::OnInstance>) {
        self.need();
        if let Some(hook) = hook {
            // SAFETY: the state is the plugin's.
            unsafe { hook(self.runner.state) };
        }
        self.settle();
    }

    /// Another instance has taken over; requests go on to their ends.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn replace<T>(harness: &mut Harness<T>) { harness.retire(); }
    /// ```
    pub fn retire(&mut self) {
        self.need();
        if let Some(hook) = self.runner.plugin.retire {
            // SAFETY: the state is the plugin's.
            unsafe { hook(self.runner.state) };
        }
        self.settle();
    }

    /// What `save` writes; `None` if it writes nothing or fails.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn hand_over<T>(old: &mut Harness<T>, new: &mut Harness<T>) {
    ///     if let Some(blob) = old.save() { assert!(new.restore(1, &blob)); }
    /// }
    /// ```
    pub fn save(&mut self) -> Option<Vec<u8>> {
        self.need();
        let hook = self.runner.plugin.save?;
        let mut blob: Option<Vec<u8>> = None;
        // SAFETY: the state is the plugin's; `collect` gets what it expects.
        let rc = unsafe { hook(self.runner.state, collect, (&raw mut blob).cast()) };
        self.settle();
        let blob = blob.filter(|_| rc == abi::GO_ON);
        assert!(
            blob.as_ref().is_none_or(|blob| blob.len() <= 1 << 20),
            "save wrote over 1 MiB"
        );
        blob
    }

    /// Whether `restore` accepts it.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn rubbish<T>(mut harness: Harness<T>) { assert!(!harness.restore(1, b"\xff")); }
    /// ```
    pub fn restore(&mut self, from_version: u32, blob: &[u8]) -> bool {
        self.need();
        let Some(hook) = self.runner.plugin.restore else {
            return true;
        };
        let blob = abi::Str {
            p: blob.as_ptr(),
            n: blob.len(),
        };
        // SAFETY: the state is the plugin's; the blob outlives the call.
        let rc = unsafe { hook(self.runner.state, from_version, blob) };
        self.settle();
        rc == abi::GO_ON
    }

    /// The lines that the plugin has logged.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn is_quiet<T>(harness: &Harness<T>) -> bool { harness.log().is_empty() }
    /// ```
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.world()
            .lock()
            .log
            .iter()
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// The value of a counter; 0 if there is none.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn hits<T>(harness: &Harness<T>) -> i64 { harness.counter("hits") }
    /// ```
    #[must_use]
    pub fn counter(&self, name: &str) -> i64 {
        let state = self.world().lock();
        let found = state.counters.iter().find(|(known, _)| known == name);
        found.map_or(0, |(_, value)| *value)
    }

    /// The plugin's name.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn is_it<T>(harness: &Harness<T>) -> bool { harness.name() == "hello" }
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        // SAFETY: a descriptor's name is a string that lives as long as the plugin.
        unsafe { CStr::from_ptr(self.runner.plugin.name) }
            .to_string_lossy()
            .into_owned()
    }

    /// The server stops. What is left behind fails the test. Dropping the harness does the same.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Harness;
    /// fn last<T>(harness: Harness<T>) { harness.stop(); }
    /// ```
    pub fn stop(self) {
        drop(self);
    }

    fn shut_down(&mut self) {
        table::set_clock(Some(&self.runner.world.clock));
        let flows: Vec<abi::Id> = self.world().lock().flows.keys().copied().collect();
        for id in flows {
            self.runner.end(id, Why::Stop);
        }
        let connections: Vec<abi::Id> = self.world().lock().connections.keys().copied().collect();
        for id in connections {
            self.runner.close(id, Why::Stop);
        }
        for job in &mut self.world().lock().jobs {
            job.work = None;
        }
        self.runner.run_jobs(true);
        if let (true, Some(cleanup)) = (self.is_loaded, self.runner.plugin.cleanup) {
            // SAFETY: the state is the plugin's and is not used again.
            unsafe { cleanup(self.runner.state) };
        }
        self.runner.drop_queued();
        let left = self.world().end_all_of(0);
        let waiters = core::mem::take(&mut self.world().lock().waiters);
        for waiter in waiters {
            // It ends with its child, which has ended or was killed.
            let _ = waiter.join();
        }
        let mut state = self.world().lock();
        if !left.is_empty() {
            state.fault(format!("left behind after cleanup: {}", left.join(", ")));
        }
        for (fd, identity) in core::mem::take(&mut state.given) {
            if kernel::identity(fd) == Some(identity) {
                state.fault(format!(
                    "left open after cleanup: the pipe at descriptor {fd}"
                ));
            }
        }
        drop(state);
        table::set_clock(None);
    }
}

/// # Safety
///
/// `arg` points to an `Option<Vec<u8>>`; `bytes` to `n` bytes.
unsafe extern "C" fn collect(arg: *mut c_void, bytes: *const c_void, n: usize) {
    // SAFETY: by the condition.
    let blob = unsafe { &mut *arg.cast::<Option<Vec<u8>>>() };
    // SAFETY: by the condition.
    blob.get_or_insert_default()
        .extend(unsafe { table::copied(bytes, n) });
}

impl<T> Drop for Harness<T> {
    fn drop(&mut self) {
        self.shut_down();
        if !std::thread::panicking() {
            self.fail_on_faults();
        }
    }
}
