//! Another configuration for the running server, as a transaction.
//!
//! A helper thread reads it and opens whatever is new: that is what may fail, and what may wait for a
//! disk. The loop then puts all of it in place between two turns. INVARIANT: until the commit nothing
//! that serves has been touched, so whoever is refused has lost nothing; a commit fails only before
//! its first change.

use super::doors::{Exchange, Planned, Standing, plan, plan_nothing};
use super::signals::Phase;
use super::{Error, Server, fit_descriptors, hosts};
use crate::config::{Config, Level, Listen, Order};
use crate::log;
use crate::plugin::Checker;
use crate::sandbox::{self, Wish};
use crate::sys::socket::Address;
use crate::sys::threads;
use std::fmt::{self, Debug};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

/// Tells the configuration as it is now, or what is wrong with it, a line for each fault. It is
/// called on a helper thread.
pub type Source = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What became of an order: what was done, or why it was not. One line.
pub(super) type Verdict = Result<String, String>;

/// The helper's stack: a parser of nested text needs more than a look-up.
const STACK_BYTES: usize = 512 * 1024;

/// What is told of a faulty configuration, bytes; behind that the other faults are only counted.
const FAULTS_BYTES_MAX: usize = 1_000;

/// The configuration that holds, and the one to come.
pub(super) struct Reloading {
    source: Option<Source>,
    /// What the server was told, before it was fitted to what the process may have.
    current: Config,
    preparation: Option<Receiver<Result<Prepared, String>>>,
    /// Somebody has asked while a preparation was under way, which may have read too early.
    is_asked_again: bool,
}

/// Everything that a commit needs.
struct Prepared {
    config: Config,
    doors: Vec<Planned>,
    hosts: hosts::Prepared,
    logs: log::Prepared,
    /// What has changed, in words.
    changes: Vec<&'static str>,
    /// What has changed and cannot while the server runs.
    postponed: Vec<&'static str>,
}

impl Reloading {
    pub(super) fn new(config: Config) -> Self {
        Self {
            source: None,
            current: config,
            preparation: None,
            is_asked_again: false,
        }
    }

    /// What the server was told last.
    pub(super) fn current(&self) -> &Config {
        &self.current
    }
}

impl Server {
    /// Says where the configuration comes from. Without it SIGHUP only has plugins looked at.
    pub fn set_source(&mut self, source: Source) {
        self.reloading.source = Some(source);
    }

    /// Reads the configuration anew. One request that comes meanwhile is remembered.
    pub(super) fn reload(&mut self) {
        let Some(source) = self.reloading.source.clone() else {
            self.core.hooks.hang_up();
            self.begin_order(Order::Reload);
            let why = "the server was started without a configuration that could be read anew";
            return self.conclude_reload(Err(why.into()));
        };
        if self.reloading.preparation.is_some() {
            self.reloading.is_asked_again = true;
            return;
        }
        self.reloading.is_asked_again = false;
        self.begin_order(Order::Reload);
        let (sender, receiver) = channel();
        let (current, standing) = (self.reloading.current.clone(), self.standing());
        let disk = Arc::clone(&self.disk);
        let checker = self.core.hooks.checker();
        let work = move || {
            threads::register_own();
            threads::stand_back();
            // If nobody wants it any more, the server is ending.
            let _ = sender.send(prepare(&source, &current, standing, checker));
            disk.waker().wake();
        };
        let builder = thread::Builder::new().name("swiftd-reload".into());
        match builder.stack_size(STACK_BYTES).spawn(work) {
            Ok(_) => {
                self.reloading.preparation = Some(receiver);
                self.service.notifier.reloading();
            }
            Err(error) => {
                self.conclude_reload(Err(format!("cannot start a thread for it: {error}")))
            }
        }
    }

    /// Takes what the helper has prepared, if it has.
    pub(super) fn tend_reload(&mut self) {
        let Some(receiver) = &self.reloading.preparation else {
            return;
        };
        let prepared = match receiver.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("the helper thread has failed".into()),
            Ok(prepared) => prepared,
        };
        self.reloading.preparation = None;
        // Whatever came of it, unless it has been told that all is over. Under a supervisor it is that one's number that is passed on.
        if !matches!(self.phase, Phase::Ends { .. }) {
            self.service.notifier.ready(std::process::id());
        }
        let verdict = prepared.and_then(|prepared| self.commit(prepared));
        self.conclude_reload(verdict);
        if self.reloading.is_asked_again {
            self.reload();
        }
    }

    fn commit(&mut self, prepared: Prepared) -> Verdict {
        if matches!(self.phase, Phase::Ends { .. }) {
            return Err("the server is ending".into());
        }
        let Prepared {
            config,
            doors,
            hosts,
            logs,
            mut changes,
            postponed,
        } = prepared;
        // The last thing that can fail.
        let exchange = self
            .exchange_doors(doors)
            .map_err(|error| error.to_string())?;
        let (mut turn, mut cache) = (config.turn.clone(), config.cache);
        fit_descriptors(&mut turn, &mut cache, hosts.site_count());
        self.disk
            .set_bounds(turn.disk_jobs_max, turn.connections_max);
        if turn.read_bytes != self.turn.read_bytes {
            self.buffer = vec![0; turn.read_bytes].into();
        }
        self.core.ledger.owned_bytes_max = turn.buffer_bytes_max;
        self.turn = turn;
        self.core.limits = config.limits.clone();
        self.core.handler.files.set_bounds(cache);
        self.core.set_hosts(hosts);
        self.log.swap(logs, &self.core.policy.hosts);
        self.set_clients(&config.clients);
        self.core.hooks.hang_up();
        // What was refused for lack of room may find some now.
        self.is_paused = false;
        let listeners = exchange.to_string();
        if exchange != Exchange::default() {
            changes.insert(0, &listeners);
        }
        let line = success(&changes, &postponed);
        let is_worth_a_line = config.plugins.config_file.is_some() || line.len() > RELOADED.len();
        self.reloading.current = config;
        if is_worth_a_line {
            self.log.write(Level::Notice, format_args!("{line}"));
        }
        Ok(line)
    }

    /// Tells those who asked, and the log if it is bad news.
    fn conclude_reload(&mut self, verdict: Verdict) {
        let is_ending = matches!(self.phase, Phase::Ends { .. });
        if let Err(why) = &verdict
            && !is_ending
        {
            self.log.error(format_args!(
                "configuration not reloaded, the one before still holds: {why}"
            ));
        }
        self.conclude_order(Order::Reload, &verdict);
    }
}

const RELOADED: &str = "configuration reloaded";

/// Why something new cannot be had.
fn in_words(error: Error) -> String {
    match &error {
        Error::Listen(Address::Tcp(_), cause) if cause.kind() == ErrorKind::PermissionDenied => {
            format!("{error}, which this process does not have any more; restart the server for it")
        }
        Error::Listen(Address::Unix(path), cause) => {
            match sandbox::explain(cause, path, Wish::Listen) {
                Some(hint) => format!("cannot listen on unix:{}: {cause}{hint}", path.display()),
                None => error.to_string(),
            }
        }
        _ => error.to_string(),
    }
}

fn success(changes: &[&str], postponed: &[&str]) -> String {
    let mut line = RELOADED.to_owned();
    if !changes.is_empty() {
        line += &format!(": {}", changes.join(", "));
    }
    if !postponed.is_empty() {
        let verb = if postponed.len() == 1 {
            "changes"
        } else {
            "change"
        };
        line += &format!("; {} {verb} at the next start", postponed.join(", "));
    }
    line
}

/// Reads the configuration and opens what is new in it.
fn prepare(
    source: &Source,
    current: &Config,
    standing: Vec<Standing>,
    checker: Option<Checker>,
) -> Result<Prepared, String> {
    let mut config = source().map_err(|faults| one_line(&faults))?;
    // A supervisor has them, too, and reads no configuration.
    let keeps_doors = current.plugins.is_supervised;
    let postponed = postpone(&mut config, current, keeps_doors);
    let changes = changes(&config, current);
    if let Some(check) = checker {
        // Plugins look once more when it has been committed, but then nobody waits for a verdict.
        check(config.plugins.values.clone()).map_err(|faults| one_line(&faults))?;
    }
    let hosts = hosts::prepare(&config).map_err(in_words)?;
    let logs = log::prepare(&config).map_err(|error| in_words(Error::Log(error)))?;
    let doors = if keeps_doors {
        plan_nothing(standing)
    } else {
        plan(&config.listen, standing).map_err(in_words)?
    };
    Ok(Prepared {
        config,
        doors,
        hosts,
        logs,
        changes,
        postponed,
    })
}

/// Leaves as it is what cannot change while the server runs, and tells what that is.
fn postpone(config: &mut Config, current: &Config, keeps_doors: bool) -> Vec<&'static str> {
    fn keep<T: Clone + Debug>(
        name: &'static str,
        new: &mut T,
        old: &T,
        postponed: &mut Vec<&'static str>,
    ) {
        if differs(new, old) {
            *new = old.clone();
            postponed.push(name);
        }
    }
    let mut postponed = Vec::new();
    let list = &mut postponed;
    let (service, old) = (&mut config.service, &current.service);
    keep("user", &mut service.user, &old.user, list);
    keep("group", &mut service.group, &old.group, list);
    keep("chroot", &mut service.chroot, &old.chroot, list);
    keep("pid-file", &mut service.pid_file, &old.pid_file, list);
    keep("daemon", &mut service.is_daemon, &old.is_daemon, list);
    keep("sandbox", &mut service.sandbox, &old.sandbox, list);
    keep("temp-dir", &mut config.temporary, &current.temporary, list);
    // What they are told they read themselves, when they are looked at.
    let values = std::mem::take(&mut config.plugins.values);
    let mut plugins = current.plugins.clone();
    plugins.values.clear();
    keep("plugins", &mut config.plugins, &plugins, list);
    config.plugins.values = values;
    if keeps_doors {
        keep("listen", &mut config.listen, &current.listen, list);
        // The supervisor kills a worker that takes longer than it was told at its start.
        let (turn, old) = (&mut config.turn, &current.turn);
        keep("drain", &mut turn.drain_timeout, &old.drain_timeout, list);
    }
    postponed
}

/// What is different, beside the listeners.
fn changes(new: &Config, old: &Config) -> Vec<&'static str> {
    let rows = [
        ("root", differs(&new.site.root, &old.site.root)),
        ("files", {
            let mut site = new.site.clone();
            site.root = old.site.root.clone();
            differs(&site, &old.site)
        }),
        ("rules", differs(&new.rules, &old.rules)),
        ("hosts", differs(&new.hosts, &old.hosts)),
        ("limits", differs(&new.limits, &old.limits)),
        ("loop", differs(&new.turn, &old.turn)),
        ("cache", differs(&new.cache, &old.cache)),
        ("logs", differs(&new.logs, &old.logs)),
        ("clients", differs(&new.clients, &old.clients)),
        ("proxy-protocol", {
            let is_other = |(new, old): (&Listen, &Listen)| {
                new.address == old.address && new.is_proxied != old.is_proxied
            };
            let pairs = |new| old.listen.iter().map(move |old| (new, old));
            new.listen.iter().flat_map(pairs).any(is_other)
        }),
        ("memory", new.memory != old.memory),
        ("plugins", new.plugins.values != old.plugins.values),
    ];
    let changed = rows.into_iter().filter(|(_, is_different)| *is_different);
    changed.map(|(name, _)| name).collect()
}

/// Whether two settings are written differently. Not all of them can be compared otherwise, and a
/// reload has the time.
fn differs<T: Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

/// Faults, a line each, as one line.
fn one_line(faults: &str) -> String {
    let mut line = String::new();
    for (index, fault) in faults.lines().enumerate() {
        if index > 0 && line.len() + fault.len() > FAULTS_BYTES_MAX {
            line += &format!("; and {} more", faults.lines().count() - index);
            break;
        }
        if index > 0 {
            line.push_str("; ");
        }
        line.push_str(fault);
    }
    line
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("current", &self.current)
            .field("is_asked_again", &self.is_asked_again)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn faults_are_one_line_with_a_bound() {
        assert_eq!(one_line("a:1:1: bad"), "a:1:1: bad");
        assert_eq!(one_line("a\nb\nc\n"), "a; b; c");
        let many: String = (0..500).map(|i| format!("fault number {i}\n")).collect();
        let line = one_line(&many);
        assert!(line.len() < FAULTS_BYTES_MAX + 30, "{line}");
        let (_, rest) = line.rsplit_once("; and ").unwrap();
        let count: usize = rest.strip_suffix(" more").unwrap().parse().unwrap();
        assert_eq!(line.matches("fault").count() + count, 500);
        // However long the first is, it is told.
        let long = "x".repeat(5_000);
        assert_eq!(
            one_line(&format!("{long}\ny")),
            format!("{long}; and 1 more")
        );
    }

    #[test]
    fn what_cannot_change_is_kept_and_told() {
        let current = Config::new(PathBuf::from("/a"));
        let mut config = Config::new(PathBuf::from("/b"));
        assert!(postpone(&mut config, &current, false).is_empty());
        config.service.user = Some("nobody".into());
        config.service.pid_file = Some("/run/x".into());
        config.plugins.file = Some("/p".into());
        config.plugins.values.entry("a".into()).or_default();
        config.temporary = "/elsewhere".into();
        config.limits.requests_max += 1;
        let postponed = postpone(&mut config, &current, false);
        assert_eq!(postponed, ["user", "pid-file", "temp-dir", "plugins"]);
        assert_eq!(config.service, current.service);
        assert_eq!(config.plugins.file, None);
        assert_eq!(changes(&config, &current), ["root", "limits", "plugins"]);
        assert_eq!(
            success(&["root", "limits"], &["user", "pid-file"]),
            "configuration reloaded: root, limits; user, pid-file change at the next start"
        );
        assert_eq!(
            success(&[], &["user"]),
            "configuration reloaded; user changes at the next start"
        );
    }

    #[test]
    fn what_a_supervisor_has_as_well_is_kept() {
        let current = Config::new(PathBuf::from("/a"));
        let mut config = current.clone();
        config.listen.clear();
        config.turn.drain_timeout *= 2;
        assert_eq!(postpone(&mut config, &current, true), ["listen", "drain"]);
        assert_eq!(config.listen, current.listen);
        assert_eq!(config.turn.drain_timeout, current.turn.drain_timeout);
    }
}
